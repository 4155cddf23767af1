"Baselines, measures, quantiles, intervals and networks against scikit-learn, torch and loops"
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import mean_pinball_loss

from dlcourse.core.errors import InputError
from dlcourse.core.random import random_state
from dlcourse.sequences.forecasting import (
    QUANTILES,
    TCN,
    DLinear,
    Forecaster,
    TCNBlock,
    conformal_quantile,
    mase,
    network,
    pinball_loss,
    seasonal_naive,
    train_forecaster,
    training_and_test,
    wql,
)
from dlcourse.sequences.windows import past_and_future


def test_errors_of_the_simple_ones():
    with pytest.raises(InputError, match="`period` must be from 1 to the length of the past"):
        seasonal_naive(np.ones(3), 2, 4)
    with pytest.raises(InputError, match="`seen` repeats exactly after 2"):
        mase([1], [1, 2, 1, 2], 2)
    with pytest.raises(InputError, match="`period` must be a whole number from 1 to 2"):
        mase([1], [1, 2, 3], 3)
    with pytest.raises(InputError, match="`seen` must be finite"): mase([1], [1, np.nan, 3])
    with pytest.raises(InputError, match="`seen` must be one series"): mase([1], np.eye(4))
    with pytest.raises(InputError, match="`level` must be a number between 0 and 1"):
        conformal_quantile(np.ones(3), 90)
    with pytest.raises(InputError, match="`target` is 0 everywhere"):
        wql(np.ones((2, 1)), [0., 0.], [.5])
    with pytest.raises(InputError, match="`predicted` must have the shape of `target`"):
        wql(np.ones((2, 3)), np.ones(2), [.5])


def test_a_training_part_does_not_know_the_future():
    values = np.random.default_rng(0).normal(size=60).cumsum()
    other = np.r_[values[:40], 50 + values[40:]]
    for one, two in zip(training_and_test(values, 6, 4, 40)[:2],
                        training_and_test(other, 6, 4, 40)[:2], strict=True):
        np.testing.assert_array_equal(one, two)


def test_pinball_and_wql_are_scikit_learns():
    rng = np.random.default_rng(0)
    y, p = rng.normal(size=50) + 3, rng.normal(size=(50, 3)) + 3
    losses = [mean_pinball_loss(y, p[:, i], alpha=q) for i, q in enumerate(QUANTILES)]
    ours = pinball_loss(torch.tensor(p), torch.tensor(y), QUANTILES)
    assert float(ours) == pytest.approx(np.mean(losses))
    assert wql(p, y, QUANTILES) == pytest.approx(2*50*np.mean(losses)/np.abs(y).sum())


@pytest.mark.parametrize(('n', 'level'), [(9, .9), (21, .9), (30, .8), (50, .95)])
def test_conformal_coverage_is_k_of_n_plus_one(n, level):
    rng = np.random.default_rng(n)
    scores = rng.exponential(size=(n + 1, 20000))
    held = (scores[-1] <= conformal_quantile(scores[:-1], level)).mean()
    k = int(np.ceil(round((n + 1)*level, 9)))
    assert held == pytest.approx(k/(n + 1), abs=.008) and held > level - .008
    assert conformal_quantile(scores[:4], .9).tolist() == [np.inf]*20000


def test_a_block_is_torchs_convolution_cut_off():
    with random_state(0): block = TCNBlock(2, 4, 3, 2).double()
    x = torch.randn(3, 2, 15, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    h = x
    for conv in (block.one, block.two):
        h = F.relu(F.conv1d(h, conv.weight, conv.bias, padding=4, dilation=2)[..., :15])
    torch.testing.assert_close(block(x), F.relu(h + block.skip(x)))
    assert isinstance(TCNBlock(4, 4).skip, torch.nn.Identity)


@pytest.mark.parametrize('length', [1, 8, 50, 168])
def test_a_tcn_sees_its_whole_window(length):
    with random_state(1): net = TCN(length, 3).double()
    x = torch.randn(1, length, dtype=torch.float64, requires_grad=True)
    net(x).sum().backward()
    assert (x.grad != 0).float().mean() > .9 and net(x).shape == (1, 3)


@pytest.mark.parametrize('kind', ['DLinear', 'LSTM', 'TCN', 'patches'])
def test_every_network_learns_gives_quantiles_and_is_the_same_again(kind):
    t = np.arange(300)
    x, y = past_and_future(10 + np.sin(2*np.pi*t/12), 24, 6)
    models = [train_forecaster(kind, x, y, steps=60, lr=1e-2, patch=6, seed=1) for _ in range(2)]
    told = models[0].predict(x)
    assert told.shape == (len(x), 6, 3) and (np.diff(told, axis=-1) >= 0).all()
    np.testing.assert_array_equal(told, models[1].predict(x))
    assert np.abs(told[..., 1] - y).mean() < .5*np.abs(x[:, -1:] - y).mean()


def test_a_forecaster_follows_the_level():
    x, y = past_and_future(np.random.default_rng(0).normal(size=80), 8, 2)
    model = train_forecaster('DLinear', x, y, steps=4)
    np.testing.assert_allclose(model.predict(x + 100), model.predict(x) + 100, atol=1e-3)
    plain = Forecaster(model.body, 1., relative=False)
    assert np.abs(plain.predict(x + 100) - plain.predict(x) - 100).max() > 1


def test_networks_that_cannot_be_are_named():
    with pytest.raises(InputError, match="`kind` must be one of"): network('GRU', 8, 2)
    with pytest.raises(InputError, match="`patch` must divide the length of a window, 8; got 3"):
        network('LSTM', 8, 2, 3)
    with pytest.raises(InputError, match="`x` must be finite"):
        train_forecaster('TCN', np.full((4, 3), np.nan), np.ones((4, 1)))
    with pytest.raises(InputError, match="`steps` must be a whole number from 4"):
        train_forecaster('TCN', np.ones((4, 3)), np.ones((4, 1)), steps=2)


def test_wql_of_whole_numbers_is_that_of_floats():
    levels = (.1, .5, .9)
    assert wql([[1, 2, 3]], [2.5], levels) == pytest.approx(wql([[1., 2, 3]], [2.5], levels))
    assert wql([[1, 2, 3]], [2], levels) == pytest.approx(wql([[1., 2, 3]], [2.], levels))


@pytest.mark.parametrize(('predicted', 'target', 'levels', 'says'), [
    ([[1., 2, 3]], [2.], (10, 50, 90), "`quantiles` must each be between 0 and 1"),
    ([[1., np.nan, 3]], [2.], (.1, .5, .9), "`predicted` and `target` must be finite numbers"),
    ([[1., 2, 3]], [np.nan], (.1, .5, .9), "`predicted` and `target` must be finite numbers"),
])
def test_wql_refuses_what_it_cannot_measure(predicted, target, levels, says):
    with pytest.raises(InputError, match=says): wql(predicted, target, levels)


@pytest.mark.parametrize('errors', [[np.nan], []])
def test_mase_refuses_errors_that_are_none(errors):
    with pytest.raises(InputError, match="`errors` must be"): mase(errors, [1., 2, 4])


def test_a_kernel_of_one_is_refused():
    with pytest.raises(InputError, match="`kernel` must be a whole number from 2 up, got 1"):
        TCN(24, 1, kernel=1)


@pytest.mark.parametrize(('x', 'y', 'quantiles', 'says'), [
    (np.ones(6), np.ones((6, 1)), (.5,), "`x` and `y` must be .window, steps."),
    (np.ones((6, 4)), np.ones((5, 1)), (.5,), "`x` and `y` must be .window, steps."),
    (np.ones((6, 4)), np.ones((6, 1)), (10, 90), "`quantiles` must each be between 0 and 1"),
    (np.ones((6, 4)), np.ones((6, 1)), (), "`quantiles` must each be between 0 and 1"),
])
def test_training_refuses_windows_and_quantiles_that_do_not_fit(x, y, quantiles, says):
    with pytest.raises(InputError, match=says):
        train_forecaster('DLinear', x, y, steps=4, quantiles=quantiles)


def test_channels_stay_apart():
    past = np.arange(12.).reshape(6, 2)
    np.testing.assert_array_equal(seasonal_naive(past, 3, 2), [[8, 9], [10, 11], [8, 9]])
    values = np.random.default_rng(0).normal(size=(60, 2))*[1, 100] + [0, 1000]
    both = training_and_test(values, 6, 4, 40)
    for i in range(2):
        for got, want in zip(both, training_and_test(values[:, i], 6, 4, 40), strict=True):
            np.testing.assert_allclose(got[..., i], want)
    with pytest.raises(InputError, match="`seen` must be one series"): mase([1.], values)


@pytest.mark.parametrize(('values', 'cut'), [(np.ones(20), 10), (np.arange(20.), 0),
                                            (np.c_[np.arange(20.), np.ones(20)], 10)])
def test_what_cannot_be_standardized_is_named(values, cut):
    with pytest.raises(InputError, match="`values` must change before `cut`"):
        training_and_test(values, 2, 1, cut)


@pytest.mark.parametrize('shape', [(5, 1), (1,), (), (5, 3)])
def test_a_pinball_loss_is_never_broadcast(shape):
    with pytest.raises(InputError, match="`predicted` must have the shape of `target`"):
        pinball_loss(torch.zeros(5, 3), torch.zeros(shape), QUANTILES)
    with pytest.raises(InputError, match="`quantiles` must each be between 0 and 1"):
        pinball_loss(torch.zeros(5, 3), torch.zeros(5), (10, 50, 90))


@pytest.mark.parametrize('level', [1e8, 1e9, -1e12])
def test_a_high_level_costs_no_precision(level):
    x, y = past_and_future(np.random.default_rng(0).integers(-8, 8, 80), 8, 2)
    low, high = (train_forecaster('DLinear', x + v, y + v, steps=20).predict(x + v) - v
                 for v in (0., level))
    np.testing.assert_allclose(high, low, atol=2e-4*max(1, abs(level)/1e9))
    assert low.std() > .1


def test_a_forecaster_refuses_what_it_cannot_say():
    x, y = past_and_future(np.random.default_rng(0).normal(size=40), 8, 2)
    for quantiles in ((.9, .1), (.5, .5)):
        with pytest.raises(InputError, match="`quantiles` must rise"):
            train_forecaster('DLinear', x, y, steps=4, quantiles=quantiles)
    model = train_forecaster('DLinear', x, y, steps=4)
    with pytest.raises(InputError, match="`past` must be finite"): model.predict(x*np.nan)
    with pytest.raises(InputError, match="`span` must be odd"): DLinear(8, 2, span=4)


@pytest.mark.parametrize('past', [np.zeros(12), [0.]*12, np.zeros((0, 12)), np.zeros((2, 12, 1)),
                                  [[1., 2], [3.]], torch.zeros(12)])
def test_no_forecast_without_windows(past):
    model = Forecaster(torch.nn.Linear(12, 6), 1.)
    assert model.predict(np.zeros((2, 12)).tolist()).shape == (2, 6//len(QUANTILES), len(QUANTILES))
    with pytest.raises(InputError, match="`past` must be .window, length., not empty"):
        model.predict(past)


@pytest.mark.parametrize('kind', ['DLinear', 'LSTM', 'TCN', 'patches'])
def test_windows_of_another_length_are_refused(kind):
    x, y = past_and_future(np.random.default_rng(0).normal(size=40), 8, 2)
    model = train_forecaster(kind, x, y, steps=4, patch=4)
    for length in (5, 16):
        with pytest.raises(InputError, match=rf"`past` must be .window, 8., .*\(3, {length}\)"):
            model.predict(np.ones((3, length)))


def test_no_rows_are_no_forecasts():
    assert DLinear(8, 2)(torch.zeros(0, 8)).shape == (0, 2)
