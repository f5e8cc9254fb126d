import numpy as np
import pytest

from speech_intent import conditions, signals

RATE = 16_000
WAVEFORM = (0.3 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)).astype(np.float32)
VOICES = [(0.1 * np.random.default_rng(i).standard_normal(9_000)).astype("f4") for i in range(4)]
AS_EVER = ["clean"]
AS_EVER += [f"{kind} noise {snr} dB" for kind in ("white", "pink") for snr in (20, 10, 5, 0)]
AS_EVER += ["telephone", "room"]


def rng(seed: int = 3) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_they_are_named_and_the_clean_clip_comes_first():
    voices = ["babble 10 dB", "babble 0 dB"]
    others = ["music 10 dB", "music 0 dB", "GSM", "Opus 6 kbit/s", "MP3"]
    assert list(conditions.conditions(VOICES)) == [*AS_EVER, *voices, *others]
    assert list(conditions.conditions(VOICES[:3])) == [*AS_EVER, *others]  # less the clip, two
    assert list(conditions.conditions()) == [*AS_EVER, *others]


def test_each_does_what_its_name_says():
    changes = conditions.conditions(VOICES)
    voices = signals.babble(VOICES, RATE, rng())
    expected = {
        "clean": WAVEFORM,
        "white noise 5 dB": signals.add_noise(WAVEFORM, signals.white_noise(RATE, rng()), 5),
        "pink noise 20 dB": signals.add_noise(WAVEFORM, signals.pink_noise(RATE, rng()), 20),
        "telephone": signals.telephone(WAVEFORM, RATE),
        "room": signals.room(WAVEFORM, RATE, rng()),
        "babble 0 dB": signals.add_noise(WAVEFORM, voices, 0),
        "music 10 dB": signals.add_noise(WAVEFORM, signals.music(RATE, RATE, rng()), 10),
        "GSM": signals.telephone(WAVEFORM, RATE, "GSM"),
        "Opus 6 kbit/s": signals.opus(WAVEFORM, RATE, 6),
        "MP3": signals.mp3(WAVEFORM, RATE),
    }
    for name, waveform in expected.items():
        np.testing.assert_array_equal(changes[name](WAVEFORM, RATE, 3), waveform, name)


@pytest.mark.parametrize(
    ("name", "samples"),
    [
        ("white noise 0 dB", [-0.06115338, -0.02933742, 0.07813946]),
        ("pink noise 0 dB", [-0.07742619, 0.0031235, 0.09653948]),
        ("telephone", [0.0, 0.0501090, 0.0998997]),
        ("room", [0.40347612, 0.42684674, 0.4375053]),
    ],
)
def test_figures_of_long_ago_stay_comparable(name, samples):
    """Frozen: what these conditions gave when the first figures were measured."""
    changed = conditions.conditions()[name](WAVEFORM, RATE, 3)
    np.testing.assert_allclose(changed[8000:8003], samples, atol=1e-6)


def test_no_clip_is_its_own_babble():
    among = conditions.conditions([*VOICES, WAVEFORM])["babble 0 dB"]
    alone = conditions.conditions(VOICES)["babble 0 dB"]
    np.testing.assert_array_equal(among(WAVEFORM, RATE, 3), alone(WAVEFORM, RATE, 3))


def test_each_gives_as_many_samples_and_another_seed_another_noise():
    without_chance = {"clean", "telephone", "GSM", "Opus 6 kbit/s", "MP3"}
    for name, change in conditions.conditions(VOICES).items():
        changed = change(WAVEFORM, RATE, 3)
        assert changed.dtype == np.float32, name
        assert changed.shape == WAVEFORM.shape, name
        np.testing.assert_array_equal(changed, change(WAVEFORM, RATE, 3), name)
        same = np.array_equal(changed, change(WAVEFORM, RATE, 4))
        assert same == (name in without_chance), name


def test_silence_and_a_single_sample_stay_finite():
    for waveform in (np.zeros(800, np.float32), np.ones(1, np.float32)):
        for name, change in conditions.conditions(VOICES).items():
            changed = change(waveform, RATE, 0)
            assert changed.shape == waveform.shape, name
            assert np.isfinite(changed).all(), name
