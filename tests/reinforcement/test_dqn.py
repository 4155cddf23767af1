"The deep Q-network's loop: what it learns, what it names, what it leaves alone"
import numpy as np
import pytest
import torch

from dlcourse.core.errors import InputError
from dlcourse.reinforcement.dqn import (
    DQNConfig,
    DQNHistory,
    QNetwork,
    cartpole_recipe,
    train_dqn,
)
from dlcourse.reinforcement.environments import CartPole, VectorEnv
from dlcourse.reinforcement.grids import gridworld
from dlcourse.reinforcement.values import value_iteration


def small(**changes):
    return cartpole_recipe(**dict(total_steps=3_000, num_envs=16, start=300) | changes)


def test_it_learns_to_balance_for_longer():
    _, history = train_dqn(CartPole, small(total_steps=20_000, num_envs=32, start=1_000), 0)
    assert np.mean(history.returns[:50]) < 40 and np.mean(history.returns[-20:]) > 80
    assert max(history.targets) < 3 # 1 is the most that is possible


@pytest.mark.parametrize('changes', [dict(dueling=True, prioritized=True), {}])
def test_its_values_are_those_of_planning(changes):
    world, gamma = gridworld("S.. .#. ..G", hole=0.), .8
    config = DQNConfig(gamma=gamma, total_steps=10_000, explore_steps=8_000, epsilon=.3,
                       scale_rewards=False, batch_size=64, hidden=32, decay_steps=10_000,
                       num_envs=16, n_step=1, **changes)
    q, _ = train_dqn(lambda n: world.vector(n, max_steps=12, one_hot=True), config, 0)
    states = torch.eye(len(world.cells))
    want = value_iteration(world, gamma).max(1)
    got = q(states).max(1).values.detach().numpy()
    keep = ~world.terminal
    np.testing.assert_allclose(got[keep], want[keep], atol=.08)


def test_the_same_seed_gives_the_same_network_and_torchs_state_stays():
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    nets = [train_dqn(CartPole, small(), 3)[0] for _ in range(2)]
    assert torch.equal(before, torch.random.get_rng_state())
    other = train_dqn(CartPole, small(), 4)[0]
    for a, b, c in zip(*(net.parameters() for net in (*nets, other)), strict=True):
        assert torch.equal(a, b) and not torch.equal(a, c)


@pytest.mark.parametrize('changes', [
    dict(target_every=None), dict(double=False), dict(huber=False), dict(clip=None),
    dict(prioritized=True), dict(dueling=True), dict(scale_rewards=False), dict(obs_scale=None),
    dict(time_limit_ends=True), dict(n_step=5)])
def test_every_switch_runs(changes):
    q, history = train_dqn(CartPole, small(total_steps=1_500, **changes), 0)
    assert all(p.isfinite().all() for p in q.parameters()) and len(history.targets) >= 1


def test_a_limit_taken_for_an_end_shrinks_what_is_possible():
    "One action, a reward of 1 for each step, no end but the clock: worth 1, or less"
    class Clock(VectorEnv):
        num_actions, max_steps = 1, 5
        def _start(self, rng, count): return np.zeros((1, count))
        def _move(self, state, actions):
            n = self.num_envs
            return state.copy(), np.ones(n, np.float32), np.zeros(n, bool)
    worth = []
    for bug in (False, True):
        config = DQNConfig(gamma=.9, n_step=1, total_steps=6_000, num_envs=8, start=200,
                           batch_size=32, hidden=8, lr=3e-3, explore_steps=100,
                           decay_steps=6_000, time_limit_ends=bug)
        q, _ = train_dqn(Clock, config, 0)
        worth.append(float(q(torch.zeros(1, 1)).detach()))
    np.testing.assert_allclose(worth, [1, .1/(1 - .9*.8)], atol=.1)


def test_dueling_advantages_have_no_mean():
    net = QNetwork(3, 4, 8, dueling=True)
    obs = torch.randn(5, 3)
    value = net.value(net.body(obs))
    torch.testing.assert_close(net(obs).mean(-1, keepdim=True), value)
    assert net.act(obs.numpy()).shape == (5,)


def test_curves_are_means_of_the_last_episodes():
    history = DQNHistory([10, 20, 20, 40], [1., 2., 3., 10.], [])
    got = history.curve([5, 10, 20, 30, 40], window=2)
    assert np.isnan(got[0]) and got[1:].tolist() == [1, 2.5, 2.5, 6.5]


@pytest.mark.parametrize('changes, word', [
    (dict(num_envs=0), 'num_envs'), (dict(gamma=1.5), 'gamma'), (dict(n_step=0), 'n_step'),
    (dict(target_every=0), 'target_every'), (dict(epsilon=-1), 'epsilon'),
    (dict(batch_size=.5), 'batch_size')])
def test_recipes_that_cannot_be(changes, word):
    with pytest.raises(InputError, match=f'`{word}`'): cartpole_recipe(**changes)


def test_environments_that_cannot_be_learned_from():
    class Push(CartPole):
        num_actions = None
    class Gone(CartPole):
        def _observe(self, state): return np.full((self.num_envs, 4), np.nan, np.float32)
    class Old(CartPole):
        def step(self, actions): return super().step(actions)[:4]
    for env_of, word in ((Push, 'num_actions'), (Gone, '`obs`'), (Old, 'got 4')):
        with pytest.raises(InputError, match=word): train_dqn(env_of, small(), 0)
    for scale in ((1., 2.), (1., 1., 1., 0.)):
        with pytest.raises(InputError, match='obs_scale'): QNetwork(4, 2, obs_scale=scale)


def test_rewards_are_not_scaled_to_nothing():
    with pytest.raises(InputError, match='`gamma`'): small(gamma=1)
    assert small(gamma=1, scale_rewards=False).gamma == 1
    with pytest.raises(InputError, match='`lr`'): small(lr=float('nan'))


def test_it_learns_from_observations_in_float64():
    class Double(CartPole):
        def _observe(self, state): return state.T.astype(float)
    train_dqn(Double, small(total_steps=400))
