"The small detector: its shapes, what it refuses, its seed alone, and the world it learns from"
import pytest
import torch

from dlcourse.core.errors import InputError
from dlcourse.core.random import seed_everything
from dlcourse.training.checkpoints import digest
from dlcourse.vision.detection import average_precisions, find_hits
from dlcourse.vision.detector import (
    Detector,
    DetectorConfig,
    boxes_and_scores,
    detect,
    detection_loss,
    mirrored,
    shapes_detector,
    train_detector,
)
from dlcourse.vision.scenes import Scenes, patch_detector, shapes_world

SMALL = DetectorConfig(width=4)


@pytest.mark.parametrize(('config', 'places'), [(SMALL, 1),
                                                (DetectorConfig(width=4, anchors=(8., 20.)), 2)])
def test_any_size_and_no_other_channels(config, places):
    model = Detector(config).eval()
    boxes, scores = boxes_and_scores(model, torch.zeros(2, 3, 20, 33))
    assert boxes.shape == (2, 5*9*places, 4) and scores.shape == (2, 5*9*places, 3)
    assert (boxes[..., 2:] >= boxes[..., :2]).all()
    with pytest.raises(InputError, match="`x` must have 3 channels, got 1; convert"):
        detect(model, torch.zeros(1, 1, 64, 64))
    with pytest.raises(InputError, match="16 × 16 pixels or more, got .8, 64."):
        detect(model, torch.zeros(1, 3, 8, 64))
    assert detect(model, torch.zeros(0, 3, 64, 64)) == []


def test_a_place_says_where_its_box_is():
    model = Detector(SMALL).eval()
    with torch.no_grad():
        model.out.weight.zero_()
        model.out.bias[4:] = 0.
    boxes, _ = boxes_and_scores(model, torch.zeros(1, 3, 16, 24))
    assert boxes[0, 7].tolist() == [6 - 8., 6 - 8, 6 + 8, 6 + 8] # Second row, second of six


@pytest.mark.parametrize('config', [SMALL, DetectorConfig(width=4, anchors=(10., 20.))])
def test_pictures_without_boxes_and_boxes_without_an_area_are_background(config):
    model, x = Detector(config), torch.rand(2, 3, 32, 32)
    none = detection_loss(model, x, torch.zeros(2, 1, 4), torch.full((2, 1), -1))
    flat = detection_loss(model, x, torch.tensor([[[5., 5, 5, 5]]]*2), torch.zeros(2, 1).long())
    torch.testing.assert_close(none, flat)
    empty = detection_loss(model, x, torch.zeros(2, 0, 4), torch.zeros(2, 0).long())
    assert 0 < empty.item() < none.item()


def test_training_depends_on_its_seed_alone_and_learns():
    world = shapes_world(48, 1, side=32, radius=(8., 12.), contrast=(.5, .6), most=1)
    one = train_detector(world, SMALL, 1, steps=25)
    seed_everything(5)
    state = torch.get_rng_state()
    again, other = (train_detector(world, SMALL, seed, steps=25) for seed in (1, 2))
    assert digest(one) == digest(again) != digest(other)
    assert torch.equal(state, torch.get_rng_state())
    before = detection_loss(train_detector(world, SMALL, 1, steps=2), *world[:3])
    assert detection_loss(one, *world[:3]) < .8*before


def test_what_training_refuses():
    world = shapes_world(4, 0)
    with pytest.raises(InputError, match="left ≤ right"):
        train_detector(world._replace(boxes=world.boxes.flip(-1)), SMALL, steps=1)
    with pytest.raises(InputError, match="`labels` must be below 2"):
        train_detector(world._replace(labels=world.labels*0 + 2),
                       DetectorConfig(classes=2, width=4), steps=1)
    with pytest.raises(InputError, match="boxes and labels for each picture"):
        train_detector(world._replace(labels=world.labels[:2]), SMALL, steps=1)
    with pytest.raises(InputError, match="all sizes must be above 0"): DetectorConfig(width=0)


def test_scenes_are_what_they_say():
    world, again = (shapes_world(100, 4, noise=0.) for _ in range(2))
    assert isinstance(world, Scenes) and torch.equal(world.images, again.images)
    there = world.labels >= 0
    assert there.any(1).all() and (world.boxes[~there] == 0).all()
    assert (world.boxes[there] >= 0).all() and (world.boxes[there] <= 64).all()
    for i in range(100): # A single shape's pixels fill its box up to the edges
        if there[i].sum() != 1: continue
        drawn = (world.images[i] - world.images[i][:, :1, :1]).abs().sum(0) > .01
        rows, columns = (drawn.any(k).nonzero().flatten() for k in (1, 0))
        edge = torch.tensor([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])
        assert (edge - world.boxes[i][there[i]][0]).abs().max() <= 2
    with pytest.raises(InputError, match="`radius` between 0 and 24"):
        shapes_world(1, radius=(4., 40.))


def test_mirrored_twice_is_nothing_and_the_shape_stays_in_its_box():
    world = shapes_world(3, 0)
    x, boxes = mirrored(*mirrored(*world[:2]))
    assert torch.equal(x, world.images)
    torch.testing.assert_close(boxes, world.boxes, atol=1e-5, rtol=0)
    x, boxes = mirrored(torch.zeros(1, 3, 8, 10), torch.tensor([[[1., 2, 4, 6]]]))
    assert boxes.tolist() == [[[6., 2, 9, 6]]]


def test_patches_find_what_stands_out():
    world = shapes_world(40, 1, contrast=(.5, .6), radius=(8., 12.), most=1)
    said = patch_detector(world, Scenes(*(t[:6] for t in world)))(world.images)
    assert min(average_precisions(find_hits(said, *world[1:3], 3))) > .7


def test_the_artefact_is_made_once_and_a_changed_file_is_refused(tmp_path):
    def asked(): return shapes_detector(tmp_path, steps=2, pictures=32)
    (model, card), (again, _) = asked(), asked()
    assert digest(model) == digest(again)
    assert '2 steps from seed 0' in card.source and 'mAP at .5' in card.results[0].claim
    path = tmp_path/'trained'/card.name/'model.safetensors'
    path.write_bytes(path.read_bytes()[:-1] + b'x')
    with pytest.raises(InputError, match="is not the file of its card.*; delete the folder"):
        asked()
