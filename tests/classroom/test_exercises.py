"The exercise machinery on notebooks made up for it: reading, blanking, running, comparing, the learner's page, mutants"
import builtins
import json
import random
import subprocess
import sys
import threading
import time
import types
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
import torch
from classroom.gate import faults

from dlcourse.classroom import exercises
from dlcourse.classroom.checks import Check, Result, expect, expect_error, run_check, verdict
from dlcourse.classroom.exercises import check, check_cell, known_answers, passes, quiz, run
from dlcourse.classroom.lessons import (
    answers,
    blank,
    defines,
    find_exercise,
    leaks,
    learner_edition,
    lesson_of,
    lessons,
    read_lesson,
    read_notebook,
    untouched,
)
from dlcourse.classroom.mutants import kills, mutants
from dlcourse.classroom.trials import Mismatch, OutOfTime, alike, freeze, time_limit, written
from dlcourse.core.errors import InputError

IMPORTS = 'from dlcourse.classroom.exercises import check, expect, right, wrong\nimport matplotlib.pyplot as plt'
MASK = '''#| export
#| exercise causal_mask level=1 importance=3 minutes=5
def causal_mask(
    n:int, # Length of the sequence
)->torch.Tensor: # `True` where position `i` may look
    "Who may look at whom"
    # the past is below
    return torch.ones(n, n, dtype=torch.bool).tril()'''
MASK_CHECK = '''#| check causal_mask
@check(hint="Which half is the past?")
def nobody_looks_ahead(causal_mask):
    "No position sees a later one."
    expect(causal_mask(5).triu(1), torch.zeros(5, 5, dtype=torch.bool))

@check(hint="May a position use its own token?")
def everyone_sees_themselves(causal_mask):
    "Each position sees itself and all before it."
    for n in (1, 4): expect(causal_mask(n).sum(-1), torch.arange(1, n+1))'''
MASK_WRONG = '''#| wrong causal_mask
wrong("flipped", lambda n: ~causal_mask(n) | torch.eye(n).bool())
wrong("not itself", lambda n: torch.ones(n, n).bool().tril(-1))
wrong("numbers", lambda n: torch.ones(n, n).tril())
right(lambda n: torch.arange(n)[:,None] >= torch.arange(n))'''
VALUE = '#| export\nclass Value:\n    def __init__(self, data, prev=()): self.data, self.grad, self.prev, self._backward = data, 0., prev, lambda: None'
ADD = '''#| export
#| exercise Value.__add__
@patch
def __add__(self:Value, other:Value)->Value:
    "Sum"
    out = Value(self.data + other.data, (self, other))
    def backward():
        self.grad += out.grad
        other.grad += out.grad
    out._backward = backward
    return out'''
ADD_CHECK = '''#| check Value.__add__
@check(hint="h")
def adds(Value):
    "The sum is there."
    expect((Value(2.) + Value(5.)).data, 7.)

@check(hint="h")
def gives_back(Value):
    "Both get the gradient, twice where used twice."
    a = Value(3.); c = a + a
    a.grad, c.grad = 1., 2.; c._backward()
    expect(a.grad, 5.)'''
ADD_WRONG = '''#| wrong Value.__add__
def overwrites(self, other):
    out = Value(self.data + other.data, (self, other))
    def backward(): self.grad = out.grad; other.grad = out.grad
    out._backward = backward
    return out
wrong("no gradient", lambda self, other: Value(self.data + other.data, (self, other)))
wrong("overwrites", overwrites)
wrong("product", lambda self, other: Value(self.data*other.data))
right(lambda self, other: _added(self, other))
def _added(a, b):
    out = overwrites(b, a)
    def backward():
        for v in (a, b): v.grad = v.grad + out.grad
    out._backward = backward
    return out'''
SOFTMAX = '#| exports\n#| exercise softmax without=F.softmax,torch.softmax\ndef softmax(x):\n    "Shares"\n    e = (x - x.max()).exp()\n    return e/e.sum()'
SOFTMAX_CHECK = '#| check softmax\n@check(hint="h")\ndef oracle(softmax):\n    "As torch."\n    x = torch.randn(5, dtype=torch.float64)*9\n' \
                '    expect(softmax(x), F.softmax(x, 0), rtol=1e-12)'
HEAD = ['#| default_exp transformers.tiny', ('# Tiny\n\n> Small',), '#| export\nimport torch\nimport torch.nn.functional as F\nfrom fastcore.basics import patch', IMPORTS]
PAGE = [*HEAD, MASK, MASK_CHECK, MASK_WRONG, ('#| hint causal_mask\nStart with ones.',), VALUE, ADD, ADD_CHECK, ADD_WRONG, SOFTMAX, SOFTMAX_CHECK,
        '#| export\ndef visible(n): return int(causal_mask(n).sum())', 'causal_mask(3)']


def book(*cells):
    "A notebook; a text cell is a tuple"
    def cell(i, c):
        if isinstance(c, tuple): return dict(cell_type='markdown', id=f'c{i}', metadata={}, source=c[0])
        return dict(cell_type='code', id=f'c{i}', metadata={}, source=c, outputs=[dict(output_type='stream', name='stdout', text='out')], execution_count=3)
    return dict(cells=[cell(i, c) for i, c in enumerate(cells)], metadata={}, nbformat=4, nbformat_minor=5)


@pytest.fixture
def lesson(tmp_path):
    "A function that writes a lesson and gives its exercises by name"
    def make(*cells, name='06_transformers/03_tiny.ipynb'):
        path = tmp_path/'nbs'/name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(book(*(cells or PAGE))), encoding='utf-8')
        return {e.name: e for e in read_lesson(path).exercises}
    return make


@pytest.fixture
def mask(lesson): return lesson()['causal_mask']


# Reading

def test_exercise_knows_what_belongs_to_it(mask):
    assert (mask.id, mask.module, mask.parameter, mask.title) == ('transformers.tiny.causal_mask', 'dlcourse.transformers.tiny', 'causal_mask', 'Who may look at whom')
    assert (mask.level, mask.importance, mask.minutes, mask.without, mask.hints) == (1, 3, 5, (), ('Start with ones.',))
    assert mask.checks == (MASK_CHECK,) and mask.wrongs == (MASK_WRONG,) and mask.source == MASK


def test_method_and_without(lesson):
    found = lesson()
    assert found['Value.__add__'].parameter == 'Value' and found['softmax'].without == ('F.softmax', 'torch.softmax')


@pytest.mark.parametrize('cells, words', [
    ((*HEAD, MASK, '#| check casual_mask\n1'), '`#| check casual_mask` names no exercise of 03_tiny.ipynb; there are: causal_mask'),
    ((*HEAD, MASK, MASK), '`causal_mask` is the name of two exercises'),
    ((*HEAD, MASK.replace('#| export\n', '')), 'not exported; add `#| export`'),
    ((*HEAD, '#| export\n#| exercise f\ndef g(): pass'), 'does not define `f`'),
    ((*HEAD, '#| export\n#| exercise f\ndef f(:'), 'the reference is not Python'),
    ((*HEAD, '#| export\n#| exercise 3f\ndef f(): pass'), "needs the name of a function or Class.method, got '3f'"),
    ((*HEAD, '#| export\n#| exercise\ndef f(): pass'), "got ''"),
    ((*HEAD, '#| export\n#| exercise f weight=3\ndef f(): pass'), '`weight` is no argument of an exercise (f); there are: level, importance, minutes, without'),
    ((*HEAD, '#| export\n#| exercise f minutes=long\ndef f(): pass'), "`minutes` must be a whole number from 1 to 240, got 'long' (f)"),
    ((MASK,), "must open with `#| default_exp part.lesson`, got ''"),
])
def test_lesson_says_what_does_not_fit(lesson, cells, words):
    with pytest.raises(InputError) as e: lesson(*cells)
    assert words in str(e.value)


@pytest.mark.parametrize('text, words', [('{', 'is not a notebook'), ('[]', 'is not a notebook: TypeError'), ('{"cells": [{}]}', 'is not a notebook: KeyError'),
                                         ('{"cells": 3}', 'is not a notebook'), (b'\xff\xfe', 'is not a notebook')])
def test_damaged_notebook_is_an_input_error(tmp_path, text, words):
    path = tmp_path/'01_x.ipynb'
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=words): read_notebook(path)
    with pytest.raises(InputError, match='cannot be read'): read_lesson(tmp_path/'gone.ipynb')


def test_lesson_is_read_again_when_it_changes(lesson):
    before = lesson()
    time.sleep(.01)
    after = lesson(*(c.replace('level=1', 'level=4') if isinstance(c, str) else c for c in PAGE))
    assert before['causal_mask'].level == 1 and after['causal_mask'].level == 4


def test_find_exercise(lesson, tmp_path):
    lesson(); lesson(*(c.replace('.tiny', '.other') if isinstance(c, str) else c for c in PAGE), name='06_transformers/04_other.ipynb')
    nbs = tmp_path/'nbs'
    assert find_exercise('other.causal_mask', nbs).id == 'transformers.other.causal_mask' == find_exercise('causal_mask', nbs, 'transformers.other').id
    assert find_exercise('transformers.tiny.Value.__add__', nbs).name == 'Value.__add__'
    with pytest.raises(InputError, match='say which: transformers.tiny.causal_mask, transformers.other.causal_mask'): find_exercise('causal_mask', nbs)
    with pytest.raises(InputError, match='`mask` is no exercise; `dlcourse lessons` lists'): find_exercise('mask', nbs)


# Blanking

@pytest.mark.parametrize('source, name, wanted', [
    ('def f(x): return x+1', 'f', 'def f(x):\n    raise'),
    ('def f(x):\n    # secret\n    return x', 'f', 'def f(x):\n    raise'),
    ('def f(x):\n    "doc"\n    # secret\n    y = x\n\n    return y\nz = 1', 'f', 'def f(x):\n    "doc"\n    raise'),
    ('def f(x): "doc"; return x', 'f', 'def f(x):\n    "doc"\n    raise'),
    ('def f(x):\n    """doc\n    more"""', 'f', 'def f(x):\n    """doc\n    more"""\n    raise'),
    ('def f(\n    x:dict={1: 2}, # a: b\n)->"a: b": # ü: c\n    return x', 'f', 'def f(\n    x:dict={1: 2}, # a: b\n)->"a: b": # ü: c\n    raise'),
    ('class A:\n    x = 1\n    def f(self):\n        "doc"\n        return 1\n    def g(self): return 2', 'A.f', 'class A:\n    x = 1\n    def f(self):\n        "doc"\n        raise'),
    ('@patch\ndef f(self:A): return 1', 'A.f', '@patch\ndef f(self:A):\n    raise'),
])
def test_blank_keeps_the_question(source, name, wanted):
    cell = blank(source, name)
    assert cell.startswith(wanted + f' NotImplementedError("Your turn: {name}")') and 'secret' not in cell
    rest = cell.split('")', 1)[1].splitlines()[1:]
    assert rest == [line for line in source.splitlines() if line.startswith(('z', '    def g'))]
    compile(cell, 'cell', 'exec')


def test_a_one_liner_that_begins_a_docstring_still_compiles(): compile(blank('def f(x): "doc"', 'f'), 'cell', 'exec')


def test_untouched(mask, lesson):
    assert untouched(mask, mask.blank) and untouched(mask, mask.blank + '\n# let me think') and not untouched(mask, MASK)
    assert not untouched(mask, 'def f(:') and untouched(mask, 'def causal_mask(n, other=1):\n    raise NotImplementedError("Your turn: x")')


def test_scaffold_stands_in_for_the_blank(lesson):
    scaffold = '#| scaffold causal_mask\ndef causal_mask(n):\n    ones = ...\n    return ones.tril()'
    e = lesson(*HEAD, MASK, scaffold, MASK_CHECK)['causal_mask']
    assert e.blank == '#| export\n#| exercise causal_mask level=1 importance=3 minutes=5\ndef causal_mask(n):\n    ones = ...\n    return ones.tril()'
    assert run(e, e.blank).outcome == 'not tried' == run(e, e.blank + ' # hm').outcome
    assert run(e, e.blank.replace('...', '1')).outcome == 'error' and run(e, e.blank.replace('...', 'torch.ones(n, n).bool()')).outcome == 'passed'


# Running

@pytest.mark.parametrize('name', ['causal_mask', 'Value.__add__', 'softmax'])
def test_reference_passes_and_blank_is_not_tried(lesson, name):
    e = lesson()[name]
    assert run(e, e.source).outcome == 'passed' and passes(e, e.source)
    assert run(e, e.blank).outcome == 'not tried' and not passes(e, e.blank)


@pytest.mark.parametrize('name', ['causal_mask', 'Value.__add__'])
def test_known_answers(lesson, name):
    e = lesson()[name]
    found, _ = known_answers(e)
    for a in found:
        result = run(e, a)
        assert (result.outcome, result.misconception) == (('failed', a.message) if a.kind == 'wrong' else ('passed', None)), result
    assert [a.kind for a in found] == ['wrong']*3 + ['right']


def test_misconception_by_behaviour_not_by_text(mask):
    same = run(mask, 'def causal_mask(n):\n    i = torch.arange(n)\n    return i[None] >= i[:,None]')
    assert same.misconception == 'flipped' and 'hint' not in repr(same)
    other = run(mask, 'def causal_mask(n): return torch.ones(n, n).bool()')
    assert other.misconception is None and 'hint     Which half is the past?' in repr(other)


@pytest.mark.parametrize('source, outcome, words', [
    ('def causal_mask(n): return torch.ones(n, n).bool()', 'failed', 'expected False at [0, 1]\n      came     True\n               10 of 25 elements differ'),
    ('def causal_mask(n): torch.ones(n, n)', 'failed', 'did you forget `return`?'),
    ('def causal_mask(n):\n    half = n/2\n    return torch.ones(half)', 'error', 'line 3: return torch.ones(half)'),
    ('def causal_mask(n: return 1', 'error', 'line 1 is not Python: '),
    ('def casual_mask(n): return 1', 'error', 'the cell does not define `causal_mask`'),
    ('causal_mask = 3', 'error', 'the cell does not define `causal_mask`'),
    ('1/0\nx = 1/0\ndef causal_mask(n): pass', 'error', 'ZeroDivisionError: division by zero\nline 2: x = 1/0'),
    ('def causal_mask(n): return plt.f(n)', 'error', "name 'plt' is not defined; only the lesson's own cells import it: import it inside the function"),
    ('def causal_mask(n): return helper(n)', 'error', "name 'helper' is not defined; the cell must hold all it needs"),
    ('from dlcourse.transformers.tiny import causal_mask', 'error', "cannot import name 'causal_mask'"),
    ('def causal_mask(n):\n    from dlcourse.transformers.tiny import causal_mask as f\n    return f(n)', 'error', 'RecursionError'),
    ('def causal_mask(n): raise SystemExit', 'error', 'SystemExit'),
    ('raise SystemExit', 'error', 'SystemExit'),
    ('def causal_mask(n): raise NotImplementedError("Your turn: x")\nx = 1', 'not tried', 'blank'),
    ('import math\ndef helper(n): return torch.arange(n)\ndef causal_mask(n): return helper(n)[:,None] >= helper(n)\ncausal_mask(9)/"tried out"', 'passed', ''),
])
def test_outcomes(mask, source, outcome, words):
    result = run(mask, source)
    assert result.outcome == outcome, result
    assert words in repr(result)


def test_functions_that_call_the_candidate_see_it(lesson):
    e = lesson(*PAGE, '#| export\nSIX = visible(3)', '#| check causal_mask\n@check(hint="h")\ndef counts(causal_mask):\n    "Others see it."\n'
               '    expect(visible(4), 10)\n    expect(SIX, 6)')['causal_mask']
    assert run(e, e.source).outcome == 'passed'
    assert [c.came for c in run(e, 'def causal_mask(n): return torch.zeros(n, n, dtype=torch.bool)').claims][-1] == '0'
    broken = run(e, 'def causal_mask(n): return torch.ones(n, n).bool().tril() if n != 3 else None')
    assert broken.outcome == 'failed' and "✗ The rest of the lesson's module works with it.\n               AttributeError" in repr(broken)
    assert run(e, lambda n: 1/0).outcome in ('failed', 'error') and run(e, e.blank).outcome == 'not tried'


def test_a_method_leaves_nothing_behind(lesson):
    e = lesson()['Value.__add__']
    assert run(e, ADD.replace('+=', '-=')).outcome == 'failed' and run(e, e.source).outcome == 'passed'
    assert 'does not define' in repr(run(e, 'x = 1'))


def test_a_callable_can_be_a_candidate(mask, lesson):
    assert run(mask, lambda n: torch.ones(n, n).bool().tril()).outcome == 'passed' and run(mask, lambda n: None).outcome == 'failed'
    assert run(lesson()['Value.__add__'], lambda self, other: self).outcome == 'failed'


def test_method_in_a_class(lesson):
    cell = '#| export\n#| exercise A.double\nclass A:\n    @property\n    def double(self):\n        "Twice"\n        return 2*self.x\n    def __init__(self, x): self.x = x'
    e = lesson(*HEAD, cell, '#| check A.double\n@check(hint="h")\ndef doubles(A):\n    "Twice."\n    expect(A(4).double, 8)')['A.double']
    assert run(e, e.source).outcome == 'passed' and run(e, e.blank).outcome == 'not tried' and run(e, cell.replace('2*', '3*')).outcome == 'failed'
    assert run(e, lambda self: self.x + self.x).outcome == 'passed'


@pytest.mark.parametrize('body', ['F.softmax(x, 0)', 'torch.softmax(x, 0)', 'torch.nn.functional.softmax(x, 0)', 'getattr(F, "softmax")(x, 0)',
                                  '__import__("torch.nn.functional").nn.functional.softmax(x, 0)', 'getattr(F, "soft" + "max")(x, 0)', 's(x, 0)'])
def test_doing_without(lesson, body):
    result = run(lesson()['softmax'], f'from torch.nn.functional import softmax as s\ndef softmax(x): return {body}' if body[0] == 's' else f'def softmax(x): return {body}')
    assert result.outcome == 'failed' and 'It does without F.softmax, torch.softmax.' in repr(result)
    assert torch.softmax(torch.zeros(2), 0).sum() == 1 == torch.nn.functional.softmax(torch.zeros(2), 0).sum()


@pytest.mark.parametrize('source, without, found', [
    ('x.softmax(0)', ('F.softmax',), []), ('x.softmax(0)', ('softmax',), ['softmax']), ('[i for i in x]', ('for',), ['for']), ('while x: pass', ('for', 'while'), ['while']),
    ('import torch as t\nt.softmax(x)', ('torch.softmax',), ['torch.softmax']), ('softmax = 1', ('F.softmax',), []),
])
def test_what_stands_in_the_text(source, without, found): assert written(source, without) == found


def test_time_limit(mask):
    start = time.perf_counter()
    result = run(mask, 'def causal_mask(n):\n    while True:\n        try: pass\n        except: pass', seconds=.2)
    assert 'not done after 0.2 s' in repr(result) and 'not run after that' in repr(result) and time.perf_counter() - start < 5


def test_time_limit_in_another_thread():
    seen = []
    def work():
        try:
            with time_limit(.1):
                while True: pass
        except OutOfTime: seen.append('late')
        with time_limit(5): seen.append('in time')
    thread = threading.Thread(target=work); thread.start(); thread.join()
    assert seen == ['late', 'in time']


def test_random_state_is_seeded_and_restored(lesson):
    source = '#| check causal_mask\n@check(hint="h")\ndef draws(causal_mask):\n    "Always the same."\n    import random\n    expect(torch.rand(1).item() + random.random(), ' \
             '(torch.manual_seed(0), torch.rand(1).item())[1] + (random.seed(0), random.random())[1])'
    e = lesson(*HEAD, MASK, source)['causal_mask']
    random.seed(5); np.random.seed(5); torch.manual_seed(5)
    wanted = random.random(), np.random.rand(), torch.rand(1).item()
    random.seed(5); np.random.seed(5); torch.manual_seed(5)
    assert run(e, MASK.replace('    return', '    torch.set_grad_enabled(False); torch.set_default_dtype(torch.float64); torch.manual_seed(9)\n    return')).outcome == 'passed'
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == wanted and torch.is_grad_enabled() and torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize('attack', [
    'import dlcourse.classroom.exercises as e; e.expect = lambda *a, **k: None', 'import dlcourse.classroom.checks as e; e.compare = lambda *a: None',
    'import dlcourse.classroom.trials as e; e._compare_arrays = lambda *a: None', 'import dlcourse.classroom.exercises as e; e.compare.__code__ = (lambda *a: None).__code__',
    'import dlcourse.classroom.exercises as e; e.now.asserted = 9; e.compare = lambda *a: None', 'import sys; sys._getframe(2).f_globals["expect"] = lambda *a: None',
    'import builtins; builtins.type = lambda x: int', 'import torch; torch.testing.assert_close = lambda *a: None',
])
@pytest.mark.parametrize('place', ['inside', 'above'])
def test_changing_the_checks_does_not_help(mask, attack, place):
    before = vars(builtins).copy()
    source = f'def causal_mask(n):\n    {attack}\n    return torch.ones(n, n)' if place == 'inside' else f'{attack}\ndef causal_mask(n): return torch.ones(n, n)'
    kept = torch.testing.assert_close
    result = run(mask, source)
    torch.testing.assert_close = kept
    assert result.outcome != 'passed', result
    assert vars(builtins) == before and run(mask, mask.source).outcome == 'passed' and run(mask, 'def causal_mask(n): return torch.ones(n, n)').outcome == 'failed'


def test_the_lessons_module_is_restored(mask):
    fake = sys.modules['dlcourse.transformers.tiny'] = types.ModuleType('dlcourse.transformers.tiny')
    run(mask, mask.source)
    assert sys.modules.pop('dlcourse.transformers.tiny') is fake
    run(mask, mask.source)
    assert 'dlcourse.transformers.tiny' not in sys.modules


def test_only_imports_that_checks_use_are_run():
    code = "import sys, dlcourse.classroom.exercises\nassert not {'torch', 'matplotlib', 'IPython'} & sys.modules.keys()"
    subprocess.run([sys.executable, '-c', code], check=True)


def test_checks_that_compare_nothing_are_not_checked(lesson):
    empty = '#| check causal_mask\n@check(hint="h")\ndef nothing(causal_mask):\n    "Vacuous."\n    for row in causal_mask(0): expect(row, 1)'
    e = lesson(*HEAD, MASK, empty)['causal_mask']
    assert run(e, e.source).outcome == 'not checked' and 'nothing was compared' in repr(run(e, e.source)) and not passes(e, e.source)
    assert run(lesson(*HEAD, MASK)['causal_mask'], MASK).outcome == 'not checked'


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about machines without a GPU")
def test_a_missing_gpu_is_no_success(lesson):
    gpu = '#| check causal_mask\n@check(hint="h", gpu=True)\ndef fast(causal_mask):\n    "On a GPU."\n    expect(1, 2)'
    e = lesson(*HEAD, MASK, gpu)['causal_mask']
    assert run(e, MASK).outcome == 'not checked' and 'needs a GPU' in repr(run(e, MASK))
    both = lesson(*HEAD, MASK, MASK_CHECK, gpu)['causal_mask']
    assert run(both, MASK).outcome == 'passed' and [c.outcome for c in run(both, MASK).claims] == ['passed', 'passed', 'not checked']


def test_a_check_takes_milliseconds(mask):
    run(mask, mask.source)
    start = time.perf_counter()
    for _ in range(20): run(mask, mask.source)
    assert (time.perf_counter() - start)/20 < .1


def test_verdict(mask):
    assert verdict([]) == 'not checked'
    assert run(mask, mask.source, seed=3).outcome == 'passed'


# Feedback

def test_result_travels_as_json(mask):
    result = run(mask, 'def causal_mask(n): return torch.ones(n, n).bool()')
    assert Result.from_dict(json.loads(json.dumps(result.to_dict()))) == result


def test_html_is_escaped_and_says_it_in_words(mask):
    page = run(mask, 'def causal_mask(n): raise ValueError("<script>")')._repr_html_()
    assert '<script>' not in page and '&lt;script&gt;' in page and 'scope="col"' in page and 'role="status"' in page and 'error' in page


def test_quiz():
    q = quiz("How many?", right={"15": "1+2+3+4+5"}, wrong={"10": "<b> without the diagonal"})
    assert repr(q) == "How many?\n  a) 10\n  b) 15" and '<details><summary>15</summary>Right. 1+2+3+4+5</details>' in q._repr_html_() and '<b>' not in q._repr_html_()


# Comparing

@dataclass
class Point: x:float; y:list


class Agreeable(float):
    def __eq__(self, other): return True


class Bent(torch.Tensor):
    def __eq__(self, other): return torch.tensor(True)
    @classmethod
    def __torch_function__(cls, f, types, args=(), kwargs=None): return torch.tensor(True)


class Curved(np.ndarray):
    def __eq__(self, other): return np.array(True)


T, HERE = torch.tensor, __name__.split('.')[0]


@pytest.mark.parametrize('got, want, tolerance', [
    (1, 1, {}), (1.5, 1.5, {}), (float('nan'), float('nan'), {}), (float('inf'), float('inf'), dict(atol=1)), ('a', 'a', {}), (None, None, {}), (True, True, {}),
    (.1 + .2, .3, dict(atol=1e-15)), (101., 100., dict(rtol=.01)), ([1, (2., 'x'), {'a': {3}}], [1, (2., 'x'), {'a': {3}}], {}), (1+2j, 1+2j, {}), (5, 6, dict(atol=1)),
    (T([1., float('nan')]), T([1., float('nan')]), {}), (T([1, 2]), T([1, 2]), {}), (T([1., 2.]), T([1., 2.0001]), dict(atol=1e-3)), (T([]), T([]), {}),
    (torch.nn.Parameter(T([1.])), T([1.]), {}), (T([1.], requires_grad=True), T([1.]), {}), (T([1.]).to(torch.bfloat16), T([1.]).to(torch.bfloat16), {}),
    (T([1+2j]).conj(), T([1-2j]), {}), (torch.eye(2).to_sparse(), torch.eye(2).to_sparse(), {}), (np.array([1, 2]), np.array([1, 2]), {}), (np.float32(1), np.float32(1), {}),
    (np.array(['a', None], object), np.array(['a', None], object), {}), (Point(1., [T(2)]), Point(1., [T(2)]), {}), (Fraction(1, 3), Fraction(1, 3), {}),
    (torch.float32, torch.float32, {}), (torch.Size([2]), torch.Size([2]), {}), (int, int, {}), (slice(1, 2), slice(1, 2), {}), (frozenset({1}), frozenset({1}), {}),
    (torch.empty(2, device='meta'), torch.empty(2, device='meta'), {}), (T([2**53 + 1]), T([2**53 + 1]), {}), (b'x', b'x', {}),
])
def test_equal(got, want, tolerance): expect(got, want, **tolerance)


@pytest.mark.parametrize('got, want, says', [
    (1., 1, 'expected an int: 1, came a float: 1.0'), (True, 1, 'came a bool: True'), (1, 2, 'expected 2, came 1'), (None, 1, 'expected an int: 1, came None'),
    (np.float64(1), 1., 'expected a float: 1.0, came a numpy.float64: np.float64(1.0)'), ('a', 'b', "expected 'b', came 'a'"), (1, None, 'expected None, came an int: 1'),
    (float('nan'), 1., 'expected 1.0, came nan'), (1., float('nan'), 'expected nan'), (.3, .1 + .2, 'expected 0.30000000000000004, came 0.3'),
    ([1, [2, 3.]], [1, [2, 3]], 'at [1][1]: expected an int: 3, came a float: 3.0'), ([1], [1, 2], 'expected length 2, came length 1'), ((1,), [1], 'expected a list: [1], came a tuple: (1,)'),
    ({'a': 1}, {'a': 1, 'b': 2}, "expected keys ['a', 'b'], came keys ['a']"), ({'a': 1}, {'a': 2}, "at ['a']: expected 2, came 1"), ({1., 2}, {1, 2}, 'expected {1, 2}'),
    (T([[1, 2], [3, 4]]), T([[1, 2], [3, 5]]), 'expected [[1, 2], [3, 5]], came [[1, 2], [3, 4]]'),
    (torch.zeros(3, 4), torch.eye(3, 4), 'at [0, 0]: expected 1.0, came 0.0 (3 of 12 elements differ)'), (torch.zeros(2, 3), torch.zeros(3, 2), 'expected shape (3, 2), came shape (2, 3)'),
    (torch.zeros(2), torch.zeros(2).double(), 'expected dtype float64, came dtype float32'), (T(1), 1, 'expected an int: 1, came tensor of int64, shape (): 1'),
    (1, T(1), 'expected tensor of int64, shape (): 1, came an int: 1'), (np.zeros(2), T([0., 0.]), 'came array of float64, shape (2,): [0.0, 0.0]'),
    (torch.zeros(2, device='meta'), torch.zeros(2), 'expected device cpu, came device meta'), (np.zeros(7, int), np.zeros(7), 'expected dtype float64, came dtype int64'),
    (np.arange(8), np.arange(8)[::-1].copy(), 'at [0]: expected 7, came 0 (8 of 8 elements differ)'), (T(1.), T(2.), 'expected 2.0, came 1.0'),
    (Point(1., [2]), Point(1., [3]), 'at .y[0]: expected 3, came 2'), (T([2**53 + 1]), T([2**53]), 'came [9007199254740993]'),
    (Agreeable(3), 4., f'came a {HERE}.Agreeable'), (torch.zeros(2).as_subclass(Bent), torch.ones(2), 'came a classroom.Bent'),
    (np.zeros(2).view(Curved), np.ones(2), f'came a {HERE}.Curved'), (torch.float32, torch.float64, 'expected torch.float64'), (torch.eye(2).to_sparse(), torch.eye(2), 'expected'),
    ('x'*500, 'y', '…'), (lambda: 1, 1, 'came a function'), (np.nan, np.inf, 'expected inf, came nan'),
])
def test_different(got, want, says):
    with pytest.raises(Mismatch) as e: expect(got, want)
    text = str(e.value)
    assert says in text and len(text) < 250


def test_tolerance_does_not_forgive_type_or_shape():
    for got, want in [(1, 1.), (T([1.]), T([[1.]])), (T([1.]), T([1.]).double()), (np.inf, 1.), (1., np.inf)]:
        with pytest.raises(Mismatch): expect(got, want, atol=1e9)


def test_what_cannot_be_compared_is_the_authors_to_mend():
    class Odd:
        def __eq__(self, other): return np.array([True, False])
    with pytest.raises(TypeError, match='compare its parts'): expect(Odd(), Odd())


def test_a_changed_torch_does_not_help(monkeypatch):
    expect(T([1.]), T([1.]))
    monkeypatch.setattr(torch.Tensor, 'numpy', lambda *a, **k: np.zeros(1))
    monkeypatch.setattr(torch.Tensor, 'detach', lambda t: torch.zeros(1))
    with pytest.raises(Mismatch): expect(T([1.]), T([2.]))


def test_frozen_values_are_alike_but_for_rounding():
    class Thing: pass
    thing = Thing(); thing.x, thing.me = T([1.]), thing
    for a, b, same in [([1., T([1.])], [1. + 1e-12, T([1. + 1e-6])], True), (1, 1., False), (T([1]), T([1.]), False), ((1,), [1], False), ({'a': 1}, {'a': 2}, False),
                       ([1]*5, [1]*6, False), (T([1.]), T([[1.]]), False), (float('nan'), float('nan'), True), (thing, thing, True), (np.ones(2), np.ones(2), True)]:
        assert alike(freeze(a), freeze(b)) is same, (a, b)
    before = freeze(thing)
    thing.x += 1
    assert not alike(before, freeze(thing))


def test_expect_error():
    expect_error(ValueError, int, 'x', says='invalid literal')
    with pytest.raises(Mismatch, match="expected TypeError, came ValueError: invalid"): expect_error(TypeError, int, 'x')
    with pytest.raises(Mismatch, match="expected ValueError that says 'odd', came ValueError"): expect_error(ValueError, int, 'x', says='odd')
    with pytest.raises(Mismatch, match="expected ValueError, came no error, but 3"): expect_error(ValueError, int, '3')


# In the notebook

def test_a_check_proves_the_reference_in_the_source_notebook():
    space = dict(check=check, expect=expect)
    exec('def f(x): return x + 1\n@check(hint="h")\ndef adds(f):\n    "Adds."\n    expect(f(1), 2)', space)
    with pytest.raises(AssertionError, match='the reference does not pass `adds`: expected 2, came 3'): exec('f = lambda x: x + 2\ncheck(hint="h")(adds)', space)
    with pytest.raises(AssertionError, match='nothing was compared'): exec('@check\ndef empty(f): pass', space)


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
def page(lesson, tmp_path, monkeypatch):
    "A shell in which the made-up lesson is open"
    lesson()
    monkeypatch.setattr(exercises, 'find_exercise', lambda name, nbs=None, lesson=None: find_exercise(name, tmp_path/'nbs', lesson))
    monkeypatch.setattr(exercises, 'attempted', [])
    return Shell(PAGE[0], PAGE[2], VALUE)


def test_check_takes_the_learners_cell_and_goes_on_with_the_reference(page, mask):
    seen = []
    exercises.attempted.append(lambda e, source, result: seen.append((e.name, source, result.outcome)))
    page.run(mask.blank); first = check_cell('causal_mask', page)
    assert first.outcome == 'not tried' and "`causal_mask` is the course's own from here" in first.note and page.user_ns['causal_mask'](2).sum() == 3
    page.run('def causal_mask(n): return torch.ones(n, n)'); second = check_cell('causal_mask', page)
    assert second.outcome == 'failed' and page.user_ns['causal_mask'](2).sum() == 3
    mine = '%time\n#| export\n#| exercise causal_mask\ndef causal_mask(n): return torch.arange(n)[:,None] >= torch.arange(n)\ncheck_cell_is_not_run_again = 1'
    page.run(mine); own = page.user_ns['causal_mask']; third = check_cell('causal_mask', page)
    assert third.outcome == 'passed' and not third.note and page.user_ns['causal_mask'] is own
    assert [(name, outcome) for name, _, outcome in seen] == [('causal_mask', 'not tried'), ('causal_mask', 'failed'), ('causal_mask', 'passed')] and seen[2][1] == mine


def test_check_takes_the_last_cell_and_sees_one_that_is_not_python(page):
    page.run('def causal_mask(n): return "a first try"'); page.run(MASK.replace('.tril()', '.triu()')); page.run('causal_mask(3)')
    assert check_cell('causal_mask', page).misconception == 'flipped'
    page.run('#| exercise causal_mask\ndef causal_mask(n: return 3')
    assert 'is not Python' in check_cell('causal_mask', page).message


def test_check_of_a_method_patches_the_learners_own_class(page):
    result = check_cell('Value.__add__', page)
    assert result.outcome == 'not tried' and 'run the cell of the exercise first' in result.message
    assert (page.user_ns['Value'](1) + page.user_ns['Value'](2)).data == 3


def test_check_outside_a_notebook_says_what_to_do():
    with pytest.raises(InputError, match='elsewhere use `dlcourse check`'): check('causal_mask')


# The learner's page

def test_learners_page():
    nb = book(*PAGE, '#| target\nplot()', '#| quiz causal_mask\nquiz("?", right={"a": "b"})')
    page = learner_edition(nb)
    sources = [''.join(c['source']) for c in page['cells']]
    assert sources.count('check("causal_mask")') == sources.count('check("Value.__add__")') == sources.count('check("softmax")') == 1
    assert not any(word in source for source in sources for word in ('wrong(', 'right(', '#| hint', 'tril', '@check', 'the past is below'))
    assert sources[3] == 'from dlcourse.classroom.exercises import check\nimport matplotlib.pyplot as plt' and sources[-1] == '#| quiz causal_mask\nquiz("causal_mask")'
    assert sources[4] == blank(MASK, 'causal_mask') and sources[4].startswith('#| export\n#| exercise causal_mask')
    assert {c['id'] for c in page['cells']} <= {c['id'] for c in nb['cells']} and nb == book(*PAGE, '#| target\nplot()', '#| quiz causal_mask\nquiz("?", right={"a": "b"})')
    assert [''.join(c['source']) for c in page['cells'] if c.get('outputs')] == ['#| target\nplot()']
    assert {e.name: leaks(page, e) for e in lesson_of(nb, 'x').exercises} == {'causal_mask': [], 'Value.__add__': [], 'softmax': []}
    assert 'from dlcourse.classroom.progress import check' in ''.join(learner_edition(nb, 'dlcourse.classroom.progress')['cells'][3]['source'])


def test_leaks_are_found_in_cells_and_in_outputs():
    line = 'return torch.ones(n, n, dtype=torch.bool).tril()'
    e = lesson_of(book(*PAGE), 'x').exercises[0]
    for extra in (f'def naive(n):\n    {line}', f'#| export\ndef same(n):\n    {line}', '#| target\nx'):
        nb = book(*PAGE, extra)
        nb['cells'][-1]['outputs'] = [dict(output_type='stream', text=line)]
        assert leaks(learner_edition(nb), e) == [line]


def test_answers_of_a_submission():
    page = learner_edition(book(*PAGE))
    page['cells'].append(dict(cell_type='code', source='#| exercise causal_mask\ndef causal_mask(n): return 1'))
    assert answers(page)['causal_mask'].endswith('return 1') and answers(page)['softmax'] == blank(SOFTMAX, 'softmax')


def test_defines():
    assert defines(MASK, 'causal_mask') and defines(ADD, 'Value.__add__') and defines('def causal_mask(', 'causal_mask') and defines('def __add__(self:Value', 'Value.__add__')
    assert not any(defines(s, 'causal_mask') for s in ('class A:\n    def causal_mask(self): pass', 'causal_mask(3)', 'def causal(x:')) and not defines(ADD, 'Tensor.__add__')


# Mutants

@pytest.mark.parametrize('body, wanted', [
    ('return a < b', ['`a < b` → `a <= b` (line 2)', '`a < b` → `a > b` (line 2)']),
    ('return a - b', ['`a - b` → `a + b` (line 2)', '`a - b` → `b - a` (line 2)']),
    ('return 3', ['`3` → `4` (line 2)', '`3` → `2` (line 2)', '`3` → `-3` (line 2)', '`3` → `0` (line 2)', '`3` → `1` (line 2)']),
    ('return -1', ['`-1` → `0` (line 2)', '`-1` → `-2` (line 2)', '`-1` → `1` (line 2)']),
    ('return not a', ['`not a` → `a` (line 2)']), ('return a and b', ['`a and b` → `a or b` (line 2)']), ('return True', ['`True` → `False` (line 2)']),
    ('return a[b:]', ['`b:` → `:` (line 2)']), ('return a.tril()', ['`a.tril()` → `a` (line 2)', '`a.tril` → `a.triu` (line 2)']),
    ('return g(a, b)', ['`g(a, b)` → `g(b, a)` (line 2)', '`g(a, b)` → `a` (line 2)']), ('return g(x=a)', ['`g(x=a)` → `g()` (line 2)']),
    ('a += b\n    return a', ['`a += b` → `a -= b` (line 2)', '`a += b` → `a = b` (line 2)', '`a += b` → nothing (line 2)']),
    ('if a: raise ValueError(f"{3}")\n    return b', ['`if a: raise ValueError(f\'{3}\')` → `if True: raise ValueError(f\'{3}\')` (line 2)',
     '`if a: raise ValueError(f\'{3}\')` → `if False: raise ValueError(f\'{3}\')` (line 2)', "`raise ValueError(f'{3}')` → nothing (line 2)"]),
    ('x:list[3] = a\n    return x', []), ('"doc 3"\n    return a', []), ('return torch.f(a)', ['`torch.f(a)` → `a` (line 2)']), ('return range(a)', []),
    ('return a.mT', ['`a.mT` → `a` (line 2)']), ('return [i for i in a if i]', ['`for i in a if i` → `for i in a` (line 2)']),
])
def test_mutants(body, wanted):
    found = mutants(f'@deco(7)\ndef f(a, b:int[5])->g(1):\n    {body}', 'f')
    assert [m.description for m in found] == wanted
    for m in found: compile(m.source, 'mutant', 'exec')


def test_mutants_are_unique_and_spare_the_rest_of_the_cell():
    cell = 'class A:\n    def f(self, n=2): return n + 1 + 1\n    def g(self): return 1'
    found = mutants(cell, 'A.f')
    assert len({m.description for m in found}) == len(found) == len({m.source for m in found}) and all('def g(self):\n        return 1' in m.source for m in found)
    assert any(m.description.endswith('#2') for m in found) and any('n=3' in m.source for m in found)


def test_kills(lesson):
    found = lesson()
    assert kills(found['causal_mask']).rate == 1 and kills(found['Value.__add__']).rate == 1
    weak = '#| check causal_mask\n@check(hint="h")\ndef example(causal_mask):\n    "One."\n    expect(causal_mask(1), torch.ones(1, 1).bool())\n'
    killed = kills(lesson(*HEAD, MASK, weak)['causal_mask'])
    assert killed.survivors == tuple(m.description for m in mutants(MASK, 'causal_mask') if m.description in killed.survivors) and 0 < killed.rate < 1
    excuses = ''.join(f'equivalent({d!r}, "because")\n' for d in [*killed.survivors, 'no such'])
    excused = kills(lesson(*HEAD, MASK, weak + excuses)['causal_mask'])
    assert excused.rate == 1 and excused.equivalent == killed.survivors and excused.unknown == ('no such',)


# The gate itself

@pytest.mark.parametrize('cells, words', [
    ((*HEAD, MASK.replace('tril', 'triu'), MASK_CHECK, MASK_WRONG), 'the reference does not pass'),
    ((*HEAD, MASK, MASK_CHECK), '0 wrong answers; three or more are needed'),
    ((*HEAD, MASK, MASK_CHECK, MASK_WRONG.split('right(')[0]), 'no other right answer'),
    ((*HEAD, MASK, MASK_CHECK, MASK_WRONG.replace('torch.ones(n, n).tril())', 'causal_mask(n))')), "the wrong answer 'numbers' is passed"),
    ((*HEAD, MASK, MASK_CHECK, MASK_WRONG.replace('.tril(-1)', '.triu()')), "the wrong answer 'not itself' gets the message 'flipped'"),
    ((*HEAD, MASK, MASK_CHECK, MASK_WRONG.replace('right(lambda n: ', 'right(lambda n: ~')), 'the right answer 0 does not pass'),
    ((*HEAD, MASK, MASK_CHECK.replace('(1, 4)', '()').replace('.triu(1)', '[:0]').replace('5, 5, dtype', '0, 5, dtype') + '\nequivalent("x", "y")', MASK_WRONG),
     'not checked'),
    ((*HEAD, MASK, MASK_CHECK + '\nequivalent("x", "y")', MASK_WRONG), "`equivalent` lists 'x', which is no mutant that lives"),
])
def test_gate_finds(lesson, cells, words):
    found, _ = faults(lesson(*cells)['causal_mask'])
    assert any(words in f for f in found), found


def test_gate_finds_weak_checks(lesson):
    weak = MASK_CHECK.split('@check')[0] + '@check' + MASK_CHECK.split('@check')[2].replace('(1, 4)', '(1,)')
    found, killed = faults(lesson(*HEAD, MASK, weak, MASK_WRONG)['causal_mask'])
    assert killed.rate < .95 and any('of 4 mutants; these live' in f for f in found)


def test_every_exercise_of_the_course_has_checks(): assert all(e.checks for one in lessons() for e in one.exercises)


def test_check_alone(): assert run_check(Check(lambda f: expect(f(), 1), '', False, 1.), [lambda: 1]).outcome == 'passed'


def test_time_that_is_up_in_a_callback_of_the_collector_waits_for_its_end():
    "An exception raised in there would be printed and lost"
    import gc

    from dlcourse.classroom.trials import OutOfTime, time_limit

    def slow(phase, info): time.sleep(.15)
    gc.callbacks.append(slow)
    try:
        with pytest.raises(OutOfTime), time_limit(.05):
            gc.collect()
            while True: pass
    finally: gc.callbacks.remove(slow)
