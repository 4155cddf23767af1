"""Train K members at once and in a plain PyTorch loop, by model and size, in one run

Both train the same members: the same starts, rows, orders and learning rate, SGD, in memory, one thread. Parity first, in float64: every weight must agree within 1e-9.
In float32 a rounding error can tip a ReLU or a max-pool over its corner, and grows from there; how many members differ by more than 1e-5 is printed.
Then CPU seconds of whole runs (set-up included), interleaved, and the median of the ratios: above 1, training at once is faster by that factor.
The last columns say which way `how='auto'` would take, and what it thinks of a process for each core (in seconds of wall time).
Run: OMP_NUM_THREADS=1 python benchmarks/ensembles_against_loop.py [--members 16] [--rounds 5]
"""
import argparse
import os
import sys
import time
from functools import partial
from importlib import import_module
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

from dlcourse.training.ensembles import fit_many

BATCH, LR, ROWS, EPOCHS = 32, .05, 320, 3


def mlp(hidden): return nn.Sequential(nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 10))


def cnn(channels):
    return nn.Sequential(nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, channels, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Conv2d(channels, 2*channels, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8*channels, 10))


MODELS = {'MLP': (mlp, (16, 64, 256, 1024)), 'CNN': (cnn, (4, 16, 64))}


def data():
    x, y = load_digits(return_X_y=True)
    return torch.tensor(x[:ROWS]/16, dtype=torch.float32), torch.tensor(y[:ROWS])


def double(make): return make().double()


def apart(singles, many):
    "The largest difference of each member's weights"
    return [max(float((many.state[n][k] - p).detach().abs().max()) for n, p in m.named_parameters()) for k, m in enumerate(singles)]


def loop(make, x, y, members):
    "Plain torch, one member after the other"
    models = []
    for seed in range(members):
        torch.manual_seed(seed)
        model, order = make(), torch.Generator().manual_seed(seed)
        optimizer = torch.optim.SGD(model.parameters(), lr=LR)
        for _ in range(EPOCHS):
            for rows in torch.randperm(len(x), generator=order).split(BATCH):
                optimizer.zero_grad()
                F.cross_entropy(model(x[rows]), y[rows]).backward()
                optimizer.step()
        models.append(model)
    return models


def at_once(make, x, y, members, how='vmap'):
    return fit_many(make, (x, y), F.cross_entropy, seeds=members, epochs=EPOCHS, batch_size=BATCH, lr=LR, optimizer='sgd', how=how, device='cpu')


def timed(f, *args):
    began = time.process_time()
    result = f(*args)
    return time.process_time() - began, result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--members', type=int, nargs='+', default=[4, 16, 64])
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--largest', type=int, default=10**9, help="leave out larger hidden layers or more channels")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    x, y = data()
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    here = import_module('ensembles_against_loop') # So that another process could import the models
    print(f'torch {torch.__version__}, {os.cpu_count()} cores, one thread; {EPOCHS} epochs of {ROWS} rows in batches of {BATCH}')
    print(f'{"model":6}{"size":>6}{"members":>9}{"loop, CPU s":>13}{"at once":>9}{"ratio":>7}{"(range)":>14}{"apart":>9}{">1e-5":>8}   auto, estimated s')
    for name, (_, sizes) in MODELS.items():
        for size in (s for s in sizes if s <= arguments.largest):
            make = partial(getattr(here, name.lower()), size)
            for members in arguments.members:
                ways = (loop, at_once)
                singles, many = (way(make, x, y, members) for way in ways) # Also the warm-up
                beyond = sum(d > 1e-5 for d in apart(singles, many))
                worst = max(apart(*(way(partial(double, make), x.double(), y, members) for way in ways)))
                if worst > 1e-9: raise SystemExit(f'no parity for {name} {size}: the weights differ by {worst:.1e}')
                seconds = {way: [] for way in ways}
                for round in range(arguments.rounds):
                    for way in ways[::1 if round % 2 else -1]: seconds[way].append(timed(way, make, x, y, members)[0])
                ratios = sorted(a/b for a, b in zip(seconds[loop], seconds[at_once], strict=True))
                auto = at_once(make, x, y, members, 'auto')
                print(f'{name:6}{size:6}{members:9}{min(seconds[loop]):13.3f}{min(seconds[at_once]):9.3f}{ratios[len(ratios)//2]:7.1f}'
                      f'{f"{ratios[0]:.1f}–{ratios[-1]:.1f}":>14}{worst:9.0e}{beyond:8}   {auto.how}: ' + ', '.join(f'{k} {s:.2g}' for k, s in auto.seconds.items()), flush=True)


if __name__ == '__main__': main()
