"Who holds what: each row once, enough for everybody, the same for the same seed"
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlcourse.core.datasets import load
from dlcourse.core.errors import InputError
from dlcourse.federated.partitions import (
    dirichlet_parts,
    each_row_once,
    holdings,
    iid_parts,
    labels_of,
    parts_by,
)


@given(rows=st.integers(1, 200), clients=st.integers(1, 30), seed=st.integers(0, 9))
def test_evenly_is_each_row_once_and_sizes_differ_by_one(rows, clients, seed):
    if clients > rows:
        with pytest.raises(InputError, match='`clients`'): iid_parts(rows, clients, seed)
        return
    parts = iid_parts(rows, clients, seed)
    assert np.sort(np.concatenate(parts)).tolist() == list(range(rows))
    sizes = list(map(len, parts))
    assert max(sizes) - min(sizes) <= 1


@given(clients=st.integers(1, 12), alpha=st.floats(.05, 100), seed=st.integers(0, 99))
def test_dirichlet_is_each_row_once(clients, alpha, seed):
    labels = np.arange(600) % 5
    parts = dirichlet_parts(labels, clients, alpha, seed=seed)
    assert np.sort(np.concatenate(parts)).tolist() == list(range(600))
    assert all((np.diff(part) > 0).all() for part in parts if len(part) > 1)


def test_dirichlet_is_as_uneven_as_asked():
    labels = np.arange(4000) % 10
    def spread(alpha): return holdings(dirichlet_parts(labels, 10, alpha), labels).std()
    assert spread(1e4) < 3 < spread(1) < spread(.1)


def test_dirichlets_shares_have_the_mean_and_variance_of_the_distribution():
    labels, alpha, k = np.zeros(1000, int), 2., 5
    shares = np.array([[len(p)/1000 for p in dirichlet_parts(labels, k, alpha, min_size=0, seed=s)]
                       for s in range(400)])
    assert abs(shares.mean() - 1/k) < 1e-9
    assert shares[:, 0].var() == pytest.approx((1/k)*(1 - 1/k)/(k*alpha + 1), rel=.2)


def test_the_smallest_client_has_what_was_asked():
    labels = np.arange(500) % 10
    assert min(map(len, dirichlet_parts(labels, 20, .3, min_size=8))) >= 8
    with pytest.raises(InputError, match='`min_size` is 40'):
        dirichlet_parts(labels, 20, .3, min_size=40)


def test_seeds_decide():
    labels = np.arange(100) % 10
    for deal in (lambda s: iid_parts(100, 4, s), lambda s: dirichlet_parts(labels, 4, 1., seed=s)):
        assert all(map(np.array_equal, deal(3), deal(3)))
        assert not all(map(np.array_equal, deal(3), deal(4)))


def test_by_person_the_writers_of_the_digits():
    writers = load('digits')['writers']
    parts = parts_by(writers)
    assert list(parts) == list(range(14)) and len(parts[0]) == 130
    assert all((writers[part] == who).all() for who, part in parts.items())


def test_by_site_with_names():
    parts = parts_by(['b', 'a', 'b'])
    assert {k: v.tolist() for k, v in parts.items()} == {'a': [1], 'b': [0, 2]}


def test_shares_that_are_alike_are_not_rounded_alike_in_every_class():
    labels = np.repeat(np.arange(100), 14)
    for clients, low, high in ((3, 430, 500), (20, 45, 95)):
        sizes = list(map(len, dirichlet_parts(labels, clients, 1e9)))
        assert low < min(sizes) and max(sizes) < high


def test_holdings_count():
    assert holdings([[0, 1], [2]], [1, 1, 2]).tolist() == [[0, 2, 0], [0, 0, 1]]


@pytest.mark.parametrize('call, name', [
    (lambda: each_row_once([], 3), '`parts`'),
    (lambda: each_row_once([[0, 1], [1, 2]], 3), 'row 1 is held 2 times'),
    (lambda: each_row_once([[0], [1]], 3), 'row 2 is held 0 times'),
    (lambda: each_row_once([[0], [2]], 3), 'row 1 is held 0 times'),
    (lambda: each_row_once([[0]], 10**12), 'row 1 is held 0 times'),
    (lambda: each_row_once([[0]], '1'), '`rows`'),
    (lambda: iid_parts(10, 10**9), '`clients`'),
    (lambda: holdings([[0]], np.array([2**31 - 1])), '`labels`'),
    (lambda: parts_by(np.ma.array([1, 2, 3], mask=[0, 1, 0])), '`who`'),
    (lambda: each_row_once([[0, 1], [2, 3]], 3), 'got 0 to 3'),
    (lambda: each_row_once([[0, 1, 2], []], 3), 'client 1 has 0'),
    (lambda: iid_parts(10, 0), '`clients`'),
    (lambda: iid_parts(0, 1), '`rows`'),
    (lambda: dirichlet_parts([0, 1], 1, 0.), '`alpha`'),
    (lambda: dirichlet_parts([0, 1], 1, np.inf), '`alpha`'),
    (lambda: dirichlet_parts([0., 1.], 1, 1.), '`labels`'),
    (lambda: dirichlet_parts([-1, 1], 1, 1.), '`labels`'),
    (lambda: dirichlet_parts([], 1, 1.), '`labels`'),
    (lambda: parts_by([]), '`who`'),
    (lambda: parts_by(['a', 'a', 'b'], min_size=2), 'fewer rows of b'),
])
def test_bad_input_is_named(call, name):
    with pytest.raises(InputError, match=name): call()


HALF = [0, 1]*5


@pytest.mark.parametrize('call, name', [
    (lambda: iid_parts(10, 2, -1), '`seed`'), (lambda: iid_parts(10, 2, 'x'), '`seed`'),
    (lambda: dirichlet_parts(HALF, 2, .5, seed=-1), '`seed`'),
    (lambda: dirichlet_parts(HALF, 2, .5, min_size='a'), '`min_size`'),
    (lambda: dirichlet_parts(HALF, 2, 1e308), '`alpha`'),
    (lambda: each_row_once([[.9], [1.2]], 2), '`parts`'),
    (lambda: each_row_once([[True], [False]], 2), '`parts`'),
    (lambda: each_row_once([np.ma.array([0, 1], mask=[0, 1])], 2), '`parts`'),
    (lambda: parts_by(['a', None]), '`who`'), (lambda: parts_by([1., float('nan')]), '`who`'),
    (lambda: labels_of(np.array([2**63 + 5], np.uint64)), '`labels`'),
    (lambda: labels_of(np.ma.array([0, 1], mask=[0, 1])), '`labels`'),
    (lambda: holdings([[0, 0]], [0, 1]), '`parts` .* twice'),
    (lambda: holdings([[-1]], [0, 1]), '`parts`'), (lambda: holdings([[5]], [0, 1]), '`parts`')])
def test_what_names_no_row_is_refused(call, name):
    with pytest.raises(InputError, match=name): call()


def test_nobody_holds_nothing():
    with pytest.raises(InputError, match='`parts`'): holdings([], [1])
    for least in ('x', -1, 1.5):
        with pytest.raises(InputError, match='`min_size`'): parts_by(['a'], min_size=least)
