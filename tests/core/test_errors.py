"Errors a reader can mend"
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dlcourse.core.errors import (
    InputError,
    moment_of,
    must_be,
    need,
    number_of,
    path_of,
    positive_number,
    string_of,
)


def test_a_missing_library_says_what_to_install():
    with pytest.raises(InputError, match=r"pip install 'dlcourse\[graphs\]'"):
        need('no_such_module', 'graphs')


def test_a_library_that_is_there_is_handed_over():
    assert need('json', 'lab').__name__ == 'json'


def test_a_library_that_misses_another_one_is_no_fault_of_ours(tmp_path, monkeypatch):
    (tmp_path/'half_a_module.py').write_text('import something_it_needs')
    monkeypatch.setattr(sys, 'path', [str(tmp_path), *sys.path])
    with pytest.raises(ModuleNotFoundError, match='something_it_needs'):
        need('half_a_module', 'lab')


def test_what_is_of_another_kind_is_one_sentence():
    must_be(Mapping, first={}, second={1: 2})
    with pytest.raises(InputError) as e: must_be(Mapping, first={}, second=['x'*100])
    assert str(e.value).startswith("`second` must be a mapping, got ['xxx")
    assert len(str(e.value)) < 100


ODD = [None, b'x', [], {}, object(), 'a\0b', 'a'*5000, '\ud800']


@pytest.mark.parametrize('value', [*ODD, '', 0, True])
def test_what_is_no_path_is_one_sentence(value):
    with pytest.raises(InputError, match='`out` must be the path of a file or a folder, got '):
        path_of(value, 'out')


def test_a_path_need_not_be_there(tmp_path):
    assert path_of(tmp_path/'gone'/'deeper', 'out') == tmp_path/'gone'/'deeper'
    assert path_of('gone', 'out') == Path('gone')


@pytest.mark.parametrize('value', [*ODD, True, float('nan'), 1.5, -1, 10, '3'])
def test_what_is_no_whole_number_within_limits_is_one_sentence(value):
    with pytest.raises(InputError, match='`seed` must be a whole number from 0 to 9, got ') as e:
        number_of(value, 'seed', 0, 9)
    assert str(e.value).isprintable() and len(str(e.value)) < 200


def test_a_number_may_be_infinite_where_nothing_ends_it():
    assert number_of(float('inf'), 'budget', 0, whole=False) == float('inf')
    assert number_of(3, 'seed', 0, 9) == 3 and string_of('x', 'name') == 'x'


@pytest.mark.parametrize('value', [*ODD, datetime(2026, 1, 1), datetime.max.replace(tzinfo=UTC)])
def test_a_moment_has_a_zone(value):
    with pytest.raises(InputError, match='`now` must be a moment with its time zone'):
        moment_of(value, 'now')


@pytest.mark.parametrize('value', [0, -1, float('nan'), float('inf'), True, '1', None, 1j, 5.])
def test_a_number_above_0(value):
    assert positive_number(2, 'rate', end=5) == 2
    with pytest.raises(InputError, match='`rate` must be a number between 0 and 5'):
        positive_number(value, 'rate', end=5)
