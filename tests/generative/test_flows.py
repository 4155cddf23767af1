"Flows against autograd, closed forms, and the mixtures whose density they must have"
import math

import pytest
import torch
from stirring import stirred
from torch.distributions import MultivariateNormal

from dlcourse.core.errors import InputError
from dlcourse.generative.diffusion import exact_velocity
from dlcourse.generative.flows import (
    AffineCoupling,
    couple,
    coupling_flow,
    flow_log_prob,
    hutchinson,
    log_det_gap,
    uncouple,
)
from dlcourse.generative.mixtures import GaussianMixture


def rng(seed=0): return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize('kind', ['affine', 'spline'])
@pytest.mark.parametrize('dim', [2, 5])
def test_stretch_is_autograds_and_the_way_back_leads_back(kind, dim):
    flow = stirred(coupling_flow(dim, kind, depth=4, width=16), scale=.15)
    x = torch.randn(30, dim, generator=rng())
    assert (flow.inverse(flow(x)[0])[0] - x).abs().max() < 1e-5
    assert log_det_gap(flow.double(), x.double()) < 1e-6


def test_coupling_undoes_itself_whatever_the_network():
    mask, net = torch.tensor([True, False, True]), torch.nn.Linear(3, 6)
    x = torch.randn(9, 3, generator=rng())
    z, there = couple(x, mask, net)
    back, again = uncouple(z, mask, net)
    torch.testing.assert_close(back, x)
    torch.testing.assert_close(again, -there)


def test_a_new_affine_flow_is_the_normal_distribution():
    x = torch.randn(6, 4, generator=rng())
    want = MultivariateNormal(torch.zeros(4), torch.eye(4)).log_prob(x)
    torch.testing.assert_close(coupling_flow(4, 'affine').log_prob(x), want)


def test_every_second_layer_changes_the_other_half():
    layers = coupling_flow(5, depth=4).layers
    for a, b in ((0, 1), (2, 3)): assert torch.equal(layers[a].mask, ~layers[b].mask)


def test_a_seed_is_a_flow():
    a, b, c = (stirred(coupling_flow(4, seed=s), scale=.15) for s in (1, 1, 2))
    x = torch.randn(3, 4, generator=rng())
    assert torch.equal(a(x)[0], b(x)[0]) and not torch.equal(a(x)[0], c(x)[0])


def test_scales_are_bounded():
    layer = stirred(AffineCoupling(torch.tensor([True, False])), scale=50.)
    _, log_det = layer(torch.randn(50, 2, generator=rng()))
    assert log_det.abs().max() <= 2


@pytest.mark.parametrize('dim', [1, 2, 3])
def test_with_the_exact_velocity_the_density_is_the_mixtures(dim):
    means = 2*torch.randn(3, dim, generator=rng(dim), dtype=torch.float64)
    m = GaussianMixture(means, .5)
    x = m.sample(40, rng(1))
    got = flow_log_prob(exact_velocity(m), x, steps=60)
    torch.testing.assert_close(got, m.log_prob(x), atol=1e-4, rtol=0)


def test_hutchinson_is_right_in_the_mean_and_exact_for_a_diagonal():
    matrix = torch.randn(4, 4, generator=rng(), dtype=torch.float64)
    x = torch.zeros(20_000, 4, dtype=torch.float64)
    signs = torch.randint(0, 2, x.shape, generator=rng(1)).double()*2 - 1
    _, guess = hutchinson(lambda v: v @ matrix.T, x, signs)
    assert float(guess.mean()) == pytest.approx(float(matrix.trace()), abs=.1)
    _, guess = hutchinson(lambda v: v*torch.arange(4.), x, signs)
    torch.testing.assert_close(guess, torch.full((20_000,), 6.).double())


def test_one_vector_of_signs_is_near_the_exact_density():
    m = GaussianMixture(torch.tensor([[-1., 0], [1, 1]]).double(), .6)
    x = m.sample(300, rng())
    guess = flow_log_prob(exact_velocity(m), x, steps=20, generator=rng(1))
    assert float(guess.mean()) == pytest.approx(float(m.log_prob(x).mean()), abs=.15)


@pytest.mark.parametrize(('call', 'name'), [
    (lambda: coupling_flow(2, 'planar'), '`kind`'),
    (lambda: coupling_flow(1), 'dim'),
    (lambda: coupling_flow(3, depth=0), 'depth'),
    (lambda: AffineCoupling(torch.tensor([True, True])), '`mask`'),
    (lambda: coupling_flow(2).log_prob(torch.tensor([[math.nan, 0]])), 'row 0'),
    (lambda: flow_log_prob(lambda x, t: x, torch.tensor([[math.nan, 0]])), '`x`'),
])
def test_what_cannot_be_is_named(call, name):
    with pytest.raises(InputError, match=name): call()
