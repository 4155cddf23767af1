"""CIFAR-10 with 10, 50 and 250 labels a class: what a network that has seen ImageNet is worth

EfficientNet-Lite0 on pictures enlarged to 128 pixels, three seeds (which pictures, their order,
adapters), 1,500 test pictures that are the same for all. `features`: a logistic regression on the
last maps; `inner`: on those after block 15; `last`: the four blocks before it fine-tuned from
there; `lora`: adapters of rank 8 in them; `scratch`: a small convolutional network at 32 pixels,
with flips and shifts; `pixels`: a logistic regression on colours.
SST-2 likewise stands in fine_tuning.py. `peft` compares the correction with peft's, where it is:
on 27 November 2026, two cores under load, the answers were 0 apart, and twenty steps forwards and
backwards took .135 to .157 CPU seconds, peft's .139 to .157 (five rounds): as good as equal.
Needs the pictures under `cifar10_jpg` and `efficientnet-lite0` in the data home.
Run: OMP_NUM_THREADS=1 python benchmarks/transfer.py [ways] [sizes] [seeds]
such as `features,inner 10,50 0,1,2`, or `python benchmarks/transfer.py peft`, or `… textures`:
the lesson's waves and grain, read after blocks 3, 5, 10 and 15 at 32 and at 96 pixels.
27 November 2026, five seeds, 96 pixels: grain .924, .840, .614 and .538, waves .770, .816, .870 and
.772; 32 pixels: grain .810, .616, .602 and .608, waves .676, .712, .750 and .774.
`blocks`: which frozen blocks, read together, and which penalty, chosen on other training pictures:
28 November 2026, three seeds, 44 CPU seconds: with 10 labels blocks 14 and 15, .602 (.595 to .614);
with 50 the same, .697 (.685 to .708); with 250 blocks 10, 12 and 14, .755 (.753 to .758).
"""
import copy
import os
import sys

os.environ.setdefault('OMP_NUM_THREADS', '1')

import torch
import torch.nn.functional as F
from harness import cpu_seconds, interleave, machine
from torch import nn

from dlcourse.evaluation.intervals import told
from dlcourse.paradigms.cifar import cifar_home, enlarged, lite_maps, read_cifar
from dlcourse.paradigms.transfer import (
    LoRAConv,
    TransferConfig,
    few_of_each,
    fitted_head,
    guessed,
    transfer,
)
from dlcourse.vision.efficientnet import lite0

WAYS, SIZES, SEEDS = 'pixels,scratch,features,inner,last,lora', '10,50,250', '0,1,2'
POOL, TEST, FROM, TO = 500, 150, 11, 15


class Mean(nn.Module):
    "Maps to their means"
    def forward(self, x): return x.float().mean((2, 3))


class Half(nn.Module):
    "A part in bfloat16 by autocast, which keeps its weights"
    def __init__(self, part):
        super().__init__()
        self.part = part

    def forward(self, x):
        with torch.autocast('cpu', torch.bfloat16): return self.part(x)


@torch.inference_mode()
def stages(net, pictures):
    "Maps before block 11 in half precision; means after block 15 and of the last maps"
    maps, inner, last = [], [], []
    for part in pictures.split(50):
        with torch.autocast('cpu', torch.bfloat16):
            x = net.features(enlarged(part, 128), FROM)
            maps.append(x.bfloat16())
            for block in net.blocks[FROM:TO]: x = block(x)
            inner.append(x.float().mean((2, 3)))
            last.append(net.top(net.blocks[TO](x)).float().mean((2, 3)))
    return [torch.cat(t) for t in (maps, inner, last)]


def small_net():
    def layer(n, m): return [nn.Conv2d(n, m, 3, padding=1, bias=False), nn.BatchNorm2d(m),
                             nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layer(3, 32), *layer(32, 64), *layer(64, 128), nn.Dropout(.3),
                         nn.Flatten(), nn.Linear(2048, 10))


def scratch(x, y, seed):
    "A small network on moved and mirrored pictures"
    torch.manual_seed(seed)
    model = small_net().train()
    steps = 400 if len(x) < 1000 else 1200
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=.05, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, steps)
    for _ in range(steps):
        rows = torch.randint(len(x), (64,))
        at = torch.randint(9, (2,)).tolist()
        seen = F.pad(x[rows], [4]*4, 'reflect')[:, :, at[0]:at[0] + 32, at[1]:at[1] + 32]
        if torch.rand(()) < .5: seen = seen.flip(-1)
        optimizer.zero_grad()
        F.cross_entropy(model(seen), y[rows], label_smoothing=.1).backward()
        optimizer.step()
        schedule.step()
    return model


def tuned(way, net, maps, features, y, seed):
    "Blocks 11 to 15, or adapters in them, with a head that begins as the regression"
    body = [Half(block) for block in copy.deepcopy(net.blocks[FROM:TO])]
    model = nn.Sequential(*body, Mean(), fitted_head(features, y))
    config = TransferConfig(way='all' if way == 'last' else 'lora', decay=.7,
                            lr=1e-3 if way == 'last' else 3e-3, epochs=8 if len(y) > 400 else 12)
    return transfer(model, maps, y, config, seed)


def made(way, net, parts, rows, seed):
    "Accuracy on the test pictures"
    (x, maps, inner, last, y), (x_t, maps_t, inner_t, last_t, y_t) = parts
    x, maps, inner, last, y = (t[rows] for t in (x, maps, inner, last, y))
    if way == 'pixels':
        said = guessed(fitted_head(x.flatten(1), y, 1e-3), x_t.flatten(1))
    elif way == 'scratch': said = guessed(scratch(x, y, seed), x_t)
    elif way == 'features': said = guessed(fitted_head(last, y), last_t)
    elif way == 'inner': said = guessed(fitted_head(inner, y), inner_t)
    else: said = guessed(tuned(way, net, maps, inner, y, seed), maps_t)
    return (said == y_t).float().mean().item()


def prepared(net):
    "Pixels, stages and labels of the pool and of the test pictures"
    found = read_cifar(cifar_home(), POOL)
    def part(name, k):
        x, y = found[name]
        kept = torch.cat([(y == c).nonzero().flatten()[:k] for c in range(10)])
        return enlarged(x[kept], 32), *stages(net, x[kept]), y[kept]
    return part('train', POOL), part('test', TEST)


def corrections(conv, rank, alpha):
    "Ours and that of peft, around one convolution, with the same numbers"
    from peft import LoraConfig, get_peft_model
    ours = LoRAConv(copy.deepcopy(conv), rank, alpha)
    theirs = get_peft_model(nn.Sequential(conv), LoraConfig(r=rank, lora_alpha=alpha,
                                                            target_modules=['0']))
    layer = theirs.base_model.model[0]
    with torch.no_grad():
        ours.up.normal_()
        layer.lora_A['default'].weight.copy_(ours.down.weight)
        layer.lora_B['default'].weight.copy_(ours.up[:, :, None, None])
    return ours, theirs


def beside_peft():
    "A correction and peft's with the same numbers: how far apart, and how long each takes"
    torch.manual_seed(0)
    ours, theirs = corrections(nn.Conv2d(64, 128, 3, padding=1), 8, 16)
    x = torch.randn(16, 64, 16, 16)
    print('apart', (ours(x) - theirs(x)).abs().max().item())
    def step(model): return lambda: [model(x).square().mean().backward() for _ in range(20)]
    print(interleave(dict(ours=step(ours), peft=step(theirs)), rounds=5))


def stripes(n, period, rng):
    t, (turn, phase) = torch.arange(32.), 2*torch.pi*torch.rand(2, n, 1, 1, generator=rng)
    at = t[None, None]*turn.cos() + t[None, :, None]*turn.sin()
    return torch.sin(2*torch.pi*at/period + phase) + torch.randn(n, 32, 32, generator=rng)


def noise(n, size, rng): return size*torch.randn(n, 32, 32, generator=rng)


def textures(seeds=5, blocks=(3, 5, 10, 15), sides=(32, 96), n=100):
    "Twenty labels of each kind, new pictures for each seed: the share right, block by block"
    net = lite0()
    kinds = {'waves': (stripes, 2.5, 3.), 'grain': (noise, 1., 1.1)}
    for name, (make, *sizes) in kinds.items():
        def pictures(of_each, seed, make=make, sizes=sizes):
            rng = torch.Generator().manual_seed(seed)
            z = torch.cat([make(of_each, size, rng) for size in sizes])
            grey = (127 + 40*z).clamp(0, 255).byte()[..., None].expand(-1, -1, -1, 3)
            return grey, torch.arange(2*of_each)//of_each
        for side in sides:
            for block in blocks:
                rights = []
                for seed in range(seeds):
                    (x, y), (x_t, y_t) = pictures(20, seed), pictures(n//2, 1000 + seed)
                    with torch.no_grad():
                        z, z_t = (lite_maps(net, p, block, side).mean((2, 3)) for p in (x, x_t))
                    right = (guessed(fitted_head(z, y), z_t) == y_t).float().mean().item()
                    rights.append(right)
                print(name, f'{side} pixels, after block {block}: {told(rights)}', flush=True)


BLOCKS = '10 11 12 13 14 15 12+14 13+14 14+15 12+13+14 10+12+14'.split() # Read together


@torch.inference_mode()
def block_means(net, pictures, first=10, last=15):
    "Block → means of its maps"
    found = {b: [] for b in range(first, last + 1)}
    for part in pictures.split(50):
        with torch.autocast('cpu', torch.bfloat16):
            x = net.features(enlarged(part, 128), first)
            for b in found:
                x = net.blocks[b](x)
                found[b].append(x.float().mean((2, 3)))
    return {b: torch.cat(means) for b, means in found.items()}


def chosen_blocks(sizes=(10, 50, 250), seeds=3, penalties=(.003, .01)):
    "Frozen blocks, and a penalty, chosen on the pictures of the pool that no head has seen"
    torch.set_num_threads(1)
    net, found = lite0(), read_cifar(cifar_home(), POOL)
    (x, y), (x_t, y_t) = found['train'], found['test']
    kept = torch.cat([(y_t == c).nonzero().flatten()[:TEST] for c in range(10)])
    means, means_t, y_t = block_means(net, x), block_means(net, x_t[kept]), y_t[kept]
    def accuracy(head, x, y): return (guessed(head, x) == y).float().mean().item()
    for n in sizes:
        tried = []
        draws = [few_of_each(y, n, torch.Generator().manual_seed(s)) for s in range(seeds)]
        for name in BLOCKS:
            a, b = (torch.cat([m[int(i)] for i in name.split('+')], 1) for m in (means, means_t))
            for penalty in penalties:
                heads = [fitted_head(a[rows], y[rows], penalty) for rows in draws]
                rest = [torch.ones(len(y), dtype=bool).index_fill(0, rows, False) for rows in draws]
                valid = [accuracy(h, a[r], y[r]) for h, r in zip(heads, rest, strict=True)]
                tried.append((sum(valid), name, penalty, [accuracy(h, b, y_t) for h in heads]))
        valid, name, penalty, test = max(tried)
        print(f'{n}: blocks {name}, penalty {penalty}: {valid/seeds:.3f} on the rest of the pool, '
              f'{told(test)} on the test pictures', flush=True)


def main(ways, sizes, seeds):
    torch.set_num_threads(1)
    print(machine())
    net = lite0()
    took, parts = cpu_seconds(lambda: prepared(net))
    print(f'pictures through the network: {took:.0f} CPU s', flush=True)
    for n in sizes:
        for way in ways:
            rights, seconds = [], []
            for seed in seeds:
                rows = few_of_each(parts[0][-1], n, torch.Generator().manual_seed(seed))
                took, right = cpu_seconds(lambda: made(way, net, parts, rows, seed)) # noqa: B023
                rights.append(right)
                seconds.append(took)
            print(f'{n} {way}: {told(rights)}, {min(seconds):.1f} to {max(seconds):.1f} CPU s',
                  flush=True)


if __name__ == '__main__':
    if sys.argv[1:] == ['peft']: beside_peft()
    elif sys.argv[1:] == ['textures']: textures()
    elif sys.argv[1:] == ['blocks']: chosen_blocks()
    else:
        usual = [WAYS, SIZES, SEEDS]
        ways, sizes, seeds = [given.split(',') for given in
                              [*sys.argv[1:], *usual[len(sys.argv) - 1:]]]
        main(ways, [int(n) for n in sizes], [int(s) for s in seeds])
