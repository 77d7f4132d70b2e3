"""Sound of every format as the same samples: whole, in parts that make up the whole, and nothing of what is broken."""

import io
import struct

import numpy as np
import pytest
import soundfile
from media_files import SOUNDS, tone, write_sound, write_video

from pipeline_core.audio import AudioFile, decode_audio, mono, resample
from pipeline_core.errors import InvalidInputError, SpecError

STEREO = np.stack([tone(2.5), 0.5 * tone(2.5, 900.0)], axis=1)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sounds")
    return {kind: write_sound(folder / f"a.{kind}", STEREO) for kind in SOUNDS}


@pytest.mark.parametrize("kind", SOUNDS)
def test_every_format_gives_the_mean_of_its_channels_at_the_wanted_rate(sounds, kind):
    samples, rate = decode_audio(sounds[kind], 16_000)
    assert rate == 16_000
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    wanted = STEREO.mean(axis=1)
    # A lossy encoder may put silence before the sound and after it.
    shift = int(np.argmax(np.correlate(samples, wanted[4000:8000], "valid"))) - 4000
    assert 0 <= shift < 2400
    assert len(wanted) <= len(samples) < len(wanted) + 4800
    middle = samples[4000 + shift : 30_000 + shift]
    assert np.corrcoef(middle, wanted[4000:30_000])[0, 1] > (0.999_999 if kind in ("wav", "flac") else 0.97)
    assert np.std(middle) == pytest.approx(np.std(wanted[4000:30_000]), rel=0.03)


@pytest.mark.parametrize("kind", SOUNDS)
@pytest.mark.parametrize("rate", [None, 8_000, 22_050])
def test_parts_of_a_file_are_the_samples_of_the_whole(sounds, kind, rate):
    whole, rate = decode_audio(sounds[kind].read_bytes(), rate)
    with AudioFile(sounds[kind], rate) as audio:
        assert audio.channels == 2
        assert audio.sampling_rate == rate
        assert audio.duration_s is None or audio.duration_s == pytest.approx(len(whole) / rate, abs=0.15)
        for start_s, stop_s in [(1.3, None), (0.0, 0.5), (0.5, 0.7), (0.123, 2.01), (2.2, 9.0), (1.0, 1.0)]:
            part = audio.read(start_s, stop_s)
            wanted = whole[round(start_s * rate) : None if stop_s is None else round(stop_s * rate)]
            assert part.shape == wanted.shape
            # AAC has its decoder add noise, which is other noise after a seek.
            assert np.abs(part - wanted).max(initial=0) < (5e-3 if kind in ("m4a", "mp4") else 1e-5)
        assert not len(audio.read(60.0, 61.0))
        assert np.allclose(np.concatenate(list(audio.blocks())), whole, atol=1e-6)


def test_resampled_sound_is_the_sound_at_the_other_rate():
    low, high = tone(1.0, 300.0, 8_000), tone(1.0, 300.0, 48_000)
    assert np.abs(resample(high, 48_000, 8_000)[400:-400] - low[400:-400]).max() < 1e-3
    assert resample(low, 8_000, 8_000) is low


# Ogg says nowhere how long it is: where a page ends, the sound may.
@pytest.mark.parametrize(
    ("kind", "left"), [(kind, left) for kind in SOUNDS for left in (0, 60, 0.5) if (kind, left) != ("opus", 0.5)]
)
def test_a_file_that_is_cut_off_is_refused(sounds, kind, left, capfd):
    content = sounds[kind].read_bytes()
    with pytest.raises(InvalidInputError):
        decode_audio(content[: int(left * len(content)) if left == 0.5 else left])
    capfd.readouterr()  # the MP3 decoder prints what it thinks of such files


def test_what_is_no_sound_is_refused(tmp_path):
    with pytest.raises(InvalidInputError, match="no audio"):
        decode_audio(b"This is a text about sound.")
    with pytest.raises(InvalidInputError, match="empty"):
        decode_audio(b"")
    with pytest.raises(InvalidInputError, match="can't be opened"):
        decode_audio(tmp_path / "missing.wav")
    silent = io.BytesIO()
    soundfile.write(silent, np.zeros(0, np.float32), 16_000, format="WAV")
    with pytest.raises(InvalidInputError, match="no samples"):
        decode_audio(silent.getvalue())
    with pytest.raises(InvalidInputError, match="no sound"):
        decode_audio(write_video(tmp_path / "mute.mp4", 3))


def test_a_playlist_opens_none_of_the_files_that_it_names(tmp_path, sounds):
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nfile://{sounds['webm']}\n#EXT-X-ENDLIST\n"
    (tmp_path / "list.m3u8").write_text(playlist)
    (tmp_path / "list.txt").write_text(f"ffconcat version 1.0\nfile {sounds['webm']}\n")
    for name in ("list.m3u8", "list.txt"):
        with pytest.raises(InvalidInputError, match="no audio"):
            decode_audio(tmp_path / name)


def test_a_length_that_a_header_only_claims_takes_no_memory(sounds):
    flac = bytearray(sounds["flac"].read_bytes())
    # The last 36 bits before the checksum of the stream's description: its number of samples.
    flac[21] |= 0x0F
    flac[22:26] = b"\xff\xff\xff\xff"
    with pytest.raises(InvalidInputError, match=r"claims 4,294,967 s, above the 14,400 s"):
        decode_audio(bytes(flac))


def test_a_wav_that_was_written_without_going_back_is_read_to_its_end():
    wav = io.BytesIO()
    soundfile.write(wav, tone(0.5), 16_000, format="WAV")
    streamed = wav.getvalue().replace(b"data" + struct.pack("<I", 16_000), b"data\xff\xff\xff\xff")
    assert len(decode_audio(streamed)[0]) == 8_000


def test_the_longest_sound_is_a_setting(sounds, monkeypatch):
    monkeypatch.setenv("PIPELINE_FLOWS_MAX_AUDIO_S", "2")
    for kind in ("wav", "webm"):
        with pytest.raises(InvalidInputError, match="PIPELINE_FLOWS_MAX_AUDIO_S raises that"):
            decode_audio(sounds[kind])
    monkeypatch.setenv("PIPELINE_FLOWS_MAX_AUDIO_S", "long")
    with pytest.raises(SpecError, match="number of seconds"):
        decode_audio(sounds["wav"])


@pytest.mark.parametrize("read", [lambda audio: audio.read(-1.0), lambda audio: audio.read(2.0, 1.0)])
def test_a_range_that_is_none_is_refused(sounds, read):
    with AudioFile(sounds["wav"]) as audio, pytest.raises(ValueError, match="start_s <= stop_s"):
        read(audio)


def test_arrays_of_any_layout_and_type_become_mono_float32():
    left, right = tone(0.1), tone(0.1, 500.0)
    mean = (left + right) / 2
    for array in (np.stack([left, right]), np.stack([left, right], axis=1), np.stack([left, right]).astype(np.float64)):
        assert mono(array).dtype == np.float32
        assert np.allclose(mono(array), mean, atol=1e-6)
    assert mono(left) is left
    assert np.allclose(mono((left * 32_768).astype(np.int16)), left, atol=1e-4)
    assert np.allclose(mono(np.array([0, 128, 255], np.uint8)), [-1, 0, 127 / 128])
    assert mono([0.5, -0.5]).tolist() == [0.5, -0.5]
    assert mono(np.ones((6, 100))).shape == (100,)


@pytest.mark.parametrize(
    "array",
    [np.zeros(0), np.zeros((2, 3, 4)), np.array(["a"]), np.array([np.nan]), np.array([np.inf, 0]), np.ones((90, 90))],
)
def test_arrays_that_are_no_sound_are_refused(array):
    with pytest.raises(InvalidInputError):
        mono(array)
