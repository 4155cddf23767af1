"Sets and clouds against PyG, loops and closed forms; symmetries for random weights"
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcourse.core.errors import InputError
from dlcourse.graphs.equivariance import (
    EGNN,
    DeepSets,
    centred,
    checked_clouds,
    equivariance_error,
    masked_mean,
    pushed,
    random_rotations,
)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def some(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < .7


def test_the_mean_is_that_of_pyg():
    pool = pytest.importorskip('torch_geometric.nn').global_mean_pool
    x, mask = normal(5, 6, 3), some(5, 6)
    mask[2] = False
    which = torch.arange(5).repeat_interleave(6).view(5, 6)[mask]
    torch.testing.assert_close(masked_mean(x, mask), pool(x[mask], which, 5))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), dim=st.integers(2, 4), layers=st.integers(1, 3))
def test_an_egnn_turns_mirrors_moves_and_shuffles_with_its_input(seed, dim, layers):
    torch.manual_seed(seed)
    net = EGNN(2, 8, layers, dim)
    x, h, mask = normal(3, 5, dim, seed=seed), normal(3, 5, 2, seed=seed + 1), some(3, 5, seed=seed)
    turn = torch.linalg.qr(normal(dim, dim, seed=seed + 2))[0] # May mirror
    shift, order = normal(dim, seed=seed + 3), torch.randperm(5)
    def places(x): return net(x, h)[0]
    assert equivariance_error(places, x, turn, shift) < 1e-5
    there = mask[..., None]
    moved, kept = net(x, h, mask)
    turned, same = net(x @ turn.T + shift, h, mask)
    torch.testing.assert_close(turned*there, (moved @ turn.T + shift)*there, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(same, kept, atol=1e-5, rtol=1e-5)
    other = net(x[:, order], h[:, order], mask[:, order])[0]
    torch.testing.assert_close(other, moved[:, order], atol=1e-5, rtol=1e-5)


def test_filler_changes_nothing():
    torch.manual_seed(0)
    net, x, h = EGNN(1, 8), normal(2, 4, 3), normal(2, 4, 1, seed=1)
    mask = torch.ones(2, 6, dtype=torch.bool)
    mask[:, 4:] = False
    filler = torch.full((2, 2, 3), torch.nan)
    long = torch.cat([x, filler], 1), torch.cat([h, filler[..., :1]], 1)
    for ours, alone in zip(net(*long, mask), net(x, h), strict=True):
        torch.testing.assert_close(ours[:, :4], alone)
        assert not ours[:, 4:].any()
    sets = DeepSets(3, 2, heads=2)
    torch.testing.assert_close(sets(long[0], mask), sets(x), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize('heads', [0, 2])
def test_sets_have_no_order(heads):
    torch.manual_seed(0)
    net, x, order = DeepSets(4, 3, 16, heads), normal(3, 7, 4), torch.randperm(7)
    torch.testing.assert_close(net(x[:, order]), net(x), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize('heads', [0, 2])
def test_empty_sets_have_a_defined_answer_and_gradient(heads):
    torch.manual_seed(0)
    net, mask = DeepSets(3, 2, 16, heads), some(3, 5)
    mask[1] = False
    out = net(normal(3, 5, 3), mask)
    out.sum().backward()
    assert out.isfinite().all()
    assert all(p.grad.isfinite().all() for p in net.parameters())
    x, h = EGNN(1)(normal(2, 3, 3), torch.ones(2, 3, 1), torch.zeros(2, 3, dtype=torch.bool))
    assert not x.any() and not h.any()
    assert EGNN(1)(torch.zeros(2, 0, 3), torch.zeros(2, 0, 1))[0].shape == (2, 0, 3)


def test_gravity_is_one_push():
    x, mass = normal(4, 5, 3).double(), .5 + torch.rand(4, 5).double()
    far = torch.cdist(x, x).square()
    pairs = ~torch.eye(5, dtype=torch.bool).expand(4, 5, 5)
    got = (pushed(x, -4*mass[:, None]/(far + .1)**1.5, pairs) - x).numpy()
    for cloud, m, a in zip(x.numpy(), mass.numpy(), got, strict=True):
        for i in range(5):
            d = np.delete(cloud, i, 0) - cloud[i]
            want = (np.delete(m, i)[:, None]*d/((d**2).sum(1) + .1)[:, None]**1.5).sum(0)
            np.testing.assert_allclose(a[i], want, atol=1e-12)


def test_rotations_have_the_moments_of_haar():
    turns = random_rotations(40_000, torch.Generator().manual_seed(0)).double()
    trace = turns.diagonal(dim1=1, dim2=2).sum(1)
    assert abs(float(trace.mean())) < .03             # A rotation's character is orthogonal to 1
    assert abs(float(trace.square().mean()) - 1) < .03 # … and of length 1


def test_centred_clouds_have_their_mean_at_zero():
    x, mask = 5 + normal(4, 6, 3), some(4, 6)
    assert masked_mean(centred(x, mask), mask).abs().max() < 1e-5


@pytest.mark.parametrize(('name', 'call'), [
    ('x', lambda: checked_clouds(normal(4, 3))),
    ('x', lambda: checked_clouds(normal(2, 4, 2))),
    ('x', lambda: checked_clouds(torch.zeros(2, 4, 3, dtype=torch.int64))),
    ('x', lambda: checked_clouds(normal(2, 4, 3).log())),
    ('x', lambda: checked_clouds(np.zeros((2, 4, 3)))),
    ('mask', lambda: checked_clouds(normal(2, 4, 3), torch.ones(2, 4))),
    ('mask', lambda: checked_clouds(normal(2, 4, 3), torch.ones(2, 3).bool())),
    ('x', lambda: EGNN(2)(normal(2, 4, 3), normal(2, 4, 1))),
    ('features', lambda: EGNN(0)),
    ('layers', lambda: EGNN(1, layers=0)),
])
def test_what_is_no_cloud_is_refused(name, call):
    with pytest.raises(InputError, match=f'`{name}`'): call()
