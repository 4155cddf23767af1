"A verdict, its numbers and its sentence are about the groups that a policy judges"
import numpy as np
import pytest

from dlcourse.audit.report import audit
from dlcourse.core.errors import InputError
from dlcourse.fairness.policy import Policy
from dlcourse.fairness.scores import audit_scores

TABLE = dict(g=['a']*500 + ['b']*500 + ['c']*300, p=[1, 0]*500 + [1]*30 + [0]*270)


def judged(**policy):
    found = audit(TABLE, y_pred='p', sensitive_features='g', favorable=1,
                  policy=dict(difference={'selection_rate': .1}) | policy)
    return found, found.disparities[0]


@pytest.mark.parametrize('left', (dict(groups={'g': ['a', 'b']}), dict(min_share=.3)))
def test_a_verdict_is_about_the_groups_judged(left):
    found, d = judged(**left)
    assert (d.verdict, set(d.groups), d.value) == ('pass', {'a', 'b'}, 0.) and d.high < .1
    alone = {k: [v for v, g in zip(TABLE[k], TABLE['g'], strict=True) if g != 'c'] for k in TABLE}
    only = audit(alone, y_pred='p', sensitive_features='g', favorable=1).disparities[0]
    assert (d.low, d.high, d.p_value) == (only.low, only.high, only.p_value)
    assert "over all groups it is 40.0 points, between c and b" in found.findings[0]
    assert "in all groups that were judged" in found.findings[1]
    assert 'ratio' not in found.findings[1]


def test_who_is_not_judged_is_said_beside_what_would_decide():
    found, d = judged(groups={'g': ['a', 'b']}, difference={'selection_rate': .04})
    assert d.verdict == 'insufficient evidence' and d.rows_needed
    assert "would decide it, if the rates stay; not judged: c" in found.findings[0]


def test_a_misspelt_group_is_named_and_nothing_else_stands_for_it():
    found, d = judged(groups={'g': ['a', 'B']})
    assert d.value is None and d.groups == () and d.verdict == 'insufficient evidence'
    assert "nothing is known of B (nobody is there; did you mean b?)" in found.findings[0]


def test_the_same_of_scores():
    r, n = np.random.default_rng(0), 1200
    g, y = np.repeat(['a', 'b', 'c'], n//3), r.integers(0, 2, n)
    score = np.where(g == 'c', r.random(n), .5*y + .5*r.random(n))
    policy = Policy(difference={'roc_auc_score': .1}, groups={'g': ('a', 'b')})
    found = audit_scores(dict(g=g, y=y, s=score), score='s', y_true='y', sensitive_features=['g'],
                         policy=policy)
    d = next(d for d in found.disparities if d.metric == 'roc_auc_score' and d.tolerance)
    assert set(d.groups) == {'a', 'b'} and d.value < .1 and 'over all groups it is 0.' in d.reason


def test_a_policy_that_judges_no_attribute_is_refused():
    with pytest.raises(InputError, match="`attributes` of the policy must name one or more"):
        judged(attributes=[])
    with pytest.raises(InputError, match="`tolerance` is no key of a policy"):
        judged(tolerance=.1)
