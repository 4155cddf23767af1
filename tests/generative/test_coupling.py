"Layers of flows against autograd, and there and back again"
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from stirring import stirred

from dlcourse.core.errors import InputError
from dlcourse.generative.coupling import (
    Flow,
    Marginals,
    SplineCoupling,
    check_mask,
    level_marginals,
    rising_spline,
    spline_knots,
)


def rng(seed=0): return torch.Generator().manual_seed(seed)


def volume(layer, x):
    "Log-determinants by autograd"
    rows = [torch.autograd.functional.jacobian(lambda r: layer(r[None])[0][0], row) for row in x]
    return torch.stack([j.slogdet()[1] for j in rows])


def masked(*seen): return torch.tensor(seen, dtype=torch.bool)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 9999), bins=st.integers(2, 12), reach=st.floats(.5, 5))
def test_splines_rise_and_come_back(seed, bins, reach):
    raw = 2*torch.randn(3*bins - 1, generator=rng(seed), dtype=torch.float64)
    x = torch.linspace(-1.3*reach, 1.3*reach, 200, dtype=torch.float64)
    y, log_slope = rising_spline(x, raw.expand(200, -1), reach)
    assert (y.diff() > 0).all()
    back, other = rising_spline(y, raw.expand(200, -1), reach, inverse=True)
    torch.testing.assert_close(back, x, atol=1e-8, rtol=0)
    torch.testing.assert_close(other, -log_slope, atol=1e-5, rtol=1e-5)
    x = x.requires_grad_()
    slope, = torch.autograd.grad(rising_spline(x, raw.expand(200, -1), reach)[0].sum(), x)
    torch.testing.assert_close(log_slope, slope.log(), atol=1e-8, rtol=1e-8)


def test_zeros_are_the_identity_and_knots_are_passed():
    x = torch.linspace(-4, 4, 33)
    y, log_slope = rising_spline(x, torch.zeros(33, 23))
    torch.testing.assert_close(y, x)
    torch.testing.assert_close(log_slope, torch.zeros(33), atol=1e-6, rtol=0)
    raw = torch.randn(11, generator=rng(), dtype=torch.float64)
    wide, high, _ = spline_knots(raw, 2.)
    assert len(wide) == 5 and wide[0] == -2 and high[-1] == 2
    got, _ = rising_spline(wide[1:-1], raw.expand(3, -1), 2.)
    torch.testing.assert_close(got, high[1:-1])


def test_spline_layers_stretch_as_autograd_says_and_come_back():
    for dim, mask in ((2, masked(1, 0)), (5, masked(0, 1, 1, 0, 0))):
        for kind, within, scale in ((torch.float64, 1e-8, .3), (torch.float32, 1e-5, .1)):
            layer = stirred(SplineCoupling(mask, width=16), scale=scale).to(kind)
            x = 2*torch.randn(40, dim, generator=rng(1)).to(kind)
            z, log_det = layer(x)
            torch.testing.assert_close(log_det, volume(layer, x), atol=within, rtol=within)
            assert torch.equal(z[:, mask], x[:, mask])
            torch.testing.assert_close(layer.inverse(z)[0], x, atol=within, rtol=within)
            torch.testing.assert_close(layer.inverse(z)[1], -log_det, atol=1e-4, rtol=1e-4)


def test_a_new_layer_changes_nothing():
    x = torch.randn(5, 3, generator=rng())
    z, log_det = SplineCoupling(masked(1, 0, 1))(x)
    torch.testing.assert_close(z, x)
    torch.testing.assert_close(log_det, torch.zeros(5), atol=1e-6, rtol=0)


def test_histograms_make_normal_numbers_and_the_density_of_the_histogram():
    log_probs = torch.randn(4, 17, generator=rng()).double().log_softmax(1)
    layer, x = level_marginals(log_probs), torch.rand(30, 4, generator=rng(1)).double()
    flow = Flow([layer], 4)
    level = (x*17).floor().long()
    want = log_probs.gather(1, level.T).sum(0) + 4*math.log(17)
    torch.testing.assert_close(flow.log_prob(x), want)
    z, log_det = layer(x)
    torch.testing.assert_close(layer.inverse(z)[0], x, atol=1e-6, rtol=0)
    torch.testing.assert_close(layer.inverse(z)[1], -log_det)
    torch.testing.assert_close(log_det, volume(layer, x), atol=1e-6, rtol=1e-6)


def test_whole_flows():
    layers = [stirred(SplineCoupling(m, width=8), i).double()
              for i, m in enumerate((masked(1, 0), masked(0, 1), masked(1, 0)))]
    flow, x = Flow(layers, 2), torch.randn(20, 2, generator=rng()).double()
    z, log_det = flow(x)
    torch.testing.assert_close(log_det, volume(flow, x), atol=1e-8, rtol=1e-8)
    torch.testing.assert_close(flow.inverse(z)[0], x, atol=1e-7, rtol=0)
    axis = torch.linspace(-7, 7, 400).double()
    points = torch.cartesian_prod(axis, axis)
    area = float(axis[1] - axis[0])**2
    mass = flow.log_prob(points).exp().sum().item()*area
    assert abs(mass - 1) < 1e-2
    assert Flow(layers[:1], 2).float().sample(5, rng()).shape == (5, 2)


@pytest.mark.parametrize(('call', 'name'), [
    (lambda: check_mask(masked(1, 1)), '`mask`'),
    (lambda: SplineCoupling(masked(0, 0)), '`mask`'),
    (lambda: check_mask(torch.tensor([1, 0])), '`mask`'),
    (lambda: SplineCoupling(masked(1, 0), bins=1), 'bins'),
    (lambda: Flow([], 0), 'dim'),
    (lambda: Flow([], 2).log_prob(torch.zeros(3, 3)), r'\[row, 2\]'),
    (lambda: Flow([], 2).log_prob(torch.tensor([[0, math.nan]])), 'row 0'),
    (lambda: Flow([], 2).inverse(torch.tensor([[0, math.inf]])), '`z`'),
    (lambda: level_marginals(torch.zeros(4, 5)), 'log_probs'),
    (lambda: SplineCoupling(masked(1, 0), bins=1500), 'bins'),
    (lambda: SplineCoupling(masked(1, 0), reach=-3.), '`reach`'),
    (lambda: SplineCoupling(masked(1, 0), reach=math.inf), '`reach`'),
    (lambda: Marginals(torch.zeros(2, 5))(torch.tensor([[.5, 16.]])), '`x` must be from 0 to 1'),
    (lambda: Marginals(torch.zeros(2, 5))(torch.tensor([[.5, -1.]])), '`x` must be from 0 to 1'),
    (lambda: Flow([], 2).log_prob(torch.tensor([[0, 1]])), '`x` must be floats'),
    (lambda: Flow([], 2).sample(-1), '`n`'),
])
def test_what_cannot_be_is_named(call, name):
    with pytest.raises(InputError, match=name): call()


def test_other_numbers_of_levels():
    x = torch.rand(6, 2, generator=rng())
    layer = Marginals(torch.zeros(2, 5))
    torch.testing.assert_close(Flow([layer], 2).log_prob(x), torch.zeros(6), atol=1e-4, rtol=0)


@pytest.mark.parametrize('scale', [1., 20.])
def test_a_steep_spline_has_a_slope_on_the_way_back_too(scale):
    raw, x = torch.randn(2000, 23, generator=rng())*scale, torch.rand(2000, generator=rng(1))*6 - 3
    y, _ = rising_spline(x, raw)
    back, log_slope = rising_spline(y, raw, inverse=True)
    assert back.isfinite().all() and log_slope.isfinite().all()


def test_a_flow_draws_numbers_of_its_own_kind():
    flow = Flow([SplineCoupling(masked(1, 0))], 2).double()
    assert flow.sample(2, rng()).dtype == torch.float64
    assert flow.sample(0).shape == (0, 2)
