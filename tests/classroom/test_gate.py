"Checks are themselves tested: against reference, blank, known answers and mutants"
import ast
import re
import time
from functools import cache

import pytest
from classroom.gate import EXERCISES, faults, together
from classroom.made_up import HEAD, MASK, MASK_CHECK, MASK_WRONG

from dlcourse.classroom.cells import cells_of, read_notebook
from dlcourse.classroom.editions import leaks, learner_edition
from dlcourse.classroom.exercises import run
from dlcourse.classroom.lessons import lesson_paths, lessons, read_lesson
from dlcourse.classroom.mistakes import patience

TOGETHER = [together(name) for name in EXERCISES]
SECONDS = 25. # Of the processor; most need less than one, and where a run is trained some ten


@pytest.mark.slow
@pytest.mark.parametrize('name', TOGETHER)
def test_exercise(name, record_property):
    exercise = EXERCISES[name]
    run(exercise, exercise.source), patience(exercise) # Heavy imports are not the exercise's
    start = time.process_time() # Not what the neighbours on this machine need
    found, kills_ = faults(exercise)
    seconds = time.process_time() - start
    if kills_:
        record_property('kills', [name, kills_.total, kills_.total - len(kills_.survivors),
                                  len(kills_.equivalent), round(seconds, 2)])
    if seconds > SECONDS: found.append(f"took {seconds:.1f} s; {SECONDS:g} is the most")
    assert not found, '\n' + '\n'.join(found)


@pytest.mark.slow
@pytest.mark.parametrize('path', lesson_paths(), ids=lambda p: f'{p.parent.name}/{p.stem}')
def test_learners_page_gives_nothing_away(path):
    lesson = read_lesson(path)
    page = learner_edition(read_notebook(path)) if lesson.exercises else None
    assert {e.id: lines for e in lesson.exercises if (lines := leaks(page, e))} == {}


def test_names_are_unique():
    everything = [e.id for lesson in lessons() for e in lesson.exercises]
    assert len(everything) == len(set(everything))


# The gate itself

VACUOUS = MASK_CHECK.replace('(1, 4)', '()').replace('.triu(1)', '[:0]')
VACUOUS = VACUOUS.replace('5, 5, dtype', '0, 5, dtype') + '\nequivalent("x", "y")'


@pytest.mark.parametrize('cells, words', [
    ((*HEAD, MASK.replace('tril', 'triu'), MASK_CHECK, MASK_WRONG), 'the reference does not pass'),
    ((*HEAD, MASK, MASK_CHECK), '0 wrong answers; three or more are needed'),
    ((*HEAD, MASK, MASK_CHECK, MASK_WRONG.split('right(')[0]), 'no other right answer'),
    ((*HEAD, MASK, MASK_CHECK, MASK_WRONG.replace('torch.ones(n, n).tril())', 'causal_mask(n))')),
     "the wrong answer 'numbers' is passed"),
    ((*HEAD, MASK, MASK_CHECK, MASK_WRONG.replace('.tril(-1)', '.triu()')),
     "the wrong answer 'not itself' gets the message 'flipped'"),
    ((*HEAD, MASK, MASK_CHECK, MASK_WRONG.replace('right(lambda n: ', 'right(lambda n: ~')),
     'the right answer 0 does not pass'),
    ((*HEAD, MASK, VACUOUS, MASK_WRONG), 'not checked'),
    ((*HEAD, MASK, MASK_CHECK + '\nequivalent("x", "y")', MASK_WRONG),
     "`equivalent` lists 'x', which is no mutant that lives"),
])
def test_gate_finds(lesson, cells, words):
    found, _ = faults(lesson(*cells)['causal_mask'])
    assert any(words in f for f in found), found


def test_gate_finds_weak_checks(lesson):
    heads, _, second = MASK_CHECK.split('@check')
    weak = f'{heads}@check{second}'.replace('(1, 4)', '(1,)')
    found, killed = faults(lesson(*HEAD, MASK, weak, MASK_WRONG)['causal_mask'])
    assert killed.rate < .95 and any('of 4 mutants; these live' in f for f in found)


def test_every_exercise_of_the_course_has_checks():
    assert all(e.checks for one in lessons() for e in one.exercises)


def demanded_errors(exercise):
    "Names of the errors that the checks expect, but for those that they raise themselves"
    calls = [n for s in exercise.checks for n in ast.walk(ast.parse(s))]
    raised = {ast.unparse(n.exc).split('(')[0] for n in calls if isinstance(n, ast.Raise) and n.exc}
    expected = (n.args[0] for n in calls if isinstance(n, ast.Call) and n.args
                and getattr(n.func, 'id', '') == 'expect_error')
    return {ast.unparse(kind) for kind in expected} - raised - {'Exception'}


@cache
def cells_on(path): return cells_of(read_notebook(path))


def shown_before(exercise):
    "What a learner reads of an exercise: its blank, and the text right above it"
    cells = cells_on(exercise.path)
    place = next(i for i, c in enumerate(cells) if c.id == exercise.cell)
    above = [c.source for c in cells[max(0, place - 4):place] if c.kind == 'markdown']
    return '\n'.join([*above, exercise.blank])


@pytest.mark.parametrize('name', EXERCISES)
def test_an_error_that_is_demanded_is_announced(name):
    exercise = EXERCISES[name]
    shown = shown_before(exercise)
    silent = {kind for kind in demanded_errors(exercise) if not re.search(rf'\b{kind}\b', shown)}
    assert not silent, f"the page does not say when {', '.join(silent)} is to be raised"
