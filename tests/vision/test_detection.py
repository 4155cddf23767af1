"Boxes, places, doubles and the score of detection, against rasters, loops and pycocotools"
import math

import pytest
import torch
from oracles import same_as_torch

from dlcourse.core.errors import InputError
from dlcourse.vision.detection import (
    Detections,
    assign,
    assign_anchors,
    average_precisions,
    batched_nms,
    check_boxes,
    find_hits,
    giou,
    iou,
    match,
    mean_average_precision,
    nms,
)
from dlcourse.vision.detector import coco_precisions


def some_boxes(n, seed=0, wide=30.):
    rng = torch.Generator().manual_seed(seed)
    corner = wide*torch.rand(n, 2, generator=rng, dtype=torch.float64)
    return torch.cat([corner, corner + 1 + 15*torch.rand(n, 2, generator=rng).double()], 1)


def some_scenes(seed, images=40, classes=4):
    "True boxes, and detections that are some of them moved, some of them doubled, and some noise"
    rng = torch.Generator().manual_seed(seed)
    boxes = torch.stack([some_boxes(5, 100*seed + i) for i in range(images)])
    labels = torch.randint(-1, classes - 1, (images, 5), generator=rng) # The last class has none
    said = []
    for i in range(images):
        moved = boxes[i].repeat(2, 1) + .8*torch.randn(10, 4, generator=rng).double()
        moved = torch.cat([torch.minimum(moved[:, :2], moved[:, 2:]),
                           torch.maximum(moved[:, :2], moved[:, 2:])], 1)
        wide = torch.cat([moved, some_boxes(6, 7000 + i)])
        kinds = torch.cat([labels[i].repeat(2).clamp(min=0),
                           torch.randint(classes, (6,), generator=rng)])
        scores = (torch.rand(16, generator=rng)*20).round()/20 # Many are equal
        said.append(Detections(wide, scores, kinds))
    return said, boxes, labels, classes


def test_iou_equals_pycocotools_and_its_gradient_the_written_out_one():
    mask = pytest.importorskip('pycocotools.mask')
    a, b = some_boxes(20), some_boxes(30, 1)
    def as_width(boxes): return torch.cat([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1).numpy()
    want = torch.tensor(mask.iou(as_width(a), as_width(b), [0]*30))
    torch.testing.assert_close(iou(a, b), want, rtol=1e-12, atol=1e-12)
    def by_sides(a, b):
        wide = torch.relu(torch.min(a[:, None, 2], b[:, 2]) - torch.max(a[:, None, 0], b[:, 0]))
        high = torch.relu(torch.min(a[:, None, 3], b[:, 3]) - torch.max(a[:, None, 1], b[:, 1]))
        own = ((x[:, 2] - x[:, 0])*(x[:, 3] - x[:, 1]) for x in (a, b))
        one, two = own
        return wide*high/(one[:, None] + two - wide*high)
    same_as_torch(iou, by_sides, a, b)


def test_giou_by_hand_within_its_limits_and_with_a_slope_from_afar():
    a = torch.tensor([[0., 0, 3, 3]], dtype=torch.float64)
    b = torch.tensor([[1., 1, 4, 3]], dtype=torch.float64)
    assert giou(a, b).item() == pytest.approx(4/11 - 1/12)
    assert giou(a, a).item() == 1
    assert giou(a, a + 1e6).item() == pytest.approx(-1, abs=1e-5)
    assert giou(a*0, a*0).item() == 0
    one, two = some_boxes(20), some_boxes(20, 1)
    assert (giou(one, two) <= iou(one, two).diagonal() + 1e-12).all()
    assert torch.autograd.gradcheck(giou, (one[:5].requires_grad_(), two[:5].requires_grad_()))
    far = (b + 50).requires_grad_()
    assert (torch.autograd.grad(giou(a, far).sum(), far)[0] != 0).any()


@pytest.mark.parametrize(('boxes', 'said'), [
    ([[0., 0, 2]], "must be .box, 4."), ([], r"`torch.zeros\(0, 4\)`"),
    ([[0., 0, 1, 1], [4., 0, 2, 2]], "left ≤ right .* in row 1"),
    ([[0., 0, math.inf, 1]], "finite numbers; .* in row 0"),
    ([[math.nan, 0, 1, 1]], "finite numbers")])
def test_what_are_no_boxes_is_said(boxes, said):
    with pytest.raises(InputError, match=said): check_boxes(torch.tensor(boxes))


def test_batched_nms_equals_a_loop_over_groups_and_nms_a_loop_over_boxes():
    boxes, rng = some_boxes(150).float(), torch.Generator().manual_seed(0)
    scores, groups = torch.rand(150, generator=rng), torch.randint(5, (150,), generator=rng)
    def plain(rows):
        kept = []
        for i in sorted(rows, key=lambda i: -scores[i]):
            if all(iou(boxes[i:i + 1], boxes[j:j + 1]) <= .4 for j in kept): kept.append(i)
        return kept
    assert nms(boxes[:60], scores[:60], .4).tolist() == plain(range(60))
    by_loop = [i for g in range(5) for i in plain((groups == g).nonzero().flatten().tolist())]
    at_once = batched_nms(boxes, scores, groups, .4)
    assert sorted(at_once.tolist()) == sorted(by_loop) and (scores[at_once].diff() <= 0).all()
    assert batched_nms(torch.zeros(0, 4), torch.zeros(0), torch.zeros(0).long()).tolist() == []


def test_anchors_answer_by_agreement_and_every_box_has_one():
    anchors = torch.tensor([[0., 0, 4, 4], [0, 0, 4, 3], [8, 8, 12, 12], [20, 20, 24, 24]])
    boxes = torch.tensor([[[0., 0, 4, 4], [8, 8, 11, 10.5], [0, 0, 0, 0]]])
    assert assign_anchors(anchors, boxes).tolist() == [[0, 0, 1, -1]]
    assert assign_anchors(anchors, boxes, positive=.8).tolist() == [[0, -2, 1, -1]]
    assert assign_anchors(anchors, torch.zeros(2, 0, 4)).tolist() == [[-1]*4]*2
    assert assign(anchors[:, :2], torch.zeros(0, 4), 3.).tolist() == [-1]*4


@pytest.mark.parametrize('threshold', [.5, .75])
@pytest.mark.parametrize('seed', [0, 1])
def test_average_precision_equals_pycocotools(seed, threshold):
    pytest.importorskip('pycocotools')
    scenes = some_scenes(seed)
    ours = average_precisions(find_hits(*scenes, threshold))
    theirs = coco_precisions(*scenes, threshold)
    torch.testing.assert_close(torch.tensor(ours), torch.tensor(theirs), rtol=0, atol=1e-6,
                               equal_nan=True)
    assert math.isnan(ours[-1]) and .001 < ours[0] < .95


def test_only_a_hundred_detections_of_a_class_count():
    pytest.importorskip('pycocotools')
    boxes = some_boxes(130, wide=2000.)[None]
    said = [Detections(boxes[0], torch.linspace(1, .1, 130), torch.zeros(130).long())]
    labels = torch.zeros(1, 130).long()
    ours = average_precisions(find_hits(said, boxes, labels, 1))
    assert ours == pytest.approx(coco_precisions(said, boxes, labels, 1)) and ours[0] < .8


def test_map_leaves_out_a_class_without_boxes_and_its_interval_holds_it():
    said, boxes, labels, classes = some_scenes(2)
    hits = find_hits(said, boxes, labels, classes)
    found = mean_average_precision(hits, draws=60)
    assert found.value == pytest.approx(sum(average_precisions(hits)[:3])/3)
    assert found.low < found.value < found.high
    twice = average_precisions(hits, torch.full((40,), 2))
    whole = find_hits(said*2, boxes.repeat(2, 1, 1), labels.repeat(2, 1), classes)
    assert twice[:3] == pytest.approx(average_precisions(whole)[:3], abs=.02)


def test_what_does_not_fit_is_said():
    said, boxes, labels, classes = some_scenes(2, images=3)
    with pytest.raises(InputError, match="`predictions` must be as many .* got 2, 3 and 3"):
        find_hits(said[:2], boxes, labels, classes)
    with pytest.raises(InputError, match="`labels` must be from 0 to 0"):
        find_hits(said, boxes, labels, 1)
    with pytest.raises(InputError, match="none at all; are all labels −1"):
        mean_average_precision(find_hits(said, boxes, labels*0 - 1, classes))


@pytest.mark.parametrize(('call', 'says'), [
    (lambda nan: nms(torch.eye(2, 4), torch.tensor([.5, nan])), '`scores` .* not NaN'),
    (lambda nan: nms(torch.eye(2, 4), torch.tensor([.5])), '`scores` .* a number for each'),
    (lambda nan: nms(torch.eye(2, 4), torch.ones(2, 1)), '`scores` .* a number for each'),
    (lambda nan: nms(torch.eye(2, 4), [1., 1.]), '`scores` must be a tensor'),
    (lambda nan: match([[1., 1.]]), '`overlaps` must be a tensor'),
    (lambda nan: batched_nms(torch.zeros(1, 4), torch.tensor([nan]), torch.tensor([0])),
     '`scores` .* not NaN'),
    (lambda nan: batched_nms(torch.zeros(1, 4), torch.ones(1), torch.ones(1)), '`groups`'),
    (lambda nan: match(torch.tensor([[nan, .9]])), '`overlaps` .* not NaN'),
    (lambda nan: match(torch.tensor([.9])), '`overlaps`')])
def test_what_is_no_number_covers_nothing_and_finds_nothing(call, says):
    with pytest.raises(InputError, match=says): call(float('nan'))
