"Scaling: the power law against scipy and against its own promise, the split of a budget, and the meter on made-up counters"
import ctypes
from time import sleep
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import curve_fit, minimize_scalar

from dlcourse.core.errors import InputError
from dlcourse.training.scaling import (
    Meter,
    compute_optimal,
    counted,
    fit_power_law,
    gpu_counters,
    rapl_counters,
    training_flops,
)

SIZES = np.repeat(np.geomspace(1e3, 3e4, 6), 3)


@pytest.mark.parametrize(('a', 'b', 'c'), [(20, .4, 1), (9, .2, .5), (3e4, 1.3, .02), (2, .05, .3)])
def test_exact_curves_are_found(a, b, c):
    law = fit_power_law(SIZES, a*SIZES**-b + c)
    assert law.b == pytest.approx(b, rel=1e-3)
    assert law(1e6) == pytest.approx(a*1e6**-b + c, rel=1e-4)
    value, low, high = law.predict(1e6)
    assert low <= value <= high and high - low < 1e-3*value


@pytest.mark.parametrize('seed', range(4))
def test_the_fit_is_scipys(seed):
    loss = (20*SIZES**-.4 + 1)*(1 + .01*np.random.default_rng(seed).normal(size=len(SIZES)))
    law = fit_power_law(SIZES, loss)
    def f(n, a, b, c): return a*n**-b + c
    (a, b, c), covariance = curve_fit(f, SIZES, loss, p0=(20, .4, 1), sigma=loss, bounds=(0, np.inf))
    assert (law.a, law.b, law.c) == pytest.approx((a, b, c), rel=.01)
    gradient = np.array([1e5**-b, -a*1e5**-b*np.log(1e5), 1.])
    wide = 2.131*np.sqrt(gradient @ covariance @ gradient + (law.scatter*f(1e5, a, b, c))**2) # Linearized; Student's t for 15
    _, low, high = law.predict(1e5)
    assert high - low == pytest.approx(2*wide, rel=.25)


@pytest.mark.parametrize(('a', 'b', 'c', 'level', 'least', 'most'), [(20, .4, 1, .95, 88, 100), (50, .5, 0, .95, 87, 100), (20, .4, 1, .5, 35, 67)])
def test_the_interval_holds_what_it_promises(a, b, c, level, least, most):
    "In per cent, of 80 intervals for a run at four times the largest size"
    draw, hits = np.random.default_rng(1), 0
    for _ in range(80):
        _, low, high = fit_power_law(SIZES, (a*SIZES**-b + c)*(1 + .01*draw.normal(size=18)), level=level).predict(1.2e5)
        hits += low <= (a*1.2e5**-b + c)*(1 + .01*draw.normal()) <= high
    assert least <= 100*hits/80 <= most


def test_order_and_units_of_n_do_not_matter():
    loss = (20*SIZES**-.4 + 1)*(1 + .01*np.random.default_rng(3).normal(size=18))
    law, other = fit_power_law(SIZES, loss), fit_power_law(SIZES[::-1]*1e6, loss[::-1])
    assert other.predict(1e11) == pytest.approx(law.predict(1e5), rel=1e-6)
    assert 'fitted on 18 runs' in repr(law)


@pytest.mark.parametrize(('n', 'loss', 'says'), [
    ([1, 2, 3], [1, 2, 3], 'four sizes'), ([1, 1, 2, 2, 3, 3], [3, 3, 2, 2, 1, 1], '3 sizes, 6 runs'), ([1, 2, 3, 4], [4, 3, 2, 1], '4 runs'),
    ([1, 2, 3, 4, 5], [5, 4, np.nan, 2, 1], 'that broke'), ([0, 2, 3, 4, 5], [5, 4, 3, 2, 1], 'positive'), ([1, 2], [1, 2, 3], 'one length')])
def test_what_no_curve_can_be_fitted_to(n, loss, says):
    with pytest.raises(InputError, match=says): fit_power_law(n, loss)


def test_level_and_size_are_checked():
    loss = 20*SIZES**-.4 + 1
    with pytest.raises(InputError, match='`level`'): fit_power_law(SIZES, loss, level=95)
    with pytest.raises(InputError, match='`n` must be positive'): fit_power_law(SIZES, loss).predict(0)


@settings(deadline=None, max_examples=40)
@given(C=st.floats(1e8, 1e24), A=st.floats(1, 1e3), B=st.floats(1, 1e3), alpha=st.floats(.1, 1), beta=st.floats(.1, 1))
def test_no_split_is_better(C, A, B, alpha, beta):
    N, D = compute_optimal(C, A, B, alpha, beta)
    def L(u): return A*np.exp(-alpha*u) + B*np.exp(-beta*(np.log(C/6) - u))
    best = minimize_scalar(L, bounds=(np.log(N) - 5, np.log(N) + 5), method='bounded').fun
    assert 6*N*D == pytest.approx(C) and L(np.log(N)) <= best*(1 + 1e-9)


def test_flops_of_a_network(): assert training_flops([64, 128, 10], 1000) == 1000*(6*(64*128 + 128*10) - 2*64*128)


@given(st.integers(2, 10**9), st.data())
def test_a_counter_that_comes_round(span, data):
    before, ran = data.draw(st.integers(0, span - 1)), data.draw(st.integers(0, span - 1))
    assert counted(before, (before + ran) % span, span) == ran


def zone(root, name, kind, energy, span=999_999):
    folder = root/name
    folder.mkdir(parents=True)
    for file, value in dict(name=kind, energy_uj=energy, max_energy_range_uj=span).items(): (folder/file).write_text(f'{value}\n')
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
        (package/'energy_uj').write_text('400000') # Round once: 100,000 to the end, 400,000 from zero
        (memory/'energy_uj').write_text('250010')
    assert meter.joules == pytest.approx(.75) and meter.grams == pytest.approx(.75e-4) and meter.source == 'measured'
    assert 'measured' in repr(meter) and 'busy core' not in repr(meter)


def test_a_counter_may_come_round_often():
    "A reading in between sees what the two ends cannot"
    shown = []
    def read():
        shown.append(7*len(shown) % 10)
        return shown[-1]
    with Meter(counters=dict(cpu=[(read, 10, 1.)]), every=.01) as meter:
        while len(shown) < 4: sleep(.001)
    assert meter.joules == 7*(len(shown) - 1) >= 21


def test_without_counters_it_is_an_estimate():
    with Meter(counters={}, watts_per_core=20) as meter: sum(i*i for i in range(300_000))
    assert meter.source == 'estimated' and meter.joules == pytest.approx(20*meter.cpu_seconds)
    assert meter.grams == pytest.approx(meter.joules/3.6e6*480) and '20 W per busy core' in repr(meter)


def test_a_measured_gpu_beside_an_estimated_processor():
    with Meter(counters=dict(cpu=[], gpu=[(iter([5, 2005]).__next__, 2**64, 1e-3)])) as meter: pass
    assert meter.source == 'partly measured' and meter.parts['gpu'] == (2., 'measured') and meter.parts['cpu'][1] == 'estimated'


def test_the_meter_reads_on_when_the_block_fails():
    meter = Meter(counters={})
    with pytest.raises(KeyError), meter: raise KeyError
    assert meter.seconds > 0 and not meter._watch.is_alive()


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
    driver = SimpleNamespace(nvmlInit_v2=lambda: 0, nvmlDeviceGetCount_v2=count, nvmlDeviceGetHandleByIndex_v2=handle, nvmlDeviceGetTotalEnergyConsumption=total)
    monkeypatch.setattr(ctypes, 'CDLL', lambda name: driver)
    (read, _, unit), = gpu_counters()
    assert read()*unit == 4.


def test_a_machine_without_counters(tmp_path): assert rapl_counters(tmp_path) == [] and gpu_counters('no-such-library.so') == []
