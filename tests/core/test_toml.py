"TOML: a sentence for each way in which a file can be wrong, and dataclasses checked whole"
import sys
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pytest

from dlcourse.core.errors import InputError
from dlcourse.core.toml import build, fits, read_toml, type_name


def written(folder, data):
    path = folder/'x.toml'
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


def refused(path, what='file'):
    with pytest.raises(InputError) as e: read_toml(path, what)
    assert '\n' not in str(e.value)
    return str(e.value)


def test_a_file_is_a_dict(tmp_path):
    path = written(tmp_path, 'a = 1\n[b]\nc = ["x"]\nday = 2026-01-02')
    assert read_toml(path) == dict(a=1, b=dict(c=['x'], day=date(2026, 1, 2)))


def test_line_ends_and_byte_order_mark_of_windows_are_read(tmp_path):
    path = written(tmp_path, b'\xef\xbb\xbfa = 1\r\nb = """x\r\ny"""\r\n')
    assert read_toml(path) == dict(a=1, b='x\ny')


def test_a_missing_file_says_what_to_give(tmp_path):
    gone = tmp_path/'gone.toml'
    says = f"`{gone}` cannot be read: there is no such file; give the path of a policy file"
    assert refused(gone, 'policy file') == says


def test_an_unreadable_file_says_why(tmp_path):
    says = f"`{tmp_path}` cannot be read: Is a directory; give the path of a profile"
    assert refused(tmp_path, 'profile') == says


def test_another_encoding_says_so(tmp_path):
    path = written(tmp_path, 'name = "Bokmål"'.encode('latin-1'))
    assert refused(path) == f"`{path}` is not encoded as UTF-8, as TOML must be; save it as UTF-8"


def test_a_number_that_begins_or_ends_with_its_point_says_how_to_write_it(tmp_path):
    for text, better in (('x = .1\n', '0.1'), ('x = -.5\n', '-0.5'),
                         ('y = 1\nx = 3. # Three\n', '3.0')):
        (tmp_path/'p.toml').write_text(text)
        with pytest.raises(InputError, match=f'write {better}, with a digit on each side'):
            read_toml(tmp_path/'p.toml')


def test_what_is_no_toml_says_where(tmp_path):
    path = written(tmp_path, 'a = 1\nb = \n')
    assert refused(path) == f"`{path}` is not TOML: Invalid value (at line 2, column 5)"
    says = f"`{path}` is not TOML: "
    assert refused(written(tmp_path, 'a = 1\na = 2')).startswith(says + "Cannot overwrite a value")
    deep = 'a = ' + '['*sys.getrecursionlimit()*2
    assert refused(written(tmp_path, deep)).startswith(says)


@dataclass(frozen=True, kw_only=True)
class Part:
    name:str
    share:float = 1.


@dataclass(frozen=True, kw_only=True)
class Whole:
    title:str
    n:int|None = None
    first:Part|None = None
    parts:tuple[Part, ...] = ()
    words:tuple[str, ...] = ()
    limits:dict[str, float] = field(default_factory=dict)
    free:Any = None
    day:date|str = ''
    code:str|int = ''


def test_tables_become_dataclasses_and_lists_tuples():
    parts = [dict(name='b', share=1), dict(name='c', share=.5)]
    rest = dict(title='t', n=3, limits=dict(q=.1, r=1), free=[{}], day=date(2026, 1, 2), code=3)
    made = build(Whole, rest | dict(first=dict(name='a'), parts=parts, words=['x', 'y']))
    members = tuple(Part(**part) for part in parts)
    assert made == Whole(**rest, first=Part(name='a'), parts=members, words=('x', 'y'))


KEYS = 'title, n, first, parts, words, limits, free, day, code'

@pytest.mark.parametrize('values, says', [
    (dict(title='t', titel=''),
     f"`titel` is no key of a Whole; there are: {KEYS}"),
    (dict(n=1), "`title` is missing in a Whole"),
    ([], "`Whole` must be a table of keys and values, got []"),
    (dict(title=1), "`title` must be of type str, got 1"),
    (dict(title='t', n='3'), "`n` must be of type int, got '3'"),
    (dict(title='t', n=True), "`n` must be of type int, got True"),
    (dict(title='t', first='a'), "`Part` must be a table of keys and values, got 'a'"),
    (dict(title='t', first={}), "`name` is missing in a Part"),
    (dict(title='t', parts=[dict(name='a', part='')]),
     "`part` is no key of a Part; there are: name, share"),
    (dict(title='t', parts=[dict(name='a', share=False)]),
     "`share` must be of type float, got False"),
    (dict(title='t', parts='a'), "`parts` must be of type tuple, got 'a'"),
    (dict(title='t', words='xy'), "`words` must be of type tuple, got 'xy'"),
    (dict(title='t', words=['x', 1]), "`words` must be of type str, got 1"),
    (dict(title='t', limits=dict(q='big')), "`limits` must be of type dict, got {'q': 'big'}"),
    (dict(title='t', code=1.5), "`code` must be of type str or int, got 1.5"),
], ids=str)
def test_what_does_not_fit_is_named(values, says):
    with pytest.raises(InputError) as e: build(Whole, values)
    assert str(e.value) == says


def test_where_says_which_file_and_which_table():
    def said(values):
        with pytest.raises(InputError) as e: build(Whole, values, 'the policy x.toml')
        return str(e.value)
    assert said({}) == "`title` is missing in the policy x.toml"
    assert said(dict(title=3)) == "`title` must be of type str, got 3 in the policy x.toml"
    assert said(dict(title='', parts=[{}])) == "`name` is missing in a Part of the policy x.toml"


def test_types_compare_as_a_reader_means_them():
    assert fits(1, float) and not fits(True, float) and not fits(True, int) and not fits(1., int)
    assert fits(None, int|None)
    assert fits(('a',), tuple) and fits({'a': 1}, dict[str, int])
    assert not fits(['a'], tuple[str, ...]) and fits(object(), Any)
    assert type_name(int|None) == 'int' and type_name(tuple[str, ...]) == 'tuple'
