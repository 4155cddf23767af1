"What a server lets into its model: odd answers are refused with a reason, the others averaged"
import numpy as np
import pytest

from dlcourse.core.errors import InputError
from dlcourse.federated.flower import is_there, load_flower, run_in_process
from dlcourse.federated.strategies import run_settings, unfit

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


def test_one_partition_held_twice_is_said():
    from dlcourse.federated.apps import client_app, server_app
    with pytest.warns(UserWarning, match='partition 1 is held twice'):
        run = run_in_process(server_app, client_app, 3, SHORT,
                             node_configs=[{'partition-id': 1}, {}, {}])
    assert run.history['train/used'] == [2]


def test_more_clients_than_there_are_is_an_error():
    from dlcourse.federated.apps import client_app, server_app
    with pytest.raises(InputError, match='`min-clients` is 4'):
        run_in_process(server_app, client_app, 3, SHORT | {'min-clients': 4})


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
