"Values arrive as they left, and whatever else arrives is refused"
import json
from collections import Counter, OrderedDict, defaultdict, namedtuple
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlcourse.classroom.values import compare_values
from dlcourse.grading.wire import READ, Other, Reader, Unsendable, Writer

torch = pytest.importorskip('torch')


def sent(x, known=(), **how):
    return Reader(known, **how)(json.loads(json.dumps(Writer(known)(x))))


@pytest.mark.parametrize('x', [
    None, True, 'ü\0', -10**30, .1, float('nan'), -0., 2j, b'\xff', range(5, 0, -2),
    slice(1, None), Fraction(1, 3), np.float32(.1), np.int64(3), np.arange(6.).reshape(2, 3).T,
    np.array(["a", "bc"]), np.array('2020-01-01', 'M8[D]'), np.array([1, 'a', None], object),
    np.zeros((0, 3)),
    torch.randn(3, 4).T, torch.tensor(2), torch.ones(2, dtype=torch.bfloat16), torch.ones(0, 3),
    torch.tensor([1 + 2j]).conj(), torch.empty(2, device='meta'), torch.float16, torch.Size([2]),
    torch.device('cpu'), np.dtype('int8'), [1, (2, {'a': {3}})], frozenset({1}),
    OrderedDict(a=1), Counter('aab'), {(1, 2): [torch.ones(1)]},
])
def test_as_it_left(x):
    got = sent(x)
    assert type(got) is type(x)
    compare_values(got, x, exactly=True)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda x: st.lists(x) | st.tuples(x, x) | st.dictionaries(st.text(), x), max_leaves=8)


@given(VALUES)
def test_anything_plain(x): compare_values(sent(x), x, exactly=True)


def test_parts_share_the_memory_of_what_is_known():
    x, a = torch.arange(6.), np.arange(6.)
    for part in (x[2:4], x.detach(), x.reshape(2, 3).T, x[::2]):
        got = sent(part, [x])
        got.fill_(7)
        assert got.shape == part.shape and float(x.max()) == 7
        x.copy_(torch.arange(6.))
    got = sent(a[1:5:2], [a])
    got[:] = 9
    assert a.tolist() == [0, 9, 2, 9, 4, 5]
    assert sent(x, [x]) is x


JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
                    lambda x: st.lists(x, max_size=4) | st.dictionaries(st.text(), x, max_size=2),
                    max_leaves=10)


@given(st.sampled_from([*READ, '__class__', 'fresh']), st.lists(JSON, max_size=5))
def test_whatever_arrives_is_a_value_or_unsendable(word, rest):
    try: Reader([torch.ones(2), np.ones(2)])([word, *rest])
    except Unsendable: pass


@given(JSON)
def test_nonsense_too(said):
    try: Reader()(said)
    except Unsendable: pass


def test_no_class_is_made_that_is_not_allowed():
    assert Reader()(['made', 'subprocess', 'Popen', []]) == Other('Popen')
    class Allowed: pass
    made = Reader(classes={('a', 'B'): Allowed})(['made', 'a', 'B', [['x', ['int', '0x1']]]])
    assert isinstance(made, Allowed) and made.x == 1


Pair = namedtuple('Pair', 'low high')
Pair.__module__ = 'dlcourse.made_up'


class Lying(list):
    def __iter__(self): return iter([float('nan')]*3)
    def __len__(self): return 99


class Ratio(float): __module__ = 'dlcourse.made_up'


class Rate:
    "As somebody defines it in the cell of an answer"
    __module__ = 'dlcourse.made_up'
    def __call__(self, step): return step/2


@pytest.mark.parametrize('x, plain', [
    (defaultdict(int, a=1), dict(a=1)), (Pair(1, 2), (1, 2)), (Lying([1, 2]), [1, 2]),
    (Ratio(.5), .5),
])
def test_a_kind_of_its_own_arrives_as_what_it_is_a_kind_of(x, plain):
    got = sent(x)
    assert got == plain and type(got) is type(plain)


def test_what_can_be_called_stays_where_its_class_is_known_only_there():
    kept = []
    written = Writer(keep=lambda x: kept.append(x) or len(kept))(Rate())
    asked = Reader(kept=lambda i, name: (i, name))(json.loads(json.dumps(written)))
    assert asked == (1, 'Rate') and kept[0](4) == 2
    classes = {('dlcourse.made_up', 'Rate'): Rate}
    assert type(Reader(kept=lambda *_: None, classes=classes)(written)) is Rate
