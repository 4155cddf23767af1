"""Pictures of ten kinds from noise: a small U-Net trained by flow matching on CIFAR-10 on one GPU

Given minutes of training it keeps the weights and their running mean (EMA, a power profile as in
Karras et al. 2024), makes 10,000 pictures of given classes from each, and judges both: Fréchet
distance to the training pictures in the features of a CIFAR classifier trained in the same run
(benchmarks/cifar10.py) and, where its weights are in the data home, of EfficientNet-Lite0; beside
the floor, real test pictures against the training ones. These are our features: the numbers do not
compare with published FIDs, which come from another network. Also: how often the classifier sees
the class that was asked for, and how near what was made lies to training pictures.
Data: the pictures as JPEG, as benchmarks/cifar10.py reads them; no network is needed. Results are
written as they come: OUT/cifar10_diffusion.json, and OUT/cifar10_diffusion.png (a row for each
class; left half as learnt, right half guided).
Run: python benchmarks/cifar10_diffusion.py --out OUT [--minutes 4] [--data PATH] [--compile]
     python benchmarks/cifar10_diffusion.py --out OUT --smoke      (a minute on a CPU, made-up data)

27 November 2026, one NVIDIA H200, one seed, 3 minutes of training: 2,200 steps of 512 (23 epochs),
15.5 M parameters. 10,000 pictures, 50 Euler steps, no guidance. Fréchet distance in the features of
the classifier (it reads 89.7 % of the test pictures right; test against training pictures 1.48):
38.8 with the running mean, 64.4 with the last weights. The classifier sees the class asked for in
73.1 and in 63.1 %. Median distance to the nearest training picture 9.90 and 10.19, test pictures
9.49. Another run of the same seed, 2,160 steps: 41.8, class 72.0 % (running mean alone);
in EfficientNet-Lite0's features 55.8, test against training pictures 11.2.
"""
import argparse
import copy
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import cifar10
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlcourse.core.errors import InputError
from dlcourse.core.settings import settings
from dlcourse.foundations.optimizers import orthogonalize
from dlcourse.generative.judges import frechet_distance


@dataclass(frozen=True)
class Config:
    "Sizes; the defaults are for a GPU"
    base:int=96            # Channels of the first level
    widths:tuple=(1, 2, 2) # Of each level, in `base`
    blocks:int=2           # In each level, down and up
    heads:int=4            # Of attention, below the first level
    batch_size:int=512
    lr:float=1e-3          # Constant after the warm-up: the running mean does the settling
    warmup:int=300         # Steps
    drop:float=.1          # Share of labels hidden, for guidance
    gamma:float=6.94       # Of the running mean: its spread is a tenth of the run
    made:int=10_000        # Pictures to judge
    steps:int=50           # Of the sampler
    method:str='euler'     # Or `heun`: two calls a step
    chunk:int=1000         # Pictures sampled at once
    judge_widths:tuple=cifar10.WIDTHS
    judge_batch:int=cifar10.BATCH
    judge_epochs:int=cifar10.EPOCHS


SMOKE = Config(base=16, blocks=1, batch_size=32, warmup=10, made=60, steps=4, chunk=30,
               judge_widths=(8, 16, 16), judge_batch=50, judge_epochs=2)


# Network


class ChannelNorm(nn.Module):
    "Each pixel's channels to mean 0 and deviation 1"
    def forward(self, x):
        with torch.autocast(x.device.type, enabled=False): # Stays in bf16; summed in float32 inside
            return F.layer_norm(x.permute(0, 2, 3, 1), x.shape[1:2]).permute(0, 3, 1, 2)


class Residual(nn.Module):
    "Two convolutions that begin as nothing; time and class scale and shift what is between"
    def __init__(self, n:int, m:int, cond:int):
        super().__init__()
        self.norm, self.a = ChannelNorm(), nn.Conv2d(n, m, 3, padding=1)
        self.cond, self.b = nn.Linear(cond, 2*m), nn.Conv2d(m, m, 3, padding=1)
        self.skip = nn.Conv2d(n, m, 1) if n != m else nn.Identity()
        for part in (self.cond, self.b):
            nn.init.zeros_(part.weight)
            nn.init.zeros_(part.bias)

    def forward(self, x, c):
        h = self.a(F.silu(self.norm(x)))
        scale, shift = self.cond(c)[:, :, None, None].chunk(2, 1)
        return self.skip(x) + self.b(F.silu(self.norm(h)*(1 + scale) + shift))


class Look(nn.Module):
    "Every pixel attends to every pixel"
    def __init__(self, n:int, heads:int):
        super().__init__()
        self.heads, self.norm = heads, ChannelNorm()
        self.qkv, self.out = nn.Conv2d(n, 3*n, 1), nn.Conv2d(n, n, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x):
        b, n, h, w = x.shape
        rows = self.qkv(self.norm(x)).flatten(2).unflatten(1, (3, self.heads, n//self.heads))
        q, k, v = rows.transpose(-1, -2).unbind(1)
        seen = F.scaled_dot_product_attention(q.contiguous(), k.contiguous(), v.contiguous())
        return x + self.out(seen.transpose(-1, -2).reshape(b, n, h, w))


class Stage(nn.Module):
    "A residual block, and where the pictures are small a look around"
    def __init__(self, n:int, m:int, cond:int, heads:int):
        super().__init__()
        self.block, self.look = Residual(n, m, cond), Look(m, heads) if heads else nn.Identity()

    def forward(self, x, c): return self.look(self.block(x, c))


class UNet(nn.Module):
    "Noisy pictures, times and classes (10: not told) → velocities"
    def __init__(self, config:Config, classes:int=10):
        super().__init__()
        base, cond = config.base, 4*config.base
        self.register_buffer('rates', torch.exp(torch.linspace(0, math.log(1000), base//2)))
        self.time = nn.Sequential(nn.Linear(2*(base//2), cond), nn.SiLU(), nn.Linear(cond, cond))
        self.label = nn.Embedding(classes + 1, cond)
        self.enter, n, sizes = nn.Conv2d(3, base, 3, padding=1), base, [base]
        self.down, self.up = nn.ModuleList(), nn.ModuleList()
        for level, width in enumerate(config.widths):
            if level:
                self.down.append(nn.Conv2d(n, n, 3, 2, 1))
                sizes.append(n)
            for _ in range(config.blocks):
                self.down.append(Stage(n, width*base, cond, config.heads*(level > 0)))
                n = width*base
                sizes.append(n)
        self.middle = Stage(n, n, cond, config.heads)
        for level, width in reversed(list(enumerate(config.widths))):
            for _ in range(config.blocks + 1):
                heads = config.heads*(level > 0)
                self.up.append(Stage(n + sizes.pop(), width*base, cond, heads))
                n = width*base
            if level: self.up.append(nn.Conv2d(n, n, 3, padding=1))
        self.norm, self.leave = ChannelNorm(), nn.Conv2d(n, 3, 3, padding=1)
        nn.init.zeros_(self.leave.weight)

    def forward(self, x, t, y):
        angles = t[:, None]*self.rates
        c = F.silu(self.time(torch.cat([angles.sin(), angles.cos()], 1)) + self.label(y))
        h = self.enter(x)
        kept = [h]
        for part in self.down:
            h = part(h, c) if isinstance(part, Stage) else part(h)
            kept.append(h)
        h = self.middle(h, c)
        for part in self.up:
            if isinstance(part, Stage): h = part(torch.cat([h, kept.pop()], 1), c)
            else: h = part(F.interpolate(h, scale_factor=2., mode='nearest'))
        return self.leave(F.silu(self.norm(h)))


# Training


def fast(device): return torch.autocast(device.type, torch.bfloat16, enabled=device.type == 'cuda')


def loss_of(model, pictures:Tensor, labels:Tensor, drop:float)->Tensor:
    "Flow matching: the mean squared error of the velocity from noise to picture"
    x = pictures.permute(0, 3, 1, 2).float()/127.5 - 1
    x = torch.where(torch.rand(len(x), 1, 1, 1, device=x.device) < .5, x.flip(-1), x)
    x = x.contiguous(memory_format=torch.channels_last)
    y = torch.where(torch.rand(len(x), device=x.device) < drop, 10, labels)
    t, noise = torch.randn(len(x), device=x.device).sigmoid(), torch.randn_like(x)
    at = t[:, None, None, None]
    with fast(x.device): out = model(torch.lerp(noise, x, at), t, y)
    return (out.float() - (x - noise)).square().mean()


def train(config:Config, pictures:Tensor, labels:Tensor, seconds:float, compiled:bool, told:dict):
    "The network and its running mean after so many seconds (the first step, and compiling, apart)"
    device = pictures.device
    model = UNet(config).to(device, memory_format=torch.channels_last)
    mean = copy.deepcopy(model).requires_grad_(False)
    told |= dict(parameters=sum(p.numel() for p in model.parameters()), compiled=compiled)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, betas=(.9, .99),
                                  weight_decay=.01, fused=True)
    step_loss = torch.compile(loss_of) if compiled else loss_of
    losses, step, began = [], 0, time.perf_counter()
    while True:
        rows = torch.randint(len(pictures), (config.batch_size,), device=device)
        for group in optimizer.param_groups:
            group['lr'] = config.lr*min(1, (step + 1)/config.warmup)
        loss = step_loss(model, pictures[rows], labels[rows], config.drop)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.)
        optimizer.step()
        step += 1
        keep = (1 - 1/step)**(config.gamma + 1)
        torch._foreach_lerp_(list(mean.parameters()), [p.detach() for p in model.parameters()],
                             1 - keep)
        losses.append(loss.detach())
        if step == 1:
            losses[0].item() # Waits for the GPU
            told['first_step_s'], began = round(time.perf_counter() - began, 1), time.perf_counter()
        if step % 20 == 0:
            value = losses[-1].item()
            if not math.isfinite(value): raise SystemExit(f'the loss is {value} at step {step}')
            passed = time.perf_counter() - began
            if step % 500 == 0: print(f'step {step}, {passed:.0f} s, loss {value:.4f}', flush=True)
            if passed > seconds: break
    each = torch.stack(losses).cpu().tolist()
    told |= dict(steps=step, seconds=round(passed, 1), epochs=step*config.batch_size/len(pictures),
                 pictures_per_second=round(step*config.batch_size/passed),
                 loss_last_tenth=sum(each[-step//10:])/len(each[-step//10:]),
                 loss_curve=[round(v, 4) for v in each[::max(1, step//50)]])
    return model.eval(), mean.eval()


@torch.no_grad()
def made(model, labels:Tensor, config:Config, weight:float=1., seed:int=0)->Tensor:
    "Pictures of these classes as bytes [row, height, width, 3]"
    g, out = torch.Generator(labels.device).manual_seed(seed), []
    def velocity(x, t, y):
        with fast(x.device):
            if weight == 1: return model(x, t.expand(len(x)), y).float()
            both = torch.cat([y, torch.full_like(y, 10)])
            told, untold = model(torch.cat([x, x]), t.expand(2*len(x)), both).float().chunk(2)
        return untold + weight*(told - untold)
    times = torch.linspace(0, 1, config.steps + 1, device=labels.device)
    for y in labels.split(config.chunk):
        x = torch.randn(len(y), 3, 32, 32, generator=g, device=y.device)
        x = x.contiguous(memory_format=torch.channels_last)
        for t, after in zip(times, times[1:], strict=False):
            v = velocity(x, t, y)
            if config.method == 'heun': v = (v + velocity(x + (after - t)*v, after, y))/2
            x = x + (after - t)*v
        out.append(((x.clamp(-1, 1) + 1)*127.5).round().byte().permute(0, 2, 3, 1))
    return torch.cat(out)


# Judging


class Classifier:
    "benchmarks/cifar10.py's network: 94 % in eight epochs on a GPU"
    def __init__(self, data, config:Config, device):
        self.device = device
        self.kind = torch.float16 if device.type == 'cuda' else torch.float32
        (x, y), (x_test, y_test) = data['train'], data['test']
        self.net = cifar10.in_precision(cifar10.Net(config.judge_widths), device)
        cifar10.train(self.net, orthogonalize, cifar10.standardized(x, device, self.kind),
                      y.to(device), batch_size=config.judge_batch, epochs=config.judge_epochs,
                      whitened=min(cifar10.WHITENED, config.judge_epochs))
        self.net.eval()
        self.right = float((self(x_test)[1].cpu() == y_test.cpu()).float().mean())

    @torch.no_grad()
    def __call__(self, pictures:Tensor)->tuple[Tensor, Tensor]: # Features; classes
        features, classes = [], []
        for part in pictures.split(1000):
            x = cifar10.standardized(part, self.device, self.kind)
            h = F.max_pool2d(self.net.groups(F.gelu(self.net.whiten(x))), 3).flatten(1)
            features.append(h.float())
            classes.append(self.net.head(h).argmax(1))
        return torch.cat(features), torch.cat(classes)


def lite0_features(device):
    "Pooled features of EfficientNet-Lite0 at 128 pixels, or None where its weights are not"
    try:
        from dlcourse.vision.efficientnet import as_trained, lite0
        net = lite0().to(device, memory_format=torch.channels_last)
    except (InputError, ImportError, OSError) as e:
        print(f'EfficientNet-Lite0 left out: {e}', flush=True)
        return None
    @torch.no_grad()
    def features(pictures):
        out = []
        for part in pictures.split(500):
            x = part.to(device).permute(0, 3, 1, 2).float()
            x = F.interpolate(x, size=128, mode='bicubic', antialias=False).clamp(0, 255)
            with fast(device): out.append(net.features(as_trained(x)).mean((2, 3)).float())
        return torch.cat(out)
    return features


def nearest(made_:Tensor, known:Tensor)->float:
    "Median over pictures of the distance to the nearest known one, in features"
    apart = [torch.cdist(part, known).amin(1) for part in made_.split(500)]
    return float(torch.cat(apart).median())


# One run


def stand_in(seed:int=0)->dict:
    "Made-up pictures of ten colours, for the smoke size"
    g = torch.Generator().manual_seed(seed)
    colors = torch.randint(0, 256, (10, 3), generator=g)
    def part(n):
        y = torch.arange(n) % 10
        noise = torch.randint(-40, 41, (n, 32, 32, 3), generator=g)
        return (colors[y][:, None, None] + noise).clamp(0, 255).byte(), y
    return {'train': part(500), 'test': part(200)}


def grid(pictures:Tensor, path:Path):
    "Ten rows, one for each class"
    from PIL import Image
    columns = len(pictures)//10
    whole = pictures.cpu().reshape(10, columns, 32, 32, 3).permute(0, 2, 1, 3, 4)
    Image.fromarray(whole.reshape(320, 32*columns, 3).contiguous().numpy()).save(path)


class Run:
    "One run, which writes what it knows after each stage"
    def __init__(self, args, config:Config):
        self.args, self.config, self.began = args, config, time.perf_counter()
        self.device = torch.device('cuda' if torch.cuda.is_available() else 'cpu')
        args.out.mkdir(parents=True, exist_ok=True)
        name = torch.cuda.get_device_name(0) if self.device.type == 'cuda' else 'CPU'
        self.told = dict(device=name, torch=torch.__version__, date=time.strftime('%Y-%m-%d'),
                         smoke=args.smoke, seed=args.seed, config=asdict(config), stages={})

    def write(self, stage:str):
        self.told['stages'][stage] = round(time.perf_counter() - self.began, 1)
        text = json.dumps(self.told, indent=1) + '\n'
        (self.args.out/'cifar10_diffusion.json').write_text(text, encoding='utf-8')
        print(f"{self.told['stages'][stage]:.0f} s: {stage}", flush=True)

    def judges(self, data):
        "The classifier, and each set of features with those of training pictures"
        classifier = Classifier(data, self.config, self.device)
        self.told['classifier_right'] = classifier.right
        sees = {'classifier': lambda x: classifier(x)[0]}
        lite = None if self.args.smoke and not self.args.data else lite0_features(self.device)
        if lite: sees['efficientnet-lite0'] = lite
        real = {}
        for name, see in sees.items():
            real[name] = see(data['train'][0])
            floor = frechet_distance(see(data['test'][0]), real[name])
            self.told.setdefault('frechet', {})[name] = {'floor (test against train)': floor}
        return classifier, sees, real

    def all(self):
        args, config = self.args, self.config
        torch.manual_seed(args.seed)
        torch.backends.cudnn.benchmark = True
        if args.smoke and not args.data: data = stand_in()
        else: data = cifar10.read_cifar(args.data or settings().data_home/cifar10.ARCHIVE)
        self.write('data read')
        classifier, sees, real = self.judges(data)
        known = classifier(data['train'][0])[0]
        test = nearest(classifier(data['test'][0])[0], known)
        self.told['nearest training picture'] = {'test pictures': test}
        self.write('judges ready')
        pictures, labels = (t.to(self.device) for t in data['train'])
        model, mean = train(config, pictures, labels, 60*args.minutes, args.compile, self.told)
        self.write('trained')
        asked = torch.arange(config.made, device=self.device) % 10
        for name, net in {'ema': mean, 'last weights': model}.items():
            images = made(net, asked, config, seed=args.seed)
            for kind, see in sees.items():
                self.told['frechet'][kind][name] = frechet_distance(see(images), real[kind])
            features, classes = classifier(images)
            right = float((classes == asked).float().mean())
            self.told.setdefault('class as asked for', {})[name] = right
            self.told['nearest training picture'][name] = nearest(features, known)
            self.write(f'judged: {name}')
            if name == 'ema': self.picture(mean, images)

    def picture(self, mean, images):
        "Six of each class as learnt, six guided by a weight of 2"
        asked = torch.arange(60, device=self.device) % 10
        guided = made(mean, asked, self.config, 2., self.args.seed + 1)
        plain = [images[k:60:10] for k in range(10)]
        rows = [torch.cat([plain[k], guided[k::10]]) for k in range(10)]
        grid(torch.cat(rows), self.args.out/'cifar10_diffusion.png')


def main(argv:list[str]|None=None)->None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, required=True, help="folder of the results")
    parser.add_argument('--minutes', type=float, help="of training; 4, and .1 at the smoke size")
    parser.add_argument('--data', type=Path, help="archive or folder of JPEGs")
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--compile', action='store_true', help="compile the training step")
    parser.add_argument('--smoke', action='store_true', help="a small size that a CPU takes")
    args = parser.parse_args(argv)
    if not args.smoke and not torch.cuda.is_available():
        raise SystemExit("torch sees no GPU here; --smoke tries the machinery on a CPU")
    args.minutes = args.minutes or (.1 if args.smoke else 4)
    run = Run(args, SMOKE if args.smoke else Config())
    run.all()
    left_out = ('loss_curve', 'config')
    print(json.dumps({k: v for k, v in run.told.items() if k not in left_out}, indent=1))


if __name__ == '__main__': main()
