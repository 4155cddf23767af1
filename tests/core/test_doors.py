"Every reader of somebody's file: a sentence that names the file, no waiting, no traceback"
import io
import json
import lzma
import os
import signal
import tarfile
import tracemalloc
import zipfile
from contextlib import contextmanager

import numpy as np
import pytest

from dlcourse.core.cards import Card, DataFile
from dlcourse.core.datasets import READERS
from dlcourse.core.downloads import fetch
from dlcourse.core.errors import InputError
from dlcourse.core.files import apart, check_file, file_bytes, tar_archive
from dlcourse.core.pretrained import load_weights
from dlcourse.core.settings import read_settings_file, settings, usual_data_home
from dlcourse.core.tables import open_table
from dlcourse.core.toml import build, read_toml
from dlcourse.data.streams import Stream
from dlcourse.federated.certificates import read_certificate
from dlcourse.federated.site_runs import read_run
from dlcourse.grading.grading import Kept, kept_beside
from dlcourse.graphs.planetoid import unpickled
from dlcourse.paradigms.cifar import read_cifar
from dlcourse.privacy.ledger import read_ledger
from dlcourse.privacy.tolerated import read_privacy_policy
from dlcourse.training.checkpoints import load_state
from dlcourse.transformers.gpt2_weights import load_gpt2
from dlcourse.transformers.search import SentenceMeaning, kept_vectors
from dlcourse.vision.omniglot import read_characters, read_runs
from dlcourse.vision.scans import unpacked

PIPES = pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='no pipes here')


@contextmanager
def at_most(seconds):
    "Whoever waits for longer is interrupted, and the test fails"
    def late(*_): raise TimeoutError("it waits")
    old = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try: yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)


def made_card(format, path='it.csv'):
    return Card(name='made', title='t', kind='library', format=format, summary='s', source='x',
                license='CC0', not_for=('y',), files=(DataFile(path=path, sha256=64*'0', size=9),),
                **(dict(columns=(), rows=1) if format != 'table' else {}))


def by_card(format):
    def read(path): return READERS[format](made_card(format, path.name), {path.name: path})
    return read


def kept(path):
    beside = kept_beside(path.parent/'grades.csv')
    path.rename(beside)
    return Kept(path.parent/'grades.csv')


def config(path):
    path.rename(path.parent/'config.json')
    return load_gpt2(path.parent)


READ = dict(
    state=load_state, weights=lambda path: load_weights(path.rename(path.with_suffix('.pt'))),
    ledger=read_ledger, toml=read_toml, settings=read_settings_file, certificate=read_certificate,
    run=read_run, array=lambda path: Stream({'x': path, 'y': path}), marks=kept, gpt2=config,
    cifar=read_cifar, pickled=unpickled, characters=lambda path: read_characters([path]),
    runs=read_runs, scans=lambda path: unpacked(made_card('masks'), path),
    text=by_card('text'), lines=by_card('lines'), idx=by_card('idx'))


@PIPES
@pytest.mark.parametrize('read', READ.values(), ids=READ)
def test_no_reader_waits_for_a_pipe_or_reads_a_device(tmp_path, read):
    for make in (os.mkfifo, lambda path: os.symlink('/dev/zero', path)):
        make(tmp_path/'odd')
        with at_most(20), pytest.raises(InputError) as e: read(tmp_path/'odd')
        said = str(e.value)
        assert any(name in said for name in ('odd', 'grades', 'config.json')), said
        assert '\n' not in said and len(said) < 400
        for left in tmp_path.iterdir(): left.unlink()


def archive(data, mode='w'):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as tar:
        member = tarfile.TarInfo('train/cat/a.jpg')
        member.size = len(data)
        tar.addfile(member, io.BytesIO(data))
    return out.getvalue()


def flipped(data):
    middle = len(data)*3//5
    return data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1:]


def zipped(name, data, method=None, flag=0):
    out = io.BytesIO()
    with zipfile.ZipFile(out, 'w') as z: z.writestr(name, data)
    raw = bytearray(out.getvalue())
    for start, place in ((b'PK\3\4', 8), (b'PK\1\2', 10)):
        at = raw.index(start) + place
        raw[at - 2] |= flag
        if method is not None: raw[at] = method
    return bytes(raw)


NOISE = np.random.default_rng(0).bytes(50_000)
HEADER = b"\x93NUMPY\x01\x00v\x00"
ODD = {
    'nothing': b'', 'a bit of xz': flipped(lzma.compress(archive(NOISE))),
    'half of xz': lzma.compress(archive(NOISE))[:20_000], 
    'half of gzip': archive(NOISE, 'w:gz')[:9_000],
    'another zip': zipped('a', b'b'), 'unknown packing': zipped('model/w.npy', b'1', 99),
    'a secret zip': zipped('class_labels.txt', b'a b', flag=1),
    'labels of no text': zipped('r/class_labels.txt', b'\xff\xfe a\n'),
    'one label a line': zipped('r/class_labels.txt', b'a\n'),
    'an unclosed header': HEADER + b"{'descr': '''<f8, 'shape': (6L, 2L)".ljust(117) + b'\n',
    'a negative shape': (HEADER + b"{'descr': '<f8', 'fortran_order': False, 'shape': (-3, 2)}"
                         ).ljust(127) + b'\n', 'deep': b'['*200_000,
    'a number': b'1' + b'0'*6000, 'no text': b'\xff'*99}


@pytest.mark.parametrize('read', READ.values(), ids=READ)
def test_whatever_is_in_a_file_it_is_refused_in_a_sentence_or_read(tmp_path, read):
    for what, data in ODD.items():
        (tmp_path/'odd').write_bytes(data)
        try: read(tmp_path/'odd')
        except InputError as e:
            said = str(e)
            names = ('odd', 'grades', 'config.json')
            assert any(name in said for name in names) and '\n' not in said, (what, said)
            assert len(said) < 500, (what, len(said))
        for left in tmp_path.iterdir(): left.unlink()


@pytest.mark.parametrize('damage', ['a bit of xz', 'half of xz', 'half of gzip', 'nothing'])
def test_a_broken_archive_is_said_in_one_line_whoever_reads_it(tmp_path, damage):
    path = tmp_path/'pictures.tar'
    path.write_bytes(ODD[damage])
    with pytest.raises(InputError, match=r'pictures.tar` is not a whole tar archive: .*; get it'):
        with tar_archive(path) as tar: [tar.extractfile(m).read() for m in tar]
    for read in (read_cifar, READ['scans']):
        with pytest.raises(InputError, match='pictures.tar` is not a whole tar archive'): read(path)


def test_what_goes_wrong_in_the_block_of_an_archive_keeps_its_name(tmp_path):
    (tmp_path/'a.tar').write_bytes(archive(b'x'))
    with pytest.raises(KeyError), tar_archive(tmp_path/'a.tar'): raise KeyError('mine')
    with pytest.raises(InputError, match='^mine$'), tar_archive(tmp_path/'a.tar'):
        raise InputError('mine')


@PIPES
def test_a_file_that_cannot_be_read_is_named_with_the_remedy(tmp_path):
    os.mkfifo(tmp_path/'pipe')
    (tmp_path/'round').symlink_to(tmp_path/'round')
    for name, says in {'pipe': 'this is no file', '': 'Is a directory|this is no file',
                       'no': 'there is no such file', 'round': 'Too many levels.*'}.items():
        for ask in (check_file, lambda path, remedy: file_bytes(path, 9, remedy)):
            said = f'cannot be read: ({says}); mend it$'
            with at_most(20), pytest.raises(InputError, match=said): ask(tmp_path/name, 'mend it')
    (tmp_path/'long').write_bytes(b'0123456789')
    assert file_bytes(tmp_path/'long', 10, 'x') == b'0123456789'
    assert check_file(tmp_path/'long', 'x') is None
    with pytest.raises(InputError, match='long` cannot be read: the file is larger than 0 kB; cut'):
        file_bytes(tmp_path/'long', 9, 'cut it')


def test_no_room_is_made_for_more_than_a_file_holds(tmp_path):
    "A buffer of a gigabyte fits into no container of half of one"
    (tmp_path/'small').write_bytes(b'0123456789')
    tracemalloc.start()
    try:
        assert file_bytes(tmp_path/'small', 1 << 30, 'x') == b'0123456789'
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally: tracemalloc.stop()


@pytest.mark.skipif(not os.path.exists('/proc/self/status'), reason='no files of the kernel here')
def test_a_file_that_says_no_size_is_read_to_its_end():
    assert b'Threads:' in file_bytes('/proc/self/status', 100_000, 'x')
    with pytest.raises(InputError, match='status` cannot be read: the file is larger than 0 kB'):
        file_bytes('/proc/self/status', 100, 'x')


@PIPES
def test_a_file_of_the_data_home_that_is_a_pipe_is_named(tmp_path):
    card = Card(name='made', title='t', kind='downloaded', format='text', summary='s', source='x',
                license='CC0', not_for=('y',), files=(DataFile(
                    path='a.txt', sha256=64*'0', size=9, addresses=('https://localhost/a',)),))
    (tmp_path/'made').mkdir()
    os.mkfifo(tmp_path/'made'/'a.txt')
    with at_most(20), pytest.raises(InputError, match='a.txt` cannot be read: this is no file'):
        fetch(card, tmp_path)


@pytest.mark.parametrize(('text', 'line', 'points'), [
    (b'a' + b'.a'*20_000 + b' = 1', 1, '20,000'),
    (b'\n[a' + b'.a'*20_000 + b']\nb = 1', 2, '20,000'),
    (b'[a' + b'.a'*3_000 + b']\n' + b'b = 1\n'*60_000, 1, '3,000')])
def test_keys_of_many_parts_are_refused_before_they_take_seconds(tmp_path, text, line, points):
    (tmp_path/'p.toml').write_bytes(text)
    with pytest.raises(InputError, match=f'p.toml` is no TOML that is read here: line {line} holds '
                                         f'{points} points; write shorter keys'):
        read_toml(tmp_path/'p.toml')


def test_long_lists_and_texts_are_no_long_keys(tmp_path):
    numbers = [k/8 for k in range(3_000)]
    said = dict(numbers=numbers, text='It was so. '*2_000)
    (tmp_path/'p.toml').write_text('\n'.join(f'{k} = {json.dumps(v)}' for k, v in said.items()))
    assert read_toml(tmp_path/'p.toml') == said


def test_what_a_value_cannot_be_is_said_with_its_file(tmp_path):
    (tmp_path/'leaks.toml').write_text('auc = 0.2\n')
    with pytest.raises(InputError, match='leaks.toml: `auc` of the policy must be above'):
        read_privacy_policy(tmp_path/'leaks.toml')
    with pytest.raises(InputError, match='^the file a.toml: `sha256` must be 64'):
        build(DataFile, dict(path='a', sha256='', size=1), 'the file a.toml')
    with pytest.raises(InputError, match='^`sha256` must be 64'):
        build(DataFile, dict(path='a', sha256='', size=1))


def test_a_faulty_line_of_settings_is_quoted_in_part(tmp_path):
    (tmp_path/'settings.ini').write_text('x'*100_000)
    with pytest.raises(InputError, match='settings.ini` cannot be read: .*mend it') as e:
        settings(start=tmp_path, env={})
    assert len(str(e.value)) < 400 + len(str(tmp_path))


def test_names_of_columns_are_said_in_part(tmp_path):
    (tmp_path/'t.csv').write_text(','.join(f'{k}' + 'x'*5_000 for k in range(5)) + '\n1,2,3,4,5\n')
    with pytest.raises(InputError, match='`sex` is not a column of t.csv; there are: 0xxx') as e:
        open_table(tmp_path/'t.csv', ['sex'])
    assert len(str(e.value)) < 400


def test_nobody_is_told_how_to_open_a_pickle(tmp_path):
    (tmp_path/'net.pt').write_bytes(b'\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.')
    with pytest.raises(InputError, match='holds no weights that can be read as data: ') as e:
        load_weights(tmp_path/'net.pt')
    assert 'weights_only' not in str(e.value) and str(e.value).endswith('format of safetensors')


def test_kept_vectors_of_another_length_or_of_no_numbers_are_made_anew(tmp_path):
    class Pretrained(SentenceMeaning):
        name = 'made'
        def __init__(self): self.asked = 0
        def embed(self, texts):
            self.asked += 1
            return np.eye(len(texts), dtype=np.float32)
    meaning, texts = Pretrained(), ['a', 'b', 'c']
    first = kept_vectors(texts, meaning, tmp_path)
    path, = (tmp_path/'vectors').iterdir()
    assert (kept_vectors(texts, meaning, tmp_path) == first).all() and meaning.asked == 1
    whole = path.read_bytes()
    odd = (first*2, first*np.nan, first[:2], np.eye(3, dtype=bool).astype('U3'), first[0])
    for k, values in enumerate(odd):
        np.save(path, values)
        assert (kept_vectors(texts, meaning, tmp_path) == first).all() and meaning.asked == 2 + k
    for data in ODD.values():
        path.write_bytes(data)
        assert (kept_vectors(texts, meaning, tmp_path) == first).all()
        assert path.read_bytes() == whole


FOR_ROOT = pytest.mark.skipif(getattr(os, 'geteuid', int)() or os.name != 'posix',
                              reason='for root alone')


def as_nobody(ask):
    "Is it so, asked in a child process as another user?"
    child = os.fork()
    if not child:
        try:
            os.setuid(65534)
            os._exit(0 if ask() else 3)
        except BaseException: os._exit(4)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@FOR_ROOT
def test_a_home_that_nobody_may_look_into_stops_no_audit(tmp_path, monkeypatch):
    (tmp_path/'home').mkdir(mode=0o700)
    monkeypatch.setenv('HOME', str(tmp_path/'home')) # Still that of the first
    monkeypatch.delenv('XDG_CACHE_HOME', raising=False)
    usual_data_home()
    assert as_nobody(lambda: usual_data_home().name == 'data')


@FOR_ROOT
@pytest.mark.parametrize('read', [read_ledger, read_settings_file, read_toml, read_certificate])
def test_a_file_in_a_folder_that_nobody_may_look_into_is_named(tmp_path, read):
    (tmp_path/'home').mkdir(mode=0o700)
    def refused():
        try: read(tmp_path/'home'/'it.toml')
        except InputError as e: return 'it.toml' in str(e) and 'Permission denied' in str(e)
    assert as_nobody(refused)


def test_a_record_that_is_no_file_is_left_where_it_is(tmp_path):
    from dlcourse.classroom.record import history
    place = tmp_path/'.dlcourse'
    for make in (os.mkfifo, os.mkdir):
        place.mkdir()
        make(place/'progress.db')
        with at_most(20), pytest.raises(InputError, match='progress.db` is no file; move it away'):
            history(tmp_path)
        assert os.path.lexists(place/'progress.db')
        (place/'progress.db').unlink() if make is os.mkfifo else (place/'progress.db').rmdir()
        for left in place.iterdir(): left.unlink()
        place.rmdir()


def test_a_stream_of_a_damaged_parquet_names_its_file(tmp_path):
    import polars as pl
    path = tmp_path/'rows.parquet'
    pl.DataFrame(dict(x=range(2_000), y=[k % 3 for k in range(2_000)])).write_parquet(path)
    whole, refused = path.read_bytes(), 0
    want = [rows.tolist() for rows in Stream(path, batch_size=500).source.read(0, 0, 9)]
    for place in range(8, len(whole), len(whole)//40):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1:])
        try: rows = Stream(path, batch_size=500).source.read(0, 0, 9)
        except InputError as e:
            refused += 1
            assert 'rows.parquet' in str(e) and '\n' not in str(e)
        else: assert len(rows) == len(want)
    assert refused > 5


def test_no_output_goes_over_an_input_or_another_output_whatever_it_is_called(tmp_path):
    (tmp_path/'in.csv').write_text('a\n1\n')
    (tmp_path/'link.html').symlink_to('in.csv')
    os.link(tmp_path/'in.csv', tmp_path/'hard.html')
    (tmp_path/'folder').mkdir()
    for over in ('in.csv', 'link.html', 'hard.html', 'folder/../in.csv'):
        with pytest.raises(InputError, match='is read, or written already'):
            apart([tmp_path/over], [tmp_path/'in.csv'])
    with pytest.raises(InputError, match='is read, or written already'):
        apart([tmp_path/'new.html', tmp_path/'folder'/'..'/'new.html'])
    apart([tmp_path/'new.html', tmp_path/'other.json'], [tmp_path/'in.csv'])
