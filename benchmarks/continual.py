"""The strength of EWC's pull, tried on writers that the lesson's tables do not test on

`python benchmarks/continual.py`: both courses of five tasks, learnt from four of the training
writers and tested on the three others; the mean final accuracy of two seeds.
"""
import torch

from dlcourse.core.datasets import load
from dlcourse.paradigms.learners import learn_in_turn
from dlcourse.paradigms.tasks import Task, permuted_tasks, split_tasks

SEEDS = 100, 101
STRENGTHS = 3, 30, 300, 3_000, 30_000, 300_000

def training_writers()->Task:
    "Digits of writers 0 to 3 to learn from, of 4 to 6 to test on"
    digits = load('digits')
    x = torch.tensor(digits['images'].reshape(-1, 64)/16, dtype=torch.float32)
    y, writer = (torch.tensor(digits[name]).long() for name in ('labels', 'writers'))
    own, other = writer < 4, (writer >= 4) & (writer < 7)
    return Task(x[own], y[own], x[other], y[other])

def main():
    data = training_writers()
    print(f'{len(data.y)} digits to learn from, {len(data.y_test)} to test on')
    for name, tasks in (('permuted', lambda seed: permuted_tasks(5, seed, data)),
                        ('split', lambda seed: split_tasks(data))):
        for strength in STRENGTHS:
            ends = [learn_in_turn(tasks(seed), 'ewc', seed, strength=strength)[-1].mean()
                    for seed in SEEDS]
            each = ' '.join(f'{end:.3f}' for end in ends)
            print(f'{name}, {strength}: {sum(ends)/len(ends):.3f} ({each})', flush=True)

if __name__ == '__main__': main()
