"""BM25 beside rank-bm25, and exact search beside cells and usearch's graph

pip install -r benchmarks/retrieval.txt; python benchmarks/retrieval.py [--quick | --sentences]

Parity first: the scores of BM25 are rank-bm25's to 1e-9 once both weigh words alike, and exact
search gives what one product and a full sort give. Then CPU seconds on Python's manual (522
passages, 50 questions), and on random vectors of 384 numbers, where the graph begins to pay. In
each case the peer as it is meant to be used: rank-bm25 with its corpus tokenized beforehand,
usearch on one thread in full precision (its default rounds to 16 bits) with its default graph.
Building these is not timed. `--sentences` compares sentence embeddings of all-MiniLM-L6-v2 with
those of sentence-transformers instead: parity to 1e-5 on odd texts, then the first hundred passages
on one thread. One difference is meant: where a text itself spells [SEP] or another special token,
sentence-transformers takes it for that token, and we take it for text."""
import math
import os
import sys

os.environ.setdefault('OMP_NUM_THREADS', '1')

import numpy as np
from harness import interleave

from dlcourse.core.settings import settings
from dlcourse.transformers.encoder import embed_sentences
from dlcourse.transformers.passages import all_words, manual, manual_questions, passages_of
from dlcourse.transformers.retrieval import BM25
from dlcourse.transformers.search import Cells, nearest_texts

QUICK = '--quick' in sys.argv
ODD = [
    '', '   ', '\n\t', 'a', 'A man is eating food.', '你好，世界', '日本語のテキスト', '한국어',
    '👍', '👩‍👩‍👧‍👦 family', 'e\u0301 versus é', 'ﬁ ligature', 'İstanbul', 'ß STRASSE', 'Ω µ',
    'مرحبا بالعالم', 'שלום', 'हिन्दी', 'ไทย', 'word '*300, 'x'*200, 'supercalifragilistic'*15,
    '你'*400, '👍'*300, '##ing ##s', "don't can't", '1,234.56 € £ ¥', 'a\0b', '\ufeffmark',
    'zero\u200bwidth', 'soft\u00adhyphen', '\u202eabc', 'line\u2028end', 'tab\tand\nline',
    'http://e.org/?q=1&b=2', 'a@b.c', 'C++ & C#', '—–-‐', '“double” ‘single’', '…', '½ ² ³', 'Ⅷ',
    'ａｂｃ', '🇩🇪', '\ud7ff', 'a'*5000, 'The '*254, 'The '*255, 'Thê quick brôwn fôx',
    'UPPER CASE', '中文 and English 日本']


def sentences():
    from sentence_transformers import SentenceTransformer, models
    where = str(settings().data_home/'models'/'all-MiniLM-L6-v2')
    theirs = SentenceTransformer(device='cpu', modules=[
        models.Transformer(where, max_seq_length=256), models.Pooling(384, pooling_mode='mean'),
        models.Normalize()])
    apart = np.abs(embed_sentences(ODD) - theirs.encode(ODD)).max()
    print(f'{len(ODD)} odd texts: at most {apart:.1e} apart')
    texts = [p.text for p in passages_of(manual())][:100]
    timing = interleave({'ours': lambda: embed_sentences(texts),
                         'sentence-transformers': lambda: theirs.encode(texts)},
                        same=lambda r: max(apart, np.abs(r['ours'] - r[
                            'sentence-transformers']).max()), within=1e-5, rounds=3)
    print(timing)
    print(f"sentence-transformers / ours = {timing.paired('sentence-transformers', 'ours'):.2f}")


def words():
    from rank_bm25 import BM25Okapi
    texts = [p.text for p in passages_of(manual())]
    questions = [q.question for q in manual_questions()[0]]
    split = [all_words(t) for t in texts]
    asked = [all_words(q) for q in questions]
    ours, theirs = BM25(texts, all_words), BM25Okapi(split)
    n = len(texts)
    held = {w: sum(w in d for d in theirs.doc_freqs) for w in theirs.idf}
    theirs.idf = {w: math.log(1 + (n - h + .5)/(h + .5)) for w, h in held.items()}
    print(f'\nBM25: {n} passages, {len(questions)} questions')
    timing = interleave(
        {'ours': lambda: ours.scores(questions),
         'rank-bm25': lambda: np.array([theirs.get_scores(q) for q in asked])},
        same=lambda r: np.abs(r['ours'] - r['rank-bm25']).max(), within=1e-9)
    print(timing)
    print(f"rank-bm25 takes {timing.paired('rank-bm25', 'ours'):.0f} times as long to ask")
    build = interleave({'ours': lambda: BM25(texts, all_words) and 0,
                        'rank-bm25': lambda: BM25Okapi([all_words(t) for t in texts]) and 0},
                       rounds=3)
    print(build)
    print(f"to build: rank-bm25 / ours = {build.paired('rank-bm25', 'ours'):.2f}")


def directions(n, rng, centres):
    x = centres[rng.integers(len(centres), size=n)] + rng.normal(size=(n, 384))
    return (x/np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def vectors(n):
    from usearch.index import Index
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(200, 384))
    x, q = directions(n, rng, centres), directions(50, rng, centres)
    exact, _ = nearest_texts(q, x, 10)
    full = np.argsort(-(q @ x.T), 1, kind='stable')[:, :10]
    assert np.array_equal(exact, full), 'no parity: exact search is not one product and a sort'
    cells, graph = Cells(x, int(n**.5)), Index(ndim=384, metric='ip', dtype='f32')
    graph.add(np.arange(n), x, threads=1)
    probes = max(1, int(n**.5)//8)
    ways = {'exact': lambda: nearest_texts(q, x, 10)[0],
            f'{probes} of {int(n**.5)} cells': lambda: cells.search(q, 10, probes)[0],
            'usearch, exact': lambda: graph.search(q, 10, exact=True, threads=1).keys,
            'usearch, graph': lambda: graph.search(q, 10, threads=1).keys}
    print(f'\n{n:,} vectors of 384 numbers, 50 questions, 10 nearest')
    for name, way in ways.items():
        found = np.mean([len(set(a) & set(b))/10 for a, b in zip(way(), exact, strict=True)])
        print(f'{name}: {found:.1%} of the nearest')
    print(interleave(ways, rounds=3))


if __name__ == '__main__':
    if '--sentences' in sys.argv:
        sentences()
        raise SystemExit
    words()
    for n in (500, 5_000) if QUICK else (500, 5_000, 20_000): vectors(n)
