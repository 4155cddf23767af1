"Pages: numbers as they are read, text that does nothing"
import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dlcourse.core.pages import (
    escape,
    html_list,
    html_table,
    number,
    p_value,
    percent,
    points,
    printable,
    shorten,
)


@pytest.mark.parametrize('got, want', [
    (percent(.1234), '12.3 %'), (percent(1, 0), '100 %'), (percent(np.float64(.5)), '50.0 %'),
    (points(.056), '5.6 points'), (points(-.5, 0), '-50 points'),
    (number(1234567), '1,234,567'), (number(np.int64(1234)), '1,234'), (number(.83, 2), '0.83'),
    (number(30.), '30.000'), (number(1234., whole=True), '1,234'),
    (number(.5, whole=True), '0.500'), (p_value(.0004), '< 0.001'), (p_value(0), '< 0.001'),
    (p_value(.001), '0.001'), (p_value(.5), '0.500'),
    *((f(x), '–') for f in (percent, points, number, p_value) for x in (None, float('nan'))),
])
def test_numbers_read_as_they_should(got, want): assert got == want


@given(st.floats(0, 1))
def test_no_p_value_is_zero(p): assert float(p_value(p).split()[-1]) > 0


@given(st.text())
def test_any_text_can_be_printed_and_stand_in_xml(text):
    shown = printable(text)
    assert shown.isprintable() and len(shown) == len(text)
    assert ElementTree.fromstring(f'<a>{escape(shown)}</a>').text in (shown, None)


@given(st.text(), st.integers(3, 100))
def test_a_shortened_text_is_one_line_of_the_length(text, length):
    line = shorten(text, length)
    assert len(line) <= length and line.split('\n') == [line]
    words = ' '.join(text.split())
    assert line == words or line.endswith(' …') and words.startswith(line[:-2])


def test_a_huge_text_is_not_read_to_its_end():
    assert shorten('word '*10**7, 12) == 'word word …'


class Reader(HTMLParser):
    "The tags of a page, and the text in them"
    def __init__(self, page):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs): self.tags.append((tag, dict(attrs)))

    def handle_data(self, data): self.text.append(data)


def test_a_table_shows_text_left_numbers_right_and_every_cell_as_text():
    columns = {'<b>Group</b>': 'text', 'n': 'count', 'rate': 'percent', 'note': 'html'}
    rows = [('<i>women</i>', 1204, .5, '<em>ok</em>'), (None, 2, None, '')]
    page = html_table(columns, rows, 'a < b')
    found = Reader(page)
    assert [t for t, _ in found.tags if t in ('b', 'i', 'em', 'script')] == ['em']
    assert {'1,204', '50.0 %', '–'} <= set(found.text) and 'None' not in page
    assert all(a.get('scope') in ('row', 'col') for t, a in found.tags if t == 'th')
    assert [bool(a) for t, a in found.tags if t == 'td'] == [False, False, True]*2
    assert page.count('<caption') == 1 and '<caption' not in html_table(columns, [])


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError): html_table({'a': 'text'}, [('x', 'y')])


def test_a_list_escapes_its_items():
    assert re.findall('<li>(.*?)</li>', html_list(['a', '<b>'])) == ['a', '&lt;b&gt;']
