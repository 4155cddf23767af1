"Lessons are executed when their source changed, and left clean"
import json
import os
import subprocess
import sys
from pathlib import Path

import gate
import lint
import pytest
from cells import source_hash
from made_up import FIRST, STALE, TITLE, code, md, text, write

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(tmp_path):
    "A project folder with the settings of this one"
    (tmp_path/'pyproject.toml').write_bytes((ROOT/'pyproject.toml').read_bytes())
    return tmp_path


def pages(project, *args):
    "Run the tool on a project; its exit status and what it printed"
    words = [sys.executable, ROOT/'tools'/'pages.py', '--root', project, *args]
    env = os.environ | {'IN_TEST': '1', 'DLCOURSE_SEED': '7'}
    done = subprocess.run(words, capture_output=True, text=True, env=env)
    return done.returncode, done.stdout + done.stderr


def cells_of(path): return json.loads(path.read_text(encoding='utf-8'))['cells']


PNG = '''from IPython.display import display
data = {'image/png': 'aGVsbG8=\\n', 'text/html': '<img alt="alt">', 'text/plain': 'alt'}
display(data, raw=True, metadata={'image/png': {'alt': 'alt'}, 'other': 1})
object()'''
PRINTS = '''import os, sys
for i in range(3): print(i, flush=True)
print("oh", file=sys.stderr, flush=True)'''
ENV = '''e = os.environ
e["DLCOURSE_SIZE"], e["OMP_NUM_THREADS"], "IN_TEST" in e, "DLCOURSE_SEED" in e'''
PLACE = f'os.path.basename(os.getcwd()), sys.executable == {sys.executable!r}'


@pytest.fixture
def read(project):
    "A lesson with something stale, something old and something that is not to be executed"
    return write(project/'nbs'/'04_data'/'01_read.ipynb', code(FIRST), md(TITLE),
                 code(PRINTS, text('old'), fingerprint=STALE, trusted=True), code(ENV), code(PLACE),
                 code(PNG), code('#| eval: false\n1/0'), code('#| gpu\n1/0', text('on a GPU')),
                 code('#| gpu\n1/0', text('long ago'), fingerprint=STALE))


def test_what_is_stale_is_executed(project, read):
    write(project/'nbs'/'index.ipynb', md('# Project\n\n> Sentence'), code('6*7'))
    status, out = pages(project)
    assert status == 0, out
    assert '2 executed, 0 up to date, 0 failed' in out and 'README.md written' in out
    after = cells_of(read)
    first, env, place, png, no, gpu, old = [c['outputs'] for c in after[2:]]
    said = [(o['name'], ''.join(o['text'])) for o in first]
    assert said == [('stdout', '0\n1\n2\n'), ('stderr', 'oh\n')]
    assert env[0]['data']['text/plain'] == ["('full', '1', False, False)"]
    assert place[0]['data']['text/plain'] == ["('04_data', True)"]
    assert png[0]['metadata'] == {'image/png': {'alt': 'alt'}}
    assert png[1]['data']['text/plain'] == ['<object>']
    assert not no and ''.join(gpu[0]['text']) == 'on a GPU' and not old
    for i, cell in enumerate(after):
        assert cell['id'] == f'cell{i}'
        if cell['cell_type'] != 'code': continue
        assert cell['execution_count'] is None
        assert cell['metadata'] == {'source_hash': source_hash(''.join(cell['source']))}
    assert lint.faults(read) == []
    assert '    42' in (project/'README.md').read_text().splitlines()


def test_what_was_executed_is_clean_and_comes_out_the_same(project, read, monkeypatch):
    write(project/'nbs'/'index.ipynb', md('# Project\n\n> Sentence'), code('6*7'))
    assert pages(project)[0] == 0
    monkeypatch.delenv('IN_TEST', raising=False)
    before = gate.snapshot(project)
    cleaned = subprocess.run([Path(sys.executable).parent/'nbdev-clean'], cwd=project)
    assert cleaned.returncode == 0 and gate.snapshot(project) == before
    status, out = pages(project)
    assert status == 0 and '0 executed, 2 up to date, 0 failed' in out
    assert gate.snapshot(project) == before
    status, out = pages(project, '--all')
    assert status == 0 and '2 executed' in out and gate.snapshot(project) == before


def test_a_failing_notebook_is_left_and_the_others_are_done(project):
    data = project/'nbs'/'04_data'
    bad = write(data/'01_read.ipynb', code(FIRST), md(TITLE), code('1+1'), code('{}["key"]'))
    gone = write(data/'02_gone.ipynb', code('1'), code('import os\nos._exit(1)'))
    good = write(data/'03_write.ipynb', code('1+1'))
    before = [p.read_bytes() for p in (bad, gone)]
    status, out = pages(project)
    assert status == 1
    assert "nbs/04_data/01_read.ipynb:3: KeyError: 'key'" in out
    assert 'nbs/04_data/02_gone.ipynb:1: the kernel died' in out
    assert ('1 executed, 0 up to date, 2 failed\n  nbs/04_data/01_read.ipynb\n'
            '  nbs/04_data/02_gone.ipynb') in out
    assert [p.read_bytes() for p in (bad, gone)] == before and cells_of(good)[0]['outputs']
    assert sorted(p.name for p in data.iterdir()) == [p.name for p in (bad, gone, good)]


def test_what_was_saved_meanwhile_is_not_overwritten(project):
    source = ('from pathlib import Path\np = Path("01_read.ipynb")\n'
              'p.write_text(p.read_text() + "\\n")')
    path = write(project/'nbs'/'04_data'/'01_read.ipynb', code(source))
    before = path.read_bytes()
    status, out = pages(project, str(path))
    assert status == 1 and 'changed while it was executed' in out
    assert path.read_bytes() == before + b'\n'
