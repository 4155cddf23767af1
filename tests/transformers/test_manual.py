"The manual as a text to learn from: holes and answers stand where they are said to be"
import numpy as np
import pytest
import torch

from dlcourse.core.errors import InputError
from dlcourse.transformers.bert import MaskedLM
from dlcourse.transformers.manual import (
    NeighbourTable,
    common_pieces,
    guesses,
    holes,
    manual_paragraphs,
    point,
    question_batch,
    read_once,
    small_encoder,
    split_by_topic,
    term_questions,
    train_masked,
    train_pointer,
)

TEXT = ('It raises "ValueError" where "x" is no number, and otherwise the function gives what '
        '"float()" would give for it.')


@pytest.fixture(scope='module')
def parts(): return split_by_topic(manual_paragraphs())


def test_parts_share_no_paragraph_and_no_topic(parts):
    learnt, other = parts
    assert len(set(learnt + other)) == len(learnt) + len(other) > 500
    topics = {text: topic for topic, text in manual_paragraphs()}
    assert not {topics[t] for t in learnt} & {topics[t] for t in other}


def test_every_text_can_be_cut(parts):
    pieces = common_pieces(parts[0], 200)
    assert '[UNK]' not in pieces.pieces(parts[0][0])
    with pytest.raises(InputError, match='`texts` must hold words'): common_pieces([''])


def test_an_answer_stands_where_the_span_says(parts):
    pieces, questions = common_pieces(parts[0]), term_questions(parts[0][:200], cuts=2)
    assert len(questions) > 20
    ids, mask, passage, spans = question_batch(questions, pieces)
    for row, inside, (first, last), q in zip(ids, passage, spans.tolist(), questions, strict=True):
        assert [pieces.tokens[i] for i in row[first:last + 1]] == pieces.pieces(q.answer)
        assert inside[first] and inside[last] and q.passage.count(q.answer)
        assert not inside[:len(pieces.encode(q.text))].any()
    assert (mask | ~passage).all()


def test_each_kind_of_term_is_asked_for_once():
    asked = {q.text: q.answer for q in term_questions([TEXT], longest=40)}
    assert set(asked.values()) <= {'ValueError', 'float()'} and asked
    assert term_questions(['It has "ValueError" alone.']) == []
    with pytest.raises(InputError, match='`most` must let in the answer'):
        question_batch(term_questions([TEXT]), common_pieces([TEXT]), most=5)


def test_the_table_knows_what_it_saw():
    table = NeighbourTable([[2, 7, 8, 9, 3], [2, 7, 8, 9, 3], [2, 7, 5, 9, 3]])
    assert table.guess(7, 9) == 8 and table.guess(7, 99) == 8 and table.guess(98, 99) == table.usual


def test_a_small_text_is_learnt_by_heart():
    texts = ['the first one is red', 'a second thing was blue']
    pieces = common_pieces(texts)
    rows = [pieces.encode(t) for t in texts]
    model = train_masked(rows*8, pieces, steps=60, dim=32)
    asked = holes(rows, each=5)
    truth = np.array([rows[i][at] for i, at in asked])
    assert (guesses(model, pieces, rows, asked)[:, 0] == truth).mean() > .8
    assert guesses(model, pieces, rows, asked, best=3).shape == (10, 3)


def test_a_head_learns_and_its_encoder_stays():
    questions = term_questions([TEXT], cuts=6)
    pieces = common_pieces([TEXT])
    encoder = small_encoder(pieces, dim=32)
    before = [p.clone() for p in encoder.parameters()]
    reader = train_pointer(encoder, read_once(encoder, questions, pieces), epochs=100)
    said, right = point(reader, questions, pieces)
    assert right.mean() > .8 and len(said) == len(questions)
    assert all(torch.equal(a, b) for a, b in zip(before, encoder.parameters(), strict=True))


def test_texts_without_pieces_to_ask_for():
    pieces = common_pieces([TEXT])
    with pytest.raises(InputError, match='`rows` must hold'): train_masked([], pieces, steps=2)
    rows = [pieces.encode(''), pieces.encode('it')]
    model = train_masked(rows, pieces, steps=6, batch=1, dim=32)
    assert all(p.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize('asked', [(0, -1), (0, 99), (1, 1), (-1, 1)])
def test_a_hole_outside_of_the_texts(asked):
    pieces = common_pieces([TEXT])
    model, rows = MaskedLM(small_encoder(pieces, dim=32)), [pieces.encode('it raises')]
    with pytest.raises(InputError, match='`asked`'): guesses(model, pieces, rows, [asked])
    with pytest.raises(InputError, match='`best`'): guesses(model, pieces, rows, [(0, 1)], 10**6)
    with pytest.raises(InputError, match='`each`'): holes(rows, -1)
    with pytest.raises(InputError, match='`longest`'): term_questions([TEXT], longest=0)


@pytest.mark.parametrize('rows', [[], [[]], [[1, 2]]])
def test_neighbours_of_nothing(rows):
    with pytest.raises(InputError, match='`rows` must hold a piece with one on either side'):
        NeighbourTable(rows)
