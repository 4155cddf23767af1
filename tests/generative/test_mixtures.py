"Mixtures against autograd, torch.distributions, quadrature and their own samples"
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal

from dlcourse.core.errors import InputError
from dlcourse.generative.mixtures import GaussianMixture, finite_rows, grid_mixture, plane


def rng(seed=0): return torch.Generator().manual_seed(seed)


def some_mixture(seed=0, hills=4, dim=2, std=.7):
    g = rng(seed)
    means = 2*torch.randn(hills, dim, generator=g, dtype=torch.float64)
    return GaussianMixture(means, std, torch.rand(hills, generator=g, dtype=torch.float64) + .1)


def theirs(m):
    return MixtureSameFamily(Categorical(m.weights), Independent(Normal(m.means, m.std), 1))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 9999), hills=st.integers(1, 6), dim=st.integers(1, 5))
def test_density_and_slope_are_torchs(seed, hills, dim):
    m = some_mixture(seed, hills, dim)
    x = 3*torch.randn(7, dim, generator=rng(seed + 1), dtype=torch.float64)
    torch.testing.assert_close(m.log_prob(x), theirs(m).log_prob(x))
    x.requires_grad_()
    slope, = torch.autograd.grad(theirs(m).log_prob(x).sum(), x)
    torch.testing.assert_close(m.score(x.detach()), slope)


def test_far_away_everything_stays_finite():
    m = grid_mixture()
    x = torch.tensor([[1e4, -1e4], [0, 0]])
    assert m.log_prob(x).isfinite().all() and m.score(x).isfinite().all()


def test_density_adds_up_to_one():
    points, area = plane(12., 400)
    for m in (some_mixture(), some_mixture().noised(.5, 1.), grid_mixture(std=.2)):
        assert abs(float(m.log_prob(points).exp().sum()*area) - 1) < 1e-6


def test_noise_makes_another_mixture():
    m = some_mixture(2)
    x = .4*m.sample(200_000, rng()) + .9*torch.randn(200_000, 2, generator=rng(1)).double()
    fresh = m.noised(.4, .9).sample(200_000, rng(2))
    for a, b in ((x.mean(0), fresh.mean(0)), (x.T.cov(), fresh.T.cov())):
        torch.testing.assert_close(a, b, atol=.02, rtol=.02)
    same = m.noised(1., 0.)
    torch.testing.assert_close(same.means, m.means)
    assert same.std == pytest.approx(m.std)


def test_best_guess_is_bayes_by_quadrature():
    m = some_mixture(3, std=.5)
    points, _ = plane(9., 500)
    for scale, std in ((.8, .6), (.2, 1.), (1., .3)):
        x = m.noised(scale, std).sample(4, rng(4))
        for row, guess in zip(x, m.denoised(x, scale, std), strict=True):
            likely = m.log_prob(points) - (row - scale*points).square().sum(1)/(2*std**2)
            torch.testing.assert_close(likely.softmax(0) @ points, guess, atol=1e-6, rtol=1e-6)


def test_without_noise_the_best_guess_is_the_point():
    m = some_mixture()
    x = m.sample(5, rng())
    torch.testing.assert_close(m.denoised(.5*x, .5, 0.), x)


def test_draws_follow_the_weights_and_the_hills():
    m = GaussianMixture(torch.tensor([[0., 0], [5, 5], [9, 0]]), .1, torch.tensor([1., 2, 7]))
    x, hill = m.draw(20_000, rng())
    shares = torch.bincount(hill, minlength=3)/20_000
    torch.testing.assert_close(shares, torch.tensor([.1, .2, .7]), atol=.015, rtol=0)
    assert torch.equal(m.posterior(x).argmax(1), hill)
    assert torch.equal(m.sample(9, rng(3)), m.sample(9, rng(3))) and m.sample(0).shape == (0, 2)


def test_grid():
    m = grid_mixture(3, 2., .1)
    assert m.means[0].tolist() == [-2, -2] and m.means[-1].tolist() == [2, 2]
    assert len(grid_mixture().means) == 25 and m.means.mean(0).tolist() == [0, 0]
    points, area = plane(1., 4)
    assert points[0].tolist() == [-.75, -.75] and area == .25 and len(points) == 16


def test_precision_follows_the_points():
    m = grid_mixture()
    for kind in (torch.float32, torch.float64):
        assert m.log_prob(torch.zeros(1, 2, dtype=kind)).dtype == kind


@pytest.mark.parametrize(('make', 'name'), [
    (lambda: GaussianMixture(torch.zeros(3), 1.), 'means'),
    (lambda: GaussianMixture(torch.zeros(0, 2), 1.), 'means'),
    (lambda: GaussianMixture(torch.tensor([[math.nan, 0]]), 1.), 'means'),
    (lambda: GaussianMixture(torch.zeros(2, 2), 0.), 'std'),
    (lambda: GaussianMixture(torch.zeros(2, 2), math.nan), 'std'),
    (lambda: GaussianMixture(torch.zeros(2, 2), 1., torch.ones(3)), 'weights'),
    (lambda: GaussianMixture(torch.zeros(2, 2), 1., torch.tensor([1., -1])), 'weights'),
    (lambda: grid_mixture().noised(1., -1.), 'std'),
    (lambda: grid_mixture().log_prob(torch.tensor([[0, math.nan]])), 'row 0'),
    (lambda: grid_mixture().score(torch.tensor([[0., 0], [math.inf, 0]])), 'row 1'),
    (lambda: grid_mixture().log_prob(torch.zeros(2, 3)), r'\[row, 2\]'),
    (lambda: grid_mixture().sample(-1), '`n`'),
    (lambda: grid_mixture().log_prob(torch.tensor([[0, 0]])), '`x` must be floats'),
    (lambda: grid_mixture().score(torch.tensor([[0, 0]])), '`x` must be floats'),
    (lambda: grid_mixture(0), 'side'),
    (lambda: plane(0.), 'reach'),
    (lambda: plane(1., 1), 'side'),
    (lambda: finite_rows(torch.zeros(3), name='z'), '`z`'),
])
def test_what_is_no_mixture_is_named(make, name):
    with pytest.raises(InputError, match=name): make()
