"Metrics against scikit-learn"
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as theirs
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array

from dlcourse.core.errors import InputError
from dlcourse.evaluation import metrics as ours
from dlcourse.evaluation.metrics import (
    Undefined,
    accuracy,
    brier,
    f1,
    log_loss,
    precision,
    r2,
    roc_auc,
    root_mean_squared_error,
)


@pytest.mark.parametrize('module', ['splits', 'metrics', 'intervals', 'comparison', 'runs'])
def test_imports_nothing_heavy(module):
    heavy = ('torch', 'matplotlib', 'polars', 'pandas', 'scipy', 'sklearn')
    code = (f"import sys, dlcourse.evaluation.{module}\n"
            f"print([m for m in {heavy} if m in sys.modules])")
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == '[]'


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 60), st.integers(1, 8))
def test_metrics_equal_scikit_learns(seed, n, levels):
    rng = np.random.default_rng(seed)
    y, pred = rng.integers(0, 2, n), rng.integers(0, 2, n)
    p, near = rng.integers(0, levels + 1, n)/levels, dict(rtol=0, atol=1e-12)
    of_answers = [(ours.accuracy, theirs.accuracy_score),
                  (ours.mean_absolute_error, theirs.mean_absolute_error),
                  (ours.root_mean_squared_error, theirs.root_mean_squared_error)]
    if set(pred) <= set(y) == {0, 1}:
        of_answers.append((ours.balanced_accuracy, theirs.balanced_accuracy_score))
    if y.std(): of_answers.append((ours.r2, theirs.r2_score))
    for f, peer in of_answers: np.testing.assert_allclose(f(y, pred), peer(y, pred), **near)
    for f, peer in ((ours.precision, theirs.precision_score), (ours.recall, theirs.recall_score),
                    (ours.f1, theirs.f1_score)):
        np.testing.assert_allclose(f(y, pred), peer(y, pred, zero_division=np.nan), **near)
    for f, peer in ((ours.log_loss, theirs.log_loss), (ours.brier, theirs.brier_score_loss)):
        np.testing.assert_allclose(f(y, p), peer(y, p, labels=[0, 1]), **near)
    of_scores = []
    if 0 < y.sum() < n: of_scores.append((ours.roc_auc, theirs.roc_auc_score))
    if y.any(): of_scores.append((ours.average_precision, theirs.average_precision_score))
    for f, peer in of_scores: np.testing.assert_allclose(f(y, p), peer(y, p), **near)
    table = ours.confusion_matrix(y, pred, [0, 1])
    np.testing.assert_array_equal(table, theirs.confusion_matrix(y, pred, labels=[0, 1]))


def test_many_classes_and_names():
    rng = np.random.default_rng(0)
    y, p = rng.integers(0, 4, 80), rng.dirichlet(np.ones(4), 80)
    np.testing.assert_allclose(ours.log_loss(y, p), theirs.log_loss(y, p), atol=1e-12)
    np.testing.assert_allclose(ours.brier(y, p), theirs.brier_score_loss(y, p), atol=1e-12)
    names = np.array(['cat', 'dog', 'eel', 'fox'])
    said = names[p.argmax(1)]
    table = theirs.confusion_matrix(names[y], said)
    np.testing.assert_array_equal(ours.confusion_matrix(names[y], said), table)
    peer, = theirs.precision_score(names[y], said, labels=['eel'], average=None)
    np.testing.assert_allclose(ours.precision(names[y], said, 'eel'), peer)


def test_calibration_error_by_hand():
    error = ours.calibration_error([1, 0, 1, 1], [.8, .8, .3, .3], bins=10)
    assert error == pytest.approx((abs(1.6 - 1) + abs(.6 - 2))/4)
    assert ours.calibration_error([0, 1], [0., 1.]) == 0


@pytest.mark.parametrize('value, why', [
    (lambda: ours.precision([1, 0], [0, 0]), 'nothing was said to be positive'),
    (lambda: ours.recall([0, 0], [0, 1]), 'no row is positive'),
    (lambda: ours.f1([0, 0], [0, 0]), 'no row is positive, nor was any said to be'),
    (lambda: ours.roc_auc([1, 1], [.1, .2]), 'no row is negative'),
    (lambda: ours.average_precision([0], [.1]), 'no row is positive'),
    (lambda: ours.r2([2, 2], [1, 2]), 'all rows have the same value')])
def test_undefined_is_nan_and_says_why(value, why):
    v = value()
    assert isinstance(v, Undefined) and np.isnan(v)
    assert v.why == why and repr(v) == f'undefined: {why}'


@pytest.mark.parametrize('call, says', [
    (lambda: ours.accuracy([], []), 'must have a value for each row'),
    (lambda: ours.accuracy([1, 2], [1]), r'got shapes \(2,\) and \(1,\)'),
    (lambda: ours.roc_auc([0, 1], [np.nan, 1]), 'must not be NaN'),
    (lambda: ours.log_loss([0, 1], [.5, 1.5]), '`p` must be probabilities'),
    (lambda: ours.brier([0, 2], [.5, .5]), '`y_true` must number the classes from 0 to 1'),
    (lambda: ours.accuracy([None, 1], [None, 1]), 'must not be NaN, None or empty'),
    (lambda: ours.accuracy(['a', 'b'], [0, 1]), 'must call the classes alike'),
    (lambda: ours.recall(['yes', 'no'], ['yes', 'no']), '`positive` must be a class, such as yes'),
    (lambda: ours.r2(['a', 'b'], ['a', 'b']), '`y_true` must hold numbers; got a'),
    (lambda: ours.log_loss([0, 1], [[.5, .5], [1., np.nan]]), '`p` must be probabilities')])
def test_what_cannot_be_judged_is_refused(call, says):
    with pytest.raises(InputError, match=says): call()


NAMED = {f.__name__: f for f in (
    ours.accuracy, ours.balanced_accuracy, ours.confusion_matrix, ours.precision, ours.recall,
    ours.f1, ours.roc_auc, ours.average_precision, ours.calibration_error, ours.log_loss,
    ours.brier, ours.mean_absolute_error, ours.root_mean_squared_error, ours.r2)}


@pytest.mark.parametrize('name', NAMED)
def test_a_column_is_never_compared_with_a_row(name):
    y, other = np.array([1, 0, 1]), np.array([1., 0., 1.])
    for a, b in ((y[:, None], other), (y, other[:, None]), (y[None], other[None])):
        with pytest.raises(InputError): NAMED[name](a, b)


@pytest.mark.parametrize('name', ['roc_auc', 'average_precision', 'calibration_error'])
@pytest.mark.parametrize('labels', [[1, 2, 2], [-1, 1, 1], ['0', '1', '1'], ['no', 'yes', 'yes']])
def test_scores_are_of_labels_0_and_1(name, labels):
    with pytest.raises(InputError, match='`y_true` must be 1 or True'):
        NAMED[name](labels, [.1, .2, .3])
    assert NAMED[name]([False, True, True], [.1, .2, .3]) == NAMED[name]([0, 1, 1], [.1, .2, .3])


def test_small_whole_numbers_do_not_wrap_around():
    y, said = np.uint8([0, 10]), np.uint8([1, 3])
    for f, peer in ((ours.mean_absolute_error, theirs.mean_absolute_error),
                    (ours.root_mean_squared_error, theirs.root_mean_squared_error),
                    (ours.r2, theirs.r2_score)):
        assert f(y, said) == pytest.approx(peer(y.astype(float), said.astype(float)))
    y = np.array([1, 0, 1, 0])
    score = [9, 2, 0, 1]
    assert ours.average_precision(y, np.uint8(score)) == ours.average_precision(y, score)


def test_equal_rows_have_no_share_explained_whatever_the_rounding():
    assert isinstance(ours.r2([.1]*3, [.1, .2, .3]), Undefined)


@pytest.mark.parametrize('name', NAMED)
def test_other_rows_are_refused(name):
    y = pd.Series([1, 0, 1], ['a', 'b', 'c'])
    said = pd.Series([1., 0., 1.], ['c', 'b', 'a'])
    with pytest.raises(InputError, match='has other row labels than `y_true`'): NAMED[name](y, said)
    NAMED[name](y, said.to_numpy())


@pytest.mark.parametrize('call, says', [
    (lambda: ours.accuracy([0, 1], [.2, .9]), 'must be classes, .* got the score 0.2'),
    (lambda: ours.f1([False, True], np.float32([.2, .9])), 'must be classes'),
    (lambda: ours.accuracy(['yes', 'no'], ['yes', 'No']), "says 'no' where `y_pred` says 'No'"),
    (lambda: ours.recall(['a', 'b'], ['a', 'b '], 'a'), "says 'b' where `y_pred` says 'b '"),
    (lambda: ours.accuracy(np.array([1, 'a'], object), [1, 2]), 'words or numbers, not both'),
    (lambda: ours.accuracy([b'a'], ['a']), 'must call the classes alike'),
    (lambda: ours.confusion_matrix([0, 1, 2], [0, 1, 1], [0, 1]), '`y_true` has 2 too'),
    (lambda: ours.confusion_matrix([0, 1], [0, 1], ['0', '1']), '`labels` must hold all classes'),
    (lambda: ours.r2(np.array(['2020', '2021'], 'M8[Y]'), [1, 2]), '`y_true` must hold numbers'),
    (lambda: ours.roc_auc([0, 1], [1j, 2]), '`score` must hold numbers'),
    (lambda: ours.calibration_error([0, 1], [.1, .2], bins=0), '`bins` must be a whole number'),
    (lambda: ours.log_loss([0, 1], []), 'must have the same rows'),
    (lambda: ours.brier(np.ma.array([0, 1], mask=[0, 1]), [.1, .2]), 'some are masked')])
def test_what_would_be_judged_wrongly_is_refused(call, says):
    with pytest.raises(InputError, match=says): call()


@pytest.mark.parametrize('f', [ours.accuracy, ours.balanced_accuracy, ours.confusion_matrix])
@pytest.mark.parametrize('of', [lambda y: y + 1, lambda y: 2*y - 1])
def test_two_classes_that_are_numbered_twice_are_told(f, of):
    y = np.array([0, 1, 1])
    with pytest.warns(UserWarning, match='number them alike'): f(of(y), y)
    f(np.array([0, 1, 2]), np.array([2, 1, 1])) # Three classes, of which one was never said


def test_probabilities_in_half_precision_add_up():
    y, p = np.array([0, 1, 2]), np.array([[.7, .2, .1], [.1, .6, .3], [1/3, 1/3, 1/3]])
    assert ours.log_loss(y, np.float16(p)) == pytest.approx(ours.log_loss(y, p), abs=1e-3)


def test_classes_as_bytes_are_refused():
    for y in (np.array([0, 1, 1]).astype('S'), [b'a', b'b', b'a']):
        for ask in (precision, accuracy, f1):
            with pytest.raises(InputError, match=r'got bytes. Take `.astype'): ask(y, y)


def test_squares_of_huge_numbers_stay_numbers():
    assert root_mean_squared_error([1e200, 0], [0, 0]) == pytest.approx(1e200/2**.5)
    assert r2([1e200, 0, 2e200], [1e200, 0, 1e200]) == pytest.approx(.5)
    assert root_mean_squared_error([3], [3]) == 0


def test_sparse_columns_and_no_rows_are_told():
    p = coo_array(np.array([[.5], [.2]]))
    for ask in (log_loss, brier, roc_auc):
        with pytest.raises(InputError, match=r'must be dense.* give `.toarray'): ask([0, 1], p)
        with pytest.raises(InputError, match='There is no row'): ask([], [])


@given(st.integers(1, 60), st.integers(1, 12), st.integers(0, 1000))
@settings(max_examples=50, deadline=None)
def test_calibration_error_is_its_definition_bin_by_bin(n, bins, seed):
    rng = np.random.default_rng(seed)
    p = rng.integers(0, 65, n)/64
    y = rng.integers(0, 2, n)
    at = np.maximum(np.ceil(np.round(p*bins, 9)), 1) # Upper edges belong to their bin
    gaps = [(at == k).sum()*abs(p[at == k].mean() - y[at == k].mean()) for k in np.unique(at)]
    assert ours.calibration_error(y, p, bins) == pytest.approx(sum(gaps)/n, abs=1e-9)
    assert 0 <= ours.calibration_error(y, p, bins) <= 1
