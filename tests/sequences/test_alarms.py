"Labelled windows, alarms by the day, and what chance would hit"
import json
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from dlcourse.core.datasets import card
from dlcourse.core.errors import InputError
from dlcourse.sequences.alarms import (
    checked_spans,
    hits_by_chance,
    judge_days,
    read_labelled_series,
    window_days,
)


def test_chance_is_counted_over_all_choices():
    inside = np.array([[1, 1, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0]], bool)
    for k, got in enumerate(hits_by_chance(inside, range(7))):
        hits = [inside[:, list(c)].any(1).sum() for c in combinations(range(6), k)]
        assert got == pytest.approx(np.mean(hits))


def test_a_window_is_hit_once_and_other_alarms_are_false():
    inside = np.array([[1, 1, 0, 0], [0, 0, 0, 1]], bool)
    assert judge_days([4, 3, 2, 1], inside, 3) == (3, 1, 1)
    assert judge_days([4, 3, 2, 1], inside, 0) == (0, 0, 0)
    assert judge_days([1, 1, 1, 5], inside, 1) == (1, 1, 0)
    with pytest.raises(InputError, match="`score` must be finite"):
        judge_days([1, np.nan, 2, 3], inside, 1)
    with pytest.raises(InputError, match="`alarms` must be a whole number from 0 to 4"):
        judge_days([1, 2, 3, 4], inside, 5)


def test_days_of_a_window():
    days = np.arange('2014-10-30', '2014-11-04', dtype='M8[D]')
    windows = np.array([['2014-10-30T15:30', '2014-11-01T00:00']], 'M8[s]')
    assert window_days(days, windows).tolist() == [[True, True, True, False, False]]


def test_a_window_outside_the_series_is_named():
    times = np.arange('2014-07-01', '2014-07-09', dtype='M8[D]')
    for first, last in (('2014-06-30', '2014-07-02'), ('2014-07-04', '2014-07-03')):
        with pytest.raises(InputError, match="a window must lie within the series"):
            checked_spans([[first, last]], times)


def test_the_reader_of_a_labelled_series(tmp_path):
    table, labels = tmp_path/'nyc_taxi.csv', tmp_path/'windows.json'
    table.write_text('timestamp,value\n2014-07-01 00:00:00,1\n2014-07-01 00:30:00,2\n'
                     '2014-07-01 01:00:00,3\n')
    spans = [['2014-07-01 00:30:00.000000', '2014-07-01 01:00:00.000000']]
    labels.write_text(json.dumps({'real/nyc_taxi.csv': spans}))
    c = card('nyc_taxi')
    c = replace(c, files=tuple(replace(f, path=p.name) for f, p in
                               zip(c.files, (table, labels), strict=True)))
    found = read_labelled_series(c, {table.name: table, labels.name: labels})
    assert found['series'].values.tolist() == [1, 2, 3] and found['windows'].shape == (1, 2)
    labels.write_text('{}')
    with pytest.raises(InputError, match="has no windows for nyc_taxi.csv"):
        read_labelled_series(c, {table.name: table, labels.name: labels})
    for wrong in ('time,Wärme\n'.encode('latin-1'), b'time,value\n' + b'9'*200_000):
        table.write_bytes(wrong)
        with pytest.raises(InputError, match="`nyc_taxi.csv` must be a CSV file in UTF-8"):
            read_labelled_series(c, {table.name: table, labels.name: labels})


def test_windows_within_windows_keep_their_ends():
    found = checked_spans([(4, 5), (1, 10), (1, 3), (2, 5)], np.arange(20))
    assert found.tolist() == [[1, 3], [1, 10], [2, 5], [4, 5]]


@pytest.mark.parametrize('spans', [[1, 2, 3], [('soon', 'later')]])
def test_what_is_no_pair_of_times_is_refused(spans):
    with pytest.raises(InputError, match="`spans` must be pairs of times"):
        checked_spans(spans, np.arange(20))


def test_scores_and_alarms_of_other_days_are_refused():
    inside = np.ones((2, 3), bool)
    for score in ([1., 2], np.ones((3, 3))):
        with pytest.raises(InputError, match="`score` must be a number for each of 3 days"):
            judge_days(score, inside, 1)
    with pytest.raises(InputError, match="`alarms` must be a whole number from 0 to 3, got 4"):
        hits_by_chance(inside, [1, 4])
