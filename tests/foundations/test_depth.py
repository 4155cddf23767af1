"Scales, norms and their gradients equal torch's; what cannot work says so"
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import settings as hyp_settings
from hypothesis import strategies as st
from torch import nn

from dlcourse.core.errors import InputError
from dlcourse.foundations import depth

close = partial(torch.testing.assert_close, rtol=1e-10, atol=1e-10)


def numbers(*shape, seed=0):
    return 3*torch.randn(*shape, dtype=torch.float64,
                         generator=torch.Generator().manual_seed(seed)) + 1


def compare(ours, theirs, *batches, train=True):
    "Outputs, gradients and buffers of two modules with the same, non-trivial parameters"
    torch.manual_seed(0)
    ours, theirs = (m.double().train(train) for m in (ours, theirs))
    for p in theirs.parameters(): nn.init.normal_(p)
    ours.load_state_dict(theirs.state_dict(), strict=False)
    for batch in batches:
        a, b = (batch.clone().requires_grad_() for _ in range(2))
        y, z = ours(a), theirs(b)
        close(y, z)
        g = numbers(*y.shape, seed=9)
        for p, q in zip(torch.autograd.grad(y, [a, *ours.parameters()], g),
                        torch.autograd.grad(z, [b, *theirs.parameters()], g), strict=True):
            close(p, q)
        for name, buffer in ours.named_buffers(): close(buffer, dict(theirs.named_buffers())[name])
    return ours, theirs


@pytest.mark.parametrize(('shape', 'theirs'),
                         [((7, 3), nn.BatchNorm1d), ((4, 3, 5), nn.BatchNorm1d),
                          ((2, 3, 4, 5), nn.BatchNorm2d),
                                               ((2, 3, 2, 3, 2), nn.BatchNorm3d)])
@pytest.mark.parametrize(('eps', 'momentum'), [(1e-5, .1), (.5, .7)])
def test_batch_norm_is_torchs(shape, theirs, eps, momentum):
    pair = compare(depth.BatchNorm(3, eps, momentum), theirs(3, eps, momentum),
                   *(numbers(*shape, seed=s) for s in range(3)))
    compare(*pair, numbers(*shape, seed=5), train=False)
    compare(*pair, numbers(1, *shape[1:], seed=6), train=False)


def test_batch_norm_defaults_and_evaluation_changes_nothing():
    ours = depth.BatchNorm(3)
    theirs = nn.BatchNorm1d(3)
    assert (ours.eps, ours.momentum) == (theirs.eps, theirs.momentum)
    assert set(theirs.state_dict()) - set(ours.state_dict()) == {'num_batches_tracked'}
    before = {k: v.clone() for k, v in ours.eval().state_dict().items()}
    ours(torch.randn(5, 3))
    for name, value in ours.state_dict().items(): assert torch.equal(value, before[name])


@pytest.mark.parametrize('training', [True, False])
def test_hand_made_gradients_pass_gradcheck(training):
    weight, bias = (numbers(3, seed=s).requires_grad_() for s in (1, 2))
    def f(x, weight, bias):
        return depth.BatchNormStep.apply(x, weight, bias, torch.zeros(3).double(),
                                         2*torch.ones(3).double(), training, .1, 1e-3)
    assert torch.autograd.gradcheck(f, (numbers(5, 3).requires_grad_(), weight, bias))


def test_second_derivatives_are_refused():
    x = numbers(5, 3).requires_grad_()
    slope, = torch.autograd.grad(depth.BatchNorm(3).double()(x).square().sum(), x,
                                 create_graph=True)
    with pytest.raises(RuntimeError, match='once_differentiable'): slope.sum().backward()


@given(n=st.integers(2, 9), dim=st.integers(1, 5), seed=st.integers(0, 99))
@hyp_settings(max_examples=30, deadline=None)
def test_what_only_shifts_or_stretches_a_column_gets_no_gradient(n, dim, seed):
    x = numbers(n, dim, seed=seed)
    _, xhat, rstd = depth.batch_norm(x, torch.ones(dim), torch.zeros(dim),
                                     torch.zeros(dim).double(), torch.ones(dim).double(), eps=0.)
    grad, *_ = depth.batch_norm_backward(numbers(n, dim, seed=seed + 100), xhat, rstd, numbers(dim))
    scale = rstd.max()*100
    assert (grad.sum(0).abs() < 1e-9*scale).all() and ((grad*xhat).sum(0).abs() < 1e-9*scale).all()


@pytest.mark.parametrize('shape', [(6,), (4, 6), (2, 3, 6)])
def test_layer_and_rms_norm_are_torchs(shape):
    for eps in (1e-5, .5):
        compare(depth.LayerNorm(6, eps), nn.LayerNorm(6, eps), numbers(*shape))
        compare(depth.RMSNorm(6, eps), nn.RMSNorm(6, eps), numbers(*shape))
    x, w, b = numbers(4, 6), numbers(6, seed=1), numbers(6, seed=2)
    close(depth.layer_norm(x, w, b), F.layer_norm(x, (6,), w, b))
    close(depth.rms_norm(x, w), F.rms_norm(x, (6,), w, 1e-6))


@pytest.mark.parametrize('shape', [(7, 5), (7, 5, 3), (4, 6, 3, 2)])
def test_scales_are_torchs(shape):
    weight = torch.empty(shape, dtype=torch.float64)
    assert depth.fans(weight) == nn.init._calculate_fan_in_and_fan_out(weight)
    def drawn(f):
        torch.manual_seed(1)
        return f(weight.clone())
    for slope in (0., .2, 1.):
        close(drawn(lambda w, slope=slope: nn.init.normal_(w, std=depth.kaiming_std(w, slope))),
              drawn(lambda w, slope=slope: nn.init.kaiming_normal_(w, slope)))
    close(drawn(lambda w: nn.init.normal_(w, std=depth.xavier_std(w, 1.5))),
          drawn(lambda w: nn.init.xavier_normal_(w, 1.5)))


def test_initialize_draws_weights_and_leaves_norms():
    model = nn.Sequential(nn.Conv2d(3, 40, 5, bias=False), nn.BatchNorm2d(40), nn.Linear(400, 300))
    nn.init.constant_(model[1].weight, 2.)
    assert depth.initialize_(model, generator=torch.Generator().manual_seed(0)) is model
    for i in (0, 2):
        assert abs(model[i].weight.std().item()/depth.kaiming_std(model[i].weight) - 1) < .05
    assert not model[2].bias.any() and (model[1].weight == 2).all()
    first = model[2].weight.clone()
    assert torch.equal(depth.initialize_(model,
                                         generator=torch.Generator().manual_seed(0))[2].weight,
                                         first)
    depth.initialize_(model, depth.xavier_std)
    assert abs(model[2].weight.std().item()/depth.xavier_std(first) - 1) < .05


def test_residual_adds():
    x = numbers(4, 3)
    double = nn.Linear(3, 3, bias=False).double()
    nn.init.constant_(double.weight, 0.)
    double.weight.data.fill_diagonal_(2.)
    close(depth.Residual(double)(x), 3*x)
    close(depth.Residual(double, scale=.25)(x), 1.5*x)
    close(depth.Residual(double, depth.LayerNorm(3).double())(x), x + 2*F.layer_norm(x, (3,)))


def test_norms_by_depth():
    layers = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(),
                           nn.Linear(2, 2, bias=False)).double()
    for i, k in ((0, 2.), (2, 3.)): layers[i].weight.data = k*torch.eye(2).double()
    x = torch.ones(5, 2).double()
    signals, grads = depth.norms_by_depth(layers, x, torch.sum)
    assert signals == pytest.approx([2, 2, 6])
    assert grads == pytest.approx([3*10**.5, 3*10**.5, 10**.5])
    assert not x.requires_grad and layers[0].weight.grad is None


@pytest.mark.parametrize(('act', 'says'), [
    (lambda: depth.fans(torch.zeros(3)), '`weight` must have two axes'),
    (lambda: depth.BatchNorm(3)(torch.zeros(4, 2)), '`x` must have 3 channels on its second axis'),
    (lambda: depth.BatchNorm(3)(torch.zeros(3)), '`x` must have 3 channels on its second axis'),
    (lambda: depth.BatchNorm(3)(torch.zeros(1, 3)),
     '`x` must hold two values of each channel in training'),
    (lambda: depth.Residual(nn.Linear(3, 2))(torch.zeros(4, 3)),
     '`block` must keep the shape of its input'),
])
def test_what_cannot_work_says_so(act, says):
    with pytest.raises(InputError, match=says): act()
