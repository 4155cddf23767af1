"Figures: labels that do not overlap, a text with every picture"
import base64

import matplotlib.pyplot as plt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlcourse.core.figures import COLORS, label_lines, show, spread, use_style


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


def test_show_carries_its_text(monkeypatch):
    sent = []
    monkeypatch.setattr('IPython.display.display', lambda data, **k: sent.append((data, k)))
    fig, ax = plt.subplots()
    ax.plot([1, 2])
    show(fig, alt='A rising line.')
    (data, kwargs), = sent
    assert data['text/plain'] == 'A rising line.' and kwargs['metadata']['image/png']['alt'] == 'A rising line.'
    assert base64.b64decode(data['image/png']).startswith(b'\x89PNG') and not plt.fignum_exists(fig.number)
    with pytest.raises(ValueError, match='`alt` must say what the figure shows'): show(fig, alt=' ')
