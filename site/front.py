"The pages that no notebook is: landing page, map, toolkit, results, glossary, overviews"
import ast
import html
import re
import tomllib

from api_pages import Library
from course import ROOT, Part, addresses, duration
from lesson_pages import (
    Converter,
    claims_of,
    count,
    marked,
    meta,
    mistakes_of,
    raw,
    together,
    upper,
)
from terms import Term, sentence_for

HERE = ROOT/'site'
PLATFORM_RULE = 'How it is made'


def tidy(claim:str)->str: return upper(claim.removeprefix('Engine room: ').rstrip('.'))


# The order of things: what Sphinx's templates are given


def structure(parts:list[Part], commands:dict, version:str)->dict:
    "Sidebar, ways, breadcrumbs and the bar on top"
    tree, library, chains, parents = [], [], [], {}
    for part in parts:
        entry = dict(doc=part.doc, title=part.title, number=part.number,
                     pages=[item(p) for p in part.shown], rooms=[item(p) for p in part.behind])
        tree.append(entry)
        library.append(dict(doc=f'api/{part.name}/index', title=part.name, number=part.number,
                            pages=[dict(doc=p.api, title=p.name) for p in part.pages], rooms=[]))
        parents[part.doc] = [('course', 'Course')]
        parents[f'api/{part.name}/index'] = [('api/index', 'Library')]
        for page in part.pages:
            parents[page.doc] = [('course', 'Course'), (part.doc, part.title)]
            parents[page.api] = [('api/index', 'Library'), (f'api/{part.name}/index', part.name)]
    # The parts about the course itself stand behind the lessons, below a rule
    platform = [p.doc for p in parts if p.platform]
    tree.sort(key=lambda e: e['doc'] in platform)
    for e in tree: e['rule'] = PLATFORM_RULE if e['doc'] in platform[:1] else ''
    lessons = [(p.doc, p.title) for part in parts if not part.platform for p in part.lessons]
    inside = [(p.doc, p.title) for part in parts if part.platform for p in part.pages]
    chains = [dict(index='course', title='All lessons', pages=lessons),
              dict(index='course', title='All lessons', pages=inside)]
    for part in parts:
        for page in part.behind:
            chains.append(dict(index=part.doc, title=part.title, pages=[(page.doc, page.title)]))
        chains.append(dict(index='api/index', title='The library',
                           pages=[(p.api, p.name) for p in part.pages]))
    names = sorted(n for n in commands if n != 'commands/index')
    program = [dict(doc='commands/index', title='Commands', number='', rule='', rooms=[],
                    pages=[dict(doc=n, title=f'dlcourse {n.split("/")[1]}') for n in names])]
    chains.append(dict(index='commands/index', title='All commands',
                       pages=[(n, n.split('/')[1]) for n in names]))
    parents |= {n: [('commands/index', 'Command line')] for n in names}
    places = [f'{p.name}/' for p in parts]
    nav = [('course', 'Learn', places), ('toolkit', 'Audit', []),
           ('api/index', 'Library', ['api/']), ('commands/index', 'Commands', ['commands/']),
           ('gallery', 'Gallery', []), ('results', 'Results', []),
           ('glossary', 'Glossary', []), ('teach', 'Teach', [])]
    where = addresses()
    return dict(tree=tree, library=library, program=program, chains=chains, parents=parents,
                nav=nav, version=version, places=places_of(parts),
                repository=where.get('repository', ''), address=where.get('documentation', ''))


def places_of(parts:list[Part])->dict[str, str]: # Document → such as `Fairness · engine room`
    "To which part a page belongs, and what it is: titles alone do not tell pages apart"
    kinds = dict(lesson='lesson', room='engine room', page='how it is made')
    found = {p.doc: f'{part.title} · {kinds[p.kind]}' for part in parts for p in part.pages}
    return found | {part.doc: f'{part.title} · overview' for part in parts}


def claims_of_pages(parts:list[Part])->dict[str, str]: # Document → its claim, as plain text
    "What a result of the search says below its title"
    return {p.doc: re.sub(r'[`*$\\\\]', '', tidy(p.claim)) for part in parts for p in part.pages}


def for_machines(parts:list[Part], structure:dict, where:dict)->dict[str, str]: # File → text
    "llms.txt, a list of all pages with their claims; and a sitemap, once the site has an address"
    home = where.get('documentation', '')
    at = f'{home}/' if home else ''
    lines = ['# dlcourse', '', '> A deep-learning course whose lessons are a tested Python '
             'package, and a toolkit that audits models.', '']
    for part in parts:
        lines += [f'## {part.title}', '', part.claim, '']
        lines += [f'- [{p.title}]({at}{p.doc}.html): {tidy(p.claim)}' for p in part.shown] + ['']
    found = {'llms.txt': '\n'.join(lines)}
    if not home: return found
    pages = [doc for chain in structure['chains'] for doc, _ in chain['pages']]
    docs = sorted({'index', *(doc for doc, *_ in structure['nav']), *structure['parents'], *pages})
    rows = '\n'.join(f'<url><loc>{home}/{html.escape(d)}.html</loc></url>' for d in docs)
    return found | {'sitemap.xml': '<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns='
                    f'"http://www.sitemaps.org/schemas/sitemap/0.9">\n{rows}\n</urlset>\n',
                    'robots.txt': f'User-agent: *\nAllow: /\nSitemap: {home}/sitemap.xml\n'}


def item(page)->dict: return dict(doc=page.doc, title=page.title)


# Overviews


def lesson_card(page, up:str)->str:
    facts = [duration(page.minutes)]
    if page.lesson.exercises: facts.append(count(len(page.lesson.exercises), 'exercise'))
    return (f'<li><a href="{up}{page.doc}.html"><strong>{html.escape(page.title)}</strong>'
            f'<span>{marked(tidy(page.claim))}</span></a><em>{" · ".join(facts)}</em></li>')


def needs(part:Part)->str:
    "What has to be installed for a part"
    text = ' '.join(c.source for p in part.lessons for c in (*p.lesson.imports, *p.lesson.cells))
    torch = re.search(r'^\s*(import|from) torch\b', text, re.M)
    return 'needs PyTorch' if torch else 'needs no deep-learning framework'


def facts_of(part:Part)->str:
    if not part.lessons: return count(len(part.pages), 'page')
    asked = sum(len(p.lesson.exercises) for p in part.lessons)
    said = [count(len(part.lessons), 'lesson'), f'about {duration(part.minutes)}']
    if asked: said.append(count(asked, 'exercise'))
    return ' · '.join([*said, needs(part)])


def part_page(part:Part, parts:list[Part])->str:
    "The overview of a part"
    number = f'Part {part.number} · ' if part.number else ''
    taken = any(p.title == part.title for other in parts for p in other.pages)
    lines = [*meta(part.claim or part.title), f'# {part.title}{": the part"*taken}', '',
             raw(f'<p class="claim">{html.escape(part.claim)}</p><p class="facts"><span>{number}'
                 f'{facts_of(part)}</span><a href="../api/{part.name}/index.html">API: '
                 f'<code>dlcourse.{part.name}</code></a></p>'), '']
    shown = ''.join(lesson_card(p, '../') for p in part.shown)
    if shown: lines += [raw(f'<ol class="lessons">{shown}</ol>'), '']
    if part.behind:
        rooms = ''.join(f'<li><a href="../{p.doc}.html">{html.escape(p.title)}</a> '
                        f'{marked(tidy(p.claim))}</li>' for p in part.behind)
        lines += ['## Engine rooms', '', 'The plumbing that these lessons stand on, each with what '
                  'it guarantees. Nobody has to read them to follow the course.', '',
                  raw(f'<ul class="rooms">{rooms}</ul>'), '']
    return '\n'.join(lines)


def api_part_page(part:Part, library:Library)->str:
    "The modules of a part, with what they offer"
    lines = [*meta(f'The modules of dlcourse.{part.name}'), f'# `dlcourse.{part.name}`', '',
             raw(f'<p class="claim">{html.escape(part.claim)}</p>'), '']
    for page in part.pages:
        names = [t.name for t in library.modules.get(page.id, [])]
        listed = ' '.join(f'<a href="{page.name}.html#{page.module}.{n}"><code>{n}</code></a>'
                          for n in names)
        claim = tidy(page.claim).replace('*', r'\*')
        lines += [f'## [{page.name}](/{page.api}.md)', '', claim + '.', '']
        if listed: lines += [raw(f'<p class="names">{listed}</p>'), '']
    return '\n'.join(lines)


def api_index(parts, library)->str:
    lines = [*meta('Every public function and class of dlcourse'), '# The library', '',
             'What a lesson builds is what you import. Each name has its signature, what its '
             'parameters mean, and the lesson that builds it. Names of classes in signatures are '
             'links; other projects can link here through `objects.inv`.', '',
             raw('<p class="facts"><a href="../genindex.html">Index of names</a></p>'), '']
    rows = ''.join(
        f'<li><a href="{p.name}/index.html"><strong>dlcourse.{p.name}</strong><span>'
        f'{html.escape(p.claim)}</span></a><em>{count(len(p.pages), "module")} · '
        f'{sum(len(library.modules.get(x.id, [])) for x in p.pages)} names</em></li>'
        for p in parts)
    return '\n'.join([*lines, raw(f'<ol class="lessons">{rows}</ol>')]) + '\n'


def missing(parts:list[Part])->str: # Such as `12 to 15 and 19`
    "The numbers between the parts that no part has"
    taken = {int(p.number) for p in parts if p.number}
    runs = []
    for n in sorted(set(range(min(taken), max(taken))) - taken):
        if runs and runs[-1][-1] == n - 1: runs[-1].append(n)
        else: runs.append([n])
    said = [x for run in runs for x in (
        [f'{run[0]:02} to {run[-1]:02}'] if len(run) > 2 else [f'{n:02}' for n in run])]
    return ' and '.join([', '.join(said[:-1]), said[-1]] if len(said) > 1 else said)


def course_page(parts)->str:
    "The map of the course"
    course, platform = [p for p in parts if not p.platform], [p for p in parts if p.platform]
    lessons = sum(len(p.lessons) for p in course)
    asked = sum(len(x.lesson.exercises) for p in course for x in p.lessons)
    hours = round(sum(p.minutes for p in course)/60)
    lines = [*meta('The map of the course: parts, lessons, time'), '# The course', '',
             raw(f'<p class="claim">{lessons} lessons, {asked} exercises that check themselves, '
                 f'about {hours} hours. A part may need those before it; each lesson says '
                 'which.</p>'), '']
    if coming := missing(course):
        lines += [f'Numbers that are missing here, {coming}, are kept for parts that are not '
                  'written yet.', '']
    for part in course:
        items = ''.join(f'<li><a href="{p.doc}.html">{html.escape(p.title)}</a></li>'
                        for p in part.lessons)
        lines += [raw(f'<section class="part"><h2 id="{part.name}"><span class="number">'
                      f'{part.number}</span><a href="{part.doc}.html">{html.escape(part.title)}'
                      f'</a></h2><p>{html.escape(part.claim)}</p><ul class="chips">{items}</ul>'
                      f'<p class="small">{facts_of(part)}</p></section>'), '']
    rows = ''.join(f'<li><a href="{p.doc}.html"><strong>{html.escape(p.title)}</strong><span>'
                   f'{html.escape(p.claim)}</span></a><em>{facts_of(p)}</em></li>'
                   for p in platform)
    lines += [raw(f'<section class="part"><h2 id="made">How it is made</h2><p>The course is '
                  f'itself a tested program, and its parts are told in the same way.</p>'
                  f'<ol class="lessons">{rows}</ol></section>'), '']
    return '\n'.join(lines)


def headword(word:str)->str:
    "A term at the head of its entry; `k-means` and `t-SNE` stay as they are"
    return word if re.match(r'[a-z](-|[A-Z])', word) else upper(word)


def glossary_page(terms:list[Term], parts)->str:
    "Every term in bold, with its sentence, linked to its lesson"

    lines = [*meta('The words of the course, each where it is first used'), '# Glossary', '',
             raw(f'<p class="claim">{len(terms)} words, each with the sentence that introduces it '
                 'and the lesson it comes from. <a href="genindex.html">The index</a> has more, '
                 'also words that lead to a lesson without standing in it.</p>')]
    letters = sorted({t.word[0].upper() for t in terms})
    jump = ' '.join(f'<a href="#letter-{x.lower()}">{x}</a>' for x in letters)
    lines += [raw(f'<nav class="letters" aria-label="Letters">{jump}</nav>'), '']
    letter = ''
    for term in terms:
        if term.word[0].upper() != letter:
            letter = term.word[0].upper()
            place = f'<span class="anchor" id="letter-{letter.lower()}"></span>'
            lines += [f'## {letter}', '', raw(place), '']
        pointed = Converter(term.page, {}, {}).with_links
        lines += [raw(f'<div class="term"><p class="word"><a href="{term.page.doc}.html#{term.id}">'
                      f'{html.escape(headword(term.word))}</a><span>{html.escape(term.page.title)}'
                      '</span></p>'), '',
                  sentence_for(term, pointed), '', raw('</div>'), '']
    return '\n'.join(lines)


def results_page()->str:
    "What was measured, with machine, date and command"
    results = tomllib.loads((ROOT/'benchmarks'/'results.toml').read_text('utf-8'))
    lines = [*meta('What was measured, on which machine, when, and by which command'),
             '# Results', '',
             raw('<p class="claim">Every figure with the machine, the day and the command that '
                 'prints it. Also where the course loses.</p>'), '',
             'The commands run in a checkout. A figure stands here as it was measured on that day; '
             'it is not what your machine will give. The files are `benchmarks/*.py`, and '
             '`benchmarks/results.toml` holds this page.', '']
    for group in results['group']:
        lines += [f'## {group["title"]}', '', group.get('about', ''), '']
        cards = []
        for r in group['result']:
            facts = [r['machine'], str(r['date'])] + ([r['runs']] if r.get('runs') else [])
            said = dict(what='what', figure='figure', beside='beside', falls_short='short')
            told = ''.join(f'<p class="{kind}">{marked(together(r[key]))}</p>'
                           for key, kind in said.items() if r.get(key))
            cards.append(
                f'<li>{told}<p class="small">{html.escape(" · ".join(facts))}</p><pre tabindex="0" '
                f'role="region" aria-label="Command: {html.escape(r["what"])}">'
                f'{html.escape(r["command"])}</pre></li>')
        lines += [raw(f'<ul class="results">{"".join(cards)}</ul>'), '']
    rows = ''.join(f'<dt><code>benchmarks/{name}</code> {marked(first_line(name))}</dt>'
                   f'<dd>{marked(why)}</dd>' for name, why in results['not_run'].items())
    return '\n'.join([*lines, '## Without a figure here', '', 'Benchmarks that were not run for '
                      'this page, and why.', '', raw(f'<dl class="unlisted">{rows}</dl>'), ''])


def first_line(name:str)->str:
    "What a benchmark compares, in its own words"
    said = ast.get_docstring(ast.parse((ROOT/'benchmarks'/name).read_text('utf-8')))
    said = re.split(r':? `?python |\n\n', said)[0]
    return ' '.join(said.split()).rstrip('.: ')


def filled(name:str, **values)->str:
    "A page written by hand in `site/pages`, with numbers that come from the course"
    text = (HERE/'pages'/f'{name}.md').read_text('utf-8')
    def value(match):
        if match[1] not in values: raise SystemExit(f"site/pages/{name}.md asks for {match[1]}")
        found = values[match[1]]
        return f'{found:,}' if isinstance(found, int) else found
    return re.sub(r'\[\[(\w+)\]\]', value, text)


def course_map(parts)->str:
    "The parts on the landing page"
    course = [p for p in parts if p.lessons]
    return ''.join(
        f'<li><a href="{p.doc}.html"><span class="number">{p.number}</span><strong>'
        f'{html.escape(p.title)}</strong><span class="says">{html.escape(p.claim)}</span><em>'
        f'{count(len(p.lessons), "lesson")} · {duration(p.minutes)}</em></a></li>' for p in course)


def numbers(parts)->dict:
    "What the landing page counts"
    course = [p for p in parts if p.lessons]
    lessons = [x for p in course for x in p.lessons]
    asked = [e for x in lessons for e in x.lesson.exercises]

    return dict(
        lessons=len(lessons), exercises=len(asked), hours=round(sum(x.minutes for x in lessons)/60),
        quizzes=sum(len(x.lesson.quizzes) for x in lessons), parts=len(course),
        claims=sum(len(claims_of(e.checks)) for e in asked),
        mistakes=sum(len(mistakes_of(e.wrongs)) for e in asked),
        hints=sum(len(e.hints) for e in asked), map=course_map(parts),
        coming=missing(course), copy=copy_of(addresses()))


def copy_of(where:dict)->str:
    "How a visitor comes by a copy of the repository"
    if url := where.get('repository'):
        folder = url.rpartition('/')[2].removesuffix('.git')
        return f'git clone {url}\ncd {folder}'
    return '# in a copy of the repository, in its folder'


def front_pages(parts, library, terms)->dict[str, str]: # Document → Markdown
    known = numbers(parts)
    pages = {name: filled(name, **known) for name in ('index', 'toolkit', 'teach', '404')
             if (HERE/'pages'/f'{name}.md').exists()}
    return pages | {'course': course_page(parts), 'glossary': glossary_page(terms, parts),
                    'results': results_page(), 'api/index': api_index(parts, library)}
