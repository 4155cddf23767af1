"The learner's commands, end to end"
import json
import os
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest
from classroom.labs import Lab
from cli.runs import dlcourse as command

from dlcourse.classroom.lessons import find_exercise, is_platform
from dlcourse.classroom.start import start
from dlcourse.classroom.workspace import LAB, answer_cell, page_of
from dlcourse.cli.app import main
from dlcourse.cli.learn import course_lessons


@pytest.fixture
def dlcourse(monkeypatch, capsys):
    "Run a command; its exit code, what it printed and what it complained about"
    def run(*words):
        monkeypatch.setattr('sys.argv', ['dlcourse', *map(str, words)])
        with pytest.raises(SystemExit) as e: main()
        done = capsys.readouterr()
        return e.value.code or 0, done.out, done.err
    return run


def write(body):
    path, mask = page_of('transformers.attention',
                         Path('dlcourse-work').resolve()), find_exercise('causal_mask')
    nb = json.loads(path.read_text(encoding='utf-8'))
    answer_cell(nb, mask)['source'] = mask.blank.replace('raise NotImplementedError("Your turn: '
                                                         'causal_mask")', body)
    path.write_text(json.dumps(nb), encoding='utf-8')


def test_from_start_to_the_first_pass(dlcourse, monkeypatch):
    pytest.importorskip('torch')
    code, out, _ = dlcourse('start', '--lesson', 'attention')
    assert code == 0 and 'laid out: transformers.attention' in out
    assert 'Next: dlcourse lab dlcourse-work' in out and out.rstrip().endswith('02_attention.ipynb')
    code, out, _ = dlcourse('check', 'causal_mask')
    assert code == 1 and 'not tried' in out
    write('return torch.ones(n, n).bool().triu()')
    code, out, _ = dlcourse('check', 'causal_mask')
    assert code == 1 and '✗ No position sees a later one.' in out
    assert 'the triangle is flipped' in out
    code, out, _ = dlcourse('hint', 'causal_mask', '--json')
    assert code == 0 and json.loads(out)['texts'][0].startswith('Hint 1 of')
    write('return torch.ones(n, n).bool().tril()')
    code, out, _ = dlcourse('check', 'attention.causal_mask', '--json')
    assert code == 0 and json.loads(out)['outcome'] == 'passed'
    code, out, _ = dlcourse('progress')
    assert code == 0 and '✓ passed' in out and '1 of ' in out
    code, out, _ = dlcourse('solution', 'causal_mask')
    assert code == 0 and '.tril()' in out
    code, out, _ = dlcourse('reset', 'causal_mask')
    assert code == 0 and 'is blank again' in out and '.dlcourse/attic' in out
    code, out, _ = dlcourse('progress', '--json')
    mask = json.loads(out)['lessons'][0]['exercises'][0]
    assert (mask['state'], mask['solution_seen'], mask['resets'], mask['attempts']) == ('not tried',
                                                                                        True, 1, 2)
    assert mask['passed_at']


@pytest.mark.parametrize('words, says', [
    (['progress'], 'is no workspace; `dlcourse start` makes one'),
    (['start', '--part', 'vison'], '`vison` is no part of the course'),
    (['check'], 'needs the name of an exercise or --package'),
    (['check', 'causal_mask', '--folder', '.'], 'is no workspace')])
def test_what_goes_wrong_is_one_line_and_exit_2(dlcourse, words, says):
    code, out, err = dlcourse(*words)
    assert code == 2 and says in err and err.startswith('dlcourse: ') and err.count('\n') == 1
    assert not out


def test_names_are_suggested_and_lost_pages_explained(dlcourse):
    dlcourse('start', '--lesson', 'attention', '--json')
    assert 'did you mean `causal_mask`?' in dlcourse('check', 'casual_mask')[2]
    shutil.rmtree('dlcourse-work/nbs')
    assert '`dlcourse start --lesson transformers.attention` brings it' in dlcourse('reset',
                                                                                    'causal_mask')[2]


def test_lessons_are_in_the_order_of_the_course_the_platform_last():
    found = course_lessons()
    order = [(is_platform(x['module'].partition('.')[2]), x['part_number'], x['number'])
             for x in found]
    assert order == sorted(order) and all(x['title'] and x['claim'] for x in found)
    assert json.loads(command('lessons', '--json')[1]) == found
    assert found[0]['module'].startswith('dlcourse.foundations.')
    assert {'dlcourse.core.settings', 'dlcourse.grading.grading'} <= {x['module'] for x in found}
    attention, = [x for x in found if x['module'] == 'dlcourse.transformers.attention']
    assert attention['passed'] is None and attention['exercises'] and attention['minutes']


def test_lessons_say_what_was_done(dlcourse):
    pytest.importorskip('torch')
    dlcourse('start', '--lesson', 'attention', '--json')
    write('return torch.ones(n, n).bool().tril()')
    dlcourse('check', 'causal_mask')
    found = {x['module']: x for x in json.loads(dlcourse('lessons', '--json')[1])}
    mine = found['dlcourse.transformers.attention']
    assert (mine['passed'], found['dlcourse.foundations.tensors']['passed']) == (1, None)
    _, out, _ = command('lessons', COLUMNS='200')
    assert f"1 of {mine['exercises']}" in out and f"{mine['minutes']} min" in out


def test_lessons_fit_a_narrow_terminal_and_keep_their_names_whole():
    _, out, _ = command('lessons', COLUMNS='80')
    mine = [x for x in course_lessons() if not is_platform(x['module'].partition('.')[2])]
    assert all(x['module'].partition('.')[2] in out for x in mine)
    assert len(out.splitlines()) < 1.5*len(mine) and 'core.settings' not in out
    assert 'core.settings' in command('lessons', '--all', COLUMNS='80')[1]


@pytest.mark.parametrize('line, word', [
    ('check causal', 'causal_mask'), ('hint attention.cau', 'attention.causal_mask'),
    ('solution transformers.attention.causal', 'transformers.attention.causal_mask'),
    ('reset ', 'causal_mask'), ('start --lesson att', 'attention'),
    ('start --lesson transformers.', 'transformers.attention'), ('start --part tr', 'transformers'),
    ('grade --lesson transformers.', 'transformers.attention'),
    ('datasets get compa', 'compas'), ('datasets show lend', 'lending')])
def test_the_shell_completes_names(dlcourse, monkeypatch, line, word):
    words = f'dlcourse {line}'
    monkeypatch.setenv('_DLCOURSE_COMPLETE', 'complete_bash')
    monkeypatch.setenv('COMP_WORDS', words)
    monkeypatch.setenv('COMP_CWORD', str(len(words.split(' ')) - 1))
    found = dlcourse()[1].split()
    assert word in found and all(name.startswith(line.split(' ')[-1]) for name in found)


def test_the_shell_offers_what_a_learner_wants_first():
    from dlcourse.cli.learn import _lessons, _parts
    assert _lessons('')[0].startswith('foundations.') and _parts('')[0] == 'foundations'
    assert 'core.files' in _lessons('')


def test_a_notebook_of_the_lab_finds_this_dlcourse(dlcourse, monkeypatch, tmp_path):
    programs, seen = tmp_path/'programs', {}
    def lab(words): seen.update(words=words, path=os.environ['PATH'], lab=os.environ[LAB])
    monkeypatch.setattr('dlcourse.core.errors.need', lambda *args: SimpleNamespace(main=lab))
    monkeypatch.setattr('os.environ', dict(os.environ))
    words = ['lab', '--source', '--no-browser']
    monkeypatch.setattr('sys.argv', [str(programs/'dlcourse'), *words])
    before = signal.getsignal(signal.SIGHUP)
    try:
        with pytest.raises(SystemExit) as e: main()
    finally: signal.signal(signal.SIGHUP, before)
    assert not e.value.code and seen['lab'] == '1'
    assert seen['path'].split(os.pathsep)[0] == str(programs)
    assert '--no-browser' in seen['words'] and '--expose-app-in-browser' in seen['words']


def test_the_lab_of_a_folder_that_is_no_workspace_is_refused_and_makes_none(
        dlcourse, tmp_path, monkeypatch):
    monkeypatch.setattr('dlcourse.core.errors.need', lambda *args: SimpleNamespace(main=print))
    code, _, err = dlcourse('lab', str(tmp_path/'nowhere'))
    assert code == 2 and '`dlcourse start` makes one' in err and not (tmp_path/'nowhere').exists()


@pytest.mark.slow
@pytest.mark.parametrize('sent', [signal.SIGTERM, signal.SIGHUP])
def test_the_lab_leaves_nothing_behind_when_it_is_told_to_end(sent, tmp_path):
    "Also when its terminal is closed"
    pytest.importorskip('jupyterlab')
    folder = start(tmp_path/'work', lesson='attention').folder
    with Lab(tmp_path/'home', folder) as lab: assert not lab.end(sent)
    assert lab.process.returncode is not None
