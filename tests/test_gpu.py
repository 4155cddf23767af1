"What only CUDA can show: `make gpu` runs it; elsewhere it is skipped, and says so"
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dlcourse.core.random import seed_everything
from dlcourse.training.batches import Batches
from dlcourse.training.callbacks import FitConfig
from dlcourse.training.energy import gpu_counters
from dlcourse.training.loop import fit
from dlcourse.training.many import fit_many
from dlcourse.transformers.attention import attend, causal_mask

pytestmark = [pytest.mark.gpu,
              pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA: `make gpu`")]


def data(rows=256):
    "Rows of two classes that a line separates"
    x = torch.randn(rows, 8, generator=torch.Generator().manual_seed(0))
    return x, (x[:, 0] + x[:, 1] > 0).long()


def network(dropout=.1):
    seed_everything(0)
    return nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Dropout(dropout), nn.Linear(32, 2))


def config(**more): return FitConfig(epochs=4, lr=1e-2, device='cuda', progress=False, **more)


@pytest.mark.parametrize('precision', ['float32', 'bfloat16', 'float16'])
def test_every_precision_trains(precision):
    model = network()
    history = fit(model, Batches(*data()), F.cross_entropy, config(precision=precision))
    assert history['train_loss'][-1] < .6*history['train_loss'][0]
    assert all(p.dtype == torch.float32 and p.is_cuda for p in model.parameters())


@pytest.mark.parametrize('precision', ['float32', 'float16'])
def test_a_resumed_run_is_the_uninterrupted_one(tmp_path, precision):
    settings = dict(checkpoint=tmp_path/'run.ckpt', precision=precision)
    whole = network() # Seeds the device too: each run draws its dropout from there
    fit(whole, Batches(*data()), F.cross_entropy, config(precision=precision))
    fit(network(), Batches(*data()), F.cross_entropy, config(max_steps=13, **settings))
    again = network()
    fit(again, Batches(*data()), F.cross_entropy, config(**settings))
    for a, b in zip(whole.parameters(), again.parameters(), strict=True): assert torch.equal(a, b)


def test_accumulation_takes_the_same_step():
    one, four = network(0.), network(0.)
    fit(one, Batches(*data()), F.cross_entropy, config())
    fit(four, Batches(*data()), F.cross_entropy, config(accumulate=4))
    for a, b in zip(one.parameters(), four.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


def make(): return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 2))


@pytest.mark.parametrize('way', ['stacked', 'vmap'])
def test_members_are_those_of_the_processor(way):
    how = dict(seeds=4, epochs=2, lr=1e-2, optimizer='adam', how=way)
    here = fit_many(make, data(), F.cross_entropy, device='cuda', **how)
    there = fit_many(make, data(), F.cross_entropy, device='cpu', **how)
    for name, t in there.state.items():
        torch.testing.assert_close(here.state[name].cpu(), t, rtol=1e-3, atol=1e-3)


def test_attention_is_that_of_the_processor():
    q, k, v = torch.randn(3, 2, 4, 16, 8, generator=torch.Generator().manual_seed(0))
    mask = causal_mask(16)
    here = attend(q.cuda(), k.cuda(), v.cuda(), mask.cuda())
    torch.testing.assert_close(here.cpu(), attend(q, k, v, mask), rtol=1e-4, atol=1e-5)


def test_the_energy_counter_runs():
    read, _, unit = gpu_counters()[0]
    before = read()
    x = torch.randn(4096, 4096, device='cuda')
    for _ in range(50): x = (x @ x).tanh()
    torch.cuda.synchronize()
    assert (read() - before)*unit > 0
