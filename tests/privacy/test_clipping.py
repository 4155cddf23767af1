"Gradients of each example, cut and added: four engines, one sum, and what is refused"
import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from dlcourse.core.errors import InputError
from dlcourse.privacy.clipping import clipped_sum
from dlcourse.privacy.one_by_one import clip_factors


class Tied(nn.Module):
    "An embedding whose matrix is also that of the output layer"
    def __init__(self):
        super().__init__()
        self.words, self.norm, self.out = nn.Embedding(7, 5), nn.RMSNorm(5), nn.Linear(5, 7)
        self.out.weight = self.words.weight

    def forward(self, x): return self.out(self.norm(self.words(x).mean(1)))


class Functional(nn.Module):
    "A weight that is used a second time where no hook sees it"
    def __init__(self):
        super().__init__()
        self.first, self.scale = nn.Linear(4, 4), nn.Parameter(torch.ones(4))

    def forward(self, x): return F.linear(self.first(x).tanh(), self.first.weight)*self.scale


class Twice(nn.Module):
    "One layer asked twice, and one never"
    def __init__(self):
        super().__init__()
        self.layer, self.unused = nn.Linear(4, 4), nn.Linear(3, 3)

    def forward(self, x): return self.layer(self.layer(x).tanh())


class Positions(nn.Module):
    "An embedding that is asked for places, not for rows"
    def __init__(self, places=6):
        super().__init__()
        self.words, self.places = nn.Embedding(9, 4, padding_idx=0), nn.Embedding(places, 4)
        self.norm, self.out = nn.LayerNorm(4), nn.Linear(4, 3)

    def forward(self, x):
        seen = self.words(x) + self.places(torch.arange(x.shape[1]))
        return self.out(self.norm(seen)).mean(1)


def places(*shape, high=7): return torch.randint(0, high, shape)


MODELS = {
    'mlp': (lambda: nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 3)), (5,), 'layers'),
    'inplace': (lambda: nn.Sequential(nn.Linear(5, 8), nn.ReLU(True), nn.Linear(8, 3)), (5,),
                'layers'),
    'no bias': (lambda: nn.Sequential(nn.Linear(5, 3, bias=False)), (5,), 'layers'),
    'sequence': (lambda: nn.Sequential(nn.Linear(5, 40), nn.Tanh(), nn.Linear(40, 2),
                                       nn.Flatten(), nn.LayerNorm(12), nn.Linear(12, 3)), (6, 5),
                 'layers'),
    'ghosts': (lambda: nn.Sequential(nn.Linear(20, 30), nn.Tanh(), nn.Linear(30, 40), nn.Flatten(),
                                     nn.Linear(80, 3)), (2, 20), 'layers'),
    'conv': (lambda: nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.Tanh(),
                                   nn.Conv2d(4, 6, 3, stride=2, groups=2, padding_mode='circular',
                                             padding=1),
                                   nn.Conv2d(6, 60, (1, 3), padding='same', dilation=(1, 2)),
                                   nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(60, 3)),
             (2, 7, 6), 'layers'),
    'tied': (Tied, 'words', 'vmap'),
    'functional': (Functional, (4,), 'vmap'),
    'twice': (Twice, (4,), 'vmap'),
    'positions': (Positions, 'words', 'vmap'),
    'conv1d': (lambda: nn.Sequential(nn.Conv1d(2, 3, 3), nn.Flatten(), nn.Linear(12, 3)), (2, 6),
               'vmap'),
    'attention': (lambda: nn.Sequential(nn.TransformerEncoderLayer(4, 2, 8, 0., batch_first=True),
                                        nn.Flatten(), nn.Linear(12, 3)), (3, 4), 'vmap'),
}


def made(name, rows=6, dtype=torch.float64, seed=0):
    torch.manual_seed(seed)
    build, shape, engine = MODELS[name]
    x = places(rows, 6) if shape == 'words' else torch.randn(rows, *shape, dtype=dtype)*3
    return build().to(dtype), x, torch.arange(rows) % 3, engine


def apart(a, b):
    gaps = [(s - t).abs().max() for s, t in zip(a.sums, b.sums, strict=True)]
    return float(max(*gaps, (a.norms - b.norms).abs().nan_to_num().max()))


@pytest.mark.parametrize('name', MODELS)
def test_every_engine_gives_the_sum_of_the_loop(name):
    model, x, y, engine = made(name)
    want = clipped_sum(model, (x, y), clip_norm=.7, engine='loop')
    assert (want.norms > .7).any()
    for way in ('auto', 'vmap', engine):
        assert apart(clipped_sum(model, (x, y), clip_norm=.7, engine=way), want) < 1e-11, way
    assert apart(clipped_sum(model, (x, y), clip_norm=.7, chunk=2), want) < 1e-11
    if engine == 'vmap':
        with pytest.raises(InputError, match="no formula"):
            clipped_sum(model, (x, y), engine='layers')


@pytest.mark.parametrize('name', MODELS)
def test_in_single_precision_to_a_millionth(name):
    model, x, y, _ = made(name, dtype=torch.float32)
    want = clipped_sum(model, (x, y), clip_norm=.7, engine='loop')
    found = clipped_sum(model, (x, y), clip_norm=.7)
    assert apart(found, want) < 3e-6
    assert found.sums[0].dtype == torch.float32


@pytest.mark.parametrize('name', ['mlp', 'inplace', 'conv', 'sequence'])
def test_as_opacus(name):
    pytest.importorskip('opacus')
    model, x, y, _ = made(name)
    if name == 'conv': # Opacus knows no padding but of zeros
        model = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.Flatten(),
                              nn.Linear(168, 3)).double()
    if name == 'inplace': model[1].inplace = False
    found = clipped_sum(model, (x, y), clip_norm=.7, engine='opacus')
    assert apart(found, clipped_sum(model, (x, y), clip_norm=.7)) < 1e-10
    assert all(p.grad is None for p in model.parameters())
    assert apart(clipped_sum(model, (x, y), clip_norm=.7), found) < 1e-10


@pytest.mark.parametrize('name', MODELS)
@pytest.mark.parametrize('bad', [math.nan, math.inf, -math.inf])
def test_an_example_that_is_not_finite_counts_nothing(name, bad):
    model, x, y, _ = made(name)
    if not x.is_floating_point(): pytest.skip("words are finite")
    want = clipped_sum(model, (x[1:], y[1:]), clip_norm=.7)
    x[0, ..., -1] = bad
    for engine in ('auto', 'vmap', 'loop'):
        found = clipped_sum(model, (x, y), clip_norm=.7, engine=engine)
        assert all(s.isfinite().all() for s in found.sums)
        assert max(float((s - t).abs().max())
                   for s, t in zip(found.sums, want.sums, strict=True)) < 1e-11


numbers = st.floats(allow_nan=True, allow_infinity=True, width=32)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=1, max_size=5),
       st.sampled_from([.1, 1., 30.]), st.sampled_from(['auto', 'vmap', 'loop']))
def test_leaving_one_out_moves_the_sum_by_no_more_than_the_clip_norm(rows, clip, engine):
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), torch.tensor(rows)
    y = torch.arange(len(rows)) % 2
    whole = clipped_sum(model, (x, y), clip_norm=clip, engine=engine).sums
    rest = clipped_sum(model, (x[1:], y[1:]), clip_norm=clip, engine=engine).sums
    moved = torch.cat([(a - b).flatten() for a, b in zip(whole, rest, strict=True)]).double()
    assert moved.isfinite().all()
    assert float(moved.norm()) <= clip*(1 + 1e-5)


@pytest.mark.parametrize('name', MODELS)
def test_one_example_is_never_longer_than_the_clip_norm(name):
    for seed in range(3):
        model, x, y, _ = made(name, rows=1, dtype=torch.float32, seed=seed)
        for clip in (1e-3, .3, 50.):
            found = clipped_sum(model, (x, y), clip_norm=clip)
            length = float(torch.cat([s.flatten() for s in found.sums]).norm())
            assert length <= clip*(1 + 1e-5)
            assert math.isclose(length, min(clip, float(found.norms)), rel_tol=1e-4)


def test_terms_that_cancel_do_not_hide_a_length():
    "Two places with nearly opposite gradients: a length found from products must not be too small"
    model = nn.Sequential(nn.Linear(30, 30, bias=False)).float()
    torch.manual_seed(0)
    a = torch.randn(1, 1, 30)*100
    x = torch.cat([a, a + .01*torch.randn(1, 1, 30)], 1)
    def loss(out, target): return (out[:, 0] - out[:, 1]).sum()*1e3
    found = clipped_sum(model, (x, torch.zeros(1)), loss, 1.)
    exact = clipped_sum(model.double(), (x.double(), torch.zeros(1)), loss, 1., engine='loop')
    assert math.isclose(float(found.norms), float(exact.norms), rel_tol=1e-4)


def test_no_rows_and_no_gradient():
    model, x, y, _ = made('mlp')
    found = clipped_sum(model, (x[:0], y[:0]))
    assert all((s == 0).all() for s in found.sums) and len(found.norms) == 0
    for engine in ('auto', 'vmap', 'loop'):
        flat = clipped_sum(model, (x, y), lambda o, t: (o*0).sum(), engine=engine)
        assert all((s == 0).all() for s in flat.sums) and (flat.norms == 0).all()
    assert torch.equal(clip_factors(torch.tensor([0., 1, 4, math.inf, math.nan]), 2.),
                       torch.tensor([1, 1, .5, 0, 0]))


def test_frozen_parts_and_losses_of_another_kind():
    model, x, y, _ = made('mlp')
    model[0].requires_grad_(False)
    want = clipped_sum(model, (x, y), clip_norm=.1, engine='loop')
    assert len(want.sums) == 2
    assert apart(clipped_sum(model, (x, y), clip_norm=.1, engine='layers'), want) < 1e-12
    model[2].bias.requires_grad_(False) # A layer that is half frozen
    want = clipped_sum(model, (x, y), clip_norm=.1, engine='loop')
    assert apart(clipped_sum(model, (x, y), clip_norm=.1), want) < 1e-12
    target = torch.randn(6, 3, dtype=torch.float64)
    for loss in (F.mse_loss, nn.HuberLoss(), nn.CrossEntropyLoss()):
        t = target.softmax(1) if isinstance(loss, nn.CrossEntropyLoss) else target
        want = clipped_sum(model, (x, t), loss, .1, engine='loop')
        assert apart(clipped_sum(model, (x, t), loss, .1), want) < 1e-12


class Counter(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(5, 3)
        self.register_buffer('asked', torch.zeros((), dtype=torch.int64))

    def forward(self, x):
        self.asked += len(x)
        return self.inner(x)


class Softmax(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(5, 3)

    def forward(self, x): return self.inner(x - x.mean(0))


class Hidden(Softmax):
    "Mixes rows after it has hidden what is not finite"
    def forward(self, x): return super().forward(x.nan_to_num())


class Words(nn.Module):
    "Mixes rows of words, which cannot be NaN themselves"
    def __init__(self):
        super().__init__()
        self.words, self.out = nn.Embedding(5, 4), nn.Linear(4, 3)

    def forward(self, x):
        seen = self.words(x).mean(1)
        return self.out(seen/seen.norm())


def test_rows_of_words_that_mix_are_found_and_dropout_is_not_mistaken_for_it():
    with pytest.raises(InputError, match="from that row alone"):
        clipped_sum(Words(), (places(4, 2, high=5), torch.zeros(4, dtype=torch.long)))
    model = nn.Sequential(nn.Linear(5, 8), nn.Dropout(.5), nn.Linear(8, 3))
    x, y = torch.randn(9, 5), torch.arange(9) % 3
    for engine in ('layers', 'vmap', 'loop'):
        assert len(clipped_sum(model, (x, y), engine=engine).norms) == 9


@pytest.mark.parametrize(('model', 'says'), [
    (nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3)), "GroupNorm"),
    (nn.Sequential(nn.Linear(5, 3), nn.InstanceNorm1d(3, track_running_stats=True)), "running"),
    (Counter(), "buffer"), (Softmax(), "from that row alone"),
    (Hidden(), "from that row alone"),
    (nn.Linear(5, 3).bfloat16(), "float32"),
    (nn.Sequential(nn.Linear(5, 3)).requires_grad_(False), "frozen")])
def test_models_that_mix_rows_are_refused(model, says):
    with pytest.raises(InputError, match=says):
        clipped_sum(model, (torch.randn(4, 5), torch.zeros(4, dtype=torch.long)))


def test_other_refusals():
    model, x, y, _ = made('mlp')
    with pytest.raises(InputError, match="engine"): clipped_sum(model, (x, y), engine='fast')
    words = nn.Sequential(nn.Embedding(5, 3, max_norm=1.), nn.Flatten(), nn.Linear(6, 3))
    with pytest.raises(InputError, match="max_norm"):
        clipped_sum(words, (places(4, 2, high=5), torch.zeros(4, dtype=torch.long)))
    sleeping = nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3)).double().eval()
    assert apart(clipped_sum(sleeping, (x, y)), clipped_sum(sleeping, (x, y), engine='loop')) < 1e-9
    for bad in (0, -1., 1e-40, 1e39, math.nan, math.inf, '1'):
        with pytest.raises(InputError, match="clip_norm"): clipped_sum(model, (x, y), clip_norm=bad)


class Largest(Softmax):
    "Divides by what is largest, and does not see NaN"
    def forward(self, x): return self.inner(x/x.nan_to_num(0).abs().max()*100)


class Switch(Softmax):
    def forward(self, x): return self.inner(x*(100. if (x.abs() > 50).any() else 1.))


class Tokens(Softmax):
    "A batch normalization of tokens by hand"
    def forward(self, x):
        z = F.one_hot(x, 5).float()
        return self.inner((z - z.mean(0))/(z.std(0) + 1e-3)).mean(1)


@pytest.mark.parametrize('model', [Largest, Switch, Tokens])
def test_rows_that_mix_out_of_sight_of_nan_are_found(model):
    x = places(6, 2, high=5) if model is Tokens else torch.randn(6, 5)
    with pytest.raises(InputError, match="another first row"):
        clipped_sum(model(), (x, torch.zeros(6, dtype=torch.long)))


class Anew(Softmax):
    "Assigns its buffer anew"
    def __init__(self):
        super().__init__()
        self.register_buffer('run', torch.ones(5))

    def forward(self, x):
        self.run = .9*self.run + .1*x.detach().sum(0)
        return self.inner(x)


@pytest.mark.parametrize('build', [Anew, Counter])
def test_a_buffer_that_changes_is_refused_and_stays_as_it_was(build):
    model = build()
    before = {name: b.clone() for name, b in model.named_buffers()}
    with pytest.raises(InputError, match="buffer"):
        clipped_sum(model, (torch.randn(4, 5), torch.zeros(4, dtype=torch.long)))
    assert all(torch.equal(before[name], b) for name, b in model.named_buffers())


def test_a_model_is_tried_once():
    asked, model = [], nn.Sequential(nn.Linear(5, 3))
    model.register_forward_pre_hook(lambda part, given: asked.append(1))
    batch = torch.randn(4, 5), torch.zeros(4, dtype=torch.long)
    clipped_sum(model, batch)
    first = len(asked)
    clipped_sum(model, batch)
    assert len(asked) - first == 1 and first > 4


class Far(nn.Module):
    "Chances of e⁻⁵³: their squares are 0 in single precision"
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(1, 2000, bias=False)
        nn.init.zeros_(self.fc.weight)
        self.register_buffer('off', torch.full((2000,), -53.))
        self.off[0] = 0.

    def forward(self, x): return self.fc(x) + self.off


@pytest.mark.parametrize('engine', ['auto', 'vmap', 'loop'])
def test_a_gradient_whose_squares_are_too_small_is_cut_all_the_same(engine):
    x, y = torch.tensor([[1.5e19], [1.]]), torch.tensor([0, 0])
    found = [clipped_sum(Far(), (x[k:], y[k:]), clip_norm=1e-3, engine=engine).sums[0].double()
             for k in (0, 1)]
    assert float((found[0] - found[1]).norm()) <= 1e-3*(1 + 1e-4)


class Keyword(Softmax):
    def forward(self, x): return self.inner(input=x)


def test_hooks_and_keywords_go_the_long_way():
    hooked = nn.Sequential(nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 3))
    hooked[0].register_forward_hook(lambda part, given, out: out*3)
    batch = torch.randn(4, 5), torch.arange(4) % 3
    for model in (hooked, Keyword()):
        want = clipped_sum(model, batch, clip_norm=.5, engine='loop')
        assert apart(clipped_sum(model, batch, clip_norm=.5), want) < 1e-5


def test_modes_without_gradients():
    model, x, y, _ = made('mlp')
    want = clipped_sum(model, (x, y))
    with torch.no_grad(): found = clipped_sum(model, (x, y), engine='loop')
    assert apart(found, want) < 1e-11
    with torch.inference_mode(), pytest.raises(InputError, match="inference_mode"):
        clipped_sum(model, (x, y))
