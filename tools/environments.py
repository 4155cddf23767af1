"The environments that the project's tools run programs in"
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent # Not resolved: the programs lie beside the link to Python
LAB = ROOT/'_out'/'lab'
LAB_EXTRAS = '.[lab,torch]'       # What `make lab` installs, and what every page must run from


class Failed(Exception):
    "A step did not hold; the text says what to do"


def environment(
    programs:Path=BIN,   # Folder of the programs that come first
    **extra:str,         # Variables to add
)->dict[str, str]:       # Environment for a subprocess
    "One thread, an environment's programs first, of the caller's settings only where data lie"
    ours = {k for k in os.environ if k.startswith('DLCOURSE_') and k != 'DLCOURSE_DATA'}
    kept = {k: v for k, v in os.environ.items() if k not in ours | {'IN_TEST'}}
    path = f"{programs}{os.pathsep}{kept.get('PATH', os.defpath)}"
    fixed = dict(PATH=path, OMP_NUM_THREADS='1', PYTHONUNBUFFERED='1',
                 PYDEVD_DISABLE_FILE_VALIDATION='1')
    return kept | fixed | extra


def run(
    name:str,            # A program
    *args:str,           # Its arguments
    cwd:Path=ROOT,       # Where it runs
    programs:Path=BIN,   # Folder it lies in
    told:IO|None=None,   # Where its output goes; passing through where not given
    **env:str,           # Environment variables to add
):
    "Run a program; raises `Failed` unless it ends with 0"
    how = dict(cwd=cwd, env=environment(programs, **env))
    if told: how |= dict(stdout=told, stderr=subprocess.STDOUT)
    try: done = subprocess.run([programs/name, *args], **how)
    except FileNotFoundError:
        raise Failed(f"`{name}` is not installed in {programs}; run `make setup`") from None
    if not done.returncode: return
    command = ' '.join([name, *(a for a in args[:1] if a[0] != '-')])
    raise Failed(f"`{command}` ended with {done.returncode}")


def wanted_by(extras:str)->str:
    "A digest of all that says what an environment holds"
    digest = hashlib.sha256(extras.encode())
    for name in ('pyproject.toml', 'setup.py', 'constraints.txt', 'tools/slim.py'):
        digest.update((ROOT/name).read_bytes())
    return digest.hexdigest()


def size(folder:Path)->int:
    "Bytes of all files below a folder; links count nothing"
    return sum(p.stat().st_size for p in folder.rglob('*') if p.is_file() and not p.is_symlink())


def lab_programs()->Path: # Its folder of programs
    "The environment that `make lab` makes for a learner, anew where it should hold something else"
    programs, stamp = LAB/('Scripts' if os.name == 'nt' else 'bin'), LAB/'done'
    digest = wanted_by(LAB_EXTRAS)
    if not stamp.exists() or stamp.read_text() != digest:
        print(f"Setting up {LAB.relative_to(ROOT)} with {LAB_EXTRAS} (once) …", flush=True)
        run('python', '-m', 'venv', '--clear', str(LAB))
        pip = ('-m', 'pip', '--disable-pip-version-check', 'install', '-q', '--no-compile')
        run('python', *pip, '-c', 'constraints.txt', '-e', LAB_EXTRAS, programs=programs)
        run('python', 'tools/slim.py', programs=programs)
        stamp.write_text(digest)
    print(f"pages run from {LAB_EXTRAS}, which takes {size(LAB)/1e9:.2f} GB", flush=True)
    return programs
