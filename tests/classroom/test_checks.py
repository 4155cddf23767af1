"Checks: a claim becomes a sentence"
import json
from dataclasses import replace

import pytest
import torch
from classroom.made_up import HEAD, MASK, MASK_CHECK

from dlcourse.classroom.checks import Check, Result, expect, expect_error, run_check, verdict
from dlcourse.classroom.exercises import passes, quiz, run
from dlcourse.classroom.values import Mismatch


def test_expect_error():
    expect_error(ValueError, int, 'x', says='invalid literal')
    with pytest.raises(Mismatch, match="expected TypeError, came ValueError: invalid"):
        expect_error(TypeError, int, 'x')
    with pytest.raises(Mismatch, match="expected ValueError that says 'odd', came ValueError"):
        expect_error(ValueError, int, 'x', says='odd')
    with pytest.raises(Mismatch, match="expected ValueError, came no error, but 3"):
        expect_error(ValueError, int, '3')


def test_check_alone():
    assert run_check(Check(lambda f: expect(f(), 1), '', False, 1.),
                     [lambda: 1]).outcome == 'passed'


def test_result_travels_as_json(mask):
    result = run(mask, 'def causal_mask(n): return torch.ones(n, n).bool()')
    assert Result.from_dict(json.loads(json.dumps(result.to_dict()))) == result


def test_html_is_escaped_and_says_it_in_words(mask):
    page = run(mask, 'def causal_mask(n): raise ValueError("<script>")')._repr_html_()
    assert '<script>' not in page and '&lt;script&gt;' in page and 'scope="col"' in page
    assert 'role="status"' in page and 'error' in page


def test_marks_of_markdown_are_shown_and_lines_stay_lines(lesson):
    check = MASK_CHECK.replace("No position sees a later one.", "No `position` sees a *later* one.")
    wrong = run(lesson(*HEAD, MASK, check)['causal_mask'],
                'def causal_mask(n): return torch.ones(n, n).bool()')
    page = replace(wrong, misconception='See `a[<b>]` and $x*y*z$.', note='one\ntwo')._repr_html_()
    assert 'No <code>position</code> sees a <em>later</em> one.' in page
    assert '<p>See <code>a[&lt;b&gt;]</code> and $x*y*z$.</p><p>one</p><p>two</p>' in page
    assert 'expected False at [0, 1]<br>came True<br>10 of 25 elements differ' in page


def test_quiz():
    q = quiz("How many?", right={"15": "1+2+3+4+5"}, wrong={"10": "<b> without the diagonal"})
    assert repr(q) == "How many?\n  a) 10\n  b) 15"
    assert '<details><summary>15</summary>Right. 1+2+3+4+5</details>' in q._repr_html_()
    assert '<b>' not in q._repr_html_()


def test_verdict(mask):
    assert verdict([]) == 'not checked'
    assert run(mask, mask.source, seed=3).outcome == 'passed'


def test_checks_that_compare_nothing_are_not_checked(lesson):
    empty = '''#| check causal_mask
@check(hint="h")
def nothing(causal_mask):
    "Vacuous."
    for row in causal_mask(0): expect(row, 1)'''
    e = lesson(*HEAD, MASK, empty)['causal_mask']
    assert run(e, e.source).outcome == 'not checked'
    assert 'nothing was compared' in repr(run(e, e.source)) and not passes(e, e.source)
    assert run(lesson(*HEAD, MASK)['causal_mask'], MASK).outcome == 'not checked'


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without a GPU")
def test_a_missing_gpu_is_no_success(lesson):
    gpu = '''#| check causal_mask
@check(hint="h", gpu=True)
def fast(causal_mask):
    "On a GPU."
    expect(1, 2)'''
    e = lesson(*HEAD, MASK, gpu)['causal_mask']
    assert run(e, MASK).outcome == 'not checked' and 'needs a GPU' in repr(run(e, MASK))
    both = lesson(*HEAD, MASK, MASK_CHECK, gpu)['causal_mask']
    assert run(both, MASK).outcome == 'passed'
    assert [c.outcome for c in run(both, MASK).claims] == ['passed', 'passed', 'not checked']
