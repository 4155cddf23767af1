"""Where fairness tools disagree: what each makes of fifteen small tables, and what it should

Ours and fairlearn run here and now. aif360 and aequitas pin other versions of pandas; they were run
in an environment of their own, and what they said is stored with their versions in
conformance/results.json. To run them again:
  python -m venv peers && peers/bin/pip install aif360 aequitas
  python benchmarks/conformance.py store peers/bin/python

Run: python benchmarks/conformance.py
"""
import json
import os
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).with_name('conformance')
STORED = FOLDER/'results.json'
sys.path.insert(0, str(FOLDER))

from peer import CASES, answers, table  # noqa: E402

from dlcourse.audit.report import audit  # noqa: E402
from dlcourse.core.errors import InputError  # noqa: E402


def ours(name:str, case:dict)->str:
    "What our audit says of a case: a number, why there is none, or what it asks back"
    t, group = table(case), case.get('called', 'group')
    how = dict(favorable=1, min_count=1)
    if 'weight' in t: how['sample_weight'] = t['weight']
    if 'score' in t: how['score'] = t['score']
    groups = ({group: t['group']} if name != 'rows in another order'
              else t['group'].set_axis(case['index']).rename(group))
    try: found = audit(y_pred=t['y_pred'], y_true=t['y_true'], sensitive_features=groups, **how)
    except InputError as e: return f'asks back: {e}'
    attribute = found.rates[0].attribute
    def rate(g, metric):
        r = found.rate(attribute, g, metric)
        return f'{r.value:.4g}' if r.status == 'ok' else f'{r.status}: {r.reason}'
    def gap(metric, kind):
        return next(d for d in found.disparities if (d.metric, d.kind) == (metric, kind))
    if name == 'no positives in a group':
        d = gap('true_positive_rate', 'difference')
        return (f"{rate('b', 'true_positive_rate')}; difference: "
                f"{d.value if d.value is not None else d.reason}")
    if name == 'nobody selected':
        d = gap('selection_rate', 'ratio')
        return f'undefined: {d.reason}' if d.value is None else f'{d.value:.4g}'
    if name == 'no predicted positives': return rate('b', 'precision_score')
    if name == 'AUC of a single class':
        row = next(r for r in found.section('scores').result['rows'] if r['group'] == 'b')
        return f"undefined: {row['reason']}" if row['auc'] is None else f"{row['auc']:.4g}"
    if name == 'a whole group at zero':
        d = gap('selection_rate', 'ratio'); return f'{d.low:.3g} to {d.high:.3g}'
    return ', '.join(f"{g}: {rate(g, 'selection_rate')}"
                     for g in dict.fromkeys(r.group for r in found.rates))


def store(python:str):
    "Run the peers in their environment and keep what they say"
    env = {k: v for k, v in os.environ.items() if k != 'PYTHONPATH'}
    said = [json.loads(subprocess.run([python, FOLDER/'peer.py', tool], env=env, check=True,
                                      capture_output=True, text=True).stdout)
            for tool in ('aif360', 'aequitas')]
    STORED.write_text(json.dumps(said, indent=1) + '\n', encoding='utf-8')


def main():
    from importlib.metadata import version
    stored = json.loads(STORED.read_text(encoding='utf-8'))
    peers = [dict(tool='fairlearn', version=version('fairlearn'), answers=answers('fairlearn')),
             *stored]
    for name, case in CASES.items():
        print(f"\n{name}: {case['asked']}\n  should be   {case['should']}\n  dlcourse    "
              f"{ours(name, case)}")
        for p in peers:
            a = p['answers'][name]
            heard = f" ({', '.join(a['warned'])})" if a['warned'] else ''
            got = a['got'] if isinstance(a['got'], str) else json.dumps(a['got'])
            print(f"  {p['tool'] + ' ' + p['version']:<18}{got}{heard}")


if __name__ == '__main__':
    if sys.argv[1:2] == ['store']: store(sys.argv[2])
    else: main()
