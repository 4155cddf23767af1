"Cells and sequences against torch's own, truncation, the start of gates, tasks, errors"
import math

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from oracles import same_as_torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from dlcourse.core.errors import InputError
from dlcourse.sequences.recurrent import (
    GATES,
    MemoryNet,
    Recurrent,
    Weights,
    adding_batch,
    chrono_,
    copy_batch,
    cut_off,
    gradient_flow,
    gru_cell,
    hidden_for,
    last_outputs,
    lstm_cell,
    rnn_cell,
    train_memory,
    truncated_backward,
)
from dlcourse.training.zoo import count_parameters

few = hypothesis_settings(max_examples=25, deadline=None)
sizes = st.integers(1, 6)


def twins(kind, inputs, hidden, seed=0, dtype=torch.float64):
    "Ours and torch's, with one set of weights"
    torch.manual_seed(seed)
    ours = Recurrent(kind, inputs, hidden).to(dtype)
    theirs = getattr(nn, kind)(inputs, hidden, batch_first=True, dtype=dtype)
    theirs.load_state_dict(ours.state_dict())
    return ours, theirs


def states(kind, state): return list(state) if kind == 'LSTM' else [state]


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32])
@pytest.mark.parametrize('kind', GATES)
def test_cells_are_torchs_in_values_and_gradients(kind, dtype):
    torch.manual_seed(0)
    theirs = getattr(nn, f'{kind}Cell')(3, 5, dtype=dtype)
    weights = [p.detach() for p in theirs.parameters()]
    x, h, c = (torch.randn(4, n, dtype=dtype) for n in (3, 5, 5))
    oracle = {'RNN': torch.rnn_tanh_cell, 'GRU': torch.gru_cell}
    if kind == 'LSTM':
        same_as_torch(lambda x, h, c, *w: lstm_cell(x, h, c, Weights(*w)),
                      lambda x, h, c, *w: torch.lstm_cell(x, (h, c), *w), x, h, c, *weights,
                      atol=1e-5)
    else:
        ours = {'RNN': rnn_cell, 'GRU': gru_cell}[kind]
        same_as_torch(lambda x, h, *w: ours(x, h, Weights(*w)), oracle[kind], x, h, *weights,
                      atol=1e-5)


@few
@given(st.sampled_from(list(GATES)), sizes, sizes, sizes, st.data())
def test_packed_sequences_are_torchs_in_values_and_gradients(kind, batch, inputs, hidden, data):
    lengths = torch.tensor(data.draw(st.lists(st.integers(1, 7), min_size=batch, max_size=batch)))
    ours, theirs = twins(kind, inputs, hidden, data.draw(st.integers(0, 99)))
    x = torch.randn(batch, int(lengths.max()), inputs, dtype=torch.float64)
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    y, state = theirs(packed)
    want = [pad_packed_sequence(y, batch_first=True)[0], *(s[0] for s in states(kind, state))]
    y, state = ours(x, lengths=lengths)
    got = [y, *state]
    sent = [torch.randn_like(t) for t in want]
    for a, b in zip(got, want, strict=True): torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
    gradients = [torch.autograd.grad(out, list(m.parameters()), sent)
                 for out, m in ((got, ours), (want, theirs))]
    for a, b in zip(*gradients, strict=True): torch.testing.assert_close(a, b, rtol=0, atol=1e-11)
    torch.testing.assert_close(last_outputs(y, lengths), state[0])


@pytest.mark.parametrize('kind', GATES)
def test_a_state_goes_on_where_it_was(kind):
    ours, theirs = twins(kind, 2, 4)
    x = torch.randn(3, 9, 2, dtype=torch.float64)
    whole, end = ours(x)
    first, state = ours(x[:, :4])
    second, last = ours(x[:, 4:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole)
    for a, b in zip(last, end, strict=True): torch.testing.assert_close(a, b)
    torch.testing.assert_close(theirs(x)[0], whole)


@pytest.mark.parametrize('kind', GATES)
def test_what_fills_up_takes_no_part(kind):
    ours, _ = twins(kind, 2, 4)
    x, lengths = torch.randn(2, 6, 2, dtype=torch.float64), torch.tensor([6, 2])
    other = x.clone()
    other[1, 2:] = 99.
    for a, b in zip(ours(x, lengths=lengths)[1], ours(other, lengths=lengths)[1], strict=True):
        assert torch.equal(a, b)
    assert (ours(other, lengths=lengths)[0][1, 2:] == 0).all()


# Truncation

class Reader(nn.Module):
    "torch's own recurrent part, whose state is a tensor or a pair"
    def __init__(self, kind):
        super().__init__()
        self.rnn, self.head = getattr(nn, kind)(2, 3, batch_first=True), nn.Linear(3, 1)

    def forward(self, x, state):
        y, state = self.rnn(x, state)
        return self.head(y), state


@pytest.mark.parametrize('kind', GATES)
def test_one_piece_is_the_whole_gradient_and_pieces_are_the_same_loss(kind):
    torch.manual_seed(0)
    model = Reader(kind).double()
    x, y = torch.randn(4, 11, 2, dtype=torch.float64), torch.randn(4, 11, 1, dtype=torch.float64)
    loss = nn.functional.mse_loss(model(x, None)[0], y)
    want = torch.autograd.grad(loss, list(model.parameters()))
    for piece in (11, 40):
        model.zero_grad()
        got = truncated_backward(model, x, y, nn.functional.mse_loss, piece)
        torch.testing.assert_close(got.double(), loss.detach(), rtol=1e-6, atol=0)
        for p, g in zip(model.parameters(), want, strict=True):
            torch.testing.assert_close(p.grad, g)
    for piece in (1, 4, 10):
        got = truncated_backward(model, x, y, nn.functional.mse_loss, piece)
        torch.testing.assert_close(got.double(), loss.detach(), rtol=1e-6, atol=0)


def test_no_gradient_crosses_a_border():
    torch.manual_seed(0)
    model, x = Reader('LSTM').double(), torch.randn(1, 6, 2, dtype=torch.float64)
    x.requires_grad_()
    def last_only(p, y): return p[:, -1].sum()
    truncated_backward(model, x[:, :6], torch.zeros(1, 6, 1), last_only, 3)
    assert x.grad.abs().amin() > 0
    x.grad = None
    truncated_backward(model, x, torch.zeros(1, 6, 1),
                       lambda p, y, seen=[]: (seen.append(1), p.sum()*(len(seen) == 2))[1], 3)  # noqa: B006
    assert (x.grad[:, :3] == 0).all() and (x.grad[:, 3:] != 0).all()


def test_a_cut_state_has_the_same_numbers_and_no_past():
    h = torch.randn(2, 3, requires_grad=True)*1
    for cut in (cut_off(h), *cut_off((h, h))):
        assert torch.equal(cut, h) and not cut.requires_grad


# Gradient flow and gates

@pytest.mark.parametrize('kind', GATES)
def test_gradient_flow_of_ours_and_torchs(kind):
    ours, theirs = twins(kind, 2, 4)
    x = torch.randn(3, 12, 2, dtype=torch.float64)
    torch.manual_seed(1)
    flow = gradient_flow(ours, x)
    torch.manual_seed(1)
    torch.testing.assert_close(gradient_flow(theirs, x), flow)
    assert flow[-1] == 1 and flow.shape == (12,)


@pytest.mark.parametrize('kind', ['LSTM', 'GRU'])
def test_chrono_keeps_a_gradient_that_the_usual_start_loses(kind):
    x = torch.randn(4, 200, 2, dtype=torch.float64)
    torch.manual_seed(0)
    usual = gradient_flow(Recurrent(kind, 2, 16).double(), x)[0]
    open_ = gradient_flow(chrono_(Recurrent(kind, 2, 16).double(), 200), x)[0]
    assert usual < 1e-15 and open_ > 1e-3


def test_chrono_sets_what_it_says():
    lstm = chrono_(nn.LSTM(2, 500, batch_first=True), 50)
    keep = (lstm.bias_ih_l0 + lstm.bias_hh_l0)[500:1000]
    write = (lstm.bias_ih_l0 + lstm.bias_hh_l0)[:500]
    assert keep.min() >= 0 and keep.max() <= math.log(49)
    torch.testing.assert_close(keep, -write)
    assert keep.exp().mean().item() == pytest.approx(25, abs=2)


# Tasks and sizes

def test_the_adding_problem_marks_one_number_of_each_half():
    rng = torch.Generator().manual_seed(0)
    for time in (2, 7, 30):
        x, y = adding_batch(200, time, rng)
        marks = x[..., 1]
        assert (marks[:, :time//2].sum(1) == 1).all() and (marks[:, time//2:].sum(1) == 1).all()
        torch.testing.assert_close((x[..., 0]*marks).sum(1, keepdim=True), y)
    assert adding_batch(20_000, 4, rng)[1].var().item() == pytest.approx(1/6, rel=.03)


@few
@given(sizes, st.integers(0, 9), sizes, st.integers(1, 9))
def test_the_copy_problem_shows_the_word_once(batch, silence, length, letters):
    x, word = copy_batch(batch, silence, length=length, letters=letters)
    symbols = x.argmax(-1)
    assert x.shape == (batch, 2*length + silence, letters + 2) and (x.sum(-1) == 1).all()
    assert torch.equal(symbols[:, :length], word)
    assert (symbols[:, length + silence] == letters + 1).all()
    assert ((symbols[:, length:] >= letters).all() and word.max() < letters)


@few
@given(st.sampled_from(list(GATES)), sizes, sizes, st.integers(60, 5000))
def test_the_widest_state_that_a_budget_pays_for(kind, inputs, outputs, parameters):
    hidden = hidden_for(kind, inputs, outputs, parameters)
    assert count_parameters(MemoryNet(kind, inputs, outputs, hidden + 1)) > parameters
    if hidden > 1: assert count_parameters(MemoryNet(kind, inputs, outputs, hidden)) <= parameters


def test_training_learns_and_reports_each_batch():
    torch.manual_seed(0)
    model, rng = MemoryNet('GRU', 2, 1, 16), torch.Generator().manual_seed(0)
    losses = train_memory(model, lambda: adding_batch(32, 4, rng),
                          lambda out, y: nn.functional.mse_loss(out[:, 0], y), 200)
    assert len(losses) == 200 and sum(losses[-20:])/20 < .05 < sum(losses[:20])/20


# Errors a caller can mend

@pytest.mark.parametrize('make, words', [
    (lambda: Recurrent('lstm', 2, 3), "`kind` must be one of RNN, LSTM, GRU; got 'lstm'"),
    (lambda: MemoryNet('TCN', 2, 3, 1), "`kind` must be one of RNN, LSTM, GRU; got 'TCN'"),
    (lambda: hidden_for('?', 2, 3, 1), "`kind` must be one of RNN, LSTM, GRU; got '?'"),
    (lambda: Recurrent('RNN', 2, 0), "`hidden` must be a whole number from 1 up, got 0"),
    (lambda: Recurrent('RNN', 0, 2), "`inputs` must be a whole number from 1 up, got 0"),
    (lambda: Recurrent('RNN', 2, 3)(torch.zeros(1, 4, 5)),
     "`x` must be [batch, steps ≥ 1, 2]; got [1, 4, 5]"),
    (lambda: Recurrent('GRU', 2, 3)(torch.zeros(2, 4, 2), lengths=torch.tensor([0, 4])),
     "`lengths` must be 2 whole numbers from 1 to 4, one for each sequence; got [0, 4]"),
    (lambda: Recurrent('GRU', 2, 3)(torch.zeros(2, 4, 2), lengths=torch.tensor([4, 5])),
     "`lengths` must be 2 whole numbers from 1 to 4, one for each sequence; got [4, 5]"),
    (lambda: Recurrent('GRU', 2, 3)(torch.zeros(2, 4, 2), lengths=torch.tensor([4])),
     "`lengths` must be 2 whole numbers from 1 to 4, one for each sequence; got [4]"),
    *((lambda kind=kind, state=state: Recurrent(kind, 2, 3)(torch.zeros(2, 4, 2), state),
       f"`state` must be a tuple of {n}, each [2, 3], as this module gives it; got {got}")
      for kind, n, state, got in [
          ('LSTM', 2, torch.zeros(2, 2, 3), 'Tensor'), ('GRU', 1, torch.zeros(1, 2, 3), 'Tensor'),
          ('LSTM', 2, (torch.zeros(2, 3),), [[2, 3]]), ('RNN', 1, (torch.zeros(1, 3),), [[1, 3]]),
          ('LSTM', 2, (torch.zeros(1, 2, 3),)*2, [[1, 2, 3]]*2), ('RNN', 1, 5, 'int')]),
    (lambda: chrono_(nn.RNN(2, 3), 10),
     "`model` must have gates, as an LSTM or a GRU; a plain RNN has none"),
    (lambda: gradient_flow(nn.LSTM(2, 3), torch.zeros(4, 2, 2)),
     "`model` must be made with batch_first=True; this one reads time first"),
    *((lambda own=own: chrono_(nn.LSTM(2, 4, **own), 9),
       "`model` must have one layer, one direction, biases and no projection")
      for own in (dict(proj_size=2), dict(num_layers=2), dict(bidirectional=True),
                  dict(bias=False))),
    (lambda: chrono_(nn.LSTM(2, 3), 1), "`longest` must be a whole number from 2 up, got 1"),
    (lambda: adding_batch(2, 1), "`time` must be a whole number from 2 up, got 1"),
    (lambda: copy_batch(2, -1), "`silence` must be a whole number from 0 up, got -1"),
    *((lambda name=name: copy_batch(2, 3, **{name: 0}),
       f"`{name}` must be a whole number from 1 up, got 0") for name in ('length', 'letters')),
    (lambda: truncated_backward(None, torch.zeros(1, 2, 1), None, None, 0),
     "`piece` must be a whole number from 1 up, got 0"),
])
def test_errors_say_what_to_do(make, words):
    with pytest.raises(InputError) as e: make()
    assert str(e.value) == words


@pytest.mark.parametrize('kind', GATES)
def test_what_stands_behind_the_lengths_is_not_read(kind):
    model, x, lengths = Recurrent(kind, 3, 5), torch.randn(2, 4, 3), [4, 2]
    want = model(x, lengths=torch.tensor(lengths))[0]
    x[1, 2:] = math.nan
    y, _ = model(x, lengths=lengths)
    y.sum().backward()
    assert torch.equal(y, want)
    assert all(p.grad.isfinite().all() for p in model.parameters())


def test_lengths_are_whole_numbers_and_there_is_a_step():
    model = Recurrent('GRU', 2, 3)
    with pytest.raises(InputError, match="`lengths` must be 2 whole numbers from 1 to 4"):
        model(torch.zeros(2, 4, 2), lengths=torch.tensor([1.5, 2.]))
    with pytest.raises(InputError, match=r"`x` must be \[batch, steps ≥ 1, 2\]; got \[2, 0, 2\]"):
        model(torch.zeros(2, 0, 2))
    y, _ = model(torch.zeros(0, 4, 2), lengths=torch.zeros(0, dtype=torch.int64))
    assert y.shape == (0, 4, 3)


def test_a_sequence_without_a_batch_is_refused():
    with pytest.raises(InputError, match=r'`x` must be .batch'):
        Recurrent('LSTM', 3, 5)(torch.zeros(4, 3))
