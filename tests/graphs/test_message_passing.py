"Layers against torch-geometric's, values and gradients; what no order of nodes changes; training"
from dataclasses import replace

import networkx as nx
import numpy as np
import pytest
import torch
from torch import nn

from dlcourse.core.cards import card
from dlcourse.core.downloads import is_here
from dlcourse.core.errors import InputError
from dlcourse.graphs.edges import SparseMatrix, adjacency, undirected, with_self_loops
from dlcourse.graphs.message_passing import (
    GAT,
    GCN,
    GATLayer,
    GCNLayer,
    GINLayer,
    SAGELayer,
    cora_gcn,
    dropped,
    fit_nodes,
    gcn_matrix,
    node_scores,
    refined,
)
from dlcourse.graphs.planetoid import block_task

N = 12


def graph(seed=0, e=25):
    g = torch.Generator().manual_seed(seed)
    edges = undirected(torch.randint(0, N - 1, (2, e), generator=g), N)
    return edges, torch.randn(N, 5, generator=g)


def pairs():
    "Ours and torch-geometric's with the same weights, and what each takes beside features"
    pyg = pytest.importorskip('torch_geometric.nn')
    edges, _ = graph()
    loops, net = with_self_loops(edges, N), nn.Sequential(nn.Linear(5, 7), nn.ReLU())
    gcn, sage, gin = GCNLayer(5, 4), SAGELayer(5, 4), GINLayer(net)
    gats = [GATLayer(5, 4, 3), GATLayer(5, 4, 3, concat=False)]
    a, b, g = pyg.GCNConv(5, 4), pyg.SAGEConv(5, 4), pyg.GINConv(net, train_eps=True)
    cs = [pyg.GATConv(5, 4, 3), pyg.GATConv(5, 4, 3, concat=False)]
    with torch.no_grad():
        for layer in (gcn, sage, *gats): nn.init.normal_(layer.bias)
        gin.eps.fill_(.3)
        g.eps.fill_(.3)
        a.lin.weight.copy_(gcn.weight.T)
        a.bias.copy_(gcn.bias)
        b.lin_l.weight.copy_(sage.theirs.T)
        b.lin_r.weight.copy_(sage.own.T)
        b.lin_l.bias.copy_(sage.bias)
        for c, gat in zip(cs, gats, strict=True):
            c.lin.weight.copy_(gat.weight.T)
            c.att_src.copy_(gat.sender[None])
            c.att_dst.copy_(gat.receiver[None])
            c.bias.copy_(gat.bias)
    return [(gcn, a, gcn_matrix(edges, N), edges), (sage, b, edges, edges), (gin, g, edges, edges),
            *((gat, c, loops, edges) for gat, c in zip(gats, cs, strict=True))]


@pytest.mark.parametrize('k', range(5), ids=['GCN', 'GraphSAGE', 'GIN', 'GAT', 'GAT, mean'])
def test_layers_are_torch_geometrics_in_values_and_gradients(k):
    torch.manual_seed(k)
    ours, theirs, mine, edges = pairs()[k]
    _, x = graph()
    a, b = x.clone().requires_grad_(), x.clone().requires_grad_()
    one, other = ours(a, mine), theirs(b, edges)
    torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    one.square().sum().backward()
    other.square().sum().backward()
    torch.testing.assert_close(a.grad, b.grad, rtol=1e-4, atol=1e-4)
    if hasattr(ours, 'bias'): assert ours.bias.grad.abs().sum() > 0


@pytest.mark.filterwarnings('ignore:The hashes produced')
def test_refinement_tells_apart_what_networkx_does_and_nothing_else():
    for seed in range(6):
        for k in range(2):
            g, h = ((nx.gnm_random_graph(8, 10, seed=s) if k else nx.random_regular_graph(3, 8, s))
                    for s in (seed, seed + 90))
            both = nx.disjoint_union(g, h)
            colours = torch.zeros(16, dtype=torch.int64)
            for _ in range(8): colours = refined(colours, undirected(np.array(both.edges).T, 16))
            same = sorted(colours[:8].tolist()) == sorted(colours[8:].tolist())
            theirs = [nx.weisfeiler_lehman_graph_hash(x, iterations=8) for x in (g, h)]
            assert same == (theirs[0] == theirs[1])


@pytest.mark.parametrize('kind', ['GCN', 'GraphSAGE', 'GIN', 'GAT'])
def test_another_order_of_nodes_is_another_order_of_answers(kind):
    torch.manual_seed(0)
    edges, x = graph()
    order = torch.randperm(N)
    place = order.argsort()
    layer = {'GCN': GCNLayer(5, 4), 'GraphSAGE': SAGELayer(5, 4), 'GAT': GATLayer(5, 4, 2),
             'GIN': GINLayer(nn.Linear(5, 4))}[kind]
    def given(e): return {'GCN': gcn_matrix(e, N), 'GAT': with_self_loops(e, N)}.get(kind, e)
    torch.testing.assert_close(layer(x[order], given(place[edges])), layer(x, given(edges))[order])


@pytest.mark.parametrize('kind', ['GCN', 'GraphSAGE', 'GIN', 'GAT'])
def test_no_edges_and_isolated_nodes_give_finite_answers(kind):
    x, none = torch.randn(3, 5), torch.empty(2, 0, dtype=torch.int64)
    layer = {'GCN': GCNLayer(5, 4), 'GraphSAGE': SAGELayer(5, 4), 'GAT': GATLayer(5, 4),
             'GIN': GINLayer(nn.Linear(5, 4))}[kind]
    for edges in (none, torch.tensor([[0], [1]])):
        as_they_are = [edges, with_self_loops(edges, 3)]
        for given in [gcn_matrix(edges, 3)] if kind == 'GCN' else as_they_are:
            assert torch.isfinite(layer(x, given)).all()


def test_wrong_edges_are_refused_by_name():
    with pytest.raises(InputError, match='`edges`.*edge 0 is 0 → 9'): gcn_matrix([[0], [9]], 3)
    with pytest.raises(InputError, match='`edges`.*float'): gcn_matrix([[0.], [1.]], 3)
    with pytest.raises(InputError, match='`epochs`'):
        fit_nodes(GCN(200, 4), block_task(), gcn_matrix([], 600), epochs=0)


def test_sparse_features_are_dense_ones_and_dropout_waits_for_training():
    torch.manual_seed(0)
    task = block_task(size=20)
    dense, a = task.features.matrix.to_dense(), gcn_matrix(task.edges, task.n)
    for model, given in ((GCN(200, 4), a), (GAT(200, 4), with_self_loops(task.edges, task.n))):
        model.eval()
        torch.testing.assert_close(model(task.features, given), model(dense, given))
    assert dropped(dense, .5, False) is dense
    assert dropped(task.features, .5, True).matrix.values().eq(0).any()


def test_training_keeps_the_epoch_that_is_best_on_validation_nodes():
    torch.manual_seed(0)
    task = block_task(size=60, inside=.08)
    a, model = gcn_matrix(task.edges, task.n), GCN(200, 4)
    run = fit_nodes(model, task, a, epochs=40)
    (valid, _), test = node_scores(model, task, a)
    assert (valid, test) == (run.valid, run.test) and run.test > .6
    everywhere = fit_nodes(GCN(200, 4), task, a, epochs=5, every=3, decay_all=True)
    assert 0 <= everywhere.epoch < 5


def test_a_symmetric_matrix_has_one_way_back():
    edges, _ = graph()
    a = gcn_matrix(edges, N)
    torch.testing.assert_close(a.matrix.to_dense(), a.turned.to_dense())
    assert isinstance(a, SparseMatrix)
    torch.testing.assert_close(a.matrix.to_dense(),
                               adjacency(with_self_loops(edges, N), N, 'sym').to_dense())


@pytest.mark.skipif(not is_here(card('cora'), None), reason="Cora is not here")
def test_the_kept_model_of_cora_answers():
    model, about = cora_gcn()
    assert 'field of a paper' in about.summary and not model.training
    assert float(about.results[0].claim.split()[-1]) > .8


@pytest.mark.parametrize('layer', [GINLayer(nn.Identity()), SAGELayer(3, 2), GATLayer(3, 2)])
def test_a_sender_of_minus_one_is_no_node(layer):
    with pytest.raises(InputError, match='`edges`'):
        layer(torch.ones(4, 3), torch.tensor([[-1], [1]]))


def test_training_stops_at_a_nan_and_reaches_what_the_model_itself_holds():
    task = block_task(0, size=40)
    a, words = gcn_matrix(task.edges, task.n), task.features
    bad = replace(task, features=words.with_values(words.matrix.values()*np.nan))
    with pytest.raises(InputError, match='the loss is nan'):
        fit_nodes(GCN(words.shape[1], 4), bad, a, epochs=3)
    with pytest.raises(InputError, match='`every`'):
        fit_nodes(GCN(words.shape[1], 4), task, a, epochs=3, every=0)

    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.gcn, self.scale = GCN(words.shape[1], 4), nn.Parameter(torch.ones(()))

        def forward(self, x, a): return self.scale*self.gcn(x, a)
    model = Scaled()
    fit_nodes(model, task, a, epochs=5)
    assert model.scale != 1
