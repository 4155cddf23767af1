"Shadow models: halves, equality with a plain loop, clipped gradients against autograd, bad input"
import pytest
import torch
from torch.nn import functional as F

from dlcourse.core.datasets import load
from dlcourse.core.errors import InputError
from dlcourse.privacy.shadows import (
    clipped_sums,
    fit_shadows,
    half_masks,
    private_perceptrons,
    with_one,
)
from dlcourse.training.zoo import mlp


def digits(rows=300, dtype=torch.float32):
    (x, y), *_ = load('digits', split='writer').tensors()
    return x[:rows].to(dtype), y[:rows]


def test_every_row_is_in_half_of_the_pairs_and_every_model_sees_half():
    keep = half_masks(64, 101, 3, paired=True)
    assert (keep.sum(0) == 32).all() and (keep[::2].sum(1) == 50).all()
    assert (keep[1::2] == ~keep[::2]).all()
    alone = half_masks(2000, 10)
    assert (alone.sum(1) == 5).all()
    assert (alone.double().mean(0) - .5).abs().max() < .05
    assert not torch.equal(half_masks(4, 10, 0), half_masks(4, 10, 1))


def test_models_are_those_of_a_plain_loop():
    "In float64, for float32 can tip a ReLU over its corner"
    x, y = digits(200, torch.float64)
    def make(): return mlp(64, 8, 10).double()
    found = fit_shadows(make, (x, y), targets=1, shadows=4, how='stacked', seed=2, epochs=3,
                        optimizer='sgd', lr=.1, momentum=.9, batch_size=16)
    for k in range(5):
        seed, own = 2_000_006 + k, found.keep[k].nonzero()[:, 0]
        torch.manual_seed(seed)
        model, order = make(), torch.Generator().manual_seed(seed)
        optimizer = torch.optim.SGD(model.parameters(), lr=.1, momentum=.9)
        for _ in range(3):
            for rows in own[torch.randperm(len(own), generator=order)].split(16):
                optimizer.zero_grad()
                F.cross_entropy(model(x[rows]), y[rows]).backward()
                optimizer.step()
        torch.testing.assert_close(found.logits[k], model(x).detach(), rtol=0, atol=1e-9)


def test_accuracy_is_of_rows_seen_and_of_others():
    found = fit_shadows(lambda: mlp(64, 32, 10), digits(), shadows=2, how='stacked', epochs=60,
                        optimizer='sgd', lr=.1, momentum=.9)
    seen, new = found.accuracy()
    assert seen == 1 and .7 < new < 1


def test_clipped_sums_are_a_loop_over_rows():
    x, y = digits(12, torch.float64)
    weights = [torch.randn(1, 65, 5, dtype=torch.float64), torch.randn(1, 6, 10).double()]
    for clip in (.5, 3., 1e9):
        want = [torch.zeros_like(w) for w in weights]
        for row, label in zip(x, y, strict=True):
            leaves = [w.clone().requires_grad_() for w in weights]
            out = with_one((with_one(row[None]) @ leaves[0]).tanh()) @ leaves[1]
            grads = torch.autograd.grad(F.cross_entropy(out[0], label[None]), leaves)
            length = sum((g**2).sum() for g in grads).sqrt()
            for total, g in zip(want, grads, strict=True): total += g*min(1, clip/length)
        got = clipped_sums(weights, with_one(x)[None], F.one_hot(y, 10).double()[None], clip)
        for a, b in zip(got, want, strict=True): torch.testing.assert_close(a, b)


def test_noise_costs_accuracy_and_a_seed_gives_the_same_again():
    x, y = digits(400)
    keep = half_masks(4, 400)
    def run(noise, seed=0):
        return private_perceptrons(x, y, keep, noise_multiplier=noise, steps=30, seed=seed)
    clean, noisy = run(0.), run(30.)
    right = [(z.argmax(-1) == y)[keep].double().mean() for z in (clean, noisy)]
    assert right[0] > .9 > .7 > right[1]
    assert torch.equal(noisy, run(30.)) and not torch.equal(noisy, run(30., 1))


def test_bad_input_is_said():
    x, y = digits(20)
    def make(): return mlp(64, 8, 10)
    with pytest.raises(InputError, match='models'): half_masks(3, 10, paired=True)
    with pytest.raises(InputError, match='rows'): half_masks(2, 1)
    with pytest.raises(InputError, match='`shadows` must'): fit_shadows(make, (x, y), shadows=5)
    with pytest.raises(InputError, match='targets'): fit_shadows(make, (x, y), targets=0)
    with pytest.raises(InputError, match='whole numbers'): fit_shadows(make, (x, y.float()))
