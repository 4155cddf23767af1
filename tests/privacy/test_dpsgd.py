"The pieces of the lesson against the library and Opacus, and digits at the price that was promised"
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from dlcourse.core.datasets import load
from dlcourse.privacy.accounting import noise_for
from dlcourse.privacy.dpsgd import (
    clip_rows,
    ghost_lengths,
    noisy_sum,
    poisson_rows,
    private_mean,
)
from dlcourse.privacy.one_by_one import clip_factors
from dlcourse.privacy.private_loop import Chance, PoissonBatches, fit_private
from dlcourse.training.callbacks import FitConfig
from dlcourse.vision.scattering import scattering_rows

numbers = st.floats(allow_nan=True, allow_infinity=True, width=32)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=1, max_size=6),
       st.floats(1e-3, 1e3))
def test_no_row_moves_the_mean_by_more_than_the_bound(rows, clip):
    g = torch.tensor(rows, dtype=torch.float64)
    moved = (private_mean(g, clip, 0., 7, torch.zeros_like)
             - private_mean(g[1:], clip, 0., 7, torch.zeros_like))
    assert moved.isfinite().all() and float(moved.norm()) <= clip/7*(1 + 1e-9)


def test_cut_rows_are_those_of_the_engine():
    g = 3*torch.randn(20, 5, dtype=torch.float64)
    g[3, 1], g[5] = math.nan, 0.
    factors = clip_factors(g.norm(dim=1), 2.)
    clean = torch.where(factors[:, None] > 0, g, 0.)
    assert torch.allclose(clip_rows(g, 2.), clean*factors[:, None])


def test_ghosts_are_as_long_as_gradients():
    layer = nn.Linear(6, 4, bias=False)
    a = torch.randn(5, 3, 6, requires_grad=True)
    out = layer(a)
    g, = torch.autograd.grad(out.square().sum(), out, retain_graph=True)
    for i in range(5):
        want, = torch.autograd.grad(out[i].square().sum(), layer.weight, retain_graph=True)
        assert torch.isclose(ghost_lengths(a, g)[i], want.norm(), rtol=1e-4)


def test_rows_by_coins_are_those_of_the_sampler():
    for rows, batch in ((99, 10), (40, 40), (7, 1)):
        drawn = next(iter(PoissonBatches(rows, batch, 1, seed=3)))
        assert torch.equal(drawn, poisson_rows(Chance(3).uniform(rows), batch, rows))


def test_noise_has_the_promised_deviation():
    found = noisy_sum(torch.zeros(0, 20000), .5, 3., Chance(0).normal)
    assert math.isclose(float(found.std()), 1.5, rel_tol=.03)


@pytest.mark.slow
def test_digits_at_three():
    data = load('digits')
    x = scattering_rows(torch.tensor(data['images']/16, dtype=torch.float32), 1, 3)
    y, scores = torch.tensor(data['labels'].astype(int)), []
    sigma = noise_for(3., 256/1437, 168, 1e-4)
    for seed in range(3):
        order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
        train, test = order[:1437], order[1437:]
        run = fit_private(nn.Linear(x.shape[1], 10), x[train], y[train], expected_batch=256,
                          steps=168, noise_multiplier=sigma, delta=1e-4, seed=seed,
                          config=FitConfig(optimizer='sgd', lr=1.))
        assert run.epsilon <= 3.
        with torch.no_grad():
            scores.append(float((run.model(x[test]).argmax(1) == y[test]).float().mean()))
    assert sum(scores)/3 > .95, scores
