"The audit's result: its schema, its page, its files, and the exit code"
import io
import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import duckdb
import jsonschema
import numpy as np
import pytest

from dlcourse.audit.first_audit import first_audit
from dlcourse.audit.report import audit as run_audit
from dlcourse.audit.report import printable
from dlcourse.core.errors import InputError
from dlcourse.core.files import project_path
from dlcourse.fairness.policy import Policy

SCHEMA = json.loads(project_path('assets', 'report.schema.json').read_text(encoding='utf-8'))
HOSTILE = '<script>alert(1)</script>'


def people(n=900, seed=0):
    rng = np.random.default_rng(seed)
    return {'sex': rng.choice(['Female', 'Male'], n), 'race': rng.choice(['A', 'B', 'C', 'D'], n, p=[.5, .3, .18, .02]), 'y': rng.integers(0, 2, n),
            'p': rng.integers(0, 2, n), 's': rng.random(n), 'c': rng.integers(0, n//3, n)}


def audit(table=None, **more):
    return run_audit(people() if table is None else table, **dict(y_pred='p', y_true='y', sensitive_features=['sex', 'race'], favorable=1) | more)


class Page(HTMLParser):
    "Just enough of a browser: which elements, which attributes, which text"
    def __init__(self, html):
        super().__init__()
        self.elements, self.text = [], []
        self.feed(html)

    def handle_starttag(self, tag, attrs): self.elements.append((tag, dict(attrs)))
    def handle_data(self, data): self.text.append(data)
    def all(self, *tags): return [a for t, a in self.elements if t in tags]


# ---- JSON

CASES = {
    'plain': {}, 'no label': dict(y_true=None), 'no polarity': dict(favorable=None), 'the other polarity': dict(favorable=0), 'a score': dict(score='s'),
    'a threshold': dict(y_pred='s', threshold=.5), 'score and threshold': dict(y_pred=None, score='s', threshold=.25), 'one attribute': dict(sensitive_features='sex'),
    'a policy': dict(policy=Policy(difference=dict(selection_rate=.1), ratio=dict(selection_rate=.8))), 'weights': dict(sample_weight='s'), 'everything withheld': dict(min_count=10**6), 'clusters': dict(cluster='c')}


@pytest.mark.parametrize('case', CASES)
def test_json_follows_its_schema(case):
    found = audit(**CASES[case])
    text = found.to_json()
    assert 'NaN' not in text and 'Infinity' not in text
    report = json.loads(text)
    jsonschema.validate(report, SCHEMA, format_checker=jsonschema.FormatChecker())
    assert {r['metric'] for r in report['rates']} | {d['metric'] for d in report['disparities']} <= set(report['metrics'])
    assert all(d['low'] <= d['value'] <= d['high'] for d in report['disparities'] if d['low'] is not None)
    assert (found.favorable is None) == all(d['kind'] == 'difference' for d in report['disparities'])
    Page(found.to_html())


def test_what_the_issue_names():
    report = audit().to_dict()
    assert {'attribute', 'group', 'metric', 'value', 'low', 'high', 'numerator', 'denominator', 'n', 'status', 'reason', 'level', 'method'} <= set(report['rates'][0])
    assert {'attribute', 'metric', 'kind', 'groups', 'comparator', 'value', 'low', 'high', 'tolerance', 'level', 'method', 'adjusted', 'family',
            'verdict'} <= set(report['disparities'][0])
    assert {r['attribute'] for r in report['rates']} == {'sex', 'race', 'sex × race'}
    assert report['verdict'] == 'not judged' and report['policy'] is None


def test_numbers_against_fairlearn():
    from fairlearn.metrics import (
        demographic_parity_difference,
        demographic_parity_ratio,
        equal_opportunity_difference,
    )
    t = people()
    gaps = {(d.metric, d.kind): d.value for d in audit(t, min_count=1).disparities if d.attribute == 'race'}
    who = dict(y_true=t['y'], y_pred=t['p'], sensitive_features=t['race'])
    assert gaps['selection_rate', 'difference'] == pytest.approx(demographic_parity_difference(**who), abs=1e-12)
    assert gaps['selection_rate', 'ratio'] == pytest.approx(demographic_parity_ratio(**who), abs=1e-12)
    assert gaps['true_positive_rate', 'difference'] == pytest.approx(equal_opportunity_difference(**who), abs=1e-12)


# ---- polarity, thresholds, policy

def test_favorable_by_value_or_class():
    t = people() | dict(p=np.where(people()['p'] == 1, 'High', 'Low'))
    for good in ('Low', 0, '0'):
        found = audit(t, positive=['High'], favorable=good)
        assert found.favorable == dict(prediction=0, values=['Low'])
        assert found.rate('sex', 'Male', 'favorable_rate').value == pytest.approx(1 - found.rate('sex', 'Male', 'selection_rate').value)
    assert not any(r.metric == 'favorable_rate' for r in audit(t, positive=['High'], favorable='High').rates)
    with pytest.raises(InputError, match=r"`favorable` must be a value of the prediction \(.*\) or its class, 0 or 1; got 'Mid'"): audit(t, positive=['High'], favorable='Mid')


def test_favorable_follows_the_value_and_not_the_class():
    found = audit(people(), positive=['0'], favorable=0, y_true=None)
    assert found.favorable == dict(prediction=1, values=['0']), "with 0 declared positive, the favourable value 0 is class 1"


def test_threshold():
    t = people()
    direct = audit(t | dict(p=(t['s'] >= .3).astype(int)))
    for more in (dict(y_pred='s', threshold=.3), dict(y_pred=None, score='s', threshold=.3)):
        found = audit(t, **more)
        assert (found.tally.counts.n == direct.tally.counts.n).all() and found.to_dict()['classes']['prediction'] == dict(positive=['at least 0.3'], negative=['under 0.3'])
    with pytest.raises(InputError, match="`threshold` makes decisions of a `score`"): audit(score='s', threshold=.3)
    with pytest.raises(InputError, match="there are no decisions to audit: give `y_pred`"): audit(y_pred=None)
    with pytest.raises(InputError, match="`s` holds probabilities"): audit(y_pred='s')


def test_exit_codes():
    t = people(6000, seed=1)
    tight, loose = Policy(difference=dict(selection_rate=.001)), Policy(difference=dict(selection_rate=.9))
    biased = t | dict(p=np.where(t['sex'] == 'Male', 1, t['p']))
    assert (audit(t).exit_code, audit(t, policy=loose).exit_code, audit(t, policy=tight).exit_code, audit(biased, policy=tight).exit_code) == (0, 0, 3, 1)
    assert audit(biased, policy=tight).verdict == 'fail'
    with pytest.raises(InputError, match="the policy judges ratios"): audit(t, favorable=None, policy=Policy(ratio=dict(selection_rate=.8)))


def test_the_policy_wins_over_settings(tmp_path):
    (tmp_path/'settings.ini').write_text('[audit]\nmin_count = 7\nmax_difference = 0.9\nlevel = 0.8\n')
    found = audit()
    assert (found.min_count, found.level, found.policy.difference['selection_rate']) == (7, .8, .9)
    (tmp_path/'p.toml').write_text('min_count = 9\nlevel = 0.9\nfavorable = 0\n[difference]\naccuracy_score = 0.2\n')
    found = audit(policy=tmp_path/'p.toml', favorable=None)
    assert (found.min_count, found.level, found.policy.difference, found.favorable['prediction']) == (9, .9, dict(accuracy_score=.2), 0)
    assert audit(policy=tmp_path/'p.toml', min_count=3).min_count == 3


@pytest.mark.parametrize('policy, more, says', [
    (Policy(difference=dict(true_positive_rate=.1)), dict(y_true=None), "the policy judges `true_positive_rate`, which needs true outcomes; give `y_true`"),
    (Policy(ratio=dict(favorable_rate=.8)), {}, "the policy judges `favorable_rate`, which is only there where"),
    (Policy(difference=dict(selection_rate=.1), attributes=('sexx',)), {}, "the policy judges `sexx`, which is not audited here; there are: sex, race, sex × race")])
def test_a_policy_never_passes_by_emptiness(policy, more, says):
    with pytest.raises(InputError, match=says): audit(policy=policy, **more)


def test_settings_judge_without_a_label(monkeypatch):
    monkeypatch.setenv('DLCOURSE_MAX_DIFFERENCE', '0.9')
    assert audit(y_true=None).policy.difference == dict(selection_rate=.9)


def test_depth_and_three_attributes():
    t = people() | dict(age=np.where(np.arange(900) % 3, 'young', 'old'))
    names = [a for a in dict.fromkeys(r.attribute for r in audit(t, sensitive_features=['sex', 'race', 'age']).rates)]
    assert names == ['sex', 'race', 'age', 'sex × race', 'sex × age', 'race × age', 'sex × race × age']
    assert len({r.attribute for r in audit(t, sensitive_features=['sex', 'race', 'age'], depth=1).rates}) == 3
    t['a × b'] = t['sex']
    assert [p['attribute'] for p in audit(t, sensitive_features=['a × b', 'race']).to_dict()['population']][0] == 'a × b'


# ---- what a person reads

def test_findings_name_the_extremes():
    n = 1000
    t = dict(sex=['Female', 'Male']*n, p=[0, 1, 1, 1]*(n//2), y=[1]*2*n)
    found = audit(t, sensitive_features='sex').to_dict()
    assert found['findings'][0] == "By sex, the favourable outcome is rarest for Female (50.0 %) and most common for Male (100.0 %): 50.0 points apart, a ratio of 0.50; "\
        "with 95 % confidence the true gap is 46.3 to 53.1 points."
    assert "no ratio is given" in audit(t, sensitive_features='sex', favorable=None).to_dict()['warnings'][0]


def test_the_page_is_one_file():
    html = audit(score='s', policy=Policy(difference=dict(selection_rate=.1))).to_html()
    page = Page(html)
    assert len(html.encode()) < 1_000_000 and html.startswith('<!doctype html>')
    assert not page.all('script', 'img', 'iframe', 'object', 'embed'), "nothing that loads or runs"
    assert all(a.get('href', '').startswith(('#', 'data:')) for a in page.all('a', 'link')) and not re.search(r'url\((?!#)|@import', html)
    assert {'content': "default-src 'none'; style-src 'unsafe-inline'; img-src data:", 'http-equiv': 'Content-Security-Policy'} in page.all('meta')


def test_the_page_can_be_read_by_everyone():
    html = audit().to_html()
    page = Page(html)
    assert page.all('html')[0]['lang'] == 'en' and len(page.all('h1')) == 1 and page.all('main')
    levels = [int(t[1]) for t, _ in page.elements if re.fullmatch('h[1-6]', t)]
    assert all(b <= a + 1 for a, b in zip(levels, levels[1:], strict=False)), "no heading level is skipped"
    assert all('scope' in a for a in page.all('th')) and len(page.all('caption')) == len(page.all('table'))
    assert all(a.get('role') == 'img' and a.get('aria-label') or a.get('aria-hidden') == 'true' for a in page.all('svg'))
    ids = [a['id'] for _, a in page.elements if 'id' in a]
    assert len(ids) == len(set(ids)) and {a['href'][1:] for a in page.all('a') if a.get('href', '').startswith('#')} <= set(ids)
    assert 'width=device-width' in page.all('meta')[1].get('content', '') + str(page.all('meta')) and '@media print' in html and 'prefers-color-scheme' in html


def test_hostile_names_are_shown_and_not_run():
    t = {HOSTILE: ['<b>x</b>', '"><img src=x onerror=alert(1)>', "' onload='x"]*60, 'p': [0, 1]*90, '{{ 7*7 }}': ['a', 'b', '\x1b[31mred\x00']*60}
    found = run_audit(t, y_pred='p', sensitive_features=[HOSTILE, '{{ 7*7 }}'], title=HOSTILE)
    html = found.to_html() + found._repr_html_()
    page = Page(html)
    assert HOSTILE in ''.join(page.text) and not page.all('script', 'img', 'iframe')
    assert not any(k.startswith('on') for _, a in page.elements for k in a) and '{{ 7*7 }}' in ''.join(page.text)
    root = ET.fromstring(found.to_junit())
    assert root.get('name') == HOSTILE and '\x1b' not in found.to_junit()
    assert printable('a\x1b[31m\n') == 'a\ufffd[31m\ufffd'
    from rich.console import Console
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(found)
    assert HOSTILE in console.export_text() and '\x1b' not in console.export_text()


def test_the_page_stays_small_for_a_hundred_groups():
    n = 40_000
    t = dict(a=[f'group {i % 100}' for i in range(n)], b=[i // 100 % 2 for i in range(n)], y=[i % 3 % 2 for i in range(n)], p=[i % 2 for i in range(n)])
    assert len(run_audit(t, y_pred='p', y_true='y', sensitive_features=['a', 'b'], favorable=1).to_html().encode()) < 1_000_000


def test_junit():
    t = people(6000)
    t['p'] = np.where(t['sex'] == 'Male', 1, t['p'])
    root = ET.fromstring(audit(t, policy=Policy(difference=dict(selection_rate=.1, true_positive_rate=.515))).to_junit())
    suites = {s.get('name'): s for s in root}
    assert set(suites) == {'sex', 'race', 'sex × race'}
    cases = {c.get('name'): [x.tag for x in c] for c in suites['sex']}
    assert cases['selection_rate difference'] == ['failure'] and cases['selection_rate ratio'] == ['skipped'] and cases['true_positive_rate difference'] == ['error']
    assert (suites['sex'].get('failures'), suites['sex'].get('errors'), suites['sex'].get('tests')) == ('1', '1', str(len(cases)))


def test_frame_plot_and_lookup():
    found = audit()
    assert found.frame.height == len(found.rates) and {'attribute', 'group', 'metric', 'value', 'low', 'high'} <= set(found.frame.columns)
    assert found.rate(None, None, 'count').value == 900
    with pytest.raises(InputError, match="there is no `recall` of sex = Male"): found.rate('sex', 'Male', 'recall')
    import matplotlib.pyplot as plt
    fig = found.plot('accuracy_score', 'race')
    assert [t.get_text() for t in fig.axes[0].get_yticklabels()] == sorted('ABC', key=lambda g: found.rate('race', g, 'accuracy_score').value)
    with pytest.raises(InputError, match="no `recall` by race to plot"): found.plot('recall', 'race')
    plt.close('all')


# ---- files

def test_files_appear_together_or_not_at_all(tmp_path, monkeypatch):
    found = audit()
    monkeypatch.setattr(type(found), 'to_junit', lambda self: 1/0)
    with pytest.raises(ZeroDivisionError): found.save(html=tmp_path/'r.html', json=tmp_path/'r.json', junit=tmp_path/'j.xml')
    assert not list(tmp_path.iterdir())


def test_a_file_gives_what_a_frame_gives(tmp_path, monkeypatch):
    import polars as pl
    monkeypatch.setenv('SOURCE_DATE_EPOCH', '0')
    frame = pl.DataFrame(people())
    frame.write_csv(tmp_path/'t.csv')
    frame.write_parquet(tmp_path/'t.parquet')
    wanted = audit(frame, score='s', sample_weight='s').to_dict()
    assert wanted['created'] == '1970-01-01T00:00:00Z'
    def numbers(report): return {(r['attribute'], r['group'], r['metric']): (r['value'], r['low'], r['n']) for r in report['rates'] if r['low'] is not None}
    for name in ('t.csv', 't.parquet'):
        found = audit(tmp_path/name, score='s', sample_weight='s').to_dict()
        assert found['source']['name'] == name
        assert {k: pytest.approx(v, rel=1e-9) for k, v in numbers(wanted).items()} == numbers(found)


def test_only_the_columns_asked_for_are_read(tmp_path):
    duckdb.sql("select 'g' || range % 2 as sex, range % 2 as p, 'x' as x, 'y' as \"X\" from range(100)").write_csv(str(tmp_path/'t.csv'))
    assert run_audit(tmp_path/'t.csv', y_pred='p', sensitive_features='sex').tally.rows == 100


def test_first_audit(tmp_path):
    found, saved = first_audit(tmp_path/'out')
    assert [p.name for p in saved] == ['report.html', 'report.json', 'junit.xml', 'decisions.csv'] and all(p.stat().st_size for p in saved)
    jsonschema.validate(json.loads(saved[1].read_text()), SCHEMA)
    again = run_audit(saved[-1], y_pred='approved', y_true='repaid', sensitive_features=['sex', 'race'], favorable=1)
    assert again.rates == found.rates
    black, white = (found.rate('race', g, 'true_positive_rate') for g in ('Black', 'White'))
    assert black.high < white.low, "the model carries the officers' discrimination through the district"


# ---- Arrays, as scikit-learn and fairlearn take them

def test_arrays_give_what_names_give():
    import pandas as pd
    import polars as pl
    t = people()
    by_name = audit(t).to_dict()
    frames = [{k: t[k] for k in ('sex', 'race')}, pd.DataFrame({k: t[k] for k in ('sex', 'race')}), pl.DataFrame({k: t[k] for k in ('sex', 'race')})]
    for groups in frames:
        found = run_audit(y_pred=pd.Series(t['p'], name='p'), y_true=pd.Series(t['y'], name='y'), sensitive_features=groups, favorable=1).to_dict()
        assert found['rates'] == by_name['rates'] and found['columns'] == by_name['columns']
    both = np.column_stack([t['sex'], t['race']]).astype(object)
    found = run_audit(y_pred=t['p'].tolist(), y_true=t['y'], sensitive_features=both, favorable=1)
    assert found.columns['sensitive'] == ['sensitive_feature_0', 'sensitive_feature_1'] and found.columns['prediction'] == 'y_pred'
    assert [r.value for r in found.rates] == [r['value'] for r in by_name['rates']]
    assert run_audit(pl.DataFrame(t), y_pred=t['p'], y_true='y', sensitive_features=['sex', 'race'], favorable=1).to_dict()['rates'] == by_name['rates']


def test_rows_that_are_not_the_same_people():
    import pandas as pd
    t = people(100)
    sex = pd.Series(t['sex'], name='sex')
    with pytest.raises(InputError, match="has other row labels than the columns before it"):
        run_audit(y_pred=pd.Series(t['p']), sensitive_features=sex.sort_values(), favorable=1)
    with pytest.raises(InputError, match="`y_true` has 99 rows, and the others have 100"): run_audit(y_pred=t['p'], y_true=t['y'][:99], sensitive_features=sex)
    with pytest.raises(InputError, match="the columns of a file are given by name"): run_audit('t.csv', y_pred=t['p'], sensitive_features='sex')
    with pytest.raises(InputError, match="`y_pred` names a column, 'p', and there is no table"): run_audit(y_pred='p', sensitive_features=sex)


def test_names_of_columns_do_not_collide():
    t = people(200)
    found = run_audit(y_pred=t['p'], y_true=t['y'], sensitive_features={'y_pred': t['sex'], 'y_true': t['race']}, favorable=1, min_count=1)
    assert found.columns['sensitive'] == ['y_pred (2)', 'y_true (2)'] and found.columns['prediction'] == 'y_pred'


def test_groups_out_of_scope_are_listed_and_cannot_pass():
    t = people()
    found = audit(t, policy=Policy(difference=dict(selection_rate=.9), attributes=('race',), min_share=.05))
    assert list(found.to_dict()['out_of_scope']['race']) == ['D'] and found.verdict == 'pass'
    assert "it is not about them" in found.to_html() and "it is not about them" not in audit(t).to_html()


def test_a_page_of_many_attributes_stays_small():
    rng = np.random.default_rng(0)
    t = {f'a{i}': rng.integers(0, 4, 3_000) for i in range(5)} | {'p': rng.integers(0, 2, 3_000), 'y': rng.integers(0, 2, 3_000)}
    found = run_audit(t, y_pred='p', y_true='y', sensitive_features=[f'a{i}' for i in range(5)], favorable=1)
    html = found.to_html()
    assert len(html.encode()) < 1_000_000 and "are not shown here" in html and "By a4" in html
    assert len({r['attribute'] for r in found.to_dict()['rates']}) == 5 + 10 + 10
