"""Images of a batch moved and made brighter, each its own way: our `warp` and `photometric` beside
kornia's functions

Both are given the same matrices, the same factors and the same images, and parity comes first.
kornia's `warp_affine` takes matrices of pixels that say where a pixel *goes*; they are made
beforehand, outside of the time. It gets its own fast path (eager, a matrix for each image). Its
brightness and contrast are two calls, and the second clips to 0 and 1, which ours leaves to the
caller: the images are kept away from both ends, so that nothing is clipped, and its brightness is
asked not to clip. Factors are drawn within the time of both.
28 November 2026, two cores under load, 1,024 grey images of 8, 28 and 64 pixels a side, medians
of pairs in three runs: `warp` 1.3, 2.3 and 2.6 to 3.3 times as fast as kornia's, `photometric`
1.4, 1.4 and 1.4 to 8 times, the most where kornia's larger steps between wait for memory.
Run: OMP_NUM_THREADS=1 python benchmarks/augment.py [--images N] [--rounds N]
"""
import argparse
import os

os.environ.setdefault('OMP_NUM_THREADS', '1')

import torch
from harness import interleave
from kornia.enhance import adjust_brightness, adjust_contrast_with_mean_subtraction
from kornia.geometry import warp_affine

from dlcourse.data.transforms import affine, even, photometric, warp

REACH = .1 # Of brightness and contrast: with pixels from .3 to .7 nothing is clipped


def seeded(): return torch.Generator().manual_seed(1)


def there_and_pixels(theta, size):
    "Ours, from result to image and from −1 to 1, as kornia's: from image to result, in pixels"
    half = size/2
    pixels = torch.tensor([[half, 0, half - .5], [0, half, half - .5], [0, 0, 1]])
    whole = torch.cat([theta, torch.tensor([0., 0, 1]).expand(len(theta), 1, 3)], 1)
    return (pixels @ whole @ pixels.inverse()).inverse()[:, :2].contiguous()


def factors(n):
    "Those that `photometric` draws: how much contrast, how much brighter"
    g = seeded()
    contrast = 1 + even(n, REACH, g)
    return contrast, even(n, REACH, g)


def apart(results):
    first, second = results.values()
    return float((first - second).abs().max())


def compared(images, rounds):
    n, _, height, width = images.shape
    assert height == width
    theta = affine(n, seeded(), degrees=20, shift=.1, scale=.2)
    pixels = there_and_pixels(theta, width)
    def changed():
        contrast, brighter = factors(n)
        return adjust_brightness(adjust_contrast_with_mean_subtraction(images, contrast), brighter,
                                 clip_output=False)
    ways = {'geometric': {
        'warp': lambda: warp(images, theta),
        'kornia, warp_affine': lambda: warp_affine(images, pixels, (height, width))},
        'photometric': {
        'photometric': lambda: photometric(images, seeded(), REACH, REACH),
        'kornia, contrast and brightness': changed}}
    for kind, pair in ways.items():
        print(f'{kind}, {n} images of {tuple(images.shape[1:])}:')
        timing = interleave(pair, same=apart, within=1e-4, rounds=rounds,
                            repeats=dict.fromkeys(pair, 3))
        ours, theirs = pair
        print(timing)
        print(f'{ours} is {timing.paired(theirs, ours):.2f} times as fast\n')


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--images', type=int, default=1024)
    parser.add_argument('--rounds', type=int, default=7)
    told = parser.parse_args()
    torch.set_num_threads(1)
    g = torch.Generator().manual_seed(0)
    for shape in ((1, 8, 8), (1, 28, 28), (1, 64, 64)):
        compared(.3 + .4*torch.rand(told.images, *shape, generator=g), told.rounds)


if __name__ == '__main__': main()
