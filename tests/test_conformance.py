"Where fairness tools disagree: what ours must say, and what the others' answers rest on"
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT/'benchmarks'))

import conformance  # noqa: E402

SAYS = {
    'no positives in a group': "undefined: nobody to divide by: the denominator is 0; difference: "
                               "1 of 2 groups can be compared; it takes two",
    'nobody selected': "undefined: every rate is 0",
    'no predicted positives': "undefined: nobody to divide by",
    'AUC of a single class': "undefined: one label only",
    'missing group': "asks back: `group` is missing in 1 of 5 rows",
    'missing prediction': "asks back: `y_pred` is missing in 1 of 5 rows",
    'words as labels': "asks back: `y_pred` holds words: 'y' (3 rows), 'n' (1 row); say which of "
                       "them are positive",
    'scores as predictions': "asks back: `y_pred` holds probabilities",
    'weights of zero': "a: 0.5, b: undefined: the weights of its denominator add up to 0",
    'negative weights': "asks back: `weight` must hold weights of 0 or more; 1 row is missing",
    'three classes': "asks back: `y_pred` must hold two classes",
    'a column called y_true': "a: 0.5, b: 1",
    'rows in another order': "asks back: `group` has other row labels",
    'text and numbers mixed': "asks back: `group` holds values of different types (int, str)",
    'a whole group at zero': "0 to 0."}


@pytest.mark.parametrize('name', conformance.CASES)
def test_ours(name): assert conformance.ours(name, conformance.CASES[name]).startswith(SAYS[name])


def test_every_case_has_an_answer_of_each_peer():
    stored = json.loads(conformance.STORED.read_text(encoding='utf-8'))
    assert {p['tool'] for p in stored} == {'aif360', 'aequitas'}
    assert all(p['version'] and p['answers'].keys() == conformance.CASES.keys() for p in stored)


def test_fairlearn_still_answers_so():
    "What our lessons say of fairlearn holds for the version that is installed"
    said = conformance.answers('fairlearn')
    assert said['no positives in a group']['got'] == {'b': 0., 'difference': .6667}
    assert said['words as labels']['got'] == 0
    assert said['missing prediction']['got'] == .6667
    assert said['a whole group at zero']['got'] == [0., 0.]
