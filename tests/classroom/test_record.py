"The record: several kernels at once, damaged lines, and what an older course has written"
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from classroom.attempts import MASK, at_once, attempt, many, one_hint, stands

from dlcourse.classroom import record as records
from dlcourse.classroom.checks import Result
from dlcourse.classroom.help import check_saved, hint, reset, solution
from dlcourse.classroom.progress import progress
from dlcourse.classroom.record import event, record, record_attempt
from dlcourse.core.errors import InputError
from dlcourse.core.locks import locked

LESSON, OLD = 'transformers.attention', Path(__file__).parent/'old'


@pytest.fixture
def folder(attention): return attention


@pytest.fixture
def lines(folder): return folder/'.dlcourse'/'progress.jsonl'


def events(path):
    return [json.loads(line) for line in path.read_text(encoding='utf-8').splitlines()[1:]]


def kept(folder): return sorted((folder/'.dlcourse'/'attic').iterdir())


# What is recorded


def test_an_attempt_is_written_down(folder, lines):
    attempt(folder, 'failed', 1, 2, misconception="Everyone sees the future.")
    new, = events(lines)
    time, answer = new.pop('time'), new.pop('answer')
    assert re.fullmatch(r'\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00', time) and len(answer) == 64
    assert new == dict(
        exercise=MASK.id, kind='attempt', outcome='failed', held=1, claims=2,
        misconception="Everyone sees the future.", seconds=0.)
    assert lines.read_text().splitlines()[0] == '{"schema": "dlcourse/record/1"}'
    s = stands(folder)
    assert (s.state, s.attempts, s.held, s.claims, s.last) == ('failed', 1, 1, 2, time)


def test_what_was_done_can_be_read_on_a_full_disk(folder, lines, monkeypatch):
    attempt(folder, 'failed')
    before = lines.read_bytes()
    def full(*args): raise OSError(28, 'No space left on device')
    for name in ('_read', '_begin'): monkeypatch.setattr(records, name, full)
    assert stands(folder).state == 'failed'
    assert '0 of 5 exercises passed' in repr(progress(folder))
    lines.unlink()
    assert records.history(folder) == []
    with pytest.raises(InputError, match='No space left on device; attempts, hints'):
        hint(MASK.id, folder)
    lines.write_bytes(before)


def test_a_blank_is_no_attempt_and_the_same_answer_is_one(folder, lines):
    attempt(folder, 'not tried')
    assert not lines.exists()
    for source in ('a = 1', 'a = 1  \n', '\na = 1', 'a = 2'): attempt(folder, source=source)
    assert len(events(lines)) == 4 and stands(folder).attempts == 2


def test_nothing_is_recorded_outside_a_workspace(tmp_path):
    record_attempt(MASK, 'a', Result(exercise=MASK.id, outcome='failed'))
    assert not list(tmp_path.rglob('*.jsonl'))
    for f in (hint, solution, reset, check_saved):
        with pytest.raises(InputError, match="is no workspace"): f('causal_mask')
    with pytest.raises(InputError, match="is no workspace"): progress()


def test_what_cannot_be_recorded_stops_nothing(folder, lines, capsys):
    lines.mkdir(parents=True)
    attempt(folder)
    assert 'dlcourse: this attempt was not recorded: ' in capsys.readouterr().err


def test_what_cannot_be_written_can_be_read(folder, lines, monkeypatch):
    attempt(folder)
    before = progress(folder)
    monkeypatch.setattr(records.os, 'access', lambda *args: False) # As on a read-only disk
    monkeypatch.setattr(records, 'locked', None)
    lines.write_bytes(lines.read_bytes() + b'{"damaged')
    assert progress(folder) == before and len(records.history(folder)) == 1
    lines.unlink()
    assert records.history(folder) == []


def test_what_goes_wrong_in_between_leaves_nothing(folder, lines):
    attempt(folder)
    with pytest.raises(ZeroDivisionError), record(folder) as found:
        found.append(event(MASK, 'hint'))
        raise ZeroDivisionError
    assert len(events(lines)) == 1


# Several at once


def test_several_kernels_write_at_once(folder, lines):
    at_once(many, folder)
    assert len(events(lines)) == 120 and stands(folder).attempts == 120


def test_several_kernels_meet_a_damaged_file(folder, lines):
    lines.write_bytes(b'spoilt'*1000)
    at_once(many, folder, n=5)
    assert len(events(lines)) == 30
    assert len(kept(folder)) == 1, "only the first sets it aside"


def test_a_hint_is_not_taken_twice(folder):
    at_once(one_hint, folder, processes=4)
    assert stands(folder).hints == min(4, len(MASK.hints))


def test_who_holds_the_record_is_waited_for(folder, monkeypatch, capsys):
    attempt(folder)
    monkeypatch.setattr(records, 'WAIT', .05)
    with locked(folder/'.dlcourse'/'progress.lock'):
        attempt(folder, source='again')
        said = 'this attempt was not recorded: somebody else has been writing for 0.05 seconds'
        assert said in capsys.readouterr().err
    attempt(folder, source='again')
    assert stands(folder).attempts == 2


# Damage


@pytest.mark.parametrize('damage, left', [
    (lambda data: data[:-40], 2), (lambda data: data[:-1], 3), (lambda data: b'', 0),
    (lambda data: data.replace(b'{"schema"', b'{"shame"'), 3),
    (lambda data: data.replace(b'"hint"', b'"hunt"'), 2),
    (lambda data: data.replace(b'"held": 1', b'"held": "x"'), 1),
    (lambda data: b'\xff\x00'*400 + data, 3), (lambda data: data + b'[]\n', 3)])
def test_a_damaged_line_costs_itself_only(folder, lines, capsys, damage, left):
    attempt(folder, source='a')
    hint('causal_mask', folder)
    attempt(folder, source='b')
    before = lines.read_bytes()
    lines.write_bytes(damage(before))
    with record(folder) as found: assert len(found) == left
    said = r'of your progress was damaged; it was set aside as .dlcourse/attic/\S+progress.jsonl'
    assert re.search(said, capsys.readouterr().err)
    assert kept(folder)[0].read_bytes() == damage(before)
    attempt(folder, source='c')
    assert len(events(lines)) == left + 1 and capsys.readouterr().err == ''


def test_a_newer_record_is_left_alone(folder, lines, capsys):
    lines.write_text('{"schema": "dlcourse/record/7"}\n{"what": "ever"}\n')
    with pytest.raises(InputError, match="says dlcourse/record/7 .* knows dlcourse/record/1; "
                                         "update dlcourse"):
        progress(folder)
    attempt(folder, source='again')
    assert 'this attempt was not recorded: `progress.jsonl` says' in capsys.readouterr().err
    assert len(lines.read_text().splitlines()) == 2


# What an older course has written


def test_the_database_of_an_older_course_is_read_once(folder, lines, capsys):
    old = folder/'.dlcourse'/'progress.db'
    shutil.copy(OLD/'progress.db', old)
    s = stands(folder)
    assert (s.state, s.attempts, s.held, s.claims, s.hints) == ('passed', 2, 2, 2, 1)
    attend = next(s for s in progress(folder).exercises if s.name == 'attend')
    assert attend.solution_seen and attend.state == 'not tried'
    assert not old.exists() and kept(folder)[0].read_bytes() == (OLD/'progress.db').read_bytes()
    assert [e['kind'] for e in events(lines)] == ['attempt', 'hint', 'attempt', 'solution',
                                                  'attempt']
    attempt(folder, 'failed')
    assert stands(folder).attempts == 3 and capsys.readouterr().err == ''


@pytest.mark.parametrize('data', [b'no database'*100, (OLD/'progress.db').read_bytes()[:5000], b''])
def test_a_damaged_database_of_an_older_course_is_set_aside(folder, lines, capsys, data):
    (folder/'.dlcourse'/'progress.db').write_bytes(data)
    attempt(folder)
    assert 'was damaged; it was set aside' in capsys.readouterr().err
    assert len(events(lines)) == 1 and kept(folder)[0].read_bytes() == data


def test_it_loads_nothing_heavy():
    code = ('import sys; from dlcourse.classroom import page, start, package\n'
            'print([m for m in ("torch", "matplotlib", "rich", "nbdev", "IPython") if m in '
            'sys.modules])')
    env = dict(PYTHONPATH=':'.join(filter(None, sys.path)), PATH='')
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, env=env)
    assert done.stdout.strip() == '[]', done.stderr


def test_half_a_character_is_kept_and_read_again(folder, lines):
    with record(folder) as found: found.append(dict(event(MASK, 'hint'), more='\ud800'))
    with record(folder) as found: assert found[-1]['more'] == '\ud800'


def test_a_record_that_is_no_file_is_one_sentence(folder, lines):
    lines.unlink(missing_ok=True)
    lines.mkdir()
    with pytest.raises(InputError, match='is no file; move it away'):
        with record(folder): pass
