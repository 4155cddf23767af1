"Omniglot: each picture once, runs from their lists, and broken archives named"
import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from dlcourse.core.cards import card
from dlcourse.core.datasets import load
from dlcourse.core.downloads import is_here
from dlcourse.core.errors import InputError
from dlcourse.vision.omniglot import read_characters, read_runs, shrunk


def png(dark, side=105):
    points = np.ones((side, side), bool)
    points[:dark] = False
    out = io.BytesIO()
    Image.fromarray(points).save(out, 'png')
    return out.getvalue()


def archive(path, files):
    with zipfile.ZipFile(path, 'w') as z:
        for name, data in files.items(): z.writestr(name, data)
    return path


def test_a_picture_in_two_archives_is_read_once(tmp_path):
    one = archive(tmp_path/'one.zip', {'one/Greek/character01/0394_07.png': png(3),
                                       'one/Latin/character02/0684_20.png': png(5)})
    two = archive(tmp_path/'two.zip', {'two/Greek/character01/0394_07.png': png(3),
                                       'two/readme.txt': b'', 'two/Greek/character01/': b''})
    d = read_characters([one, two])
    assert d['characters'].tolist() == ['Greek/character01', 'Latin/character02']
    assert d['alphabets'].tolist() == ['Greek', 'Latin'] and d['drawers'].tolist() == [6, 19]
    assert d['images'].sum((1, 2)).tolist() == [3*105, 5*105] and d['images'].max() == 1


def test_what_is_broken_is_named(tmp_path):
    name = 'a/Greek/character01/0394_01.png'
    for data, told in ((b'?', 'no readable picture a/Greek.*UnidentifiedImageError'),
                       (png(1, 20), r'of shape \(20, 20\); expected 105')):
        with pytest.raises(InputError, match=told):
            read_characters([archive(tmp_path/'x.zip', {name: data})])
    (tmp_path/'torn.zip').write_bytes(b'PK no')
    for f in (lambda p: read_characters([p]), read_runs):
        with pytest.raises(InputError, match='torn.zip` is no zip archive.*downloaded again'):
            f(tmp_path/'torn.zip')
        with pytest.raises(InputError, match='holds no'):
            f(archive(tmp_path/'empty.zip', {'a.txt': b''}))


def test_a_run_is_read_from_its_list(tmp_path):
    lines = 'r/test/item1.png r/training/class2.png\nr/test/item2.png r/training/class1.png\n'
    files = {f'r/{part}{i}.png': png(10*i + k) for k, part in enumerate(('test/item',
             'training/class')) for i in (1, 2)}
    run = read_runs(archive(tmp_path/'runs.zip', files | {'r/class_labels.txt': lines}))
    assert run['answers'].tolist() == [[1, 0]]
    assert run['known'][0, :, :, 0].sum(1).tolist() == [11, 21]
    assert run['asked'][0, :, :, 0].sum(1).tolist() == [10, 20]


def test_shrinking_keeps_the_ink():
    x = np.zeros((2, 3, 105, 105), np.uint8)
    x[..., :21, :] = 1
    small = shrunk(x, 5)
    assert small.shape == (6, 1, 5, 5)
    assert small[:, 0, 0].eq(1).all() and small.mean() == pytest.approx(.2)


@pytest.mark.skipif(not is_here(card('omniglot')), reason='omniglot is not in the data home')
def test_the_whole():
    d = load('omniglot')
    assert d['images'].shape == (4840, 105, 105) and len(set(d['characters'])) == 242
    assert len(set(d['alphabets'])) == 8
    assert d['runs']['known'].shape == d['runs']['asked'].shape == (20, 20, 105, 105)
    for run in d['runs']['answers']: assert sorted(run) == list(range(20))
