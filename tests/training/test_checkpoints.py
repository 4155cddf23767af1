"A checkpoint is one file of tensors and JSON, comes back as it was, and belongs to one run"
import hashlib
import json
import struct
from dataclasses import replace

import numpy as np
import pytest
import torch
from loop_runs import QUIET, batches, network, small
from safetensors.torch import save as as_bytes
from torch.nn import functional as F

from dlcourse.core.errors import InputError
from dlcourse.training.checkpoints import (
    SEAL,
    STATE,
    check_same_run,
    digest,
    load_state,
    save_state,
)
from dlcourse.training.loop import fit


def test_any_state_comes_back_as_it_was(tmp_path):
    state = {'a': [1, 2.5, None, True, 'x', (3, 'y')], 4: {'deep': [torch.arange(3), {}]},
             'best': float('inf'),
             'bf16': torch.ones(2, dtype=torch.bfloat16), 'n': np.int64(3)}
    back = load_state(save_state(tmp_path/'s', state))
    assert back['a'] == state['a'] and isinstance(back['a'][5], tuple)
    assert back['best'] == float('inf') and back['n'] == 3
    assert torch.equal(back[4]['deep'][0], torch.arange(3)) and back[4]['deep'][1] == {}
    assert torch.equal(back['bf16'], state['bf16'])
    with pytest.raises(InputError, match=r'`a\.0` cannot be saved: .*got object'):
        save_state(tmp_path/'s', {'a': [object()]})
    assert load_state(tmp_path/'s')['n'] == 3


def test_a_file_is_a_header_of_json_and_tensors_and_not_a_byte_more(tmp_path):
    raw = save_state(tmp_path/'s', {'w': torch.ones(3), 'n': 1}).read_bytes()
    length, = struct.unpack('<Q', raw[:8])
    header = json.loads(raw[8:8 + length])
    json.loads(header.pop('__metadata__')['dlcourse.state.2'])
    assert 8 + length + max(t['data_offsets'][1] for t in header.values()) == len(raw)
    assert [p.name for p in tmp_path.iterdir()] == ['s']


@pytest.mark.parametrize('content', [b'', b'hello', struct.pack('<Q', 2) + b'{}'])
def test_a_file_that_is_no_checkpoint_is_refused(content, tmp_path):
    (tmp_path/'run').write_bytes(content)
    with pytest.raises(InputError, match='`run` is not a checkpoint of this library, or is '
                                         'damaged; give another'):
        load_state(tmp_path/'run')


def test_a_digest_is_equal_where_all_weights_and_buffers_are():
    one, same, other = network(0), network(0), network(1)
    assert digest(one) == digest(same) != digest(other)
    same[1].running_mean[0] = 1e-30
    assert digest(one) != digest(same)
    assert digest(small().bfloat16()) != digest(small())


def test_differences_are_named_and_counted():
    was = {'a': 1, 'b': 2, 'c': 3, 'd': 4, 'e': 5}
    check_same_run('run', was, dict(was))
    with pytest.raises(InputError, match=r'`checkpoint` run is of a run that differs: `b` was 2 '
                                         r'and is \(not there\)\. '
                                         'To go on, go back to that, .* resume=False to overwrite '
                                         'run'):
        check_same_run('folder/run', {'b': 2}, {})
    with pytest.raises(InputError, match='`d` was 4 and is None; and 1 more'):
        check_same_run('run', was, dict.fromkeys(was))


def test_a_longer_run_may_ask_its_schedule_for_more_steps():
    short, long = {'schedule(0)': 1., 'schedule(1)': .5}, {'schedule(0)': 1., 'schedule(1)': .5,
                                                           'schedule(3)': .2}
    check_same_run('run', short, long)
    with pytest.raises(InputError, match=r'`schedule\(1\)` was 0.5 and is 0.4'):
        check_same_run('run', short, long | {'schedule(1)': .4})
    with pytest.raises(InputError, match=r'`schedule\(0\)` was \(not there\)'):
        check_same_run('run', {}, short)


def test_a_single_flipped_bit_is_noticed_wherever_it_is(tmp_path):
    path = save_state(tmp_path/'run', {'weights': torch.arange(40.), 'flag': torch.tensor(True),
                                       'none': torch.zeros(0), 'text': 'as it was'})
    raw = path.read_bytes()
    for i in range(len(raw)):
        path.write_bytes(raw[:i] + bytes([raw[i] ^ 1 << i % 8]) + raw[i+1:])
        with pytest.raises(InputError, match='is damaged'): load_state(path)
    path.write_bytes(raw)
    assert load_state(path)['text'] == 'as it was'


def forged(path, described, tensors=None, **about):
    "A file with a digest that is right, and with anything in it"
    raw = as_bytes(tensors or {}, metadata={STATE: described, SEAL: 64*'0'} | about)
    path.write_bytes(raw.replace(b'0'*64, hashlib.sha256(raw).hexdigest().encode()))
    return path


SHAPES = ['', 'null', '3', '[]', '"x"', '{}', '{"tensor": "w"}', '{"tensor": ["w"]}', '{"list": 1}',
          '{"dict": [1]}', '{"dict": [["a"]]}', '{"dict": [[{"list": []}, 1]]}', '{"set": []}',
          '{"tuple": [], "list": []}', '{"dict": {"a": 1}}', '{"list": [1]}', '[' * 5000,
          '{"list":[' * 5000, '{"dict": [["a", {"tensor": "no"}]]}', '1' * 5000]


@pytest.mark.parametrize('described', SHAPES, ids=range(len(SHAPES)))
def test_a_state_of_any_shape_is_refused_in_a_sentence(described, tmp_path):
    with pytest.raises(InputError, match='`run` is not a checkpoint .*, or is damaged; give'):
        load_state(forged(tmp_path/'run', described, {'v': torch.ones(1)}))


def test_what_is_no_file_is_said(tmp_path):
    with pytest.raises(InputError, match='no` cannot be read: .*check the name'):
        load_state(tmp_path/'no')
    with pytest.raises(InputError): load_state(tmp_path)
    with pytest.raises(InputError, match='`path` must be'): load_state('a\0b')


def test_weights_that_are_nan_are_named(tmp_path):
    odd = torch.tensor([1., float('nan')])
    path = save_state(tmp_path/'run', {'model': {'w': odd, 'mask': torch.tensor(float('-inf'))}})
    with pytest.warns(UserWarning, match='`run` holds NaN in model.w; the run had diverged'):
        back = load_state(path)
    assert back['model']['w'].isnan().tolist() == [False, True]


def test_a_checkpoint_without_a_digest_is_read_with_a_warning(tmp_path):
    described = json.dumps({'dict': [['w', {'tensor': 'w'}], ['epoch', 3]]})
    raw = as_bytes({'w': torch.ones(2)}, metadata={'dlcourse.state': described})
    (tmp_path/'old').write_bytes(raw)
    with pytest.warns(UserWarning, match='`old` is of an older version: .*save it again'):
        assert load_state(tmp_path/'old')['epoch'] == 3


STATES = [{}, {'about': 3}, {'about': {}, 'weights': []}, {'about': None}, {'model': {}},
          {'about': {}, 'weights': None}]


@pytest.mark.parametrize('state', STATES, ids=range(len(STATES)))
def test_a_state_that_is_no_run_is_refused(state, tmp_path):
    save_state(tmp_path/'run', state)
    config = replace(QUIET, checkpoint=tmp_path/'run')
    with pytest.raises(InputError, match='`checkpoint` run (holds a state, but|is of a run)'):
        fit(small(), batches(), F.cross_entropy, config)
