"A lesson made up for the tests, with a function, a method and something that it must do without"
IMPORTS = '''from dlcourse.classroom.checks import expect
from dlcourse.classroom.exercises import check, right, wrong
import matplotlib.pyplot as plt'''
MASK = '''#| export
#| exercise causal_mask level=1 importance=3 minutes=5
def causal_mask(
    n:int, # Length of the sequence
)->torch.Tensor: # `True` where position `i` may look
    "Who may look at whom"
    # the past is below
    return torch.ones(n, n, dtype=torch.bool).tril()'''
MASK_CHECK = '''#| check causal_mask
@check(hint="Which half is the past?")
def nobody_looks_ahead(causal_mask):
    "No position sees a later one."
    expect(causal_mask(5).triu(1), torch.zeros(5, 5, dtype=torch.bool))

@check(hint="May a position use its own token?")
def everyone_sees_themselves(causal_mask):
    "Each position sees itself and all before it."
    for n in (1, 4): expect(causal_mask(n).sum(-1), torch.arange(1, n+1))'''
MASK_WRONG = '''#| wrong causal_mask
wrong("flipped", lambda n: ~causal_mask(n) | torch.eye(n).bool())
wrong("not itself", lambda n: torch.ones(n, n).bool().tril(-1))
wrong("numbers", lambda n: torch.ones(n, n).tril())
right(lambda n: torch.arange(n)[:,None] >= torch.arange(n))'''
VALUE = '''#| export
class Value:
    def __init__(self, data, prev=()):
        self.data, self.grad, self.prev, self._backward = data, 0., prev, lambda: None'''
ADD = '''#| export
#| exercise Value.__add__
@patch
def __add__(self:Value, other:Value)->Value:
    "Sum"
    out = Value(self.data + other.data, (self, other))
    def backward():
        self.grad += out.grad
        other.grad += out.grad
    out._backward = backward
    return out'''
ADD_CHECK = '''#| check Value.__add__
@check(hint="h")
def adds(Value):
    "The sum is there."
    expect((Value(2.) + Value(5.)).data, 7.)

@check(hint="h")
def gives_back(Value):
    "Both get the gradient, twice where used twice."
    a = Value(3.); c = a + a
    a.grad, c.grad = 1., 2.; c._backward()
    expect(a.grad, 5.)'''
ADD_WRONG = '''#| wrong Value.__add__
def overwrites(self, other):
    out = Value(self.data + other.data, (self, other))
    def backward(): self.grad = out.grad; other.grad = out.grad
    out._backward = backward
    return out
wrong("no gradient", lambda self, other: Value(self.data + other.data, (self, other)))
wrong("overwrites", overwrites)
wrong("product", lambda self, other: Value(self.data*other.data))
right(lambda self, other: _added(self, other))
def _added(a, b):
    out = overwrites(b, a)
    def backward():
        for v in (a, b): v.grad = v.grad + out.grad
    out._backward = backward
    return out'''
SOFTMAX = '''#| exports
#| exercise softmax without=F.softmax,torch.softmax
def softmax(x):
    "Shares"
    e = (x - x.max()).exp()
    return e/e.sum()'''
SOFTMAX_CHECK = '''#| check softmax
@check(hint="h")
def oracle(softmax):
    "As torch."
    x = torch.randn(5, dtype=torch.float64)*9
    expect(softmax(x), F.softmax(x, 0), rtol=1e-12)'''
HEAD = ['#| default_exp transformers.tiny', ('# Tiny\n\n> Small',), '#| export\nimport '
                                                                    'torch\nimport '
                                                                    'torch.nn.functional as '
                                                                    'F\nfrom fastcore.basics '
                                                                    'import patch', IMPORTS]
PAGE = [*HEAD, MASK, MASK_CHECK, MASK_WRONG, ('#| hint causal_mask\nStart with ones.',), VALUE, ADD,
        ADD_CHECK, ADD_WRONG, SOFTMAX, SOFTMAX_CHECK,
        '#| export\ndef visible(n): return int(causal_mask(n).sum())', 'causal_mask(3)']


def book(*cells):
    "A notebook; a text cell is a tuple"
    def cell(i, c):
        if isinstance(c, tuple):
            return dict(cell_type='markdown', id=f'c{i}', metadata={}, source=c[0])
        return dict(cell_type='code', id=f'c{i}', metadata={}, source=c,
                    outputs=[dict(output_type='stream', name='stdout', text='out')],
                    execution_count=3)
    return dict(cells=[cell(i, c) for i, c in enumerate(cells)], metadata={}, nbformat=4,
                nbformat_minor=5)
