"What people and build servers read: one page that anybody can read and nobody runs, files, JUnit"
import io
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import combinations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from markup import Markup
from rich.console import Console

from dlcourse.audit.findings import Section, section_table
from dlcourse.audit.report import audit as run_audit
from dlcourse.audit.writers import FairnessAudit
from dlcourse.core.errors import InputError
from dlcourse.fairness.counting import count_groups
from dlcourse.fairness.groups import METRICS, disparities, rates
from dlcourse.fairness.policy import Policy

HOSTILE = '<script>alert(1)</script>'


def by_hand(table, sensitive):
    "An audit of many groups without the bounds of its gaps, which take long and no place on a page"
    tally = count_groups(table, y_pred='p', y_true='y', sensitive_features=sensitive)
    names = ['count', *(m for m in METRICS if m != 'favorable_rate')]
    crossed = [c for k in (1, 2, 3) for c in combinations(sensitive, k)]
    found = [r for c in crossed for r in rates(tally.by(*c), names, min_count=30)]
    gaps = [replace(d, low=0., high=1.) if d.value else d for d in disparities(found)]
    columns = dict(prediction='p', label='y', score=None, weight=None, cluster=None)
    return FairnessAudit(
        title='Many', source=None, created='2026-01-01T00:00:00Z', crossed=crossed, tally=tally,
        columns=columns | dict(sensitive=sensitive, threshold=None), rates=found, disparities=gaps,
        favorable=dict(prediction=1, values=['1']), overall=rates(tally.by(), names), policy=None,
        level=.95, min_count=30, missing='error')


def test_every_audit_is_a_page_a_table_and_lines(every):
    Markup(every.to_html())
    Markup(every._repr_html_())
    console = Console(width=100, file=io.StringIO())
    console.print(every)
    assert f'Verdict: {every.verdict}' in console.file.getvalue()


def test_the_page_is_one_file(audited):
    html = audited('a policy').to_html()
    page = Markup(html)
    assert len(html.encode()) < 1_000_000 and html.startswith('<!doctype html>')
    loading = page.all('script', 'img', 'iframe', 'object', 'embed')
    assert not loading, "nothing that loads or runs"
    assert all(a.get('href', '').startswith(('#', 'data:')) for a in page.all('a', 'link'))
    assert not re.search(r'url\((?!#)|@import', html)
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert {'content': policy, 'http-equiv': 'Content-Security-Policy'} in page.all('meta')


def test_the_page_can_be_read_by_everyone(audited):
    html = audited('plain').to_html()
    page = Markup(html)
    assert page.all('html')[0]['lang'] == 'en' and len(page.all('h1')) == 1 and page.all('main')
    levels = [int(t[1]) for t, _ in page.elements if re.fullmatch('h[1-6]', t)]
    assert (np.diff(levels) <= 1).all(), "no heading level is skipped"
    assert all('scope' in a for a in page.all('th'))
    assert len(page.all('caption')) == len(page.all('table'))
    for a in page.all('svg'):
        assert a.get('aria-hidden') == 'true' or a.get('role') == 'img' and a.get('aria-label')
    ids = [a['id'] for _, a in page.elements if 'id' in a]
    targets = {a['href'][1:] for a in page.all('a') if a.get('href', '').startswith('#')}
    assert len(ids) == len(set(ids)) and targets <= set(ids)
    assert 'width=device-width' in str(page.all('meta'))
    assert '@media print' in html and 'prefers-color-scheme' in html


def test_every_text_stands_out_from_the_paper_in_light_dark_and_print(audited):
    def luminance(colour):
        parts = [int(c, 16)/255 for c in re.findall('..', colour.ljust(6, colour[-1]))]
        linear = [c/12.92 if c <= .04045 else ((c + .055)/1.055)**2.4 for c in parts]
        return np.dot(linear, [.2126, .7152, .0722])
    style = audited('plain').to_html().partition('</style>')[0]
    themes = [dict(re.findall(r'--(\w+): #(\w+);', line)) for line in style.splitlines()
              if '--paper: #' in line]
    assert len(themes) == 3 and all(len(t) == 5 for t in themes)
    for theme in themes:
        paper = luminance(theme['paper'])
        for name in ('ink', 'soft', 'accent'):
            low, high = sorted((paper, luminance(theme[name])))
            assert (high + .05)/(low + .05) >= 4.5, f"{name} of {theme}"
    others = re.sub(r'--\w+: #\w+', '', style)
    assert not re.findall(r'color: ?#|fill: ?#', others), "no text has a colour of its own"


def test_a_table_of_words_may_break_its_lines():
    found = replace(by_hand(dict(s=['a', 'b']*60, p=[0, 1]*60, y=[1]*120), ['s']), sections=(
        Section(name='x', title='X', tables=(section_table(
            'Stated', {'What': 'text', 'Said': 'text', 'p': 'p', 'Ratio': 'number'},
            [('auditor', 'many words '*40, 1e-9, 1.)]),)),))
    page = found.to_html()
    table = page[page.index('aria-label="Table: X: Stated"') - 120:]
    assert 'class="words"' in table[:120] and '&lt; 0.001' in table and '1.000' in table


def test_hostile_names_are_shown_and_not_run():
    t = {HOSTILE: ['<b>x</b>', '"><img src=x onerror=alert(1)>', "' onload='x"]*60, 'p': [0, 1]*90,
         '{{ 7*7 }}': ['a', 'b', '\x1b[31mred\x00']*60}
    found = run_audit(t, y_pred='p', sensitive_features=[HOSTILE, '{{ 7*7 }}'], title=HOSTILE)
    page = Markup(found.to_html() + found._repr_html_())
    assert HOSTILE in ''.join(page.text) and not page.all('script', 'img', 'iframe')
    assert not any(k.startswith('on') for _, a in page.elements for k in a)
    assert '{{ 7*7 }}' in ''.join(page.text)
    root = ET.fromstring(found.to_junit())
    assert root.get('name') == HOSTILE and '\x1b' not in found.to_junit()
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(found)
    text = console.export_text()
    assert HOSTILE in text and '\x1b' not in text


def test_the_page_stays_small_for_a_hundred_groups():
    i = np.arange(40_000)
    t = dict(a=[f'group {k}' for k in i % 100], b=i//100 % 2, y=i % 3 % 2, p=i % 2)
    found = by_hand(t, ['a', 'b'])
    assert len(found.rates) > 2_000 and len(found.to_html().encode()) < 1_000_000


def test_a_page_of_many_attributes_leaves_some_to_the_json():
    rng, names = np.random.default_rng(0), [f'a{i}' for i in range(5)]
    t = {c: rng.integers(0, 4, 3_000) for c in names}
    found = by_hand(t | {c: rng.integers(0, 2, 3_000) for c in 'py'}, names)
    html = found.to_html()
    assert len(html.encode()) < 1_000_000 and "are not shown here" in html and "By a4" in html
    assert len({r['attribute'] for r in found.to_dict()['rates']}) == 5 + 10 + 10


def test_junit_has_a_case_for_each_gap_and_a_kind_for_each_verdict(people, audit):
    t = people(6000)
    t['p'] = np.where(t['sex'] == 'Male', 1, t['p'])
    policy = Policy(difference=dict(selection_rate=.1, true_positive_rate=.515))
    suites = {s.get('name'): s for s in ET.fromstring(audit(t, policy=policy).to_junit())}
    assert set(suites) == {'sex', 'race', 'sex × race'}
    cases = {c.get('name'): [x.tag for x in c] for c in suites['sex']}
    assert cases['selection_rate difference'] == ['failure']
    assert cases['selection_rate ratio'] == ['skipped']
    assert cases['true_positive_rate difference'] == ['error']
    heads = [suites['sex'].get(k) for k in ('failures', 'errors', 'tests')]
    assert heads == ['1', '1', str(len(cases))]


def test_groups_are_plotted_in_the_order_of_their_rates(audited):
    found = audited('plain')
    fig = found.plot('accuracy_score', 'race')
    value = {g: found.rate('race', g, 'accuracy_score').value for g in 'ABC'}
    assert [t.get_text() for t in fig.axes[0].get_yticklabels()] == sorted(value, key=value.get)
    plt.close(fig)
    with pytest.raises(InputError, match="no `recall` by race to plot"):
        found.plot('recall', 'race')


def test_files_appear_together_or_not_at_all(audited, tmp_path, monkeypatch):
    found = audited('plain')
    monkeypatch.setattr(type(found), 'to_junit', lambda self: 1/0)
    with pytest.raises(ZeroDivisionError):
        found.save(html=tmp_path/'r.html', json=tmp_path/'r.json', junit=tmp_path/'j.xml')
    assert not list(tmp_path.iterdir())
