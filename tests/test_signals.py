import numpy as np
import pytest
import torch

from speech_intent import signals

RATE = 16_000
TONE = (0.3 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)).astype(np.float32)


def power(values) -> float:
    return float(np.mean(np.asarray(values, np.float64) ** 2))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def octaves(noise: np.ndarray) -> list[float]:
    """Power in the octaves from 250 Hz to 4 kHz of one second of noise."""
    spectrum = np.abs(np.fft.rfft(noise)) ** 2
    return [float(spectrum[low : 2 * low].sum()) for low in (250, 500, 1000, 2000)]


@pytest.mark.parametrize("snr", [20, 0, -6.5])
def test_noise_is_as_much_weaker_as_was_asked_for(snr):
    noisy = signals.add_noise(TONE, signals.white_noise(len(TONE), rng()), snr)
    assert noisy.dtype == np.float32
    assert 10 * np.log10(power(TONE) / power(noisy - TONE)) == pytest.approx(snr, abs=1e-3)


def test_pink_noise_has_equal_power_in_every_octave_and_white_twice_as_much_in_the_next():
    pink = octaves(signals.pink_noise(RATE, rng()))
    assert max(pink) < 1.5 * min(pink)
    white = octaves(signals.white_noise(RATE, rng()))
    assert np.divide(white[1:], white[:-1]) == pytest.approx([2, 2, 2], rel=0.25)


def test_a_low_pass_takes_away_12_db_an_octave():
    def passed(frequency: float) -> float:
        tone = torch.sin(2 * torch.pi * frequency * torch.arange(RATE) / RATE)
        return 10 * np.log10(power(signals.low_pass(tone, RATE, 500.0)) / power(tone))

    assert passed(50) == pytest.approx(0, abs=0.1)
    assert passed(500) == pytest.approx(-3, abs=0.1)
    assert passed(2000) - passed(1000) == pytest.approx(-12, abs=1.5)


def test_a_telephone_passes_speech_and_stops_what_is_below_and_above():
    def passed(frequency: float) -> float:
        tone = np.sin(2 * np.pi * frequency * np.arange(RATE) / RATE).astype(np.float32)
        return power(signals.telephone(tone, RATE)) / power(tone)

    assert passed(1000) == pytest.approx(1, abs=0.05)
    assert passed(100) < 0.01
    assert passed(6000) < 0.01


def test_a_telephone_has_8_bit_codes_that_are_finer_for_weak_samples():
    """G.711 at mu = 255: the weakest code is expm1(ln(256) / 127) / 255 = 1.75e-4 of the peak."""
    ramp = np.linspace(-1, 1, 100_001)
    codes = signals._mu_law(ramp)
    assert len(np.unique(codes)) == 255  # 127 on either side, and 0
    assert np.abs(codes[codes != 0]).min() == pytest.approx(1.75e-4, rel=0.01)
    assert np.abs(codes - ramp).max() < 0.025


@pytest.mark.parametrize("n_samples", [400, 12_345, 16_000])
def test_a_telephone_gives_back_as_many_samples(n_samples):
    assert signals.telephone(TONE[:n_samples], RATE).shape == (n_samples,)


def test_a_room_rings_on_and_falls_by_60_db_in_its_time():
    click = np.zeros(RATE, np.float32)
    click[0] = 1
    wet = signals.room(click, RATE, rng(), decay_seconds=0.5)
    assert wet[0] == 1
    assert power(wet[1:]) == pytest.approx(power(click), rel=1e-3)
    early = power(wet[800:1600])  # 0.05 to 0.1 s
    late = power(wet[4000:4800])  # 0.25 to 0.3 s, 0.2 s later: 24 dB
    assert 10 * np.log10(early / late) == pytest.approx(24, abs=1.5)
    assert np.abs(wet[8000:]).max() < 1e-12


def test_the_generator_decides():
    np.testing.assert_array_equal(
        signals.room(TONE, RATE, rng(1)), signals.room(TONE, RATE, rng(1))
    )
    assert not np.array_equal(signals.room(TONE, RATE, rng(1)), signals.room(TONE, RATE, rng(2)))
    np.testing.assert_array_equal(signals.pink_noise(99, rng(1)), signals.pink_noise(99, rng(1)))


def test_silence_stays_finite():
    silence = np.zeros(8_000, np.float32)
    for changed in (
        signals.add_noise(silence, signals.white_noise(8_000, rng()), 10),
        signals.telephone(silence, RATE),
        signals.room(silence, RATE, rng()),
    ):
        assert np.isfinite(changed).all()
