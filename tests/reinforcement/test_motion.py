"The pendulum against Gymnasium's, the arm against its own geometry"
import numpy as np
import pytest

from dlcourse.core.errors import InputError
from dlcourse.reinforcement.environments import checked_step
from dlcourse.reinforcement.motion import Pendulum, Reacher


def test_the_pendulum_is_gymnasiums():
    gymnasium = pytest.importorskip('gymnasium')
    theirs, ours = gymnasium.make('Pendulum-v1').unwrapped, Pendulum(1)
    rng = np.random.default_rng(0)
    ours.reset(seed=1)
    theirs.reset()
    theirs.state = ours.state[:, 0].copy()
    for _ in range(199):
        action = rng.uniform(-2, 2, 1).astype(np.float32)
        obs, reward, *_ = theirs.step(action)
        found, gained, *_ = ours.step(action[None])
        np.testing.assert_allclose(found[0], obs, atol=1e-5)
        assert abs(gained[0] - reward) < 1e-5


@pytest.mark.parametrize('world', [Pendulum, Reacher])
def test_episodes_end_by_time_alone(world):
    env = world(3, 5)
    env.reset(seed=0)
    for k in range(5):
        _, _, terminated, truncated, _ = checked_step(env, np.zeros((3, env.action_size)))
        assert not terminated.any() and truncated.all() == (k == 4)


def test_copies_have_numbers_of_their_own():
    env = Reacher(2, mass=[1., 2.])
    env.reset(seed=0)
    env.state[:, 1] = env.state[:, 0]
    obs, *_ = env.step(np.ones((2, 2)))
    assert np.allclose(obs[0, 4:6], 2*obs[1, 4:6]) and (obs[0, 4:6] > 0).all()


def test_the_hand_is_where_the_links_lead():
    hand = Reacher.hand(np.array([[0., np.pi/2], [0., -np.pi/2]]))
    np.testing.assert_allclose(hand, [[1., .5], [0., .5]], atol=1e-12)


def test_the_reward_is_the_distance_and_the_torque():
    env = Reacher(1)
    env.reset(seed=0)
    obs, reward, *_ = env.step(np.array([[.5, 0.]]))
    assert abs(reward[0] + np.linalg.norm(obs[0, 8:10]) + .0025) < 1e-6


@pytest.mark.parametrize('options', [dict(mass=0.), dict(length=[1., -1.]), dict(mass='heavy'),
                                     dict(mass=[1., 2, 3])])
def test_what_is_no_mass_is_refused(options):
    with pytest.raises(InputError, match=next(iter(options))): Pendulum(2, **options)


@pytest.mark.parametrize('actions', [np.full((1, 1), 2.1), np.zeros(1), np.full((1, 1), np.nan)])
def test_torques_outside_are_refused(actions):
    env = Pendulum(1)
    env.reset(seed=0)
    with pytest.raises(InputError, match='`actions`'): env.step(actions)


def test_the_callers_masses_may_change():
    mass = np.ones(2)
    env = Pendulum(2, mass=mass)
    mass[0] = 99
    assert env.mass.tolist() == [1, 1]


def test_the_gap_is_told_along_the_first_link_and_across():
    env = Reacher(20)
    obs, _ = env.reset(seed=0)
    turn = np.exp(-1j*env.state[0])
    x, y = env.hand(env.state) - env.state[4:]
    want = (x + 1j*y)*turn
    np.testing.assert_allclose(obs[:, 8:], np.stack([want.real, want.imag], 1), atol=1e-6)
