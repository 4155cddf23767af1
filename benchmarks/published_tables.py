"""Is a published table accused wrongly, and are the wrong ones found?

python benchmarks/published_tables.py [--quick]

Tables in the form of the public collection of Local Law 144 audits (Gerchick et al. 2025), which is
not here: invented counts, printed as an honest auditor would print them, with categories left out
lawfully, and a third of them spoiled. They are written to one file, as that collection is, and go
in as they are. The verdicts are held against a recomputation that shares no code with the audit,
and against the truth: no table may be accused that was printed honestly."""
import csv
import sys
import tempfile
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np

from dlcourse.fairness.published import audit_published

SEXES = ('Male', 'Female')
RACES = ('Hispanic or Latino', 'White', 'Black or African American', 'Asian',
         'Native Hawaiian or Other Pacific Islander', 'American Indian or Alaska Native',
         'Two or More Races')
HEADS = ('audit_id', 'auditor', 'selection_or_scoring_rate', 'number_of_applications',
         'n_selected_or_n_above_median', 'result', 'impact_ratio', 'protected_char_group',
         'race_ethnicity', 'sex', 'position', 'result_calc')
FAULTS = ('a wrong rate', 'a stale ratio', 'another comparator', 'the best left out')


# ---- Printing honestly, and not

def rounded(value, places):
    "A fraction with so many decimals, half away from zero"
    unit = 10**places
    whole = (2*value*unit + 1)//2
    return f'{float(Fraction(whole, unit)):.{places}f}'

def as_a_program_writes(text, dust):
    "Trailing zeros go, and sometimes a float shows that it is one"
    if text == 'NA' or text.endswith('%'): return text
    short = repr(float(text)).removesuffix('.0')
    return short + '0'*(15 - len(short.partition('.')[2])) + '1' if dust and '.' in short else short

def honest(rng, kind):
    "Rows of one table: group, people, selected, rate, ratio"
    groups = {'sex': [('Total', s) for s in SEXES], 'race/ethnicity': [(r, 'Total') for r in RACES],
              'intersectional': [(r, s) for r in RACES for s in SEXES]}[kind]
    base = rng.choice([300, 3_000, 40_000, 600_000])
    share = rng.dirichlet(np.full(len(groups), .7)) if len(groups) > 2 else rng.dirichlet([9, 9])
    n = np.maximum((base*share).astype(int), 3)
    level, spread = rng.uniform(.03, .7), rng.choice([.02, .15])
    k = rng.binomial(n, np.clip(level + rng.normal(0, spread, len(n)), .01, .99))
    if not k.any(): k[0] = 1
    rates = [Fraction(int(a), int(b)) for a, b in zip(k, n, strict=True)]
    small = [Fraction(int(v), int(n.sum())) < Fraction(1, 50) for v in n]
    left_out = [s and rng.random() < .8 for s in small] if rng.random() < .7 else [False]*len(n)
    if all(o or not r for o, r in zip(left_out, rates, strict=True)): left_out = [False]*len(n)
    best = max(r for r, out in zip(rates, left_out, strict=True) if not out)
    return dict(kind=kind, groups=groups, n=n.tolist(), k=k.tolist(), rates=rates, best=best,
                left_out=left_out, small=small, unknown=int(rng.integers(0, base//3)))

def printed(rng, t):
    "The texts of a table"
    places, ratio_places = int(rng.integers(2, 5)), int(rng.integers(2, 4))
    percent, rough = rng.random() < .3, rng.random() < .25
    def rate(r): return f'{rounded(100*r, places - 2)}%' if percent else rounded(r, places)
    shown = [Fraction(rounded(r, places)) for r in t['rates']]
    top = Fraction(rounded(t['best'], places))
    def ratio(i):
        if t['left_out'][i]: return 'NA'
        if rough and top: return rounded(shown[i]/top, ratio_places)
        return rounded(t['rates'][i]/t['best'], ratio_places)
    return dict(rate=[rate(r) for r in t['rates']], ratio=[ratio(i) for i in range(len(t['n']))],
                counts=str(rng.choice(['given', 'worked out', 'none'])), places=places,
                ratio_places=ratio_places, percent=percent, dust=rng.random() < .2)

def spoil(rng, t, p, fault):
    "Change one thing; whether it can be noticed is another matter"
    i, places = int(rng.integers(len(t['n']))), p['ratio_places']
    if fault == 'a wrong rate':
        off = Fraction(int(rng.choice([-4, -3, 3, 4])), 10**p['places'])
        wrong = abs(t['rates'][i] + off)
        p['rate'][i] = (f"{rounded(100*wrong, p['places'] - 2)}%" if p['percent']
                        else rounded(wrong, p['places']))
    elif fault == 'a stale ratio':
        off = Fraction(int(rng.choice([-5, -3, 3, 5])), 100)
        p['ratio'][i] = rounded(abs(t['rates'][i]/t['best'] + off), places)
    elif fault == 'another comparator':
        base = sorted(r for r in t['rates'] if r)[len([r for r in t['rates'] if r])//2]
        p['ratio'] = [rounded(r/base, places) for r in t['rates']]
    elif fault == 'the best left out':
        large = [i for i, s in enumerate(t['small']) if not s]
        best = max(large, key=lambda i: t['rates'][i])
        rest = max((r for j, r in enumerate(t['rates']) if j != best), default=Fraction(1))
        p['ratio'] = [rounded(r/(rest or 1), places) for r in t['rates']]
        p['ratio'][best] = 'NA'

def rows_of(name, t, p):
    "A table as lines of the collection"
    known = sum(t['n'])
    for i, (race, sex) in enumerate(t['groups']):
        count = {'given': str(t['k'][i]), 'none': 'NA'}.get(p['counts'])
        if count is None:
            share = float(p['rate'][i].rstrip('%'))/(100 if p['percent'] else 1)
            count = repr(t['n'][i]*share)
        yield (name, 'X, LLC', 'Selection', t['n'][i], count,
               as_a_program_writes(p['rate'][i], p['dust']),
               as_a_program_writes(p['ratio'][i], p['dust']), t['kind'], race, sex, 'Unknown',
               float(t['rates'][i]))
    unknown = ('Total', 'Missing/Unknown') if t['kind'] == 'sex' else ('Missing/Unknown', 'Total')
    if t['unknown'] and known: yield (name, 'X, LLC', 'Selection', t['unknown'], 'NA', 'NA', 'NA',
                                      t['kind'], *unknown, 'Unknown', 'NA')

def collection(tables, seed=0):
    "Lines of a collection, and for each table its fault, or `None`"
    rng, lines, truth = np.random.default_rng(seed), [], {}
    for i in range(tables):
        kind = ('sex', 'race/ethnicity', 'intersectional')[i % 3]
        t = honest(rng, kind)
        p = printed(rng, t)
        fault = str(rng.choice(FAULTS)) if rng.random() < .33 else None
        if fault: spoil(rng, t, p, fault)
        name = f'employer_{i//3}_audit_1'
        truth[name, kind] = fault
        lines += rows_of(name, t, p)
    return lines, truth


# ---- The recomputation, which shares nothing with the audit

def span(text):
    "Lowest and highest number that is printed so"
    scale, text = (100, text[:-1]) if text.endswith('%') else (1, text)
    digits = text.partition('.')[2]
    if len(digits) > 12: # Dust
        text = repr(round(float(text), 12)).removesuffix('.0')
        digits = text.partition('.')[2]
    half = Fraction(1, 2*10**len(digits))
    return (Fraction(text) - half)/scale, (Fraction(text) + half)/scale

def is_consistent(lines):
    "Is there any honest way to such a table, from whole people and a lawful divisor?"
    rows = [r for r in lines if 'Unknown' not in r[8] + r[9]]
    people = sum(int(r[3]) for r in lines)
    counted = all(r[4] != 'NA' and Fraction(r[4]).denominator == 1 for r in rows)
    limits = []
    for r in rows:
        n, (low, high) = int(r[3]), span(r[5])
        least, most = -(-low*n//1), high*n//1
        if counted: least, most = max(least, int(r[4])), min(most, int(r[4]))
        least, most = max(least, 0), min(most, n)
        if least > most: return False
        limits.append((Fraction(least, n), Fraction(most, n), Fraction(n, people)))
    ratios = [None if r[6] == 'NA' else span(r[6]) for r in rows]
    middles = [sum(span(r[5]))/2 for r in rows]
    if not any(ratios): return True
    def fits(i, c):
        low, high = ratios[i]
        if i == c: return low <= 1 <= high
        unrounded = (limits[i][0] <= high*limits[c][1] and limits[i][1] >= low*limits[c][0])
        return unrounded or middles[c] > 0 and low <= middles[i]/middles[c] <= high
    finest = min(b - a for a, b in (span(r[5]) for r in rows))/2
    def above(i, c):
        if limits[i][0] > limits[c][1]: return True
        if ratios[i]: return ratios[i][0] > 1
        low, high = limits[i][0], limits[c][1]
        if low < limits[i][1]: low = max(low, middles[i] - finest)
        if high > limits[c][0]: high = min(high, middles[c] + finest)
        return low > high
    def lawful(c):
        return not any(above(i, c) and limits[i][2] >= Fraction(2, 100) for i in range(len(rows)))
    fitting = [c for c in range(len(rows)) if limits[c][1] > 0
               and all(fits(i, c) for i in range(len(rows)) if ratios[i])]
    ones = [c for c in fitting if ratios[c] and sum(ratios[c]) == 2]
    return any(lawful(c) for c in ones or fitting)

def write(lines, path):
    "The collection as a file"
    with open(path, 'w', newline='') as f: csv.writer(f).writerows([HEADS, *lines])

def compare(tables, seed=0):
    "How often audit and recomputation agree, and who is accused wrongly"
    lines, truth = collection(tables, seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)/'collection.csv'
        write(lines, path)
        found = audit_published(path).verdicts
    score, differ = Counter(tables=len(truth)), []
    for (name, kind), fault in truth.items():
        of_table = [tuple(map(str, r)) for r in lines if (r[0], r[7]) == (name, kind)]
        want, got = is_consistent(of_table), found[f'{name}, {kind}'] == 'consistent'
        score['agree'] += want == got
        score['accused, though honest'] += fault is None and not got
        score['accused, though consistent'] += want and not got
        score[f'{fault or "honest"}'] += 1
        score[f'{fault or "honest"}: inconsistent'] += not got
        if want != got: differ.append((name, kind, fault, want))
    return score, differ


if __name__ == '__main__':
    tables = 120 if '--quick' in sys.argv else 524
    score, differ = compare(tables)
    for key, value in score.items(): print(f'{key:40} {value:5}')
    for line in differ: print(*line)
    ok = score['agree'] >= .98*tables and not score['accused, though honest']
    sys.exit(0 if ok and not score['accused, though consistent'] else 'not as stated')
