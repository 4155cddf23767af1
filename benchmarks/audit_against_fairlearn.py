"""Audit 1,000,000 decisions by two string attributes: our counts and rates against fairlearn's MetricFrame, on the same frame in one run

Six metrics and the count, by sex × race. Parity first: every value that both define must agree. Then CPU seconds, the runs interleaved,
the best of several each, one thread. fairlearn gets the same metrics in one MetricFrame, which is how its documentation uses it; it computes
no intervals here, ours are included. Run: OMP_NUM_THREADS=1 python benchmarks/audit_against_fairlearn.py [rows]
"""
import os
import platform
import sys
import time

os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ.setdefault('POLARS_MAX_THREADS', '1')

import fairlearn
import numpy as np
import pandas as pd
from fairlearn.metrics import MetricFrame, count, false_negative_rate, false_positive_rate, selection_rate, true_positive_rate
from sklearn.metrics import accuracy_score, precision_score

import dlcourse
from dlcourse.fairness.counts import count_groups
from dlcourse.fairness.groups import rates

METRICS = (count, selection_rate, true_positive_rate, false_positive_rate, false_negative_rate, precision_score, accuracy_score)


def people(rows, seed=0):
    rng = np.random.default_rng(seed)
    race = np.array(['White', 'Black or African American', 'Hispanic or Latino', 'Asian', 'Two or more races'])
    frame = pd.DataFrame(dict(sex=np.array(['Female', 'Male'])[rng.integers(0, 2, rows)], race=race[rng.choice(5, rows, p=[.55, .2, .15, .08, .02])],
                              label=rng.integers(0, 2, rows)))
    frame['prediction'] = (rng.random(rows) < .3 + .3*frame['label'] + .1*(frame['sex'] == 'Male')).astype(int)
    return frame


def theirs(frame):
    return MetricFrame(metrics={m.__name__: m for m in METRICS}, y_true=frame['label'], y_pred=frame['prediction'], sensitive_features=frame[['sex', 'race']])


def ours(frame):
    counts = count_groups(frame, prediction='prediction', label='label', sensitive=['sex', 'race']).counts
    return rates(counts, [m.__name__ for m in METRICS])


def cpu_seconds(f, frame):
    start = time.process_time()
    result = f(frame)
    return time.process_time() - start, result


def main(rows=1_000_000, runs=3):
    frame = people(rows)
    for f in (ours, theirs): f(frame[:1000]) # imports and caches
    seconds = {ours: [], theirs: []}
    for _ in range(runs):
        for f in seconds:
            spent, result = cpu_seconds(f, frame)
            seconds[f].append(spent)
            if f is theirs: their_table = result.by_group
            else: our_rates = result
    difference = max(abs(r.value - their_table.loc[tuple(r.group.split(' × ')), r.metric]) for r in our_rates)
    best = {f: min(s) for f, s in seconds.items()}
    print(f"{rows:,} rows, string attributes, {len(METRICS)} metrics × {len(their_table)} groups; fairlearn {fairlearn.__version__}, dlcourse {dlcourse.__version__}, "
          f"pandas {pd.__version__}, Python {platform.python_version()}\n")
    print(f"{f'CPU seconds over {runs} runs':<24}{'fairlearn':>12}{'dlcourse':>12}{'ratio':>10}")
    for word, pick in (('best', min), ('worst', max)):
        print(f"{word:<24}{pick(seconds[theirs]):>12.3f}{pick(seconds[ours]):>12.3f}{pick(seconds[theirs])/pick(seconds[ours]):>10.0f}")
    print(f"\nlargest difference of any of {len(our_rates)} values: {difference:.1e}")
    assert difference <= 1e-12, "the two do not agree"
    assert rows < 1_000_000 or best[theirs]/best[ours] >= 100, "less than 100 times faster"


if __name__ == '__main__': main(*map(int, sys.argv[1:2]))
