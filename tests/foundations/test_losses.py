"Losses equal torch's, stay finite where numbers get large, and refuse what has no meaning"
import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import settings as hyp_settings
from hypothesis import strategies as st
from oracles import same_as_torch

from dlcourse.core.errors import InputError
from dlcourse.foundations import losses as ours
from dlcourse.foundations.losses import binary_cross_entropy, cross_entropy, focal, huber, mae, mse

REDUCTIONS = ('mean', 'sum', 'none')


both = partial(same_as_torch, rtol=1e-12) # Values and slopes


def numbers(*shape, seed=0, scale=3.):
    return scale*torch.randn(*shape, dtype=torch.float64,
                             generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize('reduction', REDUCTIONS)
def test_regression_is_torchs(reduction):
    x, y = numbers(4, 5), numbers(4, 5, seed=1)
    both(partial(ours.mse, reduction=reduction), partial(F.mse_loss, reduction=reduction), x, y)
    both(partial(ours.mae, reduction=reduction), partial(F.l1_loss, reduction=reduction), x, y)
    for delta in (.3, 1., 4.):
        both(partial(ours.huber, delta=delta, reduction=reduction),
             partial(F.huber_loss, delta=delta, reduction=reduction), x, y)


@pytest.mark.parametrize('dim', [0, 1, -1])
def test_log_softmax_is_torchs(dim):
    both(partial(ours.log_softmax, dim=dim), partial(F.log_softmax, dim=dim),
         numbers(3, 4, 5, scale=300.))


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_log_softmax_of_extremes(dtype):
    x = torch.tensor([[1000., 0., -1000.], [-3e38, 0., 1.], [5., 5., 5.]], dtype=dtype,
                     requires_grad=True)
    out = ours.log_softmax(x)
    assert torch.equal(out,
                       F.log_softmax(x,
                                     -1)) or torch.allclose(out.float(),
                                                            F.log_softmax(x, -1).float(),
                                                            rtol=1e-2 if dtype == torch.bfloat16
                                                            else 1e-6)
    out[:, 1].sum().backward()
    assert x.grad.isfinite().all()


def last(f):
    "torch wants the classes on the second axis"
    return lambda logits, target, **options: f(logits.movedim(-1, 1) if logits.ndim > 1 else logits,
                                               target, **options)


@given(st.data())
@hyp_settings(max_examples=80, deadline=None, derandomize=True)
def test_cross_entropy_is_torchs(data):
    shape = data.draw(st.sampled_from([(), (1,), (5,), (2, 3), (2, 2, 3)]))
    classes, scale = data.draw(st.integers(2, 6)), data.draw(st.sampled_from([1., 30., 500.]))
    logits = numbers(*shape, classes, seed=data.draw(st.integers(0, 99)), scale=scale)
    flat = data.draw(st.lists(st.sampled_from([*range(classes), -100]), min_size=math.prod(shape),
                              max_size=math.prod(shape)))
    if all(t == -100 for t in flat): flat[0] = 0
    target = torch.tensor(flat).reshape(shape)
    options = dict(reduction=data.draw(st.sampled_from(REDUCTIONS)),
                   label_smoothing=data.draw(st.sampled_from([0., .1, .7, 1.])))
    if data.draw(st.booleans()): options['weight'] = numbers(classes, seed=9).abs() + .1
    both(lambda x: ours.cross_entropy(x, target, **options),
         lambda x: last(F.cross_entropy)(x, target, **options), logits)


def test_another_ignored_class():
    logits, target = numbers(6, 4), torch.tensor([0, 3, 2, 2, 1, 3])
    both(lambda x: ours.cross_entropy(x, target, ignore_index=3, label_smoothing=.2),
         lambda x: F.cross_entropy(x, target, ignore_index=3, label_smoothing=.2), logits)
    nothing = torch.full((6,), -100)
    assert ours.cross_entropy(logits, nothing).isnan() and F.cross_entropy(logits, nothing).isnan()
    assert ours.cross_entropy(logits, nothing, reduction='sum') == 0


@pytest.mark.parametrize('reduction', REDUCTIONS)
def test_binary_is_torchs(reduction):
    x, y = numbers(40, scale=200.), numbers(40, seed=1).sigmoid()
    for w in (1., 3.):
        both(lambda x, w=w: ours.binary_cross_entropy(x, y, pos_weight=w, reduction=reduction),
             lambda x, w=w: F.binary_cross_entropy_with_logits(
                 x, y, pos_weight=torch.tensor(w, dtype=x.dtype), reduction=reduction), x)


def test_binary_has_torchs_slope_at_zero_too():
    logits = torch.tensor([0., 0., 0., -0.], dtype=torch.float64)
    target = torch.tensor([0., 1., .25, 1.], dtype=torch.float64)
    both(lambda z: ours.binary_cross_entropy(z, target, reduction='sum'),
         lambda z: F.binary_cross_entropy_with_logits(z, target, reduction='sum'), logits)


def test_a_class_that_is_ruled_out_leaves_the_others_finite():
    z = torch.tensor([[0., -torch.inf, 1.], [2., -torch.inf, 1.]], requires_grad=True)
    loss = ours.cross_entropy(z, torch.tensor([0, 2]))
    torch.testing.assert_close(loss, F.cross_entropy(z, torch.tensor([0, 2])))
    loss.backward()
    assert z.grad.isfinite().all()
    assert ours.cross_entropy(z, torch.tensor([0, 2]), label_smoothing=.1) == torch.inf


@pytest.mark.parametrize('ours_, torchs', [('mean', 'batchmean'), ('sum', 'sum')])
def test_kl_is_torchs_with_the_arguments_the_other_way_round(ours_, torchs):
    logp, logq = F.log_softmax(numbers(5, 4), -1), F.log_softmax(numbers(5, 4, seed=1), -1)
    both(lambda p, q: ours.kl_divergence(p, q, reduction=ours_),
         lambda p, q: F.kl_div(q, p, log_target=True, reduction=torchs), logp, logq)


def test_kl_of_what_never_happens():
    logp = torch.tensor([[0., -math.inf], [math.log(.5), math.log(.5)]], requires_grad=True)
    logq = torch.tensor([[0., -math.inf], [math.log(.25), math.log(.75)]], requires_grad=True)
    out = ours.kl_divergence(logp, logq, reduction='none')
    assert torch.allclose(out, torch.tensor([0., .5*math.log(2) + .5*math.log(2/3)]))
    out.sum().backward()
    assert logp.grad.isfinite().all() and logq.grad.isfinite().all()
    assert ours.kl_divergence(torch.tensor([math.log(.5)]*2),
                              torch.tensor([0., -math.inf])) == math.inf


def by_probability(logits, target, gamma, weight=None):
    p = F.softmax(logits, -1).gather(-1, target[..., None])[..., 0]
    w = torch.ones_like(p) if weight is None else weight[target]
    return (-w*(1 - p)**gamma*p.log()).sum()/w.sum()


@pytest.mark.parametrize('gamma', [.5, 1., 2., 5.])
def test_focal_is_its_formula(gamma):
    logits, target, weight = numbers(7,
                                     4), torch.tensor([0, 1, 2, 3, 3, 2,
                                                       1]), torch.tensor([1., 2., .5, 3.]).double()
    for w in (None, weight):
        both(lambda x, w=w: ours.focal(x, target, gamma=gamma, weight=w),
             lambda x, w=w: by_probability(x, target, gamma, w), logits, rtol=1e-10)
    both(lambda x: ours.focal(x, target, gamma=0., weight=weight, reduction='none'),
         lambda x: F.cross_entropy(x, target, weight=weight, reduction='none'), logits)


def test_the_slope_of_focal_in_closed_form():
    "Lin et al., appendix B: of x, the logits' difference, dFL/dx = (1-p)^γ (γ p log p + p - 1)"
    x = torch.linspace(-6, 6, 25, dtype=torch.float64, requires_grad=True)
    p = x.detach().sigmoid()
    logits = torch.stack([torch.zeros_like(x), x], -1)
    slope, = torch.autograd.grad(ours.focal(logits, torch.ones(25, dtype=torch.long), gamma=2.,
                                            reduction='sum'), x)
    assert torch.allclose(slope, (1 - p)**2*(2*p*p.log() + p - 1), rtol=0, atol=1e-12)


@pytest.mark.parametrize('gamma', [0., .5, 1., 2.])
def test_focal_of_the_certain_has_a_slope(gamma):
    logits = torch.tensor([[200., 0.], [0., 200.]], requires_grad=True)
    loss = ours.focal(logits, torch.tensor([0, 0]), gamma=gamma)
    loss.backward()
    assert loss == 100 and logits.grad.isfinite().all()


def test_focal_ignores_what_cross_entropy_ignores():
    logits, target = numbers(6, 4), torch.tensor([0, 3, -100, 2, 1, -100])
    assert torch.allclose(ours.focal(logits, target),
                          ours.focal(logits[target >= 0], target[target >= 0]))


@pytest.mark.parametrize('reduction', REDUCTIONS)
def test_ranking_is_torchs(reduction):
    a, b, one = numbers(12), numbers(12, seed=1), torch.ones(12, dtype=torch.float64)
    for margin in (0., .7): both(partial(ours.margin_ranking, margin=margin, reduction=reduction),
                                 lambda x, y, m=margin: F.margin_ranking_loss(
                                     x, y, one, margin=m, reduction=reduction), a, b)
    both(partial(ours.pairwise_logistic, reduction=reduction),
         lambda x, y: F.soft_margin_loss(x - y, one, reduction=reduction), a, b)


@pytest.mark.parametrize('reduction', REDUCTIONS)
def test_contrastive_is_torchs(reduction):
    a, p, n = (numbers(6, 4, seed=s) for s in range(3))
    for margin in (.5, 3.):
        both(partial(ours.triplet, margin=margin, reduction=reduction),
             partial(F.triplet_margin_loss, margin=margin, reduction=reduction), a, p, n)
    def with_torch(q, k, t, symmetric):
        logits, mine = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).T/t, torch.arange(len(q))
        there = F.cross_entropy(logits, mine, reduction=reduction)
        return (there + F.cross_entropy(logits.T, mine,
                                        reduction=reduction))/2 if symmetric else there
    for t, symmetric in ((.1, False), (.5, True)):
        both(partial(ours.info_nce, temperature=t, symmetric=symmetric, reduction=reduction),
             partial(with_torch, t=t, symmetric=symmetric), a, p)
    both(ours.triplet, F.triplet_margin_loss, a, a, n)
    assert ours.info_nce(torch.zeros(3, 2), torch.ones(3, 2)).item() == pytest.approx(math.log(3))


# What is refused

@pytest.mark.parametrize('call, says', [
    (lambda: ours.mse(torch.zeros(3), torch.zeros(3, 1)),
     "`prediction` and `target` must have one shape, got (3,) and (3, 1); `squeeze` or `unsqueeze` "
     "one of them"),
    (lambda: ours.mae(torch.zeros(3), torch.zeros(1)),
     "`prediction` and `target` must have one shape"),
    (lambda: ours.huber(torch.zeros(3), torch.zeros(1)),
     "`prediction` and `target` must have one shape"),
    (lambda: ours.binary_cross_entropy(torch.zeros(3, 1), torch.zeros(3)),
     "`logits` and `target` must have one shape"),
    (lambda: ours.kl_divergence(torch.zeros(2, 3), torch.zeros(3)),
     "`logp` and `logq` must have one shape"),
    (lambda: ours.margin_ranking(torch.zeros(2), torch.zeros(3)),
     "`better` and `worse` must have one shape"),
    (lambda: ours.triplet(torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(1, 3)),
     "`anchor` and `negative` must have one shape"),
    (lambda: ours.info_nce(torch.zeros(2, 3), torch.zeros(3, 3)),
     "`queries` and `keys` must have one shape"),
    (lambda: ours.mse(torch.zeros(3), torch.zeros(3), 'average'),
     "`reduction` must be 'mean', 'sum' or 'none', got 'average'"),
    (lambda: ours.huber(torch.zeros(3), torch.zeros(3), delta=0.),
     "`delta` must be above 0, got 0.0"),
    (lambda: ours.info_nce(torch.zeros(2, 2), torch.zeros(2, 2), temperature=0),
     "`temperature` must be above 0, got 0"),
    (lambda: ours.cross_entropy(torch.zeros(2, 3), torch.tensor([0])),
     "`target` must hold one class for each row of `logits`, whose shape is (2, 3); got shape "
     "(1,)"),
    (lambda: ours.cross_entropy(torch.zeros(2, 3), torch.tensor([0, 3])),
     "`target` must be from 0 to 2, or -100 to be ignored; got 0 to 3"),
    (lambda: ours.focal(torch.zeros(2, 3), torch.tensor([-1, 1])), "got -1 to 1"),
])
def test_what_cannot_be(call, says):
    with pytest.raises(InputError) as e: call()
    assert says in str(e.value)


RULED_OUT = torch.tensor([[-math.inf, 0., 1.], [0., 1., 2.]], requires_grad=True)


@pytest.mark.parametrize('loss', [
    cross_entropy, focal, partial(cross_entropy, weight=torch.tensor([0., 1., 2.])),
    partial(cross_entropy, label_smoothing=.1)])
def test_a_row_that_does_not_count_may_hold_a_class_that_is_ruled_out(loss):
    value = loss(RULED_OUT, torch.tensor([-100, 1]))
    torch.testing.assert_close(value, loss(RULED_OUT[1:], torch.tensor([1])))
    slope, = torch.autograd.grad(value, RULED_OUT)
    assert slope.isfinite().all() and not slope[0].any()


def test_a_no_that_is_ruled_out_costs_nothing():
    z = torch.tensor([-math.inf, 2.], requires_grad=True)
    value = binary_cross_entropy(z, torch.tensor([0., 1.]), reduction='none')
    torch.testing.assert_close(value.detach(), torch.tensor([0., math.log1p(math.exp(-2.))]))
    value.sum().backward()
    assert z.grad.isfinite().all()
    assert binary_cross_entropy(z, torch.tensor([1., 1.])) == math.inf


@pytest.mark.parametrize('f', [mse, mae, huber])
def test_small_whole_numbers_have_no_difference(f):
    a, b = torch.tensor([0, 10], dtype=torch.uint8), torch.tensor([1, 3], dtype=torch.uint8)
    with pytest.raises(InputError, match='must be floats, at least one'): f(a, b, reduction='none')
    assert f(a.float(), b) == f(a.float(), b.float())


def test_classes_are_whole_numbers_of_any_size():
    z = torch.randn(2, 3)
    small = torch.tensor([2, 1], dtype=torch.uint8)
    torch.testing.assert_close(cross_entropy(z, small), cross_entropy(z, small.long()))
    with pytest.raises(InputError, match='`target` must hold class numbers; got torch.float32'):
        focal(z, small.float())
