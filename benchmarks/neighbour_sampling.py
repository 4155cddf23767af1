"""Two hops of neighbours from a generated graph: edges a second, and the memory of the process:
`python benchmarks/neighbour_sampling.py [--edges N]`"""
import argparse
import resource
import sys

import numpy as np
from harness import cpu_seconds, load, machine

from dlcourse.core.errors import need
from dlcourse.graphs.sampling import neighbours_of, sample_hops, scattered_graph


def memory():
    "The most this process ever held, in GB"
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most/2**(30 if sys.platform == 'darwin' else 20)


def parity():
    "Whole neighbourhoods are those of torch_geometric"
    torch, utils = need('torch', 'torch'), need('torch_geometric.utils', 'graphs')
    edges = scattered_graph(2000, 8000).unique(dim=1)
    asked = np.arange(0, 2000, 97)
    ours = sample_hops(neighbours_of(edges, 2000), asked, (2000, 2000), np.random.default_rng(0))
    theirs = utils.k_hop_subgraph(torch.from_numpy(asked), 2, edges)[0]
    if sorted(ours.nodes) != theirs.tolist(): raise SystemExit('no parity')
    print(f'parity: {len(theirs)} nodes around {len(asked)}, the same')


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--edges', type=int, default=10_000_000)
    parser.add_argument('--batches', type=int, default=20)
    asked = parser.parse_args()
    parity()
    n = asked.edges//10
    made, graph = cpu_seconds(lambda: scattered_graph(n, asked.edges))
    built, table = cpu_seconds(lambda graph=graph: neighbours_of(graph, n))
    rng, drawn, reached, spent = np.random.default_rng(0), 0, 0, 0.
    for _ in range(asked.batches):
        nodes = rng.choice(n, 1024, replace=False)
        seconds, got = cpu_seconds(lambda nodes=nodes: sample_hops(table, nodes, (10, 5), rng))
        drawn, reached = drawn + got.edges.shape[1], reached + len(got.nodes)
        spent += seconds
    print(f'{asked.edges:,} edges, {n:,} nodes: made in {made:.1f}, table in {built:.1f} CPU s')
    print(f'{asked.batches} batches of 1,024 nodes, fan-outs 10 and 5: {drawn/spent:,.0f} edges '
          f'and {asked.batches*1024/spent:,.0f} asked nodes a CPU second; '
          f'{reached/asked.batches:,.0f} nodes a batch')
    print(f'memory at most {memory():.2f} GB; load {load():.1f}; {machine()}')
    if memory() > 4: raise SystemExit('more than 4 GB')


if __name__ == '__main__': main()
