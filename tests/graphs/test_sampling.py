"Drawn neighbours against enumeration, laws of chance and torch-geometric's subgraphs"
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcourse.core.errors import InputError
from dlcourse.graphs.sampling import (
    ends_before,
    latest_neighbours,
    neighbours_of,
    sample_hops,
    sample_neighbours,
    scattered_graph,
)


def some_graph(seed, n, e):
    return torch.randint(0, n, (2, e), generator=torch.Generator().manual_seed(seed))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 9999), n=st.integers(1, 12), e=st.integers(0, 60),
       fanout=st.integers(1, 8))
def test_draws_are_edges_of_the_graph_each_once(seed, n, e, fanout):
    edges = some_graph(seed, n, e)
    table = neighbours_of(edges, n)
    nodes = np.random.default_rng(seed).integers(0, n, 20)
    drawn = sample_neighbours(table, nodes, fanout, np.random.default_rng(seed))
    for node, row in zip(nodes, drawn, strict=True):
        real = row[row >= 0]
        assert len(set(real)) == len(real) == min(fanout, table.degree[node])
        assert (edges[1, table.edge[real]] == node).all()
        assert (edges[0, table.edge[real]].numpy() == table.other[real]).all()


@pytest.mark.parametrize(('degree', 'fanout'), [(5, 2), (5, 3), (4, 1), (6, 5)])
def test_every_set_of_neighbours_has_the_same_chance(degree, fanout):
    table = neighbours_of(torch.stack([torch.arange(degree), torch.zeros(degree).long()]), degree)
    rng, times = np.random.default_rng(degree), 20_000
    sets = np.sort(sample_neighbours(table, np.zeros(times, int), fanout, rng), 1)
    seen, sets = Counter(map(tuple, sets.tolist())), list(combinations(range(degree), fanout))
    assert set(seen) == set(sets)
    want = times/len(sets)
    assert sum((seen[s] - want)**2/want for s in sets) < len(sets) + 5*(2*len(sets))**.5


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 9999), n=st.integers(1, 6), e=st.integers(0, 60))
def test_nothing_from_now_or_later_is_drawn(seed, n, e):
    rng = np.random.default_rng(seed)
    edges, time = some_graph(seed, n, e), rng.integers(0, 9, e)
    table = neighbours_of(edges, n, time)
    nodes, before = rng.integers(0, n, 15), rng.integers(0, 11, 15)
    drawn = sample_neighbours(table, nodes, 60, rng, before)
    for node, t, row in zip(nodes, before, drawn, strict=True):
        want = np.flatnonzero((edges[1].numpy() == node) & (time < t))
        assert sorted(table.edge[row[row >= 0]]) == sorted(want)


def test_whole_neighbourhoods_are_torch_geometrics():
    utils = pytest.importorskip('torch_geometric.utils')
    for seed in range(5):
        edges = some_graph(seed, 60, 150).unique(dim=1)
        table, asked = neighbours_of(edges, 60), np.array([3, 7])
        got = sample_hops(table, asked, (60, 60), np.random.default_rng(0))
        nodes, _, _, _ = utils.k_hop_subgraph(torch.from_numpy(asked), 2, edges)
        assert sorted(got.nodes) == nodes.tolist()
        inner, *_ = utils.k_hop_subgraph(torch.from_numpy(asked), 1, edges)
        want = edges[:, torch.isin(edges[1], inner)]
        ours = got.nodes[got.edges]
        assert sorted(map(tuple, ours.T.tolist())) == sorted(map(tuple, want.T.tolist()))
        assert got.nodes[:2].tolist() == asked.tolist() and got.asked == 2


def test_torch_geometrics_loader_agrees_where_it_runs():
    typing = pytest.importorskip('torch_geometric.typing')
    if not (typing.WITH_PYG_LIB or typing.WITH_TORCH_SPARSE):
        pytest.skip('the loader needs pyg-lib or torch-sparse')
    from torch_geometric.data import Data
    from torch_geometric.loader import NeighborLoader
    edges = some_graph(1, 40, 160).unique(dim=1)
    loader = NeighborLoader(Data(edge_index=edges, num_nodes=40), [-1, -1], batch_size=5,
                            input_nodes=torch.arange(5))
    theirs = next(iter(loader)).n_id
    ours = sample_hops(neighbours_of(edges, 40), np.arange(5), (40, 40), np.random.default_rng(0))
    assert sorted(ours.nodes) == sorted(theirs.tolist())


def test_isolated_nodes_and_empty_graphs_have_no_neighbours():
    table = neighbours_of(torch.empty(2, 0, dtype=torch.int64), 3)
    rng = np.random.default_rng(0)
    assert (sample_neighbours(table, [0, 2], 4, rng) == -1).all()
    got = sample_hops(table, [1, 0], (3, 3), rng)
    assert got.nodes.tolist() == [1, 0] and got.edges.shape == (2, 0)
    assert sample_neighbours(table, [], 2, rng).shape == (0, 2)
    loop = neighbours_of([[1], [1]], 2)
    assert sample_hops(loop, [1], (2, 2), rng).edges.tolist() == [[0], [0]]


def test_bad_input_is_named():
    rng, edges = np.random.default_rng(0), [[0, 1], [1, 2]]
    table = neighbours_of(edges, 3)
    for call, says in ((lambda: neighbours_of([[0, 5], [1, 2]], 3), '`edges`'),
                       (lambda: neighbours_of([[0., 1], [1, 2]], 3), '`edges`'),
                       (lambda: neighbours_of(edges, 3, [1., np.nan]), '`time`'),
                       (lambda: neighbours_of(edges, 3, [1.]), '`time`'),
                       (lambda: sample_neighbours(table, [3], 1, rng), '`nodes`'),
                       (lambda: sample_neighbours(table, [.5], 1, rng), '`nodes`'),
                       (lambda: sample_neighbours(table, [0], 0, rng), '`fanout`'),
                       (lambda: sample_neighbours(table, [0], 1, rng, [1.]), '`table`'),
                       (lambda: sample_hops(table, [0, 0], (1,), rng), '`nodes`'),
                       (lambda: scattered_graph(0, 5), '`n`'),
                       (lambda: scattered_graph(5, 5, skew=2), '`skew`')):
        with pytest.raises(InputError, match=says): call()
    timed = neighbours_of(edges, 3, [1., 2.])
    with pytest.raises(InputError, match='`before`'): sample_neighbours(timed, [0], 1, rng, [1., 2])


def test_scattered_degrees_differ():
    alike, skewed = (torch.bincount(scattered_graph(1000, 20_000, skew=s)[1], minlength=1000)
                     for s in (0, .7))
    assert skewed.max() > 5*alike.max() and alike.float().std() < 6


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 9999), n=st.integers(1, 6), e=st.integers(0, 60), k=st.integers(1, 4))
def test_the_latest_are_the_last_before_the_time(seed, n, e, k):
    rng = np.random.default_rng(seed)
    edges, time = some_graph(seed, n, e), rng.permutation(e)
    table = neighbours_of(edges, n, time)
    nodes, before = rng.integers(0, n, 15), rng.integers(0, 66, 15)
    for node, t, row in zip(nodes, before, latest_neighbours(table, nodes, k, before), strict=True):
        want = sorted(time[(edges[1].numpy() == node) & (time < t)])[::-1][:k]
        assert table.time[row[row >= 0]].tolist() == want and (row >= 0).sum() == len(want)


def test_times_that_are_none_and_nodes_that_are_not_there_are_refused():
    table = neighbours_of([[0, 1], [1, 0]], 2, np.array([0., 1]))
    with pytest.raises(InputError, match='`before`'): latest_neighbours(table, [1], 2, [np.nan])
    with pytest.raises(InputError, match='`before`'):
        ends_before(table, [1], np.array(['2026-01-01'], 'datetime64[D]'))
    with pytest.raises(InputError, match='`nodes`'): ends_before(table, [-1], [2.])
    assert ends_before(table, [1], [2.]).tolist() == [2]
