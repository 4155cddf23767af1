"The made-up lesson as a notebook, for every test of the classroom"
import json

import pytest
from classroom.folders import cell, course
from classroom.made_up import PAGE, book

from dlcourse.classroom.lessons import read_lesson
from dlcourse.classroom.start import start


@pytest.fixture
def lesson(tmp_path):
    "A function that writes a lesson and gives its exercises by name"
    def make(*cells, name='06_transformers/03_tiny.ipynb'):
        path = tmp_path/'nbs'/name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(book(*(cells or PAGE))), encoding='utf-8')
        return {e.name: e for e in read_lesson(path).exercises}
    return make


@pytest.fixture
def mask(lesson): return lesson()['causal_mask']


@pytest.fixture
def small(tmp_path):
    return course(tmp_path/'course',
                  {'01_first/01_one': [cell('1 + 1')], '01_first/02_two': [cell('2')],
                   '02_next/01_three': [cell('3')]})


@pytest.fixture
def attention(tmp_path): return start(tmp_path/'work', lesson='attention').folder
