"A mistake is known by what it does, also beside another"
import pytest
from classroom.made_up import PAGE, book

from dlcourse.classroom.lessons import lesson_of
from dlcourse.classroom.mistakes import known_answers, misconception

torch = pytest.importorskip('torch')


@pytest.fixture(scope='module')
def mask(): return lesson_of(book(*PAGE), 'x').exercises[0]


def test_every_known_mistake_is_recognized(mask):
    wrongs = [a for a in known_answers(mask)[0] if a.kind == 'wrong']
    assert wrongs and all(misconception(mask, a) == a.message for a in wrongs)


def test_beside_another_fault_too(mask):
    wrongs = [a for a in known_answers(mask)[0] if a.kind == 'wrong']
    message = misconception(mask, 'def causal_mask(n):\n    m = torch.ones(n, n).bool().triu()\n'
                                  '    return m if n != 1 else m.float()')
    assert message in {a.message for a in wrongs} | {None}


def test_an_answer_with_a_fault_of_its_own_is_told_nothing(mask):
    assert misconception(mask, 'def causal_mask(n): return None') is None
    assert misconception(mask, 'def causal_mask(n): raise ValueError') is None
    assert misconception(mask, 'def other(n): return 1') is None
