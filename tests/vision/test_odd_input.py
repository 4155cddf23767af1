"What part 05 does with odd input: an error that names it, or a defined result"
import os
import signal
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from dlcourse.core.errors import InputError
from dlcourse.vision import (
    architectures,
    blood_cells,
    classics,
    convolution,
    detection,
    detector,
    digit_reader,
    efficientnet,
    embedder,
    masks,
    matching,
    moving_shapes,
    omniglot,
    pictures,
    scans,
    scenes,
    segmentation,
    verification,
    video,
)

NAN = float('nan')
X = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
BOXES = torch.tensor([[0., 0, 4, 4], [2, 2, 6, 6]])
SCORES, NONE = torch.tensor([.9, .8]), torch.tensor([0, 0])
WORLD = scenes.shapes_world(4, 0, side=16, radius=(2, 4))
MASKS = X[:, 0] > .5
CLIPS, MOTION = moving_shapes.moving_shapes(4, 0)
PEOPLE = np.array([0, 0, 1, 1, 2, 2])
PAIRS = matching.pairs_of(np.random.default_rng(0).normal(size=(6, 3)), PEOPLE)
MATCHED = PAIRS.score > 0
E = nn.functional.normalize(torch.randn(4, 3, generator=torch.Generator().manual_seed(0)))
UNET = segmentation.UNet(segmentation.UNetConfig(width=2)).eval()
BYTES = torch.zeros(2, 3, 4, 4, dtype=torch.uint8)

def found(boxes=BOXES, scores=SCORES, labels=NONE, **how):
    said = detection.Detections(boxes, scores, labels)
    return detection.find_hits([said], BOXES[None, :1], torch.tensor([[0]]), 1, **how)

def trained(world=WORLD, **how):
    return detector.train_detector(world, detector.DetectorConfig(width=2),
                                   **dict(steps=1, batch_size=2) | how)

def drawn(x=X, y=MASKS.float(), **how):
    model = segmentation.UNet(segmentation.UNetConfig(width=2))
    return masks.train_masks(model, x, y, segmentation._dice_of_scores,
                             **dict(steps=1, batch_size=2) | how)

def read(x=X, y=torch.tensor([0, 1]), **how):
    return digit_reader.train_digits(x, y, **dict(steps=1, batch_size=2, width=2) | how)

def tiled(image=np.zeros((1, 40, 40), 'float32'), **how):
    return segmentation.predict_tiled(UNET, image, **dict(core=16, halo=8) | how)

REFUSED = {
    'no tensor': (lambda: convolution.image_windows([[1]], 2), '`x` must be a tensor, got a list'),
    'window of 2.5': (lambda: convolution.image_windows(X, 2.5), '`size` must be a whole number'),
    'transposed, stride': (lambda: convolution.conv_transpose(X, torch.ones(1, 1, 2, 2), stride=0),
                           '`stride`'),
    'transposed, padding': (lambda: convolution.conv_transpose(X, torch.ones(1, 1, 2, 2),
                                                               padding=-1), '`padding`'),
    'transposed, oblong': (lambda: convolution.conv_transpose(X, torch.ones(1, 1, 2, 3)), 'square'),
    'backward, sent': (lambda: convolution.conv_backward(X, torch.ones(1, 1, 2, 2), X),
                       r'`sent` of the shape \(2, 1, 7, 7\)'),
    'layers': (lambda: architectures.StackConfig(features=((0, 3, 1, 1),), grid=1, hidden=()),
               '`features`'),
    'depths': (lambda: architectures.ResNetConfig(depths=(1, 0)), '`depths`'),
    'VGG in words': (lambda: architectures.vgg('22333'), '`convolutions`'),
    'bytes as boxes': (lambda: detection.iou(BOXES.byte(), BOXES.byte()), '`a` must be a tensor'),
    'halves as boxes': (lambda: detection.giou(BOXES.half(), BOXES.half()), '`a`.*overflow'),
    'GIoU, turned': (lambda: detection.giou(BOXES, BOXES[:, [2, 3, 0, 1]]), '`b` must have left'),
    'GIoU, NaN': (lambda: detection.giou(BOXES*NAN, BOXES), '`a` must hold finite'),
    'GIoU, one for two': (lambda: detection.giou(BOXES[:1], BOXES), '`a` and `b` must be pairs'),
    'places, turned': (lambda: detection.assign(BOXES[:, :2], BOXES[:, [2, 3, 0, 1]], 9.),
                       '`boxes` must have left'),
    'places, NaN': (lambda: detection.assign(BOXES[:, :2], BOXES*NAN, 9.), '`boxes` must hold fin'),
    'threshold, NaN': (lambda: verification.match_threshold(np.array([.1, NAN]), .5), '`impostor`'),
    'ranks, NaN': (lambda: verification.cmc(np.array([[.5, NAN]]), np.array([1]), np.array([1, 2])),
                   '`scores` must be similarities'),
    'anchors, thresholds': (lambda: detection.assign_anchors(BOXES, BOXES, .3, .6), '`negative`'),
    'NMS, scores NaN': (lambda: detection.batched_nms(BOXES, SCORES*NAN, NONE), '`scores`'),
    'NMS, one score': (lambda: detection.batched_nms(BOXES, SCORES[:1], NONE), '`scores`'),
    'NMS, one group': (lambda: detection.batched_nms(BOXES, SCORES, NONE[:1]), '`groups`'),
    'NMS, threshold': (lambda: detection.batched_nms(BOXES, SCORES, NONE, NAN), '`threshold`'),
    'hits, class beyond': (lambda: found(labels=torch.tensor([7, 0])), r'`predictions\[0\]` must'),
    'hits, scores NaN': (lambda: found(scores=SCORES*NAN), r'`predictions\[0\]` must have a score'),
    'hits, boxes NaN': (lambda: found(BOXES*NAN), r'`predictions\[0\].boxes` must hold finite'),
    'hits, threshold': (lambda: found(threshold=0.), '`threshold`'),
    'hits, most': (lambda: found(most=-1), '`most`'),
    'AP, times': (lambda: detection.average_precisions(found(), torch.ones(1)), '`times`'),
    'mAP, draws': (lambda: detection.mean_average_precision(found(), 0), '`draws`'),
    'mAP, level': (lambda: detection.mean_average_precision(found(), 5, level=95), '`level`'),
    'detector, classes': (lambda: detector.DetectorConfig(classes=2.5), '`classes`'),
    'no scenes': (lambda: trained([part[:0] for part in WORLD]), '`scenes` must hold a picture'),
    'scenes, NaN': (lambda: trained((WORLD[0]*NAN, *WORLD[1:])), '`scenes` must hold a picture'),
    'scenes, label': (lambda: trained((*WORLD[:2], WORLD[2] - 6)), '`labels`'),
    'scenes, batch': (lambda: trained(batch_size=0), '`batch_size`'),
    'detect, most': (lambda: detector.detect(trained(), WORLD[0], most=-1), '`most`'),
    'detect, least': (lambda: detector.detect(trained(), WORLD[0], least=NAN), '`least`'),
    'world, noise': (lambda: scenes.shapes_world(2, noise=-1), '`noise`'),
    'world, contrast': (lambda: scenes.shapes_world(2, contrast=(.6, .2)), '`contrast`'),
    'patches of one kind': (lambda: scenes.patch_detector((*WORLD[:2], WORLD[2].clamp(max=0)),
                                                           WORLD),
                            '`train` must hold a shape of each'),
    'masks as arrays': (lambda: masks.check_masks(MASKS.numpy(), MASKS), '`predicted`'),
    'Dice of bytes': (lambda: masks.mean_dice(MASKS.byte().numpy()*255, MASKS.numpy()),
                      '`predicted`'),
    'Dice of one for two': (lambda: masks.mean_dice(MASKS.numpy(), MASKS.numpy()[:1]), 'one shape'),
    'Dice of none': (lambda: masks.mean_dice(MASKS.numpy()[:0], MASKS.numpy()[:0]), '`predicted`'),
    'no cuts': (lambda: masks.best_cut(X[:, 0].numpy(), MASKS.numpy(), []), '`cuts`'),
    'colours for a scan': (lambda: masks.Threshold(X.repeat(1, 3, 1, 1), MASKS), '1 channels'),
    'a mask too few': (lambda: masks.PixelTrees(X, MASKS[:1]), '`truth`'),
    'features of NaN': (lambda: masks.pixel_features(X*NAN), '`x` must hold numbers'),
    'no scans': (lambda: drawn(X[:0], MASKS[:0].float()), '`x` must hold a scan'),
    'scans, batch': (lambda: drawn(batch_size=0), '`batch_size`'),
    'truth NaN': (lambda: drawn(y=MASKS*NAN), '`y`'),
    'tiles, core': (lambda: tiled(core=0), '`core`'),
    'tiles, whole numbers': (lambda: tiled(out=np.zeros((40, 40), int)), '`out` must be floats'),
    'tiles, larger': (lambda: tiled(out=np.zeros((80, 80))), '`out` must be floats of shape'),
    'tiles, 2 axes': (lambda: tiled(np.zeros((40, 40))), '`image`'),
    'distance, 2 axes': (lambda: segmentation.signed_distance(MASKS[0]), '`masks`'),
    'somebody NaN': (lambda: matching.check_identities([0, 0, NAN, NAN], 4), '`identity`'),
    'somebody None': (lambda: matching.check_identities(['a', 'a', None, None], 4), '`identity`'),
    'numbers for choices': (lambda: matching.pair_rate(PAIRS, PAIRS.impostor*1, MATCHED, PEOPLE),
                            '`chosen` must be True or False'),
    'numbers for matches': (lambda: matching.pair_rate(PAIRS, PAIRS.impostor, MATCHED*1, PEOPLE),
                            '`matched` must be True or False'),
    'units too many': (lambda: matching.pair_rate(PAIRS, PAIRS.impostor, MATCHED,
                                                  np.r_[PEOPLE, PEOPLE]), '`units`'),
    'units NaN': (lambda: matching.pair_rate(PAIRS, PAIRS.impostor, MATCHED, PEOPLE*NAN),
                  '`units`'),
    'rate, level': (lambda: matching.pair_rate(PAIRS, PAIRS.impostor, MATCHED, PEOPLE, 95),
                    '`level`'),
    'group NaN': (lambda: matching.rates_by(PAIRS, PAIRS.impostor, MATCHED, PEOPLE*NAN, PEOPLE),
                  '`group`'),
    'k of 1.5': (lambda: matching.nearest(E, E, 1.5), '`k`'),
    'block of 0': (lambda: matching.nearest(E, E, 1, 0), '`block`'),
    'threshold NaN': (lambda: verification.error_rates([1.], [0.], [NAN]), '`thresholds`'),
    'identity of another batch': (lambda: verification.contrastive_loss(E, NONE), '`identity`'),
    'ArcFace, class': (lambda: verification.ArcFace(2, 3)(E, torch.tensor([0, 0, 1, 5])),
                       'from 0 to 1'),
    'turned words': (lambda: verification.turned_identities(X, ['a', 'b']), '`identity`'),
    'one for two': (lambda: verification.match_pairs(embedder.Embedder(), X[:1], X, .5), '`one`'),
    'no steps': (lambda: verification.verifier(steps=0), '`steps`'),
    'embedder of 8.5': (lambda: embedder.EmbedderConfig(side=8.5), '`side`'),
    'no identities': (lambda: embedder.balanced_rows(NONE, 0, 2, None), '`identities`'),
    'embed NaN': (lambda: embedder.train_embedder(X.repeat(3, 1, 1, 1)*NAN, PEOPLE, None), '`x`'),
    'digits, class': (lambda: read(y=torch.tensor([0, 12])), '`y` must be classes from 0 to 9'),
    'digits, left out': (lambda: read(y=torch.tensor([0, -100])), '`y` must be a class from 0'),
    'digits, NaN': (lambda: read(X*NAN), '`x` must hold numbers'),
    'digits, batch': (lambda: read(batch_size=0), '`batch_size`'),
    'digits, rate': (lambda: read(lr=NAN), '`lr`'),
    'motion, noise': (lambda: moving_shapes.moving_shapes(2, 0, noise=-1), '`noise`'),
    'motion of 1.5': (lambda: moving_shapes.moving_shapes(2, 0, motions={'a': 1.5}), '`motions`'),
    'clips, batch': (lambda: moving_shapes.train_clips(video.FrameAverage, CLIPS, MOTION,
                                                         batch_size=0),
                     '`batch_size`'),
    'share of .9': (lambda: video.FrameEncoder(share=.9), '`share`'),
    'flow, one for two': (lambda: video.slopes(X[:, 0], X[:1, 0]), '`before` and `after`'),
    'flow, window': (lambda: video.window_sums(X[:, 0], 4), '`size` must be odd'),
    'picture of shares': (lambda: pictures.centre_crop(torch.rand(3, 9, 9), 8),
                          '`picture` must be b'),
    'pictures in a list': (lambda: classics.name_pictures(None, [1], ['a'], 1), '`pictures`'),
    'map, channels': (lambda: classics.class_map(torch.ones(1, 2, 3, 3), torch.ones(3)),
                      '`weight`'),
    'blocks from the end': (lambda: efficientnet.EfficientNetLite(efficientnet.LiteConfig(
        stages=((1, 3, 1, 1, 4),), stem=4, top=4)).features(BYTES.float(), -1), '`blocks`'),
    'smear, shrink': (lambda: blood_cells.read_smear(b'', 0), '`shrink`'),
    'no archives': (lambda: omniglot.read_characters([]), '`paths`'),
    'shrunk to nothing': (lambda: omniglot.shrunk(np.ones((1, 4, 4)), 0), '`side`'),
    'scans, seed': (lambda: scans.make_scans(1, -1), '`seed`'),
}

@pytest.mark.parametrize('case', REFUSED)
def test_is_refused_by_name(case):
    call, told = REFUSED[case]
    with pytest.raises(InputError, match=told): call()

NETS = {
    'digits': (digit_reader.DigitsCNN(2), X), 'embedder': (embedder.Embedder(), X),
    'U-Net': (UNET, X),
    'detector': (detector.Detector(detector.DetectorConfig(width=2)), WORLD[0]),
    'ResNet': (architectures.ResNet(architectures.ResNetConfig(width=2, channels=1)),
               X.repeat(1, 1, 4, 4)),
    'LeNet': (architectures.Stack(architectures.lenet()), X.repeat(1, 1, 4, 4)),
    'frames': (video.FrameAverage(), CLIPS), 'volumes': (video.VolumeCNN(), CLIPS),
    'GRU': (video.RecurrentOverFrames(), CLIPS)}

@pytest.mark.parametrize('name', NETS)
def test_a_network_takes_numbers_of_its_own_type_only(name):
    net, x = NETS[name]
    net.eval()
    for other in ((255*x).byte(), x.double(), x.half()):
        with pytest.raises(InputError, match='`x` must be torch.float32, as the weights are'):
            net(other)
    with pytest.raises(InputError, match='`x` must be a tensor'): net(x.numpy())
    with torch.autocast('cpu', torch.bfloat16): net(x.bfloat16())
    if name != 'detector': net(x[:0]) # Which warns that a picture of none has no spread

def test_bytes_give_the_flow_of_their_numbers():
    one, other = ((255*X[k:k + 1, 0]).byte() for k in (0, 1))
    want = video.slopes(one.float(), other.float())
    for a, b in zip(video.slopes(one, other), want, strict=True): assert torch.equal(a, b)

def test_any_width_keeps_the_border():
    for dim in (8, 16, 32):
        convs = video.FrameEncoder(width=8, dim=dim).convs
        assert [layer.padding for layer in convs] == [(1, 1), (1, 1), (0, 0)]

def test_masks_of_zeros_and_ones_are_masks():
    want = segmentation.signed_distance(MASKS)
    assert torch.equal(segmentation.signed_distance(MASKS.byte()), want)
    assert torch.equal(segmentation.signed_distance(MASKS.float()), want)

def test_groups_of_large_numbers_are_told_apart_as_small_ones():
    boxes = torch.tensor([[0., 0, 4, 4], [0, 0, 4.3, 4], [2.5, 0, 6.5, 4]]).repeat(2, 1)
    scores, groups = torch.tensor([.9, .8, .7, .6, .5, .4]), torch.tensor([0, 0, 0, 1, 1, 1])
    want = detection.batched_nms(boxes, scores, groups)
    assert torch.equal(detection.batched_nms(boxes, scores, groups*10**16 - 10**17), want)
    assert want.tolist() == [0, 2, 3, 5]

def test_no_anchors_are_given_nothing():
    assert detection.assign_anchors(BOXES[:0], BOXES).shape == (0,)

def test_what_is_asked_is_as_it_was():
    model = trained().train()
    before = {name: v.clone() for name, v in model.state_dict().items()}
    one = detector.detect(model, WORLD[0], least=0.)
    assert model.training and all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    alone = detector.detect(model, WORLD[0][:1], least=0.)
    assert torch.allclose(one[0].scores[:5], alone[0].scores[:5], atol=1e-5)
    net = embedder.Embedder().train()
    assert np.allclose(embedder.embed(net, X)[:1], embedder.embed(net, X[:1]), atol=1e-6)
    assert net.training and net.norms[0].num_batches_tracked == 0
    unet = segmentation.UNet(segmentation.UNetConfig(width=2)).train()
    segmentation.predict_tiled(unet, np.zeros((1, 16, 16), 'float32'), core=16, halo=8)
    assert unet.training and unet.down[0][1].num_batches_tracked == 0
    digits = digit_reader.DigitsCNN(2).train()
    digit_reader.share_right(digits, X, NONE)
    assert digits.training and digits.norms[0].num_batches_tracked == 0
    namer = nn.Sequential(nn.Flatten(), nn.Dropout(.9), nn.Linear(48, 3)).train()
    one, again = (classics.name_pictures(namer, BYTES, 'abc', 2) for _ in range(2))
    assert one == again and namer.training

def test_a_batch_without_one_kind_of_pair_costs_a_number():
    for identity in (torch.zeros(4).long(), torch.arange(4)):
        assert verification.contrastive_loss(E, identity).isfinite()
        assert verification.supervised_contrastive(E, identity).isfinite()
    assert verification.supervised_contrastive(E, torch.arange(4)) == 0
    two = torch.tensor([0, 0, 1, 1])
    half = verification.supervised_contrastive(E.half(), two)
    assert float(half) == pytest.approx(float(verification.supervised_contrastive(E, two)), rel=.01)

def test_tensors_with_a_gradient_and_of_half_precision_are_embeddings():
    e = E.clone().requires_grad_()
    assert np.allclose(matching.unit_rows(e), E.numpy(), atol=1e-6)
    assert matching.unit_rows(E.bfloat16()).shape == E.shape
    assert verification.error_rates(e[:, 0], e[:, 1], e[:, 2])[0].shape == (4,)
    assert embedder.embed(embedder.Embedder().bfloat16(), X.bfloat16()).dtype == np.float32

@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='no pipes here')
def test_a_pipe_among_pictures_is_named_and_not_waited_for(tmp_path):
    (tmp_path/'a').mkdir()
    os.mkfifo(tmp_path/'a'/'x.jpg')
    def late(*_): raise AssertionError('waited')
    signal.signal(signal.SIGALRM, late)
    signal.alarm(5)
    try:
        with pytest.raises(InputError, match='x.jpg` cannot be read as a picture: it is no file'):
            pictures.picture_folder(tmp_path, 8)
    finally: signal.alarm(0)

def test_a_huge_smear_is_named():
    data = BytesIO()
    Image.new('1', (20_000, 20_000)).save(data, 'PNG')
    with pytest.raises(InputError, match='`big.png` must be a JPEG, and cannot be read'):
        blood_cells.read_smear(data.getvalue(), 4, 'big.png')

