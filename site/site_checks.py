"What must hold for every page of the built site; read with the standard library, in seconds"
import json
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LARGEST = 1_000_000
LOADS = {'script': 'src', 'img': 'src', 'iframe': 'src', 'source': 'src', 'audio': 'src',
         'video': 'src', 'embed': 'src', 'object': 'data', 'input': 'src'}
RELS = {'stylesheet', 'icon', 'preload', 'prefetch', 'modulepreload', 'manifest', 'preconnect'}
EMPTY_ALT = re.compile(r'(figure|image|picture|plot|img|png|output|untitled)?\s*\d*\.?', re.I)
DIRECTIVE = re.compile(r'#\|\s*(export|exports|hide|exercise|check|wrong|hint|quiz|default_exp|'
                       r'scaffold|eval|target)\b')
STYLE = re.compile(r'url\(\s*["\']?(https?:|//)|@import\s+["\']?(https?:|//)')
# Pages that tell how notebooks are written show directives on purpose
ABOUT_DIRECTIVES = ('classroom/', 'grading/', 'api/classroom/', 'api/grading/', 'cli/', 'api/cli/')


class Page(HTMLParser):
    "What a page links to, what it loads, which places it has"

    def __init__(self, text:str):
        super().__init__(convert_charrefs=True)
        self.links, self.loads, self.ids, self.faults = [], [], Counter(), []
        self.words, self.inside, self.h1, self.title = [], [], 0, ''
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        a = dict(attrs)
        for key in ('id', 'name') if tag == 'a' else ('id',):
            if a.get(key): self.ids[a[key]] += 1
        if tag == 'a' and a.get('href'): self.links.append(a['href'])
        if tag == 'h1': self.h1 += 1
        if tag in LOADS and a.get(LOADS[tag]): self.loads.append(a[LOADS[tag]])
        if tag == 'link' and a.get('href') and RELS & set((a.get('rel') or '').split()):
            self.loads.append(a['href'])
        for value in (a.get('srcset') or '').split(','):
            if value.strip(): self.loads.append(value.split()[0])
        if tag == 'img': self.look_at(a)
        if tag in ('script', 'style', 'title'): self.inside.append(tag)

    def look_at(self, a):
        "A picture says what it shows, or that it is only there to be pretty"
        if 'alt' not in a: self.faults.append(f"a picture without alt: {a.get('src', '')[:60]}")
        elif a['alt'] == '' and 'favicon' in a.get('src', ''): pass
        elif EMPTY_ALT.fullmatch((a['alt'] or '').strip()):
            source = a.get('src', '')[:60]
            self.faults.append(f"the text {a['alt']!r} of a picture says nothing: {source}")

    def handle_endtag(self, tag):
        if self.inside and self.inside[-1] == tag: self.inside.pop()

    def handle_data(self, data):
        if self.inside and self.inside[-1] == 'title': self.title += data
        elif not self.inside: self.words.append(data)


def html_pages(root:Path)->dict[str, Page]:
    return {p.relative_to(root).as_posix(): Page(p.read_text('utf-8'))
            for p in sorted(root.rglob('*.html')) if '_static' not in p.relative_to(root).parts}


def is_foreign(address:str)->bool:
    "Is it another host's?"
    parts = urlsplit(address)
    return parts.scheme in ('http', 'https', 'ftp', 'ws', 'wss') or bool(parts.netloc)


def faults(root:Path)->list[str]:
    "One line for each thing that is wrong"
    pages, found = html_pages(root), []
    files = {p.relative_to(root).as_posix() for p in root.rglob('*') if p.is_file()}
    for name, page in pages.items():
        said = [*page.faults, *of_links(name, page, pages, files), *of_loads(name, page, files)]
        size = (root/name).stat().st_size
        if size >= LARGEST: said.append(f"{size/1e6:.2f} MB, more than 1 MB")
        if page.h1 != 1 and not name.startswith(('sample/', 'genindex')):
            said.append(f"{page.h1} headings of the first order")
        text = ''.join(page.words)
        if not name.startswith(ABOUT_DIRECTIVES) and (m := DIRECTIVE.search(text)):
            said.append(f"a raw directive: {text[m.start():m.end() + 20]!r}")
        twice = [i for i, n in page.ids.items() if n > 1]
        if twice: said.append(f"two places of one name: {', '.join(twice[:4])}")
        found += [f'{name}: {what}' for what in said]
    named = [p.title for n, p in pages.items() if not n.startswith(('api/', 'sample/', 'cli/'))]
    titles = Counter(named)
    found += [f"two pages are called {t!r}" for t, n in titles.items() if n > 1]
    for path in root.rglob('*.css'):
        if STYLE.search(path.read_text('utf-8', 'replace')):
            found.append(f"{path.relative_to(root)} loads from elsewhere")
    if not (root/'objects.inv').exists(): found.append("there is no objects.inv")
    return found


def target_of(name:str, address:str)->tuple[str, str]: # File, fragment
    "Where a relative address leads"
    parts = urlsplit(address)
    if not parts.path: return name, unquote(parts.fragment)
    where = [] if parts.path.startswith('/') else name.split('/')[:-1]
    for step in unquote(parts.path).split('/'):
        if step == '..': where = where[:-1] if where else ['<above the site>']
        elif step not in ('', '.'): where.append(step)
    path = '/'.join(where)
    if parts.path.endswith('/'): path = f'{path}/index.html'.lstrip('/')
    return path, unquote(parts.fragment)


def of_links(name, page, pages, files):
    for address in page.links:
        if is_foreign(address) or address.startswith(('mailto:', 'data:', 'javascript:')): continue
        path, fragment = target_of(name, address)
        if path not in files: yield f"a link leads nowhere: {address}"
        elif fragment and path in pages and fragment not in pages[path].ids and fragment != 'top':
            yield f"a link leads to no such place: {address}"


def of_loads(name, page, files):
    for address in page.loads:
        if address.startswith('data:'): continue
        if is_foreign(address): yield f"it asks another host: {address}"
        elif target_of(name, address)[0] not in files: yield f"a file is missing: {address}"


def summary(root:Path)->str:
    "How large it is"
    pages = sorted(root.rglob('*.html'), key=lambda p: p.stat().st_size)
    files = [p for p in root.rglob('*') if p.is_file()]
    total = sum(p.stat().st_size for p in files)
    big = pages[-1]
    links = sum(len(p.links) for p in html_pages(root).values())
    return (f'{len(pages)} pages, {links} links, {total/1e6:.0f} MB in {len(files)} files; the '
            f'largest page {big.relative_to(root)} with {big.stat().st_size/1e3:.0f} kB')


if __name__ == '__main__':
    import sys
    print(json.dumps(faults(Path(sys.argv[1])), indent=1, ensure_ascii=False))
