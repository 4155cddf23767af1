"Run what belongs to one lesson, page, exercises and tests: `make check LESSON=part.lesson`"
import argparse
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cells import NBS, ROOT, module_name, notebooks, read_cells
from environments import Failed, run
from imports import tests_of


def lesson_named(
    text:str, # `part.lesson`, `lesson`, or the path of a notebook, a module or a test
)->Path:      # Its notebook
    "The lesson that is meant; raises `Failed` where there is none, or more than one"
    books = {module_name(p, NBS): p for p in notebooks() if p.name != 'index.ipynb'}
    wanted = text.removeprefix('dlcourse.')
    if text.endswith(('.ipynb', '.py')):
        part, name = Path(text).resolve().with_suffix('').parts[-2:]
        wanted = f"{re.sub(r'^[0-9]+_', '', part)}.{re.sub(r'^([0-9]+|test)_', '', name)}"
    found = [name for name in books if name == wanted or name.split('.')[1] == wanted]
    if len(found) == 1: return books[found[0]]
    if found: raise Failed(f"`{text}` is a lesson of several parts: {', '.join(found)}")
    near = [name for name in books if wanted.split('.')[-1] in name]
    raise Failed(f"`{text}` is no lesson; there are: {', '.join(near or books)}")


def check(book:Path):
    "Run all that belongs to one lesson; raises `Failed`"
    part, lesson = module_name(book, NBS).split('.')
    run('nbdev-export', '--path', str(book))
    run('python', 'tools/lint.py', str(book))
    with ThreadPoolExecutor() as pool: # Two programs, one core each
        beside = [pool.submit(_page, book)]*(part != 'cli')
        _tests(book, part, lesson)
        for page in beside: page.result()


def _page(book):
    run('nbdev-test', str(book.relative_to(ROOT)), '--n-workers', '0', DLCOURSE_SIZE='smoke')


def _tests(book, part, lesson):
    if any('exercise' in cell.directives for cell in read_cells(book)):
        gate = 'tests/classroom/test_gate.py'
        run('pytest', '-n', '0', gate, '-k', f'{part}.{lesson}.', MPLBACKEND='Agg')
    tests = tests_of(ROOT/'dlcourse', ROOT/'tests')[f'dlcourse.{part}.{lesson}']
    names = [str(path.relative_to(ROOT)) for path in tests]
    print(f"tests of {part}.{lesson}: {', '.join(names)}; `make test` runs the slow ones too",
          flush=True)
    workers = '2' if part == 'cli' else '0' # Where no page runs beside them
    run('pytest', '-n', workers, '-m', 'not slow', *names, MPLBACKEND='Agg')


def main(argv:list[str]|None=None)->int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('lesson', help="part.lesson, lesson, or a path")
    start = time.perf_counter()
    try: check(lesson_named(parser.parse_args(argv).lesson))
    except Failed as e: print(f"make check FAILED: {e}"); return 1
    print(f"make check: all of it holds ({time.perf_counter() - start:.0f} s)")
    return 0


if __name__ == '__main__': sys.exit(main())
