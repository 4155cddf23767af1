"Clips that differ by class in the order of their frames alone; bad clips are told so"
import pytest
import torch

from dlcourse.core.errors import InputError
from dlcourse.training.checkpoints import digest
from dlcourse.vision.moving_shapes import (
    MOTIONS,
    check_clips,
    moving_shapes,
    named_right,
    train_clips,
    turn_rule,
)
from dlcourse.vision.video import FrameAverage


def test_all_depends_on_the_seed_and_classes_are_equally_many():
    x, y = moving_shapes(40, 3)
    assert x.shape == (40, 8, 1, 12, 12) and x.dtype == torch.float32
    assert torch.bincount(y).tolist() == [10]*4
    again, other = moving_shapes(40, 3), moving_shapes(40, 4)
    assert torch.equal(x, again[0]) and torch.equal(y, again[1])
    assert not torch.equal(x, other[0])
    assert moving_shapes(3, 0, side=20)[0].shape == (3, 8, 1, 20, 20)


def sorted_frames(clips):
    "Each clip's frames in an order that is theirs: of what the pixels weigh together"
    torch.manual_seed(0)
    weight = torch.rand(clips.shape[-2:])
    order = (clips[:, :, 0]*weight).sum((2, 3)).argsort(1)
    return clips[torch.arange(len(clips))[:, None], order]


def test_the_heap_of_frames_is_the_same_for_every_class():
    heaps = [sorted_frames(moving_shapes(30, 5, noise=0, motions={name: step})[0])
             for name, step in MOTIONS.items()]
    for heap in heaps[1:]: torch.testing.assert_close(heap, heaps[0], atol=1e-4, rtol=0)


def test_every_single_frame_has_the_same_mean_in_every_class():
    x, y = moving_shapes(4000, 7)
    for t in (0, 4):
        means = torch.stack([x[y == k, t, 0].mean(0) for k in range(4)])
        error = x[:, t, 0].std(0)/1000**.5
        assert ((means - means.mean(0)).abs()/error).max() < 5


def test_time_backwards_is_the_other_direction():
    x, y = moving_shapes(200, 1)
    said = turn_rule(x.flip(1)).argmax(1)
    assert named_right(turn_rule, x, y) > .98
    assert (said == torch.tensor([1, 0, 3, 2])[y]).float().mean() > .98


@pytest.mark.parametrize('shape, words', [
    ((8, 1, 12, 12), r'`x` must be clips, .* got the shape \(8, 1, 12, 12\); add the axes'),
    ((2, 1, 8, 12, 12), '`x` must have 1 channels on its third axis, got 8; .*move the axes'),
    ((2, 8, 1, 3, 12), '`x` must have a frame or more, of 4 × 4 pixels or more.*enlarge'),
    ((2, 0, 1, 12, 12), '`x` must have a frame or more'),
])
def test_what_are_no_clips_is_told_so(shape, words):
    with pytest.raises(InputError, match=words): check_clips(torch.zeros(shape))


def test_worlds_that_cannot_be_are_refused():
    with pytest.raises(InputError, match='`n` must be 1 or more'): moving_shapes(0, 0)
    with pytest.raises(InputError, match='`motions` must be odd eighths'):
        moving_shapes(3, 0, motions={'half': 4})
    with pytest.raises(InputError, match='`motions` must be odd eighths'):
        moving_shapes(3, 0, motions={})


def test_training_depends_on_its_seed_and_leaves_torchs_numbers_alone():
    x, y = moving_shapes(64, 0)
    state = torch.get_rng_state()
    one, again, other = (train_clips(FrameAverage, x, y, seed, epochs=1) for seed in (1, 1, 2))
    assert digest(one) == digest(again) != digest(other)
    assert torch.equal(state, torch.get_rng_state()) and not one.training
