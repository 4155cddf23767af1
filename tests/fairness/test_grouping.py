"Few passes over the data, and a code for each raw value"
from itertools import combinations

import numpy as np
import pytest
from engines import everywhere

from dlcourse.core.frames import to_frame
from dlcourse.fairness import grouping
from dlcourse.fairness.grouping import Codes, cover, plan_grouping


@pytest.mark.parametrize('most', [2, 9, 30])
def test_passes_cover_every_three(monkeypatch, most):
    monkeypatch.setattr(grouping, 'PRODUCT', most)
    sizes = dict(zip('abcdefgh', (2, 3, 2, 5, 2, 2, 4, 3), strict=True))
    passes = cover(sizes, 3)
    assert all(any(set(c) <= set(p) for p in passes) for c in combinations(sizes, 3))
    assert all(len(p) == 3 or np.prod([sizes[a] for a in p]) <= most for p in passes)
    assert all(p == sorted(p) for p in passes)


def test_a_code_for_each_value_and_none_for_the_missing():
    codes = Codes(['?'])
    found = [codes[v] for v in ('b', None, 'a', ' ', '?', float('nan'), 'b')]
    assert found == [0, -1, 1, -1, -1, -1, 0] and codes.values == ['b', 'a']


def test_raw_values_come_as_they_are_from_every_engine():
    table = dict(g=['x', 'y', 'x', None]*5, p=['no', 'yes', 'yes', 'no']*5)
    roles = dict(sensitive_features0='g', y_pred='p')
    for name, frame in everywhere(table).items():
        asked = plan_grouping(to_frame(frame, roles), roles)
        times = asked.times(asked.tables())
        assert times['y_pred'] == dict(no=10, yes=10), name
        assert times['sensitive_features0'] == {'x': 10, 'y': 5, None: 5}, name
