"Every way in which a table in a file can be wrong, and any size of it"
import gzip
import re
import subprocess
import sys
import time

import duckdb
import pytest

from dlcourse.core.errors import InputError
from dlcourse.core.tables import open_table, reading


def table(tmp_path, text, name='t.csv', encoding='utf-8'):
    path = tmp_path/name
    path.write_bytes(text.encode(encoding))
    return path


def rows(path, columns=None, **more):
    with reading(path, more.get('encoding', 'utf-8')):
        return open_table(path, columns, **more).fetchall()


@pytest.mark.parametrize('text, name', [
    ('a,b\n1,x\n2,y\n', 't.csv'), ('a;b\n1;x\n2;y\n', 't.csv'),
    ('a\tb\n1\tx\n2\ty\n', 't.tsv'), ('a|b\n1|x\n2|y', 't.txt'),
    ('\ufeffa,b\r\n1,x\r\n2,y\r\n', 't.csv'), ('"a","b"\n"1","x"\n"2","y"\n', 'T.CSV')])
def test_dialects(tmp_path, text, name):
    assert sorted(rows(table(tmp_path, text, name), ['b', 'a'])) == [('x', '1'), ('y', '2')]


def test_cells_stay_what_they_are(tmp_path):
    path = table(tmp_path, 'id,v,q\n007,,"a ""b"", c"\n1e5, 2 ,"line\nbreak"\n')
    assert rows(path, ['id', 'v', 'q']) == [('007', None, 'a "b", c'),
                                            ('1e5', ' 2 ', 'line\nbreak')]
    assert rows(path, ['v'], numeric=('v',)) == [(None,), (2.,)]


def test_numbers_that_are_none_become_null(tmp_path):
    path = table(tmp_path, 's\n0.5\nn/a\n1e-3\n')
    assert rows(path, ['s'], numeric=('s',)) == [(.5,), (None,), (.001,)]


def test_gzip_and_parquet(tmp_path):
    (tmp_path/'t.csv.gz').write_bytes(gzip.compress(b'a,b\n1,2\n', mtime=0))
    assert rows(tmp_path/'t.csv.gz') == [('1', '2')]
    duckdb.sql("select 1 as a, 'x' as b").write_parquet(str(tmp_path/'t.parquet'))
    assert rows(tmp_path/'t.parquet', ['b', 'a']) == [('x', 1)]
    (tmp_path/'u.csv.gz').write_bytes(b'a,b\n1,2\n')
    with pytest.raises(InputError, match="ends in .gz but is not compressed"):
        open_table(tmp_path/'u.csv.gz')


def test_odd_names_of_files_and_columns(tmp_path):
    path = table(tmp_path, "a'b,\"c\"\"d\",<script>alert(1)</script>,Race\n1,2,3,4\n",
                 "it's [1] (2).csv")
    assert rows(path, ["a'b", 'c"d', '<script>alert(1)</script>', 'Race']) == [('1', '2', '3', '4')]
    with pytest.raises(InputError, match="did you mean `Race`"): open_table(path, ['race'])


@pytest.mark.parametrize('name', ['x[12]', 'x?', 'x*'])
def test_a_name_is_no_pattern(tmp_path, name):
    duckdb.sql("select 1 as a").write_parquet(str(tmp_path/'x1.parquet'))
    duckdb.sql("select 2 as a").write_parquet(str(tmp_path/f'{name}.parquet'.replace('*', '+')))
    (tmp_path/f'{name}.parquet'.replace('*', '+')).rename(tmp_path/f'{name}.parquet')
    table(tmp_path, 'a\n1\n', 'x1.csv')
    assert rows(table(tmp_path, 'a\n2\n', f'{name}.csv'), ['a']) == [('2',)]
    assert rows(tmp_path/f'{name}.parquet', ['a']) == [(2,)]


@pytest.mark.parametrize('text, says', [
    ('', "is empty: it needs a line of column names"), ('  \n\n', "is empty"),
    ('a,b\n1,2\n3,4,5\n',
     r"`t.csv`, line 3: expected Number of Columns: 2 Found: 3; mend that line"),
    ('a,b\n1\n', "line 2"), ('a,b\n"1,2\n', "unterminated quote")])
def test_broken_text(tmp_path, text, says):
    with pytest.raises(InputError, match=says): rows(table(tmp_path, text))


def test_wrong_files(tmp_path):
    with pytest.raises(InputError, match="`no.csv` does not exist in"):
        open_table(tmp_path/'no.csv')
    with pytest.raises(InputError, match="is not a file"): open_table(tmp_path)
    for name in ('t.xlsx', 't.pkl', 'noname'):
        with pytest.raises(InputError,
                           match="of no type that can be read here; it must end in .csv, .tsv"):
            open_table(table(tmp_path, 'x', name))
    with pytest.raises(InputError, match="cannot be read as .parquet"):
        open_table(table(tmp_path, 'not parquet', 't.parquet'))
    with pytest.raises(InputError,
                       match="`encoding` must be utf-8, latin-1 or utf-16, got 'ebcdic'"):
        open_table(table(tmp_path, 'a\n1'), encoding='ebcdic')


def test_columns_asked_for(tmp_path):
    path = table(tmp_path, 'id,age,score,age\n1,2,3,4\n')
    assert rows(path, ['id', 'score']) == [('1', '3')]
    with pytest.raises(InputError,
                       match=r"`age` is the name of 2 columns of t.csv \(number 2 and 4\); rename"):
        open_table(path, ['age'])
    with pytest.raises(InputError, match="`scores` is not a column of t.csv; did you mean `score`"):
        open_table(path, ['scores'])
    with pytest.raises(InputError, match="there are: id, age, score, age"):
        open_table(path, ['zzz'])


def test_encodings(tmp_path):
    path = table(tmp_path, 'name,x\nBokmål,1\n', encoding='latin-1')
    with pytest.raises(InputError, match="not encoded as utf-8; say which it is"): rows(path)
    assert rows(path, encoding='latin-1') == [('Bokmål', '1')]
    late = table(tmp_path, 'name,x\n' + 'a,1\n'*300_000 + 'å,1\n', 'late.csv', encoding='latin-1')
    with pytest.raises(InputError, match="not encoded as utf-8"): rows(late)
    assert rows(table(tmp_path, 'name,x\nå,1\n', 'u.csv', encoding='utf-16'),
                encoding='utf-16') == [('å', '1')]


def test_a_table_reads_nothing_else(tmp_path):
    other, path = table(tmp_path, 'secret\n1\n', 'other.csv'), table(tmp_path, 'a\n1\n')
    relation = open_table(path)
    with pytest.raises(duckdb.Error, match="disabled by configuration"):
        relation.query('t', f"from read_csv('{other}')").fetchall()


def test_a_file_larger_than_the_memory_it_takes(tmp_path):
    "Counting reads through a window: the whole process stays far below the file's size"
    path = tmp_path/'big.csv'
    line = 'g0,1,' + 'x'*900 + '\ng1,0,' + 'y'*900 + '\ng1,1,' + 'z'*900 + '\n'
    with open(path, 'w') as f:
        f.write('sex,p,padding\n')
        for _ in range(300): f.write(line*1000)
    code = """if True:
        import resource, sys
        from dlcourse.core.tables import open_table
        from dlcourse.fairness.counting import count_groups
        table = open_table(sys.argv[1], ['sex', 'p'])
        tally = count_groups(table, y_pred='p', sensitive_features=['sex'])
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if sys.platform == 'linux':
            status = dict(line.split(':', 1) for line in open('/proc/self/status'))
            peak = int(status['VmHWM'].split()[0])*1024
        print(tally.rows, peak)
    """ # VmHWM, because ru_maxrss of a child begins at its parent's size
    out = subprocess.check_output([sys.executable, '-c', code, path], text=True)
    count, peak = map(int, out.split())
    size = path.stat().st_size
    assert count == 900_000 and size > 8e8
    assert peak < size/2, f"took {peak/1e6:.0f} MB for a file of {size/1e6:.0f} MB"


def test_what_gzip_cannot_unpack_is_the_files_fault(tmp_path):
    whole = gzip.compress(b'p,s\n' + b'1,a\n0,b\n'*500_000, mtime=0)
    torn = whole[:200] + b'x'*40 + whole[240:]
    for cut in (whole[:-40], whole[:-4], whole[:len(whole)//2], torn):
        (tmp_path/'t.csv.gz').write_bytes(cut)
        with pytest.raises(InputError, match='`t.csv.gz` is damaged, or was cut short'):
            rows(tmp_path/'t.csv.gz')


@pytest.mark.parametrize('encoding, text, says', [
    ('cp1252', 'preis,x\n5 €,1\n', 'perhaps Windows-1252, in which byte 80 is €'),
    ('latin-1', 'stadt,x\nKöln,1\n', r'\(encoding latin-1\)'),
    ('utf-16', 'stadt,x\nKöln,1\n', r'\(encoding utf-16\)'),
    ('cp437', 'stadt,x\nKöln,1\n', 'or an old one of DOS or Mac')])
def test_which_encodings_may_be_meant(tmp_path, encoding, text, says):
    for name, packed in {'t.csv': bytes, 't.csv.gz': gzip.compress}.items():
        (tmp_path/name).write_bytes(packed(text.encode(encoding)))
        with pytest.raises(InputError, match=f'`{name}` is not encoded as utf-8; .*{says}'):
            rows(tmp_path/name)
    if encoding == 'cp1252': # Which latin-1 would read as a control character
        with pytest.raises(InputError, match='not encoded as latin-1.*iconv -f cp1252'):
            rows(tmp_path/'t.csv', encoding='latin-1')


def test_odd_headers(tmp_path):
    with pytest.raises(InputError, match='cannot be read as .csv'):
        rows(table(tmp_path, '"open,b\n1,2\n'))
    with pytest.raises(InputError, match='a line of more than a million characters'):
        rows(table(tmp_path, 'a,'*600_000))
    with pytest.raises(InputError, match='larger than field limit'):
        rows(table(tmp_path, 'a,' + 'b'*200_000 + '\n1,2\n'))
    assert rows(table(tmp_path, 'a\u2028\x85b,c\n1,2\n'), ['c']) == [('2',)]
    assert rows(table(tmp_path, '"a,x";"b"\n1;2\n'), ['a,x']) == [('1',)]
    for odd in ('a\0b.csv', 'x'*5000 + '.csv'):
        with pytest.raises(InputError, match='must be the path of a file'): open_table(odd)


def test_an_interrupted_query_says_so(tmp_path):
    with pytest.raises(KeyboardInterrupt, match='`t.csv` was not read to its end'):
        with reading(tmp_path/'t.csv'): raise duckdb.InterruptException('INTERRUPT Error')
    with pytest.raises(KeyboardInterrupt, match='`t.csv` was not read to its end'):
        with reading(tmp_path/'t.csv'): raise RuntimeError('Query interrupted')


def test_a_fault_of_ours_is_not_called_the_files(tmp_path):
    with pytest.raises(ZeroDivisionError), reading(tmp_path/'t.csv'): raise ZeroDivisionError


@pytest.mark.parametrize('start, says', [
    (gzip.compress(b'g,y\na,1\n', mtime=0), 'compressed with gzip; end its name in .csv.gz'),
    (b'PK\x03\x04\x14', 'workbook of Excel'), (b'PAR1\x15', 'end its name in .parquet'),
    (b'BZh91AY', 'unpack it'), (b'<!DOCTYPE html>', 'a web page'),
    ('g,y\na,1\n'.encode('utf-16-le'), 'encoding utf-16')])
def test_what_a_file_is_besides_its_name(tmp_path, start, says):
    (tmp_path/'t.csv').write_bytes(start)
    with pytest.raises(InputError, match=says): open_table(tmp_path/'t.csv', ['g'])


@pytest.mark.parametrize('text', [
    '\n\ng,y\na,1\n', '\r\n\r\ng,y\r\na,1\r\n', 'sep=;\ng;y\na;1\n',
    '\ufeffsep=|\r\ng|y\r\na|1\r\n', '"sep=;"\ng;y\na;1\n', '  \n\ng;y\na;1\n'])
def test_what_stands_above_the_names(tmp_path, text):
    (tmp_path/'t.csv').write_text(text, encoding='utf-8', newline='')
    assert open_table(tmp_path/'t.csv', ['g', 'y']).fetchall() == [('a', '1')]


@pytest.mark.parametrize('between', ':~^#')
def test_an_odd_delimiter_is_advised(tmp_path, between):
    (tmp_path/'t.csv').write_text(f'g{between}y\na{between}1\n')
    with pytest.raises(InputError, match='say so: `delimiter` ' + re.escape(between)):
        open_table(tmp_path/'t.csv', ['g'])
    assert open_table(tmp_path/'t.csv', ['g'], delimiter=between).fetchall() == [('a',)]


def test_ends_that_differ_above_the_names_lose_no_row(tmp_path):
    (tmp_path/'t.csv').write_bytes(b'\n\r\ng,y\na,1\n')
    with pytest.raises(InputError, match='ends differ'): open_table(tmp_path/'t.csv', ['g'])


@pytest.mark.parametrize('kind', ['Float32', 'Float64'])
@pytest.mark.parametrize('numeric', [(), ('s',)])
def test_what_is_no_number_in_parquet_is_found_whatever_its_statistics_say(kind, numeric, tmp_path):
    import polars as pl
    values = pl.Series([.5, float('nan'), None, .25], dtype=getattr(pl, kind))
    pl.DataFrame({'s': values}).write_parquet(tmp_path/'t.parquet')
    table = open_table(tmp_path/'t.parquet', numeric=numeric)
    assert table.aggregate('count(*) filter (isnan(s))').fetchall() == [(1,)]
    for chosen in ('isnan(s)', 's > 0.9'): # To DuckDB what is no number is above all
        (value,), = table.filter(chosen).fetchall()
        assert value != value


def test_a_long_line_of_marks_is_read_in_linear_time(tmp_path):
    (tmp_path/'t.csv').write_text('a.'*50_000 + 'a=1\n1\n')
    begun = time.process_time()
    with pytest.raises(InputError, match='`g` is not a column|has one column'):
        open_table(tmp_path/'t.csv', ['g'])
    assert time.process_time() - begun < 3


def test_a_link_to_itself_is_no_table(tmp_path):
    (tmp_path/'t.csv').symlink_to('t.csv')
    with pytest.raises(InputError, match='`t.csv` does not exist'): open_table(tmp_path/'t.csv')
