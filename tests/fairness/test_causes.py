"Causes: closed forms, a mediation analysis by least squares, and worlds set by hand"
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcourse.core.errors import InputError
from dlcourse.data.synthesis import lending
from dlcourse.fairness.causes import changed, crossed_mean, crossed_terms, implied_fpr, spoilers
from dlcourse.fairness.paths import path_effect, proxies


@settings(max_examples=50, deadline=None)
@given(*[st.integers(1, 500)]*4)
def test_identity_of_the_four_rates(tp, fp, fn, tn):
    assert implied_fpr((tp + fn)/(tp + fp + fn + tn), tp/(tp + fp),
                       fn/(tp + fn)) == pytest.approx(fp/(fp + tn), abs=1e-12)

def linear(n, seed):
    "Covariate, group, mediator, outcome: direct effect 1, through the mediator 2 × .5"
    rng = np.random.default_rng(seed)
    w = rng.normal(size=n)
    a = rng.random(n) < 1/(1 + np.exp(-w))
    m = .5*a + w + rng.normal(size=n)
    return dict(w=w, a=np.where(a, 'one', 'other'), m=m, y=a + 2*m - w + rng.normal(size=n))

def test_linear_world_agrees_with_least_squares_and_the_truth():
    d = linear(4_000, 1)
    a = (d['a'] == 'one').astype(float)
    direct, slope = np.linalg.lstsq(np.column_stack([a, d['m'], d['w'], np.ones(len(a))]),
                                    d['y'])[0][:2]
    through = slope*np.linalg.lstsq(np.column_stack([a, d['w'], np.ones(len(a))]), d['m'])[0][0]
    found = path_effect(d, 'y', 'a', 'one', 'other', through=['m'], given=['w'], level=.999)
    for path, least_squares, truth in ((found.direct, direct, 1), (found.through, through, 1),
                                       (found.total, direct + through, 2)):
        assert path.value == pytest.approx(least_squares, abs=.06)
        assert path.low < truth < path.high
    assert found.total.value == pytest.approx(found.direct.value + found.through.value, abs=1e-12)
    assert found.n == 4_000 and 0 < found.effective < 4_000

def test_intervals_cover_in_linear_worlds():
    hits = np.zeros(3, int)
    for seed in range(25):
        f = path_effect(linear(500, seed), 'y', 'a', 'one', 'other', through=['m'], given=['w'],
                        folds=2)
        hits += [p.low <= t <= p.high for p, t in ((f.total, 2), (f.direct, 1), (f.through, 1))]
    assert (hits >= 20).all(), hits # 25 draws at .95: fewer than 20 has a chance under .002

def test_without_covariates_it_is_the_mediation_formula():
    w = lending(4_000, 3)
    found = path_effect(w, 'approved', 'race', 'Black', 'White', through=['district'])
    black, white = (w['approved'][w['race'] == r].mean() for r in ('Black', 'White'))
    assert found.total.value == pytest.approx(black - white, abs=1e-3)
    crossed = crossed_mean(w['approved'], w['race'], w['district'], 'Black', 'White')
    assert found.direct.value == pytest.approx(crossed - white,
                                               abs=(found.direct.high - found.direct.low)/4)

def test_a_hidden_common_cause_breaks_the_split_visibly():
    w = lending(6_000, 5)
    w['log_income'] = np.log(w['income'])
    told = path_effect(w, 'approved', 'sex', 'Female', 'Male', through=['log_income'],
                       given=['debt_ratio', 'years_employed', 'late_payments', 'race'])
    untold = path_effect(w, 'approved', 'sex', 'Female', 'Male', through=['log_income'])
    assert told.direct.low < 0 < told.direct.high # Set by hand: nothing
    assert untold.direct.low > 0

def test_influence_terms_forgive_one_wrong_model():
    y, g, m = np.array([1, 1, 0, 1, 0, 0, 1, 1, 0,
                        1.]), np.array(list('aaaaabbbbb')), np.array(list('mmkkkmmmmk'))
    ratio, mu, half = np.where(m == 'm', 2, 1/3), np.where(m == 'm', 1, 1/3), np.full(10, .5)
    want = crossed_mean(y, g, m, 'a', 'b')
    assert crossed_terms(y, g == 'a', g == 'b', ratio, half, mu + .3,
                         half).mean() == pytest.approx(want, abs=1e-12)
    assert crossed_terms(y, g == 'a', g == 'b', 5*ratio, half, mu,
                         np.full(10, want)).mean() == pytest.approx(want, abs=1e-12)

def test_proxies_find_the_district_and_nothing_in_noise():
    w = lending(3_000, 2)
    found = {(p.column, p.group): p
             for p in proxies(w, 'race', ['district', 'sex', 'debt_ratio'], folds=3)}
    assert found['district', 'Black'].found and found['district', 'Black'].auc > .8
    assert not any(p.found for (column, _), p in found.items() if column in ('sex', 'debt_ratio'))
    assert not any(group == 'Native' for _, group in found) # Thirty people or so

def test_auc_of_a_proxy_has_its_closed_form():
    # Sensitivity .8, false positives .3: AUC (1 + .8 - .3)/2
    flag = np.repeat([1, 0, 1, 0], [800, 200, 300, 700])
    p, = (p for p in proxies(dict(g=np.repeat(['x', 'y'], 1000), flag=flag), 'g', ['flag'])
          if (p.column, p.group) == ('flag', 'x'))
    assert p.auc == pytest.approx(.75, abs=2e-3) and p.low < .75 < p.high

def test_changes_and_their_balance():
    assert changed(np.array([True, False, True]),
                   np.array([False, True, True])) == (pytest.approx(2/3), 0.)

def spoiled(**changes): return linear(400, 0) | changes

@pytest.mark.parametrize('frame, through, covariates, says', [
    (spoiled(), ['nothing'], ['w'], '`nothing` is not a column of the frame'),
    (spoiled(), [], ['w'], '`through` must name at least one mediator'),
    (spoiled(), ['m'], ['m'], '`m` must have one part only'),
    (spoiled(), ['a'], ['w'], '`a` must have one part only'),
    (spoiled(m=np.full(400, np.nan)), ['m'], ['w'], '`m` has missing values'),
    (spoiled(a=np.repeat('other', 400)), ['m'], ['w'],
     '`a` must be one for at least 100 people, got 0')])
def test_path_effect_says_what_is_wrong(frame, through, covariates, says):
    with pytest.raises(InputError, match=says):
        path_effect(frame, 'y', 'a', 'one', 'other', through=through, given=covariates)

def test_proxies_say_what_is_wrong():
    with pytest.raises(InputError, match='must not hold `a` itself'):
        proxies(linear(400, 0), 'a', ['a', 'm'])
    with pytest.raises(InputError, match='must have a group of 500 or more'):
        proxies(linear(400, 0), 'a', ['m'], min_count=500)

def test_frames_of_other_kinds_give_the_same():
    pd, pl = pytest.importorskip('pandas'), pytest.importorskip('polars')
    d = linear(400, 0)
    same = [path_effect(f, 'y', 'a', 'one', 'other', through=['m'], given=['w'], folds=2)
            for f in (d, pd.DataFrame(d), pl.DataFrame(d))]
    assert same[0] == same[1] == same[2]

def test_import_is_light():
    code = ("import sys, dlcourse.fairness.causes; print([m for m in ('torch', 'matplotlib', "
            "'sklearn') if m in sys.modules])")
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                          check=True).stdout.strip() == '[]'


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)).filter(lambda e: e[0] < e[1]),
                max_size=12))
def test_spoilers_by_every_way(arrows):
    def ways(start, end):
        if start == end: return [[end]]
        return [[start, *rest] for a, b in set(arrows) if a == start for rest in ways(b, end)]
    want = {v for v in range(6) if v not in (0, 3) and ways(0, v) and ways(v, 3)
            and any(3 not in way for way in ways(v, 5)) and v != 5}
    assert spoilers(arrows, 0, 3, 5) == want


def changed_cause(n=4_000, seed=0):
    "L, which the attribute changes, moves mediator and outcome: half of the effect is direct"
    rng = np.random.default_rng(seed)
    a = rng.random(n) < .5
    l = rng.normal(size=n) + a
    m = l + rng.normal(size=n)
    return dict(a=np.where(a, 'one', 'other'), l=l, m=m, y=l + m + rng.normal(size=n))


def test_a_cause_of_the_mediator_that_the_attribute_moves_breaks_the_split_and_is_said():
    "With y = l + m and l = noise + a: direct (l at its mediator's other world) is 1"
    rows = changed_cause()
    for held in ((), ('l',)):
        found = path_effect(rows, 'y', 'a', 'one', 'other', through=['m'], given=held)
        assert not found.direct.low <= 1 <= found.direct.high
        said = repr(found)
        assert "nothing that `a` changes moves both `m` and `y`" in said
        assert f"adjusted for ({', '.join(held) or 'nothing'})" in said
        assert 'Setting `a` to one instead of other' in found.findings[0]
