"Estimates that cover, tables against linear algebra, clones and DAgger, Dyna, and what is refused"
import numpy as np
import pytest
import torch

from dlcourse.core.errors import InputError
from dlcourse.reinforcement.dreams import dream_policy
from dlcourse.reinforcement.environments import CartPole
from dlcourse.reinforcement.grids import gridworld
from dlcourse.reinforcement.logs import collected, finite_value, logged_episodes
from dlcourse.reinforcement.offline import (
    acting,
    balance,
    cloned,
    constrained_best,
    dagger,
    dreamed,
    dyna,
    fqe_tables,
    offline_q,
    per_decision_scores,
    ratios_of,
    robust_episode_scores,
    robust_value,
    run_scores,
)

WORLD = gridworld("S.. .#H ..G", slip=.2, step=-.1)
rng = np.random.default_rng(0)
OLD = rng.dirichlet(np.full(4, 8.), len(WORLD.start))
NEW = .6*OLD + .4*rng.dirichlet(np.full(4, 2.), len(WORLD.start))
TIME, GAMMA = 6, .9
TRUTH = finite_value(WORLD, NEW, GAMMA, TIME)


def exact_tables():
    tables = [np.zeros(NEW.shape)]
    for _ in range(TIME):
        then = WORLD.transitions @ (NEW*tables[-1]).sum(1)
        tables.append(WORLD.rewards + GAMMA*then)
    return np.stack(tables[::-1])


def test_intervals_of_weighted_episodes_cover():
    held = []
    for seed in range(200):
        log = logged_episodes(WORLD, OLD, 300, TIME, seed)
        single = per_decision_scores(ratios_of(log, NEW), log.rewards, GAMMA)
        error = 1.97*single.std(ddof=1)/300**.5
        robust = robust_value(log, NEW, GAMMA)
        held.append((abs(single.mean() - TRUTH) < error, robust.low <= TRUTH <= robust.high))
    assert (np.abs(np.mean(held, 0) - .95) < .05).all()


def test_tables_from_much_data_are_the_exact_ones():
    even = np.full(OLD.shape, .25)
    log = logged_episodes(WORLD, even, 60_000, TIME, 3)
    gap = np.abs(fqe_tables(log, NEW, GAMMA) - exact_tables())[0][~WORLD.terminal]
    assert gap.max() < .08
    value = WORLD.start @ (NEW*fqe_tables(log, NEW, GAMMA)[0]).sum(1)
    assert abs(value - TRUTH) < .01


def test_weights_of_episodes_are_copies_of_them():
    log = logged_episodes(WORLD, OLD, 20, TIME, 1)
    times = np.random.default_rng(0).integers(0, 3, 20)
    again = log.rows(np.repeat(np.arange(20), times))
    assert np.allclose(fqe_tables(log, NEW, GAMMA, times), fqe_tables(again, NEW, GAMMA))


def test_doubly_robust_with_exact_tables_in_a_sure_world_has_no_spread():
    sure = gridworld("S.. .#H ..G", step=-.1)
    policy = np.eye(4)[np.full(len(sure.start), 1)]*.999999 + 1e-6/4
    tables = [np.zeros(policy.shape)]
    for _ in range(TIME):
        tables.append(sure.rewards + GAMMA*sure.transitions @ (policy*tables[-1]).sum(1))
    log = logged_episodes(sure, OLD, 50, TIME, 0)
    scores = robust_episode_scores(log, policy, np.stack(tables[::-1]), GAMMA)
    assert np.allclose(scores, finite_value(sure, policy, GAMMA, TIME), atol=1e-3)


def test_ratios_are_one_after_the_end_and_for_ones_own_log():
    log = logged_episodes(WORLD, OLD, 100, 12, 0)
    assert np.allclose(ratios_of(log, OLD), 1)
    assert (ratios_of(log, NEW)[~log.alive] == 1).all()
    with pytest.raises(InputError, match='`chances`'):
        ratios_of(log._replace(chances=np.zeros_like(log.chances)), NEW)


def test_a_clone_does_what_it_saw_and_dagger_more():
    shown = collected(CartPole, balance, 3, 120)
    clones = cloned(shown.obs, shown.actions)
    act = acting(clones)
    assert (act(shown.obs.flatten(0, 1).numpy()) == shown.actions.flatten().numpy()).mean() > .85
    corrected = dagger(balance, 3, 150)
    assert run_scores(acting(corrected), 3, 5).mean() > 200
    with pytest.raises(InputError, match='`labels`'): dagger(balance, 2, 3)


def test_constrained_learning_stays_with_what_was_tried():
    log = collected(CartPole, balance, 2, 600, copies=10, random=.02)
    clones = cloned(log.obs, log.actions)
    nets, act = offline_q(log, clones, updates=40)
    obs = log.obs.flatten(0, 1).numpy()
    x = log.obs/torch.tensor([2.4, 2., .21, 2.])
    chances = clones(x).softmax(-1)
    did = torch.from_numpy(act(obs)).reshape(2, -1)
    own = chances.gather(2, did[..., None])[..., 0]
    assert (own >= .3*chances.max(-1).values - 1e-6).all()
    assert torch.equal(did, constrained_best(nets(x), chances))


def test_dyna_with_a_model_reaches_the_goal_more_often():
    maze = gridworld("S... .##. ...G")
    plain, planned = (dyna(maze, k, 300, runs=6)[:, -1].mean() for k in (0, 20))
    assert planned > 1.3*plain
    with pytest.raises(InputError, match='`steps`'): dyna(maze, 0, 0)


def test_a_dream_of_the_true_world_is_the_world():
    m = torch.tensor([[.9, .2], [0., .7]])
    def step(obs, action): return obs @ m.T + action[:, None]
    actions, states = torch.randint(0, 2, (9, 4)), [torch.randn(4, 2)]
    for action in actions: states.append(step(states[-1], action))
    assert torch.allclose(dreamed(step, torch.stack(states[:-1]), actions),
                          torch.stack(states[1:]))


@pytest.mark.parametrize('factor', [3., -1.])
def test_a_policy_to_be_judged_has_chances(factor):
    log = logged_episodes(WORLD, OLD, 20, 5, 0)
    with pytest.raises(InputError, match='`policy`'): robust_value(log, OLD*factor, GAMMA)


def test_weights_and_discounts_are_looked_at():
    log = logged_episodes(WORLD, OLD, 20, 5, 0)
    with pytest.raises(InputError, match='`weights`'): fqe_tables(log, OLD, GAMMA, -np.ones(20))
    shown = collected(CartPole, balance, 2, 30)
    with pytest.raises(InputError, match='`gamma`'):
        offline_q(shown, cloned(shown.obs, shown.actions), gamma=1, updates=1)


@pytest.mark.parametrize('name', ['horizon', 'rounds', 'crowd'])
def test_a_dream_has_steps_rounds_and_a_crowd(name):
    with pytest.raises(InputError, match=f'`{name}`'):
        dream_policy(None, torch.zeros(1, 3, 4), **{name: 0})
