"Signed tokens: against RFC 8037, by other programs, and what is refused"
import base64
import hashlib
import hmac
import json
import os
import warnings
from pathlib import Path

import pytest

pytest.importorskip('jwt')
pytest.importorskip('cryptography')
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519, rsa

from dlcourse.core.errors import InputError
from dlcourse.grading.signatures import (
    NoProof,
    did_of,
    jwk_of,
    new_key,
    open_token,
    own_jwk,
    public_jwk,
    read_private,
    read_public,
    sign,
    thumbprint,
    usual_key,
)

# RFC 8037, appendix A
SEED = 'nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A'
RFC = dict(crv='Ed25519', kty='OKP', x='11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo')
THUMBPRINT = 'kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k'
SIGNED = ('eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-'
          '09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg')
SAID = dict(name='Ada', passed=7)


def raw(text): return base64.urlsafe_b64decode(text + '='*(-len(text) % 4))


def piece(data):
    data = data if isinstance(data, bytes) else json.dumps(data).encode()
    return base64.urlsafe_b64encode(data).rstrip(b'=').decode()


@pytest.fixture(scope='module')
def key(): return ed25519.Ed25519PrivateKey.from_private_bytes(raw(SEED))


@pytest.fixture(scope='module')
def other(): return ed25519.Ed25519PrivateKey.from_private_bytes(bytes(32))


def by_hand(header, claims, key):
    "A token of any header, signed over its first two pieces"
    front = f'{piece(header)}.{piece(claims)}'
    return f'{front}.{piece(key.sign(front.encode()))}'


def test_the_key_and_its_thumbprint_are_those_of_the_rfc(key):
    assert public_jwk(key) == RFC and thumbprint(RFC) == THUMBPRINT
    assert jwk_of(did_of(RFC)) == RFC
    assert own_jwk(RFC | dict(kid='a', alg='EdDSA', use='sig')) == RFC


def test_the_library_signs_as_the_rfc_does(key):
    import jwt
    assert jwt.PyJWS().encode(
        b'Example of Ed25519 signing', key, 'EdDSA', headers=dict(typ=None)) == SIGNED
    with pytest.raises(NoProof, match='no JSON object'): open_token(SIGNED, RFC)
    with pytest.raises(NoProof, match='no key came with it'): open_token(SIGNED)
    with pytest.raises(NoProof, match='does not hold'): open_token(SIGNED[:-4] + 'AAAA', RFC)


def test_what_we_sign_others_verify(key):
    token = sign(SAID, key)
    head, body, signature = token.split('.')
    assert json.loads(raw(head)) == dict(alg='EdDSA', typ='JWT', jwk=RFC)
    assert json.loads(raw(body)) == SAID
    public = ed25519.Ed25519PublicKey.from_public_bytes(raw(RFC['x']))
    public.verify(raw(signature), f'{head}.{body}'.encode())
    with pytest.raises(InvalidSignature): public.verify(raw(signature), f'{head}.{body}A'.encode())
    joserfc = pytest.importorskip('joserfc.jwt')
    from joserfc.jwk import OKPKey
    with warnings.catch_warnings():
        warnings.simplefilter('ignore') # It would have the name of RFC 9864
        known = OKPKey.import_key(RFC)
        assert joserfc.decode(token, known, algorithms=['EdDSA']).claims == SAID
        assert known.thumbprint() == THUMBPRINT
        private = OKPKey.import_key(RFC | dict(d=SEED))
        theirs = joserfc.encode(dict(alg='EdDSA'), SAID, private, algorithms=['EdDSA'])
    assert open_token(theirs, RFC) == (SAID, RFC)


def test_a_token_is_read_however_it_was_wrapped(key):
    token = sign(SAID, key)
    wrapped = '\n '.join(token[i:i+40] for i in range(0, len(token), 40))
    assert open_token(f' {wrapped}\r\n', RFC) == open_token(token) == (SAID, RFC)


def refused(key, other):
    "Name → token, the key that is given, and what is said"
    token = sign(SAID, key)
    head, body, signature = token.split('.')
    secret = json.dumps(RFC).encode()
    confused = f"{piece(dict(alg='HS256', typ='JWT'))}.{piece(SAID)}"
    mac = piece(hmac.new(secret, confused.encode(), hashlib.sha256).digest())
    def headed(**more): return by_hand(dict(alg='EdDSA', typ='JWT') | more, SAID, key)
    ed = piece(ed448.Ed448PrivateKey.generate().public_key().public_bytes_raw())
    return {
        'payload': (f'{head}.{piece(SAID | dict(passed=10))}.{signature}', RFC, 'does not hold'),
        'signature': (f'{head}.{body}.{piece(bytes(64))}', RFC, 'does not hold'),
        'cut': (f'{head}.{body}.{signature[:40]}', RFC, 'does not hold'),
        'other key': (sign(SAID, other), RFC, 'signed with another key'),
        'its key is a lie': (by_hand(dict(alg='EdDSA', jwk=RFC), SAID, other), RFC, 'not hold'),
        'and nobody else has one': (by_hand(dict(alg='EdDSA', jwk=RFC), SAID, other), None,
                                    'not hold'),
        'none': (f"{piece(dict(alg='none', typ='JWT'))}.{body}.", RFC, "signed by 'none'"),
        'None': (f"{piece(dict(alg='None', typ='JWT'))}.{body}.{signature}", RFC, "'None'"),
        'no algorithm': (by_hand(dict(typ='JWT'), SAID, key), RFC, "signed by 'None'|cannot be"),
        'secret': (f'{confused}.{mac}', RFC, "signed by 'HS256'"),
        'rsa': (headed(alg='RS256'), RFC, "signed by 'RS256'"),
        'a list of algorithms': (headed(alg=['EdDSA']), RFC, 'signed by|cannot be read'),
        'type': (headed(typ='at+jwt'), RFC, "'at\\+jwt', and must be a JWT"),
        'type in colour': (headed(typ='\x1b[31m'), RFC, '\N{REPLACEMENT CHARACTER}\\[31m'),
        'critical': (headed(crit=['exp']), RFC, 'says more than it may|cannot be read'),
        'key by address': (headed(jku='https://example.com'), RFC, 'says more than it may'),
        'a private key came along': (headed(jwk=RFC | dict(d=SEED)), None, 'none of Ed25519'),
        'another curve': (headed(jwk=dict(kty='OKP', crv='Ed448', x=ed)), None, 'none of Ed25519'),
        'a shared secret': (headed(jwk=dict(kty='oct', k=SEED)), None, 'none of Ed25519'),
        'a word for a key': (headed(jwk='key'), None, 'none of Ed25519'),
        'no object': (by_hand(dict(alg='EdDSA'), [1], key), RFC, 'no JSON object'),
        'no JSON': (by_hand(dict(alg='EdDSA'), b'{', key), RFC, 'no JSON object'),
        'deep': (by_hand(dict(alg='EdDSA'), b'['*200_000, key), RFC, 'no JSON object'),
        'deep header': (f"{piece(b'['*200_000)}.{body}.{signature}", RFC, 'cannot be read'),
        'no header': (f'AAAA.{body}.{signature}', RFC, 'cannot be read'),
        'prose': ('I, the teacher, say so', RFC, 'no signed record'),
        'nothing': ('', RFC, 'no signed record'),
        'two pieces': (f'{head}.{body}', RFC, 'no signed record'),
        'four pieces': (f'{token}.{signature}', RFC, 'no signed record'),
        'letters of others': (token.replace('e', 'е'), RFC, 'no signed record'),
    }


def test_what_proves_nothing_is_refused_in_a_sentence(key, other):
    for name, (token, given, says) in refused(key, other).items():
        with pytest.raises(NoProof, match=says) as e: open_token(token, given)
        assert str(e.value).isprintable() and len(str(e.value)) < 300, name


def test_every_changed_bit_is_found(key):
    token = sign(dict(a=1), key)
    head, body, signature = token.split('.')
    for i in range(0, len(raw(body))*8, 3):
        changed = bytearray(raw(body))
        changed[i//8] ^= 1 << i % 8
        with pytest.raises(NoProof): open_token(f'{head}.{piece(bytes(changed))}.{signature}', RFC)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('HOME', str(tmp_path/'home'))
    monkeypatch.delenv('XDG_CONFIG_HOME', raising=False)
    return tmp_path


@pytest.mark.skipif(os.name != 'posix', reason="needs file modes")
def test_a_key_is_made_once_and_for_its_owner_only(desk):
    old = os.umask(0)
    try: pair = new_key()
    finally: os.umask(old)
    assert pair.private == usual_key() and pair.new
    assert usual_key().is_relative_to(desk/'home')
    assert pair.private.stat().st_mode & 0o777 == 0o600
    assert pair.private.parent.stat().st_mode & 0o777 == 0o700
    before = pair.private.read_bytes(), pair.public.read_bytes()
    again = new_key()
    assert not again.new and again.fingerprint == pair.fingerprint
    assert 'left as it is' in str(again) and 'made' in str(pair)
    assert (pair.private.read_bytes(), pair.public.read_bytes()) == before
    pair.public.unlink()
    assert new_key().public.read_bytes() == before[1], "the public key can be had again"
    assert b'"d"' not in before[1] and json.loads(before[1])['kid'] == pair.fingerprint


def test_nothing_is_written_over(desk):
    first = new_key(private=Path('a.pem'), public=Path('a.jwk'))
    with pytest.raises(InputError, match='holds another key'):
        new_key(private=Path('b.pem'), public=Path('a.jwk'))
    with pytest.raises(InputError, match='are one file'):
        new_key(private=Path('c.pem'), public=Path('c.pem'))
    assert not Path('c.pem').exists()
    Path('d.pem').write_text('my diary')
    Path('d.pem').chmod(0o600)
    with pytest.raises(InputError, match='must be a private key of Ed25519 in PEM'):
        new_key(private=Path('d.pem'), public=Path('d.jwk'))
    assert Path('d.pem').read_text() == 'my diary' and thumbprint(read_public('a.jwk')) \
        == first.fingerprint


def test_a_key_that_others_can_read_is_not_used(desk):
    pair = new_key(private=Path('a.pem'))
    pair.private.chmod(0o640)
    with pytest.raises(InputError, match='chmod 600 a.pem'): read_private(pair.private)


def test_keys_of_other_kinds_are_refused(desk, key):
    s = serialization
    def private(k, lock): return k.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, lock)
    def public(k): return k.public_key().public_bytes(s.Encoding.PEM,
                                                      s.PublicFormat.SubjectPublicKeyInfo)
    rsa_key = rsa.generate_private_key(65537, 2048)
    for data in (private(rsa_key, s.NoEncryption()), private(key, s.BestAvailableEncryption(b'x')),
                 public(key), b'', b'\xff'*99):
        Path('k.pem').write_bytes(data)
        Path('k.pem').chmod(0o600)
        with pytest.raises(InputError, match='must be a private key of Ed25519'):
            read_private('k.pem')
    Path('k.pub').write_bytes(public(key))
    assert read_public('k.pub') == RFC
    for data in (public(rsa_key), b'', b'{}', b'[]', b'"x"', b'-----BEGIN', b'['*9000,
                 json.dumps(RFC | dict(x='AAAA')).encode(), json.dumps(RFC | dict(x=3)).encode(),
                 json.dumps(RFC | dict(crv='X25519')).encode()):
        Path('k.pub').write_bytes(data)
        with pytest.raises(InputError, match='must be a public key of Ed25519'):
            read_public('k.pub')
    for data in (private(key, s.NoEncryption()), json.dumps(RFC | dict(d=SEED)).encode()):
        Path('k.pub').write_bytes(data)
        with pytest.raises(InputError, match='holds a private key'): read_public('k.pub')
    Path('k.pub').write_bytes(b' '*20_000)
    with pytest.raises(InputError, match='larger than 10 kB'): read_public('k.pub')
    with pytest.raises(InputError, match='there is no such file'): read_public('nobody.jwk')
    with pytest.raises(InputError, match='is no key'): read_public(desk)
