"The gate stops at the first step that fails, and touches nothing"
import re
import subprocess
import sys
from pathlib import Path

import check
import environments
import gate
import imports
import pytest
from made_up import FIRST, TITLE, code, md, write
from slim import slim

ROOT = Path(__file__).resolve().parents[2]


def test_it_stops_at_the_first_step_that_fails(capsys):
    def fail(work): raise gate.Failed("do this")
    ran = []
    assert gate.gate({'first': ran.append, 'second': fail, 'third': ran.append}) == 1
    out = capsys.readouterr().out.splitlines()
    assert len(ran) == 1 and out[-1] == 'make test FAILED at "second": do this'
    assert [line.split()[-1] for line in out[-4:-1]] == ['first', 'second', 'all']
    assert gate.gate({'first': ran.append}) == 0
    assert capsys.readouterr().out.splitlines()[-1] == 'make test: all 1 steps hold'


def test_of_pytorch_go_its_own_tests_and_nothing_that_is_used(tmp_path):
    for name in ('test/one_test', 'bin/test_jit', 'bin/models/a', 'bin/torch_shm_manager',
                 'lib/libtorch.so', 'testing/help.py'):
        (tmp_path/'torch'/name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path/'torch'/name).write_bytes(bytes(10))
    assert slim(tmp_path) == 30 and slim(tmp_path) == 0
    left = {p.name for p in tmp_path.rglob('*') if p.is_file()}
    assert left == {'torch_shm_manager', 'libtorch.so', 'help.py'}


def test_all_steps_but_those_with_environments_of_their_own_are_fast():
    assert [n for n in gate.STEPS if n not in gate.FAST] == ['lessons and site']


def test_of_two_steps_at_once_each_can_fail_and_nothing_that_was_said_is_lost(tmp_path, capfd):
    def first(work): print('one')
    def second(work, told): environments.run('python', '-c', 'print("two")', told=told)
    gate.beside(first, second)(tmp_path)
    assert capfd.readouterr().out.split() == ['one', 'two']
    def fails(work, told=None): raise gate.Failed("do this")
    def fails_aloud(work, told): second(work, told), fails(work)
    with pytest.raises(gate.Failed, match='do this'): gate.beside(first, fails_aloud)(tmp_path)
    assert capfd.readouterr().out.split() == ['one', 'two']
    with pytest.raises(gate.Failed, match='do this'): gate.beside(fails, second)(tmp_path)
    assert capfd.readouterr().out.split() == ['two']


def test_lessons_whose_data_are_not_here_are_skipped_aloud(tmp_path, monkeypatch, capsys):
    ran = []
    monkeypatch.setattr(gate, 'run', lambda *words, **env: ran.append(words))
    monkeypatch.setattr(gate, 'lab_programs', lambda: tmp_path)
    monkeypatch.setenv('DLCOURSE_DATA', str(tmp_path))
    gate.lessons(tmp_path)
    out = capsys.readouterr().out
    page, = re.findall(r'SKIPPED (\d+_groups.ipynb): it needs adult, compas', out)
    assert '02_autograd' not in out
    pattern = ran[0][ran[0].index('--skip-file-re') + 1]
    assert re.match(pattern, page) and re.match(pattern, '_draft.ipynb')
    assert not re.match(pattern, '02_autograd.ipynb')
    monkeypatch.setattr(gate, 'without_data', dict)
    gate.lessons(tmp_path)
    assert '--skip-file-re' not in ran[1] and 'SKIPPED' not in capsys.readouterr().out


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    "A small project that the gate takes for its own, exported"
    root = tmp_path/'root'
    write(root/'nbs'/'04_data'/'01_read.ipynb', code(FIRST), md(TITLE), code('#| export\nx = 1'))
    (root/'pyproject.toml').write_bytes((ROOT/'pyproject.toml').read_bytes())
    (root/'dlcourse').mkdir()
    init = (ROOT/'dlcourse'/'__init__.py').read_bytes()
    (root/'dlcourse'/'__init__.py').write_bytes(init)
    monkeypatch.setattr(gate, 'ROOT', root)
    monkeypatch.setenv('IN_TEST', '1')
    gate.run('nbdev-export', cwd=root)
    return root


def export_and_compare(work):
    work.mkdir()
    gate.export(work)
    gate.same_package(work)


def test_it_exports_beside_the_tree_and_compares(checkout, tmp_path, capsys):
    before = gate.snapshot(checkout)
    export_and_compare(tmp_path/'one')
    (checkout/'dlcourse'/'data'/'read.py').write_text('x = 2')
    (checkout/'dlcourse'/'data'/'lost.py').touch()
    write(checkout/'nbs'/'04_data'/'02_write.ipynb', code('#| default_exp data.write'), md(TITLE),
          code('#| export\ny = 1'))
    tree = gate.snapshot(checkout)
    remedy = 'run `nbdev-export`, delete modules that have no notebook, and commit'
    with pytest.raises(gate.Failed, match=remedy): export_and_compare(tmp_path/'two')
    told = [line.strip() for line in capsys.readouterr().out.splitlines() if line[:2] == '  ']
    assert told == ['should not be there: data/lost.py', 'out of date: data/read.py',
                    'not there yet: data/write.py']
    assert gate.snapshot(checkout) == tree != before


def test_a_notebook_that_is_not_clean_is_found(checkout, tmp_path, capsys):
    for name in ('one', 'two', 'three'): (tmp_path/name).mkdir()
    gate.clean(tmp_path/'one')
    book = write(checkout/'nbs'/'04_data'/'01_read.ipynb', code(FIRST, trusted=True))
    before = book.read_bytes()
    with pytest.raises(gate.Failed, match='run `nbdev-clean`'): gate.clean(tmp_path/'two')
    assert 'not clean: nbs/04_data/01_read.ipynb' in capsys.readouterr().out
    assert book.read_bytes() == before
    book.write_text('no notebook')
    with pytest.raises(gate.Failed, match='`nbdev-clean` ended with 1'):
        gate.clean(tmp_path/'three')


def test_what_is_not_installed_is_said():
    words = '`no-such-program` is not installed in .*; run `make setup`'
    with pytest.raises(gate.Failed, match=words): gate.run('no-such-program')


def test_of_the_settings_only_the_place_of_the_data_is_kept(monkeypatch):
    for name in ('IN_TEST', 'DLCOURSE_SEED', 'DLCOURSE_DATA', 'OMP_NUM_THREADS'):
        monkeypatch.setenv(name, '9')
    env = environments.environment(DLCOURSE_SIZE='smoke')
    assert not {'IN_TEST', 'DLCOURSE_SEED'} & env.keys() and env['DLCOURSE_DATA'] == '9'
    assert env['OMP_NUM_THREADS'] == '1' and env['DLCOURSE_SIZE'] == 'smoke'
    assert env['PATH'].split(':')[0] == str(Path(sys.executable).parent)


@pytest.mark.parametrize('text', [
    'transformers.attention', 'attention', 'dlcourse.transformers.attention',
    'nbs/07_transformers/02_attention.ipynb', 'dlcourse/transformers/attention.py',
    'tests/transformers/test_attention.py'])
def test_a_lesson_is_found_by_name_and_by_path(text):
    assert check.lesson_named(text).name == '02_attention.ipynb'


@pytest.mark.parametrize('text, words', [
    ('attentoin', '`attentoin` is no lesson'), ('attend', 'is no lesson'),
    ('trials', '`trials` is a lesson of several parts: fairness.trials, classroom.trials')])
def test_what_is_no_lesson_is_said(text, words):
    with pytest.raises(gate.Failed, match=words): check.lesson_named(text)


def test_what_a_check_asks_for_its_programs_understand(monkeypatch):
    asked = []
    monkeypatch.setattr(check, 'run', lambda *words, **env: asked.append(words))
    check.check(check.lesson_named('evaluation.intervals'))
    assert sorted(words[0] for words in asked) == ['nbdev-export', 'nbdev-test', 'pytest', 'pytest',
                                                   'python']
    page = next(words for words in asked if words[0] == 'nbdev-test')
    asked_of_exercises = [words for words in asked if 'tests/classroom/test_gate.py' in words]
    check.check(check.lesson_named('classroom.cells')) # Its text says `#| exercise`, and has none
    assert len(asked_of_exercises) == 1 and len(asked) == 5 + 4
    tried = subprocess.run([*page, '--help'], capture_output=True, text=True)
    assert tried.returncode == 0, tried.stderr


def found_for(module): # Relative to `tests/`
    found = imports.tests_of(ROOT/'dlcourse', ROOT/'tests')
    return [p.relative_to(ROOT/'tests').as_posix() for p in found[f'dlcourse.{module}']]


@pytest.mark.parametrize('module, files', [
    ('core.pages', ['core/test_pages.py']),
    ('fairness.counting', ['fairness/test_audit_of_tables.py', 'fairness/test_counting.py',
                           'fairness/test_shared_clusters.py']),
    ('fairness.law_tables', ['fairness/test_local_law.py']), # No file of its own
    # No test imports it, but modules do
    ('audit.sections', ['audit/test_cases.py', 'audit/test_credit_and_pay.py',
                        'audit/test_forms.py', 'audit/test_kinds.py', 'audit/test_leaks.py',
                        'audit/test_odd_tables.py', 'audit/test_odd_values.py',
                        'audit/test_options.py', 'audit/test_remedies.py',
                        'audit/test_report.py', 'audit/test_reviews.py',
                        'audit/test_said_plainly.py', 'audit/test_score_gaps.py',
                        'audit/test_told_truly.py', 'audit/test_writers.py']),
])
def test_a_module_finds_its_tests_by_name_and_by_import(module, files):
    assert found_for(module) == files


def test_every_module_has_tests_and_every_test_of_a_part_has_a_module():
    found = imports.tests_of(ROOT/'dlcourse', ROOT/'tests')
    assert found.keys() == imports.modules(ROOT/'dlcourse').keys()
    assert [name for name, files in found.items() if not files] == []
    parts = {name.split('.')[1] for name in found}
    there = {p for part in parts for p in (ROOT/'tests'/part).glob('test_*.py')}
    assert there == {path for files in found.values() for path in files}


def test_modules_that_only_import_each_other_have_no_tests(tmp_path):
    package, tests = tmp_path/'dlcourse', tmp_path/'tests'
    for name, source in {'one': 'from .two import f', 'two': 'from . import one',
                         'three': 'from .one import g'}.items():
        (package/'a').mkdir(parents=True, exist_ok=True)
        (package/'a'/f'{name}.py').write_text(source)
    assert set(map(tuple, imports.tests_of(package, tests).values())) == {()}
    (tests/'a').mkdir(parents=True)
    (tests/'a'/'test_three.py').touch()
    found = imports.tests_of(package, tests)
    assert {name: [p.name for p in files] for name, files in found.items()} == {
        f'dlcourse.a.{name}': ['test_three.py'] for name in ('one', 'two', 'three')}
