"""How well the course's detector finds blood cells (BCCD): mAP at .5 with an interval over pictures

Trains on the official training part and is judged on its test part (72 photographs). On a CPU the
photographs are reduced to 160 × 120 pixels, with CUDA to 320 × 240, and the network is wider.
27 November 2026, one NVIDIA H200, seed 0 alone, 2,000 batches: mAP .772 (.722 to .818); platelets
.803, red cells .752, white .760. A CPU at half the size gets .76 to .79, white cells .94 to .98 and
platelets .51 to .64: with more pixels small cells are found better, and large ones reach beyond
what the network sees at once.
Run: OMP_NUM_THREADS=1 python benchmarks/blood_cells.py [seeds] [steps]
"""
import os
import sys

os.environ.setdefault('OMP_NUM_THREADS', '1')

import torch
from harness import cpu_seconds

from dlcourse.vision.blood_cells import BLOOD_CELLS, blood_cells
from dlcourse.vision.detection import average_precisions, find_hits, mean_average_precision
from dlcourse.vision.detector import DetectorConfig, detect, train_detector

SIZES = {'cpu': dict(shrink=4, width=16, steps=300), 'cuda': dict(shrink=2, width=48, steps=3000)}


def main(seeds, steps=None):
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    size = SIZES[device]
    if device == 'cpu': torch.set_num_threads(1)
    train, test = (blood_cells(part, size['shrink']) for part in ('train', 'test'))
    print(f'{len(train.images)} to learn from, {len(test.images)} to judge; '
          f'{train.dropped + test.dropped} boxes without an area; {size}, {device}', flush=True)
    there = [t.to(device) for t in train[:3]]
    for seed in range(seeds):
        seconds, model = cpu_seconds(lambda seed=seed: train_detector(
            there, DetectorConfig(width=size['width']), seed, steps=steps or size['steps'],
            batch_size=8).cpu())
        hits = find_hits(detect(model, test.images), *test[1:3], len(BLOOD_CELLS))
        found = mean_average_precision(hits)
        classes = dict(zip(BLOOD_CELLS, average_precisions(hits), strict=True))
        print(f'seed {seed}: mAP at .5 {found.value:.3f} ({found.low:.3f} to {found.high:.3f}), '
              f"{', '.join(f'{k} {v:.3f}' for k, v in classes.items())}; "
              f'{seconds:.0f} CPU s of training', flush=True)


if __name__ == '__main__': main(*map(int, sys.argv[1:]) if len(sys.argv) > 1 else (3,))
