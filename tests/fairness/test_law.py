"Laws as dated files, the tables of Local Law 144, and clauses with their evidence"
import json
import re
from collections import Counter
from datetime import date

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from dlcourse.core.errors import InputError
from dlcourse.core.files import project_path
from dlcourse.fairness import law

SEX, RACE = law.profile('nyc-ll144').values['sex'], law.profile('nyc-ll144').values['race']
SAID = dict(audit_date='2026-11-22', distribution_date=date(2026, 12, 1), data_source='made', auditor='a test', declaration='none', collected='self-reported')
OFFICIAL = {'nist-ai-rmf': [f'MEASURE {i}' for i in ('1.1 1.2 1.3 2.1 2.2 2.3 2.4 2.5 2.6 2.7 2.8 2.9 2.10 2.11 2.12 2.13 3.1 3.2 3.3 4.1 4.2 4.3').split()],
            'eu-ai-act': ['10(2)(f)', '10(2)(g)', '10(2)(h)', '10(3)', '10(5)', '11, Annex IV 2(d)', '11, Annex IV 2(g)', '11, Annex IV 3', '12', '13(3)(b)(ii)',
                          '13(3)(b)(v)', '15']}


def table(n=600, seed=0):
    "Made applicants, some of unknown sex or race"
    rng = np.random.default_rng(seed)
    sex = rng.choice([*SEX, None], n, p=[.5, .45, .05])
    race = rng.choice([*RACE[:5], 'Two or More Races', None], n, p=[.2, .5, .15, .01, .06, .04, .04])
    return pl.DataFrame({'sex': sex.tolist(), 'race': race.tolist(), 'yes': rng.integers(0, 2, n), 'score': rng.integers(0, 30, n)/2, 'team': rng.choice(['a', 'b', 'c'], n)})


def by_loops(frame, column):
    "The three tables, person by person"
    rows = frame.select('sex', 'race', column).rows()
    out = {}
    for s in SEX: out['sex', s] = [y for a, _, y in rows if a == s]
    for r in RACE: out['race/ethnicity', r] = [y for _, b, y in rows if b == r]
    for r in RACE:
        for s in SEX: out['sex × race/ethnicity', f'{r} × {s}'] = [y for a, b, y in rows if (a, b) == (s, r)]
    return out


# The files

@pytest.mark.parametrize('name', law.PROFILES)
def test_every_law_is_dated_and_every_clause_has_a_source(name):
    found = law.profile(name)
    assert found.name == name and found.version >= 1 and date(2026, 1, 1) < found.as_of <= date.today()
    assert found.clauses and all(c.source.strip() and c.status in ('read', 'recalled') for c in found.clauses)
    assert all(('verify' in c.source) == (c.status == 'recalled') for c in found.clauses)
    assert found.title in str(found) and found.as_of.isoformat() in str(found)


@pytest.mark.parametrize('name', OFFICIAL)
def test_clauses_are_the_official_list(name):
    assert [c.id for c in law.profile(name).clauses] == OFFICIAL[name]


def test_fairness_is_nists_2_11():
    asks = {c.id: c.asks for c in law.profile('nist-ai-rmf').clauses}
    assert 'airness and bias' in asks['MEASURE 2.11'] and 'valid and reliable' in asks['MEASURE 2.5'] and 'safety' in asks['MEASURE 2.6']
    assert [c for c, a in asks.items() if 'airness' in a] == ['MEASURE 2.11']


def test_local_law_144_has_no_threshold():
    found = law.profile('nyc-ll144')
    assert list(found.values) == ['small_share', 'sex', 'race'] and len(SEX) == 2 and len(RACE) == 7
    assert not any(re.search(r'0\.8|four.fifths', c.asks) for c in found.clauses)


def test_timing_of_the_ai_act():
    values = law.profile('eu-ai-act').values
    assert (values['annex_iii'], values['annex_i']) == (date(2027, 12, 2), date(2028, 8, 2))


GOOD = 'name="x"\ntitle="X"\nversion=1\nas_of=2026-01-01\nnotes=[]\n[values]\n[[clauses]]\nid="1"\nasks="a"\nsource="s"\nstatus="read"\n'


@pytest.mark.parametrize('change, says', [
    (('as_of=2026-01-01\n', ''), '`as_of` of law.toml must be a date'), (('version=1', 'version="1"'), '`version`'), (('notes=[]', 'notes=[]\nextra=1'), '`extra` is no key'),
    (('source="s"\n', ''), 'a clause of law.toml has the keys id, asks, status'), (('source="s"', 'source=" "'), '`source` of a clause'),
    (('status="read"', 'status="sure"'), '`status` of clause 1'), (('[values]', '[values'), 'is not TOML')])
def test_faults_of_a_profile(tmp_path, change, says):
    path = tmp_path/'law.toml'
    path.write_text(GOOD)
    assert law.read_profile(path).name == 'x'
    path.write_text(GOOD.replace(*change))
    with pytest.raises(InputError, match=re.escape(says)): law.read_profile(path)


def test_more_faults_of_a_profile(tmp_path):
    path = tmp_path/'law.toml'
    path.write_text(GOOD + GOOD[GOOD.index('[[clauses]]'):])
    with pytest.raises(InputError, match='`1` stands twice in law.toml'): law.read_profile(path)
    with pytest.raises(InputError, match='cannot be read'): law.read_profile(tmp_path/'none.toml')
    with pytest.raises(InputError, match='`profile` must be one of nyc-ll144'): law.profile('gdpr')


# Local Law 144

@pytest.mark.parametrize('seed', range(3))
def test_the_three_tables_are_those_of_a_count_by_hand(seed):
    frame = table(seed=seed)
    found = law.local_law_144(frame, sex='sex', race='race', selected='yes', statement=SAID)
    want = by_loops(frame, 'yes')
    assert [(r.table, r.category) for r in found.rows] == list(want) and len(want) == 2 + 7 + 14
    best = {t: max(np.mean(v) for (u, _), v in want.items() if u == t and v) for t in law.TABLES}
    for r in found.rows:
        people = want[r.table, r.category]
        assert (r.n, r.selected) == (len(people), sum(people)) and r.share_all == len(people)/len(frame)
        if people:
            assert r.rate == np.mean(people) and abs(r.impact_ratio - r.rate/best[r.table]) < 1e-15 and r.not_law_low <= r.rate <= r.not_law_high
            if r.not_law_ratio_low is not None: assert r.not_law_ratio_low <= r.impact_ratio <= r.not_law_ratio_high
        else: assert r.rate is r.impact_ratio is None and r.reason == "nobody was assessed"
    rows = frame.rows(named=True)
    assert found.unknown == {'sex': sum(x['sex'] is None for x in rows), 'race/ethnicity': sum(x['race'] is None for x in rows),
                             'sex × race/ethnicity': sum(x['sex'] is None or x['race'] is None for x in rows)}


@pytest.mark.parametrize('known_only', [False, True])
def test_scoring_rates_from_every_engine(tmp_path, known_only):
    frame = table(500)
    scores, rows = frame['score'].to_numpy(), frame.rows(named=True)
    kept = [x['score'] for x in rows if not known_only or x['sex'] is not None and x['race'] is not None]
    median = float(np.median(kept))
    want = {k: [s > median for s in v] for k, v in by_loops(frame, 'score').items()}
    path = tmp_path/'scores.csv'
    frame.write_csv(path)
    frame.write_parquet(tmp_path/'scores.parquet')
    pandas = frame.to_pandas()
    engines = [frame, frame.lazy(), pandas, pa.table(frame.to_dict(as_series=False)), duckdb.from_arrow(frame.to_arrow()), frame.to_dict(as_series=False), path, tmp_path/'scores.parquet']
    for data in engines:
        found = law.local_law_144(data, sex='sex', race='race', score='score', statement=SAID, unknown_in_median=not known_only)
        assert found.median == median and found.ties == int((scores == median).sum()) and found.kind == 'scoring rate'
        assert {(r.table, r.category): (r.n, r.selected) for r in found.rows} == {k: (len(v), sum(v)) for k, v in want.items()}


def test_rows_without_a_score_are_nobody_assessed():
    frame = table(300).with_columns(score=pl.when(pl.int_range(pl.len()) < 10).then(None).otherwise('score'))
    found = law.local_law_144(frame, sex='sex', race='race', score='score', statement=SAID)
    assert (found.n, found.unassessed) == (290, 10) and any('10 rows have no decision' in f for f in found.findings)
    assert found.median == float(np.median(frame['score'].drop_nulls()))


def test_a_classifier_into_groups_gets_tables_for_each_group():
    frame = table(400)
    found = law.local_law_144(frame, sex='sex', race='race', groups='team', statement=SAID)
    assert len(found.rows) == 3*23 and [r.group for r in found.rows[::23]] == ['a', 'b', 'c']
    women = frame.filter(pl.col('sex') == 'Female')
    assert {g: found.table('sex', g)[1].selected for g in 'abc'} == dict(Counter(women['team']))
    assert sum(r.selected for r in found.rows if r.table == 'sex') == frame['sex'].count()


def small(**how):
    "White 900, Black 82 at .5, Native 18 who are all selected; and 100 of unknown race"
    groups = [('White', 900, 540), ('Black or African American', 82, 41), ('Native American or Alaska Native', 18, 18), (None, 100, 50)]
    rows = [(i % 2, race, j < k) for race, n, k in groups for i, j in enumerate(range(n))]
    frame = pl.DataFrame({'sex': [SEX[a] for a, *_ in rows], 'race': [b for _, b, _ in rows], 'yes': [int(c) for *_, c in rows]})
    return law.local_law_144(frame, sex='sex', race='race', selected='yes', statement=SAID, **how)


def test_small_categories_both_readings():
    rows = {r.category: r for r in small().table('race/ethnicity')}
    assert rows['White'].impact_ratio == rows['White'].other_reading == .6 and not any(r.excluded for r in rows.values())
    left = {r.category: r for r in small(exclude_small='eighteen people').table('race/ethnicity')}
    native = left['Native American or Alaska Native']
    assert native.excluded and (native.n, native.rate, native.impact_ratio, native.reason) == (18, 1., None, 'eighteen people')
    assert left['White'].impact_ratio == 1 and left['White'].other_reading == .6
    lead = {r.category: r for r in small(exclude_small='eighteen people', excluded_may_lead=True).table('race/ethnicity')}
    assert lead['White'].impact_ratio == .6 and lead['White'].other_reading == 1 and lead['Black or African American'].impact_ratio == .5
    assert [r.n for r in left.values()] == [0, 900, 82, 0, 0, 18, 0]


def test_small_of_what():
    "21 people are less than 2 % of the 1,069 assessed, and more than 2 % of the 1,019 of known race"
    rows = [('White', 'Male', 1)]*600 + [('Black or African American', 'Female', 0)]*398 + [('Asian', 'Male', 1)]*21 + [(None, 'Male', 1)]*50
    frame = pl.DataFrame(rows, schema=['race', 'sex', 'yes'], orient='row')
    for base, out in (('all', True), ('known', False)):
        found = law.local_law_144(frame, sex='sex', race='race', selected='yes', statement=SAID, exclude_small='few', small_base=base)
        asian = next(r for r in found.table('race/ethnicity') if r.category == 'Asian')
        assert (asian.excluded, asian.share_all, asian.share_known) == (out, 21/1069, 21/1019)
        assert any('but not of those whose category is known: Asian' in f for f in found.findings)


def test_excluding_needs_a_justification_and_a_small_category():
    for bad in (True, '', '  '):
        with pytest.raises(InputError, match='justification in words'): small(exclude_small=bad)
    with pytest.raises(InputError, match='`White` cannot be excluded'): small(exclude_small={'White': 'too many'})
    with pytest.raises(InputError, match='`Martian` in `exclude_small` is no row'): small(exclude_small={'Martian': 'few'})
    with pytest.raises(InputError, match='`small_base` must be all or known'): small(small_base='some')


def test_other_and_inferred_categories_are_refused(tmp_path):
    frame = table(100).with_columns(race=pl.col('race').fill_null('Other'))
    asked = dict(sex='sex', race='race', selected='yes', statement=SAID)
    with pytest.raises(InputError, match="`race` holds 'Other' .* map it, in \\[race\\] of a mapping file"): law.local_law_144(frame, **asked)
    with pytest.raises(InputError, match="is mapped to 'Other', which is no race category of nyc-ll144"): law.local_law_144(frame, mapping={'race': {'Other': 'Other'}}, **asked)
    with pytest.raises(InputError, match='`gender` is no table of a mapping'): law.local_law_144(frame, mapping={'gender': {}}, **asked)
    path = tmp_path/'mapping.toml'
    path.write_text('[race]\nOther = "Unknown"\n')
    assert law.local_law_144(frame, mapping=path, **asked).unknown['race/ethnicity'] == (frame['race'] == 'Other').sum()
    path.write_text('[race')
    with pytest.raises(InputError, match='mapping.toml` is not TOML'): law.local_law_144(frame, mapping=path, **asked)
    with pytest.raises(InputError, match='Sex and race that were inferred are refused'): law.local_law_144(frame, **asked | dict(statement=SAID | dict(collected='inferred')))


def test_the_statement_is_required():
    asked = dict(sex='sex', race='race', selected='yes')
    for change, says in [(dict(audit_date='soon'), '`audit_date` must be a date'), (dict(auditor=' '), '`auditor` must be a text'), (dict(editor='x'), '`editor` is no part')]:
        with pytest.raises(InputError, match=says): law.local_law_144(table(50), statement=SAID | change, **asked)
    with pytest.raises(InputError, match='lacks `declaration`, `collected`'):
        law.local_law_144(table(50), statement={k: v for k, v in SAID.items() if k not in ('declaration', 'collected')}, **asked)
    with pytest.raises(InputError, match='`statement` must be'): law.local_law_144(table(50), statement='me', **asked)
    assert law.Statement(**SAID).audit_date == date(2026, 11, 22)


def test_one_output_and_one_only():
    asked = dict(sex='sex', race='race', statement=SAID)
    with pytest.raises(InputError, match='give one of `selected`, `score` and `groups`.*got none'): law.local_law_144(table(50), **asked)
    with pytest.raises(InputError, match='got selected and score'): law.local_law_144(table(50), selected='yes', score='score', **asked)
    with pytest.raises(InputError, match='is not a column of'): law.local_law_144(table(50), selected='yess', **asked)
    with pytest.raises(InputError, match='must be a table or the path'): law.local_law_144(7, selected='yes', **asked)


def test_nothing_of_the_law_is_called_a_test(tmp_path):
    found = law.local_law_144(table(), sex='sex', race='race', score='score', statement=SAID)
    assert 'fifth' not in found.to_html() and 'not_law' not in found.to_csv() and 'Not part of the law' not in found.to_html()
    assert found.to_html(extras=True).count('Not part of the law: rate') == 3 and law.DISCLAIMER in found.to_html()
    assert len(found.to_csv().splitlines()) == 24 and found.frame.height == 23
    back = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert back['rows'] and back['statement']['audit_date'] == '2026-11-22' and back['as_of'] and back['disclaimer'] == law.DISCLAIMER


def test_text_is_escaped_and_formulas_are_defused():
    frame = table(100).with_columns(team=pl.lit('=1+1'))
    frame = frame.with_columns(team=pl.when(pl.int_range(pl.len()) < 50).then(pl.lit('<script>')).otherwise('team'))
    found = law.local_law_144(frame, sex='sex', race='race', groups='team', statement=SAID | dict(auditor='<b>me</b>'))
    assert '<script>' not in found.to_html() and '<b>me' not in found.to_html() and '&lt;b&gt;me' in found.to_html()
    assert "'=1+1" in found.to_csv() and '\n=1+1' not in found.to_csv()


def test_the_example_of_the_city_as_recalled():
    "DCWP's example, from memory: 667 of 1,390 men, 555 of 1,181 women; .979"
    rows = [('Male', 1)]*667 + [('Male', 0)]*723 + [('Female', 1)]*555 + [('Female', 0)]*626
    frame = pl.DataFrame(rows, schema=['sex', 'yes'], orient='row').with_columns(race=pl.Series([RACE[i % 7] for i in range(len(rows))]))
    men, women = law.local_law_144(frame, sex='sex', race='race', selected='yes', statement=SAID).table('sex')
    assert (round(men.rate, 2), round(women.rate, 2), round(women.impact_ratio, 3)) == (.48, .47, .979)


# Evidence

REPORT = dict(source=dict(name='a.csv', rows=0), metrics={'selection_rate': {'label': 'x'}}, created='2026-11-22T00:00:00Z', warnings=[], findings=['one'],
              rates=[dict(value=None, low=None), dict(value=0., low=.1)], disparities=[], overall=[dict(value=.3, low=.2)])


@pytest.mark.parametrize('path, there', [('source.rows', True), ('source.name', True), ('source.hash', False), ('warnings', False), ('rates.*.value', True),
                                         ('disparities.*.value', False), ('metrics.*.label', True), ('created.year', False), ('', True), ('rates', True)])
def test_what_a_report_holds(path, there):
    assert law.holds(REPORT, path) is there


@pytest.mark.parametrize('name', OFFICIAL)
def test_evidence_or_not_measured(name):
    rows = law.evidence(REPORT, name)
    assert [r.clause for r in rows] == OFFICIAL[name]
    for r in rows:
        assert r.status == (law.NOT_MEASURED if not r.held else 'in part' if r.missing else 'evidence') and all(law.holds(REPORT, f) for f in r.held)
    assert all(r.status == law.NOT_MEASURED for r in law.evidence({}, name))
    with pytest.raises(InputError, match='asks for tables of its own'): law.evidence(REPORT, 'nyc-ll144')


def test_paths_name_fields_of_the_report():
    "Every field that a clause names is in the schema of the report, or one of those that other parts of an audit bring"
    schema = json.loads(project_path('assets', 'report.schema.json').read_text(encoding='utf-8'))
    later = {'mitigation', 'robustness', 'privacy', 'drift', 'signature', 'legal'}
    used = {f.split('.')[0] for name in OFFICIAL for c in law.profile(name).clauses for f in c.fields}
    assert used - later <= set(schema['properties'])


def test_pandas_missing_values_are_unknown():
    frame = table(200).to_pandas()
    frame.loc[frame.index[:5], 'sex'] = np.nan
    found = law.local_law_144(frame, sex='sex', race='race', selected='yes', statement=SAID)
    assert found.unknown['sex'] == int(pd.isna(frame['sex']).sum())
