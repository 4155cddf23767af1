"Masks that do not fit are told; training depends on its seed; what is kept is whole or refused"
import numpy as np
import pytest
import torch
from torch import nn

from dlcourse.core.errors import InputError
from dlcourse.foundations.losses import binary_cross_entropy
from dlcourse.training.checkpoints import digest
from dlcourse.vision.masks import (
    PixelTrees,
    Threshold,
    best_cut,
    check_masks,
    check_pixels,
    mean_dice,
    train_masks,
    turned,
)
from dlcourse.vision.scans import make_scans

SCANS = make_scans(8, 0)


class OneLayer(nn.Module):
    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.conv = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x): return self.conv(x)[:, 0]


def learned(seed=0, **how):
    return train_masks(OneLayer(), SCANS.images, SCANS.masks.float(), binary_cross_entropy, seed,
                       **dict(steps=5) | how)


@pytest.mark.parametrize('masks, told', [
    ((SCANS.masks*255, SCANS.masks), "`predicted` must be a mask .* got values to 255; comp"),
    ((SCANS.masks, SCANS.masks/0), "`truth` must be a mask .* got a NaN or infinity"),
    ((SCANS.masks[:, :9], SCANS.masks), "one shape; got .*nearest neighbour")])
def test_masks_that_are_none_or_do_not_fit(masks, told):
    with pytest.raises(InputError, match=told): check_masks(*masks)


def test_numbers_zero_and_one_are_masks():
    one, other = check_masks(SCANS.masks.float(), SCANS.masks.long())
    assert one.dtype == other.dtype == torch.bool and torch.equal(one, SCANS.masks)


def test_a_pixel_that_is_no_number_is_placed():
    x = SCANS.images.clone()
    x[3, 0, 5, 7] = torch.nan
    with pytest.raises(InputError, match="`x` must hold numbers; scan 3 has nan in row 5 and col"):
        check_pixels(x)
    with pytest.raises(InputError, match="scan 3 has nan"):
        train_masks(OneLayer(), x, SCANS.masks.float(), binary_cross_entropy, steps=1)


def test_the_eight_ways_to_lie_are_eight():
    x = torch.arange(9.).view(1, 3, 3)
    ways = [turned(x, k) for k in range(8)]
    assert len({tuple(w.flatten().tolist()) for w in ways}) == 8
    assert torch.equal(ways[0], x) and torch.equal(ways[4], x.flip(-1))


def test_training_depends_on_its_seed_alone():
    one, again, other = learned(1), learned(1), learned(2)
    assert digest(one) == digest(again) != digest(other)
    assert not one.training
    few = train_masks(OneLayer(), SCANS.images[:2], SCANS.masks[:2].float(), binary_cross_entropy,
                      steps=2) # Fewer scans than a batch
    assert digest(few) != digest(OneLayer())


@pytest.mark.parametrize('y', [SCANS.masks[:4], SCANS.masks[:, :32], SCANS.masks[..., :32]])
def test_masks_must_be_as_many_and_as_large(y):
    with pytest.raises(InputError, match="`y` must have a mask for each of the square scans"):
        train_masks(OneLayer(), SCANS.images, y.float(), binary_cross_entropy, steps=1)


def test_mean_dice_by_hand_and_the_best_cut():
    truth = np.zeros((2, 2, 2), bool)
    truth[0, 0] = True
    assert mean_dice(truth, truth) == 1
    said = truth.copy()
    said[0, 0, 0] = False
    assert mean_dice(said, truth) == pytest.approx((2/3 + 1)/2)
    scores = np.where(truth, .6, .2)
    assert best_cut(scores, truth, [.1, .3, .5, .7]) == (1., .5)


def test_rivals_beat_an_empty_mask_on_other_scans():
    other = make_scans(10, 1, empty=0.)
    rival = Threshold(SCANS.images, SCANS.masks, fields=(0, 10), noises=(0, 1.2))
    assert mean_dice(rival(other.images).numpy(), other.masks.numpy()) > .2
    trees = PixelTrees(SCANS.images, SCANS.masks, pixels=2000)
    p = trees.probabilities(other.images)
    assert p.shape == (10, 64, 64) and 0 <= p.min() <= p.max() <= 1
    assert mean_dice(p > .4, other.masks.numpy()) > .2
