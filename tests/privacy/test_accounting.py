import importlib.util
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.stats import norm

from dlcourse.core.errors import InputError
from dlcourse.privacy.accounting import (
    Accounted,
    AccountingError,
    PrivacyEvent,
    compose_epsilon,
    delta_at,
    epsilon,
    noise_for,
    sandwich,
    steps_for,
)
from dlcourse.privacy.renyi import RENYI_ORDERS, rdp_epsilon, sampled_renyi, zcdp_epsilon

HERE = importlib.util.find_spec
TUTORIAL = 1.1, 256/60000, 14062

# Opacus 1.6 and dp_accounting 0.6: σ, q, steps, RDP, PRV upper bound, PRV estimate, PLD; δ = 1e-5
ROWS = [
    (1.1, 256/60000, 14062, 2.5966, 2.3917, 2.3816, 2.3817),
    (1.5, .04, 2250, 7.3291, 6.7791, 6.7688, 6.7688),
    (1.23, 512/60000, 4687, 2.5808, 2.3734, 2.3633, 2.3633),
    (3, 4096/50000, 2468, 7.0458, 6.5396, 6.5293, 6.5293),
    (1, 1, 1, 4.7285, 4.3874, 4.3772, 4.3772),
    (.5, .01, 1000, 15.4643, 13.3718, 13.3608, 13.3608),
]


@pytest.mark.parametrize('row', ROWS)
def test_the_table_of_three_accountants(row):
    found = sandwich(*row[:3], 1e-5)
    got = found.rdp, found.prv, found.prv_estimate, found.pld
    np.testing.assert_allclose(got, row[3:], atol=1e-3)
    assert found.epsilon == found.pld == epsilon(*row[:3], 1e-5)
    assert found.rdp == epsilon(*row[:3], 1e-5, accountant='rdp')
    assert found.prv == epsilon(*row[:3], 1e-5, accountant='prv')


def test_numbers_of_opacus_own_tests():
    run = 1.5, .04, 1500 + 750
    assert abs(epsilon(*run, 1e-5, accountant='rdp') - 7.32911117143) < 1e-6
    assert abs(epsilon(*run, 1e-5, accountant='prv') - 6.777395712150674) < 5e-3


@pytest.mark.parametrize('sigma,epochs,published',
                         [(1.3, 15, 1.19), (1.1, 60, 3.01), (.7, 45, 7.1)])
def test_the_historical_rule_gives_the_published_numbers(sigma, epochs, published):
    steps = epochs*60000//256
    got = epsilon(sigma, 256/60000, steps, 1e-5, accountant='rdp', conversion='historical')
    assert abs(got - published) < .01


def test_clients_of_a_federation():
    assert abs(epsilon(1, .1, 100, 1e-5) - 7.05) < .005
    assert abs(epsilon(1, .1, 100, 1e-5, accountant='rdp') - 7.90) < .005
    assert abs(epsilon(1, 1., 100, 1e-5) - 91.8) < .05
    assert abs(epsilon(1, .1, 3, 1e-5) - 2.09) < .005


def test_a_huge_and_a_tiny_epsilon():
    assert abs(epsilon(.4, .1, 3000, 1e-5) - 544.73) < .05
    assert abs(epsilon(.4, .01, 3000, 1e-5) - 48.1) < .05
    assert abs(sandwich(5, 1e-3, 3000, 1e-5).pld - .0306) < 2e-4
    assert epsilon(1e6, .5, 10, 1e-5) == 0


def exact_gaussian_delta(mu, epsilon):
    return norm.cdf(mu/2 - epsilon/mu) - math.exp(epsilon)*norm.cdf(-mu/2 - epsilon/mu)


@pytest.mark.parametrize('sigma,steps', [(1., 1), (5., 30), (2., 7)])
def test_without_sampling_it_is_one_gaussian(sigma, steps):
    at = epsilon(sigma, 1, steps, 1e-5)
    assert abs(exact_gaussian_delta(math.sqrt(steps)/sigma, at)/1e-5 - 1) < 1e-6
    almost = epsilon(sigma, 1 - 1e-12, steps, 1e-5)
    assert at*(1 - 1e-9) <= almost <= at + 1e-3


def one_step_delta(sigma, q, epsilon):
    "Of one sampled step, by quadrature, in both directions"
    def gap(z, sign):
        without = norm.pdf(z, 0, sigma)
        joined = (1 - q)*without + q*norm.pdf(z, 1, sigma)
        one, other = (joined, without) if sign > 0 else (without, joined)
        return max(one - math.exp(epsilon)*other, 0.)
    edges = np.linspace(-12*sigma, 1 + 12*sigma, 60)
    return max(sum(quad(gap, a, b, args=(sign,))[0] for a, b in zip(edges, edges[1:], strict=False))
               for sign in (1, -1))


@pytest.mark.parametrize('sigma,q,at', [(1., .1, .5), (.6, .3, 1.2), (2., .5, .1)])
def test_one_sampled_step_equals_its_integral(sigma, q, at):
    want = one_step_delta(sigma, q, at)
    got = delta_at(at, sigma, q, 1)
    assert want*(1 - 1e-6) <= got <= want*1.001


def test_a_delta_of_an_epsilon_and_back():
    at = epsilon(*TUTORIAL, 1e-5)
    assert abs(delta_at(at, *TUTORIAL)/1e-5 - 1) < 1e-3
    deltas = [delta_at(e, *TUTORIAL) for e in (0, 1, 2, 5, 10)]
    assert deltas == sorted(deltas, reverse=True) and deltas[-1] < 1e-30
    orders = np.arange(2, 400.)
    rdp = 14062*sampled_renyi(orders, *TUTORIAL[:2])
    chernoff = np.min((orders - 1)*(rdp - 10))
    assert 0 < deltas[-1] <= math.exp(chernoff)


def by_quadrature(order, sigma, q):
    def integrand(z):
        ratio = 1 - q + q*math.exp((2*z - 1)/(2*sigma**2))
        return ratio**order*norm.pdf(z, 0, sigma)
    edges = np.linspace(-12*sigma, order + 12*sigma, 40)
    parts = [quad(integrand, a, b, epsabs=0)[0] for a, b in zip(edges, edges[1:], strict=False)]
    return math.log(sum(parts))/(order - 1)


@pytest.mark.parametrize('order', [1.1, 1.5, 2., 2.7, 3.8, 5., 10.9])
@pytest.mark.parametrize('sigma,q', [(1.1, .0043), (.5, .01), (2., .3)])
def test_divergences_equal_the_integral(order, sigma, q):
    want = by_quadrature(order, sigma, q)
    assert sampled_renyi([order], sigma, q)[0] == pytest.approx(want, rel=1e-5)


@pytest.mark.skipif(not HERE('opacus'), reason='opacus is not installed')
def test_divergences_equal_those_of_opacus():
    from opacus.accountants.analysis.rdp import compute_rdp
    for sigma, q in ((.6, .02), (1.1, .004), (3., .3)):
        orders = RENYI_ORDERS[:140]
        want = compute_rdp(q=q, noise_multiplier=sigma, steps=1, orders=orders)
        np.testing.assert_allclose(sampled_renyi(orders, sigma, q), want, rtol=1e-6, atol=1e-12)
    assert sampled_renyi([7.], 2., 1)[0] == 7/8


@pytest.mark.skipif(not HERE('dp_accounting'), reason='dp_accounting is not installed')
def test_mixed_runs_equal_those_of_dp_accounting():
    from dp_accounting import dp_event
    from dp_accounting.pld import PLDAccountant
    runs = [(1.2, .02, 400), (2., .1, 60), (5., 1., 2)]
    theirs = PLDAccountant()
    for sigma, q, steps in runs:
        step = dp_event.PoissonSampledDpEvent(q, dp_event.GaussianDpEvent(sigma))
        theirs.compose(dp_event.SelfComposedDpEvent(step, steps))
    got = compose_epsilon([PrivacyEvent(*run) for run in runs], 1e-6)
    assert abs(got - theirs.get_epsilon(1e-6)) < 1e-3


def test_pure_releases_are_composed_exactly():
    assert compose_epsilon([(1., 0)], 1e-9) == pytest.approx(1, abs=1e-6)
    assert compose_epsilon([(.5, 1e-6)]*4, 4e-6) <= 2 + 1e-9, 'plain addition holds'
    k, each, delta = 60, .1, 1e-6
    up = 1/(1 + math.exp(-each)) # Binomial: exactly what randomized response gives
    from scipy.stats import binom
    losses, chances = each*(2*np.arange(k + 1) - k), binom.pmf(np.arange(k + 1), k, up)
    def at(e): return (chances*np.maximum(1 - np.exp(e - losses), 0)).sum()
    got = compose_epsilon([(each, 0)]*k, delta)
    assert at(got) <= delta and at(got - 2e-3) > delta
    assert math.isinf(compose_epsilon([(1., 1e-3), PrivacyEvent(1., .1, 5)], 1e-5))
    assert compose_epsilon([(1000., 0)], 1e-5) == pytest.approx(1000)


def test_a_few_equal_releases_cost_exactly_what_binomial_chances_say():
    from scipy.stats import binom
    for k, each, leak, delta in ((10, .1, 0, 1e-6), (15, .1, 0, 1e-6), (20, .1, 0, 1e-6),
                                 (12, .3, 1e-8, 1e-5), (7, 2., 0, 1e-3)):
        up, lost = 1/(1 + math.exp(-each)), 1 - (1 - leak)**k
        losses, chances = each*(2*np.arange(k + 1) - k), binom.pmf(np.arange(k + 1), k, up)
        def at(e, losses=losses, chances=chances, lost=lost):
            over = (chances*np.maximum(-np.expm1(e - losses), 0)).sum()
            return lost + (1 - lost)*over
        got = compose_epsilon([(each, leak)]*k, delta)
        assert at(got) <= delta < at(got - 1e-7) and got < k*each
    assert compose_epsilon([(.1, 0)]*20, 1e-6) == pytest.approx(1.7886092, abs=1e-6)
    assert compose_epsilon([(.1, 0)]*10_001, 1e-6) > compose_epsilon([(.1, 0)]*10_000, 1e-6)


def test_zcdp():
    assert zcdp_epsilon(.5, 1e-5, 'historical') == pytest.approx(.5 + 2*math.sqrt(.5*math.log(1e5)))
    alpha = np.geomspace(1.001, 1e4, 200_000)
    best = (.5*alpha + np.log1p(-1/alpha) - np.log(1e-5*alpha)/(alpha - 1)).min()
    assert zcdp_epsilon(.5, 1e-5) == pytest.approx(best, abs=1e-5)
    assert epsilon(1, 1, 1, 1e-5) < best < epsilon(1, 1, 1, 1e-5, accountant='rdp') + 1e-3


@settings(max_examples=10, deadline=None)
@given(st.floats(.5, 8), st.floats(1e-4, .9), st.integers(1, 3000),
       st.sampled_from([1e-4, 1e-6, 1e-9]))
def test_three_accountants_stand_in_order(sigma, q, steps, delta):
    found = sandwich(sigma, q, steps, delta)
    assert found.historical >= found.rdp >= found.pld >= 0
    assert found.prv >= found.prv_estimate
    assert epsilon(sigma*1.05, q, steps, delta) <= found.pld*(1 + 1e-4)
    assert found.pld <= epsilon(sigma, q, steps + 5, delta)*(1 + 1e-4)


@settings(max_examples=4, deadline=None)
@given(st.floats(.2, 20), st.floats(1e-3, 1), st.integers(1, 2000))
def test_inverses_do_not_overshoot(budget, q, steps):
    sigma = noise_for(budget, q, steps, 1e-5)
    spent = epsilon(sigma, q, steps, 1e-5)
    assert spent <= budget and epsilon(sigma*.998, q, steps, 1e-5) > budget*.999


def test_the_most_steps():
    steps = steps_for(2, 1.1, 256/60000, 1e-5)
    assert epsilon(1.1, 256/60000, steps, 1e-5) <= 2 < epsilon(1.1, 256/60000, steps + 1, 1e-5)
    with pytest.raises(InputError, match='must allow a step'): steps_for(.5, 1, 1, 1e-5)


def test_answers_out_of_order_are_an_error():
    event = PrivacyEvent(1, 1, 1)
    numbers = dict(rdp=4.7, order=5., historical=5.3, prv=4.39, prv_estimate=4.38, pld=4.377)
    assert Accounted(event, 1e-5, **numbers).epsilon == 4.377
    none = math.nan
    for wrong in (dict(pld=4.5), dict(prv=4.8), dict(rdp=4.2), dict(rdp=none), dict(pld=none)):
        with pytest.raises(AccountingError, match='contradict each other'):
            Accounted(event, 1e-5, **(numbers | wrong))
    assert Accounted(event, 1e-5, **numbers).to_dict()['event'] == vars(event)


BAD = [
    ('noise_multiplier', 0), ('noise_multiplier', -1.), ('noise_multiplier', math.nan),
    ('noise_multiplier', math.inf), ('noise_multiplier', True), ('noise_multiplier', '1'),
    ('sample_rate', 0), ('sample_rate', 1.01), ('sample_rate', -.1), ('sample_rate', math.nan),
    ('sample_rate', True), ('sample_rate', None), ('steps', 0), ('steps', -1), ('steps', 1.5),
    ('steps', math.nan), ('steps', True), ('delta', 0), ('delta', 1), ('delta', -1e-5),
    ('delta', math.nan), ('delta', math.inf), ('delta', True),
]


@pytest.mark.parametrize('name,value', BAD)
def test_what_cannot_be_is_said(name, value):
    words = dict(noise_multiplier=1., sample_rate=.1, steps=10, delta=1e-5) | {name: value}
    for call in (epsilon, sandwich):
        with pytest.raises(InputError, match=f'`{name}` must be'): call(**words)


def test_other_refusals():
    with pytest.raises(InputError, match='below the one that holds'):
        epsilon(*TUTORIAL, 1e-5, accountant='gdp')
    with pytest.raises(InputError, match='`accountant` must be'):
        epsilon(*TUTORIAL, 1e-5, accountant='moments')
    with pytest.raises(InputError, match='`conversion` must be one of'):
        epsilon(*TUTORIAL, 1e-5, accountant='rdp', conversion='old')
    with pytest.raises(InputError, match="rule of 'rdp'"):
        epsilon(*TUTORIAL, 1e-5, conversion='historical')
    with pytest.raises(InputError, match='nothing was done'): compose_epsilon([], 1e-5)
    with pytest.raises(InputError, match='PrivacyEvent or a pair'): compose_epsilon([3], 1e-5)
    with pytest.raises(InputError, match='`epsilon` must be'): compose_epsilon([(0, 0)], 1e-5)
    with pytest.raises(InputError, match='`delta` must be'): compose_epsilon([(1., True)], 1e-5)
    with pytest.raises(InputError, match='`orders` must be'): sampled_renyi([1.], 1., .1)
    with pytest.raises(InputError, match='`rho` must be'): zcdp_epsilon(0, 1e-5)
    with pytest.raises(InputError, match='`conversion` must be'):
        rdp_epsilon([1.], [2.], 1e-5, 'classic')
    for budget in (0, -1, math.nan, True):
        with pytest.raises(InputError, match='`epsilon` must be'): noise_for(budget, .1, 10, 1e-5)
        with pytest.raises(InputError, match='`epsilon` must be'): steps_for(budget, 1, .1, 1e-5)


@pytest.mark.parametrize('asked, least, most', [
    ((.005, .01, 1000, 1e-5), 494_875, 2e9), ((.003, .001, 100, 1e-5), 163_759, 2e9),
    ((1e-5, .5, 10, 1e-5), 4.99e10, 1e13), ((.1, 1e-5, 10**5, 1e-5), 308.3, 308.5)])
def test_little_noise_is_never_told_too_private(asked, least, most):
    "Lower bounds: k participations with a chance above δ, each of 1/(2σ²)"
    assert least <= epsilon(*asked) <= most


def test_who_hardly_ever_takes_part_has_no_loss():
    for sigma in (.02, 1., 50.): assert epsilon(sigma, 1e-7, 50, 1e-5) == 0
    assert epsilon(.1, 1e-7, 200, 1e-5) > 0


@pytest.mark.parametrize('pairs, delta, exact', [
    ([(20., 0.), (1e-6, 0.)], 1e-6, 19.999999), ([(1e4, 0.), (1e-3, 0.)], .01, 9999.98995),
    ([(1e9, 0.), (1e-9, 0.)], 1e-6, 1e9 - 1e-6)])
def test_a_large_release_beside_a_tiny_one(pairs, delta, exact):
    assert exact*(1 - 1e-9) <= compose_epsilon(pairs, delta) <= sum(e for e, _ in pairs)*(1 + 1e-9)


def test_several_accountants_want_some_noise():
    with pytest.raises(InputError, match='`noise_multiplier`'): sandwich(.01, .01, 100, 1e-5)
    with pytest.raises(InputError, match='`noise_multiplier`'):
        epsilon(.01, .01, 100, 1e-5, accountant='prv')


@pytest.mark.parametrize(('asked', 'said'), [
    ((1., 1e-6, 10, 1e-5), 'any noise'), ((1e-12, 1., 1, 1e-5), '`epsilon` must be larger'),
    ((1., .5, 10**40, 1e-5), '`steps` must be')])
def test_noise_that_cannot_be_told(asked, said):
    with pytest.raises(InputError, match=said): noise_for(*asked)


@pytest.mark.parametrize('asked', [(1, .01, 10**6, 1e-6), (3, 1.5e-6, 40, 6e-11), (1, 1e-4, 10**7,
                                                                                  1e-9)])
def test_noise_for_many_steps_and_for_rare_rows_takes_no_wide_grid(asked, monkeypatch):
    from dlcourse.privacy import privacy_loss
    sizes, asked_of = [], privacy_loss._convolved
    def seen(grids, tilt, low, high):
        sizes.append((high - low)/grids[0][0].step)
        return asked_of(grids, tilt, low, high)
    monkeypatch.setattr(privacy_loss, '_convolved', seen)
    budget, q, steps, delta = asked
    sigma = noise_for(*asked)
    assert max(sizes) < 2.2*2**20 and len(sizes) < 20, (len(sizes), max(sizes))
    assert epsilon(sigma, q, steps, delta) <= budget < epsilon(.999*sigma, q, steps, delta)


def test_steps_beyond_a_million_are_said_to_one_part_in_ten_thousand():
    steps = steps_for(1., 5., 1e-3, 1e-5)
    assert steps > 10**6
    assert epsilon(5., 1e-3, steps, 1e-5) <= 1 < epsilon(5., 1e-3, int(steps*1.0003), 1e-5)
    with pytest.raises(InputError, match='allows more than'): steps_for(1., 100., 1e-4, 1e-5)


@pytest.mark.parametrize('asked', ((1e300, .1, 5, 1e-5), (1e-300, .1, 5, 1e-5),
                                   (1., .1, 5, 1e-310)))
def test_numbers_too_far_out_are_refused_by_every_accountant(asked):
    for accountant in ('pld', 'prv', 'rdp'):
        with pytest.raises(InputError, match='must be'): epsilon(*asked, accountant=accountant)
    for events in (None, 5, [None], [(1e308, 0)]):
        with pytest.raises(InputError): compose_epsilon(events, 1e-5)
