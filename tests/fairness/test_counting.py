"Counting: the same from every engine, in any parts, with many attributes and every edge of a table"
from collections import Counter
from itertools import combinations

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pytest
from engines import everywhere, in_engine, in_files, on_spark
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcourse.core.errors import InputError
from dlcourse.core.tables import open_table
from dlcourse.fairness.counting import classes, count_groups

FIVE = ['a', 'b', 'c', 'd', 'e']


def people(n=600, seed=0, gaps=False):
    rng = np.random.default_rng(seed)
    t = dict(a=rng.choice(['x', 'y'], n), b=rng.choice(list('pqr'), n),
             c=rng.integers(0, 3, n).astype(str), d=rng.choice(['u', 'v'], n),
             e=rng.choice(list('klmn'), n),
             y=rng.integers(0, 2, n), p=rng.integers(0, 2, n), w=rng.random(n)*3, s=rng.random(n),
             id=rng.integers(0, n//6 + 1, n))
    t = {k: v.tolist() for k, v in t.items()}
    if gaps:
        for k, every in dict(a=7, b=11, y=5).items():
            t[k] = [None if i % every == 0 else v for i, v in enumerate(t[k])]
    return t


def asked(table, **more):
    return count_groups(table,
                        **dict(y_pred='p', y_true='y', sensitive_features=['a', 'b', 'c']) | more)


def same(ours, theirs, exact=('n',)):
    assert ours.attributes == theirs.attributes and ours.groups == theirs.groups
    for k in ('n', 'weight', 'weight_sq', 'score', 'score_sq'):
        a, b = getattr(ours, k), getattr(theirs, k)
        assert (a is None) == (b is None)
        if a is not None:
            assert np.array_equal(a, b) if k in exact else np.allclose(a, b, rtol=1e-12, atol=0)
    assert (ours.clusters is None) == (theirs.clusters is None)
    if ours.clusters:
        assert np.array_equal(ours.clusters.ids, theirs.clusters.ids)
        assert np.array_equal(ours.clusters.cell, theirs.clusters.cell)
        np.testing.assert_allclose(ours.clusters.weight, theirs.clusters.weight, rtol=1e-12)


# ---- every engine

@pytest.mark.parametrize('gaps', [False, True])
def test_the_same_cube_from_every_engine(gaps):
    t = people(gaps=gaps)
    for more in ({}, dict(sample_weight='w', score='s', cluster='id'),
                 dict(sensitive_features=FIVE),
                 dict(missing='drop', cluster='id', sample_weight='w'),
                 dict(missing='drop'), dict(sensitive_features=FIVE, missing='drop')):
        frames = everywhere(t)
        if 'sample_weight' in more: del frames['objects'] # Sums want numbers
        found = {k: asked(f, **dict(missing='unknown') | more) for k, f in frames.items()}
        first = found['polars']
        for name, tally in found.items():
            assert (tally.rows, tally.dropped, tally.missing) == (first.rows, first.dropped,
                                                                  first.missing), name
            assert set(tally.cubes) == set(first.cubes), name
            for k in tally.cubes: same(tally.cubes[k], first.cubes[k])


def test_the_same_from_files(tmp_path):
    t = people()
    for path in in_files(t, tmp_path):
        table = open_table(path, ['a', 'b', 'c', 'y', 'p', 'w'], numeric=('w',))
        same(asked(table, sample_weight='w').counts, asked(t, sample_weight='w').counts)


@on_spark
def test_the_same_from_spark():
    t = {k: v for k, v in people(80, gaps=True).items() if k in ('a', 'b', 'y', 'p', 'w', 'id')}
    more = dict(sensitive_features=['a', 'b'], missing='unknown', sample_weight='w', cluster='id')
    same(asked(in_engine('spark', t), **more).counts, asked(t, **more).counts)


# ---- adding

@settings(max_examples=30, deadline=None)
@given(st.integers(6, 300), st.integers(0, 10**6), st.data())
def test_parts_give_the_whole(n, seed, data):
    "Any pieces, each through another engine: whole numbers to the bit, weighted sums to 1e-12"
    t, cuts = people(n, seed, gaps=True), sorted(data.draw(st.lists(st.integers(0, n), max_size=4)))
    if len({*t['a']} - {None}) < 2 or len({*t['b']} - {None}) < 2: return
    more = dict(sensitive_features=['a', 'b'], sample_weight='w', score='s', cluster='id',
                missing='unknown',
                part=True)
    schema = pl.DataFrame(t).schema
    pieces = [pl.DataFrame({k: v[i:j] for k, v in t.items()}, schema=schema) for i,
              j in zip([0, *cuts], [*cuts, n], strict=True)]
    turn = (lambda f: f, lambda f: f.lazy(), lambda f: f.to_arrow(),
            lambda f: duckdb.connect().from_arrow(f.to_arrow()))
    tallies = [asked(turn[i % 4](f), **more) for i, f in enumerate(pieces)]
    whole, both = asked(t, **more), tallies[0]
    for x in tallies[1:]: both = both + x
    same(both.counts, whole.counts)
    assert (both.rows, both.missing) == (whole.rows, whole.missing)


def test_what_does_not_add_up():
    t = people()
    with pytest.raises(InputError, match="same attributes to the same `depth`"):
        asked(t) + asked(t, depth=2)
    words = t | dict(p=['yes' if p else 'no' for p in t['p']])
    yes, no = (count_groups(words, y_pred='p', sensitive_features=['a'], positive=[word])
               for word in ('yes', 'no'))
    with pytest.raises(InputError, match="'no' is a positive prediction in one part"): yes + no


def test_a_part_may_lack_a_group_and_a_class():
    one = dict(g=['x', 'x'], p=['no', 'no'])
    with pytest.raises(InputError, match="one group only"):
        count_groups(one, y_pred='p', sensitive_features=['g'], positive=['no'])
    with pytest.raises(InputError, match="never is 'yes'"):
        count_groups(one, y_pred='p', sensitive_features=['g'], positive=['yes'])
    part = count_groups(one, y_pred='p', sensitive_features=['g'], positive=['yes'], part=True)
    assert part.counts.n.tolist() == [[[0, 0], [0, 0], [2, 0]]]
    empty = count_groups(pl.DataFrame(one).head(0), y_pred='p', sensitive_features=['g'],
                         positive=['yes'], part=True)
    same((part + empty).counts, part.counts); same((empty + part).counts, part.counts)
    assert len(empty.counts.by().groups) == 0


# ---- many attributes

def test_a_lattice_holds_every_three_attributes_and_no_more():
    t = people()
    tally = asked(t, sensitive_features=FIVE)
    assert set(tally.cubes) == set(combinations(FIVE, 3))
    assert tally.counts.attributes == ('a', 'b', 'c')
    for names in (*combinations(FIVE, 3), *combinations(FIVE, 2), *combinations(FIVE, 1),
                  ('e', 'a')):
        same(tally.by(*names), asked(t, sensitive_features=names).counts)
    assert (tally.by().n[0] == tally.counts.n.sum(0)).all()
    said = "only 3 attributes at a time were counted, not a × b × c × d; raise `depth` .now 3."
    with pytest.raises(InputError, match=said):
        tally.by('a', 'b', 'c', 'd')
    with pytest.raises(InputError, match="`z` is none of the attributes counted: a, b, c, d, e"):
        tally.by('z')
    with pytest.raises(InputError, match="`z` is none of the attributes counted: a, b, c"):
        tally.counts.by('z')
    assert set(asked(t, sensitive_features=FIVE, depth=2).cubes) == set(combinations(FIVE, 2))
    assert set(asked(t, sensitive_features=FIVE, depth=5).cubes) == {tuple(FIVE)}


def test_dropping_looks_at_all_attributes_jointly():
    "A row that misses `e` is gone from the cube of a, b, c too"
    t = people()
    t['e'] = ['' if i % 3 == 0 else v for i, v in enumerate(t['e'])]
    t['d'] = ['?' if i % 4 == 0 else v for i, v in enumerate(t['d'])]
    kept = [i for i in range(600) if i % 3 and i % 4]
    for frame in everywhere(t).values():
        tally = asked(frame, sensitive_features=FIVE, missing='drop', null=['?'])
        assert tally.dropped == 600 - len(kept) and tally.missing == dict(d=150, e=200)
        for c, counts in tally.cubes.items():
            same(counts, asked({k: [v[i] for i in kept] for k, v in t.items()},
                               sensitive_features=c).counts)
    unknown = asked(t, sensitive_features=FIVE, missing='unknown', null=['?'])
    assert unknown.dropped == 0 and all(c.n.sum() == 600 for c in unknown.cubes.values())


def test_a_missing_number_is_dropped_from_a_lattice():
    t = people() | dict(d=[np.nan if i % 4 == 0 else float(i % 3) for i in range(600)])
    for frame in everywhere(t).values():
        assert asked(frame, sensitive_features=FIVE, missing='drop').dropped == 150


# ---- clusters

def test_clusters_are_counted_as_by_hand():
    t = people(200, gaps=True)
    counts = asked(t, sensitive_features=['a', 'b'], cluster='id', sample_weight='w', score='s',
                   missing='unknown').counts
    weight, score = Counter(), Counter()
    for a, b, y, p, w, s, i in zip(*(t[k] for k in ('a', 'b', 'y', 'p', 'w', 's', 'id')),
                                   strict=True):
        key = i, (counts.groups.index((a, b))*3 + (2 if y is None else y))*2 + p
        weight[key] += w; score[key] += w*s
    found = list(zip(counts.clusters.ids.tolist(), counts.clusters.cell.tolist(), strict=True))
    assert found == sorted(weight)
    np.testing.assert_allclose(counts.clusters.weight, [weight[k] for k in found], rtol=1e-12)
    np.testing.assert_allclose(counts.clusters.score, [score[k] for k in found], rtol=1e-12)


def test_bad_clusters():
    t = people()
    with pytest.raises(InputError, match="clustered rows of 5 attributes need one table of them "
                                         "all; raise `depth` to 5 .now 3."):
        asked(t, sensitive_features=FIVE, cluster='id')
    for gap in (None, float('nan')):
        with pytest.raises(InputError, match="`id` must say to which cluster each row belongs; it "
                                             "is missing in 100 rows"):
            asked(t | dict(id=[gap if i % 6 == 0 else float(i) for i in range(600)]), cluster='id')
    with pytest.raises(InputError, match="`a` is given twice, as .* and `cluster`"):
        asked(t, cluster='a')
    assert asked(t, sensitive_features=FIVE, cluster='id', depth=5).counts.clusters


# ---- edges

@pytest.mark.parametrize('change, more, says', [
    (dict(p=['yes', 'no']*300), {}, "`p` holds words: 'no' .300 rows., 'yes' .300 rows.; say which "
                                    "of them are positive"),
    (dict(p=[.9, .3, 1.]*200), {}, "`p` holds probabilities.*`threshold`"),
    (dict(p=[1, None]*300), {}, "`p` is missing in 300 of 600 rows"),
    (dict(p=[0, 1, 2]*200), {}, "must hold two classes.*With three classes or more, compare one "
                                "with the rest: name it in `positive`"),
    (dict(p=['r', 'g', 'b']*200), {}, "holds words.*compare one with the rest"),
    (dict(a=[None, 'x', 'y']*200), {}, "`a` is missing in 200 of 600 rows.*`missing` to unknown"),
    (dict(w=[-1, 1]*300), dict(sample_weight='w'), "`w` must hold weights of 0 or more; 300 rows"),
    ({}, dict(depth=0), "`depth` must be a whole number from 1 up, got 0"),
    ({}, dict(depth=True), "`depth` must be a whole number"),
    ({}, dict(threshold=float('nan')), "`threshold` must be a finite number, such as 0.5; got nan"),
    ({}, dict(threshold=float('-inf')), "`threshold` must be a finite number"),
    ({}, dict(threshold='0.5'), "`threshold` must be a finite number, such as 0.5; got '0.5'"),
    ({}, dict(threshold=True), "`threshold` must be a finite number"),
])
def test_what_has_to_be_said_first(change, more, says):
    with pytest.raises(InputError, match=says): asked(people() | change, **more)


def test_a_missing_prediction_is_never_a_no():
    t = people() | dict(p=[1, None, 0]*200)
    for how in ('unknown', 'drop'): assert asked(t, missing=how).dropped == 200


def test_three_classes_one_against_the_rest():
    t = people() | dict(p=['r', 'g', 'b']*200, y=['r', 'r', 'b', 'g', 'g', 'g']*100)
    parts = [asked(t, positive=[k]).counts.n[:, :, 1].sum() for k in 'rgb']
    assert parts == [200, 200, 200]


def test_odd_tables():
    mixed = pd.DataFrame(people()).assign(a=pd.Series(['x', 1]*300, dtype=object))
    assert asked(mixed, sensitive_features=['a', 'b']).by('a').groups == (('1',), ('x',))
    named = {'y_true': people()['a'], 'n': people()['b'], '_label': people()['y'],
             'y_pred': people()['p']}
    for frame in everywhere(named).values():
        tally = count_groups(frame, y_pred='y_pred', y_true='_label',
                             sensitive_features=['y_true', 'n'])
        assert tally.counts.attributes == ('y_true', 'n') and tally.rows == 600


def test_classes_of_a_part():
    assert classes(Counter(low=3), 'p', ('high',), part=True) == {'low': 0}
    with pytest.raises(InputError, match="say which of them are positive"):
        classes(Counter(low=3), 'p', part=True)




@pytest.mark.parametrize('role', ['cluster', 'y_true'])
def test_lists_are_no_clusters(role):
    table = pl.DataFrame(dict(g=['a', 'b']*9, p=[1, 0]*9, s=[[1]]*18))
    with pytest.raises(InputError, match='`s`'):
        count_groups(table, y_pred='p', sensitive_features='g', **{role: 's'})
