"Classifiers of sentences: the head against scikit-learn, and that only what shall be trained is"
import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from dlcourse.core.errors import InputError
from dlcourse.transformers import fine_tuning
from dlcourse.transformers.encoder import Encoder, EncoderConfig, SentenceEncoder, embed_sentences
from dlcourse.transformers.fine_tuning import (
    TUNED_PARTS,
    SentenceClassifier,
    TuneConfig,
    classify,
    fine_tune,
    labelled_lines,
    review_classifier,
    start_head,
)
from dlcourse.transformers.wordpiece import WordPieces

WORDS = WordPieces({t: i for i, t in enumerate(
    '[PAD] [UNK] [CLS] [SEP] [MASK] a good fine bad dull film plot the is'.split())})
TEXTS = [f'the {n} is {a}' for n in ('film', 'plot', 'a film') for a in ('good', 'fine', 'bad',
                                                                          'dull')]
Y = np.array([1, 1, 0, 0]*3)


def sentence(seed=0):
    torch.manual_seed(seed)
    config = EncoderConfig(vocabulary=20, length=12, dim=16, heads=4, hidden=24, depth=2)
    return SentenceEncoder(Encoder(config), WORDS)


@pytest.mark.parametrize('y', [Y, np.arange(12) % 3])
def test_the_head_begins_as_a_logistic_regression(y):
    model = SentenceClassifier(sentence(), classes=y.max() + 1)
    features = embed_sentences(TEXTS, model.sentence)
    start_head(model, features, y)
    want = LogisticRegression(C=10, max_iter=2000).fit(features, y).predict_proba(features)
    np.testing.assert_allclose(classify(model, TEXTS), want, atol=1e-5)


@pytest.mark.parametrize('way', TUNED_PARTS)
def test_only_what_the_way_names_is_trained(way):
    model = SentenceClassifier(sentence())
    before = {n: p.clone() for n, p in model.sentence.encoder.named_parameters()}
    fine_tune(model, TEXTS, Y, TuneConfig(way=way, epochs=3))
    moved = {n for n, p in model.sentence.encoder.named_parameters() if (p != before[n]).any()}
    allowed = dict(frozen=(), last=('blocks.blocks.1.',), full=('blocks.',),
                   lora=('to_q.weight', 'to_v.weight'))[way]
    assert all(any(part in n for part in allowed) for n in moved)
    assert bool(moved) == (way != 'frozen')
    assert not model.training


def test_a_seed_gives_the_same_classifier_whatever_was_drawn_before():
    found = []
    for noise in (1, 2):
        model = SentenceClassifier(sentence())
        torch.manual_seed(noise)
        found.append(classify(fine_tune(model, TEXTS, Y, TuneConfig(way='lora'), 3), TEXTS))
    np.testing.assert_array_equal(*found)


def test_more_training_fits_its_own_sentences():
    model = fine_tune(SentenceClassifier(sentence()), TEXTS, Y, TuneConfig(epochs=20))
    assert (classify(model, TEXTS).argmax(1) == Y).all()


@pytest.mark.parametrize('labels', [Y[:5], Y*0, Y*2, Y - 1, Y*.5, ['a']*12, None])
def test_labels_that_are_no_classes(labels):
    with pytest.raises(InputError, match='`labels` must hold a class for each of 12 texts'):
        fine_tune(SentenceClassifier(sentence()), TEXTS, labels)


def test_settings_that_cannot_be():
    with pytest.raises(InputError, match='`way` must be one of frozen, last, lora, full'):
        TuneConfig(way='half')
    for bad in (dict(epochs=-1), dict(epochs=1.5), dict(batch=0), dict(rank=0), dict(warm=2),
                dict(lr=-1.), dict(lr=float('nan')), dict(head_lr='a'),
                dict(lr=float('inf')), dict(head_lr=float('inf'))):
        with pytest.raises(InputError, match=f'`{min(bad)}` must be a'): TuneConfig(**bad)


@pytest.mark.parametrize('config', [dict(lr=0.), dict(epochs=0), dict(epochs=0, way='lora')])
def test_at_a_rate_of_zero_or_in_no_epochs_the_encoder_stays(config):
    model, as_it_was = SentenceClassifier(sentence()), sentence().state_dict()
    fine_tune(model, TEXTS, Y, TuneConfig(**config))
    for name, p in model.sentence.state_dict().items():
        torch.testing.assert_close(p, as_it_was[name], rtol=0, atol=0)


def test_without_a_warm_start_it_trains():
    model = fine_tune(SentenceClassifier(sentence()), TEXTS, Y, TuneConfig(warm=0., epochs=20))
    assert (classify(model, TEXTS).argmax(1) == Y).all()


def test_a_head_for_other_labels_is_refused():
    features = embed_sentences(TEXTS, sentence())
    for classes, y in ((2, np.arange(12) % 3), (3, Y)):
        with pytest.raises(InputError, match=f'hold the {classes} classes of `model`; got'):
            start_head(SentenceClassifier(sentence(), classes), features, y)
    model = SentenceClassifier(sentence())
    with pytest.raises(InputError, match='`features`'): start_head(model, features*np.nan, Y)
    with pytest.raises(InputError, match='`C`'): start_head(model, features, Y, C=0)


def test_a_line_is_cut_at_its_last_tab():
    texts, y = labelled_lines(['a\tb\t1', 'c \t0'])
    assert texts == ['a\tb', 'c '] and y.tolist() == [1, 0]
    for bad in ('no label', 'a\tb', 'a\t', 'a\t-1', 'a\t' + '9'*5000):
        with pytest.raises(InputError, match=r'a whole number; line 2 is'):
            labelled_lines(['a\t1', bad])


def test_reviews_are_what_the_card_says(real):
    counts = {name: (len(lines), labelled_lines(lines)[1].mean().round(3))
              for name, lines in real('sst2').items()}
    assert counts == dict(train=(6920, .522), dev=(872, .509), test=(1821, .499))


def test_the_kept_classifier_is_the_one_that_was_made(monkeypatch, tmp_path):
    lines = dict(train=(TEXTS, Y), dev=(TEXTS, Y))
    monkeypatch.setattr(fine_tuning, 'reviews', lambda home: lines)
    monkeypatch.setattr(fine_tuning, 'sentence_encoder', lambda home: sentence())
    one, card = review_classifier(tmp_path, labels=10)
    assert review_classifier(tmp_path, labels=10, seed=1)[1].source.endswith('seed 1')
    assert '3 epochs' in review_classifier(tmp_path, labels=10, epochs=3)[1].source
    monkeypatch.setattr(fine_tuning, 'reviews', lambda home: 1/0)
    other, _ = review_classifier(tmp_path, labels=10)
    np.testing.assert_array_equal(classify(one, TEXTS), classify(other, TEXTS))
    assert 'Accuracy' in card.results[0].claim and card.license.startswith('Apache-2.0')
