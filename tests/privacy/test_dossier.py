"What was promised, what was found, and a verdict on both"
import json
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import beta

from dlcourse.core.errors import InputError
from dlcourse.fairness.wording import gap_sentence
from dlcourse.privacy.attack_rates import rates_at
from dlcourse.privacy.bounds import EpsilonBound
from dlcourse.privacy.dossier import PrivacyRow, audit_privacy
from dlcourse.privacy.leakage import audit_membership
from dlcourse.privacy.tolerated import (
    PRIVACY_POLICY,
    PrivacyClaim,
    PrivacyPolicy,
    claim_limits,
    claimed,
    non_members_to_decide,
    read_privacy_policy,
)


def world(n=3_000, leaked=300, seed=0, towns=2):
    rng = np.random.default_rng(seed)
    town = np.repeat([f't{i}' for i in range(towns)], n//towns)
    tables = [dict(score=rng.normal(0, 1, n), town=town, person=np.arange(n) + n*side)
              for side in (0, 1)]
    tables[0]['score'][:leaked] += 8
    return tables


INSIDE, OUTSIDE = world()
MORE = dict(confidence=.95, evidence={})


@pytest.mark.parametrize('tpr, verdict', [(.05, 'fail'), (.11, 'insufficient evidence'),
                                          (.3, 'pass')])
def test_three_verdicts(tpr, verdict):
    found = audit_privacy(INSIDE, OUTSIDE, policy=dict(tpr=tpr))
    assert found.verdict == verdict
    [limit] = found.disparities
    assert found.findings[0].startswith(verdict.capitalize())
    assert f'tolerated: at most {tpr:.3f}' in found.findings[0]
    assert (limit.rows_needed is not None) == (verdict == 'insufficient evidence')
    if limit.rows_needed:
        assert f'{limit.rows_needed:,} non-members would decide it' in found.findings[0]


def test_as_many_as_were_asked_for_decide():
    found = audit_membership(INSIDE['score'], OUTSIDE['score'], tolerances=dict(tpr=.112))
    [v] = found.verdicts
    n = non_members_to_decide(v, found.overall, .01, (.05, .05))
    def limits(members): # Clopper and Pearson, from the Beta distribution itself
        k = v.value*members
        return beta.ppf(.05, k, members - k + 1), beta.ppf(.95, k + 1, members - k)
    assert limits(n)[1] <= v.tolerance*1.0005 and limits(n*.97)[1] > v.tolerance


def test_how_many_for_an_area():
    found = audit_membership(INSIDE['score'], OUTSIDE['score'], tolerances=dict(auc=.54))
    [v] = found.verdicts
    assert v.verdict == 'insufficient evidence'
    times = non_members_to_decide(v, found.overall, .01, (.05, .05))/3_000
    assert times == pytest.approx(((v.high - v.value)/(v.tolerance - v.value))**2, rel=1e-3)
    at_line = replace(v, tolerance=v.value)
    assert non_members_to_decide(at_line, found.overall, .01, (.05, .05)) is None


def test_too_few_for_the_asked_rate_never_passes():
    few = [{k: v[::20] for k, v in t.items()} for t in (INSIDE, OUTSIDE)]
    found = audit_privacy(*few, policy=dict(tpr=.9))
    [limit] = found.disparities
    assert (found.verdict, limit.value, limit.rows_needed) == ('insufficient evidence', None, 1_000)
    assert found.rate('everyone', 'everyone').value is None
    assert 'fewer than 1,000' in found.findings[0]


def test_groups_share_the_error_and_small_ones_are_listed():
    tables = [{k: np.r_[v, v[:20]] for k, v in t.items()} for t in (INSIDE, OUTSIDE)]
    for i, t in enumerate(tables):
        t['town'] = np.r_[t['town'][:-20], ['tiny']*20]
        t['person'] = np.arange(len(t['person'])) + 10**6*i
    found = audit_privacy(*tables, group='town', policy=dict(tpr=.15), key='person')
    by = {d.groups or 'everyone': d for d in found.disparities}
    assert by['everyone'].verdict == 'pass' and by['t0',].verdict == 'fail'
    assert by['t1',].verdict == 'pass' and by['tiny',].verdict == 'not judged'
    assert found.verdict == 'fail'
    assert [w['group'] for w in found.withheld] == ['tiny']
    assert any(text.startswith('town = tiny') for text in found.not_measured)
    assert found.warnings == () and found.checked
    alone = audit_privacy(*tables, policy=dict(tpr=.15)).disparities[0]
    assert by['everyone'].high >= alone.high and by['everyone'].low <= alone.low


def test_two_columns_judge_everybody_once():
    tables = [t | dict(half=np.arange(3_000) % 2) for t in (INSIDE, OUTSIDE)]
    found = audit_privacy(*tables, group=('town', 'half'), policy=dict(tpr=.15, auc=.9))
    assert len(found.disparities) == 2*(1 + 2 + 2)
    assert sum(d.attribute == 'everyone' for d in found.disparities) == 2
    rates = [(r.attribute, r.group, r.metric) for r in found.rates]
    assert len(rates) == len(set(rates)) == 15
    bare = [{k: v for k, v in t.items() if k != 'person'} for t in tables]
    assert len(audit_privacy(*bare, group=('town', 'half')).warnings) == 1


def test_the_null_is_not_failed():
    fails = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        found = audit_privacy(*rng.normal(size=(2, 1_000)), policy=dict(tpr=.02, auc=.5001))
        fails += found.verdict == 'fail'
        assert not any(text.startswith('By ') for text in found.findings)
    assert fails <= 8, "5 % of 60, and what chance adds in one of a thousand runs"


def test_a_claim_against_what_is_tolerated():
    for epsilon, verdict in ((2., 'pass'), (3., 'pass'), (3.1, 'fail')):
        found = audit_privacy(policy=dict(epsilon=3.), epsilon=epsilon, delta=1e-6, people=9)
        assert found.verdict == verdict and f'Promised: ε = {epsilon:g}' in found.findings[-1]
    assert audit_privacy(policy=dict(epsilon=3.)).verdict == 'insufficient evidence'
    loose = audit_privacy(INSIDE, OUTSIDE, policy=dict(epsilon=3.), epsilon=1., delta=1/3_000)
    assert loose.verdict == 'fail' and 'not below one in 3,000 people' in loose.findings[0]


@pytest.mark.parametrize('policy, more, verdict', [
    ({}, {}, 'insufficient evidence'), ({}, dict(people=9_999), 'pass'),
    ({}, dict(people=10_000), 'fail'), (dict(delta=1e-4), {}, 'pass'),
    (dict(delta=1e-5), {}, 'fail'), (dict(delta=1e-4), dict(people=20_000), 'fail')])
def test_a_delta_that_promises_nothing_never_passes(policy, more, verdict):
    found = audit_privacy(policy=dict(epsilon=3.) | policy, epsilon=2., delta=1e-4, **more)
    assert found.verdict == verdict and 'δ' in found.findings[0]
    far = audit_privacy(policy=dict(epsilon=3.), epsilon=0., delta=.999999)
    assert far.verdict == 'insufficient evidence'


@pytest.mark.parametrize('method, gaussian, verdict', [
    ('one run, GDP', False, 'not judged'), ('many runs, GDP', True, 'fail'),
    ('many runs, joint posterior', True, 'not judged'), ('many runs', False, 'fail')])
def test_a_bound_refutes_only_what_it_is_about(method, gaussian, verdict):
    claim = PrivacyClaim(epsilon=1., delta=1e-5, gaussian=gaussian)
    bound = EpsilonBound(epsilon=4., delta=1e-5, method=method, **MORE)
    assert audit_privacy(claim=claim, bounds=bound).verdict == verdict
    assert [d.verdict for d in claim_limits(None, [bound], 2., 9)[1:]] == [
        'not judged' if 'GDP' in method else verdict]


def test_each_bound_is_told_with_its_own_error():
    found = audit_privacy(INSIDE, OUTSIDE, group='town', policy=dict(tpr=.08))
    limit = found.disparities[0] # 320 of 3,000
    k, n = 320, 3_000
    low, high = beta.ppf(.05/3, k, n - k + 1), beta.ppf(.95, k + 1, n - k)
    assert (limit.low, limit.high) == (pytest.approx(low), pytest.approx(high))
    said = found.findings[0]
    assert 'at least 0.094 (error 1.67 %, shared among 3) and at most 0.116 (error 5 %)' in said
    assert '95 %' not in said


def test_options_do_not_weaken_a_policy():
    policy = dict(tpr=.05)
    for change in (dict(fpr=.001), dict(min_count=500)):
        with pytest.raises(InputError, match='in the policy'):
            audit_privacy(INSIDE, OUTSIDE, policy=policy, **change)
    high = audit_privacy(INSIDE, OUTSIDE, policy=policy, threshold=99.)
    assert high.verdict == 'insufficient evidence' and 'given threshold' in high.findings[0]
    assert any('given threshold' in w for w in high.warnings)
    low = audit_privacy(INSIDE, OUTSIDE, policy=policy, threshold=0.)
    assert low.verdict == 'insufficient evidence'
    for line in (np.nan, np.inf, '3'):
        with pytest.raises(InputError, match='`threshold`'):
            audit_privacy(INSIDE, OUTSIDE, policy=policy, threshold=line)


def test_a_copy_of_a_file_and_a_number_with_a_point_are_seen(tmp_path):
    for name in 'ab': (tmp_path/f'{name}.csv').write_text('score\n1\n2\n')
    with pytest.raises(InputError, match='a copy of it'):
        audit_privacy(tmp_path/'a.csv', tmp_path/'b.csv')
    with pytest.raises(InputError, match='among the others'):
        audit_privacy(dict(score=[1., 2.], id=[1, 2]), dict(score=[1., 3.], id=[1., 7.]), key='id')


def test_a_lower_bound_refutes_and_never_proves():
    claim = PrivacyClaim(epsilon=3., delta=1e-5)
    cases = {(4., 1e-5): 'fail', (2., 1e-5): 'not judged', (4., 1e-6): 'not judged',
             (4., 1e-4): 'fail'}
    for (epsilon, delta), verdict in cases.items():
        bound = EpsilonBound(epsilon=epsilon, delta=delta, method='one run', **MORE)
        [limit] = claim_limits(claim, [bound], None)
        assert limit.verdict == verdict and 'one run' in gap_sentence(limit)
        found = audit_privacy(claim=claim, bounds=[bound])
        assert found.verdict == verdict
        assert not any('no canaries' in text for text in found.not_measured)
    event = SimpleNamespace(epsilon=lambda delta: 2.5)
    assert claimed(event, 1e-6).epsilon == 2.5


def test_what_is_missing_is_named():
    said = audit_privacy(INSIDE, OUTSIDE).not_measured
    for words in ('no group was named', 'no ε was claimed', 'no canaries', 'no ledger',
                  'ε = 1, 3, 8, none', 'stronger one may find more'):
        assert any(words in text for text in said), words
    row = PrivacyRow(epsilon=None, group='all', n=9, accuracy=.5, accuracy_low=.2, accuracy_high=.8,
                     members=9, leak=.5, leak_low=.2, leak_high=.8)
    rows = [replace(row, epsilon=e) for e in (1., 3., 8., None)]
    whole = audit_privacy(INSIDE, OUTSIDE, group='town', epsilon=1., delta=1e-6, spent={},
                          table=rows, bounds=[EpsilonBound(epsilon=.1, delta=1e-6,
                                                           method='one run', **MORE)])
    assert not any('ε' in text or 'ledger' in text for text in whole.not_measured)
    assert whole.verdict == 'not judged' and json.dumps(whole.to_dict(), allow_nan=False)


@pytest.mark.parametrize('change, says', [
    (dict(members=None), 'give `members` *and* `non_members`'),
    (dict(epsilon=1.), 'an ε *and* a δ'), (dict(claim=3.), '`claim` must be'),
    (dict(epsilon=-1., delta=1e-5), '`epsilon` of a claim'),
    (dict(epsilon=1., delta=1.), '`delta` of a claim'),
    (dict(members={'score': []}), 'must have a row or more'),
    (dict(members={'score': [1., np.nan]}), 'finite number'),
    (dict(members={'score': [1., np.inf]}), 'finite number'),
    (dict(score='nothing'), 'nothing'), (dict(fpr=0.), '`fpr`'), (dict(level=2.), '`level`'),
    (dict(policy=dict(tpr=.5, x=1)), '`x` is no key'),
])
def test_bad_input_is_named(change, says):
    asked = dict(members=INSIDE, non_members=OUTSIDE) | change
    with pytest.raises(InputError) as e: audit_privacy(**asked)
    assert says in str(e.value)


def test_a_file_of_scores_warns_of_nobody(tmp_path):
    for name, table in (('in', INSIDE), ('out', OUTSIDE)):
        rows = zip(table['score'], table['town'], strict=True)
        (tmp_path/f'{name}.csv').write_text('score,town\n' + ''.join(f'{s},{t}\n' for s, t in rows))
    found = audit_privacy(tmp_path/'in.csv', tmp_path/'out.csv', group='town')
    assert len(found.warnings) == 1 and 'Nobody looked' in found.warnings[0]


def test_nobody_is_on_both_sides(tmp_path):
    both = OUTSIDE | dict(person=np.r_[[5], OUTSIDE['person'][1:]])
    with pytest.raises(InputError, match='members must not be among the others'):
        audit_privacy(INSIDE, both, key='person')
    (tmp_path/'a.csv').write_text('score\n1\n2\n')
    with pytest.raises(InputError, match='the same file'):
        audit_privacy(tmp_path/'a.csv', tmp_path/'.'/'a.csv')


@pytest.mark.parametrize('said, says', [
    (dict(tpr=.015), 'guessing'), (dict(auc=.5), 'guess'), (dict(tpr=1.2), '`tpr`'),
    (dict(epsilon=0.), '`epsilon`'), (dict(tpr=.1, fpr=1.), '`fpr`'), (dict(), 'forbids nothing'),
    (dict(tpr=.1, level=.5), '`level`'), (dict(tpr=.1, min_count=0), '`min_count`'),
    (dict(tpr='much'), '`tpr`'), (dict(tpr=True), '`tpr`'), (dict(tpr=float('nan')), '`tpr`')])
def test_policies_that_cannot_be(said, says):
    with pytest.raises(InputError) as e: read_privacy_policy(said)
    assert says in str(e.value)


def test_the_policy_to_fill_in_can_be_read(tmp_path):
    path = tmp_path/'policy.toml'
    path.write_text(PRIVACY_POLICY)
    assert read_privacy_policy(path) == PrivacyPolicy(tpr=.05)
    path.write_text(PRIVACY_POLICY.replace('# auc', 'auc').replace('# epsilon', 'epsilon'))
    assert read_privacy_policy(path) == PrivacyPolicy(tpr=.05, auc=.6, epsilon=3.)
    assert read_privacy_policy(dict(epsilon=3)).epsilon == 3.


def test_it_needs_no_torch():
    code = ('import sys, dlcourse.privacy.dossier, dlcourse.audit.leaks\n'
            'print("torch" in sys.modules)')
    assert subprocess.run([sys.executable, '-c', code], capture_output=True,
                          text=True).stdout == 'False\n'


def test_limits_of_a_figure_are_those_of_the_attack():
    rates = rates_at(None, INSIDE['score'], OUTSIDE['score'], (4., OUTSIDE['score']), .95, None)
    found = audit_privacy(INSIDE, OUTSIDE, threshold=4.)
    shown = found.rate('everyone', 'everyone')
    assert (shown.value, shown.low, shown.high) == (rates.tpr, rates.tpr_low, rates.tpr_high)
    with pytest.raises(InputError, match='there is no `attack_tpr` of town = t0'):
        found.rate('town', 't0')
