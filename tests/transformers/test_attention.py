"Attention against torch's own: random shapes, masks, heads, error texts, precision, a cache"
import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from jaxtyping import install_import_hook

from dlcourse.core.errors import InputError

# Shapes are checked here, and not in normal use
with install_import_hook('dlcourse.transformers.attention', 'beartype.beartype'):
    from dlcourse.transformers.attention import (
        MultiHeadAttention,
        attend,
        causal_mask,
        padding_mask,
        phases,
        repeat_heads,
        rotate,
        sinusoid,
        visible,
    )

DEVICES = ['cpu', *(['cuda'] if torch.cuda.is_available() else [])]
few = hypothesis_settings(max_examples=40, deadline=None)
sizes = st.integers(1, 7)


def drawn(seed, *shapes, dtype=torch.float64, device='cpu'):
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=g, dtype=torch.float64).to(device, dtype)
            for shape in shapes]


def close(got, want, atol=1e-12):
    assert got.dtype == want.dtype and got.shape == want.shape and got.device == want.device
    torch.testing.assert_close(got, want, atol=atol, rtol=0, equal_nan=False)


# attend

MASKS = {'none': lambda g, b, h, n, m: None,
         'shared': lambda g, b, h, n, m: torch.rand(n, m, generator=g) < .7,
         'padding': lambda g, b, h, n, m: padding_mask(torch.randint(0, m + 1, (b,), generator=g),
                                                       m),
         'by head': lambda g, b, h, n, m: torch.rand(b, h, n, m, generator=g) < .5,
         'nothing': lambda g, b, h, n, m: torch.zeros(n, m, dtype=torch.bool)}


@few
@given(st.sampled_from(list(MASKS)), sizes, sizes, sizes, sizes, sizes, sizes, st.integers(0, 99))
def test_attend_is_torch_for_any_shape_and_mask(kind, b, h, n, m, dim, value, seed):
    q, k, v = drawn(seed, (b, h, n, dim), (b, h, m, dim), (b, h, m, value))
    mask = MASKS[kind](torch.Generator().manual_seed(seed), b, h, n, m)
    want = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    if mask is not None:
        want = want.masked_fill(~mask.broadcast_to(b, h, n, m).any(-1, keepdim=True), 0)
    close(attend(q, k, v, mask), want)


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('dtype, atol',
                         [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, .03)])
def test_attend_in_every_precision(device, dtype, atol):
    q, k, v = drawn(0, *[(2, 3, 9, 16)]*3, dtype=dtype, device=device)
    mask = causal_mask(9).to(device)
    exact = F.scaled_dot_product_attention(q.double(), k.double(), v.double(), attn_mask=mask)
    close(attend(q, k, v, mask), exact.to(dtype), atol)


def test_attend_has_the_right_gradients_and_no_nan():
    q, k, v = (t.requires_grad_() for t in drawn(0, *[(1, 2, 3, 4)]*3))
    mask = torch.tensor([[True, False, False], [False]*3, [True]*3])
    assert torch.autograd.gradcheck(lambda *qkv: attend(*qkv, mask), (q, k, v))
    assert torch.autograd.gradgradcheck(lambda *qkv: attend(*qkv, mask), (q, k, v))


def test_attend_works_under_vmap():
    q, k, v = drawn(0, *[(5, 1, 2, 3, 4)]*3)
    close(torch.func.vmap(attend)(q, k, v),
          torch.stack([attend(*x) for x in zip(q, k, v, strict=True)]))


@few
@given(sizes, st.integers(0, 99))
def test_shuffled_in_shuffled_out(n, seed):
    x, = drawn(seed, (1, 2, n, 8))
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    close(attend(*[x[:, :, order]]*3), attend(x, x, x)[:, :, order])


@few
@given(st.integers(1, 9), st.integers(0, 99))
def test_no_word_sees_a_later_one(n, seed):
    x, later = drawn(seed, (1, 1, n, 8), (1, 1, n, 8))
    i = seed % n
    later[:, :, :i] = x[:, :, :i]
    assert torch.equal(attend(x, x, x, causal_mask(n))[:, :, :i],
                       attend(later, later, later, causal_mask(n))[:, :, :i])


def test_padding_takes_no_part():
    q, k, v = drawn(0, *[(2, 2, 6, 4)]*3)
    lengths = torch.tensor([3, 6])
    y = attend(q, k, v, padding_mask(lengths, 6))
    close(y[:1], attend(q[:1], k[:1, :, :3], v[:1, :, :3]))


# Positions

def test_sinusoid_is_the_formula():
    want = np.array([[f(p/10_000**(2*i/6)) for i in range(3) for f in (math.sin, math.cos)]
                     for p in (0, 1, 7, 1000)])
    close(sinusoid(torch.tensor([0, 1, 7, 1000]).double(), 6), torch.tensor(want), 1e-4)
    assert sinusoid(torch.arange(3), 4).dtype == torch.float32
    assert sinusoid(torch.zeros(2, 5), 4).shape == (2, 5, 4)


def test_a_float64_rotation_is_exact_far_out():
    at = torch.tensor([100_000., 10_000_000.], dtype=torch.float64)
    want = at.numpy()[:, None]*10_000.**(-np.arange(0, 8, 2)/8)
    np.testing.assert_allclose(phases(at, 8).numpy(), want, rtol=1e-14)
    for kind in (torch.int64, torch.int32, torch.float16, torch.float32):
        assert phases(torch.arange(3).to(kind), 8).dtype == torch.float32
    attention = MultiHeadAttention(8, 1, rope_base=10_000.).double()
    x = torch.randn(1, 2, 8, dtype=torch.float64)
    with torch.no_grad(): q, k, _ = attention.project(x, start=100_000)
    with torch.no_grad(): asked, _, _ = attention.project(x)
    turn = 100_000*10_000.**(-torch.arange(0, 8, 2, dtype=torch.float64)/8)
    close(q, rotate(asked, turn.expand(1, 2, -1)), 1e-10)


def test_phases_count_from_the_fastest_hand():
    close(phases(torch.tensor([2.]).double(), 4, base=100.),
          torch.tensor([[2., .2]], dtype=torch.float64), 1e-6)


@few
@given(st.integers(0, 5000), st.integers(0, 5000), st.integers(0, 5000), st.integers(1, 16))
def test_turned_scores_depend_on_distance_only(i, j, shift, pairs):
    q, k = drawn(i, (1, 2*pairs), (1, 2*pairs))
    def score(i, j):
        return (rotate(q,
                       phases(torch.tensor([i]).double(),
                              2*pairs))*rotate(k, phases(torch.tensor([j]).double(),
                                                         2*pairs))).sum()
    close(score(i + shift, j + shift), score(i, j), 1e-9)


def test_rotate_is_the_exponential_of_its_generator():
    angles, (x,) = phases(torch.arange(50).double(), 16), drawn(0, (50, 16))
    turns = torch.matrix_exp(angles[..., None,
                                    None]*torch.tensor([[0., -1], [1, 0]], dtype=torch.float64))
    close(rotate(x, angles), (turns @ x.unflatten(-1, (8, 2))[..., None]).flatten(1), 1e-11)
    close(rotate(x, angles).norm(dim=-1), x.norm(dim=-1))


def test_rotate_takes_batches_of_positions():
    x, = drawn(0, (2, 3, 5, 8))
    places = torch.tensor([[0, 1, 2, 3, 4], [7, 8, 9, 0, 1]])
    together = rotate(x, phases(places[:, None], 8).double())
    for b in range(2): close(together[b], rotate(x[b], phases(places[b], 8).double()))


# The module

def copied(ours, theirs):
    "torch's module with our weights"
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([f.weight
                                               for f in (ours.to_q, ours.to_k, ours.to_v)]))
        theirs.in_proj_bias.copy_(torch.cat([f.bias for f in (ours.to_q, ours.to_k, ours.to_v)]))
        theirs.out_proj.weight.copy_(
            ours.to_out.weight), theirs.out_proj.bias.copy_(ours.to_out.bias)
    return theirs


@pytest.mark.parametrize('fused, causal, padded', list(itertools.product(*[[True, False]]*3)))
def test_module_is_torchs_module(fused, causal, padded):
    ours = MultiHeadAttention(24, 3, fused=fused).double()
    theirs = copied(ours, torch.nn.MultiheadAttention(24, 3, batch_first=True).double())
    x, = drawn(1, (2, 5, 24))
    mask = padding_mask(torch.tensor([2, 5]), 5) if padded else None
    y, weights = theirs(x, x, x, attn_mask=~causal_mask(5) if causal else None,
                        key_padding_mask=~mask[:, 0, 0] if padded else None,
                        average_attn_weights=False)
    close(ours(x, mask=mask, causal=causal), y)
    close(ours.weights(x, mask=mask, causal=causal), weights)


@few
@given(st.sampled_from([(1, 1), (2, 1), (4, 2), (6, 3), (6, 1), (4, 4)]),
       st.sampled_from(list(MASKS)), st.booleans(), st.booleans(), st.integers(0, 99))
def test_fused_or_not_is_the_same(heads, kind, causal, rope, seed):
    torch.manual_seed(seed)
    (h, kv), n = heads, 6
    one = MultiHeadAttention(8*h, h, kv_heads=kv, rope_base=100. if rope else None).double()
    two = MultiHeadAttention(8*h, h, kv_heads=kv, rope_base=100. if rope else None,
                             fused=False).double()
    two.load_state_dict(one.state_dict())
    x, = drawn(seed, (3, n, 8*h))
    mask = MASKS[kind](torch.Generator().manual_seed(seed), 3, h, n, n)
    close(one(x, mask=mask, causal=causal), two(x, mask=mask, causal=causal))


def test_grouped_heads_are_repeated_ones():
    torch.manual_seed(0)
    shared, full = MultiHeadAttention(24, 6,
                                      kv_heads=2).double(), MultiHeadAttention(24, 6).double()
    state = shared.state_dict()
    for name in ('to_k', 'to_v'):
        for kind in ('weight', 'bias'):
            state[
                f'{name}.{kind}'] = state[f'{name}.{kind}'].unflatten(0, (
                    2, 4)).repeat_interleave(3, 0).flatten(0, 1)
    full.load_state_dict(state)
    x, = drawn(1, (2, 5, 24))
    close(shared(x), full(x))
    assert shared.to_k.out_features == 8 and torch.equal(repeat_heads(x[:, None], 1), x[:, None])


@pytest.mark.parametrize('fused, kv_heads', list(itertools.product([True, False], [4, 2])))
def test_word_by_word_is_all_at_once(fused, kv_heads):
    torch.manual_seed(0)
    look = MultiHeadAttention(32, 4, kv_heads=kv_heads, rope_base=10_000., fused=fused).double()
    x, = drawn(2, (2, 7, 32))
    whole, keys, values, parts = look(x, causal=True), None, None, []
    for start, end in ((0, 3), (3, 4), (4, 7)):
        q, k, v = look.project(x[:, start:end], start=start)
        keys, values = (k, v) if keys is None else (torch.cat([keys, k], 2),
                                                    torch.cat([values, v], 2))
        parts.append(look.merge(q, keys, values, mask=causal_mask(end)[start:end]))
    close(torch.cat(parts, 1), whole)


@pytest.mark.parametrize('fused', [True, False])
def test_cross_attention_takes_another_width_and_length(fused):
    look = MultiHeadAttention(16, 4, kv_heads=2, context_dim=6, bias=False, fused=fused).double()
    x, context = drawn(3, (2, 5, 16), (2, 9, 6))
    assert look(x, context).shape == x.shape
    assert sum(p.numel() for p in look.parameters()) == 2*16*16 + 2*6*8
    short = look(x[:1], context[:1, :4])
    close(look(x, context, mask=padding_mask(torch.tensor([4, 9]), 9))[:1], short)
    assert torch.equal(look(x, context, mask=torch.zeros(5, 9, dtype=torch.bool)),
                       torch.zeros_like(x))


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('dtype, atol', [(torch.float32, 1e-5), (torch.bfloat16, .05)])
@pytest.mark.parametrize('fused, rope, masked', list(itertools.product(*[[True, False]]*3)))
def test_module_in_every_precision(device, dtype, atol, fused, rope, masked):
    torch.manual_seed(0)
    look = MultiHeadAttention(64, 4, kv_heads=2, rope_base=10_000. if rope else None, fused=fused)
    x, = drawn(4, (2, 12, 64), dtype=torch.float32)
    mask = padding_mask(torch.tensor([5, 12]), 12) if masked else None
    want = look(x, mask=mask, causal=True)
    look, x = look.to(device, dtype), x.to(device, dtype).requires_grad_()
    if masked: mask = mask.to(device)
    y = look(x, mask=mask, causal=True)
    close(y, want.detach().to(device, dtype), atol)
    y.float().square().sum().backward()
    assert x.grad.isfinite().all() and all(p.grad.isfinite().all() for p in look.parameters())


@pytest.mark.parametrize('device', DEVICES)
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
@pytest.mark.parametrize('fused', [True, False])
def test_who_may_look_nowhere_gets_zero(device, dtype, fused):
    look = MultiHeadAttention(16, 2, bias=False, fused=fused).to(device, dtype)
    x, = drawn(5, (2, 4, 16), dtype=dtype, device=device)
    x.requires_grad_()
    y = look(x, mask=padding_mask(torch.tensor([0, 3], device=device), 4))
    assert (y[0] == 0).all() and (y[1] != 0).any()
    y.float().square().sum().backward()
    assert x.grad.isfinite().all()


def test_weights_are_what_the_values_are_weighted_with():
    torch.manual_seed(0)
    look = MultiHeadAttention(24, 6, kv_heads=3, rope_base=50.).double()
    x, = drawn(6, (2, 5, 24))
    q, k, v = look.project(x)
    weights = look.weights(x, causal=True)
    close(weights.sum(-1), torch.ones(2, 6, 5, dtype=torch.float64))
    close(look.to_out((weights @ v.repeat_interleave(2, 1)).transpose(1, 2).flatten(2)),
          look(x, causal=True))


def test_shapes_alone_are_enough():
    with torch.device('meta'):
        look, x = MultiHeadAttention(32, 4, kv_heads=2, rope_base=10_000.), torch.randn(2, 5, 32)
    assert look(x, causal=True).device.type == 'meta'
    assert look(x, mask=causal_mask(5).to('meta'), causal=True).shape == x.shape


# Errors a caller can mend

@pytest.mark.parametrize('make, words', [
    (lambda: MultiHeadAttention(16, 3), "`heads` must divide `dim`, got heads=3, dim=16"),
    (lambda: MultiHeadAttention(16, 0), "`heads` must divide `dim`, got heads=0, dim=16"),
    (lambda: MultiHeadAttention(16, 4, kv_heads=3),
     "`kv_heads` must divide `heads`, got kv_heads=3, heads=4"),
    (lambda: MultiHeadAttention(16, 4, kv_heads=0),
     "`kv_heads` must divide `heads`, got kv_heads=0, heads=4"),
    (lambda: MultiHeadAttention(12, 4, rope_base=100.),
     "`rope_base` turns pairs, so `dim/heads` must be even; got 12/4 = 3"),
    (lambda: MultiHeadAttention(8, 2, rope_base=100.)(torch.zeros(1, 2, 8), torch.zeros(1, 3, 8)),
     "`rope_base` compares places within one sequence; leave it out for attention to a `context`"),
    (lambda: MultiHeadAttention(8, 2)(torch.zeros(1, 2, 8), torch.zeros(1, 3, 8), causal=True),
     "`causal` needs as many queries as keys, got 2 and 3; for the last of a text use "
     "mask=causal_mask(3)[-2:]"),
    (lambda: phases(torch.arange(3), 5),
     "`dim` must be even, one sine and one cosine for each hand; got dim=5"),
    (lambda: sinusoid(torch.arange(3), 5),
     "`dim` must be even, one sine and one cosine for each hand; got dim=5"),
])
def test_errors_say_what_to_do(make, words):
    with pytest.raises(InputError) as e: make()
    assert str(e.value) == words


@pytest.mark.parametrize('fused', [True, False])
def test_a_mask_of_numbers_is_refused(fused):
    # Without the shape checks, as in normal use
    unchecked = getattr(visible, '__wrapped__', visible)
    q, = drawn(0, (1, 1, 2, 4))
    with pytest.raises(InputError,
                       match="`mask` must be boolean, `True` where a query may look; got "
                             "torch.float32"):
        unchecked(q, q, torch.zeros(2, 2))
