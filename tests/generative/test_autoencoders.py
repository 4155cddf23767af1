"Bounds against quadrature, closed forms against torch, collapse and bad input"
import math

import pytest
import torch
from scipy.linalg import subspace_angles
from torch.distributions import Normal, kl_divergence

from dlcourse.core.errors import InputError
from dlcourse.generative.autoencoders import (
    LevelVAE,
    VAEConfig,
    digit_vae,
    importance_nats,
    kl_to_standard,
    level_log_probs,
    linear_autoencoder,
    log_weights,
    principal_angles,
    reparameterize,
    train_vae,
    vae_loss,
    vae_nats,
)
from dlcourse.generative.levels import digit_levels, level_nats


def generator(seed=0): return torch.Generator().manual_seed(seed)


def test_a_linear_autoencoder_spans_the_principal_components():
    x = digit_levels().train.signed.double()
    x = x - x.mean(0)
    plane = torch.linalg.svd(x, full_matrices=False).Vh[:10].T
    found = linear_autoencoder(x, 10, steps=600, seed=4)
    assert float(principal_angles(found, plane).max()) < 1e-3
    assert subspace_angles(found.numpy(), plane.numpy()).max() < 1e-3
    with pytest.raises(InputError, match='`width` must be a whole number from 1 to 64'):
        linear_autoencoder(x, 65)


def test_levels_of_a_logistic_sum_to_one_everywhere():
    mean = torch.linspace(-30, 50, 41)[:, None].expand(41, 3)
    scale = torch.tensor([.05, 1, 20]).expand(41, 3)
    p = level_log_probs(mean, scale).exp()
    torch.testing.assert_close(p.sum(-1), torch.ones(41, 3))
    assert float(p.min()) > .02/17 - 1e-6


def test_divergence_and_draws_are_torchs():
    mean, log_var = (torch.randn(5, 4, generator=generator(seed)) for seed in (0, 1))
    q = Normal(mean, (log_var/2).exp())
    torch.testing.assert_close(kl_to_standard(mean, log_var),
                               kl_divergence(q, Normal(0., 1.)).sum(-1))
    noise = torch.randn(7, 5, 4, generator=generator(2))
    torch.testing.assert_close(reparameterize(mean, log_var, noise), q.mean + q.stddev*noise)


def test_more_draws_come_down_to_the_truth_by_quadrature():
    parts = digit_levels()
    model, _ = train_vae(parts.train.levels, config=VAEConfig(latent=1, hidden=16), steps=200)
    levels = parts.test.levels[:3]
    z = torch.linspace(-9, 9, 4001)
    with torch.no_grad():
        joint = Normal(0., 1.).log_prob(z)[:, None] - level_nats(model.decode(z[:, None])[:, None],
                                                                levels)
    truth = -(joint.logsumexp(0) + math.log(float(z[1] - z[0])))
    means = [torch.stack([vae_nats(model, levels, k, seed)['iwae'] for seed in range(20)]).mean(0)
             for k in (1, 20, 500)]
    assert (means[0] >= means[1] - .05).all() and (means[1] >= means[2] - .05).all()
    assert (means[2] >= truth - .05).all()
    prior = torch.zeros(3, 1), torch.zeros(3, 1)
    with torch.no_grad(): weights = log_weights(model, levels, 20_000, generator(), prior)
    far = importance_nats(weights)
    torch.testing.assert_close(far, truth, atol=.1, rtol=0)
    nats = vae_nats(model, levels, 500)
    with torch.no_grad(): one = vae_loss(model, levels[:1].expand(2000, 64), generator())
    assert float(nats['elbo'][0]) == pytest.approx(float(one), abs=.3)


def test_one_draw_is_the_elbo_and_weights_may_be_tiny():
    w = torch.randn(1, 6, generator=generator()) - 2000
    torch.testing.assert_close(importance_nats(w), -w[0])
    assert torch.isfinite(importance_nats(torch.randn(9, 2) - 1e4)).all()


def test_training_learns_is_seeded_and_a_heavy_beta_collapses():
    parts = digit_levels()
    small = VAEConfig(hidden=64, dropout=0.)
    (a, seen), (b, _) = (train_vae(parts.train.levels, parts.val.levels, small, steps=100)
                         for _ in range(2))
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))
    assert seen[-1]['val'] < 125 and not a.training
    heavy, _ = train_vae(parts.train.levels, config=small, steps=150, beta=16)
    with torch.no_grad(): assert float(kl_to_standard(*heavy.encode(parts.val.levels)).mean()) < .3
    drawn = a.sample(5, generator())
    assert drawn.shape == (5, 64) and drawn.min() >= 0 and drawn.max() <= 16
    assert torch.equal(drawn, a.sample(5, generator()))


def test_a_picture_with_a_nan_has_no_likelihood():
    model, x = LevelVAE(VAEConfig(hidden=4)), torch.zeros(2, 64)
    x[0, 3] = torch.nan
    for ask in (lambda: vae_nats(model, x), lambda: model.encode(x),
                lambda: log_weights(model, x, 2, generator())):
        with pytest.raises(InputError, match='got nan in row 0, pixel 3'): ask()
    with pytest.raises(InputError, match='`beta` must be a number from 0'):
        train_vae(x, beta=-1)
    with pytest.raises(InputError, match='`latent` must be a whole number from 1'):
        VAEConfig(latent=0)


def test_the_trained_model_is_kept(tmp_path):
    model, card = digit_vae(tmp_path, steps=12)
    again, _ = digit_vae(tmp_path, steps=12)
    x = digit_levels().val.levels[:4]
    assert torch.equal(vae_nats(model, x)['iwae'], vae_nats(again, x)['iwae'])
    assert '12 steps from seed 0' in card.source and not model.training


@pytest.mark.parametrize('samples', [0, 2.5])
def test_a_bound_needs_a_draw(samples):
    with pytest.raises(InputError, match='`samples`'):
        vae_nats(LevelVAE(VAEConfig(hidden=4)), torch.zeros(2, 64), samples)


def test_a_linear_code_of_what_is_no_number_is_refused():
    x = torch.zeros(5, 3)
    x[1, 1] = torch.nan
    with pytest.raises(InputError, match='`x` must be finite'): linear_autoencoder(x, 2)
