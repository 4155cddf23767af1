"Weights and thresholds by hand: what they promise, for any table"
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from dlcourse.core.errors import InputError
from dlcourse.fairness.frontier import mitigate, pareto
from dlcourse.fairness.remedies import (
    group_thresholds,
    held_out_scores,
    reweighing,
    widest_gap,
)


@given(st.integers(2, 200), st.integers(2, 5), st.integers(2, 4), st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_reweighed_tables_are_independent(n, groups, labels, seed):
    rng = np.random.default_rng(seed)
    g, y = rng.integers(groups, size=n), rng.integers(labels, size=n)
    w = reweighing(y, g)
    table = np.zeros((groups, labels))
    np.add.at(table, (g, y), w)
    full = np.zeros((groups, labels))
    np.add.at(full, (g, y), 1)
    if (full[np.ix_(full.any(1), full.any(0))] > 0).all():
        np.testing.assert_allclose(table, np.outer(full.sum(1), full.sum(0))/n, atol=1e-9)
    assert (w > 0).all() and w.shape == (n,)


@given(st.integers(1, 60), st.floats(0, 1), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_thresholds_let_enough_through_and_are_the_highest(n, target, seed):
    s = np.random.default_rng(seed).integers(0, 20, n)/20
    bar = group_thresholds(s, np.zeros(n, int), target)[0]
    assert (s >= bar).mean() >= target - 1e-8
    if bar < math.inf: assert (s > bar).mean() < target


def test_pairwise_gap_is_at_most_twice_the_distance_from_everyone():
    rng = np.random.default_rng(0)
    for _ in range(50):
        c, g = rng.integers(0, 2, 40), rng.integers(0, 4, 40)
        pair, everyone = widest_gap(c, g)
        assert everyone - 1e-12 <= pair <= 2*everyone + 1e-12
    assert widest_gap(np.array([1, 1, 0, 0]), np.array([0, 0, 1, 1])) == (1., .5)


def held_out(y, folds=3): return held_out_scores(LogisticRegression(), np.ones((4, 1)), y, folds)

@pytest.mark.parametrize('call, said', [
    (lambda: widest_gap([1, 0], ['a']), '`chosen` and `groups` must have a value for each row'),
    (lambda: widest_gap([1, np.nan], ['a', 'b']), '`chosen` must not be NaN'),
    (lambda: widest_gap(['yes', 'no'], ['a', 'b']), '`chosen` must hold numbers'),
    (lambda: reweighing([1, 0], ['a', None]), '`groups` must not be NaN, None or empty'),
    (lambda: reweighing(np.ones((2, 1)), ['a', 'b']), 'such as `table'),
    (lambda: group_thresholds([.1, .2], ['a', 'b'], 1.5), '`target` must be a number from 0 to 1'),
    (lambda: group_thresholds([.1, np.nan], ['a', 'b'], .5), '`scores` must not be NaN'),
    (lambda: group_thresholds([.1, .2], ['a', 'b'], .5, [True]), 'must have a value for each row'),
    (lambda: held_out([0, 1, 0]), 'the same rows'),
    (lambda: held_out([0, 1, 2, 1]), '`y` must be'),
    (lambda: held_out([0, 1, 0, 1], 1), '`folds` must'),
    (lambda: held_out([0, 1, 0, 1], 2), 'both labels'),
    (lambda: pareto([.9, .8], [.1]), '`accuracy` and `gap` must have a value for each row'),
    (lambda: pareto([.9, np.nan], [.1, .2]), '`accuracy` must not be NaN'),
])
def test_columns_that_do_not_fit_are_refused(call, said):
    with pytest.raises(InputError, match=said): call()

def test_lists_do_as_arrays_do():
    y, g, s = [1, 0, 1, 1], ['a', 'a', 'b', 'b'], [.9, .1, .4, .6]
    assert widest_gap(y, g) == widest_gap(np.array(y), np.array(g)) == (.5, .25)
    assert group_thresholds(s, g, .5) == {'a': .9, 'b': .6}
    np.testing.assert_allclose(reweighing(y, g), reweighing(np.array(y), np.array(g)))


def test_what_mitigate_cannot_take_is_told():
    rng = np.random.default_rng(0)
    x, y, g = rng.normal(size=(80, 2)), np.arange(80) % 2, np.arange(80) // 2 % 2
    words = pd.DataFrame({'a': ['u', 'v']*40, 'b': x[:, 0]})
    one = LogisticRegression()
    for features, estimator, how, says in (
            (x[:, 0], one, {}, '`x` must have a row for each person and a column'),
            (pd.Series(x[:, 0]), one, {}, '`x` must have a row for each person and a column'),
            (words, one, {}, '`x` has words, and `estimator` takes numbers'),
            (words.to_numpy(), one, {}, '`x` has words, and `estimator` takes numbers'),
            (x, LogisticRegression, {}, '`estimator` must be a classifier that is made'),
            (x, one, {'level': 95}, '`level` must lie between 0 and 1')):
        with pytest.raises(InputError, match=says):
            mitigate(features, y, g, estimator=estimator, methods=['reweighing'], seeds=1, **how)
