"Data sets from the command line"
import json
from pathlib import Path

from cli.runs import dlcourse


def test_datasets():
    code, out, _ = dlcourse('datasets', 'list', '--json')
    found = {d['name']: d for d in json.loads(out)}
    assert code == 0
    assert {'lending', 'digits', 'breast_cancer', 'pydoc_topics', 'compas', 'adult', 'mnist',
            'tinyshakespeare'} <= set(found)
    assert found['digits']['here'] and found['lending']['here']
    assert 'Must not be used to claim' in dlcourse('datasets', 'show', 'compas')[1]
    assert json.loads(dlcourse('datasets', 'show', 'compas', '--json')[1])['name'] == 'compas'
    code, out, err = dlcourse('datasets', 'show', 'compass')
    assert code == 2 and "did you mean `compas`?" in err
    assert 'nothing to get' in dlcourse('datasets', 'get', 'digits')[1]
    assert Path(dlcourse('datasets', 'get', 'lending')[1].strip()).name == 'lending.csv'


def test_get_without_a_network(tmp_path):
    code, out, err = dlcourse('datasets', 'get', 'tinyshakespeare',
                              DLCOURSE_DATA=str(tmp_path/'home'), https_proxy='http://127.0.0.1:9',
                              HTTPS_PROXY='http://127.0.0.1:9')
    assert code == 2 and str(tmp_path/'home'/'tinyshakespeare'/'input.txt') in err
    assert 'https://raw.githubusercontent.com' in err and 'Traceback' not in err
    assert not [p for p in (tmp_path/'home').rglob('*') if p.name.endswith('input.txt')]
