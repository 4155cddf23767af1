"""Characters of German and English captions: one network, or eight of which each character sees one

Multi30k (`dlcourse datasets get multi30k`), captions of both languages mixed, a transformer of one
block. Dense with as many operations, dense with as many weights, and the mixture with and without
a balance loss; bits a character on validation captions of both languages, three seeds, CPU seconds
of training, and how much the expert of a character says about its language.
Run: OMP_NUM_THREADS=1 python benchmarks/experts.py [--steps N] [--seeds N]
"""
import argparse
import math
import os

os.environ.setdefault('OMP_NUM_THREADS', '1')

import torch
import torch.nn.functional as F
from harness import cpu_seconds
from torch import nn

from dlcourse.core.datasets import load
from dlcourse.foundations.schedules import linear
from dlcourse.training.batches import Batches
from dlcourse.training.callbacks import FitConfig
from dlcourse.training.loop import fit
from dlcourse.transformers.block import Block, BlockConfig, FeedForward
from dlcourse.transformers.experts import Experts, ExpertsConfig, auxiliary_loss

SIZE, DIM, HIDDEN, EXPERTS = 64, 64, 64, 8


class Speller(nn.Module):
    "One block that predicts the next character"
    def __init__(self, feed_forward, letters):
        super().__init__()
        self.word, self.norm = nn.Embedding(letters, DIM), nn.LayerNorm(DIM)
        nn.init.normal_(self.word.weight, std=.5)
        self.block = Block(BlockConfig(dim=DIM, heads=4, rope_base=1000.), feed_forward)
        self.out = nn.Linear(DIM, letters)

    def forward(self, x): return self.out(self.norm(self.block(self.word(x), causal=True)))


def captions(part, number, lines):
    data = load('multi30k')
    def cut(language):
        text = '\n'.join(data[f'{part}.{language}'][:lines])
        codes = torch.tensor([number.get(c, 0) for c in text])
        return codes[:len(codes)//(SIZE + 1)*(SIZE + 1)].reshape(-1, SIZE + 1)
    return {language: cut(language) for language in ('en', 'de')}


def bits_told(index, language):
    "Bits that an expert's number says about the language of a character, of 1"
    table = torch.zeros(EXPERTS, 2).index_put((index, language), torch.ones(len(index)),
                                              accumulate=True)
    table = table/table.sum()
    apart = table.sum(1, keepdim=True)*table.sum(0)
    return (torch.special.entr(apart).sum() - torch.special.entr(table).sum()).item()/math.log(2)


def dense(hidden): return FeedForward(BlockConfig(dim=DIM, heads=4, hidden=hidden))


def mixture(): return Experts(ExpertsConfig(dim=DIM, hidden=HIDDEN, experts=EXPERTS))


WAYS = {'dense, equal operations': (lambda: dense(HIDDEN + EXPERTS//2), 0.),
        'mixture': (mixture, .01), 'without balance': (mixture, 0.),
        'dense, equal weights': (lambda: dense(HIDDEN*EXPERTS), 0.)}


def run(way, seed, train, valid, letters, steps):
    make, balance = WAYS[way]
    torch.manual_seed(seed)
    model = Speller(make(), letters)
    rows = torch.randint(len(train), (32*steps,), generator=torch.Generator().manual_seed(seed))
    x = train[rows]
    def loss(logits, target):
        value = F.cross_entropy(logits.flatten(0, 1), target.flatten())
        return value + auxiliary_loss(model, balance) if balance else value
    batches = Batches(x[:, :-1], x[:, 1:], batch_size=32, seed=seed)
    config = FitConfig(epochs=1, lr=.01, schedule=linear(steps, 20), clip=1., device='cpu',
                       progress=False)
    seconds, _ = cpu_seconds(lambda: fit(model, batches, loss, config))
    bits, index, whose = {}, [], []
    for k, (language, text) in enumerate(valid.items()):
        with torch.no_grad(): logits = model(text[:, :-1])
        bits[language] = F.cross_entropy(logits.mT, text[:, 1:]).item()/math.log(2)
        if way.startswith('dense'): continue
        index.append(model.block.feed_forward.routing.index[:, 0])
        whose.append(torch.full_like(index[-1], k))
    told = ''
    if index: told = f'{bits_told(torch.cat(index), torch.cat(whose)):.2f} bits of the language'
    print(f'{way}, seed {seed}: ' + ', '.join(f'{k} {v:.3f}' for k, v in bits.items())
          + f' bits a character, {seconds:.1f} CPU s {told}', flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--steps', type=int, default=400)
    parser.add_argument('--seeds', type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    data = load('multi30k')
    seen = sorted({c for language in ('en', 'de') for line in data[f'train.{language}'][:4000]
                   for c in line} | {'\n'})
    number = {c: i for i, c in enumerate(seen)}
    train = torch.cat([*captions('train', number, 20_000).values()])
    valid = {k: v[:300] for k, v in captions('val', number, 1014).items()}
    for seed in range(given.seeds):
        for way in WAYS: run(way, seed, train, valid, len(seen), given.steps)


if __name__ == '__main__': main()
