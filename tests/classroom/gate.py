"What is wrong with the checks of an exercise: the gate that every one has to pass"
import pytest
from classroom.recorder import Recorder

from dlcourse.classroom.exercises import run
from dlcourse.classroom.lessons import lessons
from dlcourse.classroom.mistakes import known_answers, patience
from dlcourse.classroom.mutants import kills

EXERCISES = {e.id: e for lesson in lessons() for e in lesson.exercises}
BY_NAME = {e.name: e for e in EXERCISES.values()} | EXERCISES # `find_exercise` reads all lessons
KILLED = .95
# Exercises in which answers pass that were recorded in self-study, and why
BY_HEART = {
    'xor_weights': "the answer is one set of numbers, whatever is asked",
    'effect': "its inputs are worlds that the check makes; no literal of them makes sense changed",
    'survives_sampling': "yes or no, about metrics whose cells are 0 and 1",
    'adds_up': "yes or no, and what is moved in a table are places",
}


def together(name):
    "A name of an exercise, whose tests all run in one process: what they find out, they share"
    group = pytest.mark.xdist_group(BY_NAME[name].id)
    return pytest.param(name, marks=group)


def faults(exercise, kill_rate=KILLED):
    "What is wrong with the checks of one exercise, and how they did against its mutants"
    found, kills_ = [], None
    reference = run(exercise, exercise.source)
    if reference.outcome != 'passed': return [f"the reference does not pass:\n{reference}"], kills_
    if (blank := run(exercise, exercise.blank)).outcome != 'not tried':
        found.append(f"the blank counts as {blank.outcome}")
    answers, _ = known_answers(exercise)
    wrong, right = ([a for a in answers if a.kind == kind] for kind in ('wrong', 'right'))
    if len(wrong) < 3: found.append(f"{len(wrong)} wrong answers; three or more are needed")
    if len(right) < 1: found.append("no other right answer; one or more are needed")
    for a in wrong:
        result = run(exercise, a, seconds=patience(exercise))
        if result.outcome not in ('failed', 'error'):
            found.append(f"the wrong answer {a.message!r} is {result.outcome}")
        elif result.misconception != a.message:
            found.append(f"the wrong answer {a.message!r} gets the message "
                         f"{result.misconception!r}:\n{result}")
    for a in right:
        if (result := run(exercise, a)).outcome != 'passed':
            found.append(f"the right answer {a.number} does not pass:\n{result}")
    by_heart = set(Recorder(exercise).judged(seed=1)) == {'passed'}
    if by_heart != (exercise.name in BY_HEART):
        found.append(f"recorded answers {'pass' if by_heart else 'do not pass'}")
    kills_ = kills(exercise)
    if kills_.rate < kill_rate:
        found.append(f"the checks kill {kills_.rate:.1%} of {kills_.total} mutants; these live:\n"
                     + '\n'.join(f"  {d}" for d in kills_.survivors))
    found += [f"`equivalent` lists {d!r}, which is no mutant that lives" for d in kills_.unknown]
    return found, kills_
