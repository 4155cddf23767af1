"Secret sums: exact, with drop-outs, and of what a single client sends nothing can be seen"
import numpy as np
import pytest
import torch

from dlcourse.core.errors import InputError
from dlcourse.federated.fixed_point import (
    PRIME,
    FixedPoint,
    agreed_key,
    join_secret,
    key_stream,
    split_secret,
)
from dlcourse.federated.secret_sums import MaskingClient, secure_sum

pytest.importorskip('cryptography')


def updates(n=6, dim=50, seed=0):
    rng = np.random.default_rng(seed)
    return {k: rng.normal(0, .2, dim) for k in range(n)}


def chi_squared(raw):
    counts = np.bincount(raw, minlength=256)
    return float(((counts - counts.mean())**2/counts.mean()).sum())


@pytest.mark.parametrize('bits,modulus', [(8, 32), (20, 32), (40, 64)])
def test_a_sum_is_exact_in_steps(bits, modulus):
    own = updates()
    fixed = FixedPoint(clients=6, clipping_range=2., bits=bits, modulus_bits=modulus)
    found = secure_sum(own, fixed)
    steps = sum(np.rint(u/fixed.step) for u in own.values())
    np.testing.assert_allclose(found.total/fixed.step, steps, atol=1e-6)
    assert found.answered == tuple(range(6)) and not found.dropped
    np.testing.assert_allclose(found.mean*6, found.total)


@pytest.mark.parametrize('value', [0., 1., -1.])
def test_what_one_client_sends_is_uniform(value):
    "Even where all of it is the same number: chi-squared, every byte, both ends of the modulus"
    fixed = FixedPoint(clients=3, clipping_range=1.)
    found = secure_sum({k: np.full(60_000, value) for k in range(3)}, fixed)
    for sent in found.seen.values():
        raw = sent.view('u1').reshape(-1, 4)
        for byte in raw.T: assert 140 < chi_squared(byte) < 400 # p < 1e-6 on each side
        assert sent.max() > 2**32*(1 - 1e-3) and sent.min() < 2**32*1e-3
    a, b = (found.seen[k].astype(float) for k in (0, 1))
    assert abs(np.corrcoef(a, b)[0, 1]) < .03


def test_the_same_update_is_sent_differently_in_every_round():
    fixed, own = FixedPoint(clients=2, clipping_range=1.), {0: np.ones(20)/2, 1: np.zeros(20)}
    seen = [secure_sum(own, fixed, threshold=2).seen[0] for _ in range(2)]
    assert not np.array_equal(*seen)


def test_who_drops_out_is_left_out_and_the_rest_is_right():
    own = updates(7)
    told = own | {2: None, 5: np.array([np.nan]*50)}
    found = secure_sum(told, FixedPoint(clients=7, clipping_range=2.), threshold=4, late=[6])
    assert found.dropped == (2, 5) and found.answered == (0, 1, 3, 4, 6)
    np.testing.assert_allclose(found.total, sum(own[k] for k in (0, 1, 3, 4, 6)), atol=1e-4)


def test_too_few_leave_no_sum():
    told = updates(6) | {0: None, 1: None}
    with pytest.raises(InputError, match='`threshold` is 5, and only 4'):
        secure_sum(told, FixedPoint(clients=6, clipping_range=1.))
    with pytest.raises(InputError, match='`updates` must be of 2 to 3'):
        secure_sum(updates(4), FixedPoint(clients=3, clipping_range=1.))
    with pytest.raises(InputError, match='`threshold` is 2, and only 1'):
        secure_sum({0: np.ones(2), 1: np.ones(3)}, FixedPoint(clients=2, clipping_range=1.))
    with pytest.raises(InputError, match='`threshold`'):
        secure_sum(updates(3), FixedPoint(clients=3, clipping_range=1.), threshold=0)


@pytest.mark.parametrize('odd', [
    np.ones(2), np.ones((50, 1)), [[1.], [1., 2.]], ['a']*50, np.ones(50, int), object(),
    np.full(50, np.inf), torch.ones(50, device='meta')])
def test_one_odd_client_does_not_stop_the_others(odd):
    own = updates(4)
    found = secure_sum(own | {2: odd}, FixedPoint(clients=4, clipping_range=2.), threshold=3)
    assert (found.answered, found.dropped) == ((0, 1, 3), (2,))
    np.testing.assert_allclose(found.total, own[0] + own[1] + own[3], atol=1e-4)


def test_a_tensor_with_a_gradient_is_floats_like_any_other():
    told = {0: torch.ones(2, requires_grad=True), 1: np.ones(2), 2: np.ones(2)}
    found = secure_sum(told, FixedPoint(clients=3, clipping_range=1.))
    np.testing.assert_allclose(found.total, [3., 3.], atol=1e-4)


def test_a_wrong_question_spoils_no_right_one():
    clients = {k: MaskingClient(k, FixedPoint(clients=3, clipping_range=1.), 2) for k in range(3)}
    publics = {k: c.public for k, c in clients.items()}
    letters = {k: c.share(publics) for k, c in clients.items()}
    for k, c in clients.items(): c.receive({j: own[k] for j, own in letters.items() if j != k})
    clients[0].masked(np.ones(2))
    with pytest.raises(InputError, match="no letter came of .*7"): clients[0].reveal([0, 7], [1])
    assert set(clients[0].reveal([0, 1], [2])) == {0, 1, 2}
    with pytest.raises(InputError, match='`receive` comes before'):
        clients[0].receive({1: letters[1][0]})


@pytest.mark.parametrize('given,name', [
    (dict(clipping_range=0.), 'clipping_range'), (dict(clipping_range=-1.), 'clipping_range'),
    (dict(clipping_range=float('nan')), 'clipping_range'),
    (dict(clipping_range=float('inf')), 'clipping_range'), (dict(bits=1), 'bits'),
    (dict(modulus_bits=16), 'modulus_bits'), (dict(bits=31), 'may not fit'),
    (dict(clients=0), 'clients'), (dict(clients=4097), 'may not fit')])
def test_ranges_are_checked(given, name):
    with pytest.raises(InputError, match=name):
        FixedPoint(**dict(clients=3, clipping_range=1.) | given)


def test_the_largest_sum_that_is_allowed_does_not_wrap():
    fixed = FixedPoint(clients=4096, clipping_range=1.)
    for end in (1., -1.):
        total = np.uint32(4096)*fixed.encode(np.array([end]))
        np.testing.assert_allclose(fixed.decode(total), 4096*end)


@pytest.mark.parametrize('values', [np.array([1, 2]), np.array([np.inf]), np.array([np.nan, 1])])
def test_numbers_that_are_no_finite_floats(values):
    with pytest.raises(InputError, match='`values` must be'):
        FixedPoint(clients=2, clipping_range=1.).encode(values)


def test_beyond_the_range_is_clipped():
    fixed = FixedPoint(clients=2, clipping_range=.5)
    np.testing.assert_allclose(fixed.decode(fixed.encode(np.array([9., -9]))), [.5, -.5])


def test_streams_are_aes_in_counter_mode():
    "The first block of a key of zeros is AES-256 of zeros, a published value"
    assert key_stream(bytes(32), 16, 'u1').tobytes().hex() == 'dc95c078a2408989ad48a21492842087'
    with pytest.raises(InputError, match='`key` must be 32 bytes'): key_stream(b'short', 3)


def test_two_agree_and_purposes_differ():
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
    a, b, c = (X25519PrivateKey.generate() for _ in range(3))
    public = [k.public_key().public_bytes_raw() for k in (a, b, c)]
    assert agreed_key(a, public[1], 'masks') == agreed_key(b, public[0], 'masks')
    assert agreed_key(a, public[1], 'masks') != agreed_key(a, public[1], 'letters')
    assert agreed_key(a, public[1], 'masks') != agreed_key(a, public[2], 'masks')


def test_shares():
    secret = bytes(range(32))
    shares = split_secret(secret, 3, [4, 0, 9, 2])
    for gone in shares:
        assert join_secret({k: v for k, v in shares.items() if k != gone}, 3) == secret
    with pytest.raises(InputError, match='`shares` must be 3 or more'):
        join_secret(dict(list(shares.items())[:2]), 3)
    with pytest.raises(InputError, match='not those of one secret'):
        join_secret({k: v*(k + 7)**30 % (2**521 - 1) for k, v in shares.items()}, 3)
    with pytest.raises(InputError, match='`threshold`'): split_secret(secret, 5, range(4))
    with pytest.raises(InputError, match='`secret`'): split_secret(bytes(65), 2, range(4))


class Round:
    "Three clients, as far as their letters"
    def __init__(self, threshold=2):
        fixed = FixedPoint(clients=3, clipping_range=1.)
        self.clients = [MaskingClient(k, fixed, threshold) for k in range(3)]
        self.publics = {k: c.public for k, c in enumerate(self.clients)}
        self.letters = {k: c.share(self.publics) for k, c in enumerate(self.clients)}
        for k, c in enumerate(self.clients):
            c.receive({j: own[k] for j, own in self.letters.items() if j != k})


def test_never_both_shares_of_a_client():
    client = Round().clients[0]
    client.masked(np.zeros(3))
    with pytest.raises(InputError, match='both were said'): client.reveal([0, 1], [1])
    client.reveal([0, 1], [2])
    with pytest.raises(InputError, match='once'): client.reveal([0, 2], [1])


def test_a_server_that_asks_for_too_much_is_refused():
    client = Round().clients[1]
    client.masked(np.zeros(3))
    with pytest.raises(InputError, match='for once'): client.masked(np.ones(3))
    with pytest.raises(InputError, match='nothing is revealed'): client.reveal([1], [0, 2])
    with pytest.raises(InputError, match='for once'): client.share({1: client.public})


def test_letters_that_were_changed_and_keys_that_were_exchanged():
    played = Round()
    letter = bytearray(played.letters[0][1])
    letter[20] ^= 1
    with pytest.raises(InputError, match='letter of client 0'):
        played.clients[1].receive({0: bytes(letter)})
    fixed = FixedPoint(clients=3, clipping_range=1.)
    a, b, c = (MaskingClient(k, fixed, 2) for k in range(3))
    with pytest.raises(InputError, match='own keys'): a.share({0: b.public, 1: b.public})
    with pytest.raises(InputError, match='there twice'):
        a.share({0: a.public, 1: b.public, 2: b.public})
    with pytest.raises(InputError, match='over half'):
        a.share({k: MaskingClient(9, fixed, 2).public for k in (1, 2, 3)} | {0: a.public})
    with pytest.raises(InputError, match='letters of only 0'): c.masked(np.ones(2))


@pytest.mark.parametrize('holders', [[PRIME - 1, 0, 1], [-1, 0, 1], [0, 0, 1], [.5, 1, 2]])
def test_nobody_holds_the_secret_itself(holders):
    with pytest.raises(InputError, match='`holders`'): split_secret(b'k'*32, 2, holders)


def test_no_share_is_no_secret():
    for shares, threshold in (({}, 0), ({-1: 5, 0: 3}, 2)):
        with pytest.raises(InputError): join_secret(shares, threshold)


@pytest.mark.parametrize('letter', [b'', b'12345', None])
def test_a_letter_that_is_none_is_refused(letter):
    from dlcourse.federated.secret_sums import MaskingClient
    fixed = FixedPoint(clients=2, clipping_range=1.)
    one, two = (MaskingClient(k, fixed, 2) for k in range(2))
    one.share({0: one.public, 1: two.public})
    with pytest.raises(InputError, match='not by it'): one.receive({1: letter})


def test_what_is_hidden_is_not_sent():
    fixed = FixedPoint(clients=3, clipping_range=1.)
    hidden = np.ma.masked_array(np.ones(7), [1]*7)
    with pytest.raises(InputError, match='masked'): fixed.encode(hidden)
    found = secure_sum({0: np.ones(7), 1: np.ones(7), 2: hidden}, fixed, threshold=2)
    assert found.dropped == (2,)


def test_a_round_has_one_order():
    from dlcourse.federated.secret_sums import MaskingClient
    fixed = FixedPoint(clients=3, clipping_range=1.)
    crew = [MaskingClient(k, fixed, 2) for k in range(3)]
    publics = {k: c.public for k, c in enumerate(crew)}
    with pytest.raises(InputError, match='not by it'): crew[0].receive({1: b'x'*40})
    with pytest.raises(InputError, match='letters'): crew[0].masked(np.ones(3))
    letters = {k: c.share(publics) for k, c in enumerate(crew)}
    crew[0].receive({k: letters[k][0] for k in (1, 2)})
    with pytest.raises(InputError, match='after `masked`'): crew[0].reveal([0, 1], [2])
    crew[0].masked(np.ones(3))
    crew[0].reveal([0, 1], [2])
    with pytest.raises(InputError, match='for once'): crew[0].masked(np.ones(3))


@pytest.mark.parametrize('pair', [(b'x', b'y'), None, (b'p'*32,), 5, ('a'*32, 'b'*32), b'p'*64,
                                  (bytes(32), b'q'*32)])
def test_keys_that_are_none(pair):
    from dlcourse.federated.secret_sums import MaskingClient
    fixed = FixedPoint(clients=2, clipping_range=1.)
    one, two = (MaskingClient(k, fixed, 2) for k in range(2))
    with pytest.raises(InputError):
        one.share({0: one.public, 1: pair})
        one.receive({1: two.share({0: one.public, 1: two.public})[0]})
        one.masked(np.ones(2))


@pytest.mark.parametrize('late', [0, [77], 'a', None])
def test_who_is_late_must_be_there(late):
    fixed = FixedPoint(clients=3, clipping_range=1.)
    with pytest.raises(InputError, match='`late`'):
        secure_sum({k: np.ones(2) for k in range(3)}, fixed, late=late)
