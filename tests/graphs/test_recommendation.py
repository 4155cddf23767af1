"Lists and scores against scikit-learn, regressions, enumeration and torch-geometric"
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcourse.core.errors import InputError
from dlcourse.graphs.interactions import (
    Interactions,
    cut_pairs,
    draw_unseen,
    listening_world,
    neighbour_weights,
    with_fallback,
)
from dlcourse.graphs.recommendation import (
    LightGCN,
    RankerConfig,
    TwoTower,
    bpr_loss,
    ease_weights,
    exposure_share,
    live_with,
    ndcg_at,
    recall_at,
    recommender,
    sampled_chance,
    top_items,
    train_ranker,
)


@pytest.fixture(scope='module')
def world(): return listening_world(1, users=120, items=80, mean=12)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 9999), k=st.integers(1, 12))
def test_ndcg_is_scikit_learns(seed, k):
    metrics = pytest.importorskip('sklearn.metrics')
    rng = np.random.default_rng(seed)
    scores, held = rng.permutation(60).reshape(5, 12)*1., rng.random((5, 12)) < .4
    held[:, 0] = True
    top = top_items(scores, np.zeros_like(held), k)
    want = metrics.ndcg_score(held, scores, k=k)
    assert ndcg_at(top, held).mean() == pytest.approx(want)
    assert (recall_at(top, held) == [held[u, top[u]].sum()/held[u].sum() for u in range(5)]).all()


def test_nobody_is_advised_what_they_know():
    rng = np.random.default_rng(0)
    known = rng.random((9, 6)) < .5
    top = top_items(rng.normal(size=(9, 6)) - 5, known, 6)
    for row, seen in zip(top, known, strict=True):
        assert set(row[row >= 0]) == set(np.flatnonzero(~seen))
    assert np.isnan(recall_at(top, np.zeros_like(known))).all()


def test_a_sampled_metric_hits_as_often_as_counted():
    rng, hits = np.random.default_rng(0), 0
    for _ in range(4000): hits += (rng.choice(50, 12, replace=False) < 15).sum() < 4
    assert hits/4000 == pytest.approx(sampled_chance(15, 50, 12, 4), abs=.03)


def test_cosines_are_cosines(world):
    x = world.data.table.astype(float)
    length = np.maximum(np.linalg.norm(x, axis=0), 1e-9)
    want = (x/length).T @ (x/length)
    np.fill_diagonal(want, 0)
    assert np.allclose(neighbour_weights(world.data.table, 80, shrink=0), want)
    few = neighbour_weights(world.data.table, 5)
    assert ((few > 0).sum(1) <= 12).all() and np.isfinite(few).all()


def test_lightgcn_is_torch_geometrics_values_and_gradients(world):
    models = pytest.importorskip('torch_geometric.nn.models')
    d = world.data
    ours = LightGCN(d, dim=8, layers=3)
    theirs = models.LightGCN(d.users + d.items, 8, 3)
    theirs.embedding.weight.data = ours.vectors.data.clone()
    user, item = torch.from_numpy(d.user), torch.from_numpy(d.item)
    other = draw_unseen(torch.from_numpy(d.table), user, torch.Generator().manual_seed(0))
    positive, negative, _ = ours.pairs(user, item, other)
    pairs = torch.stack([user, d.users + item]), torch.stack([user, d.users + other])
    a, b = (theirs(d.edges, edge_label_index=p) for p in pairs)
    torch.testing.assert_close(positive, a, atol=1e-6, rtol=1e-4)
    torch.testing.assert_close(negative, b, atol=1e-6, rtol=1e-4)
    bpr_loss(positive, negative).backward()
    torch.nn.functional.softplus(b - a).mean().backward()
    torch.testing.assert_close(ours.vectors.grad, theirs.embedding.weight.grad, atol=1e-6,
                               rtol=1e-3)


def test_the_item_asked_about_is_not_in_the_history(world):
    d = world.data
    torch.manual_seed(0)
    tower = TwoTower(d, world.genre, dim=4)
    rest, held = d.chosen(np.arange(len(d)) != 3), (int(d.user[3]), int(d.item[3]))
    torch.manual_seed(0)
    without = TwoTower(rest, world.genre, dim=4)
    u, i = (torch.tensor([v]) for v in held)
    score, _, _ = tower.pairs(u, i, (i + 1) % d.items)
    assert float(score.detach()) == pytest.approx(without.scores()[held], abs=1e-5)


def test_training_beats_popularity(world):
    train, test = cut_pairs(world.data, .2)
    def recall(s): return np.nanmean(recall_at(top_items(s, train.table, 10), test.table))
    popular = recall(np.tile(train.popularity*1., (train.users, 1)))
    torch.manual_seed(0)
    trained = train_ranker(LightGCN(train, dim=16), train, RankerConfig(epochs=60, batch_size=256))
    assert recall(trained.scores()) > popular
    assert recall(train.table @ ease_weights(train.table, 100.)) > popular


def test_users_and_items_without_edges_have_defined_scores():
    d = Interactions(np.array([0, 0, 1]), np.array([0, 2, 2]), users=4, items=5)
    for model in (LightGCN(d), TwoTower(d, np.zeros(5, int))):
        scores = train_ranker(model, d, RankerConfig(epochs=2)).scores()
        assert np.isfinite(scores).all()
        top = top_items(with_fallback(scores, d), d.table, 2)
        assert top[2:].tolist() == [[2, 0]]*2
    assert np.isfinite(ease_weights(d.table, 1.)).all()


def test_exposure_adds_up(world):
    top = top_items(world.liking, world.data.table, 10)
    assert sum(exposure_share(top, world.genre).values()) == pytest.approx(1)


def test_a_loop_is_repeatable_and_exploring_shows_more(world):
    a, b = live_with(world, rounds=2, seed=3), live_with(world, rounds=2, seed=3)
    assert a == b and len(a['liked']) == 2
    assert live_with(world, explore=.5, rounds=2)['ever shown'][-1] > a['ever shown'][-1]


def test_bad_input_is_named(world):
    d = world.data
    full = Interactions(np.array([0, 0, 1]), np.array([0, 1, 1]), 2, 2)
    for call, says in ((lambda: ease_weights(d.table, 0), '`ridge`'),
                       (lambda: top_items(world.liking, d.table, 81), '`k`'),
                       (lambda: top_items(world.liking*np.nan, d.table, 2), '`scores`'),
                       (lambda: with_fallback(np.zeros((2, 2)), d), '`scores`'),
                       (lambda: train_ranker(LightGCN(full), full), '`data`'),
                       (lambda: live_with(world, policy='magic'), '`policy`'),
                       (lambda: live_with(world, explore=2), '`explore`'),
                       (lambda: RankerConfig(epochs=0), '`epochs`'),
                       (lambda: LightGCN(d, layers=-1), '`layers`')):
        with pytest.raises(InputError, match=says): call()


def test_the_recommender_is_trained_once(tmp_path, monkeypatch):
    module = 'dlcourse.graphs.recommendation'
    small = listening_world(0, users=60, items=40, mean=6)
    monkeypatch.setattr(f'{module}.listening_world', lambda: small)
    monkeypatch.setattr(f'{module}.train_ranker', lambda model, data: model)
    model, told = recommender(tmp_path)
    again, _ = recommender(tmp_path)
    assert (model.scores() == again.scores()).all() and told.not_for


def test_a_ranker_that_diverges_is_not_handed_back():
    d = listening_world(0, users=60, items=40, mean=6).data
    for bad in (dict(lr=np.inf), dict(lr=1e30)):
        with pytest.raises(InputError, match='the loss is .* lower `lr`'):
            train_ranker(LightGCN(d, 4), d, RankerConfig(epochs=3, **bad))


def test_counts_are_held_out_as_truth_values_are():
    top, held = np.array([[0, 1]]), np.array([[2, 1, 0]])
    assert recall_at(top, held) == recall_at(top, held > 0) == 1


def test_a_place_without_an_item_shows_nothing():
    world = listening_world(0, users=10, items=30, mean=7)
    known, last = world.data.table, world.data.items - 1
    shown = int((~known).sum(1).max()) # All that anybody has left, so that most lists end early
    lived = live_with(world, shown=shown, rounds=1)
    left = world.liking[~known].mean()
    assert lived['liked'][0] == pytest.approx(left)
    full = replace(world, data=Interactions(*np.nonzero(known | (np.arange(30) == last)), 10, 30))
    assert live_with(full, shown=shown, rounds=1)['ever shown'][0] < 1
