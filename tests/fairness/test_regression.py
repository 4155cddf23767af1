"Predicted numbers by group: against pandas and scikit-learn, over engines, and at the edges"
import json

import numpy as np
import pandas as pd
import pytest
from engines import ENGINES, in_engine, in_files
from jsonschema import Draft202012Validator
from scipy.stats import gamma, norm
from scipy.stats import t as student
from sklearn import metrics as sk

from dlcourse.audit.writers import as_audit
from dlcourse.core.errors import InputError
from dlcourse.core.files import project_path
from dlcourse.fairness.policy import Policy
from dlcourse.fairness.regression import (
    audit_regression,
    mean_limits,
    move_sums,
    r_squared,
)


def people(n=1_500, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(1_000, 20, n)
    return dict(sex=rng.choice(['Female', 'Male'], n), race=rng.choice(['A', 'B', 'C'], n),
                outcome=x, guess=x + rng.standard_t(5, n), query=rng.integers(0, 60, n))


ASKED = dict(y_true='outcome', y_pred='guess', sensitive_features='sex')


@pytest.mark.parametrize('engine', [e for e in ENGINES if e != 'objects'])
def test_regression_equals_pandas_and_scikit_learn(engine):
    t = people()
    found = audit_regression(in_engine(engine, t), y_true='outcome', y_pred='guess',
                             sensitive_features=['sex', 'race'])
    for attribute in ('sex', 'race'):
        for g in sorted(set(t[attribute])):
            at = t[attribute] == g
            y, p = t['outcome'][at], t['guess'][at]
            want = {'mean_prediction': p.mean(), 'mean_outcome': y.mean(),
                    'mean_error': (p - y).mean(), 'rmse': sk.root_mean_squared_error(y, p),
                    'mae': sk.mean_absolute_error(y, p), 'r2': sk.r2_score(y, p),
                    'share_above_median': (p > np.median(t['guess'])).mean(),
                    'prediction quantile 0.1': pd.Series(p).quantile(.1),
                    'error quantile 0.9': pd.Series(p - y).quantile(.9),
                    'error quantile 0.5': np.median(p - y)}
            for metric, value in want.items():
                assert abs(found.get(metric, g).value - value) <= 1e-9*max(1, abs(value)), metric
            half = student.ppf(.975, at.sum() - 1)*(p - y).std(ddof=1)/at.sum()**.5
            v, e = found.get('mean_error', g), p - y
            few = at.sum()*e.var()**3/(((e - e.mean())**3).mean())**2 # Equal events, as lopsided
            far = half*(gamma.ppf(.975, few + 1) - few)/few**.5/norm.ppf(.975)
            short, long = sorted((v.high - v.value, v.value - v.low))
            assert abs(short - half) < 1e-9 and abs(long - max(far, half)) < 1e-9
            assert (long == v.high - v.value) == (((e - e.mean())**3).mean() > 0)


def test_regression_at_the_edges():
    t = people(300)
    t['outcome'] = np.where(t['sex'] == 'Male', 5., t['outcome'] + 1e4)
    found = audit_regression(t, **ASKED)
    assert found.get('r2', 'Male').value is None
    assert 'no variance' in found.get('r2', 'Male').reason
    assert found.get('r2', 'Female').value < 0
    assert found.findings[0].startswith('By sex, predictions err by')
    assert json.dumps(found.to_dict(), allow_nan=False)
    same = audit_regression(people(400)
                            | dict(guess=people(400)['outcome']
                                   + np.random.default_rng(0).normal(0, 1, 400)), y_true='outcome',
                            y_pred='guess', sensitive_features='sex')
    assert not same.findings
    alone = audit_regression(people(300), y_pred='guess', sensitive_features='sex')
    assert {v.metric for v in alone.values} == {'mean_prediction', 'share_above_median',
                                                'share_at_median',
                                                *(f'prediction quantile {q}' for q in (.1, .5, .9))}
    t = people(300); t['guess'][3] = np.nan; t['sex'] = t['sex'].astype(object); t['sex'][5] = None
    with pytest.raises(InputError,
                       match='`guess` is missing in 1 of 300 rows; `sex` is missing in 1'):
        audit_regression(t, **ASKED)
    assert audit_regression(t, **ASKED,
                            missing='drop').dropped == 2
    left = audit_regression(t, **ASKED, missing='unknown',
                            min_count=1)
    assert left.dropped == 1 and left.get('mean_outcome', '(missing)').n == 1
    assert audit_regression(t, **ASKED, missing='drop',
                            min_count=1_000).get('mae', 'Male').value is None
    with pytest.raises(InputError, match='must hold finite numbers'):
        audit_regression(people(50) | dict(guess=[np.inf]*50), y_pred='guess',
                         sensitive_features='sex')
    with pytest.raises(InputError, match='`quantiles` must lie'):
        audit_regression(people(50), y_pred='guess', sensitive_features='sex', quantiles=[2])
    with pytest.raises(InputError, match='`query` has 1,500 different values'):
        audit_regression(people() | dict(query=np.arange(1_500)), y_pred='guess',
                         sensitive_features='query',
                         quantiles=[])
    with pytest.raises(InputError, match='nothing is left'):
        audit_regression(dict(sex=['F'], guess=[np.nan]), y_pred='guess', sensitive_features='sex',
                         missing='drop')


def test_sums_are_numerically_sound():
    rng = np.random.default_rng(0)
    y = rng.normal(1e7, 1, 500)
    p = y + rng.normal(0, .5, 500)
    found = audit_regression(dict(sex=['A']*500, y=y, p=p), y_true='y', y_pred='p',
                             sensitive_features='sex')
    assert abs(found.get('r2', 'A').value - sk.r2_score(y, p)) < 1e-9
    assert np.isnan(r_squared(np.array([3.]), np.array([6.]), np.array([12.]),
                              np.array([1.]))).all()
    assert np.isnan(mean_limits([1], np.array([2.]), np.array([4.]))[1]).all()


def test_files_give_what_frames_give(tmp_path):
    t = people(600)
    want = audit_regression(t, **ASKED)
    for path in in_files(t, tmp_path):
        for x, y in zip(audit_regression(path, **ASKED).values, want.values, strict=True):
            assert (x.group, x.metric, x.n) == (y.group, y.metric, y.n)
            assert x.value == pytest.approx(y.value, abs=1e-9)


def test_sums_counted_from_another_zero():
    x = np.random.default_rng(0).normal(3, 2, (50, 4))
    n, total, square = np.full(4, 50), x.sum(0), (x*x).sum(0)
    for by in (-3.5, 0., 2., 40.):
        moved = move_sums(n, total, square, by)
        assert np.allclose(moved, ((x - by).sum(0), ((x - by)**2).sum(0)))


def test_weights_that_add_up_to_nothing_are_said():
    rng = np.random.default_rng(0)
    table = dict(g=np.repeat(['A', 'B'], 50), y=rng.normal(size=100), p=rng.normal(size=100),
                 w=np.repeat([0., 1.], 50))
    found = audit_regression(table, y_pred='p', y_true='y', sensitive_features='g',
                             sample_weight='w')
    none = [r for r in as_audit(found).rates if r.group == 'A' and r.metric == 'mae']
    assert [(r.value, r.status, r.reason) for r in none] == [
        (None, 'undefined', 'the weights add up to 0')]
    assert found.get('r2', 'A').reason == 'the weights add up to 0'
    assert 'rare' in found.not_measured[0]


def test_a_gap_of_errors_in_size_is_found_where_their_mean_is_level():
    rng = np.random.default_rng(0)
    n = 2_000
    group = np.where(np.arange(n) % 2, 'a', 'b')
    error = rng.normal(size=n)*np.where(group == 'a', 1, 3)
    table = dict(g=group, y=np.zeros(n), p=error)
    found = audit_regression(table, y_pred='p', y_true='y', sensitive_features=['g'])
    [said] = found.findings
    assert said.startswith('By g, errors are 2.') and 'for b, on average' in said


def test_sums_of_equal_errors_part_nobody():
    rng = np.random.default_rng(0)
    cost = rng.lognormal(7, 1, 900)
    table = dict(g=rng.choice(['A', 'B', 'C'], 900), cost=cost, off=cost + 3.3, right=cost)
    for guess in ('off', 'right'):
        found = audit_regression(table, y_pred=guess, y_true='cost', sensitive_features='g',
                                 policy=Policy(difference=dict(mean_error=0, mae=0)))
        assert not found.findings
        assert {d.verdict for d in found.disparities} <= {'pass', 'insufficient evidence'}
        assert {(d.low, d.p_value) for d in found.disparities} == {(0, 1)}


def test_quantiles_come_in_any_form():
    table, asked = people(100), dict(y_pred='guess', sensitive_features='sex')
    said = audit_regression(table, **asked, quantiles=[.25, 1]).frame
    for same in ((q for q in (.25, 1)), np.array([.25, 1], np.float32), {.25: 0, 1: 0}):
        found = audit_regression(table, **asked, quantiles=same)
        assert found.frame.equals(said) and json.dumps(found.asked['quantiles']) == '[0.25, 1.0]'
    assert audit_regression(table, **asked, quantiles=.5).asked['quantiles'] == [.5]
    for wrong in (['a'], 'a', None, [np.nan], [None]):
        with pytest.raises(InputError, match='`quantiles` must lie between 0 and 1, as numbers'):
            audit_regression(table, **asked, quantiles=wrong)


def rare(n, seed=1):
    "Errors near 0, and in B now and then a large one"
    rng = np.random.default_rng(seed)
    large = np.r_[np.zeros(n), (rng.random(n) < .05)*rng.lognormal(2, 1, n)]
    return dict(g=np.repeat(['A', 'B'], n), y=np.zeros(2*n), p=large + .1*rng.normal(size=2*n),
                w=rng.uniform(.5, 2, 2*n), c=np.arange(2*n)//3)


@pytest.mark.parametrize('more', [{}, dict(sample_weight='w'), dict(cluster='c')])
def test_a_mean_that_few_rows_carry_passes_nothing(more):
    asked = dict(y_pred='p', y_true='y', sensitive_features='g', **more)
    wide = Policy(difference=dict(mean_error=50, mae=50), ratio=dict(mae=0.))
    found = audit_regression(rare(200), **asked, policy=wide)
    assert {d.verdict for d in found.disparities if d.kind == 'difference'} == {
        'insufficient evidence'}
    for d in found.disparities:
        if d.kind == 'difference':
            assert d.high is None and d.low > 0 and d.p_value < .05
            assert 'B rests on ' in d.reason and 'too few to say how high' in d.reason
    for metric in ('mean_error', 'mae', 'rmse'):
        a, b = (found.get(metric, g) for g in 'AB')
        assert a.low < a.value < a.high and a.reason is None
        assert b.value is not None and b.low is None and b.high is None and 'too few' in b.reason
    assert json.dumps(found.to_dict(), allow_nan=False)
    tight = Policy(difference=dict(mean_error=1e-4))
    assert audit_regression(rare(200), **asked, policy=tight).disparities[0].verdict == 'fail'
    mirror = rare(200) | dict(p=-rare(200)['p'])
    [other, *_] = audit_regression(mirror, **asked, policy=wide).disparities
    assert other.verdict == 'insufficient evidence' and 'B rests on' in other.reason
    n = 200
    p = np.r_[-np.array(rare(n)['p'])[n:], np.array(rare(n, seed=2)['p'])[n:]]
    apart = rare(n) | dict(p=p) # Both have a tail, on opposite sides
    for d in audit_regression(apart, **asked, policy=wide).disparities:
        if (d.metric, d.kind) != ('mean_error', 'difference'): continue
        assert (d.verdict, d.high) == ('insufficient evidence', None), d
        assert 'A rests on' in d.reason and 'B rests on' in d.reason


@pytest.mark.parametrize('more', [{}, dict(sample_weight='w'), dict(cluster='c')])
@pytest.mark.parametrize('sign', [1, -1])
def test_a_penny_beside_a_spread_opens_no_gap(more, sign):
    e = np.r_[np.random.default_rng(0).normal(2, .3, 150), np.zeros(150)]
    e[150] = 1e-3
    t = dict(g=np.repeat(['B', 'W'], 150), y=np.full(300, 5.), p=5 + sign*e, w=np.ones(300),
             c=np.arange(300)//2)
    asked = dict(y_pred='p', y_true='y', sensitive_features='g',
                 policy=Policy(difference=dict(mean_error=.1)), **more)
    found = {d.metric: d for d in audit_regression(t, **asked).disparities}
    assert (found['mean_error'].verdict, found['mean_error'].reason) == ('fail', None)
    for d in found.values(): assert 1.9 < d.low < d.high < 2.1 and d.p_value < 1e-6
    few = t | dict(p=t['p'] + np.r_[np.zeros(150), 5, 5, np.zeros(148)]) # No pennies
    d = audit_regression(few, **asked | dict(policy=None)).disparities[0]
    assert None in (d.high, d.low or None) and 'W rests on' in d.reason


def test_pennies_in_two_groups_stay_open_beside_a_third():
    "What is nothing beside the widest group may be all there is between two others"
    e = np.r_[np.random.default_rng(0).normal(0, 30, 150), np.zeros(300)]
    e[150], e[300] = 1e-3, -1e-3
    found = audit_regression(dict(g=np.repeat([*'ABC'], 150), y=np.zeros(450), p=e), y_pred='p',
                             y_true='y', sensitive_features='g')
    [d] = [d for d in found.disparities if d.metric == 'mean_error']
    assert d.high is None and 'B rests on' in d.reason and 'C rests on' in d.reason


def test_a_tail_is_seen_through_weights_and_clusters_alike():
    rng = np.random.default_rng(3)
    e, times = rng.exponential(size=400), rng.integers(1, 4, 400)
    asked = dict(y_pred='p', y_true='y', sensitive_features='g')
    def limits(p, **more):
        n = len(p)
        found = audit_regression(dict(g=['A']*n, y=np.zeros(n), p=p, **more), **asked, **{
            dict(w='sample_weight', c='cluster')[k]: k for k in more})
        return [(v.low, v.high) for v in found.values if v.metric in ('mean_error', 'mae')]
    alone = limits(e)
    (low, high), _ = alone
    assert high - e.mean() > 1.05*(e.mean() - low) # Farther on the side of the tail
    assert np.allclose(limits(e, w=np.full(400, 3.)), alone)
    own = limits(np.repeat(e, 3), c=np.repeat(np.arange(400), 3))
    assert np.allclose(own, alone, rtol=1e-3)
    uneven = limits(np.repeat(e, times), c=np.repeat(np.arange(400), times))
    assert np.allclose(uneven, limits(e, w=times*1.), rtol=.01)


@pytest.mark.parametrize(('more', 'clusters', 'how'), [
    ({}, None, ''), (dict(sample_weight='w'), None, ', linearized size'),
    (dict(cluster='c'), 68, ', cluster-robust size')])
def test_every_figure_says_what_it_rests_on(more, clusters, how):
    t = rare(200)
    found = audit_regression(t, y_pred='p', y_true='y', sensitive_features='g', **more)
    of = {(r.group, r.metric): r for r in found.rates}
    assert {(r.rows, r.clusters is None) for r in of.values()} == {(200, clusters is None)}
    one, w = of['B', 'mean_error'], t['w'][200:]
    assert one.method == 'Student, longer to a tail' + how
    if not more: assert (one.effective, one.df) == (200, None)
    if clusters:
        assert one.clusters in (67, 68) and one.effective_clusters == pytest.approx(67, abs=1)
        assert one.df == one.effective_clusters - 1
    if 'sample_weight' in more: # By hand
        e = t['p'][200:]; off = e - np.average(e, weights=w)
        variance = ((w*off)**2).sum()/w.sum()**2
        assert one.effective == pytest.approx(np.average(off**2, weights=w)/variance)
        assert one.df == pytest.approx(w.sum()**2/(w**2).sum() - 1)
    else: assert of['A', 'share_above_median'].method == 'Wilson' + how
    small = audit_regression(t, y_pred='p', y_true='y', sensitive_features='g', min_count=500)
    assert {(r.rows, r.effective, r.status) for r in small.rates} == {(200, None, 'withheld')}
    report = json.loads(as_audit(found).to_json())
    Draft202012Validator(json.loads(project_path('assets', 'audit.schema.json').read_text())
                         ).validate(report)


def test_a_large_common_error_hides_no_tail():
    t = rare(300)
    found = [audit_regression(t | dict(p=t['p'] + far), y_pred='p', y_true='y',
                              sensitive_features='g') for far in (0, 300)]
    for g in 'AB':
        near, far = (f.get('mean_error', g) for f in found)
        assert near.reason == far.reason and near.value == pytest.approx(far.value - 300, abs=1e-9)
        if near.low is not None: assert near.low == pytest.approx(far.low - 300, abs=1e-6)


@pytest.mark.parametrize('engine', ['polars', 'duckdb'])
@pytest.mark.parametrize('common', [1e3, 6e4, -6e4, 1e6, 1e8])
def test_an_error_that_all_share_changes_no_limit_and_passes_nothing(common, engine):
    rng, n = np.random.default_rng(0), 800
    rare = np.where(rng.random(n) < .01, rng.lognormal(3, 1, n), rng.normal(0, 1, n))
    table = dict(sex=np.repeat(['A', 'B'], n//2), y=rng.integers(0, 50, n).astype(float))
    policy = Policy(difference=dict(mean_error=3, mae=3))
    for errors, verdict in ((rare, 'insufficient evidence'), (rng.normal(0, 1, n), 'pass')):
        def audited(by, errors=errors):
            t = in_engine(engine, table | dict(p=table['y'] + errors + by))
            return audit_regression(t, y_true='y', y_pred='p', sensitive_features='sex',
                                    policy=policy)
        alone, moved = audited(0.), audited(common)
        assert {d.verdict for d in (*alone.disparities, *moved.disparities)} == {verdict}
        for group in 'AB':
            a, b = (f.get('mean_error', group) for f in (alone, moved))
            assert abs(b.value - common - a.value) < 1e-7
            assert (a.low is None) == (b.low is None)
            if a.low is not None: assert abs(b.high - b.low - a.high + a.low) < 1e-7


def test_one_slip_of_the_pen_leaves_the_limits_of_the_others():
    rng, n = np.random.default_rng(1), 900
    t = dict(sex=np.repeat(['A', 'B', 'C'], n//3), y=rng.normal(0, 1, n))
    p = t['y'] + rng.normal(0, 1, n)
    alone = audit_regression(t | dict(p=p), **ASKED | dict(y_true='y', y_pred='p'))
    p[-1] = 1e15
    found = audit_regression(t | dict(p=p), **ASKED | dict(y_true='y', y_pred='p'))
    for metric in ('mean_error', 'mae', 'mean_prediction'):
        a, b = (f.get(metric, 'A') for f in (alone, found))
        assert abs(a.low - b.low) < 1e-9 and abs(a.high - b.high) < 1e-9
        assert found.get(metric, 'C').low is None


@pytest.mark.parametrize('error', [.1, (.1, -.1)])
@pytest.mark.parametrize('more', [{}, dict(sample_weight='w'), dict(cluster='c')])
def test_errors_that_differ_in_their_last_digits_alone_have_no_tail(error, more):
    rng, n = np.random.default_rng(0), 600
    y = rng.normal(50, 10, n).round(1)
    t = dict(g=np.repeat(['A', 'B', 'C'], n//3), y=y, p=y + np.resize(error, n), c=np.arange(n)//5,
             w=rng.random(n))
    found = audit_regression(t, y_true='y', y_pred='p', sensitive_features='g', **more,
                             policy=Policy(difference=dict(mae=1)))
    assert [d.verdict for d in found.disparities if d.metric == 'mae'] == ['pass']
    for metric in ('mae', 'rmse'):
        v = found.get(metric, 'A')
        assert v.value == pytest.approx(.1) and v.low == pytest.approx(v.high)


def test_a_tail_is_seen_beside_a_slip_in_both_columns():
    "One row of 1e15 says nothing of the last digits of the others"
    rng, n = np.random.default_rng(0), 600
    rare = np.where(np.arange(n) % 300 < 3, 40., 0.) + rng.normal(0, 1, n)
    t = dict(g=np.repeat(['A', 'B'], n//2), y=np.append(rng.normal(0, 9, n - 1), 1e15))
    found = audit_regression(t | dict(p=t['y'] + rare), y_true='y', y_pred='p',
                             sensitive_features='g', policy=Policy(difference=dict(mae=5)))
    assert [d.verdict for d in found.disparities if d.metric == 'mae'] == ['insufficient evidence']


@pytest.mark.parametrize(('p', 'y'), [(1e200, 0.), (1e308, -1e308)])
def test_numbers_whose_squares_have_no_room_are_called_so(p, y):
    t = dict(g=['a', 'b']*30, p=[p]*60, y=[y]*60)
    with pytest.raises(InputError, match='beyond 1e50'):
        audit_regression(t, y_true='y', y_pred='p', sensitive_features='g')


@pytest.mark.parametrize('size', [1e51, 1e60])
def test_errors_too_large_for_their_powers_are_called_so(size):
    t = people(60)
    with pytest.raises(InputError, match='beyond 1e50'):
        audit_regression(t | dict(guess=t['outcome'] + size*np.arange(60)), **ASKED)
