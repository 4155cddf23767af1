"Diagrams: everything on the paper, nothing on top of another, texts that can be read"
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.colors import to_rgb

from dlcourse.core import diagrams
from dlcourse.core.diagrams import Diagram, Spot, joined
from dlcourse.core.errors import InputError
from dlcourse.core.figures import COLORS, darker, ink_on, layer_places, text_size, tint


@pytest.fixture
def shown(monkeypatch):
    "Diagrams that were shown, and not closed"
    kept = []
    monkeypatch.setattr(diagrams, 'show', lambda fig, alt: kept.append(fig))
    return kept


def contrast(a, b):
    "Of two colours, as WCAG 2.2 defines it"
    def light(color):
        parts = [c/12.92 if c <= .03928 else ((c + .055)/1.055)**2.4 for c in to_rgb(color)]
        return np.dot(parts, [.2126, .7152, .0722])
    low, high = sorted((light(a), light(b)))
    return (high + .05)/(low + .05)


@given(st.tuples(*[st.floats(0, 1)]*3))
def test_letters_on_any_ground_can_be_read(ground):
    assert contrast(ink_on(ground), ground) >= 4.5


@pytest.mark.parametrize('color', [*COLORS, diagrams.INK])
def test_boxes_and_labels_can_be_read(color):
    assert contrast(diagrams.INK, tint(color)) >= 4.5
    assert contrast(darker(color, .45), 'white') >= 4.5


def overlap(a, b):
    "Do two spots share some paper?"
    low, high = np.maximum(a.box[:2], b.box[:2]), np.minimum(a.box[2:], b.box[2:])
    return bool((high - low > 1e-9).all())


@pytest.mark.parametrize('word, way', [
    ('right_of', (1, 0)), ('left_of', (-1, 0)), ('below', (0, -1)), ('above', (0, 1))])
def test_a_box_stands_where_it_is_put(word, way):
    d = Diagram()
    first = d.box('first', at=(3, 2))
    second = d.box('second', gap=.7, **{word: first})
    apart = np.array([second.x - first.x, second.y - first.y])
    assert (first.x, first.y) == (3, 2) and np.array_equal(np.sign(apart), way)
    sizes = (first.width + second.width)/2, (first.height + second.height)/2
    assert np.abs(apart).max() == pytest.approx(.7 + sizes[way[0] == 0])
    third = d.box('third')
    assert third.x > second.x and third.y == second.y


def test_names_of_rows_and_columns_have_room_of_their_own():
    d = Diagram()
    first = d.matrix(np.eye(2), columns='ab', text='below')
    right = d.matrix(np.eye(2), rows=('a long name', 'b'), gap=.2)
    under = d.matrix(np.eye(2), columns='ab', below=first, gap=.2)
    assert right.box[0] - first.box[2] == pytest.approx(.2 + text_size('a long name', 9)[0] + .09)
    assert first.box[1] - under.box[3] == pytest.approx(.2 + .26 + .22)


@pytest.mark.parametrize('where', [dict(under=None), dict(below=None, above=None)])
def test_a_place_that_there_is_not_is_refused(where):
    d = Diagram()
    first = d.box('first')
    with pytest.raises(InputError, match='a place is one of at, right_of'):
        d.box('second', **dict.fromkeys(where, first))


places = st.floats(-5, 5)
spots = st.builds(Spot, places, places, st.floats(.1, 2), st.floats(.1, 2), round=st.booleans())


@given(spots, spots)
def test_an_arrow_begins_and_ends_on_a_border(a, b):
    for spot, point in zip((a, b), joined(a, b), strict=True):
        inside = np.abs(point - (spot.x, spot.y))/(spot.width/2, spot.height/2)
        assert max(inside) <= 1 + 1e-6
        if not overlap(a, b):
            reach = np.hypot(*inside) if spot.round else max(inside)
            assert reach == pytest.approx(1, abs=1e-6)


def test_arrows_between_neighbours_run_along_an_axis():
    high, low = Spot(0, 0, 1, 2), Spot(3, .5, 1, .6)
    (x, y), (x2, y2) = joined(high, low)
    assert (x, x2) == pytest.approx((.5, 2.5)) and y == y2 == pytest.approx(.5)
    (x, y), (x2, y2) = joined(Spot(0, 0, 1, 1), Spot(.1, 3, 1, 1))
    assert x == x2 and (y, y2) == pytest.approx((.5, 2.5))


def test_a_cell_and_a_window_are_spots():
    d = Diagram()
    m = d.matrix(np.zeros((2, 4)), at=(0, 0), cell=.5)
    assert (m.width, m.height) == (2, 1) and m.cells == (2, 4)
    assert (m.cell(0, 0).x, m.cell(0, 0).y) == (-.75, .25)
    window = m.cell(0, 1, rows=2, columns=3)
    assert np.allclose(window.box, (-.5, -.5, 1, .5))


def test_cells_hold_numbers_words_truth_or_nothing():
    d = Diagram()
    d.matrix([[.25, -1], [0, 1]], fmt='.2f', mask=[[1, 1], [0, 1]])
    d.matrix([['a', 'b']])
    d.matrix([[True, False]])
    written = [t.get_text() for t in d.ax.texts]
    assert list(filter(None, written)) == ['0.25', '-1.00', '╱', '1.00', 'a', 'b']


def test_everything_is_on_the_paper(shown):
    d = Diagram()
    a, b = d.box('one'), d.box('a much longer text\nin two lines')
    d.arrow(a, b, 'a label', bend=-.6)
    d.outline(a, b, text='both of them', room=.2)
    d.matrix(np.eye(3), rows=('first', 'second', 'third'), columns='abc', text='a name', below=b)
    d.show('A drawing.')
    fig, = shown
    fig.canvas.draw()
    paper = fig.bbox
    for artist in (*d.ax.texts, *d.ax.patches):
        box = artist.get_window_extent()
        assert paper.x0 <= box.x0 and box.x1 <= paper.x1, artist
        assert paper.y0 <= box.y0 and box.y1 <= paper.y1, artist
    assert to_rgb(fig.get_facecolor()) == (1, 1, 1)


def test_a_chain_leaves_room_for_its_labels():
    d = Diagram()
    spots = d.chain('in', 'a box', 'out', labels=('a label that is rather long', ''))
    gaps = [b.box[0] - a.box[2] for a, b in zip(spots, spots[1:], strict=False)]
    assert gaps[0] > text_size('a label that is rather long', 9)[0] and gaps[1] < gaps[0]
    down = d.chain('a', 'b', 'c', down=True, at=(0, -3))
    assert down[0].y > down[1].y > down[2].y and down[0].x == down[2].x


words = st.text('abcdefghij ', min_size=1, max_size=20)
questions = lambda sub: st.tuples(words, st.dictionaries(words, sub, min_size=1, max_size=3))
trees = st.recursive(words, questions, max_leaves=8)


@settings(max_examples=30, deadline=None)
@given(trees)
def test_boxes_of_a_tree_do_not_overlap(tree):
    d, drawn = Diagram(), []
    put = d.put

    def kept(*args, **where):
        drawn.append(put(*args, **where))
        return drawn[-1]

    d.put = kept
    d.tree(tree)
    assert not any(overlap(a, b) for i, a in enumerate(drawn) for b in drawn[:i])


def test_a_computation_reads_from_left_to_right():
    steps = 'w ×', 'x ×', '× +', 'b +', '+ loss', 'y loss', '× loss'
    edges = [tuple(step.split()) for step in steps]
    names = list(dict.fromkeys(n for e in edges for n in e))
    places = layer_places(names, edges, 1.)
    assert all(places[a][0] < places[b][0] for a, b in edges)
    assert places['b'][0] == places['+'][0] - 1 and len(set(places.values())) == len(names)
    with pytest.raises(InputError, match='lead in a circle'):
        layer_places('ab', [('a', 'b'), ('b', 'a')], 1.)


def test_a_graph_names_its_nodes_once_and_makes_them_of_one_size():
    d = Diagram()
    spots = d.graph([('a', 'loss', 'text'), ('b', 'loss'), ('a', 'b')], layout='circle')
    assert list(spots) == ['a', 'loss', 'b']
    assert len({(s.width, s.height) for s in spots.values()}) == 1
    assert not overlap(spots['a'], spots['loss'])
    assert 'text' in [t.get_text() for t in d.ax.texts]
    at = d.graph([('a', 'b')], layout={'a': (0, 0), 'b': (2, 1)})
    assert (at['b'].x, at['b'].y) == (2, 1)


@pytest.mark.parametrize('draw, says', [
    (lambda d: d.box(3), '`text` must be a text, got 3'),
    (lambda d: d.box('a', color=9), "`color` must be from 0 to 5, or a colour such as 'teal'"),
    (lambda d: d.box('a', color='blau'), "got 'blau'"),
    (lambda d: d.box('a', at=(1, 2, 3)), r'`at` must be two numbers, .* got \(1, 2, 3\)'),
    (lambda d: d.box('a', at=(np.nan, 0)), '`at` must be two numbers'),
    (lambda d: d.box('a', below='b'), "a spot is what `box` or `matrix` gave; got 'b'"),
    (lambda d: d.arrow(d.box('a'), 'b'), "a spot is what `box` or `matrix` gave; got 'b'"),
    (lambda d: d.arrow(d.box('a'), d.box('b'), 3), '`text` must be a text, got 3'),
    (lambda d: d.outline(), 'a spot is what `box` or `matrix` gave; got None'),
    (lambda d: d.chain(), '0 boxes take as many `colors` and fewer `labels`'),
    (lambda d: d.chain('a', 'b', labels='xyz'), '2 boxes take .* got 2 and 3'),
    (lambda d: d.chain('a', 'b', colors=(1,)), '2 boxes take .* got 1 and 0'),
    *((lambda d, odd=odd: d.matrix(odd), '`values` must be a matrix of numbers or words')
      for odd in ([], [[1, 2], [3]], np.zeros((2, 2, 2)), [[1j]], [[{}]])),
    (lambda d: d.matrix([[1., 2.]], fmt='d'), "`fmt` must be a number's, such as '.2f'; got 'd'"),
    (lambda d: d.matrix([[1, 2]], mask=[[True]]), r'`mask`: \(1, 1\), not \(1, 2\)'),
    (lambda d: d.matrix([[1, 2]], rows=('a', 'b')), '`rows` are 2 names for 1 rows'),
    (lambda d: d.matrix([[1, 2]]).cell(0, 2), '`cell` 0, 2 is not in 1 × 2'),
    (lambda d: d.matrix([[1, 2]]).cell(0, 1, columns=2), '`cell` 0, 1 is not in 1 × 2'),
    *((lambda d, odd=odd: d.tree(odd), 'a `tree` is a text, or')
      for odd in (None, 3, ('a', ['b']), ('a', {'x': 'b'}, 1), ('a', {'x': 3}))),
    *((lambda d, odd=odd: d.graph(odd), '`edges` must be')
      for odd in ([], [('a',)], [('a', 'b', 'c', 'd')])),
    (lambda d: d.graph([(1, 2)]), '`text` must be a text, got 1'),
    (lambda d: d.tree((3, {})), '`text` must be a text, got 3'),
    (lambda d: d.graph([('a', 'b')], layout='tree'), "`layout` must be layers, circle .* 'tree'"),
    (lambda d: d.graph([('a', 'b')], layout={'a': (0, 0)}), '`layout` must be layers, circle'),
    (lambda d: d.show('Nothing'), 'the drawing is empty; put a box into it first'),
])
def test_what_cannot_be_drawn_is_refused_in_words(draw, says):
    with pytest.raises(InputError, match=says): draw(Diagram())


def test_a_chain_may_be_a_single_box():
    assert len(Diagram().chain('a')) == 1
