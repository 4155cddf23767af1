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
        with pytest.raises(InputError, match='is not a whole tar archive'): read_cifar(bad)


def binary(*labels):
    "Rows as the authors publish them: a label, then red, green, blue; red is 10 times the label"
    return b''.join(bytes([k]) + bytes([10*k])*1024 + bytes([1])*1024 + bytes(range(256))*4
                    for k in labels)


def test_the_binary_version_is_read_from_a_folder_and_from_an_archive(tmp_path):
    top = tmp_path/'cifar-10-batches-bin'
    top.mkdir()
    for name, labels in (('data_batch_1', (3, 0)), ('data_batch_2', (0, 9)), ('test_batch', (9,))):
        (top/f'{name}.bin').write_bytes(binary(*labels))
    (top/'batches.meta.txt').write_text('airplane')
    with tarfile.open(tmp_path/'cifar-10-binary.tar.gz', 'w:gz') as archive:
        archive.add(top, top.name)
    for path in (top, tmp_path, tmp_path/'cifar-10-binary.tar.gz'):
        data = read_cifar(path)
        assert data['train'][1].tolist() == [0, 0, 1, 2] and data['test'][1].tolist() == [2]
        x = data['train'][0]
        assert x.shape == (4, 32, 32, 3) and x[:, 7, 7, 0].tolist() == [0, 0, 30, 90]
        assert (x[..., 1] == 1).all() and x[0, 0, :, 2].tolist() == [*range(32)]
        assert len(read_cifar(path, 1)['train'][1]) == 3


def test_a_binary_file_that_is_not_whole_and_a_pickle_are_refused(tmp_path):
    (tmp_path/'test_batch.bin').write_bytes(binary(0))
    for raw in (binary(0, 1)[:-1], b'', binary(1)[:100], binary(0) + b'\n' + binary(0)[1:]):
        (tmp_path/'data_batch_1.bin').write_bytes(raw)
        with pytest.raises(InputError, match='data_batch_1.bin.*rows of 3,073'):
            read_cifar(tmp_path)
    (tmp_path/'data_batch_1.bin').unlink()
    with pytest.raises(InputError, match='data_batch_1.bin'): read_cifar(tmp_path)
    (tmp_path/'data_batch_1').write_bytes(b'\x80\x04.')
    with pytest.raises(InputError, match='is a pickle.*cifar-10-binary.tar.gz'):
        read_cifar(tmp_path)


@pytest.mark.parametrize('kind', ['gz', 'xz', 'bz2'])
def test_an_archive_with_a_wrong_byte_is_refused(folder, tmp_path, kind):
    packed = tmp_path/f'packed.tar.{kind}'
    with tarfile.open(packed, f'w:{kind}') as archive:
        for part in ('train', 'test'): archive.add(folder/part, part)
    raw = bytearray(packed.read_bytes())
    for i in range(len(raw)//2, len(raw)//2 + 20): raw[i] ^= 0x55
    packed.write_bytes(raw)
    with pytest.raises(InputError): read_cifar(packed)


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
