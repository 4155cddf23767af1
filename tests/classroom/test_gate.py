"Checks are themselves tested: every exercise of the course against its reference, its blank, its known answers and its mutants"
import time

import pytest

from dlcourse.classroom.exercises import known_answers, patience, run
from dlcourse.classroom.lessons import leaks, learner_edition, lesson_paths, lessons, read_lesson, read_notebook
from dlcourse.classroom.mutants import kills

EXERCISES = {e.id: e for lesson in lessons() for e in lesson.exercises}
KILLED, SECONDS = .95, 5.


def faults(exercise, kill_rate=KILLED):
    "What is wrong with the checks of one exercise, and how they did against its mutants"
    found, kills_ = [], None
    reference = run(exercise, exercise.source)
    if reference.outcome != 'passed': return [f"the reference does not pass:\n{reference}"], kills_
    if (blank := run(exercise, exercise.blank)).outcome != 'not tried': found.append(f"the blank counts as {blank.outcome}")
    answers, _ = known_answers(exercise)
    wrong, right = ([a for a in answers if a.kind == kind] for kind in ('wrong', 'right'))
    if len(wrong) < 3: found.append(f"{len(wrong)} wrong answers; three or more are needed")
    if len(right) < 1: found.append("no other right answer; one or more are needed")
    for a in wrong:
        result = run(exercise, a, seconds=patience(exercise))
        if result.outcome not in ('failed', 'error'): found.append(f"the wrong answer {a.message!r} is {result.outcome}")
        elif result.misconception != a.message: found.append(f"the wrong answer {a.message!r} gets the message {result.misconception!r}:\n{result}")
    for a in right:
        if (result := run(exercise, a)).outcome != 'passed': found.append(f"the right answer {a.number} does not pass:\n{result}")
    kills_ = kills(exercise)
    if kills_.rate < kill_rate:
        found.append(f"the checks kill {kills_.rate:.1%} of {kills_.total} mutants; these live:\n" + '\n'.join(f"  {d}" for d in kills_.survivors))
    found += [f"`equivalent` lists {d!r}, which is no mutant that lives" for d in kills_.unknown]
    return found, kills_


@pytest.mark.parametrize('name', EXERCISES)
def test_exercise(name, record_property):
    exercise = EXERCISES[name]
    run(exercise, exercise.source), patience(exercise) # Heavy imports are not the exercise's
    start = time.process_time() # Not what the neighbours on this machine need
    found, kills_ = faults(exercise)
    seconds = time.process_time() - start
    if kills_: record_property('kills', [name, kills_.total, kills_.total - len(kills_.survivors), len(kills_.equivalent), round(seconds, 2)])
    if seconds > SECONDS: found.append(f"took {seconds:.1f} s; {SECONDS:g} is the most")
    assert not found, '\n' + '\n'.join(found)


@pytest.mark.parametrize('path', lesson_paths(), ids=lambda p: f'{p.parent.name}/{p.stem}')
def test_learners_page_gives_nothing_away(path):
    lesson = read_lesson(path)
    page = learner_edition(read_notebook(path)) if lesson.exercises else None
    assert {e.id: lines for e in lesson.exercises if (lines := leaks(page, e))} == {}


def test_names_are_unique():
    everything = [e.id for lesson in lessons() for e in lesson.exercises]
    assert len(everything) == len(set(everything))
