"Pairs that are cut without loss, LastFM's files, and a world whose truth is known"
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcourse.core.cards import card
from dlcourse.core.datasets import load
from dlcourse.core.downloads import is_here
from dlcourse.core.errors import InputError
from dlcourse.graphs.interactions import (
    Interactions,
    _pairs_of,
    cut_pairs,
    draw_unseen,
    listening_world,
    neighbour_weights,
    read_listeners,
)


def pairs(user, item, users=3, items=4): return Interactions(np.array(user), np.array(item),
                                                             users, items)


def test_a_pair_that_comes_twice_counts_once():
    d = pairs([2, 0, 2, 0], [1, 3, 1, 0])
    assert d.user.tolist() == [0, 0, 2] and d.item.tolist() == [0, 3, 1] and len(d) == 3
    assert d.table.sum() == 3 and d.popularity.tolist() == [1, 1, 0, 1]
    assert d.edges.tolist() == [[0, 0, 2, 3, 6, 4], [3, 6, 4, 0, 0, 2]]


@pytest.mark.parametrize(('user', 'item', 'says'), [
    ([0, 3], [0, 1], '`user` must be from 0 to 2; pair 1 says 3'),
    ([0, 1], [0, -1], '`item` must be from 0 to 3'), ([0., 1], [0, 1], '`user` must be whole'),
    ([0, 1], [True, False], '`item` must be whole'), ([0], [0, 1], 'one number for each'),
    (np.array([], int), np.array([], int), 'one pair or')])
def test_pairs_that_cannot_be_are_refused(user, item, says):
    with pytest.raises(InputError, match=says): pairs(user, item)


def test_parts_of_other_sizes_do_not_join():
    with pytest.raises(InputError, match='`other`'): pairs([0], [0]) | pairs([0], [0], items=5)
    with pytest.raises(InputError, match='`users`'): pairs([0], [0], users=0)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 9999), share=st.floats(.05, .9))
def test_a_cut_loses_nothing_and_leaves_everybody_a_pair(seed, share):
    rng = np.random.default_rng(seed)
    d = pairs(rng.integers(0, 9, 60), rng.integers(0, 12, 60), 9, 12)
    rest, held = cut_pairs(d, share, seed)
    assert not (rest.table & held.table).any() and ((rest | held).table == d.table).all()
    assert set(rest.user) == set(d.user)
    again, _ = cut_pairs(d, share, seed)
    assert (again.table == rest.table).all()


def test_cuts_that_hold_nothing_out_are_refused():
    for share in (0, 1, float('nan')):
        with pytest.raises(InputError, match='`share`'): cut_pairs(pairs([0, 0], [0, 1]), share)
    with pytest.raises(InputError, match='holds nothing out'): cut_pairs(pairs([0, 1], [0, 1]))


class File:
    def __init__(self, name): self.path = self.holds = name


def read(tmp_path:Path, **texts):
    paths = {}
    for name, text in texts.items():
        paths[name] = tmp_path/name
        paths[name].write_text(text)
    class Card: name, files = 'listeners', [File(name) for name in texts]
    return read_listeners(Card, paths)


def test_lines_are_numbers(tmp_path):
    good = read(tmp_path, train='1 2 9\n2 1 3.2e+05\n', test='2 3 1\n', trust='1 2\n')
    assert good['train'].table.tolist() == [[False, True, False], [True, False, False]]
    assert good['trust'].tolist() == [[0, 1]]
    for bad in ('a b c\n', '1\n2\n', '0 1 1\n', '1.5 1 1\n', ''):
        with pytest.raises(InputError, match='train'):
            read(tmp_path, train=bad, test='2 3 1\n', trust='1 2\n')


@pytest.mark.skipif(not is_here(card('lastfm')), reason='lastfm is not in the data home')
def test_lastfm_is_what_its_card_says():
    d = load('lastfm')
    train, test = d['train'], d['test']
    assert (train.users, train.items, len(train), len(test)) == (1892, 4489, 42135, 10533)
    assert len(np.setdiff1d(np.arange(1892), train.user)) == 14
    assert len(np.setdiff1d(test.user, train.user)) == 2
    assert not (train.table & test.table).any()


def test_the_world_hides_what_is_liked():
    w = listening_world(3, users=200, items=120)
    again = listening_world(3, users=200, items=120)
    assert (w.liking == again.liking).all() and (w.data.table == again.data.table).all()
    seen, liked = w.data.popularity, w.liking.mean(0)
    assert seen[w.major].mean() > 1.7*seen[~w.major].mean()
    assert abs(liked[w.major].mean() - liked[~w.major].mean()) < .1
    southern = w.genre >= 7
    assert w.liking[w.south][:, southern].mean() > 1.5*w.liking[~w.south][:, southern].mean()
    with pytest.raises(InputError, match='`items`'): listening_world(items=5)


def test_lists_of_neighbours_and_draws_that_cannot_be_are_refused(tmp_path):
    for k in (0, -1, 1.5):
        with pytest.raises(InputError, match='`k`'): neighbour_weights(np.ones((3, 6), bool), k)
    with pytest.raises(InputError, match='`user` holds one who chose all 3'):
        draw_unseen(torch.ones(1, 3, dtype=torch.bool), torch.tensor([0]), torch.Generator())
    known = torch.tensor([[True]*9 + [False]])
    drawn = draw_unseen(known, torch.zeros(2000, dtype=torch.int64), torch.Generator())
    assert (drawn == 9).all()
    path = tmp_path/'pairs'
    path.write_text('1e300 1')
    with pytest.raises(InputError, match='in whole numbers'): _pairs_of(path, 1)
