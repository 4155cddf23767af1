import math
import random
from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import chisquare

from dlcourse.core.errors import InputError
from dlcourse.privacy.exact_noise import (
    SECURE,
    coin_exp,
    discrete_gaussian,
    discrete_gaussian_chances,
    discrete_gaussian_delta,
    discrete_laplace,
    discrete_laplace_chances,
    discrete_laplace_tail,
)


def fits(draws, chances, values):
    "Chi-square of draws against chances, all that is rare together"
    counts = np.array([(draws == v).sum() for v in values])
    seen, want = np.append(counts, len(draws) - counts.sum()), np.append(chances, 1 - chances.sum())
    return chisquare(seen, want*len(draws)).pvalue


@pytest.mark.parametrize('gamma', [0, Fraction(1, 3), 1, Fraction(5, 2)])
def test_a_coin_falls_with_its_chance(gamma):
    dice = random.Random(0)
    heads = sum(coin_exp(gamma, dice) for _ in range(20_000))
    p = math.exp(-gamma)
    assert abs(heads - 20_000*p) <= 4*math.sqrt(20_000*p*(1 - p)) + 1e-9


@pytest.mark.parametrize('scale', [Fraction(1, 2), 1, 2.5])
def test_laplace_draws_follow_their_chances(scale):
    dice, values = random.Random(1), np.arange(-4, 5)
    draws = np.array([discrete_laplace(scale, dice) for _ in range(8000)])
    assert fits(draws, discrete_laplace_chances(values, float(scale)), values) > 1e-3


@pytest.mark.parametrize('sigma', [Fraction(2, 3), 1, 3.25])
def test_gaussian_draws_follow_their_chances(sigma):
    dice, values = random.Random(2), np.arange(-4, 5)
    draws = np.array([discrete_gaussian(sigma, dice) for _ in range(6000)])
    assert fits(draws, discrete_gaussian_chances(values, float(sigma)), values) > 1e-3


def test_chances_and_tails():
    values = np.arange(-300, 301)
    for scale in (.3, 1., 6.):
        chances = discrete_laplace_chances(values, scale)
        assert chances.sum() == pytest.approx(1)
        tails = chances[::-1].cumsum()[::-1]
        np.testing.assert_allclose(discrete_laplace_tail(values, scale), tails, atol=1e-12)
        assert discrete_laplace_tail(200, scale) > 0 or scale < 1
    assert discrete_gaussian_chances(values, 4.).sum() == pytest.approx(1)


def test_the_delta_of_a_discrete_gaussian_is_that_of_its_formula():
    "Canonne, Kamath & Steinke 2020, theorem 7"
    sigma, epsilon = 3., .5
    values = np.arange(-200, 201)
    p = np.exp(-values**2/(2*sigma**2))
    p /= p.sum()
    want = (p[values > epsilon*sigma**2 - .5].sum()
            - math.exp(epsilon)*p[values > epsilon*sigma**2 + .5].sum())
    assert discrete_gaussian_delta(epsilon, sigma) == pytest.approx(want, rel=1e-9)
    assert discrete_gaussian_delta(epsilon, sigma, 2) > want
    with pytest.raises(InputError, match='`distance`'): discrete_gaussian_delta(1., 1., 0)


def test_the_dice_in_earnest_have_no_seed():
    state = random.getstate()
    random.seed(0)
    first = [discrete_laplace(50) for _ in range(8)]
    random.seed(0)
    assert first != [discrete_laplace(50) for _ in range(8)]
    with pytest.raises(NotImplementedError): SECURE.getstate()
    random.setstate(state)


@pytest.mark.parametrize('bad', [0, -1, math.nan, math.inf, 'x', None, True])
def test_scales_that_cannot_be(bad):
    with pytest.raises(InputError, match='`scale` must be'): discrete_laplace(bad)
    with pytest.raises(InputError, match='`sigma` must be'): discrete_gaussian(bad)
    if bad == -1:
        with pytest.raises(InputError, match='`gamma` must be'): coin_exp(bad)


def test_no_delta_without_noise():
    with pytest.raises(InputError, match='`sigma` must be'): discrete_gaussian_delta(1., 0.)
