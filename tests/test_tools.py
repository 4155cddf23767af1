"The project's own tools, on notebooks made for the purpose"
import json
import os
import re
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import pytest
from fastcore.nbio import NbCell, nb2str

ROOT = Path(__file__).resolve().parents[1]
TOOLS = ROOT/'tools'
sys.path.insert(0, str(TOOLS))

import gate  # noqa: E402
import lint  # noqa: E402
import readme  # noqa: E402

TITLE = '# Reading\n\n> What is there, and how it is read'
FIRST = '#| default_exp data.read'
STALE = 'aaaaaaaaaaaa'


def md(source, **more): return dict(cell_type='markdown', metadata={}, source=source, **more)


def code(source, *outputs, fingerprint=None, **metadata):
    "A code cell; with outputs, it is fresh unless another fingerprint is given"
    if outputs: metadata['source_hash'] = fingerprint or lint.source_hash(source)
    return dict(cell_type='code', metadata=metadata, source=source, outputs=list(outputs), execution_count=None)


def text(s): return dict(output_type='stream', name='stdout', text=s)


def image(alt='A line', size=100):
    return dict(output_type='display_data', data={'image/png': b64encode(bytes(size)).decode(), 'text/plain': alt}, metadata={'image/png': {'alt': alt}} if alt else {})


def write(path, *cells):
    "A notebook of these cells, in the form in which nbdev writes it"
    cells = [dict(id=f'cell{i}') | cell for i, cell in enumerate(cells)]
    kernel = dict(display_name='python3', language='python', name='python3')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(nb2str(dict(cells=cells, metadata=dict(kernelspec=kernel), nbformat=4, nbformat_minor=5)), encoding='utf-8')
    return path


@pytest.fixture
def book(tmp_path):
    "A function that writes cells below a right beginning, and gives the notebook"
    def make(*cells, head=None, name='03_data/01_read.ipynb'): return write(tmp_path/'nbs'/name, *(head or (code(FIRST), md(TITLE))), *cells)
    return make


# Lint

CHECK = '#| check h\n@check(hint="Think.")\ndef c(h):\n    "It is one."\n    expect(h(), 1)'
EXERCISE = [code('#| export\n#| exercise h level=2 minutes=3\ndef h():\n    return 1'), code(CHECK), code('#| wrong h\nwrong("", f)'), md('#| hint h\nThink.')]
GOOD = [code('#| export\nimport os\nfrom pathlib import Path\n\nif False: import json'), md('## Section'), md('Prose, and `#| exprt`.\n\n```python\n# comment\n#| exprt\n```'),
        code('#| exports\n#| code-fold: true\ndef f():\n    import json # late\n    return "#| exprt"\n\n@patch\ndef g(self:A): pass'),
        code('%%time\n#| eval: false\n\n#|hide\nawait x'), code('!ls\n%load_ext jaxtyping\nfiles = !ls', text('one\n')),
        code('#| export\n_ = 1\n@patch\ndef g(self:B): pass'), code('#| export\n_ = 2'), code('show(1)', image()), *EXERCISE,
        code('1', text('see https://example.org/home/me and /usr/bin')), code('x = """\n#| exprt\n"""')]


def test_lint_passes_a_good_notebook(book): assert lint.lint([book(*GOOD)]) == []


@pytest.mark.parametrize('cells, at, words', [
    ([*EXERCISE, code('#| check g\n1')], 6, '`#| check g` names no exercise; there are: h'),
    ([md('#| hint f\nThink.')], 2, '`#| hint f` names no exercise; there are: none'),
    ([code('#| scaffold h\n1'), *EXERCISE], 2, '`#| scaffold h` stands above its exercise (cell 3)'),
    ([*EXERCISE, code('#| hint h\n1')], 6, '`#| hint` is for a text cell'),
    ([*EXERCISE, md('#| quiz h\n1')], 6, '`#| quiz` is for a code cell'),
    ([*EXERCISE, md('#| hint h\n')], 6, 'the hint is empty'),
    ([*EXERCISE, code('#| export\n#| check h\nx = 1')], 6, 'no part of the library'),
    ([*EXERCISE, code('#| exports\n#| exercise h\ndef h(): pass')], 6, '`h` is the exercise of cell 2 already'),
    ([code('#| exercise h\ndef h(): return 1'), *EXERCISE[1:]], 2, '`#| exercise h` stands below `#| export`'),
    ([code('#| export\n#| hide\n#| exercise h\ndef h(): return 1'), *EXERCISE[1:]], 2, 'stands on the line below `#| export`'),
    ([code('#| export\n#| exercise h\ndef g(): return 1'), *EXERCISE[1:]], 2, 'the cell does not define `h`'),
    ([code('#| export\n#| exercise h level=6\ndef h(): return 1')], 2, '`level` must be a whole number from 1 to 5'),
    ([EXERCISE[0], EXERCISE[2]], 2, '`h` has no `#| check h`'),
    ([EXERCISE[0], EXERCISE[1]], 2, '`h` has no `#| wrong h`'),
    ([EXERCISE[0], code(CHECK.replace('    "It is one."\n', '')), EXERCISE[2]], 3, 'the check `c` has no docstring'),
    ([EXERCISE[0], code(CHECK.replace('hint="Think."', '')), EXERCISE[2]], 3, 'the check `c` has no `hint=`'),
])
def test_lint_finds_what_exercises_lack(book, cells, at, words):
    assert [(i, words in message) for i, message in lint.faults(book(*cells)) if words in message] == [(at, True)]


@pytest.mark.parametrize('name, first', [('cli/app.ipynb', code('#| default_exp cli.app')), ('index.ipynb', code('1'))])
def test_lint_passes_what_stands_outside_the_parts(book, name, first): assert lint.lint([book(head=(first, md(TITLE)), name=name)]) == []


@pytest.mark.parametrize('cells, at, words', [
    ([code('#| exprt\nx = 1')], 2, '`#| exprt` is no directive; did you mean `export`?'),
    ([code('#| Exports\nx = 1')], 2, 'did you mean `exports`?'),
    ([code('#| xyz\nx = 1')], 2, 'there are default_exp, export'),
    ([md('#| hnt f\nThink.')], 2, 'did you mean `hint`?'),
    ([code('# A comment\n#| export\nx = 1')], 2, '`#| export` on line 2 is never read'),
    ([code('x = 1\n#| hide')], 2, 'never read'),
    ([code('x = 1 #| hide')], 2, 'never read'),
    ([code('#| export data.other\nx = 1')], 2, 'to its own module only'),
    ([code('x = 1', nbdev={'export': 'true'})], 2, 'in the metadata'),
    ([code('from os import *')], 2, '`from os import *`: import the names'),
    ([code('#| export\nimport os\nx = 1')], 2, 'a cell of their own'),
    ([code('#| exporti\nclass A:\n    import os')], 2, 'a cell of their own'),
    ([code('#| export\ndef f(): pass'), code('#| exports\nf = 1')], 3, '`f` is exported by cell 2 already'),
    ([code('#| export\na, (b, c) = 1, (2, 3)'), code('#| export\nc: int = 1')], 3, '`c` is exported by cell 2 already'),
    ([code('x ='), ], 2, 'is not Python'),
    ([code('x = 1 # ' + 'y'*160)], 2, 'line 1 has 168 characters'),
    ([md('## One\n\nProse')], 2, 'the heading `## One` needs a cell of its own'),
    ([md('Prose\n\n### One')], 2, 'the heading `### One` needs a cell of its own'),
    ([md('# Another')], 2, 'one title'),
    ([md('x', id='cell1')], 2, 'the id cell1 is that of cell 1 already'),
    ([md('x', id='')], 2, 'has no id'),
    ([code('1', text('1'), fingerprint=STALE)], 2, 'older than the source'),
    ([code('1', dict(output_type='error', ename='KeyError', evalue='', traceback=[]))], 2, 'is an error: KeyError'),
    ([code('1', text('saved to /tmp/tmpab12/x.csv'))], 2, 'a path of the machine it was made on: /tmp/tmpab12/x.csv'),
    ([code('1', text("PosixPath('/home/ada/x')"))], 2, '/home/ada'),
    ([code('1', text('/private/var/folders/aa /Users/ada/x'))], 2, '/Users/ada'),
    ([code('1', text(f'File {ROOT}/dlcourse/x.py'))], 2, str(ROOT)),
    ([code('1', dict(output_type='execute_result', data={'text/html': ['<b>', '/var/folders/x1/']}, metadata={}))], 2, '/var/folders/x1/'),
    ([code('1', dict(output_type='display_data', data={'application/json': {'a': r'C:\Users\ada'}}, metadata={}))], 2, 'a path of the machine'),
    ([code('1', image(alt=''))], 2, 'no alternative text'),
    ([code('1', image(size=100_000))], 2, 'the image/png takes 100 KB'),
    ([code(f'x{i} = 1') for i in range(6)], 0, 'not one cell has an output'),
    ([code(FIRST)], 2, '`#| default_exp` stands in the first code cell'),
])
def test_lint_finds(book, cells, at, words):
    fault, = lint.faults(book(*cells))
    assert fault[0] == at and words in fault[1]


@pytest.mark.parametrize('head, name, words', [
    ((code('#| default_exp data.write'), md(TITLE)), '03_data/01_read.ipynb', 'the first code cell must be `#| default_exp data.read`'),
    ((code(FIRST + '\nimport os'), md(TITLE)), '03_data/01_read.ipynb', 'and nothing else'),
    ((md(TITLE),), '03_data/01_read.ipynb', 'the first code cell must be'),
    ((code(FIRST), md(TITLE)), '03_data/read.ipynb', 'a lesson lies at nbs/NN_part/NN_name.ipynb'),
    ((code('#| default_exp read'), md(TITLE)), 'read.ipynb', 'only index and the command line'),
    ((code('#| default_exp index'), md(TITLE)), 'index.ipynb', 'not in the index'),
    ((code(FIRST), md('# Reading')), '03_data/01_read.ipynb', 'the first text cell is the title'),
    ((code(FIRST), md('Prose first'), ), '03_data/01_read.ipynb', 'the first text cell is the title'),
    ((code(FIRST), md(TITLE + '\n\nMore')), '03_data/01_read.ipynb', 'and nothing else'),
    ((code(FIRST),), '03_data/01_read.ipynb', 'there is no title'),
])
def test_lint_finds_a_wrong_beginning(book, head, name, words):
    fault, = lint.faults(book(head=head, name=name))
    assert words in fault[1]


def test_lint_finds_two_notebooks_of_one_module(book):
    one, two = book(), book(name='03_data/02_read.ipynb')
    fault, = lint.lint([one, two])
    assert fault == f'{two}:0: `data.read` is the module of {one} already'


def test_lint_survives_what_is_no_notebook(tmp_path):
    (path := tmp_path/'01_x.ipynb').write_text('{"cells": [{}]}')
    assert 'is not a notebook' in lint.lint([path])[0]


def test_lint_prints_path_cell_and_message(book, capsys):
    path = book(code('#| exprt\nx = 1'))
    assert lint.main([str(path.parent)]) == 1
    assert capsys.readouterr().out.splitlines() == [f'{path}:2: `#| exprt` is no directive; did you mean `export`?', '1 notebooks, 1 faults']
    assert lint.main([str(book())]) == 0


@pytest.mark.parametrize('source', ['#| export', '#|export', ' # | export x y', '\n\n#| hide\n\n#| export\nx', '# no\n#| export', 'x\n#| export', '%%time\n#| export',
                                    '%time\n#| export', '#| eval: false\n#| code-fold: true', '#| eval:false', '#|', '"""\n#| export'])
def test_lint_reads_directives_as_nbdev_does(source):
    ours = lint.Cell('code', source, {}).directives
    assert {k: '' if v == 'true' else v for k, v in ours.items() if k} == NbCell(0, dict(cell_type='code', source=source, metadata={})).directives


# Pages

@pytest.fixture
def project(tmp_path):
    "A project folder with the settings of this one"
    (tmp_path/'pyproject.toml').write_bytes((ROOT/'pyproject.toml').read_bytes())
    return tmp_path


def pages(project, *args):
    "Run the tool on a project; its exit status and what it printed"
    done = subprocess.run([sys.executable, TOOLS/'pages.py', '--root', project, *args], capture_output=True, text=True, env=os.environ | {'IN_TEST': '1', 'DLCOURSE_SEED': '7'})
    return done.returncode, done.stdout + done.stderr


def cells_of(path): return json.loads(path.read_text(encoding='utf-8'))['cells']


PNG = "from IPython.display import display\ndisplay({'image/png': 'aGVsbG8=\\n', 'text/plain': 'alt'}, raw=True, metadata={'image/png': {'alt': 'alt'}, 'other': 1})\nobject()"


def test_pages_executes_what_is_stale_and_leaves_it_clean(project, monkeypatch):
    path = write(project/'nbs'/'03_data'/'01_read.ipynb', code(FIRST), md(TITLE),
                 code('import os, sys\nfor i in range(3): print(i, flush=True)\nprint("oh", file=sys.stderr, flush=True)', text('old'), fingerprint=STALE, trusted=True),
                 code('os.environ["DLCOURSE_SIZE"], os.environ["OMP_NUM_THREADS"], "IN_TEST" in os.environ, "DLCOURSE_SEED" in os.environ'),
                 code('os.path.basename(os.getcwd()), sys.executable == ' + repr(sys.executable)), code(PNG),
                 code('#| eval: false\n1/0'), code('#| gpu\n1/0', text('on a GPU')), code('#| gpu\n1/0', text('long ago'), fingerprint=STALE))
    write(project/'nbs'/'index.ipynb', md('# Project\n\n> Sentence'), code('6*7'))
    status, out = pages(project)
    assert status == 0, out
    assert '2 executed, 0 up to date, 0 failed' in out and 'README.md written' in out
    after = cells_of(path)
    first, env, place, png, no, gpu, old = [c['outputs'] for c in after[2:]]
    assert [(o['name'], ''.join(o['text'])) for o in first] == [('stdout', '0\n1\n2\n'), ('stderr', 'oh\n')]
    assert env[0]['data']['text/plain'] == ["('full', '1', False, False)"] and place[0]['data']['text/plain'] == ["('03_data', True)"]
    assert png[0]['metadata'] == {'image/png': {'alt': 'alt'}} and png[1]['data']['text/plain'] == ['<object>']
    assert not no and ''.join(gpu[0]['text']) == 'on a GPU' and not old
    for i, cell in enumerate(after):
        assert cell['id'] == f'cell{i}'
        if cell['cell_type'] == 'code': assert cell['execution_count'] is None and cell['metadata'] == {'source_hash': lint.source_hash(''.join(cell['source']))}
    assert lint.faults(path) == []
    assert '    42' in (project/'README.md').read_text().splitlines()

    monkeypatch.delenv('IN_TEST', raising=False)
    before = gate.snapshot(project)
    assert subprocess.run([Path(sys.executable).parent/'nbdev-clean'], cwd=project).returncode == 0
    assert gate.snapshot(project) == before
    status, out = pages(project)
    assert status == 0 and '0 executed, 2 up to date, 0 failed' in out and gate.snapshot(project) == before
    status, out = pages(project, '--all')
    assert status == 0 and '2 executed' in out and gate.snapshot(project) == before


def test_pages_leaves_a_failing_notebook_and_does_the_others(project):
    bad = write(project/'nbs'/'03_data'/'01_read.ipynb', code(FIRST), md(TITLE), code('1+1'), code('{}["key"]'))
    gone = write(project/'nbs'/'03_data'/'02_gone.ipynb', code('1'), code('import os\nos._exit(1)'))
    good = write(project/'nbs'/'03_data'/'03_write.ipynb', code('1+1'))
    before = [p.read_bytes() for p in (bad, gone)]
    status, out = pages(project)
    assert status == 1
    assert "nbs/03_data/01_read.ipynb:3: KeyError: 'key'" in out and 'nbs/03_data/02_gone.ipynb:1: the kernel died' in out
    assert '1 executed, 0 up to date, 2 failed\n  nbs/03_data/01_read.ipynb\n  nbs/03_data/02_gone.ipynb' in out
    assert [p.read_bytes() for p in (bad, gone)] == before and cells_of(good)[0]['outputs']
    assert sorted(p.name for p in good.parent.iterdir()) == ['01_read.ipynb', '02_gone.ipynb', '03_write.ipynb']


def test_pages_does_not_overwrite_what_was_saved_meanwhile(project):
    path = write(project/'nbs'/'03_data'/'01_read.ipynb', code('from pathlib import Path\np = Path("01_read.ipynb")\np.write_text(p.read_text() + "\\n")'))
    before = path.read_bytes()
    status, out = pages(project, str(path))
    assert status == 1 and 'changed while it was executed' in out and path.read_bytes() == before + b'\n'


# README

def test_readme_shows_what_the_reader_shall_see(tmp_path):
    write(tmp_path/'nbs'/'index.ipynb', md('# Project\n\n> Sentence'), code('#| hide\nsecret()'), md('#| hide\nsecret'), code('#| eval: false\n\nshown()'),
          code('#| echo: false\nsecret()', text('output\n')), md('![A report](report.png "x") and [`a`](16_fairness/03_groups.ipynb#how), [b](../LICENSE).'),
          md('<img src="img/a.png"> [c](https://example.org/d.md) [e](#f) `[g](h.md)`\n\n[i]: cli/app.ipynb\n\n```\n[j](k.md)\n```'))
    made = readme.readme(tmp_path)
    assert made.splitlines()[0].startswith('<!-- Made from nbs/index.ipynb')
    assert 'secret' not in made and '#|' not in made and '```python\nshown()\n```' in made and '\n    output\n' in made
    assert '![A report](nbs/report.png "x") and [`a`](nbs/16_fairness/03_groups.ipynb#how), [b](LICENSE).' in made
    assert '<img src="nbs/img/a.png"> [c](https://example.org/d.md) [e](#f) `[g](h.md)`\n\n[i]: nbs/cli/app.ipynb\n\n```\n[j](k.md)\n```' in made


def test_readme_refuses_an_image_that_a_cell_puts_out(tmp_path):
    write(tmp_path/'nbs'/'index.ipynb', code('plot()', image()))
    with pytest.raises(ValueError, match='which README.md cannot hold; save it in nbs/'): readme.readme(tmp_path)


def test_readme_check_tells_whether_it_is_in_step(tmp_path, capsys):
    check, make = ['--check', '--root', str(tmp_path)], ['--root', str(tmp_path)]
    assert readme.main(check) == 0 and 'there is no nbs/index.ipynb' in capsys.readouterr().out
    write(tmp_path/'nbs'/'index.ipynb', md('# Project'))
    assert readme.main(check) == 1 and not (tmp_path/'README.md').exists()
    assert readme.main(make) == 0 and readme.main(check) == 0
    write(tmp_path/'nbs'/'index.ipynb', md('# Another'))
    assert readme.main(check) == 1 and 'run `make pages`' in capsys.readouterr().out


# Gate

def test_gate_stops_at_the_first_step_that_fails(capsys):
    def fail(work): raise gate.Failed("do this")
    ran = []
    assert gate.gate({'first': ran.append, 'second': fail, 'third': ran.append}) == 1
    out = capsys.readouterr().out.splitlines()
    assert len(ran) == 1 and out[-1] == 'make test FAILED at "second": do this'
    assert [line.split()[-1] for line in out[-4:-1]] == ['first', 'second', 'all']
    assert gate.gate({'first': ran.append}) == 0 and capsys.readouterr().out.splitlines()[-1] == 'make test: all 1 steps hold'


def test_lessons_whose_data_are_not_here_are_skipped_aloud(tmp_path, monkeypatch, capsys):
    ran = []
    monkeypatch.setattr(gate, 'run', lambda *words, **env: ran.append(words))
    monkeypatch.setenv('DLCOURSE_DATA', str(tmp_path))
    gate.lessons(tmp_path)
    out = capsys.readouterr().out
    assert 'SKIPPED 03_groups.ipynb: it needs adult, compas' in out and '02_autograd' not in out
    pattern = ran[0][ran[0].index('--skip-file-re') + 1]
    assert re.match(pattern, '01_groups.ipynb') and re.match(pattern, '_draft.ipynb') and not re.match(pattern, '02_autograd.ipynb')
    monkeypatch.setattr(gate, 'without_data', dict)
    gate.lessons(tmp_path)
    assert '--skip-file-re' not in ran[1] and 'SKIPPED' not in capsys.readouterr().out


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    "A small project that the gate takes for its own, exported"
    root = tmp_path/'root'
    write(root/'nbs'/'03_data'/'01_read.ipynb', code(FIRST), md(TITLE), code('#| export\nx = 1'))
    (root/'pyproject.toml').write_bytes((ROOT/'pyproject.toml').read_bytes())
    (root/'dlcourse').mkdir()
    (root/'dlcourse'/'__init__.py').write_bytes((ROOT/'dlcourse'/'__init__.py').read_bytes())
    monkeypatch.setattr(gate, 'ROOT', root)
    monkeypatch.setenv('IN_TEST', '1')
    gate.run('nbdev-export', cwd=root)
    return root


def export_and_compare(work):
    work.mkdir()
    gate.export(work)
    gate.same_package(work)


def test_gate_exports_beside_the_tree_and_compares(checkout, tmp_path, capsys):
    before = gate.snapshot(checkout)
    export_and_compare(tmp_path/'one')
    (checkout/'dlcourse'/'data'/'read.py').write_text('x = 2')
    (checkout/'dlcourse'/'data'/'lost.py').touch()
    write(checkout/'nbs'/'03_data'/'02_write.ipynb', code('#| default_exp data.write'), md(TITLE), code('#| export\ny = 1'))
    tree = gate.snapshot(checkout)
    with pytest.raises(gate.Failed, match='run `nbdev-export`, delete modules that have no notebook, and commit'): export_and_compare(tmp_path/'two')
    assert [line.strip() for line in capsys.readouterr().out.splitlines() if line.startswith('  ')] == [
        'should not be there: data/lost.py', 'out of date: data/read.py', 'not there yet: data/write.py']
    assert gate.snapshot(checkout) == tree != before


def test_gate_finds_a_notebook_that_is_not_clean(checkout, tmp_path, capsys):
    (tmp_path/'one').mkdir(); (tmp_path/'two').mkdir(); (tmp_path/'three').mkdir()
    gate.clean(tmp_path/'one')
    book = write(checkout/'nbs'/'03_data'/'01_read.ipynb', code(FIRST, trusted=True))
    before = book.read_bytes()
    with pytest.raises(gate.Failed, match='run `nbdev-clean`'): gate.clean(tmp_path/'two')
    assert 'not clean: nbs/03_data/01_read.ipynb' in capsys.readouterr().out and book.read_bytes() == before
    book.write_text('no notebook')
    with pytest.raises(gate.Failed, match='`nbdev-clean` ended with 1'): gate.clean(tmp_path/'three')


def test_gate_says_what_is_not_installed():
    with pytest.raises(gate.Failed, match='`no-such-program` is not installed in .*; run `make setup`'): gate.run('no-such-program')


def test_environment_keeps_of_the_settings_only_where_the_data_lies(monkeypatch):
    for name in ('IN_TEST', 'DLCOURSE_SEED', 'DLCOURSE_DATA', 'OMP_NUM_THREADS'): monkeypatch.setenv(name, '9')
    env = gate.environment(DLCOURSE_SIZE='smoke')
    assert not {'IN_TEST', 'DLCOURSE_SEED'} & env.keys() and env['DLCOURSE_DATA'] == '9' and env['OMP_NUM_THREADS'] == '1' and env['DLCOURSE_SIZE'] == 'smoke'
    assert env['PATH'].startswith(str(Path(sys.executable).parent) + os.pathsep)
