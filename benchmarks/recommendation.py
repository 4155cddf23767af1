"""LightGCN on LastFM: a setting chosen on a validation part, recall over seeds, and a training step
beside torch_geometric's, parity of scores with copied weights first: `python
benchmarks/recommendation.py [--steps] [--seeds N]`

27 November 2026, one thread, a quiet machine, four runs, parity 7.5e-9: torch_geometric's step
takes 17 to 19 times as long as ours by edges, as its own examples have it, and 3.5 to 3.9 times by
a sparse matrix; a plain loop of sparse products 3.7 to 4.2 times.
"""
import argparse

import numpy as np
import torch
from harness import cpu_seconds, interleave

from dlcourse.core.datasets import load
from dlcourse.core.errors import need
from dlcourse.graphs.edges import adjacency
from dlcourse.graphs.interactions import cut_pairs, draw_unseen, neighbour_weights, with_fallback
from dlcourse.graphs.recommendation import (
    LightGCN,
    RankerConfig,
    bpr_loss,
    ease_weights,
    ndcg_at,
    recall_at,
    top_items,
    train_ranker,
)

GRID = [(layers, l2, epochs) for layers in (2, 3) for l2 in (1e-3, 3e-3) for epochs in (60, 90)]


def judged(scores, train, test):
    "Recall and NDCG at 20, users without a past included"
    top = top_items(with_fallback(scores, train), train.table, 20)
    return tuple(float(np.nanmean(f(top, test.table))) for f in (recall_at, ndcg_at))


def trained(data, layers, l2, epochs, seed):
    "A LightGCN, and the CPU seconds it took"
    torch.manual_seed(seed)
    config = RankerConfig(epochs=epochs, l2=l2, batch_size=4096)
    seconds, scores = cpu_seconds(lambda: train_ranker(
        LightGCN(data, dim=64, layers=layers), data, config, seed).scores())
    return scores, seconds


def choose(train):
    "The setting with the highest recall on a tenth of the training pairs"
    rest, held = cut_pairs(train, .1)
    found = {}
    for setting in GRID:
        scores, seconds = trained(rest, *setting, seed=0)
        found[setting] = judged(scores, rest, held)[0]
        print(f'validation: layers, l2, rounds {setting}: {found[setting]:.4f}, {seconds:.1f} s')
    return max(found, key=found.get)


def recalls(train, test, seeds):
    "The chosen setting on the test part, beside the simple ways"
    x = train.table
    for name, weights in (('item-kNN 200', neighbour_weights(x, 200)),
                          ('EASE 200', ease_weights(x, 200.))):
        print(f'{name}: recall@20 %.4f, NDCG@20 %.4f' % judged(x @ weights, train, test))
    setting, found = choose(train), []
    for seed in range(seeds):
        scores, seconds = trained(train, *setting, seed)
        found.append(judged(scores, train, test))
        print(f'LightGCN {setting}, seed {seed}: recall@20 %.4f, NDCG@20 %.4f' % found[-1],
              f'in {seconds:.1f} CPU s')
    print('mean, least, most:', *(f(np.array(found)[:, 0]).round(4) for f in (np.mean, min, max)))


def steps(train, batch=2048, rounds=5):
    "One training step: ours, torch_geometric's by edges and by a sparse matrix, a plain loop"
    models = need('torch_geometric.nn.models', 'graphs')
    ours, n = LightGCN(train, dim=64, layers=3), train.users + train.items
    g = torch.Generator().manual_seed(0)
    at = torch.randperm(len(train), generator=g)[:batch]
    user, item = torch.from_numpy(train.user)[at], torch.from_numpy(train.item)[at]
    other = draw_unseen(torch.from_numpy(train.table), user, g)
    pairs = torch.cat([torch.stack([user, train.users + x]) for x in (item, other)], 1)

    def ours_step():
        positive, negative, _ = ours.pairs(user, item, other)
        ours.zero_grad()
        bpr_loss(positive, negative).backward()
        return torch.cat([positive, negative]).detach(), ours.vectors.grad.clone()

    def peer(edges):
        theirs = models.LightGCN(n, 64, 3)
        theirs.embedding.weight.data = ours.vectors.data.clone()
        def step():
            positive, negative = theirs(edges, edge_label_index=pairs).split(batch)
            theirs.zero_grad()
            (-(positive - negative).sigmoid().log().mean()).backward()
            return torch.cat([positive, negative]).detach(), theirs.embedding.weight.grad.clone()
        return step

    def loop():
        "LightGCN's formula, matrix by matrix as its authors' repository has it: COO, sparse.mm"
        table = ours.vectors.detach().clone().requires_grad_()
        layers = [table]
        for _ in range(3): layers.append(torch.sparse.mm(coo, layers[-1]))
        z = torch.stack(layers, 1).mean(1)
        scores = (z[pairs[0]]*z[pairs[1]]).sum(1)
        bpr_loss(*scores.split(batch)).backward()
        return scores.detach(), table.grad

    coo = ours.graph.matrix.to_sparse_coo().coalesce()
    ways = {'dlcourse': ours_step, 'torch_geometric, edges': peer(train.edges),
            'torch_geometric, sparse': peer(adjacency(train.edges, n)), 'BPR loop': loop}

    def apart(results):
        first = results['dlcourse']
        return max(float((a - b).abs().max()) for other in results.values()
                   for a, b in zip(first, other, strict=True))

    timing = interleave(ways, same=apart, within=1e-5, rounds=rounds)
    print(timing)
    for way in list(ways)[1:]: print(f'{way}: {timing.paired(way, "dlcourse"):.2f} times as long')


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--steps', action='store_true', help="only the training step")
    parser.add_argument('--seeds', type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    data = load('lastfm')
    steps(data['train'])
    if not asked.steps: recalls(data['train'], data['test'], asked.seeds)


if __name__ == '__main__': main()
