"Remedies fitted, tried on several splits and measured: against fairlearn, and at the edges"
import json
import sys

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from dlcourse.core.errors import InputError
from dlcourse.fairness.frontier import claim_holds, mitigate, pareto
from dlcourse.fairness.methods import METHODS, group_of, remedy

QUICK = ('none', 'reweighing', 'correlation_remover', 'exponentiated_gradient',
         'threshold_optimizer')


def world(n=900, seed=0):
    "Two groups whose base rates differ, and a feature that gives the group away"
    rng = np.random.default_rng(seed)
    group = rng.choice(['a', 'b'], n, p=[.6, .4])
    x = rng.normal(size=(n, 3))
    x[:, 1] += 2*(group == 'a')
    y = (x[:, 0] + x[:, 1] - 1 + rng.normal(size=n) > 0).astype(int)
    return x, y, group


@pytest.fixture(scope='module')
def frontier():
    x, y, group = world()
    return mitigate(x, y, group, estimator=LogisticRegression(), methods=QUICK, strengths=(.5, 1),
                    seeds=2)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_pareto_by_definition(points):
    a, g = np.array(points).T
    want = [not any(b >= x and h <= y and (b, h) != (x, y) for b, h in points) for x, y in points]
    assert pareto(a, g).tolist() == want


def test_points_equal_fairlearn_and_are_measured_on_the_test_rows(frontier):
    x, y, group = world()
    for p in frontier.runs:
        rows = frontier.test_rows[p.seed]
        got = frontier.model(p.method, p.strength, p.seed).predict(x[rows], group[rows], p.seed)
        assert p.n == len(rows) == 270
        assert (p.selection_gap
                == pytest.approx(demographic_parity_difference(y[rows], got,
                                                               sensitive_features=group[rows]),
                                 abs=1e-12))
        assert (p.odds_gap
                == pytest.approx(equalized_odds_difference(y[rows], got,
                                                           sensitive_features=group[rows]),
                                 abs=1e-12))
        assert p.accuracy == pytest.approx((got == y[rows]).mean(), abs=1e-12)
        for k, v in (('accuracy', p.accuracy), ('selection', p.selection_gap),
                     ('odds', p.odds_gap)):
            assert getattr(p, f'{k}_low') <= v <= getattr(p, f'{k}_high')


def test_splits_keep_groups_and_labels_in_proportion(frontier):
    _, y, group = world()
    for rows in frontier.test_rows.values():
        for g in 'ab':
            for v in (0, 1):
                assert abs(((group[rows] == g) & (y[rows] == v)).sum()
                           - .3*((group == g) & (y == v)).sum()) <= 1


def test_remedies_shrink_the_gap_they_are_for(frontier):
    gap = {(p['method'], p['strength']): p['selection_gap'] for p in frontier.points.to_dicts()}
    assert gap['none', 0] > .3
    assert max(gap['exponentiated_gradient', 1], gap['threshold_optimizer', 1]) < .1
    assert gap['threshold_optimizer', 1] < gap['threshold_optimizer', .5] < gap['none', 0]
    x, y, group = world()
    odds = mitigate(x, y, group, estimator=LogisticRegression(), methods='threshold_optimizer',
                    constraint='equalized_odds', strengths=1, seeds=2)
    plain, told = odds.points.to_dicts()
    assert told['odds_gap'] < plain['odds_gap']/2


def test_same_seed_same_frontier(frontier):
    x, y, group = world()
    again = mitigate(x, y, group, estimator=LogisticRegression(), methods=QUICK[3:], strengths=1,
                     seeds=[1])
    old = {(p.method, p.strength, p.seed): p for p in frontier.runs}
    assert all(old[p.method, p.strength, 1] == p for p in again.runs)


def test_result_object(frontier):
    assert frontier.frame.height == 2*9 and frontier.points.height == 9
    assert {'accuracy_low', 'selection_high', 'odds_low', 'pareto',
            'seed'} <= set(frontier.frame.columns)
    told = json.loads(json.dumps(frontier.to_dict(), allow_nan=False))
    assert told['findings'] == frontier.findings and len(told['points']) == 9
    text = ' '.join(frontier.findings)
    for said in ('largest pairwise gap', '|group − everyone|', 'Must know the group of each person',
                 'Decides partly by lot', 'Who pays'):
        assert said in text
    assert '<table>' in frontier._repr_html_() and '9 points' in repr(frontier)
    assert set(frontier.groups['group']) == {'a', 'b'}


def test_nobody_is_said_to_pay_by_chance_or_by_a_handful():
    rng = np.random.default_rng(0)
    group = rng.choice(['a', 'b', 'few'], 900, p=[.5, .45, .05])
    x = rng.normal(size=(900, 3))
    x[:, 0] += group == 'a'
    y = (x[:, 0] + rng.normal(size=900) > .5).astype(int)
    how = dict(estimator=LogisticRegression(), methods=['threshold_optimizer'], strengths=1)
    said = ' '.join(mitigate(x, y, group, seeds=np.int64(2), **how).findings)
    assert 'not asked of groups with fewer than 30 people whose label is 1 in a split: few.' in said
    assert 'people of group few' not in said and 'of the 84 people of group a' in said
    coin = rng.choice(['p', 'q'], 900) # A fall here is chance
    said = ' '.join(mitigate(x, y, coin, seeds=3, **how).findings)
    assert 'is not known' in said and 'which chance alone could do' in said
    assert 'times as large' not in said


def test_findings_in_a_single_split_and_hostile_names():
    x, y, group = world(600)
    f = mitigate(x, y, np.where(group == 'a', '<script>', group), estimator=LogisticRegression(),
                 methods=['reweighing'], strengths=1, seeds=1)
    assert '<script>' not in f._repr_html_() and json.dumps(f.to_dict(), allow_nan=False)


def test_plots(frontier):
    import matplotlib.pyplot as plt
    for gap in (None, 'odds'):
        fig = frontier.plot(gap)
        assert 'largest pairwise gap' in fig.axes[0].get_xlabel()
        plt.close(fig)
    with pytest.raises(InputError, match="`gap` must be 'selection' or 'odds'; got 'auc'"):
        frontier.plot('auc')


def test_unseen_and_missing_groups_at_predict(frontier):
    x, _, group = world()
    model = frontier.model('threshold_optimizer')
    with pytest.raises(InputError, match="never met: c; it knows a, b"):
        model.predict(x[:2], ['a', 'c'])
    with pytest.raises(InputError, match="`sensitive_features` must be given"): model.predict(x[:2])
    with pytest.raises(InputError, match="must be known of everyone; 1 values are missing"):
        model.predict(x[:2], ['a', None])
    assert set(frontier.model('reweighing').predict(x)) == {0, 1}
    with pytest.raises(InputError, match="must be one that was tried"):
        frontier.model('adversarial')
    with pytest.raises(InputError, match="no reweighing of strength 0.3"):
        frontier.model('reweighing', .3)


def test_frames_pipelines_and_other_classifiers():
    import pandas as pd
    import polars as pl
    x, y, group = world(600)
    table = pl.DataFrame(dict(u=x[:, 0], v=x[:, 1], word=np.where(x[:, 2] > 0, 'yes', 'no')))
    pipe = make_pipeline(make_column_transformer((OneHotEncoder(), ['word']),
                                                 remainder='passthrough'), LogisticRegression())
    methods = ('reweighing', 'threshold_optimizer')
    made = [mitigate(t, pd.Series(y), g, estimator=pipe, methods=methods, strengths=1, seeds=1)
            for t, g in ((table, pl.Series('g', group)),
                         (table.to_pandas(), pd.DataFrame(dict(g=group))))]
    assert made[0].points.equals(made[1].points)
    assert remedy('exponentiated_gradient', table, y, group,
                  estimator=pipe).predict(table).mean() > 0
    mitigate(x.tolist(), y.tolist(), group.tolist(), estimator=DecisionTreeClassifier(max_depth=3),
             methods=methods, strengths=1, seeds=1)
    mitigate(x, y, group, estimator=LinearSVC(), methods=('threshold_optimizer',), seeds=1)
    with pytest.raises(InputError, match="`x` must hold numbers only for correlation remover"):
        mitigate(table, y, group, estimator=pipe, methods='correlation_remover', seeds=1)


def test_several_attributes_and_groups():
    x, y, group = world(900)
    other = np.random.default_rng(1).choice(['u', 'v'], 900)
    assert set(group_of(np.column_stack([group, other]))) == {'a × u', 'a × v', 'b × u', 'b × v'}
    f = mitigate(x, y, np.column_stack([group, other]), estimator=LogisticRegression(),
                 methods=QUICK, strengths=1, seeds=1)
    assert f.groups['group'].n_unique() == 4


def test_adversarial_is_repeatable_and_leaves_the_state_of_torch_alone():
    torch = pytest.importorskip('torch')
    x, y, group = world(400)
    torch.manual_seed(5)
    want = torch.rand(1).item()
    torch.manual_seed(5)
    a, b = (remedy('adversarial', x, y, group, estimator=LogisticRegression(), seed=1).predict(x)
            for _ in range(2))
    assert np.array_equal(a, b) and torch.rand(1).item() == want
    with pytest.raises(InputError,
                       match="demographic_parity or equalized_odds for the adversarial network"):
        remedy('adversarial', x, y, group, estimator=LogisticRegression(),
               constraint='true_positive_rate_parity')


def test_what_cannot_be_relaxed_is_tried_whole():
    x, y, group = world(600)
    f = mitigate(x, y, group, estimator=LogisticRegression(), constraint='equalized_odds',
                 methods=('reweighing', 'threshold_optimizer'), seeds=1)
    assert [(p.method, p.strength) for p in f.runs] == [
        ('none', 0), ('reweighing', .5), ('reweighing', 1), ('threshold_optimizer', 1)]


@pytest.mark.parametrize(('how', 'says'), [
    (dict(methods=('magic',)), "`methods` must be among none, reweighing"),
    (dict(constraint='fair'), "`constraint` must be one of demographic_parity"),
    (dict(test=1.), "`test` must be a share of the rows between 0 and 1; got 1.0"),
    (dict(strengths=(2,)), "`strengths` must be numbers from 0 to 1"),
    (dict(y=np.arange(600)), "`y` must be one column of 0 and 1; got 0, 1, 2, 3"),
    (dict(y=np.ones((600, 1), int)),
     "`y` must be one column, a label for each row; got shape .600, 1."),
    (dict(constraint='equalized_odds', methods='threshold_optimizer', strengths=.5),
     "`strengths` must hold 1 for threshold_optimizer, which cannot relax equalized_odds"),
    (dict(constraint='equalized_odds', methods='threshold_optimizer',
          strengths={'threshold_optimizer': .5}),
     "`strength` of threshold_optimizer must be 1 for equalized_odds; got 0.5"),
    (dict(y=np.ones(7, int)), 'the same rows; got 600 in `x`, 7 in `y`'),
    (dict(estimator=LinearRegression()), "decides 0 or 1; LinearRegression said"),
    (dict(seeds=[1, 2, 1]), "`seeds` must differ, for each is a split; 1 comes twice"),
    (dict(sensitive_features=['a']*600), "must have two groups or more; got a"),
    (dict(sensitive_features=['a']*597 + ['b']*3), "too few: b, label"),
    (dict(estimator=KNeighborsClassifier()), "`estimator` must take `sample_weight` in `fit`, as "
                                             "LogisticRegression does; got KNeighborsClassifier"),
])
def test_errors(how, says):
    x, y, group = world(600)
    known = dict(x=x, y=y, sensitive_features=group, estimator=LogisticRegression(), seeds=1) | how
    with pytest.raises(InputError, match=says): mitigate(**known)


def test_a_classifier_without_scores():
    from sklearn.base import BaseEstimator, ClassifierMixin
    class Silent(ClassifierMixin, BaseEstimator):
        def fit(self, x, y): return self
        def predict(self, x): return (x[:, 0] > 0).astype(int)
    x, y, group = world(600)
    with pytest.raises(InputError,
                       match="must give scores, by `predict_proba` or `decision_function`; Silent "
                             "has neither"):
        mitigate(x, y, group, estimator=Silent(), methods='threshold_optimizer', seeds=1)


def test_without_fairlearn(monkeypatch):
    for name in [m for m in sys.modules if m.split('.')[0] == 'fairlearn']:
        monkeypatch.delitem(sys.modules, name)
    class Gone:
        def find_spec(self, name, path=None, target=None):
            if name.split('.')[0] == 'fairlearn':
                raise ModuleNotFoundError(f"No module named {name!r}", name='fairlearn')
    monkeypatch.setattr(sys, 'meta_path', [Gone(), *sys.meta_path])
    x, y, group = world(600)
    assert mitigate(x, y, group, estimator=LogisticRegression(), methods='reweighing', seeds=1).runs
    with pytest.raises(InputError,
                       match=r"this needs `fairlearn`, which is not installed: pip install "
                             r"'dlcourse\[fairness\]'"):
        mitigate(x, y, group, estimator=LogisticRegression(), methods='exponentiated_gradient',
                 seeds=1)


def test_every_method_has_a_label(): assert len({m.label for m in METHODS.values()}) == len(METHODS)


def labelled(n=60):
    "Features, labels and groups of pandas, with the same row labels, and a permutation"
    rng = np.random.default_rng(0)
    x = pd.DataFrame({'x': rng.normal(size=n)})
    y, groups = pd.Series(np.arange(n) % 2), pd.Series(np.where(np.arange(n) % 4 < 2, 'a', 'b'))
    return x, y, groups, rng.permutation(n)


@pytest.mark.parametrize('moved', ['x', 'y', 'groups'])
@pytest.mark.parametrize('f', [
    lambda x, y, groups: mitigate(x, y, groups, estimator=LogisticRegression(), seeds=1),
    lambda x, y, groups: remedy('none', x, y, groups, estimator=LogisticRegression()),
    lambda x, y, groups: mitigate(x, y, dict(g=groups), estimator=LogisticRegression(), seeds=1)])
def test_other_row_labels_are_other_people(moved, f):
    *given, order = labelled()
    place = ['x', 'y', 'groups'].index(moved)
    given[place] = given[place].iloc[order]
    with pytest.raises(InputError, match='has other row labels than'): f(*given)


def test_a_decision_is_about_the_rows_that_were_given():
    x, y, groups, order = labelled()
    model = remedy('correlation_remover', x, y, groups, estimator=LogisticRegression())
    with pytest.raises(InputError, match='has other row labels'): model.predict(x, groups[order])
    with pytest.raises(InputError, match='the same rows'): model.predict(x, groups[:9].tolist())
    assert len(model.predict(x[:9], groups[:9])) == 9


@pytest.mark.parametrize('how, says', [
    (dict(method='nothing'), '`method` must be one of none'), (dict(strength=2), '`strength`'),
    (dict(constraint='fair'), '`constraint` must be one of'), (dict(y=[1, 2]*30), '`y` must be'),
    (dict(y=[0, 1]), 'the same rows'), (dict(groups=['a', '']*30), '30 values are missing'),
    (dict(groups=[np.array(['a']*60)]*2), 'a dict of columns'),
    (dict(groups=np.zeros((60, 2, 2))), 'must have a row for each person')])
def test_what_no_remedy_can_be_fitted_to_is_refused(how, says):
    x, y, groups, _ = labelled()
    given = dict(method='none', x=x, y=y, groups=groups) | how
    options = {k: given.pop(k) for k in ('strength', 'constraint') if k in given}
    with pytest.raises(InputError, match=says):
        remedy(*given.values(), estimator=LogisticRegression(), **options)


@pytest.mark.parametrize(('columns', 'says'), [
    (([], [], [], []), 'There is no row'), (([.9], [.1], [.8], [.2, .3]), 'got shapes'),
    (([.9, float('nan')], [.1, .1], [.8, .8], [.2, .2]), '`accuracy_a` must not be NaN'),
    ((.9, .1, .8, .2), 'got shapes'), (([[.9]], [[.1]], [[.8]], [[.2]]), 'got shapes'),
    ((['a'], ['b'], [None], [.2]), '`accuracy_b` must not be NaN'),
    ((['a'], ['b'], ['c'], ['d']), '`accuracies and gaps` must hold numbers')])
def test_a_claim_about_nothing_is_not_confirmed(columns, says):
    "No split at all was 'confirmed'"
    with pytest.raises(InputError, match=says): claim_holds(*columns)


@pytest.mark.parametrize('kind', ['uint8', 'int8', 'float16', 'object'])
def test_a_claim_in_whole_per_cent(kind):
    "A difference of two of uint8 is never negative"
    a, b = np.array([80, 70], kind), np.array([85, 75], kind)
    gap = np.array([10, 10], kind)
    assert claim_holds(a, gap, b, gap) == 'contradicted'
    assert claim_holds(b, gap, a, gap) == 'confirmed'
