"What every comparison shares: parity first, runs interleaved, CPU seconds, the machine's load said"
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Timing:
    "CPU seconds of several ways of doing the same, round by round"
    seconds:dict[str, list[float]] # Way → seconds of each round
    load:tuple[float, float]       # Processes that wanted a core, before and after

    def best(self, way:str)->float:
        "The least that a way took"
        return min(self.seconds[way])

    def ratio(self,
        slow:str,              # How many times as long does this take
        fast:str,              # … as that
        pick:Callable=min,     # Of the rounds: `min`, `max`
    )->float:
        "How many times as fast the second is, by its best (or worst) round"
        return pick(self.seconds[slow])/pick(self.seconds[fast])

    def paired(self, slow:str, fast:str)->float:
        "The median over the rounds of that ratio: what drifts during the run cancels out"
        pairs = zip(self.seconds[slow], self.seconds[fast], strict=True)
        return median(a/b for a, b in pairs)

    def __repr__(self):
        width = max(map(len, self.seconds))
        lines = [f'{way:<{width}}  {min(s):9.4f} … {max(s):9.4f} CPU s of {len(s)} rounds'
                 for way, s in self.seconds.items()]
        lines.append(f'load {self.load[0]:.1f} before, {self.load[1]:.1f} after; {machine()}')
        return '\n'.join(lines)


def machine()->str:
    "What it was measured on"
    return f'Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores'


def load()->float:
    "Processes that wanted a core in the last minute; 0 where the system does not say"
    return os.getloadavg()[0] if hasattr(os, 'getloadavg') else 0.


def cpu_seconds(
    f:Callable, # Without arguments
)->tuple[float, object]: # Seconds of this process, children apart; and what it gave
    "Time one call"
    start = time.process_time()
    result = f()
    return time.process_time() - start, result


def per_call(
    f:Callable,          # Without arguments
    shortest:float=.05,  # Seconds at the least: some clocks tick every 4 ms
)->float:                # CPU seconds of one call
    "Time a call, a short one as often as it takes for the clock to see it"
    start, calls = time.process_time(), 0
    while (spent := time.process_time() - start) < shortest:
        f()
        calls += 1
    return spent/calls


def interleave(
    ways:dict[str, Callable],         # Name → a function without arguments
    *,
    same:Callable|None=None,          # All results, by name → how far they are apart
    within:float=0.,                  # How far they may be
    rounds:int=5,                     # How often each is run
    repeats:dict[str, int]|None=None, # Way → runs within a round, of which the best counts
)->Timing:
    "Run each way once to see that they agree, then all in turn, forwards and backwards"
    results = {name: f() for name, f in ways.items()} # Also the warm-up
    if same is not None:
        apart = same(results)
        print(f'parity: at most {apart:.1e} apart')
        if not apart <= within:
            raise SystemExit(f'no parity: {apart:.1e} apart, {within:.1e} allowed')
    seconds, before = {name: [] for name in ways}, load()
    for i in range(rounds):
        for name in list(ways)[::-1 if i % 2 else 1]:
            times = (repeats or {}).get(name, 1)
            seconds[name].append(min(per_call(ways[name]) for _ in range(times)))
    return Timing(seconds, (before, load()))


def mnist():
    "MNIST as tensors: pictures from 0 to 1 and labels, those to learn from and those to test on"
    import torch

    from dlcourse.core.datasets import load
    data = load('mnist')
    pictures = [torch.tensor(data[k]/255, dtype=torch.float32) for k in ('images', 'test_images')]
    labels = [torch.tensor(data[k].astype(int)) for k in ('labels', 'test_labels')]
    return pictures, labels
