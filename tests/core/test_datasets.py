"The catalogue: cards, downloads that go wrong in every way a small server can, and the real files where they are"
import gzip
import hashlib
import math
import re
import socket
import struct
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import numpy as np
import pytest

from dlcourse.core import datasets as catalogue
from dlcourse.core.datasets import (
    Card,
    Column,
    DataFile,
    Outcome,
    card,
    cards,
    fetch,
    file_fault,
    load,
    read_card,
    read_idx,
)
from dlcourse.core.errors import InputError
from dlcourse.core.files import project_path
from dlcourse.core.settings import settings

BODY = b'sex,paid\n' + b''.join(b'Female,%d\nMale,%d\n' % (i, i % 7) for i in range(20_000))


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    "No proxy between the test and its own server"
    monkeypatch.setenv('no_proxy', '*')


class Web:
    "A server of one body: what it does wrong can be set, what it was asked is kept"
    def __init__(self, body=BODY):
        self.body, self.etag, self.ranges, self.cut, self.chunked, self.status = body, '"v1"', True, None, False, None
        self.modified, self.shift = None, 0
        self.asked = []
        web = self
        class Handler(BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'
            def log_message(self, *_): pass
            def do_GET(self): web.answer(self)
        self.server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.server.daemon_threads = True
        self.thread = Thread(target=self.server.serve_forever, kwargs=dict(poll_interval=.01), daemon=True)
        self.thread.start()
        self.address = f'http://127.0.0.1:{self.server.server_port}/t'

    def answer(self, h):
        self.asked.append(dict(h.headers))
        h.close_connection = True
        if self.status:
            h.send_response(self.status); h.send_header('Location', 'ftp://127.0.0.1/t'); h.send_header('Content-Length', '0'); return h.end_headers()
        start, validators = 0, [v for v in (self.etag, self.modified) if v]
        if self.ranges and (wanted := re.fullmatch(r'bytes=(\d+)-', h.headers.get('Range', ''))):
            if h.headers.get('If-Range') in validators: start = int(wanted[1])
        if start >= len(self.body): h.send_response(416); h.send_header('Content-Length', '0'); return h.end_headers()
        h.send_response(206 if start else 200)
        if start: h.send_header('Content-Range', f'bytes {start + self.shift}-{len(self.body)-1}/{len(self.body)}')
        if self.etag: h.send_header('ETag', self.etag)
        if self.modified: h.send_header('Last-Modified', self.modified)
        if not self.chunked: h.send_header('Content-Length', str(len(self.body) - start))
        h.end_headers()
        cut, self.cut = self.cut, None # Once
        h.wfile.write(self.body[start:start+cut] if cut else self.body[start:])

    def close(self): self.server.shutdown(); self.server.server_close(); self.thread.join()


@pytest.fixture
def web():
    servers = []
    def start(body=BODY):
        servers.append(Web(body))
        return servers[-1]
    yield start
    for s in servers: s.close()


def toy(*addresses, body=BODY, path='t.csv', **changes):
    file = DataFile(path=path, size=len(body), sha256=hashlib.sha256(body).hexdigest(), addresses=addresses)
    return Card(**dict(name='toy', title="Toy", kind='downloaded', format='table', summary="A toy", source="Here", license="None", not_for=("all",),
                       columns=(Column(name='sex', type='text', meaning=""), Column(name='paid', type='integer', meaning="")), files=(file,)) | changes)

def failure(which, home):
    with pytest.raises(InputError) as e: fetch(which, home, progress=False)
    return str(e.value)

def left(home): return sorted(p.name for p in (home/'toy').iterdir() if p.name != '.lock')


# Downloads

def test_fresh(web, tmp_path):
    w = web()
    got = fetch(toy(w.address), tmp_path)
    assert got == {'t.csv': tmp_path/'toy'/'t.csv'} and got['t.csv'].read_bytes() == BODY
    assert left(tmp_path) == ['t.csv'] and len(w.asked) == 1
    fetch(toy(w.address), tmp_path)
    assert len(w.asked) == 1 # There and right: nobody is asked again
    assert load(toy(w.address), tmp_path).shape == (40_000, 2)

def test_home_is_the_setting(web, tmp_path, monkeypatch):
    monkeypatch.setenv('DLCOURSE_DATA', str(tmp_path/'home'))
    assert fetch(toy(web().address))['t.csv'] == tmp_path/'home'/'toy'/'t.csv'

def test_goes_on_after_a_cut_at_once(web, tmp_path):
    w = web()
    w.cut = 100_000
    assert fetch(toy(w.address), tmp_path)['t.csv'].read_bytes() == BODY
    assert [a.get('Range') for a in w.asked] == [None, 'bytes=100000-'] and w.asked[1]['If-Range'] == '"v1"'

def interrupted(web, tmp_path, monkeypatch, **server):
    "A server that was asked once, and broke off; the next process finds the .part"
    w = web()
    for k, v in server.items(): setattr(w, k, v)
    w.cut = 100_000
    with monkeypatch.context() as m:
        m.setattr(catalogue, 'TRIES', 1)
        assert f'broke off after 100,000 of {len(BODY):,} bytes' in failure(toy(w.address), tmp_path)
    assert (tmp_path/'toy'/'t.csv.part').stat().st_size == 100_000 and not (tmp_path/'toy'/'t.csv').exists()
    w.asked.clear()
    return w

def test_goes_on_in_another_run(web, tmp_path, monkeypatch):
    w = interrupted(web, tmp_path, monkeypatch)
    assert fetch(toy(w.address), tmp_path)['t.csv'].read_bytes() == BODY
    assert [a.get('Range') for a in w.asked] == ['bytes=100000-'] and left(tmp_path) == ['t.csv']

def test_goes_on_by_date_where_the_etag_is_weak(web, tmp_path, monkeypatch):
    w = interrupted(web, tmp_path, monkeypatch, etag='W/"v1"', modified='Sun, 22 Nov 2026 14:00:00 GMT')
    fetch(toy(w.address), tmp_path)
    assert w.asked[0]['If-Range'] == 'Sun, 22 Nov 2026 14:00:00 GMT'

@pytest.mark.parametrize('server', [dict(ranges=False), dict(etag=''), dict(etag='W/"v1"')], ids=str)
def test_server_that_cannot_resume_starts_over(web, tmp_path, monkeypatch, server):
    w = interrupted(web, tmp_path, monkeypatch, **server)
    assert fetch(toy(w.address), tmp_path)['t.csv'].read_bytes() == BODY and len(w.asked) == 1

def test_changed_on_the_server_starts_over(web, tmp_path, monkeypatch):
    w = interrupted(web, tmp_path, monkeypatch)
    part = tmp_path/'toy'/'t.csv.part'
    part.write_bytes(b'x'*100_000)
    w.etag = '"v2"'
    assert fetch(toy(w.address), tmp_path)['t.csv'].read_bytes() == BODY

def test_part_beyond_the_end_starts_over(web, tmp_path, monkeypatch):
    w = interrupted(web, tmp_path, monkeypatch)
    (tmp_path/'toy'/'t.csv.part').write_bytes(b'x'*(len(BODY) + 5))
    assert fetch(toy(w.address), tmp_path)['t.csv'].read_bytes() == BODY
    assert [a.get('Range') for a in w.asked] == [f'bytes={len(BODY) + 5}-', None] # Answered with 416

def test_whole_part_needs_no_network(tmp_path):
    (tmp_path/'toy').mkdir()
    (tmp_path/'toy'/'t.csv.part').write_bytes(BODY)
    assert fetch(toy('http://127.0.0.1:9/t'), tmp_path)['t.csv'].read_bytes() == BODY and left(tmp_path) == ['t.csv']

def test_another_range_than_asked_for_is_refused(web, tmp_path, monkeypatch):
    w = interrupted(web, tmp_path, monkeypatch)
    w.shift = 1
    assert 'another range came than was asked for' in failure(toy(w.address), tmp_path)

@pytest.mark.parametrize('note', ['', '[]', '{"address": 3}', '{"version": "\\"v1\\""}'])
def test_spoilt_note_starts_over(web, tmp_path, monkeypatch, note):
    w = interrupted(web, tmp_path, monkeypatch)
    (tmp_path/'toy'/'t.csv.part.json').write_text(note)
    assert fetch(toy(w.address), tmp_path)['t.csv'].read_bytes() == BODY and 'Range' not in w.asked[0]

def test_wrong_digest(web, tmp_path):
    w = web(BODY.replace(b'Male', b'male'))
    message = failure(toy(w.address), tmp_path)
    assert '`t.csv` of toy' in message and f'expected sha256 {hashlib.sha256(BODY).hexdigest()}' in message
    assert f'got {hashlib.sha256(w.body).hexdigest()}' in message and left(tmp_path) == []

@pytest.mark.parametrize('chunked, text', [(False, 'bytes are offered, the card allows'), (True, 'bytes came, which is what the card allows')])
def test_oversize_is_refused(web, tmp_path, chunked, text):
    w = web(BODY + b'\n')
    w.chunked = chunked
    assert text in failure(toy(w.address), tmp_path) and left(tmp_path) == []

def test_second_address(web, tmp_path):
    bad, good = web(b'other'), web()
    with socket.socket() as s: s.bind(('127.0.0.1', 0)); closed = s.getsockname()[1]
    which = toy(f'http://127.0.0.1:{closed}/t', bad.address, good.address)
    assert fetch(which, tmp_path)['t.csv'].read_bytes() == BODY
    assert len(bad.asked) == len(good.asked) == 1 and left(tmp_path) == ['t.csv']

def test_part_of_one_address_is_not_continued_from_another(web, tmp_path, monkeypatch):
    interrupted(web, tmp_path, monkeypatch)
    w = web()
    fetch(toy(w.address), tmp_path)
    assert 'Range' not in w.asked[0]

def test_offline_says_what_to_get_and_where_to_put_it(tmp_path):
    with socket.socket() as s: s.bind(('127.0.0.1', 0)); closed = s.getsockname()[1]
    message = failure(toy(f'http://127.0.0.1:{closed}/t'), tmp_path)
    assert f"Get it from http://127.0.0.1:{closed}/t and put it at {tmp_path/'toy'/'t.csv'}" in message
    assert 'refused' in message and 'or set DLCOURSE_DATA to a folder that has toy/t.csv' in message

def test_not_found_is_asked_once(web, tmp_path):
    w = web()
    w.status = 404
    assert 'HTTP Error 404' in failure(toy(w.address), tmp_path) and len(w.asked) == 1

def test_redirect_leaves_http_for_nothing_else(web, tmp_path):
    w = web()
    w.status = 302
    assert 'not allowed' in (m := failure(toy(w.address), tmp_path)) or 'unknown url type' in m

def test_silent_server_times_out(tmp_path, monkeypatch):
    monkeypatch.setattr(catalogue, 'TIMEOUT', .2)
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0)); s.listen()
        assert 'timed out' in failure(toy(f'http://127.0.0.1:{s.getsockname()[1]}/t'), tmp_path)

def test_wrong_file_is_left_alone(web, tmp_path):
    w = web()
    path = tmp_path/'toy'/'t.csv'
    path.parent.mkdir()
    path.write_bytes(b'mine')
    message = failure(toy(w.address), tmp_path)
    assert f'`{path}` is not the file on the card of toy' in message and 'It was left alone; move it away' in message
    assert path.read_bytes() == b'mine' and not w.asked

def test_home_that_cannot_be_written(tmp_path):
    (tmp_path/'file').write_text('')
    message = failure(toy('http://127.0.0.1:9/t'), tmp_path/'file')
    assert 'cannot be written' in message and 'set DLCOURSE_DATA' in message

def test_read_only_home_with_the_files(web, tmp_path):
    w = web()
    path = fetch(toy(w.address), tmp_path)['t.csv']
    (path.parent/'.lock').unlink()
    path.parent.chmod(0o555)
    try: assert fetch(toy(w.address), tmp_path)['t.csv'] == path and [p.name for p in path.parent.iterdir()] == ['t.csv']
    finally: path.parent.chmod(0o755)

def test_threads_at_once(web, tmp_path):
    w = web()
    with ThreadPoolExecutor(8) as pool: got = list(pool.map(lambda _: fetch(toy(w.address), tmp_path)['t.csv'].read_bytes(), range(8)))
    assert set(got) == {BODY} and len(w.asked) == 1

def test_processes_at_once(web, tmp_path):
    w = web()
    code = ("import sys; from dlcourse.core.datasets import *\n"
            f"f = DataFile(path='t.csv', size={len(BODY)}, sha256='{hashlib.sha256(BODY).hexdigest()}', addresses=('{w.address}',))\n"
            "c = Card(name='toy', title='', kind='downloaded', format='text', summary='', source='', license='', not_for=('all',), files=(f,))\n"
            f"print(len(load(c, {str(tmp_path)!r})))")
    running = [subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    assert [p.communicate(timeout=60)[0].strip() for p in running] == [str(len(BODY))]*3
    assert len(w.asked) == 1 and left(tmp_path) == ['t.csv']

def test_gzip_is_known_by_what_is_inside(web, tmp_path):
    for level in (1, 9):
        w = web(gzip.compress(BODY, level))
        which = toy(w.address, path='t.csv.gz', format='text')
        assert load(which, tmp_path/str(level)) == BODY.decode()
        assert file_fault(fetch(which, tmp_path/str(level))['t.csv.gz'], which.files[0]) is None

@pytest.mark.parametrize('body, text', [(gzip.compress(bytes(50_000_000)), 'more than the'), (gzip.compress(BODY)[:-20], 'not a whole gzip file'), (b'BODY', 'not a whole gzip file')])
def test_gzip_that_is_a_bomb_or_broken(web, tmp_path, body, text):
    assert text in failure(toy(web(body).address, path='t.csv.gz'), tmp_path) and left(tmp_path) == []

def test_bar_is_drawn_on_a_terminal_only(capsys, monkeypatch):
    with catalogue._bar('t.csv', True) as show: show(1, 2)
    assert capsys.readouterr().err == ''
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: True)
    with catalogue._bar('t.csv', False) as show: show(1, 2)
    assert capsys.readouterr().err == ''
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: True)
    with catalogue._bar('t.csv', True) as show: show(1, 2)
    assert 't.csv' in capsys.readouterr().err


# Cards

GOOD = """title = "Toy"
kind = "embedded"
format = "table"
summary = "A toy"
source = "Here"
license = "None"
not_for = ["all"]
columns = [{ name = "sex", type = "text", meaning = "<b>" }]
[[files]]
path = "toy.csv"
size = 3
sha256 = "%s"
""" % ('0'*64)

def written(tmp_path, text):
    (tmp_path/'toy').mkdir(exist_ok=True)
    (tmp_path/'toy'/'card.toml').write_text(text)
    return tmp_path/'toy'/'card.toml'

def test_good_card(tmp_path): assert read_card(written(tmp_path, GOOD)).name == 'toy'

@pytest.mark.parametrize('old, new, text', [
    ('title = "Toy"\n', '', '`title` is missing in a Card'),
    ('title', 'titel', '`titel` is no key of a Card; there are: name, title'),
    ('path = "toy.csv"\n', '', '`path` is missing in a DataFile'),
    ('meaning', 'means', '`means` is no key of a Column'),
    ('"embedded"', '"found"', '`kind` must be embedded, library or downloaded, got \'found\''),
    ('"embedded"', '"downloaded"', '`addresses` of toy.csv must not be empty'),
    ('"table"', '"frame"', '`format` must be table, arrays, text or topics'),
    ('["all"]', '[]', '`not_for` must not be empty'),
    ('["all"]', '"all"', "`not_for` must be of type tuple, got 'all'"),
    ('["all"]', '[""]', "`not_for` must be sentences, got ''"),
    ('toy.csv', '../toy.csv', "`path` must be a path of plain names below the data set's folder, got '../toy.csv'"),
    ('toy.csv', 'a/../../toy.csv', '`path` must be'),
    ('toy.csv', '/etc/passwd', '`path` must be'),
    ('toy.csv', 'C:/toy.csv', '`path` must be'),
    ('toy.csv', '..\\\\toy.csv', '`path` must be'),
    ('toy.csv', '.ssh/toy.csv', '`path` must be'),
    ('"%s"' % ('0'*64), '"00"', '`sha256` must be 64 hexadecimal digits'),
    ('size = 3', 'size = 0', '`size` must be a number of bytes from 1'),
    ('size = 3', 'size = "3"', "`size` must be of type int, got '3'"),
    ('size = 3', 'size = 3\naddresses = ["ftp://x/y"]', "`addresses` must be http or https addresses, got 'ftp://x/y'"),
    ('size = 3', 'size = 3\naddresses = ["file:///etc/passwd"]', "`addresses` must be"),
    ('type = "text"', 'type = "date"', '`type` must be text, integer or number'),
    ('not_for', 'sensitive = ["race"]\nnot_for', '`race` must stand once among the columns, and stands there 0 times'),
    ('not_for', 'label = { column = "y", meaning = "" }\nnot_for', '`y` must stand once among the columns'),
    ('not_for', 'label = "sex"\nnot_for', "`Outcome` must be a table of keys and values, got 'sex'"),
    ('not_for', 'name = "other"\nnot_for', "`name` must be the folder's, got 'other'"),
    ('title = "Toy"', 'title = ', 'Invalid value'),
], ids=lambda x: None)
def test_bad_card(tmp_path, old, new, text):
    assert old in GOOD
    with pytest.raises(InputError) as e: read_card(written(tmp_path, GOOD.replace(old, new, 1)))
    assert text in str(e.value) and str(e.value).startswith(f"{tmp_path.name}/toy/card.toml: ")

def test_name_is_plain():
    with pytest.raises(InputError, match='`path` must be'): DataFile(path='toy.csv\n', sha256='0'*64, size=1)
    for name in ('..', 'a/b', '', '/etc', '-x'):
        with pytest.raises(InputError, match='`name` must be a plain name'): toy('http://x/t', name=name)

def test_unknown_card():
    with pytest.raises(InputError, match=r'`compass` is no data set; did you mean `compas`\?'): card('compass')
    with pytest.raises(InputError, match='`../x` is no data set; there are: adult, '): card('../x')
    with pytest.raises(InputError, match='`elsewhere` is on no list of what libraries carry'):
        load(Card(name='elsewhere', title='', kind='library', format='text', summary='', source='', license='', not_for=('all',)))

def test_html_is_escaped_and_text_is_plain(tmp_path):
    c = toy('http://x/t', title='<script>alert(1)</script>', notes=('<img src=x onerror=alert(1)>',), not_for=('a & b',),
            columns=(Column(name='<b>', type='text', meaning='"<i>"'),), label=Outcome(column='<b>', meaning='<u>', favorable=('<s>',)))
    html = c._repr_html_()
    assert not re.search(r'<(script|img|b>:|i>|u>|s>)', html) and '&lt;script&gt;alert(1)' in html and 'a &amp; b' in html
    assert '<script>alert(1)</script>' in str(c) and 'a & b' in str(c)

SHIPPED = sorted(p.parent.name for p in project_path('datasets').glob('*/card.toml'))

def test_what_is_shipped():
    assert {'lending', 'digits', 'breast_cancer', 'pydoc_topics', 'compas', 'adult', 'mnist', 'tinyshakespeare'} <= set(SHIPPED)
    assert list(cards()) == SHIPPED

@pytest.mark.parametrize('name', SHIPPED)
def test_shipped_card(name):
    c = card(name)
    for key in ('title', 'summary', 'source', 'license', 'not_for', 'notes', 'results', 'unit'): assert getattr(c, key), key
    assert c.format != 'table' or (c.label and c.rows)
    assert c.name in str(c) and max(map(len, (s for s in str(c).splitlines() if '://' not in s))) <= 100
    raw = tomllib.loads((project_path('datasets', name)/'card.toml').read_text(encoding='utf-8'))
    assert set(raw) <= {f.name for f in fields(Card)}

@pytest.mark.parametrize('name', [n for n in SHIPPED if card(n).kind == 'embedded'])
def test_embedded_loads(name, tmp_path):
    frame = load(name, tmp_path)
    header = project_path('datasets', name, card(name).files[0].path).read_text(encoding='utf-8').splitlines()[0].split(',')
    assert frame.columns == header and frame.height == card(name).rows and not list(tmp_path.iterdir())

def test_digits():
    d = load('digits')
    assert d['images'].shape == (1797, 8, 8) and d['images'].dtype == 'uint8' and d['images'].max() == 16
    assert sorted(set(d['labels'].tolist())) == list(range(10)) and d['labels'].dtype == 'int64' and fetch('digits') == {}

def test_breast_cancer():
    frame = load('breast_cancer')
    assert frame.shape == (569, 31) and frame.columns == [c.name for c in card('breast_cancer').columns]
    assert frame['target'].value_counts().sort('target')['count'].to_list() == [212, 357]

def test_pydoc_topics():
    topics = load('pydoc_topics')
    assert 'loating' in topics['numbers'] and all(isinstance(t, str) for t in topics.values()) and topics is not load('pydoc_topics')

def test_import_is_light():
    code = "import sys, dlcourse.core.datasets; print([m for m in ('polars', 'sklearn', 'rich', 'duckdb', 'numpy', 'urllib.request', 'matplotlib') if m in sys.modules])"
    assert subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout.strip() == '[]'


# Reading

def idx(shape, data): return b'\0\0\x08' + bytes([len(shape)]) + struct.pack(f'>{len(shape)}I', *shape) + data

def test_idx():
    a = read_idx(idx((2, 3), bytes(range(6))))
    assert a.tolist() == [[0, 1, 2], [3, 4, 5]] and a.flags.writeable

@pytest.mark.parametrize('data', [b'', b'\0\0\x08', b'\0\0\x09\x01\0\0\0\x01a', idx((2, 3), b'12345'), idx((2, 3), b'1234567'), idx((2**31, 2**31, 4), b''), b'\0\0\x08\x03' + b'\0'*4])
def test_bad_idx(data):
    with pytest.raises(InputError, match='an IDX file of'): read_idx(data)

def table(tmp_path, body, **changes):
    (tmp_path/'toy').mkdir(exist_ok=True)
    (tmp_path/'toy'/'t.csv').write_bytes(body)
    return load(toy('http://127.0.0.1:9/t', body=body, **changes), tmp_path)

def test_table_without_header(tmp_path):
    frame = table(tmp_path, b' Female, 007.\n?, 2.\n\n', header=False, strip=' .', missing='?')
    assert frame.to_dict(as_series=False) == dict(sex=['Female', None], paid=[7, 2])

def test_table_parts_and_types(tmp_path):
    columns = (Column(name='code', type='text', meaning=""), Column(name='x', type='number', meaning=""))
    body = b'code,x\n007,1\n,"2.5"\n'
    file = DataFile(path='t.csv', holds='train', size=len(body), sha256=hashlib.sha256(body).hexdigest(), addresses=('http://127.0.0.1:9/t',))
    frame = table(tmp_path, body, columns=columns, files=(file, replace(file, holds='test')))
    assert frame.rows() == [('007', 1., 'train'), (None, 2.5, 'train'), ('007', 1., 'test'), (None, 2.5, 'test')]

def test_table_of_another_width(tmp_path):
    with pytest.raises(InputError, match='`t.csv` has 3 columns, the card of toy has 2'): table(tmp_path, b'a,b,c\n1,2,3\n')


# The real files, where the data home has them

def real(name):
    "The data, or skip where a file of it is not in the data home: tests download nothing"
    home = settings().data_home
    if absent := [f.path for f in card(name).files if not (home/name/f.path).is_file()]:
        pytest.skip(f"{name}/{absent[0]} is not in the data home; set DLCOURSE_DATA to a folder that has it")
    return load(name)

def test_mnist():
    d = real('mnist')
    assert d['images'].shape == (60_000, 28, 28) and d['test_images'].shape == (10_000, 28, 28)
    assert [(d['labels'] == n).sum() for n in range(10)] == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert [(d['test_labels'] == n).sum() for n in range(10)] == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert d['images'].dtype == 'uint8' and d['images'].max() == 255

def test_compas():
    frame = real('compas')
    assert frame.shape == (7214, 53)
    lines = (settings().data_home/'compas'/'compas-scores-two-years.csv').read_text().splitlines()[0].split(',')
    assert [re.sub('_1$', '', c) if c in ('decile_score_1', 'priors_count_1') else c for c in frame.columns] == lines
    for a in ('decile_score', 'priors_count'): assert (frame[a] == frame[f'{a}_1']).all()
    rates = {}
    for race in ('African-American', 'Caucasian'):
        rows = [(score != 'Low', y == 1) for score, y, r in frame.select('score_text', 'two_year_recid', 'race').rows() if r == race]
        innocent, charged = [p for p, y in rows if not y], [p for p, y in rows if y]
        rates[race] = round(100*sum(innocent)/len(innocent), 1), round(100 - 100*sum(charged)/len(charged), 1)
    assert rates == {'African-American': (44.8, 28.0), 'Caucasian': (23.5, 47.7)} # 805 of 1,795 is 44.847 %; published as 44.85, hence 44.9
    late = [y for day, y in frame.select('compas_screening_date', 'two_year_recid').rows() if day > '2014-04-01']
    assert len(late) == sum(late) == 998 and round((frame['two_year_recid'].sum() - 998)/(7214 - 998), 3) == .362

def test_adult():
    frame = real('adult')
    counts = dict(frame['split'].value_counts().rows())
    assert counts == dict(train=32_561, test=16_281) and frame.width == 16
    assert set(frame['income']) == {'<=50K', '>50K'} and frame['income'].eq('>50K').sum() == 7841 + 3846
    assert [frame[c].null_count() for c in ('workclass', 'occupation', 'native-country')] == [2799, 2809, 857]
    assert sum(frame.null_count().row(0)) == 2799 + 2809 + 857 and frame['age'].max() == 90

def test_tinyshakespeare():
    text = real('tinyshakespeare')
    assert len(text) == 1_115_394 and len(set(text)) == 65 and text.startswith('First Citizen:') and round(math.log(65), 2) == 4.17


# Splits

def test_digits_stand_writer_by_writer():
    "Fourteen sheets of some 130 digits, each by another hand: halves of one sheet are closer than any two sheets"
    d = load('digits')
    x, y, w = d['images'].reshape(-1, 64)/16, d['labels'], d['writers']
    assert w.dtype == 'int64' and (np.diff(w) >= 0).all() and np.bincount(w).tolist() == [130, 126, 130, 130, 130, 130, 130, 123, 128, 130, 128, 130, 122, 130]
    def rows(s, k): return x[(w == s) & (y == k)]
    def apart(a, b): return np.mean([np.linalg.norm(a(k).mean(0) - b(k).mean(0)) for k in range(10)])
    within = [apart(lambda k: rows(s, k)[::2], lambda k: rows(s, k)[1::2]) for s in range(14)] # noqa: B023
    between = [apart(lambda k: rows(a, k), lambda k: rows(b, k)) for a in range(14) for b in range(a)] # noqa: B023
    assert round(max(within), 2) == .84 and round(min(between), 2) == 1.12 # As the card says
    texts = [''.join(map(str, y[w == s])) for s in range(14)]
    full = max(texts, key=len)
    for text in texts: # The same text, but for a few images that are missing
        rest = iter(full)
        assert all(digit in rest for digit in text)

def test_digits_split_by_writer():
    d, (train, valid, test) = load('digits'), load('digits', split='writer')
    assert [len(p.x) for p in (train, valid, test)] == [776, 130, 891]
    assert np.array_equal(np.concatenate([train.x, valid.x, test.x]), (d['images'].reshape(-1, 64)/16).astype('float32'))
    assert np.array_equal(np.concatenate([train.y, valid.y, test.y]), d['labels'])
    ends = np.cumsum([len(p.y) for p in (train, valid)])
    parts = np.split(d['writers'], ends)
    assert not set(parts[0]) & set(parts[1]) and not set(parts[1]) & set(parts[2]) and not set(parts[0]) & set(parts[2])
    assert all(set(p.y) == set(range(10)) and p.x.dtype == 'float32' and p.y.dtype == 'int64' and 0 <= p.x.min() < p.x.max() == 1 for p in (train, valid, test))

def test_parts_as_tensors():
    torch = pytest.importorskip('torch')
    parts = load('digits', split='writer')
    for array, tensor in zip(parts, parts.tensors(), strict=True):
        assert tensor.x.dtype == torch.float32 and tensor.y.dtype == torch.int64
        assert np.array_equal(tensor.x, array.x) and np.array_equal(tensor.y, array.y)
    assert parts.tensors('meta').test.x.device.type == 'meta'

@pytest.mark.parametrize('name, split, says', [
    ('digits', 'official', "`split` of digits must be writer; got 'official'"),
    ('breast_cancer', 'writer', "`split` of breast_cancer cannot be given, for it comes whole; got 'writer'"),
    ('pydoc_topics', 'official', "`split` of pydoc_topics cannot be given, for it comes whole; got 'official'")])
def test_an_unknown_split_is_refused_with_what_there_is(name, split, says):
    with pytest.raises(InputError) as e: load(name, split=split)
    assert str(e.value) == says

def test_the_official_split_of_mnist():
    d, (train, valid, test) = real('mnist'), load('mnist', split='official')
    assert [p.x.shape for p in (train, valid, test)] == [(54_000, 784), (6_000, 784), (10_000, 784)]
    assert np.array_equal(test.y, d['test_labels']) and np.array_equal(np.concatenate([train.y, valid.y]), d['labels'])
    assert test.x.dtype == 'float32' and test.x.max() == 1 and np.array_equal(test.x[7]*255, d['test_images'][7].ravel())

def test_the_official_split_of_adult():
    real('adult')
    parts = load('adult', split='official')
    assert [len(p.y) for p in parts] == [29_305, 3_256, 16_281] and parts.test.y.sum() == 3846 and parts.test.x.width == 14
    assert not {'income', 'split'} & set(parts.train.x.columns)
    with pytest.raises(InputError, match="`workclass` holds words, and a tensor holds numbers; encode the columns workclass, education"): parts.tensors()
