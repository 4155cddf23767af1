"The network of diffusion and its loop"
import math

import pytest
import torch
from stirring import stirred

from dlcourse.core.errors import InputError
from dlcourse.generative.denoisers import Denoiser, train_denoiser


def small(**changes):
    return Denoiser(3, **dict(width=16, depth=2, classes=4, seed=0) | changes)


def test_begins_with_zeros_and_one_seed_is_one_network():
    a = small()
    torch.rand(3)
    b, c = small(), small(seed=1)
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    assert not torch.equal(a.enter.weight, c.enter.weight)
    assert not a(torch.randn(5, 3), torch.rand(5)).any()


def test_a_seed_leaves_torchs_own_numbers_alone():
    torch.manual_seed(3)
    want = torch.rand(2)
    torch.manual_seed(3)
    small()
    assert torch.equal(torch.rand(2), want)


def test_rows_do_not_see_each_other_and_time_may_be_one_for_all():
    model, x = stirred(small()), torch.randn(6, 3)
    y, t = torch.tensor([0, 1, 2, 3, 4, 4]), torch.rand(6)
    whole = model(x, t, y)
    torch.testing.assert_close(torch.cat([model(x[i:i + 1], t[i], y[i:i + 1]) for i in range(6)]),
                               whole)
    torch.testing.assert_close(model(x, torch.tensor(.3), y), model(x, torch.full((6,), .3), y))
    torch.testing.assert_close(model(x, t)[4:], whole[4:])
    assert (whole[0] - model(x, t, y.flip(0))[0]).abs().max() > 1e-3


def test_rate_rises_falls_or_stays():
    for fall, last in ((True, .01), (False, 1.)):
        model, rates = small(), []
        def loss(m): return (m(torch.ones(2, 3), torch.zeros(())) - 1).square().mean()
        before = torch.optim.AdamW.step
        def step(self, *a, rates=rates, before=before, **k):
            rates.append(self.param_groups[0]['lr'])
            return before(self, *a, **k)
        torch.optim.AdamW.step = step
        try: losses = train_denoiser(model, loss, 400, lr=1e-3, fall=fall)
        finally: torch.optim.AdamW.step = before
        assert rates[0] < 1e-4 and losses[-1] < .01*losses[0] and not model.training
        assert rates[-1] == pytest.approx(last*1e-3, rel=.01)


def test_each_step_is_told():
    seen = []
    train_denoiser(small(), lambda m: m(torch.ones(2, 3), torch.zeros(())).sum(), 3,
                   after=seen.append)
    assert seen == [1, 2, 3]


@pytest.mark.parametrize(('call', 'name'), [
    (lambda: Denoiser(0), 'dim'),
    (lambda: small(width=0), 'width'),
    (lambda: small(classes=-1), 'classes'),
    (lambda: small()(torch.ones(2, 4), torch.zeros(())), '`x`'),
    (lambda: small()(torch.ones(2, 3), torch.zeros(()), torch.tensor([0, 5])), '`y`'),
    (lambda: small()(torch.ones(2, 3), torch.zeros(()), torch.tensor([0, -1])), '`y`'),
    (lambda: small()(torch.ones(2, 3), torch.zeros(()), torch.tensor([0., 1])), '`y`'),
    (lambda: small()(torch.ones(2, 3), torch.zeros(()), torch.tensor([0])), '`y`'),
    (lambda: train_denoiser(small(), lambda m: m(torch.ones(1, 3), torch.zeros(())).sum(), 0),
     'steps'),
    (lambda: train_denoiser(small(), lambda m: m(torch.full((1, 3), math.nan),
                                                 torch.zeros(())).sum(), 2), 'loss'),
])
def test_what_cannot_be_is_named(call, name):
    with pytest.raises(InputError, match=name): call()


def test_a_model_is_left_whole_where_the_loss_is_nan():
    model = stirred(small())
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(InputError, match='the loss is nan at step 0'):
        train_denoiser(model, lambda m: m(torch.ones(2, 3), torch.zeros(())).sum()*math.nan, 3)
    assert not model.training
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), before, strict=True))
