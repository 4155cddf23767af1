"Groups known as probabilities: closed forms, sharp bounds by linear programs, worlds at the edge"
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from dlcourse.core.errors import InputError
from dlcourse.fairness.membership import frechet_bounds, membership_bounds


def edge(seed, rows=2_000):
    "Cells in which members are approved before others, some at p = m: the truth is the upper bound"
    rng = np.random.default_rng(seed)
    p, m = np.array([.1, .3, .5, .7, .9, .5]), np.array([.1, .3, .5, .4, .9, .8])
    cell, u = rng.integers(0, 6, rows), rng.random(rows)
    y, other = (u < m[cell]).astype(int), 1 - p[cell]
    truth = float(np.minimum(p, m).sum()/p.sum())
    rest = float(np.maximum(0, m - p).sum()/(1 - p).sum())
    return y, {'a': p[cell], 'b': other}, cell, (truth, rest, truth - rest)


def test_worlds_at_the_edge_are_covered():
    held = np.zeros(3)
    for seed in range(100):
        y, p, cell, truth = edge(seed)
        found = membership_bounds(y, p, cell, level=.95)
        ends = [(r.low, r.high) for r in (*found.rates, *found.gaps)]
        held += [low <= t <= high for (low, high), t in zip(ends, truth, strict=True)]
    assert (held >= 90).all(), held # 100 draws at .95: fewer than 90 has a chance under .02


@given(st.lists(st.tuples(*[st.floats(.05, .9)]*3), min_size=1, max_size=3))
@settings(max_examples=25, deadline=None)
def test_gap_bounds_are_those_of_a_linear_program(cells):
    "Of groups a, b and others: the largest gap of the joint distributions that fit the margins"
    pa, pb, m = np.array(cells).T
    pb = np.minimum(pb, 1 - pa)
    k, share = len(m), np.full(len(m), 1/len(m))
    gain = np.concatenate([share/(share @ pa), -share/(share @ pb), 0*share])
    for sign in (1, -1):
        sharp = linprog(-sign*gain, A_eq=np.hstack([np.eye(k)]*3), b_eq=m,
                        bounds=[(0, x) for x in (*pa, *pb, *(1 - pa - pb))])
        (la, ha), (lb, hb) = frechet_bounds(pa, m), frechet_bounds(pb, m)
        up = share @ ha/(share @ pa) - share @ lb/(share @ pb)
        down = share @ la/(share @ pa) - share @ hb/(share @ pb)
        if sharp.success: assert (up if sign > 0 else -down) == pytest.approx(-sharp.fun, abs=1e-7)


def test_certain_membership_is_an_ordinary_rate():
    rng = np.random.default_rng(0)
    a, y = rng.random(4_000) < .4, rng.integers(0, 2, 4_000)
    found = membership_bounds(y, {'a': a.astype(float), 'b': 1. - a}, a.astype(int))
    rate, gap = found.rates[0], found.gaps[0]
    assert rate.weighted == pytest.approx(y[a].mean()) and rate.expected == a.sum()
    assert rate.low < y[a].mean() < rate.high < rate.low + .08
    assert gap.weighted == pytest.approx(y[a].mean() - y[~a].mean())
    json.dumps(found.to_dict())
    assert 'right if these are' in repr(found) and 'does not tell which is higher' in repr(found)


def test_weights_count_as_rows():
    rng = np.random.default_rng(1)
    p, y, cell = rng.random(800), rng.integers(0, 2, 800), rng.integers(0, 4, 800)
    w = rng.integers(1, 4, 800)
    weighed = membership_bounds(y, {'a': p}, cell, sample_weight=w).rates[0]
    plain = membership_bounds(np.repeat(y, w), {'a': np.repeat(p, w)}, np.repeat(cell, w)).rates[0]
    assert weighed.weighted == pytest.approx(plain.weighted)
    assert weighed.high - weighed.low > .95*(plain.high - plain.low)


@pytest.mark.parametrize('change, says', [
    (dict(y_pred=[0, 2]*50), '`y_pred` must hold decisions, 0 or 1'),
    (dict(probabilities={'a': [.5]*99}), 'must have a value for each of the 100 rows'),
    (dict(probabilities={'a': [.6]*100, 'b': [.5]*100}), 'add up to 1 at most'),
    (dict(probabilities={'a': [np.nan]*100}), '`probabilities` must be 0 or more'),
    (dict(sample_weight=[-1]*100), 'weights of 0 or more'),
    (dict(probabilities={'a': [.01]*100}), 'no group is expected to have 30 people')])
def test_says_what_is_wrong(change, says):
    fine = dict(y_pred=[0, 1]*50, probabilities={'a': [.5]*100}, cells=[0, 1]*50)
    with pytest.raises(InputError, match=says): membership_bounds(**fine | change)

def test_clusters_widen_bounds_and_few_are_refused():
    rng = np.random.default_rng(0)
    p, y = rng.choice([.2, .8], 400), rng.integers(0, 2, 400)
    def bounds(y, p, **how):
        r = membership_bounds(y, dict(a=p, b=1 - p), (p > .5)*1, **how).rates[0]
        return r.high - r.low
    alone = bounds(y, p)
    assert 1 < bounds(y, p, cluster=np.arange(400))/alone < 1.02 # Student's, each its own
    twice = [np.repeat(v, 4) for v in (y, p)] # Says no more than once
    assert bounds(*twice, cluster=np.repeat(np.arange(400), 4)) > .97*alone > bounds(*twice)
    for cluster, says in ((np.arange(400) % 20, 'worth 20 of equal'), (np.arange(3), 'each row')):
        with pytest.raises(InputError, match=says): bounds(y, p, cluster=cluster)
