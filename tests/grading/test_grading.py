"Grading: hostile and damaged submissions cost their own row only, and the table is safe to open"
import csv
import io
import json
import os
import re
import stat

import pytest
from grading.made_up import GOOD, HEAD, HOSTILE, LESSON, LOW, SLEEPER, body, notebook

from dlcourse.classroom.cells import read_notebook
from dlcourse.classroom.editions import learner_edition
from dlcourse.core.errors import InputError
from dlcourse.grading import grading, sandbox
from dlcourse.grading.grading import GRADE_COLUMNS, Grades, grade, read_submission, safe_cell
from dlcourse.grading.sandbox import Sandbox
from dlcourse.grading.walls import Limits


@pytest.fixture(scope='module')
def graded(course, insist):
    if not insist: pytest.skip("this machine has no walls")
    folder = course/'in'
    places = dict(NBS=course/'nbs'/'01_toys'/'01_bags.ipynb', NEIGHBOUR=folder/'ada.ipynb',
                  FOLDER=folder)
    def fill(code):
        return re.sub(r'\b(NBS|NEIGHBOUR|FOLDER)\b', lambda m: repr(str(places[m[0]])), code)
    paths = [notebook(folder/'ada.ipynb', HEAD, GOOD)]
    for name, (code, *_) in HOSTILE.items():
        paths.append(notebook(folder/f'{name}.ipynb', HEAD,
                              code if code.startswith(('%', '#|'))
                              else '#| export\n#| exercise middle\n' + fill(code)))
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
    assert re.search(message, row['message']) and len(row['message']) < 600
    assert '\n' not in row['message'], row
    assert row['points'] == (2 if outcome == 'passed' else 0) and row['possible'] == 2
    assert row['sandbox'] == ('' if name in ('too long', 'blank') and not row['seconds'] else 'on')


def test_honest_answers_pass_beside_them(graded):
    for name in ('ada', 'zoe'):
        assert (graded[1][name]['outcome'], graded[1][name]['points'],
                graded[1][name]['sandbox']) == ('passed', 2, 'on')
    assert graded[1]['mean']['misconception'] == "That is the mean."
    assert graded[1]['ada']['misconception'] == ''
    assert all(row['outcome'] == 'not tried'
               for row in graded[0].rows if row['exercise'] == 'Bag.draw')


def test_the_table_is_whole_and_harmless(graded, course):
    grades, _ = graded
    rows = list(csv.DictReader(io.StringIO((course/'grades.csv').read_text())))
    assert tuple(rows[0]) == GRADE_COLUMNS and len(rows) == len(grades.rows) == 2*(len(HOSTILE) + 2)
    assert not [cell for row in rows for cell in row.values() if cell[:1] in ('=', '+', '-', '@')]
    assert grades.frame.height == len(rows) and grades.frame['points'].sum() == 6
    ada = next(s for s in grades.summary() if s['student'] == 'ada')
    assert ada == dict(student='ada', passed=1, exercises=2, points=2, possible=3, notes='')


@pytest.mark.parametrize('cell, written',
                         [('=1+1', "'=1+1"), ('+1', "'+1"), ('-1', "'-1"), ('@x', "'@x"),
                          ('\t=1', "'\t=1"), (' =1', "' =1"), ('a=1', 'a=1'),
                                           ('', ''), (-1, -1), (.5, .5), ('\ud800', '?')])
def test_no_formula_reaches_a_spreadsheet(cell, written): assert safe_cell(cell) == written


def test_lines_and_quotes_survive_the_table():
    row = dict.fromkeys(GRADE_COLUMNS, '') | dict(student='a,"b"\nc', points=1)
    assert next(csv.DictReader(io.StringIO(Grades([row], 0).to_csv())))['student'] == 'a,"b"\nc'


def test_only_what_changed_is_graded_again(course, insist, tmp_path):
    folder, out = tmp_path/'in', tmp_path/'grades.csv'
    paths = [notebook(folder/f'{n}.ipynb', HEAD, f'#| exercise middle\n{body(f"return {n!r}")}')
             for n in 'abc']
    def again(**more):
        return grade(paths, **dict(out=out, nbs=course/'nbs', limits=LOW, sandbox=insist) | more)
    assert again().graded == 3
    first = out.read_text()
    assert again().graded == 0 and out.read_text() == first
    notebook(paths[1], HEAD, GOOD)
    assert again().graded == 1 and again().graded == 0
    assert [r['outcome'] for r in again().rows if r['exercise'] == 'middle'] == ['failed', 'passed',
                                                                                 'failed']
    other = notebook(tmp_path/'nbs'/'01_toys'/'01_bags.ipynb', *LESSON[:-1], LESSON[-1] + '\n')
    text = other.read_text().replace('return sorted', 'return  sorted')
    other.write_text(text.replace('it is the mean of the two', 'it is the mean of two'))
    assert again(nbs=tmp_path/'nbs').graded == 3
    for damage in ('', '{"a": 1}', '[1]', '\0'):
        (tmp_path/'grades.cache.json').write_text(damage)
        assert again().graded == 3
    paths.append(notebook(folder/'d.ipynb', HEAD, GOOD))
    assert again().graded == 0 # The same text as b's
    assert again(out=None).graded == 3 # Of four, two are one


def test_the_clocks_verdict_is_not_kept(course, insist, tmp_path):
    if not insist: pytest.skip("this machine has no walls")
    path = notebook(tmp_path/'slow.ipynb', HEAD, SLEEPER)
    for _ in range(2):
        grades = grade([path], tmp_path/'g.csv', nbs=course/'nbs',
                       limits=Limits(seconds=4, cpu=2, answer=1 << 22))
        assert (grades.graded, grades.rows[0]['outcome']) == (1, 'not checked')


def test_a_table_that_cannot_be_written_leaves_the_old(course, insist, tmp_path, monkeypatch):
    (tmp_path/'g.csv').write_text('old')
    def full(*_): raise OSError("no space")
    monkeypatch.setattr(grading, 'write_whole', full)
    with pytest.raises(OSError):
        grade([notebook(tmp_path/'a.ipynb', HEAD)], tmp_path/'g.csv', nbs=course/'nbs',
              sandbox=insist)
    assert (tmp_path/'g.csv').read_text() == 'old'


def test_damaged_submissions_have_a_row(tmp_path, known):
    def fault(path): return [s.fault for s in read_submission(path, 'x', known)]
    texts = {'text': 'hello', 'list': '[]', 'number': '5', 'half': '{"cells": [', 'no cells': '{}',
             'deep': '['*200_000, 'bad cells': '{"cells": [1]}',
             'bad source': '{"cells": [{"cell_type": "code", "source": [1]}]}',
             'no source': '{"cells": [{"cell_type": "code"}]}', 'null': '{"cells": null}'}
    for name, text in texts.items():
        (tmp_path/f'{name}.ipynb').write_text(text)
        assert fault(tmp_path/f'{name}.ipynb')[0].startswith('this is not a notebook'), name
    (tmp_path/'photo.ipynb').write_bytes(b'\x89PNG\r\n\xff\xfe')
    assert fault(tmp_path/'photo.ipynb') == ['this is not a notebook: it is not JSON']
    (tmp_path/'empty.ipynb').touch()
    assert fault(tmp_path/'empty.ipynb') == ['this is not a notebook: it is not JSON']
    with open(tmp_path/'huge.ipynb', 'wb') as f: f.truncate(30_000_000)
    assert fault(tmp_path/'huge.ipynb') == ['the file is larger than 20 MB; clear its outputs and '
                                            'save it again']
    assert fault(tmp_path/'nowhere.ipynb') == ['there is no such file']
    os.mkfifo(tmp_path/'pipe.ipynb')
    assert fault(tmp_path/'pipe.ipynb') == ['this is no file']
    assert fault(notebook(tmp_path/'other.ipynb', 'x = 1')) == ["it is of no lesson: its first "
                                                                "cell must be the lesson's, `#| "
                                                                "default_exp …`, got ''"]
    assert "got 'toys.cars'" in fault(notebook(tmp_path/'cars.ipynb',
                                               '#| default_exp toys.cars'))[0]
    (tmp_path/'folder').mkdir()
    assert fault(tmp_path/'folder') == ['there is no notebook in it']


def test_which_cell_counts(tmp_path, known):
    def cells(*sources):
        return dict(read_submission(notebook(tmp_path/'a.ipynb', HEAD, *sources), 'a',
                                    known)[0].cells)
    assert cells() == {} and cells('import os\nos.remove("x")') == {}
    assert cells('#| exercise middle\ndef middle(xs): 1',
                 '#| exercise middle\ndef middle(xs): 2') == {'middle': '#| exercise middle\ndef '
                                                                        'middle(xs): 2'}
    assert cells('def middle(xs): 1', 'def middle(xs): 2',
                 'middle([1])') == {'middle': 'def middle(xs): 2'}
    assert cells('#| exercise middle\ndef middle(xs): 1',
                 'def middle(xs): 2') == {'middle': '#| exercise middle\ndef middle(xs): 1'}
    assert cells('def middle_of(xs): 1',
                 'class Bag:\n    def draw(self, seed): 1') == {'Bag.draw': 'class Bag:\n    def '
                                                                            'draw(self, seed): 1'}
    patched = '@patch\ndef draw(self:Bag, seed): 1'
    assert cells(patched) == {'Bag.draw': patched}
    assert cells('def draw(x): 1') == {}


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
    assert [(r['student'], r['outcome'], r['message'])
            for r in rows] == [('ada', 'not tried', 'the cell is still blank')]*2
    notebook(tmp_path/'ada'/'copy.ipynb', HEAD, GOOD)
    fault = read_submission(tmp_path/'ada', 'ada', known)[1].fault
    copy = '`toys.bags` is here twice; this copy was not graded'
    assert fault == f'nbs/01_toys/01_bags.ipynb: {copy}'


def test_students_have_names_of_their_own(tmp_path, course):
    for folder in ('x', 'y'): notebook(tmp_path/folder/'01.ipynb', HEAD)
    rows = grade([tmp_path/'x'/'01.ipynb', tmp_path/'y'/'01.ipynb'], None, nbs=course/'nbs').rows
    assert {r['student'] for r in rows} == {'x/01', 'y/01'}
    with pytest.raises(InputError, match='is the name of several submissions'):
        grade([tmp_path/'x'/'01.ipynb']*2, None, nbs=course/'nbs')
    with pytest.raises(InputError, match='at least one notebook or workspace'):
        grade([], None, nbs=course/'nbs')


def test_asked_lessons_and_points(tmp_path, course, insist):
    path = notebook(tmp_path/'a.ipynb', HEAD, GOOD)
    (tmp_path/'b.ipynb').write_text('no')
    grades = grade([path, tmp_path/'b.ipynb'], None, nbs=course/'nbs', lessons=['toys.bags'],
                   points={2: 10}, limits=LOW, sandbox=insist)
    assert [(r['student'], r['exercise'], r['outcome'], r['points'], r['possible'])
            for r in grades.rows] == [
        ('a', 'middle', 'passed', 10, 10), ('a', 'Bag.draw', 'not tried', 0, 1),
        ('b', '', 'error', 0, 0), ('b', 'middle', 'not tried', 0, 10),
        ('b', 'Bag.draw', 'not tried', 0, 1)]
    assert grades.summary()[1]['notes'] == 'this is not a notebook: it is not JSON'
    with pytest.raises(InputError, match='`toys.cars` is no lesson'):
        grade([path], None, nbs=course/'nbs', lessons=['toys.cars'])


def test_missing_walls_are_refused_or_told(tmp_path, course, monkeypatch):
    path = notebook(tmp_path/'a.ipynb', HEAD, GOOD)
    with monkeypatch.context() as m:
        said = sandbox.Testimony(off=dict(files='no Landlock'))
        m.setattr(Sandbox, '_testimony', lambda *_: said)
        row = grade([path], None, nbs=course/'nbs', sandbox=False).rows[0]
    assert (row['outcome'], row['judged'], row['sandbox']) == ('passed', 'outside', 'off: files')
    def refuse(*_): raise InputError("`sandbox`: this machine cannot … --no-sandbox")
    monkeypatch.setattr(Sandbox, 'talk', refuse)
    with pytest.raises(InputError, match='--no-sandbox'): grade([path], None, nbs=course/'nbs')


def test_the_kept_verdicts_are_not_for_everybody_to_write(course, insist, tmp_path):
    grade([notebook(tmp_path/'a.ipynb', HEAD, GOOD)], tmp_path/'g.csv', nbs=course/'nbs',
          limits=LOW, sandbox=insist)
    assert not (tmp_path/'g.cache.json').stat().st_mode & stat.S_IWOTH
