"The split by writer, errors for what is no level, and counts against a plain loop"
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcourse.core.datasets import load
from dlcourse.core.errors import InputError
from dlcourse.generative.levels import (
    bits_per_dimension,
    checked_levels,
    dequantize,
    digit_levels,
    fit_levels,
    histogram_log_probs,
    histogram_nats,
    level_nats,
    requantize,
    signed,
)


def test_every_digit_is_in_one_part_and_no_sheet_in_two():
    data = load('digits')
    rows = {tuple(x.tolist()): int(w) for x, w in
            zip(data['images'].reshape(-1, 64), data['writers'], strict=True)}
    for seed in (0, 3):
        parts = digit_levels(seed)
        sheets = [{rows[tuple(x.tolist())] for x in part.levels} for part in
                  (parts.train, parts.val, parts.test)]
        assert [len(s) for s in sheets] == [9, 2, 3]
        assert len(set.union(*sheets)) == 14
        assert len(parts.train) + len(parts.val) + len(parts.test) == 1797
    assert not torch.equal(digit_levels(3).test.levels[:50], digit_levels().test.levels[:50])
    with pytest.raises(InputError, match='`seed` must be a whole number from 0'):
        digit_levels(-1)


@pytest.mark.parametrize('bad', [math.nan, -1., 17., .5, math.inf])
def test_what_is_no_level_is_named_with_its_place(bad):
    x = torch.zeros(3, 64)
    x[1, 7] = bad
    with pytest.raises(InputError, match=r'whole numbers from 0 to 16, got .* row 1, pixel 7'):
        checked_levels(x)
    with pytest.raises(InputError, match='`test` must be whole numbers'):
        histogram_nats(torch.zeros(2, 64), x)


def test_other_shapes_are_refused():
    for shape in ((64,), (2, 8, 8), (2, 63)):
        with pytest.raises(InputError, match='pictures of 64 pixels'):
            checked_levels(torch.zeros(shape))
    assert checked_levels(np.full((1, 64), 16.)).dtype is torch.long


def test_a_histogram_counts_as_a_loop_does():
    parts = digit_levels()
    train, test = parts.train.levels[:40], parts.test.levels[:9]
    total = 0.
    for x in test:
        for j in range(64):
            seen = sum(int(row[j] == x[j]) for row in train)
            total -= math.log((seen + .5)/(40 + 17*.5))
    assert histogram_nats(train, test, .5) == pytest.approx(total/9, rel=1e-5)
    assert torch.allclose(histogram_log_probs(train).exp().sum(1), torch.ones(64))
    assert 105 < histogram_nats(parts.train.levels, parts.test.levels) < 107
    with pytest.raises(InputError, match='`count` must be above 0'):
        histogram_nats(train, test, 0)


def test_uniform_levels_need_log_17():
    flat = torch.full((64, 17), -math.log(17))
    nats = level_nats(flat.expand(5, 64, 17), torch.randint(0, 17, (5, 64)))
    assert torch.allclose(nats, torch.full((5,), 64*math.log(17)))
    assert bits_per_dimension(64*math.log(17)) == pytest.approx(math.log2(17))
    with pytest.raises(InputError, match='`dims`'):
        bits_per_dimension(1., 0)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_dequantized_levels_come_back(seed):
    g = torch.Generator().manual_seed(seed)
    levels = torch.randint(0, 17, (6, 64), generator=g)
    x = dequantize(levels, g)
    assert 0 <= float(x.min()) and float(x.max()) < 1
    assert torch.equal(requantize(x), levels)


def test_the_largest_uniform_number_stays_in_its_level(monkeypatch):
    levels = torch.arange(17).repeat(64)[:17*64].reshape(-1, 64)
    monkeypatch.setattr(torch, 'rand', lambda shape, generator: torch.full(shape, 1 - 2**-24))
    x = dequantize(levels, None)
    assert float(x.max()) < 1 and torch.equal(requantize(x), levels)


def test_numbers_beyond_the_ends_and_nan():
    assert requantize(torch.tensor([[-3., 0, 1, 9]])).tolist() == [[0, 0, 16, 16]]
    with pytest.raises(InputError, match='1 that are NaN or infinite'):
        requantize(torch.tensor([[math.nan, 0.]]))


def test_signed():
    assert signed(torch.tensor([0, 8, 16])).tolist() == [-1, 0, 1]
    part = digit_levels().val
    assert part.signed.shape == (len(part), 64)
    assert float(part.signed.min()) == -1


def test_the_best_look_is_kept_and_chance_comes_from_the_seed():
    parts = digit_levels()

    class Table(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.logits = torch.nn.Parameter(torch.randn(64, 17)/10)

    def nats(model, levels): return level_nats(model.logits.log_softmax(-1), levels).mean()
    def judge(model, levels): return float(nats(model, levels).detach())
    def train(seed, **more):
        return fit_levels(Table, lambda m, x, g: nats(m, x), judge, parts.train.levels,
                          parts.val.levels, seed=seed, steps=120, lr=.1, every=40, **more)
    state = torch.random.get_rng_state()
    (a, seen), (b, _), (c, _) = train(0), train(0), train(1)
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.equal(a.logits, b.logits) and not torch.equal(a.logits, c.logits)
    assert [row['step'] for row in seen] == [40, 80, 120]
    assert judge(a, parts.val.levels) == pytest.approx(min(row['val'] for row in seen))
    assert not a.training
    with pytest.raises(InputError, match='`train` must be whole numbers'):
        fit_levels(Table, None, None, parts.train.levels + .5)


@pytest.mark.parametrize(('more', 'said'), [
    (dict(steps=0), '`steps`'), (dict(steps=-3), '`steps`'), (dict(batch=0), '`batch`'),
    (dict(every=0), '`every`'), (dict(lr=math.inf), 'the loss is .* lower `lr`')])
def test_a_training_that_cannot_be_is_refused(more, said):
    levels = digit_levels().train.levels[:20]
    def make(): return torch.nn.Linear(64, 1)
    def loss(model, x, g): return model(x.float()).square().mean()
    with pytest.raises(InputError, match=said):
        fit_levels(make, loss, lambda m, x: 0., levels, **dict(steps=3) | more)
