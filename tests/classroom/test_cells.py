"Cells: what they say, what they define, and what is left when the answer is taken out"
import ast
import json
import time

import pytest
from classroom.made_up import ADD, MASK, book
from hypothesis import given
from hypothesis import strategies as st

from dlcourse.classroom.cells import (
    MARK,
    Cell,
    answering,
    blank,
    cells_of,
    defines,
    directive_lines,
    directives,
    plain_python,
    read_notebook,
)
from dlcourse.classroom.editions import answers
from dlcourse.classroom.lessons import read_lesson
from dlcourse.core.errors import InputError


@pytest.mark.parametrize('text, words',
                         [('{', 'is not a notebook'), ('[]', 'is not a notebook: it must hold'),
                          ('{"cells": [{}]}', 'is not a notebook: it must hold'),
                                         ('{"cells": 3}', 'is not a notebook'),
                                         ('['*200_000, 'is not a notebook'),
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


@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16', 'utf-16-le', 'utf-32'])
def test_a_notebook_may_begin_with_a_byte_order_mark(tmp_path, encoding):
    path, page = tmp_path/'01_x.ipynb', book('#| default_exp a.b', 'x = "ü→"')
    path.write_text(json.dumps(page, ensure_ascii=False), encoding=encoding)
    assert read_notebook(path) == page


@pytest.mark.parametrize('cell, left', [
    ('%timeit f()', ''), ('%%time\nx = 1', '\nx = 1'), ('!ls\nx = 1', '\nx = 1'),
    ('f?', ''), ('np.sum??', ''), ('?f', ''), ('x = 1 # f?', 'x = 1 # f?'),
    ('out = !ls\nx = 1', 'out = None\nx = 1'), ('t = %timeit -o f()', 't = None'),
    ('def f(x):\n    %time x\n    return x', 'def f(x):\n    pass\n    return x'),
    ('if x:\n    !ls', 'if x:\n    pass'), ('!ls \\\n  -l\nx = 1', '\n\nx = 1'),
    ('  x = 1\n  y = 2', 'x = 1\ny = 2'), ('\n  def f():\n    return 1', '\ndef f():\n  return 1'),
    ('x = 1\r\n%time\r\ny = 2', 'x = 1\n\ny = 2'),
])
def test_what_only_ipython_reads_is_left_out(cell, left): assert plain_python(cell) == left


STRIDES = ('import math\ndef row_strides(shape):\n    return tuple({})')
PYTHON = {
    'a remainder below': STRIDES.format('math.prod(shape[k + 1:])\n        % 10**18 '
                                        'for k in range(len(shape))'),
    'a remainder in brackets': STRIDES.format('(\n math.prod(shape[k + 1:])\n % 2\n) '
                                              'for k in range(len(shape))'),
    'a text of several lines': 'x = """\n%timeit\n!ls\nf?\n"""',
    'a docstring': 'def f():\n    """Rests\n    % 2 and\n    ? more\n    """\n    return 1',
    'a backslash': 'x = 7 \\\n % 2', 'a list': 'x = [7\n% 2, 1\n,2]',
    'a slice': 'x = y[1\n    :2]', 'division': 'x = (8\n/ 2\n% 3)',
    'a quote in a comment': 'x = 1 # it\'s\ny = (5\n% 2)',
    'an f-string': 'f"{5 % 2}"\nx = (1\n% 1)',
    'odd line ends in a text': 'x = "a\u2028b\x0cc\x85d\x1ce"', 'nothing': '', 'an end': 'x = 1\n',
    'a form feed': 'x = 1\n\x0c\ny = (5\n% 2)',
}


@pytest.mark.parametrize('name', PYTHON)
def test_python_stays_as_it_is(name):
    assert plain_python(PYTHON[name]) == PYTHON[name]
    ast.parse(PYTHON[name])


def test_errors_keep_their_lines():
    cell = '%matplotlib inline\n!ls \\\n -l\ndef f(x):\n    return (x\n        % 2)\nf(1'
    with pytest.raises(SyntaxError) as e: ast.parse(plain_python(cell))
    assert e.value.lineno == 7


LINES = ['x = 1', '%time', 'def f(x):', '    return x', '    %time x', 'y = (3', '% 2', ')', '!ls',
         't = """', '"""', 'f?', '?f', 'x = [', ']', '# a', '', 'z = 1 + \\', "x = 'a%b'", '  % 2']


@given(st.lists(st.sampled_from(LINES), max_size=9))
def test_ipython_leaves_out_the_same_lines(lines):
    transformer = pytest.importorskip('IPython.core.inputtransformer2')
    cell = '\n'.join(['x = 0', *lines])
    try: ast.parse(plain_python(cell))
    except SyntaxError: return # Neither can read it
    theirs = transformer.TransformerManager().transform_cell(cell).split('\n')
    for before, ours, line in zip(cell.split('\n'), plain_python(cell).split('\n'), theirs,
                                  strict=False):
        assert (before != ours) == ('get_ipython()' in line), cell


def test_the_cell_that_answers():
    def which(*sources):
        cells = [Cell(str(i), source) for i, source in enumerate(sources)]
        found = answering(cells, 'f')
        page = dict(cells=[dict(id=c.id, cell_type='code', source=c.source) for c in cells])
        assert answers(page).get('f') in (None, found and found.source)
        return found and int(found.id)
    given_cell = f'#| exercise f\ndef f(x):\n    raise NotImplementedError("{MARK}f")'
    mine, marked = 'def f(x): return 1', '#| exercise f\ndef f(x): return 2'
    assert which('x = 1') is None and which() is None and which('f(1)') is None
    assert which(given_cell) == 0 and which(given_cell, given_cell) == 1
    assert which('#| export\n#| exercise f', mine) == 1
    assert which(mine, '#| export\n#| exercise f') == 0
    assert which('#| exercise f\nimport math', mine, 'f(1)') == 1
    assert which(given_cell, mine) == 1 and which(mine, given_cell) == 0
    assert which(marked, mine) == 0 and which(marked, given_cell) == 0
    assert which(marked, marked) == 1 and which(mine, mine, mine) == 2
    assert which('#| exercise f\nf = lambda x: 3') == 0
    assert which('async def f(x): return 1') == 0
    assert which('#| exercise g\ndef g(x): return f(x)') is None
    given = '#| exports\ndef f(x): return 1' # Of a page in which it was no exercise yet
    assert which(given) is None and which(given, mine) == 1 == which(mine, marked, given)


def test_a_function_inside_another_is_no_method():
    method = 'def make(f):\n    def g(self): return Bag()\n    return g'
    assert answering([Cell('0', method)], 'Bag.g') is None
    for source in ('class Bag:\n    x = 1\n    def g(self): return 1',
                   '@patch\ndef g(self:Bag): return 1'):
        assert answering([Cell('0', source)], 'Bag.g').source == source


def _cpu(f, *args):
    start = time.process_time()
    f(*args)
    return time.process_time() - start


@pytest.mark.parametrize('line', ['#| a x' + ' '*50_000 + 'y', '#' + ' '*50_000 + 'y',
                                  ' '*50_000 + 'y', '#|' + ' '*50_000, '#| a' + ' '*50_000 + ':',
                                  '#| a ' + 'x '*50_000, '#| ' + 'x'*50_000, '#| a: ' + ':'*50_000])
def test_a_directive_takes_time_in_step_with_its_length(line):
    assert _cpu(directives, line) < 1 and _cpu(directive_lines, line) < 1


@pytest.mark.parametrize('cell', ['('*50_000, 'f(\n'*30_000, '%a\\\n'*30_000, 'x = 1\n'*20_000,
                                  '"""' + '\n'*50_000, 'x = ' + "'\\'"*20_000,
                                  ' '*50_000 + 'f?' + ' '*50_000, 'a.'*50_000 + '?x'])
def test_a_cell_is_read_in_step_with_its_length(cell): assert _cpu(plain_python, cell) < 5


def test_directives_read_as_before():
    assert directives('#| eval: false\n#|export\n # | a: b  c \n#| d') == dict(
        eval='false', export='', a='b  c', d='')
    assert directives('%%time\n#| a x') == dict(a='x') and directives('x = 1\n#| a') == {}


def test_the_directives_of_a_cell_are_read_once(monkeypatch):
    cell, = cells_of(book('#| exercise f\ndef f(x): return 1'))
    before = cell.directives
    assert cell.about('exercise') == ('exercise', 'f') and cell.directives is before
