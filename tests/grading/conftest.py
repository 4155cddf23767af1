"The made-up lesson as a notebook"

import pytest
from grading.made_up import LESSON, notebook

from dlcourse.classroom.lessons import read_lesson
from dlcourse.grading.sandbox import Sandbox


@pytest.fixture(scope='module')
def course(tmp_path_factory):
    root = tmp_path_factory.mktemp('course')
    notebook(root/'nbs'/'01_toys'/'01_bags.ipynb', *LESSON)
    return root


@pytest.fixture(scope='module')
def lesson(course): return read_lesson(course/'nbs'/'01_toys'/'01_bags.ipynb')


@pytest.fixture(scope='module')
def insist():
    with Sandbox(insist=False) as box: return not box.run(dict(code='')).off


@pytest.fixture(scope='module')
def known(course): return {'toys.bags': course/'nbs'/'01_toys'/'01_bags.ipynb'}
