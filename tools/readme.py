"README.md from nbs/index.ipynb: `python tools/readme.py [--check]`"
import argparse
import posixpath
import re
import sys
from pathlib import Path

import nbformat
from cells import DIRECTIVE, ROOT, Cell
from nbconvert import MarkdownExporter

INDEX = 'nbs/index.ipynb'
NOTICE = (f"<!-- Made from {INDEX} by tools/readme.py. "
          "Edit the notebook, then run `make pages`. -->")
LESSONS = '<!-- lessons -->' # Where the table of lessons belongs
CODE = re.compile(r'(^```.*?^```|`[^`\n]+`)', re.M | re.S)
LINK = re.compile(r'''(\]\(\s*<?|^\s*\[[^\]]+\]:\s*<?|\b(?:src|href|srcset)=["'])'''
                  r'''(?![a-z][\w+.-]*:|[#/])([^\s)>"']+)''', re.M | re.I)


def from_root(
    text:str,     # Markdown of a notebook in nbs/
)->str:           # The same for a file beside nbs/
    "Let relative links and images start at the root of the repository; code stays as it is"
    def moved(m): return m[1] + posixpath.normpath(posixpath.join('nbs', m[2]))
    parts = CODE.split(text)
    parts[::2] = [LINK.sub(moved, part) for part in parts[::2]]
    return ''.join(parts)


def has_image(cell:Cell)->bool:
    "Does the cell put out a picture?"
    return any(mime.startswith('image/') for o in cell.outputs for mime in o.get('data', {}))


def shown(
    cell,      # A cell of the notebook, which is brought into the form in which it is shown
)->bool:       # Is it shown at all?
    "Do what a cell's directives say, and take them out"
    seen = Cell(cell.cell_type, cell.source, cell)
    if {'hide', 'default_exp'} & seen.directives.keys(): return False
    if has_image(seen):
        raise ValueError(f"a cell of {INDEX} puts out an image, which README.md cannot hold; "
                         "save it in nbs/ and write ![what it shows](name.png)")
    if seen.directives.get('echo') == 'false': cell.metadata['transient'] = {'remove_source': True}
    kept = [line for line in seen.head if not DIRECTIVE.match(line)]
    cell.source = '\n'.join(kept + seen.body).strip('\n')
    if cell.cell_type == 'markdown': cell.source = from_root(cell.source)
    return bool(cell.source)


def lesson_table()->str: # Markdown
    "The lessons by part, as their notebooks call themselves"
    sys.path.append(str(ROOT/'site'))
    from course import duration, read_course
    rows = []
    for part in read_course():
        pages = [(p.title, p.path.relative_to(ROOT).as_posix()) for p in part.lessons]
        links = ', '.join(f'[{title}]({path})' for title, path in pages)
        if not links: continue
        claim = f'**{part.title}.** {part.claim}'
        rows.append(f'| {claim} | {links} | {duration(part.minutes)} | `dlcourse.{part.name}` |')
    return '\n'.join(['| part | lessons | time | package |', '|---|---|---|---|', *rows])


def places(root:Path)->str: # Markdown; empty where pyproject.toml names no address
    "The badge of the tests, and where the web site is"
    if not (root/'pyproject.toml').exists(): return ''
    sys.path.append(str(ROOT/'site'))
    from course import addresses
    where, said = addresses(root), []
    if repository := where.get('repository'):
        run = f'{repository}/actions/workflows/test.yml'
        said.append(f'[![The state of the tests]({run}/badge.svg)]({run})')
    if site := where.get('documentation'): said.append(f'[The web site]({site}/)')
    return ' '.join(said)


def readme(
    root:Path=ROOT, # The project's folder
)->str:             # Text of README.md
    "What README.md must be"
    nb = nbformat.read(root/INDEX, as_version=4)
    nb.cells = [cell for cell in nb.cells if shown(cell)]
    nb.metadata['language_info'] = {'name': 'python'}
    body, _ = MarkdownExporter().from_notebook_node(nb)
    if LESSONS in body: body = body.replace(LESSONS, lesson_table())
    body = re.sub(r'^> .*$', lambda m: f'{m[0]}\n\n{places(root)}', body, count=1, flags=re.M)
    return NOTICE + '\n\n' + re.sub(r'\n{3,}', '\n\n', body).strip() + '\n'


def main(argv:list[str]|None=None)->int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--check', action='store_true',
                        help="write nothing; end with 1 if README.md is not what it would be")
    parser.add_argument('--root', type=Path, default=ROOT, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    target = args.root/'README.md'
    if not (args.root/INDEX).exists():
        print(f"there is no {INDEX} to make README.md from")
        return 0
    text = readme(args.root)
    if target.exists() and target.read_text(encoding='utf-8') == text:
        print("README.md is in step")
        return 0
    if args.check:
        print(f"README.md is not what {INDEX} says: run `make pages`, and commit")
        return 1
    target.write_text(text, encoding='utf-8')
    print("README.md written")
    return 0


if __name__ == '__main__': sys.exit(main())
