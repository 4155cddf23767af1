"Batches are changed as said: against torch's own rotations and flips, and kornia where it is there"
import math

import pytest
import torch

from dlcourse.core.errors import InputError
from dlcourse.data.augmentation import mixup
from dlcourse.data.transforms import (
    affine,
    cutmix,
    cutout,
    perturb_words,
    photometric,
    spec_augment,
    warp,
)

X = torch.rand(6, 2, 9, 9, generator=torch.Generator().manual_seed(0))
Y = torch.eye(6)


def rng(): return torch.Generator().manual_seed(1)


def test_nothing_changes_without_strength():
    torch.testing.assert_close(warp(X, affine(6, rng())), X)
    torch.testing.assert_close(photometric(X, rng(), 0., 0.), X)
    torch.testing.assert_close(cutout(X, rng(), 0.), X)
    torch.testing.assert_close(mixup(X, Y, rng(), low=1.), (X, Y))
    assert perturb_words(['a', 'b'], rng(), 0., 0.) == ['a', 'b']


def test_a_quarter_turn_and_a_mirror_are_torchs():
    # What is right in the result comes from below: against the clock
    turn = torch.tensor([[0., -1, 0], [1, 0, 0]]).expand(6, 2, 3)
    torch.testing.assert_close(warp(X, turn), X.rot90(1, (2, 3)), atol=1e-5, rtol=0)
    theta = affine(6, rng(), flip=True)
    mirrored = theta[:, 0, 0] < 0
    want = torch.where(mirrored[:, None, None, None], X.flip(3), X)
    torch.testing.assert_close(warp(X, theta), want, atol=1e-5, rtol=0)
    assert 0 < mirrored.sum() < 6


def test_moves_are_kornias():
    geometry = pytest.importorskip('kornia.geometry')
    theta = affine(6, rng(), degrees=30, shift=.1, scale=.2)
    pixels = torch.tensor([[4.5, 0, 4], [0, 4.5, 4], [0, 0, 1]])
    whole = torch.cat([theta, torch.tensor([0., 0, 1]).expand(6, 1, 3)], 1)
    forward = (pixels @ whole @ pixels.inverse()).inverse()[:, :2]
    theirs = geometry.warp_affine(X, forward, (9, 9), align_corners=True)
    torch.testing.assert_close(warp(X, theta), theirs, atol=1e-4, rtol=0)


def test_mixtures_are_shares_of_two():
    for f in (mixup, cutmix):
        images, labels = f(X, Y, rng())
        torch.testing.assert_close(labels.sum(1), torch.ones(6))
        assert images.shape == X.shape and (labels.max(1).values < 1).any()
    flat = torch.arange(6.).view(6, 1, 1, 1).expand(6, 1, 8, 8)
    for f in (mixup, cutmix):
        images, labels = f(flat, Y, rng())
        torch.testing.assert_close(images.mean((1, 2, 3)), labels @ torch.arange(6.))


def test_stripes_and_boxes_are_where_they_should_be():
    hidden = cutout(torch.ones(50, 1, 10, 10), rng(), share=.16) == 0
    assert hidden.sum((1, 2, 3)).max() == 16
    x = torch.rand(200, 12, 20)
    changed = spec_augment(x, rng(), bands=3, frames=5) != x
    assert changed.all(2).sum(1).max() == 3 and changed.all(1).sum(1).max() == 5
    assert math.isclose(changed.all(2).sum(1).float().mean(), 1.5, abs_tol=.3)
    words = perturb_words([*'abcdef'], rng(), mask=0., swap=.5)
    assert sorted(words) == [*'abcdef'] and words != [*'abcdef']


def test_gradients_pass_and_bad_shapes_are_refused():
    x = X.double().requires_grad_()
    theta = affine(6, rng(), degrees=20).double()
    assert torch.autograd.gradcheck(lambda z: warp(z, theta[:1]), x[:1].detach().requires_grad_())
    for images, matrices in ((X[0], theta), (X, theta[:2])):
        with pytest.raises(InputError, match='`images`'): warp(images, matrices)
