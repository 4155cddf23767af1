"Locks: one holder at a time, none that outlives its process"
import os
import signal
import subprocess
import sys
import threading

import pytest

from dlcourse.core.locks import is_locked, locked

HOLD = """
import sys, time
from dlcourse.core.locks import locked
with locked(sys.argv[1]):
    print('held', flush=True)
    time.sleep(3600)
"""


@pytest.fixture
def holder(tmp_path):
    "Another process that holds `tmp_path/a.lock`"
    command = [sys.executable, '-c', HOLD, str(tmp_path/'a.lock')]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == 'held\n'
    yield process
    process.kill()
    process.communicate()


def test_another_process_is_kept_out_until_the_holder_dies(holder, tmp_path):
    path = tmp_path/'a.lock'
    assert is_locked(path)
    with locked(path, wait=False) as ours: assert not ours
    with locked(path, wait=.05) as ours: assert not ours
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with locked(path) as ours: assert ours
    assert path.exists() and not is_locked(path)


def test_another_thread_waits_its_turn(tmp_path):
    order = []

    def second():
        with locked(tmp_path/'a.lock'): order.append('second')

    with locked(tmp_path/'a.lock'):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(.2)
        order.append('first')
    thread.join()
    assert order == ['first', 'second']


def test_an_error_inside_gives_the_lock_back(tmp_path):
    with pytest.raises(KeyError), locked(tmp_path/'a.lock'): raise KeyError
    assert not is_locked(tmp_path/'a.lock')


def test_folders_are_made_and_asking_makes_none(tmp_path):
    assert not is_locked(tmp_path/'no'/'a.lock') and not (tmp_path/'no').exists()
    with locked(tmp_path/'deep'/'down'/'a.lock') as ours: assert ours


def test_a_folder_that_cannot_be_written_is_an_error_of_the_system(tmp_path):
    if os.name != 'posix' or os.geteuid() == 0: pytest.skip("this user may write everywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(OSError), locked(tmp_path/'a.lock'): pass
