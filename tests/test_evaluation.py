"Intervals against SciPy, by enumeration, and at their edges"
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from dlcourse.training.evaluation import clopper_pearson, mover_difference, mover_ratio, normal_reach, wilson


@given(st.integers(1, 2000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.floats(.5, .999))
def test_equal_to_scipy(kn, level):
    k, n = kn
    for ours, method in ((wilson, 'wilson'), (clopper_pearson, 'exact')):
        theirs = binomtest(k, n).proportion_ci(level, method=method)
        np.testing.assert_allclose(ours(k, n, level), (theirs.low, theirs.high), atol=1e-9)


def test_shapes_edges_and_nobody():
    low, high = wilson([0, 5, 10, 0], [10, 10, 10, 0])
    assert low[0] == 0 and high[2] == 1 and np.isnan([low[3], high[3]]).all()
    assert clopper_pearson(0, 0) == (0, 1)
    np.testing.assert_allclose(wilson(4.5, 9.), wilson(45, 90), atol=.3)


@pytest.mark.parametrize('n', [10, 37, 200])
def test_clopper_pearson_never_covers_less(n):
    k = np.arange(n + 1)
    low, high = clopper_pearson(k, n)
    p = np.linspace(.001, .999, 999)
    covered = (binom.pmf(k[:, None], n, p)*((low[:, None] <= p) & (p <= high[:, None]))).sum(0)
    assert covered.min() >= .95


def test_newcombe_published():
    "Newcombe 1998, table II, method 10, (a)"
    np.testing.assert_allclose(mover_difference(56/70, 48/80, wilson(56, 70), wilson(48, 80)), (.0524, .3339), atol=5e-5)


def test_ratio_edges():
    ci = clopper_pearson
    assert mover_ratio(0., .5, ci(0, 10), ci(5, 10))[0] == 0
    assert mover_ratio(.5, 0., ci(5, 10), ci(0, 10))[1] == np.inf
    low, high = mover_ratio(.5, .5, ci(50, 100), ci(50, 100))
    assert low < 1 < high and abs(low*high - 1) < 1e-9, "the ratio of equal rates is symmetric about 1 on the log scale"
    tight = mover_ratio(.6, .3, ci(600_000, 10**6), ci(300_000, 10**6))
    np.testing.assert_allclose(tight, 2, rtol=.01)


@given(st.integers(0, 30), st.integers(0, 40))
def test_ratio_inverts(k1, k2):
    one, two = clopper_pearson(k1, 30), clopper_pearson(k2, 40)
    low, high = mover_ratio(k1/30, k2/40, one, two)
    back_low, back_high = mover_ratio(k2/40, k1/30, two, one)
    with np.errstate(divide='ignore'): np.testing.assert_allclose((low, high), (1/np.float64(back_high), 1/np.float64(back_low)), rtol=1e-9)


def test_errors():
    with pytest.raises(ValueError, match="`successes` must be from 0 to `trials`; got 5 of 4"): wilson(5, 4)
    with pytest.raises(ValueError, match="`level` must lie between 0 and 1"): normal_reach(95)
