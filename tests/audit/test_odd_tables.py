"Tables as they come: each is taken for what it is, or refused in one sentence"
import datetime as dt

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dlcourse.audit.given import one_table
from dlcourse.audit.report import audit
from dlcourse.core.errors import InputError
from dlcourse.fairness.classes import audit_classes
from dlcourse.fairness.counting import count_groups
from dlcourse.fairness.discovery import discover
from dlcourse.fairness.rows import Rows, opened
from dlcourse.fairness.tally import look_alikes

Y, G = [1, 0]*100, ['f', 'm', 'm', 'f']*50


def count(data, **how):
    "Group → people, of a table of `y` and `g`"
    asked = dict(y_pred='y', sensitive_features=['g']) | how
    counts = count_groups(data, **asked).counts
    return dict(zip(counts.groups, counts.n.sum((1, 2)).tolist(), strict=True))


def refused(data, **how):
    with pytest.raises(InputError) as e: count(data, **how)
    assert '\n' not in str(e.value)
    return str(e.value)


def given(data=None, sensitive=None, **roles):
    "Groups of each column that was given as arrays"
    table, roles, names = one_table(data, dict(y_pred=None, y_true=None) | roles, sensitive)
    return count(table, y_pred=roles['y_pred'], sensitive_features=list(names))


@pytest.mark.parametrize('values', [
    [[1], [2]], [{'a': 1}, {'a': 2}], [b'a', b'\xff']], ids=['lists', 'records', 'bytes'])
def test_what_is_no_value(tmp_path, values):
    says = "holds lists, records or bytes, and each cell must be one value"
    table = pl.DataFrame(dict(y=Y, g=[values[i % 2] for i in range(200)]))
    table.write_parquet(tmp_path/'t.parquet')
    assert f'`g` {says}' in refused(table)
    assert f'`g` {says}' in refused(tmp_path/'t.parquet')
    assert f'`y` {says}' in refused(table.rename({'g': 'y', 'y': 'g'}))


def test_maps_and_lists_in_objects(tmp_path):
    maps = pa.array([[('a', 1)], [('b', 2)]]*100, type=pa.map_(pa.string(), pa.int64()))
    table = pa.table(dict(y=Y, g=maps))
    pq.write_table(table, tmp_path/'t.parquet')
    assert '`g` holds lists' in refused(table)
    assert '`g` holds lists' in refused(tmp_path/'t.parquet')
    assert '`g` holds lists' in refused(pd.DataFrame(dict(y=Y, g=[[1], [2]]*100)))


def test_words_among_numbers():
    assert refused(dict(y=Y, g=['a', 1]*100)).startswith("`g` holds values of different types")


@pytest.mark.parametrize('values', [
    pd.date_range('2020', periods=2, tz='Europe/Berlin'), pd.to_timedelta([1, 2], 'D'),
    [dt.date(2020, 1, 1), dt.date(2021, 1, 1)]], ids=['zoned', 'durations', 'dates'])
def test_times_are_groups(tmp_path, values):
    table = pd.DataFrame(dict(y=Y, g=[values[i % 2] for i in range(200)]))
    table.to_parquet(tmp_path/'t.parquet')
    assert list(count(table).values()) == list(count(tmp_path/'t.parquet').values()) == [100, 100]


def test_columns_that_share_a_name(tmp_path):
    twice = pa.table([pa.array(Y), pa.array(G), pa.array(G[1:] + ['m'])], names=['y', 'g', 'g'])
    pq.write_table(twice, tmp_path/'t.parquet')
    (tmp_path/'t.csv').write_text('y,g,g\n' + ''.join(
        f'{a},{b},{c}\n' for a, b, c in zip(Y, G, G[1:] + ['m'], strict=True)))
    tables = [twice, tmp_path/'t.parquet', tmp_path/'t.csv', pd.DataFrame(
        np.array([np.array(Y, object), G, G[1:] + ['m']], object).T, columns=['y', 'g', 'g'])]
    for table in tables:
        assert "`g` is the name of 2 columns" in refused(table)
        assert count(table, sensitive_features=['g (1)']) == {('f',): 100, ('m',): 100}
        assert count(table, sensitive_features=['g (2)']) == {('f',): 99, ('m',): 101}


def test_names_that_differ_in_case(tmp_path):
    table = pl.DataFrame(dict(y=Y, s=G, S=['z', 'w']*100))
    table.write_csv(tmp_path/'t.csv')
    table.write_parquet(tmp_path/'t.parquet')
    for path in (tmp_path/'t.csv', tmp_path/'t.parquet'):
        assert set(count(path, sensitive_features=['S'])) == {('z',), ('w',)}
        assert "differ in case only" in refused(path, sensitive_features=['s', 'S'])
    assert len(count(table, sensitive_features=['s', 'S'])) == 4


def test_arrays_of_every_shape():
    y, g = np.array(Y), np.array(G)
    for one in (y[:, None], pd.DataFrame({'p': y}), pl.DataFrame({'p': y})):
        assert given(sensitive=g, y_pred=one) == {('f',): 100, ('m',): 100}
    other = np.array(['a', 'b'])[np.arange(200) % 2]
    pair = pd.DataFrame(np.c_[g, other], columns=['a', 'a'])
    series = [pd.Series(g, name='a'), pd.Series(other, name='b')]
    for two in (np.c_[g, other], pair, series, [g, other]):
        assert len(given(sensitive=two, y_pred=y)) == 4
    for wrong in (np.c_[y, y], pd.DataFrame(np.c_[y, y]), 3, y[:, None, None]):
        with pytest.raises(InputError, match='`y_pred` must be'): given(sensitive=g, y_pred=wrong)


def test_columns_called_by_numbers():
    table = pd.DataFrame({0: Y, 1: G})
    assert given(table, [1], y_pred=0) == given(table, ['1'], y_pred='0') == {
        ('f',): 100, ('m',): 100}


def test_missing_in_columns_of_pandas():
    y = pd.Series(pd.array([1, None]*100, dtype='Int64'), name='y')
    table, roles, names = one_table(None, dict(y_pred=y), pd.Series(G, name='g'))
    assert "`y` is missing in 100 of 200 rows" in refused(table)
    assert sum(count(table, missing='drop').values()) == 100


@pytest.mark.parametrize('how', ['unknown', 'drop'])
def test_an_empty_group_is_no_group_called_none(how):
    table = dict(y=Y, g=['' if i % 9 == 0 else v for i, v in enumerate(G)])
    found = count_groups(table, y_pred='y', sensitive_features=['g'], missing=how)
    assert not any('None' in text for text in found.warnings)


def test_texts_that_look_alike():
    assert look_alikes(['No', 'Yes', 'yes', 'é', 'e\u0301', 'a', 'a\u200b', 'b  c', 'b c']) == [
        ('Yes', 'yes'), ('e\u0301', 'é'), ('a', 'a\u200b'), ('b  c', 'b c')]
    words = ['Yes', 'No', 'yes', 'No']*50
    found = count_groups(dict(y=words, g=G), y_pred='y', sensitive_features=['g'], positive=['Yes'])
    assert found.warnings == (
        "`y` holds 'Yes' (50 rows) and 'yes' (50 rows), which differ in case only; they are taken "
        "as they stand.",)


def test_text_that_is_no_number(tmp_path):
    pl.DataFrame(dict(s=['0,74', '0,31']*100, g=G, y=Y)).write_csv(tmp_path/'t.csv')
    for how in (dict(y_pred='s', threshold=.5), dict(sample_weight='s'),
                dict(score='s', missing='drop')):
        said = refused(tmp_path/'t.csv', **how)
        assert said.startswith("`s` holds text that is no number: '0,74' (100 rows)")
        assert 'missing in' not in said


def test_numbers_of_single_precision(tmp_path):
    single = pl.DataFrame(dict(s=np.float32([.7, .3]*100), g=G))
    single.write_parquet(tmp_path/'t.parquet')
    single.with_columns(pl.col('s').round(1)).write_csv(tmp_path/'t.csv')
    for table in (single, single.to_pandas(), tmp_path/'t.parquet', tmp_path/'t.csv'):
        counts = count_groups(table, y_pred='s', sensitive_features=['g'], threshold=.7).counts
        assert counts.n[:, 2].sum(0).tolist() == [100, 100]


def test_what_means_missing_is_said_once(tmp_path):
    pl.DataFrame(dict(y=['?', *map(str, Y[1:])], g=[' ', 'n/a', *G[2:]], z=['?']*200)).write_csv(
        tmp_path/'t.csv')
    asked = Rows(data=tmp_path/'t.csv', y_pred='y', sensitive_features='g', null=['?', 'n/a'],
                 missing='unknown', subgroups='z')
    for keep in (False, True):
        with opened(asked, keep=keep) as rows:
            assert count(rows) == {('f',): 99, ('m',): 99, (None,): 1}
            assert len(rows.kept().to_native() if keep else rows.kept().collect()) == 199


def test_a_positive_value_occurs_in_each_column_it_is_meant_for():
    table = dict(y=Y, label=[v + 1 for v in Y], g=G, word=['good', 'bad']*100)
    assert refused(table, y_true='label', positive=['2']).startswith("`y` never is '2'")
    assert refused(table | dict(y=[1]*200), positive=['0']).startswith("`y` never is '0'")
    assert len(count(table, y_true='word', positive=['good'])) == 2


def test_files_without_names_or_commas(tmp_path):
    rows = [*zip(Y, G, strict=True)]
    (tmp_path/'b.txt').write_text('y g\n' + ''.join(f'{a} {b}\n' for a, b in rows))
    assert "if blanks separate its cells" in refused(tmp_path/'b.txt')
    assert len(count(Rows(data=tmp_path/'b.txt', delimiter='blank'))) == 2
    (tmp_path/'h.csv').write_text(''.join(f'{a},{b}\n' for a, b in rows))
    assert "has no line of names" in refused(tmp_path/'h.csv')
    assert "`delimiter` must be one character" in refused(Rows(data=tmp_path/'h.csv',
                                                               delimiter=';;'))


@pytest.mark.parametrize('how', [dict(sample_weight='w'), dict(y_pred='w', threshold=2.),
                                 dict(score='w')])
def test_a_duration_is_no_number_whatever_holds_it(tmp_path, how):
    "Parquet's reader hands a duration over as a whole number of microseconds"
    table = pl.DataFrame(dict(y=Y, g=G, w=[dt.timedelta(days=i + 1) for i in range(200)]))
    table.write_parquet(tmp_path/'t.parquet')
    for data in (tmp_path/'t.parquet', table):
        assert refused(data, **how).startswith("`w` must hold numbers; it holds duration")


def test_a_positive_value_for_everything_that_there_is():
    assert refused(dict(y=Y, g=G), positive=['1', '0']).startswith("`positive` names every value")
    words = dict(y=Y, label=['yes', 'no']*100, g=G)
    assert '`label`' in refused(words, y_true='label', positive=['1', 'yes', 'no'])
    assert len(count(dict(y=['yes']*200, g=G), positive=['yes', 'ja'])) == 2


@pytest.mark.parametrize('audit_of, more', [(count_groups, dict(y_pred='y')), (audit_classes,
                                             dict(y_pred='y'))])
def test_cells_that_were_merged_in_a_spreadsheet(audit_of, more):
    table = dict(y=Y, g=[v if i % 4 == 0 else '' for i, v in enumerate(G)])
    with pytest.raises(InputError, match='Where cells were merged in a spreadsheet'):
        audit_of(table, sensitive_features=['g'], **more)
    one = dict(y=Y, g=['', *G[1:]])
    with pytest.raises(InputError) as said: audit_of(one, sensitive_features=['g'], **more)
    assert 'merged' not in str(said.value)


def test_strata_are_refused_by_a_search_for_subgroups():
    rows = Rows(data=dict(y=Y, g=G, h=G), y_pred='y', subgroups='g', strata='h')
    with pytest.raises(InputError, match='a search for subgroups cannot honour `strata`'):
        discover(rows)


def test_half_precision_is_counted_and_a_column_has_a_name():
    t = pd.DataFrame(dict(g=G, y=Y))
    for role in ({}, dict(y_pred=None, score='y', threshold=.5), dict(sample_weight='w')):
        half = t.assign(y=t.y.astype('float16'), w=np.float16(2))
        assert count(half, **role) == count(t.assign(w=2), **role)
    for wrong in (dict(sensitive_features=['']), dict(cluster=''), dict(y_pred='')):
        with pytest.raises(InputError, match="'' names no column"):
            count(t.set_axis(['', 'y'], axis=1), **wrong)
    with pytest.raises(InputError, match='`g` holds lists, records or bytes'):
        count(t.assign(g=[b'f', b'm']*100))


def test_texts_that_are_one_number_get_a_note():
    assert look_alikes(['1', '1.0', '01', '2', '2.50', '02.5', '1e0', '1.', 'nan', '10']) == [
        ('01', '1', '1.', '1.0'), ('02.5', '2.50')]
    long = ['1234567890123456789012345678901', '1234567890123456789012345678902']
    assert look_alikes(long) == []
    rows = dict(d=[0, 1, 1]*20, g=['1', '01', '2']*20)
    said = audit(rows, y_pred='d', sensitive_features=['g']).warnings
    assert any("'01' (20 rows) and '1' (20 rows), which differ in how a number is written" in w
               for w in said)
