"The rules of the lesson against NumPy, SciPy and what was published of them"
import numpy as np
import pytest
import torch
from scipy.stats import trim_mean

from dlcourse.core.errors import InputError
from dlcourse.federated.client_privacy import clip_updates
from dlcourse.federated.trust import (
    ROBUST_RULES,
    clip_update,
    krum,
    krum_scores,
    multi_krum,
    trimmed_mean,
    under_masks,
)


def crowd(n=12, dim=6, seed=0):
    return torch.randn(n, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize('n,trim', [(10, 1), (10, 4), (7, 3), (5, 0)])
def test_trimmed_mean_is_scipys(n, trim):
    u = crowd(n)
    np.testing.assert_allclose(trimmed_mean(u, trim), trim_mean(u.numpy(), trim/n + 1e-9, axis=0))


@pytest.mark.parametrize('liars', [1, 3])
@pytest.mark.parametrize('size', [10., -1e6])
def test_rules_survive_a_few_liars_and_the_mean_does_not(liars, size):
    honest = .1*crowd(14 - liars) + 1
    u = torch.cat([torch.full((liars, 6), size, dtype=torch.float64), honest])
    for name, rule in ROBUST_RULES.items():
        apart = float((rule(u, liars) - honest.mean(0)).abs().max())
        assert (apart > .5) if name == 'mean' else (apart < .3), name


def test_krum_picks_one_of_the_updates_and_multi_krum_averages():
    u = crowd()
    scores = krum_scores(u, 2)
    assert any(torch.equal(krum(u, 2), row) for row in u)
    assert torch.equal(krum(u, 2), u[scores.argmin()])
    best = np.argsort(scores.numpy())[:10]
    np.testing.assert_allclose(multi_krum(u, 2), u.numpy()[best].mean(0))


@pytest.mark.parametrize('order', range(3))
def test_the_order_of_clients_does_not_matter(order):
    u = crowd()
    mixed = u[torch.randperm(12, generator=torch.Generator().manual_seed(order))]
    for rule in ROBUST_RULES.values(): torch.testing.assert_close(rule(u, 2), rule(mixed, 2))


@pytest.mark.parametrize('name', ROBUST_RULES)
def test_rules_refuse_to_promise_what_they_cannot(name):
    "Half of the clients lie: a median says nothing; Krum needs 2f + 3"
    rule = ROBUST_RULES[name]
    if name == 'mean': torch.testing.assert_close(rule(crowd(1), 4), crowd(1)[0])
    else:
        for clients, attackers in ((1, 4), (8, 4), (10, 7), (2, 1)):
            with pytest.raises(InputError, match='`attackers`'): rule(crowd(clients), attackers)
    enough = 11 if 'Krum' in name else 9
    assert rule(crowd(enough), 4).isfinite().all()
    if 'Krum' in name:
        with pytest.raises(InputError, match='needs 11 updates; there are 10'): rule(crowd(10), 4)


@pytest.mark.parametrize('norm', [0., -1., float('nan'), float('inf')])
def test_a_norm_that_is_none_is_refused(norm):
    with pytest.raises(InputError, match='`clip_norm`'): clip_update(torch.ones(2), norm)


@pytest.mark.parametrize('u', [[3., 4], [0., 0], [float('nan'), 1], [float('-inf'), 1], [.1, 0]])
def test_one_update_and_all_at_once_are_clipped_alike(u):
    u = torch.tensor(u, dtype=torch.float64)
    torch.testing.assert_close(clip_update(u, 1.), clip_updates(u[None], 1.)[0])


def test_masks_cancel_whatever_the_numbers_of_clients():
    rng = np.random.default_rng(0)
    clients = [3, 8, 1, 20]
    pair = {frozenset((a, b)): rng.integers(0, 2**32, 30, dtype=np.uint32)
            for a in clients for b in clients if a < b}
    numbers = {c: rng.integers(0, 2**32, 30, dtype=np.uint32) for c in clients}
    sent = [under_masks(numbers[c], c, {o: pair[frozenset((c, o))] for o in clients if o != c})
            for c in clients]
    np.testing.assert_array_equal(sum(sent), sum(numbers.values()))


@pytest.mark.parametrize('bad', [float('nan'), float('inf'), -float('inf')])
@pytest.mark.parametrize('name', ROBUST_RULES)
def test_no_rule_elects_what_is_not_finite(name, bad):
    "Also called without the gate; where nothing is finite, an error"
    u, rule = crowd(), ROBUST_RULES[name]
    broken = torch.cat([u[:3].clone().fill_(bad), u])
    broken[0] = u[0]
    broken[0, 1] = bad # One number is enough
    torch.testing.assert_close(rule(broken, 2), rule(u, 2))
    for f in (krum, multi_krum): torch.testing.assert_close(f(broken, 2), f(u, 2))
    with pytest.raises(InputError, match='one that is finite'): rule(broken[:3], 0)


@pytest.mark.parametrize('name', ROBUST_RULES)
def test_rules_of_numbers_near_the_end_stay_finite(name):
    for dtype in (torch.float32, torch.float64):
        u = torch.full((9, 4), torch.finfo(dtype).max, dtype=dtype)
        u[:2] *= -1
        found = ROBUST_RULES[name](u, 2)
        assert found.dtype == dtype and found.isfinite().all()


def test_rules_take_names():
    u = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    for rule in (krum, multi_krum):
        assert torch.equal(rule(updates=u, attackers=2), rule(u, 2))
