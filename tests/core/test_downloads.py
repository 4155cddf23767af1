"Downloads that go wrong in every way a small server can"
import gc
import gzip
import hashlib
import io
import re
import socket
import subprocess
import sys
import tarfile
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from dlcourse.core import downloads
from dlcourse.core.cards import Card, Column, DataFile
from dlcourse.core.datasets import load
from dlcourse.core.downloads import data_folder, fetch, file_fault, is_here
from dlcourse.core.errors import InputError
from dlcourse.core.files import project_path

BODY = b'sex,paid\n' + b''.join(b'Female,%d\nMale,%d\n' % (i, i % 7) for i in range(20_000))
DIGEST = hashlib.sha256(BODY).hexdigest()
NOWHERE = 'http://127.0.0.1:9/t'


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    "No proxy between the test and its own server"
    monkeypatch.setenv('no_proxy', '*')


class Web:
    "A server of one body: what it does wrong can be set, what it was asked is kept"
    def __init__(self, body=BODY):
        self.body, self.etag, self.modified = body, '"v1"', None
        self.ranges, self.cut, self.chunked, self.status, self.shift = True, None, False, None, 0
        self.asked = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = 'HTTP/1.1'
            def log_message(self, *_): pass
            def do_GET(self): web.answer(self)

        self.server = ThreadingHTTPServer(('127.0.0.1', 0), Handler)
        self.server.daemon_threads = True
        self.thread = Thread(target=self.server.serve_forever, kwargs=dict(poll_interval=.01),
                             daemon=True)
        self.thread.start()
        self.address = f'http://127.0.0.1:{self.server.server_port}/t'

    def answer(self, h):
        self.asked.append(dict(h.headers))
        h.close_connection = True
        if self.status:
            return self.say(h, self.status,
                            {'Location': 'ftp://127.0.0.1/t', 'Content-Length': '0'})
        start, validators = 0, [v for v in (self.etag, self.modified) if v]
        wanted = re.fullmatch(r'bytes=(\d+)-', h.headers.get('Range', ''))
        if self.ranges and wanted and h.headers.get('If-Range') in validators:
            start = int(wanted[1])
        if start >= len(self.body): return self.say(h, 416, {'Content-Length': '0'})
        headers = {'ETag': self.etag, 'Last-Modified': self.modified}
        if start:
            last = len(self.body) - 1
            headers['Content-Range'] = f'bytes {start + self.shift}-{last}/{last + 1}'
        if not self.chunked: headers['Content-Length'] = str(len(self.body) - start)
        self.say(h, 206 if start else 200, headers)
        cut, self.cut = self.cut, None # Once
        h.wfile.write(self.body[start:start+cut] if cut else self.body[start:])

    def say(self, h, status, headers):
        h.send_response(status)
        for key, value in headers.items():
            if value: h.send_header(key, value)
        h.end_headers()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def web():
    servers = []
    def start(body=BODY):
        servers.append(Web(body))
        return servers[-1]
    yield start
    for s in servers: s.close()


@pytest.fixture
def closed():
    "An address at which nobody listens"
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    return f'http://127.0.0.1:{port}/t'


def toy(*addresses, body=BODY, path='t.csv', member='', **changes):
    file = DataFile(path=path, size=len(body), sha256=hashlib.sha256(body).hexdigest(),
                    addresses=addresses, member=member)
    columns = (Column(name='sex', type='text', meaning=""),
               Column(name='paid', type='integer', meaning=""))
    said = dict(name='toy', title="Toy", kind='downloaded', format='table', summary="A toy",
                source="Here", license="None", not_for=("all",), columns=columns, files=(file,))
    return Card(**said | changes)

def got(which, home): return fetch(which, home)[which.files[0].path].read_bytes()

def failure(which, home):
    with pytest.raises(InputError) as e: fetch(which, home, progress=False)
    return str(e.value)

def left(home): return sorted(p.name for p in (home/'toy').iterdir() if p.name != '.lock')

def ranges(w): return [asked.get('Range') for asked in w.asked]


# What is there, and what is not

def test_a_fresh_download_is_kept(web, tmp_path):
    w = web()
    found = fetch(toy(w.address), tmp_path)
    assert found == {'t.csv': tmp_path/'toy'/'t.csv'} and found['t.csv'].read_bytes() == BODY
    assert left(tmp_path) == ['t.csv'] and len(w.asked) == 1
    fetch(toy(w.address), tmp_path)
    assert len(w.asked) == 1 # There and right: nobody is asked again
    assert load(toy(w.address), tmp_path).shape == (40_000, 2)

def test_home_is_the_setting(web, tmp_path, monkeypatch):
    monkeypatch.setenv('DLCOURSE_DATA', str(tmp_path/'home'))
    assert fetch(toy(web().address))['t.csv'] == tmp_path/'home'/'toy'/'t.csv'

def test_models_lie_in_a_folder_of_their_own(web, tmp_path):
    model = toy(web().address, kind='model', format='weights')
    assert not is_here(model, tmp_path) and data_folder(model, tmp_path) == tmp_path/'models'/'toy'
    assert fetch(model, tmp_path)['t.csv'] == tmp_path/'models'/'toy'/'t.csv'
    assert is_here(model, tmp_path)

def test_embedded_files_lie_beside_their_card(tmp_path):
    path = project_path('datasets', 'lending', 'lending.csv')
    assert fetch('lending', tmp_path)['lending.csv'] == path
    assert not list(tmp_path.iterdir())

def test_a_wrong_file_is_left_alone(web, tmp_path):
    w = web()
    path = tmp_path/'toy'/'t.csv'
    path.parent.mkdir()
    path.write_bytes(b'mine')
    message = failure(toy(w.address), tmp_path)
    assert f'`{path}` is not the file on the card of toy' in message
    assert 'It was left alone; move it away' in message
    assert path.read_bytes() == b'mine' and not w.asked

def test_a_home_that_cannot_be_written_says_so(tmp_path):
    (tmp_path/'file').write_text('')
    message = failure(toy(NOWHERE), tmp_path/'file')
    assert 'cannot be written' in message and 'set DLCOURSE_DATA' in message

def test_a_read_only_home_with_the_files_is_enough(web, tmp_path):
    w = web()
    path = fetch(toy(w.address), tmp_path)['t.csv']
    (path.parent/'.lock').unlink(missing_ok=True)
    path.parent.chmod(0o555)
    try:
        assert fetch(toy(w.address), tmp_path)['t.csv'] == path
        assert [p.name for p in path.parent.iterdir()] == ['t.csv']
    finally: path.parent.chmod(0o755)


# Going on

def interrupted(web, tmp_path, monkeypatch, **server):
    "A server that was asked once, and broke off; the next process finds the .part"
    w = web()
    for k, v in server.items(): setattr(w, k, v)
    w.cut = 100_000
    with monkeypatch.context() as m:
        m.setattr(downloads, 'TRIES', 1)
        message = failure(toy(w.address), tmp_path)
    assert f'broke off after 100,000 of {len(BODY):,} bytes' in message
    assert (tmp_path/'toy'/'t.csv.part').stat().st_size == 100_000
    assert not (tmp_path/'toy'/'t.csv').exists()
    w.asked.clear()
    return w

def test_goes_on_after_a_cut_at_once(web, tmp_path):
    w = web()
    w.cut = 100_000
    assert got(toy(w.address), tmp_path) == BODY
    assert ranges(w) == [None, 'bytes=100000-'] and w.asked[1]['If-Range'] == '"v1"'

def test_goes_on_in_another_run(web, tmp_path, monkeypatch):
    w = interrupted(web, tmp_path, monkeypatch)
    assert got(toy(w.address), tmp_path) == BODY
    assert ranges(w) == ['bytes=100000-'] and left(tmp_path) == ['t.csv']

def test_goes_on_by_date_where_the_etag_is_weak(web, tmp_path, monkeypatch):
    day = 'Sun, 22 Nov 2026 14:00:00 GMT'
    w = interrupted(web, tmp_path, monkeypatch, etag='W/"v1"', modified=day)
    fetch(toy(w.address), tmp_path)
    assert w.asked[0]['If-Range'] == day

@pytest.mark.parametrize('server', [dict(ranges=False), dict(etag=''), dict(etag='W/"v1"')],
                         ids=str)
def test_a_server_that_cannot_resume_starts_over(web, tmp_path, monkeypatch, server):
    w = interrupted(web, tmp_path, monkeypatch, **server)
    assert got(toy(w.address), tmp_path) == BODY and len(w.asked) == 1

def test_a_change_on_the_server_starts_over(web, tmp_path, monkeypatch):
    w = interrupted(web, tmp_path, monkeypatch)
    (tmp_path/'toy'/'t.csv.part').write_bytes(b'x'*100_000)
    w.etag = '"v2"'
    assert got(toy(w.address), tmp_path) == BODY

def test_a_part_beyond_the_end_starts_over(web, tmp_path, monkeypatch):
    w = interrupted(web, tmp_path, monkeypatch)
    (tmp_path/'toy'/'t.csv.part').write_bytes(b'x'*(len(BODY) + 5))
    assert got(toy(w.address), tmp_path) == BODY
    assert ranges(w) == [f'bytes={len(BODY) + 5}-', None] # Answered with 416

def test_a_whole_part_needs_no_network(tmp_path):
    (tmp_path/'toy').mkdir()
    (tmp_path/'toy'/'t.csv.part').write_bytes(BODY)
    assert got(toy(NOWHERE), tmp_path) == BODY and left(tmp_path) == ['t.csv']

def test_another_range_than_asked_for_is_refused(web, tmp_path, monkeypatch):
    w = interrupted(web, tmp_path, monkeypatch)
    w.shift = 1
    assert 'another range came than was asked for' in failure(toy(w.address), tmp_path)

@pytest.mark.parametrize('note', ['', '[]', '{"address": 3}', '{"version": "\\"v1\\""}'])
def test_a_spoilt_note_starts_over(web, tmp_path, monkeypatch, note):
    w = interrupted(web, tmp_path, monkeypatch)
    (tmp_path/'toy'/'t.csv.part.json').write_text(note)
    assert got(toy(w.address), tmp_path) == BODY and 'Range' not in w.asked[0]

def test_a_part_of_one_address_is_not_continued_from_another(web, tmp_path, monkeypatch):
    interrupted(web, tmp_path, monkeypatch)
    w = web()
    fetch(toy(w.address), tmp_path)
    assert 'Range' not in w.asked[0]


# What is refused

def test_a_wrong_digest_is_refused_and_removed(web, tmp_path):
    w = web(BODY[:-1] + b'x')
    message = failure(toy(w.address), tmp_path)
    assert '`t.csv` of toy' in message and f'expected sha256 {DIGEST}' in message
    assert f'got {hashlib.sha256(w.body).hexdigest()}' in message and left(tmp_path) == []

@pytest.mark.parametrize('chunked, text', [
    (False, 'bytes are offered, the card allows'),
    (True, 'bytes came, which is what the card allows')])
def test_more_than_the_card_allows_is_refused(web, tmp_path, chunked, text):
    w = web(BODY + b'\n')
    w.chunked = chunked
    assert text in failure(toy(w.address), tmp_path) and left(tmp_path) == []

def test_a_second_address_is_asked(web, tmp_path, closed):
    bad, good = web(b'other'), web()
    assert got(toy(closed, bad.address, good.address), tmp_path) == BODY
    assert len(bad.asked) == len(good.asked) == 1 and left(tmp_path) == ['t.csv']

def test_offline_says_what_to_get_and_where_to_put_it(tmp_path, closed):
    message = failure(toy(closed), tmp_path)
    assert f"Get it from {closed} and put it at {tmp_path/'toy'/'t.csv'}" in message
    assert 'refused' in message and 'or set DLCOURSE_DATA to a folder that has toy/t.csv' in message

def test_not_found_is_asked_once(web, tmp_path):
    w = web()
    w.status = 404
    assert 'HTTP Error 404' in failure(toy(w.address), tmp_path) and len(w.asked) == 1

def test_a_redirect_leaves_http_for_nothing_else(web, tmp_path):
    w = web()
    w.status = 302
    message = failure(toy(w.address), tmp_path)
    assert 'not allowed' in message or 'unknown url type' in message

def test_a_silent_server_times_out(tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, 'TIMEOUT', .2)
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        s.listen()
        assert 'timed out' in failure(toy(f'http://127.0.0.1:{s.getsockname()[1]}/t'), tmp_path)


# Packed files

def test_gzip_is_known_by_what_is_inside(web, tmp_path):
    for level in (1, 9):
        w, home = web(gzip.compress(BODY, level)), tmp_path/str(level)
        which = toy(w.address, path='t.csv.gz', format='text')
        assert load(which, home) == BODY.decode()
        assert file_fault(fetch(which, home)['t.csv.gz'], which.files[0]) is None

@pytest.mark.parametrize('body, text', [
    (gzip.compress(bytes(50_000_000)), 'more than the'),
    (gzip.compress(BODY)[:-20], 'not a whole gzip file'),
    (b'BODY', 'not a whole gzip file')], ids=['bomb', 'cut', 'other'])
def test_gzip_that_is_a_bomb_or_broken_is_refused(web, tmp_path, body, text):
    assert text in failure(toy(web(body).address, path='t.csv.gz'), tmp_path)
    assert left(tmp_path) == []

def zipped(**members):
    out = io.BytesIO()
    with zipfile.ZipFile(out, 'w', zipfile.ZIP_DEFLATED) as z:
        for name, data in members.items(): z.writestr(f'inside/{name}', data)
    return out.getvalue()

def test_a_member_of_an_archive_is_taken_out(web, tmp_path):
    w = web(zipped(t=BODY, other=b'x'*1000))
    w.cut = 1000
    assert got(toy(w.address, member='inside/t'), tmp_path) == BODY
    assert ranges(w) == [None, 'bytes=1000-'] and left(tmp_path) == ['t.csv']

@pytest.mark.parametrize('body, text', [
    (zipped(u=BODY), 'no archive with inside/t came'),
    (b'PK', 'no archive with inside/t came'),
    (zipped(t=BODY)[:-30], 'no archive with inside/t came'),
    (zipped(t=BODY + b'x'), 'more than the'),
    (zipped(t=bytes(500_000_000)), 'more than the'),
    (zipped(t=BODY[:-1] + b'x'), 'expected sha256'),
], ids=['absent', 'no zip', 'cut', 'longer', 'bomb', 'other'])
def test_an_archive_without_the_file_is_refused(web, tmp_path, body, text):
    message = failure(toy(web(body).address, member='inside/t'), tmp_path)
    assert text in message and 'take inside/t out of it and put it at' in message
    assert left(tmp_path) == []


# Many at once

def tarred(folder, level, **members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode='w:gz', compresslevel=level) as archive:
        for name, body in members.items():
            entry = tarfile.TarInfo(f'{folder}/{name}.wav')
            entry.size = len(body)
            archive.addfile(entry, io.BytesIO(body))
    return out.getvalue()


def test_an_archive_is_known_by_the_files_in_it(web, tmp_path):
    lines = ''.join(f'{hashlib.sha256(b).hexdigest()}  {n}.wav\n' for n, b in
                    (('a', b'one'), ('b', b'two')))
    def card_of(address):
        file = DataFile(path='t.tar.gz', size=6, members='.wav', addresses=(address,),
                        sha256=hashlib.sha256(lines.encode()).hexdigest())
        return toy(path='t.tar.gz', format='text', files=(file,))
    for i, body in enumerate((tarred('x', 9, a=b'one', b=b'two'),
                              tarred('y/z', 0, b=b'two', a=b'one'))):
        w = web(body)
        assert got(card_of(w.address), tmp_path/str(i)) == body
    for i, (body, text) in enumerate(((tarred('x', 9, a=b'one', b=b'too'), 'expected sha256'),
                                      (tarred('x', 9, a=b'one'), '3 bytes, expected 6'),
                                      (tarred('x', 9, a=b'one', b=b'three'), 'more than 6 bytes'),
                                      (b'no archive', 'not a whole tar archive'))):
        assert text in failure(card_of(web(body).address), tmp_path/f'odd{i}')


def test_threads_at_once_ask_once(web, tmp_path):
    w = web()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: got(toy(w.address), tmp_path), range(8)))
    assert set(found) == {BODY} and len(w.asked) == 1

def test_processes_at_once_ask_once(web, tmp_path):
    w = web()
    code = f"""if True:
        from dlcourse.core.cards import Card, DataFile
        from dlcourse.core.datasets import load
        f = DataFile(path='t.csv', size={len(BODY)}, sha256='{DIGEST}', addresses=('{w.address}',))
        c = Card(name='toy', title='', kind='downloaded', format='text', summary='', source='',
                 license='', not_for=('all',), files=(f,))
        print(len(load(c, {str(tmp_path)!r})))
    """
    command, out = [sys.executable, '-c', code], subprocess.PIPE
    running = [subprocess.Popen(command, stdout=out, text=True) for _ in range(3)]
    assert [p.communicate()[0].strip() for p in running] == [str(len(BODY))]*3
    assert len(w.asked) == 1 and left(tmp_path) == ['t.csv']

def test_a_bar_is_shown_where_somebody_looks_unless_refused(web, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: True)
    fetch(toy(web().address), tmp_path/'a', progress=False)
    assert capsys.readouterr().err == ''
    monkeypatch.setattr(sys.stderr, 'isatty', lambda: True)
    fetch(toy(web().address), tmp_path/'b')
    assert 't.csv' in capsys.readouterr().err


# A server that is never silent

class Drip:
    "A server that sends a byte now and then: in its headers, or after them"
    def __init__(self, head):
        self.socket, self.head = socket.create_server(('127.0.0.1', 0)), head
        self.address = f'http://127.0.0.1:{self.socket.getsockname()[1]}/t'
        Thread(target=self.serve, daemon=True).start()

    def serve(self):
        try:
            while True:
                other, _ = self.socket.accept()
                with other, suppress(OSError):
                    other.recv(1 << 16)
                    other.sendall(self.head)
                    for _ in range(2000):
                        other.sendall(b'x')
                        time.sleep(.02)
        except OSError: pass # The test is over

@pytest.mark.parametrize('head', [
    b'HTTP/1.1 200 OK\r\nX-', b'HTTP', b'HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n',
    b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2000\r\n'])
def test_a_server_that_drips_has_a_limit(head, tmp_path, monkeypatch):
    monkeypatch.setattr(downloads, 'GRACE', .5)
    monkeypatch.setattr(downloads, 'PACE', 1e9)
    drip = Drip(head)
    message = failure(toy(drip.address), tmp_path)
    drip.socket.close()
    assert re.search(r'it took more than [01] s; \d+ bytes came', message)

# http.client leaves its socket to the collector where a length has too many digits
@pytest.mark.filterwarnings('ignore::pytest.PytestUnraisableExceptionWarning',
                            'ignore:unclosed:ResourceWarning')
@pytest.mark.parametrize('head', [
    'HTTP/1.1 404 \x1b[2J\x1b]0;owned\x07\r\n\r\n', 'SSH-2.0\r\n',
    'HTTP/1.1 200 OK\r\nContent-Length: \xb2\r\n\r\n',
    'HTTP/1.1 302 x\r\nLocation: http://[::1\r\n\r\n',
    'HTTP/1.1 200 OK\r\nETag: "\x9b31m\xe9"\r\nContent-Length: ' + '9'*5000 + '\r\n\r\nx',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n', ''])
def test_whatever_a_server_says_is_printable_and_short(head, tmp_path):
    listening = socket.create_server(('127.0.0.1', 0))
    def serve():
        try:
            while True:
                other, _ = listening.accept()
                with other, suppress(OSError):
                    other.recv(1 << 16)
                    other.sendall(head.encode('latin-1'))
        except OSError: pass # The test is over
    Thread(target=serve, daemon=True).start()
    message = failure(toy(f'http://127.0.0.1:{listening.getsockname()[1]}/t'), tmp_path)
    listening.close(), gc.collect()
    assert 'could not be downloaded' in message and message.isprintable() and len(message) < 1000

@pytest.mark.parametrize('note', ['[]', '{"version": 3}', '[' * 5000, '{"version": "a\\nb: c"}',
                                  '{"version": {}}', '\udcff'])
def test_a_damaged_note_begins_anew(web, tmp_path, monkeypatch, note):
    w = interrupted(web, tmp_path, monkeypatch)
    said = note.replace('{', f'{{"address": "{w.address}", ', 1) if ':' in note else note
    (tmp_path/'toy'/'t.csv.part.json').write_bytes(said.encode('utf-8', 'surrogateescape'))
    assert got(toy(w.address), tmp_path) == BODY and ranges(w) == [None]
