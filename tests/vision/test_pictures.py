"Pictures from files: every mode, one size, a folder of classes, and files that are none by name"
import numpy as np
import pytest
import torch
from PIL import Image

from dlcourse.core.errors import InputError
from dlcourse.vision import pictures
from dlcourse.vision.pictures import centre_crop, picture_folder, read_picture


def pixels(height=30, width=40, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize('mode', ['RGB', 'L', 'P', 'RGBA', 'CMYK', '1'])
def test_every_mode_comes_as_three_colours(tmp_path, mode):
    ending = 'jpg' if mode == 'CMYK' else 'png'
    Image.fromarray(pixels()).convert(mode).save(tmp_path/f'x.{ending}')
    x = read_picture(tmp_path/f'x.{ending}')
    assert x.shape == (3, 30, 40) and x.dtype == torch.uint8
    if mode in ('RGB', 'RGBA'): assert np.array_equal(x.permute(1, 2, 0), pixels())
    if mode == 'L': assert torch.equal(x[0], x[2])


def test_sixteen_bits_are_refused_and_not_cut_off(tmp_path):
    Image.fromarray(pixels()[..., 0].astype(np.uint16)*256).save(tmp_path/'x.png')
    with pytest.raises(InputError, match="x.png` cannot be read as a picture: it has more than 8"):
        read_picture(tmp_path/'x.png')


def test_a_picture_lies_as_its_camera_held_it(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6 # Turned by a quarter
    Image.fromarray(pixels()).save(tmp_path/'x.png', exif=exif)
    assert read_picture(str(tmp_path/'x.png')).shape == (3, 40, 30)


def whole_jpeg(tmp_path):
    Image.fromarray(pixels(200, 300)).save(tmp_path/'whole.jpg')
    return (tmp_path/'whole.jpg').read_bytes()


@pytest.mark.parametrize('broken', [
    lambda raw: raw[:len(raw)//2], lambda raw: raw[:20], lambda raw: b'', lambda raw: b'<html>'*9])
def test_a_corrupt_jpeg_in_a_folder_is_named(tmp_path, broken):
    raw = whole_jpeg(tmp_path)
    (tmp_path/'all'/'cat').mkdir(parents=True)
    (tmp_path/'all'/'cat'/'1.jpg').write_bytes(raw)
    (tmp_path/'all'/'cat'/'2.JPG').write_bytes(broken(raw))
    with pytest.raises(InputError) as e: picture_folder(tmp_path/'all', 8)
    path = tmp_path/'all'/'cat'/'2.JPG'
    assert str(e.value).startswith(f"`{path}` cannot be read as a picture: ")
    assert str(e.value).endswith("Replace it, or take it out of the folder")
    assert '\n' not in str(e.value)


def test_a_picture_that_is_too_large_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    whole_jpeg(tmp_path)
    monkeypatch.setattr(pictures, 'LARGEST_PICTURE', 200*300 - 1)
    with pytest.raises(InputError, match="300 × 200 pixels are too many"):
        read_picture(tmp_path/'whole.jpg')


def test_a_crop_is_the_middle_and_keeps_a_plain_colour():
    x = torch.zeros(3, 40, 80, dtype=torch.uint8)
    x[:, 10:30, 30:50] = 200
    assert (centre_crop(x, 20, .5) == 200).all()
    whole = centre_crop(x, 40, 1.)
    assert torch.equal(whole, x[:, :, 20:60])
    assert centre_crop(x[:1, :1, :1], 5).shape == (1, 5, 5) # One pixel is a square too
    flat = torch.full((3, 50, 33), 255, dtype=torch.uint8)
    assert (centre_crop(flat, 17) == 255).all()


def test_a_crop_is_pillows():
    x = torch.from_numpy(pixels(64, 64))
    their = Image.fromarray(x.numpy()).resize((24, 24), Image.Resampling.BICUBIC)
    ours = centre_crop(x.permute(2, 0, 1), 24, 1.).permute(1, 2, 0)
    assert (ours.int() - torch.from_numpy(np.array(their)).int()).abs().max() <= 1


@pytest.mark.parametrize('how, said', [
    ((torch.zeros(1, 3, 8, 8, dtype=torch.uint8),), "`picture` must be one picture"),
    ((torch.zeros(3, 0, 8, dtype=torch.uint8),), "`picture` must be one picture"),
    ((torch.zeros(3, 8, 8, dtype=torch.uint8), 0), "`side` must be a whole number from 1"),
    ((torch.zeros(3, 8, 8, dtype=torch.uint8), 8, 1.2), "`share` must be above 0, up to 1")])
def test_what_cannot_be_cropped_is_told(how, said):
    with pytest.raises(InputError, match=said): centre_crop(*how)


def test_folders_come_by_name_and_what_is_no_picture_by_name_is_left_out(tmp_path):
    for name, value in (('b', 10), ('a', 90), ('.hidden', 0)):
        (tmp_path/name).mkdir()
        for k in (1, 0): Image.new('RGB', (9, 9), (value + k,)*3).save(tmp_path/name/f'{k}.png')
    (tmp_path/'a'/'notes.txt').write_text('no picture')
    x, y, names = picture_folder(tmp_path, 4)
    assert names == ('a', 'b') and y.tolist() == [0, 0, 1, 1]
    assert x[:, 0, 0, 0].tolist() == [90, 91, 10, 11] and x.dtype == torch.uint8


def test_folders_that_hold_no_classes_are_told(tmp_path):
    with pytest.raises(InputError, match="must hold a folder of pictures for each class; it has"):
        picture_folder(tmp_path)
    (tmp_path/'empty').mkdir()
    with pytest.raises(InputError, match=r"empty` holds no picture \(.jpg, .jpeg, .png\)"):
        picture_folder(tmp_path)
    with pytest.raises(InputError, match="is no folder; check the name"):
        picture_folder(tmp_path/'none')
