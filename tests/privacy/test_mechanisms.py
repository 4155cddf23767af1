import math
import random
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from dlcourse.core.errors import InputError
from dlcourse.privacy.exact_noise import discrete_laplace_chances
from dlcourse.privacy.mechanisms import (
    choice_chances,
    classic_scale,
    exact_delta,
    exact_epsilon,
    first_above_chances,
    gaussian_scale,
    laplace_counts,
    response_chances,
    unbiased_share,
)


@pytest.mark.parametrize('epsilon', [.1, 1., 5.])
def test_randomized_response_keeps_its_epsilon_exactly(epsilon):
    chances = response_chances(epsilon)
    np.testing.assert_allclose(chances.sum(1), 1)
    assert exact_epsilon(*chances) == pytest.approx(epsilon)
    assert exact_delta(*chances, epsilon) == pytest.approx(0, abs=1e-12)
    assert exact_delta(*chances, 0) == pytest.approx(math.tanh(epsilon/2)), 'total variation'


def test_an_output_that_only_one_can_give_is_infinite():
    assert math.isinf(exact_epsilon([.5, .5, 0], [.5, 0, .5]))
    assert exact_epsilon([.5, .5, 0], [.5, .5, 0]) == 0


def test_undoing_the_coin_is_unbiased():
    rng, truth = np.random.default_rng(0), np.arange(1000) < 300
    honest = response_chances(1.)[0, 0]
    answers = np.where(rng.random((2000, 1000)) < honest, truth, ~truth)
    estimates = unbiased_share(answers.mean(1), 1.)
    assert abs(estimates.mean() - .3) < 4*estimates.std()/math.sqrt(2000)


def test_laplace_noise_keeps_its_epsilon_exactly():
    outputs = np.arange(-80, 81)
    one, other = (discrete_laplace_chances(outputs - c, 1/.7) for c in (3, 4))
    assert exact_epsilon(one, other) == pytest.approx(.7)


def test_counts_with_noise():
    counts = np.array([[3, 700], [0, 12]])
    noisy = np.array([laplace_counts(counts, 2., random.Random(s)) for s in range(800)])
    assert noisy.dtype.kind == 'i' and noisy.shape[1:] == counts.shape
    assert np.abs(noisy.mean(0) - counts).max() < .15
    with pytest.raises(InputError, match='`counts` must be whole'): laplace_counts([1.5], 1.)
    for bad in (0, -1, math.nan, math.inf):
        with pytest.raises(InputError, match='`epsilon` must be'): laplace_counts([1], bad)


@pytest.mark.parametrize('epsilon,delta', [(.05, 1e-6), (1., 1e-5), (10., 1e-5), (40., 1e-8)])
def test_gaussian_noise_meets_its_promise(epsilon, delta):
    mu = 2.5/gaussian_scale(epsilon, delta, 2.5)
    got = norm.cdf(mu/2 - epsilon/mu) - math.exp(epsilon + norm.logcdf(-mu/2 - epsilon/mu))
    assert got == pytest.approx(delta, rel=1e-4)


def test_the_classic_formula_wastes_below_and_breaks_above():
    assert classic_scale(1., 1e-5) > gaussian_scale(1., 1e-5)
    assert classic_scale(20., 1e-5) < gaussian_scale(20., 1e-5)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(-50, 50), min_size=2, max_size=6), st.floats(.05, 5), st.data())
def test_a_choice_keeps_its_epsilon(scores, epsilon, data):
    n = len(scores)
    moves = data.draw(st.lists(st.sampled_from([-1, 0, 1]), min_size=n, max_size=n))
    one, other = (choice_chances(np.array(s, float), epsilon)
                  for s in (scores, np.add(scores, moves)))
    assert exact_epsilon(one, other) <= epsilon*(1 + 1e-6)


@pytest.mark.parametrize('epsilon', [.5, 1., 3.])
def test_sparse_vectors_keep_their_epsilon_on_all_small_worlds(epsilon):
    worlds = {w: first_above_chances(np.array(w), 1, epsilon) for w in product([0, 1, 2], repeat=3)}
    worst = 0
    for a, p in worlds.items():
        assert p.sum() == pytest.approx(1)
        for b, q in worlds.items():
            if max(abs(x - y) for x, y in zip(a, b, strict=True)) <= 1:
                worst = max(worst, exact_epsilon(p, q))
    assert .5*epsilon < worst <= epsilon


def test_sparse_vectors_equal_a_simulation():
    rng, counts, n = np.random.default_rng(0), np.array([2, 5, 4]), 200_000
    def noise(scale, shape):
        p = -math.expm1(-1/scale)
        return rng.geometric(p, shape) - rng.geometric(p, shape)
    above = counts + noise(4., (n, 3)) >= 4 + noise(2., (n, 1))
    first = np.where(above.any(1), above.argmax(1), 3)
    np.testing.assert_allclose(np.bincount(first, minlength=4)/n,
                               first_above_chances(counts, 4, 1.), atol=.006)


def test_counts_that_would_be_published_wrongly_are_refused():
    for bad, said in ((np.ma.masked_array([5, 7], [0, 1]), 'masked'), ([2**63 - 2], 'within')):
        with pytest.raises(InputError, match=said): laplace_counts(bad, 50.)
    for bad in (1e-20, '1'):
        with pytest.raises(InputError, match='`epsilon` must be'): laplace_counts([3], bad)
    assert laplace_counts(np.array([3], dtype=np.uint64), 1.).dtype == np.int64
