"Lists by group: against every place by itself, over engines, and at the edges"
from itertools import permutations

import numpy as np
import pytest
from engines import ENGINES, in_engine, in_files

from dlcourse.core.errors import InputError
from dlcourse.fairness.policy import Policy
from dlcourse.fairness.ranking import (
    audit_ranking,
    query_sums,
    resample_queries,
    tied_exposure,
    top_chance,
)


def people(n=1_500, seed=0):
    rng = np.random.default_rng(seed)
    return dict(sex=rng.choice(['Female', 'Male'], n), query=rng.integers(0, 60, n),
                score=rng.normal(0, 1, n).round(1), merit=rng.random(n).round(1))


ASKED = dict(query='query', score='score', sensitive_features='sex', relevance='merit')


def lists(t, group, k):
    "Brute force: mean over every place that a candidate may take among equals"
    out = {g: np.zeros(4) for g in sorted(set(t[group]))}
    for q in set(t['query']):
        at = np.flatnonzero(t['query'] == q)
        for i in at:
            above, tied = (t['score'][at]
                           > t['score'][i]).sum(), (t['score'][at] == t['score'][i]).sum()
            ranks = [above + 1 + j for j in range(tied)]
            out[t[group][i]] += [1, np.mean([r <= k for r in ranks]),
                                 np.mean([1/np.log2(1 + r) for r in ranks]), t['merit'][i]]
    return out


@pytest.mark.parametrize('engine', [e for e in ENGINES if e != 'objects'])
def test_ranking_equals_brute_force(engine):
    t = people()
    found = audit_ranking(in_engine(engine, t), **ASKED, k=5)
    want = lists(t, 'sex', 5)
    whole = sum(want.values())
    for g, sums in want.items():
        part = sums/whole
        for metric, value in dict(candidate_share=part[0], top_share=part[1],
                                  top_ratio=part[1]/part[0], exposure_share=part[2],
                                  exposure_ratio=part[2]/part[0],
                                  exposure_per_person=sums[2]/sums[0],
                                  exposure_per_relevance=part[2]/part[3]).items():
            v = found.get(metric, g)
            assert abs(v.value - value) < 1e-12 and v.low <= v.value <= v.high, metric


def test_exposure_is_shared_out_and_resampled():
    rng = np.random.default_rng(0)
    query, score = rng.integers(0, 20, 400), rng.integers(0, 4, 400).astype(float)
    sums = query_sums(query, score, rng.integers(0, 3, 400), np.ones(400, int), np.zeros(400), 7)
    sizes = np.bincount(query)
    np.testing.assert_allclose(sums[..., 2].sum(1),
                               [sum(1/np.log2(1 + r) for r in range(1, n + 1)) for n in sizes],
                               rtol=1e-12)
    np.testing.assert_allclose(sums[..., 1].sum(1), np.minimum(7, sizes), rtol=1e-12)
    np.testing.assert_allclose(tied_exposure(np.array([0]), np.array([3])),
                               (1 + 1/np.log2(3) + .5)/3, rtol=1e-12)
    drawn = resample_queries(np.ones((25_000, 2)), 200)
    assert drawn.shape == (200, 2)
    assert abs(drawn.mean()/25_000 - 1) < .01
    assert (drawn[:, 0] == drawn[:, 1]).all()


def test_ranking_at_the_edges():
    t = people(600)
    few = audit_ranking({k: v[t['query'] < 20] for k, v in t.items()}, **ASKED)
    assert few.get('exposure_ratio', 'Male').low is None
    assert '20 lists, fewer than 30' in few.get('exposure_ratio', 'Male').reason
    assert not few.findings
    biased = audit_ranking(people()
                           | dict(score=people()['score'] - 2*(people()['sex'] == 'Female')),
                           **ASKED)
    assert biased.findings[0].startswith('By sex, Female: 0.')
    assert biased.to_dict() == audit_ranking(
        people() | dict(score=people()['score'] - 2*(people()['sex'] == 'Female')),
        **ASKED).to_dict()
    none = audit_ranking(t | dict(merit=[0.]*600), **ASKED)
    assert none.get('exposure_per_relevance', 'Male').reason == "there is no relevance to divide by"
    t['score'][3] = np.nan
    with pytest.raises(InputError, match='`score` is missing in 1 of 600'):
        audit_ranking(t, **ASKED)
    assert audit_ranking(t, **ASKED, missing='drop').dropped == 1
    for k in (0, 2.5, True):
        with pytest.raises(InputError, match='`k` must be a whole number'):
            audit_ranking(t, **ASKED, k=k)
    with pytest.raises(InputError, match='`merit` must be 0 or more'):
        audit_ranking(people() | dict(merit=[-1.]*1_500), **ASKED)
    with pytest.raises(InputError, match='`score` must hold finite'):
        audit_ranking(people() | dict(score=[np.inf]*1_500), **ASKED)
    with pytest.raises(InputError, match='`y` is not a column|must hold numbers'):
        audit_ranking(people() | dict(score=['x']*1_500), **ASKED)


def test_files_give_what_frames_give(tmp_path):
    t = people(600)
    want = audit_ranking(t, **ASKED).get('exposure_ratio', 'Male').value
    for path in in_files(t, tmp_path):
        found = audit_ranking(path, **ASKED).get('exposure_ratio', 'Male')
        assert found.value == pytest.approx(want, abs=1e-12)


@pytest.mark.parametrize('k', range(1, 7))
def test_chance_of_the_top_over_every_order(k):
    score = np.array([3, 2, 2, 1, 1])
    above, tied = ((f(score[None], score[:, None])).sum(1) for f in (np.greater, np.equal))
    orders = [p for p in permutations(range(5)) if (np.diff(score[list(p)]) <= 0).all()]
    want = [np.mean([p.index(i) < k for p in orders]) for i in range(5)]
    assert np.allclose(top_chance(above, tied, k), want)


def test_one_fact_is_said_once_and_fair_lists_are_left_alone():
    rng = np.random.default_rng(0)
    def world(less=0.):
        sex = rng.choice(['F', 'M'], 1_000)
        return dict(sex=sex, query=np.repeat(np.arange(50), 20), merit=rng.random(1_000),
                    score=rng.normal(0, 1, 1_000) - less*(sex == 'F'))
    assert sum(bool(audit_ranking(world(), **ASKED).findings) for _ in range(20)) <= 4
    found = audit_ranking(world(1.), **ASKED, policy=Policy(difference=dict(exposure_ratio=.05)))
    assert len(found.findings) == 1
    [gap] = [d for d in found.disparities if d.metric == 'exposure_ratio']
    assert gap.verdict == 'fail' and gap.groups == ('F', 'M')


def test_lists_of_equal_scores_part_nobody():
    rng = np.random.default_rng(3)
    table = dict(q=np.repeat(np.arange(60), 20), g=rng.choice(['A', 'B', 'C'], 1200),
                 s=np.ones(1200))
    found = audit_ranking(table, query='q', score='s', sensitive_features='g')
    assert not found.findings
    gap = next(d for d in found.disparities if d.metric == 'top_ratio')
    assert (gap.low, gap.p_value) == (0, 1)
