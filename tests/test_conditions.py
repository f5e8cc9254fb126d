import numpy as np
import pytest

from speech_intent import conditions

RATE = 16_000
WAVEFORM = (0.3 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)).astype(np.float32)


def power(values) -> float:
    return float(np.mean(np.asarray(values, np.float64) ** 2))


def test_each_gives_as_many_samples_and_the_same_again():
    made = conditions.conditions()
    assert next(iter(made)) == "clean" and len(made) == 11
    for name, change in made.items():
        first, again = (change(WAVEFORM, RATE, 3) for _ in range(2))
        assert first.dtype == np.float32 and first.shape == WAVEFORM.shape, name
        np.testing.assert_array_equal(first, again)
        assert (first is WAVEFORM) == (name == "clean")
        assert name in ("clean", "telephone") or not np.array_equal(first, change(WAVEFORM, RATE, 4))


@pytest.mark.parametrize("kind", ["white", "pink"])
@pytest.mark.parametrize("snr", conditions.SNRS)
def test_noise_is_as_strong_as_it_says(kind, snr):
    noise = conditions.add_noise(WAVEFORM, kind, snr, 0) - WAVEFORM
    assert 10 * np.log10(power(WAVEFORM) / power(noise)) == pytest.approx(snr, abs=0.05)


def test_pink_noise_has_equal_power_in_every_octave():
    silence = np.full(RATE, 1.0, np.float32)
    spectrum = np.abs(np.fft.rfft(conditions.add_noise(silence, "pink", 0, 0) - silence)) ** 2
    octaves = [spectrum[low : 2 * low].sum() for low in (250, 500, 1000, 2000)]
    assert max(octaves) < 1.5 * min(octaves)


def test_a_telephone_passes_speech_and_stops_what_is_above():
    tones = {f: np.sin(2 * np.pi * f * np.arange(RATE) / RATE).astype(np.float32) for f in (100, 1000, 6000)}
    levels = {f: power(conditions.telephone(tone, RATE, 0)) / power(tone) for f, tone in tones.items()}
    assert levels[1000] == pytest.approx(1, abs=0.05) and levels[100] < 0.01 and levels[6000] < 0.01


def test_a_room_rings_on():
    click = np.zeros(RATE, np.float32)
    click[0] = 1
    echo = conditions.room(click, RATE, 0)
    assert echo[0] == 1 and power(echo[1:]) == pytest.approx(power(click), rel=1e-3)
    assert power(echo[1000:2000]) > 20 * power(echo[5000:6000]) > 0


def test_silence_stays_finite():
    for change in conditions.conditions().values():
        assert np.isfinite(change(np.zeros(8_000, np.float32), RATE, 0)).all()
