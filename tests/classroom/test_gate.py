"Checks are themselves tested: every exercise of the course against its reference, its blank, its known answers and its mutants"
import time

import pytest
from classroom.gate import faults

from dlcourse.classroom.exercises import patience, run
from dlcourse.classroom.lessons import (
    leaks,
    learner_edition,
    lesson_paths,
    lessons,
    read_lesson,
    read_notebook,
)

EXERCISES = {e.id: e for lesson in lessons() for e in lesson.exercises}
SECONDS = 5.


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
