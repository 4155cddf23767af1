"Comparing values: types first, then content, and nobody's own `==`"
from collections import Counter, defaultdict, namedtuple
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
import torch

from dlcourse.classroom.checks import expect
from dlcourse.classroom.conduct import alike, freeze
from dlcourse.classroom.values import Mismatch, compare_values


@dataclass
class Point: x:float; y:list


class Agreeable(float):
    def __eq__(self, other): return True


class Bent(torch.Tensor):
    def __eq__(self, other): return torch.tensor(True)
    @classmethod
    def __torch_function__(cls, f, types, args=(), kwargs=None): return torch.tensor(True)


class Curved(np.ndarray):
    def __eq__(self, other): return np.array(True)


T, HERE = torch.tensor, __name__.split('.')[0]


@pytest.mark.parametrize('got, want, tolerance', [
    (1, 1, {}), (1.5, 1.5, {}), (float('nan'), float('nan'), {}),
    (float('inf'), float('inf'), dict(atol=1)), ('a', 'a', {}), (None, None, {}), (True, True, {}),
    (.1 + .2, .3, dict(atol=1e-15)), (101., 100., dict(rtol=.01)),
    ([1, (2., 'x'), {'a': {3}}], [1, (2., 'x'), {'a': {3}}], {}), (1+2j, 1+2j, {}),
    (5, 6, dict(atol=1)),
    (T([1., float('nan')]), T([1., float('nan')]), {}), (T([1, 2]), T([1, 2]), {}),
    (T([1., 2.]), T([1., 2.0001]), dict(atol=1e-3)), (T([]), T([]), {}),
    (torch.nn.Parameter(T([1.])), T([1.]), {}), (T([1.], requires_grad=True), T([1.]), {}),
    (T([1.]).to(torch.bfloat16), T([1.]).to(torch.bfloat16), {}),
    (T([1+2j]).conj(), T([1-2j]), {}), (torch.eye(2).to_sparse(), torch.eye(2).to_sparse(), {}),
    (np.array([1, 2]), np.array([1, 2]), {}), (np.float32(1), np.float32(1), {}),
    (np.array(['a', None], object), np.array(['a', None], object), {}),
    (Point(1., [T(2)]), Point(1., [T(2)]), {}), (Fraction(1, 3), Fraction(1, 3), {}),
    (torch.float32, torch.float32, {}), (torch.Size([2]), torch.Size([2]), {}), (int, int, {}),
    (slice(1, 2), slice(1, 2), {}), (frozenset({1}), frozenset({1}), {}),
    (torch.empty(2, device='meta'), torch.empty(2, device='meta'), {}),
    (T([2**53 + 1]), T([2**53 + 1]), {}), (b'x', b'x', {}),
])
def test_equal(got, want, tolerance): expect(got, want, **tolerance)


@pytest.mark.parametrize('got, want, says', [
    (1., 1, 'expected an int: 1, came a float: 1.0'), (True, 1, 'came a bool: True'),
    (1, 2, 'expected 2, came 1'), (None, 1, 'expected an int: 1, came None'),
    (np.float64(1), 1, 'expected an int: 1, came a numpy.float64: np.float64(1.0)'),
    ('a', 'b', "expected 'b', came 'a'"), (1, None, 'expected None, came an int: 1'),
    (float('nan'), 1., 'expected 1.0, came nan'), (1., float('nan'), 'expected nan'),
    (.3, .3000001, 'expected 0.3000001, came 0.3'),
    ([1, [2, 3.]], [1, [2, 3]], 'at [1][1]: expected an int: 3, came a float: 3.0'),
    ([1], [1, 2], 'expected length 2, came length 1'),
    ((1,), [1], 'expected a list: [1], came a tuple: (1,)'),
    ({'a': 1}, {'a': 1, 'b': 2}, "expected keys ['a', 'b'], came keys ['a']"),
    ({'a': 1}, {'a': 2}, "at ['a']: expected 2, came 1"), ({1., 2}, {1, 2}, 'expected {1, 2}'),
    (T([[1, 2], [3, 4]]), T([[1, 2], [3, 5]]), 'expected [[1, 2], [3, 5]], came [[1, 2], [3, 4]]'),
    (torch.zeros(3, 4), torch.eye(3, 4), 'at [0, 0]: expected 1.0, came 0.0 (3 of 12 elements '
                                         'differ)'), (torch.zeros(2, 3), torch.zeros(3, 2),
                                                      'expected shape (3, 2), came shape (2, 3)'),
    (torch.zeros(2), torch.zeros(2, dtype=int), 'expected dtype int64, came dtype float32'),
    (T(1), 1, 'expected an int: 1, came tensor of int64, shape (): 1'),
    (1, T(1), 'expected tensor of int64, shape (): 1, came an int: 1'),
    (np.zeros(2), T([0., 0.]), 'came array of float64, shape (2,): [0.0, 0.0]'),
    (torch.zeros(2, device='meta'), torch.zeros(2), 'expected device cpu, came device meta'),
    (np.zeros(7, int), np.zeros(7), 'expected dtype float64, came dtype int64'),
    (np.arange(8), np.arange(8)[::-1].copy(),
     'at [0]: expected 7, came 0 (8 of 8 elements differ)'),
     (T(1.), T(2.), 'expected 2.0, came 1.0'),
    (Point(1., [2]), Point(1., [3]), 'at .y[0]: expected 3, came 2'),
    (T([2**53 + 1]), T([2**53]), 'came [9007199254740993]'),
    (Agreeable(3), 4., f'came a {HERE}.Agreeable'),
    (torch.zeros(2).as_subclass(Bent), torch.ones(2), f'came a {HERE}.Bent'),
    (np.zeros(2).view(Curved), np.ones(2), f'came a {HERE}.Curved'),
    (torch.float32, torch.float64, 'expected torch.float64'),
    (torch.eye(2).to_sparse(), torch.eye(2), 'expected'),
    ('x'*500, 'y', '…'), (lambda: 1, 1, 'came a function'),
    (np.nan, np.inf, 'expected inf, came nan'),
])
def test_different(got, want, says):
    with pytest.raises(Mismatch) as e: expect(got, want)
    text = str(e.value)
    assert says in text and len(text) < 250


def test_tolerance_does_not_forgive_type_or_shape():
    for got, want in [(1., 1), (T([1.]), T([[1.]])), (T([1.]), T([1])), (np.inf, 1.), (1., np.inf),
                      (True, 1.), ('1', 1.), (np.bool_(True), 1)]:
        with pytest.raises(Mismatch): expect(got, want, atol=1e9)


@pytest.mark.parametrize('got, want', [
    (1, 1.), (np.float64(1), 1.), (np.float32(.5), .5), (np.array(2.), 2.), (np.int64(3), 3),
    (np.uint8(3), 3), (1., np.float64(1)), (np.bool_(True), True), (.1 + .2, .3),
    ([np.float64(1), (2,)], [1., (2.,)]), ({'a': 1}, {'a': 1.}),
    (T([1.]).double(), T([1.])), (np.float32([1, 2]), np.array([1., 2.])),
    (np.uint8([1]), np.array([1])), (T([]), torch.zeros(0, dtype=bool)),
    (T([1., 1e-9]), T([1., 0.])), (np.array([1e9, 1e-4]), np.array([1e9, 0.])),
])
def test_another_type_of_the_same_number_is_right_unless_exactness_is_asked_for(got, want):
    expect(got, want)
    with pytest.raises(Mismatch): expect(got, want, exactly=True)


def test_what_cannot_be_compared_is_the_authors_to_mend():
    class Odd:
        def __eq__(self, other): return np.array([True, False])
    with pytest.raises(TypeError, match='compare its parts'): expect(Odd(), Odd())


def test_a_changed_torch_does_not_help(monkeypatch):
    expect(T([1.]), T([1.]))
    monkeypatch.setattr(torch.Tensor, 'numpy', lambda *a, **k: np.zeros(1))
    monkeypatch.setattr(torch.Tensor, 'detach', lambda t: torch.zeros(1))
    with pytest.raises(Mismatch): expect(T([1.]), T([2.]))


def test_frozen_values_are_alike_but_for_rounding():
    class Thing: pass
    thing = Thing(); thing.x, thing.me = T([1.]), thing
    for a, b, same in [([1., T([1.])], [1. + 1e-12, T([1. + 1e-6])], True), (1, 1., False),
                       (T([1]), T([1.]), False), ((1,), [1], False), ({'a': 1}, {'a': 2}, False),
                       ([1]*5, [1]*6, False), (T([1.]), T([[1.]]), False),
                       (float('nan'), float('nan'), True), (thing, thing, True),
                       (np.ones(2), np.ones(2), True)]:
        assert alike(freeze(a), freeze(b)) is same, (a, b)
    before = freeze(thing)
    thing.x += 1
    assert not alike(before, freeze(thing))


class Lying(list):
    def __iter__(self): return iter([1, 2])
    def __getitem__(self, i): return i + 1
    def __len__(self): return 2
    def __eq__(self, other): return True


@pytest.mark.parametrize('got, want', [
    (defaultdict(int, a=1), dict(a=1)), (Counter('aab'), dict(a=2, b=1)),
    (namedtuple('Pair', 'a b')(1, 2), (1, 2)),
])
def test_a_container_of_a_kind_of_its_own_is_what_it_holds(got, want):
    compare_values(got, want)
    with pytest.raises(Mismatch): compare_values(got, want, exactly=True)


def test_a_container_that_lies_is_looked_into():
    compare_values(Lying([1, 2]), [1, 2])
    with pytest.raises(Mismatch): compare_values(Lying([7]), [1, 2])
    with pytest.raises(Mismatch): compare_values([1, 2], (1, 2))
