"GPT-2 in our code against transformers' own, with random weights: names, sides, refusals"
import json

import pytest
import torch

from dlcourse.core.errors import InputError
from dlcourse.transformers.decoding import continue_texts
from dlcourse.transformers.gpt import gpt_size
from dlcourse.transformers.gpt2_weights import from_gpt2, gpt2_config, gpt2_from, load_gpt2

transformers = pytest.importorskip('transformers')
SIZES = [dict(vocab_size=50, n_positions=16, n_embd=24, n_head=3, n_layer=2),
         dict(vocab_size=31, n_positions=8, n_embd=16, n_head=4, n_layer=1)]


def theirs(size, seed=0):
    torch.manual_seed(seed)
    model = transformers.GPT2LMHeadModel(transformers.GPT2Config(
        **size, bos_token_id=0, eos_token_id=0)).eval()
    with torch.no_grad():
        for p in model.parameters(): p.add_(.3*torch.randn_like(p)) # Biases and norms are not 0, 1
    return model


@pytest.mark.parametrize('size', SIZES)
@torch.no_grad()
def test_logits_are_those_of_transformers(size):
    model = theirs(size)
    ours = gpt2_from(model.state_dict(), size)
    ids = torch.randint(0, size['vocab_size'], (3, size['n_positions']))
    torch.testing.assert_close(ours(ids), model(ids).logits, atol=1e-4, rtol=0)
    assert sum(p.numel() for p in ours.parameters()) == model.num_parameters()
    assert gpt_size(gpt2_config(size)) == model.num_parameters()


@torch.no_grad()
def test_greedy_text_is_that_of_transformers():
    model = theirs(SIZES[0])
    ours = gpt2_from(model.state_dict(), SIZES[0])
    want = model.generate(torch.tensor([[3, 1, 4]]), max_new_tokens=12, min_new_tokens=12,
                          do_sample=False, pad_token_id=0)[0, 3:]
    assert continue_texts(ours, [[3, 1, 4]], 12, temperature=0)[0] == want.tolist()


def test_published_names_and_saved_names_are_one():
    state = theirs(SIZES[0]).state_dict()
    bare = {name.removeprefix('transformer.'): t for name, t in state.items()
            if name != 'lm_head.weight'}
    bare['h.0.attn.bias'] = torch.ones(1, 1, 16, 16).tril()
    bare['h.1.attn.masked_bias'] = torch.tensor(-1e4)
    one, other = from_gpt2(state), from_gpt2(bare)
    assert set(one) == set(other) and all(torch.equal(one[n], other[n]) for n in one)


def test_a_folder_is_loaded(tmp_path):
    from safetensors.torch import save_file
    model = theirs(SIZES[1])
    save_file({n.removeprefix('transformer.'): t.contiguous() for n, t in model.state_dict().items()
               if n != 'lm_head.weight'}, tmp_path/'model.safetensors')
    (tmp_path/'config.json').write_text(json.dumps(SIZES[1] | dict(activation_function='gelu_new')))
    ids = torch.randint(0, 31, (1, 8))
    with torch.no_grad():
        torch.testing.assert_close(load_gpt2(tmp_path)(ids), model(ids).logits, atol=1e-4, rtol=0)


@pytest.mark.parametrize('mend, words', [
    (dict(activation_function='relu'), 'activation_function'),
    (dict(n_inner=7), 'n_inner'),
    (dict(n_layer=None), 'n_layer'),
    (dict(scale_attn_by_inverse_layer_idx=True), 'scale_attn_by_inverse_layer_idx'),
])
def test_other_settings_are_refused(mend, words):
    with pytest.raises(InputError, match=words): gpt2_config(SIZES[0] | mend)


def test_other_weights_are_refused(tmp_path):
    state = theirs(SIZES[0]).state_dict()
    with pytest.raises(InputError, match='no part of it is called encoder.weight'):
        from_gpt2({**state, 'encoder.weight': torch.zeros(1)})
    del state['transformer.h.1.mlp.c_fc.bias']
    with pytest.raises(InputError, match='to_hidden.bias'): gpt2_from(state, SIZES[0])
    with pytest.raises(InputError, match='config.json'): load_gpt2(tmp_path)


def test_an_untied_head_and_odd_numbers_are_refused():
    state = theirs(SIZES[0]).state_dict()
    for name in ('transformer.wte.weight', 'lm_head.weight'):
        with pytest.raises(InputError, match='lm_head.weight is not wte.weight'):
            gpt2_from(state | {name: state[name] + 1}, SIZES[0])
    norm = 'transformer.ln_f.weight'
    for bad in (torch.full((24,), torch.nan), torch.full((24,), torch.inf), torch.ones(24).int()):
        with pytest.raises(InputError, match='`weights` must be finite numbers; blocks.norm'):
            gpt2_from(state | {norm: bad}, SIZES[0])
    assert gpt2_from(state | {norm: torch.ones(24).half()}, SIZES[0])
    for folder in (123, None, ''):
        with pytest.raises(InputError, match='`folder` must be the path'): load_gpt2(folder)


@pytest.mark.parametrize('large', [dict(n_layer=10**6), dict(vocab_size=10**12),
                                   dict(n_positions=10**12), dict(n_embd=3*10**9)])
def test_what_the_weights_cannot_fill_is_not_built(large):
    state = theirs(SIZES[0]).state_dict()
    for weights in (state, {}):
        with pytest.raises(InputError, match='`settings` ask for'):
            gpt2_from(weights, SIZES[0] | large)


@pytest.mark.parametrize('text', ['[1]', '7', 'null', '['*100_000])
def test_settings_that_are_none_are_refused(tmp_path, text):
    from safetensors.torch import save_file
    save_file({'wte.weight': torch.zeros(1, 1)}, tmp_path/'model.safetensors')
    (tmp_path/'config.json').write_text(text)
    with pytest.raises(InputError, match='must be a dict|config.json'): load_gpt2(tmp_path)


@pytest.mark.parametrize('shape', [(), (0,), (2,), (4, 4)])
def test_queries_keys_and_values_are_as_many(shape):
    with pytest.raises(InputError, match='queries, keys and values in h.0.attn.c_attn.weight'):
        from_gpt2({'h.0.attn.c_attn.weight': torch.zeros(shape)})
