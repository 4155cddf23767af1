"Losses, errors, thresholds and searches of the verifier against scikit-learn and loops"
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import roc_curve, top_k_accuracy_score

from dlcourse.core.errors import InputError
from dlcourse.training.checkpoints import digest
from dlcourse.vision.embedder import Embedder, EmbedderConfig
from dlcourse.vision.verification import (
    ArcFace,
    arcface_logits,
    cmc,
    contrastive_loss,
    equal_error_rate,
    error_rates,
    hard_triplet_loss,
    match_pairs,
    match_threshold,
    supervised_contrastive,
    turned_identities,
    verifier,
)


def directions(n, dim=5, seed=0):
    rng = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(n, dim, generator=rng, dtype=torch.float64)).requires_grad_()


def same(ours, theirs, e):
    torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-9)
    grads = (torch.autograd.grad(v.sum(), e, retain_graph=True)[0] for v in (ours, theirs))
    torch.testing.assert_close(*grads, rtol=1e-6, atol=1e-8)


def test_triplets_are_torchs_on_the_triplets_of_a_loop():
    e, who = directions(14), torch.arange(14) % 5
    far = (e[:, None] - e[None]).norm(dim=-1).detach()
    own, other = who[:, None] == who, who[:, None] != who
    p, n = (far*own).argmax(1), (far + 9*own).argmin(1)
    assert other[range(14), n].all()
    same(hard_triplet_loss(e, who, .3), F.triplet_margin_loss(e, e[p], e[n], margin=.3, eps=0), e)


def test_contrastive_is_torchs_hinge_on_every_pair():
    e, who = directions(10), torch.arange(10) % 3
    i, j = torch.triu_indices(10, 10, 1)
    d, alike = (e[i] - e[j]).norm(dim=1), who[i] == who[j]
    hinge = F.hinge_embedding_loss(d[~alike], -torch.ones_like(d[~alike]), margin=1.,
                                   reduction='none').square().mean()
    same(contrastive_loss(e, who), d[alike].square().mean() + hinge, e)


def test_arcface_turns_a_complex_number():
    cosine = (torch.rand(6, 4, generator=torch.Generator().manual_seed(0),
                         dtype=torch.float64)*1.8 - .9).requires_grad_()
    who = torch.arange(6) % 4
    number = torch.complex(cosine, (1 - cosine**2).sqrt())
    turn = torch.polar(*torch.tensor([1., .3], dtype=torch.float64))
    turned = (number*turn).real
    want = 20*torch.where(F.one_hot(who, 4).bool(), turned, cosine)
    got = arcface_logits(cosine, who, 20., .3)
    same(got, want, cosine)
    head = ArcFace(4, 5, margin=0.)
    e = directions(6).float()
    plain = F.cross_entropy(16*(e @ F.normalize(head.directions).T), who)
    torch.testing.assert_close(head(e, who), plain, rtol=1e-4, atol=1e-5)


def test_supervised_contrastive_by_a_loop():
    e, who, terms = directions(9), torch.arange(9) % 3, []
    for a in range(9):
        others = [i for i in range(9) if i != a]
        scores = 12*(e[others] @ e[a])
        terms += [-(scores.log_softmax(0)[k]) for k, i in enumerate(others) if who[i] == who[a]]
    same(supervised_contrastive(e, who), torch.stack(terms).mean(), e)


def test_errors_are_scikit_learns():
    rng = np.random.default_rng(0)
    one, two = np.round(rng.normal(1, 1, 300), 1), np.round(rng.normal(0, 1, 500), 1)
    fp, tp, t = roc_curve(np.r_[np.ones(300), np.zeros(500)], np.r_[one, two],
                          drop_intermediate=False)
    matched, missed = error_rates(one, two, t)
    assert np.allclose(matched, fp) and np.allclose(missed, 1 - tp)
    at = len(fp) - 1 - np.abs(fp - 1 + tp)[::-1].argmin()
    assert equal_error_rate(one, two) == pytest.approx((fp[at] + 1 - tp[at])/2)
    t = match_threshold(two, .05)
    assert (two >= t).mean() <= .05 < (two >= t - .1).mean()


def test_search_is_scikit_learns():
    rng = np.random.default_rng(1)
    scores, who = rng.normal(size=(50, 8)), rng.integers(8, size=50)
    curve = cmc(scores, who, np.arange(8))
    for k in (1, 3, 7):
        want = top_k_accuracy_score(who, scores, k=k, labels=np.arange(8))
        assert curve[k - 1] == pytest.approx(want)


def test_quarter_turns_are_identities_of_their_own():
    x, who = turned_identities(torch.arange(8.).view(2, 1, 2, 2), [0, 1])
    assert who.tolist() == [0, 1, 2, 3, 4, 5, 6, 7] and len(x) == 8
    assert torch.equal(x[2, 0], torch.rot90(x[0, 0]))


def test_the_verifier_is_made_once_compares_and_refuses(tmp_path):
    model, card = verifier(tmp_path, steps=2)
    again, _ = verifier(tmp_path, steps=2)
    assert digest(model) == digest(again)
    assert '2 steps from seed 0' in card.source and 'Equal error rate 0.' in card.results[0].claim
    x = torch.rand(3, 1, 8, 8)
    assert match_pairs(model, x, x, .999).all()
    with pytest.raises(InputError, match='`data` must be digits or omniglot'):
        verifier(tmp_path, data='faces')


def test_bad_input_is_named():
    model, x = Embedder(EmbedderConfig(width=2)), torch.rand(2, 1, 8, 8)
    for threshold in (1.5, -2, float('nan')):
        with pytest.raises(InputError, match='`threshold` must be a cosine, from −1 to 1'):
            match_pairs(model, x, x, threshold)
    with pytest.raises(InputError, match='`x` must have 1 channels, got 3'):
        match_pairs(model, x.expand(-1, 3, -1, -1), x, .5)
    with pytest.raises(InputError, match='`rate` must be from 0 to 1'):
        match_threshold(np.ones(3), 1.1)
    with pytest.raises(InputError, match='must hold scores, and no NaN'):
        error_rates([], [1.], [0.])
    with pytest.raises(InputError, match='must hold scores, and no NaN'):
        error_rates([.5], [np.nan, .1], [0.])
    with pytest.raises(InputError, match='`gallery` has no image of 7'):
        cmc(np.ones((1, 2)), np.array([7]), np.array([0, 1]))
