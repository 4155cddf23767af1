"Runs over seeds: what goes in comes out, summaries against SciPy, the bootstrap by enumeration"
from itertools import product

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from dlcourse.core.errors import InputError
from dlcourse.evaluation.comparison import compare
from dlcourse.evaluation.intervals import mean_interval, told
from dlcourse.evaluation.metrics import Undefined
from dlcourse.evaluation.runs import Runs, bootstrap_runs, interquartile_mean, over_seeds

matplotlib.use('Agg')


def test_a_number_for_each_seed():
    runs = over_seeds(lambda seed, plus: seed**2 + plus, 4, plus=1)
    assert runs.seeds == (0, 1, 2, 3) and runs[None].tolist() == [1, 2, 5, 10]
    assert runs['runs'] is runs[None]
    assert over_seeds(lambda seed: seed, [7, 3])[None].tolist() == [7, 3]
    assert over_seeds(lambda seed: seed, np.int64(2)).seeds == (0, 1)


def square(seed): return seed**2


def test_names_are_ways_or_measures_or_pairs():
    both = {'accuracy': .5, 'loss': [1., 2.]}
    assert over_seeds(square).names == ('square',)
    assert over_seeds(lambda seed: both).names == ('accuracy', 'loss')
    assert over_seeds({'a': square, ('b', .1): square}).names == ('a', ('b', .1))
    runs = over_seeds({'a': lambda seed: both, 'b': lambda seed: both}, 2)
    assert runs.names == (('a', 'accuracy'), ('a', 'loss'), ('b', 'accuracy'), ('b', 'loss'))
    assert runs['b', 'loss'].shape == (2, 2) and runs.measure('loss')['b'].tolist() == [[1, 2]]*2
    assert runs.at()['b', 'loss'].tolist() == [2, 2] and runs.at(0)['b', 'loss'].tolist() == [1, 1]


def test_what_a_run_leaves_behind_is_kept():
    runs = over_seeds({'a': lambda seed: ({'x': seed}, f'model {seed}')}, 2, keep=True)
    assert runs.kept == {'a': ['model 0', 'model 1']} and runs['a'].tolist() == [0, 1]


def test_a_run_may_tell_of_several_ways_at_once():
    def both(seed): return {'a': {'x': seed, 'y': [0, 1]}, 'b': {'x': 2*seed, 'y': [2, 3]}}
    runs = over_seeds(both, [3, 5])
    assert runs.ways == ('a', 'b') and runs.measures == ('x', 'y') and runs.seeds == (3, 5)
    assert runs['b', 'x'].tolist() == [6, 10] and runs['a', 'y'].tolist() == [[0, 1]]*2
    kept = over_seeds(lambda seed: (both(seed), f'world {seed}'), 2, keep=True)
    assert kept['b', 'x'].tolist() == [0, 2] and kept.kept == {'runs': ['world 0', 'world 1']}
    assert over_seeds(lambda seed: {'a': {'x': seed}, 'b': {'x': 1}}, 2).names == ('a', 'b')


def test_arrays_made_elsewhere():
    curves = np.arange(12.).reshape(3, 4)
    rows = Runs.of({'a': [{'x': 1, 'y': 2}, {'x': 3, 'y': 4}]})
    assert rows.names == ('x', 'y') and rows['y'].tolist() == [2, 4]
    assert Runs.of({'a': curves}).mean('a').tolist() == curves.mean(0).tolist()
    assert Runs.of({'a': {'x': curves, 'y': curves[:, 0]}}, seeds=(5, 6, 7)).seeds == (5, 6, 7)


def test_intervals_are_students_at_each_step():
    values = np.random.default_rng(0).normal(size=(5, 3))
    low, high = Runs.of({'a': values}).interval('a', .9)
    for step in range(3): assert (low[step], high[step]) == mean_interval(values[:, step], .9)
    assert all(isinstance(limit, Undefined) for limit in Runs.of({'a': [1.]}).interval())


def test_comparison_is_paired_by_seed_and_takes_the_last_of_a_curve():
    a, b = np.random.default_rng(1).normal(size=(2, 6, 4))
    ours = Runs.of({'a': a, 'b': b}).compare('a', 'b', least=.1)
    assert ours == compare(a[:, -1], b[:, -1], least=.1)


def test_frame_has_a_row_for_each_way():
    runs = Runs.of({'a': [1., 3.], 'b': [2., 2.]})
    first, second = runs.frame.rows(named=True)
    low, high = mean_interval([1., 3.])
    assert first == {'way': 'a', 'mean': 2., 'low': low, 'high': high, 'least': 1., 'most': 3.}
    assert second['low'] == second['high'] == 2
    def two(seed): return {'x': seed, 'y': [0, seed + 1]}
    many = over_seeds({'a': two, 'b': two}, 2).frame
    assert many.columns[:2] == ['way', 'x mean'] and many['y most'].to_list() == [2., 2.]
    assert over_seeds(two, 2).frame.select('measure', 'most').rows() == [('x', 1.), ('y', 2.)]
    assert str(over_seeds(two, 1)).splitlines()[1:3] == ['x        0', 'y        1']
    assert np.isnan(over_seeds(square, 1).frame['low'][0])


def test_told_with_the_digits_that_the_interval_leaves():
    assert told([.92812, .93312, .92512, .93112]) == '0.9294 ± 0.0056 (0.9251 to 0.9331)'
    assert told([1234., 1300.]) == '1267 ± 419 (1234 to 1300)'
    assert told([.25, .25]) == '0.25' and told([.123456]) == '0.1235'
    assert told([1e-9, 2e-9, 4e-9]) == '2.3 ± 3.8 (1.0 to 4.0) × 1e-9'
    assert told([1e307, 1.5e307]) == '1.2 ± 3.2 (1.0 to 1.5) × 1e307'
    assert 'inf (1.000000 to 1.500000) × 1e308' in told([1e308, 1.5e308])
    assert (told([1.5e308]*2), told([np.inf, 1.]), told([0., 0.])) == ('1.5e+308', 'inf', '0')
    with pytest.raises(InputError, match='`values` must hold a number for each seed'): told([])


def test_shown_as_text_and_as_a_table_that_escapes():
    runs = Runs.of({'a <b>': [1., 2.], 'c': [1., 1.]})
    assert str(runs).splitlines()[1].startswith('a <b>  1.5 ± ')
    assert 'a &lt;b&gt;' in runs._repr_html_() and '2 runs each' in runs._repr_html_()
    assert 'one run each' in str(over_seeds(square, 1))


def test_plots():
    points = Runs.of({'a': [1., 2.], 'b': [3., 4.]}).plot()
    assert [t.get_text() for t in points.get_yticklabels()] == ['a', 'b']
    _, ax = plt.subplots()
    curves = Runs.of({'a': np.ones((3, 4)), 'b': np.zeros((3, 4))})
    assert curves.plot(ax, x=[1, 2, 4, 8]) is ax
    assert ax.get_lines()[0].get_xdata().tolist() == [1, 2, 4, 8]
    pairs = Runs.of({'a': {'x': [1., 2.], 'y': [1., 2.]}})
    pairs.plot(measure='x')
    with pytest.raises(InputError, match='`measure` must be one of'): pairs.plot()
    plt.close('all')


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60))
def test_interquartile_mean_is_scipys_mean_trimmed_by_a_quarter(numbers):
    theirs = stats.trim_mean(numbers, .25)
    assert interquartile_mean(numbers) == pytest.approx(theirs, rel=1e-9, abs=1e-6)


def every_table(scores):
    "All tables that the bootstrap can draw, each task apart"
    columns = [list(product(column, repeat=len(column))) for column in np.transpose(scores)]
    return [np.transpose(columns) for columns in product(*columns)]


@pytest.mark.parametrize('scores', [[[.1], [.5], [.9]], [[.1, .3], [.5, .2], [.9, .4]]])
def test_bootstrap_draws_every_table_equally_often(scores):
    seen = []
    bootstrap_runs(scores, lambda table: seen.append(table.mean()) or 0., draws=20_000)
    exact = np.array([table.mean() for table in every_table(scores)])
    assert np.mean(seen) == pytest.approx(exact.mean(), abs=.01)
    assert np.std(seen) == pytest.approx(exact.std(), rel=.03)


def test_interquartile_mean_of_runs_pools_measures_as_tasks():
    scores = np.random.default_rng(0).normal(size=(6, 4))
    runs = Runs.of({'a': dict(zip('wxyz', scores.T, strict=True))})
    value, low, high = runs.iqm('a', level=.9, draws=300, seed=2)
    assert value == interquartile_mean(scores)
    assert (low, high) == bootstrap_runs(scores, level=.9, draws=300, seed=2)
    assert isinstance(Runs.of({'a': [1.]}).iqm().low, Undefined)


def test_every_run_finds_the_generators_seeded_anew_and_they_go_on_as_before():
    np.random.seed(5)
    after = np.random.rand(2)
    np.random.seed(5)
    first = np.random.rand()
    runs = over_seeds({'a': lambda seed: np.random.rand(), 'b': lambda seed: np.random.rand()}, 3)
    assert runs['a'].tolist() == runs['b'].tolist() and len(set(runs['a'])) == 3
    assert [first, np.random.rand()] == after.tolist()


@pytest.mark.parametrize('call, says', [
    (lambda: over_seeds(square, 0), '`seeds` must be how many, one or more'),
    (lambda: over_seeds(square, None), '`seeds` must be how many, .* got None'),
    (lambda: over_seeds(square, True), '`seeds` must be how many, .* got True'),
    (lambda: over_seeds(square, 'abc'), '`seeds` must be how many, .* got abc'),
    (lambda: over_seeds(square, [0, .5]), r'whole numbers that differ, .* got \[0, 0.5\]'),
    (lambda: over_seeds(square, [1, 1, 2]), r'the same run twice is one run; got \[1, 1, 2\]'),
    (lambda: Runs.of({'a': [1, 2]}, [3, 3]), '`seeds` must be how many'),
    (lambda: over_seeds(3), "'runs' must be a function of a seed; got 3"),
    (lambda: over_seeds(lambda seed: None), 'must be a number, .* got NoneType'),
    (lambda: over_seeds(lambda seed: '3'), 'got str'),
    (lambda: over_seeds(lambda seed: [[1], [1, 2]]), 'got list, '),
    (lambda: over_seeds(lambda seed: {'x': 1} if seed else {'y': 1}),
     r"'runs' must give the same measures, by name; got \['y'\] and \['x'\]"),
    (lambda: over_seeds(lambda seed: {None: {'loss': 1.}}), r'measures, by name; got \[None\]'),
    (lambda: over_seeds(lambda seed: {'x': 1} if seed else 1), 'must give the same measures'),
    (lambda: over_seeds(lambda seed: {}), '`ways` must name a way and a measure'),
    (lambda: over_seeds(square, keep=True), 'must give a pair'),
    (lambda: over_seeds({}), '`ways` must name a way'),
    (lambda: over_seeds(lambda seed: {'a': {'x': 1}, 'b': {'y': 1}}), r"'b' has \['y'\]"),
    (lambda: over_seeds(lambda seed: {'a': {'x': 1}, 'b': 1}), r"'b' has \['value'\]"),
    (lambda: over_seeds(lambda seed: {'a': {'x': {'deep': 1}}, 'b': {'x': 1}}), 'got dict, '),
    (lambda: over_seeds(lambda seed: [0]*seed), r'each of the 3 seeds; got list, \(0,\) in all'),
    (lambda: over_seeds(lambda seed: [[0]]), 'must be a number, or a curve'),
    (lambda: over_seeds({'a': lambda seed: {'x': 1}, 'b': square}), r"'b' has \['value'\]"),
    (lambda: Runs.of({'a': [1, 2], 'b': [1]}), "`value` of 'b' must be a number"),
    (lambda: over_seeds(square)['cube'], r"`name` must be one of \['square'\]; got 'cube'"),
    (lambda: over_seeds(square).measure('x'), '`name` must be one of'),
    (lambda: over_seeds(square).iqm('x'), '`way` must be one of'),
    (lambda: bootstrap_runs([1.]), '`scores` must hold two runs or more; got 1'),
    (lambda: interquartile_mean([np.nan]), '`scores` must not be NaN')])
def test_errors(call, says):
    with pytest.raises(InputError, match=says): call()


@pytest.mark.parametrize('names', [(16, 64), (.1, .5), (np.int64(16), np.float64(64))])
def test_ways_and_measures_may_be_called_by_numbers(names):
    a, b = names
    ways = over_seeds(lambda seed: {a: {'loss': seed + 1.}, b: {'loss': seed*2.}})
    assert ways.ways == names and ways[b].tolist() == [0., 2., 4.]
    assert ways.frame['way'].to_list() == [str(a), str(b)] and str(b) in repr(ways)
    alone = over_seeds(lambda seed: {a: seed*1., b: seed*2.})
    assert alone.names == names and alone.compare(b, a).estimate == 1.
    both = over_seeds({'x': lambda seed: {a: 1., b: 2.}, 'y': lambda seed: {a: 3., b: 4.}})
    assert both['y', b].mean() == 4. and str(a) in repr(both) and str(a) in both._repr_html_()


def test_equal_runs_are_told_without_a_spread_of_rounding():
    assert told([.8900112233]*5) == '0.89'
    assert told([.1 + .2, .3, .3]) == '0.3'


@pytest.mark.parametrize('result, said', [([], 'must be a number, or a curve'),
                                          (np.array([]), 'must be a number, or a curve'),
                                          ({(1, 2): 2}, 'must give the same measures'),
                                          ({'a': 1, None: 2}, 'must give the same measures')])
def test_results_that_are_none_are_refused(result, said):
    with pytest.raises(InputError, match=said): over_seeds(lambda seed: result, 2)


@pytest.mark.parametrize('values', [['a', 'b'], [1 + 2j, 3], 'ab', [[1, 2], [3]]])
def test_what_is_told_must_be_numbers(values):
    with pytest.raises(InputError, match='`values` must'): told(values)


def test_a_run_hangs_on_its_seed_alone_whatever_ran_before():
    def drawn(seed): return np.random.random()
    every = over_seeds({'a': drawn, 'b': drawn}, 4)
    assert every['a'].tolist() == every['b'].tolist()
    assert over_seeds(drawn, [3])[None].tolist() == [every['a'][3]]
