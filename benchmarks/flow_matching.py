"""Flow matching on digits: our loop and sampler beside a plain loop, in one run, parity first

The plain loop is the usual one: a data set that gives a row at a time and a loader that collates
them, an optimizer that goes parameter by parameter, two calls of the network for guidance. Both
train the same network on the same rows, times and noise, and must end at the same weights; then
both are timed. Sampling: the same noise, 12 steps of Heun's method, guided by 1.5.
Run: python benchmarks/flow_matching.py [--steps 60] [--rounds 5]
"""
import argparse
import copy

import torch
from harness import interleave

from dlcourse.generative.denoisers import Denoiser, train_denoiser
from dlcourse.generative.diffusion import draw_digits, flow_loss, follow_
from dlcourse.generative.levels import digit_levels

SIZE, LR = 128, 2e-3


def ours(part, steps:int):
    "As `train_flow` does it"
    model = Denoiser(64, seed=0)
    mean, g, rows = copy.deepcopy(model), torch.Generator().manual_seed(0), part.signed
    def after(n): follow_(mean, model, min(.995, (1 + n)/(10 + n)))
    train_denoiser(model, lambda m: flow_loss(m, rows, part.labels, SIZE, g), steps, lr=LR,
                   fall=False, after=after)
    return mean


class Rows(torch.utils.data.Dataset):
    def __init__(self, part): self.x, self.y = part.signed, part.labels
    def __len__(self): return len(self.x)
    def __getitem__(self, i): return self.x[i], self.y[i]


class Drawn:
    "The batches that ours draws, with their hidden labels, times and noise"
    def __init__(self, n:int, steps:int):
        self.g, self.n, self.steps, self.rest = torch.Generator().manual_seed(0), n, steps, []
    def __iter__(self):
        for _ in range(self.steps):
            chosen = torch.randint(self.n, (SIZE,), generator=self.g)
            noise = torch.randn(SIZE, 64, generator=self.g)
            hidden = torch.rand(SIZE, generator=self.g) < .1
            self.rest.append((noise, hidden, torch.randn(SIZE, generator=self.g).sigmoid()))
            yield chosen.tolist()


def plain(part, steps:int):
    "The loop that one writes first"
    model = Denoiser(64, seed=0)
    mean, drawn = copy.deepcopy(model), Drawn(len(part), steps)
    loader = torch.utils.data.DataLoader(Rows(part), batch_sampler=drawn)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LR, betas=(.9, .99), weight_decay=0.,
                                  foreach=False)
    for step, (x, y) in enumerate(loader):
        noise, hidden, t = drawn.rest.pop(0)
        y = torch.where(hidden, 10, y)
        point = (1 - t[:, None])*noise + t[:, None]*x
        loss = ((model(point, t, y) - (x - noise))**2).mean()
        for group in optimizer.param_groups: group['lr'] = LR*min((step + 1)/51, 1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        keep = min(.995, (2 + step)/(11 + step))
        with torch.no_grad():
            for a, b in zip(mean.parameters(), model.parameters(), strict=True):
                a.copy_(keep*a + (1 - keep)*b)
    return mean


@torch.no_grad()
def plain_sample(model, y, weight:float=1.5, steps:int=12):
    x = torch.randn(len(y), 64, generator=torch.Generator().manual_seed(1))
    none = torch.full_like(y, 10)
    def velocity(x, t):
        t = torch.full((len(x),), t)
        told, untold = model(x, t, y), model(x, t, none)
        return untold + weight*(told - untold)
    for k in range(steps):
        t, h = k/steps, 1/steps
        here = velocity(x, t)
        x = x + h*(here + velocity(x + h*here, t + h))/2
    return x


def apart(results)->float:
    "Largest difference of weights, or of pictures"
    a, b = results.values()
    if isinstance(a, torch.Tensor): return float((a - b).abs().max())
    pairs = zip(a.parameters(), b.parameters(), strict=True)
    return max(float((p - q).detach().abs().max()) for p, q in pairs)


def main(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--steps', type=int, default=60)
    parser.add_argument('--rounds', type=int, default=5)
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    part = digit_levels().train
    print(f'training, {args.steps} steps of {SIZE}')
    timing = interleave({'plain': lambda: plain(part, args.steps),
                         'ours': lambda: ours(part, args.steps)}, same=apart, within=1e-3,
                        rounds=args.rounds)
    print(timing, f"\n{timing.paired('plain', 'ours'):.2f} times as fast (median of pairs)\n")
    model, y = ours(part, args.steps), torch.arange(400) % 10
    for n in (10, 400):
        print(f'sampling {n}, guided')
        timing = interleave({
            'plain': lambda n=n: plain_sample(model, y[:n]),
            'ours': lambda n=n: draw_digits(model, y[:n], torch.Generator().manual_seed(1),
                                            weight=1.5)}, same=apart, within=1e-3,
            rounds=args.rounds)
        print(timing, f"\n{timing.paired('plain', 'ours'):.2f} times as fast (median of pairs)\n")


if __name__ == '__main__': main()
