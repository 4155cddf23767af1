"The shape of the whole: modules import alone and only from what came before, lessons and modules belong together, and the wheel holds everything"
import ast
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT/'tools'))

import readme  # noqa: E402
from lint import module_name, notebooks  # noqa: E402

PACKAGE, NBS = ROOT/'dlcourse', ROOT/'nbs'
LIGHT, HEAVY = ('00', '02', '16', '21', '23', '24'), ('torch', 'matplotlib')


def modules(package:Path)->dict[str, Path]:
    "Dotted name → file, for each module of a package that comes from a notebook"
    return {'.'.join(p.relative_to(package.parent).with_suffix('').parts): p for p in sorted(package.rglob('*.py')) if p.name[0] != '_'}


def lessons(nbs:Path, package:str)->dict[str, Path]:
    "Dotted name → notebook, for each lesson and the command line, in the order of the course"
    return {f'{package}.{module_name(p, nbs)}': p for p in notebooks(nbs) if p != nbs/'index.ipynb'}


def place(nbs:Path, book:Path)->tuple[int, ...]:
    "Number of the part and of the lesson: (4, 2) for nbs/04_vision/02_classics.ipynb"
    return tuple(int(re.match(r'\d+', part)[0]) for part in book.relative_to(nbs).parts)


def imported(path:Path, module:str, known:set[str]):
    "Line and name of each module of its own package that a file imports, in functions too; a package where only that is named"
    top = module.split('.')[0]
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import): names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            parts = module.split('.')[:-node.level] if node.level else []
            base = '.'.join(parts + ([node.module] if node.module else []))
            names = [f'{base}.{alias.name}' if any(k == f'{base}.{alias.name}' or k.startswith(f'{base}.{alias.name}.') for k in known) else base
                     for alias in node.names]
        elif isinstance(node, ast.Call) and re.search(r'(^|\.)(import_module|__import__|need)$', ast.unparse(node.func)) \
            and node.args and isinstance(node.args[0], ast.Constant): names = [str(node.args[0].value)]
        else: continue
        for name in dict.fromkeys(names):
            if name.startswith(f'{top}.'): yield node.lineno, next((k for k in known if name == k or name.startswith(f'{k}.')), name)


def import_faults(package:Path, nbs:Path)->list[str]:
    "Every import of a later part or lesson, as `notebook (file:line) imports …`"
    found, books, files = [], lessons(nbs, package.name), modules(package)
    cli = f'{package.name}.cli.'
    places = {name: place(nbs, book) for name, book in books.items() if not name.startswith(cli)}
    for init in package.rglob('__init__.py'):
        own = '.'.join((*init.parent.relative_to(package.parent).parts, '__init__'))
        found += [f'{init.relative_to(package.parent)}:{line} imports {name}; a package is empty' for line, name in imported(init, own, set(files))]
    for name, path in files.items():
        if name.startswith(cli): continue
        if name not in places: found.append(f'{name} has no lesson that says where it stands'); continue
        here, lesson = places[name], books[name].relative_to(nbs)
        for line, target in imported(path, name, set(files)):
            where = f'{lesson} ({path.relative_to(package.parent)}:{line}) imports {target}'
            if f'{target}.'.startswith(cli): found.append(f'{where}: nothing imports the command line')
            elif target == name: found.append(f'{where}: itself')
            elif target in places:
                if places[target] >= here: found.append(f'{where}, which comes later: {books[target].relative_to(nbs)}')
            else:
                parts = {there[0] for other, there in places.items() if other.startswith(f'{target}.')}
                if not parts: found.append(f'{where}, which is no module')
                elif max(parts) >= here[0]: found.append(f'{where}, a whole part, and not an earlier one')
    return found


def test_modules_import_only_what_came_before():
    faults = import_faults(PACKAGE, NBS)
    assert not faults, '\n' + '\n'.join(faults)


@pytest.fixture
def made_up(tmp_path):
    "A function that makes a course of lessons, notebook → source of its module, and gives the faults of its imports"
    def make(**sources):
        package, nbs = tmp_path/'dlcourse', tmp_path/'nbs'
        shutil.rmtree(package, ignore_errors=True); shutil.rmtree(nbs, ignore_errors=True)
        books = {'01_data/01_read': '', '01_data/02_clean': '', '02_models/01_linear': '', 'cli/app': ''} | {k.replace('__', '/'): v for k, v in sources.items()}
        for book, source in books.items():
            path = nbs/f'{book}.ipynb'
            path.parent.mkdir(parents=True, exist_ok=True); path.touch()
            module = package/(module_name(path, nbs).replace('.', '/') + '.py')
            module.parent.mkdir(parents=True, exist_ok=True); module.write_text(source); (module.parent/'__init__.py').touch()
        return import_faults(package, nbs)
    return make


@pytest.mark.parametrize('book, source', [
    ('02_models__01_linear', 'from ..data.clean import tidy\nfrom .. import __version__\nimport dlcourse.data.read\nfrom dlcourse.data import read, clean'),
    ('01_data__02_clean', 'from .read import rows\nfrom . import read\ndef f():\n    import numpy, dlcourse.data.read as r'),
    ('cli__app', 'from ..models.linear import Linear\nfrom dlcourse import data'),
    ('01_data__01_read', '"from ..models.linear import Linear"'),
])
def test_checker_passes_what_came_before(made_up, book, source): assert made_up(**{book: source}) == []


@pytest.mark.parametrize('book, source, words', [
    ('01_data__01_read', 'def f():\n    from .clean import tidy', '01_data/01_read.ipynb (dlcourse/data/read.py:2) imports dlcourse.data.clean, which comes later'),
    ('01_data__01_read', 'def f():\n    from . import clean', 'imports dlcourse.data.clean, which comes later: 01_data/02_clean.ipynb'),
    ('01_data__02_clean', 'class A:\n    from ..models import linear', 'imports dlcourse.models.linear, which comes later: 02_models/01_linear.ipynb'),
    ('01_data__02_clean', 'from dlcourse.models.linear import Linear', 'imports dlcourse.models.linear, which comes later'),
    ('01_data__02_clean', 'import dlcourse.models.linear as m', 'imports dlcourse.models.linear, which comes later'),
    ('01_data__02_clean', 'import importlib\nm = importlib.import_module("dlcourse.models.linear")', 'dlcourse.models.linear, which comes later'),
    ('01_data__02_clean', 'from dlcourse import models', 'imports dlcourse.models, a whole part'),
    ('01_data__02_clean', 'from .. import data', 'imports dlcourse.data, a whole part'),
    ('02_models__01_linear', 'from ..cli.app import main', 'nothing imports the command line'),
    ('02_models__01_linear', 'from .quadratic import fit', 'imports dlcourse.models.quadratic, which is no module'),
    ('01_data__02_clean', 'from .clean import x', 'itself'),
])
def test_checker_finds_what_comes_later(made_up, book, source, words):
    fault, = made_up(**{book: source})
    assert words in fault


def test_checker_finds_a_module_without_lesson_and_a_package_that_imports(made_up, tmp_path):
    made_up()
    (tmp_path/'dlcourse'/'data'/'lost.py').touch()
    (tmp_path/'dlcourse'/'__init__.py').write_text('from .data.read import rows')
    assert import_faults(tmp_path/'dlcourse', tmp_path/'nbs') == ['dlcourse/__init__.py:1 imports dlcourse.data.read; a package is empty',
                                                                   'dlcourse.data.lost has no lesson that says where it stands']


def test_one_notebook_one_module():
    assert lessons(NBS, 'dlcourse').keys() == modules(PACKAGE).keys()


def test_no_two_lessons_in_one_place():
    seen = {}
    for name, book in lessons(NBS, 'dlcourse').items():
        if not name.startswith('dlcourse.cli.'): assert seen.setdefault(place(NBS, book), book) == book
    parts = [int(p.name[:2]) for p in NBS.iterdir() if re.match(r'\d\d_', p.name)]
    assert len(parts) == len(set(parts))


# Each module in a process of its own, forked from one that has loaded nothing of the package

FORK = """
import importlib, json, os, sys, traceback
libraries, modules, heavy = json.loads(sys.argv[1])
for name in libraries: importlib.import_module(name)
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
    env = os.environ | dict(OMP_NUM_THREADS='1', OBJC_DISABLE_INITIALIZE_FORK_SAFETY='YES') # The second lets a process on macOS fork after it loaded torch
    done = subprocess.run([sys.executable, '-c', FORK, json.dumps([libraries, list(names), heavy])], capture_output=True, text=True, cwd=ROOT, env=env)
    return done.stdout if done.returncode == 0 else done.stderr


def test_every_module_imports_in_a_fresh_process():
    names = ['dlcourse', *modules(PACKAGE)]
    torch = any(re.search(r'^(import|from) torch\b', p.read_text(encoding='utf-8'), re.M) for p in modules(PACKAGE).values())
    assert import_each(names, ['torch'] if torch else []) == ''


def test_a_module_that_cannot_be_imported_is_named(): assert 'ModuleNotFoundError' in import_each(['dlcourse.nothing'])


def test_light_parts_load_nothing_heavy():
    light = [name for name, book in lessons(NBS, 'dlcourse').items() if book.relative_to(NBS).parts[0].startswith(LIGHT)]
    assert import_each(['dlcourse', *light], heavy=HEAVY) == ''


HELP = """
import sys
sys.argv = ['dlcourse', '--help']
try:
    from dlcourse.cli.app import main
    main()
except SystemExit as e: assert not e.code, e.code
print('LOADED', *(h for h in {heavy} if h in sys.modules))
"""


def needs_cli():
    if not (PACKAGE/'cli'/'app.py').exists(): pytest.skip("dlcourse/cli/app.py is not there yet")


def test_help_loads_nothing_heavy():
    needs_cli()
    done = subprocess.run([sys.executable, '-c', HELP.replace('{heavy}', repr(HEAVY))], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].split() == ['LOADED']


@pytest.mark.parametrize('args', [['-c', 'import dlcourse'], ['-m', 'dlcourse.cli.app', '--help'], ['-c', 'pass']], ids=['import', 'help', 'python alone'])
def test_start_is_timed(args):
    "No limit, just the median of five; `pytest -n 0 -s -k timed` shows it"
    if 'dlcourse.cli.app' in args:
        needs_cli()
        args = ['-c', "import sys; sys.argv = ['dlcourse', '--help']; from dlcourse.cli.app import main; main()"]
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, *args], check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    print(f"\n{' '.join(args)}: {statistics.median(seconds)*1000:.0f} ms")


def test_readme_is_in_step():
    if not (ROOT/readme.INDEX).exists() or not (ROOT/'README.md').exists(): pytest.skip("README.md or nbs/index.ipynb is not there yet")
    assert (ROOT/'README.md').read_text(encoding='utf-8') == readme.readme()


# The wheel, built from a copy so that nothing of the build stays in the tree

SOURCES = ('dlcourse', 'nbs', 'datasets', 'assets', 'laws', 'pyproject.toml', 'setup.py', 'MANIFEST.in', 'README.md', 'LICENSE')


def shipped()->set[str]:
    "Files of the tree that the wheel must hold"
    return {p.relative_to(ROOT).as_posix() for pattern in ('nbs/**/*.ipynb', 'assets/*', 'laws/*.toml', 'datasets/*/card.toml') for p in ROOT.glob(pattern)
            if not any(part[0] in '._' for part in p.relative_to(ROOT).parts)}


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    "The wheel of this tree"
    missing = [name for name in SOURCES if not (ROOT/name).exists()]
    if missing: pytest.skip(f"not there yet: {', '.join(missing)}")
    tree = tmp_path_factory.mktemp('tree')
    for name in SOURCES:
        if (ROOT/name).is_dir(): shutil.copytree(ROOT/name, tree/name, ignore=shutil.ignore_patterns('__pycache__', '.*'))
        else: shutil.copyfile(ROOT/name, tree/name)
    done = subprocess.run([sys.executable, '-m', 'build', '--wheel', '--no-isolation', '--outdir', tree/'out', tree], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return next((tree/'out').glob('*.whl'))


def test_wheel_holds_lessons_cards_and_templates(wheel):
    files = zipfile.ZipFile(wheel)
    names = set(files.namelist())
    assert {f'dlcourse/{name}' for name in shipped()} <= names
    assert {p.relative_to(ROOT).as_posix() for p in PACKAGE.rglob('*.py')} <= names
    assert {name.split('/')[0] for name in names if '.dist-info/' not in name} == {'dlcourse'}
    for name in names:
        if name.endswith('.ipynb'):
            cells = json.loads(files.read(name))['cells']
            assert cells and not any(cell.get('outputs') or cell.get('execution_count') for cell in cells), name


def test_installed_wheel_finds_its_own_files(wheel, tmp_path):
    site, empty = tmp_path/'site', tmp_path/'empty'
    empty.mkdir()
    subprocess.run([sys.executable, '-m', 'pip', 'install', '-q', '--no-deps', '--no-index', '--target', site, wheel], check=True)
    code = "import dlcourse, dlcourse.core.files as f; print(dlcourse.__file__); print(f.__file__); print(f.project_path('datasets')); print(f.project_path('nbs'))"
    done = subprocess.run([sys.executable, '-c', code], cwd=empty, env=os.environ | {'PYTHONPATH': str(site)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    package = (site/'dlcourse').resolve()
    init, files, datasets, nbs = map(Path, done.stdout.splitlines())
    assert init.resolve() == package/'__init__.py' and files.resolve() == package/'core'/'files.py'
    assert datasets.resolve() == package/'datasets' and nbs.resolve() == package/'nbs'
    assert {p for p in shipped() if p.endswith('card.toml')} == {p.relative_to(package).as_posix() for p in datasets.resolve().glob('*/card.toml')}
