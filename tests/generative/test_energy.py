"Memories against attention, machines against sums over all states, walks against closed forms"
import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import same_as_torch

from dlcourse.core.errors import InputError
from dlcourse.generative.energy import (
    RBM,
    bars_and_stripes,
    contrastive_divergence,
    free_energy,
    hebbian_weights,
    langevin,
    log_partition,
    retrieve,
    settle,
)


def signs(*shape, seed=0):
    return torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(seed))*2. - 1


def energy(w, s): return float(-s @ w @ s/2)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(2, 12), patterns=st.integers(1, 6))
def test_settling_never_goes_uphill_and_ends_at_rest(seed, n, patterns):
    w = hebbian_weights(signs(patterns, n, seed=seed))
    start = signs(n, seed=seed + 1)
    kept, states = start.clone(), [settle(w, start, range(n), rounds) for rounds in (0, 1, 2, 50)]
    energies = [energy(w, s) for s in states]
    assert all(b <= a + 1e-5 for a, b in itertools.pairwise(energies))
    assert torch.equal(settle(w, states[-1], range(n)), states[-1])
    assert torch.equal(start, kept)


def test_few_random_patterns_are_held():
    x = signs(5, 200)
    w = hebbian_weights(x)
    assert torch.equal(torch.stack([settle(w, row, range(200)) for row in x]), x)
    assert torch.equal(w, w.T) and not w.diagonal().any()


def test_retrieval_is_attention():
    torch.manual_seed(0)
    x, q = torch.randn(9, 6, dtype=torch.float64), torch.randn(4, 6, dtype=torch.float64)
    attention = torch.nn.functional.scaled_dot_product_attention
    same_as_torch(lambda x, q: retrieve(x, q, .3), lambda x, q: attention(q, x, x, scale=.3), x, q)


def test_a_retrieval_step_lowers_its_energy():
    torch.manual_seed(0)
    x, q, beta = torch.randn(9, 6), torch.randn(4, 6), 2.
    def e(q): return -(beta*q @ x.T).logsumexp(1)/beta + q.square().sum(1)/2
    for _ in range(5):
        after = retrieve(x, q, beta)
        assert (e(after) <= e(q) + 1e-5).all()
        q = after


def machine(visible, hidden, seed=0, scale=1.):
    torch.manual_seed(seed)
    model = RBM(visible, hidden).double()
    for p in model.parameters(): p.data = scale*torch.randn_like(p)
    return model


def all_states(n):
    return torch.tensor(list(itertools.product((0., 1.), repeat=n)), dtype=torch.float64)


@pytest.mark.parametrize(('visible', 'hidden'), [(1, 1), (3, 5), (6, 2), (4, 4)])
def test_probabilities_add_up_to_one(visible, hidden):
    model = machine(visible, hidden)
    p = (-free_energy(model, all_states(visible)) - log_partition(model)).exp().detach()
    assert math.isclose(float(p.sum()), 1, rel_tol=1e-10)


def test_the_loss_has_the_gradient_of_the_likelihood():
    model, data = machine(3, 2, scale=.3), all_states(3)[[1, 3, 6]]
    every = all_states(3)
    p = (-free_energy(model, every)).softmax(0).detach()
    exact = free_energy(model, data).mean() + (-free_energy(model, every)).logsumexp(0)
    want = torch.autograd.grad(exact, list(model.parameters()))
    many = torch.multinomial(p, 400_000, replacement=True,
                             generator=torch.Generator().manual_seed(0))
    got = torch.autograd.grad(contrastive_divergence(model, data, every[many]),
                              list(model.parameters()))
    for a, b in zip(got, want, strict=True): torch.testing.assert_close(a, b, rtol=0, atol=5e-3)


def test_gibbs_keeps_the_distribution():
    model, g = machine(3, 2, seed=3), torch.Generator().manual_seed(0)
    every = all_states(3)
    p = (-free_energy(model, every) - log_partition(model)).exp().detach()
    start = every[torch.multinomial(p, 50_000, replacement=True, generator=g)]
    end = model.gibbs(start, 3, g)
    counts = (end @ torch.tensor([4., 2, 1], dtype=torch.float64)).long().bincount(minlength=8)
    torch.testing.assert_close(counts/len(end), p, rtol=0, atol=.012, check_dtype=False)


def test_bars_and_stripes():
    for side in (1, 2, 3, 4):
        found = bars_and_stripes(side)
        assert len(found) == max(2, 2*2**side - 2)
        square = found.reshape(-1, side, side)
        striped, barred = ((square == first).all((1, 2))
                           for first in (square[:, :, :1], square[:, :1]))
        assert (striped | barred).all()


@pytest.mark.parametrize('step', [.1, .7, 1.5])
def test_langevin_has_the_variance_of_its_closed_form(step):
    g = torch.Generator().manual_seed(0)
    x = langevin(lambda v: -v, torch.zeros(40_000), step, int(12/step) + 5, g)
    assert abs(float(x.var()) - 1/(1 - step/4)) < .04*1/(1 - step/4)


@pytest.mark.parametrize(('named', 'call'), [
    ('beta', lambda: retrieve(torch.zeros(2, 2), torch.zeros(1, 2), 0.)),
    ('visible', lambda: RBM(0, 3)), ('hidden', lambda: RBM(3, 0)),
    ('visible', lambda: RBM(2.5, 3)), ('side', lambda: bars_and_stripes(40)),
    ('model', lambda: log_partition(RBM(30, 30))), ('side', lambda: bars_and_stripes(0)),
    ('step', lambda: langevin(lambda v: -v, torch.zeros(2), 0., 1)),
])
def test_what_cannot_be_is_refused(named, call):
    with pytest.raises(InputError, match=f'`{named}`'): call()
