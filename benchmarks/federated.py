"""Federated rounds: clients at once against a loop, in this process against Flower's simulation

Run: python benchmarks/federated.py [--simulation]

10 clients with 100,000 numbers, 28 November 2026, two cores: Flower's simulation had its first
round done after 20.3 s and took 203 ms for each later one; a round in this process takes 2.8 ms.
"""
import argparse
import time

import numpy as np
import torch
from harness import interleave

from dlcourse.federated.averaging import digit_parts, first_weights
from dlcourse.federated.clients import ClientsAtOnce, train_client
from dlcourse.federated.flower import keep_result, load_flower, run_in_process, run_simulated
from dlcourse.training.zoo import mlp


def clients_at_once():
    "100 clients of unequal size, one local epoch: as a stack, and one after the other"
    x, y, *_, parts = digit_parts('dirichlet', 100, .5, 0)
    net, state = mlp(64, 64, 10).double(), first_weights([0], 64, 64, 10)
    x, state = x.double(), {name: t.double() for name, t in state.items()}
    first = {name: t[0] for name, t in state.items()}
    crew = ClientsAtOnce(net, (x, y), [parts], batch_size=10)

    def together(): return {n: t[0] for n, t in crew.train(state, lr=.1).items()}

    def loop():
        found = []
        for k, part in enumerate(parts):
            net.load_state_dict(first)
            train_client(net, x[part], y[part], lr=.1, batch_size=10, client=k)
            found.append({n: p.detach().clone() for n, p in net.named_parameters()})
        return {n: torch.stack([f[n] for f in found]) for n in first}

    def apart(results):
        one, other = results['at once'], results['loop']
        return max(float((one[n] - other[n]).abs().max()) for n in one)
    timing = interleave({'at once': together, 'loop': loop}, same=apart, within=1e-6)
    print(timing, f"\n100 clients of {min(map(len, parts))} to {max(map(len, parts))} rows: "
          f"{timing.paired('loop', 'at once'):.1f} times as fast at once")


def adding_apps():
    "Each client adds one to 100,000 numbers; Flower's own strategy averages"
    flwr = load_flower()
    app, client, server = flwr.app, flwr.clientapp.ClientApp(), flwr.serverapp.ServerApp()

    @client.train()
    def train(message, context):
        arrays = [array.numpy() + 1 for array in message.content['arrays'].values()]
        said = app.MetricRecord({'num-examples': 1})
        content = app.RecordDict({'arrays': app.ArrayRecord(arrays), 'metrics': said})
        return app.Message(content, reply_to=message)

    @server.main()
    def main(grid, context):
        strategy = flwr.serverapp.strategy.FedAvg(fraction_evaluate=0.)
        start = app.ArrayRecord([np.zeros((1000, 100), np.float32)])
        times, spent = [], []

        def note(number, arrays):
            times.append(time.perf_counter())
            spent.append(time.process_time())
        result = strategy.start(grid, start, context.run_config['num-rounds'], evaluate_fn=note)
        keep_result(context, result, times=times, spent=spent)
    return server, client


def measured(run, rounds):
    "Seconds until the first round is done; median seconds of each later one, by clock and CPU"
    start = time.perf_counter()
    found = run(*adding_apps(), 10, {'num-rounds': rounds})
    if not np.allclose(found.arrays['0'], rounds, atol=1e-3):
        raise SystemExit(f'no parity: {found.arrays}')
    times = np.array(found.history['times'])
    spent = np.median(np.diff(found.history['spent'][1:]))
    return times[1] - start, np.median(np.diff(times[1:])), spent


def in_process_and_simulated(simulation):
    "Start-up and a round apart; 10 clients, 100,000 numbers"
    ways = {'in this process': (run_in_process, 50)}
    if simulation: ways["Flower's simulation"] = (run_simulated, 20)
    run_in_process(*adding_apps(), 10, {'num-rounds': 1}) # Warm
    for name, (run, rounds) in ways.items():
        first, each, own = measured(run, rounds)
        print(f'{name:20} first round after {first:6.2f} s, then {1000*each:7.1f} ms a round, '
              f'{1000*own:.1f} CPU ms of this process')


if __name__ == '__main__':
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--simulation', action='store_true', help="Flower's too; needs ray")
    options = parser.parse_args()
    torch.set_num_threads(1)
    clients_at_once()
    in_process_and_simulated(options.simulation)
