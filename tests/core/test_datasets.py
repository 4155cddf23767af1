"The catalogue: readers, splits, and the real files where they are"
import hashlib
import math
import struct
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from dlcourse.core import datasets as catalogue
from dlcourse.core.cards import Card, Column, DataFile, card, cards
from dlcourse.core.datasets import load, read_idx, reader
from dlcourse.core.downloads import fetch
from dlcourse.core.errors import InputError
from dlcourse.core.files import project_path
from dlcourse.core.settings import settings

# What comes along

@pytest.mark.parametrize(
    'name', [n for n, c in cards().items() if (c.kind, c.format) == ('embedded', 'table')])
def test_embedded_data_load(name, tmp_path):
    frame, path = load(name, tmp_path), project_path('datasets', name, card(name).files[0].path)
    header = path.read_text(encoding='utf-8').splitlines()[0].split(',')
    assert frame.columns == header and frame.height == card(name).rows
    assert not list(tmp_path.iterdir())

def test_digits():
    d = load('digits')
    assert d['images'].shape == (1797, 8, 8) and d['images'].dtype == 'uint8'
    assert d['images'].max() == 16
    assert sorted(set(d['labels'].tolist())) == list(range(10)) and d['labels'].dtype == 'int64'
    assert fetch('digits') == {}

def test_breast_cancer():
    frame = load('breast_cancer')
    assert frame.shape == (569, 31)
    assert frame.columns == [c.name for c in card('breast_cancer').columns]
    assert frame['target'].value_counts().sort('target')['count'].to_list() == [212, 357]

def test_pydoc_topics():
    topics = load('pydoc_topics')
    assert 'loating' in topics['numbers'] and all(isinstance(t, str) for t in topics.values())
    assert topics is not load('pydoc_topics')

def test_import_is_light():
    heavy = ('polars', 'sklearn', 'rich', 'duckdb', 'urllib.request', 'matplotlib', 'torch',
             'narwhals')
    code = f"import sys, dlcourse.core.datasets; print([m for m in {heavy} if m in sys.modules])"
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == '[]'


# Readers

def toy(tmp_path, body, **changes):
    "A card, its one file in place"
    (tmp_path/'toy').mkdir(exist_ok=True)
    (tmp_path/'toy'/'t.csv').write_bytes(body)
    file = DataFile(path='t.csv', size=len(body), sha256=hashlib.sha256(body).hexdigest(),
                    addresses=('http://x/t',))
    columns = (Column(name='sex', type='text', meaning=""),
               Column(name='paid', type='integer', meaning=""))
    said = dict(name='toy', title="", kind='downloaded', format='table', summary="", source="",
                license="", not_for=("all",), columns=columns, files=(file,))
    return Card(**said | changes)

def refused(which, home=None, **more):
    with pytest.raises(InputError) as e: load(which, home, **more)
    return str(e.value)

@pytest.fixture
def readers(monkeypatch):
    "The readers, put back afterwards"
    monkeypatch.setattr(catalogue, 'READERS', dict(catalogue.READERS))
    return catalogue.READERS

def test_a_card_names_its_reader(tmp_path, readers):
    @reader('backwards')
    def read_backwards(card, paths): return paths['t.csv'].read_text()[::-1]
    assert load(toy(tmp_path, b'abc', format='backwards'), tmp_path) == 'cba'

def test_a_page_run_again_replaces_its_reader_and_nobody_elses(readers):
    def again():
        @reader('a')
        def f(card, paths): return 1
        return f
    first, second = again(), again()
    assert first is not second and readers['a'] is second
    with pytest.raises(InputError, match="`a` is read by f already; give the new one another name"):
        @reader('a')
        def g(card, paths): return 2

def test_an_unknown_format_says_which_module_brings_the_reader(tmp_path):
    c = toy(tmp_path, b'abc', format='wav')
    says = "`toy` is of the format wav, which nobody reads here; "
    assert refused(c, tmp_path) == says + f"there are: {', '.join(catalogue.READERS)}"
    assert {'table', 'idx', 'text', 'lines'} <= set(catalogue.READERS)
    c = replace(c, reader='dlcourse.sequences.speech')
    assert refused(c, tmp_path) == says + "import dlcourse.sequences.speech first"

def test_lines_that_belong_together_stay_so(tmp_path):
    "Only the line feed ends a line: other signs that break lines may stand in a sentence"
    c = toy(tmp_path, 'a\u2028b\r\n\nc\n'.encode(), format='lines')
    assert load(c, tmp_path) == {c.files[0].holds: ['a\u2028b\r', '', 'c']}

def test_every_card_has_a_reader_or_names_the_module():
    for c in cards().values():
        assert c.kind == 'library' or c.format in catalogue.READERS or c.reader

def test_models_and_what_nobody_carries_are_refused(tmp_path):
    assert refused('efficientnet-lite0') == ("`efficientnet-lite0` is a pretrained model; "
                                             "`load_weights` of dlcourse.core.pretrained loads it")
    elsewhere = toy(tmp_path, b'abc', name='elsewhere', kind='library')
    says = '`elsewhere` is on no list of what libraries carry; there are: digits, '
    assert refused(elsewhere).startswith(says)

def idx(shape, data):
    return b'\0\0\x08' + bytes([len(shape)]) + struct.pack(f'>{len(shape)}I', *shape) + data

def test_idx_is_parsed():
    a = read_idx(idx((2, 3), bytes(range(6))))
    assert a.tolist() == [[0, 1, 2], [3, 4, 5]] and a.flags.writeable

@pytest.mark.parametrize('data', [
    b'', b'\0\0\x08', b'\0\0\x09\x01\0\0\0\x01a', idx((2, 3), b'12345'), idx((2, 3), b'1234567'),
    idx((2**31, 2**31, 4), b''), b'\0\0\x08\x03' + b'\0'*4])
def test_idx_that_cannot_be_is_refused(data):
    with pytest.raises(InputError, match='an IDX file of'): read_idx(data)

def test_a_table_without_header(tmp_path):
    c = toy(tmp_path, b' Female, 007.\n?, 2.\n\n', header=False, strip=' .', missing='?')
    assert load(c, tmp_path).to_dict(as_series=False) == dict(sex=['Female', None], paid=[7, 2])

def test_parts_of_a_table_and_its_types(tmp_path):
    columns = (Column(name='code', type='text', meaning=""),
               Column(name='x', type='number', meaning=""))
    c = toy(tmp_path, b'code,x\n007,1\n,"2.5"\n', columns=columns)
    files = tuple(replace(c.files[0], holds=part) for part in ('train', 'test'))
    rows = load(replace(c, files=files), tmp_path).rows()
    part = [('007', 1.), (None, 2.5)]
    assert rows == [(*row, 'train') for row in part] + [(*row, 'test') for row in part]

def test_a_table_of_another_width_is_refused(tmp_path):
    message = refused(toy(tmp_path, b'a,b,c\n1,2,3\n'), tmp_path)
    assert message == '`t.csv` has 3 columns, the card of toy has 2'


# Splits

def test_digits_stand_writer_by_writer():
    "Each sheet by another hand: its halves are closer than any two sheets, as the card says"
    d = load('digits')
    x, y, w = d['images'].reshape(-1, 64)/16, d['labels'], d['writers']
    sizes = [130, 126, 130, 130, 130, 130, 130, 123, 128, 130, 128, 130, 122, 130]
    assert w.dtype == 'int64' and (np.diff(w) >= 0).all() and np.bincount(w).tolist() == sizes
    def mean(writer, rows=slice(None)):
        return np.array([x[(w == writer) & (y == k)][rows].mean(0) for k in range(10)])
    def apart(a, b): return np.linalg.norm(a - b, axis=1).mean()
    within = [apart(mean(s, slice(0, None, 2)), mean(s, slice(1, None, 2))) for s in range(14)]
    between = [apart(mean(a), mean(b)) for a in range(14) for b in range(a)]
    assert round(max(within), 2) == .84 and round(min(between), 2) == 1.12

def test_digits_writers_wrote_the_same_text():
    d = load('digits')
    texts = [''.join(map(str, d['labels'][d['writers'] == s])) for s in range(14)]
    assert texts.count(texts[0]) == 8 and len(texts[0]) == 130 and texts[2] == texts[0][:-1] + '3'
    for text in texts[:2] + texts[3:]: # The same, but for a few images that are missing
        rest = iter(texts[0])
        assert all(digit in rest for digit in text)

def test_digits_split_by_writer():
    d, (train, valid, test) = load('digits'), load('digits', split='writer')
    assert [len(p.x) for p in (train, valid, test)] == [776, 130, 891]
    x, y = (np.concatenate(v) for v in zip(train, valid, test, strict=True))
    assert np.array_equal(x, (d['images'].reshape(-1, 64)/16).astype('float32'))
    assert np.array_equal(y, d['labels'])
    writers = [set(part.tolist()) for part in np.split(d['writers'], [776, 776 + 130])]
    assert list(map(len, writers)) == [6, 1, 7] and len(set.union(*writers)) == 14
    for p in (train, valid, test):
        assert set(p.y) == set(range(10)) and p.x.dtype == 'float32' and p.y.dtype == 'int64'
        assert p.x.min() == 0 and p.x.max() == 1

def test_parts_as_tensors():
    torch = pytest.importorskip('torch')
    parts = load('digits', split='writer')
    for array, tensor in zip(parts, parts.tensors(), strict=True):
        assert tensor.x.dtype == torch.float32 and tensor.y.dtype == torch.int64
        assert np.array_equal(tensor.x, array.x) and np.array_equal(tensor.y, array.y)
    assert parts.tensors('meta').test.x.device.type == 'meta'

@pytest.mark.parametrize('name, split, says', [
    ('digits', 'official', "`split` of digits must be writer; got 'official'"),
    ('breast_cancer', 'writer',
     "`split` of breast_cancer cannot be given, for it comes whole; got 'writer'"),
    ('pydoc_topics', 'x', "`split` of pydoc_topics cannot be given, for it comes whole; got 'x'")])
def test_an_unknown_split_is_refused_with_what_there_is(name, split, says):
    assert refused(name, split=split) == says


# The real files, where the data home has them

def test_mnist(real):
    d = real('mnist')
    assert d['images'].shape == (60_000, 28, 28) and d['test_images'].shape == (10_000, 28, 28)
    train = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    test = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert np.bincount(d['labels']).tolist() == train
    assert np.bincount(d['test_labels']).tolist() == test
    assert d['images'].dtype == 'uint8' and d['images'].max() == 255

def test_the_official_split_of_mnist(real):
    d, (train, valid, test) = real('mnist'), load('mnist', split='official')
    assert [p.x.shape for p in (train, valid, test)] == [(54_000, 784), (6_000, 784), (10_000, 784)]
    assert np.array_equal(np.concatenate([train.y, valid.y]), d['labels'])
    assert np.array_equal(test.y, d['test_labels'])
    assert test.x.dtype == 'float32' and test.x.max() == 1
    assert np.array_equal(test.x[7]*255, d['test_images'][7].ravel())

def test_compas(real):
    frame = real('compas')
    assert frame.shape == (7214, 53)
    path = settings().data_home/'compas'/'compas-scores-two-years.csv'
    twice = {f'{name}_1': name for name in ('decile_score', 'priors_count')}
    assert [twice.get(c, c) for c in frame.columns] == path.read_text().splitlines()[0].split(',')
    for second, first in twice.items(): assert (frame[first] == frame[second]).all()

def test_compas_has_the_published_rates(real):
    frame, rates = real('compas'), {}
    for race in ('African-American', 'Caucasian'):
        rows = frame.filter(frame['race'] == race).select('score_text', 'two_year_recid').rows()
        innocent = [score != 'Low' for score, y in rows if not y]
        charged = [score == 'Low' for score, y in rows if y]
        shares = [sum(v)/len(v) for v in (innocent, charged)]
        rates[race] = tuple(round(100*share, 1) for share in shares)
    # 805 of 1,795 is 44.847 %; published as 44.85, hence 44.9
    assert rates == {'African-American': (44.8, 28.0), 'Caucasian': (23.5, 47.7)}

def test_compas_kept_only_the_charged_of_those_screened_late(real):
    frame = real('compas')
    late = frame['two_year_recid'].filter(frame['compas_screening_date'] > '2014-04-01')
    assert len(late) == late.sum() == 998
    assert round((frame['two_year_recid'].sum() - 998)/(7214 - 998), 3) == .362

def test_the_cohort_that_its_card_calls_right(real):
    frame, cohort = real('compas'), load('compas', cohort=True)
    assert cohort.height == card('compas').cohort.rows == 6216
    assert cohort.equals(frame.filter(frame['compas_screening_date'] < '2014-04-02'))
    assert (frame['two_year_recid'] == 0).sum() == (cohort['two_year_recid'] == 0).sum()
    assert '6,216 people, compas_screening_date until 2014-04-01' in str(card('compas'))

def test_a_cohort_that_no_card_names_is_refused():
    assert refused('digits', cohort=True) == (
        "`cohort` of digits cannot be given: its card names none, so take all of it")

def test_adult(real):
    frame = real('adult')
    counts = dict(frame['split'].value_counts().rows())
    assert counts == dict(train=32_561, test=16_281) and frame.width == 16
    assert set(frame['income']) == {'<=50K', '>50K'}
    assert frame['income'].eq('>50K').sum() == 7841 + 3846
    missing = {'workclass': 2799, 'occupation': 2809, 'native-country': 857}
    assert {c: frame[c].null_count() for c in missing} == missing
    assert sum(frame.null_count().row(0)) == sum(missing.values()) and frame['age'].max() == 90

def test_the_official_split_of_adult(real):
    real('adult')
    parts = load('adult', split='official')
    assert [len(p.y) for p in parts] == [29_305, 3_256, 16_281] and parts.test.y.sum() == 3846
    assert parts.test.x.width == 14 and not {'income', 'split'} & set(parts.train.x.columns)
    says = "`workclass` holds words, and a tensor holds numbers; encode workclass, education, "
    with pytest.raises(InputError, match=says):
        parts.tensors()

def test_tinyshakespeare(real):
    text = real('tinyshakespeare')
    assert len(text) == 1_115_394 and len(set(text)) == 65 and text.startswith('First Citizen:')
    assert round(math.log(65), 2) == 4.17
