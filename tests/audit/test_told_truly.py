"What an audit cannot tell apart, or was told already, is neither merged nor asked for again"
import re

import numpy as np
import polars as pl
import pytest
from cli.runs import dlcourse
from engines import everywhere

from dlcourse.audit.kinds import audit_parts
from dlcourse.audit.report import audit
from dlcourse.core.errors import InputError
from dlcourse.core.files import apart, write_whole
from dlcourse.core.frames import to_frame, to_lists
from dlcourse.core.pages import at_least
from dlcourse.fairness.classes import audit_classes
from dlcourse.fairness.discovery import discover
from dlcourse.fairness.planning import MANY_EVENTS, sample_size
from dlcourse.fairness.policy import read_policy
from dlcourse.fairness.published import audit_published
from dlcourse.fairness.ranking import audit_ranking
from dlcourse.fairness.regression import audit_regression
from dlcourse.fairness.scores import audit_scores
from dlcourse.fairness.tally import MOST_CROSSED


def people(n=600):
    rng = np.random.default_rng(1)
    return dict(g=rng.choice(['a', 'b'], n), y=rng.integers(0, 2, n), q=rng.integers(0, 30, n),
                k=(100*rng.random(n)).astype(int))


def refused(ask, *args, **how):
    with pytest.raises(InputError) as e: ask(*args, **how)
    return str(e.value)


# ---- Numbers that double precision ties, and times that Python has not

LARGE = {'u64': lambda k: np.uint64(2**64 - 1) - k.astype(np.uint64), 'i64': lambda k: 2**53 + k,
         'below': lambda k: -2**53 - k}

@pytest.mark.parametrize('kind', LARGE)
def test_scores_that_would_tie_are_refused(kind, tmp_path):
    t = people()
    t['s'] = LARGE[kind](t.pop('k'))
    pl.DataFrame(t).write_parquet(tmp_path/'t.parquet')
    pl.DataFrame(t).write_csv(tmp_path/'t.csv')
    groups = dict(score='s', sensitive_features=['g'])
    for data in (*everywhere(t).values(), tmp_path/'t.parquet', tmp_path/'t.csv'):
        for said in (refused(audit_scores, data, y_true='y', **groups),
                     refused(audit_ranking, data, query='q', **groups)):
            assert said.startswith("`s` holds numbers beyond 9,007,199,254,740,992 (")

def test_large_floats_and_whole_numbers_up_to_there_rank_as_ever():
    t = people()
    k = t.pop('k')
    def aucs(s):
        found = audit_scores(t | dict(s=s), score='s', y_true='y', sensitive_features=['g'])
        return [r.auc for r in found.rows]
    assert aucs(k) == aucs(2**53 - 100 + k) == aucs(k*2.**60)

def test_another_line_of_scores_that_would_tie_is_not_searched():
    t = people()
    t |= dict(s=2**53 + t['k'], w=t['y']*1.)
    said = refused(audit, t, score='s', threshold=2**53 + 50, sensitive_features=['g'],
                   favorable=1, worth='w')
    assert said.startswith("`s` holds numbers beyond 9,007,199,254,740,992 (")

def test_times_finer_than_a_microsecond_stay_apart(tmp_path):
    n = np.random.default_rng(0).integers(1, 3, 200)
    t = pl.DataFrame(dict(t=pl.Series(n).cast(pl.Datetime('ns')), p=n % 2))
    t.write_parquet(tmp_path/'t.parquet')
    counts = {f'1970-01-01 00:00:00.00000000{i}': int((n == i).sum()) for i in (1, 2)}
    for data in (t, t.lazy(), t.to_arrow(), t.to_pandas(), tmp_path/'t.parquet'):
        found = audit(data, y_pred='p', sensitive_features='t', min_count=1).rates
        assert {r.group: r.n for r in found if r.metric == 'selection_rate'} == counts

def test_times_that_python_has_are_its_own():
    t = pl.DataFrame(dict(t=pl.Series([None, 1_500_000, -1_000]).cast(pl.Datetime('ns'))))
    us = t['t'].cast(pl.Datetime('us')).to_list()
    assert to_lists(to_frame(t)) == to_lists(to_frame(t.lazy())) == [us]


# ---- What was said already is not asked for

def test_a_missing_weight_that_was_named_as_missing_is_called_that(tmp_path):
    t = dict(g=['a', 'a', 'b', 'b'], p=[1, 0, 1, 0], y=[1, 1, 0, 0], w=['1', '?', '1', '2'])
    pl.DataFrame(t).write_csv(tmp_path/'w.csv')
    how = dict(sensitive_features=['g'], sample_weight='w', null=['?'], missing='unknown')
    asked = [(audit, dict(y_pred='p')), (audit_classes, dict(y_pred='p')),
             (audit_regression, dict(y_pred='p')), (audit_scores, dict(score='p', y_true='y')),
             (discover, dict(y_pred='p', subgroups=['g']))]
    for ask, more in asked:
        kept = how if ask is not discover else {k: v for k, v in how.items()
                                                if k != 'sensitive_features'}
        said = refused(ask, tmp_path/'w.csv', **kept, **more)
        assert said.startswith("`w` must hold weights of 0 or more; 1 row is missing"), ask
        kept = {k: v for k, v in kept.items() if k != 'null'}
        assert "'?' (1 row)" in refused(ask, tmp_path/'w.csv', **kept, **more), ask


# ---- Policies

def two_ways(n=200):
    "Of `a` 50 %, of `b` and `c` 30 % are selected, whatever `h` is"
    rows = [(g, h, int(i < rate*n)) for g, rate in (('a', .5), ('b', .3), ('c', .3))
            for h in 'xy' for i in range(n)]
    return pl.DataFrame(rows, schema=['g', 'h', 'p'], orient='row')

def verdicts(policy):
    found = audit(two_ways(), y_pred='p', sensitive_features=['g', 'h'], policy=policy)
    return {d.attribute: d.verdict for d in found.disparities if d.verdict != 'not judged'}

def test_people_whom_a_policy_leaves_out_are_in_no_crossing():
    tolerated = dict(difference=dict(selection_rate=.15))
    assert verdicts(tolerated)['g'] == verdicts(tolerated)['g × h'] == 'insufficient evidence'
    named = verdicts(dict(difference=dict(selection_rate=.2), groups=dict(g=['b', 'c'])))
    assert named == {'g': 'pass', 'h': 'pass', 'g × h': 'pass'}

def test_a_crossing_can_be_judged_alone():
    policy = dict(difference=dict(selection_rate=.05), attributes=['g × h'])
    assert verdicts(policy).keys() == {'g × h'}
    t = two_ways().with_columns(s=pl.col('p')*.5)
    t = t.with_columns(y=1 - pl.col('p'))
    found = audit(t, y_pred='p', y_true='y', score='s', sensitive_features=['g', 'h'],
                  policy=policy | dict(difference=dict(selection_rate=.05, roc_auc_score=.1)))
    judged = {d.attribute for d in found.disparities if d.verdict != 'not judged'}
    assert judged == {'g × h'}

def test_the_keys_of_a_policy_are_shown_as_a_file_has_them(tmp_path):
    said = refused(read_policy, dict(foo=1))
    assert "[difference], [ratio], attributes = …, [groups], level = …, min_count = …" in said
    (tmp_path/'p.toml').write_text('foo = 1\ndifference.selection_rate = .1\n'.replace(' .', ' 0.'))
    two_ways().write_csv(tmp_path/'t.csv')
    code, _, err = dlcourse('audit', 'fairness', 't.csv', '--prediction', 'p', '--sensitive', 'g',
                            '--policy', 'p.toml', cwd=tmp_path)
    assert code == 2 and 'min_count = …' in err and '--min-count' not in err


# ---- Plans

@pytest.mark.parametrize('level', [.5, .3, 1., float('nan')])
def test_a_plan_says_which_level_was_given(level):
    said = refused(sample_size, .3, .1, level=level)
    assert said == f"`level` must lie between 0.5 and 1, such as 0.95; got {level:g}"

def test_a_plan_of_very_many_rows_ends_and_goes_on_where_the_exact_ones_end():
    rows = {gap: sample_size(.3, gap) for gap in (.01, .003, .001, .0001)}
    assert rows[.001]*.3/2 > MANY_EVENTS > rows[.01]*.3/2
    for wide, narrow in ((.01, .003), (.003, .001), (.001, .0001)): # As 1 by the square of the gap
        assert rows[narrow]*narrow**2 == pytest.approx(rows[wide]*wide**2, rel=.06)

def test_another_line_that_parts_more_is_not_said_to_part_by_less_than_nothing():
    rng = np.random.default_rng(2)
    n = 2_000
    g = rng.choice(['a', 'b'], n)
    s = np.clip(rng.normal(.5, .2, n) + .05*(g == 'a'), 0, 1)
    t = dict(g=g, s=s, w=rng.normal(s - .4, .2))
    found = audit(t, score='s', threshold=.5, sensitive_features=['g'], favorable=1, worth='w')
    said = next(s for s in found.sections if s.name == 'alternatives').findings[0]
    change = re.search(r'changes by ([+-][\d.]+) points \(([+-][\d.]+) to ([+-][\d.]+)\)', said)
    middle, low, high = map(float, change.groups())
    assert low <= middle <= high and 'smaller' not in said


# ---- Tables

NO_NAMES = ('6,148,72,35', '1,0,1', '0.5,0.5,1')

@pytest.mark.parametrize('first', NO_NAMES)
def test_a_line_of_numbers_that_do_not_rise_is_no_line_of_names(first, tmp_path):
    (tmp_path/'t.csv').write_text(f'{first}\n'*9)
    name = first.split(',')[0]
    said = refused(audit, tmp_path/'t.csv', y_pred=first.split(',')[1], sensitive_features=name)
    assert said.startswith(f"`t.csv` has no line of names: its first line holds '{name}, ")

@pytest.mark.parametrize('first', ['0,1', '1,2', '2019,2020', 'g,1', '0.5,1'])
def test_names_may_be_numbers_that_rise(first, tmp_path):
    (tmp_path/'t.csv').write_text(f'{first}\n' + 'a,1\na,0\nb,1\nb,0\n'*9)
    g, p = first.split(',')
    assert audit(tmp_path/'t.csv', y_pred=p, sensitive_features=g).tally.rows == 36

def test_a_title_above_the_names_is_called_that(tmp_path):
    (tmp_path/'t.csv').write_text('My table\ng,p\na,1\nb,0\n')
    said = refused(audit, tmp_path/'t.csv', y_pred='p', sensitive_features='g')
    assert "if that is a title, delete all lines above the names" in said

@pytest.mark.filterwarnings('error')
def test_scores_whose_squares_have_no_room_are_refused_in_one_sentence():
    t = people()
    for size in (1e155, 1e300):
        said = refused(audit, t | dict(s=size*(1 + t['k'])), y_pred='y', score='s',
                       sensitive_features='g')
        assert said.startswith("`s` holds numbers whose squares have no room in double precision")
    found = audit(t | dict(s=1e140*(1 + t['k'])), y_pred='y', score='s', sensitive_features='g')
    means = [r for r in found.rates if r.metric == 'mean_prediction']
    assert all(r.low < r.value < r.high for r in means)


# ---- Too much at once is refused before it is counted

def test_so_many_crossings_are_refused_before_anything_is_counted():
    names = [f'a{i}' for i in range(24)]
    t = dict.fromkeys(names, ['a', 'b']*30) | dict(p=[1, 0, 1]*20)
    said = refused(audit, t, y_pred='p', sensitive_features=names)
    assert said.startswith("24 columns crossed up to 3 at a time are 2,324 comparisons")
    assert f"at most {MOST_CROSSED:,} are made" in said and '`depth`' in said
    assert len(audit(t, y_pred='p', sensitive_features=names, depth=2).crossed) == 300


# ---- Published tables

PUBLISHED = [
    ((['100', '100'], ['0', '0'], ['1', '1']), 'impact_ratio', 'A',
     "the rate of A, by which it is divided, is 0"),
    ((['100', '0'], ['50', '0'], ['1', '0']), 'selection_rate', 'B', "there is nobody"),
    ((['100', '100'], ['500', '40'], ['1', '.8']), 'selection_rate', 'A',
     "its counts are not printed, or cannot be")]

@pytest.mark.parametrize(('columns', 'metric', 'group', 'why'), PUBLISHED)
def test_why_a_published_figure_is_not_known(columns, metric, group, why):
    n, selected, ratio = columns
    found = audit_published(dict(group=['A', 'B'], n=n, selected=selected, ratio=ratio))
    [rate] = [r for r in audit_parts(found)['rates'] if (r.metric, r.group) == (metric, group)]
    assert (rate.value, rate.reason) == (None, why)

def test_a_table_without_counts_is_told_that_it_takes_them():
    said = refused(audit_published, dict(group=['A', 'B'], rate=['.5', '.4'], ratio=['1', '.7']))
    assert said.startswith("a table is checked by counts of people; name their column: `n`")


# ---- Files and bounds

def test_a_tilde_that_no_shell_expanded_leads_home(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path/'home'))
    monkeypatch.chdir(tmp_path)
    (tmp_path/'home').mkdir()
    assert write_whole('~/r.html', 'a') == tmp_path/'home'/'r.html'
    assert [p.name for p in tmp_path.iterdir()] == ['home']
    with pytest.raises(InputError, match='is read, or written already'):
        apart(['~/r.html'], [tmp_path/'home'/'r.html'])
    two_ways().write_csv(tmp_path/'t.csv')
    code, out, _ = dlcourse('audit', 'fairness', 't.csv', '--prediction', 'p', '--sensitive', 'g',
                            '--html=~/q.html', cwd=tmp_path, HOME=str(tmp_path/'home'))
    assert code == 0 and (tmp_path/'home'/'q.html').is_file() and not (tmp_path/'~').exists()

@pytest.mark.parametrize(('x', 'digits', 'text'), [
    (.004, 2, '0.004'), (.0049, 2, '0.004'), (.00012, 3, '0.0001'), (.0149, 2, '0.01'),
    (0., 2, '0.00'), (1e-12, 2, '0.000000000')])
def test_a_bound_above_zero_is_not_said_to_be_zero(x, digits, text):
    assert at_least(x, digits) == text
