"What an audit holds: values that follow their schema, and sentences made from them"
import html
import json

import jsonschema
import pytest

from dlcourse.audit.writers import web_page
from dlcourse.core.errors import InputError
from dlcourse.core.files import project_path
from dlcourse.fairness.policy import Policy
from dlcourse.fairness.wording import gap_sentence

SCHEMA = json.loads(project_path('assets', 'report.schema.json').read_text(encoding='utf-8'))


def test_json_follows_its_schema(every):
    text = every.to_json()
    assert 'NaN' not in text and 'Infinity' not in text
    report = json.loads(text)
    jsonschema.validate(report, SCHEMA, format_checker=jsonschema.FormatChecker())
    rates, gaps = report['rates'], report['disparities']
    assert {r['metric'] for r in (*rates, *gaps)} <= set(report['metrics'])
    assert all(d['low'] <= d['value'] <= d['high'] for d in gaps if d['low'] is not None)
    assert (every.favorable is None) == all(d['kind'] == 'difference' for d in gaps)


def test_rates_and_gaps_say_what_they_rest_on(audited):
    report = audited('plain').to_dict()
    assert {'attribute', 'group', 'metric', 'value', 'low', 'high', 'numerator', 'denominator', 'n',
            'status', 'reason', 'level', 'method'} <= set(report['rates'][0])
    assert {'attribute', 'metric', 'kind', 'groups', 'comparator', 'value', 'low', 'high',
            'tolerance',
            'level', 'method', 'adjusted', 'family', 'verdict'} <= set(report['disparities'][0])
    assert {r['attribute'] for r in report['rates']} == {'sex', 'race', 'sex × race'}
    assert report['verdict'] == 'not judged' and report['policy'] is None


def test_findings_name_the_extremes(audit):
    n = 1000
    t = dict(sex=['Female', 'Male']*n, p=[0, 1, 1, 1]*(n//2), y=[1]*2*n)
    found = audit(t, sensitive_features='sex').to_dict()
    assert found['findings'][0] == (
        "By sex, the favourable outcome is rarest for Female (50.0 %) and most common for Male "
        "(100.0 %): 50.0 points apart, a ratio of 0.50; with 95 % confidence the true gap is 46.3 "
        "to "
        "53.1 points.")


@pytest.mark.parametrize('most, verdict', [(.01, 'fail'), (.65, 'insufficient evidence'),
                                            (.9, 'pass')])
def test_a_verdict_is_the_same_sentence_in_every_form(audit, most, verdict):
    t = dict(sex=['Female', 'Male']*100, p=[0, 1, 1, 1, 0, 1]*33 + [0, 1], y=[1]*200)
    found = audit(t, sensitive_features='sex', policy=Policy(difference=dict(selection_rate=most)))
    [gap] = [d for d in found.disparities if d.verdict == verdict]
    said = gap_sentence(gap, found.rates)
    for part in ('Female', 'Male', 'points', 'of 100', f'at most {100*most:.1f} points',
                 'people in each group' if verdict[0] == 'i' else ''): assert part in said
    assert found.findings[0] == f'{verdict.capitalize()}: {said}'
    assert all(said[1:] in html.unescape(text) for text in (
        found.to_html(), found._repr_html_(), json.dumps(found.to_dict(), ensure_ascii=False),
        found.to_junit() + said*(verdict == 'pass'), found.to_sarif(),
        found.to_card().replace('\\', '')))


def test_reports_of_version_2_are_read(audited):
    old = json.loads(audited('plain').to_json()) | dict(schema='dlcourse/fairness-report/2')
    del old['kind'], old['not_measured']
    jsonschema.validate(old, SCHEMA)
    assert 'report format dlcourse/fairness-report/2' in web_page(old)
    with pytest.raises(jsonschema.ValidationError, match='is a required property'):
        jsonschema.validate(old | dict(schema='dlcourse/fairness-report/3'), SCHEMA)


def test_what_was_not_measured_is_on_the_page_and_in_the_values(audited):
    found = audited('plain')
    assert any('groups that nobody named' in t for t in found.to_dict()['not_measured'])
    assert 'Groups that nobody named' in found.to_html()


def test_without_polarity_no_ratio_is_given(audited):
    assert "no ratio is given" in audited('no polarity').warnings[0]


def test_values_are_found_by_their_names(audited):
    found = audited('plain')
    assert found.frame.height == len(found.rates)
    assert {'attribute', 'group', 'metric', 'value', 'low', 'high'} <= set(found.frame.columns)
    assert found.rate(None, None, 'count').value == 900
    with pytest.raises(InputError, match="there is no `recall` of sex = Male"):
        found.rate('sex', 'Male', 'recall')
    with pytest.raises(InputError,
                       match="there is no section `law` in this audit; there are: none"):
        found.section('law')
