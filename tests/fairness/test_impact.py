"The four-fifths rule with the exact test, the one person and the strata beside it"
import json
import math
from dataclasses import fields
from fractions import Fraction
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypo
from hypothesis import strategies as st
from scipy.stats import boschloo_exact, fisher_exact, hypergeom
from statsmodels.stats.contingency_tables import StratifiedTable

from dlcourse.audit.report import audit
from dlcourse.core.errors import InputError
from dlcourse.fairness.counting import count_groups
from dlcourse.fairness.counts import Counts
from dlcourse.fairness.four_fifths import four_fifths
from dlcourse.fairness.impact import (
    StratifiedImpact,
    behind,
    below_line,
    boschloo,
    breslow_day,
    choice_test,
    fisher_mid_p,
    mantel_haenszel,
    named_beforehand,
    one_person_crosses,
    one_person_flips,
)
from dlcourse.fairness.profiles import DISCLAIMER, profile


def made(cells, attributes=('group',)):
    "Counts from group → (unfavourable, favourable)"
    n = np.zeros((len(cells), 3, 2), int)
    n[:, 0] = list(cells.values())
    keys = tuple(k if isinstance(k, tuple) else (k,) for k in cells)
    return Counts(attributes=attributes, groups=keys, n=n, weight=n.astype(float),
                  weight_sq=n.astype(float))


def test_ratio_of_the_favourable_side_and_the_other_beside_it():
    found = four_fifths(made({'a': (1, 99), 'b': (3, 97)}), favorable=1)
    best, other = found.rows
    assert best.group == 'a'
    assert abs(other.ratio - .97/.99) < 1e-15
    assert abs(other.unfavorable_ratio - 3) < 1e-12
    assert not other.below
    turned = four_fifths(made({'a': (1, 99), 'b': (3, 97)}), favorable=0)
    assert turned.rows[0].group == 'b'
    assert abs(turned.rows[1].ratio - 1/3) < 1e-12
    assert turned.rows[1].below
    assert four_fifths(made({'a': (0, 9), 'b': (1, 8)}),
                              favorable=1).rows[1].unfavorable_ratio is None
    nobody = four_fifths(made({'a': (9, 0), 'b': (9, 0)}), favorable=1)
    assert nobody.rows[1].ratio is None
    assert nobody.rows[1].below is None
    assert 'nothing to compare' in nobody.findings[1]


@given(st.integers(1, 30), st.integers(1, 30))
@hypo(max_examples=60, deadline=None)
def test_two_groups_of_equal_size_are_fishers_exact_test(a, b):
    n = np.array([30, 30])
    p, exact = choice_test(np.array([a, b]), n)
    assert exact and abs(p.min() - fisher_exact([[a, 30 - a], [b, 30 - b]]).pvalue) < 1e-9


def test_two_groups_by_every_assignment():
    "Six people, three favourable outcomes: all 20 ways to hand them out"
    sizes = np.array([2, 4])
    seen = behind(np.array([2, 1]), sizes).max()
    ways = [np.array([sum(i < 2 for i in c), sum(i >= 2 for i in c)])
            for c in combinations(range(6), 3)]
    want = np.mean([behind(w, sizes).max() >= seen - 1e-9 for w in ways])
    assert abs(choice_test(np.array([2, 1]), sizes)[0][1] - want) < 1e-12


def test_standard_deviations_are_those_of_a_pooled_z():
    k, n = np.array([30, 45, 12]), np.array([100, 100, 50])
    pooled = k.sum()/n.sum()
    z = (.45 - .30)/math.sqrt(pooled*(1 - pooled)*(1/100 + 1/100))
    assert abs(behind(k, n, 1)[0] - z) < 1e-12
    assert behind(k, n)[0] == behind(k, n, 1)[0]


def test_the_test_holds_its_level_where_the_bare_rule_does_not():
    rng, sizes, bare, tested = np.random.default_rng(3), np.array([60, 200, 30, 30]), 0, 0
    for k in rng.binomial(sizes, .3, (300, 4)):
        bare += (k/sizes).min() < .8*(k/sizes).max()
        tested += choice_test(k, sizes, draws=199)[0].min() <= .05
    assert bare/300 > .6 and tested/300 < .085 # three standard errors above .05


tables = st.lists(st.tuples(*[st.integers(1, 40)]*4), min_size=2,
                  max_size=6).map(lambda v: np.array(v).reshape(-1, 2, 2))


@given(tables)
@hypo(max_examples=60, deadline=None)
def test_strata_equal_statsmodels(t):
    oracle = StratifiedTable(t.transpose(1, 2, 0).astype(float))
    chi2, odds = mantel_haenszel(t)
    null = oracle.test_null_odds()
    assert abs(chi2 - null.statistic) <= 1e-10*max(1, chi2)
    assert abs(odds - oracle.oddsratio_pooled) <= 1e-10*odds
    # there statsmodels divides by 1 - odds
    if abs(odds - 1) > 1e-3:
        bd, tarone, df = breslow_day(t, odds)
        for got, want in ((bd, oracle.test_equal_odds()),
                          (tarone, oracle.test_equal_odds(adjust=True))):
            assert abs(got - want.statistic) <= 1e-8*max(1, abs(got)) and df == len(t) - 1


def test_breslow_day_at_odds_of_one():
    bd, tarone, df = breslow_day(np.array([[[5, 5], [5, 5]], [[8, 2], [4, 1]]]), 1.)
    assert bd == tarone == 0 and df == 1
    assert math.isnan(breslow_day(np.array([[[5, 5], [5, 5]]]), 1.)[0])
    assert math.isnan(breslow_day(np.ones((2, 2, 2)), np.inf)[0])


def test_simpson_within_strata():
    "Pooled, b looks wronged; within each job it is ahead"
    jobs = {('a', 'x'): (200, 800), ('b', 'x'): (10, 90), ('a', 'y'): (80, 20),
            ('b', 'y'): (700, 300)}
    strata = made(jobs, ('group', 'job'))
    found = four_fifths(strata.by('group'), favorable=1, strata=strata)
    assert found.rows[1].group == 'b' and found.rows[1].below
    within, = found.strata
    oracle = StratifiedTable(np.array([[[90, 10], [800, 200]],
                                       [[300, 700], [20, 80]]]).transpose(1, 2, 0).astype(float))
    assert within.odds_ratio > 1
    assert abs(within.odds_ratio - oracle.oddsratio_pooled) < 1e-10
    assert abs(within.p_value - oracle.test_null_odds().pvalue) < 1e-10
    assert within.adjusted == within.p_value
    assert abs(within.tarone_p - oracle.test_equal_odds(adjust=True).pvalue) < 1e-10


def test_unknown_groups_are_counted_and_not_compared():
    found = four_fifths(made({'a': (5, 5), 'b': (4, 6), (None,): (0, 7)}), favorable=1)
    assert found.unknown == 7
    assert {r.group for r in found.rows} == {'a', 'b'}
    assert any('7 people are of unknown group' in f for f in found.findings)


def test_bottom_line_before_components():
    found = four_fifths(made({'a': (50, 50), 'b': (70, 30)}), favorable=1,
                               components={'interview': made({'a': (10, 90), 'b': (12, 88)})})
    assert found.findings[0].startswith('Bottom line')
    assert any(f.startswith('Interview') for f in found.findings[1:])
    assert found.frame['name'].to_list() == ['bottom line']*2 + ['interview']*2
    assert found.to_dict()['components'][0]['name'] == 'interview'


def test_faults_of_four_fifths():
    with pytest.raises(InputError, match='`favorable` must be 1 or 0'):
        four_fifths(made({'a': (1, 1), 'b': (1, 1)}), favorable='yes')
    with pytest.raises(InputError, match='1 groups of group have 1 or more people'):
        four_fifths(made({'a': (1, 1)}), favorable=1)
    with pytest.raises(InputError, match='`strata` must be counts by group and then'):
        four_fifths(made({'a': (1, 1), 'b': (1, 1)}), favorable=1,
                           strata=made({'a': (1, 1), 'b': (1, 1)}))


def test_four_fifths_reads_in_json_and_html():
    found = four_fifths(made({'<i>': (50, 50), 'b': (70, 30)}), favorable=1)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))['rows'][1]['below'] is True
    assert '<i>' not in found.to_html()
    assert '&lt;i&gt;' in found._repr_html_()
    assert DISCLAIMER in found.to_html()


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 40)).filter(lambda v: v[1] <= v[0]),
                min_size=2, max_size=5), st.integers(0, 4))
@hypo(max_examples=80, deadline=None)
def test_one_person_is_what_moving_one_person_does(groups, i):
    n, k, i = np.array([a for a, _ in groups]), np.array([b for _, b in groups]), i % len(groups)
    best = max(range(len(n)), key=lambda j: (k[j]/n[j], -j))
    below = lambda k: 5*k[i]*1 < min(4*k[j]*n[i]/n[j] for j in range(len(n))
                                     if k[j]/n[j] == (k/n).max()) - 1e-9
    step = 1 if below(k) else -1
    moved = k.copy()
    if i != best: moved[i] += step; moved[best] -= step
    want = i != best and bool((moved >= 0).all() and (moved <= n).all()
                              and below(moved) != below(k))
    if len({round(v, 12) for v in k/n}) == len(n): assert one_person_crosses(k, n, i) == want


def test_the_line_is_that_of_the_dated_file():
    found = four_fifths(made({'a': (50, 50), 'b': (60, 40)}), favorable=1)
    assert found.profile is profile('four-fifths') and profile('four-fifths').values['ratio'] == .8
    assert not found.rows[1].below
    assert four_fifths(made({'a': (50, 50), 'b': (61, 39)}), favorable=1).rows[1].below


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(60, 90)), min_size=2, max_size=5),
       st.sampled_from([Fraction(4, 5), Fraction(1, 2), Fraction(9, 10)]))
def test_below_the_line_in_whole_numbers(groups, line):
    k, n = np.array(groups).T
    rates = [Fraction(int(a), int(b)) for a, b in groups]
    want = [r < line*max(rates) for r in rates]
    assert below_line(k, n, line).tolist() == want
    assert below_line(np.stack([k, k]), n, line).tolist() == [want]*2


def test_mid_p_and_boschloo_against_scipy():
    for k, n in (((6, 12), (20, 20)), ((3, 9), (15, 40)), ((1, 0), (1, 1)), ((10, 0), (10, 9))):
        table = [k, np.subtract(n, k)]
        assert boschloo(k, n) == pytest.approx(boschloo_exact(table, n=64).pvalue, abs=2e-5)
        half = hypergeom.pmf(k[0], sum(n), n[0], sum(k))/2
        assert boschloo(k, n) <= fisher_exact(table).pvalue + 1e-9
        equal = n[0] == n[1] # Then the mirrored outcome is as likely, and counted half as well
        want = fisher_exact(table).pvalue - half*(1 + equal)
        if k[0] != k[1]: assert fisher_mid_p(k, n) == pytest.approx(want, abs=1e-9)
    assert fisher_mid_p((0, 0), (5, 9)) == 1.
    found = four_fifths(made({'a': (14, 6), 'b': (8, 12)}), favorable=1)
    assert found.rows[1].mid_p == fisher_mid_p((6, 12), (20, 20))
    assert 'mid-p = 0.068' in found.findings[1] and "Boschloo's p = 0.07" in found.findings[1]
    three = four_fifths(made({'a': (14, 6), 'b': (8, 12), 'c': (9, 11)}), favorable=1)
    assert three.rows[-1].mid_p == pytest.approx(fisher_mid_p((6, 12), (20, 20)))


def test_the_standard_deviations_of_two_groups_are_those_of_the_two():
    "A third group of two thousand hides twelve points: 99 of 100 beside 87 of 100"
    k, n = np.array([99, 87, 911]), np.array([100, 100, 2000])
    away, exact, half, _ = named_beforehand(k, n, 1, 0)
    rate = 186/200 # Of the two
    assert away == pytest.approx(.12/math.sqrt(rate*(1 - rate)*.02)) and round(away, 2) == 3.33
    assert exact == pytest.approx(fisher_exact([[87, 13], [99, 1]]).pvalue)
    assert round(exact, 4) == .0013 and half < exact
    found = four_fifths(made({'a': (1, 99), 'b': (13, 87), 'c': (1089, 911)}), favorable=1).rows[1]
    assert (found.group, found.deviations, found.fisher) == ('b', away, exact)
    assert found.p_value > .1 and found.reading.endswith('the two alone say more than chance')
    alike = four_fifths(made({'a': (50, 50), 'b': (52, 48), 'c': (1089, 911)}), favorable=1)
    assert not any('two alone say' in r.reading for r in alike.rows)


@pytest.mark.parametrize('k, n, ahead, crosses', [
    ((3, 16), (20, 80), True, True), ((399, 500), (1000, 1000), False, True),
    ((39999, 50000), (100_000, 100_000), False, True), ((11, 15), (20, 20), False, True),
    ((5, 9), (10, 10), False, False), ((8, 9), (10, 10), False, True),
    ((0, 1), (1, 1), True, True), ((1, 2), (3, 4), True, True)])
def test_one_person_as_question_21_asks_it(k, n, ahead, crosses):
    "Below the line, and with one different person ahead of the best; crossing it is not enough"
    k, n = np.array(k), np.array(n)
    assert one_person_flips(k, n, 0) is ahead
    moved = k + [1, -1]
    by_hand = 5*k[0]*n[1] < 4*k[1]*n[0] and moved[0]*n[1] > moved[1]*n[0]
    assert by_hand == ahead and one_person_crosses(k, n, 0) is crosses
    assert not one_person_flips(k, n, int((k/n).argmax()))


def test_weights_and_clusters_are_used_or_refused():
    "The audit's case: half of each sex by weight, 35 % of the women's rows"
    rows = dict(sex=np.repeat(['f', 'm'], 1000),
                hired=np.repeat([1, 0, 1, 0], [350, 650, 500, 500]),
                w=np.repeat([1, .5384615, 1, 1], [350, 650, 500, 500]))
    counts = count_groups(rows, y_pred='hired', sensitive_features=['sex'],
                          sample_weight='w').counts
    found = four_fifths(counts, favorable=1)
    assert found.rows[1].ratio == pytest.approx(1, abs=1e-6) and not found.rows[1].below
    assert found.rows[1].p_value > .5 and found.rows[1].one_person is None
    assert 'Rates are weighted' in found.findings[0] and found.counted == 'weights'
    persons = dict(sex=np.repeat(['f', 'm'], 1000), person=np.repeat(np.arange(80), 25),
                   hired=np.repeat([1, 0, 1, 0], np.array([24, 16, 16, 24])*25))
    counts = count_groups(persons, y_pred='hired', sensitive_features=['sex'],
                          cluster='person').counts
    other = four_fifths(counts, favorable=1).rows[1]
    assert other.p_value == pytest.approx(.117, abs=.05) and other.deviations < 2
    assert other.ratio == pytest.approx(2/3) and other.n == 1000
    with pytest.raises(InputError, match="`strata` compare people"):
        four_fifths(counts, favorable=1, strata=counts)


@pytest.mark.parametrize('k, n', [((150_000, 151_000), (500_000, 500_000)),
                                  ((70, 900), (1_000, 200_000)), ((3, 9), (40_000, 12))])
def test_mid_p_of_many_people_against_every_table(k, n):
    "What lies further away than forty standard errors is not enumerated, and nothing is lost"
    first = np.arange(max(0, sum(k) - n[1]), min(n[0], sum(k)) + 1)
    chance = hypergeom.pmf(first, sum(n), n[0], sum(k))
    seen = chance[k[0] - first[0]]
    alike = np.isclose(chance, seen, rtol=1e-7, atol=0)
    want = chance[(chance < seen) & ~alike].sum() + chance[alike].sum()/2
    assert fisher_mid_p(k, n) == pytest.approx(want, rel=1e-8)

def test_mid_p_of_what_never_happens_is_zero():
    assert fisher_mid_p((1_000, 500_000), (500_000, 500_010)) == 0.


def test_strata_that_differ_are_corrected_for_everything_looked_at():
    "Half the odds in one stratum and more in the other: p = .03 alone, .1 of three groups"
    rows = [('a', 's', 60, 40), ('b', 's', 75, 25), ('c', 's', 50, 50),
            ('a', 't', 60, 40), ('b', 't', 55, 45), ('c', 't', 50, 50)]
    cells = dict(group=[], stratum=[], y=[])
    for g, s, yes, no in rows:
        for y, n in ((1, yes), (0, no)):
            for k, v in dict(group=g, stratum=s, y=y).items(): cells[k] += [v]*n
    counts = count_groups(cells, y_pred='y', sensitive_features=['group', 'stratum']).counts
    def within(**how):
        found = four_fifths(counts.by('group'), favorable=1, strata=counts, **how)
        return {s.group: s for s in found.strata}, found.findings
    alone, said = within(family=1)
    shared, quiet = within()
    wide, _ = within(family=30)
    for g, s in shared.items():
        assert s.tarone_adjusted == pytest.approx(min(1, 3*s.tarone_p))
        assert s.adjusted == pytest.approx(min(1, 3*s.p_value))
        assert alone[g].tarone_adjusted == s.tarone_p
        assert wide[g].tarone_adjusted == pytest.approx(min(1, 30*s.tarone_p))
    told = [sum('contradict' in text for text in f) for f in (said, quiet)]
    expected = [sum(k*s.tarone_p <= .05 for s in shared.values()) for k in (1, 3)]
    assert told == expected and told[0] > told[1]


def test_an_audit_corrects_strata_for_all_its_attributes():
    rng = np.random.default_rng(1)
    n = 1200
    people = dict(sex=rng.choice(['f', 'm'], n), race=rng.choice(list('abcd'), n),
                  job=rng.choice(list('xy'), n), y=rng.integers(0, 2, n))
    found = audit(people, y_pred='y', sensitive_features=['sex', 'race'], favorable=1,
                  profile='four-fifths', strata='job')
    by = {a['attribute']: a['strata'] for a in found.section('four-fifths').result['attributes']}
    for s in (*by['sex'], *by['race']): # One pair of sexes and six of races
        assert s['tarone_adjusted'] == pytest.approx(min(1, 7*s['tarone_p']))


def test_a_p_value_in_strata_is_never_nothing():
    found = StratifiedImpact(**{f.name: None for f in fields(StratifiedImpact)} | dict(
        group='a', comparator='b', strata=2, odds_ratio=.5, adjusted=0.))
    assert 'p < 0.0001 after' in found.sentence(.95)


def test_groups_too_small_are_named_and_in_no_row():
    counts = made({'a': (50, 50), 'b': (70, 30), 'c': (1, 4)})
    found = four_fifths(counts, favorable=1, min_count=30)
    assert [r.group for r in found.rows] == ['a', 'b'] and found.small == {'c': 5}
    assert found.unknown == 0 and found.findings[-1] == 'Too few people for a comparison: c (5).'
    assert four_fifths(counts, favorable=1).small == {}
    with pytest.raises(InputError, match='1 groups of group have 101 or more people'):
        four_fifths(made({'a': (60, 60), 'b': (7, 3)}), favorable=1, min_count=101)


def test_the_least_that_shuffles_can_give_is_said_to_be_a_bound():
    apart = four_fifths(made({'a': (900, 100), 'b': (100, 900), 'c': (500, 500)}), favorable=1)
    assert not apart.exact and '(p ≤ 0.0001 with the choice' in apart.findings[1]
    exact = four_fifths(made({'a': (900, 100), 'b': (100, 900)}), favorable=1)
    assert exact.exact and '(p < 0.0001 with the choice' in exact.findings[1]
