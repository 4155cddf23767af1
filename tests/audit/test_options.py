"Whatever was said of a table reaches every section, or the section refuses it by name"

import numpy as np
import polars as pl
import pytest

from dlcourse.audit.report import audit
from dlcourse.core import frames
from dlcourse.core.errors import InputError
from dlcourse.fairness.classes import audit_classes
from dlcourse.fairness.ranking import audit_ranking
from dlcourse.fairness.regression import audit_regression
from dlcourse.fairness.rows import Rows
from dlcourse.fairness.scores import audit_scores

STATEMENT = dict(audit_date='2026-01-31', distribution_date='2025-06-01', data_source='x',
                 auditor='a', declaration='d', collected='self-reported')
LAW = dict(sex='sex', race='race', statement=STATEMENT)
RACES = ('White', 'Asian', 'Black or African American')


def people(n=900):
    rng = np.random.default_rng(0)
    sex, race = rng.choice(['Female', 'Male'], n), rng.choice(RACES, n)
    city = rng.choice(['Köln', 'Bonn', 'Trier'], n)
    score = np.round(np.clip(rng.normal(.5, .2, n) + .1*(sex == 'Male'), 0, 1), 2)
    good = rng.random(n) < score
    return pl.DataFrame(dict(
        sex=sex, race=race, city=city, job=rng.choice(['a', 'b'], n), score=score,
        hired=np.where(score > .55, 'yes', 'no'), good=np.where(good, 'yes', 'no'),
        w=rng.choice([1., 2.5], n), person=rng.integers(0, n//3, n)))


BASE = dict(y_pred='hired', y_true='good', sensitive_features=['sex', 'race'], positive=['yes'],
            favorable='yes')
SECTIONS = {
    'scores': dict(score='score'), 'subgroups': dict(subgroups=['sex', 'city']),
    'four-fifths': dict(profile=['four-fifths']),
    'nyc-ll144': dict(profile=['nyc-ll144'], inputs=LAW),
    'eu-ai-act': dict(profile=['eu-ai-act']), 'nist-ai-rmf': dict(profile=['nist-ai-rmf']),
}
HOLES = {'city': 31, 'race': 17, 'good': 23, 'hired': 11}


def with_holes(table, mark):
    "Every so many rows lack something, written as `mark`"
    for column, step in HOLES.items():
        lost = (np.arange(len(table)) + len(column)) % step == 0
        table = table.with_columns(pl.when(pl.lit(pl.Series(lost))).then(pl.lit(mark)).otherwise(
            column).alias(column))
    return table


def files(folder):
    "Option → the table it is needed for, and how it is said"
    plain, path = people(), folder/'people.csv'
    plain.write_csv(path)
    other = folder/'latin.csv'
    other.write_bytes(plain.write_csv(separator='|').encode('latin-1'))
    marked, blank = folder/'marked.csv', folder/'blank.csv'
    with_holes(plain, '?').write_csv(marked)
    with_holes(plain, '').write_csv(blank)
    words = plain.with_columns(pl.col('hired', 'good').replace({'yes': 'Ja', 'no': 'Nein'}))
    words.write_csv(folder/'words.csv')
    return {
        'nothing': (path, {}), 'weight': (path, dict(sample_weight='w')),
        'independent': (path, dict(sample_weight='w', independent_weights=True)),
        'cluster': (path, dict(cluster='person')), 'strata': (path, dict(strata='job')),
        'null and drop': (marked, dict(null=['?'], missing='drop')),
        'null and unknown': (marked, dict(null=['?'], missing='unknown')),
        'drop': (blank, dict(missing='drop')), 'unknown': (blank, dict(missing='unknown')),
        'encoding and delimiter': (other, dict(encoding='latin-1', delimiter='|')),
        'threshold': (path, dict(threshold=.55, y_pred='score', favorable='1')),
        'positive': (folder/'words.csv', dict(positive=['Ja'], favorable='Ja')),
        'min_count': (path, dict(min_count=350)), 'level': (path, dict(level=.8)),
    }


def counted(found):
    "Of each attribute: rows with a decision, and of these rows with a label"
    n = found.tally.counts.n
    return int(n.sum()), int(n[:, :2].sum())


def totals(found, name):
    "How many rows a section counted, and how many it should"
    (all_of_them, labelled), section = counted(found), found.section(name)
    if name == 'scores':
        by = {}
        for r in section.result['rows']: by[r['attribute']] = by.get(r['attribute'], 0) + r['n']
        return set(by.values()), {labelled}
    if name == 'subgroups': return {section.result['rows']}, {all_of_them}
    if name == 'four-fifths':
        sums = {sum(r['n'] for r in a['rows']) + a['unknown'] for a in section.result['attributes']}
        return sums, {all_of_them}
    if name == 'nyc-ll144': return {section.result['n']}, {all_of_them}
    return {1}, {1}


@pytest.fixture(scope='module')
def tables(tmp_path_factory): return files(tmp_path_factory.mktemp('options'))


NAMED = {'independent': '(`independent_weights`|`sample_weight`)', 'weight': '`sample_weight`',
         'cluster': '`cluster`', 'drop': '`missing=drop`',
         'null and drop': '`missing=drop`'}
OPTIONS = ('nothing', 'weight', 'independent', 'cluster', 'strata', 'null and drop',
           'null and unknown', 'drop', 'unknown', 'encoding and delimiter', 'threshold',
           'positive', 'min_count', 'level')
REFUSED = {
    'independent': {'scores', 'subgroups', 'four-fifths', 'nyc-ll144'},
    'weight': {'nyc-ll144'}, 'drop': {'nyc-ll144'},
    'cluster': {'nyc-ll144'}, 'null and drop': {'nyc-ll144'}}


def wish(names, said):
    "An audit with these sections"
    asked = BASE | dict(depth=2)
    for name in names:
        profiles = [*asked.get('profile', ()), *SECTIONS[name].get('profile', ())]
        asked |= SECTIONS[name] | dict(profile=profiles)
    if said.get('y_pred') == 'score': asked['score'] = None if 'scores' not in names else 'score'
    return asked | said


@pytest.mark.parametrize('option', OPTIONS)
def test_every_option_in_every_section(tables, option, monkeypatch):
    path, said = tables[option]
    names = [name for name in SECTIONS if name not in REFUSED.get(option, ())]
    asked, times, opens = wish(names, said), [], frames.open_table
    if option == 'threshold': asked['y_pred'] = None
    monkeypatch.setattr(frames, 'open_table', lambda *a, **k: times.append(a) or opens(*a, **k))
    found = audit(path, **asked)
    assert len(times) == 1
    for name in names:
        got, want = totals(found, name)
        assert got == want, name
        text = str(found.section(name).result)
        assert "= ?" not in text and "'?'" not in text
    if option == 'weight':
        rows = found.section('scores').result['rows']
        n = found.tally.by('sex')
        means = {g: w[1].sum()/w[:2].sum() for (g,), w in zip(n.groups, n.weight, strict=True)}
        assert all(r['base_rate'] == pytest.approx(means[r['group']]) for r in rows
                   if r['attribute'] == 'sex')
    if option == 'level':
        assert found.section('scores').result['level'] == .8
        assert {r.level for r in found.rates if r.level} == {.8}


@pytest.mark.parametrize('option', REFUSED)
def test_what_a_section_cannot_honour_it_refuses(tables, option):
    path, said = tables[option]
    for name in REFUSED[option]:
        with pytest.raises(InputError, match=f'cannot honour {NAMED[option]}'):
            audit(path, **wish([name], said))


KINDS = dict( # What else may be audited: by which function, and what it asks for
    scores=(audit_scores, dict(score='score', y_true='good', positive=['yes'])),
    classes=(audit_classes, dict(y_pred='hired', y_true='good')),
    regression=(audit_regression, dict(y_pred='score', y_true='w')),
    ranking=(audit_ranking, dict(query='job', score='score')))
OF_ROWS = ('strata', 'independent', 'threshold') # Said in `Rows`, which every kind takes
NOT_OF = { # Option → kinds that refuse it
    'weight': {'ranking'}, 'cluster': {'ranking'}, 'strata': {*KINDS}, 'independent': {*KINDS},
    'threshold': {*KINDS}}
REFUSED_AS = dict(weight='`sample_weight`', cluster='`cluster`', strata='`strata`',
                  independent='`(independent_weights|sample_weight)`', threshold='`threshold`')


def of_kind(kind, path, said):
    "An audit of another kind, of which is said what is said of the rates"
    audit_of, asked = KINDS[kind]
    asked = asked | {k: v for k, v in said.items() if k not in ('y_pred', 'favorable')}
    if kind != 'scores': asked.pop('positive', None)
    lists = {k: asked.pop(k) for k in ('query',) if k in asked}
    return audit_of(Rows(data=path, sensitive_features=['sex', 'race'], **asked), **lists)


def people_of(kind, path, said):
    "The rows that an audit of this kind rests on, counted without it"
    asked = KINDS[kind][1]
    there = [asked[k] for k in ('y_pred', 'y_true', 'score', 'query') if k in asked]
    if said.get('missing') == 'unknown' and kind == 'classes': there = ['hired']
    if said.get('missing') == 'drop': there += ['sex', 'race']
    t = pl.read_csv(path, encoding=said.get('encoding', 'utf-8'), infer_schema=False,
                    separator=said.get('delimiter', ','))
    return t.with_columns(pl.all().replace(['', *said.get('null', ())], None)).drop_nulls(there)


@pytest.mark.parametrize('option', [o for o in OPTIONS if o not in OF_ROWS])
@pytest.mark.parametrize('kind', KINDS)
def test_every_option_in_every_kind(tables, kind, option, monkeypatch):
    path, said = tables[option]
    if kind in NOT_OF.get(option, ()): return # The next test has these
    times, opens, shown = [], frames.open_table, {}
    monkeypatch.setattr(frames, 'open_table', lambda *a, **k: times.append(a) or opens(*a, **k))
    found, people = of_kind(kind, path, said), people_of(kind, path, said)
    assert len(times) == 1
    for r in (found.rows if kind == 'scores' else found.values):
        shown.setdefault(r.attribute, {})[r.group] = r.n
    for a in ('sex', 'race'):
        want = dict(people.drop_nulls(a)[a].value_counts().iter_rows())
        unknown = people[a].null_count()
        assert shown[a] == want | ({'(missing)': unknown} if unknown else {}), a
    assert found.level == (.8 if option == 'level' else .95)
    if option == 'min_count':
        assert all(r.value is None for r in found.rates if r.attribute and r.n < 350)


@pytest.mark.parametrize('option', NOT_OF)
def test_what_a_kind_cannot_honour_it_refuses(tables, option):
    path, said = tables[option]
    for kind in sorted(NOT_OF[option]):
        with pytest.raises(InputError, match=f'cannot honour {REFUSED_AS[option]}'):
            of_kind(kind, path, said)
