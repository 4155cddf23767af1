"Tables that once gave a wrong answer, each as it came and once more in another place"
import gzip
import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from dlcourse.audit.report import audit
from dlcourse.cli.app import app
from dlcourse.cli.exits import ended
from dlcourse.core.errors import InputError
from dlcourse.fairness.classes import audit_classes
from dlcourse.fairness.discovery import discover
from dlcourse.fairness.published import audit_published
from dlcourse.fairness.regression import audit_regression
from dlcourse.fairness.scores import audit_scores


@pytest.fixture
def typed(tmp_path, monkeypatch, capsys):
    "A command in a folder of its own → exit code, output, errors"
    monkeypatch.chdir(tmp_path)
    def run(*words):
        code = ended(lambda: app([*map(str, words)], standalone_mode=False))
        return code, *capsys.readouterr()
    return run


def weighted():
    return dict(sex=['f']*1000 + ['m']*1000, hired=[1]*350 + [0]*650 + [1]*500 + [0]*500,
                w=[1.]*350 + [.5384615]*650 + [1.]*1000)


def test_weights_in_every_section(typed):
    pl.DataFrame(weighted()).write_csv('t.csv')
    code, out, err = typed('audit', 'fairness', 't.csv', '--prediction', 'hired', '--sensitive',
                           'sex', '--weight', 'w', '--favorable', '1', '--profile', 'four-fifths',
                           '--subgroups', 'sex', '--json', 'r.json')
    report = json.loads(Path('r.json').read_text())
    assert code == 0 and 'not below four fifths' in out and not err
    rates = {r['group']: r['value'] for r in report['rates'] if r['metric'] == 'selection_rate'}
    assert rates['f'] == pytest.approx(.5, abs=1e-6) and rates['m'] == .5
    t = weighted()
    whole = [v for v, w in zip(t['hired'], t['w'], strict=True) for _ in range(round(13*w))]
    assert abs(np.mean(whole[:350*13 + 650*7]) - .5) < 1e-12 # What the weights stand for


def test_weights_in_scores_and_classes():
    t = weighted()
    by = dict(sensitive_features=['sex'], sample_weight='w')
    said = audit_classes(t | dict(y=[1]*2000), y_pred='hired', y_true='y', **by)
    accuracy = {v.group: v.value for v in said.values if v.metric == 'accuracy_score'}
    assert accuracy['f'] == pytest.approx(.5, abs=1e-6) and accuracy['m'] == .5
    means = {v.group: v.value for v in audit_regression(t, y_pred='hired', **by).values
             if v.metric == 'mean_prediction'}
    assert means == pytest.approx(dict(f=.5, m=.5), abs=1e-6)
    assert not discover(t, ['sex'], y_pred='hired', sample_weight='w').found


def clustered():
    chosen = [('f', i, i < 24) for i in range(40)] + [('m', 40 + i, i < 16) for i in range(40)]
    return dict(zip(('g', 'person', 'y'), map(list, zip(*(p for p in chosen for _ in range(25)),
                                                         strict=True)), strict=True))


def test_clusters_in_every_section(typed):
    t = clustered()
    pl.DataFrame(t).with_columns(pl.col('y').cast(int)).write_csv('t.csv')
    code, out, err = typed('audit', 'fairness', 't.csv', '--prediction', 'y', '--sensitive', 'g',
                           '--cluster', 'person', '--favorable', '1', '--profile', 'four-fifths',
                           '--subgroups', 'g', '--json', 'r.json')
    assert (code, err) == (3, '') # Too few persons to say
    report = json.loads(Path('r.json').read_text())
    gap, = (d for d in report['disparities']
            if (d['metric'], d['kind']) == ('selection_rate', 'difference'))
    assert gap['low'] == 0 and gap['high'] > .35
    assert 'chance alone would do (p = 0.12' in out and '8.9 standard' not in out
    assert not discover(t, ['g'], y_pred='y', cluster='person').found


def test_clusters_widen_the_interval_of_an_auc():
    rng = np.random.default_rng(0)
    y = np.repeat(rng.integers(0, 2, 60), 20)
    s = np.repeat(rng.normal(size=60), 20) + y*.5
    t = dict(s=s, y=y, g=np.arange(1200)//600, person=np.arange(1200)//20)
    asked = dict(score='s', y_true='y', sensitive_features=['g'])
    (alone, _), (together, _) = (audit_scores(t, **asked, **how).rows
                                 for how in ({}, dict(cluster='person')))
    assert together.auc == alone.auc == pytest.approx(roc_auc_score(y[:600], s[:600]), abs=.003)
    assert together.auc_high - together.auc_low > 2*(alone.auc_high - alone.auc_low)


@pytest.mark.parametrize('words', [
    ['fairness', '--prediction', 'y', '--sensitive', 'stadt', '--subgroups', 'stadt'],
    ['classes', '--prediction', 'y', '--label', 'z', '--sensitive', 'stadt'],
    ['regression', '--prediction', 'y', '--sensitive', 'stadt'],
    ['scores', '--score', 'y', '--label', 'z', '--sensitive', 'stadt'],
    ['ranking', '--query', 'z', '--score', 'y', '--sensitive', 'stadt']])
def test_an_encoding_is_said_once(typed, words):
    lines = [f"{['Köln', 'Würzburg'][i % 2]},{i//2 % 2},{i//4 % 2}" for i in range(400)]
    Path('t.csv').write_bytes('\n'.join(['stadt,y,z', *lines]).encode('latin-1'))
    kind, *words = words
    code, out, err = typed('audit', kind, 't.csv', *words, '--encoding', 'latin-1')
    assert (code, err) == (0, '') and 'Köln' in out
    code, _, err = typed('audit', kind, 't.csv', *words)
    assert code == 2 and 'latin-1' in err


PRINTED = [('White', 50000, .47, 1), ('Black', 45000, .423, .9), ('Hawaiian', 100, .52, None)]


def test_published_tables_are_not_accused():
    def table(rows): return dict(zip(('group', 'n', 'rate', 'ratio'),
                                     map(list, zip(*rows, strict=True)), strict=True))
    found = audit_published(table(PRINTED))
    assert found.exit_code == 0 and 'under 2 %' in ' '.join(found.findings)
    found = audit_published(table([('Female', 50000, .74, 1), ('Male', 45000, .737, .996)]))
    assert found.exit_code == 0
    dust = [('Female', 50000, .4920000000000001, 1), ('Male', 45000, .47, .955)]
    found = audit_published(table(dust))
    assert found.exit_code == 0
    found = audit_published(table([('Female', 50000, .74, 1), ('Male', 45000, .737, .85)]))
    assert found.exit_code == 1


def test_one_bad_table_of_several(tmp_path):
    lines = [f'{job},{year},{sex},1000,{selected},{selected/1000},{ratio}' for job, year, rows in (
        ('cook', 2024, (('f', 300, .6), ('m', 500, 1))),
        ('cook', 2025, (('f', 400, .9), ('m', 500, 1))),
        ('clerk', 2024, (('f', 450, .9), ('m', 500, 1)))) for sex, selected, ratio in rows]
    (tmp_path/'t.csv').write_text('\n'.join(['job,year,group,n,selected,rate,ratio', *lines]))
    found = audit_published(tmp_path/'t.csv', table=['job', 'year'])
    verdicts = {t.name: t.verdict for t in found.tables}
    assert len(verdicts) == 3 and found.exit_code == 1
    wrong = [name for name, v in verdicts.items() if v != 'consistent']
    assert len(wrong) == 1 and 'cook' in wrong[0] and '2025' in wrong[0]


def test_calibration_of_few():
    t = dict(s=[.02]*50 + [.3, .7]*100, y=[0]*50 + [0, 1]*100, g=['few']*50 + ['many']*200)
    found = audit_scores(t, score='s', y_true='y', sensitive_features=['g'])
    few = next(r for r in found.rows if r.group == 'few')
    assert not any('few' in f for f in found.findings)
    assert few.bias_high > few.bias_low and few.bias_p_value > .2
    assert few.auc is None and 'one label only' in few.reason
    rare = dict(s=np.linspace(0, 1, 500), y=[1]*5 + [0]*245 + [0, 1]*125, g=['a']*250 + ['b']*250)
    found = audit_scores(rare, score='s', y_true='y', sensitive_features=['g'])
    row, _ = found.rows
    assert row.auc is None and 'AUC withheld' in row.reason and found.overall.auc is not None


def test_a_positive_value_that_does_not_occur():
    t = dict(y=[1, 0]*100, z=[2, 1]*100, g=['a', 'b', 'b', 'a']*50)
    with pytest.raises(InputError, match='never is'):
        audit(t, y_pred='y', y_true='z', positive=['2'], sensitive_features=['g'])
    with pytest.raises(InputError, match='never is'):
        audit_scores(t, score='y', y_true='z', positive=['3'], sensitive_features=['g'])


@pytest.mark.parametrize('missing', ['unknown', 'drop'])
@pytest.mark.parametrize('engine', ['csv', 'pandas', 'polars'])
def test_an_empty_group_is_not_called_none(tmp_path, missing, engine):
    t = pl.DataFrame(dict(y=[1, 0]*100, g=(['a', 'b', 'b', 'a']*49 + ['a', 'b', 'a', None])))
    t.write_csv(tmp_path/'t.csv')
    data = dict(csv=tmp_path/'t.csv', pandas=t.to_pandas(), polars=t)[engine]
    found = audit(data, y_pred='y', sensitive_features=['g'], missing=missing)
    assert not any('None' in w for w in found.warnings)
    assert {'None', 'nan'}.isdisjoint(r.group for r in found.rates)


@pytest.mark.parametrize('kind', ['fairness', 'scores'])
def test_single_precision_decides_alike(tmp_path, kind):
    s = np.float32([.7, .1, .7, .9]*50)
    t = pl.DataFrame(dict(s=s, y=[1, 0]*100, g=['a', 'b', 'b', 'a']*50))
    t.write_parquet(tmp_path/'t.parquet')
    t.write_csv(tmp_path/'t.csv')
    def of(data):
        by = dict(score='s', sensitive_features=['g'])
        if kind == 'scores': return [r.auc for r in audit_scores(data, y_true='y', **by).rows]
        found = audit(data, threshold=.7, **by)
        return [(r.group, r.value) for r in found.rates if r.metric == 'selection_rate']
    assert of(tmp_path/'t.parquet') == of(tmp_path/'t.csv') == of(t) == of(t.to_pandas())


@pytest.mark.parametrize('kind', ['fairness', 'scores', 'published'])
def test_a_gzip_cut_short(typed, kind):
    rows = ''.join(f'{i % 2},{i},{i % 3}\n' for i in range(9_000))
    Path('t.csv.gz').write_bytes(gzip.compress(f'p,s,g\n{rows}'.encode())[:-40])
    words = dict(fairness=['--prediction', 'p', '--sensitive', 'g'], published=[],
                 scores=['--score', 's', '--label', 'p', '--sensitive', 'g'])[kind]
    code, out, err = typed('audit', kind, 't.csv.gz', *words)
    assert code == 2 and len(err.splitlines()) == 1
    assert 't.csv.gz' in err


def test_missing_in_a_series_is_said_by_name():
    y = pd.Series(pd.array([1, 0, None, 1]*50, dtype='Int64'), name='hired')
    for given in (dict(y_pred=y), dict(y_pred=y.fillna(0), y_true=y)):
        with pytest.raises(InputError, match='is missing in 50 of 200 rows'):
            audit(**given, sensitive_features=dict(g=['a', 'b', 'b', 'a']*50))


def test_near_equal_words_get_a_note():
    t = dict(y=['Yes', 'yes', 'No', 'No']*50, g=['a', 'b', 'b', 'a']*50)
    found = audit(t, y_pred='y', positive=['Yes', 'yes'], sensitive_features=['g'])
    assert any('differ in case only' in w for w in found.warnings)
    t = dict(y=[1, 0]*100, g=['a', 'A', 'b', 'b']*50)
    assert any('differ in case only' in w
               for w in audit(t, y_pred='y', sensitive_features=['g']).warnings)


@pytest.mark.parametrize('words', [
    ['fairness', '--score', 's', '--threshold', '0.5', '--sensitive', 'g'],
    ['fairness', '--prediction', 'y', '--weight', 's', '--sensitive', 'g'],
    ['scores', '--score', 's', '--label', 'y', '--sensitive', 'g'],
    ['scores', '--score', 's', '--label', 'y', '--sensitive', 'g', '--missing', 'drop'],
    ['regression', '--prediction', 's', '--sensitive', 'g'],
    ['ranking', '--query', 'y', '--score', 's', '--sensitive', 'g']])
def test_a_decimal_comma_is_no_missing_value(typed, words):
    t = dict(s=['0,74', '0,31']*100, y=[0, 1]*100, g=['a', 'b', 'b', 'a']*50)
    pl.DataFrame(t).write_csv('t.csv')
    kind, *words = words
    code, _, err = typed('audit', kind, 't.csv', *words)
    assert code == 2 and 'holds text that is no number' in err and 'missing in' not in err


def test_the_encoding_that_may_be_meant(typed):
    lines = [f"{['5 €', '9 €'][i % 2]},{i//2 % 2}" for i in range(200)]
    Path('t.csv').write_bytes('\n'.join(['preis,y', *lines]).encode('cp1252'))
    for words in (['fairness', '--prediction', 'y'], ['regression', '--prediction', 'y']):
        code, _, err = typed('audit', *words[:1], 't.csv', *words[1:], '--sensitive', 'preis')
        assert code == 2 and 'Windows-1252' in err and len(err.splitlines()) == 1


@pytest.mark.parametrize('g', [
    [1, 'a', 'b', 2]*50, [[1], [2], [1], [2]]*50, [dict(a=1), dict(a=2)]*100,
    pd.to_datetime(['2024-01-01', '2025-01-01']*100).tz_localize('Europe/Berlin')],
    ids=['mixed', 'lists', 'structs', 'zoned'])
def test_odd_columns_are_taken_or_refused(g):
    for how in (audit, audit_classes):
        try: found = how(dict(g=list(g), y=[1, 0, 0, 1]*50), y_pred='y', sensitive_features=['g'])
        except InputError as e: assert '`g`' in str(e)
        else: assert {r.n for r in found.rates if r.group} == {100}


@pytest.mark.parametrize('kind', ['fairness', 'published'])
def test_what_is_written_goes_nowhere_else(typed, kind):
    t = dict(g=['a', 'b', 'b', 'a']*50, y=[1, 0]*100) if kind == 'fairness' else \
        dict(group=['a', 'b'], n=[100, 100], selected=[50, 40], rate=[.5, .4], ratio=[1., .8])
    pl.DataFrame(t).write_csv('self.csv')
    before = Path('self.csv').read_bytes()
    ask = ['audit', kind, 'self.csv',
           *(['--prediction', 'y', '--sensitive', 'g'] if kind == 'fairness' else [])]
    os.symlink('self.csv', 'link.html')
    os.link('self.csv', 'hard.html')
    for words in (['--html', '/nonexist/x.html'], ['--json', 'self.csv'],
                  ['--json', './a/../self.csv'], ['--html', 'x', '--json', 'x'],
                  ['--json', '/dev/full'], ['--html', 'link.html'], ['--html', 'hard.html'],
                  ['--csv', 'x.csv', '--parquet', './x.csv']):
        code, _, err = typed(*ask, *words)
        assert code == 2 and len(err.splitlines()) == 1, words
        assert Path('self.csv').read_bytes() == before
    assert not os.path.exists('/nonexist') and sorted(os.listdir()) == [
        'hard.html', 'link.html', 'self.csv']
