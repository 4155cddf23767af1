"Prices, reasons and payrolls, from a table to every form of a report"
import csv
import io
import json

import numpy as np
import polars as pl
import pytest
from cli.runs import dlcourse

from dlcourse.audit.report import audit
from dlcourse.audit.writers import as_audit
from dlcourse.core.errors import InputError
from dlcourse.fairness.credit import adverse_reasons, price_gap
from dlcourse.fairness.payroll import audit_pay
from dlcourse.fairness.profiles import evidence


def loans(n=900):
    rng = np.random.default_rng(3)
    race, grade = rng.choice(['White', 'Black'], n, p=[.7, .3]), rng.choice(list('AB'), n)
    income, debt = rng.normal(20, 4, n).round(1), rng.normal(9, 3, n).round(1)
    yes = (income + debt > 27).astype(int)
    rate = (5 + 2*(grade == 'B') + (race == 'Black') + rng.normal(0, .3, n)).round(2)
    paid = [float(r) if y else None for r, y in zip(rate, yes, strict=True)]
    return pl.DataFrame(dict(race=race, grade=grade, income=income, debt=debt, yes=yes, rate=paid))


ASK = dict(y_pred='yes', sensitive_features=['race'], favorable=1, profile='ecoa-reg-b')


@pytest.fixture(scope='module')
def found(): return audit(loans(), price='rate', strata='grade', points=['income', 'debt'], **ASK)


def test_prices_are_those_of_the_lesson_within_strata(found):
    t = loans().filter(pl.col('rate').is_not_null())
    want = price_gap(t['rate'].to_numpy(), t['race'].to_numpy(), 'Black', 'White',
                     strata=t['grade'].to_numpy())
    [got] = found.section('prices').result['gaps']
    for k in ('gap', 'low', 'high', 'raw'): assert got[k] == pytest.approx(getattr(want, k))
    assert 'Black pays' in found.section('prices').findings[0]


def test_a_gap_of_prices_that_few_carry_is_not_called_as_much():
    price = np.r_[np.full(150, 7.), np.full(150, 5.)]
    price[:3] += .5; price[150:153] += .5
    t = pl.DataFrame(dict(race=np.repeat(['B', 'W'], 150), yes=np.tile([0, 1], 150), rate=price))
    section = audit(t, price='rate', **ASK).section('prices')
    [said], [got] = section.findings, section.result['gaps']
    assert 'pays 2.000 less than B, and too few people carry that to say how sure it is' in said
    assert '(without limits; a mean rests on' in said and 'as much' not in said
    assert got['p_value'] is None and None in section.tables[0]['rows'][0]
    [even] = audit(t.with_columns(rate=pl.lit(5.)), price='rate', **ASK).section('prices').findings
    assert 'W pays as much as B, as far as these people can tell (0.000 to 0.000 with 95 %' in even


def test_reasons_are_those_of_every_refusal(found):
    t = loans()
    refused = t.filter(pl.col('yes') == 0).select('income', 'debt').to_numpy()
    middle = t.select('income', 'debt').to_numpy().mean(0)
    want = adverse_reasons(refused, ['income', 'debt'], middle)
    result = found.section('reasons').result
    assert result['refused'] == len(want)
    for f in ('income', 'debt'): assert result['named'][f] == sum(f in names for names in want)
    assert sum(g['refused'] for g in result['groups']) == len(want)
    assert result['speechless'] == sum(not names for names in want)


def test_clauses_cite_what_was_measured(found):
    report = found.to_dict()
    held = {r.clause: r.held for r in evidence(report, 'ecoa-reg-b')}
    assert 'section prices' in held['1002.4(a)'] and 'section reasons' in held['1002.9(b)(2)']
    bare = {r.clause: r.held for r in evidence(audit(loans(), **ASK).to_dict(), 'ecoa-reg-b')}
    assert not bare['1002.9(b)(2)'] and 'section prices' not in bare['1002.4(a)']


def test_each_group_is_compared_with_the_largest_and_all_share_the_error():
    table = loans().with_columns(sex=pl.Series(['F', 'M', 'M']*300))
    found = audit(table, price='rate', **ASK | dict(sensitive_features=['race', 'sex'], depth=1))
    gaps = {g['attribute']: g for g in found.section('prices').result['gaps']}
    assert (gaps['race']['comparator'], gaps['sex']['comparator']) == ('White', 'M')
    t = table.filter(pl.col('rate').is_not_null())
    alone = price_gap(t['rate'].to_numpy(), t['sex'].to_numpy(), 'F', 'M', level=.975)
    assert gaps['sex']['low'] == pytest.approx(alone.low)


@pytest.mark.parametrize('more, says', [
    (dict(price='rate', profile=()), "`price` is of the profile 'ecoa-reg-b'"),
    (dict(points=['debt'], favorable=None), '`points` give the reasons'),
    (dict(price='rate', sample_weight='debt'), 'a gap of prices cannot honour `sample_weight`'),
    (dict(points='debt', cluster='grade'), 'reasons of refusals cannot honour `cluster`'),
    (dict(strata='grade'), 'groups are compared within `strata`'),
    (dict(price='grade'), 'grade')])
def test_what_cannot_be_honoured_is_refused(more, says):
    with pytest.raises(InputError, match=says): audit(loans(), **ASK | more)


def payroll():
    rows = [('Female', 'nurse', '95.00', '0')]*2 + [('Male', 'nurse', '100.00', '10')]*2
    rows += [('Female', 'clerk', '95.01', '5'), ('Male', 'clerk', '100.00', '5')]
    return [dict(zip(('sex', 'job', 'pay', 'bonus'), r, strict=True)) for r in rows]


ROLES = dict(pay='pay', sex='sex', category='job', variable='bonus')


def test_a_payroll_is_read_to_the_cent(tmp_path):
    pl.DataFrame(payroll()).write_csv(tmp_path/'p.csv')
    floats = pl.DataFrame(payroll()).with_columns(pl.col('pay', 'bonus').cast(float))
    floats.write_parquet(tmp_path/'p.parquet')
    for data in (tmp_path/'p.csv', tmp_path/'p.parquet', pl.DataFrame(payroll()), floats):
        kinds = {c.category: c for c in audit_pay(data, **ROLES).found.categories}
        assert kinds['nurse'].at_line and not kinds['clerk'].at_line
        assert kinds['clerk'].identifies and not kinds['nurse'].identifies
    report = as_audit(audit_pay(floats, **ROLES))
    assert [s.name for s in report.sections] == ['pay', 'eu-pay-transparency']
    status = {r.clause: r.status for r in evidence(report.to_dict(), 'eu-pay-transparency')}
    assert status['9(1)(a), (c)'] == 'evidence' and status['10(1)'] == 'in part'


@pytest.mark.parametrize('change, more, says', [
    (dict(pay=''), {}, '`pay` is missing in 1 of 6 rows'),
    (dict(pay='3.1,2'), {}, '`pay` must be a number'), (dict(sex='X'), {}, '`sex` must be Female'),
    ({}, dict(missing='unknown'), '`missing` must be error or drop'),
    ({}, dict(pay='wage'), 'wage')])
def test_a_payroll_that_cannot_be_reported(change, more, says):
    first, *others = payroll()
    with pytest.raises(InputError, match=says):
        audit_pay(pl.DataFrame([first | change, *others]), **ROLES | more)


def test_both_from_the_command_line_in_every_form(tmp_path):
    loans().write_csv(tmp_path/'loans.csv')
    pl.DataFrame(payroll()).write_csv(tmp_path/'pay.csv')
    files = ['--html', 'r.html', '--csv', 'r.csv', '--json', 'r.json']
    ways = {
        'prices': ['fairness', 'loans.csv', '--prediction', 'yes', '--sensitive', 'race',
                   '--favorable', '1', '--profile', 'ecoa-reg-b', '--price', 'rate', '--strata',
                   'grade', '--points', 'income', '--points', 'debt'],
        'pay': ['pay', 'pay.csv', '--pay', 'pay', '--sex', 'sex', '--category', 'job',
                '--variable', 'bonus']}
    for name, words in ways.items():
        code, out, err = dlcourse('audit', *words, *files, cwd=tmp_path)
        assert code == 0, err
        wanted = 'Black pays' if name == 'prices' else 'so the line of 5.0 % is reached'
        assert wanted in out and wanted in (tmp_path/'r.html').read_text()
        report = json.loads((tmp_path/'r.json').read_text())
        assert name in [s['name'] for s in report['sections']]
        rows = list(csv.DictReader(io.StringIO((tmp_path/'r.csv').read_text())))
        assert any(r['section'] == name and r['row'] == 'cell' and r['value'] for r in rows)
