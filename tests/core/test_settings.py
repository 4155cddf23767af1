"Settings: what wins, and every sentence that a user may meet"
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest

from dlcourse.core.errors import InputError
from dlcourse.core.settings import (
    Page,
    device,
    known_variables,
    page,
    read_settings_file,
    settings,
    settings_file,
)


def ini(folder, text):
    (folder/'settings.ini').write_text(text, encoding='utf-8')
    return folder


def test_order_of_sources(tmp_path):
    ini(tmp_path, '[course]\nseed = 1\nsize = smoke\n[audit]\nmin_count = 5\n')
    s = settings(start=tmp_path, env={'DLCOURSE_SEED': '2', 'DLCOURSE_SIZE': ''}, seed=3)
    assert (s.seed, s.size, s.min_count, s.level) == (3, 'smoke', 5, .95)
    assert settings(start=tmp_path, env={'DLCOURSE_SEED': '2'}).seed == 2
    assert settings(start=tmp_path, env={}, seed=None).seed == 1


def test_the_nearest_file_counts(tmp_path):
    deep = tmp_path/'a'/'b'
    deep.mkdir(parents=True)
    ini(tmp_path, '[course]\nseed = 1\n')
    assert settings(start=deep, env={}).seed == 1
    ini(deep.parent, '[course]\nsize = gpu\n')
    assert settings_file(deep) == deep.parent/'settings.ini'
    assert (settings(start=deep, env={}).seed, settings(start=deep, env={}).size) == (0, 'gpu')


def test_only_our_sections(tmp_path):
    theirs = '[DEFAULT]\nlib_name = x\nseed = not a number\n[metadata]\nseed = 9\n'
    ini(tmp_path, theirs + '[course]\nseed = 4 ; a comment\n')
    assert settings(start=tmp_path, env={}).seed == 4


def test_data_home_is_relative_to_its_file(tmp_path):
    ini(tmp_path, '[data]\nhome = files\n')
    assert settings(start=tmp_path, env={}).data_home == tmp_path/'files'
    assert settings(start=tmp_path, env={'DLCOURSE_DATA': '~/x'}).data_home == Path.home()/'x'
    assert settings(start=tmp_path, env={'DLCOURSE_DATA': '/x'}).data_home == Path('/x')


def test_the_shipped_file_changes_nothing():
    root = Path(__file__).parents[2]
    assert settings(start=root, env={}) == settings(start='/', env={})
    text = (root/'settings.ini').read_text()
    assert all(v in text for v in known_variables()), "settings.ini names every variable"


@pytest.mark.parametrize('text, says', [
    ('[course]\nsede = 1', "`sede` is no setting of [course]"),
    ('[course]\nseed = -1', "`seed` must be a whole number from 0 to 4294967295; got '-1'"),
    ('[course]\nseed = many', "got 'many' from"),
    ('[course]\nsize = huge', "`size` must be full"),
    ('[course]\ndevice = tpu', "`device` must be auto, cpu, cuda, cuda:N or mps; got 'tpu'"),
    ('[audit]\nmissing = ignore', "`missing` must be error, unknown or drop; got 'ignore'"),
    ('[audit]\nlevel = 95', "`level` must be a number between 0.5 and 1"),
    ('[audit]\nmax_difference = 2', "`max_difference` must be a number from 0 to 1"),
    ('[Course]\nseed = 3', "must be written [course]"),
    ('[ audit ]\nlevel = .9', "must be written [audit]"),
    ('[course]\nseed', "cannot be read: Source contains parsing errors: 'settings.ini' [line 2]"),
    ('no section', "cannot be read"),
])
def test_errors_of_the_file(tmp_path, text, says):
    with pytest.raises(InputError) as e: settings(start=ini(tmp_path, text), env={})
    assert says in str(e.value)


def test_errors_of_environment_and_argument(tmp_path):
    with pytest.raises(InputError, match="from the environment variable DLCOURSE_SEED"):
        settings(start=tmp_path, env={'DLCOURSE_SEED': 'x'})
    with pytest.raises(InputError, match="got '0' from an argument"):
        settings(start=tmp_path, env={}, min_count=0)
    with pytest.raises(InputError, match="`sead` is no setting; there are: device"):
        settings(sead=1)


def test_empty_threshold_means_not_judged(tmp_path):
    ini(tmp_path, '[audit]\nmax_difference =\nmin_ratio = 0.8')
    assert settings(start=tmp_path, env={}).max_difference is None
    assert settings(start=tmp_path, env={}).min_ratio == .8


def test_data_home_is_where_the_system_keeps_caches_or_where_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr('platformdirs.user_cache_path', lambda name, **_: tmp_path/'caches'/name)
    monkeypatch.setattr('pathlib.Path.home', lambda: tmp_path)
    assert settings(start=tmp_path, env={}).data_home == tmp_path/'caches/dlcourse/data'
    old = tmp_path/'.cache/dlcourse/data'
    old.mkdir(parents=True)
    assert settings(start=tmp_path, env={}).data_home == old
    (tmp_path/'caches/dlcourse/data').mkdir(parents=True)
    assert settings(start=tmp_path, env={}).data_home == tmp_path/'caches/dlcourse/data'


def test_who_has_no_home_has_settings_all_the_same(tmp_path, monkeypatch):
    monkeypatch.delenv('HOME', raising=False)
    monkeypatch.delenv('XDG_CACHE_HOME', raising=False)
    monkeypatch.setattr('os.path.expanduser', lambda path: path) # As for a user without a name
    found = settings(start=tmp_path, env={})
    assert found.data_home == Path(tempfile.gettempdir())/'dlcourse' and found.seed == 0
    assert settings(start=tmp_path, env={'DLCOURSE_DATA': '/x'}).data_home == Path('/x')


def test_a_page_begins_the_same_each_time(monkeypatch):
    monkeypatch.setenv('DLCOURSE_SEED', '4')
    here = page()
    first = np.random.rand()
    assert (here.seed, here.size, here.smoke, here.gpu) == (4, 'full', False, False)
    assert page() == here and np.random.rand() == first
    assert page(seed=5).seed == 5 and plt.rcParams['axes.titlelocation'] == 'left'
    page(**{'figure.dpi': 50})
    assert plt.rcParams['figure.dpi'] == 50


def test_a_page_picks_by_its_size():
    sizes = {size: Page(size, 0) for size in ('smoke', 'full', 'gpu')}
    assert [p.pick(smoke=1, full=2) for p in sizes.values()] == [1, 2, 2]
    assert [p.pick(smoke=1, full=2, gpu=0) for p in sizes.values()] == [1, 2, 0]
    assert sizes['smoke'].smoke and sizes['gpu'].gpu


def test_a_page_on_the_cpu_takes_one_thread(monkeypatch):
    torch = pytest.importorskip('torch')
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    here = page()
    if here.device.type == 'cpu': assert torch.get_num_threads() == 1
    torch.set_num_threads(before)


def test_device(monkeypatch):
    torch = pytest.importorskip('torch')
    assert device('cpu') == torch.device('cpu')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: False)
    monkeypatch.setattr(torch.backends.mps, 'is_available', lambda: False)
    assert device() == torch.device('cpu')
    with pytest.raises(InputError, match="`device` is 'cuda', but torch .* sees no such device"):
        device('cuda')
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 1)
    assert device() == torch.device('cuda')
    assert device('cuda:0') == torch.device('cuda', 0)
    with pytest.raises(InputError, match="there are 1 GPUs"): device('cuda:3')


def test_device_without_torch():
    code = ("import sys; sys.modules['torch'] = None\nfrom dlcourse.core.settings import device\n"
            "try: device()\nexcept ValueError as e: print(e)")
    out = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True).stdout
    assert "pip install 'dlcourse[torch]'" in out


def test_a_file_may_begin_with_a_byte_order_mark_and_must_be_utf_8(tmp_path):
    path = tmp_path/'settings.ini'
    path.write_text('\ufeff[course]\nseed = 3', encoding='utf-8')
    assert read_settings_file(path) == {'seed': 3}
    path.write_text('[course]\nseed = 3', encoding='utf-16')
    with pytest.raises(InputError, match='is not encoded as UTF-8; save it as UTF-8'):
        read_settings_file(path)
