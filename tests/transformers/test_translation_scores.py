"Pairs that are right, rows of numbers, and sacrebleu's words and chrF"
import datetime
import random

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sacrebleu import corpus_chrf
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

from dlcourse.core.errors import InputError
from dlcourse.transformers.translation_scores import (
    DATE_FORMS,
    EOS,
    PAD,
    Past,
    Symbols,
    bleu_words,
    chrf,
    date_pairs,
    filled,
    gram_counts,
    number_pairs,
    number_words,
)

texts = st.text(alphabet='ab c.,-1&;"é/(x]', max_size=14)
few = hypothesis_settings(max_examples=100, deadline=None)


def test_dates_are_days_of_their_century():
    pairs = date_pairs(500, 3)
    days = [datetime.date.fromisoformat(day) for _, day in pairs]
    assert min(days).year >= 1950 and max(days).year <= 2049
    assert pairs == date_pairs(500, 3) != date_pairs(500, 4)


@pytest.mark.parametrize('form', DATE_FORMS)
def test_every_form_names_the_day(form):
    for text, day in date_pairs(50, 0, form):
        year, _, number = day.split('-')
        assert str(int(number)) in text and year[2:] in text


def test_numbers_are_read_as_they_are_said():
    values = {w: n for n, w in enumerate('one two three four five six seven eight nine'.split(), 1)}
    said = {7: 'seven', 40: 'forty', 99: 'ninety nine', 110: 'one hundred and ten',
            1_000: 'one thousand', 20_005: 'twenty thousand and five',
            999_999: 'nine hundred and ninety nine thousand nine hundred and ninety nine'}
    assert {n: ' '.join(number_words(n)) for n in said} == said
    assert all(number_words(n*1000)[0] == w for w, n in values.items())
    assert len({tuple(number_words(n)) for n in range(20_000)}) == 20_000
    digits, words = number_pairs(5, 0)[0]
    assert number_words(int(''.join(digits))) == words


def test_symbols_come_back():
    known = Symbols(['abc', 'bad'])
    assert known.decode([*known.encode('dab'), EOS, 3]) == ['d', 'a', 'b'] and len(known) == 7
    table = filled([known.encode('ab'), known.encode('d')])
    assert table.tolist() == [[3, 4, EOS], [6, EOS, PAD]]


def test_the_past_keeps_rows_in_their_order():
    past, (k, v) = Past(), torch.randn(2, 3, 1, 2, 4)
    assert len(past) == 0
    past.take(torch.tensor([0]))
    past.extend(k, v)
    past.take(torch.tensor([2, 2, 0]))
    got = past.extend(k[:, :, :1], v[:, :, :1])
    assert len(past) == 3 and torch.equal(got[0][:, :, :2], k[[2, 2, 0]])


@few
@given(texts)
def test_words_are_cut_as_sacrebleu_cuts(text):
    assert ' '.join(bleu_words(text)) == Tokenizer13a()(text)


@few
@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=4))
def test_chrf_is_sacrebleus(pairs):
    ours, theirs = ([p[k] for p in pairs] for k in (0, 1))
    assert chrf(ours, theirs) == pytest.approx(corpus_chrf(ours, [theirs]).score, abs=1e-9)


def test_runs_are_counted():
    rng = random.Random(0)
    words = [rng.choice('ab') for _ in range(30)]
    assert gram_counts(words, 3).total() == 28 and gram_counts(words, 31).total() == 0


def test_numbers_of_any_kind_are_symbols():
    known = Symbols(['ab'])
    for ids in (torch.tensor([3, 4, 2, 3]), np.array([3, 4]), [3, 4], iter([3, 4])):
        assert known.decode(ids) == ['a', 'b']


@pytest.mark.parametrize('make, words', [
    (lambda: date_pairs(1, 0, 'Nov'), '`form` must be one of'),
    (lambda: number_words(-1), '`n` must be a whole number from 0 to 999999, got -1'),
    (lambda: number_words(1_000_000), 'got 1000000'),
    (lambda: Symbols(['ab']).encode(''), '`text` must hold a symbol at least'),
    (lambda: Symbols(['ab']).encode('ax'), "`text` holds 'x', which was in no text"),
    (lambda: Symbols(['ab']).decode([5]), '`ids` must be a whole number from 0 to 4, got 5'),
    (lambda: filled([]), '`rows` must hold a row at least'),
    (lambda: chrf(['a'], []), 'must be as many'),
    (lambda: chrf(['a'], [['a']]), 'must be texts, one reference to each'),
    (lambda: chrf([None], ['a']), 'must be texts'),
    (lambda: chrf((text for text in ['a']), ['a']), 'must be lists of sentences'),
    (lambda: chrf(['a'], None), 'must be lists of sentences'),
    (lambda: chrf(['a'], ['a'], order=0), '`order` must be a whole number from 1'),
    (lambda: chrf(['a'], ['a'], beta=-1), '`beta` must be a number from 0'),
    (lambda: number_words(1.5), '`n` must be a whole number from 0 to 999999'),
    (lambda: Symbols(['ab']).decode([3.7]), '`ids` must be a whole number from 0 to 4, got 3.7'),
    (lambda: Symbols(['ab']).decode(['a']), "`ids` must be a whole number from 0 to 4, got 'a'"),
])
def test_errors_say_what_to_do(make, words):
    with pytest.raises(InputError, match=words): make()
