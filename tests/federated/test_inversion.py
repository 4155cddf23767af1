"Pictures come back out of gradients, and do not where there is noise"
import pytest
import torch

from dlcourse.core.errors import InputError
from dlcourse.federated.inversion import (
    input_from_gradient,
    label_of,
    likeness,
    noisy_gradient,
    sent_gradient,
)
from dlcourse.federated.trust import input_of_first_layer
from dlcourse.training.zoo import mlp


def made(seed, activation='tanh'):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = mlp(16, 24, 5, activation=activation)
        x, y = torch.rand(1, 16), torch.tensor([seed % 5])
    return model, x, y, sent_gradient(model, x, y)


@pytest.mark.parametrize('seed', range(3))
def test_a_search_finds_the_input(seed):
    model, x, y, sent = made(seed)
    assert label_of(sent[-1]) == int(y)
    assert likeness(input_from_gradient(model, sent, y, (16,)), x) > .95


@pytest.mark.parametrize('seed', range(4))
def test_one_division_finds_it_too_also_after_clipping(seed):
    _, x, _, sent = made(seed, 'relu')
    for gradient in (sent, noisy_gradient(sent, .01)):
        torch.testing.assert_close(input_of_first_layer(*gradient[:2]), x[0], atol=1e-4, rtol=1e-3)


def test_noise_ends_it():
    like = []
    for seed in range(6):
        model, x, y, sent = made(seed)
        noisy = noisy_gradient(sent, 1., 1., torch.Generator().manual_seed(seed))
        like += [likeness(input_from_gradient(model, noisy, y, (16,)), x),
                 likeness(input_of_first_layer(*noisy[:2]), x)]
    assert sum(like)/len(like) < .35


def test_clipping_is_of_the_whole_vector():
    *_, sent = made(0)
    flat = torch.cat([g.flatten() for g in noisy_gradient(sent, .01)])
    assert float(flat.norm()) == pytest.approx(.01, rel=1e-4)
    for a, b in zip(noisy_gradient(sent, 1e6), sent, strict=True): torch.testing.assert_close(a, b)


def test_the_model_is_left_as_it_was():
    model, x, y, sent = made(1)
    before = [p.clone() for p in model.parameters()]
    found = [input_from_gradient(model, sent, y, (16,), steps=3) for _ in range(2)]
    assert torch.equal(*found)
    for a, b in zip(before, model.parameters(), strict=True):
        assert torch.equal(a, b) and b.grad is None


def test_odd_gradients():
    model, x, y, sent = made(1)
    with pytest.raises(InputError, match='shapes'): input_from_gradient(model, sent[1:], y, (16,))
    with pytest.raises(InputError, match='finite'):
        input_from_gradient(model, [s*float('nan') for s in sent], y, (16,))


def test_likeness():
    a = torch.rand(9)
    assert likeness(a, 3*a + 1) == pytest.approx(1, abs=1e-6)
    assert likeness(a, torch.ones(9)) == 0 and likeness(a, -a) == pytest.approx(-1, abs=1e-6)
