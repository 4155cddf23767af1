"Pairs, limits over pairs that share people, exact search, and what is refused"
import numpy as np
import pytest
from scipy.stats import beta

from dlcourse.core.errors import InputError
from dlcourse.evaluation.intervals import clopper_pearson
from dlcourse.vision.matching import (
    Pairs,
    check_identities,
    nearest,
    pair_rate,
    pairs_of,
    rates_by,
    unit_rows,
)


def world(k, each=1, seed=0, apart=1.):
    "Identities in a plane, and pairs that match where they are near"
    rng = np.random.default_rng(seed)
    z = np.repeat(rng.normal(size=(k, 2)), each, 0)
    a, b = np.triu_indices(len(z), 1)
    who = np.repeat(np.arange(k), each)
    pairs = Pairs(a, b, -((z[a] - z[b])**2).sum(1), who[a] == who[b], who)
    return pairs, pairs.score > -apart


def test_every_pair_once():
    x = np.random.default_rng(0).normal(size=(6, 3))*7
    p = pairs_of(x, list('aabbbc') [:5] + ['a'])
    assert len(p.score) == 15 and p.genuine.sum() == 3 + 3
    i, j = p.a[7], p.b[7]
    assert p.score[7] == pytest.approx(x[i] @ x[j]/np.linalg.norm(x[i])/np.linalg.norm(x[j]))
    assert (p.impostor == ~p.genuine).all() and len(set(zip(p.a, p.b, strict=True))) == 15


def test_limits_hold_where_independent_pairs_do_not():
    truth, held = 1 - np.exp(-1/4), []
    for seed in range(200):
        pairs, matched = world(30, seed=seed)
        r = pair_rate(pairs, pairs.impostor, matched, pairs.identity)
        low, high = clopper_pearson(r.matched, r.pairs)
        held.append((r.low <= truth <= r.high, low <= truth <= high))
    ours, naive = np.mean(held, 0)
    assert ours > .87 and naive < .75 # 200 worlds: a standard error of .02


def test_the_variance_is_that_of_all_related_pairs():
    pairs, matched = world(9, 3, seed=3)
    chosen, k = pairs.impostor, 9
    got = pair_rate(pairs, chosen, matched, pairs.identity)
    rows = np.flatnonzero(chosen)
    ends = np.stack([pairs.identity[pairs.a[rows]], pairs.identity[pairs.b[rows]]], 1)
    left = matched[rows] - matched[rows].mean()
    related = (ends[:, None, :, None] == ends[None, :, None, :]).any((2, 3))
    variance = (related*np.outer(left, left)).sum()*k/(k - 1)/len(rows)**2
    p, t = matched[rows].mean(), 2.306004135 # Student, 8 degrees of freedom
    trials = p*(1 - p)/variance*(1.959963985/t)**2
    assert got.trials == pytest.approx(min(trials, len(rows)), rel=1e-6)
    high = beta.ppf(.975, p*got.trials + 1, (1 - p)*got.trials)
    assert got.high == pytest.approx(high) and got.rate == pytest.approx(p)


def test_where_nothing_matches_only_disjoint_pairs_are_trials():
    pairs, _ = world(10, 2)
    none = np.zeros(len(pairs.score), bool)
    r = pair_rate(pairs, pairs.impostor, none, pairs.identity)
    assert (r.rate, r.low, r.trials, r.units) == (0, 0, 5, 10)
    assert r.high == pytest.approx(1 - .025**(1/5))
    own = pair_rate(pairs, pairs.genuine, ~none, pairs.identity)
    assert (own.rate, own.high, own.trials) == (1, 1, 10)
    assert np.isnan(pair_rate(pairs, none, none, pairs.identity).rate)


def test_groups_are_corrected_for_and_add_up():
    pairs, matched = world(20, 2)
    group = np.arange(40)//2 % 2
    found = rates_by(pairs, pairs.impostor, matched, group, pairs.identity)
    alone = pair_rate(pairs, pairs.impostor & pairs.same(group) & (group[pairs.a] == 1), matched,
                      pairs.identity, .975)
    assert found[1] == alone and list(found) == [0, 1]
    assert sum(r.pairs for r in found.values()) == (pairs.impostor & pairs.same(group)).sum()


def test_nearest_is_sorting():
    rng = np.random.default_rng(0)
    q, g = rng.normal(size=(7, 5)), rng.normal(size=(20, 5))
    rows, scores = nearest(q, g, 20, block=3)
    want = unit_rows(q) @ unit_rows(g).T
    assert (rows == np.argsort(-want, 1)).all()
    assert np.allclose(scores, -np.sort(-want, 1))
    assert (nearest(q, g, 4)[0] == rows[:, :4]).all()


def test_bad_input_is_named():
    x = np.ones((4, 2))
    x[2] = np.nan, 1
    with pytest.raises(InputError, match='`x` has 1 embeddings that are not finite.*row 2'):
        pairs_of(x, [0, 0, 1, 1])
    with pytest.raises(InputError, match='all zero, the first in row 1'):
        unit_rows([[1, 0], [0, 0]])
    with pytest.raises(InputError, match=r'`gallery` must be embeddings.*shape \(4,\)'):
        nearest(np.ones((1, 4)), np.ones(4))
    with pytest.raises(InputError, match='two identities or more.*got 1'):
        check_identities(['ann', 'ann'], 2)
    with pytest.raises(InputError, match='`identity` bob has a single image'):
        check_identities(['ann', 'ann', 'bob'], 3)
    with pytest.raises(InputError, match='one identity for each of 3 images'):
        check_identities(['ann', 'bob'], 3)
    with pytest.raises(InputError, match='`queries` and `gallery` must have one dim; got 2 and 3'):
        nearest(np.ones((1, 2)), np.ones((1, 3)))
    for k in (0, 3):
        with pytest.raises(InputError, match=f'`k` must be from 1 to 2.*got {k}'):
            nearest(np.ones((1, 2)), np.ones((2, 2)), k)
    with pytest.raises(InputError, match='`column` must have an entry for each of 2'):
        world(2)[0].same([1])
