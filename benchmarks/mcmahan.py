"""Rounds to target on real MNIST as in McMahan et al. 2017: 100 clients, ten asked in a round

Run: python benchmarks/mcmahan.py [--way iid|shards] [--epochs 1] [--batch-size 10] [--target 0.97]
     [--fraction 0.1] [--lr 0.1] [--rounds 400] [--seeds 10]
"""
import argparse
import time

import numpy as np
import torch

from dlcourse.core.datasets import load
from dlcourse.federated.averaging import federate, first_weights, rounds_to_target, shard_parts
from dlcourse.federated.clients import ClientsAtOnce
from dlcourse.federated.partitions import iid_parts
from dlcourse.training.zoo import mlp


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--way', choices=('iid', 'shards'), default='iid')
    parser.add_argument('--epochs', type=int, default=1)
    parser.add_argument('--batch-size', type=int, default=10, help='0: all rows of a client')
    parser.add_argument('--target', type=float, default=.97)
    parser.add_argument('--fraction', type=float, default=.1,
                        help='of the 100 clients in a round; 0: one client')
    parser.add_argument('--lr', type=float, default=.1)
    parser.add_argument('--rounds', type=int, default=400)
    parser.add_argument('--seeds', type=int, default=10)
    o = parser.parse_args()
    torch.set_num_threads(1)
    train, valid, test = load('mnist', split='official').tensors()
    x, y = torch.cat([train.x, valid.x]), torch.cat([train.y, valid.y])
    needed, start = [], time.process_time()
    for seed in range(o.seeds):
        deal = {'iid': lambda s=seed: iid_parts(len(x), 100, s),
                'shards': lambda s=seed: shard_parts(y.numpy(), 100, seed=s)}[o.way]
        crew = ClientsAtOnce(mlp(784, 200, 200, 10), (x, y), [deal()], seeds=[seed],
                             epochs=o.epochs, batch_size=o.batch_size or None)
        course = federate(crew, first_weights([seed], 784, 200, 200, 10), test, rounds=o.rounds,
                          lr=o.lr, fraction=max(o.fraction, .01), until=o.target)
        needed.append(rounds_to_target(course.accuracy[0], o.target))
        spent = time.process_time() - start
        print(f'seed {seed}: {needed[-1]:.1f} rounds, {spent:.0f} CPU s so far', flush=True)
    print(f'{o.way}, C {o.fraction}, E {o.epochs}, B {o.batch_size or "all"}, lr {o.lr}, '
          f'target {o.target}: median {np.median(needed):.1f} rounds ({min(needed):.1f} to '
          f'{max(needed):.1f}), {o.seeds} seeds')


if __name__ == '__main__': main()
