import numpy as np

from speech_intent import conditions, signals

RATE = 16_000
WAVEFORM = (0.3 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)).astype(np.float32)


def test_they_are_named_and_the_clean_clip_comes_first():
    noises = [f"{kind} noise {snr} dB" for kind in ("white", "pink") for snr in (20, 10, 5, 0)]
    assert list(conditions.conditions()) == ["clean", *noises, "telephone", "room"]


def test_each_does_what_its_name_says():
    changes = conditions.conditions()
    rng = np.random.default_rng
    expected = {
        "clean": WAVEFORM,
        "white noise 5 dB": signals.add_noise(WAVEFORM, signals.white_noise(RATE, rng(3)), 5),
        "pink noise 20 dB": signals.add_noise(WAVEFORM, signals.pink_noise(RATE, rng(3)), 20),
        "telephone": signals.telephone(WAVEFORM, RATE),
        "room": signals.room(WAVEFORM, RATE, rng(3)),
    }
    for name, waveform in expected.items():
        np.testing.assert_array_equal(changes[name](WAVEFORM, RATE, 3), waveform, name)


def test_each_gives_as_many_samples_and_another_seed_another_noise():
    for name, change in conditions.conditions().items():
        changed = change(WAVEFORM, RATE, 3)
        assert changed.dtype == np.float32, name
        assert changed.shape == WAVEFORM.shape, name
        same = np.array_equal(changed, change(WAVEFORM, RATE, 4))
        assert same == (name in ("clean", "telephone")), name
