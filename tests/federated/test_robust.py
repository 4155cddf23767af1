"A small federation against clients trained one by one; attacks; a gate"
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from dlcourse.core.errors import InputError
from dlcourse.federated.robust import (
    SmallFederation,
    among_finite,
    as_learned,
    boosted,
    checked_updates,
    coordinate_median,
    federated_rounds,
    flipped_sign,
    geometric_median,
    little_is_enough,
    not_numbers,
    scaled_noise,
)
from dlcourse.training.zoo import mlp


def rng(seed=0): return torch.Generator().manual_seed(seed)


def small(steps=3):
    x = torch.rand(60, 5, generator=rng())
    y = (x[:, 0] > x[:, 1]).long()
    rows = torch.randperm(60, generator=rng(1)).reshape(6, 10)
    return SmallFederation(mlp(5, 7, 2), x, y, rows, steps=steps), x, y, rows


def test_updates_are_those_of_clients_trained_one_by_one():
    fed, x, y, rows = small()
    weights = fed.weights(3)
    for own, update in zip(rows, fed.updates(weights), strict=True):
        named = {k: v.clone().requires_grad_() for k, v in fed.named(weights).items()}
        optimizer = torch.optim.SGD(named.values(), lr=fed.lr)
        for _ in range(fed.steps):
            optimizer.zero_grad()
            out = torch.func.functional_call(fed.model, named, (x[own],))
            F.cross_entropy(out, y[own]).backward()
            optimizer.step()
        after = torch.cat([v.detach().flatten() for v in named.values()])
        torch.testing.assert_close(update, after - weights, rtol=1e-4, atol=1e-6)


def test_the_mean_of_one_step_is_centralized_training():
    fed, x, y, rows = small(steps=1)
    weights = fed.weights(0)
    whole = SmallFederation(fed.model, x, y, rows.reshape(1, -1), steps=1)
    torch.testing.assert_close(fed.updates(weights).mean(0), whole.updates(weights)[0])


def test_weights_of_a_seed_leave_the_global_state_alone():
    fed, *_ = small()
    before = torch.get_rng_state()
    assert torch.equal(fed.weights(5), fed.weights(5))
    assert torch.equal(before, torch.get_rng_state()) and len(fed.weights()) == fed.dim


@pytest.mark.parametrize('bad,reason', [
    (None, 'missing'), ([float('nan'), 1.], 'not finite'), ([float('inf'), 1.], 'not finite'),
    ([1, 2], 'not floats'), ([1.], '1 numbers in place of 2'), ([[1., 2]], 'not a vector'),
    ('word', 'not a vector'), (torch.tensor([True, False]), 'not floats')])
def test_what_may_not_enter(bad, reason):
    found = checked_updates({'a': [1., 2], 'b': bad, 'c': np.array([3., 4])})
    assert found.clients == ('a', 'c') and reason in found.refused['b']
    assert found.updates.isfinite().all() and found.updates.shape == (2, 2)


def test_nobody_left():
    with pytest.raises(InputError, match='`updates`.*missing'): checked_updates([None, None])
    with pytest.raises(InputError, match='none at all'): checked_updates([])


def test_zeros_may_enter():
    assert checked_updates([[0., 0], [0., 0]]).clients == (0, 1)


def test_medians_against_numpy_and_the_definition():
    for n in (1, 4, 7):
        u = torch.randn(n, 5, generator=rng(n), dtype=torch.float64)
        np.testing.assert_allclose(coordinate_median(u), np.median(u, 0))
        point = geometric_median(u, 500)
        cost = (u - point).norm(dim=1).sum()
        for _ in range(50):
            near = point + .05*torch.randn(5, generator=rng(_), dtype=torch.float64)
            assert cost <= (u - near).norm(dim=1).sum() + 1e-6


def test_attacks():
    honest, own = torch.randn(9, 4, generator=rng()), torch.ones(3, 4)
    torch.testing.assert_close(flipped_sign(honest, own, rng())[1], -4*honest.mean(0))
    torch.testing.assert_close(boosted(honest, own, rng(), 3.), 3*own)
    assert not_numbers(honest, own, rng()).isnan().all() and as_learned(honest, own, rng()) is own
    z = (little_is_enough(honest, own, rng(), 2.) - honest.mean(0))/honest.std(0)
    torch.testing.assert_close(z, -2*torch.ones(3, 4))
    assert scaled_noise(honest, own, rng()).std() > 5*honest.std()


@pytest.mark.parametrize('attack', [not_numbers, lambda h, o, g: o*float('inf'),
                                    lambda h, o, g: torch.full_like(o, 3e38)])
def test_weights_stay_finite_whatever_is_sent(attack):
    fed, *_ = small()
    for rule in (lambda u: u.mean(0), lambda u: u.sum(0), coordinate_median, geometric_median):
        end = federated_rounds(fed, fed.weights(), rule, rounds=3, attackers=5, attack=attack)
        assert end.isfinite().all()


def test_without_the_gate_nan_spreads():
    fed, *_ = small()
    end = federated_rounds(fed, fed.weights(), lambda u: u.mean(0), rounds=1, attackers=1,
                           attack=not_numbers, gate=False)
    assert end.isnan().all()


def test_odd_networks_are_refused():
    x, y = torch.rand(4, 3), torch.zeros(4, dtype=torch.long)
    with pytest.raises(InputError, match='`model` must be linear layers'):
        SmallFederation(torch.nn.Conv1d(1, 1, 1), x, y, torch.arange(4).reshape(2, 2))
    with pytest.raises(InputError, match='`rows` .* twice'):
        SmallFederation(torch.nn.Linear(3, 2), x, y, torch.tensor([[0, 1], [2, 2]]))


def test_every_kind_of_array_is_taken_or_refused_with_a_reason():
    given = {'fine': torch.ones(3), 'sparse': torch.ones(3).to_sparse(), 'text': ['a', 'b', 'c'],
             'meta': torch.ones(3, device='meta'), 'eight': torch.ones(3).to(torch.float8_e4m3fn),
             'bytes': np.ones(3, '>f4'), 'backwards': np.arange(3.)[::-1], 'none': None}
    found = checked_updates(given)
    assert found.clients == ('fine', 'bytes', 'backwards')
    assert found.updates[2].tolist() == [2., 1., 0.]
    assert found.refused['eight'].startswith('of eight bits')
    assert {found.refused[k] for k in ('sparse', 'text', 'meta')} == {'not a vector of numbers'}


@pytest.mark.parametrize('dim', ['1', 0, 1.5])
def test_a_length_is_a_whole_number(dim):
    with pytest.raises(InputError, match='`dim`'): checked_updates([torch.ones(1)], dim=dim)


@pytest.mark.parametrize('attackers', [-1, 6, 9])
def test_somebody_must_be_honest(attackers):
    fed = small()[0]
    with pytest.raises(InputError, match='`attackers`'):
        federated_rounds(fed, fed.weights(0), lambda u: u.mean(0), rounds=1, attackers=attackers)


@pytest.mark.parametrize('size', [1e30, 3e38])
def test_medians_of_large_numbers_are_finite(size):
    for u in (torch.full((4, 2), size), size*torch.tensor([[1., 1], [-1, 1], [1, -1], [1, 0]])):
        assert coordinate_median(u).isfinite().all() and geometric_median(u).isfinite().all()


@pytest.mark.parametrize('bad', [float('nan'), float('inf'), -float('inf')])
def test_the_geometric_median_leaves_out_what_is_not_finite(bad):
    u = torch.randn(8, 5, generator=rng())
    broken = torch.cat([torch.full((1, 5), bad), u])
    torch.testing.assert_close(geometric_median(broken), geometric_median(u))
    with pytest.raises(InputError, match='one that is finite'): geometric_median(broken[:1])


def test_masked_updates_and_none_at_all_are_refused():
    hidden = np.ma.masked_array([1., 2, 3], [1, 0, 0])
    assert checked_updates([hidden, torch.ones(3)]).clients == (1,)
    with pytest.raises(InputError, match='`updates` must be a list'): checked_updates(None)


def test_the_median_has_no_majority_that_is_not_finite():
    u = torch.randn(9, 4, generator=rng())
    broken = u.clone()
    broken[:6] = float('nan')
    torch.testing.assert_close(coordinate_median(broken), coordinate_median(u[6:]))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_rule_among_the_finite(dtype):
    u = torch.randn(7, 4, generator=rng()).to(dtype)
    broken = torch.cat([u, torch.full((2, 4), float('inf')).to(dtype)])
    found = among_finite(lambda rows, more: rows.sum(0)*more)(broken, 2)
    assert found.dtype == dtype
    torch.testing.assert_close(found.double(), 2*u.double().sum(0), atol=.1, rtol=.01)
    most = torch.full((3, 2), torch.finfo(dtype).max, dtype=dtype)
    assert torch.equal(among_finite(lambda rows: rows.mean(0))(most), most[0])
    assert torch.equal(among_finite(lambda rows: rows[0])(0*u), 0*u[0])
    with pytest.raises(InputError, match='one that is finite'):
        among_finite(lambda rows: rows[0])(broken[7:])
