"What becomes of each kind of cell on a page of the web site"
import json
import re
from base64 import b64encode

import api_pages
import course
import front
import gallery
import lesson_pages
import pytest
import site_checks
import terms
from made_up import code, md, text, write

PNG = (b'\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR' + (30).to_bytes(4) + (20).to_bytes(4) + bytes(9))
DEF = '''#| exports
#| exercise total level=2 importance=3 minutes=5
def total(
    rows:list, # Numbers
)->float:      # Their sum
    "The sum of some numbers"
    return sum(rows)'''
CHECK = '''#| check total
@check(hint="Look")
def adds(total):
    "Every number counts."
    expect(total([1, 2]), 3)'''
WRONG = '''#| wrong total
wrong("The last one is lost.", lambda rows: sum(rows[:-1]))
right(lambda rows: float(sum(rows)))'''
QUIZ = '''#| quiz empty
quiz("What is the sum of *nothing*?", right={'0': "By definition."},
     wrong={'an error': "Not here."})'''


def picture(alt):
    return dict(output_type='display_data', metadata={'image/png': {'alt': alt}}, data={
        'image/png': b64encode(PNG).decode(), 'text/html': '<img src="data:image/png;base64,AA">'})


CELLS = [
    code('#| default_exp data.read'), md('# Reading\n\n> What is there'), md('## How'),
    md('A **running sum** is a sum that is told after each number. See '
       '[it](02_more.ipynb#Then-what) and [that](../03_training/01_batches.ipynb), '
       '[a file](../../x.toml), `total` and `other`.'),
    code('import math\n\nfrom dlcourse.core.pages import marked'), code('here = page()'),
    code(DEF), md('#| hint total\nBegin with `0`.'), code(CHECK), code(WRONG), code(QUIZ),
    code('total([1, 2])', text('<3> & more\n')), code('#| hide\nsecret()', text('secret')),
    code('show(fig, alt="A line")', picture('A line "rises"')),
    code('t', dict(output_type='execute_result', metadata={}, data={
        'text/html': '<style>x{}</style><table style="a"><tr><th></th>'
                     '<th align="left">b</th></tr></table>'}))]


@pytest.fixture
def made(tmp_path):
    "The page that a small notebook becomes"
    path = write(tmp_path/'nbs'/'04_data'/'01_read.ipynb', *CELLS)
    page = course.read_page(path)
    known = {'dlcourse.data.read.total': 1, 'dlcourse.core.pages.marked': 1}
    return lesson_pages.Converter(page, known, {'running sum': 'term-running-sum'}).page_text(
        '04', 'Data')


def test_nothing_of_the_source_shows_that_is_not_for_readers(made):
    assert '#|' not in made.text and 'secret' not in made.text and 'expect(' not in made.text
    assert made.text.count('\n# ') == 1 and 'What is there' in made.text


def test_an_exercise_is_a_callout_with_folds(made):
    callout = made.text[made.text.index('id="exercise-total"'):]
    order = ['The sum of some numbers', '...  # your turn', 'Hint 1 of 1', 'Begin with `0`.',
             'What is checked (1)', '- Every number counts.', 'Common mistakes (1)',
             '- The last one is lost.', 'Solution', 'return sum(rows)']
    places = [callout.index(words) for words in order]
    assert places == sorted(places)
    assert 'raise NotImplementedError' not in made.text


def test_a_question_opens_its_answers_without_a_script(made):
    assert '<details class="answer right" name="quiz-empty"><summary>0</summary>' in made.text
    assert '**No.** Not here.' in made.text and '*nothing*' in made.text
    assert '<script' not in made.text


def test_links_lead_to_pages_and_names_to_the_library(made):
    assert '[it](/data/more.md#then-what)' in made.text
    assert '[that](/training/batches.md)' in made.text
    assert 'a file, {py:obj}`total <dlcourse.data.read.total>` and `other`' in made.text
    assert '<dfn id="term-running-sum">**running sum**</dfn>' in made.text


def test_outputs_are_shown_as_they_are(made):
    assert '&lt;3&gt; &amp; more' in made.text
    (name, data), = made.figures.items()
    assert data == PNG and f'src="../{name}" alt="A line &quot;rises&quot;" width="30"' in made.text
    assert f'<figure class="shown"><a href="../{name}"' in made.text
    assert '<td></td><th>b</th>' in made.text and '<style>' not in made.text
    assert made.text.count('Imports and set-up') == 1 and 'Code of the figure' in made.text


def test_terms_are_found_with_their_sentences():
    sentence = 'A **query** finds a **key**, said **in short.** Then | **x** |'
    assert list(terms.bold_in(f'First. {sentence}')) == [('query', sentence), ('key', sentence)]
    leaning = 'No derivative is needed. This is **REINFORCE** (Williams 1992).'
    assert list(terms.bold_in(leaning)) == [('REINFORCE', leaning)]
    assert not list(terms.bold_in('**Make it better**: find one more of these things, quickly.'))


def test_words_lead_to_pages_that_there_are():
    parts = course.read_course()
    pages = {p.id: p for part in parts for p in part.pages}
    for word, ids in terms.WORDS.items():
        assert 1 <= len(ids) <= 2 and set(ids) <= pages.keys(), word
        assert not set(word) & set(',;:!'), f"{word}: signs that Sphinx's index gives a meaning"
    words = terms.words_of(parts, terms.terms_of(parts))
    assert 'overfitting' in words['training.regularization']
    assert 'Overfitting' not in words['training.regularization'], "once, though it is a term too"
    assert lesson_pages.indexed([]) == []
    assert lesson_pages.indexed(['a', 'b c'])[0] == '```{index} ! a, ! b c'


def test_sources_are_not_searched(made):
    page = next(p for part in course.read_course() for p in part.lessons)
    convert = lesson_pages.Converter(page, {}, {})
    said = convert.prose('One.\n\n*Sources.* Lee, *Pools*.\n\nSources: two.\n\nIn sources')
    assert said.count('{.no-search}\n') == 2 and '\n{.no-search}\n*Sources.* Lee' in said


def test_signatures_are_read_from_the_source():
    source = '''__all__ = ['Box', 'pack']
class Box:
    "A box"
    def __init__(self,
        size:int=3, # In cells
    ): ...
def pack(
    boxes:list[Box], # What is packed
    *,
    tight:bool=True, # Leave no room?
)->Box:              # One for all
    "Put boxes into one"
@patch
def open(self:Box): "Open it"
'''
    box, pack = api_pages.things_of(source)
    assert [m.name for m in box.inside] == ['Box.open']
    library = api_pages.Library([])
    library.classes = {'Box': 'dlcourse.data.Box'}
    assert library.signature(pack) == ('pack(boxes: list[dlcourse.data.Box], *, tight: bool = True)'
                                       ' -> dlcourse.data.Box')
    assert library.rows(pack) == [('boxes', '', 'What is packed'), ('tight', '', 'Leave no room?'),
                                  ('returns', '', 'One for all')]
    assert library.signature(box) == 'Box(size: int = 3)'
    assert library.rows(box) == [('size', '', 'In cells')]


GOOD = '<html><head><title>{}</title></head><body><h1>x</h1>{}</body></html>'


def built(folder, body, **more):
    for name, said in dict(index=body, **more).items():
        (folder/f'{name}.html').write_text(GOOD.format(name, said), encoding='utf-8')
    (folder/'objects.inv').touch()
    return [fault.partition(': ')[2] for fault in site_checks.faults(folder)]


@pytest.mark.parametrize('body, fault', [
    ('<a href="b.html#here">b</a> <a href="https://example.org">out</a>', None),
    ('<a href="c.html">c</a>', 'a link leads nowhere: c.html'),
    ('<a href="b.html#there">b</a>', 'a link leads to no such place: b.html#there'),
    ('<script src="https://cdn.example.org/x.js"></script>', 'it asks another host'),
    ('<img src="a.png" alt="A line">', 'a file is missing: a.png'),
    ('<img src="data:,x" alt="plot 3">', "the text 'plot 3' of a picture says nothing"),
    ('<img src="data:,x">', 'a picture without alt'),
    ('<pre>#| export</pre>', 'a raw directive'), ('<h1>y</h1>', '2 headings of the first order'),
    ('<p id="a"></p><p id="a"></p>', 'two places of one name: a')])
def test_faults_of_a_page_are_found(tmp_path, body, fault):
    found = built(tmp_path, body, b='<p id="here">x</p>')
    assert not found if fault is None else len(found) == 1 and found[0].startswith(fault)


def test_a_page_that_is_too_large_is_found(tmp_path):
    assert built(tmp_path, 'x'*1_000_001) == ['1.00 MB, more than 1 MB']


def test_every_part_has_a_title_and_a_claim_where_it_is_known():
    table = course.parts_table()
    assert all(set(said) == {'title', 'claim'} for said in table.values())
    folders = {re.sub(r'^\d+_', '', p.name) for p in course.NBS.glob('[0-9]*_*')}
    assert not folders - table.keys(), "name the part in site/parts.toml"


def test_two_pages_of_one_address_are_refused(tmp_path):
    for name in ('01_read', '02_read'):
        write(tmp_path/'04_data'/f'{name}.ipynb', CELLS[0], md('# A\n\n> b'))
    with pytest.raises(SystemExit, match='would both be the page data/read.html'):
        course.read_course(tmp_path)


def test_each_figure_of_the_results_says_machine_day_and_command():
    import tomllib
    said = tomllib.loads((course.ROOT/'benchmarks'/'results.toml').read_text('utf-8'))
    for result in (r for group in said['group'] for r in group['result']):
        assert {'what', 'figure', 'machine', 'date', 'command'} <= result.keys(), result
        script = re.search(r'benchmarks/\w+\.py|nbs/\w+/\w+\.ipynb', result['command'])[0]
        assert (course.ROOT/script).exists(), script


def test_a_learners_notebook_is_json_with_blanks():
    pytest.importorskip('dlcourse')
    from dlcourse.classroom.editions import learner_edition
    page = course.read_page(course.NBS/'07_transformers'/'02_attention.ipynb')
    edition = json.dumps(learner_edition(page.nb))
    assert 'Your turn: causal_mask' in edition


def test_two_conversions_of_a_part_are_the_same(tmp_path):
    pytest.importorskip('typer')
    import make_site
    nbs = tmp_path/'nbs'
    nbs.mkdir()
    for part in ('02_evaluation', '24_grading'): (nbs/part).symlink_to(course.NBS/part)
    for work in ('one', 'two'): make_site.convert(tmp_path/work, nbs)
    assert make_site.digest(tmp_path/'one') == make_site.digest(tmp_path/'two')
    text = '\n'.join(p.read_text('utf-8') for p in (tmp_path/'one').rglob('*.md'))
    assert 'evaluation/intervals' in text and '[[' not in (
        tmp_path/'one'/'src'/'index.md').read_text('utf-8')
    side = json.loads((tmp_path/'one'/'src'/'course.json').read_text('utf-8'))
    assert [p['title'] for p in side['tree']] == ['Evaluation', 'Grading']
    assert side['parents']['evaluation/intervals'][-1] == ['evaluation/index', 'Evaluation']


def test_numbers_between_parts_are_named_in_few_words():
    def part(n): return course.Part('x', 'X', '', f'{n:02}', ())
    assert front.missing([part(n) for n in (1, 2, 7, 9, 12)]) == '03 to 06, 08, 10 and 11'
    assert front.missing([part(1), part(2)]) == ''


def test_a_page_without_exercises_is_no_lesson():
    parts = course.read_course()
    assert all(p.lesson.exercises for part in parts for p in part.lessons)


def test_a_table_of_polars_has_one_line_of_headings():
    page = next(p for part in course.read_course() for p in part.lessons)
    table = ('<small>shape: (1, 2)</small><table><thead><tr><th>a</th><th>b</th></tr><tr>'
             '<td>f64</td><td>str</td></tr></thead><tbody><tr><td>1.0</td><td>x</td></tr></tbody></table>')
    said = lesson_pages.Converter(page, {}, {}).markup(table)
    assert 'f64' not in said and 'shape' not in said and '<td>1.0</td>' in said
    assert 'shape' in lesson_pages.Converter(page, {}, {}).markup(table.replace('x', '&hellip;'))


def test_words_of_a_table_stand_without_quotes():
    page = next(p for part in course.read_course() for p in part.lessons)
    table = ('<table><tr><td>&quot;pixels&quot;</td><td>"9 (8–10)"</td><td>1" wide</td>'
             '<td>&quot;Asian × Fe…</td><td>&quot;Asian&quot;</td></tr></table>')
    said = lesson_pages.Converter(page, {}, {}).markup(table)
    assert '<td>pixels</td><td>9 (8–10)</td><td>1" wide</td>' in said
    assert '<td>Asian × Fe…</td><td>Asian</td>' in said


def test_a_number_stays_with_its_letter():
    said = lesson_pages.together('at ε = 1 and n = .5: 7 %')
    assert said == 'at ε~=~1 and n~=~.5: 7~%'.replace('~', '\xa0')
    assert lesson_pages.together('x = y, size = 3') == 'x = y, size = 3'


def png(width, height, more=0): return (PNG[:16] + width.to_bytes(4) + height.to_bytes(4) + PNG[24:]
                                        + bytes(more))


def test_the_picture_of_a_lesson_has_most_in_it_and_fits_a_card():
    data = {'figures/tall.png': png(100, 400, 90), 'figures/a.png': png(700, 300, 10),
            'figures/b.png': png(700, 300, 40)}
    text = ''.join(f'<img src="../{name}" alt="{name[8:]}" width="1">' for name in data)
    best = gallery.best(lesson_pages.Made(text, data))
    assert best == gallery.Picture('figures/b.png', 'b.png', 700, 300)
    assert gallery.best(lesson_pages.Made('no picture')) is None


def test_a_wide_figure_scrolls_on_a_phone():
    page = next(p for part in course.read_course() for p in part.lessons)
    convert = lesson_pages.Converter(page, {}, {})
    kinds = [re.search('class="(.*?)"', convert.figure(b64encode(png(w, 300)).decode(), 'A'))[1]
             for w in (440, 441)]
    assert kinds == ['shown', 'shown wide']


def one_page(tmp_path, *cells):
    write(tmp_path/'nbs'/'04_data'/'01_read.ipynb', *CELLS, *cells)
    return course.read_course(tmp_path/'nbs')


def test_a_term_takes_its_formula_along(tmp_path):
    parts = one_page(tmp_path, md(
        'The **odd loss** (Doe et al. 2020) is the sum of what is odd:\n\n$$\nx + 1\n$$\n\n'
        'Then it goes on. Lee et al. (2021) call the other one the **even loss**, which is less.'))
    found = {t.word: t.sentence for t in terms.terms_of(parts)}
    assert found['odd loss'].endswith('what is odd: \n\n$$\nx + 1\n$$')
    assert found['even loss'].startswith('Lee et al. (2021) call')


def test_a_sentence_that_leans_takes_the_other_along(monkeypatch):
    said = 'IoU has a fault. **GIoU** mends it: it takes off what neither covers. Then the rest.'
    assert list(terms.bold_in(said)) == [('GIoU', said.removesuffix(' Then the rest.'))]
    monkeypatch.setattr(terms, 'GOES_ON', {'copula @ data.x'})
    said = 'A **copula** takes the shapes away first. Each column becomes normal. More.'
    assert list(terms.bold_in(said, 'data.x')) == [('copula', said.removesuffix(' More.'))]


def test_the_project_lives_where_pyproject_says(tmp_path, monkeypatch):
    project = tmp_path/'pyproject.toml'
    project.write_text('[project]\nname = "x"\n', encoding='utf-8')
    assert course.addresses(tmp_path) == {}
    assert front.copy_of({}) == '# in a copy of the repository, in its folder'
    course.addresses.cache_clear()
    project.write_text('[project]\nname = "x"\n[project.urls]\n'
                       'Repository = "https://example.org/a/b.git"\n'
                       'Documentation = "https://example.org/c/"\n', encoding='utf-8')
    where = course.addresses(tmp_path)
    assert where['documentation'] == 'https://example.org/c'
    assert front.copy_of(where) == 'git clone https://example.org/a/b.git\ncd b'
    course.addresses.cache_clear()
    monkeypatch.setattr(lesson_pages, 'addresses', lambda: where)
    monkeypatch.setattr(lesson_pages, 'ROOT', tmp_path)
    page = one_page(tmp_path)[0].pages[0]
    text = lesson_pages.Converter(page, {}, {}).page_text('04', 'Data').text
    assert 'href="https://example.org/a/b.git/blob/HEAD/nbs/04_data/01_read.ipynb">Source' in text


def test_a_sitemap_needs_an_address_and_a_list_for_machines_does_not(tmp_path):
    parts = one_page(tmp_path)
    structure = front.structure(parts, {}, '1')
    assert structure['places']['data/read'] == 'Data · lesson'
    bare = front.for_machines(parts, structure, {})
    assert list(bare) == ['llms.txt']
    assert '- [Reading](data/read.html): What is there' in bare['llms.txt']
    full = front.for_machines(parts, structure, {'documentation': 'https://example.org/c'})
    assert '<loc>https://example.org/c/data/read.html</loc>' in full['sitemap.xml']
    assert '(https://example.org/c/data/read.html)' in full['llms.txt']
    assert 'https://example.org/c/sitemap.xml' in full['robots.txt']


def test_every_benchmark_has_a_figure_or_a_reason():
    import tomllib
    said = tomllib.loads((course.ROOT/'benchmarks'/'results.toml').read_text('utf-8'))
    commands = ' '.join(r['command'] for g in said['group'] for r in g['result'])
    shown = set(re.findall(r'benchmarks/(\w+\.py)', commands))
    there = {p.name for p in (course.ROOT/'benchmarks').glob('*.py')}
    assert there == shown | said['not_run'].keys() and not shown & said['not_run'].keys()
    assert all(front.first_line(name) for name in said['not_run'])


def test_titles_can_be_told_apart():
    def stems(title):
        words = re.findall(r'[a-z]+', title.lower())
        return frozenset(re.sub(r'(ing|s|ed)$', '', w) for w in words) - {'the', 'a', 'of'}
    seen = {}
    for page in (p for part in course.read_course() for p in part.pages):
        other = seen.setdefault(stems(page.title), page)
        assert other is page, f'{page.id} and {other.id}: {page.title!r}, {other.title!r}'
