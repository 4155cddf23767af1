"Edges, scatters and sparse matrices against dense ones and torch-geometric"
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcourse.core.errors import InputError
from dlcourse.graphs.edges import (
    SparseMatrix,
    adjacency,
    checked_edges,
    degrees,
    scatter_max,
    scatter_mean,
    scatter_softmax,
    scatter_sum,
    sparse_rows,
    undirected,
    with_self_loops,
    without_self_loops,
)


def random_edges(seed, n, e):
    return torch.randint(0, n, (2, e), generator=torch.Generator().manual_seed(seed))


def dense_of(edges, n):
    a = torch.zeros(n, n, dtype=torch.float64)
    for s, t in edges.T.tolist(): a[t, s] += 1
    return a


graphs = dict(seed=st.integers(0, 9999), n=st.integers(1, 9), e=st.integers(0, 30))


@settings(max_examples=40, deadline=None)
@given(**graphs)
def test_scatters_are_loops_over_what_arrives(seed, n, e):
    edges = random_edges(seed, n, e)
    x = torch.randn(e, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    for k in range(n):
        mine = x[edges[1] == k]
        zero = torch.zeros(2, 3, dtype=torch.float64)
        for f, want in ((scatter_sum, mine.sum(0)), (scatter_mean, mine.mean(0)),
                        (scatter_max, mine.amax(0) if len(mine) else zero)):
            want = want if len(mine) else zero
            torch.testing.assert_close(f(x, edges[1], n)[k], want)
        got = scatter_softmax(x, edges[1], n)[edges[1] == k]
        torch.testing.assert_close(got, mine.softmax(0))


@settings(max_examples=40, deadline=None)
@given(**graphs)
def test_matrices_are_the_dense_ones_by_formula(seed, n, e):
    edges = random_edges(seed, n, e)
    a = dense_of(edges, n)
    degree = a.sum(1)
    torch.testing.assert_close(degrees(edges[1], n).double(), degree)
    root = torch.where(degree > 0, degree.clamp(min=1)**-.5, 0)
    over = torch.where(degree > 0, 1/degree.clamp(min=1), 0)
    for norm, want in ((None, a), ('sym', root[:, None]*a*root), ('row', over[:, None]*a)):
        got = adjacency(edges, n, norm, torch.ones(e, dtype=torch.float64))
        assert got.layout == torch.sparse_csr
        torch.testing.assert_close(got.to_dense(), want)
        x = torch.randn(n, 2, dtype=torch.float64, requires_grad=True)
        product = SparseMatrix(got)
        torch.testing.assert_close(product @ x, want @ x)
        torch.testing.assert_close(product.T @ x, want.T @ x)
        if n: torch.autograd.gradcheck(lambda x, m=product: m @ x, x)


def test_the_symmetric_norm_is_torch_geometrics():
    gcn_norm = pytest.importorskip('torch_geometric.nn.conv.gcn_conv').gcn_norm
    edges = with_self_loops(undirected(random_edges(0, 8, 12), 8), 8)
    index, values = gcn_norm(edges, num_nodes=8, add_self_loops=False)
    want = torch.zeros(8, 8).index_put((index[1], index[0]), values, accumulate=True)
    torch.testing.assert_close(adjacency(edges, 8, 'sym').to_dense(), want)


@settings(max_examples=40, deadline=None)
@given(**graphs)
def test_both_directions_once_and_one_loop_each(seed, n, e):
    edges = random_edges(seed, n, e)
    both = set(map(tuple, undirected(edges, n).T.tolist()))
    pairs = {(s, t) for s, t in edges.T.tolist()}
    assert both == pairs | {(t, s) for s, t in pairs} and len(both) == undirected(edges, n).shape[1]
    looped = with_self_loops(edges, n)
    assert sorted(looped[0][looped[0] == looped[1]].tolist()) == list(range(n))
    assert (without_self_loops(edges, n)[0] != without_self_loops(edges, n)[1]).all()
    assert looped.shape[1] == without_self_loops(edges, n).shape[1] + n


def test_nothing_arriving_is_zero_and_no_edges_are_a_graph():
    none = torch.empty(2, 0, dtype=torch.int64)
    for edges in ([], [[], []], none): assert checked_edges(edges, 4).shape == (2, 0)
    for f in (scatter_sum, scatter_mean, scatter_max):
        assert f(torch.empty(0, 3), none[1], 4).eq(0).all()
    for norm in (None, 'sym', 'row'):
        assert adjacency(none, 4, norm).to_dense().eq(0).all()
    assert adjacency(none, 0).shape == (0, 0)
    assert (SparseMatrix(adjacency(none, 4)) @ torch.ones(4, 2)).eq(0).all()


def test_softmax_of_large_numbers_is_finite():
    values = torch.tensor([1e4, 1e4 + 1, -1e4])
    got = scatter_softmax(values, torch.tensor([0, 0, 1]), 2)
    torch.testing.assert_close(got[:2], torch.tensor([0., 1]).softmax(0))
    assert got[2] == 1


@pytest.mark.parametrize('edges, n, said', [
    ([[0., 1.], [1., 0.]], 2, 'float32'), ([[True], [False]], 2, 'bool'),
    ([[0, 1, 2]], 3, r'\(1, 3\)'), ([0, 1], 3, r'\(2,\)'), ([[[0]], [[1]]], 3, r'\(2, 1, 1\)'),
    ([[0, 1], [1, 2]], 2, 'edge 1 is 1 → 2'), ([[0, -1], [1, 0]], 2, 'edge 1 is -1 → 0'),
    ([[0], [0]], 0, '`n` is 0'), ([[0], [0]], -1, '`n`'), ([[0], [0]], 1.5, '`n`')])
def test_edges_that_do_not_fit_are_refused_by_name(edges, n, said):
    with pytest.raises(InputError, match=said): checked_edges(edges, n)


def test_other_wrong_arguments_are_refused_by_name():
    x, edges = torch.ones(2, 1), torch.tensor([[0, 1], [1, 0]])
    with pytest.raises(InputError, match='`index` must be one'): scatter_sum(x, edges[0][:1], 2)
    with pytest.raises(InputError, match='`index` must be one'): scatter_sum(x, torch.ones(2), 2)
    with pytest.raises(InputError, match='`index` must be from'): scatter_sum(x, edges[0], 1)
    with pytest.raises(InputError, match='`norm`'): adjacency(edges, 2, 'both')
    with pytest.raises(InputError, match='`weights`'): adjacency(edges, 2, weights=torch.ones(3))
    with pytest.raises(InputError, match='`weights`'):
        adjacency(edges, 2, weights=torch.ones(2, dtype=torch.int64))


def test_a_sparse_matrix_moves_to_another_precision():
    a = SparseMatrix(adjacency([[0, 1], [1, 0]], 2)).to(torch.float64)
    assert a.shape == (2, 2) and (a @ torch.ones(2, 1, dtype=torch.float64)).dtype == torch.float64


def test_dropout_keeps_both_ways_in_step_and_the_mean():
    torch.manual_seed(0)
    a = SparseMatrix(adjacency(random_edges(1, 9, 40), 9))
    dropped = a.dropout(.5)
    torch.testing.assert_close(dropped.matrix.to_dense().T, dropped.turned.to_dense())
    assert set(dropped.matrix.values().div(a.matrix.values()).unique().tolist()) == {0., 2.}
    mean = sum(a.dropout(.3).matrix.to_dense() for _ in range(2000))/2000
    torch.testing.assert_close(mean, a.matrix.to_dense(), rtol=.15, atol=.1)
    torch.testing.assert_close(a.T.T.dropout(0.).matrix.to_dense(), a.matrix.to_dense())
    assert len(a) == 9


@pytest.mark.parametrize('kind', [torch.float16, torch.bfloat16])
def test_a_row_of_numbers_adds_up_in_half_precision_as_a_column_does(kind):
    ones, index = torch.ones(5000, dtype=kind), torch.zeros(5000, dtype=torch.int64)
    assert scatter_mean(ones, index, 1).float().item() == pytest.approx(1, abs=.01)
    assert torch.equal(scatter_sum(ones, index, 1), scatter_sum(ones[:, None], index, 1)[:, 0])
    assert scatter_softmax(ones, index, 1).float().sum().item() == pytest.approx(1, abs=.02)


PLACE = torch.tensor([0, 1])


@pytest.mark.parametrize(('call', 'name'), [
    (lambda: checked_edges([[0, 1], [0]], 2), '`edges`'),
    (lambda: checked_edges('ab', 2), '`edges`'),
    (lambda: checked_edges(None, 2), '`edges`'),
    (lambda: scatter_sum(torch.ones(2), torch.tensor([True, False]), 2), '`index`'),
    (lambda: adjacency([[0, 1], [1, 0]], 2, 'row', torch.tensor([-1., 2.])), '`weights`'),
    (lambda: adjacency([[0, 1], [1, 0]], 2, None, torch.tensor([torch.nan, 2.])), '`weights`'),
    (lambda: sparse_rows(PLACE + 9, PLACE, torch.ones(2), (2, 2)), '`rows`'),
    (lambda: sparse_rows(PLACE, PLACE - 1, torch.ones(2), (2, 2)), '`columns`'),
    (lambda: SparseMatrix(adjacency([[0], [1]], 2)).with_values(torch.ones(3)), '`values`'),
    (lambda: SparseMatrix(adjacency([[0], [1]], 2)).with_values(torch.ones(1, 1)), '`values`'),
])
def test_what_does_not_fit_is_named(call, name):
    with pytest.raises(InputError, match=name): call()


@pytest.mark.parametrize('count', [0, 1, 2, 4])
def test_the_mean_of_powers_is_that_of_dense_products_with_its_gradient(count):
    a = SparseMatrix(adjacency(random_edges(2, 9, 40), 9, 'row')) # Not symmetric
    dense = a.matrix.to_dense()
    terms = torch.stack([torch.linalg.matrix_power(dense, k) for k in range(count + 1)]).mean(0)
    x = torch.randn(9, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    kept, weights = x.detach().clone(), torch.arange(27.).reshape(9, 3)
    got = a.powers_mean(x, count)
    assert torch.allclose(got, terms @ x, atol=1e-6) and torch.equal(x, kept)
    ours, = torch.autograd.grad((got*weights).sum(), x)
    theirs, = torch.autograd.grad((terms @ x*weights).sum(), x)
    assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize('count', [-1, 1.5, True, 'two'])
def test_the_mean_of_powers_says_what_it_cannot_take(count):
    square = SparseMatrix(adjacency([[0], [1]], 2))
    with pytest.raises(InputError, match='`count`'): square.powers_mean(torch.ones(2, 1), count)


def test_only_a_square_matrix_has_powers():
    oblong = SparseMatrix(sparse_rows(torch.tensor([0]), torch.tensor([1]), torch.ones(1), (2, 3)))
    with pytest.raises(InputError, match='must be square; it is 2 × 3'):
        oblong.powers_mean(torch.ones(3, 1), 1)
