"Forgetting, reservoirs and Fisher information against counts, closed forms and torch's Hessian"
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dlcourse.core.errors import InputError
from dlcourse.paradigms.continual import (
    Reservoir,
    ewc_penalty,
    fisher_diagonal,
    forgetting,
    reservoir_place,
)
from dlcourse.paradigms.learners import WAYS_OF_LEARNING, Window, follow_stream, learn_in_turn
from dlcourse.paradigms.tasks import Task, permuted_tasks, rotated_rows, split_tasks, turning
from dlcourse.training.zoo import mlp


def rng(seed=0): return torch.Generator().manual_seed(seed)


def toy(rows=40, classes=4):
    y = torch.arange(rows) % classes
    x = torch.randn(rows, 9, generator=rng())/3
    x[torch.arange(rows), y] += 2
    return Task(x, y, x, y)


def test_a_help_counts_as_negative_forgetting():
    assert forgetting([[.5, 0], [.7, 1]]) == pytest.approx(-.2)


def test_every_row_of_a_stream_is_kept_as_often():
    size, count, runs = 5, 20, 2000
    kept = np.zeros(count)
    for seed in range(runs):
        memory = Reservoir(size, seed)
        for k in range(count): memory.add(torch.tensor(k), torch.tensor(k))
        for x, _ in memory.rows: kept[int(x)] += 1
    expected = runs*size/count
    assert kept.sum() == runs*size
    assert ((kept - expected)**2/expected).sum() < 45 # The 99.9 % point of 19 degrees is 43.8


def test_the_largest_draw_stays_outside_a_full_memory():
    assert reservoir_place(10, 3, 1 - 1e-12) is None
    assert reservoir_place(2, 3, 1 - 1e-12) == 2


def test_fisher_is_the_diagonal_of_the_expected_hessian():
    "For a network that is linear in its last layer: there both are the same"
    torch.manual_seed(0)
    model = nn.Linear(3, 4).double()
    x = torch.randn(5, 3, generator=rng(), dtype=torch.float64)
    p = model(x).softmax(1).detach()
    def expected_loss(weight):
        return -(p*F.linear(x, weight, model.bias).log_softmax(1)).sum(1).mean()
    hessian = torch.autograd.functional.hessian(expected_loss, model.weight.detach())
    diagonal = hessian.reshape(12, 12).diagonal().view(4, 3)
    torch.testing.assert_close(fisher_diagonal(model, x)[0], diagonal)


def test_fisher_of_a_deeper_network_is_the_sum_over_rows_and_classes():
    torch.manual_seed(0)
    model, x = mlp(9, 6, 4), torch.randn(3, 9, generator=rng())
    want = [torch.zeros_like(p) for p in model.parameters()]
    for row in x:
        for c in range(4):
            model.zero_grad()
            log_p = model(row).log_softmax(0)[c]
            log_p.backward()
            for w, p in zip(want, model.parameters(), strict=True):
                w += log_p.detach().exp()*p.grad**2/3
    for a, b in zip(fisher_diagonal(model, x), want, strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-4)


def test_the_pull_is_zero_at_home_and_grows_with_the_square():
    w, f = [torch.ones(3)], [torch.tensor([1., 2, 3])]
    assert float(ewc_penalty(w, w, f)) == 0
    one, two = (float(ewc_penalty([w[0] + k], w, f)) for k in (1, 2))
    assert one == pytest.approx(3) and two == pytest.approx(4*one)


def test_splits_part_the_rows_and_orders_keep_the_numbers():
    data = toy()
    tasks = split_tasks(data)
    assert [t.y.unique().tolist() for t in tasks] == [[0, 1], [2, 3]]
    assert sum(len(t.y) for t in tasks) == len(data.y)
    plain, other = permuted_tasks(2, 3, data)
    assert torch.equal(plain.x, data.x) and not torch.equal(other.x, data.x)
    assert torch.equal(other.x.sort(1)[0], data.x.sort(1)[0])
    with pytest.raises(InputError, match="`each` must divide the 4 classes"):
        split_tasks(data, each=3)
    missing = data._replace(x_test=data.x[data.y > 0], y_test=data.y[data.y > 0])
    with pytest.raises(InputError, match="each class to test on"): split_tasks(missing)


def test_a_stream_begins_upright_and_a_quarter_turn_is_rot90():
    x = torch.rand(3, 64, generator=rng())
    torch.testing.assert_close(rotated_rows(x, 0), x)
    quarter = torch.rot90(x.view(3, 8, 8), -1, (1, 2)).flatten(1)
    other = torch.rot90(x.view(3, 8, 8), 1, (1, 2)).flatten(1)
    got = rotated_rows(x, 90)
    assert min(float((got - v).abs().max()) for v in (quarter, other)) < 1e-4
    data = Task(x, torch.arange(3), x, torch.arange(3))
    angles = [angle for *_, angle in turning(data, batches=5, degrees=90)]
    assert angles == [0, 22.5, 45, 67.5, 90]
    with pytest.raises(InputError, match="square pictures"): rotated_rows(x[:, :63], 10)


@pytest.mark.parametrize('way', WAYS_OF_LEARNING)
def test_each_way_follows_its_seed_and_gives_a_table(way):
    tasks = permuted_tasks(2, 0, toy())
    a, b = (learn_in_turn(tasks, way, 1, steps=3, width=8, memory=5, rank=2) for _ in range(2))
    assert a.shape == (2, 2) and (a == b).all()


def test_adapters_forget_nothing():
    table = learn_in_turn(permuted_tasks(3, 0, toy()), 'lora', steps=20, width=8, rank=2)
    assert table[0, 0] == table[1, 0] == table[2, 0] and table[1, 1] == table[2, 1]


def test_memory_helps_where_nothing_else_does():
    tasks = split_tasks(toy(200))
    alone, kept = (learn_in_turn(tasks, way, steps=200, width=32)
                   for way in ('alone', 'rehearsal'))
    assert kept[-1, 0] > alone[-1, 0] + .2


def test_a_stream_is_tested_before_it_is_learnt():
    torch.manual_seed(0)
    model, data = mlp(9, 8, 4), toy()
    stream = turning(data, batches=6, batch_size=8)
    before = [p.clone() for p in model.parameters()]
    never, same = follow_stream(model, stream, 'never learns')
    for memory in ('forgets', 'window', 'reservoir'):
        right, learnt = follow_stream(model, stream, memory, size=10)
        assert right[0] == never[0] and len(right) == 6
        assert not torch.equal(next(learnt.parameters()), before[0])
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(before, same.parameters(), strict=True))


def test_a_window_keeps_the_latest():
    window = Window(3)
    for k in range(7): window.add(torch.tensor(k), torch.tensor(k))
    assert [int(x) for x, _ in window.rows] == [4, 5, 6] and window.sample(9)[0].min() >= 4


def test_options_that_cannot_be_are_named():
    with pytest.raises(InputError, match="`way` must be one of alone"): learn_in_turn([], 'sleep')
    with pytest.raises(InputError, match="`tasks` must be one or more"): learn_in_turn([])
    with pytest.raises(InputError, match="`memory` must be one of"):
        follow_stream(mlp(9, 4), [], 'all')
    with pytest.raises(InputError, match="must have seen a row"): Reservoir(3).sample(1)
    with pytest.raises(InputError, match="`size`"): Reservoir(0)
    with pytest.raises(InputError, match="must have seen a row"): Window(3).sample(1)
    with pytest.raises(InputError, match="`steps`"): follow_stream(mlp(9, 4), [], steps=0)


@pytest.mark.parametrize('memory', [Reservoir, Window])
def test_a_memory_is_its_own(memory):
    kept, row, label = memory(2), torch.zeros(3), torch.tensor(0)
    kept.add(row, label)
    row[:], label[()] = 9, 9
    assert not kept.sample(1)[0].any() and not kept.sample(1)[1].any()
    for n in (0, -1):
        with pytest.raises(InputError, match="`n`"): kept.sample(n)


@pytest.mark.parametrize(('call', 'name'), [
    (lambda: rotated_rows(torch.ones(2, 9), float('nan')), '`degrees`'),
    (lambda: rotated_rows(torch.ones(2, 9), float('inf')), '`degrees`'),
    (lambda: turning(toy(0)), '`data`'), (lambda: split_tasks(toy(0)), '`data`'),
])
def test_tasks_that_cannot_be_are_named(call, name):
    with pytest.raises(InputError, match=name): call()
