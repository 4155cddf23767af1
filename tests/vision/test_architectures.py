"Famous networks: parameters to the unit, any size, gradients, what is no image"
import pytest
import torch

from dlcourse.core.errors import InputError
from dlcourse.vision.architectures import (
    ResidualBlock,
    ResNet,
    ResNetConfig,
    Stack,
    StackConfig,
    alexnet,
    lenet,
    parameters_of,
    resnet50,
    vgg,
)

BOTTLENECKS = {'bottleneck': True}


@pytest.mark.parametrize('kind, config, published', [
    (Stack, lenet(), 61_706), (Stack, alexnet(), 61_100_840), (Stack, vgg(), 138_357_544),
    (Stack, vgg((1, 1, 2, 2, 2)), 132_863_336), (Stack, vgg((2, 2, 4, 4, 4)), 143_667_240),
    (ResNet, ResNetConfig(), 11_689_512), (ResNet, ResNetConfig(depths=(3, 4, 6, 3)), 21_797_672),
    (ResNet, resnet50(), 25_557_032),
    (ResNet, ResNetConfig(depths=(3, 4, 23, 3), bottleneck=True), 44_549_160)])
def test_parameters_are_those_published(kind, config, published):
    assert parameters_of(lambda: kind(config)) == published


@pytest.mark.parametrize('side', [63, 64, 96])
def test_any_size_goes_through(side):
    with torch.device('meta'):
        for model in (Stack(alexnet()), Stack(vgg()), ResNet(ResNetConfig()), ResNet(resnet50())):
            assert model(torch.empty(2, 3, side, side + 7)).shape == (2, 1000)
        assert Stack(lenet())(torch.empty(2, 1, side, 28)).shape == (2, 10)


@pytest.mark.parametrize('config, least', [(lenet(), 12), (alexnet(), 63), (vgg(), 32)])
def test_the_smallest_image_goes_through_and_a_smaller_one_is_told(config, least):
    with torch.device('meta'):
        model, x = Stack(config), torch.zeros(1, config.channels, least, least + 1)
        assert model.smallest() == least and model(x).shape == (1, config.classes)
        with pytest.raises(InputError, match=f"`x` must have {least} rows and columns or more"):
            model(x[:, :, 1:])


def test_every_parameter_gets_a_gradient():
    torch.manual_seed(0)
    small = StackConfig(features=((4, 3, 1, 1), (2, 2)), grid=2, hidden=(8,), classes=3)
    nets = [ResNet(ResNetConfig(depths=(1, 2), width=4, classes=3, bottleneck=b))
            for b in (False, True)]
    for model in (*nets, Stack(small)):
        model(torch.randn(4, 3, 32, 32)).square().sum().backward()
        assert all(p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize('how, gives', [({}, 8), (BOTTLENECKS, 32)])
def test_a_block_whose_way_is_silent_passes_its_input_on(how, gives):
    block = ResidualBlock(gives, 8, **how).eval()
    torch.nn.init.zeros_(block.way[-1].weight)
    x = torch.rand(2, gives, 5, 5)
    torch.testing.assert_close(block(x), x)
    assert ResidualBlock(gives, 8, 2, **how)(x).shape == (2, gives, 3, 3)


def test_what_cannot_be_is_told():
    for model in (Stack(lenet()), ResNet(ResNetConfig(depths=(1,), width=4, channels=1))):
        with pytest.raises(InputError, match="`x` must have 1 channels, got 3; convert the images"):
            model(torch.zeros(1, 3, 32, 32))
    with pytest.raises(InputError, match=r"`convolutions` must be five numbers from 1, got \(2, "):
        vgg((2, 2))
