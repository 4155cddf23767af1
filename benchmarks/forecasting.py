"""ETTh1, 96 hours ahead: a ridge regression in closed form beside networks, as papers measure it

Twelve months (of 30 days) to learn from, four to choose on, four to test; standardized by the
first part; every channel is forecast from its own past by one model for all seven; mean squared
and mean absolute error over all test windows, steps and channels. Published: PatchTST .375 and
.399 with 336 hours of past (Nie et al. 2023, as a replication reports it). λ is chosen on the
second part, and nothing else. Networks learn the median, so they aim at the absolute error.
Needs `etth1` in the data home.
Run: OMP_NUM_THREADS=1 python benchmarks/forecasting.py [seeds] [steps] [kinds, with commas]
"""
import os
import sys
import time

os.environ.setdefault('OMP_NUM_THREADS', '1')

import numpy as np
import torch

from dlcourse.core.datasets import load
from dlcourse.sequences.forecasting import train_forecaster
from dlcourse.sequences.windows import checked_series, fit_ridge, past_and_future

MONTH, HORIZON = 30*24, 96
PARTS = dict(learn=(0, 12*MONTH), choose=(12*MONTH, 16*MONTH), test=(16*MONTH, 20*MONTH))


def standardized()->np.ndarray:
    "[hour, channel]"
    table = load('etth1')
    values = checked_series(table.drop('date').to_numpy(), table['date']).values
    seen = values[:12*MONTH]
    return (values - seen.mean(0))/seen.std(0)


def windows(values, part, length):
    "Pasts and futures of all channels, one under the other"
    start, stop = PARTS[part]
    pairs = [past_and_future(channel, length, HORIZON, start=start, stop=stop)
             for channel in values.T]
    return tuple(np.concatenate(side).astype(np.float32) for side in zip(*pairs, strict=True))


def errors(told, came):
    off = told - came
    return float((off**2).mean()), float(np.abs(off).mean())


def in_blocks(f, x, rows=4096):
    return np.concatenate([f(x[i:i + rows]) for i in range(0, len(x), rows)])


def closed_form(values, length):
    began = time.process_time()
    x, y = windows(values, 'learn', length)
    held = windows(values, 'choose', length)
    lines = {s: fit_ridge(x, y, s) for s in (10., 100., 1000., 10000.)}
    best = min(lines, key=lambda s: errors(lines[s](held[0]), held[1])[0])
    asked, came = windows(values, 'test', length)
    mse, mae = errors(lines[best](asked), came)
    print(f'ridge, {length} hours of past, λ {best:g}: MSE {mse:.4f}, MAE {mae:.4f}, '
          f'{len(asked)//7} windows, {time.process_time() - began:.0f} CPU s', flush=True)


def networks(values, kind, seeds, steps, length=336):
    x, y = windows(values, 'learn', length)
    asked, came = windows(values, 'test', length)
    found, began = [], time.process_time()
    for seed in range(seeds):
        model = train_forecaster(kind, x, y, steps=steps, lr=1e-3, batch_size=128, patch=24,
                                 quantiles=(.5,), seed=seed)
        found.append(errors(in_blocks(model.predict, asked)[..., 0], came))
    mse, mae = np.transpose(found)
    print(f'{kind}, {length} hours of past, {steps} steps: MSE {mse.mean():.4f} ({mse.min():.4f} '
          f'to {mse.max():.4f}), MAE {mae.mean():.4f}, {seeds} seeds, '
          f'{(time.process_time() - began)/seeds:.0f} CPU s each', flush=True)


def main(seeds, steps, kinds):
    torch.set_num_threads(1)
    values = standardized()
    asked, came = windows(values, 'test', 336)
    for name, told in (('last value', asked[:, -1:]), ('yesterday', np.tile(asked[:, -24:], 4))):
        print('{}: MSE {:.4f}, MAE {:.4f}'.format(name, *errors(told, came)))
    for length in (336, 512): closed_form(values, length)
    for kind in kinds: networks(values, kind, seeds, steps)


if __name__ == '__main__':
    given = sys.argv[1:]
    main(int(given[0]) if given else 3, int(given[1]) if given[1:] else 500,
         given[2].split(',') if given[2:] else ('DLinear', 'patches', 'LSTM'))
