"Rings of transitions: what is kept, what is summed, how often each is drawn"
import numpy as np
import pytest
import torch

from dlcourse.core.errors import InputError
from dlcourse.reinforcement.replay import NStep, PrioritizedReplay, Replay


def fill(ring, values):
    "One-number observations, one after another"
    values = np.asarray(values, np.float32)[:, None]
    n = len(values)
    return ring.add(values, np.zeros(n, int), np.ones(n), values + 1, np.zeros(n, bool))


def test_the_oldest_are_written_over():
    ring = Replay(5, 1)
    for k in range(4): fill(ring, [3*k, 3*k + 1, 3*k + 2])
    assert len(ring) == 5
    assert sorted(ring.obs[:, 0].tolist()) == [7, 8, 9, 10, 11]
    batch = ring.sample(200)
    torch.testing.assert_close(batch.next_obs, batch.obs + 1)
    torch.testing.assert_close(batch.obs, ring.obs[batch.index])
    assert batch.action.dtype == torch.int64 and batch.terminated.dtype == torch.bool
    assert set(batch.obs[:, 0].tolist()) == {7, 8, 9, 10, 11}


def test_before_it_is_full_only_what_is_there_is_drawn():
    for ring in (Replay(50, 1), PrioritizedReplay(50, 1)):
        fill(ring, [1, 2, 3])
        assert set(ring.sample(300).obs[:, 0].tolist()) == {1, 2, 3}


def test_the_same_seed_draws_the_same_whatever_torch_drew():
    rings = [Replay(9, 1, seed=4) for _ in range(2)] + [PrioritizedReplay(9, 1, seed=4)]*1
    for ring in rings: fill(ring, range(9))
    first = rings[0].sample(20).index
    torch.manual_seed(1)
    torch.testing.assert_close(rings[1].sample(20).index, first)
    assert not torch.equal(rings[0].sample(20).index, first)


def test_actions_may_be_numbers():
    ring = Replay(4, 2, action_shape=(3,))
    ring.add(np.zeros((2, 2)), np.ones((2, 3)), [0, 0], np.zeros((2, 2)), [True, False])
    assert ring.sample(5).action.shape == (5, 3) and ring.action.dtype == torch.float32


@pytest.mark.parametrize('change, word', [
    (dict(obs=[[0.]]), '`obs`.*shape'), (dict(action=[[0], [1]]), '`action`.*shape'),
    (dict(next_obs=[[0.], [float('nan')]]), '`next_obs`.*NaN'),
    (dict(reward=[0., float('inf')]), '`reward`.*NaN'), (dict(reward=[0.]*5), 'capacity')])
def test_what_cannot_be_kept(change, word):
    row = dict(obs=[[0.], [1.]], action=[0, 1], reward=[0., 1.], next_obs=[[0.], [1.]],
               terminated=[False, True])
    ring = Replay(4, 1)
    with pytest.raises(InputError, match=word): ring.add(**row | change)
    assert len(ring) == 0
    for empty in (ring, PrioritizedReplay(4, 1)): # No rows at all are nothing wrong
        empty.add(np.zeros((0, 1)), np.zeros(0, int), np.zeros(0), np.zeros((0, 1)), [])
    with pytest.raises(InputError, match='sample'): ring.sample(1)
    with pytest.raises(InputError, match='sample'): PrioritizedReplay(4, 1).sample(1)
    with pytest.raises(InputError, match='capacity'): Replay(0, 1)


@pytest.mark.parametrize('n', [1, 2, 3, 5])
def test_n_steps_are_the_sums_of_a_loop(n):
    rng, gamma, time, envs = np.random.default_rng(n), .7, 60, 3
    reward = rng.normal(size=(time, envs))
    terminated, truncated = rng.random((2, time, envs)) < .1
    obs = np.arange(time*envs, dtype=float).reshape(time, envs, 1)
    several, got = NStep(n, gamma), {}
    for t in range(time):
        args = obs[t], np.full(envs, t), reward[t], obs[t] + .5, terminated[t], truncated[t]
        for o, a, r, after, end, steps in zip(*several.add(*args), strict=True):
            got[o[0]] = a, r, after[0], end, steps
    want = {}
    for t in range(time):
        for i in range(envs):
            last = next((k for k in range(t, min(t + n, time)) if terminated[k, i]
                         or truncated[k, i] or k == t + n - 1), None)
            if last is None: continue # Not ripe yet
            total = sum(gamma**(k - t)*reward[k, i] for k in range(t, last + 1))
            want[obs[t, i, 0]] = t, total, obs[last, i, 0] + .5, terminated[last, i], last - t + 1
    assert got.keys() == want.keys()
    for key in want: np.testing.assert_allclose(got[key], want[key], rtol=1e-5)


def test_priorities_are_shares_and_weights_mend_the_mean():
    ring = PrioritizedReplay(6, 1, alpha=.5, beta=1.)
    fill(ring, range(6))
    priority = torch.tensor([1., 4., 9., 16., 25., .25])
    ring.update(torch.arange(6), priority)
    batch = ring.sample(40_000)
    shares = torch.bincount(batch.index, minlength=6)/40_000
    torch.testing.assert_close(shares, priority.sqrt()/priority.sqrt().sum(), atol=2e-3, rtol=0)
    assert batch.weight.max() == 1
    mean = (batch.weight*batch.obs[:, 0]).sum()/batch.weight.sum()
    assert abs(float(mean) - 2.5) < .05


def test_the_tree_adds_up_after_any_changes():
    rng, ring = np.random.default_rng(0), PrioritizedReplay(13, 1)
    fill(ring, range(9))
    for k in range(30):
        index = torch.from_numpy(rng.integers(0, len(ring), 5))
        ring.update(index, torch.from_numpy(rng.random(5) + .01))
        if k % 7 == 0: fill(ring, range(3))
        tree, size = ring._tree, ring._size
        np.testing.assert_allclose(tree[1:size], tree[2::2] + tree[3::2])
        assert (tree[size:size + len(ring)] > 0).all()
    for bad in (0., -1., float('nan'), float('inf')):
        with pytest.raises(InputError, match='priority'):
            ring.update(torch.tensor([0]), torch.tensor([bad]))


def test_ends_may_be_numbers_and_buffers_may_be_written_over():
    three, obs = NStep(2, .9), np.arange(3.)[:, None]
    ripe = three.add(obs, np.arange(3), np.ones(3), obs + 10, np.array([0, 1, 0]), np.zeros(3, int))
    assert ripe[0].tolist() == [[1]]
    one, buffer = NStep(2, .9), np.zeros((1, 1))
    one.add(buffer, [0], [1.], buffer, [False], [False])
    buffer[:] = 7
    assert one.add(buffer, [0], [1.], buffer, [False], [False])[0].tolist() == [[0]]


@pytest.mark.parametrize(('name', 'action', 'reward'), [('action', [.9, 1.7], [0., 0.]),
                                                        ('reward', [0, 1], [1e300, 0.])])
def test_what_a_table_cannot_hold_is_refused(name, action, reward):
    rows = np.zeros((2, 2))
    with pytest.raises(InputError, match=f'`{name}`'):
        Replay(10, 2).add(rows, np.array(action), np.array(reward), rows, np.zeros(2, bool))


@pytest.mark.parametrize('options', [dict(alpha=np.nan), dict(alpha=-1), dict(beta=np.nan),
                                     dict(beta=5000)])
def test_exponents_of_priorities_lie_between_0_and_1(options):
    with pytest.raises(InputError, match=f'`{[*options][0]}`'): PrioritizedReplay(8, 1, **options)


@pytest.mark.parametrize(('rows', 'count'), [([12], 1), ([], 0), ([0, 1], 1)])
def test_priorities_are_of_rows_that_are_there(rows, count):
    ring = PrioritizedReplay(16, 1)
    fill(ring, range(4))
    with pytest.raises(InputError, match='`index`'):
        ring.update(torch.tensor(rows, dtype=torch.int64), torch.ones(count))
