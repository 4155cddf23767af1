"The page: which run is judged, whose function it is, and what helps"
import io
import types
from contextlib import redirect_stderr, redirect_stdout

import pytest
import torch
from classroom.made_up import MASK, PAGE, VALUE

from dlcourse.classroom import page as pages
from dlcourse.classroom.exercises import check, quiz
from dlcourse.classroom.lessons import find_exercise
from dlcourse.classroom.page import check_cell, mine
from dlcourse.core.errors import InputError


class Shell:
    "As much of IPython as `check('…')` looks at"
    def __init__(self, *cells):
        self.history_manager, self.user_ns = types.SimpleNamespace(input_hist_raw=['']), {}
        for c in cells: self.run(c)

    def run(self, cell):
        self.history_manager.input_hist_raw.append(cell)
        try: exec('\n'.join(line for line in cell.splitlines() if line[:1] != '%'), self.user_ns)
        except (NotImplementedError, SyntaxError): pass


@pytest.fixture
def recorded(monkeypatch):
    "What is written down: exercise, cell and outcome"
    seen = []
    monkeypatch.setattr(pages, 'record_attempt',
                        lambda e, source, result: seen.append((e.name, source, result.outcome)))
    return seen


@pytest.fixture
def page(lesson, tmp_path, monkeypatch, recorded):
    "A shell in which the made-up lesson is open"
    lesson()
    monkeypatch.setattr(pages, 'find_exercise', lambda name, nbs=None,
                        lesson=None: find_exercise(name, tmp_path/'nbs', lesson))
    vars(mine).clear()
    return Shell(PAGE[0], PAGE[2], VALUE)


def test_check_takes_the_learners_cell_and_goes_on_with_the_reference(page, mask, recorded):
    page.run(mask.blank); first = check_cell('causal_mask', page)
    assert first.outcome == 'not tried'
    assert "`causal_mask` is the course's own from here" in first.note
    assert page.user_ns['causal_mask'](2).sum() == 3
    page.run('def causal_mask(n): return torch.ones(n, n)')
    second = check_cell('causal_mask', page)
    assert second.outcome == 'failed' and page.user_ns['causal_mask'](2).sum() == 3
    answer = '''%time
#| export
#| exercise causal_mask
def causal_mask(n): return torch.arange(n)[:,None] >= torch.arange(n)
check_cell_is_not_run_again = 1'''
    page.run(answer); own = page.user_ns['causal_mask']; third = check_cell('causal_mask', page)
    assert third.outcome == 'passed' and page.user_ns['causal_mask'] is own
    assert third.note == "Judged is your cell as you ran it in [6]."
    assert [(name, outcome) for name, _, outcome in recorded] == [('causal_mask', 'not tried'),
                                                                  ('causal_mask', 'failed'),
                                                                  ('causal_mask', 'passed')]
    assert recorded[2][1] == answer


def test_check_takes_the_last_cell_and_sees_one_that_is_not_python(page):
    page.run('def causal_mask(n): return "a first try"')
    page.run(MASK.replace('.tril()', '.triu()'))
    page.run('causal_mask(3)')
    assert check_cell('causal_mask', page).misconception == 'flipped'
    page.run('#| exercise causal_mask\ndef causal_mask(n: return 3')
    assert 'is not Python' in check_cell('causal_mask', page).message


def test_check_of_a_method_patches_the_learners_own_class(page):
    result = check_cell('Value.__add__', page)
    assert result.outcome == 'not tried' and 'run the cell of the exercise first' in result.message
    assert (page.user_ns['Value'](1) + page.user_ns['Value'](2)).data == 3


def test_check_outside_a_notebook_says_what_to_do():
    for f in (check, check_cell):
        with pytest.raises(InputError, match='elsewhere use `dlcourse check`'): f('causal_mask')
    with pytest.raises(InputError, match='in a notebook'): quiz('sums')


def test_ones_own_stays_at_hand_and_comes_back(page):
    page.run('def causal_mask(n): return "mine"'); own = page.user_ns['causal_mask']
    found = check_cell('causal_mask', page)
    assert found.outcome == 'failed' and mine.causal_mask is own is page.user_ns['mine'].causal_mask
    assert "is the course's own from here; yours is `mine.causal_mask`." in found.note
    assert found.note.startswith("Judged is your cell as you ran it in [4].")
    assert torch.is_tensor(page.user_ns['causal_mask'](2))
    page.run('causal_mask(3)')
    again = check_cell('causal_mask', page)
    assert '[4]' in again.note and mine.causal_mask is own, "not the reference that is there now"
    page.run(MASK); right = page.user_ns['causal_mask']
    assert '[6]' in check_cell('causal_mask', page).note
    page.user_ns['causal_mask'] = pages._put_in[found.exercise] # As after a check by mistake
    check_cell('causal_mask', page)
    assert page.user_ns['causal_mask'] is mine.causal_mask is right
    with pytest.raises(AttributeError) as missing: mine.softmax(1)
    told, = missing.value._render_traceback_()
    assert told.startswith("There is no `mine.softmax` yet; it comes with the first check of an")
    assert repr(mine) == 'mine: causal_mask'


def test_a_method_of_ones_own_is_in_a_class_of_ones_own(page):
    page.run('''@patch
def __add__(self:Value, other:Value)->Value: return Value(self.data*other.data)''')
    found = check_cell('Value.__add__', page)
    assert found.misconception == 'product' and 'yours is `mine.Value.__add__`' in found.note
    Value = page.user_ns['Value']
    assert ((Value(2) + Value(5)).data, (mine.Value(2) + Value(5)).data) == (7, 10)
    assert issubclass(mine.Value, Value)


def test_a_blank_is_nobodys_own(page, mask):
    page.run(mask.blank)
    assert 'mine.' not in check_cell('causal_mask', page).note and not vars(mine)


def test_a_spelling_mistake_leaves_the_version_before_at_hand(page):
    page.run('def causal_mask(n): return "before"')
    page.run('def causal_mask(n) return "now"')
    found = check_cell('causal_mask', page)
    assert found.outcome == 'error' and '[5]' in found.note and mine.causal_mask(1) == 'before'


def test_an_exercise_of_another_lesson_is_told_whose_it_is(page, recorded):
    page.run('#| default_exp transformers.another')
    page.run('def causal_mask(n): return "of another page"')
    with pytest.raises(InputError) as told: check_cell('causal_mask', page)
    assert str(told.value) == (
        "`causal_mask` is an exercise of transformers.tiny, and this page is transformers.another; "
        "check it on its own page, or with `dlcourse check tiny.causal_mask`")
    assert not recorded and page.user_ns['causal_mask'](1) == "of another page"


def test_a_verdict_without_claims_has_no_empty_table(page):
    found = check_cell('softmax', page)
    html = found._repr_html_()
    assert found.outcome == 'not tried' and '<table' not in html
    assert '<strong>transformers.tiny.softmax: not tried</strong>' in html


def test_ipython_shows_a_sentence_for_what_is_not_there_yet():
    interactive = pytest.importorskip('IPython.core.interactiveshell')
    shell = interactive.InteractiveShell()
    shell.user_ns['mine'] = pages.Mine()
    with redirect_stdout(io.StringIO()) as said, redirect_stderr(said):
        shell.run_cell('mine.attend(3)')
    assert said.getvalue().strip().startswith('There is no `mine.attend` yet')
    assert 'Traceback' not in said.getvalue()
