"Who imports whom: the modules of a package, and the modules that a file names"
import ast
from collections.abc import Iterator
from pathlib import Path

LOADS = {'import_module', '__import__', 'need'} # Functions that import by name


def modules(
    package:Path,     # Its folder
)->dict[str, Path]:   # Dotted name → file
    "The modules of a package that come from a notebook"
    files = (p for p in sorted(package.rglob('*.py')) if p.name[0] != '_')
    return {'.'.join(p.relative_to(package.parent).with_suffix('').parts): p for p in files}


def named(node:ast.AST, module:str, known:set[str])->list[str]:
    "The modules that one statement or call names, in full"
    if isinstance(node, ast.Import): return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        parts = module.split('.')[:-node.level] if node.level else []
        base = '.'.join(parts + ([node.module] if node.module else []))
        return [whole(base, alias.name, known) for alias in node.names]
    called = getattr(node, 'func', None)
    by_name = getattr(called, 'attr', getattr(called, 'id', '')) in LOADS
    if by_name and node.args and isinstance(node.args[0], ast.Constant):
        return [str(node.args[0].value)]
    return []


def whole(base:str, name:str, known:set[str])->str:
    "`base.name` where that is a module or a package, else `base`"
    path = f'{base}.{name}'
    return path if any(k == path or k.startswith(f'{path}.') for k in known) else base


def imported(
    path:Path,      # A file
    module:str,     # What it is called: relative imports start there
    known:set[str], # The modules of the package
)->Iterator[tuple[int, str]]:
    "Line and name of each module of its own package that a file imports, in functions too"
    top = module.split('.')[0]
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        for name in dict.fromkeys(named(node, module, known)):
            if not name.startswith(f'{top}.'): continue
            module_of = (k for k in known if name == k or name.startswith(f'{k}.'))
            yield node.lineno, next(module_of, name)


def tests_of(
    package:Path,          # Its folder
    tests:Path,            # The folder of its tests, one for each part
)->dict[str, list[Path]]:  # Dotted name of a module → files, in order
    """The tests of each module: the file of its name, and the files of its part that import it and
    bear the name of no module; where there is none, any of its part that imports it, or else the
    tests of what imports it"""
    files = modules(package)
    own = {name: tests.joinpath(*name.split('.')[1:-1], f"test_{name.rpartition('.')[2]}.py")
           for name in files}
    names = {path: {name for _, name in imported(path, f'{package.name}.tests', set(files))}
             for path in sorted(tests.rglob('test_*.py'))}
    uses = {name: {other for _, other in imported(path, name, set(files))}
            for name, path in files.items()}

    def of(name:str, seen:tuple)->list[Path]:
        near = [p for p, said in names.items() if name in said and p.parent == own[name].parent]
        direct = {p for p in near if p not in own.values()} | ({own[name]} & names.keys())
        if direct or near: return sorted(direct or near)
        users = [u for u, used in uses.items() if name in used and u not in (name, *seen)]
        part = [u for u in users if own[u].parent == own[name].parent]
        return sorted({path for user in part or users for path in of(user, (name, *seen))})

    return {name: of(name, ()) for name in files}
