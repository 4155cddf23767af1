"Courses and workspaces made up for the tests"
import json

from dlcourse.classroom.lessons import find_exercise
from dlcourse.classroom.workspace import answer_cell, page_of

LESSON, SAID = 'transformers.attention', 'from the course, a later edition'
PLACE = 'nbs/07_transformers/02_attention.ipynb'
ANSWER = '''#| exports
#| exercise causal_mask level=1 importance=3 minutes=5
def causal_mask(n):
    "Mine"
    return torch.arange(n)[:, None] >= torch.arange(n)'''


def cell(source, kind='code', **more):
    return dict(cell_type=kind, id=f'c{abs(hash(source)) % 10**8}', metadata={},
                source=source.splitlines(True)) | (
        dict(outputs=[], execution_count=None) if kind == 'code' else {}) | more


def course(folder, lessons):
    "A course made up for a test: {'01_first/01_one': [cells]}"
    for place, cells in lessons.items():
        name = '.'.join(p.split('_', 1)[1] for p in place.split('/'))
        path = folder/f'{place}.ipynb'
        path.parent.mkdir(parents=True, exist_ok=True)
        nb = dict(cells=[cell(f'#| default_exp {name}'),
                         cell(f'# {name}\n\n> A lesson', 'markdown'), *cells], metadata={},
                         nbformat=4, nbformat_minor=5)
        path.write_text(json.dumps(nb), encoding='utf-8')
    return folder


def change(path, f):
    nb = json.loads(path.read_text(encoding='utf-8'))
    f(nb)
    path.write_text(json.dumps(nb), encoding='utf-8')


def write_answer(folder, source=ANSWER, name='causal_mask'):
    def put(nb): answer_cell(nb, find_exercise(name)).update(source=source.splitlines(True))
    change(page_of(LESSON, folder), put)
