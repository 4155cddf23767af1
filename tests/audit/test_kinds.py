"Every kind of audit, in every form"
import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from markup import Markup

from dlcourse.audit.report import audit
from dlcourse.audit.writers import as_audit, save_audit
from dlcourse.core.errors import InputError
from dlcourse.core.files import project_path
from dlcourse.core.pages import too_few
from dlcourse.fairness.classes import audit_classes
from dlcourse.fairness.policy import Policy
from dlcourse.fairness.published import audit_published
from dlcourse.fairness.ranking import audit_ranking
from dlcourse.fairness.regression import audit_regression
from dlcourse.fairness.rows import Rows
from dlcourse.fairness.scores import audit_scores

RNG, N = np.random.default_rng(0), 1_200
SEX, Y = RNG.choice(['Female', 'Male'], N), RNG.normal(0, 1, N)
T = dict(sex=SEX, y=Y, p=Y + RNG.normal(0, 1, N) + (SEX == 'Male'), query=np.arange(N)//20,
         s=RNG.random(N) + .5*(SEX == 'Male'), good=RNG.integers(0, 2, N),
         chance=RNG.random(N), label=RNG.integers(0, 3, N))
T['guess'] = np.where((SEX == 'Male') | (RNG.random(N) < .3), T['label'], 0)
BY = dict(sensitive_features='sex')


def judged(**difference): return Policy(difference=difference)


KINDS = dict(
    scores=lambda: audit_scores(T, score='chance', y_true='good', **BY,
                                policy=judged(calibration_bias=.5, roc_auc_score=.3)),
    classes=lambda: audit_classes(T, y_pred='guess', y_true='label', **BY,
                                  policy=judged(accuracy_score=.1, true_positive_rate=.2)),
    regression=lambda: audit_regression(T, y_pred='p', y_true='y', **BY,
                                        policy=judged(mean_error=.5)),
    ranking=lambda: audit_ranking(T, query='query', score='s', **BY,
                                  policy=judged(exposure_ratio=.05)))
VERDICTS = dict(scores='pass', classes='fail', regression='fail', ranking='fail')


@pytest.mark.parametrize('kind', KINDS)
def test_every_kind_in_every_form(kind, tmp_path):
    found, folder = KINDS[kind](), Path(__file__).parent
    report = as_audit(found)
    assert (report.kind, report.verdict) == (kind, VERDICTS[kind]), report.findings
    assert report.findings[0].startswith(report.verdict.capitalize())
    paths = {form: tmp_path/f'a.{form}' for form in
             ('html', 'json', 'junit', 'sarif', 'csv', 'parquet', 'card')}
    assert len(save_audit(found, **paths, plot=tmp_path/'a.png')) == 8
    schema = json.loads(project_path('assets', 'audit.schema.json').read_text(encoding='utf-8'))
    jsonschema.validate(json.loads(paths['json'].read_text()), schema)
    sarif = json.loads((folder/'sarif-2.1.0.schema.json').read_text())
    log = json.loads(paths['sarif'].read_text())
    jsonschema.Draft4Validator(sarif).validate(log)
    assert len(log['runs'][0]['results']) == len(found.disparities)
    assert ('<failure' in paths['junit'].read_text()) == (report.verdict == 'fail')
    Markup(paths['html'].read_text())
    assert paths['csv'].read_text().count('"gap"') == len(found.disparities)


def test_what_is_no_audit_is_refused():
    with pytest.raises(InputError, match='`audit` must be what an audit found, got dict'):
        save_audit({}, json='x.json')


def test_a_printed_table_of_which_nothing_can_be_said(tmp_path):
    for rate, verdict, code in (('', 'not judged', 3), ('0.40', 'pass', 0), ('0.50', 'fail', 1)):
        path = tmp_path/'t.csv'
        path.write_text(f'group,applicants,selected,selection_rate\nF,100,40,{rate}\nM,100,70,\n')
        found = as_audit(audit_published(path))
        assert (found.verdict, found.exit_code) == (verdict, code), found.findings
        assert found.to_dict()['verdict'] == verdict


def test_one_person_is_no_people():
    assert too_few(1, 30) == '1 person, fewer than 30'
    assert too_few(0, 30) == '0 people, fewer than 30'
    t = dict(sex=['Female']*40 + ['X'], p=[1., 2.]*20 + [3.], q=list(range(41)))
    lists = audit_ranking(t, query='q', score='p', **BY)
    for found in (audit_regression(t, y_pred='p', **BY), lists):
        assert any('1 row, fewer than 30' in (v.reason or '') for v in found.values)


def test_bounds_of_clusters_say_how_they_were_made():
    t = dict(sex=SEX, good=T['good'], person=np.arange(N)//3)
    ask = dict(y_pred='good', policy=dict(difference=dict(selection_rate=.5)), favorable=1, **BY)
    for cluster, how in ((None, 'melded'), ('person', "cluster-robust sizes, with the groups'")):
        [judged] = [d for d in audit(t, cluster=cluster, **ask).disparities if d.tolerance]
        assert how in judged.method and ('melded' in judged.method) == (cluster is None)


LOSING = dict(
    scores=lambda t, **how: audit_scores(t, score='p', y_true='y', **how),
    classes=lambda t, **how: audit_classes(t, y_pred='c', y_true='y', **how),
    regression=lambda t, **how: audit_regression(t, y_pred='p', y_true='y', **how),
    ranking=lambda t, **how: audit_ranking(t, score='p', query='q', **how))


@pytest.mark.parametrize('missing', ['drop', 'unknown'])
@pytest.mark.parametrize('kind', LOSING)
def test_whose_rows_were_left_out_is_said(kind, missing):
    n = np.arange(1_000)
    lost = (n % 2 == 1) & (n % 5 == 1)
    table = dict(g=np.where(n % 2, 'b', 'a').tolist(), y=(n//2 % 2).tolist(), q=(n % 50).tolist(),
                 p=[None if out else k % 97/97 for k, out in zip(n.tolist(), lost, strict=True)],
                 c=[None if out else k//3 % 2 for k, out in zip(n.tolist(), lost, strict=True)])
    found = as_audit(LOSING[kind](table, sensitive_features='g', missing=missing))
    said = ' '.join(found.warnings)
    assert said.startswith('100 of 1,000 rows were left out') and 'is missing in 100 rows' in said
    assert '20.0 % of `g` = b were dropped and 0.0 % of a' in said
    whole = {k: [v for v, out in zip(column, lost, strict=True) if not out]
             for k, column in table.items()}
    assert not as_audit(LOSING[kind](whole, sensitive_features='g')).warnings


@pytest.mark.parametrize('audit_of, twice', [
    (audit_scores, dict(score='y', y_true='y')), (audit_classes, dict(y_pred='y', y_true='y')),
    (audit_regression, dict(y_pred='y', y_true='y'))])
def test_an_answer_is_no_prediction_of_itself(audit_of, twice):
    for data, more in ((T, twice | BY), (Rows(data=T, **twice, **BY), {}),
                       (Rows(data=T, **BY), twice)):
        with pytest.raises(InputError, match='`y` is given twice, as'):
            audit_of(data, **more)


def test_classes_that_no_prediction_shares_are_refused():
    words = dict(sex=['a', 'b']*50, y=['cat', 'dog']*50, p=['Cat', 'Dog']*50)
    with pytest.raises(InputError, match='no class in common, such as Cat and cat'):
        audit_classes(words, y_pred='p', y_true='y', **BY)
    with pytest.raises(InputError, match='no class in common'):
        audit_classes(words | dict(p=[0, 1]*50), y_pred='p', y_true='y', **BY)


def test_names_are_looked_at_where_no_label_is():
    n = np.arange(400)
    table = {'g': np.array(['Ulm', 'ulm', 'N/A'])[n % 3], 'g, class': n % 2, 'c': n % 5}
    found = as_audit(audit_classes(table, y_pred='c', sensitive_features=['g', 'g, class']))
    first, second = found.warnings
    assert "`g` holds 'N/A' (133 rows)" in first
    assert "`g` holds 'Ulm' (134 rows) and 'ulm' (133 rows), which differ in case only" in second


@pytest.mark.parametrize('kind', LOSING)
def test_what_was_asked_can_be_asked_again(kind):
    n = np.arange(400)
    table = dict(g=np.array(['Ulm', 'ulm', 'N/A', 'Bonn'])[n % 4], y=n//2 % 2, q=n % 20,
                 p=n % 97/97, c=n//3 % 2)
    policy = Policy(min_count=20, difference={dict(
        scores='roc_auc_score', classes='accuracy_score', regression='mean_error',
        ranking='top_ratio')[kind]: .9} if kind != 'ranking' else {}, ratio={})
    found = as_audit(LOSING[kind](table, sensitive_features='g', policy=policy))
    report = json.loads(found.to_json())
    jsonschema.validate(report, json.loads(project_path('assets', 'audit.schema.json').read_text()))
    asked = report['asked']
    assert asked['sensitive'] == ['g'] and asked['rows'] == asked['rows_used'] == 400
    assert asked['smallest_group'] == 20 and ('policy' in asked) == (kind != 'ranking')
    if kind == 'ranking': assert (asked['query'], asked['k'], asked['seed']) == ('q', 10, 0)
    page = found.to_html().partition('How to reproduce this</h2>')[2]
    assert '<dt>Sensitive<dd>g' in page and '<dt>Rows used<dd>400' in page
    said = ' '.join(found.warnings)
    assert "'Ulm' (100 rows) and 'ulm' (100 rows), which differ in case only" in said
    assert "`g` holds 'N/A' (100 rows), which is taken as a group" in said


@pytest.mark.parametrize('kind', LOSING)
def test_how_a_file_was_read_can_be_done_again(kind, tmp_path):
    n = np.arange(200)
    lines = [f'{"äb"[k % 2]};{k//2 % 2};{k % 20};{k % 97/97};{k//3 % 2}' for k in n]
    (tmp_path/'t.csv').write_text('\n'.join(['g;y;q;p;c', *lines]), encoding='latin-1')
    found = LOSING[kind](tmp_path/'t.csv', sensitive_features='g', encoding='latin-1',
                         delimiter=';', level=.9)
    assert {k: found.asked[k] for k in ('encoding', 'delimiter', 'level')} == dict(
        encoding='latin-1', delimiter=';', level=.9)
    page = as_audit(found).to_html().partition('How to reproduce this</h2>')[2]
    for row in ('<dt>Encoding<dd>latin-1', '<dt>Delimiter<dd>;', '<dt>Level<dd>0.9'):
        assert row in page
