"Designed features: the number of channels, invariances, and rows that do not see each other"
import math

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve

from dlcourse.core.errors import InputError
from dlcourse.vision.scattering import morlet, scattering, scattering_rows


def pictures(n=3, side=16, seed=0):
    return torch.rand(n, side, side, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(('side', 'levels', 'channels', 'places'),
                         [(28, 2, 81, 7), (8, 1, 9, 4), (16, 3, 1 + 24 + 3*64, 2)])
def test_shapes(side, levels, channels, places):
    assert scattering(pictures(2, side), levels).shape == (2, channels, places, places)


def test_even_grey_gives_no_waves():
    found = scattering(torch.full((1, 16, 16), .7))
    assert torch.allclose(found[0, 0], torch.full((4, 4), .7), atol=1e-6)
    assert found[0, 1:].abs().max() < 1e-5


def test_a_wavelet_sums_to_nothing_and_answers_its_own_direction():
    psi = morlet(32, 1., 0., .5)
    assert abs(complex(psi[0, 0])) < 1e-6
    stripes = torch.cos(3*math.pi/4*torch.arange(32.)).expand(1, 32, 32)
    answers = scattering(stripes, 2)[0, 1:9].mean((1, 2)) # The finest, all directions
    assert answers.argmax() == 0 and answers[0] > 5*answers[4]


def test_first_layer_as_convolution_in_space():
    x, psi = pictures(1, 24)[0], morlet(32, 1., math.pi/4, .5)
    padded = np.pad(x.numpy(), 4, mode='reflect').astype(complex)
    kernel = np.fft.fftshift(np.fft.ifft2(psi.numpy()))
    full = np.abs(convolve(padded, kernel, mode='wrap', origin=(-0, 0)))
    by_fft = torch.fft.ifft2(torch.fft.fft2(torch.tensor(padded))*psi).abs().numpy()
    shifts = [np.abs(np.roll(full, (a, b), (0, 1)) - by_fft).max()
              for a in (-1, 0, 1) for b in (-1, 0, 1)]
    assert min(shifts) < 1e-5


def test_a_row_is_from_its_picture_alone():
    x = pictures(5)
    whole = scattering_rows(x, 1, 3)
    for i in range(5):
        assert torch.allclose(scattering_rows(x[i:i + 1], 1, 3), whole[i:i + 1], atol=1e-6)
    assert torch.allclose(scattering_rows(x, 1, 3, rows=2), whole, atol=1e-6)
    assert abs(float(whole.mean())) < 1e-5


@pytest.mark.parametrize('shape', [(2, 16), (2, 16, 12), (2, 10, 10), (2, 4, 4)])
def test_pictures_that_do_not_fit(shape):
    with pytest.raises(InputError, match="images"): scattering(torch.zeros(shape), 2)


def test_options_that_cannot_be():
    for options in (dict(levels=0), dict(angles=0), dict(levels=1.5)):
        with pytest.raises(InputError): scattering(pictures(), **options)
