"Members trained at once equal single runs with torch.optim, whatever differs between them"
import math
from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hyp_settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from dlcourse.core.errors import InputError
from dlcourse.training import many
from dlcourse.training.callbacks import FitConfig
from dlcourse.training.ensembles import losses_of_all, outputs_of_all, stack
from dlcourse.training.many import Mapped, fit_many

ROWS = 45


def data(dtype=torch.float32):
    g = torch.Generator().manual_seed(5)
    x = torch.randn(ROWS, 6, generator=g, dtype=torch.float64)
    return x.to(dtype), (x[:, 0] - x[:, 1] > 0).long() + (x[:, 2] > .5).long()


def mlp(dtype=torch.float32):
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)).to(dtype)


def rectified(dtype=torch.float32):
    return nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Linear(32, 3)).to(dtype)


def normed(dtype=torch.float32):
    hidden = nn.Linear(6, 5, bias=False), nn.BatchNorm1d(5), nn.ReLU()
    return nn.Sequential(*hidden, nn.Linear(5, 3)).to(dtype)


def conv(dtype=torch.float32):
    image = nn.Unflatten(1, (1, 2, 3)), nn.Conv2d(1, 4, 2), nn.ReLU(), nn.Flatten()
    return nn.Sequential(*image, nn.Linear(8, 3)).to(dtype)


def dropped(): return nn.Sequential(nn.Linear(6, 64), nn.Dropout(.5), nn.Linear(64, 3))


def alone(make, x, y, seed, optimizer, *, epochs=3, schedule=None, shuffle=True,
          loss=F.cross_entropy):
    "One run in plain torch, in batches of 8"
    torch.manual_seed(seed)
    model = make().train()
    opt = optimizer([p for p in model.parameters() if p.requires_grad])
    falling = torch.optim.lr_scheduler.LambdaLR(opt, schedule or (lambda step: 1.))
    order, losses = torch.Generator().manual_seed(seed), []
    for _ in range(epochs):
        rows = torch.randperm(len(x), generator=order) if shuffle else torch.arange(len(x))
        for batch in rows.split(8):
            opt.zero_grad()
            value = loss(model(x[batch]), y[batch])
            value.backward()
            opt.step()
            falling.step()
            losses.append(float(value.detach()))
    return model.eval(), losses


def same(members, singles, atol):
    for k, (model, losses) in enumerate(singles):
        got = members.member(k).state_dict()
        for name, want in model.state_dict().items():
            torch.testing.assert_close(got[name], want, atol=atol, rtol=atol)
        got = members.losses[k][~members.losses[k].isnan()]
        want = torch.tensor(losses, dtype=got.dtype)
        torch.testing.assert_close(got, want, atol=10*atol, rtol=10*atol)


RULES = {'sgd': (torch.optim.SGD, dict(momentum=.9)), 'adam': (torch.optim.Adam, {}),
         'adamw': (torch.optim.AdamW, {})}
PRECISION = [(torch.float32, 1e-5), (torch.float64, 1e-12)]


@pytest.mark.parametrize('dtype, atol', PRECISION)
@pytest.mark.parametrize('name', RULES)
@pytest.mark.parametrize('how', ['stacked', 'vmap', 'loop'])
def test_members_equal_single_runs(how, name, dtype, atol):
    "Seeds, learning rates, decays and rows of their own, in unequal number, with a schedule"
    (x, y), make, (rule, more) = data(dtype), partial(mlp, dtype), RULES[name]
    seeds, lr, decay = [3, 0, 11, 4], [.01, .03, .002, .02], [0., .1, .01, .3]
    chances = torch.tensor([[.9], [.5], [.2], [.7]])
    mask = torch.rand(4, ROWS, generator=torch.Generator().manual_seed(1)) < chances
    mask[0] = True
    assert len({int(m.sum() + 7)//8 for m in mask}) > 1 # They end after different numbers of steps
    falling = lambda step: 1/(1 + .1*step)
    config = FitConfig(lr=lr, weight_decay=decay, epochs=3, batch_size=8, optimizer=name,
                       schedule=falling, device='cpu', **more)
    members = fit_many(make, (x, y), F.cross_entropy, config, seeds=seeds, mask=mask, how=how)
    rules = [partial(rule, lr=r, weight_decay=d, **more) for r, d in zip(lr, decay, strict=True)]
    singles = [alone(make, x[m], y[m], seed, own, schedule=falling)
               for m, seed, own in zip(mask, seeds, rules, strict=True)]
    same(members, singles, atol)
    each = torch.stack([members.member(k)(x) for k in range(4)]).detach()
    torch.testing.assert_close(members.predict(x, batch_size=7), each, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('how', ['stacked', 'vmap'])
@pytest.mark.parametrize('name', RULES)
def test_a_long_run_through_relu_is_exact_in_float64_and_typical_in_float32(how, name):
    """In float32 a rounding error that tips one ReLU over its corner grows from there, also between
    a loop and itself on another machine: the median and 95 % of the members are compared"""
    rule, more = RULES[name]
    rule, common = partial(rule, lr=.02, weight_decay=0., **more), dict(lr=.02, weight_decay=0.)
    for dtype, bound in ((torch.float64, 1e-12), (torch.float32, 2e-5)):
        (x, y), make = data(dtype), partial(rectified, dtype)
        config = FitConfig(epochs=15, batch_size=8, optimizer=name, device='cpu', **common, **more)
        members = fit_many(make, (x, y), F.cross_entropy, config, seeds=20, how=how)
        singles = stack([alone(make, x, y, seed, rule, epochs=15)[0] for seed in range(20)])
        apart = [(members.state[n] - t).abs().flatten(1).amax(1) for n, t in singles.items()]
        scale = max(1., *(float(t.abs().max()) for t in singles.values()))
        worst = torch.stack(apart).amax(0)/scale
        if dtype == torch.float64: assert worst.max() <= bound
        assert worst.median() <= bound and worst.quantile(.95) <= 20*bound


@pytest.mark.parametrize('make', [normed, conv])
@pytest.mark.parametrize('masked', [False, True])
def test_convolutions_and_batch_norm(make, masked):
    (x, y), make = data(torch.float64), partial(make, torch.float64)
    mask = torch.stack([torch.arange(ROWS) % 3 != k for k in range(3)]) if masked else None
    members = fit_many(make, (x, y), F.cross_entropy, seeds=3, lr=.01, weight_decay=.1, mask=mask,
                       how='vmap', batch_size=8, epochs=3, device='cpu')
    rule = partial(torch.optim.AdamW, lr=.01, weight_decay=.1)
    rows = mask if masked else [slice(None)]*3
    same(members, [alone(make, x[m], y[m], seed, rule) for seed, m in enumerate(rows)], 1e-11)


@pytest.mark.parametrize('loss', [F.cross_entropy, F.mse_loss, F.l1_loss])
@pytest.mark.parametrize('shared', [False, True])
def test_any_loss_by_vmap(loss, shared):
    "Against autograd, member by member, with shares that say what a row counts"
    x, y = data(torch.float64)
    target = y if loss is F.cross_entropy else torch.randn(ROWS, 3, dtype=torch.float64)
    models = [mlp(torch.float64) for _ in range(3)]
    drawn = torch.randint(0, ROWS, (3, 6))
    own = torch.tensor([6, 4, 1]) if shared else torch.tensor([6, 6, 6])
    share = (torch.arange(6) < own[:, None]).double()/own[:, None] if shared else None
    losses, grads = Mapped(models[0], (x, target), loss, stack(models))(drawn, share)
    for k, model in enumerate(models):
        rows = drawn[k, :own[k]]
        value = loss(model(x[rows]), target[rows])
        value.backward()
        torch.testing.assert_close(losses[k], value.detach(), atol=1e-12, rtol=1e-12)
        for name, p in model.named_parameters():
            torch.testing.assert_close(grads[name][k], p.grad, atol=1e-12, rtol=1e-12)


def on_this_page(): return nn.Linear(6, 3)


@pytest.mark.slow
def test_processes_equal_a_loop_also_for_what_cannot_be_imported():
    x, y = data()
    def loss(outputs, target): return F.cross_entropy(outputs, target)
    how = dict(seeds=[4, 2, 7], lr=[.1, .2, .3], optimizer='sgd', epochs=2, device='cpu')
    side, row = (fit_many(lambda: on_this_page(), (x, y), loss, how=way, **how)
                 for way in ('processes', 'loop'))
    assert (side.how, row.how, side.seeds) == ('processes', 'loop', (4, 2, 7))
    for name, t in side.state.items():
        torch.testing.assert_close(t, row.state[name], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(side.losses, row.losses, atol=1e-6, rtol=1e-6)


def test_an_error_in_a_process_arrives():
    with pytest.raises(RuntimeError, match='shapes cannot be multiplied'):
        fit_many(partial(nn.Linear, 5, 3), data(), F.cross_entropy, seeds=1, how='processes',
                 device='cpu')


@pytest.mark.parametrize('how', ['stacked', 'vmap'])
def test_order_is_that_of_the_rows_without_shuffling_and_one_tensor_is_both(how):
    x, _ = data()
    make = partial(nn.Linear, 6, 6)
    members = fit_many(make, (x,), F.mse_loss, seeds=[1, 2], shuffle=False, optimizer='sgd', lr=.1,
                       how=how, epochs=3, batch_size=8, device='cpu')
    rule = partial(torch.optim.SGD, lr=.1)
    same(members, [alone(make, x, x, seed, rule, shuffle=False, loss=F.mse_loss)
                   for seed in (1, 2)], 1e-5)


@pytest.mark.parametrize('how', ['stacked', 'vmap'])
def test_rows_of_others_have_no_influence(how):
    x, y = data()
    mask = torch.ones(2, ROWS, dtype=torch.bool)
    mask[1, 10:] = False
    other = x.clone()
    other[10:] = torch.nan
    first, second = (fit_many(mlp, (t, y), F.cross_entropy, seeds=2, mask=mask, how=how, epochs=2,
                              device='cpu') for t in (x, other))
    assert all(torch.equal(t[1], second.state[name][1]) for name, t in first.state.items())
    assert second.state['0.weight'][0].isnan().all()


@pytest.mark.parametrize('how', ['stacked', 'vmap'])
def test_a_member_that_breaks_breaks_alone(how):
    x, _ = data()
    make, rule = partial(nn.Linear, 6, 6), dict(optimizer='sgd', how=how, device='cpu')
    members = fit_many(make, (x,), F.mse_loss, seeds=[0, 0], lr=[.1, 1e30], **rule)
    good = fit_many(make, (x,), F.mse_loss, seeds=[0], lr=.1, **rule)
    assert not members.state['weight'][1].isfinite().all()
    torch.testing.assert_close(members.state['weight'][0], good.state['weight'][0])


@pytest.mark.parametrize('how', ['stacked', 'vmap'])
def test_frozen_parameters_stay_and_dropout_differs_between_members(how):
    def frozen():
        model = mlp()
        model[0].weight.requires_grad_(False)
        return model
    config = dict(how=how, weight_decay=.1, epochs=1, device='cpu')
    members = fit_many(frozen, data(), F.cross_entropy, seeds=2, **config)
    torch.manual_seed(1)
    assert torch.equal(members.state['0.weight'][1], frozen()[0].weight)
    assert not members.state['2.weight'].requires_grad
    twins, again = (fit_many(dropped, data(), F.cross_entropy, seeds=[0, 0], **config)
                    for _ in range(2))
    assert not torch.equal(*twins.state['0.weight'])
    assert torch.equal(twins.state['0.weight'], again.state['0.weight'])
    assert torch.equal(twins.predict(data()[0]), twins.predict(data()[0]))


class Idle(nn.Module):
    "Has a parameter that its output does not depend on"
    def __init__(self):
        super().__init__()
        self.used, self.idle = nn.Linear(6, 3), nn.Linear(2, 2)
    def forward(self, x): return self.used(x)


def test_a_parameter_without_a_gradient_stays_as_it_is():
    members = fit_many(Idle, data(), F.cross_entropy, seeds=1, weight_decay=.5, how='vmap',
                       device='cpu')
    torch.manual_seed(0)
    assert torch.equal(members.state['idle.weight'][0], Idle().idle.weight)


@pytest.mark.parametrize('how', ['stacked', 'vmap', 'loop', 'auto'])
def test_the_random_numbers_of_the_caller_stay(how):
    before = torch.get_rng_state()
    fit_many(mlp, data(), F.cross_entropy, seeds=2, epochs=1, how=how, device='cpu')
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize('want', ['stacked', 'vmap', 'loop'])
def test_auto_takes_the_way_with_the_least_seconds(want, monkeypatch):
    seconds = dict.fromkeys(('stacked', 'vmap', 'loop', 'processes'), 1.) | {want: .5}
    monkeypatch.setattr(many, 'estimates', lambda *_: seconds)
    members = fit_many(mlp, data(), F.cross_entropy, seeds=2, epochs=1, device='cpu')
    assert members.how == want and len(members) == 2
    assert f'{want}: estimated stacked' in repr(members)


def test_what_auto_measures(monkeypatch):
    "By hand where that can be, by `vmap` elsewhere; processes only where a job can travel"
    timed = []
    def no_clock(fit, job, few):
        timed.append((len(job.seeds), few))
        return 2.
    monkeypatch.setattr(many, 'seconds_of_step', no_clock)
    train = partial(fit_many, tensors=data(), loss=F.cross_entropy, seeds=2, epochs=1, device='cpu')
    by_hand, mapped = train(mlp), train(normed)
    assert by_hand.seconds.keys() == {'stacked', 'loop', 'processes'} and by_hand.how == 'stacked'
    assert mapped.seconds.keys() == {'vmap', 'loop', 'processes'} and mapped.how == 'vmap'
    assert (by_hand.seconds['stacked'], by_hand.seconds['loop']) == (4., 8.)
    assert timed == [(2, 2), (1, 2)]*2
    def stays(step, held=(i for i in ())): return 1. if held else 1.
    assert 'processes' not in train(mlp, schedule=stays).seconds


class Asks(nn.Linear):
    def forward(self, x): return super().forward(x) if float(x.sum()) > -math.inf else x


def test_auto_goes_round_what_vmap_cannot_do():
    make = partial(Asks, 6, 3)
    members = fit_many(make, data(), F.cross_entropy, seeds=2, epochs=1, device='cpu')
    assert members.seconds['vmap'] == math.inf and members.how in ('loop', 'processes')


class Reads(nn.Module):
    "A recurrent network, for which `vmap` has no rule"
    def __init__(self):
        super().__init__()
        self.read, self.out = nn.GRU(3, 4, batch_first=True), nn.Linear(4, 2)
    def forward(self, x): return self.out(self.read(x)[0][:, -1])


def test_what_vmap_cannot_do_is_said_and_asked_one_by_one():
    x, y = torch.randn(16, 5, 3), torch.arange(16) % 2
    how = dict(seeds=2, epochs=1, batch_size=8, device='cpu')
    says = "`how='vmap'` cannot be for this model: .*gru.*; use 'loop', or 'auto'"
    with pytest.raises(InputError, match=says):
        fit_many(Reads, (x, y), F.cross_entropy, how='vmap', **how)
    members = fit_many(Reads, (x, y), F.cross_entropy, how='loop', **how)
    alone = torch.stack([members.member(k)(x) for k in range(2)])
    assert torch.equal(members.predict(x, batch_size=16), alone)
    assert torch.allclose(members.predict(x, batch_size=5), alone, atol=1e-6)


def test_a_fault_of_the_model_itself_is_not_called_one_of_vmap():
    with pytest.raises(RuntimeError, match='mat1 and mat2 shapes'):
        fit_many(partial(nn.Linear, 9, 2), (torch.randn(16, 3), torch.arange(16) % 2),
                 F.cross_entropy, how='vmap', seeds=2, epochs=1, device='cpu')


@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 2**31))
@hyp_settings(max_examples=25, deadline=None)
def test_masked_losses(members, rows, seed):
    g = torch.Generator().manual_seed(seed)
    outputs = torch.randn(members, rows, 3, generator=g, dtype=torch.float64)
    target = torch.randint(0, 3, (members, rows), generator=g)
    counts = torch.rand(members, rows, generator=g) < .6
    counts[:, 0] = True
    own = [(o[c], t[c]) for o, t, c in zip(outputs, target, counts, strict=True)]
    want = torch.stack([F.cross_entropy(o, t) for o, t in own])
    got = losses_of_all(F.cross_entropy, outputs, target, counts)
    torch.testing.assert_close(got, want, atol=1e-12, rtol=1e-12)


def test_stack_and_ask():
    models, x = [normed().eval() for _ in range(3)], data()[0]
    want = torch.stack([m(x) for m in models])
    torch.testing.assert_close(outputs_of_all(models[0], stack(models), x), want)


@pytest.mark.parametrize('change, says', [
    (dict(epochs=0), '`epochs` must be a whole number from 1'),
    (dict(batch_size=2.5), '`batch_size` must be a whole number'),
    (dict(lr=-1.), '`lr` must be a number above 0'),
    (dict(lr=[.1, math.nan]), '`lr` must be a number above 0'),
    (dict(lr=[.1, .2, .3]), '`lr` must be one number, or 2'),
    (dict(weight_decay=[.1]), '`weight_decay` must be one number, or 2'),
    (dict(optimizer='lion'), '`optimizer` must be sgd, adam or adamw'),
    (dict(optimizer=torch.optim.RMSprop), '`optimizer` must be sgd, adam or adamw'),
    (dict(momentum=.9), "`momentum` is for optimizer='sgd'"),
    (dict(how='gpu'), '`how` must be auto'), (dict(clip=1.), '`clip` is for one model'),
    (dict(accumulate=2), '`accumulate` is for one model'),
    (dict(checkpoint='run'), '`checkpoint` is for one model'),
    (dict(precision='bfloat16'), '`precision` is for one model'),
    (dict(seeds=0), '`seeds` must name a member'),
    (dict(mask=torch.ones(2, 3, dtype=torch.bool)), '`mask` must hold True or False'),
    (dict(mask=torch.ones(2, ROWS)), '`mask` must hold True or False'),
    (dict(mask=torch.arange(2)[:, None].expand(2, ROWS) == 0), 'member 1 has none')])
def test_refused(change, says):
    with pytest.raises(InputError) as e:
        fit_many(mlp, data(), F.cross_entropy, **dict(seeds=2, device='cpu') | change)
    assert says in str(e.value)


def test_refused_too():
    x, y = data()
    train = partial(fit_many, loss=F.cross_entropy, seeds=2, epochs=1, device='cpu')
    with pytest.raises(InputError, match='tensors of one length'): train(mlp, (x, y[:3]))
    with pytest.raises(InputError, match='member 1'): stack([mlp(), nn.Linear(2, 3)])
    with pytest.raises(InputError, match="`how='stacked'` cannot be: BatchNorm1d"):
        train(normed, (x, y), how='stacked')
    schedule = lambda step, held=(i for i in ()): 1. if held else 1.
    with pytest.raises(InputError, match='can be sent to another process'):
        train(mlp, (x, y), how='processes', schedule=schedule)


def test_batch_norm_is_refused_where_members_have_unequal_rows_and_goes_by_the_loop():
    mask = torch.ones(2, ROWS, dtype=torch.bool)
    mask[1, 0] = False
    train = partial(fit_many, normed, data(), F.cross_entropy, seeds=2, mask=mask, epochs=1)
    with pytest.raises(InputError, match='batch norm'): train(how='vmap', device='cpu')
    assert train(device='cpu').how in ('loop', 'processes')
