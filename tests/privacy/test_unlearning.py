"What is forgotten exactly, nearly, and not at all"
import numpy as np
import pytest
import torch
from scipy.optimize import check_grad, minimize

from dlcourse.core.errors import InputError
from dlcourse.privacy.forgetting import Nets, Sisa, dealt, net_loss, new_nets, train_nets
from dlcourse.privacy.unlearning import (
    deletions_allowed,
    guarded_answer,
    logistic_gradient,
    newton_removal,
    restart_stages,
)

G = torch.Generator().manual_seed(0)
X, Y = torch.randn(48, 6, generator=G), torch.arange(48) % 3


def same(a, b): return all(torch.equal(p, q) for p, q in zip(a.parts, b.parts, strict=True))


@pytest.mark.parametrize('gone', [[3], [0, 1, 2, 3, 4], [47, 11], list(range(0, 48, 5))])
@pytest.mark.parametrize('shards, slices', [(1, 1), (1, 4), (4, 3), (6, 1)])
def test_what_sisa_forgets_it_has_never_seen(gone, shards, slices):
    ask = dict(shards=shards, slices=slices, steps=6)
    model, fresh = Sisa(X, Y, **ask), Sisa(X, Y, **ask, gone=set(gone))
    before, whole = model.nets, model.visits
    before = Nets(*(p.clone() for p in before.parts))
    spent = model.forget(gone)
    assert same(model.nets, fresh.nets) and not same(before, fresh.nets)
    assert 0 <= spent <= whole and model.visits == whole + spent
    other = X.clone()
    other[gone] = 1e3 # Whatever stood in the deleted rows
    assert same(Sisa(other, Y, **ask, gone=set(gone)).nets, fresh.nets)


def test_one_after_another_is_all_at_once():
    ask = dict(shards=3, slices=4, steps=5)
    step, once = Sisa(X, Y, **ask), Sisa(X, Y, **ask)
    for row in (7, 30, 8, 9): step.forget([row])
    once.forget([7, 8, 9, 30])
    assert same(step.nets, once.nets)


def test_only_shards_that_held_a_row_are_trained():
    model = Sisa(X, Y, shards=4, slices=3, steps=5)
    stages = restart_stages(model.shard, model.slice, [5, 20])
    before = Nets(*(p.clone() for p in model.nets.parts))
    spent = model.forget([5, 20])
    for s in range(4):
        assert torch.equal(model.nets.first[s], before.first[s]) == (s not in stages)
    want = sum(5*int(model._weights(k)[s].sum()) for s, first in stages.items()
               for k in range(first, 3))
    assert spent == want


def test_the_price_by_hand():
    x, y = torch.randn(900, 6, generator=G), torch.arange(900) % 3
    model = Sisa(x, y, shards=4, slices=3, steps=1)
    assert model.visits == 4*(75 + 150 + 225)
    last = int(np.flatnonzero(model.slice == 2)[0])
    assert model.forget([last]) == 224


@pytest.mark.parametrize('rows', [[], [48], [-1], [3, 99], [3.7], '12'])
def test_rows_that_are_not_there(rows):
    with pytest.raises(InputError, match='`rows` must be'):
        Sisa(X, Y, shards=2, slices=1, steps=1).forget(rows)


def test_a_row_goes_once():
    model = Sisa(X, Y, shards=2, slices=1, steps=1)
    model.forget([4])
    with pytest.raises(InputError, match='`rows`'): model.forget([4, 5])
    for bad in (dict(shards=0), dict(shards=7, slices=7), dict(slices=0),
                dict(shards=-2, slices=-2)):
        with pytest.raises(InputError, match='`shards` times `slices`'): Sisa(X, Y, **bad)


def test_many_nets_are_one_net_several_times():
    weight = (torch.rand(3, 48, generator=G) < .7).float()
    many = train_nets(new_nets([0, 1, 2], (6, 5, 3)), X, Y, weight, steps=20)
    for k in range(3):
        kept = weight[k] > 0
        alone = train_nets(new_nets([k], (6, 5, 3)), X[kept], Y[kept],
                           torch.ones(1, int(kept.sum())), steps=20)
        torch.testing.assert_close(many.first[k], alone.first[0], rtol=0, atol=1e-4)
    z = many.logits(X)
    want = torch.stack([torch.nn.functional.cross_entropy(z[k][weight[k] > 0], Y[weight[k] > 0])
                        for k in range(3)])
    torch.testing.assert_close(net_loss(many, X, Y, weight), want)


def test_lots_are_even():
    for rows, parts in ((10, 3), (12, 4), (5, 5)):
        sizes = np.bincount(dealt(rows, parts, 1), minlength=parts)
        assert sizes.sum() == rows and np.ptp(sizes) <= 1


def table(seed, n=200, d=5):
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 1, (n, d))
    return x, (rng.random(n) < 1/(1 + np.exp(-x@rng.normal(0, 1, d)))).astype(float)


def value(w, x, y, penalty): return np.logaddexp(0, -(2*y - 1)*(x@w)).sum() + penalty/2*w@w


def trained(x, y, penalty):
    return minimize(value, np.zeros(x.shape[1]), (x, y, penalty), jac=logistic_gradient,
                    options=dict(gtol=1e-9)).x


def test_the_gradient():
    x, y = table(0)
    w = np.random.default_rng(1).normal(size=5)
    assert check_grad(value, logistic_gradient, w, x, y, 2.) < 1e-4


@pytest.mark.parametrize('seed', range(6))
def test_a_newton_step_comes_near_training_again(seed):
    x, y = table(seed)
    gone = np.arange(200) < 4
    old, exact = trained(x, y, 1.), trained(x[~gone], y[~gone], 1.)
    near = newton_removal(old, x, y, gone, 1.)
    assert np.linalg.norm(near - exact) < .1*np.linalg.norm(old - exact)
    again = newton_removal(near, x, y, gone, 1.)
    assert np.linalg.norm(again - exact) < 1e-4*max(1, np.linalg.norm(old - exact))


def test_the_residual_is_within_its_bound():
    for seed in range(10):
        x, y = table(seed)
        x /= np.linalg.norm(x, axis=1).max()
        gone = np.arange(200) < 3
        old = trained(x, y, 1.)
        near, kept = newton_removal(old, x, y, gone, 1.), x[~gone]
        left = np.linalg.norm(logistic_gradient(near, kept, y[~gone], 1.))
        u = near - old
        bound = np.linalg.norm(kept, 2)*np.linalg.norm(u)*np.linalg.norm(kept@u)/4
        assert left <= bound + 1e-7


def test_the_budget():
    assert deletions_allowed(np.full(100, .01), 1., 1., 1e-4) == int(
        1/np.sqrt(2*np.log(1.5e4))/.01)
    assert deletions_allowed(np.array([]), 1., 1., 1e-4) == 0


def test_answers_add_up():
    p = np.random.default_rng(0).dirichlet(np.full(10, .2), 50)
    for how in ({}, dict(digits=1), dict(digits=0), dict(label_only=True)):
        told = guarded_answer(p, **how)
        np.testing.assert_allclose(told.sum(1), 1)
        assert (told.argmax(1) == p.argmax(1)).mean() >= .8
