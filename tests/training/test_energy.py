"The meter on made-up counters: what is measured, what is estimated, and what it says"
import ctypes
from time import sleep
from types import SimpleNamespace

import pytest

from dlcourse.core.errors import InputError
from dlcourse.training.energy import Counter, Meter, gpu_counters, rapl_counters


def zone(root, name, kind, energy, span=999_999):
    folder = root/name
    folder.mkdir(parents=True)
    shown = dict(name=kind, energy_uj=energy, max_energy_range_uj=span)
    for file, value in shown.items(): (folder/file).write_text(f'{value}\n')
    return folder


def test_packages_and_memory_are_counted_once(tmp_path):
    package = zone(tmp_path, 'intel-rapl:0', 'package-0', 900_000)
    zone(tmp_path, 'intel-rapl:0:0', 'core', 5)
    memory = zone(tmp_path, 'intel-rapl:0:1', 'dram', 10)
    zone(tmp_path, 'intel-rapl:1', 'psys', 5)
    zone(tmp_path, 'intel-rapl:2', 'package-1', 'unreadable')
    counters = rapl_counters(tmp_path)
    assert len(counters) == 2
    with Meter(counters=dict(cpu=counters), grams_per_kwh=360) as meter:
        (package/'energy_uj').write_text('400000') # 100,000 to the end, and 400,000 from zero
        (memory/'energy_uj').write_text('250010')
    assert (meter.joules, meter.grams) == pytest.approx((.75, .75e-4))
    assert meter.source == 'measured'
    assert 'measured' in repr(meter) and 'busy core' not in repr(meter)


def test_a_counter_may_come_round_often():
    "A reading in between sees what the two ends cannot"
    shown = []
    def read():
        shown.append(7*len(shown) % 10)
        return shown[-1]
    with Meter(counters=dict(cpu=[Counter(read, 10, 1.)]), every=.01) as meter:
        while len(shown) < 4: sleep(.001)
    assert meter.joules == 7*(len(shown) - 1) >= 21


def test_without_counters_it_is_an_estimate():
    with Meter(counters={}, watts_per_core=20) as meter: sum(i*i for i in range(300_000))
    assert meter.source == 'estimated' and meter.joules == pytest.approx(20*meter.cpu_seconds)
    assert meter.grams == pytest.approx(meter.joules/3.6e6*480)
    assert '20 W per busy core' in repr(meter)


def test_a_measured_gpu_beside_an_estimated_processor():
    gpu = Counter(iter([5, 2005]).__next__, 2**64, 1e-3)
    with Meter(counters=dict(cpu=[], gpu=[gpu])) as meter: pass
    assert meter.source == 'partly measured' and meter.parts['gpu'] == (2., 'measured')
    assert meter.parts['cpu'][1] == 'estimated'


def test_the_meter_reads_on_when_the_block_fails():
    meter = Meter(counters={})
    with pytest.raises(KeyError), meter: raise KeyError
    assert meter.seconds > 0 and not meter.watch.is_alive()


@pytest.mark.parametrize('name', ['watts_per_core', 'grams_per_kwh', 'every'])
def test_the_meters_numbers_are_checked(name):
    with pytest.raises(InputError, match=f'`{name}`'): Meter(**{name: -1})


def test_the_drivers_counters(monkeypatch):
    "A driver with two GPUs, of which the second keeps no counter"
    energy = iter([1000, 4000])
    def count(n):
        n._obj.value = 2
        return 0
    def handle(i, h):
        h._obj.value = i + 1
        return 0
    def total(h, joules):
        if h.value == 2: return 3
        joules._obj.value = next(energy)
        return 0
    driver = SimpleNamespace(
        nvmlInit_v2=lambda: 0, nvmlDeviceGetCount_v2=count, nvmlDeviceGetHandleByIndex_v2=handle,
        nvmlDeviceGetTotalEnergyConsumption=total)
    monkeypatch.setattr(ctypes, 'CDLL', lambda name: driver)
    counter, = gpu_counters()
    assert counter.read()*counter.joules == 4.


def test_a_machine_without_counters(tmp_path):
    assert rapl_counters(tmp_path) == gpu_counters('no-such-library.so') == []
