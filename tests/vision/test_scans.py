"Scans depend on their seed alone; pictures of membranes are read whole or refused by name"
import io
import tarfile
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import label

from dlcourse.core.cards import card
from dlcourse.core.downloads import data_folder, is_here
from dlcourse.core.errors import InputError
from dlcourse.core.random import seed_everything
from dlcourse.vision.scans import make_scans, membranes, read_masks, unpacked


def test_the_seed_alone_decides():
    one = make_scans(6, 3)
    seed_everything(9)
    again, other = make_scans(6, 3), make_scans(6, 4)
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    assert not torch.equal(one.images, other.images)
    assert one.images.shape == (6, 1, 64, 64) and one.images.isfinite().all()


def test_lesions_are_numbered_from_one_and_hang_apart():
    scans = make_scans(30, 0)
    for lesions in scans.lesions.numpy():
        numbers = np.unique(lesions)
        assert numbers.tolist() == list(range(lesions.max() + 1))
        for k in numbers[1:]: # None touches another
            grown = label(lesions > 0, np.ones((3, 3)))[0]
            assert set(lesions[np.isin(grown, grown[lesions == k])]) - {0} == {k}
    assert torch.equal(scans.masks, scans.lesions > 0)


def test_scanners_and_empty_scans_as_asked():
    assert (make_scans(5, 0, scanner=1).scanner == 1).all()
    assert not make_scans(3, 0, empty=1.).masks.any()
    assert make_scans(8, 0, empty=0.).masks.flatten(1).any(1).all()
    noise = [make_scans(8, 0, scanner=k).images.diff(dim=-1).abs().median() for k in (0, 1)]
    assert noise[1] > noise[0]


@pytest.mark.parametrize('how, told', [
    (dict(n=0), '`n` must be a whole number from 1'), (dict(n=1, size=8), '`size` must be'),
    (dict(n=1, scanner=2), '`scanner` must be'), (dict(n=1, empty=1.5), '`empty` must be')])
def test_odd_numbers_are_told(how, told):
    with pytest.raises(InputError, match=told): make_scans(**how)


def png(values):
    out = io.BytesIO()
    Image.fromarray(np.asarray(values, 'uint8')).save(out, 'png')
    return out.getvalue()


def small_card(pictures):
    "The card of membranes, with these files instead"
    c = card('membranes')
    files = [replace(c.files[0], path=f'image/{k}.png', holds='images', size=len(data),
                     sha256=sha256(data).hexdigest()) for k, data in enumerate(pictures)]
    return replace(c, files=tuple(files))


def test_a_damaged_picture_and_one_of_another_size_are_named():
    good = png(np.eye(4)*255)
    c = small_card([good, good[:40]])
    with pytest.raises(InputError, match="`image/1.png` cannot be read as a picture.*again"):
        read_masks(c, {'image/0.png': good, 'image/1.png': good[:40]})
    with pytest.raises(InputError, match=r"`image/1.png` has \(5, 5\) pixels, the first"):
        read_masks(c, {'image/0.png': good, 'image/1.png': png(np.eye(5))})


def test_an_archive_is_verified_file_by_file(tmp_path):
    pictures = [png(np.eye(4)*255), png(np.ones((4, 4)))]
    c, path = small_card(pictures), tmp_path/'all.tar.gz'
    with tarfile.open(path, 'w:gz') as out:
        for k, data in enumerate(pictures):
            info = tarfile.TarInfo(f'membrane/train/image/{k}.png')
            info.size = len(data)
            out.addfile(info, io.BytesIO(data))
    found = read_masks(c, unpacked(c, path))
    assert found['images'].shape == (2, 4, 4) and found['images'][0, 0, 0] == 255
    odd = replace(c, files=(c.files[0], replace(c.files[1], sha256='0'*64)))
    with pytest.raises(InputError, match="has no image/1.png as on the card of membranes"):
        unpacked(odd, path)
    path.write_bytes(path.read_bytes()[:90])
    with pytest.raises(InputError, match="all.tar.gz. (is not a whole tar|has no image)"):
        unpacked(c, path)


def test_the_real_membranes_are_as_their_card_says():
    c = card('membranes')
    if not (is_here(c) or (data_folder(c)/'membrane.tar.gz').is_file()):
        pytest.skip('the membranes are not in the data home')
    x, y = membranes()
    assert x.shape == y.shape == (30, 512, 512) and 0 <= x.min() < x.max() <= 1
    assert abs(y.mean() - .22) < .001 and x[y].mean() < x[~y].mean()
