"A policy that was declared before the table was opened, and one that was not"
import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from cli.runs import dlcourse

from dlcourse.audit.report import audit
from dlcourse.core.errors import InputError
from dlcourse.fairness.declared import check_declared, declare_policy

ROWS = 'sex,yes,good\n' + 'Female,1,1\nFemale,0,1\nMale,1,1\nMale,1,0\n'*40
ASK = dict(y_pred='yes', sensitive_features=['sex'], favorable=1)


@pytest.fixture
def desk(tmp_path):
    (tmp_path/'t.csv').write_text(ROWS)
    (tmp_path/'policy.toml').write_text('level = 0.9\ndifference.selection_rate = 0.1\n')
    return tmp_path


def test_what_was_declared_is_in_the_report(desk):
    said = declare_policy(desk/'policy.toml')
    assert said.name == 'policy.declared.toml'
    found = audit(desk/'t.csv', policy=desk/'policy.toml', declared=said, level=.9, **ASK)
    result = found.section('policy-declared').result
    assert result['sha256'] in said.read_text() and result['time'] <= result['opened']
    assert 'The table is older' in found.section('policy-declared').findings[1]
    (desk/'new.csv').write_text(ROWS)
    assert check_declared(desk/'policy.toml', said, desk/'new.csv').table_changed


@pytest.mark.parametrize('change, more, says', [
    (' ', {}, 'is not the one that was declared'), ('', dict(level=.95), 'policy says 0.9; leave'),
    ('', dict(min_count=5), 'the declared policy says nothing of it')])
def test_a_policy_changed_since_is_refused_before_the_table_is_opened(desk, change, more, says):
    said, policy = declare_policy(desk/'policy.toml'), desk/'policy.toml'
    policy.write_text(policy.read_text() + change)
    with pytest.raises(InputError, match=re.escape(says)):
        audit(desk/'there is none.csv', policy=policy, declared=said, **more, **ASK)


def test_a_time_after_the_table_was_opened_is_refused(desk):
    said, later = declare_policy(desk/'policy.toml'), datetime.now(UTC) + timedelta(days=1)
    said.write_text(re.sub('^time = .*', f'time = {later:%Y-%m-%dT%H:%M:%SZ}', said.read_text(),
                           flags=re.M))
    with pytest.raises(InputError, match='a policy is declared before that'):
        check_declared(desk/'policy.toml', said)
    said.write_text(said.read_text().replace('Z\n', '\n'))
    with pytest.raises(InputError, match='must have a zone'):
        check_declared(desk/'policy.toml', said)


def test_a_declaration_is_of_a_file_and_is_never_written_over(desk):
    said = declare_policy(desk/'policy.toml')
    for policy in (None, dict(difference={})):
        with pytest.raises(InputError, match='`declared` says when the file'):
            audit(desk/'t.csv', policy=policy, declared=said, **ASK)
    with pytest.raises(InputError, match='is there already'): declare_policy(desk/'policy.toml')
    with pytest.raises(InputError, match='its own name'):
        declare_policy(desk/'policy.toml', desk/'policy.toml')


@pytest.mark.parametrize('words', [
    ('fairness', '--prediction', 'yes', '--favorable', '1', '--profile', 'eu-ai-act'),
    ('classes', '--prediction', 'yes', '--title', 'A heading')])
def test_from_the_command_line(desk, words):
    assert dlcourse('audit', 'policy', '--declare', 'policy.toml', cwd=desk)[0] == 0
    kind, *words = words
    ask = ['audit', kind, 't.csv', *words, '--sensitive', 'sex', '--policy', 'policy.toml',
           '--declared', 'policy.declared.toml']
    code, out, err = dlcourse(*ask, '--json', 'r.json', cwd=desk)
    assert code == 1, err
    assert 'The policy was declared before' in out
    report = json.loads((desk/'r.json').read_text())
    assert report['sections'][0]['name'] == 'policy-declared'
    if kind == 'classes': assert report['title'] == 'A heading'
    (desk/'policy.toml').write_text('difference.selection_rate = 0.9\n')
    code, _, err = dlcourse(*ask, cwd=desk)
    assert code == 2 and 'is not the one that was declared' in err
