"""The same MLP and the same small CNN trained by our loop, by a bare PyTorch loop and by Lightning

Every loop gets the same start, the same batches in the same order, in-memory tensors and the
fused AdamW, and reports each epoch's training loss; those must agree before anything is timed.
What is printed is the overhead over the bare loop that ran in the same process, in turn.
Lightning gets its leanest mode, `barebones` (no logger, bar, checkpoint, summary or sanity check),
and an environment of its own, which is made on first use from benchmarks/lightning.txt.
Run: OMP_NUM_THREADS=1 python benchmarks/loop_against_peers.py [--lightning PYTHON] [--rounds N]
"""
import argparse
import gc
import logging
import os
import subprocess
import sys
import warnings
from functools import partial
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')

import torch
from harness import interleave
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

HERE = Path(__file__).resolve().parent
EPOCHS = {'MLP': 40, 'CNN': 8}
BATCH = 32
PIXELS, DIGITS = load_digits(return_X_y=True)
X, Y = torch.tensor(PIXELS/16, dtype=torch.float32), torch.tensor(DIGITS)


def network(name):
    torch.manual_seed(0)
    if name == 'MLP': return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    def block(n, m): return nn.Conv2d(n, m, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)
    blocks = *block(1, 16), *block(16, 32)
    return nn.Sequential(nn.Unflatten(1, (1, 8, 8)), *blocks, nn.Flatten(), nn.Linear(128, 10))


def adamw(parameters, **_): return torch.optim.AdamW(parameters, lr=1e-3, fused=True)


class Shuffled:
    "Batches in an order of their own: what the bare loop and Lightning are given"
    def __init__(self): self.generator = torch.Generator().manual_seed(0)
    def __len__(self): return -(-len(X)//BATCH)
    def __iter__(self):
        for rows in torch.randperm(len(X), generator=self.generator).split(BATCH):
            yield X.index_select(0, rows), Y.index_select(0, rows)


def ours(name):
    from dlcourse.training.batches import Batches
    from dlcourse.training.callbacks import FitConfig
    from dlcourse.training.loop import fit
    config = FitConfig(epochs=EPOCHS[name], optimizer=adamw, progress=False, device='cpu')
    batches = Batches(X, Y, batch_size=BATCH)
    return fit(network(name), batches, F.cross_entropy, config)['train_loss']


def bare(name):
    model, batches, losses = network(name), Shuffled(), []
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
    return losses


def lightning(name):
    import lightning as L
    for logger in ('lightning.pytorch', 'lightning.fabric'):
        logging.getLogger(logger).setLevel(logging.ERROR)

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

    module = Module()
    trainer = L.Trainer(max_epochs=EPOCHS[name], accelerator='cpu', barebones=True,
                        use_distributed_sampler=False)
    trainer.fit(module, Shuffled())
    return module.losses


LOOPS = {'ours': ours, 'lightning': lightning}


def apart(losses):
    "The largest relative difference of any epoch's loss from the bare loop's"
    pairs = [zip(own, losses['bare'], strict=True) for own in losses.values()]
    return max(abs(a - b)/b for pair in pairs for a, b in pair)


def tidy(loop, name):
    gc.collect()
    return loop(name)


def measure(peer, rounds):
    "Print what a loop costs beside the bare one"
    warnings.simplefilter('ignore')
    torch.set_num_threads(1)
    for name, epochs in EPOCHS.items():
        print(f'\n{name}, {peer}, torch {torch.__version__}: {epochs} epochs of {len(Shuffled())} '
              f'steps')
        ways = {'bare': partial(tidy, bare, name), peer: partial(tidy, LOOPS[peer], name)}
        timing = interleave(ways, same=apart, within=1e-5, rounds=rounds)
        paired, best = timing.paired(peer, 'bare') - 1, timing.ratio(peer, 'bare') - 1
        print(timing)
        print(f'overhead {paired:+.1%} (median of rounds), {best:+.1%} (best against best)',
              flush=True)


def interpreter():
    "A Python that has Lightning, in an environment of its own"
    folder = HERE.parent/'_out'/'lightning'
    python = folder/('Scripts/python.exe' if os.name == 'nt' else 'bin/python')
    if not (folder/'done').exists():
        print(f'making {folder} (once, a few minutes) …', file=sys.stderr)
        subprocess.run([sys.executable, '-m', 'venv', folder], check=True)
        subprocess.run([python, '-m', 'pip', 'install', '-q', '-r', HERE/'lightning.txt'],
                       check=True)
        (folder/'done').touch()
    return str(python)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--lightning', metavar='PYTHON',
                        help="an interpreter that has it, or 'none'")
    parser.add_argument('--rounds', type=int, default=15)
    parser.add_argument('--peer', choices=LOOPS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer: return measure(arguments.peer, arguments.rounds)
    measure('ours', arguments.rounds)
    if arguments.lightning == 'none': return
    python = arguments.lightning or interpreter()
    again = [python, __file__, '--peer', 'lightning', '--rounds', str(arguments.rounds)]
    subprocess.run(again, check=True)


if __name__ == '__main__': main()
