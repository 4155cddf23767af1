"The course as the web site sees it: parts, pages, their order, their names; read, never run"
import tomllib
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from dlcourse.classroom.cells import read_notebook
from dlcourse.classroom.lessons import PLATFORM, Lesson, lesson_of, lesson_paths

ROOT = Path(__file__).resolve().parents[1]
NBS = ROOT/'nbs'


@dataclass(frozen=True)
class Part:
    "A part of the course"
    name: str                 # Such as `transformers`
    title: str                # Such as `Transformers`
    claim: str                # One line
    number: str               # Such as `07`; empty for the command line
    pages: tuple              # All its pages, in order

    @property
    def lessons(self): return [p for p in self.pages if p.kind == 'lesson']

    @property
    def rooms(self): return [p for p in self.pages if p.kind != 'lesson']

    @property
    def platform(self): return self.name in (*PLATFORM, 'cli')

    @property
    def shown(self):
        "Its pages in the sidebar: lessons, or everything in a part about the course itself"
        return list(self.pages) if self.platform else self.lessons

    @property
    def behind(self): return [] if self.platform else self.rooms

    @property
    def minutes(self): return sum(p.minutes for p in self.lessons)

    @property
    def doc(self): return f'{self.name}/index'


@dataclass(frozen=True)
class Page:
    "A notebook that becomes a page"
    path: Path
    part: str
    name: str
    title: str
    claim: str

    @cached_property
    def nb(self)->dict: return read_notebook(self.path)

    @cached_property
    def lesson(self)->Lesson: return lesson_of(self.nb, self.path)

    @property
    def id(self): return f'{self.part}.{self.name}'

    @property
    def doc(self): return f'{self.part}/{self.name}'

    @property
    def api(self): return f'api/{self.part}/{self.name}'

    @property
    def module(self): return f'dlcourse.{self.id}'

    @cached_property
    def kind(self)->str: # `lesson`, `room` or `page`
        if self.claim.startswith('Engine room'): return 'room'
        platform = self.part in (*PLATFORM, 'cli')
        return 'lesson' if self.lesson.exercises and not platform else 'page'

    @property
    def minutes(self)->int: return self.lesson.minutes


@cache
def addresses(root:Path=ROOT)->dict[str, str]: # `repository` and `documentation`, or nothing
    "Where the project lives, which `[project.urls]` of pyproject.toml says and nothing else"
    project = tomllib.loads((root/'pyproject.toml').read_text('utf-8'))['project']
    return {name.lower(): url.rstrip('/') for name, url in project.get('urls', {}).items()}


def parts_table()->dict: return tomllib.loads((ROOT/'site'/'parts.toml').read_text('utf-8'))['part']


def read_page(path:Path)->Page:
    "A page, of which only title and place are read at once"
    nb = read_notebook(path)
    lesson = lesson_of(nb, path)
    page = Page(path, lesson.part, lesson.name, lesson.title, lesson.claim.splitlines()[0])
    page.__dict__.update(nb=nb, lesson=lesson)
    return page


def read_course(nbs:Path=NBS)->list[Part]:
    "All parts with their pages, in the order of the course; two of one address are refused"
    paths = [*lesson_paths(nbs), *sorted((nbs/'cli').glob('*.ipynb'))]
    pages, table, found = [read_page(p) for p in paths], parts_table(), []
    seen = {}
    for page in pages:
        if other := seen.get(page.doc.lower()):
            raise SystemExit(f"{page.path} and {other} would both be the page {page.doc}.html")
        seen[page.doc.lower()] = page.path
    for name in dict.fromkeys(p.part for p in pages):
        mine = tuple(p for p in pages if p.part == name)
        number, _, _ = mine[0].path.parent.name.rpartition('_')
        known = table.get(name, {})
        found.append(Part(name, known.get('title', name.capitalize()), known.get('claim', ''),
                          number, mine))
    return found


def duration(minutes:int)->str:
    "Minutes in words that a reader plans with"
    if minutes < 60: return f'{minutes} min'
    hours, rest = divmod(5*round(minutes/5), 60)
    return f'{hours} h {rest} min' if rest else f'{hours} h'
