"Dice, Tversky, distances, the U-Net and its tiles against independent oracles; bad input is told"
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from jaxtyping import install_import_hook
from oracles import same_as_torch
from scipy.spatial.distance import cdist, directed_hausdorff
from scipy.spatial.distance import dice as scipy_dice

from dlcourse.core.errors import InputError
from dlcourse.training.checkpoints import digest
from dlcourse.training.zoo import count_parameters

# Shapes are checked here, and not in normal use
with install_import_hook('dlcourse.vision.segmentation', 'beartype.beartype'):
    from dlcourse.vision.segmentation import (
        UNet,
        UNetConfig,
        boundary_loss,
        dice,
        hausdorff,
        lesion_unet,
        lesions_found,
        predict_tiled,
        signed_distance,
        tile_spans,
        tversky_loss,
    )

few = hypothesis_settings(max_examples=25, deadline=None)
seeds, shares = st.integers(0, 999), st.sampled_from([0., .02, .3, 1.])


def masks(seed, *shares, shape=(2, 7, 9)):
    rng = np.random.default_rng(seed)
    return [torch.tensor(rng.random(shape) < share) for share in shares]


@few
@given(seeds, shares, shares)
def test_dice_is_one_less_scipys_distance(seed, p, q):
    a, b = masks(seed, p, q)
    for got, x, y in zip(dice(a, b), a, b, strict=True):
        if not (x | y).any(): assert got == 1
        else: assert got == pytest.approx(1 - scipy_dice(x.flatten().numpy(), y.flatten().numpy()))


@few
@given(seeds, shares, shares)
def test_hausdorff_is_the_larger_of_scipys_directions(seed, p, q):
    a, b = (m[0] for m in masks(seed, p, q))
    places = [m.nonzero().numpy() for m in (a, b)]
    if a.any() and b.any():
        want = max(directed_hausdorff(*places)[0], directed_hausdorff(*places[::-1])[0])
        assert hausdorff(a, b) == pytest.approx(want, abs=1e-9)
    else: assert hausdorff(a, b) == (0. if a.any() == b.any() else math.inf)


def test_hausdorff_is_scikit_images():
    metrics = pytest.importorskip('skimage.metrics')
    a, b = (m[0] for m in masks(0, .05, .1, shape=(1, 30, 30)))
    assert hausdorff(a, b) == pytest.approx(metrics.hausdorff_distance(a.numpy(), b.numpy()))


def test_tversky_is_kornias_forward_and_backward():
    losses = pytest.importorskip('kornia.losses')
    rng = torch.Generator().manual_seed(0)
    scores = torch.randn(3, 2, 5, 6, generator=rng, dtype=torch.float64)
    truth = (torch.rand(3, 5, 6, generator=rng) > .6).long()
    def theirs(s): return losses.tversky_loss(s, truth, .3, .7, eps=1e-12)
    def ours(s): # Theirs takes the mean over scans and classes
        p, y = s.softmax(1), torch.stack([1 - truth, truth], 1).double()
        return tversky_loss(p.flatten(0, 1), y.flatten(0, 1), alpha=.3, beta=.7, smooth=0.)
    same_as_torch(ours, theirs, scores, rtol=1e-6)


def test_the_gradient_of_dice_is_the_formula_on_the_page():
    p = torch.rand(1, 4, 5, dtype=torch.float64, requires_grad=True)
    y = (torch.rand(1, 4, 5) > .5).double()
    got, = torch.autograd.grad(tversky_loss(p, y, smooth=0.), p)
    s, i = (p + y).sum(), (p*y).sum()
    torch.testing.assert_close(got, -2*(y*s - i)/s**2)


@few
@given(seeds, shares)
def test_signed_distance_by_looking_at_all_pairs(seed, share):
    mask, = masks(seed, share)
    places = np.argwhere(np.ones(mask.shape[1:]))
    for got, one in zip(signed_distance(mask), mask.numpy(), strict=True):
        if not one.any() or one.all(): assert not got.any()
        else:
            flat = one.ravel()
            away = cdist(places, places)
            want = np.where(flat, 1 - away[:, ~flat].min(1), away[:, flat].min(1))
            np.testing.assert_allclose(got.flatten(), want, rtol=1e-6)
    assert boundary_loss(mask.float(), signed_distance(mask)) <= 0


def test_lesions_one_by_one():
    rng = np.random.default_rng(0)
    lesions = torch.tensor(rng.integers(0, 5, (12, 12)))
    said = torch.tensor(rng.random((12, 12)) < .5)
    areas, found = lesions_found(said, lesions, .4)
    for k in range(1, 5):
        assert areas[k - 1] == (lesions == k).sum()
        assert found[k - 1] == (said[lesions == k].float().mean() >= .4)


@pytest.mark.parametrize('channels, width, levels', [(1, 8, 3), (3, 4, 2), (2, 4, 1)])
def test_any_size_and_every_channel_count_but_its_own(channels, width, levels):
    model = UNet(UNetConfig(channels=channels, width=width, levels=levels)).eval()
    for size in ((16, 16), (13, 18), (1, 3)):
        assert model(torch.zeros(2, channels, *size)).shape == (2, *size)
    with pytest.raises(InputError, match=f"`x` must have {channels} channels, got 4"):
        model(torch.zeros(1, 4, 8, 8))


def test_parameters_by_hand_and_the_prior():
    kernels = 9*(8 + 64 + 128 + 256 + 512 + 1024 + 512 + 256 + 128 + 64)
    assert count_parameters(UNet()) == kernels + 4*(512 + 128) + 24 + 2*160 + 9
    model = UNet(UNetConfig(prior=.04))
    torch.nn.init.zeros_(model.head.weight)
    assert model(torch.zeros(1, 1, 8, 8)).sigmoid().mean().item() == pytest.approx(.04)
    with pytest.raises(InputError, match="`prior` must be"): UNetConfig(prior=0.)


def grown(levels):
    "A U-Net whose scores depend on much of what it sees"
    torch.manual_seed(0)
    model = UNet(UNetConfig(width=6, levels=levels))
    model(torch.randn(4, 1, 32, 32)) # Fills the running means
    return model.eval().double()


@pytest.mark.parametrize('levels', [1, 2, 3])
def test_it_sees_as_far_as_it_says(levels):
    model, seen = grown(levels), 0
    x = torch.randn(1, 1, 64, 64, dtype=torch.float64).requires_grad_()
    for k in range(32, 32 + model.config.stride):
        pull, = torch.autograd.grad(model(x)[0, k].sum(), x)
        rows = pull[0, 0].abs().sum(1).nonzero()
        seen = max(seen, (k - rows.min()).item(), (rows.max() - k).item())
    assert seen <= model.config.reach
    assert model.config.reach == {1: 2, 2: 9, 3: 23}[levels]


@pytest.mark.parametrize('size', [(64, 64), (70, 45), (9, 100)])
def test_tiles_give_the_mask_of_the_whole(size, tmp_path):
    model = grown(3).float()
    image = np.random.default_rng(0).normal(size=(1, *size)).astype('float32')
    with torch.no_grad(): whole = model(torch.tensor(image)[None]).sigmoid()[0].numpy()
    out = np.memmap(tmp_path/'mask', 'float32', 'w+', shape=size)
    assert predict_tiled(model, image, core=20, out=out) is out
    np.testing.assert_allclose(out, whole, atol=1e-6)
    image[0, 3, 4] = np.nan
    with pytest.raises(InputError, match="`image from row 0 and column 0 on` must hold numbers"):
        predict_tiled(model, image, core=20)


@given(st.integers(1, 60), st.integers(1, 20), st.integers(0, 30))
@few
def test_tiles_keep_each_pixel_once(n, core, halo):
    spans = tile_spans(n, core, halo)
    assert [i for _, _, a, b in spans for i in range(a, b)] == [*range(n)]
    for low, high, start, stop in spans:
        assert (low, high) == (max(start - halo, 0), min(stop + halo, n))


def test_the_artefact_is_made_once_and_a_changed_file_is_refused(tmp_path):
    def asked(): return lesion_unet(tmp_path, steps=3, scans=8)
    (model, card), (again, _) = asked(), asked()
    assert digest(model) == digest(again) and card.rows == count_parameters(model)
    assert '3 steps, seed 0' in card.source and 'Mean Dice' in card.results[0].claim
    path = tmp_path/'trained'/card.name/'model.safetensors'
    path.write_bytes(path.read_bytes()[:-1] + b'x')
    with pytest.raises(InputError, match="and it is made anew"): asked()
