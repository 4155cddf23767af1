"Convolution, pooling and their backward passes against torch's own; what is no image is told so"
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from jaxtyping import install_import_hook
from oracles import same_as_torch

from dlcourse.core.errors import InputError

# Shapes are checked here, and not in normal use
with install_import_hook('dlcourse.vision.convolution', 'beartype.beartype'):
    from dlcourse.vision.convolution import (
        check_images,
        conv,
        conv_backward,
        conv_transpose,
        fold_back,
        image_windows,
        max_pool,
        max_pool_backward,
        output_size,
        receptive_field,
    )

few = hypothesis_settings(max_examples=30, deadline=None)
small, seeds = st.integers(1, 3), st.integers(0, 99)


def drawn(seed, *shapes, dtype=torch.float64):
    rng = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=rng, dtype=dtype) for shape in shapes]


@few
@given(small, small, small, small, small, st.integers(0, 2), small, seeds)
def test_conv_is_torch_forward_and_backward(b, c, out, size, stride, padding, dilation, seed):
    how = dict(stride=stride, padding=padding, dilation=dilation)
    x, weight, bias = drawn(seed, (b, c, 8, 7), (out, c, size, size), (out,))
    same_as_torch(lambda *a: conv(*a, **how), lambda *a: F.conv2d(*a, **how), x, weight, bias)
    leaves = [t.requires_grad_() for t in (x, weight, bias)]
    y = F.conv2d(*leaves, **how)
    assert y.shape[2:] == tuple(output_size(n, size, stride, padding, dilation) for n in (8, 7))
    sent, = drawn(seed + 1, y.shape)
    want = torch.autograd.grad(y, leaves, sent)
    got = conv_backward(x.detach(), weight.detach(), sent, **how)
    torch.testing.assert_close(got, want)


def test_float32_is_within_a_hundred_thousandth():
    x, weight = drawn(0, (2, 3, 9, 9), (4, 3, 3, 3), dtype=torch.float32)
    same_as_torch(conv, F.conv2d, x, weight)


@few
@given(small, small, small, st.integers(0, 1), seeds)
def test_conv_transpose_is_torch(c, size, stride, padding, seed):
    x, weight = drawn(seed, (2, c, 4, 3), (c, 2, size + 1, size + 1))
    how = dict(stride=stride, padding=padding)
    same_as_torch(lambda *a: conv_transpose(*a, **how), lambda *a: F.conv_transpose2d(*a, **how),
                  x, weight)


@few
@given(small, small, seeds)
def test_max_pool_is_torch_forward_and_backward(size, stride, seed):
    x, = drawn(seed, (2, 3, 7, 6))
    same_as_torch(lambda a: max_pool(a, size, stride), lambda a: F.max_pool2d(a, size, stride), x)
    x = x.round().requires_grad_() # With ties
    y = F.max_pool2d(x, size, stride)
    sent, = drawn(seed + 1, y.shape)
    want, = torch.autograd.grad(y, x, sent)
    torch.testing.assert_close(max_pool_backward(x.detach(), sent, size, stride), want)


def test_fold_back_is_the_adjoint_of_the_windows():
    x, = drawn(0, (1, 2, 6, 7))
    parts = image_windows(x, 3, stride=2, padding=1)
    sent, = drawn(1, parts.shape)
    back = fold_back(sent, 6, 7, stride=2, padding=1)
    torch.testing.assert_close((parts*sent).sum(), (x*back).sum())


@pytest.mark.parametrize('layers', [[], [(3, 1)], [(3, 2), (3, 1)], [(5, 1), (2, 2), (3, 2)]])
def test_the_receptive_field_is_where_a_gradient_arrives(layers):
    x = torch.zeros(1, 1, 65, 65).requires_grad_()
    y = x
    for kernel, stride in layers: y = F.conv2d(y, torch.ones(1, 1, kernel, kernel), stride=stride)
    middle = y.shape[-1]//2
    pull, = torch.autograd.grad(y[0, 0, middle, middle], x)
    assert (pull != 0).any(2).sum() == receptive_field(layers)


@pytest.mark.parametrize('call, told', [
    (lambda: check_images(torch.zeros(8, 8)), r"`x` must be images, .* got the shape \(8, 8\)"),
    (lambda: check_images(torch.zeros(1, 3, 8, 8), 1), "`x` must have 1 channels, got 3; convert"),
    (lambda: image_windows(torch.zeros(1, 1, 2, 9), 3), r"`x` must have 3 rows .* got \(2, 9\)"),
    (lambda: image_windows(torch.zeros(1, 1, 9, 9), 3, stride=0), "must be 1 or more"),
    (lambda: image_windows(torch.zeros(1, 1, 9, 9), 3, padding=-1), "`padding` 0; got"),
])
def test_what_cannot_be_is_told(call, told):
    with pytest.raises(InputError, match=told): call()
