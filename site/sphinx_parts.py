"A small extension of Sphinx: formulas as MathML, the course's own order, its sidebar and its ways"
import html
import json
import re
import sys
from functools import cache
from pathlib import Path

from math_core import LatexError, LatexToMathML

MATH = LatexToMathML()


def heading_slug(text:str)->str:
    "The anchor of a heading: what `slug` of the converter makes of a fragment"
    return re.sub(r'[^a-z0-9]+', '-', text.lower()).strip('-')


@cache
def mathml(latex:str, display:bool)->str:
    return MATH.convert_with_local_state(latex, displaystyle=display)


def formula(latex, display):
    try: return mathml(latex.strip(), display)
    except LatexError as e:
        print(f'not a formula, shown as code: {latex} ({e})', file=sys.stderr)
        return f'<code>{html.escape(latex)}</code>'


def inline(self, node):
    from docutils.nodes import SkipNode
    self.body.append(formula(node.astext(), False))
    raise SkipNode


def block(self, node):
    from docutils.nodes import SkipNode
    self.formulas = getattr(self, 'formulas', 0) + 1 # Of this page: regions have names of their own
    self.body.append(f'<div class="math" tabindex="0" role="region" '
                     f'aria-label="Formula {self.formulas}">'
                     f'{formula(node.astext(), True)}</div>')
    raise SkipNode


def load(app):
    app.course = json.loads((Path(app.confdir)/'course.json').read_text('utf-8'))
    app.order = {}
    for chain in app.course['chains']:
        for i, (doc, _) in enumerate(chain['pages']):
            before = chain['pages'][i - 1] if i else None
            after = chain['pages'][i + 1] if i + 1 < len(chain['pages']) else None
            app.order[doc] = before, (chain['index'], chain['title']), after
    app.sides = {}


def context(app, name, template, ctx, doctree):
    "What the templates of a page are given"
    pathto = ctx['pathto']
    def way(step): return dict(link=pathto(step[0]), title=step[1]) if step else None
    before, index, after = app.order.get(name, (None, None, None))
    ctx['ways'] = dict(before=way(before), index=way(index), after=way(after))
    ctx['parents'] = [dict(link=pathto(doc), title=title)
                      for doc, title in app.course['parents'].get(name, [])]
    ctx['prev'] = ctx['next'] = None
    ctx['address'], ctx['repository'] = app.course['address'], app.course['repository']
    ctx['metatags'] = re.sub(r'<meta name="viewport"[^>]*>', '', ctx.get('metatags', ''))
    if name == '404' and ctx['address']: # It is shown at any address
        ctx['metatags'] += f'<base href="{ctx["address"]}/">'
    if name.startswith('api/') and 'body' in ctx: # A long name breaks behind its points
        ctx['body'] = re.sub(r'<h1>.*?</h1>', dotted, ctx['body'], count=1, flags=re.S)
    ctx['nav'] = [dict(link=pathto(doc), title=title, current=here(app, name, doc, places))
                  for doc, title, places in app.course['nav']]
    place = app.course['places'].get(name, '').partition(' · ')[0]
    if place and place != ctx.get('title'): # Behind the title, in the window
        ctx['docstitle'] = f'{place} · {ctx["docstitle"]}'
    if name == 'index': ctx['docstitle'] = 'deep learning and audits, each taught by the other'
    ctx['course_sidebar'] = lambda: sidebar(app, name, pathto)


def dotted(match): return re.sub(r'(?<=[a-z])\.(?=[a-z_]+[.<])', '.<wbr/>', match[0])


def here(app, name, doc, places):
    return name == doc or any(name.startswith(p) for p in places)


def sidebar(app, name, pathto):
    "The whole course, the part that is open unfolded; of the library the part that is open"
    which = dict(api='library', commands='program').get(name.partition('/')[0], 'tree')
    tree = app.course[which]
    lines = []
    for part in tree:
        inside = any(name == p['doc'] for p in [*part['pages'], *part['rooms']])
        inside |= name == part['doc'] or which == 'program'
        if part.get('rule'): lines.append(f'<li class="rule">{html.escape(part["rule"])}</li>')
        number = f'<span class="number">{part["number"]}</span>' if part['number'] else ''
        items = ''.join(link(p, name, pathto) for p in part['pages'])
        if part['rooms'] and inside:
            rooms = ''.join(link(p, name, pathto) for p in part['rooms'])
            open_ = ' open' if any(p['doc'] == name for p in part['rooms']) else ''
            items += (f'<li><details class="rooms"{open_}><summary>Engine rooms: '
                      f'plumbing ({len(part["rooms"])})</summary><ul>{rooms}</ul></details></li>')
        head = link(dict(doc=part['doc'], title='Overview'), name, pathto)
        lines.append(f'<li><details{" open" if inside else ""}><summary>{number}'
                     f'{html.escape(part["title"])}</summary><ul>{head}{items}</ul></details></li>')
    return f'<ul class="course">{"".join(lines)}</ul>'


def link(page, name, pathto):
    mark = ' aria-current="page"' if page['doc'] == name else ''
    return f'<li><a href="{pathto(page["doc"])}"{mark}>{html.escape(page["title"])}</a></li>'


def setup(app):
    app.add_html_math_renderer('mathml', (inline, None), (block, None))
    app.connect('builder-inited', load)
    app.connect('html-page-context', context, priority=400)
    return dict(version='1', parallel_read_safe=True, parallel_write_safe=True)
