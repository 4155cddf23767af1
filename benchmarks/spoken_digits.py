"""Strings of spoken digits: the official split, strangers one by one, and a spotter's pace

`official STEPS SEED…`: train on takes 5 to 49 of six speakers, test on strings of takes 0 to 4,
each recording five times. `strangers STEPS SEED…`: leave one speaker out, test on strings that hold
each of the 500 recordings once; beside it a support vector machine on single recordings.
`spotter STEPS`: a network that hears forward only, fed 20 ms at a time: misses and false alarms of
the word seven over recordings of the official test, and the real-time factor.
Needs `spoken_digits` in the data home. Prints CPU seconds of training.
Run: OMP_NUM_THREADS=1 python benchmarks/spoken_digits.py official 700 0 1 2
"""
import os
import sys
import time

os.environ.setdefault('OMP_NUM_THREADS', '1')

import numpy as np
import torch
import torch.nn.functional as F
from harness import cpu_seconds, load, machine
from sklearn.svm import SVC

from dlcourse.core.datasets import load as load_data
from dlcourse.evaluation.intervals import clopper_pearson
from dlcourse.sequences.ctc import EVERY, SPAN, RecognizerConfig
from dlcourse.sequences.sound import SoundConfig, digit_strings, spliced
from dlcourse.sequences.speech import (
    Listener,
    digit_errors,
    log_mel,
    spotted,
    train_recognizer,
)


def told(errors, said):
    "A rate with exact limits, as if digits were independent"
    low, high = clopper_pearson(min(errors, said), said)
    return f'{errors}/{said} = {errors/said:.2%} ({low:.2%} to {high:.2%})'


def parts(data):
    "Rows of the official training and test parts"
    return np.flatnonzero(data['takes'] >= 5), np.flatnonzero(data['takes'] < 5)


def official(data, steps, *seeds):
    train, test = parts(data)
    strings = list(digit_strings(data['speakers'], test, passes=5))
    for seed in seeds:
        seconds, model = cpu_seconds(lambda s=seed: train_recognizer(data, train, seed=s,
                                                                     steps=steps))
        found = digit_errors(model, data, strings)
        print(f'official, seed {seed}, {steps} steps, {seconds:.1f} CPU s: {told(*found.sum(0))}, '
              f'strings wholly right {(found[:, 0] == 0).mean():.2%}', flush=True)


def squeezed(samples):
    "Sixteen frames of a recording, whatever its length"
    x = log_mel(torch.tensor(samples), SoundConfig())
    return F.interpolate((x - x.mean(0)).T[None], 16, mode='linear')[0].flatten().numpy()


def strangers(data, steps, *seeds):
    speakers, digits = data['speakers'], data['digits']
    table = np.stack([squeezed(s) for s in data['samples']])
    train, test = parts(data)
    score = SVC(C=10).fit(table[train], digits[train]).score(table[test], digits[test])
    print(f'SVC on single recordings, official split: {1 - score:.2%} wrong', flush=True)
    for name in np.unique(speakers):
        own, others = np.flatnonzero(speakers == name), np.flatnonzero(speakers != name)
        wrong = 1 - SVC(C=10).fit(table[others], digits[others]).score(table[own], digits[own])
        strings = list(digit_strings(speakers, own))
        results = []
        for seed in seeds:
            seconds, model = cpu_seconds(lambda s=seed, o=others: train_recognizer(
                data, o, seed=s, steps=steps))
            results.append(told(*digit_errors(model, data, strings).sum(0)))
        print(f'{name}, never heard: {"; ".join(results)}; {steps} steps, {seconds:.1f} CPU s; '
              f'SVC {wrong:.2%}', flush=True)


def spotter(data, steps, keyword=7):
    train, test = parts(data)
    seconds, model = cpu_seconds(lambda: train_recognizer(
        data, train, RecognizerConfig(both_ways=False), steps=steps))
    row = np.random.default_rng(0).permutation(test)
    sound = spliced([data['samples'][r] for r in row])
    listener, heard, began = Listener(model), [], time.process_time()
    for i in range(0, len(sound), 160): heard.append(listener.feed(sound[i:i + 160]))
    factor = (time.process_time() - began)/(len(sound)/8000)
    print(f'spotter, {steps} steps, {seconds:.1f} CPU s: {len(sound)/8000:.0f} s of sound in '
          f'pieces of 20 ms, real-time factor {factor:.4f}')
    ends = np.cumsum([len(data['samples'][r]) for r in row])/8000
    is_word = data['digits'][row] == keyword
    for threshold in (.3, .5, .7, .9):
        at = [(i*EVERY + SPAN - 1)*.01 for i in spotted(torch.cat(heard), keyword, threshold)]
        # A place may fall into the beginning of the next recording: up to 0.12 s late
        which = np.searchsorted(ends, np.array(at) - .12).clip(0, len(row) - 1)
        missed = is_word.sum() - len(set(which[is_word[which]]))
        print(f'  threshold {threshold}: missed {told(missed, is_word.sum())}, false alarms '
              f'{(~is_word[which]).sum()} among {(~is_word).sum()} other words')


if __name__ == '__main__':
    torch.set_num_threads(1)
    what, *numbers = sys.argv[1:]
    print(machine(), f'load {load():.1f}')
    {'official': official, 'strangers': strangers, 'spotter': spotter}[what](
        load_data('spoken_digits'), *map(int, numbers))
