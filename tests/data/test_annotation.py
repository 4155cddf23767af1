"Agreement, crowds, rules and queries against scikit-learn, krippendorff, crowd-kit and counting"
import numpy as np
import pytest
from scipy.stats import entropy
from sklearn.metrics import cohen_kappa_score, pairwise_distances

from dlcourse.core.cards import card
from dlcourse.core.datasets import load
from dlcourse.core.downloads import is_here
from dlcourse.core.errors import InputError
from dlcourse.data.agreement import (
    LEVELS,
    agreement_interval,
    coded,
    coincidences,
    fleiss_kappa,
    krippendorff_alpha,
    label_counts,
)
from dlcourse.data.annotation import (
    apply_rules,
    cohen_kappa,
    confusions,
    core_set,
    least_margin,
    most_entropy,
    posterior,
)
from dlcourse.data.crowd import confuser, dawid_skene, majority, planted_crowd
from dlcourse.data.querying import POOLS, ask_and_learn, digit_pool, logistic

PEOPLE = np.stack([confuser(3, a) for a in (.95, .85, .75, .65, .4)])
TRUTH, CODES = planted_crowd(400, PEOPLE, [.5, .3, .2], per_item=4, seed=1)


# Agreement

def random_labels(seed, items=40, people=4, classes=4, holes=.25):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, classes, (items, 1))
    said = np.where(rng.random((items, people)) < .6, truth,
                    rng.integers(0, classes, (items, people)))
    return np.where(rng.random(said.shape) < holes, -1, said)

@pytest.mark.parametrize('seed', range(5))
def test_kappa_is_that_of_scikit_learn(seed):
    a, b = random_labels(seed, people=2, holes=0).T
    assert cohen_kappa(a, b) == pytest.approx(cohen_kappa_score(a, b), rel=1e-12)
    words = np.array(['no', 'yes', 'perhaps', 'later'])
    assert cohen_kappa(words[a], words[b]) == pytest.approx(cohen_kappa(a, b), rel=1e-12)

@pytest.mark.parametrize('seed', range(3))
@pytest.mark.parametrize('level', LEVELS)
def test_alpha_is_that_of_krippendorff(level, seed):
    alpha = pytest.importorskip('krippendorff').alpha
    codes = random_labels(seed)
    want = alpha(np.where(codes < 0, np.nan, codes).T, level_of_measurement=level)
    assert krippendorff_alpha(label_counts(codes, 4), level) == pytest.approx(want, rel=1e-9)

def test_alpha_of_numbers_takes_their_values():
    alpha = pytest.importorskip('krippendorff').alpha
    codes, values = random_labels(7), np.array([-3., 0., .5, 10.])
    want = alpha(np.where(codes < 0, np.nan, values[codes]).T, level_of_measurement='interval')
    got = krippendorff_alpha(label_counts(codes, 4), 'interval', values)
    assert got == pytest.approx(want, rel=1e-9)

@pytest.mark.parametrize('seed', range(3))
def test_kappa_of_many_is_that_of_statsmodels(seed):
    theirs = pytest.importorskip('statsmodels.stats.inter_rater')
    counts = label_counts(random_labels(seed, holes=0), 4)
    assert fleiss_kappa(counts) == pytest.approx(theirs.fleiss_kappa(counts), rel=1e-12)

def test_the_jackknife_by_kinds_is_the_jackknife_by_items():
    counts = label_counts(random_labels(3), 4)
    without = np.array([krippendorff_alpha(np.delete(counts, i, 0)) for i in range(len(counts))])
    error = np.sqrt((len(counts) - 1)*without.var())
    low, high = agreement_interval(krippendorff_alpha, counts)
    assert high - low == pytest.approx(2*2.0227*error, rel=1e-4)

def test_the_interval_widens_with_the_level_and_never_leaves_one():
    counts = label_counts(np.r_[np.zeros((20, 3), int), np.ones((20, 3), int), [[0, 1, 1]]], 2)
    narrow = agreement_interval(krippendorff_alpha, counts, level=.5)
    wide = agreement_interval(krippendorff_alpha, counts)
    assert wide[0] < narrow[0] < narrow[1] < wide[1] == 1

def test_agreement_that_is_not_defined_says_why():
    same = np.array([[3, 0], [2, 0]])
    for value in (krippendorff_alpha(same), fleiss_kappa(same[:1]), cohen_kappa([1], [1]),
                  agreement_interval(krippendorff_alpha, same)[0],
                  agreement_interval(krippendorff_alpha, np.array([[2, 0], [0, 2], [2, 0]]))[1]):
        assert np.isnan(value) and repr(value).startswith('undefined: ')

@pytest.mark.parametrize('call, words', [
    (lambda: cohen_kappa([1], []), '`a` and `b` must label the same items.*1 and 0'),
    (lambda: label_counts(np.array([[0, 3]]), 3), '`codes` must be from 0 to 2, or -1.*got 3'),
    (lambda: label_counts(np.array([[0., 1]]), 3), 'whole numbers.*`coded` makes them'),
    (lambda: label_counts(np.array([0, 1]), 3), r'\[item, annotator\].*1 axes'),
    (lambda: coded([['a', 'b']], names='a'), "`table` has the label 'b'.*put None"),
    (lambda: coded(['a', 'b']), '`table` must be .*got 1 axes'),
    (lambda: krippendorff_alpha(np.array([[1, 0]])), 'no item with two labels'),
    (lambda: krippendorff_alpha(np.array([[2, 0]]), 'ratio'), "`level` must be one of .*'ratio'"),
    (lambda: krippendorff_alpha(np.array([[2, 0]]), values=[1]), '`values` must be 2 numbers'),
    (lambda: coincidences(np.array([[-1, 3]])), '`counts` must be'),
    (lambda: fleiss_kappa(np.array([[2, 0], [2, 1]])), 'got 2 to 3. `krippendorff_alpha`'),
    (lambda: fleiss_kappa(np.zeros((0, 2), int)), 'got no items'),
    (lambda: agreement_interval(krippendorff_alpha, np.array([[2, 0]])), 'two items or more'),
    (lambda: confuser(3, 1.5), '`accuracy` must be a number from 0 to 1, got 1.5'),
    (lambda: planted_crowd(9, PEOPLE, [.5, .3, .2], 6), '`per_item` must be .* from 1 to 5'),
    (lambda: planted_crowd(9, PEOPLE, [.5, .3, .3], 2), '`prior` and each row'),
    (lambda: dawid_skene(np.full((3, 2), -1), 2), '`codes` hold no label at all'),
    (lambda: dawid_skene(CODES, 3, answers=2), '`answers` must be the 3 classes or more, got 2'),
    (lambda: dawid_skene(CODES, 3, answers=4, tied=True), 'exactly the 3 classes, got 4'),
    (lambda: apply_rules({}, [1]), '`rules` must hold a rule'),
    (lambda: apply_rules({'odd': lambda t: [.5, 1]}, [1, 2]), "rule 'odd' must give .*float64"),
    (lambda: apply_rules({'short': lambda t: [1]}, [1, 2]), r"rule 'short'.*shape \(1,\)"),
    (lambda: least_margin(np.array([[.5, .5]]), 2), '`n` must be from 0 to the 1 rows'),
    (lambda: core_set(np.zeros((3, 1)), np.array([], int), 1), '`asked` must hold a row'),
    (lambda: digit_pool(np.zeros((2, 2)), np.arange(2), 'none'), "`kind` must be one of .*'none'"),
])
def test_what_cannot_be_is_refused_with_its_name(call, words):
    with pytest.raises(InputError, match=words): call()

def test_words_become_codes_and_holes_stay():
    codes, names = coded([['no', None], ['yes', float('nan')]])
    assert codes.tolist() == [[0, -1], [1, -1]] and names == ['no', 'yes']
    assert coded([['b', 'a']], names=['b', 'a', 'c'])[0].tolist() == [[0, 1]]


# Crowds

def table_of(codes):
    import pandas as pd
    item, person = np.nonzero(codes >= 0)
    return pd.DataFrame(dict(task=item, worker=person, label=codes[item, person]))

@pytest.mark.filterwarnings('ignore') # The peer's own
@pytest.mark.parametrize('name, tied', [('DawidSkene', False), ('OneCoinDawidSkene', True)])
def test_em_is_that_of_crowd_kit(name, tied):
    module = pytest.importorskip('crowdkit.aggregation')
    theirs = getattr(module, name)(n_iter=8, tol=-np.inf).fit(table_of(CODES)).probas_
    ours = dawid_skene(CODES, 3, tied=tied, steps=8, tol=-np.inf).posterior
    np.testing.assert_allclose(ours, theirs.sort_index().sort_index(axis=1), atol=1e-6)

def test_the_likelihood_falls_in_no_step_and_is_that_of_the_labels():
    found = dawid_skene(CODES, 3)
    assert found.converged and (np.diff(found.log_likelihood) > -1e-9).all()
    said = np.array([[found.confusion[j, :, c] if c >= 0 else np.ones(3)
                      for j, c in enumerate(row)] for row in CODES]).prod(1)
    whole = np.log(said @ found.prior).sum()
    assert whole == pytest.approx(found.log_likelihood[-1], abs=1e-3)

def test_planted_confusion_is_recovered_nearly_as_well_as_with_the_truth():
    errors = []
    for seed in range(5):
        truth, codes = planted_crowd(1000, PEOPLE, [.5, .3, .2], 4, seed)
        found = dawid_skene(codes, 3)
        ways = found.posterior, np.eye(3)[truth], np.eye(3)[majority(codes, 3)]
        errors.append([np.abs(confusions(codes, p, 3) - PEOPLE).mean() for p in ways])
        assert (found.labels == truth).mean() > (majority(codes, 3) == truth).mean()
    em, floor, voted = np.mean(errors, axis=0)
    assert floor < em < 2*floor < voted

def test_the_two_steps_of_the_lesson_are_those_of_the_engine_room():
    found = dawid_skene(CODES, 3, tol=1e-9, steps=5000)
    np.testing.assert_allclose(confusions(CODES, found.posterior, 3), found.confusion, atol=1e-3)
    again = posterior(CODES, found.prior, found.confusion)
    np.testing.assert_allclose(again, found.posterior, atol=1e-9)

def test_whoever_says_nothing_and_items_without_labels_are_borne():
    codes = np.c_[CODES, np.full(len(CODES), -1)]
    codes[:3] = -1
    found = dawid_skene(codes, 3)
    assert np.isfinite(found.posterior).all() and np.isfinite(found.confusion).all()
    np.testing.assert_allclose(found.posterior[:3], np.tile(found.prior, (3, 1)), atol=1e-3)

def test_silence_as_an_answer_helps_rules_that_speak_for_one_class():
    truth, said = planted_crowd(2000, np.stack([[[.95, 0, .05], [.3, 0, .7]]]*4), [.5, .5], 4, 0)
    not_asked = dawid_skene(np.where(said == 2, -1, said), 2)
    spoken = dawid_skene(said, 2, answers=3)
    assert (spoken.labels == truth).mean() > .9 > .6 > (not_asked.labels == truth).mean()

def test_planted_answers_come_as_often_as_planted():
    truth, codes = planted_crowd(20_000, PEOPLE, [.5, .3, .2], 3, 0)
    assert ((codes >= 0).sum(1) == 3).all()
    np.testing.assert_allclose(np.bincount(truth)/20_000, [.5, .3, .2], atol=.01)
    np.testing.assert_allclose(confusions(codes, np.eye(3)[truth], 3), PEOPLE, atol=.03)

def test_ties_of_a_vote_fall_either_way():
    ways = majority(np.tile([0, 2], (2000, 1)), 3)
    assert set(ways.tolist()) == {0, 2} and abs((ways == 0).mean() - .5) < .05


# Queries

def test_queries_are_what_sorting_finds():
    p = np.random.default_rng(0).dirichlet(np.ones(5), 200)
    gaps = [sorted(row)[-1] - sorted(row)[-2] for row in p.tolist()]
    assert least_margin(p, 20).tolist() == np.argsort(gaps)[:20].tolist()
    assert most_entropy(p, 20).tolist() == np.argsort(-entropy(p, axis=1))[:20].tolist()
    assert most_entropy(np.array([[1., 0.], [.5, .5]]), 1).tolist() == [1]

def test_a_core_set_is_farthest_first_and_covers_within_twice_the_best():
    x = np.random.default_rng(0).normal(size=(60, 3))
    chosen, far = core_set(x, np.array([5]), 10), pairwise_distances(x)
    have = [5]
    for row in chosen:
        assert far[row, have].min() == pytest.approx(far[:, have].min(1).max())
        have.append(row)
    lots = [far[:, np.r_[5, np.random.default_rng(s).permutation(60)[:10]]].min(1).max()
            for s in range(200)]
    assert far[:, have].min(1).max() <= 2*min(lots)

def test_a_way_sees_no_label_that_it_did_not_ask_for():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 2)), rng.integers(0, 3, 60)
    seen = []
    def watch(r):
        seen.append((r.asked.tolist(), r.rest.tolist(), r.p.shape))
        return r.rest[:r.n]
    first = ask_and_learn(watch, logistic(3), (x, y), (x, y), start=5, batch=4, rounds=3)
    assert first.accuracy.shape == (4,) and len(set(first.rows.tolist())) == 17
    for asked, rest, shape in seen:
        assert not set(asked) & set(rest) and shape == (60 - len(asked), 3)
    other = y.copy()
    other[np.setdiff1d(np.arange(60), first.rows)] = 0
    again = ask_and_learn(watch, logistic(3), (x, other), (x, y), start=5, batch=4, rounds=3)
    np.testing.assert_array_equal(first.accuracy, again.accuracy)

@pytest.mark.parametrize('query', [lambda r: r.asked[:r.n], lambda r: r.rest[:1],
                                   lambda r: np.repeat(r.rest[:1], r.n)])
def test_a_way_that_asks_twice_or_too_little_is_refused(query):
    x, y = np.random.default_rng(0).normal(size=(30, 2)), np.arange(30) % 2
    with pytest.raises(InputError, match='`query` must give 4 different rows'):
        ask_and_learn(query, logistic(2), (x, y), (x, y), start=5, batch=4, rounds=1)
    with pytest.raises(InputError, match='labels of a pool of 30; ask for fewer'):
        ask_and_learn(query, logistic(2), (x, y), (x, y), start=5, batch=4, rounds=9)

def test_one_class_is_said_of_every_row():
    said = logistic(3)(np.zeros((2, 1)), np.array([1, 1]))(np.zeros((2, 1)))
    assert said.tolist() == [[0, 1, 0]]*2

def test_pools_are_as_they_say():
    x, y = np.random.default_rng(0).random((1000, 64)), np.arange(1000) % 10
    for kind in POOLS:
        new, label = digit_pool(x, y, kind, seed=3)
        assert len(new) == len(label) and new.shape[1] == 64
    rare = np.bincount(digit_pool(x, y, 'rare')[1])
    assert rare[:5].max() < 25 and rare[5:].tolist() == [100]*5
    copied, label = digit_pool(x, y, 'copies')
    assert len(label) == 3000 and (np.diff(label[:10]) == 0).all()
    assert (digit_pool(x, y, 'overlaid')[0] >= x).all()

@pytest.mark.skipif(not is_here(card('hate_speech')), reason='hate_speech is not in the data home')
def test_the_votes_are_those_of_the_card():
    frame = load('hate_speech')
    votes = frame.select('hate_speech', 'offensive_language', 'neither').to_numpy()
    assert votes.sum(1).tolist() == frame['count'].to_list()
    assert np.bincount(frame['class']).tolist() == [1430, 19190, 4163]
    assert (votes.argmax(1) == frame['class'].to_numpy()).all()


def test_labels_that_are_missing_are_no_label():
    with pytest.raises(InputError, match='none of them NaN'): cohen_kappa([1., np.nan], [1., 1.])
