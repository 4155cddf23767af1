"Every row once, from disk, by any number of processes, and on from any row"
import json
import signal
import subprocess
import sys

import numpy as np
import polars as pl
import pytest

from dlcourse.core.errors import InputError
from dlcourse.data.streams import Stream, write_arrays

N = 137


@pytest.fixture(scope='module')
def kinds(tmp_path_factory):
    folder = tmp_path_factory.mktemp('rows')
    arrays = dict(x=np.arange(2.*N).reshape(N, 2), y=np.arange(N))
    table = pl.DataFrame({'a': arrays['x'][:, 0], 'b': arrays['x'][:, 1], 'y': arrays['y']})
    table.write_parquet(folder/'rows.parquet', row_group_size=10)
    return {'arrays': write_arrays(folder, **arrays), 'parquet': folder/'rows.parquet'}


def labels(stream): return [y for x, y in stream if np.array_equal(x[:, 0], 2.*y) or pytest.fail()]


@pytest.mark.parametrize('kind', ['arrays', 'parquet'])
@pytest.mark.parametrize('world_size', [1, 2, 3, 4])
def test_every_row_once_in_shares_that_differ_by_one(kinds, kind, world_size):
    def of(rank):
        stream = Stream(kinds[kind], block=10, window=3, batch_size=7, rank=rank,
                        world_size=world_size)
        batches = labels(stream)
        assert {len(b) for b in batches[:-1]} == {7}
        return np.concatenate(batches)
    shares = [of(rank) for rank in range(world_size)]
    np.testing.assert_array_equal(np.sort(np.concatenate(shares)), np.arange(N))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize('kind', ['arrays', 'parquet'])
@pytest.mark.parametrize('stop', range(0, 10))
def test_goes_on_at_the_very_row(kinds, kind, stop):
    how = dict(block=10, window=2, rank=1, world_size=2, seed=3)
    whole, stopped, later = (Stream(kinds[kind], batch_size=size, **how) for size in (7, 7, 5))
    want = np.concatenate(labels(whole) + labels(whole)) # Two epochs
    got = []
    for _, y in stopped:
        if stop == 0: break
        got.append(y)
        if len(got) == stop: break
    if stop == 0: stopped = Stream(kinds[kind], batch_size=7, **how)
    later.load_state_dict(stopped.state_dict())
    got += labels(later) + labels(later)
    np.testing.assert_array_equal(np.concatenate(got)[:len(want)], want)


def test_another_epoch_and_another_seed_come_in_another_order(kinds):
    stream, other = (Stream(kinds['arrays'], block=10, seed=seed) for seed in (0, 1))
    first, second, third = (np.concatenate(labels(s)) for s in (stream, stream, other))
    assert (first != second).mean() > .8 and (first != third).mean() > .8
    short = labels(Stream(kinds['arrays'], batch_size=50, drop_last=True))
    assert [len(y) for y in short] == [50, 50]


def test_what_cannot_be_is_refused(kinds, tmp_path):
    (tmp_path/'x.npy').write_bytes(b'no array')
    (tmp_path/'x.parquet').write_bytes(b'no table')
    for files, word in (({'x': tmp_path/'x.npy'}, 'x.npy'), (tmp_path/'x.parquet', 'x.parquet'),
                        ({'x': tmp_path/'none.npy'}, 'none.npy')):
        with pytest.raises(InputError, match=word): Stream(files)
    uneven = {n: write_arrays(tmp_path, **{n: np.zeros(k)})[n] for n, k in (('a', 3), ('b', 4))}
    with pytest.raises(InputError, match='one length'): Stream(uneven)
    with pytest.raises(InputError, match='`label`'): Stream(kinds['parquet'], label='z')
    for bad in (dict(rank=1), dict(batch_size=0), dict(world_size=0), dict(window=0)):
        with pytest.raises(InputError, match=f'`{[*bad][0]}`'): Stream(kinds['arrays'], **bad)
    with pytest.raises(InputError, match='`files`'):
        Stream(kinds['arrays'], rank=0, world_size=N + 1)
    state = Stream(kinds['arrays'], seed=1).state_dict()
    with pytest.raises(InputError, match='`seed`'): Stream(kinds['arrays']).load_state_dict(state)

def test_another_block_is_another_order_and_refused(kinds):
    stream = Stream(kinds['arrays'], block=100)
    state = stream.state_dict()
    with pytest.raises(InputError, match='`block` must be as it was'):
        Stream(kinds['arrays'], block=130).load_state_dict(state)
    with pytest.raises(InputError, match='`state` must be what `state_dict` gave'):
        stream.load_state_dict({'epoch': 0})
    with pytest.raises(InputError, match='`taken` must be a whole number from 0'):
        stream.load_state_dict(state | {'taken': -3})

def test_two_readers_of_one_stream_are_told(kinds):
    stream = Stream(kinds['arrays'], batch_size=4)
    one, other = iter(stream), iter(stream)
    next(one), next(other)
    with pytest.raises(InputError, match='make a stream for each who reads'): next(one)
    for _ in stream: break # Whoever stops and begins anew goes on where it was
    assert len(list(stream)) > 0

def test_an_array_that_is_read_may_be_written_anew(tmp_path):
    files = write_arrays(tmp_path, y=np.arange(50_000))
    stream = Stream(files, block=1000, batch_size=500)
    write_arrays(tmp_path, y=np.arange(3)) # Over the mapped file this would end the process
    assert sorted(np.concatenate([y for y, in stream])) == list(range(50_000))

def test_arrays_that_cannot_be_mapped_are_refused(tmp_path):
    for arrays in ({}, {'a': np.array(3)}, {'a': np.zeros(2), 'b': np.zeros(3)}):
        with pytest.raises(InputError, match='`arrays` must be arrays of one length'):
            write_arrays(tmp_path, **arrays)
    for arrays in ({'../a': np.zeros(2)}, {'a': np.array([1, 'x'], object)}):
        with pytest.raises(InputError, match='a plain name'): write_arrays(tmp_path, **arrays)
    with pytest.raises(InputError, match='`files` must be arrays of one length'): Stream({})

def test_a_parquet_is_one_file_of_numbers(tmp_path):
    for k in range(2):
        pl.DataFrame({'a': np.arange(9.), 'y': 9*k + np.arange(9)}).write_parquet(
            tmp_path/f'part[{k}].parquet', row_group_size=4)
    rows = [y for _, y in Stream(tmp_path/'part[1].parquet')]
    assert sorted(np.concatenate(rows)) == list(range(9, 18))
    with pytest.raises(InputError, match='Of several files make one'): Stream(tmp_path/'*.parquet')
    for frame, word in ((pl.DataFrame({'a': ['x'], 'y': [0]}), "words are in .'a'."),
                        (pl.DataFrame({'y': [0]}), 'columns of numbers beside the label')):
        frame.write_parquet(tmp_path/'odd.parquet')
        with pytest.raises(InputError, match=word): Stream(tmp_path/'odd.parquet')
    pl.DataFrame({'a': [1, 2], 'y': [0, None]}).write_parquet(tmp_path/'gap.parquet')
    with pytest.raises(InputError, match='`y` must have a label in every row'):
        next(iter(Stream(tmp_path/'gap.parquet')))

READER = '''
import json, os, sys
import numpy as np
from dlcourse.data.streams import Stream
files, place, rows, kill_at = sys.argv[1:]
files = json.loads(files)
stream = Stream(files, block=10, window=2, batch_size=7, rank=1, world_size=2, seed=3)
if os.path.exists(place): stream.load_state_dict(json.load(open(place)))
for k, (x, y) in enumerate(stream):
    with open(rows, 'a') as f: f.write(' '.join(map(str, y.tolist())) + '\\n')
    with open(place + '.part', 'w') as f: json.dump(stream.state_dict(), f)
    os.replace(place + '.part', place)
    if k == int(kill_at): os.kill(os.getpid(), 9)
'''

@pytest.mark.parametrize('kind', ['arrays', 'parquet'])
def test_a_process_that_was_killed_goes_on_at_the_very_row(kinds, kind, tmp_path):
    files = kinds[kind]
    text = json.dumps({k: str(v) for k, v in files.items()} if kind == 'arrays' else str(files))
    command = [sys.executable, '-c', READER, text, *map(str, (tmp_path/'place', tmp_path/'rows'))]
    for kill_at, code in ((1, -signal.SIGKILL), (3, -signal.SIGKILL), (99, 0)):
        assert subprocess.run([*command, str(kill_at)], check=False).returncode == code
    whole = Stream(files, block=10, window=2, batch_size=7, rank=1, world_size=2, seed=3)
    got = [int(y) for y in (tmp_path/'rows').read_text().split()]
    assert got == np.concatenate(labels(whole)).tolist()
