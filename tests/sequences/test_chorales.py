"Rolls read and refused, filled up, moved; the loss against a loop; the real file where it is"
import numpy as np
import pytest
import torch
from scipy.io import savemat

from dlcourse.core.cards import card
from dlcourse.core.datasets import load
from dlcourse.core.downloads import is_here
from dlcourse.core.errors import InputError
from dlcourse.sequences.chorales import (
    KEYS,
    ChordNet,
    chord_nll,
    padded_rolls,
    read_rolls,
    transposed,
)


def rolls(n, seed=0):
    rng = np.random.default_rng(seed)
    return [(rng.random((int(rng.integers(2, 9)), KEYS)) < .05).astype(np.uint8) for _ in range(n)]


def cells(found):
    made = np.empty((1, len(found)), object)
    for i, roll in enumerate(found): made[0, i] = roll
    return made


def read(path): return read_rolls(card('jsb_chorales'), {'JSB_Chorales.mat': path})


def kept(tmp_path, **parts):
    path = tmp_path/'JSB_Chorales.mat'
    savemat(path, {name: cells(found) for name, found in parts.items()})
    return path


def test_rolls_come_back_as_they_were(tmp_path):
    wanted = {'traindata': rolls(3), 'validdata': rolls(2, 1), 'testdata': rolls(2, 2)}
    got = read(kept(tmp_path, **wanted))
    assert list(got) == ['train', 'valid', 'test']
    for ours, theirs in zip(got.values(), wanted.values(), strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert np.array_equal(a, b) and a.dtype == 'uint8'


def test_other_files_are_refused(tmp_path):
    path = tmp_path/'x.mat'
    path.write_bytes(b'not a file of MATLAB at all, but long enough to be looked at'*9)
    with pytest.raises(InputError, match='is no MATLAB file .* downloaded again'): read(path)
    path.write_bytes(b'')
    with pytest.raises(InputError, match='is no MATLAB file'): read(path)
    with pytest.raises(InputError, match='lacks validdata, testdata'):
        read(kept(tmp_path, traindata=rolls(2)))


@pytest.mark.parametrize('odd, says', [
    (np.zeros((4, 87), np.uint8), 'expected steps by 88 keys'),
    (np.full((4, KEYS), 2, np.uint8), 'neither 0 nor 1'),
    (np.full((4, KEYS), np.nan), 'neither 0 nor 1'),
])
def test_rolls_of_another_kind_are_refused(tmp_path, odd, says):
    path = kept(tmp_path, traindata=[*rolls(1), odd], validdata=rolls(2), testdata=rolls(2))
    with pytest.raises(InputError, match=says): read(path)


def test_the_loss_is_a_loop_and_padding_takes_no_part():
    found = rolls(4)
    x, lengths = padded_rolls(found)
    logits = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    terms = []
    for b, roll in enumerate(found):
        for t in range(1, len(roll)):
            p, y = torch.sigmoid(logits[b, t - 1]).double(), torch.tensor(roll[t]).double()
            terms.append(-(y*p.log() + (1 - y)*(1 - p).log()).sum())
    assert chord_nll(logits, x, lengths).item() == pytest.approx(torch.stack(terms).mean().item(),
                                                                 rel=1e-5)
    logits[torch.arange(x.shape[1]) >= (lengths - 1)[:, None]] = 99.
    assert chord_nll(logits, x, lengths).item() == pytest.approx(torch.stack(terms).mean().item(),
                                                                 rel=1e-5)


def test_music_is_moved_whole_or_not_at_all():
    roll = np.zeros((3, KEYS), np.uint8)
    roll[0, 10] = roll[1, 85] = 1
    up = transposed(roll, 2)
    assert up[0, 12] == up[1, 87] == 1 and up.sum() == 2
    assert np.array_equal(transposed(up, -2), roll) and np.array_equal(transposed(roll, 0), roll)
    assert np.array_equal(transposed(roll, 3), roll) and np.array_equal(transposed(roll, -11), roll)


def test_a_chord_is_said_from_what_came_before():
    torch.manual_seed(0)
    model, (x, _) = ChordNet(16).eval(), padded_rolls(rolls(2))
    later = x.clone()
    later[:, 2:] = 1 - later[:, 2:]
    assert torch.equal(model(x)[:, :2], model(later)[:, :2])


@pytest.mark.skipif(not is_here(card('jsb_chorales')), reason='the chorales are not here')
def test_the_real_chorales():
    music = load('jsb_chorales')
    assert [len(part) for part in music.values()] == [229, 76, 77]
    sounding = np.concatenate(music['train']).sum(1)
    assert np.median(sounding) == 4


@pytest.mark.parametrize('semitones', [-100, -88, 88, 100])
def test_music_that_would_leave_the_piano_stays(semitones):
    roll = np.zeros((2, KEYS), np.uint8)
    roll[:, 40] = 1
    assert np.array_equal(transposed(roll, semitones), roll)


def test_a_loss_without_numbers_is_refused_and_what_is_behind_the_end_is_not_read():
    logits, rolled = torch.randn(2, 4, KEYS), torch.zeros(2, 4, KEYS)
    want = chord_nll(logits, rolled, torch.tensor([4, 2]))
    logits[1, 2:] = np.nan
    assert chord_nll(logits, rolled, torch.tensor([4, 2])) == want
    with pytest.raises(InputError, match="`lengths` must be 2 or more"):
        chord_nll(logits, rolled, torch.tensor([1, 1]))
    with pytest.raises(InputError, match='`lengths` .* at most 4, the steps of `rolls`'):
        chord_nll(logits, rolled, torch.tensor([4, 9]))
    with pytest.raises(InputError, match="`rolls` must hold a roll or more"): padded_rolls([])
