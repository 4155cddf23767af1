"What people changed, which other line would serve and what gives a group away, in a report"
import json

import numpy as np
import polars as pl
import pytest
from cli.runs import dlcourse

from dlcourse.audit.report import audit
from dlcourse.core.errors import InputError
from dlcourse.fairness.credit import less_discriminatory
from dlcourse.fairness.profiles import evidence

DESK = dict(y_pred='last', sensitive_features='sex', favorable='yes', min_count=2, positive=['yes'])


def desk():
    "Twelve cases: ann follows all of hers, bea changes three of six, and one has no proposal"
    last = 'no yes no yes no yes yes yes yes no no yes no'.split()
    return pl.DataFrame(dict(sex=['F', 'M']*6 + ['F'], who=['ann']*6 + ['bea']*7, last=last,
                             first=['no', 'yes']*6 + [None]))


def test_changes_by_hand():
    found = audit(desk(), proposed='first', reviewer='who', profile=['gdpr-credit', 'uk'], **DESK)
    result = found.section('changes').result
    whole = result['everyone']
    assert [whole[k] for k in ('n', 'changed', 'to_yes', 'to_no')] == [12, 3, 2, 1]
    groups = {(a, c['group']): (c['n'], c['changed']) for a, c in result['groups']}
    assert groups == {('sex', 'F'): (6, 2), ('sex', 'M'): (6, 1), ('who', 'ann'): (6, 0),
                      ('who', 'bea'): (6, 3)}
    said = ' '.join(found.section('changes').findings)
    for word in ('3 of 12', '25.0 %', 'Without a proposal, and not counted: 1',
                 '1 of the reviewers'):
        assert word in said
    for law, clause in (('gdpr-credit', 'GDPR 22(1)'), ('uk', '22A')):
        row = next(r for r in evidence(found.to_dict(), law) if r.clause == clause)
        assert row.held == ('section changes',) and row.status == 'in part'
        bare = evidence(audit(desk(), **DESK).to_dict(), law)
        assert not next(r for r in bare if r.clause == clause).held


def test_reviewers_with_few_cases_are_withheld():
    found = audit(desk(), proposed='first', reviewer='who', **DESK | dict(min_count=7))
    section = found.section('changes')
    assert section.result['groups'] == [] or section.result['groups'] == ()
    assert any('ann' in note and 'left out' in note for note in section.notes)


def scored(n=2_000):
    "M score higher; the worth does not depend on the score above .3, so a lower line costs nothing"
    rng = np.random.default_rng(1)
    sex = rng.choice(['F', 'M'], n)
    score = np.where(sex == 'M', rng.uniform(.3, 1, n), rng.uniform(.1, .8, n))
    return dict(sex=sex, score=score, worth=np.where(score > .3, 1., -2.))


LINE = dict(score='score', threshold=.6, sensitive_features='sex', favorable=1)


def test_another_line_is_the_one_of_the_lesson():
    t = scored()
    found = audit(t, worth='worth', margin=.1, profile='new-jersey', **LINE)
    [got] = found.section('alternatives').result['found']
    want = less_discriminatory({'score': t['score']}, t['worth'], t['sex'], now=('score', .6),
                               margin=.1)
    assert got['best']['line'] == pytest.approx(want.best.line) and want.best.line < .6
    assert got['confirmed'] is want.confirmed is True and got['lines'] == len(want.rules)
    assert 'confirmed' in found.section('alternatives').findings[0]
    row = next(r for r in evidence(found.to_dict(), 'new-jersey') if r.clause == '13:16-2.2(c)')
    assert row.held == ('section alternatives',)


def test_no_other_line_is_said_too():
    t = scored() | dict(worth=np.where(scored()['score'] >= .6, 1., -1.))
    [said] = audit(t, worth='worth', **LINE).section('alternatives').findings
    assert 'none parts the groups less' in said


def people(n=900):
    rng = np.random.default_rng(2)
    race = rng.choice(['A', 'B'], n)
    zips = np.where(rng.random(n) < .9, np.where(race == 'A', '60601', '60602'), '60603')
    return pl.DataFrame(dict(race=race, zip=zips.astype(int), noise=rng.normal(size=n),
                             hired=rng.integers(0, 2, n)))


def test_a_zip_code_is_flagged_though_it_is_a_number_and_noise_is_not(tmp_path):
    "From a file and from a frame, as words and as whole numbers"
    people().write_csv(tmp_path/'p.csv')
    for data in (people(), tmp_path/'p.csv'):
        found = audit(data, y_pred='hired', sensitive_features='race', features=['zip', 'noise'],
                      profile='illinois-hb3773')
        [said] = found.section('stand-ins').findings
        assert 'zip tells' in said and 'noise tells' not in said
        row = next(r for r in evidence(found.to_dict(), 'illinois-hb3773')
                   if 'zip codes' in r.clause)
        assert row.held == ('section stand-ins',) and row.status == 'in part'


@pytest.mark.parametrize('more, says', [
    (dict(reviewer='who'), '`reviewer` says who decided'), (dict(margin=.1), '`margin` is what'),
    (dict(proposed='first', favorable=None), '`proposed` is about outcomes'),
    (dict(proposed='who'), '`proposed` must hold what is decided too'),
    (dict(proposed='first', cluster='who'), 'cannot honour `cluster`'),
    (dict(worth='first'), '`worth` searches other lines'),
    (dict(features=['sex']), '`features` must not hold the sensitive `sex`')])
def test_what_lacks_something_is_refused_by_name(more, says):
    with pytest.raises(InputError, match=says): audit(desk().drop_nulls(), **DESK | more)


@pytest.mark.parametrize('margin', [-1., float('nan'), float('inf')])
def test_a_margin_is_a_number_that_can_be_lost(margin):
    with pytest.raises(InputError, match='`margin` must be a number of 0 or more'):
        audit(scored(200), worth='worth', margin=margin, **LINE)


def test_all_three_from_the_command_line(tmp_path):
    desk().write_csv(tmp_path/'d.csv')
    pl.DataFrame(scored()).write_csv(tmp_path/'s.csv')
    people().write_csv(tmp_path/'p.csv')
    ways = {
        'changes': ['d.csv', '--prediction', 'last', '--sensitive', 'sex', '--favorable', 'yes',
                    '--positive', 'yes', '--min-count', '2', '--proposed', 'first', '--reviewer',
                    'who'],
        'alternatives': ['s.csv', '--score', 'score', '--threshold', '.6', '--sensitive', 'sex',
                         '--favorable', '1', '--worth', 'worth', '--margin', '.1'],
        'stand-ins': ['p.csv', '--prediction', 'hired', '--sensitive', 'race', '--features', 'zip',
                      '--features', 'noise']}
    for name, words in ways.items():
        code, out, err = dlcourse('audit', 'fairness', *words, '--html', 'r.html', '--json',
                                  'r.json', cwd=tmp_path)
        assert code == 0, err
        [section] = [s for s in json.loads((tmp_path/'r.json').read_text())['sections']
                     if s['name'] == name]
        page, shown = (tmp_path/'r.html').read_text(), ' '.join(out.split())
        for said in section['findings']: assert said[:40] in shown and said[:40] in page
