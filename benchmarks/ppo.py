"""PPO on CartPole: seconds until a hundred episodes have a mean of 475, beside two peers in one run

    python benchmarks/ppo.py                 # ours at ten seeds, CleanRL's logic; SB3 where it is
    python benchmarks/ppo.py details         # each detail switched off in turn, ten seeds each
    python benchmarks/ppo.py details 'λ = 1' # … or some of them

The task is the same for all: CartPole-v1, the training return of the last hundred episodes that
ended, actions drawn. CPU seconds of one thread, of the process. Stable-Baselines3 (MIT) runs with
the preset that RL Baselines3 Zoo tuned for CartPole: 8 environments, 32 steps, batches of 256, 20
epochs, γ .98, λ .8, a rate of 1e-3 and a clip of .2, both falling in a straight line, 100,000
steps. CleanRL (MIT) cannot be imported as a library; `cleanrl` below restates the logic and the
defaults of its `cleanrl/ppo.py` (Huang et al. 2022): 4 environments of Gymnasium, 128 steps, 4
epochs of 4 minibatches, a rate of 2.5e-4 falling over 500,000 steps, GAE with γ .99 and λ .95, an
entropy bonus of .01, clipped values, and a step of at most .5. Where a run is not done after 25
times our median it is cut, and counts as at least that.

27 November 2026, two machines. Two cores under load (torch 2.13): ours .90 CPU s in the median and
1.26 at most, 10 of 10 seeds, 88,064 steps, greedy 500 throughout; Stable-Baselines3 17.8 times as
long (3 of 3 solved); CleanRL's logic cut at 26 times for two of three seeds. Sixteen cores, 28 runs
side by side (torch 2.11): ours 1.4 and 2.0; Stable-Baselines3 20.9, 21.7, 23.9 (15 times);
CleanRL's logic, not cut, 52, 59 and 70 after 219 to 285 thousand steps (41 times).
"""
import sys
import time
from dataclasses import replace
from statistics import median

import numpy as np
import torch
from harness import load, machine

from dlcourse.reinforcement.environments import CartPole, episode_returns
from dlcourse.reinforcement.policies import PPOConfig, train_ppo

GOAL, SEEDS = 475, range(10)


def ours(seed):
    "CPU seconds, steps, and a greedy evaluation"
    start = time.process_time()
    model, history = train_ppo(CartPole, PPOConfig(stop_at=GOAL), seed)
    seconds = time.process_time() - start
    greedy = episode_returns(CartPole(100), model.act, 100, seed=1000 + seed).mean()
    solved = history[-1].recent >= GOAL
    return seconds if solved else np.inf, history[-1].steps, greedy


def sb3(seed, limit):
    "CPU seconds and steps of Stable-Baselines3, its tuned preset"
    from stable_baselines3 import PPO
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env

    class Stop(BaseCallback):
        def __init__(self):
            super().__init__()
            self.returns, self.start, self.solved = [], time.process_time(), False

        def _on_step(self):
            for info in self.locals['infos']:
                if 'episode' in info: self.returns.append(info['episode']['r'])
            self.solved = len(self.returns) >= 100 and np.mean(self.returns[-100:]) >= GOAL
            return not self.solved and time.process_time() - self.start < limit

    stop = Stop()
    model = PPO('MlpPolicy', make_vec_env('CartPole-v1', 8, seed=seed), n_steps=32, batch_size=256,
                n_epochs=20, gamma=.98, gae_lambda=.8, ent_coef=0., seed=seed, device='cpu',
                learning_rate=lambda left: left*1e-3, clip_range=lambda left: left*.2)
    stop.start = time.process_time()
    model.learn(100_000, callback=stop)
    return time.process_time() - stop.start, model.num_timesteps, stop.solved


def cleanrl(seed, limit):
    "CPU seconds and steps of the logic of CleanRL's ppo.py (github.com/vwxyzjn/cleanrl)"
    import gymnasium as gym
    from torch import nn
    from torch.distributions import Categorical

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    envs = gym.vector.SyncVectorEnv(
        [lambda: gym.wrappers.RecordEpisodeStatistics(gym.make('CartPole-v1'))]*4,
        autoreset_mode=gym.vector.AutoresetMode.SAME_STEP)

    def layer(inputs, outputs, std=2**.5):
        linear = nn.Linear(inputs, outputs)
        nn.init.orthogonal_(linear.weight, std)
        nn.init.constant_(linear.bias, 0.)
        return linear

    critic = nn.Sequential(layer(4, 64), nn.Tanh(), layer(64, 64), nn.Tanh(), layer(64, 1, 1.))
    actor = nn.Sequential(layer(4, 64), nn.Tanh(), layer(64, 64), nn.Tanh(), layer(64, 2, .01))
    parameters = [*critic.parameters(), *actor.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=2.5e-4, eps=1e-5)
    steps, n, updates = 128, 4, 500_000//512
    obs = torch.zeros(steps, n, 4)
    actions, logps, rewards, dones, values = (torch.zeros(steps, n) for _ in range(5))
    start, returns, done = time.process_time(), [], torch.zeros(n)
    now = torch.tensor(envs.reset(seed=seed)[0])
    for update in range(updates):
        optimizer.param_groups[0]['lr'] = (1 - update/updates)*2.5e-4
        for t in range(steps):
            obs[t], dones[t] = now, done
            with torch.no_grad():
                choice = Categorical(logits=actor(now))
                action = choice.sample()
                values[t], logps[t] = critic(now).flatten(), choice.log_prob(action)
            actions[t] = action
            came, reward, ended, cut, infos = envs.step(action.numpy())
            rewards[t] = torch.tensor(reward)
            now, done = torch.tensor(came), torch.tensor(ended | cut).float()
            if 'final_info' in infos:
                final = infos['final_info']
                returns += final['episode']['r'][final['_episode']].tolist()
            solved = len(returns) >= 100 and np.mean(returns[-100:]) >= GOAL
            if solved or time.process_time() - start > limit:
                return time.process_time() - start, (update*steps + t + 1)*n, solved
        with torch.no_grad():
            after, last, advantages = critic(now).flatten(), 0., torch.zeros(steps, n)
            for t in reversed(range(steps)):
                going = 1 - (done if t == steps - 1 else dones[t + 1])
                to_come = after if t == steps - 1 else values[t + 1]
                delta = rewards[t] + .99*to_come*going - values[t]
                advantages[t] = last = delta + .99*.95*going*last
            targets = advantages + values
        flat = [x.reshape(-1, *x.shape[2:]) for x in (obs, actions, logps, advantages, targets,
                                                      values)]
        for _ in range(4):
            order = torch.from_numpy(rng.permutation(512))
            for part in order.split(128):
                o, a, old, adv, target, before = (x[part] for x in flat)
                choice, value = Categorical(logits=actor(o)), critic(o).flatten()
                ratio = (choice.log_prob(a) - old).exp()
                adv = (adv - adv.mean())/(adv.std() + 1e-8)
                policy_loss = torch.max(-adv*ratio, -adv*ratio.clamp(.8, 1.2)).mean()
                near = before + (value - before).clamp(-.2, .2)
                worse = torch.max((value - target)**2, (near - target)**2)
                loss = policy_loss - .01*choice.entropy().mean() + .5*.5*worse.mean()
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(parameters, .5)
                optimizer.step()
    return time.process_time() - start, updates*512, False


DETAILS = {
    'all as it is': {}, 'no clip': dict(clip=None), 'one epoch': dict(epochs=1),
    'advantages not normalized': dict(normalize=False), 'rate does not fall': dict(anneal=False),
    'clock taken for a fall': dict(bootstrap=False), 'λ = 1': dict(gae_lambda=1.),
    'λ = 0': dict(gae_lambda=0.), 'γ = .99': dict(gamma=.99),
    'gradient as long as it is': dict(max_grad_norm=None),
    'weights as torch draws them': dict(orthogonal=False),
    'last layer not small': dict(gain=1.), "Adam's ε 1e-8": dict(adam_eps=1e-8),
    'values clipped at .2': dict(value_clip=.2), 'entropy bonus .01': dict(entropy=.01),
    'one minibatch': dict(minibatches=1), '4 worlds of 512 steps': dict(num_envs=4, num_steps=512),
}


def details(names, steps=100_000):
    "A row for each detail: training return and greedy evaluation after so many steps"
    from dlcourse.evaluation.runs import bootstrap_runs, interquartile_mean
    print(f'after {steps:,} steps, ten seeds: interquartile mean [95 %], median, worst', flush=True)
    for name in names or DETAILS:
        change = DETAILS[name]
        trained, greedy, solved = [], [], []
        for seed in SEEDS:
            config = replace(PPOConfig(total_steps=steps), **change)
            model, history = train_ppo(CartPole, config, seed)
            trained.append(history[-1].recent)
            greedy.append(episode_returns(CartPole(50), model.act, 50, seed=1000 + seed).mean())
            solved.append(any(m.recent >= GOAL for m in history))
        low, high = bootstrap_runs(trained)
        print(f'{name:<28} {interquartile_mean(trained):5.0f} [{low:3.0f}, {high:3.0f}] '
              f'{median(trained):4.0f} {min(trained):4.0f}   greedy {median(greedy):4.0f} '
              f'{min(greedy):4.0f}   {sum(solved):2d} of 10 solved', flush=True)


def told(name, seconds, steps, solved):
    count = f'{sum(solved)} of {len(solved)} solved'
    print(f'{name:<16} median {median(seconds):7.2f} CPU s, worst {max(seconds):7.2f}, '
          f'steps {int(median(steps)):7,}, {count}', flush=True)


def main():
    torch.set_num_threads(1)
    before = load()
    seconds, steps, greedy = zip(*map(ours, SEEDS), strict=True)
    told('ours', seconds, steps, [s < np.inf for s in seconds])
    print(f'{"":<16} greedy evaluation: median {median(greedy):.1f}, worst {min(greedy):.1f}')
    limit = 25*median(seconds)*1.05
    peers = {'CleanRL, logic of': (cleanrl, limit, range(3))}
    try:
        import stable_baselines3  # noqa: F401
        peers = {'SB3, tuned': (sb3, 300., range(3)), **peers}
    except ImportError: print('SB3 is not here: pip install --no-deps stable-baselines3')
    for name, (run, most, seeds) in peers.items():
        rows = [run(seed, most) for seed in seeds]
        taken, counted, solved = zip(*rows, strict=True)
        told(name, taken, counted, solved)
        ratios = median(taken)/median(seconds)
        print(f'{"":<16} {ratios:.1f} times our median' + ('' if all(solved) else
              ', at least: a run that was not done was cut'), flush=True)
    print(f'load {before:.1f} before, {load():.1f} after; {machine()}')


if __name__ == '__main__':
    if sys.argv[1:2] == ['details']: details(sys.argv[2:])
    else: main()
