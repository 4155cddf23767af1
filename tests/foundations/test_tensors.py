"Strides and sums over letters against NumPy, and what is said of misuse"
import math
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, mutually_broadcastable_shapes
from oracles import same_as_torch

from dlcourse.core.errors import InputError
from dlcourse.foundations.tensors import (
    broadcast_shape,
    broadcast_strides,
    contact_sheet,
    einsum,
    read_pattern,
    row_strides,
    windows,
)

few = settings(max_examples=100, deadline=None, derandomize=True)


@given(array_shapes(min_dims=0, max_dims=5, max_side=6))
@few
def test_row_strides_are_numpys(shape):
    numpys = tuple(s//8 for s in np.empty(shape).strides)
    assert row_strides(shape) == numpys == torch.empty(shape).stride()


@given(mutually_broadcastable_shapes(num_shapes=3, max_dims=4, max_side=4, min_side=0))
@few
def test_broadcast_shape_is_numpys(shapes):
    assert broadcast_shape(*shapes.input_shapes) == shapes.result_shape


@given(st.lists(st.lists(st.integers(0, 3), max_size=3).map(tuple), min_size=2, max_size=3))
@few
def test_broadcasting_fails_where_numpys_does(shapes):
    try: want = np.broadcast_shapes(*shapes)
    except ValueError:
        with pytest.raises(InputError): broadcast_shape(*shapes)
    else: assert broadcast_shape(*shapes) == want


def test_a_clash_names_the_axis_and_what_to_do():
    says = (r"shapes must agree.*got \(\(32, 10\), \(32,\)\), which differ at axis -1; "
            r"insert an axis with `x\[:, None\]`")
    with pytest.raises(InputError, match=says): broadcast_shape((32, 10), (32,))
    says = (r"`shape` must broadcast to `to`; got shape=\(4, 1\), to=\(1, 3\), "
            r"which broadcast to \(4, 3\)")
    with pytest.raises(InputError, match=says): broadcast_strides((4, 1), (1, 1), (1, 3))


@given(mutually_broadcastable_shapes(num_shapes=1, max_dims=4, max_side=4, base_shape=(2, 1, 3)))
@few
def test_strides_read_what_numpy_reads(shapes):
    (shape,), to = shapes.input_shapes, shapes.result_shape
    x = torch.arange(float(math.prod(shape))).reshape(shape)
    strides = broadcast_strides(x.shape, x.stride(), to)
    view = x.as_strided(to, strides)
    assert np.array_equal(view.numpy(), np.broadcast_to(x.numpy(), to))
    assert view.data_ptr() == x.data_ptr()
    def walked(strides): return [s for s, n in zip(strides, to, strict=True) if n > 1]
    assert walked(strides) == walked(x.expand(to).stride())


VIEWS = [lambda x: x, lambda x: x.transpose(0, 2), lambda x: x[1:, ::2], lambda x: x[..., 1:]]


@pytest.mark.parametrize('view', VIEWS)
@pytest.mark.parametrize('size', [(2,), (1, 2), (2, 2, 2), ()])
def test_windows_are_numpys_and_share_memory(view, size):
    x = view(torch.arange(120.).reshape(4, 6, 5))
    axes = tuple(range(x.ndim - len(size), x.ndim))
    want = x.numpy()
    if size: want = np.lib.stride_tricks.sliding_window_view(want, size, axis=axes)
    got = windows(x, *size)
    assert np.array_equal(got.numpy(), want) and got.data_ptr() == x.data_ptr()


@pytest.mark.parametrize('view', VIEWS)
def test_windows_and_what_goes_back_through_them_are_torchs(view):
    x = torch.randn(4, 6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    def torchs(x): return view(x).unfold(-2, 2, 1).unfold(-2, 3, 1)
    same_as_torch(lambda x: windows(view(x), 2, 3), torchs, x)


@pytest.mark.parametrize('size', [(7,), (0,), (3, 9), (1, 1, 1, 1)])
def test_windows_say_what_fits(size):
    says = (r"`size` must name a length for some of the last axes.*"
            r"got size=.* for a shape of \(2, 4, 6\)")
    with pytest.raises(InputError, match=says): windows(torch.zeros(2, 4, 6), *size)


@given(st.data())
@few
def test_einsum_is_numpys(data):
    numbers = data.draw(st.lists(st.integers(1, 4), min_size=5, max_size=5))
    lengths = dict(zip('abcde', numbers, strict=True))
    def first_of(order): return st.integers(0, 4).map(lambda n: ''.join(order[:n]))
    letters = st.permutations('abcde').flatmap(first_of)
    inputs = data.draw(st.lists(letters, min_size=1, max_size=3))
    known = sorted({*''.join(inputs)})
    out = ''.join(data.draw(st.permutations(known))[:data.draw(st.integers(0, len(known)))])
    pattern, rng = f"{','.join(inputs)}->{out}", np.random.default_rng(0)
    arrays = [rng.integers(-9, 10, [lengths[c] for c in axes]) for axes in inputs]
    want = np.einsum(pattern, *arrays)
    assert np.array_equal(einsum(pattern, *map(torch.as_tensor, arrays)).numpy(), want)
    floats = [np.asarray(a*rng.normal()) for a in arrays]
    got = einsum(pattern, *map(torch.as_tensor, floats)).numpy()
    np.testing.assert_allclose(got, np.einsum(pattern, *floats), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize('pattern, shapes', [
    ('ij,jk->ik', [(3, 4), (4, 2)]), ('bhid,bhjd->bhij', [(2, 3, 5, 4), (2, 3, 6, 4)]),
    ('ij,kj,k->i', [(2, 3), (4, 3), (4,)]), ('abc->', [(2, 3, 4)]), ('ij->ji', [(2, 3)])])
def test_einsum_and_its_gradients_are_torchs(pattern, shapes):
    rng = torch.Generator().manual_seed(0)
    tensors = [torch.randn(shape, generator=rng, dtype=torch.float64) for shape in shapes]
    same_as_torch(partial(einsum, pattern), partial(torch.einsum, pattern), *tensors)


@pytest.mark.parametrize('pattern, says', [
    ('ij,jk', "`pattern` must be letters, commas and one `->`"),
    ('i1->i', "`pattern` must be letters"),
    ('ij,jk,k->i', "must name each tensor once"),
    ('ij,j->i', "a different letter for each axis"),
    ('ii,jk->i', "a different letter for each axis"),
    ('ij,ik->jk', "`i` must have one length; got 2 and 3"),
    ('ij,jk->iz', "must repeat no letter and invent none"),
    ('ij,jk->ii', "must repeat no letter and invent none")])
def test_einsum_says_what_is_wrong_with_a_pattern(pattern, says):
    with pytest.raises(InputError, match=says):
        einsum(pattern, torch.zeros(2, 3), torch.zeros(3, 4))


def test_spaces_in_a_pattern_do_not_count():
    assert read_pattern(' b i j , b j k -> b i k', (2, 3, 4), (2, 4, 5)) == (['bij', 'bjk'], 'bik')


@given(st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3))
@few
def test_a_sheet_is_numpys_block(rows, columns, height, width):
    pictures = torch.arange(rows*columns*height*width).reshape(-1, height, width)
    table = [list(pictures[i*columns:(i + 1)*columns].numpy()) for i in range(rows)]
    assert np.array_equal(contact_sheet(pictures, columns).numpy(), np.block(table))


@pytest.mark.parametrize('columns', [0, -1, 4, 7])
def test_a_sheet_says_what_fits(columns):
    says = f"`columns` must be 1 or more and divide the number of pictures, 6; got {columns}"
    with pytest.raises(InputError, match=says): contact_sheet(torch.zeros(6, 2, 2), columns)
