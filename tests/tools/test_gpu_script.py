"The script for a machine with a GPU, tried where there is none"
import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT/'benchmarks'/'gpu.py'


def gpu(*words):
    "Run the script"
    env = os.environ | dict(PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1')
    words = [sys.executable, SCRIPT, *map(str, words)]
    return subprocess.run(words, capture_output=True, text=True, env=env)


def test_it_says_what_it_needs_besides_torch():
    names = {line.split('==')[0] for line in gpu('--needs').stdout.splitlines()}
    assert {'numpy', 'polars', 'scikit-learn', 'ipython'} <= names and 'torch' not in names


def test_without_a_gpu_it_stops_with_the_remedy(tmp_path):
    import torch
    if torch.cuda.is_available(): pytest.skip("there is a GPU")
    done = gpu('--out', tmp_path/'gpu.json')
    assert done.returncode == 1 and 'torch sees no GPU here; `--cpu` tries' in done.stderr


def test_results_are_written_and_a_second_run_has_nothing_to_do(tmp_path):
    out = tmp_path/'gpu.json'
    done = gpu('--cpu', '--out', out, 'foundations.tensors')
    assert done.returncode == 0 and 'foundations.tensors: passed' in done.stdout, done.stderr
    found = json.loads(out.read_text())
    item = found['items']['foundations.tensors']
    assert found['device'].startswith('none') and item['status'] == 'passed' and item['cells']
    assert gpu('--cpu', '--out', out, 'foundations.tensors').stdout == ''
    assert json.loads(out.read_text()) == found


def test_without_time_nothing_is_begun(tmp_path):
    done = gpu('--cpu', '--minutes', .1, '--out', tmp_path/'gpu.json', 'foundations.tensors')
    assert done.returncode == 1 and done.stdout == 'foundations.tensors: no time left\n'


def test_what_no_run_has_tried_comes_before_what_ran_out_of_time(tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(ROOT/'benchmarks')
    script = importlib.import_module('gpu')
    needs, ran, out = {'slow': 100, 'quick': 10, 'last': 10}, [], tmp_path/'new'/'gpu.json'
    def run_item(item, seconds, env):
        ran.append(item)
        if seconds < needs[item]: return dict(status='out of time', seconds=round(seconds))
        return dict(status='passed', seconds=needs[item])
    monkeypatch.setattr(script, 'run_item', run_item)
    monkeypatch.setattr(script, 'digest', lambda item: item)
    def asked(seconds, *items):
        ran.clear()
        args = SimpleNamespace(cpu=True, out=out, again=False)
        return script.run_all(items, args, time.monotonic() + seconds), ran[:]
    assert asked(60, 'slow', 'quick') == (1, ['slow', 'quick'])
    assert asked(70, 'slow', 'quick', 'last') == (1, ['last', 'slow'])
    assert asked(50, 'slow', 'quick', 'last') == (1, [])
    assert 'slow: 65 s were too few, and no more are left' in capsys.readouterr().out
    assert asked(200, 'slow', 'quick', 'last') == (0, ['slow'])
    assert asked(200, 'slow', 'quick', 'last') == (0, [])
