"The pages of the library: signatures and docments, read from the modules' source"
import ast
import html
import re
import tokenize
from dataclasses import dataclass, field
from io import StringIO

from course import ROOT, Page, Part
from lesson_pages import RAW, marked, meta, raw, slug, upper

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
LONGEST = 60 # Characters of a default that is shown whole


@dataclass
class Thing:
    "A function, a class, a method or a constant, as its source says it"
    name: str                     # Such as `attend`, or `MultiHeadAttention.weights`
    kind: str                     # `function`, `class`, `method`, `property` or `data`
    node: ast.AST
    doc: str
    comments: dict                # Line → comment, of the module
    inside: list = field(default_factory=list)


def comments_of(source:str)->dict[int, tuple[str, bool]]:
    "Line → comment, and whether it stands alone"
    found = {}
    for t in tokenize.generate_tokens(StringIO(source).readline):
        if t.type != tokenize.COMMENT: continue
        alone = not t.line[:t.start[1]].strip()
        found[t.start[0]] = (t.string.lstrip('#').strip(), alone)
    return found


def docment(comments:dict, start:int, end:int)->str:
    "The comment beside lines, or else those right above"
    for line in range(start, end + 1):
        if line in comments and not comments[line][1]: return comments[line][0]
    above, line = [], start - 1
    while line in comments and comments[line][1]:
        above.insert(0, comments[line][0])
        line -= 1
    return ' '.join(above)


def things_of(source:str)->list[Thing]:
    "What a module offers, in the order of its `__all__`; what `@patch` adds stands in its class"
    module, comments = ast.parse(source), comments_of(source)
    public = next((ast.literal_eval(n.value) for n in module.body if isinstance(n, ast.Assign)
                   and getattr(n.targets[0], 'id', '') == '__all__'), [])
    found, patched = {}, []
    for node in module.body:
        if isinstance(node, FUNCTIONS):
            owner = patched_class(node)
            if owner: patched.append((owner, node))
            else: found[node.name] = thing(node, 'function', comments)
        elif isinstance(node, ast.ClassDef):
            found[node.name] = thing(node, 'class', comments)
            members = (member(n, node.name, comments) for n in node.body)
            found[node.name].inside += filter(None, members)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            for t in (t for t in targets if isinstance(t, ast.Name)):
                found.setdefault(t.id, thing(node, 'data', comments, t.id))
    for owner, node in patched:
        if owner in found and (m := member(node, owner, comments)): found[owner].inside.append(m)
    return [found[n] for n in public if n in found]


def seen_by(source:str, page:Page)->dict[str, str]: # Name → full name
    "The classes that a module defines, and what it imports"
    found = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef): found[node.name] = f'{page.module}.{node.name}'
        if not isinstance(node, ast.ImportFrom): continue
        above = {1: f'dlcourse.{page.part}.', 2: 'dlcourse.'}.get(node.level, '')
        module = above + (node.module or '')
        found |= {a.asname or a.name: f'{module}.{a.name}' for a in node.names}
    return found


def patched_class(node)->str:
    if not any(ast.unparse(d).startswith('patch') for d in node.decorator_list): return ''
    first = node.args.args[0].annotation if node.args.args else None
    return ast.unparse(first) if first is not None else ''


def thing(node, kind, comments, name='')->Thing:
    doc = '' if kind == 'data' else ast.get_docstring(node) or ''
    if kind == 'data': doc = docment(comments, node.lineno, node.end_lineno)
    return Thing(name or node.name, kind, node, doc, comments)


def member(node, owner, comments)->Thing|None:
    "A public method or property of a class"
    if not isinstance(node, FUNCTIONS) or node.name.startswith('_'): return None
    words = [ast.unparse(d) for d in node.decorator_list]
    is_property = any('property' in w or 'as_prop' in w for w in words)
    kind = 'property' if is_property else 'method'
    if any(w in ('staticmethod', 'classmethod') or 'cls_method' in w for w in words):
        kind = 'classmethod' if 'classmethod' in words else 'staticmethod'
    return Thing(f'{owner}.{node.name}', kind, node, ast.get_docstring(node) or '', comments)


class Library:
    "All public names, where they stand, and the pages that say so"

    def __init__(self, parts:list[Part]):
        self.parts, self.modules, self.known, self.seen = parts, {}, {}, {}
        for page in (p for part in parts for p in part.pages):
            path = ROOT/'dlcourse'/page.part/f'{page.name}.py'
            if not path.exists(): continue
            source = path.read_text('utf-8')
            self.modules[page.id] = things_of(source)
            self.seen[page.id] = seen_by(source, page)
            for t in self.modules[page.id]:
                self.known[f'{page.module}.{t.name}'] = t
                self.known |= {f'{page.module}.{m.name}': m for m in t.inside}
        # Only what could be taken for another class of its name has to be called in full
        classes = {full for full, t in self.known.items() if t.kind == 'class'}
        short = {full.rpartition('.')[2] for full in classes}
        for names in self.seen.values():
            clear = [n for n, full in names.items() if full not in classes and n not in short]
            for name in clear: del names[name]
        self.classes = {} # Of the page that is being made: name → full name

    def annotation(self, node)->str:
        "An annotation whose classes are called by their full names, so that they become links"
        if node is None: return ''
        def full(match): return self.classes.get(match[0], match[0])
        said = ast.unparse(node)
        if isinstance(node, ast.Constant) and isinstance(node.value, str): said = node.value
        parts = re.split(r'''("[^"]*"|'[^']*')''', said)
        parts[::2] = [re.sub(r'(?<![\w.])[A-Z]\w*', full, p) for p in parts[::2]]
        return ''.join(parts)

    def arguments(self, args:ast.arguments, bound:bool)->str:
        "What stands in the brackets of a signature"
        plain = args.posonlyargs + args.args
        defaults = [None]*(len(plain) - len(args.defaults)) + args.defaults
        said = [self.argument(a, d) for a, d in zip(plain, defaults, strict=True)]
        if bound and said: said = said[1:]
        if args.posonlyargs: said.insert(len(args.posonlyargs) - bound, '/')
        if args.vararg: said.append('*' + self.argument(args.vararg, None))
        elif args.kwonlyargs: said.append('*')
        named = zip(args.kwonlyargs, args.kw_defaults, strict=True)
        said += [self.argument(a, d) for a, d in named]
        if args.kwarg: said.append('**' + self.argument(args.kwarg, None))
        return ', '.join(s for s in said if s)

    def argument(self, arg, default)->str:
        kind = self.annotation(arg.annotation)
        said = f'{arg.arg}: {kind}' if kind else arg.arg
        if default is None: return said
        value = ast.unparse(default)
        return f'{said} = {value if len(value) <= LONGEST else "..."}'

    def signature(self, t:Thing)->str:
        name, node = t.name, t.node
        if t.kind == 'data': return name
        if t.kind == 'property': return name
        if t.kind == 'class':
            init = next((n for n in node.body if isinstance(n, FUNCTIONS) and n.name == '__init__'),
                        None)
            if init: return f'{name}({self.arguments(init.args, True)})'
            return f'{name}({", ".join(self.argument(a, d) for a, d in fields(node))})'
        bound = t.kind in ('method', 'classmethod')
        said = f'{name}({self.arguments(node.args, bound)})'
        return f'{said} -> {self.annotation(node.returns)}' if node.returns else said

    def rows(self, t:Thing)->list[tuple[str, str, str]]:
        "Name, default and meaning of each parameter that has a comment; the result comes last"
        node, c = t.node, t.comments
        if t.kind == 'class':
            init = next((n for n in node.body if isinstance(n, FUNCTIONS) and n.name == '__init__'),
                        None)
            if not init:
                return [(a.arg, '', docment(c, a.lineno, d.end_lineno if d else a.end_lineno))
                        for a, d in fields(node)]
            node = init
        if not isinstance(node, FUNCTIONS): return []
        a = node.args
        plain = a.posonlyargs + a.args
        pairs = [*zip(plain, [None]*(len(plain) - len(a.defaults)) + a.defaults, strict=True),
                 *zip(a.kwonlyargs, a.kw_defaults, strict=True)]
        pairs += [(x, None) for x in (a.vararg, a.kwarg) if x]
        rows = []
        for arg, default in pairs:
            if arg.arg in ('self', 'cls'): continue
            end = (default or arg).end_lineno
            rows.append((arg.arg, '', docment(c, arg.lineno, end)))
        if node.returns is not None:
            line = node.returns.end_lineno
            told = c.get(line)
            said = told[0] if told and not told[1] else docment(c, node.returns.lineno, line)
            if node.lineno != line or said: rows.append(('returns', '', said))
        return [r for r in rows if r[2]]

    def entry(self, t:Thing, page:Page, depth:int=0)->str:
        "One name: signature, what it is, its parameters, where it is built"
        fence = '`'*(RAW.count('`') + 2 - depth)
        lines = [f'{fence}{{py:{t.kind}}} {" ".join(self.signature(t).split())}']
        if t.kind == 'property' and t.node.returns is not None:
            lines.append(f':type: {self.annotation(t.node.returns)}')
        lines += ['', told(t.doc)]
        if rows := self.rows(t): lines += ['', parameters(rows)]
        if t.kind == 'data' and not t.doc:
            value = ast.unparse(t.node.value) if t.node.value is not None else ''
            text = getattr(t.node.value, 'value', None)
            mark = '``' if '`' in value else '`'
            if isinstance(text, str) and len(text.split()) > 2: # A sentence of the program
                lines += ['', raw(f'<p>“{html.escape(" ".join(text.split()))}”</p>')]
            elif 0 < len(value) <= 120: lines += ['', f'{mark} {value} {mark}']
        if not depth and t.kind in ('function', 'class'):
            up = '../'*2
            e = next((e for e in page.lesson.exercises if e.parameter == t.name), None)
            where = f'exercise-{slug(e.name)}' if e else f'code-{t.name}'
            word = 'An exercise of' if e else 'Built in'
            lines += ['', raw(f'<p class="built">{word} <a href="{up}{page.doc}.html#{where}">'
                              f'{html.escape(page.title)}</a></p>')]
        for m in t.inside: lines += ['', self.entry(m, page, depth + 1)]
        return '\n'.join([*lines, fence])

    def page(self, page:Page)->str:
        "The page of a module"
        self.classes = self.seen.get(page.id, {})
        title = page.module
        claim = page.claim.removeprefix('Engine room: ')
        kind = {'lesson': 'the lesson', 'room': 'the engine room'}.get(page.kind, 'the page')
        head = [*meta(f'{title}: {claim}'), f'# `{title}`', '',
                raw(f'<p class="claim">{marked(upper(claim))}</p>'
                    f'<p class="facts"><span>Made by {kind} <a href="../../{page.doc}.html">'
                    f'{html.escape(page.title)}</a></span></p>'), '',
                f'```{{py:module}} {title}\n```', '']
        things = self.modules.get(page.id, [])
        entries = [self.entry(t, page) for t in things]
        none = "This module offers nothing to import; its page tells what it is for."
        return '\n\n'.join(['\n'.join(head), *(entries or [none])]) + '\n'


def fields(node:ast.ClassDef)->list[tuple[ast.arg, ast.AST|None]]:
    "The fields of a dataclass or a named tuple, as arguments"
    if not any('dataclass' in ast.unparse(d) for d in [*node.decorator_list, *node.bases]) and \
       not any('NamedTuple' in ast.unparse(b) for b in node.bases): return []
    found = []
    for n in node.body:
        if not isinstance(n, ast.AnnAssign) or not isinstance(n.target, ast.Name): continue
        if n.target.id.startswith('_'): continue
        arg = ast.arg(n.target.id, n.annotation)
        arg.lineno, arg.end_lineno = n.lineno, n.end_lineno
        default = n.value
        if isinstance(default, ast.Call) and 'field' in ast.unparse(default.func):
            default = next((k.value for k in default.keywords if k.arg == 'default'), None)
        found.append((arg, default))
    return found


def told(doc:str)->str:
    "A docstring as Markdown; what looks like a directive or a heading of another kind is text"
    said = doc.replace('*', r'\*').replace('<', '&lt;')
    return re.sub(r'^(#+|=+|-{3,})', r'\\\1', said, flags=re.M)


def parameters(rows)->str:
    "The table of parameters"
    lines = ''.join(
        f'<dt>{"returns" if n == "returns" else f"<code>{n}</code>"}</dt><dd>{marked(says)}</dd>'
        for n, _, says in rows)
    return raw(f'<dl class="parameters">{lines}</dl>')
