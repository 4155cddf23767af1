import copy
import json
import threading

import pytest

from dlcourse.core.errors import InputError
from dlcourse.privacy.accounting import PrivacyEvent, compose_epsilon
from dlcourse.privacy.ledger import BudgetError, Ledger, read_ledger

RUN = PrivacyEvent(2., .1, 100)


def made(epsilon=3.): return Ledger(epsilon=epsilon, delta=1e-4, rows=1437)


def test_what_is_spent_is_what_all_releases_cost_together():
    ledger = made()
    assert ledger.spent() == 0
    ledger.record(RUN, 'a model')
    after = ledger.record((.1, 1e-6), "a count of somebody else's")
    tuned = ledger.record(PrivacyEvent(4., .1, 20), 'a learning rate', tuning=True)
    assert RUN.epsilon(1e-4) < after < tuned <= 3
    releases = [e.release for e in ledger.entries]
    assert ledger.spent() == compose_epsilon(releases, 1e-4) == tuned
    assert [e.tuning for e in ledger.entries] == [False, False, True]


def test_nothing_is_recorded_beyond_the_budget():
    ledger = made(2.)
    spent = ledger.record(RUN, 'first')
    assert ledger.fits((.001, 0)) and not ledger.fits(RUN)
    with pytest.raises(BudgetError, match='would bring the account to'): ledger.record(RUN, 'again')
    with pytest.raises(BudgetError): ledger.record((.01, 1e-3), 'a delta too large')
    assert ledger.spent() == spent and len(ledger.entries) == 1


def test_ten_pure_releases_fill_a_budget_of_ten():
    ledger = Ledger(epsilon=10, delta=1e-6, rows=1000)
    for k in range(10): ledger.record((1., 0), f'release {k}')
    with pytest.raises(BudgetError): ledger.record((.1, 0), 'one more')


@pytest.mark.parametrize('words,name', [
    (dict(delta=1/1437), 'delta'), (dict(delta=.01), 'delta'), (dict(delta=0), 'delta'),
    (dict(rows=0), 'rows'), (dict(rows=10.5), 'rows'), (dict(rows=True), 'rows'),
    (dict(epsilon=0), 'epsilon'), (dict(epsilon=float('nan')), 'epsilon')])
def test_budgets_that_cannot_be(words, name):
    with pytest.raises(InputError, match=f'`{name}` must be'):
        Ledger(**(dict(epsilon=1., delta=1e-5, rows=1437) | words))


def test_entries_that_cannot_be():
    ledger = made()
    for what in ('', '  '):
        with pytest.raises(InputError, match='`what` must say'): ledger.record(RUN, what)
    with pytest.raises(InputError, match='`what` must be a text'): ledger.record(RUN, None)
    with pytest.raises(InputError, match='PrivacyEvent or a pair'): ledger.record(7, 'seven')
    with pytest.raises(InputError, match='`epsilon` must be'): ledger.record((-1, 0), 'negative')
    with pytest.raises(InputError, match='`tuning` is a bool'): ledger.record(RUN, 'x', tuning=1)
    assert not ledger.entries


def test_a_ledger_comes_back_from_its_file(tmp_path):
    ledger = made()
    ledger.record(RUN, 'a model, ε in words: größer')
    ledger.record((.1, 1e-6), 'a count', tuning=True)
    ledger.save(tmp_path/'ledger.json')
    again = read_ledger(tmp_path/'ledger.json')
    assert again.to_dict() == ledger.to_dict() and again.entries == ledger.entries
    assert again.spent() == ledger.spent()


def change(**words): return lambda d: d.update(words)


def entry(**words): return lambda d: d['entries'][0].update(words)


@pytest.mark.parametrize('fault,said', [
    (change(more=1), 'must be an object with'), (change(ledger=2), 'must be an object with'),
    (change(entries={}), 'must be a list'), (change(delta=.5), '`delta` must be below'),
    (change(epsilon=.1), 'its budget is 0.1'), (change(ledger=True), 'must be an object with'),
    (change(rows=10**400), '`rows` must be'), (entry(steps=10**400), 'entry 1 of the ledger'),
    (entry(steps=0), 'entry 1 of the ledger: `steps`'),
    (entry(steps='10'), '`steps` must be'), (entry(colour='red'), 'must have `what` and either'),
    (entry(what=3), '`what` must be a text'), (entry(tuning='no'), '`tuning` is a bool'),
    (entry(noise_multiplier=None), '`noise_multiplier` must be'),
    (change(entries=[3]), 'must be an object'),
    (lambda d: d.pop('rows'), 'must be an object with')])
def test_files_that_are_no_ledger(fault, said, tmp_path):
    ledger = made()
    ledger.record(RUN, 'a model')
    stored = json.loads(json.dumps(ledger.to_dict()))
    fault(stored)
    (tmp_path/'l.json').write_text(json.dumps(stored))
    with pytest.raises(InputError, match=said): read_ledger(tmp_path/'l.json')


def test_no_file_and_no_json(tmp_path):
    with pytest.raises(InputError, match='there is no such file; give the path of a ledger'):
        read_ledger(tmp_path/'none.json')
    for text in ('', '{', '[]', '\x00', '['*100_000):
        (tmp_path/'l.json').write_text(text)
        with pytest.raises(InputError): read_ledger(tmp_path/'l.json')
    (tmp_path/'l.json').write_bytes(b'\xff\xfe')
    with pytest.raises(InputError, match='is no ledger'): read_ledger(tmp_path/'l.json')


def test_threads_do_not_overdraw_it():
    ledger, held = made(3.), []
    def ask():
        try: held.append(ledger.record(PrivacyEvent(1.5, .05, 100), 'a model'))
        except BudgetError: pass
    threads = [threading.Thread(target=ask) for _ in range(6)]
    for t in threads: t.start()
    for t in threads: t.join()
    assert 1 <= len(held) == len(ledger.entries) < 6 and ledger.spent() <= 3
    assert copy.deepcopy(ledger).to_dict() == ledger.to_dict()


def test_budget_and_entries_are_not_changed_behind_it():
    ledger = made()
    for name in ('epsilon', 'delta', 'rows', 'entries'):
        with pytest.raises(AttributeError): setattr(ledger, name, 100)
    assert isinstance(ledger.entries, tuple)


def test_a_long_ledger_is_read_with_one_composition(monkeypatch):
    stored = made().to_dict()
    stored['entries'] = [dict(what='tuning', epsilon=.01 + k/1e5, delta=0) for k in range(9)]
    asked = []
    monkeypatch.setattr('dlcourse.privacy.ledger.compose_epsilon',
                        lambda releases, delta: asked.append(len(releases)) or 1.)
    assert len(read_ledger(stored).entries) == 9 and asked == [9]


def test_a_key_that_stands_twice_is_refused(tmp_path):
    text = json.dumps(made().to_dict())
    (tmp_path/'l.json').write_text(text.replace('"epsilon": 3.0', '"epsilon": 1, "epsilon": 100'))
    with pytest.raises(InputError, match='stands in it twice'): read_ledger(tmp_path/'l.json')


def test_two_ledgers_on_one_file_lose_no_entry_and_share_its_budget(tmp_path):
    file = tmp_path/'ledger.json'
    made(3.).save(file)
    one, two = read_ledger(file), read_ledger(file)
    one.record(RUN, 'of the first')
    two.record((.1, 0), 'of the second')
    assert [e.what for e in read_ledger(file).entries] == ['of the first', 'of the second']
    while one.fits((.5, 0)): one.record((.5, 0), 'more')
    with pytest.raises(BudgetError): two.record((.5, 0), 'too much')
    assert two.entries == one.entries == read_ledger(file).entries


def test_a_file_with_other_entries_or_another_budget_is_not_written_over(tmp_path):
    file = tmp_path/'ledger.json'
    kept = made(3.)
    kept.save(file)
    kept.record(RUN, 'kept')
    text = file.read_text()
    other = made(3.)
    other.record((.1, 0), 'another')
    with pytest.raises(InputError, match='do not stand among them'): other.save(file)
    with pytest.raises(InputError, match='another account: its `epsilon` is 3'):
        made(2.).save(file)
    assert file.read_text() == text
    other.record((.1, 0), 'still free')
    fresh = made(3.)
    fresh.save(file) # Knows nothing yet, and takes in what is there
    assert fresh.entries == kept.entries and file.read_text() == text


def test_processes_lose_nothing_and_one_killed_in_the_middle_neither(tmp_path):
    import subprocess
    import sys
    file = tmp_path/'ledger.json'
    Ledger(epsilon=100, delta=1e-4, rows=1437).save(file)
    ask = ("import sys\nfrom dlcourse.privacy.ledger import read_ledger\n"
           "ledger = read_ledger(sys.argv[1])\n"
           "for k in range(int(sys.argv[3])):\n"
           "    ledger.record((.01, 0), f'{sys.argv[2]} {k}')\n"
           "    print(k, flush=True)\n")
    runs = [subprocess.Popen([sys.executable, '-c', ask, str(file), name, n],
                             stdout=subprocess.PIPE, text=True)
            for name, n in (('a', '8'), ('b', '8'), ('c', '100000'))]
    for _ in range(3): told = runs[2].stdout.readline()
    runs[2].kill()
    told = (told + runs[2].stdout.read()).split()
    for run in runs[:2]: assert run.communicate(timeout=600) and run.returncode == 0
    runs[2].stdout.close()
    runs[2].wait(600)
    what = [e.what for e in read_ledger(file).entries]
    assert all(f'{name} {k}' in what for name in 'ab' for k in range(8))
    assert f'c {told[-1]}' in what, 'what was told is kept'
    assert len(set(what)) == len(what)


def test_what_cannot_be_written_is_not_recorded(tmp_path, monkeypatch):
    ledger = made()
    ledger.save(tmp_path/'ledger.json')
    def full(*_): raise OSError('no space left')
    monkeypatch.setattr('dlcourse.privacy.ledger.write_whole', full)
    with pytest.raises(OSError): ledger.record(RUN, 'a model')
    assert not ledger.entries
