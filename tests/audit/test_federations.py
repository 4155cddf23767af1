"The card of a federation in every form"
import json
from pathlib import Path

import jsonschema
import numpy as np
from markup import Markup

from dlcourse.audit.writers import as_audit, save_audit
from dlcourse.core.files import project_path
from dlcourse.federated.federation_card import audit_federation
from dlcourse.privacy.leakage import audit_membership


def card():
    rng = np.random.default_rng(0)
    client = np.repeat(np.arange(20), 60)
    y = rng.integers(0, 3, len(client))
    wrong = rng.random(len(client)) < np.where(client < 10, .05, .4)
    attack = audit_membership(rng.normal(.2, 1, 400), rng.normal(0, 1, 400))
    ledger = [dict(client=k, drawn=4, answered=3, epsilon=7., epsilon_if_seen=11., delta=.01)
              for k in range(20)]
    data = dict(client=[f'client {k:02}' for k in client], y_true=y, y_pred=(y + wrong) % 3,
                region=np.where(client % 2, 'north', 'south'))
    return audit_federation(
        data, group='region', ledger=ledger, memberships={'global': attack}, refused={3: '<nan>'},
        aggregation='secure sum', guarantees=['the server sees sums of 14 or more'],
        tolerances=dict(clients=.1, groups=.1, epsilon=8., worst=.8))


def test_every_form(tmp_path):
    found, folder = card(), Path(__file__).parent
    report = as_audit(found)
    assert (report.kind, report.verdict, report.exit_code) == ('federation', 'fail', 1)
    paths = {form: tmp_path/f'a.{form}' for form in
             ('html', 'json', 'junit', 'sarif', 'csv', 'parquet', 'card')}
    assert len(save_audit(found, **paths, plot=tmp_path/'a.png')) == 8
    schema = json.loads(project_path('assets', 'audit.schema.json').read_text(encoding='utf-8'))
    written = json.loads(paths['json'].read_text())
    jsonschema.validate(written, schema)
    assert written['result']['epsilon'] == 7. and written['not_measured']
    sarif = json.loads((folder/'sarif-2.1.0.schema.json').read_text())
    jsonschema.Draft4Validator(sarif).validate(json.loads(paths['sarif'].read_text()))
    assert '<failure' in paths['junit'].read_text()
    page = paths['html'].read_text()
    Markup(page)
    for text in ('client 19', 'secure sum', 'the server sees sums of 14 or more', 'Worst client',
                 'Who was in the training data', '&lt;nan&gt;'):
        assert text in page, text
