"CTC in batches against torch and all paths, edit distance, the network that emits"
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcourse.core.errors import InputError
from dlcourse.sequences.ctc import (
    EVERY,
    SPAN,
    Recognizer,
    RecognizerConfig,
    ctc_loss,
    edit_distance,
    exhaustive,
    occupancy,
)


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(2, 6), st.integers(0, 5))
def test_values_and_gradients_are_torchs(seed, time, vocab, most):
    g = torch.Generator().manual_seed(seed)
    batch, blank = 3, seed % vocab
    logits = torch.randn(time, batch, vocab, generator=g, dtype=torch.float64, requires_grad=True)
    symbols = torch.tensor([s for s in range(vocab) if s != blank])
    targets = symbols[torch.randint(len(symbols), (batch, most), generator=g)]
    inputs = torch.randint(1, time + 1, (batch,), generator=g)
    lengths = torch.randint(0, most + 1, (batch,), generator=g)
    ours = ctc_loss(logits.log_softmax(-1), targets, inputs, lengths, blank)
    theirs = F.ctc_loss(logits.log_softmax(-1), targets, inputs, lengths, blank, 'none')
    torch.testing.assert_close(ours, theirs)
    finite = theirs.isfinite()
    if not finite.any(): return
    grads = [torch.autograd.grad(v[finite].sum(), logits)[0] for v in (ours, theirs)]
    torch.testing.assert_close(*(v[:, finite] for v in grads), atol=1e-9, rtol=1e-6)


def test_gradient_is_that_of_differences():
    x = torch.randn(6, 2, 4, dtype=torch.float64, requires_grad=True)
    rest = (torch.tensor([[1, 1], [2, 3]]), torch.tensor([6, 5]), torch.tensor([2, 2]))
    assert torch.autograd.gradcheck(lambda v: ctc_loss(v.log_softmax(-1), *rest), x)


def test_a_target_that_cannot_be_is_infinite_without_a_gradient():
    x = torch.randn(2, 1, 3, requires_grad=True)
    loss = ctc_loss(x.log_softmax(-1), torch.tensor([[1, 1]]), torch.tensor([2]),
                    torch.tensor([2]))
    grad, = torch.autograd.grad(loss.sum(), x)
    assert loss.isinf().all() and not grad.any()


def test_occupancy_adds_up_where_time_is_real():
    p = torch.randn(5, 2, 4, dtype=torch.float64).log_softmax(-1)
    found, total = occupancy(p, torch.tensor([[1, 2], [3, 3]]), torch.tensor([5, 3]),
                             torch.tensor([2, 2]))
    torch.testing.assert_close(found.sum(-1).T, torch.tensor([[1.]*5, [1.]*3 + [0.]*2]).double())
    assert total[0].exp().item() == pytest.approx(exhaustive(p[:, 0])[1, 2])


def test_all_answers_are_all_probability():
    p = torch.randn(5, 4, dtype=torch.float64).log_softmax(-1)
    answers = exhaustive(p, blank=2)
    assert sum(answers.values()) == pytest.approx(1)
    assert list(answers.values()) == sorted(answers.values(), reverse=True)
    assert not any(2 in a for a in answers)
    with pytest.raises(InputError, match='no NaN'): exhaustive(torch.full((2, 3), np.nan))
    with pytest.raises(InputError, match='a million is the most'): exhaustive(torch.zeros(30, 4))
    with pytest.raises(InputError, match='must be .time, vocab.'):
        exhaustive(torch.zeros(3, 1, 4))


@given(st.text('abc', max_size=7), st.text('abc', max_size=7), st.text('abc', max_size=7))
def test_distance_is_a_distance(a, b, c):
    assert edit_distance(a, b) == edit_distance(b, a)
    assert (edit_distance(a, b) == 0) == (a == b)
    assert edit_distance(a, c) <= edit_distance(a, b) + edit_distance(b, c)
    assert abs(len(a) - len(b)) <= edit_distance(a, b) <= max(len(a), len(b))


def test_known_distances():
    assert edit_distance('kitten', 'sitting') == 3 and edit_distance([], [1, 2]) == 2


def test_a_string_is_heard_the_same_alone_and_in_a_batch():
    model = Recognizer(RecognizerConfig(mels=5, channels=6, hidden=4)).eval()
    x = torch.randn(3, 50, 5)
    frames = torch.tensor([50, 31, 1])
    for i, n in enumerate(frames): x[i, n:] = 0
    both, places, _ = model(x, frames)
    for i, n in enumerate(frames.tolist()):
        alone, k, _ = model(x[i:i + 1, :n])
        assert k == places[i]
        torch.testing.assert_close(both[:k, i], alone[:, 0], atol=1e-5, rtol=1e-4)


def test_forward_only_needs_a_whole_place():
    model = Recognizer(RecognizerConfig(mels=5, both_ways=False)).eval()
    assert len(model(torch.zeros(1, SPAN + EVERY, 5))[0]) == 2
    with pytest.raises(InputError, match='`x` must have 13 frames or more, got 12'):
        model(torch.zeros(1, SPAN - 1, 5))


@pytest.mark.parametrize('shape', [(2, 20, 4), (20, 5), (0, 20, 5)])
def test_frames_are_as_wide_as_was_said(shape):
    with pytest.raises(InputError, match='`x` must be .batch, frame, 5.; got'):
        Recognizer(RecognizerConfig(mels=5))(torch.zeros(shape))


@pytest.mark.parametrize('frames', [[20], [21, 20], [20., 19.]])
def test_frames_are_those_of_the_batch(frames):
    model = Recognizer(RecognizerConfig(mels=5)).eval()
    with pytest.raises(InputError, match='`frames` must be 2 whole numbers up to 20'):
        model(torch.zeros(2, 20, 5), torch.tensor(frames))
    with pytest.raises(InputError, match='2 whole numbers'): model(torch.zeros(2, 20, 5), frames)
    assert model(torch.zeros(2, 20, 5), [20, 19])[1].tolist() == [5, 5]


def test_a_second_gradient_is_refused():
    p = torch.zeros(4, 1, 3, requires_grad=True)
    def loss(p): return ctc_loss(p.log_softmax(-1), torch.ones(1, 1, dtype=torch.long),
                                 torch.tensor([4]), torch.tensor([1])).sum()
    with pytest.raises(InputError, match='no second gradient'):
        torch.autograd.grad(loss(p), p, create_graph=True)
    assert torch.autograd.grad(loss(p), p)[0].abs().sum() > 0


def test_lengths_may_be_tuples_as_in_torch():
    p = torch.randn(4, 1, 3).log_softmax(-1)
    want = F.ctc_loss(p, torch.tensor([[1, 2]]), (4,), (2,), reduction='none')
    torch.testing.assert_close(ctc_loss(p, [[1, 2]], (4,), (2,)), want)


def test_bad_input_is_named():
    p = torch.zeros(4, 1, 3).log_softmax(-1)
    def loss(targets=((1,),), inputs=4, lengths=1, p=p, blank=0):
        return ctc_loss(p, torch.tensor(targets), torch.tensor([inputs]),
                        torch.tensor([lengths]), blank)
    for change, text in ((dict(targets=[[3]]), '`targets` must be symbols from 0 to 2'),
                         (dict(targets=[[0]]), 'not the blank 0; got 0'),
                         (dict(targets=[[-1]]), '`targets` must be'),
                         (dict(inputs=5), '`input_lengths` must be from 1 to 4'),
                         (dict(inputs=0), '`input_lengths`'),
                         (dict(lengths=2), '`target_lengths` must be from 0 to 1'),
                         (dict(targets=[1]), '`targets` must be whole numbers, .1, most.'),
                         (dict(targets=[[1.]]), '`targets` must be whole numbers'),
                         (dict(targets=[[1], [1]]), '`targets` must be whole numbers'),
                         (dict(p=p + np.inf), 'or a number above 0'), (dict(p=p + 2), 'above 0'),
                         (dict(p=p[0]), '.time, batch, vocab.'), (dict(p=p.half()), 'float16'),
                         (dict(inputs=3.5), 'must be whole numbers'),
                         (dict(p=p*np.nan), 'got NaN'), (dict(blank=3), '`blank`')):
        with pytest.raises(InputError, match=text): loss(**change)
    for change in (dict(symbols=1), dict(dropout=2.), dict(hidden=0)):
        with pytest.raises(InputError): RecognizerConfig(**change)
