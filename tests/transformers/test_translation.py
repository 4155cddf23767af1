"Translation against torch's own loss, sacrebleu, and trying every answer"
import itertools
import math
import random
import sys
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from jaxtyping import install_import_hook
from sacrebleu import corpus_bleu

from dlcourse.core.errors import InputError
from dlcourse.transformers.block import BlockConfig

# Shapes are checked here, and not in normal use
with install_import_hook('dlcourse.transformers.translation', 'beartype.beartype'):
    from dlcourse.transformers.translation import (
        Translator,
        TranslatorConfig,
        beam_search,
        bleu,
        decoder_inputs,
        greedy,
        length_penalty,
        smooth_targets,
        train_translator,
        translate,
        translation_loss,
        writer,
    )
from dlcourse.transformers.translation_scores import BOS, EOS, PAD, filled

SHAPE = TranslatorConfig(vocab_size=9, block=BlockConfig(dim=16, heads=2, rope_base=100.))


def model_of(seed=0, **changes):
    torch.manual_seed(seed)
    return Translator(replace(SHAPE, **changes)).eval()


def rows(*lengths, seed=0):
    rng = random.Random(seed)
    return filled([[rng.randrange(3, 9) for _ in range(n)] for n in lengths])


# The network

def test_padding_takes_no_part():
    model = model_of()
    x, y = rows(3, 6), rows(2, 5, seed=1)
    both = model(x, decoder_inputs(y))
    alone = model(x[:1, :4], decoder_inputs(y[:1, :3]))
    torch.testing.assert_close(both[:1, :3], alone, atol=1e-5, rtol=0)


def test_no_place_sees_its_answer():
    model, x, y = model_of(), rows(4), rows(5, seed=1)
    other = y.clone()
    other[0, 3] = 3 if y[0, 3] != 3 else 4
    a, b = (model(x, decoder_inputs(t)) for t in (y, other))
    assert torch.equal(a[:, :4], b[:, :4]) and not torch.equal(a[:, 4:], b[:, 4:])


def test_the_loss_is_torchs_over_what_is_not_padding():
    model, x, y = model_of(), rows(3, 6), rows(2, 5, seed=1)
    scores = model(x, decoder_inputs(y)).flatten(0, 1)
    for share in (0., .1, .5):
        want = F.cross_entropy(scores, y.flatten(), ignore_index=PAD, label_smoothing=share)
        torch.testing.assert_close(translation_loss(model, x, y, share), want)
        asked = smooth_targets(y[y != PAD], 9, share)
        torch.testing.assert_close(F.cross_entropy(scores[y.flatten() != PAD], asked), want)


def test_the_lowest_loss_is_the_entropy_of_the_target():
    asked = smooth_targets(torch.tensor([2]), 4, .2)
    assert torch.special.entr(asked).sum().item() == pytest.approx(.5876, abs=1e-3)


def test_letter_by_letter_is_all_at_once():
    model, x, y = model_of(), rows(3, 6), rows(5, 5, seed=1)
    whole = model(x, decoder_inputs(y)).log_softmax(-1)
    advance, inputs = writer(model, x), decoder_inputs(y)
    same = torch.arange(2)
    parts = torch.stack([advance(inputs[:, k], same) for k in range(y.shape[1])], 1)
    torch.testing.assert_close(parts, whole, atol=1e-5, rtol=0)


def test_the_cache_follows_its_rows():
    model, x, y = model_of(), rows(4, 4), rows(3, 3, seed=1)
    advance = writer(model, x[:1], beams=2)
    advance(torch.tensor([BOS, BOS]), torch.tensor([0, 1]))
    advance(y[:, 0], torch.tensor([0, 1]))
    got = advance(y[:, 1].flip(0), torch.tensor([1, 0]))
    inputs = F.pad(y[:, :2], (1, 0), value=BOS).flip(0)
    want = model(x[:1].expand(2, -1), inputs)[:, -1].log_softmax(-1)
    torch.testing.assert_close(got, want, atol=1e-5, rtol=0)


def test_a_word_can_be_learnt_turned_round():
    torch.manual_seed(0)
    model = Translator(replace(SHAPE, encoder_depth=1, decoder_depth=1))
    words = list(itertools.product(range(3, 9), repeat=3))
    x, y = filled(words), filled([w[::-1] for w in words])
    g = torch.Generator().manual_seed(0)
    def batches():
        while True:
            at = torch.randint(len(x), (48,), generator=g)
            yield x[at], y[at]
    losses = train_translator(model, batches(), 150)
    assert losses[-1] < losses[0]/2
    assert (greedy(model, x, 3) == y).all(1).float().mean() > .95


# The search

def table_writer(seed, vocab=4):
    "What follows depends on all before; made once for each beginning"
    known, generator = {}, torch.Generator().manual_seed(seed)
    def after(beginning):
        if beginning not in known:
            drawn = torch.randn(vocab, generator=generator, dtype=torch.float64)
            known[beginning] = (2*drawn).log_softmax(0)
        return known[beginning]
    begun = [()]
    def advance(last, at):
        begun[:] = [(*(begun[r] if r < len(begun) else ()), s)
                    for r, s in zip(at.tolist(), last.tolist(), strict=True)]
        return torch.stack([after(b) for b in begun])
    return advance, after


@pytest.mark.parametrize('alpha', [0., .6, 1., 2.])
def test_with_beams_enough_it_is_the_best_of_all(alpha):
    others = [s for s in range(4) if s != EOS]
    for seed in range(8):
        advance, after = table_writer(seed)
        said, value = beam_search(advance, 1, max_len=3, beams=27, alpha=alpha)
        every = [(*a, EOS) for n in range(4) for a in itertools.product(others, repeat=n)]
        def worth(answer, after=after):
            logp = sum(after((BOS, *answer[:k]))[s].item() for k, s in enumerate(answer))
            return logp/length_penalty(len(answer), alpha)
        best = max(every, key=worth)
        assert value.item() == pytest.approx(worth(best), abs=1e-5)
        assert said[0, :len(best)].tolist() == list(best)


def test_one_beam_without_a_penalty_is_greedy():
    for seed in range(5):
        model, x = model_of(seed), rows(3, 5, 4, seed=seed)
        one, two = translate(model, x, 6, beams=1, alpha=0.), greedy(model, x, 6)
        for a, b in zip(one.tolist(), two.tolist(), strict=True):
            n = b.index(EOS) + 1 if EOS in b else 6
            assert a[:n] == b[:n]


@pytest.mark.parametrize(('last', 'none', 'six'), [
    (3, [PAD], [3]*6 + [PAD]), (EOS, [EOS], [EOS])])
def test_no_more_symbols_are_written_than_were_allowed(monkeypatch, last, none, six):
    def writer(model, source): return lambda symbols, rows: torch.eye(9)[symbols*0 + last]
    monkeypatch.setattr(sys.modules[greedy.__module__], 'writer', writer)
    for max_len, want in ((0, none), (6, six)):
        assert greedy(model_of(), rows(3, 5, 4), max_len).tolist() == [want]*3


def test_more_beams_find_what_is_at_least_as_probable_here():
    model, x = model_of(3), rows(3, 5, 4)
    values = [beam_search(writer(model, x, k), 3, max_len=5, beams=k, alpha=0.)[1]
              for k in (1, 64)]
    assert (values[1] >= values[0] - 1e-5).all()


def test_texts_of_a_batch_do_not_meet():
    model, x = model_of(1), rows(5, 2, 4)
    together = translate(model, x, 6, beams=3)
    for i, n in enumerate((5, 2, 4)):
        alone = translate(model, x[i:i + 1, :n + 1], 6, beams=3)
        assert alone[0].tolist() == together[i].tolist()


def test_what_does_not_end_is_cut():
    never = torch.tensor([-torch.inf, -torch.inf, -torch.inf, -1., -.5])
    said, value = beam_search(lambda last, at: never.expand(len(last), -1), 2, max_len=3, beams=2)
    assert said.tolist() == [[4, 4, 4, PAD]]*2 and value.isneginf().all()
    for n in (0, 1):
        said, _ = beam_search(lambda last, at: never.expand(len(last), -1), 1, max_len=n, beams=1)
        assert said.shape == (1, n + 1)


# The score

def made_up(seed):
    rng = random.Random(seed)
    words = ['a', 'man', 'dog.', 'the', 'runs', ',', '3.5', 'U.S.', "it's", '&amp;', 'x-y', '',
             '-']
    def text(n): return ' '.join(rng.choice(words) for _ in range(n))
    n = rng.randint(1, 6)
    return ([text(rng.randint(0, 12)) for _ in range(n)] for _ in range(2))


@pytest.mark.filterwarnings('ignore')
def test_bleu_is_sacrebleus():
    for seed in range(200):
        ours, theirs = made_up(seed)
        if seed % 2: ours = [text + ' -\n' for text in ours] # A dash at the end is a word
        assert bleu(ours, theirs) == pytest.approx(corpus_bleu(ours, [theirs]).score, abs=1e-9)
    assert bleu(theirs, theirs) in (0., pytest.approx(100.))


def test_a_short_answer_pays():
    words = 'a b c d e f g h'
    assert bleu([words[:9]], [words]) == pytest.approx(100*math.exp(1 - 8/5))


# Errors a caller can mend

@pytest.mark.parametrize('make, words', [
    (lambda: TranslatorConfig(vocab_size=2), '`vocab_size` must be 3 or more, got 2'),
    (lambda: TranslatorConfig(vocab_size=9, block=BlockConfig(dim=8, heads=2, cross=True)),
     '`block` must be the encoder'),
    (lambda: model_of()(torch.tensor([[12, EOS]]), torch.tensor([[BOS]])),
     'ids must be from 0 to 8; got 2 to 12'),
    (lambda: model_of()(torch.tensor([[-1, EOS]]), torch.tensor([[BOS]])),
     'ids must be from 0 to 8; got -1'),
    (lambda: greedy(model_of(), torch.tensor([[3, EOS], [PAD, PAD]]), 3),
     '`source` has a row without a symbol'),
    (lambda: translate(model_of(), rows(3), 3, beams=0), '`beams` must be a whole number from 1'),
    (lambda: translate(model_of(), rows(3), -1), '`max_len` must be a whole number from 0'),
    *((lambda a=a: translate(model_of(), rows(3), 3, alpha=a), '`alpha` must be a number from 0')
      for a in (-1., math.inf, math.nan, 500.)),
    (lambda: greedy(model_of(), rows(3), -1), '`max_len` must be a whole number from 0'),
    (lambda: greedy(model_of(), rows(3)[:0], 3), '`source` has .* no row'),
    (lambda: translate(model_of(), rows(3)[:0], 3), '`source` has .* no row'),
    (lambda: translation_loss(model_of(), rows(3), torch.full((1, 2), PAD)),
     '`target` must hold a symbol'),
    *((lambda last=last: translation_loss(model_of(), rows(3), torch.tensor([[3, last]])),
       '`ids` must be whole numbers .int64. from 0 to 8') for last in (9, 99, -1, -100)),
    (lambda: translation_loss(model_of(), rows(3), rows(3), 2.), '`smoothing` must be a number'),
    (lambda: train_translator(model_of(), [(rows(3), rows(3))], 2), 'must give 2 of them; got 1'),
    (lambda: bleu(['a'], ['a', 'b']), 'must be as many, and one at least; got 1 and 2'),
    (lambda: bleu([], []), 'one at least; got 0 and 0'),
    (lambda: bleu('a', ['a']), 'must be lists of sentences'),
])
def test_errors_say_what_to_do(make, words):
    with pytest.raises(InputError, match=words): make()
