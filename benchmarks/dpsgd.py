"""What does a private step cost? Our engine, Opacus in every mode, and the step without privacy

Batches of 256, CPU seconds on one thread, best of the rounds, all in one run. First parity: the cut
and added gradients of all ways agree, and with a loop over examples. Then whole steps: gradients,
noise from a seeded generator, update. The network is that of Abadi-like MNIST tutorials (26,010
parameters), the perceptron 784-128-10. A last row takes our noise from the system's source.

Measured (2026-11-28, 2 cores, load 10), as multiples of the step without privacy, perceptron and
network: ours 1.86 and 1.45; Opacus by hooks
72.46 and 1.86, functorch 76.87 and 2.11, expanded weights 68.77 and 1.75, ghost 2.66
and 1.93. In a later, quicker run (load 6), with the system's noise on its grid: 2.69 and 1.50,
where ours from a seed took 1.97 and 1.56, and ghost 2.61 and 1.99. Its bits are made by a cipher
where `cryptography` is installed; without it they take some .9 of a step of the perceptron more.

Run: OMP_NUM_THREADS=1 python benchmarks/dpsgd.py [--quick]   (needs opacus: the extra `privacy`)
"""
import copy
import os
import sys
import warnings

os.environ.setdefault('OMP_NUM_THREADS', '1')

import torch
import torch.nn.functional as F
from harness import interleave
from opacus.grad_sample import GradSampleModule, GradSampleModuleExpandedWeights
from opacus.grad_sample.grad_sample_module_fast_gradient_clipping import (
    GradSampleModuleFastGradientClipping,
)
from opacus.optimizers import DPOptimizer, DPOptimizerFastGradientClipping
from opacus.utils.fast_gradient_clipping_utils import DPLossFastGradientClipping
from torch import nn

from dlcourse.privacy.clipping import clipped_sum
from dlcourse.privacy.private_loop import Chance, private_step

ROWS, CLIP, NOISE, RATE = 256, 1., 1., .01


def perceptron(): return nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))


def network():
    return nn.Sequential(nn.Conv2d(1, 16, 8, 2, padding=3), nn.ReLU(), nn.MaxPool2d(2, 1),
                         nn.Conv2d(16, 32, 4, 2), nn.ReLU(), nn.MaxPool2d(2, 1), nn.Flatten(),
                         nn.Linear(512, 32), nn.ReLU(), nn.Linear(32, 10))


def by_opacus(model, x, y, mode, noise=NOISE):
    "A step with Opacus, and the gradients that it would take"
    model = copy.deepcopy(model)
    generator = torch.Generator().manual_seed(0)
    plain = torch.optim.SGD(model.parameters(), RATE)
    how = dict(noise_multiplier=noise, max_grad_norm=CLIP, expected_batch_size=ROWS,
               generator=generator)
    if mode == 'ghost':
        wrapped = GradSampleModuleFastGradientClipping(model, max_grad_norm=CLIP,
                                                       use_ghost_clipping=True)
        optimizer = DPOptimizerFastGradientClipping(plain, **how)
        loss = DPLossFastGradientClipping(wrapped, optimizer, nn.CrossEntropyLoss(), 'mean')
    else:
        kinds = {'hooks': GradSampleModule, 'ew': GradSampleModuleExpandedWeights}
        options = {'force_functorch': True} if mode == 'functorch' else {}
        wrapped = kinds.get(mode, GradSampleModule)(model, **options)
        optimizer, loss = DPOptimizer(plain, **how), nn.CrossEntropyLoss()
    def step():
        optimizer.zero_grad()
        loss(wrapped(x), y).backward()
        optimizer.step()
        return [p.grad for p in model.parameters()]
    return step


def ours(model, x, y, seed=0, noise=NOISE):
    model, chance = copy.deepcopy(model), Chance(seed)
    optimizer = torch.optim.SGD(model.parameters(), RATE)
    def step():
        private_step(model, (x, y), chance, clip_norm=CLIP, noise_multiplier=noise,
                     expected_batch=ROWS)
        optimizer.step()
        return [p.grad for p in model.parameters()]
    return step


def without(model, x, y):
    model = copy.deepcopy(model)
    optimizer = torch.optim.SGD(model.parameters(), RATE)
    def step():
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    return step


def main(rounds):
    warnings.simplefilter('ignore')
    torch.set_num_threads(1)
    modes = 'hooks', 'functorch', 'ew', 'ghost'
    for name, build, shape, bound in (('perceptron 784-128-10', perceptron, (784,), 3.5),
                                      ('network 28×28', network, (1, 28, 28), 2.)):
        torch.manual_seed(0)
        model, x, y = build(), torch.randn(ROWS, *shape), torch.randint(0, 10, (ROWS,))
        want = clipped_sum(model, (x, y), clip_norm=CLIP, engine='loop').sums
        for way in ('ours', *modes):
            found = (ours(model, x, y, noise=0) if way == 'ours' else
                     by_opacus(model, x, y, way, noise=0))()
            apart = max(float((a - b/ROWS).abs().max()) for a, b in zip(found, want, strict=True))
            print(f'{name}, {way}: {apart:.1e} from the loop over examples')
            if apart > 1e-6: raise SystemExit(f'no parity: {way}')
        ways = {'without privacy': without(model, x, y), 'ours': ours(model, x, y),
                'ours, system noise': ours(model, x, y, None)}
        ways |= {f'opacus {m}': by_opacus(model, x, y, m) for m in modes}
        timing = interleave(ways, rounds=rounds)
        print(timing)
        for way in ways: print(f'  {way:<20} {timing.ratio(way, "without privacy"):6.2f}×')
        print(f'  bound for ours: {bound}×', flush=True)


if __name__ == '__main__': main(3 if '--quick' in sys.argv else 15)
