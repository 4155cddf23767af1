"Whoever knows the checks by heart knows nothing about other inputs; a right answer stands them all"
import ast
import random

import pytest
from classroom.made_up import book
from classroom.recorder import Recorder

from dlcourse.classroom.exercises import run
from dlcourse.classroom.fresh import FRESH, plain, same, trials
from dlcourse.classroom.lessons import find_exercise, lesson_of
from dlcourse.classroom.probes import standard
from dlcourse.classroom.stage import Stage
from dlcourse.classroom.variations import (
    VARIATIONS,
    Altered,
    Variation,
    other_floats,
    other_ints,
    other_texts,
)
from dlcourse.grading.inside import without_answers

CELLS = ['#| default_exp numbers.tiny', '''#| export
#| exercise mean
def mean(xs, how='plain'): return sum(xs)/len(xs)''', '''#| check mean
@check(hint="")
def of_three(mean):
    "The mean of three."
    expect(mean([1., 2., 6.], 'plain'), 3., atol=1e-9)''',
    '#| wrong mean\nright(lambda xs, how="plain": sum(x/len(xs) for x in xs))']


def tiny(*more): return lesson_of(book(*CELLS, *more), '01_tiny.ipynb').exercises[0]


@pytest.mark.parametrize('body, passes', [
    ('sum(xs)/len(xs)', True),
    ('sum(float(x) for x in xs)/len(xs)', True),
    ('3.', False),
    ('{(1., 2., 6.): 3.}.get(tuple(xs), 3.)', False),
    ('{(1., 2., 6.): 3.}[tuple(xs)]', False),
])
def test_a_table_fails_and_the_claim_says_for_what(body, passes):
    result = run(tiny(), f'def mean(xs, how=None): return {body}')
    assert (result.outcome == 'passed') == passes
    if passes: return
    *_, claim = result.claims
    assert claim.claim == FRESH and 'mean([1.0, ' in claim.message
    assert result.claims[0].outcome == 'passed'


def test_in_self_study_it_is_the_same_each_time_and_in_a_grading_another():
    cell = 'def mean(xs, how=None): return 3.'
    said = [run(tiny(), cell, seed=seed).claims[-1].message for seed in (0, 0, 1)]
    assert said[0] == said[1] != said[2]


def test_what_another_right_answer_does_otherwise_is_not_asked():
    other = CELLS[3] + '\nright(lambda xs, how="plain": 3.)'
    exercise = lesson_of(book(*CELLS[:3], other), '01_tiny.ipynb').exercises[0]
    assert trials(exercise, 1) == ()
    assert len(trials(tiny(), 1)) == 1
    assert trials(tiny()) is trials(tiny(), 0) and trials(tiny()), "they are made once"


def test_a_scaffold_is_no_reference():
    exercise = find_exercise('backward_in_parts')
    sealed = without_answers(exercise)
    assert trials(sealed) == () and standard(sealed) is None and trials(exercise)
    assert run(sealed, exercise.source).outcome == 'passed'


def said(cells, how, seed):
    cells.vary(how, seed)
    return ast.unparse(cells.trees[0])


def test_an_option_of_the_lesson_stays():
    cells = Altered((CELLS[2],), {'plain'})
    assert all("'plain'" in said(cells, how, 5) for how in VARIATIONS)
    assert "'plain'" not in said(Altered((CELLS[2],)), Variation(texts='ends'), 5)


def test_a_variation_leaves_nothing_of_the_one_before():
    often = Altered((CELLS[2],))
    for how in (*VARIATIONS, *reversed(VARIATIONS)):
        once = Altered((CELLS[2],))
        assert said(often, how, 7) == said(once, how, 7)
    once = Altered((CELLS[2],))
    said(often, Variation(), 0)
    assert often.told() == once.told()


@pytest.mark.parametrize('seed', range(20))
def test_new_numbers_keep_what_the_old_ones_were(seed):
    rng, old = random.Random(seed), [.001, .25, .5, .9, 2.5, 3., 100.]
    new = other_floats(set(old), rng, True)
    assert [*new.values()] == sorted(new.values()) and list(new) == old
    assert all(a != b and (a < 1) == (b < 1) and b > 0 for a, b in new.items())
    assert 3. not in other_floats(set(old), rng, False)
    ints = other_ints({2, 3, 7, 400}, rng)
    assert all(b > a and (a - b) % 2 == 0 for a, b in ints.items())
    assert [*ints.values()] == sorted(ints.values()) and ints[7] - ints[3] >= 4
    assert other_texts({'ab', 'b 1'}, rng, 'digits') == {'ab': 'ab', 'b 1': 'b 1'}


def test_tolerances_places_and_claims_stay_and_parts_of_one_are_so_again():
    source = '''@check(hint="")
def all_of_it(f):
    expect(f([.2, .3, .5])[1], 3, atol=.01)
    expect(f(x)**2 < .05, True)'''
    cells = Altered((source,))
    text = said(cells, VARIATIONS[0], 3)
    assert 'atol=0.01' in text and '[1]' in text and '** 2 < 0.05' in text
    parts = next(n for n in ast.walk(cells.trees[0]) if isinstance(n, ast.List))
    values = [n.value for n in parts.elts]
    assert values != [.2, .3, .5] and abs(sum(values) - 1) < 1e-12


def test_values_count_by_what_they_hold():
    assert same(plain((1, 2.)), plain([1., 2]), 0., 0.) and not same(1001, 1000, 0., 0.)
    assert not same(plain([1, 2]), plain([1, 2, 3]), 0., 0.) and not same(1., None, 0., 0.)


def test_a_grading_asks_in_another_order_and_tells_in_that_of_the_page():
    exercise, orders = find_exercise('huber'), []
    for seed in (0, 0, 1, 2, 3):
        stage, seen = Stage(exercise, None, seed=seed), []
        try_check = stage.try_check
        stage.try_check = lambda check, t=try_check, s=seen, **how: (s.append(check.claim),
                                                                    t(check, **how))[1]
        told = [claim.claim for claim in stage.run()]
        assert sorted(seen) == sorted(told) == sorted(c.claim for c in stage.script.checks)
        assert told == [c.claim for c in stage.script.checks]
        orders.append(seen)
    assert orders[0] == orders[1] and any(seen != orders[0] for seen in orders[2:])


@pytest.mark.parametrize('name', ['between_share', 'counted', 'spoilers', 'impact_ratios',
                                  'row_strides', 'rounding_interval', 'Tensor.relu'])
def test_a_recorder_does_not_pass(name):
    checks, fresh = Recorder(find_exercise(name)).judged(seed=5)
    assert fresh in ('failed', 'error'), (checks, fresh)


def test_a_check_without_words_is_one_of_the_checks():
    marked = [Altered((f'x = {n}\n{mark}\ndef of_three(f): pass\n@cache\ndef by(f): pass',))
              for n in (1, 2) for mark in ('@check', '@check(hint="")')]
    texts = [cells.told() for cells in marked]
    assert [len(found) for found in texts] == [1]*4 and len({found for found, in texts}) == 4
