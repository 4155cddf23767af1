"Classics: blocks against the library's, scales that are told apart, names for bytes alone"
import pytest
import torch
from oracles import same_as_torch
from torch import nn

from dlcourse.core.errors import InputError
from dlcourse.vision.architectures import ResidualBlock, Stack, parameters_of, vgg
from dlcourse.vision.classics import (
    class_map,
    inverted_bottleneck,
    name_pictures,
    residual,
    scaling_of,
    stage_weights,
)
from dlcourse.vision.efficientnet import EfficientNetLite, LiteConfig, MBConv, as_trained

SMALL = LiteConfig(stages=((1, 3, 1, 1, 4),), stem=4, top=8, classes=3)


@pytest.mark.parametrize('depths', [(1, 1, 2, 2, 2), (2, 2, 3, 3, 3), (2, 2, 4, 4, 4)])
def test_stages_add_up_to_vgg(depths):
    widths = (3, 64, 128, 256, 512, 512)
    stages = [stage_weights(n, m, k) for n, m, k in zip(widths, widths[1:], depths, strict=False)]
    dense = (512*49 + 1)*4096 + 4097*4096 + 4097*1000
    assert sum(stages) + dense == parameters_of(lambda: Stack(vgg(depths)))


@pytest.mark.parametrize('how', [(4, 4), (4, 4, 2), (4, 8), (8, 2, 1, True), (4, 2, 2, True)])
def test_residual_is_the_librarys_block(how):
    block = ResidualBlock(*how).double().eval()
    x = torch.randn(2, how[0], 6, 5, dtype=torch.float64)
    same_as_torch(lambda x: residual(x, block.way, block.shortcut), block, x)


@pytest.mark.parametrize('n, m, kernel, stride', [(3, 3, 3, 1), (3, 4, 5, 1), (3, 3, 3, 1)])
def test_inverted_bottleneck_is_the_librarys_block(n, m, kernel, stride):
    block = MBConv(n, m, kernel, stride).double().eval()
    for part in block.modules():
        if isinstance(part, nn.BatchNorm2d): part.eps = 0
    weights = [part[0].weight.detach() for part in (block.expand, block.depthwise, block.project)]
    x = 3*torch.randn(2, n, 7, 8, dtype=torch.float64)
    same_as_torch(lambda x: inverted_bottleneck(x, *weights, stride), block, x)


def test_a_class_map_sums_to_the_score():
    torch.manual_seed(0)
    model, x = EfficientNetLite(SMALL).eval(), torch.randn(2, 3, 20, 28)
    maps = class_map(model.features(x), model.head.weight[1])
    assert maps.shape == (2, 10, 14)
    torch.testing.assert_close(maps.mean((1, 2)) + model.head.bias[1], model(x)[:, 1])


def test_scales_are_told_apart_on_pictures_at_random():
    rng = torch.Generator().manual_seed(0)
    mean, deviation = torch.tensor([.485, .456, .406]), torch.tensor([.229, .224, .225])
    for _ in range(20):
        x = torch.randint(256, (2, 3, 8, 8), generator=rng, dtype=torch.uint8)
        unit = x/255
        standardized = (unit - mean.view(3, 1, 1))/deviation.view(3, 1, 1)
        assert [scaling_of(t) for t in (x, as_trained(x), unit, standardized, 2*unit - 1)] == [
            'raw', 'trained', 'unit', 'standardized', 'trained']


def test_names_are_those_of_the_highest_scores():
    torch.manual_seed(0)
    model = EfficientNetLite(SMALL).eval()
    x = torch.randint(256, (2, 3, 16, 16), dtype=torch.uint8)
    found = name_pictures(model, x, ['a', 'b', 'c'], 3)
    shares = model(as_trained(x)).softmax(1)
    for row, pairs in zip(shares, found, strict=True):
        assert [p for _, p in pairs] == sorted(row.tolist(), reverse=True)
        assert pairs[0][0] == 'abc'[row.argmax()]
    assert [len(pairs) for pairs in name_pictures(model, x, 'abc', 1)] == [1, 1]


@pytest.mark.parametrize('pictures, names, k, said', [
    (torch.zeros(1, 3, 8, 8), 'abc', 1, "`pictures` must be bytes, 0 to 255; got torch.float32"),
    (torch.zeros(1, 1, 8, 8, dtype=torch.uint8), 'abc', 1, "must have 3 channels, got 1"),
    (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), 'ab', 1, "`names` must be one for each of 3"),
    (torch.zeros(1, 3, 8, 8, dtype=torch.uint8), 'abc', 4, "`k` must be a whole number from 1 to")])
def test_what_cannot_be_named_is_told(pictures, names, k, said):
    with pytest.raises(InputError, match=said):
        name_pictures(EfficientNetLite(SMALL).eval(), pictures, names, k)
