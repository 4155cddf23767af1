"People to audit, and each audit of them made once"
from functools import cache

import numpy as np
import pytest

from dlcourse.audit.report import audit as run_audit
from dlcourse.fairness.policy import Policy

USUAL = dict(y_pred='p', y_true='y', sensitive_features=['sex', 'race'], favorable=1)
POLICY = Policy(difference=dict(selection_rate=.1), ratio=dict(selection_rate=.8))
ONE = dict(sensitive_features='sex')
CASES = {
    'plain': {}, 'no label': dict(y_true=None), 'a policy': dict(policy=POLICY),
    'one attribute': ONE, 'no polarity': ONE | dict(favorable=None),
    'the other polarity': ONE | dict(favorable=0), 'a score': ONE | dict(score='s'),
    'a threshold': ONE | dict(y_pred='s', threshold=.5), 'weights': ONE | dict(sample_weight='s'),
    'score and threshold': ONE | dict(y_pred=None, score='s', threshold=.25),
    'clusters': ONE | dict(cluster='c'), 'everything withheld': dict(min_count=10**6)}


def made(n=900, seed=0):
    "Made people of two sexes and four races, with decisions, outcomes, scores and clusters"
    rng = np.random.default_rng(seed)
    return {'sex': rng.choice(['Female', 'Male'], n),
            'race': rng.choice(['A', 'B', 'C', 'D'], n, p=[.5, .3, .18, .02]),
            'y': rng.integers(0, 2, n), 'p': rng.integers(0, 2, n), 's': rng.random(n),
            'c': rng.integers(0, n//3, n)}


@cache
def case(name): return run_audit(made(), **USUAL | CASES[name])


@pytest.fixture
def people(): return made


@pytest.fixture
def audit():
    "The usual audit, of made people or of others, with some options changed"
    return lambda table=None, **more: run_audit(made() if table is None else table, **USUAL | more)


@pytest.fixture
def audited():
    "An audit of `CASES`, made once: to be read, not changed"
    return case


@pytest.fixture(params=CASES)
def every(request):
    "Each audit of `CASES` in turn"
    return case(request.param)
