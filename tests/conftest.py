"Shared by all tests: no setting of the machine leaks in, and real data are used where they are"
import gc
import os

import hypothesis
import pytest
from gate_plugin import pytest_terminal_summary  # noqa: F401

os.environ['MPLBACKEND'] = 'Agg'
# No verdict from a clock: a busy machine may take its time over an example
hypothesis.settings.register_profile('unhurried', deadline=None,
                                     suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile('unhurried')


def pytest_collection_finish():
    "What was imported and collected stays to the end; to look for garbage in it takes seconds"
    gc.collect(), gc.freeze()


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
