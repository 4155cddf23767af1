"The GPT: who sees what, sizes, its loss, its optimizer against torch's, losses of a text, errors"
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from dlcourse.core.errors import InputError
from dlcourse.transformers.gpt import (
    GPT,
    GPTConfig,
    StackedMuon,
    byte_ids,
    gpt_optimizers,
    gpt_size,
    longest_copy,
    next_token_loss,
    orthogonalize_stack,
    text_loss,
    text_losses,
    text_of_bytes,
    train_gpt,
)

few = hypothesis_settings(max_examples=25, deadline=None)
CONFIGS = [dict(), dict(modern=False), dict(tied=False), dict(kv_heads=1), dict(context=5, depth=1)]


def made(seed=0, **own):
    torch.manual_seed(seed)
    config = GPTConfig(**{'vocab_size': 20, 'context': 12, 'dim': 16, 'heads': 2, 'depth': 2} | own)
    model = GPT(config).eval()
    with torch.no_grad():
        for p in model.parameters(): p.add_(.1*torch.randn_like(p))
    return model


@pytest.mark.parametrize('own', CONFIGS)
@torch.no_grad()
def test_nobody_looks_ahead(own):
    model = made(**own)
    ids = torch.randint(0, 20, (2, 5))
    other = ids.clone()
    other[:, 3:] = (other[:, 3:] + 1) % 20
    assert torch.equal(model(ids)[:, :3], model(other)[:, :3])
    assert not torch.allclose(model(ids)[:, 3], model(other)[:, 3])
    torch.testing.assert_close(model(ids, last=True), model(ids)[:, -1:])


@pytest.mark.parametrize('own', CONFIGS)
def test_size_is_that_of_the_network(own):
    model = made(**own)
    assert gpt_size(model.config) == sum(p.numel() for p in model.parameters())


def test_a_fresh_one_passes_its_input_through():
    torch.manual_seed(0)
    model = GPT(GPTConfig(vocab_size=30, dim=16, heads=2)).eval()
    x = torch.randn(2, 4, 16)
    torch.testing.assert_close(model.blocks(x), model.blocks.norm(x))
    loss = next_token_loss(model(torch.randint(0, 30, (8, 20))), torch.randint(0, 30, (8, 21)))
    assert abs(loss.item() - math.log(30)) < .05


def test_one_table_learns_from_both_ends():
    model = made()
    window = torch.tensor([[1, 2, 3]])
    next_token_loss(model(window[:, :2]), window).backward()
    grad = model.embed.weight.grad.abs().sum(1)
    assert (grad > 0).all() # The way out reaches every row, the way in only rows 1 and 2
    assert not any('head' in name for name in model.state_dict())


@pytest.mark.parametrize('ids, words', [
    (torch.zeros(1, 0, dtype=torch.long), 'from 1 to 12 tokens'),
    (torch.zeros(1, 13, dtype=torch.long), 'got 13 after 0'),
    (torch.tensor([[3, 20]]), 'must be below 20, got 3 to 20'),
    (torch.tensor([[-1, 2]]), 'must be below 20, got -1 to 2'),
    (torch.tensor([1, 2]), r'table of whole numbers.*\(2,\)'),
    (torch.tensor([[1., 2.]]), 'table of whole numbers.*float32'),
    (torch.tensor([[True]]), 'table of whole numbers.*bool'),
])
def test_bad_tokens_are_named(ids, words):
    with pytest.raises(InputError, match=words): made()(ids)


@pytest.mark.parametrize('own, name', [(dict(depth=0), 'depth'), (dict(dim=1.5), 'dim'),
                                       (dict(context=True), 'context'), (dict(heads=3), 'heads'),
                                       (dict(dropout=1.), 'dropout')])
def test_bad_sizes_are_named(own, name):
    with pytest.raises(InputError, match=f'`{name}`'): made(**own)


# The optimizer

@few
@given(st.integers(1, 4), st.integers(1, 6), st.integers(1, 6), st.integers(0, 99))
def test_singular_vectors_stay(n, rows, columns, seed):
    rows, columns = min(rows, columns), max(rows, columns)
    x = torch.randn(n, rows, columns, generator=torch.Generator().manual_seed(seed)).double()
    got = orthogonalize_stack(x)
    u, s, v = torch.linalg.svd(x, full_matrices=False)
    size = s/s.norm(dim=1, keepdim=True)
    for _ in range(5): size = 3.4445*size - 4.7750*size**3 + 2.0315*size**5
    torch.testing.assert_close(got, u*size[:, None] @ v, atol=1e-8, rtol=0)


@pytest.mark.parametrize('weight_decay', [0., .1])
def test_muon_is_that_of_torch(weight_decay):
    torch.manual_seed(0)
    ours = [torch.nn.Parameter(torch.randn(s)) for s in ((4, 4), (8, 4), (4, 8), (4, 4), (3, 5))]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in ours]
    how = dict(lr=.05, momentum=.9, weight_decay=weight_decay)
    one, two = StackedMuon(ours, **how), torch.optim.Muon(theirs, **how)
    for _ in range(4):
        for p, q in zip(ours, theirs, strict=True):
            p.grad = torch.randn_like(p)
            q.grad = p.grad.clone()
        one.step(), two.step()
    for p, q in zip(ours, theirs, strict=True): torch.testing.assert_close(p, q, atol=5e-3, rtol=0)


def test_muon_takes_matrices_and_leaves_what_has_no_gradient():
    with pytest.raises(InputError, match='`params` must be matrices'):
        StackedMuon([torch.nn.Parameter(torch.zeros(3))])
    p, q = (torch.nn.Parameter(torch.ones(2, 2)) for _ in range(2))
    p.grad = torch.eye(2)
    StackedMuon([p, q]).step()
    assert torch.equal(q, torch.ones(2, 2)) and not torch.equal(p, torch.ones(2, 2))


@pytest.mark.parametrize('muon', [True, False])
def test_every_parameter_has_one_optimizer(muon):
    model = made(modern=False)
    found = [id(p) for o in gpt_optimizers(model, muon=muon) for g in o.param_groups
             for p in g['params']]
    assert sorted(found) == sorted(id(p) for p in model.parameters())


# Training and judging

def test_a_pattern_is_learnt_and_the_seed_decides():
    ids = torch.arange(7).repeat(40)
    runs = []
    for _ in range(2):
        model = made(3, vocab_size=7)
        runs.append(train_gpt(model, ids, steps=30, seed=1))
    assert runs[0] == runs[1] and runs[0][-1] < .5 < runs[0][0]
    assert text_loss(model, ids) < .6 and not model.training


def test_nothing_is_compiled_on_a_cpu(monkeypatch):
    monkeypatch.setattr(torch, 'compile', lambda *a, **k: pytest.fail('compiled'))
    train_gpt(made(), torch.zeros(40, dtype=torch.long), steps=1)


def test_dropout_judges_no_text():
    model, ids = made(dropout=.5).train(), torch.arange(20)
    loss = text_loss(model, ids)
    assert model.training and model.blocks.training and loss == text_loss(model.eval(), ids)
    assert not model.training


@pytest.mark.parametrize('size', [0, -1, 2.5])
def test_a_batch_of_nothing_is_refused(size):
    with pytest.raises(InputError, match='`batch_size` must be a whole number from 1'):
        train_gpt(made(), torch.zeros(40, dtype=torch.long), steps=1, batch_size=size)


def test_a_short_text_is_refused():
    with pytest.raises(InputError, match='window of 13 tokens or more, got 12'):
        train_gpt(made(), torch.zeros(12, dtype=torch.long), steps=1)
    with pytest.raises(InputError, match='two tokens or more'):
        text_loss(made(), torch.zeros(1, dtype=torch.long))
    with pytest.raises(InputError, match='got 5 and 13'):
        text_loss(made(), torch.zeros(5, dtype=torch.long), stride=13)


@pytest.mark.parametrize('last', [20, 99, -1, -100]) # torch's loss leaves out −100 in silence
@pytest.mark.parametrize('n', [3, 13, 30])
def test_a_last_token_that_is_not_there_is_refused(n, last):
    ids = torch.tensor([*[1]*(n - 1), last])
    with pytest.raises(InputError, match='`ids` must be whole numbers .int64. from 0 to 19'):
        text_losses(made(), ids)
    if n >= 13:
        with pytest.raises(InputError, match='from 0 to 19'): train_gpt(made(), ids, steps=1)


def test_what_is_no_text_and_no_stride_is_refused():
    for call in (text_losses, lambda model, ids: train_gpt(model, ids, steps=1)):
        with pytest.raises(InputError, match='got list'): call(made(), [1]*20)
    with pytest.raises(InputError, match='got 3 and 1.5'):
        text_losses(made(), torch.ones(3, dtype=torch.long), 1.5)


@pytest.mark.parametrize('n', [2, 12, 13, 14, 25, 40])
@pytest.mark.parametrize('stride', [None, 12, 5, 1])
@torch.no_grad()
def test_each_token_is_judged_once_by_what_is_before_it(n, stride):
    model = made().double()
    ids = torch.randint(0, 20, (n,), generator=torch.Generator().manual_seed(n))
    got = text_losses(model, ids, stride)
    assert got.shape == (n - 1,)
    for i in (1, n//2, n - 1):
        if i < 1: continue
        options = [-model(ids[None, i - m:i])[0, -1].log_softmax(-1)[ids[i]].item()
                   for m in range(1, min(i, 12) + 1)]
        assert min(abs(got[i - 1].item() - o) for o in options) < 1e-5 # By some of what is before
    if stride == 1: # … and by as much as fits
        i = n - 1
        want = -model(ids[None, max(0, i - 12):i])[0, -1].log_softmax(-1)[ids[i]]
        assert abs(got[-1].item() - want.item()) < 1e-5


@few
@given(st.text(alphabet='ab ', max_size=14), st.text(alphabet='ab ', max_size=14))
def test_longest_copy_is_the_longest(a, b):
    brute = max((j - i for i in range(len(a)) for j in range(i, len(a) + 1) if a[i:j] in b),
                default=0)
    assert longest_copy(a, b) == brute


@given(st.text(max_size=20))
def test_bytes_go_and_come_back(text):
    if any(0xd800 <= ord(c) < 0xe000 for c in text): return
    assert text_of_bytes(byte_ids(text)) == text
    assert len(byte_ids(text)) == len(text.encode())


def test_no_byte_is_refused():
    for bad in ([256], [-1], [65.7], '12', None, torch.tensor([65.])):
        with pytest.raises(InputError, match='from 0 to 255'): text_of_bytes(bad)
    with pytest.raises(InputError, match='half a character'): byte_ids('a\ud800')
    assert text_of_bytes([0xff]) == '\ufffd' and np.array_equal(byte_ids('é'), [0xc3, 0xa9])
