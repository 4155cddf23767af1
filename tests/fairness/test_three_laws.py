"One table under three laws: readings by hand, averages against polars, and faults one at a time"
import datetime

import numpy as np
import polars as pl
import pytest

from dlcourse.fairness.local_law import Reading, law_table
from dlcourse.fairness.three_laws import average_ratios, criticize, every_reading

N, K = [390, 130, 180, 27, 200, 14, 9], [177, 58, 68, 9, 60, 5, 7]


def test_readings_by_hand():
    got = every_reading(N, K, 50)
    assert got['nobody', True].round(4).tolist() == [.5835, .5736, .4857, .4286, .3857, .4592, 1]
    assert got['all', False].round(4)[:5].tolist() == [1, .9831, .8324, .7345, .661]
    assert np.isnan(got['all', True]).tolist() == [False]*5 + [True]*2
    assert got['all', True].round(4)[0] == .5835


@pytest.mark.parametrize('base', ['all', 'known'])
@pytest.mark.parametrize('leads', [False, True])
def test_the_law_s_own_table_reads_the_same(base, leads):
    reading = Reading(justification=lambda c: 'few', small_base=base, excluded_may_lead=leads)
    rows = law_table('race', list('abcdefg'), N, K, everyone=1000, reading=reading)
    theirs = [np.nan if r.impact_ratio is None else r.impact_ratio for r in rows]
    np.testing.assert_allclose(every_reading(N, K, 50)[base, leads], theirs)


def test_averages_equal_a_group_by():
    rng = np.random.default_rng(0)
    score, who = rng.random(500) + .1, rng.choice(['a', 'b', 'c'], 500).tolist()
    means = pl.DataFrame(dict(s=score, w=who)).group_by('w').agg(pl.col('s').mean())
    best = means['s'].max()
    theirs = {w: s/best for w, s in means.select('w', 's').rows()}
    assert average_ratios(score, who) == pytest.approx(theirs)


def test_each_fault_by_itself():
    day = datetime.date
    good = dict(n={'a': 50, 'b': 50}, selected={'a': 25, 'b': 20}, left_out=[], unknown=0,
                ratios={'b': .8}, audited=day(2026, 1, 2), day=day(2027, 1, 2), label=False,
                claims=[])
    bad = {'ratio': dict(ratios={'b': .81}), 'left out': dict(left_out=['b']),
           'unknown': dict(unknown=None), 'expired': dict(day=day(2027, 1, 3)),
           'passed': dict(claims=['passed']), 'accurate': dict(claims=['accurate'])}
    assert criticize(good) == []
    for name, change in bad.items(): assert criticize(good | change) == [name]
