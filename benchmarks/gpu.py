"""What needs a GPU, in one run: tests that want CUDA, then lessons at their `gpu` size

For a machine with CUDA, torch and no network. `make gpu` starts it with the Python that has torch;
what else it needs is told by `--needs`, and `make wheels` fetches it into `_out/wheels/1`, `2`, …,
each at most 55 MB, to be carried there in turn: for another Python with `FOR=3.12`, and without
what is there already with `THERE=FILE`, that machine's `pip freeze`. The most telling lessons come
first. Every result is written to `benchmarks/gpu.json` as it comes, with the device's name; a later
run goes on with what is left or has changed: first what no run has tried, then what ran out of
time, where there is more of it. `--cpu` tries the machinery itself at the smoke size, and writes
to `_out/gpu.json`.
"""
import argparse
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WHEELS = ROOT/'_out'/'wheels'
SITE = ROOT/'_out'/'gpu-site'
PIP = [sys.executable, '-m', 'pip', '--disable-pip-version-check']
CARRIED = 55_000_000 # Bytes of wheels in one folder
GLIBC = (34, 31, 28, 27, 24, 17) # What wheels for another Python may ask of that machine's system
LESSONS = ('training.loop', 'training.ensembles', 'foundations.schedules', 'foundations.depth',
           'transformers.attention', 'training.regularization', 'training.scaling',
           'foundations.neurons', 'foundations.losses', 'foundations.tensors',
           'foundations.precision', 'transformers.experts', 'sequences.language',
           'sequences.state_space', 'vision.video')
NEEDS = ('numpy', 'scipy', 'scikit-learn', 'narwhals', 'polars', 'rich', 'platformdirs',
         'filelock', 'joblib', 'fastcore', 'matplotlib', 'ipython', 'jaxtyping', 'einops',
         'safetensors', 'optuna', 'pytest', 'statsmodels', 'pandas')
IMPORTED = {'scikit-learn': 'sklearn', 'ipython': 'IPython'}
SKIPPED = re.compile(r'#\|\s*(check|wrong|quiz|hint|scaffold|eval: false)')
LEAST, MOST = 20, 240 # Seconds that must be left to begin an item, and that one may take


def closure(names)->dict[str, str]: # Distribution → version
    "Distributions and all they require, as installed here; torch and what it brings stay out"
    found, todo = {}, list(names)
    while todo:
        name = re.sub(r'[-_.]+', '-', todo.pop()).lower()
        if name in found or name == 'torch': continue
        try: there = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError: continue
        found[name] = there.version
        plain = [r for r in there.requires or () if 'extra ==' not in r]
        todo += [re.match(r'[\w.-]+', r)[0] for r in plain]
    return found


def names_in(freeze:str)->set[str]: # Distributions, as pip normalizes their names
    "What a `pip freeze` lists"
    words = (re.match(r'[\w.-]+', line) for line in freeze.splitlines())
    return {re.sub(r'[-_.]+', '-', w[0]).lower() for w in words if w}


def fetch_wheels(python:str='', there:Path|None=None):
    "Download the wheels that belong to this environment, in folders small enough to be carried"
    WHEELS.mkdir(parents=True, exist_ok=True)
    known = names_in(there.read_text(encoding='utf-8')) if there else set()
    words = ['download', '-q', '--no-deps', '-d', str(WHEELS)]
    if python:
        words += ['--only-binary=:all:', '--implementation', 'cp', '--python-version', python]
        for n in GLIBC: words += ['--platform', f'manylinux_2_{n}_x86_64']
        words += ['--platform', 'manylinux2014_x86_64']
    wanted = [f'{n}=={v}' for n, v in closure(NEEDS).items() if n not in known]
    if wanted: subprocess.run([*PIP, *words, *wanted], check=True)
    folder, filled = 1, 0
    for wheel in sorted(WHEELS.glob('*.whl')):
        size = wheel.stat().st_size
        if filled and filled + size > CARRIED: folder, filled = folder + 1, 0
        filled += size
        (WHEELS/str(folder)).mkdir(exist_ok=True)
        wheel.rename(WHEELS/str(folder)/wheel.name)
    print(f'{folder} folders in {WHEELS.relative_to(ROOT)}')


def missing()->list[str]:
    "Needed distributions that cannot be imported"
    return [n for n in NEEDS if importlib.util.find_spec(IMPORTED.get(n, n)) is None]


def install():
    "Put the carried wheels where this Python finds them; what is there already stays"
    sys.path.insert(0, str(SITE))
    here = {re.sub(r'[-_.]+', '-', d.name).lower() for d in importlib.metadata.distributions()}
    wheels = [str(w) for w in WHEELS.glob('*/*.whl')
              if w.name.split('-')[0].replace('_', '-').lower() not in here]
    if missing() and wheels:
        words = ['install', '-q', '--no-index', '--no-deps', '--target', str(SITE), *wheels]
        subprocess.run([*PIP, *words], check=True)
        importlib.invalidate_caches()
    if lacking := missing():
        raise SystemExit(f"not installed here: {', '.join(lacking)}. Run `make wheels` on a "
                         f"machine with a network, and carry {WHEELS.relative_to(ROOT)} over")


def notebook(lesson:str)->Path:
    "The notebook of `part.lesson`"
    part, name = lesson.split('.')
    found = list((ROOT/'nbs').glob(f'[0-9]*_{part}/[0-9]*_{name}.ipynb'))
    if not found: raise SystemExit(f'`{lesson}` is no lesson')
    return found[0]


def digest(item:str)->str:
    "What an item's result depends on: the page, or the tests; and all of the package"
    files = sorted((ROOT/'dlcourse').rglob('*.py'))
    files.append(ROOT/'tests'/'test_gpu.py' if item == 'tests' else notebook(item))
    whole = hashlib.sha256()
    for path in files:
        if path.name != '_modidx.py': whole.update(path.read_bytes())
    return whole.hexdigest()[:16]


def run_lesson(lesson:str):
    "Run a page's cells, here, and print what the slowest of them took and said"
    from IPython.core.interactiveshell import InteractiveShell
    shell, cells = InteractiveShell.instance(), []
    path = notebook(lesson)
    os.chdir(path.parent)
    sys.path.insert(0, str(ROOT))
    for i, cell in enumerate(json.loads(path.read_text(encoding='utf-8'))['cells']):
        source = ''.join(cell['source'])
        if cell['cell_type'] != 'code' or SKIPPED.match(source): continue
        start = time.perf_counter()
        done = shell.run_cell(source)
        if done.error_before_exec or done.error_in_exec:
            error = done.error_before_exec or done.error_in_exec
            print(f'cell {i}: {type(error).__name__}: {error}'[:500], file=sys.stderr)
            raise SystemExit(1)
        cells.append(dict(cell=i, seconds=round(time.perf_counter() - start, 2),
                          said=repr(done.result)[:300]))
    import torch
    peak = torch.cuda.max_memory_allocated()/2**20 if torch.cuda.is_available() else 0
    slowest = sorted(cells, key=lambda c: -c['seconds'])[:3]
    print('\n' + json.dumps(dict(peak_mib=round(peak), cells=slowest)))


def device(cpu:bool)->dict:
    "What this runs on; raises `SystemExit` where there is no GPU"
    import torch
    if cpu: name = 'none: the machinery tried on a CPU'
    elif torch.cuda.is_available(): name = torch.cuda.get_device_name(0)
    else: raise SystemExit("torch sees no GPU here; `--cpu` tries the machinery without one")
    return dict(device=name, torch=torch.__version__, python=sys.version.split()[0])


def run_item(item:str, seconds:float, env:dict)->dict:
    "One item in a process of its own: its status, and what it found"
    words = [__file__, '--lesson', item]
    if item == 'tests': words = ['-m', 'pytest', '-o', 'filterwarnings=', 'tests/test_gpu.py']
    start = time.perf_counter()
    try:
        done = subprocess.run([sys.executable, *words], cwd=ROOT, env=env, capture_output=True,
                              text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        return dict(status='out of time', seconds=round(seconds))
    found = dict(status='passed' if not done.returncode else 'failed',
                 seconds=round(time.perf_counter() - start, 1))
    last = done.stdout.strip().splitlines()[-1:] or ['']
    if done.returncode: return found | dict(error=(done.stderr.strip() or done.stdout)[-800:])
    return found | (json.loads(last[0]) if item != 'tests' else dict(said=last[0]))


def main(argv:list[str]|None=None)->int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--minutes', type=float, default=8, help="what the whole run may take")
    parser.add_argument('--out', type=Path, help="benchmarks/gpu.json; with `--cpu` in _out")
    parser.add_argument('--cpu', action='store_true', help="try the machinery without a GPU")
    parser.add_argument('--again', action='store_true', help="also what stands there already")
    parser.add_argument('--needs', action='store_true', help="say what is needed besides torch")
    parser.add_argument('--wheels', action='store_true', help="fetch what is needed")
    parser.add_argument('--for', dest='python', default='', help="Python of that machine: 3.12")
    parser.add_argument('--there', type=Path, help="that machine's `pip freeze`")
    parser.add_argument('--lesson', help=argparse.SUPPRESS)
    parser.add_argument('items', nargs='*', help="`tests`, or lessons; all when not given")
    args = parser.parse_args(argv)
    end = time.monotonic() + 60*args.minutes
    if args.needs: print(*(f'{n}=={v}' for n, v in closure(NEEDS).items()), sep='\n'); return 0
    if args.wheels: fetch_wheels(args.python, args.there); return 0
    install()
    if args.lesson: run_lesson(args.lesson); return 0
    return run_all(args.items or ['tests', *LESSONS], args, end)


def run_all(items:list[str], args:argparse.Namespace, end:float)->int:
    "Run what is not done yet, as long as there is time, and write each result as it comes"
    here = device(args.cpu)
    out = args.out or ROOT/('_out' if args.cpu else 'benchmarks')/'gpu.json'
    out.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(out.read_text(encoding='utf-8')) if out.exists() else {}
    results = known.get('items', {}) if known.get('device') == here['device'] else {}
    env = os.environ | dict(PYTHONPATH=os.pathsep.join([str(ROOT), str(SITE)]), MPLBACKEND='Agg',
                            DLCOURSE_SIZE='smoke' if args.cpu else 'gpu')
    states = {item: digest(item) for item in items}
    def before(item):
        there = results.get(item, {})
        return there if there.get('digest') == states[item] and not args.again else {}
    for item in sorted(items, key=lambda item: before(item).get('status') == 'out of time'):
        old, left = before(item), end - time.monotonic()
        if old.get('status') == 'passed': continue
        if left < LEAST: print(f'{item}: no time left'); continue
        seconds = min(left - 5, MOST)
        if old.get('status') == 'out of time' and seconds <= old['seconds']:
            print(f"{item}: {old['seconds']} s were too few, and no more are left"); continue
        results[item] = run_item(item, seconds, env) | dict(digest=states[item])
        part = out.with_suffix('.part')
        part.write_text(json.dumps(here | dict(items=results), indent=1) + '\n', encoding='utf-8')
        os.replace(part, out)
        print(f"{results[item]['seconds']:6.1f} s  {item}: {results[item]['status']}", flush=True)
    return any(results.get(item, {}).get('status') != 'passed' for item in items)


if __name__ == '__main__': sys.exit(main())
