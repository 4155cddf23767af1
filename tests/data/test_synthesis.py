"The lending world against its stated truth, and against a second writing of its equations"
import csv
import hashlib
import io
import math
import tomllib
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest

from dlcourse.core.errors import InputError
from dlcourse.core.files import project_path
from dlcourse.data.experiment import effect
from dlcourse.data.synthesis import LENDING, draws, lending, merit, repays, to_csv, write_lending

N = 400_000
PAPERS = ('income', 'debt_ratio', 'years_employed', 'late_payments')
CARD = tomllib.loads(project_path('datasets', 'lending', 'card.toml').read_text(encoding='utf-8'))

@pytest.fixture(scope='module')
def world(): return lending(N, seed=11)

def share(world, column, **group):
    "Share of a group with a 1, and its standard error"
    values = world[column][np.all([world['applicant'] > 0,
                                   *(world[a] == g for a, g in group.items())], axis=0)]
    return values.mean(), values.std()/math.sqrt(len(values))

def close(got, want, error):
    off = abs(got - want)/error
    assert off < 4, f'{got} is {off:.1f} standard errors from {want}'

def same(a, b, but=()): return all(np.array_equal(a[c], b[c]) for c in a if c not in but)


# The committed file and its card

def test_the_committed_file_is_made_again_byte_for_byte(tmp_path):
    made = write_lending(tmp_path/'lending.csv').read_bytes()
    kept = project_path('datasets', 'lending', 'lending.csv').read_bytes()
    assert made == kept
    assert b' ' not in kept and b'\r' not in kept and kept.endswith(b'\n')

def test_the_card_tells_the_truth_about_the_file():
    data, file = project_path('datasets', 'lending', 'lending.csv').read_bytes(), CARD['files'][0]
    assert (hashlib.sha256(data).hexdigest(), len(data)) == (file['sha256'], file['size'])
    rows = list(csv.reader(io.StringIO(data.decode())))
    assert rows[0] == [c['name'] for c in CARD['columns']] and len(rows) - 1 == CARD['rows']

def test_the_card_states_the_constants_of_the_generator():
    stated, L = ' '.join(CARD['truth']), LENDING
    def shares(d): return ', '.join(f'{k} {v:.0%}'.replace('%', ' %') for k, v in d.items())
    wanted = [f"{100*L.base_rate['Female']:.0f} % of Female and {100*L.base_rate['Male']:.0f} % of "
              "Male applicants would repay",
              f"Female income is recorded at {100*L.income_ratio['Female']:.0f} % of that of a "
              "Male",
              f"turned into a refusal with probability {100*L.refusal['Black']:.0f} %, of no other "
              "race", f"is {1 - L.refusal['Black']:.2f} in expectation",
              *(f"{race} {', '.join(f'{100*p:.0f}' for p in districts.values())} %"
                for race, districts in L.district.items()), shares(L.sex), shares(L.race)]
    for sentence in wanted: assert sentence in stated
    assert L.income_ratio['Male'] == 1 and [r for r, p in L.refusal.items() if p] == ['Black']

def test_the_rates_the_card_gives_for_this_file():
    w, claims = lending(), ' '.join(r['claim'] for r in CARD['results'])
    def percent(column, **group): return f'{100*share(w, column, **group)[0]:.1f} %'
    for a, g in (('sex', 'Female'), ('sex', 'Male'), ('race', 'Black'), ('race', 'White')):
        assert f"{g} {percent('approved', **{a: g})}" in claims
    for sex in LENDING.sex: assert f"{sex} {percent('repaid', sex=sex)}" in claims
    assert f"{percent('approved')} of all" in claims
    black, white = (share(w, 'approved', race=race)[0] for race in ('Black', 'White'))
    women, men = (share(w, 'income', sex=sex)[0] for sex in ('Female', 'Male'))
    assert f"a ratio of {black/white:.2f}" in claims
    assert f"Female over Male: {100*women/men:.1f} %" in claims

def test_csv_gives_back_what_was_written():
    w = lending(200)
    rows = list(csv.DictReader(io.StringIO(to_csv(w))))
    assert [r['race'] for r in rows] == w['race'].tolist()
    for name in ('applicant', *PAPERS, 'approved', 'repaid'):
        assert [float(r[name]) for r in rows] == w[name].tolist()


# The equations, written a second time with the standard library only

RACE = dict(White=.60, Black=.18, Hispanic=.12, Asian=.09, Native=.01)
DISTRICT = dict(White=(25, 25, 25, 17, 4, 4), Black=(3, 3, 4, 5, 45, 40),
                Hispanic=(12, 13, 15, 48, 6, 6), Asian=(30, 25, 25, 12, 4, 4),
                Native=(15, 15, 15, 15, 20, 20))
NAMES = ('Harbour', 'Hillside', 'Meadow', 'Mill', 'Northgate', 'Riverside')

def person(u):
    phi = NormalDist()
    z = phi.inv_cdf(u['z'])
    s = {name: .6*z + .8*phi.inv_cdf(u[name]) for name in PAPERS}
    def pick(x, shares):
        total = 0
        for name, p in shares.items():
            total += p
            if x < total: return name
    sex, race = ('Female' if u['sex'] < .5 else 'Male'), pick(u['race'], RACE)
    income = round(40*(.8 if sex == 'Female' else 1)*math.exp(.45*s['income']), 1)
    debt = round(1/(1 + math.exp(.8 + .6*s['debt_ratio'])), 3)
    years = max(0, round(8 + 5*s['years_employed']))
    late = math.floor(math.exp(.1 - .8*s['late_payments']))
    yes = 2*math.log(income/14) - 4*debt + years/20 - late/2 + .5*phi.inv_cdf(u['officer']) > 0
    c = math.sqrt(1.36)*phi.inv_cdf(.78 if sex == 'Female' else .72)
    district = pick(100*u['district'], dict(zip(NAMES, DISTRICT[race], strict=True)))
    return dict(sex=sex, race=race, district=district, income=income, debt_ratio=debt,
                years_employed=years, late_payments=late,
                approved=int(yes and not (race == 'Black' and u['refusal'] < .3)),
                repaid=int(z + .6*phi.inv_cdf(u['e']) > -c))

def test_a_second_writing_of_the_equations_gives_the_same_people():
    w, u = lending(500, seed=5), draws(500, seed=5)
    for i in range(500):
        for name, value in person({k: v[i] for k, v in u.items()}).items():
            assert w[name][i] == (pytest.approx(value, abs=1e-9) if isinstance(value, float)
                                  else value), (i, name)

def test_the_first_people_do_not_depend_on_how_many_there_are():
    few, many = lending(50, seed=2), lending(90, seed=2)
    assert all(np.array_equal(few[c], many[c][:50]) for c in few)
    assert not np.array_equal(few['income'], lending(50, seed=3)['income'])


# The stated truths, to four standard errors

def test_shares_of_the_groups(world):
    for attribute, shares in dict(sex={'Female': .5, 'Male': .5}, race=RACE).items():
        for group, p in shares.items():
            close((world[attribute] == group).mean(), p, math.sqrt(p*(1 - p)/N))
    for race, districts in DISTRICT.items():
        where = world['district'][world['race'] == race]
        for district, p in zip(NAMES, np.array(districts)/100, strict=True):
            close((where == district).mean(), p, math.sqrt(p*(1 - p)/len(where)))

@pytest.mark.parametrize(('sex', 'rate'), [('Female', .78), ('Male', .72)])
def test_base_rates(world, sex, rate):
    got, error = share(world, 'repaid', sex=sex)
    close(got, rate, error)
    for race in LENDING.race:
        close(*share(world, 'repaid', sex=sex, race=race)[:1], rate,
              share(world, 'repaid', sex=sex, race=race)[1])

def test_the_base_rate_is_exact_and_not_only_near():
    # quadrature instead of chance: every combination of evenly spaced quantiles of z and e
    k = 1000
    u = (np.arange(k) + .5)/k
    z = np.array([NormalDist().inv_cdf(x) for x in u])
    for rate in (.2, .72, .78):
        assert repays(np.repeat(z, k), np.tile(u, k),
                      np.array([rate])).mean() == pytest.approx(rate, abs=1e-4)

def test_income_is_a_fifth_lower_for_women(world):
    logs = {sex: np.log(world['income'][world['sex'] == sex]) for sex in ('Female', 'Male')}
    error = math.sqrt(sum(v.var()/len(v) for v in logs.values()))
    close(logs['Female'].mean() - logs['Male'].mean(), math.log(.8), error)

@pytest.mark.parametrize('stratum',
                         [{}, {'sex': 'Female'}, {'sex': 'Male'}, {'district': 'Northgate'},
                          {'district': 'Mill'}, {'repaid': 1}])
def test_black_applicants_get_seven_approvals_for_ten(world, stratum):
    black, b = share(world, 'approved', race='Black', **stratum)
    white, w = share(world, 'approved', race='White', **stratum)
    close(black/white, .70, black/white*math.hypot(b/black, w/white))

def test_about_sixty_per_cent_are_approved(world): assert .58 < world['approved'].mean() < .62

def test_other_races_and_districts_within_a_race_are_treated_alike(world):
    white, error = share(world, 'approved', race='White')
    for race in ('Hispanic', 'Asian', 'Native'):
        close(share(world, 'approved', race=race)[0], white,
              math.hypot(error, share(world, 'approved', race=race)[1]))
    for district in LENDING.district['White']:
        got, e = share(world, 'approved', race='White', district=district)
        close(got, white, e)

def test_probability_of_approval_given_merit(world):
    m, white = merit(**{p: world[p] for p in PAPERS}), world['race'] != 'Black'
    truth = np.array([NormalDist().cdf(2*x) for x in m])*np.where(white, 1, .7)
    for sex in ('Female', 'Male'):
        for low in np.arange(-1, 1.5, .5):
            of = (world['sex'] == sex) & (m >= low) & (m < low + .5)
            close(world['approved'][of].mean(), truth[of].mean(),
                  math.sqrt((truth[of]*(1 - truth[of])).sum())/of.sum())

def test_women_who_would_repay_are_approved_less_often(world):
    women = share(world, 'approved', sex='Female', repaid=1)[0]
    men = share(world, 'approved', sex='Male', repaid=1)[0]
    assert .08 < men - women < .13


# Interventions

def test_doing_what_was_so_changes_nothing():
    w = lending(2000, seed=4)
    for column in w:
        if column != 'applicant':
            assert same(w, lending(2000, seed=4, do={column: w[column]})), column

def test_race_changes_district_and_approval_and_nothing_else():
    white = lending(N, seed=7, do={'race': 'White'})
    black = lending(N, seed=7, do={'race': 'Black'})
    assert set(white['race']) == {'White'}
    assert same(white, black, but=('race', 'district', 'approved'))
    assert (black['approved'] <= white['approved']).all()
    kept = black['approved'][white['approved'] == 1]
    close(kept.mean(), .70, math.sqrt(.7*.3/len(kept)))

def test_sex_changes_income_what_follows_from_it_and_repayment():
    women = lending(20_000, seed=8, do={'sex': 'Female'})
    men = lending(20_000, seed=8, do={'sex': 'Male'})
    assert same(women, men, but=('sex', 'income', 'approved', 'repaid'))
    # both are rounded to one decimal
    assert np.abs(women['income'] - .8*men['income']).max() <= .0901
    assert (women['approved'] <= men['approved']).all() and (women['repaid'] >= men['repaid']).all()

def test_an_attribute_can_be_set_for_each_person():
    w = lending(1000, seed=9)
    swapped = lending(1000, seed=9, do={'sex': np.where(w['sex'] == 'Male', 'Female', 'Male')})
    assert (swapped['sex'] != w['sex']).all()
    assert same(w, swapped, but=('sex', 'income', 'approved', 'repaid'))

def test_paths():
    direct = {a: effect('approved', a, *pair, hold=PAPERS, n=20_000) for a, pair in
              dict(sex=('Female', 'Male'), race=('Black', 'White'),
                   district=('Northgate', 'Harbour')).items()}
    assert direct['sex'] == direct['district'] == 0
    assert direct['race'] == effect('approved', 'race', 'Black', 'White', n=20_000) < -.15
    assert effect('approved', 'sex', 'Female', 'Male', n=20_000) < -.07
    assert effect('repaid', 'race', 'Black',
                  'White') == effect('approved', 'district', 'Mill', 'Riverside') == 0
    assert effect('repaid', 'sex', 'Female', 'Male',
                  n=N) == pytest.approx(.06, abs=4*math.sqrt(.06*.94/N))

def test_a_world_without_discrimination():
    fair = replace(LENDING, refusal=dict.fromkeys(LENDING.race, 0.),
                   income_ratio={'Female': 1., 'Male': 1.})
    for attribute, one, other in (('race', 'Black', 'White'), ('sex', 'Female', 'Male')):
        assert effect('approved', attribute, one, other, truth=fair) == 0
    assert (lending(truth=fair)['approved'] >= lending()['approved']).all()


# Errors

@pytest.mark.parametrize(('arguments', 'message'), [
    (dict(n=0), "`n` must be 1 or more people, got 0"),
    (dict(do={'rase': 'White'}),
     "`rase` is no column that can be set; there are: sex, race, district, "),
    (dict(do={'applicant': 3}), "`applicant` is no column that can be set"),
    (dict(do={'sex': 'male'}), "`sex` must be Female, Male; got 'male'"),
    (dict(n=5, do={'income': [1, 2]}),
     r"`income` must be set to one value or to 5, one per person; got shape \(2,\)"),
])
def test_bad_arguments(arguments, message):
    with pytest.raises(InputError, match=message): lending(**arguments)

def test_a_truth_must_add_up():
    with pytest.raises(InputError,
                       match=r"shares must add up to 1, got \{'Female': 0.5, 'Male': 0.6\}"):
        replace(LENDING, sex={'Female': .5, 'Male': .6})
    with pytest.raises(InputError,
                       match=r"`refusal` must have one entry for each race \(White, Black, .*\), "
                             r"got Black"):
        replace(LENDING, refusal={'Black': .3})
