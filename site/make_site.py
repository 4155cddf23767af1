"The web site from the notebooks: `python site/make_site.py [--twice]`; what `make site` runs"
import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path[:0] = [str(HERE), str(ROOT)]

import front  # noqa: E402
import gallery  # noqa: E402
from api_pages import Library  # noqa: E402
from command_pages import command_pages  # noqa: E402
from course import NBS, Page, Part, addresses, read_course  # noqa: E402
from lesson_pages import Converter  # noqa: E402
from terms import terms_of, words_of  # noqa: E402

from dlcourse import __version__  # noqa: E402
from dlcourse.classroom.editions import learner_edition, point_links  # noqa: E402

OUT = ROOT/'_out'/'site'


def write(path:Path, data:str|bytes):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data if isinstance(data, bytes) else data.encode('utf-8'))


def download(page:Page, places:dict[str, str])->str:
    "The learner's notebook of a lesson"
    edition = learner_edition(page.nb)
    point_links(edition, page.id, f'{page.doc}.ipynb', places)
    return json.dumps(edition, ensure_ascii=False, indent=1, sort_keys=True) + '\n'


def convert(work:Path, nbs:Path=NBS)->list[Part]:
    "Write Markdown for Sphinx into `src`, and files that are copied as they are into `extra`"
    parts = read_course(nbs)
    library, terms = Library(parts), terms_of(parts)
    words = words_of(parts, terms)
    pages = [p for part in parts for p in part.pages]
    places = {p.id: f'{p.doc}.ipynb' for p in pages if p.lesson.exercises}
    src, extra, shown = work/'src', work/'extra', {}
    for part in parts:
        write(src/f'{part.doc}.md', front.part_page(part, parts))
        write(src/'api'/f'{part.name}'/'index.md', front.api_part_page(part, library))
        for page in part.pages:
            mine = {t.word: t.id for t in terms if t.page is page}
            made = Converter(page, library.known, mine, words[page.id]).page_text(
                part.number, part.title)
            write(src/f'{page.doc}.md', made.text)
            for name, data in made.figures.items(): write(extra/name, data)
            shown[page.doc] = gallery.best(made)
            if page.id in places:
                write(extra/'notebooks'/f'{page.doc}.ipynb', download(page, places))
            write(src/f'{page.api}.md', library.page(page))
    commands = command_pages()
    written = {**front.front_pages(parts, library, terms), **commands,
               'gallery': gallery.gallery_page(parts, shown),
               'changes': '---\norphan: true\n---\n\n' + (ROOT/'CHANGELOG.md').read_text('utf-8')}
    for name, text in written.items():
        write(src/f'{name}.md', text)
    for path in sorted((HERE/'extra').rglob('*')):
        if path.is_file(): write(extra/path.relative_to(HERE/'extra'), path.read_bytes())
    write(extra/'.nojekyll', '')
    structure = front.structure(parts, commands, __version__)
    for name, text in front.for_machines(parts, structure, addresses()).items():
        write(extra/name, text)
    scorer = (HERE/'static'/'scorer.js').read_text('utf-8')
    told = dict(places=structure['places'], claims=front.claims_of_pages(parts))
    write(src/'scorer.js', re.sub(r'/\*.*?\*/ \{\}', lambda _: json.dumps(
        told, ensure_ascii=False, sort_keys=True), scorer))
    write(src/'course.json', json.dumps(structure, indent=1, ensure_ascii=False))
    return parts


def sphinx(work:Path, target:Path, jobs:int):
    "Run Sphinx on what was converted; any warning ends it"
    shutil.copyfile(HERE/'conf.py', work/'src'/'conf.py')
    env = dict(os.environ, DLCOURSE_SITE=str(HERE), SOURCE_DATE_EPOCH='1767225600',
               PYTHONHASHSEED='0', PYTHONPATH=os.pathsep.join([str(HERE), str(ROOT)]))
    command = [sys.executable, '-m', 'sphinx', '-q', '-W', '--keep-going', '-E', '-j', str(jobs),
               '-d', str(work/'doctrees'), '-b', 'html', str(work/'src'), str(target)]
    done = subprocess.run(command, env=env)
    if done.returncode:
        raise SystemExit(f"Sphinx ended with {done.returncode}; what it says above must be mended")
    for name in ('.buildinfo', '.doctrees'): (target/name).unlink(missing_ok=True)


def build(target:Path, jobs:int=2)->dict[str, float]:
    "Make the whole site anew; seconds of each step"
    work, seconds = target.parent/f'{target.name}.work', {}
    for folder in (work, target): shutil.rmtree(folder, ignore_errors=True)
    start = time.perf_counter()
    convert(work)
    seconds['converter'] = time.perf_counter() - start
    start = time.perf_counter()
    sphinx(work, target, jobs)
    seconds['sphinx'] = time.perf_counter() - start
    return seconds


def digest(folder:Path)->str:
    "A fingerprint of every byte below a folder"
    found = hashlib.sha256()
    for path in sorted(p for p in folder.rglob('*') if p.is_file()):
        found.update(f'{path.relative_to(folder).as_posix()}\0'.encode())
        found.update(path.read_bytes())
    return found.hexdigest()


def main(argv:list[str]|None=None)->int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--twice', action='store_true', help="build twice, and compare every byte")
    parser.add_argument('--jobs', type=int, default=2)
    args = parser.parse_args(argv)
    seconds = build(OUT/'html', args.jobs)
    import site_checks
    faults = site_checks.faults(OUT/'html')
    for fault in faults[:40]: print(fault)
    if faults: raise SystemExit(f"{len(faults)} faults in the site")
    print(site_checks.summary(OUT/'html'))
    print(', '.join(f'{name} {spent:.0f} s' for name, spent in seconds.items()))
    if args.twice:
        build(OUT/'again', args.jobs)
        same = digest(OUT/'html') == digest(OUT/'again')
        shutil.rmtree(OUT/'again.work')
        if not same:
            raise SystemExit("two builds differ: compare _out/site/html and _out/site/again")
        shutil.rmtree(OUT/'again')
        print("two builds are the same, byte for byte")
    print(f'The site: {(OUT/"html"/"index.html").relative_to(ROOT)}')
    return 0


if __name__ == '__main__': sys.exit(main())
