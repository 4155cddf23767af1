"The learner's page: holes where the answers were, and nothing that gives them away"

import ast
import builtins
import re
from pathlib import Path

import pytest
from classroom.made_up import MASK, PAGE, SOFTMAX, book

from dlcourse.classroom.cells import blank, plain_python, read_notebook
from dlcourse.classroom.editions import IMPORTED, answers, leaks, learner_edition, unseen
from dlcourse.classroom.exercises import ask
from dlcourse.classroom.lessons import (
    is_platform,
    lesson_at,
    lesson_of,
    lesson_paths,
    read_lesson,
)
from dlcourse.core.errors import InputError


def test_learners_page():
    nb = book(*PAGE, '#| target\nplot()', '#| quiz sums\nquiz("?", right={"a": "b"})')
    page = learner_edition(nb)
    found = [''.join(c['source']) for c in page['cells']]
    for name in ('causal_mask', 'Value.__add__', 'softmax'):
        assert found.count(f'check("{name}")') == 1
    assert not any(word in source for source in found
                   for word in ('wrong(', 'right(', '#| hint', 'tril', '@check',
                                'the past is below'))
    assert found[2] == f'{PAGE[0]}\n{PAGE[2]}'
    assert found[3].splitlines() == [IMPORTED, 'import matplotlib.pyplot as plt']
    assert found[-1] == '#| quiz sums\nquiz("sums")'
    assert found[4] == blank(MASK, 'causal_mask')
    assert found[4].startswith('#| export\n#| exercise causal_mask')
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


COURSE = [p for p in lesson_paths() if not is_platform(lesson_at(p))]


@pytest.fixture(scope='module')
def editions(): return {lesson_at(p): learner_edition(read_notebook(p)) for p in COURSE}


def sources(page, kind='code'):
    return [''.join(c['source']) for c in page['cells'] if c['cell_type'] == kind]


def test_no_page_speaks_of_what_a_learner_cannot_see(editions):
    assert len(editions) > 20
    assert {name: found for name, page in editions.items() if (found := unseen(page))} == {}
    for name, page in editions.items():
        text = '\n'.join(sources(page))
        for word in ('#| hide', '@check', 'classroom.checks', 'classroom.exercises', '#| hint'):
            assert word not in text, (name, word)


@pytest.mark.parametrize('text', [
    'The second check is an oracle.', 'The wrong answers below say more.', 'See the hidden cell.',
    'The checks ask for 1e-5.'])
def test_phrases_that_point_at_what_is_not_there_are_found(text):
    assert unseen(dict(cells=[dict(cell_type='markdown', source=text)]))
    assert unseen(dict(cells=[dict(cell_type='code', source=f'x = 1 # {text}')]))


def test_what_is_left_of_a_page_defines_all_that_it_uses(editions):
    "Nothing that was taken out is needed by a cell that stayed"
    for name, page in editions.items():
        loaded, known = set(), {*dir(builtins), '__name__', '__file__', 'get_ipython', 'display'}
        for source in sources(page):
            for node in ast.walk(ast.parse(plain_python(source))):
                if isinstance(node, ast.Name):
                    (loaded if isinstance(node.ctx, ast.Load) else known).add(node.id)
                elif isinstance(node, ast.arg): known.add(node.arg)
                elif isinstance(node, ast.alias): known.add(node.asname or node.name.split('.')[0])
                elif isinstance(node, (ast.FunctionDef, ast.ClassDef)): known.add(node.name)
                elif isinstance(node, ast.ExceptHandler): known.add(node.name)
                elif isinstance(node, (ast.MatchAs, ast.MatchStar)): known.add(node.name)
        assert loaded <= known, (name, sorted(loaded - known))


def test_the_first_cell_says_how_long_what_is_blank_and_how_to_get_help(editions):
    for path in COURSE:
        name, page, lesson = lesson_at(path), editions[lesson_at(path)], read_lesson(path)
        ids = [c['id'] for c in page['cells']]
        texts = sources(page, 'markdown')
        assert texts[0].startswith('# ') and ids.index('guide') <= 2, name
        guide = texts[1]
        assert re.search(r'About \d+ minutes', guide), name
        for e in lesson.exercises: assert f'| `{e.name}` |' in guide
        if lesson.exercises:
            whole, reading, doing = map(int, re.search(
                r'About (\d+) minutes: (\d+) of reading, and (\d+) for', guide).groups())
            assert whole == reading + doing and not whole % 5
            assert abs(doing - sum(e.minutes for e in lesson.exercises)) <= 2.5, name
            for word in ('hint(', 'solution(', 'reset(', 'progress()', 'check'):
                assert word in guide
            assert sum(IMPORTED in s for s in sources(page)) == 1, name
        else: assert 'Nothing is blank' in guide


def test_every_cell_that_shows_a_figure_is_folded(editions):
    "As the guide says: also where a value or an assertion stands below the figure"
    cells = [(name, c) for name, page in editions.items() for c in page['cells']
             if c['cell_type'] == 'code']
    shows = [(name, c) for name, c in cells
             if re.search(r'^(\w+\.)*show\(', ''.join(c['source']), re.M)
             and not re.match(r'#\| export', ''.join(c['source']))]
    assert len(shows) > 100
    open_ = [(name, c['id']) for name, c in shows
             if not c['metadata'].get('jupyter', {}).get('source_hidden')]
    assert open_ == []


def test_what_an_exercise_is_about_is_a_whole_sentence(editions):
    for path in COURSE:
        for e in read_lesson(path).exercises:
            assert re.search(r'[\w)`?$]$', e.title.rstrip('.')) and 'aises `' not in e.title, e.id
            row, = re.findall(rf'^\| `{re.escape(e.name)}` \| (.*) \| \d+ \|', sources(
                editions[lesson_at(path)], 'markdown')[1], re.M)
            assert row == e.title.rstrip('.') + ' *(to mend)*'*bool(e.scaffold)


AGAIN = (r'(About )?(An?|One|Two|Half|Three|Five|Ten|Fifteen|Twenty|Thirty|Forty|Fifty|\d+)\b'
         r'[\w -]*\b(hours?|minutes)( with the \w+ exercises?)?')


def test_a_page_says_once_how_long_it_takes():
    "In its guide, as counted for all that say it; an author writes only an exercise's minutes"
    for path in lesson_paths():
        lesson, page = read_lesson(path), learner_edition(read_notebook(path))
        texts = sources(page, 'markdown')
        assert f'About {lesson.minutes} minutes' in texts[1], path
        opening = '\n\n'.join(texts[2:6])
        again = re.search(rf'(^|[.:] ){AGAIN}([,;][^.\n]*)?\.(\s|$)', opening, re.M)
        assert not again, (path, again)


def test_a_page_opens_with_its_title_and_the_directive_goes_into_the_imports(editions):
    for name, page in editions.items():
        assert [c['cell_type'] for c in page['cells'][:2]] == ['markdown']*2, name
        assert page['cells'][1]['id'] == 'guide'
        at, = (i for i, s in enumerate(sources(page)) if s.startswith('#| default_exp'))
        assert at == 0 and sources(page)[0].startswith(f'#| default_exp {name}')
        code = next(c for c in page['cells'] if c['cell_type'] == 'code')
        assert code['metadata']['jupyter'] == dict(source_hidden=True), name
    alone = [name for name, page in editions.items() if '\n' not in sources(page)[0].strip()]
    assert len(alone) < 10, alone # Of pages whose first code is worth reading


def test_a_folded_answer_keeps_its_distance_from_the_next_question(editions):
    for name, page in editions.items():
        for text in sources(page, 'markdown'):
            assert '<details>' not in text, name
            for lines in re.findall(r'</details>\n(.*)', text): assert not lines, (name, lines)
            assert text.count('<details') == text.count('<details style="margin-bottom: 1.5em">')


def test_imports_and_figures_are_folded_and_exercises_are_not():
    figure = 'fig, ax = plt.subplots()\nshow(fig, alt="A line")'
    guard = '#| hide\nassert 1 + 1 == 2'
    needed = '#| hide\nnumbers = [1, 2]'
    nb = book(*PAGE, figure, 'Diagram().show("A box")', guard, needed, 'sum(numbers)')
    page = learner_edition(nb)
    folded = [''.join(c['source']) for c in page['cells']
              if c['metadata'].get('jupyter', {}).get('source_hidden')]
    assert folded == [f'{PAGE[0]}\n{PAGE[2]}',
                      f'{IMPORTED}\nimport matplotlib.pyplot as plt', figure,
                      'Diagram().show("A box")', needed]
    assert guard not in sources(page)
