"Whoever asks for other settings of a kept model gets another model, never the one that was kept"
import ast
import inspect
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import torch

from dlcourse.core.errors import InputError
from dlcourse.training import artefacts
from dlcourse.training.artefacts import trained_once
from dlcourse.training.checkpoints import digest
from dlcourse.transformers import fine_tuning
from dlcourse.transformers.encoder import Encoder, EncoderConfig, SentenceEncoder
from dlcourse.transformers.wordpiece import WordPieces

ROOT = Path(artefacts.__file__).parents[1]
DOORS = {'trained_once', 'kept_embedder'} # They make and keep what others describe
SMALL = dict(steps=1, pictures=32, scans=8, labels=10, epochs=1, size='tiny')
OTHER = {'character_gpt': 'tiny', 'speech_model': 'people', 'verifier': 'omniglot'} # Of texts


def keepers():
    "Every function of the course that keeps a model"
    for path in sorted(ROOT.rglob('*.py')):
        for node in ast.parse(path.read_text()).body:
            if not isinstance(node, ast.FunctionDef) or node.name in DOORS: continue
            if DOORS & {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}:
                module = '.'.join(path.relative_to(ROOT.parent).with_suffix('').parts)
                yield getattr(import_module(module), node.name)


def settings_of(f): return [p for name, p in inspect.signature(f).parameters.items()
                            if name != 'home']


KEEPERS = list(keepers())
SETTINGS = [pytest.param(f, p, id=f'{f.__name__}-{p.name}') for f in KEEPERS for p in
            settings_of(f)]
SEEDED = [f for f in KEEPERS if 'seed' in inspect.signature(f).parameters]


def test_they_are_found(): assert len(KEEPERS) >= 14 and len(SEEDED) >= 9


class Noted(Exception): "Nothing is made"


@pytest.mark.parametrize('f, setting', SETTINGS)
def test_each_setting_makes_another_model(f, setting, monkeypatch):
    asked = []
    def noted(name, build, make, home, **made_with):
        asked.append((name, made_with))
        raise Noted
    for module in {f.__module__, 'dlcourse.vision.embedder'}:
        if hasattr(import_module(module), 'trained_once'):
            monkeypatch.setattr(f'{module}.trained_once', noted)
    usual = setting.default
    other = OTHER[f.__name__] if isinstance(usual, str) else (usual or 0) + 1
    for value in (usual, other):
        with pytest.raises(Noted): f(**{setting.name: value})
    assert len(asked) == 2 and asked[0] != asked[1]


@pytest.fixture
def own_reviews(monkeypatch):
    "Twelve sentences and an encoder as it began, where the real ones would be downloaded"
    words = {w: n for n, w in enumerate('[PAD] [UNK] [CLS] [SEP] [MASK] a good bad film'.split())}
    lines = ['a good film', 'a bad film']*6, np.arange(12) % 2
    config = EncoderConfig(vocabulary=9, length=8, dim=8, heads=2, hidden=8, depth=1)
    monkeypatch.setattr(fine_tuning, 'reviews', lambda home: dict(train=lines, dev=lines))
    monkeypatch.setattr(fine_tuning, 'sentence_encoder',
                        lambda home: SentenceEncoder(Encoder(config), WordPieces(words)))


@pytest.mark.parametrize('f', SEEDED, ids=lambda f: f.__name__)
def test_two_seeds_are_two_models_and_each_is_made_once(f, tmp_path, monkeypatch, own_reviews):
    given = inspect.signature(f).parameters
    how = {name: value for name, value in SMALL.items() if name in given}
    (one, card), (two, told) = (f(tmp_path, **how, seed=seed) for seed in (0, 1))
    assert digest(one) != digest(two) and card.name != told.name
    monkeypatch.setattr(artefacts, 'keep_model', lambda *_: 1/0)
    assert [digest(f(tmp_path, **how, seed=seed)[0]) for seed in (0, 1)] == [digest(one),
                                                                              digest(two)]


@pytest.mark.parametrize('value', [-1, 1.5, '3', '../other', None, True])
def test_settings_are_whole_numbers(tmp_path, value):
    with pytest.raises(InputError, match='`steps` must be a whole number from 0 up'):
        trained_once('line', lambda: torch.nn.Linear(3, 2), None, tmp_path, steps=value)
    assert not list(tmp_path.iterdir())
