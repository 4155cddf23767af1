"Optimizers equal torch's step for step with every option on; and what they refuse"
import math
from functools import partial
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import settings as hyp_settings
from hypothesis import strategies as st
from torch import nn, optim

from dlcourse.core.errors import InputError
from dlcourse.foundations import constructors as ours
from dlcourse.foundations.optimizers import hidden_matrices
from dlcourse.foundations.schedules import cosine

STEPS = 100
SHAPES = [(3, 4), (4,), (), (6, 2)]


def leaves(shapes=SHAPES, dtype=torch.float64, seed=0):
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=g, dtype=torch.float64).to(dtype).requires_grad_()
            for shape in shapes]


def slopes(params, step, seed=1):
    "Gradients that depend on the parameters, with noise of all sizes; now and then one has none"
    g = torch.Generator().manual_seed(1000*seed + step)
    for i, p in enumerate(params):
        noise = torch.randn(p.shape, generator=g, dtype=torch.float64).to(p.dtype)
        p.grad = None if (step + i) % 7 == 3 else (p.detach().sin() + 10.**(i - 2)*noise)


def apart(make, theirs, shapes=SHAPES, dtype=torch.float64, steps=STEPS, groups=None):
    "The largest difference of any parameter after any step, relative where it is above 1"
    runs = [leaves(shapes, dtype), leaves(shapes, dtype)]
    split = groups or (lambda params: params)
    both = [make(split(runs[0])), theirs(split(runs[1]))]
    worst = 0.
    for step in range(steps):
        for params, optimizer in zip(runs, both, strict=True):
            slopes(params, step)
            optimizer.step()
        worst = max(worst, *(float(((a - b).abs()/b.abs().clamp(min=1)).max().detach()) for a,
                             b in zip(*runs, strict=True)))
    assert all(p.isfinite().all() for p in runs[1])
    return worst


def combinations(**options):
    return [dict(zip(options, values, strict=True)) for values in product(*options.values())]


OPTIONS = {
    'SGD': [o
            for o in combinations(lr=[.03], momentum=[0, .9], dampening=[0, .3],
                                  weight_decay=[0, .02], nesterov=[False, True],
                                  maximize=[False, True])
            if not o['nesterov'] or (o['momentum'] and not o['dampening'])],
    'RMSprop': combinations(lr=[.01], alpha=[.99, .7], eps=[1e-8, .1], weight_decay=[0, .02],
                            momentum=[0, .8], centered=[False, True], maximize=[False, True]),
    'Adam': combinations(lr=[.01], betas=[(.9, .999), (.5, .8), (0., .9)], eps=[1e-8, .1],
                         weight_decay=[0, .02], amsgrad=[False, True], maximize=[False, True],
                         decoupled_weight_decay=[False, True]),
    'AdamW': combinations(lr=[.01], betas=[(.9, .999)], eps=[1e-8], weight_decay=[.1],
                          amsgrad=[False, True], maximize=[False, True]),
}
MUON = combinations(lr=[.02], weight_decay=[0, .1], momentum=[.95, 0.], nesterov=[True, False],
                    adjust_lr_fn=[None, 'original', 'match_rms_adamw'])
MUON += [dict(ns_coefficients=(2., -1.5, .5), ns_steps=9, eps=1e-3), dict(ns_steps=0)]


@pytest.mark.parametrize('name', OPTIONS)
def test_every_combination_of_options_is_torchs(name):
    every = {str(o): apart(partial(getattr(ours, name), **o), partial(getattr(optim, name), **o),
                           steps=12) for o in OPTIONS[name]}
    assert {o: d for o, d in every.items() if not d <= 1e-13} == {}


@pytest.mark.parametrize('name', OPTIONS)
def test_a_hundred_steps_with_everything_on(name):
    on = {'SGD': [dict(momentum=.9, dampening=.3), dict(momentum=.9, nesterov=True)],
          'RMSprop': [dict(momentum=.8, centered=True, alpha=.9, eps=1e-6)],
          'Adam': [dict(amsgrad=True, betas=(.8, .95), eps=1e-6)],
          'AdamW': [dict(amsgrad=True, betas=(.8, .95), eps=1e-6)]}[name]
    for options in on:
        options = dict(lr=.02, weight_decay=.05, maximize=True) | options
        make, theirs = partial(getattr(ours, name), **options), partial(getattr(optim, name),
                                                                        **options)
        assert apart(make, theirs) <= 1e-12
        assert apart(make, theirs, dtype=torch.float32) == 0 # Bit for bit


@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.bfloat16])
def test_muon_is_torchs(dtype):
    shapes = [(3, 4), (6, 2), (5, 5), (1, 7)]
    # torch 2.13 without nesterov normalizes a bfloat16 momentum in place (pytorch/pytorch#194664)
    options = [o for o in MUON if dtype != torch.bfloat16 or o.get('nesterov', True)]
    every = {}
    for o in options:
        make, theirs = partial(ours.Muon, **o), partial(optim.Muon, **o)
        every[str(o)] = apart(make, theirs, shapes, dtype, steps=12)
    assert {o: d for o, d in every.items() if d != 0} == {}
    if dtype == torch.float32: assert apart(ours.Muon, optim.Muon, shapes, dtype) == 0


@given(st.data())
@hyp_settings(max_examples=40, deadline=None, derandomize=True)
def test_any_options_are_torchs(data):
    share = st.floats(0, .999)
    kinds = {'SGD': dict(momentum=share, dampening=share),
             'RMSprop': dict(alpha=share, eps=st.floats(1e-8, 1), momentum=share),
             'Adam': dict(betas=st.tuples(share, share), eps=st.floats(1e-8, 1),
                          amsgrad=st.booleans(), decoupled_weight_decay=st.booleans())}
    name = data.draw(st.sampled_from(sorted(kinds)))
    options = data.draw(st.fixed_dictionaries(kinds[name]
                                              | dict(lr=st.floats(0, .5),
                                                     weight_decay=st.floats(0, .5),
                                                     maximize=st.booleans())))
    # What grows without bound says nothing about rounding
    options['maximize'] = options['maximize'] and options['weight_decay'] == 0
    dtype = data.draw(st.sampled_from([torch.float64, torch.float32]))
    assert apart(partial(getattr(ours, name), **options), partial(getattr(optim, name), **options),
                 dtype=dtype, steps=10) <= (1e-12 if dtype == torch.float64 else 1e-5)


@pytest.mark.parametrize('name', [*OPTIONS, 'Muon'])
def test_groups_with_options_of_their_own(name):
    shapes = [(3, 4), (6, 2), (5, 5)]
    def groups(params):
        return [dict(params=params[:1], lr=.1, weight_decay=.3), dict(params=params[1:])]
    assert apart(getattr(ours, name), getattr(optim, name), shapes, groups=groups,
                 steps=30) <= 1e-13


@pytest.mark.parametrize('name', [*OPTIONS, 'Muon'])
def test_state_goes_over_to_torch_and_back(name):
    options = dict(SGD=dict(lr=.05, momentum=.9), RMSprop=dict(momentum=.5, centered=True),
                   Adam=dict(amsgrad=True), AdamW={}, Muon={})[name]
    shapes, make, theirs = [(3, 4), (6, 2)], partial(getattr(ours, name),
                                                     **options), partial(getattr(optim, name),
                                                                         **options)
    for first, second in [(make, theirs), (theirs, make), (make, make)]:
        # torch wants to find a count of steps that it never reads
        if name == 'RMSprop' and second is theirs: continue
        through, changed = leaves(shapes), leaves(shapes)
        whole, start = theirs(through), first(changed)
        for step in range(20):
            if step == 9:
                state = start.state_dict()
                start = second(changed, lr=.7)
                start.load_state_dict(state)
            for params, optimizer in ((through, whole), (changed, start)):
                slopes(params, step)
                optimizer.step()
        assert all(torch.allclose(a, b, rtol=0, atol=1e-13) for a,
                   b in zip(through, changed, strict=True))


@pytest.mark.parametrize('make',
                         [partial(ours.SGD, momentum=.9),
                          partial(ours.RMSprop, momentum=.9, centered=True),
                          partial(ours.Adam, amsgrad=True), ours.AdamW, ours.Muon])
def test_state_is_tensors_and_plain_values(make):
    params = leaves([(3, 4), (2, 2)])
    optimizer = make(params)
    slopes(params, 0)
    optimizer.step()
    saved = optimizer.state_dict()
    def plain(x):
        if isinstance(x, (tuple, list)): return all(map(plain, x))
        return x is None or isinstance(x, (bool, int, float, str, torch.Tensor))
    assert all(plain(v) for entry in [*saved['state'].values(), *saved['param_groups']]
               for v in entry.values())


def test_one_optimizer_for_a_whole_network():
    def network():
        torch.manual_seed(3)
        return nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(),
                             nn.LayerNorm(8), nn.Linear(8, 3))
    one, two = network(), network()
    hidden, rest = hidden_matrices(one)
    assert [tuple(p.shape) for p in hidden] == [(8, 5), (8, 8)]
    assert len(hidden) + len(rest) == len(list(one.parameters()))
    mixed = ours.MuonAdamW(hidden, rest, lr=.03, adamw_lr=.004, weight_decay=.02)
    hidden, rest = hidden_matrices(two)
    apart_ = [optim.Muon(hidden, lr=.03, weight_decay=.02),
              optim.AdamW(rest, lr=.004, weight_decay=.02)]
    scheduler = optim.lr_scheduler.LambdaLR(mixed, cosine(20))
    schedulers = [optim.lr_scheduler.LambdaLR(o, cosine(20)) for o in apart_]
    x = torch.randn(16, 5)
    for step in range(20):
        for model, optimizers, all_schedulers in ((one, [mixed], [scheduler]),
                                                  (two, apart_, schedulers)):
            model(x).square().mean().backward()
            for o in (*optimizers, *all_schedulers): o.step()
            model.zero_grad()
        if step == 9:
            state, hidden_rest = mixed.state_dict(), hidden_matrices(one)
            mixed = ours.MuonAdamW(*hidden_rest)
            mixed.load_state_dict(state)
            scheduler_state = scheduler.state_dict()
            scheduler = optim.lr_scheduler.LambdaLR(mixed, cosine(20))
            scheduler.load_state_dict(scheduler_state)
            mixed.load_state_dict(state)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


def test_only_matrices_or_none():
    params = leaves([(3, 2), (4,)])
    assert len(ours.MuonAdamW(params[:1], []).param_groups) == 1
    assert len(ours.MuonAdamW([], params).param_groups) == 1
    frozen = nn.Linear(2, 2)
    frozen.weight.requires_grad_(False)
    assert hidden_matrices(nn.Sequential(frozen, nn.Linear(2, 2)))[0] == []


def test_closure_is_called_with_gradients_on():
    p = torch.tensor([2.], requires_grad=True)
    optimizer = ours.SGD([p], lr=.25)
    def closure():
        optimizer.zero_grad()
        loss = p.square().sum()
        loss.backward()
        return loss
    assert optimizer.step(closure).item() == 4 and p.item() == 1


# What is refused

@pytest.mark.parametrize('make, says', [
    (partial(ours.SGD, lr=-1), "`lr` must be a number from 0 up, got -1"),
    (partial(ours.SGD, lr=math.nan), "`lr` must be a number from 0 up, got nan"),
    (partial(ours.Adam, weight_decay=-.1), "`weight_decay` must be a number from 0 up, got -0.1"),
    (partial(ours.Adam, eps=-1e-8), "`eps` must be a number from 0 up"),
    (partial(ours.SGD, momentum=1.5), "`momentum` must be a number from 0 to 1, got 1.5"),
    (partial(ours.SGD, momentum=.5, dampening=2),
     "`dampening` must be a number from 0 to 1, got 2"),
    (partial(ours.RMSprop, alpha=-.5), "`alpha` must be a number from 0 to 1"),
    (partial(ours.AdamW, betas=(.9, 1.)), "`betas` must be two numbers from 0 up to below 1, got "
                                          "(0.9, 1.0)"),
    (partial(ours.Adam, betas=(.9,)),
     "`betas` must be two numbers from 0 up to below 1, got (0.9,)"),
    (partial(ours.SGD, nesterov=True), "`nesterov` needs momentum above 0 and dampening 0, got "
                                       "momentum=0.0"),
    (partial(ours.SGD, nesterov=True, momentum=.9, dampening=.1), "dampening=0.1"),
    (partial(ours.Muon, adjust_lr_fn='mine'),
     "`adjust_lr_fn` must be 'original' or 'match_rms_adamw', got 'mine'"),
    (partial(ours.Muon, ns_steps=-1), "`ns_steps` must be a number from 0 up, got -1"),
])
def test_options_that_cannot_be(make, says):
    params = leaves([(2, 2)])
    with pytest.raises(InputError) as e: make(params)
    assert says in str(e.value)
    # A group added later is judged by the same rules, and not kept
    optimizer = make.func(leaves([(2, 2)]))
    bad = make.keywords | (dict(momentum=0.) if make.keywords == dict(nesterov=True) else {})
    with pytest.raises(InputError): optimizer.add_param_group(dict(params=params) | bad)
    assert len(optimizer.param_groups) == 1


def test_parameters_that_cannot_be():
    with pytest.raises(InputError, match=r"Muon changes matrices only, got a parameter of shape "
                                         r"\(4,\); give it to AdamW"):
        ours.Muon(leaves([(2, 2), (4,)]))
    with pytest.raises(InputError, match="matrices only"): ours.MuonAdamW(leaves([(4,)]), [])
    with pytest.raises(InputError, match="must be real, got a complex one"):
        ours.SGD([torch.zeros(2, dtype=torch.complex64, requires_grad=True)])
    embedding = nn.Embedding(4, 2, sparse=True)
    optimizer = ours.Adam(embedding.parameters())
    embedding(torch.tensor([1])).sum().backward()
    with pytest.raises(InputError, match="`Adam` needs dense gradients, got a sparse one; make the "
                                         "embedding with sparse=False"):
        optimizer.step()
