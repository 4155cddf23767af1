"Splits that keep their promises, and metrics against scikit-learn"
import subprocess
import sys

import numpy as np
import pytest
import sklearn.metrics as theirs
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from dlcourse.core.errors import InputError
from dlcourse.evaluation import metrics as ours
from dlcourse.evaluation.metrics import (
    Split,
    Undefined,
    folds,
    leaked,
    nested,
    split,
    stratified_groups,
    twins,
)


def test_light():
    code = "import sys, dlcourse.evaluation.metrics, dlcourse.evaluation.intervals; print([m for m in ('torch', 'matplotlib', 'scipy', 'sklearn') if m in sys.modules])"
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout.strip() == '[]'


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(6, 200), st.integers(3, 40), st.integers(1, 4))
def test_split_shares_nothing(seed, n, people, classes):
    rng = np.random.default_rng(seed)
    y, groups = rng.integers(0, classes, n), rng.integers(0, people, n)
    if len(np.unique(groups)) < 3: return
    parts = split(n, y=y, groups=groups, seed=seed % 7)
    assert sorted(np.concatenate([*parts])) == list(range(n))
    for a in parts:
        for b in parts: assert a is b or not len(leaked(a, b, groups))


def test_split_sizes_classes_and_seed():
    y = np.repeat([0, 1, 2], [700, 250, 50])
    a, b, c = split(1000, y=y), split(1000, y=y), split(1000, y=y, seed=1)
    assert [len(part) for part in a] == [600, 200, 200]
    for part, share in zip(a, (.6, .2, .2), strict=True): assert np.bincount(y[part]).tolist() == [700*share, 250*share, 50*share]
    assert all((p == q).all() for p, q in zip(a, b, strict=True)) and (a.test != c.test).any()
    assert [len(part) for part in split(10, valid=0)] == [8, 0, 2]
    assert repr(a) == 'Split(train=600, valid=200, test=200 rows)'


def test_classes_of_groups_as_close_as_scikit_learns():
    worst = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        sizes = rng.lognormal(4, .7, 60).astype(int) + 5
        groups = np.repeat(np.arange(60), sizes)
        y = (rng.random(len(groups)) < rng.beta(1, 5, 60)[groups]).astype(int)
        peer = np.zeros(len(y), int)
        for i, (_, test) in enumerate(StratifiedGroupKFold(5, shuffle=True, random_state=seed).split(y, y, groups)): peer[test] = i
        worst.append([max(abs(y[part == i].mean() - y.mean()) + abs((part == i).mean() - .2) for i in range(5))
                      for part in (stratified_groups(y, groups, np.ones(5), seed), peer)])
    assert np.mean(worst, 0)[0] <= np.mean(worst, 0)[1]


def test_time_goes_forward():
    time = np.random.default_rng(0).integers(0, 40, 300)
    train, valid, test = split(300, time=time)
    assert time[train].max() < time[valid].min() and time[valid].max() < time[test].min()
    for train, test in folds(300, 4, time=np.datetime64('2024-01-01') + time): assert time[train].max() < time[test].min()


def test_folds_cover_every_row_once_in_each_repeat():
    pairs = folds(53, 5, repeats=3)
    assert len(pairs) == 15
    for r in range(3): assert sorted(np.concatenate([test for _, test in pairs[5*r:5*r + 5]])) == list(range(53))
    assert all(not np.intersect1d(*pair).size and len(pair[0]) + len(pair[1]) == 53 for pair in pairs)
    assert (pairs[0][1].tolist() != pairs[5][1].tolist())


def test_twins():
    x = np.array([[0., 0], [3, 4], [0, 0], [3, 5], [3, 6], [9, 9]])
    same = twins(x)
    assert same[0] == same[2] and len(set(same)) == 5
    near = twins(x, within=1.)
    assert near[1] == near[3] == near[4] and len(set(near)) == 3, 'a twin of a twin is a twin'
    assert len(set(twins(x, groups=['a', 'b', 'c', 'd', 'e', 'a']))) == 4
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 3))
    apart = np.linalg.norm(rows[:, None] - rows, axis=-1) <= .8
    label = twins(rows, within=.8)
    assert all(label[i] == label[j] for i, j in np.argwhere(apart))
    with pytest.raises(InputError, match='`x` must be finite'): twins([[np.nan]])


def test_nested_scores_only_rows_that_had_no_say():
    seen = []
    def score(candidate, train, test):
        seen.append((candidate, set(train), set(test)))
        return candidate
    values, chosen = nested(score, [1, 3, 2], 40, k=4, inner=3)
    assert values.tolist() == [3]*4 and chosen == [3]*4
    calls = len(seen)//4
    for i in range(4):
        block = seen[calls*i:calls*(i + 1)]
        outside = block[-1][2]
        assert len(block) == 3*3 + 1 and all(not outside & (train | test) for _, train, test in block[:-1])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 60), st.integers(1, 8))
def test_metrics_equal_scikit_learns(seed, n, levels):
    rng = np.random.default_rng(seed)
    y, pred, p = rng.integers(0, 2, n), rng.integers(0, 2, n), rng.integers(0, levels + 1, n)/levels
    near = dict(rtol=0, atol=1e-12)
    np.testing.assert_array_equal(ours.confusion_matrix(y, pred, [0, 1]), theirs.confusion_matrix(y, pred, labels=[0, 1]))
    np.testing.assert_allclose(ours.accuracy(y, pred), theirs.accuracy_score(y, pred), **near)
    if set(pred) <= set(y) == {0, 1}: np.testing.assert_allclose(ours.balanced_accuracy(y, pred), theirs.balanced_accuracy_score(y, pred), **near)
    for f, peer in ((ours.precision, theirs.precision_score), (ours.recall, theirs.recall_score), (ours.f1, theirs.f1_score)):
        np.testing.assert_allclose(f(y, pred), peer(y, pred, zero_division=np.nan), **near)
    np.testing.assert_allclose(ours.log_loss(y, p), theirs.log_loss(y, p, labels=[0, 1]), **near)
    np.testing.assert_allclose(ours.brier(y, p), theirs.brier_score_loss(y, p, labels=[0, 1]), **near)
    if 0 < y.sum() < n: np.testing.assert_allclose(ours.roc_auc(y, p), theirs.roc_auc_score(y, p), **near)
    if y.any(): np.testing.assert_allclose(ours.average_precision(y, p), theirs.average_precision_score(y, p), **near)
    if y.std(): np.testing.assert_allclose(ours.r2(y, p), theirs.r2_score(y, p), **near)
    np.testing.assert_allclose(ours.mean_absolute_error(y, p), theirs.mean_absolute_error(y, p), **near)
    np.testing.assert_allclose(ours.root_mean_squared_error(y, p), theirs.root_mean_squared_error(y, p), **near)


def test_many_classes_and_names():
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 4, 80), rng.dirichlet(np.ones(4), 80)
    np.testing.assert_allclose(ours.log_loss(y, p), theirs.log_loss(y, p), atol=1e-12)
    np.testing.assert_allclose(ours.brier(y, p), theirs.brier_score_loss(y, p), atol=1e-12)
    names = np.array(['cat', 'dog', 'eel', 'fox'])
    said = names[p.argmax(1)]
    np.testing.assert_array_equal(ours.confusion_matrix(names[y], said), theirs.confusion_matrix(names[y], said))
    np.testing.assert_allclose(ours.precision(names[y], said, 'eel'), theirs.precision_score(names[y], said, labels=['eel'], average=None)[0])


def test_calibration_error_by_hand():
    assert ours.calibration_error([1, 0, 1, 1], [.8, .8, .3, .3], bins=10) == pytest.approx((abs(1.6 - 1) + abs(.6 - 2))/4)
    assert ours.calibration_error([0, 1], [0., 1.]) == 0


@pytest.mark.parametrize('value, why', [
    (lambda: ours.precision([1, 0], [0, 0]), 'nothing was said to be positive'), (lambda: ours.recall([0, 0], [0, 1]), 'no row is positive'),
    (lambda: ours.f1([0, 0], [0, 0]), 'no row is positive, nor was any said to be'), (lambda: ours.roc_auc([1, 1], [.1, .2]), 'no row is negative'),
    (lambda: ours.average_precision([0], [.1]), 'no row is positive'), (lambda: ours.r2([2, 2], [1, 2]), 'all rows have the same value')])
def test_undefined_is_nan_and_says_why(value, why):
    v = value()
    assert isinstance(v, Undefined) and np.isnan(v) and v.why == why and repr(v) == f'undefined: {why}'


@pytest.mark.parametrize('call, says', [
    (lambda: split(5, y=[0, 1]), '`y` must have a value for each of the 5 rows; got 2'),
    (lambda: split(5, test=.9, valid=.3), '`test` and `valid` must not be negative, nor leave nothing for training'),
    (lambda: split(5, groups=[0, 0, 0, 1, 1]), '3 parts need at least as many groups; got 2'),
    (lambda: split(50, y=np.linspace(0, 1, 50)), '`y` must hold classes; got 50 different values'),
    (lambda: split(3, time=[1, 2, 3], groups=[0, 1, 2]), 'give `time` or `groups`, not both'),
    (lambda: folds(9, 1), '`k` must be 2 or more; got 1'),
    (lambda: Split(train=np.array([1, 2]), valid=np.array([2]), test=np.array([3])), 'must share no row'),
    (lambda: ours.accuracy([], []), 'must have a value for each row'), (lambda: ours.accuracy([1, 2], [1]), r'got shapes \(2,\) and \(1,\)'),
    (lambda: ours.roc_auc([0, 1], [np.nan, 1]), 'must not be NaN'), (lambda: ours.log_loss([0, 1], [.5, 1.5]), '`p` must be probabilities'),
    (lambda: ours.brier([0, 2], [.5, .5]), '`y_true` must number the classes from 0 to 1')])
def test_errors(call, says):
    with pytest.raises(InputError, match=says): call()
