"One call: polarity, thresholds and policies, tables and arrays, and what is refused"
import io
import subprocess
import sys

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest
from engines import in_files

from dlcourse.audit.report import audit as run_audit
from dlcourse.audit.terminal import terminal_lines
from dlcourse.core.errors import InputError
from dlcourse.fairness.policy import Policy


def values(found): return [(r.attribute, r.group, r.metric, r.value, r.low) for r in found.rates]


def test_gaps_equal_fairlearns(people, audit):
    from fairlearn.metrics import (
        demographic_parity_difference,
        demographic_parity_ratio,
        equal_opportunity_difference,
    )
    t = people()
    found = audit(t, sensitive_features='race', min_count=1)
    gaps = {(d.metric, d.kind): d.value for d in found.disparities}
    who = dict(y_true=t['y'], y_pred=t['p'], sensitive_features=t['race'])
    for key, theirs in {('selection_rate', 'difference'): demographic_parity_difference,
                        ('selection_rate', 'ratio'): demographic_parity_ratio,
                        ('true_positive_rate', 'difference'): equal_opportunity_difference}.items():
        assert gaps[key] == pytest.approx(theirs(**who), abs=1e-12)


# Polarity, thresholds, policies

@pytest.fixture
def words(people):
    t = people()
    return t | dict(p=np.where(t['p'] == 1, 'High', 'Low'))


def test_favorable_is_a_value_or_a_class(words, audit):
    asked = dict(positive=['High'], sensitive_features='sex', y_true=None)
    for good in ('Low', 0, '0'):
        found = audit(words, favorable=good, **asked)
        assert found.favorable == dict(prediction=0, values=['Low'])
        no, yes = (found.rate('sex', 'Male', f'{m}_rate').value for m in ('favorable', 'selection'))
        assert no == pytest.approx(1 - yes)
    turned = audit(words, favorable='High', **asked)
    assert not any(r.metric == 'favorable_rate' for r in turned.rates)
    says = r"`favorable` must be a value of the prediction \(.*\) or its class, 0 or 1; got 'Mid'"
    with pytest.raises(InputError, match=says): audit(words, favorable='Mid', **asked)


def test_favorable_follows_the_value_and_not_the_class(audit):
    found = audit(positive=['0'], favorable=0, y_true=None, sensitive_features='sex')
    assert found.favorable == dict(prediction=1, values=['0']), "0 is declared positive: class 1"


def test_a_threshold_makes_decisions_of_scores(people, audit):
    t, asked = people(), dict(sensitive_features='sex')
    direct = audit(t | dict(p=(t['s'] >= .3).astype(int)), **asked)
    for more in (dict(y_pred='s', threshold=.3), dict(y_pred=None, score='s', threshold=.3)):
        found = audit(t, **asked, **more)
        assert (found.tally.counts.n == direct.tally.counts.n).all()
        said = found.to_dict()['classes']['prediction']
        assert said == dict(positive=['at least 0.3'], negative=['under 0.3'])
    with pytest.raises(InputError, match="`threshold` makes decisions of a `score`"):
        audit(score='s', threshold=.3)
    with pytest.raises(InputError, match="there are no decisions to audit: give `y_pred`"):
        audit(y_pred=None)
    with pytest.raises(InputError, match="`s` holds probabilities"): audit(y_pred='s')


@pytest.mark.parametrize('tolerance, biased, code', [
    (None, False, 0), (.9, False, 0), (.001, False, 3), (.001, True, 1)])
def test_the_exit_code_is_the_worst_verdict(people, audit, tolerance, biased, code):
    t = people(6000, seed=1)
    if biased: t['p'] = np.where(t['sex'] == 'Male', 1, t['p'])
    policy = None if tolerance is None else Policy(difference=dict(selection_rate=tolerance))
    found = audit(t, policy=policy, y_true=None)
    assert found.exit_code == code and (found.verdict == 'fail') == biased


def test_a_ratio_is_judged_only_where_the_favourable_prediction_is_known(audit):
    with pytest.raises(InputError, match="the policy judges ratios"):
        audit(favorable=None, policy=Policy(ratio=dict(selection_rate=.8)))


def test_the_policy_wins_over_settings(tmp_path, audit):
    ini = '[audit]\nmin_count = 7\nmax_difference = 0.9\nlevel = 0.8\n'
    (tmp_path/'settings.ini').write_text(ini)
    found = audit(sensitive_features='sex')
    assert (found.min_count, found.level) == (7, .8)
    assert found.policy.difference['selection_rate'] == .9
    policy = tmp_path/'p.toml'
    policy.write_text('min_count = 9\nlevel = 0.9\nfavorable = 0\n'
                      '[difference]\naccuracy_score = 0.2\n')
    asked = dict(policy=policy, favorable=None, sensitive_features='sex')
    found = audit(**asked)
    assert (found.min_count, found.level, found.favorable['prediction']) == (9, .9, 0)
    assert found.policy.difference == dict(accuracy_score=.2)
    assert audit(**asked, min_count=3).min_count == 3


@pytest.mark.parametrize('policy, more, says', [
    (Policy(difference=dict(true_positive_rate=.1)), dict(y_true=None),
     "the policy judges `true_positive_rate`, which needs true outcomes; give `y_true`"),
    (Policy(ratio=dict(favorable_rate=.8)), {},
     "the policy judges `favorable_rate`, which is only there where"),
    (Policy(difference=dict(selection_rate=.1), attributes=('sexx',)), {},
     "the policy judges `sexx`, which is not audited here; there are: sex, race, sex × race")])
def test_a_policy_never_passes_by_emptiness(policy, more, says, audit):
    with pytest.raises(InputError, match=says): audit(policy=policy, **more)


def test_settings_judge_without_a_label(monkeypatch, audit):
    monkeypatch.setenv('DLCOURSE_MAX_DIFFERENCE', '0.9')
    found = audit(y_true=None, sensitive_features='sex')
    assert found.policy.difference == dict(selection_rate=.9)


def test_groups_out_of_scope_are_listed_and_cannot_pass(audit, audited):
    policy = Policy(difference=dict(selection_rate=.9), attributes=('race',), min_share=.05)
    found = audit(policy=policy)
    assert list(found.to_dict()['out_of_scope']['race']) == ['D'] and found.verdict == 'pass'
    said = "it is not about them"
    assert said in found.to_html() and said not in audited('plain').to_html()


def test_attributes_are_crossed_to_a_depth(people, audit):
    t = people(300)
    t = t | {'age': np.where(np.arange(300) % 3, 'young', 'old'), 'a × b': t['sex']}
    three = dict(sensitive_features=['sex', 'race', 'age'], y_true=None)
    names = list(dict.fromkeys(r.attribute for r in audit(t, **three).rates))
    assert names[:3] == ['sex', 'race', 'age']
    assert names[3:] == ['sex × race', 'sex × age', 'race × age', 'sex × race × age']
    assert len({r.attribute for r in audit(t, **three, depth=1).rates}) == 3
    strange = audit(t, sensitive_features=['a × b', 'race'], y_true=None).to_dict()
    assert strange['population'][0]['attribute'] == 'a × b'


# Files

def test_a_file_gives_what_a_frame_gives(tmp_path, monkeypatch, people, audit):
    monkeypatch.setenv('SOURCE_DATE_EPOCH', '0')
    asked = dict(score='s', sample_weight='s', sensitive_features='sex')
    wanted = audit(people(), **asked)
    assert wanted.created == '1970-01-01T00:00:00Z'
    for path in in_files(people(), tmp_path):
        found = audit(path, **asked)
        assert found.source == path.name
        for (*a, value, low), (*b, want, limit) in zip(values(found), values(wanted), strict=True):
            assert a == b and value == pytest.approx(want, rel=1e-9)
            assert low == limit or low == pytest.approx(limit, rel=1e-9)


def test_only_the_columns_asked_for_are_read(tmp_path):
    query = "select 'g' || range % 2 as sex, range % 2 as p, 'x' as x, 'y' as \"X\" from range(100)"
    duckdb.sql(query).write_csv(str(tmp_path/'t.csv'))
    assert run_audit(tmp_path/'t.csv', y_pred='p', sensitive_features='sex').tally.rows == 100


# Arrays, as scikit-learn and fairlearn take them

def test_arrays_give_what_names_give(people, audited):
    t, by_name = people(), audited('plain')
    groups = {k: t[k] for k in ('sex', 'race')}
    p, y = pd.Series(t['p'], name='p'), pd.Series(t['y'], name='y')
    found = run_audit(y_pred=p, y_true=y, sensitive_features=groups, favorable=1)
    assert found.rates == by_name.rates and found.columns == by_name.columns
    beside = dict(y_pred=t['p'], sensitive_features=['sex', 'race'], favorable=1)
    by_name = audited('no label')
    assert run_audit(pl.DataFrame(t), **beside).rates == by_name.rates
    for features in (pd.DataFrame(groups), pl.DataFrame(groups)):
        found = run_audit(y_pred=p, sensitive_features=features, favorable=1)
        assert found.rates == by_name.rates and found.columns == by_name.columns


def test_arrays_without_names_get_some(people, audited):
    t = people()
    both = np.column_stack([t['sex'], t['race']]).astype(object)
    found = run_audit(y_pred=t['p'].tolist(), sensitive_features=both, favorable=1)
    assert found.columns['sensitive'] == ['sensitive_feature_0', 'sensitive_feature_1']
    assert found.columns['prediction'] == 'y_pred'
    assert [r.value for r in found.rates] == [r.value for r in audited('no label').rates]


def test_rows_that_are_not_the_same_people_are_refused(people):
    t = people(100)
    sex = pd.Series(t['sex'], name='sex')
    for how, says in [
        (dict(y_pred=pd.Series(t['p']), sensitive_features=sex.sort_values()),
         "has other row labels than `"),
        (dict(y_pred=t['p'], y_true=t['y'][:99], sensitive_features=sex),
         "all columns must have the same rows; got 100 in `y_pred`, 99 in `y_true`"),
        (dict(data='t.csv', y_pred=t['p'], sensitive_features='sex'),
         "the columns of a file are given by name"),
        (dict(y_pred='p', sensitive_features=sex),
         "`y_pred` names a column, 'p', and there is no table")]:
        with pytest.raises(InputError, match=says): run_audit(**how)


def test_names_of_columns_do_not_collide(people):
    t = people(200)
    groups = {'y_pred': t['sex'], 'y_true': t['race']}
    found = run_audit(y_pred=t['p'], y_true=t['y'], sensitive_features=groups, min_count=1)
    assert found.columns['sensitive'] == ['y_pred (2)', 'y_true (2)']
    assert found.columns['prediction'] == 'y_pred'


def test_a_policy_about_a_score_is_sent_to_the_audit_that_judges_it():
    table = dict(g=['a', 'b']*40, yes=[0, 1, 1, 0]*20)
    with pytest.raises(InputError, match='`roc_auc_score`, which needs a `score`'):
        run_audit(table, y_pred="yes", sensitive_features="g", missing="drop",
                  policy=Policy(difference=dict(roc_auc_score=.1)))
    with pytest.raises(InputError, match='`rmse` cannot be judged by a policy yet'):
        Policy(difference=dict(rmse=.1))


def test_kish_only_where_weights_are_known_to_be_independent():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 900)
    w = np.where(y, 10., 1.)*rng.uniform(.5, 1.5, 900)
    t = dict(g=np.array(['a', 'b', 'c'])[np.arange(900) % 3], y=y, w=w)
    asked = dict(y_pred='y', sensitive_features='g', sample_weight='w')
    careful, told = (run_audit(t, **asked, independent_weights=i) for i in (False, True))
    for found, how in ((careful, 'Wilson, linearized size'),
                       (told, "Wilson, Kish's size: weights said to be independent")):
        assert {r.method for r in found.rates if r.metric == 'selection_rate'} == {how}
    for r in (r for r in told.rates if r.metric == 'selection_rate'):
        own = w[t['g'] == r.group]
        assert r.effective == pytest.approx(own.sum()**2/(own**2).sum())


@pytest.mark.parametrize('more', [{}, dict(cluster='c'), dict(sample_weight='w', cluster='c'),
                                  dict(sample_weight='w', independent_weights='yes')])
def test_independence_is_said_of_weights_that_are_there(more):
    t = dict(g=['a', 'b']*50, y=[0, 1, 1, 1]*25, w=[1., 2.]*50, c=list(range(50))*2)
    asked = dict(y_pred='y', sensitive_features='g', independent_weights=True) | more
    with pytest.raises(InputError, match='`independent_weights`'): run_audit(t, **asked)


def test_a_long_name_of_a_group_is_folded_in_a_terminal_and_not_cut():
    from rich.console import Console
    name = 'a group whose name is longer than a terminal has room for, and that ends with an end'
    found = run_audit(dict(g=[name, 'b']*40, p=[1, 0, 0, 1]*20), y_pred='p', sensitive_features='g')
    paper = Console(width=80, record=True, file=io.StringIO())
    paper.print(found)
    said = ' '.join(paper.export_text().split())
    assert 'ends with' in said and '…' not in said


def test_an_audit_of_decisions_reads_no_heavy_library():
    "What privacy and federations need is read when one of theirs is shown"
    code = ('import sys, dlcourse.audit.report; print([m for m in sys.modules if m in '
            '("scipy.stats", "scipy.optimize", "matplotlib.pyplot", "pandas", "torch", "flwr")])')
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                          check=True).stdout.strip() == '[]'


@pytest.fixture
def apart():
    "Two groups whose ratio is .7, and a third of five people"
    outcomes = [1]*60 + [0]*40, [1]*42 + [0]*58, [1, 0, 0, 0, 0]
    return dict(g=['a']*100 + ['b']*100 + ['c']*5, p=sum(outcomes, []))


FIFTHS = dict(y_pred='p', sensitive_features='g', favorable=1, profile='four-fifths')


def test_a_policy_does_not_silence_the_profile(apart):
    of = {d.kind: d for d in run_audit(apart, policy=dict(difference=dict(selection_rate=.9)),
                                       **FIFTHS).disparities if d.tolerance is not None}
    assert of['ratio'].tolerance == .8 and of['difference'].tolerance == .9
    laxer = run_audit(apart, policy=dict(ratio=dict(selection_rate=.5)), **FIFTHS)
    assert {d.tolerance for d in laxer.disparities} >= {.5} and laxer.sections[0].findings[0] == (
        "The policy tolerates a ratio of 0.5, and the rule's line is 0.8: the verdict is the "
        "policy's, and what the rule says stands here.")
    stricter = run_audit(apart, policy=dict(ratio=dict(selection_rate=.9)), **FIFTHS)
    assert not stricter.sections[0].findings[0].startswith('The policy')


def test_who_is_withheld_is_in_no_section(apart):
    section = run_audit(apart, **FIFTHS).sections[0]
    assert [row[0] for row in section.tables[0]['rows']] == ['a', 'b']
    assert section.findings[-1] == 'Too few people for a comparison: c (5).'
    nobody = run_audit(apart, min_count=101, **FIFTHS).sections[0]
    assert nobody.findings == ('No two groups are large enough to be compared.',)


def test_a_table_that_is_in_no_terminal_is_not_promised_in_a_wider_one(apart):
    from rich.console import Console
    def shown(width):
        out = io.StringIO()
        Console(file=out, width=width).print(*terminal_lines(run_audit(apart, **FIFTHS), width))
        return ' '.join(out.getvalue().split())
    narrow, wide = shown(80), shown(250)
    assert 'in a wider terminal: “Four fifths, by g”' in narrow and 'Four fifths, by g' in wide
    assert 'wider terminal' not in wide and '(--html): “The four-fifths rule' in wide


def test_a_ratio_of_the_unfavourable_outcome_is_not_judged_unasked():
    table = dict(d=[0, 1]*50, g=['A', 'B']*50)
    asked = dict(y_pred='d', sensitive_features=['g'], favorable=0)
    with pytest.raises(InputError, match='judge that of `favorable_rate`'):
        run_audit(table, **asked, policy=Policy(ratio={'selection_rate': .8}))
    found = run_audit(table, **asked, policy=Policy(ratio={'favorable_rate': .8}))
    assert found.exit_code == 1


def test_a_favourable_value_that_never_came_is_named():
    found = run_audit(dict(d=[0]*60, g=['A', 'B']*30), y_pred='d', sensitive_features=['g'],
                      favorable=1)
    assert found.favorable['values'] == ['1, which no row has']
