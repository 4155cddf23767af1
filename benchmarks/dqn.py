"""DQN on CartPole: ten seeds of the recipe, what each part of it is for, a peer, and the steps

python benchmarks/dqn.py seeds [FIRST]  ten seeds: CPU seconds, mean of 100 returns, greedy returns
python benchmarks/dqn.py parts [COUNT [NAME …]] five seeds, or COUNT, with one part out or in
python benchmarks/dqn.py triad          ten seeds of target network × number of steps
python benchmarks/dqn.py short          ten seeds, ended after 50,000 steps as the peer is
python benchmarks/dqn.py peer [SEED …]  Stable-Baselines3's tuned preset, where it is installed
python benchmarks/dqn.py steps          environment steps per CPU second against Gymnasium's

27 November 2026. Ten seeds on two cores under load: 10 solved, median 4.9 CPU s, worst 9.8, greedy
500 in the median and 494.7 at worst. On sixteen cores with 21 runs side by side: 10 solved, median
10.2, worst 16.3, greedy 498 at worst; Stable-Baselines3's preset, seeds 0 to 2: 92 to 98 CPU s,
best mean of a hundred training returns 235 to 281, greedy 500 each time. What five seeds show of
each part is in the lesson. Ended after 50,000 steps (28 November 2026, two cores under load):
greedy 390 in the median, 202 at worst, 2.4 CPU s, none solved. Steps at N = 64: 20.7 and 21.8 times
the sync vector's, 1.8 and 1.9 times the vector entry point's (medians of pairs, two machines).
"""
import sys
from functools import partial
from statistics import median

import numpy as np
import torch
from harness import cpu_seconds, interleave, load, machine

from dlcourse.evaluation.runs import bootstrap_runs, interquartile_mean
from dlcourse.reinforcement.dqn import cartpole_recipe, train_dqn
from dlcourse.reinforcement.environments import CartPole, episode_returns

PARTS = {
    'the whole recipe': {},
    'no target network': dict(target_every=None),
    'no target network, 1 step': dict(target_every=None, n_step=1),
    '1 step': dict(n_step=1),
    'not double': dict(double=False),
    'rewards not scaled': dict(scale_rewards=False),
    'observations not scaled': dict(obs_scale=None),
    'squared error': dict(huber=False),
    'no clipping': dict(clip=None),
    'learning rate does not fall': dict(final_lr=1e-3),
    'replay of 1,000': dict(capacity=1_000),
    'time limit taken for an end': dict(time_limit_ends=True),
    'dueling': dict(dueling=True),
    'prioritized': dict(prioritized=True),
    'textbook: all of these out': dict(
        n_step=1, double=False, scale_rewards=False, obs_scale=None, huber=False, clip=None,
        final_lr=1e-3),
}
SB3 = dict( # rl-baselines3-zoo, hyperparams/dqn.yml, CartPole-v1
    learning_rate=2.3e-3, batch_size=64, buffer_size=100_000, learning_starts=1_000, gamma=.99,
    target_update_interval=10, train_freq=256, gradient_steps=128, exploration_fraction=.16,
    exploration_final_eps=.04, policy_kwargs=dict(net_arch=[256, 256]))


def trained(seed:int, **changes)->dict:
    "One run: what it cost and what came of it"
    seconds, (q, history) = cpu_seconds(lambda: train_dqn(CartPole, cartpole_recipe(**changes),
                                                          seed))
    greedy = episode_returns(CartPole(100), q.act, 100, 999)
    return dict(seed=seed, seconds=seconds, solved_at=history.solved_at,
                mean_100=np.mean(history.returns[-100:]), greedy=greedy.mean(), worst=greedy.min(),
                target=max(history.targets))


def row(name:str, runs:list[dict]):
    "One line of the table"
    of = {key: [run[key] for run in runs] for key in runs[0]}
    solved = sum(s is not None for s in of['solved_at'])
    good = sum(s is not None and g >= 490 for s, g in zip(of['solved_at'], of['greedy'],
                                                          strict=True))
    low, high = bootstrap_runs(of['greedy'])
    print(f'{name:28} solved {solved}/{len(runs)}, with greedy ≥ 490 {good}; greedy median '
          f"{median(of['greedy']):.0f} worst {min(of['greedy']):.0f} interquartile mean "
          f"{interquartile_mean(of['greedy']):.0f} [{low:.0f}, {high:.0f}]; CPU s median "
          f"{median(of['seconds']):.1f} most {max(of['seconds']):.1f}; largest target "
          f"{max(of['target']):.3g}", flush=True)


def seeds(first:int=0):
    "The recipe at ten seeds, one line each"
    runs = []
    for seed in range(int(first), int(first) + 10):
        runs.append(trained(seed))
        r = runs[-1]
        print(f"seed {seed}: {r['seconds']:.1f} CPU s, solved at {r['solved_at']}, mean of 100 "
              f"{r['mean_100']:.0f}, greedy {r['greedy']:.1f} (worst of 100: {r['worst']:.0f})",
              flush=True)
    row('the whole recipe', runs)


def parts(count:str='5', *names:str):
    "One part at a time, each at the first few seeds"
    for name in names or PARTS:
        row(name, [trained(seed, **PARTS[name]) for seed in range(int(count))])


def triad():
    "Target network × steps"
    for target in (25, None):
        for steps in (1, 3):
            runs = [trained(seed, target_every=target, n_step=steps) for seed in range(10)]
            row(f'target {target}, steps {steps}', runs)


def short():
    "The recipe, ended where the peer ends: its learning rate still falls until step 150,000"
    runs = [trained(seed, total_steps=50_000) for seed in range(10)]
    print('greedy', sorted(round(run['greedy']) for run in runs))
    row('the whole recipe, 50,000 steps', runs)


def peer(*which:str):
    "Stable-Baselines3's tuned preset: 50,000 steps, as its zoo says"
    import gymnasium
    from stable_baselines3 import DQN
    for seed in map(int, which or (0,)):
        env = gymnasium.make('CartPole-v1')
        env = gymnasium.wrappers.RecordEpisodeStatistics(env, buffer_length=10_000)
        model = DQN('MlpPolicy', env, seed=seed, **SB3)
        seconds, _ = cpu_seconds(lambda model=model: model.learn(50_000))
        act = lambda obs, model=model: model.predict(obs, deterministic=True)[0] # noqa: E731
        greedy = episode_returns(CartPole(100), act, 100, 999)
        last = list(env.return_queue)
        best = max((np.mean(last[i:i + 100]) for i in range(len(last) - 99)), default=np.nan)
        print(f'Stable-Baselines3, seed {seed}: {seconds:.1f} CPU s, best mean of 100 {best:.0f}, '
              f'last {np.mean(last[-100:]):.0f}, greedy {greedy.mean():.0f} '
              f'(worst of 100: {greedy.min():.0f})', flush=True)


def stepped(env, actions):
    "All those actions; how many were real steps, not a restart"
    env.reset(seed=0)
    for a in actions: env.step(a)


def steps(n:int=64, count:int=1500):
    "Steps of 64 carts per CPU second"
    import gymnasium
    actions = np.random.default_rng(0).integers(0, 2, (count, n))
    make = partial(gymnasium.make_vec, 'CartPole-v1', n)
    ways = {'ours': CartPole(n),
            'vector entry point': make(vectorization_mode='vector_entry_point'),
            'sync': make(vectorization_mode='sync')}
    first = ways['ours'].reset(seed=0)[0] - ways['vector entry point'].reset(seed=0)[0]
    print(f'first observations apart: {np.abs(first).max()}')
    found = interleave({name: partial(stepped, env, actions) for name, env in ways.items()},
                       rounds=7)
    print(found)
    for name, seconds in found.seconds.items():
        print(f'{name:20} {n*count/min(seconds):12,.0f} steps per CPU second')
    for name in ('sync', 'vector entry point'):
        print(f'{name}: {found.ratio(name, "ours"):.1f} times as long as ours, '
              f'median of pairs {found.paired(name, "ours"):.1f}')


if __name__ == '__main__':
    torch.set_num_threads(1)
    what, *rest = sys.argv[1:] or ['seeds']
    dict(seeds=seeds, parts=parts, triad=triad, short=short, peer=peer, steps=steps)[what](*rest)
    print(f'load {load():.1f}; {machine()}')
