"Rows in the order of `Batches`, steps equal to torch.optim, an end for each member"
from dataclasses import replace
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hyp_settings
from hypothesis import strategies as st
from torch.nn import functional as F

from dlcourse.training.callbacks import FitConfig
from dlcourse.training.engine import Draws, FusedSteps, each, seed_torch, seeded, train_all
from dlcourse.training.stacked import Layers
from dlcourse.training.zoo import mlp

LIKE = torch.zeros(1, dtype=torch.float64)
RULES = [dict(optimizer='sgd'), dict(optimizer='sgd', momentum=.9), dict(optimizer='adam'),
         dict(optimizer='adamw')]


def stacked(models):
    return {n: torch.stack([m.state_dict()[n] for m in models]) for n in models[0].state_dict()}


@given(st.lists(st.integers(1, 23), min_size=1, max_size=5), st.integers(1, 9), st.booleans(),
       st.integers(0, 99))
@hyp_settings(max_examples=60, deadline=None)
def test_each_member_sees_what_batches_would_give_it(lengths, batch_size, shuffle, seed):
    lengths = sorted(lengths, key=lambda n: -(-n//batch_size), reverse=True)
    own = [torch.randperm(50)[:n] for n in lengths]
    config = FitConfig(batch_size=batch_size, shuffle=shuffle)
    seeds = range(seed, seed + len(own))
    orders = [config.batches(rows, seed=s) for rows, s in zip(own, seeds, strict=True)]
    wanted = [[rows for _ in range(40) for rows, in order] for order in orders]
    for step, (rows, share) in zip(range(30), Draws(own, seeds, config, LIKE), strict=False):
        for k, want in enumerate(wanted):
            count = len(want[step])
            assert torch.equal(rows[k, :count], want[step])
            if share is None: assert rows.shape[1] == count
            else:
                assert share[k].tolist() == [1/count]*count + [0.]*(len(share[k]) - count)
                assert set(rows[k].tolist()) <= set(own[k].tolist())


def steps_alone(start, gradients, optimizer):
    "Weights after torch's own steps"
    p = start.clone().requires_grad_()
    rule = optimizer([p])
    for grad in gradients:
        p.grad = grad.clone()
        rule.step()
    return p.detach()


@pytest.mark.parametrize('rule', RULES, ids=lambda rule: '-'.join(map(str, rule.values())))
@pytest.mark.parametrize('apart', [False, True])
def test_steps_are_those_of_torch(rule, apart):
    "Of three members, the last ending after four steps of nine"
    g = torch.Generator().manual_seed(0)
    start = torch.randn(3, 4, 5, generator=g, dtype=torch.float64)
    gradients = torch.randn(9, 3, 4, 5, generator=g, dtype=torch.float64)
    lr, decay = ([.1, .02, .3], [0., .1, .01]) if apart else ([.1]*3, [.05]*3)
    config, weights = FitConfig(**rule), {'w': start.clone()}
    rates = [torch.tensor(of, dtype=torch.float64) for of in (lr, decay)]
    step = FusedSteps(weights, config, *rates)
    for t, grad in enumerate(gradients): step([grad[:3 if t < 4 else 2].clone()])
    for k, length in enumerate((9, 9, 4)):
        own = replace(config, lr=lr[k], weight_decay=decay[k])
        want = steps_alone(start[k], gradients[:length, k], own.make_optimizer)
        torch.testing.assert_close(weights['w'][k], want, atol=1e-13, rtol=1e-13)


def test_a_factor_scales_every_rate():
    for lr in ([.1, .1], [.1, .3]):
        results = []
        for factor in (1., .5):
            weights = {'w': torch.ones(2, 3, dtype=torch.float64)}
            rates = torch.tensor(lr).double(), torch.zeros(2).double()
            step = FusedSteps(weights, FitConfig(optimizer='sgd'), *rates)
            step([torch.ones(2, 3).double()], factor)
            results.append(1 - weights['w'])
        torch.testing.assert_close(results[0], 2*results[1])


def test_a_number_for_each_member_meets_the_first_axis():
    "Also where another axis has the same length"
    weights, own = torch.ones(2, 3, 2), torch.tensor([1., 5.])
    assert torch.equal((weights*each(own, weights))[:, 0, 0], own)


X = torch.randn(40, 6, generator=torch.Generator().manual_seed(2)).double()
Y = torch.randint(0, 3, (40,), generator=torch.Generator().manual_seed(2))


def trained(members, config, own=None, at_once=None, **how):
    models = [mlp(6, 5, 3, activation='tanh', **how).double() for _ in range(members)]
    for k, model in enumerate(models):
        for p in model.parameters(): p.data.normal_(generator=torch.Generator().manual_seed(k))
    own = own or [torch.arange(40)]*members
    state = stacked(models)
    gradients = partial(Layers, models[0], (X, Y), F.cross_entropy)
    return state, train_all(state, gradients, range(members), own, config, at_once)


@pytest.mark.parametrize('rule', RULES, ids=lambda rule: '-'.join(map(str, rule.values())))
def test_members_have_nothing_to_do_with_each_other(rule):
    "In groups of any size, and with a neighbour left out, all comes to the same"
    own = [torch.arange(n) for n in (40, 9, 31, 22, 40, 17)]
    config = FitConfig(epochs=3, batch_size=8, lr=.05, **rule)
    state, losses = trained(6, config, own)
    for at_once in (1, 2, 5):
        other, same = trained(6, config, own, at_once)
        torch.testing.assert_close(same, losses, atol=1e-12, rtol=1e-12, equal_nan=True)
        for name, t in state.items():
            torch.testing.assert_close(other[name], t, atol=1e-12, rtol=1e-12)
    fewer, _ = trained(3, config, own[:3])
    for name, t in fewer.items():
        torch.testing.assert_close(t, state[name][:3], atol=1e-12, rtol=1e-12)


def test_losses_end_where_a_member_ends():
    own = [torch.arange(n) for n in (9, 40, 8)]
    _, losses = trained(3, FitConfig(epochs=2, batch_size=8), own)
    assert losses.shape == (3, 10)
    assert (~losses.isnan()).sum(1).tolist() == [4, 10, 2]
    assert not losses[0, :4].isnan().any()


def test_max_steps_ends_all():
    whole, losses = trained(2, FitConfig(epochs=2, batch_size=8))
    state, first = trained(2, FitConfig(epochs=2, batch_size=8, max_steps=3))
    assert torch.equal(first, losses[:, :3])
    assert not torch.equal(state['layers.0.weight'], whole['layers.0.weight'])


def test_a_schedule_is_asked_for_the_members_own_step():
    asked = []
    def falling(step):
        asked.append(step)
        return 1/(1 + step)
    own = [torch.arange(n) for n in (8, 40)]
    trained(2, FitConfig(epochs=2, batch_size=8, schedule=falling), own)
    assert asked == list(range(10))


def test_dropout_is_drawn_anew_and_the_callers_numbers_stay():
    config, model = FitConfig(epochs=2, batch_size=8), mlp(6, 5, 3, dropout=.5).double()
    before, state = torch.get_rng_state(), stacked([model]*2)
    gradients = partial(Layers, model, (X, Y), F.cross_entropy)
    train_all(state, gradients, [0, 0], [torch.arange(40)]*2, config)
    assert torch.equal(before, torch.get_rng_state())
    assert not torch.equal(*state['layers.0.weight'])
    runs = [trained(3, config, dropout=.5)[0] for _ in range(2)]
    assert all(torch.equal(t, runs[1][name]) for name, t in runs[0].items())
    plain, _ = trained(3, config)
    assert not torch.equal(plain['layers.0.weight'], runs[0]['layers.0.weight'])


def test_a_seed_is_that_of_torch():
    torch.manual_seed(123)
    want = torch.rand(5)
    seed_torch(123)
    assert torch.equal(torch.rand(5), want)
    before = torch.get_rng_state()
    with seeded(123): assert torch.equal(torch.rand(5), want)
    assert torch.equal(torch.get_rng_state(), before)
