"Search against exhaustive search, many trees against one, learning, mates, and answers refused"
import math
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from dlcourse.core.cards import card
from dlcourse.core.datasets import load
from dlcourse.core.errors import InputError
from dlcourse.reinforcement import zero
from dlcourse.reinforcement.games import (
    ConnectFour,
    Solved,
    TicTacToe,
    double_match,
    openings,
    random_player,
)
from dlcourse.reinforcement.mates import (
    as_they_come,
    board_of,
    checks_first,
    fewest_replies,
    find_mate,
    keys_of,
    mate_examples,
    mate_puzzles,
    mates_at_once,
    train_mates,
)
from dlcourse.reinforcement.selfplay import alpha_beta, elo_difference, policy_target, puct, uct
from dlcourse.reinforcement.tree_search import plain_player, rollouts, search, search_player
from dlcourse.reinforcement.zero import (
    PolicyValueNet,
    ZeroConfig,
    in_symmetry,
    net_evaluator,
    net_player,
    self_play,
    train_zero,
)

chess = pytest.mark.skipif(find_spec('chess') is None, reason="python-chess is not here")


def test_alpha_beta_gives_the_value_that_the_table_has():
    game = TicTacToe()
    solved = Solved(game)
    def worth(state):
        over, value = game.winner(state)
        return float(value[0]) if over[0] else None
    def children(state):
        for action in game.legal(state)[0].nonzero()[0]: yield game.moved(state, action[None])
    for state in openings(game, 12, 3, seed=0):
        assert alpha_beta(state[None], children, worth) == solved.of(state[None])[0]


def seen(game):
    "Answers that depend on the position alone"
    weights = np.random.default_rng(0).normal(size=(2*game.places.size, game.actions + 1))
    def evaluate(states):
        out = game.planes(states).reshape(len(states), -1) @ weights
        return np.exp(out[:, :-1]/3), np.tanh(out[:, -1]/3)
    return evaluate


def one_tree(game, state, evaluate, simulations, c):
    "The same search as dictionaries, one game, by recursion"
    nodes = {}
    def visit(key, state):
        over, worth = game.winner(state)
        if over[0]: return float(worth[0])
        if key not in nodes:
            p, v = evaluate(state)
            p = np.where(game.legal(state), p, 0)[0]
            nodes[key] = [p/p.sum(), np.zeros(game.actions), np.zeros(game.actions)]
            return float(v[0])
        p, n, w = nodes[key]
        q = w/np.maximum(n, 1) + c*p*np.sqrt(1 + n.sum())/(1 + n)
        a = int(np.where(game.legal(state)[0], q, -np.inf).argmax())
        value = -visit((*key, a), game.moved(state, np.array([a])))
        n[a] += 1
        w[a] += value
        return value
    for _ in range(simulations + 1): visit((), state)
    return nodes[()][1], nodes[()][2]


@pytest.mark.parametrize('game', [TicTacToe(), ConnectFour()])
def test_many_trees_in_arrays_are_one_tree_in_dictionaries(game):
    states, evaluate = openings(game, 6, 4, seed=1), seen(game)
    found = search(game, states, evaluate, 60, c=1.3)
    for k in range(len(states)):
        visits, total = one_tree(game, states[k:k + 1], evaluate, 60, 1.3)
        np.testing.assert_array_equal(found.visits[k], visits)
        np.testing.assert_allclose(found.total[k], total, atol=1e-4)
    assert (found.visits.sum(1) == 60).all()
    assert (found.visits[~game.legal(states)] == 0).all()


def test_a_finished_game_is_searched_without_harm():
    game = TicTacToe()
    found = search(game, np.array([[0, 7], [0, 0]]), seen(game), 5)
    assert found.visits.sum(1).tolist() == [0, 5]


def test_plain_search_finds_the_win_and_the_only_defence():
    game, rng = ConnectFour(), np.random.default_rng(0)
    three = np.zeros((1, 6, 7))
    three[0, 5, :3], three[0, 4, :3] = 1, -1
    player = plain_player(game, 200, rng)
    assert player(game.from_boards(three)).tolist() == [3]
    lone = np.zeros((1, 6, 7))
    lone[0, 5, :3], lone[0, 4, 0], lone[0, 5, 6] = -1, 1, 1
    assert player(game.from_boards(lone)).tolist() == [3]


@pytest.mark.parametrize(('answers', 'says'), [
    (lambda n: (np.ones((n, 9)), np.full(n, np.nan)), 'NaN'),
    (lambda n: (np.full((n, 9), np.inf), np.zeros(n)), 'NaN or infinity'),
    (lambda n: (np.ones((n, 8)), np.zeros(n)), r'weights \[2, 9\]'),
    (lambda n: (np.zeros((n, 9)), np.zeros(n)), 'on legal moves'),
    (lambda n: (-np.ones((n, 9)), np.zeros(n)), 'from 0 up'),
    (lambda n: None, 'two arrays')])
def test_answers_that_are_none_are_refused(answers, says):
    game = TicTacToe()
    with pytest.raises(InputError, match='`evaluate`.*' + says):
        search(game, game.start(2), lambda states: answers(len(states)), 3)


def test_bad_settings_are_refused():
    game = TicTacToe()
    with pytest.raises(InputError, match='`simulations`'): search(game, game.start(), seen(game), 0)
    with pytest.raises(InputError, match='`c`'): search(game, game.start(), seen(game), 3, c=-1)
    with pytest.raises(InputError, match='`games`'): ZeroConfig(games=0)
    with pytest.raises(InputError, match='`share`'): ZeroConfig(share=2)
    with pytest.raises(InputError, match='`temperature`'): policy_target(np.ones((1, 2)), -1)
    with pytest.raises(InputError, match='`results`'): elo_difference([2., 0.])
    with pytest.raises(InputError, match='`results`'): elo_difference([1.])


def test_scores_and_elo_by_hand():
    total, visits = np.array([[3., 0.]]), np.array([[9., 1.]])
    np.testing.assert_allclose(uct(total, visits, None, 1.), [[.839, 1.517]], atol=1e-3)
    np.testing.assert_allclose(puct(total, visits, np.array([[.5, .5]]), 2.),
                               [[1/3 + 11**.5/10, 11**.5/2]])
    elo = elo_difference(np.repeat([1., 0.], 100))
    assert math.isclose(elo.value, 400*math.log10(3)) and elo.low < elo.value < elo.high
    assert elo_difference([1., 1.]).value == math.inf


def test_targets_are_from_the_side_of_who_was_to_move():
    game, config = TicTacToe(), ZeroConfig(games=40, simulations=6, opening=3)
    played = self_play(game, rollouts(game, np.random.default_rng(0)), config,
                       np.random.default_rng(1))
    assert not game.winner(played.states)[0].any()
    np.testing.assert_allclose(played.policies.sum(1), 1, atol=1e-6)
    last = (game.planes(played.states).sum((1, 2, 3)) == 8).nonzero()[0] # One cell is left
    for k in last:
        after = game.moved(played.states[k:k + 1], game.legal(played.states[k:k + 1]).argmax(1))
        assert played.results[k] == -game.winner(after)[1][0]


def test_learning_beats_random_moves_and_leaves_the_random_state_alone():
    game, config = TicTacToe(), ZeroConfig(generations=5, games=64, simulations=12)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    net, _ = train_zero(game, config, 0)
    assert torch.equal(before, torch.get_rng_state())
    rng = np.random.default_rng(2)
    result = double_match(game, net_player(net, game), random_player(game, rng), game.start(200))
    assert result.mean() > .4
    again, _ = train_zero(game, config, 0)
    assert all(torch.equal(a, b) for a, b in zip(net.parameters(), again.parameters(), strict=True))


def test_turning_keeps_shares_at_their_cells():
    game = TicTacToe()
    x = torch.arange(9.).expand(1, 2, 9)
    for symmetry in game.symmetries():
        planes, policies = in_symmetry(x, x[:, 0], symmetry)
        torch.testing.assert_close(planes[:, 0], policies)


def test_a_network_is_asked_about_legal_moves_alone():
    game = ConnectFour()
    torch.manual_seed(0)
    net = PolicyValueNet(game, 8)
    full = np.zeros((1, 6, 7))
    full[0, :, 0] = [1, -1]*3
    state = game.from_boards(full)
    assert net_player(net, game)(state)[0] != 0
    assert search_player(game, net_evaluator(net, game), 10)(state)[0] != 0


@chess
def test_positions_of_the_data_have_a_mate_in_two_and_list_every_first_move():
    assert len(load('mates')) == card('mates').rows
    train, test = mate_puzzles(), mate_puzzles('test')
    assert len(test) == 200 and not {fen for fen, _ in train} & {fen for fen, _ in test}
    for fen, keys in [*train[::200], *test[::20]]:
        board = board_of(fen)
        assert not mates_at_once(board) and sorted(keys_of(board)) == sorted(keys)


@chess
def test_any_order_finds_a_proved_move_and_learning_helps():
    train, test = mate_puzzles()[:200], mate_puzzles('test')[:20]
    net = train_mates(mate_examples(train), epochs=2)
    orders = (as_they_come, checks_first, fewest_replies, net.order)
    for fen, keys in test:
        board = board_of(fen)
        found = [find_mate(board, order) for order in orders]
        assert all(f.move in keys for f in found) and board.fen().startswith(fen)
    assert find_mate(board_of('7k/8/8/8/8/8/8/K5R1'), as_they_come).move is None


@chess
def test_positions_that_are_none_are_refused():
    for bad in ('', 'hello', '8/8/8/8/8/8/8/K7', None):
        with pytest.raises(InputError, match='`fen`'): board_of(bad)
    with pytest.raises(InputError, match='`part`'): mate_puzzles('all')


@pytest.mark.parametrize('order', [lambda board, moves: [0],
                                   lambda board, moves: np.zeros((len(moves), 1))])
def test_an_order_has_a_number_for_each_move(order):
    with pytest.raises(InputError, match='`order`'):
        find_mate(board_of(mate_puzzles('test')[0][0]), order)


@pytest.mark.parametrize(('name', 'options'), [
    ('noise', dict(noise=lambda p, legal: p*np.nan)), ('noise', dict(noise=lambda p, legal: p[0])),
    ('c', dict(c=float('inf')))])
def test_noise_and_curiosity_are_finite(name, options):
    game = TicTacToe()
    with pytest.raises(InputError, match=f'`{name}`'):
        search(game, game.start(2), rollouts(game, np.random.default_rng(0)), 5, **options)


def test_answers_with_gradients_are_refused():
    game = TicTacToe()
    with pytest.raises(InputError, match='`evaluate`'):
        search(game, game.start(2), lambda s: (torch.ones(len(s), 9, requires_grad=True),
                                               torch.zeros(len(s))), 5)


@pytest.mark.parametrize('name', ['lr', 'c', 'alpha'])
def test_rates_of_learning_by_play_are_numbers_from_0(name):
    with pytest.raises(InputError, match=f'`{name}`'): ZeroConfig(**{name: -1.})


def test_the_player_is_made_once_and_a_changed_file_is_refused(monkeypatch, tmp_path):
    short = ZeroConfig(generations=1, games=4, simulations=4, width=16, passes=1)
    monkeypatch.setattr(zero, 'connect_four', lambda: short)
    state = torch.get_rng_state()
    net, facts = zero.connect4_player(tmp_path)
    assert torch.equal(state, torch.get_rng_state()) and '1 generations' in facts.summary
    monkeypatch.setattr(zero, 'train_zero', None) # The second time nothing is trained
    again, _ = zero.connect4_player(tmp_path)
    game = ConnectFour()
    states = openings(game, 5, 4, seed=0)
    for ours, theirs in zip(net_evaluator(net, game)(states), net_evaluator(again, game)(states),
                            strict=True):
        np.testing.assert_array_equal(ours, theirs)
    path = tmp_path/'trained'/'connect4-player'/'model.safetensors'
    path.write_bytes(path.read_bytes()[:-1] + b'x')
    with pytest.raises(InputError, match='is not the file of its card'):
        zero.connect4_player(tmp_path)
