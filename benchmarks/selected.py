"""What a search prints about the groups that it picked: limits, shrunken gaps, weights and clusters

Worlds with a known truth. Coverage: of the first finding, and of all findings together, at the
stated 90 %. Bias: the printed and the shrunken gap less the true one, in the direction of the gap.
Weighted and clustered worlds in which every true gap is tolerated: the share of searches that find
anything, which must not exceed the stated 10 %. ± is one standard error. Measured with 400
searches a world: the first finding is covered in .990 and more, all together in .990 and more; of
nothing, something is found in at most .013 (with clusters taken for rows: always).

Run: OMP_NUM_THREADS=1 python benchmarks/selected.py [--quick]
"""
import os
import sys

os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ.setdefault('POLARS_MAX_THREADS', '1')

import numpy as np

from dlcourse.fairness.discovery import discover

EACH = 200
WORLDS = {
    '20 groups, half at .6, half at .2': np.repeat([.6, .2], 10),
    '40 groups, half at .5, half at .3': np.repeat([.5, .3], 20),
    '40 groups, rates scattered by .08': np.clip(.3 + .08*np.linspace(-2, 2, 40), .05, .95),
    'one of 60 groups at .5, else .3': np.r_[np.full(59, .3), .5],
    '30 groups, all alike': np.full(30, .3),
}


def told(v): return f"{np.mean(v):.3f} ± {np.std(v)/np.sqrt(max(len(v), 1)):.3f}"


def picked(truth, seed):
    "Of one search: is each printed gap covered, and how far are printed and shrunken gap off?"
    k = np.random.default_rng(seed).binomial(EACH, truth)
    rows = dict(g=np.repeat([f'g{i:03}' for i in range(len(k))], EACH),
                y=np.concatenate([np.repeat([1, 0], [a, EACH - a]) for a in k]))
    left, out = np.ones(len(k), bool), []
    for s in discover(rows, ['g'], y_pred='y').found:
        i = int(s.conjunction[-3:])
        left[i] = False
        true = truth[i] - truth[left].mean()
        sign = np.sign(s.gap)
        out.append((s.low <= true <= s.high, sign*(s.gap - true), sign*(s.shrunk - true)))
    return np.array(out)


def limits(runs):
    print(f"{runs} searches a world; groups of {EACH}\n")
    print(f"{'world':<36}{'found':>6}{'first covered':>17}{'all covered':>17}"
          f"{'printed off':>17}{'shrunk off':>17}")
    for name, truth in WORLDS.items():
        found = [r for r in (picked(truth, seed) for seed in range(runs)) if len(r)]
        if not found:
            print(f"{name:<36}{0:>6}")
            continue
        first, every = [r[0, 0] for r in found], [r[:, 0].all() for r in found]
        off = [told([r[0, j] for r in found]) for j in (1, 2)]
        print(f"{name:<36}{len(found):>6}{told(first):>17}{told(every):>17}{off[0]:>17}{off[1]:>17}")
        for hits in (first, every): # Few searches that find anything in noise: no bound for them
            assert len(found) < runs/2 or np.mean(hits) + 2*np.std(hits)/len(hits)**.5 >= .9


def overlapping(seed, rows=3000):
    "Six binary attributes; two groups that share people are above the rest: are all covered?"
    rng = np.random.default_rng(seed)
    x = rng.random((6, rows)) < .5
    rate = np.full(rows, .3)
    rate[x[0] & x[1] | x[1] & x[2]] = .5
    data = {f'a{i}': v.astype(int) for i, v in enumerate(x)}
    found = discover(data | {'y': (rng.random(rows) < rate).astype(int)}, list(data), y_pred='y')
    left, held = np.ones(rows, bool), []
    for s in found.found:
        who = left.copy()
        for part in s.conjunction.split(' and '):
            name, value = part.split(' = ')
            who &= data[name] == int(value)
        true = rate[who].mean() - rate[left & ~who].mean()
        held.append(s.low <= true <= s.high)
        left &= ~who
    return held


def sampled(seed, inverse, rows=3000):
    "Three attributes that mean nothing; positives are sampled 1 in `inverse` and weigh as much"
    rng = np.random.default_rng(seed)
    y = rng.random(rows*3) < .3
    kept = np.flatnonzero((rng.random(len(y)) < 1/inverse) | ~y)[:rows]
    data = {f'a{i}': rng.integers(0, 3, len(kept)) for i in range(3)}
    return data | {'y': y[kept].astype(int), 'w': np.where(y[kept], float(inverse), 1.)}


def grouped(seed, clusters=120):
    "Uneven clusters, alike inside; attributes are the cluster's, and mean nothing"
    rng = np.random.default_rng(seed)
    size = rng.geometric(.05, clusters)
    rate = rng.beta(.6, 1.4, clusters)
    home = np.repeat(np.arange(clusters), size)
    data = {f'a{i}': rng.integers(0, 3, clusters)[home] for i in range(3)}
    return data | {'y': (rng.random(len(home)) < rate[home]).astype(int), 'home': home}


def nothing(runs):
    print("\nNothing to find: share of searches with a finding, tolerance 0 (stated: at most .1)")
    ways = {'positives sampled 1 in 10': (lambda s: sampled(s, 10), dict(sample_weight='w')),
            'positives sampled 1 in 4': (lambda s: sampled(s, 4), dict(sample_weight='w')),
            'uneven clusters': (grouped, dict(cluster='home')),
            'the same, taken for rows': (grouped, {})}
    for name, (world, how) in ways.items():
        names = ['a0', 'a1', 'a2']
        hits = [bool(discover(world(s), names, y_pred='y', tolerance=0., **how).found)
                for s in range(runs)]
        print(f"{name:<36}{told(hits):>17}")
        if how: assert np.mean(hits) - 2*np.std(hits)/runs**.5 <= .1


def main(quick=False):
    runs = 40 if quick else 400
    limits(runs)
    held = [h for h in (overlapping(s) for s in range(runs)) if h]
    print(f"\n{'groups that share people':<36}{len(held):>6}{told([h[0] for h in held]):>17}"
          f"{told([all(h) for h in held]):>17}")
    nothing(runs)


if __name__ == '__main__': main('--quick' in sys.argv)
