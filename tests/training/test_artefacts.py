"A trained artefact is made once, loaded from then on, and refused where it was changed"
import pytest
import torch

from dlcourse.core.cards import read_card
from dlcourse.core.errors import InputError
from dlcourse.training.artefacts import trained_once


def test_made_once_then_loaded_and_a_changed_or_lost_file_is_refused(tmp_path):
    made = []
    def make():
        made.append(torch.nn.Linear(3, 2))
        return made[-1], dict(title='A "line"', summary='Two\nlines, café', source='here',
                              not_for=['much'], results={'nothing': 'nobody'})
    def asked(): return trained_once('line', torch.nn.Linear(3, 2), make, tmp_path)
    (first, card), (again, _) = asked(), asked()
    assert len(made) == 1 and torch.equal(first.weight, again.weight)
    assert torch.equal(first.weight, made[0].weight) and not first.training
    assert (card.title, card.summary, card.rows) == ('A "line"', 'Two\nlines, café', 8)
    folder = tmp_path/'trained'/'line'
    assert read_card(folder/'card.toml').results[0].claim == 'nothing'
    path = folder/'model.safetensors'
    path.write_bytes(path.read_bytes()[:-1] + b'x')
    with pytest.raises(InputError, match="is not the file of its card.*; delete the folder"):
        asked()
    path.unlink()
    with pytest.raises(InputError, match="it is not there; delete the folder"): asked()
