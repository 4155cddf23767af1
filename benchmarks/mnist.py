"""How often small convolutional networks are right on MNIST's 10,000 test images, several seeds

The digits CNN and LeNet-5 of the course, trained by the same recipe (distortions, a rate that rises
and falls, soft labels), each within ten CPU minutes; beside them three nearest neighbours. Nothing
was chosen on the test images: the settings are those of the digits of 8 × 8. Needs `mnist` in the
data home. Run: OMP_NUM_THREADS=1 python benchmarks/mnist.py [seeds] [epochs]
"""
import os
import sys

os.environ.setdefault('OMP_NUM_THREADS', '1')

import numpy as np
import torch
from harness import cpu_seconds
from sklearn.neighbors import KNeighborsClassifier

from dlcourse.core.datasets import load
from dlcourse.evaluation.runs import over_seeds
from dlcourse.training.zoo import count_parameters
from dlcourse.vision.architectures import Stack, lenet
from dlcourse.vision.digit_reader import DigitsCNN, train_digits

BATCH, WIDTH = 128, 16
WAYS = {'digits CNN': lambda: DigitsCNN(WIDTH), 'LeNet-5': lambda: Stack(lenet())}
seconds = {name: [] for name in WAYS}


def images(data, which):
    x = torch.tensor(data[f'{which}images'][:, None]/255, dtype=torch.float32)
    return x, torch.tensor(data[f'{which}labels'].astype(int))


@torch.no_grad()
def right(model, x, y):
    return (torch.cat([model(part).argmax(1) for part in x.split(500)]) == y).double().mean().item()


def main(seeds, epochs):
    torch.set_num_threads(1)
    data = load('mnist')
    (x, y), (x_test, y_test) = images(data, ''), images(data, 'test_')
    flat = [t.flatten(1).numpy() for t in (x, x_test)]
    near = KNeighborsClassifier(3).fit(flat[0], y.numpy()).score(flat[1], y_test.numpy())
    print(f'three nearest neighbours: {near:.4f}', flush=True)

    def way(name):
        def run(seed):
            spent, model = cpu_seconds(lambda: train_digits(
                x, y, seed, steps=epochs*len(x)//BATCH, batch_size=BATCH, make=WAYS[name]))
            seconds[name].append(spent)
            found = right(model, x_test, y_test)
            print(f'{name}, seed {seed}: {found:.4f}, {seconds[name][-1]:.0f} CPU s', flush=True)
            return found
        return run

    print(over_seeds({name: way(name) for name in WAYS}, seeds))
    for name, make in WAYS.items():
        print(f'{name}: {count_parameters(make()):,} parameters, '
              f'{np.median(seconds[name]):.0f} CPU s, at most {max(seconds[name]):.0f}')


if __name__ == '__main__': main(*[int(a) for a in sys.argv[1:3]] + [3, 4][len(sys.argv[1:3]):])
