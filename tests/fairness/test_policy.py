"Policies, verdicts over a family, and scope"
import numpy as np
import pytest

from dlcourse.core.errors import InputError
from dlcourse.core.settings import settings as course_settings
from dlcourse.fairness.bounds import gap_verdict, measure_gaps
from dlcourse.fairness.counting import count_groups
from dlcourse.fairness.groups import METRICS, disparities, rates
from dlcourse.fairness.planning import verdict_chances
from dlcourse.fairness.policy import (
    Policy,
    comparisons,
    judge,
    out_of_scope,
    read_policy,
    settings_policy,
)
from dlcourse.fairness.records import Rate

NAMES = ['selection_rate', 'true_positive_rate', 'false_positive_rate', 'accuracy_score']


def judged(t, policy, **more):
    found = rates(count_groups(t, y_pred='p', y_true='y', sensitive_features=['s'],
                               missing='unknown').counts, ['count', *NAMES], min_count=30)
    return {(d.metric, d.kind): d for d in judge(disparities(found), found, policy, **more)}


def shares(**groups):
    "A table in which each group's share is selected: name → (people, selected)"
    s, p = [], []
    for name, (n, k) in groups.items(): s += [name]*n; p += [1]*k + [0]*(n - k)
    return dict(s=s, p=p, y=[1]*len(s))


# ---- verdicts

def test_judging():
    n = 3000
    t = dict(s=['a', 'b']*n, y=[1, 1, 0, 0]*(n//2), p=[1, 1]*n)
    found = judged(t, Policy(difference=dict(selection_rate=.1, true_positive_rate=.1),
                             ratio=dict(selection_rate=.8)))
    assert found['selection_rate', 'difference'].verdict == 'pass'
    assert found['selection_rate', 'ratio'].verdict == 'pass'
    d = found['true_positive_rate', 'difference']
    assert (d.tolerance, d.family, d.level, d.reason) == (.1, 6, .95, None)
    assert d.adjusted == pytest.approx(.05/6) and d.rows_needed is None
    assert found['accuracy_score', 'difference'].verdict == 'not judged'
    assert found['accuracy_score', 'difference'].tolerance is None
    assert 0 < d.detectable < found['accuracy_score',
                                    'difference'].detectable < .1, "also of what is not judged"
    assert all(d.verdict == 'not judged'
               for d in judged(t, Policy(difference=dict(selection_rate=.1),
                                         attributes=('other',))).values())
    assert all(d.verdict == 'not judged' for d in judged(t, Policy()).values())


def test_insufficient_evidence_says_what_would_do():
    d = judged(shares(a=(100, 50), b=(100, 45)),
               Policy(difference=dict(selection_rate=.1)))['selection_rate', 'difference']
    assert d.verdict == 'insufficient evidence' and "go well with" in d.reason
    assert verdict_chances([.5, .45], [d.rows_needed]*2, tolerance=.1,
                           draws=2000)['pass'] == pytest.approx(.8, abs=.04)
    d = judged(shares(a=(100, 50), b=(100, 40)),
               Policy(difference=dict(selection_rate=.1)))['selection_rate', 'difference']
    assert d.verdict == 'insufficient evidence'
    assert d.rows_needed is None, "a gap of exactly the tolerance is never decided"


def test_an_unknown_rate_is_no_pass_and_no_excuse():
    n = 4000
    t = dict(s=['a', 'b', 'c']*n, y=[1, 1, 0]*n, p=[1, 1, 1]*n)
    d = judged(t,
               Policy(difference=dict(true_positive_rate=.2)))['true_positive_rate', 'difference']
    assert d.verdict == 'insufficient evidence'
    assert d.reason == "nothing is known of c (nobody to divide by: the denominator is 0)"
    t['p'] = [1, 0, 1]*n
    d = judged(t,
               Policy(difference=dict(true_positive_rate=.2)))['true_positive_rate', 'difference']
    assert d.verdict == 'fail' and "nothing is known of c" in d.reason


def test_a_group_out_of_scope_is_listed():
    t = shares(a=(3000, 1500), b=(3000, 1500), c=(12, 12))
    d = judged(t, Policy(difference=dict(selection_rate=.1)))['selection_rate', 'difference']
    assert d.verdict == 'pass' and d.reason == "not judged: c (12 people, fewer than 30)"
    d = judged(shares(a=(3000, 1500), c=(12, 12)),
               Policy(difference=dict(selection_rate=.1)))['selection_rate', 'difference']
    assert d.verdict == 'insufficient evidence'
    assert d.reason == ("1 of the groups can be compared; it takes two; "
                        "not judged: c (12 people, fewer than 30)")
    d = judged(t, Policy(difference=dict(selection_rate=.1)),
               min_count=5)['selection_rate', 'difference']
    assert d.verdict == 'insufficient evidence'
    assert "nothing is known of c (rests on 12 rows, fewer than 30)" in d.reason


def test_a_policy_names_its_groups():
    t = shares(a=(3000, 1500), b=(3000, 1500), c=(3000, 300))
    def verdict(**more):
        return judged(t, Policy(difference=dict(selection_rate=.1),
                                **more))['selection_rate', 'difference']
    assert verdict().verdict == 'fail'
    d = verdict(groups={'s': ('a', 'b')})
    assert (d.verdict, d.family, d.value) == ('pass', 2, 0.)
    assert d.reason.startswith("not judged: c (not named by the policy); over all groups it is")
    d = verdict(groups={'s': ('a', 'b', 'z')})
    assert d.verdict == 'insufficient evidence'
    assert "nothing is known of z (nobody is there)" in d.reason
    assert verdict(min_share=.4).reason.startswith("0 of the groups can be compared")
    with pytest.raises(InputError, match=r"\[groups\] of the policy names `sex`, which is not "
                                         r"audited here; there are: s"):
        verdict(groups={'sex': ('a', 'b')})


def test_missing_attributes_are_listed_too():
    t = shares(a=(500, 250), b=(500, 250))
    t['s'] = [None]*20 + t['s'][20:]
    d = judged(t, Policy(difference=dict(selection_rate=.2)))['selection_rate', 'difference']
    assert d.verdict == 'pass' and d.reason == "not judged: (missing) (an attribute is missing)"


def clustered(clusters):
    table = [Rate(attribute='s', group=g, metric=m, value=.5, numerator=500, denominator=1000,
                  n=1000, effective=900., status='ok', clusters=c)
             for m in ('count', 'selection_rate') for g, c in zip('abc', clusters, strict=True)]
    return disparities(table), table


def test_few_clusters_are_insufficient_evidence():
    policy = Policy(difference=dict(selection_rate=.2))
    asked = []
    [d] = [d
           for d in judge(*clustered([200, 200, 200]), policy,
                          correlation=lambda *a: asked.append(a) or np.eye(3))
                          if d.kind == 'difference']
    assert d.verdict == 'pass' and asked == [('s', 'selection_rate', ('a', 'b', 'c'))]
    [d] = [d for d in judge(*clustered([200, 29, 30]), policy) if d.kind == 'difference']
    assert d.verdict == 'insufficient evidence'
    assert d.reason.startswith("nothing is known of b (rests on 29 clusters, fewer than 30); over")
    assert d.groups == ('a', 'c')


def test_clusters_count_by_what_they_are_worth():
    "Sixty schools of which one holds half of the pupils are few; rows needed are rows"
    school = np.r_[np.repeat(np.arange(60), 10), np.full(600, 60)]
    t = dict(s=['a']*1200 + ['b']*1200, p=[*(school % 2), *(school % 2)],
             id=[*school, *(school + 61)])
    table = rates(count_groups(t, y_pred='p', sensitive_features=['s'], cluster='id').counts,
                  ['count', 'selection_rate'])
    policy = Policy(difference=dict(selection_rate=.1))
    d = judge(disparities(table), table, policy)[0]
    assert "rests on 61 clusters that are worth 3.93 of equal weight, fewer than 30" in d.reason
    person = np.repeat(np.arange(40), 25)
    t = dict(s=['a']*1000 + ['b']*1000, p=[*(person < 24), *(person < 16)],
             id=[*person, *(person + 40)])
    table = rates(count_groups(t | dict(p=list(map(int, t['p']))), y_pred='p', cluster='id',
                               sensitive_features=['s']).counts, ['count', 'selection_rate'])
    d = judge(measure_gaps(disparities(table), table, correlation=lambda *a: np.eye(2)), table,
              policy, correlation=lambda *a: np.eye(2))[0]
    assert d.verdict == 'insufficient evidence' and d.low == 0 and d.high < .45
    assert .05 < d.p_value < .15 and d.rows_needed > 25*100


def test_the_family_is_everything_that_is_judged():
    t = shares(a=(1000, 500), b=(1000, 500), c=(1000, 500)) | dict(y=[0, 1]*1500)
    policy = Policy(difference=dict.fromkeys(('selection_rate', 'false_positive_rate'), .1),
                    ratio=dict(selection_rate=.8))
    assert {d.family for d in judged(t, policy).values()
            if d.tolerance is not None} == {18} == {comparisons([3, 3, 3])}


def test_one_family_one_error():
    "Twenty fair questions: some fail far more often than one in twenty alone, and not as a family"
    rng, n = np.random.default_rng(0), np.array([300, 300])
    k = rng.binomial(300, .4, size=(150, 20, 2))
    def fails(family):
        return np.mean([any(gap_verdict(x/n, n, tolerance=0., kind='difference', family=family)
                            == 'fail' for x in audit) for audit in k])
    assert fails(2) > .3 and fails(40) <= .05 + 2*(.05*.95/150)**.5


# ---- files and settings

def test_policy_files(tmp_path):
    def policy(text):
        (tmp_path/'p.toml').write_text(text)
        return read_policy(tmp_path/'p.toml')
    p = policy('level = 0.9\nmin_count = 10\nmin_share = 0.02\nfavorable = 0\n'
               'attributes = ["sex × race"]\n'
               '[difference]\nselection_rate = 0.1\n[ratio]\nfavorable_rate = 0.8\n'
               '[groups]\nrace = ["A", "B"]')
    assert p == Policy(level=.9, min_count=10, min_share=.02, favorable='0',
                       attributes=('sex × race',), difference=dict(selection_rate=.1),
                       ratio=dict(favorable_rate=.8), groups=dict(race=('A', 'B')))
    one = '[difference]\nselection_rate = 0.1\n'
    for text, says in {
            'diference = 1': "`diference` is no key of a policy",
            '[difference]\nselect = 0.1': "`select` in .difference. of the policy is no metric; "
                                          "there are: selection_rate",
            '[difference]\nselection_rate = 10': "must be a number from 0 to 1; got 10",
            '[ratio]\nselection_rate = "x"': "got 'x'", 'level = 95.0': "`level` of the policy",
            'level = true': "`level` of the policy p.toml must be a number",
            'min_count = 0': "`min_count` of the policy",
            'attributes = "sex"': "must be a list of names",
            'level = 0.9': "tolerates nothing and forbids nothing", 'x =': "is not TOML",
            '[difference]\nmean_prediction = 0.1': "cannot be judged",
            f'min_share = 2\n{one}': "`min_share` of the policy must be a share from 0 to below 1, "
                                     "such as 0.02; got 2",
            f'min_share = "x"\n{one}': "`min_share` of the policy p.toml must be a value; got 'x'",
            f'{one}[groups]\nrace = "A"': "`race` in .groups. of the policy p.toml must be a list "
                                          "of names",
            f'{one}[groups]\nrace = ["A"]': "`race` in .groups. of the policy must list two groups "
                                            "or more"}.items():
        with pytest.raises(InputError, match=says): policy(text)
    with pytest.raises(InputError, match="cannot be read: there is no such file"):
        read_policy(tmp_path/'none.toml')


def test_policy_from_settings():
    assert not settings_policy(course_settings(start='/')).judges
    p = settings_policy(course_settings(start='/', max_difference=.1, min_ratio=.8))
    assert p.ratio == dict(selection_rate=.8)
    assert set(p.difference) == {'selection_rate', 'true_positive_rate',
                                 'false_positive_rate'} <= set(METRICS)
    assert set(settings_policy(course_settings(start='/', max_difference=.1),
                               label=False).difference) == {'selection_rate'}


def test_nothing_out_of_scope(): assert out_of_scope([], Policy()) == {}
