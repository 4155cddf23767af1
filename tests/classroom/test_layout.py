"Laying out: what comes, what stays, and what is carried over"
import json
import shutil
from pathlib import Path

import pytest
from classroom.folders import LESSON, PLACE, SAID, cell, change, course

from dlcourse.classroom.editions import answers, fingerprint
from dlcourse.classroom.layout import start
from dlcourse.classroom.lessons import find_exercise
from dlcourse.classroom.progress import check_saved, progress
from dlcourse.classroom.workspace import MARKER, chosen, pages, saved_answer
from dlcourse.core.errors import InputError

OLD = Path(__file__).parent/'old'


def test_it_refuses_places_that_are_something_else(tmp_path, small):
    (tmp_path/'file').write_text('')
    with pytest.raises(InputError, match="`.*file` is a file; give a folder"):
        start(tmp_path/'file', nbs=small)
    (tmp_path/'project').mkdir(); (tmp_path/'project'/'pyproject.toml').write_text('')
    with pytest.raises(InputError, match="is a project already: it has a pyproject.toml; give a "
                                         "folder of its own, such as dlcourse-work"):
        start(tmp_path/'project', nbs=small)
    folder = start('work', nbs=small).folder
    with pytest.raises(InputError, match="lies inside the workspace .*work; give no folder to add "
                                         "lessons"):
        start(folder/'inside', nbs=small)
    assert not (folder/'inside').exists()


def test_the_machine_room_comes_only_when_asked_for(small):
    course(small, {'00_core/01_engine': []})
    assert 'core.engine' not in start('work', nbs=small).added
    assert start('work', 'core', nbs=small).added == ('core.engine',)
    assert [p.parent.name for p in chosen()]
    assert not any(p.parent.name == '00_core' for p in chosen())


def test_the_pages_are_blank_and_check_themselves():
    folder = start('work', lesson='attention').folder
    nb = json.loads((folder/PLACE).read_text(encoding='utf-8'))
    text = '\n'.join(''.join(c['source']) for c in nb['cells'])
    assert 'from dlcourse.classroom.progress import check' in text
    assert 'check("causal_mask")' in text
    assert 'raise NotImplementedError("Your turn: causal_mask")' in text
    assert 'tril()' not in ''.join(answers(nb)['causal_mask'])
    assert not any(c.get('outputs') for c in nb['cells'])


def test_starting_again_changes_nothing(small):
    folder = start('work', nbs=small).folder
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns)
              for p in folder.rglob('*') if p.is_file() and p.name != 'workspace.json'}
    again = start('work', nbs=small)
    assert (again.added, again.updated, again.kept, again.same) == ((), (), (),
                                                                    ('first.one', 'first.two',
                                                                     'next.three'))
    assert before == {p: (p.read_bytes(), p.stat().st_mtime_ns)
                      for p in folder.rglob('*') if p.is_file() and p.name != 'workspace.json'}


def test_a_newer_edition_replaces_only_what_was_left_alone(small):
    folder = start('work', nbs=small).folder
    one, two, three = pages(folder).values()
    change(one, lambda nb: nb['cells'][-1].update(source=['mine = 1']))
    output = dict(output_type='stream', name='stdout', text=['2'])
    change(two, lambda nb: (nb['cells'][-1].update(outputs=[output], execution_count=7),
                            nb['cells'].append(cell(''))))
    course(small, {'01_first/01_one': [cell(SAID)], '01_first/02_two': [cell(SAID)],
                   '03_new/01_four': [cell('4')]})
    done = start('work', nbs=small)
    assert (done.kept, done.updated, done.added, done.same) == (('first.one',), ('first.two',),
                                                                ('new.four',), ('next.three',))
    assert 'mine = 1' in one.read_text()
    assert SAID in two.read_text(), "run, but not changed: replaced"
    kept, = (folder/'.dlcourse'/'attic').iterdir()
    assert kept.name.endswith('-02_two.ipynb')
    assert '"execution_count": 7' in kept.read_text(), "an hour's output is not lost"
    said = str(done)
    assert "left as you changed it, though there is a newer edition; rename your page" in said
    assert "laid out: new.four" in said
    assert start('work', nbs=small).kept == ('first.one',), "it goes on saying so"
    json.dumps(done.to_dict())


def test_a_page_changed_without_a_newer_edition_is_not_mentioned(small):
    folder = start('work', nbs=small).folder
    change(pages(folder)['first.one'], lambda nb: nb['cells'].pop())
    assert start('work', nbs=small).kept == ()
    assert len(json.loads(pages(folder)['first.one'].read_text())['cells']) == 2


def test_a_deleted_page_comes_back_and_a_renamed_one_is_known(small):
    folder = start('work', nbs=small).folder
    pages(folder)['first.one'].unlink()
    two = pages(folder)['first.two']
    two.rename(two.with_name('my favourite.ipynb'))
    done = start('work', nbs=small)
    assert done.added == ('first.one',) and not two.exists()
    assert pages(folder)['first.two'].name == 'my favourite.ipynb'


def test_project_files_that_the_learner_changed_stay(small):
    folder = start('work', nbs=small).folder
    (folder/'pyproject.toml').write_text('# mine\n')
    (folder/'README.md').unlink()
    start('work', nbs=small)
    assert (folder/'pyproject.toml').read_text() == '# mine\n' and (folder/'README.md').exists()


@pytest.mark.parametrize('damage, says', [
    ('{"schema"', 'it is damaged'), ('[]', 'it is damaged'),
    ('{"schema": "dlcourse/workspace/9", "laid_out": {}}', 'it says dlcourse/workspace/9')])
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
    assert fingerprint(plain) == fingerprint(nb(cell('a', outputs=['x'], execution_count=3),
                                                cell('b', 'markdown'), cell(' \n')))
    assert len({fingerprint(t)
                for t in (plain, nb(cell('b', 'markdown'), cell('a')), nb(cell('a'), cell('b')),
                          nb(cell('a')), 'text', 'text ')}) == 6


# An older course


@pytest.fixture
def old(tmp_path):
    "A workspace as an older course laid it out, with an answer in it"
    folder = tmp_path/'work'
    (folder/'.dlcourse').mkdir(parents=True)
    shutil.copy(OLD/'workspace.json', folder/MARKER)
    shutil.copy(OLD/'progress.db', folder/'.dlcourse')
    page = folder/'nbs'/'06_transformers'/'02_attention.ipynb'
    page.parent.mkdir(parents=True)
    shutil.copy(OLD/'attention.json', page)
    return folder


def test_an_older_workspace_is_read(old):
    pytest.importorskip('torch')
    assert check_saved('causal_mask', old).outcome == 'passed'
    causal, *_ = progress(old).exercises
    assert (causal.name, causal.state, causal.hints) == ('causal_mask', 'passed', 1)


def test_start_brings_an_older_workspace_up_to_date(old):
    before = (old/'nbs'/'06_transformers'/'02_attention.ipynb').read_text(encoding='utf-8')
    done = start(old, lesson='attention')
    assert done.carried == (LESSON,) and (done.added, done.kept, done.notes) == ((), (), ())
    page, = (old/'nbs').rglob('*.ipynb')
    assert page.relative_to(old).as_posix() == PLACE, "one page, in the folder of today"
    text = page.read_text(encoding='utf-8')
    assert 'dlcourse.course' not in text and 'from dlcourse.classroom.progress import check' in text
    assert 'tril()' in saved_answer(find_exercise('causal_mask'), old)
    assert saved_answer(find_exercise('attend'), old) == find_exercise('attend').blank
    kept = next((old/'.dlcourse'/'attic').glob('*attention.ipynb'))
    assert kept.read_text(encoding='utf-8') == before
    assert start(old, lesson='attention').same == (LESSON,)


def test_a_page_that_the_learner_has_named_stays_where_it_is(old):
    page = old/'nbs'/'06_transformers'/'02_attention.ipynb'
    mine = page.rename(page.with_name('masks.ipynb'))
    assert start(old, lesson='attention').carried == (LESSON,) and mine.exists()


def test_a_damaged_page_of_an_older_course_stays(old):
    page = old/'nbs'/'06_transformers'/'02_attention.ipynb'
    page.write_text(page.read_text(encoding='utf-8')[:-9], encoding='utf-8')
    assert start(old, lesson='attention').kept == (LESSON,)


def outdated(nb): nb['cells'].append(cell('from dlcourse.course.progress import check'))


def test_answers_move_with_their_exercises_and_lessons_that_are_gone_go(small):
    task = cell('#| export\n#| exercise f\ndef f(): return 1')
    course(small, {'01_first/03_here': [task], '01_first/04_gone': [cell('4')]})
    folder = start('work', nbs=small).folder
    change(pages(folder)['first.here'],
           lambda nb: (outdated(nb), answer(nb, 'def f(): return "mine"')))
    change(pages(folder)['first.gone'], outdated)
    for name in ('03_here', '04_gone'): (small/'01_first'/f'{name}.ipynb').unlink()
    course(small, {'02_next/02_there': [task]})
    done = start('work', nbs=small)
    assert done.added == ('next.there',)
    assert set(pages(folder)) == {'first.one', 'first.two', 'next.three', 'next.there'}
    assert '"mine\\"' in pages(folder)['next.there'].read_text()
    assert [note.split(';')[0] for note in done.notes] == [
        'there is no lesson first.gone any more', 'there is no lesson first.here any more']
    assert len(list((folder/'.dlcourse'/'attic').iterdir())) == 2


def answer(nb, source):
    for c in nb['cells']:
        if '#| exercise f' in ''.join(c['source']):
            c['source'] = '#| export\n#| exercise f\n' + source


def test_an_answer_without_a_home_is_said(small):
    course(small, {'01_first/03_here': [cell('#| export\n#| exercise f\ndef f(): return 1')]})
    folder = start('work', nbs=small).folder
    change(pages(folder)['first.here'], lambda nb: (outdated(nb), answer(nb, 'def f(): return 2')))
    (small/'01_first'/'03_here.ipynb').unlink()
    done = start('work', nbs=small)
    assert done.notes[-1] == "your answers to f are kept with the pages in .dlcourse/attic"
