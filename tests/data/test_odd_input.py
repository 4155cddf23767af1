"What part 04 does with odd input: an error that names it, or a defined result"
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch

from dlcourse.core.errors import InputError
from dlcourse.data import (
    agreement,
    annotation,
    crowd,
    features,
    generators,
    imbalance,
    noise,
    pipelines,
    querying,
    synthesis,
    synthetic,
    transforms,
)
from dlcourse.data.augmentation import mixup
from dlcourse.data.pipelines import Examples, Standardize, TargetEncode

NAN, INF = float('nan'), float('inf')
P = np.array([[.9, .1], [.2, .8], [.6, .4], [.3, .7]])
Y = np.array([0, 1, 1, 0])
CODES = np.array([[0, 1, 1], [1, 1, -1], [0, 0, 0]])
TABLE = {'a': np.arange(30.), 'b': np.array(['x', 'y', 'z']*10), 'c': np.arange(30) % 2}
SOUNDS = np.ones((3, 200))
IMAGES, LABELS = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.eye(3)
FIT = noise.FitConfig(epochs=1, batch_size=4, progress=False)

def rng(): return torch.Generator().manual_seed(0)

def one_round(query, **sizes):
    x, y = np.arange(80.).reshape(40, 2), np.arange(40) % 2
    how = dict(start=5, batch=2, rounds=1) | sizes
    return querying.ask_and_learn(query, querying.logistic(2), (x, y), (x, y), **how)

def held_out(x, y, folds=2):
    return noise.held_out_probabilities(lambda: torch.nn.Linear(2, 2), x, y, FIT, folds=folds)

def encoder(x=('a', 'b', 'a', 'b'), y=(0, 1, 0, 1), **how):
    return TargetEncode(**how).fit(Examples(x=np.array(x), y=np.array(y)))

REFUSED = {
    'alpha, NaN': (lambda: agreement.krippendorff_alpha([[1, NAN], [2, 1]]), '`counts`.*finite'),
    'alpha, infinity': (lambda: agreement.krippendorff_alpha([[1, INF], [2, 1]]), '`counts`'),
    'alpha, ragged': (lambda: agreement.krippendorff_alpha([[1, 1], [2]]), '`counts`'),
    'alpha, values': (lambda: agreement.krippendorff_alpha([[1, 1], [2, 0]], 'interval', [1, NAN]),
                      '`values`'),
    'mixed labels': (lambda: agreement.coded([[1, 'a'], [None, 2]]), '`table`.*one kind'),
    'names twice': (lambda: agreement.coded([['a', 'b']], ['a', 'b', 'a']), '`names`'),
    'no classes': (lambda: agreement.label_counts(np.array([[-1]]), 0), '`classes`'),
    'confusions, code': (lambda: annotation.confusions(np.array([[0, 5]]), P[:1], 2), '`codes`'),
    'confusions, rows': (lambda: annotation.confusions(CODES, P[:2], 2), '`p` must be prob'),
    'confusions, NaN': (lambda: annotation.confusions(CODES, P[:3]*NAN, 2), '`p`'),
    'entropy, too many': (lambda: annotation.most_entropy(P, 9), '`n` .* from 0 to 4'),
    'entropy, below 0': (lambda: annotation.most_entropy(P, -1), '`n`'),
    'entropy, NaN': (lambda: annotation.most_entropy(P*NAN, 1), '`p`'),
    'entropy, logits': (lambda: annotation.most_entropy(-P, 1), '`p` must be probabilities'),
    'a rule of words': (lambda: annotation.apply_rules({'r': lambda t: ['x']}, [1]), "rule 'r'"),
    'one class': (lambda: crowd.confuser(1, .5), '`classes`'),
    'chances below 0': (lambda: crowd.planted_crowd(5, [[[2., -1], [0, 1]]], [.5, .5], 1),
                        '`confusion` must be chances'),
    'classes of the prior': (lambda: crowd.planted_crowd(5, [np.eye(2)], [.2, .3, .5], 1),
                             '3 classes'),
    'EM, no steps': (lambda: crowd.dawid_skene(CODES, 2, steps=0), '`steps`'),
    'EM, smoothing': (lambda: crowd.dawid_skene(CODES, 2, smoothing=-1.), '`smoothing`'),
    'EM, answers': (lambda: crowd.dawid_skene(CODES, 2, answers=0), '`answers`'),
    'one text': (lambda: features.Words(1).learn('one text', None), '`x` must have a text in each'),
    'no text': (lambda: features.Words(1).learn(['ab', None], None), 'None in row 1'),
    'pixels, infinity': (lambda: features.Images().learn(np.full((1, 1, 2, 2), INF), None), '`x`'),
    'no images': (lambda: features.Images().learn(np.ones((0, 1, 2, 2)), None), '`x` must be im'),
    'frame': (lambda: features.log_spectrum(SOUNDS, 500), '`frame` .* to 200'),
    'sound, NaN': (lambda: features.log_spectrum(SOUNDS*NAN), '`x`'),
    'columns of pairs': (lambda: generators.check_complete({'a': np.ones((3, 2))}), '`table`'),
    'infinite value': (lambda: generators.check_complete({'a': [0., INF]}), 'infinity in row 1'),
    'one name for two': (lambda: generators.arrays_of({1: [1], '1': [2]}), '`frame`'),
    'words and numbers': (lambda: generators.arrays_of({'a': np.array([1, 'x'], object)}), 'both'),
    'column left out': (lambda: generators.coordinates({'a': TABLE['a']}, TABLE), '`table`'),
    'another type': (lambda: generators.coordinates({'a': ['q']}, {'a': [1., 2.]}),
                     '`a` must hold'),
    'nobody to be near': (lambda: generators.nearest_distance(P, P[:0]), '`others`'),
    'near, NaN': (lambda: generators.nearest_distance(P*NAN, P), '`rows`'),
    'share': (lambda: imbalance.screening(3, 0, 'x'), '`share`'),
    'classes, fractions': (lambda: imbalance.resampled(Y*1.), '`y` must be 0 or 1'),
    'SMOTE, NaN': (lambda: imbalance.smote(P*NAN, 3, 1), '`x`'),
    'SMOTE, no neighbours': (lambda: imbalance.smote(P, 3, 0), '`neighbors`'),
    'cost': (lambda: imbalance.cost_threshold(INF, INF), '`alarm`'),
    'cost of chances': (lambda: imbalance.mean_cost(Y, P[:, 0]), '`said` must be 0 or 1'),
    'cost, another shape': (lambda: imbalance.mean_cost(Y, Y[:, None]), '`y_true` and `said`'),
    'cost of -1 and 1': (lambda: imbalance.mean_cost(2*Y - 1, Y), '`y_true` must be 0 or 1'),
    'matrix without rows': (lambda: noise.check_transition(np.zeros((0, 0))), '`transition`'),
    'matrix of words': (lambda: noise.check_transition([['a']]), '`transition`'),
    'noise of one class': (lambda: noise.noise_matrix(1, .1), '`classes`'),
    'class below 0': (lambda: noise.flip_labels(np.array([0, -1]), np.eye(3)), '`y` must be cl'),
    'mask for classes': (lambda: noise.flip_labels(np.array([True, False]), np.eye(2)), '`y`'),
    'truth below 0': (lambda: noise.transition_matrix([0, -1], [0, 1], 2), 'classes from 0 on'),
    'label below 0': (lambda: noise.transition_matrix([0, 1], [0, -1], 2), 'classes from 0 on'),
    'margin, below none': (lambda: annotation.least_margin(P, -1), '`n` must be from 0'),
    'no epochs': (lambda: noise.CoTeaching(.2, 0), '`epochs`'),
    'margin, class below 0': (lambda: noise.label_margin(Y - 1, P), '`y` must be classes'),
    'margin, NaN': (lambda: noise.label_margin(Y, P*NAN), '`p` must be probabilities'),
    'margin, one class': (lambda: noise.label_margin(Y*0, np.ones((4, 1))), 'two classes'),
    'joint of shares': (lambda: noise.label_issues(Y, P, P[:2]), '`joint` must be how many rows'),
    'held out, y': (lambda: held_out(torch.ones(4, 2), torch.ones(4)), '`x` and `y` must be tens'),
    'held out, folds': (lambda: held_out(torch.ones(4, 2), torch.tensor(Y), 2.5), '`folds`'),
    'held out, NaN': (lambda: held_out(torch.full((4, 2), NAN), torch.tensor(Y)), 'diverge'),
    'x without rows': (lambda: Examples(x=5), '`x` must have rows'),
    'ids with fractions': (lambda: Examples(x=P, ids=[.2, .7, 1.2, 1.7]), '`ids` must be whole'),
    'no Examples': (lambda: Standardize().fit(P), '`train` must be `Examples`'),
    'scale, infinity': (lambda: Standardize().fit(Examples(x=[[1.], [INF]])), '`x`'),
    'scale, no rows': (lambda: Standardize().fit(Examples(x=P[:0])), '`x`'),
    'scale, columns': (lambda: Standardize().fit(Examples(x=P)).apply(P[:, :1]), 'columns it was'),
    'no step': (lambda: pipelines.Pipeline('scale'), '`steps`'),
    'leaks, masks': (lambda: pipelines.split_leaks(Y > 0, Y == 0), '`train`.*flatnonzero'),
    'leaks, no test': (lambda: pipelines.split_leaks([0], []), '`test`'),
    'leaks, time NaN': (lambda: pipelines.split_leaks([0], [1], time=[NAN, 1.]), '`time`'),
    'leaks, who NaN': (lambda: pipelines.split_leaks([0], [1], groups=[NAN, NAN]), '`groups`'),
    'leaks, rows': (lambda: pipelines.split_leaks([0], [9], x=P), '`x` .* each of 10 rows'),
    'encode, one row': (lambda: encoder(['a'], [1]), '`x` must be a category'),
    'encode, y NaN': (lambda: encoder(y=(0, NAN, 1, 0)), '`y`'),
    'encode, strength': (lambda: TargetEncode(INF), '`strength`'),
    'encode, mixture': (lambda: TargetEncode().learn(np.array(['a', None], object), [0, 1]),
                        'kind'),
    'encode, other type': (lambda: encoder([1, 2, 1, 2]).apply(np.array(['1'])),
                           '`x` must hold num'),
    'encode, not fitted': (lambda: TargetEncode().apply(np.array(['a'])), 'learned nothing'),
    'asked from the end': (lambda: one_round(lambda r: r.asked[:2] - 40), '`query` must give 2'),
    'asked beyond': (lambda: one_round(lambda r: np.array([98, 99])), '`query` must give 2'),
    'no rounds': (lambda: one_round(lambda r: r.rest[:2], rounds=-1), '`rounds`'),
    'labels beyond': (lambda: querying.logistic(2)(P, Y + 5), '`y` must be whole numbers'),
    'a group without value': (lambda: synthesis.by(np.array(['q']), {'a': 1}), "none for .*'q'"),
    'income': (lambda: synthesis.lending(9, do={'income': -5}),
               '`income` must be set to .* above 0'),
    'income in words': (lambda: synthesis.lending(9, do={'income': 'x'}), '`income`'),
    'merit': (lambda: synthesis.merit([-5.], [.1], [1], [0]), '`income` must be above 0'),
    'people': (lambda: synthesis.draws(2.5, 0), '`n`'),
    'seed': (lambda: synthesis.draws(2, -1), '`seed`'),
    'energy, NaN': (lambda: synthetic.energy_distance(P*NAN, P), '`a`'),
    'energy, nobody': (lambda: synthetic.energy_distance(P, P[:0]), '`a` and `b` must be points'),
    'energy, axes': (lambda: synthetic.energy_distance(P, P[:, :1]), '`a` and `b` must be points'),
    'warp, bytes': (lambda: transforms.warp((IMAGES*255).byte(), transforms.affine(3, rng())),
                    '`images` must be a tensor of floats'),
    'light, bytes': (lambda: transforms.photometric((IMAGES*255).byte(), rng()), '`images`'),
    'cutout, 3 axes': (lambda: transforms.cutout(IMAGES[0], rng()), '`images`'),
    'scale of 1.5': (lambda: transforms.affine(3, rng(), scale=1.5), '`scale`'),
    'box below 0': (lambda: transforms.boxes(2, 4, 4, -1., rng()), '`share`'),
    'CutMix, classes': (lambda: transforms.cutmix(IMAGES, torch.arange(3), rng()),
                        '`labels` must be s'),
    'mixup, classes': (lambda: mixup(IMAGES, torch.arange(3), rng()), '`labels` must be shares'),
    'mixup, low': (lambda: mixup(IMAGES, LABELS, rng(), 2.), '`low`'),
    'stripes': (lambda: transforms.spec_augment(IMAGES[:, 0], rng(), -1), '`bands`'),
    'a text for words': (lambda: transforms.perturb_words('a text', rng()), '`words`'),
}

@pytest.mark.parametrize('case', REFUSED)
def test_is_refused_by_name(case):
    call, told = REFUSED[case]
    with pytest.raises(InputError, match=told): call()

def makers(table):
    scores = synthetic.normal_scores
    return (generators.Independent(table), generators.GaussianCopula(table, scores),
            generators.Conditional(table))

def test_tables_of_lists_and_frames_are_as_those_of_arrays():
    lists = {name: column.tolist() for name, column in TABLE.items()}
    for want, *others in zip(*map(makers, (TABLE, lists, pl.DataFrame(TABLE), pd.DataFrame(TABLE))),
                             strict=True):
        for other in others:
            for name, column in want.sample(9, seed=3).items():
                assert (other.sample(9, seed=3)[name] == column).all()

def test_a_column_of_two_fractions_is_drawn_and_no_rows_are_none():
    table = {'a': TABLE['a'], 'b': np.where(TABLE['c'], .5, 1.5)}
    for maker in makers(table):
        assert set(maker.sample(50)['b']) == {.5, 1.5}
        assert [len(column) for column in maker.sample(0).values()] == [0, 0]
        for how in (dict(n=-1), dict(n=2.5), dict(n=2, seed=-1)):
            with pytest.raises(InputError): maker.sample(**how)

def test_what_is_drawn_does_not_change_with_the_table():
    own = {name: column.copy() for name, column in TABLE.items()}
    made = makers(own)
    before = [maker.sample(9)['a'] for maker in made]
    own['a'][:] = -1
    for maker, drawn in zip(made, before, strict=True): assert (maker.sample(9)['a'] == drawn).all()

def test_numbers_as_objects_are_numbers():
    numbers = np.array([1, 2, 3], object)
    assert generators.coordinates({'a': numbers}, {'a': numbers}).shape == (3, 1)

def test_bytes_do_not_wrap_around_between_rows():
    x = np.random.default_rng(0).integers(0, 256, (20, 3)).astype('uint8')
    made = imbalance.smote(x, 100)
    assert (made >= x.min(0)).all() and (made <= x.max(0)).all()
    assert np.array_equal(made, imbalance.smote(x.astype(float), 100))

def test_lists_are_as_arrays():
    said = [0, 0, 1, 1]
    assert imbalance.mean_cost([1, 1, 0, 0], said, 1, 10) == 22/4
    y = [0, 0, 0, 1]
    assert np.array_equal(imbalance.resampled(y), imbalance.resampled(np.array(y)))
    for f in (noise.noise_joint, noise.estimated_transition, noise.label_issues,
              noise.label_margin):
        assert np.array_equal(f(Y.tolist(), P.tolist()), f(Y, P))
        assert np.array_equal(f(torch.tensor(Y), torch.tensor(P)), f(Y, P))
        assert np.array_equal(f(pd.Series(Y, index=[3, 2, 1, 0]), P), f(Y, P))
    assert synthesis.by(['a', 'b'], {'a': 1, 'b': 2}).tolist() == [1, 2]

def test_half_precision_does_not_overflow():
    x = (60_000 + 8*np.arange(300.))[:, None].astype('float16')
    scale = Standardize().fit(Examples(x=x))
    assert scale.deviation == pytest.approx(x.astype(float).std(0))
    images = np.full((400, 1, 30, 30), 200, 'float16')
    images[0] = 100
    pixels = features.Images()
    pixels.learn(images, None)
    assert np.isfinite(pixels.deviation).all()

def test_rows_of_a_frame_are_picked_by_mask_and_ids_stay():
    rows = Examples(x=pl.DataFrame({'a': [1, 2, 3]}), y=[4, 5, 6], ids=[7, 8, 9])
    some = rows[np.array([True, False, True])]
    assert some.x['a'].to_list() == [1, 3] and some.y.tolist() == [4, 6]
    assert some.ids.tolist() == [7, 9]
    assert Examples(x=pd.DataFrame({'a': [1., 2.]}))[[1]].x.tolist() == [[2.]]

def test_what_could_not_be_fitted_anew_knows_nothing():
    scale = Standardize().fit(Examples(x=P))
    with pytest.raises(InputError): scale.fit(Examples(x=P*INF, ids=np.arange(4) + 70))
    with pytest.raises(InputError, match='learned nothing'): scale.transform(Examples(x=P))

def test_a_missing_category_is_one_of_its_own():
    x = np.array([1, NAN, NAN, 1])
    assert encoder(x, (1, 0, 0, 1), strength=1.).apply(np.array([NAN, 1., 5.])).tolist() == [
        .5/3, 2.5/3, .5]

def test_copies_with_a_gap_are_copies():
    x = np.array([[NAN, 1.], [NAN, 1.], [0., 1.]])
    assert pipelines.split_leaks([0], [1], x=x)['copies'] == 1
    assert pipelines.split_leaks([0], [2], x=x)['copies'] == 0

@pytest.mark.parametrize('what', [dict(sex={'Female': NAN, 'Male': 1.}),
                                  dict(sex={'Female': -.5, 'Male': 1.5}),
                                  dict(base_rate={'Female': 2., 'Male': .5}),
                                  dict(income_ratio={'Female': 0., 'Male': 1.})])
def test_a_world_of_impossible_numbers_is_refused(what):
    from dataclasses import replace
    with pytest.raises(InputError): replace(synthesis.LENDING, **what)

def test_a_comma_stays_in_its_cell():
    import csv
    import io
    world = {'a, b': ['x,y', 'a "word"'], 'income': [1., 2.]}
    read = list(csv.reader(io.StringIO(synthesis.to_csv(world))))
    assert read == [['a, b', 'income'], ['x,y', '1.0'], ['a "word"', '2.0']]

@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_changes_keep_the_type_of_images(dtype):
    images = IMAGES.to(dtype)
    assert transforms.photometric(images, rng()).dtype == dtype
    assert transforms.warp(images, transforms.affine(3, rng(), degrees=9)).dtype == dtype
    assert transforms.warp(images[:0], transforms.affine(0, rng())).shape == (0, 1, 8, 8)
