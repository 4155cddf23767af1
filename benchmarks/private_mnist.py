"""Real MNIST under differential privacy: how much do designed features bring back?

A linear classifier by `fit_private` on scattering features (which cost no privacy) and on pixels,
at (3, 1e-5) and (2, 1e-5), three seeds, all 10,000 test images. Settings (batch, epochs, rate, clip
norm) were chosen on 6,000 training images, at ε = 3 on features, among some twenty, and the rate
for pixels among four; that choosing is itself a use of the private rows, which the ε does not cover
(a ledger would count it). With `--choose` it trains on 54,000 and prints accuracy on these 6,000.
Published with a linear
classifier on scattering at ε = 3: 98.7 (Tramèr & Boneh 2021); with their tanh network 98.1. Needs
`mnist` in the data home.

Measured (2026-11-28, seeds 0, 1, 2): scattering 98.69 (98.62, 98.69, 98.77) at ε = 3 and 98.56
(98.49, 98.55, 98.64) at ε = 2; pixels 92.22 (92.18, 92.30, 92.19) and 91.94 (91.86, 91.94,
92.02). Features take 157 CPU seconds, a run 19. With `--network` the tanh network of Tramèr & Boneh
is trained whole, with their settings: at ε = 3 98.14 (98.26, 97.97, 98.19) and at ε = 2 97.93
(98.01, 97.85, 97.94), 272 CPU seconds a run.

Run: OMP_NUM_THREADS=1 python benchmarks/private_mnist.py
     [--choose | --network [--epsilon 3] [--seed 0] [--steps 100]]
"""
import argparse
import os
import time

os.environ.setdefault('OMP_NUM_THREADS', '1')

import torch
from harness import mnist
from torch import nn

from dlcourse.privacy.accounting import noise_for
from dlcourse.privacy.private_loop import fit_private
from dlcourse.training.callbacks import FitConfig
from dlcourse.vision.scattering import scattering_rows

ROWS, BATCH, EPOCHS, CLIP, DELTA, SEEDS = 60_000, 1024, 30, .1, 1e-5, 3
RATES = {'scattering': 2., 'pixels': 8.}
NETWORK = dict(batch=512, epochs=40, rate=.5) # Of Tramèr & Boneh, not chosen here


def tanh_network(seed):
    "The network of Papernot et al. 2021: bounded activations keep gradients short"
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(1, 16, 8, 2, padding=2), nn.Tanh(), nn.MaxPool2d(2, 1),
                         nn.Conv2d(16, 32, 4, 2), nn.Tanh(), nn.MaxPool2d(2, 1), nn.Flatten(),
                         nn.Linear(512, 32), nn.Tanh(), nn.Linear(32, 10))


def accuracy(model, x, y):
    with torch.no_grad(): return float((model(x).argmax(1) == y).float().mean())


def trained(model, x, y, batch, epochs, rate, epsilon, seed, most=None):
    steps = epochs*ROWS//batch
    return fit_private(model, x, y, expected_batch=batch, steps=most or steps, delta=DELTA,
                       noise_multiplier=noise_for(epsilon, batch/ROWS, steps, DELTA), seed=seed,
                       rows=ROWS, clip_norm=CLIP,
                       config=FitConfig(optimizer='sgd', lr=rate, momentum=.9))


def one(x, y, tests, answers, epsilon, rate, seed):
    model = nn.Linear(x.shape[1], 10)
    for p in model.parameters(): nn.init.zeros_(p)
    run = trained(model, x, y, BATCH, EPOCHS, rate, epsilon, seed)
    return accuracy(model, tests, answers), run


def network(pictures, labels, tests, answers, epsilons, seeds, most):
    "The tanh network, trained whole from the pixels"
    x, t = ((v.view(-1, 1, 28, 28) - .1307)/.3081 for v in (pictures, tests))
    for epsilon in epsilons:
        for seed in seeds:
            model, began = tanh_network(seed), time.process_time()
            run = trained(model, x, labels, *(NETWORK[k] for k in ('batch', 'epochs', 'rate')),
                          epsilon, seed, most)
            print(f'tanh network, ε = {run.epsilon:.3f}, σ = {run.noise_multiplier:.3f}, '
                  f'{run.steps:,} steps, seed {seed}: {100*accuracy(model, t, answers):.2f}, '
                  f'{time.process_time() - began:.0f} CPU s', flush=True)


def main(o):
    torch.set_num_threads(1)
    (pictures, tests), (labels, answers) = mnist()
    epsilons = (3., 2.) if o.epsilon is None else (o.epsilon,)
    seeds = range(SEEDS) if o.seed is None else [o.seed]
    if o.choose:
        order = torch.randperm(ROWS, generator=torch.Generator().manual_seed(99))
        tests, answers = pictures[order[:6000]], labels[order[:6000]]
        pictures, labels, seeds = pictures[order[6000:]], labels[order[6000:]], [100]
    if o.network:
        return network(pictures, labels, tests, answers, epsilons, seeds, o.steps)
    for name in ('pixels', 'scattering'):
        began = time.process_time()
        made = scattering_rows if name == 'scattering' else lambda v: v.flatten(1)
        x, t = made(pictures), made(tests)
        print(f'{name}: {x.shape[1]:,} features in {time.process_time() - began:.0f} CPU s')
        for epsilon in epsilons:
            began = time.process_time()
            found = [one(x, labels, t, answers, epsilon, RATES[name], seed) for seed in seeds]
            scores, runs = zip(*found, strict=True)
            mean, spread = torch.tensor(scores).mean(), (max(scores) - min(scores))
            print(f'  ε = {runs[0].epsilon:.3f}, σ = {runs[0].noise_multiplier:.3f}: '
                  f'{100*mean:.2f} ({", ".join(f"{100*s:.2f}" for s in scores)}; range '
                  f'{100*spread:.2f}), {(time.process_time() - began)/len(scores):.0f} CPU s a run',
                  flush=True)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ('choose', 'network'): parser.add_argument(f'--{name}', action='store_true')
    parser.add_argument('--epsilon', type=float, help='one ε; 3 and 2 where left out')
    parser.add_argument('--seed', type=int, help='one seed; 0, 1, 2 where left out')
    parser.add_argument('--steps', type=int, help='of the network, to stop early')
    main(parser.parse_args())
