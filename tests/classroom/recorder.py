"""One who solves nothing: all calls of the reference are written down, in the checks, the probes
and the trials of self-study, and whoever asks gets what is written for the nearest call"""
import copy

import numpy as np

from dlcourse.classroom.checks import verdict
from dlcourse.classroom.conduct import has_attributes
from dlcourse.classroom.fresh import faults_of_freshness
from dlcourse.classroom.probes import faults_of_conduct
from dlcourse.classroom.stage import Stage


def parts(x, depth=6):
    "What a value is made of: kinds and shapes, and the numbers in it"
    if hasattr(x, 'detach'): x = str(x.shape) if x.device.type == 'meta' else x.detach().numpy()
    if isinstance(x, (np.ndarray, np.generic)) and x.dtype.kind in 'biuf':
        return [('array', x.shape)], [np.asarray(x, float).ravel()]
    if isinstance(x, (bool, int, float)): return ['number'], [np.array([x], float)]
    if isinstance(x, str): return ['text'], [np.array([hash(x) % 1000], float)]
    pairs = list(x.items()) if isinstance(x, dict) else vars(x).items() if has_attributes(x) else ()
    if isinstance(x, (list, tuple)): pairs = [('', y) for y in x]
    form, numbers = [type(x).__name__, len(pairs)], []
    for name, y in pairs if depth else ():
        inner, found = parts(y, depth - 1)
        form, numbers = [*form, str(name), *inner], numbers + found
    return form, numbers


def key(args, kwargs):
    "Form and numbers of a call"
    form, numbers = parts([list(args), kwargs])
    return form, np.concatenate([np.zeros(0), *numbers])


def kept(x):
    "A copy, where there can be one"
    try: return copy.deepcopy(x)
    except Exception: return x.detach().clone() if hasattr(x, 'detach') else x


def put_back(x, after):
    "Let an argument stand as it did after the call"
    try:
        if hasattr(x, 'detach'): x.data.copy_(after.data)
        elif isinstance(x, (np.ndarray, list)): x[:] = kept(after)
        elif isinstance(x, dict): x.clear(), x.update(kept(after))
        elif has_attributes(x):
            for name, value in vars(after).items(): setattr(x, name, kept(value))
    except (ValueError, RuntimeError, AttributeError): pass


class Recorder:
    "The calls of a reference, and answers from them"
    def __init__(self, exercise):
        self.exercise, self.calls = exercise, []
        stage = Stage(exercise, None)
        stage.around = self._listening
        stage.run(), faults_of_conduct(stage), faults_of_freshness(stage)

    def _listening(self, f):
        def listening(*args, **kwargs):
            asked, value, error = key(args, kwargs), None, None
            try: value = f(*args, **kwargs)
            except Exception as e: error = e
            self.calls.append((asked, kept(value), error, kept(args)))
            if error: raise error
            return value
        return listening

    def _nearest(self, form, numbers):
        alike = [c for c in self.calls if c[0][0] == form]
        if alike: return min(alike, key=lambda c: np.nansum(abs(c[0][1] - numbers)))
        return next((c for c in self.calls if len(c[0][0]) == len(form)), self.calls[0])

    def _answering(self, f):
        def answering(*args, **kwargs):
            _, value, error, after = self._nearest(*key(args, kwargs))
            if error: raise error
            for x, y in zip(args, after, strict=False): put_back(x, y)
            return kept(value)
        return answering

    def judged(self,
        seed, # Of a grading
    )->tuple[str, str]:
        "The outcome of checks and probes, and that of other inputs, for answers from the record"
        stage = Stage(self.exercise, None, seed=seed)
        stage.around = self._answering
        found = stage.run()
        found += faults_of_conduct(stage, verdict(found) == 'passed')
        fresh = faults_of_freshness(stage)
        return verdict(found), fresh[0].outcome if fresh else 'passed'
