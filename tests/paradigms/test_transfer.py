"Transfer: adapters against peft, heads against scikit-learn, and that only what shall move moves"
import copy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[2]/'benchmarks'))

from transfer import corrections

from dlcourse.core.errors import InputError
from dlcourse.paradigms.transfer import (
    LoRAConv,
    TransferConfig,
    adapt,
    few_of_each,
    fitted_head,
    free_parts,
    guessed,
    merge_adapters,
    rate_groups,
    training_mode,
    transfer,
    weights_between,
)
from dlcourse.vision.efficientnet import MBConv, SameConv2d


def net(classes=3):
    torch.manual_seed(0)
    stages = [nn.Sequential(nn.Conv2d(n, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
              for n in (2, 8)]
    return nn.Sequential(*stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, classes))


def data(n=30, classes=3):
    g = torch.Generator().manual_seed(1)
    y = torch.arange(n) % classes
    return torch.randn(n, 2, 6, 6, generator=g) + y[:, None, None, None], y


@pytest.mark.parametrize('how', [dict(kernel_size=3, padding=1), dict(kernel_size=1),
                                 dict(kernel_size=3, stride=2), dict(kernel_size=(1, 5))])
def test_an_adapter_is_that_of_peft(how):
    pytest.importorskip('peft')
    torch.manual_seed(0)
    ours, theirs = corrections(nn.Conv2d(4, 6, **how), 2, 8)
    x = torch.randn(3, 4, 9, 9)
    torch.testing.assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-5)
    merged = merge_adapters(nn.Sequential(ours))
    torch.testing.assert_close(merged(x), theirs.merge_and_unload()(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize('kind', [nn.Conv2d, SameConv2d])
def test_merged_equals_unmerged(kind):
    torch.manual_seed(0)
    part = nn.Sequential(kind(3, 5, 3, 2), nn.ReLU(), MBConv(5, 5, 3)).eval()
    before = [name for name, _ in part.named_parameters()]
    x, plain = torch.randn(2, 3, 11, 11), copy.deepcopy(part)
    params = adapt(part, 2)
    torch.testing.assert_close(part(x), plain(x)) # `up` begins at zero
    for p in params: nn.init.normal_(p, std=.3)
    want = part(x)
    assert (want - plain(x)).abs().max() > .01
    torch.testing.assert_close(merge_adapters(part)(x), want, atol=1e-5, rtol=1e-5)
    assert [name for name, _ in part.named_parameters()] == before


def test_adapters_are_for_whole_convolutions_once():
    part = MBConv(4, 4, 3)
    adapt(part)
    kinds = [type(part.expand[0]), type(part.depthwise[0]), type(part.project[0])]
    assert kinds == [LoRAConv, SameConv2d, LoRAConv]
    with pytest.raises(InputError, match='must not have adapters'): adapt(part)
    with pytest.raises(InputError, match='one group, got 4'): LoRAConv(nn.Conv2d(4, 4, 1, groups=4))
    with pytest.raises(InputError, match='`rank`'): LoRAConv(nn.Conv2d(4, 4, 1), 0)


@pytest.mark.parametrize('classes', [2, 4])
def test_a_head_is_the_regression(classes):
    rng = np.random.default_rng(0)
    y = np.arange(40) % classes
    x = rng.normal(3, 5, (40, 6)) + y[:, None]
    want = make_pipeline(StandardScaler(), LogisticRegression(C=.1, max_iter=1000)).fit(x, y)
    head = fitted_head(torch.tensor(x).float(), torch.tensor(y), .1)
    got = head(torch.tensor(x).float()).softmax(1).detach().numpy()
    np.testing.assert_allclose(got, want.predict_proba(x), atol=2e-4)


@pytest.mark.parametrize('way', ['head', 'all', 'lora'])
def test_only_what_the_way_names_moves(way):
    model, (x, y) = net(), data()
    before = copy.deepcopy(model.state_dict())
    made = transfer(model, x, y, TransferConfig(way=way, epochs=2, rank=2))
    after = made.state_dict()
    assert set(after) == set(before) and not made.training
    moved = {n for n in before if not torch.equal(before[n], after[n])}
    assert moved >= {'4.weight', '4.bias'}
    if way == 'head': assert moved == {'4.weight', '4.bias'}
    if way == 'lora': assert moved == {'4.weight', '4.bias', '0.0.weight', '1.0.weight'}
    if way == 'all': assert {'0.0.weight', '0.1.running_mean'} <= moved


def test_a_part_that_is_itself_a_convolution_is_adapted_too():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                          nn.Linear(4, 3))
    before, (x, y) = model[0].weight.clone(), data()
    made = transfer(model, x, y, TransferConfig(way='lora', epochs=2, rank=2))
    assert type(made[0]) is nn.Conv2d and not torch.equal(made[0].weight, before)


def test_it_learns_and_a_seed_decides():
    (x, y), found = data(), []
    for noise in (1, 2):
        model = net()
        torch.manual_seed(noise)
        state = torch.get_rng_state()
        made = transfer(model, x, y, TransferConfig(epochs=40, lr=1e-2, head_lr=1e-2), 3)
        assert torch.equal(state, torch.get_rng_state())
        found.append(made(x))
    torch.testing.assert_close(*found, rtol=0, atol=0)
    assert (guessed(made, x) == y).float().mean() > .9


def test_a_class_with_too_few_rows():
    y = torch.tensor([0, 1, 0, 1, 1])
    rows = few_of_each(y, 2, torch.Generator().manual_seed(0))
    assert y[rows].tolist() == [0, 0, 1, 1] and len(rows.unique()) == 4
    with pytest.raises(InputError, match='`k` must be at most 2, the rows of class 0; got 3'):
        few_of_each(y, 3, torch.Generator())
    with pytest.raises(InputError, match='`k`'): few_of_each(y, 0, torch.Generator())


def test_names_rates_modes_and_mixtures_refuse_what_cannot_be():
    with pytest.raises(InputError, match="there is no 'tail'"): free_parts(net(), ['tail'])
    with pytest.raises(InputError, match='`way` must be head, all or lora'):
        TransferConfig(way='half')
    for bad in (dict(epochs=-1), dict(batch=1), dict(rank=0)):
        with pytest.raises(InputError): TransferConfig(**bad)
    a = net().state_dict()
    with pytest.raises(InputError, match='must have the same names; only one has'):
        weights_between(a, {k: v for k, v in a.items() if k != '4.bias'}, .5)


def test_rates_fall_towards_the_input():
    groups = rate_groups(net(), .1, .5)
    assert [g['lr'] for g in groups] == pytest.approx([.1/16, .1/8, .1])


def test_frozen_normalizations_are_held():
    model = net()
    free_parts(model, ['4'])
    assert [m.training for m in training_mode(model).modules() if isinstance(m, nn.BatchNorm2d)] \
        == [False, False]


def test_a_single_step_learns_and_a_single_row_is_refused():
    x, y = torch.randn(60, 4, generator=torch.Generator().manual_seed(0)), torch.arange(60) % 3
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    before = model[-1].weight.detach().clone()
    config = TransferConfig(batch=64, epochs=1, lr=1e-2, head_lr=1e-2)
    assert (transfer(model, x, y, config)[-1].weight - before).abs().max() > 1e-4
    with pytest.raises(InputError, match='`x`'): transfer(model, x[:1], y[:1], config)


def test_a_head_is_fitted_without_chance():
    x, y = torch.randn(30, 4, generator=torch.Generator().manual_seed(0)), torch.arange(30) % 3
    before = torch.random.get_rng_state()
    fitted_head(x.requires_grad_(), y)
    assert torch.equal(before, torch.random.get_rng_state())
    for bad in ((x, 2*y), (x, 0*y), (x*torch.nan, y)):
        with pytest.raises(InputError, match='`features` must be finite'): fitted_head(*bad)


def test_to_be_asked_changes_no_mode():
    model = nn.Sequential(nn.Linear(4, 3), nn.Dropout(.5)).train()
    said = guessed(model, torch.ones(2, 4))
    assert model.training and model[1].training and not said.is_inference()
    with pytest.raises(InputError, match='`block`'): guessed(model, torch.ones(2, 4), 0)


def test_few_of_a_list_and_of_nothing():
    g = torch.Generator().manual_seed(0)
    assert sorted(few_of_each([0, 1, 0, 1], 2, g).tolist()) == [0, 1, 2, 3]
    with pytest.raises(InputError, match='`y`'): few_of_each([], 1, g)
