"Random states: seeded, kept, put back"
import random
import subprocess
import sys

import numpy as np
import pytest

from dlcourse.core.errors import InputError
from dlcourse.core.random import random_state, random_states, seed_everything, set_random_states


def draw(torch=None):
    "A number of every generator"
    return random.random(), np.random.rand(), torch.rand(1).item() if torch else None


def test_a_seed_sets_all_three():
    torch = pytest.importorskip('torch')
    first = seed_everything(5), draw(torch)
    assert first == (seed_everything(5), draw(torch))
    seed_everything(6)
    assert draw(torch) != first[1]


@pytest.mark.parametrize('seed', [-1, 2**32, 1.5, 'a', None])
def test_a_seed_that_numpy_cannot_take_is_refused(seed):
    with pytest.raises(InputError, match='`seed` must be a whole number from 0'):
        seed_everything(seed)


def test_states_are_put_back_where_they_were():
    torch = pytest.importorskip('torch')
    states = random_states(torch.device('cpu'))
    first = draw(torch)
    set_random_states(states, torch.device('cpu'))
    assert draw(torch) == first and set(states) == {'python', 'numpy', 'torch'}


def test_a_borrowed_state_leaves_no_trace_also_after_an_error():
    torch = pytest.importorskip('torch')
    seed_everything(3)
    wanted = draw(torch)
    seed_everything(3)
    with pytest.raises(KeyError), random_state(1):
        inside = draw(torch)
        torch.set_grad_enabled(False)
        torch.set_default_dtype(torch.float64)
        raise KeyError
    assert draw(torch) == wanted
    assert torch.is_grad_enabled() and torch.get_default_dtype() == torch.float32
    seed_everything(1)
    assert draw(torch) == inside


def test_torch_is_not_imported_for_it():
    code = ("import sys; from dlcourse.core.random import *\n"
            "s = random_states(); set_random_states(s); seed_everything(1)\n"
            "with random_state(2): pass\nprint('torch' in sys.modules, 'torch' in s)")
    said = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert said.stdout.split() == ['False', 'False'], said.stderr
