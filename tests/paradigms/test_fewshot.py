"Few shots: prototypes against scikit-learn, gradients against autograd, episodes that are fair"
import numpy as np
import pytest
import torch
from sklearn.linear_model import LinearRegression
from sklearn.naive_bayes import BernoulliNB
from sklearn.neighbors import NearestCentroid

from dlcourse.core.errors import InputError
from dlcourse.paradigms.fewshot import (
    attribute_scores,
    episode,
    episode_accuracy,
    inner_step,
    made_characters,
    many_mlps,
    matching_probabilities,
    prototype_logits,
    prototype_loss,
    start_mlps,
    waves,
)


def rng(seed=0): return torch.Generator().manual_seed(seed)


def test_the_nearest_prototype_is_the_nearest_centroid():
    s, q, way = torch.randn(20, 4, generator=rng()), torch.randn(30, 4, generator=rng(1)), \
        torch.arange(20) % 4
    want = NearestCentroid().fit(s.numpy(), way.numpy()).predict(q.numpy())
    assert prototype_logits(s, way, q, 4).argmax(1).tolist() == want.tolist()


def test_an_episode_has_its_numbers_and_no_row_twice():
    y = torch.arange(60) % 6
    one = episode(y, 4, 3, 5, rng())
    assert (len(one.support), len(one.query)) == (12, 20)
    assert len(torch.cat([one.support, one.query]).unique()) == 32
    for rows, way in ((one.support, one.support_way), (one.query, one.query_way)):
        assert len({(int(y[r]), int(w)) for r, w in zip(rows, way, strict=True)}) == 4
    again = episode(y, 4, 3, 5, rng())
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))


def test_a_class_with_fewer_than_shots_and_queries():
    with pytest.raises(InputError, match='`shots` and `queries` together.*class 1'):
        episode(torch.tensor([0, 0, 0, 1]), 2, 1, 1, rng())
    for bad in ((7, 1, 1), (0, 1, 1), (2, 0, 1), (2, 1, 0)):
        with pytest.raises(InputError): episode(torch.arange(12) % 6, *bad, rng())
    with pytest.raises(InputError, match='no example of 1'):
        prototype_logits(torch.ones(2, 2), torch.tensor([0, 2]), torch.ones(1, 2), 3)
    with pytest.raises(InputError, match='twice or more'):
        prototype_loss(torch.randn(3, 2), torch.tensor([0, 0, 1]))
    with pytest.raises(InputError, match='`drawings`'): made_characters(2, 0, rng())


def test_a_batch_leaves_each_image_out_of_its_own_prototype():
    e, who = torch.randn(9, 3, generator=rng()), torch.tensor([5, 5, 5, 2, 2, 7, 7, 7, 7])
    ids, want = who.unique(), []
    for i in range(9):
        kept = torch.arange(9) != i
        means = torch.stack([e[kept & (who == c)].mean(0) for c in ids])
        logits = -2.*((e[i] - means)**2).sum(1)
        want.append(-logits.log_softmax(0)[(ids == who[i]).nonzero()[0, 0]])
    torch.testing.assert_close(prototype_loss(e, who, 2.), torch.stack(want).mean(), rtol=1e-4,
                               atol=1e-5)


def test_matching_with_one_shot_is_a_softmax_of_cosines():
    s, q = torch.randn(5, 4, generator=rng()), torch.randn(3, 4, generator=rng(1))
    cosine = torch.nn.functional.cosine_similarity(q[:, None], s[None], dim=-1)
    got = matching_probabilities(s, torch.arange(5), q, 5)
    torch.testing.assert_close(got, (12*cosine).softmax(1))


def test_second_derivatives_pass_gradcheck():
    def after(w, b):
        def loss(p): return ((p['w']*p['b']).sin() + p['w']**2).sum()
        new = inner_step(dict(w=w, b=b), loss, .1)
        return (new['w']*new['b']).sum()
    w, b = (torch.randn(3, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(after, (w, b))


def test_tasks_side_by_side_are_tasks_one_by_one():
    params = start_mlps((1, 8, 8, 1), rng())
    x, y = waves(4, 6, rng(1))
    def loss_on(x, y): return lambda p: ((many_mlps(p, x) - y)**2).mean((1, 2)).sum()
    together = inner_step({k: p.expand(4, -1, -1) for k, p in params.items()}, loss_on(x, y), .05)
    for i in range(4):
        alone = inner_step(params, loss_on(x[i:i + 1], y[i:i + 1]), .05)
        for k in params:
            torch.testing.assert_close(together[k][i:i + 1], alone[k], rtol=1e-4, atol=1e-5)


def test_waves_are_waves():
    x, y = waves(5, 40, rng())
    for a, b in zip(x.numpy(), y.numpy(), strict=True):
        basis = np.c_[np.sin(a), np.cos(a)]
        fit = LinearRegression(fit_intercept=False).fit(basis, b)
        assert fit.score(basis, b) > 1 - 1e-6
    assert x.abs().max() <= 5 and y.abs().max() <= 5


def test_scores_of_attributes_are_those_of_naive_bayes():
    s = (torch.rand(3, 6, generator=rng()) > .5).double()
    p = torch.rand(4, 6, generator=rng(1), dtype=torch.float64)
    model = BernoulliNB(fit_prior=False).fit(np.eye(6)[:4], np.arange(4))
    model.feature_log_prob_ = p.log().numpy() # One class for each row of probabilities
    want = model._joint_log_likelihood(s.numpy()) - model.class_log_prior_
    np.testing.assert_allclose(attribute_scores(p, s).numpy(), want.T, rtol=1e-6)


def test_characters_differ_more_than_drawings_and_lean():
    x, y = made_characters(30, 8, rng())
    assert x.shape == (240, 1, 16, 16) and 0 <= x.min() and x.max() <= 1
    assert episode_accuracy(x.flatten(1), y, 5, 1, 50) > .5 # Chance is .2
    still, _ = made_characters(3, 4, rng(), wobble=0., slant=0.)
    torch.testing.assert_close(still[0], still[3])
    leaning, _ = made_characters(3, 4, rng(), wobble=0., slant=0., lean=.5)
    assert (leaning[0] - still[0]).abs().max() > .3


def test_characters_in_parts_are_those_at_once():
    x, y = made_characters(300, 2, rng(), side=6) # More than a part holds
    assert x.shape == (600, 1, 6, 6) and 0 <= x.min() and torch.equal(y, torch.arange(600)//2)
    torch.testing.assert_close(x.amax((1, 2, 3)), torch.ones(600), atol=.5, rtol=0)


def test_episodes_of_lists_and_of_what_is_none():
    assert episode([0, 0, 1, 1], 2, 1, 1, rng()).support.shape == (2,)
    e, y = torch.randn(60, 4, generator=rng()), torch.arange(60) % 4
    for bad, name in (((e, y, 2, 1, 0), '`episodes`'), ((e*torch.nan, y, 2, 1), '`e`'),
                      ((e, y[:40], 2, 1), '`e`')):
        with pytest.raises(InputError, match=name): episode_accuracy(*bad)
