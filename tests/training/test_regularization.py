"Dropout against torch's own"
import pytest
import torch
from torch import nn
from torch.func import functional_call, stack_module_state, vmap
from torch.nn import functional as F

from dlcourse.core.errors import InputError
from dlcourse.training.regularization import Dropout, dropout


@pytest.mark.parametrize('p', [0., .1, .5, .9])
def test_dropout_scales_as_torch_and_drops_as_often(p):
    torch.manual_seed(0)
    x = torch.full((300, 300), 2., dtype=torch.float64)
    ours, theirs = dropout(x, p), F.dropout(x, p)
    torch.testing.assert_close(ours.max(), theirs.max(), rtol=1e-12, atol=0)
    for of in (ours, theirs): assert abs((of == 0).double().mean() - p) < .01
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
    def one(p, b): return functional_call(models[0], (p, b), (torch.ones(16, 8),))
    out = vmap(one, randomness='different')(params, buffers)
    assert not torch.equal(out[0], out[1])


@pytest.mark.parametrize('p', [-.1, 1., 2., float('nan')])
def test_dropout_refuses_what_is_no_chance(p):
    with pytest.raises(InputError, match='`p` must be from 0 to below 1'): Dropout(p)
