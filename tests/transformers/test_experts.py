"Mixtures of experts against plain loops: routing, dispatch, balance, capacity, a block, errors"
import copy
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from jaxtyping import install_import_hook

from dlcourse.core.errors import InputError
from dlcourse.transformers.block import BENDS, Block, BlockConfig, FeedForward

with install_import_hook('dlcourse.transformers.experts', 'beartype.beartype'):
    from dlcourse.transformers.experts import (
        Experts,
        ExpertsConfig,
        auxiliary_loss,
        balance_loss,
        dispatch,
        expert_capacity,
        route,
        within_capacity,
        z_loss,
    )

few = hypothesis_settings(max_examples=30, deadline=None)


def drawn(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def layer_of(**options):
    torch.manual_seed(0)
    return Experts(ExpertsConfig(**dict(dim=6, hidden=10, experts=5) | options)).double()


def plain(layer, x):
    "Every expert about every token, weighted; by loops"
    config, y = layer.config, []
    for token in x.reshape(-1, x.shape[-1]):
        share = F.softmax(token @ layer.router.weight.T, -1)
        best = share.argsort(descending=True)[:config.k]
        weight = share[best]/(share[best].sum() if config.renormalize else 1)
        said = [F.gelu(token @ layer.up[i] + layer.up_bias[i]) @ layer.down[i] + layer.down_bias[i]
                for i in best]
        y.append(sum(w*s for w, s in zip(weight, said, strict=True)))
    return torch.stack(y).reshape(x.shape)


@pytest.mark.parametrize('k, renormalize', [(1, False), (2, False), (2, True), (5, False),
                                            (5, True)])
def test_layer_is_the_weighted_sum_values_and_gradients(k, renormalize):
    layer, x = layer_of(k=k, renormalize=renormalize), drawn(1, 2, 7, 6).requires_grad_()
    given_ = [x, *layer.parameters()]
    ours, theirs = layer(x), plain(layer, x)
    torch.testing.assert_close(ours, theirs, atol=1e-12, rtol=0)
    sent = drawn(2, 2, 7, 6)
    for a, b in zip(torch.autograd.grad((ours*sent).sum(), given_),
                    torch.autograd.grad((theirs*sent).sum(), given_), strict=True):
        torch.testing.assert_close(a, b, atol=1e-11, rtol=0)


def test_one_expert_is_a_feed_forward_network():
    layer, usual = layer_of(experts=1), FeedForward(BlockConfig(dim=6, heads=1, hidden=10)).double()
    with torch.no_grad():
        usual.to_hidden.weight.copy_(layer.up[0].T)
        usual.to_hidden.bias.copy_(layer.up_bias[0])
        usual.to_out.weight.copy_(layer.down[0].T)
        usual.to_out.bias.copy_(layer.down_bias[0])
    x = drawn(0, 3, 4, 6)
    torch.testing.assert_close(layer(x), usual(x), atol=1e-12, rtol=0)


@few
@given(st.integers(1, 30), st.integers(1, 8), st.data())
def test_dispatch_is_the_loop_whatever_has_room(tokens, n, data):
    k, seed = data.draw(st.integers(1, n)), data.draw(st.integers(0, 99))
    g = torch.Generator().manual_seed(seed)
    x, weights = drawn(seed, tokens, 3), torch.rand(tokens, k, generator=g, dtype=torch.float64)
    index = torch.rand(tokens, n, generator=g).argsort(1)[:, :k]
    kept = torch.rand(tokens, k, generator=g) < .7
    experts = [lambda x, i=i: x*(i + 1) + i for i in range(n)]
    want = torch.zeros_like(x)
    for i in range(tokens):
        for j in range(k):
            if kept[i, j]: want[i] += weights[i, j]*experts[index[i, j]](x[i])
    torch.testing.assert_close(dispatch(x, weights, index, kept, experts), want)


@few
@given(st.integers(1, 40), st.integers(1, 6), st.data())
def test_room_is_given_in_turn(tokens, n, data):
    k, seed = data.draw(st.integers(1, n)), data.draw(st.integers(0, 99))
    capacity = data.draw(st.integers(1, tokens))
    index = torch.rand(tokens, n, generator=torch.Generator().manual_seed(seed)).argsort(1)[:, :k]
    kept, taken = within_capacity(index, n, capacity), [0]*n
    for choice in range(k):
        for token in range(tokens):
            i = int(index[token, choice])
            assert bool(kept[token, choice]) == (taken[i] < capacity)
            taken[i] += 1


@few
@given(st.integers(1, 20), st.integers(2, 8), st.integers(0, 99))
def test_balance_loss_is_one_when_even_and_the_number_of_experts_at_worst(tokens, n, seed):
    even = torch.arange(n).repeat(tokens)[:, None]
    assert math.isclose(balance_loss(torch.zeros(tokens*n, n).double(), even), 1)
    one = torch.zeros(tokens, 1, dtype=torch.int64)
    sure = torch.zeros(tokens, n).double()
    sure[:, 0] = 100
    assert math.isclose(balance_loss(sure, one), n)
    logits = drawn(seed, tokens, n)
    assert 0 < balance_loss(logits, logits.topk(1).indices) < n + 1e-9


def test_balance_loss_is_hugging_faces():
    pytest.importorskip('transformers')
    from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func
    logits = drawn(0, 50, 8)
    for k in (1, 2, 3):
        theirs = load_balancing_loss_func((logits,), num_experts=8, top_k=k)
        # Theirs sums over choices, ours is a mean over them
        assert math.isclose(k*balance_loss(logits, logits.topk(k).indices), theirs, rel_tol=1e-6)


def test_mixture_is_mixtrals():
    transformers = pytest.importorskip('transformers')
    from transformers.models.mixtral.modeling_mixtral import MixtralSparseMoeBlock
    torch.manual_seed(0)
    config = transformers.MixtralConfig(hidden_size=8, intermediate_size=12, num_local_experts=4,
                                        num_experts_per_tok=2)
    theirs, x = MixtralSparseMoeBlock(config), torch.randn(2, 9, 8)
    tokens = x.reshape(-1, 8)
    weights, index = route(theirs.gate(tokens), 2, renormalize=True)
    y = dispatch(tokens, weights, index, torch.ones_like(index, dtype=torch.bool),
                 list(theirs.experts))
    torch.testing.assert_close(y.reshape(x.shape), theirs(x)[0], atol=1e-6, rtol=1e-5)


def test_z_loss_by_hand():
    logits = torch.tensor([[0., 0.], [math.log(3), 0.]]).double()
    assert math.isclose(z_loss(logits), (math.log(2)**2 + math.log(4)**2)/2, rel_tol=1e-6)


def test_full_experts_give_nothing_and_say_so():
    layer, x = layer_of(experts=2, capacity_factor=.5), drawn(3, 12, 6)
    with torch.no_grad(): y = layer(x)
    kept = layer.routing.kept[:, 0]
    assert (y[~kept] == 0).all() and (y[kept] != 0).any(1).all()
    assert kept.sum() <= 2*expert_capacity(12, 2, 1, .5) == 6
    torch.testing.assert_close(layer.routing.dropped, 1 - kept.float().mean())
    assert math.isclose(layer.routing.load.sum(), 1, rel_tol=1e-6)


@pytest.mark.parametrize('args, want', [((64, 8, 1, 1.), 8), ((64, 8, 2, 1.25), 20),
                                        ((3, 8, 1, 1.), 1), ((10, 4, 1, 1.), 3),
                                        ((100, 10, 1, 1.1), 11)])
def test_capacity_is_rounded_up(args, want): assert expert_capacity(*args) == want


def test_stands_in_a_block_and_adds_its_losses():
    torch.manual_seed(0)
    block = Block(BlockConfig(dim=6, heads=2), feed_forward=Experts(ExpertsConfig(
        dim=6, hidden=8, experts=4, k=2)))
    block(torch.randn(2, 5, 6), causal=True)
    r = block.feed_forward.routing
    torch.testing.assert_close(auxiliary_loss(block, .5, .1),
                               .5*balance_loss(r.logits, r.index) + .1*z_loss(r.logits))
    auxiliary_loss(block).backward()
    assert block.feed_forward.router.weight.grad.abs().sum() > 0


def test_shapes_alone_are_not_enough_but_devices_follow():
    layer = layer_of().float()
    assert layer(torch.zeros(1, 2, 6)).dtype == torch.float32


@pytest.mark.parametrize('options', [dict(k=1), dict(k=2, renormalize=True)])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_half_precision_is_a_little_less_exact(options, dtype):
    layer, x = layer_of(**options).float(), drawn(0, 9, 6).to(dtype)
    with torch.autocast('cpu', torch.bfloat16): y = layer(x)
    assert y.dtype == dtype and y.isfinite().all()


def test_a_layer_that_has_seen_a_batch_can_be_copied():
    layer, x = layer_of(), drawn(0, 9, 6)
    layer(x)
    again = copy.deepcopy(layer)
    assert again.routing is None and layer.routing is not None
    torch.testing.assert_close(again(x), layer(x))


def test_a_batch_without_tokens_costs_nothing():
    layer = layer_of()
    layer(drawn(0, 0, 6))
    assert auxiliary_loss(layer, z=1.).item() == 0


# Errors a caller can mend

@pytest.mark.parametrize('make, words', [
    (lambda: layer_of(k=6), "`k` must be from 1 to the number of experts, 5; got 6"),
    (lambda: layer_of(k=0), "`k` must be a whole number from 1 up, got 0"),
    (lambda: layer_of(hidden=0), "`hidden` must be a whole number from 1 up, got 0"),
    (lambda: layer_of(capacity_factor=math.inf),
     "`capacity_factor` must be finite and above zero, or None; got inf"),
    (lambda: layer_of(renormalize=True),
     "`renormalize` of a single choice makes its weight 1 whatever the router says, and the router "
     "learns nothing from it; take renormalize=False, or k=2"),
    (lambda: layer_of(capacity_factor=0.),
     "`capacity_factor` must be finite and above zero, or None; got 0.0"),
    (lambda: layer_of(activation='swish'),
     f"`activation` must be one of {', '.join(BENDS)}; got 'swish'"),
    (lambda: layer_of()(torch.full((2, 6), math.nan).double()),
     "`x` must hold finite numbers, else the router cannot choose; got 12 that are not"),
    (lambda: layer_of()(torch.zeros(2, 5).double()),
     "`x` must have 6 numbers a token; got the shape (2, 5)"),
    (lambda: expert_capacity(8, 0, 1, 1.), "`experts` must be a whole number from 1 up, got 0"),
    (lambda: auxiliary_loss(torch.nn.Linear(2, 2)),
     "`model` must have `Experts` that have seen a batch; call it first"),
    (lambda: auxiliary_loss(layer_of()),
     "`model` must have `Experts` that have seen a batch; call it first"),
])
def test_errors_say_what_to_do(make, words):
    with pytest.raises(InputError) as e: make()
    assert str(e.value) == words
