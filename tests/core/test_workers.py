"Workers: functions of anywhere, errors as they were raised, deaths told, nobody left behind"
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from dlcourse.core.errors import InputError
from dlcourse.core.workers import can_be_sent, in_processes


def twice(x): return 2*x


def place(): return os.getpid(), os.getcwd(), os.environ['OMP_NUM_THREADS']


class OddError(Exception):
    "Cannot be made again from its text alone"
    def __init__(self, a, b): super().__init__(a)


def raises(error): raise error


def raises_odd(): raise OddError('odd', 2)


def leaves(code):
    print('so long', flush=True)
    os._exit(code)


def test_results_stand_in_the_order_of_the_jobs():
    assert in_processes(twice, [(k,) for k in range(23)], 2) == [2*k for k in range(23)]
    assert in_processes(twice, [], 2) == []


def test_workers_are_other_processes_in_the_same_folder_with_so_many_threads():
    (one, folder, threads), = in_processes(place, [()], 1, threads=3)
    assert one != os.getpid() and Path(folder) == Path.cwd() and threads == '3'


def test_torch_has_as_many_threads_as_are_given():
    pytest.importorskip('torch')

    def count():
        import torch
        return torch.get_num_threads()
    assert in_processes(count, [()], 1) == [1]


def test_functions_that_nobody_can_import_work_too():
    scale = 3
    assert in_processes(lambda x: scale*x, [(2,)], 1) == [6]


def test_an_error_arrives_as_itself_and_says_where_it_was_raised():
    with pytest.raises(KeyError, match='gone') as e: in_processes(raises, [(KeyError('gone'),)], 1)
    assert 'in raises' in e.value.__notes__[0] and 'In the worker' in e.value.__notes__[0]


@pytest.mark.parametrize('f, job, says', [
    (raises_odd, (), 'OddError: odd'), (raises, (SystemExit(3),), r'a worker called exit\(3\)'),
    (leaves, (7,), r'(?s)a worker broke off.*so long'),
    (lambda: os.kill(os.getpid(), signal.SIGTERM), (), 'a worker broke off.*it said nothing'),
])
def test_what_cannot_arrive_as_itself_is_one_clear_error(f, job, says):
    with pytest.raises(RuntimeError, match=says): in_processes(f, [job], 1)


def test_what_cannot_be_sent_is_said_on_either_side():
    with pytest.raises(InputError, match='`f` and `jobs` must be things that can be sent'):
        in_processes(twice, [(threading.Lock(),)], 1)
    with pytest.raises(TypeError, match='what `.*` returned cannot be sent'):
        in_processes(lambda: threading.Lock(), [()], 1)
    assert can_be_sent(lambda x: x, [1]) and not can_be_sent(threading.Lock())


@pytest.mark.parametrize('how', [dict(processes=0), dict(processes=1, threads=0)])
def test_numbers_below_one_are_refused(how):
    with pytest.raises(InputError, match='must be 1 or more'): in_processes(twice, [(1,)], **how)


SCRIPT = '''
import os, sys, time
from pathlib import Path
from dlcourse.core.workers import in_processes

class Mine(Exception): pass

def square(x): return Number(x*x)

class Number:
    def __init__(self, value): self.value = value

def fails(x): raise Mine(x)

def waits(folder):
    (Path(folder)/str(os.getpid())).touch()
    time.sleep(3600)

print('once')
if sys.argv[1] == 'square':
    print(*(type(n) is Number and n.value for n in in_processes(square, [(2,), (3,)], 2)))
    try: in_processes(fails, [(5,)], 1)
    except Mine as e: print('mine', e)
else:
    try: in_processes(waits, [(sys.argv[1],)]*2, 2)
    except KeyboardInterrupt: print('stopped')
'''


def test_a_script_needs_no_guard_and_its_classes_come_back_as_they_are(tmp_path):
    (tmp_path/'script.py').write_text(SCRIPT)
    said = subprocess.run([sys.executable, 'script.py', 'square'], capture_output=True, text=True)
    assert said.stdout.split('\n') == ['once', '4 9', 'mine 5', ''], said.stderr


def is_alive(pid):
    try: os.kill(pid, 0)
    except OSError: return False
    stat = Path(f'/proc/{pid}/stat')
    return not stat.exists() or stat.read_text().rpartition(')')[2].split()[0] != 'Z'


@pytest.mark.parametrize('how', [signal.SIGINT, signal.SIGKILL])
def test_workers_end_with_whoever_started_them(tmp_path, how):
    (tmp_path/'script.py').write_text(SCRIPT)
    (tmp_path/'pids').mkdir()
    process = subprocess.Popen([sys.executable, 'script.py', 'pids'], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True, start_new_session=True)
    until = time.monotonic() + 600 # Only so that a fault comes to an end
    while len(workers := [int(p.name) for p in (tmp_path/'pids').iterdir()]) < 2:
        assert time.monotonic() < until and process.poll() is None
        time.sleep(.05)
    if how == signal.SIGINT: os.killpg(process.pid, how)
    else: process.send_signal(how)
    process.wait(600)
    while any(map(is_alive, workers)):
        assert time.monotonic() < until
        time.sleep(.05)
    said = process.communicate()
    if how == signal.SIGINT: assert said == ('once\nstopped\n', '')
