"The pages of the command line, from the commands themselves; nothing of the library is run"
import html
import re

import click
import typer
from lesson_pages import marked, meta, raw, slug


def command_tree()->click.Command:
    "The program as click sees it"
    from dlcourse.cli.app import app
    return typer.main.get_command(app)


def usage(command, path:str)->str:
    ctx = click.Context(command, info_name=path)
    return ' '.join([path, *command.collect_usage_pieces(ctx)])


def described(text:str)->list[str]:
    "A help text as Markdown; what stands below a form feed sign is code"
    parts = []
    for block in re.split(r'\n\s*\n', (text or '').replace('\f', '').strip()):
        if block.lstrip().startswith('\b'):
            parts.append('```text\n' + block.replace('\b', '').strip('\n') + '\n```')
        else:
            said = ' '.join(block.split()).replace('<', '&lt;').replace('*', r'\*')
            parts.append(re.sub(r'(?<![\w`-])(--[a-z][\w-]*)', r'`\1`', said))
    return parts


def options(command)->str:
    rows = []
    for p in command.params:
        if p.name == 'help' or getattr(p, 'hidden', False): continue
        if isinstance(p, click.Argument):
            name = f'<code>{p.name.upper()}{" …" if p.nargs == -1 else ""}</code>'
        else:
            names = [*p.opts, *p.secondary_opts]
            kind = '' if p.is_flag else f' {html.escape(metavar(p))}'
            name = '<code>' + ' / '.join(map(html.escape, names)) + f'{kind}</code>'
        said = [marked(getattr(p, 'help', None) or '')]
        if p.required: said.append('<em>required</em>')
        told = getattr(p, 'help', None) or ''
        if getattr(p, 'multiple', False) and 'repeat' not in told:
            said.append('<em>may be repeated</em>')
        if (value := shown_default(p)): said.append(f'<em>default {html.escape(value)}</em>')
        rows.append(f'<dt>{name}</dt><dd>{" · ".join(filter(None, said))}</dd>')
    return raw(f'<dl class="parameters options">{"".join(rows)}</dl>') if rows else ''


def metavar(p)->str:
    if isinstance(p.type, click.Choice): return '|'.join(map(str, p.type.choices))
    return {'text': 'TEXT', 'integer': 'N', 'float': 'NUMBER'}.get(p.type.name, p.type.name.upper())


def shown_default(p)->str:
    value = getattr(p, 'default', None)
    if callable(value) or value in (None, '', False, (), [], ...) or p.required: return ''
    if type(value).__name__ in ('Sentinel', 'EllipsisType') or 'UNSET' in repr(value): return ''
    if isinstance(value, (list, tuple)): return ', '.join(map(str, value))
    return str(value)


def sections(command, path:str, depth:int=2)->list[str]:
    "One command, and those below it"
    said = '\n\n'.join(described(command.help)).splitlines()
    lines = [f'{"#"*min(depth, 4)} `{path}`', '', *said, '',
             '```text\n' + usage(command, path) + '\n```', '', options(command), '']
    for name, sub in getattr(command, 'commands', {}).items():
        if not sub.hidden: lines += sections(sub, f'{path} {name}', depth + 1)
    return lines


def command_pages()->dict[str, str]: # Document → Markdown
    "An overview, and a page for each group and each command that stands alone"
    root, pages, rows = command_tree(), {}, []
    for name, command in sorted(root.commands.items()):
        if command.hidden: continue
        path, doc = f'dlcourse {name}', f'commands/{slug(name)}'
        short = ' '.join(described(command.help)[:1]) or ' '.join(
            f'`{sub}`' for sub in sorted(getattr(command, 'commands', {})))
        first = re.split(r'(?<=[.!?]) ', short)[0]
        rows.append(f'| [`{path}`](/{doc}.md) | {first} |')
        lines = sections(command, path, 1)
        pages[doc] = '\n'.join([*meta(f'{path}: {first}'), *lines]) + '\n'
    head = [*meta('Every command of the program dlcourse, with its options'), '# Command line', '',
            ' '.join(described(root.help)), '',
            'Exit codes are verdicts: 0 pass or not judged, 1 fail, 2 could not be run, '
            '3 insufficient evidence. These pages are made from the commands themselves.', '',
            '| Command | What it does |', '|---|---|', *rows, '']
    pages['commands/index'] = '\n'.join(head)
    return pages
