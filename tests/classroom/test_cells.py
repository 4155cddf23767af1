"Cells: what they say, what they define, and what is left when the answer is taken out"

import pytest
from classroom.made_up import ADD, MASK

from dlcourse.classroom.cells import blank, defines, read_notebook
from dlcourse.classroom.lessons import read_lesson
from dlcourse.core.errors import InputError


@pytest.mark.parametrize('text, words',
                         [('{', 'is not a notebook'), ('[]', 'is not a notebook: TypeError'),
                          ('{"cells": [{}]}', 'is not a notebook: KeyError'),
                                         ('{"cells": 3}', 'is not a notebook'),
                                         (b'\xff\xfe', 'is not a notebook')])
def test_damaged_notebook_is_an_input_error(tmp_path, text, words):
    path = tmp_path/'01_x.ipynb'
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=words): read_notebook(path)
    with pytest.raises(InputError, match='cannot be read'): read_lesson(tmp_path/'gone.ipynb')


@pytest.mark.parametrize('source, name, wanted', [
    ('def f(x): return x+1', 'f', 'def f(x):\n    raise'),
    ('def f(x):\n    # secret\n    return x', 'f', 'def f(x):\n    raise'),
    ('def f(x):\n    "doc"\n    # secret\n    y = x\n\n    return y\nz = 1', 'f',
     'def f(x):\n    "doc"\n    raise'),
    ('def f(x): "doc"; return x', 'f', 'def f(x):\n    "doc"\n    raise'),
    ('def f(x):\n    """doc\n    more"""', 'f', 'def f(x):\n    """doc\n    more"""\n    raise'),
    ('def f(\n    x:dict={1: 2}, # a: b\n)->"a: b": # ü: c\n    return x', 'f',
     'def f(\n    x:dict={1: 2}, # a: b\n)->"a: b": # ü: c\n    raise'),
    ('class A:\n    x = 1\n    def f(self):\n        "doc"\n        return 1\n    def g(self): '
     'return 2', 'A.f', 'class A:\n    x = 1\n    def f(self):\n        "doc"\n        raise'),
    ('@patch\ndef f(self:A): return 1', 'A.f', '@patch\ndef f(self:A):\n    raise'),
])
def test_blank_keeps_the_question(source, name, wanted):
    cell = blank(source, name)
    assert cell.startswith(wanted + f' NotImplementedError("Your turn: {name}")')
    assert 'secret' not in cell
    rest = cell.split('")', 1)[1].splitlines()[1:]
    assert rest == [line for line in source.splitlines() if line.startswith(('z', '    def g'))]
    compile(cell, 'cell', 'exec')


def test_a_one_liner_that_begins_a_docstring_still_compiles():
    compile(blank('def f(x): "doc"', 'f'), 'cell', 'exec')


def test_defines():
    assert defines(MASK, 'causal_mask') and defines(ADD, 'Value.__add__')
    assert defines('def causal_mask(', 'causal_mask')
    assert defines('def __add__(self:Value', 'Value.__add__')
    assert not any(defines(s, 'causal_mask')
                   for s in ('class A:\n    def causal_mask(self): pass', 'causal_mask(3)',
                             'def causal(x:'))
    assert not defines(ADD, 'Tensor.__add__')
