"Labels, shapes and codings that once gave a wrong number, in every place that takes them"
from math import isnan

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from dlcourse.core.errors import InputError
from dlcourse.evaluation import comparison, metrics
from dlcourse.evaluation.intervals import runs_for
from dlcourse.evaluation.runs import Runs, bootstrap_runs, interquartile_mean
from dlcourse.evaluation.splits import folds, leaked, split, stratified_groups, twins
from dlcourse.fairness.frontier import mitigate
from dlcourse.fairness.methods import remedy
from dlcourse.foundations import losses
from dlcourse.training.batches import Batches
from dlcourse.training.callbacks import EarlyStopping, FitConfig
from dlcourse.training.ensembles import given_away
from dlcourse.training.loop import fit
from dlcourse.training.regularization import temperature
from dlcourse.training.scaling import line_at, training_flops

RNG = np.random.default_rng(0)
Y = np.array([0, 1]*100)
P = np.where(RNG.random(200) < .3, 1 - Y, Y)
S = P + .1
X = pd.DataFrame(RNG.normal(size=(200, 2)), columns=['a', 'b'])
G = pd.Series(['p', 'q', 'q', 'p']*50)
OTHER = RNG.permutation(200)
UNDATED = pd.Series(pd.to_datetime(['2020-01-01']*19 + [None]))
ROWS, CLASSES = torch.randn(20, 3), torch.randint(0, 2, (20,))
ONCE = dict(estimator=LogisticRegression(), methods=('none',), strengths=(1.,), seeds=1)


def trained(batches):
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2))
    return fit(net, batches, losses.cross_entropy, FitConfig(epochs=1, lr=.1))


@pytest.mark.parametrize('call, said', [
    (lambda: metrics.accuracy(Y, P[:, None]), 'a value for each row'),
    (lambda: metrics.r2(Y*1., S[:, None]), 'a value for each row'),
    (lambda: comparison.mcnemar(P == Y, (P == Y)[:, None]), 'for each of the same examples'),
    (lambda: comparison.compare(S, S[:, None]), 'numbers of one shape'),
    (lambda: metrics.roc_auc(Y + 1, S), '1 or True for a positive row'),
    (lambda: metrics.average_precision(2*Y - 1, S), '1 or True for a positive row'),
    (lambda: metrics.calibration_error(Y + 1, .8*P + .1), '1 or True for a positive row'),
    (lambda: metrics.brier(Y + 1, .8*P + .1), 'must number the classes from 0'),
    (lambda: comparison.compare_auc(Y + 1, S, P + .2), '1 or True for a positive row'),
    (lambda: mitigate(X, pd.Series(Y), G.iloc[OTHER], **ONCE), 'has other row labels than `x`'),
    (lambda: mitigate(X, pd.Series(Y).iloc[OTHER], G, **ONCE), 'has other row labels than `x`'),
    (lambda: remedy('reweighing', X, pd.Series(Y), G.iloc[OTHER], strength=1.,
                    estimator=LogisticRegression()), 'has other row labels than `x`'),
    (lambda: split(20, time=UNDATED), '`time` must not be missing'),
    (lambda: split(20, time=np.r_[np.arange(19.), np.nan]), '`time` must not be missing'),
    (lambda: folds(20, time=UNDATED), '`time` must not be missing'),
    (lambda: trained(Batches(ROWS, CLASSES, batch_size=32, drop_last=True)), 'leaves nothing'),
    (lambda: trained(Batches(ROWS[:17], CLASSES[:17], batch_size=16)), 'take drop_last=True'),
    (lambda: EarlyStopping('accuracy'), '`mode` must be min or max')])
def test_is_refused(call, said):
    with pytest.raises(InputError, match=said): call()


def test_small_whole_numbers_do_not_wrap():
    for metric in (metrics.mean_absolute_error, metrics.root_mean_squared_error, metrics.r2):
        a, b = np.uint8([0, 10]), np.uint8([1, 3])
        assert metric(a, b) == metric(a.astype(float), b.astype(float))
    assert metrics.mean_absolute_error(np.uint8([0, 10]), np.uint8([1, 3])) == 4


def test_a_class_that_is_ruled_out_costs_nothing():
    logits, target = torch.tensor([[0., -torch.inf, 1.]]), torch.tensor([0])
    want = float(np.log1p(np.e))
    assert losses.cross_entropy(logits, target).item() == pytest.approx(want, abs=1e-4)
    assert losses.focal(logits, target, gamma=0.).item() == pytest.approx(want, abs=1e-4)
    assert losses.kl_divergence(logits, logits).item() == 0


MASKED = np.ma.masked_array([1., 2., 99., 3., 4.], [0, 0, 1, 0, 0])
LACKING = pd.Series([1, 2, None, 3], dtype='Int64')


@pytest.mark.parametrize('values', [MASKED, LACKING, pd.Series([1, 2, np.nan, 3]), [[1, 2], [3, 4]],
                                    np.arange(4).astype('M8[D]'), ['a', 'b'], [1, None, 2]])
def test_no_value_is_left_out_in_silence(values):
    with pytest.raises(InputError, match='`values` must'): runs_for(values, 1.)
    if np.ndim(values) == 2: return
    with pytest.raises(InputError, match='`scores` must'): interquartile_mean(values)
    with pytest.raises(InputError, match='must'): bootstrap_runs(values, interquartile_mean)


@pytest.mark.parametrize('values', [LACKING, pd.Series([1, 2, np.nan, 3])])
def test_a_run_without_a_value_has_no_mean(values):
    assert isnan(Runs({('a', 'm'): values}, range(4)).mean())


def test_masked_runs_are_refused():
    with pytest.raises(InputError, match='some are masked'): Runs({('a', 'm'): MASKED}, range(5))


def test_row_numbers_and_shares_are_numbers():
    who = np.array([0, 1, 0, 2])
    with pytest.raises(InputError, match='`test` must be whole numbers'):
        leaked([0], np.array([True, False, True, False]), who)
    for shares in ([np.nan, 1], [[1, 1]], ['a', 'b'], np.ma.masked_array([1, 1], [0, 1])):
        with pytest.raises(InputError, match='`shares` must'):
            stratified_groups(who, who, shares)
    with pytest.raises(InputError, match='`x` must have a value in each row'): twins(MASKED)


SMALL = [np.int8, np.uint8, np.int16, np.float16]


@pytest.mark.parametrize('kind', SMALL)
def test_small_numbers_do_not_run_over(kind):
    n, loss = np.array([1, 2, 4, 9], kind), np.array([9, 5, 3, 2], kind)
    for got, want in zip(line_at(.5, n, loss), line_at(.5, n.astype(float), loss.astype(float)),
                         strict=True):
        np.testing.assert_array_equal(got, want)
    if kind is np.float16: return
    assert training_flops(np.array([100, 100, 3], kind), kind(100)) == 4_180_000
    assert training_flops(torch.tensor([100, 100, 3], dtype=torch.int8), 100) == 4_180_000


@pytest.mark.parametrize('widths', [[10.5, 2], [float('nan'), 2], ['a', 2]])
def test_widths_are_whole(widths):
    with pytest.raises(InputError, match='`widths` must be a whole'): training_flops(widths, 3)


def test_a_temperature_of_what_has_no_loss_is_nan():
    logits, classes = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), torch.arange(6)
    want = temperature(logits.double(), classes % 4)
    assert temperature(logits.half(), classes % 4) == pytest.approx(want, rel=1e-3)
    assert isnan(temperature(logits[:0], classes[:0]))
    assert isnan(temperature(logits, torch.full((6,), -100)))
    logits[2, 1] = torch.nan
    assert isnan(temperature(logits, classes % 4))


def test_who_saw_a_row_may_be_said_with_numbers():
    losses = torch.tensor([[1., 4.], [3., torch.inf], [2., 2.]])
    seen = torch.tensor([[1, 1], [0, 0], [0, 1]])
    for flags in (seen, seen.bool(), seen.to(torch.uint8)):
        assert given_away(losses, flags).tolist() == [1.5, torch.inf]
