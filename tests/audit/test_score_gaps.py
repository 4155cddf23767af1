"A gap of a score is judged beside the gaps of decisions, in every form"
import csv
import io
import json

import jsonschema
import numpy as np
import pytest

from dlcourse.audit.report import audit
from dlcourse.core.errors import InputError
from dlcourse.core.files import project_path
from dlcourse.fairness.policy import Policy

JUDGED = Policy(difference=dict(selection_rate=.5, roc_auc_score=.05, calibration_bias=.05))


@pytest.fixture(scope='module')
def people():
    "The score ranks men well and women by lot, and says too little about them"
    rng, n = np.random.default_rng(0), 3_000
    sex, chance = rng.choice(['Female', 'Male'], n), rng.random(n)
    label = rng.random(n) < np.where(sex == 'Male', chance, .7)
    return dict(sex=sex, score=chance.round(3), good=label.astype(int), paid=rng.integers(0, 2, n))


ASKED = dict(y_pred='paid', y_true='good', score='score', sensitive_features='sex')


def test_the_verdict_sees_the_score(people):
    found = audit(people, **ASKED, policy=JUDGED)
    gaps = {d.metric: d for d in found.disparities if d.tolerance is not None}
    assert {m: d.verdict for m, d in gaps.items()} == dict(
        selection_rate='pass', roc_auc_score='fail', calibration_bias='fail')
    assert (found.verdict, found.exit_code) == ('fail', 1)
    assert {d.family for d in gaps.values()} == {6}, "two groups, three metrics, both ways"
    assert found.findings[0].startswith(('Fail: AUC by sex', 'Fail: calibration bias by sex'))
    assert any('Calibration bias' in f or 'calibration bias' in f for f in found.findings)
    assert audit(people, **ASKED).verdict == 'not judged'


def test_every_form_has_the_gaps_of_the_score(people):
    found = audit(people, **ASKED, policy=JUDGED)
    schema = json.loads(project_path('assets', 'report.schema.json').read_text(encoding='utf-8'))
    report = json.loads(found.to_json())
    jsonschema.validate(report, schema)
    assert report['metrics']['roc_auc_score']['label'] == 'AUC'
    assert found.to_junit().count('<failure') == 2
    assert {r['ruleId'] for r in json.loads(found.to_sarif())['runs'][0]['results']
            if r['kind'] == 'fail'} == {'roc_auc_score/difference', 'calibration_bias/difference'}
    rows = list(csv.DictReader(io.StringIO(found.to_csv())))
    assert {(r['group'], r['metric']) for r in rows if r['metric'] == 'roc_auc_score'} >= {
        ('Female', 'roc_auc_score'), ('Male', 'roc_auc_score'), ('', 'roc_auc_score')}
    assert 'AUC by sex' in found.to_html() and 'AUC' in found.to_card()


def test_a_score_that_is_not_there_is_not_judged_in_silence(people):
    with pytest.raises(InputError, match='`roc_auc_score`, which needs a `score` and true'):
        audit(people, **ASKED | dict(score=None), policy=JUDGED)
    with pytest.raises(InputError, match='`mae`, which is not judged where fairness is audited'):
        audit(people, **ASKED, policy=Policy(difference=dict(mae=.1)))
    logits = people | dict(score=people['score']*8 - 4)
    found = audit(logits, **ASKED, policy=JUDGED)
    [gap] = [d for d in found.disparities if d.metric == 'calibration_bias']
    assert gap.verdict == 'insufficient evidence' and 'no chances' in gap.reason
