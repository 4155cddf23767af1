"A sample of the malformed files of `benchmarks/malformed.py`: refused in a sentence, or read right"
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]/'benchmarks'))

from malformed import KINDS, trials


def test_malformed_files_are_refused_in_a_sentence_or_read_right():
    names = [k.name for k in KINDS if k.name not in ('search.db', 'net.pt')] # A second each
    found = [(kind.name, said) for kind, what, said, _ in trials(80, 7, names) if what == 'FAULT']
    assert not found
