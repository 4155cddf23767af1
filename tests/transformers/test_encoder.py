"BERT's encoder against Hugging Face's, with published weights and with random ones"
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dlcourse.core.cards import card
from dlcourse.core.downloads import fetch, is_here
from dlcourse.core.errors import InputError
from dlcourse.core.pretrained import fit_weights
from dlcourse.transformers.encoder import (
    BERT_NAMES,
    Encoder,
    EncoderConfig,
    SentenceEncoder,
    by_length,
    embed_sentences,
    padded,
    sentence_encoder,
)
from dlcourse.transformers.wordpiece import WordPieces

SMALL = EncoderConfig(vocabulary=30, length=12, dim=24, heads=4, hidden=40, depth=3)
WORDS = WordPieces({t: i for i, t in enumerate(
    '[PAD] [UNK] [CLS] [SEP] [MASK] the cat is hungry . a bill was paid'.split())})
TEXTS = ['The cat is hungry.', 'A bill', '', 'was the bill paid. the cat was paid', 'cat']


def theirs(config, **more):
    "Hugging Face's, of the same size"
    transformers = pytest.importorskip('transformers')
    sizes = dict(vocab_size=config.vocabulary, max_position_embeddings=config.length,
                 hidden_size=config.dim, num_attention_heads=config.heads,
                 intermediate_size=config.hidden, num_hidden_layers=config.depth,
                 layer_norm_eps=1e-12)
    return transformers.BertModel(transformers.BertConfig(**sizes, **more)).eval()


def test_hidden_states_and_gradients_are_those_of_bert_model():
    torch.manual_seed(0)
    other, ours = theirs(SMALL), Encoder(SMALL).eval()
    assert fit_weights(ours, other.state_dict(), BERT_NAMES).whole
    ids = torch.randint(30, (5, 9))
    kinds = torch.randint(2, (5, 9))
    mask = torch.arange(9) < torch.tensor([9, 1, 4, 8, 3])[:, None]
    a = ours(ids, mask, kinds)[mask]
    b = other(ids, mask.long(), kinds).last_hidden_state[mask]
    torch.testing.assert_close(a, b, rtol=0, atol=1e-5)
    for out, weight in ((a, ours.token.weight), (b, other.embeddings.word_embeddings.weight)):
        out.square().sum().backward()
        assert weight.grad is not None
    theirs_grad = other.embeddings.word_embeddings.weight.grad.clone()
    theirs_grad[0] = ours.token.weight.grad[0] # Theirs leaves out the row of padding
    torch.testing.assert_close(ours.token.weight.grad, theirs_grad, rtol=1e-4, atol=1e-4)


def test_published_sentences_are_those_of_bert_model_and_a_mean():
    transformers = pytest.importorskip('transformers')
    if not is_here(card('all-MiniLM-L6-v2')): pytest.skip("MiniLM is not here")
    files = fetch('all-MiniLM-L6-v2')
    other = transformers.BertModel.from_pretrained(files['config.json'].parent).eval()
    model = sentence_encoder()
    texts = ['He is paid by the hour.', 'Naïve café!', '', 'word '*300, 'A much, much longer text '
             'about nothing in particular, which goes on for a while.']
    ids, mask = padded(model.rows(texts))
    with torch.inference_mode():
        hidden = other(ids, mask.long()).last_hidden_state
        there = mask[..., None].float()
        mean = F.normalize((hidden*there).sum(1)/there.sum(1), dim=1).numpy()
    np.testing.assert_allclose(embed_sentences(texts), mean, atol=1e-5)
    torch.testing.assert_close(model.encoder(ids, mask)[mask], hidden[mask], rtol=0, atol=1e-5)
    assert ids.shape[1] == 256


def a_model(seed=0):
    torch.manual_seed(seed)
    return SentenceEncoder(Encoder(SMALL), WORDS)


def test_a_sentence_does_not_depend_on_who_stands_beside_it():
    model = a_model()
    alone = np.concatenate([embed_sentences([t], model) for t in TEXTS])
    for batch in (1, 2, 5, 99):
        got = embed_sentences(TEXTS, model, batch=batch)
        np.testing.assert_allclose(got, alone, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(alone, axis=1), 1, atol=1e-6)
    assert got.dtype == np.float32 and model.training


def test_order_and_batches():
    rows = [[1]*n for n in (5, 2, 9, 2, 1)]
    assert by_length(rows, 2) == [[4, 1], [3, 0], [2]]
    ids, mask = padded([[3, 4], [5]], 7)
    assert ids.tolist() == [[3, 4], [5, 7]] and mask.tolist() == [[True, True], [True, False]]
    assert embed_sentences([], a_model()).shape == (0, 24)


@torch.no_grad()
def test_a_row_without_a_piece_has_no_direction():
    made = SentenceEncoder(Encoder(SMALL), WORDS)
    ids, mask = torch.ones(2, 3).long(), torch.tensor([[True]*3, [False]*3])
    found = made.eval()(ids, mask)
    assert found.isfinite().all() and not found[1].any()
    torch.testing.assert_close(found[0].norm(), torch.tensor(1.))


def test_a_long_text_is_cut_to_what_the_table_of_places_holds():
    model = a_model()
    assert max(map(len, model.rows(['cat '*50]))) == 12
    assert np.allclose(embed_sentences(['cat '*50], model), embed_sentences(['cat '*99], model))


@pytest.mark.parametrize('ids, said', [
    (torch.tensor([[30]]), 'from 0 to 29, got 30 to 30'), (torch.tensor([[-1, 3]]), 'got -1 to 3'),
    (torch.zeros(1, 13, dtype=torch.long), '12 places at most, got 13'),
    (torch.zeros(3, dtype=torch.long), r'the shape \(3,\)'), (torch.zeros(1, 3), 'float32'),
    (torch.ones(1, 3, dtype=torch.bool), 'torch.bool'),
    (torch.zeros(1, 0, dtype=torch.long), r'\(1, 0\)'),
])
def test_numbers_that_cannot_be_read(ids, said):
    with pytest.raises(InputError, match=said): Encoder(SMALL)(ids)


def test_other_things_that_cannot_be():
    net, ids = Encoder(SMALL), torch.tensor([[1, 2]])
    with pytest.raises(InputError, match='`mask` must be boolean'): net(ids, torch.ones(1, 2))
    with pytest.raises(InputError, match='of the shape of `ids`'):
        net(ids, torch.ones(2, 2, dtype=torch.bool))
    with pytest.raises(InputError, match='`kinds` must lie'): net(ids, kinds=torch.tensor([[0, 2]]))
    for kinds in (torch.tensor([[0, 1, 1]]), torch.tensor([[0., 1.]])):
        with pytest.raises(InputError, match='`kinds` must be whole numbers of the shape'):
            net(ids, kinds=kinds)
    for name, bad in dict(vocabulary=0, dim=24., heads=0, hidden=0, depth=1.5).items():
        with pytest.raises(InputError, match=f'`{name}` must be a whole number from 1'):
            EncoderConfig(**{name: bad})
    with pytest.raises(InputError, match='30 tokens|was made for'):
        SentenceEncoder(Encoder(EncoderConfig(**{**SMALL.__dict__, 'vocabulary': 5})), WORDS)
    with pytest.raises(InputError, match='`texts` must be a list'):
        embed_sentences('The cat', a_model())
    for bad in (['a', None], None, 3):
        with pytest.raises(InputError, match='`texts` must be a list'):
            embed_sentences(bad, a_model())
    for most in (1, 2.5):
        with pytest.raises(InputError, match='`most` must be a whole number from 2'):
            embed_sentences(['a'], a_model(), most=most)
    for batch in (0, 1.5):
        with pytest.raises(InputError, match='`batch`'): by_length([[1]], batch)
    with pytest.raises(InputError, match='`rows`'): padded([])


def test_weights_of_another_encoder_are_refused():
    weights = Encoder(SMALL).state_dict()
    del weights['norm.bias']
    with pytest.raises(InputError, match='missing: norm.bias'):
        fit_weights(Encoder(SMALL), weights)


def test_texts_that_can_be_walked_once_are_embedded():
    model = a_model()
    np.testing.assert_array_equal(embed_sentences(iter(TEXTS), model),
                                  embed_sentences(TEXTS, model))
