import hashlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from speech_intent.errors import AudioError
from speech_intent.libsndfile import BLOCK_FRAMES
from speech_intent.paths import BUNDLED
from speech_intent.quality import Measurement, complaints, measure

ODD = Path(__file__).parent / "odd_audio"
RATE = 8_000
FRAME = 160  # samples in 20 ms at that rate
LOUD = 20 * np.log10(0.5)  # dB below full scale, of a constant 0.5


# Measurements


def step(before: float, after: float) -> np.ndarray:
    """Half a second at one level, half a second at another."""
    return np.repeat([before, after], RATE // 2)


def test_a_step_is_measured_as_worked_out_by_hand(tmp_path):
    soundfile.write(tmp_path / "step.wav", step(0, -0.5), RATE)
    measured = measure(tmp_path / "step.wav")
    assert (measured.sampling_rate, measured.n_channels, measured.seconds) == (RATE, 1, 1.0)
    np.testing.assert_array_equal(measured.peaks, np.repeat([0, 0.5], 25).astype(np.float32))
    np.testing.assert_allclose(measured.levels, np.repeat([-100, LOUD], 25), atol=1e-6)
    assert measured.peak == 0.5
    assert measured.silent == 0.5
    assert measured.clipped == 0.0


def test_a_level_is_the_root_mean_square_of_its_frame(tmp_path):
    frame = np.zeros(FRAME)
    frame[:40] = 0.5  # a quarter of the frame: mean square 1/16
    soundfile.write(tmp_path / "pulse.wav", np.tile(frame, 10), RATE, subtype="FLOAT")
    measured = measure(tmp_path / "pulse.wav")
    np.testing.assert_allclose(measured.levels, np.full(10, 10 * np.log10(1 / 16)), atol=1e-6)


def test_full_scale_and_silence_begin_where_they_are_said_to(tmp_path):
    levels = np.repeat([1.0, -0.9995, 0.9985, 1.1e-3, -0.9e-3], 400)
    soundfile.write(tmp_path / "levels.wav", levels, RATE, subtype="FLOAT")
    measured = measure(tmp_path / "levels.wav")
    assert measured.clipped == 0.4  # the first two of five
    assert measured.silent == 0.2  # the last one


def test_the_digest_is_that_of_the_float32_samples_in_any_format(tmp_path):
    samples = step(0, 0.5)
    soundfile.write(tmp_path / "stereo.wav", np.stack([samples, samples], axis=1), RATE)
    soundfile.write(tmp_path / "mono.flac", samples, RATE)
    stereo = measure(tmp_path / "stereo.wav")
    expected = hashlib.sha256(samples.astype(np.float32).tobytes()).hexdigest()
    assert (stereo.n_channels, stereo.digest) == (2, expected)
    assert measure((tmp_path / "mono.flac").read_bytes()).digest == expected
    soundfile.write(tmp_path / "other.wav", step(0, 0.25), RATE)
    assert measure(tmp_path / "other.wav").digest != expected


def test_a_measurement_does_not_depend_on_blocks(tmp_path):
    rng = np.random.default_rng(0)
    waveform = rng.uniform(-1, 1, 3 * BLOCK_FRAMES + 500).astype(np.float32)
    waveform[: len(waveform) // 4] = 0
    soundfile.write(tmp_path / "long.wav", waveform, RATE, subtype="FLOAT")
    measured = measure(tmp_path / "long.wav")
    assert measured.seconds == len(waveform) / RATE
    assert measured.digest == hashlib.sha256(waveform.tobytes()).hexdigest()
    assert measured.peak == np.abs(waveform).max()
    assert measured.clipped == np.mean(np.abs(waveform) >= 0.999)
    assert measured.silent == np.mean(np.abs(waveform) < 1e-3)
    assert len(measured.peaks) == len(measured.levels)
    assert len(measured.peaks) == pytest.approx(len(waveform) / FRAME, abs=4)  # a rest a block
    power = np.mean(10 ** (measured.levels / 10))
    assert power == pytest.approx(np.mean(waveform**2), rel=0.01)


@pytest.mark.parametrize("rate", [1_000, 655_350])
def test_the_slowest_and_the_fastest_clip_are_measured(tmp_path, rate):
    waveform = np.full(rate // 2, 0.5)
    soundfile.write(tmp_path / "clip.wav", waveform, rate, subtype="FLOAT")
    measured = measure(tmp_path / "clip.wav")
    assert (measured.sampling_rate, measured.seconds) == (rate, 0.5)
    assert measured.peak == 0.5
    assert complaints(measured) == []


def test_a_clip_of_a_phone_is_measured():
    measured = measure(ODD / "u_opus.webm")
    assert (measured.sampling_rate, measured.n_channels) == (48_000, 1)
    assert measured.seconds == pytest.approx(1.957, abs=0.03)
    assert complaints(measured) == []


def test_what_is_odd_is_told(tmp_path):
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE), RATE)
    warnings = []
    measure(tmp_path / "silent.wav", warn=warnings.append)
    assert [warning.name for warning in warnings] == [str(tmp_path / "silent.wav")]
    assert warnings[0].problem.startswith("is silent")


def test_a_broken_clip_is_refused(tmp_path):
    (tmp_path / "text.wav").write_text("no audio")
    with pytest.raises(AudioError, match="is text, not audio"):
        measure(tmp_path / "text.wav")


def test_a_bundled_clip_gives_the_frozen_numbers():
    measured = measure(BUNDLED / "audio" / "test-0001.mp3")
    assert measured.digest == GOLDEN["digest"]
    assert (measured.sampling_rate, measured.n_channels) == GOLDEN["format"]
    assert measured.seconds == pytest.approx(GOLDEN["seconds"])
    assert measured.peak == pytest.approx(GOLDEN["peak"], abs=1e-5)
    assert measured.silent == pytest.approx(GOLDEN["silent"], abs=1e-5)
    np.testing.assert_allclose(measured.levels[::20], GOLDEN["levels"], atol=0.01)


GOLDEN = {
    "digest": "2f5d05f3d7964fffa25b5ffebbbe882b149471d3f0ef06bc89aad1e29225eca0",
    "format": (16_000, 1),
    "seconds": 1.95725,
    "peak": 0.242539,
    "silent": 0.303838,
    "levels": [-76.19, -29.05, -29.90, -29.86, -53.79],
}


# Complaints


def measurement(
    levels: list[float] | None = None,
    seconds: float = 2.0,
    clipped: float = 0.0,
) -> Measurement:
    """Make up what a clip is like; without arguments that of a good one."""
    frames = np.array([-20.0] * 100 if levels is None else levels)
    return Measurement(
        sampling_rate=RATE,
        n_channels=1,
        seconds=seconds,
        peaks=np.full(len(frames), 0.5, np.float32),
        levels=frames,
        clipped=clipped,
        silent=0.0,
        digest="",
    )


@pytest.mark.parametrize(
    ("clip", "expected"),
    [
        (measurement(), []),
        (measurement(seconds=0.5), []),
        (measurement(seconds=0.49), ["too short (0.49 s): was the end cut off?"]),
        (measurement(clipped=5e-4), []),
        (
            measurement(clipped=0.012),
            ["clipped (1.2 % of the samples at full scale): turn the input down"],
        ),
        (
            measurement(clipped=6e-4),
            ["clipped (0.1 % of the samples at full scale): turn the input down"],
        ),
        (measurement([-60.0] * 90 + [-20.0] * 10), []),
        (
            measurement([-60.0] * 91 + [-20.0] * 9),
            ["nearly silent: is the right microphone on?"],
        ),
        (measurement([-50.0] * 100), ["nearly silent: is the right microphone on?"]),
        (measurement([-49.0] * 100), ["too quiet (-49 dB): speak up or come closer"]),
        (measurement([-35.0] * 100), []),
        (measurement([-36.0] * 100), ["too quiet (-36 dB): speak up or come closer"]),
        # Of 101 frames the 95th percentile is the 96th from below.
        (measurement([-40.0] * 95 + [-30.0] * 6), []),
        (
            measurement([-40.0] * 96 + [-30.0] * 5),
            ["too quiet (-40 dB): speak up or come closer"],
        ),
    ],
)
def test_each_complaint_begins_at_its_threshold(clip, expected):
    assert complaints(clip) == expected


def test_complaints_are_made_together():
    clip = measurement([-60.0] * 10, seconds=0.2, clipped=0.5)
    assert [text.split(" (")[0].split(":")[0] for text in complaints(clip)] == [
        "too short",
        "nearly silent",
        "clipped",
    ]


def speech(seconds: float = 1.5, level: float = 0.2, rate: int = 48_000) -> np.ndarray:
    """Make noise that comes and goes three times a second, as syllables do."""
    rng = np.random.default_rng(0)
    t = np.arange(round(seconds * rate)) / rate
    return level * np.sin(2 * np.pi * 3 * t) * rng.normal(0, 0.5, len(t))


PAUSE = np.zeros(48_000)


@pytest.mark.parametrize(
    ("waveform", "complaint"),
    [
        (speech(), None),
        (speech(0.3), "too short"),
        (speech(level=0.01), "too quiet"),
        (speech(level=1e-4), "nearly silent"),
        (PAUSE, "nearly silent"),
        (np.concatenate([PAUSE, speech(0.1), PAUSE]), "nearly silent"),
        (np.clip(speech(level=2.0), -1, 1), "clipped"),
    ],
)
def test_a_doubtful_clip_is_complained_of(tmp_path, waveform, complaint):
    soundfile.write(tmp_path / "clip.wav", waveform, 48_000)
    problems = complaints(measure(tmp_path / "clip.wav"))
    if complaint is None:
        assert problems == []
    else:
        assert [problem.startswith(complaint) for problem in problems] == [True]


def test_bundled_clips_are_not_complained_of():
    clips = sorted((BUNDLED / "audio").iterdir())[::40]
    assert len(clips) > 10
    assert [clip.name for clip in clips if complaints(measure(clip))] == []
