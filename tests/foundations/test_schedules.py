"Schedules equal torch's schedulers, clipping and decay groups torch's own; and what they refuse"
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn, optim
from torch.optim import lr_scheduler as schedulers

from dlcourse.core.errors import InputError
from dlcourse.foundations.schedules import (
    clip_grad_norm_,
    cosine,
    decay_groups,
    inverse_sqrt,
    linear,
    one_cycle,
    step_decay,
    warmup,
)


def rates(make, steps):
    optimizer = optim.SGD([torch.zeros(1, requires_grad=True)], lr=.8)
    scheduler, seen = make(optimizer), []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        scheduler.step()
    return torch.tensor(seen, dtype=torch.float64)


def same_rates(factor, theirs, steps):
    ours = rates(lambda o: schedulers.LambdaLR(o, factor), steps)
    return torch.allclose(ours, rates(theirs, steps), rtol=0, atol=1e-14)


def short_cycle(optimizer):
    return schedulers.OneCycleLR(optimizer, .8, 33, pct_start=.45, cycle_momentum=False,
                                 div_factor=10., final_div_factor=7.)


@pytest.mark.parametrize('factor, theirs, steps', [
    (cosine(50), lambda o: schedulers.CosineAnnealingLR(o, 50), 51),
    (cosine(50, floor=.1), lambda o: schedulers.CosineAnnealingLR(o, 50, eta_min=.08), 51),
    (linear(40, floor=.25), lambda o: schedulers.LinearLR(o, 1., .25, 40), 60),
    (linear(40), lambda o: schedulers.PolynomialLR(o, 40), 60),
    (warmup(9), lambda o: schedulers.LinearLR(o, 1/10, total_iters=9), 30),
    (step_decay(7, gamma=.3), lambda o: schedulers.StepLR(o, 7, .3), 30),
    (step_decay(1, gamma=.9), lambda o: schedulers.ExponentialLR(o, .9), 30),
    (one_cycle(50), lambda o: schedulers.OneCycleLR(o, .8, 50, cycle_momentum=False), 50),
    (one_cycle(33, rise=.45, div=10., final_div=7.), short_cycle, 33),
])
def test_schedules_are_torchs(factor, theirs, steps): assert same_rates(factor, theirs, steps)


def warmed(optimizer, steps, then):
    rise = schedulers.LinearLR(optimizer, 1/(steps + 1), total_iters=steps)
    return schedulers.SequentialLR(optimizer, [rise, then(optimizer)], [steps])


# torch's own SequentialLR passes what torch warns about
@pytest.mark.filterwarnings('ignore:The epoch parameter in:UserWarning')
@pytest.mark.parametrize('factor, then', [
    (cosine(50, warmup=8), lambda o: schedulers.CosineAnnealingLR(o, 42)),
    (linear(50, warmup=8, floor=.1), lambda o: schedulers.LinearLR(o, 1., .1, 42)),
])
def test_warm_up_is_torchs(factor, then):
    assert same_rates(factor, lambda o: warmed(o, 8, then), 51)


def test_schedules_stay_down_after_the_end():
    for f in (cosine(10, floor=.2), linear(10, floor=.2, warmup=3)):
        assert f(10) == f(11) == f(1000) == .2
    cycle = one_cycle(50)
    assert cycle(49) == pytest.approx(1/25/1e4) and cycle(500) == cycle(49)
    slow = inverse_sqrt(3)
    assert slow(3) == 1 and slow(15) == .5 and slow(0) == .25
    assert warmup(0)(0) == warmup(4)(4) == warmup(4)(1000) == 1


@pytest.mark.parametrize('call, says', [
    (lambda: cosine(10, warmup=10), "`warmup` must be from 0 up to below `steps`, got 10 of 10"),
    (lambda: linear(0), "`warmup` must be from 0 up to below `steps`, got 0 of 0"),
    (lambda: cosine(10, warmup=-1), "got -1 of 10"),
    (lambda: warmup(-1), "`steps` must be a whole number from 0, got -1"),
    (lambda: inverse_sqrt(-1), "`warmup` must be a whole number from 0, got -1"),
    (lambda: step_decay(0), "`every` must be a whole number from 1 up, got 0"),
    (lambda: one_cycle(3), "`rise` must be a share between 0 and 1, of more than one step; got "
                           "rise=0.3, steps=3"),
    (lambda: one_cycle(100, rise=1.), "got rise=1.0"),
])
def test_schedules_that_cannot_be_are_refused_when_they_are_made(call, says):
    with pytest.raises(InputError) as e: call()
    assert says in str(e.value)


def parameters_with(grads):
    params = [torch.zeros(g.shape, dtype=g.dtype, requires_grad=True) for g in grads]
    for p, g in zip(params, grads, strict=True): p.grad = g.clone()
    return params


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=4), min_size=1, max_size=4),
       st.floats(1e-6, 1e7))
def test_clipping_equals_torch(grads, max_norm):
    grads = [torch.tensor(g, dtype=torch.float64) for g in grads]
    ours, theirs = parameters_with(grads), parameters_with(grads)
    found = nn.utils.clip_grad_norm_(theirs, max_norm)
    torch.testing.assert_close(clip_grad_norm_(ours, max_norm), found, rtol=1e-12, atol=1e-12)
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize('grads, max_norm', [
    ([[0., 0.], [0.]], 1.), ([[3., 4.]], 1.), ([[3., 4.]], 100.), ([[3., 4.]], 5.)])
def test_clipping_of_zeros_of_one_parameter_and_of_short_gradients(grads, max_norm):
    grads = [torch.tensor(g, dtype=torch.float64) for g in grads]
    ours, theirs = parameters_with(grads), parameters_with(grads)
    found = nn.utils.clip_grad_norm_(theirs, max_norm)
    assert abs(clip_grad_norm_(ours, max_norm) - found) < 1e-12
    for a, b in zip(ours, theirs, strict=True): assert (a.grad - b.grad).abs().max() < 1e-12


def test_clipping_without_gradients_is_zero_and_changes_nothing():
    param = torch.zeros(3, requires_grad=True)
    assert clip_grad_norm_([param], 1.) == 0 and param.grad is None
    assert clip_grad_norm_([], 1.) == 0


@pytest.mark.parametrize('max_norm', [0., -1., float('nan')])
def test_clipping_refuses_what_is_no_length(max_norm):
    with pytest.raises(InputError, match='`max_norm` must be above 0'):
        clip_grad_norm_([], max_norm)


def test_one_step_shrinks_matrices_and_spares_the_rest():
    model = nn.Sequential(nn.Conv1d(1, 2, 3), nn.BatchNorm1d(2), nn.Linear(4, 4))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for p in model.parameters(): p.grad = torch.zeros_like(p)
    optim.AdamW(decay_groups(model, .5), lr=.1).step()
    for name, p in model.named_parameters():
        left = .95 if p.ndim > 1 else 1.
        torch.testing.assert_close(p.detach(), before[name]*left)


def test_groups_hold_every_trained_parameter_once():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    model[2].bias.requires_grad_(False)
    held = [id(p) for group in decay_groups(model) for p in group['params']]
    assert sorted(held) == sorted(id(p) for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize('decay', [-.1, float('nan')])
def test_groups_refuse_a_negative_decay(decay):
    with pytest.raises(InputError, match='`weight_decay` must be 0 or more'):
        decay_groups(nn.Linear(1, 1), decay)
