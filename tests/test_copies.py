"What learns as it goes can be copied: neither side hears of what the other is told"
import copy

import numpy as np
import pytest
import torch

from dlcourse.federated.client_privacy import ClientSampler
from dlcourse.paradigms.continual import Reservoir
from dlcourse.reinforcement.arms import ClickFeed
from dlcourse.reinforcement.bandits import LinUCB
from dlcourse.reinforcement.replay import NStep, PrioritizedReplay, Replay
from dlcourse.sequences.keyboard import Keyboard

STEP = np.ones((1, 2)), [1], [1.], np.ones((1, 2)), [False]
PULL = np.array([1]), np.array([1.]), np.ones((1, 2))
RNG = np.random.default_rng(0)


def started(thing, *shape):
    thing.start(*shape)
    return thing


def row(n): return torch.full((2,), float(n)), torch.tensor(n)


def clicks(k): return k.show(np.array([1]), np.array([True]), RNG)


THINGS = { # Class → made, what it is told, what it holds
    Keyboard: (lambda: Keyboard('a cat'), lambda k: k.learn('a zebra'), lambda k: dict(k.own[0])),
    Reservoir: (lambda: Reservoir(3), lambda r: r.add(*row(1)),
                lambda r: (r.seen, [int(y) for _, y in r.rows])),
    Replay: (lambda: Replay(4, 2), lambda r: r.add(*STEP), lambda r: (len(r), r.obs.tolist())),
    PrioritizedReplay: (lambda: PrioritizedReplay(4, 2), lambda r: r.add(*STEP),
                        lambda r: (len(r), r.obs.tolist(), r._tree.tolist())),
    NStep: (lambda: NStep(9, .9), lambda s: s.add(*STEP, [False]), lambda s: len(s._waiting)),
    LinUCB: (lambda: started(LinUCB(2), 1, 3), lambda p: p.learn(*PULL),
             lambda p: (p.pulls.tolist(), p.total.tolist(), p.theta.tolist())),
    ClickFeed: (lambda: started(ClickFeed(np.array([.5, 1.]), 5), 1, 9), clicks,
                lambda f: (f.now, f.shown.tolist(), f.clicks.tolist())),
    ClientSampler: (lambda: ClientSampler(4, 4, 1., seed=0), lambda s: s.draw(),
                    lambda s: (s.rounds, list(s.drawn), s.event.steps))}


@pytest.mark.parametrize('kind', THINGS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize('how', [copy.copy, copy.deepcopy])
def test_a_copy_goes_on_by_itself(kind, how):
    make, tell, held = THINGS[kind]
    one = make()
    tell(one)
    two, before = how(one), copy.deepcopy(held(one))
    tell(one)
    assert type(two) is kind and held(two) == before != held(one)
    after = copy.deepcopy(held(one))
    tell(two)
    tell(two)
    assert held(one) == after != held(two)
