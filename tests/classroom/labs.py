"`dlcourse lab` as a learner starts it: in a home that is empty, and ended with all that it started"
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request

PROGRAM = [sys.executable, '-c', 'from dlcourse.cli.app import main; main()']
WITHIN = 300 # Seconds for a server or a kernel to start on a busy machine


def environment(home, **more):
    "Variables without settings, kernels and history of the user"
    quiet = home/'settings'/'@jupyterlab'/'apputils-extension'/'notification.jupyterlab-settings'
    quiet.parent.mkdir(parents=True, exist_ok=True)
    quiet.write_text(json.dumps(dict(fetchNews='false', checkForUpdates=False)))
    kept = {k: v for k, v in os.environ.items() if not k.startswith(('JUPYTER', 'IPYTHON'))}
    folders = {f'JUPYTER_{x}_DIR': str(home/x.lower()) for x in ('CONFIG', 'DATA', 'RUNTIME')}
    return kept | folders | dict(
        HOME=str(home), JUPYTERLAB_SETTINGS_DIR=str(home/'settings'), JUPYTER_NO_CONFIG='1',
        IPYTHONDIR=str(home/'ipython'), PYTHONPATH=os.pathsep.join(filter(None, sys.path)),
        MPLBACKEND='agg', PATH='/usr/bin:/bin') | more


class Lab:
    "A JupyterLab of its own on a free port, and a group of processes of its own"
    def __init__(self, home, folder=None, program=PROGRAM, **more):
        with socket.socket() as s: s.bind(('127.0.0.1', 0)); port = s.getsockname()[1]
        self.token, self.address = secrets.token_hex(16), f'http://127.0.0.1:{port}'
        self.log = home/'lab.log'
        home.mkdir(parents=True, exist_ok=True)
        words = [*program, 'lab', *([str(folder)] if folder else []), '--no-browser',
                 f'--port={port}']
        with open(self.log, 'w') as log:
            self.process = subprocess.Popen(
                words, env=environment(home, JUPYTER_TOKEN=self.token, **more),
                cwd=folder or home, stdout=log, stderr=log, start_new_session=True)

    def __enter__(self):
        try: self.wait()
        except BaseException: self.end(); raise
        return self

    def __exit__(self, *_): self.end()

    def wait(self):
        "Until it answers"
        until = time.monotonic() + WITHIN
        while time.monotonic() < until:
            if self.process.poll() is not None: break
            try: urllib.request.urlopen(f'{self.address}/api?token={self.token}', timeout=1).close()
            except OSError: time.sleep(.1)
            else: return
        raise AssertionError(f"JupyterLab did not start: {self.log.read_text()[-2000:]}")

    def end(self, sent=signal.SIGTERM):
        "Tell the command to end; is anything of its group left?"
        if self.process.poll() is None: self.process.send_signal(sent)
        try: self.process.wait(WITHIN)
        except subprocess.TimeoutExpired: self.process.kill(); self.process.wait(); raise
        try: os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError: return False
        return True
