"Diffusion against Bayes, exact scores, and a straight line's own arithmetic"
import math

import pytest
import torch
from scipy.integrate import quad

from dlcourse.core.errors import InputError
from dlcourse.generative.denoisers import Denoiser
from dlcourse.generative.diffusion import (
    add_noise,
    check_signals,
    cosine_signal,
    ddim_step,
    digit_diffusion,
    draw_digits,
    exact_velocity,
    flow_loss,
    flow_pair,
    follow_,
    guided,
    inpaint,
    step_back,
    take_away,
    train_flow,
)
from dlcourse.generative.levels import LevelPart
from dlcourse.generative.mixtures import GaussianMixture
from dlcourse.generative.solvers import solve


def rng(seed=0): return torch.Generator().manual_seed(seed)


def hills():
    return GaussianMixture(torch.tensor([[-2.], [1.5]]).double(), .2, torch.tensor([1., 3]))


def few(n=40):
    levels = torch.randint(0, 17, (n, 64), generator=rng())
    return LevelPart(levels, torch.arange(n) % 10)


def test_signals_fall_from_one_and_never_reach_zero():
    for steps in (1, 10, 1000):
        signal = cosine_signal(steps)
        assert len(signal) == steps + 1 and signal[0] == 1 and 0 < signal[-1] < .0011
        assert (signal.diff() < 0).all()
    with pytest.raises(InputError, match='steps'): cosine_signal(0)


def test_a_jump_is_many_steps():
    signal, x = cosine_signal(20), torch.full((200_000, 1), 2., dtype=torch.float64)
    walked, g = x, rng()
    for a, b in zip(signal[:-1], signal[1:], strict=True):
        step = float(b/a)
        noise = torch.randn(x.shape, generator=g, dtype=x.dtype)
        walked = math.sqrt(step)*walked + math.sqrt(1 - step)*noise
        if b < .5: break
    jumped = add_noise(x, torch.randn(x.shape, generator=rng(1), dtype=x.dtype), b.expand(len(x)))
    assert float(walked.mean() - jumped.mean()) == pytest.approx(0, abs=.01)
    assert float(walked.std()/jumped.std()) == pytest.approx(1, abs=.01)


@pytest.mark.parametrize(('x0', 'x', 'a', 'b'), [(1., 0., .25, .5), (-2, 1.3, .1, .12),
                                                  (.7, .9, .8, .95), (2, -3, .01, .4)])
def test_the_step_back_is_bayes_rule(x0, x, a, b):
    def weight(v):
        prior = -(v - math.sqrt(b)*x0)**2/(2*(1 - b))
        return math.exp(prior - (x - math.sqrt(a/b)*v)**2/(2*(1 - a/b)))
    total = quad(weight, -12, 12, points=[0, x0, x], limit=400)[0]
    mean = quad(lambda v: v*weight(v), -12, 12, points=[0, x0, x], limit=400)[0]/total
    spread = quad(lambda v: (v - mean)**2*weight(v), -12, 12, points=[mean], limit=400)[0]/total
    got, variance = step_back(torch.tensor([[x0]]).double(), torch.tensor([[x]]).double(), a, b)
    assert float(got) == pytest.approx(mean, abs=1e-6)
    assert variance == pytest.approx(spread, abs=1e-6)


def test_full_noise_is_a_draw_from_the_step_back():
    x0, noise = torch.randn(3, 2, generator=rng()), torch.randn(3, 2, generator=rng(1))
    x = add_noise(x0, noise, torch.full((3,), .3))
    mean, variance = step_back(x0, x, .3, .6)
    z = torch.randn(x.shape, generator=rng(2))
    torch.testing.assert_close(ddim_step(x, noise, .3, .6, 1., rng(2)), mean + variance**.5*z)


@pytest.mark.parametrize('eta', [0., 1.])
def test_with_the_exact_guess_the_hills_come_out(eta):
    m = hills()
    def noise_of(x, a): return -math.sqrt(1 - a)*m.noised(math.sqrt(a), math.sqrt(1 - a)).score(x)
    start = torch.randn(4000, 1, generator=rng(), dtype=torch.float64)
    x = take_away(noise_of, start, cosine_signal(150).flip(0), eta, rng(1))
    assert float((x > 0).double().mean()) == pytest.approx(.75, abs=.03)
    assert float(x[x > 0].std()) == pytest.approx(.2, abs=.02)


def test_the_exact_velocity_is_the_mean_of_lines_and_carries_noise_to_the_hills():
    m, t = hills(), .6
    data, noise = m.sample(400_000, rng()), torch.randn(400_000, 1, generator=rng(1)).double()
    point, velocity = flow_pair(data, noise, torch.full((400_000,), t).double())
    for at in (-1., 0., .8):
        near = (point[:, 0] - at).abs() < .02
        want = float(velocity[near].mean())
        got = exact_velocity(m)(torch.tensor([[at]]).double(), t)
        assert float(got) == pytest.approx(want, abs=.1)
    x = solve(exact_velocity(m), noise[:4000], torch.linspace(0, 1, 60))
    assert float((x > 0).double().mean()) == pytest.approx(.75, abs=.03)


def test_guidance_by_one_is_the_class_as_learnt():
    model = Denoiser(4, width=8, depth=1, classes=3, seed=0)
    for p in model.parameters(): p.data = torch.randn(p.shape, generator=rng())
    x, y, t = torch.randn(5, 4, generator=rng()), torch.arange(5) % 3, torch.tensor(.4)
    torch.testing.assert_close(guided(model, x, t, y, 1.), model(x, t, y))
    torch.testing.assert_close(guided(model, x, t, y, 0.), model(x, t))


def test_the_running_mean_of_a_standing_model_is_the_model():
    mean, model = (Denoiser(2, width=4, depth=1, seed=s) for s in (0, 1))
    for _ in range(200): follow_(mean, model, .9)
    for a, b in zip(mean.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(a, b)


def test_training_is_repeatable_and_lowers_the_loss():
    part = few()
    (a, _), (b, last) = (train_flow(part, steps=40, width=32) for _ in range(2))
    x = draw_digits(a, part.labels[:3], rng(), steps=3)
    assert torch.equal(x, draw_digits(b, part.labels[:3], rng(), steps=3)) and x.shape == (3, 64)
    fresh = Denoiser(64, width=32)
    losses = [flow_loss(m, part.signed, part.labels, 512, rng(5)).item() for m in (fresh, last)]
    assert losses[1] < losses[0]


def test_the_artefact_is_kept(tmp_path):
    model, facts = digit_diffusion(tmp_path, steps=3)
    again, _ = digit_diffusion(tmp_path, steps=3)
    assert 'digit' in facts.title
    for a, b in zip(model.parameters(), again.parameters(), strict=True): assert torch.equal(a, b)


def test_filling_in_with_the_exact_velocity_finds_the_right_hill():
    m = GaussianMixture(torch.tensor([[-2., -2], [2, 2]]), .2)
    known = torch.tensor([[2., 0], [-2, 0]]).repeat(50, 1)
    visible = torch.tensor([True, False])
    x = inpaint(exact_velocity(m), known, visible, rng())
    assert ((x[:, 1] - known[:, 0]).abs() < 1).all() and torch.equal(x[:, 0], known[:, 0])


@pytest.mark.parametrize(('call', 'name'), [
    (lambda: check_signals(.5, .5), '`signal`'),
    (lambda: step_back(torch.ones(1, 1), torch.ones(1, 1), .5, 1.2), '`before`'),
    (lambda: ddim_step(torch.ones(1, 1), torch.ones(1, 1), 0., .2), '`signal`'),
    (lambda: take_away(lambda x, a: x, torch.ones(1, 1), [.5, .2, 1.]), '`signal`'),
    (lambda: take_away(lambda x, a: x, torch.ones(1, 1), [.1, .5]), '`signals` must rise to 1'),
    (lambda: take_away(lambda x, a: x, torch.ones(1, 1), []), '`signals` must rise to 1'),
    (lambda: draw_digits(Denoiser(64, width=4, depth=1), torch.tensor([11])), '`y`'),
    (lambda: draw_digits(Denoiser(64, width=4, depth=1), torch.tensor([1]), steps=0), 'steps'),
])
def test_what_cannot_be_is_named(call, name):
    with pytest.raises(InputError, match=name): call()
