"""How often the digits CNN is right, in five folds and on writers it has never seen, five seeds

Beside it the support vector machine of scikit-learn's own example on the same splits, and nearest
neighbours. Prints shares, intervals over seeds, and the CPU seconds of one training.
Run: OMP_NUM_THREADS=1 python benchmarks/digits.py [seeds]
"""
import os
import sys

os.environ.setdefault('OMP_NUM_THREADS', '1')

import numpy as np
import torch
from harness import cpu_seconds
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from dlcourse.core.datasets import load
from dlcourse.evaluation.runs import over_seeds
from dlcourse.evaluation.splits import folds
from dlcourse.vision.digit_reader import share_right, train_digits, writer_halves

RIVALS = {'SVC': lambda: SVC(gamma=.001), 'nearest neighbours': lambda: KNeighborsClassifier(3)}
seconds = []


def trained(x, y, x_test, y_test, seed):
    spent, model = cpu_seconds(lambda: train_digits(x, y, seed))
    seconds.append(spent)
    return share_right(model, x_test, y_test)


def five_folds():
    "Images, labels and the rows of each fold, dealt by class with a fixed seed"
    data = load('digits')
    x = torch.tensor(data['images'][:, None]/16, dtype=torch.float32)
    return x, torch.tensor(data['labels']), folds(len(x), 5, y=data['labels'])


def main(seeds):
    torch.set_num_threads(1)
    x, y, parts = five_folds()
    halves = writer_halves()
    for name, make in RIVALS.items():
        def score(a, b, c, d, make=make):
            flat = [(16*t).flatten(1).numpy() for t in (a, c)]
            return make().fit(flat[0], b.numpy()).score(flat[1], d.numpy())
        in_folds = np.mean([score(x[i], y[i], x[j], y[j]) for i, j in parts])
        print(f"{name}: folds {in_folds:.4f}, other writers {score(*halves):.4f}", flush=True)
    def run(seed):
        in_folds = np.mean([trained(x[i], y[i], x[j], y[j], seed) for i, j in parts])
        found = {'folds': float(in_folds), 'other writers': trained(*halves, seed)}
        print(seed, found, f"{max(seconds):.1f} CPU s at most", flush=True)
        return found
    print(over_seeds(run, seeds))
    print(f"one training: {np.median(seconds):.1f} CPU s, at most {max(seconds):.1f}")


if __name__ == '__main__': main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
