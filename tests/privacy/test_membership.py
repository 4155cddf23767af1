"Attacks against closed forms and scipy; what leaks is found and what does not is not"
import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch.nn import functional as F

from dlcourse.audit.first_audit import credit_model, features
from dlcourse.core.datasets import load
from dlcourse.core.errors import InputError
from dlcourse.data.synthesis import lending
from dlcourse.evaluation.metrics import roc_auc
from dlcourse.privacy.any_training import FLOOR, audit_training, chances_said, said_of_label
from dlcourse.privacy.membership import (
    calibrated_scores,
    caught,
    lira_scores,
    log_mean_chance,
    loss_scores,
    margin,
    rmia_scores,
    side,
)
from dlcourse.privacy.shadows import fit_shadows, half_masks
from dlcourse.training.zoo import mlp


def world(rows=300, shadows=64, gap=2., seed=0):
    "Scores that are normal around each row's own mean, `gap` higher with the row"
    rng = np.random.default_rng(seed)
    keep = half_masks(shadows, rows, seed, paired=True).numpy()
    member = half_masks(1, rows, seed + 1)[0].numpy()
    mean = rng.normal(0, 5, rows)
    def draw(of): return mean + gap*of + rng.normal(size=of.shape)
    return draw(member), draw(keep), keep, member


def test_margin_is_torchs_log_odds_and_has_a_gradient():
    z = torch.randn(3, 20, 5, dtype=torch.float64, requires_grad=True)
    y = torch.arange(20) % 5
    loss = F.cross_entropy(z.flatten(0, 1), y.repeat(3), reduction='none').view(3, 20)
    torch.testing.assert_close(margin(z, y), -(loss.exp() - 1).log())
    margin(z, y).sum().backward()
    assert torch.isfinite(z.grad).all()
    np.testing.assert_allclose(loss_scores(margin(z, y).detach().numpy()), -loss.detach().numpy())


def test_lira_reaches_the_area_of_a_known_shift():
    "Two normals that are 2 apart have an area of Φ(2/√2)"
    score, shadows, keep, member = world(4000)
    want = norm.cdf(2/2**.5)
    for options in ({}, dict(spread='own'), dict(online=False)):
        found = lira_scores(score, shadows, keep, **options)
        assert roc_auc(member, found) == pytest.approx(want, abs=.02)
    assert abs(roc_auc(member, score) - .5) < .15 and roc_auc(member, score) < want - .2


def test_residuals_not_raw_scores_make_the_spread():
    _, shadows, keep, _ = world(500)
    mean, shared, own = side(shadows, keep)
    assert shared == pytest.approx(1, abs=.03) and shadows[keep].std() > 4
    k = 7
    assert mean[k] == pytest.approx(shadows[keep[:, k], k].mean())
    assert own[k] == pytest.approx(shadows[keep[:, k], k].std(ddof=1))


def test_lira_is_scipys_ratio():
    score, shadows, keep, _ = world(40)
    (u, a, _), (v, b, _) = side(shadows, keep), side(shadows, ~keep)
    want = norm.logpdf(score, u, a) - norm.logpdf(score, v, b)
    np.testing.assert_allclose(lira_scores(score, shadows, keep), want)


def test_rmia_by_a_double_loop():
    score, shadows, keep, _ = world(30, 6)
    p, q = np.exp(loss_scores(shadows)), np.exp(loss_scores(score))
    for options in (dict(online=True), dict(online=False, a=.4), dict(gamma=2.)):
        ratio = []
        for k in range(30):
            inside, outside = p[keep[:, k], k].mean(), p[~keep[:, k], k].mean()
            mean = (inside + outside)/2 if options.get('online', True) else (
                (1 + options['a'])*outside + 1 - options['a'])/2
            ratio.append(q[k]/mean)
        ratio = np.array(ratio)
        want = [(r*(1 + 1e-12)/ratio >= options.get('gamma', 1.)).mean() for r in ratio]
        np.testing.assert_allclose(rmia_scores(score, shadows, keep, **options), want)
    deep = np.full((2, 3), -1e4)
    np.testing.assert_allclose(log_mean_chance(deep, np.ones((2, 3), bool)), -1e4)


def test_difficulty_is_taken_off():
    score, shadows, keep, _ = world(20, 8)
    k = 3
    want = loss_scores(score[k]) - loss_scores(shadows[~keep[:, k], k]).mean()
    assert calibrated_scores(score, shadows, keep)[k] == pytest.approx(want)


def test_a_row_without_a_shadow_of_a_kind_is_said():
    score, shadows, keep, _ = world(10, 4)
    keep = np.ones_like(keep)
    for f in (lira_scores, rmia_scores, calibrated_scores):
        with pytest.raises(InputError, match='row 0'): f(score, shadows, keep)
    with pytest.raises(InputError, match='spread'): lira_scores(score, shadows, keep, spread='raw')
    with pytest.raises(InputError, match='`a`'): rmia_scores(score, shadows, keep, a=2)


def test_nothing_is_found_where_nothing_leaks():
    found = []
    for seed in range(20):
        score, shadows, keep, member = world(1000, 8, 0., seed)
        found.append([roc_auc(member, f(score, shadows, keep)) for f in (lira_scores, rmia_scores)])
    assert abs(np.mean(found) - .5) < .01


def test_too_few_rows_give_no_rate():
    assert np.isnan(caught(np.zeros(5), np.zeros(999), np.zeros(500), .01)).all()
    assert caught(np.ones(5), np.zeros(1000), np.zeros(500), .01) == (1., 0.)


@pytest.mark.slow
def test_a_network_that_overfits_is_found_in_digits():
    parts = zip(*load('digits', split='writer').tensors(), strict=True)
    x, y = (torch.cat(v)[:1796] for v in parts)
    found = fit_shadows(lambda: mlp(64, 64, 10), (x, y), targets=3, shadows=32, how='stacked',
                        seed=5, epochs=40, optimizer='sgd', lr=.05, momentum=.9)
    s, keep = margin(found.logits.double(), y).numpy(), found.keep.numpy()
    areas = {f: np.mean([roc_auc(keep[t], f(s[t], s[3:], keep[3:])) for t in range(3)])
             for f in (lira_scores, rmia_scores)}
    plain = np.mean([roc_auc(keep[t], s[t]) for t in range(3)])
    assert plain < .55 and min(areas.values()) > plain + .03


def trees(depth):
    from sklearn.tree import DecisionTreeClassifier
    def train(x, y, seed):
        return DecisionTreeClassifier(max_depth=depth, random_state=seed).fit(x, y)
    return train


def test_any_training_function_can_be_audited():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(600, 4))
    y = np.where(x[:, 0] + rng.normal(size=600) > 0, 'yes', 'no')
    who = np.repeat(['a', 'b'], 300)
    deep = audit_training(trees(None), x, y, group=who, fpr=.05, draws=99, tolerances={'auc': .6})
    flat = audit_training(trees(1), x, y, fpr=.05, draws=99, tolerances={'auc': .6})
    assert deep.verdict == 'fail' and deep.overall.auc > .6 and len(deep.groups) == 2
    assert flat.verdict == 'pass' and deep.threshold_from == 'given'
    assert any('3 times' in w for w in deep.warnings)
    again = audit_training(trees(None), x, y, group=who, fpr=.05, draws=99)
    assert again.overall == deep.overall


def test_the_credit_model_of_the_first_audit():
    people = lending(1200)
    def train(x, y, seed): return credit_model().fit(x, y)
    found = audit_training(train, features(people), people['approved'], group=people['sex'],
                           shadows=4, targets=2, fpr=.05, draws=99, tolerances={'auc': .65})
    assert found.verdict == 'pass' and found.overall.auc < .6 and len(found.groups) > 1


def test_classes_that_a_model_never_met_have_no_chance():
    class Model:
        classes_ = np.array(['a', 'c'])
        def predict_proba(self, rows): return np.full((len(rows), 2), .5)
    got = chances_said(Model(), np.zeros((2, 1)), np.array(['a', 'b', 'c']))
    assert got.tolist() == [[.5, 0, .5]]*2
    assert said_of_label(got, [1, 0])[0] == pytest.approx(np.log(FLOOR/(1 - FLOOR)))


@pytest.mark.parametrize('change, said', [
    (dict(train=3), 'train'), (dict(attack='x'), 'attack'), (dict(shadows=3), 'shadows. must be'),
    (dict(targets=0), 'targets'), (dict(y=[0]*8), 'two classes'), (dict(y=[0, 1]), 'same rows'),
    (dict(y=[0, 1, None, 1, 0, 1, 0, 1]), 'missing'),
    (dict(train=lambda x, y, s: 5), 'predict_proba'),
    (dict(train=lambda x, y, s: lambda r: np.ones((len(r), 3))), 'classes'),
    (dict(train=lambda x, y, s: lambda r: np.ones((len(r), 2))), 'add up'),
    (dict(train=lambda x, y, s: lambda r: np.full((len(r), 2), np.nan)), 'finite'),
])
def test_bad_input_is_said(change, said):
    good = dict(train=lambda x, y, s: lambda r: np.full((len(r), 2), .5), x=np.zeros((8, 1)),
                y=[0, 1]*4)
    with pytest.raises(InputError, match=said): audit_training(**good | change)


def test_masks_of_ones_and_zeros_are_masks_and_others_are_refused():
    score, shadows, keep, member = world(400, 16)
    others = keep.astype(int), keep.astype(np.uint8), keep.astype(float), torch.tensor(keep).int()
    for f in (lira_scores, rmia_scores, calibrated_scores):
        want = f(score, shadows, keep)
        for mask in others: np.testing.assert_array_equal(f(score, shadows, mask), want)
        assert roc_auc(member, want) > .75
        for mask in (~keep.astype(int), keep + 2, keep.astype(str), keep[:, :9], keep*np.nan):
            with pytest.raises(InputError, match='`keep` must be'): f(score, shadows, mask)
        with pytest.raises(InputError, match='`score` must have'): f(score[:9], shadows, keep)
        with pytest.raises(InputError, match='`score` must hold'): f(score*np.nan, shadows, keep)
        with pytest.raises(InputError, match='`shadows`'): f(score, shadows*np.inf, keep)
    for f in (side, log_mean_chance):
        np.testing.assert_array_equal(f(shadows, keep.astype(int))[0], f(shadows, keep)[0])
        with pytest.raises(InputError, match='`keep` must be'): f(shadows, ~keep.astype(int))
    for gamma in (0, -1., 'a'):
        with pytest.raises(InputError, match='gamma'):
            rmia_scores(score, shadows, keep, gamma=gamma)


def test_shadows_and_a_deletion_read_ones_and_zeros_as_a_mask():
    from dlcourse.privacy.shadows import Shadows
    from dlcourse.privacy.unlearning import newton_removal
    keep, y = torch.tensor([[True, False, True], [False, True, False]]), torch.tensor([0, 1, 0])
    logits = torch.randn(2, 3, 2, generator=torch.Generator().manual_seed(0))
    given = dict(logits=logits, y=y, targets=1)
    assert Shadows(keep=keep.int(), **given).accuracy() == Shadows(keep=keep, **given).accuracy()
    x, gone = np.random.default_rng(0).normal(size=(12, 2)), np.arange(12) % 5 == 1
    y = (x[:, 0] > 0).astype(int)
    np.testing.assert_array_equal(newton_removal(np.zeros(2), x, y, gone.astype(int), 1.),
                                  newton_removal(np.zeros(2), x, y, gone, 1.))


def test_a_model_that_knows_other_classes_is_refused():
    class Other:
        classes_ = [0, 1, 7]
        def predict_proba(self, x): return np.ones((len(x), 3))/3
    with pytest.raises(InputError, match='must know classes of `y` only'):
        audit_training(lambda *_: Other(), np.zeros((40, 2)), np.arange(40) % 2)
