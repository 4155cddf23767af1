"""Self-supervised learning: probes with few labels on digits or MNIST; NT-Xent beside lightly's

`python benchmarks/selfsupervised.py digits` and `… mnist` print a table: SimCLR, BYOL, a masked
autoencoder, a network from scratch with the same labels, pixels. MNIST's pictures are shrunk to
14 × 14; 54,000 to pretrain on, labels of 1, 5 and 10 % of them, all 10,000 test pictures. MNIST
must lie in the data home. `… loss` times the loss forwards and backwards, parity first; the peer
is `NTXentLoss.forward` of lightly (lightly/loss/ntx_ent_loss.py, without its memory bank and its
gathering over processes), re-stated here, for the package pulls in torchvision. `… five` compares
SimCLR's probe with the network from scratch at five labels of each class, digits, pair by pair,
with the settings of the lesson (300 batches of 64; 300 of 32): on 27 November 2026 .932 and .923 at
ten seeds, +.009 (95 % from -.008 to +.026).

27 November 2026. MNIST, five seeds, at 1, 5, 10 % of the labels: pixels .851, .885, .898; from
scratch .980, .987, .988; SimCLR .957, .971, .974; BYOL .919, .946, .951; masked autoencoder .862,
.911, .924. NT-Xent: 2.4 times as fast as lightly's at 128 pictures of 64 numbers, 1.8 times at 512
of 128, parity 1.7e-10 (one run, under load).
Run: OMP_NUM_THREADS=1 python benchmarks/selfsupervised.py digits|mnist|loss|five [seeds]
"""
import os
import sys
import time

os.environ.setdefault('OMP_NUM_THREADS', '1')

import torch
import torch.nn.functional as F
from harness import interleave

from dlcourse.core.datasets import load
from dlcourse.evaluation.runs import over_seeds
from dlcourse.paradigms.pretraining import train_byol, train_mae, train_simclr
from dlcourse.paradigms.selfsupervised import nt_xent
from dlcourse.paradigms.views import features_of, few_labels, linear_probe
from dlcourse.vision.digit_reader import share_right, train_digits, writer_halves

WAYS = {'SimCLR': train_simclr, 'BYOL': train_byol, 'masked autoencoder': train_mae}


def parts_of(name):
    "Training pictures and classes, test ones, and labels of each class by name"
    if name == 'digits': return (*writer_halves(), {'1 each': 1, '5 each': 5, '9 each': 9})
    train, _, test = load('mnist', split='official').tensors()
    def small(x): return F.avg_pool2d(x.view(-1, 1, 28, 28), 2)
    sizes = {'1 %': 54, '5 %': 270, '10 %': 540} # So many of each class
    return small(train.x), train.y, small(test.x), test.y, sizes


def judged(known, y, new, y_new, sizes, seed):
    return {name: linear_probe(known, y, few_labels(y, n, seed), new, y_new)
            for name, n in sizes.items()}


def table(name, seeds):
    x, y, x_test, y_test, sizes = parts_of(name)
    steps, few_steps = dict(digits=(600, 400), mnist=(500, 800))[name]
    def pretrained(train):
        def run(seed):
            began = time.process_time()
            model = train(x, seed, steps=steps)
            known, new = features_of(model, x), features_of(model, x_test)
            result = judged(known, y, new, y_test, sizes, seed)
            print(train.__name__, seed, result, f'{time.process_time() - began:.0f} s', flush=True)
            return result
        return run
    def scratch(seed):
        def right(n):
            rows = few_labels(y, n, seed)
            model = train_digits(x[rows], y[rows], seed, batch_size=min(len(rows), 64), width=16,
                                 steps=few_steps)
            return share_right(model, x_test, y_test)
        result = {name: right(n) for name, n in sizes.items()}
        print('scratch', seed, result, flush=True)
        return result
    def pixels(seed):
        return judged(x.flatten(1), y, x_test.flatten(1), y_test, sizes, seed)
    ways = {'pixels': pixels, 'from scratch': scratch}
    print(over_seeds(ways | {k: pretrained(f) for k, f in WAYS.items()}, seeds=range(seeds)))


def five(seeds, labels=5):
    x, y, x_test, y_test = writer_halves()
    def simclr(seed):
        model = train_simclr(x, seed, steps=300, batch_size=64)
        return linear_probe(features_of(model, x), y, few_labels(y, labels, seed),
                            features_of(model, x_test), y_test)
    def scratch(seed):
        rows = few_labels(y, labels, seed)
        model = train_digits(x[rows], y[rows], seed, batch_size=32, width=16, steps=300)
        return share_right(model, x_test, y_test)
    runs = over_seeds({'SimCLR': simclr, 'from scratch': scratch}, seeds=range(seeds))
    print(runs, runs.compare('SimCLR', 'from scratch'), sep='\n')


def as_lightly(out0, out1, temperature=.5):
    out0, out1 = F.normalize(out0, dim=1), F.normalize(out1, dim=1)
    n = len(out0)
    others = ~torch.eye(n, dtype=torch.bool)
    logits_00 = torch.einsum('nc,mc->nm', out0, out0)/temperature
    logits_01 = torch.einsum('nc,mc->nm', out0, out1)/temperature
    logits_10 = torch.einsum('nc,mc->nm', out1, out0)/temperature
    logits_11 = torch.einsum('nc,mc->nm', out1, out1)/temperature
    logits_00, logits_11 = logits_00[others].view(n, -1), logits_11[others].view(n, -1)
    logits = torch.cat([torch.cat([logits_01, logits_00], 1),
                        torch.cat([logits_10, logits_11], 1)])
    return F.cross_entropy(logits, torch.arange(n).repeat(2))


def loss(rounds=7, repeats=20):
    torch.set_num_threads(1)
    for n, dim in ((128, 64), (512, 128)):
        a, b = (torch.randn(n, dim, generator=torch.Generator().manual_seed(s)) for s in (0, 1))
        def timed(f, a=a, b=b):
            def run():
                for _ in range(repeats):
                    one, other = a.clone().requires_grad_(), b.clone().requires_grad_()
                    f(one, other).backward()
                return one.grad
            return run
        def apart(results): return float((results['ours'] - results['lightly']).abs().max())
        timing = interleave({'ours': timed(nt_xent), 'lightly': timed(as_lightly)}, same=apart,
                            within=1e-6, rounds=rounds)
        print(f'{n} pictures, {dim} numbers\n{timing}')
        print(f"lightly / ours: {timing.paired('lightly', 'ours'):.2f}")


if __name__ == '__main__':
    torch.set_num_threads(1)
    what, seeds = sys.argv[1], int((*sys.argv[2:], 5)[0])
    if what == 'loss': loss()
    elif what == 'five': five(seeds)
    else: table(what, seeds)
