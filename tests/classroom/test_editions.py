"The learner's page: holes where the answers were, and nothing that gives them away"

from pathlib import Path

import pytest
from classroom.made_up import MASK, PAGE, SOFTMAX, book

from dlcourse.classroom.cells import blank
from dlcourse.classroom.editions import IMPORTED, answers, leaks, learner_edition
from dlcourse.classroom.exercises import ask
from dlcourse.classroom.lessons import lesson_of
from dlcourse.core.errors import InputError


def test_learners_page():
    nb = book(*PAGE, '#| target\nplot()', '#| quiz sums\nquiz("?", right={"a": "b"})')
    page = learner_edition(nb)
    sources = [''.join(c['source']) for c in page['cells']]
    for name in ('causal_mask', 'Value.__add__', 'softmax'):
        assert sources.count(f'check("{name}")') == 1
    assert not any(word in source for source in sources
                   for word in ('wrong(', 'right(', '#| hint', 'tril', '@check',
                                'the past is below'))
    assert sources[4].splitlines() == [IMPORTED, 'import matplotlib.pyplot as plt']
    assert sources[-1] == '#| quiz sums\nquiz("sums")'
    assert sources[5] == blank(MASK, 'causal_mask')
    assert sources[5].startswith('#| export\n#| exercise causal_mask')
    assert {c['id'] for c in page['cells']} <= {c['id'] for c in nb['cells']} | {'guide'}
    assert nb == book(*PAGE, '#| target\nplot()',
                      '#| quiz sums\nquiz("?", right={"a": "b"})')
    assert [''.join(c['source'])
            for c in page['cells'] if c.get('outputs')] == ['#| target\nplot()']
    assert {e.name: leaks(page, e) for e in lesson_of(nb, 'x').exercises} == {'causal_mask': [],
                                                                              'Value.__add__': [],
                                                                              'softmax': []}


def test_leaks_are_found_in_cells_and_in_outputs():
    line = 'return torch.ones(n, n, dtype=torch.bool).tril()'
    e = lesson_of(book(*PAGE), 'x').exercises[0]
    for extra in (f'def naive(n):\n    {line}', f'#| export\ndef same(n):\n    {line}',
                  '#| target\nx'):
        nb = book(*PAGE, extra)
        nb['cells'][-1]['outputs'] = [dict(output_type='stream', text=line)]
        assert leaks(learner_edition(nb), e) == [line]


def test_answers_of_a_submission():
    page = learner_edition(book(*PAGE))
    page['cells'].append(dict(cell_type='code',
                              source='#| exercise causal_mask\ndef causal_mask(n): return 1'))
    assert answers(page)['causal_mask'].endswith('return 1')
    assert answers(page)['softmax'] == blank(SOFTMAX, 'softmax')


def test_quizzes_have_names_of_their_own():
    cell = '#| quiz sums\nquiz("1 + 1?", right={"2": "so"}, wrong={})'
    lesson = lesson_of(book(*PAGE, cell), 'x')
    assert repr(ask(lesson, 'sums')) == '1 + 1?\n  a) 2'
    twice = book(*PAGE, *2*['#| quiz sums\nquiz("?", right={})'])
    with pytest.raises(InputError, match='two quizzes'): lesson_of(twice, Path('x'))
    with pytest.raises(InputError, match='a name of its own'):
        lesson_of(book(*PAGE, '#| quiz\nquiz("?", right={})'), Path('x'))
