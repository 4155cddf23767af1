"Columns: a value for each row, none missing, of the same rows"
import numpy as np
import pandas as pd
import polars as pl
import pytest

from dlcourse.core.columns import (
    array_of,
    as_floats,
    columns_of,
    lacks_values,
    numbers_of,
    same_rows,
)
from dlcourse.core.errors import InputError

GAPS = {'NaN': [1, np.nan], 'None': ['a', None], 'NA': pd.Series([1, None], dtype='Int64'),
        'NaT': pd.to_datetime(['2020-01-01', None]), 'masked': np.ma.array([1, 2], mask=[0, 1]),
        'null': pl.Series([1, None]), 'blank': ['a', ' '], 'empty': np.array(['a', '']),
        'blank object': np.array(['a', '\t'], object), 'complex': [1, complex(np.nan)]}


@pytest.mark.parametrize('name', GAPS)
def test_every_kind_of_gap_is_one(name):
    assert lacks_values(GAPS[name])
    with pytest.raises(InputError, match='`y`'): columns_of(y=GAPS[name])


@pytest.mark.parametrize('v', [[1, 2], ['a', 'b'], [True, False], pd.Series(['a']), [1j], ['!']])
def test_what_is_there_is_no_gap(v):
    assert not lacks_values(v) and len(columns_of(y=v)) == 1


@pytest.mark.parametrize('v, says', [
    ([[1], [1, 2]], 'NumPy takes as an array'), ({1, 2}, 'in their order; got a set'),
    ({'a': 1}, 'got a dict'), (7, r'got shapes \(\)'), ([], r'got shapes \(0,\)'),
    ([[1, 2]], r'got shapes \(1, 2\)')])
def test_what_is_no_column_is_told(v, says):
    with pytest.raises(InputError, match=says): columns_of(y=v)


def test_a_tensor_that_has_a_graph_is_told():
    class Tensor:
        def __array__(self, *_, **__): raise RuntimeError('call detach() first')
    with pytest.raises(InputError, match=r'`y` .* call detach\(\) first'): array_of(Tensor(), 'y')


def test_other_row_labels_are_other_rows():
    y = pd.Series([0, 1, 1])
    same_rows(y=y, x=np.ones((3, 2)), groups=pd.Series(['a', 'b', 'a']), weight=None)
    for other in (y.iloc[::-1], y.rename({0: 7}), pd.DataFrame({'a': y}).iloc[[1, 0, 2]]):
        with pytest.raises(InputError, match='`groups` has other row labels than `y`'):
            same_rows(y=y, groups=other)
    with pytest.raises(InputError, match='got 3 in `y`, 2 in `x`'): same_rows(y=y, x=[1, 2])


def test_numbers_are_numbers():
    assert as_floats(np.uint8([3]), 'y').dtype == float
    for words in (['1', 'a'], ['1'], np.array(['2020'], 'M8[D]'), [1j], np.array(['a'], object)):
        with pytest.raises(InputError, match='`y` must hold numbers'):
            as_floats(np.asarray(words), 'y')
    assert as_floats(np.array([], object), 'y').shape == (0,) # As an empty column of pandas is
    with pytest.raises(InputError, match='`y` must hold numbers; got none'):
        as_floats(np.array([], str), 'y')
    for bad in ([], [[1.]], [np.nan], [1, np.inf]):
        with pytest.raises(InputError, match='`v` must be finite numbers'): numbers_of(bad, 'v')
