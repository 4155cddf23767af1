import json
import subprocess
import sys

import pytest
from cli.runs import dlcourse

RUN = '--sample-rate', '256/60000', '--delta', '1e-5'
ONE = '--noise-multiplier', '1', '--steps', '5'


def test_the_epsilon_of_a_run():
    words = 'privacy', 'epsilon', '--noise-multiplier', '1.1', '--steps', '14062', *RUN
    code, out, err = dlcourse(*words)
    assert (code, err) == (0, '') and out.startswith('ε = 2.3816 at δ = 1e-05')
    assert 'one row more or less' in out and 'fewer than 100,000 rows' in out
    assert '--rows' not in dlcourse(*words, '--rows', '60000')[1]
    code, out, err = dlcourse(*words, '--rows', '100000')
    assert (code, out) == (2, '') and 'below one over' in err
    code, out, err = dlcourse(*words, '--json')
    found = json.loads(out)
    assert abs(found['rdp'] - 2.5966) < 1e-3 and abs(found['historical'] - 3.008) < 1e-3
    assert found['event']['steps'] == 14062 and 'Balle' in found['rule']


@pytest.mark.parametrize('given', [('--steps', '500'), ('--noise-multiplier', '1.1')])
def test_a_budget_is_kept(given):
    code, out, err = dlcourse('privacy', 'calibrate', '--epsilon', '1', *given, *RUN, '--json')
    assert (code, err) == (0, '')
    found = json.loads(out)
    assert .98 < found['epsilon'] <= 1 == found['asked']


@pytest.mark.parametrize('words,said', [
    (('epsilon', '--noise-multiplier', '0', '--steps', '5', *RUN), '`--noise-multiplier` must be'),
    (('epsilon', '--noise-multiplier', '1', '--steps', '0', *RUN), '`--steps` must be'),
    (('epsilon', *ONE, '--sample-rate', '3/2', '--delta', '.1'),
     '`--sample-rate` must be'),
    (('epsilon', *ONE, '--sample-rate', '1/0', '--delta', '.1'),
     '`--sample-rate` must be'),
    (('epsilon', '--noise-multiplier', 'nan', '--steps', '5', *RUN),
     '`--noise-multiplier` must be'),
    (('epsilon', '--noise-multiplier', '1e200', '--steps', '5', *RUN), '1e-9 to 1e9'),
    (('epsilon', '--noise-multiplier', '1', '--steps', str(10**9), *RUN),
     '`--steps` must be fewer'),
    (('calibrate', '--epsilon', '1', '--steps', str(10**12), *RUN), '`--steps` must be a whole'),
    (('calibrate', '--epsilon', '1', *RUN), 'give either'),
    (('calibrate', '--epsilon', '1', *ONE, *RUN), 'give either')])
def test_what_cannot_be_ends_with_2(words, said):
    code, out, err = dlcourse('privacy', *words)
    assert (code, out) == (2, '') and said in err and 'Traceback' not in err


def test_torch_is_not_needed():
    start = ('import atexit, sys\n'
             'atexit.register(lambda: print("torch" in sys.modules))\n'
             'from dlcourse.cli.app import main; main()')
    words = 'privacy', 'epsilon', '--noise-multiplier', '1', '--steps', '9', *RUN
    done = subprocess.run([sys.executable, '-c', start, *words], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.endswith('False\n'), done.stderr
