"""Numbers said in words: an encoder–decoder at three seeds, on 2,000 numbers of one to six digits

300 batches of 64, from 10,000 numbers; greedy. Printed: exactly right on the test numbers, and on
those that were not among the 10,000.
Run: OMP_NUM_THREADS=1 python benchmarks/numbers_to_words.py [seeds]
"""
import os
import sys
import time

os.environ.setdefault('OMP_NUM_THREADS', '1')

import numpy as np
import torch
from harness import machine

from dlcourse.transformers.translation import (
    Translator,
    TranslatorConfig,
    greedy,
    train_translator,
)
from dlcourse.transformers.translation_scores import Symbols, filled, number_pairs


def main(seeds):
    torch.set_num_threads(1)
    pairs, test = number_pairs(10_000, 0), number_pairs(2000, 1)
    known = Symbols([text for pair in pairs for text in pair])
    x, y = (filled([known.encode(pair[k]) for pair in pairs]) for k in (0, 1))
    digits = filled([known.encode(pair[0]) for pair in test])
    seen = {tuple(pair[0]) for pair in pairs}
    new = np.array([tuple(pair[0]) not in seen for pair in test])
    for seed in range(seeds):
        torch.manual_seed(seed)
        began, g = time.process_time(), torch.Generator().manual_seed(seed)
        model = Translator(TranslatorConfig(vocab_size=len(known)))
        rows = iter(lambda g=g: torch.randint(len(x), (64,), generator=g), None)
        train_translator(model, ((x[r], y[r]) for r in rows), 300)
        trained = time.process_time() - began
        said = [known.decode(row) for row in greedy(model, digits, 16).tolist()]
        right = np.array([a == words for a, (_, words) in zip(said, test, strict=True)])
        print(f'seed {seed}: {right.mean():.2%} of {len(test)}, {right[new].mean():.2%} of '
              f'{new.sum()} new ones; {trained:.1f} CPU s')
    print(machine())


if __name__ == '__main__': main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
