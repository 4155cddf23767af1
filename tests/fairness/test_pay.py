"Pay gaps and stand_ins: examples by hand, and what is refused"
from fractions import Fraction

import numpy as np
import pytest

from dlcourse.core.errors import InputError
from dlcourse.fairness.paths import proxies
from dlcourse.fairness.pay import as_paid, pay_gap, pay_gaps, quartile_bands, stand_ins
from dlcourse.fairness.profiles import profile


def report(women, men, **more):
    "Two women and two men of one category"
    return pay_gaps([*women, *men], ['Female']*2 + ['Male']*2, category=['a']*4, variable=[0]*4,
                    **more)


@pytest.mark.parametrize(('women', 'at_line'), [
    (('95.00', '95.00'), True), (('95.01', '95.01'), False), (('94.99', '95.02'), False),
    (('105.00', '105.00'), True), (('104.99', '104.99'), False)])
def test_the_line_is_exact_either_way(women, at_line):
    c, = report(women, ('100.00', '100.00')).categories
    assert c.at_line is at_line
    assert Fraction(str(profile('eu-pay-transparency').values['line'])) == Fraction(1, 20)


def test_four_ninety_nine_is_printed_as_such():
    got = report(('95.01', '95.01'), ('100.00', '100.00'))
    assert got.categories[0].gap == pytest.approx(.0499)
    assert not [t for t in got.findings if 'joint pay assessment' in t]


def test_floats_would_let_this_employer_off():
    women, men = [28.16, 21.05], [24.3, 27.5]
    assert 1 - np.mean(women)/np.mean(men) < .05
    assert report(women, men).categories[0].at_line


def test_a_payroll_by_hand():
    got = pay_gaps(['95', '95', '100', '100', '20', '30', '25', '25'],
                   ['Female']*2 + ['Male']*2 + ['Female']*2 + ['Male']*2,
                   category=['a']*4 + ['b']*4, variable=[0, 5, 10, 0, 0, 0, 0, 0])
    assert (got.women, got.men) == (4, 4)
    assert got.gaps['Pay: mean'] == pytest.approx(1 - 60/62.5)
    assert got.gaps['Pay: median'] == pytest.approx(0) # 62.5 and 62.5
    assert got.gaps['Variable pay, everyone: mean'] == pytest.approx(.5)
    assert got.gaps['Variable pay, of those who get any: mean'] == pytest.approx(.5)
    assert got.gaps['Variable pay, everyone: median'] is None # Nobody in the middle has any
    assert got.receiving == (.25, .25)
    assert got.bands == (.5, .5, 1., 0.)
    a, b = got.categories
    assert (a.gap, a.basic, a.variable) == pytest.approx((.05, 1 - 92.5/95, .5))
    assert a.at_line and not b.at_line and b.gap == 0


def test_bands_do_not_hang_on_the_order_of_the_file():
    pay, woman = [10, 10, 10, 20, 20, 20, 20, 30], [1, 0, 0, 1, 1, 0, 0, 1]
    orders = (np.random.default_rng(s).permutation(8) for s in range(5))
    got = {tuple(round(b, 12) for b in quartile_bands(np.array(pay)[o], np.array(woman)[o]))
           for o in orders}
    assert got == {(round(1/3, 12), round((1/3 + 1/2)/2, 12), .5, .75)}


def test_one_woman_is_told_of():
    got = pay_gaps([10, 11, 12], ['Female', 'Male', 'Male'], category=['a']*3, variable=[0]*3)
    assert got.categories[0].identifies
    assert any('one woman or one man' in t for t in got.findings)
    assert (got.categories[0].low, got.categories[0].high) == (None, None)


@pytest.mark.parametrize(('call', 'named'), [
    (lambda: as_paid('a lot'), '`pay`'), (lambda: as_paid(float('nan')), '`pay`'),
    (lambda: pay_gap([1], [2], 'mode'), '`how`'),
    (lambda: pay_gaps([1, 2], ['Male', 'F'], category=['a']*2, variable=[0]*2), '`sex`'),
    (lambda: pay_gaps([1], ['Male'], category=['a'], variable=[0]), '`sex`'),
    (lambda: pay_gaps([1, 2], ['Male', 'Female'], category=['a'], variable=[0, 0]), '`pay`')])
def test_what_is_refused_is_named(call, named):
    with pytest.raises(InputError, match=named): call()


def test_a_zip_code_that_tells_the_group_is_flagged_and_noise_is_not():
    rng = np.random.default_rng(0)
    group = rng.choice(['Black', 'White'], 3000, p=[.3, .7])
    place = np.where(rng.random(3000) < .7, group, rng.choice(['Black', 'White'], 3000))
    zips = np.char.add(np.where(place == 'Black', '6062', '6061'),
                       rng.integers(0, 4, 3000).astype(str))
    frame = dict(group=group, zip=zips, noise=rng.normal(size=3000), day=rng.integers(0, 7, 3000))
    found = proxies(frame, 'group', ['zip', 'noise', 'day'])
    assert set(stand_ins(found)) == {'zip', 'all together'}
    assert stand_ins(found, least=.99) == {}


def test_each_new_law_says_what_it_is_and_is_not():
    asks = {n: profile(n) for n in ('colorado-sb26-189', 'connecticut-pa26-15',
                                    'eu-pay-transparency')}
    assert [p.kind for p in asks.values()] == ['checklist', 'both', 'both']
    reg_b, = (c for c in profile('ecoa-reg-b').clauses if c.repealed)
    assert 'effects test' in reg_b.id and reg_b.repealed.isoformat() == '2026-07-21'
    assert any('no four-fifths rule' in n for n in profile('uk').notes)
    assert any('intent' in n for n in profile('texas-traiga').notes)


def test_bands_hold_every_woman_once():
    rng = np.random.default_rng(0)
    for n in (1, 3, 10, 101):
        pay, woman = rng.integers(10, 16, n), rng.integers(0, 2, n)
        bands = quartile_bands(pay, woman)
        assert np.mean(bands) == pytest.approx(woman.mean())
        assert all(0 <= b <= 1 for b in bands)


def test_who_has_fewer_than_a_hundred_workers_is_told_so():
    "Of Article 9, and so of 10; the arithmetic of the line is shown all the same"
    few = report(('95', '95'), ('100', '100'))
    many = pay_gaps([95]*50 + [100]*50, ['Female']*50 + ['Male']*50, category=['a']*100,
                    variable=[0]*100)
    assert few.categories[0].at_line and many.categories[0].at_line
    [said] = [t for t in few.findings if 'is reached' in t]
    assert 'These are 4 workers, below the 100' in said
    assert any('A joint pay assessment is due unless' in t for t in many.findings)
    assert any('undefined, since it is a share of' in t for t in few.findings)


def test_a_gap_that_few_bonuses_carry_has_no_limit_on_their_side():
    rng = np.random.default_rng(1)
    pay = 20*np.exp(rng.normal(0, .1, 300))
    bonus = np.r_[np.zeros(150), (rng.random(150) < .05)*20*rng.lognormal(2, 1, 150)]
    sex = ['Female']*150 + ['Male']*150
    def gap(pay, bonus):
        [found] = pay_gaps([f'{p:.2f}' for p in pay + bonus], sex, category=['a']*300,
                           variable=[f'{b:.2f}' for b in np.floor(100*bonus)/100]).categories
        return found
    few, calm = gap(pay, bonus), gap(pay, 0*bonus)
    assert few.low is not None and few.high is None
    assert 'in 150 rows, too few to say how high it may truly be; that takes 20' in few.few
    assert calm.low < 0 < calm.high and calm.few is None
