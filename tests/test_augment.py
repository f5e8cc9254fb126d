import pytest
import torch

from speech_intent import augment

RATE = 16_000


@pytest.fixture
def wave(tone):
    return torch.from_numpy(tone(440, 0.5))


def test_the_seed_decides_what_changes(wave):
    torch.manual_seed(0)
    first = [augment.augment(wave, RATE) for _ in range(4)]
    torch.manual_seed(0)
    again = [augment.augment(wave, RATE) for _ in range(4)]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], first[1])


def test_lengths_are_those_of_the_speeds_and_samples_stay_finite(wave):
    torch.manual_seed(0)
    changed = [augment.augment(wave, RATE) for _ in range(60)]
    assert all(c.dtype == torch.float32 and torch.isfinite(c).all() for c in changed)
    seconds = {round(len(wave) / len(c), 2) for c in changed}
    assert seconds == set(augment.SPEEDS)


def test_the_level_stays_within_its_bounds(wave, monkeypatch):
    monkeypatch.setattr(augment, "SPEEDS", (1.0,))
    monkeypatch.setattr(augment, "NOISE_SHARE", 0.0)
    torch.manual_seed(0)
    decibels = [
        20 * torch.log10(augment.augment(wave, RATE).norm() / wave.norm()).item() for _ in range(40)
    ]
    assert augment.LEVEL[0] - 0.01 <= min(decibels) < -6
    assert 0 < max(decibels) <= augment.LEVEL[1] + 0.01


def test_noise_stays_within_its_bounds(wave, monkeypatch):
    monkeypatch.setattr(augment, "SPEEDS", (1.0,))
    monkeypatch.setattr(augment, "NOISE_SHARE", 1.0)
    monkeypatch.setattr(augment, "LEVEL", (0.0, 0.0))
    torch.manual_seed(0)
    for _ in range(20):
        noise = augment.augment(wave, RATE) - wave
        assert 4.9 <= 20 * torch.log10(wave.norm() / noise.norm()).item() <= 30.1


def test_silence_stays_silence():
    torch.manual_seed(0)
    assert all(not augment.augment(torch.zeros(8_000), RATE).any() for _ in range(10))
