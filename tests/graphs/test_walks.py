"Walks against chances by formula, meetings against the closed form"
from itertools import pairwise

import networkx as nx
import numpy as np
import pytest

from dlcourse.core.errors import InputError
from dlcourse.graphs.edges import undirected
from dlcourse.graphs.networks import step_chances
from dlcourse.graphs.walks import (
    Roads,
    factor_vectors,
    meeting_counts,
    meeting_ratio,
    random_walks,
)

CLUB = nx.karate_club_graph()
EDGES = undirected(np.array(CLUB.edges).T, 34)


@pytest.mark.parametrize('p, q', [(1, 1), (4, .25), (.25, 4)])
def test_steps_have_the_chances_of_the_formula(p, q):
    walks = random_walks(EDGES, 34, [0]*60_000, 3, p=p, q=q)
    for now in (1, 2, 31):
        came = walks[walks[:, 1] == now, 2]
        want = step_chances(EDGES, 34, 0, now, p, q).numpy()
        share = np.bincount(came, minlength=34)/len(came)
        assert abs(share - want).max() < 5*np.sqrt(.25/len(came))
        assert (share[want == 0] == 0).all()


def test_walks_go_along_edges_and_end_where_nothing_leads_on():
    walks = random_walks(EDGES, 34, range(34), 20, p=.5, q=2)
    assert (walks >= 0).all() and walks[:, 0].tolist() == list(range(34))
    roads = Roads(EDGES, 34)
    assert roads.joined(walks[:, :-1].ravel(), walks[:, 1:].ravel()).all()
    assert random_walks([[0, 1], [1, 2]], 4, [0, 3], 4).tolist() == [[0, 1, 2, -1], [3, -1, -1, -1]]
    assert random_walks([], 2, [0], 3, p=2).tolist() == [[0, -1, -1]]
    assert random_walks([], 2, [], 3).shape == (0, 3)
    again = random_walks(EDGES, 34, range(34), 20, p=.5, q=2)
    assert (again == walks).all()


def test_meetings_come_near_the_closed_form_and_its_factors_are_it():
    starts = np.repeat(np.arange(34), [30*CLUB.degree[v] for v in range(34)])
    counts = meeting_counts(random_walks(EDGES, 34, starts, 40), 34, 2)
    share = counts.sum(1)/counts.sum()
    closed = meeting_ratio(EDGES, 34, 2)
    assert np.abs(counts/counts.sum()/np.outer(share, share) - closed).max() < .6
    np.testing.assert_allclose(closed, closed.T, rtol=1e-9)
    table = np.log(np.maximum(closed, 1))
    z = factor_vectors(closed, 34)
    np.testing.assert_allclose(z @ z.T, np.linalg.svd(table)[0]*np.linalg.svd(table)[1]
                               @ np.linalg.svd(table)[0].T, atol=1e-8)
    assert factor_vectors(closed, 5).shape == (34, 5)


def test_counts_by_hand():
    counts = meeting_counts(np.array([[0, 1, 2], [1, -1, -1]]), 3, 1)
    assert counts.tolist() == [[0, 1, 0], [1, 0, 1], [0, 1, 0]]


def test_wrong_arguments_are_refused_by_name():
    for bad in (dict(p=0), dict(q=-1), dict(p=np.nan), dict(q=np.inf)):
        with pytest.raises(InputError, match=f'`{next(iter(bad))}` must be above 0'):
            random_walks(EDGES, 34, [0], 3, **bad)
    with pytest.raises(InputError, match='`starts`'): random_walks(EDGES, 34, [34], 3)
    with pytest.raises(InputError, match='`length`'): random_walks(EDGES, 34, [0], 0)
    with pytest.raises(InputError, match='node 2 without any'):
        meeting_ratio([[0, 1], [1, 0]], 3, 2)


TRIANGLE = [[0, 0, 1, 1, 2, 2], [1, 2, 0, 2, 0, 1]]


@pytest.mark.parametrize(('edges', 'n', 'p', 'q'), [
    ([[0, 1], [1, 0]], 2, 1e9, 1e9), (TRIANGLE, 3, 1., 1e-9),
    ([[0, 1, 2], [1, 2, 0]], 3, 1e-9, 1.)])
def test_steps_that_are_hardly_ever_proposed_come_to_an_end(edges, n, p, q):
    walks, there = random_walks(edges, n, [0, 1], 6, p=p, q=q), set(zip(*edges, strict=True))
    assert all((a, b) in there for row in walks.tolist() for a, b in pairwise(row))


def test_worked_out_steps_have_the_chances_of_the_formula():
    walks = random_walks(TRIANGLE, 3, [0]*4000, 3, p=1e4, q=1e-4) # Kept once in 10,000
    want = step_chances(np.array(TRIANGLE), 3, 0, 1, 1e4, 1e-4).numpy()
    share = np.bincount(walks[walks[:, 1] == 1, 2], minlength=3)/(walks[:, 1] == 1).sum()
    assert abs(share - want).max() < .01


@pytest.mark.parametrize(('call', 'name'), [
    (lambda: random_walks(TRIANGLE, 3, [.9, 1.7], 2), '`starts`'),
    (lambda: random_walks(TRIANGLE, 3, ['1'], 2), '`starts`'),
    (lambda: random_walks(TRIANGLE, 3, [True], 2), '`starts`'),
    (lambda: random_walks(TRIANGLE, 3, [0], 3, p=1e-320), '`p`'),
    (lambda: meeting_counts(np.array([[0, 3]]), 3, 1), '`walks`'),
    (lambda: meeting_counts(np.array([[0, 1]]), 3, 0), '`window`'),
    (lambda: meeting_ratio(TRIANGLE, 3, 0), '`window`'),
    (lambda: factor_vectors(np.ones((3, 3)), 10), '`dim`'),
    (lambda: factor_vectors(np.ones((3, 3)), -1), '`dim`'),
    (lambda: factor_vectors(np.ones((3, 3)), 2, -1.), '`negatives`'),
    (lambda: factor_vectors(np.full((3, 3), np.nan), 2), '`ratio`'),
])
def test_what_cannot_be_walked_is_named(call, name):
    with pytest.raises(InputError, match=name): call()
