"An audit of a published table: what follows from the counts, what does not, and what cannot be"
import json
from fractions import Fraction

import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypo
from hypothesis import strategies as st

from dlcourse.core.errors import InputError
from dlcourse.evaluation.intervals import wilson
from dlcourse.fairness.printed import comparators, follows, possible_counts, rounding_interval
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
    assert 'rounded rates' in rounded.notes[0]
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
    assert empty.verdict == 'consistent' and empty.figures[0].value is None


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
    assert '20 in sex, 19 in race' in found.notes[0]
    assert found.verdict == 'consistent'
    assert set(found.comparators) == {'sex', 'race'}


def test_files_frames_and_floats(tmp_path):
    path = tmp_path/'table.csv'
    pl.DataFrame(EXAMPLE).write_csv(path)
    assert audit_published(path).findings == audit_published(EXAMPLE).findings
    assert audit_published(path).source == 'table.csv'
    floats = pd.DataFrame(dict(group=['a', 'b'], n=[200, 300], selected=[100, 144], rate=[.5, .48]))
    assert audit_published(floats).verdict == 'consistent'
    assert [f.printed for f in audit_published(floats).figures[:2]] == ['0.50', '0.48']
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
    with pytest.raises(InputError, match='no column says how many people'):
        audit_published(dict(group=['a'], size=[1], selected=[1]))
    with pytest.raises(InputError, match='neither a count nor a rate'):
        audit_published(dict(group=['a'], n=[1]))
    with pytest.raises(InputError, match='`n` could be `n` or `applicants`; say which'):
        audit_published(dict(group=['a'], n=[1], applicants=[1], selected=[1]))
    assert audit_published(dict(who=['a', 'b'], size=[2, 2], chosen=[1, 1]), group='who', n='size',
                           selected='chosen').verdict == 'consistent'
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
