"Squashed actions against torch, members against single agents, bounds against the arm itself"
import numpy as np
import pytest
import torch
from oracles import same_as_torch
from torch import nn

from dlcourse.core.errors import InputError
from dlcourse.reinforcement.control import (
    ControlAgent,
    ControlConfig,
    MemberMLP,
    critic_target,
    follow,
    safe_torque,
    squashed_normal,
    train_control,
)
from dlcourse.reinforcement.environments import CartPole, VectorEnv
from dlcourse.reinforcement.motion import Pendulum, Reacher


def rng(seed=0): return torch.Generator().manual_seed(seed)


def test_squashed_actions_are_torchs_with_gradients():
    mean, log_std, noise = torch.randn(3, 7, 2, generator=rng(), dtype=torch.float64)
    def theirs(mean):
        normal = torch.distributions.Normal(mean, log_std.exp())
        tanh = torch.distributions.TanhTransform(cache_size=1)
        squashed = torch.distributions.TransformedDistribution(normal, [tanh])
        action = tanh(mean + log_std.exp()*noise)
        return action, squashed.log_prob(action).sum(-1)

    same_as_torch(lambda mean: squashed_normal(mean, log_std, noise), theirs, mean)
    assert (squashed_normal(mean, log_std, noise)[0].abs() < 1).all()


def test_the_density_of_actions_adds_up_to_one():
    raw = torch.linspace(-8, 8, 20_001, dtype=torch.float64)[:, None]
    action, logs = squashed_normal(torch.zeros_like(raw), torch.zeros_like(raw), raw)
    assert abs(float(torch.trapezoid(logs.exp(), action[:, 0])) - 1) < 1e-4


def test_a_time_limit_is_no_end():
    r, q, yes, no = torch.zeros(2), torch.ones(2), torch.ones(2).bool(), torch.zeros(2).bool()
    assert torch.equal(critic_target(r, q, q, no, yes, .5), .5*torch.ones(2))
    assert torch.equal(critic_target(r, q, q, yes, no, .5), torch.zeros(2))


def test_members_are_perceptrons_side_by_side():
    net, x = MemberMLP(3, (4, 5, 2), rng()), torch.randn(3, 6, 4, generator=rng(1))
    for k in range(3):
        alone = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))
        for layer, w, b in zip(alone[::2], net.weights, net.biases, strict=True):
            layer.weight.data, layer.bias.data = w[k].T.detach(), b[k, 0].detach()
        torch.testing.assert_close(net(x)[k], alone(x[k]))


def test_following_at_full_rate_copies():
    a, b = MemberMLP(1, (2, 3, 1), rng(0)), MemberMLP(1, (2, 3, 1), rng(1))
    follow(a, b, 1.)
    x = torch.ones(1, 1, 2)
    torch.testing.assert_close(a(x), b(x))


def test_the_shield_keeps_its_rule_on_its_own_arm():
    env, draws = Reacher(50), np.random.default_rng(0)
    obs, _ = env.reset(seed=0)
    for _ in range(59):
        action = safe_torque(draws.choice([-1., 1.], (50, 2)), 4*obs[:, 4:6].astype(float), 2.5)
        obs, *_ = env.step(action)
        assert np.abs(4*obs[:, 4:6]).max() <= 2.5 + 1e-4


@pytest.mark.parametrize('method', ['ddpg', 'td3', 'sac'])
def test_every_method_runs_and_stays_within_the_motor(method):
    config = ControlConfig(method=method, steps=30, warm=10, updates=1, batch=8, width=8)
    agent, returns = train_control(Pendulum(4, 15), config, members=2)
    assert returns.shape == (2, 2) and np.isfinite(returns).all()
    for explore in (False, True):
        action = agent.act(np.ones((4, 3), np.float32), explore)
        assert action.shape == (4, 1) and (np.abs(action) <= 2).all()


def test_members_see_their_own_copies():
    agent = ControlAgent(Pendulum(1), 2, ControlConfig(width=8), seed=0)
    obs = np.ones((4, 3), np.float32)
    action = agent.act(obs)
    assert np.allclose(action[:2], action[2:]) and not np.allclose(action[0], action[1])


def test_a_price_is_raised_while_the_rule_is_broken():
    def always(obs): return np.ones(obs.shape[:-1], bool)
    config = ControlConfig(steps=20, warm=5, updates=1, batch=8, width=8)
    agent, _ = train_control(Reacher(2), config, members=1, cost=always)
    free, _ = train_control(Reacher(2), config, members=1)
    same = torch.ones(1, 1, 10), torch.zeros(1, 1, 2)
    with torch.no_grad():
        assert agent.worth(agent.critics, *same)[0] != free.worth(free.critics, *same)[0]


@pytest.mark.parametrize('name, value', [('method', 'ppo'), ('steps', 0), ('updates', 0),
                                         ('gamma', 1.), ('batch', 0), ('width', 0)])
def test_settings_are_checked(name, value):
    with pytest.raises(InputError, match=f'`{name}`'): ControlConfig(**{name: value})


def test_worlds_are_checked():
    with pytest.raises(InputError, match='`env`'): train_control(CartPole(2), members=2)
    with pytest.raises(InputError, match='multiple'): train_control(Pendulum(3), members=2)


class Counting(VectorEnv):
    "Copy i ends after 3 + i steps; each is rewarded with 1, and seen in float64"
    obs_size, num_actions, action_size, max_steps = 1, None, 1, 50

    def _start(self, rng, count): return np.zeros((1, count))

    def _observe(self, state): return state.T.astype(float)

    def _move(self, state, actions):
        return state + 1, np.ones(self.num_envs), state[0] + 1 >= 3 + np.arange(self.num_envs)


def test_returns_are_those_of_episodes_that_ended():
    config = ControlConfig(steps=12, warm=5, updates=1, batch=4, width=8, capacity=400)
    returns = np.array(train_control(Counting(4), config, members=2)[1])
    np.testing.assert_array_equal(returns[:4], [[3, np.nan], [np.nan, 4], [5, np.nan],
                                                [3, 6]])


@pytest.mark.parametrize(('name', 'value'), [('warm', 800), ('lr', np.nan), ('scale', -1.)])
def test_recipes_that_never_learn_are_refused(name, value):
    with pytest.raises(InputError, match=f'`{name}`'): ControlConfig(**{name: value})
