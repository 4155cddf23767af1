"The grader on the course itself: whole workspaces, each lesson alone, and two who solve nothing"
import json

import pytest
from grading.forgers import rewriter, table

from dlcourse.classroom.cells import answering, cells_of, read_notebook
from dlcourse.classroom.editions import learner_edition
from dlcourse.classroom.lessons import find_exercise, lessons, read_lesson
from dlcourse.grading.examiner import Examiner, nursery
from dlcourse.grading.grading import grade

# Their checks name all inputs; the last two draw them
RECORDED = ['tensors.row_strides', 'scaling.counted', 'causes.spoilers', 'local_law.impact_ratios',
            'depth.kaiming_std', 'zoo.count_operations']
REWRITTEN = ['tensors.row_strides', 'metrics.roc_auc', 'intervals.wilson', 'attention.causal_mask',
             'autograd.Tensor.relu', 'depth.kaiming_std']


def workspace(folder, solved):
    "A learner's pages of the whole course"
    for lesson in filter(lambda x: x.exercises, lessons()):
        page = learner_edition(read_notebook(lesson.path))
        answers = {e.blank: e.source for e in lesson.exercises}
        for cell in page['cells'] if solved else ():
            cell['source'] = answers.get(''.join(cell['source']), cell['source'])
        path = folder/'nbs'/lesson.path.parent.name/lesson.path.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(page))
    return folder


def levels(*parts):
    "The points of some parts, or of all"
    of = [e for x in lessons() for e in x.exercises]
    return sum(e.level for e in of if not parts or e.part in parts)


def test_in_every_blank_page_the_answer_is_the_blank():
    for lesson in lessons():
        cells = cells_of(learner_edition(read_notebook(lesson.path)))
        for e in lesson.exercises: assert answering(cells, e.name).source == e.blank, e.id


def test_a_blank_workspace_is_not_tried(tmp_path):
    grades = grade([workspace(tmp_path/'ada', solved=False)], tmp_path/'g.csv')
    assert {(r['outcome'], r['points']) for r in grades.rows} == {('not tried', 0)}
    assert len(grades.rows) == sum(len(x.exercises) for x in lessons())
    assert grades.summary()[0]['possible'] == levels()


PARTS = sorted({e.part for x in lessons() for e in x.exercises})


@pytest.fixture(scope='module')
def ada(tmp_path_factory):
    "One who solved the whole course; nobody writes there"
    return workspace(tmp_path_factory.mktemp('solved')/'ada', solved=True)


@pytest.mark.slow
@pytest.mark.parametrize('part', PARTS)
def test_a_solved_workspace_and_each_lesson_alone(part, ada, tmp_path, insist):
    pytest.importorskip('torch')
    asked = [x.id for x in lessons() if x.exercises and x.part == part]
    how = dict(out=tmp_path/'g.csv', sandbox=insist)
    whole = grade([ada], lessons=asked, **how)
    lost = [(r['lesson'], r['exercise'], r['message']) for r in whole.rows
            if r['outcome'] != 'passed']
    assert not lost
    assert whole.summary()[0]['points'] == whole.summary()[0]['possible'] == levels(part)
    # What was judged is kept; rows and points are made anew
    for page in sorted(ada.rglob('*.ipynb')):
        if part not in page.parent.name: continue
        alone = grade([page], **how)
        mine = [r for r in whole.rows if r['lesson'] == alone.rows[0]['lesson']]
        assert alone.graded == 0 and len(alone.rows) == len(mine) > 0
        assert alone.summary()[0]['points'] == sum(r['possible'] for r in mine)


@pytest.fixture(scope='module')
def judged(insist):
    "Name, cell and seed → the mark, and how it was judged"
    lesson_of = {name: read_lesson(find_exercise(name).path) for name in RECORDED + REWRITTEN}
    with nursery(list(lesson_of.values())) as parent:
        def mark(name, cell, seed):
            e = find_exercise(name)
            if e.part in ('foundations', 'training', 'transformers'): pytest.importorskip('torch')
            with Examiner(lesson_of[name], insist=insist, seed=seed, parent=parent) as examiner:
                return examiner.grade(e, cell(e))
        yield mark


@pytest.mark.xdist_group('forgers')
@pytest.mark.parametrize('name', REWRITTEN)
def test_who_rewrites_the_comparisons_does_not_pass(name, judged):
    mark = judged(name, rewriter, 3)
    assert mark.judged == 'outside' and mark.outcome in ('failed', 'error'), mark


@pytest.mark.xdist_group('forgers')
@pytest.mark.parametrize('name', RECORDED)
def test_a_table_of_recorded_inputs_does_not_pass(name, judged):
    mark = judged(name, table, 3)
    assert mark.judged == 'outside' and mark.outcome in ('failed', 'error'), mark
