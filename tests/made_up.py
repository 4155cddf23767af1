"Notebooks made up for a test, in the form in which nbdev writes them"
from base64 import b64encode
from pathlib import Path

from cells import source_hash
from fastcore.nbio import nb2str

TITLE = '# Reading\n\n> What is there, and how it is read'
FIRST = '#| default_exp data.read'
STALE = 'aaaaaaaaaaaa'
KERNEL = dict(display_name='python3', language='python', name='python3')


def md(source:str, **more)->dict:
    "A text cell"
    return dict(cell_type='markdown', metadata={}, source=source, **more)


def code(source:str, *outputs:dict, fingerprint:str|None=None, **metadata)->dict:
    "A code cell; with outputs, it is fresh unless another fingerprint is given"
    if outputs: metadata['source_hash'] = fingerprint or source_hash(source)
    return dict(cell_type='code', metadata=metadata, source=source, outputs=list(outputs),
                execution_count=None)


def text(s:str)->dict:
    "What a cell printed"
    return dict(output_type='stream', name='stdout', text=s)


def image(alt:str='A line', size:int=100)->dict:
    "A picture that a cell put out"
    data = {'image/png': b64encode(bytes(size)).decode(), 'text/plain': alt,
            'text/html': [f'<img alt="{alt}">']}
    metadata = {'image/png': {'alt': alt}} if alt else {}
    return dict(output_type='display_data', data=data, metadata=metadata)


def write(path:Path, *cells:dict)->Path:
    "A notebook of these cells"
    cells = [dict(id=f'cell{i}') | cell for i, cell in enumerate(cells)]
    nb = dict(cells=cells, metadata=dict(kernelspec=KERNEL), nbformat=4, nbformat_minor=5)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(nb2str(nb), encoding='utf-8')
    return path
