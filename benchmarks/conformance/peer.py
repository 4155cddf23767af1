"What fairlearn, aif360 or aequitas make of each case, as JSON: `python peer.py fairlearn`"
import json
import sys
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd

CASES = json.loads(Path(__file__).with_name('cases.json').read_text(encoding='utf-8'))


def table(case):
    "The case as a frame, and its weights"
    t = {k: list(case[k]) for k in ('group', 'y_true', 'y_pred', 'score', 'weight') if k in case}
    if 'repeat' in case:
        n = case['repeat']
        t = {k: [v for x in t[k] for v in [x]*n]
             for k in ('group', 'y_true')} | dict(y_pred=[0]*n + [0, 1]*(n//2))
    frame = pd.DataFrame(t)
    if frame['y_pred'].isna().any(): frame['y_pred'] = frame['y_pred'].astype(float)
    return frame


def fairlearn(name, case):
    import fairlearn.metrics as fm
    from sklearn.metrics import precision_score, roc_auc_score
    t = table(case)
    y, p, g = t['y_true'], t['y_pred'], t['group'].rename(case.get('called', 'group'))
    def frame(f, pred=p, **more):
        return fm.MetricFrame(metrics=f, y_true=y, y_pred=pred, sensitive_features=g, **more)
    if name == 'no positives in a group':
        m = frame(fm.true_positive_rate)
        return {'b': m.by_group['b'], 'difference': m.difference()}
    if name == 'nobody selected': return fm.demographic_parity_ratio(y, p, sensitive_features=g)
    if name == 'no predicted positives': return frame(precision_score).by_group['b']
    if name == 'AUC of a single class': return frame(roc_auc_score, t['score']).by_group['b']
    if name in ('weights of zero', 'negative weights'):
        found = frame(fm.selection_rate, sample_params=dict(sample_weight=t['weight']))
        return found.by_group['b' if 'zero' in name else 'a']
    if name == 'three classes': return frame(fm.true_positive_rate).by_group.to_dict()
    if name == 'rows in another order': g = g.set_axis(case['index'])
    if name == 'a whole group at zero':
        m = frame(fm.selection_rate, n_boot=100, ci_quantiles=[.025, .975], random_state=0)
        return [float(v) for v in m.ratio_ci()]
    by = frame(fm.selection_rate).by_group
    one = name in ('missing prediction', 'words as labels', 'scores as predictions')
    return by['a'] if one else by.to_dict()


def aif360(name, case):
    from aif360.sklearn.metrics import (
        disparate_impact_ratio,
        equal_opportunity_difference,
        statistical_parity_difference,
    )
    t = table(case)
    index = pd.Index(t['group'], name='group')
    y, p = pd.Series(t['y_true'].values, index=index), pd.Series(t['y_pred'].values, index=index)
    how = dict(prot_attr='group', priv_group=t['group'][0])
    if 'weight' in t: how['sample_weight'] = t['weight'].values
    if name == 'no positives in a group':
        return {'difference': equal_opportunity_difference(y, p, **how)}
    if name == 'nobody selected': return disparate_impact_ratio(y, p, **how)
    if name in ('no predicted positives', 'AUC of a single class', 'a whole group at zero',
                'rows in another order', 'a column called y_true'):
        return None
    if name == 'three classes': return {'difference': equal_opportunity_difference(y, p, **how)}
    if name == 'words as labels': how['pos_label'] = 'y'
    return {'difference': statistical_parity_difference(y, p, **how)}


def aequitas(name, case):
    from aequitas.bias import Bias
    from aequitas.group import Group
    t = table(case)
    if name in ('AUC of a single class', 'weights of zero', 'negative weights',
                'a whole group at zero', 'rows in another order', 'a column called y_true'):
        return None
    df = pd.DataFrame(dict(score=t['y_pred'], label_value=t['y_true'], group=t['group']))
    found, _ = Group().get_crosstabs(df, attr_cols=['group'])
    rate = found.set_index('attribute_value')
    if name == 'no positives in a group':
        out = Bias().get_disparity_predefined_groups(found, df,
                                                     {'group': 'a'}).set_index('attribute_value')
        return {'b': rate['tpr']['b'], 'ratio': out['tpr_disparity']['b']}
    if name == 'nobody selected':
        out = Bias().get_disparity_predefined_groups(found, df, {'group': 'a'})
        return out.set_index('attribute_value')['pprev_disparity']['b']
    if name == 'no predicted positives': return rate['precision']['b']
    if name == 'three classes': return rate['tpr'].to_dict()
    return rate['pprev'].to_dict()


def plain(value):
    "As JSON: NaN becomes a word"
    if isinstance(value, dict): return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)): return [plain(v) for v in value]
    if value is None or isinstance(value, str): return value
    return 'NaN' if np.isnan(value) else round(float(value), 4)


def answers(tool):
    "Case → what came, and the kinds of warning on the way"
    out = {}
    for name, case in CASES.items():
        with warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter('always')
            try: got = plain(globals()[tool](name, case))
            except Exception as e:
                got = f'{type(e).__name__}: {str(e).splitlines()[0][:110] if str(e) else ""}'
        kinds = sorted({w.category.__name__ for w in heard
                        if issubclass(w.category, (RuntimeWarning, UserWarning))
                        and 'DeprecationWarning' not in w.category.__name__})
        out[name] = dict(got=got if got is not None else 'cannot be asked', warned=kinds)
    return out


if __name__ == '__main__':
    tool = sys.argv[1]
    print(json.dumps(dict(tool=tool, version=version(tool), pandas=version('pandas'),
                          numpy=version('numpy'), answers=answers(tool)), indent=1))
