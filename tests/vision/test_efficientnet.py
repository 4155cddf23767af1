"EfficientNet-Lite0: counted, of any size, with weights that go in whole and are kept"
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from sklearn.datasets import load_sample_image
from torch import nn

from dlcourse.core.cards import card
from dlcourse.core.datasets import load
from dlcourse.core.downloads import is_here
from dlcourse.core.errors import InputError
from dlcourse.core.pretrained import fit_weights, load_weights
from dlcourse.vision.architectures import parameters_of
from dlcourse.vision.efficientnet import (
    LITE_NAMES,
    EfficientNetLite,
    LiteConfig,
    MBConv,
    SameConv2d,
    as_trained,
    lite0,
)
from dlcourse.vision.pictures import centre_crop

SMALL = LiteConfig(stages=((1, 3, 1, 1, 4), (2, 5, 2, 2, 6)), stem=4, top=8, classes=3)


@pytest.fixture
def weights():
    if not is_here(card('efficientnet-lite0')):
        pytest.skip("`efficientnet-lite0` is not in the data home; set DLCOURSE_DATA")
    return load_weights('efficientnet-lite0')


def test_names_come_along_a_thousand_different_ones(tmp_path):
    names = load('imagenet_names', tmp_path).splitlines()
    assert len(set(names)) == len(names) == card('imagenet_names').rows == 1000
    assert (names[0], names[698], names[985], names[999]) == (
        'tench', 'palace', 'daisy', 'toilet tissue')
    assert not list(tmp_path.iterdir())


def photographs():
    files = [load_sample_image(name) for name in ('china.jpg', 'flower.jpg')]
    return torch.stack([centre_crop(torch.from_numpy(f.copy()).permute(2, 0, 1)) for f in files])


def test_parameters_are_those_published():
    assert parameters_of(EfficientNetLite) == 4_652_008
    with torch.device('meta'): assert len(EfficientNetLite().state_dict()) == 296


@pytest.mark.parametrize('side', [1, 2, 33, 64])
def test_any_size_goes_through(side):
    assert EfficientNetLite(SMALL).eval()(torch.zeros(2, 3, side, side + 6)).shape == (2, 3)


def test_every_parameter_gets_a_gradient():
    torch.manual_seed(0)
    model = EfficientNetLite(SMALL)
    model(torch.randn(4, 3, 20, 20)).square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in model.parameters())


@pytest.mark.parametrize('n, k, s, pads', [
    (8, 3, 2, (0, 1)), (9, 3, 2, (1, 1)), (8, 5, 2, (1, 2)), (8, 3, 1, (1, 1)), (7, 1, 2, (0, 0)),
    (8, 2, 3, (0, 0))])
def test_padding_is_tensorflows(n, k, s, pads):
    conv, x = SameConv2d(1, 1, k, s), torch.randn(1, 1, n, n + 4)
    more = max((-(-(n + 4)//s) - 1)*s + k - n - 4, 0)
    want = F.conv2d(F.pad(x, (more//2, more - more//2, *pads)), conv.weight, conv.bias, s)
    torch.testing.assert_close(conv(x), want)
    assert conv(x).shape[2:] == (-(-n//s), -(-(n + 4)//s))


def test_only_blocks_of_one_shape_add_what_came_in():
    x = torch.randn(2, 4, 6, 6)
    for block, adds in ((MBConv(4, 4, 3), True), (MBConv(4, 4, 3, 2), False),
                        (MBConv(4, 5, 3), False)):
        nn.init.zeros_(block.project[1].weight)
        out = block(x)
        assert torch.equal(out, x) if adds else not out.any()


def test_the_stem_of_all_blocks_can_be_read():
    model, x = EfficientNetLite(SMALL).eval(), torch.randn(1, 3, 16, 16)
    assert model.features(x, 0).shape == (1, 4, 8, 8)
    assert model.features(x, 3).shape == (1, 6, 4, 4)
    assert model.features(x).shape == (1, 8, 4, 4)


def test_images_of_other_channels_are_told():
    for f in (EfficientNetLite(SMALL), as_trained):
        with pytest.raises(InputError, match="`x` must have 3 channels, got 1; convert the images"):
            f(torch.zeros(1, 1, 32, 32))


def test_the_reference_package_gives_the_same_and_both_name_the_photographs(weights):
    package = pytest.importorskip('efficientnet_lite_pytorch')
    theirs = package.EfficientNet.from_name('efficientnet-lite0')
    theirs.load_state_dict(weights)
    ours = EfficientNetLite()
    assert fit_weights(ours, weights, LITE_NAMES).whole
    x = as_trained(photographs()).requires_grad_()
    pulls, scores = [], []
    for model in (ours.eval(), theirs.eval()):
        scores.append(model(x))
        pulls.append(torch.autograd.grad(scores[-1].square().mean(), x)[0])
    torch.testing.assert_close(*scores, atol=1e-4, rtol=0)
    torch.testing.assert_close(*pulls, atol=1e-4, rtol=1e-3)
    shares, names = scores[0].softmax(1), load('imagenet_names').splitlines()
    assert [names[i] for i in shares.argmax(1)] == ['palace', 'daisy']
    assert shares[0].max().item() == pytest.approx(.36, abs=.02)


def test_weights_are_kept_as_safetensors_and_a_changed_file_is_refused(weights, tmp_path):
    origin = card('efficientnet-lite0').files[0].path
    there = tmp_path/'models'/'efficientnet-lite0'
    there.mkdir(parents=True)
    from dlcourse.core.settings import settings
    source = Path(settings().data_home)/'models'/'efficientnet-lite0'/origin
    (there/origin).symlink_to(source)
    first = lite0(tmp_path)
    kept = tmp_path/'trained'/'efficientnet-lite0'/'model.safetensors'
    assert kept.is_file()
    (there/origin).unlink() # What is kept is enough
    again = lite0(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(),
                                                 again.state_dict().values(), strict=True))
    assert not again.training
    kept.write_bytes(kept.read_bytes()[:-1] + b'x')
    with pytest.raises(InputError, match=r"model.safetensors` is not the file of its card"):
        lite0(tmp_path)


def test_without_the_file_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr('dlcourse.core.downloads._download', lambda c, *a: (_ for _ in ()).throw(
        InputError(f"`{c.name}` could not be downloaded")))
    with pytest.raises(InputError, match="efficientnet-lite0"): lite0(tmp_path)
