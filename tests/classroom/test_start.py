"Laying out: what comes, what stays, and what is carried over"
import json
import shutil
from pathlib import Path
from urllib.parse import unquote

import pytest
from classroom.folders import LESSON, PLACE, SAID, cell, change, course

from dlcourse.classroom import start as starting
from dlcourse.classroom.editions import LINK, answers, fingerprint
from dlcourse.classroom.help import check_saved
from dlcourse.classroom.layout import ways
from dlcourse.classroom.lessons import find_exercise
from dlcourse.classroom.progress import progress
from dlcourse.classroom.start import start
from dlcourse.classroom.workspace import MARKER, chosen, pages, saved_answer
from dlcourse.core.errors import InputError
from dlcourse.core.files import project_path, write_whole

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
    assert 'from dlcourse.classroom.page import check, hint' in text
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
    change(one, lambda nb: nb['cells'][-2].update(source=['mine = 1']))
    output = dict(output_type='stream', name='stdout', text=['2'])
    change(two, lambda nb: (nb['cells'][-2].update(outputs=[output], execution_count=7),
                            nb['cells'].append(cell(''))))
    course(small, {'01_first/01_one': [cell(SAID)], '01_first/02_two': [cell(SAID)],
                   '03_new/01_four': [cell('4')]})
    done = start('work', nbs=small)
    assert (done.carried, done.updated, done.added, done.same) == (('first.one',), ('first.two',),
                                                                ('new.four',), ('next.three',))
    assert SAID in two.read_text(), "run, but not changed: replaced"
    changed, kept = sorted((folder/'.dlcourse'/'attic').iterdir(), key=lambda p: p.name[-12:])
    assert 'mine = 1' in changed.read_text() and kept.name.endswith('-02_two.ipynb')
    assert '"execution_count": 7' in kept.read_text(), "an hour's output is not lost"
    said = str(done)
    assert "replaced by a newer edition with your answers in it" in said
    assert "laid out: new.four" in said
    assert start('work', nbs=small).same == tuple(pages(folder)), "and is the new edition now"
    json.dumps(done.to_dict())


def test_a_page_changed_without_a_newer_edition_is_not_mentioned(small):
    folder = start('work', nbs=small).folder
    change(pages(folder)['first.one'], lambda nb: nb['cells'].pop(-2))
    assert start('work', nbs=small).carried == ()
    assert len(json.loads(pages(folder)['first.one'].read_text())['cells']) == 4


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
    assert says in done.notes[0] and done.carried == ('first.one',)
    assert done.notes[0] in str(done)
    kept, = (folder/'.dlcourse'/'attic').glob('*workspace.json')
    assert kept.read_text() == damage
    assert start('work', nbs=small).notes == ()


def test_fingerprints_see_sources_only():
    def nb(*cells): return json.dumps(dict(cells=list(cells)))
    plain = nb(cell('a'), cell('b', 'markdown'))
    assert fingerprint(plain) == fingerprint(nb(cell('a', outputs=['x'], execution_count=3),
                                                cell('b', 'markdown'), cell(' \n')))
    assert len({fingerprint(t)
                for t in (plain, nb(cell('b', 'markdown'), cell('a')), nb(cell('a'), cell('b')),
                          nb(cell('a')), 'text', 'text ')}) == 6


def test_a_new_edition_carries_the_answers_over_cell_by_name(small):
    task = cell('#| export\n#| exercise f\ndef f(): return 1')
    course(small, {'01_first/03_here': [task, cell('g')]})
    folder = start('work', nbs=small).folder
    change(pages(folder)['first.here'], lambda nb: answer(nb, 'def f(): return "mine"'))
    course(small, {'01_first/03_here': [cell(SAID), task]})
    assert start('work', nbs=small).carried == ('first.here',)
    text = pages(folder)['first.here'].read_text()
    assert SAID in text and 'return \\"mine\\"' in text
    assert len(list((folder/'.dlcourse'/'attic').glob('*here.ipynb'))) == 1
    assert start('work', nbs=small).same[-1] == 'next.three', "once"


def test_a_workspace_of_one_part_stays_one_part(small):
    folder = start('work', 'next', nbs=small).folder
    assert set(pages(folder)) == {'next.three'}
    course(small, {'02_next/02_four': [cell('4')]})
    assert start('work', nbs=small).added == ('next.four',)
    assert start('work', lesson='one', nbs=small).added == ('first.one',)
    assert set(start('work', nbs=small).same) == {'first.one', 'next.three', 'next.four'}
    assert start('work', 'all', nbs=small).added == ('first.two',)
    assert len(start('work', nbs=small).same) == 4, "and then all"


def test_an_older_workspace_without_that_record_stays_what_it_is(small):
    folder = start('work', 'next', nbs=small).folder
    def older():
        found = json.loads((folder/MARKER).read_text())
        del found['chosen']
        (folder/MARKER).write_text(json.dumps(found))
    older()
    assert start('work', nbs=small).same == ('next.three',)
    start('work', 'all', nbs=small)
    older()
    assert len(start('work', nbs=small).same) == 3


@pytest.mark.parametrize('stopped', [KeyboardInterrupt, OSError(28, 'No space left on device')])
@pytest.mark.parametrize('after', range(1, 7))
def test_who_was_stopped_starts_again(small, monkeypatch, stopped, after):
    written, whole = [], write_whole
    def one_too_many(*args):
        written.append(args)
        if len(written) >= after: raise stopped
        return whole(*args)
    monkeypatch.setattr(starting, 'write_whole', one_too_many)
    expected = InputError if isinstance(stopped, OSError) else stopped
    with pytest.raises(expected) as e: start('work', nbs=small)
    if expected is InputError:
        assert 'cannot be written: No space left on device; nothing that was there is lost' in str(
            e.value)
    monkeypatch.setattr(starting, 'write_whole', whole)
    done = start('work', nbs=small)
    assert set(pages(done.folder)) == {'first.one', 'first.two', 'next.three'}
    assert not (done.updated or done.carried or done.kept)


def test_who_was_killed_starts_again(small):
    "A page half written, no record of it: as after a power cut"
    folder = start('work', nbs=small).folder
    found = json.loads((folder/MARKER).read_text())
    (folder/MARKER).write_text(json.dumps(found | dict(laid_out={}, chosen=None)))
    pages(folder)['first.two'].unlink()
    part = folder/'nbs'/'01_first'/'.02_two.ipynb.x7.part'
    part.write_text('{')
    done = start('work', nbs=small)
    assert (done.added, done.same) == (('first.two',), ('first.one', 'next.three'))
    assert not part.exists()


def links(folder):
    "Page, text and target of every relative link in a workspace"
    for path in [folder/'index.ipynb', *pages(folder).values()]:
        for c in json.loads(path.read_text(encoding='utf-8'))['cells']:
            if c['cell_type'] != 'markdown': continue
            for text, target, _ in LINK.findall(''.join(c['source'])):
                if target and not target.startswith(('http', '#')): yield path, text, target


def test_every_link_of_a_workspace_resolves():
    for choice in (dict(), dict(lesson='attention'), dict(part='core')):
        folder = start(f'work{len(choice)}{choice.get("part", "")}', **choice).folder
        found = list(links(folder))
        assert {text for _, text, _ in found} >= {'All lessons'}
        for path, text, target in found:
            file, _, fragment = unquote(target).partition('#')
            there = path.parent/file
            assert there.exists(), (path.name, text, target)
            if there.name == 'index.ipynb' and fragment:
                assert f'## {fragment}\\n' in there.read_text(encoding='utf-8'), fragment


def test_links_follow_a_page_that_comes_and_one_that_is_renamed(small):
    see = cell('See [three](../02_next/01_three.ipynb).', 'markdown')
    course(small, {'01_first/01_one': [see]})
    folder = start('work', 'first', nbs=small).folder
    one = pages(folder)['first.one']
    assert '[three](../../index.ipynb#next \\"next.three\\")' in one.read_text()
    index = json.loads((folder/'index.ipynb').read_text())
    assert '`dlcourse start --lesson next.three`' in ''.join(index['cells'][2]['source'])
    start('work', 'next', nbs=small)
    assert '[three](../02_next/01_three.ipynb \\"next.three\\")' in one.read_text()
    three = pages(folder)['next.three']
    three.rename(folder/'nbs'/'my three.ipynb')
    done = start('work', nbs=small)
    assert not (done.updated or done.carried) and len(done.same) == 3
    assert '[three](../my%20three.ipynb \\"next.three\\")' in one.read_text()
    assert '](nbs/my%20three.ipynb)' in (folder/'index.ipynb').read_text()
    assert '[three →](../my%20three.ipynb' in pages(folder)['first.two'].read_text().replace(
        'next.three →', 'three →')


def test_the_way_between_lessons_passes_engine_rooms_by():
    nbs = project_path('nbs')
    assert 'Continual learning]' in ways(nbs/'11_reinforcement'/'04_bandits.ipynb')
    for name in ('02_environments', '04_bandits', '05_replay'):
        way = ways(nbs/'11_reinforcement'/f'{name}.ipynb')
        assert ('Bandits →]' if name < '04' else '(../11_reinforcement/08_values.ipynb)') in way
    platform = ways(nbs/'23_classroom'/'16_layout.ipynb') # Where all are rooms of that kind
    assert '15_workspace.ipynb' in platform and '17_record.ipynb' in platform


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
    assert 'dlcourse.course' not in text
    assert 'from dlcourse.classroom.page import check, hint' in text
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


def test_pages_that_cannot_run_are_known(old):
    assert starting.outdated(old) == [LESSON]
    start(old, lesson='attention')
    assert starting.outdated(old) == []
    def back(nb): nb['cells'].append(cell('from dlcourse.classroom.progress import check'))
    change(pages(old)[LESSON], back)
    assert starting.outdated(old) == [LESSON]


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


@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16'])
def test_a_page_that_another_editor_saved_with_a_mark_is_the_same_page(tmp_path, encoding):
    folder = start(tmp_path/'work', lesson='attention').folder
    page = folder/PLACE
    page.write_bytes(page.read_text(encoding='utf-8').encode(encoding))
    assert start(folder).same == (LESSON,)
    assert fingerprint('\ufeffwords') == fingerprint('words')
