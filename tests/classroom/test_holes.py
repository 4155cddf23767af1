"Second exercises: every exercise has a line to fill in and a line to mend"
import pytest
from classroom.gate import BY_NAME, EXERCISES, together

from dlcourse.classroom.exercises import passes, run
from dlcourse.classroom.holes import fault_in, hole_in, plain_reference, turning_points
from dlcourse.classroom.lessons import find_exercise
from dlcourse.core.errors import InputError


def outcome(e, source): return run(e, source, explain=False).outcome


def works(e):
    "The right line passes, and without it, or with the wrong one, nothing does"
    right = {plain_reference(e)}
    for turn in (0, 1):
        hole = hole_in(e, turn)
        right.add(hole.with_line(hole.right))
        assert not passes(e, hole.source)
    fault = fault_in(e)
    assert fault and outcome(e, fault.source) in ('failed', 'error')
    right.add(fault.with_line(fault.right, fault.line))
    assert all(outcome(e, whole) == 'passed' for whole in right) # Most often one text


def test_an_exercise_has_a_hole_and_a_fault():
    pytest.importorskip('torch')
    works(find_exercise('causal_mask'))


@pytest.mark.slow
@pytest.mark.parametrize('name', [*map(together, EXERCISES)])
def test_every_exercise_has_a_hole_and_a_fault(name):
    pytest.importorskip('torch')
    works(BY_NAME[name])


def test_the_line_with_most_steps_comes_first():
    source = ('def f(x):\n    "Doc"\n    y = 1\n    z = g(x[0]) + h(x, y)*2\n'
              '    if y: return z\n    return k(z)')
    assert [s.lineno for s in turning_points(source, 'f')] == [4, 6, 5]


def test_another_line_the_next_time_and_the_same_line_again():
    pytest.importorskip('torch')
    e = find_exercise('attend')
    first, second = hole_in(e), hole_in(e, 1)
    assert first == hole_in(e) and first.line != second.line
    assert plain_reference(e) == first.answer and not first.source.startswith('#|')


def test_a_line_may_be_written_at_any_indentation_and_whole():
    pytest.importorskip('torch')
    hole = hole_in(find_exercise('causal_mask'))
    for text in (hole.right, f'        {hole.right}\n'):
        assert hole.with_line(text) == hole.answer
    fault = fault_in(find_exercise('attend'))
    with pytest.raises(InputError, match='`line` must be from 1 to'): fault.with_line('x', 99)
