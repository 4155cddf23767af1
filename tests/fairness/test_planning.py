"Plans for the rule that will judge: against statsmodels and simulation"
import numpy as np
import pytest

from dlcourse.core.errors import InputError
from dlcourse.fairness.bounds import gap_verdict
from dlcourse.fairness.planning import (
    detectable_gap,
    rows_to_decide,
    sample_size,
    two_proportions,
    verdict_chances,
)


def test_the_textbook_number_is_that_of_statsmodels():
    from statsmodels.stats.proportion import samplesize_proportions_2indep_onetail as size
    for rate, gap, level, power in ((.5, .1, .95, .8), (.06, .05, .95, .8), (.9, .3, .99, .9),
                                    (.3, .3, .9, .6)):
        theirs = size(-gap, rate, power, alpha=(1 - level)/2, alternative='smaller')
        assert two_proportions(rate, gap, level=level, power=power) == 2*np.ceil(theirs)


@pytest.mark.parametrize('rate, gap, tolerance, parts, kind', [
    (.5, .1, 0., (.5, .5), 'difference'), (.5, 0., .2, (.5, .5), 'difference'),
    (.3, .25, .1, (.5, .3, .2), 'difference'), (.5, .5, .8, (.6, .4), 'ratio')])
def test_the_planner_plans_for_the_rule(rate, gap, tolerance, parts, kind):
    rows = sample_size(rate, gap, tolerance, parts, kind=kind)
    truth = np.where(np.arange(len(parts)) == np.argmin(parts),
                     rate - gap if kind == 'difference' else rate*gap, rate)
    said = verdict_chances(truth, np.round(rows*np.array(parts)).astype(int), tolerance=tolerance,
                           kind=kind, draws=10_000, seed=11)
    assert said['pass' if (gap < tolerance) == (kind == 'difference')
                else 'fail'] == pytest.approx(.8, abs=.02)


def test_simulated_verdicts_are_the_rules_own():
    "Sample by sample, also where melding and MOVER disagree"
    for kind, tolerance in (('difference', .3), ('ratio', .5), ('difference', 0.)):
        sizes, truth = np.array([100, 10, 30]), np.array([.5, .1, .45])
        said = verdict_chances(truth, sizes, tolerance=tolerance, kind=kind, draws=200, seed=5)
        k = np.random.default_rng(5).binomial(sizes, truth, (200, 3))
        one = [gap_verdict(x/sizes, sizes, tolerance=tolerance, kind=kind, family=6) for x in k]
        assert said == {v: one.count(v)/200 for v in ('fail', 'pass', 'insufficient evidence')}


def test_rows_that_are_worth_half_take_twice_as_many():
    plain, clustered = (sample_size(.5, .2, design_effect=e) for e in (1, 2))
    assert clustered == pytest.approx(2*plain, rel=.03)


def test_planning_refuses_what_cannot_be():
    for args, says in (((.5, .1, .1), "`gap` must differ from `tolerance`"),
                       ((.1, .2, 0.), "`rate` must lie between 0 and 1"),
                       ((.5, .1, 0., (1.,)), "`shares` must be two or more"),
                       ((.5, .1, 0., (.5, .6)), "add up to 1"),
                       ((.5, .1 + 1e-7, .1), "takes more than 1,000,000,000 rows")):
        with pytest.raises(InputError, match=says): sample_size(*args)
    with pytest.raises(InputError, match="`design_effect` must be 1 or more"):
        sample_size(.5, .1, design_effect=.5)
    for odd in (float('nan'), -.1, float('inf')):
        with pytest.raises(InputError, match="`tolerance` must be 0 or more"):
            sample_size(.5, .1, odd)
    for odd in (dict(power=1), dict(power=0), dict(level=1), dict(power=float('nan'))):
        for plan in (lambda **o: sample_size(.3, .1, **o),
                     lambda **o: detectable_gap([100, 100], .5, **o),
                     lambda **o: rows_to_decide([.5, .4], [50, 50], tolerance=0.,
                                                kind='difference', family=2, **o)):
            with pytest.raises(InputError, match="between 0.*and 1"): plan(**odd)


def test_rows_to_decide():
    assert rows_to_decide([.5, .4], [100, 100], tolerance=.1, kind='difference', family=2) is None
    near, far = (rows_to_decide([.5, q], [100, 100], tolerance=.1, kind='difference', family=2)
                 for q in (.45, .2))
    assert near > 1000 > far
    assert rows_to_decide([.5, .2], [5000, 5000], tolerance=.1, kind='difference',
                          family=2) == 2, "there already"


def test_detectable_gaps_are_found_as_often_as_promised():
    for sizes, rate in (([500, 500], .5), ([60, 1000, 80], .2)):
        gap, order = detectable_gap(sizes, rate), np.argsort(sizes)
        truth = np.full(len(sizes), rate)
        truth[order[:2]] += gap*np.array([-.5, .5])
        assert .77 <= verdict_chances(truth, sizes, tolerance=0., draws=4000)['fail'] <= .87
    assert detectable_gap([4, 4], .5) is None
