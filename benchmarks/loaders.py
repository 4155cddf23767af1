"""Rows from disk in shuffled batches: our `Stream` over mapped arrays and over Parquet, and torch's
`DataLoader` over the same mapped array, by its usual way and by its best one

The best way of the DataLoader is a `BatchSampler` as `sampler`, so that a whole batch is one index
into the map; its usual way fetches row by row. Parity first: all deliver every row once. Then each
way runs in turn, and once in a process of its own for its peak of anonymous memory (what a process
holds itself; pages of a mapped file can be given back) and of resident memory, less the start's.
`Stream` mixes rows within a window of blocks, the DataLoader all rows: that is what is traded.
Run: OMP_NUM_THREADS=1 python benchmarks/loaders.py [--rows N] [--rounds N]
"""
import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')

import numpy as np
import polars as pl
import torch
from harness import interleave
from torch.utils.data import BatchSampler, DataLoader, Dataset, RandomSampler

from dlcourse.data.streams import Stream, write_arrays

BATCH, WIDTH, BLOCK, WINDOW = 256, 32, 4096, 8


class Mapped(Dataset):
    "A row, or a batch of rows, of two mapped arrays"
    def __init__(self, folder):
        self.x, self.y = (np.load(folder/f'{name}.npy', mmap_mode='r') for name in 'xy')

    def __len__(self): return len(self.y)

    def __getitem__(self, rows):
        return torch.from_numpy(np.array(self.x[rows])), torch.from_numpy(np.array(self.y[rows]))


def batches_of(way, folder):
    if way == 'Stream, arrays':
        return Stream({name: folder/f'{name}.npy' for name in 'xy'}, batch_size=BATCH, block=BLOCK,
                      window=WINDOW)
    if way == 'Stream, Parquet':
        return Stream(folder/'rows.parquet', batch_size=BATCH, window=WINDOW)
    rows = Mapped(folder)
    order = RandomSampler(rows, generator=torch.Generator().manual_seed(0))
    if way == 'DataLoader, best':
        return DataLoader(rows, sampler=BatchSampler(order, BATCH, False), batch_size=None)
    return DataLoader(rows, sampler=order, batch_size=BATCH)


def read(way, folder):
    "Sum of labels and number of rows: each row has its own number as label"
    total, rows = 0, 0
    for _, y in batches_of(way, folder):
        total, rows = total + int(y.sum()), rows + len(y)
    return total, rows


def held(): # Anonymous and peak of resident memory, MB; nan where the system does not say
    status = Path('/proc/self/status')
    text = status.read_text() if status.is_file() else ''
    found = [re.search(rf'{name}:\s+(\d+) kB', text) for name in ('RssAnon', 'VmHWM')]
    return [int(m[1])/1024 if m else float('nan') for m in found]


def peak(way, folder):
    (anonymous, resident), most = held(), 0.
    for i, _ in enumerate(batches_of(way, folder)):
        if i % 20 == 0: most = max(most, held()[0])
    print(f'{most - anonymous:.0f} {held()[1] - resident:.0f}')


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--rows', type=int, default=1_000_000)
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--peak', nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.peak: return peak(asked.peak[0], Path(asked.peak[1]))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        x = np.random.default_rng(0).standard_normal((asked.rows, WIDTH), dtype=np.float32)
        y = np.arange(asked.rows)
        write_arrays(folder, x=x, y=y)
        table = pl.DataFrame(x, schema=[f'x{i}' for i in range(WIDTH)]).with_columns(y=y)
        table.write_parquet(folder/'rows.parquet', row_group_size=BLOCK)
        del x, table
        ways = ('Stream, arrays', 'Stream, Parquet', 'DataLoader, best', 'DataLoader, usual')
        def apart(found): return float(any(v != (int(y.sum()), len(y)) for v in found.values()))
        timing = interleave({way: lambda way=way: read(way, folder) for way in ways}, same=apart,
                            rounds=asked.rounds)
        print(timing)
        for way in ways:
            command = [sys.executable, __file__, '--peak', way, str(folder)]
            told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            own, resident = told.split()
            rate = asked.rows/timing.best(way)
            print(f'{way:<18} {rate:11,.0f} rows per CPU second; {own:>4} MB held, '
                  f'{resident:>4} MB resident at most')
        for way in ways[2:]:
            print(f'Stream over arrays is {timing.paired(way, ways[0]):.2f} times as fast as {way}')


if __name__ == '__main__': main()
