"What is said of a run: refused before it starts, followed, stopped at the server, its last words"
import inspect
import sys
from types import SimpleNamespace

import pytest

from dlcourse.core.errors import InputError
from dlcourse.federated import site_runs
from dlcourse.federated.flower import is_there, load_flower
from dlcourse.federated.processes import flower_says, start_program
from dlcourse.federated.site_runs import check_app, kept, last_words, run_at_sites

LOG = """\
\x1b[92mINFO \x1b[0m:      Starting logstream
\x1b[91mERROR \x1b[0m:     ServerApp raised an exception
Traceback (most recent call last):
  File "x.py", line 47, in number_of
    raise InputError(f"`{name}` must be …")
dlcourse.core.errors.InputError: `lr` must be a number from 1e-12 to 1000000.0, got 0
\x1b[91mERROR \x1b[0m:     Exit Code: 201
An unhandled exception occurred
"""
BOX = "╭─ Error ────╮\n│ Failed to load \x1b[1m'x'\x1b[0m. │\n│              │\n╰────────────╯\n"


@pytest.mark.parametrize('log, words', [
    (LOG, '`lr` must be a number from 1e-12 to 1000000.0, got 0'),
    (BOX, "Error Failed to load 'x'."), ('a\nValueError: no\n', 'ValueError: no'), ('', ''),
    ('one\n\ntwo', 'one two')])
def test_last_words_are_a_sentence(log, words): assert last_words(log) == words


def test_what_can_be_refused_is_refused_before_anything_starts(tmp_path):
    pytest.importorskip('torch')
    (tmp_path/'x').mkdir()
    def run(**options):
        out = options.pop('out', 'r.npz')
        return run_at_sites(tmp_path/'x', tmp_path/out, '127.0.0.1:1', **options)
    for options, name in (
            ({'run_config': {'num-rounds': 0}}, '`num-rounds`'), ({'app': 'os'}, 'no client_app'),
            ({'run_config': {'nonsense': 3}}, 'nonsense'), ({'app': '3'}, '`app`'),
            ({'round_timeout': float('inf')}, '`round_timeout`'), ({'out': 'r.txt'}, '`out`'),
            ({'round_timeout': float('nan')}, '`round_timeout`')):
        with pytest.raises(InputError, match=name): run(**options)
    check_app('a_module_that_the_server_alone_has', {'anything': 1})
    assert not list((tmp_path/'x').iterdir())


@pytest.fixture
def run(tmp_path):
    code = "print('\\x1b[92mstarted\\x1b[0m run 12', flush=True); import time; time.sleep(99)"
    with start_program('run', [sys.executable, '-c', code], tmp_path) as run: yield run


@pytest.mark.parametrize('code, words', [
    (0, 'Run 12 is stopped at the server too.'),
    (1, 'Run 12 goes on at the server: timed out after 60 s')])
def test_a_run_that_is_not_followed_is_stopped(run, monkeypatch, code, words):
    asked, told = [], []
    def says(home, *words):
        asked.append(words)
        return code, 'timed out after 60 s'
    monkeypatch.setattr(site_runs, 'flower_says', says)
    monkeypatch.setattr(site_runs, 'why_refused', lambda said: None)
    with pytest.raises(InputError, match='`seconds`'): site_runs._follow(run, 3., told.append)
    assert run.runs and site_runs._stop_at_server(run, 'x') == words and not run.runs
    assert told in ([], ['started run 12']) and asked == [('stop', '12', 'here')]


@pytest.mark.skipif(not is_there(), reason="Flower is not installed")
@pytest.mark.parametrize('error', [KeyboardInterrupt, BrokenPipeError])
def test_an_interrupt_stops_the_run_at_the_server(run, tmp_path, monkeypatch, error):
    def follow(*options): raise error
    told = []
    for name, stub in (('connection_fault', lambda *a: None), ('tell_flower', lambda *a: None),
                       ('start_program', lambda *a: run), ('_follow', follow),
                       ('flower_says', lambda home, *words: (0, ''))):
        monkeypatch.setattr(site_runs, name, stub)
    run.wait_for('started', 60)
    with pytest.raises(error): run_at_sites(tmp_path, tmp_path/'r.npz', tell=told.append)
    assert told == ['Run 12 is stopped at the server too.'] and not run.runs


def test_a_run_that_had_not_begun():
    run = SimpleNamespace(stop=lambda: None, said=lambda: 'Building')
    assert site_runs._stop_at_server(run, 'x') == 'No run had begun.'


@pytest.mark.skipif(not is_there(), reason="Flower is not installed")
def test_flower_says_and_stops_as_is_expected_here(tmp_path):
    from flwr.cli.run import run as command
    assert 'started run {' in inspect.getsource(inspect.getmodule(command))
    code, said = flower_says(tmp_path, 'stop', '--help')
    assert code == 0 and 'RUN_ID' in said
    assert flower_says(tmp_path, '--help', seconds=.01) == (1, 'timed out after 0.01 s')


@pytest.mark.skipif(not is_there(), reason="Flower is not installed")
@pytest.mark.parametrize('config, waits', [({'round-timeout': 7.}, [None, 7., 7.]),
                                           ({}, [None, 3., None])])
def test_rounds_wait_as_long_as_was_said_and_no_other_messages(config, waits):
    asked = []
    def send_and_receive(messages, *, timeout=None): asked.append(timeout)
    grid = SimpleNamespace(send_and_receive=send_and_receive)
    usual = load_flower().serverapp.ServerApp()
    @usual.main()
    def main(grid, context):
        def of(kind): return [SimpleNamespace(metadata=SimpleNamespace(message_type=kind))]
        grid.send_and_receive(of('query'))
        grid.send_and_receive(of('train'), timeout=3.)
        grid.send_and_receive(iter(of('evaluate.mine')))
    kept(usual)(grid, SimpleNamespace(run_config=config))
    assert asked == waits
