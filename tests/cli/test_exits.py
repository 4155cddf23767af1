"Nothing but a verdict ends with 1, what stopped a command is a sentence, and no escape gets out"
import errno
import gzip
import io
import os
import subprocess
import sys

import pytest
import typer
from cli.runs import START, dlcourse

from dlcourse.cli.app import app as main_app
from dlcourse.cli.commands import command
from dlcourse.cli.exits import Plain, Stopped, ended, stopping
from dlcourse.core.errors import InputError
from dlcourse.core.pages import brief, harmless

ESCAPES = '\x1b[2J\x9b31m\x1b]0;owned\x07\x7f\u202e\u2066\r'


app, raised = typer.Typer(), []
app.callback()(lambda: None)


@command(app)
def broken(): raise raised.pop()


def refused(error):
    raised.append(error)
    return ended(lambda: app(['broken'], standalone_mode=False))


@pytest.mark.parametrize('error, says', [
    (EOFError('Compressed file ended'), 'the input ended before it was whole: Compressed'),
    (KeyboardInterrupt(), 'interrupted'), (KeyboardInterrupt('half is there'), 'half is there'),
    (OSError(errno.ENOSPC, 'No space left on device'), 'the output: No space left on device'),
    (OSError(errno.EACCES, 'Permission denied', 'x.html'), 'x.html: Permission denied'),
    (BrokenPipeError(errno.EPIPE, 'Broken pipe'), ''), (MemoryError(), 'not enough memory'),
    (RecursionError('too deep'), 'this is a fault of the program: RecursionError: too deep'),
    (InputError("`n` must be 1"), '`n` must be 1'), (SystemExit(1), ''),
    (SystemExit('ended'), 'ended'), (ZeroDivisionError('by zero'), 'PYTHONDEVMODE=1'),
    (InputError('x'*100_000 + ' so mend it'), 'so mend it')])
def test_whatever_stops_a_command_is_2_and_at_most_a_sentence(error, says, capsys):
    assert refused(error) == 2
    out, err = capsys.readouterr()
    assert out == '' and says in err and err.count('\n') == bool(err) and len(err) < 1100
    assert bool(err) == bool(says)


@pytest.mark.parametrize('code', [0, 1, 3])
def test_a_verdict_is_a_code_of_its_own(code):
    assert refused(typer.Exit(code)) == code


def test_words_that_do_not_fit_say_where_help_is(tmp_path):
    for words, says in {('audit', 'fairnes'): "`dlcourse audit --help` says what there is",
                        ('hint',): "Missing argument 'EXERCISE'",
                        ('review', '--most', 'x'): "'x' is not a valid integer"}.items():
        code, out, err = dlcourse(*words)
        assert (code, out) == (2, '') and says in err and err.count('\n') == 1


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason="a full disk is asked of Linux")
def test_a_full_disk_is_no_verdict():
    for words in (['--version'], ['datasets', 'show', 'compas']):
        with open('/dev/full', 'w') as full:
            done = subprocess.run([*START, *words], stdout=full, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 2
        assert done.stderr == 'dlcourse: the output: No space left on device\n'


def test_text_from_outside_is_no_command_to_a_terminal(tmp_path):
    name = tmp_path/f'a{ESCAPES}.csv'
    code, _, err = dlcourse('audit', 'fairness', name, '--prediction', 'p', '--sensitive', 's')
    assert code == 2 and 'does not exist' in err and err.rstrip('\n').isprintable()
    name.write_text(f'p,{ESCAPES}s\n' + '1,a\x1b[31m\n0,b\x1b[31m\n'*40)
    code, out, err = dlcourse('audit', 'fairness', name, '--prediction', 'p',
                              '--sensitive', f'{ESCAPES}s'.replace('\r', ''), '--json', '-')
    assert not {c for c in out + err if c < ' ' and c != '\n' or '\x7f' <= c < '\xa0'}


def test_a_terminal_gets_colours_and_no_escapes_of_others(tmp_path):
    pty = pytest.importorskip('pty')
    code = r'''if True:
        import sys
        from dlcourse.cli.exits import guard_streams
        guard_streams()
        import rich
        from rich.table import Table
        print('plain \x1b[31m')
        table = Table('head')
        table.add_row('cell \x1b[35m\x1b[2J')
        rich.print(table)
        rich.print('[bold green]fine[/]')'''
    ours, theirs = pty.openpty()
    done = subprocess.Popen([sys.executable, '-c', code], stdout=theirs, stderr=theirs,
                            env=os.environ | {'TERM': 'xterm-256color', 'COLUMNS': '80'})
    done.wait()
    os.close(theirs)
    text = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert '\x1b[1;32mfine' in text, "rich's own colours pass"
    assert not any(code in text for code in ('\x1b[31m', '\x1b[35m', '\x1b[2J'))
    assert r'cell \u001b[35m' in text


def test_what_is_plain_stays_as_it_is():
    text = 'Zoë 東京 भारत می‌خواهم 👩‍👩‍👧 1 234\tx\n'
    assert harmless(text) == text
    out = Plain(io.StringIO())
    out.writelines([text, ESCAPES])
    assert out.stream.getvalue().startswith(text) and '\x1b' not in out.getvalue()
    assert brief('a  b\nc') == 'a b c' and len(brief('x'*5000)) <= 1000


def test_only_what_click_would_take_is_wrapped():
    with pytest.raises(Stopped), stopping(): raise EOFError('short')
    with pytest.raises(InputError), stopping(): raise InputError('mine')


@pytest.fixture
def loans(tmp_path):
    path = tmp_path/'loans.csv'
    path.write_text('p,s\n' + '1,f\n0,f\n1,m\n0,m\n'*30)
    return path


def asked(loans, *words):
    words = ['audit', 'fairness', loans, '--prediction', 'p', '--sensitive', 's', *words]
    return ended(lambda: main_app([str(w) for w in words], standalone_mode=False))


def test_nothing_else_is_ever_replaced(loans, tmp_path, capsys):
    before, (link, twin) = loans.read_bytes(), (tmp_path/'link.csv', tmp_path/'twin.csv')
    link.symlink_to(loans)
    os.link(loans, twin)
    new = tmp_path/'new.html'
    for words, says in [(('--json', loans), 'is read'), (('--html', link), 'is read'),
                        (('--junit', twin), 'is read'), (('--html', new, '--json', new), 'already'),
                        (('--html', new, '--json', f'{tmp_path}/./new.html'), 'already'),
                        (('--json', '/dev/null'), 'a device or a pipe'),
                        (('--html', tmp_path), 'is a folder'),
                        (('--html', '/reprots_of_nobody/x.html'), 'there is no folder'),
                        (('--html', tmp_path/'a'/'b'/'x.html'), 'there is no folder')]:
        assert asked(loans, *words) == 2 and says in capsys.readouterr().err
    assert loans.read_bytes() == before and not os.path.exists('/reprots_of_nobody')
    assert sorted(p.name for p in tmp_path.iterdir()) == ['link.csv', 'loans.csv', 'twin.csv']


def test_a_report_goes_through_a_link(loans, tmp_path, capsys):
    (tmp_path/'there.html').write_text('old')
    (tmp_path/'link.html').symlink_to('there.html')
    assert asked(loans, '--html', tmp_path/'link.html') == 0
    assert (tmp_path/'link.html').is_symlink() and '<html' in (tmp_path/'there.html').read_text()


def test_a_table_cut_short_is_2_and_named(loans, capsys):
    cut = loans.with_name('t.csv.gz')
    rows = ''.join(f'{i % 2},person {i*i}\n' for i in range(500))
    cut.write_bytes(gzip.compress(f'p,s\n{rows}'.encode())[:-40])
    assert asked(cut) == 2
    assert '`t.csv.gz` is damaged, or was cut short' in capsys.readouterr().err


def test_an_audit_of_a_file_loads_nothing_that_it_has_no_use_for(loans):
    "What the smallest core may leave out: 208 MB of 468"
    code = '''import sys
sys.modules |= dict.fromkeys(('polars', 'sklearn', 'joblib', 'fastcore', 'pandas', 'pyarrow'))
from dlcourse.cli.app import main; main()'''
    words = ['audit', 'fairness', loans, '--prediction', 'p', '--sensitive', 's', '--favorable',
             '1', '--profile', 'four-fifths', '--html', loans.with_name('x.html')]
    done = subprocess.run([sys.executable, '-c', code, *words], capture_output=True, text=True)
    assert done.returncode in (0, 1, 3) and not done.stderr


@pytest.mark.parametrize('handler, code', [('default_int_handler', 2), ('SIG_IGN', 0)])
def test_an_interrupt_while_python_still_reads_the_program(handler, code):
    told = f'''import signal, sys
from dlcourse.cli.exits import program
signal.signal(signal.SIGINT, signal.{handler})
class Finder:
    def find_spec(self, name, *_):
        if name == 'typer' and sys.meta_path[0] is self:
            sys.meta_path.remove(self)
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Finder())
sys.argv = ['dlcourse', '--version']
program()'''
    done = subprocess.run([sys.executable, '-c', told], capture_output=True, text=True)
    assert done.returncode == code
    assert done.stderr == ('dlcourse: interrupted\n' if code else '')


def test_the_program_starts_where_little_is_read():
    read = '''import sys, dlcourse.cli.exits
print([m for m in ('typer', 'numpy') if m in sys.modules])'''
    done = subprocess.run([sys.executable, '-c', read], capture_output=True, text=True)
    assert done.stdout == '[]\n'
