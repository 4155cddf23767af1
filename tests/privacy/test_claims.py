"Bounds of the lesson against the library's, exposure by listing, and the search against the list"
import math

import numpy as np
import pytest
import torch
from scipy import stats

from dlcourse.privacy.bounds import one_run_chance, rates_bound
from dlcourse.privacy.claims import (
    PIN_LETTERS,
    NextLetter,
    exposure,
    exposure_fitted,
    guesses_chance,
    likeliest_pin,
    line_windows,
    pin_log_probs,
    private_release,
    rates_epsilon,
)


@pytest.mark.parametrize('counts', [(10, 10, 0, 10), (90, 100, 5, 80), (3, 10, 7, 10)])
def test_the_lesson_and_the_library_agree(counts):
    assert abs(rates_epsilon(*counts, 1e-5) - rates_bound(*counts, delta=1e-5).epsilon) < 1e-12
    for v in range(0, 31, 3):
        assert abs(guesses_chance(v, 30, 50, .8, 1e-4)
                   - one_run_chance(v, 30, .8, 1e-4, 50)) < 1e-12


@pytest.fixture(scope='module')
def model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = NextLetter()
    with torch.no_grad(): net.out.bias[3:13] += torch.linspace(0, 1, 10)
    return net


def test_the_log_probabilities_of_pins_are_those_asked_letter_by_letter(model):
    every = pin_log_probs(model, 'pin of bob ', digits=2)
    assert every.shape == (100,)
    codes = [0]*8 + [PIN_LETTERS.index(c) for c in 'pin of bob 47']
    with torch.no_grad():
        want = sum(float(model(torch.tensor(codes[k - 8:k])[None]).log_softmax(-1)[0, codes[k]])
                   for k in (-2 + len(codes), -1 + len(codes)))
    assert abs(every[47] - want) < 1e-5


def test_the_search_finds_the_first_of_the_list(model):
    every = pin_log_probs(model, 'pin of eve ', digits=3)
    pin, asked = likeliest_pin(model, 'pin of eve ', digits=3)
    assert int(pin) == int(every.argmax()) and 3 <= asked <= 111


def test_windows_end_lines_and_hide_what_is_behind():
    x, y = line_windows(['ab', 'a'*40], most=6)
    assert x.shape == (2, 6, 8) and (y[0, 3:] == -100).all()
    assert y[0, :3].tolist() == [PIN_LETTERS.index('a'), PIN_LETTERS.index('b'), 1]
    assert int(y[1, 5]) == 1 and x[0, 2, -2:].tolist() == y[0, :2].tolist()


def test_exposure_of_chance_is_one_and_a_half_bits():
    rng = np.random.default_rng(0)
    found = [exposure(rng.standard_normal(1000), 0) for _ in range(2000)]
    assert abs(np.mean(found) - 1/math.log(2)) < .15


def test_a_fitted_exposure_is_the_tail_of_the_curve():
    sample = stats.skewnorm.rvs(2., -20, 3, size=20_000, random_state=0)
    for far in (.5, .01):
        secret = stats.skewnorm.isf(far, 2., -20, 3)
        assert abs(exposure_fitted(sample, secret) + math.log2(far)) < .3


def test_a_release_is_opposed_to_nothing_but_the_formula():
    g = torch.Generator().manual_seed(0)
    each, noise = torch.randn(20, 7, generator=g), torch.randn(7, generator=g)
    got = private_release(each, noise, clip_norm=1., noise_multiplier=2., expected_batch=10)
    cut = each/each.norm(dim=1, keepdim=True).clamp(min=1.)
    torch.testing.assert_close(got, (cut.sum(0) + 2*noise)/10)
    assert private_release(each*torch.nan, noise, clip_norm=1., noise_multiplier=0.,
                           expected_batch=10).abs().sum() == 0
