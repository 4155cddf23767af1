"What training does with odd input: one sentence that names it, never a number in silence"
import numpy as np
import pytest
import torch

from dlcourse.core.errors import InputError
from dlcourse.training.ensembles import average, disagreement
from dlcourse.training.regularization import Dropout, dropout
from dlcourse.training.scaling import compute_optimal, counted, fit_power_law, training_flops
from dlcourse.training.tuning import rate_from_curve

NAN, INF = float('nan'), float('inf')
RATES, LOSSES = np.geomspace(1e-3, 1, 12), np.abs(np.arange(12.) - 5) + 1
SIZES, LOSS = [1e3, 2e3, 4e3, 8e3, 16e3], [3., 2.5, 2.2, 2., 1.9]
MEMBERS = torch.zeros(3, 2, 4)


@pytest.mark.parametrize(('call', 'says'), [
    (lambda: compute_optimal(-1e9), '`flops` must be'),
    (lambda: compute_optimal(0), '`flops` must be a finite number above 0'),
    (lambda: compute_optimal(NAN), '`flops`'), (lambda: compute_optimal(INF), '`flops`'),
    (lambda: compute_optimal('1e9'), '`flops`'),
    (lambda: compute_optimal(1e9, A=-1), '`A`'), (lambda: compute_optimal(1e9, beta=0), '`beta`'),
    (lambda: compute_optimal(1e9, alpha=2j), '`alpha`'),
    (lambda: compute_optimal(1e9, flops_per_weight=None), '`flops_per_weight`'),
    (lambda: training_flops([3, 5], 3.), '`rows`'),
    (lambda: training_flops([3., 5], 3), '`widths`'),
    (lambda: training_flops([3, -5], 3), '`widths`'),
    (lambda: training_flops([3, 5], -1), '`rows`'),
    (lambda: training_flops([True, 5], 3), '`widths`'),
    (lambda: counted(-1, 3, 10), '`before`'), (lambda: counted(1, NAN, 10), '`after`'),
    (lambda: counted(1, 3, 0), '`span`'), (lambda: counted(1.5, 3, 10), '`before`'),
    (lambda: fit_power_law(np.ma.masked_array(SIZES, [0, 0, 1, 0, 0]), LOSS), '`n` .* masked'),
    (lambda: fit_power_law(SIZES, np.ma.masked_array(LOSS, [0, 0, 1, 0, 0])), '`loss` .* masked'),
    (lambda: fit_power_law([str(n) for n in SIZES], LOSS), '`n` must hold numbers'),
    (lambda: fit_power_law(SIZES, np.arange(5).astype('M8[D]')), '`loss` must hold numbers'),
    (lambda: dropout(torch.ones(3), -.1), '`p`'), (lambda: dropout(torch.ones(3), 1), '`p`'),
    (lambda: dropout(torch.ones(3), 1.5), '`p`'), (lambda: dropout(torch.ones(3), NAN), '`p`'),
    (lambda: dropout(torch.ones(3), '0.5'), '`p`'), (lambda: Dropout(True), '`p`'),
    (lambda: dropout(torch.ones(3), 1.5, training=False), '`p`'),
    (lambda: rate_from_curve(RATES, LOSSES[:-1]), '`losses` must be one for each'),
    (lambda: rate_from_curve(RATES[:4], LOSSES[:4]), 'five times in a row.*take more steps'),
    (lambda: rate_from_curve(RATES, np.full(12, NAN)), 'five times in a row'),
    (lambda: rate_from_curve(RATES, ['x']*12), '`losses` must hold numbers'),
    (lambda: rate_from_curve([None]*12, LOSSES), '`rates`'),
    (lambda: average(MEMBERS[0]), '`logits` must be a tensor of floats'),
    (lambda: average(MEMBERS[:0]), '`logits`'), (lambda: average(MEMBERS.tolist()), '`logits`'),
    (lambda: average(MEMBERS.numpy()), '`logits` .* got ndarray'),
    (lambda: average(MEMBERS.int()), r'`logits` .* got torch.int32 of shape \(3, 2, 4\)'),
    (lambda: disagreement(MEMBERS[:, 0]), '`logits`'),
    (lambda: disagreement(MEMBERS.long()), '`logits`')])
def test_odd_input_is_refused_by_name(call, says):
    with pytest.raises(InputError, match=says): call()


@pytest.mark.parametrize('kind', [np.int8, np.uint8, np.int16, np.int64])
def test_small_whole_numbers_have_no_end(kind):
    widths, rows = np.array([100, 120, 10], kind), kind(100)
    assert training_flops(widths, rows) == 100*(6*(12_000 + 1200) - 2*12_000)
    assert counted(kind(90), kind(10), kind(100)) == 20


@pytest.mark.parametrize('kind', [np.float16, np.float32, np.float64])
def test_a_law_in_low_precision_buys_as_much(kind):
    "The result of float16 was infinite"
    got = compute_optimal(1e9, A=kind(400), alpha=kind(.25), beta=kind(.25))
    assert got == pytest.approx(compute_optimal(1e9, A=400., alpha=.25, beta=.25), rel=1e-12)


@pytest.mark.parametrize('bad', [NAN, INF, -INF])
@pytest.mark.parametrize('at', [0, 1, 2, 10, 11])
def test_a_loss_that_is_no_number_moves_no_other(at, bad):
    "One in the middle was left out, and those behind it got the rates of their neighbours"
    losses = LOSSES.copy()
    losses[at] = bad
    means = [losses[k - 2:k + 3].mean() for k in range(2, 10)]
    want = RATES[2 + min((m, k) for k, m in enumerate(means) if np.isfinite(m))[1]]/3
    assert rate_from_curve(RATES, losses) == pytest.approx(want)
    assert rate_from_curve(RATES.tolist(), losses.tolist()) == pytest.approx(want)
