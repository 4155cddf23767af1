"""Recurrent cells by hand against torch's, and how far a plain RNN comes at its best setting

Speed: batch 32, 64 steps, 64 numbers in, 128 in the state; forward and backward, with the same
weights. Parity first: outputs and gradients of all ways within 1e-4. Ways: our `Recurrent` (a loop
over the steps with the cell by hand), torch's cell in the same loop, and `nn.LSTM` (or GRU, RNN),
which is what a user should take. CPU seconds, one thread, interleaved.

`--search`: the adding problem of 60 steps and the copy problem of 20, at 2,700 and 6,000
parameters, for each start (torch's, orthogonal, identity with ReLU as Le et al. 2015) and several
learning rates, with as many batches as asked for; three seeds each.

Run: OMP_NUM_THREADS=1 python benchmarks/recurrent.py [--rounds 7] [--search] [--steps 500]
"""
import argparse
import os
from functools import partial

os.environ.setdefault('OMP_NUM_THREADS', '1')

import torch
from harness import interleave
from torch import nn
from torch.nn import functional as F

from dlcourse.sequences.recurrent import (
    GATES,
    MemoryNet,
    Recurrent,
    adding_batch,
    chrono_,
    copy_batch,
    hidden_for,
    train_memory,
)

BATCH, TIME, INPUTS, HIDDEN = 32, 64, 64, 128


class Stepwise(nn.Module):
    "torch's cell, called at each step"
    def __init__(self, kind:str):
        super().__init__()
        self.kind, self.cell = kind, getattr(nn, f'{kind}Cell')(INPUTS, HIDDEN)

    def forward(self, x):
        zeros, out = x.new_zeros(len(x), HIDDEN), []
        state = (zeros, zeros) if self.kind == 'LSTM' else zeros
        for t in range(x.shape[1]):
            state = self.cell(x[:, t], state)
            out.append(state[0] if self.kind == 'LSTM' else state)
        return torch.stack(out, 1), state


def speed(kind:str, rounds:int):
    "All ways of one cell, from the same weights"
    torch.manual_seed(0)
    ours, cell = Recurrent(kind, INPUTS, HIDDEN), Stepwise(kind)
    fused = getattr(nn, kind)(INPUTS, HIDDEN, batch_first=True)
    fused.load_state_dict(ours.state_dict())
    cell.cell.load_state_dict({k.removesuffix('_l0'): v for k, v in ours.state_dict().items()})
    x, g = torch.randn(BATCH, TIME, INPUTS), torch.randn(BATCH, TIME, HIDDEN)

    def both(model):
        y, _ = model(x)
        return [y.detach(), *torch.autograd.grad(y, list(model.parameters()), g)]

    def apart(results):
        want = results['torch, fused']
        return max(((a - b).abs().max()/b.abs().max()).item()
                   for got in results.values() for a, b in zip(got, want, strict=True))

    ways = {'by hand': partial(both, ours), "torch's cell": partial(both, cell),
            'torch, fused': partial(both, fused)}
    timing = interleave(ways, same=apart, within=1e-4, rounds=rounds)
    print(f'{kind}\n{timing}')
    for way in ('by hand', "torch's cell"):
        print(f'{kind}: fused is {timing.ratio(way, "torch, fused"):.1f} times as fast as {way} '
              f'(paired {timing.paired(way, "torch, fused"):.1f})')


def begin(model:MemoryNet, start:str, longest:int):
    "Set a start"
    if start == 'chrono': chrono_(model.rnn, longest)
    if start == 'orthogonal': nn.init.orthogonal_(model.rnn.weight_hh_l0)
    if start == 'identity':
        old = model.rnn
        model.rnn = nn.RNN(old.input_size, old.hidden_size, batch_first=True, nonlinearity='relu')
        nn.init.eye_(model.rnn.weight_hh_l0)
        for bias in (model.rnn.bias_ih_l0, model.rnn.bias_hh_l0): nn.init.zeros_(bias)
        nn.init.normal_(model.rnn.weight_ih_l0, std=.001)


def final_loss(task:str, kind:str, start:str, lr:float, steps:int, seed:int)->float:
    "The mean of the last fifty batches"
    torch.manual_seed(seed)
    rng = torch.Generator().manual_seed(seed)
    if task == 'adding':
        model, longest = MemoryNet(kind, 2, 1, hidden_for(kind, 2, 1, 2700)), 60
        draw, loss = partial(adding_batch, 32, 60, rng), lambda p, y: F.mse_loss(p[:, 0], y)
    else:
        model, longest = MemoryNet(kind, 10, 8, hidden_for(kind, 10, 8, 6000), answers=5), 30
        draw = partial(copy_batch, 32, 20, rng)
        def loss(p, y): return F.cross_entropy(p.flatten(0, 1), y.flatten())
    begin(model, start, longest)
    return sum(train_memory(model, draw, loss, steps, lr)[-50:])/50


def search(steps:int):
    "A row for each setting"
    ways = [('RNN', s) for s in ('torch', 'orthogonal', 'identity')]
    ways += [('LSTM', s) for s in ('torch', 'chrono')]
    for task, guess in (('adding', '.1667'), ('copying', '2.0794')):
        for kind, start in ways:
            for lr in (.0003, .001, .003, .01) if kind == 'RNN' else (.003, .01, .02):
                losses = [final_loss(task, kind, start, lr, steps, seed) for seed in range(3)]
                told = '  '.join(f'{v:.4f}' for v in losses)
                print(f'{task} (guess {guess})  {kind:4} {start:10} lr {lr:<6} {told}', flush=True)


if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('--rounds', type=int, default=7)
    p.add_argument('--search', action='store_true')
    p.add_argument('--steps', type=int, default=500)
    args = p.parse_args()
    torch.set_num_threads(1)
    for kind in GATES: speed(kind, args.rounds)
    if args.search: search(args.steps)
