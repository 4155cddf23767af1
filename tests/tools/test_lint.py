"The rules of a notebook, each broken once"
from pathlib import Path

import lint
import pytest
from cells import Cell
from fastcore.nbio import NbCell
from made_up import FIRST, STALE, TITLE, code, image, md, text, write

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def book(tmp_path):
    "A function that writes cells below a right beginning, and gives the notebook"
    def make(*cells, head=None, name='04_data/01_read.ipynb'):
        return write(tmp_path/'nbs'/name, *(head or (code(FIRST), md(TITLE))), *cells)
    return make


CHECK = '#| check h\n@check(hint="Think.")\ndef c(h):\n    "It is one."\n    expect(h(), 1)'
REFERENCE = '#| export\n#| exercise h level=2 minutes=3\ndef h():\n    return 1'
WRONG, HINT = '#| wrong h\nwrong("", f)', '#| hint h\nThink.'
EXERCISE = [code(REFERENCE), code(CHECK), code(WRONG), md(HINT)]
LATE = ('#| exports\n#| code-fold: true\ndef f():\n    import json # late\n'
        '    return "#| exprt"\n\n@patch\ndef g(self:A): pass')
GOOD = [code('#| export\nimport os\nfrom pathlib import Path\n\nif False: import json'),
        md('## Section'), md('Prose, and `#| exprt`.\n\n```python\n# comment\n#| exprt\n```'),
        code(LATE), code('%%time\n#| eval: false\n\n#|hide\nawait x'),
        code('!ls\n%load_ext jaxtyping\nfiles = !ls', text('one\n')),
        code('#| export\n_ = 1\n@patch\ndef g(self:B): pass'), code('#| export\n_ = 2'),
        code('show(1)', image()), *EXERCISE,
        code('1', text('see https://example.org/home/me and /usr/bin')),
        code('x = """\n#| exprt\n"""')]


def test_a_good_notebook_passes(book): assert lint.lint([book(*GOOD)]) == []


@pytest.mark.parametrize('cells, at, words', [
    ([*EXERCISE, code('#| check g\n1')], 6, '`#| check g` names no exercise; there are: h'),
    ([md('#| hint f\nThink.')], 2, '`#| hint f` names no exercise; there are: none'),
    ([code('#| scaffold h\n1'), *EXERCISE], 2,
     '`#| scaffold h` stands above its exercise (cell 3)'),
    ([*EXERCISE, code('#| hint h\n1')], 6, '`#| hint` is for a text cell'),
    ([*EXERCISE, md('#| quiz h\n1')], 6, '`#| quiz` is for a code cell'),
    ([*EXERCISE, code('#| scaffold h\n1')], 6, 'a scaffold needs `#| eval: false`'),
    ([code('#| quiz q\nquiz("?", right={"a": "so"}, wrong={"b": "no"})')], 2,
     'one right answer and two wrong or more'),
    ([code('#| quiz q\nquiz("?", right={"a": "so"}, wrong={"b": "", "c": "no"})')], 2,
     'each answer of a quiz is explained'),
    ([code('#| quiz q\nprint(1)')], 2, 'a quiz is one call'),
    ([*EXERCISE, md('#| hint h\n')], 6, 'the hint is empty'),
    ([*EXERCISE, code('#| export\n#| check h\nx = 1')], 6, 'no part of the library'),
    ([*EXERCISE, code('#| exports\n#| exercise h\ndef h(): pass')], 6,
     '`h` is the exercise of cell 2 already'),
    ([code('#| exercise h\ndef h(): return 1'), *EXERCISE[1:]], 2,
     '`#| exercise h` stands below `#| export`'),
    ([code('#| export\n#| hide\n#| exercise h\ndef h(): return 1'), *EXERCISE[1:]], 2,
     'stands on the line below `#| export`'),
    ([code('#| export\n#| exercise h\ndef g(): return 1'), *EXERCISE[1:]], 2,
     'the cell does not define `h`'),
    ([code('#| export\n#| exercise h level=6\ndef h(): return 1')], 2,
     '`level` must be a whole number from 1 to 5'),
    ([EXERCISE[0], EXERCISE[2]], 2, '`h` has no `#| check h`'),
    ([EXERCISE[0], EXERCISE[1]], 2, '`h` has no `#| wrong h`'),
    ([EXERCISE[0], code(CHECK.replace('    "It is one."\n', '')), EXERCISE[2]], 3,
     'the check `c` has no docstring'),
    ([EXERCISE[0], code(CHECK.replace('hint="Think."', '')), EXERCISE[2]], 3,
     'the check `c` has no `hint=`'),
])
def test_what_exercises_lack_is_found(book, cells, at, words):
    found = [(i, message) for i, message in lint.faults(book(*cells)) if words in message]
    assert [i for i, _ in found] == [at]


@pytest.mark.parametrize('name, first', [
    ('cli/app.ipynb', code('#| default_exp cli.app')), ('index.ipynb', code('1'))])
def test_what_stands_outside_the_parts_passes(book, name, first):
    assert lint.lint([book(head=(first, md(TITLE)), name=name)]) == []


HTML = dict(output_type='execute_result', metadata={},
            data={'text/html': ['<b>', '/var/folders/x1/']})
JSON = dict(output_type='display_data', metadata={},
            data={'application/json': {'a': r'C:\Users\ada'}})
UNTOLD = image() | dict(data={'image/png': '', 'text/plain': 'A line'})
ERROR = dict(output_type='error', ename='KeyError', evalue='', traceback=[])


@pytest.mark.parametrize('cells, at, words', [
    ([code('#| exprt\nx = 1')], 2, '`#| exprt` is no directive; did you mean `export`?'),
    ([code('#| Exports\nx = 1')], 2, 'did you mean `exports`?'),
    ([code('#| xyz\nx = 1')], 2, 'there are default_exp, export'),
    ([md('#| hnt f\nThink.')], 2, 'did you mean `hint`?'),
    ([code('# A comment\n#| export\nx = 1')], 2, '`#| export` on line 2 is never read'),
    ([code('x = 1\n#| hide')], 2, 'never read'),
    ([code('x = 1 #| hide')], 2, 'never read'),
    ([code('#| export data.other\nx = 1')], 2, 'to its own module only'),
    ([code('x = 1', nbdev={'export': 'true'})], 2, 'in the metadata'),
    ([code('from os import *')], 2, '`from os import *`: import the names'),
    ([code('#| export\nimport os\nx = 1')], 2, 'a cell of their own'),
    ([code('#| exporti\nclass A:\n    import os')], 2, 'a cell of their own'),
    ([code('#| export\ndef f(): pass'), code('#| exports\nf = 1')], 3,
     '`f` is exported by cell 2 already'),
    ([code('#| export\na, (b, c) = 1, (2, 3)'), code('#| export\nc: int = 1')], 3,
     '`c` is exported by cell 2 already'),
    ([code('x ='), ], 2, 'is not Python'),
    ([code('x = 1 # ' + 'y'*100)], 2, 'line 1 has 108 characters'),
    ([code('\n'.join(f'x{i} = {i}' for i in range(26)))], 2, 'the cell has 26 lines'),
    ([md('## One\n\nProse')], 2, 'the heading `## One` needs a cell of its own'),
    ([md('Prose\n\n### One')], 2, 'the heading `### One` needs a cell of its own'),
    ([md('# Another')], 2, 'one title'),
    ([md('x', id='cell1')], 2, 'the id cell1 is that of cell 1 already'),
    ([md('x', id='')], 2, 'has no id'),
    ([{**code('1'), 'metadata': None}], 2, 'the cell has no `metadata`'),
    ([{k: v for k, v in md('x').items() if k != 'metadata'}], 2, 'the cell has no `metadata`'),
    ([code('1', text('1'), fingerprint=STALE)], 2, 'older than the source'),
    ([code('1', ERROR)], 2, 'is an error: KeyError'),
    ([code('1', text('saved to /tmp/tmpab12/x.csv'))], 2,
     'a path of the machine it was made on: /tmp/tmpab12/x.csv'),
    ([code('1', text("PosixPath('/home/ada/x')"))], 2, '/home/ada'),
    ([code('1', text('/private/var/folders/aa /Users/ada/x'))], 2, '/Users/ada'),
    ([code('1', text(f'File {ROOT}/dlcourse/x.py'))], 2, str(ROOT)),
    ([code('1', HTML)], 2, '/var/folders/x1/'),
    ([code('1', JSON)], 2, 'a path of the machine'),
    ([code('1', image(alt=''))], 2, 'no alternative text'),
    ([code('1', UNTOLD)], 2, 'no browser shows the alternative text'),
    ([code('1', image(size=31_000))], 2, 'the image/png takes 31 KB'),
    ([code('1', *[image(size=29_000)]*9)], 0, 'the pictures take 261 KB'),
    ([code(f'x{i} = 1') for i in range(6)], 0, 'not one cell has an output'),
    ([code(FIRST)], 2, '`#| default_exp` stands in the first code cell'),
])
def test_each_fault_is_found(book, cells, at, words):
    fault, = lint.faults(book(*cells))
    assert fault[0] == at and words in fault[1]


def test_a_reference_and_a_check_may_be_tall(book):
    lines = '\n'.join(f'    x{i} = {i}' for i in range(30))
    exported, checks = code(f'#| export\ndef f():\n{lines}'), code(f'{CHECK}\n{lines}')
    assert lint.faults(book(exported, EXERCISE[0], checks, EXERCISE[2])) == []


@pytest.mark.parametrize('head, name, words', [
    ((code('#| default_exp data.write'), md(TITLE)), '04_data/01_read.ipynb',
     'the first code cell must be `#| default_exp data.read`'),
    ((code(FIRST + '\nimport os'), md(TITLE)), '04_data/01_read.ipynb', 'and nothing else'),
    ((md(TITLE),), '04_data/01_read.ipynb', 'the first code cell must be'),
    ((code(FIRST), md(TITLE)), '04_data/read.ipynb', 'a lesson lies at nbs/NN_part/NN_name.ipynb'),
    ((code('#| default_exp read'), md(TITLE)), 'read.ipynb', 'only index and the command line'),
    ((code('#| default_exp index'), md(TITLE)), 'index.ipynb', 'of a lesson, not in the index'),
    ((code(FIRST), md('# Reading')), '04_data/01_read.ipynb', 'the first text cell is the title'),
    ((code(FIRST), md('Prose first')), '04_data/01_read.ipynb', 'the first text cell is the title'),
    ((code(FIRST), md(TITLE + '\n\nMore')), '04_data/01_read.ipynb', 'and nothing else'),
    ((code(FIRST),), '04_data/01_read.ipynb', 'there is no title'),
])
def test_a_wrong_beginning_is_found(book, head, name, words):
    fault, = lint.faults(book(head=head, name=name))
    assert words in fault[1]


def test_two_notebooks_of_one_module_are_found(book):
    one, two = book(), book(name='04_data/02_read.ipynb')
    fault, = lint.lint([one, two])
    assert fault == f'{two}:0: `data.read` is the module of {one} already'


def test_what_is_no_notebook_is_said_to_be_none(tmp_path):
    (path := tmp_path/'01_x.ipynb').write_text('{"cells": [{}]}')
    assert 'is not a notebook' in lint.lint([path])[0]


def test_path_cell_and_message_are_printed(book, capsys):
    path = book(code('#| exprt\nx = 1'))
    assert lint.main([str(path.parent)]) == 1
    fault = f'{path}:2: `#| exprt` is no directive; did you mean `export`?'
    assert capsys.readouterr().out.splitlines() == [fault, '1 notebooks, 1 faults']
    assert lint.main([str(book())]) == 0


@pytest.mark.parametrize('source', [
    '#| export', '#|export', ' # | export x y', '\n\n#| hide\n\n#| export\nx', '# no\n#| export',
    'x\n#| export', '%%time\n#| export', '%time\n#| export', '#| eval: false\n#| code-fold: true',
    '#| eval:false', '#|', '"""\n#| export'])
def test_directives_are_read_as_nbdev_reads_them(source):
    read = Cell('code', source, {}).directives
    ours = {k: '' if v == 'true' else v for k, v in read.items() if k}
    theirs = NbCell(0, dict(cell_type='code', source=source, metadata={})).directives
    assert ours == theirs
