"Offers by hand, what an owner typed and forgot, ties, and what is refused"
import re
import sys
import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlcourse.core.errors import InputError
from dlcourse.sequences.keyboard import Keyboard, words_of

MARKS = ''.join(c for c in map(chr, range(sys.maxunicode + 1))
                if unicodedata.category(c)[0] == 'M')
TEXT = 'the cat sat on the mat the cat slept'


def test_words_are_letters_and_numbers_in_small():
    assert words_of("Don't touch PIN 4711, or x_y!") == ["don't", 'touch', 'pin', '4711', 'or', 'x',
                                                         'y']
    assert words_of('…') == []
    assert words_of('cafe\u0301 हिन्दी العَرَبِيَّة') == ['café', 'हिन्दी', 'العَرَبِيَّة']


LETTER = rf'[^\W\d_][{MARKS}]*'
PLAIN = re.compile(rf"(?:{LETTER})+(?:'(?:(?![A-Z]){LETTER})+)?|\d+")


@given(st.text(alphabet="aZé'ü\u0301\u0302क\u094dि3_ ’ب\u0651"))
def test_words_are_those_of_the_plain_rule(text):
    clean = unicodedata.normalize('NFC', text).replace('’', "'")
    assert words_of(text) == [w.lower() for w in PLAIN.findall(clean)]


def test_marks_are_looked_for_once_a_word():
    text = 'the quick brown foxes jump '*8000
    each = re.compile(rf"(?:[^\W\d_][{MARKS}]*)+|\d+") # After every letter
    def seconds(call):
        start = time.process_time()
        call(text)
        return time.process_time() - start
    assert words_of(text) == each.findall(text)
    assert min(seconds(words_of) for _ in range(5)) < min(seconds(each.findall) for _ in range(5))


def test_scores_are_the_mixture_by_hand():
    scores = Keyboard(TEXT, share=.8).scores('the')
    assert scores['cat'] == pytest.approx(.8*2/3 + .2*2/9)
    assert scores['mat'] == pytest.approx(.8*1/3 + .2*1/9)
    assert scores['the'] == pytest.approx(.2*3/9)
    assert sum(scores.values()) == pytest.approx(1)


@pytest.mark.parametrize('last', ['', 'unheard', 'slept', 'THE', 'sat'])
def test_scores_sum_to_one_after_any_word(last):
    k = Keyboard(TEXT)
    assert sum(k.scores(last.lower()).values()) == pytest.approx(1)
    k.learn('the cat met the dog')
    assert sum(k.scores(last.lower()).values()) == pytest.approx(1)


def test_offers_begin_as_typed_and_ties_go_by_the_alphabet():
    k = Keyboard(TEXT)
    assert k.offers('the', 's') == ['sat', 'slept'] and k.offers('the', 'z') == []
    assert k.offers('The', 'C', 1) == ['cat']


def test_what_the_owner_typed_is_offered_and_forgotten():
    k = Keyboard(TEXT)
    k.learn('my code is 4711')
    assert k.offers('is')[0] == '4711'
    k.forget()
    assert '4711' not in k.offers('is', count=99)


def test_a_word_of_the_owner_alone_needs_enough():
    k = Keyboard(TEXT, least=3)
    for times in range(4):
        assert ('zebra' in k.offers('the', 'z')) == (times >= 3)
        k.learn('the zebra')
    assert 'cat' in k.offers('the')


@pytest.mark.parametrize('make, words', [
    (lambda: Keyboard('…'), "`text` must hold words to count; got none"),
    (lambda: Keyboard('a', share=2), "`share` must be a number from 0 to 1, got 2"),
    (lambda: Keyboard('a', trust=-1), "`trust` must be a number from 0 to 1, got -1"),
    (lambda: Keyboard('a', least=0), "`least` must be a whole number from 1 up, got 0"),
    (lambda: words_of(3), "`text` must be a text, got 3"),
    (lambda: Keyboard('a').offers(None), "`last` must be a text, got None"),
    (lambda: Keyboard('a').offers('a', 3), "`prefix` must be a text, got 3"),
])
def test_errors_say_what_to_do(make, words):
    with pytest.raises(InputError) as e: make()
    assert str(e.value) == words


def test_letters_with_marks_are_letters():
    assert words_of("Müller's café don’t naïve") == ["müller's", 'café', "don't", 'naïve']
    assert words_of("b'ABC'") == ['b', 'abc']
    assert Keyboard('a𐐨b and a𐐨c').offers('', 'a', 5) == ['and', 'a𐐨b', 'a𐐨c']


def test_fewer_offers_than_none_are_refused():
    assert Keyboard(TEXT).offers('the', count=0) == []
    with pytest.raises(InputError, match="`count` must be a whole number from 0"):
        Keyboard(TEXT).offers('the', count=-1)


def test_messages_are_apart_and_cost_what_they_add():
    k = Keyboard(TEXT)
    for text in ('my door code is', 'zebra crossing', '', 'my door is'): k.learn(text)
    assert 'zebra' not in k.own[1]['is'] and k.own[1]['my']['door'] == 2
    assert k.own[0]['is'] == 2 and k.own[2] == sorted(k.own[0])
    begun = time.process_time() # Counting all anew each time would take minutes
    for i in range(4000): k.learn(f'word{i} follows on another one')
    assert time.process_time() - begun < 20 and k.own[0]['follows'] == 4000
    k.forget()
    assert not k.own[0] and k.scores('the') == Keyboard(TEXT).scores('the')
