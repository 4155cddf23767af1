"The glossary: terms in bold at their first use, with the sentence that says what they are"
import re
import tomllib
from dataclasses import dataclass

from course import ROOT, Page, Part
from lesson_pages import BLOCK, slug

from dlcourse.classroom.cells import BELONGING, cells_of

BOLD = re.compile(r'\*\*([^*\n]{2,48})\*\*')
CODE = re.compile(r'^```.*?^```|^\$\$.*?\$\$|^\|.*?$|^#.*?$', re.M | re.S)
PARAGRAPH = re.compile(r'\n\s*\n|\n(?=\s*(?:[-*]|\d+\.)\s)')
FORMULA = re.compile(r'(?<=[:,])\s*\$\$(.+?)\$\$', re.S)
PLACE = re.compile(r'⟦(\d+)⟧')
SENTENCE = re.compile(r'(?<=[.!?])(?<! al\.)\s+(?=[A-Z*`“"(])|(?<=[.!?]”)\s+(?=[A-Z])')
WORDS = tomllib.loads((ROOT/'site'/'words.toml').read_text('utf-8'))['words']
TABLE = tomllib.loads((ROOT/'site'/'parts.toml').read_text('utf-8'))
NO_TERMS, ELSEWHERE = set(TABLE['no_terms']), set(TABLE['elsewhere'])
GOES_ON = set(TABLE['goes_on']) # The sentence behind it says what the thing is
# Openings that lean on the sentence before
LEANS = re.compile(
    r'[a-z]|(That|Several|This|These|Those|It|Its|They|Their|Both|Such|So|Here|Mostly|Another|Better|Simpler|'
    r'Beside it|One|(The|A) (second|other|first|last|third|fourth|same|older|simplest|difference)|'
    r'Two (of them|ways)|A \w+ is such)\b'
    r'|.*\b((do so|does so|avoids both|call it|does|mends it)\b *[^ ]{0,20}[.:]|makes that\b'
    r'|(is|are|for) (this|such)\b|between the two\.)')
PLAIN = re.compile(r"[A-Za-z][\w’'–-]*( [\w’'–-]+){0,3}( \([A-Za-z][\w -]*\))?")
LONGEST = 420


@dataclass(frozen=True)
class Term:
    "A word of the course, where it was first used"
    word: str
    id: str
    sentence: str
    page: Page


def terms_of(parts:list[Part])->list[Term]:
    "The terms of all lessons, each at its first use"
    found, ids = {}, set()
    for page in (p for part in parts for p in part.lessons):
        for cell in cells_of(page.nb):
            if cell.kind != 'markdown' or cell.about('hide', *BELONGING): continue
            kept = []
            def placed(match, kept=kept):
                kept.append(' '.join(match[1].split()))
                return f' ⟦{len(kept) - 1}⟧'
            source = CODE.sub('', FORMULA.sub(placed, cell.source))
            for paragraph in PARAGRAPH.split(source):
                for word, sentence in bold_in(paragraph, page.id):
                    sentence = PLACE.sub(lambda m, kept=kept: f'\n\n$$\n{kept[int(m[1])]}\n$$\n\n',
                                         sentence).strip()
                    key = word.lower().removesuffix('s')
                    id = f'term-{slug(word)}'
                    if key in found or id in ids: continue
                    if f'{word.lower()} @ {page.id}' in ELSEWHERE: continue
                    ids.add(id)
                    found[key] = Term(word, id, sentence, page)
    return sorted(found.values(), key=lambda t: (t.word.lower(), t.word))


def words_of(parts:list[Part], terms:list[Term])->dict[str, list[str]]: # Page → words
    "What leads to a page in the index and in the search: words of the table, and its own terms"
    pages = [p for part in parts for p in part.pages]
    taken = {w.lower().removesuffix('s') for w in (*WORDS, *(p.title for p in pages))}
    found = {p.id: [w for w, ids in WORDS.items() if p.id in ids] for p in pages}
    for term in terms:
        if term.word.lower().removesuffix('s') not in taken: found[term.page.id].append(term.word)
    return found


def bold_in(paragraph:str, page:str=''):
    "Terms in a paragraph, with their sentences"
    text = ' '.join(re.sub(r'^(\s*[-*>]|\s*\d+\.)\s', '', paragraph.strip()).split())
    sentences = SENTENCE.split(text)
    behind = [*sentences[1:], '']
    for before_it, sentence, after_it in zip(['', *sentences], sentences, behind, strict=False):
        for match in BOLD.finditer(sentence):
            word, before, after = match[1].strip(), sentence[:match.start()], sentence[match.end():]
            if not PLAIN.fullmatch(word) or word.lower() in NO_TERMS: continue
            if not before.strip() and after.lstrip()[:1] in (':', ',', ''): continue # It runs in
            if not before.strip() and len(word.split()) > 2: continue
            if before.rstrip()[-1:] == '|' or after.lstrip()[:1] == '|': continue
            if sentence.count('**') > 8 or len(sentence) > LONGEST or len(sentence) < 25: continue
            whole = f'{before_it} {sentence}'.strip() if LEANS.match(sentence) else sentence
            if whole.startswith('(') and ')' not in whole: whole = whole[1:]
            if whole.count(')') > whole.count('('): whole = re.sub(r'^.*?[.!?]\)\s', '', whole)
            if f'{word.lower()} @ {page}' in GOES_ON: whole = f'{whole} {after_it}'
            if len(whole) > LONGEST: whole = sentence
            if whole.startswith('the '): whole = f'T{whole[1:]}'
            if whole[:1].islower(): continue # Its beginning is elsewhere
            yield word, whole


def sentence_for(term:Term, pointed)->str:
    "The sentence as Markdown of the glossary"
    parts = BLOCK.split(pointed(term.sentence))
    def kept(match): return match[0] if match[1] == term.word else match[1]
    parts[::2] = [re.sub(r'\*\*(.+?)\*\*', kept, p) for p in parts[::2]]
    return ''.join(parts)
