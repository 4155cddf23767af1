"Cards: what is wrong with one is said, what is right is shown, and those that ship say enough"
import re
import tomllib
from dataclasses import fields, replace

import pytest

from dlcourse.core.cards import (
    Card,
    Column,
    DataFile,
    TargetColumn,
    card,
    card_paths,
    cards,
    model_cards,
    read_card,
)
from dlcourse.core.errors import InputError
from dlcourse.core.files import project_path

DIGEST = '0'*64
GOOD = f"""title = "Toy"
kind = "embedded"
format = "table"
summary = "A toy"
source = "Here"
license = "None"
not_for = ["all"]
columns = [{{ name = "sex", type = "text", meaning = "<b>" }}]
[[files]]
path = "toy.csv"
size = 3
sha256 = "{DIGEST}"
"""

def written(tmp_path, text=GOOD):
    (tmp_path/'toy').mkdir(exist_ok=True)
    (tmp_path/'toy'/'card.toml').write_text(text)
    return tmp_path/'toy'/'card.toml'

def toy(tmp_path, **changes): return replace(read_card(written(tmp_path)), **changes)

def test_a_good_card_is_read(tmp_path): assert toy(tmp_path).name == 'toy'

PLAIN = "`path` must be a path of plain names below the data set's folder"

@pytest.mark.parametrize('old, new, text', [
    ('title = "Toy"\n', '', '`title` is missing in a Card'),
    ('title', 'titel', '`titel` is no key of a Card; there are: name, title'),
    ('path = "toy.csv"\n', '', '`path` is missing in a DataFile'),
    ('meaning', 'means', '`means` is no key of a Column'),
    ('"embedded"', '"found"', "`kind` must be embedded, library, downloaded or model, got 'found'"),
    ('"embedded"', '"downloaded"', '`addresses` of toy.csv must not be empty'),
    ('"embedded"', '"model"', '`addresses` of toy.csv must not be empty'),
    ('"table"', '"a table"', "`format` must be a plain word, such as table, got 'a table'"),
    ('not_for', 'reader = "os; x"\nnot_for',
     "`reader` must be a module, such as dlcourse.sequences.speech"),
    ('["all"]', '[]', '`not_for` must not be empty'),
    ('["all"]', '"all"', "`not_for` must be of type tuple, got 'all'"),
    ('["all"]', '[""]', "`not_for` must be sentences, got ''"),
    ('["all"]', '[3]', "`not_for` must be of type str, got 3"),
    ('toy.csv', '../toy.csv', f"{PLAIN}, got '../toy.csv'"),
    ('toy.csv', 'a/../../toy.csv', PLAIN),
    ('toy.csv', '/etc/passwd', PLAIN),
    ('toy.csv', 'C:/toy.csv', PLAIN),
    ('toy.csv', '..\\\\toy.csv', PLAIN),
    ('toy.csv', '.ssh/toy.csv', PLAIN),
    ('size = 3', 'size = 3\nmember = "../x"',
     "`member` must be a path of plain names inside the archive"),
    (f'"{DIGEST}"', '"00"', '`sha256` must be 64 hexadecimal digits'),
    ('size = 3', 'size = 0', '`size` must be a number of bytes from 1'),
    ('size = 3', 'size = "3"', "`size` must be of type int, got '3'"),
    ('size = 3', 'size = 3\naddresses = ["ftp://x/y"]',
     "`addresses` must be http or https addresses, got 'ftp://x/y'"),
    ('size = 3', 'size = 3\naddresses = ["file:///etc/passwd"]', "`addresses` must be"),
    ('type = "text"', 'type = "date"', '`type` must be text, integer or number'),
    ('not_for', 'sensitive = ["race"]\nnot_for',
     '`race` must stand once among the columns, and stands there 0 times'),
    ('not_for', 'label = { column = "y", meaning = "" }\nnot_for',
     '`y` must stand once among the columns'),
    ('not_for', 'label = "sex"\nnot_for',
     "`TargetColumn` must be a table of keys and values, got 'sex'"),
    ('not_for', 'name = "other"\nnot_for', "`name` must be the folder's, got 'other'"),
], ids=lambda x: None)
def test_a_bad_card_says_where_and_what(tmp_path, old, new, text):
    assert old in GOOD
    with pytest.raises(InputError) as e: read_card(written(tmp_path, GOOD.replace(old, new, 1)))
    assert text in str(e.value) and str(e.value).startswith(f"{tmp_path.name}/toy/card.toml: ")

def test_a_card_that_is_no_toml_says_so(tmp_path):
    path = written(tmp_path, 'title = ')
    with pytest.raises(InputError) as e: read_card(path)
    assert str(e.value) == f"`{path}` is not TOML: Invalid value (at end of document)"

def test_names_are_plain(tmp_path):
    with pytest.raises(InputError, match='`path` must be'):
        DataFile(path='toy.csv\n', sha256=DIGEST, size=1)
    for name in ('..', 'a/b', '', '/etc', '-x'):
        with pytest.raises(InputError, match='`name` must be a plain name'):
            toy(tmp_path, name=name)

def test_an_unknown_name_gets_the_nearest_that_is():
    with pytest.raises(InputError, match=r'`compass` is no data set; did you mean `compas`\?'):
        card('compass')
    with pytest.raises(InputError, match='`../x` is no data set; there are: adult, '): card('../x')

def test_html_is_escaped_and_text_is_plain(tmp_path):
    label = TargetColumn(column='<b>', meaning='<u>', favorable=('<s>',))
    c = toy(tmp_path, title='<script>alert(1)</script>', notes=('<img src=x onerror=alert(1)>',),
            not_for=('a & b',), label=label,
            columns=(Column(name='<b>', type='text', meaning='"<i>"'),))
    html = c._repr_html_()
    assert not re.search(r'<(script|img|b>:|i>|u>|s>)', html)
    assert '&lt;script&gt;alert(1)' in html and 'a &amp; b' in html
    assert '<script>alert(1)</script>' in str(c) and 'a & b' in str(c)


# Those that ship

SHIPPED = sorted(p.parent.name for p in project_path('datasets').glob('*/card.toml'))
EMBEDDED = {'lending', 'digits', 'breast_cancer', 'pydoc_topics', 'compas', 'adult', 'mnist',
            'tinyshakespeare'}

def test_data_sets_and_models_are_listed_apart():
    assert sorted([*cards(), *model_cards()]) == SHIPPED == list(card_paths())
    assert set(cards()) >= EMBEDDED
    assert set(model_cards()) >= {'all-MiniLM-L6-v2', 'efficientnet-lite0'}

@pytest.mark.parametrize('name', SHIPPED)
def test_a_card_that_ships_says_enough(name):
    c = card(name)
    for key in ('title', 'summary', 'source', 'license', 'not_for', 'notes', 'results', 'unit'):
        assert getattr(c, key), key
    assert c.format != 'table' or (c.label and c.rows)
    lines = [line for line in str(c).splitlines() if '://' not in line]
    assert c.name in str(c) and max(map(len, lines)) <= 100
    raw = tomllib.loads((project_path('datasets', name)/'card.toml').read_text(encoding='utf-8'))
    assert set(raw) <= {f.name for f in fields(Card)}
