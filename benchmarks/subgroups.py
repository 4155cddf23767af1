"""Subgroup discovery in worlds whose truth is known: false findings, planted groups found by name,
and the time for a million rows

Five worlds of eight binary attributes and one with four values; the groups' sizes are drawn anew in
each run. null: nothing. edge: one condition at exactly the tolerance. one: a group of two
conditions. deep: a group of three. two: two groups that share nearly half of their people. A
finding is false if the true gap of its people to those who were not taken out before it is
tolerated. Beside it: every test at p < .05 by the textbook; the same with Benjamini-Hochberg, and
with the `argsort` that a published scanner takes for ranks; and our margin p-values with
Benjamini-Hochberg and without the removal. All are judged by the same tolerance, which the
textbook's test never promised. ± is the Monte-Carlo error of a mean (one standard error).

Run: OMP_NUM_THREADS=1 python benchmarks/subgroups.py [--quick]
"""
import os
import sys

os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ.setdefault('POLARS_MAX_THREADS', '1')

from collections import Counter
from resource import RUSAGE_SELF, getrusage

import numpy as np
import polars as pl
from harness import cpu_seconds
from scipy.stats import binom, norm

from dlcourse.evaluation.comparison import benjamini_hochberg
from dlcourse.fairness.discovery import discover
from dlcourse.fairness.subgroups import large_enough, margin_p_value, peel

ROWS, EPSILON, LEVEL, MIN = 4000, .05, .1, 30
PLANTED = {'one': [(0, 2)], 'deep': [(0, 2, 4)], 'two': [(0, 2), (2, 4)]}


def world(seed, kind, gap):
    rng = np.random.default_rng(seed)
    share = np.r_[.45, .45, .45, rng.uniform(.2, .8, 5)]
    x, kinds = rng.random((8, ROWS)) < share[:, None], rng.integers(0, 4, ROWS)
    holds = np.concatenate([np.stack([x, ~x], 1).reshape(-1, ROWS), kinds == np.arange(4)[:, None]])
    owner = np.r_[np.repeat(np.arange(8), 2), [8]*4]
    rate = np.full(ROWS, .3)
    if kind == 'edge': rate[x[3]] += EPSILON
    for c in PLANTED.get(kind, ()): rate[holds[list(c)].all(0)] = .3 + gap
    return holds, owner, rng.random(ROWS) < rate, rate


def false(groups, rate, removing):
    left, out = np.ones(len(rate), bool), []
    for who in groups:
        out.append(abs(rate[left & who].mean() - rate[left & ~who].mean()) <= EPSILON + 1e-9)
        if removing: left &= ~who
    return out


def run(seed, kind, gap, others=True):
    holds, owner, y, rate = world(seed, kind, gap)
    ours = [f['conditions']
            for f in peel(holds, owner, y, tolerance=EPSILON, level=LEVEL, min_count=MIN)[0]]
    found = {'peel': false([holds[list(c)].all(0) for c in ours], rate, True)}
    if others:
        c, n, k = large_enough(holds, owner, y, 3, MIN)
        N, K, tested = len(y), y.sum(), np.flatnonzero(len(y) - n >= MIN)
        c, n, k = [c[i] for i in tested], n[tested], k[tested]
        z = (k/n - (K - k)/(N - n))/np.sqrt(K/N*(1 - K/N)*(1/n + 1/(N - n)))
        p = 2*norm.sf(abs(z))
        exact = margin_p_value(k, n, K - k, N - n, EPSILON)
        rules = {'p < .05': p < .05, 'p, BH': benjamini_hochberg(p) <= LEVEL,
                 'p, wrong ranks': p*len(p)/(p.argsort() + 1) <= LEVEL,
                 'margin p, BH': benjamini_hochberg(exact) <= LEVEL}
        for name, some in rules.items():
            groups = [holds[list(c[i])].all(0) for i in np.flatnonzero(some)]
            found[name] = false(groups, rate, False)
    return found, ours


def share(v): return f"{np.mean(v):.3f} ± {np.std(v)/np.sqrt(len(v)):.3f}"


def worlds(runs, gap):
    print(f"{runs} runs of {ROWS:,} rows, gap of a planted group {gap:.0%}, margin {EPSILON:.0%}, "
          f"false discovery rate {LEVEL:.0%}, {MIN} people at least\n")
    print(f"{'world':<8}{'search':<16}{'findings':>9}{'share that is false':>24}{'any false':>18}")
    exact = {}
    for kind in ('null', 'edge', 'one', 'deep', 'two'):
        results = [run(seed, kind, gap) for seed in range(runs)]
        for name in results[0][0]:
            lists = [r[name] for r, _ in results]
            rates = [np.mean(v) if v else 0. for v in lists]
            many, wrong = np.mean([len(v) for v in lists]), share([any(v) for v in lists])
            print(f"{kind:<8}{name:<16}{many:>9.2f}{share(rates):>24}{wrong:>18}")
            least = np.mean(rates) - 2*np.std(rates)/np.sqrt(runs)
            assert name != 'peel' or least <= LEVEL, f"too many false findings: {kind}"
        exact[kind] = [o for _, o in results]
    print("\nFound by name (among all findings; as the only finding)")
    for kind in ('one', 'deep'):
        hit = [PLANTED[kind][0] in o for o in exact[kind]]
        print(f"{kind:<8}{share(hit):>18}{share([o == PLANTED[kind] for o in exact[kind]]):>18}")
        assert runs < 200 or kind != 'one' or np.mean(hit) >= .8
    said = Counter(' + '.join(map(str, o)) or 'nothing' for o in exact['two']).most_common(6)
    print("two     " + "; ".join(f"{text}: {n/runs:.0%}" for text, n in said))
    print("\nGap of a group of two conditions, and of three → found by name")
    for g in (.08, .1, .12, .15, .2, .25):
        hits = [[PLANTED[kind][0] in run(seed, kind, g, others=False)[1]
                 for seed in range(1000, 1000 + runs//2)] for kind in ('one', 'deep')]
        print(f"{g:<8.0%}{share(hits[0]):>18}{share(hits[1]):>18}")


def level_of_p():
    "Exact: the largest chance of p ≤ α over rates of the rest, at the margin, relative to α"
    print("\nLevel of the margin p-value, both sides together, relative to α: the largest over the "
          "rate of the rest (all outcomes added up)")
    alphas = (.05, .01, 1e-3, 1e-4, 1e-5)
    print(f"{'n in':>6}{'n rest':>8}{'margin':>8}" + ''.join(f"{a:>9g}" for a in alphas))
    for n, m in ((5, 100), (10, 10), (10, 300), (30, 30), (30, 400), (100, 300), (200, 50)):
        k1, k2 = np.arange(n + 1)[:, None], np.arange(m + 1)[None]
        for eps in (0., .05, .2):
            p = margin_p_value(k1, n, k2, m, eps)
            worst = [max(binom.pmf(k1[:, 0], n, q + eps) @ (p <= a) @ binom.pmf(k2[0], m, q)
                         for q in np.r_[.001, .005, .02, np.linspace(.05, .95 - eps, 37)])/a
                         for a in alphas]
            print(f"{n:>6}{m:>8}{eps:>8g}" + ''.join(f"{w:>9.2f}" for w in worst))
            assert max(worst) <= 1


def speed(rows):
    rng = np.random.default_rng(0)
    x = [rng.random(rows) < share for share in rng.uniform(.1, .9, 20)]
    rate = np.full(rows, .3, np.float32)
    for a, b, *c in ((0, 1), (2, 3, 4), (5, 6)): rate[x[a] & x[b] & (x[c[0]] if c else True)] += .15
    frame = pl.DataFrame({f'a{i}': v.astype(np.int8) for i, v in enumerate(x)}
                         | {'decision': (rng.random(rows) < rate).astype(np.int8)})
    del x, rate
    before = getrusage(RUSAGE_SELF).ru_maxrss
    asked = dict(y_pred='decision', sensitive_features=[f'a{i}' for i in range(20)])
    spent, found = cpu_seconds(lambda: discover(frame, **asked))
    print(f"\n{rows:,} rows × 20 binary attributes, depth 3: {found.tests:,} groups tested, "
          f"{len(found.found)} findings removed one by one: {spent:.2f} CPU seconds, "
          f"{(getrusage(RUSAGE_SELF).ru_maxrss - before)/1024:.0f} MB more at the peak")
    for s in found.found: print('  ', s.sentence('rate'))
    assert spent <= 20


def main(quick=False):
    speed(100_000 if quick else 1_000_000)
    worlds(10 if quick else 300, .2)
    if not quick: level_of_p()


if __name__ == '__main__': main('--quick' in sys.argv)
