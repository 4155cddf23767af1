"A trained artefact is made once, loaded from then on, and refused where it was changed"
import subprocess
import sys
import time

import pytest
import torch

from dlcourse.core.cards import read_card
from dlcourse.core.errors import InputError
from dlcourse.training.artefacts import trained_once


def test_made_once_then_loaded_and_a_changed_or_lost_file_is_refused(tmp_path):
    made = []
    def make():
        made.append(torch.nn.Linear(3, 2))
        return made[-1], dict(title='A "line"', summary='Two\nlines, café', source='here',
                              not_for=['much'], results={'nothing': 'nobody'})
    def build(): return torch.nn.Linear(3, 2)
    def asked(): return trained_once('line', build, make, tmp_path)
    (first, card), (again, _) = asked(), asked()
    assert len(made) == 1 and torch.equal(first.weight, again.weight)
    assert torch.equal(first.weight, made[0].weight) and not first.training
    assert (card.title, card.summary, card.rows) == ('A "line"', 'Two\nlines, café', 8)
    folder = tmp_path/'trained'/'line'
    assert read_card(folder/'card.toml').results[0].claim == 'nothing'
    path = folder/'model.safetensors'
    path.write_bytes(path.read_bytes()[:-1] + b'x')
    with pytest.raises(InputError, match="is not the file of its card.*; delete the folder"):
        asked()
    path.unlink()
    with pytest.raises(InputError, match="it is not there; delete the folder"): asked()


def test_neither_making_nor_loading_moves_the_random_state(tmp_path):
    def build(): return torch.nn.Linear(3, 2)
    def make():
        torch.manual_seed(0)
        return build(), dict(title='A line', summary='Two lines', source='here', not_for=['much'])
    torch.manual_seed(5)
    expected = torch.rand(3)
    for _ in range(2):
        torch.manual_seed(5)
        trained_once('line', build, make, tmp_path)
        assert torch.equal(torch.rand(3), expected)


MAKER = '''
import sys, time
from pathlib import Path
from torch import nn
from dlcourse.training import artefacts
home, pause = Path(sys.argv[1]), sys.argv[2]

def make():
    with open(home/'made', 'a') as f: f.write('made\\n')
    if pause == 'training': time.sleep(60)
    if pause == 'a moment': time.sleep(1)
    model = nn.Linear(3, 2)
    nn.init.ones_(model.weight)
    return model, dict(title='Ones', summary='Nothing', source='tests', not_for=['anything'])

if pause == 'writing':
    written = artefacts.write_whole
    def stop_at_the_card(path, data):
        if path.name == 'card.toml':
            (home/'at the card').touch()
            time.sleep(60)
        written(path, data)
    artefacts.write_whole = stop_at_the_card
model, card = artefacts.trained_once('ones', lambda: nn.Linear(3, 2), make, home=home)
print(float(model.weight.sum()), card.title)
'''


def started(home, pause):
    return subprocess.Popen([sys.executable, '-c', MAKER, str(home), pause], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_for(path, process):
    for _ in range(1200):
        if path.exists(): return
        assert process.poll() is None, process.stderr.read()
        time.sleep(.05)
    raise AssertionError(f'{path} did not come')


@pytest.mark.parametrize('pause, sign', [('training', 'made'), ('writing', 'at the card')])
def test_a_maker_that_is_killed_leaves_nothing_that_counts(tmp_path, pause, sign):
    killed = started(tmp_path, pause)
    wait_for(tmp_path/sign, killed)
    killed.kill()
    killed.communicate()
    assert not (tmp_path/'trained'/'ones'/'card.toml').exists()
    out, err = started(tmp_path, 'not at all').communicate(timeout=600)
    assert out == '6.0 Ones\n', err
    assert (tmp_path/'made').read_text() == 'made\n'*2


def test_two_at_once_train_once(tmp_path):
    both = [started(tmp_path, 'a moment') for _ in range(2)]
    told = [p.communicate(timeout=600) for p in both]
    assert [out for out, _ in told] == ['6.0 Ones\n']*2, told
    assert (tmp_path/'made').read_text() == 'made\n'
