"The shape of the whole: modules import alone, and only from what came before"
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import readme
from cells import module_name, notebooks
from imports import imported, modules

ROOT = Path(__file__).resolve().parents[1]
PACKAGE, NBS = ROOT/'dlcourse', ROOT/'nbs'
LIGHT, HEAVY = ('00', '02', '16', '21', '23', '24'), ('torch', 'matplotlib')


def lessons(nbs:Path, package:str)->dict[str, Path]:
    "Dotted name → notebook, for each lesson and the command line, in the order of the course"
    books = (p for p in notebooks(nbs) if p != nbs/'index.ipynb')
    return {f'{package}.{module_name(p, nbs)}': p for p in books}


def place(nbs:Path, book:Path)->tuple[int, ...]:
    "Number of the part and of the lesson: (5, 2) for nbs/05_vision/02_classics.ipynb"
    return tuple(int(re.match(r'\d+', part)[0]) for part in book.relative_to(nbs).parts)


def package_faults(package:Path, known:set[str])->Iterator[str]:
    "Packages that are not empty"
    for init in package.rglob('__init__.py'):
        own = '.'.join((*init.parent.relative_to(package.parent).parts, '__init__'))
        for line, name in imported(init, own, known):
            where = f'{init.relative_to(package.parent)}:{line}'
            yield f'{where} imports {name}; a package is empty'


def order_fault(here:tuple, name:str, target:str, books:dict, places:dict, nbs:Path)->str|None:
    "What is wrong with an import, if anything"
    cli = f"{name.split('.')[0]}.cli."
    if f'{target}.'.startswith(cli): return ': nothing imports the command line'
    if target == name: return ': itself'
    if target in places:
        late = places[target] >= here
        return f', which comes later: {books[target].relative_to(nbs)}' if late else None
    parts = {there[0] for other, there in places.items() if other.startswith(f'{target}.')}
    if not parts: return ', which is no module'
    return ', a whole part, and not an earlier one' if max(parts) >= here[0] else None


def import_faults(package:Path, nbs:Path)->list[str]:
    "Every import of a later part or lesson, as `notebook (file:line) imports …`"
    books, files = lessons(nbs, package.name), modules(package)
    cli = f'{package.name}.cli.'
    places = {n: place(nbs, book) for n, book in books.items() if not n.startswith(cli)}
    found = list(package_faults(package, set(files)))
    for name, path in files.items():
        if name.startswith(cli): continue
        if name not in places:
            found.append(f'{name} has no lesson that says where it stands')
            continue
        for line, target in imported(path, name, set(files)):
            fault = order_fault(places[name], name, target, books, places, nbs)
            where = f'{books[name].relative_to(nbs)} ({path.relative_to(package.parent)}:{line})'
            if fault: found.append(f'{where} imports {target}{fault}')
    return found


def test_modules_import_only_what_came_before():
    faults = import_faults(PACKAGE, NBS)
    assert not faults, '\n' + '\n'.join(faults)


BOOKS = ('01_data/01_read', '01_data/02_clean', '02_models/01_linear', 'cli/app')


@pytest.fixture
def made_up(tmp_path):
    "A function that makes a course, notebook → source of its module, and gives the faults"
    def make(**sources):
        package, nbs = tmp_path/'dlcourse', tmp_path/'nbs'
        for folder in (package, nbs): shutil.rmtree(folder, ignore_errors=True)
        given = {k.replace('__', '/'): v for k, v in sources.items()}
        for book, source in (dict.fromkeys(BOOKS, '') | given).items():
            path = nbs/f'{book}.ipynb'
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
            module = package/(module_name(path, nbs).replace('.', '/') + '.py')
            module.parent.mkdir(parents=True, exist_ok=True)
            module.write_text(source)
            (module.parent/'__init__.py').touch()
        return import_faults(package, nbs)
    return make


EARLIER = ('from ..data.clean import tidy\nfrom .. import __version__\n'
           'import dlcourse.data.read\nfrom dlcourse.data import read, clean')
WITHIN = ('from .read import rows\nfrom . import read\ndef f():\n'
          '    import numpy, dlcourse.data.read as r')


@pytest.mark.parametrize('book, source', [
    ('02_models__01_linear', EARLIER), ('01_data__02_clean', WITHIN),
    ('cli__app', 'from ..models.linear import Linear\nfrom dlcourse import data'),
    ('01_data__01_read', '"from ..models.linear import Linear"'),
])
def test_imports_of_what_came_before_pass(made_up, book, source):
    assert made_up(**{book: source}) == []


BY_NAME = 'import importlib\nm = importlib.import_module("dlcourse.models.linear")'


@pytest.mark.parametrize('book, source, words', [
    ('01_data__01_read', 'def f():\n    from .clean import tidy',
     '01_data/01_read.ipynb (dlcourse/data/read.py:2) imports dlcourse.data.clean, which comes'),
    ('01_data__01_read', 'def f():\n    from . import clean',
     'imports dlcourse.data.clean, which comes later: 01_data/02_clean.ipynb'),
    ('01_data__02_clean', 'class A:\n    from ..models import linear',
     'imports dlcourse.models.linear, which comes later: 02_models/01_linear.ipynb'),
    ('01_data__02_clean', 'from dlcourse.models.linear import Linear', 'which comes later'),
    ('01_data__02_clean', 'import dlcourse.models.linear as m', 'which comes later'),
    ('01_data__02_clean', BY_NAME, 'dlcourse.models.linear, which comes later'),
    ('01_data__02_clean', 'from dlcourse import models', 'imports dlcourse.models, a whole part'),
    ('01_data__02_clean', 'from .. import data', 'imports dlcourse.data, a whole part'),
    ('02_models__01_linear', 'from ..cli.app import main', 'nothing imports the command line'),
    ('02_models__01_linear', 'from .quadratic import fit', 'which is no module'),
    ('01_data__02_clean', 'from .clean import x', 'itself'),
])
def test_imports_of_what_comes_later_are_found(made_up, book, source, words):
    fault, = made_up(**{book: source})
    assert words in fault


def test_a_module_without_lesson_and_a_package_that_imports_are_found(made_up, tmp_path):
    made_up()
    package = tmp_path/'dlcourse'
    (package/'data'/'lost.py').touch()
    (package/'__init__.py').write_text('from .data.read import rows')
    assert import_faults(package, tmp_path/'nbs') == [
        'dlcourse/__init__.py:1 imports dlcourse.data.read; a package is empty',
        'dlcourse.data.lost has no lesson that says where it stands']


def test_one_notebook_one_module():
    assert lessons(NBS, 'dlcourse').keys() == modules(PACKAGE).keys()


def test_no_two_lessons_in_one_place():
    seen = {}
    for name, book in lessons(NBS, 'dlcourse').items():
        if name.startswith('dlcourse.cli.'): continue
        assert seen.setdefault(place(NBS, book), book) == book
    parts = [int(p.name[:2]) for p in NBS.iterdir() if re.match(r'\d\d_', p.name)]
    assert len(parts) == len(set(parts))


# Each module in a process of its own, forked from one that has loaded nothing of the package

FORK = """
import gc, importlib, json, os, sys, traceback
from contextlib import suppress
libraries, modules, heavy = json.loads(sys.argv[1])
for name in libraries:
    with suppress(ImportError): importlib.import_module(name) # Who needs it will say so
gc.freeze() # Else each child looks through all that was loaded here
for name in modules:
    child = os.fork()
    if not child:
        try:
            importlib.import_module(name)
            loaded = [h for h in heavy if h in sys.modules]
            if loaded: print(f'{name} loads', *loaded)
        except BaseException: print(name, traceback.format_exc())
        sys.stdout.flush()
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if status: print(name, 'ended with', os.waitstatus_to_exitcode(status))
    sys.stdout.flush()
"""


def import_each(names, libraries=(), heavy=())->str:
    "What goes wrong when each module is imported alone; `libraries` are loaded once, before"
    # The second variable lets a process on macOS fork after it loaded torch
    env = os.environ | dict(OMP_NUM_THREADS='1', OBJC_DISABLE_INITIALIZE_FORK_SAFETY='YES')
    words = [sys.executable, '-c', FORK, json.dumps([libraries, list(names), heavy])]
    done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, env=env)
    return done.stdout if done.returncode == 0 else done.stderr


def libraries(names)->list[str]:
    "What these modules load from elsewhere when they are imported: packages, none of their parts"
    paths = (path for name, path in modules(PACKAGE).items() if name in names)
    texts = [path.read_text(encoding='utf-8') for path in paths]
    roots = set(re.findall(r'^(?:import|from) (\w+)', '\n'.join(texts), re.M))
    roots -= sys.stdlib_module_names | {PACKAGE.name}
    # SciPy finds its parts by itself: who names one gets it, loaded before or not
    return sorted(roots) + ['scipy.stats']*('scipy' in roots)


def test_every_module_imports_in_a_fresh_process():
    names = ['dlcourse', *modules(PACKAGE)]
    assert import_each(names, libraries(names)) == ''


def test_a_module_that_cannot_be_imported_is_named():
    assert 'ModuleNotFoundError' in import_each(['dlcourse.nothing'])


def test_light_parts_load_nothing_heavy():
    books = lessons(NBS, 'dlcourse').items()
    light = [name for name, b in books if b.relative_to(NBS).parts[0].startswith(LIGHT)]
    first = [name for name in libraries(light) if name not in HEAVY] # Nor may these load it
    assert import_each(['dlcourse', *light], first, HEAVY) == ''


HELP = f"""
import sys
sys.argv = ['dlcourse', '--help']
try:
    from dlcourse.cli.app import main
    main()
except SystemExit as e: assert not e.code, e.code
print('LOADED', *(h for h in {HEAVY!r} if h in sys.modules))
"""


def test_help_loads_nothing_heavy():
    done = subprocess.run([sys.executable, '-c', HELP], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].split() == ['LOADED']


@pytest.mark.parametrize('source', ['import dlcourse', HELP, 'pass'],
                         ids=['import', 'help', 'python alone'])
def test_start_is_timed(source):
    "No limit, just the median of five; `pytest -n 0 -s -k timed` shows it"
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, '-c', source], check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    print(f"\n{source.strip().splitlines()[0]}: {statistics.median(seconds)*1000:.0f} ms")


def test_readme_is_in_step():
    assert (ROOT/'README.md').read_text(encoding='utf-8') == readme.readme()
