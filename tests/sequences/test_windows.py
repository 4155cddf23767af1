"Checked series, windows that do not leak, backtests that do not look ahead, the made town"
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import Ridge as Other

from dlcourse.core.errors import InputError
from dlcourse.sequences.windows import (
    backtest,
    carried_forward,
    checked_series,
    demand,
    fit_ridge,
    past_and_future,
    rolling_origins,
)


@pytest.mark.parametrize(('values', 'times', 'says'), [
    ([1, np.nan, 3], None, "`values` must be finite numbers; 1 are not, the first is number 1"),
    ([1, np.inf], ['2020-01-01', '2020-01-02'], "number 1 (2020-01-02)"),
    ([[1, 2], [3, None]], None, "number 1"),
    ([1, 2, 3], ['1949-01', '1949-03', '1949-02'], "`times` go back: after 1949-03 comes 1949-02"),
    ([1, 2], ['1949-01', '1949-01'], "`times` repeat: after 1949-01 comes 1949-01"),
    ([1, 2, 3, 4], [0, 1, 2, 4], "`times` must have one step; most are 1, but after 2 comes 4"),
    ([1, 2, 3], [0., .1, .3], "`times` must have one step"),
    ([1, 2], [0], "`times` must be one for each of 2 values; got 1"),
    ([1, 2], ['monday', 'tuesday'], "a text that is neither"),
    ([1, 2], [0., np.nan], "`times` must all be known; number 1 is not"),
    (['a', 'b'], None, "`values` must be numbers"),
    ([], None, "got the shape (0,)"),
    (np.zeros((2, 2, 2)), None, "got the shape (2, 2, 2)"),
])
def test_a_bad_series_is_named(values, times, says):
    with pytest.raises(InputError) as e: checked_series(values, times)
    assert says in str(e.value)


def test_times_that_are_even():
    months = checked_series([1, 2, 3], ['1949-01', '1949-02', '1949-03'])
    assert str(months.step) == '1 months' and len(months) == 3
    assert checked_series([1, 2, 3], [0., .1, .2]).step == pytest.approx(.1)
    series = checked_series(given := np.ones((4, 2)))
    given[:] = 7
    assert (series.values == 1).all() and not series.values.flags.writeable


def test_gaps_are_filled_from_before():
    series, n = carried_forward([3., np.nan, 6, 7], ['2024-02-27', '2024-02-28', '2024-03-01',
                                                     '2024-03-02'])
    assert series.values.tolist() == [3, 3, 3, 6, 7] and n == 2
    with pytest.raises(InputError, match="must begin with a number"):
        carried_forward([np.nan, 1], [0, 1])
    with pytest.raises(InputError, match="repeat"): carried_forward([1., 1, 2], [0, 0, 1])
    with pytest.raises(InputError, match="whole number of steps"):
        carried_forward([1., 1, 2, 3], [0., 1., 2., 3.5])
    with pytest.raises(InputError, match="two values or more"): carried_forward([1.], [0])


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 4), st.integers(12, 30))
def test_every_target_lies_in_one_part(length, horizon, stride, cut):
    values = np.arange(60)
    x, y = past_and_future(values, length, horizon, stop=cut, stride=stride)
    z, w = past_and_future(values, length, horizon, start=cut)
    assert y.max() < cut <= w.min() and z.max() < 59
    for past, future in ((x, y), (z, w)):
        assert (past[:, -1] + 1 == future[:, 0]).all()
        assert past.shape[1:] == (length,) and future.shape[1:] == (horizon,)
    assert len(w) == 60 - cut - horizon + 1


def test_windows_of_channels_and_windows_that_do_not_fit():
    x, y = past_and_future(np.arange(20).reshape(10, 2), 3, 2)
    assert x.shape == (6, 3, 2) and x[1, 0].tolist() == [2, 3] and y[0, 0].tolist() == [6, 7]
    for given_ in (dict(start=8), dict(stop=4), dict(start=5, stop=3), dict(stop=11)):
        with pytest.raises(InputError, match="must hold a window"):
            past_and_future(np.arange(10), 3, 3, **given_)
    with pytest.raises(InputError, match="`length` must be a whole number from 1"):
        past_and_future(np.arange(10), 0, 3)


def test_a_backtest_sees_the_past_alone_and_cannot_change_it():
    seen = []

    def spoil(past, horizon):
        seen.append(len(past))
        past[:] = 99
        return np.zeros(horizon)
    played = backtest(spoil, values := np.arange(10.), 2, first=4, stride=3)
    assert seen == [4, 7] and values.tolist() == list(range(10))
    assert played.truth.tolist() == [[4, 5], [7, 8]]
    assert played.rmse == pytest.approx(np.sqrt((16 + 25 + 49 + 64)/4)) and played.mae == 6
    for bad in (lambda p, h: p[-1], lambda p, h: np.full(h, np.nan)):
        with pytest.raises(InputError, match="must give 2 finite numbers"):
            backtest(bad, values, 2, first=4)
    with pytest.raises(InputError, match="must be one series"):
        backtest(spoil, np.ones((9, 2)), 2, first=4)
    with pytest.raises(InputError, match="`first` must be from 1 to 8"):
        rolling_origins(10, 2, first=9)


def test_ridge_is_scikit_learns():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(80, 6)) + 3, rng.normal(size=(80, 2))
    line = fit_ridge(x, y, 2.5, relative=False)
    np.testing.assert_allclose(line(x), Other(alpha=2.5).fit(x, y).predict(x), atol=1e-10)
    moved, last = x - x[:, -1:], x[:, -1:]
    want = Other(alpha=2.5).fit(moved, y - last).predict(moved) + last
    np.testing.assert_allclose(fit_ridge(x, y, 2.5)(x), want, atol=1e-10)
    np.testing.assert_allclose(line(np.c_[x, x]), line(x))
    with pytest.raises(InputError, match="`strength` must be a number from 0"): fit_ridge(x, y, -1.)


def test_the_town_is_the_sum_of_its_parts():
    world = demand(3)
    np.testing.assert_allclose(world.known + world.noise, world.values)
    assert abs(world.week[:168].mean()) < 1e-9 and world.noise.std() == pytest.approx(1.5, abs=.05)
    assert (world.shift[:world.shift_at] == 0).all() and world.shift[world.shift_at] == 6
    np.testing.assert_allclose(world.day[24:], world.day[:-24], atol=1e-9)


@pytest.mark.parametrize('kind', [np.uint8, np.uint64, np.int8])
def test_times_of_any_whole_type_are_compared_as_numbers(kind):
    with pytest.raises(InputError, match="`times` go back: after 3 comes 2"):
        checked_series([1, 2, 3], np.array([3, 2, 1], kind))
    assert checked_series([1, 2], np.array([-100, 100], np.int8)).step == 200


def test_a_checked_series_keeps_its_own_times():
    times = np.array([0, 1, 2])
    series = checked_series([1, 2, 3], times)
    times[0] = 9
    assert series.times.tolist() == [0, 1, 2]


@pytest.mark.parametrize(('values', 'times', 'says'), [
    ([1, 2], ['20140701', '20140702'], "`times` must have years from 1000 to 9999"),
    ([1, 2, 3], ['1', '2', '3'], "`times` must have years from 1000 to 9999"),
    ([1, 2, 3], [0, 1e-9, 5e-9], "`times` must have one step"),
    (np.ma.masked_array([1., -999.], [False, True]), None, "`values` must be numbers"),
    (np.array([1 + 2j, 3]), None, "`values` must be numbers"),
])
def test_what_would_be_misread_is_refused(values, times, says):
    with pytest.raises(InputError, match=says): checked_series(values, times)


@pytest.mark.parametrize(('times', 'step', 'says'), [
    ([0, 1, 2, 10**12], None, "`times` must not lie 1000000000000 steps of 1 apart"),
    ([0, 1, 2, 3], 0, "`step` must be above 0, of the kind of the times; got 0"),
    ([0, 1, 2, 3], -1, "`step` must be above 0"),
    ([0, 1, 2, 3], np.nan, "`step` must be above 0"),
    ([0, 1, 2, 3], np.inf, "`step` must be above 0"),
    ([0, 1, 2, 3], '1D', "`step` must be above 0"),
    ([0, 1, 2, 3], 1e9, "`times` must lie a whole number of steps of"),
    (['2020-01-01', '2020-01-02', '2020-01-03', '2020-01-04'], 1, "`step` must be above 0"),
])
def test_gaps_are_not_filled_by_an_impossible_step(times, step, says):
    with pytest.raises(InputError, match=says): carried_forward([1, 2, 3, 4], times, step)


@pytest.mark.parametrize(('x', 'y', 'strength', 'says'), [
    (np.ones((6, 4)), np.arange(6.), 1, "`x` and `y` must be .window, steps."),
    (np.ones((6, 4)), np.ones((5, 1)), 1, "`x` and `y` must be .window, steps."),
    (np.full((6, 4), np.nan), np.ones((6, 1)), 1, "`x` must be finite numbers"),
    (np.ones((6, 4)), np.ones((6, 1)), np.inf, "`strength` must be a number from 0"),
    (np.ones((0, 4)), np.ones((0, 1)), 1, "`x` must be"),
])
def test_ridge_refuses_what_does_not_fit(x, y, strength, says):
    with pytest.raises(InputError, match=says): fit_ridge(x, y, strength)


def test_ridge_refuses_a_past_that_is_too_short():
    ridge = fit_ridge(np.eye(4), np.ones((4, 2)))
    with pytest.raises(InputError, match="`past` must have 4 values or more"):
        ridge(np.ones((2, 3)))


def test_origins_are_whole_numbers():
    with pytest.raises(InputError, match="`first` must be a whole number from 1"):
        rolling_origins(10, 2, first=2.5)


def test_windows_of_a_series_with_a_hole_are_refused():
    values = np.arange(20.)
    values[4] = np.nan
    with pytest.raises(InputError, match='`values` must be finite numbers; 1 are not'):
        past_and_future(values, 3, 2)


def test_windows_of_a_series_and_of_whole_numbers():
    series = checked_series([1, 2, 3, 4])
    for values in (series, [1, 2, 3, 4]):
        x, y = past_and_future(values, 2, 1)
        assert x.dtype == float and x.tolist() == [[1, 2], [2, 3]] and y.tolist() == [[3], [4]]
    with pytest.raises(InputError, match="`values` must be numbers"):
        past_and_future(['a', 'b'], 1, 1)
    for wrong in (dict(start=1.5), dict(stop=3.5), dict(start=-1)):
        with pytest.raises(InputError, match="`st(art|op)` must be a whole number from 0"):
            past_and_future(series, 2, 1, **wrong)


def test_months_and_zones_are_explained():
    with pytest.raises(InputError, match="steps of 29 days apart; write months as 1949-01"):
        carried_forward([1., 2, 3], ['2020-01-01', '2020-02-01', '2020-03-01'])
    with pytest.raises(InputError, match="steps of 1.0 apart$"):
        carried_forward([1., 2, 3, 4], [0, 1, 2, 3.5])
    with pytest.raises(InputError, match="`carried_forward`$"): checked_series([1.]*4, [0, 1, 2, 4])
    with pytest.raises(InputError, match="write months as 1949-01"):
        checked_series([1., 2, 3], ['2020-01-01', '2020-02-01', '2020-03-01'])
    for zone in ('Z', '+02:00'):
        with pytest.raises(InputError, match="`times` must not name a time zone"):
            checked_series([1., 2], [f'2020-01-0{i}T00:00{zone}' for i in (1, 2)])


def test_a_forecast_of_words_and_a_short_town():
    with pytest.raises(InputError, match="`forecast` must give numbers; got cloudy"):
        backtest(lambda past, horizon: 'cloudy', np.ones(9), 1, first=4)
    for name, bad in (('noise', -1), ('noise', np.nan), ('shift_week', -1), ('shift_week', .5)):
        with pytest.raises(InputError, match=f'`{name}` must be'): demand(**{name: bad})
    assert demand(weeks=2).shift_at == 0 and demand(weeks=4).shift_at == 168
