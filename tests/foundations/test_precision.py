"Sums and variances against exact arithmetic, and what is said of misuse"
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import same_as_torch

from dlcourse.core.errors import InputError
from dlcourse.foundations.precision import (
    Moments,
    compensated_sum,
    moments,
    pairwise_sum,
    stochastic_round,
    two_sum,
    ulp,
)

few = settings(max_examples=100, deadline=None, derandomize=True)
FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


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
