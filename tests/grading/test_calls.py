"A check does not notice that its candidate is somewhere else"
import os
import socket
import threading

import numpy as np
import pytest

from dlcourse.core.errors import InputError
from dlcourse.core.limits import OutOfTime
from dlcourse.grading import calls
from dlcourse.grading.answerer import Answerer, Line
from dlcourse.grading.calls import Caller, Gone
from dlcourse.grading.wire import Other, Unsendable

torch = pytest.importorskip('torch')


def far(f, seconds=10):
    near, other = socket.socketpair()
    answerer = Answerer(Line(other.detach()), f)
    threading.Thread(target=answerer.serve, daemon=True).start()
    return Caller(Line(near.detach()), seconds=seconds)


def test_arguments_change_here_as_there():
    def harm(numbers, table, array, tensor):
        numbers.append(4); table['b'] = numbers; array += 1; tensor.mul_(2)
    numbers, table, array, tensor = [1], {'a': 1}, np.zeros(2), torch.ones(2)
    far(harm)(numbers, table, array, tensor=tensor)
    assert (numbers, table, array.tolist(), tensor.tolist()) == ([1, 4], {'a': 1, 'b': [1, 4]},
                                                                 [1, 1], [2, 2])
    assert table['b'] is numbers


def test_a_step_of_training_happens_here():
    def step(model, x, optimizer):
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()
    models = [torch.nn.Linear(2, 1) for _ in range(2)]
    models[1].load_state_dict(models[0].state_dict())
    for model, f in zip(models, (step, far(step)), strict=True):
        optimizer = torch.optim.SGD(model.parameters(), .1, momentum=.9)
        for _ in range(3): f(model, torch.ones(2, 2), optimizer)
    for a, b in zip(*(m.parameters() for m in models), strict=True):
        torch.testing.assert_close(a, b)
        torch.testing.assert_close(a.grad, b.grad)


@pytest.mark.parametrize('f', [lambda x, w: (x @ w).tanh(), lambda x, w: (x*2, (x @ w).exp())])
def test_gradients_come_back(f):
    x, w = torch.randn(3, 2, requires_grad=True), torch.nn.Parameter(torch.randn(2, 2))
    found = []
    for g in (f, far(f)):
        out = g(x, w)
        out = sum(o.sum() for o in out) if isinstance(out, tuple) else out.sum()
        found.append(torch.autograd.grad(out, [x, w]))
    for a, b in zip(*found, strict=True): torch.testing.assert_close(a, b)


def test_without_gradients_there_are_none():
    x = torch.ones(1, requires_grad=True)
    with torch.no_grad(): assert not far(lambda x: x*2)(x).requires_grad
    assert not far(lambda x: x.detach())(x).requires_grad


def test_random_numbers_are_those_of_here():
    import random
    def draw(): return torch.rand(2), np.random.rand(), random.random()
    def seed(): torch.manual_seed(1); np.random.seed(1); random.seed(1)
    seed()
    here = [draw(), draw()]
    seed()
    there = [far(draw)(), draw()]
    assert repr(here) == repr(there)


def test_generators_and_iterators():
    g = torch.Generator().manual_seed(3)
    far(lambda g: torch.rand(2, generator=g))(g)
    other = torch.Generator().manual_seed(3)
    torch.rand(2, generator=other)
    assert torch.equal(g.get_state(), other.get_state())
    assert list(far(lambda n: (i*i for i in range(n)))(3)) == [0, 1, 4]
    assert far(sum)(i for i in range(4)) == 6
    assert far(lambda n: lambda x: lambda y: n + x + y)(1)(2)(3) == 6


def test_what_works_later_changes_its_arguments_here_too():
    def make(log):
        def add(xs): log.append(len(xs)); xs.clear(); return log
        return add
    log, xs = [], [1, 2]
    add = far(make)(log)
    assert (add(xs), log, xs) == ([2], [2], []) and add(xs) is log == [2, 0]
    def drain(xs, generator):
        while xs: yield xs.pop(), torch.rand(1, generator=generator)
    xs, generators = [1, 2], [torch.Generator().manual_seed(0) for _ in range(2)]
    drained = far(drain)(xs, generators[0])
    assert (next(drained)[0], list(xs), next(drained)[0], xs) == (2, [1], 1, [])
    with pytest.raises(StopIteration): next(drained)
    torch.rand(2, generator=generators[1])
    assert torch.equal(*(g.get_state() for g in generators))
    layer = torch.nn.Linear(1, 1)
    halve = far(lambda m: lambda: [p.data.mul_(.5) for p in m.parameters()])(layer)
    before = layer.weight.item()
    for _ in range(2): halve()
    assert layer.weight.item() == before/4


def test_a_step_that_has_no_end_is_stopped():
    def steps():
        yield 1
        while True: pass
    it = far(steps, seconds=.2)()
    assert next(it) == 1
    with pytest.raises(OutOfTime): next(it)


def test_random_numbers_of_steps_are_those_of_here():
    def draws():
        while True: yield torch.rand(1).item()
    it = far(draws)()
    found = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        found.append((next(it), torch.rand(1).item()))
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize('error, kind', [
    (ValueError('a'), ValueError), (InputError('a'), InputError), (KeyError('a'), KeyError),
    (NotImplementedError('Your turn: x'), NotImplementedError), (SystemExit(1), RuntimeError),
    (type('Odd', (IndexError,), {})('a'), IndexError),
    (type('Liar', (Exception,), {'__str__': lambda self: 1/0})(), Exception)])
def test_errors_arrive_as_their_kind(error, kind):
    def f(): raise error
    with pytest.raises(kind): far(f)()


def test_what_has_no_end_is_stopped():
    def loop():
        while True: pass
    with pytest.raises(OutOfTime): far(loop, seconds=.2)()


def test_values_that_cannot_travel_are_no_values():
    assert far(lambda: object())() == Other('object')
    class Yes(float):
        def __eq__(self, other): return True
    assert far(lambda: Yes(1))() != 3.


@pytest.mark.parametrize('said', [b'', b'[]', b'nonsense', b'{"value": ["os", 1]}', b'{}',
                                  b'{"value": ["plain", null], "changed": [[99, []]]}',
                                  b'{"flow": [0, [["tensor"]]]}', b'{"raised": [1, 2]}', b'9'*5000])
def test_a_liar_at_the_other_end_raises_one_of_two_errors(said):
    near, other = socket.socketpair()
    line = Line(other.fileno())
    def lie():
        line.receive()
        if said: line.send(said)
        other.close()
    threading.Thread(target=lie, daemon=True).start()
    with pytest.raises((Gone, Unsendable)): Caller(Line(near.fileno()))(1)
    near.close()


def test_a_length_that_is_no_length():
    near, other = socket.socketpair()
    os.write(other.fileno(), b'\xff'*8)
    with pytest.raises(Unsendable, match='a message of'): Line(near.fileno()).receive()
    near.close()
    other.close()


@pytest.mark.parametrize('draws', [True, False])
def test_only_where_the_reference_draws_may_an_answer_move_our_random_states(draws, monkeypatch):
    moved = []
    monkeypatch.setattr(calls, 'set_random_states', moved.append)
    caller = far(lambda: torch.rand(1))
    caller.draws = draws
    caller()
    assert bool(moved) == draws
