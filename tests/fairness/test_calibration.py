"Statistics of a score from counts: against scikit-learn, and at the edges"
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from dlcourse.fairness.calibration import auc_bounds, auc_limits, auc_variance


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 9)), min_size=2, max_size=60),
       st.integers(1, 10))
def test_the_bounds_hold_for_any_bins(pairs, bins):
    y, s = np.array(pairs).T
    if len(set(y)) < 2: return
    place = s*bins//10
    low, high = auc_bounds(np.bincount(place[y == 1], minlength=bins),
                           np.bincount(place[y == 0], minlength=bins))
    truth = roc_auc_score(y, s)
    assert low - 1e-12 <= truth <= high + 1e-12
    if bins == 10: assert abs((low + high)/2 - truth) < 1e-12


def test_perfect_ranking_has_an_interval():
    auc, low, high = auc_limits(np.array([0, 8]), np.array([9, 0]))
    assert auc == high == 1 and .5 < low < 1


@pytest.mark.parametrize('positives, negatives, shift, spread',
                         [(10, 300, 3.5, 3), (10, 60, 2.5, 3), (14, 200, 2.5, 2), (10, 40, .5, 1)])
def test_few_positives_of_a_wide_spread_are_allowed_for(positives, negatives, shift, spread):
    "One in ten of them may lie below everybody, and a sample of ten often holds none of those"
    rng, truth = np.random.default_rng(8), NormalDist().cdf(shift/(1 + spread**2)**.5)
    s = np.c_[rng.normal(shift, spread, (1500, positives)), rng.normal(size=(1500, negatives))]
    positive = (np.argsort(s, 1) < positives)*1.
    _, low, high = auc_limits(positive, 1 - positive)
    assert np.mean((low <= truth) & (truth <= high)) >= .94 - .012


def test_many_people_have_the_interval_of_delong():
    rng = np.random.default_rng(9)
    order = np.argsort(np.r_[rng.normal(1, 1, 20_000), rng.normal(size=30_000)])
    positive = (order < 20_000)*1.
    auc, low, high = auc_limits(positive, 1 - positive)
    usual = 1.96*np.sqrt(auc_variance(positive, 1 - positive))
    assert (high - low)/2 == pytest.approx(usual, rel=.02)
