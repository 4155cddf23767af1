"""Hand-made against learned features on MNIST: from how many images on does learning win?

Oriented gradients read by a logistic regression, against a multilayer perceptron trained on the
pixels with a little noise, both without any search. Means and ranges over three draws of the
training images; all 10,000 test images. Needs `mnist` in the data home.
Run: OMP_NUM_THREADS=1 python benchmarks/features_on_mnist.py [most training images]
"""
import os
import sys
import time

os.environ.setdefault('OMP_NUM_THREADS', '1')

import numpy as np
import torch
import torch.nn.functional as F
from harness import mnist
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dlcourse.foundations.neurons import MLP, MLPConfig, oriented_gradients

SIZES, SEEDS, STEPS = (1000, 10_000, 40_000), 3, 8000


def hand_made(x, y, x_test, y_test):
    features, test = oriented_gradients(x, 4).numpy(), oriented_gradients(x_test, 4).numpy()
    return make_pipeline(StandardScaler(),
                         LogisticRegression(C=.1, max_iter=100,
                                            tol=1e-3)).fit(features,
                                                           y.numpy()).score(test, y_test.numpy())


def learned(x, y, x_test, y_test, seed, lr=3e-3, noise=.3):
    torch.manual_seed(seed)
    rng, model = torch.Generator().manual_seed(seed), MLP(MLPConfig(dims=(784, 256, 128, 10)))
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, fused=True)
    for step in range(STEPS):
        i = torch.randint(len(x), (64,), generator=rng)
        optimizer.param_groups[0]['lr'] = lr*(1 - step/STEPS)
        optimizer.zero_grad()
        F.cross_entropy(model(x[i].flatten(1) + noise*torch.randn(64, 784, generator=rng)),
                        y[i]).backward()
        optimizer.step()
    with torch.no_grad():
        return (model(x_test.flatten(1)).argmax(1) == y_test).float().mean().item()


def main(most):
    torch.set_num_threads(1)
    (pictures, tests), (labels, test_labels) = mnist()
    print(f"{'training images':>15} {'oriented gradients':>24} {'learned':>24} {'CPU s':>7}")
    for n in (n for n in SIZES if n <= most):
        began, results = time.process_time(), []
        for seed in range(SEEDS):
            i = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(seed))[:n]
            results.append((hand_made(pictures[i], labels[i], tests, test_labels),
                            learned(pictures[i], labels[i], tests, test_labels, seed)))
        means, low, high = np.mean(results, 0), np.min(results, 0), np.max(results, 0)
        told = [f'{m:.4f} ({a:.4f}–{b:.4f})' for m, a, b in zip(means, low, high, strict=True)]
        print(f"{n:15,} {told[0]:>24} {told[1]:>24} {time.process_time() - began:7.0f}", flush=True)


if __name__ == '__main__': main(int(sys.argv[1]) if len(sys.argv) > 1 else max(SIZES))
