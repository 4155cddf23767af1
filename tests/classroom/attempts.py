"What the tests of record and progress have in common: attempts, and several processes at once"
import multiprocessing
from types import SimpleNamespace as FakeClaim

from dlcourse.classroom import progress
from dlcourse.classroom.checks import Result
from dlcourse.classroom.help import hint
from dlcourse.classroom.lessons import find_exercise
from dlcourse.classroom.record import record_attempt

MASK = find_exercise('causal_mask')


def attempt(folder, outcome='failed', held=1, claims=2, source='', **more):
    "Record an answer to `causal_mask`"
    found = tuple(FakeClaim(outcome='passed' if i < held else 'failed') for i in range(claims))
    result = Result(exercise=MASK.id, outcome=outcome, claims=found, **more)
    record_attempt(MASK, source or f'{outcome} {held}', result, folder)


def stands(folder):
    "How `causal_mask` stands"
    return next(s for s in progress.progress(folder).exercises if s.exercise == MASK.id)


def many(folder, barrier, n):
    "Different answers, as soon as everybody is there"
    barrier.wait()
    for i in range(n): attempt(folder, source=f'{multiprocessing.current_process().name} {i}')


def one_hint(folder, barrier, n):
    barrier.wait()
    hint('causal_mask', folder)


def at_once(work, folder, processes=6, n=20):
    "Let several processes work on one folder"
    context = multiprocessing.get_context('spawn')
    barrier = context.Barrier(processes)
    started = [context.Process(target=work, args=(folder, barrier, n)) for _ in range(processes)]
    for p in started: p.start()
    for p in started: p.join()
    assert [p.exitcode for p in started] == [0]*processes
