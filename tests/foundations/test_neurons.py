"The perceptron against scikit-learn's, networks against torch, features against plain loops"
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import same_as_torch
from sklearn.linear_model import Perceptron as SklearnPerceptron
from torch import nn

from dlcourse.core.errors import InputError
from dlcourse.foundations.neurons import (
    ACTIVATIONS,
    MLP,
    MLPConfig,
    Perceptron,
    between_share,
    elu,
    elu_slope,
    gelu,
    oriented_gradients,
    projections,
    symmetry,
    xor_weights,
    zones,
)


def rows(n, dim, seed=0, cut=None):
    rng = np.random.default_rng(seed)
    x, w = rng.normal(size=(n, dim)), rng.normal(size=dim)
    if cut is not None: cut.append(np.append(w, .3))
    return x, np.where(x @ w + .3 > 0, 1., -1.)


@pytest.mark.parametrize('seed', range(5))
@pytest.mark.parametrize('epochs', [1, 3, 50])
def test_perceptron_is_scikit_learns_bit_for_bit(seed, epochs):
    x, y = rows(60, 4, seed)
    ours, theirs = Perceptron(4), SklearnPerceptron(max_iter=epochs, tol=None, shuffle=False)
    ours.fit(torch.tensor(x), torch.tensor(y), epochs=epochs)
    theirs.fit(x, y)
    assert np.array_equal(ours.weights.numpy(), theirs.coef_[0])
    assert ours.bias.item() == theirs.intercept_[0]
    assert np.array_equal(ours.predict(torch.tensor(x)).numpy(), theirs.predict(x))


@given(st.integers(0, 10_000), st.integers(1, 6))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_mistakes_stay_below_the_bound(seed, dim):
    cut = []
    x, y = rows(30, dim, seed, cut)
    w, = cut
    x1 = np.column_stack([x, np.ones(30)])
    gamma = (y*(x1 @ w)).min()/np.linalg.norm(w)
    p, rng = Perceptron(dim), torch.Generator().manual_seed(seed)
    p.fit(torch.tensor(x), torch.tensor(y), epochs=200, generator=rng)
    assert p.mistakes <= (x1**2).sum(1).max()/gamma**2


def test_perceptron_says_whether_it_is_done():
    corners = torch.tensor([[0., 0.], [0., 1.], [1., 0.], [1., 1.]], dtype=torch.float64)
    p = Perceptron(2)
    assert not p.fit(corners, torch.tensor([-1., 1., 1., -1.]), epochs=50) and p.mistakes >= 50
    p = Perceptron(2)
    assert p.fit(corners, torch.tensor([-1., -1., -1., 1.]))
    assert p.predict(corners).tolist() == [-1, -1, -1, 1]
    with pytest.raises(InputError, match=r"`y` must be \+1 and -1; got \[0.0, 1.0\]"):
        Perceptron(2).fit(corners, torch.tensor([0., 1., 1., 0.]))


def test_perceptron_shuffles_by_its_generator():
    x, y = (torch.tensor(a) for a in rows(40, 3))
    a, b, c = Perceptron(3), Perceptron(3), Perceptron(3)
    for p, seed in ((a, 1), (b, 1), (c, 2)):
        p.fit(x, y, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(a.weights, b.weights) and not torch.equal(a.weights, c.weights)


@pytest.mark.parametrize('dtype, tolerance', [(torch.float64, 1e-14), (torch.float32, 1e-6)])
@pytest.mark.parametrize('alpha', [1., .1, 3.])
def test_activations_and_slopes_are_torchs(dtype, tolerance, alpha):
    x = torch.linspace(-9, 9, 181, dtype=dtype)
    same_as_torch(elu, F.elu, x, alpha, rtol=tolerance)
    same_as_torch(gelu, F.gelu, x, rtol=tolerance)
    at = x.clone().requires_grad_()
    F.elu(at, alpha).sum().backward()
    torch.testing.assert_close(elu_slope(x, alpha), at.grad, atol=tolerance, rtol=tolerance)


def test_elu_is_differentiable_and_survives_large_inputs():
    x = torch.tensor([-1000., -1., 2., 1000.], requires_grad=True)
    elu(x, 2.).sum().backward()
    torch.testing.assert_close(x.grad, torch.tensor([0., 2*math.exp(-1), 1., 1.]))


MODULES = {'relu': nn.ReLU(), 'leaky_relu': nn.LeakyReLU(), 'elu': nn.ELU(), 'gelu': nn.GELU(),
           'silu': nn.SiLU(), 'tanh': nn.Tanh(), 'sigmoid': nn.Sigmoid(), 'identity': nn.Identity()}


@pytest.mark.parametrize('activation', MODULES)
@pytest.mark.parametrize('dims', [(5, 3), (5, 7, 3), (5, 7, 6, 3)])
def test_mlp_equals_torchs_layers(activation, dims):
    model = MLP(MLPConfig(dims=dims, activation=activation))
    layers = [part for layer in model.layers for part in (layer, MODULES[activation])][:-1]
    x = torch.randn(4, 2, 5)
    same_as_torch(model, nn.Sequential(*layers), x, rtol=0)
    assert [tuple(s.shape) for s in model.states(x)] == [(4, 2, n) for n in dims[:-1]]


def test_every_activation_has_been_compared():
    assert set(ACTIVATIONS) == set(MODULES)


def test_mlp_can_be_saved_stacked_and_mapped():
    from torch.func import functional_call, stack_module_state, vmap
    models = [MLP(MLPConfig(dims=(3, 4, 2), activation='gelu')) for _ in range(3)]
    state, buffers = stack_module_state(models)
    x = torch.randn(5, 3)
    together = vmap(lambda p, b: functional_call(models[0], (p, b), (x,)))(state, buffers)
    torch.testing.assert_close(together, torch.stack([m(x) for m in models]))
    names = [f'layers.{k}.{part}' for k in (0, 1) for part in ('bias', 'weight')]
    assert sorted(models[0].state_dict()) == names
    assert list(MLP(MLPConfig(dims=(3, 2), bias=False)).state_dict()) == ['layers.0.weight']


@pytest.mark.parametrize('dims', [(3,), (), (3, 0, 2), (3, 2.5, 1), (3, -1)])
def test_dims_must_be_widths(dims):
    says = "`dims` must be two or more whole numbers from 1, input first and output last; got"
    with pytest.raises(InputError, match=says): MLPConfig(dims=dims)


def test_activation_must_be_known():
    says = "`activation` must be one of identity, relu, .*; got 'swish'"
    with pytest.raises(InputError, match=says): MLPConfig(activation='swish')


def test_hand_made_features_by_plain_loops():
    images = np.random.default_rng(0).random((3, 6, 8)).astype(np.float32)
    x = torch.tensor(images)
    by_line = np.hstack([images.mean(1), images.mean(2)])
    np.testing.assert_allclose(projections(x), by_line, rtol=1e-5)
    blocks = [(slice(i, i + 2), slice(j, j + 2)) for i in range(0, 6, 2) for j in range(0, 8, 2)]
    ink = [[image[block].mean() for block in blocks] for image in images]
    np.testing.assert_allclose(zones(x), ink, rtol=1e-5)
    mirrors = np.fliplr, np.flipud, lambda image: image[::-1, ::-1]
    apart = [[np.abs(image - mirror(image)).mean() for mirror in mirrors] for image in images]
    np.testing.assert_allclose(symmetry(x), apart, rtol=1e-5)
    assert oriented_gradients(x, 2, 5).shape == (3, 3*4*5)


TURNS = [(0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1)] # Down, to the right


@pytest.mark.parametrize('turn, direction', [(turn, k) for k, turn in enumerate(TURNS)])
def test_oriented_gradients_know_the_direction(turn, direction):
    down, to_right = np.indices((6, 6)) - 2.5
    image = torch.tensor(.1*(turn[0]*down + turn[1]*to_right), dtype=torch.float32)[None]
    inner = oriented_gradients(image, 2).reshape(3, 3, 8)[1, 1] # The middle block sees no border
    want = torch.zeros(8)
    want[direction] = .1*math.hypot(*turn)
    torch.testing.assert_close(inner, want, atol=1e-6, rtol=1e-5)


def test_a_direction_between_two_bins_is_divided():
    down, to_right = np.indices((6, 6)) - 2.5
    angle = 2*math.pi/8*.25
    image = torch.tensor(math.sin(angle)*down + math.cos(angle)*to_right, dtype=torch.float64)[None]
    inner = oriented_gradients(image, 2).reshape(3, 3, 8)[1, 1]
    np.testing.assert_allclose(inner, [.75, .25, 0, 0, 0, 0, 0, 0], atol=1e-12)


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None, derandomize=True)
def test_between_share_is_that_of_the_analysis_of_variance(seed):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 4, 25)
    x = rng.normal(size=(25, 3)) + y[:, None]*rng.random(3)
    means = np.stack([x[y == c].mean(0) for c in y])
    want = ((means - x.mean(0))**2).sum()/((x - x.mean(0))**2).sum()
    assert between_share(torch.tensor(x), torch.tensor(y)) == pytest.approx(want, abs=1e-12)


def test_xor_by_hand_is_right_at_each_corner():
    corners = torch.tensor([[0., 0.], [0., 1.], [1., 0.], [1., 1.]])
    net = MLP(MLPConfig(dims=(2, 2, 1)))
    net.load_state_dict(dict(zip(net.state_dict(), xor_weights(), strict=True)))
    assert net(corners).ravel().tolist() == [-.5, .5, .5, -.5]
