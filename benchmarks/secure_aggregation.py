"What a masked sum costs beside a plain round, and how long a small seed holds; CPU seconds"
import argparse

import numpy as np
import torch
from harness import cpu_seconds, interleave

from dlcourse.core.datasets import load
from dlcourse.federated.fixed_point import FixedPoint
from dlcourse.federated.robust import SmallFederation
from dlcourse.federated.secret_sums import secure_sum
from dlcourse.training.zoo import mlp

CLIENTS, STEPS = 10, 10


def federation():
    "Ten clients of a network of 100 k parameters, ten steps of descent on 77 digits each"
    x, y = load('digits', split='writer').tensors().train
    rows = torch.arange(len(x)//CLIENTS*CLIENTS).reshape(CLIENTS, -1)
    return SmallFederation(mlp(64, 1_340, 10), x, y, rows, steps=STEPS, lr=.05)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--bits', type=int, default=18, help='of the weak seed')
    bits, fed = parser.parse_args().bits, federation()
    weights = fed.weights(0)
    fixed = FixedPoint(clients=CLIENTS, clipping_range=1.)

    def plain(): return fed.updates(weights).mean(0)

    def masked():
        sent = fed.updates(weights).numpy()
        return torch.from_numpy(secure_sum(dict(enumerate(sent)), fixed).mean).float()

    def dropped():
        sent = dict(enumerate(fed.updates(weights).numpy())) | {0: None, 1: None, 2: None}
        return secure_sum(sent, fixed).mean

    timing = interleave(dict(plain=plain, masked=masked), within=1e-5, rounds=7,
                        same=lambda r: float((r['plain'] - r['masked']).abs().max()))
    print(timing)
    print(f'{fed.dim:,} numbers, {CLIENTS} clients, {STEPS} steps of each: a masked round takes '
          f"{timing.paired('masked', 'plain'):.2f} times a plain one")
    print(f'with three of ten dropped out: {min(cpu_seconds(dropped)[0] for _ in range(3)):.3f} s')

    draw = np.random.RandomState()

    def search():
        for seed in range(2**bits):
            draw.seed(seed)
            draw.randint(0, 2**32, 4, dtype=np.uint32)

    seconds = cpu_seconds(search)[0]
    print(f'{2**bits:,} seeds tried in {seconds:.2f} s; all of 32 bits would take '
          f'{seconds*2**(32 - bits)/3600:.1f} core-hours, if it grows in proportion')


if __name__ == '__main__': main()
