"Figures: labels that do not overlap, a text with every picture"
import base64
import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markup import Markup
from PIL import Image

from dlcourse.core.errors import InputError
from dlcourse.core.figures import (
    COLORS,
    band,
    few_colors,
    heat,
    label_lines,
    mark,
    panels,
    show,
    spread,
    use_style,
)


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=12), st.floats(.1, 10))
def test_spread_keeps_order_and_distance(heights, gap):
    places = spread(heights, gap)
    pairs = sorted(zip(heights, places, strict=True))
    assert all(b - a >= gap - 1e-6 for (_, a), (_, b) in zip(pairs, pairs[1:], strict=False))
    assert abs(sum(places) - sum(heights)) < 1e-6*(1 + sum(map(abs, heights)))


def test_spread_leaves_alone_what_is_apart():
    assert spread([5., 1., 9.], 2) == [5., 1., 9.]


def test_label_lines_write_every_name():
    use_style()
    fig, ax = plt.subplots()
    for k in range(3): ax.plot([0, 1], [0, 1 + k/100], label=f'line {k}')
    ax.plot([0, 1], [0, 0])
    label_lines(ax)
    assert [t.get_text() for t in ax.texts] == ['line 0', 'line 1', 'line 2']
    assert [line.get_color() for line in ax.lines[:3]] == list(COLORS[:3])
    assert len({line.get_linestyle() for line in ax.lines[:3]}) == 3
    plt.close(fig)


@pytest.fixture
def shown(monkeypatch):
    "Shows a line with a text, and gives the figure, what was sent, and how"
    sent = []
    monkeypatch.setattr('IPython.display.display', lambda data, **k: sent.append((data, k)))
    def shown(alt):
        fig, ax = plt.subplots()
        ax.plot([1, 2])
        show(fig, alt=alt)
        return fig, *sent[-1]
    return shown


def test_show_carries_its_text(shown):
    fig, data, kwargs = shown('A rising line.')
    assert data['text/plain'] == kwargs['metadata']['image/png']['alt'] == 'A rising line.'
    assert base64.b64decode(data['image/png']).startswith(b'\x89PNG')
    assert not plt.fignum_exists(fig.number)
    assert data['image/png'] in data['text/html']
    with pytest.raises(ValueError, match='`alt` must say what the figure shows'): show(fig, alt=' ')


def test_nbconvert_shows_the_text(shown):
    nbconvert, nbformat = map(pytest.importorskip, ('nbconvert', 'nbformat'))
    _, data, kwargs = shown('Less is "<" more.')
    output = dict(output_type='display_data', data=data, metadata=kwargs['metadata'])
    cell = dict(cell_type='code', id='a', metadata={}, source='', execution_count=1,
                outputs=[output])
    nb = nbformat.from_dict(dict(cells=[cell], metadata={}, nbformat=4, nbformat_minor=5))
    page, _ = nbconvert.HTMLExporter().from_notebook_node(nb)
    shown = Markup(page)
    assert [x.get('alt') for x in shown.all('img')] == ['Less is "<" more.']
    assert 'No description' not in page


def test_few_colors_keep_what_covers_most_and_stay_near_the_rest():
    rng = np.random.default_rng(0)
    picture = np.full((60, 80, 3), 255, np.uint8)
    for k in range(20): picture[3*k:3*k + 3, :40] = rng.integers(0, 256, 3)
    picture[:20, 40:60] = rng.integers(0, 256, (20, 20, 3))
    small = few_colors(Image.fromarray(picture))
    again = np.asarray(small.convert('RGB')).astype(int)
    assert len(np.unique(again.reshape(-1, 3), axis=0)) <= 64 and again.shape == picture.shape
    flat = np.ones((60, 80), bool)
    flat[:20, 40:60] = False
    assert (again[flat] == picture[flat]).all() and abs(again - picture).max() < 100


def test_a_picture_of_two_colours_stays_as_it_is():
    picture = np.zeros((5, 7, 3), np.uint8)
    picture[2] = 200
    assert (np.asarray(few_colors(Image.fromarray(picture)).convert('RGB')) == picture).all()


def test_shown_figures_have_a_palette(monkeypatch):
    sent = []
    monkeypatch.setattr('IPython.display.display', lambda data, **_: sent.append(data))
    fig, ax = plt.subplots()
    ax.plot(range(9))
    show(fig, alt='A line.')
    assert Image.open(io.BytesIO(base64.b64decode(sent[0]['image/png']))).mode == 'P'


def test_panels_are_a_flat_list():
    use_style()
    fig, axes = panels((2, 3), titles=('a', 'b'), title='Both', sharey=True)
    assert len(axes) == 6 and [ax.get_title(loc='left') for ax in axes[:3]] == ['a', 'b', '']
    assert tuple(fig.get_size_inches()) == (7, 5.6) and fig._suptitle.get_text() == 'Both'
    plt.close(fig)
    fig, axes = panels(1)
    assert len(axes) == 1
    plt.close(fig)


def test_a_band_is_the_mean_and_the_range():
    fig, ax = plt.subplots()
    line = band(ax, [0, 1, 2], [[0, 1, 2], [2, 3, 4]], 'two', color='red')
    assert list(line.get_ydata()) == [1, 2, 3]
    assert (line.get_label(), line.get_color()) == ('two', 'red')
    edges = ax.collections[0].get_paths()[0].vertices
    assert edges[:, 1].min() == 0 and edges[:, 1].max() == 4
    band(ax, [0, 1, 2], [5, 6, 7])
    assert len(ax.lines) == 2 and len(ax.collections) == 1
    plt.close(fig)


def test_heat_writes_readable_numbers_and_names():
    fig, ax = plt.subplots()
    image = heat(ax, [[0., .5], [1., -1.]], rows='ab', columns='xy', fmt='.1f', center=0)
    assert [t.get_text() for t in ax.texts] == ['0.0', '0.5', '1.0', '-1.0']
    assert [t.get_text() for t in ax.get_xticklabels()] == ['x', 'y']
    assert image.get_clim() == (-1, 1)
    assert [t.get_color() for t in ax.texts] == ['black', 'black', 'white', 'white']
    plt.close(fig)


def test_heat_of_nothing_but_the_center():
    fig, ax = plt.subplots()
    assert heat(ax, np.zeros((2, 2)), center=0).get_clim() == (-1, 1) and not ax.texts
    plt.close(fig)


def test_a_mark_says_what_it_means():
    fig, ax = plt.subplots()
    mark(ax, 'chance', y=.5)
    mark(ax, 'here', x=2)
    assert [t.get_text() for t in ax.texts] == ['chance', 'here'] and len(ax.lines) == 2
    plt.close(fig)


@pytest.fixture
def ax():
    fig, ax = plt.subplots()
    yield ax
    plt.close(fig)


@pytest.mark.parametrize('n', [0, -1, (0, 2), (1, 2, 3), (2,), '3', 2.5, [1, 2], None, True])
def test_panels_are_counted_in_whole_numbers(n):
    with pytest.raises(InputError, match='`n` must be a whole number from 1, or'): panels(n)


def test_no_title_is_lost():
    with pytest.raises(InputError, match='`titles` are 3, for 2 panels'): panels(2, titles='abc')


@pytest.mark.parametrize('values', [
    [], [[]], np.zeros((2, 2, 2)), [['a']], [[1], [1, 2]], [[1j]]])
def test_only_a_matrix_is_drawn_as_one(ax, values):
    with pytest.raises(InputError, match='`values` must be a matrix of numbers'): heat(ax, values)
    with pytest.raises(InputError, match='`values` must be a matrix'): band(ax, [1], values)


@pytest.mark.parametrize('how, says', [
    (dict(fmt='zz'), "`fmt` must be a number's, such as '.2f'; got 'zz'"),
    (dict(rows='ab'), '`rows` are 2 names for 1 rows'),
    (dict(columns='abc'), '`columns` are 3 names for 2 columns'),
    (dict(center='0'), "`center` must be a number, or None; got '0'"),
    (dict(center=np.nan), '`center` must be a number, or None; got nan')])
def test_what_a_matrix_is_drawn_with_is_checked(ax, how, says):
    with pytest.raises(InputError, match=says): heat(ax, [[1, 2]], **how)


@pytest.mark.parametrize('values', [[1, 2], [[np.nan, None]], [[np.inf, 1]]])
def test_a_row_and_numbers_that_are_not_there_are_drawn_around_a_center(ax, values):
    low, high = heat(ax, values, center=0).get_clim()
    assert -low == high > 0


def test_bands_and_marks_that_cannot_be_drawn_are_refused(ax):
    with pytest.raises(InputError, match='`runs` have 3 steps, and `x` has 2'):
        band(ax, [1, 2], [[1, 2, 3]])
    for how in ({}, dict(x=1, y=2)):
        with pytest.raises(InputError, match='give one of `x` and `y`'): mark(ax, 'a', **how)


@pytest.mark.parametrize('alt', [None, ' ', 3])
def test_a_picture_without_words_is_not_shown(alt):
    with pytest.raises(InputError, match='`alt` must say what the figure shows'): show(None, alt)
