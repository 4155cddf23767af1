"A page as a browser reads it: which elements, with which attributes, and which text"
from html.parser import HTMLParser


class Markup(HTMLParser):
    "Just enough of a browser"
    def __init__(self, page):
        super().__init__()
        self.elements, self.text = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs): self.elements.append((tag, dict(attrs)))
    def handle_data(self, data): self.text.append(data)
    def all(self, *tags): return [a for t, a in self.elements if t in tags]
