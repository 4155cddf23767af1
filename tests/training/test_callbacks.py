"How a run is told what to do, what it leaves behind, and when it is stopped"
import math

import polars as pl
import pytest
import torch

from dlcourse.core.errors import InputError
from dlcourse.training.callbacks import (
    AtEpochs,
    EarlyStopping,
    FitConfig,
    History,
    forgone,
    patience_needed,
)


@pytest.mark.parametrize('how, says', [
    (dict(epochs=0), '`epochs` must be a whole number from 1, got 0'),
    (dict(batch_size=2.), '`batch_size` must be a whole number from 1, got 2.0'),
    (dict(accumulate=1.5), '`accumulate` must be a whole number from 1, got 1.5'),
    (dict(max_steps=True), '`max_steps` must be a whole number'),
    (dict(lr=0.), '`lr` must be a number above 0, or None, got 0.0'),
    (dict(lr=[.1, math.nan]), '`lr` must be a number above 0, or None, got'),
    (dict(lr=[[.1]]), '`lr` must be a number above 0'),
    (dict(weight_decay=-.1), '`weight_decay` must be a number from 0, or None, got -0.1'),
    (dict(clip=float('nan')), '`clip` must be a number above 0'),
    (dict(clip=[1.]), '`clip` must be a number above 0'),
    (dict(precision='half'), "`precision` must be float32, bfloat16 or float16, got 'half'"),
    (dict(schedule=3), '`schedule` must be a function, got 3'),
    (dict(optimizer=None), '`optimizer` must be a function or a name, got None'),
    (dict(optimizer='lion'), "`optimizer` must be sgd, adam or adamw, or a function; got 'lion'"),
    (dict(momentum=.9), "`momentum` is for optimizer='sgd', got 0.9 with 'adamw'"),
    *((dict(lr=odd), '`lr` must be a number above 0, or None, got')
      for odd in ('0.1', True, [], ['a'], [.1, True], {}, 1j, 10**400)),
    *((dict(momentum=odd, optimizer='sgd'), '`momentum` must be a number from 0, got')
      for odd in ('x', [.9], -1., math.nan, None)),
    (dict(shuffle='no'), "`shuffle` must be True or False, got 'no'"),
    (dict(resume=[]), r'`resume` must be True or False, got \[\]'),
    (dict(progress='no'), "`progress` must be True or False, or None, got 'no'"),
    (dict(device=['cpu']), '`device` must be a name, such as cpu or cuda:1, or None, got'),
    (dict(checkpoint=True), '`checkpoint` must be the path of a file, or None, got True'),
    (dict(checkpoint=''), "`checkpoint` must be the path of a file, or None, got ''"),
    (dict(every=5), '`every` is 5, but there is no `checkpoint`'),
])
def test_what_a_config_refuses(how, says):
    with pytest.raises(InputError, match=says): FitConfig(**how)


def weights(): return [torch.zeros(2, 2, requires_grad=True)]


@pytest.mark.parametrize('how, kind, options', [
    ({}, torch.optim.AdamW, dict(lr=1e-3, weight_decay=.01, fused=True)),
    (dict(lr=.5, weight_decay=0.), torch.optim.AdamW, dict(lr=.5, weight_decay=0.)),
    (dict(optimizer='adam', lr=.1), torch.optim.Adam, dict(lr=.1, weight_decay=0, fused=True)),
    (dict(optimizer='sgd', lr=.1, momentum=.9), torch.optim.SGD,
     dict(lr=.1, momentum=.9, fused=True)),
    (dict(optimizer=torch.optim.RMSprop), torch.optim.RMSprop, dict(lr=.01)),
    (dict(optimizer=torch.optim.RMSprop, lr=.2, weight_decay=.3), torch.optim.RMSprop,
     dict(lr=.2, weight_decay=.3)),
])
def test_an_optimizer_is_made_by_name_or_by_a_function(how, kind, options):
    made = FitConfig(**how).make_optimizer(weights())
    assert type(made) is kind and options.items() <= made.defaults.items()


def test_rates_may_differ_between_members_but_not_for_one_model():
    config = FitConfig(lr=[.1, .2], weight_decay=.5)
    assert config.each('lr', 2).tolist() == [.1, .2]
    assert config.each('weight_decay', 3).tolist() == [.5]*3
    assert FitConfig().each('lr', 2).tolist() == [1e-3]*2
    assert FitConfig().each('weight_decay', 1).item() == .01
    assert FitConfig(optimizer='adam').each('weight_decay', 1).item() == 0
    with pytest.raises(InputError,
                       match='`lr` must be one number, or 3, one for each member; got 2'):
        config.each('lr', 3)
    with pytest.raises(InputError,
                       match=r'`lr` must be one number for one model, got \[0.1, 0.2\]'):
        config.make_optimizer(weights())


def test_a_config_makes_its_batches():
    x, y = torch.arange(10), torch.arange(10)
    made = FitConfig(batch_size=4, shuffle=False).batches(x, y, seed=5)
    assert (made.batch_size, made.shuffle, made.seed, len(made)) == (4, False, 5, 3)


def test_a_history_is_a_frame_with_a_row_for_each_epoch():
    history = History([{'epoch': 1, 'train_loss': 2.}, {'epoch': 2, 'train_loss': 1.}], [2., 1.],
                      'finished')
    assert isinstance(history.frame, pl.DataFrame) and history['train_loss'] == [2., 1.]
    assert 'finished: 2 epochs, 2 steps' in repr(history) and '<table' in history._repr_html_()
    with pytest.raises(InputError, match='`loss` is not in the history; there are: epoch, '
                                         'train_loss'):
        history['loss']
    with pytest.raises(InputError, match='there are: no rows'): History()['epoch']


def test_a_function_becomes_a_callback_of_its_own_name():
    seen = []
    def note(run): seen.append(run)
    callback = AtEpochs(note)
    callback.on_epoch('run')
    callback.on_step('run')
    assert seen == ['run'] and callback.name.endswith('note') and callback.state_dict() == {}


def test_what_early_stopping_remembers_goes_through_a_checkpoint():
    one, two = EarlyStopping(), EarlyStopping()
    one.best, one.best_epoch, one.weights = .5, 3, {'w': torch.ones(1)}
    two.load_state_dict(one.state_dict())
    assert two.__dict__ == one.__dict__


def test_what_early_stopping_refuses():
    with pytest.raises(InputError, match="`mode` must be min or max, .* got 'lower'"):
        EarlyStopping(mode='lower')
    with pytest.raises(InputError, match='whichever is better of `valid_accuracy`; got None'):
        EarlyStopping('valid_accuracy')
    assert EarlyStopping('valid_error').mode == EarlyStopping().mode == 'min'
    for odd in (0, '5', 2.5, True):
        with pytest.raises(InputError, match='`patience` must be a whole number from 1, got'):
            EarlyStopping(patience=odd)
    for odd in ('x', -1, math.nan, True, None):
        with pytest.raises(InputError, match='`min_delta` must be a number from 0, got'):
            EarlyStopping(min_delta=odd)


def test_a_way_that_is_none_is_refused():
    for mode in ('maximum', 'Min', None):
        with pytest.raises(InputError, match='`mode` must be min or max'):
            patience_needed([1., 2.], mode)


@pytest.mark.parametrize('mode', ['min', 'max'])
def test_what_is_forgone_is_the_distance_to_the_own_best(mode):
    columns = torch.randn(5, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    history = History([dict(zip('abcde', row, strict=True)) for row in columns.T.tolist()])
    sign = 1 if mode == 'min' else -1
    at = int((sign*columns[0]).argmin())
    want = sign*columns[:, at] - (sign*columns).min(1).values
    found = forgone(history, 'a', 'abcde', mode)
    torch.testing.assert_close(torch.tensor([*found.values()], dtype=torch.float64), want)
    assert found['a'] == 0


def test_a_column_without_a_number_forgoes_nothing_that_could_be_said():
    history = History([{'a': 1., 'b': math.nan}, {'a': 2., 'b': math.nan}])
    with pytest.raises(InputError, match='none but nan'): forgone(history, 'a', ['b'])
    with pytest.raises(InputError, match='`mode` must be min or max'):
        forgone(history, 'a', ['a'], 'most')
