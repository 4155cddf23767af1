"Every row once, from disk, by any number of processes, and on from any row"
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
    uneven = write_arrays(tmp_path, a=np.zeros(3), b=np.zeros(4))
    with pytest.raises(InputError, match='one length'): Stream(uneven)
    with pytest.raises(InputError, match='`label`'): Stream(kinds['parquet'], label='z')
    for bad in (dict(rank=1), dict(batch_size=0), dict(world_size=0), dict(window=0)):
        with pytest.raises(InputError, match=f'`{[*bad][0]}`'): Stream(kinds['arrays'], **bad)
    with pytest.raises(InputError, match='`files`'):
        Stream(kinds['arrays'], rank=0, world_size=N + 1)
    state = Stream(kinds['arrays'], seed=1).state_dict()
    with pytest.raises(InputError, match='`seed`'): Stream(kinds['arrays']).load_state_dict(state)
