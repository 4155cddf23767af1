"What a server lets into its model: odd answers are refused with a reason, the others averaged"
from types import SimpleNamespace

import numpy as np
import pytest

from dlcourse.core.errors import InputError
from dlcourse.federated.flower import is_there, load_flower, run_in_process
from dlcourse.federated.strategies import chosen_clients, make_strategy, run_settings, unfit

pytestmark = [pytest.mark.skipif(not is_there(), reason="Flower is not installed"),
              pytest.mark.filterwarnings('ignore:round|partition')]
SHORT = {'num-rounds': 1, 'width': 4}


def answering(alter):
    "A client whose number 0 answers with something altered"
    from dlcourse.federated.apps import client_app

    def client(message, context):
        reply = client_app(message, context)
        if context.node_config['partition-id'] == 0 and message.metadata.message_type == 'train':
            alter(reply.content, load_flower().app)
        return reply
    return client


def arrays(change):
    def alter(content, app):
        content['arrays'] = app.ArrayRecord({
            k: app.Array(change(a.numpy())) for k, a in content['arrays'].items()})
    return alter


def metrics(**said):
    def alter(content, app): content['metrics'] = app.MetricRecord(said)
    return alter


def without(name):
    def alter(content, app): del content[name]
    return alter


def renamed(content, app): content['client'] = app.ConfigRecord({'partition-id': 'x'})


ODD = {
    'huge': arrays(lambda a: np.full(a.shape, 1e300)), 'far': arrays(lambda a: a*0 + 1e25),
    'nan': arrays(lambda a: a*np.nan), 'whole': arrays(lambda a: a.astype(np.int64)),
    'complex': arrays(lambda a: a.astype(complex)), 'shape': arrays(lambda a: a[:1]),
    'no rows': metrics(**{'num-examples': 0, 'loss': .1}),
    'too many rows': metrics(**{'num-examples': 10**18, 'loss': .1}),
    'a list': metrics(**{'num-examples': [1, 2], 'loss': .1}),
    'no loss': metrics(**{'num-examples': 9}), 'no client': without('client'),
    'no metrics': without('metrics'), 'no arrays': without('arrays'), 'another name': renamed}


@pytest.mark.parametrize('alter', ODD.values(), ids=ODD.keys())
def test_an_odd_answer_is_refused_and_the_others_count(alter):
    from dlcourse.federated.apps import server_app
    run = run_in_process(server_app, answering(alter), 3, SHORT)
    assert run.history['train/used'] == [2] and run.history['train/refused'] == [1]
    assert all(np.isfinite(a).all() and np.abs(a).max() < 10 for a in run.arrays.values())


def changed(alter):
    def f(content, app):
        record = {k: app.Array(alter(a.numpy())) for k, a in content['change'].items()}
        content['change'] = app.ArrayRecord(record)
    return f


@pytest.mark.parametrize('alter', [
    without('change'), changed(lambda a: a*np.nan), changed(lambda a: a[:1]),
    changed(lambda a: a*0 + 1e20), arrays(lambda a: a*np.nan)])
def test_odd_control_variates_are_refused_with_their_model(alter):
    from dlcourse.federated.apps import server_app
    config = SHORT | {'strategy': 'scaffold', 'num-rounds': 3}
    run = run_in_process(server_app, answering(alter), 3, config)
    assert run.history['train/used'] == [2]*3 and run.history['train/refused'] == [1]*3
    assert all(np.isfinite(a).all() and np.abs(a).max() < 10 for a in run.arrays.values())


def test_a_change_that_nobody_asked_for_is_refused():
    from dlcourse.federated.apps import server_app
    def alter(content, app): content['change'] = app.ArrayRecord(dict(content['arrays']))
    run = run_in_process(server_app, answering(alter), 3, SHORT)
    assert run.history['train/refused'] == [1]


@pytest.mark.parametrize('strategy', ['fedavg', 'scaffold'])
@pytest.mark.parametrize('when', ['query', 'train', 'evaluate'])
def test_an_error_without_a_reason_is_no_answer(when, strategy):
    from dlcourse.federated.apps import client_app, server_app
    app = load_flower().app
    def client(message, context):
        mine = context.node_config['partition-id'] == 0
        if mine and message.metadata.message_type.startswith(when):
            return app.Message(app.Error(code=0), reply_to=message)
        return client_app(message, context)
    config = SHORT | {'strategy': strategy, 'fraction-evaluate': 1., 'min-clients': 2}
    with pytest.warns(UserWarning, match='an error without a reason'):
        run = run_in_process(server_app, client, 3, config)
    assert all(np.isfinite(a).all() for a in run.arrays.values())


@pytest.mark.parametrize('odd', [2.5, 'a', float('nan'), 0])
def test_an_odd_number_of_clients_is_refused(odd):
    with pytest.raises(InputError, match='`clients`'): chosen_clients(odd, .5, 0, 0)


def test_one_partition_held_twice_is_said():
    from dlcourse.federated.apps import client_app, server_app
    with pytest.warns(UserWarning, match='partition 1 is held twice; node 2 is left out'):
        run = run_in_process(server_app, client_app, 3, SHORT,
                             node_configs=[{'partition-id': 1}, {}, {}])
    assert run.history['train/used'] == [2]


def test_more_clients_than_there_are_is_an_error():
    from dlcourse.federated.apps import client_app, server_app
    with pytest.raises(InputError, match='`min-clients` is 4, and 3 are there after 0 s'):
        run_in_process(server_app, client_app, 3, SHORT | {'min-clients': 4})


def test_sites_that_leave_cost_rounds_and_not_the_model(monkeypatch):
    from dlcourse.federated import flower
    from dlcourse.federated.apps import client_app, server_app
    monkeypatch.setattr('dlcourse.federated.strategies.time.sleep', lambda seconds: None)
    there = flower.InProcessGrid.get_node_ids
    calls = []
    def leaving(grid):
        calls.append(grid)
        return [*there(grid)][:None if len(calls) < 3 else 2]
    monkeypatch.setattr(flower.InProcessGrid, 'get_node_ids', leaving)
    config = SHORT | {'num-rounds': 3, 'min-clients': 3}
    with pytest.warns(UserWarning, match='`min-clients` is 3, and 2 are there'):
        run = run_in_process(server_app, client_app, 3, config)
    assert run.history['train/used'][0] == 3 and run.history['train/used'][-1] == 0
    assert all(np.isfinite(a).all() for a in run.arrays.values())


def test_sites_that_do_not_come_are_waited_for_and_not_for_ever(monkeypatch, capsys):
    seconds = []
    monkeypatch.setattr('dlcourse.federated.strategies.time.sleep', seconds.append)
    strategy = make_strategy(run_settings({'min-clients': 3}))
    grid = SimpleNamespace(get_node_ids=lambda: [7, 9])
    with pytest.raises(InputError, match='`min-clients` is 3, and 2 are there after 599 s'):
        strategy.partitions(grid)
    assert capsys.readouterr().out.split('\n')[:-1] == ['waiting for 3 sites, 2 are there']*10
    assert seconds == [1.]*600


@pytest.mark.parametrize('config, name', [
    ({'local-epoch': 5}, 'local-epoch'), ({'num-rounds': 0}, '`num-rounds`'),
    ({'num-rounds': True}, '`num-rounds`'), ({'seed': -1}, '`seed`'), ({'seed': 2**70}, '`seed`'),
    ({'lr': float('nan')}, '`lr`'), ({'lr': -1.}, '`lr`'), ({'batch-size': -1}, '`batch-size`'),
    ({'server-lr': float('nan')}, '`server-lr`'), ({'mu': -1.}, '`mu`'),
    ({'fraction-evaluate': -1.}, '`fraction-evaluate`'), ({'strategy': 3}, '`strategy`')])
def test_settings_have_limits(config, name):
    with pytest.raises(InputError, match=name): run_settings(config)


def test_what_fits():
    old = np.zeros(2, np.float32)
    assert unfit(np.ones(2), old) is None and unfit(np.ones(2, np.float16), old) is None
    for bad in (np.array([1, np.inf]), np.array([1, np.nan]), np.array([1, 2]), np.array(['a'])):
        assert unfit(bad, old)


def saying(kind, alter):
    "A client whose number 0 alters its answers of one kind"
    from dlcourse.federated.apps import client_app

    def client(message, context):
        reply = client_app(message, context)
        if context.node_config['partition-id'] == 0 and message.metadata.message_type == kind:
            alter(reply.content, load_flower().app)
        return reply
    return client


@pytest.mark.parametrize('said', [
    {'num-examples': 3, 'accuracy': .5, 'x': 1}, {'num-examples': 3}, {'accuracy': .5},
    {'num-examples': 3, 'accuracy': [.1]}, {'num-examples': 3, 'accuracy': float('nan')},
    {'num-examples': 3, 'accuracy': 5.}, {'num-examples': -100, 'accuracy': .5},
    {'num-examples': float('nan'), 'accuracy': .5}, {'num-examples': 10**18, 'accuracy': .5}])
def test_an_odd_measurement_is_left_out_counted_and_named(said):
    from dlcourse.federated.apps import client_app, server_app
    config = SHORT | {'fraction-evaluate': 1.}
    run = run_in_process(server_app, saying('evaluate', metrics(**said)), 4, config)
    assert run.history['evaluate/refused'] == [1] and run.history['train/used'] == [4]
    assert any('client 0' in r for r in run.context.state['reasons']['reasons'])
    def mute(number, node): return node == 1 and number == 3 # Question, training, measurement
    rest = run_in_process(server_app, client_app, 4, config, silent=mute)
    assert run.history['clients/accuracy'] == rest.history['clients/accuracy']


def test_no_measurement_at_all_ends_no_run():
    from dlcourse.federated.apps import client_app, server_app
    run = run_in_process(server_app, client_app, 2, SHORT | {'fraction-evaluate': 1.},
                         silent=lambda number, node: number == 3)
    assert run.arrays and 'clients/accuracy' not in run.history


@pytest.mark.parametrize('loss', [float('nan'), float('inf'), 1e308, -1e16])
def test_an_odd_loss_is_no_loss(loss):
    from dlcourse.federated.apps import server_app
    run = run_in_process(server_app, answering(metrics(**{'num-examples': 9, 'loss': loss})), 3,
                         SHORT)
    assert run.history['train/refused'] == [1] and np.isfinite(run.history['train/loss']).all()


@pytest.mark.parametrize('held', [-1, True, '0', 0.])
def test_who_cannot_say_its_partition_is_named(held):
    from dlcourse.federated.apps import server_app
    def alter(content, app): content['client'] = app.ConfigRecord({'partition-id': held})
    with pytest.warns(UserWarning, match='partition-id'):
        run = run_in_process(server_app, saying('query', alter), 3, SHORT)
    reasons = run.context.state['reasons']['reasons']
    assert len(reasons) == 1 and repr(held) in reasons[0] and run.history['train/used'] == [2]


def test_silence_and_long_reasons():
    from dlcourse.federated.apps import client_app, server_app
    with pytest.warns(UserWarning, match='node 2 did not say'):
        run = run_in_process(server_app, client_app, 3, SHORT, silent=lambda n, node: node == 2)
    assert run.history['train/used'] == [2]
    def alter(content, app): raise ValueError('y'*10**6)
    with pytest.warns(UserWarning):
        run = run_in_process(server_app, answering(alter), 3, SHORT)
    assert max(map(len, run.context.state['reasons']['reasons'])) <= 300
    with pytest.raises(InputError, match='all were silent'):
        run_in_process(server_app, client_app, 3, SHORT, silent=lambda number, node: number > 1)


def test_a_strategy_that_lets_nan_in_leaves_no_model():
    from dlcourse.federated.averaging import make_server
    there = load_flower().serverapp.strategy
    usual = dict(min_train_nodes=1, min_evaluate_nodes=1, min_available_nodes=1)
    server = make_server(lambda config: there.FedAvg(fraction_evaluate=0., **usual))
    with pytest.raises(InputError, match='`strategy_of`.*not finite'):
        run_in_process(server, answering(arrays(lambda a: a*np.nan)), 3, SHORT)


@pytest.mark.parametrize('config', [{'strategy': 'nonsense'}, {'strategy': 'fedadam'},
                                    {'strategy': 'scaffold'}, {'fraction-train': .5},
                                    {'fraction-evaluate': 1.}])
def test_private_rounds_refuse_what_they_are_not(config):
    from dlcourse.federated.apps import client_app
    from dlcourse.federated.averaging import make_server
    from dlcourse.federated.client_privacy import ClientSampler
    from dlcourse.federated.private_strategy import private_strategy
    server = make_server(private_strategy(ClientSampler(3, 3, 1., seed=0), 1.))
    with pytest.raises(InputError, match=f"`{next(iter(config))}` must be"):
        run_in_process(server, client_app, 3, SHORT | config)
