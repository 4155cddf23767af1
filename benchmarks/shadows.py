"""64 shadow models of digits at once, and in a plain PyTorch loop: scores, then CPU seconds

Both train the same models: halves of 898 of 1,796 rows, the same starts and orders, fused SGD with
momentum, batches of 32, one thread. Parity first, in float64, of the log odds of every model and
row (in float32 a rounding error can tip a ReLU over its corner and grows from there). Then CPU
seconds of whole runs, best of the rounds, and what an attack with these models finds.
Measured 2026-11-28 on two cores under load: 64 shadows 20.1 CPU s in a loop; with a target beside
them 1.7 at once, 11.7 times as fast.

Run: OMP_NUM_THREADS=1 python benchmarks/shadows.py [--epochs 60] [--rounds 2] [--width 64]
"""
import argparse
import os

os.environ.setdefault('OMP_NUM_THREADS', '1')

import numpy as np
import torch
from harness import interleave
from torch.nn import functional as F

from dlcourse.core.datasets import load
from dlcourse.evaluation.metrics import roc_auc
from dlcourse.privacy.attack_rates import threshold_at
from dlcourse.privacy.membership import lira_scores, loss_scores, margin
from dlcourse.privacy.shadows import fit_shadows
from dlcourse.training.zoo import mlp

TARGETS, SHADOWS, SEED = 18, 64, 1


def digits(dtype:torch.dtype):
    parts = zip(*load('digits', split='writer').tensors(), strict=True)
    x, y = (torch.cat(v)[:1796] for v in parts)
    return x.to(dtype), y


def at_once(dtype, epochs, width, shadows=SHADOWS, targets=TARGETS):
    def make(): return mlp(64, width, 10).to(dtype)
    return fit_shadows(make, digits(dtype), targets=targets, shadows=shadows, seed=SEED,
                       epochs=epochs, how='stacked', optimizer='sgd', lr=.05, momentum=.9)


def loop(keep, dtype, epochs, width):
    "Plain torch, one model after the other"
    (x, y), logits = digits(dtype), []
    for k, mask in enumerate(keep):
        own, seed = mask.nonzero()[:, 0], 1_000_003*SEED + k
        torch.manual_seed(seed)
        model, order = mlp(64, width, 10).to(dtype), torch.Generator().manual_seed(seed)
        optimizer = torch.optim.SGD(model.parameters(), lr=.05, momentum=.9, fused=True)
        for _ in range(epochs):
            for rows in own[torch.randperm(len(own), generator=order)].split(32):
                optimizer.zero_grad()
                F.cross_entropy(model(x[rows]), y[rows]).backward()
                optimizer.step()
        with torch.no_grad(): logits.append(model(x))
    return torch.stack(logits)


def attack(logits, keep):
    "AUC and hits at 1 %, by a line from nine further models, over nine targets"
    s, keep = margin(logits.double(), digits(torch.float32)[1]).numpy(), keep.numpy()
    for name, f in (('loss', lambda a, b, c: loss_scores(a)), ('LiRA', lira_scores)):
        found = np.stack([f(a, s[TARGETS:], keep[TARGETS:]) for a in s[:TARGETS]])
        line = threshold_at(found[9:][~keep[9:TARGETS]], .01)
        area = [roc_auc(keep[t], found[t]) for t in range(9)]
        hits = [(found[t][keep[t]] > line).mean() for t in range(9)]
        print(f'  {name}: AUC {np.mean(area):.3f} ± {np.std(area, ddof=1):.3f}, '
              f'found at 1 % {np.mean(hits):.3f} ± {np.std(hits, ddof=1):.3f}')


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--epochs', type=int, default=60)
    parser.add_argument('--rounds', type=int, default=2)
    parser.add_argument('--width', type=int, default=64)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    size = asked.epochs, asked.width
    exact = at_once(torch.float64, 5, asked.width, 8, 2)
    y = digits(torch.float64)[1]
    apart = margin(exact.logits, y) - margin(loop(exact.keep, torch.float64, 5, asked.width), y)
    print(f'parity in float64, 10 models, 5 epochs: log odds at most {apart.abs().max():.1e} apart')
    if not apart.abs().max() < 1e-3: raise SystemExit('no parity')
    keep = at_once(torch.float32, 1, asked.width, targets=TARGETS).keep
    own = keep[TARGETS:]
    ways = {'loop': lambda: loop(own, torch.float32, *size),
            'at once': lambda: at_once(torch.float32, *size, targets=1)}
    timing = interleave(ways, rounds=asked.rounds)
    print(timing)
    print(f'64 shadows and, at once, a target: {timing.ratio("loop", "at once"):.1f} times as fast')
    found = at_once(torch.float32, *size)
    print('at once, 82 models:')
    attack(found.logits, found.keep)


if __name__ == '__main__': main()
