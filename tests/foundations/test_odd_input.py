"What the foundations do with odd input: refused, or what the same numbers give in another form"
import numpy as np
import pytest
import torch

from dlcourse.core.errors import InputError
from dlcourse.foundations.autograd import finite_differences
from dlcourse.foundations.losses import pairwise_logistic
from dlcourse.foundations.neurons import Perceptron, between_share
from dlcourse.foundations.schedules import plateau

NAN = float('nan')


@pytest.mark.parametrize('kind', ['int8', 'uint8', 'int64', 'float32', 'float16', 'object'])
def test_whole_numbers_are_nudged_too(kind):
    "The gradient of x², which is 2x; a whole number plus a millionth was itself before"
    x = np.array([3, 0, 2]).astype(kind)
    got = finite_differences(lambda at: float((at**2).sum()), x)
    np.testing.assert_allclose(got, [6, 0, 4], atol=1e-6)


def test_a_column_of_scores_is_no_row():
    "[n, 1] and [n] would pair every winner with every loser"
    better, worse = torch.tensor([2., 1.]), torch.tensor([[1.], [0.]])
    for pair in ((better, worse), (worse, better)):
        with pytest.raises(InputError, match='`better` and `worse` must have one shape'):
            pairwise_logistic(*pair)


def test_points_that_are_no_numbers_have_no_share():
    x, y = torch.tensor([[0., 1.], [NAN, 2.], [4., 5.]]), torch.tensor([0, 0, 1])
    assert np.isnan(between_share(x, y))


def test_a_perceptron_says_nothing_of_what_is_no_number():
    seen = Perceptron(2)
    seen.weights += 1
    said = seen.predict(torch.tensor([[1., 1.], [NAN, 1.], [-1., -1.]], dtype=torch.float64))
    assert said[[0, 2]].tolist() == [1, -1] and said[1].isnan()


@pytest.mark.parametrize('place', range(5))
def test_a_run_that_broke_is_on_no_plateau(place):
    rates, scores = [1, 2, 3, 4, 5], [88., 90., 89., 70., 60.]
    want = plateau(rates, [-np.inf if i == place else s for i, s in enumerate(scores)], 2)
    scores[place] = NAN
    assert plateau(rates, scores, 2) == want
