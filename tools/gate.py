"Everything that must hold before a commit, cheapest first: what `make test` runs"
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent # Not resolved: the executables of the virtual environment lie beside its link to Python
CHECKED = ('dlcourse', 'nbs', 'tools', 'tests', 'benchmarks', 'setup.py')
HIDDEN = shutil.ignore_patterns('.*', '_*', '*.part')


class Failed(Exception):
    "A step did not hold; the text says what to do"


def environment(
    **extra:str,     # Variables to add
)->dict[str, str]:   # Environment for a subprocess
    "One thread, the virtual environment's programs first, and none of the caller's own settings except where the data lies"
    kept = {k: v for k, v in os.environ.items() if k != 'IN_TEST' and (k == 'DLCOURSE_DATA' or not k.startswith('DLCOURSE_'))}
    path = f"{BIN}{os.pathsep}{kept.get('PATH', os.defpath)}"
    return kept | dict(PATH=path, OMP_NUM_THREADS='1', PYTHONUNBUFFERED='1', PYDEVD_DISABLE_FILE_VALIDATION='1') | extra


def run(
    name:str,        # A program of the virtual environment
    *args:str,       # Its arguments
    cwd:Path=ROOT,   # Where it runs
    **env:str,       # Environment variables to add
):
    "Run a program, its output passing through; raises `Failed` unless it ends with 0"
    try: code = subprocess.run([BIN/name, *args], cwd=cwd, env=environment(**env)).returncode
    except FileNotFoundError: raise Failed(f"`{name}` is not installed in {BIN}; run `make setup`") from None
    if code: raise Failed(f"`{' '.join([name, *(a for a in args[:1] if a[0] != '-')])}` ended with {code}")


def snapshot(
    folder:Path,         # Any folder
    pattern:str='*',     # Which files below it
)->dict[str, bytes]:     # Relative path → content
    "Every file below a folder, byte for byte"
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob(pattern)) if p.is_file() and '__pycache__' not in p.parts}


def differences(
    is_:dict[str, bytes],     # What is there
    should:dict[str, bytes],  # What ought to be there
)->list[str]:                 # One line for each file that differs
    "How two snapshots differ"
    words = {(True, False): "not there yet", (False, True): "should not be there", (False, False): "out of date"}
    return [f"{words[name not in is_, name not in should]}: {name}" for name in sorted(is_.keys() | should.keys()) if is_.get(name) != should.get(name)]


# The steps. Each gets a scratch folder: what export and clean write, they write there, so that a run never touches the tree


def lint(work:Path): run('python', 'tools/lint.py')


def export(work:Path):
    copy = work/'export'
    shutil.copytree(ROOT/'nbs', copy/'nbs', ignore=HIDDEN)
    (copy/'dlcourse').mkdir()
    for name in ('pyproject.toml', 'dlcourse/__init__.py'): shutil.copyfile(ROOT/name, copy/name)
    run('nbdev-export', cwd=copy)


def same_package(work:Path):
    kept = ('pyproject.toml', 'dlcourse/__init__.py')
    if touched := [name for name in kept if (work/'export'/name).read_bytes() != (ROOT/name).read_bytes()]:
        raise Failed(f"nbdev-export would rewrite {' and '.join(touched)}, which it must leave alone")
    if changed := differences(snapshot(ROOT/'dlcourse'), snapshot(work/'export'/'dlcourse')):
        print(*(f'  {line}' for line in changed), sep='\n')
        raise Failed("dlcourse/ is not what the notebooks export: run `nbdev-export`, delete modules that have no notebook, and commit")


def ruff(work:Path): run('ruff', 'check', *(name for name in CHECKED if (ROOT/name).exists()))


def readme(work:Path): run('python', 'tools/readme.py', '--check')


def without_data()->dict[str, list[str]]: # Notebook → data sets that it loads and that are not here
    "Lessons that cannot run, since what they download was not downloaded and a gate downloads nothing"
    from dlcourse.core.datasets import cards, is_here
    absent = [name for name, c in cards().items() if not is_here(c)]
    wanted = {p.name: [n for n in absent if f"load('{n}')" in p.read_text(encoding='utf-8')] for p in sorted((ROOT/'nbs').rglob('[0-9]*.ipynb'))}
    return {name: sets for name, sets in wanted.items() if sets}


def lessons(work:Path):
    lacking = without_data()
    for name, sets in lacking.items(): print(f"SKIPPED {name}: it needs {', '.join(sets)}, and that is not here; `dlcourse datasets get {sets[0]}` brings it")
    skip = ['--skip-file-re', '|'.join(['^[_.]', *(f'^{re.escape(name)}$' for name in lacking)])] if lacking else []
    run('nbdev-test', '--n-workers', '2', '--timing', *skip, DLCOURSE_SIZE='smoke')


def tests(work:Path): run('pytest', '-n', '2', MPLBACKEND='Agg')


def clean(work:Path):
    copy = work/'clean'
    shutil.copytree(ROOT/'nbs', copy, ignore=HIDDEN)
    run('nbdev-clean', '--fname', str(copy), PYTHONWARNINGS='error::UserWarning') # It only warns of a notebook that it cannot clean
    if changed := [name for name, data in snapshot(copy, '*.ipynb').items() if (ROOT/'nbs'/name).read_bytes() != data]:
        print(*(f'  not clean: nbs/{name}' for name in changed), sep='\n')
        raise Failed("notebooks hold what nbdev-clean would remove: run `nbdev-clean`, and commit")


STEPS = {'notebook lint': lint, 'export': export, 'package is the export': same_package, 'ruff': ruff, 'README': readme,
         'lessons': lessons, 'tests': tests, 'notebooks are clean': clean}


def gate(
    steps:dict[str, Callable]=STEPS, # Name → function of a scratch folder, which raises `Failed`
)->int:                              # Exit status
    "Run one step after the other until one fails, then say how long each took"
    seconds, verdict = {}, None
    with tempfile.TemporaryDirectory(prefix='gate') as work:
        for name, step in steps.items():
            print(f'\n== {name}', flush=True)
            start = time.perf_counter()
            try: step(Path(work))
            except Failed as e: verdict = f'make test FAILED at "{name}": {e}'
            seconds[name] = time.perf_counter() - start
            if verdict: break
    print('\nseconds', *(f'{spent:7.1f}  {name}' for name, spent in seconds.items()), f'{sum(seconds.values()):7.1f}  in all', sep='\n')
    print(verdict or f'make test: all {len(steps)} steps hold', flush=True)
    return bool(verdict)


if __name__ == '__main__': sys.exit(gate())
