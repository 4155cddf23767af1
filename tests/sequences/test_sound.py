"WAV files that are odd, spectra against SciPy and torch, the worlds of recordings"
import io
import os
import struct
import tarfile
import wave

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal
from scipy.io import wavfile

from dlcourse.core.cards import card
from dlcourse.core.datasets import load
from dlcourse.core.errors import InputError
from dlcourse.sequences.sound import (
    Sound,
    SoundConfig,
    at_rate,
    digit_strings,
    frames_of,
    read_recordings,
    read_wav,
    spliced,
    stft,
    tone_digit,
    tone_digits,
    wav_bytes,
)


def wav(samples, rate=8000, channels=1, width=2):
    out = io.BytesIO()
    with wave.open(out, 'wb') as f:
        f.setparams((channels, width, rate, 0, 'NONE', ''))
        f.writeframes(samples)
    return out.getvalue()


@pytest.mark.parametrize('kind', ['uint8', 'int16', 'int32'])
def test_samples_are_scipys(kind, tmp_path):
    rng, info = np.random.default_rng(0), np.iinfo(kind)
    x = rng.integers(info.min, info.max, 500, kind, endpoint=True)
    wavfile.write(tmp_path/'a.wav', 11025, x)
    got = read_wav(tmp_path/'a.wav')
    want = (x.astype(float) - (128 if kind == 'uint8' else 0))/2**(8*x.itemsize - 1)
    assert got.rate == 11025 and got.samples.dtype == np.float32
    np.testing.assert_allclose(got.samples, want, atol=1e-6)


def test_three_bytes_a_sample():
    values = [0, 1, -1, 2**23 - 1, -2**23]
    raw = b''.join(v.to_bytes(3, 'little', signed=True) for v in values)
    got = read_wav(wav(raw, width=3)).samples
    np.testing.assert_allclose(got, np.array(values)/2**23, atol=1e-7)


def test_stereo_is_refused_or_mixed():
    both = np.stack([np.full(9, 100), np.full(9, 300)], 1).astype('<i2')
    with pytest.raises(InputError, match='must have one channel, got 2; give mix=True'):
        read_wav(wav(both.tobytes(), channels=2))
    np.testing.assert_allclose(read_wav(wav(both.tobytes(), channels=2), mix=True).samples,
                               200/32768)


def extensible(kind):
    guid = kind + bytes.fromhex('000000001000800000aa00389b71')
    about = struct.pack('<IHHIIHHHHI', 40, 65534, 1, 8000, 24000, 3, 24, 22, 24, 4) + guid
    return b'RIFF' + struct.pack('<I', 78) + b'WAVEfmt ' + about + b'data' + struct.pack(
        '<I', 9) + bytes(5) + b'\x40' + bytes(3) + b'\0'


def test_an_extensible_header_of_whole_numbers_is_read():
    assert read_wav(extensible(b'\1\0')).samples.tolist() == [0, .5, 0]
    with pytest.raises(InputError, match='this file is no WAV file of whole numbers'):
        read_wav(extensible(b'\3\0'))


def test_what_came_through_a_pipe_is_read():
    good = wav_bytes(np.linspace(-1, 1, 60))
    endless = good[:4] + b'\xff'*4 + good[8:40] + b'\xff'*4 + good[44:]
    assert np.array_equal(read_wav(endless).samples, read_wav(good).samples)
    assert len(read_wav(endless[:-1]).samples) == 59


def test_what_is_odd_is_named(tmp_path):
    good = wav_bytes(np.zeros(100))
    cases = [(good[:-20], 'is cut off: its header promises 100 samples, 90 came'),
             (b'', 'is no WAV file'), (b'RIFF', 'is no WAV file'), (b'ID3' + bytes(99), 'no WAV'),
             (wav(b''), 'holds no samples'), (good[:30], 'is no WAV file')]
    for data, text in cases:
        with pytest.raises(InputError, match=text): read_wav(data)
        (tmp_path/'odd.wav').write_bytes(data)
        with pytest.raises(InputError, match='odd.wav` '): read_wav(tmp_path/'odd.wav')
    with pytest.raises(InputError, match='must have 16,000 samples a second, got 8,000'):
        read_wav(good, 16000)
    with pytest.raises(InputError, match='cannot be read: there is no such file'):
        read_wav(tmp_path/'none.wav')
    floats = io.BytesIO()
    wavfile.write(floats, 8000, np.zeros(50, np.float32))
    with pytest.raises(InputError, match='no WAV file of whole numbers .* convert it to 16-bit'):
        read_wav(floats.getvalue())
    for bad in ([np.nan], [[0.]], np.zeros(9, 'i2'), 'a', [1, 'b'], [1j], None, [1e39],
                Sound(np.zeros(9), 8000)):
        with pytest.raises(InputError, match='`samples` must be one row of finite numbers'):
            wav_bytes(bad)
    assert len(read_wav(bytearray(good)).samples) == 100
    os.mkfifo(tmp_path/'pipe.wav')
    for source in (tmp_path, None, 'a\0b', tmp_path/'pipe.wav', '/dev/zero'):
        with pytest.raises(InputError, match='cannot be read'): read_wav(source)


@pytest.mark.parametrize('make, name', [
    (lambda: read_wav(wav_bytes([0.]), '8000'), 'rate'), (lambda: wav_bytes([0.], 2**31), 'rate'),
    (lambda: at_rate(Sound(np.zeros(9, 'f4'), 4294967291), 8000), 'rate'),
    (lambda: next(digit_strings(['ann'], [0], most=0)), 'most'),
    (lambda: next(digit_strings(['ann'], [1])), 'rows'),
    (lambda: tone_digit(1, 'ann', np.random.default_rng(0), rate=0), 'rate'),
    (lambda: next(digit_strings(['ann', 'bo'], [-5, 0])), 'rows')])
def test_numbers_out_of_range_are_named(make, name):
    with pytest.raises(InputError, match=f'`{name}` must be a whole number'): make()


@settings(max_examples=60)
@given(st.data())
def test_damage_is_an_input_error_or_sound(data):
    raw = bytearray(wav_bytes(np.linspace(-1, 1, 60)))
    for _ in range(data.draw(st.integers(1, 4))):
        raw[data.draw(st.integers(0, 47))] = data.draw(st.integers(0, 255))
    try: got = read_wav(bytes(raw[:data.draw(st.integers(0, len(raw)))]))
    except InputError: return
    assert got.samples.ndim == 1 and np.isfinite(got.samples).all()


def test_a_wav_comes_back():
    x = np.random.default_rng(1).uniform(-1, 1, 400)
    assert np.abs(read_wav(wav_bytes(x, 4000), 4000).samples - x).max() < 1/32768
    assert read_wav(wav_bytes([2., -3.])).samples.tolist() == [32767/32768, -1.]


def test_another_rate_keeps_a_tone():
    t = np.arange(8000)/8000
    got = at_rate(Sound(np.sin(2*np.pi*300*t).astype('f4'), 8000), 11025)
    want = np.sin(2*np.pi*300*np.arange(len(got.samples))/11025)
    assert got.rate == 11025 and np.abs(got.samples - want)[200:-200].max() < .01


@pytest.mark.parametrize('config', [SoundConfig(), SoundConfig(window=256, hop=64, size=256),
                                    SoundConfig(window=100, hop=33, size=512)])
def test_spectra_are_scipys(config):
    x = np.random.default_rng(2).normal(size=2000)
    hann = signal.get_window('hann', config.window)
    _, _, want = signal.stft(x, nperseg=config.window, noverlap=config.window - config.hop,
                             nfft=config.size, window=hann, boundary=None, padded=False)
    got = stft(torch.tensor(x), config)
    np.testing.assert_allclose(got, want.T*hann.sum(), atol=1e-9)


def test_only_a_tensor_of_samples_has_a_spectrum():
    for bad in (np.zeros(300), torch.zeros(300).half(), torch.zeros(300).int(), torch.tensor(1.)):
        with pytest.raises(InputError, match='`x` must be a tensor of samples'):
            stft(bad, SoundConfig())


def test_spectra_are_torchs():
    x = torch.randn(3, 1500, dtype=torch.float64)
    config = SoundConfig(window=256, hop=64, size=256)
    want = torch.stft(x, 256, 64, window=torch.hann_window(256, dtype=x.dtype), center=False,
                      return_complex=True)
    torch.testing.assert_close(stft(x, config), want.mT)


def test_short_sound_is_filled_up_and_none_refused():
    assert frames_of(torch.ones(7), SoundConfig()).shape == (1, 200)
    with pytest.raises(InputError, match='`x` must hold samples'):
        frames_of(torch.ones(0), SoundConfig())
    with pytest.raises(InputError, match='`low` and `high` must rise'): SoundConfig(high=5000.)
    with pytest.raises(InputError, match='`size`'): SoundConfig(size=100)


def test_tones_are_as_said():
    world = tone_digits(takes=2, seed=3)
    assert len(world['samples']) == 120 and set(world['takes']) == {0, 1}
    assert all(np.array_equal(a, b) for a, b in
               zip(world['samples'], tone_digits(2, 3)['samples'], strict=True))
    for args, text in (((10, 'ann'), '`digit`'), ((1, 'zoe'), '`voice` must be one of ann')):
        with pytest.raises(InputError, match=text): tone_digit(*args, np.random.default_rng(0))


def test_strings_use_every_recording_once_and_one_speaker():
    speakers = np.array(['b', 'a']*20)
    strings = list(digit_strings(speakers, np.arange(10, 40), passes=2, most=3))
    assert sorted(np.concatenate(strings)) == sorted([*range(10, 40)]*2)
    assert all(len(set(speakers[s])) == 1 and len(s) <= 3 for s in strings)
    with pytest.raises(InputError, match='`rows` must name recordings'):
        list(digit_strings(speakers, []))


def test_recordings_are_named_by_number_or_by_a_mask():
    speakers = np.array(['b', 'a']*5)
    for one, other in zip(digit_strings(speakers, speakers == 'a'),
                          digit_strings(speakers, np.arange(1, 10, 2)), strict=True):
        assert np.array_equal(one, other)
    for bad in ([True, False], [1.5], [[1, 2]], ['a']):
        with pytest.raises(InputError, match='`rows` must be whole numbers in one row, or a truth'):
            list(digit_strings(speakers, bad))


def test_what_is_no_sound_is_refused():
    for noise in (-1, np.nan):
        with pytest.raises(InputError, match='`noise` must be'): tone_digits(1, noise=noise)
    with pytest.raises(InputError, match='finite numbers'):
        at_rate(Sound(np.array([np.nan, 0], 'f4'), 8000), 4000)


def test_pieces_overlap_and_add_up():
    assert spliced([np.ones(4), np.ones(6)], 2).tolist() == [1, 1, 2, 2, 1, 1, 1, 1]
    for pieces, overlap, text in (([], 0, '`pieces` must hold'), ([np.ones(4)], 3, '`overlap`')):
        with pytest.raises(InputError, match=text): spliced(pieces, overlap)


def packed(path, files):
    with tarfile.open(path, 'w:gz') as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return {'recordings.tar.gz': path}


def test_an_archive_is_read_in_place_and_odd_ones_are_named(tmp_path):
    of, good = card('spoken_digits'), wav_bytes(np.zeros(300))
    got = read_recordings(of, packed(tmp_path/'a', {'x/../../7_ann_3.wav': good, 'x/a.txt': b'?'}))
    assert (got['digits'][0], got['speakers'][0], got['takes'][0]) == (7, 'ann', 3)
    assert sorted(p.name for p in tmp_path.iterdir()) == ['a']
    for files, text in (({'seven.wav': good}, 'must be named DIGIT_SPEAKER_TAKE.wav'),
                        ({'7_ann_3.wav': good[:-9]}, '7_ann_3.wav` of spoken_digits: .*cut off'),
                        ({'a.txt': b''}, 'holds no WAV'),
                        ({'7_ann_3.wav': good, 'b/7_ann_3.wav': good}, 'stands there twice')):
        with pytest.raises(InputError, match=text):
            read_recordings(of, packed(tmp_path/'b', files))
    (tmp_path/'c').write_bytes((tmp_path/'a').read_bytes()[:60])
    with pytest.raises(InputError, match='not a whole tar archive'):
        read_recordings(of, {'recordings.tar.gz': tmp_path/'c'})


def test_a_repacked_archive_is_the_same_data_set(tmp_path, real):
    data = real('spoken_digits')
    assert len(data['samples']) == 3000 and data['rate'] == 8000
    assert all((data['speakers'] == s).sum() == 500 for s in set(data['speakers']))
    (tmp_path/'fsdd').mkdir()
    packed(tmp_path/'fsdd'/'recordings.tar.gz', {'other/0_ann_0.wav': wav_bytes(np.zeros(9))})
    with pytest.raises(InputError, match='expected sha256'): load('spoken_digits', tmp_path)
