"Labels, counts, capacity, and a network that sees nothing of the future"
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcourse.core.errors import InputError
from dlcourse.graphs.fraud import (
    RingNet,
    earlier_received,
    incident,
    mean_of_drawn,
    precision_at_capacity,
    ripe_rows,
    surroundings,
    train_ring_net,
)
from dlcourse.graphs.transactions import GRAPH, TABLE, past_features, payments_world


@pytest.fixture(scope='module')
def world(): return payments_world(1, accounts=200, days=40, rings=5, circles=3)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 9999), n=st.integers(0, 40))
def test_earlier_is_strictly_earlier(seed, n):
    rng = np.random.default_rng(seed)
    receiver, time = rng.integers(0, 5, n), np.sort(rng.integers(0, 9, n))
    want = [int(((receiver == r) & (time < t)).sum()) for r, t in zip(receiver, time, strict=True)]
    assert earlier_received(receiver, time).tolist() == want


def test_counts_agree_with_the_features_of_the_engine(world):
    column = past_features(world)[:, len(TABLE) + GRAPH.index('received by receiver')]
    assert np.allclose(np.expm1(column), earlier_received(world.receiver, world.time), atol=1e-3)


def test_surroundings_are_the_last_payments_before(world):
    near, there, far, far_there = surroundings(world, 4, 3)
    for k in range(0, len(world), 97):
        for side, end in enumerate((world.sender[k], world.receiver[k])):
            touch = np.flatnonzero(((world.sender == end) | (world.receiver == end))
                                   & (world.time < world.time[k]))[::-1][:4]
            assert int(there[k, side].sum()) == min(4, len(touch))
            amounts = near[k, side, there[k, side], 0].numpy()
            assert np.allclose(amounts, np.log(world.amount[touch]) - 4, atol=1e-5)
    assert not near[~there].any() and not far[~far_there].any()
    assert not far_there[~there].any()


def test_nothing_around_moves_when_the_future_does(world):
    n = len(world)//2
    later = np.arange(len(world)) >= n
    other = replace(world, amount=np.where(later, 9., world.amount),
                    receiver=np.where(later, world.receiver[::-1], world.receiver),
                    known=np.where(later, world.time, world.known))
    for a, b in zip(surroundings(world, 3, 2), surroundings(other, 3, 2), strict=True):
        assert torch.equal(a[:n], b[:n])


def test_every_payment_stands_at_both_ends(world):
    table = incident(world)
    assert len(table.edge) == 2*len(world)
    k = table.edge[table.start[5]:table.start[6]] % len(world)
    assert ((world.sender[k] == 5) | (world.receiver[k] == 5)).all()


def test_a_payment_without_a_past_has_a_finite_score():
    net = RingNet(3)
    near, far = torch.zeros(2, 2, 4, 7), torch.zeros(2, 2, 4, 3, 6)
    out = net(torch.zeros(2, 3), near, near[..., 0] > 1, far, far[..., 0] > 1)
    assert out.shape == (2,) and out.isfinite().all()
    assert not mean_of_drawn(near, near[..., 0] > 1).any()


def test_the_net_learns_what_the_neighbours_say(world):
    x, around = past_features(world)[:, :3], surroundings(world, 4, 2)
    label = around[0][:, 1, 0, 2].numpy() > 0 # Did the receiver pay last?
    rows = np.arange(len(world)) < 3*len(world)//4
    score = train_ring_net(x, around, label, rows, epochs=20)
    assert score[label & ~rows].mean() > score[~label & ~rows].mean() + 1
    again = train_ring_net(x, around, label, rows, epochs=1)
    assert np.allclose(again, train_ring_net(x, around, label, rows, epochs=1))


def test_bad_input_is_named(world):
    x, around = past_features(world), surroundings(world, 2, 2)
    with pytest.raises(InputError, match='`wait`'): ripe_rows(world.time, world.known, 9, -1)
    with pytest.raises(InputError, match='`per_day`'):
        precision_at_capacity(x[:, 0], world.fraud, world.time.astype(int), 0)
    with pytest.raises(InputError, match='`rows`'):
        train_ring_net(x, around, world.fraud, ~world.fraud)
    with pytest.raises(InputError, match='`epochs`'):
        train_ring_net(x, around, world.fraud, world.time < 30, epochs=0)


def test_rows_are_truth_values_and_features_finite(world):
    x, around, rows = past_features(world), surroundings(world, 2, 2), world.time < 30
    for bad in (np.flatnonzero(rows), rows.astype(int), rows[:-1]):
        with pytest.raises(InputError, match='`rows`'):
            train_ring_net(x, around, world.fraud, bad, 1)
    x[0, 0] = np.nan
    with pytest.raises(InputError, match='`own` finite'):
        train_ring_net(x, around, world.fraud, rows, 1)
