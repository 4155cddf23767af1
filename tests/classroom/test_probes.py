"What is asked of every answer, and of no right one in vain"
import pytest
from classroom.made_up import book

from dlcourse.classroom.exercises import run
from dlcourse.classroom.lessons import find_exercise, lesson_of
from dlcourse.classroom.probes import ANYWHERE, AXES, FLOWS, PRECISE, PURE, standard

torch = pytest.importorskip('torch')
REFERENCE = '''#| export
#| exercise unit
def unit(x:Float[torch.Tensor, "*shape dim"]): return x/x.norm(dim=-1, keepdim=True)'''
CHECK = '''#| check unit
@check(hint="")
def length(unit):
    "It is one long."
    expect(unit(torch.tensor([[3., 4.], [6., 8.]])).norm(dim=-1), torch.ones(2))'''
RIGHT = '#| wrong unit\nright(lambda x: x/(x*x).sum(-1, keepdim=True).sqrt())'
HEAD = ['#| default_exp numbers.unit', '#| export\nimport torch\nfrom jaxtyping import Float']
UNIT = [*HEAD, REFERENCE, CHECK, RIGHT]


@pytest.fixture(scope='module')
def unit(): return lesson_of(book(*UNIT), 'x').exercises[0]


@pytest.mark.parametrize('body, claims', [
    ('x/x.norm(dim=-1, keepdim=True)', []),
    ('torch.nn.functional.normalize(x, dim=-1)', []),
    ('x/x.detach().norm(dim=-1, keepdim=True)', [FLOWS]),
    ('torch.from_numpy((x/x.norm(dim=-1, keepdim=True)).detach().numpy())', [FLOWS]),
    ('(x/x.norm(dim=-1, keepdim=True)).float()', [PRECISE]),
    ('(x/x.norm(dim=-1, keepdim=True)).double()', [PRECISE]),
    ('x.div_(x.clone().norm(dim=-1, keepdim=True))', [PURE]),
    ('(x.view(-1)/x.norm(dim=-1, keepdim=True).expand(x.shape).reshape(-1)).reshape(x.shape)',
     []), # torch refuses other orders, which no page speaks of
    ('x.as_strided(x.shape, (x.shape[-1], 1))/x.norm(dim=-1, keepdim=True)', [ANYWHERE]),
    ('x/x.norm(dim=1, keepdim=True)', [AXES]),
])
def test_one_fault_one_claim(unit, body, claims):
    result = run(unit, f'def unit(x): return {body}')
    faults = [c.claim for c in result.claims if c.outcome != 'passed']
    assert set(claims) <= set(faults) and bool(claims) == bool(faults)
    assert (result.outcome == 'passed') == (not claims), result


def test_an_argument_is_named(unit):
    said = repr(run(unit, 'def unit(x): return x.div_(x.norm(dim=-1, keepdim=True))'))
    assert '`x` was changed by the call' in said


def test_what_another_right_answer_does_not_stand_is_not_asked():
    other = '#| wrong unit\nright(lambda x: (x.detach()/x.detach().norm(dim=-1, keepdim=True)))'
    exercise = lesson_of(book(*UNIT[:-1], other), 'x').exercises[0]
    assert FLOWS not in {p.claim for p in standard(exercise).probes}
    assert PRECISE in {p.claim for p in standard(exercise).probes}


def test_what_the_reference_changes_an_answer_may_change():
    exercise = find_exercise('sgd_update')
    assert standard(exercise).touched == {0, 2} # The parameter and its state
    assert run(exercise, exercise.source).outcome == 'passed'


@pytest.mark.parametrize('name', ['huber', 'layer_norm', 'log_softmax', 'gelu', 'attend'])
def test_what_lessons_teach_is_probed(name):
    assert {FLOWS, PRECISE, ANYWHERE} <= {p.claim for p in standard(find_exercise(name)).probes}
