"What is learned is learned from training rows, and a score on others than new rows is refused"
import numpy as np
import polars as pl
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.preprocessing import StandardScaler, TargetEncoder

from dlcourse.core.errors import InputError
from dlcourse.data.features import Images, Sounds, Words, tone
from dlcourse.data.leaks import LEAKS, encoding, false_gain
from dlcourse.data.pipelines import (
    Examples,
    LeakError,
    Pipeline,
    Standardize,
    TargetEncode,
    fit_scale,
    out_of_fold,
    past_mean,
    split_leaks,
)
from dlcourse.evaluation.metrics import accuracy

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def same_numbers():
    "Each test draws the same, whichever ran before it"
    global RNG
    RNG = np.random.default_rng(0)


def test_scale_is_scikit_learns():
    x = RNG.normal(3, 2, (50, 4))
    x[RNG.random(x.shape) < .1] = np.nan
    x[:, 3] = 7
    rows = RNG.permutation(50)[:30]
    theirs = StandardScaler().fit(x[rows])
    mean, deviation = fit_scale(x, rows)
    np.testing.assert_allclose(mean, theirs.mean_)
    np.testing.assert_allclose(deviation, theirs.scale_)


@pytest.mark.parametrize('strength', [0., 1., 20.])
def test_codes_are_scikit_learns(strength):
    code, y = RNG.integers(0, 60, 300), RNG.integers(0, 2, 300).astype(float)
    fold = np.zeros(300, int)
    for i, (_, held) in enumerate(KFold(4, shuffle=True, random_state=1).split(code)):
        fold[held] = i
    theirs = TargetEncoder(target_type='continuous', smooth=strength,
                           cv=KFold(4, shuffle=True, random_state=1))
    np.testing.assert_allclose(out_of_fold(code, y, fold, strength),
                               theirs.fit_transform(code[:, None], y)[:, 0])
    ours = TargetEncode(strength=strength)
    ours.learn(code, y)
    new = np.array([3, 999, -5])
    np.testing.assert_allclose(ours.apply(new), theirs.transform(new[:, None])[:, 0])


def test_past_is_polars_window():
    day, values = np.sort(RNG.integers(0, 90, 120)), RNG.standard_normal(120)
    frame = pl.DataFrame({'day': day, 'v': values}).rolling('day', period='9i', closed='left')
    want = frame.agg(pl.col('v').mean())['v'].fill_null(np.nan).to_numpy()
    order = RNG.permutation(120)
    np.testing.assert_allclose(past_mean(values[order], day[order], 9), want[order], atol=1e-12)


def data(n=60):
    x = RNG.standard_normal((n, 3))
    return Examples(x=x, y=(x[:, 0] > 0).astype(int))


def test_a_pipeline_fitted_to_training_rows_scores_and_others_are_refused():
    all_rows = data()
    train, test = all_rows[np.arange(40)], all_rows[np.arange(40, 60)]
    def pipeline(): return Pipeline(Standardize(), model=LogisticRegression())
    assert pipeline().fit(train).score(accuracy, test) > .8
    with pytest.raises(LeakError, match='20 of 20, such as id 40'):
        pipeline().fit(all_rows).score(accuracy, test)
    scaled = Standardize().fit_transform(all_rows)
    model = Pipeline(model=LogisticRegression()).fit(scaled[np.arange(40)])
    with pytest.raises(LeakError, match='`test`'):
        model.score(accuracy, scaled[np.arange(40, 60)])
    with pytest.raises(LeakError): # The step alone is enough, on fresh test rows too
        model.score(accuracy, test)
    with pytest.raises(InputError, match='`fit`|`score`'): pipeline().score(accuracy, test)
    with pytest.raises(InputError, match='learned nothing'): Standardize().transform(test)


def test_training_rows_are_coded_out_of_fold_in_a_pipeline():
    train = Examples(x=np.arange(50), y=RNG.integers(0, 2, 50)) # Each a category of its own
    coded = TargetEncode(strength=0., folds=5).fit_transform(train)
    assert abs(np.corrcoef(coded.x, train.y)[0, 1]) < .9 # In its own row's code it would be 1
    np.testing.assert_array_equal(coded.seen, np.arange(50))


def test_examples_know_their_rows():
    with pytest.raises(InputError, match='`ids`'): data()[np.array([1, 1])]
    with pytest.raises(InputError, match='`y`'): Examples(x=np.zeros((3, 1)), y=np.zeros(2))
    rows = Examples(x=pl.DataFrame({'a': [1, 2, 3]}), y=np.array([0, 1, 0]))[np.array([2, 0])]
    assert rows.x['a'].to_list() == [3, 1] and rows.ids.tolist() == [2, 0]


def test_kinds_of_leak_are_told():
    x = np.array([[1.], [2.], [1.], [3.]])
    got = split_leaks(np.array([0, 1]), np.array([2, 3]), x=x, groups=np.array([*'abbc']),
                      time=np.array([0, 5, 5, 6]))
    assert got == {'rows': 0., 'copies': .5, 'groups': .5, 'future': .5}


@pytest.mark.parametrize('leak, least', [('choosing before the split', .1),
                                         ('copies across the split', .1),
                                         ('a patient on both sides', .2), ('the future', .1),
                                         ('encoding with the target', .1)])
def test_a_leak_promises_more_than_comes_true_and_its_cure_does_not(leak, least):
    for way in LEAKS[leak]:
        gains = [false_gain(leak, way, seed)['false gain'] for seed in range(10)]
        assert np.mean(gains) > least if way == 'leak' else abs(np.mean(gains)) < .2
    with pytest.raises(InputError, match='`leak`'): false_gain('none', 'leak', 0)
    with pytest.raises(InputError, match='`how`'): encoding(0, how='other')


def test_words_are_scikit_learns_and_learn_no_new_ones():
    train = np.array(['the cat sat', 'a dog sat down', 'The cat, again'])
    new = np.array(['the bird sat', 'birds'])
    ours, theirs = Words(least=1), TfidfVectorizer().fit(train)
    ours.learn(train, None)
    np.testing.assert_allclose(ours.apply(new), theirs.transform(new).toarray())
    with pytest.raises(InputError, match='`least`'): Words(least=9).learn(train, None)


def test_images_and_sounds_keep_what_they_learned():
    x = RNG.normal(5, 2, (20, 3, 4, 4))
    images = Images()
    images.learn(x, None)
    flat = images.apply(x).reshape(x.shape)
    np.testing.assert_allclose(flat.mean((0, 2, 3)), 0, atol=1e-12)
    np.testing.assert_allclose(flat.std((0, 2, 3)), 1)
    with pytest.raises(InputError, match='3 channels'): images.apply(x[:, :1])
    x[:, 1] = .1 # Whose deviation rounds to 1e-17, not to 0
    images.learn(x, None)
    assert images.deviation[1] == 1 and np.abs(images.apply(x)).max() < 10
    with pytest.raises(InputError, match='images of shape'): images.learn(x[0], None)
    clips, _ = tone(6)
    sounds = Sounds()
    sounds.learn(clips[:3], None)
    assert not np.allclose(sounds.apply(clips)[3:].mean(), 0, atol=1e-6)
    np.testing.assert_allclose(sounds.apply(clips)[:3].mean(), 0, atol=1e-9)
