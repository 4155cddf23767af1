"Privacy from the command line: what it prints, what it writes, and with which exit code"
import json
import subprocess
import sys
import time

import jsonschema
import numpy as np
import polars as pl
import pytest
from cli.runs import dlcourse

from dlcourse.core.files import project_path


@pytest.fixture
def desk(tmp_path):
    rng = np.random.default_rng(0)
    for i, name in enumerate(('in', 'out')):
        score = rng.normal(0, 1, 3_000)
        score[:300] += 8*(i == 0)
        pl.DataFrame(dict(score=score, town=['Nord']*1_500 + ['Sud']*1_500,
                          person=range(3_000*i, 3_000*i + 3_000))).write_parquet(
            tmp_path/f'{name}.parquet')
    return tmp_path


ASK = ('audit', 'privacy', '--members', 'in.parquet', '--non-members', 'out.parquet')


@pytest.mark.parametrize('tpr, code', [(.05, 1), (.107, 3), (.3, 0)])
def test_the_verdict_is_the_exit_code(desk, tpr, code):
    (desk/'p.toml').write_text(f'tpr = {tpr}\n')
    got, out, err = dlcourse(*ASK, '--policy', 'p.toml', '--key', 'person', cwd=desk)
    assert (got, err) == (code, '') and f'at most {tpr:.3f}' in ' '.join(out.split())


def test_everything_it_writes(desk):
    names = dict(html='r.html', json='r.json', junit='j.xml', sarif='s.sarif', csv='t.csv',
                 parquet='t.parquet', card='card.md', plot='p.png')
    words = [w for form, name in names.items() for w in (f'--{form}', name)]
    code, out, err = dlcourse(*ASK, '--group', 'town', '--epsilon', '3', '--delta', '1e-5',
                              '--title', 'Mine', *words, cwd=desk)
    assert (code, err) == (0, '') and all((desk/n).stat().st_size for n in names.values())
    schema = json.loads(project_path('assets', 'audit.schema.json').read_text(encoding='utf-8'))
    report = json.loads((desk/'r.json').read_text())
    jsonschema.validate(report, schema)
    assert report['title'] == 'Mine' and report['result']['claim']['epsilon'] == 3
    code, out, err = dlcourse(*ASK, '--json', '-', cwd=desk)
    assert json.loads(out)['kind'] == 'privacy'


@pytest.mark.parametrize('words, says', [
    (('--members', 'nobody.csv', '--non-members', 'out.parquet'), 'nobody.csv'),
    (('--members', 'in.parquet', '--non-members', 'in.parquet'), 'same file'),
    (('--members', 'in.parquet', '--non-members', 'out.parquet', '--epsilon', '1'), 'δ'),
    (('--members', 'in.parquet', '--non-members', 'out.parquet', '--score', 'loss'), 'loss'),
    (('--members', 'in.parquet', '--non-members', 'out.parquet', '--html', 'in.parquet'),
     'its own name'),
    (('--members', 'in.parquet'), '--non-members')])
def test_what_cannot_be_run_ends_with_2(desk, words, says):
    code, out, err = dlcourse('audit', 'privacy', *words, cwd=desk)
    assert code == 2 and says in err and 'Traceback' not in err


def test_a_policy_to_fill_in_can_be_given(desk):
    code, out, _ = dlcourse('audit', 'policy', '--kind', 'privacy', cwd=desk)
    assert code == 0
    (desk/'p.toml').write_text(out)
    assert dlcourse(*ASK, '--policy', 'p.toml', cwd=desk)[0] == 1


def test_a_policy_of_privacy_is_declared_before_and_not_changed_after(desk):
    policy = desk/'p.toml'
    policy.write_text('tpr = 0.05\n')
    declare = 'audit', 'policy', '--kind', 'privacy', '--declare', 'p.toml'
    assert dlcourse(*declare, cwd=desk)[0] == 0 and dlcourse(*declare, cwd=desk)[0] == 2
    both = '--policy', 'p.toml', '--declared', 'p.declared.toml'
    code, out, err = dlcourse(*ASK, *both, '--json', '-', cwd=desk)
    section = next(s for s in json.loads(out)['sections'] if s['name'] == 'policy-declared')
    assert (code, err) == (1, '') and 'The table is older' in section['findings'][1]
    policy.write_text('tpr = 0.5\n')
    code, _, err = dlcourse(*ASK, *both, cwd=desk)
    assert code == 2 and 'is not the one that was declared' in ' '.join(err.split())
    assert dlcourse(*ASK, '--declared', 'p.declared.toml', cwd=desk)[0] == 2
    policy.write_text('tpr = 5\n')
    assert dlcourse(*declare, '--to', 'other.toml', cwd=desk)[0] == 2


def test_without_torch_and_soon(desk):
    code = ("import sys; from dlcourse.cli.app import app\n"
            f"try: app({list(ASK[0:])!r}, standalone_mode=False)\n"
            "except BaseException: pass\nprint('torch' in sys.modules)")
    start = time.process_time()
    out = subprocess.run([sys.executable, '-c', code], cwd=desk, capture_output=True, text=True)
    assert out.stdout.splitlines()[-1] == 'False', out.stderr
    assert time.process_time() - start < 3
