"A learner in JupyterLab, in a real browser: a blank, a mistake, the answer, progress that moves"
import json
import os
import subprocess
import sys

import pytest
from classroom.browsing import LACKS, Page, browser
from classroom.labs import Lab

from dlcourse.classroom.editions import IMPORTED
from dlcourse.classroom.lessons import find_exercise
from dlcourse.classroom.progress import progress
from dlcourse.classroom.start import start
from dlcourse.classroom.workspace import page_of

NAME = 'causal_mask'


@pytest.fixture
def folder(tmp_path):
    "A workspace with one lesson"
    for module in ('torch', 'matplotlib', 'jupyterlab', 'selenium'):
        pytest.importorskip(module,
                            reason=f"{module} is not installed: pip install 'dlcourse[dev]'")
    for program, lacks in LACKS.items():
        if not program: pytest.skip(lacks)
    return start(tmp_path/'work', lesson='attention').folder


@pytest.fixture
def page(folder, tmp_path):
    "Its page in JupyterLab"
    with Lab(tmp_path/'home', folder) as lab, browser(tmp_path) as driver:
        yield Page(driver, folder, page_of('transformers.attention', folder), lab)


def stands(folder): return next(s for s in progress(folder).exercises if s.exercise.endswith(NAME))


@pytest.mark.slow
def test_a_learner_solves_an_exercise(folder, page):
    exercise = find_exercise(NAME)
    guide = page.wait(lambda: page.cell('**This page.**').text, "there is no guide")
    assert NAME in guide and 'minutes: ' in guide and 'Stuck?' in guide
    for says in ('#| default_exp transformers.attention', IMPORTED):
        assert page.wait(lambda says=says: page.find('.jp-Placeholder-contentContainer',
                                                     page.cell(says)), "it is not folded")
        page.run(says)
    blank = f'Your turn: {NAME}'

    page.run(blank)
    assert "still blank" in page.check(NAME, 'not tried')
    assert stands(folder).state == 'not tried'

    page.replace_last_line(blank, 'return torch.ones(n, n).bool().triu()')
    page.run(blank)
    said = page.check(NAME, 'failed')
    assert '✗' in said and "the triangle is flipped" in said
    assert "is the course's own from here; yours is mine.causal_mask" in said
    line = f'hint("{NAME}")'
    assert said.endswith(f'Next: {line} ({len(exercise.hints)} left)')
    assert '<code>mine.causal_mask</code>' in page.cell(says := f'check("{NAME}")').get_attribute(
        'innerHTML')
    asked = f'{line} # one'
    found = page.add_below(says, asked)
    given = page.wait(lambda: page.find('.jp-RenderedMarkdown', found), "no hint came")[0]
    assert given.text.startswith('Hint 1 of ')
    found = page.add_below(asked, f'!dlcourse hint {NAME}')
    assert page.wait(lambda: 'Hint 2 of ' in found.text, "the program is not found")
    found = page.add_below(asked, 'hint() # of what?')
    assert page.wait(lambda: 'in quotes' in found.text, "no sentence") and 'Error' not in found.text
    drawing = 'from dlcourse.core.diagrams import Diagram; d = Diagram(); d.box("x"); d.show("Box")'
    found = page.add_below(asked, drawing)
    assert page.wait(lambda: page.find('img[alt="Box"]', found), "the picture has no text")
    assert stands(folder).hints == 2
    assert (stands(folder).state, stands(folder).attempts) == ('failed', 1)

    page.replace_last_line(blank, exercise.source.splitlines()[-1].strip())
    page.run(blank)
    said = page.check(NAME, 'passed')
    assert '✗' not in said and said.count('✓') == 2
    assert (stands(folder).state, stands(folder).attempts) == ('passed', 2)

    page.save()
    code = (
        'from dlcourse.classroom.help import check_saved\n'
        'from dlcourse.classroom.progress import progress\n'
        f'print(progress())\nprint(check_saved("{NAME}").outcome)')
    env = os.environ | dict(PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    shown = subprocess.run([sys.executable, '-c', code], cwd=folder, env=env, capture_output=True,
                           text=True)
    assert 'causal_mask  ✓ passed  2' in shown.stdout
    assert shown.stdout.endswith('\npassed\n'), shown.stderr

    page.enter(blank)
    page.press('# not run') # What was not run is kept as well
    found = page.add_below(says, f'reset("{NAME}") # anew')
    assert page.wait(lambda: 'is blank again in its cell' in found.text, "it says nothing")
    assert page.wait(lambda: page.text_of(blank) == exercise.blank, "the blank did not come")
    assert '✓' not in page.cell(says).text
    assert (stands(folder).state, stands(folder).resets) == ('not tried', 1)
    def kept(): return sorted(
        p.read_text(encoding='utf-8') for p in (folder/'.dlcourse'/'attic').glob(f'*{NAME}.py'))
    assert page.wait(lambda: len(kept()) == 2, "one answer was lost")
    assert all('tril' in text for text in kept()) and '# not run' in ''.join(kept())
    page.check(NAME, 'not tried')
    found = page.add_below(says, 'progress() # so far')
    assert page.wait(lambda: f'0 of {len(progress(folder).exercises)}' in found.text, "no table")
    cells = page.save()
    assert sum(f'def {NAME}(' in ''.join(c['source']) for c in cells) == 1
    outputs = json.dumps([c.get('outputs') for c in cells])
    assert 'blank again in its cell' in outputs and 'jupyterapp' not in outputs
