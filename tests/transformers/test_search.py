"Ranks, vectors and approximate search against scipy, scikit-learn and loops"
import numpy as np
import pytest
from scipy.stats import rankdata
from sklearn.neighbors import NearestNeighbors

from dlcourse.core.errors import InputError
from dlcourse.transformers import search
from dlcourse.transformers.search import (
    Cells,
    LatentMeaning,
    SentenceMeaning,
    kept_vectors,
    meaning_of,
    nearest_texts,
    order_of,
    ranks_of,
)


def directions(n, dim=8, seed=0):
    x = np.random.default_rng(seed).normal(size=(n, dim)).astype(np.float32)
    return x/np.linalg.norm(x, axis=1, keepdims=True)


def test_ranks_are_scipys_with_the_earlier_of_equals_first():
    scores = np.random.default_rng(0).integers(0, 5, (20, 9))
    assert np.array_equal(ranks_of(scores), rankdata(-scores, method='ordinal', axis=1))
    assert np.array_equal(np.take_along_axis(ranks_of(scores), order_of(scores), 1)[3],
                          np.arange(1, 10))


def test_the_nearest_are_scikit_learns():
    x, q = directions(200), directions(15, seed=1)
    rows, products = nearest_texts(q, x, 7)
    far, want = NearestNeighbors(n_neighbors=7, metric='cosine').fit(x).kneighbors(q)
    assert np.array_equal(rows, want)
    assert np.allclose(products, 1 - far, atol=1e-6)


def test_all_cells_are_exact_and_fewer_cost_less():
    x, q = directions(300), directions(20, seed=1)
    exact, _ = nearest_texts(q, x, 5)
    cells = Cells(x, 12)
    found, cost = cells.search(q, 5, 12)
    assert np.array_equal(found, exact) and (cost == 312).all()
    few, cheap = cells.search(q, 5, 2)
    assert (cheap < cost).all() and (few == exact).mean() > .2
    alone, _ = Cells(x, 300).search(x[:3], 4, 1)
    assert (alone[:, 0] == [0, 1, 2]).all() and (alone[:, 1:] == -1).all()


def test_latent_meaning_needs_shared_company_and_knows_what_it_does_not_know():
    texts = ['a list of numbers', 'a list of words', 'a sleeping dog', 'the dog barks']
    meaning = meaning_of(texts, pretrained=False)
    assert isinstance(meaning, LatentMeaning)
    v = meaning.embed(['numbers', 'dogs', 'cheese', ''])
    assert np.allclose(np.linalg.norm(v, axis=1), [1, 1, 0, 0], atol=1e-6)
    assert v[0] @ meaning.embed(['words'])[0] > .9 and abs(v[1] @ v[0]) < 1e-6


def test_vectors_are_made_once_and_again_when_the_file_is_not_whole(tmp_path, monkeypatch):
    calls = []
    def made(texts):
        calls.append(len(texts))
        return np.full((len(texts), 3), len(calls), np.float32)
    monkeypatch.setattr(search, 'embed_sentences', made)
    meaning = SentenceMeaning()
    for _ in range(2): assert (kept_vectors(['a', 'b'], meaning, tmp_path) == 1).all()
    assert (kept_vectors(['a', 'c'], meaning, tmp_path) == 2).all() and calls == [2, 2]
    for file in (tmp_path/'vectors').iterdir(): file.write_bytes(b'no array')
    assert (kept_vectors(['a', 'b'], meaning, tmp_path) == 3).all()
    texts = ['one two', 'two three', 'three four']
    assert len(kept_vectors(texts, LatentMeaning(texts, 1), tmp_path)) == 3


def test_bad_input_is_named():
    x = directions(10)
    with pytest.raises(InputError, match='`scores` must be numbers, .* and no NaN'):
        ranks_of([[1., np.nan]])
    with pytest.raises(InputError, match='`queries` must be finite vectors, .text, 8.'):
        nearest_texts(directions(2, 5), x, 1)
    with pytest.raises(InputError, match='`vectors` must be finite vectors'):
        Cells(np.full((3, 2), np.nan), 1)
    for k in (0, 11):
        with pytest.raises(InputError, match='`k` must be a whole number from 1 to 10'):
            nearest_texts(x, x, k)
    with pytest.raises(InputError, match='`cells` must be a whole number from 1 to 10'):
        Cells(x, 11)
    with pytest.raises(InputError, match='`probes` must be a whole number from 1 to 3'):
        Cells(x, 3).search(x, 1, 4)


@pytest.mark.parametrize('texts', [['The cat sat on the mat.'], ['cat dog', 'cat dog']])
def test_few_texts_still_have_a_direction(texts):
    meaning = LatentMeaning(texts)
    assert np.allclose(np.linalg.norm(meaning.embed(texts), axis=1), 1, atol=1e-6)
    assert meaning.embed([]).shape == (0, 1)
    with pytest.raises(InputError, match='`texts` must be a list'): meaning.embed('cat')


@pytest.mark.parametrize('texts', [['it is.', 'the one.'], [], ['cat', 'cat']])
def test_texts_without_words_to_learn_from(texts):
    with pytest.raises(InputError, match='`texts` must hold'): LatentMeaning(texts)


def test_one_text_without_a_list_and_vectors_that_are_none():
    model = SentenceMeaning()
    with pytest.raises(InputError, match='`texts` must be a list'): model.embed('How?')
    with pytest.raises(InputError, match='`dim`'): LatentMeaning(['cat dog'], 0)
    with pytest.raises(InputError, match='`vectors` must hold numbers'): Cells(['a', 'b'], 1)
