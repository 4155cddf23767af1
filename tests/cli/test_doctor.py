"The doctor: what is missing, and remedies that can be typed here"
import json
import tomllib
from pathlib import Path

import pytest
from cli.runs import dlcourse

from dlcourse.cli.doctor import extras, remedy


def test_doctor():
    code, out, err = dlcourse('doctor', '--json', DLCOURSE_SED='1')
    found = json.loads(out)
    assert (code, err) == (0, '') and found['unknown_variables'] == ['DLCOURSE_SED']
    assert set(found['extras']) >= {'lab', 'torch', 'fairness'}
    project = Path(__file__).resolve().parents[2]/'pyproject.toml'
    known = tomllib.loads(project.read_text())['project']['optional-dependencies']
    assert {'lab', 'torch', 'fairness'} <= set(extras()) <= set(known) - {'all', 'dev'}
    assert 'data home' in dlcourse('doctor')[1]
    assert found['workspace'].startswith('none here')


@pytest.fixture
def place(tmp_path, monkeypatch):
    "A function that puts the package somewhere, with some files around it"
    def put(*files, prefix='/usr'):
        monkeypatch.setattr('dlcourse.__file__', str(tmp_path/'dlcourse'/'__init__.py'))
        monkeypatch.setattr('sys.prefix', str(prefix))
        for name in files: (tmp_path/name).mkdir() if name == 'nbs' else (tmp_path/name).touch()
        monkeypatch.chdir(tmp_path)
        return tmp_path
    return put


def test_a_remedy_for_a_wheel(place):
    place()
    assert remedy('lab') == "pip install 'dlcourse[lab]'"


def test_a_remedy_for_a_clone(place, tmp_path):
    place('pyproject.toml', 'nbs', 'Makefile', prefix=tmp_path/'.venv')
    assert remedy('lab') == 'make lab' == remedy('lab', 'torch')
    assert remedy('fairness') == ".venv/bin/pip install -e '.[fairness]'"


def test_a_remedy_for_a_clone_without_make(place):
    place('pyproject.toml', 'nbs', prefix='/opt/own')
    assert remedy('lab', 'torch') == "/opt/own/bin/pip install -e '.[lab,torch]'"


def test_a_remedy_that_is_typed_elsewhere(place, tmp_path, monkeypatch):
    place('pyproject.toml', 'nbs', 'Makefile', prefix=tmp_path/'.venv')
    monkeypatch.chdir('/')
    assert remedy('lab') == f"make -C '{tmp_path}' lab"
    assert remedy('fairness') == f"{tmp_path}/.venv/bin/pip install -e '{tmp_path}[fairness]'"
