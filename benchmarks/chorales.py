"""Bach's chorales: the next chord by an LSTM, in a budget of CPU seconds

The official split; nats for each step, as published: TCN 8.10, GRU 8.43, LSTM 8.45, RNN 8.91 (Bai,
Kolter & Koltun 2018, table 1). Training chorales are moved by up to six semitones (`--shift 0`: not
at all, as published). The weights that are tested are those of the epoch that was best on the
validation part; the test part is looked at once for each seed.

Run: OMP_NUM_THREADS=1 python benchmarks/chorales.py [--seeds 3] [--seconds 60] [--shift 6]
"""
import argparse
import copy
import os
import time

os.environ.setdefault('OMP_NUM_THREADS', '1')

import numpy as np
import torch
from harness import load as waiting
from harness import machine

from dlcourse.core.cards import card
from dlcourse.core.datasets import load
from dlcourse.core.downloads import is_here
from dlcourse.foundations.schedules import clip_grad_norm_, cosine
from dlcourse.sequences.chorales import ChordNet, chord_nll, padded_rolls, transposed


def scored(model:ChordNet, rolls:list)->float:
    "Nats for each step"
    x, lengths = padded_rolls(rolls)
    with torch.no_grad(): return chord_nll(model.eval()(x), x, lengths).item()


def trained(music:dict, seed:int, args)->dict[str, float]:
    "Train one network within the budget"
    torch.manual_seed(seed)
    rng, start = np.random.default_rng(seed), time.process_time()
    model = ChordNet(args.hidden, args.drop_in, args.drop_out)
    optimizer = torch.optim.AdamW(model.parameters(), lr=args.lr, weight_decay=args.decay,
                                  fused=True)
    falling, best, kept, epoch = cosine(1000, floor=.02), np.inf, None, 0
    train = sorted(music['train'], key=len)
    batches = [train[i:i + args.batch] for i in range(0, len(train), args.batch)]
    while (spent := time.process_time() - start) < args.seconds:
        optimizer.param_groups[0]['lr'] = args.lr*falling(int(1000*spent/args.seconds))
        model.train()
        for i in rng.permutation(len(batches)):
            moves = rng.integers(-args.shift, args.shift + 1, len(batches[i]))
            x, lengths = padded_rolls([transposed(r, int(s))
                                 for r, s in zip(batches[i], moves, strict=True)])
            optimizer.zero_grad()
            chord_nll(model(x), x, lengths).backward()
            clip_grad_norm_(model.parameters(), 1.)
            optimizer.step()
        valid, epoch = scored(model, music['valid']), epoch + 1
        if valid < best: best, kept = valid, copy.deepcopy(model.state_dict())
        if args.verbose and epoch % 5 == 0:
            print(f'  epoch {epoch}, {spent:.0f} s: {valid:.3f}', flush=True)
    model.load_state_dict(kept)
    return {'epochs': epoch, 'valid': best, 'test': scored(model, music['test'])}


if __name__ == '__main__':
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    for name, usual in dict(seeds=3, hidden=256, batch=8, shift=6).items():
        p.add_argument(f'--{name}', type=int, default=usual)
    for name, usual in dict(seconds=60., lr=.01, decay=.01, drop_in=.1, drop_out=.3).items():
        p.add_argument(f'--{name}', type=float, default=usual)
    p.add_argument('--verbose', action='store_true')
    args = p.parse_args()
    torch.set_num_threads(1)
    if not is_here(card('jsb_chorales')):
        raise SystemExit('skipped: the chorales are not here; dlcourse datasets get jsb_chorales')
    music, tests = load('jsb_chorales'), []
    for seed in range(args.seeds):
        row = trained(music, seed, args)
        tests.append(row['test'])
        print(f'seed {seed}: {row["epochs"]} epochs, validation {row["valid"]:.3f}, '
              f'test {row["test"]:.3f}', flush=True)
    print(f'test {np.mean(tests):.3f}, from {min(tests):.3f} to {max(tests):.3f}, '
          f'{args.seconds:.0f} CPU s each; {machine()}, load {waiting():.1f}')
