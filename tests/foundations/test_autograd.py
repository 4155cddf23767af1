"The engine against torch and against nudges, and what it says when it is used wrongly"
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays, mutually_broadcastable_shapes

from dlcourse.core.errors import InputError
from dlcourse.foundations.autograd import (
    Tensor,
    as_tensor,
    draw_graph,
    finite_differences,
    gradient_gap,
    topological_order,
)

ROOT = Path(__file__).resolve().parents[2]
UNARY = { # Name → what it does to a tensor
    'exp': lambda x: x.exp(), 'tanh': lambda x: x.tanh(), 'relu': lambda x: x.relu(),
    'square': lambda x: x**2, 'neg': lambda x: -x,
    'sum all': lambda x: x.sum(), 'sum 0': lambda x: x.sum(0), 'sum two': lambda x: x.sum((0, 2)),
    'sum last, kept': lambda x: x.sum(-1, keepdims=True),
    'mean all': lambda x: x.mean(), 'mean 1': lambda x: x.mean(1),
    'mean kept': lambda x: x.mean(1, keepdims=True),
    'log_softmax': lambda x: x.log_softmax(-1), 'log_softmax 0': lambda x: x.log_softmax(0),
    'minus': lambda x: 1 - x, 'less': lambda x: x - 2, 'by': lambda x: x/7, 'plus': lambda x: 2 + x}
POSITIVE = { # The same, for numbers above zero
    'log': lambda x: x.log(), 'root': lambda x: x**.5, 'inverse': lambda x: x**-1,
    'over': lambda x: 3/x}
BINARY = {
    '+': lambda x, y: x + y, '-': lambda x, y: x - y, '*': lambda x, y: x*y,
    '/': lambda x, y: x/(y*y + 1)}


def compare(f, *inputs):
    "Value and gradients of a formula on both engines, weighted so that no entry stands for another"
    ours = [Tensor(a) for a in inputs]
    theirs = [torch.tensor(a, requires_grad=True) for a in inputs]
    out, want = f(*ours), f(*theirs)
    assert out.shape == tuple(want.shape)
    np.testing.assert_allclose(out.data, want.detach().numpy(), rtol=1e-12, atol=1e-12)
    weights = np.random.default_rng(9).normal(size=out.shape)
    (out*weights).sum().backward()
    (want*torch.tensor(weights)).sum().backward()
    for o, t in zip(ours, theirs, strict=True):
        assert o.grad.shape == o.shape
        np.testing.assert_allclose(o.grad, t.grad.numpy(), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize('name', UNARY)
def test_operations_of_one_tensor(name):
    compare(UNARY[name], np.random.default_rng(0).normal(size=(3, 4, 2)))


@pytest.mark.parametrize('name', POSITIVE)
def test_operations_of_positive_numbers(name):
    compare(POSITIVE[name], np.abs(np.random.default_rng(0).normal(size=(3, 4, 2))) + .5)


@given(st.sampled_from(sorted(BINARY)), st.integers(0, 99),
       mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=3))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_broadcasting_of_any_two_shapes(op, seed, shapes):
    rng = np.random.default_rng(seed)
    compare(BINARY[op], *(rng.normal(size=shape) for shape in shapes.input_shapes))


@pytest.mark.parametrize('left, right', [
    ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4)), ((6, 1, 2, 3), (5, 3, 4)),
    ((1, 1), (1, 1)), ((0, 3), (3, 2))])
def test_matrix_products_and_stacks(left, right):
    rng = np.random.default_rng(1)
    compare(lambda x, y: x @ y, rng.normal(size=left), rng.normal(size=right))


@given(arrays(float, (2, 3), elements=st.floats(-2, 2)))
@settings(max_examples=25, deadline=None, derandomize=True)
def test_gradient_equals_nudges(x):
    def f(t): return ((t*t + t).tanh()*(t + .3)).sum()
    t = Tensor(x)
    f(t).backward()
    nudged = finite_differences(lambda a: float(f(Tensor(a)).data), x)
    np.testing.assert_allclose(t.grad, nudged, atol=1e-8)


def test_finite_differences_leave_their_argument_alone():
    x = np.array([[1., 2.], [3., 4.]])
    np.testing.assert_allclose(finite_differences(lambda a: (a**3).sum(), x), 3*x**2, rtol=1e-8)
    assert x.tolist() == [[1., 2.], [3., 4.]]
    assert finite_differences(lambda a: float(a**2), np.array(3.), step=1e-4).shape == ()


def test_backward_starts_from_one_number():
    says = (r"`backward` starts from one number, such as a loss; got a tensor of shape \(2, 3\); "
            r"take its `sum\(\)` or `mean\(\)` first")
    with pytest.raises(InputError, match=says): Tensor(np.ones((2, 3))).backward()
    one = Tensor([[4.]])
    one.backward()
    assert one.grad.tolist() == [[1.]]


def test_backward_starts_afresh():
    x = Tensor([1., 2.])
    for _ in range(3): (x*x).sum().backward()
    assert x.grad.tolist() == [2., 4.]


def test_gradients_are_arrays_of_their_own():
    "Changing one in place changes no other"
    x, y = Tensor([1., 2.]), Tensor([3., 4.])
    (x + y).sum().backward()
    x.grad *= 10
    assert (x.grad.tolist(), y.grad.tolist()) == ([10., 10.], [1., 1.])


def test_a_deep_graph_is_built_walked_and_thrown_away():
    x = t = Tensor(1.)
    for _ in range(50_000): t = t + x
    t.backward()
    assert float(x.grad) == 50_001 and len(topological_order(t)) == 50_001
    del t


def test_a_vector_is_no_matrix():
    with pytest.raises(ValueError): (Tensor([1., 2.]) @ Tensor([[1.], [2.]])).sum().backward()


@pytest.mark.parametrize('f', [
    lambda a, t: a + t, lambda a, t: a*t, lambda a, t: a - t, lambda a, t: a/t, lambda a, t: a @ t])
def test_an_array_on_the_left_gives_a_tensor(f):
    a, t = np.array([[2., 1.], [4., 3.]]), np.array([[1., 2.], [5., 4.]])
    out = f(a, Tensor(t))
    assert type(out) is Tensor
    np.testing.assert_array_equal(out.data, f(a, t))


def test_log_softmax_survives_large_logits():
    x = Tensor([[1000., 0., -1000.]])
    out = x.log_softmax()
    assert np.isfinite(out.data).all() and out.data[0, 0] == 0
    out.sum().backward()
    np.testing.assert_allclose(x.grad, [[-2., 1., 1.]])


def test_tensors_keep_float64_and_show_themselves():
    assert as_tensor(3).data.dtype == Tensor(np.ones(2, np.float32)).data.dtype == np.float64
    t = Tensor([1, 2])
    assert as_tensor(t) is t
    assert (repr(t), repr(t + 1)) == ('Tensor([1. 2.])', "Tensor([2. 3.], op='+')")


def test_the_gap_of_a_wrong_rule_is_its_error():
    x, y = np.array([.5, -1., 2.]), np.array([[1.], [3.]])
    def bent(t): return Tensor(np.exp(t.data), (t,), lambda grad: (2*grad*np.exp(t.data),), 'exp')
    assert gradient_gap(lambda a, b: (a*b).exp().sum(), x, y) < 1e-4
    np.testing.assert_allclose(gradient_gap(lambda a: bent(a).sum(), x), np.exp(2.), rtol=1e-6)
    assert gradient_gap(lambda a, b: a.sum(), x, y) < 1e-6
    assert gradient_gap(lambda a, b: a.sum() + Tensor(b.data.sum()), x, y) > .9


def test_drawing_shows_every_tensor_once():
    x, w = Tensor(np.ones((2, 3)), name='x'), Tensor(3., name='w')
    root = (x*w).sum()*w
    for shapes in (2, 4): # Of the values; then of the gradients too
        ax = draw_graph(root).ax
        lines = [line for t in ax.texts for line in t.get_text().split('\n')]
        assert lines.count('x') == lines.count('w') == 1
        assert lines.count('2 × 3') == shapes
        boxes = [p for p in ax.patches if hasattr(p, 'get_boxstyle')]
        assert len({box.get_bbox().bounds[:2] for box in boxes}) == len(topological_order(root))
        root.backward()
    assert len(draw_graph(Tensor(1.)).ax.texts) == 1


def test_module_needs_numpy_only():
    code = ("import sys, dlcourse.foundations.autograd; "
            "heavy = 'torch', 'matplotlib', 'sklearn', 'polars', 'pandas'; "
            "print([m for m in heavy if m in sys.modules])")
    done = subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == '[]'
