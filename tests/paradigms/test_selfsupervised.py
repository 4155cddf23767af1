"Self-supervised losses against lightly's formula, closed forms and singular values"
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from dlcourse.core.errors import InputError
from dlcourse.paradigms.pretraining import (
    MaskedAutoencoder,
    TwoViews,
    digits_encoder,
    masked_loss,
    train_byol,
    train_mae,
    train_simclr,
)
from dlcourse.paradigms.selfsupervised import (
    alignment,
    effective_rank,
    keep_some,
    latent_loss,
    nt_xent,
    uniformity,
)
from dlcourse.paradigms.views import features_of, few_labels, linear_probe, view
from dlcourse.transformers.vit import patchify


def rng(seed=0): return torch.Generator().manual_seed(seed)


def drawn(*shape, seed=0): return torch.randn(*shape, generator=rng(seed), dtype=torch.float64)


def as_lightly(out0, out1, temperature):
    "What NTXentLoss.forward of lightly computes without a memory bank"
    out0, out1 = F.normalize(out0, dim=1), F.normalize(out1, dim=1)
    n, others = len(out0), ~torch.eye(len(out0), dtype=torch.bool)
    same0, same1 = ((o @ o.T/temperature)[others].view(n, -1) for o in (out0, out1))
    across = out0 @ out1.T/temperature
    logits = torch.cat([torch.cat([across, same0], 1), torch.cat([across.T, same1], 1)])
    return F.cross_entropy(logits, torch.arange(n).repeat(2))


@pytest.mark.parametrize(('n', 'temperature'), [(2, .5), (7, .1), (16, 1.)])
def test_nt_xent_is_lightlys_with_gradients(n, temperature):
    ours = [drawn(n, 5, seed=s).requires_grad_() for s in (0, 1)]
    theirs = [v.detach().clone().requires_grad_() for v in ours]
    a, b = nt_xent(*ours, temperature), as_lightly(*theirs, temperature)
    a.backward(), b.backward()
    torch.testing.assert_close(a, b)
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one.grad, other.grad)


@given(st.integers(2, 9), st.floats(.1, 5))
@settings(max_examples=20, deadline=None)
def test_a_collapse_costs_the_log_of_the_choices(n, temperature):
    z = torch.ones(n, 4, dtype=torch.float64)
    assert float(nt_xent(z, z, temperature)) == pytest.approx(math.log(2*n - 1))
    assert float(uniformity(z)) == pytest.approx(0, abs=1e-9)
    assert float(effective_rank(z)) == pytest.approx(1, abs=1e-5)


def test_uniformity_and_rank_are_scipys():
    z = drawn(12, 5)
    unit = (z/z.norm(dim=1, keepdim=True)).numpy()
    want = np.log(np.exp(-2*pdist(unit)**2).mean())
    assert float(uniformity(z)) == pytest.approx(want)
    p = np.linalg.svd(unit, compute_uv=False)
    p = p/p.sum()
    assert float(effective_rank(z)) == pytest.approx(np.exp(-(p*np.log(p)).sum()))


def test_alignment_and_latent_loss_are_two_less_twice_the_cosine():
    a, b = drawn(6, 4), drawn(6, 4, seed=1)
    want = (2 - 2*F.cosine_similarity(a, b)).mean()
    torch.testing.assert_close(alignment(a, b), want)
    torch.testing.assert_close(latent_loss(a, b), want)


def test_no_gradient_flows_into_the_target():
    a, b = drawn(3, 4).requires_grad_(), drawn(3, 4, seed=1).requires_grad_()
    latent_loss(a, b).backward()
    assert a.grad.abs().sum() > 0 and b.grad is None


def test_kept_and_hidden_patches_are_all_of_them():
    kept, hidden = keep_some(torch.rand(5, 16, generator=rng()), .75)
    assert kept.shape == (5, 4) and hidden.sum(1).tolist() == [12]*5
    assert not hidden.gather(1, kept).any()


def test_hidden_patches_do_not_reach_the_reader():
    torch.manual_seed(0)
    model, x = MaskedAutoencoder().eval(), torch.rand(2, 1, 8, 8, generator=rng())
    kept, hidden = keep_some(torch.rand(2, 16, generator=rng(1)), .5)
    other = patchify(x, 2).clone()
    other[hidden] = 7.
    torch.testing.assert_close(model.read(other, kept), model.read(patchify(x, 2), kept))


def test_the_loss_counts_hidden_patches_alone():
    painted, patches = drawn(2, 4, 3), drawn(2, 4, 3, seed=1)
    hidden = torch.tensor([[True, False, True, False], [False, False, False, True]])
    want = torch.stack([(painted - patches)[0, 0], (painted - patches)[0, 2],
                        (painted - patches)[1, 3]]).square().mean()
    torch.testing.assert_close(masked_loss(painted, patches, hidden), want)


def test_views_keep_shape_and_follow_the_seed():
    x = torch.rand(4, 1, 8, 8, generator=rng())
    a, b, c = (view(x, rng(s)) for s in (0, 0, 1))
    assert a.shape == x.shape and torch.equal(a, b) and not torch.equal(a, c)
    assert torch.equal(view(x, rng(), strength=0, ink=0, noise=0), x)
    darker = view(x/2, rng(), strength=0, noise=0)/(x/2)
    assert (darker.amax((1, 2, 3)) - darker.amin((1, 2, 3)) < 1e-5).all()


def test_few_labels_draws_each_class_alike_and_names_a_small_one():
    y = torch.tensor([0]*5 + [1]*3 + [2]*9)
    rows = few_labels(y, 3, seed=4)
    assert y[rows].tolist() == [0]*3 + [1]*3 + [2]*3 and len(set(rows.tolist())) == 9
    with pytest.raises(InputError, match="class 1 has 3, got each=4"): few_labels(y, 4)
    with pytest.raises(InputError, match="got none"): few_labels(y[:0], 1)


def test_the_probe_does_not_read_other_labels():
    x, y = drawn(60, 3), torch.arange(60) % 2
    x[:, 0] += 4*y
    rows = few_labels(y, 5)
    lies = torch.full_like(y, 1)
    lies[rows] = y[rows]
    assert linear_probe(x, lies, rows, x, y) == linear_probe(x, y, rows, x, y) > .9
    with pytest.raises(InputError, match="two classes or more"):
        linear_probe(x, torch.zeros_like(y), rows, x, y)
    x[3, 1] = torch.nan
    with pytest.raises(InputError, match="`known` must be finite numbers"):
        linear_probe(x, y, rows, x, y)


@pytest.mark.parametrize('train', [train_simclr, train_byol, train_mae])
def test_training_follows_the_seed_and_leaves_the_global_numbers(train):
    x = torch.rand(20, 1, 8, 8, generator=rng())
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    a, b, c = (features_of(train(x, s, steps=2, batch_size=8), x) for s in (0, 0, 1))
    assert torch.equal(before, torch.random.get_rng_state())
    assert torch.equal(a, b) and not torch.equal(a, c)
    with pytest.raises(InputError, match="`batch_size` must be at most the 20 pictures"):
        train(x, batch_size=21)
    with pytest.raises(InputError, match="NaN or infinity"): train(x/0, batch_size=8)


def test_options_that_cannot_be_are_named():
    x = torch.rand(9, 1, 8, 8, generator=rng())
    with pytest.raises(InputError, match="`share` must hide one of 16"):
        train_mae(x, batch_size=4, share=.01)
    with pytest.raises(InputError, match="`patch` must divide `side`"): MaskedAutoencoder(8, 3)
    with pytest.raises(InputError, match="`momentum`"): train_byol(x, batch_size=4, momentum=2)
    with pytest.raises(InputError, match="`ink`"): view(x, rng(), ink=-1)
    with pytest.raises(InputError, match="`width`"): train_simclr(x, batch_size=4, width=0)
    for bad in (x.repeat(1, 3, 1, 1), x[:, :, :4]):
        with pytest.raises(InputError, match="`x` must be square"): train_mae(bad, batch_size=4)


@pytest.mark.parametrize(('known', 'y'), [((30, 2), (30, 1)), ((30, 2), (1,)), ((30, 3), (30,))])
def test_a_probe_wants_a_class_for_each_row(known, y):
    x, labels = torch.randn(30, 2, generator=rng()), torch.arange(30) % 3
    with pytest.raises(InputError, match="`new` must be rows"):
        linear_probe(torch.zeros(known), labels, torch.arange(30), x, torch.zeros(y).long())


def test_the_encoder_is_kept_and_leaves_the_global_numbers(tmp_path):
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, card = digits_encoder(tmp_path, steps=2)
    again, _ = digits_encoder(tmp_path, steps=2)
    assert torch.equal(before, torch.random.get_rng_state())
    x = torch.rand(3, 1, 8, 8, generator=rng())
    assert torch.equal(features_of(first, x), features_of(again, x))
    assert isinstance(first, TwoViews) and 'five labels' in card.results[0].claim


def test_views_of_another_number_of_pictures_are_refused():
    with pytest.raises(RuntimeError, match='equal size'): nt_xent(drawn(4, 3), drawn(3, 3))
