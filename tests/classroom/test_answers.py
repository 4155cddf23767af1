"Answers written from the learner's page alone: no right one is refused, hardly a wrong one passes"
import re
import warnings
from collections import defaultdict
from pathlib import Path

import pytest
from classroom.gate import BY_NAME, together

from dlcourse.classroom.cells import plain_python
from dlcourse.classroom.exercises import passes, read_first, run
from dlcourse.classroom.lessons import lessons

FOLDER = Path(__file__).parents[1]/'answers'
MOST = .03 # Of the wrong answers that may pass


def answers():
    "Exercise → kind, label and cell of each answer"
    found = defaultdict(list)
    for path in sorted(FOLDER.glob('*.txt')):
        if path.name == 'exceptions.txt': continue
        for block in re.split(r'^### ', path.read_text(encoding='utf-8'), flags=re.M)[1:]:
            head, _, cell = block.partition('\n')
            name, kind, label = head.split(None, 2)
            found[name].append((kind, f'{path.stem}/{label.strip()}', cell))
    return found


def exceptions():
    "Exercise and label → why it is judged otherwise"
    lines = (FOLDER/'exceptions.txt').read_text(encoding='utf-8').splitlines()
    pairs = (line.split(': ', 1) for line in lines if line.strip())
    return {tuple(name.split(None, 1)): reason for name, reason in pairs}


ANSWERS, EXCEPTIONS = answers(), exceptions()


def is_right(exercise, answer):
    "Does it pass? One fault is enough to know"
    return read_first(exercise, answer) is None and passes(exercise, answer)


@pytest.mark.slow
@pytest.mark.parametrize('name', [*map(together, ANSWERS)])
def test_answers_are_judged_as_their_authors_meant(name):
    exercise, odd = BY_NAME[name], []
    for kind, label, cell in ANSWERS[name]:
        answer = plain_python(cell)
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            as_meant = is_right(exercise, answer) == (kind == 'right')
            if as_meant != ((name, label) in EXCEPTIONS): continue
            odd.append((kind, label, repr(run(exercise, answer, explain=False))[:600]))
    assert not odd, odd


def test_exceptions_are_of_answers_and_few():
    every = {(name, label): kind for name, found in ANSWERS.items() for kind, label, _ in found}
    assert set(EXCEPTIONS) <= set(every)
    wrong = [place for place, kind in every.items() if kind == 'wrong']
    assert sum(every[place] == 'wrong' for place in EXCEPTIONS) <= MOST*len(wrong)


def test_every_name_is_an_exercise():
    names = {e.name for lesson in lessons() for e in lesson.exercises}
    ids = {e.id for lesson in lessons() for e in lesson.exercises}
    assert set(ANSWERS) <= names | ids
