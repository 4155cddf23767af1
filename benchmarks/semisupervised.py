"""The settings of the semi-supervised ways, tried on writers that the tables do not test on

`python benchmarks/semisupervised.py`: forty labels and a heap from four of the training writers,
tested on the three others; means of five draws of the labels (100 to 104).
"""
from statistics import fmean

import torch
import torch.nn.functional as F

from dlcourse.core.datasets import load
from dlcourse.paradigms.embeddings import neighbour_graph
from dlcourse.paradigms.few_labels import FewLabels, labelled_loss, right_share, strong, train_few
from dlcourse.paradigms.semisupervised import consistency_loss, propagate, pseudo_labels

DRAWS = range(100, 105)

def draw(seed):
    "Four labels a class from writers 0 to 3, their other digits, and digits of writers 4 to 6"
    digits = load('digits')
    x = torch.tensor(digits['images'].reshape(-1, 64)/16, dtype=torch.float32)
    y, writer = (torch.tensor(digits[name]).long() for name in ('labels', 'writers'))
    rows = (writer < 4).nonzero().flatten()
    rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))]
    chosen = torch.cat([rows[y[rows] == k][:4] for k in range(10)])
    rest, asked = rows[~torch.isin(rows, chosen)], (writer >= 4) & (writer < 7)
    return FewLabels(x[chosen], y[chosen], x[rest], y[rest], x[asked], y[asked])

def alone(data, seed, view=None, steps=300):
    g = torch.Generator().manual_seed(seed)
    return train_few(lambda model, step: labelled_loss(model, data, g, view), steps=steps,
                     seed=seed)

def fixmatch(data, seed, threshold=.6, weight=1., view=None):
    g = torch.Generator().manual_seed(seed)
    def loss(model, step):
        rows = data.more[torch.randperm(len(data.more), generator=g)[:200]]
        with torch.no_grad(): plain = model(rows)
        heap = consistency_loss(plain, model(strong(rows, g)), threshold)
        return labelled_loss(model, data, g, view) + weight*heap
    return train_few(loss, seed=seed)

def self_taught(data, seed, threshold=.9, steps=150):
    labels, believed = pseudo_labels(alone(data, seed)(data.more), threshold)
    x = torch.cat([data.x, data.more[believed > 0]])
    y = torch.cat([data.y, labels[believed > 0]])
    return train_few(lambda model, step: F.cross_entropy(model(x), y), steps=steps, seed=seed)

def spread(data, neighbours, alpha):
    "Over the labelled rows, the heap and the rows to be named"
    x = torch.cat([data.x, data.more, data.test_x])
    y = F.pad(data.y, (0, len(x) - len(data.y)), value=-1)
    found = propagate(neighbour_graph(x, neighbours), y, alpha).argmax(1)[-len(data.test_y):]
    return float((found == data.test_y).double().mean())

def tell(name, score):
    told = [score(draw(seed), seed) for seed in DRAWS]
    print(f'{name}: {fmean(told):.3f} ({min(told):.3f} to {max(told):.3f})', flush=True)

def judged(way, **how):
    return lambda data, seed: right_share(way(data, seed, **how), data.test_x, data.test_y)

def main():
    for neighbours in (3, 5, 8, 12):
        for alpha in (.5, .9, .99):
            tell(f'propagation, {neighbours} neighbours, alpha {alpha}',
                 lambda data, seed, n=neighbours, a=alpha: spread(data, n, a))
    for steps in (150, 300, 600):
        tell(f'alone, {steps} steps', judged(alone, steps=steps))
        tell(f'with strong views, {steps} steps', judged(alone, view=strong, steps=steps))
    for threshold in (.5, .7, .9, .95):
        tell(f'pseudo-labels from {threshold}', judged(self_taught, threshold=threshold))
    for threshold in (.4, .6, .8, .95):
        for view in (None, strong):
            tell(f'FixMatch from {threshold}, labelled rows {"strong" if view else "as they are"}',
                 judged(fixmatch, threshold=threshold, view=view))
    for weight in (.5, 2.): tell(f'FixMatch, weight {weight}', judged(fixmatch, weight=weight))

if __name__ == '__main__': main()
