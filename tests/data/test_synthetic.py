"Scores, distances, p-values and usefulness against SciPy's, scikit-learn's and a second writing"
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import QuantileTransformer

from dlcourse.core.errors import InputError
from dlcourse.data.synthetic import (
    energy_distance,
    membership_auc,
    normal_scores,
    permutation_test,
    usefulness,
)

few = hypothesis_settings(max_examples=30, deadline=None)
numbers = st.lists(st.integers(-5, 5), min_size=1, max_size=20)


@few
@given(numbers)
def test_scores_by_the_standard_library(column):
    phi = NormalDist()
    want = [phi.inv_cdf((sum(v < x for v in column) + sum(v == x for v in column)/2)/len(column))
            for x in column]
    np.testing.assert_allclose(normal_scores(np.array(column)), want, atol=1e-9)


def test_scores_are_near_those_of_scikit_learn():
    x = np.random.default_rng(0).gamma(2, size=(2000, 1))
    theirs = QuantileTransformer(n_quantiles=2000, output_distribution='normal').fit_transform(x)
    inner = abs(theirs[:, 0]) < 2.5
    np.testing.assert_allclose(normal_scores(x[:, 0])[inner], theirs[inner, 0], atol=.02)


@few
@given(numbers, numbers)
def test_energy_distance_is_scipys_squared(a, b):
    ours = energy_distance(np.array(a)[:, None], np.array(b)[:, None])
    assert ours == pytest.approx(stats.energy_distance(a, b)**2, abs=1e-9)


def test_p_values_are_near_scipys_exact_ones():
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=7), rng.normal(1, size=6)
    def ahead(a, b): return a.mean() - b.mean()
    exact = stats.permutation_test((a, b), ahead, alternative='greater', n_resamples=np.inf).pvalue
    assert permutation_test(a, b, ahead, 4000) == pytest.approx(exact, abs=.03)


def test_under_no_difference_p_is_at_most_5_percent_about_5_times_in_100():
    rng = np.random.default_rng(2)
    p = np.array([permutation_test(*rng.normal(size=(2, 8)), lambda a, b: abs(a.mean() - b.mean()),
                                   19, seed) for seed in range(400)])
    assert .02 < (p <= .05).mean() < .09 and p.min() >= .05


@few
@given(numbers, numbers)
def test_membership_is_the_area_under_the_roc_curve(members, outsiders):
    truth = [1]*len(members) + [0]*len(outsiders)
    want = roc_auc_score(truth, [-d for d in members + outsiders])
    assert membership_auc(np.array(members), np.array(outsiders)) == pytest.approx(want)


def test_usefulness_asks_both_models_about_the_same_rows():
    asked = []
    def fit(x, y):
        def scores(new):
            asked.append(new)
            return np.full(len(new), y.mean())
        return scores
    def score(y, scores): return float(scores[0])
    def rows(share): return np.zeros(4), np.array([1]*share + [0]*(4 - share))
    test = np.arange(3.), np.zeros(3)
    assert usefulness(fit, score, rows(3), rows(4), test) == pytest.approx(.5)
    assert [a is test[0] for a in asked] == [True, True]
    with pytest.raises(InputError, match='`real` rows must give more than `chance`, 0.5; got 0.5'):
        usefulness(fit, score, rows(3), rows(2), test)
