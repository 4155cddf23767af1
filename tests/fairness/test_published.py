"An audit of a published table: what follows from the counts, what does not, and what cannot be"
import json
import re
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypo
from hypothesis import strategies as st

from dlcourse.audit.writers import as_audit
from dlcourse.core.errors import InputError
from dlcourse.evaluation.intervals import wilson
from dlcourse.fairness.printed import (
    comparators,
    follows,
    possible_counts,
    rounding_interval,
    undusted,
)
from dlcourse.fairness.profiles import DISCLAIMER
from dlcourse.fairness.published import audit_published

EXAMPLE = dict(group=['Male', 'Female'], n=['1,390', '1,181'], selected=['667', '555'],
               rate=['48 %', '47 %'], ratio=['1.00', '.979'])


@given(st.integers(1, 5000), st.floats(0, 1), st.integers(0, 4), st.booleans())
@hypo(max_examples=150, deadline=None)
def test_what_was_rounded_follows(n, share, decimals, percent):
    k = round(share*n)
    printed = f'{100*k/n:.{decimals}f} %' if percent else f'{k/n:.{decimals}f}'
    low, high = rounding_interval(printed)
    assert low <= Fraction(k, n) <= high
    assert follows(Fraction(k, n), printed) == 'rounded'
    assert k in possible_counts(n, printed)


@given(st.integers(1, 300), st.floats(0, 1), st.integers(1, 3))
@hypo(max_examples=80, deadline=None)
def test_possible_counts_are_those_that_follow(n, share, decimals):
    printed = f'{share:.{decimals}f}'
    assert list(possible_counts(n, printed)) == [k for k in range(n + 1)
                                                 if follows(Fraction(k, n), printed) == 'rounded']


def test_cut_off_is_not_rounded():
    assert [follows(Fraction(18, 28), t)
            for t in ('64.3 %', '64.2 %', '64.4 %', '0.642',
                      '0.643')] == ['rounded', 'cut off', None, 'cut off', 'rounded']


def test_the_example_of_the_city_as_recalled():
    found = audit_published(EXAMPLE)
    assert found.verdict == 'consistent'
    assert found.comparators == {'the table': 'Male'}
    assert all(f.follows == 'rounded' for f in found.figures)
    men = found.figures[0]
    assert (men.count, men.n, men.low, men.high) == (667, 1390, *wilson(667, 1390))
    wrong = audit_published(EXAMPLE | dict(rate=['50 %', '47 %']))
    assert wrong.problems == ('Male, selection rate: 50 % does not follow from 667 of 1,390, which '
                              'is 0.4799.',)
    assert wrong.verdict == 'inconsistent'


def test_ratios_of_rounded_rates_are_accepted_and_said():
    n, k = [300, 300], [100, 91]
    rates = ['0.33', '0.30']
    assert follows(Fraction(91, 100), '.91') and follows(Fraction(30, 33), '.909')
    exact, rounded, neither = (audit_published(dict(group=['a', 'b'], n=n, selected=k, rate=rates,
                                                    ratio=['1.000', r]))
                               for r in ('0.910', '0.909', '0.905'))
    assert exact.figures[-1].follows == 'rounded'
    assert rounded.figures[-1].follows == 'from rounded rates'
    assert neither.figures[-1].follows == 'no'
    assert rounded.verdict == 'consistent'
    assert 'from the printed rates only' in rounded.notes[0]
    first = rounded.findings[0]
    assert first.endswith('follow from the counts, and 1 from the printed rates only.')
    assert neither.verdict == 'inconsistent'


def test_another_comparator_is_found_out():
    found = audit_published(dict(group=['a', 'b', 'c'], n=[100]*3, selected=[60, 50, 30],
                                 ratio=['1.20', '1.00', '0.60']))
    assert found.comparators == {'the table': 'b'}
    assert "divided by the rate of 'b', not by the highest, that of 'a'" in found.problems[0]
    assert len(found.problems) == 1
    assert [f.comparator for f in found.figures if f.metric == 'impact_ratio'] == ['b']*3
    one = audit_published(dict(group=['a', 'b', 'c'], n=[100]*3, selected=[60, 50, 30],
                               ratio=['1.00', '0.83', '0.55']))
    assert one.comparators == {'the table': None}
    assert [f.follows for f in one.figures[-3:]] == ['rounded', 'rounded', 'no']


def test_impossible_counts_and_totals():
    found = audit_published(dict(group=['a', 'b', 'Total'], n=[10, 20, 31], selected=[12, 5, 17]))
    assert 'a: 12 selected of 10 cannot be.' in found.problems
    sums = audit_published(dict(group=['a', 'b', 'Total'], n=[10, 20, 31], selected=[2, 5, 7]))
    assert sums.problems == ('the table, n: the groups add up to 30, the total says 31.',)
    assert {f.group for f in sums.figures if f.metric == 'impact_ratio'} == {'a', 'b'}
    empty = audit_published(dict(group=['a', 'b'], n=[0, 5], selected=[0, 0], ratio=['–', '–']))
    assert empty.verdict == 'not judged' and empty.figures[0].value is None


def test_confusion_tables():
    rows = dict(group=['a', 'b'], TP=[10, 20], FP=[5, 10], FN=[10, 5], TN=[75, 65],
                FPR=['6.25 %', '13.3 %'], FNR=['0.50', '.25'])
    found = audit_published(rows)
    value = {(f.group, f.metric): f.value for f in found.figures}
    assert value['a', 'true_positive_rate'] == .5
    assert value['b', 'false_negative_rate'] == .2
    assert value['a', 'accuracy_score'] == .85
    assert value['a', 'selection_rate'] == .15 and value['b', 'precision_score'] == 20/30
    assert found.problems == ('b, false negative rate: .25 does not follow from 5 of 25, which is '
                              '0.2000.',)
    sizes = audit_published(rows | dict(n=[100, 101], FNR=['0.5', '.2']))
    assert sizes.problems == ('b: the four cells add up to 100, the table says 101.',)


def test_counts_that_are_not_printed_are_recovered_or_impossible():
    found = audit_published(dict(Category=['H', 'W'],
                                 **{'# of applicants': [28, 40], 'Scoring Rate': ['64.2%', '37.5%'],
                                    'Impact Ratio': ['1.00', '0.58']}))
    said = 'no number of 28 people gives 64.2%; 18 would, with its digits cut off'
    assert said in found.problems[0]
    assert len(found.problems) == 1
    assert [(f.count, f.follows) for f in found.figures[:2]] == [(18, 'cut off'), (15, 'rounded')]
    assert audit_published(dict(group=['H', 'W'], n=[10, 40],
                                rate=['25 %', '50%'])).figures[0].follows == 'no'
    many = audit_published(dict(group=['H', 'W'], n=[5000, 4000], rate=['25 %', '50%'],
                                ratio=['0.50', '1.00']))
    assert many.figures[0].count is None
    assert many.verdict == 'consistent'
    assert many.figures[2].follows == 'rounded'


def test_tables_of_different_people_are_noted():
    found = audit_published(dict(table=['sex', 'sex', 'race', 'race'], group=['m', 'f', 'x', 'y'],
                                 n=[10, 10, 9, 10], selected=[5, 5, 5, 5]))
    assert '20 in sex, 19 in race' in found.notes[-1]
    assert found.verdict == 'not judged'
    assert set(found.comparators) == {'sex', 'race'}


def test_files_frames_and_floats(tmp_path):
    path = tmp_path/'table.csv'
    pl.DataFrame(EXAMPLE).write_csv(path)
    assert audit_published(path).findings == audit_published(EXAMPLE).findings
    assert audit_published(path).source == 'table.csv'
    floats = pd.DataFrame(dict(group=['a', 'b'], n=[200, 300], selected=[100, 144], rate=[.5, .48]))
    assert audit_published(floats).verdict == 'consistent'
    assert [f.printed for f in audit_published(floats).figures[:2]] == ['0.5', '0.48']
    floats['rate'] = floats['selected']/floats['n'] + [0, 1/300]
    assert [f.follows for f in audit_published(floats).figures[:2]] == ['rounded', 'no']
    unrounded = pd.DataFrame(dict(group=['a', 'b'], n=[1390, 1181], selected=[667, 555],
                                  rate=[667/1390, 555/1181]))
    assert audit_published(unrounded).verdict == 'consistent'
    assert audit_published(pl.DataFrame(EXAMPLE).lazy()).verdict == 'consistent'


@pytest.mark.parametrize('change, says', [
    (dict(n=['1,390', 'many']), '`many` is not a printed number'),
    (dict(n=['1,390', '11.5']), '`n` of Female must be a count of people'),
    (dict(n=['48%', '9']), "got '48%'"),
    (dict(group=['Male', 'Male']), "'Male' stands twice in the table"),
    (dict(group=['Male', '']), 'row 2 of the table has no group'),
    (dict(rate=['48 %', 'half']), '`half` is not a printed number')])
def test_faults_of_a_table(change, says):
    with pytest.raises(InputError, match=says): audit_published(EXAMPLE | change)


def test_faults_of_columns():
    with pytest.raises(InputError, match='no column says which group'):
        audit_published(dict(who=['a'], n=[1], selected=[1]))
    with pytest.raises(InputError, match='a table is checked by counts of people'):
        audit_published(dict(group=['a'], size=[1], selected=[1]))
    with pytest.raises(InputError, match='neither a count nor a rate'):
        audit_published(dict(group=['a'], n=[1]))
    with pytest.raises(InputError, match="`n` could be the column 'n' or 'applicants'"):
        audit_published(dict(group=['a'], n=[1], applicants=[1], selected=[1]))
    assert audit_published(dict(who=['a', 'b'], size=[2, 2], chosen=[1, 1]), group='who', n='size',
                           selected='chosen').verdict == 'not judged'
    with pytest.raises(InputError, match='tp, fp, fn and tn; tn is missing'):
        audit_published(dict(group=['a'], tp=[1], fp=[1], fn=[1]))
    with pytest.raises(InputError, match='is not a column of this table'):
        audit_published(EXAMPLE, n='people')
    with pytest.raises(InputError, match='`data` must be a table'): audit_published(7)
    with pytest.raises(InputError, match='has no rows'):
        audit_published(dict(group=[], n=[], selected=[]))
    with pytest.raises(InputError, match='Rows of people need another audit'):
        audit_published(dict(group=list(range(6000)), n=[1]*6000, selected=[1]*6000))


def test_results_are_plain_and_escaped():
    found = audit_published(EXAMPLE | dict(group=['<b>', 'Female'], rate=['50 %', '47 %']))
    assert '<b>:' not in found.to_html()
    assert '&lt;b&gt;' in found._repr_html_()
    assert DISCLAIMER in found.to_html()
    back = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert back['verdict'] == 'inconsistent'
    assert back['figures'][0]['follows'] == 'no'
    assert found.frame.height == 4


@given(st.lists(st.tuples(st.integers(20, 400), st.floats(.05, .95)), min_size=2, max_size=7),
       st.integers(0, 6))
@hypo(max_examples=60, deadline=None)
def test_an_honest_table_is_never_accused_and_its_comparator_is_found(groups, base):
    n, k = zip(*[(a, max(1, round(a*b))) for a, b in groups], strict=True)
    rates, base = [Fraction(a, b) for a, b in zip(k, n, strict=True)], base % len(groups)
    ratios = [f'{float(r/rates[base]):.3f}' for r in rates]
    assert base in comparators([(r, r) for r in rates], ratios)
    best = max(rates)
    honest = dict(group=[f'g{i}' for i in range(len(n))], n=list(n), selected=list(k),
                  rate=[f'{float(100*r):.1f}%' for r in rates],
                  ratio=[f'{float(r/best):.2f}' for r in rates])
    assert audit_published(honest).verdict == 'consistent'


@pytest.mark.parametrize('level', [float('nan'), 2, 0])
def test_a_level_that_means_nothing(level):
    table = dict(group=['A', 'B'], n=[20, 20], selected=[10, 8], rate=['50%', '40%'])
    with pytest.raises(InputError, match="`level` must be a number between 0.5 and 1"):
        audit_published(table, level=level)


# ---- Tables as they are published

def audited(rows, **more):
    "An audit of rows of group, n, rate, ratio"
    return audit_published(dict(zip(('group', 'n', 'rate', 'ratio'),
                                    map(list, zip(*rows, strict=True)), strict=True)), **more)


LAWFUL = [('White', '50000', '.47', '1'), ('Black', '45000', '.423', '.9'),
          ('Hawaiian', '100', '.52', 'NA')]

@pytest.mark.parametrize('rows, note', [
    (LAWFUL, 'under 2 % of the people, and left out of the ratios as the law allows: Hawaiian'),
    ([*LAWFUL[:2], ('Hawaiian', '100', '.52', '1.106')], "above 'White', by whose rate"),
    ([*LAWFUL[:2], ('Hawaiian', '9,000', '.40', 'n/a')], 'without a ratio, though not under 2 %')])
def test_a_lawful_exclusion_is_noted_and_no_fault(rows, note):
    found = audited(rows)
    assert (found.verdict, found.problems) == ('consistent', ())
    assert found.comparators == {'the table': 'White'}
    assert note in found.notes[0]


def test_an_exclusion_that_the_law_does_not_allow():
    found = audited([*LAWFUL[:2], ('Hawaiian', '9,000', '.52', 'NA')])
    assert found.problems == (
        "the table: the ratios are divided by the rate of 'White', not by the highest, that of "
        "'Hawaiian'; it has no ratio, and only under 2 % of the people may a group be left out: "
        "Hawaiian (9,000, 8.7 % of the people).",)
    at_two = [('a', 9_800, '.47', '1'), ('b', 200, '.52', 'NA')]
    assert audited(at_two).verdict == 'inconsistent', "2 % is not under 2 %"
    unknown = [*at_two, ('Unknown', 100, 'NA', 'NA')]
    assert audited(unknown).verdict == 'consistent', "and is, of everybody assessed"
    many = [*at_two[:1], ('b', 900, '.52', 'NA'), ('Unknown', 'NA', 'NA', 'NA')]
    assert audited(many).verdict == 'inconsistent', "also where their number is not printed"


def test_higher_is_higher_for_certain_or_by_its_own_ratio():
    even = audited([('Female', 50_000, '.74', '1'), ('Male', 45_000, '.737', '.996')])
    assert even.findings == ['2 of 2 printed figures follow from the printed rates.']
    assert even.comparators == {'the table': 'Female'}
    above = audited([('Hispanic', 82_000, '.7', '1.06'), ('White', 274_000, '.68', '1')])
    assert "by the rate of 'White', not by the highest, that of 'Hispanic'" in above.problems[0]
    itself = audited([('a', 100, '.50', '1.02'), ('b', 100, '.40', '.82')])
    assert itself.comparators == {'the table': None}, "whoever is divided by has the ratio 1"


@pytest.mark.parametrize('rate, ratio', [
    ('0.4920000000000001', '0.8740000000000001'), (.4920000000000001, .8740000000000001),
    ('49.20000000000001%', '87.4 %'), ('49.2', '87.4'), ('0.492*', '0.874†'),
    (0.492, '0.874'), ('.4920', '+0.874')])
def test_what_a_computer_or_a_footnote_adds_is_no_figure(rate, ratio):
    table = dict(group=['a', 'b', 'c'], n=['385,751', '1 000', "2'000"], rate=[rate]*2 + [None],
                 ratio=[ratio, 1, None])
    table['rate'][1] = '56.3' if str(rate) == '49.2' else '56.3 %' if '%' in str(rate) else '.563'
    if ratio in ('87.4', '87.4 %'): table['ratio'][1] = '100%' if '%' in ratio else '100.0'
    found = audit_published(table)
    assert (found.verdict, found.problems) == ('consistent', ())
    assert found.figures[0].n == 385_751 and found.comparators == {'the table': 'b'}


@pytest.mark.parametrize('nothing', ['NA', 'N/A', 'n/a', '-', '–', '—', '', 'nan', 'None', None,
                                     'Excluded', float('nan')])
def test_where_no_figure_is_printed(nothing):
    found = audited([('a', 100, '.50', '1.00'), ('b', 100, '.40', '.80'),
                     ('c', 0, nothing, nothing), ('d', 2, '1.00', nothing)])
    assert found.verdict == 'consistent' and len(found.notes) == 1
    assert [f.value for f in found.figures[:4]] == [.5, .4, None, 1]


COLLECTION = """audit_id,number_of_applications,n_selected_or_n_above_median,result,impact_ratio,\
protected_char_group,race_ethnicity,sex,result_calc
one,573856,271433.888,0.473,1,sex,Total,Female,0.473
one,478161,222823.026,0.466,0.986,sex,Total,Male,0.466
one,397979,NA,NA,NA,sex,Total,Missing/Unknown,NA
one,97576,45860.719999999994,0.47,0.956,race/ethnicity,Asian,Total,0.47
one,385751,189789.49200000003,0.4920000000000001,1,race/ethnicity,White,Total,0.492
one,4329,2108.223,0.5,NA,race/ethnicity,Native Hawaiian,Total,0.5
two,100,50,0.5,1,sex,Total,Female,0.5
two,100,45,0.45,0.8,sex,Total,Male,0.45
two,many,45,0.45,1,race/ethnicity,Asian,Total,0.45
two,90,45,0.5,0.9,race/ethnicity,White,Total,0.5
two,40,20,0.50,1,intersectional,Asian,Female,0.5
two,60,24,0.40,0.8,intersectional,Asian,Male,0.4
"""

def collection(tmp_path):
    (tmp_path/'all.csv').write_text(COLLECTION)
    return tmp_path/'all.csv'


@pytest.mark.parametrize('keys', [
    {}, dict(table=['audit_id', 'protected_char_group'], group=['race_ethnicity', 'sex']),
    dict(table=['audit_id', 'protected_char_group'], n='number_of_applications', rate='result')])
def test_a_collection_goes_in_as_it_is_published(tmp_path, keys):
    found = audit_published(collection(tmp_path), **keys)
    assert found.verdicts == {
        'one, sex': 'consistent', 'one, race/ethnicity': 'consistent', 'two, sex': 'inconsistent',
        'two, race/ethnicity': 'not judged', 'two, intersectional': 'consistent'}
    assert (found.verdict, found.exit_code) == ('inconsistent', 1)
    assert found.problems == ('two, sex: Male, impact ratio: 0.8 does not follow from the rates of '
                              'Male and Female, which give 0.9000.',) or keys
    assert found.findings[1] == ('Of 5 tables 3 consistent, 1 inconsistent, 1 not judged.')
    said = [n for n in found.notes if n.startswith('two, race/ethnicity was not judged: `many` is')]
    assert len(said) == 1 and 'it stands in `number_of_applications` of Asian' in said[0]
    assert found.comparators['one, race/ethnicity'] == 'White'
    assert [f.group for f in found.tables[4].figures[:2]] == ['Asian × Female', 'Asian × Male']


def test_tables_by_other_columns_are_other_tables(tmp_path):
    path = collection(tmp_path)
    frame = pl.read_csv(path, infer_schema=False).filter(pl.col('audit_id') == 'one')
    found = audit_published(frame.drop('audit_id', 'protected_char_group'))
    assert list(found.verdicts) == ['by sex', 'by race_ethnicity']
    assert found.verdict == 'consistent'


def test_a_bad_row_is_the_fault_of_its_own_table():
    columns = ('table', 'group', 'n', 'selected')
    good = [('good', 'a', '10', '5'), ('good', 'b', '10', '4')]
    def found(*rows):
        rows = [*good, ('bad', 'a', '10', '5'), *rows]
        return audit_published(dict(zip(columns, map(list, zip(*rows, strict=True)), strict=True)))
    for row, says in {
            ('bad', 'a', '9', '4'): "'a' stands twice in bad",
            ('bad', '', '9', '4'): 'has no group',
            ('bad', 'b', '-9', '4'): '`n` of b must be a count of people',
            ('bad', 'b', '9', '4.5'): '`selected` of b must be a count of people',
            ('bad', 'b', '9', '0,74'): 'a decimal comma has to become a point',
            ('bad', 'b', 'inf', '4'): '`inf` is not a printed number'}.items():
        audit = found(row)
        assert audit.verdicts == dict.fromkeys(('good', 'bad'), 'not judged')
        assert audit.exit_code == 3 and says in ' '.join(audit.notes)
    assert found(('bad', 'b', '9', '14')).problems == ('bad: b: 14 selected of 9 cannot be.',)


def test_doors_of_a_published_table():
    with pytest.raises(InputError, match="columns of one length"):
        audit_published(dict(group=['a', 'b'], n=[1], selected=[1, 1]))
    with pytest.raises(InputError, match="`n` is the name of 2 columns"):
        audit_published(pd.DataFrame([['a', 1, 2, 1]], columns=['group', 'n', 'n', 'selected']))
    with pytest.raises(InputError, match="`x` cannot be rate and ratio at once"):
        audit_published(dict(group=['a'], n=[1], x=[1]), rate='x', ratio='x')
    with pytest.raises(InputError, match="has no rows"):
        audit_published(dict(group=[None, ''], n=[None, 'NA'], selected=[None, None]))
    numbered = pd.DataFrame([['a', 10, 5], ['b', 10, 4]])
    assert audit_published(numbered, group='0', n='1', selected='2').verdict == 'not judged'
    small = pl.DataFrame(dict(group=['a', 'b'], n=[1000, 1000], rate=[.473, .466])).cast(
        {'rate': pl.Float32})
    assert [f.printed for f in audit_published(small).figures[:2]] == ['0.473', '0.466']
    missing = pd.DataFrame(dict(group=['a', 'b'], n=[10, float('nan')], selected=[5, 4.]))
    assert audit_published(missing).figures[1].value is None


ODD = ['1e400', '1e-9', '-0', '½', '٣', '%', '..', '1,2,3', '12,34', '9'*400, '0.' + '1'*99,
       'x'*999, '\x00', '\u202e5', '1_000', '0x10', '1/2', '<5', '--5', 'Infinity', True, b'5', [1],
       {'a': 1}, float('inf'), -1, 10**30, 1.5, None]

@pytest.mark.parametrize('column', ['group', 'n', 'selected', 'rate', 'ratio'])
def test_odd_cells_are_read_or_said_in_one_sentence(column):
    for odd in ODD:
        table = dict(group=['a', 'b', 'c'], n=[100, 200, 300], selected=[50, 60, 70],
                     rate=['.5', '.3', '.23'], ratio=['1', '.6', '.47'])
        table[column][1] = odd
        for data in (table, pd.DataFrame(table)):
            try: found = audit_published(data)
            except InputError as e: assert len(str(e)) < 300 and '\n' not in str(e)
            else: assert found.to_html() and json.dumps(found.to_dict())


def test_totals_may_count_people_of_unknown_category_or_not():
    def found(total):
        return audit_published(dict(group=['a', 'b', 'Unknown', 'Total'], n=[10, 20, 5, total],
                                    selected=[5, 5, 1, None]))
    assert [found(n).verdict for n in (30, 35, 34)] == ['consistent']*2 + ['inconsistent']
    assert {f.group for f in found(30).figures if f.metric == 'impact_ratio'} == {'a', 'b'}


def test_a_simulated_collection_is_judged_as_it_should():
    sys.path.insert(0, str(Path(__file__).parents[2]/'benchmarks'))
    from published_tables import compare
    score, differ = compare(90, seed=4)
    assert score['agree'] >= .98*90, differ
    assert score['accused, though honest'] == score['accused, though consistent'] == 0
    assert sum(v for k, v in score.items() if k.endswith('inconsistent')) > 10


@pytest.mark.parametrize('shown', [str, lambda v: repr(float(v)), lambda v: f'{v*np.float32(100)}%',
                                   float])
def test_the_dust_of_a_short_float_is_a_rounding_and_no_accusation(shown):
    rng = np.random.default_rng(0)
    for _ in range(20):
        n, k = rng.integers(2, 900, 6), rng.random(6)
        k = np.maximum((k*n).astype(int), 1)
        rates = (k/n).astype('float32')
        table = dict(group=[*'abcdef'], n=n.tolist(), selected=k.tolist(),
                     rate=[shown(r) for r in rates], ratio=[shown(r) for r in rates/rates.max()])
        assert audit_published(table).problems == ()
    wrong = audit_published(dict(group=['a', 'b'], n=[3, 7], selected=[1, 2],
                                 rate=['0.33333334', '0.2857243']))
    assert wrong.verdict == 'inconsistent'
    assert undusted('271433.8881234') == '271433.8881234' and undusted('0.1234567891') != '0.123457'


STACKED = [('Male', 100, '.40', '1.0'), ('Female', 100, '.36', '.9'), ('Black', 50, '.40', '.8'),
           ('White', 150, '.50', '1.0')]


def test_comparisons_below_each_other_are_not_judged_and_no_forger_hides_so():
    found = audited(STACKED)
    assert (found.verdict, found.exit_code, found.problems) == ('not judged', 3, ())
    assert 'the ratio is 1 of Male and White' in found.notes[0] and '--table' in found.notes[0]
    for i, wrong in ((1, '.7'), (0, '.95')): # Of no comparison, or with one ratio of 1
        changed = [(*row[:3], wrong) if i == j else row for j, row in enumerate(STACKED)]
        assert audited(changed).exit_code == 1
    assert audited([('a', 100, '.50', '1.00'), ('b', 100, '.40', '1.00')]).exit_code == 1
    assert audited([('a', 20, '.75', '1.00'), ('b', 67, '.746', '1.00'),
                    ('c', 20, '.5', '.67')]).verdict == 'consistent'


def test_what_nobody_printed_is_no_pass():
    found = audit_published(dict(group=['a', 'b'], n=[10, 20], selected=[5, 5]))
    assert (found.verdict, found.exit_code) == ('not judged', 3)
    nobody = audit_published(dict(group=['a', 'b', 'c'], n=[10, 20, 0], selected=[5, 5, 0],
                                  rate=['.5', '.25', '0'], ratio=['1', '.5', '0']))
    assert nobody.findings[0] == '4 of 4 printed figures follow from the counts.'
    rated = audit_published(dict(group=['a', 'b'], n=[10, 0], rate=['.5', '0']))
    assert [f.follows for f in rated.figures if f.metric == 'selection_rate'] == ['rounded', None]


@pytest.mark.parametrize('name', ['Sex/Race', 'Race and sex', 'Gender × ethnicity'])
def test_groups_of_several_attributes_in_one_column(name):
    table = {name: ['a', 'b'], 'n': [10, 20], 'rate': ['.5', '.25']}
    assert audit_published(table).verdict == 'consistent'
    with pytest.raises(InputError, match='no column says which group'):
        audit_published(dict(Essex=['a', 'b'], n=[1, 2], rate=[1, 1]))


def test_a_ratio_of_ones_own_rate_is_one():
    said = ' '.join(audited([('a', 100, '.50', '1.02'), ('b', 100, '.40', '.82')]).problems)
    assert 'rates of a and a' not in said and 'rates of b and b' not in said


def test_a_limit_of_a_ratio_past_one_stays_in_the_chart(tmp_path):
    table = dict(group=['A', 'B', 'C'], n=[400, 300, 9], selected=[200, 60, 4],
                 rate=['0.50', '0.20', '0.44'])
    found = as_audit(audit_published(table | dict(ratio=['1.00', '0.40', '0.89'])))
    page = found.save(html=tmp_path/'r.html')[0].read_text()
    ends = [float(x) for x in re.findall(r'x2="([\d.]+)%" y1="[\d.]+" y2="[\d.]+"/>', page)]
    assert ends and max(ends) <= 100 and max(r.high or 0 for r in found.rates) > 1


def test_an_empty_column_does_not_ask_which_one_is_meant():
    table = dict(group=[None]*2, category=['A', 'B'], n=[400, 300], selected=[200, 60],
                 rate=['0.50', '0.20'], **{'impact ratio': ['1.00', '0.40']})
    assert audit_published(table).verdict == 'consistent'
    with pytest.raises(InputError, match="`group` could be the column 'group' or 'category'"):
        audit_published(table | dict(group=['x', 'y']))


def test_floats_with_an_exponent_are_no_more_exact_than_others():
    table = dict(group=['A', 'B'], n=[2768, 21126], selected=[1751, 2646],
                 rate=['6.325867052023122e-1', '1.2524850894632206E-01'])
    assert audit_published(table).verdict == 'consistent'
    wrong = table | dict(rate=['6.425867052023122e-1', '1.2524850894632206E-01'])
    assert audit_published(wrong).verdict == 'inconsistent'


def test_a_footnote_is_no_group():
    table = dict(group=['A', 'B', 'Total', '* under 2 %'], n=['400', '300', '720', ''],
                 selected=['200', '60', '260', ''], rate=['0.50', '0.20', '', ''])
    found = audit_published(table)
    assert found.verdict == 'inconsistent' and 'the total says 720' in found.problems[0]
    assert audit_published(table | dict(n=['400', '300', '700', ''])).verdict == 'consistent'
