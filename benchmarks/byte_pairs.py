"""Our tokenizers beside Hugging Face's `tokenizers`, which is written in Rust

Byte pairs learnt and applied on Python's manual and on the captions of Multi30k (where that is in
the data home), and MiniLM's word pieces. Parity first: the same merges in the same order, the same
numbers for every text. A tokenizer of ours remembers pieces it has cut, so each encoding starts
with a new one; the peer's cache is emptied by a copy from its file.
Named so that it does not hide the library. Peer: pip install -r benchmarks/byte_pairs.txt
Run: OMP_NUM_THREADS=1 python benchmarks/byte_pairs.py [vocabulary size]
"""
import json
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')
os.environ['RAYON_NUM_THREADS'] = '1' # One thread for both
os.environ['TOKENIZERS_PARALLELISM'] = 'false'

import tokenizers
from harness import interleave

from dlcourse.core.cards import card
from dlcourse.core.datasets import load
from dlcourse.core.downloads import fetch, is_here
from dlcourse.transformers.tokenizers import Tokenizer, load_tokenizer, save_tokenizer
from dlcourse.transformers.wordpiece import load_word_pieces


def by_library(texts, size):
    "Byte pairs learnt by the peer; what GPT-2 does before"
    model = tokenizers.Tokenizer(tokenizers.models.BPE())
    level = tokenizers.pre_tokenizers.ByteLevel
    model.pre_tokenizer = level(add_prefix_space=False)
    model.train_from_iterator(texts, tokenizers.trainers.BpeTrainer(
        vocab_size=size, show_progress=False, initial_alphabet=level.alphabet()))
    return model


def apart(ours, theirs):
    "How many merges differ"
    with tempfile.TemporaryDirectory() as folder:
        path = save_tokenizer(ours, Path(folder)/'tokenizer.json')
        own = json.loads(path.read_text(encoding='utf-8'))['model']['merges']
    pairs = [m.split(' ') if isinstance(m, str) else m
             for m in json.loads(theirs.to_str())['model']['merges']]
    return sum(a != b for a, b in zip(own, pairs, strict=True))


def compared(name, texts, size):
    letters = sum(map(len, texts))
    print(f'\n{name}: {len(texts):,} texts, {letters:,} characters, {size:,} tokens')
    ways = {'learn, ours': lambda: Tokenizer.train(texts, size),
            'learn, tokenizers': lambda: by_library(texts, size)}
    found = interleave(ways, same=lambda r: apart(*r.values()), rounds=3)
    print(found)
    slower = found.paired('learn, ours', 'learn, tokenizers')
    print(f'their learning is {slower:.1f} times as fast as ours')
    with tempfile.TemporaryDirectory() as folder:
        path = save_tokenizer(Tokenizer.train(texts, size), Path(folder)/'tokenizer.json')
        ways = {'encode, ours': lambda: [*map(load_tokenizer(path).encode, texts)],
                'encode, tokenizers': lambda: [e.ids for e in tokenizers.Tokenizer.from_file(
                    str(path)).encode_batch(texts)]}
        found = interleave(ways, same=unequal, rounds=5)
    print(found)
    told(found, letters)


def unequal(results):
    "How many texts came out differently"
    return sum(a != b for a, b in zip(*results.values(), strict=True))


def told(found, letters):
    ours, theirs = found.seconds
    print(f'{letters/found.best(ours):,.0f} characters a CPU second, '
          f'{letters/found.best(theirs):,.0f} by tokenizers: {found.paired(ours, theirs):.1f} '
          'times as fast')


def word_pieces(texts):
    path = fetch(card('all-MiniLM-L6-v2'))['tokenizer.json']
    def library():
        model = tokenizers.Tokenizer.from_file(str(path))
        model.no_padding(), model.no_truncation()
        return [e.ids for e in model.encode_batch(texts)]
    print(f"\nMiniLM's word pieces: {len(texts):,} texts")
    found = interleave({'pieces, ours': lambda: [*map(load_word_pieces(path).encode, texts)],
                        'pieces, tokenizers': library}, same=unequal, rounds=5)
    print(found)
    told(found, sum(map(len, texts)))


def main(size=2000):
    manual = [*load('pydoc_topics').values()]
    compared("Python's manual", manual, size)
    here = {name: is_here(card(name)) for name in ('multi30k', 'all-MiniLM-L6-v2')}
    if here['multi30k']:
        compared('Multi30k, English', load('multi30k')['train.en'], size)
    if here['all-MiniLM-L6-v2']: word_pieces(manual)
    absent = [name for name, there in here.items() if not there]
    if absent: print(f"left out, not in the data home: {', '.join(absent)}")


if __name__ == '__main__': main(*map(int, sys.argv[1:]))
