"A server and two sites as real processes: one falls in a round and comes back; strangers stay out"
import os
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from dlcourse.core.errors import InputError
from dlcourse.federated import processes
from dlcourse.federated.apps import client_app, server_app
from dlcourse.federated.certificates import make_certificates
from dlcourse.federated.flower import is_there, run_in_process
from dlcourse.federated.processes import (
    connection_fault,
    free_port,
    register_sites,
    run_site,
    start_program,
    start_site,
    start_superlink,
    why_refused,
)
from dlcourse.federated.site_runs import run_at_sites

pytestmark = pytest.mark.skipif(not is_there(), reason="Flower is not installed")
BACKSTOP = 1200. # Seconds for what takes a few, however full the machine is
CONFIG = {'num-rounds': 3, 'seed': 3, 'width': 16, 'min-clients': 2}


@pytest.fixture(scope='module')
def signs(tmp_path_factory):
    "Where the apps of `falling` and the test tell each other what has happened"
    folder = tmp_path_factory.mktemp('signs')
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('SIGNS_OF_A_TEST', str(folder))
        patch.setenv('PYTHONPATH', str(Path(__file__).parent), prepend=os.pathsep)
        yield folder


@pytest.fixture(scope='module')
def federation(tmp_path_factory, signs):
    "A server with north and south; its folder and its address"
    folder = tmp_path_factory.mktemp('sites')/'federation'
    make_certificates(folder, ['north', 'south', 'stranger'])
    port = free_port()
    with start_superlink(folder, port, seconds=BACKSTOP):
        where = f'127.0.0.1:{port}'
        assert register_sites(folder, where, ['north', 'south']) == ['north', 'south']
        yield folder, where


def bare_node(folder, where, name, *words):
    "A SuperNode without what `start_site` sees to; what it said in the end"
    code = 'from dlcourse.federated.flower import run_node; run_node()'
    with start_program(name, [sys.executable, '-c', code, '10', '--superlink', where, '--port',
                      str(free_port()), *words], folder/'flower') as node:
        node.process.wait(600)
        assert node.process.returncode == 1
        return node.said()


def wait_until(so, training):
    "Until something is so, or the run has ended"
    until = time.monotonic() + BACKSTOP
    while not so():
        assert training.is_alive() and time.monotonic() < until
        time.sleep(.05)


@pytest.fixture
def started(monkeypatch):
    "Every site that is started, also by `run_site`; all are stopped at the end"
    nodes, real = [], processes.start_site

    def recorded(*words, **options):
        nodes.append(real(*words, **options))
        return nodes[-1]
    monkeypatch.setattr(processes, 'start_site', recorded)
    yield nodes
    for node in nodes: node.stop()


def back_again(folder, where):
    "South is started anew and stays until it is stopped"
    try: run_site(folder, 'south', where, 1, 2, seconds=BACKSTOP, tell=lambda line: None)
    except InputError: pass


@pytest.mark.slow
def test_a_site_is_killed_in_a_round_and_comes_back(federation, tmp_path, signs, started):
    folder, where = federation
    found = {}

    def train():
        found['run'] = run_at_sites(folder, tmp_path/'run.npz', where, app='falling',
                                    run_config=CONFIG)
    with (start_site(folder, 'north', where, 0, 2),
          start_site(folder, 'south', where, 1, 2) as south):
        training = threading.Thread(target=train)
        training.start()
        wait_until((signs/'training').exists, training)
        south.kill()
        (signs/'fell').touch()
        threading.Thread(target=back_again, args=(folder, where), daemon=True).start()
        refused = {
            'key': bare_node(folder, where, 'unknown', '--auth-supernode-private-key',
                             str(folder/'stranger.key'), '--root-certificates',
                             str(folder/'authority.crt'), '--max-retries', '2'),
            'showed none': bare_node(folder, where, 'keyless', '--root-certificates',
                                     str(folder/'authority.crt'), '--max-retries', '2'),
            'speaks TLS': bare_node(folder, where, 'plain', '--insecure', '--max-retries', '2')}
        wait_until(lambda: started and 'SuperNode ID' in started[-1].said(), training)
        (signs/'back').touch()
        training.join(BACKSTOP)
    for word, said in refused.items(): assert word in why_refused(said)
    model, history, reasons = found['run']
    assert list(history['train/used']) == [2, 1, 2], reasons
    # The grid asks who is who; then each round trains and, without anybody, evaluates
    same = run_in_process(server_app, client_app, 2, CONFIG,
                          silent=lambda number, node: (node, number) == (2, 4))
    assert same.history['train/used'] == [2, 1, 2]
    for name, value in same.arrays.items():
        np.testing.assert_allclose(model[name], value, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_an_expired_certificate_keeps_a_site_away(tmp_path):
    folder, port = tmp_path/'old', free_port()
    long_ago = datetime.now(UTC) - timedelta(days=100)
    make_certificates(folder, ['north'], start=long_ago)
    with pytest.raises(InputError, match='expired.*renews it'): start_superlink(folder, port)
    where = f'127.0.0.1:{port}'
    with start_superlink(folder, port, check=False):
        assert 'has expired' in connection_fault(where, folder/'authority.crt')
        with pytest.raises(InputError, match='has expired'): start_site(folder, 'north', where)
        with start_site(folder, 'north', where, check=False) as node:
            node.process.wait(600)
            assert 'has expired' in why_refused(node.said())
    assert 'Nobody answers' in connection_fault(where, folder/'authority.crt')
