"A workspace: what is laid out, what stays, what comes back, and the package that it becomes"
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dlcourse.classroom.lessons import answers, find_exercise
from dlcourse.classroom.workspace import (
    MARKER,
    answer_cell,
    chosen,
    exercise_named,
    find_workspace,
    fingerprint,
    page_of,
    pages,
    put_back,
    saved_answer,
    start,
    workspace,
)
from dlcourse.core.errors import InputError

LESSON, SAID = 'transformers.attention', 'from the course, a later edition'
PAGE = 'nbs/07_transformers/02_attention.ipynb'
MASK = '''#| exports
#| exercise causal_mask level=1 importance=3 minutes=5
def causal_mask(n):
    "Mine"
    return torch.arange(n)[:, None] >= torch.arange(n)'''


def cell(source, kind='code', **more):
    return dict(cell_type=kind, id=f'c{abs(hash(source)) % 10**8}', metadata={}, source=source.splitlines(True)) | (
        dict(outputs=[], execution_count=None) if kind == 'code' else {}) | more


def course(folder, lessons):
    "A course made up for a test: {'01_first/01_one': [cells]}"
    for place, cells in lessons.items():
        name = '.'.join(p.split('_', 1)[1] for p in place.split('/'))
        path = folder/f'{place}.ipynb'
        path.parent.mkdir(parents=True, exist_ok=True)
        nb = dict(cells=[cell(f'#| default_exp {name}'), cell(f'# {name}\n\n> A lesson', 'markdown'), *cells], metadata={}, nbformat=4, nbformat_minor=5)
        path.write_text(json.dumps(nb), encoding='utf-8')
    return folder


@pytest.fixture
def small(tmp_path): return course(tmp_path/'course', {'01_first/01_one': [cell('1 + 1')], '01_first/02_two': [cell('2')], '02_next/01_three': [cell('3')]})


def change(path, f):
    nb = json.loads(path.read_text(encoding='utf-8'))
    f(nb)
    path.write_text(json.dumps(nb), encoding='utf-8')


def write_answer(folder, source=MASK, name='causal_mask'):
    def put(nb): answer_cell(nb, find_exercise(name)).update(source=source.splitlines(True))
    change(page_of(LESSON, folder), put)


# Where it is


def test_a_workspace_is_found_from_below_and_from_beside(tmp_path, small, monkeypatch):
    assert find_workspace() is None
    with pytest.raises(InputError, match="is no workspace; `dlcourse start` makes one, or go to yours"): workspace()
    done = start(nbs=small)
    assert done.folder == tmp_path/'dlcourse-work' and done.first.name == '01_one.ipynb'
    assert workspace() == done.folder and find_workspace() is None, "from beside"
    monkeypatch.chdir(done.folder/'nbs'/'01_first')
    assert workspace() == find_workspace() == done.folder, "from below"
    assert start(nbs=small).folder == done.folder, "inside, `start` means this one"
    with pytest.raises(InputError, match="is no workspace"): workspace(tmp_path)


def test_it_refuses_places_that_are_something_else(tmp_path, small):
    (tmp_path/'file').write_text('')
    with pytest.raises(InputError, match="`.*file` is a file; give a folder"): start(tmp_path/'file', nbs=small)
    (tmp_path/'project').mkdir(); (tmp_path/'project'/'pyproject.toml').write_text('')
    with pytest.raises(InputError, match="is a project already: it has a pyproject.toml; give a folder of its own, such as dlcourse-work"):
        start(tmp_path/'project', nbs=small)
    folder = start('work', nbs=small).folder
    with pytest.raises(InputError, match="lies inside the workspace .*work; give no folder to add lessons"): start(folder/'inside', nbs=small)
    assert not (folder/'inside').exists()


# What is laid out


@pytest.mark.parametrize('choice, found', [
    (dict(), ['first.one', 'first.two', 'next.three']), (dict(part='first'), ['first.one', 'first.two']), (dict(part='01_first'), ['first.one', 'first.two']),
    (dict(part='2'), ['next.three']), (dict(part='02'), ['next.three']), (dict(lesson='two'), ['first.two']), (dict(lesson='first.two'), ['first.two']),
    (dict(lesson='01.02'), ['first.two']), (dict(lesson='02_two'), ['first.two']), (dict(part='first', lesson='two'), ['first.two'])])
def test_any_part_or_lesson_can_be_taken_alone(small, choice, found):
    done = start('work', nbs=small, **choice)
    assert list(done.added) == found == list(pages(done.folder)), choice


@pytest.mark.parametrize('choice, says', [
    (dict(part='frist'), "`frist` is no part of the course; did you mean `first`?"),
    (dict(lesson='tree'), "`tree` is no lesson of the course; did you mean `three`?"),
    (dict(lesson='zzz'), "`zzz` is no lesson of the course; `dlcourse lessons` lists"),
    (dict(lesson='same'), "`same` is a lesson of several parts; say which: a.same, b.same"),
    (dict(part='next', lesson='one'), "`one` is no lesson of the course")])
def test_what_is_not_there_is_said(tmp_path, small, choice, says):
    course(small, {'03_a/01_same': [], '04_b/01_same': []})
    with pytest.raises(InputError) as e: start('work', nbs=small, **choice)
    assert says in str(e.value) and not Path('work').exists()


def test_the_machine_room_comes_only_when_asked_for(small):
    course(small, {'00_core/01_engine': []})
    assert 'core.engine' not in start('work', nbs=small).added
    assert start('work', 'core', nbs=small).added == ('core.engine',)
    assert [p.parent.name for p in chosen()] and not any(p.parent.name == '00_core' for p in chosen())


def test_the_pages_are_blank_and_check_themselves():
    folder = start('work', lesson='attention').folder
    nb = json.loads((folder/PAGE).read_text(encoding='utf-8'))
    text = '\n'.join(''.join(c['source']) for c in nb['cells'])
    assert 'from dlcourse.classroom.progress import check' in text and 'check("causal_mask")' in text
    assert 'raise NotImplementedError("Your turn: causal_mask")' in text
    assert 'tril()' not in ''.join(answers(nb)['causal_mask']) and not any(c.get('outputs') for c in nb['cells'])


# What stays


def test_starting_again_changes_nothing(small):
    folder = start('work', nbs=small).folder
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob('*') if p.is_file() and p.name != 'workspace.json'}
    again = start('work', nbs=small)
    assert (again.added, again.updated, again.kept, again.same) == ((), (), (), ('first.one', 'first.two', 'next.three'))
    assert before == {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob('*') if p.is_file() and p.name != 'workspace.json'}


def test_a_newer_edition_replaces_only_what_was_left_alone(small):
    folder = start('work', nbs=small).folder
    one, two, three = pages(folder).values()
    change(one, lambda nb: nb['cells'][-1].update(source=['mine = 1']))
    output = dict(output_type='stream', name='stdout', text=['2'])
    change(two, lambda nb: (nb['cells'][-1].update(outputs=[output], execution_count=7), nb['cells'].append(cell(''))))
    course(small, {'01_first/01_one': [cell(SAID)], '01_first/02_two': [cell(SAID)], '03_new/01_four': [cell('4')]})
    done = start('work', nbs=small)
    assert (done.kept, done.updated, done.added, done.same) == (('first.one',), ('first.two',), ('new.four',), ('next.three',))
    assert 'mine = 1' in one.read_text() and SAID in two.read_text(), "run, but not changed: replaced"
    kept, = (folder/'.dlcourse'/'attic').iterdir()
    assert kept.name.endswith('-02_two.ipynb') and '"execution_count": 7' in kept.read_text(), "an hour's output is not lost"
    said = str(done)
    assert "left as you changed it, though there is a newer edition; rename your page" in said and "laid out: new.four" in said
    assert start('work', nbs=small).kept == ('first.one',), "it goes on saying so"
    json.dumps(done.to_dict())


def test_a_page_changed_without_a_newer_edition_is_not_mentioned(small):
    folder = start('work', nbs=small).folder
    change(pages(folder)['first.one'], lambda nb: nb['cells'].pop())
    assert start('work', nbs=small).kept == () and len(json.loads(pages(folder)['first.one'].read_text())['cells']) == 2


def test_a_deleted_page_comes_back_and_a_renamed_one_is_known(small):
    folder = start('work', nbs=small).folder
    pages(folder)['first.one'].unlink()
    two = pages(folder)['first.two']
    two.rename(two.with_name('my favourite.ipynb'))
    done = start('work', nbs=small)
    assert done.added == ('first.one',) and not two.exists() and pages(folder)['first.two'].name == 'my favourite.ipynb'


def test_project_files_that_the_learner_changed_stay(small):
    folder = start('work', nbs=small).folder
    (folder/'pyproject.toml').write_text('# mine\n')
    (folder/'README.md').unlink()
    start('work', nbs=small)
    assert (folder/'pyproject.toml').read_text() == '# mine\n' and (folder/'README.md').exists()


@pytest.mark.parametrize('damage, says', [
    ('{"schema"', 'it is damaged'), ('[]', 'it is damaged'), ('{"schema": "dlcourse/workspace/9", "laid_out": {}}', 'it says dlcourse/workspace/9')])
def test_a_damaged_record_makes_everything_the_learners(small, damage, says):
    folder = start('work', nbs=small).folder
    (folder/MARKER).write_text(damage)
    course(small, {'01_first/01_one': [cell(SAID)]})
    done = start('work', nbs=small)
    assert says in done.notes[0] and done.kept == ('first.one',) and done.notes[0] in str(done)
    assert next((folder/'.dlcourse'/'attic').iterdir()).read_text() == damage
    assert start('work', nbs=small).notes == ()


def test_fingerprints_see_sources_only():
    def nb(*cells): return json.dumps(dict(cells=list(cells)))
    plain = nb(cell('a'), cell('b', 'markdown'))
    assert fingerprint(plain) == fingerprint(nb(cell('a', outputs=['x'], execution_count=3), cell('b', 'markdown'), cell(' \n')))
    assert len({fingerprint(t) for t in (plain, nb(cell('b', 'markdown'), cell('a')), nb(cell('a'), cell('b')), nb(cell('a')), 'text', 'text ')}) == 6


# The learner's answer


@pytest.fixture
def attention(tmp_path): return start(tmp_path/'work', lesson='attention').folder


def test_the_saved_answer_is_the_marked_cell_or_else_the_last_that_defines_it(attention):
    mask = find_exercise('causal_mask')
    assert saved_answer(mask, attention) == mask.blank
    write_answer(attention)
    assert saved_answer(mask, attention) == MASK
    change(page_of(LESSON, attention), lambda nb: nb['cells'].append(cell('def causal_mask(n): return "a try"')))
    assert saved_answer(mask, attention) == MASK, "the marked one"
    write_answer(attention, MASK.split('\n', 2)[2])
    assert saved_answer(mask, attention) == 'def causal_mask(n): return "a try"', "nothing is marked"


def test_lost_renamed_copied_and_damaged_pages(attention):
    mask, page = find_exercise('causal_mask'), attention/PAGE
    shutil.copy(page, page.with_name('02_attention-Copy1.ipynb'))
    assert page_of(LESSON, attention) == page, "the original counts"
    page.rename(page.with_name('mine.ipynb'))
    with pytest.raises(InputError, match=r"`transformers.attention` stands in several notebooks: .*Copy1.ipynb, .*mine.ipynb; keep one below nbs"):
        page_of(LESSON, attention)
    page.with_name('02_attention-Copy1.ipynb').unlink()
    assert page_of(LESSON, attention).name == 'mine.ipynb'
    page.with_name('mine.ipynb').unlink()
    with pytest.raises(InputError, match="is not in the workspace .*; `dlcourse start --lesson transformers.attention` brings it, or move it back below nbs"):
        saved_answer(mask, attention)
    page.write_text('{"cells": [')
    with pytest.raises(InputError, match=r"`.*02_attention.ipynb` is not a notebook: .*open it in Jupyter and save it again"): saved_answer(mask, attention)
    page.write_text('')
    with pytest.raises(InputError, match="is not a notebook"): put_back(mask, attention)
    assert start(attention, lesson='attention').added == () and page.read_text() == '', "nothing that is there is written over"
    page.unlink()
    assert start(attention, lesson='attention').added == (LESSON,)


def test_a_lost_cell(attention):
    mask = find_exercise('causal_mask')
    change(attention/PAGE, lambda nb: nb['cells'].remove(answer_cell(nb, mask)))
    with pytest.raises(InputError, match="`causal_mask` has no cell in nbs/07_transformers/02_attention.ipynb; `dlcourse reset causal_mask` puts it back"):
        saved_answer(mask, attention)
    assert put_back(mask, attention) == (attention/PAGE, None)
    sources = [''.join(c['source']) for c in json.loads((attention/PAGE).read_text(encoding='utf-8'))['cells']]
    assert sources[sources.index('check("causal_mask")') - 1] == mask.blank


def test_reset_puts_the_blank_back_and_keeps_the_answer(attention):
    mask = find_exercise('causal_mask')
    before = json.loads((attention/PAGE).read_text(encoding='utf-8'))
    write_answer(attention)
    for c in ('check("causal_mask")', MASK):
        change(attention/PAGE, lambda nb, c=c: next(x for x in nb['cells'] if ''.join(x['source']) == c).update(outputs=[{}], execution_count=3))
    page, kept = put_back(mask, attention)
    assert kept.read_text(encoding='utf-8') == MASK and kept.parent == attention/'.dlcourse'/'attic'
    assert json.loads(page.read_text(encoding='utf-8')) == before, "old outputs are gone, too"
    assert put_back(mask, attention)[1] is None, "a blank is not kept"


def test_names_may_be_short_and_nearly_right(attention):
    for name in ('causal_mask', 'attention.causal_mask', 'transformers.attention.causal_mask'): assert exercise_named(name, attention).name == 'causal_mask'
    with pytest.raises(InputError, match="`casual_mask` is no exercise; did you mean `causal_mask`?"): exercise_named('casual_mask', attention)
    with pytest.raises(InputError, match="`qqqqq` is no exercise; `dlcourse lessons` lists"): exercise_named('qqqqq')


def test_of_two_exercises_of_one_name_the_one_in_the_workspace_is_meant(small, monkeypatch):
    task = [cell('#| export\n#| exercise f\ndef f(): return 1'), cell('#| check f\n@check(hint="")\ndef one(f): expect(f(), 1)')]
    course(small, {'03_a/01_this': task, '04_b/01_that': task})
    monkeypatch.setattr('dlcourse.classroom.lessons.project_path', lambda *parts: small)
    with pytest.raises(InputError, match="several lessons"): exercise_named('f')
    folder = start('work', lesson='that').folder
    assert exercise_named('f', folder).id == 'b.that.f'


# The package


def export(folder):
    env = {k: v for k, v in os.environ.items() if k != 'IN_TEST'} | dict(PYTHONPATH=str(Path(__file__).resolve().parents[2]))
    code = 'from nbdev.doclinks import nbdev_export; nbdev_export.__wrapped__()'
    done = subprocess.run([sys.executable, '-c', code], cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder/'my_dlcourse'


def python(folder, code):
    env = os.environ | dict(PYTHONPATH=str(Path(__file__).resolve().parents[2]))
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_own_solutions_become_a_package_and_the_rest_is_borrowed(attention):
    pytest.importorskip('torch')
    from dlcourse.classroom.package import check_package
    with pytest.raises(InputError, match="`my_dlcourse` has not been written yet; run `nbdev-export` in"): check_package(attention)
    project = (attention/'pyproject.toml').read_text()
    write_answer(attention)
    write_answer(attention, '#| export\n#| exercise attend\ndef attend(q, k, v, mask=None):\n    return v +', 'attend')
    module = export(attention)/'transformers'/'attention.py'
    assert (attention/'pyproject.toml').read_text() == project, "nbdev leaves the project file alone"
    text = module.read_text(encoding='utf-8')
    assert '"Mine"' in text and "borrow('transformers.attention.causal_mask'" not in text and 'raise NotImplementedError("Your turn: rotate")' in text
    assert "# Your cell was not Python: invalid syntax in `return v +`\n" in text
    found = check_package(attention)
    outcomes = {r.exercise.rsplit('.')[-1]: r.outcome for r in found.results}
    assert (outcomes['causal_mask'], outcomes['attend'], outcomes['rotate']) == ('passed', 'error', 'not tried')
    assert found.broken == {} and found.passed == 1
    assert "the cell is not Python: invalid syntax in `return v +`" in str(found) and "there the course's own stands in" in str(found)
    json.dumps(found.to_dict())
    code = "from my_dlcourse.transformers import attention as a; print(a.causal_mask.__doc__, a.rotate.__module__, *a.borrowed)"
    assert python(attention, code).startswith('Mine my_dlcourse.transformers.attention transformers.attention.padding_mask transformers.attention.attend')


def test_a_package_that_is_behind_or_broken_says_so(attention):
    pytest.importorskip('torch')
    from dlcourse.classroom.package import check_package
    write_answer(attention, MASK.replace('"Mine"', 'pass') + '\n\nnothing_of_that_name')
    module = export(attention)/'transformers'/'attention.py'
    found = check_package(attention)
    assert found.broken == {'my_dlcourse.transformers.attention': "NameError: name 'nothing_of_that_name' is not defined"}
    assert "✗ my_dlcourse.transformers.attention does not import: NameError" in str(found)
    os.utime(module, (1, 1))
    assert "02_attention.ipynb is newer than the package: run `nbdev-export` first" in check_package(attention).results[0].note
    module.unlink()
    behind = check_package(attention).results[0]
    assert behind.outcome == 'not tried' and behind.message == "it is not in the package"


def test_lessons_import_each_other_from_the_learners_package(small, monkeypatch):
    from dlcourse.classroom.package import own_imports
    source = ('from dlcourse.first.one import a\nimport dlcourse.first.one as b\nfrom dlcourse.first.ones import c\nfrom dlcourse.core.files import d\n'
              'text = "from dlcourse.first.one"')
    assert own_imports(source, ['first.one', 'core.files']).splitlines() == [
        'from my_dlcourse.first.one import a', 'import my_dlcourse.first.one as b', *source.splitlines()[2:]]
    course(small, {'01_first/01_one': [cell('#| export\ndef a(): return 1')], '01_first/02_two': [cell('#| export\nfrom dlcourse.first.one import a')],
                   '02_next/01_three': [cell('#| export\nfrom dlcourse.first.two import a')]})
    folder = start('work', nbs=small).folder
    export(folder)
    assert python(folder, 'from my_dlcourse.next.three import a; print(a.__module__)') == 'my_dlcourse.first.one'
