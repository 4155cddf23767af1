"The embedder: sizes, batches, training from its seed alone, an artefact that is whole or refused"
import numpy as np
import pytest
import torch

from dlcourse.core.errors import InputError
from dlcourse.training.checkpoints import digest
from dlcourse.vision.embedder import (
    Embedder,
    EmbedderConfig,
    balanced_rows,
    embed,
    kept_embedder,
    train_embedder,
)

SMALL = EmbedderConfig(side=8, width=4, blocks=2, dim=3)
X, WHO = torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(0)), np.arange(12)//3


def loss(e, identity):
    same = (identity[:, None] == identity).float()
    return ((e @ e.T) - same).square().mean()


def test_embeddings_have_length_one_and_other_images_are_refused():
    model = Embedder(SMALL).eval()
    assert np.allclose(np.linalg.norm(embed(model, X, block=5), axis=1), 1, atol=1e-5)
    large = Embedder(EmbedderConfig(side=28, blocks=3, width=4))
    assert embed(large, torch.rand(1, 1, 28, 28)).shape == (1, 32)
    with pytest.raises(InputError, match='`x` must have 1 channels, got 3'):
        model(torch.zeros(1, 3, 8, 8))
    with pytest.raises(InputError, match=r'`x` must have 8 rows and columns, got \(8, 9\)'):
        model(torch.zeros(1, 1, 8, 9))
    with pytest.raises(InputError, match=r'`side` must be 2\*\*blocks or more'):
        EmbedderConfig(side=3, blocks=2)


def test_a_batch_has_several_images_of_each_of_its_identities():
    who = torch.tensor([0]*2 + [1]*5 + [2]*5)
    rows = balanced_rows(who, 2, 3, torch.Generator().manual_seed(1))
    counts = torch.bincount(who[rows], minlength=3).tolist()
    assert len(set(rows.tolist())) == len(rows) and sorted(counts) in ([0, 2, 3], [0, 3, 3])


def test_training_depends_on_its_seed_alone():
    state = torch.get_rng_state()
    one, again, other = (train_embedder(X, WHO, loss, SMALL, seed, steps=3) for seed in (1, 1, 2))
    assert digest(one) == digest(again) != digest(other)
    assert torch.equal(state, torch.get_rng_state())
    with pytest.raises(InputError, match='has a single image'):
        train_embedder(X[:4], WHO[:4], loss, SMALL)


def test_what_a_loss_holds_is_learnt_too():
    class Own(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.w = torch.nn.Parameter(torch.ones(3))
        def forward(self, e, identity): return (e @ self.w).mean()
    own = Own()
    train_embedder(X, WHO, own, SMALL, steps=2)
    assert not torch.equal(own.w, torch.ones(3))


def test_an_artefact_is_made_once_and_a_changed_file_is_refused(tmp_path):
    calls = []
    def make():
        calls.append(1)
        return Embedder(SMALL), dict(title='T', source='here', claim='none')
    one, card = kept_embedder('trial', SMALL, make, tmp_path)
    two, _ = kept_embedder('trial', SMALL, make, tmp_path)
    assert digest(one) == digest(two) and calls == [1] and card.title == 'T'
    path = tmp_path/'trained'/'trial'/'model.safetensors'
    path.write_bytes(path.read_bytes()[:-1] + b'x')
    with pytest.raises(InputError, match='is not the file of its card.*delete'):
        kept_embedder('trial', SMALL, make, tmp_path)
    path.unlink()
    with pytest.raises(InputError, match='it is not there; delete'):
        kept_embedder('trial', SMALL, make, tmp_path)
