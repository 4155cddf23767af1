"Files are written whole, through links, and never over anything else"
import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import pytest

from dlcourse.core.errors import InputError
from dlcourse.core.files import (
    apart,
    careful_bytes,
    project_path,
    ready_folder,
    tar_members,
    write_whole,
)


def test_write_whole_replaces_and_leaves_nothing_behind(tmp_path):
    path = write_whole(tmp_path/'a'/'x.txt', 'one')
    write_whole(path, b'two')
    assert path.read_text() == 'two' and os.listdir(path.parent) == ['x.txt']
    with pytest.raises(InputError, match='character 3 is half of one'):
        write_whole(path, 'ab\ud800')
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


def test_at_most_the_last_folder_is_made_and_none_at_the_root(tmp_path):
    apart([tmp_path/'new'/'x'])
    for path in (tmp_path/'two'/'new'/'x', '/reprots_of_nobody/x'):
        for asked in (lambda path=path: apart([path]), lambda path=path: ready_folder(path)):
            with pytest.raises(InputError, match='there is no folder .*check the name'): asked()
    assert not (tmp_path/'two').exists() and not os.path.exists('/reprots_of_nobody')
    ready_folder(tmp_path/'new'/'x')
    ready_folder(tmp_path/'two'/'new'/'x', deep=True)
    assert (tmp_path/'new').is_dir() and (tmp_path/'two'/'new').is_dir()


def test_a_link_is_written_through_and_stays(tmp_path):
    (tmp_path/'there').write_text('old')
    for name, target in {'link': 'there', 'chain': 'link', 'dangling': 'later'}.items():
        (tmp_path/name).symlink_to(target)
        write_whole(tmp_path/name, name)
        assert (tmp_path/name).is_symlink() and (tmp_path/name).read_text() == name
    assert (tmp_path/'there').read_text() == 'chain' and (tmp_path/'later').is_file()
    (tmp_path/'round').symlink_to('round')
    with pytest.raises(OSError): write_whole(tmp_path/'round', 'x')


def test_the_part_of_a_killed_process_is_cleared_and_that_of_a_live_one_stays(tmp_path):
    code = """if True:
        import os, sys, time
        from dlcourse.core import files
        def slow(handle):
            print(flush=True)
            time.sleep(60)
        files.os.fsync = slow
        if sys.argv[2:]: del os.O_TMPFILE # As on other systems
        files.write_whole(sys.argv[1], 'half')"""
    start = [sys.executable, '-c', code, str(tmp_path/'x')]
    busy = subprocess.Popen(start, stdout=subprocess.PIPE)
    busy.stdout.readline()
    if sys.platform == 'linux': assert not [*tmp_path.iterdir()] # It has no name yet
    os.kill(busy.pid, signal.SIGKILL)
    busy.communicate()
    if sys.platform == 'linux': assert not [*tmp_path.iterdir()]
    busy = subprocess.Popen([*start, 'with a name'], stdout=subprocess.PIPE)
    busy.stdout.readline()
    part, = tmp_path.iterdir()
    write_whole(tmp_path/'x', 'mine')
    assert sorted(p.name for p in tmp_path.iterdir()) == [part.name, 'x']
    os.kill(busy.pid, signal.SIGKILL)
    busy.communicate()
    write_whole(tmp_path/'x', 'mine again')
    assert [p.name for p in tmp_path.iterdir()] == ['x']
    (tmp_path/'.x.part').write_text("somebody's")
    write_whole(tmp_path/'x', 'and again')
    assert (tmp_path/'.x.part').exists()


def test_no_pipe_is_waited_for_and_no_more_is_read_than_may_be(tmp_path):
    os.mkfifo(tmp_path/'pipe')
    begun = time.process_time()
    for path, says in {tmp_path/'pipe': 'this is no file', tmp_path: 'cannot be read',
                       Path('/dev/zero'): 'this is no file', tmp_path/'no': 'there is no such file',
                       Path('a\0b'): 'this is no file'}.items():
        with pytest.raises(InputError, match=says): careful_bytes(path, 1000, 'x', links=True)
    assert time.process_time() - begun < 2


@pytest.mark.parametrize('name', ['settings.ini', 'pyproject.toml', 'Constraints.txt', 'setup.cfg'])
def test_no_output_goes_over_settings(tmp_path, name):
    for there in (False, True):
        if there: (tmp_path/name).write_text('[audit]\n')
        with pytest.raises(InputError, match='is a file of settings'): apart([tmp_path/name])
    (tmp_path/'out.json').symlink_to(tmp_path/name)
    with pytest.raises(InputError, match='is a file of settings'): apart([tmp_path/'out.json'])


def packed(path, *entries):
    "A tar archive of (name, bytes), or of members that are no plain files"
    with tarfile.open(path, 'w:gz') as archive:
        for entry in entries:
            if not isinstance(entry, tuple): archive.addfile(entry)
            else:
                member = tarfile.TarInfo(entry[0])
                member.size = len(entry[1])
                archive.addfile(member, io.BytesIO(entry[1]))
    return path


def test_an_archive_is_read_and_never_unpacked(tmp_path):
    link = tarfile.TarInfo('c.wav')
    link.type, link.linkname = tarfile.SYMTYPE, '/etc/passwd'
    path = packed(tmp_path/'a', ('../../b.wav', b'22'), ('/a.wav', b'1'), link, ('d.txt', b'x'*99))
    assert list(tar_members(path, '.wav', 3).items()) == [('a.wav', b'1'), ('b.wav', b'22')]
    assert [p.name for p in tmp_path.iterdir()] == ['a']
    with pytest.raises(InputError, match='more than 2 bytes in .wav files'):
        tar_members(path, '.wav', 2)
    with pytest.raises(InputError, match='stands there twice'):
        tar_members(packed(tmp_path/'b', ('x/a.wav', b'1'), ('y/a.wav', b'1')), '.wav', 9)
    for odd in (b'', b'no archive', (tmp_path/'a').read_bytes()[:-30]):
        (tmp_path/'odd').write_bytes(odd)
        with pytest.raises(InputError, match='not a whole tar archive'):
            tar_members(tmp_path/'odd', '.wav', 9)
    with pytest.raises(InputError, match='none` cannot be read: there is no such file'):
        tar_members(tmp_path/'none', '.wav', 9)
