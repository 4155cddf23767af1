"""New alphabets and the one-shot runs of Omniglot: what a verifier learns from 136 characters

Five alphabets to learn from, three to be tested on; then the twenty 20-way runs of ten further
alphabets (Lake, Salakhutdinov & Tenenbaum 2015). Printed for one seed: equal error rates of the
pixels and of the verifier, over all pairs and within each alphabet, its error in the runs, and what
a false match rate of 1 % over all pairs is within each alphabet, with limits by character. Needs
`omniglot` in the data home.
Run: OMP_NUM_THREADS=1 python benchmarks/omniglot.py [seed] [steps]
"""
import os
import sys
import tempfile
import time

os.environ.setdefault('OMP_NUM_THREADS', '1')

import numpy as np
import torch

from dlcourse.core.datasets import load
from dlcourse.vision.embedder import embed
from dlcourse.vision.matching import nearest, pair_rate, pairs_of, rates_by
from dlcourse.vision.omniglot import shrunk
from dlcourse.vision.verification import (
    equal_error_rate,
    match_threshold,
    omniglot_parts,
    verifier,
)


def wrong_in_runs(give, runs):
    "Share of the 400 questions whose nearest picture is of another character"
    wrong = []
    for known, asked, answers in zip(runs['known'], runs['asked'], runs['answers'], strict=True):
        found, _ = nearest(give(shrunk(asked, 28)), give(shrunk(known, 28)))
        wrong.append(found[:, 0] != answers)
    return np.mean(wrong)


def main(seed, steps):
    torch.set_num_threads(1)
    began = time.process_time()
    with tempfile.TemporaryDirectory() as home:
        model, card = verifier(home, data='omniglot', seed=seed, steps=steps)
    print(f'seed {seed}, {steps} steps: {card.results[0].claim}, '
          f'{time.process_time() - began:.0f} CPU s')
    *_, x, who, alphabet = omniglot_parts()
    runs = load('omniglot')['runs']
    ways = {'pixels': lambda x: x.flatten(1).numpy(), 'verifier': lambda x: embed(model, x)}
    for name, give in ways.items():
        pairs = pairs_of(give(x), who)
        impostor = pairs.score[pairs.impostor]
        error = equal_error_rate(pairs.score[pairs.genuine], impostor)
        matched = pairs.score >= match_threshold(impostor, .01)
        print(f'{name}: EER {error:.4f}, wrong in the runs {wrong_in_runs(give, runs):.4f}, '
              f'missed at 1 % {1 - matched[pairs.genuine].mean():.3f}')
        print('  within one alphabet: EER ' + ', '.join(
            f'{a} {error_within(pairs, alphabet, a):.3f}' for a in np.unique(alphabet).tolist()))
    rates = rates_by(pairs, pairs.impostor, matched, alphabet, who)
    rates['all'] = pair_rate(pairs, pairs.impostor, matched, who)
    for name, r in rates.items():
        print(f'  {name}: false match {r.rate:.4f} ({r.low:.4f} to {r.high:.4f}), worth '
              f'{r.trials:.0f} of {r.pairs} pairs')
    own = {a: impostor_within(pairs, alphabet, a) for a in np.unique(alphabet).tolist()}
    for a, scores in own.items():
        t = match_threshold(scores, .01)
        print(f'  set on {a}: ' + ', '.join(f'{b} {(s >= t).mean():.4f}' for b, s in own.items()))


def impostor_within(pairs, alphabet, name):
    "Scores of impostor pairs of one alphabet"
    return pairs.score[pairs.impostor & pairs.same(alphabet) & (alphabet[pairs.a] == name)]


def error_within(pairs, alphabet, name):
    "Equal error rate among the pairs of one alphabet"
    genuine = pairs.score[pairs.genuine & (alphabet[pairs.a] == name)]
    return equal_error_rate(genuine, impostor_within(pairs, alphabet, name))


if __name__ == '__main__':
    given = [int(v) for v in sys.argv[1:]]
    main(*given, *(0, 200)[len(given):])
