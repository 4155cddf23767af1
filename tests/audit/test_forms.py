"Forms of any audit: SARIF by its schema, tables that are exact, a card that invents nothing"
import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import jsonschema
import polars as pl
import pytest
import yaml

from dlcourse.audit.card import OPEN, model_card
from dlcourse.audit.tables import table_columns
from dlcourse.audit.terminal import verdict_lines
from dlcourse.audit.writers import as_audit
from dlcourse.core.errors import InputError
from dlcourse.core.files import project_path
from dlcourse.fairness.published import audit_published

SARIF = json.loads((Path(__file__).parent/'sarif-2.1.0.schema.json').read_text())
CASES = ('plain', 'no label', 'a policy', 'no polarity', 'clusters', 'everything withheld')
HEADS = ('group', 'applicants', 'selected', 'selection_rate', 'impact_ratio')


@pytest.fixture(scope='module')
def printed():
    rows = [('Female', 100, 40, '0.40', '0.57'), ('Male', 100, 70, '0.75', '1.00')]
    return as_audit(audit_published(dict(zip(HEADS, map(list, zip(*rows, strict=True)),
                                             strict=True))))


@pytest.mark.parametrize('name', CASES)
def test_sarif_follows_the_published_schema(audited, name):
    found = replace(audited(name), source='a file.csv')
    log = json.loads(found.to_sarif())
    jsonschema.Draft4Validator(SARIF).validate(log)
    run, = log['runs']
    rules = [r['id'] for r in run['tool']['driver']['rules']]
    assert len(rules) == len(set(rules)) and run['invocations'][0]['exitCode'] == found.exit_code
    assert len(run['results']) == len(found.disparities)
    for result, d in zip(run['results'], found.disparities, strict=True):
        assert result['ruleId'] == f'{d.metric}/{d.kind}' == rules[result['ruleIndex']]
        assert (result['level'] == 'error') == (d.verdict == 'fail')
        place, = result['locations']
        assert place['physicalLocation']['artifactLocation']['uri'] == 'a%20file.csv'


def test_a_printed_table_follows_its_schemas(printed):
    jsonschema.Draft4Validator(SARIF).validate(json.loads(printed.to_sarif()))
    schema = json.loads(project_path('assets', 'audit.schema.json').read_text(encoding='utf-8'))
    jsonschema.validate(json.loads(printed.to_json()), schema)
    assert printed.exit_code == 1 and '"fail"' in printed.to_sarif()
    assert '<failure' in printed.to_junit() and 'Content-Security-Policy' in printed.to_html()


@pytest.mark.parametrize('name', CASES)
def test_csv_and_parquet_hold_every_rate_and_gap(audited, name):
    found = audited(name)
    rows = list(csv.DictReader(io.StringIO(found.to_csv())))
    exact = pl.read_parquet(found.to_parquet())
    assert not found.sections and not any(r['section'] for r in rows)
    assert exact.columns == list(rows[0]) == list(table_columns())
    assert len(rows) == exact.height
    assert exact.height == len(found.overall) + len(found.rates) + len(found.disparities)
    values = [r.value for r in (*found.overall, *found.rates, *found.disparities)]
    assert exact['value'].to_list() == values
    assert [float(r['value']) if r['value'] else None for r in rows] == values


def test_what_stands_in_a_section_is_in_the_tables(printed):
    rows = list(csv.DictReader(io.StringIO(printed.to_csv())))
    [section] = printed.sections
    cells = {(r['table'], r['line'], r['metric']): r['value'] or r['text'] for r in rows
             if r['row'] == 'cell'}
    for t in section.tables:
        heads = [c['name'] for c in t['columns']]
        for i, line in enumerate(t['rows'], 1):
            for head, x in zip(heads[1:], line[1:], strict=True):
                assert cells.get((t['caption'], str(i), head)) == (None if x is None else str(x))
    assert [r['text'] for r in rows if r['row'] == 'note'] == list(section.notes)
    assert set(printed.frame['row']) <= {'rate', 'gap'}


def test_a_card_says_what_is_known_and_lists_what_is_not(audited, printed):
    for found in (audited('a policy'), printed):
        card = model_card(found)
        _, head, body = card.text.split('---\n', 2)
        said = yaml.safe_load(head)
        for result in said['model-index'][0]['results']:
            assert result['task']['type'] and result['dataset']['name']
            assert all(isinstance(m['value'], (int, float)) for m in result['metrics'])
        assert body.count(OPEN) == len(card.left_open) == len(set(card.left_open))
        assert all(field in body[body.index('## Left Open'):] for field in ('License', 'Citation'))
        assert verdict_lines(found)[0] in body.replace('\\', '')


def test_a_figure_is_png_or_svg_and_the_same_twice(audited, tmp_path):
    found = audited('one attribute')
    for name, start in dict(p='.png', s='.svg').items():
        path = tmp_path/f'{name}{start}'
        found.save(plot=path)
        first = path.read_bytes()
        found.save(plot=path)
        assert first == path.read_bytes() and first[:5] in (b'\x89PNG\r', b'<?xml')
    with pytest.raises(InputError, match='a plot ends in .png or .svg'):
        found.save(plot=tmp_path/'x.gif')
    with pytest.raises(InputError, match='its own name'):
        found.save(html=tmp_path/'x', json=tmp_path/'x')


def test_a_page_has_no_columns_that_hold_nothing(audited):
    found = as_audit(audited('plain'))
    assert 'Out of' in found.to_html() and 'class="both"' in found.to_html()
    bare = tuple(replace(r, numerator=None, denominator=None, value=r.value and 1234.5678*r.value)
                 for r in found.rates)
    page = replace(found, rates=bare, overall=()).to_html()
    assert 'Out of' not in page
    marks = re.findall(r'<tspan x="(0|100)%"[^>]*>([-\d.,]+) %</tspan>', page)
    ends = [float(text.replace(',', '')) for _, text in marks]
    most = max(r.value for r in bare if r.value and r.metric == 'selection_rate')
    assert max(ends) > 100*most # Each on a scale of its own


def test_counts_are_numbers_in_every_table():
    types = table_columns()
    assert types['rows'] is int and types['df'] is float and types['effective_clusters'] is float
