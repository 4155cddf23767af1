"Lessons: a notebook taken apart, and what does not fit"
import json
import time

import pytest
from classroom.made_up import HEAD, MASK, MASK_CHECK, MASK_WRONG, PAGE

from dlcourse.classroom.lessons import find_exercise, lessons, untouched
from dlcourse.core.errors import InputError


def test_exercise_knows_what_belongs_to_it(mask):
    assert (mask.id, mask.module, mask.parameter, mask.title) == ('transformers.tiny.causal_mask',
                                                                  'dlcourse.transformers.tiny',
                                                                  'causal_mask',
                                                                  'Who may look at whom')
    assert (mask.level, mask.importance, mask.minutes, mask.without) == (1, 3, 5, ())
    assert mask.hints == ('Start with ones.',)
    assert mask.checks == (MASK_CHECK,) and mask.wrongs == (MASK_WRONG,) and mask.source == MASK


def test_method_and_without(lesson):
    found = lesson()
    assert found['Value.__add__'].parameter == 'Value'
    assert found['softmax'].without == ('F.softmax', 'torch.softmax')


@pytest.mark.parametrize('cells, words', [
    ((*HEAD, MASK, '#| check casual_mask\n1'),
     '`#| check casual_mask` names no exercise of 03_tiny.ipynb; there are: causal_mask'),
    ((*HEAD, MASK, MASK), '`causal_mask` is the name of two exercises'),
    ((*HEAD, MASK.replace('#| export\n', '')), 'not exported; add `#| export`'),
    ((*HEAD, '#| export\n#| exercise f\ndef g(): pass'), 'does not define `f`'),
    ((*HEAD, '#| export\n#| exercise f\ndef f(:'), 'the reference is not Python'),
    ((*HEAD, '#| export\n#| exercise 3f\ndef f(): pass'),
     "needs the name of a function or Class.method, got '3f'"),
    ((*HEAD, '#| export\n#| exercise\ndef f(): pass'), "got ''"),
    ((*HEAD, '#| export\n#| exercise f weight=3\ndef f(): pass'),
     '`weight` is no argument of an exercise (f); there are: level, importance, minutes, without'),
    ((*HEAD, '#| export\n#| exercise f minutes=long\ndef f(): pass'),
     "`minutes` must be a whole number from 1 to 240, got 'long' (f)"),
    ((MASK,), "must open with `#| default_exp part.lesson`, got ''"),
])
def test_lesson_says_what_does_not_fit(lesson, cells, words):
    with pytest.raises(InputError) as e: lesson(*cells)
    assert words in str(e.value)


def test_lesson_is_read_again_when_it_changes(lesson):
    before = lesson()
    time.sleep(.01)
    after = lesson(*(c.replace('level=1', 'level=4') if isinstance(c, str) else c for c in PAGE))
    assert before['causal_mask'].level == 1 and after['causal_mask'].level == 4


def test_find_exercise(lesson, tmp_path):
    lesson()
    lesson(*(c.replace('.tiny', '.other') if isinstance(c, str) else c for c in PAGE),
           name='06_transformers/04_other.ipynb')
    nbs = tmp_path/'nbs'
    assert find_exercise('other.causal_mask',
                         nbs).id == 'transformers.other.causal_mask' == find_exercise('causal_mask',
                                                                                      nbs,
                                                                                      'transformers.other').id
    assert find_exercise('transformers.tiny.Value.__add__', nbs).name == 'Value.__add__'
    with pytest.raises(InputError, match='say which: transformers.tiny.causal_mask, '
                                         'transformers.other.causal_mask'):
        find_exercise('causal_mask', nbs)
    with pytest.raises(InputError, match='`mask` is no exercise; the top of each page'):
        find_exercise('mask', nbs)


@pytest.mark.parametrize('listed', [True, False])
@pytest.mark.parametrize('above, line', [
    ('', '#| exercise f'), ('', ' #| exercise f'), ('', '# | exercise f'), ('', '#|exercise f'),
    ('', '#| exercise: f'), ('', '#|\texercise\tf'), ('  \n', '#| exercise f'),
    ('#| slide é "x"\n', '#|   exercise   f'),
    ('\n#| slide: x \n', '#| exercise f')])
def test_every_exercise_that_a_page_has_is_found(lesson, tmp_path, listed, above, line):
    asked, plain = MASK.split('\n', 2)[1], MASK.split('\n', 2)[2]
    assert asked.startswith('#| exercise causal_mask')
    opening = above + line.replace(' f', ' causal_mask').replace('\tf', '\tcausal_mask')
    lesson(*HEAD, f'{opening}\n#| export\n{plain}', MASK_CHECK, MASK_WRONG)
    path = tmp_path/'nbs/06_transformers/03_tiny.ipynb'
    book = json.loads(path.read_text(encoding='utf-8'))
    if listed:
        for c in book['cells']: c['source'] = c['source'].splitlines(True)
    for plain in (True, False):
        path.write_text(json.dumps(book, ensure_ascii=plain), encoding='utf-8')
        assert find_exercise('causal_mask', tmp_path/'nbs').name == 'causal_mask'
    with pytest.raises(InputError, match='is no exercise'): find_exercise('mask', tmp_path/'nbs')


def test_untouched(mask, lesson):
    assert untouched(mask, mask.blank) and untouched(mask, mask.blank + '\n# let me think')
    assert not untouched(mask, MASK)
    assert not untouched(mask, 'def f(:')
    assert untouched(mask, 'def causal_mask(n, other=1):\n    raise NotImplementedError("Your '
                           'turn: x")')


LEVELS = dict(draw=2, sgd_update=2, evaluate=3, roc_auc=3, wilson=3, successive_halving=4,
              auc_bounds=3, log_softmax=1, padding_mask=1, disagreement=2, dropout=1,
              crossed_terms=1)


def test_levels_that_a_reader_disputed_are_as_he_found_them():
    found = {e.name: e.level for one in lessons() for e in one.exercises if e.name in LEVELS}
    assert found == LEVELS
