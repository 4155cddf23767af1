"Hostile and broken pickles are refused unrun; Cora as torch-geometric counts it; made-up graphs"
import collections
import os
import pickle
import struct
import subprocess

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix

from dlcourse.core.cards import card
from dlcourse.core.datasets import load
from dlcourse.core.downloads import is_here
from dlcourse.core.errors import InputError
from dlcourse.graphs.planetoid import block_task, read_planetoid, unpickled, word_rows

PARTS = ('x', 'y', 'tx', 'ty', 'allx', 'ally', 'graph')


class Asks:
    "Asks for a call when it is read"
    def __init__(self, call, *args): self.call, self.args = call, args
    def __reduce__(self): return self.call, self.args


def touch(path): open(path, 'w').close()


@pytest.mark.parametrize('call', [os.system, subprocess.call, eval, exec, getattr, __import__])
def test_a_hostile_pickle_is_refused_and_runs_nothing(tmp_path, call):
    path, mark = tmp_path/'ind.cora.x', tmp_path/'ran'
    path.write_bytes(pickle.dumps(Asks(call, f'touch {mark}'), protocol=2))
    with pytest.raises(InputError, match='asks for .*nothing in it was run'): unpickled(path)
    assert not mark.exists()


@pytest.mark.parametrize('raw', [
    b'', b'cposix\nsystem\n(S"true"\ntR.', b"cnumpy\nload\n(S'x'\ntR.",
    b'cscipy.sparse.csr\nos.system\n.', b'ccollections\nnamedtuple\n.', b'c__builtin__\neval\n.',
    b'cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I99999999999\ntS"b"\ntR.',
    b'Pelsewhere\n.', b'\x80\x02\x8c\x05posix\x8c\x06system\x93.', b'not a pickle'])
def test_pickles_written_by_hand_are_refused(tmp_path, raw):
    path = tmp_path/'ind.cora.x'
    path.write_bytes(raw)
    with pytest.raises(InputError, match='is not a file of Planetoid'): unpickled(path)


def old(value):
    "A pickle as Python 2 wrote it for these files"
    raw = pickle.dumps(value, protocol=3)
    for new, then in ((b'numpy._core.multiarray', b'numpy.core.multiarray'),
                      (b'scipy.sparse._csr', b'scipy.sparse.csr'),
                      (b'builtins', b'__builtin__')):
        raw = raw.replace(new, then)
    return raw


def tiny(folder, **changed):
    "Files of a small graph, where 500 nodes are to choose by"
    rng = np.random.default_rng(0)
    known, tests, labelled = 510, 6, 8
    words = csr_matrix((rng.random((known + tests, 5)) < .5).astype(np.float32))
    y = np.eye(3, dtype=np.int32)[rng.integers(0, 3, known + tests)]
    order = rng.permutation(tests)
    graph = collections.defaultdict(list)
    for a in range(known + tests): graph[a] = [(a + 1) % (known + tests), a]
    parts = dict(x=words[:labelled], y=y[:labelled], allx=words[:known], ally=y[:known],
                 tx=words[known:][order], ty=y[known:][order], graph=graph) | changed
    index = parts.pop('index', '\n'.join(map(str, order + known)))
    paths = {}
    for name, value in parts.items():
        paths[name] = folder/f'ind.cora.{name}'
        paths[name].write_bytes(old(value))
    paths['test.index'] = folder/'ind.cora.test.index'
    paths['test.index'].write_text(index)
    return paths, words, y


def read(paths): return read_planetoid(card('cora'), paths)


def test_test_nodes_stand_where_the_index_says(tmp_path):
    paths, words, y = tiny(tmp_path)
    task = read(paths)
    total = words.toarray().sum(1, keepdims=True)
    want = np.divide(words.toarray(), total, where=total > 0, out=np.zeros_like(words.toarray()))
    np.testing.assert_allclose(task.features.matrix.to_dense().numpy(), want, rtol=1e-6)
    assert task.labels.tolist() == y.argmax(1).tolist()
    assert task.edges.shape == (2, 2*516) and (task.edges[0] != task.edges[1]).all()
    assert task.test.tolist() == list(range(510, 516)) and len(task.valid) == 500
    assert (task.n, task.classes, len(task.train)) == (516, 3, 8)


@pytest.mark.parametrize('changed, said', [
    (dict(index='1\n2\n3'), 'test.index'), (dict(tx=csr_matrix((5, 5))), 'tx'),
    (dict(ty=np.ones((6, 3), int)), 'labels'), (dict(y=np.eye(3, dtype=int)), 'y'),
    (dict(graph=[1, 2]), 'graph'), (dict(graph={0: 1}), 'graph'),
    (dict(graph={'a': ['b']}), 'graph'), (dict(graph={0: [10**30]}), 'graph'),
    (dict(graph={0: [[1]]}), 'graph'), (dict(allx=[1, 2]), ''), (dict(y=7), ''),
    (dict(ally=np.ones((510, 2), int)), ''),
    (dict(ty=np.array([[2, -1, 0]]*6)), 'labels')])
def test_files_that_do_not_fit_together_are_refused(tmp_path, changed, said):
    with pytest.raises(InputError, match=f'do not fit together: .*{said}'):
        read(tiny(tmp_path, **changed)[0])


def test_a_matrix_that_points_outside_itself_is_refused(tmp_path):
    wild = csr_matrix((3, 3), dtype=np.float32)
    wild.data, wild.indices = np.ones(1, np.float32), np.array([10**6], np.int32)
    wild.indptr = np.array([0, 1, 1, 1], np.int32)
    path = tmp_path/'ind.cora.x'
    path.write_bytes(old(wild))
    with pytest.raises(InputError, match='is not a file of Planetoid'): unpickled(path)


def test_an_index_of_words_is_refused(tmp_path):
    with pytest.raises(InputError, match='one whole number a line'):
        read(tiny(tmp_path, index='one\ntwo')[0])
    with pytest.raises(InputError, match='nodes from 0 to'):
        read(tiny(tmp_path, graph={0: [9999]})[0])


def test_a_row_without_words_stays_zero():
    rows = word_rows(csr_matrix(np.array([[1., 3], [0, 0]]))).matrix.to_dense()
    torch.testing.assert_close(rows, torch.tensor([[.25, .75], [0, 0]]))


@pytest.mark.skipif(not is_here(card('cora'), None), reason="Cora is not here")
def test_cora_is_torch_geometrics(tmp_path):
    planetoid = pytest.importorskip('torch_geometric.datasets').Planetoid
    files = card('cora').files
    raw = tmp_path/'Cora/raw'
    raw.mkdir(parents=True)
    from dlcourse.core.datasets import fetch
    for f in files: (raw/f.path).write_bytes(fetch(card('cora'), None)[f.path].read_bytes())
    theirs, ours = planetoid(tmp_path, 'Cora')[0], load('cora')
    assert set(map(tuple, ours.edges.T.tolist())) == set(map(tuple, theirs.edge_index.T.tolist()))
    assert torch.equal(ours.labels, theirs.y)
    dense = theirs.x/theirs.x.sum(1, keepdim=True).clamp(min=1)
    torch.testing.assert_close(ours.features.matrix.to_dense(), dense)
    for part in ('train', 'test'):
        assert getattr(ours, part).tolist() == theirs[f'{part}_mask'].nonzero()[:, 0].tolist()
    assert ours.valid.tolist() == theirs.val_mask.nonzero()[:, 0].tolist()


def test_a_made_up_task_is_of_its_seed_and_its_parts_are_apart():
    a, b, c = block_task(3), block_task(3), block_task(4)
    assert torch.equal(a.edges, b.edges) and not torch.equal(a.labels, c.labels)
    parts = torch.cat([a.train, a.valid, a.test])
    assert sorted(parts.tolist()) == list(range(a.n))
    assert a.labels[a.train].bincount().tolist() == [5]*4


def array_of(kind, kind_state, shape, raw):
    "A pickle of an array, opcode by opcode"
    def text(s): return b'X' + struct.pack('<I', len(s)) + s
    return (b'\x80\x03cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R'
            b'(K\x01' + b''.join(b'J' + struct.pack('<i', k) for k in shape) + b'\x85' + kind(text)
            + b'(K\x03' + text(kind_state) + b'NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89B'
            + struct.pack('<I', len(raw)) + raw + b'tb.')


def dtype(name): return lambda text: b'cnumpy\ndtype\n' + text(name) + b'K\x00K\x01\x87R'


@pytest.mark.parametrize('raw', [
    array_of(dtype(b'O8'), b'|', (2,), b'A'*16), # Pointers to anywhere
    array_of(dtype(b'V8'), b'|', (2,), b'A'*16),
    array_of(dtype(b'f8'), b'<', (3,), b'A'*16), # More than there is
    array_of(lambda text: b'cscipy.sparse.csr\ncsr_matrix\n)\x81', b'<', (2,), b'A'*16),
    b'\x80\x02cnumpy\nndarray\nJ\x00\xe1\xf5\x05\x85\x85R.', # Memory as it lies there
    b'\x80\x02]r\xff\xff\xff\x0f.', b'(lp268435455\n.', # Room for 268,435,455 objects
    b'\x80\x02cscipy.sparse.csr\ncsr_matrix\nN}X\x01\x00\x00\x00aK\x01s\x86b.'])
def test_a_pickle_reaches_no_memory_that_is_not_its_own(tmp_path, raw):
    path = tmp_path/'ind.cora.x'
    path.write_bytes(raw)
    with pytest.raises(InputError, match='is not a file of Planetoid'): unpickled(path)


def test_numbers_of_either_order_of_bytes_are_read(tmp_path):
    path, want = tmp_path/'ind.cora.y', np.array([1., -2])
    for order in ('<', '>'):
        raw = want.astype(f'{order}f8').tobytes()
        path.write_bytes(array_of(dtype(b'f8'), order.encode(), (2,), raw))
        assert unpickled(path).tolist() == [1, -2]
    turned = np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3))
    path.write_bytes(old(turned))
    assert (unpickled(path) == turned).all()


def test_a_row_of_stored_zeros_stays_zero_and_no_word_is_below_it():
    stored = csr_matrix((np.array([0., 0, 1]), ([0, 0, 1], [0, 1, 1])), shape=(2, 2))
    assert word_rows(stored).matrix.to_dense().tolist() == [[0, 0], [0, 1]]
    for bad in (-1., np.nan, np.inf):
        with pytest.raises(InputError, match='`matrix`'): word_rows(csr_matrix([[bad, 2.]]))
