"Losses, penalties and norms against torch's own, and modes against counts"
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcourse.core.errors import InputError
from dlcourse.generative.adversarial import (
    discriminator_loss,
    generator_loss,
    gradient_penalty,
    mode_shares,
    spectral_step,
)
from dlcourse.generative.mixtures import grid_mixture


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), n=st.integers(1, 9), m=st.integers(1, 9))
def test_losses_are_cross_entropies(seed, n, m):
    real, made = 4*normal(n, seed=seed), 4*normal(m, seed=seed + 1)
    bce = F.binary_cross_entropy_with_logits
    want = bce(real, torch.ones(n)) + bce(made, torch.zeros(m))
    torch.testing.assert_close(discriminator_loss(real, made), want)
    torch.testing.assert_close(generator_loss(made), bce(made, torch.ones(m)))
    torch.testing.assert_close(generator_loss(made, 'minimax'), -bce(made, torch.zeros(m)))


def test_losses_are_finite_far_out():
    far = torch.tensor([-1e4, 1e4], requires_grad=True)
    for loss in (discriminator_loss(far, far), generator_loss(far), generator_loss(far, 'minimax')):
        slope, = torch.autograd.grad(loss, far)
        assert loss.isfinite() and slope.isfinite().all()


def test_the_best_discriminator_of_a_table_is_p_over_p_plus_q():
    p, q = torch.tensor([.3, .5, .2]).double(), torch.tensor([.1, .2, .7]).double()
    s = (p/q).log()
    value = -(p*F.softplus(-s)).sum() - (q*F.softplus(s)).sum()
    middle = (p + q)/2
    divergence = ((p*(p/middle).log()).sum() + (q*(q/middle).log()).sum())/2
    torch.testing.assert_close(value, 2*divergence - math.log(4))


def test_a_linear_critic_has_one_slope():
    layer = torch.nn.Linear(6, 1).double()
    real, made = normal(9, 6).double(), normal(9, 6, seed=1).double()
    mix = torch.rand(9, 1).double()
    got = gradient_penalty(layer, real, made, mix)
    got.backward()
    length = layer.weight.detach().norm()
    torch.testing.assert_close(got.detach(), (length - 1)**2)
    torch.testing.assert_close(layer.weight.grad, 2*(length - 1)*layer.weight.detach()/length)


def test_a_penalty_has_right_second_derivatives():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Tanh(), torch.nn.Linear(5, 1))
    net.double()
    real, made = normal(4, 3).double(), normal(4, 3, seed=1).double()
    mix = torch.rand(4, 1).double()
    names = [name for name, _ in net.named_parameters()]
    def f(*values):
        weights = dict(zip(names, values, strict=True))
        return gradient_penalty(lambda x: torch.func.functional_call(net, weights, (x,)),
                                real, made, mix)
    values = tuple(p.detach().clone().requires_grad_() for p in net.parameters())
    assert torch.autograd.gradcheck(f, values, atol=1e-5)


def test_a_bounded_layer_is_that_of_torch():
    torch.manual_seed(0)
    layer = torch.nn.utils.parametrizations.spectral_norm(torch.nn.Linear(5, 4, bias=False))
    inside = layer.parametrizations.weight
    weight, u = inside.original.detach(), inside[0]._v.clone()
    stretch, after = spectral_step(weight, u)
    torch.testing.assert_close(layer.weight.detach(), weight/stretch)
    torch.testing.assert_close(after, inside[0]._v)


def test_steps_lead_to_the_largest_singular_value_of_each_of_a_stack():
    w, u = normal(3, 4, 7), normal(3, 7, seed=1)
    for _ in range(500): stretch, u = spectral_step(w, u)
    torch.testing.assert_close(stretch, torch.linalg.svdvals(w)[:, 0], atol=1e-4, rtol=1e-4)


def test_a_perfect_model_has_fair_shares():
    grid = grid_mixture(std=.1)
    shares = mode_shares(grid.sample(50_000, torch.Generator().manual_seed(0)), grid.means, .3)
    assert abs(float(shares.sum()) - (1 - math.exp(-4.5))) < .003 # Of Rayleigh's distribution
    assert float((shares - .04).abs().max()) < .005


def test_a_collapsed_model_covers_what_it_makes():
    grid = grid_mixture(std=.1)
    shares = mode_shares(grid.means[:2].repeat(50, 1), grid.means, .3)
    assert shares.tolist() == [.5, .5] + [0]*23


@pytest.mark.parametrize('call', [
    lambda: generator_loss(normal(3), 'hinge'),
    lambda: mode_shares(normal(0, 2), normal(3, 2), 1.),
    lambda: mode_shares(normal(3, 2)*math.nan, normal(3, 2), 1.),
])
def test_what_cannot_be_counted_is_refused(call):
    with pytest.raises(InputError, match=r'`(kind|samples)`'): call()
