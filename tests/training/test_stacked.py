"Losses and gradients of stacked members equal autograd's; and what is refused"
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hyp_settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from dlcourse.foundations.losses import cross_entropy, mse
from dlcourse.training.stacked import (
    POINTWISE,
    Layers,
    in_a_row,
    loss_kind,
    members_at_once,
    obstacle,
)
from dlcourse.training.zoo import mlp

ROWS, WIDTH, CLASSES = 20, 6, 4


def data(kind='classes'):
    g = torch.Generator().manual_seed(3)
    x = torch.randn(ROWS, WIDTH, generator=g, dtype=torch.float64)
    if kind == 'classes': return x, torch.randint(0, CLASSES, (ROWS,), generator=g)
    return x, torch.randn(ROWS, CLASSES, generator=g, dtype=torch.float64)


def stacked(models):
    return {n: torch.stack([m.state_dict()[n] for m in models]) for n in models[0].state_dict()}


def rows_of(members, rows=8):
    g = torch.Generator().manual_seed(members)
    return torch.randint(0, ROWS, (members, rows), generator=g)


def alone(model, loss, x, target, share=None):
    "Loss and gradients by autograd; a share says what each row counts"
    if share is None: value = loss(model(x), target)
    else: value = sum(s*loss(model(x[i:i + 1]), target[i:i + 1]) for i, s in enumerate(share))
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    grads = torch.autograd.grad(value, list(trained.values()))
    return value.detach(), dict(zip(trained, grads, strict=True))


def same(layers, models, loss, tensors, drawn, share=None):
    x, target = tensors[0], tensors[-1]
    losses, grads = layers(drawn, share)
    assert len(losses) == len(drawn)
    for k, own in enumerate(drawn):
        counts = None if share is None else share[k]
        value, want = alone(models[k], loss, x[own], target[own], counts)
        torch.testing.assert_close(losses[k], value, atol=1e-12, rtol=1e-12)
        assert grads.keys() == want.keys()
        for name, grad in want.items():
            torch.testing.assert_close(grads[name][k], grad, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize('loss', [
    F.cross_entropy, cross_entropy, nn.CrossEntropyLoss(), F.mse_loss, mse, nn.MSELoss()])
def test_each_loss_under_each_of_its_names(loss):
    tensors = data('classes' if 'ntropy' in repr(loss) else 'squares')
    models = [mlp(WIDTH, 5, CLASSES).double() for _ in range(3)]
    assert obstacle(models[0], tensors, loss) is None
    same(Layers(models[0], tensors, loss, stacked(models)), models, loss, tensors, rows_of(3))


@given(st.sampled_from([*POINTWISE, 'identity']), st.lists(st.integers(1, 7), max_size=3),
       st.booleans(), st.integers(1, 5), st.integers(1, 9), st.booleans(), st.integers(0, 99))
@hyp_settings(max_examples=60, deadline=None)
def test_any_depth_width_activation_and_shares(
    activation, hidden, bias, members, rows, shared, seed):
    torch.manual_seed(seed)
    how = dict(activation=activation, bias=bias)
    models = [mlp(WIDTH, *hidden, CLASSES, **how).double() for _ in range(members)]
    share = torch.rand(members, rows).double()*(torch.rand(members, rows) < .7) if shared else None
    tensors = data()
    layers = Layers(models[0], tensors, F.cross_entropy, stacked(models))
    same(layers, models, F.cross_entropy, tensors, rows_of(members, rows), share)


def test_sequentials_in_sequentials_and_a_single_layer():
    tensors = data('squares')
    def nested():
        first = nn.Sequential(nn.Linear(WIDTH, 5), nn.Tanh())
        return nn.Sequential(first, nn.Identity(), nn.Linear(5, CLASSES), nn.Sigmoid())
    def lone(): return nn.Linear(WIDTH, CLASSES)
    def late(): return nn.Sequential(nn.ReLU(), nn.Linear(WIDTH, CLASSES, bias=False))
    for make in (nested, lone, late):
        models = [make().double() for _ in range(2)]
        assert obstacle(models[0], tensors, F.mse_loss) is None
        layers = Layers(models[0], tensors, F.mse_loss, stacked(models))
        same(layers, models, F.mse_loss, tensors, rows_of(2))


def test_one_tensor_is_input_and_target():
    x, _ = data()
    models = [mlp(WIDTH, 3, WIDTH).double() for _ in range(2)]
    assert obstacle(models[0], (x,), F.mse_loss) is None
    layers = Layers(models[0], (x,), F.mse_loss, stacked(models))
    same(layers, models, F.mse_loss, (x,), rows_of(2))


@pytest.mark.parametrize('frozen', [
    ['layers.0.weight'], ['layers.0.weight', 'layers.0.bias'],
    ['layers.1.weight', 'layers.1.bias']])
def test_what_is_frozen_gets_no_gradient_and_the_rest_the_same(frozen):
    models = [mlp(WIDTH, 5, 5, CLASSES).double() for _ in range(3)]
    for model in models:
        for name, p in model.named_parameters(): p.requires_grad_(name not in frozen)
    layers = Layers(models[0], data(), F.cross_entropy, stacked(models))
    same(layers, models, F.cross_entropy, data(), rows_of(3))


def test_the_first_members_alone_and_weights_that_change():
    models, tensors = [mlp(WIDTH, 5, CLASSES).double() for _ in range(4)], data()
    state = stacked(models)
    layers = Layers(models[0], tensors, F.cross_entropy, state)
    for members, rows in ((4, 8), (4, 3), (2, 8), (2, 3), (4, 8)):
        same(layers, models, F.cross_entropy, tensors, rows_of(members, rows))
    for t in state.values(): t.mul_(.5)
    for model in models:
        for p in model.parameters(): p.data.mul_(.5)
    same(layers, models, F.cross_entropy, tensors, rows_of(4))


def test_dropout_has_the_gradient_of_what_it_let_through():
    tensors, models = data(), [mlp(WIDTH, 9, CLASSES, dropout=.5).double() for _ in range(3)]
    layers = Layers(models[0], tensors, F.cross_entropy, stacked(models))
    drawn = rows_of(3)
    losses, grads = layers(drawn)
    factors = next(part.factors for part in layers.passes[3, 8][0] if hasattr(part, 'factors'))
    assert set(factors.unique().tolist()) == {0., 2.} and not torch.equal(factors[0], factors[1])
    for k, model in enumerate(models):
        weight, bias = model.layers[0].weight, model.layers[0].bias
        x, y = (t[drawn[k]] for t in tensors)
        value = F.cross_entropy(model.layers[1][1](F.relu(model.layers[0](x))*factors[k].T), y)
        torch.testing.assert_close(losses[k], value.detach(), atol=1e-12, rtol=1e-12)
        want = torch.autograd.grad(value, (weight, bias))
        for name, grad in zip(('weight', 'bias'), want, strict=True):
            torch.testing.assert_close(grads[f'layers.0.{name}'][k], grad, atol=1e-12, rtol=1e-12)


def test_rows_without_a_share_have_no_influence_even_where_they_are_large():
    models, (x, y) = [mlp(WIDTH, 5, CLASSES).double()], data()
    share, drawn = torch.tensor([[.5, .5, 0.]]).double(), torch.tensor([[0, 1, 2]])
    other = x.clone()
    other[2] = 1e6
    results = []
    for inputs in (x, other):
        layers = Layers(models[0], (inputs, y), F.cross_entropy, stacked(models))
        results.append(layers(drawn, share))
    assert torch.equal(results[0][0], results[1][0])
    assert all(torch.equal(grad, results[1][1][name]) for name, grad in results[0][1].items())


def hooked():
    model = mlp(WIDTH, 5, CLASSES).double()
    model.layers[0].register_forward_hook(lambda *_: None)
    return model


def twice():
    layer = nn.Linear(WIDTH, WIDTH)
    return nn.Sequential(layer, nn.ReLU(), layer).double()


def normalized():
    return nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(WIDTH, CLASSES))).double()


def net(*parts): return nn.Sequential(*parts).double()


@pytest.mark.parametrize('model, reason', [
    (mlp(WIDTH, 5, CLASSES, norm='batch').double(), 'BatchNorm1d'),
    (mlp(WIDTH, 5, CLASSES, activation='elu').double(), 'elu'),
    (net(nn.Linear(WIDTH, 5), nn.GELU('tanh'), nn.Linear(5, CLASSES)), 'GELU'),
    (net(nn.ReLU()), 'no linear layer'), (twice(), 'used twice'), (hooked(), 'hooks'),
    (normalized(), 'ParametrizedLinear'), (net(nn.Linear(3, CLASSES)), 'not one vector'),
    (net(nn.Linear(WIDTH, CLASSES), nn.ReLU(), nn.Tanh()), 'two activations'),
    (mlp(WIDTH, 5, CLASSES), 'different types'),
    (nn.Bilinear(WIDTH, 1, CLASSES).double(), 'Bilinear'),
    (mlp(WIDTH, 5, CLASSES - 1).double(), 'a class has no output')])
def test_what_a_model_is_refused_for(model, reason):
    assert reason in obstacle(model, data(), F.cross_entropy)


@pytest.mark.parametrize('change, reason', [
    (lambda x, y: (x, x, y), 'several inputs'), (lambda x, y: (x[:, None], y), 'not one vector'),
    (lambda x, y: (x, y.where(y > 0, -100)), 'neither cross-entropy'),
    (lambda x, y: (x, y.int()), 'neither cross-entropy'),
    (lambda x, y: (x, F.one_hot(y).double()), 'neither cross-entropy')])
def test_what_data_are_refused_for(change, reason):
    model = mlp(WIDTH, 5, CLASSES).double()
    assert reason in obstacle(model, change(*data()), F.cross_entropy)


@pytest.mark.parametrize('loss', [
    F.l1_loss, partial(F.cross_entropy, label_smoothing=.1),
    nn.CrossEntropyLoss(label_smoothing=.1),
    nn.CrossEntropyLoss(torch.ones(CLASSES)), nn.CrossEntropyLoss(reduction='sum'),
    nn.CrossEntropyLoss(ignore_index=0), nn.MSELoss(reduction='sum'),
    lambda outputs, target: F.cross_entropy(outputs, target)])
def test_other_losses_are_not_taken_for_the_two(loss):
    assert loss_kind(loss, data()[1]) is None


def test_targets_of_another_shape_are_left_to_broadcasting():
    x, _ = data()
    model = nn.Linear(WIDTH, 1).double()
    assert obstacle(model, (x, x[:, 0]), F.mse_loss) == 'a target is not one vector'


def test_parts_stand_in_the_order_of_use():
    parts = in_a_row(mlp(4, 3, 2, activation='tanh', dropout=.2))
    names = [part if isinstance(part, str) else type(part).__name__ for part in parts]
    assert names == ['Linear', 'tanh', 'Dropout', 'Linear']
    assert in_a_row(nn.Sequential(nn.GELU(), nn.Identity())) == ['gelu', 'identity']


def test_fewer_large_members_than_small_ones_are_trained_together():
    small = members_at_once(mlp(64, 16, 10), 32)
    large = members_at_once(mlp(64, 64, 10), 128)
    assert small > 2*large and members_at_once(mlp(64, 4096, 10), 128) == 8
