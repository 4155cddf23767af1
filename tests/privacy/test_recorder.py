"The recorder names twelve planted faults, accuses no right loop, and finds opacus's known ones"
import dataclasses
import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dlcourse.core.errors import InputError
from dlcourse.privacy.accounting import epsilon
from dlcourse.privacy.findings import evenness, loud_row
from dlcourse.privacy.listening import record_releases
from dlcourse.privacy.planted import (
    FAULTS,
    TrainingClaim,
    planted_claim,
    planted_loop,
    planted_model,
)
from dlcourse.privacy.recorder import TrainingRecorder

MODELS = {
    'linear': (lambda: nn.Linear(8, 3), (8,)),
    'mlp': (lambda: nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3)), (8,)),
    'deep': (lambda: nn.Sequential(nn.Linear(8, 12), nn.ReLU(), nn.LayerNorm(12),
                                   nn.Linear(12, 12), nn.GELU(), nn.Linear(12, 3)), (8,)),
    'cnn': (lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Flatten(),
                                  nn.Linear(64, 3)), (1, 6, 6)),
}


def world(model='mlp', rows=240, seed=0):
    make, shape = MODELS[model]
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, *shape, generator=g)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return make, x, x.flatten(1)[:, :3].argmax(1)


def claimed(**changed):
    return TrainingClaim(**(dict(noise_multiplier=1.1, clip_norm=.6, sample_rate=.1,
                                expected_batch=24, steps=20, delta=1e-3, rows=240) | changed))


def recorded(fault=None, model='mlp', claim=None, seed=0, **options):
    claim = planted_claim(claim or claimed(), fault)
    make, x, y = world(model, claim.rows, seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = planted_model(make, fault, 3)
    return TrainingRecorder(planted_loop(claim, fault, **options), net, x, y, claim,
                            seed=seed).check()


@pytest.mark.parametrize('model', ['mlp', 'cnn'])
@pytest.mark.parametrize('fault', FAULTS)
def test_each_planted_fault_is_named_and_no_other(fault, model):
    claim = claimed() if model == 'mlp' else claimed(clip_norm=1.5, sample_rate=.2,
                                                     expected_batch=48, noise_multiplier=.8)
    found = recorded(fault, model, claim)
    assert found.faults == (fault,), found


RIGHT = [
    ('linear', {}, {}), ('mlp', {}, {}), ('deep', {}, {}), ('cnn', {}, {}),
    ('mlp', dict(clip_norm=.1), {}), ('mlp', dict(clip_norm=1.), {}),
    ('mlp', dict(clip_norm=3.), {}), ('mlp', dict(noise_multiplier=.3), {}),
    ('mlp', dict(noise_multiplier=6.), {}), ('linear', dict(sample_rate=.4, expected_batch=96), {}),
    ('mlp', dict(sample_rate=.02, expected_batch=5), {}), ('mlp', dict(expected_batch=100), {}),
    ('mlp', {}, dict(optimizer=torch.optim.Adam, lr=1e-3)),
    ('cnn', {}, dict(optimizer=torch.optim.AdamW, lr=1e-3)),
    ('mlp', {}, dict(optimizer=lambda p, lr: torch.optim.SGD(p, lr, momentum=.9))),
    ('linear', dict(rows=61, sample_rate=1/7, expected_batch=9), {}),
]


@pytest.mark.parametrize(('model', 'claim', 'options'), RIGHT)
def test_a_right_loop_is_not_accused(model, claim, options):
    found = recorded(None, model, claimed(**claim), seed=3, **options)
    assert not found.faults and not found.untried, found


@pytest.mark.parametrize(('model', 'engine', 'optimizer'), [
    ('mlp', 'layers', 'sgd'), ('cnn', 'layers', 'adam'), ('mlp', 'vmap', 'sgd'),
    ('deep', 'loop', 'sgd'), ('mlp', 'opacus', 'sgd'), ('cnn', 'opacus', 'adam')])
def test_our_own_private_training_is_not_accused(model, engine, optimizer):
    from dlcourse.privacy.private_loop import fit_private
    from dlcourse.training.loop import FitConfig
    if engine == 'opacus': pytest.importorskip('opacus')
    make, x, y = world(model)
    claim = claimed()
    claim = dataclasses.replace(claim, epsilon=epsilon(1.1, .1, 20, 1e-3))
    def train(model, x, y, seed):
        fit_private(model, x, y, expected_batch=24, steps=20, noise_multiplier=1.1, clip_norm=.6,
                    delta=1e-3, engine=engine, seed=seed, config=FitConfig(optimizer=optimizer))
    found = TrainingRecorder(train, make(), x, y, claim).check()
    assert not found.faults and not found.untried, found


@pytest.mark.filterwarnings('ignore')
def test_opacus_lets_nan_through_and_divides_by_the_private_size():
    opacus = pytest.importorskip('opacus')
    make, x, y = world(rows=250)
    def train(model, x, y, seed):
        loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(x, y), batch_size=25)
        optimizer = torch.optim.SGD(model.parameters(), lr=.1)
        model, optimizer, loader = opacus.PrivacyEngine(accountant='rdp').make_private(
            module=model, optimizer=optimizer, data_loader=loader, noise_multiplier=1.1,
            max_grad_norm=.6)
        for _ in range(3):
            for a, b in loader:
                optimizer.zero_grad()
                F.cross_entropy(model(a), b).backward()
                optimizer.step()
    claim = claimed(steps=30, rows=250, expected_batch=25)
    found = TrainingRecorder(train, make(), x, y, claim).check()
    by = {c.name: c for c in found.checks}
    assert set(found.faults) == {'NaN propagation', 'expected batch from the private size'}, found
    assert by['noise'].status == by['sampling'].status == 'held'


def by_hand(model, x, y, seed, release):
    "A loop of an answer by hand, without an optimizer, noise from torch's own generator"
    for _ in range(20):
        index = (torch.rand(len(x)) < .1).nonzero()[:, 0]
        total = [torch.zeros_like(p) for p in model.parameters()]
        for i in index:
            loss = F.cross_entropy(model(x[i:i+1]), y[i:i+1])
            grads = torch.autograd.grad(loss, list(model.parameters()))
            size = torch.cat([g.flatten() for g in grads]).norm()
            if not size.isfinite(): continue
            for t, g in zip(total, grads, strict=True): t += g*(.6/size).clamp(max=1)
        total = [(t + 1.1*.6*torch.randn_like(t))/24 for t in total]
        with torch.no_grad():
            for p, t in zip(model.parameters(), total, strict=True): p -= .1*t
        release(total)


def test_a_loop_without_an_optimizer_tells_what_it_releases():
    make, x, y = world()
    found = TrainingRecorder(by_hand, make(), x, y, claimed()).check()
    assert not found.faults and not found.untried, found


def test_the_size_of_the_batch_itself_is_not_public():
    make, x, y = world()
    def train(model, x, y, seed, release):
        def scaled(total, n): release([t*24/max(n, 1) for t in total])
        for _ in range(20):
            state = torch.get_rng_state()
            n = int((torch.rand(len(x)) < .1).sum())
            torch.set_rng_state(state)
            one = [None]
            by_hand_once(model, x, y, one)
            scaled(one[0], n)
    found = TrainingRecorder(train, make(), x, y, claimed()).check()
    assert 'expected batch from the private size' in found.faults, found


def by_hand_once(model, x, y, into):
    class Stop(Exception): pass
    def release(total):
        into[0] = total
        raise Stop
    try: by_hand(model, x, y, 0, release)
    except Stop: pass


def test_an_epsilon_of_another_delta_is_found():
    cheap = epsilon(1.1, .1, 20, 1e-2)
    found = recorded(None, claim=claimed(epsilon=cheap))
    assert found.faults == ('wrong δ',)
    assert 'δ = 0.01' in found.checks[-1].evidence
    assert not recorded(None, claim=claimed(epsilon=epsilon(1.1, .1, 20, 1e-3))).faults


def test_no_noise_is_named():
    make, x, y = world()
    claim = claimed()
    def train(model, x, y, seed):
        torch_randn = torch.randn
        try:
            torch.randn = lambda shape, generator=None: torch.zeros(shape)
            planted_loop(claim)(model, x, y, seed)
        finally: torch.randn = torch_randn
    assert 'no noise' in TrainingRecorder(train, make(), x, y, claim).check().faults


def test_noise_that_torch_did_not_draw_is_not_taken_for_another_fault():
    make, x, y = world()
    claim = claimed()
    def train(model, x, y, seed):
        torch_randn, rng = torch.randn, np.random.default_rng(seed)
        try:
            torch.randn = lambda shape, generator=None: torch.tensor(
                rng.standard_normal(shape), dtype=torch.float32)
            planted_loop(claim)(model, x, y, seed)
        finally: torch.randn = torch_randn
    found = TrainingRecorder(train, make(), x, y, claim).check()
    assert found.faults == ('no noise',) and 'public size' in found.untried
    assert 'give `quiet`' in str([c.evidence for c in found.checks])


def test_refusing_rows_that_are_not_finite_is_no_fault():
    make, x, y = world()
    inner = planted_loop(claimed(), 'NaN propagation')
    def train(model, x, y, seed):
        if not x.isfinite().all(): raise ValueError('clean your rows')
        inner(model, x, y, seed)
    found = TrainingRecorder(train, make(), x, y, claimed()).check()
    assert not found.faults
    assert any('refused' in c.evidence for c in found.checks)


def test_where_clipping_is_not_asked_for_it_is_not_passed():
    make, x, y = world('linear')
    found = TrainingRecorder(planted_loop(claimed(clip_norm=1e6)), make(), x, y,
                             claimed(clip_norm=1e6)).check()
    assert 'sensitivity' in found.untried


def test_whole_numbers_as_rows():
    g = torch.Generator().manual_seed(0)
    x, y = torch.randint(0, 20, (240, 5), generator=g), torch.randint(0, 3, (240,), generator=g)
    model = nn.Sequential(nn.Embedding(20, 4), nn.Flatten(), nn.Linear(20, 3))
    found = TrainingRecorder(planted_loop(claimed(clip_norm=.2)), model, x, y,
                             claimed(clip_norm=.2)).check()
    assert not found.faults and found.untried == ('finite',)


def test_the_model_and_the_random_state_outside_stay():
    make, x, y = world()
    model = make()
    before = [p.clone() for p in model.parameters()]
    state = torch.get_rng_state()
    record_releases(planted_loop(claimed()), model, x, y)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_a_silent_run_sees_the_batches_of_the_loud_one():
    make, x, y = world()
    claim = claimed(noise_multiplier=1e-9)
    loud, still = (record_releases(planted_loop(claim), make_same(make), x, y, silent=s)[0]
                   for s in (False, True))
    assert float((loud - still).abs().max()) < 1e-8


def make_same(make):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make()


def test_evenness_holds_its_level_and_sees_queues():
    rng = np.random.default_rng(0)
    low = [evenness(rng.binomial(200, .1, (3, 20)), 200, .1) < .05 for _ in range(400)]
    assert sum(low) <= 34 # Binomial: more than 34 of 400 at .05 have a chance below .1 %
    for sizes in ([20]*20, [64, 64, 64, 8]*5):
        assert evenness([sizes]*3, 200, 20/200 if sizes[0] == 20 else 64/200) < 1e-6


def test_a_loud_row_is_longer_than_all_that_were_given():
    make, x, y = world()
    row, target, size = loud_row(make(), F.cross_entropy, x, y)
    assert row.shape == x[:1].shape and target.shape == y[:1].shape and size > 10


def test_a_result_goes_into_a_report():
    found = recorded('no clipping')
    assert json.loads(json.dumps(found.to_dict()))['faults'] == ['no clipping']
    assert 'no clipping' in str(found) and '<table' in found._repr_html_()


@pytest.mark.parametrize(('call', 'match'), [
    (lambda: planted_loop(claimed(), 'typo'), '`fault`'),
    (lambda: claimed(noise_multiplier=0.), '`noise_multiplier` must be above 0'),
    (lambda: claimed(sample_rate=1.5), '`sample_rate`'),
    (lambda: claimed(sample_rate=0), '`sample_rate` must be above 0'),
    (lambda: claimed(clip_norm=math.inf), '`clip_norm` must be above 0 and finite'),
    (lambda: claimed(steps=0), '`steps`'),
    (lambda: TrainingRecorder(by_hand, nn.Linear(2, 2), torch.zeros(9, 2), torch.zeros(9), {}),
     '`claim`'),
    (lambda: TrainingRecorder(by_hand, nn.Linear(2, 2), torch.zeros(9, 2), torch.zeros(8),
                              claimed()), '`x` and `y`'),
    (lambda: TrainingRecorder(by_hand, nn.Flatten(), torch.zeros(9, 2), torch.zeros(9), claimed()),
     '`model` must have weights'),
    (lambda: record_releases(lambda model, x, y, seed: None, nn.Linear(2, 2), torch.zeros(9, 2),
                             torch.zeros(9)), '`train` must step'),
])
def test_bad_input_says_what_to_do(call, match):
    with pytest.raises(InputError, match=match): call()


def test_a_loop_that_ignores_its_seed_is_refused():
    make, x, y = world()
    rng = torch.Generator().manual_seed(0)
    def train(model, x, y, seed): planted_loop(claimed())(model, x, y, int(torch.randint(
        99999, (1,), generator=rng)))
    with pytest.raises(InputError, match='same again'):
        TrainingRecorder(train, make(), x, y, claimed()).check()


def coins_of(n, g, rate=.1): return (torch.rand(n, generator=g) < rate).nonzero()[:, 0]


def right_but_for(
    noise_of=lambda noise, i, k: noise,       # Standard normal noise, parameter, step → noise
    rows_of=lambda n, g, seen: coins_of(n, g), # Rows, chance, batches so far → the next batch
):
    "A loop that is right, but for its noise or the rows of its batches"
    from dlcourse.privacy.planted import _cut_sum, _of_each
    claim = claimed()
    def train(model, x, y, seed):
        coins, dice = (torch.Generator().manual_seed(seed + k) for k in (0, 1))
        weights = list(model.parameters())
        step, seen = torch.optim.SGD(weights, lr=.1), []
        for k in range(claim.steps):
            seen.append(rows_of(len(x), coins, seen))
            each = _of_each(model, F.cross_entropy, x[seen[-1]], y[seen[-1]])
            sums = _cut_sum(each, claim.clip_norm, None)
            for i, (p, total) in enumerate(zip(weights, sums, strict=True)):
                noise = noise_of(torch.randn(p.shape, generator=dice), i, k)*claim.clip_norm
                p.grad = (total.view_as(p) + claim.noise_multiplier*noise)/claim.expected_batch
            step.step()
    return train


@pytest.mark.parametrize(('noise_of', 'faults'), [
    (lambda n, i, k: n, ()),
    (lambda n, i, k: n*(i != 3), ('noise',)), # The last bias has none
    (lambda n, i, k: n*(i < 2)*math.sqrt(195/144), ('noise',)), # The last layer; size is right
    (lambda n, i, k: n*(k > 0)*math.sqrt(20/19), ('noise',))]) # The first step; size is right
def test_noise_that_is_missing_somewhere_is_named(noise_of, faults):
    make, x, y = world()
    found = TrainingRecorder(right_but_for(noise_of), make(), x, y, claimed()).check()
    assert found.faults == faults


SCATTERED = torch.randperm(240, generator=torch.Generator().manual_seed(9))


@pytest.mark.parametrize(('rows_of', 'faults'), [
    (lambda n, g, seen: coins_of(n, g), ()),
    (lambda n, g, seen: seen[0] if seen else coins_of(n, g), ('one batch again and again',)),
    (lambda n, g, seen: seen[-2] if len(seen) > 1 else coins_of(n, g),
     ('one batch again and again',)),
    (lambda n, g, seen: coins_of(n//2, g, .2), ('rows that are never drawn',)),
    (lambda n, g, seen: 2*coins_of(n//2, g, .2) + 1, ('rows that are never drawn',)),
    (lambda n, g, seen: SCATTERED[SCATTERED < n][coins_of(n//2, g, .2)], ('rows drawn unevenly',)),
    (lambda n, g, seen: (torch.rand(n, generator=g)*2 < .4*torch.arange(n)/n).nonzero()[:, 0],
     ('rows drawn unevenly',))])
def test_rows_that_come_again_or_never_are_named(rows_of, faults):
    make, x, y = world()
    found = TrainingRecorder(right_but_for(rows_of=rows_of), make(), x, y, claimed()).check()
    assert found.faults == faults and (faults or not found.untried), found


def stepping(optimizers):
    "A loop that steps these"
    def train(model, x, y, seed):
        made = optimizers(model)
        for _ in range(3):
            for p in model.parameters(): p.grad = torch.zeros_like(p)
            for optimizer in made: optimizer.step()
    return train


def test_optimizers_that_do_not_hold_the_whole_model_are_refused():
    from dlcourse.privacy.listening import record_releases
    net = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    x, y = torch.randn(9, 3), torch.zeros(9, dtype=torch.long)
    def sgd(part): return torch.optim.SGD(part.parameters(), lr=.1)
    for optimizers in (lambda m: [sgd(m[0]), sgd(m[1])], lambda m: [sgd(m[1])]):
        with pytest.raises(InputError, match='all 4 trained tensors'):
            record_releases(stepping(optimizers), net, x, y)
    net[0].requires_grad_(False)
    for optimizers in (lambda m: [sgd(m[1])], lambda m: [sgd(m)]):
        assert record_releases(stepping(optimizers), net, x, y)[0].shape == (3, 6)


def test_dropout_is_refused_for_its_draws_look_like_rows():
    from dlcourse.privacy.listening import record_releases
    net = nn.Sequential(nn.Linear(3, 2), nn.Dropout(.3))
    x, y = torch.randn(9, 3), torch.zeros(9, dtype=torch.long)
    def train(model, *_): stepping(lambda m: [torch.optim.SGD(m.parameters(), lr=.1)])(model, *_)
    with pytest.raises(InputError, match='dropout'): record_releases(train, net, x, y)
    net[1].p = 0.
    assert len(record_releases(train, net, x, y)[0]) == 3
