"Solvers against closed forms and SciPy"
import math

import pytest
import torch
from scipy.integrate import solve_ivp

from dlcourse.core.errors import InputError
from dlcourse.generative.solvers import SOLVERS, check_times, solve


def precisely(row, begin, end):
    def velocity(t, v): return swing(torch.tensor(v), torch.tensor(t)).numpy()
    found = solve_ivp(velocity, (begin, end), row.numpy(), rtol=1e-10, atol=1e-12)
    return torch.tensor(found.y[:, -1])


def swing(x, t): return torch.stack([x[..., 1], -x[..., 0]*(1 + .3*torch.sin(3*t))], -1)


def test_all_arrive_where_scipy_does():
    x = torch.tensor([[1., 0], [.3, -2], [0, 1]], dtype=torch.float64)
    for begin, end in ((0., 2.), (1.5, -.5)):
        want = [solve_ivp(lambda t, v: swing(torch.tensor(v), torch.tensor(t)).numpy(),
                          (begin, end), row.numpy(), rtol=1e-10, atol=1e-12).y[:, -1] for row in x]
        want = torch.stack([precisely(row, begin, end) for row in x])
        for method, within in (('euler', .05), ('heun', 1e-4), ('rk4', 1e-8)):
            got = solve(swing, x, torch.linspace(begin, end, 401), method)
            assert (got - want).abs().max() < within


@pytest.mark.parametrize(('method', 'order'), [('euler', 1), ('heun', 2), ('rk4', 4)])
def test_order(method, order):
    x = torch.tensor([1.], dtype=torch.float64)
    def error(n):
        times = torch.linspace(0, 1, n + 1, dtype=torch.float64)
        return abs(float(solve(lambda x, t: t*x, x, times, method)) - math.exp(.5))
    assert abs(math.log2(error(32)/error(64)) - order) < .1


def test_calls_are_what_they_say():
    for method, (_, calls) in SOLVERS.items():
        seen = []
        def velocity(x, t, seen=seen): seen.append(float(t)); return -x
        solve(velocity, torch.ones(2), [0, .5, 2], method)
        assert len(seen) == 2*calls and min(seen) == 0


def test_uneven_steps_and_a_straight_way_are_exact():
    x = torch.tensor([[1., 2]])
    for method in SOLVERS:
        got = solve(lambda x, t: torch.full_like(x, 3.), x, [0, .1, .7, 1], method, keep=True)
        want = torch.tensor([[1., 2], [1.3, 2.3], [3.1, 4.1], [4, 5]])
        torch.testing.assert_close(got[:, 0], want)
    assert x.tolist() == [[1, 2]]


def test_gradients_pass():
    x = torch.tensor([.7], dtype=torch.float64, requires_grad=True)
    grad, = torch.autograd.grad(solve(lambda x, t: -x, x, torch.linspace(0, 1, 51), 'rk4'), x)
    assert float(grad) == pytest.approx(math.exp(-1), abs=1e-8)


def test_shape_precision_and_ways_back():
    for kind in (torch.float32, torch.float64):
        x = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)).to(kind)
        there = solve(lambda x, t: torch.cos(x), x, torch.linspace(0, 1, 40), 'rk4')
        back = solve(lambda x, t: torch.cos(x), there, torch.linspace(1, 0, 40), 'rk4')
        assert there.dtype == kind and there.shape == x.shape
        torch.testing.assert_close(back, x, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('times', [[0], [0, 0, 1], [0, 1, .5], [0, math.nan], [0, math.inf], []])
def test_times_that_do_not_run_one_way(times):
    with pytest.raises(InputError, match='`times`'): check_times(times)


@pytest.mark.parametrize(('change', 'name'), [
    (dict(method='midpoint'), '`method`'),
    (dict(x=torch.tensor([math.nan])), '`x`'),
    (dict(x=torch.tensor([1])), '`x`'),
    (dict(velocity=lambda x, t: torch.ones(3, 1)), '`velocity`'),
])
def test_what_cannot_be_followed_is_named(change, name):
    usual = dict(velocity=lambda x, t: -x, x=torch.ones(2), times=[0, 1])
    with pytest.raises(InputError, match=name): solve(**usual | change)
