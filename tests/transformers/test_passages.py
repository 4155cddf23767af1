"Sentences and passages stand where they say; the questions' phrases are in this Python's manual"
import time

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from dlcourse.core.cards import card
from dlcourse.core.datasets import load
from dlcourse.core.errors import InputError
from dlcourse.transformers.passages import (
    REPEATING,
    answers_in,
    key_words,
    manual,
    manual_questions,
    passages_of,
    plain_text,
    sentence_spans,
    sentences_of,
    stem,
)

TEXT = st.text(alphabet='aB .!?\n\t"(*”é', max_size=200)


@given(TEXT, st.integers(1, 12))
@hypothesis_settings(deadline=None, max_examples=150)
def test_nothing_but_white_space_is_lost_and_places_are_right(text, words):
    def bare(t): return ''.join(t.split()).replace('"', '').replace('”', '').replace(')', '')
    documents = {'one': text, 'two': 'A b.  C d.\n\nE'}
    parts = passages_of(documents, words)
    for part in parts:
        assert documents[part.source][part.start:part.end] == part.text and part.text.strip()
        lines = sentences_of(documents, part)
        assert all(documents[s.source][s.start:s.end] == s.text for s in lines)
        assert len(part.text.split()) <= words or len(lines) == 1
    assert bare(''.join(p.text for p in parts if p.source == 'one')) == bare(text)


def test_sentences_end_where_a_reader_would_say():
    text = 'Use x.y here.  It works!  See "z".\n\n   a = 1\n   b = 2\n\nLast'
    assert [text[a:b] for a, b in sentence_spans(text)] == [
        'Use x.y here.', 'It works!', 'See "z".', '   a = 1\n   b = 2', 'Last']


def test_the_manual_leaves_out_what_repeats_and_holds_the_phrases():
    documents = manual()
    assert not set(REPEATING) & set(documents) and len(documents) > 60
    for purpose, on, off in (('report', 50, 20), ('choose', 25, 20)):
        known, strange = manual_questions(purpose)
        assert on*.8 <= len(known) <= on and len(strange) == off # Other versions word it otherwise
        assert all(q.phrase and bool(q.keywords) == (purpose == 'report') for q in known)
    assert len(load('manual_questions')) == card('manual_questions').rows == 115
    assert answers_in(known, passages_of(documents)).any(1).mean() > .9


def test_questions_to_choose_with_are_not_those_to_report():
    (one, a), (two, b) = manual_questions('report'), manual_questions('choose')
    assert not {q.question for q in one + a} & {q.question for q in two + b}
    assert not {q.phrase for q in one} & {q.phrase for q in two}


def test_words_lose_marks_stops_and_endings():
    assert plain_text('“It”  *is*\n`x`') == 'it is x'
    assert key_words('How do I copy the Lists?') == ['copy', 'list']
    assert stem('is') == 'is' and stem('caring') == 'car' and stem('thing') == 'thing'


def test_bad_input_is_named():
    for documents in ({}, ['a'], 'text'):
        with pytest.raises(InputError, match='`documents` must be a dict, name → text'):
            passages_of(documents)
    with pytest.raises(InputError, match="`documents` must hold texts by name; 'a' is or has none"):
        passages_of({'a': 3})
    with pytest.raises(InputError, match='`words` must be a whole number from 1'):
        passages_of({'a': 'b'}, 0)
    with pytest.raises(InputError, match='`purpose` must be report or choose'):
        manual_questions('test')


@pytest.mark.parametrize('text', ['x\n' + ' '*200_000, ' '*200_000 + 'x', '\n'*200_000])
def test_blanks_take_no_time(text):
    begun = time.process_time() # Backtracking would take minutes
    assert len(sentence_spans(text)) == text.count('x') and time.process_time() - begun < 5


def test_words_and_sentences_of_other_alphabets():
    assert key_words('Größe, размер; naïve') == ['größe', 'размер', 'naïve']
    text = 'Die Höhe ist 2 m. Öffnen Sie. Это дверь. Она открыта, z.B. hier. übrigens klein.'
    assert [text[a:b] for a, b in sentence_spans(text)] == [
        'Die Höhe ist 2 m.', 'Öffnen Sie.', 'Это дверь.',
        'Она открыта, z.B. hier. übrigens klein.']
