"Clusters, mixtures and maps against scikit-learn, autograd and closed forms"
import math
import warnings

import numpy as np
import pytest
import torch
from scipy.optimize import curve_fit
from scipy.spatial.distance import pdist
from scipy.stats import spearmanr
from sklearn import cluster, manifold, metrics, mixture
from sklearn.decomposition import PCA
from sklearn.manifold._t_sne import _joint_probabilities

from dlcourse.core.errors import InputError
from dlcourse.paradigms.deep_clusters import (
    DeepClusters,
    sharpened,
    soft_assignments,
    train_deep_clusters,
)
from dlcourse.paradigms.embeddings import (
    distance_order,
    fuzzy_graph,
    kept_neighbours,
    moons,
    nearest_rows,
    neighbour_chances,
    neighbour_graph,
    normalized_graph,
    pca_map,
    spectral_map,
    squared_distances,
    tsne,
    tsne_divergence,
    tsne_slope,
    umap_like,
)
from dlcourse.paradigms.unsupervised import (
    adjusted_rand,
    crossed,
    em_step,
    first_centers,
    fit_mixture,
    k_means,
    lloyd,
    next_center_chances,
    normalized_information,
    silhouette,
    spectral_clusters,
    stability,
    update_centers,
)


def rng(seed=0): return torch.Generator().manual_seed(seed)


def points(n=120, dim=4, seed=0, k=3):
    g = rng(seed)
    middles = 4*torch.randn(k, dim, generator=g, dtype=torch.float64)
    group = torch.arange(n) % k
    return middles[group] + torch.randn(n, dim, generator=g, dtype=torch.float64), group


@pytest.mark.parametrize('seed', range(4))
def test_lloyd_walks_as_scikit_learns_does(seed):
    x, _ = points(seed=seed)
    start = first_centers(x, 5, rng(seed))
    ours = lloyd(x, start)
    peer = cluster.KMeans(5, init=start.numpy(), n_init=1, tol=0).fit(x.numpy())
    np.testing.assert_allclose(ours.centers, peer.cluster_centers_, atol=1e-9)
    assert ours.inertia == pytest.approx(peer.inertia_)


@pytest.mark.parametrize('seed', range(6))
def test_inertia_never_rises_while_no_cluster_is_empty(seed):
    x, _ = points(200, 2, seed, 6)
    history = lloyd(x, x[:7]).history
    assert all(b <= a + 1e-9 for a, b in zip(history, history[1:], strict=False))


def test_empty_clusters_are_filled():
    x, _ = points(30, 2)
    far = torch.full((3, 2), 1e3, dtype=torch.float64) + torch.arange(3).double()[:, None]
    found = lloyd(x, torch.cat([x[:1], far]))
    assert len(found.labels.unique()) == 4 and torch.isfinite(found.centers).all()
    assert k_means(torch.tensor([[0.], [0], [0], [1], [2]]), 3).inertia == 0


def test_chances_leave_out_what_was_chosen_and_update_keeps_types():
    x, labels = points(20)
    assert next_center_chances(x, x[:3])[:3].abs().max() < 1e-12
    for kind in (torch.float32, torch.float64):
        assert update_centers(x.to(kind), labels, x[:4].to(kind)).dtype == kind


@pytest.mark.parametrize('seed', range(4))
def test_em_walks_as_scikit_learns_does_and_never_falls(seed):
    x, _ = points(150, 3, seed)
    first = fit_mixture(x, 3, steps=1, seed=seed)
    state, values = (first.weights, first.means, first.covariances), []
    for _ in range(15):
        *state, value = em_step(x, *state)
        values.append(float(value))
    with warnings.catch_warnings(): # It says that it has not converged
        warnings.simplefilter('ignore')
        peer = mixture.GaussianMixture(
            3, tol=0, max_iter=15, weights_init=first.weights, means_init=first.means,
            precisions_init=torch.linalg.inv(first.covariances)).fit(x)
    np.testing.assert_allclose(state[0], peer.weights_, atol=1e-8)
    np.testing.assert_allclose(state[1], peer.means_, atol=1e-7)
    np.testing.assert_allclose(state[2], peer.covariances_, atol=1e-7)
    assert min(np.diff(values)) > -1e-9


def test_a_mixture_of_one_is_the_normal_distribution_and_bic_is_scikit_learns():
    x, _ = points(80, 3)
    ours = fit_mixture(x, 1, ridge=0.)
    np.testing.assert_allclose(ours.means[0], x.mean(0))
    np.testing.assert_allclose(ours.covariances[0], np.cov(x.T, bias=True), atol=1e-12)
    ours = fit_mixture(x, 3, tolerance=1e-9, steps=500)
    peer = mixture.GaussianMixture(
        3, weights_init=ours.weights, means_init=ours.means, tol=1e-9, max_iter=500,
        precisions_init=torch.linalg.inv(ours.covariances)).fit(x)
    assert ours.bic(x) == pytest.approx(peer.bic(x), abs=.05)
    np.testing.assert_allclose(ours.posterior(x), peer.predict_proba(x), atol=1e-3)
    assert torch.equal(ours.labels(x), ours.posterior(x).argmax(1))


@pytest.mark.parametrize('seed', range(8))
def test_agreement_is_scikit_learns(seed):
    g = rng(seed)
    a = torch.randint(1 + seed, (40,), generator=g)
    b = torch.where(torch.rand(40, generator=g) < .5, a, torch.randint(3, (40,), generator=g))
    assert adjusted_rand(a, b) == pytest.approx(metrics.adjusted_rand_score(a, b))
    assert normalized_information(a, b) == pytest.approx(metrics.normalized_mutual_info_score(a, b))
    table = metrics.cluster.contingency_matrix(a, b)
    np.testing.assert_array_equal(crossed(a, b), table)


def test_silhouette_is_scikit_learns_a_lone_row_counts_nothing():
    x, labels = points(50)
    labels[7] = 9
    assert silhouette(x, labels) == pytest.approx(metrics.silhouette_score(x, labels))


def test_moons_need_neighbours():
    x, which = moons(200, rng(), noise=.05)
    assert adjusted_rand(spectral_clusters(x, 2), which) == 1.
    assert adjusted_rand(k_means(x, 2).labels, which) < .5


def test_heaps_are_stable_at_their_number():
    x, _ = points(150, 8, seed=3)
    assert stability(x, 3) > .95 > stability(x, 5)


def test_main_axes_are_scikit_learns_up_to_signs():
    x, _ = points()
    peer = PCA(3).fit_transform(x.numpy())
    np.testing.assert_allclose(pca_map(x, 3).abs(), abs(peer), atol=1e-9)


def test_spectral_map_vibrates_slowest():
    x, _ = points(60, 2)
    matrix = normalized_graph(neighbour_graph(x, 20))
    values, vectors = np.linalg.eigh(matrix.numpy())
    got = spectral_map(neighbour_graph(x, 20), 2)
    np.testing.assert_allclose(matrix @ got, got*torch.tensor(values[[-2, -3]]), atol=1e-9)


def test_neighbours_are_those_of_all_distances():
    x, _ = points(40)
    apart = torch.cdist(x, x).fill_diagonal_(math.inf)
    near, who = nearest_rows(x, 5)
    torch.testing.assert_close(near, apart.sort(1).values[:, :5])
    torch.testing.assert_close(apart.gather(1, who), near)
    torch.testing.assert_close(squared_distances(x, x[:3]), torch.cdist(x, x[:3]).square())


def test_chances_have_the_perplexity_and_are_scikit_learns():
    x, _ = points(80)
    p = neighbour_chances(x, 12.)
    entropy = torch.special.entr(p).sum(1)
    torch.testing.assert_close(entropy.exp(), torch.full_like(entropy, 12.))
    joint = ((p + p.T)/160).numpy()
    peer = _joint_probabilities(squared_distances(x, x).numpy(), 12., 0)
    np.testing.assert_allclose(joint[np.triu_indices(80, 1)], peer, rtol=1e-3, atol=1e-8)


def test_slope_of_tsne_is_autograds():
    x, _ = points(30)
    p = neighbour_chances(x, 5.)
    joint, y = (p + p.T)/60, torch.randn(30, 2, generator=rng(), dtype=torch.float64)
    y.requires_grad_()
    tsne_divergence(y, joint).backward()
    torch.testing.assert_close(tsne_slope(y.detach(), joint), y.grad)


def test_tsne_reaches_the_divergence_of_scikit_learns_exact_one():
    x, _ = points(120, 6, seed=2)
    p = neighbour_chances(x, 15.)
    joint = (p + p.T)/(2*len(x))
    peer = manifold.TSNE(perplexity=15, method='exact', init='pca', random_state=0).fit(x.numpy())
    ours = float(tsne_divergence(tsne(x, perplexity=15.), joint))
    assert ours < peer.kl_divergence_ + .05


def test_umaps_graph_and_curve_are_as_published():
    x, _ = points(60)
    near, who = nearest_rows(x, 8)
    graph = fuzzy_graph(x, 8)
    assert torch.equal(graph, graph.T)
    torch.testing.assert_close(graph.gather(1, who[:, :1]), torch.ones(60, 1).double())
    d = np.linspace(0, 3, 300)
    want = np.where(d < .1, 1, np.exp(-(d - .1)))
    (a, b), _ = curve_fit(lambda d, a, b: 1/(1 + a*d**(2*b)), d, want)
    assert (a, b) == pytest.approx((1.577, .895), abs=2e-3)


def test_maps_keep_heaps_together_and_repeat():
    x, group = points(90, 5)
    for make in (tsne, umap_like):
        y = make(x, steps=200)
        assert adjusted_rand(k_means(y, 3).labels, group) > .9
        assert torch.equal(y, make(x, steps=200))


def test_what_maps_keep():
    x, _ = points(50)
    assert kept_neighbours(x, 3*x + 1) == 1. and distance_order(x, 2*x) == pytest.approx(1)
    y = torch.randn(50, 2, generator=rng(1), dtype=torch.float64)
    want = spearmanr(pdist(x.numpy()), pdist(y.numpy())).statistic
    assert distance_order(x, y) == pytest.approx(want, abs=1e-6)


def test_targets_follow_the_paper():
    q = torch.rand(7, 3, generator=rng()).softmax(1)
    f = q.sum(0)
    for i in range(7):
        want = (q[i]**2/f)/(q[i]**2/f).sum()
        torch.testing.assert_close(sharpened(q)[i], want)
    model = DeepClusters(4, 3)
    x = torch.rand(6, 4)
    torch.testing.assert_close(model(x).sum(1), torch.ones(6))
    torch.testing.assert_close(model(x), soft_assignments(model.encoder(x), model.centers))


def test_deep_clusters_find_heaps_and_leave_the_random_state_alone():
    x, group = points(120, 8)
    x = ((x - x.min())/(x.max() - x.min())).float()
    before = torch.random.get_rng_state()
    model = train_deep_clusters(x, 3, warm=40, epochs=10)
    assert torch.equal(before, torch.random.get_rng_state())
    assert adjusted_rand(model.labels(x), group) > .9


@pytest.mark.parametrize(('call', 'name'), [
    (lambda: k_means(torch.zeros(5, 2), 2), '`k` must be at most 1'),
    (lambda: k_means(torch.eye(3), 4), '`k` must be at most 3'),
    (lambda: k_means(torch.eye(3), 0), 'k'),
    (lambda: k_means(torch.eye(3).long(), 2), 'convert with'),
    (lambda: k_means(torch.tensor([[0.], [math.nan], [2]]), 2), 'row 1'),
    (lambda: fit_mixture(torch.zeros(5, 2), 2), '`k`'),
    (lambda: crossed([0, 1], [0]), '`a` and `b`'),
    (lambda: silhouette(torch.eye(3), torch.zeros(3).long()), '`labels`'),
    (lambda: spectral_clusters(torch.eye(3), 3), '`k`'),
    (lambda: tsne(torch.eye(5)), 'perplexity'),
    (lambda: umap_like(torch.eye(5), k=1), 'k'),
    (lambda: normalized_graph(torch.zeros(2, 2)), 'row 0'),
    (lambda: kept_neighbours(torch.eye(4), torch.eye(3)), '`y`'),
    (lambda: train_deep_clusters(torch.eye(3), 2), 'two rows'),
    (lambda: DeepClusters(4, 0), 'k'),
    (lambda: k_means(torch.arange(3.).repeat(100)[:, None], 5), '`k` must be at most 3'),
    (lambda: fit_mixture(torch.arange(3.).repeat(100)[:, None], 5), '`k` must be at most 3'),
    (lambda: fit_mixture(1e4*points(50, 1)[0].float() + torch.zeros(1, 3), 2), '`ridge`'),
    (lambda: silhouette(torch.eye(3)*math.nan, torch.tensor([0, 0, 1])), 'row 0'),
    (lambda: silhouette(torch.eye(4), torch.tensor([0, 0, 1])), '`labels`'),
    (lambda: spectral_clusters(points(12)[0], 12), '`k`'),
    (lambda: spectral_clusters(points(8)[0], 2), '`neighbours`'),
    (lambda: tsne(torch.ones(50, 3), perplexity=5), '`start`'),
    (lambda: tsne(torch.eye(9), perplexity=5, start=torch.ones(9, 2)), '`start`'),
    (lambda: tsne(torch.eye(9), perplexity=5, start=torch.eye(8)), '`start`'),
    (lambda: normalized_graph(torch.tensor([[2., -1], [-1, 2]])), '0 or more'),
    (lambda: normalized_graph(torch.full((2, 2), math.nan)), 'none NaN'),
    (lambda: distance_order(torch.eye(4), torch.eye(3)), '`y`'),
    (lambda: distance_order(torch.eye(4), torch.eye(4)*math.nan), '`y`'),
    (lambda: train_deep_clusters(torch.eye(9), 2, epochs=0), '`epochs`'),
    (lambda: adjusted_rand([0., math.nan], [0, 1]), 'got NaN'),
    (lambda: normalized_information([0, 1], [math.nan, 1.]), 'got NaN'),
])
def test_what_cannot_be_is_named(call, name):
    with pytest.raises(InputError, match=name): call()


def test_chances_are_even_where_all_rows_are_centers():
    x = torch.ones(40, 2)
    assert next_center_chances(x, x[:1]).tolist() == pytest.approx([1/40]*40)
    with pytest.raises(InputError, match='`k` must be at most 1'): k_means(x, 2, starts=1)


@pytest.mark.parametrize('far', [0., 100., 1e4])
def test_it_does_not_matter_where_rows_lie(far):
    place, group = torch.tensor([[0., 0], [3, 0], [0, 3]]), torch.arange(3).repeat_interleave(30)
    x = (place[group] + .3*torch.randn(90, 2, generator=rng())).double().float() + far
    assert adjusted_rand(k_means(x, 3).labels, group) == 1
    want = metrics.silhouette_score(x.double(), group)
    assert silhouette(x, group) == pytest.approx(want, abs=1e-4)
    near, _ = nearest_rows(x, 5)
    apart = torch.cdist(x.double(), x.double()).sort(1).values[:, 1:6]
    torch.testing.assert_close(near.double(), apart, atol=1e-3, rtol=1e-3)


def test_silhouettes_of_rows_that_share_a_place():
    x, y = torch.tensor([[0, 0], [0, 0], [0, 0], [0, 0], [5, 5], [5, 6]]), torch.arange(6)//2
    assert silhouette(x, y) == pytest.approx(metrics.silhouette_score(x, y))


def test_the_order_of_distances_that_tie_and_of_a_point():
    x = torch.randint(3, (40, 4), generator=rng()).float()
    want = spearmanr(pdist(x), pdist(x[:, :1])).statistic
    assert distance_order(x, x[:, :1]) == pytest.approx(want)
    assert math.isnan(distance_order(x, torch.zeros(40, 2)))


@pytest.mark.parametrize('call', [
    lambda x: nearest_rows(x, 3)[0], pca_map, lambda x: neighbour_chances(x, 5)])
def test_whole_numbers_arrays_and_lists_are_rows_too(call):
    x = torch.arange(100).view(50, 2)
    for rows in (x, x.numpy(), x.tolist()): torch.testing.assert_close(call(rows), call(x.float()))
