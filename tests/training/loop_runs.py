"The runs that test_loop.py makes both in its own process and in others, with few imports"
import os
import random
from dataclasses import replace

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from dlcourse.foundations.schedules import cosine
from dlcourse.training.batches import Batches, top1_accuracy
from dlcourse.training.callbacks import Callback, EarlyStopping, FitConfig
from dlcourse.training.checkpoints import save_state
from dlcourse.training.loop import fit

X = torch.randn(104, 6, generator=torch.Generator().manual_seed(1))
Y = (X[:, 0] + X[:, 1]*X[:, 2] > 0).long()
QUIET = FitConfig(epochs=4, progress=False, device='cpu')


def network(seed=0, dropout=.3):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(dropout),
                         nn.Linear(16, 2))


def small(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 2))


def batches(size=16, **how): return Batches(X[:84], Y[:84], batch_size=size, **how)
def held_out(): return Batches(X[84:], Y[84:], batch_size=7, shuffle=False)
def same(a, b): return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


class Noise(Callback):
    "Draws from Python's and NumPy's generators, and leaves what it drew in the history"
    def on_epoch(self, run):
        run.history.rows[-1] |= {'python': random.random(), 'numpy': float(np.random.rand())}


class Slow(Callback):
    "Here it does nothing; in the run that is killed, one of this name logs and sleeps"


def long_run(checkpoint, callbacks):
    model = network()
    random.seed(5), np.random.seed(5)
    config = replace(QUIET, epochs=30, lr=.01, schedule=cosine(150, warmup=10), clip=1.,
                     checkpoint=checkpoint, every=4 if checkpoint else None)
    callbacks = [*callbacks, EarlyStopping(patience=6), Noise()]
    return model, fit(model, batches(), F.cross_entropy, config, callbacks, valid=held_out(),
                      metrics={'accuracy': top1_accuracy})


def shared_run(name):
    histories = {}
    for how in ({}, {'accumulate': 3, 'clip': .1, 'schedule': cosine(30)}):
        config = replace(QUIET, progress=bool(how), lr=.02, checkpoint=f'{name}{len(how)}', every=3,
                         **how)
        history = fit(small(), Batches(X[:81], Y[:81], batch_size=20, seed=4), F.cross_entropy,
                      config, [EarlyStopping(patience=3)], valid=held_out())
        histories[str(len(how))] = {'losses': history.losses, 'rows': history.rows}
    if os.environ.get('RANK', '0') == '0': save_state(f'{name}.end', histories)
    return histories
