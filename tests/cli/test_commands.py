"Commands: options, types, defaults and help come from the function that is called"
import ast
import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest
import typer
from cli.runs import dlcourse

from dlcourse import cli
from dlcourse.cli.app import app
from dlcourse.cli.commands import Parameter, _called, _worded, read_function

OPTIONS = {
    'audit fairness': 'file --card --cluster --csv --delimiter --depth --encoding --declared '
                      '--favorable --html --independent-weights --inputs --json --junit '
                      '--label --level --links --max-groups --min-count '
                      '--missing --null --parquet --plot --points --policy --positive '
                      '--prediction --price --profile --sarif --score --sensitive --strata '
                      '--subgroups --threshold --title --weight --proposed --reviewer --worth '
                      '--margin --features',
    'audit scores': 'file --card --cluster --csv --delimiter --encoding --html --json '
                    '--junit --label --level --min-count --missing --null --parquet --plot '
                    '--policy --positive --sarif --score --sensitive --weight --declared --title',
    'audit classes': 'file --card --cluster --csv --delimiter --encoding --html --json '
                     '--junit --label --level --min-count --missing --null --parquet --plot '
                     '--policy --prediction --sarif --sensitive --weight --declared --title',
    'audit regression': 'file --card --cluster --csv --delimiter --encoding --html --json '
                        '--junit --label --level --min-count --missing --null --parquet --plot '
                        '--policy --prediction --quantiles --sarif --sensitive --weight '
                        '--declared --title',
    'audit ranking': 'file --card --csv --delimiter --encoding --html --json --junit --k '
                     '--level --min-count --missing --null --parquet --plot --policy '
                     '--query --relevance --sarif --score --seed --sensitive --declared --title',
    'audit privacy': '--card --chance --csv --declared --delimiter --delta --encoding --epsilon '
                     '--fpr --group '
                     '--higher --html --json --junit --key --label --level --logit --members '
                     '--min-count --non-members --parquet --people --plot --policy --sarif '
                     '--score --threshold --title',
    'audit pay': 'file --card --category --csv --delimiter --encoding --html --json --junit '
                 '--level --links --men --missing --null --parquet --pay --plot --sarif --sex '
                 '--title --variable --women',
    'audit published': 'file --card --csv --encoding --group --html --json --junit --level --n '
                       '--parquet --plot --rate --ratio --sarif --selected --table',
    'audit law': 'file inputs --csv --delimiter --encoding --html --json --level --null --positive '
                 '--prediction',
    'audit plan': 'rate gap --design-effect --kind --level --power --share --tolerance',
    'audit inputs': '', 'audit policy': '--declare --kind --to', 'audit links': 'name',
    'federated certificates': 'folder --add --days --host --renew --site',
    'federated superlink': 'folder --host --port',
    'federated site': 'folder site --partition --partitions --superlink',
    'federated run': 'folder out --app --round-timeout --rounds --seed --setting --superlink',
    'audit demo': '--out', 'datasets list': '--json',
    'datasets show': 'name --json', 'datasets get': 'name --json', 'lessons': '--all --json',
    'start': 'folder --json --lesson --part', 'check': 'exercise --folder --json --package',
    'hint': 'exercise --folder --json', 'solution': 'exercise --folder --json',
    'reset': 'exercise --folder --json', 'progress': '--folder --json',
    'lab': 'folder --browser --port --source',
    'grade': 'submissions --budget --json --lesson --out --sandbox --seed', 'doctor': '--json',
    'review': 'folder --json --list --most --page', 'new-key': '--json --private --public',
    'certificate': 'submission --days --issuer --json --key --lesson --name --out --sandbox '
                   '--seed --with-answers',
    'privacy epsilon': '--delta --json --noise-multiplier --rows --sample-rate --steps',
    'privacy calibrate': '--delta --epsilon --json --noise-multiplier --rows --sample-rate '
                         '--steps',
    'verify': 'record --again --inside --json --key --sandbox --seed',
}


def every_command(group=None, path=()):
    "Path → click command"
    group = group or typer.main.get_command(app)
    for name, one in group.commands.items():
        if hasattr(one, 'commands'): yield from every_command(one, (*path, name))
        else: yield ' '.join((*path, name)), one


COMMANDS = dict(every_command())


ENDING = ('fairness', 'scores', 'classes', 'regression', 'ranking', 'pay', 'published', 'law',
          'privacy')


@pytest.mark.parametrize('name', ENDING)
def test_how_an_audit_ends_is_said_once_and_alike(name):
    said = 'Exit code: 0 pass or not judged, 1 fail, 2 could not be run, 3 insufficient evidence.'
    assert ' '.join(COMMANDS[f'audit {name}'].help.split()).count(said) == 1


def test_there_are_these_commands(): assert set(COMMANDS) == set(OPTIONS)


@pytest.mark.parametrize('name', OPTIONS)
def test_no_option_is_lost_and_each_is_explained(name):
    parameters = [p for p in COMMANDS[name].params if p.name != 'help']
    words = [max(p.opts, key=len) for p in parameters]
    assert sorted(words) == sorted(OPTIONS[name].split())
    assert all(p.help for p in parameters) and COMMANDS[name].help


def test_what_a_command_passes_on_is_described_by_the_function():
    from dlcourse.audit import report
    _, parameters, _ = read_function(Path(report.__file__), 'audit')
    theirs = {p.name: p.help for p in parameters}
    ours = {p.name: p.help for p in COMMANDS['audit fairness'].params if p.name != 'help'}
    same = [name for name in ours if ours[name] and ours[name].startswith(theirs.get(name, '\0'))]
    assert len(same) >= 16, "at most eight of 24 are the command's own words"


def test_defaults_and_types_are_those_of_the_function():
    found = {p.name: (p.type.name, p.default) for p in COMMANDS['audit fairness'].params}
    assert found['depth'] == ('integer', 3) and found['threshold'][0] == 'float'
    assert found['encoding'] == ('text', 'utf-8') and found['policy'][0] == 'path'
    assert {p.name: p.multiple
            for p in COMMANDS['audit fairness'].params if hasattr(p, 'multiple')}['null']


def test_what_a_source_says(tmp_path):
    path = tmp_path/'work.py'
    path.write_text('''import torch
text = """
def shares(wrong): pass
"""
def shares(
    names:str|list[str],      # Whose "shares" # and more
    where:list[str|Path],
    total:float|None=None,    # Of `all`
    many:tuple[int, ...]=(1,
        2),                   # Numbers
    *,
    out:str|Path|None='x.csv',
    whole:bool=True, limits:Limits=LIMITS,
)->int:                       # Out
    "Share something out"
    return f"""
# nothing
"""
''')
    path.write_text(path.read_text().replace('def shares(wrong)', 'def others(wrong)'))
    says, found, _ = read_function(path, 'shares')
    assert says == "Share something out"
    assert [(p.name, p.type, p.help, p.default) for p in found if p.name != 'names'] == [
        ('where', list[Path], '', found[0].default), ('total', float, 'Of all', None),
        ('many', list[int], 'Numbers', (1, 2)), ('out', Path, '', 'x.csv'),
        ('whole', bool, '', True),
        ('limits', str, '', ...)]
    assert found[0].type == list[str] and found[0].help == 'Whose "shares" # and more'


def test_help_in_a_terminal():
    code, out, err = dlcourse('hint', '--help')
    text = re.sub(r'[│\s]+', ' ', out)
    assert (code, err) == (0, '') and 'One hint, and the next time one more; it is recorded' in text
    assert 'exercise TEXT The exercise, such as causal_mask or attention.causal_mask' in text


@pytest.mark.parametrize('page', ['README.md', 'CONTRIBUTING.md', 'site/pages/index.md',
                                  'site/pages/teach.md', 'site/pages/toolkit.md'])
def test_pages_name_options_that_there_are(page):
    "Behind a command in a line, those of that command; elsewhere those of any"
    text = (Path(__file__).resolve().parents[2]/page).read_text(encoding='utf-8')
    for line in re.findall(r'dlcourse [^`#\n]*', text.replace('\\\n', ' ')):
        name = max((n for n in OPTIONS if line.startswith(f'dlcourse {n}')), key=len, default='')
        known = OPTIONS[name] if name else ' '.join(OPTIONS.values())
        assert set(re.findall(r'--[a-z][a-z-]+', line)) <= {*known.split(), '--help'}, line


@pytest.mark.parametrize('words, said', [
    ('audit plan 0.3 0.1 --share 0.5 --share 0.6', '`--share` must be two or more'),
    ('audit plan 0.3 0.1 --tolerance nan', '`--tolerance` must be 0 or more'),
    ('audit fairness p.csv --prediction y --sensitive g --delimiter abc', '`--delimiter` must be'),
    ('audit fairness p.csv --prediction y --sensitive g --independent-weights',
     '`--independent-weights` says something of `--weight`'),
    ('audit fairness p.csv --prediction y --label y --sensitive g',
     '`y` is given twice, as `--label` and `--prediction`'),
    ('audit fairness p.csv --prediction y --sensitive threshold --threshold 0.5',
     '`threshold` is not a column'),
    ('audit fairness p.csv --prediction y --sensitive missing', '`missing` is missing in 1 of 2'),
    ('audit fairness p.csv --prediction y --sensitive lable', 'did you mean `label`?'),
    ('audit published p.csv', 'name it with `--group`'),
    ('audit privacy --members p.csv --non-members p.csv --score y --title " "', '`--title` must')])
def test_what_is_refused_is_called_as_on_the_command_line(tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    Path('p.csv').write_text('y,g,label,missing\n1,a,x,u\n0,b,z,\n')
    code, _, err = dlcourse(*shlex.split(words))
    assert code == 2 and said in err, err


def own_words(module):
    "Options that a command words itself although a function it calls has them: command, option"
    tree = ast.parse(Path(module.__file__).read_text(encoding='utf-8'))
    for node in (f for f in tree.body if isinstance(f, ast.FunctionDef)):
        said = {k.arg: eval(ast.unparse(k.value), vars(module)) for d in node.decorator_list
                for k in getattr(d, 'keywords', ()) if ast.unparse(d.func) == 'command'}
        names, without = said.get('names', {}), said.get('without', ())
        of = (said['of'],) if isinstance(said.get('of'), str) else said.get('of', ())
        theirs = {p.name for f in of for p in _called(node, f, vars(module))[1]} - {*without}
        for p in read_function(Path(module.__file__), node.name)[1]:
            if names.get(p.name, p.name) in theirs and p.help and not p.help.startswith('…'):
                yield node.name, p.name


MODULES = [p.stem for p in sorted(Path(cli.__file__).parent.glob('[a-z]*.py'))]

@pytest.mark.parametrize('name', MODULES)
def test_no_option_is_worded_twice(name):
    assert not [*own_words(import_module(f'dlcourse.cli.{name}'))]


def test_a_command_may_add_to_what_the_function_says():
    theirs = Parameter('x', str, 'How many', default=3, keyword=True)
    for mine, help in (('', 'How many'), ('… (at most 9)', 'How many (at most 9)'),
                       ('Mine', 'Mine')):
        assert _worded(Parameter('x', int, mine), theirs) == Parameter('x', int, help)
