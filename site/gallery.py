"A page of pictures: every lesson by the figure that shows most"
import html
import re
from dataclasses import dataclass

from course import Part
from front import tidy
from lesson_pages import Made, marked, meta, png_size, raw

FIGURE = re.compile(r'<img src="\.\./(figures/[^"]+)" alt="([^"]*)"')
SHAPES = (1.1, 3.2) # Width over height: what fits a card


@dataclass(frozen=True)
class Picture:
    "A figure of a page"
    file: str
    alt: str    # As HTML has it
    width: int
    height: int


def best(made:Made)->Picture|None:
    "The figure with most in it: the largest file among those of a card's shape"
    found = []
    for file, alt in FIGURE.findall(made.text):
        if not alt or file not in made.figures: continue
        data = made.figures[file]
        width, height = png_size(data)
        fits = SHAPES[0] <= width/height <= SHAPES[1]
        found.append((fits, len(data), file, Picture(file, alt, width, height)))
    return max(found)[-1] if found else None


def gallery_page(parts:list[Part], shown:dict[str, Picture|None])->str:
    "Markdown of the page"
    lines = [*meta('Every lesson by one of its figures'), '# Gallery', '',
             raw('<p class="claim">Every lesson by one of its figures, each drawn by the code '
                 'beside it. A picture leads to its lesson.</p>'), '']
    for part in parts:
        cards = [card(p, shown[p.doc]) for p in part.lessons if shown.get(p.doc)]
        if not cards: continue
        lines += [f'## {part.title}', '', raw(f'<ul class="gallery">{"".join(cards)}</ul>'), '']
    return '\n'.join(lines)


def card(page, picture:Picture)->str:
    return (f'<li><a href="{page.doc}.html"><img src="{picture.file}" alt="{picture.alt}" '
            f'width="{picture.width}" height="{picture.height}" loading="lazy">'
            f'<strong>{html.escape(page.title)}</strong></a>'
            f'<span>{marked(tidy(page.claim))}</span></li>')
