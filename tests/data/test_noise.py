"Label noise against cleanlab, torch and plain counting"
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from oracles import same_as_torch
from sklearn.metrics import confusion_matrix

from dlcourse.core.datasets import load
from dlcourse.core.errors import InputError
from dlcourse.data.noise import (
    CoTeaching,
    Pair,
    check_probabilities,
    check_transition,
    co_teaching_loss,
    confident_joint,
    estimated_transition,
    flip_labels,
    forward_loss,
    held_out_probabilities,
    label_issues,
    label_margin,
    noise_joint,
    noise_matrix,
    transition_matrix,
)
from dlcourse.training.callbacks import FitConfig
from dlcourse.training.zoo import mlp


def made_up(seed, rows=400, classes=5, rate=.2):
    "Labels with noise, and probabilities that know a little of the truth"
    rng = np.random.default_rng(seed)
    truth = rng.permutation(np.arange(rows) % classes)
    logits = rng.normal(size=(rows, classes)) + 2.5*np.eye(classes)[truth]
    p = np.exp(logits)/np.exp(logits).sum(1, keepdims=True)
    return flip_labels(truth, noise_matrix(classes, rate), seed), p, truth

@pytest.fixture(scope='module')
def digits():
    "Digits with a tenth of the labels flipped, true labels and held-out probabilities"
    data = load('digits')
    x, truth = torch.tensor(data['images'].reshape(-1, 64)/16, dtype=torch.float32), data['labels']
    y = flip_labels(truth, noise_matrix(10, .1), 7)
    config = FitConfig(epochs=8, batch_size=64, lr=3e-3, device='cpu', progress=False)
    p = held_out_probabilities(lambda: mlp(64, 64, 10), x, torch.tensor(y), config, how='stacked')
    return y, p, truth

def test_flipped_labels_follow_their_matrix():
    for kind in ('symmetric', 'pair'):
        t = noise_matrix(4, .3, kind)
        check_transition(t)
        truth = np.arange(40_000) % 4
        given = flip_labels(truth, t, 1)
        want = confusion_matrix(truth, given, normalize='true')
        np.testing.assert_allclose(transition_matrix(truth, given, 4), want)
        np.testing.assert_allclose(want, t, atol=.02)
    assert noise_matrix(3, .2, 'pair')[2].tolist() == pytest.approx([.2, 0, .8])
    assert (flip_labels(truth, np.eye(4), 3) == truth).all()

@pytest.mark.parametrize('seed', range(3))
def test_forward_loss_is_that_of_the_mixed_probabilities(seed):
    rng = np.random.default_rng(seed)
    t = torch.tensor(rng.dirichlet(np.ones(6), 6))
    logits, y = torch.tensor(rng.normal(size=(20, 6))), torch.tensor(rng.integers(0, 6, 20))
    def direct(logits): return F.nll_loss((logits.softmax(1) @ t).log(), y)
    same_as_torch(lambda logits: forward_loss(logits, y, t), direct, logits)

def test_forward_loss_is_least_at_the_true_chances():
    t, p = torch.tensor(noise_matrix(3, .3, 'pair')), torch.tensor([.6, .3, .1]).double()
    logits = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    label = p @ t
    optimizer = torch.optim.LBFGS([logits], max_iter=200, tolerance_grad=1e-12)
    def step():
        optimizer.zero_grad()
        loss = sum(label[k]*forward_loss(logits[None], torch.tensor([k]), t) for k in range(3))
        loss.backward()
        return loss
    optimizer.step(step)
    torch.testing.assert_close(logits.detach().softmax(0), p, atol=1e-3, rtol=0)

def test_each_network_learns_from_the_rows_that_the_other_picks():
    torch.manual_seed(0)
    logits = torch.randn(9, 2, 4, requires_grad=True)
    y = torch.arange(9) % 4
    co_teaching_loss(logits, y, 1/3).backward()
    losses = torch.stack([F.cross_entropy(logits[:, k], y, reduction='none') for k in (0, 1)])
    for k in (0, 1):
        used = set(logits.grad[:, k].abs().sum(1).nonzero().ravel().tolist())
        assert used == set(losses[1 - k].topk(3, largest=False).indices.tolist())

def test_fewer_and_fewer_rows_stay():
    class Run: epoch = 0
    loss, run, shares = CoTeaching(.4, epochs=4), Run(), []
    for run.epoch in range(1, 7):
        loss.advance(run)
        shares.append(loss.keep)
    assert shares == pytest.approx([.9, .8, .7, .6, .6, .6])
    with pytest.raises(InputError, match='`rate` must be from 0 to below 1, got 1'): CoTeaching(1)
    one = torch.nn.Linear(3, 2)
    assert Pair(one, one)(torch.ones(5, 3)).shape == (5, 2, 2)

@pytest.mark.parametrize('seed', range(4))
def test_the_confident_joint_is_that_of_cleanlab(seed):
    count = pytest.importorskip('cleanlab.count')
    y, p, _ = made_up(seed)
    want = count.compute_confident_joint(y, p, calibrate=False)
    ours = confident_joint(y, p)
    np.fill_diagonal(ours, ours.diagonal().clip(min=1))
    np.testing.assert_array_equal(ours, want)
    np.testing.assert_allclose(noise_joint(y, p), count.estimate_joint(y, p, confident_joint=want),
                               atol=1.5/len(y))
    assert noise_joint(y, p).sum() == pytest.approx(1)
    np.testing.assert_allclose(noise_joint(y, p).sum(1), np.bincount(y)/len(y))
    np.testing.assert_allclose(estimated_transition(y, p).sum(1), 1)

@pytest.mark.parametrize('seed', range(4))
def test_the_same_counts_lead_to_the_rows_of_cleanlab(seed):
    cleanlab = pytest.importorskip('cleanlab.filter')
    y, p, _ = made_up(seed)
    joint = np.rint(len(y)*noise_joint(y, p)).astype(int)
    want = cleanlab.find_label_issues(y, p, confident_joint=joint, n_jobs=1)
    np.testing.assert_array_equal(label_issues(y, p), want)

def test_planted_errors_in_the_digits_are_found(digits):
    y, p, truth = digits
    found, planted = label_issues(y, p), y != truth
    assert (found & planted).sum() >= .8*found.sum()
    assert (found & planted).sum() >= .8*planted.sum()
    assert planted[np.argsort(label_margin(y, p))[:50]].mean() > .95
    rank = pytest.importorskip('cleanlab.rank')
    theirs = rank.get_normalized_margin_for_each_label(y, p)
    np.testing.assert_allclose((label_margin(y, p) + 1)/2, theirs, atol=1e-9)

def test_a_row_is_asked_of_a_model_that_has_not_seen_it():
    x = torch.eye(12).repeat(1, 1)
    y = torch.arange(12) % 2
    config = FitConfig(epochs=60, batch_size=12, lr=.05, device='cpu', progress=False)
    p = held_out_probabilities(lambda: mlp(12, 8, 2), x, y, config, folds=3, how='stacked')
    assert p.shape == (12, 2) and p[np.arange(12), y].min() < .5
    with pytest.raises(InputError, match='`folds` must be from 2 to the 12 rows, got 1'):
        held_out_probabilities(lambda: mlp(12, 8, 2), x, y, config, folds=1)

P2 = np.array([[.9, .1], [.2, .8]])

@pytest.mark.parametrize('f, says', [
    (lambda: check_transition([[.5, .4], [.5, .5]]), r'`transition` must be square.*transpose'),
    (lambda: flip_labels(np.array([0]), np.eye(3)[:2]), r'`transition`.*shape \(2, 3\)'),
    (lambda: noise_matrix(3, 1.2), '`rate` must be from 0 to below 1, got 1.2'),
    (lambda: noise_matrix(3, .2, 'odd'), "`kind` must be 'symmetric' or 'pair', got 'odd'"),
    (lambda: transition_matrix(np.array([0]), np.array([1]), 2), r'\[1, 0\]. Look at more rows'),
    (lambda: check_probabilities(np.array([0]), P2), r'shape \(2, 2\) for 1 labels'),
    (lambda: label_issues(np.array([0, 1]), P2*np.nan), 'softmax'),
    (lambda: confident_joint(np.array([0, 2]), P2), 'classes from 0 to 1, got 0 to 2'),
    (lambda: label_issues(np.array([0, 0]), P2), r'\[2, 0\]. Leave out the column'),
])
def test_what_cannot_be_is_named_with_a_remedy(f, says):
    with pytest.raises(InputError, match=says): f()
