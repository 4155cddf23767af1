"Predicted numbers by group: against pandas and scikit-learn, over engines, and at the edges"
import json

import numpy as np
import pandas as pd
import pytest
from engines import ENGINES, in_engine, in_files
from scipy.stats import t as student
from sklearn import metrics as sk

from dlcourse.core.errors import InputError
from dlcourse.fairness.policy import Policy
from dlcourse.fairness.regression import (
    audit_regression,
    mean_limits,
    move_sums,
    r_squared,
    rmse_limits,
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
            assert abs(found.get('mean_error', g).high - (p - y).mean() - half) < 1e-9


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
    assert np.isnan(rmse_limits([10], np.array([2.]), np.array([4.]))[1]).all()
    assert not np.isnan(rmse_limits([1000], np.array([1000.]), np.array([3000.]))[1]).any()


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
    from dlcourse.audit.writers import as_audit
    none = [r for r in as_audit(found).rates if r.group == 'A' and r.metric == 'mae']
    assert [(r.value, r.status, r.reason) for r in none] == [
        (None, 'undefined', 'the weights add up to 0')]
    assert found.get('r2', 'A').reason == 'the weights add up to 0'
    assert 'rare and large' in found.not_measured[0]


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
