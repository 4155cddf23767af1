"The block: torch's layers as the oracle, the cache, the options, and what is refused"
import math
from functools import partial

import pytest
import torch
from oracles import same_as_torch
from torch import nn

from dlcourse.core.errors import InputError
from dlcourse.training.zoo import count_parameters
from dlcourse.transformers.attention import causal_mask
from dlcourse.transformers.block import (
    Block,
    BlockConfig,
    Blocks,
    FeedForward,
    block_parameters,
    scale_residuals,
)

MODERN = dict(norm='rms', rope_base=1e4, qk_norm=True, bias=False, activation='squared_relu')


class Joined:
    "The plainest cache: everything, joined anew"
    def __init__(self): self.k = self.v = None
    def __len__(self): return 0 if self.k is None else self.k.shape[2]

    def extend(self, k, v):
        self.k = k if self.k is None else torch.cat([self.k, k], 2)
        self.v = v if self.v is None else torch.cat([self.v, v], 2)
        return self.k, self.v


def as_theirs(block, theirs):
    for name, ours in (('self_attn', block.attention),
                       ('multihead_attn', getattr(block, 'cross', None))):
        if ours is None: continue
        other = getattr(theirs, name)
        for kind in ('weight', 'bias'):
            whole = torch.cat([getattr(to, kind) for to in (ours.to_q, ours.to_k, ours.to_v)])
            getattr(other, f'in_proj_{kind}').data.copy_(whole)
        other.out_proj.load_state_dict(ours.to_out.state_dict())
    theirs.linear1.load_state_dict(block.feed_forward.to_hidden.state_dict())
    theirs.linear2.load_state_dict(block.feed_forward.to_out.state_dict())
    return theirs.eval()


@pytest.mark.parametrize('first', [True, False])
@pytest.mark.parametrize('cross', [True, False])
@pytest.mark.parametrize('causal', [True, False])
def test_equals_torchs_layers_in_values_and_gradients(first, cross, causal):
    torch.manual_seed(0)
    block = Block(BlockConfig(dim=16, heads=4, hidden=24, norm_first=first, cross=cross)).double()
    kind = nn.TransformerDecoderLayer if cross else nn.TransformerEncoderLayer
    theirs = kind(16, 4, 24, 0., 'gelu', batch_first=True, norm_first=first).double()
    as_theirs(block, theirs)
    inputs = [torch.randn(2, n, 16, dtype=torch.float64) for n in (5, 7)][:1 + cross]
    ahead = {'tgt_mask' if cross else 'src_mask': ~causal_mask(5) if causal else None}
    same_as_torch(partial(block, causal=causal), partial(theirs, **ahead), *inputs)


@pytest.mark.parametrize('options', [{}, MODERN, MODERN | dict(kv_heads=2), dict(norm_first=False)])
@pytest.mark.parametrize('cuts', [(9,), (4, 1, 4), (1,)*9, (1, 8), (8, 1)])
def test_a_text_in_pieces_is_the_text(options, cuts):
    torch.manual_seed(0)
    blocks = Blocks(BlockConfig(dim=16, heads=4, **options), 3).eval()
    x, caches = torch.randn(2, 9, 16), [Joined() for _ in range(3)]
    parts = [blocks(part, causal=True, caches=caches) for part in x.split(cuts, 1)]
    torch.testing.assert_close(torch.cat(parts, 1), blocks(x, causal=True), rtol=1e-5, atol=1e-5)


def test_a_mask_holds_with_a_cache():
    torch.manual_seed(0)
    blocks, x = Blocks(BlockConfig(dim=16, heads=4), 2).eval(), torch.randn(2, 6, 16)
    real = torch.tensor([[0, 0, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1]]).bool()[:, None, None]
    caches = [Joined() for _ in range(2)]
    first = blocks(x[:, :4], causal=True, caches=caches, mask=real[..., :4])
    rest = blocks(x[:, 4:], causal=True, caches=caches, mask=real)
    whole = blocks(x, causal=True, mask=real)
    both = torch.cat([first, rest], 1)
    torch.testing.assert_close(both[:, 2:], whole[:, 2:], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('options', [
    {}, MODERN, dict(gated=True), dict(cross=True, kv_heads=1),
    dict(norm='rms', hidden=3, bias=False)])
def test_parameters_are_counted(options):
    config = BlockConfig(dim=8, heads=2, **options)
    assert block_parameters(config) == count_parameters(Block(config))


def test_every_parameter_learns():
    for options in ({}, MODERN, dict(gated=True), dict(cross=True)):
        block = Block(BlockConfig(dim=8, heads=2, **options))
        context = [torch.randn(2, 3, 8)]*block.config.cross
        block(torch.randn(2, 4, 8), *context).square().sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in block.parameters())


def test_dropout_only_in_training():
    torch.manual_seed(0)
    block, x = Block(BlockConfig(dim=8, heads=2, dropout=.5)), torch.randn(1, 4, 8)
    assert not torch.equal(block(x), block(x))
    assert torch.equal(block.eval()(x), block(x))


def test_scaled_residuals_keep_the_stream_small():
    torch.manual_seed(0)
    x = torch.randn(4, 16, 32)
    plain, scaled = (Blocks(BlockConfig(dim=32, heads=4, norm_first=True), 40) for _ in range(2))
    scale_residuals(scaled)
    for blocks in (plain, scaled): blocks.norm = nn.Identity()
    with torch.no_grad(): assert scaled(x).square().mean() < .6*plain(x).square().mean()


@pytest.mark.parametrize(('options', 'named'), [
    (dict(activation='swish'), 'activation'), (dict(norm='batch'), 'norm'),
    (dict(dropout=1.), 'dropout'),
    (dict(dropout=-.1), 'dropout'), (dict(hidden=0), 'hidden'), (dict(heads=3), 'heads'),
    (dict(eps=0.), 'eps'), (dict(kv_heads=3), 'kv_heads'),
    (dict(rope_base=10., heads=8), 'rope_base'), (dict(rope_base=0.), 'rope_base'),
    (dict(dim=0), 'dim'), (dict(dim=8.), 'dim'), (dict(heads=2.), 'heads'),
    (dict(hidden=9.5), 'hidden'), (dict(kv_heads=1.), 'kv_heads'),
    *((dict([(name, bad)]), name) for name in ('eps', 'dropout') for bad in ('a', None, math.nan)),
    (dict(rope_base='a'), 'rope_base'), (dict(rope_base=math.nan), 'rope_base'),
    (dict(activation=['gelu']), 'activation'), (dict(norm=['rms']), 'norm')])
def test_a_block_that_cannot_be_is_refused(options, named):
    with pytest.raises(InputError, match=f'`{named}`'):
        Block(BlockConfig(**dict(dim=8, heads=2) | options))


def test_context_and_cross_belong_together():
    x = torch.randn(1, 3, 8)
    with pytest.raises(InputError, match='`context`'): Block(BlockConfig(dim=8, heads=2))(x, x)
    with pytest.raises(InputError, match='`context`'):
        Block(BlockConfig(dim=8, heads=2, cross=True))(x)


def test_a_depth_and_other_networks():
    with pytest.raises(InputError, match='`depth`'): Blocks(BlockConfig(dim=8, heads=2), 0)
    blocks = Blocks(BlockConfig(dim=8, heads=2), 1)
    blocks.blocks[0].feed_forward = nn.Linear(8, 8)
    with pytest.raises(InputError, match='Linear'): scale_residuals(blocks)
    assert blocks(torch.randn(1, 2, 8)).shape == (1, 2, 8)
    with pytest.raises(InputError, match='`caches`'): blocks(torch.randn(1, 2, 8), caches=[])


def test_feed_forward_works_on_each_position_alone():
    net, x = FeedForward(BlockConfig(dim=8, heads=2, gated=True)), torch.randn(2, 3, 8)
    torch.testing.assert_close(net(x)[1, 2], net(x[1, 2]))
