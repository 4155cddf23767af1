"Policy gradients against autograd, advantages against their definition, and agents that learn"
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from dlcourse.core.errors import InputError
from dlcourse.reinforcement.actors import (
    ActorCritic,
    Chain,
    Learner,
    flattened,
    fresh_learner,
    tanh_layers,
    value_gradient,
)
from dlcourse.reinforcement.environments import CartPole, episode_returns
from dlcourse.reinforcement.policies import (
    Collector,
    PPOConfig,
    a2c_config,
    cartpole_agent,
    clipped_weights,
    episodes_of,
    gae,
    logit_gradient,
    sample_actions,
    train_ppo,
    train_reinforce,
)

SMALL = PPOConfig(num_envs=4, num_steps=16, total_steps=64, hidden=(8,))


@pytest.mark.parametrize('dims', [(3, 2), (4, 8, 2), (5, 7, 6, 1)])
def test_a_chain_is_torch_forward_and_backward(dims):
    torch.manual_seed(0)
    layers = tanh_layers(*dims)
    for p in layers.parameters(): nn.init.normal_(p, std=.5)
    flat, grads = flattened(layers)
    x, weight = torch.randn(9, dims[0]), torch.randn(9, dims[-1])
    want = layers(x)
    (want*weight).sum().backward()
    of_torch = grads.clone()
    grads.zero_()
    chain = Chain(layers)
    before = x.clone()
    got = chain.forward(x.numpy())
    chain.backward(weight.numpy())
    np.testing.assert_allclose(got, want.detach().numpy(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(grads, of_torch, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(x, before)


def test_a_chain_wants_room_for_gradients():
    with pytest.raises(InputError, match='call `flattened` first'): Chain(tanh_layers(2, 2))


def test_parameters_stay_views_of_one_vector():
    model = ActorCritic(4, 3, (6,))
    flat, grads = flattened(model)
    flat.fill_(2.)
    assert all((p == 2).all() for p in model.parameters())
    assert len(flat) == sum(p.numel() for p in model.parameters()) == len(grads)


@pytest.mark.parametrize('options, match', [(dict(obs_size=0, num_actions=2), 'obs_size'),
                                            (dict(obs_size=1, num_actions=1), 'num_actions')])
def test_sizes_of_an_actor_are_checked(options, match):
    with pytest.raises(InputError, match=match): ActorCritic(**options)


def test_a_learners_step_is_torchs_adam_with_a_clipped_gradient():
    torch.manual_seed(0)
    model = ActorCritic(3, 2, (5,))
    twin = ActorCritic(3, 2, (5,))
    twin.load_state_dict(model.state_dict())
    learner = Learner(model, eps=1e-5, max_grad_norm=.5)
    adam = torch.optim.Adam(twin.parameters(), lr=.01, eps=1e-5)
    rng = np.random.default_rng(0)
    for _ in range(5):
        obs, a = rng.normal(size=(8, 3)).astype(np.float32), rng.integers(0, 2, 8)
        w, target = rng.normal(size=(2, 8)).astype(np.float32)*5
        values = learner.values(obs)
        probs = np.exp(learner.log_probs(obs))
        learner.step(logit_gradient(probs, a, w), 2*(values - target)/8, .01)
        logits, v = twin(torch.tensor(obs))
        logp = logits.log_softmax(1)[torch.arange(8), torch.tensor(a)]
        loss = -(torch.tensor(w)*logp).mean() + (v - torch.tensor(target)).square().mean()
        adam.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(twin.parameters(), .5)
        adam.step()
    for p, q in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-3, atol=1e-4)


def test_a_gradient_that_is_not_finite_is_an_error():
    learner = fresh_learner(CartPole(2), 0, hidden=(4,))
    learner.log_probs(np.ones((2, 4), np.float32))
    with pytest.raises(InputError, match='not finite'):
        learner.step(np.full((2, 2), np.nan), None, .01)


@pytest.mark.parametrize('clip', [None, .2])
def test_the_critics_gradient_is_autograds(clip):
    rng = np.random.default_rng(0)
    values, targets, old = rng.normal(size=(3, 50))
    v = torch.tensor(values, requires_grad=True)
    t, o = torch.tensor(targets), torch.tensor(old)
    error = (v - t).square()
    if clip: error = torch.maximum(error, (o + (v - o).clamp(-clip, clip) - t).square())
    error.mean().backward()
    np.testing.assert_allclose(value_gradient(values, targets, old, clip), v.grad, atol=1e-12)


@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 4), st.floats(0, 1),
       st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_whole_returns_are_gae_with_lambda_one(seed, steps, envs, gamma, lam):
    rng = np.random.default_rng(seed)
    r, v, after = rng.normal(size=(3, steps, envs))
    end = rng.random((steps, envs)) < .3
    cut = rng.random((steps, envs)) < .3
    got = gae(r, v, after, end, cut, gamma, lam)
    for i in range(envs):
        for t in range(steps):
            total, weight = 0., 1.
            for k in range(t, steps):
                total += weight*(r[k, i] + gamma*after[k, i]*(not end[k, i]) - v[k, i])
                weight *= gamma*lam
                if end[k, i] or cut[k, i]: break
            assert got[t, i] == pytest.approx(total, abs=1e-9)


def test_gae_takes_tensors_too():
    r, v, after = torch.randn(3, 6, 2, dtype=torch.float64)
    end, cut = torch.rand(2, 6, 2) < .3
    want = gae(*(x.numpy() for x in (r, v, after, end, cut)), .9, .8)
    np.testing.assert_allclose(gae(r, v, after, end, cut, .9, .8), want)


def test_the_clipped_objective_is_autograds():
    rng = np.random.default_rng(0)
    old, a = rng.normal(size=(2, 60))
    new = torch.tensor(old + rng.normal(0, .4, 60), requires_grad=True)
    ratio, adv = (new - torch.tensor(old)).exp(), torch.tensor(a)
    torch.minimum(ratio*adv, ratio.clamp(.8, 1.2)*adv).sum().backward()
    np.testing.assert_allclose(clipped_weights(new.detach().numpy(), old, a, .2), new.grad)


@given(st.integers(0, 10**6), st.integers(2, 60))
@settings(max_examples=40, deadline=None)
def test_actions_drawn_exist_and_are_possible(seed, actions):
    rng = np.random.default_rng(seed)
    probs = rng.random((30, actions)).astype(np.float32)*(rng.random((30, actions)) < .5)
    probs[:, rng.integers(actions)] += .1
    probs /= probs.sum(1, keepdims=True)
    for draws in (rng.random(30), np.zeros(30), np.full(30, np.nextafter(1., 0))):
        got = sample_actions(probs, draws)
        assert (probs[np.arange(30), got] > 0).all()


def test_training_repeats_itself_and_leaves_torchs_random_numbers():
    torch.manual_seed(5)
    want = torch.rand(3)
    torch.manual_seed(5)
    (a, first), (b, second) = (train_ppo(CartPole, SMALL, seed=3) for _ in range(2))
    assert torch.equal(torch.rand(3), want)
    assert str(first) == str(second)
    for p, q in zip(a.parameters(), b.parameters(), strict=True): assert torch.equal(p, q)
    assert not torch.equal(a.policy[0].weight, train_ppo(CartPole, SMALL, 4)[0].policy[0].weight)


@pytest.mark.parametrize('seed', range(3))
def test_ppo_solves_cartpole(seed):
    model, history = train_ppo(CartPole, PPOConfig(stop_at=475), seed)
    assert history[-1].recent >= 475
    assert episode_returns(CartPole(50), model.act, 50, seed=9).mean() >= 475


def test_every_detail_can_be_switched():
    switches = [dict(clip=None), dict(normalize=False), dict(value_clip=.2), dict(entropy=.01),
                dict(anneal=False), dict(bootstrap=False), dict(orthogonal=False),
                dict(max_grad_norm=None), dict(gain=1.)]
    base = train_ppo(CartPole, replace(SMALL, total_steps=256, lr=.05), 0)[0]
    for change in switches:
        model, history = train_ppo(CartPole, replace(SMALL, total_steps=256, lr=.05, **change), 0)
        assert len(history) == 4
        same = torch.equal(model.policy[0].weight, base.policy[0].weight)
        assert same == ('bootstrap' in change) # No clock runs out in so few steps


def test_a2c_is_ppo_with_other_settings():
    config = a2c_config(total_steps=128)
    assert (config.epochs, config.minibatches, config.clip) == (1, 1, None)
    assert len(train_ppo(CartPole, config)[1]) == 2


@pytest.mark.parametrize('baseline', [False, True])
def test_reinforce_learns(baseline):
    _, history = train_reinforce(CartPole, 0, baseline=baseline, total_steps=15_000, hidden=(32,))
    assert history[-1].recent > 40
    assert history[-1].steps >= 15_000


def test_first_episodes_end_once():
    env = CartPole(6)
    rollout, going = episodes_of(Collector(env, 0), fresh_learner(env, 0))
    ends = (rollout.terminated | rollout.truncated) & going
    assert (ends.sum(0) == 1).all()
    assert (going == (np.cumsum(ends, 0) - ends == 0)).all()


class Broken(CartPole):
    "Observations become NaN after some steps"
    def step(self, actions):
        obs, *rest = super().step(actions)
        if self._clock > 5: obs = obs + np.nan
        return obs, *rest


class Old(CartPole):
    "Four values, as environments once gave"
    def step(self, actions):
        obs, reward, terminated, _, info = super().step(actions)
        return obs, reward, terminated, info


class Continuous(CartPole):
    num_actions = None


@pytest.mark.parametrize('env_of, match', [(Broken, 'finite'), (Old, 'old `done`'),
                                           (Continuous, 'discrete')])
def test_faulty_environments_are_named(env_of, match):
    with pytest.raises(InputError, match=match): train_ppo(env_of, SMALL)


@pytest.mark.parametrize('name, value', [('num_envs', 0), ('num_steps', 0), ('epochs', 0),
                                         ('minibatches', 65), ('total_steps', 63), ('gamma', 1.1),
                                         ('gae_lambda', -.1), ('clip', -1.)])
def test_numbers_out_of_range_are_named(name, value):
    with pytest.raises(InputError, match=f'`{name}`'): replace(SMALL, **{name: value})


def test_reinforce_wants_steps():
    with pytest.raises(InputError, match='total_steps'): train_reinforce(CartPole, total_steps=0)


@pytest.mark.filterwarnings('ignore')
def test_the_kept_agent_balances(tmp_path):
    torch.manual_seed(1)
    want = torch.rand(2)
    torch.manual_seed(1)
    agent, card = cartpole_agent(tmp_path)
    assert torch.equal(torch.rand(2), want)
    assert episode_returns(CartPole(50), agent.act, 50, seed=3).mean() >= 475
    again, _ = cartpole_agent(tmp_path)
    obs = np.random.default_rng(0).normal(size=(20, 4))
    assert (agent.act(obs) == again.act(obs)).all()
    assert 'mean return' in card.results[0].claim


@pytest.mark.parametrize('name', ['lr', 'entropy', 'value_weight', 'adam_eps'])
def test_rates_are_numbers_from_0(name):
    for bad in (-1., float('nan')):
        with pytest.raises(InputError, match=f'`{name}`'): PPOConfig(**{name: bad})
