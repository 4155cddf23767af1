"Generators of tables: the seed alone, values that stood there, what each keeps, refusals"
import numpy as np
import pytest
from scipy.stats import spearmanr

from dlcourse.core.errors import InputError
from dlcourse.data.generators import (
    Conditional,
    GaussianCopula,
    Independent,
    arrays_of,
    coordinates,
    nearest_distance,
)
from dlcourse.data.synthetic import normal_scores


def made_up(n=400, seed=0):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n)
    word = np.where(rng.random(n) < .3, 'b', 'a')
    k = np.round(2*z + rng.normal(size=n)).astype(int)
    return {'word': word, 'x': np.exp(z).round(4), 'k': k,
            'y': (z + (word == 'b')*2 > 0).astype(int)}


def copula(table): return GaussianCopula(table, normal_scores)


@pytest.mark.parametrize('make', [Independent, copula, Conditional])
def test_rows_depend_on_the_seed_and_hold_values_that_stood_there(make):
    table = made_up()
    maker = make(table)
    one, again, other = (maker.sample(150, seed) for seed in (1, 1, 2))
    assert list(one) == list(table)
    for name, column in table.items():
        assert np.array_equal(one[name], again[name]) and one[name].dtype == column.dtype
        assert len(one[name]) == 150 and set(one[name].tolist()) <= set(column.tolist())
    assert any(not np.array_equal(one[name], other[name]) for name in table)


def test_what_each_keeps():
    table, n = made_up(2000), 20_000
    def rank(t, a, b): return spearmanr(t[a], t[b])[0]
    alone, joint, trees = (make(table).sample(n) for make in (Independent, copula, Conditional))
    assert abs(rank(alone, 'x', 'k')) < .03
    for t in (joint, trees): assert abs(rank(t, 'x', 'k') - rank(table, 'x', 'k')) < .05
    for t in (alone, joint, trees):
        assert abs(np.quantile(t['x'], .9) - np.quantile(table['x'], .9)) < .3
    def of_b(t): return t['y'][t['word'] == 'b'].mean()
    assert abs(of_b(trees) - of_b(table)) < .05 < abs(of_b(alone) - of_b(table))


def test_a_leaf_of_one_row_copies_and_larger_ones_do_not():
    table = made_up()
    points = coordinates(table, table)
    def copied(leaf):
        made = coordinates(Conditional(table, leaf).sample(200), table)
        return np.mean(nearest_distance(made, points) < 1e-9)
    assert copied(1) > .9 and copied(40) < .3


def test_distances_by_hand():
    like = {'x': np.array([0., 2.]), 'word': np.array(['a', 'b'])}
    points = coordinates({'x': np.array([0., 1., 0.]), 'word': np.array(['a', 'a', 'b'])}, like)
    np.testing.assert_allclose(nearest_distance(points[1:], points[:1]), [1., 1.5])


def test_a_constant_column_and_a_single_row():
    table = made_up(50) | {'one': np.full(50, 3.)}
    for make in (Independent, copula, Conditional):
        assert set(make(table).sample(20)['one'].tolist()) == {3.}
        assert make({'x': np.array([4.])}).sample(3)['x'].tolist() == [4.]*3


@pytest.mark.parametrize('table, words', [
    ({'a': np.array([])}, '`table` must have columns of one length, with a row at least'),
    ({}, '`table` must have columns'),
    ({'a': np.ones(2), 'b': np.ones(3)}, "got {'a': 2, 'b': 3}"),
    ({'a': np.array([1., np.nan])}, '`a` must have a value in every row, .* none in row 1; drop'),
    ({'a': np.array(['x', None], dtype=object)}, 'has none in row 1'),
])
def test_tables_that_will_not_do_are_refused(table, words):
    for make in (arrays_of, Independent, Conditional):
        with pytest.raises(InputError, match=words): make(table)


def test_a_leaf_must_hold_a_row():
    with pytest.raises(InputError, match='`leaf` must be a whole number from 1 up, got 0'):
        Conditional(made_up(20), 0)
