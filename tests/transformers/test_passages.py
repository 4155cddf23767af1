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
from dlcourse.transformers.retrieval import BM25

TEXT = st.text(alphabet='aB .!?\n\t"(*”é', max_size=200)


@given(TEXT, st.integers(1, 12))
@hypothesis_settings(deadline=None, max_examples=150)
def test_nothing_but_white_space_is_lost_and_places_are_right(text, words):
    def bare(t): return ''.join(t.split())
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


@pytest.mark.parametrize('sentences', [
    ['He said "Go home."', 'Then he left (quickly.)', '"Why?"', 'She asked.'],
    ['Er sagte: »Geh.«', '»Ja.«', 'Dann ging er.'], ['Er sagt „Nein.“', '„Ja.“'],
    ['It is “here.”', '(See below.)', 'Or [there.]', 'End.'], ['‘Yes.’', 'So (“it is.”)', 'No.']])
def test_what_closes_a_sentence_belongs_to_it(sentences):
    text = ' '.join(sentences)
    assert [text[a:b] for a, b in sentence_spans(text)] == sentences
    assert [p.text for p in passages_of({'a': text}, 1)] == sentences


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
    assert stem('is') == 'is' and stem('thing') == 'thing' and stem('größe') == 'größe'


PLURALS = (
    'type name module value attribute file line use class pass object key list string size cache '
    'byte database case base response exception method keyword frame scope house note one '
    'box index prefix suffix match branch search patch hash dash bush process access address '
    'query body library entry property category cookie movie tie pie '
    'alias bias status bus hero echo shoe toe area idea lambda id api op car care star stare')


@pytest.mark.parametrize('one', PLURALS.split())
def test_a_plural_finds_its_singular(one):
    if one.endswith(('s', 'x', 'ch', 'sh', 'hero', 'echo')): many = one + 'es'
    elif one.endswith('y') and one[-2] not in 'aeiou': many = one[:-1] + 'ies'
    else: many = one + 's'
    assert stem(many) == stem(one)


def test_different_words_stay_apart():
    words = 'type value class cost car care star stare plan plane not note site sit'.split()
    assert len({stem(word) for word in words}) == len(words)
    assert BM25(['the type of a value', 'a class']).scores(['types', 'classes']).argmax(1).tolist(
        ) == [0, 1]


def test_bad_input_is_named():
    for documents in ({}, ['a'], 'text'):
        with pytest.raises(InputError, match='`documents` must be a dict, name → text'):
            passages_of(documents)
    with pytest.raises(InputError, match="`documents` must hold texts by name; 'a' is or has none"):
        passages_of({'a': 3})
    with pytest.raises(InputError, match='`words` must be a whole number from 1'):
        passages_of({'a': 'b'}, 0)
    with pytest.raises(InputError, match='`text` must be a text'): plain_text(None)
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
