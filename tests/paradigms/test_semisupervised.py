"Labels that spread against scikit-learn and the closed form, FixMatch's loss, surgery's properties"
import numpy as np
import pytest
import torch
from sklearn.semi_supervised import LabelSpreading

from dlcourse.core.errors import InputError
from dlcourse.paradigms.embeddings import moons, normalized_graph, squared_distances
from dlcourse.paradigms.few_labels import (
    digits_with_few_labels,
    labelled_loss,
    right_share,
    strong,
    train_few,
    weak,
)
from dlcourse.paradigms.semisupervised import (
    consistency_loss,
    propagate,
    propagation_step,
    pseudo_labels,
    without_conflict,
)


def rng(seed=0): return torch.Generator().manual_seed(seed)


def webbed(n=60, seed=0):
    x, which = moons(n, rng(seed))
    x = x.double()
    graph = (-20*squared_distances(x, x)).exp().fill_diagonal_(0.)
    y = torch.full((n,), -1)
    y[:4] = which[:4]
    return x, graph, y


def chain(n): return torch.ones(n - 1).diag(1) + torch.ones(n - 1).diag(-1)


def ends(n):
    y = torch.full((n,), -1)
    y[0], y[-1] = 0, 1
    return y


def test_shares_far_from_any_label_add_up_to_1():
    torch.testing.assert_close(propagate(chain(400), ends(400))[100].sum(), torch.tensor(1.))


@pytest.mark.parametrize('alpha', [.2, .9])
def test_spreading_is_the_closed_form_and_scikit_learns(alpha):
    x, graph, y = webbed()
    got = propagate(graph, y, alpha, tolerance=1e-12)
    given = torch.nn.functional.one_hot(y.clamp(min=0)).double()*(y >= 0)[:, None]
    want = torch.linalg.solve(torch.eye(60).double() - alpha*normalized_graph(graph), given)
    torch.testing.assert_close(got, want/want.sum(1, keepdim=True))
    peer = LabelSpreading(gamma=20, alpha=alpha, tol=1e-9, max_iter=2000).fit(x, y)
    np.testing.assert_allclose(got, peer.label_distributions_, atol=1e-6)


def test_what_no_label_reaches_has_no_share():
    graph = torch.block_diag(torch.ones(2, 2), torch.ones(2, 2))
    got = propagate(graph, torch.tensor([0, -1, -1, -1]))
    torch.testing.assert_close(got, torch.tensor([[1.], [1], [0], [0]]))


def test_a_step_leaves_its_arguments_alone():
    _, graph, y = webbed()
    given = torch.nn.functional.one_hot(y.clamp(min=0)).double()
    before = given.clone()
    propagation_step(given, graph, given)
    assert torch.equal(given, before)


def test_loss_is_cross_entropy_where_all_are_believed():
    logits = torch.randn(9, 4, generator=rng())
    labels, believed = pseudo_labels(logits, 0.)
    assert believed.all()
    want = torch.nn.functional.cross_entropy(2*logits, labels)
    torch.testing.assert_close(consistency_loss(logits, 2*logits, 0.), want)


@pytest.mark.parametrize('seed', range(5))
def test_what_is_left_never_works_against_the_other(seed):
    own, other = torch.randn(2, 7, generator=rng(seed), dtype=torch.float64)
    left = without_conflict(own, other)
    assert left @ other >= -1e-12 and left.norm() <= own.norm() + 1e-12


def test_labelled_rows_are_balanced_and_no_row_is_in_two_parts():
    data = digits_with_few_labels(3, 1)
    assert torch.equal(data.y.bincount(), torch.full((10,), 3))
    assert len(data.x) + len(data.more) == 776 and len(data.test_x) == 891
    other = digits_with_few_labels(2, classes=range(5), others=range(5, 10))
    assert other.hidden.min() == 5 and other.test_y.max() == 4


def test_views_follow_their_generator_and_training_its_seed():
    data = digits_with_few_labels(2)
    for view in (weak, strong):
        assert torch.equal(view(data.x, rng(1)), view(data.x, rng(1)))
        assert view(data.x, rng(1)).shape == data.x.shape
    before = torch.random.get_rng_state()
    one, two = (train_few(lambda m, s: labelled_loss(m, data, rng(s)), steps=30) for _ in range(2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert right_share(one, data.test_x, data.test_y) == right_share(two, data.test_x, data.test_y)
    assert right_share(one, data.x, data.y) > .5


@pytest.mark.parametrize(('call', 'name'), [
    (lambda: digits_with_few_labels(1000), 'each'),
    (lambda: digits_with_few_labels(classes=[11]), '`classes`'),
    (lambda: digits_with_few_labels(others=[]), '`others`'),
    (lambda: train_few(lambda m, s: torch.tensor(torch.nan)), '`loss`'),
    (lambda: propagate(torch.ones(3, 3), torch.full((3,), -1)), '`y`'),
    (lambda: propagate(torch.zeros(3, 3), torch.tensor([0, 1, -1])), 'row 0'),
    (lambda: propagate(torch.ones(3, 3), torch.tensor([0, 1, -1]), alpha=1.), 'alpha'),
    (lambda: propagate(chain(40), ends(40), .9999), '`steps`'),
    (lambda: propagate(-torch.ones(3, 3), torch.tensor([0, 1, -1])), '`weights`'),
    (lambda: propagate(torch.ones(3, 3)*torch.nan, torch.tensor([0, 1, -1])), '`weights`'),
    (lambda: propagate(torch.ones(3, 3), torch.tensor([0, 1])), '`y`'),
    (lambda: propagate(torch.ones(3, 3), [0, 1, -1]), '`y`'),
    (lambda: propagate(torch.ones(3, 3), torch.tensor([0., 1, -1])), '`y`'),
    (lambda: digits_with_few_labels(2, classes=[1, 1]), '`classes`'),
    (lambda: right_share(torch.nn.Identity(), torch.eye(3), torch.zeros(3, 1).long()), '`y`'),
])
def test_what_cannot_be_is_named(call, name):
    with pytest.raises(InputError, match=name): call()


def test_a_broken_model_does_not_pass_for_an_unsure_one():
    broken = torch.full((2, 3), torch.nan)
    assert consistency_loss(broken, torch.zeros(2, 3)).isnan()
