"Pages: numbers as they are read, text that does nothing"
import re
from fractions import Fraction
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markup import Markup

from dlcourse.core.errors import InputError
from dlcourse.core.pages import (
    escape,
    html_list,
    html_table,
    mean_and_spread,
    number,
    p_value,
    percent,
    plain_page,
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


@pytest.mark.parametrize('got, want', [
    (number(4.2e-6), '4.2e-06'), (number(-.0004), '-0.0004'), (number(.0006), '0.001'),
    (number(.004, 2), '0.004'), (number(0.), '0.000'), (number(-0.), '0.000'),
    (number(1e300), '1.000e+300'), (number(1e300, whole=True), '1.000e+300'),
    (number(10**400), '1.000e+400'), (number(10**15 - 1), '999,999,999,999,999'),
    (number(float('inf')), 'inf'), (number(Fraction(1, 3)), '0.333'),
    (percent(-1e-10), '0.0 %'), (points(-1e-10), '0.0 points'), (percent(1e300), '1.0e+302 %'),
    (percent(10**400), 'inf %'), (p_value(1 + 1e-12), '1.000')])
def test_tiny_and_huge_numbers_stay_readable(got, want): assert got == want


@pytest.mark.parametrize('f', [percent, points, number, p_value])
@pytest.mark.parametrize('odd', ['0.5', 1j, [1.], np.ones(2), {}])
def test_what_is_no_number_is_refused(f, odd):
    with pytest.raises(InputError, match='a number was expected, got'): f(odd)


@pytest.mark.parametrize('p', [-.1, 1.1, float('inf')])
def test_a_p_value_is_from_0_to_1(p):
    with pytest.raises(InputError, match='`p` must be from 0 to 1, got'): p_value(p)


@pytest.mark.parametrize('numbers, want', [
    ((.9294, .0056, .9251, .9331), '0.9294 ± 0.0056 (0.9251 to 0.9331)'),
    ((2.1e-9, .3e-9, 1.9e-9, 2.4e-9), '2.10 ± 0.30 (1.90 to 2.40) × 1e-9'),
    ((1.5e300, 2e299, 1e300, 2e300), '1.50 ± 0.20 (1.00 to 2.00) × 1e300'),
    ((.5, 3e-8, .5, .5), '0.500000 ± 3e-08 (0.500000 to 0.500000)'),
    ((123456., 0., 1., 2.), '123456.000000 ± 0 (1.000000 to 2.000000)')])
def test_a_spread_has_the_digits_that_its_uncertainty_leaves(numbers, want):
    assert mean_and_spread(*numbers) == want


@given(st.floats(0, 1))
def test_no_p_value_is_zero(p): assert float(p_value(p).split()[-1]) > 0


@given(st.text())
@example('\U000e0100') # A mark that Python calls printable, and nobody sees
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


def test_a_table_shows_text_left_numbers_right_and_every_cell_as_text():
    columns = {'<b>Group</b>': 'text', 'n': 'count', 'rate': 'percent', 'note': 'html'}
    rows = [('<i>women</i>', 1204, .5, '<em>ok</em>'), (None, 2, None, '')]
    page = html_table(columns, rows, 'a < b')
    found = Markup(page)
    assert not found.all('b', 'i', 'script') and len(found.all('em')) == 1
    assert {'1,204', '50.0 %', '–'} <= set(found.text) and 'None' not in page
    assert all(a.get('scope') in ('row', 'col') for a in found.all('th'))
    assert [bool(a) for a in found.all('td')] == [False, False, True]*2
    assert page.count('<caption') == 1 and '<caption' not in html_table(columns, [])


def test_a_row_of_another_length_is_refused():
    with pytest.raises(ValueError): html_table({'a': 'text'}, [('x', 'y')])


def test_a_list_escapes_its_items():
    assert re.findall('<li>(.*?)</li>', html_list(['a', '<b>'])) == ['a', '&lt;b&gt;']


def test_a_plain_page_loads_and_runs_nothing():
    page = plain_page('<b>A & B', '<p>x</p>')
    for said in ('<title>&lt;b&gt;A &amp; B</title>', '<p>x</p>', 'lang="en"', 'viewport',
                 """content="default-src 'none'; style-src 'unsafe-inline'\""""):
        assert said in page
    assert '<script' not in page and 'http' not in page.replace('http-equiv', '')
