"The digits CNN: any size, its seed alone, an artefact that is whole or refused"
import pytest
import torch

from dlcourse.core.errors import InputError
from dlcourse.core.random import seed_everything
from dlcourse.training.checkpoints import digest
from dlcourse.training.zoo import count_parameters
from dlcourse.vision.digit_reader import (
    DigitsCNN,
    digits_cnn,
    distort,
    share_right,
    train_digits,
    writer_halves,
)


def test_any_size_and_every_channel_count_but_one():
    model = DigitsCNN(4).eval()
    for side in (4, 8, 28): assert model(torch.zeros(2, 1, side, side)).shape == (2, 10)
    with pytest.raises(InputError, match="`x` must have 1 channels, got 3; convert the images"):
        model(torch.zeros(2, 3, 8, 8))


def test_parameters_by_hand():
    kernels = 9*(24 + 24*24 + 24*48 + 48*48 + 48*96)
    assert count_parameters(DigitsCNN()) == kernels + 2*(24 + 24 + 48 + 48 + 96) + 96*10 + 10


def test_no_distortion_changes_nothing_and_some_keeps_the_ink():
    x, *_ = writer_halves()
    rng = torch.Generator().manual_seed(0)
    still = distort(x[:50], rng, degrees=0, scale=0, shift=0, shear=0)
    torch.testing.assert_close(still, x[:50], atol=1e-5, rtol=0)
    moved = distort(x[:50], rng)
    assert (moved - x[:50]).abs().mean() > .02
    assert abs(moved.mean() - x[:50].mean()) < .05


def test_the_halves_share_no_picture():
    x, y, x_test, y_test = writer_halves()
    assert (len(y), len(y_test)) == (906, 891) and x.shape[1:] == (1, 8, 8)
    assert torch.cdist(x.flatten(1), x_test.flatten(1)).min() > 0


def test_training_depends_on_its_seed_alone_and_learns():
    x, y, x_test, y_test = writer_halves()
    one = train_digits(x, y, 1, steps=60, width=8)
    seed_everything(5)
    state = torch.get_rng_state()
    again, other = (train_digits(x, y, seed, steps=60, width=8) for seed in (1, 2))
    assert digest(one) == digest(again) != digest(other)
    assert torch.equal(state, torch.get_rng_state())
    assert share_right(one, x_test, y_test) > .8
    with pytest.raises(InputError, match="`x` must hold 64 images or more, a batch; got 3"):
        train_digits(x[:3], y[:3])


def test_the_artefact_is_made_once_and_a_changed_file_is_refused(tmp_path):
    def asked(): return digits_cnn(tmp_path, steps=10)
    (model, card), (again, _) = asked(), asked()
    assert digest(model) == digest(again)
    assert '10 steps from seed 0' in card.source and card.rows == count_parameters(model)
    path = tmp_path/'trained'/card.name/'model.safetensors'
    path.write_bytes(path.read_bytes()[:-1] + b'x')
    with pytest.raises(InputError, match="is not the file of its card.*; delete the folder"):
        asked()
    path.unlink()
    with pytest.raises(InputError, match="it is not there; delete the folder"):
        asked()
