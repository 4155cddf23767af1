"Help: one hint at a time, the solution, the blank again, in a terminal and on a page"
import json
import types

import pytest
from classroom.attempts import MASK, attempt, stands
from classroom.folders import LESSON, write_answer
from classroom.made_up import HEAD, MASK_CHECK
from classroom.made_up import MASK as MADE_UP

from dlcourse.classroom import help, page, workspace
from dlcourse.classroom.checks import Result
from dlcourse.classroom.exercises import check, quiz
from dlcourse.classroom.help import check_saved, hint, ladder, next_step, reset, solution
from dlcourse.classroom.progress import progress
from dlcourse.classroom.record import record
from dlcourse.classroom.workspace import LAB, answer_cell, page_of
from dlcourse.core.errors import InputError


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
    assert MASK.source.endswith(seen.texts[0])
    assert seen._repr_markdown_().startswith('```python\ndef causal_mask(')
    assert str(reset('causal_mask', folder)).startswith("`causal_mask` is blank again in "
                                                        "nbs/07_transformers/02_attention.ipynb. "
                                                        "If JupyterLab shows the page")
    for found in (seen, hint('causal_mask', folder)): json.dumps(found.to_dict())


def failed(): return Result(exercise=MASK.id, outcome='failed')


def test_an_answer_that_does_not_pass_ends_with_the_next_step(folder):
    n = len(MASK.hints)
    assert next_step(MASK, failed(), folder) == f"Next: `dlcourse hint causal_mask` ({n} left)"
    for _ in range(n): hint('causal_mask', folder)
    assert next_step(MASK, failed(), folder) == (
        "Next: `dlcourse solution causal_mask` shows the course's own answer")
    for outcome in ('passed', 'not tried', 'not checked'):
        assert not next_step(MASK, Result(exercise=MASK.id, outcome=outcome), folder)


def test_the_hints_of_checks_are_the_ladder_where_there_is_no_other(lesson):
    e = lesson(*HEAD, MADE_UP, MASK_CHECK)['causal_mask']
    assert not e.hints
    assert ladder(e) == ('Which half is the past?', 'May a position use its own token?')
    assert ladder(lesson()['causal_mask']) == ('Start with ones.',)


class Shell(types.SimpleNamespace):
    "As much of IPython as help looks at"
    def set_next_input(self, text, replace): self.put = (text, replace)


@pytest.fixture
def shell(folder, monkeypatch):
    "A page that is open in the workspace"
    cells = ['', '#| default_exp transformers.attention', 'def causal_mask(n): return "unsaved"']
    shell = Shell(history_manager=types.SimpleNamespace(input_hist_raw=cells), user_ns={})
    for module in (help, page, workspace): monkeypatch.setattr(module, 'kernel', lambda: shell)
    monkeypatch.setattr(page, '_anew', {})
    monkeypatch.chdir(page_of(LESSON, folder).parent)
    return shell


def test_on_a_page_help_speaks_of_functions(folder, shell):
    assert next_step(MASK, failed(), folder).startswith('Next: `hint("causal_mask")` (')
    for _ in MASK.hints: said = hint('causal_mask')
    assert '`solution("causal_mask")` shows the answer.' in str(said)
    assert said._repr_markdown_() == str(said) and stands(folder).hints == len(MASK.hints)
    assert solution('causal_mask').kind == 'solution' and stands(folder).solution_seen


def test_on_a_page_the_blank_comes_into_the_cell_and_nothing_unsaved_is_lost(folder, shell):
    before = page_of(LESSON, folder).read_bytes()
    done = reset('causal_mask')
    assert shell.put == (MASK.blank, True) and page_of(LESSON, folder).read_bytes() == before
    assert (folder/done.kept).read_text() == 'def causal_mask(n): return "unsaved"'
    assert "is blank again in this cell; your answer is in .dlcourse/attic/" in str(done)
    assert stands(folder).resets == 1


def test_on_a_page_what_can_be_mended_is_a_sentence(shell, tmp_path, monkeypatch):
    assert str(hint('casual_mask')).endswith('did you mean `causal_mask`?')
    assert 'did you mean' in str(page.on_page['check']('casual_mask'))
    monkeypatch.chdir(tmp_path)
    assert 'is no workspace; `dlcourse start` makes one' in str(solution('causal_mask'))


@pytest.mark.parametrize('word', ['check', 'hint', 'solution', 'reset', 'quiz'])
def test_on_a_page_a_call_that_does_not_fit_is_a_sentence(word, shell):
    f = dict(hint=hint, solution=solution, reset=reset, check=check, quiz=quiz)[word]
    kind = 'a quiz' if word == 'quiz' else 'an exercise'
    needs = f'`{word}` needs the name of {kind} in quotes: `{word}("'
    assert str(f()).startswith(needs) and '; on this page: ' in str(f())
    assert str(f(3)).startswith(needs) and '; got 3; on this page: ' in str(f(3))
    assert str(f(stands)).startswith(f'{needs}stands")`; on this page: ')


def test_on_a_page_other_questions_that_go_wrong_are_sentences(shell):
    assert str(progress(1, 2)).startswith('`progress`: too many positional arguments')
    assert '`folder` must be the path of a file or a folder, got 3' in str(progress(3))
    assert '`nothing` is no quiz' in str(quiz('nothing'))


def test_a_reset_begins_anew_for_the_check_too(folder, shell, monkeypatch):
    reset('causal_mask')
    shell.history_manager.input_hist_raw.append('check("causal_mask")')
    found = page.on_page['check']('causal_mask')
    assert found.outcome == 'not tried' and 'run the cell of the exercise first' in found.message
    assert 'Cells above have not been run, `Bool` is missing' in found.note
    assert stands(folder).attempts == 0


def test_the_blank_of_another_page_goes_into_its_file(folder, shell):
    shell.history_manager.input_hist_raw.append('#| default_exp evaluation.metrics')
    write_answer(folder)
    done = reset('causal_mask')
    assert done.page.endswith('02_attention.ipynb') and 'Reload Notebook from Disk' in str(done)
    assert not hasattr(shell, 'put')


def test_in_the_lab_the_browser_writes_the_blank_into_its_cell(folder, shell, monkeypatch):
    sent = []
    monkeypatch.setenv(LAB, '1')
    monkeypatch.setattr('IPython.display.display', lambda program: sent.append(program.data))
    monkeypatch.setattr('IPython.display.clear_output', lambda wait: sent.append(wait))
    done = reset('causal_mask')
    assert str(done).startswith("`causal_mask` is blank again in its cell; your answer is in ")
    assert json.dumps(MASK.blank) in sent[0] and sent[1:] == [True], "the program goes at once"
    assert not hasattr(shell, 'put')
    assert page.set_aside(MASK.id, MASK.blank) is None, "a blank is nothing to keep"
    assert page.set_aside(MASK.id, 'unsaved').read_text(encoding='utf-8') == 'unsaved'


def test_where_nothing_can_be_written_there_is_a_sentence_and_no_help(folder, monkeypatch, capsys):
    (folder/'.dlcourse'/'progress.lock').mkdir()
    says = r"\.dlcourse` cannot be written: .*; attempts, hints and solutions are written"
    for f in (hint, solution):
        with pytest.raises(InputError, match=says): f('causal_mask', folder)
    assert next_step(MASK, failed(), folder) == ''
    attempt(folder)
    assert 'this attempt was not recorded: `' in capsys.readouterr().err
    def full(*args): raise OSError(28, 'No space left on device')
    monkeypatch.setattr('dlcourse.classroom.workspace.write_whole', full)
    with pytest.raises(InputError, match="02_attention.ipynb` cannot be written: No space left"):
        reset('causal_mask', folder)
