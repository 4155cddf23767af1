"""Groups known as probabilities: do the bounds hold, and by how much is the weighted estimate off?

First the lending world with names that fit the race of their bearer with a given probability: share
of worlds in which the bounds, and the weighted estimate with the error of its size, hold the gap of
White and Black applicants. Then worlds at the edge of what their table allows, which is the worst
case for coverage: in each cell members are approved before others, and in half of the cells the
share in the group equals the share approved, where the bound has its kink. ± is one standard error.
Measured in full: bounds hold in .967 and more of 300 worlds, at the edge in .957 and more of 2,000;
the weighted estimate holds in .007 where names say nothing and in .82 where nine in ten fit.

Run: OMP_NUM_THREADS=1 python benchmarks/membership.py [--quick]
"""
import os
import sys

os.environ.setdefault('OMP_NUM_THREADS', '1')

import numpy as np

from dlcourse.data.synthesis import LENDING, lending
from dlcourse.fairness.membership import membership_bounds

RACES, HOMES = list(LENDING.race), sorted(LENDING.district['White'])
PRIOR = np.array([LENDING.race[r] for r in RACES])
LIVES = PRIOR[:, None]*np.array([[LENDING.district[r][d] for d in HOMES] for r in RACES])


def told(v): return f"{np.mean(v):.3f} ± {np.std(v)/np.sqrt(len(v)):.3f}"


def named(world, q, seed):
    "Probability of White and Black given name and district, and the cell of each person"
    rng, own = np.random.default_rng(seed), np.array([RACES.index(r) for r in world['race']])
    name = np.where(rng.random(len(own)) < q, own, rng.choice(len(RACES), len(own), p=PRIOR))
    home = np.searchsorted(HOMES, world['district'])
    joint = LIVES[:, home]*(q*np.eye(len(RACES)) + (1 - q)*PRIOR)[:, name]
    p = joint/joint.sum(0)
    return {r: p[RACES.index(r)] for r in ('White', 'Black')}, name*len(HOMES) + home


def in_lending(runs, rows):
    big = lending(1_000_000, 7)
    truth = [float(big['approved'][big['race'] == r].mean()) for r in ('White', 'Black')]
    truth = truth[0] - truth[1]
    print(f"Lending, {rows:,} applicants, {runs} worlds; the true gap is {100*truth:.1f} points\n")
    print(f"{'names that fit':<16}{'bounds hold':>17}{'width':>8}{'weighted gap':>14}"
          f"{'weighted holds':>17}")
    for q in (0., .5, .75, .9, .97, 1.):
        held, width, mean, naive = [], [], [], []
        for seed in range(runs):
            world = lending(rows, 1000 + seed)
            p, cell = named(world, q, seed)
            gap, = membership_bounds(world['approved'], p, cell).gaps
            n = [v.sum() for v in p.values()]
            held.append(gap.low <= truth <= gap.high)
            width.append(gap.high - gap.low)
            mean.append(gap.weighted)
            naive.append(abs(gap.weighted - truth) <= 1.96*np.sqrt(.24/n[0] + .25/n[1]))
        print(f"{q:<16g}{told(held):>17}{np.mean(width):>8.3f}{np.mean(mean):>14.3f}"
              f"{told(naive):>17}")
        assert np.mean(held) + 2*np.std(held)/runs**.5 >= .95


def edge(seed, rows, cells):
    "The truth is the upper bound of the first group's rate, and of its gap to the second"
    rng = np.random.default_rng(seed)
    p = rng.uniform(.05, .95, cells)
    m = np.where(np.arange(cells) % 2, p, rng.uniform(.05, .95, cells))
    cell, u = rng.integers(0, cells, rows), rng.random(rows)
    first = float(np.minimum(p, m).sum()/p.sum())
    second = float(np.maximum(0, m - p).sum()/(1 - p).sum())
    return (u < m[cell]).astype(int), {'a': p[cell], 'b': 1 - p[cell]}, cell, first, first - second


def at_the_edge(runs):
    print("\nAt the edge, members approved first\n")
    print(f"{'rows':>7}{'cells':>7}{'rate held':>17}{'gap held':>17}")
    for rows, cells in ((300, 6), (1_000, 6), (1_000, 60), (10_000, 6), (10_000, 600)):
        rate, gap = [], []
        for seed in range(runs):
            y, p, cell, a, d = edge(seed, rows, cells)
            found = membership_bounds(y, p, cell)
            rate.append(found.rates[0].low <= a <= found.rates[0].high)
            gap.append(found.gaps[0].low <= d <= found.gaps[0].high)
        print(f"{rows:>7,}{cells:>7}{told(rate):>17}{told(gap):>17}")
        for held in (rate, gap): assert np.mean(held) + 2*np.std(held)/runs**.5 >= .95


def main(quick=False):
    in_lending(20 if quick else 300, 3_000)
    at_the_edge(200 if quick else 2_000)


if __name__ == '__main__': main('--quick' in sys.argv)
