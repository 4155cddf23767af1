"Progress bars: silent where nobody looks, the same line left behind each time"
import os
import subprocess
import sys

import pytest

from dlcourse.core import bars
from dlcourse.core.bars import progress_bar


@pytest.fixture
def notebook(monkeypatch):
    "What a notebook is sent, drawing by drawing"
    sent = []

    class Handle:
        def update(self, data, **_): sent.append(data)

    def display(data, **_):
        sent.append(data)
        return Handle()

    monkeypatch.setattr(bars, 'in_notebook', lambda: True)
    monkeypatch.setattr('IPython.display.display', display)
    return sent


def test_nothing_is_written_where_nobody_looks(capfd):
    with progress_bar('Reading', 3) as update:
        for k in range(3): update(k + 1, note='a note')
    assert capfd.readouterr() == ('', '')


def test_a_bar_that_is_asked_for_leaves_its_last_line(capfd):
    with progress_bar('Reading', 3, shown=True, unit='files') as update:
        for k in range(3): update(k + 1, note=lambda k=k: f'number {k}')
    out, err = capfd.readouterr()
    assert out == '' and 'Reading · 3 of 3 files · number 2' in err and 'left' not in err


def test_megabytes_and_a_total_that_comes_late(capfd):
    with progress_bar('t.csv', shown=True, unit='bytes') as update:
        update(1e6)
        update(2.5e6, 4e6)
    assert 't.csv · 2.5 of 4.0 MB' in capfd.readouterr().err


def test_a_note_alone_says_what_is_being_done(capfd):
    with progress_bar('Auditing', shown=True) as update: update(note='counting [red]')
    assert 'Auditing · counting [red]' in capfd.readouterr().err


def test_an_error_inside_comes_through_and_the_bar_is_closed(capfd):
    with pytest.raises(KeyError), progress_bar('Reading', 2, shown=True) as update:
        update(1)
        raise KeyError
    assert '1 of 2' in capfd.readouterr().err


def test_a_notebook_gets_one_place_and_escaped_text(notebook):
    with progress_bar('<b>', 2, unit='steps') as update:
        update(1)
        update(2, note='done')
    assert len(notebook) == 2 and notebook[0]['text/plain'].startswith('<b> · 1 of 2 steps')
    last = notebook[-1]
    assert last['text/plain'] == '<b> · 2 of 2 steps · done'
    assert 'value="2" max="2"' in last['text/html'] and '<b>' not in last['text/html']


def test_a_bar_that_does_not_stay_is_empty_in_the_end(notebook):
    with progress_bar('Reading', 2, stays=False) as update: update(2)
    assert notebook[-1] == {'text/html': '', 'text/plain': ''}


def test_notes_are_made_only_when_drawn(notebook, monkeypatch):
    monkeypatch.setattr(bars, 'perf_counter', lambda: 0.) # No time passes
    made = []
    with progress_bar('Fast', 10_000) as update:
        for k in range(10_000): update(k + 1, note=lambda k=k: made.append(k) or str(k))
    assert made == [0, 9999]


@pytest.mark.skipif(os.name != 'posix', reason="a pseudo-terminal needs POSIX")
def test_a_terminal_shows_it_by_itself():
    import pty
    code = ("from dlcourse.core.bars import progress_bar\n"
            "with progress_bar('Reading', 2) as update: update(2)")
    ours, theirs = pty.openpty()
    env = os.environ | {'TERM': 'xterm'}
    subprocess.run([sys.executable, '-c', code], stderr=theirs, env=env, check=True)
    os.close(theirs)
    said = b''
    try:
        while chunk := os.read(ours, 4096): said += chunk
    except OSError: pass # The end of a pseudo-terminal on Linux
    os.close(ours)
    assert 'Reading · 2 of 2' in said.decode()
