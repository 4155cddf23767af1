"""What a long memory costs and keeps: scans, convolution, LSTM and attention against the length

Forward and backward of one layer for sequences of growing length, in one process, in turn. The
ways of one recurrence are compared before they are timed. `--search` trains the LSTM of the lesson
with each of its settings, and S4D, on the recall task; `--digits` both on digits pixel by pixel.
Run: OMP_NUM_THREADS=1 python benchmarks/state_space.py [--search] [--digits] [--rounds N]
"""
import argparse
import os
from functools import partial
from itertools import product

os.environ.setdefault('OMP_NUM_THREADS', '1')

import torch
import torch.nn.functional as F
from harness import cpu_seconds, interleave
from torch import nn

from dlcourse.core.datasets import load
from dlcourse.foundations.schedules import linear
from dlcourse.sequences.scans import scan
from dlcourse.sequences.state_space import (
    S4D,
    Mixed,
    Selective,
    StateSpaceConfig,
    parallel_scan,
    recurrence,
)
from dlcourse.training.batches import Batches
from dlcourse.training.callbacks import FitConfig
from dlcourse.training.loop import fit
from dlcourse.training.zoo import count_parameters

LENGTHS, BATCH, DIM, STATE = (128, 512, 2048), 4, 32, 16
AGES, SEQ = torch.arange(32, 256, 32), 256


def with_gradients(f, *inputs):
    "Value and gradients, as one number each"
    given = [x.detach().requires_grad_() for x in inputs]
    y = f(*given)
    return [y.detach(), *torch.autograd.grad(y.square().mean(), given)]


def apart(results):
    first, *others = results.values()
    return max((a - b).abs().max().item() for other in others
               for a, b in zip(first, other, strict=True))


def costs(rounds):
    torch.manual_seed(0)
    for n in LENGTHS:
        a, b = torch.rand(BATCH, n, DIM, STATE), torch.randn(BATCH, n, DIM, STATE)
        ways = {'loop with a graph': recurrence, 'by halves': parallel_scan, 'loop without': scan}
        timing = interleave({name: partial(with_gradients, f, a, b) for name, f in ways.items()},
                            same=apart, within=1e-4, rounds=rounds)
        print(f'\none recurrence, {n} steps\n{timing}')
        for way in ('loop with a graph', 'by halves'):
            print(f'  {way}: {timing.paired(way, "loop without"):.1f} times the loop without')
        x = torch.randn(BATCH, n, DIM)
        config = StateSpaceConfig(dim=DIM, state=STATE)
        lstm, qkv = nn.LSTM(DIM, DIM, batch_first=True), torch.randn(3, BATCH, 4, n, DIM//4)
        layers = {'S4D, FFT': S4D(config), 'selective': Selective(config),
                  'LSTM': lambda x, lstm=lstm: lstm(x)[0]}
        ways = {name: partial(with_gradients, f, x) for name, f in layers.items()}
        ways['attention'] = partial(with_gradients, lambda q, k, v: F.scaled_dot_product_attention(
            q, k, v, is_causal=True), *qkv)
        timing = interleave(ways, rounds=rounds)
        print(f'\none layer of width {DIM}, {n} steps\n{timing}')
        for way in ('S4D, FFT', 'selective', 'attention'):
            print(f'  {way}: {timing.paired(way, "LSTM"):.2f} times the LSTM')


def signals(rows, seed):
    g = torch.Generator().manual_seed(seed)
    bump = torch.hann_window(32)
    noise = torch.randn(rows, 1, SEQ + 31, generator=g)
    x = F.conv1d(noise, (bump/bump.norm())[None, None])[:, 0]
    return x[..., None], x[:, SEQ - 1 - AGES]


class Reader(nn.Module):
    def __init__(self, outputs, dim=16, state=32, depth=1, mean=False):
        super().__init__()
        config, self.mean = StateSpaceConfig(dim=dim, state=state), mean
        self.start, self.end = nn.Linear(1, dim), nn.Linear(dim, outputs)
        self.layers = nn.Sequential(*[Mixed(dim, S4D(config)) for _ in range(depth)])

    def forward(self, x):
        y = self.layers(self.start(x))
        return self.end(y.mean(1) if self.mean else y[:, -1])


class Rival(nn.Module):
    "An LSTM; its gates begin with memories of 1 to 256 steps, or as torch leaves them"
    def __init__(self, outputs, dim=20, layers=1, warped=True, mean=False):
        super().__init__()
        self.mean = mean
        self.lstm = nn.LSTM(1, dim, layers, batch_first=True)
        self.end = nn.Linear(dim, outputs)
        for k in range(layers if warped else 0):
            bias, lengths = getattr(self.lstm, f'bias_hh_l{k}'), (1 + torch.rand(dim)*255).log()
            with torch.no_grad():
                bias.zero_()
                bias[dim:2*dim], bias[:dim] = lengths, -lengths

    def forward(self, x):
        y = self.lstm(x)[0]
        return self.end(y.mean(1) if self.mean else y[:, -1])


def trained(make, seed, x, y, *, loss=F.cross_entropy, epochs=1, lr=.02):
    torch.manual_seed(seed)
    model, batches = make(), Batches(x, y, batch_size=32, seed=seed, drop_last=True)
    config = FitConfig(epochs=epochs, lr=lr, clip=1., device='cpu', progress=False,
                       schedule=linear(epochs*len(batches), 20))
    seconds, _ = cpu_seconds(lambda: fit(model, batches, loss, config))
    return model, seconds


def search(seed=10, steps=250):
    "Of the lesson's recall task: error as a share of the variance, settings of both"
    x, y = signals(500, 999) # Not what the lesson tests on
    def tried(name, make, steps, lr):
        model, seconds = trained(make, seed, *signals(32*steps, 100 + seed), loss=F.mse_loss, lr=lr)
        with torch.no_grad(): error = (model(x) - y).square().mean()/y.var()
        print(f'{name}, lr {lr}: {error:.3f}, {count_parameters(model)} parameters, '
              f'{seconds:.1f} CPU s', flush=True)
    for lr in (.01, .02, .04): tried('S4D', partial(Reader, len(AGES)), steps, lr)
    for lr, layers, warped in product((.005, .01, .02), (1, 2), (True, False)):
        make = partial(Rival, len(AGES), dim=20 if layers == 1 else 13, layers=layers,
                       warped=warped)
        tried(f'LSTM, {layers} layers, warped={warped}', make, 3*steps, lr)


def of_digits(seeds):
    "Digits of 256 pixels, right answers for other writers"
    parts = load('digits', split='writer')
    def pixels(part):
        x = torch.tensor(part.x).reshape(-1, 1, 8, 8)
        x = F.interpolate(x, size=(16, 16), mode='bilinear')
        return x.flatten(1)[..., None] - .3, torch.tensor(part.y)
    ways = {'S4D': (partial(Reader, 10, 32, 16, 2, True), 10), 'LSTM': (partial(Rival, 10, 40), 30)}
    for (name, (make, epochs)), seed in product(ways.items(), range(seeds)):
        model, seconds = trained(make, seed, *pixels(parts.train), epochs=epochs)
        x, y = pixels(parts.test)
        with torch.no_grad(): right = (model(x).argmax(-1) == y).float().mean()
        print(f'{name}, seed {seed}: {right:.3f}, {count_parameters(model)} parameters, '
              f'{seconds:.1f} CPU s', flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--search', action='store_true')
    parser.add_argument('--digits', action='store_true')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--seeds', type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.search: search()
    if given.digits: of_digits(given.seeds)
    if not (given.search or given.digits): costs(given.rounds)


if __name__ == '__main__': main()
