"The vision transformer: patches as torch unfolds them, places, looks that sum to one, errors"
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from jaxtyping import install_import_hook
from oracles import same_as_torch

from dlcourse.core.errors import InputError
from dlcourse.transformers.block import BlockConfig

# Shapes are checked here, and not in normal use
with install_import_hook('dlcourse.transformers.vit', 'beartype.beartype'):
    from dlcourse.transformers.vit import (
        ViT,
        ViTConfig,
        erase_patches,
        interpolate_positions,
        patchify,
        rollout,
    )


def model_of(**changes):
    torch.manual_seed(0)
    model = ViT(replace(ViTConfig(), **changes)).eval()
    torch.nn.init.normal_(model.positions)
    return model


@pytest.mark.parametrize('shape, patch', [((2, 3, 8, 4), 2), ((1, 1, 9, 6), 3), ((2, 2, 5, 7), 1)])
def test_patches_are_what_torch_unfolds(shape, patch):
    x = torch.randn(shape)
    same_as_torch(lambda x: patchify(x, patch), lambda x: F.unfold(x, patch, stride=patch).mT, x)


def test_a_first_layer_over_patches_is_a_convolution():
    model, x = model_of(channels=3), torch.randn(2, 3, 8, 8)
    kernel = model.to_dim.weight.view(-1, 3, 2, 2)
    want = F.conv2d(x, kernel, model.to_dim.bias, stride=2).flatten(2).mT
    torch.testing.assert_close(model.to_dim(patchify(x, 2)), want, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('grid', [(4, 4), (8, 8), (3, 6), (2, 2)])
def test_places_are_a_picture_enlarged(grid):
    positions = torch.randn(1, 17, 5)
    got = interpolate_positions(positions, grid)
    image = positions[:, 1:].mT.reshape(1, 5, 4, 4)
    want = F.interpolate(image, grid, mode='bilinear', align_corners=False).flatten(2).mT
    torch.testing.assert_close(got[:, 1:], want)
    assert torch.equal(got[:, :1], positions[:, :1])


def test_other_sizes_are_read_and_the_learnt_one_is_unchanged():
    model = model_of()
    assert model(torch.randn(2, 1, 12, 16)).shape == (2, 10)
    x = torch.randn(3, 1, 8, 8)
    row = torch.cat([model.token.expand(3, -1, -1), model.to_dim(patchify(x, 2))], 1)
    torch.testing.assert_close(model.embed(x), row + model.positions)


def test_nothing_but_places_tells_patches_apart():
    model, x = model_of(), torch.randn(2, 1, 8, 8)
    torch.nn.init.zeros_(model.positions)
    order = torch.randperm(16)
    turned = F.fold(patchify(x, 2)[:, order].mT, (8, 8), 2, stride=2)
    torch.testing.assert_close(model(x), model(turned), atol=1e-5, rtol=1e-4)


def test_looks_are_those_of_the_blocks():
    model, x = model_of(depth=3), torch.randn(2, 1, 8, 8)
    looks = model.looks(x)
    assert looks.shape == (3, 2, 4, 17, 17)
    torch.testing.assert_close(looks.sum(-1), torch.ones(3, 2, 4, 17))
    torch.testing.assert_close(rollout(looks).sum(1), torch.ones(2))
    # The look of one block by itself: half what was there, half what came
    one = looks[:1]
    want = one[0].mean(1)[:, 0]/2
    want[:, 0] += .5
    torch.testing.assert_close(rollout(one), want)


def test_looks_of_blocks_that_normalize_last():
    model = model_of(depth=1, block=BlockConfig(dim=32, heads=4, norm_first=False))
    block, x = model.blocks.blocks[0], torch.randn(1, 1, 8, 8)
    torch.nn.init.normal_(block.norm_attention.weight)
    torch.testing.assert_close(model.looks(x)[0], block.attention.weights(model.embed(x)))


def test_erased_patches_are_white():
    x, which = torch.randn(3, 2, 8, 8), torch.rand(3, 16) < .5
    left = patchify(erase_patches(x, which, 2), 2)
    assert (left[which] == 0).all() and torch.equal(left[~which], patchify(x, 2)[~which])


@pytest.mark.parametrize('make, words', [
    (lambda: ViTConfig(side=9), '`patch` must divide `side`, got patch=2, side=9'),
    (lambda: ViTConfig(patch=0), '`patch` must be a whole number from 1 up, got 0'),
    (lambda: ViTConfig(side=0), '`side` must be a whole number from 1 up, got 0'),
    (lambda: ViTConfig(side=-8), '`side` must be a whole number from 1 up, got -8'),
    (lambda: ViTConfig(block=BlockConfig(dim=8, heads=2, cross=True)), '`block` must have cross'),
    (lambda: model_of()(torch.zeros(1, 3, 8, 8)), '`x` must have 1 channels'),
    (lambda: model_of()(torch.zeros(1, 1, 8, 9)), 'multiples of 2; got .1, 8, 9.'),
])
def test_errors_say_what_to_do(make, words):
    with pytest.raises(InputError, match=words): make()
