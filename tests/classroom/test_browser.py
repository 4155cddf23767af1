"A learner in JupyterLab, in a real browser: a blank, a mistake, the answer, progress that moves"
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from dlcourse.classroom.editions import IMPORTED
from dlcourse.classroom.lessons import find_exercise
from dlcourse.classroom.progress import progress
from dlcourse.classroom.start import start
from dlcourse.classroom.workspace import page_of

NAME = 'causal_mask'
BROWSER = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))),
               None)
DRIVER = shutil.which('chromedriver')
WITHIN = 300 # Seconds for a kernel to start and import torch on a busy machine


@pytest.fixture
def folder(tmp_path):
    "A workspace with one lesson"
    for module in ('torch', 'matplotlib', 'jupyterlab', 'selenium'):
        pytest.importorskip(module,
                            reason=f"{module} is not installed: pip install 'dlcourse[dev]'")
    if not BROWSER:
        pytest.skip("Chromium is not installed: apt-get install chromium chromium-driver")
    if not DRIVER:
        pytest.skip("Chromium's driver is not installed: apt-get install chromium-driver")
    return start(tmp_path/'work', lesson='attention').folder


@pytest.fixture
def server(folder, tmp_path):
    "The address of a JupyterLab of its own, without settings, kernels and history of the user"
    with socket.socket() as s: s.bind(('127.0.0.1', 0)); port = s.getsockname()[1]
    home, token = tmp_path/'home', secrets.token_hex(16)
    quiet = home/'settings'/'@jupyterlab'/'apputils-extension'/'notification.jupyterlab-settings'
    quiet.parent.mkdir(parents=True)
    quiet.write_text(json.dumps(dict(fetchNews='false', checkForUpdates=False)))
    env = {k: v for k, v in os.environ.items() if not k.startswith(('JUPYTER', 'IPYTHON'))} | dict(
        HOME=str(home), JUPYTER_CONFIG_DIR=str(home/'config'), JUPYTER_DATA_DIR=str(home/'data'),
        JUPYTER_RUNTIME_DIR=str(home/'runtime'),
        JUPYTERLAB_SETTINGS_DIR=str(home/'settings'), JUPYTER_NO_CONFIG='1',
        IPYTHONDIR=str(home/'ipython'), PYTHONPATH=os.pathsep.join(filter(None, sys.path)),
        MPLBACKEND='agg', JUPYTER_TOKEN=token, PATH='/usr/bin:/bin')
    words = [sys.executable, '-c', 'from dlcourse.cli.app import main; main()', 'lab', str(folder),
             '--no-browser', f'--port={port}']
    with open(tmp_path/'lab.log', 'w') as log, subprocess.Popen(words, env=env, cwd=folder,
                                                                stdout=log, stderr=log) as lab:
        try:
            for _ in range(3000): # Five minutes, on a machine that has other things to do
                if lab.poll() is not None:
                    pytest.fail(f"JupyterLab stopped: {(tmp_path/'lab.log').read_text()[-2000:]}")
                try:
                    urllib.request.urlopen(f'http://127.0.0.1:{port}/api?token={token}',
                                           timeout=1).close()
                    break
                except OSError: time.sleep(.1)
            yield f'http://127.0.0.1:{port}', token
        finally:
            lab.terminate()
            try: lab.wait(15)
            except subprocess.TimeoutExpired: lab.kill()


@pytest.fixture
def browser(tmp_path, server):
    "A headless Chromium, driven by the driver that is installed with it"
    from selenium import webdriver
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    own = f'--user-data-dir={tmp_path/"chromium"}'
    for word in ('--headless=new', '--no-sandbox', '--disable-dev-shm-usage', '--disable-gpu',
                 '--window-size=1300,1600', own):
        options.add_argument(word)
    driver = webdriver.Chrome(options=options,
                              service=webdriver.ChromeService(executable_path=DRIVER))
    try: yield driver
    finally: driver.quit()


class Page:
    "A notebook in JupyterLab, worked with by mouse and keyboard"
    def __init__(self, browser, folder, page, server):
        address, token = server
        self.browser, self.path = browser, page
        browser.get(f'{address}/lab/tree/{page.relative_to(folder)}?token={token}&reset')
        self.sources = [''.join(c['source'])
                        for c in json.loads(page.read_text(encoding='utf-8'))['cells']]
        self.wait(lambda: [x for x in self.find('.jp-Notebook-ExecutionIndicator')
                           if x.get_attribute('data-status') == 'idle'], "no kernel started")

    def wait(self, condition, message):
        "What a condition gives as soon as it gives something"
        from selenium.common.exceptions import WebDriverException
        from selenium.webdriver.support.ui import WebDriverWait
        return WebDriverWait(self.browser, WITHIN, .1,
                             [WebDriverException, IndexError]).until(lambda _: condition(), message)

    def find(self, selector, inside=None):
        return (inside or self.browser).find_elements('css selector', selector)

    def cell(self, says):
        "The cell that says this, if it is there: JupyterLab fills a page from the top"
        place = next(i for i, s in enumerate(self.sources) if says in s)
        return self.find('.jp-NotebookPanel .jp-Notebook .jp-Cell')[place]

    def press(self, *keys):
        from selenium.webdriver import ActionChains
        ActionChains(self.browser).send_keys(*keys).perform()

    def chord(self, key, letter):
        from selenium.webdriver import ActionChains
        ActionChains(self.browser).key_down(key).send_keys(letter).key_up(key).perform()

    def enter(self, says):
        "Click into the cell that says this"
        def focused():
            cell = self.cell(says)
            self.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", cell)
            for bar in self.find('.jp-Placeholder-contentContainer', cell): bar.click()
            self.find('.cm-content', cell)[0].click()
            return 'cm-focused' in self.find('.cm-editor', cell)[0].get_attribute('class')
        self.wait(focused, f"the cell with {says!r} cannot be written in")

    def run(self, says):
        "Shift+Enter in the cell that says this, until it is done"
        from selenium.webdriver import Keys
        self.enter(says)
        def number(): return self.find('.jp-InputPrompt', self.cell(says))[0].text.strip('[]: ')
        before = number()
        self.chord(Keys.SHIFT, Keys.ENTER)
        self.wait(lambda: number().isdigit() and number() != before,
                  f"the cell with {says!r} did not finish")

    def replace_last_line(self, says, text):
        "Type over the last line of a cell"
        from selenium.webdriver import Keys
        self.enter(says)
        self.chord(Keys.CONTROL, Keys.END)
        self.chord(Keys.SHIFT, Keys.HOME)
        self.press(text)

    def check(self, outcome):
        "Run the line that checks; the words of its table, once it says this"
        says = f'check("{NAME}")'
        self.run(says)
        return self.wait(lambda: self.find(f'.dlcourse-result[data-outcome="{outcome}"]',
                                           self.cell(says)),
                                           f"no result that says {outcome!r}")[0].text

    def add_below(self, says, text):
        "A new cell below the one that says this, with a line in it that is run"
        from selenium.webdriver import Keys
        self.enter(says)
        place = next(i for i, s in enumerate(self.sources) if says in s)
        self.press(Keys.ESCAPE)
        self.press('b')
        self.sources.insert(place + 1, text)
        self.press(Keys.ENTER)
        self.press(text)
        self.run(text)
        return self.cell(text)

    def save(self):
        from selenium.webdriver import Keys
        before = self.path.stat().st_mtime_ns
        self.chord(Keys.CONTROL, 's')
        self.wait(lambda: self.path.stat().st_mtime_ns != before, "the page was not saved")


def stands(folder): return next(s for s in progress(folder).exercises if s.exercise.endswith(NAME))


@pytest.mark.slow
def test_a_learner_solves_an_exercise(folder, server, browser):
    exercise = find_exercise(NAME)
    page = Page(browser, folder, page_of('transformers.attention', folder), server)
    guide = page.wait(lambda: page.cell('**This page.**').text, "there is no guide")
    assert NAME in guide and 'minutes of reading' in guide and 'Stuck?' in guide
    for says in ('#| default_exp', 'import torch.nn.functional', IMPORTED):
        assert page.wait(lambda says=says: page.find('.jp-Placeholder-contentContainer',
                                                     page.cell(says)), "it is not folded")
        page.run(says)
    blank = f'Your turn: {NAME}'

    page.run(blank)
    assert "still blank" in page.check('not tried')
    assert stands(folder).state == 'not tried'

    page.replace_last_line(blank, 'return torch.ones(n, n).bool().triu()')
    page.run(blank)
    said = page.check('failed')
    assert '✗' in said and "the triangle is flipped" in said
    assert "is the course's own from here; yours is mine.causal_mask" in said
    line = f'hint("{NAME}")'
    assert said.endswith(f'Next: {line} ({len(exercise.hints)} left)')
    assert '<code>mine.causal_mask</code>' in page.cell(says := f'check("{NAME}")').get_attribute(
        'innerHTML')
    asked = f'{line} # one'
    found = page.add_below(says, asked)
    given = page.wait(lambda: page.find('.jp-RenderedMarkdown', found), "no hint came")[0]
    assert given.text.startswith('Hint 1 of ')
    found = page.add_below(asked, f'!dlcourse hint {NAME}')
    assert page.wait(lambda: 'Hint 2 of ' in found.text, "the program is not found")
    drawing = 'from dlcourse.core.diagrams import Diagram; d = Diagram(); d.box("x"); d.show("Box")'
    found = page.add_below(asked, drawing)
    assert page.wait(lambda: page.find('img[alt="Box"]', found), "the picture has no text")
    assert stands(folder).hints == 2
    assert (stands(folder).state, stands(folder).attempts) == ('failed', 1)

    page.replace_last_line(blank, exercise.source.splitlines()[-1].strip())
    page.run(blank)
    said = page.check('passed')
    assert '✗' not in said and said.count('✓') == 2
    assert (stands(folder).state, stands(folder).attempts) == ('passed', 2)

    page.save()
    code = (
        'from dlcourse.classroom.help import check_saved\n'
        'from dlcourse.classroom.progress import progress\n'
        f'print(progress())\nprint(check_saved("{NAME}").outcome)')
    env = os.environ | dict(PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    shown = subprocess.run([sys.executable, '-c', code], cwd=folder, env=env, capture_output=True,
                           text=True)
    assert 'causal_mask  ✓ passed  2' in shown.stdout
    assert shown.stdout.endswith('\npassed\n'), shown.stderr

    found = page.add_below(says, f'reset("{NAME}") # anew')
    assert page.wait(lambda: f'Your turn: {NAME}' in found.text, "the blank did not come")
    assert (stands(folder).state, stands(folder).resets) == ('not tried', 1)
    kept, = (folder/'.dlcourse'/'attic').glob('*causal_mask.py')
    assert 'tril' in kept.read_text(encoding='utf-8')
    found = page.add_below(says, 'progress() # so far')
    assert page.wait(lambda: f'0 of {len(progress(folder).exercises)}' in found.text, "no table")
