"""How often do the intervals hold the truth?   python benchmarks/coverage.py [--quick]

Deciding bounds (gap_bounds) must hold it in 95 % of samples in every cell; displayed ones (Wilson,
Newcombe) on average, and in .93 where five successes and five failures are expected. One and two
groups are enumerated; more are simulated, 20,000 samples a cell. Beside them the percentile
bootstrap of fairlearn's `ci_quantiles`: its law by resampling counts, and once by itself."""
import sys
from itertools import product

import numpy as np
from scipy.stats import binom

from dlcourse.evaluation.intervals import clopper_pearson, newcombe_difference, wilson
from dlcourse.fairness.bounds import gap_bounds
from dlcourse.fairness.melding import gap_doubt
from dlcourse.fairness.uncertainty import GAP_LIMITS, resample

QUICK = '--quick' in sys.argv
SIZES = (10, 30, 100) if QUICK else (10, 30, 100, 1000, 10_000, 100_000)
RATES = (.01, .05, .1, .3, .5)
DRAWS = 2_000 if QUICK else 20_000
LOWEST = .95 - 2*np.sqrt(.95*.05/DRAWS)

def likely(n, p):
    "The counts that occur, and their probabilities"
    low, high = binom.ppf(1e-8, n, p), binom.ppf(1 - 1e-8, n, p)
    k = np.arange(max(0, int(low)), min(n, int(high)) + 1)
    return k, binom.pmf(k, n, p)

# ---- one rate

def one_rate():
    rows = []
    for n, p in product(SIZES, RATES):
        k, w = likely(n, p)
        held = [(w*((low <= p) & (p <= high))).sum() for low,
                high in (clopper_pearson(k, n), wilson(k, n),
                         (binom.ppf(.025, n, k/n)/n, binom.ppf(.975, n, k/n)/n))]
        rows.append((n, p, *held))
    print("\nOne rate, enumerated: coverage of Clopper–Pearson, Wilson, percentile bootstrap (with "
          "endless replicates)")
    print(f"{'n':>7} {'p':>5} {'exact':>7} {'Wilson':>7} {'perc.':>7}")
    for n, p, *held in rows: print(f"{n:7,} {p:5} " + ' '.join(f"{v:7.3f}" for v in held))
    enough = [r for r in rows if r[0]*min(r[1], 1 - r[1]) >= 5]
    # The five rates above are points of a saw: average over it
    fine = np.linspace(.01, .5, 50 if QUICK else 491)
    saw = [(n, p, (w*((low <= p) & (p <= high))).sum()) for n in SIZES if n <= 1000 for p in fine
           for k, w in [likely(n, p)] for low, high in [wilson(k, n)]]
    mean, least = np.mean([c for *_, c in saw]), min(c for n, p, c in saw if n*p >= 5)
    print(f"Clopper–Pearson: least {min(r[2] for r in rows):.3f}. Wilson: least "
          f"{min(r[3] for r in enough):.4f} where 5 are expected; "
          f"over a fine grid of p (n to 1,000) mean {mean:.3f}, least {least:.3f}")
    return min(r[2] for r in rows) >= .95

# ---- two groups

def is_missed(low, high, truth, kind, claim):
    "Does a bound exclude the truth on the side where that is an error?"
    upward = (claim == 'fail') == (kind == 'difference')
    return low > truth + 1e-12 if upward else high < truth - 1e-12

def pair_tables(k1, n1, k2, n2, truth, kind):
    """Does each pair of counts leave the truth outside the bounds: as used (MOVER, and melded
    where that misses), and by MOVER alone"""
    shape, out = (len(k1), len(k2)), []
    for claim, error in (('fail', .025/2), ('pass', .025)):
        c1, c2 = (clopper_pearson(k, n, 1 - 2*error) for k, n in ((k1, n1), (k2, n2)))
        one = (k1/n1)[:, None], n1, [v[:, None] for v in c1]
        two = (k2/n2)[None], n2, [v[None] for v in c2]
        tables = []
        for (a, na, ca), (b, nb, cb) in ((one, two), (two, one)):
            low, high = GAP_LIMITS[kind](a, b, ca, cb)
            alone = np.broadcast_to(is_missed(low, high, truth, kind, claim), shape)
            used, at = alone.copy(), np.nonzero(alone)
            if 0 < len(at[0]) <= 5_000: # Beyond, MOVER alone: coverage is then understated
                a, b = ((np.broadcast_to(v, shape)[at], np.full(len(at[0]), float(n)))
                        for v, n in ((a, na), (b, nb)))
                used[at] = gap_doubt(a, b, truth, kind, claim) <= error
            tables.append((used, alone))
        # Some pair fails, every pair passes
        both = np.logical_or if claim == 'fail' else np.logical_and
        out.append([both(*pair) for pair in zip(*tables, strict=True)])
    return [fail | passed for fail, passed in zip(*out, strict=True)]

def two_groups():
    pairs = [(n, n) for n in SIZES] + [(10, 100), (30, 300), (10, 1000),
                                       *(() if QUICK else ((30, 10_000), (100, 100_000)))]
    print("\nTwo groups, enumerated: least coverage of the bounds that decide over the true rates, "
          "and mean and least of Newcombe's interval")
    print(f"{'n':>15} {'diff.':>7} {'at':>10} {'ratio':>7} {'at':>10} {'equal':>7} {'Newcombe':>9} "
          f"{'least*':>7}")
    worst, shown, beyond = 1., [], []
    for n1, n2 in pairs:
        least = {}
        equal, newc = [], []
        for p1, p2 in product(RATES, RATES):
            if n1 == n2 and p1 > p2: continue # The same by symmetry
            (k1, w1), (k2, w2) = likely(n1, p1), likely(n2, p2)
            for kind in ('difference', 'ratio'):
                truth = abs(p1 - p2) if kind == 'difference' else min(p1, p2)/max(p1, p2)
                c = 1 - w1 @ pair_tables(k1, n1, k2, n2, truth, kind)[0] @ w2
                least[kind] = min(least.get(kind, (2, None)), (c, (p1, p2)))
                if p1 == p2: equal.append(c)
            low, high = newcombe_difference(k1[:, None], n1, k2[None], n2)
            c = w1 @ ((low <= p1 - p2) & (p1 - p2 <= high)) @ w2
            newc.append(c)
            if min(n1*p1, n2*p2) >= 5: shown.append(c)
        worst = min(worst, *(c for c, _ in least.values()))
        at = {k: '{:g}, {:g}'.format(*p) for k, (_, p) in least.items()}
        print(f"{n1:7,} {n2:7,} {least['difference'][0]:7.3f} {at['difference']:>10} "
              f"{least['ratio'][0]:7.3f} {at['ratio']:>10} "
              f"{min(equal):7.3f} {np.mean(newc):9.3f} {min(newc):7.3f}")
    for (n1, n2), (p1, p2) in product([(10, 10), (30, 30), (10, 100), (100, 100)],
                                      product((.01, .05, .5, .95, .99), repeat=2)):
        (k1, w1), (k2, w2) = likely(n1, p1), likely(n2, p2)
        used, alone = (1 - w1 @ m @ w2
                       for m in pair_tables(k1, n1, k2, n2, abs(p1 - p2), 'difference'))
        beyond.append((used, alone, (n1, n2), (p1, p2)))
    used, alone = min(beyond), min(beyond, key=lambda b: b[1])
    print(f"Rates up to .99, differences: least {used[0]:.3f} as used; by MOVER alone "
          f"{alone[1]:.3f}, at n = {alone[2]}, p = {alone[3]}")
    worst = min(worst, used[0])
    print(f"Deciding: least {worst:.4f}. Newcombe where 5 are expected in each: mean "
          f"{np.mean(shown):.3f}, least {min(shown):.3f}")
    return worst >= .95

# ---- more groups

def world(name, k, n, p):
    "True rates and sizes of `k` groups"
    rates, sizes = np.full(k, p), np.full(k, n)
    if name == 'one apart': rates[0] = p/2
    if name == 'uneven':
        sizes = np.maximum(10, np.round(n*np.geomspace(.01, 1, k))).astype(int)
        rates[0] = rates[-1] = p/2
    return rates, sizes

def simulated(rates, sizes, kind, rng):
    """Share of samples whose bounds hold the truth, and their mean widths by MOVER: ours, and
    Bonferroni's on both sides"""
    g, difference = len(rates), kind == 'difference'
    truth = np.ptp(rates) if difference else rates.min()/rates.max()
    k = rng.binomial(sizes, rates, size=(DRAWS, g))
    p, m, rows = k/sizes, g*(g - 1), np.arange(DRAWS)
    def limits(error):
        out = np.empty((2, *k.shape))
        for i in range(g):
            seen, at = np.unique(k[:, i], return_inverse=True)
            out[:, :, i] = np.array(clopper_pearson(seen, sizes[i], 1 - 2*error))[:, at]
        return out
    strict, loose = limits(.025/m), limits(.025)
    pairs = [(np.full(DRAWS, i), np.full(DRAWS, j)) for i in range(g) for j in range(g) if i != j]
    # With equal sizes only the extremes matter: a bound grows with one rate, falls with the other
    even = [p.argmax(1), p.argmin(1)]
    if len(set(sizes.tolist())) == 1: pairs = [even if difference else even[::-1]]
    near, side = (np.maximum, 0) if difference else (np.minimum, 1)
    start = (0., -1.) if difference else (1., np.inf)
    tight, far, bonferroni = (np.full(DRAWS, start[i]) for i in (0, 1, 1))
    wrong = np.zeros(DRAWS, bool)
    for i, j in pairs:
        surely, everywhere = (GAP_LIMITS[kind](p[rows, i], p[rows, j], c[:, rows, i], c[:, rows, j])
                              for c in (strict, loose))
        tight, far = near(tight, surely[side]), near(far, everywhere[1 - side])
        bonferroni = near(bonferroni, surely[1 - side])
        out = np.flatnonzero(is_missed(*surely, truth, kind, 'fail') & ~wrong)
        if len(out): wrong[out] = doubt(k, sizes, i, j, out, truth, kind, 'fail') <= .025/m
    above = np.flatnonzero(is_missed(far, far, truth, kind, 'pass'))
    if len(above):
        widest = [int(rates.argmax()), int(rates.argmin())]
        i, j = (np.full(DRAWS, v) for v in (widest if difference else widest[::-1]))
        above = above[doubt(k, sizes, i, j, above, truth, kind, 'pass') <= .025]
    wrong[above] = True
    return 1 - wrong.mean(), np.abs(far - tight).mean(), np.abs(bonferroni - tight).mean()

def doubt(k, sizes, i, j, rows, truth, kind, claim):
    "Melded p-values of one pair per sample; equal pairs are worked out once"
    i, j = i[rows], j[rows]
    seen, at = np.unique(np.stack([k[rows, i], sizes[i], k[rows, j], sizes[j]]), axis=1,
                         return_inverse=True)
    return gap_doubt((seen[0]/seen[1], seen[1]), (seen[2]/seen[3], seen[3]), truth, kind,
                     claim)[at.ravel()]

def percentile(rates, sizes, kind, rng, samples=200, draws=200):
    "Coverage of the percentile bootstrap of the largest gap, as fairlearn draws it: all rows"
    truth = np.ptp(rates) if kind == 'difference' else rates.min()/rates.max()
    def gap(n):
        with np.errstate(invalid='ignore', divide='ignore'):
            p = n[..., 1]/n.sum(-1)
            low, high = np.nanmin(p, -1), np.nanmax(p, -1)
            return high - low if kind == 'difference' else low/high
    held = 0
    for k in rng.binomial(sizes, rates, size=(samples, len(sizes))):
        low, high = np.nanquantile(resample(np.stack([sizes - k, k], -1), gap, draws, rng),
                                   [.025, .975])
        held += low <= truth <= high
    return held/samples

def more_groups():
    rng = np.random.default_rng(0)
    print(f"\nMore groups, {DRAWS:,} samples a cell: least coverage over p = {RATES}, mean width "
          f"against Bonferroni's on both sides, percentile bootstrap")
    print(f"{'groups':>6} {'n':>7} {'world':>10} {'kind':>10} {'covers':>7} {'at p':>5} "
          f"{'width':>6} {'Bonf.':>6} {'perc. at .3':>11}")
    least, widest = 1., 0.
    for g in (5, 10) if QUICK else (5, 10, 50):
        for name, n, kind in product(('equal', 'one apart', 'uneven'), SIZES,
                                     ('difference', 'ratio')):
            if name == 'uneven' and (n < 1000 or g == 50 and n > 1000): continue
            cells = [(*simulated(*world(name, g, n, p), kind, rng), p)
                     for p in (RATES if name != 'uneven' else RATES[::2] if g < 50 else (.1,))]
            c, p = min((c, p) for c, *_, p in cells)
            width, bonferroni = (np.mean([x[i] for x in cells]) for i in (1, 2))
            least, widest = min(least, c), max(widest, width/bonferroni)
            boot = ''
            if n <= 10_000 and g <= 10:
                boot = f"{percentile(*world(name, g, n, .3), kind, rng):11.3f}"
            print(f"{g:6} {n:7,} {name:>10} {kind:>10} {c:7.4f} {p:5} {width:6.3f} "
                  f"{bonferroni:6.3f} {boot}", flush=True)
    print(f"Deciding: least {least:.4f} (bar {LOWEST:.4f}); widest against Bonferroni's "
          f"{widest:.3f}")
    return least >= LOWEST and widest <= 1

def melding_costs():
    "What the second, exact limit adds to the width"
    rng = np.random.default_rng(1)
    print("\nMean width of the bounds of the largest difference: by MOVER alone, and as used "
          "(never narrower than melded limits)")
    for g, n, p in product((2, 10), (30, 300, 3000), (.05, .5)):
        used, plain = [], []
        for k in rng.binomial(n, p, size=(20, g)):
            used.append(np.ptp(gap_bounds(k/n, np.full(g, n))))
            plain.append(np.ptp(gap_bounds(k/n, np.full(g, n), correlation=np.eye(g))))
        print(f"{g:4} groups of {n:5}, p = {p}: {np.mean(plain):.3f} {np.mean(used):.3f}")

def fairlearn_itself(runs=3 if QUICK else 12, n=500, groups=10):
    from fairlearn.metrics import MetricFrame, selection_rate
    rng, held, lows = np.random.default_rng(2), 0, []
    for i in range(runs):
        group, y = rng.integers(0, groups, n), (rng.random(n) < .3).astype(int)
        low, high = MetricFrame(metrics=selection_rate, y_true=y, y_pred=y,
                                sensitive_features=group, n_boot=100, ci_quantiles=[.025, .975],
                                random_state=i).difference_ci()
        held += low <= 0 <= high; lows.append(low)
    print(f"\nfairlearn itself, {groups} equal groups, n = {n}, 100 replicates: the true gap 0 was "
          f"held in {held} of {runs} intervals (mean lower end {np.mean(lows):.3f})")

if __name__ == '__main__':
    fine = [one_rate(), two_groups(), more_groups()]
    melding_costs(); fairlearn_itself()
    print("\nEvery cell holds" if all(fine) else "\nSOME CELL FALLS SHORT")
    sys.exit(not all(fine))
