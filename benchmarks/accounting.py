"""Accountants of sampled Gaussian noise against Opacus and dp_accounting: parity, then CPU seconds

    python benchmarks/accounting.py          # needs opacus 1.6 and dp-accounting 0.6
"""
import sys
import warnings
from functools import partial
from pathlib import Path

import numpy as np
from dp_accounting import dp_event
from dp_accounting.pld import PLDAccountant
from opacus.accountants import PRVAccountant
from opacus.accountants.analysis.rdp import compute_rdp, get_privacy_spent

sys.path.insert(0, str(Path(__file__).parent))
from harness import interleave  # noqa: E402

from dlcourse.privacy.accounting import epsilon  # noqa: E402
from dlcourse.privacy.renyi import RENYI_ORDERS  # noqa: E402

DELTA = 1e-5
ROWS = {'tutorial': (1.1, 256/60000, 14062), 'unit test': (1.5, .04, 2250),
        'large batches': (3., 4096/50000, 2468), 'little noise': (.5, .01, 1000),
        'least noise': (.4, .01, 3000)}


def opacus_rdp(sigma, q, steps):
    rdp = compute_rdp(q=q, noise_multiplier=sigma, steps=steps, orders=RENYI_ORDERS[:151])
    return get_privacy_spent(orders=RENYI_ORDERS[:151], rdp=rdp, delta=DELTA)[0]


def opacus_prv(sigma, q, steps):
    accountant = PRVAccountant()
    accountant.history = [(sigma, q, steps)]
    return accountant.get_epsilon(DELTA)


def google_pld(sigma, q, steps):
    step = dp_event.PoissonSampledDpEvent(q, dp_event.GaussianDpEvent(sigma))
    return PLDAccountant().compose(dp_event.SelfComposedDpEvent(step, steps)).get_epsilon(DELTA)


def compare(row, rounds=3):
    "Three pairs of the same accountant"
    pairs = [('rdp', opacus_rdp), ('prv', opacus_prv), ('pld', google_pld)]
    ways = {}
    for name, theirs in pairs:
        ways[f'{name} here'] = partial(epsilon, *row, DELTA, accountant=name)
        ways[f'{name} {theirs.__name__.split("_")[0]}'] = partial(theirs, *row)

    def apart(results):
        values = np.array(list(results.values())).reshape(3, 2)
        return float(np.abs(values[:, 0]/values[:, 1] - 1).max())
    return interleave(ways, same=apart, within=2e-3, rounds=rounds)


if __name__ == '__main__':
    warnings.filterwarnings('ignore')
    for name, row in ROWS.items():
        print(f'\n{name}: σ = {row[0]}, q = {row[1]:.5f}, {row[2]} steps')
        found = compare(row)
        print(found)
        for way, peer in (('rdp', 'opacus'), ('prv', 'opacus'), ('pld', 'google')):
            print(f'{way}: {found.paired(f"{way} {peer}", f"{way} here"):.1f} × as fast as {peer}')
