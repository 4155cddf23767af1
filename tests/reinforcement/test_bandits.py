"Policies against closed forms, LinUCB against scikit-learn, estimates that cover, and bad logs"
import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import Ridge

from dlcourse.core.errors import InputError
from dlcourse.reinforcement.arms import play_arms
from dlcourse.reinforcement.bandits import (
    UCB,
    EpsilonGreedy,
    Greedy,
    LinUCB,
    Thompson,
    conversion_rate,
    crossed_means,
    doubly_robust_value,
    equal_rows,
    importance_weights,
    ips_value,
    ucb_index,
    updated_inverse,
    weight_alarm,
)


def test_thompson_draws_from_the_posterior_of_scipy():
    policy = Thompson()
    policy.start(4000, 2)
    policy.pulls[:], policy.total[:] = [10, 0], [7, 0]
    draws = policy.scores(1, np.random.default_rng(0))
    assert stats.kstest(draws[:, 0], stats.beta(8, 4).cdf).pvalue > .001
    assert stats.kstest(draws[:, 1], stats.uniform.cdf).pvalue > .001


def test_everyone_finds_an_arm_that_is_far_better():
    chances = np.tile([.1, .2, .9], (40, 1))
    for policy in (EpsilonGreedy(10, True), UCB(.5), Thompson()):
        arms = play_arms(policy, chances, 400).arms[:, -50:]
        assert (arms == 2).mean() > .9


def test_greedy_stays_with_bad_luck_and_others_do_not():
    chances = np.tile([.4, .6], (200, 1))
    lost = {name: play_arms(policy, chances, 1500).lost[:, -200:].mean(1)
            for name, policy in (('greedy', Greedy()), ('Thompson', Thompson()))}
    assert (lost['greedy'] > .19).mean() > .1 > (lost['Thompson'] > .19).mean()


def test_epsilon_is_the_share_of_pulls_by_chance():
    policy = EpsilonGreedy(.3)
    policy.start(20_000, 2)
    policy.pulls[:], policy.total[:] = 5, [1, 5]
    share = (policy.scores(9, np.random.default_rng(0)).argmax(1) == 0).mean()
    assert abs(share - .15) < .01


def test_linucb_is_a_ridge_regression_for_each_arm():
    rng = np.random.default_rng(0)
    policy, x = LinUCB(4, .7), rng.normal(size=(60, 1, 4))
    policy.start(1, 2)
    arms, rewards = rng.integers(0, 2, 60), rng.normal(size=60)
    for k in range(60): policy.learn(arms[k:k + 1], rewards[k:k + 1], x[k])
    new = rng.normal(size=(1, 4))
    for arm in range(2):
        own = x[arms == arm, 0]
        model = Ridge(alpha=1., fit_intercept=False).fit(own, rewards[arms == arm])
        reach = np.sqrt(new @ np.linalg.inv(np.eye(4) + own.T @ own) @ new.T).item()
        want = model.predict(new)[0] + .7*reach
        assert np.isclose(policy.scores(61, None, new)[0, arm], want)


def test_a_thousand_updates_stay_the_inverse():
    rng, a = np.random.default_rng(1), np.eye(5)
    inverse = a
    for _ in range(1000):
        x = rng.normal(size=5)
        a, inverse = a + np.outer(x, x), updated_inverse(inverse, x)
    assert np.allclose(inverse, np.linalg.inv(a), rtol=1e-8)


KINDS = np.random.default_rng(2).beta(2, 2, (6, 3))


def log(policy, n, seed):
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 6, n)
    shown = (policy[kind].cumsum(1) < rng.random((n, 1))).sum(1).clip(max=2)
    return kind, shown, (rng.random(n) < KINDS[kind, shown])*1., policy[kind, shown]


def test_weighted_intervals_cover_and_the_model_alone_does_not():
    rng = np.random.default_rng(3)
    old, new = rng.dirichlet(np.full(3, 5.), 6), np.eye(3)[KINDS.argmax(1)]*.8 + .2/3
    truth, held = (new*KINDS).sum(1).mean(), []
    for seed in range(400):
        kind, shown, clicks, p = log(old, 400, seed)
        model, args = crossed_means(kind, shown, clicks, KINDS.shape), (new[kind], shown, clicks, p)
        found = (ips_value(*args), ips_value(*args, normalized=True),
                 doubly_robust_value(*args, model),
                 doubly_robust_value(*args, np.full_like(model, .9)))
        held.append([e.low <= truth <= e.high for e in found])
    assert (np.abs(np.mean(held, 0) - .95) < .04).all()


def test_doubly_robust_is_right_with_wrong_chances_and_a_right_model():
    old, new = np.full((6, 3), 1/3), np.eye(3)[KINDS.argmax(1)]
    kind, shown, clicks, p = log(old, 40_000, 0)
    truth = (new*KINDS).sum(1).mean()
    robust = doubly_robust_value(new[kind], shown, clicks, p/3 + .5, KINDS[kind])
    assert abs(robust.value - truth) < .01
    assert abs(ips_value(new[kind], shown, clicks, p/3 + .5).value - truth) > .1


def test_a_policy_judged_by_its_own_log_is_the_mean_of_the_log():
    old = np.random.default_rng(3).dirichlet(np.ones(3), 6)
    kind, shown, clicks, p = log(old, 300, 1)
    found = ips_value(old[kind], shown, clicks, p)
    low, high = stats.t.interval(.95, 299, clicks.mean(), stats.sem(clicks))
    assert np.allclose(found, (clicks.mean(), low, high))
    assert np.isclose(equal_rows(importance_weights(old[kind], shown, p)), 300)
    assert weight_alarm(np.ones(4)) == 0 and equal_rows(np.zeros(3)) == 0


def test_no_row_is_predicted_from_its_own_reward():
    rng = np.random.default_rng(0)
    kind, shown, r = rng.integers(0, 4, 50), rng.integers(0, 3, 50), rng.random(50)
    before = crossed_means(kind, shown, r, (4, 3))
    for row in (0, 7, 49):
        changed = r.copy()
        changed[row] += 100
        after = crossed_means(kind, shown, changed, (4, 3))
        assert np.array_equal(before[row % 2::2], after[row % 2::2])


def test_weights_tell_an_action_that_was_never_tried():
    never = np.tile([.5, .5, 0.], (6, 1))
    kind, shown, _, p = log(never, 2000, 0)
    assert weight_alarm(importance_weights(np.full((6, 3), 1/3)[kind], shown, p)) < -3


def test_delayed_clicks_are_right_on_average():
    rng = np.random.default_rng(0)
    age, comes = rng.integers(1, 50, 20_000), rng.random(20_000) < .3
    seen = comes & (rng.geometric(.05, 20_000) <= np.minimum(age, 20))
    assert abs(conversion_rate(seen, age, .05, 20) - .3) < .015


def test_bounds_are_infinite_without_a_pull_and_warn_of_nothing():
    with np.errstate(all='raise'):
        assert np.isinf(ucb_index(np.zeros(3), np.zeros(3), 1)).all()


OK = dict(target=np.full((3, 2), .5), actions=np.array([0, 1, 1]), rewards=np.ones(3),
          chances=np.full(3, .5))


@pytest.mark.parametrize(('name', 'bad'), [
    ('target', np.ones((3, 2))), ('target', np.full((2, 2), .5)), ('target', [[1.5, -.5]]*3),
    ('actions', np.array([0, 1, 2])), ('actions', np.array([0., 1., 1.])),
    ('chances', np.zeros(3)), ('chances', np.full(3, np.nan)), ('chances', np.full(3, 1.5)),
    ('rewards', np.array([1., np.nan, 0.]))])
def test_logs_that_cannot_be_are_refused_by_name(name, bad):
    with pytest.raises(InputError, match=f'`{name}`'): ips_value(**(OK | {name: bad}))
    predicted = np.zeros((3, 2))
    with pytest.raises(InputError, match=f'`{name}`'):
        doubly_robust_value(**(OK | {name: bad}), predicted=predicted)


def test_other_wrong_input_is_refused_by_name():
    with pytest.raises(InputError, match='`predicted`'):
        doubly_robust_value(**OK, predicted=np.zeros((3, 3)))
    with pytest.raises(InputError, match='`target`'):
        ips_value(np.tile([1., 0.], (2, 1)), np.array([1, 1]), np.ones(2), np.full(2, .5),
                  normalized=True)
    with pytest.raises(InputError, match='`contexts`'):
        play_arms(LinUCB(3), lambda step, rng: (np.zeros((1, 2)), [[.1, .2]]), 2)
    with pytest.raises(InputError, match='`explore`'): EpsilonGreedy(-1)
    with pytest.raises(InputError, match='`c`'): UCB(-1)
    with pytest.raises(InputError, match='`dim`'): LinUCB(0)


@pytest.mark.parametrize('rewards', [np.ones(1), np.ones((6, 1)), np.ones(7)])
def test_a_reward_a_row(rewards):
    target, actions, chances = np.full((6, 2), .5), np.zeros(6, int), np.full(6, .5)
    with pytest.raises(InputError, match='`rewards`'): ips_value(target, actions, rewards, chances)
    with pytest.raises(InputError, match='`rewards`'):
        doubly_robust_value(target, actions, rewards, chances, target)


@pytest.mark.parametrize('states', [[0, -1, 1, 0], [0, 5, 1, 0], [0, 1]])
def test_kinds_are_in_the_table(states):
    with pytest.raises(InputError, match='`states`'):
        crossed_means(np.array(states), np.array([0, 0, 1, 1]), np.ones(4), (2, 2))


def test_lists_are_tables_too():
    assert crossed_means([0, 1, 0, 1], [0, 1, 0, 1], [1., 2., 3., 4.], (2, 2)).shape == (4, 2)
    play_arms(LinUCB(2), lambda step, rng: ([[1., 2.]], [[.1, .2]]), 3)
