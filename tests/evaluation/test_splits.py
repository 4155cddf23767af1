"Splits that keep their promises"
import warnings
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from dlcourse.core.errors import InputError
from dlcourse.evaluation.splits import (
    Split,
    best_of,
    folds,
    leaked,
    nested,
    split,
    stratified_groups,
    twins,
)


@pytest.mark.filterwarnings('ignore:.y. has classes without a row')
@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.integers(6, 200), st.integers(3, 40), st.integers(1, 4))
def test_no_group_stands_in_two_parts(seed, n, people, classes):
    rng = np.random.default_rng(seed)
    y, groups = rng.integers(0, classes, n), rng.integers(0, people, n)
    if len(np.unique(groups)) < 3: return
    parts = split(n, y=y, groups=groups, seed=seed % 7)
    assert sorted(np.concatenate([*parts])) == list(range(n)) and all(map(len, parts))
    for a in parts:
        for b in parts: assert a is b or not len(leaked(a, b, groups))


def test_split_sizes_classes_and_seed():
    y = np.repeat([0, 1, 2], [700, 250, 50])
    a, b, c = split(1000, y=y), split(1000, y=y), split(1000, y=y, seed=1)
    assert [len(part) for part in a] == [600, 200, 200]
    for part, share in zip(a, (.6, .2, .2), strict=True):
        assert np.bincount(y[part]).tolist() == [700*share, 250*share, 50*share]
    assert all((p == q).all() for p, q in zip(a, b, strict=True)) and (a.test != c.test).any()
    assert [len(part) for part in split(10, valid=0)] == [8, 0, 2]
    assert repr(a) == 'Split(train=600, valid=200, test=200 rows)'


def farthest(y, part):
    "How far a fold's share of positives and of rows is from all the folds', at worst"
    inside = [part == i for i in range(5)]
    return max(abs(y[i].mean() - y.mean()) + abs(i.mean() - .2) for i in inside)


def test_classes_of_groups_as_close_as_scikit_learns():
    worst = []
    for seed in range(5):
        rng = np.random.default_rng(seed)
        sizes = rng.lognormal(4, .7, 60).astype(int) + 5
        groups = np.repeat(np.arange(60), sizes)
        y = (rng.random(len(groups)) < rng.beta(1, 5, 60)[groups]).astype(int)
        ours, peer = stratified_groups(y, groups, np.ones(5), seed), np.zeros(len(y), int)
        splitter = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
        for i, (_, test) in enumerate(splitter.split(y, y, groups)): peer[test] = i
        worst.append([farthest(y, ours), farthest(y, peer)])
    assert np.mean(worst, 0)[0] <= np.mean(worst, 0)[1]


def test_time_goes_forward():
    time = np.random.default_rng(0).integers(0, 40, 300)
    train, valid, test = split(300, time=time)
    assert time[train].max() < time[valid].min() and time[valid].max() < time[test].min()
    for train, test in folds(300, 4, time=np.datetime64('2024-01-01') + time):
        assert time[train].max() < time[test].min()


def test_folds_cover_every_row_once_in_each_repeat():
    pairs = folds(53, 5, repeats=3)
    assert len(pairs) == 15
    for r in range(3):
        tested = np.concatenate([test for _, test in pairs[5*r:5*r + 5]])
        assert sorted(tested) == list(range(53))
    for pair in pairs: assert sorted(np.concatenate(pair)) == list(range(53))
    assert (pairs[0][1].tolist() != pairs[5][1].tolist())


def test_twins_of_twins_share_a_label():
    x = np.array([[0., 0], [3, 4], [0, 0], [3, 5], [3, 6], [9, 9]])
    same = twins(x)
    assert same[0] == same[2] and len(set(same)) == 5
    near = twins(x, within=1.)
    assert near[1] == near[3] == near[4] and len(set(near)) == 3, 'a twin of a twin is a twin'
    assert len(set(twins(x, groups=['a', 'b', 'c', 'd', 'e', 'a']))) == 4
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 3))
    apart = np.linalg.norm(rows[:, None] - rows, axis=-1) <= .8
    label = twins(rows, within=.8)
    assert all(label[i] == label[j] for i, j in np.argwhere(apart))
    with pytest.raises(InputError, match='`x` must be finite'): twins([[np.nan]])


def test_nested_scores_only_rows_that_had_no_say():
    seen = []
    def score(candidate, train, test):
        seen.append((candidate, set(train), set(test)))
        return candidate
    values, chosen = nested(score, [1, 3, 2], 40, k=4, inner=3)
    assert values.tolist() == [3]*4 and chosen == [3]*4
    calls = len(seen)//4
    for i in range(4):
        block = seen[calls*i:calls*(i + 1)]
        outside = block[-1][2]
        assert len(block) == 3*3 + 1
        assert all(not outside & (train | test) for _, train, test in block[:-1])


@pytest.mark.parametrize('call, says', [
    (lambda: split(5, y=[0, 1]), '`y` must have a value for each of the 5 rows; got 2'),
    (lambda: split(5, test=.9, valid=.3), 'nor leave nothing for training'),
    (lambda: split(5, groups=[0, 0, 0, 1, 1]), '3 parts need at least as many groups; got 2'),
    (lambda: split(50, y=np.linspace(0, 1, 50)), '`y` must hold classes; got 50 different values'),
    (lambda: split(3, time=[1, 2, 3], groups=[0, 1, 2]), 'give `time` or `groups`, not both'),
    (lambda: folds(9, 1), '`k` must be a whole number from 2 up, got 1'),
    (lambda: Split(train=np.arange(3), valid=np.array([2]), test=np.array([3])), 'share no row')])
def test_what_cannot_be_split_is_refused(call, says):
    with pytest.raises(InputError, match=says): call()


@pytest.mark.parametrize('how', [
    dict(time=np.array(['2020-01-01']*19 + ['NaT'], 'datetime64[D]')),
    dict(time=np.r_[np.arange(19.), np.nan]), dict(groups=np.array([*'ab'*9, 'c', None])),
    dict(y=[0]*19 + [np.nan])])
def test_a_row_that_lacks_what_decides_its_part_is_refused(how):
    name, = how
    for f in (split, folds):
        with pytest.raises(InputError, match=f'`{name}` must not be missing'): f(20, **how)


def test_a_class_that_a_part_lacks_is_told():
    with pytest.warns(UserWarning, match='`y` has classes without a row: 1 in valid; 1 in test'):
        split(20, y=[1] + [0]*19, seed=0)
    with pytest.warns(UserWarning, match='0 in train; 1 in test'):
        split(20, y=[1]*15 + [0]*5, time=np.arange(20))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        split(20, y=[0, 1]*10)
        split(20, y=[0, 1]*10, valid=0.)


UNDATED = dict(blank=['2020-01-01']*19 + [''], nothing=[3]*19 + [None], masked=np.ma.array(
    np.arange(20), mask=np.arange(20) == 3), table=np.arange(20)[:, None])


@pytest.mark.parametrize('kind', UNDATED)
@pytest.mark.parametrize('name', ['y', 'groups', 'time'])
def test_a_column_that_is_none_or_has_gaps_is_refused(kind, name):
    for f in (split, folds):
        with pytest.raises(InputError, match=f'`{name}`'): f(20, **{name: UNDATED[kind]})


def test_columns_of_other_rows_are_refused():
    y, groups = pd.Series([0, 1]*10), pd.Series(np.arange(20)//2)
    folds(20, y=y, groups=groups)
    for f in (split, folds):
        with pytest.raises(InputError, match='`groups` has other row labels than `y`'):
            f(20, y=y, groups=groups.iloc[::-1])
    with pytest.raises(InputError, match='other row labels'):
        twins(pd.DataFrame({'x': np.arange(20.)}), groups=groups.iloc[::-1])


def test_a_fold_that_lacks_a_class_is_told():
    with pytest.warns(UserWarning, match='1 in fold [123]'): folds(20, 3, y=[1]*2 + [0]*18)
    with pytest.warns(UserWarning, match='0 in fold 4'):
        folds(20, 4, y=[0]*10 + [1]*10, time=np.arange(20))
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        folds(20, y=[0, 1]*10)


def test_no_part_that_was_asked_for_is_empty():
    assert [len(part) for part in split(15, groups=np.arange(15)//5)] == [5, 5, 5]
    assert [len(part) for part in split(10, test=.01, valid=.01)] == [8, 1, 1]
    assert [len(part) for part in split(10, test=.7, valid=.3)] == [0, 3, 7]
    with pytest.raises(InputError, match='`test` would get none of the 9 rows'):
        split(9, time=[1]*3 + [2]*3 + [3]*3, test=.1, valid=.3)
    with pytest.raises(InputError, match='fold 1 and fold 2'): folds(6, 2, time=[1]*6)
    with pytest.raises(InputError, match='must not be negative'): split(9, test=float('nan'))
    with pytest.raises(InputError, match='`repeats`'): folds(9, 3, repeats=0)


def test_a_score_that_is_no_number_never_wins():
    def score(candidate, train, test): return candidate
    assert nested(score, [1., np.nan, 3., np.nan], 20, k=2, inner=2)[1] == [3., 3.]
    with pytest.raises(InputError, match='`score` must be a number for some candidate; all 2'):
        nested(score, [np.nan, np.nan], 20, k=2, inner=2)
    assert best_of([1, 2, 2]) == 1 and best_of([np.nan, -np.inf]) == 1


def test_twins_of_rows_that_nobody_owns_are_refused():
    for groups in ([1, None], [1.], ['a', '']):
        with pytest.raises(InputError): twins([[0.], [1.]], groups=groups)
    with pytest.raises(InputError, match='`within`'): twins([[0.], [1.]], within=float('nan'))
    with pytest.raises(InputError): leaked([0], [1], ['a', None])


DAY = datetime(2026, 1, 1)
ZONED = DAY.replace(tzinfo=UTC)


@pytest.mark.parametrize('says', [
    lambda d: str(d.date()), str, lambda d: d.isoformat() + 'Z', lambda d: d, lambda d: d.date(),
    lambda d: d.date() if d.day % 2 else d, lambda d: d.replace(tzinfo=UTC)])
def test_dates_are_read_whatever_they_are_written_as(says):
    days = [DAY + timedelta(days=i) for i in range(20)]
    assert split(20, time=[says(d) for d in days]).test.tolist() == [16, 17, 18, 19]
    assert folds(20, 2, time=[says(d) for d in days[::-1]])[-1][1].max() < 10


@pytest.mark.parametrize(('time', 'says'), [
    ([str(i) for i in range(1, 11)], "got '1'"), ([f'2020-1-{i}' for i in range(1, 11)], 'got '),
    ([f'{i:02}.01.2020' for i in range(1, 11)], "got '01.01.2020'"),
    ([DAY]*5 + [ZONED]*5, 'a zone in every row, or in none'),
    ([str(DAY)]*5 + [str(ZONED)]*5, 'a zone in every row'),
    ([DAY]*5 + [3]*5, 'of one kind, numbers or dates; got datetime, int')])
def test_moments_without_an_order_are_refused(time, says):
    with pytest.raises(InputError, match=says): split(10, time=time)
    with pytest.raises(InputError, match=says): folds(10, 2, time=np.array(time, object))
