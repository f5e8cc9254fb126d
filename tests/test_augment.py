import numpy as np
import pytest
import torch

from speech_intent import augment, signals

RATE = 16_000
SHARES = ("NEARLY_CLEAN_SHARE", "ROOM_SHARE", "NOISE_SHARE", "MICROPHONE_SHARE", "LINE_SHARE")


def power(values) -> float:
    return float(np.mean(np.asarray(values, np.float64) ** 2))


@pytest.fixture
def wave(tone):
    return tone(440, 0.5)


@pytest.fixture
def voices(tone):
    return [tone(pitch, 0.3) for pitch in (150, 170, 190, 210)]


@pytest.fixture
def only(monkeypatch):
    """Let one change happen to every clip, and no other."""

    def choose(share: str | None) -> None:
        for name in SHARES:
            monkeypatch.setattr(augment, name, float(name == share))
        monkeypatch.setattr(augment, "SPEED", (1.0, 1.0))
        monkeypatch.setattr(augment, "LEVEL", (0.0, 0.0))

    torch.manual_seed(0)
    return choose


@pytest.fixture
def spy(monkeypatch):
    """Write down, instead of making them, which changes a clip goes through, and by what."""
    calls = []

    def watch(name: str) -> None:
        def note(waveform, *settings):
            calls.append((name, settings))
            return waveform

        monkeypatch.setattr(signals, name, note)

    for name in ("speed", "room", "add_noise", "microphone", "telephone", "opus", "mp3"):
        watch(name)
    return calls


def test_the_seed_decides_what_changes(wave, voices):
    torch.manual_seed(0)
    first = [augment.augment(wave, RATE, voices) for _ in range(30)]
    torch.manual_seed(0)
    again = [augment.augment(wave, RATE, voices) for _ in range(30)]
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert len({a.tobytes() for a in first}) == 30


def test_numpys_global_generator_decides_nothing(wave, voices):
    results = []
    for seed in (1, 2):
        np.random.seed(seed)
        torch.manual_seed(0)
        results += [np.concatenate([augment.augment(wave, RATE, voices) for _ in range(9)])]
    np.testing.assert_array_equal(*results)


def test_lengths_are_those_of_the_speeds(wave):
    torch.manual_seed(0)
    speeds = [len(wave) / len(augment.augment(wave, RATE)) for _ in range(200)]
    assert 0.869 < min(speeds) < 0.89
    assert 1.13 < max(speeds) < 1.151
    assert np.mean(speeds) == pytest.approx(1.01, abs=0.02)


def test_about_one_clip_in_five_is_nearly_clean_and_half_have_a_room(wave, spy):
    torch.manual_seed(0)
    n_clips = 2_000
    counts = dict.fromkeys(["clean", "room", "add_noise", "microphone", "line"], 0)
    for _ in range(n_clips):
        spy.clear()
        augment.augment(wave, RATE)
        names = {name for name, _ in spy}
        counts["clean"] += names == {"speed"}
        counts["line"] += bool(names & {"telephone", "opus", "mp3"})
        for name in ("room", "add_noise", "microphone"):
            counts[name] += name in names
    shares = {name: count / n_clips for name, count in counts.items()}
    expected = {"clean": 0.2, "room": 0.49, "add_noise": 0.53, "microphone": 0.66, "line": 0.16}
    assert shares == pytest.approx(expected, abs=0.035)


def test_the_changes_come_in_the_order_of_the_world(wave, spy):
    torch.manual_seed(0)
    order = ["speed", "room", "add_noise", "microphone", "telephone", "opus", "mp3"]
    for _ in range(300):
        spy.clear()
        augment.augment(wave, RATE)
        ranks = [order.index(name) for name, _ in spy]
        assert ranks == sorted(set(ranks))
        assert ranks[0] == 0


def test_rooms_noise_microphones_and_lines_differ_within_their_bounds(wave, spy):
    torch.manual_seed(0)
    for _ in range(2_000):
        augment.augment(wave, RATE)
    settings = {name: [each for kind, each in spy if kind == name] for name, _ in spy}
    decays = [decay for _, _, decay, _ in settings["room"]]
    direct = [decibels for _, _, _, decibels in settings["room"]]
    snrs = [snr for _, snr in settings["add_noise"]]
    kilobits = [each for _, each in settings["opus"]]
    for values, bounds in ((decays, (0.05, 0.6)), (direct, (-6, 12)), (snrs, (0, 25))):
        low, high = bounds
        edge = 0.05 * (high - low)
        assert low <= min(values) < low + edge
        assert high - edge < max(values) <= high
    assert 6 <= min(kilobits) <= max(kilobits) <= 8
    gains = np.array([gains for _, gains, _ in settings["microphone"]])
    assert gains.shape[1] == 5
    assert gains.std() == pytest.approx(5, abs=0.3)
    highest = np.array([highest for _, _, highest in settings["microphone"]])
    narrow = highest[np.isfinite(highest)]
    assert len(narrow) / len(highest) == pytest.approx(0.3, abs=0.04)
    assert 3_400 <= narrow.min() <= narrow.max() <= 5_000
    codes = [code for _, code in settings["telephone"]]
    n_lines = len(codes) + len(settings["opus"]) + len(settings["mp3"])
    for line, share in (("mu-law", 0.4), ("A-law", 0.25), ("GSM", 0.2)):
        assert codes.count(line) / n_lines == pytest.approx(share, abs=0.08)


def test_the_level_stays_within_its_bounds(wave, only, monkeypatch):
    only("NEARLY_CLEAN_SHARE")
    monkeypatch.setattr(augment, "LEVEL", (-12.0, 6.0))
    ratios = [power(augment.augment(wave, RATE)) / power(wave) for _ in range(60)]
    decibels = 10 * np.log10(ratios)
    assert -12.01 <= min(decibels) < -10
    assert 4 < max(decibels) <= 6.01


def test_noise_is_as_strong_as_was_drawn(wave, voices, only):
    only("NOISE_SHARE")
    for _ in range(40):
        noise = augment.augment(wave, RATE, voices) - wave
        assert -0.1 <= 10 * np.log10(power(wave) / power(noise)) <= 25.1


def test_all_kinds_of_noise_are_heard_and_babble_only_of_enough_voices(wave, voices, monkeypatch):
    heard = []
    for kind in ("coloured_noise", "music", "babble"):
        make = getattr(signals, kind)

        def note(*settings, kind=kind, make=make):
            heard.append((kind, settings[0]))
            return make(*settings)

        monkeypatch.setattr(signals, kind, note)
    torch.manual_seed(0)
    for _ in range(60):
        augment.augment(wave, RATE, voices)
    assert {kind for kind, _ in heard} == {"coloured_noise", "music", "babble"}
    assert all(first is voices for kind, first in heard if kind == "babble")
    heard.clear()
    for _ in range(60):
        augment.augment(wave, RATE, voices[:2])
    assert {kind for kind, _ in heard} == {"coloured_noise", "music"}


@pytest.mark.parametrize("share", [None, *SHARES])
def test_a_change_alone_moves_nothing_in_time(only, share):
    only(share)
    seconds = np.arange(9_123) / RATE
    chirp = np.sin(2 * np.pi * (300 + 2_500 * seconds) * seconds).astype(np.float32)
    for _ in range(40):
        changed = augment.augment(chirp, RATE)
        assert changed.shape == chirp.shape
        together = np.correlate(changed, chirp, mode="full")
        assert abs(int(np.argmax(together)) - (len(chirp) - 1)) <= 4


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
@pytest.mark.parametrize("n_samples", [1, 2, 7, 400, 3_001])
def test_what_comes_out_is_finite_and_never_empty(rate, n_samples, only, monkeypatch):
    only(None)
    for share in SHARES[1:]:
        monkeypatch.setattr(augment, share, 0.7)
    waveform = np.random.default_rng(0).standard_normal(n_samples).astype(np.float32)
    for others in ((), [waveform, waveform[:1], 0 * waveform]):
        for _ in range(30):
            changed = augment.augment(waveform, rate, others)
            assert changed.dtype == np.float32
            assert changed.shape == waveform.shape
            assert np.isfinite(changed).all()


def test_silence_stays_silence(voices):
    torch.manual_seed(0)
    silence = np.zeros(8_000, np.float32)
    for _ in range(60):
        assert np.abs(augment.augment(silence, RATE, voices)).max() < 1e-6
