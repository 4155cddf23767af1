"Searches find what is known to be best, within their budget"
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hyp_settings
from hypothesis import strategies as st
from scipy import stats
from torch import nn
from torch.nn import functional as F
from tuning_runs import SPACE

from dlcourse.core.errors import InputError
from dlcourse.training import tuning
from dlcourse.training.tuning import Between, lr_range_test, random_search, successive_halving


def test_range_test_is_plain_sgd_at_a_rising_rate():
    x, y = torch.randn(60, 4, dtype=torch.float64), torch.randn(60, 1, dtype=torch.float64)
    model = nn.Linear(4, 1).double()
    w, b, want = *(p.detach().numpy().copy() for p in model.parameters()), []
    batches = [(x[:30], y[:30]), (x[30:], y[30:])]
    rates, losses = tuning.lr_range_test(model, batches, nn.functional.mse_loss, 1e-3, .1, 7)
    np.testing.assert_allclose(rates, np.logspace(-3, -1, 7))
    for i, rate in enumerate(rates):
        a, t = (v[30*(i % 2):][:30].numpy() for v in (x, y))
        off = a @ w.T + b - t
        want.append((off**2).mean())
        w, b = w - rate*2*off.T @ a/30, b - rate*2*off.mean(0)
    np.testing.assert_allclose(losses, want)


@pytest.mark.parametrize('how', [dict(low=0.), dict(low=2., high=1.), dict(steps=1)])
def test_range_that_is_none_is_refused(how):
    with pytest.raises(InputError, match='`low` must be above 0'):
        tuning.lr_range_test(nn.Linear(1, 1), [], None, **how)


def test_drawn_values_have_the_distribution():
    got = tuning.draw(SPACE, 1500, seed=3)
    assert stats.kstest([c['a'] for c in got], stats.uniform(-4, 8).cdf).pvalue > .001
    assert stats.kstest([c['b'] for c in got], stats.loguniform(1e-3, 1).cdf).pvalue > .001
    assert stats.chisquare(np.bincount([c['k'] for c in got])[1:]).pvalue > .001
    assert stats.binomtest(sum(c['kind'] == 'x' for c in got), 1500).pvalue > .001


@pytest.mark.parametrize('bad', [
    dict(low=1, high=1), dict(low=0, high=1, log=True), dict(low=0, high=np.inf),
    dict(low=np.nan, high=1)])
def test_empty_ranges_are_refused(bad):
    with pytest.raises(InputError, match='`low` must be below `high`'): Between(**bad)


@hyp_settings(deadline=None, max_examples=60)
@given(n=st.integers(1, 40), eta=st.integers(2, 5), extra=st.integers(0, 200),
       seed=st.integers(0, 9))
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
    def train(k, epochs, state): return -(k - 3.)**2 if k else float('nan'), epochs
    found = tuning.random_search(train, range(7), 30)
    assert (found.config, found.score, found.state, found.spent) == (3, 0., 4, 28)
    for configs, budget in ((range(7), 6), ([], 6)):
        with pytest.raises(InputError, match='`budget` must give'):
            tuning.random_search(None, configs, budget)
    with pytest.raises(InputError, match='`eta` must be 2'):
        tuning.successive_halving(None, range(9), 26)


def test_batches_that_are_none_or_run_out_for_good_are_told():
    model, rows = nn.Linear(2, 2), [(torch.ones(3, 2), torch.zeros(3, 2))]
    for batches in ([], iter(rows), (r for r in rows)):
        with pytest.raises(InputError, match='`batches` must hold a batch or more'):
            lr_range_test(model, batches, F.mse_loss, steps=3)


def test_what_sleeps_on_purpose_sleeps_in_a_range_test():
    model, seen = nn.Sequential(nn.Linear(2, 2), nn.Dropout(.9)), []
    model[1].eval()
    model[1].register_forward_hook(lambda part, *_: seen.append(part.training))
    lr_range_test(model, [(torch.ones(3, 2), torch.zeros(3, 2))], F.mse_loss, steps=3)
    assert not any(seen)


@pytest.mark.parametrize('search', [random_search, successive_halving])
def test_scores_that_are_all_nan_have_no_winner(search):
    with pytest.raises(InputError, match='no configuration has a score that is a number'):
        search(lambda config, epochs, state: (math.nan, None), [{}, {}, {}], 9)
