"Submissions: whatever comes in, the cells that answer are found, or a sentence says what is wrong"
import json
import os

import pytest
from grading.made_up import GOOD, HEAD, notebook

from dlcourse.classroom.cells import MARK, read_notebook
from dlcourse.classroom.editions import learner_edition
from dlcourse.classroom.workspace import MARKER, page_of
from dlcourse.core.errors import InputError
from dlcourse.grading import submissions
from dlcourse.grading.grading import grade
from dlcourse.grading.submissions import read_submission


def test_damaged_submissions_have_a_row(tmp_path, known):
    def fault(path): return [s.fault for s in read_submission(path, 'x', known)]
    texts = {'text': 'hello', 'list': '[]', 'number': '5', 'half': '{"cells": [', 'no cells': '{}',
             'deep': '['*200_000, 'bad cells': '{"cells": [1]}',
             'bad source': '{"cells": [{"cell_type": "code", "source": [1]}]}',
             'no source': '{"cells": [{"cell_type": "code"}]}', 'null': '{"cells": null}'}
    for name, text in texts.items():
        (tmp_path/f'{name}.ipynb').write_text(text)
        said = fault(tmp_path/f'{name}.ipynb')[0]
        assert said.startswith('this is not a notebook: it '), name
        assert 'Error' not in said, said
    (tmp_path/'photo.ipynb').write_bytes(b'\x89PNG\r\n\xff\xfe')
    assert fault(tmp_path/'photo.ipynb') == ['this is not a notebook: it is not JSON']
    (tmp_path/'empty.ipynb').touch()
    assert fault(tmp_path/'empty.ipynb') == ['the file is empty; save the notebook again']
    with open(tmp_path/'huge.ipynb', 'wb') as f: f.truncate(30_000_000)
    assert fault(tmp_path/'huge.ipynb') == ['the file is larger than 20 MB; clear its outputs and '
                                            'save it again']
    assert fault(tmp_path/'nowhere.ipynb') == ['there is no such file']
    os.mkfifo(tmp_path/'pipe.ipynb')
    assert fault(tmp_path/'pipe.ipynb') == ['this is no file']
    assert fault(notebook(tmp_path/'other.ipynb', 'x = 1')) == ["it is of no lesson: its first "
                                                                "cell must be the lesson's, `#| "
                                                                "default_exp …`, got ''"]
    assert "got 'toys.cars'" in fault(notebook(tmp_path/'cars.ipynb',
                                               '#| default_exp toys.cars'))[0]
    (tmp_path/'folder').mkdir()
    assert fault(tmp_path/'folder') == ['there is no notebook in it']


def test_which_cell_counts(tmp_path, known):
    def cells(*sources):
        return dict(read_submission(notebook(tmp_path/'a.ipynb', HEAD, *sources), 'a',
                                    known)[0].cells)
    assert cells() == {} and cells('import os\nos.remove("x")') == {}
    assert cells('#| exercise middle\ndef middle(xs): 1',
                 '#| exercise middle\ndef middle(xs): 2') == {'middle': '#| exercise middle\ndef '
                                                                        'middle(xs): 2'}
    assert cells('def middle(xs): 1', 'def middle(xs): 2',
                 'middle([1])') == {'middle': 'def middle(xs): 2'}
    assert cells('#| exercise middle\ndef middle(xs): 1',
                 'def middle(xs): 2') == {'middle': '#| exercise middle\ndef middle(xs): 1'}
    assert cells('def middle_of(xs): 1',
                 'class Bag:\n    def draw(self, seed): 1') == {'Bag.draw': 'class Bag:\n    def '
                                                                            'draw(self, seed): 1'}
    patched = '@patch\ndef draw(self:Bag, seed): 1'
    assert cells(patched) == {'Bag.draw': patched}
    assert cells('def draw(x): 1') == {}


def test_a_workspace_is_a_submission(tmp_path, known, course):
    edition = learner_edition(read_notebook(known['toys.bags']))
    page = tmp_path/'ada'/'nbs'/'01_toys'/'01_bags.ipynb'
    page.parent.mkdir(parents=True)
    page.write_text(json.dumps(edition))
    notebook(tmp_path/'ada'/'nbs'/'.ipynb_checkpoints'/'01_bags-checkpoint.ipynb', HEAD, GOOD)
    notebook(tmp_path/'ada'/'notes.ipynb', 'x = 1')
    notebook(tmp_path/'ben.ipynb', HEAD, GOOD)
    (tmp_path/'ada'/'stolen.ipynb').symlink_to(tmp_path/'ben.ipynb')
    os.mkfifo(tmp_path/'ada'/'pipe.ipynb')
    found, = read_submission(tmp_path/'ada', 'ada', known)
    assert found.lesson.id == 'toys.bags' and [n for n, _ in found.cells] == ['middle', 'Bag.draw']
    rows = grade([tmp_path/'ada'], None, nbs=course/'nbs').rows
    assert [(r['student'], r['outcome'], r['message'])
            for r in rows] == [('ada', 'not tried', 'the cell is still blank')]*2
    notebook(tmp_path/'ada'/'copy.ipynb', HEAD, GOOD)
    fault = read_submission(tmp_path/'ada', 'ada', known)[1].fault
    copy = '`toys.bags` is here twice; this copy was not graded'
    assert fault == f'copy.ipynb: {copy}'


def test_students_have_names_of_their_own(tmp_path, course):
    for folder in ('x', 'y'): notebook(tmp_path/folder/'01.ipynb', HEAD)
    rows = grade([tmp_path/'x'/'01.ipynb', tmp_path/'y'/'01.ipynb'], None, nbs=course/'nbs').rows
    assert {r['student'] for r in rows} == {'x/01', 'y/01'}
    with pytest.raises(InputError, match='is the name of several submissions'):
        grade([tmp_path/'x'/'01.ipynb']*2, None, nbs=course/'nbs')
    with pytest.raises(InputError, match='at least one notebook or workspace'):
        grade([], None, nbs=course/'nbs')


BLANK = f'#| exercise middle\ndef middle(xs):\n    raise NotImplementedError("{MARK}middle")'


@pytest.fixture
def folder(tmp_path):
    "A workspace with a solved page and a blank copy of it"
    root = tmp_path/'ada'
    (root/MARKER).parent.mkdir(parents=True)
    (root/MARKER).write_text('{}')
    notebook(root/'nbs'/'01_toys'/'01_bags.ipynb', HEAD, GOOD)
    notebook(root/'nbs'/'01_toys'/'01_bags-Copy1.ipynb', HEAD, BLANK)
    return root


def test_check_and_grade_mean_the_same_page(folder, known):
    def taken():
        found, *more = read_submission(folder, 'ada', known)
        return dict(found.cells).get('middle'), [found.fault, *(s.fault for s in more)]
    copy = 'nbs/01_toys/01_bags-Copy1.ipynb: `toys.bags` is here twice; this copy was not graded'
    assert page_of('toys.bags', folder).name == '01_bags.ipynb'
    assert taken() == (GOOD, ['', copy])
    notebook(folder/'nbs'/'00_before'/'01_toys'/'01_bags.ipynb', HEAD, BLANK) # Further down
    notebook(folder/'nbs'/'00_before'/'01_bags.ipynb', HEAD, BLANK)           # In no `toys`
    notebook(folder/'nbs'/'_old'/'01_bags.ipynb', HEAD, BLANK)
    notebook(folder/'01_bags.ipynb', HEAD, BLANK) # Not below nbs
    assert page_of('toys.bags',
                   folder).relative_to(folder/'nbs').as_posix() == '01_toys/01_bags.ipynb'
    assert taken()[0] == GOOD


def test_where_no_page_has_the_lessons_name_nobody_guesses(folder, known, course):
    place = folder/'nbs'/'01_toys'
    (place/'01_bags.ipynb').rename(place/'mine.ipynb')
    with pytest.raises(InputError, match='stands in several notebooks'):
        page_of('toys.bags', folder)
    found, = read_submission(folder, 'ada', known)
    assert found.cells == () and found.fault.startswith('`toys.bags` stands in several notebooks: ')
    rows = grade([folder], None, nbs=course/'nbs').rows
    assert [(r['exercise'], r['outcome'], r['possible']) for r in rows] == [
        ('middle', 'not tried', 2), ('Bag.draw', 'not tried', 1)]
    assert all('several notebooks' in r['message'] for r in rows)


def test_copies_in_a_plain_folder(tmp_path, known):
    for name, source in {'01_bags-Copy1': BLANK, '01_bags': GOOD, 'Copy of bags': BLANK}.items():
        notebook(tmp_path/'ada'/f'{name}.ipynb', HEAD, source)
    found, *more = read_submission(tmp_path/'ada', 'ada', known)
    assert dict(found.cells) == dict(middle=GOOD) and len(more) == 2


def test_the_line_that_names_it_and_the_def_in_two_cells(tmp_path, known):
    answer = GOOD.split('middle\n', 1)[1]
    page = notebook(tmp_path/'a.ipynb', HEAD, '#| export\n#| exercise middle', answer,
                    'middle([1])')
    assert dict(read_submission(page, 'a', known)[0].cells) == dict(middle=answer)


@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16'])
def test_other_encodings(tmp_path, known, encoding):
    page = notebook(tmp_path/'a.ipynb', HEAD, GOOD)
    page.write_text(page.read_text(), encoding=encoding)
    assert dict(read_submission(page, 'a', known)[0].cells) == dict(middle=GOOD)


def test_links_are_not_followed(tmp_path, known, folder):
    page = notebook(tmp_path/'ben.ipynb', HEAD, GOOD)
    links = {'file.ipynb': page, 'folder': folder, 'gone.ipynb': tmp_path/'nowhere'}
    for name, target in links.items():
        (tmp_path/name).symlink_to(target)
        said, = read_submission(tmp_path/name, 'eve', known)
        assert (said.cells, said.fault) == ((), 'this is a link; hand in what it leads to')
    eve = tmp_path/'eve'
    (eve/MARKER).parent.mkdir(parents=True)
    (eve/MARKER).write_text('{}')
    (eve/'nbs').symlink_to(folder/'nbs')
    said, = read_submission(eve, 'eve', known)
    assert said.fault == 'nbs: this is a link; hand in what it leads to'


def test_a_notebook_that_becomes_a_link_meanwhile(tmp_path, known, monkeypatch):
    page = notebook(tmp_path/'ben.ipynb', HEAD, GOOD)
    (tmp_path/'eve.ipynb').symlink_to(page)
    monkeypatch.setattr(submissions.Path, 'is_symlink', lambda _: False)
    said, = read_submission(tmp_path/'eve.ipynb', 'eve', known)
    assert said.fault.startswith('the file cannot be read')


def test_many_and_large(tmp_path, known, monkeypatch):
    for i in range(4): notebook(tmp_path/'ada'/f'{i}.ipynb', HEAD, GOOD)
    monkeypatch.setattr(submissions, 'MANY', 3)
    assert read_submission(tmp_path/'ada', 'a', known)[0].fault == 'there are more than 3 notebooks'
    monkeypatch.setattr(submissions, 'MANY', 4)
    monkeypatch.setattr(submissions, 'LARGEST_HANDED', 1000)
    assert 'larger than 0 MB' in read_submission(tmp_path/'ada', 'a', known)[0].fault
