"Nothing leaves the machine, seen on the wire, below Python: in this process, in Ray, at sites"
import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from dlcourse.federated.flower import QUIET

ROOM = ['unshare', '-rn', sys.executable, str(Path(__file__).with_name('sealed.py'))]
RUN = ("from dlcourse.federated.apps import client_app, server_app\n"
       "from dlcourse.federated.flower import {0}\n"
       "run = {0}(server_app, client_app, 2, dict({1}), {2})\n"
       "print('used', run.history['train/used'])")
TALK = ("import flwr.supercore.telemetry as t\n"
        "t.event(t.EventType.PING).result(20)")
SITES = """
import sys
from pathlib import Path
from dlcourse.federated.certificates import make_certificates
from dlcourse.federated.processes import free_port, register_sites, start_site, start_superlink
from dlcourse.federated.site_runs import run_at_sites
folder, port = Path(sys.argv[1])/'federation', free_port()
make_certificates(folder, ['north', 'south'])
where = f'127.0.0.1:{port}'
with start_superlink(folder, port):
    register_sites(folder, where)
    with start_site(folder, 'north', where, 0, 2), start_site(folder, 'south', where, 1, 2):
        config = {'num-rounds': 1, 'width': 8, 'min-clients': 2}
        found = run_at_sites(folder, folder/'run.npz', where, run_config=config)
print('used', list(found[1]['train/used']))
"""


def in_the_room(*command, home, **env):
    "What a command said, and every packet of it that would have left the machine"
    missing = [name for name in ('unshare', 'ip') if shutil.which(name) is None]
    if missing or find_spec('flwr') is None:
        pytest.skip(f"{' and '.join(missing) or 'flwr'} must be installed to watch the wire")
    usual = {k: v for k, v in os.environ.items()
             if k not in QUIET and not k.startswith(('FLWR', 'RAY'))}
    told = usual | {'HOME': str(home), 'FLWR_HOME': str(home/'flwr')} | env
    done = subprocess.run([*ROOM, *map(str, command)], capture_output=True, text=True, env=told)
    if done.returncode:
        pytest.skip(f"this system gives no network of one's own: {done.stderr.strip()[-200:]}")
    found = json.loads(done.stdout.splitlines()[-1])
    assert {where for where, _ in found['control']} == {'192.0.2.1', '2001:db8::1'}
    return found


def test_the_room_hears_flower_where_telemetry_is_on(tmp_path):
    found = in_the_room(sys.executable, '-c', TALK, home=tmp_path, FLWR_TELEMETRY_ENABLED='1')
    assert found['caught'], found['said'] # It asks for the address of Flower's server


def test_a_run_in_this_process_sends_nothing(tmp_path):
    code = RUN.format('run_in_process', '', '')
    found = in_the_room(sys.executable, '-c', code, home=tmp_path)
    assert found['code'] == 0 and 'used [2, 2, 2]' in found['said'], found['said']
    assert found['caught'] == []
    assert not (tmp_path/'.flwr').exists() # No number for this machine was written


@pytest.mark.slow
def test_flowers_simulation_sends_nothing(tmp_path):
    if find_spec('ray') is None: pytest.skip("Ray is not installed")
    code = RUN.format('run_simulated', '**{"num-rounds": 1}', '')
    found = in_the_room(sys.executable, '-c', code, home=tmp_path)
    assert found['code'] == 0 and 'used [2]' in found['said'], found['said']
    assert found['caught'] == []


@pytest.mark.slow
def test_server_and_sites_send_nothing_to_anybody_else(tmp_path):
    found = in_the_room(sys.executable, '-c', SITES, tmp_path, home=tmp_path)
    assert found['code'] == 0 and 'used [' in found['said'], found['said']
    assert found['caught'] == []
