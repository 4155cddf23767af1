"The rules a notebook of the course keeps; `python tools/lint.py [paths]` prints every fault"
import argparse
import ast
import hashlib
import json
import re
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from io import StringIO
from itertools import takewhile
from pathlib import Path

from IPython.core.inputtransformer2 import TransformerManager

from dlcourse.classroom.lessons import BELONGING, exercise_arguments, find_def
from dlcourse.core.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
NBS = ROOT/'nbs'
EXPORTING = ('export', 'exports', 'exporti')
DIRECTIVES = ('default_exp', *EXPORTING, 'exportd', 'hide', 'eval', 'echo', 'code-fold', 'gpu', 'slow',
              'exercise', 'scaffold', 'check', 'wrong', 'hint', 'quiz', 'target')
DIRECTIVE = re.compile(r'\s*#\s*\|\s*([^\s:]*)\s*:?\s?(.*?)\s*$')
LEADING = re.compile(r'\s*#\s*\||\s*%%\w+|\s*$') # What nbdev reads past while it looks for directives: directives, cell magics, blank lines
HEADING = re.compile(r'#{1,6}\s')
LESSON = re.compile(r'\d+_\w+')
MACHINE = re.compile('|'.join([
    r'(?<![\w.:/-])(?:(?:/private)?/tmp/|/var/folders/|/root/|/home/\w|/Users/\w)', r'\b[A-Z]:\\+Users\\', r'[\\/]site-packages[\\/]',
    *(rf'(?<![\w.-]){re.escape(str(folder))}(?![\w.-])' for folder in (ROOT, Path.home()) if len(folder.parts) > 1)]))
LONGEST, LARGEST, MANY = 160, 100_000, 6 # Characters of a line, bytes of an image, code cells that may go without any output


@dataclass
class Cell:
    "A cell of a notebook, its outputs, and what nbdev sees in it"
    kind: str
    source: str
    raw: dict

    @property
    def code(self): return self.kind == 'code'

    @property
    def head(self) -> list[str]:
        "The lines in which nbdev looks for directives"
        return list(takewhile(LEADING.match, self.source.splitlines()))

    @property
    def directives(self) -> dict[str, str]:
        "Name → argument, for the directives that nbdev reads"
        return dict(m.groups() for line in self.head if (m := DIRECTIVE.match(line)))

    @property
    def exported(self): return self.code and any(d in EXPORTING for d in self.directives)

    @property
    def outputs(self): return self.raw.get('outputs', [])

    def tree(self) -> ast.Module:
        "The cell as Python, without IPython's magics; raises `SyntaxError`"
        return compile(TransformerManager().transform_cell(self.source), '<cell>', 'exec', ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


def source_hash(
    source:str, # Source of a code cell
)->str:         # What `metadata.source_hash` must be for its outputs to count as current
    "A short fingerprint of a cell's source"
    return hashlib.sha256(source.encode('utf-8')).hexdigest()[:12]


def notebooks(
    nbs:Path=NBS, # Folder of notebooks
)->list[Path]:    # Sorted, so in the order of the course
    "The notebooks below a folder; names that begin with `_` or `.` do not count, as in nbdev"
    return sorted(p for p in nbs.rglob('*.ipynb') if not any(part[0] in '_.' for part in p.relative_to(nbs).parts))


def module_name(
    path:Path, # A notebook
    nbs:Path,  # The folder of notebooks it belongs to
)->str:        # Such as `vision.classics` for `nbs/04_vision/02_classics.ipynb`
    "The module that a notebook must export to"
    return '.'.join(re.sub(r'^\d+_', '', part) for part in path.relative_to(nbs).with_suffix('').parts)


def read_cells(
    path:Path, # A notebook
)->list[Cell]:
    "The cells of a notebook"
    return [Cell(c['cell_type'], ''.join(c['source']), c) for c in json.loads(path.read_text(encoding='utf-8'))['cells']]


# A rule takes a cell, or all of them, and yields what is wrong


def directive_lines(
    cell:Cell,
)->Iterator[tuple[int, str]]: # Line from 0, and the line
    "Every line that looks like a directive, wherever it stands; strings and code blocks do not count"
    if cell.code:
        try: yield from ((t.start[0] - 1, t.string) for t in tokenize.generate_tokens(StringIO(cell.source).readline)
                         if t.type == tokenize.COMMENT and DIRECTIVE.match(t.string))
        except (tokenize.TokenError, SyntaxError): pass
    else:
        fenced = False
        for i, line in enumerate(cell.source.splitlines()):
            fenced ^= line.lstrip().startswith('```')
            if not fenced and re.match(r'\s*#\|', line): yield i, line


def directive_faults(cell:Cell)->Iterator[str]:
    for i, line in directive_lines(cell):
        name, argument = DIRECTIVE.match(line).groups()
        if name not in DIRECTIVES:
            near = get_close_matches(name.lower(), DIRECTIVES, 1, .5)
            yield f"`#| {name}` is no directive" + (f"; did you mean `{near[0]}`?" if near else f"; there are {', '.join(DIRECTIVES)}")
        elif i >= len(cell.head): yield f"`#| {name}` on line {i+1} is never read: a directive stands above all code and comments"
        elif name in EXPORTING and argument: yield f"`#| {name} {argument}`: a notebook exports to its own module only"
    if 'nbdev' in cell.raw['metadata']: yield "directives in the metadata are seen by nobody; write them into the cell"


def outer_imports(node:ast.AST)->Iterator[ast.stmt]:
    "Imports below a node that run when the module is imported"
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)): yield child
        elif not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)): yield from outer_imports(child)


def only_imports(stmt:ast.stmt)->bool:
    "Is this an import, or an `if` around imports?"
    return isinstance(stmt, (ast.Import, ast.ImportFrom)) or isinstance(stmt, ast.If) and all(map(only_imports, stmt.body + stmt.orelse))


def code_faults(cell:Cell)->Iterator[str]:
    for i, line in enumerate(cell.source.splitlines(), 1):
        if len(line) > LONGEST: yield f"line {i} has {len(line)} characters; {LONGEST} is the most"
    try: tree = cell.tree()
    except SyntaxError as e: yield f"is not Python: {e.msg}"; return
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.names[0].name == '*': yield f"`{ast.unparse(node)}`: import the names you use"
    if cell.exported and any(outer_imports(tree)) and not all(map(only_imports, tree.body)):
        yield "exported imports stand in a cell of their own or inside a function"


def top_names(tree:ast.Module)->set[str]:
    "Names that a cell defines at top level; methods added with `@patch`, overloads and `_` do not count"
    names = set()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            if not any(re.match(r'(\w+\.)?(patch|overload)|.*\.register', ast.unparse(d)) for d in node.decorator_list): names.add(node.name)
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    return names - {'_'}


def texts(output:dict)->Iterator[str]:
    "What an output says in words or markup"
    for mime, data in {'text/plain': output.get('text', ''), **output.get('data', {})}.items():
        if not mime.startswith('image/') or 'svg' in mime: yield ''.join(data) if isinstance(data, (str, list)) else json.dumps(data)


def output_faults(cell:Cell)->Iterator[str]:
    for output in cell.outputs:
        if output['output_type'] == 'error': yield f"the output is an error: {output.get('ename')}"
        for text in texts(output):
            if m := MACHINE.search(text): yield f"the output holds a path of the machine it was made on: {text[m.start():m.start()+60].split()[0]}"
        for mime, data in output.get('data', {}).items():
            if not mime.startswith('image/'): continue
            data = ''.join(data)
            size = len(data.encode()) if 'svg' in mime else len(data.rstrip())*3//4
            if size >= LARGEST: yield f"the {mime} takes {size/1000:.0f} KB; it must be under {LARGEST//1000}"
            if mime == 'image/png' and not output.get('metadata', {}).get(mime, {}).get('alt', '').strip():
                yield "the image has no alternative text; show it with `show(fig, alt=…)`"
    if cell.outputs and cell.raw['metadata'].get('source_hash') != source_hash(cell.source):
        yield "the outputs are older than the source; run `make pages`"


def markdown_faults(cell:Cell, is_title:bool)->Iterator[str]:
    lines = [line for line in cell.source.splitlines()[len(cell.head):] if line.strip()]
    if is_title:
        if not (lines and re.match(r'# \S', lines[0]) and lines[1:] and all(line.startswith('> ') for line in lines[1:])):
            yield "the first text cell is the title: `# Title`, a blank line, `> one sentence`, and nothing else"
        return
    fenced, headings = False, []
    for line in lines:
        fenced ^= line.lstrip().startswith('```')
        if not fenced and HEADING.match(line): headings.append(line)
    if headings and len(lines) > 1: yield f"the heading `{headings[0]}` needs a cell of its own"
    if any(line.startswith('# ') for line in headings): yield "a notebook has one title; a section's heading is `##`"


def notebook_faults(cells:list[Cell], path:Path, nbs:Path)->Iterator[tuple[int, str]]:
    "Faults that only the notebook as a whole shows"
    code = [i for i, cell in enumerate(cells) if cell.code]
    name, inside = module_name(path, nbs), path.relative_to(nbs).parts
    if not (len(inside) == 2 and all(map(LESSON.match, inside)) or inside[:-1] == ('cli',) or inside == ('index.ipynb',)):
        yield 0, "a lesson lies at nbs/NN_part/NN_name.ipynb; only index and the command line (nbs/cli) stand outside the parts"
    wanted = None if name == 'index' else f'#| default_exp {name}'
    if wanted and not (code and cells[code[0]].source.strip() == wanted): yield code[0] if code else 0, f"the first code cell must be `{wanted}` and nothing else"
    for i in code[1 if wanted else 0:]:
        if 'default_exp' in cells[i].directives: yield i, "`#| default_exp` stands in the first code cell" + ("" if wanted else " of a lesson, not in the index")
    if not any(c.kind == 'markdown' for c in cells): yield 0, "there is no title"
    if len(code) > MANY and not any(c.outputs for c in cells): yield code[0], "not one cell has an output; run `make pages`"
    ids, defined = {}, {}
    for i, cell in enumerate(cells):
        if not (cid := cell.raw.get('id')): yield i, "the cell has no id"
        elif ids.setdefault(cid, i) != i: yield i, f"the id {cid} is that of cell {ids[cid]} already"
        if not cell.exported: continue
        try: names = top_names(cell.tree())
        except SyntaxError: continue
        for same in sorted(names & defined.keys()): yield i, f"`{same}` is exported by cell {defined[same]} already; the later one would win"
        defined |= dict.fromkeys(names, i)


def exercise_faults(cells:list[Cell])->Iterator[tuple[int, str]]:
    "Faults in what belongs to exercises: their arguments, and names that nothing bears"
    place, checked, answered = {}, set(), set()
    for i, cell in enumerate(cells):
        if 'exercise' not in cell.directives: continue
        try: name = exercise_arguments(cell.directives['exercise'])['name']
        except InputError as e: yield i, str(e); continue
        if place.setdefault(name, i) != i: yield i, f"`{name}` is the exercise of cell {place[name]} already"
        if not cell.exported: yield i, f"`#| exercise {name}` stands below `#| export`: the reference is library code"
        elif list(cell.directives)[1:2] != ['exercise']: yield i, "`#| exercise` stands on the line below `#| export`"
        try:
            if find_def(cell.source, name) is None: yield i, f"the cell does not define `{name}`"
        except SyntaxError: pass
    for i, cell in enumerate(cells):
        for directive in BELONGING:
            if directive not in cell.directives: continue
            name = cell.directives[directive]
            if name not in place: yield i, f"`#| {directive} {name}` names no exercise; there are: {', '.join(place) or 'none'}"; continue
            if i < place[name]: yield i, f"`#| {directive} {name}` stands above its exercise (cell {place[name]})"
            if cell.code == (directive == 'hint'): yield i, f"`#| {directive}` is for a {'text' if directive == 'hint' else 'code'} cell"
            if cell.exported: yield i, f"`#| {directive}` in an exported cell: checks and answers are no part of the library"
            if directive == 'hint' and not ''.join(cell.source.splitlines()[len(cell.head):]).strip(): yield i, "the hint is empty"
            if directive == 'check': checked.add(name); yield from ((i, message) for message in claim_faults(cell))
            if directive == 'wrong': answered.add(name)
    for name, i in place.items():
        if name not in checked: yield i, f"`{name}` has no `#| check {name}`"
        if name not in answered: yield i, f"`{name}` has no `#| wrong {name}`"


def claim_faults(cell:Cell)->Iterator[str]:
    "Checks without a claim or a hint"
    try: body = cell.tree().body
    except SyntaxError: return
    for f in body:
        if not isinstance(f, ast.FunctionDef): continue
        for d in f.decorator_list:
            if re.match(r'(\w+\.)?check\b', ast.unparse(d)):
                if not ast.get_docstring(f): yield f"the check `{f.name}` has no docstring: the claim that the learner reads"
                if not (isinstance(d, ast.Call) and any(k.arg == 'hint' for k in d.keywords)): yield f"the check `{f.name}` has no `hint=`"


def faults(
    path:Path,                # A notebook
)->list[tuple[int, str]]:     # Index of the cell, and what is wrong with it
    "Every fault of one notebook"
    nbs = next((folder for folder in path.parents if folder.name == 'nbs'), path.parent)
    try: cells = read_cells(path)
    except (ValueError, KeyError, TypeError) as e: return [(0, f"this is not a notebook: {type(e).__name__}: {e}")]
    title = next((i for i, c in enumerate(cells) if c.kind == 'markdown'), None)
    found = [*notebook_faults(cells, path, nbs), *exercise_faults(cells)]
    for i, cell in enumerate(cells):
        rules = [directive_faults(cell)]
        if cell.code: rules += [code_faults(cell), output_faults(cell)]
        if cell.kind == 'markdown': rules += [markdown_faults(cell, i == title)]
        found += [(i, message) for rule in rules for message in rule]
    return sorted(found, key=lambda fault: fault[0])


def lint(
    paths:list[Path], # Notebooks
)->list[str]:         # `path:cell: message`, one for each fault
    "Every fault of several notebooks, two of the same module included"
    lines, owner = [], {}
    for path in map(Path.resolve, paths):
        shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
        lines += [f'{shown}:{i}: {message}' for i, message in faults(path)]
        try: names = [c.directives['default_exp'] for c in read_cells(path) if 'default_exp' in c.directives]
        except (ValueError, KeyError, TypeError): continue
        for name in names:
            if owner.setdefault(name, shown) != shown: lines.append(f'{shown}:0: `{name}` is the module of {owner[name]} already')
    return lines


def main(argv:list[str]|None=None)->int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('paths', nargs='*', type=Path, help="notebooks or folders; all lessons when not given")
    paths = parser.parse_args(argv).paths or [NBS]
    books = [book for path in paths for book in (notebooks(path) if path.is_dir() else [path])]
    found = lint(books)
    print(*found, f"{len(books)} notebooks, {len(found)} faults", sep='\n')
    return bool(found)


if __name__ == '__main__': sys.exit(main())
