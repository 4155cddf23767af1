"From data to report in one go"
import json
from dataclasses import asdict

import jsonschema

from dlcourse.audit.first_audit import first_audit
from dlcourse.audit.report import audit
from dlcourse.core.files import project_path
from dlcourse.privacy.dossier import audit_privacy


def test_what_it_leaves_behind_can_be_audited_again(tmp_path):
    found, saved = first_audit(tmp_path/'out')
    assert [p.name for p in saved] == [
        'report.html', 'report.json', 'junit.xml', 'privacy.html', 'privacy.json', 'policy.toml',
        'members.csv', 'non_members.csv', 'decisions.csv']
    assert all(p.stat().st_size for p in saved)
    schema = project_path('assets', 'report.schema.json').read_text(encoding='utf-8')
    jsonschema.validate(json.loads(saved[1].read_text()), json.loads(schema))
    again = audit(saved[-1], y_pred='approved', y_true='repaid', sensitive_features='race',
                  favorable=1)
    assert again.rates == [r for r in found.rates if r.attribute == 'race']
    schema = project_path('assets', 'audit.schema.json').read_text(encoding='utf-8')
    leaks = json.loads(saved[4].read_text())
    jsonschema.validate(leaks, json.loads(schema))
    same = audit_privacy(*saved[6:8], chances=['chance'], y_true='officer', key='applicant',
                         group=['sex', 'race'])
    assert [asdict(r) for r in same.rates] == leaks['rates']
    assert any('ε = 1, 3, 8' in text for text in leaks['not_measured'])
    assert {s['name'] for s in json.loads(saved[1].read_text())['sections']} == {
        'privacy', 'membership-sex', 'membership-race', 'accuracy-and-leakage'}
    black, white = (found.rate('race', g, 'true_positive_rate') for g in ('Black', 'White'))
    assert black.high < white.low, "the model carries the officers' discrimination by the district"
    verdicts = {d.verdict for d in found.disparities if d.tolerance is not None}
    assert verdicts == {'pass', 'fail', 'insufficient evidence'}, "a report that shows all three"
    assert found.source == 'decisions.csv' and found.verdict == 'fail'
