"Subgroup discovery: exact levels, oracles, planted groups, any frame, and messages"
import json

import duckdb
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, fisher_exact
from statsmodels.stats.multitest import multipletests

from dlcourse.core.errors import InputError
from dlcourse.evaluation.intervals import clopper_pearson, mover_difference
from dlcourse.fairness import subgroups
from dlcourse.fairness.subgroups import (
    benjamini_hochberg,
    conditions,
    describe,
    discover,
    grow,
    large_enough,
    margin_p_value,
    pack,
    tally,
)


@pytest.mark.parametrize('n, m', [(5, 60), (12, 12), (30, 100), (60, 20)])
@pytest.mark.parametrize('epsilon', [0., .05, .2])
def test_level_by_enumeration(n, m, epsilon):
    "Both sides together, at every rate of the rest, as far out as 1e-5"
    k1, k2 = np.arange(n + 1)[:, None], np.arange(m + 1)[None]
    p = margin_p_value(k1, n, k2, m, epsilon)
    assert ((0 <= p) & (p <= 1)).all()
    for q in np.r_[.002, .01, np.linspace(.03, .97 - epsilon, 20)]:
        both = binom.pmf(k1[:, 0], n, q + epsilon)[:, None]*binom.pmf(k2[0], m, q)
        for alpha in (.1, .01, 1e-3, 1e-5): assert both[p <= alpha].sum() <= alpha


def test_is_the_mover_interval_inverted():
    "At the level 1 - p the limit of the deciding interval touches the margin"
    for k1, n1, k2, n2 in ((24, 60, 80, 400), (9, 10, 30, 100), (700, 1000, 500, 1000)):
        p = margin_p_value(k1, n1, k2, n2, .05)
        low, _ = mover_difference(k1/n1, k2/n2, clopper_pearson(k1, n1, 1 - p), clopper_pearson(k2, n2, 1 - p))
        assert low == pytest.approx(.05, abs=1e-7)


@given(st.integers(1, 40), st.integers(1, 80), st.data())
@settings(max_examples=60, deadline=None)
def test_symmetries(n, m, data):
    k, j = data.draw(st.integers(0, n)), data.draw(st.integers(0, m))
    p = margin_p_value(k, n, j, m, .03)
    assert p == pytest.approx(margin_p_value(j, m, k, n, .03)) == pytest.approx(margin_p_value(n - k, n, m - j, m, .03))
    assert p <= margin_p_value(k, n, j, m, .1) + 1e-12, "a wider margin is harder to pass"
    if p < 1: assert abs(k/n - j/m) > .03


def test_no_margin_is_near_fisher():
    for k, n, j, m in ((20, 50, 30, 200), (15, 30, 60, 300)):
        assert margin_p_value(k, n, j, m, 0.)/2 == pytest.approx(fisher_exact([[k, n - k], [j, m - j]], alternative='greater').pvalue, rel=.4)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60))
def test_benjamini_hochberg_is_statsmodels(p):
    p = np.array(p)
    np.testing.assert_allclose(benjamini_hochberg(p), multipletests(p, method='fdr_bh')[1], atol=1e-12)


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_every_large_conjunction_is_counted(seed):
    "Against a walk through all conjunctions of a small table"
    from itertools import combinations
    rng = np.random.default_rng(seed)
    rows = int(rng.integers(20, 150))
    table = rng.integers(0, [2, 3, 2, 4], (rows, 4))
    owner = np.repeat(np.arange(4), [2, 3, 2, 4])
    holds = np.concatenate([table[:, i] == np.arange(k)[:, None] for i, k in enumerate([2, 3, 2, 4])])
    y = rng.random(rows) < .4
    found, n, k = large_enough(holds, owner, y, 3, 5)
    got = dict(zip(found, zip(n.tolist(), k.tolist(), strict=True), strict=True))
    def size(c): return int(holds[list(c)].all(0).sum()) if c else rows
    for d in (1, 2, 3):
        for c in combinations(range(len(owner)), d):
            if len(set(owner[list(c)])) < d: continue
            said_shorter = any(size(part) == size(c) for e in range(d) for part in combinations(c, e))
            assert (c in got) == (size(c) >= 5 and not said_shorter)
            if c in got: assert got[c] == (size(c), int((holds[list(c)].all(0) & y).sum()))


def planted(rows=5000, seed=0, gap=.2):
    rng = np.random.default_rng(seed)
    x = rng.random((6, rows)) < .5
    rate = np.where(x[0] & ~x[1], .3 + gap, .3)
    return {f'a{i}': x[i].astype(int) for i in range(6)} | {'y': (rng.random(rows) < rate).astype(int)}


NAMES = [f'a{i}' for i in range(6)]


def test_planted_group_is_found_and_only_that():
    for seed in range(5):
        found = discover(planted(seed=seed), prediction='y', attributes=NAMES).found
        assert [s.conjunction for s in found] == ['a0 = 1 and a1 = 0']
        assert found[0].low > .05 and found[0].low < found[0].gap < found[0].high


def test_nothing_in_noise():
    rng = np.random.default_rng(0)
    for _ in range(20):
        data = planted() | {'y': rng.integers(0, 2, 5000)}
        found = discover(data, prediction='y', attributes=NAMES)
        assert not found.found and found.left == 5000 and 'No group was found' in repr(found)
        assert found.frame.shape == (0, 10) and 'No group' in found._repr_html_()


def test_removal_subtracts_what_a_recount_gives():
    "Each finding's counts are those of the people who are left"
    data = planted(gap=.3)
    data['y'] = np.where(data['a2']*data['a3'] == 1, 1, data['y'])
    names, owner, holds = conditions(pl.DataFrame(data), NAMES)
    y, left = data['y'] == 1, np.ones(5000, bool)
    found, end = describe(holds, owner, y)
    assert len(found) > 1
    for f in found:
        who = left & holds[list(f['conditions'])].all(0)
        assert (f['n'], f['k'], f['n_rest'], f['k_rest']) == (who.sum(), y[who].sum(), (left & ~who).sum(), y[left & ~who].sum())
        left &= ~who
    assert end['rows'] == left.sum()


def test_the_same_people_are_reported_once():
    data = planted()
    data['title'] = np.where(data['a0'] == 1, 'Mr', 'Ms')
    [s] = discover(data, prediction='y', attributes=[*NAMES, 'title']).found
    assert s.conjunction == 'a0 = 1 and a1 = 0' and s.aliases == ('a1 = 0 and title = Mr',)
    assert 'the same people: a1 = 0 and title = Mr' in s.sentence()


def test_p_too_small_for_a_number_still_finds_the_strongest():
    found = discover(planted(rows=200_000, gap=.4), prediction='y', attributes=NAMES).found
    assert [s.conjunction for s in found] == ['a0 = 1 and a1 = 0'] and found[0].p == 0


def test_all_frames_alike(tmp_path):
    data = planted()
    frame = pl.DataFrame(data)
    frame.write_parquet(tmp_path/'t.parquet'); frame.write_csv(tmp_path/'t.csv')
    con = duckdb.connect()
    frames = [data, frame, frame.lazy(), frame.to_pandas(), frame.to_arrow(), tmp_path/'t.parquet', str(tmp_path/'t.csv'), con.sql("from frame")]
    results = [discover(f, prediction='y', attributes=NAMES).to_dict() for f in frames]
    assert all(r == results[0] for r in results)
    json.dumps(results[0])


def test_metrics_labels_missing_and_thresholds():
    data = dict(sex=['F', 'M', None, ' ']*100, score=[.9, .2, .7, None]*100, label=['yes', 'no', 'yes', 'yes']*100)
    found = discover(data, prediction='score', threshold=.5, label='label', positive=['yes'], metric='true_positive_rate', attributes=['sex'], min_count=5)
    assert found.rows == 200 and found.dropped == 100 and not found.found
    found = discover(dict(sex=['F', 'M', None, ' ']*100, score=[.9, .2, .7, .1]*100), prediction='score', threshold=.5, attributes=['sex'], min_count=5)
    assert {s.conjunction for s in found.found} <= {'sex = F', 'sex = M', 'sex = (missing)'} and found.found


def test_conditions():
    rng = np.random.default_rng(0)
    table = pl.DataFrame(dict(age=[*rng.integers(18, 90, 99).tolist(), None], few=[0, 1]*50, word=['1.5', '2.5']*50, odd=['<b>', '']*50, ok=[True, False]*50))
    names, owner, holds = conditions(table, table.columns)
    assert names[4] == 'age = (missing)' and names[5:] == ['few = 0', 'few = 1', 'word = 1.5', 'word = 2.5', 'odd = <b>', 'odd = (missing)', 'ok = false', 'ok = true']
    for a in range(5): assert (holds[owner == a].sum(0) == 1).all(), "each person fulfils one condition of each attribute"
    assert holds[:4].sum(1).min() >= 18
    assert len(conditions(table, ['age'], bands=2)[0]) == 3


def test_pack_and_tally():
    rng = np.random.default_rng(0)
    flags = rng.random((3, 1001)) < .5
    n, k = tally(pack(flags), pack(flags[0]), [(1,), (2,), (1, 2)])
    assert n.tolist() == [flags[1].sum(), flags[2].sum(), (flags[1] & flags[2]).sum()] and k[2] == flags.all(0).sum()
    assert [len(v) for v in tally(pack(flags), pack(flags[0]), [])] == [0, 0]
    assert grow([(0,), (1,)], np.array([0, 0])) == []


def test_html_is_escaped():
    data = planted()
    data['a0'] = np.where(data['a0'] == 1, '<script>alert(1)</script>', 'x')
    html = discover(data, prediction='y', attributes=NAMES)._repr_html_()
    assert '<script>' not in html and '&lt;script&gt;' in html


def test_plot():
    import matplotlib
    matplotlib.use('Agg')
    import matplotlib.pyplot as plt
    fig = discover(planted(), prediction='y', attributes=NAMES).plot()
    assert 'gap to the rest' in fig.axes[0].get_xlabel()
    plt.close(fig)


@pytest.mark.parametrize('change, text', [
    (dict(metric='fairness'), "`metric` must be one of selection_rate"),
    (dict(metric='true_positive_rate'), "`label` must be given: true_positive_rate asks what was true"),
    (dict(epsilon=1), "`epsilon` must be from 0 to below 1; got 1"),
    (dict(level=0), "`level` must be between 0 and 1; got 0"),
    (dict(depth=4), "`depth` must be 1, 2 or 3; got 4"),
    (dict(min_count=0), "`min_count`"),
    (dict(bands=1), "`bands` must be 2 or more; got 1"),
    (dict(attributes='a0'), r"`attributes` must be a list of columns, such as \['sex', 'race'\]; got 'a0'"),
    (dict(attributes=[]), "`attributes` must be a list of columns"),
    (dict(attributes=['a0', 'a0']), "`a0` is given twice"),
    (dict(attributes=['y']), "`y` is given twice"),
    (dict(attributes=['sex']), "`sex` is not a column of this table"),
    (dict(attributes=['id']), "`id` has 5,000 different values; put them into bands"),
    (dict(prediction='id', threshold=.5), "`id` must hold numbers where there is a `threshold`"),
    (dict(prediction='word'), "`word` holds words"),
    (dict(frame=[1, 2]), "`frame` must be a table, the path of one, or a dict of columns; got list"),
    (dict(label='a1', metric='true_positive_rate', prediction='none'), "nobody is left to compute true_positive_rate of"),
])
def test_messages(change, text):
    frame = planted() | {'id': [f'p{i}' for i in range(5000)], 'word': ['a', 'b']*2500, 'none': [None, 1.]*2500}
    frame['a1'] = np.where(np.arange(5000) % 2, 0, frame['a1'])
    with pytest.raises(InputError, match=text): discover(**dict(frame=frame, prediction='y', attributes=['a0', 'a2']) | change)


def test_too_many_conjunctions(monkeypatch):
    monkeypatch.setattr(subgroups, 'MOST', 50)
    with pytest.raises(InputError, match="more than 50 conjunctions of 2 conditions; lower `depth`"): discover(planted(), prediction='y', attributes=NAMES)


def test_mixed_types():
    import pandas as pd
    with pytest.raises(InputError, match="make each column one type"):
        discover(pd.DataFrame({'a': pd.Series(['x', 1]*50, dtype=object), 'y': [0, 1]*50}), prediction='y', attributes=['a'])
