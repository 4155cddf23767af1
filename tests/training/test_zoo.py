"The models that lessons borrow: their shape, scale, and labels against torch's own counter"
import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dlcourse.core.errors import InputError
from dlcourse.foundations.neurons import MLP
from dlcourse.training.zoo import (
    CHANNELS,
    CNN,
    HIDDEN,
    CNNConfig,
    cnn_for,
    count_operations,
    count_parameters,
    mlp,
    mlp_for,
)


def test_a_plain_perceptron_is_the_learners_with_plain_layers():
    model = mlp(64, 32, 16, 10, activation='tanh')
    assert type(model) is MLP and model.config.dims == (64, 32, 16, 10)
    assert [type(layer) for layer in model.layers] == [nn.Linear]*3
    x = torch.randn(5, 64)
    first, second, last = model.layers
    assert torch.equal(model(x), last(second(first(x).tanh()).tanh()))


def test_norm_follows_hidden_layers_and_dropout_precedes_all_but_the_first():
    model = mlp(8, 6, 4, 2, dropout=.5, norm='layer')
    kinds = [[type(part) for part in layer] for layer in model.layers]
    hidden = [nn.Dropout, nn.Linear, nn.LayerNorm]
    assert kinds == [hidden[1:], hidden, hidden[:2]]


def test_a_dressed_perceptron_does_what_a_sequence_written_out_does():
    torch.manual_seed(0)
    model, x = mlp(8, 6, 2, dropout=.5, norm='batch'), torch.randn(16, 8)
    first, last = model.layers
    written = nn.Sequential(first[0], first[1], nn.ReLU(), last[0], last[1])
    for training in (True, False):
        torch.manual_seed(1)
        ours = model.train(training)(x)
        torch.manual_seed(1)
        assert torch.equal(ours, written.train(training)(x))


def test_weights_have_hes_scale_and_biases_are_zero():
    torch.manual_seed(0)
    for model in (mlp(400, 300, 10), CNN(CNNConfig(channels=(64, 128)))):
        weight = next(p for p in model.parameters() if p.ndim > 1)
        fan_in = weight[0].numel()
        assert weight.std().item() == pytest.approx((2/fan_in)**.5, rel=.03)
        assert not any(p.any() for name, p in model.named_parameters() if name.endswith('bias'))


def test_the_same_seed_draws_the_same_model():
    def drawn(make):
        torch.manual_seed(3)
        return torch.cat([p.flatten() for p in make().parameters()])
    for make in (lambda: mlp_for(64, 10), lambda: cnn_for(1, 10, norm='batch')):
        assert torch.equal(drawn(make), drawn(make))


@pytest.mark.parametrize('side', [1, 5, 8, 28])
def test_a_convolutional_network_takes_images_of_any_size(side):
    assert cnn_for(3, 7)(torch.rand(2, 3, side, side)).shape == (2, 7)


@pytest.mark.parametrize('size', HIDDEN)
def test_counts_are_torchs(size):
    assert HIDDEN.keys() == CHANNELS.keys()
    models = [(mlp_for(64, 10, size, norm='batch'), torch.rand(3, 64)),
              (cnn_for(1, 10, size, norm='batch'), torch.rand(3, 1, 8, 8))]
    for model, x in models:
        with torch.no_grad(), FlopCounterMode(display=False) as counter: model.eval()(x)
        assert 2*count_operations(model, x) == counter.get_total_flops()
        assert count_parameters(model) == sum(p.numel() for p in set(model.parameters()))


@pytest.mark.parametrize('call, says', [
    (lambda: mlp(64, 10, norm='group'), "`norm` must be None or one of batch, layer; got 'group'"),
    (lambda: mlp(64, 10, dropout=1.), "`dropout` must be from 0 to below 1, got 1.0"),
    (lambda: mlp(64), "`dims` must be two or more whole numbers"),
    (lambda: mlp(64, 10, activation='swish'), "`activation` must be one of"),
    (lambda: mlp_for(64, 10, 'huge'), "`size` must be one of smoke, full, gpu; got 'huge'"),
    (lambda: CNNConfig(norm='layer'), "`norm` must be None or one of batch; got 'layer'"),
    (lambda: CNNConfig(channels=(3,)), "`channels` must be those of the image and of a block"),
    (lambda: CNNConfig(channels=(1, 2.)), "`channels` must be whole numbers from 1; got (1, 2.0)"),
    (lambda: CNNConfig(kernel=4), "`kernel` must be odd, got 4"),
    (lambda: CNNConfig(classes=0), "`classes` must be whole numbers from 1; got 0"),
    (lambda: CNNConfig(activation='swish'), "`activation` must be one of"),
])
def test_shapes_that_cannot_be(call, says):
    with pytest.raises(InputError) as e: call()
    assert says in str(e.value)
