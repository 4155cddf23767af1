"Spaced review: the days are those of `fsrs`, and no answer is lost"
import json
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from dlcourse.classroom.record import history
from dlcourse.classroom.spacing import (
    RATINGS,
    REVIEWS,
    memory_of,
    past_reviews,
    scheduler,
    today,
    write_review,
)
from dlcourse.core.errors import InputError

fsrs = pytest.importorskip('fsrs')
START = date(2026, 3, 2)


@pytest.mark.parametrize('ratings', [
    {0: 'good'}, {0: 'again'}, {0: 'hard', 3: 'easy'},
    {0: 'good', 2: 'good', 13: 'again', 14: 'good'},
    {0: 'easy', 40: 'again', 41: 'again', 43: 'hard'}])
@pytest.mark.parametrize('retention', [.8, .9])
def test_the_days_are_those_of_fsrs(ratings, retention):
    theirs, card = fsrs.Scheduler(desired_retention=retention, learning_steps=[],
                                  relearning_steps=[], enable_fuzzing=False), fsrs.Card(card_id=1)
    for n, rating in ratings.items():
        when = datetime(2026, 3, 2, tzinfo=UTC) + timedelta(n)
        card, _ = theirs.review_card(card, fsrs.Rating[rating.capitalize()], when)
    ours = memory_of({START + timedelta(n): r for n, r in ratings.items()}, retention)
    assert (ours.due, ours.stability, ours.difficulty) == (
        card.due.date(), card.stability, card.difficulty)
    later = card.last_review + timedelta(10)
    assert ours.chance(later.date()) == theirs.get_card_retrievability(card, later)
    assert ours.due > ours.last and tuple(RATINGS) == tuple(r.name.lower() for r in fsrs.Rating)


def test_a_day_is_the_learners_own(tmp_path):
    late = datetime(2026, 3, 2, 23, 30, tzinfo=timezone(timedelta(hours=-5)))
    assert today(late) == date(2026, 3, 2)
    write_review(tmp_path, 'quiz:a.b.c', 'good', late)
    assert list(past_reviews(tmp_path)['quiz:a.b.c']) == [date(2026, 3, 2)]
    assert history(tmp_path, REVIEWS)[0]['time'] == '2026-03-03T04:30:00+00:00'


def test_the_last_word_of_a_day_counts_and_a_hint_is_none(tmp_path):
    def at(day): return datetime(2026, 3, day, 20, tzinfo=UTC)
    for day, rating in ((2, 'again'), (2, 'hard'), (3, None), (4, None), (4, 'good')):
        write_review(tmp_path, 'hole:a.b.c', rating, at(day))
    assert past_reviews(tmp_path) == {'hole:a.b.c': {
        date(2026, 3, 2): 'hard', date(2026, 3, 3): 'hint', date(2026, 3, 4): 'good'}}


def test_a_damaged_line_is_told_and_kept(tmp_path, capsys):
    for rating in ('good', 'again'): write_review(tmp_path, f'quiz:a.b.{rating}', rating)
    path = tmp_path/'.dlcourse'/'reviews.jsonl'
    whole = path.read_bytes()
    path.write_bytes(whole[:-25])
    assert list(past_reviews(tmp_path)) == ['quiz:a.b.good']
    assert 'the record of your reviews was damaged' in capsys.readouterr().err
    kept, = (tmp_path/'.dlcourse'/'attic').iterdir()
    assert kept.read_bytes() == whole[:-25]
    write_review(tmp_path, 'quiz:a.b.again', 'again')
    assert len(past_reviews(tmp_path)) == 2


def test_a_newer_record_is_refused(tmp_path):
    write_review(tmp_path, 'quiz:a.b.c', 'good')
    path = tmp_path/'.dlcourse'/'reviews.jsonl'
    path.write_text(json.dumps(dict(schema='dlcourse/reviews/9')) + '\n')
    with pytest.raises(InputError, match='dlcourse/reviews/1; update dlcourse'):
        past_reviews(tmp_path)


def test_what_cannot_be_is_said(tmp_path, monkeypatch):
    for bad in (lambda: write_review(tmp_path, 'q', 'fine'), lambda: memory_of({START: 'fine'})):
        with pytest.raises(InputError, match="must be again, hard, good, easy; got 'fine'"): bad()
    with pytest.raises(InputError, match='got none'): memory_of({})
    with pytest.raises(InputError, match='`retention` must be a number from 0.7 to 0.97'):
        scheduler(.99)
    monkeypatch.setenv('DLCOURSE_RETENTION', '0.8')
    assert scheduler().desired_retention == .8
