"Dropout, decay groups and clipping against torch's own"
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F

from dlcourse.core.errors import InputError
from dlcourse.training.regularization import Dropout, clip_grad_norm_, decay_groups, dropout


@pytest.mark.parametrize('p', [0., .1, .5, .9])
def test_dropout_scales_as_torch_and_drops_as_often(p):
    torch.manual_seed(0)
    x = torch.full((300, 300), 2., dtype=torch.float64)
    ours, theirs = dropout(x, p), F.dropout(x, p)
    torch.testing.assert_close(ours.max(), theirs.max(), rtol=1e-12, atol=0)
    assert abs((ours == 0).double().mean() - p) < .01 and abs((theirs == 0).double().mean() - p) < .01
    assert abs(ours.mean() - 2) < .08

def test_dropout_passes_the_gradient_where_it_kept():
    x = torch.ones(1000, dtype=torch.float64, requires_grad=True)
    y = dropout(x, .25)
    y.sum().backward()
    torch.testing.assert_close(x.grad, y.detach(), rtol=1e-12, atol=0)

def test_dropout_layer_follows_the_mode():
    layer, x = Dropout(.5), torch.ones(100)
    assert (layer(x) == 0).any()
    assert torch.equal(layer.eval()(x), x)

def test_members_under_vmap_draw_apart():
    models = [nn.Sequential(Dropout(.5), nn.Linear(8, 3)) for _ in range(4)]
    params, buffers = stack_module_state(models)
    params = {name: t.detach()[:1].expand_as(t) for name, t in params.items()}
    out = vmap(lambda p, b: functional_call(models[0], (p, b), (torch.ones(16, 8),)), randomness='different')(params, buffers)
    assert not torch.equal(out[0], out[1])

@pytest.mark.parametrize('p', [-.1, 1., 2., float('nan')])
def test_dropout_refuses_what_is_no_chance(p):
    with pytest.raises(InputError, match='`p` must be from 0 to below 1'): dropout(torch.ones(2), p)
    with pytest.raises(InputError, match='`p` must be from 0 to below 1'): Dropout(p)

def parameters_with(grads):
    params = [torch.zeros(g.shape, dtype=g.dtype, requires_grad=True) for g in grads]
    for p, g in zip(params, grads, strict=True): p.grad = g.clone()
    return params

@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=4), min_size=1, max_size=4), st.floats(1e-6, 1e7))
def test_clipping_equals_torch(grads, max_norm):
    grads = [torch.tensor(g, dtype=torch.float64) for g in grads]
    ours, theirs = parameters_with(grads), parameters_with(grads)
    torch.testing.assert_close(clip_grad_norm_(ours, max_norm), nn.utils.clip_grad_norm_(theirs, max_norm), rtol=1e-12, atol=1e-12)
    for a, b in zip(ours, theirs, strict=True): torch.testing.assert_close(a.grad, b.grad, rtol=1e-12, atol=1e-12)

@pytest.mark.parametrize('grads, max_norm', [([[0., 0.], [0.]], 1.), ([[3., 4.]], 1.), ([[3., 4.]], 100.), ([[3., 4.]], 5.)])
def test_clipping_of_zeros_of_one_parameter_and_of_short_gradients(grads, max_norm):
    grads = [torch.tensor(g, dtype=torch.float64) for g in grads]
    ours, theirs = parameters_with(grads), parameters_with(grads)
    assert abs(clip_grad_norm_(ours, max_norm) - nn.utils.clip_grad_norm_(theirs, max_norm)) < 1e-12
    for a, b in zip(ours, theirs, strict=True): assert (a.grad - b.grad).abs().max() < 1e-12

def test_clipping_without_gradients_is_zero_and_changes_nothing():
    param = torch.zeros(3, requires_grad=True)
    assert clip_grad_norm_([param], 1.) == 0 and param.grad is None
    assert clip_grad_norm_([], 1.) == 0

@pytest.mark.parametrize('max_norm', [0., -1., float('nan')])
def test_clipping_refuses_what_is_no_length(max_norm):
    with pytest.raises(InputError, match='`max_norm` must be above 0'): clip_grad_norm_([], max_norm)

def test_one_step_shrinks_matrices_and_spares_the_rest():
    model = nn.Sequential(nn.Conv1d(1, 2, 3), nn.BatchNorm1d(2), nn.Linear(4, 4))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    for p in model.parameters(): p.grad = torch.zeros_like(p)
    torch.optim.AdamW(decay_groups(model, .5), lr=.1).step()
    for name, p in model.named_parameters():
        torch.testing.assert_close(p.detach(), before[name]*(.95 if p.ndim > 1 else 1.))

def test_groups_hold_every_trained_parameter_once():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    model[2].bias.requires_grad_(False)
    held = [id(p) for group in decay_groups(model) for p in group['params']]
    assert sorted(held) == sorted(id(p) for p in model.parameters() if p.requires_grad)

@pytest.mark.parametrize('decay', [-.1, float('nan')])
def test_groups_refuse_a_negative_decay(decay):
    with pytest.raises(InputError, match='`weight_decay` must be 0 or more'): decay_groups(nn.Linear(1, 1), decay)
