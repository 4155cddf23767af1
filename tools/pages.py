"Execute the lessons whose source changed, and rebuild README.md: `python tools/pages.py [--all]`"
import argparse
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path

import nbformat
import readme
from cells import ROOT, Cell, notebooks, source_hash
from environments import environment
from fastcore.nbio import nb2str
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbdev.clean import clean_nb
from nbdev.config import get_config

from dlcourse.core.figures import html_of

TIMEOUT = 1800 # Seconds for one cell
COLOUR = re.compile(r'\x1b\[[0-9;]*m')


class PageError(Exception):
    "A notebook could not be executed; the text says which cell, and why"


class ThisPython(AsyncKernelManager):
    "Starts the Python that runs this, whatever kernels are installed, and talks to it in cipher"
    transport_encryption = 'auto'

    @property
    def kernel_spec(self): return KernelSpec(**get_kernel_dict())


def stale(
    nb:dict, # A notebook
)->bool:     # Must it be executed again?
    "Is there a code cell that changed since its outputs were made?"
    code = (Cell('code', ''.join(c['source']), c) for c in nb['cells'] if c['cell_type'] == 'code')
    return any(cell.metadata.get('source_hash') != source_hash(cell.source) for cell in code)


def skipped(
    cell:dict, # A code cell
)->bool:
    "Does it stay unexecuted? `gpu` cells keep what a machine with a GPU wrote into them"
    directives = Cell('code', cell['source'], cell).directives
    return directives.get('eval') == 'false' or 'gpu' in directives


def joined(
    outputs:list[dict], # Outputs of a cell
)->list[dict]:
    "The outputs, neighbours of one stream made one: where they were cut was chance"
    whole = []
    for output in outputs:
        last = whole[-1] if whole else {}
        stream = output['output_type'] == 'stream' == last.get('output_type')
        if stream and output['name'] == last['name']: last['text'] += output['text']
        else: whole.append(output)
    return whole


def cleaned(
    nb:dict,    # A notebook as JSON
    root:Path,  # Project folder, whose pyproject.toml says what metadata may stay
)->str:         # Text of the file
    "A notebook as nbdev-clean would leave it"
    cfg = get_config(root)
    kinds = ('', 'cell_', 'out_')
    keys = {f'allowed_{k}metadata_keys': cfg.get(f'allowed_{k}metadata_keys') or [] for k in kinds}
    clean_nb(nb, clear_all=cfg.clear_all, clean_ids=cfg.clean_ids, **keys)
    return nb2str(nb)


def prepared(
    nb:nbformat.NotebookNode, # Cells that stay unexecuted are marked in it
):
    "Mark what is not to be executed, and drop its outputs where they are old"
    for cell in nb.cells:
        if cell.cell_type != 'code' or not skipped(cell): continue
        fresh = cell.metadata.get('source_hash') == source_hash(cell.source)
        cell.metadata['tags'] = ['skip-execution']
        if not fresh: cell.outputs = []


def run_cells(
    nb:nbformat.NotebookNode, # Gets its outputs
    folder:Path,              # Where it runs
):
    "Execute all cells at full size; raises `PageError`"
    reached = [0]
    with tempfile.TemporaryDirectory() as profile:
        env = environment(DLCOURSE_SIZE='full', PYTHONHASHSEED='0', COLUMNS='120',
                          IPYTHONDIR=profile)
        client = NotebookClient(
            nb, kernel_manager_class=ThisPython, resources={'metadata': {'path': str(folder)}},
            timeout=TIMEOUT, record_timing=False,
            on_cell_start=lambda cell, cell_index: reached.append(cell_index))
        try: client.execute(env=env)
        except CellExecutionError as e:
            trace = COLOUR.sub('', e.traceback).strip()
            raise PageError(f"{reached[-1]}: {e.ename}: {e.evalue}\n{trace}") from None
        except CellTimeoutError:
            raise PageError(f"{reached[-1]}: not done after {TIMEOUT} seconds") from None
        except DeadKernelError: raise PageError(f"{reached[-1]}: the kernel died") from None


def execute(
    path:Path,      # A notebook
    root:Path=ROOT, # Project folder
):
    "Execute a notebook and store its outputs; raises `PageError`, and then the file is as it was"
    before = path.read_bytes()
    nb = nbformat.reads(before.decode('utf-8'), as_version=4)
    prepared(nb)
    run_cells(nb, path.parent)
    for cell in nb.cells:
        if cell.cell_type != 'code': continue
        cell.update(outputs=joined(cell.outputs), execution_count=None)
        cell.metadata['source_hash'] = source_hash(cell.source)
    text = cleaned(json.loads(nbformat.writes(nb)), root)
    if path.read_bytes() != before:
        raise PageError("0: the file changed while it was executed; run it again")
    part = path.with_name(f'.{path.name}.part')
    part.write_text(text, encoding='utf-8', newline='\n')
    os.replace(part, path)


def retell(
    path:Path, # A notebook
)->bool:       # Was anything changed?
    "Give saved pictures the line of HTML that `show` sends today; nothing is executed"
    nb = json.loads(path.read_text(encoding='utf-8'))
    before, outputs = nb2str(nb), [o for c in nb['cells'] for o in c.get('outputs', [])]
    for output in outputs:
        alt = output.get('metadata', {}).get('image/png', {}).get('alt')
        if not alt: continue
        picture = ''.join(output['data']['image/png']).strip()
        html = html_of(picture, alt).splitlines(keepends=True)
        output['data'] = dict(sorted((output['data'] | {'text/html': html}).items()))
    if nb2str(nb) == before: return False
    path.write_text(nb2str(nb), encoding='utf-8', newline='\n')
    return True


def main(argv:list[str]|None=None)->int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('paths', nargs='*', type=Path, help="notebooks to execute, changed or not")
    parser.add_argument('--all', action='store_true', help="execute every lesson")
    parser.add_argument('--pictures', action='store_true',
                        help="execute nothing; bring the HTML of saved pictures up to date")
    parser.add_argument('--root', type=Path, default=ROOT, help=argparse.SUPPRESS)
    args = parser.parse_args(argv)
    root = args.root.resolve()
    every = [p.resolve() for p in args.paths] or notebooks(root/'nbs')
    if args.pictures:
        print(f"{sum(map(retell, every))} pages have pictures told anew")
        return 0
    chosen = args.paths or args.all
    todo = [p for p in every if chosen or stale(json.loads(p.read_text(encoding='utf-8')))]
    failed = []
    for path in todo:
        shown = path.relative_to(root) if path.is_relative_to(root) else path
        start = time.perf_counter()
        try: execute(path, root); message = f'{shown}'
        except PageError as e: failed.append(shown); message = f'{shown}:{e}'
        print(f'{time.perf_counter() - start:6.1f} s  {message}', flush=True)
    done, rest = len(todo) - len(failed), len(every) - len(todo)
    print(f"{done} executed, {rest} up to date, {len(failed)} failed",
          *(f'  {p}' for p in failed), sep='\n', flush=True)
    return readme.main(['--root', str(root)]) or bool(failed)


if __name__ == '__main__': sys.exit(main())
