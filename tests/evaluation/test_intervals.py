"Intervals against SciPy and statsmodels, by enumeration, and at their edges"
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.stats import binom, binomtest
from statsmodels.stats.proportion import confint_proportions_2indep

from dlcourse.core.errors import InputError
from dlcourse.evaluation.intervals import (
    auc_interval,
    clopper_pearson,
    mean_interval,
    mover_difference,
    mover_ratio,
    newcombe_difference,
    normal_reach,
    placement_error,
    placements,
    student,
    wilson,
)
from dlcourse.evaluation.metrics import Undefined


def counts(most):
    "Successes and trials"
    return st.integers(1, most).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))


@given(counts(2000), st.floats(.5, .999))
def test_rates_equal_scipys(kn, level):
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


def test_newcombe_as_published():
    "Newcombe 1998, table II, method 10, (a)"
    limits = mover_difference(56/70, 48/80, wilson(56, 70), wilson(48, 80))
    np.testing.assert_allclose(limits, (.0524, .3339), atol=5e-5)


def test_ratios_at_the_edges():
    ci = clopper_pearson
    assert mover_ratio(0., .5, ci(0, 10), ci(5, 10))[0] == 0
    assert mover_ratio(.5, 0., ci(5, 10), ci(0, 10))[1] == np.inf
    low, high = mover_ratio(.5, .5, ci(50, 100), ci(50, 100))
    assert low < 1 < high and abs(low*high - 1) < 1e-9, "symmetric about 1 on the log scale"
    tight = mover_ratio(.6, .3, ci(600_000, 10**6), ci(300_000, 10**6))
    np.testing.assert_allclose(tight, 2, rtol=.01)


@given(st.integers(0, 30), st.integers(0, 40))
def test_the_ratio_turned_over_has_the_limits_turned_over(k1, k2):
    one, two = clopper_pearson(k1, 30), clopper_pearson(k2, 40)
    low, high = mover_ratio(k1/30, k2/40, one, two)
    back_low, back_high = mover_ratio(k2/40, k1/30, two, one)
    with np.errstate(divide='ignore'): turned = 1/np.float64(back_high), 1/np.float64(back_low)
    np.testing.assert_allclose((low, high), turned, rtol=1e-9)


@given(counts(60), counts(60))
def test_newcombe_equals_statsmodels(one, two):
    theirs = confint_proportions_2indep(*one, *two, method='newcomb')
    np.testing.assert_allclose(newcombe_difference(*one, *two), theirs, atol=1e-9)


def test_student_equals_scipys():
    v = np.random.default_rng(0).normal(.2, 1, 9)
    theirs = stats.ttest_1samp(v, 0)
    both = *theirs.confidence_interval(.9), theirs.pvalue
    np.testing.assert_allclose(student(v.mean(), stats.sem(v), 8, .9), both, atol=1e-12)
    np.testing.assert_allclose(mean_interval(v, .9), theirs.confidence_interval(.9), atol=1e-12)
    assert student(0., 0., 8) == (0, 0, 1) and student(1., 0., 8) == (1, 1, 0)


def test_overlapping_folds_widen_the_interval():
    v = np.random.default_rng(0).normal(.2, 1, 9)
    wide, narrow = (np.diff(mean_interval(v, overlap=overlap))[0] for overlap in (.25, 0))
    assert wide/narrow == pytest.approx(np.sqrt((1/9 + .25)/(1/9)))


def pair_by_pair(y, score):
    pairs = np.array([[(p > n) + .5*(p == n) for n in score[y == 0]] for p in score[y == 1]])
    return pairs.mean(1), pairs.mean(0)


def test_area_by_brute_force():
    rng = np.random.default_rng(0)
    y = np.arange(50) % 3 == 0
    score = np.round(y + rng.normal(size=50), 1)
    above, below = pair_by_pair(y, score)
    np.testing.assert_allclose(np.concatenate(placements(y, score)), np.concatenate([above, below]))
    area = above.mean()
    error = np.sqrt(np.var(above, ddof=1)/len(above) + np.var(below, ddof=1)/len(below))
    assert placement_error(above, below) == pytest.approx(error)
    odds = np.log(area/(1 - area)) + normal_reach()*error/(area*(1 - area))*np.array([-1, 1])
    np.testing.assert_allclose(auc_interval(y, score), 1/(1 + np.exp(-odds)), atol=1e-12)
    assert all(isinstance(v, Undefined) for v in auc_interval([0, 0, 1, 1], [1, 2, 3, 4]))


@pytest.mark.parametrize('call, says', [
    (lambda: wilson(5, 4), '`successes` must be from 0 to `trials`; got 5 of 4'),
    (lambda: normal_reach(95), '`level` must lie between 0 and 1'),
    (lambda: mean_interval([1.]), '`values` must hold two runs or more'),
    (lambda: auc_interval([0, 1, 1], [1, 2, 3]), 'two negative rows or more; got 2 and 1')])
def test_what_has_no_interval_is_refused(call, says):
    with pytest.raises((ValueError, InputError), match=says): call()


def test_a_mean_with_a_run_that_has_no_value_says_so():
    for value in (np.nan, np.inf):
        low, high = mean_interval([1, value, 2])
        assert np.isnan(low) and np.isnan(high) and low.why == 'a run has no finite value'
    huge = mean_interval([1e200, 2e200, 3e200])[1]
    assert huge == pytest.approx(1e200*mean_interval([1, 2, 3])[1])
    with pytest.raises(InputError, match='`values` must hold numbers'): mean_interval(['a', 'b'])
