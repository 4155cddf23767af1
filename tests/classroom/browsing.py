"A page of JupyterLab in a real browser, worked with by mouse and keyboard"
import json
import shutil
from contextlib import contextmanager

from classroom.labs import WITHIN

BROWSER = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))),
               None)
DRIVER = shutil.which('chromedriver')
LACKS = {
    BROWSER: "Chromium is not installed: apt-get install chromium chromium-driver",
    DRIVER: "Chromium's driver is not installed: apt-get install chromium-driver"}


@contextmanager
def browser(home, width=1300, height=1600):
    "A headless Chromium, driven by the driver that is installed with it"
    from selenium import webdriver
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for word in ('headless=new', 'no-sandbox', 'disable-dev-shm-usage', 'disable-gpu',
                 f'window-size={width},{height}', f'user-data-dir={home/"chromium"}'):
        options.add_argument(f'--{word}')
    service = webdriver.ChromeService(executable_path=DRIVER)
    driver = webdriver.Chrome(options=options, service=service)
    try: yield driver
    finally: driver.quit()


class Page:
    "A notebook in JupyterLab"
    def __init__(self, browser, folder, page, lab):
        self.browser, self.path = browser, page
        where = page.relative_to(folder).as_posix()
        browser.get(f'{lab.address}/lab/tree/{where}?token={lab.token}&reset')
        self.sources = [''.join(c['source'])
                        for c in json.loads(page.read_text(encoding='utf-8'))['cells']]
        self.idle("no kernel started")

    def idle(self, message="the kernel is still busy"):
        def state(): return [x.get_attribute('data-status') for x in self.find(
            '.jp-Notebook-ExecutionIndicator')]
        self.wait(lambda: 'idle' in state(), message)

    def wait(self, condition, message, within=WITHIN):
        "What a condition gives as soon as it gives something"
        return self.wait_on(self.browser, condition, message, within)

    @staticmethod
    def wait_on(browser, condition, message, within=WITHIN):
        from selenium.common.exceptions import WebDriverException
        from selenium.webdriver.support.ui import WebDriverWait
        faults = [WebDriverException, IndexError, ValueError] # Such as a file half written
        return WebDriverWait(browser, within, .1, faults).until(lambda _: condition(), message)

    def find(self, selector, inside=None):
        return (inside or self.browser).find_elements('css selector', selector)

    def place(self, says): return next(i for i, s in enumerate(self.sources) if says in s)

    def cell(self, says):
        "The cell that says this, if it is there: JupyterLab fills a page from the top"
        return self.find('.jp-NotebookPanel .jp-Notebook .jp-Cell')[self.place(says)]

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

    def check(self, name, outcome):
        "Run the line that checks; the words of its table, once it says this"
        says = f'check("{name}")'
        self.run(says)
        return self.wait(lambda: self.find(f'.dlcourse-result[data-outcome="{outcome}"]',
                                           self.cell(says)),
                         f"no result that says {outcome!r}")[0].text

    def add_below(self, says, text):
        "A new cell below the one that says this, with a line in it that is run"
        from selenium.webdriver import Keys
        self.enter(says)
        place = self.place(says)
        self.press(Keys.ESCAPE)
        self.press('b')
        self.sources.insert(place + 1, text)
        self.press(Keys.ENTER)
        self.press(text)
        self.run(text)
        return self.cell(text)

    def command(self, name, **args):
        "What a menu does, done by the page's own program"
        self.browser.execute_async_script(
            "const done = arguments[2]; window.jupyterapp.commands.execute(arguments[0], "
            "arguments[1]).then(() => done(), e => done(String(e)))", name, args)

    def text_of(self, says):
        "What stands in a cell, as the page knows it"
        return self.browser.execute_script(
            "return window.jupyterapp.shell.currentWidget.content.model.cells.get(arguments[0])"
            ".sharedModel.getSource()", self.place(says))

    def save(self):
        "Ctrl+S; the cells of the file, once all of it is written"
        from selenium.webdriver import Keys
        before = self.path.stat().st_mtime_ns
        self.chord(Keys.CONTROL, 's')
        def saved():
            if self.path.stat().st_mtime_ns == before: return None
            return json.loads(self.path.read_text(encoding='utf-8'))['cells']
        return self.wait(saved, "the page was not saved")
