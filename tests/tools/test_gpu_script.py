"The script for a machine with a GPU, tried where there is none"
import json
import os
import subprocess
import sys
from pathlib import Path

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
