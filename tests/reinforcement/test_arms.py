"Players side by side: regret, ties, late clicks against long sums, and what is refused"
import numpy as np
import pytest

from dlcourse.core.errors import InputError
from dlcourse.reinforcement.arms import ArmPolicy, ClickFeed, highest, play_arms, play_delayed


class ByChance(ArmPolicy):
    def scores(self, step, rng, contexts=None): return np.zeros(self.pulls.shape)


class Wrong(ByChance):
    def __init__(self, scores): self.given = scores
    def scores(self, step, rng, contexts=None): return self.given


def test_regret_is_counted_in_chances_not_in_luck():
    chances = np.random.default_rng(0).random((40, 4))
    run = play_arms(ByChance(), chances, 30, seed=3)
    rows = np.arange(40)[:, None]
    assert np.allclose(run.lost, chances.max(1)[:, None] - chances[rows, run.arms])
    assert np.allclose(run.regret[:, -1], run.lost.sum(1))
    assert set(np.unique(run.rewards)) <= {0., 1.}
    again = play_arms(ByChance(), chances, 30, seed=3)
    assert all(np.array_equal(a, b) for a, b in zip(run, again, strict=True))


def test_equal_scores_are_told_apart_by_chance():
    picked = highest(np.tile([1., 0., 1.], (6000, 1)), np.random.default_rng(0))
    counts = np.bincount(picked, minlength=3)
    assert counts[1] == 0 and abs(counts[0] - 3000) < 200


def test_two_policies_meet_the_same_coins():
    same = np.full((5, 3), .5)
    a = play_arms(ByChance(), same, 50).rewards
    b = play_arms(Wrong(np.tile([0., 1., 0.], (5, 1))), same, 50).rewards
    assert np.array_equal(a, b)


def test_a_world_may_change_with_contexts():
    seen = []

    class Looking(ByChance):
        def scores(self, step, rng, contexts=None):
            seen.append(contexts)
            return super().scores(step, rng)

    play_arms(Looking(), lambda step, rng: (step, np.full((2, 2), step/10)), 3)
    assert seen == [0, 1, 2]


@pytest.mark.parametrize('window', [1, 7, 200])
@pytest.mark.parametrize('counts', ['shown', 'ripe', 'expected'])
def test_counts_of_late_clicks_are_the_long_sums(window, counts):
    feed, chances = ClickFeed(np.array([.3, .05, 1.]), window), np.full((30, 3), .6)
    run = play_delayed(ByChance(), chances, feed, 60, counts)
    age = 60 - np.arange(60)
    of = np.stack([run.arms == k for k in range(3)], 1)
    known = 1 - feed.kept[run.arms]**np.minimum(age, window)
    assert np.allclose(feed.expected, (of*known[:, None]).sum(2))
    assert np.array_equal(feed.shown, of.sum(2))
    assert np.array_equal(feed.ripe, (of*(age >= window)).sum(2))
    assert (feed.ripe_clicks <= feed.clicks).all() and (feed.clicks <= feed.shown).all()


def test_seen_clicks_over_expected_are_right_on_average():
    feed, chances = ClickFeed(np.array([.5, .01]), 40), np.full((3000, 2), .3)
    play_delayed(ByChance(), chances, feed, 80, 'expected')
    rate = feed.clicks.sum(0)/feed.expected.sum(0)
    assert np.allclose(rate, .3, atol=.01)


def test_what_cannot_be_is_refused_by_name():
    for means in ([[.2, 1.2]], [[np.nan, .1]], [.1, .2], np.empty((0, 2))):
        with pytest.raises(InputError, match='`means`'): play_arms(ByChance(), means, 2)
    for scores in (np.zeros((2, 3)), np.full((1, 2), np.nan)):
        with pytest.raises(InputError, match='`scores`'): play_arms(Wrong(scores), [[.1, .2]], 2)
    with pytest.raises(InputError, match='`steps`'): play_arms(ByChance(), [[.1, .2]], 0)
    with pytest.raises(InputError, match='`arriving`'): ClickFeed([.1, 0.], 5)
    with pytest.raises(InputError, match='`window`'): ClickFeed([.1], 0)
    feed = ClickFeed([.1], 5)
    with pytest.raises(InputError, match='`counts`'): play_delayed(ByChance(), [[.1]], feed, 2, 'x')
    with pytest.raises(InputError, match='`feed`'):
        play_delayed(ByChance(), [[.1, .2]], feed, 2, 'ripe')


@pytest.mark.parametrize('means', [[[.1, .2], [.1]], 'x'])
def test_chances_that_are_no_table_are_refused(means):
    with pytest.raises(InputError, match='`means`'): play_arms(None, means, 2)


def test_a_feed_is_started_before_it_shows():
    with pytest.raises(InputError, match='`start`'):
        ClickFeed([.5], 3).show(np.array([0]), np.array([True]), np.random.default_rng(0))
