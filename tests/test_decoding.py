import io
import os

import numpy as np
import pytest
import soundfile

from speech_intent import audio
from speech_intent.audio import AudioError, AudioWarning

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
WAV_ONE_SECOND = encode(np.random.default_rng(0).uniform(-0.5, 0.5, RATE))
BAD_SAMPLES = np.linspace(-0.5, 0.5, RATE)
REFUSED = {
    "empty": (b"", "is empty", "record or copy it again"),
    "text": (b"turn on the light\n" * 100, "is not audio", "use WAV, FLAC, OGG or MP3"),
    "cut FLAC": (FLAC_ONE_SECOND[: len(FLAC_ONE_SECOND) // 2], "is damaged", "export it again"),
    "nearly whole FLAC": (FLAC_ONE_SECOND[:-1], "is damaged", "export it again"),
    "corrupt FLAC": (
        FLAC_ONE_SECOND[:9_000] + b"\0" * 2_000 + FLAC_ONE_SECOND[11_000:],
        "is damaged",
        "export it",
    ),
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
    assert_clear(error, "bytes", "is not audio", "use WAV")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(AudioError) as error:
        audio.load(tmp_path / "gone.wav", RATE)
    assert_clear(error, str(tmp_path / "gone.wav"), "does not exist", "check the path")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(AudioError) as error:
        audio.load(tmp_path, RATE)
    assert_clear(error, str(tmp_path), "is a folder", "name an audio file")


def test_a_file_without_permission_is_refused(monkeypatch):
    def refuse(*args, **kwargs):  # root may read everything, so that chmod would prove nothing
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(AudioError) as error:
        audio.load("locked.wav", RATE)
    assert_clear(error, "locked.wav", "cannot be read (Permission denied)", "permissions")


def test_a_pipe_is_refused():
    reader, writer = os.pipe()
    os.write(writer, WAV_ONE_SECOND)
    os.close(writer)
    with pytest.raises(AudioError) as error:
        audio.load(f"/dev/fd/{reader}", RATE)
    os.close(reader)
    assert_clear(error, f"/dev/fd/{reader}", "cannot be read", "check the path")


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


def test_a_wav_shorter_than_its_header_is_read_with_a_warning(tmp_path):
    path = tmp_path / "cut.wav"
    path.write_bytes(WAV_ONE_SECOND[: 44 + RATE])  # half of the 16-bit samples
    warnings = []
    assert len(audio.load(path, RATE, warn=warnings.append)) == RATE // 2
    problem = "is shorter than its header says; what is there was used"
    assert warnings == [AudioWarning(str(path), problem)]


def test_chunks_after_the_samples_are_no_cause_for_a_warning(wave):
    warnings = []
    content = encode(wave) + b"LIST\x04\x00\x00\x00INFO"
    assert len(audio.load(content, RATE, warn=warnings.append)) == len(wave)
    assert warnings == []


def test_a_chunk_before_the_samples_is_passed_over(wave):
    plain = encode(wave)
    odd = b"junk\x03\x00\x00\x00abc\x00"  # three bytes, and one to make the next place even
    content = plain[:12] + odd + plain[12:]
    warnings = []
    np.testing.assert_array_equal(
        audio.load(content, RATE, warn=warnings.append), audio.load(plain, RATE)
    )
    assert warnings == []
    audio.load(content[:-100], RATE, warn=warnings.append)
    assert len(warnings) == 1


# What a clip says of itself


def test_a_header_tells_rate_channels_and_seconds(tmp_path, wave):
    path = tmp_path / "clip.flac"
    soundfile.write(path, np.stack([wave, wave], axis=1)[: RATE // 2], 8_000)
    expected = audio.Header(sampling_rate=8_000, n_channels=2, seconds=1.0)
    assert audio.header(path) == audio.header(path.read_bytes()) == expected


def test_what_is_not_audio_has_no_header():
    with pytest.raises(AudioError) as error:
        audio.header(b"turn on the light")
    assert_clear(error, "bytes", "is damaged or is not audio", "use WAV, FLAC, OGG or MP3")
