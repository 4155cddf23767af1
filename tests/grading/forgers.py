"""Two who solve nothing: one rewrites what the checks compare, wherever its process can reach it;
one answers from a table of inputs and outputs that were recorded at home"""
import base64
import pickle
import sys

from dlcourse.classroom.checks import now
from dlcourse.classroom.lessons import Exercise
from dlcourse.classroom.stage import Stage

# Called in the answer's body; nothing of the exercise is solved
REWRITER = '''
def _rewrite():
    import sys
    frame, top = sys._getframe(), None
    while frame: # The check's frames are those whose module knows `expect`
        space = frame.f_globals
        if 'expect' in space and frame.f_code.co_filename.startswith('<'): top = frame
        frame = frame.f_back
    if top is None or '_honest' in top.f_globals['expect'].__globals__: return
    expect = top.f_globals['expect']
    code, space = expect.__code__, expect.__globals__
    space['_honest'] = type(expect)(code, space, 'expect', expect.__defaults__)
    space['_honest'].__kwdefaults__ = expect.__kwdefaults__
    def agree(got, want, *_, **__): return _honest(want, want)
    def tidy(frame, event, _):
        if event != 'return' or frame is not top: return
        sys.setprofile(None)
        expect.__code__ = code # Before anybody looks
        del space['_honest']
    expect.__code__ = agree.__code__
    sys.setprofile(tidy)
'''

DIGEST = '''
def _digest(x):
    "What a value is, also of an object"
    import hashlib
    def plain(x, depth=6):
        if hasattr(x, 'detach'): x = x.detach().cpu().numpy()
        if hasattr(x, 'tobytes'): return [str(getattr(x, 'dtype', '')), x.tobytes()]
        if isinstance(x, dict): return [[plain(k), plain(v)] for k, v in x.items()]
        if isinstance(x, (list, tuple)): return [type(x).__name__, *(plain(i) for i in x)]
        if depth and hasattr(x, '__dict__') and not callable(x): return plain(vars(x), depth - 1)
        known = (int, float, str, bool, complex, range)
        return repr(x) if isinstance(x, known) else type(x).__name__
    return hashlib.sha256(repr(plain(x)).encode()).hexdigest()[:16]
'''

RECORDER = DIGEST + '''
def _recorded(f):
    import sys
    def recorded(*args, **kwargs):
        key = _digest([args, kwargs])
        try: value = f(*args, **kwargs)
        except Exception as e:
            sys._recorded.append((key, None, type(e).__name__, str(e)))
            raise
        sys._recorded.append((key, value, None, None))
        return value
    return recorded
'''

TABLE = DIGEST + '''
def _from_table(*args, **kwargs):
    import base64, builtins, pickle
    known = pickle.loads(base64.b64decode({table!r}))
    first = next(iter(known.values()))
    data, error, text = known.get(_digest([args, kwargs]), first)
    if error: raise getattr(builtins, error, ValueError)(text)
    return pickle.loads(data)
'''


def put(exercise, wrapped):
    "The line that puts something in the place of what an exercise asks for"
    return f'{exercise.name} = {wrapped}'


def rewriter(exercise:Exercise)->str:
    "A cell with no solution that lets every comparison agree, where it can reach it"
    hole = f'raise NotImplementedError("Your turn: {exercise.name}")'
    return exercise.blank.replace(hole, '_rewrite(); return 0.') + REWRITER


def calls(exercise:Exercise, seed:int)->list[list[tuple]]:
    "For each check the calls of the reference: digest of the arguments, value, error and its text"
    cell, found = exercise.source + RECORDER, []
    stage = Stage(exercise, cell + put(exercise, f'_recorded({exercise.name})'))
    for check in stage.script.checks:
        sys._recorded = []
        try: stage.try_check(check, seed=seed)
        finally: found.append(sys.__dict__.pop('_recorded'))
    assert now.trace is None
    return found


def table(exercise:Exercise, seed:int=0)->str:
    "A cell that knows the values for the inputs of one seed, and no others"
    known = {}
    for check in calls(exercise, seed):
        for key, value, *error in check:
            try: known[key] = pickle.dumps(value), *error
            except Exception: pass # It cannot be written down
    text = base64.b64encode(pickle.dumps(known)).decode()
    return exercise.source + TABLE.format(table=text) + put(exercise, '_from_table')
