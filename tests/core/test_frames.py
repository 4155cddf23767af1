"Tables: cells, columns and frames of every engine come out the same"
import subprocess
import sys
from collections import Counter
from uuid import UUID

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest
from engines import every_engine, everywhere, in_engine, in_files

from dlcourse.core.errors import InputError
from dlcourse.core.frames import (
    as_number,
    as_text,
    blank_as_null,
    check_weights,
    is_missing,
    numeric_column,
    opened_table,
    some,
    to_frame,
    to_lists,
    to_polars,
)

TABLE = dict(sex=['F ', 'M', None, '', 'M'], score=[.5, 1., 2., None, .25], n=[1, 2, 3, 4, 5])


def refused(f, *args, **more):
    with pytest.raises(InputError) as e: f(*args, **more)
    return str(e.value)


# Cells

@pytest.mark.parametrize('value', [None, np.nan, float('nan'), pd.NaT, pd.NA, '', '  ', ' n/a '],
                         ids=repr)
def test_empty_cells_are_missing(value): assert is_missing(value, null=['n/a'])

@pytest.mark.parametrize('value', [0, 0., False, 'nan', 'None', 'n/a', np.inf, ()], ids=repr)
def test_other_cells_are_not(value): assert not is_missing(value)

def test_numbers_of_cells():
    found = [as_number(v) for v in (True, False, 'true', ' False ', 1, '1', '0.5', ' 1e3 ',
                                    np.float32(.5), 'yes', None, '')]
    assert found == [1, 0, 1, 0, 1, 1, .5, 1000, .5, None, None, None]

def test_text_of_cells():
    assert [as_text(v) for v in (' a ', 1, 1.5, True)] == ['a', '1', '1.5', 'True']

def test_some_values_are_shown_with_their_rows():
    assert some(Counter(a=1200, b=3)) == "'a' (1,200 rows), 'b' (3 rows)"
    assert some(Counter('aabbc'), most=2) == "'a' (2 rows), 'b' (2 rows) and 1 more"


# Frames

@every_engine()
def test_every_engine_gives_the_same_columns(engine):
    frame = to_frame(in_engine(engine, TABLE), dict(label='n', weight='score'))
    n, score = to_lists(frame.select('n', 'score'))
    assert n == TABLE['n'] and [None if is_missing(v) else v for v in score] == TABLE['score']

@every_engine()
def test_every_engine_has_one_kind_of_missing(engine):
    frame = to_frame(in_engine(engine, TABLE))
    found = to_lists(frame.select(blank_as_null(frame, 'sex', null=['?']).alias('sex')))
    [sex] = [[None if is_missing(v) else v for v in column] for column in found]
    assert sex == ['F', 'M', None, None, 'M']

@every_engine()
def test_every_engine_checks_weights(engine):
    if engine == 'objects':
        pytest.skip("a column of Python objects holds no numbers as far as narwhals knows")
    frame = to_frame(in_engine(engine, dict(w=[1., 2., 0.], v=[1., -1., 2.])))
    check_weights(frame, 'w', numeric_column(frame, 'w'))
    says = "`v` must hold weights of 0 or more; 1 row is missing, negative"
    assert refused(check_weights, frame, 'v', numeric_column(frame, 'v')).startswith(says)

def test_columns_are_checked_in_every_engine():
    says = "`scores` is not a column of this table; did you mean `score`?"
    for frame in everywhere(TABLE).values():
        assert refused(to_frame, frame, ['sex', 'scores']) == says

def test_columns_of_one_name_are_refused_only_where_asked_for():
    frame = pd.DataFrame([[1, 2, 3]], columns=['a', 'b', 'a'])
    assert to_lists(to_frame(frame, ['b'])) == [[2]]
    assert refused(to_frame, frame, ['a']) == (
        "`a` is the name of 2 columns of this table (number 1 and 3); "
        "rename all but the one you mean, or take the second of them as `a (2)`")

def test_what_is_no_table_is_refused():
    kinds = "a table (pandas, polars, pyarrow, DuckDB, a dict of columns)"
    assert refused(to_frame, [1, 2]) == f"`frame` must be {kinds}; got list"
    assert refused(to_frame, 7, name='data') == f"`data` must be {kinds}; got int"
    says = "`frame` must hold columns of one length and one type each, such as text: "
    message = refused(to_frame, dict(a=[1, 2], b=[1]))
    assert message.startswith(says) and '\n' not in message
    assert refused(to_frame, dict(b=[1, 2], a=[1, 'x'])) == (
        "`a` holds values of different types; make the column one type, such as text")

def test_a_frame_of_ours_stays_itself():
    frame = to_frame(TABLE)
    assert to_frame(frame, ['n']) is frame

def test_frames_and_files_are_opened_alike(tmp_path):
    for data in (TABLE, *everywhere(TABLE).values(), *in_files(TABLE, tmp_path),
                 *map(str, in_files(TABLE, tmp_path))):
        with opened_table(data, ['n', 'score'], numeric=('n', 'score')) as frame:
            found = to_lists(frame.select('n', 'score'))
        present = [sorted(v for v in c if not is_missing(v)) for c in found]
        assert present == [[1, 2, 3, 4, 5], [.25, .5, 1, 2]]

def test_faults_of_a_file_show_in_the_block(tmp_path):
    path = tmp_path/'t.csv'
    path.write_text('a,b\n1,2\n3,4,5\n')
    def read():
        with opened_table(path, dict(label='a')) as frame: to_lists(frame)
    says = "`t.csv`, line 3: expected Number of Columns: 2 Found: 3; mend that line"
    assert refused(read).startswith(says)

def test_an_error_in_the_block_stays_itself(tmp_path):
    for data in (TABLE, in_files(TABLE, tmp_path)[0]):
        with pytest.raises(ZeroDivisionError), opened_table(data): raise ZeroDivisionError

def test_an_empty_answer_has_its_columns():
    for frame in everywhere(TABLE).values():
        frame = to_frame(frame, ['n', 'score']).select('n', 'score')
        assert to_lists(frame.head(0)) == [[], []]

def test_any_frame_becomes_polars():
    for name, frame in everywhere(TABLE).items():
        made = to_polars(to_frame(frame, ['n', 'score']).select('n', 'score'))
        assert isinstance(made, pl.DataFrame) and made['n'].to_list() == TABLE['n'], name
    mixed = to_frame(pd.DataFrame(dict(a=pd.Series([1, 'x'], dtype=object))))
    assert refused(to_polars, mixed) == ("a column of a holds values of different types; "
                                         "make each column one type, such as text")


# Columns

def test_words_are_no_numbers():
    frame = to_frame(pl.DataFrame(TABLE).with_columns(day=pl.date(2026, 1, 1)))
    assert refused(numeric_column, frame, 'sex') == (
        "`sex` must hold numbers; it holds string. "
        "Make them numbers first, such as `.astype(float)`")
    assert refused(numeric_column, frame, 'day') == (
        "`day` must hold numbers; it holds date. "
        "Give numbers")

@pytest.mark.parametrize('bad', [None, float('nan'), -1e-9, float('inf'), 1e160, 1e-200])
def test_weights_are_weights(bad):
    frame = to_frame(dict(w=[1., bad, bad]))
    assert refused(check_weights, frame, 'w', numeric_column(frame, 'w')) == (
        "`w` must hold weights of 0 or more; 2 rows are missing, negative, infinite, or farther "
        "from 1 than 1e+100 or its inverse. Mend or leave them out")


@pytest.mark.parametrize('first', [None, float('nan'), pd.NA, pd.NaT, ' '])
def test_bytes_after_a_first_gap_are_no_words(first):
    data = pd.DataFrame(dict(g=pd.Series([first, b'A', b'B'], dtype=object)))
    with pytest.raises(InputError, match='`g` holds lists, records or bytes'):
        to_frame(data, ['g'])


@pytest.mark.parametrize('made', [dict, pd.DataFrame, pl.DataFrame])
def test_identifiers_are_read_as_texts(made):
    ids = [UUID(int=i) for i in (1, 2)]
    columns = dict(u=[ids[0], None, ids[1]], g=[1, 'a', ids[0]], n=[1, 2, 3])
    if made is pl.DataFrame: columns |= {c: pl.Series(columns[c], dtype=pl.Object) for c in 'ug'}
    frame = to_frame(made(columns) if made is not dict else {k: columns[k] for k in 'un'}, ['u'])
    assert to_polars(frame.select('u'))['u'].to_list() == [str(ids[0]), None, str(ids[1])]
    if made is not dict: # Of several kinds stay as they are
        assert 'a' in to_lists(to_frame(made(columns), ['g']).select('g'))[0]


def test_identifiers_of_duckdb_are_read_as_texts(tmp_path):
    table = duckdb.sql(f"select '{UUID(int=1)}'::uuid as u, 1 as n")
    table.write_parquet(str(tmp_path/'ids.parquet'))
    assert to_lists(to_frame(table, ['u'])) == [[str(UUID(int=1))], [1]]
    with opened_table(tmp_path/'ids.parquet', ['u']) as frame:
        assert to_polars(frame)['u'].to_list() == [str(UUID(int=1))]


def test_a_frame_comes_to_memory_without_pyarrow():
    "The core and the lab have none: DuckDB and pandas hand over by lists then"
    code = '''import sys
from importlib.machinery import PathFinder
class Without(PathFinder):
    @classmethod
    def find_spec(cls, name, *rest):
        return None if name.partition('.')[0] == 'pyarrow' else PathFinder.find_spec(name, *rest)
sys.meta_path = [Without if f is PathFinder else f for f in sys.meta_path]
import duckdb, narwhals as nw, pandas as pd
from dlcourse.core.frames import to_frame, to_polars
columns = dict(n=[1, None, 3], x=[.5, None, 2.], g=['a', '', None])
table = duckdb.connect().sql("from (values (1, 0.5::double, 'a'), (null, null, ''), (3, 2, null)) "
                             "t(n, x, g)")
for made in (table, pd.DataFrame(columns), pd.DataFrame(columns).convert_dtypes()):
    print(to_polars(nw.from_native(made)).to_dict(as_series=False) == columns)
typed = duckdb.connect().sql("select 1::tinyint a, 1.5::float b, 1.25::decimal(9,2) c, "
                             "null::int d, null::varchar e, 'nan'::double f")
ids = duckdb.connect().sql("select '00000000-0000-0000-0000-000000000001'::uuid u")
print(to_polars(to_frame(ids))['u'].unique().dtype)
for made in (typed, typed.filter('a > 5')):
    print(*to_polars(nw.from_native(made)).dtypes, sep='|')
print(to_polars(nw.from_native(typed))['f'].to_list())
print('pyarrow' in sys.modules)'''
    types = 'Int8|Float32|Decimal(precision=9, scale=2)|Int32|String|Float64\n'
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (
        'True\n'*3 + 'String\n' + types*2 + '[nan]\nFalse\n', '')
