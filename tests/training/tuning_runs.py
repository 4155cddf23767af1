"Objectives that test_studies.py hands to other processes, which import no more than they need"
import os
import sys
import time

from dlcourse.training.studies import tune
from dlcourse.training.tuning import Between

SPACE = dict(a=Between(low=-4., high=4.), b=Between(low=1e-3, high=1., log=True),
             k=Between(low=1, high=5, whole=True), kind=('x', 'y'))


def hill(config, seed):
    "Best at a = 1.5"
    return -(config['a'] - 1.5)**2 + seed*1e-9


def slow_hill(config, seed):
    "Says that it has begun, and takes its time"
    with open(os.environ['BEGUN'], 'a') as f: f.write(f'{seed}\n')
    time.sleep(float(os.environ['NAP']))
    return hill(config, seed)


def broken(config, seed): raise ValueError(f'no good at {seed}')


if __name__ == '__main__': tune(slow_hill, SPACE, sys.argv[1], 5, sampler='random')
