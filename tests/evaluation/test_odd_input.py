"What evaluation does with odd input: one sentence that names it, never a number in silence"
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
import torch

from dlcourse.core.errors import InputError
from dlcourse.evaluation import comparison, intervals, metrics, splits

Y, P = np.array([0, 1, 1, 0]), np.array([.2, .7, .6, .3])
ROWS = np.zeros(4, dtype=[('a', int), ('b', float)])
WITH_NA = pd.Series([1, pd.NA, 0, 1], dtype='Int64')
DAYS = np.arange(4).astype('M8[D]')
MIXED = np.array([0, 1, 'x', 1], object)
NAN, INF = float('nan'), float('inf')


@pytest.mark.parametrize(('call', 'says'), [
    (lambda: metrics.accuracy(Y, DAYS), 'must call the classes alike'),
    (lambda: metrics.accuracy(Y, ROWS), '`y_pred` must be one value for each row'),
    (lambda: metrics.balanced_accuracy([object()]*4, Y), '`y_true` must hold words or numbers'),
    (lambda: metrics.roc_auc(MIXED, P), '`y_true` must hold words or numbers, not both'),
    (lambda: metrics.root_mean_squared_error([1, INF], [1, 2]), '`y_true` must be finite'),
    (lambda: metrics.r2([1, 2, 3], [1, 2, INF]), '`y_pred` must be finite'),
    (lambda: intervals.normal_reach('x'), '`level` must lie between 0 and 1, such as 0.95; got x'),
    (lambda: intervals.wilson(3, 10, 95), '`level` must lie between 0 and 1'),
    (lambda: intervals.wilson('3', 10), '`successes` must hold numbers'),
    (lambda: intervals.clopper_pearson(np.ma.masked_array([3, 4], [0, 1]), 10), 'masked'),
    (lambda: intervals.newcombe_difference(11, 10, 1, 5), '`successes` must be from 0 to'),
    (lambda: intervals.mover_ratio(.3, .5, (.2, .4, .5), (.4, .6)), '`ci1` must be a lower and'),
    (lambda: intervals.mover_difference(.3, .5, (.2, .4), .4), '`ci2` must be a lower and'),
    (lambda: intervals.student(1., 1., 0.), '`df`'),
    (lambda: intervals.mean_interval([1, 2, 3], overlap=-1), '`overlap`'),
    (lambda: intervals.placement_error([.5], [.5, .2]), 'two numbers or more'),
    (lambda: comparison.mcnemar(WITH_NA, Y), 'got nan'),
    (lambda: comparison.compare([1, 2, 'x'], [1, 2, 3]), '`a` must hold numbers'),
    (lambda: comparison.compare(DAYS, DAYS), '`a` must hold numbers'),
    (lambda: comparison.compare([1, 2, 3], [1, 2, 4], overlap=NAN), '`overlap`'),
    (lambda: comparison.needed(INF, .1), 'more than 1e12 pairs'),
    (lambda: comparison.needed('1', .1), '`spread`'),
    (lambda: comparison.bootstrap_difference(metrics.accuracy, Y, Y[:3], Y), 'same rows'),
    (lambda: comparison.bootstrap_difference(metrics.accuracy, Y, Y, 1), 'a prediction for each'),
    (lambda: comparison.bootstrap_difference(metrics.accuracy, Y, Y, Y, level=2), '`level`'),
    (lambda: splits.split(9, test='x'), '`test` must be a share of the rows'),
    (lambda: splits.split(9, seed=1.5), '`seed`'),
    (lambda: splits.split(4, groups=MIXED), '`groups` must hold words or numbers'),
    (lambda: splits.best_of([[1, 2]]), 'a number for each candidate')])
def test_odd_input_is_refused_by_name(call, says):
    with pytest.raises(InputError, match=says): call()


def test_values_count_the_same_in_every_container():
    grown = torch.tensor(P, requires_grad=True)
    exact = [Decimal(str(p)) for p in P]
    for p in (P.tolist(), grown, exact, pd.Series(P, index=[0]*4), P.astype(object)):
        assert metrics.roc_auc(Y, p) == 1
        assert metrics.brier(Y, p) == pytest.approx(metrics.brier(Y, P))
    assert intervals.wilson(torch.tensor(3.), 10) == pytest.approx(intervals.wilson(3, 10))
