"Environments against Gymnasium's, guards against broken ones, returns by hand"
import numpy as np
import pytest

from dlcourse.core.errors import InputError
from dlcourse.reinforcement.control import train_control
from dlcourse.reinforcement.dqn import DQNConfig, train_dqn
from dlcourse.reinforcement.environments import (
    CartPole,
    VectorEnv,
    checked_actions,
    checked_reset,
    checked_step,
    episode_returns,
    film,
    returns_of,
)
from dlcourse.reinforcement.grids import gridworld
from dlcourse.reinforcement.logs import collected
from dlcourse.reinforcement.motion import Pendulum
from dlcourse.reinforcement.policies import Collector
from dlcourse.reinforcement.values import q_learning


def their_episode(start, actions):
    "Observations, and how it ended, of one of Gymnasium's own carts"
    gymnasium = pytest.importorskip('gymnasium')
    env = gymnasium.make('CartPole-v1')
    env.reset(seed=0)
    env.unwrapped.state = start
    seen = []
    for a in actions:
        obs, reward, terminated, truncated, _ = env.step(int(a))
        seen.append((obs, reward, terminated, truncated))
        if terminated or truncated: break
    return seen


def test_trajectories_are_gymnasiums_bit_by_bit():
    rng, n = np.random.default_rng(0), 40
    env = CartPole(n)
    env.reset(seed=3)
    starts = env.state.copy()
    # Some pushed at random, some balanced long enough to meet the time limit
    actions, seen, alive = [], [[] for _ in range(n)], np.ones(n, bool)
    obs = env._observe(env.state)
    while alive.any():
        good = (obs[:, 2] + .5*obs[:, 3] + .02*obs[:, 0] + .05*obs[:, 1] > 0).astype(int)
        a = np.where(np.arange(n) % 2, good, rng.integers(0, 2, n))
        obs, reward, terminated, truncated, info = env.step(a)
        actions.append(a)
        for i in alive.nonzero()[0]:
            seen[i].append((info['final_obs'][i], reward[i], terminated[i], truncated[i]))
        alive &= ~(terminated | truncated)
    longest = max(map(len, seen))
    assert longest == 500
    for i in range(n):
        want = their_episode(starts[:, i], [a[i] for a in actions])
        assert len(want) == len(seen[i])
        for ours, theirs in zip(seen[i], want, strict=True):
            np.testing.assert_array_equal(ours[0], theirs[0])
            assert ours[1:] == theirs[1:]


def test_the_same_seed_starts_like_gymnasiums_vector():
    gymnasium = pytest.importorskip('gymnasium')
    env = gymnasium.make_vec('CartPole-v1', 5, vectorization_mode='vector_entry_point')
    np.testing.assert_array_equal(CartPole(5).reset(seed=7)[0], env.reset(seed=7)[0])


def test_an_ended_episode_begins_anew_in_the_same_step():
    env = CartPole(4, max_steps=6)
    obs, _ = env.reset(seed=0)
    for t in range(1, 14):
        before = env.state
        kept = before.copy()
        obs, reward, terminated, truncated, info = env.step([1, 0, t % 2, 1])
        np.testing.assert_array_equal(before, kept)
        assert truncated.all() == (t % 6 == 0) and not terminated.any()
        assert (np.abs(obs) <= .05).all() == (t % 6 == 0)
        assert np.array_equal(obs, info['final_obs']) == (t % 6 != 0)
        assert (env.steps == t % 6).all()
        assert obs.dtype == info['final_obs'].dtype == np.float32


def test_time_is_up_for_each_at_its_own_moment():
    env, rng = CartPole(8, max_steps=30), np.random.default_rng(0)
    env.reset(seed=0)
    age = np.zeros(8, int)
    for _ in range(300):
        _, _, terminated, truncated, _ = env.step(rng.integers(0, 2, 8))
        age += 1
        np.testing.assert_array_equal(truncated, age >= 30)
        age[terminated | truncated] = 0
        np.testing.assert_array_equal(env.steps, age)
    env.reset()
    assert not env.steps.any()


class Still(VectorEnv):
    "Nothing happens; numbers are actions"
    obs_size, action_size, low, high = 2, 3, -2., 2.
    def _start(self, rng, count): return np.zeros((2, count))
    def _move(self, state, actions):
        n = self.num_envs
        return state.copy(), actions.sum(1).astype(np.float32), np.zeros(n, bool)


@pytest.mark.parametrize('env, actions, word', [
    (CartPole(2), [0, 2], 'from 0 to 1'), (CartPole(2), [-1, 0], 'from 0 to 1'),
    (CartPole(2), [0., 1.], 'whole numbers'), (CartPole(2), [0], 'whole numbers'),
    (CartPole(2), [[0, 1]], 'whole numbers'), (Still(2), [[0, 0, 3]]*2, 'from -2.0 to 2.0'),
    (Still(2), [[0, 0, np.nan]]*2, 'from -2.0'), (Still(2), [0, 0], 'shape'),
    (Still(2), [['a']*3]*2, 'numbers')])
def test_actions_that_are_none(env, actions, word):
    env.reset(seed=0)
    for step in (env.step, lambda a: checked_step(env, a), lambda a: checked_actions(env, a)):
        with pytest.raises(InputError, match=f'`actions`.*{word}'): step(actions)


def test_continuous_actions_and_no_time_limit():
    env = Still(2)
    env.reset(seed=0)
    for _ in range(1000): _, reward, terminated, truncated, _ = env.step([[2, -2, 1], [0, 0, .5]])
    np.testing.assert_array_equal(reward, [1, .5])
    assert not truncated.any() and not terminated.any()
    with pytest.raises(InputError, match='reset'): Still(2).step(np.zeros((2, 3)))
    with pytest.raises(InputError, match='num_envs'): CartPole(0)
    with pytest.raises(InputError, match='max_steps'): CartPole(1, 0)


def broken(change):
    "A cart whose step is spoiled"
    class Broken(CartPole):
        def step(self, actions): return change(*super().step(actions))
    env = Broken(3, max_steps=2)
    env.reset(seed=0)
    env.step([0, 0, 0])
    return env


def nan(obs):
    obs = obs.copy()
    obs[1, 2] = np.nan
    return obs


@pytest.mark.parametrize('change, word', [
    (lambda o, r, te, tr, i: (o, r, te | tr, i), 'got 4'),
    (lambda o, r, te, tr, i: [o], 'got list'),
    (lambda o, r, te, tr, i: (nan(o), r, te, tr, i), '`obs`.*environment 1'),
    (lambda o, r, te, tr, i: (o, r, te, tr, {'final_obs': nan(o)}), '`final_obs`.*environment 1'),
    (lambda o, r, te, tr, i: (o[:2], r, te, tr, i), '`obs`.*shape'),
    (lambda o, r, te, tr, i: (o, r[:, None], te, tr, i), '`reward`.*shape'),
    (lambda o, r, te, tr, i: (o, r*np.inf, te, tr, i), '`reward`.*finite'),
    (lambda o, r, te, tr, i: (o.astype(str), r, te, tr, i), '`obs`.*numbers'),
    (lambda o, r, te, tr, i: (o, r, te.astype(int), tr, i), 'booleans'),
    (lambda o, r, te, tr, i: (o, r, te, tr, {}), 'final_obs')])
def test_environments_that_somebody_broke(change, word):
    with pytest.raises(InputError, match=word): checked_step(broken(change), [0, 1, 0])


def test_a_sound_environment_passes_the_guard_unchanged():
    ours, same = CartPole(3), CartPole(3)
    ours.reset(seed=0), same.reset(seed=0)
    for _ in range(60):
        for got, want in zip(checked_step(ours, [0, 1, 1])[:4], same.step([0, 1, 1])[:4],
                             strict=True):
            np.testing.assert_array_equal(got, want)


def test_returns_are_sums_that_stop_at_ends_and_go_on_at_cuts():
    rng, gamma, steps, n = np.random.default_rng(0), .9, 30, 5
    rewards, values = rng.normal(size=(2, steps, n))
    terminated, truncated = rng.random((2, steps, n)) < .15
    got = returns_of(rewards, values, terminated, truncated, gamma)
    for i in range(n):
        for t in range(steps):
            total = 0.
            for k in range(t, steps):
                total += gamma**(k - t)*rewards[k, i]
                if terminated[k, i]: break
                if truncated[k, i] or k == steps - 1:
                    total += gamma**(k - t + 1)*values[k, i]
                    break
            np.testing.assert_allclose(got[t, i], total)


def test_episodes_are_counted_without_preferring_short_ones():
    class Two(VectorEnv):
        "The first copy's episodes last 1 step, the second's 50"
        num_actions = 1
        def _start(self, rng, count): return np.zeros((1, count))
        def _move(self, state, actions):
            state = state + 1
            return state, np.ones(2, np.float32), state[0] >= np.array([1, 50])
    returns = episode_returns(Two(2), lambda obs: np.zeros(2, int), 5, seed=0)
    assert returns.tolist() == [1, 1, 1, 50, 50]


def test_a_film_has_a_place_for_each_frame():
    fig = film([np.zeros((2, 2)), lambda ax: CartPole.draw([0, 0, .1, 0], ax), np.ones((2, 2))], 2,
               ['a'])
    titles = {fig.axes[0].get_title(loc=place) for place in ('left', 'center')} # By the style
    assert len(fig.axes) == 4 and titles == {'a', ''} and fig.axes[1].patches
    with pytest.raises(InputError, match='frames'): film([])


def test_a_policy_that_never_arrives_is_told_so():
    with pytest.raises(InputError, match='`max_steps`'):
        episode_returns(gridworld('S..\n..G').vector(1), lambda obs: np.zeros(1, int), 1, most=50)


def test_returns_of_whole_rewards_and_of_no_steps():
    no = np.zeros((3, 1), bool)
    found = returns_of(np.ones((3, 1), int), np.zeros((3, 1)), no, no, .5)
    np.testing.assert_array_equal(found.T, [[1.75, 1.5, 1]])
    assert returns_of(np.ones((0, 1)), np.zeros((0, 1)), no[:0], no[:0], .5).shape == (0, 1)


@pytest.mark.parametrize('seed', [1.5, -1])
def test_seeds_are_whole_numbers(seed):
    with pytest.raises(InputError, match='`seed`'): CartPole(1).reset(seed=seed)


@pytest.mark.parametrize('final', [None, 'list'])
def test_what_was_seen_last_is_an_array(final):
    class Odd(CartPole):
        def step(self, actions):
            *came, info = super().step(actions)
            return *came, final and {'final_obs': came[0].tolist()}
    env = Odd(1)
    env.reset(seed=0)
    if final:
        assert checked_step(env, np.zeros(1, int))[4]['final_obs'].shape == (1, 4)
    else:
        with pytest.raises(InputError, match='`info`'): checked_step(env, np.zeros(1, int))


def test_other_kinds_of_environments_are_told_what_is_missing():
    with pytest.raises(InputError, match='`env`'): checked_step(object(), np.zeros(1, int))

OLD_RESETS = {
    'NaN': (lambda obs, info: (obs*[[1], [np.nan]], info), '`obs`.*environment 1'),
    'observations alone': (lambda obs, info: obs, '`env.reset` must return obs and a dict'),
    'no info': (lambda obs, info: (obs, None), '`env.reset` must return obs and a dict'),
    'another shape': (lambda obs, info: (obs[:1], info), '`obs`.*shape'),
    'words': (lambda obs, info: (obs.astype(str), info), '`obs`.*numbers')}

class Line(VectorEnv):
    "The number of a state is all that is seen"
    num_actions = 2
    def _start(self, rng, count): return np.ones((1, count))

def started(change, base):
    "A world whose reset is spoiled"
    class Broken(base):
        def reset(self, seed=None): return change(*super().reset(seed))
    return Broken

@pytest.mark.parametrize('name', OLD_RESETS)
def test_a_start_that_somebody_broke_is_named_by_all_who_train(name):
    change, word = OLD_RESETS[name]
    cart, bar, line = (started(change, base) for base in (CartPole, Pendulum, Line))
    for train in (lambda: checked_reset(cart(2)), lambda: episode_returns(cart(2), np.zeros, 2),
                  lambda: train_dqn(cart, DQNConfig(num_envs=2)), lambda: Collector(cart(2), 0),
                  lambda: q_learning(line(2), 3, .9, 1), lambda: train_control(bar(2), members=2),
                  lambda: collected(cart, lambda obs: np.zeros(2, int), 1, 2, copies=2)):
        with pytest.raises(InputError, match=word): train()
