"The workspace: where it is, which page is which, and the learner's answer"
import json
import shutil
from pathlib import Path

import pytest
from classroom.folders import ANSWER, LESSON, PLACE, cell, change, course, write_answer

from dlcourse.classroom.lessons import find_exercise
from dlcourse.classroom.start import start
from dlcourse.classroom.workspace import (
    answer_cell,
    exercise_named,
    find_workspace,
    page_of,
    pages,
    put_back,
    saved_answer,
    workspace,
)
from dlcourse.core.errors import InputError


def test_a_workspace_is_found_from_below_and_from_beside(tmp_path, small, monkeypatch):
    assert find_workspace() is None
    with pytest.raises(InputError, match="is no workspace; `dlcourse start` makes one, or go to "
                                         "yours"):
        workspace()
    done = start(nbs=small)
    assert done.folder == tmp_path/'dlcourse-work' and done.first.name == '01_one.ipynb'
    assert workspace() == done.folder and find_workspace() is None, "from beside"
    monkeypatch.chdir(done.folder/'nbs'/'01_first')
    assert workspace() == find_workspace() == done.folder, "from below"
    assert start(nbs=small).folder == done.folder, "inside, `start` means this one"
    with pytest.raises(InputError, match="is no workspace"): workspace(tmp_path)


@pytest.mark.parametrize('choice, found', [
    (dict(), ['first.one', 'first.two', 'next.three']),
    (dict(part='first'), ['first.one', 'first.two']),
    (dict(part='01_first'), ['first.one', 'first.two']),
    (dict(part='2'), ['next.three']), (dict(part='02'), ['next.three']),
    (dict(lesson='two'), ['first.two']), (dict(lesson='first.two'), ['first.two']),
    (dict(lesson='01.02'), ['first.two']), (dict(lesson='02_two'), ['first.two']),
    (dict(part='first', lesson='two'), ['first.two'])])
def test_any_part_or_lesson_can_be_taken_alone(small, choice, found):
    done = start('work', nbs=small, **choice)
    assert list(done.added) == found == list(pages(done.folder)), choice


@pytest.mark.parametrize('choice, says', [
    (dict(part='frist'), "`frist` is no part of the course; did you mean `first`?"),
    (dict(lesson='tree'), "`tree` is no lesson of the course; did you mean `three`?"),
    (dict(lesson='zzz'), "`zzz` is no lesson of the course; `dlcourse lessons` lists"),
    (dict(lesson='same'), "`same` is a lesson of several parts; say which: a.same, b.same"),
    (dict(part='next', lesson='one'), "`one` is no lesson of the course")])
def test_what_is_not_there_is_said(tmp_path, small, choice, says):
    course(small, {'03_a/01_same': [], '04_b/01_same': []})
    with pytest.raises(InputError) as e: start('work', nbs=small, **choice)
    assert says in str(e.value) and not Path('work').exists()


def test_the_saved_answer_is_the_marked_cell_or_else_the_last_that_defines_it(attention):
    mask = find_exercise('causal_mask')
    assert saved_answer(mask, attention) == mask.blank
    write_answer(attention)
    assert saved_answer(mask, attention) == ANSWER
    change(page_of(LESSON, attention), lambda nb: nb['cells'].append(cell('def causal_mask(n): '
                                                                          'return "a try"')))
    assert saved_answer(mask, attention) == ANSWER, "the marked one"
    write_answer(attention, ANSWER.split('\n', 2)[2])
    assert saved_answer(mask,
                        attention) == 'def causal_mask(n): return "a try"', "nothing is marked"


def test_lost_renamed_copied_and_damaged_pages(attention):
    mask, page = find_exercise('causal_mask'), attention/PLACE
    shutil.copy(page, page.with_name('02_attention-Copy1.ipynb'))
    assert page_of(LESSON, attention) == page, "the original counts"
    page.rename(page.with_name('mine.ipynb'))
    with pytest.raises(InputError, match=r"`transformers.attention` stands in several notebooks: "
                                         r".*Copy1.ipynb, .*mine.ipynb; keep one below nbs"):
        page_of(LESSON, attention)
    page.with_name('02_attention-Copy1.ipynb').unlink()
    assert page_of(LESSON, attention).name == 'mine.ipynb'
    page.with_name('mine.ipynb').unlink()
    with pytest.raises(InputError, match="is not in the workspace .*; `dlcourse start --lesson "
                                         "transformers.attention` brings it, or move it back below "
                                         "nbs"):
        saved_answer(mask, attention)
    page.write_text('{"cells": [')
    with pytest.raises(InputError, match=r"`.*02_attention.ipynb` is not a notebook: .*open it in "
                                         r"Jupyter and save it again"):
        saved_answer(mask, attention)
    page.write_text('')
    with pytest.raises(InputError, match="is not a notebook"): put_back(mask, attention)
    assert start(attention, lesson='attention').added == ()
    assert page.read_text() == '', "nothing that is there is written over"
    page.unlink()
    assert start(attention, lesson='attention').added == (LESSON,)


def test_a_lost_cell(attention):
    mask = find_exercise('causal_mask')
    change(attention/PLACE, lambda nb: nb['cells'].remove(answer_cell(nb, mask)))
    with pytest.raises(InputError, match="`causal_mask` has no cell in "
                                         "nbs/07_transformers/02_attention.ipynb; `dlcourse reset "
                                         "causal_mask` puts it back"):
        saved_answer(mask, attention)
    assert put_back(mask, attention) == (attention/PLACE, None)
    sources = [''.join(c['source'])
               for c in json.loads((attention/PLACE).read_text(encoding='utf-8'))['cells']]
    assert sources[sources.index('check("causal_mask")') - 1] == mask.blank


def test_reset_puts_the_blank_back_and_keeps_the_answer(attention):
    mask = find_exercise('causal_mask')
    before = json.loads((attention/PLACE).read_text(encoding='utf-8'))
    write_answer(attention)
    for c in ('check("causal_mask")', ANSWER):
        change(attention/PLACE, lambda nb,
               c=c: next(x for x in nb['cells'] if ''.join(x['source']) == c).update(outputs=[{}],
                                                                                     execution_count=3))
    page, kept = put_back(mask, attention)
    assert kept.read_text(encoding='utf-8') == ANSWER
    assert kept.parent == attention/'.dlcourse'/'attic'
    assert json.loads(page.read_text(encoding='utf-8')) == before, "old outputs are gone, too"
    assert put_back(mask, attention)[1] is None, "a blank is not kept"


def test_names_may_be_short_and_nearly_right(attention):
    for name in ('causal_mask', 'attention.causal_mask', 'transformers.attention.causal_mask'):
        assert exercise_named(name, attention).name == 'causal_mask'
    with pytest.raises(InputError,
                       match="`casual_mask` is no exercise; did you mean `causal_mask`?"):
        exercise_named('casual_mask', attention)
    with pytest.raises(InputError, match="`qqqqq` is no exercise; the top of each page"):
        exercise_named('qqqqq')
    for name in ('attention', 'transformers.attention'):
        with pytest.raises(InputError, match=f"`{name}` is a lesson; .*: causal_mask, "):
            exercise_named(name)
    with pytest.raises(InputError, match="`core.files` is a lesson; it has no exercises"):
        exercise_named('core.files')


def test_of_two_exercises_of_one_name_the_one_in_the_workspace_is_meant(small, monkeypatch):
    task = [cell('#| export\n#| exercise f\ndef f(): return 1'),
            cell('#| check f\n@check(hint="")\ndef one(f): expect(f(), 1)')]
    course(small, {'03_a/01_this': task, '04_b/01_that': task})
    monkeypatch.setattr('dlcourse.classroom.lessons.project_path', lambda *parts: small)
    with pytest.raises(InputError, match="several lessons"): exercise_named('f')
    folder = start('work', lesson='that').folder
    assert exercise_named('f', folder).id == 'b.that.f'
