"Notebooks as the project's tools see them: files, cells, directives, outputs"
import ast
import hashlib
import json
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from io import StringIO
from itertools import takewhile
from pathlib import Path

from IPython.core.inputtransformer2 import TransformerManager

from dlcourse.classroom.cells import DIRECTIVE, EXPORTING

ROOT = Path(__file__).resolve().parents[1]
NBS = ROOT/'nbs'
LEADING = re.compile(r'\s*#\s*\||\s*%%\w+|\s*$') # What nbdev reads past in search of directives
PYTHON = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT


@dataclass
class Cell:
    "A cell of a notebook, its outputs, and what nbdev sees in it"
    kind: str
    source: str
    raw: dict

    @property
    def code(self) -> bool: return self.kind == 'code'

    @property
    def head(self) -> list[str]:
        "The lines in which nbdev looks for directives"
        return list(takewhile(LEADING.match, self.source.splitlines()))

    @property
    def body(self) -> list[str]:
        "The lines below them"
        return self.source.splitlines()[len(self.head):]

    @property
    def directives(self) -> dict[str, str]:
        "Name → argument, for the directives that nbdev reads"
        matches = map(DIRECTIVE.match, self.head)
        return dict(m.groups() for m in matches if m)

    @property
    def exported(self) -> bool:
        return self.code and any(d in EXPORTING for d in self.directives)

    @property
    def metadata(self) -> dict: return self.raw.get('metadata') or {}

    @property
    def outputs(self) -> list[dict]: return self.raw.get('outputs', [])

    def tree(self) -> ast.Module:
        "The cell as Python, without IPython's magics; raises `SyntaxError`"
        plain = TransformerManager().transform_cell(self.source)
        return compile(plain, '<cell>', 'exec', PYTHON)


def source_hash(
    source:str, # Source of a code cell
)->str:         # What `metadata.source_hash` must be for its outputs to count as current
    "A short fingerprint of a cell's source"
    return hashlib.sha256(source.encode('utf-8')).hexdigest()[:12]


def hidden(
    path:Path, # Any path
    nbs:Path,  # The folder it is below
)->bool:       # Does a part of it begin with `_` or `.`?
    "What nbdev passes over"
    return any(part[0] in '_.' for part in path.relative_to(nbs).parts)


def notebooks(
    nbs:Path=NBS, # Folder of notebooks
)->list[Path]:    # Sorted, so in the order of the course
    "The notebooks below a folder; names that begin with `_` or `.` do not count, as in nbdev"
    return sorted(p for p in nbs.rglob('*.ipynb') if not hidden(p, nbs))


def module_name(
    path:Path, # A notebook
    nbs:Path,  # The folder of notebooks it belongs to
)->str:        # Such as `vision.classics` for `nbs/05_vision/02_classics.ipynb`
    "The module that a notebook must export to"
    parts = path.relative_to(nbs).with_suffix('').parts
    return '.'.join(re.sub(r'^\d+_', '', part) for part in parts)


def read_cells(
    path:Path, # A notebook
)->list[Cell]:
    "The cells of a notebook"
    cells = json.loads(path.read_text(encoding='utf-8'))['cells']
    return [Cell(c['cell_type'], ''.join(c['source']), c) for c in cells]


def directive_lines(
    cell:Cell,
)->Iterator[tuple[int, str]]: # Line from 0, and the line
    "Every line that looks like a directive; strings and code blocks do not count"
    if cell.code: yield from comments_like_directives(cell.source)
    else:
        fenced = False
        for i, line in enumerate(cell.source.splitlines()):
            fenced ^= line.lstrip().startswith('```')
            if not fenced and re.match(r'\s*#\|\s*\S', line): yield i, line


def comments_like_directives(source:str)->Iterator[tuple[int, str]]:
    "The comments of a code cell that look like directives"
    try:
        for token in tokenize.generate_tokens(StringIO(source).readline):
            if token.type == tokenize.COMMENT and DIRECTIVE.match(token.string):
                yield token.start[0] - 1, token.string
    except (tokenize.TokenError, SyntaxError): return


def top_names(tree:ast.Module)->set[str]:
    "Names that a cell defines at top level; methods of `@patch`, overloads and `_` do not count"
    names = set()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            if not any(map(adds_to_another, node.decorator_list)): names.add(node.name)
        elif isinstance(node, ast.Assign): names.update(*map(stored, node.targets))
        elif isinstance(node, ast.AnnAssign): names |= stored(node.target)
    return names - {'_'}


def adds_to_another(decorator:ast.AST)->bool:
    "Does the definition below this decorator belong to something defined elsewhere?"
    return bool(re.match(r'(\w+\.)?(patch|overload)|.*\.register', ast.unparse(decorator)))


def stored(target:ast.AST)->set[str]:
    "The names that an assignment to this target makes"
    names = (n for n in ast.walk(target) if isinstance(n, ast.Name))
    return {n.id for n in names if isinstance(n.ctx, ast.Store)}


def texts(output:dict)->Iterator[str]:
    "What an output says in words or markup"
    for mime, data in {'text/plain': output.get('text', ''), **output.get('data', {})}.items():
        if mime.startswith('image/') and 'svg' not in mime: continue
        yield ''.join(data) if isinstance(data, (str, list)) else json.dumps(data)


def images(output:dict)->Iterator[tuple[str, int, str]]:
    "Type, bytes and alternative text of each picture in an output"
    for mime, data in output.get('data', {}).items():
        if not mime.startswith('image/'): continue
        data = ''.join(data)
        size = len(data.encode()) if 'svg' in mime else len(data.rstrip())*3//4
        yield mime, size, output.get('metadata', {}).get(mime, {}).get('alt', '').strip()
