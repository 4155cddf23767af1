"What Sphinx is told; what depends on the course is in course.json, which the converter writes"
import json
import os
from pathlib import Path

COURSE = json.loads((Path(__file__).parent/'course.json').read_text('utf-8'))
HERE = Path(os.environ['DLCOURSE_SITE'])

project = 'dlcourse'
author = 'The dlcourse authors'
project_copyright = 'The dlcourse authors, Apache-2.0'
version = release = COURSE['version']
language = 'en'

extensions = ['myst_parser', 'sphinx_copybutton', 'sphinx_parts']
source_suffix = {'.md': 'markdown'}
root_doc = 'index'
templates_path = [str(HERE/'templates')]
html_static_path = [str(HERE/'static')]
html_extra_path = ['../extra']
exclude_patterns = []

myst_enable_extensions = ['dollarmath', 'attrs_block']
myst_heading_anchors = 4
myst_heading_slug_func = 'sphinx_parts.heading_slug'
myst_dmath_double_inline = True
suppress_warnings = ['myst.header']
html_math_renderer = 'mathml'

add_module_names = False
python_use_unqualified_type_names = True
toc_object_entries_show_parents = 'hide'
highlight_language = 'python'
pygments_style = 'default'
smartquotes = False
copybutton_selector = 'div.highlight pre'
copybutton_exclude = '.linenos, .gp, .go'

html_theme = 'pydata_sphinx_theme'
html_title = 'dlcourse'
html_short_title = 'dlcourse'
html_favicon = str(HERE/'static'/'favicon.svg')
html_css_files = ['site.css']
html_search_scorer = str(Path(__file__).parent/'scorer.js')
html_baseurl = COURSE['address'] and COURSE['address'] + '/'
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_last_updated_fmt = None
html_domain_indices = False
html_use_index = True
WIDE = ('index', 'toolkit', 'teach', 'results', 'gallery', 'genindex', 'search', '404')
html_sidebars = {'**': ['site-sidebar.html'], **dict.fromkeys(WIDE, [])}
html_theme_options = dict(
    logo=dict(text='dlcourse', image_light=str(HERE/'static'/'favicon.svg'),
              image_dark=str(HERE/'static'/'favicon.svg'), alt_text=''),
    navbar_start=['navbar-logo'], navbar_center=['site-nav'],
    navbar_end=['theme-switcher'], navbar_persistent=['site-search'],
    navbar_align='left', header_links_before_dropdown=8,
    secondary_sidebar_items=['page-toc'], article_header_start=['breadcrumbs'],
    article_footer_items=['site-ways'], show_prev_next=False,
    footer_start=['site-footer'], footer_end=[], back_to_top_button=False,
    show_toc_level=1, show_nav_level=1, search_bar_text='Search lessons and library',
    pygments_light_style='a11y-high-contrast-light', pygments_dark_style='a11y-high-contrast-dark',
)
