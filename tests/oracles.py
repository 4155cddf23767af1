"An oracle for what the course builds: torch's own, asked for values and for gradients"
import torch
from torch import Tensor

# As far apart as two orders of summation may be, relative to the number
ROUNDING = {torch.float64: 1e-10, torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 2e-2}


def same_as_torch(
    ours,      # A function of tensors, or a module; gives a tensor, or several in a row
    theirs,    # What to believe
    *inputs,   # Tensors, and whatever else both take
    atol=None, # How far apart numbers may be; `rtol` when not given
    rtol=None, # … relative to theirs; the rounding of the result's format when not given
):
    "Do both give the same, and hand each input the same gradient?"
    def equal(got, want, what):
        relative = ROUNDING.get(want.dtype, 0) if rtol is None else rtol
        absolute = relative if atol is None else atol
        torch.testing.assert_close(got, want, rtol=relative, atol=absolute, equal_nan=True,
                                   msg=lambda text: f"{what}: {text}")

    (got, leaves), (want, their_leaves) = _called(ours, inputs), _called(theirs, inputs)
    assert len(got) == len(want), f"results: got {len(got)}, want {len(want)}"
    for k, (a, b) in enumerate(zip(got, want, strict=True)):
        name = f"result {k}" if len(want) > 1 else "result"
        equal(a.detach(), b.detach(), name)
        assert a.requires_grad == b.requires_grad, f"{name}: {_passes(a)}; torch's {_passes(b)}"
    pulled, their_pulled = _gradients(got, leaves), _gradients(want, their_leaves)
    for k in their_pulled: equal(pulled[k], their_pulled[k], f"gradient of input {k}")


def _called(f, inputs):
    "Results on copies of the inputs, and the copies that want a gradient, by place"
    copies = [x.detach().clone() if isinstance(x, Tensor) else x for x in inputs]
    tensors = {k: x for k, x in enumerate(copies) if isinstance(x, Tensor)}
    floating = {k: x.requires_grad_() for k, x in tensors.items() if x.is_floating_point()}
    results = f(*copies)
    return list(results) if isinstance(results, (tuple, list)) else [results], floating


def _gradients(results, leaves):
    "What reaches each leaf when the same random numbers are sent back through the results"
    rng = torch.Generator().manual_seed(0)
    sent = [torch.randn(r.shape, generator=rng, dtype=torch.float64).to(r) for r in results]
    through = [k for k, result in enumerate(results) if result.requires_grad]
    if not through or not leaves: return {}
    reached = torch.autograd.grad(
        [results[k] for k in through], list(leaves.values()), [sent[k] for k in through],
        materialize_grads=True)
    return dict(zip(leaves, reached, strict=True))


def _passes(x): return "carries a gradient" if x.requires_grad else "carries no gradient"
