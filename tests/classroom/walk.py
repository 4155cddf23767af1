"""A learner's first evening in a real browser, longer than a test may take; screenshots of pages.

    python tests/classroom/walk.py FOLDER                # the evening, in an empty home there
    python tests/classroom/walk.py FOLDER tensors loop   # these pages, run, in light and dark
"""
import argparse
import signal
import sys
from pathlib import Path

import psutil
from classroom.browsing import Page, browser
from classroom.labs import PROGRAM, Lab

from dlcourse.classroom.lessons import find_exercise, lesson_at, lesson_paths
from dlcourse.classroom.progress import progress
from dlcourse.classroom.workspace import FOLDER, page_of

NAME = 'causal_mask'
LONG = 3600 # Seconds for a whole page on a busy machine


def says(done): print(f'✓ {done}', flush=True)


def run_all(page):
    "Kernel → Restart Kernel and Run All Cells…, as the menu does it, until the last cell is done"
    page.browser.execute_script("window.jupyterapp.commands.execute('notebook:restart-run-all')")
    accept = '.jp-Dialog .jp-mod-accept, .jp-Dialog .jp-mod-warn'
    page.wait(lambda: page.find(accept)[0].click() is None, "no dialog")
    script = (
        "const cells = [...window.jupyterapp.shell.currentWidget.content.model.cells]"
        ".filter(c => c.type === 'code' && c.sharedModel.getSource().trim());"
        "return [cells.filter(c => !c.executionCount).length, cells.flatMap(c => "
        "c.outputs.toJSON().filter(o => o.output_type === 'error').map(o => o.evalue))]")
    def done():
        left, errors = page.browser.execute_script(script)
        return errors or not left
    page.wait(done, "the page did not come to an end", LONG)
    page.idle()
    errors = page.browser.execute_script(script)[1]
    assert not errors, errors


def theme(page, name):
    page.command('apputils:change-theme', theme=name)
    light = 'true' if 'Light' in name else 'false'
    page.wait(lambda: page.find(f'body[data-jp-theme-light="{light}"]'), "the theme did not change")


def shots(page, folder, name):
    "The page from top to bottom"
    outer = '.jp-NotebookPanel:not(.lm-mod-hidden) .jp-WindowedPanel-outer'
    folder.mkdir(parents=True, exist_ok=True)
    def at(): return page.browser.execute_script(
        "const o = document.querySelector(arguments[0]); return o.scrollTop", outer)
    page.browser.execute_script("document.querySelector(arguments[0]).scrollTop = 0", outer)
    for k in range(80):
        page.browser.execute_async_script("setTimeout(arguments[0], 700)")
        page.browser.save_screenshot(str(folder/f'{name}_{k:02}.png'))
        before = at()
        page.browser.execute_script(
            "const o = document.querySelector(arguments[0]); o.scrollTop += o.clientHeight - 60",
            outer)
        if at() == before: break


def solve(page, folder):
    "Blank, wrong, hint, right, and what is next"
    def stands(): return next(s for s in progress(folder).exercises if s.name == NAME)
    exercise, blank = find_exercise(NAME), f'Your turn: {NAME}'
    for start in ('#| default_exp', 'dlcourse.classroom.page'):
        page.run(start)
    page.run(blank)
    assert "still blank" in page.check(NAME, 'not tried')
    page.replace_last_line(blank, 'return torch.ones(n, n).bool().triu()')
    page.run(blank)
    assert f'hint("{NAME}")' in page.check(NAME, 'failed')
    page.add_below(f'check("{NAME}")', f'hint("{NAME}") # one')
    assert stands().hints == 1
    page.replace_last_line(blank, exercise.source.splitlines()[-1].strip())
    page.run(blank)
    page.check(NAME, 'passed')
    assert stands().state == 'passed'
    found = page.add_below(f'check("{NAME}")', 'progress() # now')
    page.wait(lambda: 'Next: transformers.attention.' in found.text, "nothing is next")
    says("blank, wrong, hint, right, next")


def ask(page):
    "A question, and one of its answers"
    quiz = next(s for s in page.sources if s.startswith('#| quiz'))
    page.run(quiz)
    first = page.wait(lambda: page.find('details', page.cell(quiz)), "no answers")[0]
    page.find('summary', first)[0].click()
    text = page.wait(lambda: first.text if '\n' in first.text else '', "nothing opened")
    assert text.splitlines()[1].startswith(('Right.', 'No.')), text
    says(f"a quiz: {text.splitlines()[1][:60]}")


def begin_anew(page, folder):
    page.add_below(f'check("{NAME}")', f'reset("{NAME}") # anew')
    blank = find_exercise(NAME).blank
    page.wait(lambda: page.text_of(f'Your turn: {NAME}') == blank, "no blank")
    cells = page.save()
    assert sum(f'def {NAME}(' in ''.join(c['source']) for c in cells) == 1
    says("reset: one blank cell")


def second_page(page, folder, lesson):
    "Another page beside the first: the record is one, the kernels are two"
    where = page_of(lesson, folder).relative_to(folder).as_posix()
    page.command('docmanager:open', path=where)
    panels = "return [...window.jupyterapp.shell.widgets('main')].map(w => w.context?.path)"
    page.wait(lambda: where in page.browser.execute_script(panels), "it did not open")
    kernels = ("return [...window.jupyterapp.shell.widgets('main')]"
               ".map(w => w.sessionContext?.session?.kernel?.id).filter(Boolean)")
    page.wait(lambda: len(set(page.browser.execute_script(kernels))) == 2, "not two kernels")
    page.command('docmanager:open', path=page.path.relative_to(folder).as_posix())
    page.check(NAME, 'not tried')
    says("two pages open, two kernels")


def evening(home, program):
    with Lab(home, program=program) as lab, browser(home) as driver:
        driver.get(f'{lab.address}/?token={lab.token}')
        folder = home/FOLDER
        first = lesson_at(next(p for p in lesson_paths() if '01_foundations' in str(p)))
        Page.wait_on(driver, lambda: first.partition('.')[2] in driver.current_url, "no first page")
        says(f"`dlcourse lab` opens {driver.current_url.rpartition('/')[2]}")
        page = Page(driver, folder, page_of('transformers.attention', folder), lab)
        solve(page, folder)
        ask(page)
        run_all(page)
        assert page.find('.dlcourse-result[data-outcome="passed"]')
        says("restart and run all, with an answer and blanks")
        begin_anew(page, folder)
        theme(page, 'JupyterLab Dark')
        says("dark theme")
        second_page(page, folder, first)
        assert not lab.end(signal.SIGHUP)
    left = [p.pid for p in psutil.process_iter(['cwd']) if str(home) in (p.info['cwd'] or '')]
    assert not left, f"processes are left: {left}"
    says("nothing is left when the terminal is closed")


def pictures(home, program, names):
    with Lab(home, program=program) as lab, browser(home, 1280, 1500) as driver:
        folder = home/FOLDER
        for path in lesson_paths():
            if path.stem.partition('_')[2] not in names: continue
            name = path.stem.partition('_')[2]
            page = Page(driver, folder, page_of(lesson_at(path), folder), lab)
            run_all(page)
            for kind in ('Light', 'Dark'):
                theme(page, f'JupyterLab {kind}')
                shots(page, home/'shots', f'{name}_{kind.lower()}')
            says(name)


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', type=Path, help="a folder of its own")
    parser.add_argument('pages', nargs='*', help="lessons to take pictures of")
    parser.add_argument('--program', help="the `dlcourse` to start; this one when not given")
    args = parser.parse_args()
    program = [args.program] if args.program else PROGRAM
    home = args.folder.resolve()
    if args.pages: pictures(home, program, args.pages)
    else: evening(home, program)


if __name__ == '__main__': sys.exit(main())
