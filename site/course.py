"The course as the web site sees it: parts, pages, their order, their names; read, never run"
import re
import tomllib
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

from dlcourse.classroom.cells import read_notebook
from dlcourse.classroom.lessons import PLATFORM, Lesson, lesson_of, lesson_paths

ROOT = Path(__file__).resolve().parents[1]
NBS = ROOT/'nbs'
LASTS = re.compile(r'\b(half an|an|one|two|three|four|five|\d+)( and a half)? (hours?|minutes)'
                   r'( and a half)?', re.I)


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

    @cached_property
    def minutes(self)->int:
        "How long it takes with its exercises: what the page says, or else an estimate"
        text = '\n'.join(''.join(c['source']) for c in self.nb['cells'][:6])
        said = [m for m in LASTS.finditer(text)]
        if said and self.lesson.exercises: return spelled(said[0])
        return estimate(self)


def spelled(match)->int: # Minutes
    "A time in words: `one hour`, `an hour and a half`, `40 minutes`"
    word, half, unit = match[1].lower(), match[2] or match[4], match[3]
    if word == 'half an': return 30
    many = dict(an=1, one=1, two=2, three=3, four=4, five=5).get(word) or int(word)
    size = 60 if unit.startswith('hour') else 1
    return many*size + (size//2 if half else 0)


def estimate(page:Page)->int: # Minutes, in fives
    "Reading at 130 words a minute, and the exercises"
    words = sum(len(''.join(c['source']).split()) for c in page.nb['cells']
                if c['cell_type'] == 'markdown')
    exercises = sum(e.minutes for e in page.lesson.exercises)
    return max(5, 5*round((words/130 + exercises)/5))


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
