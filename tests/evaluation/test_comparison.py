"Comparisons against statsmodels and SciPy, by brute force, by enumeration and by simulation"
from itertools import product
from unittest import mock

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as their_mcnemar
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower

from dlcourse.core.errors import InputError
from dlcourse.evaluation.comparison import (
    benjamini_hochberg,
    bootstrap_difference,
    compare,
    compare_auc,
    holm,
    mcnemar,
    needed,
    paired_rates,
    sign_flip,
)
from dlcourse.evaluation.intervals import normal_reach, wilson
from dlcourse.evaluation.metrics import accuracy, roc_auc


def answers(*counts):
    "Answers of two models, from how often both, only the first, only the second, neither is right"
    first, second = [True, True, False, False], [True, False, True, False]
    return np.repeat(first, counts), np.repeat(second, counts)


CELLS = st.tuples(st.integers(1, 50), st.integers(0, 30), st.integers(0, 30), st.integers(0, 50))


@given(CELLS)
def test_mcnemar_equals_statsmodels(cells):
    both, only_a, only_b, none = cells
    theirs = their_mcnemar([[both, only_a], [only_b, none]], exact=True)
    assert mcnemar(*answers(*cells)) == pytest.approx(theirs.pvalue, abs=1e-12)


@pytest.mark.parametrize('p, q', [(.05, .05), (.1, .2), (.02, .1), (.3, .3), (.25, .05)])
def test_paired_rates_cover(p, q, n=40):
    "Every table of 40 pairs, weighted by its probability"
    covered = 0.
    for i in range(n + 1):
        for j in range(n + 1 - i):
            low, high = paired_rates(*answers(n - i - j, i, j, 0))
            chance = stats.multinomial.pmf([i, j, n - i - j], n, [p, q, 1 - p - q])
            covered += chance*(low <= p - q <= high)
    assert covered >= .94


def test_sign_flip_equals_enumeration_and_draws_towards_it():
    d = np.array([.3, -.1, .4, .2, .2, -.5, .9])
    sums = [np.dot(signs, d) for signs in product((-1, 1), repeat=7)]
    exact = np.mean(np.abs(sums) >= abs(d.sum()) - 1e-9)
    assert sign_flip(d) == exact == sign_flip(-d)
    d = np.random.default_rng(0).normal(.25, 1, 40)
    theirs = stats.permutation_test((d,), np.mean, permutation_type='samples', n_resamples=5000,
                                    rng=1)
    assert sign_flip(d, 5000) == pytest.approx(theirs.pvalue, abs=.02)


@settings(max_examples=30)
@given(st.floats(.01, 2), st.floats(.3, 2), st.floats(.5, .95))
def test_needed_equals_statsmodels(spread, ratio, power):
    "The least number of pairs with the power"
    n, effect = needed(spread, ratio*spread, power=power), TTestPower()
    assert effect.power(ratio, n, .05) >= power - 1e-6 or n == 2
    assert n == 2 or effect.power(ratio, n - 1, .05) < power + 1e-6


P_VALUES = st.lists(st.sampled_from([0, .001, .01, .02, .04, .3, 1]), min_size=1, max_size=8)


@settings(max_examples=20)
@given(P_VALUES)
def test_corrections_equal_statsmodels(p):
    # Their Holm looks for garbage in the whole process, which holds all that other tests loaded
    with mock.patch('gc.collect'): holms = multipletests(p, method='holm')[1]
    np.testing.assert_allclose(holm(p), holms, atol=1e-12)
    theirs = multipletests(p, method='fdr_bh')[1]
    np.testing.assert_allclose(benjamini_hochberg(np.array(p, float)), theirs, atol=1e-12)


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


def test_compare_takes_the_test_that_fits():
    a, b = answers(50, 9, 2, 5)
    one = compare(a[None], b[None])
    assert (one.p, (one.low, one.high)) == (mcnemar(a, b), paired_rates(a, b))
    assert (one.examples, one.seeds, one.method) == (66, 1, 'paired rates and exact McNemar')
    assert one.estimate == pytest.approx(7/66) and one.to_dict()['method'] == one.method
    by_runs = compare([.9, .8, .85], [.7, .8, .8], least=.05)
    assert by_runs.needed['seeds'] == needed(np.std([.2, 0, .05], ddof=1), .05)
    by_both = compare(np.stack([a, b]), np.stack([b, b]), least=.1)
    assert set(by_both.needed) == {'seeds', 'examples'}
    assert repr(compare([.9, .8], [.7, .7])).startswith('+0.1500 (95 % from ')
    same = compare(np.ones((3, 5)), np.ones((3, 5)))
    assert (same.low, same.high, same.p) == (0, 0, 1)


def test_compare_over_runs_is_scipys_paired_t():
    v = np.random.default_rng(0).normal(.2, 1, 9)
    ours, theirs = compare(v, np.zeros(9), level=.9), stats.ttest_1samp(v, 0)
    both = *theirs.confidence_interval(.9), theirs.pvalue
    np.testing.assert_allclose((ours.low, ours.high, ours.p), both, atol=1e-12)


def placements(y, score): # By the definition, pair by pair
    pairs = np.array([[(p > n) + .5*(p == n) for n in score[y == 0]] for p in score[y == 1]])
    return pairs.mean(1), pairs.mean(0)


def test_areas_are_compared_by_the_differences_of_placements():
    rng = np.random.default_rng(0)
    y = np.arange(50) % 3 == 0
    a, b = (np.round(y + rng.normal(size=50), 1) for _ in range(2))
    (va, wa), (vb, wb) = placements(y, a), placements(y, b)
    error = np.sqrt(np.var(va - vb, ddof=1)/len(va) + np.var(wa - wb, ddof=1)/len(wa))
    c = compare_auc(y, a, b)
    assert c.estimate == pytest.approx(roc_auc(y, a) - roc_auc(y, b))
    assert (c.high - c.low)/2 == pytest.approx(normal_reach()*error)
    assert c.p == pytest.approx(2*stats.norm.sf(abs(c.estimate)/error))


def test_bootstrap_agrees_with_the_formula_and_draws_whole_groups():
    rng = np.random.default_rng(1)
    y = rng.integers(0, 2, 300)
    a, b = (np.where(rng.random(300) < right, y, 1 - y) for right in (.9, .8))
    c = bootstrap_difference(accuracy, y, a, b, draws=1000)
    np.testing.assert_allclose((c.low, c.high), paired_rates(a == y, b == y), atol=.015)
    assert c.estimate == pytest.approx(accuracy(y, a) - accuracy(y, b)) and c.p < .05
    four, whose = (np.repeat(v, 4) for v in (y, a, b)), np.repeat(np.arange(300), 4)
    copies = bootstrap_difference(accuracy, *four, groups=whose, draws=1000)
    assert copies.examples == 300, 'four copies of a row are one row'
    assert (copies.high - copies.low) == pytest.approx(c.high - c.low, rel=.15)
    p = np.random.default_rng(2).dirichlet(np.ones(3), 300)
    assert bootstrap_difference(lambda y, p: p[:, 0].mean(), y, p, p, draws=20).estimate == 0


ONES, ZEROS = np.ones((2, 3)), np.zeros((2, 3))


@pytest.mark.parametrize('call, says', [
    (lambda: mcnemar([1, 0], [1]), 'for each of the same examples'),
    (lambda: paired_rates([.5, 1], [1, 0]), 'must say True or False'),
    (lambda: sign_flip([]), '`differences` must be finite numbers in a row, one or more'),
    (lambda: compare([1, 2], [1, 2, 3]), r'got shapes \(2,\) and \(3,\)'),
    (lambda: compare([1, np.nan], [1, 2]), 'must be numbers of one shape'),
    (lambda: compare(ONES, ZEROS, groups=[1, 1, 1]), '`groups` must name two groups or more'),
    (lambda: needed(1, 0), '`difference` not zero'),
    (lambda: bootstrap_difference(roc_auc, [0, 1], [1, 2], [2, 1], draws=50), 'is undefined in')])
def test_what_cannot_be_compared_is_refused(call, says):
    with pytest.raises(InputError, match=says): call()


Y = pd.Series([0, 1]*10)


@pytest.mark.parametrize('call, says', [
    (lambda: mcnemar(Y, Y.iloc[::-1]), '`right_b` has other row labels'),
    (lambda: compare(Y, Y.iloc[::-1]), '`b` has other row labels'),
    (lambda: compare_auc(Y, Y.iloc[::-1], Y), '`score` has other row labels'),
    (lambda: bootstrap_difference(accuracy, Y, Y, Y, groups=Y.iloc[::-1]), '`groups` has'),
    (lambda: bootstrap_difference(accuracy, Y, Y[:9], Y), 'got 20 in `y_true`, 9 in `a`'),
    (lambda: bootstrap_difference(accuracy, Y, Y, Y, groups=[1, 2]), '2 in `groups`'),
    (lambda: compare(ONES, ZEROS, groups=[1, 2, None]), '`groups` must not be NaN'),
    (lambda: sign_flip([1, 2, np.nan]), 'must be finite numbers'),
    (lambda: holm([.1, np.nan]), '`p` must hold a chance'), (lambda: holm([1.5]), 'chance'),
    (lambda: benjamini_hochberg(np.array([-.1, .2])), '`p` must hold a chance'),
    (lambda: wilson([[1], [2]], [3, 4]), 'must have one shape')])
def test_other_rows_and_gaps_are_not_compared(call, says):
    with pytest.raises(InputError, match=says): call()


@pytest.mark.parametrize(('right', 'came'), [
    ([1, 2, 1], 'got 2'), (['yes', 'no', 'no'], "got 'yes'"), ([1, None, 0], 'got None')])
def test_other_values_than_truths_are_named(right, came):
    with pytest.raises(InputError, match=came): mcnemar(right, [1, 0, 1])
    with pytest.raises(InputError, match=came): paired_rates([1, 0, 1], right)


@pytest.mark.parametrize('p', [{'a': .01}, ['a'], [None], {.1, .2}])
def test_what_is_no_p_value_is_refused(p):
    for ask in (holm, benjamini_hochberg):
        with pytest.raises(InputError, match='`p` must'): ask(p)
