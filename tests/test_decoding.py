import errno
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speech_intent import audio, decoding
from speech_intent.audio import AudioError, AudioWarning
from speech_intent.endings import CUT
from speech_intent.ffmpeg import DAMAGED

ODD = Path(__file__).parent / "odd_audio"
RATE = 16_000


@pytest.fixture
def wave(tone):
    return tone(440, seconds=1.0)


def encode(waveform, rate=RATE, fmt="WAV", subtype=None) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, waveform, rate, format=fmt, subtype=subtype)
    return stream.getvalue()


# What is refused


FLAC_ONE_SECOND = encode(np.random.default_rng(0).uniform(-0.5, 0.5, RATE), fmt="FLAC")
NOISE = np.random.default_rng(1).bytes(50_000)
WAV_ONE_SECOND = encode(np.random.default_rng(0).uniform(-0.5, 0.5, RATE))
BAD_SAMPLES = np.linspace(-0.5, 0.5, RATE)
REFUSED = {
    "empty": (b"", "is empty", "record or copy it again"),
    "text": (b"turn on the light\n" * 100, "is text, not audio", "name the recording itself"),
    "noise": (NOISE, "is damaged or is not audio", "use WAV, FLAC, OGG, MP3, M4A or WebM"),
    "noise that begins like an MP3": (b"\xff\xfb\x90\x00" + NOISE, "is not audio", "use WAV"),
    "noise behind a tag": (b"ID3\4\0\0\0\0\0\0" + NOISE, "is not audio", "use WAV"),
    "nothing left of a FLAC": (FLAC_ONE_SECOND[:100], "is damaged", "export it again"),
    "header only": (WAV_ONE_SECOND[:44], "has no samples", "record it again"),
    "half a header": (WAV_ONE_SECOND[:20], "is damaged", "export it again"),
    "zero frames": (encode(np.empty(0)), "has no samples", "record it again"),
    "24 ms": (encode(BAD_SAMPLES[:384]), "lasts 24.0 ms, less than 25 ms", "record a longer clip"),
    "NaN": (
        encode(np.where(BAD_SAMPLES > 0.4, np.nan, BAD_SAMPLES), subtype="FLOAT"),
        "NaN",
        "16-bit PCM",
    ),
    "Inf": (
        encode(np.where(BAD_SAMPLES > 0.4, np.inf, BAD_SAMPLES), subtype="FLOAT"),
        "infinite",
        "16-bit PCM",
    ),
}


def assert_clear(error, name: str, problem: str, remedy: str) -> None:
    assert error.value.name == name
    assert problem in error.value.problem
    assert remedy in error.value.remedy
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("rate", [RATE, 8_000], ids=["native", "resampled"])
def test_a_bad_file_is_refused_with_name_reason_and_remedy(tmp_path, case, rate):
    content, problem, remedy = REFUSED[case]
    path = tmp_path / "clip.wav"
    path.write_bytes(content)
    with pytest.raises(AudioError) as error:
        audio.load(path, rate)
    assert_clear(error, str(path), problem, remedy)


def test_bad_bytes_are_refused():
    with pytest.raises(AudioError) as error:
        audio.load(REFUSED["text"][0], RATE)
    assert_clear(error, "bytes", "is text, not audio", "name the recording itself")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(AudioError) as error:
        audio.load(tmp_path / "gone.wav", RATE)
    assert_clear(error, str(tmp_path / "gone.wav"), "does not exist", "check the path")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(AudioError) as error:
        audio.load(tmp_path, RATE)
    assert_clear(error, str(tmp_path), "is a folder", "name an audio file")


def test_a_line_break_in_a_name_leaves_the_message_one_line(tmp_path):
    with pytest.raises(AudioError) as error:
        audio.load(tmp_path / "two\nlines.wav", RATE)
    assert_clear(error, str(tmp_path / "two\nlines.wav"), "does not exist", "check the path")
    assert str(error.value) == f"{tmp_path}/two\\nlines.wav: does not exist; check the path"


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ((np.empty(0, np.float32), RATE), "has no samples"),
        ((np.empty((2, 0), np.float32), RATE), "has no samples"),
        ((np.zeros((1, 1, 400)), RATE), "3-dimensional"),
        ((np.zeros(400, complex), RATE), "complex128"),
        ((np.array(["a"]), RATE), "<U1"),
        ((np.full(1_600, np.nan), RATE), "NaN"),
        ((np.zeros((65, 1_600)), RATE), "65 channels, more than 64"),
        ((np.zeros(1_600), 999), "sampling rate of 999 Hz"),
        ((np.zeros(1_600), 655_351), "sampling rate of 655,351 Hz"),
        ((np.zeros(1_600), 0), "sampling rate of 0"),
        ((np.zeros(1_600), -1), "sampling rate of -1"),
        ((np.zeros(1_600), 0.5), "sampling rate of 0.5"),
        ((np.zeros(1_600), np.nan), "sampling rate of nan"),
        ((np.zeros(1_600), np.inf), "sampling rate of inf"),
    ],
)
def test_a_bad_array_is_refused(source, problem):
    with pytest.raises(AudioError) as error:
        audio.load(source, RATE)
    assert_clear(error, "array", problem, "")


def test_exactly_25_ms_are_answered():
    assert len(audio.load(encode(BAD_SAMPLES[:400]), RATE)) == 400


# What is answered with a warning


def heard(content: bytes, rate: int = RATE) -> tuple[np.ndarray, list[str]]:
    """Read a clip; give the samples and what was odd about it."""
    warnings = []
    waveform = audio.load(content, rate, warn=warnings.append)
    return waveform, [warning.problem for warning in warnings]


def test_a_wav_shorter_than_its_header_is_read_with_a_warning(tmp_path):
    path = tmp_path / "cut.wav"
    path.write_bytes(WAV_ONE_SECOND[: 44 + RATE])  # half of the 16-bit samples
    warnings = []
    assert len(audio.load(path, RATE, warn=warnings.append)) == RATE // 2
    assert warnings == [AudioWarning(str(path), CUT)]


@pytest.mark.parametrize("n_bytes", [-1, 20_000])
def test_a_flac_that_is_cut_is_read_with_a_warning(n_bytes):
    whole = audio.load(FLAC_ONE_SECOND, RATE)
    waveform, problems = heard(FLAC_ONE_SECOND[:n_bytes])
    assert len(problems) == 1
    assert RATE // 2 < len(waveform) < RATE
    np.testing.assert_array_equal(waveform, whole[: len(waveform)])


def test_a_damaged_flac_is_read_on_both_sides_of_the_damage_with_a_warning():
    content = FLAC_ONE_SECOND[:15_000] + b"\0" * 500 + FLAC_ONE_SECOND[15_500:]
    waveform, problems = heard(content)
    assert problems == [DAMAGED]
    assert RATE // 2 < len(waveform) <= RATE
    whole = audio.load(FLAC_ONE_SECOND, RATE)
    np.testing.assert_array_equal(waveform[:4_096], whole[:4_096])
    np.testing.assert_array_equal(waveform[-3_000:], whole[-3_000:])


def test_a_long_flac_goes_on_where_it_was_when_the_damage_came(tone):
    content = bytearray(encode(tone(440, 30.0), fmt="FLAC"))
    whole = audio.load(bytes(content), RATE)
    middle = len(content) // 2
    content[middle : middle + 100] = bytes(100)
    waveform, problems = heard(bytes(content))
    assert problems == [DAMAGED]
    assert 0 < len(whole) - len(waveform) <= 2 * 4_096  # a frame or two
    np.testing.assert_array_equal(waveform[:200_000], whole[:200_000])
    np.testing.assert_array_equal(waveform[-200_000:], whole[-200_000:])


@pytest.mark.parametrize("total", [0, 1_000, 10**9])
def test_a_flac_is_as_long_as_it_is_whatever_its_header_says(total):
    content = bytearray(FLAC_ONE_SECOND)
    content[21] &= 0xF0
    content[22:26] = total.to_bytes(4)
    waveform, problems = heard(bytes(content))
    np.testing.assert_array_equal(waveform, audio.load(FLAC_ONE_SECOND, RATE))
    assert problems == ([CUT] if total > RATE else [])


@pytest.mark.parametrize("fmt", ["FLAC", "WAV", "OGG", "MP3"])
def test_what_follows_the_samples_is_no_cause_for_a_warning(wave, fmt):
    content = encode(wave, fmt=fmt)
    waveform, problems = heard(content + NOISE[:3_000])
    assert problems == []
    np.testing.assert_array_equal(waveform, audio.load(content, RATE))


@pytest.mark.parametrize("fmt", ["FLAC", "WAV", "OGG", "MP3", "AIFF", "AU", "CAF", "W64", "RF64"])
@pytest.mark.parametrize("before", [NOISE[:3_000], b"ID3\4\0\0\0\0\7\x68" + bytes(1_000)])
def test_what_comes_before_the_samples_is_passed_over(wave, fmt, before):
    content = encode(wave, fmt=fmt)
    waveform, problems = heard(before + content)
    assert problems == []
    np.testing.assert_array_equal(waveform, audio.load(content, RATE))


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_an_ogg_that_lost_a_page_is_read_with_a_warning(tone, subtype):
    content = bytearray(encode(tone(440, 5.0), fmt="OGG", subtype=subtype))
    assert heard(bytes(content))[1] == []
    middle = len(content) // 2
    content[middle] ^= 1  # its page is then left out by any decoder
    waveform, problems = heard(bytes(content))
    assert problems == [DAMAGED]
    assert 3 < len(waveform) / RATE < 4.9


def test_chunks_after_the_samples_are_no_cause_for_a_warning(wave):
    waveform, problems = heard(encode(wave) + b"LIST\x04\x00\x00\x00INFO")
    assert (len(waveform), problems) == (len(wave), [])


def test_a_chunk_before_the_samples_is_passed_over(wave):
    plain = encode(wave)
    odd = b"junk\x03\x00\x00\x00abc\x00"  # three bytes, and one to make the next place even
    content = plain[:12] + odd + plain[12:]
    waveform, problems = heard(content)
    np.testing.assert_array_equal(waveform, audio.load(plain, RATE))
    assert problems == []
    assert heard(content[:-100])[1] == [CUT]


def test_a_disk_that_fails_on_the_way_is_named(tmp_path, monkeypatch):
    path = tmp_path / "clip.wav"
    path.write_bytes(WAV_ONE_SECOND)

    class Failing(io.BytesIO):
        def read(self, n=-1):
            if self.tell() > 1_000:
                raise OSError(errno.EIO, "Input/output error")
            return super().read(min(n, 1_000))

    monkeypatch.setattr(decoding, "open_clip", lambda source, name: Failing(WAV_ONE_SECOND))
    with pytest.raises(AudioError) as error:
        audio.load(path, RATE)
    assert_clear(error, str(path), "its disk or drive fails", "copy it from elsewhere")


# Limits


def test_a_header_with_a_sampling_rate_that_nobody_records_at_is_refused_at_once():
    with pytest.raises(AudioError) as error:
        audio.load(ODD / "w_rate1.wav", RATE)
    problem = "has a sampling rate of 1 Hz"
    assert_clear(error, str(ODD / "w_rate1.wav"), problem, "record it at one between 1,000 and")


def test_channels_beyond_number_are_refused():
    with pytest.raises(AudioError) as error:
        audio.load(encode(np.zeros((1_600, 65))), RATE)
    assert_clear(error, "bytes", "has 65 channels, more than 64", "export one of them")
    assert len(audio.load(encode(np.full((1_600, 64), 0.1)), RATE)) == 1_600


# What a clip says of itself


def test_a_header_tells_rate_and_channels(tmp_path, wave):
    path = tmp_path / "clip.flac"
    soundfile.write(path, np.stack([wave, wave], axis=1)[: RATE // 2], 8_000)
    expected = audio.Header(sampling_rate=8_000, n_channels=2)
    assert audio.header(path) == audio.header(path.read_bytes()) == expected
    assert audio.header(ODD / "u_opus.webm") == audio.Header(48_000, 1)


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"turn on the light", "is text, not audio"), (WAV_ONE_SECOND[:44], "has no samples")],
)
def test_what_is_not_audio_has_no_header(content, problem):
    with pytest.raises(AudioError) as error:
        audio.header(content)
    assert_clear(error, "bytes", problem, "")


# Files as people have them


BASE = audio.load(ODD / "base.wav", RATE)
SECONDS = len(BASE) / RATE
UNFINISHED = "was never finished: its header says it is empty; what is there was used"
CANCELLED = "has channels that cancel each other out; export one of them, and use that"
HEARD = {  # seconds, likeness and warnings, where they are not the clip's own, 0.8 and none
    "m_mp3_trunc.mp3": (0.795, 0.7, [CUT]),
    "o_chained.ogg": (2 * SECONDS, 0.7, []),
    "w_data0.wav": (SECONDS, 0.99, [UNFINISHED]),
    "x_cut_midframe.mp3": (1.548, 0.8, []),
    "z_antiphase.wav": (SECONDS, 0.0, [CANCELLED]),
}
NOT_HEARD = {
    "w_html.wav": ("is a web page, not audio", "the download saved a page in place of the file"),
    "w_lfs.wav": ("is a Git LFS pointer, not the recording", "git lfs pull"),
    "w_rate1.wav": ("has a sampling rate of 1 Hz", "record it at one between"),
}


def likeness(waveform: np.ndarray) -> float:
    """Correlate with the clip as it was, at the best of all shifts: 1 for the same."""
    n = 1 << 17
    spectrum = np.fft.rfft(waveform, n) * np.conj(np.fft.rfft(BASE, n))
    norms = np.linalg.norm(waveform) * np.linalg.norm(BASE)
    return float(np.fft.irfft(spectrum).max() / max(norms, 1e-9))


@pytest.mark.parametrize("as_bytes", [False, True], ids=["path", "bytes"])
@pytest.mark.parametrize("path", sorted(ODD.glob("*.*")), ids=lambda path: path.name)
def test_odd_audio_is_heard_as_it_should_be(path, as_bytes):
    if path.suffix == ".md":
        return
    source = path.read_bytes() if as_bytes else path
    if path.name in NOT_HEARD:
        with pytest.raises(AudioError) as error:
            audio.load(source, RATE)
        assert_clear(error, "bytes" if as_bytes else str(path), *NOT_HEARD[path.name])
        return
    seconds, least, problems = HEARD.get(path.name, (SECONDS, 0.8, []))
    waveform, odd = heard(source)
    assert len(waveform) / RATE == pytest.approx(seconds, abs=0.03)
    assert likeness(waveform) >= least
    assert odd == problems


def test_bundled_speech_is_read_by_libsndfile_alone():
    program = "import sys; from speech_intent import audio; from speech_intent.paths import BUNDLED"
    program += "; clips = sorted((BUNDLED / 'audio').iterdir())[::8]"
    program += "; n = sum(len(audio.load(clip, 16_000)) > 0 for clip in clips)"
    program += "; print(n, 'av' in sys.modules)"
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert process.stdout.split() == ["190", "False"]
