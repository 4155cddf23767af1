"Trials: what is stopped, and what is out of order"
import subprocess
import sys
import threading
import time

import pytest

from dlcourse.classroom.trials import error_line, written
from dlcourse.core.limits import OutOfTime, time_limit


@pytest.mark.parametrize('source, without, found', [
    ('x.softmax(0)', ('F.softmax',), []), ('x.softmax(0)', ('softmax',), ['softmax']),
    ('[i for i in x]', ('for',), ['for']), ('while x: pass', ('for', 'while'), ['while']),
    ('import torch as t\nt.softmax(x)', ('torch.softmax',), ['torch.softmax']),
    ('softmax = 1', ('F.softmax',), []),
])
def test_what_stands_in_the_text(source, without, found): assert written(source, without) == found


def test_time_limit_in_another_thread():
    seen = []
    def work():
        try:
            with time_limit(.1):
                while True: pass
        except OutOfTime: seen.append('late')
        with time_limit(5): seen.append('in time')
    thread = threading.Thread(target=work); thread.start(); thread.join()
    assert seen == ['late', 'in time']


def test_time_that_is_up_in_a_callback_of_the_collector_waits_for_its_end(monkeypatch):
    "An exception raised in there would be printed and lost"
    import gc

    from dlcourse.core.limits import OutOfTime, time_limit

    monkeypatch.setattr('dlcourse.core.limits.PATIENCE', 1e5) # The clock is not asked here
    began = time.process_time()
    def slow(phase, info): # Until the limit is over, with a turn of the alarm to spare
        while time.process_time() < began + .12: pass
    gc.callbacks.append(slow)
    try:
        with pytest.raises(OutOfTime), time_limit(.05):
            gc.collect(0) # The young ones alone: all of them would take seconds by themselves
            assert time.process_time() >= began + .12
            while True: pass
    finally: gc.callbacks.remove(slow)


def test_an_exception_in_short():
    class Odd(Exception):
        def __str__(self): raise ValueError
    assert error_line(ValueError('x'*1000), 10) == 'ValueError: xxxxxxxx …'
    assert error_line(KeyError('a')) == "KeyError: 'a'"
    assert error_line(ValueError()) == 'ValueError'
    assert error_line(Odd()) == 'Odd: (its text cannot be had)'


TRACED = '''
import sys, threading
from dlcourse.core.limits import OutOfTime, time_limit

def in_time():
    with time_limit(5.): pass

def late():
    try:
        with time_limit(.1):
            while True: pass
    except OutOfTime: pass

for work in (in_time, late):
    thread = threading.Thread(target=work)
    thread.start(), thread.join()
sys.settrace(lambda *_: None)
(lambda: None)() # Where something is still asked for, Python 3.11 stays at its first step
'''


def test_a_limit_in_a_thread_leaves_nothing_to_ask_for():
    subprocess.run([sys.executable, '-c', TRACED], check=True, timeout=300)
