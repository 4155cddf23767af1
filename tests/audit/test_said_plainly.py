"What a reader of an audit could take wrongly is refused, or said"
import warnings

import pytest

from dlcourse.audit.report import audit
from dlcourse.audit.terminal import terminal_lines
from dlcourse.core.errors import InputError
from dlcourse.core.pages import at_least
from dlcourse.fairness.pay import pay_gaps
from dlcourse.fairness.published import audit_published

TABLE = dict(sex=['f', 'm']*100, score=[k/200 for k in range(200)], hired=[0, 1, 1, 0]*50)


@pytest.mark.parametrize(('x', 'digits', 'said'), [
    (116.9259, 3, '116.925'), (.4391, 2, '0.43'), (.439, 3, '0.439'), (-.0611, 3, '-0.062')])
def test_a_lower_bound_is_rounded_down(x, digits, said):
    assert at_least(x, digits) == said


def test_a_policys_favourable_value_is_not_turned_round():
    policy = dict(favorable='1', difference=dict(selection_rate=.1))
    asked = dict(y_pred='hired', sensitive_features='sex', policy=policy)
    assert audit(TABLE, **asked, favorable=1).favorable['prediction'] == 1
    with pytest.raises(InputError, match='`favorable` is 0 here, and 1 in the policy'):
        audit(TABLE, **asked, favorable='0')


@pytest.mark.parametrize(('threshold', 'whom'), [(5, 'nobody'), (0, 'everybody')])
def test_a_threshold_beyond_all_scores_is_said(threshold, whom):
    found = audit(TABLE, score='score', threshold=threshold, sensitive_features='sex', favorable=1)
    assert any(f'positive for {whom}' in text for text in found.warnings)
    assert any('equally frequent in all groups' in text for text in found.findings)


@pytest.mark.parametrize(('variable', 'says'), [
    ([5, 5, 40, 5], 'in 1 of 4 rows it is more than all of it'),
    ([5, -5, 5, 5], 'in 1 of 4 rows one is negative')])
def test_a_part_of_pay_that_cannot_be_one_is_refused(variable, says):
    with pytest.raises(InputError, match=says):
        pay_gaps([30]*4, ['Female', 'Male']*2, category=['a']*4, variable=variable)


@pytest.mark.parametrize('comma', ['0,420', '35,125%'])
def test_a_decimal_comma_accuses_nobody(comma):
    table = dict(group=['f', 'm'], n=['1000', '1000'], rate=[comma, '0.400'], ratio=['1', '0.952'])
    with pytest.raises(InputError, match='a decimal comma has to become a point'):
        audit_published(table)


def test_a_long_name_stays_short_in_a_terminal_and_in_a_figure(tmp_path):
    long = dict(TABLE, sex=['x'*5000, 'm']*100)
    found = audit(long, y_pred='hired', sensitive_features=['sex'])
    said = [str(line) for line in terminal_lines(found, 80)]
    assert max(map(len, said)) < 1100 and 'x'*5000 in found.to_json()
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        found.save(plot=tmp_path/'a.png')


def test_whose_stratum_is_missing_is_said():
    jobs = [None, *['cook', 'clerk', 'guard', 'pilot', 'nurse']*40][:200]
    asked = dict(y_pred='hired', sensitive_features=['sex'], strata='job', favorable=1,
                 profile=['four-fifths'])
    for missing, said in {'unknown': True, 'drop': False}.items():
        section = audit(dict(TABLE, job=jobs), missing=missing, **asked).sections[0]
        note = "Without a stratum, and so in no comparison within strata: 1 person."
        assert (note in section.notes) == said
