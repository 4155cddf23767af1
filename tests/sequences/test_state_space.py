"State spaces against SciPy, loops and Hugging Face's Mamba: three forms, discretization, errors"
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from jaxtyping import install_import_hook
from scipy.signal import cont2discrete, lfilter

from dlcourse.core.errors import InputError

with install_import_hook(['dlcourse.sequences.state_space', 'dlcourse.sequences.scans'],
                         'beartype.beartype'):
    from dlcourse.sequences.scans import POLES, initial_poles, scan
    from dlcourse.sequences.state_space import (
        HOLDS,
        S4D,
        Mamba,
        Mixed,
        Selective,
        StateSpaceConfig,
        causal_convolution,
        combine,
        memory_kernel,
        parallel_scan,
        recurrence,
        selective_update,
    )

few = hypothesis_settings(max_examples=30, deadline=None)
WAYS = {'loop': recurrence, 'halves': parallel_scan, 'own backward': scan}


def drawn(seed, *shapes, dtype=torch.float64):
    g = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=g, dtype=dtype) for shape in shapes]


def close(got, want, atol=1e-10):
    torch.testing.assert_close(got, want, atol=atol, rtol=1e-7)


# Scans

@few
@given(st.sampled_from(list(WAYS)), st.integers(1, 40), st.booleans(), st.integers(0, 99))
def test_every_way_is_the_recurrence(way, n, complex_, seed):
    dtype = torch.complex128 if complex_ else torch.float64
    a, b = drawn(seed, (2, n, 3), (2, n, 3), dtype=dtype)
    a = a/(a.abs() + 1) # Inside the unit circle
    want, h = [], np.zeros((2, 3), complex)
    for t in range(n):
        h = a[:, t].numpy()*h + b[:, t].numpy()
        want.append(h)
    want = torch.tensor(np.stack(want, 1))
    close(WAYS[way](a, b), want if complex_ else want.real)


@pytest.mark.parametrize('way', WAYS)
@pytest.mark.parametrize('dtype', [torch.float64, torch.complex128])
@pytest.mark.parametrize('n', [2, 5, 8])
def test_gradients_are_numerical_ones(way, dtype, n):
    a, b = (t.requires_grad_() for t in drawn(n, (1, n, 2), (1, n, 2), dtype=dtype))
    assert torch.autograd.gradcheck(WAYS[way], (a, b))


@pytest.mark.parametrize('way', WAYS)
def test_a_constant_coefficient_is_an_iir_filter(way):
    x, = drawn(0, (3, 200))
    close(WAYS[way](torch.full_like(x, .9), x), torch.tensor(lfilter([1], [1, -.9], x.numpy())))


def test_scan_broadcasts_a_and_gives_it_the_summed_gradient():
    a, b = (t.requires_grad_() for t in drawn(0, (3,), (2, 6, 3)))
    close(scan(a, b), recurrence(a.expand_as(b), b))
    assert torch.autograd.gradcheck(scan, (a, b))
    close(scan(torch.tensor(.5, dtype=torch.float64), b),
          recurrence(torch.full_like(b, .5), b))


@few
@given(st.integers(0, 99))
def test_combining_is_associative_and_acts_like_both(seed):
    a, b, c, d, e, f, h = drawn(seed, *[(4,)]*7)
    left, right = combine(combine((a, b), (c, d)), (e, f)), combine((a, b), combine((c, d), (e, f)))
    for x, y in zip(left, right, strict=True): close(x, y)
    close(left[0]*h + left[1], e*(c*(a*h + b) + d) + f)


# Discretization and kernels

@pytest.mark.parametrize('name', HOLDS)
def test_holds_are_scipys(name):
    A = torch.complex(-torch.rand(5, dtype=torch.float64), 5*drawn(1, (5,))[0])
    kept, added = HOLDS[name](A, torch.tensor(.37, dtype=torch.float64))
    system = (np.diag(A.numpy()), np.ones((5, 1)), np.ones((1, 5)), np.zeros((1, 1)))
    want = cont2discrete(system, .37, method=name)
    close(kept, torch.tensor(np.diag(want[0])))
    close(added, torch.tensor(want[1][:, 0]).to(added.dtype))


@pytest.mark.parametrize('name', HOLDS)
@pytest.mark.parametrize('A', [0j, 1e-12 + 0j, -1e-5 + 1e-5j])
def test_a_slow_pole_adds_the_step(name, A):
    A = torch.tensor([A], dtype=torch.complex64).requires_grad_()
    kept, added = HOLDS[name](A, torch.tensor([.5]))
    torch.testing.assert_close(added.detach().real, torch.tensor([.5]), atol=1e-5, rtol=0)
    (kept.real + added.real).sum().backward()
    assert A.grad.isfinite().all()


@few
@given(st.integers(1, 60), st.integers(0, 99))
def test_kernel_is_the_answer_to_a_click(n, seed):
    a, c = drawn(seed, (2, 3), (2, 3), dtype=torch.complex128)
    a = .99*a/a.abs()
    want = 2*torch.stack([(c*a**s).sum(-1).real for s in range(n)], -1)
    close(memory_kernel(a, c, n), want)


@few
@given(st.integers(1, 50), st.integers(0, 99))
def test_convolution_is_numpys_and_causal(n, seed):
    x, kernel, other = drawn(seed, (n,), (n,), (n,))
    y = causal_convolution(x, kernel)
    close(y, torch.tensor(np.convolve(x, kernel)[:n]))
    t = seed % n
    later = torch.cat([x[:t], other[t:]])
    close(causal_convolution(later, kernel)[:t], y[:t])


# Layers

@pytest.mark.parametrize('poles', POLES)
@pytest.mark.parametrize('hold', HOLDS)
def test_three_forms_are_one(poles, hold):
    torch.manual_seed(0)
    layer = S4D(StateSpaceConfig(dim=3, state=8, poles=poles, hold=hold))
    x = torch.randn(2, 37, 3, requires_grad=True)
    weight, found = torch.randn(2, 37, 3), {}
    for form in ('recurrence', 'scan', 'convolution'):
        y = layer(x, form)
        grads = torch.autograd.grad((y*weight).mean(), [x, *layer.parameters()])
        found[form] = [y, *grads]
    for form in ('scan', 'convolution'):
        for got, want in zip(found[form], found['recurrence'], strict=True):
            assert (got - want).abs().max() <= 1e-5*max(1, want.abs().max())


@pytest.mark.parametrize('make', [
    lambda: S4D(StateSpaceConfig(dim=4, state=6)),
    lambda: Selective(StateSpaceConfig(dim=4, state=6)),
    lambda: Mixed(4, S4D(StateSpaceConfig(dim=4, state=6)))])
def test_step_by_step_is_all_at_once(make):
    torch.manual_seed(0)
    layer, x, state, said = make().double(), drawn(0, (2, 25, 4))[0], None, []
    for now in x.unbind(1):
        y, state = layer.step(now, state)
        said.append(y)
    close(torch.stack(said, 1), layer(x), 1e-6)


@pytest.mark.parametrize('kind', POLES)
@pytest.mark.parametrize('pairs', [1, 4, 16])
def test_poles_are_in_the_left_half(kind, pairs):
    A = initial_poles(kind, pairs)
    assert A.shape == (pairs,) and (A.real == -.5).all() and (A.imag >= 0).all()


def test_legs_are_eigenvalues_of_hippos_normal_part():
    n = np.arange(8)
    hippo = -np.sqrt(np.outer(2*n + 1, 2*n + 1))*np.tri(8, k=-1) - np.diag(n + 1)
    normal = hippo + np.outer(np.sqrt(n + .5), np.sqrt(n + .5))
    want = np.sort(np.linalg.eigvals(normal).imag)[4:]
    np.testing.assert_allclose(initial_poles('legs', 4).imag.sort().values, want, rtol=1e-5)


def test_mamba_is_hugging_faces():
    transformers = pytest.importorskip('transformers')
    from transformers.models.mamba.modeling_mamba import MambaMixer
    torch.manual_seed(0)
    config = transformers.MambaConfig(hidden_size=16, state_size=8, expand=2, conv_kernel=4,
                                      time_step_rank=2, num_hidden_layers=1)
    theirs, ours = MambaMixer(config, layer_idx=0), Mamba(16, state=8)
    state = {name.replace('x_proj', 'select.x_proj').replace('dt_proj', 'select.dt_proj')
             .replace('A_log', 'select.A_log'): value
             for name, value in theirs.state_dict().items()}
    state['select.D'] = state.pop('D')
    ours.load_state_dict(state)
    x = torch.randn(2, 19, 16)
    torch.testing.assert_close(ours(x), theirs.slow_forward(x), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize('make', [lambda: Mamba(8), lambda: S4D(StateSpaceConfig(dim=8)),
                                  lambda: Selective(StateSpaceConfig(dim=8, state=4))])
def test_nobody_hears_the_future(make):
    torch.manual_seed(0)
    layer, x = make().double(), drawn(3, (1, 20, 8))[0]
    later = x.clone()
    later[:, 12:] += 1
    close(layer(later)[:, :12], layer(x)[:, :12], 1e-9)


def test_a_step_of_no_length_leaves_the_state():
    h, x, A, B, C = drawn(0, (2, 3, 4), (2, 3), (3, 4), (2, 4), (2, 4))
    y, new = selective_update(h, x, torch.zeros_like(x), -A.exp(), B, C)
    close(new, h)
    close(y, torch.einsum('bds,bs->bd', h, C))


def test_shapes_alone_are_enough():
    with torch.device('meta'): x = torch.randn(2, 5, 8)
    layer = S4D(StateSpaceConfig(dim=8)).to('meta')
    assert layer(x).shape == x.shape


@pytest.mark.parametrize('n', [1, 2, 5])
def test_halving_keeps_complex_numbers(n):
    a, b = torch.full((1, n), .5 + .5j), torch.ones(1, n)
    torch.testing.assert_close(parallel_scan(a, b), recurrence(a, b))
    assert parallel_scan(a[:, :0], b[:, :0]).shape == (1, 0)


def test_a_second_gradient_is_refused_and_halving_has_one():
    a, b = torch.full((1, 4), .5, requires_grad=True), torch.ones(1, 4)
    with pytest.raises(InputError, match='`scan` has no second gradient; take `state_space.par'):
        torch.autograd.functional.hessian(lambda a: scan(a, b).sum(), a)
    want = torch.autograd.functional.hessian(lambda a: parallel_scan(a, b).sum(), a)
    assert want.abs().sum() > 1


# Errors a caller can mend

@pytest.mark.parametrize('make, words', [
    (lambda: StateSpaceConfig(dim=0), "`dim` must be a whole number from 1 up, got 0"),
    (lambda: StateSpaceConfig(dim=2, state=0),
     "`state` must be a whole number from 2 up, got 0"),
    (lambda: Mamba(4)(torch.zeros(1, 0, 4)),
     "`x` must be [batch, seq, 4] with a step at least; got the shape (1, 0, 4)"),
    (lambda: Mamba(4)(torch.zeros(1, 2, 3)),
     "`x` must be [batch, seq, 4] with a step at least; got the shape (1, 2, 3)"),
    (lambda: StateSpaceConfig(dim=2, state=3),
     "`state` must be even, for modes come in pairs; got 3"),
    (lambda: StateSpaceConfig(dim=2, hold='euler'),
     "`hold` must be one of zoh, bilinear; got 'euler'"),
    (lambda: StateSpaceConfig(dim=2, steps=(0., 1.)),
     "`steps` must be two times above zero, the shorter first; got (0.0, 1.0)"),
    (lambda: S4D(StateSpaceConfig(dim=2, poles='fourier')),
     "`kind` must be one of lin, inv, legs; got 'fourier'"),
    (lambda: S4D(StateSpaceConfig(dim=2))(torch.zeros(1, 4, 3)),
     "`x` must be [batch, seq, 2] with a step at least; got the shape (1, 4, 3)"),
    (lambda: S4D(StateSpaceConfig(dim=2))(torch.zeros(1, 0, 2)),
     "`x` must be [batch, seq, 2] with a step at least; got the shape (1, 0, 2)"),
    (lambda: S4D(StateSpaceConfig(dim=2))(torch.zeros(1, 4, 2), 'fft'),
     "`form` must be convolution, recurrence or scan; got 'fft'"),
    (lambda: scan(torch.zeros(2, 4), torch.zeros(2, 0)),
     "`b` must be [batch, seq, …] with a step at least; got the shape (2, 0)"),
    (lambda: scan(torch.zeros(2, 4), torch.zeros(2, 4).double()),
     "`a` and `b` must be of one type; got torch.float32 and torch.float64"),
    (lambda: scan(torch.zeros(2, 3), torch.zeros(2, 4)),
     "`a` must broadcast to the shape of `b`, (2, 4); got (2, 3)"),
    (lambda: initial_poles('lin', 0), "`pairs` must be a whole number from 1 up, got 0"),
])
def test_errors_say_what_to_do(make, words):
    with pytest.raises(InputError) as e: make()
    assert str(e.value) == words
