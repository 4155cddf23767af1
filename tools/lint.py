"The rules a notebook of the course keeps; `python tools/lint.py [paths]` prints every fault"
import argparse
import ast
import re
import sys
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path

from cells import (
    DIRECTIVE,
    EXPORTING,
    NBS,
    ROOT,
    Cell,
    directive_lines,
    images,
    module_name,
    notebooks,
    read_cells,
    source_hash,
    texts,
    top_names,
)
from house import course_faults

from dlcourse.classroom.cells import BELONGING, exercise_arguments, find_def
from dlcourse.core.errors import InputError

DIRECTIVES = ('default_exp', *EXPORTING, 'exportd', 'hide', 'eval', 'echo', 'code-fold', 'gpu',
              'slow', 'exercise', 'scaffold', 'check', 'wrong', 'hint', 'quiz', 'target')
HEADING = re.compile(r'#{1,6}\s')
LESSON = re.compile(r'\d+_\w+')
FOLDERS = [str(folder) for folder in (ROOT, Path.home()) if len(folder.parts) > 1]
MACHINE = re.compile('|'.join([
    r'(?<![\w.:/-])(?:(?:/private)?/tmp/|/var/folders/|/root/|/home/\w|/Users/\w)',
    r'\b[A-Z]:\\+Users\\', r'[\\/]site-packages[\\/]',
    *(rf'(?<![\w.-]){re.escape(folder)}(?![\w.-])' for folder in FOLDERS)]))
LONGEST = 100        # Characters of a line of code
TALLEST = 25         # Lines of a lesson's cell
LARGEST = 30_000     # Bytes of a picture
HEAVIEST = 250_000   # Bytes of a page's pictures together
MANY = 6             # Code cells that may go without any output
TALL = { # Lesson cells that may be taller, each with its reason; five at most in the course
}


# A rule takes a cell, or all of them, and yields what is wrong


def directive_faults(cell:Cell)->Iterator[str]:
    for i, line in directive_lines(cell):
        name, argument = DIRECTIVE.match(line).groups()
        if name not in DIRECTIVES: yield f"`#| {name}` is no directive{nearest(name)}"
        elif i >= len(cell.head):
            yield f"`#| {name}` on line {i+1} is never read: a directive stands above all code"
        elif name in EXPORTING and argument:
            yield f"`#| {name} {argument}`: a notebook exports to its own module only"
    if 'nbdev' in cell.metadata:
        yield "directives in the metadata are seen by nobody; write them into the cell"


def nearest(name:str)->str:
    "What a misspelt directive may have meant"
    near = get_close_matches(name.lower(), DIRECTIVES, 1, .5)
    return f"; did you mean `{near[0]}`?" if near else f"; there are {', '.join(DIRECTIVES)}"


def outer_imports(node:ast.AST)->Iterator[ast.stmt]:
    "Imports below a node that run when the module is imported"
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.Import, ast.ImportFrom)): yield child
        elif not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield from outer_imports(child)


def only_imports(stmt:ast.stmt)->bool:
    "Is this an import, or an `if` around imports?"
    if isinstance(stmt, (ast.Import, ast.ImportFrom)): return True
    return isinstance(stmt, ast.If) and all(map(only_imports, stmt.body + stmt.orelse))


def code_faults(cell:Cell)->Iterator[str]:
    for i, line in enumerate(cell.source.splitlines(), 1):
        if len(line) > LONGEST and not DIRECTIVE.match(line):
            yield f"line {i} has {len(line)} characters; {LONGEST} is the most"
    try: tree = cell.tree()
    except SyntaxError as e: yield f"is not Python: {e.msg}"; return
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.names[0].name == '*':
            yield f"`{ast.unparse(node)}`: import the names you use"
    if cell.exported and any(outer_imports(tree)) and not all(map(only_imports, tree.body)):
        yield "exported imports stand in a cell of their own or inside a function"


def height_faults(cell:Cell)->Iterator[str]:
    "A lesson's cell that is too tall to be read at one look"
    if cell.exported or {'check', 'wrong', 'scaffold'} & cell.directives.keys(): return
    if len(cell.body) > TALLEST and cell.raw.get('id') not in TALL:
        yield f"the cell has {len(cell.body)} lines; {TALLEST} is the most: split it"


def output_faults(cell:Cell)->Iterator[str]:
    for output in cell.outputs:
        if output.get('output_type') == 'error':
            yield f"the output is an error: {output.get('ename')}"
        for text in texts(output):
            if m := MACHINE.search(text):
                shown = text[m.start():m.start()+60].split()[0]
                yield f"the output holds a path of the machine it was made on: {shown}"
        told = output.get('data', {}).get('text/html', [])
        for mime, size, alt in images(output):
            if size > LARGEST:
                yield f"the {mime} takes {size/1000:.0f} KB; {LARGEST//1000} is the most"
            if mime == 'image/png' and not alt:
                yield "the image has no alternative text; show it with `show(fig, alt=…)`"
            elif mime == 'image/png' and 'alt="' not in ''.join(told):
                yield "no browser shows the alternative text; run `tools/pages.py --pictures`"
    if cell.outputs and cell.metadata.get('source_hash') != source_hash(cell.source):
        yield "the outputs are older than the source; run `make pages`"


def markdown_faults(cell:Cell, is_title:bool)->Iterator[str]:
    lines = [line for line in cell.body if line.strip()]
    if is_title:
        claim = all(line.startswith('> ') for line in lines[1:])
        if not (lines and re.match(r'# \S', lines[0]) and lines[1:] and claim):
            yield ("the first text cell is the title: `# Title`, a blank line, "
                   "`> one sentence`, and nothing else")
        return
    fenced, headings = False, []
    for line in lines:
        fenced ^= line.lstrip().startswith('```')
        if not fenced and HEADING.match(line): headings.append(line)
    if headings and len(lines) > 1: yield f"the heading `{headings[0]}` needs a cell of its own"
    if any(line.startswith('# ') for line in headings):
        yield "a notebook has one title; a section's heading is `##`"


def place_faults(cells:list[Cell], path:Path, nbs:Path)->Iterator[tuple[int, str]]:
    "Where a notebook lies, and what its first cell says of that"
    code = [i for i, cell in enumerate(cells) if cell.code]
    name, inside = module_name(path, nbs), path.relative_to(nbs).parts
    lesson = len(inside) == 2 and all(map(LESSON.match, inside))
    if not (lesson or inside[:-1] == ('cli',) or inside == ('index.ipynb',)):
        yield 0, ("a lesson lies at nbs/NN_part/NN_name.ipynb; only index and the command line "
                  "(nbs/cli) stand outside the parts")
    wanted = None if name == 'index' else f'#| default_exp {name}'
    if wanted and not (code and cells[code[0]].source.strip() == wanted):
        first = code[0] if code else 0
        yield first, f"the first code cell must be `{wanted}` and nothing else"
    for i in code[1 if wanted else 0:]:
        if 'default_exp' not in cells[i].directives: continue
        yield i, ("`#| default_exp` stands in the first code cell"
                  + ("" if wanted else " of a lesson, not in the index"))


def notebook_faults(cells:list[Cell])->Iterator[tuple[int, str]]:
    "Faults that only the notebook as a whole shows"
    code = [i for i, cell in enumerate(cells) if cell.code]
    if not any(c.kind == 'markdown' for c in cells): yield 0, "there is no title"
    if len(code) > MANY and not any(c.outputs for c in cells):
        yield code[0], "not one cell has an output; run `make pages`"
    size = sum(size for c in cells for output in c.outputs for _, size, _ in images(output))
    if size > HEAVIEST:
        yield 0, f"the pictures take {size/1000:.0f} KB; {HEAVIEST//1000} a page is the most"
    ids, defined = {}, {}
    for i, cell in enumerate(cells):
        if not (cid := cell.raw.get('id')): yield i, "the cell has no id"
        elif ids.setdefault(cid, i) != i:
            yield i, f"the id {cid} is that of cell {ids[cid]} already"
        if not isinstance(cell.raw.get('metadata'), dict):
            yield i, "the cell has no `metadata`; a notebook wants them, if empty"
        if not cell.exported: continue
        try: names = top_names(cell.tree())
        except SyntaxError: continue
        for same in sorted(names & defined.keys()):
            first = defined[same]
            yield i, f"`{same}` is exported by cell {first} already; the later one would win"
        defined |= dict.fromkeys(names, i)


def exercise_faults(cells:list[Cell])->Iterator[tuple[int, str]]:
    "Faults in what belongs to exercises: their arguments, and names that nothing bears"
    place = {}
    for i, cell in enumerate(cells):
        if 'exercise' not in cell.directives: continue
        try: name = exercise_arguments(cell.directives['exercise'])['name']
        except InputError as e: yield i, str(e); continue
        if place.setdefault(name, i) != i:
            yield i, f"`{name}` is the exercise of cell {place[name]} already"
        yield from ((i, message) for message in reference_faults(cell, name))
    owned = [(i, c, d) for i, c in enumerate(cells) for d in BELONGING if d in c.directives]
    for i, cell, directive in owned:
        yield from ((i, message) for message in belonging_faults(i, cell, directive, place))
    for name, i in place.items():
        for directive in ('check', 'wrong'):
            if not any(d == directive and c.directives[d] == name for _, c, d in owned):
                yield i, f"`{name}` has no `#| {directive} {name}`"


def reference_faults(cell:Cell, name:str)->Iterator[str]:
    "Faults of the cell that holds an exercise's reference"
    if not cell.exported:
        yield f"`#| exercise {name}` stands below `#| export`: the reference is library code"
    elif list(cell.directives)[1:2] != ['exercise']:
        yield "`#| exercise` stands on the line below `#| export`"
    try: found = find_def(cell.source, name)
    except SyntaxError: return
    if found is None: yield f"the cell does not define `{name}`"


def belonging_faults(i:int, cell:Cell, directive:str, place:dict[str, int])->Iterator[str]:
    "Faults of a cell that belongs to an exercise"
    name = cell.directives[directive]
    if name not in place:
        yield f"`#| {directive} {name}` names no exercise; there are: {', '.join(place) or 'none'}"
        return
    if i < place[name]:
        yield f"`#| {directive} {name}` stands above its exercise (cell {place[name]})"
    if cell.code == (directive == 'hint'):
        yield f"`#| {directive}` is for a {'text' if directive == 'hint' else 'code'} cell"
    if cell.exported:
        yield f"`#| {directive}` in an exported cell: checks and answers are no part of the library"
    if directive == 'hint' and not ''.join(cell.body).strip(): yield "the hint is empty"
    if directive == 'check': yield from claim_faults(cell)
    if directive == 'scaffold' and cell.directives.get('eval') != 'false':
        yield "a scaffold needs `#| eval: false`: run here, it would take the reference's place"


def quiz_faults(cell:Cell)->Iterator[str]:
    "A question is one call whose answers are texts: one right, two wrong or more, each explained"
    if not cell.code:
        yield "`#| quiz` is for a code cell"
        return
    if cell.exported: yield "`#| quiz` in an exported cell: questions are no part of the library"
    try: body = cell.tree().body
    except SyntaxError: return
    call = body[0].value if len(body) == 1 and isinstance(body[0], ast.Expr) else None
    said = {k.arg: k.value for k in getattr(call, 'keywords', ())}
    try: right, wrong = (ast.literal_eval(said[word]) for word in ('right', 'wrong'))
    except (KeyError, ValueError):
        yield "a quiz is one call: `quiz('…?', right={answer: why}, wrong={answer: why, …})`"
        return
    if len(right) != 1 or len(wrong) < 2: yield "a quiz has one right answer and two wrong or more"
    if not all([*right.values(), *wrong.values()]): yield "each answer of a quiz is explained"


def claim_faults(cell:Cell)->Iterator[str]:
    "Checks without a claim or a hint"
    try: body = cell.tree().body
    except SyntaxError: return
    for f in (node for node in body if isinstance(node, ast.FunctionDef)):
        for d in f.decorator_list:
            if not re.match(r'(\w+\.)?check\b', ast.unparse(d)): continue
            if not ast.get_docstring(f):
                yield f"the check `{f.name}` has no docstring: the claim that the learner reads"
            if not (isinstance(d, ast.Call) and any(k.arg == 'hint' for k in d.keywords)):
                yield f"the check `{f.name}` has no `hint=`"


def faults(
    path:Path,                # A notebook
)->list[tuple[int, str]]:     # Index of the cell, and what is wrong with it
    "Every fault of one notebook"
    nbs = next((folder for folder in path.parents if folder.name == 'nbs'), path.parent)
    try: cells = read_cells(path)
    except (ValueError, KeyError, TypeError) as e:
        return [(0, f"this is not a notebook: {type(e).__name__}: {e}")]
    title = next((i for i, c in enumerate(cells) if c.kind == 'markdown'), None)
    found = [*place_faults(cells, path, nbs), *notebook_faults(cells), *exercise_faults(cells)]
    for i, cell in enumerate(cells):
        rules = [directive_faults(cell)]
        if 'quiz' in cell.directives: rules.append(quiz_faults(cell))
        if cell.code: rules += [code_faults(cell), height_faults(cell), output_faults(cell)]
        if cell.kind == 'markdown': rules += [markdown_faults(cell, i == title)]
        found += [(i, message) for rule in rules for message in rule]
    return sorted(found, key=lambda fault: fault[0])


def shown(path:Path)->Path:
    "A path as it is printed: from the project's folder, where it lies below that"
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def lint(
    paths:list[Path], # Notebooks
)->list[str]:         # `path:cell: message`, one for each fault
    "Every fault of several notebooks, two of the same module included"
    lines, owner = [], {}
    for path in map(Path.resolve, paths):
        lines += [f'{shown(path)}:{i}: {message}' for i, message in faults(path)]
        try: cells = read_cells(path)
        except (ValueError, KeyError, TypeError): continue
        for name in (c.directives['default_exp'] for c in cells if 'default_exp' in c.directives):
            if owner.setdefault(name, shown(path)) == shown(path): continue
            lines.append(f'{shown(path)}:0: `{name}` is the module of {owner[name]} already')
    return lines


def main(argv:list[str]|None=None)->int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('paths', nargs='*', type=Path, help="notebooks or folders; all lessons, "
                        "and the course as a whole, when not given")
    paths = parser.parse_args(argv).paths
    books = [b for p in paths or [NBS] for b in (notebooks(p) if p.is_dir() else [p])]
    found = lint(books) + ([] if paths else course_faults(NBS, ROOT/'dlcourse'))
    print(*found, f"{len(books)} notebooks, {len(found)} faults", sep='\n')
    return bool(found)


if __name__ == '__main__': sys.exit(main())
