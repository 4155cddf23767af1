"Clients that differ: the three repairs, heads that stay at home, and whom the model serves"
import copy
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from dlcourse.core.errors import InputError
from dlcourse.federated.averaging import digit_parts, federate, first_weights
from dlcourse.federated.clients import ClientsAtOnce, train_client
from dlcourse.federated.heterogeneity import (
    adam_at_server,
    adam_steps,
    client_report,
    federate_controlled,
    proximal_gradients,
    with_own_heads,
)
from dlcourse.training.zoo import mlp


@pytest.fixture
def world():
    x, y, tx, ty, parts = digit_parts('dirichlet', 8, .3, 2)
    net = mlp(64, 8, 10).double()
    start = {n: t.double() for n, t in first_weights([0], 64, 8, 10).items()}
    return net, x.double(), y, (tx.double(), ty), parts, start


def test_the_crew_pulls_as_the_exercise_says(world):
    net, x, y, _, parts, start = world
    state = {n: torch.randn_like(t) for n, t in start.items()}
    grads = {n: torch.randn_like(t) for n, t in start.items()}
    got = proximal_gradients(grads, state, start, torch.tensor([.3]).double())
    for n in grads:
        torch.testing.assert_close(got[n], grads[n] + .3*(state[n] - start[n]), check_dtype=False,
                                   atol=1e-7, rtol=0)


def test_scaffold_is_the_loop_of_the_paper(world):
    net, x, y, test, parts, start = world
    crew = ClientsAtOnce(net, (x, y), [parts], seeds=[5], epochs=2, batch_size=20)
    got = federate_controlled(crew, start, test, rounds=4, lr=torch.tensor([.1]).double()).state
    model = {n: t[0].clone() for n, t in start.items()}
    zeros = {n: torch.zeros_like(t) for n, t in model.items()}
    own, all_, n_rows = [copy.deepcopy(zeros) for _ in parts], copy.deepcopy(zeros), len(x)
    for number in range(1, 5):
        mean, moved = copy.deepcopy(zeros), copy.deepcopy(zeros)
        for k, part in enumerate(parts):
            net.load_state_dict(model)
            train_client(net, x[part], y[part], lr=.1, epochs=2, batch_size=20, seed=5, client=k,
                         number=number, shift={n: all_[n] - own[k][n] for n in model})
            steps = 2*-(-len(part)//20)
            for n, p in net.named_parameters():
                new = own[k][n] - all_[n] + (model[n] - p.detach())/(steps*.1)
                moved[n] += (new - own[k][n])/len(parts)
                own[k][n] = new
                mean[n] += p.detach()*len(part)/n_rows
        all_ = {n: all_[n] + moved[n] for n in model}
        model = mean
    for n, t in model.items(): torch.testing.assert_close(got[n][0], t, atol=1e-7, rtol=0)


@pytest.mark.skipif(find_spec('flwr') is None, reason="Flower is not installed")
def test_flowers_adam_differs_by_its_bias_correction_alone():
    from dlcourse.federated.flower import load_flower
    app, there = load_flower().app, load_flower().serverapp.strategy
    strategy = there.FedAdam(eta=.1, tau=1e-3)
    old, mean, moments = np.ones(3), np.array([1.5, 1., .2]), {}
    strategy.current_arrays = {'w': old}
    content = app.RecordDict({'arrays': app.ArrayRecord({'w': app.Array(mean)}),
                              'metrics': app.MetricRecord({'num-examples': 1})})
    from dlcourse.federated.flower import acting_as_server
    with acting_as_server():
        reply = app.Message(content, reply_to=app.Message(app.RecordDict(), 2, 'train'))
    theirs = strategy.aggregate_train(1, [reply])[0]['w'].numpy()
    rate = .1*np.sqrt(1 - .99**2)/(1 - .9**2)
    ours = adam_at_server({'w': torch.from_numpy(old)[None]}, {'w': torch.from_numpy(mean)[None]},
                          moments, torch.tensor([rate]).double())
    np.testing.assert_allclose(ours['w'][0], theirs, atol=1e-9)


def test_adams_moments_are_of_one_run_of_rounds(world):
    net, x, y, test, parts, start = world
    crew = ClientsAtOnce(net, (x, y), [parts], batch_size=20)
    def run(): return federate(crew, start, test, rounds=3, lr=.1,
                               step=adam_steps(torch.tensor([.05]).double())).accuracy
    assert torch.equal(run(), run())


def test_heads_stay_at_home_and_the_rest_is_common(world):
    net, x, y, _, parts, start = world
    crew = ClientsAtOnce(net, (x, y), [parts], batch_size=20)
    head = list(start)[-2:]
    own = with_own_heads(crew, start, rounds=2, lr=.1, heads=head)
    for name, t in own.items():
        spread = float((t[0] - t[0, :1]).abs().max())
        assert (spread > 1e-3) == (name in head)
    with pytest.raises(InputError, match='`heads`'):
        with_own_heads(crew, start, rounds=1, lr=.1, heads=['top'])


def test_with_no_head_at_home_it_is_averaging(world):
    net, x, y, test, parts, start = world
    crew = ClientsAtOnce(net, (x, y), [parts])
    own = with_own_heads(crew, start, rounds=3, lr=.2, heads=[])
    want = federate(crew, start, test, rounds=3, lr=.2).state
    for name, t in want.items(): torch.testing.assert_close(own[name][0, 3], t[0])


def test_report_of_one_client():
    report = client_report([True], [4], [0])
    assert report == {'mean': 1., 'worst': 1., 'worst_client': 4, 'gap': 0.}
    with pytest.raises(InputError, match='`hit`'): client_report([], [], [])


@pytest.fixture
def broken(world):
    "The same world with a client whose training gives NaN"
    net, x, y, _, parts, _ = world
    x = x.clone()
    x[parts[2][0]] = float('nan')
    return ClientsAtOnce(net, (x, y), [parts], batch_size=20)


def test_a_head_that_broke_stays_the_clients_own(world, broken):
    net, x, y, _, parts, start = world
    head = list(start)[-2:]
    own = with_own_heads(broken, start, rounds=2, lr=.1, heads=head)
    others = [k for k in range(8) if k != 2]
    for name in head:
        torch.testing.assert_close(own[name][0, 2], start[name][0])
        assert not torch.equal(own[name][0, 2], own[name][0, 0])
    less = ClientsAtOnce(net, (x, y), [[parts[k] for k in others]], batch_size=None)
    same = ClientsAtOnce(net, (broken.tensors[0], y), [parts])
    one, two = (with_own_heads(c, start, rounds=2, lr=.1, heads=head) for c in (less, same))
    for name in start: torch.testing.assert_close(two[name][0, others], one[name][0])
    assert all(t.isfinite().all() for t in own.values())


def test_who_broke_moves_no_control_variate(world, broken):
    net, x, y, test, parts, start = world
    lr = torch.tensor([.1]).double()
    course = federate_controlled(broken, start, test, rounds=3, lr=lr)
    assert all(t.isfinite().all() for t in course.state.values())
    # Without batches the others' rows come in one order: as if the one had never been asked
    less = ClientsAtOnce(net, (x, y), [[p for k, p in enumerate(parts) if k != 2]])
    one = federate_controlled(less, start, test, rounds=1, lr=lr).state
    same = ClientsAtOnce(net, (broken.tensors[0], y), [parts])
    two = federate_controlled(same, start, test, rounds=1, lr=lr).state
    for name in start: torch.testing.assert_close(one[name], two[name])
