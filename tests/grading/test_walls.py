"Walls: what each of them is made of"
import platform
import sys

import pytest

from dlcourse.grading import walls
from dlcourse.grading.walls import COURSE, FORBIDDEN, library_folders, open_to_read


def test_the_filter_knows_each_call_once():
    numbers = [[call[i] for call in FORBIDDEN] for i in (0, 1, 2)]
    for column in numbers:
        assert len([n for n in column if n != '-']) == len({n for n in column if n != '-'})
    assert all(int(n) < walls.NEWEST for column in numbers[1:] for n in column if n != '-')


@pytest.mark.skipif(sys.platform != 'linux' or platform.machine() not in walls.MACHINES,
                    reason="no list for this machine")
def test_the_filter_fits_into_its_jumps():
    for threads in (True, False):
        assert all(0 <= a <= 255 and 0 <= b <= 255 for _, a, b, _ in walls.call_filter(threads))


def test_a_folder_with_something_hidden_is_split(tmp_path):
    for name in ('a/b/hidden/x', 'a/b/c', 'a/d', 'e'):
        (tmp_path/name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path/name).touch()
    found = {p.relative_to(tmp_path.resolve()).as_posix()
             for p in open_to_read(tmp_path.resolve(), {tmp_path.resolve()/'a'/'b'/'hidden'})}
    assert found == {'a/b/c', 'a/d', 'e'}


def test_the_package_is_under_no_readable_folder():
    roots, hidden = library_folders()
    assert not [p for root in roots for p in open_to_read(root, hidden) if COURSE.is_relative_to(p)]
