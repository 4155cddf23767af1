"Values that can be taken for others are told apart, or refused in one sentence"
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pytest

from dlcourse.audit.report import audit
from dlcourse.core.errors import InputError
from dlcourse.core.frames import as_number
from dlcourse.core.pages import escape
from dlcourse.core.tables import open_table
from dlcourse.evaluation.intervals import told
from dlcourse.fairness.counting import count_groups
from dlcourse.fairness.policy import Policy
from dlcourse.fairness.rows import Rows

Y, G = [1, 0]*30, ['a']*30 + ['b']*30
NAN = float('nan')

def found(groups, **how):
    return {r.group for r in audit(y_pred=Y, sensitive_features=groups, **how).rates}

@pytest.mark.parametrize('unit', ['ns', 'us', 's', 'D'])
def test_dates_and_durations_of_numpy_are_called_as_they_are(unit):
    days = np.sort(np.array(['2020-01-01', '2021-01-01']*30, f'datetime64[{unit}]'))
    assert {g[:10] for g in found(days)} == {'2020-01-01', '2021-01-01'}
    assert {g[:10] for g in found({'day': days})} == {'2020-01-01', '2021-01-01'}
    assert {g.split(',')[0] for g in found(days - days[0])} == {'0:00:00', '366 days'}

def test_what_numpy_knows_more_finely_than_python_stays_apart():
    fine = np.array([1, 2]*30, 'datetime64[ns]')
    assert {g[-1] for g in found(fine)} == {'1', '2'}

@pytest.mark.parametrize(('groups', 'came'), [
    (None, 'none'), ([], 'none'), ({'a', 'b'}, 'a set'), ((g for g in G), 'a generator')])
def test_no_column_of_groups_is_called_that(groups, came):
    with pytest.raises(InputError, match=f'in their order, such as lists or arrays; got {came}$'):
        found(groups)

def test_names_of_columns_may_be_numbers():
    assert found({1: G}) == found({('x', 'y'): G}) == {'a', 'b'}
    assert count_groups({1: Y, 2: G}, y_pred='1', sensitive_features=['2']).rows == 60

@pytest.mark.parametrize('word', ['１', '1_0', '٣', '1_000.5'])
def test_a_number_is_written_in_plain_digits(word, tmp_path):
    assert as_number(word) is None and as_number(' 1e3 ') == 1000
    with pytest.raises(InputError, match='`y` holds words'):
        audit(pl.DataFrame(dict(y=[word, '0']*30, g=G)), y_pred='y', sensitive_features='g')
    file = tmp_path/'t.csv'
    file.write_text('y,g,w\n' + ''.join(f'{y},{g},{word}\n' for y, g in zip(Y, G, strict=True)))
    with pytest.raises(InputError, match=f"text that is no number: '{word}'"):
        audit(file, y_pred='y', sensitive_features='g', sample_weight='w')
    assert open_table(file, ['w'], numeric=('w',)).limit(1).fetchall() == [(None,)]

@pytest.mark.parametrize('role', ['score', 'sample_weight'])
def test_boxed_numbers_of_pandas_are_numbers(role):
    for values in ([Decimal('.3'), Decimal('.7')], [1, .5]):
        d = pd.DataFrame(dict(y=Y, g=G, s=pd.Series(values*30, dtype=object)))
        assert audit(d, y_pred='y', sensitive_features='g', **{role: 's'}).verdict == 'not judged'
    d['s'] = [1, '2']*30
    with pytest.raises(InputError, match='`s` must hold numbers; it holds'):
        audit(d, y_pred='y', sensitive_features='g', **{role: 's'})

@pytest.mark.parametrize('values', [[NAN, .9], [NAN, None]])
def test_nan_in_a_parquet_file_is_missing_whatever_its_statistics_say(values, tmp_path):
    d = pl.DataFrame(dict(y=Y, g=G, s=[*values, *[.2]*58]))
    d.write_parquet(tmp_path/'t.parquet')
    for role in (dict(y_pred='s', threshold=.5), dict(y_pred='y', score='s'),
                 dict(y_pred='y', cluster='s')):
        said = []
        for table in (d, tmp_path/'t.parquet'):
            with pytest.raises(InputError, match='missing in') as e:
                count_groups(table, sensitive_features=['g'], **role)
            said.append(str(e.value))
        assert said[0] == said[1]

def test_a_positive_value_is_no_empty_text():
    for empty in ('', ' ', ['yes', '']):
        with pytest.raises(InputError, match='`positive` must name values such as yes'):
            audit(y_pred=Y, sensitive_features=G, positive=empty)

def test_a_cell_over_several_lines_is_said():
    groups = [*G[:-1], 'a\n0,b']
    said = audit(y_pred=Y, sensitive_features=groups, min_count=1).warnings
    assert any("line breaks in it: 'a 0,b' (1 row)" in text for text in said)

def test_joined_names_do_not_coincide():
    d = dict(y=Y, g=['a × b']*20 + ['a']*20 + ['c']*20, h=['c']*20 + ['b × c']*20 + ['d']*20)
    groups = {r.group for r in audit(d, y_pred='y', sensitive_features=['g', 'h'], min_count=1,
                                     depth=2).rates if r.attribute == 'g × h'}
    assert groups == {'"a × b" × c', 'a × "b × c"', 'c × d'}
    d['g'] = ['(missing)']*20 + [None]*20 + ['b']*20
    names = {r.group for r in audit(d, y_pred='y', sensitive_features='g', missing='unknown').rates}
    assert names == {'"(missing)"', '(missing)', 'b'}

@pytest.mark.parametrize('names', [('g', 'h', 'g × h'), ('a × b', 'c', 'a', 'b × c')])
def test_a_crossing_has_one_name(names):
    with pytest.raises(InputError, match='crossed with .*; rename a column'):
        count_groups({'y': Y} | dict.fromkeys(names, G), y_pred='y', sensitive_features=names)

@pytest.mark.parametrize('mark', ['\u202e', '\u2066', '\u200f', '\x1b', '\u200b'])
def test_a_page_shows_what_would_turn_its_text(mark):
    page = audit(y_pred=Y, sensitive_features=[f'{mark}a']*30 + ['b']*30).to_html()
    shown = f'{ord(mark):04x}a', '\N{REPLACEMENT CHARACTER}a'
    assert mark not in page and any(s in page for s in shown)
    assert escape('آ\u200cب 👩\u200d💻') == 'آ\u200cب 👩\u200d💻' # Joiners belong to words

@pytest.mark.parametrize(('field', 'value'), [
    *[('level', v) for v in (NAN, 2, 0, -1, 'x', True, 95, 1, .5)],
    *[('min_count', v) for v in (NAN, -1, 0, 2.5, '3', True, float('inf'))],
    *[('min_share', v) for v in (NAN, -1, 1, 'x', True)],
    ('difference', [1]), ('ratio', None), ('groups', 'g'),
    ('difference', {'mae': float('inf')}), ('difference', {'mae': NAN}),
    ('ratio', {'selection_rate': -1})])
def test_a_policy_refuses_what_is_no_such_number_and_names_the_field(field, value):
    name = next(iter(value)) if isinstance(value, dict) else field
    with pytest.raises(InputError, match=f'^`{name}`'): Policy(**{field: value})

@pytest.mark.parametrize('depth', [NAN, 0, 1.5, True, '2'])
def test_so_do_rows(depth):
    with pytest.raises(InputError, match='`depth` must be a whole number'): Rows(depth=depth)

def test_the_smallest_numbers_can_be_told():
    assert told([5e-324]) == '4.941e-324' and '× 1e-320' in told([1e-320, 2e-320, 4e-320])
    assert told([5e-324, 0]).endswith('× 1e-324')
