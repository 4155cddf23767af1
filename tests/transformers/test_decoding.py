"Decoding: a cache changes nothing, neighbours change nothing, and guesses change no probability"
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from dlcourse.core.errors import InputError
from dlcourse.transformers import decoding
from dlcourse.transformers.decoding import (
    KVCache,
    TextReader,
    caches_for,
    character_gpt,
    continue_texts,
    draw_token,
    ends_with,
    left_padded,
    speculate,
    token_probabilities,
    verified,
    written_by,
)
from dlcourse.transformers.fast_decoding import FastGPT
from dlcourse.transformers.gpt import GPT, GPTConfig

few = hypothesis_settings(max_examples=25, deadline=None)
CONFIGS = [dict(), dict(modern=False), dict(kv_heads=1), dict(modern=False, tied=False)]


def made(seed=0, spread=.3, **own):
    torch.manual_seed(seed)
    config = GPTConfig(**{'vocab_size': 9, 'context': 16, 'dim': 16, 'heads': 2, 'depth': 2} | own)
    model = GPT(config).eval()
    with torch.no_grad():
        for p in model.parameters(): p.add_(spread*torch.randn_like(p))
    return model


def close(a, b, atol=1e-5): torch.testing.assert_close(a, b, atol=atol, rtol=0)


# The cache

@pytest.mark.parametrize('own', CONFIGS)
@pytest.mark.parametrize('fast', [False, True])
@few
@given(st.lists(st.integers(1, 6), min_size=1, max_size=5), st.integers(0, 99))
@torch.no_grad()
def test_in_parts_is_all_at_once(own, fast, sizes, seed):
    model = made(**own)
    ask = FastGPT(model) if fast else model
    ends = [e for e in np.cumsum(sizes).tolist() if e <= 16]
    if not ends: return
    ids = torch.randint(0, 9, (2, ends[-1]), generator=torch.Generator().manual_seed(seed))
    caches = caches_for(model, 2)
    parts = [ask(ids[:, a:b], caches=caches)
             for a, b in zip([0, *ends[:-1]], ends, strict=True)]
    close(torch.cat(parts, 1), model(ids))


@torch.no_grad()
def test_a_full_cache_is_refused_and_crop_makes_room():
    model = made()
    for ask in (model, FastGPT(model)):
        caches = caches_for(model, 1)
        ids = torch.randint(0, 9, (1, 16))
        whole = ask(ids, caches=caches)
        with pytest.raises(InputError, match='got 1 after 16'): ask(ids[:, :1], caches=caches)
        for cache in caches: cache.crop(10)
        close(ask(ids[:, 10:], caches=caches), whole[:, 10:])
    with pytest.raises(InputError, match='`n` must be a whole number from 0 to 16'):
        caches[0].crop(17)
    with pytest.raises(InputError, match='`k` must fit into the 2 positions'):
        KVCache(1, 1, 2, 4, torch.zeros(())).extend(*torch.zeros(2, 1, 1, 3, 4))


def test_memory_is_taken_once():
    cache = KVCache(1, 1, 4, 2, torch.zeros((), dtype=torch.float64))
    keys = cache.extend(*torch.ones(2, 1, 1, 3, 2).double())[0]
    assert keys.data_ptr() == cache.keys.data_ptr() and keys.dtype == torch.float64


# Many at once

@pytest.mark.parametrize('own', CONFIGS)
@pytest.mark.parametrize('fast', [False, True])
@torch.no_grad()
def test_neighbours_change_no_logits(own, fast):
    model = made(**own)
    texts = [[1, 2, 3, 4, 5], [6], [7, 8, 0]]
    reader = TextReader(FastGPT(model) if fast else model, texts)
    found = [reader.read()]
    new = torch.randint(0, 9, (8, 3))
    found += [reader.step(tokens) for tokens in new]
    for i, text in enumerate(texts):
        for n, logits in enumerate(found):
            close(logits[i], model(torch.tensor([[*text, *new[:n, i].tolist()]]))[0, -1])


@pytest.mark.parametrize('fast', [False, True])
def test_a_text_does_not_depend_on_its_neighbours(fast):
    model = FastGPT(made()) if fast else made()
    prompts = [[1, 2, 3, 4, 5, 6, 7], [8], [0, 0]]
    together = continue_texts(model, prompts, 60, seed=4) # Over the context several times
    for i, prompt in enumerate(prompts):
        others = [[5]]*i + [prompt, [7, 7]]
        assert continue_texts(model, others, 60, seed=4)[i] == together[i]


def test_no_two_texts_of_neighbouring_seeds_are_one():
    model = made(spread=.02) # Nearly evenly over nine tokens
    texts = [tuple(text) for seed in range(4)
             for text in continue_texts(model, [[1]]*8, 12, seed=seed)]
    assert len(set(texts)) == 32
    for seed in (None, 'a', -1, 1.5):
        with pytest.raises(InputError, match='`seed` must be a whole number from 0'):
            continue_texts(model, [[1]], 3, seed=seed)
        with pytest.raises(InputError, match='`seed` must be a whole number from 0'):
            speculate(model, model, [1], 3, seed=seed)


@torch.no_grad()
def test_past_the_context_the_younger_half_is_read_anew():
    model, text = made(), list(range(9))*2
    reader = TextReader(model, [text[:16]])
    reader.read()
    close(reader.step(torch.tensor([5]))[0], model(torch.tensor([[*text[9:16], 5]]))[0, -1])
    assert len(reader.texts[0]) == 8


def test_left_padded_texts_end_together():
    ids, places, real = left_padded([[1, 2, 3], [4]], pad=7)
    assert ids.tolist() == [[1, 2, 3], [7, 7, 4]] and places.tolist() == [[0, 1, 2], [0, 0, 0]]
    assert real.tolist() == [[True]*3, [False, False, True]]


@pytest.mark.parametrize('prompts, words', [
    ([], 'one text or more, got none'), ([[1], []], 'text 1 has 0'), ([[1]*17], 'text 0 has 17'),
    ([[9]], 'text 0 has 9 to 9'), ([[2, -1]], 'text 0 has -1 to 2'),
    ('ab', 'lists of whole numbers'), ([1, 2], 'lists of whole numbers'),
    ([[1.7]], 'lists of whole numbers'), (['1'], 'lists of whole numbers'),
    (None, 'lists of whole numbers'),
])
@pytest.mark.parametrize('tokens', [0, 3])
def test_bad_prompts_are_named(prompts, words, tokens):
    with pytest.raises(InputError, match=words): continue_texts(made(), prompts, tokens)


# Drawing and stopping

@few
@given(st.integers(2, 8), st.integers(0, 999))
def test_tokens_are_drawn_as_often_as_they_should(vocab, seed):
    p = torch.randn(vocab, generator=torch.Generator().manual_seed(seed)).double().softmax(-1)
    p[seed % vocab] = 0
    u = (torch.arange(5000).double() + .5)/5000
    tokens = draw_token(p.expand(5000, -1), u)
    share = torch.bincount(tokens, minlength=vocab)/5000
    assert (share - p/p.sum()).abs().max() < 1e-3 and share[seed % vocab] == 0


def test_the_last_share_is_not_overrun():
    p = torch.tensor([.5, .5, 0.])
    assert draw_token(p, torch.tensor(1. - 1e-12).double()).item() == 1
    assert draw_token(p, torch.tensor(0.)).item() == 0
    assert draw_token(torch.tensor([0., 1.]), torch.tensor(0.)).item() == 1
    for bad in ([0., 0.], [float('nan'), 1.], [float('inf'), 1.]):
        with pytest.raises(InputError, match='`p` must hold finite shares, one of them above 0'):
            draw_token(torch.tensor([[.5, .5], bad]), torch.tensor([.5, .5]))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize('temperature', [1e-30, 1e-19, 1e-5, 1.])
def test_careful_probabilities_in_every_type(dtype, temperature):
    largest = torch.finfo(dtype).max
    for row in ([1., 2., 3.], [-largest, 0., largest], [-float('inf'), -largest, 0.]):
        p = token_probabilities(torch.tensor(row, dtype=dtype), temperature)
        assert p.isfinite().all() and p.argmax() == 2 and abs(p.sum().item() - 1) < .01
        assert p.dtype == dtype and (temperature == 1 or p.tolist() == [0, 0, 1])


def test_probabilities_by_temperature_and_top_k():
    logits = torch.tensor([[2., 1., 0., 1.]])
    close(token_probabilities(logits, .5), (2*logits).softmax(-1))
    close(token_probabilities(logits, 0.), torch.tensor([[1., 0, 0, 0]]))
    close(token_probabilities(torch.zeros(2), 0.), torch.tensor([.5, .5]))
    assert token_probabilities(logits, top_k=1).tolist() == [[1, 0, 0, 0]]
    close(token_probabilities(logits, top_k=9), logits.softmax(-1))
    for name, value in (('temperature', -1), ('temperature', float('nan')), ('top_k', 0),
                        ('temperature', float('inf')), ('temperature', 'x'), ('top_k', 2.5)):
        with pytest.raises(InputError, match=f'`{name}` must be a'):
            token_probabilities(logits, **{name: value})
    for bad in ([float('nan'), 1.], [float('inf'), 1.], [-float('inf')]*2):
        with pytest.raises(InputError, match='`logits` must be numbers'):
            token_probabilities(torch.tensor(bad))


@pytest.mark.parametrize('temperature', [1e-10, 1e-40, 1e-300])
@pytest.mark.parametrize('top_k', [None, 2])
def test_hardly_any_temperature_is_none(temperature, top_k):
    got = token_probabilities(torch.tensor([[1., 3., 2., -torch.inf]]), temperature, top_k)
    assert got.tolist() == [[0, 1, 0, 0]]


def test_no_more_than_top_k_are_drawn_though_all_are_equal():
    for k in (1, 2, 3): assert (token_probabilities(torch.zeros(2, 4), top_k=k) > 0).sum() == 2*k


@pytest.mark.parametrize('tokens', [None, -1, 2.5])
def test_nothing_is_written_without_end(tokens):
    with pytest.raises(InputError, match='`tokens` must be a whole number from 0'):
        continue_texts(made(), [[1]], tokens)


def test_prompts_may_be_used_up():
    assert continue_texts(made(), iter([[1], [2]]), 3) == continue_texts(made(), [[1], [2]], 3)


def test_a_text_stops_where_it_is_told():
    model = made(spread=.6)
    free = continue_texts(model, [[1], [2]], 30)
    end = free[0][4:6]
    cut = continue_texts(model, [[1], [2]], 30, stop=ends_with(end))
    first = next(i for i in range(2, 31) if free[0][i - 2:i] == end)
    assert cut[0] == free[0][:first]
    assert cut[1] in [free[1], *(free[1][:i] for i in range(2, 31) if free[1][i - 2:i] == end)]
    assert continue_texts(model, [[1]], 0) == [[]]
    assert [t[0] for t, _ in zip(written_by(model, [[1]]), range(30), strict=False)] == free[0]
    for bad in ((), ([],)):
        with pytest.raises(InputError, match='`ends` must be one or more'): ends_with(*bad)
    for bad in ('.', 7):
        with pytest.raises(InputError, match='`ends` must be one or more'): ends_with(bad)
    assert ends_with(b'.')([5, 46]) and not ends_with(b'.')([46, 5])


# Guesses

@few
@given(st.integers(2, 5), st.integers(0, 999))
def test_a_verified_token_has_the_large_models_probability(vocab, seed):
    rng = torch.Generator().manual_seed(seed)
    p, q = (2*torch.randn(2, vocab, generator=rng, dtype=torch.float64)).softmax(-1)
    grid = (torch.arange(200).double() + .5)/200
    left = (p - q).clamp(min=0)
    exact = torch.zeros(vocab, dtype=torch.float64)
    for token in range(vocab): # By the rule's own intervals: accepted below p/q, else what is left
        accepted = min(1., (p[token]/q[token]).item())
        for u, width in ((accepted/2, accepted), ((1 + accepted)/2, 1 - accepted)):
            if width < 1e-9: continue
            for end in grid[::10]:
                got = verified(torch.stack([p, p]), q[None], torch.tensor([token]),
                               torch.tensor([u, end]).double())[0]
                if u == accepted/2: assert got == token
                exact[got] += q[token]*width/20
    assert (exact - p).abs().max() < .06
    torch.testing.assert_close(torch.minimum(p, q) + left, p)


def test_speculated_texts_have_the_distribution_of_written_ones():
    model, guesser = made(1, vocab_size=4), made(2, vocab_size=4, depth=1)
    n, counts = 500, np.zeros(16)
    for seed in range(n):
        a, b = speculate(model, guesser, [0, 1], 2, ahead=2, seed=seed)[0]
        counts[4*a + b] += 1
    with torch.no_grad():
        first = model(torch.tensor([[0, 1]]))[0, -1].softmax(-1)
        second = torch.stack([model(torch.tensor([[0, 1, a]]))[0, -1].softmax(-1)
                              for a in range(4)])
    exact = (first[:, None]*second).flatten().double().numpy()
    enough = exact*n > 5
    got = [*counts[enough], counts[~enough].sum()]
    want = [*(exact*n)[enough], (exact*n)[~enough].sum()]
    if want[-1] < 1e-9: got, want = got[:-1], want[:-1]
    want = np.array(want)*sum(got)/sum(want)
    assert chisquare(got, want).pvalue > 1e-3


def test_a_perfect_guesser_is_never_refused():
    model = made()
    text, calls = speculate(model, model, [1, 2], 10, ahead=4)
    assert len(text) == 10 and calls == 2
    greedy = speculate(model, made(5, depth=1), [1, 2], 9, ahead=3, temperature=0)[0]
    assert greedy == continue_texts(model, [[1, 2]], 9, temperature=0)[0]


@pytest.mark.parametrize('own, words', [
    (dict(tokens=13), 'together at most 16'), (dict(ahead=0), '`ahead` must be a whole'),
    (dict(ahead=1.5), '`ahead` must be a whole'), (dict(tokens=3.5), '`tokens` must be a whole'),
    (dict(tokens=-1), '`tokens` must be a whole number from 0'),
    (dict(prompt=[]), 'text 0 has 0'), (dict(guesser=made(vocab_size=8)), 'the vocabulary of'),
])
def test_guesses_that_cannot_be(own, words):
    how = dict(guesser=made(), prompt=[1], tokens=3) | own
    with pytest.raises(InputError, match=words): speculate(made(), **how)


def test_the_kept_model_is_made_once(tmp_path, monkeypatch):
    model, card = character_gpt(tmp_path, size='tiny', steps=2)
    with monkeypatch.context() as m:
        m.setattr(decoding, 'train_gpt', lambda *_, **__: 1/0)
        again, _ = character_gpt(tmp_path, size='tiny', steps=2)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(),
                                                 strict=True))
    assert model.config.vocab_size == 256 and 'nats a byte' in card.results[0].claim
    other, _ = character_gpt(tmp_path, size='tiny', steps=2, seed=1)
    assert not torch.equal(other.embed.weight, model.embed.weight)
    with pytest.raises(InputError, match='`size` must be small or tiny'): character_gpt(size='big')


@pytest.mark.parametrize('u', [-.1, float('nan'), -float('inf')])
def test_a_number_that_cannot_be_drawn_gives_no_token(u):
    "The first token came, which has no share here"
    for p in (torch.tensor([0., .4, .6]), torch.tensor([[0., .4, .6]]*2)):
        with pytest.raises(InputError, match='`u` be 0 or more'):
            draw_token(p, torch.full(p.shape[:-1], u))


def test_dropout_is_not_left_out_in_silence():
    with pytest.raises(InputError, match='model.eval'): FastGPT(made(dropout=.1).train())
    with pytest.raises(InputError, match='model.eval'):
        continue_texts(made(dropout=.1).train(), [[1]], 3)


@pytest.mark.parametrize('stop', [[], b'x', 5])
def test_a_stop_that_is_no_function_is_refused(stop):
    with pytest.raises(InputError, match='`stop` must be a function'):
        continue_texts(made(), [[1]], 3, stop=stop)


@pytest.mark.parametrize('own', CONFIGS)
@torch.no_grad()
def test_many_texts_of_unequal_length_go_another_way_to_the_same_logits(own):
    model, draw = made(**own), torch.Generator().manual_seed(1)
    texts = [torch.randint(0, 9, (n,), generator=draw).tolist() for n in (*range(1, 10), 16, 5)]
    ours, theirs = TextReader(FastGPT(model), texts), TextReader(model, texts)
    close(ours.read(), theirs.read())
    for new in torch.randint(0, 9, (20, len(texts)), generator=draw): # Over the context
        close(ours.step(new), theirs.step(new))


@pytest.mark.parametrize('own', CONFIGS)
@pytest.mark.parametrize('batch', [2, 12])
@torch.no_grad()
def test_where_only_the_last_logits_are_asked_they_are_the_same(own, batch):
    model, draw = made(**own), torch.Generator().manual_seed(2)
    ids = torch.randint(0, 9, (batch, 7), generator=draw)
    mask = (torch.rand(7, 7, generator=draw) < .5) | torch.eye(7, dtype=torch.bool)
    for seen in (None, mask, mask.expand(batch, 1, 7, 7)):
        whole, caches = model(ids, mask=seen), caches_for(model, batch)
        found = FastGPT(model)(ids, caches=caches, mask=seen, last=True)
        close(found, whole[:, -1:])
        after = torch.cat([ids, ids[:, :1]], 1)
        if seen is not None: continue
        close(FastGPT(model)(after[:, 7:], caches=caches, last=True), model(after)[:, -1:])


@pytest.mark.parametrize('depth', [1, 2])
@torch.no_grad()
def test_a_mask_is_taken_or_refused_alike_where_only_the_last_logits_are_asked(depth):
    "A mask of the keys alone is one for each query; one of too few queries is none"
    model, ids = made(depth=depth), torch.arange(14).reshape(2, 7) % 9
    keys = torch.arange(7) != 1
    found = FastGPT(model)(ids, caches=caches_for(model, 2), mask=keys, last=True)
    close(found, model(ids, mask=keys)[:, -1:])
    with pytest.raises(RuntimeError):
        FastGPT(model)(ids, caches=caches_for(model, 2), mask=keys.expand(3, 7), last=True)


def test_tokens_that_are_no_table_are_refused():
    model = made()
    for ids in (torch.tensor([1]), torch.tensor([[1.]])):
        with pytest.raises(InputError, match='table of whole numbers'):
            FastGPT(model)(ids, caches=caches_for(model, 1))
    with pytest.raises(InputError, match='`size` must be a whole number from 1'):
        caches_for(model, 1, size=0)


def test_heads_of_odd_width_where_nothing_is_turned():
    model = GPT(GPTConfig(vocab_size=23, context=16, dim=9, heads=3, modern=False)).eval()
    assert continue_texts(FastGPT(model), [[1]], 30) == continue_texts(model, [[1]], 30)
