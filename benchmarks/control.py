"""DDPG, TD3 and SAC on the pendulum, ten seeds at once: `python benchmarks/control.py`

The settings are the lesson's, the same for all three; greedy returns from the same twenty starts
for every member, told for each. `--seed 1` draws other weights and other training worlds."""
import argparse

import numpy as np
from harness import cpu_seconds

from dlcourse.evaluation.runs import Runs
from dlcourse.reinforcement.control import ControlConfig, train_control
from dlcourse.reinforcement.motion import Pendulum


def greedy(agent, members:int):
    "The mean return of each member, without noise"
    env = Pendulum(20*members)
    env.reset(seed=1000)
    env.state = np.repeat(env.state[:, :20], members, 1)
    obs, total = env._observe(env.state), np.zeros(env.num_envs)
    for _ in range(env.max_steps):
        obs, reward, *_ = env.step(agent.act(obs))
        total += reward
    return total.reshape(20, members).mean(0)


def main(methods=('ddpg', 'td3', 'sac'), seed=0, members=10):
    for method in methods:
        config = ControlConfig(method=method)
        seconds, (agent, _) = cpu_seconds(
            lambda c=config: train_control(Pendulum(4*members), c, members=members, seed=seed))
        found = greedy(agent, members)
        value, low, high = Runs.of({'all': found}).iqm('all')
        print(f'{method}: median {np.median(found):.0f}, worst {found.min():.0f}, middle '
              f'{value:.0f} ({low:.0f} to {high:.0f}), {seconds:.0f} CPU s; by member '
              f'{found.round().astype(int).tolist()}', flush=True)


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('methods', nargs='*', default=['ddpg', 'td3', 'sac'])
    parser.add_argument('--seed', type=int, default=0)
    wanted = parser.parse_args()
    main(wanted.methods, wanted.seed)
