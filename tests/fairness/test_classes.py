"Classes by group: against scikit-learn and fairlearn, over engines, and at the edges"
import json

import numpy as np
import pytest
from engines import ENGINES, in_engine, in_files
from fairlearn.metrics import MetricFrame
from sklearn import metrics as sk

from dlcourse.core.errors import InputError
from dlcourse.fairness.classes import adds_up, audit_classes, count_classes
from dlcourse.fairness.groups import METRICS, rate_values


def people(n=1_500, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 12, n)
    p = np.where(rng.random(n) < .7, y, rng.integers(0, 12, n))
    return dict(sex=rng.choice(['Female', 'Male'], n), race=rng.choice(['A', 'B', 'C'], n), y=y,
                p=p,
                w=rng.random(n) + .5)


ASKED = dict(y_pred='p', y_true='y', sensitive_features=['sex', 'race'])


@pytest.mark.parametrize('engine', ENGINES)
def test_classes_equal_fairlearn_and_scikit_learn(engine):
    t = people()
    counts = count_classes(in_engine(engine, t), **ASKED)
    assert counts.classes == tuple(map(str, range(12))) and counts.n.sum() == counts.rows == 1_500
    for attribute in ('sex', 'race'):
        one, scores = counts.by(attribute), (sk.recall_score, sk.precision_score)
        for metric, f in zip(('true_positive_rate', 'precision_score'), scores, strict=True):
            def of_each(y, p, f=f): return f(y, p, average=None, labels=range(12))
            frame = MetricFrame(metrics=of_each, y_true=t['y'], y_pred=t['p'],
                                sensitive_features=t[attribute]).by_group
            ours = [rate_values(one.one_vs_rest(c).n, METRICS[metric]) for c in range(12)]
            np.testing.assert_allclose(ours, np.stack(frame.to_list(), 1), rtol=0, atol=1e-12)
        for (g,) in one.groups:
            at = t[attribute] == g
            theirs = sk.confusion_matrix(t['y'][at], t['p'][at], labels=range(12))
            np.testing.assert_array_equal(one.confusion(g), theirs)


def test_accuracy_weights_and_the_result():
    t = people()
    found = audit_classes(t, **ASKED, sample_weight='w',
                          min_count=1)
    for g in ('Female', 'Male'):
        at = t['sex'] == g
        v = found.get('accuracy_score', g)
        assert abs(v.value
                   - sk.accuracy_score(t['y'][at], t['p'][at], sample_weight=t['w'][at])) < 1e-12
        assert v.low < v.value < v.high
        assert abs(found.get('true_positive_rate', g, '3').value
                   - sk.recall_score(t['y'][at] == 3, t['p'][at] == 3,
                                     sample_weight=t['w'][at])) < 1e-12
    assert found.frame.columns[:4] == ['attribute', 'group', 'class', 'metric']
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))['rows'] == 1_500
    assert (audit_classes(t, y_pred='p',
                          sensitive_features='sex').frame['metric'].unique().to_list()
            == ['selection_rate'])
    with pytest.raises(InputError, match='there is no `x` of Female'): found.get('x', 'Female')


def test_class_findings_and_escaped_html():
    t = people(4_000)
    t['p'] = np.where((t['y'] == 8) & (t['sex'] == 'Female'), 1, t['p'])
    t['race'] = np.where(t['race'] == 'A', '<b>A</b>', t['race'])
    found = audit_classes(t, **ASKED)
    assert any(f.startswith("Class 8, true positive rate: 0.000 for Female and 0.6")
               for f in found.findings)
    assert not any('race' in f for f in found.findings)
    assert '<b>A' not in audit_classes(t, y_pred='p', y_true='y',
                                       sensitive_features='race')._repr_html_()
    few = audit_classes(t, y_pred='p', y_true='y', sensitive_features='sex', min_count=10_000)
    assert all(v.value is None and 'fewer than 10,000' in v.reason for v in few.values)
    assert not few.findings


def test_parts_add_up_and_missing_classes():
    t = people(600)
    whole = count_classes(t, **ASKED)
    both = count_classes({k: v[:200] for k, v in t.items()}, y_pred='p', y_true='y',
                         sensitive_features=['sex', 'race'])
    both += count_classes({k: v[200:] for k, v in t.items()}, y_pred='p', y_true='y',
                          sensitive_features=['sex', 'race'])
    assert (both.groups, both.classes, both.rows) == (whole.groups, whole.classes, 600)
    for k in ('group', 'y_true', 'y_pred', 'n', 'weight'):
        np.testing.assert_array_equal(getattr(both, k), getattr(whole, k))
    u = dict(sex=['F', 'F', '', 'M', 'M'], y=['a', None, 'b', 'c', 'n/a'],
             p=['a', 'b', 'b', None, ' c '])
    with pytest.raises(InputError, match='`sex` is missing in 1 of 5 rows'):
        count_classes(u, y_pred='p', y_true='y', sensitive_features='sex')
    kept = count_classes(u, y_pred='p', y_true='y', sensitive_features='sex', missing='unknown',
                         null=['n/a'])
    assert kept.groups == (('F',), ('M',), (None,))
    assert kept.dropped == 1
    assert (kept.y_true < 0).sum() == 2
    assert kept.one_vs_rest('c').n[1, 2, 1] == 1
    assert count_classes(u, y_pred='p', y_true='y', sensitive_features='sex', missing='drop',
                         null=['n/a']).n.sum() == 1
    with pytest.raises(InputError, match='`class_` must be one of a, b, c; got z'):
        kept.one_vs_rest('z')
    with pytest.raises(InputError, match='`group` must be one of F, M'): kept.confusion('X')
    with pytest.raises(InputError, match='`age` is none of the attributes'): kept.by('age')
    with pytest.raises(InputError, match='of the same attributes'): kept + whole
    with pytest.raises(InputError, match='1,500 different values'):
        count_classes(people() | dict(p=np.arange(1_500)), y_pred='p', y_true='y',
                      sensitive_features='sex')
    with pytest.raises(InputError, match='nothing is left'):
        count_classes(dict(sex=['F'], p=[None]), y_pred='p', sensitive_features='sex',
                      missing='drop')


def test_files_give_what_frames_give(tmp_path):
    t = people(600)
    want = count_classes(t, **ASKED, sample_weight='w')
    for path in in_files(t, tmp_path):
        found = count_classes(path, **ASKED, sample_weight='w')
        for k in ('group', 'y_true', 'y_pred', 'n'):
            np.testing.assert_array_equal(getattr(found, k), getattr(want, k))
        np.testing.assert_allclose(found.weight, want.weight, rtol=1e-12)


def test_folds_of_all_classes_add_up():
    rng = np.random.default_rng(0)
    table = dict(y=[None if v == 4 else int(v) for v in rng.integers(0, 5, 300)],
                 p=rng.integers(0, 4, 300), g=rng.choice(['a', 'b'], 300))
    counts = count_classes(table, y_pred='p', y_true='y', sensitive_features='g',
                           missing='unknown')
    folds = np.stack([counts.one_vs_rest(c).n for c in counts.classes])
    assert adds_up(folds)
    for place in [(0, 0, 0, 0), (1, 1, 1, 0), (2, 0, 2, 1)]:
        folds[place] += 1
        assert not adds_up(folds)
        folds[place] -= 1


def test_a_gap_of_accuracy_over_all_classes_is_found():
    rng = np.random.default_rng(0)
    n = 4_000
    group, true = np.where(np.arange(n) % 2, 'a', 'b'), rng.choice(list('uvwxyz'), n)
    wrong = rng.random(n) < np.where(group == 'a', .2, .35)
    given = np.where(wrong, rng.choice(list('uvwxyz'), n), true)
    table = dict(g=group, y=true, p=given)
    found = audit_classes(table, y_pred='p', y_true='y', sensitive_features=['g'])
    said = [f for f in found.findings if f.startswith('All classes, accuracy: ')]
    assert len(said) == 1 and 'corrected for 25 comparisons' in said[0]


def test_classes_that_look_alike_are_said():
    n = np.arange(400)
    true = np.array(['cat', 'dog'])[n % 2]
    table = dict(g=np.where(n//2 % 2, 'a', 'b'), y=true, one=np.where(n % 8 < 2, true, 'dog'),
                 two=np.where(n % 4 == 0, 'Cat', true))
    asked = dict(y_true='y', sensitive_features='g')
    assert not audit_classes(table, y_pred='one', **asked).warnings
    [said] = audit_classes(table, y_pred='two', **asked).warnings
    assert said.startswith("`two` or `y` holds 'Cat' (100 rows) and 'cat' (200 rows), which differ")
    [said] = audit_classes(table, y_pred='two', sensitive_features='g').warnings
    assert said.startswith("`two` holds 'Cat' (100 rows) and 'cat' (100 rows), which differ")
