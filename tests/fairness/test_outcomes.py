"Classes, numbers and lists by group: against scikit-learn, fairlearn, pandas and loops, over engines, and at the edges"
import json

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest
from fairlearn.metrics import MetricFrame
from sklearn import metrics as sk

from dlcourse.core.errors import InputError
from dlcourse.fairness.groups import METRICS, rate_values
from dlcourse.fairness.outcomes import (
    audit_classes,
    audit_ranking,
    audit_regression,
    count_classes,
    mean_limits,
    query_sums,
    r_squared,
    resample_queries,
    rmse_limits,
    tied_exposure,
)

ENGINES = dict(dict=lambda t: t, pandas=pd.DataFrame, polars=pl.DataFrame, lazy=lambda t: pl.DataFrame(t).lazy(), arrow=lambda t: pl.DataFrame(t).to_arrow(),
               duckdb=lambda t: duckdb.connect().from_arrow(pl.DataFrame(t).to_arrow()))
ASKED = dict(query='query', score='score', sensitive='sex', relevance='merit')


def people(n=1_500, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 12, n)
    p = np.where(rng.random(n) < .7, y, rng.integers(0, 12, n))
    x = rng.normal(1_000, 20, n)
    return dict(sex=rng.choice(['Female', 'Male'], n), race=rng.choice(['A', 'B', 'C'], n), y=y, p=p, outcome=x, guess=x + rng.standard_t(5, n),
                w=rng.random(n) + .5, query=rng.integers(0, 60, n), score=rng.normal(0, 1, n).round(1), merit=rng.random(n).round(1))


def lists(t, group, k):
    "Brute force: mean over every place that a candidate may take among equals"
    out = {g: np.zeros(4) for g in sorted(set(t[group]))}
    for q in set(t['query']):
        at = np.flatnonzero(t['query'] == q)
        for i in at:
            above, tied = (t['score'][at] > t['score'][i]).sum(), (t['score'][at] == t['score'][i]).sum()
            ranks = [above + 1 + j for j in range(tied)]
            out[t[group][i]] += [1, np.mean([r <= k for r in ranks]), np.mean([1/np.log2(1 + r) for r in ranks]), t['merit'][i]]
    return out


@pytest.mark.parametrize('engine', ENGINES)
def test_classes_equal_fairlearn_and_scikit_learn(engine):
    t = people()
    counts = count_classes(ENGINES[engine](t), prediction='p', label='y', sensitive=['sex', 'race'])
    assert counts.classes == tuple(map(str, range(12))) and counts.n.sum() == counts.rows == 1_500
    for attribute in ('sex', 'race'):
        one = counts.by(attribute)
        for c in range(12):
            table = one.one_vs_rest(c).n
            for metric, f in (('true_positive_rate', sk.recall_score), ('precision_score', sk.precision_score)):
                theirs = MetricFrame(metrics=lambda a, b, f=f, c=c: f(a, b, average=None, labels=range(12))[c], y_true=t['y'], y_pred=t['p'],
                                     sensitive_features=t[attribute]).by_group if c < 2 else [
                    f(t['y'][t[attribute] == g], t['p'][t[attribute] == g], average=None, labels=range(12))[c] for (g,) in one.groups]
                np.testing.assert_allclose(rate_values(table, METRICS[metric]), np.asarray(theirs, float), rtol=0, atol=1e-12)
        for (g,) in one.groups:
            at = t[attribute] == g
            np.testing.assert_array_equal(one.confusion(g), sk.confusion_matrix(t['y'][at], t['p'][at], labels=range(12)))


def test_accuracy_weights_and_the_result():
    t = people()
    found = audit_classes(t, prediction='p', label='y', sensitive=['sex', 'race'], weight='w', min_count=1)
    for g in ('Female', 'Male'):
        at = t['sex'] == g
        v = found.get('accuracy_score', g)
        assert abs(v.value - sk.accuracy_score(t['y'][at], t['p'][at], sample_weight=t['w'][at])) < 1e-12 and v.low < v.value < v.high
        assert abs(found.get('true_positive_rate', g, '3').value - sk.recall_score(t['y'][at] == 3, t['p'][at] == 3, sample_weight=t['w'][at])) < 1e-12
    assert found.frame.columns[:4] == ['attribute', 'group', 'class', 'metric'] and json.loads(json.dumps(found.to_dict(), allow_nan=False))['rows'] == 1_500
    assert audit_classes(t, prediction='p', sensitive='sex').frame['metric'].unique().to_list() == ['selection_rate']
    with pytest.raises(InputError, match='there is no `x` of Female'): found.get('x', 'Female')


def test_class_findings_and_escaped_html():
    t = people(4_000)
    t['p'] = np.where((t['y'] == 8) & (t['sex'] == 'Female'), 1, t['p'])
    t['race'] = np.where(t['race'] == 'A', '<b>A</b>', t['race'])
    found = audit_classes(t, prediction='p', label='y', sensitive=['sex', 'race'])
    assert any(f.startswith("Class 8, true_positive_rate: 0.000 for Female and 0.6") for f in found.findings)
    assert not any('race' in f for f in found.findings)
    assert '<b>A' not in audit_classes(t, prediction='p', label='y', sensitive='race')._repr_html_()
    few = audit_classes(t, prediction='p', label='y', sensitive='sex', min_count=10_000)
    assert all(v.value is None and 'fewer than 10000' in v.reason for v in few.values) and not few.findings


def test_parts_add_up_and_missing_classes():
    t = people(600)
    whole = count_classes(t, prediction='p', label='y', sensitive=['sex', 'race'])
    both = count_classes({k: v[:200] for k, v in t.items()}, prediction='p', label='y', sensitive=['sex', 'race'])
    both += count_classes({k: v[200:] for k, v in t.items()}, prediction='p', label='y', sensitive=['sex', 'race'])
    assert (both.groups, both.classes, both.rows) == (whole.groups, whole.classes, 600)
    for k in ('group', 'label', 'prediction', 'n', 'weight'): np.testing.assert_array_equal(getattr(both, k), getattr(whole, k))
    u = dict(sex=['F', 'F', '', 'M', 'M'], y=['a', None, 'b', 'c', 'n/a'], p=['a', 'b', 'b', None, ' c '])
    with pytest.raises(InputError, match='`sex` is missing in 1 of 5 rows'): count_classes(u, prediction='p', label='y', sensitive='sex')
    kept = count_classes(u, prediction='p', label='y', sensitive='sex', missing='unknown', null=['n/a'])
    assert kept.groups == (('F',), ('M',), (None,)) and kept.dropped == 1 and (kept.label < 0).sum() == 2 and kept.one_vs_rest('c').n[1, 2, 1] == 1
    assert count_classes(u, prediction='p', label='y', sensitive='sex', missing='drop', null=['n/a']).n.sum() == 1
    with pytest.raises(InputError, match='`class_` must be one of a, b, c; got z'): kept.one_vs_rest('z')
    with pytest.raises(InputError, match='`group` must be one of F, M'): kept.confusion('X')
    with pytest.raises(InputError, match='`age` is none of the attributes'): kept.by('age')
    with pytest.raises(InputError, match='of the same attributes'): kept + whole
    with pytest.raises(InputError, match='1,500 different values'):
        count_classes(people() | dict(p=np.arange(1_500)), prediction='p', label='y', sensitive='sex')
    with pytest.raises(InputError, match='nothing is left'): count_classes(dict(sex=['F'], p=[None]), prediction='p', sensitive='sex', missing='drop')


@pytest.mark.parametrize('engine', ENGINES)
def test_regression_equals_pandas_and_scikit_learn(engine):
    t = people()
    found = audit_regression(ENGINES[engine](t), y_true='outcome', y_pred='guess', sensitive=['sex', 'race'])
    for attribute in ('sex', 'race'):
        for g in sorted(set(t[attribute])):
            at = t[attribute] == g
            y, p = t['outcome'][at], t['guess'][at]
            want = {'mean_prediction': p.mean(), 'mean_outcome': y.mean(), 'mean_error': (p - y).mean(), 'rmse': sk.root_mean_squared_error(y, p),
                    'mae': sk.mean_absolute_error(y, p), 'r2': sk.r2_score(y, p), 'share_above_median': (p > np.median(t['guess'])).mean(),
                    'prediction quantile 0.1': pd.Series(p).quantile(.1), 'error quantile 0.9': pd.Series(p - y).quantile(.9), 'error quantile 0.5': np.median(p - y)}
            for metric, value in want.items(): assert abs(found.get(metric, g).value - value) <= 1e-9*max(1, abs(value)), metric
            from scipy.stats import t as student
            half = student.ppf(.975, at.sum() - 1)*(p - y).std(ddof=1)/at.sum()**.5
            assert abs(found.get('mean_error', g).high - (p - y).mean() - half) < 1e-9


def test_regression_at_the_edges():
    t = people(300)
    t['outcome'] = np.where(t['sex'] == 'Male', 5., t['outcome'] + 1e4)
    found = audit_regression(t, y_true='outcome', y_pred='guess', sensitive='sex')
    assert found.get('r2', 'Male').value is None and 'no variance' in found.get('r2', 'Male').reason and found.get('r2', 'Female').value < 0
    assert found.findings[0].startswith('By sex, predictions err by') and json.dumps(found.to_dict(), allow_nan=False)
    same = audit_regression(people(400) | dict(guess=people(400)['outcome'] + np.random.default_rng(0).normal(0, 1, 400)), y_true='outcome', y_pred='guess', sensitive='sex')
    assert not same.findings
    alone = audit_regression(people(300), y_pred='guess', sensitive='sex')
    assert {v.metric for v in alone.values} == {'mean_prediction', 'share_above_median', 'share_at_median', *(f'prediction quantile {q}' for q in (.1, .5, .9))}
    t = people(300); t['guess'][3] = np.nan; t['sex'] = t['sex'].astype(object); t['sex'][5] = None
    with pytest.raises(InputError, match='`guess` is missing in 1 of 300 rows; `sex` is missing in 1'): audit_regression(t, y_true='outcome', y_pred='guess', sensitive='sex')
    assert audit_regression(t, y_true='outcome', y_pred='guess', sensitive='sex', missing='drop').dropped == 2
    left = audit_regression(t, y_true='outcome', y_pred='guess', sensitive='sex', missing='unknown', min_count=1)
    assert left.dropped == 1 and left.get('mean_outcome', '(missing)').n == 1
    assert audit_regression(t, y_true='outcome', y_pred='guess', sensitive='sex', missing='drop', min_count=1_000).get('mae', 'Male').value is None
    with pytest.raises(InputError, match='must hold finite numbers'): audit_regression(people(50) | dict(guess=[np.inf]*50), y_pred='guess', sensitive='sex')
    with pytest.raises(InputError, match='`quantiles` must lie'): audit_regression(people(50), y_pred='guess', sensitive='sex', quantiles=[2])
    with pytest.raises(InputError, match='`query` has 1,500 different values'):
        audit_regression(people() | dict(query=np.arange(1_500)), y_pred='guess', sensitive='query', quantiles=[])
    with pytest.raises(InputError, match='nothing is left'): audit_regression(dict(sex=['F'], guess=[np.nan]), y_pred='guess', sensitive='sex', missing='drop')


def test_sums_are_numerically_sound():
    rng = np.random.default_rng(0)
    y = rng.normal(1e7, 1, 500)
    p = y + rng.normal(0, .5, 500)
    found = audit_regression(dict(sex=['A']*500, y=y, p=p), y_true='y', y_pred='p', sensitive='sex')
    assert abs(found.get('r2', 'A').value - sk.r2_score(y, p)) < 1e-9
    assert np.isnan(r_squared(np.array([3.]), np.array([6.]), np.array([12.]), np.array([1.]))).all()
    assert np.isnan(mean_limits([1], np.array([2.]), np.array([4.]))[1]).all()
    assert np.isnan(rmse_limits([10], np.array([2.]), np.array([4.]))[1]).all() and not np.isnan(rmse_limits([1000], np.array([1000.]), np.array([3000.]))[1]).any()


@pytest.mark.parametrize('engine', ENGINES)
def test_ranking_equals_brute_force(engine):
    t = people()
    found = audit_ranking(ENGINES[engine](t), **ASKED, k=5)
    want = lists(t, 'sex', 5)
    whole = sum(want.values())
    for g, sums in want.items():
        part = sums/whole
        for metric, value in dict(candidate_share=part[0], top_share=part[1], top_ratio=part[1]/part[0], exposure_share=part[2], exposure_ratio=part[2]/part[0],
                                  exposure_per_person=sums[2]/sums[0], exposure_per_relevance=part[2]/part[3]).items():
            v = found.get(metric, g)
            assert abs(v.value - value) < 1e-12 and v.low <= v.value <= v.high, metric


def test_exposure_is_shared_out_and_resampled():
    rng = np.random.default_rng(0)
    query, score = rng.integers(0, 20, 400), rng.integers(0, 4, 400).astype(float)
    sums = query_sums(query, score, rng.integers(0, 3, 400), np.ones(400, int), np.zeros(400), 7)
    sizes = np.bincount(query)
    np.testing.assert_allclose(sums[..., 2].sum(1), [sum(1/np.log2(1 + r) for r in range(1, n + 1)) for n in sizes], rtol=1e-12)
    np.testing.assert_allclose(sums[..., 1].sum(1), np.minimum(7, sizes), rtol=1e-12)
    np.testing.assert_allclose(tied_exposure(np.array([0]), np.array([3])), (1 + 1/np.log2(3) + .5)/3, rtol=1e-12)
    drawn = resample_queries(np.ones((25_000, 2)), 200)
    assert drawn.shape == (200, 2) and abs(drawn.mean()/25_000 - 1) < .01 and (drawn[:, 0] == drawn[:, 1]).all()


def test_ranking_at_the_edges():
    t = people(600)
    few = audit_ranking({k: v[t['query'] < 20] for k, v in t.items()}, **ASKED)
    assert few.get('exposure_ratio', 'Male').low is None and '20 lists, fewer than 30' in few.get('exposure_ratio', 'Male').reason and not few.findings
    biased = audit_ranking(people() | dict(score=people()['score'] - 2*(people()['sex'] == 'Female')), **ASKED)
    assert biased.findings[0].startswith('By sex, Female: 0.') and biased.to_dict() == audit_ranking(
        people() | dict(score=people()['score'] - 2*(people()['sex'] == 'Female')), **ASKED).to_dict()
    none = audit_ranking(t | dict(merit=[0.]*600), **ASKED)
    assert none.get('exposure_per_relevance', 'Male').reason == "there is no relevance to divide by"
    t['score'][3] = np.nan
    with pytest.raises(InputError, match='`score` is missing in 1 of 600'): audit_ranking(t, **ASKED)
    assert audit_ranking(t, **ASKED, missing='drop').dropped == 1
    for k in (0, 2.5, True):
        with pytest.raises(InputError, match='`k` must be a whole number'): audit_ranking(t, **ASKED, k=k)
    with pytest.raises(InputError, match='`merit` must be 0 or more'): audit_ranking(people() | dict(merit=[-1.]*1_500), **ASKED)
    with pytest.raises(InputError, match='`score` must hold finite'): audit_ranking(people() | dict(score=[np.inf]*1_500), **ASKED)
    with pytest.raises(InputError, match='`y` is not a column|must hold numbers'): audit_ranking(people() | dict(score=['x']*1_500), **ASKED)


@pytest.mark.parametrize('kind', ['csv', 'parquet'])
def test_files(tmp_path, kind):
    t = people(600)
    path = tmp_path/f'people.{kind}'
    getattr(pl.DataFrame(t), f'write_{kind}')(path)
    def close(a, b):
        for x, y in zip(a.values, b.values, strict=True):
            assert (x.group, x.metric, x.class_, x.n, x.reason) == (y.group, y.metric, y.class_, y.n, y.reason)
            np.testing.assert_allclose([np.nan if v is None else v for v in (x.value, x.low, x.high)], [np.nan if v is None else v for v in (y.value, y.low, y.high)], atol=1e-9)
    close(audit_classes(path, prediction='p', label='y', sensitive='sex', weight='w'), audit_classes(t, prediction='p', label='y', sensitive='sex', weight='w'))
    close(audit_regression(path, y_true='outcome', y_pred='guess', sensitive='sex'), audit_regression(t, y_true='outcome', y_pred='guess', sensitive='sex'))
    assert audit_ranking(path, **ASKED).get('exposure_ratio', 'Male').value == pytest.approx(audit_ranking(t, **ASKED).get('exposure_ratio', 'Male').value, abs=1e-12)
