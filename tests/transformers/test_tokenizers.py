"Byte pairs and word pieces against Hugging Face's tokenizers, and round trips of anything"
import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dlcourse.core.datasets import load
from dlcourse.core.errors import InputError
from dlcourse.transformers.tokenizers import (
    BYTE_LETTERS,
    BYTES,
    Tokenizer,
    apply_merges,
    apply_to_long,
    cut_pieces,
    learned,
    load_tokenizer,
    longest_pieces,
    save_tokenizer,
)

TEXTS = list(load('pydoc_topics').values())[:12]
OURS = Tokenizer.train(TEXTS, 600, ['<|end|>', '<|'])
# Letters that came with a later Unicode are letters to one of two libraries only
KNOWN = st.characters(exclude_categories=('Cs', 'Cn'))
SIGNS = st.text(st.one_of(KNOWN, st.sampled_from(" a1'_\n\t.²Ⅷé\x1c\x85<|end>")))


@pytest.fixture(scope='module')
def theirs(tmp_path_factory):
    library = pytest.importorskip('tokenizers')
    path = save_tokenizer(OURS, tmp_path_factory.mktemp('files')/'tokenizer.json')
    return library.Tokenizer.from_file(str(path))


@settings(max_examples=150, deadline=None)
@given(text=SIGNS, special=st.booleans())
def test_any_text_comes_back_and_no_piece_is_lost(text, special):
    assert ''.join(cut_pieces(text)) == text
    assert OURS.decode(OURS.encode(text, special=special)) == text


@settings(max_examples=100, deadline=None)
@given(data=st.binary())
def test_any_bytes_come_back(data):
    ids = [OURS.byte_ids[b] for b in data]
    assert b''.join(OURS.tokens[i] for i in apply_merges(ids, OURS.ranks, OURS.made)) == data
    assert apply_to_long(ids, OURS.ranks, OURS.made) == apply_merges(ids, OURS.ranks, OURS.made)


@settings(max_examples=150, deadline=None)
@given(text=SIGNS)
def test_their_library_reads_our_file_and_cuts_alike(theirs, text):
    assert theirs.encode(text).ids == OURS.encode(text, special=True)


def test_their_trainer_learns_the_same_merges_in_the_same_order():
    tokenizers = pytest.importorskip('tokenizers')
    model = tokenizers.Tokenizer(tokenizers.models.BPE())
    level = tokenizers.pre_tokenizers.ByteLevel
    model.pre_tokenizer = level(add_prefix_space=False)
    model.train_from_iterator(TEXTS, tokenizers.trainers.BpeTrainer(
        vocab_size=600, special_tokens=['<|end|>', '<|'], show_progress=False,
        initial_alphabet=level.alphabet()))
    want = json.loads(model.to_str())['model']
    tokens = [''.join(BYTE_LETTERS[b] for b in t) for t in OURS.tokens]
    pairs = [m.split(' ') if isinstance(m, str) else m for m in want['merges']]
    assert [[tokens[a], tokens[b]] for a, b in OURS.merges] == pairs
    assert {t: i for i, t in enumerate(tokens) if i > 1} == {
        t: i for t, i in want['vocab'].items() if i > 1}


@pytest.mark.parametrize('letters, most', [('ab', 330), ('a', 300)])
def test_pairs_that_spell_the_same_share_a_token(letters, most):
    texts = [' '.join(letters[(i*j) % len(letters)]*(i % 5 + 1) for j in range(9))
             + 'abc'*i + 'bca'*i for i in range(9)]
    tokens, merges = learned(texts, most)
    assert len(set(tokens)) == len(tokens) <= most and len(merges) >= len(tokens) - 256
    cut = Tokenizer(tokens, merges)
    for text in texts: assert cut.decode(cut.encode(text)) == text


def test_where_two_merges_make_one_token_the_order_is_that_of_their_library(tmp_path):
    library = pytest.importorskip('tokenizers')
    place = {b: i for i, b in enumerate(BYTES)}
    a, b, c = (place[ord(x)] for x in 'abc')
    tokens = [bytes([x]) for x in BYTES] + [b'bc', b'ab', b'abc', b'abca']
    merges = [(b, c), (a, b), (257, c), (258, a), (a, 256)] # The last makes abc again
    cut = Tokenizer(tokens, merges)
    theirs = library.Tokenizer.from_file(str(save_tokenizer(cut, tmp_path/'t.json')))
    for text in ('abcabc', 'abc', 'abcab', 'abcabcabc'):
        assert cut.encode(text) == theirs.encode(text).ids, text
    assert cut.encode('abcabc') == [259, 256]


def test_the_vocabulary_ends_where_no_pair_is_left():
    cut = Tokenizer.train(['ab'], 500)
    assert len(cut) == 257 and cut.encode('abab') == [256, 256]
    assert len(Tokenizer.train([], 300)) == 256


def test_a_spelling_in_a_text_is_text():
    ends = OURS.special['<|end|>']
    assert ends not in OURS.encode('say <|end|> now') and ends in OURS.encode('<|end|>', True)
    assert OURS.encode('<|<|end|>', True) == [OURS.special['<|'], ends] # The longer one first


def test_a_file_comes_back_as_it_was(tmp_path):
    again = load_tokenizer(save_tokenizer(OURS, tmp_path/'deep'/'tokenizer.json'))
    assert (again.tokens, again.merges, again.special) == (OURS.tokens, OURS.merges, OURS.special)


def test_special_tokens_may_stand_behind_as_in_gpt_2(tmp_path):
    tokens, merges = learned(TEXTS[:2], 300)
    last = Tokenizer([*tokens, b'<|endoftext|>'], merges, {'<|endoftext|>': len(tokens)})
    again = load_tokenizer(save_tokenizer(last, tmp_path/'t.json'))
    assert again.encode('if<|endoftext|>', True)[-1] == 300 and again.tokens == last.tokens


@pytest.mark.parametrize('change, words', [
    (lambda d: d['model'].update(type='WordPiece'), 'holds WordPiece'),
    (lambda d: d.update(normalizer=dict(type='NFC')), 'normalized by NFC'),
    (lambda d: d.update(pre_tokenizer=dict(type='Whitespace')), 'over Whitespace'),
    (lambda d: d['model']['vocab'].pop('a'), 'without a gap'),
    (lambda d: d['model']['merges'].append(['Ġ', '!']), 'not in `tokens`'),
    (lambda d: d.pop('model'), 'is no `tokenizer.json`'),
    (lambda d: d['pre_tokenizer'].update(add_prefix_space=True), 'sets .*add_prefix_space'),
    (lambda d: d['added_tokens'][0].update(lstrip=True), 'sets .*lstrip'),
    (lambda d: d['model'].update(end_of_word_suffix='</w>', dropout=.1), 'sets .*dropout'),
    (lambda d: d['model'].update(ignore_merges=True), 'sets .*ignore_merges'),
    (lambda d: d.update(truncation=dict(max_length=3)), 'sets .*truncation'),
    (lambda d: d['model']['vocab'].update({'水': 600}), 'is no `tokenizer.json`'),
    (lambda d: d['model']['merges'].append(3), 'is no `tokenizer.json`'),
])
def test_a_file_of_another_kind_is_named(tmp_path, change, words):
    path = save_tokenizer(OURS, tmp_path/'t.json')
    data = json.loads(path.read_text(encoding='utf-8'))
    change(data)
    path.write_text(json.dumps(data), encoding='utf-8')
    with pytest.raises(InputError, match=words) as e: load_tokenizer(path)
    assert 't.json' in str(e.value)


def test_a_long_text_is_not_in_its_error():
    with pytest.raises(InputError, match=r"place 100000: '.ud800'; leave it out$") as e:
        OURS.encode('a'*100_000 + '\ud800' + 'b'*100_000)
    assert len(str(e.value)) < 100


def test_a_repeated_special_token_is_named_before_anything_is_learnt():
    def never(): raise AssertionError; yield
    with pytest.raises(InputError, match='`special` must differ'):
        Tokenizer.train(never(), 300, ['<e>', '<e>'])


@pytest.mark.parametrize('data', [b'', b'[1]', b'\xff\xfe', b'[' * 100_000, b'null'])
def test_a_file_that_is_anything_is_refused(tmp_path, data):
    (tmp_path/'t.json').write_bytes(data)
    with pytest.raises(InputError, match='t.json'): load_tokenizer(tmp_path/'t.json')
    with pytest.raises(InputError, match='no such file'): load_tokenizer(tmp_path/'absent.json')


@pytest.mark.parametrize('call, words', [
    (lambda: OURS.encode(3), '`text` must be a text, got 3'),
    (lambda: OURS.encode('a\ud800'), 'half of a character at place 1'),
    (lambda: OURS.decode([600]), '`ids` must be from 0 to 599'),
    (lambda: OURS.decode([-1]), '`ids` must be from 0'),
    (lambda: OURS.decode([1.5]), '`ids` must be whole numbers'),
    (lambda: OURS.decode(3), '`ids` must be whole numbers, in a list'),
    (lambda: OURS.decode(['a']), '`ids` must be whole numbers, in a list'),
    (lambda: OURS.encode(None, special=True), '`text` must be a text, got None'),
    (lambda: Tokenizer.train(['abc'], 300, ['a']), 'none be empty or a usual token'),
    (lambda: Tokenizer.train(['the the the'], 300, ['the']), 'none be empty or a usual token'),
    (lambda: Tokenizer.train('abc', 300), '`texts` must be several'),
    (lambda: Tokenizer.train(['abc'], 256, ['<e>']), '`size` must be a whole number from 257'),
    (lambda: Tokenizer.train(['abc'], 300.5), '`size` must be a whole number from 256'),
    (lambda: OURS.decode(torch.zeros(2, 2, dtype=torch.long)), '`ids` must be whole numbers'),
    *((lambda i=i: Tokenizer([bytes([b]) for b in BYTES], [], {'<e>': i}),
       "`special\\['<e>'\\]` must be a whole number from 0 to 255") for i in (999, -1, '3')),
    (lambda: Tokenizer.train(['abc'], 300, ['a', 'a']), '`special` must differ'),
    (lambda: Tokenizer([bytes([b]) for b in BYTES[1:]], []), 'all 256 bytes'),
])
def test_what_does_not_fit_is_refused(call, words):
    with pytest.raises(InputError, match=words): call()


def test_work_does_not_grow_with_the_square(monkeypatch):
    "A heap is asked for as often as there are pairs and merges, whatever the length"
    from dlcourse.transformers import tokenizers as module
    asked, pop = [0], module.heapq.heappop
    def counted(heap):
        asked[0] += 1
        return pop(heap)
    monkeypatch.setattr(module.heapq, 'heappop', counted)
    ids = OURS.encode('e'*20_000)
    assert OURS.decode(ids) == 'e'*20_000 and asked[0] <= 3*20_000


def test_longest_pieces_are_those_of_their_library():
    tokenizers = pytest.importorskip('tokenizers')
    words = ['[UNK]', 'un', '##aff', '##able', '##a', 'a', '##b', 'able', '##ble']
    model = tokenizers.models.WordPiece({w: i for i, w in enumerate(words)}, unk_token='[UNK]')
    for word in ('unaffable', 'ab', 'aable', 'ablex', 'a', 'una', 'unab'):
        assert longest_pieces(word, words) == [t.value for t in model.tokenize(word)], word
