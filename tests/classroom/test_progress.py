"Progress: states that are honest, and how they are told"
import io
import json
import re

import pytest
from classroom.attempts import MASK, attempt, stands
from classroom.folders import LESSON

from dlcourse.classroom import help, progress
from dlcourse.classroom.help import solution
from dlcourse.classroom.progress import AFTER
from dlcourse.classroom.record import event, record
from dlcourse.classroom.start import start


@pytest.fixture
def folder(attention): return attention


@pytest.mark.parametrize('story, state', [
    ('', 'not tried'), ('failed', 'failed'), ('error', 'error'), ('not checked', 'not tried'),
    ('failed passed', 'passed'), ('passed failed', 'passed'),
    ('solution passed', AFTER), ('failed solution failed passed', AFTER),
    ('passed solution', 'passed'), ('passed solution reset passed', 'passed'),
    ('solution', 'not tried'), ('passed reset', 'not tried'), ('passed reset error', 'error'),
    ('solution reset passed', AFTER),
    ('solution passed reset passed', AFTER)])
def test_the_state_is_what_happened(folder, story, state):
    for what in re.findall('failed|error|not checked|passed|solution|reset', story):
        if what in ('solution', 'reset'): getattr(help, what)('causal_mask', folder)
        else: attempt(folder, what)
    s = stands(folder)
    assert s.state == state and s.solution_seen == ('solution' in story)
    assert s.resets == story.count('reset') and bool(s.passed_at) == ('passed' in story)
    done = progress.progress(folder).lessons[0].passed
    assert done == state.startswith('passed')


def test_progress_is_told_in_words_a_table_and_json(folder):
    from rich.console import Console
    assert str(progress.progress(folder)).startswith('transformers.attention  0 of ')
    attempt(folder, 'failed', 1, 2)
    attempt(folder, 'error', 0, 2)
    found = progress.progress(folder)
    assert '  causal_mask  ✗ error, 1 of 2 claims hold  2' in str(found)
    assert found.next.exercise == MASK.id
    console = Console(width=100, file=io.StringIO())
    console.print(found)
    for told in (console.file.getvalue(), str(found), found._repr_html_()):
        for text in ('causal_mask', '✗ error, 1 of 2 claims hold', f'Next: {MASK.id}'):
            assert text in told
    solution('causal_mask', folder)
    attempt(folder, 'passed', 2, 2)
    done = json.loads(json.dumps(progress.progress(folder).to_dict()))
    assert done['schema'] == 'dlcourse/progress/1'
    assert '1 of them after the solution was seen' in done['summary'] and done['next'] != MASK.id
    lesson, = done['lessons']
    assert lesson['lesson'] == LESSON and lesson['passed'] == 1
    assert lesson['exercises'][0]['state'] == AFTER
    assert f'✓ {AFTER}' in str(progress.progress(folder))


def test_what_a_lesson_needs_is_read_from_its_imports(tmp_path):
    found = {x.lesson: x.needs for x in progress.progress(start('all').folder).lessons}
    assert 'transformers.attention' in found and found['foundations.tensors'] == ()
    assert 'evaluation.intervals' in found['fairness.groups']


def test_what_an_exercise_was_once_called_is_still_its_own(folder):
    with record(folder) as events:
        for name in ('old.lesson.causal_mask', 'old.lesson.nobody', 'odd'):
            events.append(event(MASK, 'hint') | dict(exercise=name))
    assert stands(folder).hints == 1 and stands(folder).state == 'not tried'
