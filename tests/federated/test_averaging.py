"Federated averaging: the mean, the rounds, and the same apps in every place"
import json
import os
import signal
import subprocess
import sys
import time
import warnings
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from dlcourse.core.errors import InputError
from dlcourse.federated.apps import client_app, server_app
from dlcourse.federated.averaging import (
    combine_answers,
    digit_parts,
    federate,
    first_weights,
    make_client,
    own_digits,
    rounds_to_target,
    shard_parts,
    weighted_average,
)
from dlcourse.federated.clients import ClientsAtOnce
from dlcourse.federated.flower import run_in_process
from dlcourse.federated.heterogeneity import federate_controlled
from dlcourse.federated.partitions import holdings
from dlcourse.federated.strategies import chosen_clients, make_strategy, run_settings
from dlcourse.training.zoo import mlp

flower = pytest.mark.skipif(find_spec('flwr') is None, reason="Flower is not installed: "
                            "pip install 'dlcourse[federated]'")
CONFIG = {'num-rounds': 4, 'partition': 'shards', 'fraction-train': .4, 'local-epochs': 2,
          'seed': 3}


def in_one_stack(config, clients):
    "The same run by the stack of clients"
    config = run_settings(config)
    x, y, tx, ty, parts = digit_parts(config['partition'], clients, .5, config['seed'])
    crew = ClientsAtOnce(mlp(64, 64, 10), (x, y), [parts], seeds=[config['seed']],
                         epochs=config['local-epochs'], batch_size=config['batch-size'] or None)
    usual = dict(rounds=config['num-rounds'], fraction=config['fraction-train'])
    start = first_weights([config['seed']], 64, 64, 10)
    if config['strategy'] == 'scaffold':
        return federate_controlled(crew, start, (tx, ty), lr=torch.tensor([config['lr']]), **usual)
    return federate(crew, start, (tx, ty), mu=config['mu'], lr=config['lr'], **usual)


def gap(run, course):
    return max(float((course.state[k][0] - t).abs().max()) for k, t in run.tensors().items())


def test_one_step_on_all_rows_is_gradient_descent_on_the_pooled_rows():
    x, y, tx, ty, parts = digit_parts('dirichlet', 7, .2, 0)
    x, net = x.double(), mlp(64, 16, 10).double()
    state = {n: t.double() for n, t in first_weights([0], 64, 16, 10).items()}
    crew = ClientsAtOnce(net, (x, y), [parts])
    got = federate(crew, state, (tx.double(), ty), rounds=10, lr=.3).state
    net.load_state_dict({n: t[0] for n, t in state.items()})
    optimizer = torch.optim.SGD(net.parameters(), lr=.3)
    for _ in range(10):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(x), y).backward()
        optimizer.step()
    for name, p in net.named_parameters():
        torch.testing.assert_close(got[name][0], p.detach(), atol=1e-9, rtol=0)


def test_mcmahans_order_on_digits():
    x, y, *test, _ = digit_parts('iid', 20, .5, 0)
    def needed(epochs, batch_size, lr):
        parts = [digit_parts('iid', 20, .5, s)[-1] for s in range(3)]
        crew = ClientsAtOnce(mlp(64, 64, 10), (x, y), parts, epochs=epochs, batch_size=batch_size)
        course = federate(crew, first_weights(range(3), 64, 64, 10), test, rounds=60, lr=lr,
                          fraction=.2, until=.88)
        return np.median([rounds_to_target(c, .88) for c in course.accuracy])
    one, five, small, both = (needed(*s) for s in ((1, None, 1.), (5, None, .5), (1, 10, .5),
                                                   (5, 10, .5)))
    assert both < min(five, small) and max(five, small) < one and one > 3*both


def test_shards_leave_most_clients_with_few_classes():
    _, y, *_ = digit_parts('iid', 1, .5, 0)
    kinds = (holdings(shard_parts(y.numpy(), 20, seed=1), y.numpy()) > 0).sum(1)
    assert kinds.max() <= 4 and np.median(kinds) <= 3


@pytest.mark.parametrize('partition, clients', [('iid', 5), ('shards', 20), ('dirichlet', 8),
                                                ('writer', 7)])
def test_every_row_of_the_digits_is_held_once(partition, clients):
    x, y, *_, parts = digit_parts(partition, clients, .5, 1)
    assert np.sort(np.concatenate(parts)).tolist() == list(range(len(x)))


def test_drawn_clients_follow_from_seed_and_round():
    def drawn(seed, number): return chosen_clients(50, .2, seed, number).tolist()
    assert drawn(1, 2) == drawn(1, 2) != drawn(1, 3) and len(drawn(0, 0)) == 10
    assert len(chosen_clients(3, .01, 0, 0)) == 1
    assert chosen_clients(3, 1., 0, 0).tolist() == [0, 1, 2]
    counts = np.bincount(np.concatenate([drawn(s, s) for s in range(300)]), minlength=50)
    assert counts.min() > 30 and counts.max() < 95


@flower
@pytest.mark.parametrize('options', [{}, {'batch-size': 0}, {'strategy': 'fedprox', 'mu': .5},
                                     {'fraction-train': 1.}, {'strategy': 'scaffold'}])
def test_the_app_in_this_process_is_the_stack_of_clients(options):
    run = run_in_process(server_app, client_app, 10, CONFIG | options)
    course = in_one_stack(CONFIG | options, 10)
    assert gap(run, course) < 1e-5
    accuracy = run.history['server/accuracy'][1:]
    np.testing.assert_allclose(accuracy, course.accuracy[0], atol=2e-3)


@flower
def test_adam_at_the_server_runs_and_learns():
    run = run_in_process(server_app, client_app, 10, CONFIG | {'strategy': 'fedadam',
                                                               'partition': 'iid', 'num-rounds': 8})
    assert run.history['server/accuracy'][-1] > .6 and run.history['train/used'] == [4]*8


SIMULATED = """
import json, sys, warnings
warnings.simplefilter('ignore') # Ray's own
import numpy as np
from dlcourse.federated.apps import client_app, server_app
from dlcourse.federated.flower import run_simulated
run = run_simulated(server_app, client_app, 5, json.loads(sys.argv[1]))
arrays = {f'a/{name}': array for name, array in run.arrays.items()}
np.savez(sys.argv[2], used=run.history['train/used'], **arrays)
"""
MOST = 600. # Seconds by the clock for Flower's simulation, which needs 25 and has hung
BUSY = 'The current node timed out during startup'


def marked(pid, mark):
    "Was a process given this variable?"
    try: return mark.encode() in Path(f'/proc/{pid}/environ').read_bytes()
    except OSError: return False


def begun(process, mark):
    "A process that leads a session and what it began: Ray starts sessions, and some outlive it"
    words = ['ps', '-A', '-o', 'pid=,ppid=,sess=,stat=']
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in said.splitlines()]
    rows = [tuple(map(int, row[:3])) for row in rows if row[3][0] != 'Z']
    found = {pid for pid, *_ in rows if pid == process.pid or marked(pid, mark)}
    while True:
        roots = found | {own for pid, _, own in rows if pid in found} | {process.pid}
        more = {pid for pid, parent, own in rows if parent in found or own in roots} - found
        if not more: return found
        found |= more


def end_all(process, mark):
    "Kill a process and all that it began, as long as there are any"
    while living := begun(process, mark):
        for pid in living:
            with suppress(ProcessLookupError): os.kill(pid, signal.SIGKILL)
        process.wait()


def test_what_a_killed_process_began_dies_too():
    sleeps = "import subprocess as s; s.Popen(['sleep', '300'], start_new_session=True)"
    mark = 'OF_A_TEST=sleeps'
    for code in (sleeps, f'{sleeps}.wait()'): # One that ended, and one that hangs
        process = subprocess.Popen([sys.executable, '-c', code], start_new_session=True,
                                   env=os.environ | dict([mark.split('=')]))
        if code is sleeps: process.wait()
        else:
            while len(begun(process, mark)) < 2: pass
        assert begun(process, mark)
        end_all(process, mark)
        assert not begun(process, mark)


@flower
@pytest.mark.slow
@pytest.mark.parametrize('way', ['fedavg', 'scaffold']) # The second has a state at the clients
def test_flowers_simulation_gives_the_same_model(tmp_path, way):
    pytest.importorskip('ray')
    config = CONFIG | {'strategy': way}
    words = [sys.executable, '-c', SIMULATED, json.dumps(config), str(tmp_path/'run.npz')]
    mark, until, said = f'OF_A_TEST={tmp_path}', time.monotonic() + MOST, BUSY
    while BUSY in said: # Ray itself waits for its own for 30 seconds and no longer
        with open(tmp_path/'said', 'w') as f:
            process = subprocess.Popen(words, stdout=f, stderr=f, start_new_session=True,
                                       env=os.environ | dict([mark.split('=')]))
            try: process.wait(max(0, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                pytest.fail(f"Flower's simulation did not end in {MOST:g} seconds; it was stopped")
            finally: end_all(process, mark)
        said = (tmp_path/'said').read_text() if process.returncode else ''
    assert process.returncode == 0, said
    here = run_in_process(server_app, client_app, 5, config)
    with np.load(tmp_path/'run.npz') as run:
        for name, array in here.arrays.items():
            np.testing.assert_allclose(run[f'a/{name}'], array, atol=1e-5, rtol=0)
        assert run['used'].tolist() == here.history['train/used'] == [2]*4


@flower
def test_broken_answers_are_left_out_counted_and_named():
    def alter(client, number, state):
        if client == 1 and number == 1: raise KeyError('age')
        if client == 2: state['layers.0.weight'][0, 0] = float('nan')
        if client == 3: return {'other': torch.zeros(2)}
        return state
    def silent(number, node): return node == 5 and number > 1 # The first round asks who is there
    with pytest.warns(UserWarning) as said:
        run = run_in_process(server_app, make_client(alter), 6,
                             {'num-rounds': 2, 'fraction-train': 1.}, silent=silent)
    assert all(np.isfinite(a).all() for a in run.arrays.values())
    assert run.history['train/used'] == [2, 3] and run.history['train/refused'] == [3, 2]
    assert run.history['train/silent'] == [1, 1]
    reasons = ' '.join(run.context.state['reasons']['reasons'])
    for part in ("round 1, client 1: KeyError: 'age'", 'round 1, client 2: not finite',
                 'client 3: arrays of other names or shapes'): assert part in reasons
    assert len(said) == 5


@flower
def test_broken_answers_have_no_share():
    def alter(client, number, state):
        return {n: t*float('inf') for n, t in state.items()} if client >= 3 else state
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        run = run_in_process(server_app, make_client(alter), 5, {'num-rounds': 1})
    x, y, *test, parts = digit_parts('iid', 5, .5, 0)
    start = first_weights([0], 64, 64, 10)
    crew = ClientsAtOnce(mlp(64, 64, 10), (x, y), [parts], batch_size=10)
    answers = crew.train(start, lr=.1, number=1, which=[[0, 1, 2]])
    want = weighted_average(answers, crew.weights[:, :3])
    for name, t in run.tensors().items(): torch.testing.assert_close(t, want[name][0])


@flower
def test_a_run_without_any_usable_answer_says_why():
    def alter(client, number, state): raise RuntimeError('no space left')
    with pytest.warns(UserWarning), pytest.raises(InputError, match='no space left'):
        run_in_process(server_app, make_client(alter), 2, {'num-rounds': 1})


@flower
@pytest.mark.parametrize('config, name', [({'strategy': 'fedfoo'}, '`strategy`'),
                                          ({'lr': 'much'}, '`lr`'),
                                          ({'fraction-train': 0.}, '`fraction-train`')])
def test_a_bad_configuration_is_named(config, name):
    with pytest.raises(InputError, match=name): run_in_process(server_app, client_app, 2, config)


@flower
def test_a_bad_partition_is_named_by_the_clients():
    with pytest.warns(UserWarning), pytest.raises(InputError, match='`partition` must be one of'):
        run_in_process(server_app, client_app, 2, {'partition': 'odd'})
    with pytest.warns(UserWarning), pytest.raises(InputError, match='7 writers'):
        run_in_process(server_app, client_app, 9, {'partition': 'writer'})


@pytest.mark.parametrize('call, name', [
    (lambda: run_settings({'num-rounds': 1.5}), '`num-rounds`'),
    (lambda: chosen_clients(3, 0., 0, 0), '`fraction`'),
    (lambda: chosen_clients(3, 1.1, 0, 0), '`fraction`'),
    (lambda: own_digits(run_settings(), {'partition-id': 0}), 'num-partitions'),
    (lambda: own_digits(run_settings(), {'partition-id': 5, 'num-partitions': 5}), 'partition-id'),
    (lambda: shard_parts([0, 1], 2, 2), '`shards`'),
])
def test_bad_input_is_named(call, name):
    with pytest.raises(InputError, match=name): call()


@flower
def test_strategies_are_flowers_own():
    there = __import__('flwr.serverapp.strategy', fromlist=['x'])
    made = make_strategy(run_settings({'strategy': 'fedadam', 'server-lr': .2}))
    assert isinstance(made, there.FedAdam) and made.eta == .2


def test_combining_keeps_the_old_model_apart():
    old = {'w': torch.ones(2)}
    new, lost = combine_answers(old, [(None, 3)])
    new['w'].zero_()
    assert lost == 1 and old['w'].tolist() == [1, 1]


@pytest.mark.parametrize('odd', [
    {'num-rounds': 0}, {'local-epochs': 0}, {'batch-size': -1}, {'lr': float('nan')}, {'lr': -1.},
    {'mu': -1.}, {'server-lr': float('inf')}, {'seed': -1}, {'fraction-evaluate': 2.}])
def test_settings_out_of_bounds(odd):
    with pytest.raises(InputError, match=next(iter(odd))): run_settings(odd)


@pytest.mark.parametrize('answers, weights, name', [
    (torch.tensor([[[10], [20]]]), [[1., 1.]], '`answers`'),
    (torch.ones(1, 2, 3), [[0., 0.]], '`weights`'),
    (torch.ones(1, 2, 3), [[-1., 2.]], '`weights`'),
    (torch.ones(1, 2, 3), [[float('nan'), 2.]], '`weights`')])
def test_what_has_no_mean_is_refused(answers, weights, name):
    with pytest.raises(InputError, match=name):
        weighted_average({'w': answers}, torch.tensor(weights))


def test_rows_that_16_bits_cannot_add_up():
    got = weighted_average({'w': torch.ones(1, 3, 2)}, torch.full((1, 3), 6e4).half())['w']
    torch.testing.assert_close(got, torch.ones(1, 2))


@pytest.mark.parametrize('state, rows', [
    ({'w': torch.ones(3, 2)}, 3), ({'w': torch.ones(2).double()*1e300}, 3),
    ({'v': torch.ones(2)}, 3),
    ({'w': torch.ones(2).long()}, 3), ({'w': torch.ones(2)}, -5), ({'w': torch.ones(2)}, 0),
    ({'w': torch.ones(2)}, float('nan')), ({'w': torch.ones(2)}, float('inf')), (None, 3)])
def test_what_is_no_answer_has_no_share(state, rows):
    old, fine = {'w': torch.zeros(2)}, ({'w': torch.full((2,), 4.)}, 2)
    got, lost = combine_answers(old, [(state, rows), fine])
    assert lost == 1 and got['w'].tolist() == [4., 4.]
    got, lost = combine_answers(old, [(state, rows)])
    assert lost == 1 and got['w'].tolist() == [0., 0.]


def test_a_row_that_is_not_finite_costs_its_client_its_share():
    x, y, *test, parts = digit_parts('iid', 3, .5, 0)
    broken = x.clone()
    broken[parts[0][0]] = float('nan')
    start = first_weights([0], 64, 8, 10)
    net = mlp(64, 8, 10)
    got = federate(ClientsAtOnce(net, (broken, y), [parts]), start, test, rounds=3, lr=.1).state
    crew = ClientsAtOnce(net, (x, y), [parts[1:]])
    want = federate(crew, start, test, rounds=3, lr=.1).state
    for name, t in want.items(): torch.testing.assert_close(got[name], t, atol=1e-6, rtol=0)
    lost = ClientsAtOnce(net, (x*float('nan'), y), [parts])
    nobody = federate(lost, start, test, rounds=2, lr=.1)
    for name, t in start.items():
        torch.testing.assert_close(nobody.state[name], t, atol=1e-6, rtol=0)


@pytest.mark.parametrize('rounds', [0, -1, 1.5])
def test_no_round_is_no_course(rounds):
    x, y, *test, parts = digit_parts('iid', 3, .5, 0)
    with pytest.raises(InputError, match='`rounds`'):
        federate(ClientsAtOnce(mlp(64, 8, 10), (x, y), [parts]), first_weights([0], 64, 8, 10),
                 test, rounds=rounds, lr=.1)


@pytest.mark.parametrize('given, name', [
    (dict(clients=0), '`clients`'), (dict(clients=-1), '`clients`'), (dict(shards=0), '`shards`'),
    (dict(shards=2.), '`shards`'), (dict(seed=-1), '`seed`'), (dict(seed='x'), '`seed`')])
def test_odd_shards_are_refused(given, name):
    with pytest.raises(InputError, match=name):
        shard_parts([0, 1]*5, **{'clients': 2, 'shards': 2} | given)


def test_the_lesson_loads_no_flower():
    code = "import sys, dlcourse.federated.averaging; assert 'flwr' not in sys.modules"
    subprocess.run([sys.executable, '-c', code], check=True)


@flower
def test_flower_finds_both_apps_by_name():
    from flwr.supercore import object_ref
    for name in ('server_app', 'client_app'):
        assert object_ref.validate(f'dlcourse.federated.apps:{name}') == (True, None)


@pytest.mark.parametrize('given, name', [
    ((0, 1., 0, 0), '`clients`'), ((-1, 1., 0, 0), '`clients`'), ((3, 1., -1, 0), '`seed`'),
    ((3, 1., 0, -1), '`number`')])
def test_nobody_is_drawn_of_nobody(given, name):
    with pytest.raises(InputError, match=name): chosen_clients(*given)
