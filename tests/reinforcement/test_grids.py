"Worlds of tables against Gymnasium's FrozenLake, and what is drawn from them"
import numpy as np
import pytest

from dlcourse.core.errors import InputError
from dlcourse.core.figures import panels
from dlcourse.reinforcement.grids import TabularWorld, draw_grid, gridworld

LAKE = "SFFF FHFH FFFH HFFG"


@pytest.mark.parametrize('slippery', [True, False])
def test_the_tables_are_frozen_lakes(slippery):
    gymnasium = pytest.importorskip('gymnasium')
    env = gymnasium.make('FrozenLake-v1', is_slippery=slippery).unwrapped
    world = gridworld(LAKE, 2/3*slippery, hole=0.)
    for s in range(16):
        for a in range(4):
            chances, reward = np.zeros(16), 0.
            for p, after, r, _ in env.P[s][a]:
                chances[after] += p
                reward += p*r
            np.testing.assert_allclose(world.transitions[s, a], chances)
            np.testing.assert_allclose(world.rewards[s, a], reward)
    np.testing.assert_array_equal(world.start, env.initial_state_distrib)


def test_walls_holes_and_costs():
    world = gridworld("S#G\n..H", hole=-2., step=-.1)
    assert len(world.cells) == 5 and world.cells[1] == (0, 2)
    s, below, hole = 0, 2, 4
    np.testing.assert_allclose(world.rewards[s], -.1) # Into the wall, out of the map: it stays
    assert world.transitions[s, 2, s] == 1 and world.transitions[s, 1, below] == 1
    assert world.terminal.tolist() == [False, True, False, False, True]
    assert world.rewards[3, 2] == -2 and (world.rewards[hole] == 0).all()
    assert (world.transitions[hole, :, hole] == 1).all()


def test_what_is_drawn_follows_the_tables():
    world = gridworld(LAKE, .4)
    env = world.vector(4000)
    obs, _ = env.reset(seed=0)
    assert (obs == 0).all() and obs.shape == (4000, 1)
    env.state[:] = 14
    obs, reward, terminated, _, info = env.step(np.full(4000, 2))
    shares = np.bincount(info['final_obs'][:, 0].astype(int), minlength=16)/4000
    np.testing.assert_allclose(shares, world.transitions[14, 2], atol=.03)
    np.testing.assert_array_equal(terminated, info['final_obs'][:, 0] == 15)
    np.testing.assert_allclose(reward, world.rewards[14, 2])
    np.testing.assert_array_equal(obs[terminated], 0)


def test_one_hot_and_a_time_limit():
    env = gridworld(LAKE).vector(2, max_steps=3, one_hot=True)
    obs, _ = env.reset(seed=0)
    np.testing.assert_array_equal(obs, np.eye(16)[[0, 0]])
    for _ in range(3): *_, truncated, _ = env.step([0, 3])
    assert truncated.all() and env.obs_size == 16
    with pytest.raises(InputError, match='actions'): env.step([0, 4])


@pytest.mark.parametrize('text, slip, word', [
    ('...G', 0, 'start'), ('S..', 0, 'goal'), ('SG', 2, 'slip'), ('SG', -1, 'slip')])
def test_drawings_that_are_none(text, slip, word):
    with pytest.raises(InputError, match=word): gridworld(text, slip)


@pytest.mark.parametrize('transitions, rewards, start, word', [
    (np.eye(2)[:, None], np.zeros((2, 2)), [1, 0], 'rewards'),
    (np.eye(2), np.zeros((2, 1)), [1, 0], 'transitions'),
    (np.eye(2)[:, None]/2, np.zeros((2, 1)), [1, 0], 'transitions.*add up'),
    (np.eye(2)[:, None], np.zeros((2, 1)), [1, 1], 'start.*add up')])
def test_tables_that_do_not_fit(transitions, rewards, start, word):
    with pytest.raises(InputError, match=word):
        TabularWorld(transitions, rewards, start, [False, True])


def test_a_drawing_has_arrows_where_there_is_something_to_do():
    world = gridworld('S.G')
    _, (ax,) = panels(1)
    draw_grid(world, ax, [.1, .2, 0], [2, 2, 0])
    assert [t.get_text() for t in ax.texts] == ['0.10', '', '0.20', '', '0.00', 'end']


def test_tables_of_the_caller_stay_as_they_are():
    moves, rewards = np.full((2, 1, 2), .5), np.ones((2, 1))
    TabularWorld(moves, rewards, [1, 0], [False, True])
    assert (moves == .5).all() and (rewards == 1).all()


@pytest.mark.parametrize(('reward', 'terminal'), [(np.nan, [False, True]), (1., [True]),
                                                  (np.inf, [False, True])])
def test_rewards_are_finite_and_every_state_ends_or_not(reward, terminal):
    with pytest.raises(InputError, match='`terminal`'):
        TabularWorld(np.full((2, 1, 2), .5), np.full((2, 1), reward), [1, 0], terminal)
