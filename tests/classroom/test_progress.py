"Progress: states that are honest, and how they are told"
import io
import json
import re

import pytest
from classroom.attempts import MASK, attempt, stands
from classroom.folders import LESSON

from dlcourse.classroom import progress
from dlcourse.classroom.layout import start
from dlcourse.classroom.progress import AFTER, check_saved, hint, reset, solution
from dlcourse.classroom.record import event, record
from dlcourse.classroom.workspace import answer_cell, page_of


@pytest.fixture
def folder(attention): return attention


def test_the_saved_page_is_checked(folder):
    pytest.importorskip('torch')
    assert check_saved('causal_mask', folder).outcome == 'not tried'
    for body, outcome in (('torch.ones(n, n).bool().triu()', 'failed'),
                          ('torch.ones(n, n).bool().tril()', 'passed')):
        path = page_of(LESSON, folder)
        nb = json.loads(path.read_text(encoding='utf-8'))
        cell = answer_cell(nb, MASK)
        cell['source'] = f'#| exercise causal_mask\n%time\ndef causal_mask(n): return {body}'
        path.write_text(json.dumps(nb), encoding='utf-8')
        assert check_saved('causal_mask', folder).outcome == outcome
    with record(folder) as events: found = [(e['outcome'], e['misconception']) for e in events]
    assert [outcome for outcome, _ in found] == ['failed', 'passed']
    assert found[0][1].startswith("Everyone sees the future")
    assert 'tried' not in stands(folder).state


@pytest.mark.parametrize('story, state', [
    ('', 'not tried'), ('failed', 'failed'), ('error', 'error'), ('not checked', 'not checked'),
    ('failed passed', 'passed'), ('passed failed', 'passed'),
    ('solution passed', AFTER), ('failed solution failed passed', AFTER),
    ('passed solution', 'passed'), ('passed solution reset passed', 'passed'),
    ('solution', 'not tried'), ('passed reset', 'not tried'), ('passed reset error', 'error'),
    ('solution reset passed', AFTER),
    ('solution passed reset passed', AFTER)])
def test_the_state_is_what_happened(folder, story, state):
    for what in re.findall('failed|error|not checked|passed|solution|reset', story):
        if what in ('solution', 'reset'): getattr(progress, what)('causal_mask', folder)
        else: attempt(folder, what)
    s = stands(folder)
    assert s.state == state and s.solution_seen == ('solution' in story)
    assert s.resets == story.count('reset') and bool(s.passed_at) == ('passed' in story)
    done = progress.progress(folder).lessons[0].passed
    assert done == state.startswith('passed')


def test_hints_come_one_at_a_time_and_are_remembered(folder):
    n = len(MASK.hints)
    assert n and stands(folder).hints == 0
    for taken in range(1, n + 1):
        found = hint('causal_mask', folder)
        assert found.texts[:-1] == tuple(f'Hint {i} of {n}. {t}'
                                         for i, t in enumerate(MASK.hints[:taken], 1))
        assert found.left == n - taken
        assert stands(folder).hints == taken
    said = "There are no more hints; `dlcourse solution causal_mask` shows the answer."
    assert said in str(hint('causal_mask', folder))
    assert stands(folder).hints == n, "there were no more to take"


def test_the_solution_and_the_reset_say_what_they_did(folder):
    seen = solution('causal_mask', folder)
    assert seen.texts == (MASK.source,) and seen._repr_markdown_().startswith('```python\n#|')
    assert str(reset('causal_mask', folder)).startswith("`causal_mask` is blank again in "
                                                        "nbs/07_transformers/02_attention.ipynb. "
                                                        "If JupyterLab shows the page")
    for found in (seen, hint('causal_mask', folder)): json.dumps(found.to_dict())


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
