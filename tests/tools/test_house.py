"The rules of the course as a whole, each broken once"
import house
import pytest
from made_up import code, md, write


@pytest.fixture
def course(tmp_path):
    "A function that makes notebooks and modules, and gives the faults"
    nbs, package = tmp_path/'nbs', tmp_path/'dlcourse'
    def make(books=(), **modules):
        for name, cells in dict(books).items(): write(nbs/f'{name}.ipynb', *cells)
        nbs.mkdir(exist_ok=True)
        for name, source in modules.items():
            path = package/(name.replace('__', '/') + '.py')
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source)
        return house.course_faults(nbs, package)
    return make


def lesson(title, *texts): return [md(f'# {title}\n\n> A claim'), *map(md, texts)]


def test_titles_are_unique_whatever_their_case(course):
    books = {'01_a/01_one': lesson('Scores'), '02_b/01_two': lesson('scores')}
    assert course(books) == ['02_b/01_two.ipynb:0: the title is that of 01_a/01_one.ipynb too']


@pytest.mark.parametrize('target, leads', [
    ('../02_b/01_two.ipynb', True), ('../02_b/01_two.ipynb#What-it-shows', True),
    ('#Why', True), ('https://example.org/x', True), ('../02_b/01_two.ipynb#Nothing', False),
    ('../02_b/02_two.ipynb', False), ('#Nothing', False), ('picture.png', False)])
def test_links_lead_somewhere(course, target, leads):
    text = f'see [there]({target}), not `[code](x.ipynb)`'
    books = {'01_a/01_one': lesson('One', '## Why', text),
             '02_b/01_two': lesson('Two', '## What it shows')}
    found = course(books)
    assert found == ([] if leads else [f'01_a/01_one.ipynb:2: the link {target} leads nowhere'])


def test_code_cells_hold_no_links(course):
    assert course({'01_a/01_one': [*lesson('One'), code('x = "[a](b.ipynb)"')]}) == []


@pytest.mark.parametrize('source, by_hand', [
    ('np.mean([f(seed) for seed in range(3)])', True),
    ('{k: f"{np.std([f(k, seed) for seed in seeds]):.2f}" for k in ways}', True),
    ('mean(f(a, first_seed) for a in b for first_seed in range(9))', True),
    ('found = []\nfor seed in range(3): found.append(f(seed))\nnp.mean(found)', True),
    ('found = [f(seed) for seed in range(3)]\nnp.std(found, ddof=1)', True),
    ('found = []\nfor row in rows: found.append(f(row))\nnp.mean(found)', False),
    ('over_seeds(f, 3).mean()', False), ('np.mean([f(row) for row in rows])', False),
    ('nets = [train(seed) for seed in range(3)]', False), ('np.mean(seeds)', False),
    ('%timeit np.mean([f(seed) for seed in range(3)])', False),
    ('#| hide\nnp.mean([f(seed) for seed in range(3)])', False)])
def test_a_mean_over_seeds_by_hand_is_found(course, source, by_hand):
    found = course({'01_a/01_one': [*lesson('One'), code(source)]})
    assert [fault.partition(';')[0] for fault in found] == [
        '01_a/01_one.ipynb:1: a mean over seeds by hand']*by_hand


def test_a_long_module_is_found(course):
    found = course(a__long='x = 1\n'*301, a__short='x = 1\n'*300)
    assert found == ['a.long has 301 lines; 300 is the most: make it two rooms']


def test_a_name_that_two_modules_export_is_found(course):
    one, two = "__all__ = ['f', 'g']", "__all__ = ['f', 'h']"
    assert course(a__one=one, b__two=two, cli__app=one) == [
        '`f` is public in a.one and b.two: rename one']


def test_a_private_name_that_is_imported_is_found(course):
    source = 'from .two import _f, g\nfrom os import _exit\nfrom dlcourse.a.two import _h as h'
    assert course(a__one=source) == ['a/one.py:1: imports private names: _f',
                                     'a/one.py:3: imports private names: _h']


BODY = '''
def {f}(a, b):
    total = [{g}(x) + 1 for x in a]
    if total and b[0] > {n}: return total[0]
    for x in total: {g}(x, b, {n})
    while {g}(b): b = {g}(b, total)
    with {g}(total) as c: c.write({s!r})
    return {g}(total, c, b)
'''


def test_six_lines_of_one_shape_are_found_whatever_their_names(course):
    one = BODY.format(f='read', g='open_it', n=3, s='x')
    two = 'import os\n' + BODY.format(f='write', g='close_it', n=4, s='yy')
    found = course(a__one=one, b__two=two)
    assert found == ['a/one.py:2 and b/two.py:3 share 6 lines of one shape']


def test_parameters_and_imports_are_no_repetition(course):
    fields = 'class {}:\n' + ''.join(f'    field{i}:int = {i} # A number\n' for i in range(9))
    assert course(a__one=fields.format('A'), b__two=fields.format('B')) == []
