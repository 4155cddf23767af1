"Exercises: an answer is run, told what holds, and which mistake it is"
import time

import pytest
import torch
from classroom.made_up import HEAD, MASK, MASK_CHECK

from dlcourse.classroom.checks import expect
from dlcourse.classroom.exercises import check, passes, run
from dlcourse.classroom.mistakes import known_answers


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
        assert (result.outcome, result.misconception) == (('failed', a.message) if a.kind == 'wrong'
                                                          else ('passed', None)), result
    assert [a.kind for a in found] == ['wrong']*3 + ['right']


def test_misconception_by_behaviour_not_by_text(mask):
    same = run(mask,
               'def causal_mask(n):\n    i = torch.arange(n)\n    return i[None] >= i[:,None]')
    assert same.misconception == 'flipped'
    other = run(mask, 'def causal_mask(n): return torch.ones(n, n).bool()')
    assert other.misconception is None
    assert other.claims[0].hint == 'Which half is the past?' and 'Which half' not in repr(other)


@pytest.mark.parametrize('source, outcome, words', [
    ('def causal_mask(n): return torch.ones(n, n).bool()', 'failed',
     'expected False at [0, 1]\n      came     True\n               10 of 25 elements differ'),
    ('def causal_mask(n): torch.ones(n, n)', 'failed', 'did you forget `return`?'),
    ('def causal_mask(n):\n    half = n/2\n    return torch.ones(half)', 'error',
     'line 3: return torch.ones(half)'),
    ('def causal_mask(n: return 1', 'error', 'line 1 is not Python: '),
    ('def casual_mask(n): return 1', 'error', 'the cell does not define `causal_mask`'),
    ('causal_mask = 3', 'error', 'the cell does not define `causal_mask`'),
    ('1/0\nx = 1/0\ndef causal_mask(n): pass', 'error',
     'ZeroDivisionError: division by zero\nline 2: x = 1/0'),
    ('def causal_mask(n): return plt.f(n)', 'error', "has no attribute 'f'"),
    ('def causal_mask(n): return helper(n)', 'error',
     "name 'helper' is not defined; the cell must hold all it needs"),
    ('from dlcourse.transformers.tiny import causal_mask', 'error',
     "cannot import name 'causal_mask'"),
    ('def causal_mask(n):\n    from dlcourse.transformers.tiny import causal_mask as f\n    return '
     'f(n)', 'error', 'RecursionError'),
    ('def causal_mask(n): raise SystemExit', 'error', 'SystemExit'),
    ('raise SystemExit', 'error', 'SystemExit'),
    ('def causal_mask(n): raise NotImplementedError("Your turn: x")\nx = 1', 'not tried', 'blank'),
    ('import math\ndef helper(n): return torch.arange(n)\ndef causal_mask(n): return '
     'helper(n)[:,None] >= helper(n)\ncausal_mask(9)/"tried out"', 'passed', ''),
])
def test_outcomes(mask, source, outcome, words):
    result = run(mask, source)
    assert result.outcome == outcome, result
    assert words in repr(result)


def test_scaffold_stands_in_for_the_blank(lesson):
    body = 'def causal_mask(n):\n    ones = ...\n    return ones.tril()'
    scaffold = f'#| scaffold causal_mask\n{body}'
    e = lesson(*HEAD, MASK, scaffold, MASK_CHECK)['causal_mask']
    assert e.blank == f'#| export\n#| exercise causal_mask level=1 importance=3 minutes=5\n{body}'
    assert run(e, e.blank).outcome == 'not tried' == run(e, e.blank + ' # hm').outcome
    assert run(e, e.blank.replace('...', '1')).outcome == 'error'
    assert run(e, e.blank.replace('...', 'torch.ones(n, n).bool()')).outcome == 'passed'


@pytest.mark.parametrize('body',
                         ['F.softmax(x, 0)', 'torch.softmax(x, 0)',
                          'torch.nn.functional.softmax(x, 0)', 'getattr(F, "softmax")(x, 0)',
                                  '__import__("torch.nn.functional").nn.functional.softmax(x, 0)',
                                  'getattr(F, "soft" + "max")(x, 0)', 's(x, 0)'])
def test_doing_without(lesson, body):
    result = run(lesson()['softmax'], f'from torch.nn.functional import softmax as s\ndef '
                                      f'softmax(x): return {body}' if body[0] == 's'
                                      else f'def softmax(x): return {body}')
    assert result.outcome == 'failed'
    assert 'It does without F.softmax, torch.softmax.' in repr(result)
    assert torch.softmax(torch.zeros(2),
                         0).sum() == 1 == torch.nn.functional.softmax(torch.zeros(2), 0).sum()


DISGUISED = [
    'S = vars(F)["soft" + "max"]\ndef softmax(x): return S(x, 0)',
    'def softmax(x, f=getattr(torch, "soft" + "max")): return f(x, 0)',
    'import functools\nS = functools.partial(getattr(torch, "soft" + "max"), dim=0)\n'
    'def softmax(x): return S(x)',
    'class A:\n    f = staticmethod(vars(F)["soft" + "max"])\ndef softmax(x): return A.f(x, 0)',
    'def softmax(x): return x.softmax(0)', 'def softmax(x): return torch.special.softmax(x, 0)',
    'def softmax(x): return torch.ops.aten._softmax(x, 0, False)',
    'def softmax(x): return torch.ops.aten.softmax.int(x, 0)',
    'def softmax(x): return torch._C._VariableFunctions.softmax(x, 0)',
    'def softmax(x): return torch.nn.Softmax(0)(x)',
    'def softmax(x): return getattr(__import__("torch"), "soft" + "max")(x, 0)']


@pytest.mark.parametrize('source', DISGUISED)
def test_other_names_of_what_is_forbidden(lesson, source):
    result = run(lesson()['softmax'], source)
    assert result.outcome == 'failed' and 'which it is to do without' in repr(result), result
    assert torch.softmax(torch.zeros(2), 0).sum() == 1 == torch.zeros(2).softmax(0).sum()


@pytest.mark.parametrize('source', [
    'def softmax(x, reduction="softmax"):\n    "softmax"\n'
    '    e = (x - x.amax()).exp()\n    return e/e.sum()',
    'def softmax(x): return x.log_softmax(0).exp()'])
def test_what_only_sounds_like_it_is_not_refused(lesson, source):
    assert run(lesson()['softmax'], source).outcome == 'passed'


SLOPE = '''#| exports
#| exercise slope without=torch.autograd
def slope(x):
    "Of the hyperbolic tangent"
    return 1 - x.tanh()**2'''
SLOPE_CHECK = '''#| check slope
@check(hint="h")
def oracle(slope):
    "As by torch, and its own slope flows."
    x = torch.linspace(-1, 1, 5, dtype=torch.float64, requires_grad=True)
    want, = torch.autograd.grad(x.tanh().sum(), x, create_graph=True)
    expect(slope(x.detach()), want.detach())
    expect(torch.autograd.grad(slope(x).sum(), x)[0], torch.autograd.grad(want.sum(), x)[0])'''


def test_a_module_means_its_functions_and_the_machinery_goes_on(lesson):
    slope = lesson(*HEAD, SLOPE, SLOPE_CHECK)['slope']
    assert run(slope, slope.source).outcome == 'passed'
    assert run(slope, 'def slope(x): return x.cosh().pow(-2)').outcome == 'passed'
    cut = run(slope, 'def slope(x): return 1 - x.detach().tanh()**2')
    assert cut.outcome in ('failed', 'error') and 'without' not in cut.claims[1].text()
    by_name = run(slope, 'from torch.autograd import grad as g\ndef slope(x): return g(x, x)')
    assert 'stands in the code' in repr(by_name)
    hidden = ('def slope(x):\n    a = getattr(torch, "auto" + "grad")\n'
              '    x = x.detach().requires_grad_()\n    return a.grad(x.tanh().sum(), x)[0]')
    assert 'calls `torch.autograd`, which it is to do without' in repr(run(slope, hidden))


LATER = '''#| export
#| exercise scaler
def scaler(k):
    "A function that scales all numbers of a list"
    return lambda xs: [k*x for x in xs]'''
LATER_CHECK = '''#| check scaler
@check(hint="h")
def scales(scaler):
    "All are scaled."
    xs = [1, 2, 3]
    expect(scaler(2)(xs), [2*x for x in xs])'''


def test_what_is_given_back_is_watched_like_the_answer(lesson):
    scaler = lesson(*HEAD, LATER, LATER_CHECK)['scaler']
    assert run(scaler, scaler.source).outcome == 'passed'
    result = run(scaler, 'def scaler(k):\n    def f(xs):\n        xs.clear()\n        return []\n'
                         '    return f')
    assert result.outcome == 'failed'
    assert 'what the result was given was changed by the call' in repr(result)
    forbids = lesson(*HEAD, LATER.replace('scaler\n', 'scaler without=math.prod\n', 1),
                     LATER_CHECK)['scaler']
    sneaky = 'import math\ndef scaler(k):\n    f = getattr(math, "pr" + "od")\n    return '
    laters = 'lambda xs: [f([k, x]) for x in xs]', 'lambda xs: [*map(f, ((k, x) for x in xs))]'
    for later in laters:
        assert 'calls `math.prod`' in repr(run(forbids, sneaky + later))


def test_who_raises_stop_iteration_does_not_end_the_loop_of_a_check(lesson):
    loop = LATER_CHECK.replace('expect(scaler(2)(xs), [2*x for x in xs])',
                               'expect(1, 1)\n    for f in map(scaler, xs): expect(f([1]), [1])')
    scaler = lesson(*HEAD, LATER, loop)['scaler']
    for source in ('def scaler(k): raise StopIteration', 'def scaler(k): return next(iter([]))'):
        result = run(scaler, source)
        assert result.outcome == 'error' and 'it raised StopIteration, which ends' in repr(result)


def test_time_limit(mask):
    start = time.process_time()
    result = run(mask, 'def causal_mask(n):\n    while True:\n        try: pass\n        except: '
                       'pass', seconds=.2)
    assert 'not done after 0.2 s' in repr(result) and 'not run after that' in repr(result)
    assert time.process_time() - start < 5


def test_a_check_proves_the_reference_in_the_source_notebook():
    space = dict(check=check, expect=expect)
    exec('def f(x): return x + 1\n@check(hint="h")\ndef adds(f):\n    "Adds."\n    expect(f(1), 2)',
         space)
    with pytest.raises(AssertionError, match='the reference does not pass `adds`: expected 2, came '
                                             '3'):
        exec('f = lambda x: x + 2\ncheck(hint="h")(adds)', space)
    with pytest.raises(AssertionError, match='nothing was compared'):
        exec('@check\ndef empty(f): pass', space)
