"""What a reading of the texts found wrong, fault by fault, and which tests hold each of them

1 a repealed article: test_profiles.test_the_ai_act_is_the_one_of_2026,
  test_profiles.test_no_law_cites_a_repealed_clause, test_the_effects_test_is_listed_and_not_counted
2 evidence that was not measured: test_profiles.test_evidence_in_part_and_nothing,
  test_profiles.test_without_a_label_no_clause_on_accuracy_is_evidenced,
  test_profiles.test_looked_for_and_none_found_is_evidence
3 fields that no report has: test_nothing_is_asked_for_that_no_report_has,
  test_profiles.test_everything_that_a_law_needs_is_in_a_real_report_or_planned
4 a page without justification and year: test_both_doors_publish_what_the_rule_wants,
  test_local_law.test_a_report_shows_what_is_to_be_published
5 tools that only score: test_both_doors_publish_what_the_rule_wants,
  test_local_law.test_scoring_rates_from_every_engine
6 one person: test_impact.test_one_person_as_question_21_asks_it,
  test_impact.test_one_person_is_what_moving_one_person_does
7 standard deviations of whom: test_a_large_group_hides_no_gap_of_two_others,
  test_impact.test_the_standard_deviations_of_two_groups_are_those_of_the_two
8 tables that were withheld: test_small_categories_are_shown_and_called_so,
  cli/test_audit.test_local_law_144_from_the_file_to_fill_in
9 a statement nobody would believe: test_local_law.test_a_statement_that_a_reader_will_ask_about,
  test_local_law.test_the_statement_is_required
10 readings in the JSON only: test_local_law.test_the_median_is_shown_read_both_ways,
  test_local_law.test_the_answers_to_the_three_bars_and_to_the_open_questions_are_published
11 names of the form: test_local_law.test_the_names_of_the_eeo_1_form_are_the_names_of_the_rule,
  test_local_law.test_unknown_categories_are_counted_without_being_asked_for
12 dead values, guessed sources, full stops: test_every_value_of_a_law_is_read,
  test_no_sentence_of_a_law_ends_twice
13 clauses that were missing: test_the_clauses_that_were_missing,
  test_profiles.test_clauses_are_the_official_list
14 the worked example: test_local_law.test_hiring_data_become_what_is_published,
  test_local_law.test_small_categories_both_readings
"""
import ast
import json
import re
from datetime import date
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from cli.runs import dlcourse

from dlcourse.audit.report import audit
from dlcourse.audit.sections import FIELD_WORDS
from dlcourse.fairness.counts import Counts
from dlcourse.fairness.four_fifths import four_fifths
from dlcourse.fairness.profiles import INPUTS, PROFILES, evidence, law_notes, profile

TESTS, DAY = Path(__file__).parent, date(2026, 11, 27)


def held():
    "Fault → (file, test)"
    for part in re.split(r'\n(?=\d+ )', __doc__)[1:]:
        number, _, said = part.partition(' ')
        yield int(number), re.findall(r'(?:([\w/]+)\.)?(test_\w+)(?=,|\n|$)', said)


def test_every_fault_is_held_by_a_test_and_a_sibling():
    faults = dict(held())
    assert list(faults) == list(range(1, 15))
    for fault, tests in faults.items():
        assert len(tests) >= 2, fault
        for file, name in tests:
            folder = TESTS.parent if '/' in file else TESTS
            source = (folder/f'{file or "test_law"}.py').read_text(encoding='utf-8')
            assert f'def {name}(' in source, (fault, name)


def test_the_effects_test_is_listed_and_not_counted():
    law = profile('ecoa-reg-b')
    [gone] = [c for c in law.clauses if c.repealed]
    assert gone.id == '1002.6(a), effects test' and gone.repealed == date(2026, 7, 21)
    assert any(gone.id in note for note in law_notes(law, DAY))
    rows = evidence(dict(rates=[], created='x', columns={}), 'ecoa-reg-b')
    assert gone.id not in [r.clause for r in rows]


@pytest.mark.parametrize('name', PROFILES)
def test_nothing_is_asked_for_that_no_report_has(name):
    "A section, an input and the first step of a path are among those that there are"
    from dlcourse.audit.making import SECTIONS
    known = {'source', 'created', 'population', 'withheld', 'missing', 'warnings', 'columns',
             'policy', 'disparities', 'rates', 'overall', 'favorable', 'sections', 'result',
             'not_measured', 'findings', 'verdict', 'metrics', 'classes', 'out_of_scope',
             'dlcourse', 'schema', 'level', 'min_count'}
    for c in profile(name).standing:
        for item in c.needs.sections:
            assert set(item.split('|')) <= set(SECTIONS), c.id
            assert item == 'nyc-ll144' or f'section {item}' in FIELD_WORDS, c.id
        assert set(c.needs.inputs) <= set(INPUTS), c.id
        assert {f.partition('.')[0] for f in c.needs.fields} <= known, c.id


def hired(n=1000):
    races = ['White']*(n - 12) + ['Black or African American']*12
    yes = [int(i % 3 > 0) for i in range(n)]
    return pl.DataFrame(dict(sex=['F', 'M']*(n//2), race=races, hired=yes, points=range(n)))


def test_both_doors_publish_what_the_rule_wants(tmp_path):
    "As a summary and in a report, of a tool that scores: justification, year, no threshold asked"
    hired().write_csv(tmp_path/'t.csv')
    filled = dlcourse('audit', 'inputs')[1].replace('# exclude_small = "..."',
                                                    'exclude_small = "under 2 %"')
    (tmp_path/'i.toml').write_text('score = "points"\n' + filled)
    doors = (['law', 't.csv', 'i.toml'],
             ['fairness', 't.csv', '--prediction', 'hired', '--sensitive', 'sex', '--profile',
              'nyc-ll144', '--inputs', 'i.toml'])
    for words in doors:
        code, out, err = dlcourse('audit', *words, '--html', '-', cwd=tmp_path)
        assert code == 0, err
        for said in ('under 2 %', '2027-01-31', 'coring rate'): assert said in out, words


@pytest.mark.parametrize('k, n', [((99, 87, 911), (100, 100, 2000)), ((49, 38, 460), (50, 50, 900)),
                                  ((1, 13, 1089), (100, 100, 2000))])
def test_a_large_group_hides_no_gap_of_two_others(k, n):
    "Two groups apart by themselves, and a third with the variance of everybody"
    cells = np.zeros((3, 3, 2), int)
    cells[:, 2, 1], cells[:, 2, 0] = k, np.array(n) - k
    counts = Counts(attributes=('g',), groups=(('a',), ('b',), ('c',)), n=cells, weight=cells*1.,
                    weight_sq=cells*1.)
    rows = {r.group: r for r in four_fifths(counts, favorable=1).rows}
    best = max(rows.values(), key=lambda r: r.rate)
    apart = [r for r in rows.values() if r.fisher is not None and 3*r.fisher <= .05]
    assert apart and best.reading == 'the best group'
    for r in apart: # By its own p, or in words that the two alone say otherwise
        assert r.p_value <= .05 or r.reading.endswith('the two alone say more than chance')


def test_small_categories_are_shown_and_called_so():
    "Twelve people: in the law's table, and not called withheld; with a policy judged nowhere"
    statement = dict(audit_date='2026-01-31', distribution_date='2025-06-01', data_source='x',
                     auditor='a', declaration='d', collected='self-reported')
    ask = dict(y_pred='hired', sensitive_features=['race'], profile='nyc-ll144', favorable=1,
               inputs=dict(sex='sex', race='race', statement=statement, mapping=dict(
                   sex=dict(F='Female', M='Male'))))
    bare, judged = audit(hired(), **ask), audit(hired(), policy=dict(
        difference=dict(selection_rate=.5)), **ask)
    for found in (bare, judged):
        by_race = found.section('nyc-ll144').tables[1]['rows']
        assert ['Black or African American', 12] in [row[:2] for row in by_race]
    assert bare.withheld == [] and 'are not shown' not in bare.to_html()
    assert [w['n'] for w in judged.withheld] == [12]
    assert 'that law wants every category published' in judged.to_html()


def test_what_is_held_is_said_in_words():
    "No place in a report and no metric is called as a program calls it"
    for name in PROFILES:
        for c in profile(name).standing: assert set(c.needs.fields) <= {
            *FIELD_WORDS, 'warnings', 'findings'}, (name, c.id)
    found = audit(hired(), y_pred='hired', sensitive_features=['race'], favorable=1,
                  profile=['illinois-hb3773', 'uk'])
    for name in ('illinois-hb3773', 'uk'):
        for row in found.section(name).tables[0]['rows']: assert not re.search(
            r'\w_\w|\*|\w\.\w', re.sub('document .*', '', f'{row[3]} {row[4]}')), row
    assert found.section('uk').tables[0]['rows'][-1][4] == 'nothing of it could be shown'


def test_every_value_of_a_law_is_read():
    sources = '\n'.join(p.read_text(encoding='utf-8') for p in TESTS.parents[1].glob(
        'dlcourse/**/*.py'))
    for name in PROFILES:
        for key in profile(name).values:
            assert f"values['{key}']" in sources or 'values[kind]' in sources and key in (
                'sex', 'race'), (name, key)


@pytest.mark.parametrize('name', PROFILES)
def test_no_sentence_of_a_law_ends_twice(name):
    law = profile(name)
    said = [*law_notes(law, DAY), *(c.asks for c in law.clauses), *(c.source for c in law.clauses)]
    for text in said:
        assert not re.search(r'\.\.(?!\.)|\. \.|;;|,,', text.replace('...', '')), text
        assert '5-300 inferred' not in text, text
    assert not any('is from memory and was not looked up' in text for text in said)


MISSING = {
    'four-fifths': ('Connecticut v. Teal', '1607.4 D significance', 'questions 16 to 18',
                    'question 20', 'question 21', 'questions 22, 24', '1607.15 A(2)'),
    'nyc-ll144': ('5-303 (c)', '5-304', '20-872'),
    'eu-ai-act': ('9(8)', '9(2)', '9(6)', '9(9)', '10(4)', '13(3)(b)(vi)', '13(3)(b)(vii)',
                  '14(4)(b)', '26(4)', '26(5)', '26(6)', '26(7)', '26(11)', '27', '72', '86', '99',
                  '11, Annex IV 4'),
    'nist-ai-rmf': ('GOVERN 1', 'MAP 1', 'MANAGE 1')}


@pytest.mark.parametrize('name', MISSING)
def test_the_clauses_that_were_missing(name):
    there = [c.id for c in profile(name).standing]
    assert set(MISSING[name]) <= set(there)
    if name == 'nyc-ll144': assert any('5-302' in i for i in there)
    if name == 'four-fifths': assert any('14281' in note for note in profile(name).notes)


def test_the_headline_says_what_is_lacking_of_what_is_there_in_part():
    found = audit(hired(), y_pred='hired', sensitive_features=['race'], favorable=1,
                  profile=['new-jersey', 'connecticut-pa26-15'])
    [said] = found.section('new-jersey').findings
    assert said.endswith('; 13:16-3.2(c), 2.4(e) (document vendor).')
    assert 'In part, and what is lacking: 13:16-2.2(a) (lower bounds of the gaps)' in said
    [said] = found.section('connecticut-pa26-15').findings
    assert 'sections 13, 14 (lower bounds of the gaps; document response)' in said
    assert 'Not verified' not in said
    bare = audit(hired(), y_pred='hired', sensitive_features=['race'], profile='colorado-sb26-189')
    assert 'what is lacking' not in bare.section('colorado-sb26-189').findings[0]


def test_what_a_reading_of_the_texts_found_wrong_stays_right():
    "New Jersey has the guidelines by reference, Connecticut weighs tests, Texas names a profile"
    by = {n: {c.id: c for c in profile(n).standing} for n in PROFILES}
    assert 'four-fifths' in by['new-jersey']['13:16-3.3'].needs.sections
    assert by['connecticut-pa26-15']['sections 13, 14'].in_force_from is None
    assert profile('connecticut-pa26-15').in_force_from == date(2026, 10, 1)
    assert by['connecticut-pa26-15']['section 10'].in_force_from == date(2027, 10, 1)
    assert 'Generative' in by['texas-traiga']['552.105(e)'].asks
    since = {i: c.in_force_from for i, c in by['eu-ai-act'].items()}
    assert (since['99'], since['86']) == (date(2025, 8, 2), date(2026, 8, 2))
    assert by['four-fifths']['Connecticut v. Teal'].status == 'read'
    assert '(22)' in by['four-fifths']['questions 22, 24'].asks
    assert by['four-fifths']['questions 22, 24'].status == 'recalled'


BY_HAND = { # Clauses with evidence, in part and with nothing, as the files say it for that table
    'ai-standards': (0, 0, 8), 'california': (0, 2, 5), 'colorado-sb26-189': (0, 0, 7),
    'connecticut-pa26-15': (0, 1, 4), 'ecoa-reg-b': (0, 1, 5), 'gdpr-credit': (0, 2, 4),
    'illinois-hb3773': (1, 1, 1), 'new-jersey': (1, 1, 3), 'texas-traiga': (0, 1, 2),
    'uk': (1, 0, 5), 'us-health': (0, 1, 2), 'us-insurance': (0, 4, 3)}


@cache
def employer():
    "The table of the lesson: 300 of 1,000 men and 200 of 800 women; eight of ten live by sex"
    sex = np.repeat(['Male', 'Female'], [1000, 800])
    yes = np.concatenate([np.arange(n) < k for n, k in ((1000, 300), (800, 200))]).astype(int)
    zips = np.concatenate([np.where(np.arange(n) % 10 < 8, *z) for n, z in (
        (1000, ('60602', '60601')), (800, ('60601', '60602')))])
    rng = np.random.default_rng(0)
    order = rng.permutation(1800)
    return pl.DataFrame(dict(sex=sex[order], yes=yes[order], zip=zips[order]))


@pytest.mark.parametrize('name', BY_HAND)
def test_one_employer_under_each_new_law_by_hand(name):
    "The numbers are those of the lesson, and the headline counts what is there"
    ask = dict(y_pred='yes', sensitive_features=['sex'], favorable=1, features=['zip'])
    found = audit(employer(), profile=[name, 'four-fifths'], **ask)
    gaps = {d.kind: d.value for d in found.disparities if d.metric == 'selection_rate'}
    assert gaps == pytest.approx(dict(difference=.05, ratio=.25/.3))
    [zips] = {f['auc'] for f in found.section('stand-ins').result['found']
              if f['column'] == 'zip' and f['group'] == 'Female'}
    assert zips == pytest.approx(.8, abs=.05)
    bare = audit(employer(), profile=name, **ask)
    [said] = bare.section(name).findings
    a, b, c = BY_HAND[name]
    assert f'evidence for {a} of {a + b + c} clauses, in part for {b}, nothing for {c}' in said


@pytest.mark.parametrize('name', BY_HAND)
def test_a_link_to_every_document_leaves_nothing_but_numbers_lacking(name):
    links = {name: {c.id: dict.fromkeys(c.needs.documents, 'there.pdf')
                    for c in profile(name).standing if c.needs.documents}}
    found = audit(employer(), y_pred='yes', sensitive_features=['sex'], favorable=1,
                  profile=name, links=links)
    for c, row in zip(profile(name).standing, found.section(name).result['clauses'], strict=True):
        assert not any(m.startswith('document') for m in row['missing']) or c.needs.inputs, c.id


@pytest.mark.parametrize('page', ['40_impact', '44_credit', '45_pay'])
def test_a_page_shows_the_laws_as_they_are(page):
    "What was printed of a file when the page was executed is what the file says today"
    book = json.loads((TESTS.parents[1]/f'nbs/16_fairness/{page}.ipynb').read_text('utf-8'))
    shown = 0
    for cell in book['cells']:
        source = ''.join(cell['source'])
        if 'c.asks' not in source and 'c.status' not in source: continue
        tree, names = ast.parse(source), dict(profile=profile, PROFILES=PROFILES)
        last = ast.Expression(tree.body.pop().value)
        exec(compile(tree, page, 'exec'), names)
        want = eval(compile(last, page, 'eval'), names)
        text = ''.join(cell['outputs'][0]['data']['text/plain'])
        shown += ast.literal_eval(text) == want
        assert ast.literal_eval(text) == want
    assert shown


def test_every_part_of_a_law_has_its_own_day():
    said = ' '.join(law_notes(profile('us-insurance'), DAY))
    assert 'In force since 2024-07-11: NY CL 7, proxy' in said
    assert 'In force since 2025-10-15: CO 10-1-1, governance' in said
    said = ' '.join(law_notes(profile('california'), DAY))
    assert 'Not in force before 2027-01-01: CPPA 7200; CPPA 7220; CPPA 7221, 7222.' in said
    assert 'In force since 1978-09-25.' in law_notes(profile('four-fifths'), DAY)


def test_a_group_under_two_per_cent_is_named():
    "988 and 12 of 1,000: the agencies' two per cent is of another whole"
    found = audit(hired(), y_pred='hired', sensitive_features=['race'], favorable=1,
                  profile='four-fifths', min_count=5).section('four-fifths').findings
    [said] = [text for text in found if 'Less than 2 %' in text]
    assert 'Black or African American 1.2 %. ' in said and 'labor force' in said


@pytest.mark.parametrize('days, says', [
    (('2027-06-01', '2027-06-02'), 'is dated 2027-06-01, today is'),
    (('2026-10-01', '2026-09-01'), 'before the audit of 2026-10-01; which earlier audit')])
def test_an_audit_of_tomorrow_or_after_the_first_use_is_asked_about(days, says):
    statement = dict(audit_date=days[0], distribution_date=days[1], data_source='x', auditor='a',
                     declaration='d', collected='self-reported')
    found = audit(hired(), y_pred='hired', sensitive_features=['race'], profile='nyc-ll144',
                  inputs=dict(sex='sex', race='race', statement=statement, mapping=dict(
                      sex=dict(F='Female', M='Male')))).section('nyc-ll144')
    assert any(says in text for text in found.findings)
