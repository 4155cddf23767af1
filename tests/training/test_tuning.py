"Searches find what is known to be best, and a killed one goes on where it was"
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hyp_settings
from hypothesis import strategies as st
from scipy import stats
from torch import nn
from tuning_runs import SPACE, broken, hill, slow_hill

from dlcourse.core.errors import InputError
from dlcourse.training import tuning
from dlcourse.training.tuning import Between

optuna = pytest.importorskip('optuna')


def trials(study, state='COMPLETE'): return [t for t in study.trials if t.state.name == state]
def chosen(study): return {t.user_attrs['seed']: t.params for t in trials(study)}


def test_range_test_is_plain_sgd_at_a_rising_rate():
    x, y = torch.randn(60, 4, dtype=torch.float64), torch.randn(60, 1, dtype=torch.float64)
    model = nn.Linear(4, 1).double()
    w, b, want = *(p.detach().numpy().copy() for p in model.parameters()), []
    rates, losses = tuning.lr_range_test(model, [(x[:30], y[:30]), (x[30:], y[30:])], nn.functional.mse_loss, 1e-3, .1, 7)
    np.testing.assert_allclose(rates, np.logspace(-3, -1, 7))
    for i, rate in enumerate(rates):
        a, t = (v[30*(i % 2):][:30].numpy() for v in (x, y))
        off = a @ w.T + b - t
        want.append((off**2).mean())
        w, b = w - rate*2*off.T @ a/30, b - rate*2*off.mean(0)
    np.testing.assert_allclose(losses, want)


@pytest.mark.parametrize('how', [dict(low=0.), dict(low=2., high=1.), dict(steps=1)])
def test_range_that_is_none_is_refused(how):
    with pytest.raises(InputError, match='`low` must be above 0'): tuning.lr_range_test(nn.Linear(1, 1), [], None, **how)


def test_drawn_values_have_the_distribution():
    got = tuning.draw(SPACE, 1500, seed=3)
    assert stats.kstest([c['a'] for c in got], stats.uniform(-4, 8).cdf).pvalue > .001
    assert stats.kstest([c['b'] for c in got], stats.loguniform(1e-3, 1).cdf).pvalue > .001
    assert stats.chisquare(np.bincount([c['k'] for c in got])[1:]).pvalue > .001
    assert stats.binomtest(sum(c['kind'] == 'x' for c in got), 1500).pvalue > .001


@pytest.mark.parametrize('bad', [dict(low=1, high=1), dict(low=0, high=1, log=True), dict(low=0, high=np.inf), dict(low=np.nan, high=1)])
def test_empty_ranges_are_refused(bad):
    with pytest.raises(InputError, match='`low` must be below `high`'): Between(**bad)


@hyp_settings(deadline=None, max_examples=60)
@given(n=st.integers(1, 40), eta=st.integers(2, 5), extra=st.integers(0, 200), seed=st.integers(0, 9))
def test_halving_finds_the_best_of_constant_scores_within_its_budget(n, eta, extra, seed):
    score, total = np.random.default_rng(seed).permutation(n), [0]*n
    def train(k, epochs, state):
        assert state == (total[k] or None) and epochs >= 1
        total[k] += epochs
        return float(score[k]), total[k]
    rungs, left = 1, n
    while left > 1: rungs, left = rungs + 1, max(left//eta, 1)
    found = tuning.successive_halving(train, range(n), rungs*n + extra, eta)
    assert score[found.config] == n - 1
    assert found.spent == sum(total) <= rungs*n + extra
    assert total[found.config] == max(total) == found.state


def test_random_search_trains_all_equally():
    found = tuning.random_search(lambda k, epochs, state: (float('nan') if k == 0 else -(k - 3.)**2, epochs), range(7), 30)
    assert (found.config, found.score, found.state, found.spent) == (3, 0., 4, 28)
    for configs, budget in ((range(7), 6), ([], 6)):
        with pytest.raises(InputError, match='`budget` must give'): tuning.random_search(None, configs, budget)
    with pytest.raises(InputError, match='`eta` must be 2'): tuning.successive_halving(None, range(9), 26)


def test_tpe_is_optunas_and_finds_the_top(tmp_path):
    ours = tuning.tune(hill, SPACE, tmp_path/'s.db', 14)
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
    first = tuning.tune(hill, SPACE, tmp_path/'s.db', 2, sampler='random')
    again = tuning.tune(hill, SPACE, tmp_path/'s.db', 5, sampler='random')
    whole = tuning.tune(hill, SPACE, tmp_path/'t.db', 5, sampler='random')
    assert chosen(again) == chosen(whole) and len(again.trials) == 5 and first.study_name == again.study_name
    tuning.tune(broken, SPACE, tmp_path/'s.db', 5)
    assert len(tuning.study(tmp_path/'s.db').trials) == 5
    assert len(tuning.tune(hill, SPACE, tmp_path/'s.db', 2, name='other').trials) == 2


def test_failure_is_noted_and_replaced(tmp_path):
    def once(config, seed): return broken(config, seed) if seed == 1 else float('nan') if seed == 2 else seed
    with pytest.raises(ValueError, match='no good at 1'): tuning.tune(once, SPACE, tmp_path/'s.db', 4)
    study = tuning.tune(once, SPACE, tmp_path/'s.db', 4)
    assert [(t.state.name, t.value, t.user_attrs['seed']) for t in study.trials] == [
        ('COMPLETE', 0., 0), ('FAIL', None, 1), ('COMPLETE', -np.inf, 2), ('COMPLETE', 3., 3), ('COMPLETE', 4., 4)]
    assert study.trials[1].user_attrs['error'] == 'ValueError: no good at 1'


def environment(tmp_path, nap):
    here = Path(__file__).parent
    return os.environ | dict(PYTHONPATH=os.pathsep.join([str(here.parent), str(here)]), BEGUN=str(tmp_path/'begun'), NAP=str(nap))


def test_killed_search_is_taken_up_with_the_same_trial(tmp_path, monkeypatch):
    store, begun = tmp_path/'s.db', tmp_path/'begun'
    env = environment(tmp_path, 30)
    process = subprocess.Popen([sys.executable, str(Path(__file__).with_name('tuning_runs.py')), str(store)], env=env)
    try:
        until = time.monotonic() + 60
        while not begun.exists() and time.monotonic() < until and process.poll() is None: time.sleep(.05)
        left, = trials(tuning.study(store), 'RUNNING')
        assert tuning.alive(store, left.user_attrs['worker'])
        process.send_signal(signal.SIGKILL)
    finally:
        process.kill()
        process.wait()
    assert not tuning.alive(store, left.user_attrs['worker'])
    for name in ('BEGUN', 'NAP'): monkeypatch.setenv(name, {'BEGUN': str(begun), 'NAP': '0'}[name])
    study = tuning.tune(slow_hill, SPACE, store, 5, sampler='random')
    assert [t.number for t in trials(study, 'FAIL')] == [left.number] and len(trials(study)) == 5
    retried, = [t for t in trials(study) if t.user_attrs['seed'] == left.user_attrs['seed']]
    assert retried.params == left.params
    assert chosen(study) == chosen(tuning.tune(hill, SPACE, tmp_path/'t.db', 5, sampler='random'))
    assert begun.read_text().split() == ['0', '0', '1', '2', '3', '4']
    assert not [p for p in tmp_path.glob('*.lock') if not p.name.endswith(('.all.lock', left.user_attrs['worker'] + '.lock'))]


def test_two_processes_make_the_trials_of_one(tmp_path, monkeypatch):
    for name, value in environment(tmp_path, .3).items(): monkeypatch.setenv(name, value)
    study = tuning.tune(slow_hill, SPACE, tmp_path/'s.db', 5, processes=2, sampler='random')
    assert len(study.trials) == len(trials(study)) == 5
    assert chosen(study) == chosen(tuning.tune(hill, SPACE, tmp_path/'t.db', 5, sampler='random'))
    with pytest.raises(RuntimeError, match='(?s)broke off .*no good at'): tuning.tune(broken, SPACE, tmp_path/'u.db', 2, processes=2)


def test_what_cannot_work_says_so(tmp_path):
    for how, says in ((dict(sampler='grid'), '`sampler` must be'), (dict(processes=0), '`trials` and `processes`'), (dict(trials=0), '`trials` and `processes`')):
        with pytest.raises(InputError, match=says): tuning.tune(hill, SPACE, tmp_path/'s.db', **(dict(trials=2) | how))
    with pytest.raises(InputError, match='`objective` must be importable'): tuning.tune(lambda c, s: 0., SPACE, tmp_path/'s.db', 2, processes=2)
    with pytest.raises(InputError, match='`path` must be in a folder'): tuning.study(tmp_path/'no'/'s.db')
