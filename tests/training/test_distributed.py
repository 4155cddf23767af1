"What processes tell each other: real groups of two, and nothing where a process is alone"
import os
import subprocess
import sys

import pytest
import torch

from dlcourse.training.distributed import Place, all_gather_states, my_place, own_states, share_of

GROUP = '''
import os, sys
import torch
from torch import distributed as dist, nn
from dlcourse.training.distributed import *

def process(rank):
    dist.init_process_group('gloo', init_method=f'file://{sys.argv[1]}', rank=rank, world_size=2)
    place = Place(torch.device('cpu'), rank, 2)
    place.join()
    weights = torch.full((3,), float(rank))
    place.broadcast([weights])
    assert weights.tolist() == [0., 0., 0.]
    assert place.all_reduce(torch.tensor(rank + 1.)).item() == 3
    assert place.any(rank == 1) and not place.any(False)

    states = {'torch': torch.tensor([rank, 7], dtype=torch.uint8), 'python': 'of rank 0'}
    every = all_gather_states(place, states)
    assert every['torch'].tolist() == [[0, 7], [1, 7]] and every['python'] == 'of rank 0'
    assert torch.equal(own_states(place, every)['torch'], states['torch'])

    both, one, none = (nn.Parameter(torch.zeros(2, 2)) for _ in range(3))
    both.grad = torch.full((2, 2), rank + 1.)
    if rank: one.grad = torch.ones(2, 2)
    add_up_gradients([both, one, none])
    assert (both.grad == 3).all() and (one.grad == 1).all() and none.grad is None
    place.barrier()
    dist.destroy_process_group()

children = []
for rank in range(2):
    child = os.fork()
    if not child:
        process(rank)
        os._exit(0)
    children.append(child)
sys.exit(any(os.waitpid(child, 0)[1] for child in children))
'''


@pytest.mark.skipif(not hasattr(os, 'fork'), reason="makes its processes by fork")
def test_two_processes_share_weights_sums_gradients_and_states(tmp_path):
    env = os.environ | {'OMP_NUM_THREADS': '1', 'PYTHONWARNINGS': 'ignore'}
    command = [sys.executable, '-c', GROUP, str(tmp_path/'store')]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_process_alone_does_nothing(monkeypatch):
    monkeypatch.delenv('WORLD_SIZE', raising=False)
    place = my_place('cpu')
    assert place.alone and place.rank == 0 and place.device == torch.device('cpu')
    weights, states = torch.ones(2), {'torch': torch.ones(1)}
    place.join(), place.barrier(), place.broadcast([weights])
    assert place.all_reduce(weights) is weights and place.any(True) and not place.any(False)
    assert all_gather_states(place, states) is states and own_states(place, states) is states


def test_a_place_is_what_torchrun_says(monkeypatch):
    for name, value in (('WORLD_SIZE', '4'), ('RANK', '3'), ('LOCAL_RANK', '1')):
        monkeypatch.setenv(name, value)
    assert my_place('cpu') == Place(torch.device('cpu'), 3, 4)


@pytest.mark.parametrize('rows', [1, 5, 6])
def test_shares_are_disjoint_and_whole_and_differ_by_a_row_at_most(rows):
    batch = [torch.arange(rows), torch.arange(rows)*2]
    shares = [share_of(Place(torch.device('cpu'), rank, 3), batch) for rank in range(3)]
    assert sorted(torch.cat([x for x, _ in shares]).tolist()) == list(range(rows))
    sizes = [len(x) for x, _ in shares]
    assert max(sizes) - min(sizes) <= 1 and all(torch.equal(2*x, y) for x, y in shares)
