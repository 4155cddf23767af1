"The command as a user runs it"
import io
import multiprocessing
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

START = [sys.executable, '-c', 'from dlcourse.cli.app import main; main()']
SEEN = {'COLUMNS': '120', 'NO_COLOR': '1'}
# What most commands load. Nothing of it is used before the fork: no thread is lost there
LOADED = ['dlcourse.cli.app', 'dlcourse.audit.report', 'dlcourse.fairness.credit_audit',
          'dlcourse.audit.leaks', 'dlcourse.privacy.dossier', 'dlcourse.privacy.accounting',
          'dlcourse.classroom.exercises', 'dlcourse.core.bars', 'polars', 'duckdb', 'scipy.stats',
          'narwhals', 'rich.console', 'rich.progress', 'rich.table', 'jinja2', 'matplotlib.figure',
          'cli.runs']


def dlcourse(*words, cwd=None, **env):
    "Run the command in a process of its own: exit code, output, errors"
    env, words = os.environ | SEEN | env, list(map(str, words))
    if not can_be_forked(env): return spawned(words, cwd, env)
    with tempfile.TemporaryDirectory() as place:
        files = [Path(place)/name for name in ('out', 'err')]
        process = server().Process(target=forked, args=(words, cwd, env, files))
        process.start(), process.join()
        code = process.exitcode
        process.close()
        return code, *(file.read_text(encoding='utf-8') for file in files)


def can_be_forked(env):
    "Some variables are read when Python or a library starts; not by ours, nor by what comes later"
    late = ('DLCOURSE_', 'PYTEST_', 'FLWR_', 'RAY_', 'GRPC_') # Who imports Flower has it set them
    return {k: v for k, v in env.items() if not k.startswith(late)}.items() <= STARTED.items()


STARTED = os.environ | SEEN


def spawned(words, cwd=None, env=None):
    "The same from Python's start on, which takes a second of imports"
    done = subprocess.run([*START, *words], capture_output=True, text=True, cwd=cwd, env=env)
    return done.returncode, done.stdout, done.stderr


@cache
def server():
    "A process that has loaded the command and is copied for each run"
    context = multiprocessing.get_context('forkserver')
    context.set_forkserver_preload(LOADED)
    return context


def forked(words, cwd, env, files):
    "In the copy: what a user's process finds, and its end"
    os.environ.clear(), os.environ.update(env)
    if cwd: os.chdir(cwd)
    for number, file in zip((1, 2), files, strict=True):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
    sys.stdout, sys.stderr = (io.TextIOWrapper(open(n, 'wb', closefd=False), encoding='utf-8',
                                               errors=errors, line_buffering=n == 2)
                              for n, errors in ((1, 'strict'), (2, 'backslashreplace')))
    sys.argv = ['-c', *words]
    from dlcourse.cli.app import main
    main()
