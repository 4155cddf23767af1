"Grading: hostile and damaged submissions cost their own row only, a pass needs right values, and the table can be opened by a spreadsheet"
import csv
import io
import json
import math
import os
import re
import stat
from dataclasses import dataclass

import numpy as np
import pytest

from dlcourse.classroom.checks import expect
from dlcourse.classroom.lessons import learner_edition, read_lesson, read_notebook
from dlcourse.core.errors import InputError
from dlcourse.grading import grading
from dlcourse.grading.grading import COLUMNS, Examiner, Grades, grade, read_submission, safe_cell
from dlcourse.grading.sandbox import Sandbox
from dlcourse.grading.walls import Limits
from dlcourse.grading.witness import agrees, holds, make_key, pack

LOW = Limits(seconds=4, cpu=1, memory=1 << 28, answer=1 << 22)
HEAD = '#| default_exp toys.bags'
LESSON = [HEAD, '#| export\nimport math\nimport statistics', 'from random import Random\n\nfrom dlcourse.classroom.exercises import check, expect, expect_error, right, wrong', '''#| export
#| exercise middle level=2 importance=3 minutes=10 without=statistics.median
def middle(
    xs:list, # Numbers
):           # The median
    "The number in the middle"
    token_of_the_reference = sorted(xs)
    if not xs: raise ValueError("`xs` is empty")
    n = len(xs)
    return (token_of_the_reference[(n-1)//2] + token_of_the_reference[n//2])/2''', '''#| check middle
@check(hint="Sort first.")
def odd(middle):
    "Of an odd number it is the one in the middle."
    for xs, want in [([3.], 3.), ([9., 1., 4.], 4.)]: expect(middle(xs), want)

@check(hint="Two are in the middle.")
def even(middle):
    "Of an even number it is the mean of the two."
    expect(middle([1., 2., 4., 10.]), 3., atol=1e-9)

@check(hint="Say so.")
def nothing(middle):
    "Of nothing there is none."
    expect_error(ValueError, middle, [], says='empty')''', '''#| wrong middle
wrong("That is the mean.", lambda xs: sum(xs)/len(xs) if xs else middle(xs))
wrong("The list must be sorted.", lambda xs: (xs[(len(xs)-1)//2] + xs[len(xs)//2])/2 if xs else middle(xs))
wrong("Of two in the middle it is the mean, not the upper.", lambda xs: sorted(xs)[len(xs)//2] if xs else middle(xs))
right(lambda xs: (sorted(xs)[len(xs)//2] + sorted(xs)[~(len(xs)//2)])/2 if xs else middle(xs))''', '''#| export
class Bag:
    "Things, with how many there are of each"
    def __init__(self): self.counts = {}''', '''#| export
#| exercise Bag.draw level=1 importance=1 minutes=2
from fastcore.basics import patch

@patch
def draw(self:Bag, seed:int):
    "One thing by chance"
    from random import Random
    return Random(seed).choice(sorted(self.counts))''', '''#| check Bag.draw
@check(hint="Use the seed.")
def again(Bag):
    "The same seed draws the same."
    bag = Bag()
    bag.counts = dict(a=1, b=1, c=1)
    expect(bag.draw(1), bag.draw(1))
    expect(bag.draw(2) in 'abc', True)''', '''#| wrong Bag.draw
wrong("Always the same.", lambda self, seed: 'z')
wrong("A thing, not a list.", lambda self, seed: ['a'])
wrong("The seed is not used.", lambda self, seed: Random().random())
right(lambda self, seed: sorted(self.counts)[seed % len(self.counts)])''']
GOOD = '''#| export
#| exercise middle
def middle(xs):
    if not xs: raise ValueError("this is empty")
    s = sorted(xs); h = len(s)//2
    return s[h] if len(s) % 2 else (s[h-1] + s[h])/2'''


def notebook(path, *cells):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(nbformat=4, nbformat_minor=5, metadata={}, cells=[
        dict(cell_type='code', id=f'c{i}', metadata={}, outputs=[], execution_count=None, source=source) for i, source in enumerate(cells)])))
    return path


@pytest.fixture(scope='module')
def course(tmp_path_factory):
    root = tmp_path_factory.mktemp('course')
    notebook(root/'nbs'/'01_toys'/'01_bags.ipynb', *LESSON)
    return root


@pytest.fixture(scope='module')
def lesson(course): return read_lesson(course/'nbs'/'01_toys'/'01_bags.ipynb')


@pytest.fixture(scope='module')
def insist():
    with Sandbox(insist=False) as box: return not box.run(dict(code='')).off


@pytest.fixture(scope='module')
def known(course): return {'toys.bags': course/'nbs'/'01_toys'/'01_bags.ipynb'}


def body(code): return 'def middle(xs):\n' + '\n'.join('    ' + line for line in code.splitlines())


HOSTILE = {
    'endless': (body("while True: pass"), 'error', 'processor time|longer than'),
    'stubborn': (body("while True:\n  try:\n    while True: pass\n  except BaseException: pass"), 'error', 'processor time|longer than'),
    'sleeper': (body("import time\nwhile True:\n  try: time.sleep(60)\n  except BaseException: pass"), 'error', 'processor time|longer than'),
    'memory': (body("return bytearray(1 << 32)"), ('error', 'failed'), 'MemoryError'),
    'forks': (body("import os\nwhile True: os.fork()"), ('error', 'failed'), 'PermissionError'),
    'threads': (body("import threading, time\nfor _ in range(5000): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()"), ('error', 'failed'), 'thread'),
    'exit': ("import os\nx = os._exit(0)\n" + body("return 0"), 'error', 'without an answer'),
    'late exit': (body("import os\nos._exit(0)"), 'error', 'without an answer'),
    'polite exit': (body("import sys\nsys.exit(0)"), 'error', 'SystemExit'),
    'stdout': (body('print(\'{"value": {"result": {"outcome": "passed"}}}\', flush=True)\nimport os\nos._exit(0)'), 'error', 'without an answer'),
    'flood': (body("while True: print('passed'*1000)"), 'error', ''),
    'pipe': ("import os\nfor n in range(3, 64):\n  try: os.write(n, b'{\"value\": {\"result\": {\"outcome\": \"passed\", \"claims\": []}, \"heard\": []}}')\n"
             "  except OSError: pass\nx = os._exit(0)", 'failed', 'meddles'),
    'yes': ("class Yes(float):\n  def __eq__(self, other): return True\n  def __sub__(self, other): return 0.\n" + body("return Yes()"), 'failed', 'expected'),
    'expect': ("import dlcourse.classroom.exercises as e\ne.expect = e._compare = e.expect_error = lambda *a, **k: None\n" + body("return 0."), 'failed', ''),
    'check': ("import dlcourse.classroom.exercises as e\ne.check = lambda *a, **k: (lambda f: f)\n" + body("return 0."), ('failed', 'not checked'), ''),
    'verdict': ("import dlcourse.classroom.exercises as e\ne.Result.to_dict = lambda self: dict(outcome='passed', claims=[])\n" + body("return 0."), 'failed', 'meddles'),
    'run': ("import dlcourse.classroom.exercises as e\ne.run_check = lambda c, *a, **k: e.Claim(claim=c.claim, outcome='passed')\n" + body("return 0."), 'failed', ''),
    'builtins': ("import builtins\nbuiltins.abs = lambda x: 0\nbuiltins.all = lambda x: True\nbuiltins.type = lambda x: float\n" + body("return 0."), ('failed', 'error'), ''),
    'asserts': ("import numpy.testing as t, unittest as u\nt.assert_allclose = t.assert_close = u.TestCase.assertEqual = lambda *a, **k: None\n" + body("return 0."),
                'failed', 'expected'),
    'import it': (body("from dlcourse.toys.bags import middle as m\nreturn m(xs)"), ('error', 'failed'), 'RecursionError'),
    'read it': (body("import glob\nreturn eval(open(NBS).read())"), ('error', 'failed'), 'PermissionError'),
    'dig for it': (body("import gc\nneedle = ''.join(['token_of_the_', 'reference = sorted'])\nfor o in gc.get_objects():\n  for r in gc.get_referents(o):\n"
                        "    if isinstance(r, str) and r is not needle and needle in r:\n      s = {}; exec(r, s); return s['middle'](xs)\nraise LookupError('not here')"),
                   ('error', 'failed'), 'LookupError'),
    'forbidden': (body("import statistics\nreturn statistics.median(xs)"), 'failed', 'statistics.median'),
    'hidden': (body("return getattr(__import__('statis' + 'tics'), 'med' + 'ian')(xs)"), 'failed', 'statistics.median'),
    'neighbour': (body("return open(NEIGHBOUR).read()"), ('error', 'failed'), 'PermissionError'),
    'delete': (body("import shutil\nshutil.rmtree(FOLDER)"), ('error', 'failed'), 'PermissionError'),
    'socket': (body("import socket\nsocket.create_connection(('127.0.0.1', 80), 1)"), ('error', 'failed'), 'PermissionError'),
    'long': (body("raise ValueError('x'*(1 << 22))"), ('error', 'failed'), ''),
    'atexit': (body("import atexit, time\natexit.register(time.sleep, 60)\nreturn 0."), 'failed', 'expected'),
    'signals': (body("import signal\nfor s in signal.valid_signals():\n  try: signal.signal(s, signal.SIG_IGN)\n  except (OSError, ValueError): pass\nwhile True: pass"),
                'error', 'processor time|longer than'),
    'recursion': (body("import sys\nsys.setrecursionlimit(1 << 30)\nf = lambda x: max([x], key=f)\nreturn f(1)"), 'error', ''),
    'crash': (body("import ctypes\nctypes.string_at(1)"), 'error', 'SIGSEGV'),
    'not python': ("def middle(xs) return xs", 'error', 'line 3 is not Python'),
    'null': ("def middle(xs): return '\0'", 'error', ''),
    'deep': ("def middle(xs): return " + '('*5000 + ')'*5000, 'error', ''),
    'surrogate': ("def middle(xs): return '\ud800'", ('error', 'failed'), ''),
    'too long': (body("return 0") + '\n#' + 'x'*300_000, 'error', 'longer than 200000 characters'),
    'blank': (body('raise NotImplementedError("Your turn: middle")'), 'not tried', 'blank'),
    'mean': (body("if not xs: raise ValueError('`xs` is empty')\nreturn sum(xs)/len(xs)"), 'failed', 'expected'),
    'magic': ("%%time\n%matplotlib inline\n" + GOOD, 'passed', ''),
    'formula': (body("raise ValueError('=HYPERLINK(\"http://x\")\\n\\r\\t=1+1')"), ('error', 'failed'), 'HYPERLINK'),
}


@pytest.fixture(scope='module')
def graded(course, insist):
    if not insist: pytest.skip("this machine has no walls")
    folder = course/'in'
    places = dict(NBS=course/'nbs'/'01_toys'/'01_bags.ipynb', NEIGHBOUR=folder/'ada.ipynb', FOLDER=folder)
    def fill(code): return re.sub(r'\b(NBS|NEIGHBOUR|FOLDER)\b', lambda m: repr(str(places[m[0]])), code)
    paths = [notebook(folder/'ada.ipynb', HEAD, GOOD)]
    for name, (code, *_) in HOSTILE.items():
        paths.append(notebook(folder/f'{name}.ipynb', HEAD, code if code.startswith(('%', '#|')) else '#| export\n#| exercise middle\n' + fill(code)))
    paths.append(notebook(folder/'zoe.ipynb', HEAD, GOOD + '\n# the last'))
    before = {p: p.read_bytes() for p in paths}
    grades = grade(paths, course/'grades.csv', nbs=course/'nbs', limits=LOW)
    assert {p: p.read_bytes() for p in paths} == before
    return grades, {row['student']: row for row in grades.rows if row['exercise'] == 'middle'}


@pytest.mark.parametrize('name', HOSTILE)
def test_hostile_answers_cost_their_own_row(graded, name):
    _, outcome, message = HOSTILE[name]
    row = graded[1][name]
    assert row['outcome'] in ([outcome] if isinstance(outcome, str) else outcome), row
    assert re.search(message, row['message']) and len(row['message']) < 600 and '\n' not in row['message'], row
    assert row['points'] == (2 if outcome == 'passed' else 0) and row['possible'] == 2
    assert row['sandbox'] == ('' if name in ('too long', 'blank') and not row['seconds'] else 'on')


def test_honest_answers_pass_beside_them(graded):
    for name in ('ada', 'zoe'): assert (graded[1][name]['outcome'], graded[1][name]['points'], graded[1][name]['sandbox']) == ('passed', 2, 'on')
    assert graded[1]['mean']['misconception'] == "That is the mean." and graded[1]['ada']['misconception'] == ''
    assert all(row['outcome'] == 'not tried' for row in graded[0].rows if row['exercise'] == 'Bag.draw')


def test_the_table_is_whole_and_harmless(graded, course):
    grades, _ = graded
    rows = list(csv.DictReader(io.StringIO((course/'grades.csv').read_text())))
    assert tuple(rows[0]) == COLUMNS and len(rows) == len(grades.rows) == 2*(len(HOSTILE) + 2)
    assert not [cell for row in rows for cell in row.values() if cell[:1] in ('=', '+', '-', '@')]
    assert grades.frame.height == len(rows) and grades.frame['points'].sum() == 6
    ada = next(s for s in grades.summary() if s['student'] == 'ada')
    assert ada == dict(student='ada', passed=1, exercises=2, points=2, possible=3, notes='')


@pytest.mark.parametrize('cell, written', [('=1+1', "'=1+1"), ('+1', "'+1"), ('-1', "'-1"), ('@x', "'@x"), ('\t=1', "'\t=1"), (' =1', "' =1"), ('a=1', 'a=1'),
                                           ('', ''), (-1, -1), (.5, .5), ('\ud800', '?')])
def test_no_formula_reaches_a_spreadsheet(cell, written): assert safe_cell(cell) == written


def test_lines_and_quotes_survive_the_table():
    row = dict.fromkeys(COLUMNS, '') | dict(student='a,"b"\nc', points=1)
    assert next(csv.DictReader(io.StringIO(Grades([row], 0).to_csv())))['student'] == 'a,"b"\nc'


def test_only_what_changed_is_graded_again(course, insist, tmp_path):
    folder, out = tmp_path/'in', tmp_path/'grades.csv'
    paths = [notebook(folder/f'{n}.ipynb', HEAD, f'#| exercise middle\n{body(f"return {n!r}")}') for n in 'abc']
    def again(**more): return grade(paths, **dict(out=out, nbs=course/'nbs', limits=LOW, sandbox=insist) | more)
    assert again().graded == 3
    first = out.read_text()
    assert again().graded == 0 and out.read_text() == first
    notebook(paths[1], HEAD, GOOD)
    assert again().graded == 1 and again().graded == 0
    assert [r['outcome'] for r in again().rows if r['exercise'] == 'middle'] == ['failed', 'passed', 'failed']
    other = notebook(tmp_path/'nbs'/'01_toys'/'01_bags.ipynb', *LESSON[:-1], LESSON[-1] + '\n')
    other.write_text(other.read_text().replace('return sorted', 'return  sorted').replace('it is the mean of the two', 'it is the mean of two'))
    assert again(nbs=tmp_path/'nbs').graded == 3
    for damage in ('', '{"a": 1}', '[1]', '\0'):
        (tmp_path/'grades.cache.json').write_text(damage)
        assert again().graded == 3
    paths.append(notebook(folder/'d.ipynb', HEAD, GOOD))
    assert again().graded == 0 # The same text as b's
    assert again(out=None).graded == 3 # Of four, two are one


def test_the_clocks_verdict_is_not_kept(course, insist, tmp_path):
    if not insist: pytest.skip("this machine has no walls")
    path = notebook(tmp_path/'slow.ipynb', HEAD, HOSTILE['sleeper'][0])
    for _ in range(2): assert grade([path], tmp_path/'g.csv', nbs=course/'nbs', limits=Limits(seconds=2, cpu=2, answer=1 << 22)).graded == 1


def test_a_table_that_cannot_be_written_leaves_the_old(course, insist, tmp_path, monkeypatch):
    (tmp_path/'g.csv').write_text('old')
    def full(*_): raise OSError("no space")
    monkeypatch.setattr(grading, 'write_whole', full)
    with pytest.raises(OSError): grade([notebook(tmp_path/'a.ipynb', HEAD)], tmp_path/'g.csv', nbs=course/'nbs', sandbox=insist)
    assert (tmp_path/'g.csv').read_text() == 'old'


def test_damaged_submissions_have_a_row(tmp_path, known):
    def fault(path): return [s.fault for s in read_submission(path, 'x', known)]
    texts = {'text': 'hello', 'list': '[]', 'number': '5', 'half': '{"cells": [', 'no cells': '{}', 'deep': '['*200_000, 'bad cells': '{"cells": [1]}',
             'bad source': '{"cells": [{"cell_type": "code", "source": [1]}]}', 'no source': '{"cells": [{"cell_type": "code"}]}', 'null': '{"cells": null}'}
    for name, text in texts.items():
        (tmp_path/f'{name}.ipynb').write_text(text)
        assert fault(tmp_path/f'{name}.ipynb')[0].startswith('this is not a notebook'), name
    (tmp_path/'photo.ipynb').write_bytes(b'\x89PNG\r\n\xff\xfe')
    assert fault(tmp_path/'photo.ipynb') == ['this is not a notebook: it is not JSON']
    (tmp_path/'empty.ipynb').touch()
    assert fault(tmp_path/'empty.ipynb') == ['this is not a notebook: it is not JSON']
    with open(tmp_path/'huge.ipynb', 'wb') as f: f.truncate(30_000_000)
    assert fault(tmp_path/'huge.ipynb') == ['the file is larger than 20 MB; clear its outputs and save it again']
    assert fault(tmp_path/'nowhere.ipynb') == ['there is no such file']
    os.mkfifo(tmp_path/'pipe.ipynb')
    assert fault(tmp_path/'pipe.ipynb') == ['this is no file']
    assert fault(notebook(tmp_path/'other.ipynb', 'x = 1')) == ["it is of no lesson: its first cell must be the lesson's, `#| default_exp …`, got ''"]
    assert "got 'toys.cars'" in fault(notebook(tmp_path/'cars.ipynb', '#| default_exp toys.cars'))[0]
    (tmp_path/'folder').mkdir()
    assert fault(tmp_path/'folder') == ['there is no notebook in it']


def test_which_cell_counts(tmp_path, known):
    def cells(*sources): return dict(read_submission(notebook(tmp_path/'a.ipynb', HEAD, *sources), 'a', known)[0].cells)
    assert cells() == {} and cells('import os\nos.remove("x")') == {}
    assert cells('#| exercise middle\ndef middle(xs): 1', '#| exercise middle\ndef middle(xs): 2') == {'middle': '#| exercise middle\ndef middle(xs): 2'}
    assert cells('def middle(xs): 1', 'def middle(xs): 2', 'middle([1])') == {'middle': 'def middle(xs): 2'}
    assert cells('#| exercise middle\ndef middle(xs): 1', 'def middle(xs): 2') == {'middle': '#| exercise middle\ndef middle(xs): 1'}
    assert cells('def middle_of(xs): 1', 'class Bag:\n    def draw(self, seed): 1') == {'Bag.draw': 'class Bag:\n    def draw(self, seed): 1'}
    assert cells('@patch\ndef draw(self:Bag, seed): 1') == {'Bag.draw': '@patch\ndef draw(self:Bag, seed): 1'} and cells('def draw(x): 1') == {}


def test_a_workspace_is_a_submission(tmp_path, known, course):
    edition = learner_edition(read_notebook(known['toys.bags']))
    page = tmp_path/'ada'/'nbs'/'01_toys'/'01_bags.ipynb'
    page.parent.mkdir(parents=True)
    page.write_text(json.dumps(edition))
    notebook(tmp_path/'ada'/'nbs'/'.ipynb_checkpoints'/'01_bags-checkpoint.ipynb', HEAD, GOOD)
    notebook(tmp_path/'ada'/'notes.ipynb', 'x = 1')
    notebook(tmp_path/'ben.ipynb', HEAD, GOOD)
    (tmp_path/'ada'/'stolen.ipynb').symlink_to(tmp_path/'ben.ipynb')
    os.mkfifo(tmp_path/'ada'/'pipe.ipynb')
    found, = read_submission(tmp_path/'ada', 'ada', known)
    assert found.lesson.id == 'toys.bags' and [n for n, _ in found.cells] == ['middle', 'Bag.draw']
    rows = grade([tmp_path/'ada'], None, nbs=course/'nbs').rows
    assert [(r['student'], r['outcome'], r['message']) for r in rows] == [('ada', 'not tried', 'the cell is still blank')]*2
    notebook(tmp_path/'ada'/'copy.ipynb', HEAD, GOOD)
    assert [s.fault for s in read_submission(tmp_path/'ada', 'ada', known)][1] == 'nbs/01_toys/01_bags.ipynb: `toys.bags` is here twice; this copy was not graded'


def test_students_have_names_of_their_own(tmp_path, course):
    for folder in ('x', 'y'): notebook(tmp_path/folder/'01.ipynb', HEAD)
    rows = grade([tmp_path/'x'/'01.ipynb', tmp_path/'y'/'01.ipynb'], None, nbs=course/'nbs').rows
    assert {r['student'] for r in rows} == {'x/01', 'y/01'}
    with pytest.raises(InputError, match='is the name of several submissions'): grade([tmp_path/'x'/'01.ipynb']*2, None, nbs=course/'nbs')
    with pytest.raises(InputError, match='at least one notebook or workspace'): grade([], None, nbs=course/'nbs')


def test_asked_lessons_and_points(tmp_path, course, insist):
    path = notebook(tmp_path/'a.ipynb', HEAD, GOOD)
    (tmp_path/'b.ipynb').write_text('no')
    grades = grade([path, tmp_path/'b.ipynb'], None, nbs=course/'nbs', lessons=['toys.bags'], points={2: 10}, limits=LOW, sandbox=insist)
    assert [(r['student'], r['exercise'], r['outcome'], r['points'], r['possible']) for r in grades.rows] == [
        ('a', 'middle', 'passed', 10, 10), ('a', 'Bag.draw', 'not tried', 0, 1), ('b', '', 'error', 0, 0), ('b', 'middle', 'not tried', 0, 10), ('b', 'Bag.draw', 'not tried', 0, 1)]
    assert grades.summary()[1]['notes'] == 'this is not a notebook: it is not JSON'
    with pytest.raises(InputError, match='`toys.cars` is no lesson'): grade([path], None, nbs=course/'nbs', lessons=['toys.cars'])


def test_missing_walls_are_refused_or_told(tmp_path, course, monkeypatch):
    from dlcourse.grading.sandbox import Outcome
    path = notebook(tmp_path/'a.ipynb', HEAD, GOOD)
    said = dict(result=dict(outcome='passed', claims=[]), heard=[], loaded=[])
    monkeypatch.setattr(Sandbox, 'run', lambda self, job: Outcome(value=[] if job['answer'] == ['count'] else said, off=dict(files='no Landlock', network='x')))
    assert grade([path], None, nbs=course/'nbs', sandbox=False).rows[0]['sandbox'] == 'off: files, network'
    def refuse(self, job): raise InputError("`sandbox`: this machine cannot … --no-sandbox")
    monkeypatch.setattr(Sandbox, 'run', refuse)
    with pytest.raises(InputError, match='--no-sandbox'): grade([path], None, nbs=course/'nbs')


def test_another_right_answer_may_draw_other_numbers(lesson, insist):
    exercise = lesson.exercises[1]
    with Examiner(lesson, LOW, insist) as examiner:
        assert examiner.grade(exercise, "from fastcore.basics import patch\n@patch\ndef draw(self:Bag, seed:int): return sorted(self.counts)[-1 - seed % 3]").outcome == 'passed'
        assert examiner.keys['Bag.draw'].fixed == [[False, True]]
        assert examiner.grade(exercise, "@patch\ndef draw(self:Bag, seed:int): return 'z'").message.startswith("NameError: name 'patch'")


@dataclass
class Point:
    x: float
    y: object


class Mine:
    def __eq__(self, other): return True


VALUES = [None, True, False, 0, 1, -1, 1 << 70, 0., -0., 1., 1.5, math.nan, math.inf, 1j, 'a', '', b'a', [], [1], [1., [2]], (), (1,), {}, {'a': 1}, {'a': 2}, {1: 'a'}, {1, 2},
          {1}, frozenset([1]), range(3), slice(1), np.float64(1), np.float32(1), np.int64(1), np.array([1, 2]), np.array([1., 2.]), np.array([[1., 2.]]),
          np.array([math.nan, 2.]), np.array(1.), np.array([]), np.array(['a']), np.array([True, False]), np.arange(50_000), np.dtype('int8'), Point(1., [2]), Point(1., [3]),
          [True], {'a': np.array([1])}, np.array([1 + 2j]), np.array([None, 1], dtype=object)]


@pytest.mark.parametrize('tolerance', [0., .1])
def test_outside_the_same_values_agree_as_inside(tolerance):
    for a in VALUES:
        for b in VALUES:
            try: expect(a, b, tolerance, tolerance)
            except AssertionError: same = False
            else: same = True
            assert agrees(json.loads(json.dumps(pack(a))), pack(b), tolerance, tolerance) == same, (a, b)


def test_tensors_agree_as_inside():
    torch = pytest.importorskip('torch')
    values = [torch.tensor(x) for x in (1, 1., True, [1., 2.], [[1., 2.]], [math.nan], [1 + 1j])]
    values += [torch.ones(2, dtype=d) for d in (torch.float64, torch.float16, torch.bfloat16, torch.int8)] + [torch.float32, torch.int64, torch.device('cpu'), torch.Size([2])]
    values += [torch.ones(2, device='meta'), torch.ones(3, device='meta'), torch.ones(2, requires_grad=True), torch.tensor([1 + 1j]).conj(), torch.eye(2).to_sparse(), np.ones(2), 1., (2,)]
    for a in values:
        for b in values:
            try: expect(a, b)
            except AssertionError: same = False
            else: same = True
            assert agrees(json.loads(json.dumps(pack(a))), pack(b)) == same, (a, b)


def test_what_cannot_be_written_down_goes_by_its_type():
    assert pack(Mine()) == ['thing', 'Mine'] and agrees(pack(Mine()), pack(Mine())) and not agrees(pack(Mine()), pack(1.))
    endless = []
    endless.append(endless)
    assert 'thing' in json.dumps(pack(endless))


@pytest.mark.parametrize('got', [None, 1, 'x', [], ['number'], ['number', 'float'], ['number', 'float', 5], ['number', 'float', ['x', 'y']], ['number', 'float', [[], []]],
                                 ['array', 'ndarray', 'float64', 'cpu', [2], '<f8', 'no base64'], ['array', 'ndarray', 'float64', 'cpu', [2], '<f8', 'AAAA'],
                                 ['array', 'ndarray', 'float64', 'cpu', [2], '<f8', 5], ['items', 'list', 5], ['items', 'list', [1]], ['pairs', 'dict', [[1]]], {'a': 1}])
def test_forged_values_do_not_agree(got):
    for want in (1., np.array([1., 2.]), [1.], {'a': 1.}): assert not agrees(got, pack(want), 1., 1.)


def deep(levels):
    value = 'x'
    for _ in range(levels): value = ['items', 'list', [value]]
    return value


def test_nothing_that_is_said_stops_the_grader(lesson, monkeypatch):
    def entry(got, want): return [pack(got), pack(want), 0., 0.]
    open_key = make_key([[entry(1, 1)]], [[[entry(2, 2)]]], [])
    bomb, name = deep(100_000), []
    for _ in range(100_000): name = [name]
    for value in (bomb, ['items', name, []], ['array', 'a', 'b', 'cpu', [1], 'O', ''], ['array', 'a', 'b', 'cpu', [1], 'x', ''], ['number', 'a', ['1e999', 'nan']], [[], {}]):
        for want in (value, deep(100_000), pack(1)): assert holds(open_key, [[[value, want, 0, 0]]]) in (True, False)
    exercise = lesson.exercises[0]
    from dlcourse.grading.sandbox import Outcome
    examiner = Examiner(lesson, LOW, False)
    examiner.keys['middle'] = open_key
    for result in (dict(outcome='failed', claims=5), dict(outcome='failed', claims=[5, {}, {'outcome': []}]), dict(outcome='error', message=name), dict(outcome='error', claims=name),
                   dict(outcome='failed', misconception=name), dict(outcome=name), dict(outcome={}), name, None, 'x', dict(outcome='passed', claims=[], heard=name)):
        monkeypatch.setattr(examiner.box, 'run', lambda job, result=result: Outcome(value=dict(result=result, heard=name)))
        assert examiner.grade(exercise, 'def middle(xs): 0').outcome in ('failed', 'error')
    for value in (None, [], 'x', {}, name):
        monkeypatch.setattr(examiner.box, 'run', lambda job, value=value: Outcome(value=value))
        assert examiner.grade(exercise, 'def middle(xs): 0').outcome == 'error'


def test_a_record_must_be_whole():
    def entry(got, want): return [pack(got), pack(want), 0., 0.]
    key = make_key([[entry(1, 1), entry(2, 2)], [entry('a', 'a')]], [[[entry(1, 1), entry(2, 2)], [entry('b', 'b')]]], [])
    good = [[entry(1, 1), entry(2, 2)], [entry('c', 'c')]]
    assert key.fixed == [[True, True], [False]] and holds(key, good)
    for bad in ([], good[:1], [good[0][:1], good[1]], [good[0] + good[0], good[1]], [good[0], [entry('c', 'd')]], [[entry(1, 1), entry(3, 3)], good[1]],
                [[entry(1, 1), entry(2, 3)], good[1]], [[entry(1, 1), [pack(3), pack(2), 9., 9.]], good[1]], [None, None], 'ab', [[1, 2], [3]], [good[0], [['x']]], None):
        assert not holds(key, bad), bad
    loose = make_key([[entry(1, 1)]], [[[entry(1, 1), entry(1, 1)]]], [])
    assert holds(loose, [[entry(1, 1)]*3]) and not holds(loose, [[]]) and not holds(loose, [[entry(1, 2)]])


@pytest.mark.parametrize('name', ['foundations.autograd', 'transformers.attention'])
def test_the_courses_own_right_answers_pass(name):
    paths = [p for p in grading.lesson_paths() if f'{p.parent.name[3:]}.{p.stem[3:]}' == name]
    if not paths: pytest.skip(f"there is no {name} yet")
    if name.startswith('transformers'): pytest.importorskip('torch')
    lesson = read_lesson(paths[0])
    with Examiner(lesson, insist=False) as examiner:
        examiner.prepare(lesson.exercises)
        for e in lesson.exercises:
            assert examiner.grade(e, e.source).outcome == 'passed', e.name
            assert examiner.grade(e, e.blank).outcome == 'not tried', e.name
            answers = examiner._ask(e, answer=['count']).value
            for kind, number in [*(a for a in answers if a[0] == 'right'), ['wrong', 0]]:
                said = examiner._ask(e, answer=[kind, number]).value
                assert (said['result']['outcome'] == 'passed', holds(examiner.keys[e.name], said['heard'])) == (kind == 'right', kind == 'right'), (e.name, kind, number)
        if name.startswith('transformers'):
            attend = next(e for e in lesson.exercises if e.name == 'attend')
            for call in ('F.scaled_dot_product_attention(q, k, v, mask)', 'getattr(torch.nn.functional, "scaled_dot_" + "product_attention")(q, k, v, mask)'):
                mark = examiner.grade(attend, attend.blank.split('raise NotImplementedError')[0] + f'return {call}')
                assert mark.outcome == 'failed' and 'scaled_dot_product_attention' in mark.message, call


def test_the_kept_verdicts_are_not_for_everybody_to_write(course, insist, tmp_path):
    grade([notebook(tmp_path/'a.ipynb', HEAD, GOOD)], tmp_path/'g.csv', nbs=course/'nbs', limits=LOW, sandbox=insist)
    assert not (tmp_path/'g.cache.json').stat().st_mode & stat.S_IWOTH
