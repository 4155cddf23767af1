"Newton–Schulz against a decomposition, and what an optimizer of any rule keeps and hands over"
import copy
import pickle

import pytest
import torch

from dlcourse.foundations.optimizers import Optimizer, options_of, orthogonalize, sgd_update


@pytest.mark.parametrize('shape', [(5, 5), (7, 4), (4, 9), (1, 6)])
def test_orthogonalize_keeps_the_singular_vectors_and_applies_the_polynomial(shape):
    matrix = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    u, s, vt = torch.linalg.svd(matrix, full_matrices=False)
    s = s/matrix.norm()
    for _ in range(5): s = 3.4445*s - 4.7750*s**3 + 2.0315*s**5
    assert torch.allclose(orthogonalize(matrix), u @ torch.diag(s) @ vt, rtol=0, atol=1e-12)
    converging = orthogonalize(matrix, steps=60, coefficients=(15/8, -10/8, 3/8))
    assert torch.allclose(converging, u @ vt, rtol=0, atol=1e-9)


def test_orthogonalize_of_nothing_is_nothing():
    assert not orthogonalize(torch.zeros(3, 2)).any()


@pytest.mark.parametrize('copied', [copy.deepcopy, lambda o: pickle.loads(pickle.dumps(o))])
def test_a_copy_keeps_the_rule_and_a_checkpoint_does_not_hold_it(copied):
    p = torch.tensor([2.], requires_grad=True)
    optimizer = copied(Optimizer([p], sgd_update, lr=.25, momentum=.5))
    mine, = optimizer.param_groups[0]['params']
    mine.grad = torch.tensor([4.])
    optimizer.step()
    assert mine.item() == 1 and 'rule' not in str(optimizer.state_dict())


def test_a_rule_says_itself_which_options_it_takes():
    assert options_of(sgd_update) == ('lr', 'momentum', 'dampening', 'nesterov')


def test_options_that_a_rule_does_not_know_are_kept_from_it():
    def halved(p, grad, state, *, by=2.): p.div_(by)
    p = torch.tensor([8.], requires_grad=True)
    p.grad = torch.ones(1)
    Optimizer([p], halved, lr=1.).step()
    assert p.item() == 4


def test_decay_stands_in_the_gradient_or_outside():
    for decoupled, want in ((False, 1 - .5*(.5 + .2)), (True, (1 - .5*.2) - .5*.5)):
        p = torch.tensor([1.], requires_grad=True)
        p.grad = torch.tensor([.5])
        Optimizer([p], sgd_update, lr=.5, weight_decay=.2, decoupled_weight_decay=decoupled).step()
        assert abs(p.item() - want) < 1e-6
