"Strides against NumPy, sums and variances against exact arithmetic, and what is said of misuse"
import math
from fractions import Fraction
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
    Moments,
    broadcast_shape,
    broadcast_strides,
    compensated_sum,
    einsum,
    moments,
    pairwise_sum,
    read_pattern,
    row_strides,
    stochastic_round,
    two_sum,
    ulp,
    windows,
)

few = settings(max_examples=100, deadline=None, derandomize=True)
FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


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


@pytest.mark.parametrize('dtype', FLOATS)
def test_ulp_is_the_distance_to_the_next_number(dtype):
    x = torch.tensor([1., 1.5, 2., -3., 1000., .1], dtype=dtype)
    want = torch.finfo(dtype).eps*2.**torch.floor(torch.log2(x.double().abs()))
    assert ulp(x).dtype == dtype and torch.equal(ulp(x).double(), want)
    if dtype in (torch.float32, torch.float64):
        assert np.array_equal(ulp(x).numpy(), np.abs(np.spacing(x.numpy())))
    assert ulp(torch.tensor(torch.finfo(dtype).max, dtype=dtype)).item() == math.inf


terms = st.floats(-2.**50, 2.**50, width=32)


@given(st.lists(st.tuples(terms, terms), min_size=1, max_size=20),
       st.sampled_from([torch.float32, torch.bfloat16]))
@few
def test_two_sum_loses_nothing(pairs, dtype):
    a, b = (torch.tensor(x).to(dtype) for x in zip(*pairs, strict=True))
    big = (a.abs() > 1e-25) & (b.abs() > 1e-25) # Below, the remainder may underflow
    a, b = a[big], b[big]
    total, dropped = two_sum(a, b)
    assert torch.equal(total, a + b)
    def exactly(t): return [Fraction(number) for number in t.tolist()]
    for x, y, s, e in zip(*map(exactly, (a, b, total, dropped)), strict=True): assert x + y == s + e


@pytest.mark.parametrize('dtype, bound', [
    (torch.float64, 3e-16), (torch.float32, 2e-7), (torch.bfloat16, 9e-3)])
def test_compensated_sum_is_right_to_the_last_digits(dtype, bound):
    x = torch.rand(3000, 2, generator=torch.Generator().manual_seed(0),
                   dtype=torch.float64).to(dtype)
    got = compensated_sum(x)
    assert got.dtype == dtype and got.shape == (2,)
    for column in (0, 1):
        truth = math.fsum(x[:, column].tolist())
        assert abs(got[column].item() - truth) <= bound*truth


@pytest.mark.parametrize('offset', [0., 1e4, -1e9])
@pytest.mark.parametrize('sizes', [[7, 1, 12], [20], [1]*20])
def test_moments_of_portions_are_those_of_the_whole(offset, sizes):
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(20, 3)) + offset
    parts = [moments(p) for p in torch.tensor(rows).split(sizes)]
    whole = sum(parts[1:], parts[0])
    assert whole.count == 20
    np.testing.assert_allclose(whole.mean, rows.mean(0), rtol=1e-14, atol=1e-15)
    for correction in (0, 1):
        want = rows.var(0, ddof=correction)
        np.testing.assert_allclose(whole.variance(correction), want, rtol=1e-6 if offset else 1e-12)


def test_moments_say_what_they_need():
    with pytest.raises(InputError, match="`x` must have at least one row; got none"):
        moments(torch.zeros(0, 3))
    with pytest.raises(InputError,
                       match="`count` must be at least 1, for nothing has no mean; got 0"):
        Moments(count=0, mean=torch.zeros(()), scatter=torch.zeros(()))
    says = "`variance` needs more rows than `correction`; got 1 rows, correction=1"
    with pytest.raises(InputError, match=says): moments(torch.ones(1, 2)).variance()
    assert moments(torch.ones(1, 2)).variance(0).tolist() == [0, 0]


def test_stochastic_rounding_takes_a_neighbour_and_is_right_on_average():
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(50, generator=rng)*2.**torch.randint(-20, 20, (50,), generator=rng)
    drawn = torch.stack([stochastic_round(x, rng) for _ in range(4000)])
    assert drawn.dtype == torch.bfloat16
    gap = ulp(x.bfloat16()).float()
    assert ((drawn.float() - x).abs() < 1.001*gap).all()
    assert ((drawn.float().mean(0) - x).abs() < 5*gap/2/4000**.5).all()


def test_stochastic_rounding_leaves_alone_what_needs_none():
    x = torch.tensor([0., -0., 1., -384., math.inf, -math.inf, math.nan])
    assert torch.equal(stochastic_round(x)[:-1].float(), x[:-1]) and stochastic_round(x)[-1].isnan()
    y = torch.rand(100, generator=torch.Generator().manual_seed(3))
    assert torch.equal(*(stochastic_round(y, torch.Generator().manual_seed(7)) for _ in range(2)))
    says = (r"`x` must be float32, for its bits are used; got torch.float64; "
            r"convert with `x.float\(\)`")
    with pytest.raises(InputError, match=says): stochastic_round(x.double())
@pytest.mark.parametrize('n', [0, 1, 2, 5, 64, 1001])
def test_sums_in_pairs_are_right_to_the_last_digits(n):
    x = torch.randn(n, 3, generator=torch.Generator().manual_seed(n))
    if n: same_as_torch(pairwise_sum, lambda x: x.sum(0), x.double(), atol=1e-12)
    truth = [math.fsum(column) for column in x.T.tolist()]
    size = [math.fsum(map(abs, column)) for column in x.T.tolist()]
    off = [abs(a - b) for a, b in zip(pairwise_sum(x).tolist(), truth, strict=True)]
    assert all(o <= 12*2**-24*s for o, s in zip(off, size, strict=True))
    assert pairwise_sum(torch.ones(4096).bfloat16()) == 4096


