"""How often is a verdict wrong, and how often is there one?

python benchmarks/verdicts.py [--quick] [weighted clusters …]

At a true gap of exactly the tolerance FAIL is wrong, and just past it PASS is: neither may happen
in more than 5 % of samples. Two groups are enumerated, for every place the two rates can lie; more
groups are simulated. Power at no gap and at twice the tolerance beside it. Then the test that all
rates are equal, the variance between groups, and the planner against simulation.

Then rows whose weights depend on the outcome, and clusters. Measured in full, weights with 1,000
samples a cell (standard error .007): positives asked 1 in 10 or 1 in 4, or negatives 1 in 10, gap
at the tolerance: rates are held in .940 and more, gaps in .961 and more, false FAIL at most .026,
false PASS at most .059 (the worst of 39 cells; the bar is .05 with three standard errors). With
Kish's size rates are held in .64, false FAIL .16, false PASS .19. Clusters with 1,500 samples: a
rate of .3 or .5 is held in .949 and more, also where sixty clusters are worth fifteen. Unweighted,
false FAIL and false PASS are at most .0494 with two groups (enumerated) and .024 with more.

Means of errors, 10,000 samples of two groups of 30 to 1,000, one near 0: false PASS .041, .035,
.050 and .046 of lognormal errors, .044 and less of errors that are 0 in 95 of 100 rows and large in
the others, from 60 rows on; of 30 rows .212, for so many samples hold no large error at all. False
FAIL at most .025 (normal errors), .012 of the others. Student's interval alone gives a false PASS
in .38 to .11 of audits with rare errors and in .15 to .07 with lognormal ones.

Clusters at a rate of .1, thirty and sixty even ones, sixty worth fifteen, two hundred worth eighty:
.951 and more. Before two people of the rarer outcome were added with their clusters: .87 to .94.
Thirty and more are judged by a policy."""
import sys
from itertools import product

import numpy as np
from scipy.stats import binom

from dlcourse.evaluation.intervals import wilson
from dlcourse.fairness.bounds import gap_bounds, gap_verdict
from dlcourse.fairness.counts import (
    Counts,
    cluster_cells,
    effective_size,
    linearized_size,
    student_size,
)
from dlcourse.fairness.groups import clustered
from dlcourse.fairness.planning import (
    detectable_gap,
    judge_many,
    sample_size,
    two_proportions,
    verdict_chances,
)
from dlcourse.fairness.regression import mean_limits
from dlcourse.fairness.uncertainty import between_groups, equality_test
from dlcourse.fairness.weighing import carriers, stretched

QUICK = '--quick' in sys.argv
DRAWS = 2_000 if QUICK else 20_000
ALLOWED = .05 + 2*np.sqrt(.05*.95/DRAWS)
GRID = np.unique(np.round(np.r_[.001, .005, np.arange(.01, 1, .03 if QUICK else .01), .995, .999],
                          3))

def tables(n1, n2, tolerance, kind):
    "Fail and pass for every pair of counts"
    k = np.stack(np.meshgrid(np.arange(n1 + 1), np.arange(n2 + 1), indexing='ij'), -1).reshape(-1,
                                                                                               2)
    fail, passed = judge_many(k, np.array([n1, n2]), tolerance=tolerance, kind=kind,
                              errors=(.05/2, .05))
    return fail.reshape(n1 + 1, n2 + 1), (passed & ~fail).reshape(n1 + 1, n2 + 1)

def chances(table, n1, n2, p1, p2):
    "How often the table says yes, for each pair of true rates"
    w1, w2 = (np.array([binom.pmf(np.arange(n + 1), n, q) for q in p]) for n,
              p in ((n1, p1), (n2, p2)))
    return np.einsum('ra,ab,rb->r', w1, table.astype(float), w2, optimize=True)

def other(p, gap, kind):
    "The second rate, `gap` below the first, in the worlds where there is one"
    q = p - gap if kind == 'difference' else p*gap
    return p[q >= 0], q[q >= 0]

def two_groups():
    sizes = [(10, 10), (30, 30), (100, 100), (10, 100),
             (30, 300)] + ([] if QUICK else [(300, 300), (10, 1000), (100, 1000)])
    print(f"\nTwo groups, enumerated over {len(GRID)} rates of the higher group, in both orders of "
          f"the sizes: worst of all worlds, and power at p = .5")
    print(f"{'kind':>10} {'tolerance':>9} {'n':>11} {'false FAIL':>10} {'false PASS':>10}   "
          f"{'PASS at no gap':>14} {'FAIL at twice':>13}")
    worst = 0.
    for kind, tolerance, (n1, n2) in product(('difference', 'ratio'), (.05, .1, .2, .5, .8, .9),
                                             sizes):
        if kind == 'ratio' and tolerance < .5 or QUICK and tolerance in (.05, .2): continue
        fail, passed = tables(n1, n2, tolerance, kind)
        high, low = other(GRID, tolerance, kind)
        wrong = []
        for table in (fail, passed):
            wrong.append(max(chances(table, n1, n2, high, low).max(),
                             chances(table, n1, n2, low, high).max()))
        worst = max(worst, *wrong)
        half = np.array([.5])
        twice = half - 2*tolerance if kind == 'difference' else half*tolerance**2
        found = chances(fail, n1, n2, half, twice)[0] if twice[0] >= 0 else np.nan
        power = chances(passed, n1, n2, half, half)[0], found
        print(f"{kind:>10} {tolerance:9} {n1:5,} {n2:5,} {wrong[0]:10.4f} {wrong[1]:10.4f}   "
              f"{power[0]:14.3f} {power[1]:13.3f}", flush=True)
    print(f"worst {worst:.4f}")
    return worst <= .05

def said(low, rate, gap, sizes, tolerance, kind, draws):
    "How often each verdict is given where the groups `low` lie `gap` below the others"
    rates = np.where(low, rate - gap if kind == 'difference' else rate*gap, rate)
    return verdict_chances(rates, sizes, tolerance=tolerance, kind=kind, draws=draws,
                           seed=len(sizes))

def more_groups():
    worlds = {'3 even': [300]*3, '3 with a small one': [30, 300, 3000], '10 even': [300]*10,
              '10 uneven': [30, 30, 60, 100, 200, 400, 800, 1000, 2000, 5000],
              '10 large uneven': [300, 300, 600, 1000, 2000, 4000, 8000, 10_000, 20_000, 50_000]}
    if not QUICK: worlds['50 even'] = [1000]*50
    print(f"\nMore groups, {DRAWS:,} samples: gap = tolerance. The smallest group is the odd one "
          f"out, or half of the groups are low")
    print(f"{'groups':>20} {'kind':>10} {'tol.':>5} {'rate':>5} {'odd':>8} {'false FAIL':>10} "
          f"{'false PASS':>10}   {'PASS at no gap':>14} {'FAIL at twice':>13}")
    worst = 0.
    for (name, sizes), (kind, tolerance), rate, odd in product(worlds.items(),
                                                               (('difference', .1), ('ratio', .8)),
                                                               (.15, .5, .9),
                                                               ('smallest', 'half', 'largest')):
        g = len(sizes)
        if g == 50 and (odd != 'half' or rate != .5): continue
        low = {'smallest': np.arange(g) == 0, 'half': np.arange(g) % 2 == 0,
               'largest': np.arange(g) == g - 1}[odd]
        wrong = said(low, rate, tolerance, sizes, tolerance, kind, DRAWS)
        twice = 2*tolerance if kind == 'difference' else tolerance**2
        power = (said(low, rate, 0. if kind == 'difference' else 1., sizes, tolerance, kind,
                      400)['pass'],
                 said(low, rate, twice, sizes, tolerance, kind, 400)['fail'] if rate >= twice
                 or kind == 'ratio' else np.nan)
        worst = max(worst, wrong['fail'], wrong['pass'])
        print(f"{name:>20} {kind:>10} {tolerance:5} {rate:5} {odd:>8} {wrong['fail']:10.4f} "
              f"{wrong['pass']:10.4f}   {power[0]:14.3f} {power[1]:13.3f}", flush=True)
    print(f"worst {worst:.4f} (bar .05, less two Monte-Carlo errors: {ALLOWED:.4f})")
    return worst <= ALLOWED

def asked(rng, draws, n, rate, share, spread):
    """Rows, weights and squared weights, [sample, no or yes]: everybody is asked with a chance,
    positives with `share` times it, and weighs one over it"""
    yes, no = rate*min(share, 1), (1 - rate)*min(1/share, 1)
    people = round(n/(yes + no))
    k = rng.binomial(people, yes, draws)
    k = np.stack([rng.binomial(people - k, no/(1 - yes)), k], 1)
    weight = np.array([max(share, 1), max(1/share, 1)])
    if not spread: return k, k*weight, k*weight**2
    shape = (draws, 2, k.max())
    w = np.exp(np.sqrt(np.log1p(spread**2))*rng.standard_normal(shape))
    w = np.where(np.arange(k.max()) < k[..., None], w, 0)*weight[:, None]
    return k, w.sum(2), (w**2).sum(2)

YES = np.array([False, True])

def judged(groups, rate, gap, way, draws):
    "How often an interval holds the rate, bounds the gap, and a verdict at the edge is wrong"
    p = np.stack([w[:, 1]/w.sum(1) for _, w, _ in groups], 1)
    if way == 'Kish':
        n, df = np.stack([effective_size(w.sum(1), q.sum(1)) for _, w, q in groups], 1), None
        own = n
    else:
        both = tuple(np.concatenate(parts) for parts in zip(*groups, strict=True))
        n, df = (np.reshape(v, (2, -1)).T for v in linearized_size(*both, YES))
        own = student_size(n, df)
    low, high = wilson(p*own, own)
    held = ((low <= rate) & (rate <= high))[:, 0].mean()
    bound, fail, passed = 0, [0, 0], [0, 0]
    edges = dict(difference=gap, ratio=rate/(rate + gap))
    for i in range(draws):
        more = {} if df is None else dict(df=df[i])
        low, high = gap_bounds(p[i], n[i], **more)
        bound += low <= gap <= high
        for k, (kind, edge) in enumerate(edges.items()):
            said = gap_verdict(p[i], n[i], tolerance=edge, kind=kind, family=2, **more)
            fail[k] += said == 'fail'
            passed[k] += said == 'pass'
    return held, bound/draws, max(fail)/draws, max(passed)/draws

def weighted():
    "Weights that the outcome made: positives asked 1 in 10, 1 in 4, or negatives 1 in 10"
    draws, worst = (200, [1., 1., 0., 0.]) if QUICK else (1_000, [1., 1., 0., 0.])
    print(f"\nWeights that depend on the outcome, {draws:,} samples of two groups, gap = tolerance "
          "= .1 (or the ratio that it is): the rate held, the gap held, false FAIL and false PASS")
    print(f"{'asked':>12} {'spread':>6} {'n':>5} {'rate':>4}   {'linearized':^27}   {'Kish':^27}")
    for share, spread, n, rate in product((.1, .25, 10), (0, 1), (150, 400, 1500), (.1, .3, .6)):
        if n == 1500 and spread or QUICK and n == 1500: continue
        rng = np.random.default_rng(17)
        groups = [asked(rng, draws, n, q, share, spread) for q in (rate, rate + .1)]
        if min(g[0][:, 1].mean() for g in groups) < 5: continue # Too few to speak of
        if min(g[0][:, 0].mean() for g in groups) < 5: continue
        ours, kish = (judged(groups, rate, .1, way, draws) for way in ('linearized', 'Kish'))
        ends = zip(worst, ours, (min, min, max, max), strict=True)
        worst = [end(a, b) for a, b, end in ends]
        print(f"{'yes' if share < 1 else 'no':>5} 1 in {max(share, 1/share):<2.0f} {spread:6} "
              f"{n:5} {rate:4}   " + '   '.join(' '.join(f'{v:6.3f}' for v in said)
                                          for said in (ours, kish)), flush=True)
    slack = 3*np.sqrt(.05*.95/draws)
    print(f"worst: rate {worst[0]:.3f} (bar .94 less {slack:.3f}), gap {worst[1]:.3f} (.95), false "
          f"FAIL {worst[2]:.3f}, false PASS {worst[3]:.3f} (.05)")
    held = worst[0] >= .94 - slack and worst[1] >= .95 - slack
    return held and max(worst[2:]) <= .05 + slack

def families(rng, many, rate, uneven, together):
    "Clusters in which answers tend to go together, as counts of one group"
    size = rng.poisson(10*np.exp(uneven*rng.standard_normal(many))) + 1
    follow = rng.binomial(size, together**.5)
    yes = np.where(rng.random(many) < rate, follow, 0) + rng.binomial(size - follow, rate)
    ids, cell = np.tile(np.arange(many), 2), np.repeat([5, 4], many)
    n = np.zeros((1, 3, 2), int)
    n[0, 2] = (size - yes).sum(), yes.sum()
    of = cluster_cells(ids, cell, np.r_[yes, size - yes]*1.)
    return Counts(attributes=('all',), groups=(('all',),), n=n, weight=n*1., weight_sq=n*1.,
                  clusters=of)

def clusters():
    "Clusters, even and uneven; those worth fewer than thirty equal ones no policy judges"
    draws, worst = 200 if QUICK else 1_500, 1.
    print(f"\nClusters, {draws:,} samples: coverage of a rate, and what the clusters are worth")
    for together, (many, uneven), rate in product((.1, .3, 1.), ((30, 0), (60, 0), (60, 1),
                                                  (60, 1.5), (200, 1), (200, 1.5)), (.1, .3, .5)):
        rng, held, worth = np.random.default_rng(23), 0, []
        for _ in range(draws):
            counts = families(rng, many, rate, uneven, together)
            of = clustered(counts, 'selection_rate')
            value, size = counts.n[0, 2, 1]/counts.n.sum(), student_size(of.size, of.df)[0]
            low, high = wilson(value*size, size)
            held += low <= rate <= high
            worth.append(of.effective[0])
        worst = min(worst, held/draws)
        print(f"together {together}, {many:3} clusters, uneven {uneven:3}, worth "
              f"{np.median(worth):5.1f}, rate {rate}: {held/draws:.3f}", flush=True)
    slack = 3*np.sqrt(.06*.94/draws)
    print(f"worst {worst:.3f} (bar .94 less {slack:.3f})")
    return worst >= .94 - slack

ERRORS = dict( # What is drawn, its mean, and rows from which on a sample shows what there is
    normal=(lambda rng, shape: .3 + rng.standard_normal(shape), .3, 30),
    lognormal=(lambda rng, shape: np.exp(rng.standard_normal(shape)), np.exp(.5), 30),
    rare=(lambda rng, shape: .1*rng.standard_normal(shape) + (rng.random(shape) < .05)
          *np.exp(2 + rng.standard_normal(shape)), .05*np.exp(2.5), 60))

def mean_bounds(x, error):
    "Mean, lower and upper limit of each sample"
    off, n, level = x - x.mean(1, keepdims=True), np.full(len(x), x.shape[1]), 1 - 2*error
    carried = carriers((off**2).sum(1), (off**3).sum(1))
    plain = mean_limits(n, x.sum(1), (x*x).sum(1), level)
    return tuple(zip(plain, stretched(*plain, carried, level), strict=True))

def means():
    "Means that few rows carry: a group of errors near 0 beside one with a tail, gap = tolerance"
    draws, worst = 1_000 if QUICK else 10_000, 0.
    print(f"\nMeans of errors, {draws:,} samples: false FAIL, false PASS; by Student's interval")
    for (name, (draw, mean, least)), n in product(ERRORS.items(), (30, 60, 200, 1000)):
        rng, shape = np.random.default_rng(29), (draws, n)
        b, a, wrong = draw(rng, shape), .1*rng.standard_normal(shape), []
        for which in (1, 0):
            (pa, la, ha), (pb, lb, hb) = ([v[which] for v in mean_bounds(x, .05)] for x in (a, b))
            passed = pb - pa + np.hypot(hb - pb, pa - la) <= mean
            strict = ([v[which] for v in mean_bounds(x, .025)] for x in (a, b))
            (pa, la, ha), (pb, lb, hb) = strict
            wrong += [(pb - pa - np.hypot(pb - lb, ha - pa) > mean).mean(), passed.mean()]
        if n >= least: worst = max(worst, *wrong[:2])
        print(f"{name:>10} {n:5,}: " + ' '.join(f'{v:7.4f}' for v in wrong), flush=True)
    slack = 3*np.sqrt(.05*.95/draws)
    print(f"worst {worst:.4f} (bar .05 with {slack:.3f})")
    return worst <= .05 + slack

def level_of_the_test():
    print("\nAll rates are equal: how often does the test say p ≤ .05?")
    rng, worst, runs = np.random.default_rng(3), 0., 500 if QUICK else 4000
    for sizes, p in product(([10, 10], [30, 300], [50]*5, [10, 30, 100, 300, 1000]), (.02, .1, .5)):
        n = np.array(sizes)
        share = np.mean([equality_test(k, n, seed=i, draws=199) <= .05 for i,
                         k in enumerate(rng.binomial(n, p, size=(runs, len(n))))])
        worst = max(worst, share)
        print(f"{str(sizes):>26} p = {p:<4}: {share:.4f}")
    return worst <= .05 + 3*np.sqrt(.05*.95/runs)

def variance_between():
    print(f"\nVariance between groups: bias over its own standard error, naive and corrected "
          f"({DRAWS:,} samples)")
    rng, worst = np.random.default_rng(4), 0.
    for g, n, spread in product((2, 5, 10, 50), (10, 100, 1000), (0., .05)):
        rates = .3 + spread*np.linspace(-1, 1, g)
        sizes = np.maximum(5, np.round(n*np.geomspace(.3, 3, g))).astype(int)
        draws = rng.binomial(sizes, rates, size=(DRAWS, g))
        found = np.array([between_groups(k, sizes) for k in draws[:4000 if QUICK else DRAWS]])
        naive = (draws/sizes).var(1, ddof=1)
        truth = rates.var(ddof=1)
        bias, root = (found.mean(0) - [truth, np.sqrt(truth)])/found.std(0)
        worst = max(worst, abs(bias))
        print(f"{g:3} groups of about {n:5}, true root {np.sqrt(truth):.3f}: naive "
              f"{(naive.mean() - truth)/naive.std():6.2f}, corrected {bias:6.3f}; its root "
              f"{root:6.2f}")
    return worst <= .05

def planner():
    print("\nThe planner: rows for a power of .8, what 20,000 simulated audits of that size give, "
          "and the textbook's number")
    worst = 0.
    plans = [(.5, .1, 0., (.5, .5), 'difference'), (.3, .1, 0., (.9, .1), 'difference'),
             (.5, .2, .1, (.5, .5), 'difference'), (.5, 0., .1, (.5, .5), 'difference'),
             (.3, .15, .05, (.5, .3, .15, .05), 'difference'), (.3, 0., .1, (.25,)*4, 'difference'),
             (.1, .05, 0., (.5, .5), 'difference'),
             (.9, .2, .1, (.7, .3), 'difference'), (.5, .6, .8, (.5, .5), 'ratio'),
             (.5, 1., .8, (.5, .5), 'ratio'), (.2, .5, .8, (.6, .2, .2), 'ratio')]
    for rate, gap, tolerance, shares, kind in plans:
        rows = sample_size(rate, gap, tolerance, shares, kind=kind)
        rates = np.where(np.arange(len(shares)) == np.argmin(shares),
                         rate - gap if kind == 'difference' else rate*gap, rate)
        want = 'fail' if (gap > tolerance) == (kind == 'difference') else 'pass'
        power = verdict_chances(rates, np.round(rows*np.array(shares)).astype(int),
                                tolerance=tolerance, kind=kind, draws=20_000, seed=9)[want]
        worst = max(worst, abs(power - .8))
        plain = f"{two_proportions(rate, gap):7,}" if tolerance == 0 and shares == (.5, .5) else ''
        print(f"{want} {kind:>10} {gap} against {tolerance}, rate {rate}, shares {shares}: "
              f"{rows:7,} rows, power {power:.3f} {plain}", flush=True)
    print(f"\nSmallest detectable gap: power found in {DRAWS:,} simulated audits")
    for sizes, rate in (([500, 500], .5), ([100, 1000], .2), ([300]*5, .3), ([1000, 30, 30], .5)):
        gap = detectable_gap(sizes, rate)
        order = np.argsort(sizes)
        rates = np.full(len(sizes), rate); rates[order[0]] -= gap/2; rates[order[1]] += gap/2
        print(f"{str(sizes):>26} rate {rate}: {gap:.3f}, power "
              f"{verdict_chances(rates, sizes, tolerance=0, draws=DRAWS)['fail']:.3f}")
    return worst <= .02

PARTS = (two_groups, more_groups, weighted, clusters, means, level_of_the_test, variance_between,
         planner)

if __name__ == '__main__':
    named = [f for f in PARTS if f.__name__ in sys.argv] or PARTS
    fine = [f() for f in named]
    print("\nEvery bar holds" if all(fine) else f"\nSOME BAR FALLS SHORT: {fine}")
    sys.exit(not all(fine))
