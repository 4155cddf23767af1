"Certificates: files and their modes, nothing written over, and OpenSSL's own verdict as the oracle"
import socket
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

pytest.importorskip('cryptography')

from dlcourse.core.errors import InputError
from dlcourse.federated.certificates import (
    add_sites,
    certificate_fault,
    handshake_fault,
    make_certificates,
    renew_server,
)
from dlcourse.federated.flower import is_there
from dlcourse.federated.processes import (
    address_of,
    connection_fault,
    expires_soon,
    start_superlink,
    why_refused,
)
from dlcourse.federated.site_runs import read_run, save_run, settings_of
from dlcourse.federated.sites import names_host, round_ends

NOW = datetime.now(UTC)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp('pki')/'federation'
    make_certificates(folder, ['north', 'south'], ['127.0.0.1', 'fl.example.org', '::1'])
    return folder


def test_private_keys_are_their_owner_s(folder):
    modes = {p.name: p.stat().st_mode & 0o777 for p in folder.iterdir()}
    assert {n for n, mode in modes.items() if mode == 0o600} == {
        'authority.key', 'server.key', 'north.key', 'south.key'}
    assert {n for n, mode in modes.items() if mode == 0o644} == {
        'authority.crt', 'server.crt', 'north.pub', 'south.pub'}


def test_nothing_is_written_over(folder):
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    for sites in (['north'], ['east']):
        with pytest.raises(InputError, match='authority'): make_certificates(folder, sites)
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == before


@pytest.mark.parametrize('sites', [
    [], ['a', 'a'], ['a', 'A'], ['run'], ['../x'], [''], ['a b'], [3]])
def test_names_of_sites(tmp_path, sites):
    with pytest.raises(InputError, match='`sites`'): make_certificates(tmp_path/'f', sites)
    assert not (tmp_path/'f').exists()


def test_a_site_that_joins_later(tmp_path):
    made = tmp_path/'x'
    make_certificates(made, ['north'])
    before = {p.name: p.read_bytes() for p in made.iterdir()}
    assert [p.name for p in add_sites(made, ['west', 'east'])] == [
        'west.key', 'west.pub', 'east.key', 'east.pub']
    after = {p.name: p.read_bytes() for p in made.iterdir()}
    assert before.items() <= after.items() and len({*after.values()}) == len(after)
    assert (made/'west.key').stat().st_mode & 0o777 == 0o600
    for sites, words in ((['west'], 'holds west.key'), (['North'], 'holds north'), ([], '`sites`'),
                         (['run'], '`sites`'), (['new', 'west'], 'holds west.key')):
        with pytest.raises(InputError, match=words): add_sites(made, sites)
    assert {p.name for p in made.iterdir()} == set(after)
    with pytest.raises(InputError, match='authority.crt'): add_sites(tmp_path/'none', ['a'])


@pytest.mark.parametrize('start', ['x', 5, datetime(9990, 1, 1, tzinfo=UTC), datetime(1, 1, 1)])
def test_odd_moments(tmp_path, folder, start):
    with pytest.raises(InputError, match='`start`'):
        make_certificates(tmp_path/'f', ['a'], start=start)
    with pytest.raises(InputError, match='`start`'): renew_server(folder, start=start)
    assert not (tmp_path/'f').exists()


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path/'f').write_text('')
    for place in (tmp_path/'f', tmp_path/'f'/'g'):
        with pytest.raises(InputError, match='`folder` cannot be made'):
            make_certificates(place, ['a'])


@pytest.mark.parametrize('hosts', [[], 'https://a.org', ['a b'], ['a.org:8000'], ['a..b'], [5]])
def test_names_of_hosts(tmp_path, hosts):
    with pytest.raises(InputError, match='`hosts`'): make_certificates(tmp_path/'f', ['a'], hosts)


@pytest.mark.parametrize('host, good', [
    ('127.0.0.1', True), ('fl.example.org', True), ('FL.example.org', True), ('::1', True),
    ('example.org', False), ('a.fl.example.org', False), ('127.0.0.2', False)])
def test_openssl_and_the_sentence_agree_on_hosts(folder, host, good):
    authority = folder/'authority.crt'
    assert (handshake_fault(folder, authority, host) is None) == good
    said = certificate_fault(folder/'server.crt', authority, host)
    assert said is None if good else 'does not name' in said


def test_times(folder):
    own, root = folder/'server.crt', folder/'authority.crt'
    for days, words in ((91, 'expired'), (-1, 'set the clock'), (4000, 'authority itself')):
        said = certificate_fault(own, root, '127.0.0.1', NOW + timedelta(days=days))
        assert words in said
    assert expires_soon(folder) is None and 'ends on' in expires_soon(folder, days=100)


def test_a_stranger_and_a_renewal(folder, tmp_path):
    make_certificates(tmp_path/'x', ['north'])
    said = certificate_fault(tmp_path/'x'/'server.crt', folder/'authority.crt', '127.0.0.1')
    assert 'not signed' in said
    assert handshake_fault(tmp_path/'x', folder/'authority.crt', '127.0.0.1')
    keys = (tmp_path/'x'/'north.key').read_bytes()
    renew_server(tmp_path/'x', 'new.org')
    assert handshake_fault(tmp_path/'x', tmp_path/'x'/'authority.crt', 'new.org') is None
    assert (tmp_path/'x'/'north.key').read_bytes() == keys
    (tmp_path/'x'/'authority.key').write_text('no key')
    with pytest.raises(InputError, match="authority's key"): renew_server(tmp_path/'x')
    assert (tmp_path/'x'/'server.crt').exists(), "what is there is left until its heir is made"


def test_a_renewal_keeps_the_hosts(tmp_path):
    make_certificates(tmp_path/'x', ['north'], ['fl.hospital.org', '10.0.0.7'])
    authority, before = tmp_path/'x'/'authority.crt', (tmp_path/'x'/'server.crt').read_bytes()
    for days in (0, 10**8):
        with pytest.raises(InputError, match='`days`'): renew_server(tmp_path/'x', days=days)
    assert (tmp_path/'x'/'server.crt').read_bytes() == before
    renew_server(tmp_path/'x')
    for host in ('fl.hospital.org', '10.0.0.7'):
        assert handshake_fault(tmp_path/'x', authority, host) is None
    assert handshake_fault(tmp_path/'x', authority, 'hospital.org')
    make_certificates(tmp_path/'y', ['north'])
    (tmp_path/'x'/'authority.key').write_bytes((tmp_path/'y'/'authority.key').read_bytes())
    with pytest.raises(InputError, match='not of its'): renew_server(tmp_path/'x')


def test_whoever_runs_the_server_reaches_it_from_there(tmp_path):
    make_certificates(tmp_path/'x', ['north'], 'fl.hospital.org')
    for _ in range(2):
        for host in ('fl.hospital.org', '127.0.0.1', 'localhost'):
            assert handshake_fault(tmp_path/'x', tmp_path/'x'/'authority.crt', host) is None
        renew_server(tmp_path/'x', ['10.0.0.9', 'fl.hospital.org'])


@pytest.mark.skipif(not is_there(), reason="Flower is not installed")
def test_a_port_in_use_is_said(folder):
    with socket.socket() as taken:
        taken.bind(('127.0.0.1', 0))
        taken.listen()
        with pytest.raises(InputError, match='`port` must be free'):
            start_superlink(folder, taken.getsockname()[1])


def test_what_is_no_certificate(folder, tmp_path):
    (tmp_path/'bad.crt').write_text('-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----')
    for bad in (tmp_path/'bad.crt', tmp_path/'none.crt'):
        with pytest.raises(InputError, match='cannot be read'):
            certificate_fault(bad, folder/'authority.crt', 'localhost')


def test_addresses():
    assert address_of('fl.org:8000') == ('fl.org', 8000) and address_of('[::1]:80') == ('::1', 80)
    for bad in ('fl.org', 'https://fl.org:80', ':80', 'h:²', 'a:0', 'a:99999', 'a:b', None):
        with pytest.raises(InputError, match='`superlink`'): address_of(bad)


def test_nobody_there(folder):
    assert 'Nobody answers' in connection_fault('127.0.0.1:1', folder/'authority.crt', 1.)
    assert why_refused('all is well') is None


def test_settings_and_results(tmp_path):
    assert settings_of(['lr=.5', 'a=0.5', 'n=3', 'on=true', 'way=iid']) == {
        'lr': '.5', 'a': .5, 'n': 3, 'on': True, 'way': 'iid'}
    for bad in (['lr'], ['=3'], ['a=[1]'], ['a=NaN'], ['a=Infinity'], ['a=1e999'], ['a b=3'],
                ['num-rounds=2'], ['seed=1'], ['round-timeout=5'], ['out=x.npz']):
        with pytest.raises(InputError, match='`setting`'): settings_of(bad)
    (tmp_path/'x.npz').write_bytes(b'no')
    for bad in ('x.npz', 'y.npz'):
        with pytest.raises(InputError, match=bad): read_run(tmp_path/bad)


@pytest.mark.parametrize('kept, reasons', [
    ({'reasons': {'reasons': ['a', 'ü: b']}}, ['a', 'ü: b']), ({'reasons': {'reasons': []}}, []),
    ({}, []), ({'reasons': {'reasons': 3}}, []), ({'reasons': {'reasons': [1, 2]}}, ['1', '2'])])
def test_reasons_stay_beside_the_model(tmp_path, kept, reasons):
    context = SimpleNamespace(state={'history': {'train/used': [1]}} | kept)
    model, history, found = read_run(save_run(context, tmp_path/'x.npz'))
    assert model == {} and list(history) == ['train/used'] and found == reasons


@pytest.mark.parametrize('words', [
    ['--host', 'fl.hospital.org'], ['--host', '10.0.0.9', '--host', 'localhost'], []])
def test_the_servers_own_machine_is_always_named(tmp_path, words):
    from cli.runs import dlcourse
    dlcourse('federated', 'certificates', tmp_path/'f', '--site', 'a', *words)
    for host in ('127.0.0.1', *words[1::2]):
        assert handshake_fault(tmp_path/'f', tmp_path/'f'/'authority.crt', host) is None
    dlcourse('federated', 'certificates', tmp_path/'f', '--add', '--site', 'b')
    assert (tmp_path/'f'/'b.key').is_file()
    for odd in (['--renew', '--add'], ['--add', '--site', 'b'], ['--add'],
                ['--add', '--site', 'c', '--host', 'x.org'], ['--renew', '--site', 'c']):
        assert dlcourse('federated', 'certificates', tmp_path/'f', *odd)[0] == 2
    assert not (tmp_path/'f'/'c.key').exists()


@pytest.mark.parametrize('host', [
    'a.clinic.org', 'A.Clinic.org', 'clinic.org', 'a.b.clinic.org', 'fl.org', 'x.fl.org',
    '10.0.0.7', '10.0.0.70'])
def test_openssl_and_both_rules_agree_on_stars(tmp_path, host):
    names = ['*.clinic.org', 'fl.org', '10.0.0.7']
    make_certificates(tmp_path/'f', ['north'], names)
    authority = tmp_path/'f'/'authority.crt'
    good = handshake_fault(tmp_path/'f', authority, host) is None
    assert names_host(host, names) == good
    assert (certificate_fault(tmp_path/'f'/'server.crt', authority, host) is None) == good


def test_a_round_ends_as_second_by_second():
    for arrivals in ([10, 20, 90], [70, 5, 30], [61, 62, 63], [3, 3, 3]):
        for least in (1, 2, 3):
            there = [sum(a <= second for a in arrivals) for second in range(100)]
            ends = next(s for s, n in enumerate(there) if n == 3 or s >= 60 and n >= least)
            assert round_ends(arrivals, 60, least) == ends
