"""What is wrong with single clips: each fault is named, and sound speech has none."""

import numpy as np
import pytest
import soundfile
from conftest import RATE

from speech_intent import audio, clip_checks
from speech_intent.clip_checks import Finding, Heard
from speech_intent.errors import AudioError
from speech_intent.paths import BUNDLED


@pytest.fixture(scope="module")
def speech() -> np.ndarray:
    return audio.load(BUNDLED / "audio" / "test-0001.mp3", RATE)


@pytest.fixture
def kinds(tmp_path):
    """Write a waveform, hear it, and give the kinds of what is wrong with it."""

    def hear(waveform: np.ndarray) -> list[str]:
        path = tmp_path / "clip.wav"
        soundfile.write(path, waveform, RATE)
        return [finding.kind for finding in clip_checks.hear(path).findings]

    return hear


def test_sound_speech_has_no_fault(kinds, speech):
    assert kinds(speech) == []


def test_silence_is_that_and_nothing_else(kinds):
    assert kinds(np.zeros(RATE)) == ["silent"]
    hum = 0.002 * np.sin(np.arange(RATE) / 50)  # above -60 dB, and nobody hears it
    assert kinds(hum) == ["silent"]


def test_a_tone_holds_no_speech(kinds, tone):
    assert kinds(tone(787, 1.0)) == ["speechless"]


def test_speech_beside_something_louder_is_found(kinds, speech, tone):
    beep = np.pad(0.9 * tone(787, 0.5), (0, RATE))
    assert "speechless" not in kinds(np.concatenate([beep, 0.2 * speech]))


def test_quiet_speech_is_speech(kinds, speech):
    assert kinds(0.05 * speech) == ["quiet"]


def test_speech_that_is_cut_off_is_named_at_each_end(speech, tmp_path):
    loudest = int(np.argmax(np.abs(speech)))
    cut = {"begins": speech[loudest - 80 :], "ends": speech[: loudest + 80]}
    for word, waveform in cut.items():
        path = tmp_path / f"{word}.wav"
        soundfile.write(path, waveform, RATE)
        (finding,) = clip_checks.hear(path).findings
        assert finding == Finding("cut", f"{word} at full level: was a part cut off?")


def test_clipped_speech_is_named_with_its_share(speech, tmp_path):
    path = tmp_path / "clip.wav"
    soundfile.write(path, np.clip(20 * speech, -1, 1), RATE)
    findings = {finding.kind: finding.reason for finding in clip_checks.hear(path).findings}
    assert findings["clipped"].endswith("% of the samples are at full scale")


def test_an_unreadable_clip_stands_in_its_place(tmp_path, speech):
    sound, broken = tmp_path / "a.wav", tmp_path / "b.wav"
    soundfile.write(sound, speech, RATE)
    broken.write_bytes(b"no audio")
    heard = clip_checks.hear_all([broken, sound])
    assert isinstance(heard[0], AudioError) and isinstance(heard[1], Heard)
    found = clip_checks.findings_of(heard, 15.0)
    assert [[finding.kind for finding in each] for each in found] == [["unreadable"], []]
    assert found[0][0].reason == heard[0].reason


def test_a_damaged_clip_is_read_and_named(tmp_path, speech):
    path = tmp_path / "clip.wav"
    soundfile.write(path, speech, RATE)
    path.write_bytes(path.read_bytes()[: 44 + 2 * (len(speech) - 1000)])
    assert [finding.kind for finding in clip_checks.hear(path).findings] == ["damaged"]


@pytest.mark.parametrize(
    ("seconds", "kinds"),
    [(0.66, ["short"]), (0.67, []), (6.0, []), (6.01, ["long"])],
)
def test_lengths_are_compared_with_the_usual_one(seconds, kinds):
    assert [finding.kind for finding in clip_checks.odd_length(seconds, 2.0, 15.0)] == kinds


def test_more_than_a_model_hears_is_named():
    (finding,) = clip_checks.odd_length(16.0, 14.0, 15.0)
    assert (finding.kind, finding.reason) == ("long", "16.0 s: only the first 15 s are heard")


def test_lengths_count_among_readable_clips_only():
    heard = [Heard(1.0, "a", ()), Heard(1.0, "b", ()), Heard(9.0, "c", ())]
    found = clip_checks.findings_of([AudioError("x", "is gone", "find it"), *heard], 15.0)
    assert [[finding.kind for finding in each] for each in found] == [
        ["unreadable"],
        [],
        [],
        ["long"],
    ]
    assert clip_checks.findings_of([AudioError("x", "is gone", "find it")], 15.0) == [
        [Finding("unreadable", "is gone; find it")]
    ]
