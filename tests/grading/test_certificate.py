"Records: made from a grade, read by others, checked, forged"
import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

pytest.importorskip('jwt')
pytest.importorskip('cryptography')
from grading.made_up import GOOD, HEAD, LOW, body, notebook

from dlcourse.classroom.lessons import read_lesson
from dlcourse.classroom.record import answer_digest
from dlcourse.core.errors import InputError
from dlcourse.grading.certificate import certificate, verify
from dlcourse.grading.records import OB3, SELF, V2, claims_of, edition_of, record_of
from dlcourse.grading.signatures import (
    NoProof,
    new_key,
    open_token,
    public_jwk,
    read_private,
    read_public,
    sign,
    thumbprint,
)

ATTEMPT = dict(exercise='toys.bags.middle', kind='attempt', time='2026-01-01', outcome='passed',
               held=3, claims=3, answer=answer_digest(GOOD))
HINT = dict(exercise='toys.bags.middle', kind='hint', time='2026-01-01')
LATER = datetime(2030, 1, 1, tzinfo=UTC)


def workspace(folder, *events):
    "A workspace of one who solved one of two exercises"
    notebook(folder/'nbs'/'01_toys'/'01_bags.ipynb', HEAD, GOOD)
    (folder/'.dlcourse').mkdir()
    (folder/'.dlcourse'/'workspace.json').write_text('{}')
    (folder/'.dlcourse'/'progress.jsonl').write_text('\n'.join(map(json.dumps, events)))
    return folder


@pytest.fixture(scope='module')
def desk(tmp_path_factory): return tmp_path_factory.mktemp('desk')


@pytest.fixture(scope='module')
def teacher(desk): return new_key(private=desk/'t.pem', public=desk/'t.jwk')


@pytest.fixture(scope='module')
def how(course, insist): return dict(nbs=course/'nbs', sandbox=insist, limits=LOW)


@pytest.fixture(scope='module')
def made(desk, teacher, how):
    ada = workspace(desk/'ada', HINT, HINT, ATTEMPT)
    return certificate(ada, name=' Ada  Lovelace', issuer='School & Co <b>', key=teacher.private,
                       out=desk/'ada.jwt', with_answers=True, days=365, **how)


@pytest.fixture(scope='module')
def claims(made, teacher): return open_token(made.token, read_public(teacher.public))[0]


def resigned(claims, teacher, path):
    "Other claims, signed with the teacher's key all the same"
    path.write_text(sign(claims, read_private(teacher.private)))
    return path


def test_all_exercises_of_a_lesson_stand_on_it(made, course):
    r = made.record
    assert (r.name, r.issuer, r.self_signed, r.passed[0].exercise) \
        == ('Ada Lovelace', 'School & Co <b>', False, 'toys.bags.middle')
    assert r.rows() == [('toys.bags.middle', 'passed', '2 of 2', 'outside', 'with 2 hints'),
                        ('toys.bags.Bag.draw', 'not tried', '0 of 1', '', '')]
    assert r.summary == '1 of 2 exercises of 1 lesson passed, 2 of 3 points'
    lesson = read_lesson(course/'nbs'/'01_toys'/'01_bags.ipynb')
    assert r.lessons == {'toys.bags': edition_of(lesson)} 
    assert list(r.answers) == ['toys.bags.middle']
    assert r.answers['toys.bags.middle'] == GOOD
    assert made.file.read_text().strip() == made.token


def test_it_is_an_open_badge(claims, made):
    "What section 8.2 of Open Badges 3.0 asks of a credential as a JWT"
    c, subject = claims, claims['credentialSubject']
    assert c['@context'][:2] == [V2, OB3] and c['type'] == ['VerifiableCredential',
                                                           'OpenBadgeCredential']
    assert c['iss'] == c['issuer']['id'] and c['issuer']['type'] == ['Profile']
    assert c['jti'] == c['id'] and c['id'].startswith('urn:uuid:')
    assert c['sub'] == subject['id'] and c['sub'] != c['iss']
    assert datetime.fromisoformat(c['validFrom']).timestamp() == c['nbf']
    assert datetime.fromisoformat(c['validUntil']).timestamp() == c['exp'] == c['nbf'] + 365*86400
    assert 'vc' not in c and 'proof' not in c
    assert subject['type'] == ['AchievementSubject']
    assert subject['identifier'] == [dict(type='IdentityObject', hashed=False, identityType='name',
                                          identityHash='Ada Lovelace')]
    a = subject['achievement']
    assert all(isinstance(a[k], str) for k in ('id', 'name', 'description', 'version'))
    assert a['type'] == ['Achievement'] and 'learner' in a['criteria']['narrative']
    ids = {d['id'] for d in a['resultDescription']}
    assert {r['resultDescription'] for r in subject['result']} == ids and len(ids) == 2
    assert [(r['value'], r.get('status')) for r in subject['result']] == [('2', 'Completed'),
                                                                         ('0', None)]
    assert all(isinstance(d['valueMax'], str) and d['resultType'] == 'RawScore'
               for d in a['resultDescription'])


def test_it_says_nothing_about_the_learner_that_was_not_given(made, desk):
    text = json.dumps(open_token(made.token)[0])
    assert str(desk) not in text and '/ada' not in text and '2026-01-01' not in text


def test_a_valid_one(made, teacher, how):
    verdict = verify(made.file, key=teacher.public, inside=True, **how)
    assert verdict.valid and verdict.record == made.record, verdict
    assert verdict.again.startswith('Again: 1 of 1 answers passed')
    assert verdict.edition == 'Edition: its lessons are those that are installed here.'
    said = str(verdict)
    assert said.startswith('Valid: signed by School & Co <b> with the key ')
    assert teacher.fingerprint in said and 'with 2 hints' in said and "own word" in said
    assert verify(made.file, key=teacher.public, again=made.file.parent/'ada', **how).valid
    assert json.loads(json.dumps(verdict.to_dict()))['valid'] is True


def test_without_a_key_nothing_is_valid(made, how):
    verdict = verify(made.file, **how)
    assert not verdict.valid and verdict.record == made.record
    assert 'came along in the file' in verdict.says and 'who says to be School & Co' in verdict.says


def test_a_learner_can_sign_for_themselves_and_everything_says_so(made, desk, how, capsys):
    own = new_key(private=desk/'own.pem', public=desk/'own.jwk')
    mine = certificate(desk/'ada', name='Ada', key=own.private, out=desk/'own.jwt', **how)
    assert SELF in str(mine) and SELF in mine.page.read_text() and mine.record.self_signed
    said = open_token(mine.token)[0]
    assert said['sub'] == said['iss'] and SELF in said['credentialSubject']['achievement'][
        'description']
    verdict = verify(mine.file, key=own.public, **how)
    assert verdict.valid and SELF in str(verdict)
    alone = verify(mine.file, **how)
    assert not alone.valid and 'by the learner themselves' in alone.says and SELF in str(alone)
    with pytest.raises(InputError, match='no answers came along'):
        verify(mine.file, key=own.public, inside=True, **how)
    # Somebody else's name, and one's own key
    other = certificate(desk/'ada', name='Ada', issuer='School & Co <b>', key=own.private,
                        out=desk/'other.jwt', **how)
    verdict = verify(other.file, key=desk/'t.jwk', **how)
    assert not verdict.valid and 'signed with another key' in verdict.says and not verdict.record
    # The mark taken off, or put on
    for change in (dict(self_signed=False), dict(self_signed=True)):
        text = said if not change['self_signed'] else open_token(other.token)[0]
        changed = text | dict(grading=text['grading'] | change)
        with pytest.raises(NoProof, match='in two ways'):
            record_of(changed, read_public(own.public))


def test_time(made, teacher, how, claims, desk):
    late = verify(made.file, key=teacher.public, now=LATER, **how)
    assert not late.valid and 'it was valid until' in late.says
    early = verify(made.file, key=teacher.public, now=datetime(2020, 1, 1, tzinfo=UTC), **how)
    assert not early.valid and 'has not come' in early.says
    ever = {k: v for k, v in claims.items() if k not in ('exp', 'validUntil')}
    ever = resigned(ever, teacher, desk/'ever.jwt')
    assert verify(ever, key=teacher.public, now=LATER, **how).valid


def test_a_record_must_be_one_even_where_its_signature_holds(claims, teacher, desk, how):
    g = claims['grading']
    for change, says in [
        (dict(iss='x'), 'two ways'), (dict(jti='x'), 'two ways'), (dict(sub='x'), 'two ways'),
        (dict(nbf=0), 'two ways'), (dict(exp=0), 'two ways'), (dict(validUntil=None), 'two ways'),
        ({'@context': [V2]}, 'no Open Badge'), (dict(type='x'), 'no Open Badge'),
        (dict(issuer='x'), 'another kind'), (dict(validFrom=3), 'another kind'),
        (dict(grading=None), 'another kind'), (dict(grading=g | dict(more=1)), 'no key of'),
        (dict(grading=g | dict(exercises=[3])), 'must be'), (dict(credentialSubject=[]), 'kind'),
        (dict(grading=g | dict(lessons={'a': 1})), 'must be of type'),
        (dict(validFrom='2026-01-01T00:00:00', nbf=1767225600), 'another kind'),
        (dict(grading=g | dict(exercises=g['exercises']*501)), 'too many'),
        (dict(grading=g | dict(name=['x'])), 'must be of type')]:
        path = resigned(claims | change, teacher, desk/'bad.jwt')
        verdict = verify(path, key=teacher.public, **how)
        assert not verdict.valid and says in verdict.says and verdict.record is None, change
        assert verdict.says.isprintable() and len(verdict.says) < 700
    path = resigned(dict(sub='somebody', admin=True), teacher, desk/'token.jwt')
    assert 'no record of this course' in verify(path, key=teacher.public, **how).says


def test_text_of_a_signer_is_shown_and_never_obeyed(claims, teacher, desk, how):
    evil = '\x1b[2J<script>alert(1)</script>\u202e'
    g = claims['grading']
    graded = [e | dict(title=evil, solved=evil, judged=evil, exercise=f'toys.bags.{i}{evil}')
              for i, e in enumerate(g['exercises'])]
    lessons = {'toys.bags': evil, evil: evil}
    more = dict(name=evil, exercises=graded, version=evil, sandbox=evil, lessons=lessons)
    subject = json.loads(json.dumps(claims['credentialSubject']))
    subject['identifier'][0]['identityHash'] = evil
    for e, result in zip(graded, subject['result'], strict=True):
        result['resultDescription'] = f"urn:dlcourse:exercise:{e['exercise']}"
    changed = claims | dict(grading=g | more, issuer=claims['issuer'] | dict(name=evil),
                            credentialSubject=subject)
    verdict = verify(resigned(changed, teacher, desk/'evil.jwt'), key=teacher.public, **how)
    assert all(line.isprintable() for line in str(verdict).splitlines())
    from dlcourse.grading.records import certificate_page
    page = certificate_page(verdict.record, 'a.b.c')
    assert '<script' not in page and '&lt;script' in page and '\x1b' not in page


def test_an_edition_that_is_another_is_named(made, teacher, how, tmp_path):
    other = tmp_path/'nbs'/'01_toys'
    other.mkdir(parents=True)
    page = (how['nbs']/'01_toys'/'01_bags.ipynb').read_text()
    assert 'Of nothing there is none.' in page
    (other/'01_bags.ipynb').write_text(page.replace('Of nothing there is none.', 'Of nothing.'))
    verdict = verify(made.file, key=teacher.public, **how | dict(nbs=tmp_path/'nbs'))
    assert verdict.valid and verdict.edition == 'Edition: toys.bags is another here.'
    shutil.move(other/'01_bags.ipynb', tmp_path/'away.ipynb')
    verdict = verify(made.file, key=teacher.public, **how | dict(nbs=tmp_path/'nbs'))
    assert verdict.valid and verdict.edition == 'Edition: toys.bags is not here.'
    with pytest.raises(InputError, match='none of its lessons is installed'):
        verify(made.file, key=teacher.public, inside=True, **how | dict(nbs=tmp_path/'nbs'))


def test_other_answers_are_found(made, teacher, how, tmp_path, claims, desk):
    def again(*cells):
        page = notebook(tmp_path/'x.ipynb', HEAD, *cells)
        return verify(made.file, key=teacher.public, again=page, **how)
    assert again(GOOD + '   \n').valid, "blanks at the ends of lines do not count"
    verdict = again(body('return sorted(xs)[len(xs)//2]'))
    assert not verdict.valid and 'another answer there than the one that was signed' in verdict.says
    assert not again().valid and 'has no answer there' in again().says
    # One that was signed and never passed
    bad, g = body('return 0.'), claims['grading']
    from dlcourse.classroom.record import answer_digest
    graded = [e | dict(answer=answer_digest(bad)) if e['outcome'] == 'passed' else e
              for e in g['exercises']]
    lie = claims | dict(grading=g | dict(exercises=graded, answers={'toys.bags.middle': bad}))
    path = resigned(lie, teacher, desk/'lie.jwt')
    verdict = verify(path, key=teacher.public, inside=True, **how)
    assert not verdict.valid and verdict.says == 'toys.bags.middle does not pass again'
    with pytest.raises(InputError, match='two places'):
        verify(path, key=teacher.public, inside=True, again=tmp_path/'x.ipynb', **how)


def test_how_it_was_solved_where_the_record_is_lost_or_odd(desk, teacher, how, tmp_path):
    def solved(folder, out):
        found = certificate(folder, name='B', issuer='T', key=teacher.private,
                            out=tmp_path/out, **how)
        return found.record.rows()[0][4]
    alone = workspace(tmp_path/'alone', ATTEMPT)
    assert solved(alone, 'a.jwt') == 'alone'
    page = next(alone.rglob('*.ipynb'))
    assert solved(page, 'b.jwt') == 'not recorded'
    seen = workspace(tmp_path/'seen', dict(HINT, kind='solution'), ATTEMPT)
    before = {p: p.read_bytes() for p in seen.rglob('*') if p.is_file()}
    assert solved(seen, 'c.jwt') == 'after the solution was seen'
    assert {p: p.read_bytes() for p in seen.rglob('*') if p.is_file()} == before
    place = seen/'.dlcourse'/'progress.jsonl'
    place.write_bytes(b'['*100_000 + b'\n\xff\n{"kind": "attempt"}\n')
    assert solved(seen, 'd.jwt') == 'not recorded'
    other = workspace(tmp_path/'other', ATTEMPT | dict(answer=answer_digest('another')))
    assert solved(other, 'f.jwt') == 'not recorded', "another answer passed"
    late = workspace(tmp_path/'late', ATTEMPT, HINT, dict(HINT, kind='solution'))
    assert solved(late, 'g.jwt') == 'alone', "what came after does not count"
    place.unlink()
    place.symlink_to(alone/'.dlcourse'/'progress.jsonl')
    assert solved(seen, 'e.jwt') == 'not recorded', "the record of somebody else"


@pytest.mark.parametrize('change, says', [
    (dict(name=''), '`name` must be a name'), (dict(name='a\x1b[1m'), '`name` must be a name'),
    (dict(name='x'*81), 'of 80 characters'), (dict(name='\u202eadA'), '`name` must be'),
    (dict(issuer=' '), '`issuer` must be'), (dict(days=0), '`days` must be a whole number'),
    (dict(days=10**9), '`days` must be a whole'), (dict(out=Path('a.html')), 'end it in .jwt'),
    (dict(key=Path('nobody.pem')), 'there is no such file'),
    (dict(lessons=['toys.nothing']), 'is no lesson')])
def test_what_is_asked_wrongly_is_said_before_grading(change, says, made, desk, teacher, how,
                                                      tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = dict(name='A', issuer='T', key=teacher.private, out=tmp_path/'a.jwt', **how)
    with pytest.raises(InputError, match=says): certificate(desk/'ada', **asked | change)
    assert not list(tmp_path.glob('*'))


def test_nothing_is_written_over_and_nothing_passed_is_no_record(made, desk, teacher, how):
    ask = dict(name='A', issuer='T', key=teacher.private, **how)
    before = made.file.read_text()
    for out in (desk/'ada.jwt', desk/'ada.ipynb', desk/'t.jwk', desk/'t.pem'):
        with pytest.raises(InputError, match='is there already'):
            certificate(desk/'ada', out=out, **ask)
    assert made.file.read_text() == before
    blank = notebook(desk/'blank.ipynb', HEAD, body('return 0.'))
    with pytest.raises(InputError, match='nothing is passed'):
        certificate(blank, out=desk/'b.jwt', **ask)
    (desk/'photo.ipynb').write_bytes(b'\x89PNG')
    with pytest.raises(InputError, match='not a notebook'):
        certificate(desk/'photo.ipynb', out=desk/'p.jwt', **ask)
    assert not (desk/'b.jwt').exists() and not (desk/'p.jwt').exists()


def test_files_that_are_no_records(teacher, how, tmp_path):
    for data in (b'', b'\xff\xfe', b'hello', b'{}', b'<html>'):
        (tmp_path/'x.jwt').write_bytes(data)
        verdict = verify(tmp_path/'x.jwt', key=teacher.public, **how)
        assert not verdict.valid and 'no signed record' in verdict.says
    (tmp_path/'x.jwt').write_bytes(b'a'*6_000_000)
    with pytest.raises(InputError, match='larger than 5 MB'):
        verify(tmp_path/'x.jwt', key=teacher.public, **how)
    with pytest.raises(InputError, match='no such file'):
        verify(tmp_path/'y.jwt', key=teacher.public, **how)


def test_claims_and_record_are_one(made, teacher):
    jwk = public_jwk(read_private(teacher.private))
    assert record_of(claims_of(made.record), jwk) == made.record
    assert thumbprint(jwk) == teacher.fingerprint


def test_the_page_is_one_file_with_the_record_as_text(made):
    page = made.page.read_text()
    assert made.token in page and 'School &amp; Co &lt;b&gt;' in page and 'Ada Lovelace' in page
    assert not any(word in page for word in ('<script', 'src=', 'href=', 'http:', 'url('))
    assert 'light only' in page and '@page' in page and SELF not in page


@pytest.mark.parametrize('change', [
    lambda c: c['credentialSubject']['result'][0].update(value='99'),
    lambda c: c['credentialSubject']['identifier'][0].update(identityHash='Bob'),
    lambda c: c['grading'].update(name='Bob'),
    lambda c: c['grading']['exercises'][0].update(points=99),
    lambda c: c['grading']['exercises'][0].update(outcome='excellent'),
    lambda c: c['grading'].update(exercises=2*c['grading']['exercises']),
    lambda c: c['grading'].update(lessons={}),
])
def test_what_other_programs_show_is_what_is_verified(change, claims, teacher, desk, how):
    other = json.loads(json.dumps(claims))
    change(other)
    file = resigned(other, teacher, desk/'other.jwt')
    found = verify(file, key=teacher.public, nbs=how['nbs'])
    assert not found.valid and 'no record of this course' in found.says


def test_a_badge_and_its_record_may_differ_together_in_nothing_that_cannot_be(
        claims, teacher, desk, how):
    other = json.loads(json.dumps(claims))
    other['credentialSubject']['result'] *= 2
    other['grading']['exercises'] *= 2
    found = verify(resigned(other, teacher, desk/'other.jwt'), key=teacher.public, nbs=how['nbs'])
    assert not found.valid and 'an exercise is in it twice' in found.says


def test_a_record_saved_by_an_editor_that_marks_utf8(made, teacher, how, tmp_path):
    (tmp_path/'r.jwt').write_text(made.token, encoding='utf-8-sig')
    assert verify(tmp_path/'r.jwt', key=teacher.public, nbs=how['nbs']).valid


def test_where_nothing_can_be_written_nothing_is_graded(desk, teacher, how):
    (desk/'file').write_text('')
    with pytest.raises(OSError, match='file'):
        certificate(desk/'ada', name='Ada', key=teacher.private, out=desk/'file'/'a.jwt', **how,
                    tell=lambda *_: pytest.fail("it was graded"))


@pytest.mark.parametrize('odd', [b'x', 0, 1.5, [], 'a\0b', 'a'*5000, '\ud800'])
def test_odd_options_are_one_sentence(odd, made, desk, teacher, how):
    good = dict(name='Ada', key=teacher.private, out=desk/'odd.jwt', **how)
    for option in ('name', 'issuer', 'days', 'out'):
        with pytest.raises(InputError): certificate(desk/'ada', **good | {option: odd})
    with pytest.raises(InputError): verify(odd, key=teacher.public)
    for option in ('key', 'now', 'again'):
        if odd or option == 'key':
            with pytest.raises(InputError):
                verify(made.file, **dict(key=teacher.public) | {option: odd})
    with pytest.raises(InputError): new_key(private=odd, public=desk/'odd.jwk')
