"The command line as a whole: version, help, and faults that are no verdict"
import os
import re
import subprocess
import sys

from cli.runs import STARTED, can_be_forked, dlcourse


def test_a_fault_is_no_verdict(tmp_path):
    code = '''import dlcourse.core.cards as c, sys
def broken(): raise ZeroDivisionError('ours')
c.cards = broken
sys.argv = ['dlcourse', 'datasets', 'list']
from dlcourse.cli.app import main; main()'''
    start = [sys.executable, '-c', code]
    done = subprocess.run(start, capture_output=True, text=True)
    assert done.returncode == 2 and 'ZeroDivisionError: ours (<string>, line 2)' in done.stderr
    assert done.stderr.count('\n') == 1 and 'Traceback' not in done.stderr
    env = os.environ | {'PYTHONDEVMODE': '1', 'PYTHONWARNINGS': 'ignore'}
    done = subprocess.run(start, capture_output=True, text=True, env=env)
    assert done.returncode == 2 and 'Traceback' in done.stderr


def test_version_and_help():
    import dlcourse as package
    assert dlcourse('--version')[1].strip() == package.__version__
    for words in ((), ('audit',), ('audit', 'fairness'), ('datasets',), ('lab',), ('doctor',)):
        code, out, _ = dlcourse(*words, '--help')
        assert code == 0 and 'Usage' in out
    out = re.sub(r'[│\s]+', ' ', dlcourse('audit', 'fairness', '--help')[1])
    assert 'Withhold what rests on fewer rows' in out
    assert 'CSV, TSV or Parquet file of any size' in out, "help is the comment beside the parameter"
    assert dlcourse('audit', 'fairnes')[0] == 2


def test_a_command_is_copied_from_one_that_is_loaded_unless_its_libraries_would_start_otherwise():
    assert can_be_forked(STARTED | {'FLWR_TELEMETRY_ENABLED': '0', 'DLCOURSE_SEED': '1'})
    assert not can_be_forked(STARTED | {'PYTHONDEVMODE': '1'})
