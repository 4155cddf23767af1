"The largest gap: against scipy and statsmodels, by enumeration, and where approximations give way"
from itertools import product

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from dlcourse.core.errors import InputError
from dlcourse.evaluation.intervals import (
    clopper_pearson,
    mover_difference,
    mover_ratio,
    newcombe_difference,
)
from dlcourse.fairness.bounds import equality_doubt, gap_bounds, gap_verdict, measure_gaps
from dlcourse.fairness.counting import count_groups
from dlcourse.fairness.groups import disparities, rates
from dlcourse.fairness.melding import melded
from dlcourse.fairness.uncertainty import (
    between_groups,
    correlated_difference,
    correlated_ratio,
    equality_test,
    judge_bounds,
    largest_z,
    resample,
)

# ---- limits of two groups


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400), st.floats(0, 1), st.floats(0, 1),
       st.floats(.5, .999))
def test_without_correlation_it_is_mover(n1, n2, f1, f2, level):
    k1, k2 = round(f1*n1), round(f2*n2)
    a, b = clopper_pearson(k1, n1, level), clopper_pearson(k2, n2, level)
    np.testing.assert_allclose(correlated_difference(k1/n1, k2/n2, a, b),
                               mover_difference(k1/n1, k2/n2, a, b), atol=1e-12)
    np.testing.assert_allclose(correlated_ratio(k1/n1, k2/n2, a, b),
                               mover_ratio(k1/n1, k2/n2, a, b), rtol=1e-6, atol=1e-12)


def test_a_correlated_ratio_is_where_the_difference_vanishes():
    "By definition: the limit of p1 - r p2 is 0 at the limit r of the ratio"
    rng = np.random.default_rng(0)
    for _ in range(100):
        p1, p2, rho = rng.uniform(.05, .95, 2).tolist() + [rng.uniform(-.9, .9)]
        a, b = clopper_pearson(p1*80, 80), clopper_pearson(p2*50, 50)
        low, high = correlated_ratio(p1, p2, a, b, rho)
        for r, side in ((low, 0), (high, 1)):
            if 0 < r < np.inf:
                assert abs(correlated_difference(p1, r*p2, a, (r*b[0], r*b[1]), rho)[side]) < 1e-9


def test_correlation_is_worth_what_simulation_says():
    "Two groups in the same 200 clusters: nominal coverage with the correlation, too much without"
    rng, held = np.random.default_rng(1), np.zeros(2)
    for _ in range(400):
        judge = np.clip(.5 + .18*rng.standard_normal(200), .02, .98)
        x, y = rng.binomial(5, judge), rng.binomial(5, judge)
        p, q = x.mean()/5, y.mean()/5
        c = np.cov(x/5, y/5)/200
        effective = [v*(1 - v)/c[i, i] for i, v in enumerate((p, q))]
        limits = [clopper_pearson(v*e, e) for v, e in zip((p, q), effective, strict=True)]
        for i, rho in enumerate((c[0, 1]/np.sqrt(c[0, 0]*c[1, 1]), 0.)):
            low, high = correlated_difference(p, q, *limits, rho)
            held[i] += low <= 0 <= high
    assert .92 <= held[0]/400 <= .985 and held[1]/400 > .985


def test_newcombe_is_that_of_statsmodels():
    from statsmodels.stats.proportion import confint_proportions_2indep
    for k1, n1, k2, n2 in ((5, 10, 3, 30), (0, 12, 7, 9), (56, 70, 48, 80)):
        np.testing.assert_allclose(newcombe_difference(k1, n1, k2, n2),
                                   confint_proportions_2indep(k1, n1, k2, n2, method='newcomb'),
                                   atol=1e-12)


def test_melding_at_no_gap_is_fishers_exact_test():
    rng = np.random.default_rng(2)
    for _ in range(60):
        n, m = rng.integers(2, 300, 2)
        a, b = rng.integers(0, n + 1), rng.integers(0, m + 1)
        want = stats.fisher_exact([[a, n - a], [b, m - b]], 'less').pvalue
        assert melded(a/n, n, b/m, m) == pytest.approx(want, rel=2e-3, abs=1e-9)


def test_melding_is_its_integral():
    "By quadrature of two Beta distributions, also far from each other in size, and in the tails"
    from scipy.integrate import quad
    for k1, n1, k2, n2, x in ((5, 10, 300, 1000, .5), (300, 1000, 5, 10, .1),
                              (1, 100_000, 3, 10, -.05), (10, 10, 3, 50, .99), (2, 30, 0, 10, .2)):
        a = stats.beta(k1 + 1, n1 - k1) if k1 < n1 else None
        if k2 == 0: want = a.sf(x)
        elif a is None: want = stats.beta(k2, n2 - k2 + 1).cdf(1 - x)
        else:
            def f(z, a=a, b=stats.beta(k2, n2 - k2 + 1), x=x):
                return stats.norm.pdf(z)*a.sf(x + b.ppf(stats.norm.cdf(z)))
            want = quad(f, -8, 8, limit=500, points=np.linspace(-7, 7, 29))[0]
        assert melded(k1/n1, n1, k2/n2, n2, x) == pytest.approx(want, rel=.03, abs=1e-7)


@pytest.mark.parametrize('n1, n2', [(10, 10), (30, 10), (100, 10), (30, 30)])
@pytest.mark.parametrize('error', [.05, .025, .05/90])
def test_melding_never_misses_too_often(n1, n2, error):
    "Enumerated, in the corners where MOVER misses up to eighty times as often as it may"
    a, b = np.arange(n1 + 1), np.arange(n2 + 1)
    p1, n_1, p2, n_2 = (v.ravel() for v in np.broadcast_arrays(a[:, None]/n1, float(n1), b[None]/n2,
                                                               float(n2)))
    mover = correlated_difference(a[:, None]/n1, b[None]/n2,
                                  [v[:, None] for v in clopper_pearson(a, n1, 1 - 2*error)],
                                  clopper_pearson(b, n2, 1 - 2*error))[1]
    worst = 0.
    for p, q in ((.97, .03), (.95, .03), (.5, .03), (.99, .01), (.4, .05), (.95, .45)):
        weight = np.outer(stats.binom.pmf(a, n1, p), stats.binom.pmf(b, n2, q))
        missed = (melded(p1, n_1, p2, n_2, p - q) <= error).reshape(weight.shape)
        assert weight[missed].sum() <= error*1.06 # The last places are the quadrature's
        worst = max(worst, weight[mover < p - q - 1e-12].sum()/error)
    assert worst > 1, "and MOVER alone does miss too often somewhere"


# ---- the largest gap

def test_bounds_of_nothing_and_of_everything():
    assert gap_bounds([0., 0.], [5, 5]) == (0., pytest.approx(1 - .025**(1/5), abs=1e-6))
    assert gap_bounds([0., 0.], [5, 5], kind='ratio') == (0., 1.)
    low, high = gap_bounds([0., 1.], [50, 50])
    assert .8 < low < 1 and high == 1
    low, high = gap_bounds([0., 1.], [50, 50], kind='ratio')
    assert low == 0 and 0 < high < .2


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 500), st.floats(0, 1)), min_size=2, max_size=6),
       st.sampled_from(['difference', 'ratio']))
@example([(1, 0.), (1, 0.), (18, .75), (21, 0.), (66, .0625)], 'difference') # Two pairs, half each
@example([(1, 1.), (1, 1.), (18, .25), (21, 1.), (66, .9375)], 'ratio')
def test_bounds_hold_the_plug_in_gap_and_agree_with_the_verdict(groups, kind):
    n = np.array([g[0] for g in groups], float)
    p = np.round([g[1]*g[0] for g in groups])/n
    low, high = gap_bounds(p, n, kind=kind)
    seen = np.ptp(p) if kind == 'difference' else p.min()/p.max() if p.max() else 1.
    assert 0 <= low <= seen + 1e-9 and seen - 1e-9 <= high <= 1
    family = len(n)*(len(n) - 1)
    # Errs by .025 to each side, as the bounds do
    def verdict(t): return gap_verdict(p, n, tolerance=t, kind=kind, family=family, level=.975)
    worse, better = (low - 1e-4, high + 1e-4) if kind == 'difference' else (high + 1e-4, low - 1e-4)
    if 0 <= worse <= 1: assert verdict(worse) == 'fail'
    if 0 <= better <= 1: assert verdict(better) == 'pass'
    inside = (low + high)/2
    if high - low > 1e-3: assert verdict(inside) == 'insufficient evidence'


def test_bounds_cover_where_the_bootstrap_never_does():
    rng, n, held = np.random.default_rng(3), np.array([30, 100, 300, 1000, 50]), 0
    for k in rng.binomial(n, .3, size=(200, 5)): held += gap_bounds(k/n, n)[0] <= 1e-12
    assert held >= .95*200


def test_error_rates_at_the_tolerance():
    "At a true gap of exactly the tolerance neither verdict may be wrong more than 5 % of the time"
    rng, sizes = np.random.default_rng(0), np.array([60., 400., 1000.])
    said = [gap_verdict(rng.binomial(sizes.astype(int), [.3, .4, .4])/sizes, sizes, tolerance=.1,
                        kind='difference', family=6) for _ in range(1000)]
    assert max(said.count('fail'), said.count('pass'))/1000 <= .05 + 2*(.05*.95/1000)**.5


def test_verdicts_of_clear_cases():
    def verdict(values, n, tolerance=.1, kind='difference'):
        return gap_verdict(np.array(values, float), np.full(len(values), float(n)),
                           tolerance=tolerance, kind=kind, family=len(values)*(len(values) - 1))
    assert [verdict([.5, .9], n) for n in (5, 500)] == ['insufficient evidence', 'fail']
    assert verdict([.5, .51], 20_000) == 'pass'
    assert verdict([.5, .51], 50) == 'insufficient evidence'
    assert verdict([.5, .3], 500, .8, 'ratio') == 'fail'
    assert verdict([.5, .5], 20_000, .8, 'ratio') == 'pass'
    nobody = verdict([0., 0.], 50, .8, 'ratio')
    assert nobody == 'insufficient evidence', "0 of 50 twice do not show that the ratio is near 1"
    assert verdict([0., 0.], 50, 0., 'ratio') == 'pass'
    assert verdict([0., 1.], 3, 1.) == 'pass', "a tolerance of everything tolerates everything"
    assert verdict([.2, .5, .9], 400, 0.) == 'fail'
    assert verdict([.5]*3, 10**6,
                   0.) == 'insufficient evidence', "no sample shows that rates are equal"


def test_a_correlation_matrix_of_zeros_is_mover_alone():
    p, n = np.array([.2, .35, .3]), np.array([80., 120., 60.])
    low, high = gap_bounds(p, n, correlation=np.eye(3))
    used = gap_bounds(p, n)
    assert used[0] <= low and high <= used[1] and np.ptp(used) < 1.1*(high - low)
    assert gap_bounds(p, n, correlation=np.full((3, 3), .5))[1] < high


def test_deciding_is_never_empty():
    assert judge_bounds(np.array([]), np.array([]), .1) == 'insufficient evidence'


# ---- the test of equality

def exact(k, n):
    "Every way to deal the successes out, with its probability"
    tables = np.array([t for t in product(*(range(min(m, sum(k)) + 1) for m in n))
                       if sum(t) == sum(k)])
    p = stats.multivariate_hypergeom.pmf(tables, n, sum(k))
    return p[largest_z(tables, np.array(n)) >= largest_z(np.array(k), np.array(n))*(1 - 1e-9)].sum()


@pytest.mark.parametrize('k, n',
                         [([3, 9], [12, 12]), ([1, 6], [5, 9]), ([0, 4, 5], [6, 6, 8]),
                          ([2, 2, 2], [5, 5, 5]), ([1, 5, 2, 0], [4, 6, 3, 5])])
def test_equality_is_the_permutation_test(k, n):
    want = min(exact(k, n), 1.)
    assert equality_test(k, n, draws=19_999) == pytest.approx(want,
                                                              abs=4*(want*(1 - want)/20_000)**.5
                                                              + 1e-4)


def test_equality_against_fisher_and_chi_squared():
    assert equality_test([12, 5], [40, 40],
                         draws=19_999) == pytest.approx(stats.fisher_exact([[12, 28],
                                                                            [5, 35]]).pvalue,
                                                                            abs=.01)
    large = equality_test([5200, 5050], [10_000, 10_000], draws=19_999)
    assert large == pytest.approx(stats.chi2_contingency([[5200, 4800], [5050, 4950]],
                                                         correction=False).pvalue, abs=.006)


def test_equality_holds_its_level():
    rng, n = np.random.default_rng(99), np.array([10, 30, 100, 300])
    p = np.array([equality_test(k, n, seed=1000 + i, draws=199) for i,
                  k in enumerate(rng.binomial(n, .2, size=(1000, 4)))])
    for level in (.05, .2, .5):
        assert (p <= level).mean() <= level + 2.5*(level*(1 - level)/1000)**.5


def test_equality_at_the_edges():
    assert equality_test([0, 0, 0], [5, 6, 7]) == equality_test([5, 6], [5, 6]) == 1
    assert equality_test([0, 500], [500, 500], draws=99) == 1/100
    assert equality_test([2, 9], [20, 21], seed=3) == equality_test([2, 9], [20, 21], seed=3)
    huge = equality_test([10**9, 10**9 + 30_000], [2*10**9, 2*10**9], draws=2000)
    assert .3 < huge < .4, "2·(1 - Φ(.95)) is .34; more people than numpy deals out"
    assert equality_test(np.full(50, 30) + np.arange(50) % 2, np.full(50, 100), draws=500) == 1


# ---- spread and resampling

def test_the_corrected_variance_is_unbiased():
    rng, sizes, truth = np.random.default_rng(5), np.array([8, 20, 200, 50]), np.array([.1, .3, .5,
                                                                                        .4])
    found = np.array([between_groups(k, sizes)[0]
                      for k in rng.binomial(sizes, truth, size=(8000, 4))])
    assert abs(found.mean() - truth.var(ddof=1)) <= 3*found.std()/8000**.5


def test_resampling_is_the_bootstrap_of_rows():
    "Kolmogorov–Smirnov: the gap of resampled counts and of resampled rows have one distribution"
    rng = np.random.default_rng(6)
    group, y = rng.integers(0, 3, 300), rng.integers(0, 2, 300)
    def gap(t): return np.ptp(t[..., 1]/t.sum(-1), axis=-1)
    rows = []
    for _ in range(1500):
        i = rng.integers(0, 300, 300)
        rows.append(gap(np.bincount(2*group[i] + y[i], minlength=6).reshape(3, 2)))
    cube = resample(np.bincount(2*group + y, minlength=6).reshape(3, 2), gap, 1500, rng)
    assert stats.ks_2samp(rows, cube).pvalue > .001


# ---- into the audit

def people(n=3000, weight=False, cluster=False):
    rng = np.random.default_rng(7)
    t = dict(s=rng.choice(['a', 'b', 'c'], n), y=rng.integers(0, 2, n), p=rng.integers(0, 2, n),
             w=rng.random(n), c=rng.integers(0, 200, n))
    more = ({'sample_weight': 'w'} if weight else {}) | ({'cluster': 'c'} if cluster else {})
    return rates(count_groups(t, y_pred='p', y_true='y', sensitive_features=['s'], **more).counts,
                 ['count', 'selection_rate', 'true_positive_rate'])


def test_measuring():
    table = people()
    found = {(d.metric, d.kind): d for d in measure_gaps(disparities(table), table)}
    d, r = found['selection_rate', 'difference'], found['selection_rate', 'ratio']
    assert 0 <= d.low <= d.value <= d.high and d.between >= 0 and 0 < d.p_value <= 1
    assert d.level == .95
    assert r.low <= r.value <= r.high <= 1 and r.between is None and r.p_value is None
    narrow = {(d.metric, d.kind): d
              for d in measure_gaps(disparities(table), table,
                                    level=.5)}['selection_rate', 'difference']
    assert narrow.high - narrow.low < d.high - d.low


@pytest.mark.parametrize('how', ['weight', 'cluster'])
def test_no_shuffling_where_rows_are_not_alike(how):
    "The p-value is the error at which a tolerance of zero is failed"
    table = people(**{how: True})
    d = next(d for d in measure_gaps(disparities(table), table) if d.kind == 'difference')
    assert d.low == 0 and d.p_value > .05
    asked = []
    measure_gaps(disparities(table), table, correlation=lambda *a: asked.append(a) or np.eye(3))
    assert ('s', 'selection_rate', ('a', 'b', 'c')) in asked
    p, n, df = np.array([.3, .4]), np.array([200., 240.]), np.array([40., 90.])
    for more in ({}, dict(correlation=np.eye(2))):
        at = equality_doubt(p, n, df=df, **more)
        none = dict(tolerance=0., kind='difference', family=2, df=df, **more)
        assert gap_verdict(p, n, level=1 - at*1.01, **none) == 'fail'
        assert gap_verdict(p, n, level=1 - at*.99, **none) != 'fail'
    assert equality_doubt([.1, .9], [300, 300]) == 1e-4 and equality_doubt([.5, .5], [9, 9]) > .99


def test_a_size_that_is_an_estimate_makes_wider_bounds():
    p, n = np.array([.3, .4, .5]), np.full(3, 300.)
    known, few = (gap_bounds(p, n, df=np.full(3, df)) for df in (np.inf, 5.))
    assert known == gap_bounds(p, n) and few[0] < known[0] and few[1] > known[1]
    asked = dict(tolerance=.09, kind='difference', family=6)
    assert gap_verdict(p, n, **asked) == 'fail'
    assert gap_verdict(p, n, df=np.full(3, 5.), **asked) == 'insufficient evidence'


def test_rows_that_weigh_alike_are_shuffled_as_rows():
    t = dict(s=['a', 'b']*300, p=([1]*3 + [0]*3 + [1]*2 + [0]*2)*60, w=[2.5]*600)
    of = dict(y_pred='p', sensitive_features=['s'])
    tables = [rates(count_groups(t, **of, **more).counts, ['selection_rate'])
              for more in ({}, dict(sample_weight='w'))]
    alone, weighted = (measure_gaps(disparities(r), r)[0] for r in tables)
    assert alone.p_value == weighted.p_value and alone.low == pytest.approx(weighted.low)


def test_what_is_undefined_stays_so():
    table = rates(count_groups(dict(s=['a', 'b']*50, y=[0, 1]*50, p=[0, 1]*50), y_pred='p',
                               y_true='y', sensitive_features=['s']).counts, ['true_positive_rate'])
    assert all(d.low is None and d.reason for d in measure_gaps(disparities(table), table))


@pytest.mark.parametrize('how, said', [(dict(tolerance=np.nan, kind='difference'), 'tolerance'),
                                       (dict(tolerance=-.1, kind='ratio'), 'tolerance'),
                                       (dict(tolerance='.1', kind='difference'), 'tolerance'),
                                       (dict(tolerance=.1, kind='gap'), 'kind')])
def test_a_verdict_asks_for_a_tolerance_that_can_be(how, said):
    with pytest.raises(InputError, match=f'`{said}` must'):
        gap_verdict([.1, .2], [100, 100], family=2, **how)
