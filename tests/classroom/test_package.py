"The package: own solutions, what is borrowed, and what is broken"
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from classroom.folders import ANSWER, cell, course, write_answer

from dlcourse.classroom.lessons import find_exercise
from dlcourse.classroom.package import exported
from dlcourse.classroom.start import start
from dlcourse.core.errors import InputError


def export(folder):
    env = {k: v for k, v in os.environ.items()
           if k != 'IN_TEST'} | dict(PYTHONPATH=str(Path(__file__).resolve().parents[2]))
    code = 'from nbdev.doclinks import nbdev_export; nbdev_export.__wrapped__()'
    done = subprocess.run([sys.executable, '-c', code], cwd=folder, env=env, capture_output=True,
                          text=True)
    assert done.returncode == 0, done.stderr
    return folder/'my_dlcourse'


def python(folder, code):
    env = os.environ | dict(PYTHONPATH=str(Path(__file__).resolve().parents[2]))
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], cwd=folder, env=env,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.slow
def test_own_solutions_become_a_package_and_the_rest_is_borrowed(attention):
    pytest.importorskip('torch')
    from dlcourse.classroom.package import check_package
    with pytest.raises(InputError, match="`my_dlcourse` has not been written yet; run "
                                         "`nbdev-export` in"):
        check_package(attention)
    project = (attention/'pyproject.toml').read_text()
    write_answer(attention)
    write_answer(attention, '#| export\n#| exercise attend\ndef attend(q, k, v, mask=None):\n    '
                            'return v +', 'attend')
    module = export(attention)/'transformers'/'attention.py'
    assert (attention/'pyproject.toml').read_text() == project, "nbdev leaves the file alone"
    text = module.read_text(encoding='utf-8')
    assert '"Mine"' in text and "borrow('transformers.attention.causal_mask'" not in text
    assert 'raise NotImplementedError("Your turn: rotate")' in text
    assert "# Your cell was not Python: invalid syntax in `return v +`\n" in text
    found = check_package(attention)
    outcomes = {r.exercise.rsplit('.')[-1]: r.outcome for r in found.results}
    assert outcomes['repeat_heads'] == 'not tried', "an untouched scaffold is no answer"
    assert (outcomes['causal_mask'], outcomes['attend'], outcomes['rotate']) == ('passed', 'error',
                                                                                 'not tried')
    assert found.broken == {} and found.passed == 1
    assert "the cell is not Python: invalid syntax in `return v +`" in str(found)
    assert "there the course's own stands in" in str(found)
    json.dumps(found.to_dict())
    code = ("from my_dlcourse.transformers import attention as a\n"
            "print(a.causal_mask.__doc__, a.rotate.__module__, *a.borrowed)")
    assert python(attention, code).startswith('Mine my_dlcourse.transformers.attention '
                                              'transformers.attention.padding_mask '
                                              'transformers.attention.attend')


@pytest.mark.slow
def test_a_package_that_is_behind_or_broken_says_so(attention):
    pytest.importorskip('torch')
    from dlcourse.classroom.package import check_package
    write_answer(attention, ANSWER.replace('"Mine"', 'pass') + '\n\nnothing_of_that_name')
    module = export(attention)/'transformers'/'attention.py'
    found = check_package(attention)
    assert found.broken == {'my_dlcourse.transformers.attention': "NameError: name "
                                                                  "'nothing_of_that_name' is not "
                                                                  "defined"}
    assert "✗ my_dlcourse.transformers.attention does not import: NameError" in str(found)
    os.utime(module, (1, 1))
    note = check_package(attention).results[0].note
    assert "02_attention.ipynb is newer than the package: run `nbdev-export` first" in note
    module.unlink()
    behind = check_package(attention).results[0]
    assert behind.outcome == 'not tried' and behind.message == "it is not in the package"


def test_lessons_import_each_other_from_the_learners_package(small, monkeypatch):
    from dlcourse.classroom.package import own_imports
    source = ('from dlcourse.first.one import a\nimport dlcourse.first.one as b\nfrom '
              'dlcourse.first.ones import c\nfrom dlcourse.core.files import d\n'
              'text = "from dlcourse.first.one"')
    assert own_imports(source, ['first.one', 'core.files']).splitlines() == [
        'from my_dlcourse.first.one import a', 'import my_dlcourse.first.one as b',
        *source.splitlines()[2:]]
    course(small, {'01_first/01_one': [cell('#| export\ndef a(): return 1')],
                   '01_first/02_two': [cell('#| export\nfrom dlcourse.first.one import a')],
                   '02_next/01_three': [cell('#| export\nfrom dlcourse.first.two import a')]})
    folder = start('work', nbs=small).folder
    export(folder)
    code = 'from my_dlcourse.next.three import a; print(a.__module__)'
    assert python(folder, code) == 'my_dlcourse.first.one'


def test_what_only_the_page_imports_goes_along_with_the_answer():
    exercise = find_exercise('broadcast_shape')
    opening = '#| export\n#| exercise broadcast_shape\n'
    answer = 'def broadcast_shape(*shapes): return np.broadcast_shapes(*shapes)'
    assert exported(exercise, opening + answer) == f'{opening}import numpy as np\n{answer}'
    own = answer.replace('np.', 'numpy.').replace('return', 'import numpy; return')
    assert exported(exercise, opening + own) == opening + own
