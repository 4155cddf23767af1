"""How well the course's detector finds shapes when it may train for a minute: mAP at .5, by seed

Run: OMP_NUM_THREADS=1 python benchmarks/shapes.py [seeds] [steps]
"""
import os
import sys

os.environ.setdefault('OMP_NUM_THREADS', '1')

import torch
from harness import cpu_seconds

from dlcourse.vision.detection import average_precisions, find_hits, mean_average_precision
from dlcourse.vision.detector import DetectorConfig, detect, train_detector
from dlcourse.vision.scenes import SHAPE_NAMES, shapes_world

WAYS = {'anchor-free': DetectorConfig(), 'anchors': DetectorConfig(anchors=(12., 20.))}


def main(seeds, steps=1500):
    torch.set_num_threads(1)
    world, test = shapes_world(3000, 1), shapes_world(400, 3)
    for way, config in WAYS.items():
        for seed in range(seeds):
            seconds, model = cpu_seconds(
                lambda s=seed, c=config: train_detector(world, c, s, steps=steps))
            hits = find_hits(detect(model, test.images), *test[1:3], len(SHAPE_NAMES))
            found = mean_average_precision(hits, draws=200)
            classes = ', '.join(f'{k} {v:.3f}' for k, v in
                                zip(SHAPE_NAMES, average_precisions(hits), strict=True))
            print(f'{way}, seed {seed}: mAP at .5 {found.value:.4f} ({found.low:.3f} to '
                  f'{found.high:.3f}), {classes}; {seconds:.0f} CPU s', flush=True)


if __name__ == '__main__': main(*map(int, sys.argv[1:]) if len(sys.argv) > 1 else (3,))
