"Shared by all tests: no setting of the machine leaks in, and real data are used where they are"
import gc
import os
import sys

import hypothesis
import pytest
from gate_plugin import pytest_terminal_summary  # noqa: F401

os.environ['MPLBACKEND'] = 'Agg'
# No verdict from a clock: a busy machine may take its time over an example
hypothesis.settings.register_profile('unhurried', deadline=None,
                                     suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile('unhurried')

# What pytest makes of the tests' files is kept for the next run, also where Python is told not
# to: to make it anew took each worker half of its start
SETTING, sys.dont_write_bytecode = sys.dont_write_bytecode, False


def pytest_collection_finish():
    "What was imported and collected stays; to look for garbage often takes a test in twenty"
    gc.collect(), gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    sys.dont_write_bytecode = SETTING


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch, tmp_path):
    "Every test starts in an empty folder, without anybody's settings; the data home stays"
    for name in list(os.environ):
        if name.startswith('DLCOURSE_') and name != 'DLCOURSE_DATA': monkeypatch.delenv(name)
    monkeypatch.delenv('IN_TEST', raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def real():
    "`real('compas')` loads a downloaded data set, or skips where it is not here, saying so"
    from dlcourse.core.cards import card
    from dlcourse.core.datasets import load
    from dlcourse.core.downloads import is_here

    def get(name):
        if not is_here(card(name)):
            pytest.skip(f"`{name}` is not in the data home; set DLCOURSE_DATA to where it is")
        return load(name)
    return get
