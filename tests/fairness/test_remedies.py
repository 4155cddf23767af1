"Weights and thresholds by hand: what they promise, for any table"
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcourse.fairness.remedies import group_thresholds, reweighing, widest_gap


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
