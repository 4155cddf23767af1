"""PPO for many seeds at once on a device: world, rollout, advantages and update in one CUDA graph

    python benchmarks/ppo_gpu.py               # on the GPU: eager, then the graph
    python benchmarks/ppo_gpu.py --smoke       # eager on the CPU, small

The recipe is that of `dlcourse.reinforcement.policies.PPOConfig` with one seed a slice of the first
axis: every matrix product is a batched one. Before anything is timed, the world in torch must move
as `CartPole` does in NumPy, and one step of the optimizer must be the one that autograd and
torch's Adam take. Printed are environment steps per second and returns reached over the seeds.

27 November 2026, one NVIDIA H200, torch 2.11, steps of the world a second: one seed 12 thousand
eager, 173 thousand as a graph (14.9 times); 64 seeds .61 and 6.7 million (11.0); 512 seeds 5.0 and
17.2 million (3.5). After 196,608 steps each, the last returns of all 512 seeds have a mean of 500;
that took 5.8 s. CPU jobs ran beside it on the machine's other cores.
"""
import argparse
import json
import math
import time

import numpy as np
import torch

from dlcourse.evaluation.runs import interquartile_mean
from dlcourse.reinforcement.environments import CartPole

LIMIT, EDGE, LEAN = 500, 2.4, 12*2*math.pi/360


def moved(state, actions):
    "The next state of CartPole, [4, …], and where the pole fell"
    _, speed, angle, turn = state
    cos, sin = angle.cos(), angle.sin()
    push = (20.*actions - 10. + .05*turn*turn*sin)/1.1
    bend = (9.8*sin - cos*push)/(.5*(4/3 - .1*cos*cos/1.1))
    state = state + .02*torch.stack([speed, push - .05*bend*cos/1.1, turn, bend])
    return state, (state[0].abs() > EDGE) | (state[2].abs() > LEAN)


class Net:
    "Perceptrons with tanh, one for each seed, on slices of a matrix of parameters"
    def __init__(self, flat, at, dims):
        seeds, self.layers = len(flat), []
        for inputs, outputs in zip(dims, dims[1:], strict=False):
            weight = flat[:, at:at + inputs*outputs].view(seeds, inputs, outputs)
            at += inputs*outputs
            bias = flat[:, at:at + outputs].view(seeds, 1, outputs)
            at += outputs
            self.layers.append((weight, bias))
        self.end, self.inputs = at, []

    def forward(self, x):
        "[seed, row, inputs] → [seed, row, outputs]"
        self.inputs = []
        for k, (weight, bias) in enumerate(self.layers):
            if k: x = x.tanh()
            self.inputs.append(x)
            x = torch.baddbmm(bias, x, weight)
        return x

    def backward(self, grad):
        "Gradients of all parameters, in their order, [seed, number]"
        found = []
        for k in reversed(range(len(self.layers))):
            found += [grad.sum(1), (self.inputs[k].mT @ grad).flatten(1)]
            if k: grad = (grad @ self.layers[k][0].mT)*(1 - self.inputs[k]**2)
        return torch.cat(found[::-1], 1)

    def initialize(self, gain):
        "Orthogonal, of the given gain at the end"
        for k, (weight, bias) in enumerate(self.layers):
            bias.zero_()
            for seed in range(len(weight)):
                fresh = torch.empty(weight.shape[1:])
                last = k == len(self.layers) - 1
                torch.nn.init.orthogonal_(fresh, gain if last else 2**.5)
                weight[seed].copy_(fresh)


class Agents:
    "As many agents as seeds, each with worlds of its own; all that changes stays in its memory"
    def __init__(self, seeds, worlds, steps, device, *, hidden=64, lr=2.5e-3, epochs=6,
                 minibatches=4, gamma=.98, lam=.9, clip=.2):
        self.shape, self.device = (seeds, worlds, steps), device
        self.epochs, self.minibatches = epochs, minibatches
        self.gamma, self.lam, self.clip, self.peak = gamma, lam, clip, lr
        numbers = 2*(4*hidden + hidden + hidden*hidden + hidden) + 3*hidden + 3
        self.flat = torch.zeros(seeds, numbers, device=device)
        self.policy = Net(self.flat, 0, (4, hidden, hidden, 2))
        self.critic = Net(self.flat, self.policy.end, (4, hidden, hidden, 1))
        assert self.critic.end == numbers
        self.policy.initialize(.01)
        self.critic.initialize(1.)
        self.mean, self.square = torch.zeros_like(self.flat), torch.zeros_like(self.flat)
        self.count, self.lr = torch.zeros((), device=device), torch.full((), lr, device=device)
        self.state = self.starts()
        self.clock = torch.zeros(seeds, worlds, device=device)
        self.ended, self.gained = (torch.zeros(seeds, device=device) for _ in range(2))

    def starts(self):
        seeds, worlds, _ = self.shape
        return .1*torch.rand(4, seeds, worlds, device=self.device) - .05

    def rollout(self):
        "Rows of [step, seed, world, …]: seen, done, log-probability, led to, fell, time was up"
        rows = []
        self.ended.zero_()
        self.gained.zero_()
        for _ in range(self.shape[2]):
            obs = self.state.movedim(0, -1)
            logp = self.policy.forward(obs).log_softmax(-1)
            action = (torch.rand_like(self.clock) < logp[..., 1].exp()).long()
            state, fell = moved(self.state, action.float())
            self.clock += 1
            late = ~fell & (self.clock >= LIMIT)
            over = fell | late
            rows.append((obs.clone(), action, logp.gather(-1, action[..., None])[..., 0],
                         state.movedim(0, -1), fell, late))
            self.ended += over.sum(1)
            self.gained += (self.clock*over).sum(1)
            self.state.copy_(torch.where(over, self.starts(), state))
            self.clock *= ~over
        return [torch.stack(column) for column in zip(*rows, strict=True)]

    def advantages(self, obs, after, fell, late):
        "Generalized advantages and values, [step, seed, world]"
        def values(x):
            x = x.transpose(0, 1)
            return self.critic.forward(x.flatten(1, 2)).view(x.shape[:-1]).transpose(0, 1)
        value = values(obs)
        delta = 1 + self.gamma*values(after)*~fell - value
        carry, found, last = self.gamma*self.lam*~(fell | late), [], torch.zeros_like(delta[0])
        for t in reversed(range(len(delta))):
            last = delta[t] + carry[t]*last
            found.append(last)
        return torch.stack(found[::-1]), value

    def gradient(self, obs, action, old, advantage, target):
        "Of PPO's loss, [seed, number]; all rows are [seed, row, …]"
        advantage = advantage - advantage.mean(1, keepdim=True)
        advantage = advantage/(advantage.std(1, keepdim=True, correction=0) + 1e-8)
        every = self.policy.forward(obs).log_softmax(-1)
        ratio = (every.gather(-1, action[..., None])[..., 0] - old).exp()
        counts = torch.where(advantage > 0, ratio < 1 + self.clip, ratio > 1 - self.clip)
        weight = (counts*ratio*advantage)[..., None]/obs.shape[1]
        onehot = torch.stack([1 - action, action], -1)
        of_policy = self.policy.backward(weight*(every.exp() - onehot))
        error = self.critic.forward(obs)[..., 0] - target
        return torch.cat([of_policy, self.critic.backward(error[..., None]/obs.shape[1])], 1)

    def step(self, grad):
        "Adam, after each seed's gradient was cut to a length of .5"
        grad = grad*(.5/grad.norm(dim=1, keepdim=True).clamp_min(1e-9)).clamp(max=1)
        self.count += 1
        self.mean.lerp_(grad, .1)
        self.square.mul_(.999).addcmul_(grad, grad, value=.001)
        size = (self.square/(1 - .999**self.count)).sqrt() + 1e-5
        self.flat.sub_(self.lr/(1 - .9**self.count)*self.mean/size)

    @torch.no_grad()
    def update(self):
        "A rollout, and all that is learnt from it"
        obs, action, old, after, fell, late = self.rollout()
        advantage, value = self.advantages(obs, after, fell, late)
        def by_seed(x): return x.transpose(0, 1).flatten(1, 2)
        columns = [by_seed(x) for x in (obs, action, old, advantage, advantage + value)]
        rows = columns[1].shape[1]
        for _ in range(self.epochs):
            order = torch.rand(self.shape[0], rows, device=self.device).argsort(1)
            for part in order.chunk(self.minibatches, 1):
                wide = part[..., None].expand(-1, -1, 4)
                self.step(self.gradient(columns[0].gather(1, wide),
                                        *(column.gather(1, part) for column in columns[1:])))


def check(device):
    "The world against NumPy's, the gradient against autograd's"
    env, rng = CartPole(16), np.random.default_rng(0)
    obs, _ = env.reset(seed=0)
    state = torch.tensor(env.state, device=device)
    for _ in range(8):
        actions = rng.integers(0, 2, 16)
        state, _ = moved(state, torch.tensor(actions, device=device).double())
        env.step(actions)
        gap = float(np.abs(state.cpu().numpy() - env.state).max())
        assert gap < 1e-12, gap
    agents = Agents(2, 4, 8, device)
    g = torch.Generator().manual_seed(0)
    rows = [torch.randn(2, 32, 4, generator=g), torch.randint(0, 2, (2, 32), generator=g),
            *(torch.randn(2, 32, generator=g)*s for s in (.1, 1., 1.))]
    rows[2] -= math.log(2)
    obs, action, old, advantage, target = (x.to(device) for x in rows)
    got = agents.gradient(obs, action, old, advantage, target)
    agents.flat.requires_grad_()
    net = [Net(agents.flat, 0, (4, 64, 64, 2)), None]
    net[1] = Net(agents.flat, net[0].end, (4, 64, 64, 1))
    adv = advantage - advantage.mean(1, keepdim=True)
    adv = adv/(adv.std(1, keepdim=True, correction=0) + 1e-8)
    logp = net[0].forward(obs).log_softmax(-1).gather(-1, action[..., None])[..., 0]
    ratio = (logp - old).exp()
    loss = -torch.minimum(ratio*adv, ratio.clamp(.8, 1.2)*adv).mean(1)
    loss = loss + .5*(net[1].forward(obs)[..., 0] - target).square().mean(1)
    want, = torch.autograd.grad(loss.sum(), agents.flat)
    gap = float((got - want).abs().max())
    assert gap < 1e-4, gap
    print(f"parity: the world moves as NumPy's; gradients {gap:.1e} from autograd's")


def run(agents, updates, advance, sync):
    "Train; steps per second, and each seed's mean return of the last episodes"
    sync()
    start, curve = time.perf_counter(), []
    for k in range(updates):
        agents.lr.fill_(agents.peak*(1 - k/updates))
        advance()
        curve.append((agents.gained.clone(), agents.ended.clone()))
    sync()
    seconds = time.perf_counter() - start
    gained, ended = (torch.stack(x[-8:]) for x in zip(*curve, strict=True))
    returns = (gained.sum(0)/ended.sum(0).clamp_min(1)).cpu().numpy()
    total = math.prod(agents.shape)*updates
    return dict(seconds=round(seconds, 3), steps=total, per_second=round(total/seconds),
                median=round(float(np.median(returns)), 1), worst=round(float(returns.min()), 1),
                middle_half=round(interquartile_mean(returns), 1))


def captured(agents):
    "One update as a CUDA graph, after three on a side stream"
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3): agents.update()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph): agents.update()
    return graph.replay


def main():
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--smoke', action='store_true', help='eager on the CPU, small')
    parser.add_argument('--seeds', type=int, nargs='+', default=[1, 64, 512])
    options = parser.parse_args()
    cuda = torch.cuda.is_available() and not options.smoke
    device = 'cuda' if cuda else 'cpu'
    torch.manual_seed(0)
    check(device)
    print(f'torch {torch.__version__}, {torch.cuda.get_device_name() if cuda else "CPU"}')
    if not cuda:
        agents = Agents(2, 8, 32, device)
        print(json.dumps(dict(way='eager', seeds=2) |
                         run(agents, 12, agents.update, lambda: None)))
        return
    for seeds in options.seeds:
        for way in ('eager', 'graph'):
            torch.manual_seed(1)
            agents = Agents(seeds, 32, 64, device)
            # Warm-up trains a little: the graph's agents have three updates more, counted apart
            if way == 'eager': agents.update()
            advance = captured(agents) if way == 'graph' else agents.update
            # Eager long enough to time it; the graph learns the whole task
            updates = 8 if way == 'eager' else 96
            found = run(agents, updates, advance, torch.cuda.synchronize)
            print(json.dumps(dict(way=way, seeds=seeds) | found), flush=True)


if __name__ == '__main__': main()
