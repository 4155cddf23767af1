"Labels, shapes and codings that once gave a wrong number, in every place that takes them"
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from dlcourse.core.errors import InputError
from dlcourse.evaluation import comparison, metrics
from dlcourse.evaluation.splits import folds, split
from dlcourse.fairness.frontier import mitigate
from dlcourse.fairness.methods import remedy
from dlcourse.foundations import losses
from dlcourse.training.batches import Batches
from dlcourse.training.callbacks import EarlyStopping, FitConfig
from dlcourse.training.loop import fit

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
