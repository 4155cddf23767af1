"Clients at once: each as it would be trained alone"
import numpy as np
import pytest
import torch
from torch import nn

from dlcourse.core.errors import InputError
from dlcourse.federated.clients import ClientsAtOnce, row_order, train_client
from dlcourse.federated.partitions import dirichlet_parts
from dlcourse.training.zoo import mlp


@pytest.fixture
def world():
    torch.manual_seed(0)
    x, y = torch.randn(300, 12).double(), torch.randint(0, 4, (300,))
    parts = dirichlet_parts(y.numpy(), 9, .4, min_size=2)
    net = mlp(12, 8, 4).double()
    return net, x, y, parts


def alone(net, start, x, y, part, **options):
    net.load_state_dict(start)
    train_client(net, x[part], y[part], **options)
    return {name: p.detach().clone() for name, p in net.named_parameters()}


def copy_of(net): return {name: p.detach().clone() for name, p in net.named_parameters()}


@pytest.mark.parametrize('batch_size', [4, 1000, None])
@pytest.mark.parametrize('options', [{}, {'mu': .7}, {'shift': .3}])
@pytest.mark.parametrize('at_once', [None, 4])
def test_at_once_is_as_alone(world, batch_size, options, at_once):
    net, x, y, parts = world
    start = copy_of(net)
    crew = ClientsAtOnce(net, (x, y), [parts], seeds=[5], epochs=2, batch_size=batch_size,
                         at_once=at_once)
    shift = options.pop('shift', None)
    moves = shift and {name: shift*torch.randn(9, *p.shape).double() for name, p in start.items()}
    many = moves and {name: m[None] for name, m in moves.items()}
    for number in (0, 7):
        found = crew.train(crew.stack(start), lr=.2, number=number, shift=many, **options)
        for k, part in enumerate(parts):
            own = moves and {name: m[k] for name, m in moves.items()}
            want = alone(net, start, x, y, part, lr=.2, epochs=2, batch_size=batch_size, seed=5,
                         client=k, number=number, shift=own, **options)
            for name, w in want.items():
                torch.testing.assert_close(found[name][0, k], w, atol=1e-9, rtol=0)


def test_runs_side_by_side_with_rates_of_their_own(world):
    net, x, y, parts = world
    other = dirichlet_parts(y.numpy(), 9, 5., seed=1)
    start = copy_of(net)
    crew = ClientsAtOnce(net, (x, y), [parts, other], seeds=[3, 4], epochs=1, batch_size=8)
    which = torch.tensor([[8, 2], [0, 5]])
    lr, mu = torch.tensor([.1, .4]), torch.tensor([0., 1.])
    found = crew.train(crew.stack(start), lr=lr, number=2, which=which, mu=mu)
    for run, (mine, seed) in enumerate(((parts, 3), (other, 4))):
        for place, k in enumerate(which[run].tolist()):
            want = alone(net, start, x, y, mine[k], lr=float(lr[run]), batch_size=8, seed=seed,
                         client=k, number=2, mu=float(mu[run]))
            for name, w in want.items():
                torch.testing.assert_close(found[name][run, place], w, atol=1e-8, rtol=0)


def test_networks_without_a_way_by_hand_go_through_vmap():
    torch.manual_seed(1)
    x, y = torch.randn(40, 1, 6, 6).double(), torch.randint(0, 3, (40,))
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(32, 3)).double()
    parts = [range(5), range(5, 25), range(25, 40)]
    start = copy_of(net)
    crew = ClientsAtOnce(net, (x, y), [parts], batch_size=6)
    assert not crew.by_hand
    found = crew.train(crew.stack(start), lr=.1)
    for k, part in enumerate(parts):
        want = alone(net, start, x, y, list(part), lr=.1, batch_size=6, client=k)
        for name, w in want.items():
            torch.testing.assert_close(found[name][0, k], w, atol=1e-9, rtol=0)


def test_the_start_is_left_as_it_was(world):
    net, x, y, parts = world
    crew = ClientsAtOnce(net, (x, y), [parts], batch_size=8)
    start = crew.stack(copy_of(net))
    before = {name: t.clone() for name, t in start.items()}
    first = crew.train(start, lr=.1)
    kept = {name: t.clone() for name, t in first.items()}
    crew.train(start, lr=.5, number=1)
    for name, t in start.items(): assert torch.equal(t, before[name])
    for name, t in first.items(): assert torch.equal(t, kept[name])


def test_an_order_is_a_permutation_of_its_own():
    orders = row_order(50, seed=1, client=2, number=3, epochs=4)
    assert (orders.sort(1).values == torch.arange(50)).all()
    others = [row_order(50, seed=1, client=2, number=3), row_order(50, seed=2, client=2, number=3),
              row_order(50, seed=1, client=3, number=3), row_order(50, seed=1, client=2, number=4)]
    assert torch.equal(others[0][0], orders[0])
    assert len({tuple(o.flatten().tolist()) for o in [*others, *orders[1:]]}) == 7


def test_every_place_is_as_likely():
    firsts = [int(row_order(10, seed=s, client=c)[0, 0]) for s in range(60) for c in range(60)]
    counts = np.bincount(firsts, minlength=10)
    assert ((counts - 360)**2/360).sum() < 27.9 # χ² of 9 degrees: 1 in 1,000


@pytest.mark.parametrize('parts, name', [
    ([], '`parts` must be runs'), ([[[0]], [[0], [1]]], 'equally many'), ([[[0], []]], 'number 1'),
    ([[[0], [300]]], 'got 0 to 300'), ([[[-1]]], 'got -1'),
    ([[[0, 1], [2, 3, 2]]], 'once; number 1 has one twice'),
])
def test_bad_parts_are_named(world, parts, name):
    net, x, y, _ = world
    with pytest.raises(InputError, match=name): ClientsAtOnce(net, (x, y), parts)


def test_clients_who_are_not_there_are_named(world):
    net, x, y, parts = world
    crew = ClientsAtOnce(net, (x, y), [parts])
    for which in ([[9]], [[-1]], [0], [[0], [1]], [[1, 1]]):
        with pytest.raises(InputError, match='`which`'):
            crew.train(crew.stack(copy_of(net)), lr=.1, which=which)
    with pytest.raises(InputError, match='`epochs`'): ClientsAtOnce(net, (x, y), [parts], epochs=0)


@pytest.mark.parametrize('change', [
    lambda s: s.pop('layers.0.weight'), lambda s: s.update(more=torch.ones(1, 2)),
    lambda s: s.update({n: t.repeat(2, *[1]*(t.ndim - 1)) for n, t in s.items()}),
    lambda s: s.update({'layers.0.weight': torch.ones(1, 2, 2)})])
def test_models_that_do_not_fit_are_not_trained_from(change):
    x, y, net = torch.randn(12, 4), torch.arange(12) % 2, mlp(4, 3, 2)
    start = {n: p.detach()[None].clone() for n, p in net.named_parameters()}
    change(start)
    with pytest.raises(InputError, match='`start`'):
        ClientsAtOnce(net, (x, y), [[[0, 1]]]).train(start, lr=.1)


@pytest.mark.parametrize('given, name', [
    (dict(lr=float('nan')), '`lr`'), (dict(lr=-1.), '`lr`'), (dict(lr=torch.ones(3)), '`lr`'),
    (dict(lr=.1, mu=-1.), '`mu`'), (dict(lr=.1, mu=[.1, .2]), '`mu`')])
def test_rates_that_do_not_fit(given, name):
    x, y, net = torch.randn(12, 4), torch.arange(12) % 2, mlp(4, 3, 2)
    crew = ClientsAtOnce(net, (x, y), [[[0, 1]]])
    start = crew.stack(dict(net.named_parameters()))
    with pytest.raises(InputError, match=name): crew.train(start, **given)


def test_masks_fractions_and_unequal_tensors_are_no_rows():
    x, y, net = torch.randn(12, 4), torch.arange(12) % 2, mlp(4, 3, 2)
    for part in (np.array([False, True]*6), [.9, 1.7]):
        with pytest.raises(InputError, match='`parts`'): ClientsAtOnce(net, (x, y), [[part]])
    with pytest.raises(InputError, match='`tensors`'): ClientsAtOnce(net, (x, y[:5]), [[[0, 1]]])


def test_a_model_of_whole_numbers_learns_at_the_rate_it_was_given():
    torch.manual_seed(0)
    words = nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.Linear(8, 2))
    start = {name: t.detach()[None].clone() for name, t in words.state_dict().items()}
    x, y = torch.randint(0, 5, (12, 2)), torch.arange(12) % 2
    got = ClientsAtOnce(words, (x, y), [[[*range(12)]]]).train(start, lr=.1)
    assert all((got[name] != start[name]).any() for name in start)
