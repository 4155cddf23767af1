"Distances, coverage and copies against scipy, scikit-learn and closed forms"
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from sklearn.neighbors import NearestNeighbors

from dlcourse.core.errors import InputError
from dlcourse.generative.judges import (
    DigitJudge,
    frechet_distance,
    memorization_ratio,
    nearer_chance,
    nearest_known,
    precision_recall,
)
from dlcourse.vision.digit_reader import DigitsCNN


def normal(*shape, seed=0, scale=1., at=0.):
    return at + scale*torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def by_scipy(a, b):
    a, b = a.double().numpy(), b.double().numpy()
    ca, cb = np.atleast_2d(np.cov(a.T)), np.atleast_2d(np.cov(b.T))
    root = sqrtm(ca @ cb)
    return float(((a.mean(0) - b.mean(0))**2).sum() + np.trace(ca + cb - 2*root.real))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), d=st.integers(1, 6), n=st.integers(20, 60))
def test_frechet_distance_is_that_of_scipy(seed, d, n):
    mix = normal(d, d, seed=seed + 2)
    a, b = normal(n, d, seed=seed), normal(n + 5, d, seed=seed + 1, at=.7) @ mix
    assert frechet_distance(a, b) == pytest.approx(by_scipy(a, b), rel=1e-5, abs=1e-5)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-6, abs=1e-6)


def test_frechet_distance_of_wide_features_from_few_rows_is_finite_and_zero_to_itself():
    a = normal(10, 96)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(a, a + 1) == pytest.approx(96, rel=1e-6)


def test_a_factor_between_normals_has_a_closed_form():
    a = normal(200_000, 3)
    assert frechet_distance(a, 3*a) == pytest.approx(12, rel=.05) # (3 − 1)² for each of three


@pytest.mark.parametrize('k', [1, 3, 5])
def test_precision_and_recall_are_those_of_neighbours_counted_one_by_one(k):
    real, made = normal(60, 4), normal(50, 4, seed=1, at=.5)
    def inside(points, centres):
        found = NearestNeighbors(n_neighbors=k + 1).fit(centres.numpy())
        radius = found.kneighbors(centres.numpy())[0][:, k]
        return np.mean([(np.linalg.norm(centres.numpy() - p, axis=1) <= radius).any()
                        for p in points.numpy()])
    got = precision_recall(real, made, k)
    assert got.precision == pytest.approx(inside(made, real))
    assert got.recall == pytest.approx(inside(real, made))


def test_one_mode_of_two_is_precise_and_recalls_half():
    real = torch.cat([normal(200, 2, at=-20), normal(200, 2, seed=1, at=20)])
    got = precision_recall(real, normal(200, 2, seed=2, at=20))
    assert got.precision > .9 and .4 < got.recall < .5
    assert precision_recall(real, real) == (1, 1)


def test_the_nearest_is_found():
    known, made = normal(80, 5), normal(30, 5, seed=1)
    far, row = nearest_known(made, known)
    want = np.linalg.norm(made.double().numpy()[:, None] - known.double().numpy(), axis=2)
    np.testing.assert_allclose(far, want.min(1), rtol=1e-6)
    assert (row.numpy() == want.argmin(1)).all()


def test_copies_have_a_ratio_of_zero_and_new_ones_of_one():
    train, test = normal(500, 8), normal(300, 8, seed=1)
    assert memorization_ratio(train[:100], train, test) == pytest.approx(0, abs=1e-6)
    assert memorization_ratio(normal(300, 8, seed=2), train, test) == pytest.approx(1, abs=.07)
    fair = nearer_chance(normal(300, 8, seed=2), train, test)
    assert fair.low < .5 < fair.high
    near = nearer_chance(train[:100] + .3*normal(100, 8, seed=3), train, test)
    assert near.low > .5


def test_the_judge_cuts_off_what_is_outside():
    torch.manual_seed(0)
    judge, x = DigitJudge(DigitsCNN().eval()), normal(4, 64, scale=3.)
    torch.testing.assert_close(judge.features(x), judge.features(x.clamp(-1, 1)))
    chances = judge.chances(x)
    torch.testing.assert_close(chances.sum(1), torch.ones(4))
    assert torch.equal(judge.classes(x), chances.argmax(1))
    assert not judge.features(x).requires_grad


@pytest.mark.parametrize('call', [
    lambda j: j.features(torch.full((2, 64), torch.nan)),
    lambda j: j.classes(torch.zeros(2, 784)),
    lambda j: j.classes(torch.zeros(64)),
    lambda j: j.features(torch.randint(0, 17, (9, 64))),
    lambda j: j.features(torch.zeros(0, 64)),
    lambda j: frechet_distance(normal(5, 3), normal(1, 3)),
    lambda j: frechet_distance(normal(5, 3), normal(5, 4)),
    lambda j: frechet_distance(normal(5, 3), normal(5, 3)/0),
    lambda j: precision_recall(normal(5, 3), normal(3, 3)),
    lambda j: precision_recall(normal(5, 3), normal(5, 3), 0),
    lambda j: nearest_known(normal(0, 3), normal(5, 3)),
    lambda j: nearest_known(normal(5, 3), normal(0, 3)),
    lambda j: memorization_ratio(normal(5, 3), normal(5, 3), normal(5, 2)),
    lambda j: nearer_chance(normal(1, 3), normal(5, 3), normal(5, 3)),
])
def test_what_cannot_be_judged_is_refused(call):
    with pytest.raises(InputError, match=r'`(x|a|b|k|made|real|known|test)`'):
        call(DigitJudge(DigitsCNN().eval()))


def test_a_judge_leaves_its_readers_statistics_alone():
    net = DigitsCNN().train()
    before = {name: t.clone() for name, t in net.state_dict().items()}
    DigitJudge(net).features(normal(9, 64))
    assert all(torch.equal(t, before[name]) for name, t in net.state_dict().items())
