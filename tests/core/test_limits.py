"Code that does not end is stopped, and what it was changing is whole"
from contextlib import contextmanager, nullcontext

import pytest

from dlcourse.core.limits import OutOfTime, Undisturbed, time_limit

# Its name begins as that of an answer does, in which an alarm strikes at once
ANSWER = compile('''
def busy():
    start = time.process_time()
    while time.process_time() < start + .15: pass

@contextmanager
def changed():
    busy()
    steps.append('in')
    try: yield
    finally:
        busy()
        steps.append('out')
''', '<answer>', 'exec')


@pytest.mark.parametrize('whole', [True, False])
def test_what_is_put_in_place_and_back_is_done_whole(whole):
    import time
    names = dict(time=time, contextmanager=contextmanager, steps=[])
    exec(ANSWER, names)
    block = Undisturbed(names['changed']()) if whole else names['changed']()
    with pytest.raises(OutOfTime), time_limit(.05), block:
        while True: pass
    assert names['steps'] == (['in', 'out'] if whole else [])


def test_an_error_within_goes_through_and_what_is_given_arrives():
    with Undisturbed(nullcontext(7)) as value: assert value == 7
    with pytest.raises(KeyError), Undisturbed(nullcontext()): raise KeyError(1)
