"Keys, certificates and their check, as a teacher and a stranger type them"
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli.runs import dlcourse

pytest.importorskip('jwt')
pytest.importorskip('cryptography')

from dlcourse.classroom.cells import read_notebook
from dlcourse.classroom.editions import learner_edition
from dlcourse.classroom.lessons import find_exercise
from dlcourse.grading.sandbox import Sandbox

WITHOUT = '''import sys
sys.modules[sys.argv.pop(1)] = None
from dlcourse.cli.app import main; main()'''


@pytest.fixture(scope='module')
def desk(tmp_path_factory):
    "A teacher's folder: a page handed in, one of its exercises solved, and nothing in HOME"
    desk = tmp_path_factory.mktemp('desk')
    e = find_exercise('intervals.wilson')
    page = learner_edition(read_notebook(e.path))
    for cell in page['cells']:
        if ''.join(cell['source']) == e.blank: cell['source'] = e.source
    (desk/'ada.ipynb').write_text(json.dumps(page))
    return desk


@pytest.fixture(scope='module')
def typed(desk):
    def run(*words):
        return dlcourse(*words, cwd=desk, HOME=str(desk/'home'), XDG_CONFIG_HOME=str(desk/'cfg'))
    return run


@pytest.fixture(scope='module')
def walls():
    with Sandbox(insist=False) as box: return ['--no-sandbox']*bool(box.run(dict(code='')).off)


def test_from_an_empty_home_to_a_record_that_a_stranger_checks(typed, desk, walls):
    code, out, err = typed('certificate', 'ada.ipynb', '--name', 'Ada')
    assert (code, out) == (2, '') and 'there is no key to sign with; `dlcourse new-key`' in err
    code, out, err = typed('new-key')
    assert code == 0 and 'dlcourse-key.jwk' in out and 'hand it out' in out
    assert (desk/'cfg'/'dlcourse'/'key.pem').is_file()
    code, out, err = typed('certificate', 'ada.ipynb', '--name', 'Ada Lovelace', '--issuer',
                           'The Teacher', '--with-answers', *walls)
    assert code == 0, err
    assert 'Ada Lovelace: 1 of ' in out and 'Written: ada.jwt and ada.html' in out
    assert 'Self-signed' not in out
    code, out, err = typed('verify', 'ada.jwt', '--key', 'dlcourse-key.jwk', '--inside', *walls)
    assert code == 0 and out.startswith('Valid: signed by The Teacher'), err
    assert 'evaluation.intervals.wilson' in out and 'not recorded' in out
    assert 'Again: 1 of 1 answers passed' in out and 'installed here' in out
    code, out, err = typed('verify', 'ada.jwt', '--json')
    said = json.loads(out)
    assert code == 1 and not said['valid'] and said['record']['name'] == 'Ada Lovelace'
    code, out, err = typed('certificate', 'ada.ipynb', '--name', 'Ada', *walls)
    assert code == 2 and '`ada.jwt` is there already' in err and err.count('\n') == 1
    text = (desk/'ada.jwt').read_text()
    middle = len(text)//2
    (desk/'forged.jwt').write_text(text[:middle] + ('A' if text[middle] != 'A' else 'B')
                                   + text[middle + 1:])
    code, out, err = typed('verify', 'forged.jwt', '--key', 'dlcourse-key.jwk')
    assert code == 1 and out.startswith('Not valid: its signature does not hold') and not err


@pytest.mark.parametrize('words, says', [
    (['verify', 'nobody.jwt'], '`nobody.jwt` cannot be checked: there is no such file'),
    (['verify', 'ada.ipynb', '--key', 'nobody.jwk'], '`nobody.jwk` is no key'),
    (['verify', 'ada.ipynb', '--key', 'ada.ipynb'], 'is no key'),
    (['new-key', '--private', 'x', '--public', 'x'], 'are one file')])
def test_what_cannot_be_done_is_one_line_and_exit_2(typed, words, says):
    code, out, err = typed(*words)
    assert code == 2 and not out and says in err and err.count('\n') == 1
    assert err.startswith('dlcourse: ')


def test_what_is_no_record_is_not_valid(typed, desk):
    code, out, err = typed('verify', 'ada.ipynb')
    assert code == 1 and out.startswith('Not valid: this is no signed record') and not err


@pytest.mark.parametrize('missing', ['jwt', 'cryptography'])
@pytest.mark.parametrize('words', [('new-key',), ('verify', 'ada.ipynb'),
                                   ('certificate', 'ada.ipynb', '--name', 'Ada')])
def test_a_missing_extra_is_one_line(desk, missing, words):
    done = subprocess.run([sys.executable, '-c', WITHOUT, missing, *words], cwd=desk, text=True,
                          capture_output=True, env=os.environ | {'XDG_CONFIG_HOME': str(desk/'n')})
    assert done.returncode == 2 and done.stderr.count('\n') == 1, done.stderr
    assert "pip install 'dlcourse[certificate]'" in done.stderr
    assert not Path(desk/'n').exists()
