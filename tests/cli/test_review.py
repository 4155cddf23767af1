"`dlcourse review` in a terminal and without one"
import json
import sys
from datetime import UTC, datetime, timedelta

import pytest
from cli.runs import dlcourse

from dlcourse.classroom.lessons import find_exercise
from dlcourse.classroom.record import record
from dlcourse.classroom.spacing import past_reviews
from dlcourse.classroom.start import start

pytest.importorskip('fsrs')


@pytest.fixture
def folder(tmp_path):
    "A workspace in which something was passed two days ago"
    made = start(tmp_path/'dlcourse-work', lesson='attention').folder
    time = (datetime.now(UTC) - timedelta(2)).isoformat(timespec='seconds')
    with record(made) as events:
        events.append(dict(time=time, exercise=find_exercise('causal_mask').id, kind='attempt',
                           outcome='passed', held=2, claims=2, answer='x'))
    return made


def test_without_a_terminal_the_questions_are_printed(folder, tmp_path):
    pytest.importorskip('torch')
    code, out, _ = dlcourse('review', '--most', '3', cwd=tmp_path)
    assert code == 0 and '3 of ' in out and 'One line is missing' in out
    code, out, _ = dlcourse('review', '--json', cwd=tmp_path)
    found = json.loads(out)
    assert len(found) == 10 and found[0]['kind'] == 'quiz' and found[0]['last'] is None
    assert 'causal_mask' in dlcourse('review', '--list', cwd=tmp_path)[1]
    assert 'are due for review' in dlcourse('lessons', cwd=tmp_path)[1]
    code, out, _ = dlcourse('review', '--page', cwd=tmp_path)
    assert code == 0 and (folder/'review.ipynb').exists()
    assert not past_reviews(folder)


def test_what_goes_wrong_is_one_line(tmp_path):
    assert 'is no workspace' in dlcourse('review', cwd=tmp_path)[2]
    start(tmp_path/'dlcourse-work', lesson='attention')
    said = dlcourse('review', '--most', '0', cwd=tmp_path)[2]
    assert '`--most` must be a whole number from 1 up, got 0' in said
    assert 'without `--json`' in dlcourse('review', '--page', '--json', cwd=tmp_path)[2]
    assert 'Nothing is due today.' in dlcourse('review', cwd=tmp_path)[1]


@pytest.mark.slow
def test_an_evening_in_a_terminal_that_is_interrupted(folder, tmp_path):
    pexpect = pytest.importorskip('pexpect')
    pytest.importorskip('torch')
    program = ['-c', 'from dlcourse.cli.app import main; main()', 'review']
    child = pexpect.spawn(sys.executable, program, cwd=str(tmp_path), encoding='utf-8', timeout=600)
    for says, typed in (('Letter: ', 'b'), ('compare: ', ''), ('easy: ', '3'),
                        ('The line: ', 'return torch.ones(n, n, dtype=torch.bool).tril()')):
        child.expect(says)
        child.sendline(typed)
    child.expect('Letter: ')
    child.sendintr()
    child.expect('3 answered and written down')
    child.expect(pexpect.EOF)
    child.close()
    ratings = [rating for days in past_reviews(folder).values() for rating in days.values()]
    assert child.exitstatus == 0 and ratings == ['again', 'good', 'good']


def test_a_terminal_that_cannot_show_a_character_shows_another(folder, tmp_path, monkeypatch):
    pytest.importorskip('torch')
    monkeypatch.setenv('PYTHONIOENCODING', 'ascii')
    monkeypatch.setenv('PYTHONUTF8', '0')
    code, out, said = dlcourse('lessons', cwd=tmp_path)
    assert code == 0 and 'attention' in out and 'Traceback' not in said
