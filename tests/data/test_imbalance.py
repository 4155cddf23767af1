"Weights, copies and prices against scikit-learn, imbalanced-learn and plain counting"
import numpy as np
import pytest
from sklearn.utils.class_weight import compute_class_weight

from dlcourse.core.cards import card
from dlcourse.core.datasets import load
from dlcourse.core.downloads import is_here
from dlcourse.core.errors import InputError
from dlcourse.data.imbalance import (
    average_precision_interval,
    cheapest_threshold,
    class_weights,
    cost_threshold,
    mean_cost,
    resampled,
    restored,
    screening,
    smote,
)
from dlcourse.evaluation.metrics import average_precision

X, Y, P = screening(4000, seed=3)

@pytest.mark.parametrize('classes', [2, 5])
def test_weights_are_those_of_scikit_learn(classes):
    y = np.random.default_rng(0).integers(0, classes, 300)
    want = compute_class_weight('balanced', classes=np.arange(classes), y=y)
    np.testing.assert_allclose(class_weights(y, classes), want)
    assert class_weights(y, classes)[y].sum() == pytest.approx(300)

def test_a_class_without_rows_is_named_with_a_remedy():
    with pytest.raises(InputError, match=r"`y` must hold rows of each class.*\[3, 0\].*Leave out"):
        class_weights(np.zeros(3, int))
    with pytest.raises(InputError, match='`y`'): resampled(np.zeros(3, int))

@pytest.mark.parametrize('how, theirs', [('over', 'over_sampling.RandomOverSampler'),
                                         ('under', 'under_sampling.RandomUnderSampler')])
def test_resampled_rows_are_as_many_as_those_of_imbalanced_learn(how, theirs):
    module, name = theirs.split('.')
    sampler = getattr(pytest.importorskip(f'imblearn.{module}'), name)(random_state=0)
    want = sampler.fit_resample(np.arange(len(Y))[:, None], Y)[0].ravel()
    rows = resampled(Y, how, seed=1)
    assert np.bincount(Y[rows]).tolist() == np.bincount(Y[want]).tolist()
    whole = set(range(len(Y))) if how == 'over' else set(np.flatnonzero(Y))
    assert whole <= set(rows.tolist()) and whole <= set(want.tolist())
    if how == 'under': assert len(set(rows.tolist())) == len(rows)

def test_made_rows_lie_between_neighbours_as_those_of_imbalanced_learn():
    over = pytest.importorskip('imblearn.over_sampling')
    rare = X[Y == 1]
    theirs = over.SMOTE(random_state=0).fit_resample(X, Y)[0][len(X):]
    distance = np.linalg.norm(rare[:, None] - rare, axis=2)
    near = np.argsort(distance, axis=1)[:, 1:6]
    for made in (smote(rare, 200), theirs[:200]):
        a, b = np.repeat(rare, 5, 0), rare[near.ravel()]
        along = ((made[:, None] - a)*(b - a)).sum(2)/((b - a)**2).sum(1)
        off = np.linalg.norm(made[:, None] - a - along[..., None]*(b - a), axis=2)
        on = (off < 1e-8) & (along > -1e-9) & (along < 1 + 1e-9)
        assert on.any(1).all()
    with pytest.raises(InputError, match='more than 5 rows, got 5'): smote(rare[:5], 3)

def test_restored_probabilities_are_those_of_the_world():
    seen = 10*P/(10*P + 1 - P) # Each positive counted ten times
    share = 10*.023/(10*.023 + .977)
    np.testing.assert_allclose(restored(seen, share, .023), P, rtol=1e-9)
    with pytest.raises(InputError, match='`true` must be above 0 and below 1, got 1'):
        restored(P, .5, 1)

def test_the_price_sets_the_line():
    assert cost_threshold(1, 19) == pytest.approx(.05)
    x, y, p = screening(200_000, seed=1)
    grid = {line: mean_cost(y, p >= line, 1, 19) for line in (.01, .02, .05, .1, .2)}
    assert min(grid, key=grid.get) == .05
    with pytest.raises(InputError, match='`alarm` and `miss` must be above 0'): cost_threshold(0, 1)

@pytest.mark.parametrize('seed', range(5))
def test_the_cheapest_line_is_the_one_that_counting_finds(seed):
    rng = np.random.default_rng(seed)
    y, score = rng.integers(0, 2, 60), rng.integers(0, 12, 60)/4
    miss = float(rng.choice([.5, 1., 3.]))
    lines = [np.inf, *np.unique(score)[::-1]]
    costs = [mean_cost(y, score >= line, 1., miss) for line in lines]
    assert cheapest_threshold(y, score, 1., miss) == lines[int(np.argmin(np.round(costs, 12)))]

def test_scores_without_a_sign_have_an_order_too():
    y = np.array([0, 0, 1])
    assert cheapest_threshold(y, np.array([0, 0, 200], np.uint8)) == 200
    assert cheapest_threshold(y, np.array([False, False, True])) == 1

def test_the_interval_of_average_precision_by_hand():
    y, score = np.array([1, 0]*50), np.tile([1., 1.], 50) # Knows nothing: 0.5 of 50 positives
    low, high = average_precision_interval(y, score)
    reach = 1.959964/np.sqrt(50*.25)
    assert (low, high) == pytest.approx((1/(1 + np.exp(reach)), 1/(1 + np.exp(-reach))), rel=1e-6)
    low, high = average_precision_interval(Y, Y)
    assert low < average_precision(Y, Y) and 0 < high < 1
    with pytest.raises(InputError, match='positive row'):
        average_precision_interval(np.zeros(4, int), np.arange(4.))

def test_the_world_is_as_it_says():
    x, y, p = screening(300_000, seed=5)
    assert y.mean() == pytest.approx(p.mean(), abs=1e-3)
    assert y.mean() == pytest.approx(.023, abs=1e-3)
    near = (p > .2) & (p < .3)
    assert y[near].mean() == pytest.approx(p[near].mean(), abs=.03)
    with pytest.raises(InputError, match='`share`'): screening(10, share=0)

@pytest.mark.skipif(not is_here(card('mammography')), reason='mammography is not in the data home')
def test_the_mammograms_are_those_of_the_card():
    frame = load('mammography')
    assert frame.shape == (11183, 7)
    assert sorted(frame['calcification'].value_counts().rows()) == [(-1, 10923), (1, 260)]
