"Flower's rounds with clients drawn by a sampler: the epsilon is that of what happened"
import pytest
import torch

from dlcourse.core.errors import InputError
from dlcourse.federated.averaging import make_client, make_server
from dlcourse.federated.client_privacy import ClientSampler
from dlcourse.federated.flower import is_there, run_in_process
from dlcourse.federated.private_strategy import private_strategy
from dlcourse.privacy.accounting import PrivacyEvent

pytestmark = [pytest.mark.skipif(not is_there(), reason='needs flwr'),
              pytest.mark.filterwarnings('ignore:round')]


def run(sampler, clip_norm=1., rounds=3, alter=None, clients=10):
    server = make_server(private_strategy(sampler, clip_norm))
    return run_in_process(server, make_client(alter), clients=clients,
                          run_config={'num-rounds': rounds, 'width': 8})


def weights(found):
    return torch.cat([t.flatten() for t in found.tensors().values()])


def test_the_event_is_of_the_rounds_that_ran():
    sampler = ClientSampler(10, 4, 1., seed=0)
    run(sampler, rounds=5)
    assert sampler.event == PrivacyEvent(1., .4, 5)
    assert sum(sampler.answered) == sum(sampler.drawn) > 0


def test_nobody_drawn_is_a_round_of_noise():
    sampler = ClientSampler(10, 1e-9, 1., seed=0)
    run(sampler, rounds=2)
    assert sampler.event.steps == 2 and sum(sampler.drawn) == 0


@pytest.mark.parametrize('bad', [float('nan'), float('inf'), 1e30])
def test_one_client_moves_the_model_by_its_norm_at_most(bad):
    def alter(who, number, state):
        return {k: torch.full_like(v, bad) if who == 3 else v for k, v in state.items()}
    found = []
    for a in (None, alter):
        sampler = ClientSampler(10, 10, 1e-12, seed=0)
        found.append(weights(run(sampler, .5, rounds=1, alter=a)))
    assert found[1].isfinite().all()
    assert float((found[0] - found[1]).norm()) <= 2*.5/10 + 1e-6 # Replaced: twice the norm


def test_nodes_that_the_sampler_does_not_know():
    with pytest.raises(InputError, match='`sampler` is for 4 clients'):
        run(ClientSampler(4, 2, 1., seed=0))
