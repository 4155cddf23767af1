"A notebook becomes a page of Markdown: what each kind of cell turns into"
import ast
import base64
import hashlib
import html
import re
import struct
from dataclasses import dataclass, field
from functools import cache

from course import ROOT, Page, addresses, duration

from dlcourse.classroom.cells import BELONGING, DIRECTIVE, Cell, cells_of
from dlcourse.core import pages

try:
    from math_core import LatexError, LatexToMathML
except ImportError: # In the tests' environment formulas stay as they are
    LatexToMathML = None

RAW = '`'*7
LONG = 32 # Lines of a cell that nobody has to write: more are folded
WIDE = 440 # Pixels; what is wider cannot be read when it is shrunk to a phone
SKIPPED = re.compile(
    r'(^```.*?^```|`[^`\n]+`|!?\[[^\]]*\]\([^)]*\)|^#+ [^\n]*$|<[^>\n]+>)', re.M | re.S)
LINK = re.compile(r'(?<!!)\[([^\]]*)\]\(([^)\s]+)\)')
BLOCK = re.compile(r'(^```.*?^```|`[^`\n]+`)', re.M | re.S)
SOURCES = re.compile(r'^(?=[*_]{0,2}Sources\b)', re.M) # Titles of others are not searched
ANSI = re.compile(r'\x1b\[[0-9;]*[A-Za-z]')
IMPORTS = (ast.Import, ast.ImportFrom)
SETUP = re.compile(r'\w+(, \w+)* = (\w+\.)?(open_)?page\(.*\)|\w+ = \w+\.device'
                   r'|[\w.]*seed\w*\(.*\)|np\.set_printoptions\(.*\)')


@dataclass
class Made:
    "A page of the site, and the files that belong to it"
    text: str
    figures: dict[str, bytes] = field(default_factory=dict)


def marked(text:str)->str:
    "A sentence as HTML: code, emphasis and formulas"
    said = pages.marked(text)
    if LatexToMathML is None: return said
    return re.sub(r'\$([^$<>\n]+)\$', inline_formula, said)


def inline_formula(match)->str:
    latex = html.unescape(match[1])
    try: return LatexToMathML().convert_with_local_state(latex, displaystyle=False)
    except LatexError: return match[0]


def together(text:str)->str:
    "A number stays on one line with its per cent, and with the letter that it is the value of"
    text = re.sub(r'(?<=\d) %', '\u00a0%', text)
    return re.sub(r'(?<=\b[a-zA-Zα-ωΑ-Ω]) = (?=[−-]?[.\d])', '\u00a0=\u00a0', text)


def raw(markup:str)->str:
    "HTML, as it is"
    return f'{RAW}{{raw}} html\n{markup}\n{RAW}'


def fenced(source:str, language:str='python')->str:
    "Code, in a fence that it cannot close"
    fence = '`'*max(3, 1 + max(map(len, re.findall('`+', source)), default=0))
    return f'{fence}{language}\n{source}\n{fence}'


def folded(title:str, *inside:str, kind:str='fold')->str:
    "Something behind a line to click"
    opening = raw(f'<details class="{kind}"><summary>{title}</summary><div class="inside">')
    return '\n\n'.join([opening, *inside, raw('</div></details>')])


def plain(source:str)->str:
    "A cell without its directives"
    lines = source.splitlines()
    while lines and (DIRECTIVE.match(lines[0]) or not lines[0].strip()): lines.pop(0)
    return '\n'.join(lines).rstrip()


def slug(text:str)->str: return re.sub(r'[^a-z0-9]+', '-', text.lower()).strip('-')


@cache
def tree(source:str)->ast.Module:
    try: return ast.parse(source)
    except SyntaxError: return ast.Module([], [])


def defined(source:str)->list[str]:
    "What a cell defines, in its order"
    names = []
    for node in tree(source).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)): names.append(node.name)
        elif isinstance(node, ast.Assign):
            names += [t.id for t in node.targets if isinstance(t, ast.Name)]
    return [n for n in dict.fromkeys(names) if not n.startswith('_')]


def png_size(data:bytes)->tuple[int, int]: return struct.unpack('>II', data[16:24])


class Converter:
    "Makes the page of one notebook"

    def __init__(self, page:Page, known:dict, terms:dict, words:tuple=()):
        self.page, self.known, self.words = page, known, words
        self.terms = dict(terms)        # Term → id, until it was met
        self.made = Made('')
        self.up = '../'
        self.tables = self.outputs = 0
        self.exercises = {e.name: e for e in page.lesson.exercises}
        self.quizzes = []
        self.names = self.speaking_names() if known else {}

    def speaking_names(self)->dict[str, str]:
        "Names that may be linked in the prose: what this page defines or imports from the package"
        found = {}
        for cell in cells_of(self.page.nb):
            if cell.kind != 'code': continue
            if cell.exported: found |= {n: f'{self.page.module}.{n}' for n in defined(cell.source)}
            for node in tree(cell.source).body:
                if not isinstance(node, ast.ImportFrom): continue
                module = node.module or ''
                if module.startswith('dlcourse.') and not node.level:
                    found |= {a.asname or a.name: f'{module}.{a.name}' for a in node.names}
        return {n: full for n, full in found.items() if full in self.known}

    # What is said

    def prose(self, text:str)->str:
        "Markdown of a notebook as Markdown of the site"
        text = self.with_links(plain(text))
        parts = SKIPPED.split(text)
        for i, part in enumerate(parts):
            if i % 2 == 0: parts[i] = together(self.with_terms(part))
            elif re.fullmatch(r'`[^`\n]+`', part): parts[i] = self.named(part)
        return SOURCES.sub('{.no-search}\n', ''.join(parts))

    def named(self, code:str)->str:
        full = self.names.get(code[1:-1].removesuffix('()'))
        return f'{{py:obj}}`{code[1:-1]} <{full}>`' if full else code

    def with_terms(self, text:str)->str:
        for term, id in list(self.terms.items()):
            if f'**{term}**' not in text: continue
            text = text.replace(f'**{term}**', f'<dfn id="{id}">**{term}**</dfn>', 1)
            del self.terms[term]
        return text

    def with_links(self, text:str)->str:
        parts = BLOCK.split(text)
        joined = ''.join(p if i % 2 == 0 else f'\0{i}\0' for i, p in enumerate(parts))
        joined = LINK.sub(self.pointed, joined)
        return re.sub('\0(\\d+)\0', lambda m: parts[int(m[1])], joined)

    def pointed(self, match)->str:
        text, target = match.groups()
        if re.match(r'[a-z][\w+.-]*:|#', target): return match[0]
        path, _, fragment = target.partition('#')
        if path.endswith('index.ipynb'): return f'[{text}](/course.md)'
        place = re.fullmatch(r'(?:\.\./(?:\d+_)?(\w+)/)?(?:\d+_)?(\w+)\.ipynb', path)
        if not place: return text
        behind = f'#{slug(fragment)}' if fragment else ''
        return f'[{text}](/{place[1] or self.page.part}/{place[2]}.md{behind})'

    # What is run

    def figure(self, data:str, alt:str)->str:
        "A picture in a file of its own, with the text that says what it shows"
        png = base64.b64decode(data)
        digest = hashlib.sha256(png).hexdigest()[:12]
        name = f'figures/{self.page.part}-{self.page.name}-{digest}.png'
        self.made.figures[name] = png
        width, height = png_size(png)
        # On a phone a wide one scrolls inside its frame; each opens alone, to be enlarged
        kind = 'shown wide' if width > WIDE else 'shown'
        return raw(f'<figure class="{kind}"><a href="{self.up}{name}" title="Open it alone">'
                   f'<img src="{self.up}{name}" alt="{html.escape(alt)}" width="{width}" '
                   f'height="{height}" loading="lazy"></a></figure>')

    def text(self, said:str)->str:
        said = ANSI.sub('', said).rstrip('\n')
        if not said.strip(): return ''
        self.outputs += 1
        return raw(f'<pre class="output" tabindex="0" role="region" aria-label="Output '
                   f'{self.outputs}">{html.escape(said, quote=False)}</pre>')

    def markup(self, said:str)->str:
        "An output in HTML: tables in the site's dress, everything else on paper"
        said = re.sub(r'<style.*?</style>', '', said, flags=re.S)
        said = re.sub(r'<(/?)h[1-6]\b[^>]*>', lambda m: f'<{m[1]}p>', said)
        if '<table' in said:
            said = re.sub(r'\s(style|border|align)="[^"]*"', '', said)
            said = re.sub(r'<th\b[^>]*>\s*</th>', '<td></td>', said)
            said = re.sub(r'(?<=\d) (±|to) (?=\d)', ' \\1\u00a0', said) # Broken before, not behind
            # polars writes a second line of headings, the types, and a shape: both are for machines
            said = re.sub(r'(<thead><tr>(?:<th>.*?</th>)+</tr>)<tr>(?:<td>[^<]*</td>)+</tr>'
                          r'</thead>', r'\1</thead>', said, flags=re.S)
            # … and quotes, of which a word that is cut has the first alone
            said = re.sub(r'<td>(?:"|&quot;)([^<]*?)(?:"|&quot;)?</td>', r'<td>\1</td>', said)
            if '&hellip;' not in said: said = re.sub(r'<small>shape: [^<]*</small>', '', said)
            self.tables += 1
            return raw(f'<div class="frame" tabindex="0" role="region" aria-label="Table '
                       f'{self.tables}">{said}</div>')
        said = said.replace('<progress ', '<progress aria-label="progress" ')
        said = said.replace('<audio ', '<audio aria-label="A sound made by this page" ')
        return raw(f'<div class="paper">{said.strip()}</div>')

    def output(self, one:dict)->str:
        if one['output_type'] == 'stream': return self.text(''.join(one['text']))
        if one['output_type'] == 'error': return self.text(''.join(one['ename']))
        data = {k: ''.join(v) if isinstance(v, list) else v for k, v in one['data'].items()}
        if 'image/png' in data:
            alt = one.get('metadata', {}).get('image/png', {}).get('alt', '')
            return self.figure(data['image/png'], alt)
        if 'text/html' in data and '<img' not in data['text/html']:
            return self.markup(data['text/html'])
        if 'text/html' in data: return self.pictures(data['text/html'])
        return self.text(data.get('text/plain', ''))

    def pictures(self, said:str)->str:
        "HTML that holds pictures: they become files as well"
        def filed(match):
            return re.search(r'src="([^"]+)"', self.figure(match[1], ''))[0]
        said = re.sub(r'src="data:image/png;base64,([^"]+)"', filed, said)
        return self.markup(said)

    def quiz(self, cell:Cell)->str:
        "A question whose answers open; it needs neither server nor script"
        call = next(n for n in ast.walk(tree(plain(cell.source)))
                    if isinstance(n, ast.Call) and getattr(n.func, 'id', '') == 'quiz')
        said = dict(zip(('question', 'right', 'wrong'), map(ast.literal_eval, call.args),
                        strict=False))
        said |= {k.arg: ast.literal_eval(k.value) for k in call.keywords}
        name = cell.about('quiz')[1]
        self.quizzes.append(name)
        answers = [(a, 'right', why) for a, why in said['right'].items()]
        answers += [(a, 'wrong', why) for a, why in said.get('wrong', {}).items()]
        folds = [self.answer(name, *one) for one in sorted(answers)]
        opening = (f'<div class="quiz" id="quiz-{slug(name)}" role="group" '
                   f'aria-label="Question {len(self.quizzes)}">'
                   '<p class="label">Predict, then open an answer</p>')
        question = f'{{.question}}\n{said["question"]}'
        return '\n\n'.join([raw(opening), question, *folds, raw('</div>')])

    def answer(self, name:str, answer:str, kind:str, why:str)->str:
        "One answer of a question: it opens, and says whether it is right, and why"
        opening = (f'<details class="answer {kind}" name="quiz-{name}"><summary>{marked(answer)}'
                   '</summary><div class="inside">')
        says = f'**{"Right" if kind == "right" else "No"}.** {why}'
        return '\n\n'.join([raw(opening), says, raw('</div></details>')])

    def exercise(self, name:str)->str:
        "The callout of an exercise: what is asked, and behind folds all that helps"
        e = self.exercises[name]
        claims, mistakes = claims_of(e.checks), mistakes_of(e.wrongs)
        stars = '●'*e.level + '○'*(5 - e.level)
        head = (f'<div class="exercise" id="exercise-{slug(name)}">'
                f'<p class="label">Exercise <span class="facts">{e.minutes} min · '
                f'<span title="level {e.level} of 5" role="img" aria-label="level {e.level} of 5">'
                f'{stars}</span></span></p>'
                f'<p class="asked"><code>{html.escape(name)}</code> {marked(e.title)}</p>')
        parts = [raw(head), fenced(without_notes(plain(e.blank)))]
        for i, hint in enumerate(e.hints, 1):
            parts.append(folded(f'Hint {i} of {len(e.hints)}', self.prose(hint), kind='fold hint'))
        if claims:
            parts.append(folded(f'What is checked ({len(claims)})', bullets(claims)))
        if mistakes:
            parts.append(folded(f'Common mistakes ({len(mistakes)})', bullets(mistakes)))
        parts += [folded('Solution', fenced(plain(e.source)), kind='fold solution'), raw('</div>')]
        return '\n\n'.join(parts)

    def code(self, cell:Cell, outputs:list[dict])->str:
        "A cell of code and what came out"
        source = plain(cell.source)
        shown = [self.output(o) for o in outputs]
        names = defined(source) if cell.exported else []
        anchors = ''.join(f'<span class="anchor" id="code-{n}"></span>' for n in names)
        if 'exercise' in cell.directives:
            told = self.exercise(cell.about('exercise')[1])
            return '\n\n'.join(filter(None, [raw(anchors) if anchors else '', told, *shown]))
        plumbing = 'exports' not in cell.directives or source.count('\n') >= LONG
        if cell.exported and plumbing and self.page.kind == 'lesson':
            inner = re.findall(r'^(?:def|class) (_\w+)', source, re.M)
            listed = ', '.join(f'<code>{n}</code>' for n in (names or inner)[:6]) or 'a few lines'
            told = folded(f'In the library: {listed}', fenced(source))
        elif draws(source) and any('image/png' in o.get('data', {}) for o in outputs):
            told = folded('Code of the figure', fenced(source))
        elif cell.exported:
            told = '\n\n'.join([raw('<div class="exported">'), fenced(source), raw('</div>')])
        else: told = fenced(source)
        return '\n\n'.join(filter(None, [raw(anchors) if anchors else '', told, *shown]))

    def body(self)->str:
        parts, pending = [], []
        def settle():
            if pending: parts.append(folded('Imports and set-up', fenced('\n\n'.join(pending))))
            pending.clear()
        titled = False
        for cell, one in zip(cells_of(self.page.nb), self.page.nb['cells'], strict=True):
            if {'default_exp', 'hide'} & cell.directives.keys() or cell.about(*BELONGING): continue
            if not cell.source.strip(): continue
            if cell.kind == 'markdown':
                if not titled and cell.source.startswith('# '):
                    titled = True
                    rest = plain('\n'.join(l for l in cell.source.splitlines()[1:]
                                           if not l.startswith('>')))
                    if rest.strip(): parts.append(self.prose(rest))
                    continue
                settle()
                parts.append(self.prose(cell.source))
            elif cell.kind != 'code': continue
            elif 'quiz' in cell.directives:
                settle()
                parts.append(self.quiz(cell))
            elif is_setup(plain(cell.source)) and not one.get('outputs'):
                pending.append(plain(cell.source))
            else:
                settle()
                parts.append(self.code(cell, one.get('outputs', [])))
        settle()
        return '\n\n'.join(parts)

    def page_text(self, number:str, part_title:str)->Made:
        p, body = self.page, self.body()
        claim = p.claim.removeprefix('Engine room: ')
        facts = []
        if p.kind == 'lesson': facts.append(f'<span>{duration(p.minutes)}</span>')
        if self.exercises: facts.append(f'<span>{count(len(self.exercises), "exercise")}</span>')
        if self.quizzes: facts.append(f'<span>{count(len(self.quizzes), "question")}</span>')
        facts.append(f'<a href="{self.up}{p.api}.html">API: <code>{p.module}</code></a>')
        if self.exercises:
            facts.append(f'<a href="{self.up}notebooks/{p.doc}.ipynb" download>'
                         'Notebook with blanks</a>')
        if repository := addresses().get('repository'):
            path = p.path.relative_to(ROOT).as_posix()
            facts.append(f'<a href="{repository}/blob/HEAD/{path}">Source</a>')
        above = f'Part {number} · {part_title}' if number else part_title
        if p.kind == 'room': above += ' · engine room: plumbing, which nobody has to read'
        head = (f'<p class="claim">{marked(upper(claim))}</p>'
                f'<p class="facts"><span class="above">{above}</span>{"".join(facts)}</p>')
        listed = self.listed()
        top = meta(claim) + [f'# {p.title}', '', *indexed(self.words), raw(head), '', listed, '']
        source = f'nbs/{p.path.parent.name}/{p.path.name}'
        below = raw(f'<p class="small">This page is made from <code>{source}</code></p>')
        self.made.text = '\n'.join(top) + f'{body}\n\n{below}\n'
        return self.made

    def listed(self)->str:
        "The exercises of the page, to go to"
        if not self.exercises: return ''
        links = ''.join(f'<li><a href="#exercise-{slug(n)}"><code>{html.escape(n)}</code></a></li>'
                        for n in self.exercises)
        return raw(f'<nav class="asks" aria-label="Exercises of this page"><ul>{links}</ul></nav>')


def meta(claim:str)->list[str]:
    said = re.sub(r'[`*$"\\]', '', claim)
    return ['---', 'orphan: true', 'myst:', '  html_meta:', f'    description: "{said}"', '---', '']


def indexed(words)->list[str]:
    "An entry of the index for each word; they lead the search as well"
    said = ', '.join(f'! {w}' for w in words)
    # Its own anchor would be that of the raw HTML behind it, which has none
    here = raw('<span class="anchor" id="index-0"></span>')
    return ['```{index} ' + said, '```', '', here, ''] if said else []


def upper(text:str)->str: return text[:1].upper() + text[1:]


def count(n:int, one:str)->str: return f'{n} {one}' + 's'*(n != 1)


def bullets(texts)->str:
    return '\n'.join('- ' + ' '.join(t.split()) for t in texts)


def without_notes(source:str)->str:
    "The call to write, without the program's way of saying that nothing was written"
    return re.sub(r'raise NotImplementedError\("Your turn[^"]*"\)', '...  # your turn', source)


def claims_of(cells)->list[str]:
    "What the checks of an exercise say, in the words of their docstrings"
    functions = [n for s in cells for n in tree(s).body if isinstance(n, ast.FunctionDef)]
    checks = [f for f in functions if any('check' in ast.unparse(d) for d in f.decorator_list)]
    return [ast.get_docstring(f) for f in checks if ast.get_docstring(f)]


def mistakes_of(cells)->list[str]:
    "What is said about the wrong answers that are known"
    calls = [n for s in cells for n in ast.walk(tree(s)) if isinstance(n, ast.Call)]
    wrongs = [c for c in calls if getattr(c.func, 'id', '') == 'wrong' and c.args]
    return [c.args[0].value for c in wrongs if isinstance(c.args[0], ast.Constant)]


def draws(source:str)->bool:
    "Does a cell show a figure or a drawing?"
    for node in tree(source).body:
        call = node.value if isinstance(node, ast.Expr) else None
        if not isinstance(call, ast.Call): continue
        if getattr(call.func, 'id', getattr(call.func, 'attr', '')) == 'show': return True
    return False


def is_setup(source:str)->bool:
    "Imports, or the line that opens the page"
    body = tree(source).body
    return bool(body) and all(
        isinstance(n, IMPORTS) or SETUP.fullmatch(ast.unparse(n)) for n in body)
