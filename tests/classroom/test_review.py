"A review over days: what comes back, what an answer says, and the page"
import json
from datetime import UTC, datetime, timedelta

import pytest
from classroom.attempts import MASK

from dlcourse.classroom.deck import deck, due, due_count, recalls
from dlcourse.classroom.lessons import lessons
from dlcourse.classroom.progress import progress
from dlcourse.classroom.record import history, record
from dlcourse.classroom.review import (
    choose,
    clue,
    fill,
    question_named,
    question_text,
    quiz_of,
    remember,
    review_page,
    second_of,
    shown,
)
from dlcourse.classroom.spacing import REVIEWS
from dlcourse.core.errors import InputError

pytest.importorskip('fsrs')
LESSON = 'transformers.attention'
HOLE, FAULT = f'hole:{MASK.id}', f'fault:{MASK.id}'
MONDAY = datetime.now().astimezone().replace(hour=12)


def day(n): return MONDAY + timedelta(n)


@pytest.fixture
def folder(attention):
    "A workspace in which `causal_mask` was passed on day 0"
    time = MONDAY.astimezone(UTC).isoformat(timespec='seconds')
    with record(attention) as events:
        events.append(dict(time=time, exercise=MASK.id, kind='attempt', outcome='passed', held=2,
                           claims=2, answer='x'))
    return attention


def test_only_what_was_worked_on_comes_back_and_not_the_same_evening(attention, folder):
    assert not due(folder, day(0))
    found = due(folder, day(1))
    assert {q.lesson for q in found} == {LESSON} and found == [q for q in found if not q.memory]
    assert [q.kind for q in found[:3]] == ['quiz', 'recall', 'hole']
    assert [q.id for q in found if q.kind in ('hole', 'fault')] == [HOLE]
    assert due_count(folder, day(1)) == len(found) == len(deck(folder))


def test_nothing_comes_back_to_who_has_done_nothing(attention):
    assert deck(attention) == [] and due_count(attention) == 0
    assert progress(attention).due == 0


def test_every_lesson_with_exercises_has_something_to_ask_and_to_compare():
    for lesson in lessons():
        found = recalls(lesson)
        assert len(found) >= 3 or not lesson.exercises, lesson.id
        assert len({r.name for r in found}) == len(found)
        for r in found: assert len(r.text) > 10 and len(r.answer) > 3, (lesson.id, r.text)


def letter(q, right): return 'abcdefgh'[[r for _, r, _ in quiz_of(q).answers].index(right)]


def test_the_first_answer_to_a_quiz_counts(folder):
    q = next(q for q in due(folder, day(1)) if q.kind == 'quiz')
    assert choose(q.id, 'z', folder, day(1)).rating is None
    told = choose(q.id, letter(q, False), folder, day(1))
    assert told.rating == 'again' and 'in 1 day.' in told.text and 'Right is' in told.text
    again = choose(q.id, letter(q, True), folder, day(1))
    assert again.rating is None and 'first answer' in again.text
    assert question_named(q.id, folder).memory.ratings == {day(1).date(): 'again'}
    assert choose(q.id, letter(q, True), folder, day(2)).rating == 'good'


def test_what_one_knew_can_be_taken_back(folder):
    q = next(q for q in due(folder, day(1)) if q.kind == 'recall')
    assert f'The lesson: `{LESSON}`' in remember(q.id, folder=folder).text
    for rating in ('easy', 'hard'): remember(q.id, rating, folder, day(1))
    assert question_named(q.id, folder).memory.ratings == {day(1).date(): 'hard'}
    with pytest.raises(InputError, match='must be again, hard, good, easy'):
        remember(q.id, 'well', folder, day(1))


def test_a_line_passed_at_once_is_good_and_the_fault_comes_another_day(folder):
    pytest.importorskip('torch')
    hole = second_of(question_named(HOLE, folder))
    assert fill(HOLE, hole.source, folder, day(1)).rating is None, "a hole is no attempt"
    assert fill(HOLE, hole.answer, folder, day(1)).rating == 'good'
    assert fill(HOLE, hole.source.replace('raise', 'return'), folder, day(1)).rating is None
    assert FAULT not in [q.id for q in due(folder, day(1))]
    fault = question_named(FAULT, folder, day(2))
    assert fault in due(folder, day(2)) and 'One line is wrong' in question_text(fault)
    assert fill(FAULT, second_of(fault).source, folder, day(2)).rating == 'again'
    assert fill(FAULT, second_of(fault).answer, folder, day(2)).rating == 'hard'


def test_help_decides_the_rating_and_is_no_hint_to_the_exercise(folder):
    pytest.importorskip('torch')
    answer = second_of(question_named(HOLE, folder)).answer
    assert MASK.hints[0] in clue(HOLE, folder, day(1)).text
    assert fill(HOLE, answer, folder, day(1)).rating == 'hard'
    assert 'tril' in shown(HOLE, folder, day(2)).text
    assert question_named(HOLE, folder, day(2)).memory.ratings[day(2).date()] == 'again'
    assert len(history(folder)) == 1


def test_the_page_is_new_each_day_and_the_old_one_kept(folder):
    nbformat = pytest.importorskip('nbformat')
    path, kept = review_page(folder, 4, day(1))
    nb = json.loads(path.read_text(encoding='utf-8'))
    nbformat.validate(nbformat.from_dict(nb))
    assert kept is None and len(nb['cells']) == 2 + 2*4
    path.write_text('mine', encoding='utf-8')
    again, kept = review_page(folder, 4, day(2))
    assert again == path and kept.read_text() == 'mine' and kept.parent.name == 'attic'


def test_an_unknown_question_is_said(folder):
    with pytest.raises(InputError, match='is no question to you now'):
        choose('quiz:no.such.one', 'a', folder)


def test_a_page_edited_by_hand_is_told_which_function_answers(folder):
    quiz = next(q.id for q in due(folder, day(1)) if q.kind == 'quiz')
    calls = [(choose, HOLE, 'fill'), (remember, quiz, 'choose'), (clue, quiz, 'choose'),
             (shown, quiz, 'choose')]
    for f, id, other in calls:
        with pytest.raises(InputError, match=f'is answered with `{other}`'):
            f(id, folder=folder, now=day(1))
    with pytest.raises(InputError, match='is answered with `choose`'):
        fill(quiz, 'x', folder, day(1))
    assert not history(folder, REVIEWS)


def test_an_answer_of_a_clock_that_was_wrong_counts_once_its_day_has_come(folder):
    quiz = next(q.id for q in due(folder, day(1)) if q.kind == 'quiz')
    choose(quiz, 'a', folder, day(5000))
    found = question_named(quiz, folder, day(1))
    assert found.memory is None and found in due(folder, day(1))
    assert question_named(quiz, folder, day(5000)).memory


@pytest.mark.parametrize('line', [
    dict(exercise='x'), dict(exercise=''), dict(time='yesterday'), dict(time='9999-12-31T00:00:00'),
])
def test_a_strange_line_of_the_record_stops_no_review(folder, line):
    before = [q.id for q in due(folder, day(1))]
    passed = dict(exercise=MASK.id, kind='attempt', outcome='passed', held=2, claims=2, answer='x',
                  time='2026-01-01T00:00:00+00:00')
    with record(folder) as events: events.append(passed | line)
    assert [q.id for q in due(folder, day(1))] == before


def test_a_page_that_leads_out_of_the_workspace_is_not_written(folder, tmp_path):
    target = tmp_path/'mine.txt'
    target.write_text('mine')
    (folder/'review.ipynb').symlink_to(target)
    with pytest.raises(InputError, match='leads out of the workspace'):
        review_page(folder, now=day(1))
    assert target.read_text() == 'mine'


def test_odd_options_are_one_sentence(folder):
    for odd in (0, -1, 1.5, 'x', None):
        with pytest.raises(InputError, match='`most` must be'): review_page(folder, odd)
    for odd in ('x', 3, datetime(2026, 1, 1)):
        with pytest.raises(InputError, match='`now` must be'): due(folder, odd)
