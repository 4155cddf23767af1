"Sums, remedies and memberships with odd input: one sentence that names it"
import numpy as np
import pandas as pd
import pytest

from dlcourse.core.errors import InputError
from dlcourse.fairness import calibration, membership, methods, remedies

POS, NEG = np.array([1., 3, 5]), np.array([5., 3, 1])
Y, G, S = np.array([0, 1, 1, 0]), np.array(list('aabb')), np.array([.1, .9, .8, .2])
NAN = float('nan')


@pytest.mark.parametrize(('call', 'says'), [
    (lambda: calibration.auc_bounds(POS[:, None], NEG), 'must have one shape'),
    (lambda: calibration.auc_variance(POS, NEG - 2), '`negative` must hold numbers from 0 up'),
    (lambda: calibration.auc_limits(POS, [NAN, 1, 2]), '`negative` must hold numbers from 0 up'),
    (lambda: remedies.reweighing(np.array([0, 1, 'x', 1], object), G), '`y` must hold words or'),
    (lambda: methods.people_of(pd.DataFrame([[1, 2]]*4, columns=['a', 'a']), Y, G),
     'columns of different names; got a, a'),
    (lambda: methods.people_of(S, Y, G), '`x` must have a row for each person'),
    (lambda: methods.people_of(S[:, None], pd.Series([0, pd.NA, 1, 0], dtype='Int64'), G),
     '`y` must not be missing'),
    (lambda: membership.membership_bounds(Y, {'a': S[:, None]}, G), 'must have a value for each'),
    (lambda: membership.membership_bounds(Y, {'a': S}, G, sample_weight=np.zeros(4)),
     'not all of them 0')])
def test_odd_input_is_refused_by_name(call, says):
    with pytest.raises(InputError, match=says): call()
