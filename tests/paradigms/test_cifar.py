"CIFAR-10 as files: what is read, and what is named where it is none"
import tarfile
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from dlcourse.core.errors import InputError
from dlcourse.paradigms.cifar import cifar_home, enlarged, lite_maps, read_cifar
from dlcourse.vision.efficientnet import EfficientNetLite, LiteConfig


def jpeg(value):
    raw = BytesIO()
    Image.fromarray(np.full((32, 32, 3), value, np.uint8)).save(raw, 'jpeg')
    return raw.getvalue()


@pytest.fixture
def folder(tmp_path):
    for part, n in (('train', 3), ('test', 2)):
        for k, name in enumerate(('cat', 'dog')):
            (tmp_path/part/name).mkdir(parents=True)
            for i in range(n): (tmp_path/part/name/f'{i}.jpg').write_bytes(jpeg(100*k + 10*i))
    return tmp_path


def test_a_folder_is_read_class_by_class(folder):
    data = read_cifar(folder)
    assert [len(data[p][1]) for p in ('train', 'test')] == [6, 4]
    assert data['train'][1].tolist() == [0, 0, 0, 1, 1, 1]
    assert data['train'][0][:, 5, 5, 0].tolist() == pytest.approx([0, 10, 20, 100, 110, 120], abs=2)


def test_a_few_of_each(folder):
    data = read_cifar(folder, 2)
    assert data['train'][1].tolist() == [0, 0, 1, 1]
    assert data['train'][0].dtype == torch.uint8


def test_what_is_no_picture_and_what_is_not_there(folder, tmp_path):
    with pytest.raises(InputError, match='is not there'): read_cifar(tmp_path/'none')
    (folder/'train'/'cat'/'0.jpg').write_bytes(b'no picture')
    with pytest.raises(InputError, match='train/cat/0.jpg.*cannot be read'): read_cifar(folder)
    with pytest.raises(InputError, match='`of_each`'): read_cifar(folder, 0)
    empty = tmp_path/'empty'
    empty.mkdir()
    with pytest.raises(InputError, match='must hold train/CLASS'): read_cifar(empty)


def test_archives_that_are_none(folder, tmp_path):
    packed = tmp_path/'packed.tar'
    def pack(*extra):
        with tarfile.open(packed, 'w') as archive:
            for part in ('train', 'test'): archive.add(folder/part, part)
            for name in extra: archive.add(folder/'train'/'cat'/'0.jpg', name)
            held = tarfile.TarInfo('train/cat/q.jpg')
            held.type = tarfile.DIRTYPE
            archive.addfile(held)
    pack()
    assert len(read_cifar(str(packed))['test'][1]) == 4
    for extra in ('x.jpg', 'a/x.jpg', 'test/cow/x.jpg'):
        pack(extra)
        with pytest.raises(InputError, match='must hold train/CLASS'): read_cifar(packed)
    short = tmp_path/'short.tar.xz'
    with tarfile.open(short, 'w:xz') as archive: archive.add(folder/'train', 'train')
    short.write_bytes(short.read_bytes()[:-100])
    packed.write_bytes(b'no archive')
    for bad in (short, packed):
        with pytest.raises(InputError, match='cannot be read as an archive'): read_cifar(bad)


def test_where_the_pictures_lie(folder, tmp_path):
    assert cifar_home(tmp_path/'nothing') is None
    folder.rename(tmp_path.parent/'cifar10_jpg')
    assert cifar_home(tmp_path.parent) == tmp_path.parent/'cifar10_jpg'


def test_pictures_of_one_colour_stay_so():
    x = torch.full((2, 32, 32, 3), 255, dtype=torch.uint8)
    assert enlarged(x, 64).shape == (2, 3, 64, 64)
    torch.testing.assert_close(enlarged(x, 64), torch.ones(2, 3, 64, 64))


def test_blocks_of_pictures_change_nothing():
    net = EfficientNetLite(LiteConfig(stages=((1, 3, 1, 1, 4), (1, 3, 2, 2, 6)), stem=4, top=8))
    x = torch.randint(256, (5, 32, 32, 3), dtype=torch.uint8)
    torch.testing.assert_close(lite_maps(net.eval(), x, 2, 48, block=2), lite_maps(net, x, 2, 48))
