"Comparisons measure what is too short for the clock"
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

SPEC = spec_from_file_location('harness', Path(__file__).parents[2]/'benchmarks'/'harness.py')
harness = sys.modules['harness'] = module_from_spec(SPEC) # Dataclasses look their module up
SPEC.loader.exec_module(harness)


def test_a_short_call_is_repeated_until_the_clock_sees_it():
    calls = []
    assert harness.per_call(lambda: calls.append(1), shortest=.02) > 0
    assert len(calls) > 1


def test_a_ratio_of_two_short_ways_exists(capsys):
    ways = {'one': lambda: 1, 'other': lambda: 1}
    found = harness.interleave(ways, same=lambda r: abs(r['one'] - r['other']), rounds=2)
    assert found.paired('one', 'other') > 0 and 'parity: at most 0.0e+00' in capsys.readouterr().out
