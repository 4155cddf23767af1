"A search in a file: it goes on after any death, and runs every trial it promised exactly once"
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tuning_runs import SPACE, broken, hill, slow_hill

from dlcourse.core.errors import InputError
from dlcourse.training.studies import is_alive, stored, study, tune
from dlcourse.training.tuning import Between

optuna = pytest.importorskip('optuna')


def trials(of, state='COMPLETE'): return [t for t in of.trials if t.state.name == state]
def chosen(of): return {t.user_attrs['seed']: t.params for t in trials(of)}


def test_tpe_is_optunas_and_finds_the_top(tmp_path):
    ours = tune(hill, SPACE, tmp_path/'s.db', 14)
    assert ours.best_params['a'] == pytest.approx(1.5, abs=.8)
    theirs = optuna.create_study(direction='maximize')
    def objective(trial):
        a = trial.suggest_float('a', -4, 4)
        trial.suggest_float('b', 1e-3, 1, log=True)
        trial.suggest_int('k', 1, 5)
        trial.suggest_categorical('kind', ('x', 'y'))
        return -(a - 1.5)**2 + trial.number*1e-9
    for k in range(14):
        theirs.sampler = optuna.samplers.TPESampler(seed=k)
        theirs.optimize(objective, 1)
    assert [t.params for t in ours.trials] == [t.params for t in theirs.trials]
    assert [t.value for t in ours.trials] == [t.value for t in theirs.trials]


def test_search_goes_on_and_never_past_its_number(tmp_path):
    first = tune(hill, SPACE, tmp_path/'s.db', 2, sampler='random')
    again = tune(hill, SPACE, tmp_path/'s.db', 5, sampler='random')
    whole = tune(hill, SPACE, tmp_path/'t.db', 5, sampler='random')
    assert chosen(again) == chosen(whole) and len(again.trials) == 5
    assert first.study_name == again.study_name
    tune(broken, SPACE, tmp_path/'s.db', 5)
    assert len(study(tmp_path/'s.db').trials) == 5
    assert len(tune(hill, SPACE, tmp_path/'s.db', 2, name='other').trials) == 2


def test_failure_is_noted_and_replaced(tmp_path):
    def once(config, seed):
        if seed == 1: return broken(config, seed)
        return float('nan') if seed == 2 else seed
    with pytest.raises(ValueError, match='no good at 1') as e:
        tune(once, SPACE, tmp_path/'s.db', 4)
    assert 'call again to go on' in e.value.__notes__[-1]
    found = tune(once, SPACE, tmp_path/'s.db', 4)
    assert [(t.state.name, t.value, t.user_attrs['seed']) for t in found.trials] == [
        ('COMPLETE', 0., 0), ('FAIL', None, 1), ('COMPLETE', -np.inf, 2), ('COMPLETE', 3., 3),
        ('COMPLETE', 4., 4)]
    assert found.trials[1].user_attrs['error'] == 'ValueError: no good at 1'


def environment(tmp_path, nap):
    here = Path(__file__).parent
    path = os.pathsep.join([str(here.parents[1]), str(here.parent), str(here)])
    return os.environ | dict(PYTHONPATH=path, BEGUN=str(tmp_path/'begun'), NAP=str(nap))


def test_killed_search_is_taken_up_with_the_same_trial(tmp_path, monkeypatch):
    store, begun = tmp_path/'s.db', tmp_path/'begun'
    script = Path(__file__).with_name('tuning_runs.py')
    process = subprocess.Popen([sys.executable, str(script), str(store)],
                               env=environment(tmp_path, 3600))
    try:
        while not begun.exists() and process.poll() is None: time.sleep(.05)
        left, = trials(study(store), 'RUNNING')
        assert is_alive(store, left.user_attrs['worker'])
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    assert not is_alive(store, left.user_attrs['worker'])
    monkeypatch.setenv('BEGUN', str(begun))
    monkeypatch.setenv('NAP', '0')
    found = tune(slow_hill, SPACE, store, 5, sampler='random')
    assert [t.number for t in trials(found, 'FAIL')] == [left.number] and len(trials(found)) == 5
    retried, = [t for t in trials(found) if t.user_attrs['seed'] == left.user_attrs['seed']]
    assert retried.params == left.params
    assert chosen(found) == chosen(tune(hill, SPACE, tmp_path/'t.db', 5, sampler='random'))
    assert begun.read_text().split() == ['0', '0', '1', '2', '3', '4']
    kept = ('.all.lock', left.user_attrs['worker'] + '.lock')
    assert not [p for p in tmp_path.glob('*.lock') if not p.name.endswith(kept)]


@pytest.mark.slow
def test_two_processes_make_the_trials_of_one(tmp_path, monkeypatch):
    for name, value in environment(tmp_path, .3).items(): monkeypatch.setenv(name, value)
    found = tune(slow_hill, SPACE, tmp_path/'s.db', 5, processes=2, sampler='random')
    assert len(found.trials) == len(trials(found)) == 5
    assert chosen(found) == chosen(tune(hill, SPACE, tmp_path/'t.db', 5, sampler='random'))


@pytest.mark.slow
def test_processes_take_an_objective_of_a_page_and_hand_its_error_back(tmp_path):
    found = tune(lambda config, seed: config['a'] + seed, SPACE, tmp_path/'s.db', 3, processes=2,
                 sampler='random')
    assert sorted(chosen(found)) == [0, 1, 2]
    with pytest.raises(ValueError, match='no good at') as e:
        tune(broken, SPACE, tmp_path/'u.db', 2, processes=2)
    assert 'call again to go on' in e.value.__notes__[-1]


@pytest.mark.parametrize('how, says', [
    (dict(sampler='grid'), '`sampler` must be'), (dict(processes=0), '`trials` and `processes`'),
    (dict(trials=0), '`trials` and `processes`')])
def test_what_cannot_work_says_so(tmp_path, how, says):
    with pytest.raises(InputError, match=says):
        tune(hill, SPACE, tmp_path/'s.db', **(dict(trials=2) | how))


def test_a_folder_that_is_not_there_and_an_objective_that_cannot_travel(tmp_path):
    with pytest.raises(InputError, match='`path` must be in a folder'):
        study(tmp_path/'no'/'s.db')
    held = (i for i in ())
    with pytest.raises(InputError, match='sent to another process'):
        tune(lambda config, seed: 1. if held else 0., SPACE, tmp_path/'s.db', 2, processes=2)


OTHER = (dict(a=(1, 2)), dict(a=Between(low=0, high=1), b=Between(low=0, high=1)),
         dict(a=Between(low=0, high=2)), dict(b=(1, 2)))


@pytest.mark.parametrize('space', OTHER)
def test_another_space_is_refused_before_anything_is_tried(space, tmp_path):
    def objective(config, seed): return 0.
    tune(objective, dict(a=Between(low=0, high=1)), tmp_path/'s.db', 1)
    with pytest.raises(InputError, match="`space` differs from that of the search 'study'"):
        tune(objective, space, tmp_path/'s.db', 2)
    found = tune(objective, dict(a=Between(low=0, high=1)), tmp_path/'s.db', 2)
    assert [t.state.name for t in found.trials] == ['COMPLETE']*2
    tune(objective, space, tmp_path/'s.db', 1, name='another')


@pytest.mark.parametrize('space, says', [
    (dict(a=[1, 2]), 'a tuple of choices for each name'), (dict(a=()), 'a tuple of choices'),
    ({}, '`space` must be a dict'), (dict(a=((1, 2), (3,))), 'choices that a file can hold')])
def test_a_space_that_holds_nothing_is_refused(space, says, tmp_path):
    with pytest.raises(InputError, match=says): tune(hill, space, tmp_path/'s.db', 1)
    assert not (tmp_path/'s.db').exists() or not study(tmp_path/'s.db').trials


def test_bytes_that_are_no_text_in_a_store_are_a_fault_of_the_store(tmp_path):
    path = tmp_path/'search.db'
    study(path)
    data = path.read_bytes()
    at = data.index(b'CREATE TABLE')
    path.write_bytes(data[:at] + b'\xd5' + data[at + 1:])
    with pytest.raises(InputError, match='cannot be used as a store of searches'), stored(path):
        study(path)
    with pytest.raises(UnicodeDecodeError), stored(path): b'\xd5a'.decode()
