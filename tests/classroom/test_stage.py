"The stage: a candidate in the reference's place, and nothing left behind"
import builtins
import random
import subprocess
import sys
import time
import types

import numpy as np
import pytest
import torch
from classroom.made_up import ADD, HEAD, MASK, PAGE

from dlcourse.classroom.exercises import run


def test_functions_that_call_the_candidate_see_it(lesson):
    e = lesson(*PAGE, '#| export\nSIX = visible(3)', '#| check causal_mask\n@check(hint="h")\ndef '
                                                     'counts(causal_mask):\n    "Others see it."\n'
               '    expect(visible(4), 10)\n    expect(SIX, 6)')['causal_mask']
    assert run(e, e.source).outcome == 'passed'
    zeros = 'def causal_mask(n): return torch.zeros(n, n, dtype=torch.bool)'
    assert [c.came for c in run(e, zeros).claims][-1] == '0'
    broken = run(e, 'def causal_mask(n): return torch.ones(n, n).bool().tril() if n != 3 else None')
    assert broken.outcome == 'failed'
    said = "✗ The rest of the lesson's module works with it.\n               AttributeError"
    assert said in repr(broken)
    assert run(e, lambda n: 1/0).outcome in ('failed', 'error')
    assert run(e, e.blank).outcome == 'not tried'


def test_a_method_leaves_nothing_behind(lesson):
    e = lesson()['Value.__add__']
    assert run(e, ADD.replace('+=', '-=')).outcome == 'failed'
    assert run(e, e.source).outcome == 'passed'
    assert 'does not define' in repr(run(e, 'x = 1'))


def test_a_callable_can_be_a_candidate(mask, lesson):
    assert run(mask, lambda n: torch.ones(n, n).bool().tril()).outcome == 'passed'
    assert run(mask, lambda n: None).outcome == 'failed'
    assert run(lesson()['Value.__add__'], lambda self, other: self).outcome == 'failed'


def test_method_in_a_class(lesson):
    cell = '''#| export
#| exercise A.double
class A:
    @property
    def double(self):
        "Twice"
        return 2*self.x
    def __init__(self, x): self.x = x'''
    e = lesson(*HEAD, cell, '#| check A.double\n@check(hint="h")\ndef doubles(A):\n    "Twice."\n  '
                            '  expect(A(4).double, 8)')['A.double']
    assert run(e, e.source).outcome == 'passed' and run(e, e.blank).outcome == 'not tried'
    assert run(e, cell.replace('2*', '3*')).outcome == 'failed'
    assert run(e, lambda self: self.x + self.x).outcome == 'passed'


def test_random_state_is_seeded_and_restored(lesson):
    source = '''#| check causal_mask
@check(hint="h")
def draws(causal_mask):
    "Always the same."
    import random
    first = torch.rand(1).item() + random.random()
    torch.manual_seed(0); random.seed(0)
    expect(first, torch.rand(1).item() + random.random())'''
    e = lesson(*HEAD, MASK, source)['causal_mask']
    random.seed(5); np.random.seed(5); torch.manual_seed(5)
    wanted = random.random(), np.random.rand(), torch.rand(1).item()
    random.seed(5); np.random.seed(5); torch.manual_seed(5)
    changes = '''    torch.set_grad_enabled(False)
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(9)
    return'''
    assert run(e, MASK.replace('    return', changes)).outcome == 'passed'
    assert (random.random(), np.random.rand(), torch.rand(1).item()) == wanted
    assert torch.is_grad_enabled() and torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize('attack', [
    'import dlcourse.classroom.exercises as e; e.run_check = lambda *a, **k: None',
    'import dlcourse.classroom.checks as e; e.compare_values = lambda *a: None',
    'import dlcourse.classroom.checks as e; e.expect = lambda *a, **k: None',
    'import dlcourse.classroom.values as e; e.near = lambda *a: __import__("numpy").array(True)',
    'import dlcourse.classroom.checks as e; e.compare_values.__code__ = (lambda *a: None).__code__',
    'import dlcourse.classroom.exercises as e; e.now.asserted = 9; e.expect = lambda *a: None',
    'import sys; sys._getframe(2).f_globals["expect"] = lambda *a: None',
    'import builtins; builtins.type = lambda x: int',
    'import builtins; builtins.len = type("L", (), {"__eq__": lambda *_: True, "__call__": '
    'lambda *_: 4})()',
    'import torch; torch.testing.assert_close = lambda *a: None',
])
@pytest.mark.parametrize('place', ['inside', 'above'])
def test_changing_the_checks_does_not_help(mask, attack, place):
    before = vars(builtins).copy()
    inside = f'def causal_mask(n):\n    {attack}\n    return torch.ones(n, n)'
    above = f'{attack}\ndef causal_mask(n): return torch.ones(n, n)'
    source = inside if place == 'inside' else above
    kept = torch.testing.assert_close
    result = run(mask, source)
    torch.testing.assert_close = kept
    assert result.outcome != 'passed', result
    assert all(vars(builtins)[name] is f for name, f in before.items())
    assert run(mask, mask.source).outcome == 'passed'
    assert run(mask, 'def causal_mask(n): return torch.ones(n, n)').outcome == 'failed'


def test_the_lessons_module_is_restored(mask):
    name = 'dlcourse.transformers.tiny'
    fake = sys.modules[name] = types.ModuleType(name)
    run(mask, mask.source)
    assert sys.modules.pop('dlcourse.transformers.tiny') is fake
    run(mask, mask.source)
    assert 'dlcourse.transformers.tiny' not in sys.modules


def test_only_imports_that_checks_use_are_run():
    code = ("import sys, dlcourse.classroom.exercises\n"
            "assert not {'torch', 'matplotlib', 'IPython'} & sys.modules.keys()")
    subprocess.run([sys.executable, '-c', code], check=True)


def test_a_check_takes_milliseconds(mask):
    run(mask, mask.source)
    start = time.process_time()
    for _ in range(20): run(mask, mask.source)
    assert (time.process_time() - start)/20 < .1
