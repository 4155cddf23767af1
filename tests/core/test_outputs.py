"What cannot be said on standard output is an error; what goes there is said, not written"
import os
import subprocess
import sys

import pytest

from dlcourse.core.errors import InputError
from dlcourse.core.files import apart, write_whole
from dlcourse.core.tables import open_table


@pytest.mark.parametrize('name', ['-', '/dev/fd/9'])
def test_pipes_are_no_tables_and_no_reports(name):
    read, write = os.pipe()
    path = name.replace('9', str(read))
    with pytest.raises(InputError, match='is a pipe or a device, and a table is looked at'):
        open_table(path)
    if name == '-': return
    for refuses in (lambda: apart([path]), lambda: write_whole(path, 'x')):
        with pytest.raises(InputError, match='is a device or a pipe; give the name'): refuses()
    os.close(read), os.close(write)

def test_a_closed_standard_output_is_an_error_and_its_other_names_print():
    shell = f'{sys.executable} -c "from dlcourse.cli.app import main; main()" audit policy'
    closed = subprocess.run(f'{shell} >&-', shell=True, capture_output=True, text=True, check=False)
    assert (closed.returncode, closed.stderr) == (2, 'dlcourse: the output: Bad file descriptor\n')
