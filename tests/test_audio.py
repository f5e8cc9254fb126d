import io
import logging
import tracemalloc

import numpy as np
import pytest
import soundfile
from fuzz_audio import by_ffmpeg
from hypothesis import given, settings
from hypothesis import strategies as st

from speech_intent import audio, libsndfile
from speech_intent.audio import AudioWarning

RATE = 16_000


@pytest.fixture
def wave(tone):
    return tone(440, seconds=1.0)


def encode(waveform, rate=RATE, fmt="WAV", subtype=None) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, waveform, rate, format=fmt, subtype=subtype)
    return stream.getvalue()


# What is read


@pytest.mark.parametrize(
    ("fmt", "subtype", "tolerance"),
    [
        ("WAV", "PCM_U8", 1e-2),
        ("WAV", "PCM_16", 1e-4),
        ("WAV", "PCM_24", 1e-6),
        ("WAV", "FLOAT", 0),
        ("WAV", "DOUBLE", 0),
        ("FLAC", "PCM_16", 1e-4),
        ("OGG", "VORBIS", 0.1),
        ("MP3", "MPEG_LAYER_III", 0.1),
    ],
)
def test_every_format_gives_back_the_waveform(tmp_path, wave, fmt, subtype, tolerance):
    path = tmp_path / f"clip.{fmt.lower()}"
    path.write_bytes(encode(wave, fmt=fmt, subtype=subtype))
    heard = audio.load(path, RATE)
    assert heard.dtype == np.float32
    assert heard.shape == wave.shape
    assert np.abs(heard - wave).max() <= tolerance


def test_path_text_bytes_array_and_dict_give_the_same_samples(tmp_path, wave):
    path = tmp_path / "clip.wav"
    soundfile.write(path, wave, RATE, subtype="FLOAT")
    sources = [path, str(path), path.read_bytes(), (wave, RATE), {"bytes": None, "path": str(path)}]
    sources.append({"bytes": path.read_bytes(), "path": "gone.wav"})
    for source in sources:
        np.testing.assert_array_equal(audio.load(source, RATE), wave)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 192_000])
def test_any_rate_becomes_the_rate_asked_for(tone, rate):
    heard = audio.load(encode(tone(440, 1.0, rate=rate), rate), RATE)
    assert abs(len(heard) - RATE) <= 1
    assert np.argmax(np.abs(np.fft.rfft(heard, RATE))) == 440  # 1 Hz a bin


def test_eight_channels_are_averaged(wave):
    channels = np.stack([wave * gain for gain in np.linspace(0, 1, 8)], axis=1)  # (n_samples, 8)
    heard = audio.load(encode(channels, subtype="FLOAT"), RATE)
    np.testing.assert_allclose(heard, wave / 2, atol=1e-6)


@pytest.mark.parametrize(
    "layout", [lambda w: np.stack([w, 0 * w]), lambda w: np.stack([w, 0 * w], axis=1)]
)
def test_an_array_has_its_channels_along_the_shorter_axis(wave, layout):
    np.testing.assert_allclose(audio.load((layout(wave), RATE), RATE), wave / 2, atol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "scale", "middle"),
    [(np.int16, 2**15, 0), (np.int32, 2**31, 0), (np.uint8, 2**7, 2**7)],
)
def test_integer_arrays_are_scaled_to_one(wave, dtype, scale, middle):
    integers = np.round(wave.astype(np.float64) * (scale - 1) + middle).astype(dtype)
    np.testing.assert_allclose(audio.load((integers, RATE), RATE), wave, atol=2 / scale + 1e-6)


def test_an_int16_array_and_a_16_bit_file_agree(wave):
    integers = np.round(wave * 32767).astype(np.int16)
    np.testing.assert_array_equal(
        audio.load((integers, RATE), RATE), audio.load(encode(integers), RATE)
    )


def test_the_callers_array_is_left_alone(wave):
    before = wave.copy()
    audio.load((wave, 8_000), RATE)
    np.testing.assert_array_equal(wave, before)


@given(
    n=st.integers(1_600, 150_000),
    rate=st.integers(4_000, 192_000),
    target=st.sampled_from([8_000, 16_000]),
)
@settings(max_examples=40, deadline=None)
def test_an_array_of_any_length_and_rate_comes_back_finite_and_as_long(n, rate, target):
    waveform = np.random.default_rng(n).uniform(-1, 1, n).astype(np.float32)
    expected = n * target / rate
    if expected < 0.03 * target:
        return
    heard = audio.load((waveform, rate), target)
    assert abs(len(heard) - expected) <= 1
    assert heard.dtype == np.float32
    assert np.isfinite(heard).all()


def test_resampling_gives_the_frozen_numbers():
    t = np.arange(4_410) / 44_100
    chirp = (0.5 * np.sin(2 * np.pi * (300 * t + 20_000 * t**2))).astype(np.float32)
    heard = audio.load((chirp, 44_100), RATE)
    assert len(heard) == 1_600
    np.testing.assert_allclose(heard[GOLDEN_AT], GOLDEN, atol=1e-5)


GOLDEN_AT = [0, 1, 2, 3, 401, 402, 801, 1201, 1598, 1599]
GOLDEN = [
    0.005635,
    0.058016,
    0.118218,
    0.174718,
    0.244525,
    0.426832,
    0.39281,
    0.481294,
    0.104086,
    -0.475993,
]


@pytest.mark.parametrize("fmt", ["WAV", "FLAC", "OGG", "MP3"])
@pytest.mark.parametrize("start", [0.0, 4.5])
def test_a_long_file_read_in_pieces_is_the_file_read_at_once(fmt, start):
    t = np.arange(10 * RATE) / RATE
    content = encode(
        0.5 * np.sin(2 * np.pi * (200 * t + 100 * t**2)), fmt=fmt
    )  # a chirp of three pieces
    whole, _ = soundfile.read(io.BytesIO(content), dtype="float32")
    assert len(whole) == len(t) > 2 * libsndfile.BLOCK_FRAMES
    np.testing.assert_allclose(
        audio.load(content, RATE, start), whole[round(start * RATE) :], atol=1e-4
    )


# Parts of a clip


@pytest.mark.parametrize(("start", "seconds"), [(0, 0.25), (0.1, 0.5), (0.9, 5), (0.5, np.inf)])
def test_start_and_max_seconds_cut_a_slice(wave, start, seconds):
    whole = encode(wave, subtype="FLOAT")
    stop = None if seconds == np.inf else round((start + seconds) * RATE)
    for source in (whole, (wave, RATE)):
        np.testing.assert_array_equal(
            audio.load(source, RATE, start, seconds), wave[round(start * RATE) : stop]
        )


def test_max_seconds_cut_the_same_slice_after_resampling(tone):
    source = (tone(440, 3.0, rate=44_100), 44_100)
    np.testing.assert_array_equal(
        audio.load(source, RATE, max_seconds=1.5), audio.load(source, RATE)[:24_000]
    )


@pytest.mark.parametrize("seconds", [0.3, 1.0, 1.5, 2.0, 2.000_1, 5.0, 9.37])
def test_windows_are_equally_long_and_cover_the_clip(seconds):
    ramp = np.arange(round(seconds * RATE), dtype=np.float32) / 2**20 + 0.1  # each sample differs
    pieces = list(audio.windows((ramp, RATE), RATE, max_seconds=1.0))
    windows = [piece.waveform for piece in pieces]
    expected = [ramp[i : i + RATE] for i in range(0, len(ramp), RATE)]
    if len(ramp) > RATE:
        expected[-1] = ramp[-RATE:]  # the last one overlaps the one before
    assert len(windows) == len(expected)
    for window, wanted in zip(windows, expected, strict=True):
        np.testing.assert_array_equal(window, wanted)
    assert pieces[-1].end == pytest.approx(seconds, abs=1 / RATE)


def test_windows_of_an_hour_take_little_memory(tmp_path):
    path = tmp_path / "hour.flac"
    second = np.tile(np.array([0.2, -0.2], np.float32), 4_000)
    with soundfile.SoundFile(path, "w", 8_000, 1) as file:
        for _ in range(3_600):
            file.write(second)
    tracemalloc.start()
    lengths = []
    for window in audio.windows(path, RATE, 15.0):
        lengths.append(len(window.waveform))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(lengths) == 240
    assert set(lengths) == {15 * RATE}
    assert window.end == pytest.approx(3_600)
    assert peak < 16e6  # bytes; the whole clip would take 230 MB


@pytest.mark.parametrize("rate", [RATE, 8_000, 48_000])
def test_a_limit_is_kept_while_decoding(tone, rate):
    content = encode(tone(440, 3.0, rate=rate), rate)
    assert sum(map(len, audio.blocks(content, RATE, limit=3.0))) == 3 * RATE
    with pytest.raises(audio.TooLong) as error:
        list(audio.blocks(content, RATE, limit=2.9))
    assert error.value.reason == "lasts more than 2.9 s; send the part that matters"
    with pytest.raises(audio.TooLong):
        list(audio.windows(content, RATE, 1.0, limit=2.9))


def test_a_long_recording_of_a_phone_takes_little_memory(tmp_path, tone):
    path = tmp_path / "long.m4a"
    path.write_bytes(by_ffmpeg(np.tile(tone(440, 1.0), 600), "ipod", "aac", 16_000))
    tracemalloc.start()
    n_samples = sum(map(len, audio.blocks(path, RATE)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert n_samples / RATE == pytest.approx(600, abs=0.1)
    assert peak < 4e6  # bytes; the whole clip would take 38 MB


# What is answered with a warning


def test_silence_is_read_with_a_warning(tmp_path):
    path = tmp_path / "silent.wav"
    soundfile.write(path, np.full(RATE, 5e-4), RATE, subtype="FLOAT")
    warnings = []
    assert len(audio.load(path, RATE, warn=warnings.append)) == RATE
    problem = "is silent (peak 5.0e-04); its answer means nothing"
    assert warnings == [AudioWarning(str(path), problem)]


CANCELLED = "has channels that cancel each other out; export one of them, and use that"


@pytest.mark.parametrize(
    ("gains", "problems"),
    [
        ([1, -1], [CANCELLED]),
        ([1, -0.9], [CANCELLED]),
        ([1, -0.7], [CANCELLED]),
        ([1, -0.3], []),
        ([1, 0], []),
        ([1, 1], []),
        ([1, -1, 1, -1], [CANCELLED]),
        ([1, 0, 0, 0, 0, 0, 0, 0], []),
        ([1e-4, -1e-4], ["is silent (peak 0.0e+00); its answer means nothing"]),
    ],
)
def test_channels_that_cancel_each_other_out_are_told_from_silence(wave, gains, problems):
    channels = np.stack([wave * gain for gain in gains], axis=1)  # (n_samples, n_channels)
    for source in (encode(channels, subtype="FLOAT"), (channels, RATE), (channels.T, RATE)):
        warnings = []
        audio.load(source, RATE, warn=warnings.append)
        assert [warning.problem for warning in warnings] == problems


def test_unrelated_channels_do_not_cancel_each_other_out():
    channels = np.random.default_rng(0).uniform(-0.1, 0.1, (8, RATE))
    warnings = []
    audio.load((channels, RATE), RATE, warn=warnings.append)
    assert warnings == []


def test_an_ordinary_clip_gives_no_warning(wave):
    warnings = []
    audio.load(encode(wave), RATE, warn=warnings.append)
    assert warnings == []


def test_who_collects_no_warnings_finds_them_in_the_log(caplog):
    audio.load((np.zeros(RATE), RATE), RATE)
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert caplog.messages[0].startswith("warning: array: is silent")
