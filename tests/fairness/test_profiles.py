"Laws as dated files, and clauses with their evidence"
import re
from datetime import date, timedelta
from functools import cache
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import pytest

from dlcourse.audit.report import audit
from dlcourse.audit.writers import as_audit
from dlcourse.core.errors import InputError
from dlcourse.fairness.declared import declare_policy
from dlcourse.fairness.payroll import audit_pay
from dlcourse.fairness.profiles import (
    DISCLAIMER,
    INPUTS,
    NO_EVIDENCE,
    PROFILES,
    STALE_DAYS,
    blank_links,
    evidence,
    has_evidence,
    law_headline,
    law_notes,
    profile,
    read_links,
    read_profile,
)

MEASURE = [f'{i}.{j}' for i, n in ((1, 3), (2, 13), (3, 3), (4, 3)) for j in range(1, n + 1)]
OFFICIAL = {
    'nist-ai-rmf': [*(f'GOVERN {i}' for i in range(1, 7)), *(f'MAP {i}' for i in range(1, 6)),
                    *(f'MEASURE {i}' for i in MEASURE), *(f'MANAGE {i}' for i in range(1, 5))],
    'eu-ai-act': ['4a(1)', '4a(2)', '9(2)', '9(6)', '9(8)', '9(9)', '10(2)(f)', '10(2)(g)',
                  '10(2)(h)', '10(3)', '10(4)', '11, Annex IV 2(d)', '11, Annex IV 2(g)',
                  '11, Annex IV 3', '11, Annex IV 4', '12', '13(3)(b)(ii)', '13(3)(b)(v)',
                  '13(3)(b)(vi)', '13(3)(b)(vii)', '14(4)(b)', '15(1), (3)', '15(4), (5)', '26(4)',
                  '26(5)', '26(6)', '26(7)', '26(11)', '27', '72', '86', '99']}


@pytest.mark.parametrize('name', PROFILES)
def test_every_law_is_dated_and_every_clause_has_a_source(name):
    found = profile(name)
    assert found.name == name
    assert found.version >= 1
    assert found.source.strip() and found.covers.strip()
    assert found.clauses
    assert all(c.source.strip() for c in found.clauses)
    assert {c.status for c in found.clauses} <= {'read', 'reported', 'recalled'}
    assert found.title in str(found) and found.status_checked.isoformat() in str(found)


@pytest.mark.parametrize('name', OFFICIAL)
def test_clauses_are_the_official_list(name):
    assert [c.id for c in profile(name).standing] == OFFICIAL[name]


def test_fairness_is_nists_2_11():
    asks = {c.id: c.asks for c in profile('nist-ai-rmf').clauses}
    assert 'airness and bias' in asks['MEASURE 2.11']
    assert 'valid and reliable' in asks['MEASURE 2.5']
    assert 'safety' in asks['MEASURE 2.6']
    assert [c for c, a in asks.items() if 'airness' in a] == ['MEASURE 2.11']


def test_local_law_144_has_no_threshold():
    found = profile('nyc-ll144')
    assert list(found.values) == ['small_share', 'sex', 'race']
    assert [len(found.values[k]) for k in ('sex', 'race')] == [2, 7]
    assert not any(re.search(r'0\.8|four.fifths', c.asks) for c in found.clauses)


def test_the_ai_act_is_the_one_of_2026():
    "Article 10(5) was deleted on 27 July 2026; 4a stands in its place, now, and the rest is later"
    law = profile('eu-ai-act')
    [gone] = [c for c in law.clauses if c.repealed]
    assert (gone.id, gone.repealed, gone.now) == ('10(5)', date(2026, 7, 27), '4a(1)')
    since = {c.id: c.in_force_from for c in law.standing}
    assert since['4a(1)'] == date(2026, 7, 27) and since['13(3)(b)(v)'] == date(2027, 12, 2)
    rows = evidence(real_report(), 'eu-ai-act')
    assert 'applies from 2027-12-02' in next(r.source for r in rows if r.clause == '10(3)')
    assert {r.who for r in rows} >= {'provider', 'deployer'}


def test_numbers_count_for_measure_alone_and_the_other_functions_are_checklists():
    law = profile('nist-ai-rmf')
    for c in law.standing:
        if not c.id.startswith('MEASURE'): assert not c.needs.measured and c.needs.documents
    assert 'MEASURE only' in law.covers and law.in_force_from is None


ABOUT_ACCURACY = {'eu-ai-act': ['11, Annex IV 3', '13(3)(b)(ii)', '13(3)(b)(v)', '15(1), (3)'],
                  'nist-ai-rmf': ['MEASURE 2.3', 'MEASURE 2.5']}


@pytest.mark.parametrize('name', ABOUT_ACCURACY)
def test_without_a_label_no_clause_on_accuracy_is_evidenced(name):
    "And a table with a label is never the poorer for it"
    bare, full = (evidence(real_report(label), name) for label in (False, True))
    order = [NO_EVIDENCE, 'in part', 'evidence']
    for a, b in zip(bare, full, strict=True):
        assert order.index(a.status) <= order.index(b.status)
        if a.clause in ABOUT_ACCURACY[name]:
            assert a.status == NO_EVIDENCE and 'label as an input' in a.missing
            assert b.status != NO_EVIDENCE


def test_looked_for_and_none_found_is_evidence():
    "No cell was missing and no group withheld: that is something, and 10(2)(h) has it"
    report = real_report()
    assert report['missing']['columns'] == {} and report['withheld'] == []
    [row] = [r for r in evidence(report, 'eu-ai-act') if r.clause == '10(2)(h)']
    assert row.held == ('missing.columns', 'withheld', 'warnings')
    [declared] = [r for r in evidence(report, 'eu-ai-act') if r.clause == '9(8)']
    assert {'policy', 'section policy-declared'} <= set(declared.held)
    later = report | {'sections': [s for s in report['sections'] if s['name'] != 'policy-declared']}
    [late] = [r for r in evidence(later, 'eu-ai-act') if r.clause == '9(8)']
    assert 'section policy-declared' in late.missing and late.status == 'in part'
    assert not [r for r in evidence(report | {'policy': None}, 'eu-ai-act')
                if r.clause == '9(8)'][0].held


def test_the_guidelines_say_what_became_of_them():
    law = profile('four-fifths')
    said = ' '.join(law_notes(law, date(2026, 11, 27)))
    for word in ('14281', '3046-AB43', 'Not verified in the text'): assert word in said
    assert [q.about for q in law.quotations] == ['fairness.impact.one_person_flips',
                                                 'fairness.four_fifths.four_fifths']
    assert 'Connecticut v. Teal' in [c.id for c in law.standing]


GOOD = '''name="x"
title="X"
version=1
kind="both"
source="S"
covers="C"
status_checked=2026-01-01
[[clauses]]
id="1"
asks="a"
source="s"
status="read"
'''


@pytest.mark.parametrize('change, says', [
    (('status_checked=2026-01-01\n', ''), '`status_checked` is missing in law.toml'),
    (('version=1', 'version="1"'), '`version`'),
    (('version=1', 'version=1\nextra=1'), '`extra` is no key'),
    (('source="s"\n', ''), '`source` is missing in a Clause of law.toml'),
    (('source="s"', 'source=" "'), '`source` of a clause'),
    (('status="read"', 'status="sure"'), '`status` of clause 1'),
    (('status="read"', 'status="read"\nnow="2"'), '`now` of clause 1'),
    (('status="read"', 'status="read"\nneeds.metric=["a"]'), '`metric` is no key of a Needs'),
    (('kind="both"', 'kind="law"'), '`kind` of law.toml must be'),
    (('[[', 'values="x"\n[['), '`values`'),
    (('="S"', '='), 'is not TOML')])
def test_faults_of_a_profile(tmp_path, change, says):
    path = tmp_path/'law.toml'
    path.write_text(GOOD)
    assert read_profile(path).name == 'x'
    path.write_text(GOOD.replace(*change))
    with pytest.raises(InputError, match=re.escape(says)): read_profile(path)


def test_more_faults_of_a_profile(tmp_path):
    path = tmp_path/'law.toml'
    path.write_text(GOOD + GOOD[GOOD.index('[[clauses]]'):])
    with pytest.raises(InputError, match='`1` stands twice in law.toml'): read_profile(path)
    with pytest.raises(InputError, match='cannot be read'): read_profile(tmp_path/'none.toml')
    with pytest.raises(InputError, match='`profile` must be one of '): profile('hammurabi')


@pytest.mark.parametrize('kind, needs, fits', [
    ('checklist', 'metrics=["accuracy_score"]', False), ('checklist', 'documents={a="b"}', True),
    ('measured', 'documents={a="b"}', False), ('measured', 'metrics=["accuracy_score"]', True),
    ('both', 'documents={a="b"}', True)])
def test_a_checklist_counts_no_numbers_and_what_is_measured_no_documents(tmp_path, kind, needs,
                                                                         fits):
    path = tmp_path/'law.toml'
    path.write_text(GOOD.replace('"both"', f'"{kind}"') + f'[clauses.needs]\n{needs}\n')
    if fits: assert read_profile(path).kind == kind
    else:
        with pytest.raises(InputError, match='set `kind` to both'): read_profile(path)


REPORT = dict(source=dict(name='a.csv', rows=0), metrics={'selection_rate': {'label': 'x'}},
              created='2026-11-22T00:00:00Z', warnings=[], findings=['one'],
              columns=dict(label='y'), sections=[dict(name='subgroups', findings=[])],
              rates=[dict(metric='selection_rate', value=None, low=None),
                     dict(metric='selection_rate', value=0., low=.1),
                     dict(metric='accuracy_score', value=None, low=None)], disparities=[],
              overall=[dict(metric='accuracy_score', value=.3, low=.2)])


@pytest.mark.parametrize('path, there',
                         [('source.rows', True), ('source.name', True), ('source.hash', False),
                          ('warnings', True), ('rates.*.value', True), ('drift', False),
                          ('disparities.*.value', False), ('metrics.*.label', True),
                          ('created.year', False), ('', True), ('rates', True)])
def test_what_a_report_holds(path, there):
    assert has_evidence(REPORT, path) is there


def law_of(tmp_path, needs, monkeypatch):
    "A law of one clause, under the name x"
    path = tmp_path/'law.toml'
    path.write_text(GOOD + f'[clauses.needs]\n{needs}\n')
    found = read_profile(path)
    monkeypatch.setattr('dlcourse.fairness.profiles.profile', lambda name: found)


@pytest.mark.parametrize('needs, status, missing', [
    ('metrics=["selection_rate"]', 'evidence', ()),
    ('metrics=["accuracy_score"]', NO_EVIDENCE, ('accuracy_score of groups',)),
    ('overall=["accuracy_score"]', 'evidence', ()),
    ('metrics=["accuracy_score|selection_rate"]', 'evidence', ()),
    ('metrics=["selection_rate", "accuracy_score"]', 'in part', ('accuracy_score of groups',)),
    ('sections=["subgroups"]', 'evidence', ()),
    ('sections=["scores"]', NO_EVIDENCE, ('section scores',)),
    ('fields=["warnings"]', 'evidence', ()),
    ('inputs=["label"]', NO_EVIDENCE, ()),
    ('inputs=["policy"]\nfields=["warnings"]', NO_EVIDENCE, ('warnings', 'policy as an input')),
    ('inputs=["label"]\nfields=["warnings"]', 'evidence', ()),
    ('fields=["warnings"]\nplanned=["drift"]', 'in part', ('drift (planned)',)),
    ('documents={log="The log"}', NO_EVIDENCE, ('document log: The log',)),
    ('fields=["warnings"]\ndocuments={log="The log"}', 'in part', ('document log: The log',)),
    ('', NO_EVIDENCE, ())])
def test_evidence_in_part_and_nothing(tmp_path, monkeypatch, needs, status, missing):
    law_of(tmp_path, needs, monkeypatch)
    [row] = evidence(REPORT, 'x')
    assert (row.status, set(row.missing)) == (status, set(missing))
    assert law_headline([row]).count('1 of 1') == (status == 'evidence')


def test_links_count_for_documents_and_are_shown(tmp_path, monkeypatch):
    law_of(tmp_path, 'documents={log="The log", notice="The notice"}', monkeypatch)
    links = {'x': {'1': {'log': 'https://example.org/log'}}}
    [row] = evidence(REPORT, 'x', read_links(links))
    assert (row.status, row.links) == ('in part', ('log: https://example.org/log',))
    assert row.missing == ('document notice: The notice',)
    assert 'notice' in blank_links('x')
    for bad, says in [({'x': {'2': {}}}, '`2` is no clause'), ({'x': {'1': {'lg': 'a'}}}, '`lg`'),
                      ({'x': {'1': {'log': ' '}}}, '`log` of clause 1'), ({'x': 1}, '`x` must be'),
                      ({'x': {'1': 'https://'}}, '`1` must be')]:
        with pytest.raises(InputError, match=says): read_links(bad)


def test_a_file_of_links_that_is_printed_can_be_read_back(tmp_path):
    path = tmp_path/'links.toml'
    for name in PROFILES:
        blank = blank_links(name)
        path.write_text(re.sub('^# (.*) = "" # .*', r'\1 = "there"', blank, flags=re.M))
        given = read_links(path)
        wanted = {c.id: set(c.needs.documents) for c in profile(name).standing if c.needs.documents}
        assert {k: set(v) for k, v in given.get(name, {}).items()} == wanted
        path.write_text(blank)
        assert not any(read_links(path).get(name, {}).values())


def test_a_clause_that_no_longer_stands_is_listed_and_not_counted(tmp_path, monkeypatch):
    law_of(tmp_path, '', monkeypatch)
    path = tmp_path/'law.toml'
    gone = GOOD[GOOD.index('[[clauses]]'):].replace('"1"', '"0"')
    path.write_text(GOOD + gone + 'repealed=2026-02-01\nnow="1"\n')
    found = read_profile(path)
    assert [c.id for c in found.standing] == ['1']
    assert any('Repealed, and not counted: 0, on 2026-02-01; in its place stands 1.' in s
               for s in law_notes(found, date(2026, 3, 1)))


@pytest.mark.parametrize('name', PROFILES)
def test_no_law_cites_a_repealed_clause(name):
    found = profile(name)
    for gone in (c.id for c in found.clauses if c.repealed):
        for c in found.standing:
            assert c.id != gone and f' {gone},' not in c.source and f' {gone} ' not in c.asks


@pytest.mark.parametrize('name', PROFILES)
def test_a_law_at_which_nobody_looked_for_180_days_says_so(name):
    found = profile(name)
    for days, says in ((STALE_DAYS - 1, False), (STALE_DAYS, True), (1000, True)):
        said = law_notes(found, found.status_checked + timedelta(days))
        assert any('Nobody has looked since' in s for s in said) is says
    doubtful = [c.id for c in found.standing if c.status != 'read']
    assert any('Not verified in the text' in s for s in said) is bool(doubtful)
    assert any(found.source in s for s in said) and found.covers in said


def test_before_its_day_a_law_is_not_in_force(tmp_path):
    path = tmp_path/'law.toml'
    path.write_text(GOOD.replace('[[', 'in_force_from=2026-05-01\nsuperseded_by="Y"\n[['))
    found = read_profile(path)
    assert 'Not in force before 2026-05-01.' in law_notes(found, date(2026, 4, 30))
    assert 'In force since 2026-05-01.' in law_notes(found, date(2026, 5, 1))
    assert 'It was superseded by Y.' in law_notes(found, date(2026, 5, 1))


STATEMENT = dict(audit_date='2026-06-01', distribution_date='2026-07-01', data_source='made',
                 auditor='a test', declaration='independent', collected='self-reported')


@cache
def real_report(label=True, profiles=()):
    "A report of four hundred applicants, with everything that an audit can be asked for"
    rng = np.random.default_rng(0)
    good, race = rng.integers(0, 2, 400), rng.choice(['White', 'Asian'], 400)
    chosen = np.where(rng.random(400) < .8, good, 1 - good)
    table = pl.DataFrame(dict(sex=rng.choice(['Male', 'Female'], 400), race=race, good=good,
                              chosen=chosen, score=(chosen + rng.random(400))/2))
    table = table.with_columns(price=pl.Series(rng.random(400)), debt=pl.Series(rng.random(400)),
                               zip=pl.Series(race), first=pl.Series(good))
    more = dict(y_true='good', score='score', price='price', points='debt', proposed='first',
                features='zip') if label else {}
    with TemporaryDirectory() as folder:
        path = Path(folder)/'applicants.csv'
        table.write_csv(path)
        return _audited(path, profiles, more)


def _audited(path, profiles, more):
    policy = path.with_name('policy.toml')
    policy.write_text('ratio.selection_rate = 0.8\n')
    more |= dict(policy=policy, declared=declare_policy(policy))
    return audit(path, y_pred='chosen', sensitive_features=['sex', 'race'], favorable=1,
                 subgroups=['sex', 'race'], profile=profiles or PROFILES, **more,
                 inputs=dict(sex='sex', race='race', statement=STATEMENT)).to_dict()


def rival_report():
    "Of a score and its line, with what each selection brings"
    rng = np.random.default_rng(0)
    table = dict(sex=rng.choice(['Male', 'Female'], 400), score=rng.random(400),
                 worth=rng.normal(size=400), race=['White', 'Asian']*200)
    return audit(table, score='score', threshold=.5, sensitive_features='sex', favorable=1,
                 worth='worth', profile='nyc-ll144',
                 inputs=dict(sex='sex', race='race', score='score', statement=STATEMENT)).to_dict()


def test_local_law_144_has_tables_of_what_the_tool_does():
    "Rates of selection or of scores: nobody measured the other"
    for report, there, not_there in ((real_report(), '5-301 (b)', '5-301 (c)'),
                                     (rival_report(), '5-301 (c)', '5-301 (b)')):
        found = {r.clause: r.status for r in evidence(report, 'nyc-ll144')}
        assert (found[there], found[not_there]) == ('evidence', NO_EVIDENCE)


def pay_report():
    staff = dict(sex=['Female', 'Male']*3, job=['a', 'b', 'b']*2, pay=[3, 4, 5]*2, bonus=[1]*6)
    found = audit_pay(staff, pay='pay', sex='sex', category='job', variable='bonus')
    return as_audit(found).to_dict()


@pytest.mark.parametrize('name', PROFILES)
def test_everything_that_a_law_needs_is_in_a_real_report_or_planned(name):
    reports = real_report(), rival_report(), pay_report()
    for rows in zip(*(evidence(r, name) for r in reports), strict=True):
        nowhere = set.intersection(*(set(row.missing) for row in rows))
        lacking = [m for m in nowhere if not m.startswith('document ')
                   and not m.endswith('(planned)')]
        assert not lacking, (rows[0].clause, lacking)
    for said in (w for c in profile(name).standing for w in c.needs.documents.values()):
        assert not re.search('`[a-z]+_[a-z_]+`', said), said # No function of ours is a document
    wanted = {i for c in profile(name).standing for i in c.needs.inputs}
    assert wanted <= set(INPUTS)


@pytest.mark.parametrize('name', PROFILES)
def test_what_a_law_quotes_names_a_function_that_there_is(name):
    for q in profile(name).quotations:
        assert q.text.strip() and q.source.strip()
        if not q.about: continue
        module, _, function = q.about.rpartition('.')
        assert callable(getattr(import_module(f'dlcourse.{module}'), function))


def test_the_disclaimer_stands_once_and_every_law_shows_its_clauses():
    report = real_report()
    notes = [note for s in report['sections'] for note in s['notes']]
    assert sum(DISCLAIMER in note for note in notes) == 1
    names = [s['name'] for s in report['sections']]
    assert len(names) == len(set(names))
    for name in PROFILES:
        [shown] = [s for s in report['sections'] if s['name'] in (name, f'{name}-clauses')
                   and 'clauses' in s['result']]
        assert len(shown['result']['clauses']) == len(profile(name).standing)
        assert any(profile(name).source in note for note in shown['notes'])


@pytest.mark.parametrize(('link', 'good'), [
    ('https://example.org/a?b=1&c=2', True), ('http://example.org', True), ('docs/log.html', True),
    ('javascript:alert(1)', False), ('file:///etc/passwd', False), ('//example.org/x', False),
    ('/audits/log', False), ('data:text/html,x', False), ('https://a b', False), ('<b>', False)])
def test_a_link_is_a_web_address_or_a_relative_path(link, good):
    said = {'eu-ai-act': {'12': {'log': link}}}
    if good: assert read_links(said) == said
    else:
        with pytest.raises(InputError, match='`log` of clause 12'): read_links(said)
