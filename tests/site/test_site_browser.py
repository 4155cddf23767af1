"The built site in a real browser, from its folder: accessibility, width, search, questions"
import hashlib
import re
import shutil
import subprocess
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import quote

import pytest
from classroom.browsing import LACKS, browser

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT/'_out'/'site'/'html'
AXE, VERSION = ROOT/'_out'/'axe', '4.14.1'
AXE_SHA256 = '29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c'
KINDS = {
    'landing': 'index.html', 'map': 'course.html', 'part': 'transformers/index.html',
    'lesson': 'transformers/attention.html', 'statistics': 'fairness/uncertainty.html',
    'formulas': 'generative/diffusion.html',
    'engine room': 'transformers/search.html', 'platform': 'classroom/checks.html',
    'module': 'api/transformers/attention.html', 'modules': 'api/evaluation/index.html',
    'command': 'commands/audit.html', 'results': 'results.html', 'glossary': 'glossary.html',
    'gallery': 'gallery.html', 'toolkit': 'toolkit.html', 'teach': 'teach.html',
    'search': 'search.html', 'changes': 'changes.html'}
LOOKS = {'light': (1280, 'light'), 'dark': (1280, 'dark'), 'phone': (360, 'light')}
RUN = '''
const done = arguments[arguments.length - 1];
for (const d of document.querySelectorAll('article details')) {
    d.removeAttribute('name');
    d.open = true;
}
const told = v => `${v.id} (${v.impact}): ` + v.nodes.slice(0, 3).map(
    n => n.html.slice(0, 120) + ' ' + n.any.map(a => a.message).join('; ')).join(' | ');
axe.run(document, {iframes: false, resultTypes: ['violations']}).then(
    found => done(found.violations.map(told)));
'''
WIDE = '''
const width = document.documentElement.clientWidth;
const all = [...document.querySelectorAll('main *')];
const framed = 'pre, figure, .frame, .paper, .math, .pst-scrollable-table-container, .letters';
const cut = all.filter(e => !e.closest(framed) && e.checkVisibility()
    && e.getBoundingClientRect().right > width + 1);
return cut.slice(0, 5).map(e => e.outerHTML.slice(0, 120));
'''


@pytest.fixture(scope='module')
def driver(tmp_path_factory):
    "Chromium, on the site that `make site` made"
    pytest.importorskip('selenium')
    for program, lacks in LACKS.items():
        if not program: pytest.skip(lacks)
    if not (SITE/'index.html').exists(): pytest.skip("the site is not built here: make site")
    with browser(tmp_path_factory.mktemp('browser')) as found: yield found


@pytest.fixture(scope='module')
def axe(tmp_path_factory):
    "The rules of axe-core, fetched once by npm where it is to be had"
    path = AXE/'package'/'axe.min.js'
    if not path.exists() and shutil.which('npm'):
        AXE.mkdir(parents=True, exist_ok=True)
        fetch = (f'npm pack --silent --fetch-retries=0 --fetch-timeout=20000 axe-core@{VERSION}'
                 f' && tar xzf axe-core-{VERSION}.tgz')
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(fetch, shell=True, cwd=AXE, capture_output=True, timeout=90)
    if not path.exists(): pytest.skip(f"axe-core is not here: npm pack axe-core@{VERSION}")
    text = path.read_bytes()
    assert hashlib.sha256(text).hexdigest() == AXE_SHA256
    return text.decode('utf-8')


def opened(driver, page, look='light', query=''):
    "A page, at a width and in a theme"
    width, theme = LOOKS[look]
    driver.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', dict(
        width=width, height=900, deviceScaleFactor=1, mobile=width < 500))
    driver.get(f'{(SITE/page).as_uri()}{query}')
    still = "*, *::before, *::after { transition: none !important; animation: none !important; }"
    driver.execute_script(f"document.head.append(Object.assign(document.createElement('style'), "
                          f"{{textContent: '{still}'}}));"
                          f"document.documentElement.dataset.theme = '{theme}'")
    return driver


@pytest.mark.slow
@pytest.mark.xdist_group('site')
@pytest.mark.parametrize('look', LOOKS)
@pytest.mark.parametrize('kind', KINDS)
def test_each_kind_of_page_keeps_the_rules(driver, axe, kind, look):
    opened(driver, KINDS[kind], look)
    driver.execute_script(axe)
    driver.set_script_timeout(120)
    assert driver.execute_async_script(RUN) == []


@pytest.mark.slow
@pytest.mark.xdist_group('site')
@pytest.mark.parametrize('kind', KINDS)
def test_no_page_scrolls_sideways_on_a_phone(driver, kind):
    assert opened(driver, KINDS[kind], 'phone').execute_script(WIDE) == []


@pytest.mark.slow
@pytest.mark.xdist_group('site')
def test_the_longest_names_of_the_library_fit_a_phone(driver):
    "The module pages with the longest words that have no blank, and those with the longest names"
    def longest(page):
        words = re.findall(r'class="pre">([^<]*)<', page.read_text('utf-8'))
        return max(map(len, words), default=0)
    pages = sorted((SITE/'api').glob('*/*.html'), key=longest)[-8:]
    pages += sorted((SITE/'api').glob('*/*.html'), key=lambda p: len(p.stem))[-4:]
    cut = {p.name: opened(driver, p.relative_to(SITE), 'phone').execute_script(WIDE) for p in pages}
    assert not any(cut.values()), cut


@pytest.mark.slow
@pytest.mark.xdist_group('site')
def test_search_works_from_the_folder(driver):
    from selenium.webdriver.support.ui import WebDriverWait
    opened(driver, 'search.html', query='?q=attention')
    def found(d): return [a.text for a in d.find_elements('css selector', '#search-results li a')]
    words = WebDriverWait(driver, 60).until(lambda d: found(d) or None)
    assert any('ttention' in word for word in words)


ASKED = { # What somebody types → a page that must be first or second
    'Local Law 144': 'fairness/local_law', 'bias audit': 'fairness/local_law',
    'disparate impact': 'fairness/impact', 'adverse impact': 'fairness/impact',
    'four fifths': 'fairness/four_fifths', 'four-fifths rule': 'fairness/four_fifths',
    'GDPR': 'privacy/unlearning', 'equal pay': 'fairness/pay',
    'demographic parity': 'fairness/groups', 'equalized odds': 'fairness/groups',
    'backpropagation': 'foundations/autograd', 'overfitting': 'training/regularization',
    'gradient descent': 'foundations/optimizers', 'learning rate': 'foundations/optimizers',
    'softmax': 'foundations/losses', 'CNN': 'vision/convolution', 'RNN': 'sequences/recurrent',
    'LSTM': 'sequences/recurrent', 'VAE': 'generative/autoencoders',
    'GAN': 'generative/adversarial', 'PPO': 'reinforcement/policies',
    'RLHF': 'reinforcement/preferences', 'word2vec': 'graphs/networks',
    'attention': 'transformers/attention', 'convolution': 'vision/convolution',
    'confidence interval': 'evaluation/intervals', 'cross-validation': 'evaluation/splits',
    'object detection': 'vision/detection', 'differential privacy': 'privacy/mechanisms',
    'membership inference': 'privacy/membership', 'transfer learning': 'paradigms/transfer',
    'federated learning': 'federated/averaging', 'RAG': 'transformers/assistant',
    'large language model': 'transformers/gpt', 'confusion matrix': 'evaluation/metrics',
    'impostor': 'vision/verification', 'calibration': 'fairness/calibration'}


@pytest.mark.slow
@pytest.mark.xdist_group('site')
@pytest.mark.parametrize('asked', ASKED)
def test_search_finds_what_was_asked_for(driver, asked):
    from selenium.webdriver.support.ui import WebDriverWait
    opened(driver, 'search.html', query=f'?q={quote(asked)}')
    found = 'return [...document.querySelectorAll("#search-results li a")].map(a => a.pathname)'
    first = WebDriverWait(driver, 60).until(lambda d: d.execute_script(found)[:2])
    assert any(path.endswith(f'/{ASKED[asked]}.html') for path in first), first


@pytest.mark.slow
@pytest.mark.xdist_group('site')
def test_a_question_is_answered_on_the_page(driver):
    opened(driver, KINDS['lesson'])
    wrong, right = (driver.find_element('css selector', f'.quiz .answer.{kind}')
                    for kind in ('wrong', 'right'))
    for answer, says in ((wrong, 'No.'), (right, 'Right.')):
        driver.execute_script("arguments[0].querySelector('summary').click()", answer)
        assert says in answer.text
    assert not wrong.get_attribute('open'), "the first answer closes when another opens"


@pytest.mark.slow
@pytest.mark.xdist_group('site')
def test_formulas_are_mathml(driver):
    opened(driver, KINDS['lesson'])
    heights = driver.execute_script(
        "return [...document.querySelectorAll('math')].map(m => m.getBoundingClientRect().height)")
    assert len(heights) > 5 and max(heights) > 20 and not driver.find_elements(
        'css selector', 'script[src*=mathjax]')


@pytest.mark.slow
@pytest.mark.xdist_group('site')
@pytest.mark.parametrize('kind', ['landing', 'lesson', 'toolkit'])
def test_nothing_is_asked_of_another_host(driver, kind):
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *words): pass
    with ThreadingHTTPServer(('127.0.0.1', 0), partial(Quiet, directory=SITE)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        home = f'http://127.0.0.1:{server.server_port}/'
        driver.get(home + KINDS[kind])
        asked = driver.execute_script(
            "return performance.getEntriesByType('resource').map(e => e.name)")
        driver.get('about:blank')
        server.shutdown()
    assert len(asked) > 5 and all(name.startswith((home, 'data:')) for name in asked)


@pytest.mark.slow
@pytest.mark.xdist_group('site')
def test_figures_can_be_read_on_a_phone(driver):
    opened(driver, KINDS['statistics'], 'phone')
    wide = driver.execute_script(
        "return [...document.querySelectorAll('figure.wide')].map(f => "
        "[f.querySelector('img').clientWidth, f.clientWidth, f.scrollWidth])")
    assert wide and all(img >= 440 and scroll > frame for img, frame, scroll in wide)
    driver.find_element('css selector', 'figure.wide a').click()
    assert driver.current_url.endswith('.png')


@pytest.mark.slow
@pytest.mark.xdist_group('site')
def test_the_keyboard_reaches_answers_and_shows_where_it_is(driver):
    from selenium.webdriver.common.keys import Keys
    opened(driver, KINDS['lesson'])
    body = driver.find_element('css selector', 'body')
    body.send_keys(Keys.TAB)
    first = driver.switch_to.active_element
    assert 'Skip' in first.text
    summary = driver.find_element('css selector', '.quiz .answer.right > summary')
    previous = driver.find_element('css selector', '.quiz .answer > summary')
    driver.execute_script('arguments[0].focus()', previous)
    for _ in range(8):
        if driver.switch_to.active_element == summary: break
        driver.switch_to.active_element.send_keys(Keys.TAB)
    assert driver.switch_to.active_element == summary
    style = driver.execute_script('const s = getComputedStyle(arguments[0]);'
                                  'return [s.outlineStyle, s.outlineWidth]', summary)
    assert style == ['solid', '3px']
    summary.send_keys(Keys.ENTER)
    assert driver.execute_script('return arguments[0].parentElement.open', summary)


@pytest.mark.slow
@pytest.mark.xdist_group('site')
def test_nothing_moves_for_those_who_asked_for_it(driver):
    driver.execute_cdp_cmd('Emulation.setEmulatedMedia', dict(features=[
        dict(name='prefers-reduced-motion', value='reduce')]))
    driver.get((SITE/'index.html').as_uri())
    moving = driver.execute_script("return [...document.querySelectorAll('*')].filter(e => "
                                   "getComputedStyle(e).transitionDuration !== '0s').length")
    driver.execute_cdp_cmd('Emulation.setEmulatedMedia', dict(features=[]))
    assert moving == 0


@pytest.mark.slow
@pytest.mark.xdist_group('site')
def test_a_lesson_is_read_without_scripts(driver):
    driver.execute_cdp_cmd('Emulation.setScriptExecutionDisabled', dict(value=True))
    try:
        driver.get((SITE/KINDS['lesson']).as_uri())
        answer = driver.find_element('css selector', '.quiz .answer.right')
        answer.find_element('css selector', 'summary').click()
        assert answer.get_dom_attribute('open') is not None and 'Right.' in answer.text
        assert driver.find_elements('css selector', 'math')
    finally: driver.execute_cdp_cmd('Emulation.setScriptExecutionDisabled', dict(value=False))


@pytest.mark.slow
@pytest.mark.xdist_group('site')
def test_a_result_says_to_which_part_it_belongs(driver):
    from selenium.webdriver.support.ui import WebDriverWait
    opened(driver, 'search.html', query='?q=counting')
    def found(d): return [a.text for a in d.find_elements('css selector', '#search-results li a')]
    WebDriverWait(driver, 60).until(
        lambda d: 'Counting without guessing — Fairness · lesson' in found(d)[:5])
