"""Rounds to target on real MNIST as in McMahan et al. 2017: 100 clients, ten asked in a round

Ten clients a round need 43.4 rounds to 97 % (eight seeds), twenty 40.8 and 41.4, fifty 40.1 and
44.0, all hundred 38.1 (two seeds, two and one; paper 87, 77, 75, 70). With all rows at once
(`--batch-size 0`) a rate of .3 was best after 40 rounds on held-out rows (.895; 1.0 gave .747).
B = ∞ to its target and the network, 12 CPU seconds a round, were not run to the end.

`--held` measures on 5,000 training rows that nobody trains on, to choose a rate.

Run: python benchmarks/mcmahan.py [--way iid|shards] [--epochs 1] [--batch-size 10] [--target 0.97]
     [--fraction 0.1] [--lr 0.1] [--rounds 400] [--seeds 10] [--first 0]
     [--network] [--held]
"""
import argparse
import time

import numpy as np
import torch
from torch import nn

from dlcourse.core.datasets import load
from dlcourse.federated.averaging import federate, first_weights, rounds_to_target, shard_parts
from dlcourse.federated.clients import ClientsAtOnce, train_client
from dlcourse.federated.partitions import iid_parts
from dlcourse.training.zoo import mlp


def network():
    "The paper's convolutional network: 1,663,370 weights"
    return nn.Sequential(nn.Unflatten(1, (1, 28, 28)), nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(),
                         nn.MaxPool2d(2), nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(),
                         nn.MaxPool2d(2), nn.Flatten(), nn.Linear(3136, 512), nn.ReLU(),
                         nn.Linear(512, 10))


class OneAfterTheOther(ClientsAtOnce):
    "Clients of one run by torch's own optimizer: convolutions gain nothing from being stacked"
    def train(self, start, *, lr, number, which, mu):
        answers, (x, y) = [], self.tensors
        for client in which[0].tolist():
            self.model.load_state_dict({name: t[0] for name, t in start.items()})
            rows = self.own[client, :self.lengths[client]]
            train_client(self.model, x[rows], y[rows], lr=lr, epochs=self.epochs, mu=mu,
                         batch_size=self.batch_size, seed=int(self.seeds[0]), client=client,
                         number=number)
            answers.append({name: p.detach().clone() for name, p in self.model.named_parameters()})
        return {name: torch.stack([a[name] for a in answers])[None] for name in start}


def first_of(seed):
    torch.manual_seed(seed)
    return {name: p.detach()[None].clone() for name, p in network().named_parameters()}


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
    parser.add_argument('--seeds', type=int, default=10, help='how many')
    parser.add_argument('--first', type=int, default=0, help='the least of them')
    parser.add_argument('--network', action='store_true', help='the convolutional one')
    parser.add_argument('--held', action='store_true', help='measure on held-out training rows')
    o = parser.parse_args()
    torch.set_num_threads(1)
    train, valid, test = load('mnist', split='official').tensors()
    x, y = torch.cat([train.x, valid.x]), torch.cat([train.y, valid.y])
    if o.held: x, y, test = x[:-5000], y[:-5000], (x[-5000:], y[-5000:])
    needed, start = [], time.process_time()
    for seed in range(o.first, o.first + o.seeds):
        deal = {'iid': lambda s=seed: iid_parts(len(x), 100, s),
                'shards': lambda s=seed: shard_parts(y.numpy(), 100, seed=s)}[o.way]
        kind, net = (OneAfterTheOther, network()) if o.network else (
            ClientsAtOnce, mlp(784, 200, 200, 10))
        begin = first_of(seed) if o.network else first_weights([seed], 784, 200, 200, 10)
        crew = kind(net, (x, y), [deal()], seeds=[seed], epochs=o.epochs,
                    batch_size=o.batch_size or None)
        course = federate(crew, begin, test, rounds=o.rounds, lr=o.lr,
                          fraction=max(o.fraction, .01), until=o.target)
        needed.append(rounds_to_target(course.accuracy[0], o.target))
        spent = time.process_time() - start
        print(f'seed {seed}: {needed[-1]:.1f} rounds, at the end {course.accuracy[0, -1]:.4f}, '
              f'{spent:.0f} CPU s so far', flush=True)
    print(f'{"network" if o.network else "perceptron"}, {o.way}, C {o.fraction}, E {o.epochs}, '
          f'B {o.batch_size or "all"}, lr {o.lr}, target {o.target}: '
          f'median {np.median(needed):.1f} rounds ({min(needed):.1f} to {max(needed):.1f}), '
          f'{o.seeds} seeds')


if __name__ == '__main__': main()
