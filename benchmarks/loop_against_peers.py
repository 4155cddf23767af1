"""Train the same MLP and the same small CNN on digits with our loop, with a bare PyTorch loop and with Lightning, in one run

Every loop gets the same start, the same batches in the same order, in-memory tensors and the fused AdamW, and reports each epoch's training loss.
Parity first: the training loss of the last epoch must agree. Then CPU seconds of whole runs, interleaved, the best of several each, one thread.
Lightning gets its leanest mode, `barebones` (no logger, bar, checkpoint, summary or sanity check), and batches that are tensors already. It runs in its own
environment, which is made on first use: `python -m venv _out/lightning`, `pip install -r benchmarks/lightning.txt`; or name an interpreter that has it.
Run: OMP_NUM_THREADS=1 python benchmarks/loop_against_peers.py [--lightning PYTHON] [--rounds N]
"""
import argparse
import gc
import json
import logging
import os
import platform
import subprocess
import sys
import time
import warnings
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

HERE = Path(__file__).resolve().parent
EPOCHS = {'MLP': 40, 'CNN': 8}
BATCH = 32


def data():
    x, y = load_digits(return_X_y=True)
    return torch.tensor(x/16, dtype=torch.float32), torch.tensor(y)


def network(name):
    torch.manual_seed(0)
    if name == 'MLP': return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    return nn.Sequential(nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
                         nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 10))


def adamw(parameters): return torch.optim.AdamW(parameters, lr=1e-3, fused=True)


class Shuffled:
    "Batches of tensors in memory, in an order of their own: what the bare loop and Lightning are given"
    def __init__(self, x, y): self.x, self.y, self.generator = x, y, torch.Generator().manual_seed(0)
    def __len__(self): return -(-len(self.x)//BATCH)
    def __iter__(self):
        for rows in torch.randperm(len(self.x), generator=self.generator).split(BATCH): yield self.x.index_select(0, rows), self.y.index_select(0, rows)


def ours(name):
    from dlcourse.training.batches import Batches
    from dlcourse.training.callbacks import FitConfig
    from dlcourse.training.loop import fit
    model, batches = network(name), Batches(*data(), batch_size=BATCH)
    began = time.process_time()
    history = fit(model, batches, F.cross_entropy, FitConfig(epochs=EPOCHS[name], optimizer=adamw, progress=False, device='cpu'))
    return time.process_time() - began, history['train_loss']


def bare(name):
    model, batches, losses = network(name), Shuffled(*data()), []
    began = time.process_time()
    optimizer = adamw(model.parameters())
    for _ in range(EPOCHS[name]):
        total, rows = 0., 0
        for x, y in batches:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
            total += loss.detach()*len(y)
            rows += len(y)
        losses.append(float(total)/rows)
    return time.process_time() - began, losses


def lightning(name):
    import lightning as L
    for logger in ('lightning.pytorch', 'lightning.fabric'): logging.getLogger(logger).setLevel(logging.ERROR)

    class Module(L.LightningModule):
        def __init__(self):
            super().__init__()
            self.model, self.losses, self.total, self.rows = network(name), [], 0., 0

        def training_step(self, batch, _):
            x, y = batch
            loss = F.cross_entropy(self.model(x), y)
            self.total = self.total + loss.detach()*len(y)
            self.rows += len(y)
            return loss

        def on_train_epoch_end(self):
            self.losses.append(float(self.total)/self.rows)
            self.total, self.rows = 0., 0

        def configure_optimizers(self): return adamw(self.parameters())

    module, batches = Module(), Shuffled(*data())
    began = time.process_time()
    trainer = L.Trainer(max_epochs=EPOCHS[name], accelerator='cpu', barebones=True, use_distributed_sampler=False)
    trainer.fit(module, batches)
    return time.process_time() - began, module.losses


LOOPS = {'ours': ours, 'bare': bare, 'lightning': lightning}


def serve(loop):
    "One loop in a process of its own: reads a network's name on each line, answers with seconds and losses"
    warnings.simplefilter('ignore')
    torch.set_num_threads(1)
    answer, sys.stdout = sys.stdout, sys.stderr
    print(json.dumps([platform.python_version(), torch.__version__]), file=answer, flush=True)
    for line in sys.stdin:
        gc.collect()
        print(json.dumps(LOOPS[loop](line.strip())), file=answer, flush=True)


class Server:
    def __init__(self, loop, python):
        self.process = subprocess.Popen([python, __file__, '--serve', loop], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.versions = json.loads(self.process.stdout.readline())

    def run(self, name):
        print(name, file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        if not line: raise SystemExit('a loop broke off; its error stands above')
        return json.loads(line)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def interpreter():
    "A Python that has Lightning, in an environment of its own"
    folder = HERE.parent/'_out'/'lightning'
    python = folder/('Scripts/python.exe' if os.name == 'nt' else 'bin/python')
    if not (folder/'done').exists():
        print(f'making {folder} (once, a few minutes) …', file=sys.stderr)
        subprocess.run([sys.executable, '-m', 'venv', folder], check=True)
        subprocess.run([python, '-m', 'pip', 'install', '-q', '-r', HERE/'lightning.txt'], check=True)
        (folder/'done').touch()
    return str(python)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--lightning', metavar='PYTHON', help="an interpreter that has Lightning; 'none' leaves it out")
    parser.add_argument('--rounds', type=int, default=15)
    parser.add_argument('--serve', help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve: return serve(arguments.serve)
    servers = {'bare': Server('bare', sys.executable), 'ours': Server('ours', sys.executable)}
    if arguments.lightning != 'none': servers['lightning'] = Server('lightning', arguments.lightning or interpreter())
    for name, server in servers.items(): print(f'{name:10} Python {server.versions[0]}, torch {server.versions[1]}')
    for network in EPOCHS:
        losses = {name: server.run(network)[1] for name, server in servers.items()} # Also the warm-up
        apart = max(abs(a - b)/b for other in losses.values() for a, b in zip(other, losses['bare'], strict=True))
        if apart > 1e-5: raise SystemExit(f'no parity for the {network}: the losses differ by {apart:.1e}')
        seconds = {name: [] for name in servers}
        for round in range(arguments.rounds):
            order = list(servers) if round % 2 else list(servers)[::-1]
            for name in order: seconds[name].append(servers[name].run(network)[0])
        print(f'\n{network}: {EPOCHS[network]} epochs of 57 steps; training losses agree within {apart:.0e} (last: {losses["bare"][-1]:.4f})')
        least = min(seconds['bare'])
        for name, spent in seconds.items():
            ratios = sorted(a/b for a, b in zip(spent, seconds['bare'], strict=True))
            print(f'  {name:10} {min(spent):6.2f} CPU s   overhead {100*(ratios[len(ratios)//2] - 1):+6.1f} % (median of {len(spent)} rounds), '
                  f'{100*(min(spent)/least - 1):+.1f} % (best against best)')
    for server in servers.values(): server.close()


if __name__ == '__main__': main()
