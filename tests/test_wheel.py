"The wheel holds all that the library opens, and works where it is installed"
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ('dlcourse', 'nbs', 'datasets', 'assets', 'laws', 'pyproject.toml', 'setup.py',
           'MANIFEST.in', 'README.md', 'LICENSE')
SHIPPED = ('nbs/**/*.ipynb', 'assets/*', 'laws/*.toml', 'datasets/*/card.toml')
MADE = {'_modidx.py'} # By an export, for nbdev; no part of the package
WHERE = """
import dlcourse, dlcourse.core.files as f
print(dlcourse.__file__, f.__file__, f.project_path('datasets'), f.project_path('nbs'), sep='\\n')
"""


def shipped()->set[str]:
    "Files of the tree that the wheel must hold"
    paths = (p.relative_to(ROOT) for pattern in SHIPPED for p in ROOT.glob(pattern))
    return {p.as_posix() for p in paths if not any(part[0] in '._' for part in p.parts)}


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    "The wheel, built from a copy so that nothing of the build stays in the tree"
    tree = tmp_path_factory.mktemp('tree')
    ignored = shutil.ignore_patterns('__pycache__', '.*', *MADE)
    for name in SOURCES:
        if (ROOT/name).is_dir(): shutil.copytree(ROOT/name, tree/name, ignore=ignored)
        else: shutil.copyfile(ROOT/name, tree/name)
    words = ['-m', 'build', '--wheel', '--no-isolation', '--outdir', tree/'out', tree]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return next((tree/'out').glob('*.whl'))


def test_it_holds_lessons_cards_laws_and_templates(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f'dlcourse/{name}' for name in shipped()} <= names
    modules = (p for p in (ROOT/'dlcourse').rglob('*.py') if p.name not in MADE)
    assert {p.relative_to(ROOT).as_posix() for p in modules} <= names
    assert {n.split('/')[0] for n in names if '.dist-info/' not in n} == {'dlcourse'}


def test_its_lessons_have_no_outputs(wheel):
    files = zipfile.ZipFile(wheel)
    books = [name for name in files.namelist() if name.endswith('.ipynb')]
    for name in books:
        cells = json.loads(files.read(name))['cells']
        assert cells and not any(c.get('outputs') or c.get('execution_count') for c in cells), name
    assert len(books) > 40


def test_what_is_installed_finds_its_own_files(wheel, tmp_path):
    site, empty = tmp_path/'site', tmp_path/'empty'
    empty.mkdir()
    pip = [sys.executable, '-m', 'pip', 'install', '-q', '--no-deps', '--no-index']
    subprocess.run([*pip, '--target', site, wheel], check=True)
    done = subprocess.run([sys.executable, '-c', WHERE], cwd=empty, capture_output=True, text=True,
                          env=os.environ | {'PYTHONPATH': str(site)})
    assert done.returncode == 0, done.stderr
    package = (site/'dlcourse').resolve()
    init, files, datasets, nbs = map(Path, done.stdout.splitlines())
    assert init.resolve() == package/'__init__.py'
    assert files.resolve() == package/'core'/'files.py'
    assert datasets.resolve() == package/'datasets' and nbs.resolve() == package/'nbs'
    cards = {p.relative_to(package).as_posix() for p in datasets.resolve().glob('*/card.toml')}
    assert cards == {p for p in shipped() if p.endswith('card.toml')}
