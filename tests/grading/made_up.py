"A lesson on bags made up for the tests, and who answers it"
import json

from dlcourse.grading.walls import Limits

LOW = Limits(seconds=120, cpu=1, memory=1 << 28, answer=1 << 22)
HEAD = '#| default_exp toys.bags'
LESSON = [HEAD, '#| export\nimport math\nimport statistics', '''from random import Random

from dlcourse.classroom.checks import expect, expect_error
from dlcourse.classroom.exercises import check, right, wrong''', '''#| export
#| exercise middle level=2 importance=3 minutes=10 without=statistics.median
def middle(
    xs:list, # Numbers
):           # The median
    "The number in the middle"
    token_of_the_reference = sorted(xs)
    if not xs: raise ValueError("`xs` is empty")
    n = len(xs)
    low, high = token_of_the_reference[(n-1)//2], token_of_the_reference[n//2]
    return (low + high)/2''', '''#| check middle
@check(hint="Sort first.")
def odd(middle):
    "Of an odd number it is the one in the middle."
    for xs, want in [([3.], 3.), ([9., 1., 4.], 4.)]: expect(middle(xs), want)

@check(hint="Two are in the middle.")
def even(middle):
    "Of an even number it is the mean of the two."
    expect(middle([1., 2., 4., 10.]), 3., atol=1e-9)

@check(hint="Say so.")
def nothing(middle):
    "Of nothing there is none."
    expect_error(ValueError, middle, [], says='empty')''', '''#| wrong middle
wrong("That is the mean.", lambda xs: sum(xs)/len(xs) if xs else middle(xs))
def of(xs): return (xs[len(xs)//2] + xs[~(len(xs)//2)])/2
def upper(xs): return sorted(xs)[len(xs)//2]
wrong("The list must be sorted.", lambda xs: of(xs) if xs else middle(xs))
wrong("Of two in the middle it is the mean.", lambda xs: upper(xs) if xs else middle(xs))
right(lambda xs: of(sorted(xs)) if xs else middle(xs))''', '''#| export
class Bag:
    "Things, with how many there are of each"
    def __init__(self): self.counts = {}''', '''#| export
#| exercise Bag.draw level=1 importance=1 minutes=2
from fastcore.basics import patch

@patch
def draw(self:Bag, seed:int):
    "One thing by chance"
    from random import Random
    return Random(seed).choice(sorted(self.counts))''', '''#| check Bag.draw
@check(hint="Use the seed.")
def again(Bag):
    "The same seed draws the same."
    bag = Bag()
    bag.counts = dict(a=1, b=1, c=1)
    expect(bag.draw(1), bag.draw(1))
    expect(bag.draw(2) in 'abc', True)''', '''#| wrong Bag.draw
wrong("Always the same.", lambda self, seed: 'z')
wrong("A thing, not a list.", lambda self, seed: ['a'])
wrong("The seed is not used.", lambda self, seed: Random().random())
right(lambda self, seed: sorted(self.counts)[seed % len(self.counts)])''']
GOOD = '''#| export
#| exercise middle
def middle(xs):
    if not xs: raise ValueError("this is empty")
    s = sorted(xs); h = len(s)//2
    return s[h] if len(s) % 2 else (s[h-1] + s[h])/2'''


def notebook(path, *cells):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(nbformat=4, nbformat_minor=5, metadata={}, cells=[
        dict(cell_type='code', id=f'c{i}', metadata={}, outputs=[], execution_count=None,
             source=source) for i, source in enumerate(cells)])))
    return path


def body(code): return 'def middle(xs):\n' + '\n'.join('    ' + line for line in code.splitlines())


def calm(before):
    "A right answer that first does something which is none of its business"
    return body(before + '''
if not xs: raise ValueError('empty')
s = sorted(xs)
return (s[(len(s)-1)//2] + s[len(s)//2])/2''')


SLEEPER = body("import time\nwhile True:\n  try: time.sleep(60)\n  except BaseException: pass")
HOSTILE = {
    'endless': (body("while True: pass"), 'error', 'not done after|processor time'),
    'stubborn': (body("while True:\n  try:\n    while True: pass\n  except BaseException: pass"),
                 'error', 'processor time'),
    'memory': (body("return bytearray(1 << 32)"), ('error', 'failed'), 'MemoryError'),
    'forks': (body("import os\nwhile True: os.fork()"), ('error', 'failed'), 'PermissionError'),
    'threads': (body("import threading, time\nfor _ in range(5000): "
                     "threading.Thread(target=time.sleep, args=(60,), daemon=True).start()"),
                     ('error', 'failed'), 'thread'),
    'exit': ("import os\nx = os._exit(0)\n" + body("return 0"), 'error', 'without an answer'),
    'late exit': (body("import os\nos._exit(0)"), 'error', 'without an answer'),
    'polite exit': (body("import sys\nsys.exit(0)"), ('error', 'failed'), 'SystemExit'),
    'stdout': (body('print(\'{"value": {"result": {"outcome": "passed"}}}\', flush=True)\nimport '
                    'os\nos._exit(0)'), 'error', 'without an answer'),
    'flood': (body("while True: print('passed'*1000)"), 'error', ''),
    'pipe': ("import os\nfor n in range(3, 64):\n  try: os.write(n, b'{\"value\": {\"result\": "
             "{\"outcome\": \"passed\", \"claims\": []}, \"heard\": []}}')\n"
             "  except OSError: pass\nx = os._exit(0)", ('error', 'failed'), ''),
    'yes': ("class Yes(float):\n  def __eq__(self, other): return True\n  def __sub__(self, "
            "other): return 0.\n" + body("return Yes()"), 'failed', 'expected'),
    'expect': ("import dlcourse.classroom.exercises as e\ne.expect = e.compare_values = "
               "e.expect_error = lambda *a, **k: None\n" + body("return 0."), 'failed', ''),
    'check': ("import dlcourse.classroom.exercises as e\ne.check = lambda *a, **k: (lambda f: f)\n"
              + body("return 0."), ('failed', 'not checked'), ''),
    'verdict': ("import dlcourse.classroom.exercises as e\ne.Result.to_dict = lambda self: "
                "dict(outcome='passed', claims=[])\n" + body("return 0."), 'failed', 'expected'),
    'run': ("import dlcourse.classroom.exercises as e\ne.run_check = lambda c, *a, **k: "
            "e.Claim(claim=c.claim, outcome='passed')\n" + body("return 0."), 'failed', ''),
    'builtins': ("import builtins\nbuiltins.abs = lambda x: 0\nbuiltins.all = lambda x: "
                 "True\nbuiltins.type = lambda x: float\n" + body("return 0."), ('failed', 'error'),
                 ''),
    'asserts': ("import numpy.testing as t, unittest as u\nt.assert_allclose = t.assert_close = "
                "u.TestCase.assertEqual = lambda *a, **k: None\n" + body("return 0."),
                'failed', 'expected'),
    'import it': (body("from dlcourse.toys.bags import middle as m\nreturn m(xs)"),
                  ('error', 'failed'), 'RecursionError'),
    'read it': (body("import glob\nreturn eval(open(NBS).read())"), ('error', 'failed'),
                'PermissionError'),
    'dig for it': (body("import gc\nneedle = ''.join(['token_of_the_', 'reference = sorted'])\nfor "
                        "o in gc.get_objects():\n  for r in gc.get_referents(o):\n"
                        "    if isinstance(r, str) and r is not needle and needle in r:\n      s = "
                        "{}; exec(r, s); return s['middle'](xs)\nraise LookupError('not here')"),
                   ('error', 'failed'), 'LookupError'),
    'forbidden': (body("import statistics\nreturn statistics.median(xs)"), 'failed',
                  'statistics.median'),
    'hidden': (body("return getattr(__import__('statis' + 'tics'), 'med' + 'ian')(xs)"), 'failed',
               'statistics.median'),
    'neighbour': (body("return open(NEIGHBOUR).read()"), ('error', 'failed'), 'PermissionError'),
    'delete': (body("import shutil\nshutil.rmtree(FOLDER)"), ('error', 'failed'),
               'PermissionError'),
    'socket': (body("import socket\nsocket.create_connection(('127.0.0.1', 80), 1)"),
               ('error', 'failed'), 'PermissionError'),
    'long': (body("raise ValueError('x'*(1 << 22))"), ('error', 'failed'), ''),
    'atexit': (body("import atexit, time\natexit.register(time.sleep, 60)\nreturn 0."), 'failed',
               'expected'),
    'signals': (body("import signal\nfor s in signal.valid_signals():\n  try: signal.signal(s, "
                     "signal.SIG_IGN)\n  except (OSError, ValueError): pass\nwhile True: pass"),
                'error', 'processor time'),
    # Python 3.13 ends it in an error where older ones die of it
    'recursion': (body("import sys\nsys.setrecursionlimit(1 << 30)\nf = lambda x: max([x], "
                       "key=f)\nreturn f(1)"), ('error', 'failed'), ''),
    'crash': (body("import ctypes\nctypes.string_at(1)"), 'error', 'SIGSEGV'),
    'not python': ("def middle(xs) return xs", 'error', 'line 3 is not Python'),
    'null': ("def middle(xs): return '\0'", 'error', 'holds a character that Python cannot read'),
    'deep': ("def middle(xs): return " + '('*5000 + ')'*5000, 'error', 'line 3 is not Python: too'),
    'deeper signs': ("def middle(xs): return " + '-'*90_000 + '1', 'error', 'nested too deeply'),
    'surrogate': ("def middle(xs): return '\ud800'", 'error', 'that Python cannot read'),
    'too long': (body("return 0") + '\n#' + 'x'*300_000, 'error', 'longer than 200000 characters'),
    'blank': (body('raise NotImplementedError("Your turn: middle")'), 'not tried', 'blank'),
    'mean': (body("if not xs: raise ValueError('`xs` is empty')\nreturn sum(xs)/len(xs)"), 'failed',
             'expected'),
    'remainder': (GOOD.replace('len(s) % 2 else', '(len(s)\n        % 2) else'), 'passed', ''),
    'stop': (body("raise StopIteration"), ('failed', 'error'), 'ends the loop of whoever calls it'),
    'interrupt': (body("raise KeyboardInterrupt"), ('failed', 'error'),
                  'it raised KeyboardInterrupt'),
    'generator exit': (body("raise GeneratorExit"), ('failed', 'error'), 'raised GeneratorExit'),
    'own kind': (body("class Own(BaseException): pass\nraise Own('x')"), ('failed', 'error'),
                 'it raised Own: x'),
    'no memory': (body("raise MemoryError('x')"), ('failed', 'error'), 'MemoryError: x'),
    'deeper': (body("return middle(xs + [1])"), ('failed', 'error'), 'RecursionError'),
    'warns': (body("import warnings\nwarnings.simplefilter('error')\nwarnings.warn('w')"),
              ('failed', 'error'), 'UserWarning: w'),
    'generator': (body("yield 1"), 'failed', 'came <generator in the process of the answer>'),
    'coroutine': ("async " + body("return 1"), 'failed', 'came something of type coroutine'),
    'range': (body("return range(10**7)"), ('failed', 'error'), 'numbers in views or ranges'),
    'bytes': (body("return b'x'*(5 << 20)"), ('failed', 'error'), 'gave back 6,99'),
    'of itself': (body("x = []\nx.append(x)\nreturn x"), 'failed', 'something deeper'),
    'no streams': (calm("import os, sys\nsys.stdout.close(); sys.stderr = None"), 'passed', ''),
    'no handles': (calm("import os\nfor n in (1, 2):\n  try: os.close(n)\n"
                        "  except OSError: pass"), 'passed', ''),
    'no line': (calm("import os\nos.closerange(0, 64)"), 'error', 'it ended without an answer'),
    'busy thread': (calm("import threading\ndef f():\n  while True: pass\n"
                         "threading.Thread(target=f).start()"),
                    ('passed', 'error'), '|processor time'),
    'deep limit': (calm("import sys\nsys.setrecursionlimit(10**9)"), 'passed', ''),
    'flat limit': (calm("import sys\nsys.setrecursionlimit(50)"), 'passed', ''),
    'own alarms': (calm("import signal\nfor s in (signal.SIGALRM, signal.SIGPROF): "
                        "signal.signal(s, signal.SIG_IGN)"), 'passed', ''),
    'no collector': (calm("import gc, sys\ngc.disable()\nsys.excepthook = None"), 'passed', ''),
    'loud': (calm("print('y'*10**6)"), 'passed', ''),
    'half a remainder': (GOOD.replace('h = len(s)//2', 'h = (len(s)//2\n        % 1)'),
                         ('failed', 'error'), ''),
    'magic': ("%%time\n%matplotlib inline\n" + GOOD, 'passed', ''),
    'formula': (body("raise ValueError('=HYPERLINK(\"http://x\")\\n\\r\\t=1+1')"),
                ('error', 'failed'), 'HYPERLINK'),
}
