"Probabilities that sum to one, smoothing by its definition, sampling, reading in pieces, errors"
import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from dlcourse.core.errors import InputError
from dlcourse.sequences.language import (
    CharLM,
    KneserNey,
    Letters,
    bits_per_character,
    check_ids,
    generate,
    nats_of,
    nucleus,
    sample_next,
    text_parts,
    train_lm,
)

few = hypothesis_settings(max_examples=40, deadline=None)
TEXT = 'the theatre that they thought of on the other side of the hill, and there the'


# Text

def test_no_paragraph_stands_in_two_parts():
    topics = {f'{i:02}': f'own {i}\n\nshared\n\nown too {i}' for i in range(20)}
    parts = [part.split('\n\n') for part in text_parts(topics)]
    flat = [p for part in parts for p in part]
    assert len(flat) == len(set(flat)) == 41
    assert [len(part) for part in parts] == [33, 4, 4]
    assert 'own 8' in parts[1] and 'own 19' in parts[2] and 'own 0' in parts[0]


@few
@given(st.text(min_size=1, max_size=30))
def test_letters_go_there_and_back(text):
    letters = Letters(text)
    assert letters.decode(letters.encode(text)) == text and len(letters) == len(set(text))


# Kneser–Ney

@few
@given(st.text(alphabet='abc', min_size=5, max_size=60), st.text(alphabet='abcd', max_size=6),
       st.integers(1, 5))
def test_probabilities_sum_to_one_after_any_context(text, context, order):
    p = KneserNey(text, 'abcd', order).probabilities(context)
    assert p.sum() == pytest.approx(1, abs=1e-12) and (p > 0).all()


def by_definition(text, letters, order, context):
    "Chen & Goodman (1999), section 2.7, word for word"
    grams = [Counter(text[i:i + order] for i in range(len(text) - order + 1))]
    for _ in range(order - 1):
        longer, shorter = grams[0], Counter()
        for end in {g[1:] for g in longer}: shorter[end] = len({g for g in longer if g[1:] == end})
        grams.insert(0, shorter)
    p = {w: 1/len(letters) for w in letters}
    for n, counts in enumerate(grams, 1):
        c = context[len(context) - n + 1:] if n > 1 else ''
        once, twice = (sum(v == k for v in counts.values()) for k in (1, 2))
        discount = once/(once + 2*twice) if once and twice else .5
        total = sum(counts[c + w] for w in letters)
        if len(c) < n - 1 or not total: continue
        types = sum(counts[c + w] > 0 for w in letters)
        p = {w: max(counts[c + w] - discount, 0)/total + discount*types/total*p[w] for w in letters}
    return p


@pytest.mark.parametrize('order', [1, 2, 3, 5])
@pytest.mark.parametrize('context', ['', 't', 'the', 'on the', 'zzz', 'q th'])
def test_kneser_ney_is_its_definition(order, context):
    letters = ''.join(sorted(set(TEXT) | set('qz')))
    got = KneserNey(TEXT, letters, order).probabilities(context)
    want = by_definition(TEXT, letters, order, context)
    np.testing.assert_allclose(got, [want[w] for w in letters], rtol=1e-12)


def test_francisco_follows_san_and_nothing_else():
    text = 'ab'*50 + ''.join(x + 'g' for x in 'cdefh'*2)
    p = dict(zip('abcdefgh', KneserNey(text, 'abcdefgh', 2).probabilities('g'), strict=True))
    assert p['b'] < .5*p['c'] + .1 and text.count('b') > 4*text.count('g')


def test_nats_are_the_logarithms_of_what_came():
    model = KneserNey(TEXT, ''.join(sorted(set(TEXT))), 3)
    some = 'the hill'
    want = [-math.log(model.probabilities(some[:i])[model.place[some[i]]])
            for i in range(1, len(some))]
    np.testing.assert_allclose(model.nats(some), want)


# Units

@few
@given(st.floats(1, 1e4), st.integers(1, 500), st.integers(1, 5000))
def test_bits_and_perplexity_are_two_ways_of_one(perplexity, tokens, characters):
    bits = bits_per_character(perplexity, tokens, characters)
    assert 2**(bits*characters/tokens) == pytest.approx(perplexity, rel=1e-6)


# The network

def test_reading_in_pieces_is_reading_at_once():
    torch.manual_seed(0)
    model, ids = CharLM(7, 4, 8), torch.randint(0, 7, (2, 12))
    whole, end = model(ids)
    first, state = model(ids[:, :5])
    second, last = model(ids[:, 5:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
    for a, b in zip(last, end, strict=True): torch.testing.assert_close(a, b)


def test_it_learns_what_repeats():
    torch.manual_seed(0)
    letters = Letters('abc ')
    ids, model = letters.encode('abc '*400), CharLM(4, 8, 16)
    losses = train_lm(model, ids, 60, batch=8, piece=16)
    assert len(losses) == 60 and losses[-1] < .1 < losses[0]
    assert nats_of(model, ids[:80]).shape == (79,) and nats_of(model, ids[:80]).mean() < .15
    said = generate(model, letters.encode('ab')[None], 6, temperature=0)
    assert letters.decode(said[0]) == 'c abc '


# Sampling

@few
@given(st.integers(2, 12), st.floats(.01, 1), st.integers(0, 99))
def test_the_nucleus_is_the_smallest_that_reaches_its_share(size, p, seed):
    logits = 3*torch.randn(4, size, generator=torch.Generator().manual_seed(seed)).double()
    kept, share = nucleus(logits, p).isfinite(), logits.softmax(-1)
    inside = (share*kept).sum(-1)
    least = share.masked_fill(~kept, 2.).amin(-1)
    assert (inside >= p - 1e-9).all() and (inside - least < p + 1e-9).all()
    assert (least > share.masked_fill(kept, -1.).amax(-1)).all()


def test_draws_have_the_probabilities_that_were_asked():
    logits = torch.tensor([[.5, .3, .15, .05]]).log().expand(20_000, 4)
    def shares(**how):
        rng = torch.Generator().manual_seed(0)
        return torch.bincount(sample_next(logits, rng=rng, **how), minlength=4)/20_000
    for how, want in (({}, [.5, .3, .15, .05]), ({'top_k': 2}, [.625, .375, 0, 0]),
                      ({'top_p': .6}, [.625, .375, 0, 0]), ({'temperature': 0}, [1, 0, 0, 0]),
                      ({'temperature': .5}, [.6849, .2466, .0616, .0068]), ({'top_k': 9},
                                                                           [.5, .3, .15, .05])):
        torch.testing.assert_close(shares(**how), torch.tensor(want).float(), atol=.012, rtol=0)


def test_generated_text_does_not_depend_on_its_neighbours():
    torch.manual_seed(0)
    model, prompts = CharLM(5, 4, 8), torch.tensor([[1, 2], [3, 4]])
    together = generate(model, prompts, 7, temperature=0)
    for one, prompt in zip(together, prompts, strict=True):
        assert torch.equal(generate(model, prompt[None], 7, temperature=0)[0], one)


# Errors a caller can mend

@pytest.mark.parametrize('make, words', [
    (lambda: Letters('ab').encode('abc'), "`text` must be of the 2 known letters; got 'c'"),
    (lambda: Letters('ab').decode(torch.tensor([2])),
     "`ids` must be whole numbers (int64) from 0 to 1; got 2 to 2"),
    (lambda: CharLM(3)(torch.tensor([[0, 3]])),
     "`ids` must be whole numbers (int64) from 0 to 2; got 0 to 3"),
    (lambda: CharLM(3)(torch.tensor([[-1]])),
     "`ids` must be whole numbers (int64) from 0 to 2; got -1 to -1"),
    (lambda: check_ids(torch.tensor([.5]), 3),
     "`ids` must be whole numbers (int64) from 0 to 2; got torch.float32"),
    (lambda: check_ids('ab', 3), "`ids` must be whole numbers (int64) from 0 to 2; got str"),
    (lambda: generate(CharLM(3), torch.zeros(1, 0, dtype=torch.int64), 5),
     "`prompt` must hold a token at least for each text, such as a line end; "
     "got a shape of (1, 0)"),
    (lambda: generate(CharLM(3), torch.tensor([[0, 5]]), 5),
     "`ids` must be whole numbers (int64) from 0 to 2; got 0 to 5"),
    (lambda: generate(CharLM(3), torch.tensor([[0]]), 0),
     "`count` must be a whole number from 1 up, got 0"),
    (lambda: sample_next(torch.zeros(1, 3), temperature=-1),
     "`temperature` must be a number from 0 to 1000000, got -1"),
    (lambda: sample_next(torch.zeros(1, 3), top_k=0),
     "`top_k` must be a whole number from 1 up, got 0"),
    (lambda: sample_next(torch.zeros(1, 3), top_p=0.),
     "`top_p` must be above 0 and up to 1, got 0.0"),
    (lambda: KneserNey('ab', 'ab', 3),
     "`text` must have 3 letters or more, all of them in `letters`; got 2"),
    (lambda: KneserNey('abc', 'ab', 2),
     "`text` must have 2 letters or more, all of them in `letters`; got 3"),
    (lambda: KneserNey('ab', 'ab', 2).nats('abz'),
     "`text` holds letters that the model does not know: 'z'"),
    (lambda: train_lm(CharLM(3), torch.zeros(10, dtype=torch.int64), 2),
     "`ids` must be longer than batch·(piece + 1) = 2080; got 10"),
])
def test_errors_say_what_to_do(make, words):
    with pytest.raises(InputError) as e: make()
    assert words in str(e.value)


def test_nobody_changes_the_probabilities_of_a_model():
    model = KneserNey('abababb', 'ab', 2)
    for context in ('a', 'b', ''):
        with pytest.raises(ValueError, match='read-only'): model.probabilities(context)[:] = 0


@pytest.mark.parametrize(('call', 'says'), [
    (lambda: KneserNey('abab', 'aab', 2), "`letters` must hold each letter once; got 'aab'"),
    (lambda: KneserNey('ab'*2000, 'ab', 2000), "`order` must be a whole number from 1 to 100"),
    (lambda: KneserNey('abab', 'ab', 2).nats(None), "`text` must be a text, got None"),
    (lambda: nats_of(CharLM(3), [1, 2]), "`ids` must hold two tokens or more, in a tensor"),
    (lambda: train_lm(CharLM(3), [1, 2], 2), "`ids` must be a tensor of one row"),
    (lambda: generate(CharLM(3), 'a', 3), "`prompt` must hold a token at least for each text"),
    *((lambda call=call, last=last: call(torch.tensor([1, 2, last])), "`ids` must be whole numbers")
      for last in (3, -1, -100) # torch's own loss leaves out −100, and says nothing
      for call in (lambda ids: nats_of(CharLM(3), ids),
                   lambda ids: train_lm(CharLM(3), ids, 1, batch=1, piece=2))),
    (lambda: sample_next(torch.ones(3)), "`logits` must be .batch, vocab., a row for each"),
    (lambda: sample_next(torch.ones(1, 3), top_p='a'), "`top_p` must be a number"),
    (lambda: nats_of(CharLM(3), torch.tensor([1])), "`ids` must hold two tokens or more"),
    (lambda: train_lm(CharLM(3), torch.ones(9).long(), 2, batch=0), "`batch` must be"),
    (lambda: train_lm(CharLM(3), torch.ones(9).long(), 2, batch=1, piece=0), "`piece` must be"),
    (lambda: sample_next(torch.ones(1, 3), temperature=math.inf), "`temperature` must be"),
    (lambda: sample_next(torch.full((2, 3), math.nan), temperature=0), "`logits` must be numbers"),
    (lambda: sample_next(torch.full((2, 3), -math.inf)), "`logits` must be numbers"),
])
def test_what_no_model_can_do_is_refused(call, says):
    with pytest.raises(InputError, match=says): call()


@pytest.mark.parametrize('mode', [True, False])
def test_reading_leaves_the_mode_of_a_model(mode):
    model = CharLM(3).train(mode)
    nats_of(model, torch.tensor([0, 1, 2]))
    generate(model, torch.tensor([[0]]), 2)
    with pytest.raises(InputError): generate(model, torch.tensor([[0]]), 2, top_p=2.)
    assert model.training == model.rnn.training == mode
    train_lm(model, torch.tensor([0, 1, 2, 0]), 1, batch=1, piece=2)
    assert model.training


def test_sampling_at_its_ends():
    assert sample_next(torch.tensor([[1., 2, 3]]), temperature=1e-40).tolist() == [2]
    assert len(set(sample_next(torch.zeros(200, 4), top_k=1).tolist())) == 1
    one, two = (sample_next(torch.linspace(0, 90, 8).repeat(50, 1), top_p=p,
                            rng=torch.Generator().manual_seed(0)) for p in (None, 1.))
    assert torch.equal(one, two)


@pytest.mark.parametrize(('row', 'temperature'), [
    (torch.tensor([[1., 2.]], dtype=torch.float16), 1e-5),
    (torch.tensor([[1e38, 2e38]]), 1e-3),
    (torch.tensor([[-torch.inf, -3e38, 3e38]]), 1e-6),
])
def test_a_low_temperature_divides_nothing_to_infinity(row, temperature):
    drawn = sample_next(row.repeat(20, 1), temperature=temperature)
    assert drawn.tolist() == [row.shape[1] - 1]*20
