"Communities, links, steps and pools against networkx, scikit-learn and loops"
import networkx as nx
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcourse.core.errors import InputError
from dlcourse.graphs.edges import undirected
from dlcourse.graphs.molecules import Molecules, in_one
from dlcourse.graphs.networks import (
    GraphNet,
    adamic_adar,
    louvain,
    modularity,
    non_edges,
    pooled,
    step_chances,
)

CLUB = nx.karate_club_graph()
EDGES = undirected(np.array(CLUB.edges).T, 34)


def random_graph(seed, n=15, e=30):
    g = nx.gnm_random_graph(n, e, seed=seed)
    return g, undirected(np.array(g.edges).T.reshape(2, -1).astype(int), n)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), k=st.integers(1, 6))
def test_modularity_is_networkx(seed, k):
    g, edges = random_graph(seed)
    groups = torch.randint(0, k, (15,), generator=torch.Generator().manual_seed(seed))
    sets = [set((groups == c).nonzero()[:, 0].tolist()) for c in range(k)]
    want = nx.community.modularity(g, [s for s in sets if s])
    assert modularity(edges, groups) == pytest.approx(want, abs=1e-9)


def test_louvain_finds_as_much_as_networkx_does():
    ours = np.mean([modularity(EDGES, louvain(EDGES, 34, s)) for s in range(10)])
    sets = [nx.community.louvain_communities(CLUB, weight=None, seed=s) for s in range(10)]
    theirs = np.mean([nx.community.modularity(CLUB, s, weight=None) for s in sets])
    assert ours > theirs - .01
    assert torch.equal(louvain(EDGES, 34, 3), louvain(EDGES, 34, 3))


def test_louvain_parts_what_is_apart_and_leaves_lonely_nodes_alone():
    edges = undirected([[0, 1, 2, 3, 4, 5], [1, 2, 0, 4, 5, 3]], 8)
    found = louvain(edges, 8)
    assert len(found.unique()) == 4 and len(found[:3].unique()) == len(found[3:6].unique()) == 1
    assert louvain([], 3).tolist() == [0, 1, 2]
    with pytest.raises(InputError, match='`edges`'): louvain([[0], [3]], 3)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999))
def test_adamic_adar_is_networkx(seed):
    g, edges = random_graph(seed)
    pairs = np.array(list(nx.non_edges(g))).T
    want = [score for _, _, score in nx.adamic_adar_index(g, pairs.T.tolist())]
    got = adamic_adar(edges, 15, torch.as_tensor(pairs))
    torch.testing.assert_close(got, torch.tensor(want, dtype=torch.float32).reshape(-1))


def test_all_pairs_without_an_edge_are_networkx():
    g, edges = random_graph(1)
    free = {tuple(sorted(p)) for p in nx.non_edges(g)}
    assert {tuple(p) for p in non_edges(edges, 15, len(free)).T.tolist()} == free
    with pytest.raises(InputError, match='`k` must be from 0 to 75'): non_edges(edges, 15, 76)
    with pytest.raises(InputError, match='`edges`'): non_edges([[0.], [1.]], 2, 0)


def test_plain_steps_are_even_and_all_add_up():
    for now in CLUB[0]:
        even = step_chances(EDGES, 34, 0, now, 1., 1.)
        assert even[list(CLUB[now])].sub(1/CLUB.degree[now]).abs().max() < 1e-6
        assert float(step_chances(EDGES, 34, 0, now, .3, 5.).sum()) == pytest.approx(1, abs=1e-6)


def graph_of(g, dim=3, seed=0):
    n = g.number_of_nodes()
    edges = undirected(np.array(g.edges).reshape(-1, 2).T.astype(int), n)
    x = torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))
    return Molecules(x, edges, torch.zeros(edges.shape[1], 0), torch.zeros(n, dtype=torch.int64), 1)


def test_pools_are_means_of_each_graph_and_zeros_without_nodes():
    x, graph = torch.arange(6.).reshape(3, 2), torch.tensor([1, 1, 3])
    assert pooled(x, graph, 5).tolist() == [[0, 0], [1, 2], [0, 0], [4, 5], [0, 0]]


def test_a_graph_is_answered_alone_as_in_a_batch_and_in_any_order_of_nodes():
    torch.manual_seed(0)
    net = GraphNet(3, 2).eval()
    graphs = [graph_of(nx.gnm_random_graph(n, n, seed=n), seed=n) for n in (5, 8, 1)]
    empty = Molecules(torch.zeros(0, 3), graphs[0].edges[:, :0], torch.zeros(0, 0),
                      torch.zeros(0, dtype=torch.int64), 1)
    batch = net(in_one([graphs[0], empty, *graphs[1:], empty]))
    assert batch.shape == (5, 2) and torch.isfinite(batch).all()
    for k, g in ((0, graphs[0]), (1, empty), (2, graphs[1]), (3, graphs[2]), (4, empty)):
        torch.testing.assert_close(net(g)[0], batch[k])
    g, order = graphs[1], torch.randperm(8)
    turned = g._replace(x=g.x[order], edges=order.argsort()[g.edges])
    torch.testing.assert_close(net(turned), net(g))


def test_bonds_change_the_answer_where_they_are_known():
    torch.manual_seed(0)
    net, g = GraphNet(3, 1, bonds=4).eval(), graph_of(nx.path_graph(4))
    single = g._replace(bonds=torch.eye(4)[[0]*6])
    double = g._replace(bonds=torch.eye(4)[[1]*6])
    assert (net(single) - net(double)).abs().max() > 1e-4
    with pytest.raises(InputError, match='`depth`'): GraphNet(3, 1, depth=0)


@pytest.mark.parametrize('edges', [[[1, 1, 2, 3], [2, 3, 1, 0]], [[0, 0, 1], [1, 1, 0]]])
def test_communities_need_both_directions(edges):
    with pytest.raises(InputError, match='`edges` must hold both directions'): louvain(edges, 4)


@pytest.mark.parametrize('edges', [[[0, -1], [1, 0]], [[0, 9], [1, 0]], [[0., 1.], [1., 0.]]])
@pytest.mark.parametrize(('name', 'call'), [
    ('edges', lambda e: step_chances(e, 3, 0, 1, 1., 1.)),
])
def test_nodes_that_are_not_there_are_refused(name, call, edges):
    with pytest.raises(InputError, match=f'`{name}` must'): call(torch.tensor(edges))
