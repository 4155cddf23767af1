"The examiner: what it believes"

import pytest
from grading.made_up import LOW

from dlcourse.classroom.lessons import find_exercise, lesson_at, lesson_paths, read_lesson
from dlcourse.grading import sandbox
from dlcourse.grading.examiner import Examiner
from dlcourse.grading.inside import Inside, known_text
from dlcourse.grading.outside import Seeds
from dlcourse.grading.sandbox import Sandbox
from dlcourse.grading.witness import make_key, plain_data


def deep(levels):
    value = 'x'
    for _ in range(levels): value = ['items', 'list', [value]]
    return value


def test_nothing_that_is_said_stops_the_grader(lesson, monkeypatch):
    def entry(got, want): return [plain_data(got), plain_data(want), 0., 0.]
    open_key = make_key([[entry(1, 1)]], [[[entry(2, 2)]]], [])
    bomb, name = deep(100_000), []
    for _ in range(100_000): name = [name]
    for value in (bomb, ['items', name, []], ['array', 'a', 'b', 'cpu', [1], 'O', ''],
                  ['array', 'a', 'b', 'cpu', [1], 'x', ''], ['number', 'a', ['1e999', 'nan']],
                  [[], {}]):
        for want in (value, deep(100_000), plain_data(1)):
            assert open_key.fits([[[value, want, 0, 0]]]) in (True, False)
    exercise = lesson.exercises[0]
    judge = Inside(Sandbox())
    judge.keys['middle'] = open_key
    for result in (dict(outcome='failed', claims=5),
                   dict(outcome='failed', claims=[5, {}, {'outcome': []}]),
                   dict(outcome='error', message=name), dict(outcome='error', claims=name),
                   dict(outcome='failed', misconception=name), dict(outcome=name), dict(outcome={}),
                   name, None, 'x', dict(outcome='passed', claims=[], heard=name)):
        monkeypatch.setattr(judge.box, 'run', lambda job,
                            result=result: sandbox.Testimony(value=dict(result=result, heard=name)))
        assert judge.grade(exercise, 'def middle(xs): 0').outcome in ('failed', 'error')
    for value in (None, [], 'x', {}, name):
        said = sandbox.Testimony(value=value)
        monkeypatch.setattr(judge.box, 'run', lambda job, said=said: said)
        assert judge.grade(exercise, 'def middle(xs): 0').outcome == 'error'


def test_a_misconception_is_told_in_the_lessons_own_words(lesson, monkeypatch):
    exercise = lesson.exercises[0]
    assert known_text(exercise, "That is the mean.") == "That is the mean."
    assert known_text(exercise, "Please give me full points.") == ''


def test_another_right_answer_may_draw_other_numbers(lesson, insist):
    exercise = lesson.exercises[1]
    with Examiner(lesson, LOW, insist) as examiner:
        assert examiner.grade(exercise, "from fastcore.basics import patch\n@patch\ndef "
                                        "draw(self:Bag, seed:int): return sorted(self.counts)[-1 - "
                                        "seed % 3]").outcome == 'passed'
        examiner.inside.prepare(exercise)
        assert examiner.inside.keys['Bag.draw'].fixed == [[False, True]]
        lacking = "@patch\ndef draw(self:Bag, seed:int): return 'z'"
        said = examiner.grade(exercise, lacking).message
        assert said.startswith("NameError: name 'patch'")


@pytest.mark.parametrize('name', ['foundations.autograd', 'transformers.attention'])
def test_the_courses_own_right_answers_pass(name):
    paths = [p for p in lesson_paths() if f'{p.parent.name[3:]}.{p.stem[3:]}' == name]
    if not paths: pytest.skip(f"there is no {name} yet")
    if name.startswith('transformers'): pytest.importorskip('torch')
    lesson = read_lesson(paths[0])
    with Examiner(lesson, insist=False) as examiner:
        examiner.prepare(lesson.exercises)
        for e in lesson.exercises:
            assert examiner.grade(e, e.source).outcome == 'passed', e.name
            assert examiner.grade(e, e.blank).outcome == 'not tried', e.name
            inside, outside = examiner.inside, examiner.outside
            inside.prepare(e)
            answers = inside.ask(e, answer=['count']).value
            for kind, number in [*(a for a in answers if a[0] == 'right'), ['wrong', 0]]:
                said, right = inside.ask(e, answer=[kind, number]).value, kind == 'right'
                fits = inside.keys[e.name].fits(said['heard'])
                assert (said['result']['outcome'] == 'passed', fits) == (right, right), e.name
                if examiner.judges[e.name] is not outside: continue
                result, _ = outside.try_answer(e, '', [kind, number], Seeds())
                assert (result.outcome == 'passed') == right, (e.name, kind, number)
        if name.startswith('transformers'):
            attend = next(e for e in lesson.exercises if e.name == 'attend')
            for call in ('F.scaled_dot_product_attention(q, k, v, mask)',
                         'getattr(torch.nn.functional, "scaled_dot_" + "product_attention")(q, k, '
                         'v, mask)'):
                mark = examiner.grade(attend, attend.blank.split('raise NotImplementedError')[0]
                                      + f'return {call}')
                assert mark.outcome == 'failed'
                assert 'scaled_dot_product_attention' in mark.message, call


@pytest.mark.slow
def test_what_torch_reads_of_the_processor_is_read_before_the_walls_stand(insist):
    pytest.importorskip('torch')
    paths = {lesson_at(p): p for p in lesson_paths()}
    lesson = read_lesson(paths['training.regularization'])
    exercise = find_exercise('training.regularization.dropout')
    answer = '''import torch
def dropout(x, p=.5, training=True, generator=None):
    if not training: return x
    kept = torch.bernoulli(torch.full(x.shape, 1 - p), generator=generator)
    return x*kept.to(x.dtype)/(1 - p)'''
    with Examiner(lesson, insist=insist) as examiner:
        mark = examiner.grade(exercise, answer)
    assert (mark.outcome, mark.judged) == ('passed', 'outside'), mark


@pytest.mark.slow
@pytest.mark.parametrize('name', [
    'foundations.precision.pairwise_sum',       # Its check counts the calls of torch
    'foundations.autograd.topological_order',   # Its check has a chain of 30,000
    'training.batches.backward_in_parts'])      # Its check sees what happens in which order
def test_what_a_check_watches_is_seen_from_outside(name, insist):
    pytest.importorskip('torch')
    paths, exercise = {lesson_at(p): p for p in lesson_paths()}, find_exercise(name)
    with Examiner(read_lesson(paths[name.rpartition('.')[0]]), insist=insist, seed=4) as examiner:
        mark = examiner.grade(exercise, exercise.source)
        assert (mark.outcome, mark.judged) == ('passed', 'outside'), mark
        for number in range(2):
            result, said = examiner.outside.try_answer(
                exercise, '', ['wrong', number], Seeds(), told=exercise)
            assert (result.outcome, said.fault) == ('failed', ''), (number, result)
            assert result.misconception, number


def test_who_lies_about_calls_of_torch_has_called_often():
    torch = pytest.importorskip('torch')
    class Calls(torch.overrides.TorchFunctionMode):
        count = 0
        def __torch_function__(self, f, kinds, args=(), kwargs=None):
            self.count += 1
            return f(*args, **(kwargs or {}))
    from dlcourse.grading.calls import MOST_REPEATED, _repeated
    for said, heard in [(7, 7), (None, MOST_REPEATED), ('3', MOST_REPEATED), (True, MOST_REPEATED),
                        (10**12, MOST_REPEATED), (-5, 0)]:
        with Calls() as calls: _repeated(said)
        assert heard <= calls.count <= heard + 3, said
