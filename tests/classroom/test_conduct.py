"What a call does besides giving a value"
import numpy as np
import pytest

from dlcourse.classroom.conduct import (
    changeable,
    gradients_of,
    has_changed,
    more_axes,
    other_layout,
    other_precision,
    recorded,
    state_of,
    value_of,
)

torch = pytest.importorskip('torch')


def changed(value, harm):
    there = changeable(value)
    before = [state_of(x) for x in there]
    harm(value)
    return any(has_changed(b, state_of(x)) for b, x in zip(before, there, strict=True))


def backward(model): model.weight.sum().backward()


@pytest.mark.parametrize('value, harm', [
    ([1, [2]], lambda x: x[1].append(3)), ([1, 2], lambda x: x.sort(reverse=True)),
    ({'a': {}}, lambda x: x['a'].update(b=1)), ({1, 2}, lambda x: x.add(3)),
    (np.zeros(3), lambda x: x.fill(1)), (np.array([[], 1], object), lambda x: x[0].append(1)),
    (torch.zeros(3), lambda x: x.add_(1)), (torch.zeros(3), lambda x: x.requires_grad_()),
    (torch.nn.Linear(1, 1), backward), (torch.nn.Linear(1, 1), lambda x: x.eval()),
    (torch.Generator(), lambda x: torch.rand(1, generator=x)),
    (np.random.default_rng(0), lambda x: x.random()),
    ((torch.nn.BatchNorm1d(2),), lambda x: x[0](torch.randn(4, 2))),
])
def test_a_change_is_seen_wherever_it_is(value, harm): assert changed(value, harm)


@pytest.mark.parametrize('value, harm', [
    ([3, 1], sorted), (np.arange(3.), np.sort), (torch.arange(3.), lambda x: x*2),
    ([float('nan'), torch.tensor(float('nan'))], lambda x: None),
    (torch.nn.Linear(2, 1), lambda x: x(torch.ones(1, 2))), ('text', str.upper), (None, repr),
])
def test_looking_is_no_change(value, harm): assert not changed(value, harm)


def test_two_copies_have_the_same_parts_in_the_same_order():
    import copy
    value = [torch.nn.Linear(2, 2), {'a': [1, (np.ones(2), {3})]}]
    kinds = [type(x) for x in changeable(value)]
    assert kinds == [type(x) for x in changeable(copy.deepcopy(value))] and len(kinds) > 8


def test_what_lies_in_a_circle_ends():
    circle = []
    circle.append(circle)
    assert changeable(circle) == [circle]


def test_calls_are_made_again_in_another_form():
    x, y = torch.arange(6.).reshape(2, 3), np.arange(6.).reshape(2, 3)
    call = recorded((x, 2), dict(y=y))
    assert other_precision(call).args[0].dtype == torch.float64
    layout = other_layout(call)
    assert not layout.args[0].is_contiguous() and not layout.kwargs['y'].flags.c_contiguous
    assert torch.equal(layout.args[0], x) and np.array_equal(layout.kwargs['y'], y)
    assert more_axes(call, {0}).args[0].shape == (2, 2, 3) and more_axes(call, {1}) is None
    seen = []
    value_of(lambda x, n, y: seen.append((x.stride(), y.strides)), layout)
    assert seen == [(layout.args[0].stride(), layout.kwargs['y'].strides)]
    assert recorded((torch.nn.Linear(1, 1),), {}) is None and recorded((3, 'a'), {}) is None
    assert other_precision(recorded((np.ones(2),), {})) is None


def test_gradients_are_those_of_every_floating_tensor():
    call = recorded((torch.ones(2), torch.tensor([0, 1])), {})
    got, = gradients_of(lambda x, i: (x*torch.tensor([2., 3.]))[i], call)
    weights = torch.randn(2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(got, weights*torch.tensor([2., 3.]))
    assert gradients_of(lambda x, i: x.detach(), call) is None


def test_a_call_with_a_row_of_numbers_is_made_again_and_the_row_is_not_shared():
    levels = [.25, (.5, [1])]
    call = recorded((torch.ones(2), levels), {})
    levels[1][1].append(3)
    assert call.args[1] == [.25, (.5, [1])] and call.args[1] is not levels
    def spoiled(x, levels):
        levels[1][1].append(2)
        return x*levels[0]
    for observe in (value_of, gradients_of): observe(spoiled, call)
    assert call.args[1] == [.25, (.5, [1])] and other_precision(call).args[1] == call.args[1]
    assert recorded((torch.ones(2), [torch.ones(1)]), {}) is None
    assert recorded((torch.ones(2), ['a', 1]), {}) is None
