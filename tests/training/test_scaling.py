"The power law against scipy and against its own promise, the split of a budget, a counter"
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit, minimize_scalar

from dlcourse.core.errors import InputError
from dlcourse.training.scaling import compute_optimal, counted, fit_power_law, training_flops

SIZES = np.repeat(np.geomspace(1e3, 3e4, 6), 3)


@pytest.mark.parametrize('a, b, c', [(20, .4, 1), (9, .2, .5), (3e4, 1.3, .02), (2, .05, .3)])
def test_exact_curves_are_found(a, b, c):
    law = fit_power_law(SIZES, a*SIZES**-b + c)
    assert law.b == pytest.approx(b, rel=1e-3)
    assert law(1e6) == pytest.approx(a*1e6**-b + c, rel=1e-4)
    value, low, high = law.predict(1e6)
    assert low <= value <= high and high - low < 1e-3*value


@pytest.mark.parametrize('seed', range(4))
def test_the_fit_is_scipys(seed):
    loss = (20*SIZES**-.4 + 1)*(1 + .01*np.random.default_rng(seed).normal(size=len(SIZES)))
    law = fit_power_law(SIZES, loss)
    def f(n, a, b, c): return a*n**-b + c
    how = dict(p0=(20, .4, 1), sigma=loss, bounds=(0, np.inf))
    (a, b, c), covariance = curve_fit(f, SIZES, loss, **how)
    assert (law.a, law.b, law.c) == pytest.approx((a, b, c), rel=.01)
    gradient = np.array([1e5**-b, -a*1e5**-b*np.log(1e5), 1.])
    # Linearized; Student's t for 15
    wide = 2.131*np.sqrt(gradient @ covariance @ gradient + (law.scatter*f(1e5, a, b, c))**2)
    _, low, high = law.predict(1e5)
    assert high - low == pytest.approx(2*wide, rel=.25)


@pytest.mark.parametrize('a, b, c, level, least, most', [
    (20, .4, 1, .95, 88, 100), (50, .5, 0, .95, 87, 100), (20, .4, 1, .5, 35, 67)])
def test_the_interval_holds_what_it_promises(a, b, c, level, least, most):
    "In per cent, of 80 intervals for a run at four times the largest size"
    draw, hits = np.random.default_rng(1), 0
    for _ in range(80):
        runs = (a*SIZES**-b + c)*(1 + .01*draw.normal(size=18))
        _, low, high = fit_power_law(SIZES, runs, level=level).predict(1.2e5)
        hits += low <= (a*1.2e5**-b + c)*(1 + .01*draw.normal()) <= high
    assert least <= 100*hits/80 <= most


def test_order_and_units_of_n_do_not_matter():
    loss = (20*SIZES**-.4 + 1)*(1 + .01*np.random.default_rng(3).normal(size=18))
    law, other = fit_power_law(SIZES, loss), fit_power_law(SIZES[::-1]*1e6, loss[::-1])
    assert other.predict(1e11) == pytest.approx(law.predict(1e5), rel=1e-6)
    assert 'fitted on 18 runs' in repr(law)


@pytest.mark.parametrize(('n', 'loss', 'says'), [
    ([1, 2, 3], [1, 2, 3], 'four sizes'), ([1, 2, 3, 4], [4, 3, 2, 1], '4 runs'),
    ([1, 1, 2, 2, 3, 3], [3, 3, 2, 2, 1, 1], '3 sizes, 6 runs'),
    ([1, 2, 3, 4, 5], [5, 4, np.nan, 2, 1], 'that broke'),
    ([0, 2, 3, 4, 5], [5, 4, 3, 2, 1], 'positive'), ([1, 2], [1, 2, 3], 'one length')])
def test_what_no_curve_can_be_fitted_to(n, loss, says):
    with pytest.raises(InputError, match=says): fit_power_law(n, loss)


def test_level_and_size_are_checked():
    loss = 20*SIZES**-.4 + 1
    with pytest.raises(InputError, match='`level`'): fit_power_law(SIZES, loss, level=95)
    with pytest.raises(InputError, match='`n` must be positive'):
        fit_power_law(SIZES, loss).predict(0)


@settings(deadline=None, max_examples=40)
@given(C=st.floats(1e8, 1e24), A=st.floats(1, 1e3), B=st.floats(1, 1e3),
       alpha=st.floats(.1, 1), beta=st.floats(.1, 1))
def test_no_split_is_better(C, A, B, alpha, beta):
    N, D = compute_optimal(C, A, B, alpha, beta)
    def L(u): return A*np.exp(-alpha*u) + B*np.exp(-beta*(np.log(C/6) - u))
    best = minimize_scalar(L, bounds=(np.log(N) - 5, np.log(N) + 5), method='bounded').fun
    assert 6*N*D == pytest.approx(C) and L(np.log(N)) <= best*(1 + 1e-9)


def test_flops_of_a_network():
    by_hand = 1000*(6*(64*128 + 128*10) - 2*64*128)
    assert training_flops([64, 128, 10], 1000) == by_hand


@given(st.integers(2, 10**9), st.data())
def test_a_counter_that_comes_round(span, data):
    before, ran = data.draw(st.integers(0, span - 1)), data.draw(st.integers(0, span - 1))
    assert counted(before, (before + ran) % span, span) == ran
