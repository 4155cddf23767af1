"Nobody looks ahead, probabilities sum to one over all pictures, caches change nothing"
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcourse.core.errors import InputError
from dlcourse.generative.autoregressive import (
    GatedLayer,
    MaskedCNN,
    PixelCNN,
    PixelTransformer,
    PixelTransformerConfig,
    causal_kernel,
    draw_level,
    look_above,
    looks_ahead,
    mean_nats,
    one_behind,
    pixel_nats,
    sample_cached,
    sample_pixels,
    train_pixels,
)
from dlcourse.generative.levels import digit_levels

MAKERS = {'masked': MaskedCNN, 'gated': PixelCNN, 'transformer': PixelTransformer}


def made(name, seed=0):
    torch.manual_seed(seed)
    return MAKERS[name]().eval()


def pictures(n=3, seed=0):
    return torch.randint(0, 17, (n, 64), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize('name', MAKERS)
@torch.no_grad()
def test_no_model_looks_ahead_and_each_gives_probabilities(name):
    model = made(name)
    assert not looks_ahead(model, pictures())
    torch.testing.assert_close(model(pictures()).exp().sum(-1), torch.ones(3, 64))


@torch.no_grad()
def test_a_cheat_is_caught():
    torch.manual_seed(0)
    assert looks_ahead(MaskedCNN(own=True), pictures())


@torch.no_grad()
def test_a_gated_layer_is_a_full_convolution_of_the_rows_above():
    torch.manual_seed(0)
    layer, x = GatedLayer(3, True, 0.).eval(), torch.randn(2, 3, 6, 5)
    kept = x.clone()
    kept[:, :, 4:] = 9
    for a, b in zip(layer(x, x), layer(kept, kept), strict=True):
        torch.testing.assert_close(a[:, :, :4], b[:, :, :4])
    assert torch.equal(look_above(x)[:, :, 1:], x[:, :, :-1]) and not look_above(x)[:, :, 0].any()


@torch.no_grad()
def test_the_blind_spot_and_its_cure():
    def seen(model):
        model.double().eval()
        x = pictures(2, 3)
        def said(v): return model(v)[:, 4*8 + 3]
        old, count = said(x), 0
        for i in range(4*8 + 3):
            new = x.clone()
            new[:, i] = (new[:, i] + 8) % 17
            count += bool((said(new) - old).abs().max() > 1e-13)
        return count
    torch.manual_seed(1)
    assert seen(MaskedCNN(depth=9)) == 29 # 35, less a wedge of 3 + 2 + 1
    assert seen(PixelCNN()) == seen(PixelTransformer()) == 35


@torch.no_grad()
def test_the_probabilities_of_all_endings_sum_to_one():
    model = made('gated')
    ends = torch.tensor(list(itertools.product(range(17), repeat=2)))
    x = pictures(1).repeat(len(ends), 1)
    x[:, 62:] = ends
    said = model(x).gather(2, x[..., None])[..., 0]
    assert float(said[:, 62:].sum(1).exp().sum()) == pytest.approx(1, abs=1e-5)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), given_=st.integers(0, 64))
def test_a_cache_changes_no_pixel(seed, given_):
    model = made('transformer', seed % 3)
    uniform = torch.rand(2, 64, generator=torch.Generator().manual_seed(seed))
    start = pictures(2, seed)
    plain = sample_pixels(model, uniform, start, given_)
    assert torch.equal(plain, sample_cached(model, uniform, start, given_))
    assert torch.equal(plain[:, :given_], start[:, :given_])


def test_draws_have_the_shares_of_their_probabilities():
    p = torch.tensor([[.1, .6, .3]]).log().expand(20_000, 3)
    u = torch.rand(20_000, generator=torch.Generator().manual_seed(0))
    share = draw_level(p, u).bincount()/20_000
    torch.testing.assert_close(share, torch.tensor([.1, .6, .3]), atol=.012, rtol=0)


def test_training_learns_and_is_seeded():
    parts = digit_levels()
    def run(): return train_pixels(lambda: PixelCNN(16, 2), parts.train.levels, parts.val.levels,
                                   steps=50, batch=32)
    (a, seen), (b, _) = run(), run()
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    assert seen[-1]['val'] == pytest.approx(mean_nats(a, parts.val.levels), rel=1e-5)
    assert seen[-1]['val'] < 125


@pytest.mark.parametrize('name', MAKERS)
def test_a_sample_with_a_nan_has_no_likelihood(name):
    x = pictures().float()
    x[2, 40] = torch.nan
    with pytest.raises(InputError, match='got nan in row 2, pixel 40'): pixel_nats(made(name), x)
    with pytest.raises(InputError, match='pictures of 64 pixels'):
        pixel_nats(made(name), torch.zeros(1, 8, 8))


def test_what_a_caller_can_do_wrong():
    with pytest.raises(InputError, match='`log_probs` must be numbers, got NaN'):
        draw_level(torch.full((1, 3), torch.nan), torch.rand(1))
    for sample in (sample_pixels, sample_cached):
        with pytest.raises(InputError, match='`given` must be a whole number from 0 to 64'):
            sample(made('transformer'), torch.rand(1, 64), given=65)
    with pytest.raises(InputError, match='`depth`'): PixelCNN(depth=0)
    with pytest.raises(InputError, match='`heads` must divide'):
        PixelTransformer(PixelTransformerConfig(dim=10, heads=4))


def test_masks_and_shifts():
    assert causal_kernel(3, False).int().tolist() == [[1, 1, 1], [1, 0, 0], [0, 0, 0]]
    assert one_behind(torch.tensor([[5, 9, 2]])).tolist() == [[17, 5, 9]]
    x = pictures()
    assert torch.equal(one_behind(x, 8)[:, 8:], x[:, :-8])


@pytest.mark.parametrize('sample', [sample_pixels, sample_cached])
@pytest.mark.parametrize(('uniform', 'start', 'name'), [
    (torch.full((1, 64), torch.nan), None, '`uniform`'),
    (torch.full((1, 64), 5.), None, '`uniform`'),
    (torch.zeros(1, 70), None, '`uniform`'), (torch.zeros(1, 10), None, '`uniform`'),
    (torch.zeros(1, 64), torch.zeros(2, 64, dtype=torch.int64), '`start`'),
    (torch.zeros(1, 64), torch.full((1, 64), 99), '`start`')])
def test_no_picture_comes_of_what_is_no_chance_or_no_beginning(sample, uniform, start, name):
    with pytest.raises(InputError, match=name): sample(made('transformer'), uniform, start, 5)
