"Laws as dated files, and clauses with their evidence"
import json
import re
from datetime import date

import pytest

from dlcourse.core.errors import InputError
from dlcourse.core.files import project_path
from dlcourse.fairness.profiles import (
    NOT_MEASURED,
    PROFILES,
    evidence,
    has_evidence,
    profile,
    read_profile,
)

OFFICIAL = {'nist-ai-rmf': [f'MEASURE {i}' for i in ('1.1 1.2 1.3 2.1 2.2 2.3 2.4 2.5 2.6 2.7 2.8 '
                                                     '2.9 2.10 2.11 2.12 2.13 3.1 3.2 3.3 4.1 4.2 '
                                                     '4.3').split()],
            'eu-ai-act': ['10(2)(f)', '10(2)(g)', '10(2)(h)', '10(3)', '10(5)', '11, Annex IV 2(d)',
                          '11, Annex IV 2(g)', '11, Annex IV 3', '12', '13(3)(b)(ii)',
                          '13(3)(b)(v)', '15']}


@pytest.mark.parametrize('name', PROFILES)
def test_every_law_is_dated_and_every_clause_has_a_source(name):
    found = profile(name)
    assert found.name == name
    assert found.version >= 1
    assert date(2026, 1, 1) < found.as_of <= date.today()
    assert found.clauses
    assert all(c.source.strip() and c.status in ('read', 'recalled') for c in found.clauses)
    assert all(('verify' in c.source) == (c.status == 'recalled') for c in found.clauses)
    assert found.title in str(found) and found.as_of.isoformat() in str(found)


@pytest.mark.parametrize('name', OFFICIAL)
def test_clauses_are_the_official_list(name):
    assert [c.id for c in profile(name).clauses] == OFFICIAL[name]


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


def test_timing_of_the_ai_act():
    values = profile('eu-ai-act').values
    assert (values['annex_iii'], values['annex_i']) == (date(2027, 12, 2), date(2028, 8, 2))


GOOD = '''name="x"
title="X"
version=1
as_of=2026-01-01
notes=[]
[values]
[[clauses]]
id="1"
asks="a"
source="s"
status="read"
'''


@pytest.mark.parametrize('change, says', [
    (('as_of=2026-01-01\n', ''), '`as_of` is missing in law.toml'),
    (('version=1', 'version="1"'), '`version`'),
    (('notes=[]', 'notes=[]\nextra=1'), '`extra` is no key'),
    (('source="s"\n', ''), '`source` is missing in a Clause of law.toml'),
    (('source="s"', 'source=" "'), '`source` of a clause'),
    (('status="read"', 'status="sure"'), '`status` of clause 1'),
    (('[values]', '[values'), 'is not TOML')])
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
    with pytest.raises(InputError, match='`profile` must be one of nyc-ll144'): profile('gdpr')


REPORT = dict(source=dict(name='a.csv', rows=0), metrics={'selection_rate': {'label': 'x'}},
              created='2026-11-22T00:00:00Z', warnings=[], findings=['one'],
              rates=[dict(value=None, low=None), dict(value=0., low=.1)], disparities=[],
              overall=[dict(value=.3, low=.2)])


@pytest.mark.parametrize('path, there',
                         [('source.rows', True), ('source.name', True), ('source.hash', False),
                          ('warnings', False), ('rates.*.value', True),
                                         ('disparities.*.value', False), ('metrics.*.label', True),
                          ('created.year', False), ('', True), ('rates', True)])
def test_what_a_report_holds(path, there):
    assert has_evidence(REPORT, path) is there


@pytest.mark.parametrize('name', OFFICIAL)
def test_evidence_or_not_measured(name):
    rows = evidence(REPORT, name)
    assert [r.clause for r in rows] == OFFICIAL[name]
    for r in rows:
        assert r.status == (NOT_MEASURED if not r.held else 'in part' if r.missing else 'evidence')
        assert all(has_evidence(REPORT, f) for f in r.held)
    assert all(r.status == NOT_MEASURED for r in evidence({}, name))
    with pytest.raises(InputError, match='asks for tables of its own'):
        evidence(REPORT, 'nyc-ll144')


def test_paths_name_fields_of_the_report():
    "Every field that a clause names is in the report's schema, or one that other parts bring"
    schema = json.loads(project_path('assets', 'report.schema.json').read_text(encoding='utf-8'))
    later = {'mitigation', 'robustness', 'privacy', 'drift', 'signature', 'legal'}
    used = {f.split('.')[0] for name in OFFICIAL for c in profile(name).clauses for f in c.fields}
    assert used - later <= set(schema['properties'])
