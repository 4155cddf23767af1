"The search for subgroups: exact levels, oracles, and every conjunction counted"
from itertools import combinations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, fisher_exact

from dlcourse.evaluation.intervals import clopper_pearson, mover_difference
from dlcourse.fairness.subgroups import (
    conditions,
    count_conjunctions,
    grow,
    large_enough,
    margin_p_value,
    pack_bits,
    peel,
)


@pytest.mark.parametrize('n, m', [(5, 60), (12, 12), (30, 100), (60, 20)])
@pytest.mark.parametrize('tolerance', [0., .05, .2])
def test_level_by_enumeration(n, m, tolerance):
    "Both sides together, at every rate of the rest, as far out as 1e-5"
    k1, k2 = np.arange(n + 1)[:, None], np.arange(m + 1)[None]
    p = margin_p_value(k1, n, k2, m, tolerance)
    assert ((0 <= p) & (p <= 1)).all()
    for q in np.r_[.002, .01, np.linspace(.03, .97 - tolerance, 20)]:
        both = binom.pmf(k1[:, 0], n, q + tolerance)[:, None]*binom.pmf(k2[0], m, q)
        for alpha in (.1, .01, 1e-3, 1e-5): assert both[p <= alpha].sum() <= alpha


def test_is_the_mover_interval_inverted():
    "At the level 1 - p the limit of the deciding interval touches the margin"
    for k1, n1, k2, n2 in ((24, 60, 80, 400), (9, 10, 30, 100), (700, 1000, 500, 1000)):
        p = margin_p_value(k1, n1, k2, n2, .05)
        low, _ = mover_difference(k1/n1, k2/n2, clopper_pearson(k1, n1, 1 - p),
                                  clopper_pearson(k2, n2, 1 - p))
        assert low == pytest.approx(.05, abs=1e-7)


@given(st.integers(1, 40), st.integers(1, 80), st.data())
@settings(max_examples=60, deadline=None)
def test_symmetries(n, m, data):
    k, j = data.draw(st.integers(0, n)), data.draw(st.integers(0, m))
    p = margin_p_value(k, n, j, m, .03)
    assert p == pytest.approx(margin_p_value(j, m, k, n,
                                             .03)) == pytest.approx(margin_p_value(n - k, n, m - j,
                                                                                   m, .03))
    assert p <= margin_p_value(k, n, j, m, .1) + 1e-12, "a wider margin is harder to pass"
    if p < 1: assert abs(k/n - j/m) > .03


def test_no_margin_is_near_fisher():
    for k, n, j, m in ((20, 50, 30, 200), (15, 30, 60, 300)):
        assert margin_p_value(k, n, j, m,
                              0.)/2 == pytest.approx(fisher_exact([[k, n - k], [j, m - j]],
                                                                  alternative='greater').pvalue,
                                                                  rel=.4)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_every_large_conjunction_is_counted(seed):
    "Against a walk through all conjunctions of a small table"
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(20, 150))
    table = rng.integers(0, [2, 3, 2, 4], (rows, 4))
    owner = np.repeat(np.arange(4), [2, 3, 2, 4])
    holds = np.concatenate([table[:, i] == np.arange(k)[:, None] for i,
                            k in enumerate([2, 3, 2, 4])])
    y = rng.random(rows) < .4
    found, n, k = large_enough(holds, owner, y, 3, 5)
    got = dict(zip(found, zip(n.tolist(), k.tolist(), strict=True), strict=True))
    def size(c): return int(holds[list(c)].all(0).sum()) if c else rows
    for d in (1, 2, 3):
        for c in combinations(range(len(owner)), d):
            if len(set(owner[list(c)])) < d: continue
            said_shorter = any(size(part) == size(c) for e in range(d)
                               for part in combinations(c, e))
            assert (c in got) == (size(c) >= 5 and not said_shorter)
            if c in got: assert got[c] == (size(c), int((holds[list(c)].all(0) & y).sum()))


def test_removal_subtracts_what_a_recount_gives():
    "Each finding's counts are those of the people who are left"
    rng, rows = np.random.default_rng(0), 5000
    x = rng.random((6, rows)) < .5
    holds, owner = np.concatenate([x, ~x]), np.tile(np.arange(6), 2)
    y = (rng.random(rows) < np.where(x[0] & ~x[1], .6, .3)) | x[2] & x[3]
    found, end = peel(holds, owner, y)
    assert len(found) > 1
    left = np.ones(rows, bool)
    for f in found:
        who = left & holds[list(f['conditions'])].all(0)
        rest = left & ~who
        assert (f['n'], f['k']) == (who.sum(), y[who].sum())
        assert (f['n_rest'], f['k_rest']) == (rest.sum(), y[rest].sum())
        left &= ~who
    assert np.array_equal(end['left'], left) and end['asked'] >= end['tests']


def test_conditions():
    rng = np.random.default_rng(0)
    table = pl.DataFrame(dict(age=[*rng.integers(18, 90, 99).tolist(), None], few=[0, 1]*50,
                              word=['1.5', '2.5']*50, odd=['<b>', '']*50, ok=[True, False]*50))
    names, owner, holds = conditions(table, table.columns)
    assert names[4] == 'age = (missing)'
    assert names[5:] == ['few = 0', 'few = 1', 'word = 1.5', 'word = 2.5', 'odd = <b>',
                         'odd = (missing)', 'ok = false', 'ok = true']
    for a in range(5):
        assert (holds[owner == a].sum(0)
                == 1).all(), "each person fulfils one condition of each attribute"
    assert holds[:4].sum(1).min() >= 18
    assert len(conditions(table, ['age'], bands=2)[0]) == 3


def test_pack_and_tally():
    rng = np.random.default_rng(0)
    flags = rng.random((3, 1001)) < .5
    n, k = count_conjunctions(pack_bits(flags), pack_bits(flags[0]), [(1,), (2,), (1, 2)])
    assert n.tolist() == [flags[1].sum(), flags[2].sum(), (flags[1] & flags[2]).sum()]
    assert k[2] == flags.all(0).sum()
    assert [len(v) for v in count_conjunctions(pack_bits(flags), pack_bits(flags[0]), [])] == [0, 0]
    assert grow([(0,), (1,)], np.array([0, 0])) == []
