"Flower in this process: quiet, in order, with causes; the same in Flower's own simulation"
import json
import os
import subprocess
import sys
import threading
from importlib.util import find_spec

import numpy as np
import pytest

from dlcourse.core.errors import InputError
from dlcourse.federated.canary import flower_changes
from dlcourse.federated.flower import (
    InProcessGrid,
    acting_as_server,
    contexts_of,
    keep_result,
    load_flower,
    run_in_process,
    run_simulated,
)

if find_spec('flwr') is None:
    pytest.skip("Flower is not installed: pip install 'dlcourse[federated]'",
                allow_module_level=True)


def apps(train, rounds=2, start=(0., 0.), **options):
    "A server that averages what `train` makes of the arrays and the context"
    flwr = load_flower()
    app, client, server = flwr.app, flwr.clientapp.ClientApp(), flwr.serverapp.ServerApp()

    @client.train()
    def answer(message, context):
        given = [array.numpy() for array in message.content['arrays'].values()]
        said = app.MetricRecord({'num-examples': 1, 'loss': 2.})
        records = {'arrays': app.ArrayRecord(train(given, context)), 'metrics': said}
        return app.Message(app.RecordDict(records), reply_to=message)

    @server.main()
    def main(grid, context):
        usual = dict(fraction_evaluate=0., min_train_nodes=1, min_available_nodes=1)
        strategy = flwr.serverapp.strategy.FedAvg(**usual | options)
        keep_result(context, strategy.start(grid, app.ArrayRecord([np.array(start)]), rounds))
    return server, client


def test_the_canary_is_silent_for_the_version_that_is_supported():
    assert flower_changes() == []


def test_the_canary_names_what_changed(monkeypatch):
    flwr = load_flower()
    from flwr.supercore import task_identity
    monkeypatch.setattr(flwr, '__version__', '1.42.0')
    monkeypatch.delattr(task_identity, 'TaskIdentity')
    monkeypatch.setattr(flwr.serverapp.Grid, '__abstractmethods__', frozenset({'run', 'news'}))
    said = ' '.join(flower_changes())
    for part in ('1.42.0', 'TaskIdentity is gone', "'news'"): assert part in said


def test_it_is_a_grid_for_flower():
    grid = InProcessGrid(apps(lambda a, c: a)[1], contexts_of(2))
    assert isinstance(grid, load_flower().serverapp.Grid)
    assert grid.get_node_ids() == [1, 2] and [n.node_id for n in grid.get_nodes()] == [1, 2]


def test_a_run_returns_its_model_and_its_course():
    run = run_in_process(*apps(lambda a, c: [a[0] + 1]), 3)
    np.testing.assert_allclose(run.arrays['0'], [2., 2.])
    assert run.history == {'train/round': [1, 2], 'train/loss': [2., 2.]}
    assert run.tensors()['0'].tolist() == [2., 2.]


def test_clients_are_told_who_they_are_and_keep_their_state():
    def train(arrays, context):
        app = load_flower().app
        told = context.node_config
        before = context.state.get('calls', {'n': [0]})
        context.state['calls'] = app.ConfigRecord({'n': [before['n'][0] + 1]})
        assert told['num-partitions'] == 2 and context.run_config['lr'] == .5
        return [arrays[0] + told['site']*context.state['calls']['n'][0]]
    run = run_in_process(*apps(train), 2, {'lr': .5}, [{'site': 10}, {'site': 20}])
    np.testing.assert_allclose(run.arrays['0'], [45., 45.]) # 15, then 30 more


def test_a_clients_error_names_its_cause():
    def train(arrays, context):
        if context.node_config['partition-id'] == 1: raise KeyError('age')
        return [arrays[0] + 1]
    _, client = apps(train)
    app = load_flower().app
    with acting_as_server():
        grid = InProcessGrid(client, contexts_of(2))
        record = app.RecordDict({'arrays': app.ArrayRecord([np.zeros(2)])})
        good, bad = grid.send_and_receive([app.Message(record, n, 'train') for n in (1, 2)])
    assert not good.has_error() and bad.has_error()
    assert "KeyError: 'age'" in bad.error.reason and 'test_flower.py' in bad.error.reason
    run = run_in_process(*apps(train), 2)
    np.testing.assert_allclose(run.arrays['0'], [2., 2.]) # The other one goes on


def test_a_client_cannot_change_anothers_message():
    app, client = load_flower().app, load_flower().clientapp.ClientApp()

    @client.train()
    def meddle(message, context):
        said = dict(message.content['config'])
        message.content['config']['lr'] = 99.
        message.content['arrays'].clear()
        return app.Message(app.RecordDict({'c': app.ConfigRecord(said)}), reply_to=message)
    with acting_as_server():
        record = app.RecordDict({'arrays': app.ArrayRecord([np.ones(2)]),
                                 'config': app.ConfigRecord({'lr': 1.})})
        grid = InProcessGrid(client, contexts_of(2))
        answers = grid.send_and_receive([app.Message(record, n, 'train') for n in (1, 2)])
    assert [a.content['c']['lr'] for a in answers] == [1., 1.] and len(record['arrays']) == 1


def test_pushed_messages_are_pulled_once():
    app, (_, client) = load_flower().app, apps(lambda a, c: [a[0] + 1])
    with acting_as_server():
        grid = InProcessGrid(client, contexts_of(2))
        record = app.RecordDict({'arrays': app.ArrayRecord([np.zeros(2)])})
        names = grid.push_messages(grid.create_message(record, 'train', n, '1') for n in (1, 2))
    answers = grid.pull_messages(names)
    assert [a.metadata.reply_to_message_id for a in answers] == names
    assert len(set(names)) == 2 and grid.pull_messages(names) == []


def test_the_silent_do_not_answer_what_was_pushed():
    app, client = load_flower().app, apps(lambda a, c: a)[1]
    grid = InProcessGrid(client, contexts_of(2), silent=lambda *asked: asked == (1, 2))
    for answers in ([1], [1, 2]):
        with acting_as_server():
            names = grid.push_messages([app.Message(app.RecordDict(), k, 'query') for k in (1, 2)])
        assert len(names) == 2
        found = grid.pull_messages(names)
        assert [m.metadata.src_node_id for m in found] == answers
        assert not grid.pull_messages(names)


def test_the_silent_do_not_answer():
    def silent(number, node): return number == 1 and node == 2
    def train(arrays, context): return [arrays[0] + 1 + context.node_config['partition-id']]
    run = run_in_process(*apps(train), 2, silent=silent)
    np.testing.assert_allclose(run.arrays['0'], [2.5, 2.5])


def test_random_states_and_the_identity_are_put_back():
    from flwr.supercore.task_identity import TaskIdentity
    np.random.seed(3)
    want = np.random.rand()
    np.random.seed(3)
    run_in_process(*apps(lambda a, c: [a[0] + np.random.rand()]), 2)
    assert np.random.rand() == want and TaskIdentity._run_id is None


def test_two_runs_in_two_threads_take_turns():
    found = {}

    def run(rounds):
        run = run_in_process(*apps(lambda a, c: [a[0] + np.random.rand()], rounds), 3, seed=rounds)
        found[rounds] = run.arrays['0'].tolist()
    threads = [threading.Thread(target=run, args=(n,)) for n in (2, 25, 9)]
    for t in threads: t.start()
    for t in threads: t.join(600)
    together = dict(found)
    for n in (2, 25, 9): run(n)
    assert together == found and len(found) == 3


@pytest.mark.parametrize('said', [None, 7, {'arrays': []}])
def test_an_answer_that_is_no_message_is_an_error_of_that_client(said):
    _, client = apps(lambda a, c: [a[0] + 1])
    server, _ = apps(lambda a, c: a)

    def odd(message, context):
        return said if context.node_config['partition-id'] == 1 else client(message, context)
    run = run_in_process(server, odd, 2)
    np.testing.assert_allclose(run.arrays['0'], [2., 2.])


def test_one_seed_one_result():
    def train(arrays, context): return [arrays[0] + np.random.rand()]
    def result(seed): return run_in_process(*apps(train), 4, seed=seed).arrays['0'].tolist()
    assert result(1) == result(1) != result(2)


@pytest.mark.parametrize('call, name', [
    (lambda: contexts_of(0), '`clients`'),
    (lambda: contexts_of(2.5), '`clients`'),
    (lambda: contexts_of(2, {}, [{}]), '`node_configs`'),
    (lambda: contexts_of(1, {}, 7), '`node_configs` must be a sequence, got 7'),
    (lambda: contexts_of(1, {}, [7]), '`node_configs` must be a mapping, got 7'),
    (lambda: contexts_of(1, [1]), '`run_config` must be a mapping'),
    (lambda: run_in_process(None, print, 1), '`server_app` must be a callable, got None'),
    (lambda: run_in_process(print, None, 1), '`client_app` must be a callable, got None'),
    (lambda: run_in_process(print, print, 1, silent=2), '`silent` must be a callable, got 2'),
    (lambda: run_in_process(print, print, 1, seed='a'), "`seed` must be a whole .*, got 'a'"),
    (lambda: run_simulated(print, None, 1), '`client_app` must be a callable, got None'),
    (lambda: run_simulated(print, print, 1, 'x'), '`run_config` must be a mapping, got .x'),
])
def test_bad_input_is_named(call, name):
    with pytest.raises(InputError, match=name): call()


def test_a_message_to_nobody_is_an_error():
    app = load_flower().app
    with acting_as_server():
        grid = InProcessGrid(apps(lambda a, c: a)[1], contexts_of(2))
        message = app.Message(app.RecordDict(), 7, 'train')
        with pytest.raises(InputError, match='got 7'): grid.send_and_receive([message])


def in_fresh_process(code, **env):
    "What a fresh process says"
    usual = {k: v for k, v in os.environ.items() if not k.startswith(('FLWR', 'RAY'))}
    return subprocess.run([sys.executable, '-c', code], capture_output=True, text=True,
                          env=usual | env, timeout=600)


def test_flower_that_was_imported_with_telemetry_on_is_an_error():
    done = in_fresh_process('import flwr.serverapp\nfrom dlcourse.federated.flower import *\n'
                            'load_flower()', FLWR_TELEMETRY_ENABLED='1', FLWR_HOME='/nonexistent')
    assert 'InputError' in done.stderr and '`FLWR_TELEMETRY_ENABLED` must be 0' in done.stderr


GUARD = '''
import json, sys
asked = []
def look(event, args):
    if event in ('socket.connect', 'socket.getaddrinfo', 'socket.sendto', 'urllib.Request'):
        asked.append([event, repr(args)[:200]])
        raise OSError('the network is blocked')
sys.addaudithook(look)
import numpy as np
from dlcourse.federated.flower import *
app = load_flower().app
client, server = load_flower().clientapp.ClientApp(), load_flower().serverapp.ServerApp()
@client.train()
def train(message, context):
    records = dict(arrays=message.content['arrays'], m=app.MetricRecord({'num-examples': 1}))
    return app.Message(app.RecordDict(records), reply_to=message)
@server.main()
def main(grid, context):
    strategy = load_flower().serverapp.strategy.FedAvg(fraction_evaluate=0.)
    keep_result(context, strategy.start(grid, app.ArrayRecord([np.ones(2)]), 3))
run = run_in_process(server, client, 3)
from flwr.supercore.telemetry import event, EventType
event(EventType.PING)
import time; time.sleep(.3) # A thread that sends would have begun
print(json.dumps([run.arrays['0'].tolist(), asked]))
'''


def test_nothing_is_sent(tmp_path):
    done = in_fresh_process(GUARD, HOME=str(tmp_path), FLWR_HOME=str(tmp_path/'flwr'))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [[1., 1.], []]
    assert not (tmp_path/'.flwr').exists() # No number for this machine was written


def test_the_guard_sees_a_telemetry_that_is_on(tmp_path):
    code = GUARD.replace("app = load_flower().app\n",
                         "import flwr.supercore.telemetry as t; t.FLWR_TELEMETRY_ENABLED='0'\n"
                         "app = load_flower().app\nt.FLWR_TELEMETRY_ENABLED='1'\n"
                         "load_flower.__globals__['InProcessGrid'].told = 1\n", 1)
    code = code.replace('load_flower().', 'load_flower_again().').replace(
        'from dlcourse.federated.flower import *', 'from dlcourse.federated.flower import *\n'
        'import flwr\nload_flower_again = lambda: flwr')
    code = code.replace('run = run_in_process(server, client, 3)', 'class run: arrays = '
                        '{"0": np.ones(2)}')
    until = '[time.sleep(.1) for _ in range(6000) if not asked]' # However busy the machine is
    code = code.replace('time.sleep(.3)', until)
    done = in_fresh_process(code, HOME=str(tmp_path), FLWR_HOME=str(tmp_path/'flwr'))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])[1] != []


def test_lessons_can_be_imported_where_flower_was_imported_loudly():
    code = ('import os; os.environ["FLWR_TELEMETRY_ENABLED"] = "1"\n'
            'import flwr.supercore.telemetry\n'
            'import dlcourse.federated.apps as a; assert a.server_app is None\n'
            'from dlcourse.core.errors import InputError\n'
            'try: a.make_server()\nexcept InputError as e: assert "telemetry" in str(e)\n'
            'else: raise SystemExit(1)')
    subprocess.run([sys.executable, '-c', code], check=True)
