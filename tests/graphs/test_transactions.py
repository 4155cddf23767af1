"The world of payments, and features that know nothing of the future"
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcourse.core.errors import InputError
from dlcourse.graphs.transactions import GRAPH, TABLE, Payments, past_features, payments_world


def small(seed=0): return payments_world(seed, accounts=200, days=40, rings=4, circles=3)


def first(p, n):
    columns = ('sender', 'receiver', 'time', 'amount', 'fraud', 'known', 'circle')
    return replace(p, **{name: getattr(p, name)[:n] for name in columns})


def test_the_same_seed_gives_the_same_world_and_fraud_is_rare():
    a, b = small(3), small(3)
    assert (a.time == b.time).all() and (a.fraud == b.fraud).all()
    assert 0 < a.fraud.mean() < .2 and (a.sender != a.receiver).mean() > .99
    assert np.isinf(a.known[~a.fraud]).all()
    assert (a.known[a.fraud] >= a.time[a.fraud] + 1).all()
    assert not (a.fraud & a.circle).any() and a.circle.any() and a.newcomer.any()


@settings(max_examples=5, deadline=None)
@given(n=st.integers(1, 900), seed=st.integers(0, 3))
def test_features_do_not_move_when_the_future_does(n, seed):
    p = small(seed)
    n = min(n, len(p))
    whole, part = past_features(p), past_features(first(p, n))
    assert (whole[:n] == part).all()
    rng = np.random.default_rng(seed) # Other receivers, amounts and reports from n on
    later = np.arange(len(p)) >= n
    other = replace(p, amount=np.where(later, 7., p.amount),
                    receiver=np.where(later, rng.permutation(p.receiver), p.receiver),
                    known=np.where(later, p.time + .5, p.known))
    assert (past_features(other)[:n] == whole[:n]).all()


def test_counts_by_hand():
    p = Payments(np.array([0, 1, 0, 2]), np.array([1, 2, 1, 1]), np.array([1., 2, 3, 9]),
                 np.array([10., 5, 10, 10]), np.array([True, False, False, False]),
                 np.array([4., np.inf, np.inf, np.inf]), np.zeros(3), np.zeros(4, bool))
    x = past_features(p)[:, len(TABLE):]
    def column(name): return np.expm1(x[:, GRAPH.index(name)]).round(4).tolist()
    assert column('received by receiver') == [0, 0, 1, 2]
    assert column('between them') == [0, 0, 1, 0]
    assert column('senders to receiver') == [0, 0, 1, 1]
    assert x[:, GRAPH.index('reports on receiver')].tolist() == [0, 0, 0, 1]
    assert x[1, GRAPH.index('since sender received')] == 1
    assert x[1, GRAPH.index('amount over last received')] == .5
    assert x[2, GRAPH.index('passed on by receiver')] == .5
    early = past_features(p, delay=False)[:, len(TABLE):]
    assert early[:, GRAPH.index('reports on receiver')].tolist() == [0, 0, 1, 1]


def test_payments_that_cannot_be_are_refused():
    p = small()
    for change, says in ((dict(time=p.time[::-1]), '`time`'), (dict(amount=-p.amount), '`amount`'),
                         (dict(sender=p.sender + 999), '`sender`'),
                         (dict(receiver=p.receiver*1.), '`receiver`'),
                         (dict(fraud=p.fraud[:-1]), 'differ in length')):
        with pytest.raises(InputError, match=says): replace(p, **change)
    for bad in (dict(accounts=5), dict(days=1), dict(rings=0)):
        with pytest.raises(InputError): payments_world(**bad)
    none = first(p, 0)
    assert past_features(none).shape == (0, len(TABLE) + len(GRAPH))


def test_what_is_not_known_yet_is_infinite_and_not_nan():
    p = small()
    for name, bad in (('known', np.nan), ('opened', np.nan), ('amount', np.inf)):
        column = getattr(p, name).astype(float)
        column[3] = bad
        with pytest.raises(InputError, match=f'`{name}`'): replace(p, **{name: column})
