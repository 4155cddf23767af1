"Simulations a second beside alpha-zero-general's loop, and Connect-4 over seeds: `--seeds N`"
# The peer's search is re-stated from github.com/suragnair/alpha-zero-general (MIT), MCTS.py: one
# game, dictionaries keyed by the board's bytes, recursion, one network call for each new leaf. Its
# games and its np.int were left out, which no longer run on NumPy 2; rules here are ours, one
# position at a time, and the network is the same one.
import argparse
import math

import numpy as np
import torch
from harness import cpu_seconds, interleave

from dlcourse.evaluation.runs import bootstrap_runs, interquartile_mean
from dlcourse.reinforcement.games import ConnectFour, TicTacToe, double_match, openings
from dlcourse.reinforcement.selfplay import elo_difference
from dlcourse.reinforcement.tree_search import plain_player, search, search_player
from dlcourse.reinforcement.zero import PolicyValueNet, connect_four, net_evaluator, train_zero


class Peer:
    "alpha-zero-general's MCTS, one game at a time, with Python's numbers for positions"
    def __init__(self, game, evaluate, c):
        self.game, self.evaluate, self.c = game, evaluate, c
        self.q, self.n, self.visits, self.priors, self.over, self.legal = {}, {}, {}, {}, {}, {}

    def search(self, state):
        key = state.tobytes()
        if key not in self.over:
            over, worth = self.game.winner(state)
            self.over[key] = float(worth[0]) if over[0] else None
        if self.over[key] is not None: return -self.over[key]
        if key not in self.priors:
            priors, value = self.evaluate(state)
            legal = self.game.legal(state)[0]
            priors = priors[0]*legal
            self.priors[key], self.legal[key], self.visits[key] = priors/priors.sum(), legal, 0
            return -float(value[0])
        best, action = -math.inf, -1
        for a in range(self.game.actions):
            if not self.legal[key][a]: continue
            edge = (key, a)
            if edge in self.q:
                bonus = math.sqrt(self.visits[key])/(1 + self.n[edge])
                score = self.q[edge] + self.c*self.priors[key][a]*bonus
            else: score = self.c*self.priors[key][a]*math.sqrt(self.visits[key] + 1e-8)
            if score > best: best, action = score, a
        value = self.search(self.game.moved(state, np.array([action])))
        edge = (key, action)
        if edge in self.q:
            self.q[edge] = (self.n[edge]*self.q[edge] + value)/(self.n[edge] + 1)
            self.n[edge] += 1
        else: self.q[edge], self.n[edge] = value, 1
        self.visits[key] += 1
        return -value


def speed(game, few, many, simulations=100):
    torch.manual_seed(0)
    evaluate = net_evaluator(PolicyValueNet(game, 128).eval(), game)
    states = openings(game, many, 2, seed=0)
    def peer():
        for state in states[:few]:
            one = Peer(game, evaluate, 1.5)
            for _ in range(simulations): one.search(state[None])
    def ours(): search(game, states, evaluate, simulations, c=1.5)
    def alone():
        for state in states[:few]: search(game, state[None], evaluate, simulations, c=1.5)
    timing = interleave({'peer': peer, 'ours': ours, 'ours, one game': alone}, rounds=3)
    print(timing)
    rates = {name: games*simulations/timing.best(name)
             for name, games in (('peer', few), ('ours', many), ('ours, one game', few))}
    print(type(game).__name__, {name: round(rate) for name, rate in rates.items()},
          f"simulations a CPU second: {rates['ours']/rates['peer']:.0f} times as many")


def players(seeds, plies=4):
    game, scores = ConnectFour(), []
    begun = openings(game, 50, plies, seed=0)
    for seed in seeds:
        seconds, (net, _) = cpu_seconds(lambda s=seed: train_zero(game, connect_four(), s))
        rival = plain_player(game, 100, np.random.default_rng(1000 + seed))
        player = search_player(game, net_evaluator(net, game), 100)
        results = double_match(game, player, rival, begun)
        scores.append((results.mean() + 1)/2)
        elo = [round(x) for x in elo_difference(results.mean(1))]
        print(f'seed {seed}: {seconds:.0f} CPU s of training, share of points {scores[-1]:.3f}, '
              f'Elo {elo}', flush=True)
    if len(scores) > 1:
        print(f'median {np.median(scores):.3f}, worst {min(scores):.3f}, interquartile mean '
              f'{interquartile_mean(scores):.3f}, {bootstrap_runs(scores)}')


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--seeds', type=int, default=0, help="networks to train for Connect-4")
    parser.add_argument('--first', type=int, default=0, help="the first seed")
    wanted = parser.parse_args()
    torch.set_num_threads(1)
    if not wanted.seeds:
        speed(TicTacToe(), 20, 256)
        speed(ConnectFour(), 20, 256)
    players(range(wanted.first, wanted.first + wanted.seeds))
