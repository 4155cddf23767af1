"The card of a federation: verdicts that hold, nothing that passes for lack of data"
import json
import subprocess
import sys

import numpy as np
import pytest

from dlcourse.core.errors import InputError
from dlcourse.federated.federation_card import audit_federation, client_gaps
from dlcourse.privacy.leakage import audit_membership

RNG = np.random.default_rng(0)


def rows(right=(.9, .9, .9, .5), n=300, regions='nnss'):
    client = np.repeat(np.arange(len(right)), n)
    y = RNG.integers(0, 3, len(client))
    wrong = RNG.random(len(client)) > np.array(right)[client]
    return dict(client=[f's{k}' for k in client], region=[regions[k] for k in client], y_true=y,
                y_pred=(y + wrong) % 3)


LEDGER = [dict(client=k, drawn=3, answered=2, epsilon=4. + k, epsilon_if_seen=9., delta=.01)
          for k in range(4)]


def test_a_client_that_is_badly_served_is_found():
    card = audit_federation(rows(), tolerances=dict(clients=.1, worst=.7))
    assert card.worst.group == 's3' and card.verdict == 'fail'
    assert {v.question: v.verdict for v in card.verdicts} == dict(clients='fail', worst='fail')
    assert card.findings[0].startswith('Fail') and '`' not in ' '.join(card.findings)


def test_clients_that_are_served_alike_pass():
    card = audit_federation(rows((.9,)*4, n=4_000), tolerances=dict(clients=.1, worst=.8))
    assert card.verdict == 'pass', card.findings


def test_few_rows_are_no_evidence():
    card = audit_federation(rows((.9,)*4, n=40), tolerances=dict(clients=.1, worst=.9))
    assert {v.verdict for v in card.verdicts} == {'insufficient evidence'}
    card = audit_federation(rows((.9,)*4, n=10), tolerances=dict(clients=.1, worst=.5))
    assert card.verdict == 'insufficient evidence' and card.worst is None and card.warnings


def test_the_worst_of_many_does_not_fail_by_chance():
    "Twenty clients exactly at the floor: failing is rarer than the level says"
    fails = sum(audit_federation(rows((.8,)*20, n=60, regions='n'*20), tolerances=dict(worst=.8))
                .verdict == 'fail' for _ in range(6))
    assert fails <= 1


@pytest.mark.parametrize('most,verdict', [(8., 'pass'), (7., 'pass'), (6.9, 'fail')])
def test_epsilon_is_the_largest_of_the_ledger(most, verdict):
    card = audit_federation(rows(), ledger=LEDGER, tolerances=dict(epsilon=most))
    assert (card.epsilon, card.epsilon_if_seen, card.verdict) == (7., 9., verdict)


def test_no_ledger_no_verdict():
    card = audit_federation(rows(), tolerances=dict(epsilon=8.))
    assert card.verdict == 'insufficient evidence'
    assert any('no ledger' in text for text in card.not_measured)
    assert audit_federation(rows()).verdict == 'not judged'


def test_what_was_given_is_not_among_what_was_not_measured():
    attack = audit_membership(RNG.normal(1, 1, 300), RNG.normal(0, 1, 300))
    bare = audit_federation(rows())
    full = audit_federation(rows(), group='region', ledger=LEDGER, memberships=dict(all=attack),
                            guarantees=['sums only'], refused={3: 'not finite'})
    assert len(bare.not_measured) - len(full.not_measured) == 4
    said = ' '.join(full.findings)
    for text in ('sums only', 'Left out: 3, not finite', 'ε per client: 7', 'AUC'):
        assert text in said, text
    json.dumps(full.to_dict(), allow_nan=False)


def test_an_attack_with_a_tolerance_counts():
    attack = audit_membership(RNG.normal(2, 1, 600), RNG.normal(0, 1, 600),
                              tolerances=dict(auc=.6))
    assert audit_federation(rows(), memberships=dict(local=attack)).verdict == 'fail'


@pytest.mark.parametrize('given,name', [
    (dict(tolerances=dict(speed=1)), '`tolerances`'), (dict(tolerances=dict(worst=2)), 'worst'),
    (dict(tolerances=dict(epsilon=float('inf'))), 'epsilon'), (dict(client='who'), 'who'),
    (dict(memberships=dict(a=.5)), '`memberships`'), (dict(ledger=[dict(client=1)]), '`epsilon`'),
    (dict(ledger=[dict(client=1, epsilon=-1., delta=.1)]), '`epsilon`'),
    (dict(ledger=['x']), '`ledger`'), (dict(ledger=[5]), '`ledger`'),
    (dict(refused=['a']), '`refused`'), (dict(refused=[]), '`refused`'),
    (dict(ledger=[*LEDGER, dict(client=9, epsilon=1., delta=.2)]), 'one δ')])
def test_what_cannot_be_is_refused(given, name):
    with pytest.raises(InputError, match=name): audit_federation(rows(), **given)


def test_without_torch():
    code = "import sys, dlcourse.federated.federation_card; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, '-c', code], check=True)


def small(**more):
    "A hundred rows of a, all right, and three of b"
    client, y = ['a']*100 + ['b']*3, [1]*100 + [1, 0, 0]
    return audit_federation(dict(client=client, y_pred=y, y_true=[1]*103), client='client',
                            y_pred='y_pred', y_true='y_true', **more)


def test_the_worst_client_does_not_pass_where_some_were_not_judged():
    found = small(min_count=10, tolerances={'worst': .9})
    assert found.verdict == 'insufficient evidence'


@pytest.mark.parametrize('row', [
    dict(delta=5.), dict(delta=0.), dict(delta=float('nan')), dict(delta='abc'),
    dict(epsilon_if_seen='x'), dict(epsilon=-1.)])
def test_an_odd_ledger_is_refused(row):
    with pytest.raises(InputError): small(ledger=[dict(client='a', epsilon=1., delta=1e-5) | row])


def test_a_client_has_one_row_of_the_ledger():
    row = dict(client='a', epsilon=3., delta=1e-5)
    with pytest.raises(InputError, match='one row for each client'): small(ledger=[row, row])


def regions(clients, gap, n=200, spread=.03, within=False, seed=0):
    "Half of the clients in the north, whose people are served worse; or both at each client"
    rng = np.random.default_rng(seed)
    client = np.repeat(np.arange(clients), n)
    north = np.arange(len(client)) % 2 == 0 if within else client % 2 == 0
    right = .9 - gap*north + rng.normal(0, spread, clients)[client]
    hit, y = rng.random(len(client)) < right, rng.integers(0, 3, len(client))
    return dict(client=client.astype(str), region=np.where(north, 'n', 's'), y_true=y,
                y_pred=np.where(hit, y, (y + 1) % 3))


@pytest.mark.parametrize('within', [False, True])
@pytest.mark.parametrize('gap, verdict', [
    (0., 'pass'), (.3, 'fail'), (.1, 'insufficient evidence')])
def test_twenty_clients_are_enough_to_judge_groups(gap, verdict, within):
    card = audit_federation(regions(20, gap, within=within), group='region',
                            tolerances=dict(groups=.1))
    (found,) = card.verdicts
    assert (found.question, found.verdict) == ('groups', verdict), found.sentence
    assert 'each client counted alike' in found.sentence
    assert f"({20 if within else 10} and" in found.sentence
    assert not any('between groups' in text for text in card.not_measured)


def test_four_clients_say_nothing_of_groups_and_the_card_says_so():
    card = audit_federation(regions(4, .3), group='region', tolerances=dict(groups=.1))
    assert card.verdict == 'insufficient evidence'
    (said,) = [text for text in card.not_measured if 'between groups' in text]
    assert 'rests on 2 clients, and fewer than 5' in said


def test_many_clients_are_judged_as_clusters():
    card = audit_federation(regions(100, 0.), group='region', tolerances=dict(groups=.1))
    assert card.verdict == 'pass' and 'counted alike' not in card.verdicts[0].sentence


@pytest.mark.parametrize('within', [False, True])
def test_limits_over_clients_are_students(within):
    from scipy import stats
    table = regions(12, .1, n=300, within=within)
    asked = dict(y_true='y_true', y_pred='y_pred', level=.95, min_count=10)
    ((a, b, gap, low, high, _),), why = client_gaps(table, 'client', 'region', asked)
    hit = table['y_true'] == table['y_pred']
    of = {g: [hit[(table['client'] == k) & (table['region'] == g)].mean()
              for k in np.unique(table['client'][table['region'] == g])] for g in 'ns'}
    test = stats.ttest_rel(of['n'], of['s']) if within else stats.ttest_ind(*of.values(),
                                                                           equal_var=False)
    want = test.confidence_interval(.95)
    np.testing.assert_allclose([gap, low, high], [test.statistic and np.mean(of['n'])
                                                  - np.mean(of['s']), *want], atol=1e-9)
    assert (a, b, why) == ('n', 's', None)


def test_limits_hold_the_truth_in_nineteen_of_twenty():
    held = 0
    for seed in range(200):
        found, _ = client_gaps(regions(12, .1, n=60, spread=.04, seed=seed), 'client', 'region',
                               dict(y_true='y_true', y_pred='y_pred', level=.95, min_count=10))
        held += found[0][3] <= -.1 <= found[0][4]
    assert held >= 182 # One in a thousand for a true 95 %


def test_a_ledger_without_some_clients_is_no_evidence():
    whole = audit_federation(rows(), ledger=LEDGER, tolerances=dict(epsilon=50)).verdicts[0]
    part = audit_federation(rows(), ledger=LEDGER[:1], tolerances=dict(epsilon=50)).verdicts[0]
    assert (whole.verdict, part.verdict) == ('pass', 'insufficient evidence')
    assert 'says nothing' in part.sentence and 'sees who was drawn' in part.sentence
    over = audit_federation(rows(), ledger=LEDGER[:1], tolerances=dict(epsilon=1)).verdicts[0]
    assert over.verdict == 'fail'


def test_a_delta_that_protects_no_client_and_a_lone_text_are_refused():
    with pytest.raises(InputError, match='below one over'):
        audit_federation(rows(), ledger=[LEDGER[0] | dict(delta=.5)])
    with pytest.raises(InputError, match='list of sentences'):
        audit_federation(rows(), guarantees='only the sum is seen')


def test_warnings_of_two_attacks_say_which_model():
    from dlcourse.audit.writers import as_audit
    few = audit_membership(np.arange(50.), np.arange(50.))
    found = as_audit(audit_federation(rows(), memberships={'global': few, 'local': few})).warnings
    assert len(found) == len(set(found)) and any('Local model' in w for w in found)
