"Remedies are judged by a policy, each in every split, and the report says whether one is enough"
import json

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from dlcourse.audit.kinds import judge_remedies
from dlcourse.audit.writers import save_audit
from dlcourse.core.errors import InputError
from dlcourse.fairness.frontier import mitigate
from dlcourse.fairness.policy import Policy


@pytest.fixture(scope='module')
def tried():
    rng = np.random.default_rng(0)
    group = rng.choice(['a', 'b'], 20_000)
    x = rng.normal(size=(20_000, 2)) + .8*(group == 'a')[:, None]
    y = (x.sum(1) + rng.normal(size=20_000) > 1).astype(int)
    return mitigate(x, y, group, estimator=LogisticRegression(), strengths=(1.,), seeds=2,
                    methods=('none', 'threshold_optimizer'))


@pytest.mark.parametrize(('tolerance', 'none', 'whole'), [
    (.1, 'fail', 'pass'), (.9, 'pass', 'pass'), (.001, 'fail', 'insufficient evidence')])
def test_each_remedy_has_a_verdict_and_the_report_the_best_of_them(tried, tolerance, none, whole):
    found = judge_remedies(tried, Policy(difference=dict(selection_rate=tolerance)))
    assert found.verdicts['none', 0.] == none and found.verdict == whole
    assert len(found.findings) > len(tried.findings) and 'over 2 splits' in found.findings[0]
    gaps = [d for d in found.disparities if d.verdict != 'not judged']
    assert len(gaps) == 4 and all(d.family == 8 for d in gaps)


def test_where_no_remedy_is_left_the_report_fails(tried):
    assert judge_remedies(tried, Policy(difference=dict(true_positive_rate=0.))).verdicts[
        'none', 0.] == 'fail'
    alike = judge_remedies(tried, Policy(ratio=dict(selection_rate=1.), min_count=5_000))
    assert alike.verdict == 'insufficient evidence'


def test_it_is_written_as_other_audits_are(tried, tmp_path):
    policy = tmp_path/'p.toml'
    policy.write_text('[difference]\nselection_rate = 0.1\n')
    found = judge_remedies(tried, policy)
    save_audit(found, json=tmp_path/'a.json', html=tmp_path/'a.html', csv=tmp_path/'a.csv')
    kept = json.loads((tmp_path/'a.json').read_text(encoding='utf-8'))
    assert kept['verdict'] == 'pass'
    assert {d['verdict'] for d in kept['disparities']} >= {'pass', 'fail'}
    assert 'strength 1: pass, over 2 splits' in (tmp_path/'a.html').read_text(encoding='utf-8')


@pytest.mark.parametrize(('policy', 'says'), [
    (Policy(), 'must tolerate something'),
    (Policy(difference=dict(selection_rate=.1), attributes=('sex',)), 'name no attribute'),
    (Policy(difference=dict(selection_rate=.1), groups=dict(sex=('a', 'b'))), 'name no attribute'),
    (Policy(difference=dict(roc_auc_score=.1)), '`roc_auc_score`')])
def test_a_policy_of_other_things_is_refused(tried, policy, says):
    with pytest.raises(InputError, match=says): judge_remedies(tried, policy)
