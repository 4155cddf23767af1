"Planning against enumeration and a published number; learning from steps against planning"
from itertools import product

import numpy as np
import pytest
import torch

from dlcourse.core.errors import InputError
from dlcourse.reinforcement.environments import CartPole
from dlcourse.reinforcement.grids import TabularWorld, gridworld
from dlcourse.reinforcement.values import (
    bellman_backup,
    double_q_targets,
    policy_iteration,
    policy_values,
    q_learning,
    q_targets,
    td_lambda,
    value_iteration,
)


def random_world(seed, states=4, actions=3):
    rng = np.random.default_rng(seed)
    t = rng.dirichlet(np.ones(states), (states, actions))
    return TabularWorld(t, rng.normal(size=(states, actions)), np.full(states, 1/states),
                        np.arange(states) == 0)


@pytest.mark.parametrize('seed', range(4))
def test_the_best_policy_is_the_best_of_all_of_them(seed):
    world, gamma = random_world(seed), .9
    every = [policy_values(world, np.array(p), gamma) for p in product(range(3), repeat=4)]
    best = np.max(every, 0) # One policy is the best in all states at once
    policy, rounds = policy_iteration(world, gamma)
    np.testing.assert_allclose(policy_values(world, policy, gamma), best, atol=1e-12)
    np.testing.assert_allclose(value_iteration(world, gamma).max(1), best, atol=1e-8)
    assert 1 <= rounds < 10


def test_a_policys_values_are_the_sums_of_its_rewards():
    world, gamma, policy = random_world(5), .8, np.array([0, 2, 1, 1])
    chances, total = np.eye(4), np.zeros(4)
    moves, rewards = world.transitions[range(4), policy], world.rewards[range(4), policy]
    for t in range(200):
        total += gamma**t*chances @ rewards
        chances = chances @ moves
    np.testing.assert_allclose(policy_values(world, policy, gamma), total, atol=1e-12)


def test_frozen_lake_is_worth_what_is_published():
    lake = gridworld("SFFF FHFH FFFH HFFG", 2/3, hole=0.)
    assert abs(value_iteration(lake, .99).max(1)[0] - .5420) < 1e-4


@pytest.mark.parametrize('gamma', [1, -.1, 2, 'a'])
def test_planning_needs_gamma_below_one(gamma):
    world = random_world(0)
    values = lambda w, g: policy_values(w, np.zeros(4, int), g) # noqa: E731
    for f in (value_iteration, policy_iteration, values):
        with pytest.raises(InputError, match='gamma'): f(world, gamma)


def test_lambda_one_is_the_whole_sum_of_rewards():
    rng = np.random.default_rng(0)
    states, rewards, values = rng.integers(0, 5, 40), rng.normal(size=40), rng.normal(size=5)
    got, want, after = td_lambda(states, rewards, .7, values, .9, 1.), np.zeros(5), .7
    for s, r in zip(states[::-1], rewards[::-1], strict=True):
        after = r + .9*after
        want[s] += after - values[s]
    np.testing.assert_allclose(got, want)


def test_td_settles_where_the_equations_say():
    world, policy, gamma = random_world(2), np.zeros(4, int), .9
    moves, values = world.transitions[range(4), policy], np.zeros(4)
    rng = np.random.default_rng(0)
    for k in range(4000):
        s, states, rewards = rng.integers(1, 4), [], []
        while s and len(states) < 20:
            states.append(s)
            rewards.append(world.rewards[s, 0])
            s = rng.choice(4, p=moves[s])
        values = values + 2/(k + 20)*td_lambda(np.array(states), np.array(rewards), values[s],
                                               values, gamma, .5)
    np.testing.assert_allclose(values, policy_values(world, policy, gamma), atol=.15)


def test_q_learning_finds_the_plan_and_a_limit_taken_for_an_end_does_not():
    lake, gamma = gridworld("S.. .#. ..G", .1), .9
    best = value_iteration(lake, gamma).max(1)
    env = lake.vector(32, max_steps=5)
    right = q_learning(env, len(best), gamma, 3000, epsilon=.5).max(1)
    wrong = q_learning(env, len(best), gamma, 3000, epsilon=.5, targets=lambda r, q, te, tr, g:
                       q_targets(r, q, te | tr, tr, g)).max(1)
    assert np.abs(right - best).max() < .05 < .1 < np.abs(wrong - best).max()


def test_q_learning_names_a_broken_environment():
    class Lost(CartPole):
        obs_size = 1
        def _observe(self, state): return np.full((self.num_envs, 1), np.nan, np.float32)
    class Zero(Lost):
        def reset(self, seed=None):
            super().reset(seed)
            return np.zeros((self.num_envs, 1)), {}
    with pytest.raises(InputError, match='`obs`'): q_learning(Zero(2), 1, .9, 5)


def test_double_targets_are_less_too_high():
    rng = torch.Generator().manual_seed(0)
    chooser, judge = torch.randn(2, 20_000, 6, generator=rng).unbind()
    zero, steps = torch.zeros(20_000), torch.ones(20_000, dtype=torch.int64)
    no = torch.zeros(20_000, dtype=torch.bool)
    assert float(double_q_targets(zero, judge, judge, no, steps, 1.).mean()) > 1.2
    assert abs(float(double_q_targets(zero, chooser, judge, no, steps, 1.).mean())) < .03


def test_backups_contract():
    world, rng = random_world(1), np.random.default_rng(0)
    a, b = rng.normal(size=(2, 4))
    apart = [bellman_backup(v, world.transitions, world.rewards, .7) for v in (a, b)]
    assert np.abs(apart[0] - apart[1]).max() <= .7*np.abs(a - b).max()


@pytest.mark.parametrize(('step', 'gamma'), [(-1e6, .99), (-1e9, .9)])
def test_large_costs_do_not_let_equal_actions_take_turns(step, gamma):
    world = gridworld('S....' + '\n.....'*3 + '\n....G', .2, step=step, goal=-step)
    policy, rounds = policy_iteration(world, gamma)
    values = policy_values(world, policy, gamma)
    assert rounds < 20
    np.testing.assert_allclose(bellman_backup(values, world.transitions, world.rewards, gamma)
                               .max(1), values, rtol=1e-9)


@pytest.mark.parametrize(('gamma', 'tolerance', 'name'), [
    (.9, -1, 'tolerance'), (.9, np.nan, 'tolerance'), (.99999, 1e-10, 'gamma')])
def test_backups_that_would_not_end_are_refused(gamma, tolerance, name):
    with pytest.raises(InputError, match=f'`{name}`'):
        value_iteration(gridworld('SG'), gamma, tolerance)


@pytest.mark.parametrize('policy', [-np.ones(4, int), np.zeros(3, int), np.zeros(4),
                                    np.full(4, 3)])
def test_what_is_no_policy_is_refused(policy):
    with pytest.raises(InputError, match='`policy`'): policy_values(random_world(0), policy, .9)


@pytest.mark.parametrize(('env', 'gamma', 'steps', 'name'), [
    (gridworld('S.G').vector(2, 9, one_hot=True), .9, 9, 'env'), (CartPole(2), .9, 9, 'env'),
    (gridworld('S.G').vector(2, 9), 3., 9, 'gamma'),
    (gridworld('S.G').vector(2, 9), .9, 0, 'steps')])
def test_worlds_without_numbers_of_states_are_refused(env, gamma, steps, name):
    with pytest.raises(InputError, match=f'`{name}`'): q_learning(env, 3, gamma, steps)
