"Groups that share clusters: a correlation counts for as much as their differences allow"
import numpy as np
import pytest

from dlcourse.audit.report import audit
from dlcourse.evaluation.intervals import clopper_pearson
from dlcourse.fairness.bounds import gap_bounds, gap_verdict, share_clusters, sizes_of
from dlcourse.fairness.counting import count_groups
from dlcourse.fairness.groups import rates
from dlcourse.fairness.policy import Policy


def matched(first, second):
    "The same people under two names"
    n = len(first)
    return dict(g=['a']*n + ['b']*n, p=[*map(int, first), *map(int, second)], c=list(range(n))*2)


def compared(table):
    "Rates, sizes, their degrees of freedom, and how they go together"
    counts = count_groups(table, y_pred='p', sensitive_features=['g'], cluster='c').counts
    found = rates(counts, ['selection_rate'])
    together = share_clusters(counts, 'selection_rate', tuple(range(len(found))))
    return *sizes_of(found), together


@pytest.mark.parametrize('n', (40, 100))
def test_pairs_that_all_agree_are_bounded_by_the_exact_limit_of_none(n):
    p, size, df, together = compared(matched([1, 0]*(n//2), [1, 0]*(n//2)))
    low, high = gap_bounds(p, size, correlation=together, df=df)
    assert low == 0 and high == pytest.approx(clopper_pearson(0, n)[1])
    at = pytest.approx(1 - .05**(1/n), rel=1e-6) # Where a pass begins, one-sided
    asked = dict(kind='difference', family=2, correlation=together, df=df)
    low, high = 0., 1.
    while high - low > 1e-9:
        middle = (low + high)/2
        passed = gap_verdict(p, size, tolerance=middle, **asked) == 'pass'
        low, high = (low, middle) if passed else (middle, high)
    assert high == at


def test_a_ratio_of_pairs_that_all_agree_has_bounds_too():
    p, size, df, together = compared(matched([1, 0]*20, [1, 0]*20))
    low, high = gap_bounds(p, size, kind='ratio', correlation=together, df=df)
    assert .8 < low < .9 and high == 1


def test_clusters_that_all_differ_by_the_same_do_not_make_a_gap_certain():
    g, c = ['a']*400 + ['b']*400, list(range(80))*10
    p, size, df, together = compared(dict(g=g, c=c, p=[1]*360 + [0]*40 + [1]*40 + [0]*360))
    low, high = gap_bounds(p, size, correlation=together, df=df)
    assert low < .76 and .83 < high


@pytest.mark.parametrize('n, gap', ((40, .05), (40, .1), (200, .02)))
def test_matched_pairs_pass_wrongly_in_five_of_a_hundred_at_most(n, gap):
    "All pairs that disagree do so in one direction: the hardest case; counts stand for their draws"
    rng, passed = np.random.default_rng(0), {}
    for k in rng.binomial(n, gap, 400).tolist():
        if k not in passed:
            first = np.arange(n) < n//2
            p, size, df, together = compared(matched(first, first & (np.arange(n) >= k)))
            said = gap_verdict(p, size, tolerance=.9*gap, kind='difference', family=2, df=df,
                               correlation=together)
            passed[k] = [said == 'pass', 0]
        passed[k][1] += 1
    assert sum(v*times for v, times in passed.values())/400 <= .05


def test_groups_in_different_clusters_are_judged_as_before():
    rng = np.random.default_rng(1)
    table = dict(g=['a']*200 + ['b']*200, p=rng.integers(0, 2, 400), c=[*range(100)]*2)
    table['c'] += [*range(100, 200)]*2
    p, size, df, together = compared(table)
    alone = gap_bounds(p, size, correlation=together.correlation, df=df)
    assert gap_bounds(p, size, correlation=together, df=df) == alone


def test_clusters_in_which_much_differs_cost_little():
    rng = np.random.default_rng(2)
    first, second = (rng.random((2, 1000)) < .1).tolist()
    both = rng.random(1000) < .5
    p, size, df, together = compared(matched(both ^ first, both ^ second))
    wide, bare = (np.ptp(gap_bounds(p, size, correlation=rho, df=df))
                  for rho in (together, together.correlation))
    assert bare <= wide < 1.1*bare


def test_an_audit_of_matched_pairs_does_not_pass_at_any_tolerance():
    found = audit(matched([1, 0]*20, [1, 0]*20), y_pred='p', sensitive_features='g', cluster='c',
                  policy=Policy(difference={'selection_rate': 1e-6}))
    assert found.verdict == 'insufficient evidence' and found.disparities[0].high > .07
