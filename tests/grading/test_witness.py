"The witness: outside the same values agree as inside, and nothing that is said stops the judge"
import json
import math
from dataclasses import dataclass

import numpy as np
import pytest

from dlcourse.classroom.checks import expect
from dlcourse.classroom.values import as_wanted
from dlcourse.grading.witness import agrees, make_key, plain_data


@dataclass
class Point:
    x: float
    y: object


class Mine:
    def __eq__(self, other): return True


VALUES = [None, True, False, 0, 1, -1, 1 << 70, 0., -0., 1., 1.5, math.nan, math.inf, 1j, 'a', '',
          b'a', [], [1], [1., [2]], (), (1,), {}, {'a': 1}, {'a': 2}, {1: 'a'}, {1, 2},
          {1}, frozenset([1]), range(3), slice(1), np.float64(1), np.float32(1), np.int64(1),
          np.array([1, 2]), np.array([1., 2.]), np.array([[1., 2.]]),
          np.array([math.nan, 2.]), np.array(1.), np.array([]), np.array(['a']),
          np.array([True, False]), np.arange(50_000), np.dtype('int8'), Point(1., [2]),
          Point(1., [3]),
          [True], {'a': np.array([1])}, np.array([1 + 2j]), np.array([None, 1], dtype=object)]


@pytest.mark.parametrize('tolerance', [0., .1])
def test_outside_the_same_values_agree_as_inside(tolerance):
    for a in VALUES:
        for b in VALUES:
            try: expect(a, b, tolerance, tolerance)
            except AssertionError: same = False
            else: same = True
            got = json.loads(json.dumps(plain_data(as_wanted(a, b))))
            assert agrees(got, plain_data(b), tolerance, tolerance) == same, (a, b)


def test_tensors_agree_as_inside():
    torch = pytest.importorskip('torch')
    values = [torch.tensor(x) for x in (1, 1., True, [1., 2.], [[1., 2.]], [math.nan], [1 + 1j])]
    values += [torch.ones(2, dtype=d)
               for d in (torch.float64, torch.float16, torch.bfloat16,
                         torch.int8)] + [torch.float32, torch.int64, torch.device('cpu'),
                                         torch.Size([2])]
    values += [torch.ones(2, device='meta'), torch.ones(3, device='meta'),
               torch.ones(2, requires_grad=True), torch.tensor([1 + 1j]).conj(),
               torch.eye(2).to_sparse(), np.ones(2), 1., (2,)]
    for a in values:
        for b in values:
            try: expect(a, b)
            except AssertionError: same = False
            else: same = True
            got = json.loads(json.dumps(plain_data(as_wanted(a, b))))
            assert agrees(got, plain_data(b)) == same, (a, b)


def test_what_cannot_be_written_down_goes_by_its_type():
    assert plain_data(Mine()) == ['thing', 'Mine']
    assert agrees(plain_data(Mine()), plain_data(Mine()))
    assert not agrees(plain_data(Mine()), plain_data(1.))
    endless = []
    endless.append(endless)
    assert 'thing' in json.dumps(plain_data(endless))


@pytest.mark.parametrize('got',
                         [None, 1, 'x', [], ['number'], ['number', 'float'], ['number', 'float', 5],
                          ['number', 'float', ['x', 'y']], ['number', 'float', [[], []]],
                                 ['array', 'ndarray', 'float64', 'cpu', [2], '<f8', 'no base64'],
                                 ['array', 'ndarray', 'float64', 'cpu', [2], '<f8', 'AAAA'],
                                 ['array', 'ndarray', 'float64', 'cpu', [2], '<f8', 5],
                                 ['items', 'list', 5], ['items', 'list', [1]],
                                 ['pairs', 'dict', [[1]]], {'a': 1}])
def test_forged_values_do_not_agree(got):
    for want in (1., np.array([1., 2.]), [1.], {'a': 1.}):
        assert not agrees(got, plain_data(want), 1., 1.)


def test_a_record_must_be_whole():
    def entry(got, want): return [plain_data(got), plain_data(want), 0., 0.]
    key = make_key([[entry(1, 1), entry(2, 2)], [entry('a', 'a')]],
                   [[[entry(1, 1), entry(2, 2)], [entry('b', 'b')]]], [])
    good = [[entry(1, 1), entry(2, 2)], [entry('c', 'c')]]
    assert key.fixed == [[True, True], [False]] and key.fits(good)
    for bad in ([], good[:1], [good[0][:1], good[1]], [good[0] + good[0], good[1]],
                [good[0], [entry('c', 'd')]], [[entry(1, 1), entry(3, 3)], good[1]],
                [[entry(1, 1), entry(2, 3)], good[1]],
                [[entry(1, 1), [plain_data(3), plain_data(2), 9., 9.]], good[1]], [None, None],
                'ab', [[1, 2], [3]], [good[0], [['x']]], None):
        assert not key.fits(bad), bad
    loose = make_key([[entry(1, 1)]], [[[entry(1, 1), entry(1, 1)]]], [])
    assert loose.fits([[entry(1, 1)]*3]) and not loose.fits([[]])
    assert not loose.fits([[entry(1, 2)]])
