"Errors a reader can mend"
import sys

import pytest

from dlcourse.core.errors import InputError, need


def test_a_missing_library_says_what_to_install():
    with pytest.raises(InputError, match=r"pip install 'dlcourse\[graphs\]'"):
        need('no_such_module', 'graphs')


def test_a_library_that_is_there_is_handed_over():
    assert need('json', 'lab').__name__ == 'json'


def test_a_library_that_misses_another_one_is_no_fault_of_ours(tmp_path, monkeypatch):
    (tmp_path/'half_a_module.py').write_text('import something_it_needs')
    monkeypatch.setattr(sys, 'path', [str(tmp_path), *sys.path])
    with pytest.raises(ModuleNotFoundError, match='something_it_needs'):
        need('half_a_module', 'lab')
