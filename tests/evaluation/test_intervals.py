"Intervals against SciPy and statsmodels, by enumeration, and at their edges; comparisons against theirs, by brute force and by simulation"
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.stats import binom, binomtest
from statsmodels.stats.contingency_tables import mcnemar as their_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.proportion import confint_proportions_2indep

from dlcourse.core.errors import InputError
from dlcourse.evaluation.intervals import (
    auc_interval,
    bootstrap_difference,
    clopper_pearson,
    compare,
    compare_auc,
    holm,
    mcnemar,
    mean_interval,
    mover_difference,
    mover_ratio,
    needed,
    newcombe_difference,
    normal_reach,
    paired_rates,
    sign_flip,
    wilson,
)
from dlcourse.evaluation.metrics import Undefined, accuracy, roc_auc


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


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.integers(1, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_newcombe_equals_statsmodels(one, two):
    np.testing.assert_allclose(newcombe_difference(*one, *two), confint_proportions_2indep(*one, *two, method='newcomb'), atol=1e-9)


def answers(both, only_a, only_b, none):
    return np.repeat([True, True, False, False], [both, only_a, only_b, none]), np.repeat([True, False, True, False], [both, only_a, only_b, none])


@given(st.tuples(st.integers(1, 50), st.integers(0, 30), st.integers(0, 30), st.integers(0, 50)))
def test_mcnemar_equals_statsmodels(cells):
    both, only_a, only_b, none = cells
    assert mcnemar(*answers(*cells)) == pytest.approx(their_mcnemar([[both, only_a], [only_b, none]], exact=True).pvalue, abs=1e-12)


@pytest.mark.parametrize('p, q', [(.05, .05), (.1, .2), (.02, .1), (.3, .3), (.25, .05)])
def test_paired_rates_cover(p, q, n=40):
    "Every table of 40 pairs, weighted by its probability"
    covered = 0.
    for i in range(n + 1):
        for j in range(n + 1 - i):
            low, high = paired_rates(*answers(n - i - j, i, j, 0))
            covered += stats.multinomial.pmf([i, j, n - i - j], n, [p, q, 1 - p - q])*(low <= p - q <= high)
    assert covered >= .94


def test_student_equals_scipy():
    v = np.random.default_rng(0).normal(.2, 1, 9)
    theirs = stats.ttest_1samp(v, 0)
    ours = compare(v, np.zeros(9), level=.9)
    np.testing.assert_allclose((ours.low, ours.high, ours.p), (*theirs.confidence_interval(.9), theirs.pvalue), atol=1e-12)
    np.testing.assert_allclose(mean_interval(v, .9), theirs.confidence_interval(.9), atol=1e-12)
    wide, narrow = (np.diff(mean_interval(v, overlap=o))[0] for o in (.25, 0))
    assert wide/narrow == pytest.approx(np.sqrt((1/9 + .25)/(1/9)))


def test_sign_flip_equals_enumeration_and_draws_towards_it():
    d = np.array([.3, -.1, .4, .2, .2, -.5, .9])
    exact = np.mean([abs(np.dot(s, d)) >= abs(d.sum()) - 1e-9 for s in product((-1, 1), repeat=7)])
    assert sign_flip(d) == exact == sign_flip(-d)
    d = np.random.default_rng(0).normal(.25, 1, 40)
    theirs = stats.permutation_test((d,), np.mean, permutation_type='samples', n_resamples=5000, rng=1)
    assert sign_flip(d, 5000) == pytest.approx(theirs.pvalue, abs=.02)


@settings(max_examples=30)
@given(st.floats(.01, 2), st.floats(.3, 2), st.floats(.5, .95))
def test_needed_equals_statsmodels(spread, ratio, power):
    "The least number of pairs with the power"
    n, effect = needed(spread, ratio*spread, power=power), TTestPower()
    assert effect.power(ratio, n, .05) >= power - 1e-6 or n == 2
    assert n == 2 or effect.power(ratio, n - 1, .05) < power + 1e-6


@settings(max_examples=20)
@given(st.lists(st.sampled_from([0, .001, .01, .02, .04, .3, 1]), min_size=1, max_size=8))
def test_holm_equals_statsmodels(p):
    np.testing.assert_allclose(holm(p), multipletests(p, method='holm')[1], atol=1e-12)


@pytest.mark.parametrize('shape, groups', [((4, 60), None), ((5, 80), 12), ((1, 120), 15)])
def test_compare_covers_new_seeds_and_new_examples(shape, groups):
    "A mean over rows and columns that are both drawn anew; with groups, whole groups"
    rng, covered, tries = np.random.default_rng(0), 0, 600
    for _ in range(tries):
        d = rng.normal(size=(shape[0], 1))*.3*(shape[0] > 1) + rng.normal(size=shape)
        whose = None if groups is None else np.arange(shape[1]) % groups
        d += rng.normal(size=shape[1]) if groups is None else rng.normal(size=groups)[whose]
        c = compare(d, np.zeros(shape), groups=whose)
        covered += c.low <= 0 <= c.high
    assert covered/tries >= .95 - 2*np.sqrt(.95*.05/tries)


def test_compare_chooses():
    a, b = answers(50, 9, 2, 5)
    one = compare(a[None], b[None])
    assert (one.p, (one.low, one.high), one.examples, one.seeds) == (mcnemar(a, b), paired_rates(a, b), 66, 1)
    assert one.estimate == pytest.approx(7/66) and one.to_dict()['method'] == 'paired rates and exact McNemar'
    assert compare([.9, .8, .85], [.7, .8, .8], least=.05).needed['seeds'] == needed(np.std([.2, 0, .05], ddof=1), .05)
    assert set(compare(np.stack([a, b]), np.stack([b, b]), least=.1).needed) == {'seeds', 'examples'}
    assert repr(compare([.9, .8], [.7, .7])).startswith('+0.1500 (95% from ')
    same = compare(np.ones((3, 5)), np.ones((3, 5)))
    assert (same.low, same.high, same.p) == (0, 0, 1)


def placements(y, score): # By the definition, pair by pair
    pairs = np.array([[(p > n) + .5*(p == n) for n in score[y == 0]] for p in score[y == 1]])
    return pairs.mean(1), pairs.mean(0)


def test_delong_by_brute_force():
    rng = np.random.default_rng(0)
    y = np.arange(50) % 3 == 0
    a, b = (np.round(y + rng.normal(size=50), 1) for _ in range(2))
    (va, wa), (vb, wb) = placements(y, a), placements(y, b)
    error = np.sqrt(np.var(va - vb, ddof=1)/len(va) + np.var(wa - wb, ddof=1)/len(wa))
    c = compare_auc(y, a, b)
    assert c.estimate == pytest.approx(roc_auc(y, a) - roc_auc(y, b)) and (c.high - c.low)/2 == pytest.approx(normal_reach()*error)
    assert c.p == pytest.approx(2*stats.norm.sf(abs(c.estimate)/error))
    area, alone = va.mean(), np.sqrt(np.var(va, ddof=1)/len(va) + np.var(wa, ddof=1)/len(wa))
    odds = np.log(area/(1 - area)) + normal_reach()*alone/(area*(1 - area))*np.array([-1, 1])
    np.testing.assert_allclose(auc_interval(y, a), 1/(1 + np.exp(-odds)), atol=1e-12)
    assert all(isinstance(v, Undefined) for v in auc_interval([0, 0, 1, 1], [1, 2, 3, 4]))


def test_bootstrap_agrees_with_the_formula_and_draws_whole_groups():
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 300)
    a, b = (np.where(rng.random(300) < right, y, 1 - y) for right in (.9, .8))
    c, (low, high) = bootstrap_difference(accuracy, y, a, b, draws=1000), paired_rates(a == y, b == y)
    np.testing.assert_allclose((c.low, c.high), (low, high), atol=.015)
    assert c.estimate == pytest.approx(accuracy(y, a) - accuracy(y, b)) and c.p < .05
    copies = bootstrap_difference(accuracy, np.repeat(y, 4), np.repeat(a, 4), np.repeat(b, 4), groups=np.repeat(np.arange(300), 4), draws=1000)
    assert copies.examples == 300 and (copies.high - copies.low) == pytest.approx(c.high - c.low, rel=.15), 'four copies of a row are one row'
    p = np.random.default_rng(2).dirichlet(np.ones(3), 300)
    assert bootstrap_difference(lambda y, p: p[:, 0].mean(), y, p, p, draws=20).estimate == 0


@pytest.mark.parametrize('call, says', [
    (lambda: mean_interval([1.]), '`values` must hold two runs or more'), (lambda: mcnemar([1, 0], [1]), 'for each of the same examples'),
    (lambda: paired_rates([.5, 1], [1, 0]), 'must say True or False'), (lambda: sign_flip([]), '`differences` must hold a number for each pair'),
    (lambda: compare([1, 2], [1, 2, 3]), r'got shapes \(2,\) and \(3,\)'), (lambda: compare([1, np.nan], [1, 2]), 'must be numbers of one shape'),
    (lambda: compare(np.ones((2, 3)), np.zeros((2, 3)), groups=[1, 1, 1]), '`groups` must name two groups or more'),
    (lambda: needed(1, 0), '`difference` not zero'), (lambda: auc_interval([0, 1, 1], [1, 2, 3]), 'need two positive and two negative rows or more; got 2 and 1'),
    (lambda: bootstrap_difference(roc_auc, [0, 1], [1, 2], [2, 1], draws=50), '`metric` is undefined in')])
def test_errors_of_comparisons(call, says):
    with pytest.raises(InputError, match=says): call()
