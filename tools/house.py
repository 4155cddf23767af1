"Rules that only the course as a whole can break: links, titles, rooms, names, repetitions"
import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from urllib.parse import unquote

from cells import notebooks, read_cells
from imports import modules

LONGEST = 300   # Lines of a module
LARGER = {      # Modules that may be longer, 400 at most, each with its reason; three at most
}
REPEATED = 6    # Lines that two places must not share
DECLARED = re.compile(r'(from|import|@|class|n :(?! n \())') # No logic: imports, headers, fields
LINK = re.compile(r'!?\[[^\]]*\]\(\s*<?([^)\s>]+)>?(?:\s+"[^"]*")?\s*\)')
CODE = re.compile(r'```.*?```|`[^`\n]+`', re.S)
NAMES = {tokenize.NAME: 'n', tokenize.NUMBER: '0', tokenize.STRING: 's'}
SILENT = {tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING}
KEPT = {'def', 'class', 'return', 'if', 'else', 'elif', 'for', 'while', 'with', 'try', 'except',
        'raise', 'yield', 'import', 'from', 'lambda', 'in', 'not', 'and', 'or', 'is'}


def course_faults(
    nbs:Path,       # Folder of notebooks
    package:Path,   # What they are exported to
)->list[str]:       # One line for each fault
    "Every fault of the course as a whole"
    books = notebooks(nbs)
    rules = (title_faults(books, nbs), link_faults(books, nbs), spread_faults(books, nbs),
             size_faults(package), name_faults(package), private_faults(package),
             repetition_faults(package))
    return [fault for rule in rules for fault in rule]


def title_faults(books:list[Path], nbs:Path)->Iterator[str]:
    "Two lessons of one title"
    owner = {}
    for book in books:
        text = next((c.source for c in read_cells(book) if c.kind == 'markdown'), '')
        title = text.partition('\n')[0].lstrip('# ').casefold()
        first = owner.setdefault(title, book)
        if first != book:
            yield f"{book.relative_to(nbs)}:0: the title is that of {first.relative_to(nbs)} too"


def anchor(heading:str)->str:
    "The fragment by which JupyterLab and the site address a heading"
    return heading.strip().replace(' ', '-').lower()


def anchors(book:Path)->set[str]:
    "All fragments of a notebook"
    text = '\n'.join(c.source for c in read_cells(book) if c.kind == 'markdown')
    return {anchor(heading) for heading in re.findall(r'^#{1,6} (.*)$', text, re.M)}


def link_faults(books:list[Path], nbs:Path)->Iterator[str]:
    "Relative links of markdown cells that lead nowhere"
    for book in books:
        for i, cell in enumerate(read_cells(book)):
            if cell.kind != 'markdown': continue
            for target in LINK.findall(CODE.sub('', cell.source)):
                if not leads_somewhere(book, target):
                    yield f"{book.relative_to(nbs)}:{i}: the link {target} leads nowhere"


def leads_somewhere(book:Path, target:str)->bool:
    "Is there what a link of a notebook points at?"
    if re.match(r'[a-z][\w+.-]*:', target): return True
    path, _, fragment = unquote(target).partition('#')
    there = (book.parent/path) if path else book
    if not there.exists(): return False
    return not fragment or there.suffix != '.ipynb' or anchor(fragment) in anchors(there)


def spread_faults(books:list[Path], nbs:Path)->Iterator[str]:
    "Lesson cells that take the mean or the deviation of a list over seeds by hand"
    for book in books:
        for i, cell in enumerate(read_cells(book)):
            if cell.kind != 'code' or cell.directives: continue
            try: tree = ast.parse(cell.source)
            except SyntaxError: continue # Magics
            if averages_seeds(tree):
                yield (f"{book.relative_to(nbs)}:{i}: a mean over seeds by hand; `over_seeds` of "
                       "dlcourse.evaluation.runs gives it with its interval and range")


def averages_seeds(tree:ast.Module)->bool:
    "Is there such as `np.mean([f(seed) for seed in range(3)])`, or a mean of what a loop filled?"
    nodes, filled = list(ast.walk(tree)), set()
    for node in nodes:
        if isinstance(node, ast.Assign) and over_seed(node.value):
            filled |= {ast.unparse(target) for target in node.targets}
        if isinstance(node, ast.For) and is_seed(node.target):
            filled |= {ast.unparse(part.func.value) for part in ast.walk(node) if appends(part)}
    means = [node.args[0] for node in nodes if isinstance(node, ast.Call) and node.args
             and ast.unparse(node.func) in ('np.mean', 'np.std', 'mean', 'fmean', 'stdev')]
    return any(over_seed(of) or ast.unparse(of) in filled for of in means)


def is_seed(target:ast.AST)->bool:
    "Is a loop's variable a seed?"
    return re.fullmatch(r'(\w+_)?seed', ast.unparse(target)) is not None


def over_seed(node:ast.AST)->bool:
    "Is it a list with something for each seed?"
    lists = isinstance(node, (ast.ListComp, ast.GeneratorExp))
    return lists and any(is_seed(loop.target) for loop in node.generators)


def appends(node:ast.AST)->bool:
    "Is it `name.append(…)`?"
    return (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
            and node.func.attr == 'append')


def size_faults(package:Path)->Iterator[str]:
    "Modules that are too long"
    for path in modules(package).values():
        lines = len(path.read_text(encoding='utf-8').splitlines())
        name = '.'.join(path.relative_to(package).with_suffix('').parts)
        most = 400 if name in LARGER else LONGEST
        if lines > most: yield f"{name} has {lines} lines; {most} is the most: make it two rooms"


def public_names(path:Path)->list[str]:
    "What a module exports"
    tree = ast.parse(path.read_text(encoding='utf-8'))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == '__all__':
            return ast.literal_eval(node.value)
    return []


def name_faults(package:Path)->Iterator[str]:
    "Public names that stand in two modules; commands may be called what they call"
    owners = defaultdict(list)
    for path in modules(package).values():
        name = '.'.join(path.relative_to(package).with_suffix('').parts)
        if not name.startswith('cli.'):
            for public in public_names(path): owners[public].append(name)
    for public, where in sorted(owners.items()):
        if len(where) > 1: yield f"`{public}` is public in {' and '.join(where)}: rename one"


def private_faults(package:Path)->Iterator[str]:
    "Private names that are imported from another module"
    for path in modules(package).values():
        for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
            if not isinstance(node, ast.ImportFrom): continue
            if not (node.level or node.module.startswith('dlcourse')): continue
            where = f'{path.relative_to(package)}:{node.lineno}'
            private = [a.name for a in node.names if re.match(r'_[a-z]', a.name)]
            if private: yield f"{where}: imports private names: {', '.join(private)}"


def shapes(path:Path)->list[tuple[int, str]]:
    "The shape of each line of code, with its number: names, strings and numbers are all alike"
    source = path.read_text(encoding='utf-8')
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    told = ((t.start[0], shape(t)) for t in tokens if t.type not in SILENT)
    lines = [(n, ' '.join(s for _, s in group)) for n, group in groupby(told, lambda t: t[0])]
    return [(n, text) for n, text in lines if len(text) > 12 and not DECLARED.match(text)]


def shape(token:tokenize.TokenInfo)->str:
    "A token without what it is called"
    if token.type == tokenize.NAME and token.string in KEPT: return token.string
    return NAMES.get(token.type, token.string.strip())


def repetition_faults(package:Path)->Iterator[str]:
    "Runs of lines of one shape that stand in two places"
    places, told = defaultdict(list), set()
    for path in modules(package).values():
        lines = shapes(path)
        for i in range(len(lines) - REPEATED + 1):
            run = tuple(text for _, text in lines[i:i+REPEATED])
            places[run].append((path.relative_to(package), lines[i][0]))
    for where in places.values():
        for (one, a), (other, b) in zip(where, where[1:], strict=False):
            if one == other and b - a < REPEATED or (one, other, a//12) in told: continue
            told.add((one, other, a//12))
            yield f"{one}:{a} and {other}:{b} share {REPEATED} lines of one shape"


if __name__ == '__main__':
    root = Path(__file__).resolve().parents[1]
    print(*course_faults(root/'nbs', root/'dlcourse'), sep='\n')
