"The lesson's functions against torch's own, and what they refuse"
import pytest
import torch
from oracles import same_as_torch
from torch.nn import functional as F

from dlcourse.core.errors import InputError
from dlcourse.data.augmentation import affine_warp, mix, mixup, rand_augment, survival
from dlcourse.data.transforms import affine, warp

X = torch.rand(6, 3, 9, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def rng(): return torch.Generator().manual_seed(1)


def test_affine_warp_is_torchs_in_values_and_gradients():
    theta = affine(6, rng(), degrees=90, shift=.3, scale=.4).double()
    grid = F.affine_grid(theta, [6, 1, 9, 7], align_corners=False)
    same_as_torch(
        lambda x: torch.stack([affine_warp(*pair) for pair in zip(x, theta, strict=True)]),
        lambda x: F.grid_sample(x[:, None], grid, align_corners=False)[:, 0], X[:, 0])


def test_a_mixture_is_torchs_lerp():
    labels, g = torch.eye(6).double(), rng()
    other, share = torch.randperm(6, generator=g), .5 + .5*torch.rand(6, generator=g)
    images = torch.lerp(X[other], X, share.double().view(-1, 1, 1, 1))
    shares = torch.lerp(labels[other], labels, share.double()[:, None])
    torch.testing.assert_close(mix(X, labels, other, share), (images, shares))
    torch.testing.assert_close(mixup(X, labels, rng()), (images, shares))


def test_rand_augment_changes_each_image_by_n_of_the_ways():
    ways = [lambda x, g, s: x + s, lambda x, g, s: x + 10*s, lambda x, g, s: x + 100*s]
    zeros = torch.zeros(300, 1, 2, 2)
    sums = rand_augment(zeros, rng(), ways, n=2, strength=1.)[:, 0, 0, 0]
    assert set(sums.tolist()) == {2, 11, 20, 101, 110, 200}
    assert set(rand_augment(zeros, rng(), ways, 1, .5)[:, 0, 0, 0].tolist()) == {.5, 5, 50}
    assert not zeros.any()
    assert rand_augment(X, rng(), ways, n=0).equal(X)


def test_rand_augment_takes_any_channels_and_repeats():
    def move(x, g, s): return warp(x, affine(len(x), g, degrees=90*s))
    first, again = (rand_augment(X, rng(), [move]) for _ in range(2))
    assert first.shape == X.shape and first.equal(again) and not first.equal(X)


@pytest.mark.parametrize('bad', [dict(ways=[]), dict(n=-1), dict(strength=1.1), dict(strength=-.1)])
def test_rand_augment_refuses(bad):
    with pytest.raises(InputError, match='`ways` must be one or more'):
        rand_augment(X, rng(), **dict(ways=[lambda x, g, s: x]) | bad)


def test_survival_refuses_a_judge_that_knows_nothing():
    with pytest.raises(InputError, match='0 right'):
        survival(lambda x: torch.eye(2)[[0, 0]], X[:2], torch.tensor([1, 1]), X[:2])
    with pytest.raises(InputError, match='0 right'):
        survival(lambda x: torch.zeros(0, 2), X[:0], torch.zeros(0), X[:0])


def test_rand_augment_hands_each_image_to_its_own_ways_only():
    sizes = [[], [], []]
    def way(k):
        def f(x, g, s):
            sizes[k].append(len(x))
            return x
        return f
    rand_augment(X.repeat(50, 1, 1, 1), rng(), [way(k) for k in range(3)], n=4)
    assert sum(map(sum, sizes)) == 4*300 and [len(s) for s in sizes] == [4, 4, 4]
