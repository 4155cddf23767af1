"Batches: rows counted once, an order of their own, and pieces that add up to the whole"
import pytest
import torch
from loop_runs import X, Y, batches, held_out, network, same, small
from torch.nn import functional as F

from dlcourse.core.errors import InputError
from dlcourse.training.batches import (
    Batches,
    backward_in_parts,
    counted_rows,
    evaluate,
    row_counter,
    top1_accuracy,
)


def targets(data): return torch.cat([batch[-1] for batch in data])


def test_an_epoch_holds_every_row_once_in_an_order_of_its_own():
    data = Batches(torch.arange(10), batch_size=4, seed=3)
    first = targets(data)
    torch.rand(100) # Somebody draws
    second = targets(data)
    assert len(data) == 3 and sorted(first.tolist()) == sorted(second.tolist()) == list(range(10))
    assert first.tolist() != second.tolist()
    again = Batches(torch.arange(10), batch_size=4, seed=3)
    assert torch.equal(targets(again), first) and torch.equal(targets(again), second)


def test_without_shuffling_rows_come_as_they_are_and_the_last_batch_can_be_left_out():
    kept = Batches(torch.arange(10), batch_size=4, shuffle=False)
    cut = Batches(torch.arange(10), batch_size=4, shuffle=False, drop_last=True)
    assert [len(b[0]) for b in kept] == [4, 4, 2] and [len(b[0]) for b in cut] == [4, 4]
    assert targets(kept).tolist() == list(range(10)) and len(cut) == 2


def test_the_same_rows_elsewhere_share_the_order():
    data = Batches(X[:84], Y[:84], batch_size=16, seed=1)
    there = data.at(torch.device('cpu'))
    assert there.generator is data.generator and there.batch_size == 16 and there.seed == 1
    assert data.at(torch.device('cpu'), shuffle=False).shuffle is False


@pytest.mark.parametrize('parts', [2, 3, 4, 16, 100])
def test_pieces_are_the_big_batch(parts):
    whole, pieces = small().double(), small().double()
    batch = X[:10].double(), Y[:10] # In three parts 4, 4, 2
    loss = F.cross_entropy(whole(batch[0]), batch[1])
    loss.backward()
    value = backward_in_parts(pieces, batch, F.cross_entropy, parts)
    assert not value.requires_grad and value.item() == pytest.approx(loss.item(), abs=1e-12)
    for p, q in zip(whole.parameters(), pieces.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, atol=1e-12, rtol=0)


def test_evaluation_changes_nothing():
    model = network()
    model.train()
    model[3].eval()
    before, state = {k: v.clone() for k, v in model.state_dict().items()}, torch.get_rng_state()
    def scores(): return evaluate(model, held_out(), F.cross_entropy, {'accuracy': top1_accuracy})
    found = scores()
    assert [m.training for m in model] == [True, True, True, False, True]
    assert same(before, model.state_dict()) and torch.equal(state, torch.get_rng_state())
    assert found == scores() and all(p.grad is None for p in model.parameters())
    with pytest.raises(InputError, match='`batches` must hold at least one row'):
        evaluate(model, [], F.cross_entropy)
    def broken(*_): raise RuntimeError
    with pytest.raises(RuntimeError): evaluate(model, held_out(), broken)
    assert model.training


def test_accuracy_is_the_share_of_rows_whose_largest_output_is_right():
    outputs, target = torch.randn(4, 6, 3), torch.randint(3, (4, 6))
    right = sum(int(o.argmax()) == int(t) for o,
                t in zip(outputs.view(24, 3), target.view(24), strict=True))
    assert top1_accuracy(outputs, target).item() == pytest.approx(right/24)


def test_what_batches_refuse():
    with pytest.raises(InputError, match=r'`tensors` must be tensors of one length.* got lengths '
                                         r'\[2, 3\]'):
        Batches(torch.ones(2), torch.ones(3))
    with pytest.raises(InputError, match=r'got lengths \[\]'): Batches()
    with pytest.raises(InputError, match=r'got lengths \[0\]'): Batches(torch.ones(0))
    with pytest.raises(InputError, match='`batch_size` must be a whole number'): batches(0)


@pytest.mark.parametrize('target', [torch.tensor([[1], [0]]), torch.eye(2), torch.tensor([1])])
def test_a_row_is_never_compared_with_the_others(target):
    with pytest.raises(InputError, match='`target` must have the shape of the answers'):
        top1_accuracy(torch.randn(2, 2), target)


@pytest.mark.parametrize('ask', [
    lambda m, x: evaluate(m.train(), [(x, x)], F.mse_loss), # Wakes nothing
    lambda m, x: backward_in_parts(m.train(), (torch.cat([x, x]),)*2, F.mse_loss, 2)])
def test_one_row_is_too_few_to_be_normalized(ask):
    model = torch.nn.Sequential(torch.nn.BatchNorm1d(3, track_running_stats=False))
    with pytest.raises(InputError, match='batch normalization needs two rows or more'):
        ask(model, torch.ones(1, 3))


@pytest.mark.parametrize('size', [True, 2.5, 0, '3'])
def test_a_batch_size_is_a_whole_number(size):
    with pytest.raises(InputError, match='`batch_size` must be a whole number from 1'):
        Batches(X, Y, batch_size=size)


def test_batches_are_of_tensors():
    with pytest.raises(InputError, match="got lengths .'list', 'list'."): Batches([1, 2], [3, 4])


@pytest.mark.parametrize('value', [torch.ones(2), '1.5', None, {'a': 1}])
def test_a_metric_that_gives_no_number_is_named(value):
    with pytest.raises(InputError, match="one number each; 'mine' gave"):
        evaluate(small(), held_out(), F.cross_entropy, {'mine': lambda *_: value})
    with pytest.raises(InputError, match="must not call one 'loss'"):
        evaluate(small(), held_out(), F.cross_entropy, {'loss': top1_accuracy})


def test_the_accuracy_of_nan_is_nan():
    outputs = torch.eye(3)
    outputs[0, 2] = torch.nan
    assert top1_accuracy(outputs, torch.tensor([2, 1, 2])).isnan()
    assert top1_accuracy(torch.eye(3).long(), torch.arange(3)) == 1


W = torch.tensor([1., 2., 3.])


@pytest.mark.parametrize('loss', [F.cross_entropy, torch.nn.CrossEntropyLoss(weight=W), F.mse_loss,
                                  torch.nn.CrossEntropyLoss(ignore_index=1)])
@pytest.mark.parametrize('left_out', [0, 3])
def test_the_rows_of_an_epoch_are_counted_as_those_of_each_batch(loss, left_out):
    y = torch.arange(20) % 3
    y[:left_out] = -100
    if loss is F.mse_loss: y = y.float()
    rows = Batches(torch.randn(20, 2), y, batch_size=6)
    for data in (rows, list(rows)):
        count = row_counter(loss, data)
        for batch in data: assert float(count(batch[-1])) == float(counted_rows(loss, batch[-1]))
