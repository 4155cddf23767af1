"What transformers do with odd input: one sentence that names it, never a number in silence"
import inspect

import numpy as np
import pytest
import torch

from dlcourse.core.errors import InputError
from dlcourse.transformers.assistant import declining_threshold
from dlcourse.transformers.bert import best_span
from dlcourse.transformers.experts import dispatch
from dlcourse.transformers.fine_tuning import check_classes
from dlcourse.transformers.search import nearest_texts, order_of

NAN = float('nan')
NEAR = np.array([.8, .6, .3])
MARKS = torch.tensor([1., 5, 0]), torch.tensor([4., 0, 2])
SCORES = np.array([[.1, .9, .4]])
MASKED = np.ma.masked_array(SCORES, SCORES > .5)


@pytest.mark.parametrize(('call', 'says'), [
    (lambda: declining_threshold([.8, NAN], [.1]), '`answerable`'),
    (lambda: declining_threshold(NEAR, []), '`foreign`'),
    (lambda: declining_threshold(NEAR, NEAR[:, None]), '`foreign`'),
    (lambda: declining_threshold(np.ma.masked_array(NEAR, [0, 1, 0]), NEAR), '`answerable`'),
    (lambda: declining_threshold(['x'], NEAR), '`answerable` must hold numbers'),
    (lambda: best_span(torch.tensor([1., NAN, 0]), MARKS[1]), '`start` and `end`'),
    (lambda: best_span(MARKS[0][:, None], MARKS[1]), '`start` and `end`'),
    (lambda: best_span(MARKS[0], MARKS[1][None]), '`start` and `end`'),
    (lambda: best_span(MARKS[0], torch.tensor(1.)), '`start` and `end`'),
    (lambda: best_span(MARKS[0][:0], MARKS[1][:0]), '`start` and `end`'),
    (lambda: best_span(*MARKS, 0), '`most`'), (lambda: best_span(*MARKS, -3), '`most`'),
    (lambda: order_of(MASKED), '`scores` .* masked'),
    (lambda: nearest_texts(MASKED, np.eye(3), 1), '`queries` .* masked'),
    (lambda: nearest_texts(SCORES, np.ma.masked_array(np.eye(3), np.eye(3)), 1), '`vectors`'),
    (lambda: check_classes(np.ma.masked_array([0, 1, 1], [0, 1, 0]), 3), '`labels` .* masked')])
def test_odd_input_is_refused_by_name(call, says):
    with pytest.raises(InputError, match=says): call()


@pytest.mark.parametrize('kind', [torch.uint8, torch.int64, torch.float32])
def test_a_mask_of_numbers_says_what_one_of_truths_says(kind):
    "0 and 1 were taken for the first and the second token"
    x, weights = torch.randn(4, 3), torch.ones(4, 1)
    index, kept = torch.tensor([[0, 1, 1, 0]]).T, torch.tensor([[1, 0, 1, 1]]).T.bool()
    experts = [lambda part: 2*part, lambda part: -part]
    ask = inspect.unwrap(dispatch) # Without the types that tests beside this one have checked
    want = ask(x, weights, index, kept, experts)
    assert torch.equal(ask(x, weights, index, kept.to(kind), experts), want)
    assert want[1].eq(0).all() and torch.equal(want[0], 2*x[0])
