"Rules against boards looked at cell by cell, symmetries, matches, and positions that are refused"
import numpy as np
import pytest

from dlcourse.core.errors import InputError
from dlcourse.reinforcement.games import (
    ConnectFour,
    Solved,
    TicTacToe,
    double_match,
    openings,
    play_match,
    random_player,
)


def line_of(board, n):
    "Does somebody's 1 stand n times in a row, a column or a diagonal?"
    rows, columns = board.shape
    for r, c in np.ndindex(rows, columns):
        for dr, dc in ((0, 1), (1, 0), (1, 1), (1, -1)):
            cells = [(r + k*dr, c + k*dc) for k in range(n)]
            inside = all(0 <= a < rows and 0 <= b < columns for a, b in cells)
            if inside and all(board[cell] == 1 for cell in cells): return True
    return False


@pytest.mark.parametrize(
    ('game', 'n'), [(TicTacToe(), 3), (ConnectFour(), 4), (ConnectFour(4, 5), 4)])
def test_games_end_where_a_line_stands_or_the_board_is_full(game, n):
    rng = np.random.default_rng(0)
    act, states, seen = random_player(game, rng), game.start(40), 0
    while len(states):
        own, other = game.planes(states).transpose(1, 0, 2, 3)
        over, worth = game.winner(states)
        for k in range(len(states)):
            lost = line_of(other[k], n)
            assert over[k] == (lost or (own[k] + other[k]).all())
            assert worth[k] == (-1 if lost else 0)
            assert not line_of(own[k], n)
        seen += int((worth < 0).sum())
        states = states[~over]
        actions = act(states)
        after = game.play(states, actions)
        back = game.planes(after)[:, ::-1]
        assert ((back - game.planes(states)).sum((1, 2, 3)) == 1).all()
        states = after
    assert seen


@pytest.mark.parametrize('game', [TicTacToe(), ConnectFour(), ConnectFour(5, 4)])
def test_playing_commutes_with_every_symmetry(game):
    act = random_player(game, np.random.default_rng(1))
    states = openings(game, 30, 3, seed=2)
    actions = act(states)
    def boards(s):
        own, other = game.planes(s).transpose(1, 0, 2, 3)
        return (own - other).reshape(len(s), -1)
    for cells, moves in game.symmetries():
        mirrored = game.from_boards(boards(states)[:, cells].reshape(-1, game.rows, game.columns))
        where = np.argsort(moves)[actions]
        got = boards(game.play(mirrored, where))
        np.testing.assert_array_equal(got, boards(game.play(states, actions))[:, cells])
        np.testing.assert_array_equal(game.legal(mirrored), game.legal(states)[:, moves])


def test_tic_tac_toe_is_a_draw_and_has_as_many_positions_as_is_known():
    solved = Solved(TicTacToe())
    assert len(solved.states) == 5478
    assert solved.of(TicTacToe().start())[0] == 0
    assert (solved.of_moves(TicTacToe().start()) == 0).all()
    with pytest.raises(InputError, match='`states`'): solved.of(np.array([[7, 0]]))
    with pytest.raises(InputError, match='`most`'): Solved(ConnectFour(), most=1000)


def test_perfect_play_does_not_lose():
    game, rng = TicTacToe(), np.random.default_rng(3)
    perfect = Solved(game).player(rng)
    assert (double_match(game, perfect, random_player(game, rng), game.start(300)) >= 0).all()
    assert (play_match(game, perfect, perfect, game.start(100)) == 0).all()


def test_a_match_counts_from_the_side_of_the_first_player():
    game = ConnectFour()
    def left(states): return game.legal(states).argmax(1)
    def right(states): return game.columns - 1 - game.legal(states)[:, ::-1].argmax(1)
    assert play_match(game, left, right, game.start(2)).tolist() == [1, 1]
    record = []
    play_match(game, left, right, game.start(1), record=record)
    assert len(record) == 8


@pytest.mark.parametrize(('states', 'actions', 'says'), [
    ([[0, 0]], [7], '`actions` must be from 0 to 6'), ([[0, 0]], [-1], '`actions` must be from 0'),
    ([[0, 0]], [1.], '`actions` must be 1 whole'), ([[0, 0]], [1, 2], '`actions` must be 1 whole'),
    ([[1, 1]], [0], '`states` must have one stone'), ([[1 << 6, 0]], [0], '`states` must have one'),
    ([0, 0], [0], r'`states` must be whole numbers'), ([[.5, 0]], [0], '`states` must be whole'),
    ([[0, 15]], [3], 'the game is over'), ([[0b010101, 0b101010]], [0], 'there is no room')])
def test_what_the_rules_do_not_allow_is_refused_by_name(states, actions, says):
    with pytest.raises(InputError, match=says):
        ConnectFour().play(np.array(states), np.array(actions))


def test_other_bad_input_is_refused():
    game = TicTacToe()
    with pytest.raises(InputError, match='`boards`'): game.from_boards(np.full((1, 3, 3), 2))
    with pytest.raises(InputError, match='`boards`'): game.from_boards(np.zeros((1, 2, 3)))
    with pytest.raises(InputError, match='`rows`'): ConnectFour(3, 7)
    with pytest.raises(InputError, match=r'\(rows \+ 1\)\*columns'): ConnectFour(9, 9)
    with pytest.raises(InputError, match='`n`'): game.start(-1)
    with pytest.raises(InputError, match='`plies`'): openings(game, 3, 9)


@pytest.mark.parametrize('states', [np.array([[.5, 0]]), np.zeros(2, int)])
def test_a_table_knows_positions_only(states):
    with pytest.raises(InputError, match='`states`'): Solved(TicTacToe()).of(states)


def test_unsigned_positions_are_positions():
    found = TicTacToe().checked(np.zeros((1, 2), np.uint64))
    assert found.dtype == np.int64 and found.tolist() == [[0, 0]]
