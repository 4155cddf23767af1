"A client moves the sum by so much and no more, and an epsilon is for the sampling that happened"
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcourse.core.errors import InputError
from dlcourse.federated.client_privacy import ClientSampler, Draw, clip_updates, private_average
from dlcourse.privacy.accounting import PrivacyEvent

FLOATS = st.floats(allow_nan=True, allow_infinity=True, width=64)


@settings(max_examples=200, deadline=None)
@given(st.lists(FLOATS, min_size=3, max_size=3), st.floats(1e-6, 1e6))
def test_no_row_is_longer_whatever_it_holds(row, clip_norm):
    found = clip_updates(torch.tensor([row], dtype=torch.float64), clip_norm)
    assert found.isfinite().all() and float(found.norm()) <= clip_norm


def test_short_rows_stay_and_long_ones_keep_their_direction():
    u = torch.tensor([[3., 4], [.3, .4], [0, 0]])
    want = torch.tensor([[.6, .8], [.3, .4], [0, 0]])
    torch.testing.assert_close(clip_updates(u, 1.).float(), want)


@pytest.mark.parametrize('u', [torch.ones(2, 2, dtype=torch.long), torch.ones(2), [[1.]]])
def test_odd_updates(u):
    with pytest.raises(InputError, match='`updates` must be a matrix of floats'):
        clip_updates(u, 1.)


@pytest.mark.parametrize('norm', [0., -1., float('nan'), float('inf')])
def test_odd_norms(norm):
    with pytest.raises(InputError, match='`clip_norm`'): clip_updates(torch.ones(1, 1), norm)


def test_the_figures_of_the_issue():
    sampler = ClientSampler(100, 10, 1., seed=0)
    for _ in range(100): sampler.draw()
    assert sampler.event == PrivacyEvent(1., .1, 100)
    assert sampler.event.epsilon(1e-5) == pytest.approx(7.05, abs=.005)
    assert PrivacyEvent(1., 1., 100).epsilon(1e-5) == pytest.approx(91.8, abs=.05)


def test_draws_are_poisson():
    "Sizes vary as a binomial does, and clients are drawn independently of each other"
    sampler = ClientSampler(40, 10, 1., seed=1)
    sizes = torch.tensor([float(len(sampler.draw().clients)) for _ in range(4_000)])
    assert float(sizes.mean()) == pytest.approx(10, abs=.2)
    assert float(sizes.var()) == pytest.approx(40*.25*.75, rel=.1)
    shares = torch.tensor(sampler.drawn)/4_000
    assert float((shares - .25).abs().max()) < .03


def test_no_seed_is_secure_and_differs():
    draws = [tuple(ClientSampler(60, 30, 1.).draw().clients) for _ in range(2)]
    assert draws[0] != draws[1] and not ClientSampler(9, 3, 1.).reproducible
    assert ClientSampler(9, 3, 1., seed=0).reproducible


def test_an_event_is_for_the_rounds_that_were_drawn():
    sampler = ClientSampler(10, 5, 2., seed=0)
    with pytest.raises(InputError, match='nothing was drawn'): sampler.event # noqa: B018
    for n in (1, 2, 3):
        sampler.draw()
        assert sampler.event.steps == n


@pytest.mark.parametrize('given,name', [
    ((0, 1, 1.), 'clients'), ((5, 0, 1.), 'expected_clients'), ((5, 6, 1.), 'expected_clients'),
    ((5, 2, 0.), 'noise_multiplier'), ((5, 2, float('nan')), 'noise_multiplier'),
    ((5, 2, -1.), 'noise_multiplier')])
def test_odd_samplers(given, name):
    with pytest.raises(InputError, match=f'`{name}`'): ClientSampler(*given)


def drawn(n=20, q=10, sigma=1e-12):
    sampler = ClientSampler(n, q, sigma, seed=0)
    return sampler, sampler.draw()


def test_the_divisor_is_the_expected_number():
    sampler, draw = drawn()
    found = private_average(sampler, draw, {k: torch.ones(1) for k in draw.clients}, 1., 1)
    assert float(found.update) == pytest.approx(len(draw.clients)/10, abs=1e-6)


def test_noise_is_the_same_whoever_answers():
    "Of the expected number: with all, one, or nobody answering"
    for answering in (20, 1, 0):
        sampler = ClientSampler(20, 10, 3., seed=7)
        draw = sampler.draw()
        some = sorted(draw.clients)[:answering]
        found = private_average(sampler, draw, {k: torch.zeros(20_000) for k in some}, 2., 20_000)
        assert float(found.update.std()) == pytest.approx(3*2/10, rel=.03)


def test_a_client_moves_the_update_by_its_norm_at_most():
    for sent in map(torch.tensor, ([1e30, 0.], [math.nan, 1.], [math.inf, 1.])):
        found = []
        for own in (torch.zeros(2), sent):
            sampler, draw = drawn()
            answers = {k: torch.zeros(2) for k in draw.clients}
            answers[min(draw.clients)] = own
            found.append(private_average(sampler, draw, answers, .5, 2, weights={
                min(draw.clients): 991.}).update)
        assert float((found[0] - found[1]).norm()) <= .5/10 + 1e-12
        assert found[1].isfinite().all()


@pytest.mark.parametrize('weight,share', [(991., 1.), (.5, .5), (-3., 0.), (math.nan, 0.)])
def test_weights_are_clipped(weight, share):
    sampler, draw = drawn()
    k = min(draw.clients)
    found = private_average(sampler, draw, {k: torch.ones(1)}, 1., 1, weights={k: weight})
    assert float(found.update) == pytest.approx(share/10, abs=1e-6)


def test_who_is_late_uninvited_or_odd_is_refused_and_not_added():
    sampler, draw = drawn()
    inside = sorted(draw.clients)
    outside = min(set(range(20)) - draw.clients)
    answers = {inside[0]: torch.ones(1), inside[1]: None, inside[2]: torch.ones(2),
               inside[3]: torch.ones(1, dtype=torch.long), inside[4]: torch.ones(1),
               outside: torch.ones(1)}
    found = private_average(sampler, draw, answers, 1., 1, rounds={inside[4]: 7})
    assert found.answered == (inside[0],) and len(found.refused) == 5
    for k, text in ((1, 'dropped out'), (2, 'of shape'), (3, 'not floats'), (4, 'late')):
        assert text in found.refused[inside[k]]
    assert 'not drawn' in found.refused[outside]
    assert float(found.update) == pytest.approx(.1, abs=1e-6)


def test_a_draw_is_used_once_and_only_the_last():
    sampler, first = drawn()
    private_average(sampler, first, {}, 1., 3)
    with pytest.raises(InputError, match='used once'): private_average(sampler, first, {}, 1., 3)
    sampler.draw()
    with pytest.raises(InputError, match='last'): private_average(sampler, first, {}, 1., 3)


def test_the_ledger():
    sampler = ClientSampler(12, 6, 1., seed=0)
    for _ in range(5):
        draw = sampler.draw()
        private_average(sampler, draw, {k: torch.zeros(2) for k in list(draw.clients)[1:]}, 1., 2)
    rows = sampler.ledger(.01)
    assert [r['client'] for r in rows] == list(range(12))
    assert all(r['answered'] <= r['drawn'] <= 5 for r in rows)
    for r in rows:
        assert r['epsilon'] == pytest.approx(PrivacyEvent(1., .5, 5).epsilon(.01))
        if r['drawn']:
            seen = PrivacyEvent(1., 1., r['drawn']).epsilon(.01)
            assert r['epsilon_if_seen'] == pytest.approx(seen)
    for delta in (1/12, .5, 0., 1.):
        with pytest.raises(InputError, match='`delta`'): sampler.ledger(delta)


def test_a_draw_of_another_sampler_is_refused():
    ours, theirs = ClientSampler(100, 10, 1., seed=0), ClientSampler(100, 100, 1., seed=1)
    ours.draw()
    answers = {k: torch.ones(3) for k in range(100)}
    for draw in (theirs.draw(), Draw(round=0, clients=frozenset(range(100)))):
        with pytest.raises(InputError, match='`draw`'): private_average(ours, draw, answers, 1., 3)
    assert ours.answered == [0]*100


@pytest.mark.parametrize('name', ['noise_multiplier', 'expected_clients', 'clients', 'chance'])
def test_what_rounds_are_accounted_with_cannot_be_changed(name):
    sampler = ClientSampler(100, 10, 1., seed=0)
    sampler.draw()
    before = sampler.event.epsilon(1e-5)
    with pytest.raises(AttributeError, match=f'`{name}` is fixed'): setattr(sampler, name, 50)
    assert sampler.event.epsilon(1e-5) == before


def test_without_a_seed_the_noise_is_the_system_s():
    sampler = ClientSampler(50, 25, 1.)
    assert sampler.chance.generator is None and not sampler.reproducible


@pytest.mark.parametrize('given, name', [
    (dict(dim=-1), '`dim`'), (dict(dim=0), '`dim`'), (dict(weights={0: 'x'}), '`weights`'),
    (dict(clip_norm=0.), '`clip_norm`')])
def test_an_odd_setting_uses_no_draw_up(given, name):
    sampler = ClientSampler(3, 3, 1., seed=0)
    draw, usual = sampler.draw(), dict(clip_norm=1., dim=3)
    with pytest.raises(InputError, match=name): private_average(sampler, draw, {}, **usual | given)
    assert private_average(sampler, draw, {}, **usual).update.shape == (3,)


def test_a_clients_graph_stays_at_the_client_and_true_is_nobody():
    sampler = ClientSampler(3, 3, 1., seed=0)
    told = {0: torch.ones(3, requires_grad=True), True: torch.ones(3), 2: torch.ones(3).to_sparse()}
    found = private_average(sampler, sampler.draw(), told, 1., 3)
    assert not found.update.requires_grad and found.answered == (0,)
    assert found.refused == {True: 'not drawn in this round', 2: 'not a vector of numbers'}


@pytest.mark.parametrize('odd', [dict(answers=[torch.ones(4)]), dict(weights=[1.]*10),
                                 dict(rounds=[0]), dict(answers=torch.ones(3, 4)),
                                 dict(answers=None)])
def test_what_is_no_mapping_of_clients_is_refused_and_the_draw_stays_open(odd):
    sampler = ClientSampler(10, 5, 1., seed=0)
    draw = sampler.draw()
    with pytest.raises(InputError, match=f"`{next(iter(odd))}` must be a mapping"):
        private_average(sampler, draw, **{'answers': {}} | odd, clip_norm=1., dim=4)
    assert private_average(sampler, draw, {}, 1., 4).answered == ()
