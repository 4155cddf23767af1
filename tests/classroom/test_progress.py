"The record: several kernels at once, damaged files, and claims that are honest"
import io
import json
import multiprocessing
import re
import sqlite3
import sys
from contextlib import closing

import pytest

from dlcourse.classroom import exercises, progress
from dlcourse.classroom.checks import Result
from dlcourse.classroom.lessons import find_exercise
from dlcourse.classroom.progress import (
    AFTER,
    check_saved,
    hint,
    record_attempt,
    reset,
    solution,
    transaction,
)
from dlcourse.classroom.workspace import answer_cell, page_of, start
from dlcourse.core.errors import InputError

LESSON = 'transformers.attention'
MASK = find_exercise('causal_mask')


@pytest.fixture
def folder(tmp_path): return start(tmp_path/'work', lesson='attention').folder


@pytest.fixture
def database(folder): return folder/'.dlcourse'/'progress.db'


def attempt(folder, outcome='failed', held=1, claims=2, source='', **more):
    from types import SimpleNamespace as Claim
    found = [Claim(outcome='passed' if i < held else 'failed') for i in range(claims)]
    record_attempt(MASK, source or f'{outcome} {held}', Result(exercise=MASK.id, outcome=outcome, claims=tuple(found), **more), folder)


def stands(folder): return next(s for s in progress.progress(folder).exercises if s.exercise == MASK.id)


def rows(path):
    with closing(sqlite3.connect(path)) as con:
        return con.execute('select exercise, kind, outcome, held, claims, misconception from events order by id').fetchall()


# What is recorded


def test_an_attempt_is_written_down(folder, database):
    attempt(folder, 'failed', 1, 2, misconception="Everyone sees the future.")
    assert rows(database) == [(MASK.id, 'attempt', 'failed', 1, 2, "Everyone sees the future.")]
    with closing(sqlite3.connect(database)) as con:
        time, = con.execute('select time from events').fetchone()
    assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00', time)
    s = stands(folder)
    assert (s.state, s.attempts, s.held, s.claims, s.misconception, s.last) == ('failed', 1, 1, 2, "Everyone sees the future.", time)


def test_a_blank_is_no_attempt_and_the_same_answer_is_one(folder, database):
    attempt(folder, 'not tried')
    assert not database.exists()
    for source in ('a = 1', 'a = 1  \n', '\na = 1', 'a = 2'): attempt(folder, source=source)
    assert len(rows(database)) == 4 and stands(folder).attempts == 2


def test_nothing_is_recorded_outside_a_workspace(tmp_path):
    record_attempt(MASK, 'a', Result(exercise=MASK.id, outcome='failed'))
    assert not list(tmp_path.rglob('*.db'))
    for f in (hint, solution, reset, check_saved):
        with pytest.raises(InputError, match="is no workspace"): f('causal_mask')
    with pytest.raises(InputError, match="is no workspace"): progress.progress()


def test_a_check_on_a_page_is_heard_of_and_only_once(folder, monkeypatch):
    import importlib
    importlib.reload(progress)
    assert [f.__name__ for f in exercises.attempted].count('record_attempt') == 1
    monkeypatch.chdir(page_of(LESSON, folder).parent)
    for record in exercises.attempted: record(MASK, 'mine', Result(exercise=MASK.id, outcome='failed'))
    assert stands(folder).attempts == 1


def test_what_cannot_be_recorded_stops_nothing(folder, monkeypatch, capsys):
    def full(*args): raise sqlite3.OperationalError('database or disk is full')
    monkeypatch.setattr(progress, '_transaction', full)
    attempt(folder)
    assert 'dlcourse: this attempt was not recorded: database or disk is full' in capsys.readouterr().err


def test_the_saved_page_is_checked(folder, database):
    pytest.importorskip('torch')
    assert check_saved('causal_mask', folder).outcome == 'not tried' and not database.exists()
    for body, outcome in (('torch.ones(n, n).bool().triu()', 'failed'), ('torch.ones(n, n).bool().tril()', 'passed')):
        path = page_of(LESSON, folder)
        nb = json.loads(path.read_text(encoding='utf-8'))
        answer_cell(nb, MASK)['source'] = f'#| export\n#| exercise causal_mask\n%time\ndef causal_mask(n): return {body}'
        path.write_text(json.dumps(nb), encoding='utf-8')
        assert check_saved('causal_mask', folder).outcome == outcome
    assert [r[2] for r in rows(database)] == ['failed', 'passed'] and rows(database)[0][5].startswith("Everyone sees the future")
    assert 'tried' not in stands(folder).state


# Honest


@pytest.mark.parametrize('story, state', [
    ('', 'not tried'), ('failed', 'failed'), ('error', 'error'), ('not checked', 'not checked'), ('failed passed', 'passed'), ('passed failed', 'passed'),
    ('solution passed', AFTER), ('failed solution failed passed', AFTER), ('passed solution', 'passed'), ('passed solution reset passed', 'passed'),
    ('solution', 'not tried'), ('passed reset', 'not tried'), ('passed reset error', 'error'), ('solution reset passed', AFTER),
    ('solution passed reset passed', AFTER)])
def test_the_state_is_what_happened(folder, story, state):
    for event in re.findall('failed|error|not checked|passed|solution|reset', story):
        if event in ('solution', 'reset'): getattr(progress, event)('causal_mask', folder)
        else: attempt(folder, event)
    s = stands(folder)
    assert s.state == state and s.solution_seen == ('solution' in story)
    assert s.resets == story.count('reset') and bool(s.passed_at) == ('passed' in story)
    done = progress.progress(folder).lessons[0].passed
    assert done == state.startswith('passed')


def test_hints_come_one_at_a_time_and_are_remembered(folder):
    n = len(MASK.hints)
    assert n and stands(folder).hints == 0
    for taken in range(1, n + 1):
        found = hint('causal_mask', folder)
        assert found.texts[:-1] == tuple(f'Hint {i} of {n}. {t}' for i, t in enumerate(MASK.hints[:taken], 1)) and found.left == n - taken
        assert stands(folder).hints == taken
    assert "There are no more hints; `dlcourse solution causal_mask` shows the answer." in str(hint('causal_mask', folder))
    assert stands(folder).hints == n, "there were no more to take"


def test_the_solution_and_the_reset_say_what_they_did(folder):
    seen = solution('causal_mask', folder)
    assert seen.texts == (MASK.source,) and seen._repr_markdown_().startswith('```python\n#|')
    assert str(reset('causal_mask', folder)).startswith("`causal_mask` is blank again in nbs/07_transformers/02_attention.ipynb. If JupyterLab shows the page")
    for found in (seen, hint('causal_mask', folder)): json.dumps(found.to_dict())


# Told


def test_progress_is_told_in_words_a_table_and_json(folder):
    from rich.console import Console
    assert str(progress.progress(folder)).splitlines()[0].startswith('transformers.attention  0 of ')
    attempt(folder, 'failed', 1, 2)
    attempt(folder, 'error', 0, 2)
    found = progress.progress(folder)
    assert '  causal_mask  ✗ error, 1 of 2 claims hold  2' in str(found) and found.next.exercise == MASK.id
    console = Console(width=100, file=io.StringIO())
    console.print(found)
    for told in (console.file.getvalue(), str(found), found._repr_html_()):
        for text in ('causal_mask', '✗ error, 1 of 2 claims hold', f'Next: {MASK.id}'): assert text in told
    solution('causal_mask', folder)
    attempt(folder, 'passed', 2, 2)
    done = json.loads(json.dumps(progress.progress(folder).to_dict()))
    assert done['schema'] == 'dlcourse/progress/1' and '1 of them after the solution was seen' in done['summary'] and done['next'] != MASK.id
    lesson, = done['lessons']
    assert lesson['lesson'] == LESSON and lesson['passed'] == 1 and lesson['exercises'][0]['state'] == AFTER
    assert f'✓ {AFTER}' in str(progress.progress(folder))


def test_what_a_lesson_needs_is_read_from_its_imports(tmp_path):
    found = {x.lesson: x.needs for x in progress.progress(start('all').folder).lessons}
    assert 'fairness.counting' in found['fairness.groups'] and found['fairness.counting'] == ()


# Several at once


def _many(folder, barrier, n):
    barrier.wait()
    for i in range(n): attempt(folder, source=f'{multiprocessing.current_process().name} {i}')


def _hints(folder, barrier, n):
    barrier.wait()
    hint('causal_mask', folder)


def at_once(work, folder, processes=6, n=20):
    context = multiprocessing.get_context('spawn')
    barrier = context.Barrier(processes)
    started = [context.Process(target=work, args=(folder, barrier, n)) for _ in range(processes)]
    for p in started: p.start()
    for p in started: p.join(60)
    assert [p.exitcode for p in started] == [0]*processes


def test_several_kernels_write_at_once(folder, database):
    at_once(_many, folder)
    assert len(rows(database)) == 120 and stands(folder).attempts == 120


def test_several_kernels_meet_a_damaged_file(folder, database):
    database.write_bytes(b'spoilt'*1000)
    at_once(_many, folder, n=5)
    assert len(rows(database)) == 30
    assert len(list((folder/'.dlcourse'/'attic').iterdir())) == 1, "only the first sets it aside"


def test_a_hint_is_not_taken_twice(folder):
    at_once(_hints, folder, processes=4)
    assert stands(folder).hints == min(4, len(MASK.hints))


# Damage


def test_a_damaged_file_is_set_aside_with_a_message(folder, database, capsys):
    database.write_bytes(b'this is not a database, only text that is long enough to be looked at'*20)
    attempt(folder)
    said = r'the record of your progress was damaged; it was set aside as .dlcourse/attic/\S+progress.db, and a new one begun'
    assert re.search(said, capsys.readouterr().err)
    kept, = (folder/'.dlcourse'/'attic').iterdir()
    assert kept.read_bytes().startswith(b'this is not a database') and len(rows(database)) == 1
    attempt(folder, source='again')
    assert len(rows(database)) == 2 and capsys.readouterr().err == ''


def test_a_file_damaged_in_the_middle(folder, database, capsys):
    transaction(folder, lambda con: [progress._add(con, MASK.id, 'attempt', outcome='failed', held=0, answer=str(i)) for i in range(300)])
    whole = database.read_bytes()
    database.write_bytes(whole[:4096] + b'\xff'*4096 + whole[8192:])
    assert stands(folder).state == 'not tried' and 'was damaged' in capsys.readouterr().err
    attempt(folder)
    assert stands(folder).attempts == 1


def test_somebody_elses_database_is_set_aside(folder, database, capsys):
    with closing(sqlite3.connect(database)) as con: con.execute('create table events(x)')
    attempt(folder)
    assert 'was damaged' in capsys.readouterr().err and len(rows(database)) == 1


def test_a_newer_record_is_left_alone(folder, database, capsys):
    attempt(folder)
    with closing(sqlite3.connect(database)) as con: con.execute('pragma user_version = 7')
    with pytest.raises(InputError, match="`progress.db` is of version 7 and this dlcourse knows version 1; update dlcourse"): progress.progress(folder)
    attempt(folder, source='again')
    assert 'this attempt was not recorded: `progress.db` is of version 7' in capsys.readouterr().err and len(rows(database)) == 1


def test_a_failed_transaction_leaves_nothing(folder, database):
    attempt(folder)
    def half(con):
        progress._add(con, MASK.id, 'hint')
        raise ZeroDivisionError
    with pytest.raises(ZeroDivisionError): transaction(folder, half)
    assert len(rows(database)) == 1


def test_a_locked_record_is_waited_for(folder, database, monkeypatch, capsys):
    attempt(folder)
    connect = sqlite3.connect
    monkeypatch.setattr(progress.sqlite3, 'connect', lambda path, timeout, **more: connect(path, timeout=.05, **more))
    with closing(connect(database, isolation_level=None)) as other:
        other.execute('begin immediate')
        attempt(folder, source='again')
        assert 'this attempt was not recorded: database is locked' in capsys.readouterr().err
        other.execute('rollback')
    assert not (folder/'.dlcourse'/'attic').exists(), "locked is not damaged"


def test_it_loads_nothing_heavy():
    import subprocess
    code = ('import sys; from dlcourse.classroom import progress, workspace, package\n'
            'print([m for m in ("torch", "matplotlib", "rich", "nbdev", "IPython") if m in sys.modules])')
    env = dict(PYTHONPATH=':'.join(filter(None, sys.path)), PATH='')
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, env=env).stdout.strip() == '[]'
