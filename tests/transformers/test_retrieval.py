"BM25 against rank-bm25 and a loop, windows, hits, fusion and re-ranking"
import math

import numpy as np
import pytest

from dlcourse.core.errors import InputError
from dlcourse.transformers.passages import all_words
from dlcourse.transformers.retrieval import (
    BM25,
    cut_words,
    found_at,
    reciprocal_rank_fusion,
    rerank,
    term_scores,
    word_windows,
)


def drawn(n=60, seed=0):
    rng = np.random.default_rng(seed)
    words = [f'w{i}' for i in range(40)]
    odds = 1/np.arange(1, 41)
    return [' '.join(rng.choice(words, rng.integers(3, 40), p=odds/odds.sum())) for _ in range(n)]


@pytest.mark.parametrize('k1, b', [(1.5, .75), (1.2, .4), (2., 0.)])
def test_bm25_is_rank_bm25s_where_both_weigh_words_alike(k1, b):
    peer = pytest.importorskip('rank_bm25')
    texts = drawn()
    theirs = peer.BM25Okapi([all_words(t) for t in texts], k1=k1, b=b)
    n = len(texts)
    holding = {w: sum(w in d for d in theirs.doc_freqs) for w in theirs.idf}
    theirs.idf = {w: math.log(1 + (n - h + .5)/(h + .5)) for w, h in holding.items()}
    questions = ['w0 w5 w39', 'w3 w3 nothing', 'nothing', 'w7']
    ours = BM25(texts, all_words, k1, b).scores(questions)
    want = [theirs.get_scores(all_words(q)) for q in questions]
    np.testing.assert_allclose(ours, want, rtol=1e-12, atol=1e-12)


def test_bm25_orders_rare_words_as_rank_bm25_does_untouched():
    peer = pytest.importorskip('rank_bm25')
    texts = drawn(200, 1)
    question = ['w39']
    ours = BM25(texts, all_words).scores(['w39'])[0]
    theirs = peer.BM25Okapi([all_words(t) for t in texts]).get_scores(question)
    assert np.corrcoef(ours, theirs)[0, 1] > 1 - 1e-12


def test_a_rarer_word_and_a_shorter_passage_score_more():
    one = term_scores(np.array([1., 1.]), np.array([10., 30.]), 20., 2, 9)
    assert one[0] > one[1] > 0
    assert (term_scores(np.array([1.]), np.array([20.]), 20., 1, 9) > one[1]).all()


def test_windows_and_cuts_cover_every_word():
    documents = {'a': ' one two\nthree   four five ', 'b': '', 'c': 'six'}
    cut = cut_words(documents, 2, 1)
    assert [p.text for p in cut] == ['one two', 'two\nthree', 'three   four', 'four five', 'six']
    assert all(documents[p.source][p.start:p.end] == p.text for p in cut)
    assert word_windows(7, 3) == [(0, 3), (3, 6), (6, 7)]


def test_hits_are_scikit_learns_top_k():
    from sklearn.metrics import top_k_accuracy_score
    rng = np.random.default_rng(0)
    scores, y = rng.normal(size=(80, 6)), rng.integers(6, size=80)
    answers = y[:, None] == np.arange(6)
    for k in (1, 2, 5):
        want = top_k_accuracy_score(y, scores, k=k, labels=np.arange(6))
        assert found_at(scores, answers, k).mean() == pytest.approx(want)


def test_fusion_of_one_search_keeps_its_order_and_two_alike_too():
    s = np.random.default_rng(0).normal(size=(5, 30))
    for tables in ((s,), (s, 3*s), (s, s - 1, 2*s)):
        assert (np.argsort(-reciprocal_rank_fusion(*tables)) == np.argsort(-s)).all()


def test_reranking_moves_nothing_in_or_out():
    rng = np.random.default_rng(0)
    first, closer = rng.normal(size=(6, 40)), rng.normal(size=(6, 40))
    new = np.argsort(-rerank(first, closer, 7))
    old = np.argsort(-first)
    for i in range(6):
        assert set(new[i, :7]) == set(old[i, :7]) and (new[i, 7:] == old[i, 7:]).all()
        assert (np.diff(closer[i, new[i, :7]]) < 0).all()


def test_bad_input_is_named():
    for overlap in (-1, 4):
        with pytest.raises(InputError, match='`overlap` must be from 0 to 3, below `size`'):
            word_windows(10, 4, overlap)
    with pytest.raises(InputError, match='`size` must be a whole number from 1'):
        cut_words({'a': 'b'}, 0)
    with pytest.raises(InputError, match='`k1` must be above 0 and `b` from 0 to 1; got 1.5 and 2'):
        BM25(['a'], b=2)
    with pytest.raises(InputError, match='`texts` must hold words'):
        BM25(['the of', ''])
    with pytest.raises(InputError, match='`questions` must be a list of texts'):
        BM25(['list']).scores('list')
    with pytest.raises(InputError, match='`among` must be a whole number from 1'):
        rerank(np.ones((1, 2)), np.ones((1, 2)), 0)


def test_what_cannot_be_searched():
    with pytest.raises(InputError, match='`texts` must be a list of texts'): BM25('hello world')
    for own in (dict(k1=math.inf), dict(k1='a'), dict(k1=None), dict(b='a'), dict(b=math.nan)):
        with pytest.raises(InputError, match='`k1` must be above 0'): BM25(['hello'], **own)
    for bad in ([None], ['a', 3], None, 7):
        with pytest.raises(InputError, match='`texts` must be a list of texts'): BM25(bad)
        with pytest.raises(InputError, match='`questions` must be a list of texts'):
            BM25(['hello']).scores(bad)
    with pytest.raises(InputError, match='`scores` must hold numbers'): rerank([['a']], [['b']])
    for overlap in (1.5, '2', -1):
        with pytest.raises(InputError, match='`overlap` must be a whole number from 0'):
            cut_words({'a': 'b c'}, 4, overlap)


def test_tables_of_other_shapes_are_not_fused():
    for shapes in ((), ((1, 3), (1, 1)), ((2, 3), (1, 3))):
        with pytest.raises(InputError, match='`scores` must be tables of one shape, one at least'):
            reciprocal_rank_fusion(*map(np.zeros, shapes))


def test_texts_may_come_one_by_one():
    index = BM25(t for t in ('hello world', 'bye'))
    assert index.scores(t for t in ('bye',)).argmax(1).tolist() == [1]


def test_bad_words_are_named():
    with pytest.raises(InputError, match='`first` and `closer` must be of one shape'):
        rerank(np.zeros((2, 3)), np.zeros((1, 3)))


def test_what_is_no_text_is_not_given_back_whole():
    with pytest.raises(InputError, match='must be a list of texts; .* is none') as e:
        BM25(['a', b'x'*100_000])
    assert len(str(e.value)) < 200
