"Leakage from scores: scikit-learn's curve, exact limits, a null that holds its level, bad input"
import json
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score, roc_curve

from dlcourse.core.errors import InputError
from dlcourse.privacy.attack_rates import (
    auc_of,
    halves,
    membership_curve,
    non_members_needed,
    permuted_null,
    precision_at,
    threshold_at,
    tpr_at,
)
from dlcourse.privacy.attacked import log_odds, read_attacked
from dlcourse.privacy.leakage import audit_membership


def scores(members=2000, others=2000, shift=.5, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(shift, 1, members), rng.normal(size=others)


@given(st.lists(st.integers(0, 5), min_size=1), st.lists(st.integers(0, 5), min_size=1))
def test_curve_and_area_are_scikit_learns(members, others):
    y = [1]*len(members) + [0]*len(others)
    want = roc_curve(y, members + others, drop_intermediate=False)
    for got, right in zip(membership_curve(members, others), want, strict=True):
        np.testing.assert_allclose(got, right)
    area, low, high = auc_of(members, others)
    assert area == pytest.approx(roc_auc_score(y, members + others))
    assert 0 <= low <= area + 1e-12 and area <= high + 1e-12 and high <= 1


def test_a_threshold_keeps_its_rate_on_other_rows():
    "The share above it has the mean (k + 1)/(n + 1), whatever the scores are drawn from"
    rng = np.random.default_rng(0)
    seen = [1 - threshold_at(rng.random(199), .05) for _ in range(4000)]
    assert np.mean(seen) == pytest.approx(.05, abs=.001)
    with pytest.raises(InputError, match='99 non-members'): threshold_at(rng.random(98), .01)


def test_a_rate_needs_ten_false_alarms():
    assert [non_members_needed(f) for f in (.1, .01, .001)] == [100, 1000, 10_000]
    hit, other = scores()
    assert tpr_at(hit, other[:1000], .01).tpr is not None
    few = tpr_at(hit, other[:999], .01)
    assert few.tpr is few.fpr is few.caught is None
    assert '999' in few.reason and '1,000' in few.reason
    assert few.auc is not None
    for bad in (0, 1, -.1, 'x'):
        with pytest.raises(InputError, match='fpr'): tpr_at(hit, other, bad)


def test_the_threshold_never_sees_what_it_is_judged_on():
    hit, other = scores()
    found = tpr_at(hit, other, .05)
    choose, check = halves(2000)
    assert not set(choose) & set(check) and len(choose) + len(check) == 2000
    line = threshold_at(other[choose], .05)
    assert found.caught == (hit > line).sum() and found.alarms == (other[check] > line).sum()
    assert found.checked == 1000
    exact = binomtest(found.caught, 2000).proportion_ci(method='exact')
    assert (found.tpr_low, found.tpr_high) == pytest.approx(tuple(exact))
    given_line = tpr_at(hit, other, .05, threshold=1.)
    assert given_line.checked == 2000 and given_line.alarms == (other > 1).sum()


def test_limits_hold_over_200_audits_without_leakage():
    held = 0
    for seed in range(200):
        r = tpr_at(*scores(500, 500, 0, seed), .05)
        held += r.tpr_low <= r.fpr_high and r.fpr_low <= r.tpr_high
    assert held >= 190


def test_the_null_of_dealt_labels_holds_its_level_over_200_runs():
    rng = np.random.default_rng(0)
    pool = np.r_[rng.normal(size=280), rng.standard_t(1.5, size=120)].round(1)
    found = []
    for seed in range(200):
        order = rng.permutation(400)
        found.append(permuted_null(pool[order[:200]], pool[order[200:]], top=.05, draws=99,
                                   seed=seed))
    found = np.array(found)
    for level in (.05, .2, .5):
        assert binomtest(int((found <= level).sum()), 200, level, 'greater').pvalue > .01
    assert .4 < found.mean() < .65


def test_the_null_sees_a_few_who_stand_out():
    rng = np.random.default_rng(0)
    few = np.r_[rng.normal(size=985), np.full(15, 9.)]
    other = rng.normal(size=1000)
    assert permuted_null(few, other) <= .01 and auc_of(few, other)[0] < .55


def test_precision_by_hand():
    assert precision_at(.05, .01, .01) == pytest.approx(.0005/.0104)
    assert precision_at(.05, .01, .5) == pytest.approx(5/6) and np.isnan(precision_at(0, 0, .1))


def test_log_odds_are_stable_and_scipys():
    z = np.random.default_rng(0).normal(size=(50, 7))*30
    y = np.arange(50) % 7
    want = [row[k] - logsumexp(np.delete(row, k)) for row, k in zip(z, y, strict=True)]
    np.testing.assert_allclose(log_odds(z, y), want)
    np.testing.assert_allclose(log_odds([[800., 0, 0]], [0]), [800 - np.log(2)])
    assert np.isfinite(log_odds([[1., 0]], [0], chances=True)).all()


def files(tmp_path, **more):
    hit, other = scores(1500, 1500)
    paths = []
    for name, s in (('m.parquet', hit), ('n.parquet', other)):
        pl.DataFrame({'score': s} | {k: v[:len(s)] for k, v in more.items()}).write_parquet(
            tmp_path/name)
        paths.append(tmp_path/name)
    return paths


def test_files_frames_and_arrays_agree(tmp_path):
    hit, other = scores(1500, 1500)
    paths = files(tmp_path)
    pd.DataFrame({'score': hit}).to_csv(tmp_path/'m.csv', index=False)
    want = audit_membership(hit, other, draws=99)
    ways = [(paths, {}), ((tmp_path/'m.csv', paths[1]), {}),
            ((pd.DataFrame({'a': -hit}), {'a': -other}), dict(score='a', higher='non-member'))]
    for (m, n), options in ways:
        got = audit_membership(m, n, draws=99, **options)
        assert got.overall == want.overall and got.p_value == want.p_value
    assert audit_membership(*paths, draws=99).source == 'm.parquet and n.parquet'


def test_outputs_of_a_model_become_scores():
    rng = np.random.default_rng(0)
    z, y = rng.normal(size=(40, 3)), np.arange(40) % 3
    p = np.exp(z - logsumexp(z, axis=1, keepdims=True))
    names = ['no', 'yes', 'maybe']
    def table(v, labels, rows):
        return dict(zip(names, v[rows].T, strict=True)) | {'y': labels[rows]}
    m, n = np.arange(20), np.arange(20, 40)
    words = np.array(names)[y]
    for v, labels, option in ((z, y, 'logits'), (p, y, 'chances'), (p, words, 'chances'),
                              (z, y.astype(float), 'logits')):
        got = read_attacked(table(v, labels, m), table(v, labels, n), y_true='y', **{option: names})
        np.testing.assert_allclose(got.members, log_odds(z, y)[:20])
    one = read_attacked({'p': [.8, .8], 'y': [1, 0]}, {'p': [.5], 'y': [1]}, chances=['p'],
                        y_true='y')
    np.testing.assert_allclose(one.members, [np.log(4), -np.log(4)])


def test_groups_are_compared_at_one_threshold_and_small_ones_withheld():
    rng = np.random.default_rng(0)
    who = np.repeat(['a', 'b', 'c'], [1000, 990, 10])
    m = {'score': rng.normal(np.where(who == 'a', 1.5, 0)), 'who': who}
    n = {'score': rng.normal(size=2000), 'who': who}
    found = audit_membership(m, n, group='who', tolerances={'tpr': .03, 'auc': .6}, draws=99)
    a, b, c = found.groups
    assert c.tpr is None and '10 members, fewer than 30' in c.reason
    assert a.caught + b.caught <= found.overall.caught
    assert a.checked + b.checked <= found.overall.checked
    assert found.gap['groups'] == ('a', 'b') and found.gap['low'] > 0
    assert any('members of a' in f for f in found.findings)
    verdicts = {(v.metric, v.group): v.verdict for v in found.verdicts}
    assert verdicts['tpr', 'a'] == 'fail' and verdicts['auc', 'b'] == 'pass'
    assert verdicts['auc', 'c'] == 'insufficient evidence' and found.verdict == 'fail'
    json.dumps(found.to_dict())
    assert len(found.frame) == 4


def test_what_is_not_reported_never_passes():
    hit, other = scores(500, 500, 0)
    found = audit_membership(hit, other, fpr=.001, tolerances={'tpr': 1.}, draws=99)
    assert found.overall.tpr is None and found.verdict == 'insufficient evidence'
    assert all(p['value'] is None for p in found.precision)
    assert '10,000' in found.warnings[0]
    assert audit_membership(hit, other, draws=99).verdict == 'not judged'


def test_scores_the_wrong_way_round_are_said():
    hit, other = scores()
    found = audit_membership(-hit, -other, draws=99)
    assert any('higher' in w for w in found.warnings)
    line = audit_membership(-hit, -other, higher='non-member', threshold=-1., draws=99)
    assert line.overall.caught == (hit > 1).sum() and line.threshold_from == 'given'


def test_no_leakage_gives_no_finding():
    quiet = [audit_membership(*scores(1000, 1000, 0, s), draws=99).findings for s in range(20)]
    assert sum(map(bool, quiet)) <= 4


GOOD = {'score': [1., 2, 3], 'id': ['a', 'b', 'c']}

@pytest.mark.parametrize('members, options, said', [
    ({'score': []}, {}, 'a row or more'),
    ([], {}, 'a score or more'),
    ([1., float('nan')], {}, 'finite'),
    ({'score': [1., float('inf')]}, {}, 'finite number'),
    ({'score': [1., None]}, {}, 'finite number'),
    ({'score': ['high', 'low']}, {}, 'must hold numbers'),
    ({'s': [1.]}, {}, 'not a column'),
    ({'score': [1.], 'id': ['b']}, dict(key='id'), 'both tables, such as b'),
    ({'score': [1.], 'id': ['']}, dict(key='id'), 'empty'),
    (GOOD, dict(higher='loss'), 'higher'),
    (GOOD, dict(chances=['score']), 'y_true'),
    (GOOD, dict(chances='score'), 'list of columns'),
    (GOOD, dict(logits=['score'], y_true='id'), 'two columns'),
    (GOOD, dict(chances=['score'], y_true='id'), 'between 0 and 1'),
    (GOOD, dict(chances=['score'], logits=['score'], y_true='id'), 'both'),
    (GOOD, dict(priors=[0]), 'priors'),
    (GOOD, dict(tolerances={'f1': .5}), 'tolerances'),
    (GOOD, dict(tolerances={'auc': 2}), 'tolerances'),
    ([1., 2], dict(group='sex'), 'scores in a row'),
])
def test_bad_input_is_said(members, options, said):
    with pytest.raises(InputError, match=said): audit_membership(members, GOOD, **options)


def test_one_score_for_all_and_words_in_a_file(tmp_path):
    with pytest.raises(InputError, match='tells nobody'): audit_membership([1., 1], [1.])
    (tmp_path/'m.csv').write_text('score\n1\nhigh\n')
    with pytest.raises(InputError, match='no number'): audit_membership(tmp_path/'m.csv', GOOD)
    with pytest.raises(InputError): audit_membership(tmp_path/'none.csv', GOOD)
    (tmp_path/'e.csv').write_text('score\n')
    with pytest.raises(InputError): audit_membership(tmp_path/'e.csv', GOOD)


def test_rows_that_agree_are_counted():
    m = {'score': [1., 2], 'age': [30, 40], 'town': ['x', 'y']}
    n = {'score': [1., 3], 'age': [40, 50], 'town': ['y', 'y']}
    [said] = read_attacked(m, n).warnings
    assert said.startswith('1 row') and 'age, town' in said
    again = read_attacked({'score': [1., 2], 'id': [1, 1]}, {'score': [1.], 'id': [2]}, key='id')
    assert 'repeat' in again.warnings[0]


def test_torch_is_not_imported():
    code = ("import sys; from dlcourse.privacy.leakage import audit_membership as a; "
            "a([1., 2], [0., 1]); assert 'torch' not in sys.modules")
    subprocess.run([sys.executable, '-c', code], check=True)


@pytest.mark.parametrize('given,said', [
    (dict(priors=.5), '`priors` must be a list'), (dict(priors=None), '`priors` must be a list'),
    (dict(tolerances=[1]), '`tolerances` must be a dict'), (dict(tolerances='a'), 'a dict'),
    (dict(seed=-1), '`seed`'), (dict(seed='a'), '`seed`'), (dict(seed=1.5), '`seed`'),
    (dict(threshold='a'), '`threshold` must be'), (dict(threshold=np.nan), '`threshold` must be'),
    (dict(threshold='a', higher='non-member'), '`threshold` must be')])
def test_odd_options_are_named_also_where_rows_are_too_few(given, said):
    with pytest.raises(InputError, match=said): audit_membership(*scores(50, 50), draws=9, **given)
    if 'seed' in given:
        with pytest.raises(InputError, match=said): permuted_null(*scores(9, 9), draws=9, **given)


def test_masked_scores_are_refused_and_a_chance_is_named_as_it_came():
    members, others = scores(50, 50)
    with pytest.raises(InputError, match='`members` must have a value in each row'):
        audit_membership(np.ma.masked_array(members, members > 1), others)
    table = dict(p=[0., 1.5], y=[1, 1])
    with pytest.raises(InputError, match='`p`, the chance of class 1, .* from 0 to 1.5'):
        read_attacked(table, table, chances=['p'], y_true='y')
