"""Multi30k, German to English: BLEU on a CPU in ten minutes; what goes wrong, and whose sex changes

Five rounds of the 29,000 pairs, byte pairs of both languages together, blocks of width 128. Printed
for one seed: BLEU and chrF on the official test part (1,000 captions), greedy and with four beams,
beside sacrebleu's own, then examples from best to worst, scores by length, words that were rare in
training, men and women, and probes with professions. Needs `multi30k` in the data home. Peer: pip
install -r benchmarks/translation.txt
27 November 2026, seed 0 alone: BLEU 38.07 greedy and 39.28 with four beams after 513 CPU seconds,
by a first version that let the rate rise for a sixth of the steps, where this takes a tenth.
Run: OMP_NUM_THREADS=1 python benchmarks/translation.py [seed] [rounds] [cpu|cuda]
On `cuda` the network is larger (width 256, three and three blocks) and the batches twice as large.
27 November 2026, one NVIDIA H200: 8 rounds, 65 s to train, seed 0: BLEU 40.70 greedy and 42.09 with
four beams; 6 rounds, 56 s, seed 1: 40.34 and 41.60.
"""
import os
import random
import re
import sys
import time
from collections import Counter

os.environ.setdefault('OMP_NUM_THREADS', '1')

import numpy as np
import torch
from harness import load as machine_load
from harness import machine
from sacrebleu import corpus_bleu, corpus_chrf

from dlcourse.core.datasets import load
from dlcourse.training.zoo import count_parameters
from dlcourse.transformers.block import BlockConfig
from dlcourse.transformers.tokenizers import Tokenizer
from dlcourse.transformers.translation import (
    Translator,
    TranslatorConfig,
    bleu,
    train_translator,
    translate,
)
from dlcourse.transformers.translation_scores import EOS, bleu_words, chrf, filled

WOMEN = {'woman', 'women', 'girl', 'girls', 'she', 'her', 'lady', 'ladies', 'female', 'hers'}
MEN = {'man', 'men', 'boy', 'boys', 'he', 'his', 'him', 'male', 'guy', 'guys', 'gentleman'}
# The professions' form says who it is; the possessive of the translation should too
PROBES = [f'{article} {name} liest {possessive} Buch.' for article, possessive, names in (
    ('Eine', 'ihr', ('Ärztin', 'Köchin', 'Lehrerin', 'Polizistin', 'Arbeiterin', 'Malerin',
                     'Sängerin', 'Tänzerin')),
    ('Ein', 'sein', ('Arzt', 'Koch', 'Lehrer', 'Polizist', 'Arbeiter', 'Maler', 'Sänger',
                     'Tänzer'))) for name in names]


def bucketed(sources, targets, symbols, rng, device):
    "Batches of texts of about one length, of so many symbols at most, in random order, for ever"
    while True:
        order = sorted(range(len(sources)), key=lambda i: (len(targets[i]) + 1.5*rng.random(),
                                                           len(sources[i]) + 3*rng.random()))
        groups, now = [], []
        for i in order:
            now.append(i)
            if max(len(targets[j]) for j in now[-1:] + now[:1])*len(now) >= symbols:
                groups.append(now)
                now = []
        if now: groups.append(now)
        rng.shuffle(groups)
        for rows in groups:
            yield (filled([sources[i] for i in rows]).to(device),
                   filled([targets[i] for i in rows]).to(device))


def translations(model, tokenizer, texts, beams, device, alpha=1.):
    "English for German, a hundred at a time, those of one length together"
    ids = [tokenizer.encode(text) for text in texts]
    order, out = sorted(range(len(ids)), key=lambda i: len(ids[i])), [''] * len(ids)
    for at in range(0, len(order), 100):
        rows = order[at:at + 100]
        said = translate(model, filled([ids[i] for i in rows]).to(device), 50, beams,
                         alpha if beams > 1 else 0.).tolist()
        for i, row in zip(rows, said, strict=True):
            row = row[:row.index(EOS)] if EOS in row else row
            out[i] = tokenizer.decode([t for t in row if t > EOS])
    return out


def sex(text):
    "Whom a caption is about, by its words"
    words = set(re.findall('[a-z]+', text.lower()))
    women, men = bool(words & WOMEN), bool(words & MEN)
    return {(True, False): 'women', (False, True): 'men', (True, True): 'both'}.get((women, men),
                                                                                  'neither')


def audit(out, references, train):
    "Length, rare words, women and men"
    sizes = np.array([len(bleu_words(text)) for text in references])
    edges = [0, *np.quantile(sizes, (.25, .5, .75)), 99]
    for low, high in zip(edges, edges[1:], strict=False):
        rows = np.flatnonzero((sizes > low) & (sizes <= high))
        part = [[texts[i] for i in rows] for texts in (out, references)]
        print(f'  references of {low:.0f} to {high:.0f} words: {len(rows)}, BLEU {bleu(*part):.1f}')
    seen = Counter(w.lower() for text in train for w in bleu_words(text))
    for low, high in ((0, 0), (1, 5), (6, 50), (51, 10**6)):
        hit = total = 0
        for a, b in zip(out, references, strict=True):
            ours = {w.lower() for w in bleu_words(a)}
            for word in {w.lower() for w in bleu_words(b) if w.isalpha()}:
                if low <= seen[word] <= high: total, hit = total + 1, hit + (word in ours)
        print(f'  words seen {low} to {high} times in training: {total}, in the translation '
              f'{hit/total:.1%}')
    table = Counter((sex(b), sex(a)) for a, b in zip(out, references, strict=True))
    for true in ('women', 'men', 'both', 'neither'):
        print(f'  reference says {true}: ' + ', '.join(
            f'{said} {table[true, said]}' for said in ('women', 'men', 'both', 'neither')))


def main(seed, rounds, device):
    torch.set_num_threads(1)
    data, began, before = load('multi30k'), time.process_time(), machine_load()
    symbols = 4000 if device == 'cuda' else 2000
    tokenizer = Tokenizer.train([*data['train.de'], *data['train.en']], 4000,
                                special=['<pad>', '<s>', '</s>'])
    ids = [[tokenizer.encode(text) for text in data[f'train.{k}']] for k in ('de', 'en')]
    torch.manual_seed(seed)
    dim, depth = (256, 3) if device == 'cuda' else (128, 2)
    block = BlockConfig(dim=dim, heads=4, rope_base=10_000., dropout=.1)
    model = Translator(TranslatorConfig(vocab_size=len(tokenizer), block=block, encoder_depth=depth,
                                        decoder_depth=depth)).to(device)
    batches = bucketed(*ids, symbols, random.Random(seed), device)
    steps = rounds*sum(len(t) + 1 for t in ids[1])//symbols
    wall = time.perf_counter()
    losses = train_translator(model, batches, steps)
    wall = time.perf_counter() - wall
    print(f'seed {seed}, {rounds} rounds, {steps} steps, {count_parameters(model):,} parameters, '
          f'{time.process_time() - began:.0f} CPU s with the tokenizer, {wall:.0f} s to train; '
          f'loss {np.mean(losses[-50:]):.3f}')
    if len(sys.argv) > 4: torch.save(model.state_dict(), sys.argv[4])
    told(model, tokenizer, data, device)
    print(f'load {before:.1f} before, {machine_load():.1f} after; {machine()}')


def told(model, tokenizer, data, device='cpu'):
    "All that is reported of a trained model"
    german, english = data['test.de'], data['test.en']
    for beams in (1, 4):
        began = time.process_time()
        out = translations(model, tokenizer, german, beams, device)
        ours, theirs = bleu(out, english), corpus_bleu(out, [english]).score
        letters, same = chrf(out, english), corpus_chrf(out, [english]).score
        if max(abs(ours - theirs), abs(letters - same)) > 1e-9: raise SystemExit('no parity')
        low = bleu([t.lower() for t in out], [t.lower() for t in english])
        print(f'{beams} beams: BLEU {ours:.2f} = sacrebleu, chrF {letters:.2f}; in small letters '
              f'{low:.2f}; {time.process_time() - began:.0f} CPU s')
    order = sorted(range(len(out)), key=lambda i: -chrf([out[i]], [english[i]]))
    for at in (5, 100, 300, 500, 700, 900, 980, 995):
        i = order[at]
        print(f'  {german[i]} | {out[i]} | {english[i]}')
    audit(out, english, data['train.en'])
    for text, said in zip(PROBES, translations(model, tokenizer, PROBES, 4, device), strict=True):
        print(f'  {text} | {said}')


if __name__ == '__main__':
    given = sys.argv[1:]
    main(int(given[0]) if given else 0, int(given[1]) if len(given) > 1 else 5,
         given[2] if len(given) > 2 else 'cpu')
