"Rates, clusters and gaps: against fairlearn, statsmodels and the cases that other tools get wrong"
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from dlcourse.core.errors import InputError
from dlcourse.fairness.counting import count_groups
from dlcourse.fairness.groups import (
    METRICS,
    WITHHOLDING,
    clustered,
    disparities,
    equalized_odds_gap,
    group_name,
    rates,
)

NAMES = ['selection_rate', 'true_positive_rate', 'false_positive_rate', 'false_negative_rate',
         'precision_score', 'accuracy_score']


def people(n, seed, clusters=40):
    rng = np.random.default_rng(seed)
    t = pd.DataFrame(dict(g=rng.choice(list('abc'), n, p=[.6, .3, .1]), h=rng.choice(['x', 'y'], n),
                          y=rng.integers(0, 2, n), w=rng.random(n)*3 + .01, s=rng.normal(size=n),
                          id=rng.integers(0, clusters, n)))
    t['p'] = (rng.random(n) < .25 + .4*(t.id % 3 == 0) + .1*t.y).astype(int)
    return t


def by_name(found): return {(r.attribute, r.group, r.metric): r for r in found}


# ---- fairlearn

@settings(max_examples=25, deadline=None)
@given(st.integers(5, 250), st.integers(0, 10**6), st.booleans(), st.booleans())
def test_equal_to_fairlearn_with_weights_attributes_and_control(n, seed, weighted, control):
    "Control features are crossing: the gap within each level is one of that level's groups"
    from fairlearn import metrics as fm
    from sklearn import metrics as skm
    t = people(n, seed)
    if t.g.nunique() < 2 or t.h.nunique() < 2: return
    weighed = {'sample_weight': t.w} if weighted else {}
    functions = {m: getattr(fm, m, None) or getattr(skm, m) for m in NAMES}
    functions['precision_score'] = partial(skm.precision_score, zero_division=np.nan)
    frame = fm.MetricFrame(metrics=functions, y_true=t.y, y_pred=t.p,
                           sample_params={m: weighed for m in NAMES} if weighted else None,
                           sensitive_features=t[['g']] if control else t[['h', 'g']],
                           control_features=t[['h']] if control else None)
    counts = count_groups(t, y_pred='p', y_true='y', sensitive_features=['h', 'g'],
                          sample_weight='w' if weighted else None).counts
    found = rates(counts, NAMES)
    for r in (r for r in found if r.status == 'ok'):
        theirs = frame.by_group.loc[tuple(r.group.split(' × ')), r.metric]
        assert abs(r.value - theirs) <= 1e-12
    levels = [(None, found)]
    if control: levels = [(h, [r for r in found if r.group.startswith(f'{h} ')]) for h in 'xy']
    for level, some in levels:
        theirs = frame.difference(), frame.ratio()
        for d in disparities(some):
            if d.value is None or d.reason: continue
            value = theirs[d.kind == 'ratio']
            assert abs(d.value
                       - (value.loc[level, d.metric] if control else value[d.metric])) <= 1e-12


@settings(max_examples=30, deadline=None)
@given(st.integers(20, 250), st.integers(0, 10**6))
def test_equalized_odds_is_fairlearns_wherever_it_is_defined(n, seed):
    from fairlearn.metrics import equalized_odds_difference
    t = people(n, seed)
    found = rates(count_groups(t, y_pred='p', y_true='y', sensitive_features=['g', 'h'],
                               part=True).counts.by('g'), NAMES)
    ours = equalized_odds_gap(found, 'g')
    if ours is None or any(r.status != 'ok'
                           for r in found
                           if r.metric in ('true_positive_rate', 'false_positive_rate')):
        return
    assert abs(ours - equalized_odds_difference(t.y, t.p, sensitive_features=t.g)) <= 1e-12


def test_half_of_equalized_odds_is_not_equalized_odds():
    t = dict(g=['a', 'b']*60, y=[0, 0, 1, 0]*30, p=[0, 0, 1, 1]*30)
    assert equalized_odds_gap(rates(count_groups(t, y_pred='p', y_true='y',
                                                 sensitive_features=['g']).counts, NAMES),
                                                 'g') is None


# ---- clusters

@settings(max_examples=25, deadline=None)
@given(st.integers(60, 300), st.integers(0, 10**6), st.booleans(),
       st.sampled_from(['selection_rate', 'true_positive_rate', 'mean_prediction']))
def test_clusters_are_those_of_a_saturated_regression(n, seed, weighted, metric):
    """CR2 (Bell & McCaffrey 2002) written out with matrices: weighted least squares on a column of
    0 and 1 per group, each cluster's residuals through the root of its own part of the hat"""
    t = people(n, seed)
    counts = count_groups(t, y_pred='p', y_true='y', sensitive_features=['g'], score='s',
                          sample_weight='w' if weighted else None, cluster='id', part=True).counts
    ours = clustered(counts, metric)
    some = t[t.y == 1] if metric == 'true_positive_rate' else t
    if some.g.nunique() < counts.n.shape[0] or some.groupby('g').id.nunique().min() < 3: return
    y = (some.s if metric == 'mean_prediction' else some.p.astype(float)).to_numpy()
    if (some.assign(y=y).groupby('g').y.nunique() < 2).any(): return
    w = (some.w if weighted else some.w*0 + 1).to_numpy()
    x = pd.get_dummies(some.g).to_numpy(float)
    bread = np.linalg.inv(x.T @ (w[:, None]*x))
    left = y - x @ bread @ x.T @ (w*y)
    meat = 0.
    for who in some.id.unique():
        at = (some.id == who).to_numpy()
        hat = x[at] @ bread @ (w[at, None]*x[at]).T
        pull = (w[at, None]*x[at]).T @ np.linalg.solve(sqrtm(np.eye(at.sum()) - hat), left[at]).real
        meat = meat + np.outer(pull, pull)
    theirs = bread @ meat @ bread
    spreads = np.sqrt(np.outer(np.diag(theirs), np.diag(theirs)))
    np.testing.assert_allclose(ours.correlation, theirs/spreads, atol=1e-8)
    share = some.assign(w=w).groupby(['g', 'id']).w.sum()
    share = share/share.groupby('g').transform('sum')
    def powers(k): return (share**k).groupby('g').sum().to_numpy()
    assert ours.clusters.tolist() == some.groupby('g').id.nunique().tolist()
    np.testing.assert_allclose(ours.effective, 1/powers(2), rtol=1e-8)
    def total(v): return (v[:, None]*x).sum(0)
    spread = total(w*y**2)/total(w) - (total(w*y)/total(w))**2
    rows = [r.effective for r in rates(replace(counts, clusters=None), [metric])]
    size = np.minimum(spread/np.diag(theirs), rows)
    if metric != 'mean_prediction': # Two more people of the rarer outcome, and their clusters
        rate = total(w*y)/total(w)
        rare, whole = np.minimum(rate, 1 - rate), np.minimum(1/powers(2), size)
        size = (rare*size + 2)/(rare + 2/whole)
    np.testing.assert_allclose(ours.size, size, rtol=1e-8)
    assert (ours.df <= np.maximum(powers(2)**2/powers(4) - 1, 1) + 1e-6).all()


def test_clusters_where_no_variance_can_be_seen():
    "Everybody or nobody selected: worth as many as there are clusters, never more than the rows"
    t = dict(g=['a']*40 + ['b']*40 + ['c']*4 + ['d']*40, p=[0]*40 + [1]*40 + [1, 0]*2 + [1, 0]*20,
             id=[i//4 for i in range(40)]*2 + [99]*4 + [i//2 for i in range(40)])
    found = by_name(rates(count_groups(t, y_pred='p', sensitive_features=['g'],
                                       cluster='id').counts,
                          ['selection_rate']))
    of = {g: found['g', g, 'selection_rate'] for g in 'abcd'}
    assert [(of[g].effective, of[g].clusters) for g in 'abc'] == [(10., 10), (10., 10), (1., 1)]
    # Each pair is one of each, never worth more than its rows; and two who went as pairs are added
    assert of['d'].effective == pytest.approx((.5*40 + 2)/(.5 + 2/20))
    assert of['d'].clusters == 20 and of['d'].method == 'Wilson, cluster-robust size'
    assert of['a'].low == 0 and of['a'].high > .2


def test_rows_that_are_their_own_cluster_cost_little():
    t = people(5000, 1)
    t['id'] = np.arange(5000)
    counts = count_groups(t, y_pred='p', sensitive_features=['g'], cluster='id').counts
    found = clustered(counts, 'selection_rate')
    size, correlation = found.size, found.correlation
    np.testing.assert_allclose(size, counts.n.sum((1, 2)), rtol=.02)
    np.testing.assert_allclose(correlation, np.eye(3), atol=1e-12)


def test_clustered_needs_clusters():
    with pytest.raises(InputError, match="`counts` must have clusters; count with `cluster`"):
        clustered(count_groups(people(50, 0), y_pred='p', sensitive_features=['g']).counts,
                  'selection_rate')


def test_parts_that_share_clusters():
    "Parts with clusters in common have the size of the whole"
    t = people(900, 3)
    parts = [count_groups(x, y_pred='p', sensitive_features=['g', 'h'], cluster='id', part=True)
             for x in (t[:200], t[200:650], t[650:])]
    whole = count_groups(t, y_pred='p', sensitive_features=['g', 'h'], cluster='id')
    for by in (('g',), ('h',), ()):
        a, b = (clustered(c.by(*by), 'selection_rate')
                for c in (parts[0] + parts[1] + parts[2], whole))
        for k in ('size', 'df', 'correlation', 'clusters', 'effective'):
            np.testing.assert_allclose(getattr(a, k), getattr(b, k), rtol=1e-9)


def test_one_large_cluster_is_not_many():
    "Sixty-one clusters of which one holds half of the rows: judged as few, and wide"
    person = np.r_[np.repeat(np.arange(60), 10), np.full(600, 60)]
    p = (person % 3 == 0).astype(int)
    t = dict(g=['a']*1200 + ['b']*1200, p=[*p, *p], id=[*person, *(person + 61)])
    r = rates(count_groups(t, y_pred='p', sensitive_features=['g'], cluster='id').counts,
              ['selection_rate'])[0]
    assert r.clusters == 61 and r.effective_clusters == pytest.approx(1/(.25 + 60/120**2))
    assert r.df == 1 and r.effective < 8 and r.high - r.low > .95


# ---- weights that depend on the outcome

def yes_and_no(yes, no, heavy, metric='selection_rate', **more):
    "Two groups alike, whose yeses weigh `heavy`"
    t = dict(g=['a']*(yes + no) + ['b']*(yes + no), p=([1]*yes + [0]*no)*2, y=[1]*2*(yes + no),
             w=([heavy]*yes + [1.]*no)*2)
    return rates(count_groups(t, y_pred='p', y_true='y', sensitive_features=['g'],
                              sample_weight='w').counts, [metric], **more)[0]


def test_a_hundred_heavy_yeses_are_worth_no_more_than_a_hundred():
    r = yes_and_no(100, 2333, 10.)
    assert r.value == pytest.approx(.3, abs=1e-3) and r.method == 'Wilson, linearized size'
    assert r.effective == pytest.approx(456.6, abs=.05) and r.df is None and r.rows == 2433
    assert (r.low, r.high) == (pytest.approx(.260, abs=1e-3), pytest.approx(.344, abs=1e-3))
    said = yes_and_no(100, 2333, 10., independent=True)
    assert said.effective == pytest.approx(900.7, abs=.05) and 'Kish' in said.method
    tpr = yes_and_no(100, 2333, 10., 'true_positive_rate')
    assert tpr.effective == pytest.approx(r.effective), "the same people, all with label 1"
    assert yes_and_no(2333, 100, .1).effective > said.effective/2


def test_linearized_size_is_a_sandwich():
    "statsmodels: HC0 of weighted least squares on a constant, weights all different"
    rng = np.random.default_rng(3)
    t = pd.DataFrame(dict(p=rng.integers(0, 2, 300), g='a'))
    t['w'] = np.exp(rng.standard_normal(300))*np.where(t.p == 1, 5, 1)
    for metric in ('selection_rate', 'mean_prediction'):
        counts = count_groups(pd.concat([t, t.assign(g='b')]), y_pred='p', score='p',
                              sensitive_features=['g'], sample_weight='w').counts
        r = rates(counts, [metric])[0]
        fit = sm.WLS(t.p, np.ones(300), weights=t.w).fit(cov_type='HC0')
        variance = fit.cov_params().iloc[0, 0]
        assert r.value*(1 - r.value)/r.effective == pytest.approx(variance, rel=1e-9)
        assert r.df is not None and r.df < 299, "weights that vary leave the size uncertain"


def test_rows_that_weigh_alike_are_as_many_as_they_are():
    for w in (1., 2.5, .1):
        t = dict(g=['a']*40 + ['b']*40, p=[0]*40 + [1, 0]*20, w=[w]*80)
        a, b = rates(count_groups(t, y_pred='p', sensitive_features=['g'],
                                  sample_weight='w').counts, ['selection_rate'])
        assert (a.effective, b.effective, a.df, b.method) == (40., 40., None, 'Wilson')


def test_nobody_counted_is_as_uncertain_as_the_weight_of_the_missing():
    "Of thirty noes of weight 1 where a yes weighs 10 there may well be a tenth"
    t = dict(g=['a']*30 + ['b']*30, p=[0]*30 + [1]*5 + [0]*25, w=[1.]*30 + [10.]*5 + [1.]*25)
    a, _ = rates(count_groups(t, y_pred='p', sensitive_features=['g'], sample_weight='w').counts,
                 ['selection_rate'])
    assert a.value == 0 and a.effective == 3 and a.high > .5


# ---- edges

def test_a_group_without_weight_is_undefined():
    t = dict(g=['a']*40 + ['b']*40, p=[0, 1]*40, w=[0.]*40 + [1.]*40)
    a, b = rates(count_groups(t, y_pred='p', sensitive_features=['g'], sample_weight='w').counts,
                 ['selection_rate'])
    assert (a.status, a.value, a.reason) == ('undefined', None,
                                             "the weights of its denominator add up to 0")
    assert b.value == .5


def test_no_predicted_positives_no_precision():
    t = dict(g=['a']*40 + ['b']*40, y=[0, 1]*40, p=[0]*40 + [1]*40)
    found = by_name(rates(count_groups(t, y_pred='p', y_true='y', sensitive_features=['g']).counts,
                          NAMES))
    assert found['g', 'a', 'precision_score'].value is None
    assert found['g', 'b', 'precision_score'].value == .5


def test_a_gap_names_whom_it_leaves_out():
    t = dict(g=['a', 'b', 'c']*40, y=[1, 1, 0]*40, p=[1, 0, 1, 0, 1, 0]*20)
    d = next(d
             for d in disparities(rates(count_groups(t, y_pred='p', y_true='y',
                                                     sensitive_features=['g']).counts, NAMES))
                                                     if d.metric == 'true_positive_rate')
    assert d.value == 0 and d.reason == "without c, whose rate is not known"


def test_only_rates_have_ratios():
    "A mean score of −1 over one of 2 is no ratio of anything"
    t = dict(g=['a', 'b']*40, p=[0, 1]*40, s=[-1., 2.]*40)
    found = disparities(rates(count_groups(t, y_pred='p', sensitive_features=['g'],
                                           score='s').counts,
                              ['mean_prediction', 'selection_rate']))
    assert [(d.metric, d.kind) for d in found] == [('mean_prediction', 'difference'),
                                                   ('selection_rate', 'difference'),
                                                   ('selection_rate', 'ratio')]
    assert found[0].value == 3 and found[2].value == 0


def test_what_is_said_of_withholding():
    assert 'nobody\'s privacy' in WITHHOLDING and group_name(('a', None)) == 'a × (missing)'


# ---- COMPAS

def test_the_cohort_of_compas(real):
    """Barenstein 2019: whoever did not offend again was screened before April 2014;
    the base rate falls from 45 to 36 %, the error rates stay"""
    t = real('compas').to_pandas()
    day = t.compas_screening_date.astype(str)
    late = day >= '2014-04-02'
    assert len(t) == 7214 and t.two_year_recid[late].mean() == 1 and day.max() == '2014-12-31'
    cohort = t[day < '2014-04-01']
    assert round(t.two_year_recid.mean(), 3) == .451
    assert round(cohort.two_year_recid.mean(), 3) == .362
    def found(rows):
        return by_name(rates(count_groups(rows, y_pred='score_text', y_true='two_year_recid',
                                          sensitive_features=['race'],
                                          positive=['Medium', 'High']).counts,
                                          NAMES))
    before, after = found(t), found(cohort)
    for g in ('African-American', 'Caucasian'):
        key = 'race', g, 'false_positive_rate'
        assert abs(before[key].value - after[key].value) < .001
        key = 'race', g, 'precision_score'
        assert before[key].value - after[key].value > .08
    assert set(NAMES) < set(METRICS)


@pytest.mark.parametrize('many, together, rate', [(30, .3, .1), (60, .3, .05), (30, 1., .1)])
def test_rare_outcomes_that_whole_clusters_share_are_allowed_for(many, together, rate):
    "Often a sample shows none of the clusters that went together"
    rng, held = np.random.default_rng(6), 0
    for _ in range(200):
        size = rng.poisson(10, 2*many) + 1
        follow = rng.binomial(size, together**.5)
        yes = np.where(rng.random(2*many) < rate, follow, 0) + rng.binomial(size - follow, rate)
        person = np.repeat(np.arange(2*many), size)
        p = np.concatenate([np.arange(n) < k for n, k in zip(size, yes, strict=True)])
        table = dict(g=np.where(person % 2, 'a', 'b'), p=p.astype(int), id=person)
        counts = count_groups(table, y_pred='p', sensitive_features=['g'], cluster='id').counts
        held += sum(r.low <= rate <= r.high for r in rates(counts, ['selection_rate']))
    assert held/400 >= .95 - .03
