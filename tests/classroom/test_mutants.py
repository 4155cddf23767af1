"Mutants: what is spoiled, and what the checks make of it"

import pytest
from classroom.made_up import HEAD, MASK

from dlcourse.classroom.mutants import kills, mutants


@pytest.mark.parametrize('body, wanted', [
    ('return a < b', ['`a < b` → `a <= b` (line 2)', '`a < b` → `a > b` (line 2)']),
    ('return a - b', ['`a - b` → `a + b` (line 2)', '`a - b` → `b - a` (line 2)']),
    ('return 3', ['`3` → `4` (line 2)', '`3` → `2` (line 2)', '`3` → `-3` (line 2)',
                  '`3` → `0` (line 2)', '`3` → `1` (line 2)']),
    ('return -1', ['`-1` → `0` (line 2)', '`-1` → `-2` (line 2)', '`-1` → `1` (line 2)']),
    ('return not a', ['`not a` → `a` (line 2)']),
    ('return a and b', ['`a and b` → `a or b` (line 2)']),
    ('return True', ['`True` → `False` (line 2)']),
    ('return a[b:]', ['`b:` → `:` (line 2)']),
    ('return a.tril()', ['`a.tril()` → `a` (line 2)', '`a.tril` → `a.triu` (line 2)']),
    ('return g(a, b)', ['`g(a, b)` → `g(b, a)` (line 2)', '`g(a, b)` → `a` (line 2)']),
    ('return g(x=a)', ['`g(x=a)` → `g()` (line 2)']),
    ('a += b\n    return a', ['`a += b` → `a -= b` (line 2)', '`a += b` → `a = b` (line 2)',
                              '`a += b` → nothing (line 2)']),
    ('if a: raise ValueError(f"{3}")\n    return b',
     ['`if a: raise ValueError(f\'{3}\')` → `if True: raise ValueError(f\'{3}\')` (line 2)',
     '`if a: raise ValueError(f\'{3}\')` → `if False: raise ValueError(f\'{3}\')` (line 2)',
     "`raise ValueError(f'{3}')` → nothing (line 2)"]),
    ('x:list[3] = a\n    return x', []), ('"doc 3"\n    return a', []),
    ('return torch.f(a)', ['`torch.f(a)` → `a` (line 2)']), ('return range(a)', []),
    ('return a.mT', ['`a.mT` → `a` (line 2)']),
    ('return [i for i in a if i]', ['`for i in a if i` → `for i in a` (line 2)']),
])
def test_mutants(body, wanted):
    found = mutants(f'@deco(7)\ndef f(a, b:int[5])->g(1):\n    {body}', 'f')
    assert [m.description for m in found] == wanted
    for m in found: compile(m.source, 'mutant', 'exec')


def test_mutants_are_unique_and_spare_the_rest_of_the_cell():
    cell = 'class A:\n    def f(self, n=2): return n + 1 + 1\n    def g(self): return 1'
    found = mutants(cell, 'A.f')
    assert len({m.description for m in found}) == len(found) == len({m.source for m in found})
    assert all('def g(self):\n        return 1' in m.source for m in found)
    assert any(m.description.endswith('#2') for m in found)
    assert any('n=3' in m.source for m in found)


def test_kills(lesson):
    found = lesson()
    assert kills(found['causal_mask']).rate == 1 and kills(found['Value.__add__']).rate == 1
    weak = '''#| check causal_mask
@check(hint="h")
def example(causal_mask):
    "One."
    expect(causal_mask(1), torch.ones(1, 1).bool())
'''
    killed = kills(lesson(*HEAD, MASK, weak)['causal_mask'])
    assert killed.survivors == tuple(m.description
                                     for m in mutants(MASK, 'causal_mask')
                                     if m.description in killed.survivors)
    assert 0 < killed.rate < 1
    excuses = ''.join(f'equivalent({d!r}, "because")\n' for d in [*killed.survivors, 'no such'])
    excused = kills(lesson(*HEAD, MASK, weak + excuses)['causal_mask'])
    assert excused.rate == 1 and excused.equivalent == killed.survivors
    assert excused.unknown == ('no such',)
