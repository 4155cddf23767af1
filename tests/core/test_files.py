"Files are written whole, through links, and never over anything else"
import os
import threading

import pytest

from dlcourse.core.files import project_path, write_whole


def test_write_whole_replaces_and_leaves_nothing_behind(tmp_path):
    path = write_whole(tmp_path/'a'/'x.txt', 'one')
    write_whole(path, b'two')
    assert path.read_text() == 'two' and os.listdir(path.parent) == ['x.txt']
    with pytest.raises(UnicodeEncodeError): write_whole(path, '\ud800')
    assert path.read_text() == 'two' and os.listdir(path.parent) == ['x.txt']


def test_write_whole_keeps_permissions(tmp_path):
    path = write_whole(tmp_path/'x', 'one')
    assert path.stat().st_mode & 0o777 == 0o666 & ~(mask := os.umask(0)) or os.umask(mask)
    os.umask(mask)
    path.chmod(0o640)
    assert write_whole(path, 'two').stat().st_mode & 0o777 == 0o640


def test_a_reader_never_sees_a_part(tmp_path):
    path, texts, seen = tmp_path/'x', ('a'*200_000, 'b'*100_000), set()
    write_whole(path, texts[0])
    stop = threading.Event()
    def read():
        while not stop.is_set(): seen.add(path.read_text())
    reader = threading.Thread(target=read)
    reader.start()
    for i in range(40): write_whole(path, texts[i % 2])
    stop.set(); reader.join()
    assert seen <= set(texts)


def test_project_files_are_there():
    assert project_path('datasets').is_dir() and project_path('assets', 'report.html.j2').is_file()
