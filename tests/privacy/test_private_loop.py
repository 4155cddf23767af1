"A sampler that owns its event, noise that nobody can repeat, and a run that fails closed"
import math
import sys

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import nn

from dlcourse.core.errors import InputError
from dlcourse.privacy.accounting import PrivacyEvent, epsilon
from dlcourse.privacy.clipping import clipped_sum
from dlcourse.privacy.exact_noise import grid_step
from dlcourse.privacy.private_loop import (
    ROW_SAMPLERS,
    Chance,
    FixedBatches,
    PoissonBatches,
    PrivateRun,
    ShuffledBatches,
    fit_private,
    private_step,
)
from dlcourse.training.callbacks import FitConfig

SGD = FitConfig(optimizer='sgd', lr=.5)


def data(rows=60, dim=4, seed=0):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, dim, generator=g)
    return x, (x[:, 0] > 0).long()


def net(seed=0, dim=4):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(dim, 6), nn.Tanh(), nn.Linear(6, 2))


def trained(model=None, rows=60, **changes):
    how = dict(expected_batch=12, steps=5, noise_multiplier=1., delta=1e-3, config=SGD, seed=0)
    return fit_private(model or net(), *data(rows), **how | changes)


def test_steps_and_rate_are_exact_for_every_number_of_rows():
    wrong_elsewhere = [n for n in range(1, 5001) if int(1/(1/n)) != n]
    assert len(wrong_elsewhere) == 312
    for n in range(1, 5001):
        sampler = PoissonBatches(n, 1, n, held=0)
        assert sampler.steps == n and sampler.rate.denominator == n
        if n in wrong_elsewhere[:12]:
            assert sum(1 for _ in sampler) == n == sampler.event(1.).steps


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 5000), st.data())
def test_the_event_is_of_what_was_drawn(rows, data):
    batch, steps = data.draw(st.integers(1, rows)), data.draw(st.integers(1, 30))
    taken = data.draw(st.integers(0, steps + 3))
    sampler = PoissonBatches(rows, batch, steps, seed=0)
    with pytest.raises(InputError, match="no step"): sampler.event(1.)
    for drawn, _ in enumerate(zip(range(taken), sampler, strict=False), 1):
        assert sampler.drawn in (drawn, drawn + 1)
    if not sampler.drawn: return
    event = sampler.event(1.25)
    assert event == PrivacyEvent(1.25, batch/rows, sampler.drawn)
    assert sampler.rate*rows == batch
    for name in ('rows', 'expected_batch', 'steps', 'drawn', 'rate'):
        with pytest.raises(AttributeError): setattr(sampler, name, 1)
    for _ in sampler: pass
    assert sampler.drawn == steps == len(sampler)
    assert [*sampler] == [] # Spent: what was drawn is never drawn again


def test_no_way_to_an_epsilon_of_another_sampling():
    for kind in ('fixed', 'shuffled'):
        run = trained(sampling=kind)
        assert 'unaccounted' in repr(run)
        for ask in (lambda run=run: run.event, lambda run=run: run.epsilon):
            with pytest.raises(InputError, match="unaccounted"): ask()
    run = trained()
    assert run.event == PrivacyEvent(1., 12/60, 5)
    assert math.isclose(run.epsilon, epsilon(1., .2, 5, 1e-3))
    for name in ('event', 'epsilon', 'delta', 'steps', 'noise_multiplier', 'clip_norm'):
        with pytest.raises(AttributeError): setattr(run, name, 1)
    assert {type(run), *ROW_SAMPLERS.values()} == {
        PrivateRun, PoissonBatches, FixedBatches, ShuffledBatches}


def test_an_interrupted_run_has_the_event_of_its_steps():
    def stop(run):
        if run.steps == 3: raise KeyboardInterrupt
    run = trained(callbacks=[stop], steps=50)
    assert (run.stopped, run.steps, run.event.steps) == ('interrupted', 3, 3)
    assert trained().stopped == 'finished'


@settings(max_examples=25, deadline=None)
@given(st.integers(20, 400), st.integers(1, 15), st.integers(1, 6), st.floats(.5, 5),
       st.sampled_from(['poisson', 'fixed', 'shuffled']))
def test_the_runs_event_is_what_the_rows_saw(rows, batch, steps, noise, kind):
    seen = []
    class Watching(nn.Linear):
        def forward(self, x):
            seen.append(len(x))
            return super().forward(x)
    run = trained(Watching(4, 2), rows, expected_batch=batch, steps=steps, noise_multiplier=noise,
                  sampling=kind, engine='auto')
    assert run.steps == steps
    if kind == 'poisson': assert run.event == PrivacyEvent(noise, batch/rows, steps)
    else:
        with pytest.raises(InputError): print(run.epsilon)


def test_rows_are_drawn_by_coins_of_their_own():
    counts = torch.zeros(40)
    sizes, pairs = [], 0
    for rows in PoissonBatches(40, 10, 4000, seed=1):
        counts[rows] += 1
        sizes.append(len(rows))
        pairs += 0 in rows and 1 in rows
    assert stats.kstest((counts - 1000)/math.sqrt(4000*.25*.75), 'norm').pvalue > .001
    sizes = torch.tensor(sizes).double()
    assert abs(sizes.mean() - 10) < .2 and abs(sizes.var() - 7.5) < .6
    assert abs(pairs/4000 - .0625) < .015
    assert all(len(r) == 10 == len(r.unique()) for r in FixedBatches(40, 10, 9, seed=0))
    epoch = torch.cat([*ShuffledBatches(40, 10, 4, seed=0)])
    assert epoch.sort().values.tolist() == [*range(40)]


def test_noise_from_the_system_is_normal_and_from_a_seed_repeats():
    system = Chance()
    like = torch.zeros(101, 99)
    drawn = system.normal(like)
    assert not system.repeatable and drawn.dtype == like.dtype and drawn.shape == like.shape
    assert stats.kstest(drawn.flatten().double(), 'norm').pvalue > 1e-4
    assert stats.kstest(system.uniform(5000), 'uniform').pvalue > 1e-4
    assert abs(float((drawn[:, 1:]*drawn[:, :-1]).mean())) < .05
    assert not torch.equal(system.normal(like), system.normal(like))
    assert torch.equal(Chance(3).normal(like), Chance(3).normal(like))
    assert len(system.uniform(0)) == 0


@pytest.mark.parametrize('cipher', (True, False))
def test_many_secret_numbers_with_and_without_a_cipher(monkeypatch, cipher):
    if cipher: pytest.importorskip('cryptography')
    else: monkeypatch.setitem(sys.modules, 'cryptography.hazmat.primitives.ciphers', None)
    system, like = Chance(), torch.zeros(90_001, dtype=torch.float64)
    one, other = system.normal(like), system.normal(like)
    assert stats.kstest(one, 'norm').pvalue > 1e-4 and not torch.equal(one, other)
    assert len(torch.cat([one, other]).unique()) == 180_002
    assert abs(float((one*other).mean())) < .02 and abs(float((one[1:]*one[:-1]).mean())) < .02
    assert stats.kstest(system.uniform(50_000), 'uniform').pvalue > 1e-4


def test_a_seed_repeats_a_run_and_none_does_not():
    def weights(seed):
        return torch.cat([p.flatten() for p in trained(seed=seed).model.parameters()]).detach()
    assert torch.equal(weights(1), weights(1))
    assert not torch.equal(weights(None), weights(None))
    assert trained(seed=1).repeatable and not trained(seed=None).repeatable
    assert 'seed' in repr(trained(seed=1)) and 'seed' not in repr(trained(seed=None))


def test_the_step_is_sum_plus_noise_over_the_expected_batch():
    model, (x, y) = net(), data(7)
    want = clipped_sum(model, (x, y), clip_norm=.1).sums
    losses = private_step(model, (x, y), Chance(0), clip_norm=.1, noise_multiplier=0,
                          expected_batch=30)
    assert len(losses) == 7
    for p, total in zip(model.parameters(), want, strict=True):
        assert torch.allclose(p.grad, total/30)
    big = nn.Linear(300, 300)
    private_step(big, (torch.zeros(0, 300), torch.zeros(0, dtype=torch.long)), Chance(0),
                 clip_norm=.5, noise_multiplier=3., expected_batch=10)
    assert math.isclose(float(big.weight.grad.std()), .15, rel_tol=.02) # An empty batch: all noise


def test_nothing_is_derived_from_the_true_number_of_rows():
    "A row more, out of reach of the coins: the same steps, divisors and noise"
    x, y = data(61)
    runs = [fit_private(net(), x[:n], y[:n], rows=100, expected_batch=1, steps=20, seed=4,
                        noise_multiplier=1., delta=1e-3, config=SGD) for n in (60, 61)]
    assert runs[0].event == runs[1].event == PrivacyEvent(1., .01, 20)
    none = fit_private(net(), x[:0], y[:0], rows=100, expected_batch=10, steps=20, seed=4,
                       noise_multiplier=1., delta=1e-3, config=SGD)
    assert none.event == PrivacyEvent(1., .1, 20)
    assert all(p.isfinite().all() for p in none.model.parameters())


@pytest.mark.parametrize('bad', [math.nan, math.inf, -math.inf, 3e38, 0.])
@pytest.mark.parametrize('engine', ['auto', 'vmap', 'loop'])
def test_parameters_stay_finite(bad, engine):
    model, (x, y) = net(), data()
    x[::2] = bad
    run = fit_private(model, x, y, expected_batch=20, steps=8, noise_multiplier=.5, delta=1e-3,
                      config=SGD, seed=0, engine=engine)
    assert all(p.isfinite().all() for p in run.model.parameters())
    assert run.steps == 8 and not run.model.training and all(
        p.grad is None for p in run.model.parameters())


def test_engines_train_the_same_model():
    pytest.importorskip('opacus')
    found = {}
    for engine in ('auto', 'vmap', 'loop', 'opacus'):
        run = trained(engine=engine)
        found[engine] = torch.cat([p.flatten() for p in run.model.parameters()]).detach()
    for other in ('vmap', 'loop', 'opacus'): assert torch.allclose(
        found['auto'], found[other], atol=1e-6)


def test_it_learns_and_losses_stay_private():
    x, y = data(1000)
    run = fit_private(net(), x, y, expected_batch=100, steps=80, noise_multiplier=.8, delta=1e-4,
                      config=FitConfig(optimizer='sgd', lr=1., momentum=.5,
                                       schedule=lambda step: 1 - step/80), seed=0, chunk=30)
    assert (run.model(x).argmax(1) == y).float().mean() > .9
    assert run.losses == []
    assert len(trained(reveal_losses=True).losses) == 5
    free = trained(noise_multiplier=0)
    assert free.epsilon == math.inf
    with pytest.raises(InputError, match="no privacy event"): print(free.event)


@pytest.mark.parametrize(('changes', 'says'), [
    (dict(delta=1/60), "delta"), (dict(delta=0), "delta"), (dict(delta=math.nan), "delta"),
    (dict(noise_multiplier=-1), "noise_multiplier"), (dict(noise_multiplier=math.inf), "finite"),
    (dict(noise_multiplier=math.nan), "noise_multiplier"),
    (dict(clip_norm=0), "clip_norm"), (dict(clip_norm=math.nan), "clip_norm"),
    (dict(expected_batch=61), "expected_batch"), (dict(expected_batch=0), "expected_batch"),
    (dict(expected_batch=2.5), "expected_batch"), (dict(steps=0), "steps"),
    (dict(sampling='weighted'), "sampling"), (dict(engine='fast'), "engine"),
    (dict(config=FitConfig(batch_size=64)), "batch_size"),
    (dict(config=FitConfig(clip=1.)), "clip"),
    (dict(config=FitConfig(precision='bfloat16')), "precision"), (dict(rows=0), "rows")])
def test_what_cannot_be_is_refused(changes, says):
    with pytest.raises(InputError, match=says): trained(**changes)


def test_models_and_tables_that_cannot_be_are_refused():
    mixing = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 2))
    with pytest.raises(InputError, match="GroupNorm"): trained(mixing)
    broken = net()
    with torch.no_grad(): broken[0].weight[0, 0] = math.nan
    with pytest.raises(InputError, match="not finite"): trained(broken)
    x, y = data()
    how = dict(expected_batch=12, steps=5, noise_multiplier=1., delta=1e-3)
    for tensors in ((x,), (x, y[:5]), (x, torch.tensor(1)), (x, [0]*60)):
        with pytest.raises(InputError, match="tensors"): fit_private(net(), *tensors, **how)
    for bad in (-1, 1.5, 'a'):
        with pytest.raises(InputError, match="seed"): Chance(bad)


def test_another_loss_and_several_inputs():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Linear(4, 1)

        def forward(self, a, b): return self.inner(a*b)
    x, y = data()
    run = fit_private(Two(), x, x, y[:, None].float(), expected_batch=12, steps=5, delta=1e-3,
                      noise_multiplier=1., loss=F.mse_loss, config=SGD, seed=0)
    assert run.steps == 5 and all(p.isfinite().all() for p in run.model.parameters())


def test_telling_fewer_rows_does_not_loosen_delta():
    with pytest.raises(InputError, match="delta"): trained(rows=500, delta=.01)
    x, y = data(500)
    with pytest.raises(InputError, match="delta"):
        fit_private(net(), x, y, rows=20, expected_batch=1, steps=2, noise_multiplier=1.,
                    delta=.01, config=SGD)


def test_an_error_on_the_way_tells_what_was_spent():
    def full(run):
        if run.steps == 2: raise RuntimeError('disk full')
    model = net()
    with pytest.raises(RuntimeError, match='disk full') as caught:
        trained(model, callbacks=[full])
    assert 'interrupted after 2 steps: ε = ' in caught.value.__notes__[0]
    assert not model.training and all(p.grad is None for p in model.parameters())


def test_it_stops_where_parameters_are_not_finite():
    run = trained(config=FitConfig(optimizer='sgd', lr=1e38, momentum=.9), steps=30)
    assert run.stopped == 'not finite' and run.steps < 30 and run.event.steps == run.steps


def bits_behind_the_26th(give, total, n=200_000):
    small = give(torch.full((n,), total)).double()
    small = small[small.abs() < 2**-6]
    return int((small*2**26 % 1 != 0).sum()), len(small)


def test_low_bits_tell_a_sum_from_another_and_not_on_the_grid():
    chance = Chance()
    def floating(s): return s + chance.normal(s)
    def whole(s): return chance.on_grid(s, 1., 2.**-20)
    told, n = bits_behind_the_26th(floating, 0.)
    assert told > .9*n and bits_behind_the_26th(floating, 1/3)[0] == 0
    assert bits_behind_the_26th(whole, 0.)[0] == bits_behind_the_26th(whole, 1/3)[0] == 0


def test_noise_on_the_grid_has_the_chances_of_a_rounded_normal():
    from scipy.stats import chisquare, norm
    chance, spread = Chance(), 3.
    drawn = chance.on_grid(torch.zeros(300_000), spread, 1.).long()
    k = torch.arange(-9, 10)
    seen = [int((drawn <= -9).sum()), *(int((drawn == i).sum()) for i in k[1:-1]),
            int((drawn >= 9).sum())]
    edges = norm.cdf((k[:-1].double() + .5)/spread)
    p = [edges[0], *(edges[1:] - edges[:-1]), 1 - edges[-1]]
    assert chisquare(seen, [300_000*v for v in p]).pvalue > 1e-6
    far = chance.normal(torch.zeros(1001, dtype=torch.float64))
    assert far.dtype == torch.float64 and far.isfinite().all() and len(far.unique()) == 1001


def test_rounding_to_the_grid_moves_sums_apart_by_no_more_than_is_paid_for():
    g = torch.Generator().manual_seed(0)
    for numbers, clip in ((1, 1.), (50, .1), (10_000, 3.)):
        step, most = grid_step(clip, numbers)
        assert clip < most <= clip*(1 + 2**-11.9) and math.log2(step) % 1 == 0
        for _ in range(20):
            one = torch.randn(numbers, generator=g, dtype=torch.float64)
            way = torch.randn(numbers, generator=g, dtype=torch.float64)
            two = one + clip*way/way.norm()
            assert ((one/step).round() - (two/step).round()).norm()*step <= most


def test_a_run_without_a_seed_puts_its_gradients_on_the_grid():
    torch.manual_seed(0)
    model, x, y = nn.Linear(4, 2), torch.randn(40, 4), torch.randint(0, 2, (40,))
    private_step(model, (x, y), Chance(), clip_norm=.5, noise_multiplier=1., expected_batch=1)
    step, _ = grid_step(.5, 10)
    for p in model.parameters(): assert torch.equal(p.grad/step, (p.grad/step).round())
    assert not torch.equal(model.weight.grad, torch.zeros(2, 4))


class Recurrent(nn.Module):
    "A GRU, for which `vmap` has no rule"
    def __init__(self):
        super().__init__()
        self.gru, self.out = nn.GRU(4, 6, batch_first=True), nn.Linear(6, 3)

    def forward(self, x): return self.out(self.gru(x)[0][:, -1])


def test_a_layer_without_a_rule_for_vmap_is_trained_by_the_loop():
    torch.manual_seed(0)
    model, batch = Recurrent(), (torch.randn(6, 5, 4), torch.randint(0, 3, (6,)))
    found, want = (clipped_sum(model, batch, clip_norm=.3, engine=e).sums for e in ('auto', 'loop'))
    for a, b in zip(found, want, strict=True): assert torch.equal(a, b)
    run = fit_private(model, *batch, expected_batch=3, steps=3, noise_multiplier=1., delta=1e-3)
    assert run.stopped == 'finished'
    with pytest.raises(RuntimeError): clipped_sum(model, batch, engine='vmap')


@pytest.mark.parametrize(('changes', 'said'), (
    (dict(engine='layers', model=Recurrent(), x=torch.randn(9, 5, 4)), 'no formula'),
    (dict(engine='vmap', model=Recurrent(), x=torch.randn(9, 5, 4)), 'fit together'),
    (dict(loss=None), 'fit together'), (dict(x=torch.randn(9, 7)), 'fit together'),
    (dict(x=torch.ones(9, 4, dtype=torch.long)), 'fit together'),
    (dict(x=torch.ones(9, 4, dtype=torch.float64)), 'fit together'),
    (dict(y=torch.rand(9)), 'fit together'), (dict(chunk=0), '`chunk`'),
    (dict(chunk=1.5), '`chunk`'), (dict(seed=2**70), '`seed`'), (dict(config='x'), '`config`'),
    (dict(callbacks=None), '`callbacks`'), (dict(callbacks=[1]), '`callbacks`'),
    (dict(sampling=['poisson']), '`sampling`'), (dict(model=None), '`model`'),
    (dict(model=nn.ReLU()), '`model`'), (dict(noise_multiplier=1e300), '`noise_multiplier`'),
    (dict(noise_multiplier=1e-300), '`noise_multiplier`'), (dict(steps=10**13), '`steps`')))
def test_what_does_not_fit_is_refused_before_a_row_is_drawn(changes, said):
    asked = dict(model=nn.Linear(4, 2), x=torch.randn(9, 4), y=torch.randint(0, 2, (9,)),
                 expected_batch=3, steps=2, noise_multiplier=1., delta=1e-3) | changes
    with pytest.raises(InputError, match=said) as e:
        fit_private(asked.pop('model'), asked.pop('x'), asked.pop('y'), **asked)
    assert not getattr(e.value, '__notes__', None)
