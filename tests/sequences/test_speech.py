"Filters against transformers, the CTC table against torch, beams against all paths, listening"
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcourse.core.errors import InputError
from dlcourse.sequences import speech
from dlcourse.sequences.ctc import Recognizer, RecognizerConfig, exhaustive
from dlcourse.sequences.sound import Sound, SoundConfig, tone_digits
from dlcourse.sequences.speech import (
    Listener,
    collapse,
    ctc_forward,
    digit_errors,
    log_mel,
    mel_filter_bank,
    prefix_beam_search,
    say,
    speech_model,
    spotted,
    string_frames,
    train_recognizer,
)
from dlcourse.training.checkpoints import digest

TINY = RecognizerConfig(channels=16, hidden=16)


@pytest.mark.parametrize('config', [
    SoundConfig(), SoundConfig(mels=23, low=0., high=3800.),
    SoundConfig(rate=16000, window=400, size=512, mels=64, low=20., high=8000.)])
def test_filters_are_transformers(config):
    audio = pytest.importorskip('transformers.audio_utils')
    want = audio.mel_filter_bank(config.size//2 + 1, config.mels, config.low, config.high,
                                 config.rate, norm=None, mel_scale='htk')
    np.testing.assert_allclose(mel_filter_bank(config).T, want, atol=1e-3)


def test_log_mel_is_transformers():
    audio = pytest.importorskip('transformers.audio_utils')
    config, x = SoundConfig(window=256, size=256), np.random.default_rng(0).normal(size=3000)
    bank = mel_filter_bank(config).T.double().numpy()
    window = audio.window_function(256, 'hann')
    want = audio.spectrogram(x, window, 256, 80, 256, power=2., center=False, mel_filters=bank,
                             mel_floor=1e-10)
    got = log_mel(torch.tensor(x), config)
    np.testing.assert_allclose(got, np.log(want.T + 1e-6), atol=1e-4)


@settings(max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 9), st.lists(st.integers(1, 3), max_size=5))
def test_the_table_is_torchs(seed, places, target):
    g = torch.Generator().manual_seed(seed)
    p = torch.randn(places, 4, generator=g, dtype=torch.float64).log_softmax(-1)
    ours = np.logaddexp.reduce(ctc_forward(p.numpy(), target)[-1, -2:])
    theirs = -F.ctc_loss(p[:, None], torch.tensor([target], dtype=torch.long), (places,),
                         (len(target),), reduction='sum').item()
    assert ours == pytest.approx(theirs, abs=1e-9)


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_a_wide_beam_is_exhaustive(seed):
    g = torch.Generator().manual_seed(seed)
    p = torch.randn(6, 3, generator=g, dtype=torch.float64).log_softmax(-1)
    want = exhaustive(p)
    got = dict((tuple(t), v) for t, v in prefix_beam_search(p.numpy(), 1000))
    for text, prob in want.items(): assert math.exp(got[text]) == pytest.approx(prob)
    assert prefix_beam_search(p.numpy(), 1000)[0][0] == list(next(iter(want)))


def test_the_path_is_not_the_text():
    p = np.log([[.6, .4], [.6, .4]])
    assert collapse(p.argmax(1).tolist()) == [] and prefix_beam_search(p, 2)[0][0] == [1]


def test_a_band_without_a_frequency_is_named():
    with pytest.raises(InputError, match='`mels` must be fewer, or `size` larger'):
        log_mel(torch.zeros(300), SoundConfig(mels=200))


def test_bad_tables_are_named():
    for bad in (np.zeros((0, 3)), np.zeros(3), np.full((2, 2), np.nan), np.full((2, 2), .5)):
        with pytest.raises(InputError, match='`log_probs` must be .place, symbol.'):
            prefix_beam_search(bad)


@pytest.mark.parametrize('make, name', [
    (lambda: prefix_beam_search(np.zeros((2, 3)), 0), 'width'),
    (lambda: prefix_beam_search(np.zeros((2, 3)), 2.5), 'width'),
    (lambda: prefix_beam_search(np.zeros((2, 3)), blank=9), 'blank'),
    (lambda: spotted(torch.zeros(1, 11), -1), 'digit'),
    (lambda: spotted(torch.zeros(1, 11), 10), 'digit'),
    (lambda: spotted(torch.zeros(1, 11), 7, 2.), 'threshold'),
    (lambda: train_recognizer(tone_digits(1), np.arange(9), TINY, steps=0), 'steps'),
    (lambda: train_recognizer(tone_digits(1), np.arange(9), TINY, batch=0), 'batch'),
    (lambda: train_recognizer(tone_digits(1), np.arange(9), TINY, hide=41), 'hide'),
    (lambda: train_recognizer(tone_digits(1) | dict(digits=np.arange(2, 62)), np.arange(9), TINY),
     'digits')])
def test_numbers_out_of_range_are_named(make, name):
    with pytest.raises(InputError, match=f'`{name}` must be a '): make()


def test_another_rate_is_not_heard_silently():
    model, wave = Recognizer(TINY), np.zeros(4000, 'f4')
    ahead = Recognizer(RecognizerConfig(channels=8, hidden=8, both_ways=False))
    world = tone_digits(1) | dict(rate=16000)
    for ask in (lambda: say(model, [wave], 16000), lambda: Listener(ahead, 44100),
                lambda: train_recognizer(world, np.arange(9), TINY, steps=1)):
        with pytest.raises(InputError, match='`rate` must be 8,000.* `at_rate`'): ask()
    assert train_recognizer(world, [0, 1], steps=1, batch=2).config.rate == 16000
    with pytest.raises(InputError, match='`rows` must name recordings'):
        train_recognizer(world, [], steps=1)


def test_a_recognizer_learns_from_numbers_or_a_mask_of_recordings():
    world = tone_digits(1)
    own = world['speakers'] == 'ann'
    one, two = (train_recognizer(world, rows, TINY, steps=1, batch=2).head.weight
                for rows in (own, np.flatnonzero(own)))
    assert torch.equal(one, two)
    for bad in ([-1], [60], [True], [.5]):
        with pytest.raises(InputError, match='`rows` must be'):
            train_recognizer(world, bad, TINY, steps=1)


def test_any_row_of_numbers_is_heard_and_nothing_else():
    model, x = Recognizer(TINY).eval(), np.random.default_rng(0).normal(size=4000)
    assert torch.equal(say(model, [x])[0][0], say(model, [x.astype('f4')])[0][0])
    for bad in (np.full(4000, np.nan), np.zeros((4000, 2)), 0., 'a', Sound(x, 8000),
                np.zeros(4000, 'i2')):
        with pytest.raises(InputError, match='`waves` must be one row of finite'): say(model, [bad])


def test_learning_leaves_the_readers_chance_alone():
    torch.manual_seed(3)
    want = torch.rand(1)
    torch.manual_seed(3)
    train_recognizer(tone_digits(1), np.arange(60), TINY, steps=1, batch=2)
    assert torch.equal(torch.rand(1), want)


def test_loudness_does_not_count():
    wave = tone_digits(1)['samples'][0]
    loud, quiet = (string_frames([wave*v], SoundConfig())[0] for v in (1., .5))
    assert (loud - quiet).abs().mean() < .02


def test_a_short_string_is_enough_for_who_hears_forward_only():
    model = Recognizer(RecognizerConfig(channels=8, hidden=8, both_ways=False)).eval()
    assert len(say(model, [np.ones(500, 'f4')])[0][0]) == 1


@pytest.mark.slow
def test_a_recognizer_learns_and_repeats_itself():
    world, rows = tone_digits(6), np.arange(360)
    losses = []
    model = train_recognizer(world, rows, TINY, 1, steps=40, batch=16, lr=1e-2, hide=0,
                             watch=lambda m, s, loss: losses.append(loss))
    again = train_recognizer(world, rows, TINY, 1, steps=40, batch=16, lr=1e-2, hide=0)
    assert digest(model) == digest(again) and losses[-1] < .7*losses[0]
    found = digit_errors(model, world, [np.array([0, 1]), np.array([5])])
    assert found[:, 1].tolist() == [2, 1]
    assert [len(p) > 0 for p, _ in say(model, world['samples'][:2])] == [True, True]
    with pytest.raises(InputError, match='`waves` must hold strings'): say(model, [])
    with pytest.raises(InputError, match='`x` must hold samples'): say(model, [np.zeros(0, 'f4')])


@pytest.mark.parametrize('sizes', [(1,), (80, 801), (5000,), (333, 7, 1500)])
def test_a_listener_hears_the_same_in_any_pieces(sizes):
    torch.manual_seed(0)
    model = Recognizer(RecognizerConfig(channels=8, hidden=8, both_ways=False))
    x = np.random.default_rng(0).normal(size=6000 if sizes != (1,) else 1900).astype('f4')
    whole, listener, got, at, i = Listener(model).feed(x), Listener(model), [], 0, 0
    while at < len(x):
        got.append(listener.feed(x[at:at + sizes[i % len(sizes)]]))
        at, i = at + sizes[i % len(sizes)], i + 1
    torch.testing.assert_close(torch.cat(got), whole, atol=1e-4, rtol=1e-4)


def test_a_listener_refuses_what_it_cannot_hear():
    with pytest.raises(InputError, match='`model` must hear forward only'):
        Listener(Recognizer(TINY))
    listener = Listener(Recognizer(RecognizerConfig(channels=8, hidden=8, both_ways=False)))
    for bad in ([np.inf], np.zeros((9, 2)), 0., 'a', None):
        with pytest.raises(InputError, match='`samples` must be one row'): listener.feed(bad)


def test_a_keyword_counts_where_it_begins():
    p = torch.full((7, 11), -20.)
    p[[1, 2, 5], 8] = math.log(.9)
    assert spotted(p, 7) == [1, 5] and spotted(p, 7, .95) == [] and spotted(p[:0], 7) == []


def test_the_model_is_kept(tmp_path, monkeypatch):
    model, card = speech_model(tmp_path, steps=1)
    with monkeypatch.context() as m:
        m.setattr(speech, 'train_recognizer', lambda *_, **__: 1/0)
        again, _ = speech_model(tmp_path, steps=1)
    other, _ = speech_model(tmp_path, steps=1, seed=1)
    assert digest(other) != digest(model)
    assert digest(model) == digest(again) and 'digits wrong' in card.results[0].claim
    with pytest.raises(InputError, match='`data` must be tones or people'):
        speech_model(tmp_path, data='birds')


@pytest.mark.parametrize(('data', 'steps'), [('tones', 250), ('people', 700)])
def test_the_usual_steps_are_the_usual_model(monkeypatch, data, steps):
    monkeypatch.setattr(speech, 'trained_once', lambda name, *_, **made_with: (name, made_with))
    usual = f'speech-{data}', dict(steps=steps, seed=0)
    assert speech_model(data=data) == speech_model(data=data, steps=steps) == usual
    with pytest.raises(InputError, match='`steps` must be a whole number from 1'):
        speech_model(steps=0)


def test_a_model_in_training_is_asked_in_evaluation():
    model = Recognizer(RecognizerConfig(channels=4, hidden=4)).train()
    first, again = (say(model, [np.zeros(400)])[0][0] for _ in range(2))
    assert torch.equal(first, again) and model.training
