"What sequences do with odd input: one sentence that names it, never a number in silence"
import numpy as np
import pandas as pd
import pytest
import torch

from dlcourse.core.errors import InputError
from dlcourse.sequences.alarms import window_days
from dlcourse.sequences.chorales import chord_nll, transposed
from dlcourse.sequences.forecasting import (
    conformal_quantile,
    pinball_loss,
    seasonal_naive,
    training_and_test,
    wql,
)
from dlcourse.sequences.language import nucleus
from dlcourse.sequences.recurrent import last_outputs
from dlcourse.sequences.scans import initial_poles
from dlcourse.sequences.sound import row_of
from dlcourse.sequences.state_space import causal_convolution, memory_kernel
from dlcourse.sequences.windows import checked_series

NAN, INF = float('nan'), float('inf')
Y = torch.arange(24.).reshape(2, 4, 3)
ROLL = np.eye(3, 88, dtype=np.uint8)
LOGITS = torch.tensor([1., 3., 2.])
DAYS = np.array(['2024-01-01', '2024-01-02'], 'M8[D]')
SPAN = np.array([['2024-01-01', '2024-01-02']], 'M8[s]')
QUANTILES = np.array([[.1], [.5]])


@pytest.mark.parametrize(('call', 'says'), [
    (lambda: last_outputs(Y, torch.tensor([0, 4])), '`lengths`'),
    (lambda: last_outputs(Y, torch.tensor([5, 4])), '`lengths`'),
    (lambda: last_outputs(Y, torch.tensor([4])), '`lengths`'),
    (lambda: last_outputs(Y, torch.tensor([[4], [4]])), '`lengths`'),
    (lambda: last_outputs(Y, torch.tensor([4., 4.])), '`lengths`'),
    *[(lambda p=p: nucleus(LOGITS, p), '`p` must be above 0') for p in (NAN, 0., -.1, 1.1, INF)],
    (lambda: seasonal_naive([1, 2, 3], -1), '`horizon`'),
    (lambda: seasonal_naive([1, 2, 3], 1.5), '`horizon`'),
    (lambda: pinball_loss(torch.ones(2, 2), torch.ones(2), QUANTILES), '`quantiles`'),
    (lambda: wql(np.ones((2, 2)), np.ones(2), QUANTILES), '`quantiles`'),
    (lambda: chord_nll(torch.zeros(2, 4, 88), torch.zeros(2, 4, 88), torch.tensor([[4], [2]])),
     '`lengths` must be one for each roll'),
    *[(lambda n=n: transposed(ROLL, n), '`semitones`') for n in (NAN, INF, 1.5, '1')],
    (lambda: window_days(DAYS[:, None], SPAN), '`days`'),
    (lambda: window_days([None, None], SPAN), '`days`'),
    (lambda: window_days(np.array(['NaT'], 'M8[D]'), SPAN), '`days`'),
    (lambda: row_of(np.ma.masked_array([.1, .2], [0, 1]), 'samples'), '`samples`'),
    (lambda: initial_poles('lin', 1.5), '`pairs`'), (lambda: initial_poles('lin', 0), '`pairs`'),
    (lambda: memory_kernel(torch.ones(1, 2) + 0j, torch.ones(1, 2) + 0j, -1), '`length`')])
def test_odd_input_is_refused_by_name(call, says):
    with pytest.raises(InputError, match=says): call()


@pytest.mark.parametrize('kind', [torch.int8, torch.uint8, torch.int16, torch.int32])
def test_lengths_of_any_whole_type(kind):
    "uint8 was taken for a mask, and gave no row at all"
    got = last_outputs(Y, torch.tensor([2, 4], dtype=kind))
    assert torch.equal(got, torch.stack([Y[0, 1], Y[1, 3]]))


@pytest.mark.parametrize('longer', [0, 1, 5, 30])
def test_a_kernel_may_reach_back_farther_than_the_sequence(longer):
    "What is longer than twice the sequence came round the circle"
    rng = torch.Generator().manual_seed(longer)
    x, kernel = (torch.randn(n, generator=rng, dtype=torch.float64) for n in (5, 5 + longer))
    want = np.convolve(x.numpy(), kernel.numpy())[:5]
    np.testing.assert_allclose(causal_convolution(x, kernel).numpy(), want, atol=1e-12)


@pytest.mark.parametrize('empty', [[], np.array([], object), pd.Series([], dtype=object)])
def test_a_series_without_values_is_refused_in_every_container(empty):
    with pytest.raises(InputError, match='with a value at least'): checked_series(empty)


@pytest.mark.parametrize('form', [list, np.array, pd.Series, lambda v: np.array(v, object)])
def test_numbers_may_be_written_out_in_every_container(form):
    "As a table of texts gives them"
    assert checked_series(form(['1', '2.5'])).values.tolist() == [1, 2.5]
    with pytest.raises(InputError, match='something else in it'): checked_series(form(['1', 'x']))


@pytest.mark.parametrize('form', [
    pd.Series, lambda v: pd.Series(v, index=range(len(v))[::-1]), torch.tensor, list,
    lambda v: torch.tensor(v, requires_grad=True)])
def test_a_series_is_standardized_alike_in_every_container(form):
    "pandas and torch divide by n − 1 where NumPy divides by n"
    values = np.random.default_rng(0).normal(size=40)
    want, got = (training_and_test(v, 6, 4, 30) for v in (values, form(values)))
    for a, b in zip(want, got, strict=True): np.testing.assert_allclose(a, b)


def test_one_error_that_is_nan_is_no_quantile_and_an_endless_one_is():
    scores = np.array([[.1, .1], [NAN, np.inf], [.3, .3]])
    assert np.isnan(conformal_quantile(scores, .5)).tolist() == [True, False]
    assert conformal_quantile(scores, .5)[1] == .3 and conformal_quantile(scores, .7)[1] == np.inf
    assert conformal_quantile(np.empty((0, 2))).tolist() == [np.inf]*2
    assert conformal_quantile(np.ones((9, 2, 3))).shape == (2, 3)
