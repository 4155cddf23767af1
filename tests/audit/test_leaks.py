"An attack and a dossier in every form that an audit has"
import json
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import numpy as np
import polars as pl
import pytest
from markup import Markup

from dlcourse.audit.first_audit import attack_tables, audit_leaks
from dlcourse.audit.leaks import beside_bias, meeting_rows
from dlcourse.audit.report import audit
from dlcourse.audit.writers import as_audit, save_audit
from dlcourse.core.files import project_path
from dlcourse.data.synthesis import lending
from dlcourse.privacy.bounds import EpsilonBound
from dlcourse.privacy.dossier import PrivacyRow, audit_privacy
from dlcourse.privacy.leakage import audit_membership

EVIL = '<script>alert(1)</script> | `x`'
RNG, N = np.random.default_rng(0), 3_000
TOWN = np.repeat(['Nord', EVIL], N//2)
INSIDE, OUTSIDE = (dict(score=RNG.normal(0, 1, N), town=TOWN) for _ in range(2))
INSIDE['score'][:300] += 8
TABLE = [PrivacyRow(epsilon=e, group='town = Nord', n=900, accuracy=.7, accuracy_low=.67,
                    accuracy_high=.73, members=900, leak=.55, leak_low=.52, leak_high=.58)
         for e in (None, 8., 1.)]
BOUND = EpsilonBound(epsilon=4., delta=1e-5, method=EVIL, confidence=.95, evidence={})
CODES = {'pass': 0, 'not judged': 0, 'fail': 1, 'insufficient evidence': 3}
CASES = dict(
    fail=dict(policy=dict(tpr=.05)), refuted=dict(claim=(3., 1e-5), bounds=[BOUND]),
    open=dict(policy=dict(tpr=.11)), unknown=dict(policy=dict(tpr=.3, epsilon=2.)),
    passed=dict(policy=dict(tpr=.3, auc=.9, epsilon=4.), claim=(3., 1e-5)), silent={})
VERDICTS = dict(fail='fail', refuted='fail', open='fail', unknown='insufficient evidence',
                passed='pass', silent='not judged')


@pytest.mark.parametrize('case', CASES)
def test_every_form(case, tmp_path):
    found = audit_privacy(INSIDE, OUTSIDE, group='town', table=TABLE, spent={EVIL: 1.5},
                          **CASES[case])
    report = as_audit(found)
    assert report.verdict == found.verdict == VERDICTS[case], report.findings
    assert report.exit_code == CODES[report.verdict] and report.kind == 'privacy'
    paths = {form: tmp_path/f'a.{form}' for form in
             ('html', 'json', 'junit', 'sarif', 'csv', 'parquet', 'card')}
    assert len(save_audit(found, **paths, plot=tmp_path/'a.png')) == 8
    schema = json.loads(project_path('assets', 'audit.schema.json').read_text(encoding='utf-8'))
    jsonschema.validate(json.loads(paths['json'].read_text()), schema)
    log = json.loads(paths['sarif'].read_text())
    sarif = json.loads((Path(__file__).parent/'sarif-2.1.0.schema.json').read_text())
    jsonschema.Draft4Validator(sarif).validate(log)
    kinds = [r['kind'] for r in log['runs'][0]['results']]
    assert len(kinds) == max(1, len(found.disparities))
    suites = ET.fromstring(paths['junit'].read_bytes())
    assert bool(list(suites.iter('failure'))) == (report.verdict == 'fail')
    assert bool(list(suites.iter('error'))) == any(
        d.verdict == 'insufficient evidence' for d in found.disparities)
    page = paths['html'].read_text()
    Markup(page)
    assert '<script' not in page.lower() and 'Largest gaps' not in page
    for text in found.not_measured: assert text.split(':')[0].split(' = ')[0] in page
    body = paths['card'].read_text().split('---', 2)[2] # What is shown of a card
    assert '<script' not in body and '&lt;script' in body
    frame = pl.read_parquet(paths['parquet'])
    assert frame.filter(pl.col('metric') == 'attack_tpr').height


def test_an_attack_alone():
    found = audit_membership(INSIDE, OUTSIDE, group='town', tolerances=dict(tpr=.05))
    report = as_audit(found)
    assert (report.kind, report.verdict, report.exit_code) == ('membership', 'fail', 1)
    assert report.findings[0].startswith('Fail: members found, everyone')
    Markup(report.to_html())
    schema = json.loads(project_path('assets', 'audit.schema.json').read_text(encoding='utf-8'))
    jsonschema.validate(json.loads(report.to_json()), schema)
    assert report.not_measured == tuple(found.not_measured)


def test_a_terminal_says_what_a_page_says(capsys):
    from rich import print as show
    show(as_audit(audit_privacy(INSIDE, OUTSIDE, policy=dict(tpr=.11))))
    out = ' '.join(capsys.readouterr().out.split())
    assert 'Verdict: insufficient evidence' in out and 'non-members would decide it' in out
    assert 'A lower bound on ε' not in out


def test_bias_and_privacy_of_one_model():
    people = lending()
    members, others = attack_tables(people)
    leaks = audit_leaks(members, others)
    assert leaks.verdict == 'not judged' and leaks.membership[0].p_value > .05
    assert leaks.checked
    decided = others | dict(approved=(others['chance'] >= .5).astype(int))
    bias = audit(decided, y_pred='approved', y_true='officer', sensitive_features=['sex', 'race'],
                 favorable=1)
    rows = meeting_rows(bias, leaks, None)
    assert {r.group for r in rows} >= {'sex = Female', 'race = Black'}
    female = next(r for r in rows if r.group == 'sex = Female')
    assert female.accuracy == bias.rate('sex', 'Female', 'accuracy_score').value
    assert female.leak == leaks.rate('sex', 'Female', 'attack_auc').value
    both = beside_bias(bias, leaks)
    assert both.verdict == bias.verdict and both.rates == bias.rates
    assert [s.name for s in both.sections][-3:] == ['privacy', 'membership-sex', 'membership-race']
    whole = both.to_html()
    for text in ('A stronger attack may find more', *leaks.not_measured, *leaks.warnings):
        assert text in whole, text
    assert any('On privacy: The attack finds' in text for text in both.findings)
    native = next(g for g in leaks.membership[1].groups if g.group == 'Native')
    assert native.checked < 30 and native.fpr is None and native.tpr is not None
    schema = json.loads(project_path('assets', 'report.schema.json').read_text(encoding='utf-8'))
    jsonschema.validate(json.loads(both.to_json()), schema)
    Markup(both.to_html())
