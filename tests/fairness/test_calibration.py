"Statistics of a score from counts: against scikit-learn, and at the edges"
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from dlcourse.fairness.calibration import auc_bounds, auc_limits


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
