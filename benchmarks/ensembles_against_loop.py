"""Train K members at once and in a plain PyTorch loop, by model and size, in one run

All ways train the same members: the same starts, rows, orders and rates, in memory, one thread.
The loop is torch's own with what makes it fast: fused optimizers, rows by index. Parity first, in
float64: every weight within 1e-12. (In float32 a rounding error can tip a ReLU over its corner, and
grows from there; the tests say what holds then.) Then CPU seconds of whole runs, set-up included,
interleaved, the best of the rounds. A loop takes twice as long for twice as many members, so it is
timed with 16 at most. Columns: times as fast as the loop, by hand one member at a time ("alone"),
through `vmap`, and by batched products ("stacked").

Run: OMP_NUM_THREADS=1 python benchmarks/ensembles_against_loop.py [--members 16 64] [--rounds 5]
"""
import argparse
import os
from dataclasses import dataclass, replace
from functools import cache, partial

os.environ.setdefault('OMP_NUM_THREADS', '1')

import torch
from harness import interleave, load, machine
from torch import nn
from torch.nn import functional as F

from dlcourse.core.datasets import load as dataset
from dlcourse.training.callbacks import FitConfig
from dlcourse.training.engine import train_all
from dlcourse.training.ensembles import stack
from dlcourse.training.many import fit_many
from dlcourse.training.stacked import Layers
from dlcourse.training.zoo import mlp

ROWS, MOST, RATES = 898, 16, {'sgd': .05, 'adam': .003} # Rows; members that the loop is timed with
RULES = {'sgd': torch.optim.SGD, 'adam': torch.optim.Adam}


@cache
def digits(dtype:torch.dtype):
    "In file order"
    x, y = map(torch.cat, zip(*dataset('digits', split='writer').tensors(), strict=True))
    return x[:ROWS].to(dtype), y[:ROWS]


@dataclass(frozen=True)
class Case:
    "What is trained"
    make:object        # () → a model
    config:FitConfig
    members:int
    dtype:torch.dtype=torch.float32
    half:bool=False    # Does each member see a random half of the rows, as a shadow model does?

    def data(self): return digits(self.dtype)

    def model(self):
        model = self.make()
        return model if self.dtype == torch.float32 else model.to(self.dtype)

    def mask(self):
        if not self.half: return None
        return torch.rand(self.members, ROWS, generator=torch.Generator().manual_seed(0)) < .5


def loop(case:Case):
    "Plain torch, one member after the other"
    (x, y), mask, config, models = case.data(), case.mask(), case.config, []
    more = {'momentum': config.momentum} if config.momentum else {}
    for seed in range(case.members):
        own = torch.arange(ROWS) if mask is None else mask[seed].nonzero()[:, 0]
        torch.manual_seed(seed)
        model, order = case.model(), torch.Generator().manual_seed(seed)
        optimizer = RULES[config.optimizer](model.parameters(), lr=config.lr, fused=True, **more)
        for _ in range(config.epochs):
            for rows in own[torch.randperm(len(own), generator=order)].split(config.batch_size):
                optimizer.zero_grad()
                F.cross_entropy(model(x[rows]), y[rows]).backward()
                optimizer.step()
        models.append(model)
    return stack(models)


def at_once(case:Case, how:str, seeds=None):
    mask = case.mask()
    if seeds and mask is not None: mask = mask[seeds]
    return fit_many(case.model, case.data(), F.cross_entropy, case.config, mask=mask, how=how,
                    seeds=seeds or case.members, device='cpu').state


def alone(case:Case):
    "By hand, but one member at a time"
    states = [at_once(case, 'stacked', [seed]) for seed in range(case.members)]
    return {name: torch.cat([of[name] for of in states]) for name in states[0]}


def apart(results):
    "The largest difference of any weight from the loop's"
    want, found = results['loop'], []
    for state in results.values():
        found += [float((state[name] - t).abs().max()) for name, t in want.items()]
    return max(found)


def compare(case:Case, ways:list[str], rounds:int)->dict[str, float]: # Way → times as fast
    few = replace(case, members=min(case.members, MOST))
    slow = {'loop': partial(loop, few), 'alone': partial(alone, few)}
    fast = {how: partial(at_once, case, how) for how in ways if how not in slow}
    exact = replace(few, dtype=torch.float64)
    checks = {'loop': loop(exact)} | {how: at_once(exact, how) for how in fast}
    if apart(checks) > 1e-12: raise SystemExit(f'no parity: {apart(checks):.1e} apart')
    timing = interleave({k: v for k, v in slow.items() if k in ways or k == 'loop'} | fast,
                        rounds=rounds)
    times = case.members/few.members
    scale = {way: times if way in slow else 1. for way in timing.seconds}
    best = {way: timing.best(way)*scale[way] for way in timing.seconds}
    return {way: best['loop']/best[way] for way in ways} | {'loop': timing.best('loop')/few.members}


def line(name:str, case:Case, ways:list[str], rounds:int):
    found = compare(case, ways, rounds)
    numbers = ''.join(f'{found[way]:9.1f}' if way in found else f'{"":9}'
                      for way in ('alone', 'vmap', 'stacked'))
    print(f'{name:28}{case.members:5}{1e3*found["loop"]:10.1f}{numbers}', flush=True)


def clients(rounds:int, count:int=100):
    "One local epoch of many clients with unequally many rows, as in a round of federated averaging"
    data = digits(torch.float32)
    sizes = torch.randint(5, 60, (count,), generator=torch.Generator().manual_seed(0))
    own = [torch.randint(0, ROWS, (int(n),), generator=torch.Generator().manual_seed(int(n)))
           for n in sizes]
    config = FitConfig(epochs=1, batch_size=32, optimizer='sgd', lr=.1)
    for width in (16, 64):
        model = mlp(64, width, 10)
        state = stack([model]*count)
        way = partial(Layers, model, data, F.cross_entropy)
        epoch = partial(train_all, state, way, range(count), own, config)
        timing = interleave({'round': epoch}, rounds=rounds)
        print(f'{count} clients of 5 to 59 rows, width {width}: '
              f'{1e3*timing.best("round"):.1f} ms a round of one local epoch')


def cnn(channels):
    wide = 2*channels
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, channels, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Conv2d(channels, wide, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(4*wide, 10))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--members', type=int, nargs='+', default=[4, 16, 64, 256])
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--epochs', type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rounds, before = arguments.rounds, load()
    print(f'torch {torch.__version__}, {machine()}, one thread; {arguments.epochs} epochs of '
          f'{ROWS} rows; load {before:.1f}')
    print(f'{"":28}{"K":>5}{"loop, ms":>10}{"alone":>9}{"vmap":>9}{"stacked":>9}')
    def config(rule, batch=32):
        momentum = .9 if rule == 'sgd' else 0.
        return FitConfig(epochs=arguments.epochs, batch_size=batch, optimizer=rule, lr=RATES[rule],
                         weight_decay=0., momentum=momentum)
    for rule in RATES:
        for width in (16, 64):
            for batch in (32, 128):
                for members in arguments.members:
                    case = Case(partial(mlp, 64, width, 10), config(rule, batch), members)
                    ways = ['alone', 'vmap', 'stacked'] if members == 16 else ['vmap', 'stacked']
                    line(f'{rule}, width {width}, batch {batch}', case, ways, rounds)
    for width in (16, 64):
        case = Case(partial(mlp, 64, width, 10), config('sgd'), 64, half=True)
        line(f'shadow models, width {width}', case, ['vmap', 'stacked'], rounds)
    for width in (256, 1024):
        case = Case(partial(mlp, 64, width, 10), config('sgd'), 16)
        line(f'sgd, width {width}, batch 32', case, ['vmap', 'stacked'], 3)
    line('convolutions, 16 channels', Case(partial(cnn, 16), config('sgd'), 16), ['vmap'], 3)
    clients(rounds)
    print(f'load {load():.1f} at the end')


if __name__ == '__main__': main()
