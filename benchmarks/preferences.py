"""Reward models of the real preference pairs over five splits: `python benchmarks/preferences.py`
DPO of the lesson's world for longer than there: `python benchmarks/preferences.py dpo [STEPS]`

What people would pick first stands beside the course's: the longer answer, and a logistic
regression of word counts. Each split holds back the pairs of a fifth of the questions. The kept
model's ridge and factors were chosen on other splits of the same pairs."""
import sys

import numpy as np
import torch

from dlcourse.evaluation.runs import interquartile_mean
from dlcourse.reinforcement.answers import compare_answers, divergence, gold_reward, half_taught
from dlcourse.reinforcement.choices import answer_features, pair_halves, real_pairs, word_table
from dlcourse.reinforcement.preferences import fit_bradley_terry, tune_directly


def dpo(steps:str='400', seeds:int=10, betas:tuple=(.1, .4, 1.6)):
    "Divergence and gold reward of DPO after so many steps on the lesson's choices"
    half = half_taught()
    pairs = compare_answers(half.copies(seeds), 250, torch.Generator().manual_seed(0))
    pairs = [t.repeat_interleave(len(betas), 0) for t in pairs]
    policy = tune_directly(half, *pairs, torch.tensor(betas*seeds), steps=int(steps))
    with torch.no_grad():
        gold = gold_reward(policy.sample(250, torch.Generator().manual_seed(9))).mean((1, 2))
        far = divergence(policy, half.copies(len(gold)))
    for k, beta in enumerate(betas):
        own = gold[k::len(betas)]
        print(f'β = {beta:g}, {steps} steps: {far[k::len(betas)].mean():.2f} nats, gold median '
              f'{own.quantile(.5):.2f}, worst {own.min():.2f}, middle half '
              f'{interquartile_mean(own.numpy()):.2f}')


def main():
    pairs, rows = real_pairs(), {}
    features = answer_features([a for p in pairs for a in (p.chosen, p.rejected)])
    gaps, row_of = features[::2] - features[1::2], {id(p): k for k, p in enumerate(pairs)}
    parts = {'all': slice(None), 'embedding': slice(0, 384)}
    for seed in range(1, 6):
        known, held = pair_halves(pairs, seed)
        own, new = ([row_of[id(p)] for p in part] for part in (known, held))
        right = {'longer': np.mean([len(p.chosen) > len(p.rejected) for p in held])}
        table, fresh = word_table(known, held)
        right['words'] = np.mean(fresh @ fit_bradley_terry(torch.tensor(table)).numpy() > 0)
        for name, part in parts.items():
            theta = fit_bradley_terry(gaps[own][:, part], steps=8)
            right[name] = float((gaps[new][:, part].double() @ theta > 0).double().mean())
        for name, value in right.items(): rows.setdefault(name, []).append(float(value))
    for name, values in rows.items():
        print(f'{name:10} mean {np.mean(values):.3f}, least {min(values):.3f}, '
              f'most {max(values):.3f}')


if __name__ == '__main__':
    if sys.argv[1:2] == ['dpo']: dpo(*sys.argv[2:])
    else: main()
