"Everything that must hold before a commit, cheapest first: what `make test` runs"
import re
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

from environments import ROOT, Failed, lab_programs, run

CHECKED = ('dlcourse', 'nbs', 'tools', 'tests', 'benchmarks', 'site', 'setup.py')
KEPT = ('pyproject.toml', 'dlcourse/__init__.py') # What an export must not write
HIDDEN = shutil.ignore_patterns('.*', '_*', '*.part')
UNTRACKED = {'_modidx.py'} # nbdev's index of symbols: made by each export, part of no commit


def snapshot(
    folder:Path,         # Any folder
    pattern:str='*',     # Which files below it
)->dict[str, bytes]:     # Relative path → content
    "Every file below a folder, byte for byte, but for what is made anew each time"
    files = (p for p in sorted(folder.rglob(pattern)) if p.is_file())
    kept = (p for p in files if '__pycache__' not in p.parts and p.name not in UNTRACKED)
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in kept}


def differences(
    there:dict[str, bytes],   # What is there
    wanted:dict[str, bytes],  # What ought to be there
)->list[str]:                 # One line for each file that differs
    "How two snapshots differ"
    lines = []
    for name in sorted(there.keys() | wanted.keys()):
        if there.get(name) == wanted.get(name): continue
        if name not in there: word = "not there yet"
        elif name not in wanted: word = "should not be there"
        else: word = "out of date"
        lines.append(f"{word}: {name}")
    return lines


# The steps. Each gets a scratch folder: what export and clean write, they write there,
# so that a run never touches the tree


def lint(work:Path): run('python', 'tools/lint.py')


def export(work:Path):
    copy = work/'export'
    shutil.copytree(ROOT/'nbs', copy/'nbs', ignore=HIDDEN)
    (copy/'dlcourse').mkdir()
    for name in KEPT: shutil.copyfile(ROOT/name, copy/name)
    run('nbdev-export', cwd=copy)


def same_package(work:Path):
    written = [n for n in KEPT if (work/'export'/n).read_bytes() != (ROOT/n).read_bytes()]
    if written:
        files = ' and '.join(written)
        raise Failed(f"nbdev-export would rewrite {files}, which it must leave alone")
    changed = differences(snapshot(ROOT/'dlcourse'), snapshot(work/'export'/'dlcourse'))
    if not changed: return
    print(*(f'  {line}' for line in changed), sep='\n')
    raise Failed("dlcourse/ is not what the notebooks export: run `nbdev-export`, delete modules "
                 "that have no notebook, and commit")


def ruff(work:Path): run('ruff', 'check', *(n for n in CHECKED if (ROOT/n).exists()))


def readme(work:Path): run('python', 'tools/readme.py', '--check')


def without_data()->dict[str, list[str]]: # Notebook → data sets that it loads and that are not here
    "Lessons that cannot run: what they load was not downloaded, and a gate downloads nothing"
    from dlcourse.core.cards import cards
    from dlcourse.core.downloads import is_here
    absent = [name for name, card in cards().items() if not is_here(card)]
    found = {}
    for path in sorted((ROOT/'nbs').rglob('[0-9]*.ipynb')):
        text = path.read_text(encoding='utf-8')
        lacking = [name for name in absent if re.search(rf"load\('{name}'", text)]
        if lacking: found[path.name] = lacking
    return found


def lessons(work:Path):
    "Run every page at its small size, from what `make lab` installs and nothing else"
    lacking = without_data()
    for name, sets in lacking.items():
        print(f"SKIPPED {name}: it needs {', '.join(sets)}, and that is not here; "
              f"`dlcourse datasets get {sets[0]}` brings it")
    skipped = '|'.join(['^[_.]', *(f'^{re.escape(name)}$' for name in lacking)])
    skip = ['--skip-file-re', skipped] if lacking else []
    # That environment comes uncompiled; to compile torch takes each process longer than most pages
    kept = dict(PYTHONDONTWRITEBYTECODE='', PYTHONPYCACHEPREFIX=str(ROOT/'_out'/'pycache'))
    run('nbdev-test', '--n-workers', '2', '--timing', *skip, programs=lab_programs(),
        DLCOURSE_SIZE='smoke', **kept)


def site(work:Path, told:IO|None=None):
    "Make the web site and look at every link; the tests below look at it in a browser"
    make = Path(shutil.which('make') or 'make')
    run(make.name, '-s', 'site', f'PYTHON={sys.executable}', programs=make.parent, told=told)


# Some tests wait for what other processes do, so that two workers leave two cores idle
def tests(work:Path): run('pytest', '-n', '3', '--dist', 'loadgroup', MPLBACKEND='Agg')


def clean(work:Path, told:IO|None=None):
    copy = work/'clean'
    shutil.copytree(ROOT/'nbs', copy, ignore=HIDDEN)
    # nbdev only warns of a notebook that it cannot clean
    run('nbdev-clean', '--fname', str(copy), told=told, PYTHONWARNINGS='error::UserWarning')
    cleaned = snapshot(copy, '*.ipynb')
    changed = [name for name, data in cleaned.items() if (ROOT/'nbs'/name).read_bytes() != data]
    if not changed: return
    print(*(f'  not clean: nbs/{name}' for name in changed), sep='\n', file=told)
    raise Failed("notebooks hold what nbdev-clean would remove: run `nbdev-clean`, and commit")


def beside(
    step:Callable,   # A function of a scratch folder
    other:Callable,  # Another, which uses one core; also of a file, for what is said
)->Callable:         # A function of a scratch folder
    "Two steps at once; what the other one said comes after the first"
    def both(work):
        with (work/f'{other.__name__}.txt').open('w+', encoding='utf-8') as told:
            with ThreadPoolExecutor(1) as pool:
                second = pool.submit(other, work, told)
                try: step(work)
                finally: # Whatever becomes of the first, nothing that the other said is lost
                    second.exception(), told.seek(0), print(told.read(), end='', flush=True)
            second.result()
    return both


STEPS = {'notebooks, lint and clean': beside(lint, clean), 'export': export,
         'package is the export': same_package, 'ruff': ruff, 'README': readme,
         'lessons and site': beside(lessons, site), 'tests': tests}
FAST = [name for name in STEPS if name != 'lessons and site'] # What needs no second environment


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
    told = [f'{spent:7.1f}  {name}' for name, spent in seconds.items()]
    print('\nseconds', *told, f'{sum(seconds.values()):7.1f}  in all', sep='\n')
    print(verdict or f'make test: all {len(steps)} steps hold', flush=True)
    return bool(verdict)


def main(argv:list[str])->int:
    "`gate.py` runs all steps, `gate.py --fast` those that need no second environment"
    if argv not in ([], ['--fast']): raise SystemExit(f"usage: {main.__doc__}")
    return gate({name: STEPS[name] for name in (FAST if argv else STEPS)})


if __name__ == '__main__': sys.exit(main(sys.argv[1:]))
