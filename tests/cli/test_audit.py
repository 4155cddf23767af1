"The command line, end to end: what it prints, what it writes, and with which exit code"
import json
import os
import re
import subprocess
import tomllib

import polars as pl
import pytest
from cli.runs import START, dlcourse

from dlcourse.cli.audit import audit_app
from dlcourse.cli.exits import ended


@pytest.fixture
def loans(tmp_path):
    rows = [dict(sex=s, approved=a, repaid=r)
            for s, a, r, n in [('Female', 1, 1, 40), ('Female', 0, 1, 40), ('Female', 0, 0, 20),
                               ('Male', 1, 1, 80), ('Male', 1, 0, 20)] for _ in range(n)]
    pl.DataFrame(rows).write_csv(tmp_path/'loans.csv')
    return tmp_path/'loans.csv'


ASK = ('--prediction', 'approved', '--label', 'repaid', '--sensitive', 'sex', '--favorable', 1)


def test_audit_prints_and_writes(loans, tmp_path):
    code, out, err = dlcourse('audit', 'fairness', loans, *ASK, '--html', 'r.html', '--json',
                              'r.json', '--junit', 'j.xml', cwd=tmp_path)
    assert (code, err) == (0, '')
    lines = out.splitlines()
    assert lines[0] == 'Favourable for the person: approved = 1' and 'Verdict: not judged' in lines
    assert "rarest for Female (40.0 %) and most common for Male (100.0 %)" in out
    assert lines[-3:] == ['Written: r.html', 'Written: r.json', 'Written: j.xml']
    assert sorted(p.name for p in tmp_path.iterdir()) == ['j.xml', 'loans.csv', 'r.html', 'r.json']
    rate = next(r for r in json.loads((tmp_path/'r.json').read_text())['rates']
                if (r['group'], r['metric']) == ('Female', 'true_positive_rate'))
    assert (rate['value'], rate['numerator'], rate['denominator'], rate['n']) == (.5, 40, 80, 100)


@pytest.mark.parametrize('way, target', [
    ('--html', 'loans.csv'), ('--html', 'link.csv'), ('--json', 'link.csv'),
    ('--junit', './folder/../loans.csv')])
def test_a_report_never_replaces_what_was_audited(loans, tmp_path, way, target):
    before = loans.read_bytes()
    (tmp_path/'link.csv').symlink_to(loans)
    (tmp_path/'folder').mkdir()
    code, out, err = dlcourse('audit', 'fairness', loans, *ASK, way, target, cwd=tmp_path)
    assert code == 2 and 'its own name' in err
    assert loans.read_bytes() == before and (tmp_path/'link.csv').is_symlink()


def test_two_reports_want_two_names(loans, tmp_path):
    code, out, err = dlcourse('audit', 'fairness', loans, *ASK, '--html', 'r', '--json', './r',
                              cwd=tmp_path)
    assert code == 2 and 'its own name' in err and not (tmp_path/'r').exists()


def test_a_published_table_is_never_replaced(loans, tmp_path):
    before = loans.read_bytes()
    code, out, err = dlcourse('audit', 'published', loans, '--html', 'loans.csv', cwd=tmp_path)
    assert code == 2 and 'its own name' in err and loans.read_bytes() == before


def test_a_text_is_printed_in_the_place_of_a_file(loans, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    def typed(*words):
        words = ['fairness', *map(str, (loans, *ASK, *words))]
        return ended(lambda: audit_app(words, standalone_mode=False)), *capsys.readouterr()
    starts = dict(json='{', html='<!doctype html>', junit="<?xml", sarif='{', csv='"row",',
                  card='---')
    for form, start in starts.items():
        code, out, err = typed(f'--{form}', '-')
        assert (code, err) == (0, '') and out.startswith(start) and 'Verdict:' not in out[:200]
        if form == 'json': assert json.loads(out)['schema'] == 'dlcourse/fairness-report/3'
    for words, says in {('--html', '-', '--csv', '-'): "- prints one form, got it for html and csv",
                        ('--parquet', '-'): "`--parquet` is no text; name a file",
                        ('--json', '-', '--plot', '-'): "`--plot` is no text"}.items():
        code, out, err = typed(*words)
        assert (code, out) == (2, '') and says in err
    assert [p.name for p in tmp_path.iterdir()] == ['loans.csv']


@pytest.mark.parametrize('form', [[], ['--json', '-']])
def test_who_stops_reading_does_not_change_the_verdict(loans, tmp_path, form):
    (tmp_path/'strict.toml').write_text('difference.selection_rate = 0.1')
    words = ('audit', 'fairness', loans, *ASK, '--policy', tmp_path/'strict.toml', *form)
    ours, theirs = os.pipe()
    os.close(ours) # Nobody reads
    done = subprocess.run([*START, *map(str, words)], stdout=theirs, stderr=subprocess.PIPE)
    os.close(theirs)
    assert (done.returncode, done.stderr) == (1, b'')


def test_exit_codes(loans, tmp_path):
    (tmp_path/'strict.toml').write_text('[difference]\nselection_rate = 0.1')
    (tmp_path/'unsure.toml').write_text('[difference]\ntrue_positive_rate = 0.45')
    (tmp_path/'loose.toml').write_text('[difference]\nselection_rate = 0.9')
    ask = ('audit', 'fairness', loans, *ASK, '--policy')
    assert [dlcourse(*ask, tmp_path/f'{name}.toml')[0]
            for name in ('strict', 'unsure', 'loose')] == [1, 3, 0]
    assert dlcourse('audit', 'fairness', loans, *ASK, DLCOURSE_MAX_DIFFERENCE='0.1')[0] == 1
    assert dlcourse(*ask, tmp_path/'loose.toml',
                    DLCOURSE_MAX_DIFFERENCE='0.1')[0] == 0, "the policy wins over the settings"


@pytest.mark.parametrize('words, says', [
    (('--prediction', 'aproved', '--sensitive', 'sex'),
     "`aproved` is not a column of loans.csv; did you mean `approved`?"),
    (('--prediction', 'sex', '--sensitive', 'approved'),
     "`sex` holds words: 'Female' (100 rows), 'Male' (100 rows)"),
    (('--sensitive', 'sex'), "there are no decisions to audit"),
    (('--prediction', 'approved', '--sensitive', 'sex', '--missing', 'skip'),
     "`--missing` must be error, unknown or drop; got 'skip'"),
    (('--prediction', 'approved', '--sensitive', 'sex', '--favorable', 'yes'),
     "`--favorable` must be a value of the prediction"),
    (('--prediction', 'approved', '--sensitive', 'sex', '--policy', 'none.toml'),
     "`none.toml` cannot be read"),
    (('--prediction', 'approved', '--sensitive', 'sex', '--html', '/proc/r.html'), "/proc"),
    (('--score', 'approved', '--sensitive', 'sex', '--threshold', 'nan'),
     "`--threshold` must be a finite number, such as 0.5; got nan"),
    (('--prediction', 'approved'), "Missing option '--sensitive'"),
    (('--prediction', 'approved', '--sensitive', 'sex', '--min-count', 'ten'), "--min-count")])
def test_errors_are_one_sentence_and_exit_2(loans, tmp_path, words, says):
    before = sorted(tmp_path.iterdir())
    code, out, err = dlcourse('audit', 'fairness', loans, *words, cwd=tmp_path)
    assert code == 2 and says in err and 'Traceback' not in err and 'Verdict' not in out
    assert sorted(tmp_path.iterdir()) == before, "nothing is left behind"


@pytest.mark.parametrize('name, content, says', [
    ('t.xlsx', b'x', "of no type that can be read here"), ('t.csv', b'', "`t.csv` is empty"),
    ('t.csv', b'sex,approved\n', "has no rows"),
    ('t.csv', 'sex,approved\nMänner,1\n'.encode('latin-1'), "not encoded as utf-8"),
    ('t.csv', b'sex,approved\nF,1\nM\n', "line 3"),
    ('t.parquet', b'PAR1', "cannot be read as .parquet"),
    ('t.csv', b'sex,approved\nF,0.25\nM,0.75\n', "holds probabilities"),
    ('t.csv', b'sex,approved\nF,1\nF,0\n', "one group only"),
    ('t.csv', b'sex,approved\nF,1\n,0\nM,1\n', "`sex` is missing in 1 of 3 rows"),
    ('t.csv', b'sex,approved,sex\nF,1,a\nM,0,b\n', "`sex` is the name of 2 columns")])
def test_bad_files(tmp_path, name, content, says):
    (tmp_path/name).write_bytes(content)
    code, out, err = dlcourse('audit', 'fairness', tmp_path/name, '--prediction', 'approved',
                              '--sensitive', 'sex', cwd=tmp_path)
    assert code == 2 and says in err and 'Traceback' not in err and len(err.splitlines()) == 1


def test_missing_policies(tmp_path):
    path = tmp_path/'t.csv'
    path.write_text('sex,approved\n' + 'F,1\nM,0\n,1\n'*40)
    ask = ('audit', 'fairness', path, '--prediction', 'approved', '--sensitive', 'sex', '--json',
           '-', '--missing')
    dropped, unknown = (json.loads(dlcourse(*ask, how)[1]) for how in ('drop', 'unknown'))
    assert dropped['missing'] == dict(policy='drop', rows=40, dropped=40, columns=dict(sex=40))
    assert dropped['source']['rows_used'] == 80
    assert unknown['missing']['dropped'] == 0
    assert '(missing)' in {r['group'] for r in unknown['rates']}


def test_a_hostile_column(tmp_path):
    name = '<script>alert(1)</script>'
    (tmp_path/'t.csv').write_text(f'{name},p\n' + 'a,1\nb,0\n'*40)
    code, out, err = dlcourse('audit', 'fairness', tmp_path/'t.csv', '--prediction', 'p',
                              '--sensitive', name, '--html', tmp_path/'r.html')
    assert code == 0 and name in out and '<script' not in (tmp_path/'r.html').read_text()


def test_compas_as_a_practitioner_would(tmp_path, real):
    from dlcourse.core.downloads import fetch
    real('compas')
    path = fetch('compas')['compas-scores-two-years.csv']
    code, out, err = dlcourse('audit', 'fairness', path, '--prediction', 'score_text', '--label',
                              'two_year_recid', '--positive', 'Medium', '--positive', 'High',
                              '--favorable', 'Low', '--sensitive', 'race', '--sensitive', 'sex',
                              '--json', tmp_path/'r.json')
    assert (code, err) == (0, '')
    assert out.startswith('Favourable for the person: score_text = Low\n')
    report = json.loads((tmp_path/'r.json').read_text())
    assert report['classes']['prediction'] == dict(positive=['High', 'Medium'], negative=['Low'])
    assert report['favorable']['prediction'] == 0
    rate = next(r for r in report['rates']
                if (r['group'], r['metric']) == ('African-American', 'false_positive_rate'))
    assert (rate['numerator'], rate['denominator']) == (805, 1795)
    assert dlcourse('audit', 'fairness', path, '--prediction', 'decile_score', '--sensitive',
                    'race')[2].startswith("dlcourse: `decile_score` is the name of 2 columns")


@pytest.mark.slow
def test_demo(tmp_path):
    code, out, err = dlcourse('audit', 'demo', cwd=tmp_path)
    assert (code, err) == (0, ''), "the demo exits with 0 whatever it found"
    assert {p.name for p in (tmp_path/'_out'/'audit').iterdir()} == {
        'report.html', 'report.json', 'junit.xml', 'privacy.html', 'privacy.json', 'policy.toml',
        'members.csv', 'non_members.csv', 'decisions.csv'}
    assert out.splitlines()[-1] == 'The report: _out/audit/report.html' and 'Verdict: fail' in out
    said = [line.split() for line in out.splitlines() if line.startswith('  dlcourse audit ')]
    assert [words[2] for words in said] == ['fairness', 'privacy']
    ends = [dlcourse(*words[1:], cwd=tmp_path)[0] for words in said]
    assert ends == [1, 0], "what it suggests works, and the verdict is the same"


def test_profiles(loans, tmp_path):
    code, out, err = dlcourse('audit', 'fairness', loans, *ASK, '--favorable', '1', '--profile',
                              'four-fifths', '--profile', 'nist-ai-rmf', '--json', 'r.json',
                              cwd=tmp_path)
    report = json.loads((tmp_path/'r.json').read_text(encoding='utf-8'))
    names = [s['name'] for s in report['sections']]
    assert names == ['four-fifths', 'four-fifths-clauses', 'nist-ai-rmf']
    assert report['policy']['ratio'] == {'selection_rate': .8} and err == ''
    assert 'not a bias audit and not legal advice' in report['sections'][0]['notes'][0]
    code, out, err = dlcourse('audit', 'fairness', loans, '--prediction', 'approved', '--sensitive',
                              'sex', '--profile', 'four-fifths')
    assert code == 2 and 'the four-fifths rule is about the favourable outcome' in err
    code, out, err = dlcourse('audit', 'fairness', loans, *ASK, '--profile', 'hammurabi')
    assert code == 2 and "`--profile` must be one of" in err
    code, out, err = dlcourse('audit', 'fairness', loans, *ASK, '--profile', 'nyc-ll144')
    assert code == 2 and 'dlcourse audit inputs' in err


def test_local_law_144_from_the_file_to_fill_in(tmp_path):
    rows = [f'{s},{r},{int(i % 10 < k)}'
            for s, r, k in (('F', 'Black', 4), ('M', 'White', 6), ('F', 'White', 5),
                            ('M', 'Black', 5)) for i in range(100)]
    rows += [',White,1'] # Of unknown sex: counted without being told to
    (tmp_path/'t.csv').write_text('\n'.join(['sex,race,hired', *rows]) + '\n')
    code, out, err = dlcourse('audit', 'inputs')
    assert (code, err) == (0, '')
    (tmp_path/'i.toml').write_text(out)
    words = ('t.csv', '--prediction', 'hired', '--sensitive', 'sex', '--sensitive', 'race',
             '--favorable', '1', '--profile', 'nyc-ll144')
    code, out, err = dlcourse('audit', 'fairness', *words, '--inputs', 'i.toml', '--json', 'r.json',
                              '--html', 'r.html', '--csv', 'r.csv', cwd=tmp_path)
    assert (code, err) == (0, '')
    section = json.loads((tmp_path/'r.json').read_text(encoding='utf-8'))['sections'][0]
    assert section['name'] == 'nyc-ll144'
    assert [len(t['rows']) for t in section['tables'][:3]] == [2, 7, 14]
    by_sex = {row[0]: row[1:] for row in section['tables'][0]['rows']}
    assert by_sex['Female'][0] == 200 and by_sex['Female'][2] == 90
    assert abs(by_sex['Female'][4] - .45/.55) < 1e-12
    page = (tmp_path/'r.html').read_text(encoding='utf-8')
    written = (tmp_path/'r.csv').read_text(encoding='utf-8')
    for text in ('To be published with the tables', 'of everyone assessed', '2027-01-31',
                 'The law knows no threshold', '6 RCNY 5-300'):
        assert text in page and text in written and text in ' '.join(out.split())
    assert 'Impact ratio' in page and 'withheld' not in out and '1 by sex' in out
    (tmp_path/'i.toml').write_text('sex = "sex"\nraces = "race"\n')
    code, out, err = dlcourse('audit', 'fairness', *words, '--inputs', 'i.toml', cwd=tmp_path)
    assert code == 2 and "`races` is none of the inputs of Local Law 144" in err


def test_the_summary_that_is_published(tmp_path):
    rows = [f'{s};{r};{y};{i % 10}' for s, r, y in (('F', 'Black', 'ja'), ('M', 'White', 'nein'),
            ('?', 'White', 'ja')) for i in range(100)]
    (tmp_path/'t.csv').write_text('\n'.join(['sex;race;hired;points', *rows]) + '\n')
    filled = dlcourse('audit', 'inputs')[1]
    (tmp_path/'i.toml').write_text(filled)
    words = ('audit', 'law', 't.csv', 'i.toml', '--null', '?', '--delimiter', ';')
    code, out, err = dlcourse(*words, '--prediction', 'hired', '--positive', 'ja', '--html',
                              's.html', '--csv', 's.csv', cwd=tmp_path)
    assert (code, err) == (0, '')
    assert 'highest for Female (100.0 % of 100) and lowest for Male (0.0 % of 100)' in out
    assert '100 by sex, 0 by race/ethnicity' in out and out.endswith('Written: s.csv\n')
    assert '2027-01-31' in (tmp_path/'s.html').read_text(encoding='utf-8')
    code, out, err = dlcourse(*words, cwd=tmp_path)
    assert code == 2 and 'give one of `selected`, `score` and `groups`' in err
    (tmp_path/'i.toml').write_text('score = "points"\n' + filled)
    code, out, err = dlcourse(*words, '--json', '-', cwd=tmp_path)
    assert (code, err) == (0, '') and json.loads(out)['median'] == 4.5
    code, out, err = dlcourse(*words, '--json', 'i.toml', cwd=tmp_path)
    assert code == 2 and 'score = "points"' in (tmp_path/'i.toml').read_text()


def test_published(tmp_path):
    head, male = 'group,n,selected,rate,ratio', 'Male,1390,667,48%,1.00'
    (tmp_path/'t.csv').write_text(f'{head}\n{male}\nFemale,1181,555,52%,0.979\n')
    code, out, err = dlcourse('audit', 'published', tmp_path/'t.csv', '--json', '-')
    found = json.loads(out)
    assert (code, err) == (1, '') and found['verdict'] == 'fail'
    assert found['result']['verdict'] == 'inconsistent'
    (tmp_path/'t.csv').write_text(f'{head}\n{male}\nFemale,1181,555,47%,0.979\n')
    forms = dict(html='p.html', junit='p.xml', sarif='p.sarif', csv='p.csv', card='p.md')
    asked = [word for form, name in forms.items() for word in (f'--{form}', tmp_path/name)]
    code, out, err = dlcourse('audit', 'published', tmp_path/'t.csv', *asked)
    assert (code, err) == (0, '') and 'Verdict: pass' in out
    page = (tmp_path/'p.html').read_text(encoding='utf-8')
    assert page.startswith('<!doctype html>') and 'Content-Security-Policy' in page
    assert all((tmp_path/name).stat().st_size for name in forms.values())


def test_published_tables_of_one_file(tmp_path):
    rows = ['tool,by,race,sex,n,rate,ratio', 'x,sex,Total,Female,100,0.50,1.00',
            'x,sex,Total,Male,100,0.40,0.80', 'x,race,Asian,Total,{n},0.40,1.00',
            'x,race,White,Total,50,0.20,{ratio}']
    ask = ('audit', 'published', 't.csv', '--table', 'tool', '--table', 'by', '--group', 'race',
           '--group', 'sex')
    def found(n='50', ratio='0.50'):
        (tmp_path/'t.csv').write_text('\n'.join(rows).format(n=n, ratio=ratio) + '\n')
        return dlcourse(*ask, '--html', 'p.html', cwd=tmp_path)
    assert found()[0] == 0 and 'Of 2 tables 2 consistent.' in found()[1]
    code, out, err = found(ratio='0.90')
    assert (code, err) == (1, '') and '• race: White, impact ratio: 0.90 does not follow' in out
    code, out, err = found(n='some')
    assert (code, err) == (3, '') and 'race was not judged: `some` is not a printed number' in out
    assert "default-src 'none'" in (tmp_path/'p.html').read_text(encoding='utf-8')


@pytest.mark.slow
def test_plan():
    code, out, err = dlcourse('audit', 'plan', '0.3', '0.1')
    assert (code, err) == (0, '')
    assert 'rows: with a true gap of 0.1, 80% of such audits would fail' in out
    ratio = ('audit', 'plan', '0.3', '0.7', '--kind', 'ratio')
    code, out, err = dlcourse(*ratio, '--tolerance', '0.8')
    assert (code, err) == (0, '')
    assert 'rows: with a true ratio of 0.7, 80% of such audits would fail' in out
    code, out, err = dlcourse(*ratio)
    assert code == 2 and 'give it: --tolerance 0.8' in err
    code, out, err = dlcourse('audit', 'plan', '0.3', '0.1', '--kind', 'rate')
    assert code == 2 and "`--kind` must be difference or ratio, got 'rate'" in err
    code, out, err = dlcourse('audit', 'plan', '0.3', '0.1', '--tolerance', '0.1')
    assert code == 2 and "`gap` must differ from `--tolerance`" in err


def test_a_policy_is_printed_to_be_filled_in(loans, tmp_path):
    from dlcourse.fairness.policy import POLICY_KEYS, read_policy
    code, out, err = dlcourse('audit', 'policy')
    assert (code, err) == (0, '')
    (tmp_path/'policy.toml').write_text(out)
    said = read_policy(tmp_path/'policy.toml')
    assert said.difference == dict(selection_rate=.1) and said.ratio == dict(selection_rate=.8)
    code, out, err = dlcourse('audit', 'fairness', loans, '--prediction', 'approved', '--sensitive',
                              'sex', '--policy', tmp_path/'policy.toml')
    assert code == 1 and 'tolerated: at most 10.0 points' in ' '.join(out.split()), err
    whole = re.sub(r'(?m)^# (?=\w+ +=|\[)', '', (tmp_path/'policy.toml').read_text())
    (tmp_path/'whole.toml').write_text(whole)
    read_policy(tmp_path/'whole.toml')
    assert set(tomllib.loads(whole)) == set(POLICY_KEYS), "every key is shown"


OF_KIND = dict( # Command → what it is asked, and the gap that is there
    scores=('--score s --label good', 'calibration_bias'),
    classes=('--prediction guess --label good', 'true_positive_rate'),
    regression=('--prediction s --label y', 'mean_error'),
    ranking=('--query list --score s --k 3', 'top_ratio'))


@pytest.mark.parametrize('kind', OF_KIND)
def test_what_is_no_decision(kind, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rows = [dict(sex=sex, s=.1 + .2*(i % 3) + .4*(sex == 'Male'), y=.5, good=i % 2, list=i//4,
                 guess=(i % 2)*(sex == 'Male')) for i in range(400) for sex in ('Female', 'Male')]
    pl.DataFrame(rows).write_csv('people.csv')
    def typed(*words):
        code = ended(lambda: audit_app([*words], standalone_mode=False))
        return code, *capsys.readouterr()
    words, metric = OF_KIND[kind]
    ask = [kind, 'people.csv', *words.split(), '--sensitive', 'sex']
    code, out, err = typed(*ask)
    assert (code, err) == (0, '') and 'Verdict: not judged' in out
    code, form, err = typed('policy', '--kind', kind)
    assert metric in form and tomllib.loads(form)['level'] == .95
    for tolerance, want in ((.01, 1), (9 if kind == 'ranking' else 1, 0)): # Ratios may pass 1
        (tmp_path/'p.toml').write_text(f'difference.{metric} = {tolerance}\n')
        code, out, err = typed(*ask, '--policy', 'p.toml', '--html', 'r.html', '--json', 'r.json',
                               '--junit', 'j.xml', '--sarif', 's.json', '--csv', 'r.csv',
                               '--parquet', 'r.parquet', '--card', 'c.md', '--plot', 'p.svg')
        assert (code, err) == (want, '') and out.count('Written: ') == 8
        assert json.loads((tmp_path/'r.json').read_text())['kind'] == kind
    code, out, err = typed(*ask, '--policy', 'p.toml', '--json', '-')
    assert code == 0 and json.loads(out)['verdict'] == 'pass'
    (tmp_path/'p.toml').write_text('difference.nothing = 0.1\n')
    code, out, err = typed(*ask, '--policy', 'p.toml')
    assert code == 2 and '`nothing`' in err
    code, out, err = typed(*ask, '--html', 'people.csv')
    assert code == 2 and 'its own name' in err
    code, out, err = typed('policy', '--kind', 'lists')
    assert code == 2 and "`--kind` must be one of fairness, scores" in err


def test_no_form_goes_over_another_or_where_it_cannot(loans, tmp_path):
    before = sorted(tmp_path.iterdir())
    for words, says in [(('--sarif', 'x', '--csv', './x'), 'its own name'),
                        (('--card', 'loans.csv'), 'its own name'),
                        (('--plot', 'x.jpg'), "a plot ends in .png or .svg, got '.jpg'"),
                        (('--csv', '/dev/full'), 'a device')]:
        code, out, err = dlcourse('audit', 'fairness', loans, *ASK, *words, cwd=tmp_path)
        assert code == 2 and says in err and len(err.splitlines()) == 1
        assert sorted(tmp_path.iterdir()) == before


def test_subgroups_in_the_report(tmp_path):
    def row(i):
        sex, age = 'FM'[i % 2], 'young' if i % 3 else 'old'
        chances = 1 if (sex, age) == ('F', 'young') else 5
        return f"{sex},{age},{int(i % 7 < chances)}"
    rows = map(row, range(4200))
    (tmp_path/'t.csv').write_text('\n'.join(['sex,age,hired', *rows]) + '\n')
    code, out, err = dlcourse('audit', 'fairness', 't.csv', '--prediction', 'hired', '--sensitive',
                              'sex', '--subgroups', 'sex', '--subgroups', 'age', '--json', '-',
                              cwd=tmp_path)
    section = json.loads(out)['sections'][0]
    assert (code, err) == (0, '')
    assert 'sex = F and age = young' in section['tables'][0]['rows'][0][0]


def test_links_to_documents_are_printed_to_be_filled_in(tmp_path):
    code, out, err = dlcourse('audit', 'links', 'gdpr-credit')
    assert (code, err) == (0, '') and tomllib.loads(out)['gdpr-credit']
    code, out, err = dlcourse('audit', 'links', 'hammurabi')
    assert code == 2 and 'new-jersey' in err
    assert 'links' in dlcourse('audit', '--help')[1]
