"Models of video: what they see, their shapes and costs; flow and shift against independent oracles"
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from jaxtyping import install_import_hook
from oracles import same_as_torch
from scipy.ndimage import gaussian_filter
from scipy.ndimage import shift as moved_by

from dlcourse.training.zoo import count_parameters
from dlcourse.vision.moving_shapes import moving_shapes, named_right, train_clips

# Shapes are checked here, and not in normal use
with install_import_hook('dlcourse.vision.video', 'beartype.beartype'):
    from dlcourse.vision.video import (
        FrameAverage,
        RecurrentOverFrames,
        VolumeCNN,
        conv2plus1d,
        conv3d,
        lucas_kanade,
        middle_channels,
        reorder,
        temporal_shift,
    )

few = hypothesis_settings(max_examples=20, deadline=None)
MODELS = {'average': FrameAverage, 'recurrent': RecurrentOverFrames, '3-D': VolumeCNN,
          '(2+1)-D': partial(VolumeCNN, conv2plus1d), 'shift': partial(FrameAverage, share=.25)}


def drawn(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@few
@given(st.integers(1, 3), st.integers(1, 5), st.integers(0, 3), st.integers(0, 99))
def test_shift_is_a_convolution_over_time(batch, time, k, seed):
    kernel = torch.eye(3).double()[[0]*k + [2]*k + [1]*(8 - 2*k)].view(8, 1, 3, 1, 1)
    def theirs(x):
        return F.conv3d(x.transpose(1, 2), kernel, padding=(1, 0, 0), groups=8).transpose(1, 2)
    same_as_torch(lambda x: temporal_shift(x, k/8), theirs, drawn(seed, batch, time, 8, 3, 2))


@few
@given(st.integers(1, 3), st.integers(1, 5), st.integers(0, 99))
def test_reorder_is_torchs_gather(batch, time, seed):
    x, order = drawn(seed, batch, time, 1, 2, 3), drawn(seed + 1, batch, time).argsort(1)
    same_as_torch(reorder, lambda x, o: torch.take_along_dim(x, o[:, :, None, None, None], 1),
                  x, order)


def by_least_squares(before, after):
    "The flow at the middle of a 5 × 5 picture, by torch's own least squares"
    down, right = torch.gradient((before + after)/2, dim=(1, 2))
    sides = torch.stack([right.flatten(1), down.flatten(1)], 2)
    return torch.linalg.lstsq(sides, (before - after).flatten(1)[..., None]).solution[..., 0]


def test_flow_is_least_squares_values_and_gradients():
    same_as_torch(lambda a, b: lucas_kanade(a, b, 5)[:, 2, 2], by_least_squares,
                  drawn(0, 6, 5, 5), drawn(1, 6, 5, 5), rtol=1e-8)


def test_flow_finds_a_photographs_motion():
    from skimage.data import camera
    from skimage.transform import resize
    photo = resize(camera().astype(float)/255, (64, 64), anti_aliasing=True)
    photo = gaussian_filter(photo, 1.5) # Differences of pixels are slopes where it is smooth
    other = moved_by(photo, (.3, -.4), order=3, mode='nearest')
    flow = lucas_kanade(*(torch.from_numpy(p)[None] for p in (photo, other)), 9)[0, 8:-8, 8:-8]
    found = flow[flow.abs().sum(-1) > 0].numpy()
    assert len(found) > 500 # Most windows hold more than one edge
    np.testing.assert_allclose(np.median(found, 0), [-.4, .3], atol=.08)


@few
@given(st.integers(1, 40), st.integers(1, 40))
def test_the_factored_kernel_has_at_most_as_many_weights(before, after):
    norms = 2*middle_channels(before, after)
    factored = count_parameters(conv2plus1d(before, after)) - norms
    whole = count_parameters(conv3d(before, after))
    room = 9*before + 3*after
    assert whole - room < factored <= whole


@pytest.mark.parametrize('name', MODELS)
def test_any_number_of_frames_of_any_size(name):
    torch.manual_seed(0)
    model = MODELS[name]().eval()
    for shape in ((2, 8, 1, 12, 12), (1, 3, 1, 20, 17), (2, 1, 1, 5, 4)):
        assert model(torch.zeros(shape)).shape == (shape[0], 4)


def test_the_frame_model_knows_no_order_and_the_others_do():
    x, _ = moving_shapes(4, 0)
    order = drawn(0, 4, 8).argsort(1)
    for name, make in MODELS.items():
        torch.manual_seed(1)
        with torch.no_grad():
            model = make().eval()
            apart = (model(x) - model(reorder(x, order))).abs().max()
        assert (apart < 1e-5) == (name == 'average')


def test_the_running_answer_knows_nothing_of_later_frames():
    torch.manual_seed(0)
    model, (x, _) = RecurrentOverFrames().eval(), moving_shapes(3, 0)
    with torch.no_grad():
        torch.testing.assert_close(model.running(x)[:, :5], model.running(x[:, :5]))
        torch.testing.assert_close(model.running(x)[:, -1], model(x))


def test_motion_is_learnt_and_frames_are_not_enough():
    x, y = moving_shapes(384, 0, side=10)
    test = moving_shapes(400, 1, side=10)
    right = {name: named_right(train_clips(MODELS[name], x, y, 0, epochs=4), *test)
             for name in ('average', 'shift')}
    assert right['average'] < .34 < .7 < right['shift']
