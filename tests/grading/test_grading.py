"Grading: hostile and damaged submissions cost their own row only, and the table is safe to open"
import csv
import io
import os
import re
import signal
import stat
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from grading.made_up import GOOD, HEAD, HOSTILE, LESSON, LOW, SLEEPER, body, notebook

from dlcourse.core.errors import InputError
from dlcourse.core.pages import safe_cell
from dlcourse.grading import grading, sandbox
from dlcourse.grading.examiner import Examiner
from dlcourse.grading.grading import (
    GRADE_COLUMNS,
    POINTS,
    SPENT,
    WAITED,
    Grades,
    Kept,
    grade,
)
from dlcourse.grading.marks import Mark
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
    assert row['points'] == (2 if row['outcome'] == 'passed' else 0) and row['possible'] == 2
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
    passed = sum(row['outcome'] == 'passed' for row in rows)
    assert passed >= 4 and grades.frame['points'].sum() == 2*passed
    assert grades.frame.height == len(rows)
    ada = next(s for s in grades.summary() if s['student'] == 'ada')
    assert ada == dict(student='ada', passed=1, exercises=2, points=2, possible=3, notes='')


@pytest.mark.parametrize('cell, written',
                         [('=1+1', "'=1+1"), ('+1', "'+1"), ('-1', "'-1"), ('@x', "'@x"),
                          ('\t=1', "\t'=1"), (' =1', " '=1"), ('a=1', 'a=1'),
                          (';=1+1', ";'=1+1"), ('a; =1+1', "a; '=1+1"), ('a\t+1', "a\t'+1"),
                          ('a\n-1', "a\n'-1"), ('a\r\n@x', "a\r\n'@x"), ('a;b', 'a;b'),
                                           ('', ''), (-1, -1), (.5, .5), ('\ud800', '?')])
def test_no_formula_reaches_a_spreadsheet(cell, written): assert safe_cell(cell) == written


def test_lines_and_quotes_survive_the_table():
    row = dict.fromkeys(GRADE_COLUMNS, '') | dict(student='a,"b"\nc', points=1)
    text = Grades([row], 0).to_csv()
    assert next(csv.DictReader(io.StringIO(text)))['student'] == 'a,"b"\nc'
    assert text.splitlines()[0] == ','.join(f'"{c}"' for c in GRADE_COLUMNS)


@pytest.mark.parametrize('text', [';=1+1', 'a;=1+1;b', '=1+1', '\t=1+1', 'a"";=1+1', 'a\n;=1'])
def test_no_formula_stands_in_a_cell_however_the_table_is_split(text):
    row = dict.fromkeys(GRADE_COLUMNS, '') | dict(student=text, points=1)
    for delimiter in ',;\t':
        for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_NONE):
            cells = csv.reader(io.StringIO(Grades([row], 0).to_csv()), delimiter=delimiter,
                               quoting=quoting)
            assert not [c for line in cells for c in line if c.strip().startswith('=')]


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
        (tmp_path/'grades.cache.jsonl').write_text(damage)
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
    assert not (tmp_path/'g.cache.jsonl').stat().st_mode & stat.S_IWOTH


def test_every_level_of_the_scale_has_points(course, tmp_path):
    assert POINTS == {1: 1, 2: 2, 3: 3, 4: 4, 5: 5}
    for level in range(1, 6):
        cells = [c.replace('level=2', f'level={level}') for c in LESSON]
        notebook(tmp_path/'nbs'/'01_toys'/'01_bags.ipynb', *cells)
        page = notebook(tmp_path/'a.ipynb', HEAD)
        rows = grade([page], None, nbs=tmp_path/'nbs').rows
        assert [r['possible'] for r in rows] == [level, 1]
    with pytest.raises(InputError, match='`points` must be given by level, 1, 2, 3, 4, 5; got'):
        grade([page], None, nbs=tmp_path/'nbs', points={6: 1})


class Fake(Examiner):
    "Gives a verdict without running anything; raises where a cell says so"
    seeds = ()
    def __init__(self, *args, seed, **how): super().__init__(*args, seed=seed, **how)
    def grade(self, exercise, cell):
        Fake.seeds += (self.outside.seed,)
        if 'stop' in cell: raise KeyboardInterrupt
        return Mark('passed', seconds=10., seed=self.outside.seed)


@pytest.fixture
def quick(course, monkeypatch, tmp_path):
    monkeypatch.setattr(grading, 'Examiner', Fake)
    monkeypatch.setattr(Fake, 'seeds', ())
    def run(*sources, **how):
        paths = [notebook(tmp_path/'in'/f'{i}.ipynb', HEAD, *[
            f'#| exercise {name}\n{text}'
            for name, text in zip(('middle', 'Bag.draw'), s, strict=False)
        ]) for i, s in enumerate(sources)]
        return grade(paths, tmp_path/'g.csv', **dict(nbs=course/'nbs') | how)
    return run


def test_what_was_graded_before_an_interrupt_is_kept(quick, tmp_path):
    with pytest.raises(KeyboardInterrupt): quick(['a'], ['b'], ['stop'], ['d'])
    rows = [r for r in csv.DictReader(io.StringIO((tmp_path/'g.csv').read_text()))
            if r['exercise'] == 'middle']
    assert [r['outcome'] for r in rows] == ['passed', 'passed', 'not checked', 'not checked']
    assert rows[2]['message'].startswith('not reached: grading was interrupted')
    again = quick(['a'], ['b'], ['c'], ['d'])
    assert again.graded == 2 and again.summary()[2]['notes'] == ''


def test_a_verdict_is_on_disk_when_the_next_is_begun(quick, tmp_path, monkeypatch):
    seen = []
    before = Fake.grade
    def grade_and_look(self, *args):
        seen.append(len((tmp_path/'g.cache.jsonl').read_text().splitlines()))
        return before(self, *args)
    monkeypatch.setattr(Fake, 'grade', grade_and_look)
    quick(['a', 'x'], ['b'], ['c'])
    assert seen == [0, 1, 2, 3]
    with open(tmp_path/'g.cache.jsonl', 'a') as f: f.write('{"key": "half')
    assert quick(['a', 'x'], ['b'], ['e']).graded == 1
    assert len(Kept(tmp_path/'g.csv').marks) == 5


def test_a_submission_has_a_budget(quick):
    grades = quick(['a', 'b'], ['c', 'd'], budget=5.)
    assert [r['outcome'] for r in grades.rows] == ['passed', 'not checked']*2
    assert {r['message'] for r in grades.rows if r['outcome'] == 'not checked'} == {SPENT}
    assert grades.summary()[0]['notes'] == SPENT and grades.graded == 2
    assert [r['outcome'] for r in quick(['a', 'b'], ['c', 'd'], budget=5.).rows] == ['passed']*4


def test_what_only_the_clock_ended_costs_what_an_answer_may_use(quick, monkeypatch):
    mark = Mark('not checked', 'late', seconds=.1, sandbox='on', lasting=False)
    monkeypatch.setattr(Fake, 'grade', lambda *_: mark)
    limits = Limits(cpu=30)
    assert quick(['a', 'b'], budget=25., limits=limits).rows[1]['message'] == SPENT
    assert quick(['a', 'b'], budget=35., limits=limits).rows[1]['message'] == 'late'
    unfair = Mark('not checked', 'the reference does not pass here', lasting=False)
    monkeypatch.setattr(Fake, 'grade', lambda *_: unfair)
    assert quick(['e', 'f'], budget=25., limits=limits).rows[1]['message'] == unfair.message


def test_who_sleeps_uses_up_a_budget_too(quick, monkeypatch):
    mark = Mark('passed', seconds=.1, clock=60., sandbox='on')
    monkeypatch.setattr(Fake, 'grade', lambda *_: mark)
    rows = quick(['a', 'b'], ['c', 'd'], budget=29.).rows
    assert [r['message'] for r in rows] == ['', WAITED]*2
    assert {r['outcome'] for r in quick(['e', 'f'], budget=31.).rows} == {'passed'}


def test_each_grading_draws_a_new_seed(quick):
    first, second = quick(['a']), quick(['b'])
    assert first.seed != second.seed and Fake.seeds == (first.seed, second.seed)
    assert [r['seed'] for g in (first, second) for r in g.rows if r['seed'] is not None] == [
        first.seed, second.seed]
    kept = quick(['a'])
    assert kept.graded == 0 and kept.rows[0]['seed'] == first.seed != kept.seed
    assert quick(['a'], seed=first.seed).graded == 0
    other = quick(['a'], seed=5)
    assert (other.graded, other.seed, other.rows[0]['seed']) == (1, 5, 5)
    assert quick(['a'], seed=5).graded == 0 and quick(['a'], seed=6).graded == 1
    for seed in (-1, 1 << 32):
        with pytest.raises(InputError, match='`seed` must be a whole number'):
            quick(['a'], seed=seed)


def test_what_is_missing_is_an_error(course, tmp_path):
    here = notebook(tmp_path/'a.ipynb', HEAD)
    with pytest.raises(InputError, match=r'there is no .*b\.ipynb, .*c\.ipynb; check the name'):
        grade([here, tmp_path/'b.ipynb', tmp_path/'c.ipynb'], None, nbs=course/'nbs')
    (tmp_path/'gone.ipynb').symlink_to(tmp_path/'nowhere.ipynb')
    row = grade([tmp_path/'gone.ipynb'], None, nbs=course/'nbs').rows[0]
    assert row['message'] == 'this is a link; hand in what it leads to'


def test_the_table_lies_over_nothing_else(course, tmp_path):
    page = notebook(tmp_path/'a.ipynb', HEAD)
    inner = notebook(tmp_path/'ada'/'nbs'/'a.ipynb', HEAD)
    before = page.read_bytes(), inner.read_bytes()
    (tmp_path/'link').symlink_to(page)
    os.link(page, tmp_path/'twin')
    os.link(page, tmp_path/'kept.cache.jsonl')
    lesson = course/'nbs'/'01_toys'/'01_bags.ipynb'
    spelled = f'{tmp_path}/ada/../a.ipynb'
    outs = [page, 'link', 'twin', spelled, inner, 'kept.csv', lesson]
    for out in outs:
        with pytest.raises(InputError, match='is read, or written already; give each'):
            grade([page, tmp_path/'ada'], tmp_path/out, nbs=course/'nbs')
    for out, kind in dict(ada='a folder').items() | {('/dev/null', 'a device or a pipe')}:
        with pytest.raises(InputError, match=f'is {kind}; give the name of a file'):
            grade([page], tmp_path/out, nbs=course/'nbs')
    assert (page.read_bytes(), inner.read_bytes()) == before
    (tmp_path/'g.csv').symlink_to(tmp_path/'real.csv')
    grade([page], tmp_path/'g.csv', nbs=course/'nbs')
    assert (tmp_path/'g.csv').is_symlink() and 'toys.bags' in (tmp_path/'real.csv').read_text()


def test_a_full_disk_is_told_with_the_name_of_the_file(quick, tmp_path, monkeypatch):
    quick(['a'])
    def full(*_): raise OSError(28, 'No space left on device')
    with monkeypatch.context() as m:
        m.setattr(grading, '_line', full)
        with pytest.raises(OSError, match=r"No space left on device: '.*g\.cache\.jsonl'"):
            quick(['b'])


def test_names_can_be_printed(course, tmp_path):
    names = ['a\x1b[31m', 'b\n=1', 'c\u202e', os.fsdecode(b'd\xff')]
    paths = [notebook(tmp_path/f'{n}.ipynb', HEAD) for n in names]
    grades = grade(paths, tmp_path/'g.csv', nbs=course/'nbs')
    found = {r['student'] for r in grades.rows}
    assert len(found) == 4 and all(map(str.isprintable, found))
    assert (tmp_path/'g.csv').read_text(encoding='utf-8').isascii() is False


STOPPABLE = '''import sys
from dlcourse.grading.grading import grade
from grading.made_up import LOW
try: grade(sys.argv[1:-2], sys.argv[-2], nbs=sys.argv[-1], limits=LOW, sandbox=False)
except KeyboardInterrupt as e: sys.exit(f'stopped: {e}')
'''


def families():
    "Process → its parent, of all that have not ended"
    found = {}
    for place in Path('/proc').glob('[0-9]*/stat'):
        with suppress(OSError):
            state, parent = place.read_text().rpartition(')')[2].split()[:2]
            if state != 'Z': found[int(place.parent.name)] = int(parent)
    return found


def below(pid):
    "All that a process has started, and what these have started"
    known, found = families(), {pid}
    for _ in range(9): found |= {child for child, parent in known.items() if parent in found}
    return found - {pid}


@pytest.mark.skipif(sys.platform != 'linux', reason="processes are looked up as Linux shows them")
@pytest.mark.parametrize('number', ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGKILL'])
def test_who_is_stopped_keeps_what_is_done_and_leaves_nobody(course, tmp_path, number):
    kept, out = tmp_path/'g.cache.jsonl', tmp_path/'g.csv'
    paths = [notebook(tmp_path/'in'/f'{i}.ipynb', HEAD, source)
             for i, source in enumerate([GOOD, '#| exercise middle\n' + SLEEPER, GOOD + ' '])]
    words = [sys.executable, '-c', STOPPABLE, *map(str, [*paths, out, course/'nbs'])]
    env = os.environ | dict(PYTHONPATH=str(Path(__file__).parents[1])) # For its `grading.made_up`
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env=env) as process:
        def wait(done):
            for _ in range(3000):
                if done(): return
                time.sleep(.1)
            raise AssertionError(process.poll())
        wait(lambda: kept.exists() and kept.stat().st_size)
        wait(lambda: len(below(process.pid)) > 2) # Warm, keeper and the child that sleeps
        children = below(process.pid)
        process.send_signal(getattr(signal, number))
        if number != 'SIGKILL': process.send_signal(signal.SIGTERM) # Who is impatient
        said = process.stderr.read()
    wait(lambda: not children & families().keys())
    assert len(kept.read_text().splitlines()) == 1
    assert sorted(p.name for p in tmp_path.iterdir() if p.suffix == '.part') == []
    if number == 'SIGKILL': return
    assert process.returncode == 1 and said == f'stopped: what was graded so far stands in {out}\n'
    rows = [r for r in csv.DictReader(io.StringIO(out.read_text())) if r['exercise'] == 'middle']
    assert [r['outcome'] for r in rows] == ['passed', 'not checked', 'not checked']


@pytest.mark.parametrize('odd', [
    dict(seed='x'), dict(seed=1.5), dict(seed=True), dict(seed=1 << 32), dict(budget=-1),
    dict(budget=float('nan')), dict(budget=None), dict(limits=None), dict(limits=3),
    dict(points=[]), dict(points={1: -1}), dict(points={1: 'x'}), dict(points={1: 1.5}),
    dict(lessons=['x']), dict(lessons='x'), dict(lessons=[3]), dict(nbs=3), dict(out='a\0b'),
    dict(out='.'), dict(out=b'x'), dict(out='a'*5000),
])
def test_odd_options_are_one_sentence(odd, course, tmp_path):
    page = notebook(tmp_path/'ada.ipynb', HEAD, GOOD)
    if odd == dict(points=[]): odd = dict(points=[1])
    with pytest.raises(InputError): grade([page], **dict(out=None, nbs=course/'nbs') | odd)


@pytest.mark.parametrize('odd', [None, 3, b'x', [None], [b'x'], ['a\0b'], ['a'*5000], [[]]])
def test_odd_submissions_are_one_sentence(odd, course):
    with pytest.raises(InputError, match='`submissions`'): grade(odd, None, nbs=course/'nbs')


def test_one_submission_and_one_lesson_need_no_list(course, insist, tmp_path):
    page = notebook(tmp_path/'ada.ipynb', HEAD, GOOD)
    found = grade(page, None, lessons='toys.bags', nbs=course/'nbs', sandbox=insist, limits=LOW)
    assert {row['student'] for row in found.rows} == {'ada'}
