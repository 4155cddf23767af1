"Blood smears: read where they lie, whole or an error that names the file"
import io
import tarfile

import pytest
import torch
from PIL import Image

from dlcourse.core.errors import InputError
from dlcourse.vision.blood_cells import blood_cells, read_boxes, read_smear

CELL = ('<object><name>{}</name><bndbox><xmin>8</xmin><ymin>4</ymin><xmax>{}</xmax>'
        '<ymax>20</ymax></bndbox></object>')


def packed(home, **files):
    (home/'detection').mkdir(exist_ok=True)
    with tarfile.open(home/'detection'/'bccd.tar.gz', 'w:gz') as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(f'BCCD/{name}')
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


def some_files():
    picture = io.BytesIO()
    Image.new('RGB', (64, 48), (255, 0, 0)).save(picture, 'jpeg', quality=95)
    cells = '<a>' + CELL.format('Platelets', 24) + CELL.format('RBC', 8) + '</a>'
    return {'ImageSets/Main/train.txt': b'one\ntwo\n', 'JPEGImages/one.jpg': picture.getvalue(),
            'JPEGImages/two.jpg': picture.getvalue(), 'Annotations/one.xml': cells.encode(),
            'Annotations/two.xml': b'<a></a>'}


def test_pictures_and_boxes_are_reduced_together_and_flat_boxes_dropped(tmp_path):
    packed(tmp_path, **some_files())
    smears = blood_cells('train', 4, tmp_path)
    assert smears.images.shape == (2, 3, 12, 16) and smears.dropped == 1
    assert smears.images[:, 0].min() > .95 and smears.images[:, 1:].max() < .05
    assert smears.boxes[0, 0].tolist() == [2, 1, 6, 5]
    assert smears.labels.tolist() == [[2, -1], [-1]*2]
    assert (smears.boxes[smears.labels < 0] == 0).all() and torch.isfinite(smears.boxes).all()


def test_what_cannot_be_read_is_named(tmp_path):
    with pytest.raises(InputError, match="bccd.tar.gz` is not there. Get github.com/Shenggan"):
        blood_cells(home=tmp_path)
    with pytest.raises(InputError, match="`part` must be 'train', 'val' or 'test'"):
        blood_cells('all', home=tmp_path)
    packed(tmp_path, **some_files() | {'JPEGImages/two.jpg': b'\xff\xd8\xff'})
    with pytest.raises(InputError, match="`two.jpg` must be a JPEG"): blood_cells(home=tmp_path)
    packed(tmp_path, **some_files() | {'Annotations/one.xml': b'<a'})
    with pytest.raises(InputError, match="`one.xml` must be an annotation in XML"):
        blood_cells(home=tmp_path)
    (tmp_path/'detection'/'bccd.tar.gz').write_bytes(b'half')
    with pytest.raises(InputError, match="is not (a )?whole"): blood_cells(home=tmp_path)


def test_a_cell_of_no_kind_or_without_numbers_is_said():
    with pytest.raises(InputError, match="has a cell 'yeast'; there are: RBC, WBC, Platelets"):
        read_boxes(f"<a>{CELL.format('yeast', 9)}</a>".encode(), 'x.xml')
    for number in ('nan', 'inf', '1e999'):
        with pytest.raises(InputError, match="without four numbers"):
            read_boxes(f"<a>{CELL.format('RBC', number)}</a>".encode(), 'x.xml')
    with pytest.raises(InputError, match="without four numbers"):
        read_boxes(f"<a>{CELL.format('RBC', 'wide')}</a>".encode(), 'x.xml')
    with pytest.raises(InputError, match="`it` must be a JPEG"): read_smear(b'', 2)
