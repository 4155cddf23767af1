"Scores by group: against scikit-learn, over engines, and at the edges"
import json
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from engines import everywhere, in_files
from sklearn.metrics import brier_score_loss, roc_auc_score

from dlcourse.audit.report import audit
from dlcourse.core.errors import InputError
from dlcourse.fairness.policy import Policy
from dlcourse.fairness.score_counts import BINS, MOST_VALUES, count_scores
from dlcourse.fairness.scores import audit_scores


def people(n=5_000, seed=0, places=None):
    rng = np.random.default_rng(seed)
    s = rng.beta(2, 3, n)
    y = (rng.random(n) < s).astype(int)
    return dict(sex=rng.choice(['Female', 'Male'], n), race=rng.choice(['A', 'B', 'C'], n),
                s=s if places is None else s.round(places), y=y, w=rng.integers(1, 4, n))


def rows(found): return {(r.attribute, r.group): r for r in found.rows}


@pytest.mark.parametrize('places', [2, None])
def test_against_scikit_learn(places):
    t = people(places=places)
    found = rows(audit_scores(t, score='s', y_true='y', sensitive_features=['sex', 'race'],
                              min_count=1))
    for (attribute, group), r in found.items():
        at = t[attribute] == group
        truth = roc_auc_score(t['y'][at], t['s'][at])
        assert (r.n, r.positives) == (at.sum(), t['y'][at].sum())
        assert abs(r.auc - truth) <= max(r.auc_open/2, 1e-12) and r.auc_low < truth < r.auc_high
        assert abs(r.brier - brier_score_loss(t['y'][at], t['s'][at])) < 1e-12
        assert abs(r.bias - (t['s'][at].mean() - t['y'][at].mean())) < 1e-12
        assert r.bias_low < r.bias < r.bias_high and 0 <= r.p_value <= 1
    assert all((r.auc_open == 0) == (places is not None) for r in found.values())


def test_weights_count_as_rows():
    t = people(2_000, places=1)
    twice = {k: np.repeat(v, t['w']) for k, v in t.items()}
    weighted, repeated = (rows(audit_scores(x, score='s', y_true='y', sensitive_features='sex',
                                            **more))
                          for x, more in ((t, dict(sample_weight='w')), (twice, {})))
    for key, r in weighted.items():
        assert (abs(r.auc - repeated[key].auc), abs(r.brier - repeated[key].brier)) < (1e-12, 1e-12)
        assert r.auc_low < repeated[key].auc_low
        assert r.auc_high > repeated[key].auc_high, "copies of a row are not more people"


def test_every_engine_counts_alike(tmp_path):
    t = {k: v.tolist() for k, v in people(3_000, places=3).items()}
    frames = everywhere(t)
    del frames['objects'] # A score must be numbers
    frames = [*frames.values(), *in_files(t, tmp_path)]
    first, *others = (count_scores(f, score='s', y_true='y', sensitive_features=['sex', 'race'])
                      for f in frames)
    for c in others:
        assert c.groups == first.groups and c.exact and np.array_equal(c.n, first.n)
        assert np.allclose(c.total, first.total, rtol=0, atol=1e-9)


def test_many_values_are_binned():
    t = people(MOST_VALUES*3)
    c = count_scores(t, score='s', y_true='y', sensitive_features='sex')
    assert not c.exact and len(c.edges) <= BINS and c.n.sum() == len(t['s'])
    place = np.minimum(((t['s'] - t['s'].min())/(t['s'].max() - t['s'].min())*BINS).astype(int),
                       BINS - 1)
    assert np.array_equal(c.n[0, :, 1],
                          np.bincount(place[(t['sex'] == 'Female') & (t['y'] == 1)],
                                      minlength=BINS)[np.unique(place)])


def test_what_is_undefined_says_so():
    t = dict(g=['a']*50 + ['b']*50 + ['c']*3, s=[.5]*103, y=[0, 1]*25 + [1]*50 + [0, 1, 0])
    found = rows(audit_scores(t, score='s', y_true='y', sensitive_features='g', min_count=10))
    assert found['g', 'b'].auc is None and 'one label only' in found['g', 'b'].reason
    assert found['g', 'c'].auc is None and found['g', 'c'].reason == '3 people, fewer than 10'
    assert found['g', 'c'].mean_score is None
    assert found['g', 'a'].auc == .5
    decile = rows(audit_scores(t | dict(s=list(range(1, 11))*10 + [1, 2, 3]), score='s', y_true='y',
                               sensitive_features='g', min_count=10))
    assert decile['g', 'a'].brier is None
    assert 'do not lie between 0 and 1' in decile['g', 'a'].reason


def test_missing_and_faulty_values():
    t = people(300)
    t['s'][5] = np.nan
    with pytest.raises(InputError, match='`s`'):
        audit_scores(t, score='s', y_true='y', sensitive_features='sex', missing='error')
    assert count_scores(t, score='s', y_true='y', sensitive_features='sex',
                        missing='drop').n.sum() == 299
    with pytest.raises(InputError, match="`s` must hold finite numbers"):
        count_scores(people(9) | dict(s=[np.inf]*9), score='s', y_true='y',
                     sensitive_features='sex')
    with pytest.raises(InputError, match="`score` is not a column"):
        count_scores(people(9), score='score', y_true='y', sensitive_features='sex')
    with pytest.raises(InputError, match="must hold numbers"):
        count_scores(people(9), score='race', y_true='y', sensitive_features='sex')


def test_the_result_is_json():
    found = audit_scores(people(), score='s', y_true='y', sensitive_features='sex')
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))['rows'][0]['group'] == 'Female'
    assert found.findings == ()
    assert found.frame.height == 2


def asked(s, y, g, **more):
    return audit_scores(dict(s=s, y=y, g=g) | more.pop('columns', {}), score='s', y_true='y',
                        sensitive_features='g', **more)


def test_few_events_make_no_finding():
    g = np.repeat(['a', 'b'], 50)
    found = asked([.02]*100, [0]*50 + [0, 1]*1 + [0]*48, g)
    none = rows(found)['g', 'a']
    assert not found.findings and none.bias_low < 0 < none.bias_high and none.bias_p_value > .3
    rng, said = np.random.default_rng(0), 0
    for _ in range(40):
        s = rng.uniform(.005, .03, 360)
        said += bool(asked(s, (rng.random(360) < s).astype(int),
                           np.repeat(np.arange(6), 60).astype(str)).findings)
    assert said <= 5, "19 in 20 audits of these calibrated scores found something once"


def test_the_smaller_class_decides_whether_people_are_ranked():
    rng = np.random.default_rng(0)
    y = np.r_[np.ones(12), np.zeros(288)].astype(int)
    found = asked(rng.random(600), np.r_[y, rng.integers(0, 2, 300)], np.repeat(['a', 'b'], 300))
    few = rows(found)['g', 'a']
    assert few.auc is None and '12 people with a positive label, fewer than 30' in few.reason
    assert rows(found)['g', 'b'].auc is not None
    assert (found.overall.group, found.overall.n) == (None, 600) and found.overall.auc > 0
    assert found.to_dict()['overall']['base_rate'] == pytest.approx(found.overall.base_rate)


def test_clusters_widen_and_weights_count():
    rng = np.random.default_rng(0)
    n, g = 2_000, np.repeat(['a', 'b'], 1_000)
    person = np.repeat(np.arange(n//10), 10)
    s = np.repeat(rng.beta(2, 2, n//10), 10)
    y = np.repeat((rng.random(n//10) < s[::10]).astype(int), 10)
    alone = rows(asked(s, y, g))['g', 'a']
    held = rows(asked(s, y, g, columns=dict(p=person), cluster='p'))['g', 'a']
    for k in ('auc', 'bias'):
        width = [getattr(r, f'{k}_high') - getattr(r, f'{k}_low') for r in (alone, held)]
        assert width[1] > 2.5*width[0], "ten equal rows are one person"
    assert held.clusters == pytest.approx(100)
    # Positives that weigh ten: worth less than Kish's size says
    w = np.where(y, 10., 1.)
    weighted = rows(asked(s, y, g, columns=dict(w=w), sample_weight='w'))['g', 'a']
    assert weighted.effective < 1_000
    assert weighted.bias_high - weighted.bias_low > alone.bias_high - alone.bias_low


def test_gaps_are_judged_by_a_policy():
    rng = np.random.default_rng(0)
    g = np.repeat(['a', 'b'], 1_000)
    y = rng.integers(0, 2, 2_000)
    s = rng.normal(np.where(g == 'a', 2., .2)*y, 1)
    policy = Policy(difference=dict(roc_auc_score=.05))
    found = asked(s, y, g, policy=policy)
    [gap] = [d for d in found.disparities if d.metric == 'roc_auc_score']
    assert gap.verdict == 'fail' and gap.low > .05 and gap.p_value < 1e-6
    assert gap.groups == ('b', 'a') and found.findings[0].startswith("By g, the score ranks worst")
    loose = asked(s, y, g, policy=Policy(difference=dict(roc_auc_score=.6)))
    assert loose.disparities[0].verdict == 'pass'
    with pytest.raises(InputError, match="ratio of it means nothing"):
        Policy(ratio=dict(calibration_bias=.8))
    with pytest.raises(InputError, match="`y` never is '2'"):
        asked(s, y, g, positive=['2'])


@pytest.mark.parametrize('kind', ['tail', 'outlier', 'clumps', 'plain'])
@pytest.mark.parametrize('engine', ['polars', 'pandas', 'csv'])
def test_a_rank_needs_no_width(tmp_path, kind, engine):
    rng = np.random.default_rng(5)
    y = rng.integers(0, 2, 6_000)
    z = rng.normal(size=6_000) + 1.5*y
    far = np.where(np.arange(6_000) == 7, 1e6, 1e-5*(1 + 1/(1 + np.exp(-z))))
    clumps = np.where(z > 1, 1e6, 0) + 1/(1 + np.exp(-z))
    score = dict(tail=np.exp(30*z), outlier=far, clumps=clumps, plain=z)[kind]
    table = pl.DataFrame(dict(score=score, y=y, g=np.where(rng.random(6_000) < .5, 'a', 'b')))
    table.write_csv(tmp_path/'t.csv')
    data = dict(polars=table, pandas=table.to_pandas(), csv=tmp_path/'t.csv')[engine]
    found = audit_scores(data, score='score', y_true='y', sensitive_features=['g'])
    for row, own in ((found.overall, table), *((r, table.filter(pl.col('g') == r.group))
                                               for r in found.rows)):
        assert abs(row.auc - roc_auc_score(own['y'], own['score'])) < .002
    assert not found.exact and not found.warnings


def test_few_bins_of_a_small_group_are_said():
    rng = np.random.default_rng(2)
    y, small = rng.integers(0, 2, 20_000), np.arange(20_000) < 400
    score = np.where(small, .5 + 1e-9*(rng.normal(size=20_000) + y), rng.normal(size=20_000) + y)
    table = dict(score=score, y=y, g=np.where(small, 'few', 'many'))
    found = audit_scores(table, score='score', y_true='y', sensitive_features=['g'])
    said, = found.warnings
    assert 'g = few' in said and 'a table of their own' in said
    whole = audit(table | dict(d=(score > 1).astype(int)), y_pred='d', y_true='y', score='score',
                  sensitive_features=['g'], favorable=1)
    assert said in whole.warnings and said in whole.to_dict()['warnings']
    alone = audit_scores({k: v[small] for k, v in table.items()} | dict(g=(y % 2)[small]),
                         score='score', y_true='y', sensitive_features=['g'])
    assert alone.exact and not alone.warnings


def test_a_group_that_is_not_shown_changes_nothing():
    rng, n = np.random.default_rng(2), 5_000
    y, tiny = rng.integers(0, 2, n), np.arange(n) < 10
    table = dict(score=np.where(tiny, .5 + 1e-9*np.arange(n), rng.random(n)), y=y,
                 g=np.where(tiny, 'tiny', 'large'))
    asked = dict(score='score', y_true='y', sensitive_features=['g'])
    assert not audit_scores(table, **asked).warnings
    cube = count_scores(table, **asked)
    assert np.allclose(np.diff(cube.edges), np.diff(cube.edges)[0], atol=.002) and not cube.notes
    few = count_scores(table, **asked, bins=10)
    assert 'g = large' in few.notes[0] and 'counted in 10 bins' in few.notes[0]


def test_ranks_that_part_nobody_are_not_taken():
    rng, n = np.random.default_rng(1), 2_100_000
    score = np.where(np.arange(n) < 2_050, np.arange(n)*1e-9, 1.)
    table = pl.DataFrame(dict(score=score, y=rng.integers(0, 2, n).astype(np.int8),
                              g=np.where(np.arange(n) % 2, 'a', 'b')))
    found = audit_scores(table, score='score', y_true='y', sensitive_features=['g'])
    assert all(abs(r.auc - .5) < .01 for r in found.rows)
    assert 'counted in 1,000 bins' in found.warnings[0]


@pytest.mark.parametrize('missing', [None, 'drop', 'unknown'])
def test_text_among_scores_is_no_missing_score(tmp_path, missing):
    odd = {7: '"12,5"', 8: 'n.a.'}
    lines = [f"{odd.get(i, i/100)},{i % 2},{'ab'[i//2 % 2]}" for i in range(100)]
    (tmp_path/'t.csv').write_text('\n'.join(['s,y,g', *lines]))
    asked = dict(score='s', y_true='y', sensitive_features=['g'], missing=missing, min_count=1)
    with pytest.raises(InputError, match="`s` holds text that is no number: '12,5'"):
        audit_scores(tmp_path/'t.csv', **asked)
    with pytest.raises(InputError, match="`s` holds text that is no number: '12,5'"):
        audit_scores(tmp_path/'t.csv', **asked, null=['n.a.'])
    if missing:
        found = audit_scores(tmp_path/'t.csv', **asked, null=['n.a.', '12,5'])
        assert found.dropped == 2 and found.overall.n == 98


def test_the_curve_of_rare_scores_has_bins_of_equal_numbers():
    rng = np.random.default_rng(0)
    def curve(score, off=1.):
        y = (rng.random(len(score)) < np.minimum(off*score, 1)).astype(int)
        found = audit_scores(dict(g=np.tile(['a', 'b'], len(score)//2), s=score, y=y), score='s',
                             y_true='y', sensitive_features=['g'])
        return found, [c for c in found.curve if c['group'] == 'a']
    rare = rng.beta(1, 60, 6_000)
    found, bins = curve(rare)
    assert [c['bin'] for c in bins] == [*range(10)]
    assert all(250 < c['n'] < 350 for c in bins) # Tenths of 3,000, as everybody has them
    assert all(x['mean_score'] < y['mean_score'] for x, y in pairwise(bins))
    assert found.plot().axes[0].get_ylim()[1] < .2 and not found.findings
    rare = rng.beta(1, 60, 40_000)
    wrong, _ = curve(rare, np.where(rare > np.median(rare), 1.14, .2)) # Right on average only
    assert any('wrong along its curve' in t for t in wrong.findings)
    _, wide = curve(rng.beta(2, 2, 6_000))
    assert all(c['bin'] <= 10*c['mean_score'] < c['bin'] + 1 for c in wide)
