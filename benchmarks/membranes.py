"""How well a small U-Net marks the membranes of ISBI 2012, on slices not seen, over three seeds

Two ways to leave slices out: three whole stretches of ten neighbours, or every third slice. Beside
it a threshold and boosted trees on the same slices. Prints the mean Dice over the thirty slices
with its interval, the share of wrong pixels, and the CPU seconds of one training.
Run: OMP_NUM_THREADS=1 python benchmarks/membranes.py [seeds] [steps]
"""
import os
import sys
import time

os.environ.setdefault('OMP_NUM_THREADS', '1')

import numpy as np
import torch

from dlcourse.evaluation.comparison import compare
from dlcourse.evaluation.intervals import mean_interval
from dlcourse.foundations.losses import binary_cross_entropy
from dlcourse.vision.masks import PixelTrees, Threshold, train_masks
from dlcourse.vision.scans import membranes
from dlcourse.vision.segmentation import UNet, UNetConfig, dice, predict_tiled

SIDE = 96 # Of the pieces that are trained on
seconds = []


def pieces(a):
    "Slices cut into squares side by side, what is left over apart"
    a = torch.as_tensor(a)
    return a.unfold(1, SIDE, SIDE).unfold(2, SIDE, SIDE).reshape(-1, SIDE, SIDE)


def unet(x, y, seed, steps):
    "Trained on pieces of the slices"
    began = time.process_time()
    torch.manual_seed(seed)
    model = UNet(UNetConfig(prior=.22)).to(memory_format=torch.channels_last)
    train_masks(model, pieces(x)[:, None], pieces(y).float(), binary_cross_entropy, seed,
                steps=steps)
    seconds.append(time.process_time() - began)
    return lambda slices: torch.tensor(np.stack([predict_tiled(model, one[None], core=256) > .5
                                                 for one in slices]))


def threshold(x, y):
    "Dark is membrane; chosen on a quarter of the pieces"
    way = Threshold(pieces(1 - x)[::4, None], pieces(y)[::4])
    return lambda slices: way(torch.tensor(1 - slices)[:, None])


def trees(x, y):
    way = PixelTrees(pieces(x)[::4, None], pieces(y)[::4])
    return lambda slices: torch.tensor(way.probabilities(torch.tensor(slices)[:, None]) > .5)


def left_out(x, y, folds, learn):
    "Dice and wrong pixels of every slice, each marked by what has not seen it"
    found = np.zeros((2, len(x)))
    for test in folds:
        rest = np.setdiff1d(np.arange(len(x)), test)
        marked, truth = learn(x[rest], y[rest])(x[test]), torch.tensor(y[test])
        found[:, test] = dice(marked, truth), (marked != truth).float().mean((1, 2))
    return found


def main(seeds=3, steps=150):
    torch.set_num_threads(1)
    x, y = membranes()
    stretches = np.arange(30).reshape(3, 10)
    designs = {'stretches of ten': stretches, 'every third': stretches.reshape(10, 3).T}
    for name, folds in designs.items():
        ways = {'threshold': [left_out(x, y, folds, threshold)]}
        if name == 'stretches of ten': ways['trees'] = [left_out(x, y, folds, trees)]
        ways['U-Net'] = [left_out(x, y, folds, lambda a, b, s=s: unet(a, b, s, steps))
                         for s in range(seeds)]
        for way, found in ways.items():
            slices, wrong = np.mean(found, 0)
            by_seed = [round(float(f[0].mean()), 4) for f in found]
            low, high = mean_interval(slices)
            print(f"{name}, {way}: Dice {slices.mean():.4f} ({low:.4f} to {high:.4f} over slices; "
                  f"seeds {by_seed}), wrong pixels {wrong.mean():.4f}", flush=True)
        print(compare(np.mean(ways['U-Net'], 0)[0], ways['threshold'][0][0]), flush=True)
    print(f"one training: {np.median(seconds):.1f} CPU s, at most {max(seconds):.1f}")


if __name__ == '__main__': main(*map(int, sys.argv[1:3]))
