"Members trained at once equal single runs with torch.optim, whatever differs between them; and what is refused"
import math
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hyp_settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from dlcourse.core.errors import InputError
from dlcourse.training import ensembles
from dlcourse.training.ensembles import fit_many, losses_of_all, outputs_of_all, stack

ROWS = 45


def data(dtype=torch.float32):
    g = torch.Generator().manual_seed(5)
    x = torch.randn(ROWS, 6, generator=g, dtype=torch.float64)
    return x.to(dtype), (x[:, 0] - x[:, 1] > 0).long() + (x[:, 2] > .5).long()


def mlp(dtype=torch.float32): return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)).to(dtype)
def normed(): return nn.Sequential(nn.Linear(6, 5, bias=False), nn.BatchNorm1d(5), nn.ReLU(), nn.Linear(5, 3))
def conv(): return nn.Sequential(nn.Unflatten(1, (1, 2, 3)), nn.Conv2d(1, 4, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
def dropped(): return nn.Sequential(nn.Linear(6, 64), nn.Dropout(.5), nn.Linear(64, 3))


def alone(make, x, y, seed, optimizer, *, epochs=3, batch_size=8, schedule=None, shuffle=True, loss=F.cross_entropy):
    "One run in plain torch"
    torch.manual_seed(seed)
    model = make().train()
    opt = optimizer([p for p in model.parameters() if p.requires_grad])
    scheduler = torch.optim.lr_scheduler.LambdaLR(opt, schedule) if schedule else None
    order, losses = torch.Generator().manual_seed(seed), []
    for _ in range(epochs):
        rows = torch.randperm(len(x), generator=order) if shuffle else torch.arange(len(x))
        for i in range(0, len(x), batch_size):
            opt.zero_grad()
            value = loss(model(x[rows[i:i + batch_size]]), y[rows[i:i + batch_size]])
            value.backward()
            opt.step()
            if scheduler: scheduler.step()
            losses.append(float(value.detach()))
    return model.eval(), losses


def same(members, singles, atol):
    for k, (model, losses) in enumerate(singles):
        for (name, want), got in zip(model.state_dict().items(), members.member(k).state_dict().values(), strict=True):
            torch.testing.assert_close(got, want, atol=atol, rtol=atol, msg=lambda m, name=name, k=k: f'member {k}, {name}: {m}')
        got = members.losses[k][~members.losses[k].isnan()].tolist()
        assert len(got) == len(losses) and max(abs(a - b) for a, b in zip(got, losses, strict=True)) < 10*atol


OPTIMIZERS = {
    'sgd': (torch.optim.SGD, dict(momentum=.9)), 'adam': (torch.optim.Adam, {}), 'adamw': (torch.optim.AdamW, {})}


@pytest.mark.parametrize('dtype, atol', [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize('name', OPTIMIZERS)
@pytest.mark.parametrize('how', ['vmap', 'loop'])
def test_members_equal_single_runs(how, name, dtype, atol):
    "Seeds, learning rates, decays and rows of their own, in unequal number, with a schedule"
    x, y = data(dtype)
    cls, more = OPTIMIZERS[name]
    seeds, lr, decay = [3, 0, 11, 4], [.01, .03, .002, .02], [0., .1, .01, .3]
    mask = torch.rand(4, ROWS, generator=torch.Generator().manual_seed(1)) < torch.tensor([[.9], [.5], [.2], [.7]])
    mask[0] = True
    falling = lambda step: 1/(1 + .1*step)
    members = fit_many(partial(mlp, dtype), (x, y), F.cross_entropy, seeds=seeds, lr=lr, weight_decay=decay, mask=mask, how=how, epochs=3, batch_size=8,
                       optimizer=name, schedule=falling, device='cpu', **more)
    assert len({int(m.sum() + 7)//8 for m in mask}) > 1 # Members end after different numbers of steps
    same(members, [alone(partial(mlp, dtype), x[m], y[m], s, partial(cls, lr=r, weight_decay=d, **more), schedule=falling)
                   for s, r, d, m in zip(seeds, lr, decay, mask, strict=True)], atol)
    torch.testing.assert_close(members.predict(x, batch_size=7), torch.stack([members.member(k)(x) for k in range(4)]).detach(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('make', [normed, conv])
@pytest.mark.parametrize('masked', [False, True])
def test_convolutions_and_batch_norm(make, masked):
    x, y = data()
    mask = torch.stack([torch.arange(ROWS) % 3 != k for k in range(3)]) if masked else None
    members = fit_many(make, (x, y), F.cross_entropy, seeds=3, lr=.01, mask=mask, how='vmap', batch_size=9, epochs=3, device='cpu')
    rows = mask if masked else [slice(None)]*3
    same(members, [alone(make, x[m], y[m], s, partial(torch.optim.AdamW, lr=.01, weight_decay=0.), batch_size=9) for s, m in zip(range(3), rows, strict=True)], 1e-5)


def test_processes_equal_a_loop():
    x, y = data()
    make = partial(nn.Linear, 6, 3)
    runs = [fit_many(make, (x, y), F.cross_entropy, seeds=[4, 2, 7], lr=[.1, .2, .3], optimizer='sgd', epochs=2, how=how, device='cpu') for how in ('processes', 'loop')]
    assert [m.how for m in runs] == ['processes', 'loop'] and runs[0].seeds == (4, 2, 7)
    for name, t in runs[0].state.items(): torch.testing.assert_close(t, runs[1].state[name], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(runs[0].losses, runs[1].losses, atol=1e-6, rtol=1e-6)


def test_order_is_that_of_the_rows_without_shuffling_and_other_losses_work():
    x, _ = data()
    make = partial(nn.Linear, 6, 6)
    members = fit_many(make, (x,), F.mse_loss, seeds=[1, 2], shuffle=False, optimizer='sgd', lr=.1, how='vmap', epochs=2, batch_size=10, device='cpu')
    same(members, [alone(make, x, x, s, partial(torch.optim.SGD, lr=.1), shuffle=False, epochs=2, batch_size=10, loss=F.mse_loss) for s in (1, 2)], 1e-5)


def test_rows_of_others_have_no_influence():
    x, y = data()
    mask = torch.ones(2, ROWS, dtype=torch.bool)
    mask[1, 10:] = False
    other = x.clone()
    other[10:] += 100
    first, second = (fit_many(mlp, (t, y), F.cross_entropy, seeds=2, mask=mask, how='vmap', epochs=2, device='cpu') for t in (x, other))
    assert all(torch.equal(t[1], second.state[name][1]) for name, t in first.state.items())
    assert not torch.equal(first.state['0.weight'][0], second.state['0.weight'][0])


def test_a_member_that_breaks_breaks_alone():
    x, y = data()
    make, how = partial(nn.Linear, 6, 6), dict(optimizer='sgd', how='vmap', device='cpu')
    members = fit_many(make, (x,), F.mse_loss, seeds=[0, 0], lr=[.1, 1e30], **how)
    good = fit_many(make, (x,), F.mse_loss, seeds=[0], lr=.1, **how)
    assert not members.state['weight'][1].isfinite().all()
    torch.testing.assert_close(members.state['weight'][0], good.state['weight'][0], atol=1e-6, rtol=1e-6)


def test_frozen_parameters_stay_and_dropout_differs_between_members():
    x, y = data()

    def frozen():
        model = mlp()
        model[0].weight.requires_grad_(False)
        return model
    members = fit_many(frozen, (x, y), F.cross_entropy, seeds=2, weight_decay=.1, how='vmap', device='cpu')
    assert torch.equal(members.state['0.weight'][1], ensembles.start(frozen, 1)[0].weight) and not members.state['2.weight'].requires_grad
    twins = fit_many(dropped, (x, y), F.cross_entropy, seeds=[0, 0], how='vmap', epochs=1, device='cpu')
    again = fit_many(dropped, (x, y), F.cross_entropy, seeds=[0, 0], how='vmap', epochs=1, device='cpu')
    assert not torch.equal(*twins.state['0.weight']) and torch.equal(twins.state['0.weight'], again.state['0.weight'])
    assert torch.equal(twins.predict(x), twins.predict(x))


def test_the_random_numbers_of_the_caller_stay():
    x, y = data()
    before = torch.get_rng_state()
    for how in ('vmap', 'loop', 'auto'): fit_many(mlp, (x, y), F.cross_entropy, seeds=2, epochs=1, how=how, device='cpu')
    assert torch.equal(before, torch.get_rng_state())


def test_auto_takes_the_way_with_the_least_seconds(monkeypatch):
    x, y = data()
    for want in ('vmap', 'loop'):
        monkeypatch.setattr(ensembles, 'measure', lambda *_, want=want: {'vmap': 1., 'loop': 1.} | {want: .5})
        members = fit_many(mlp, (x, y), F.cross_entropy, seeds=2, epochs=1, device='cpu')
        assert members.how == want and f'{want}: estimated' in repr(members) and len(members) == 2


class Asks(nn.Linear):
    def forward(self, x): return super().forward(x) if float(x.sum()) > -math.inf else x


def test_auto_goes_round_what_vmap_cannot_do():
    x, y = data()
    members = fit_many(partial(Asks, 6, 3), (x, y), F.cross_entropy, seeds=2, epochs=1, device='cpu')
    assert members.seconds['vmap'] == math.inf and members.how == 'loop'


def test_what_can_be_imported():
    assert ensembles.importable(partial(nn.Linear, 2, 3), F.cross_entropy)
    assert not ensembles.importable(lambda: nn.Linear(2, 3))
    page = type('f', (), {'__module__': '__main__'})
    assert not ensembles.importable(page)


@given(st.integers(1, 4), st.integers(1, 6), st.integers(0, 2**31))
@hyp_settings(max_examples=25, deadline=None)
def test_masked_losses(members, rows, seed):
    g = torch.Generator().manual_seed(seed)
    outputs, target = torch.randn(members, rows, 3, generator=g, dtype=torch.float64), torch.randint(0, 3, (members, rows), generator=g)
    counts = torch.rand(members, rows, generator=g) < .6
    counts[:, 0] = True
    want = torch.stack([F.cross_entropy(o[c], t[c]) for o, t, c in zip(outputs, target, counts, strict=True)])
    torch.testing.assert_close(losses_of_all(F.cross_entropy, outputs, target, counts), want, atol=1e-12, rtol=1e-12)


def test_stack_and_ask():
    models = [normed().eval() for _ in range(3)]
    x = data()[0]
    torch.testing.assert_close(outputs_of_all(models[0], stack(models), x), torch.stack([m(x) for m in models]))


@pytest.mark.parametrize('change, says', [
    (dict(epochs=0), '`epochs` must be a whole number from 1'), (dict(batch_size=2.5), '`batch_size` must be a whole number'),
    (dict(lr=-1.), '`lr` must be a number from 0'), (dict(lr=[.1, math.nan]), '`lr` must be a number from 0'), (dict(lr=[.1, .2, .3]), '`lr` must be one number, or 2'),
    (dict(weight_decay=[.1]), '`weight_decay` must be one number, or 2'), (dict(optimizer='lion'), '`optimizer` must be sgd, adam or adamw'),
    (dict(momentum=.9), "`momentum` is for optimizer='sgd'"), (dict(how='gpu'), '`how` must be auto'), (dict(seeds=0), '`seeds` must name a member'),
    (dict(how='processes'), 'can be imported'), (dict(mask=torch.ones(2, 3, dtype=torch.bool)), '`mask` must hold True or False'),
    (dict(mask=torch.ones(2, ROWS)), '`mask` must hold True or False'), (dict(mask=torch.arange(2)[:, None].expand(2, ROWS) == 0), 'member 1 has none')])
def test_refused(change, says):
    x, y = data()
    with pytest.raises(InputError) as e: fit_many(lambda: mlp(), (x, y), F.cross_entropy, **dict(seeds=2, device='cpu') | change)
    assert says in str(e.value)


def test_refused_too():
    x, y = data()
    with pytest.raises(InputError, match='tensors of one length'): fit_many(mlp, (x, y[:3]), F.cross_entropy, seeds=2, device='cpu')
    mask = torch.ones(2, ROWS, dtype=torch.bool)
    mask[1, 0] = False
    with pytest.raises(InputError, match='batch norm'): fit_many(normed, (x, y), F.cross_entropy, seeds=2, mask=mask, how='vmap', device='cpu')
    assert fit_many(normed, (x, y), F.cross_entropy, seeds=2, mask=mask, epochs=1, device='cpu').how == 'loop'
    with pytest.raises(InputError, match='member 1'): stack([mlp(), nn.Linear(2, 3)])


def test_a_process_that_breaks_off_says_why(monkeypatch):
    monkeypatch.setattr(ensembles.subprocess, 'run', lambda *_, **__: SimpleNamespace(returncode=1, stderr=b'RuntimeError: shapes cannot be multiplied', stdout=b''))
    with pytest.raises(RuntimeError, match='broke off: RuntimeError: shapes cannot'):
        fit_many(partial(nn.Linear, 5, 3), data(), F.cross_entropy, seeds=1, how='processes', device='cpu')
