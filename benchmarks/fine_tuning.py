"""Five ways to make a classifier of MiniLM, at 100 and at 1,000 labels, against TF-IDF

SST-2's test part, seeds 0 to 4: which sentences, their order, the adapters. Learning rates and
epochs were chosen on dev, with other sentences. `zero` compares with six sentences a side;
`scratch` trains an encoder of the same shape that has learnt nothing.
Needs `sst2` and `all-MiniLM-L6-v2` in the data home. CPU seconds are those of making a classifier.
Run: OMP_NUM_THREADS=1 python benchmarks/fine_tuning.py [ways] [sizes] [seeds]
such as `full,lora 100,1000 0,1,2,3,4`; `zero`, `tfidf` and `frozen` take a minute together.

28 November 2026, one thread of a busy machine, mean and least to most of five seeds. 100 labels:
tfidf .595 (.562 to .611), frozen .694 (.680 to .714), last .700 (.675 to .717), lora .729 (.694 to
.770), full .731 (.720 to .748), scratch .555 (.532 to .572). 1,000: .710 (.692 to .717), .775 (.769
to .780), .785 (.776 to .794), .814 (.806 to .819), .841 (.817 to .852) in 38 to 42 CPU s, .596
(.585 to .610). No labels: .727.
"""
import os
import sys

os.environ.setdefault('OMP_NUM_THREADS', '1')

import numpy as np
import torch
from harness import cpu_seconds, load, machine
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from dlcourse.evaluation.intervals import told
from dlcourse.transformers.encoder import Encoder, embed_sentences, sentence_encoder
from dlcourse.transformers.fine_tuning import (
    SentenceClassifier,
    TuneConfig,
    classify,
    fine_tune,
    reviews,
)

AGAINST = ('a dull film', 'a boring waste of time', 'a terrible movie', 'a bad script',
           'the worst picture of the year', 'it fails to entertain')
FOR = ('a delightful film', 'an exciting two hours', 'a wonderful movie', 'a brilliant script',
       'the best picture of the year', 'it is great fun')


def zero(test, y_test):
    "No labels: which side's mean is nearer?"
    sides = [embed_sentences(side).mean(0) for side in (AGAINST, FOR)]
    return ((test @ sides[1] > test @ sides[0]) == y_test).mean()


def words(texts, y, test):
    "TF-IDF of words and pairs of words, and a logistic regression"
    made = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
                         LogisticRegression(C=10, max_iter=2000)).fit(texts, y)
    return (made.predict(test[0]) == test[1]).mean()


def tuned(way, texts, y, seed):
    "A classifier by one of the ways"
    model = sentence_encoder()
    if way == 'scratch':
        torch.manual_seed(seed)
        model.encoder = Encoder()
        model.encoder.dropout.p = 0.
    epochs = 5 if len(texts) < 300 else 2
    config = TuneConfig(way='full' if way == 'scratch' else way, epochs=epochs)
    return fine_tune(SentenceClassifier(model), texts, y, config, seed)


def run(way, n, seed, train, test):
    "Accuracy on the test part, and CPU seconds of making the classifier"
    at = np.random.default_rng(seed).permutation(len(train[0]))[:n]
    own = [train[0][i] for i in at], train[1][at]
    if way == 'tfidf': took, score = cpu_seconds(lambda: words(*own, test))
    else:
        took, model = cpu_seconds(lambda: tuned(way, *own, seed))
        score = (classify(model, test[0]).argmax(1) == test[1]).mean()
    print(f'  {n} {way} seed {seed}: {score:.4f}, {took:.1f} CPU s', flush=True)
    return score, took


def main(ways, sizes, seeds):
    torch.set_num_threads(1)
    print(f'{machine()}, load {load():.1f}')
    parts = reviews()
    train, test = parts['train'], parts['test']
    if 'zero' in ways: print(f'zero: {zero(embed_sentences(test[0]), test[1]):.4f}', flush=True)
    for n in sizes:
        for way in ways:
            if way == 'zero': continue
            own = seeds if n < len(train[0]) else [0]
            scores, took = zip(*(run(way, n, seed, train, test) for seed in own), strict=True)
            print(f'{n} {way}: {told(scores)}, {min(took):.1f} to {max(took):.1f} CPU s',
                  flush=True)


if __name__ == '__main__':
    given = [part.split(',') for part in sys.argv[1:]]
    usual = [['zero', 'tfidf', 'frozen', 'last', 'lora', 'full', 'scratch'], ['100', '1000'],
             ['0', '1', '2', '3', '4']]
    ways, sizes, seeds = [*given, *usual[len(given):]]
    main(ways, [int(n) for n in sizes], [int(s) for s in seeds])
