"The tables of Local Law 144: against a count by hand, from every engine, and what is refused"
import json
from collections import Counter
from datetime import date

import numpy as np
import pandas as pd
import polars as pl
import pytest
from engines import everywhere, in_files

from dlcourse.core.errors import InputError
from dlcourse.fairness.law_summary import Statement
from dlcourse.fairness.law_tables import LAW_TABLES, local_law_144
from dlcourse.fairness.profiles import DISCLAIMER, profile
from dlcourse.fairness.rows import Rows

SEX, RACE = profile('nyc-ll144').values['sex'], profile('nyc-ll144').values['race']


SAID = dict(audit_date='2026-11-22', distribution_date=date(2026, 12, 1), data_source='made',
            auditor='a test', declaration='none', collected='self-reported',
            involved=False, employed=False, interested=False)


def table(n=600, seed=0):
    "Made applicants, some of unknown sex or race"
    rng = np.random.default_rng(seed)
    sex = rng.choice([*SEX, None], n, p=[.5, .45, .05])
    race = rng.choice([*RACE[:5], 'Two or More Races', None], n,
                      p=[.2, .5, .15, .01, .06, .04, .04])
    return pl.DataFrame({'sex': sex.tolist(), 'race': race.tolist(), 'yes': rng.integers(0, 2, n),
                         'score': rng.integers(0, 30, n)/2, 'team': rng.choice(['a', 'b', 'c'], n)})


def by_loops(frame, column):
    "The three tables, person by person"
    rows = frame.select('sex', 'race', column).rows()
    out = {}
    for s in SEX: out['sex', s] = [y for a, _, y in rows if a == s]
    for r in RACE: out['race/ethnicity', r] = [y for _, b, y in rows if b == r]
    for r in RACE:
        for s in SEX:
            both = f'{r} × {s}'
            out['sex × race/ethnicity', both] = [y for a, b, y in rows if (a, b) == (s, r)]
    return out


@pytest.mark.parametrize('seed', range(3))
def test_the_three_tables_are_those_of_a_count_by_hand(seed):
    frame = table(seed=seed)
    found = local_law_144(frame, sex='sex', race='race', selected='yes', statement=SAID)
    want = by_loops(frame, 'yes')
    assert [(r.table, r.category) for r in found.rows] == list(want) and len(want) == 2 + 7 + 14
    best = {t: max(np.mean(v) for (u, _), v in want.items() if u == t and v) for t in LAW_TABLES}
    for r in found.rows:
        people = want[r.table, r.category]
        assert (r.n, r.selected) == (len(people), sum(people))
        assert r.share_all == len(people)/len(frame)
        if people:
            assert r.rate == np.mean(people)
            assert abs(r.impact_ratio - r.rate/best[r.table]) < 1e-15
            assert r.not_law_low <= r.rate <= r.not_law_high
            if r.not_law_ratio_low is not None:
                assert r.not_law_ratio_low <= r.impact_ratio <= r.not_law_ratio_high
        else: assert r.rate is r.impact_ratio is None and r.reason == "nobody was assessed"
    rows = frame.rows(named=True)
    assert found.unknown == {'sex': sum(x['sex'] is None for x in rows),
                             'race/ethnicity': sum(x['race'] is None for x in rows),
                             'sex × race/ethnicity': sum(x['sex'] is None or x['race'] is None
                                                         for x in rows)}


@pytest.mark.parametrize('known_only', [False, True])
def test_scoring_rates_from_every_engine(tmp_path, known_only):
    frame = table(500)
    scores, rows = frame['score'].to_numpy(), frame.rows(named=True)
    kept = [x['score'] for x in rows if not known_only or x['sex'] is not None
            and x['race'] is not None]
    median = float(np.median(kept))
    want = {k: [s > median for s in v] for k, v in by_loops(frame, 'score').items()}
    columns = frame.to_dict(as_series=False)
    for data in (*everywhere(columns).values(), *in_files(columns, tmp_path)):
        found = local_law_144(data, sex='sex', race='race', score='score', statement=SAID,
                              unknown_in_median=not known_only)
        assert found.median == median
        assert found.ties == int((scores == median).sum())
        assert found.kind == 'scoring rate'
        assert {(r.table, r.category): (r.n, r.selected)
                for r in found.rows} == {k: (len(v), sum(v)) for k, v in want.items()}


def test_rows_without_a_score_are_nobody_assessed():
    frame = table(300).with_columns(score=pl.when(pl.int_range(pl.len())
                                                  < 10).then(None).otherwise('score'))
    found = local_law_144(frame, sex='sex', race='race', score='score', statement=SAID)
    assert (found.n, found.unassessed) == (290, 10)
    assert any('10 rows have no decision' in f for f in found.findings)
    assert found.median == float(np.median(frame['score'].drop_nulls()))


def test_a_classifier_into_groups_gets_tables_for_each_group():
    frame = table(400)
    found = local_law_144(frame, sex='sex', race='race', groups='team', statement=SAID)
    assert len(found.rows) == 3*23 and [r.group for r in found.rows[::23]] == ['a', 'b', 'c']
    women = frame.filter(pl.col('sex') == 'Female')
    assert {g: found.table('sex', g)[1].selected for g in 'abc'} == dict(Counter(women['team']))
    assert sum(r.selected for r in found.rows if r.table == 'sex') == frame['sex'].count()


def small(**how):
    "White 900, Black 82 at .5, Native 18 who are all selected; and 100 of unknown race"
    groups = [('White', 900, 540), ('Black or African American', 82, 41),
              ('Native American or Alaska Native', 18, 18), (None, 100, 50)]
    rows = [(i % 2, race, j < k) for race, n, k in groups for i, j in enumerate(range(n))]
    frame = pl.DataFrame({'sex': [SEX[a] for a, *_ in rows], 'race': [b for _, b, _ in rows],
                          'yes': [int(c) for *_, c in rows]})
    return local_law_144(frame, sex='sex', race='race', selected='yes', statement=SAID, **how)


def test_small_categories_both_readings():
    rows = {r.category: r for r in small().table('race/ethnicity')}
    assert rows['White'].impact_ratio == rows['White'].other_reading == .6
    assert not any(r.excluded for r in rows.values())
    left = {r.category: r for r in small(exclude_small='eighteen people').table('race/ethnicity')}
    native = left['Native American or Alaska Native']
    assert native.excluded
    assert (native.n, native.rate, native.impact_ratio,
            native.reason) == (18, 1., None, 'eighteen people')
    assert left['White'].impact_ratio == 1 and left['White'].other_reading == .6
    lead = {r.category: r
            for r in small(exclude_small='eighteen people',
                           excluded_may_lead=True).table('race/ethnicity')}
    assert lead['White'].impact_ratio == .6
    assert lead['White'].other_reading == 1
    assert lead['Black or African American'].impact_ratio == .5
    assert [r.n for r in left.values()] == [0, 900, 82, 0, 0, 18, 0]


def test_small_of_what():
    "21 people are less than 2 % of the 1,069 assessed, and more of the 1,019 of known race"
    rows = [('White', 'Male', 1)]*600 + [('Black or African American', 'Female',
                                          0)]*398 + [('Asian', 'Male',
                                                      1)]*21 + [(None, 'Male', 1)]*50
    frame = pl.DataFrame(rows, schema=['race', 'sex', 'yes'], orient='row')
    for base, out in (('all', True), ('known', False)):
        found = local_law_144(frame, sex='sex', race='race', selected='yes', statement=SAID,
                              exclude_small='few', small_base=base)
        asian = next(r for r in found.table('race/ethnicity') if r.category == 'Asian')
        assert (asian.excluded, asian.share_all, asian.share_known) == (out, 21/1069, 21/1019)
        assert any('but not of those whose category is known: Asian' in f for f in found.findings)


def test_excluding_needs_a_justification_and_a_small_category():
    for bad in (True, '', '  '):
        with pytest.raises(InputError, match='justification in words'): small(exclude_small=bad)
    with pytest.raises(InputError, match='`White` cannot be excluded'):
        small(exclude_small={'White': 'too many'})
    with pytest.raises(InputError, match='`Martian` in `exclude_small` is no row'):
        small(exclude_small={'Martian': 'few'})
    with pytest.raises(InputError, match='`small_base` must be all or known'):
        small(small_base='some')


def test_other_and_inferred_categories_are_refused(tmp_path):
    frame = table(100).with_columns(race=pl.col('race').fill_null('Other'))
    asked = dict(sex='sex', race='race', selected='yes', statement=SAID)
    with pytest.raises(InputError,
                       match="`race` holds 'Other' .* map it, in \\[race\\] of a mapping file"):
        local_law_144(frame, **asked)
    with pytest.raises(InputError,
                       match="is mapped to 'Other', which is no race category of nyc-ll144"):
        local_law_144(frame, mapping={'race': {'Other': 'Other'}}, **asked)
    with pytest.raises(InputError, match='`gender` is no table of a mapping'):
        local_law_144(frame, mapping={'gender': {}}, **asked)
    path = tmp_path/'mapping.toml'
    path.write_text('[race]\nOther = "Unknown"\n')
    assert local_law_144(frame, mapping=path,
                         **asked).unknown['race/ethnicity'] == (frame['race'] == 'Other').sum()
    path.write_text('[race')
    with pytest.raises(InputError, match='mapping.toml` is not TOML'):
        local_law_144(frame, mapping=path, **asked)
    with pytest.raises(InputError, match='Sex and race that were inferred are refused'):
        local_law_144(frame, **asked | dict(statement=SAID | dict(collected='inferred')))


def test_the_statement_is_required():
    asked = dict(sex='sex', race='race', selected='yes')
    for change, says in [(dict(audit_date='soon'), '`audit_date` must be a date'),
                         (dict(auditor=' '), '`auditor` must be a text'),
                         (dict(editor='x'), '`editor` is no part')]:
        with pytest.raises(InputError, match=says):
            local_law_144(table(50), statement=SAID | change, **asked)
    with pytest.raises(InputError, match='lacks `declaration`, `collected`'):
        local_law_144(table(50),
                      statement={k: v for k, v in SAID.items()
                                 if k not in ('declaration', 'collected')}, **asked)
    with pytest.raises(InputError, match='`statement` must be'):
        local_law_144(table(50), statement='me', **asked)
    assert Statement(**SAID).audit_date == date(2026, 11, 22)


def test_one_output_and_one_only():
    asked = dict(sex='sex', race='race', statement=SAID)
    with pytest.raises(InputError, match='give one of `selected`, `score` and `groups`.*got none'):
        local_law_144(table(50), **asked)
    with pytest.raises(InputError, match='got selected and score'):
        local_law_144(table(50), selected='yes', score='score', **asked)
    with pytest.raises(InputError, match='is not a column of'):
        local_law_144(table(50), selected='yess', **asked)
    with pytest.raises(InputError, match='`data` must be a table'):
        local_law_144(7, selected='yes', **asked)


def test_nothing_of_the_law_is_called_a_test(tmp_path):
    found = local_law_144(table(), sex='sex', race='race', score='score', statement=SAID)
    assert 'fifth' not in found.to_html()
    assert 'not_law' not in found.to_csv()
    assert 'Not part of the law' not in found.to_html()
    assert found.to_html(extras=True).count('Not part of the law: rate') == 3
    assert DISCLAIMER in found.to_html()
    assert len(found.to_csv().splitlines()) == 1 + 23 + 3 and found.frame.height == 23
    back = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert back['rows']
    assert back['statement']['audit_date'] == '2026-11-22'
    assert back['status_checked']
    assert back['disclaimer'] == DISCLAIMER


def test_text_is_escaped_and_formulas_are_defused():
    frame = table(100).with_columns(team=pl.lit('=1+1'))
    frame = frame.with_columns(team=pl.when(pl.int_range(pl.len())
                                            < 50).then(pl.lit('<script>')).otherwise('team'))
    found = local_law_144(frame, sex='sex', race='race', groups='team',
                          statement=SAID | dict(auditor='<b>me</b>'))
    assert '<script>' not in found.to_html()
    assert '<b>me' not in found.to_html()
    assert '&lt;b&gt;me' in found.to_html()
    assert "'=1+1" in found.to_csv() and '\n=1+1' not in found.to_csv()


def test_the_example_of_the_city_as_recalled():
    "DCWP's example, from memory: 667 of 1,390 men, 555 of 1,181 women; .979"
    rows = [('Male', 1)]*667 + [('Male', 0)]*723 + [('Female', 1)]*555 + [('Female', 0)]*626
    rows = [(sex, yes, RACE[i % 7]) for i, (sex, yes) in enumerate(rows)]
    frame = pl.DataFrame(rows, schema=['sex', 'yes', 'race'], orient='row')
    found = local_law_144(frame, sex='sex', race='race', selected='yes', statement=SAID)
    men, women = found.table('sex')
    assert (round(men.rate, 2), round(women.rate, 2)) == (.48, .47)
    assert round(women.impact_ratio, 3) == .979


def test_pandas_missing_values_are_unknown():
    frame = table(200).to_pandas()
    frame.loc[frame.index[:5], 'sex'] = np.nan
    found = local_law_144(frame, sex='sex', race='race', selected='yes', statement=SAID)
    assert found.unknown['sex'] == int(pd.isna(frame['sex']).sum())


# ---- From hiring data to what is published

def hiring():
    "A thousand applicants: 25 of unknown sex, 50 of unknown race, two categories under 2 %"
    def spread(counts): return [value for value, n in counts.items() for _ in range(n)]
    races = ('White', 'Asian', 'Hispanic or Latino', 'Two or more races (Not Hispanic or Latino)',
             'Black or African American', 'American Indian or Alaska Native',
             'Native Hawaiian or Other Pacific Islander', '')
    chosen = dict(zip(races, (177, 58, 68, 9, 60, 5, 7, 15), strict=True))
    others = dict(zip(races, (213, 72, 112, 18, 140, 9, 2, 35), strict=True))
    sexes = [spread({'male': 217, 'FEMALE': 176, None: 6}),
             spread({'male': 292, 'FEMALE': 290, None: 19})]
    rng, rows = np.random.default_rng(0), []
    for yes, counts, sex in ((1, chosen, sexes[0]), (0, others, sexes[1])):
        rows += [(s, r, yes) for s, r in zip(rng.permutation(np.array(sex, object)),
                                             spread(counts), strict=True)]
    frame = pl.DataFrame(rows, schema=['sex', 'race', 'hired'], orient='row')
    pile = pl.when(pl.col('hired') == 1).then(pl.lit('interview')).otherwise(pl.lit('rest'))
    return frame.with_columns(pile=pile, w=1.0, none=pl.lit(''))


FEW = 'fewer than 2 % of the applicants'

def test_hiring_data_become_what_is_published(tmp_path):
    hiring().write_csv(tmp_path/'hiring.csv')
    found = local_law_144(tmp_path/'hiring.csv', sex='sex', race='race', selected='hired',
                          exclude_small=FEW, statement=SAID)
    ratios = {r.category: (r.selected, r.n, r.impact_ratio and round(r.impact_ratio, 4))
              for r in found.rows if r.table != 'sex × race/ethnicity'}
    assert ratios == { # By hand
        'Male': (217, 509, 1), 'Female': (176, 466, .8859), 'White': (177, 390, 1),
        'Asian': (58, 130, .9831), 'Hispanic or Latino': (68, 180, .8324),
        'Two or More Races': (9, 27, .7345), 'Black or African American': (60, 200, .661),
        'Native American or Alaska Native': (5, 14, None),
        'Native Hawaiian or Pacific Islander': (7, 9, None)}
    assert found.unknown | {'sex × race/ethnicity': 0} == {'sex': 25, 'race/ethnicity': 50,
                                                           'sex × race/ethnicity': 0}
    other = {r.category: r.other_reading for r in found.table('race/ethnicity')}
    assert round(other['White'], 4) == .5835, "if those who are left out may lead"
    assert any('may still be the best, the impact ratios are: ' in f and 'White 0.58' in f
               for f in found.findings)
    page, table = found.save(html=tmp_path/'p.html', csv=tmp_path/'p.csv')
    text = page.read_text()
    for said in ('2027-11-22', 'made', 'a test', 'self-reported', '25 in an unknown category',
                 f'{FEW}: Native Hawaiian or Pacific Islander (9 people, 77.8 %), ', '0.89',
                 'Content-Security-Policy', 'width=device-width', '@media print'):
        assert said in text
    assert text.count('<div class="wide" tabindex="0" role="region" aria-label="By ') == 3
    assert found.published['Distribution date of the tool'] == '2026-12-01'
    from dlcourse.fairness.published import audit_published
    again = audit_published(table) # As it was published
    assert set(again.verdicts.values()) == {'consistent'} and again.verdict == 'consistent'
    assert not any('needs people of unknown category' in f for f in again.findings)
    assert again.comparators['race/ethnicity'] == 'White'
    assert any('as the law allows: Native Hawaiian or Pacific Islander' in n for n in again.notes)


def test_a_tool_that_puts_people_into_groups_is_published_by_group():
    found = local_law_144(hiring(), sex='sex', race='race', groups='pile', statement=SAID,
                          null='rest')
    assert [r.group for r in found.rows] == ['interview']*23, "a text that means unknown is none"
    assert (found.n, found.unassessed) == (399, 601)
    whole = local_law_144(hiring(), sex='sex', race='race', groups='pile', statement=SAID)
    assert [(r.selected, r.n) for r in whole.table('sex', 'interview')] == [(217, 509), (176, 466)]
    assert [(r.selected, r.n) for r in whole.table('sex', 'rest')] == [(292, 509), (290, 466)]


ASKED = dict(sex='sex', race='race', selected='hired', statement=SAID)

@pytest.mark.parametrize('rows, change, says', [
    (dict(sample_weight='w'), {}, 'cannot honour `sample_weight`: the law counts people'),
    (dict(cluster='w'), {}, 'cannot honour `cluster`'),
    (dict(strata='pile'), {}, 'cannot honour `strata`'),
    (dict(threshold=.5), {}, 'cannot honour `threshold`: scores are held against their median'),
    (dict(missing='drop'), {}, 'cannot honour `missing` = drop'),
    ({}, dict(selected=None, score='w', positive='1'), '`positive` says which decisions mean'),
    ({}, dict(unknown_in_median=False), 'there is no median without `score`'),
    ({}, dict(race='sex'), '`sex` and `race` are the same column'),
    ({}, dict(race=None), '`race` must be the name of a column'),
    ({}, dict(mapping=5), '`mapping` must be a dict'),
    ({}, dict(selected=None, groups='none'), '`none` names no group in any row'),
    ({}, dict(level=float('nan')), '`level` must be a number between 0.5 and 1'),
    ({}, dict(positive='9'), "'9'")])
def test_an_option_is_honoured_or_refused_by_name(rows, change, says):
    with pytest.raises(InputError, match=says):
        local_law_144(Rows(data=hiring(), **rows), **ASKED | change)


def test_options_that_are_honoured(tmp_path):
    frame = hiring().with_columns(pl.col('sex').replace({'male': 'männlich'}),
                                  yes=pl.col('hired').replace_strict({1: 'ja', 0: 'nein'}))
    path = tmp_path/'h.csv'
    path.write_bytes(frame.fill_null('?').write_csv(separator='|').encode('latin-1'))
    words = ASKED | dict(selected='yes', mapping={'sex': {'männlich': 'Male'}})
    want = local_law_144(hiring(), **ASKED).rows
    how = dict(positive='ja', null='?', encoding='latin-1', delimiter='|')
    assert local_law_144(path, **words, **how).rows == want
    assert local_law_144(Rows(data=path, **how), **words).rows == want
    narrow = local_law_144(Rows(data=hiring(), level=.8), **ASKED).rows[0]
    assert (narrow.n, narrow.selected) == (want[0].n, want[0].selected)
    assert narrow.not_law_high - narrow.not_law_low < want[0].not_law_high - want[0].not_law_low


@pytest.mark.parametrize('change, asks', [
    (dict(audit_date='2025-01-31', distribution_date='2026-06-30'), 'more than a year older'),
    (dict(auditor='The employer itself'), 'the law wants one who is independent'),
    (dict(declaration='none'), "Ask: the declaration is 'none'."), ({}, None),
    (dict(audit_date='2025-12-01', distribution_date='2026-01-01'), 'Expired: on 2026-12-02'),
    (dict(audit_date='2025-12-02', distribution_date='2026-01-01'), None),
    (dict(involved=True), 'the auditor is involved in using, developing or distributing'),
    (dict(employed=True), 'the auditor is in an employment relationship'),
    (dict(interested=True), 'a direct or a material indirect financial interest'),
    (dict(employed=None, interested=None), 'Not stated, and the rule asks it')])
def test_a_statement_that_a_reader_will_ask_about(change, asks):
    found = local_law_144(hiring(), **ASKED | dict(
        day=date(2026, 12, 2),
        statement=SAID | dict(declaration='No stake in the outcome.') | change))
    twice = 'distribution_date' in change and asks == 'more than a year older' # And expired since
    assert len(found.warnings) == (asks is not None) + twice
    if asks: assert asks in found.warnings[0] and found.warnings[0] in found.findings


def test_the_answers_to_the_three_bars_and_to_the_open_questions_are_published():
    found = local_law_144(hiring(), **ASKED | dict(exclude_small=FEW, excluded_may_lead=True))
    assert found.published['Independence'].count(': no') == 3
    assert found.published['How the rule was read'] == (
        "2 % is of everybody assessed; a category that is left out may be the best one.")
    with pytest.raises(InputError, match='`employed` must be true or false'):
        Statement(**SAID | dict(employed='no'))
    scored = local_law_144(hiring(), **ASKED | dict(selected=None, score='w'))
    assert 'the median is that of everybody' in scored.published['How the rule was read']


def test_the_median_is_shown_read_both_ways():
    "Ten people of 1 to 10, of whom the two best are of unknown race: 5.5, or 4.5 of the known"
    frame = pl.DataFrame(dict(sex=['male', 'female']*5, score=range(1, 11),
                              race=['White', 'Asian']*4 + [None]*2))
    asked = dict(sex='sex', race='race', score='score', statement=SAID)
    for unknown, median, other in ((True, 5.5, 4.5), (False, 4.5, 5.5)):
        found = local_law_144(frame, **asked, unknown_in_median=unknown)
        assert (found.median, found.other_median) == (median, other)
        assert any(f'it is {other:g}.' in s for s in found.findings)
        assert f'it is {other:g}.' in found.to_html()
    same = local_law_144(frame.head(8), **asked)
    assert same.other_median is None and not any('other way' in s for s in same.findings)


def test_unknown_categories_are_counted_without_being_asked_for():
    from dlcourse.audit.report import audit
    asked = dict(y_pred='hired', sensitive_features=['sex', 'race'], positive='1')
    found = audit(hiring(), profile='nyc-ll144', **asked,
                  inputs=dict(sex='sex', race='race', statement=SAID))
    section = next(s for s in found.sections if s.name == 'nyc-ll144')
    unknown = {'sex': 25, 'race/ethnicity': 50, 'sex × race/ethnicity': 74}
    assert section.result['unknown'] == unknown
    with pytest.raises(InputError, match='missing'): audit(hiring(), **asked)
    with pytest.raises(InputError, match='missing'):
        audit(hiring(), profile='nyc-ll144', missing='error', **asked,
              inputs=dict(sex='sex', race='race', statement=SAID))
    with pytest.raises(InputError, match='dlcourse audit law'):
        audit(hiring(), score='w', sensitive_features='sex')


FORM = ['Hispanic or Latino', 'White', 'Black or African American',
        'Native Hawaiian or Other Pacific Islander', 'Asian', 'American Indian or Alaska Native',
        'Two or More Races']

def test_the_names_of_the_eeo_1_form_are_the_names_of_the_rule():
    form = [r if i == 0 else f'{r} (Not Hispanic or Latino)' for i, r in enumerate(FORM)]
    frame = pl.DataFrame(dict(sex=['Male', 'FEMALE']*7, race=form*2, hired=[1, 0]*7))
    found = local_law_144(frame, **ASKED)
    assert [r.n for r in found.table('race/ethnicity')] == [2]*7
    strange = frame.with_columns(race=pl.Series([*form[:-1], 'Martian']*2))
    with pytest.raises(InputError, match=r'\[race\] of a mapping file \(\[mapping.race\]'):
        local_law_144(strange, **ASKED)


def test_a_report_shows_what_is_to_be_published():
    from dlcourse.audit.report import audit
    inputs = dict(sex='sex', race='race', statement=SAID, exclude_small=FEW)
    found = audit(hiring(), y_pred='hired', sensitive_features=['sex', 'race'], missing='unknown',
                  profile='nyc-ll144', inputs=inputs, positive='1')
    section = next(s for s in found.sections if s.name == 'nyc-ll144')
    said = dict(r for t in section.tables for r in t['rows'] if len(r) == 2)
    assert said['The tool may not be used on its strength after'] == '2027-11-22'
    assert said['Left out of the impact ratios, each under 2 % of everybody assessed'].startswith(
        f'{FEW}: Native Hawaiian or Pacific Islander (9 people, 77.8 %)')
    groups = audit(hiring(), y_pred='hired', sensitive_features='sex', missing='unknown',
                   profile='nyc-ll144', inputs=inputs | dict(groups='pile'), positive='1')
    section = next(s for s in groups.sections if s.name == 'nyc-ll144')
    assert len(section.tables) == 2*3 + 2 # What is published with them, and what is left open
