"Word pieces against Hugging Face's tokenizers, on the vocabulary of a published encoder"
import json
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcourse.core.cards import card
from dlcourse.core.downloads import fetch, is_here
from dlcourse.core.errors import InputError
from dlcourse.transformers.wordpiece import WordPieces, load_word_pieces, plain_words

SMALL = WordPieces({t: i for i, t in enumerate(
    '[PAD] [UNK] [CLS] [SEP] [MASK] un ##aff ##able a b . ,'.split())})
OLD = unicodedata.ucd_3_2_0 # Their library's table knows little of what came later


def is_old(c):
    kind = unicodedata.category(c)
    return OLD.category(c) == kind and kind != 'Cs'


SIGNS = st.text(st.one_of(st.characters(max_codepoint=0xffff).filter(is_old),
                          st.sampled_from(" the.'$_\n\x85\u200bÉΣİ水が한\u0301~")))


@pytest.fixture(scope='module')
def both():
    library = pytest.importorskip('tokenizers')
    if not is_here(card('all-MiniLM-L6-v2')): pytest.skip("MiniLM is not here")
    path = fetch(card('all-MiniLM-L6-v2'))['tokenizer.json']
    theirs = library.Tokenizer.from_file(str(path))
    theirs.no_padding(), theirs.no_truncation()
    return load_word_pieces(path), theirs


@settings(max_examples=300, deadline=None)
@given(text=SIGNS)
def test_any_text_gets_the_numbers_of_their_library(both, text):
    ours, theirs = both
    assert ours.encode(text) == theirs.encode(text).ids


@pytest.mark.parametrize('text', [
    'Hello, World! naïve café', 'x'*101, 'x'*100, 'ΣΟΦΌΣ İstanbul ǅ', 'a\u200bb\u0000c\ufffd',
    '水很冷。我不知道', 'don\'t $5.00 e-mail @you #tag', '\t\n', '', '👍🏽 ¿qué?', 'ﬁx Å ²Ⅷ',
])
def test_hard_texts_too(both, text):
    ours, theirs = both
    assert ours.encode(text) == theirs.encode(text).ids
    assert ours.encode(text, most=5) == [*theirs.encode(text).ids[:-1][:4], ours.special['[SEP]']]


def test_a_spelling_counts_only_where_it_is_said(both):
    ours, theirs = both
    text = 'the [MASK] sat, [SEP] [UNK]ed'
    assert ours.encode(text, special=True) == theirs.encode(text).ids != ours.encode(text)
    assert ours.special['[MASK]'] not in ours.encode(text)


def test_shorter_texts_are_filled_up():
    ids, mask = SMALL.batch(['unaffable a.', 'b', ''])
    assert ids.tolist() == [[2, 5, 6, 7, 8, 10, 3], [2, 9, 3, 0, 0, 0, 0], [2, 3, 0, 0, 0, 0, 0]]
    np.testing.assert_array_equal(mask, ids != 0)
    assert SMALL.batch(['a b a b'], most=3)[0].tolist() == [[2, 8, 3]]


def test_capitals_and_accents_may_count():
    assert plain_words('Café', lower=False) == ['Café'] and plain_words('Café') == ['cafe']


@pytest.mark.parametrize('call, words', [
    (lambda: SMALL.encode(None), '`text` must be a text'),
    (lambda: SMALL.encode('\udfff'), 'half of a character'),
    *((lambda most=most: SMALL.encode('a', most=most), '`most` must be a whole number from 2')
      for most in (1, 2.5, '5')),
    (lambda: SMALL.batch('a'), '`texts` must be one text or more'),
    (lambda: SMALL.batch([]), '`texts` must be one text or more'),
    (lambda: WordPieces({'a': 0}), r'\[PAD\] is missing'),
])
def test_what_does_not_fit_is_refused(call, words):
    with pytest.raises(InputError, match=words): call()


@pytest.mark.parametrize('data, words', [
    (dict(model=dict(type='BPE'), normalizer=None, pre_tokenizer=dict(type='ByteLevel')), 'BPE'),
    (dict(model=dict(type='WordPiece', vocab={'[PAD]': 3}), normalizer=dict(
        type='BertNormalizer', lowercase=True), pre_tokenizer=dict(type='BertPreTokenizer')),
     'without a gap'),
    (dict(model=3), 'is no `tokenizer.json`'), ([], 'is no `tokenizer.json`'),
])
def test_a_file_of_another_kind_is_named(tmp_path, data, words):
    (tmp_path/'t.json').write_text(json.dumps(data), encoding='utf-8')
    with pytest.raises(InputError, match=words) as e: load_word_pieces(tmp_path/'t.json')
    assert 't.json' in str(e.value)


@pytest.mark.parametrize('part, own, words', [
    ('normalizer', dict(strip_accents=False), 'accents'),
    ('normalizer', dict(strip_accents=True, lowercase=False), 'accents'),
    ('normalizer', dict(handle_chinese_chars=False), 'handle_chinese_chars=False'),
    ('normalizer', dict(clean_text=False), 'clean_text=False'),
    ('model', dict(max_input_chars_per_word=5), 'max_input_chars_per_word=5'),
    ('model', dict(continuing_subword_prefix='@@'), "prefix='@@'"),
    ('model', dict(unk_token='[MASK]'), r"unk_token='\[MASK\]'"),
])
def test_a_setting_that_is_not_known_is_refused_and_not_left_out(tmp_path, part, own, words):
    special = '[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a'
    data = dict(model=dict(type='WordPiece', vocab={t: i for i, t in enumerate(special)}),
                normalizer=dict(type='BertNormalizer', lowercase=True, strip_accents=None),
                pre_tokenizer=dict(type='BertPreTokenizer'))
    path = tmp_path/'t.json'
    path.write_text(json.dumps(data), encoding='utf-8')
    assert load_word_pieces(path).pieces('A é') == ['a', '[UNK]']
    data[part] |= own
    path.write_text(json.dumps(data), encoding='utf-8')
    with pytest.raises(InputError, match=words): load_word_pieces(path)


def test_as_many_special_tokens_as_there_are():
    special = '[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a'
    cut = WordPieces({t: i for i, t in enumerate(special)})
    found = cut.pieces('[MASK]'*2000 + 'a[SEP]a', special=True)
    assert found == [*['[MASK]']*2000, 'a', '[SEP]', 'a']


@pytest.mark.parametrize('numbers', [[0, 1, 2, 3, 5], [1, 2, 3, 4, 5], [0, 1, 2, 3, 3]])
def test_a_vocabulary_with_gaps_is_refused(numbers):
    special = '[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'
    with pytest.raises(InputError, match='must number its 5 tokens from 0 without a gap'):
        WordPieces(dict(zip(special, numbers, strict=True)))
    assert WordPieces(dict(zip(special, [4, 3, 2, 1, 0], strict=True))).tokens[4] == '[PAD]'
