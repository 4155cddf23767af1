"""Strings of spoken digits: the official split, strangers one by one, and a spotter's pace

`official STEPS SEED…`: train on takes 5 to 49 of six speakers, test on strings of takes 0 to 4,
each recording five times. `lesson STEPS SEED…`: the same with `train_recognizer` as it is.
`validation STEPS SEED…`: test on takes 5 to 9, 15 to 19 and 25 to 29 in turn, train on the others
but the official test: choose settings by this, for takes 5 to 9 alone are mostly nicolas's.
`strangers STEPS SEED…`: leave one speaker out, test on strings that hold each of the 500 recordings
once; beside it a support vector machine on single recordings.
`spotter STEPS`: a network that hears forward only, fed 20 ms at a time: misses and false alarms of
the word seven over recordings of the official test, and the real-time factor.
Needs `spoken_digits` in the data home. Prints CPU seconds of training.

27 November 2026, one thread, 2 cores at a load of 4 to 6, digits wrong of 1,500 in strings:
`lesson 600`: 1.80, 1.33, 1.33 % at seeds 0, 1, 2 (28 to 33 CPU s).
`official 1800`: 1.20, 0.80, 0.67 % at seeds 0, 1, 2 (52 to 55 CPU s); the same on 28 November at
a load of 18 (65 to 70 CPU s), and heard at three speeds 0.93, 0.87, 0.67 % (1.4 CPU s more).
The aim, at most 0.4 % in 60 CPU s, is not reached. The settings of `RECIPE` had the fewest errors
of the eleven that were tried (seed 0, 20 to 65 CPU s each, training on takes 10 to 49): 11 of 900
digits in strings of takes 5 to 9 after 2,000 steps (60.7 CPU s); most wrong strings were nicolas's.
With noise and changing loudness in training, among other differences, it was 20 of 900.
Networks of convolutions (two over time and bands, then four blocks along time, 120,000 weights),
one seed: 26, 10 and 36 of 1,500 wrong on the blocks of `validation` after 60 CPU s; with larger
batches 31, 12 and 24 after 30, an LSTM on the same convolutions 29, 20 and 35. After 60 s
their loss was .04 to .05 per digit: time alone is not what they lack. A loss for each frame beside
CTC gained nothing; more distortion was worse after 30 s. Three speeds took the 26, 10 and 36
errors to 24, 9 and 29. Most are short recordings left out, and 6 or 3 heard as 8.
Some recordings of nicolas's takes 5 to 9 are cut within the word: 6_nicolas_7.wav lasts 0.144 s.
`spotter 600`, 18 CPU s: real-time factor .014; at a threshold of .5 4 of 30 sevens are missed
(13 %, 4 to 31) and 4 of 270 other words taken for one.
Run: OMP_NUM_THREADS=1 python benchmarks/spoken_digits.py official 1800 0 1 2
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
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from dlcourse.core.datasets import load as load_data
from dlcourse.evaluation.intervals import clopper_pearson
from dlcourse.foundations.schedules import clip_grad_norm_, linear
from dlcourse.sequences.ctc import EVERY, SPAN, Recognizer, RecognizerConfig, edit_distance
from dlcourse.sequences.sound import SoundConfig, digit_strings, spliced
from dlcourse.sequences.speech import (
    Listener,
    centered,
    digit_errors,
    log_mel,
    say,
    spotted,
    train_recognizer,
)


def told(errors, said):
    "A rate with exact limits, as if digits were independent"
    low, high = clopper_pearson(min(errors, said), said)
    return f'{errors}/{said} = {errors/said:.2%} ({low:.2%} to {high:.2%})'


def parts(data, first=0):
    "Rows of the official training and test parts; or test on five takes of the training part"
    takes = data['takes']
    asked = (takes >= first) & (takes < first + 5)
    return np.flatnonzero((takes >= 5) & ~asked), np.flatnonzero(asked)


def frames_at_once(waves, sound):
    "What `string_frames` gives, by one Fourier transform for all strings"
    hop, window = sound.hop, sound.window
    waves = [np.pad(w, (0, max(window - len(w), 0))) for w in waves]
    first = np.cumsum([0, *(-(-len(w)//hop) for w in waves)])
    long = np.zeros(first[-1]*hop + window, np.float32)
    for f, w in zip(first, waves, strict=False): long[f*hop:f*hop + len(w)] = w
    frames = torch.tensor([(len(w) - window)//hop + 1 for w in waves])
    table = log_mel(torch.from_numpy(long), sound)
    parts = [table[f:f + n] for f, n in zip(first, frames.tolist(), strict=False)]
    return centered(torch.nn.utils.rnn.pad_sequence(parts, batch_first=True), frames), frames


def strings_of(data, rows, rng, recipe, steps):
    "Rows of each string, step by step: one speaker each, all takes in turn, single digits first"
    batch, most, singles = recipe['batch'], recipe['most'], recipe['singles']*steps
    of = [rows[data['speakers'][rows] == s] for s in np.unique(data['speakers'][rows])]
    piles = [rng.permutation(pile) for pile in of]
    for step in range(steps):
        strings = []
        for size in rng.integers(1, most + 1, batch) if step >= singles else [1]*batch:
            who = rng.integers(len(of))
            if len(piles[who]) < size:
                piles[who] = np.concatenate([piles[who], rng.permutation(of[who])])
            strings.append(piles[who][:size])
            piles[who] = piles[who][size:]
        yield strings


def at_speed(wave, factor):
    "The same faster or slower, and as much higher or lower"
    at = np.arange(0, len(wave) - 1, factor)
    return np.interp(at, np.arange(len(wave)), wave).astype(np.float32)


def without_bands(x, most, rng):
    "A stretch of bands of each string is zero (SpecAugment; Park et al. 2019)"
    n, _, mels = x.shape
    width, band = rng.integers(0, most + 1, (n, 1)), np.arange(mels)
    start = (rng.random((n, 1))*(mels - width + 1)).astype(int)
    hidden = (band >= start) & (band < start + width)
    return x.masked_fill(torch.from_numpy(hidden)[:, None], 0)


RECIPE = dict(batch=16, most=4, singles=.25, speed=.08, bands=4, dropout=.05, lr=5e-3, decay=.99)


def long_trained(data, rows, seed, steps, recipe=RECIPE):
    "The lesson's recognizer, trained for a minute; the running mean of its late weights"
    torch.manual_seed(seed)
    rng, sound = np.random.default_rng(seed), SoundConfig()
    model = Recognizer(RecognizerConfig(dropout=recipe['dropout']))
    with torch.no_grad(): model.head.bias[0] = -3
    optimizer = torch.optim.AdamW(model.parameters(), recipe['lr'], (.9, .98), weight_decay=.01,
                                  fused=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, linear(steps, min(60, steps//2)))
    mean = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(recipe['decay']),
                         use_buffers=True)
    for step, strings in enumerate(strings_of(data, rows, rng, recipe, steps)):
        x, frames = frames_at_once(
            [at_speed(spliced([data['samples'][r] for r in s]),
                      rng.uniform(1 - recipe['speed'], 1 + recipe['speed'])) for s in strings],
            sound)
        log_probs, places, _ = model(without_bands(x, recipe['bands'], rng), frames)
        target = torch.from_numpy(data['digits'][np.concatenate(strings)] + 1)
        loss = F.ctc_loss(log_probs, target, places, torch.tensor([*map(len, strings)]),
                          zero_infinity=True)
        optimizer.zero_grad()
        loss.backward()
        clip_grad_norm_(model.parameters(), 5.)
        optimizer.step()
        schedule.step()
        if step >= steps//3: mean.update_parameters(model)
    return mean.module.eval()


SPEEDS = .94, 1., 1.06


def log_chance(table, text):
    "Of a text, over all paths through a table of log-probabilities"
    n, text = torch.tensor([len(table)]), torch.tensor(text, dtype=torch.long)
    return -F.ctc_loss(table[:, None], text[None] + 1, n, torch.tensor([len(text)]),
                       reduction='sum').item()


def heard_thrice(model, waves, speeds=SPEEDS):
    "Of the texts heard at several speeds, the one that is likeliest at all of them together"
    views, texts = [say(model, [at_speed(w, f) for w in waves]) for f in speeds], []
    for views_of_one in zip(*views, strict=True):
        chance = {t: sum(log_chance(table, t) for table, _ in views_of_one)
                  for t in sorted({tuple(said) for _, said in views_of_one})}
        texts.append(max(chance, key=chance.get))
    return texts


def errors_thrice(model, data, strings):
    "As `digit_errors` counts, of what is heard at three speeds"
    found = []
    for i in range(0, len(strings), 64):
        some = strings[i:i + 64]
        texts = heard_thrice(model, [spliced([data['samples'][r] for r in s]) for s in some])
        found += [(edit_distance(list(t), data['digits'][s].tolist()), len(s))
                  for s, t in zip(some, texts, strict=True)]
    return np.array(found)


def lesson_trained(data, rows, seed, steps):
    return train_recognizer(data, rows, seed=seed, steps=steps)


def official(data, steps, *seeds, train=long_trained, first=0):
    rows, test = parts(data, first)
    strings = list(digit_strings(data['speakers'], test, passes=5))
    for seed in seeds:
        seconds, model = cpu_seconds(lambda s=seed: train(data, rows, s, steps))
        found = digit_errors(model, data, strings)
        print(f'takes {first} to {first + 4}, seed {seed}, {steps} steps, {seconds:.1f} CPU s: '
              f'{told(*found.sum(0))}, strings wholly right {(found[:, 0] == 0).mean():.2%}',
              flush=True)
        seconds, found = cpu_seconds(lambda m=model: errors_thrice(m, data, strings))
        print(f'  at {len(SPEEDS)} speeds, {seconds:.1f} CPU s more: {told(*found.sum(0))}',
              flush=True)


def lesson(data, steps, *seeds):
    official(data, steps, *seeds, train=lesson_trained)


def validation(data, steps, *seeds):
    for first in (5, 15, 25): official(data, steps, *seeds, first=first)


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
    ways = {f.__name__: f for f in (official, validation, lesson, strangers, spotter)}
    ways[what](load_data('spoken_digits'), *map(int, numbers))
