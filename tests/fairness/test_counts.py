"The cube itself: parts add up whatever the order, clusters stay together, edges hold"
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcourse.core.errors import InputError
from dlcourse.fairness.counts import Clusters, Counts, cluster_cells

GROUPS = [(a, b) for a in ('x', 'y', None) for b in 'pqr']


def drawn(seed, ids=int):
    "Counts of random groups, with weights, scores and clusters"
    rng = np.random.default_rng(seed)
    groups = tuple(g for g in GROUPS if rng.random() < .7) or (('x', 'p'),)
    n = rng.integers(0, 9, (len(groups), 3, 2))
    sums = {k: n*rng.random(n.shape) for k in ('weight', 'weight_sq', 'score', 'score_sq')}
    rows, cells = 40, rng.integers(0, n.size, 40)
    cluster = np.array([ids(i) for i in rng.integers(0, 12, rows)])
    clusters = cluster_cells(cluster, cells, rng.random(rows), rng.random(rows))
    return Counts(attributes=('a', 'b'), groups=groups, n=n, clusters=clusters, **sums)


def same(a, b):
    assert (a.attributes, a.groups) == (b.attributes, b.groups)
    assert np.array_equal(a.n, b.n)
    for k in ('weight', 'weight_sq', 'score', 'score_sq'):
        np.testing.assert_allclose(getattr(a, k), getattr(b, k), rtol=1e-12)
    for k in ('ids', 'cell'): assert np.array_equal(getattr(a.clusters, k), getattr(b.clusters, k))
    for k in ('weight', 'score'):
        np.testing.assert_allclose(getattr(a.clusters, k), getattr(b.clusters, k), rtol=1e-12)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_addition_is_associative_and_commutative(seed):
    a, b, c = (drawn(seed + i) for i in range(3))
    for x in ((a + b) + c, (c + a) + b): same(x, a + (b + c))
    same((a + b).by('b'), a.by('b') + b.by('b'))
    same(a.by('b', 'a').by('a'), a.by('a'))


def test_sites_with_ids_of_their_own():
    "Clusters of two sites with text ids stay apart, and those with the same id are one"
    a, b = (drawn(i, ids=lambda k, i=i: f'{i} {k}') for i in range(2))
    many = [len(set(c.clusters.ids)) for c in (a, b)]
    assert len(set((a + b).clusters.ids)) == sum(many)
    assert len(set((a + a).clusters.ids)) == many[0]


def test_what_does_not_add():
    a = drawn(0)
    bare = dict(attributes=a.attributes, groups=a.groups, n=a.n, weight=a.weight,
                weight_sq=a.weight_sq)
    scored = bare | dict(score=a.score, score_sq=a.score_sq)
    with pytest.raises(InputError, match="must be of the same attributes"): a + a.by('a')
    with pytest.raises(InputError, match="has `score` and the other has none"): a + Counts(**bare)
    with pytest.raises(InputError, match="has `clusters` and the other"): a + Counts(**scored)
    with pytest.raises(InputError, match="`z` is none of the attributes counted: a, b"): a.by('z')


def test_cluster_cells():
    c = cluster_cells(np.array(['b', 'a', 'b', 'b']), np.array([1, 5, 1, 0]),
                      np.array([1., 2., 3., 4.]))
    assert (c.ids.tolist(), c.cell.tolist(), c.weight.tolist(), c.codes.tolist(),
            c.score) == (['a', 'b', 'b'], [5, 0, 1], [2., 4., 4.], [0, 1, 1], None)
    none = cluster_cells(np.zeros(0, int), np.zeros(0, int), np.zeros(0))
    assert isinstance(none, Clusters) and none.codes.tolist() == []


def test_counts_by_nothing_and_of_nobody():
    n = np.ones((2, 3, 2), int)
    counts = Counts(attributes=('a', 'b'), groups=(('x', None), ('x', 'p')), n=n, weight=n*1.,
                    weight_sq=n*1.)
    assert counts.by('b').groups == (('p',), (None,)) and counts.by().n.tolist() == [[[2, 2]]*3]
    assert counts.by('b', 'a').attributes == ('b', 'a')
