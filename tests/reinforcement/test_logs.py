"Exact values against power sums, episodes written down, networks that know nothing of each other"
import numpy as np
import pytest
import torch
from torch import nn

from dlcourse.core.errors import InputError
from dlcourse.reinforcement.dreams import WorldModel, dream_policy
from dlcourse.reinforcement.environments import CartPole
from dlcourse.reinforcement.grids import gridworld
from dlcourse.reinforcement.logs import (
    SCALE,
    ManyNets,
    collected,
    finite_value,
    fit_nets,
    logged_episodes,
)

WORLD = gridworld("S.. .#H ..G", slip=.2, step=-.1)
POLICY = np.random.default_rng(0).dirichlet(np.ones(4), len(WORLD.start))


def left(obs): return np.zeros(len(obs), int)


def test_a_finite_value_is_the_sum_over_all_paths():
    p = np.einsum('sa,sat->st', POLICY, WORLD.transitions)
    r = (POLICY*WORLD.rewards).sum(1)
    want = sum(.9**t*WORLD.start @ np.linalg.matrix_power(p, t) @ r for t in range(9))
    assert np.isclose(finite_value(WORLD, POLICY, .9, 9), want)


def test_logged_episodes_earn_what_is_expected_and_stop_at_the_end():
    log = logged_episodes(WORLD, POLICY, 6000, 9, seed=1)
    returns = (log.rewards*.9**np.arange(9)).sum(1)
    error = returns.std()/6000**.5
    assert abs(returns.mean() - finite_value(WORLD, POLICY, .9, 9)) < 4*error
    dead = ~log.alive
    assert dead.any() and not log.rewards[dead].any() and (log.chances[dead] == 1).all()
    assert np.array_equal(log.alive, ~WORLD.terminal[log.states[:, :-1]])
    own = POLICY[log.states[:, :-1], log.actions]
    assert np.allclose(log.chances[log.alive], own[log.alive])


def test_each_network_is_trained_as_if_alone():
    x, y = torch.randn(1, 60, 3, generator=torch.Generator().manual_seed(0)), torch.ones(60)

    def trained(count):
        nets = ManyNets(count, (3, 5, 1), seed=4)
        def loss(rows): return (nets(x.expand(count, -1, -1))[..., 0] - y).square().mean(1)
        return fit_nets(nets, loss, 60, 20)
    for many, one in zip(trained(3).tables, trained(1).tables, strict=True):
        assert torch.allclose(many[0], one[0], atol=1e-6)


def test_a_network_is_torchs_with_the_same_weights():
    nets = ManyNets(2, (3, 7, 4, 2))
    x = torch.randn(2, 6, 3)
    for k in range(2):
        layers = []
        for w, b in zip(nets.tables[::2], nets.tables[1::2], strict=True):
            linear = nn.Linear(*w.shape[1:])
            linear.weight.data, linear.bias.data = w[k].T, b[k, 0]
            layers += [linear, nn.ReLU()]
        want = nn.Sequential(*layers[:-1])(x[k])
        assert torch.allclose(nets(x)[k], want, atol=1e-6)


def test_collected_steps_keep_the_true_last_observation():
    log = collected(CartPole, left, 3, 200, copies=4)
    assert log.obs.shape == (3, 200, 4) and log.actions.shape == (3, 200)
    far = (log.next_obs[..., 0].abs() > 2.4) | (log.next_obs[..., 2].abs() > 12*2*np.pi/360)
    assert torch.equal(far, log.terminated) and log.terminated.any()
    cut = collected(lambda n: CartPole(n, 5), left, 2, 10)
    assert not cut.terminated.any()


def test_random_state_is_left_alone():
    torch.manual_seed(0)
    want = torch.get_rng_state()
    log = collected(CartPole, left, 2, 40, copies=4, random=1.)
    model = WorldModel(log, updates=3)
    dream_policy(model, log.obs[:, :2]/SCALE, horizon=3, rounds=1, crowd=9)
    assert torch.equal(torch.get_rng_state(), want)


def test_a_model_learns_what_happens_next():
    log = collected(CartPole, left, 2, 2000, copies=20, random=1.)
    model = WorldModel(log, updates=400)
    after = model.step(log.obs/SCALE, log.actions)
    change = (log.next_obs - log.obs)/SCALE
    wrong = (after - log.next_obs/SCALE).square().mean((1, 2))
    assert (wrong < .05*change.square().mean((1, 2))).all()


def test_what_cannot_be_is_refused_by_name():
    for bad in (np.ones((9, 4)), POLICY[:, :2], np.full(POLICY.shape, np.nan)):
        with pytest.raises(InputError, match='`policy`'): finite_value(WORLD, bad, .9, 3)
    with pytest.raises(InputError, match='`horizon`'): finite_value(WORLD, POLICY, .9, 0)
    with pytest.raises(InputError, match='`n`'): logged_episodes(WORLD, POLICY, 0, 3)
    with pytest.raises(InputError, match='`steps`'): collected(CartPole, left, 2, 15, copies=10)
    with pytest.raises(InputError, match='`count`'): ManyNets(0, (1, 1))
    nets = ManyNets(1, (1, 1))
    with pytest.raises(InputError, match='the loss is'):
        fit_nets(nets, lambda rows: nets(torch.full((1, 2, 1), np.nan)).mean((1, 2)), 2, 3)
    log = collected(CartPole, left, 2, 1)
    with pytest.raises(InputError, match='`log`'): WorldModel(log, updates=1)
