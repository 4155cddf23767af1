"The CIFAR-10 benchmark at small shapes: whitening whitens, kernels turn, a small run learns"
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2]/'benchmarks'))

from cifar10 import (
    PEER_ROW,
    Kernels,
    Net,
    Trials,
    moved,
    read_cifar,
    scores_of,
    stand_in,
    standardized,
    whiten_,
)

from dlcourse.core.errors import InputError

CPU = torch.device('cpu')


def striped(n, seed=0):
    "Pictures of two classes, stripes across or down, and their labels"
    rng = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 2
    wave = (torch.arange(32) % 8 < 4).float()*150
    down = wave.view(1, 32, 1, 1).expand(n, 32, 32, 3)
    x = torch.where(y.view(-1, 1, 1, 1) == 0, down, down.transpose(1, 2))
    return (x + 100*torch.rand(x.shape, generator=rng)).byte(), y


def test_a_small_run_learns_on_the_processor():
    data = {'train': striped(64), 'test': striped(20, seed=1)}
    trials = Trials(data, CPU, widths=(8, 8, 8), batch_size=16, epochs=3, whitened=1)
    right, seconds = trials.run(0)
    assert right >= .9 and seconds > 0
    assert trials.run(0)[0] == right


def test_whitened_patches_are_uncorrelated_and_of_variance_one():
    x, net = torch.randn(40, 3, 9, 9).cumsum(-1), Net((4, 4, 4))
    whiten_(net.whiten, x, eps=0)
    net.whiten.bias.data.zero_()
    with torch.no_grad(): out = net.whiten(x)[:, :12].transpose(0, 1).flatten(1)
    torch.testing.assert_close(out @ out.T/out.shape[1], torch.eye(12), atol=1e-3, rtol=0)


def test_a_step_of_kernels_is_orthogonal_and_keeps_the_norm():
    p = torch.nn.Parameter(torch.randn(6, 2, 3, 3))
    before = p.detach()*6**.5/p.detach().norm()
    p.grad = torch.randn_like(p)
    Kernels([p]).step(.5)
    step = ((before - p.detach())/.12).flatten(1)
    spread = torch.linalg.svdvals(step)
    assert spread.min() > .3 and spread.max() < 1.6 # Three steps of the polynomial: about one


def test_pictures_move_by_two_pixels_at_most_and_views_are_six():
    x = torch.arange(32.).view(1, 1, 1, 32).expand(200, 3, 32, 32).contiguous()
    by = moved(x)[:, 0, 16, 16] - 16
    assert sorted(set(by.tolist())) == [-2, -1, 0, 1, 2]
    seen = []
    class Spy(torch.nn.Module):
        def forward(self, x): seen.append(x); return x.mean((2, 3))
    scores = scores_of(Spy(), x[:4])
    assert len(seen) == 6 and scores.shape == (4, 3)


def test_archives_and_folders_are_read_alike_and_a_corrupt_picture_is_named(tmp_path):
    top = tmp_path/'cifar'
    for part, label in (('train', 'cat'), ('train', 'dog'), ('test', 'cat')):
        (top/part/label).mkdir(parents=True)
        pixels = np.full((32, 32, 3), 200 if label == 'dog' else 20, np.uint8)
        Image.fromarray(pixels).save(top/part/label/'0.jpg')
    with tarfile.open(tmp_path/'c.tar.xz', 'w:xz') as archive: archive.add(top, 'cifar')
    for path in (top, tmp_path/'c.tar.xz'):
        data = read_cifar(path)
        assert data['train'][1].tolist() == [0, 1] and data['test'][0].shape == (1, 32, 32, 3)
    assert standardized(data['train'][0], CPU, torch.float32).shape == (2, 3, 32, 32)
    (top/'train'/'dog'/'1.jpg').write_bytes(b'half a picture')
    with pytest.raises(InputError, match="`train/dog/1.jpg` in .* cannot be read as a picture"):
        read_cifar(top)
    with pytest.raises(InputError, match="is not there; give the archive or the folder"):
        read_cifar(tmp_path/'none')


def test_the_peers_last_rows_are_understood(tmp_path, monkeypatch):
    import re
    line = '|         |    eval  |     0.9750  |   0.9372  |       0.9405  |        2.5912  |'
    assert re.search(PEER_ROW, line).groups() == ('0.9405', '2.5912')
    assert not re.search(PEER_ROW, line.replace('eval', '   7'))
    stand_in(tmp_path)
    scope = {}
    exec((tmp_path/'torchvision'/'transforms.py').read_text(), scope)
    x = torch.rand(2, 3, 4, 4)
    scaled = scope['Normalize'](torch.tensor([.5, .4, .3]), torch.tensor([.1, .2, .3]))(x)
    torch.testing.assert_close(scaled[:, 1], (x[:, 1] - .4)/.2)
