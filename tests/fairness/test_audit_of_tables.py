"Counts and rates: against fairlearn, across engines, and at every edge that a table can have"
from collections import Counter

import numpy as np
import pandas as pd
import polars as pl
import pytest
from engines import everywhere
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcourse.core.errors import InputError
from dlcourse.evaluation.intervals import wilson
from dlcourse.fairness.counting import classes, count_groups
from dlcourse.fairness.groups import disparities, rates


def people(n=400, seed=0, groups=3):
    rng = np.random.default_rng(seed)
    return dict(sex=rng.choice(['Female', 'Male'], n),
                race=rng.choice(list('ABCDEFGH')[:groups], n), y=rng.integers(0, 2, n),
                p=rng.integers(0, 2, n), score=rng.random(n), w=rng.random(n)*3)


def asked(table, **more):
    return count_groups(table,
                        **dict(y_pred='p', y_true='y', sensitive_features=['sex', 'race']) | more)


def by_name(found): return {(r.attribute, r.group, r.metric): r for r in found}


# ---- against fairlearn

NAMES = ['selection_rate', 'true_positive_rate', 'false_positive_rate', 'false_negative_rate',
         'precision_score', 'accuracy_score']


@settings(max_examples=60, deadline=None)
@given(st.integers(4, 300), st.integers(0, 10**6), st.integers(2, 6), st.booleans())
def test_equal_to_fairlearn_wherever_both_are_defined(n, seed, groups, weighted):
    from fairlearn import metrics as fm
    from sklearn import metrics as sm
    t = people(n, seed, groups)
    if len(set(t['sex'])) < 2 or len(set(t['race'])) < 2: return
    functions = {m: getattr(fm, m, None) or getattr(sm, m) for m in NAMES}
    weights = {m: {'sample_weight': t['w']} for m in NAMES} if weighted else None
    ours = by_name(rates(asked(t, sample_weight='w' if weighted else None).counts, NAMES))
    def undefined_is_nan(f):
        more = {'zero_division': np.nan} if f is sm.precision_score else {}
        return lambda *a, **k: f(*a, **k | more)
    frame = fm.MetricFrame(metrics={m: undefined_is_nan(f) for m, f in functions.items()},
                           y_true=t['y'], y_pred=t['p'],
                           sensitive_features={'sex': t['sex'], 'race': t['race']},
                           sample_params=weights)
    compared = 0
    for (sex, race), row in frame.by_group.iterrows():
        for m in NAMES:
            r = ours.get(('sex × race', f'{sex} × {race}', m))
            if r is None or r.status != 'ok': continue
            assert abs(r.value - row[m]) <= 1e-12
            compared += 1
    assert compared
    gaps = {(d.metric, d.kind): d for d in disparities(ours.values())}
    defined = {m for m in NAMES if all(r.status == 'ok' for k, r in ours.items() if k[2] == m)}
    for m in defined:
        assert abs(gaps[m, 'difference'].value - frame.difference()[m]) <= 1e-12
        if gaps[m, 'ratio'].value is not None:
            assert abs(gaps[m, 'ratio'].value - frame.ratio()[m]) <= 1e-12


# ---- the same from every engine

def test_the_same_from_every_engine():
    t = people(2000)
    found = {k: (asked(f).counts, asked(f, sample_weight='w', score='score').counts,
                 asked(f, y_pred='score', threshold=.5).counts) for k, f in everywhere(t).items()}
    for name, counts in found.items():
        for ours, first in zip(counts, found['dict'], strict=True):
            assert ours.groups == first.groups, name
            assert (ours.n == first.n).all(), name
            np.testing.assert_allclose(ours.weight, first.weight, rtol=1e-12)
            if first.score is not None:
                np.testing.assert_allclose(ours.score_sq, first.score_sq, rtol=1e-12)


def test_missing_values_are_the_same_from_every_engine():
    t = people(600)
    t['race'] = np.where(np.arange(600) % 7 == 0, None, t['race']).astype(object)
    t['y'] = np.where(np.arange(600) % 5 == 0, np.nan, t['y'])
    t['score'] = np.where(np.arange(600) % 11 == 0, np.nan, t['score'])
    frame = pl.DataFrame(t | dict(race=t['race'].tolist()), nan_to_null=True)
    for f in everywhere(frame.to_dict(as_series=False)).values():
        for how in ('unknown', 'drop'):
            tally = asked(f, missing=how, y_pred='score', threshold=.5)
            assert tally.missing == {'race': 86, 'score': 55, 'y': 120}
            assert tally.rows == 600 and tally.counts.n.sum() + tally.dropped == 600
            assert (tally.dropped == 55) if how == 'unknown' else (tally.dropped > 120)
            assert any(None in g for g in tally.counts.groups) == (how == 'unknown')


@settings(max_examples=40, deadline=None)
@given(st.integers(10, 400), st.integers(0, 10**6), st.data())
def test_parts_add_up(n, seed, data):
    t = people(n, seed)
    cut = data.draw(st.integers(0, n))
    parts = [{k: v[s] for k, v in t.items()} for s in (slice(cut), slice(cut, None))]
    if any(len(set(p[a])) < 2 for p in (*parts, t) for a in ('sex', 'race')): return
    whole, a, b = (asked(x, sample_weight='w', score='score').counts for x in (t, *parts))
    both = a + b
    assert both.groups == whole.groups and (both.n == whole.n).all()
    np.testing.assert_allclose(both.weight, whole.weight, rtol=1e-12)
    assert ((b + a).n == both.n).all()
    assert (whole.by('sex').n
            == asked(t, sensitive_features=['sex', 'race']).counts.by('sex').n).all()
    assert (whole.by().n[0] == whole.n.sum(0)).all()


# ---- known by hand

def test_rates_by_hand():
    "10 women: 4 of 5 good payers and 1 of 5 bad ones approved; 10 men: 5 of 5 and 0 of 5"
    t = dict(s=['F']*10 + ['M']*10, y=[1]*5 + [0]*5 + [1]*5 + [0]*5,
             p=[1]*4 + [0] + [1] + [0]*4 + [1]*5 + [0]*5)
    found = by_name(rates(count_groups(t, y_pred='p', y_true='y', sensitive_features=['s']).counts,
                          ['count', *NAMES]))
    values = {m: (found['s', 'F', m].value, found['s', 'M', m].value) for m in ('count', *NAMES)}
    assert values == dict(count=(10, 10), selection_rate=(.5, .5), true_positive_rate=(.8, 1.),
                          false_positive_rate=(.2, 0.), false_negative_rate=(.2, 0.),
                          precision_score=(.8, 1.), accuracy_score=(.8, 1.))
    r = found['s', 'F', 'true_positive_rate']
    assert (r.numerator, r.denominator, r.n, r.status, r.method) == (4, 5, 10, 'ok', 'Wilson')
    assert (r.low, r.high) == tuple(map(float, wilson(4, 5)))


def test_weights_use_the_linearized_size():
    t = dict(s=['a']*100 + ['b']*100, p=[1, 0]*100, w=[10.]*10 + [1.]*90 + [1.]*100)
    a, b = rates(count_groups(t, y_pred='p', sensitive_features=['s'], sample_weight='w').counts,
                 ['selection_rate'])
    assert a.effective == pytest.approx(190**2/(10*100 + 90)) and b.effective == 100
    assert a.high - a.low > b.high - b.low
    assert a.method == 'Wilson, linearized size'
    assert (a.numerator, a.denominator, a.n) == (95, 190, 100)


def test_mean_of_a_score():
    t = people(500)
    found = by_name(rates(asked(t, score='score').counts.by('sex'), ['mean_prediction']))
    scores = t['score'][t['sex'] == 'Male']
    r = found['sex', 'Male', 'mean_prediction']
    half = 1.959963984540054*scores.std(ddof=1)/len(scores)**.5
    np.testing.assert_allclose((r.value, r.low, r.high),
                               (scores.mean(), scores.mean() - half, scores.mean() + half),
                               rtol=1e-9)


def test_nobody_is_not_zero():
    t = dict(s=['a']*40 + ['b']*40, y=[0]*40 + [1, 0]*20, p=[1, 0]*40)
    found = by_name(rates(count_groups(t, y_pred='p', y_true='y', sensitive_features=['s']).counts,
                          NAMES))
    r = found['s', 'a', 'true_positive_rate']
    assert (r.value, r.low, r.denominator, r.status) == (None, None, 0, 'undefined')
    assert 'denominator is 0' in r.reason
    gap = next(d for d in disparities(found.values()) if d.metric == 'true_positive_rate')
    assert gap.value is None and gap.reason == "1 of 2 groups can be compared; it takes two"


def test_few_are_withheld_and_ratio_of_zeros_is_undefined():
    t = dict(s=['a']*5 + ['b']*40 + ['c']*40, p=[1]*5 + [0]*80)
    found = by_name(rates(count_groups(t, y_pred='p', sensitive_features=['s']).counts,
                          ['count', 'selection_rate'], min_count=30))
    r = found['s', 'a', 'selection_rate']
    assert (r.status, r.value, r.numerator) == ('withheld', None, None)
    assert r.reason == "rests on 5 rows, fewer than 30"
    assert found['s', 'a', 'count'].value == 5
    gaps = {d.kind: d for d in disparities(found.values())}
    assert gaps['difference'].value == 0 and gaps['difference'].groups == ('b', 'c')
    assert gaps['ratio'].value is None and 'ratio is undefined' in gaps['ratio'].reason
    assert {d.kind for d in disparities(found.values(), ratios=False)} == {'difference'}


def test_unlabelled_people_count_for_selection_only():
    t = dict(s=['a', 'b']*50, y=[1., np.nan, np.nan, 0.]*25, p=[1]*100)
    with pytest.raises(InputError,
                       match=r"`y` is missing in 50 of 100 rows. Fill them in, or set `missing` to "
                             r"unknown"):
        count_groups(t, y_pred='p', y_true='y', sensitive_features=['s'])
    found = by_name(rates(count_groups(t, y_pred='p', y_true='y', sensitive_features=['s'],
                                       missing='unknown').counts,
                          ['selection_rate', 'accuracy_score']))
    assert found['s', 'a', 'selection_rate'].denominator == 50
    assert found['s', 'a', 'accuracy_score'].denominator == 25


def test_a_missing_attribute_is_shown_and_not_compared():
    t = dict(s=['a']*40 + ['b']*40 + [None]*40, p=[0]*20 + [1]*60 + [0]*40)
    found = rates(count_groups(t, y_pred='p', sensitive_features=['s'], missing='unknown').counts,
                  ['selection_rate'])
    assert [(r.group, r.compared) for r in found] == [('a', True), ('b', True),
                                                      ('(missing)', False)]
    assert disparities(found)[0].groups == ('a', 'b')


def test_dropping_warns_only_where_it_is_uneven():
    even = dict(s=['a', 'b']*300, y=[1., 1., 0., 0., np.nan, np.nan]*100, p=[0, 1, 1]*200)
    assert count_groups(even, y_pred='p', y_true='y', sensitive_features=['s'],
                        missing='drop').warnings == ()
    uneven = even | dict(y=[np.nan if s == 'a' and i % 3 == 0 else 1.
                            for i, s in enumerate(even['s'])])
    tally = count_groups(uneven, y_pred='p', y_true='y', sensitive_features=['s'], missing='drop')
    assert tally.dropped == 100
    assert "33.3 % of `s` = a were dropped and 0.0 % of b" in tally.warnings[0]


def test_uneven_p_value_is_scipys():
    from scipy.stats import chi2_contingency

    from dlcourse.fairness.counting import uneven_loss
    lost, kept = Counter(a=30, b=10, c=12), Counter(a=70, b=90, c=88)
    p = chi2_contingency([[30, 70], [10, 90], [12, 88]], correction=False).pvalue
    assert f"p = {p:.1g}" in uneven_loss('s', lost, kept)[0]


# ---- which class is positive

@pytest.mark.parametrize('values, positive, expected', [
    ([0, 1], (), {0: 0, 1: 1}), ([True, False], (), {True: 1, False: 0}),
    (['0', '1'], (), {'0': 0, '1': 1}), ([0., 1.], (), {0.: 0, 1.: 1}),
    ([-1, 1], (), {-1: 0, 1: 1}), (['False', 'true'], (), {'False': 0, 'true': 1}),
    ([1], (), {1: 1}), ([0, 1], ('0',), {0: 1, 1: 0}),
    (['good', 'bad'], ('good',), {'good': 1, 'bad': 0}),
    (['Low', 'Medium', 'High'], ('Medium', 'High'), {'Low': 0, 'Medium': 1, 'High': 1}),
    ([1, 2], ('2',), {1: 0, 2: 1}), ([1., 2.], ('2',), {1.: 0, 2.: 1}),
    ([0, 1], ('yes',), {0: 0, 1: 1})])
def test_classes(values, positive, expected):
    assert classes(Counter(values), 'p', positive) == expected


@pytest.mark.parametrize('values, positive, says', [
    (['good', 'bad'], (),
     r"`p` holds words: 'good' \(1 row\), 'bad' \(1 row\); say which of them are positive"),
    (['good', 'bad'], ('Good',), "`p` never is 'Good'; `positive` must name values it has"),
    ([.2, .7], (), "`p` holds probabilities.*`threshold`"),
    ([0, 1, 2], (), "`p` must hold two classes, 0 and 1; got '0'"),
    ([1, 2], (), "must hold two classes")])
def test_classes_that_must_be_said(values, positive, says):
    with pytest.raises(InputError, match=says): classes(Counter(values), 'p', positive)


# ---- bad tables

def wrong(says, table=None, **more):
    with pytest.raises(InputError, match=says): asked(people() if table is None else table, **more)


def test_bad_tables():
    t = people()
    wrong("`q` is not a column of this table; there are: sex, race", y_pred='q')
    wrong("this table has no rows", {k: v[:0] for k, v in t.items()})
    wrong(r"`race` has one group only, 'A' \(400 rows\); a comparison needs two",
          t | dict(race=['A']*400))
    wrong("`id` has 400 different values in 400 rows; groups that are compared must be "
          "few.*`max_groups` .now 100.", t | dict(id=np.arange(400)), sensitive_features=['id'])
    wrong("`score` holds probabilities", y_pred='score')
    wrong("`y` must hold two classes", t | dict(y=t['y'] + 5*(np.arange(400) == 7)))
    wrong("`sex` is given twice, as `sensitive_features` and `y_true`", y_true='sex')
    wrong("`sex` is given twice, as `sensitive_features` and `sensitive_features`",
          sensitive_features=['sex', 'sex'])
    wrong("`sensitive_features` must name at least one column", sensitive_features=[])
    wrong("`name` must hold numbers; it holds string", t | dict(name=t['race']),
          sample_weight='name')
    wrong("`name` must hold numbers", t | dict(name=t['race']), y_pred='name', threshold=.5)
    wrong("`w` must hold weights of 0 or more; 1 row is missing, negative, infinite",
          t | dict(w=np.where(np.arange(400) == 3, -1., 1.)), sample_weight='w')
    wrong("`w` must hold weights", t | dict(w=np.where(np.arange(400) == 3, np.nan, 1.)),
          sample_weight='w')
    wrong("`missing` must be error, unknown or drop; got 'ignore'", missing='ignore')
    wrong("`race` holds '1' as int and as str",
          pd.DataFrame(t).assign(race=pd.Series(['1', 1]*200, dtype=object)))
    wrong("`data` must be a table", [1, 2])
    wrong("all 400 rows have something missing", t | dict(y=[None]*400), missing='drop')


def test_five_thousand_values_are_refused_before_they_are_grouped():
    n = 60_000
    t = dict(zip_code=np.arange(n) % 5000, p=np.arange(n) % 2)
    with pytest.raises(InputError, match="`zip_code` has 5,000 different values in 60,000 rows"):
        count_groups(t, y_pred='p', sensitive_features=['zip_code'])
    late = dict(zip_code=np.r_[np.zeros(30_000, int), np.arange(30_000) % 5000], p=np.arange(n) % 2)
    with pytest.raises(InputError, match="`zip_code` has 5,000 different values"):
        count_groups(late, y_pred='p', sensitive_features=['zip_code'])
    assert len(count_groups(t, y_pred='p', sensitive_features=['zip_code'],
                            max_groups=5000).counts.groups) == 5000


def test_duplicate_columns_of_a_frame():
    t = pd.DataFrame([['F', 1, 2, 3], ['M', 0, 5, 6]]*40, columns=['s', 'p', 'x', 'x'])
    assert count_groups(t, y_pred='p', sensitive_features=['s']).rows == 80
    with pytest.raises(InputError, match="`x` is the name of 2 columns of this table"):
        count_groups(t, y_pred='p', sensitive_features=['x'])


def test_columns_may_have_any_name():
    t = {'_label': ['a', 'b']*30, 'y_pred': [0, 1, 1]*20, 'n': [1, 0]*30,
         '<script>': ['x', 'y', 'y']*20}
    tally = count_groups(t, y_pred='y_pred', y_true='n', sensitive_features=['_label', '<script>'])
    assert tally.counts.attributes == ('_label', '<script>') and tally.counts.n.sum() == 60


def test_blanks_and_words_for_missing():
    t = dict(s=['a', ' a', 'b', 'NA']*20, p=[0, 1, 1, 1]*20)
    tally = count_groups(t, y_pred='p', sensitive_features=['s'])
    assert tally.counts.groups == (('NA',), ('a',), ('b',))
    assert "`s` holds 'NA' (20 rows), which is taken as a group" in tally.warnings[0]
    assert tally.warnings[0].endswith('say so: `null`, in the command line `--null`.')
    assert count_groups(t, y_pred='p', sensitive_features=['s'], null=['NA'],
                        missing='drop').missing == {'s': 20}


def test_an_infinite_score_is_no_number():
    t = people() | dict(score=np.where(np.arange(400) == 3, np.inf, .5))
    wrong("`score` must hold finite numbers", t, score='score')


# ---- real data

def test_propublica_on_all_of_compas(real):
    "Angwin et al. 2016: error rates among all 7,214 defendants, predicted = Medium or High"
    tally = count_groups(real('compas'), y_pred='score_text', y_true='two_year_recid',
                         sensitive_features=['race'], positive=['Medium', 'High'])
    found = by_name(rates(tally.counts, ['false_positive_rate', 'false_negative_rate']))
    shown = {(g, m): 100*found['race', g, m].value for g in ('African-American', 'Caucasian')
             for m in ('false_positive_rate', 'false_negative_rate')}
    assert tally.rows == 7214
    published = {('African-American', 'false_positive_rate'): 44.9,
                 ('Caucasian', 'false_positive_rate'): 23.5,
                 ('African-American', 'false_negative_rate'): 28.0,
                 ('Caucasian', 'false_negative_rate'): 47.7}
    assert shown == pytest.approx(published, abs=.06), "44.847 was published as 44.9: rounded twice"
    r = found['race', 'African-American', 'false_positive_rate']
    assert (r.numerator, r.denominator) == (805, 1795)
