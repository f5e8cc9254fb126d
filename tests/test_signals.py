import numpy as np
import pytest
from scipy.signal import correlate

from speech_intent import signals

RATE = 16_000
TONE = (0.3 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE) / RATE)).astype(np.float32)
LINES = {
    "mu-law": signals.telephone,
    "A-law": lambda waveform, rate: signals.telephone(waveform, rate, "A-law"),
    "GSM": lambda waveform, rate: signals.telephone(waveform, rate, "GSM"),
    "Opus": lambda waveform, rate: signals.opus(waveform, rate, 6.0),
    "MP3": signals.mp3,
}


def power(values) -> float:
    return float(np.mean(np.asarray(values, np.float64) ** 2))


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def octaves(noise: np.ndarray) -> list[float]:
    """Power in the octaves from 250 Hz to 4 kHz of one second of noise."""
    spectrum = np.abs(np.fft.rfft(noise)) ** 2
    return [float(spectrum[low : 2 * low].sum()) for low in (250, 500, 1000, 2000)]


def tone_of(frequency: float, rate: int = RATE) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(rate) / rate).astype(np.float32)


def pitch(waveform: np.ndarray) -> float:
    """The strongest frequency, in Hz."""
    spectrum = np.abs(np.fft.rfft(waveform * np.hanning(len(waveform))))
    return float(np.argmax(spectrum) * RATE / len(waveform))


def utterance(rate: int = RATE, seconds: float = 1.5) -> np.ndarray:
    """A voice that glides and sounds in syllables: float32, (n_samples,)."""
    time = np.arange(int(seconds * rate)) / rate
    phase = 2 * np.pi * (110 * time + 40 * time**2)
    voice = sum(np.sin(k * phase) / k for k in range(1, 15))
    return (0.1 * voice * np.sin(2 * np.pi * 2.3 * time) ** 2).astype(np.float32)


def delay(heard: np.ndarray, sent: np.ndarray) -> int:
    """By how many samples a clip came late."""
    return int(np.argmax(correlate(heard, sent))) - (len(sent) - 1)


# Speed


@pytest.mark.parametrize("factor", [0.87, 1.0, 1.07, 1.15])
def test_a_faster_clip_is_shorter_and_higher(factor):
    changed = signals.speed(TONE, factor)
    assert changed.dtype == np.float32
    assert len(changed) == pytest.approx(len(TONE) / factor, abs=1)
    assert pitch(changed) == pytest.approx(440 * factor, abs=1)
    assert power(changed[1000:-1000]) == pytest.approx(power(TONE), rel=0.01)


# Rooms


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


@pytest.mark.parametrize(
    ("rate", "decay", "direct"), [(16_000, 0.1, 6.0), (8_000, 0.3, -6.0), (44_100, 0.6, 12.0)]
)
def test_rooms_differ_in_decay_and_in_the_strength_of_their_echoes(rate, decay, direct):
    click = np.zeros(rate, np.float32)
    click[0] = 1
    echo = signals.room(click, rate, rng(), decay, direct)[1:].astype(np.float64)
    assert -10 * np.log10((echo**2).sum()) == pytest.approx(direct, abs=0.05)
    # Schroeder's integration (1965): the energy that is still to come falls as the sound does.
    to_come = 10 * np.log10(np.cumsum(echo[::-1] ** 2)[::-1][: int(decay * rate / 2)])
    slope = np.polyfit(np.arange(len(to_come)) / rate, to_come, 1)[0]
    assert -60 / slope == pytest.approx(decay, rel=0.06)


# Noise


@pytest.mark.parametrize("snr", [20, 0, -6.5])
def test_noise_is_as_much_weaker_as_was_asked_for(snr):
    for noise in (
        signals.white_noise(len(TONE), rng()),
        signals.coloured_noise(len(TONE), RATE, 2.0, rng()),
        signals.music(len(TONE), RATE, rng()),
        signals.babble([utterance()], len(TONE), rng()),
    ):
        noisy = signals.add_noise(TONE, noise, snr)
        assert noisy.dtype == np.float32
        assert 10 * np.log10(power(TONE) / power(noisy - TONE)) == pytest.approx(snr, abs=1e-3)


def test_pink_noise_has_equal_power_in_every_octave_and_white_twice_as_much_in_the_next():
    pink = octaves(signals.pink_noise(RATE, rng()))
    assert max(pink) < 1.5 * min(pink)
    white = octaves(signals.white_noise(RATE, rng()))
    assert np.divide(white[1:], white[:-1]) == pytest.approx([2, 2, 2], rel=0.25)


@pytest.mark.parametrize(("exponent", "ratio"), [(0.0, 2.0), (1.0, 1.0), (2.0, 0.5)])
def test_coloured_noise_falls_as_steeply_as_was_asked_for(exponent, ratio):
    noise = signals.coloured_noise(RATE, RATE, exponent, rng())
    assert noise.dtype == np.float32
    powers = octaves(noise)
    assert np.divide(powers[1:], powers[:-1]) == pytest.approx([ratio] * 3, rel=0.3)


def test_coloured_noise_is_no_rumble_below_hearing():
    spectrum = np.abs(np.fft.rfft(signals.coloured_noise(RATE, RATE, 2.0, rng()))) ** 2
    assert np.mean(spectrum[1:50]) == pytest.approx(np.mean(spectrum[45:55]), rel=0.7)


@pytest.mark.parametrize("n_samples", [1, 2, 997, 12_345])
def test_noise_is_as_long_as_was_asked_for(n_samples):
    assert signals.coloured_noise(n_samples, RATE, 1.0, rng()).shape == (n_samples,)
    assert signals.music(n_samples, RATE, rng()).shape == (n_samples,)
    voices = [np.ones(3, np.float32), np.ones(20_000, np.float32)]
    assert signals.babble(voices, n_samples, rng()).shape == (n_samples,)


def test_babble_is_several_voices_all_as_loud():
    pitches = [500 * (i + 1) for i in range(8)]
    voices = [(i + 1) * tone_of(pitches[i]) for i in range(8)]
    spectrum = np.abs(np.fft.rfft(signals.babble(voices, RATE, rng()))) ** 2
    heard = spectrum[pitches]
    assert (heard > 0.01 * heard.max()).sum() == 6
    strong = heard[heard > 0.01 * heard.max()]
    assert strong == pytest.approx(np.full(6, strong.mean()), rel=0.01)


def test_babble_begins_anywhere_in_a_voice_and_repeats_it():
    ramp = np.arange(1, 101, dtype=np.float32)
    loudness = np.sqrt(power(ramp))
    starts = set()
    for seed in range(20):
        heard = signals.babble([ramp], 250, rng(seed)) * loudness
        starts.add(round(float(heard[0])))
        np.testing.assert_allclose(heard[:100], heard[100:200], rtol=1e-5)
        assert sorted(np.round(heard[:100]).astype(int)) == list(range(1, 101))
    assert len(starts) > 10


def test_a_silent_voice_and_no_voice_are_no_babble():
    assert not signals.babble([np.zeros(50, np.float32)], 99, rng()).any()
    assert not signals.babble([], 99, rng()).any()


def test_music_is_made_of_the_notes_of_a_scale_and_decays():
    heard = signals.music(4 * RATE, RATE, rng(1))
    assert np.isfinite(heard).all()
    spectrum = np.abs(np.fft.rfft(heard * np.hanning(len(heard)))) ** 2
    frequencies = np.fft.rfftfreq(len(heard), 1 / RATE)
    low = (frequencies > 105) & (frequencies < signals.HIGHEST_NOTE)
    semitones = 12 * np.log2(frequencies[low] / signals.LOWEST_NOTE)
    off = np.abs(semitones - np.round(semitones))
    shares = spectrum[low] / spectrum[low].sum()
    assert (shares * off).sum() < 0.1  # noise has 0.25
    onsets = np.diff(np.abs(heard).reshape(-1, 400).mean(axis=1))
    assert (onsets < 0).mean() > 0.6  # chords begin at once and die away


@pytest.mark.parametrize("rate", [8_000, 16_000])
def test_music_has_no_tone_above_half_the_sampling_rate(rate):
    n_harmonics = int(rate / 2 / signals.HIGHEST_NOTE)
    highest = signals.LOWEST_NOTE * 2 ** ((23 + 9) / 12)
    assert highest <= signals.HIGHEST_NOTE
    assert n_harmonics * highest < rate / 2
    assert n_harmonics >= 5


# Microphones


def test_a_microphone_colours_by_the_gains_at_its_knots():
    gains = np.array([-6.0, 3.0, 0.0, 9.0, -12.0])
    for frequency, gain in zip(signals.MICROPHONE_KNOTS, gains, strict=True):
        tone = tone_of(frequency)
        heard = signals.microphone(tone, RATE, gains)
        assert heard.dtype == np.float32
        change = 10 * np.log10(power(heard[2000:-2000]) / power(tone))
        assert change == pytest.approx(gain, abs=0.2), frequency


@pytest.mark.parametrize("highest", [3_400.0, 5_000.0])
def test_a_narrow_microphone_hears_nothing_above_its_limit(highest):
    def heard(frequency: float) -> float:
        return power(signals.microphone(tone_of(frequency), RATE, np.zeros(5), highest))

    assert heard(highest - 100) == pytest.approx(0.5, rel=0.02)
    assert heard(highest + 100) < 0.005


def test_a_microphone_moves_nothing_in_time():
    click = np.zeros(4_001, np.float32)
    click[2_000] = 1
    heard = signals.microphone(click, RATE, np.array([3.0, -3.0, 0.0, 3.0, -3.0]), 4_000.0)
    assert heard.shape == click.shape
    assert np.argmax(heard) == 2_000


# Lines


def test_a_telephone_passes_speech_and_stops_what_is_below_and_above():
    def passed(frequency: float, code: str) -> float:
        tone = tone_of(frequency)
        return power(signals.telephone(tone, RATE, code)) / power(tone)

    for code in ("mu-law", "A-law"):
        assert passed(1000, code) == pytest.approx(1, abs=0.05)
    for code in signals.LINE_CODES:
        assert passed(100, code) < 0.01
        assert passed(6000, code) < 0.01


def test_a_telephone_has_8_bit_codes_that_are_finer_for_weak_samples():
    """G.711 at mu = 255: the weakest code is expm1(ln(256) / 127) / 255 = 1.75e-4 of the peak."""
    ramp = np.linspace(-1, 1, 100_001)
    codes = signals._mu_law(ramp)
    assert len(np.unique(codes)) == 255  # 127 on either side, and 0
    assert np.abs(codes[codes != 0]).min() == pytest.approx(1.75e-4, rel=0.01)
    assert np.abs(codes - ramp).max() < 0.025


def test_a_law_has_8_bit_codes_that_are_finer_for_weak_samples():
    """G.711: 2,048 steps on either side, of which the weakest code lies in the middle of two."""
    ramp = np.linspace(-1, 1, 100_001)
    codes = signals.LINE_CODES["A-law"](ramp)
    assert len(np.unique(codes)) == 256
    assert np.abs(codes).min() == pytest.approx(1 / 4096, rel=0.01)
    assert np.abs(codes - ramp).max() < 0.025


def test_gsm_is_far_coarser_than_the_two_laws_which_are_not_the_same():
    voice = utterance()
    heard = {code: signals.telephone(voice, RATE, code) for code in signals.LINE_CODES}
    laws = power(heard["A-law"] - heard["mu-law"])
    gsm = power(heard["GSM"] - heard["mu-law"])
    assert gsm > 10 * laws > 0


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
@pytest.mark.parametrize("name", LINES)
def test_a_line_brings_speech_in_time_as_loud_and_recognisable(name, rate):
    voice = utterance(rate)
    heard = LINES[name](voice, rate)
    assert heard.dtype == np.float32
    assert heard.shape == voice.shape
    assert abs(delay(heard, voice)) <= 4 * rate / 16_000
    least = 0.25  # a telephone takes the fundamental away
    assert least < power(heard) / power(voice) < 1.2
    for part in (slice(0, rate // 4), slice(-rate // 4, None)):  # neither end is cut off
        assert power(heard[part]) > least / 2 * power(voice[part])


@pytest.mark.parametrize("name", LINES)
def test_a_line_changes_what_goes_through_it(name):
    voice = utterance()
    assert power(LINES[name](voice, RATE) - voice) > 1e-5 * power(voice)


@pytest.mark.parametrize("name", LINES)
@pytest.mark.parametrize("n_samples", [1, 2, 400, 12_345, 16_000])
def test_a_line_gives_back_as_many_samples_even_at_44_khz(name, n_samples):
    for rate in (8_000, RATE, 44_100):
        heard = LINES[name](TONE[:n_samples], rate)
        assert heard.shape == (n_samples,)
        assert np.isfinite(heard).all()


@pytest.mark.parametrize("name", LINES)
def test_a_line_takes_a_loud_clip_without_clipping_it(name):
    voice = utterance()
    loud = LINES[name](voice * 1e3, RATE) / 1e3
    assert power(loud) == pytest.approx(power(LINES[name](voice, RATE)), rel=0.05)


def test_opus_is_worse_at_fewer_bits():
    voice = utterance()
    errors = [power(signals.opus(voice, RATE, kilobits) - voice) for kilobits in (6, 24, 256)]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]


# All of them


def test_the_generator_decides():
    for make in (
        lambda seed: signals.room(TONE, RATE, rng(seed)),
        lambda seed: signals.pink_noise(99, rng(seed)),
        lambda seed: signals.coloured_noise(99, RATE, 1.0, rng(seed)),
        lambda seed: signals.music(9_999, RATE, rng(seed)),
        lambda seed: signals.babble([TONE, utterance()], 99, rng(seed)),
    ):
        np.testing.assert_array_equal(make(1), make(1))
        assert not np.array_equal(make(1), make(2))


def test_silence_stays_finite():
    silence = np.zeros(8_000, np.float32)
    for changed in (
        signals.add_noise(silence, signals.white_noise(8_000, rng()), 10),
        signals.add_noise(silence, silence, 10),
        signals.room(silence, RATE, rng()),
        signals.microphone(silence, RATE, np.zeros(5)),
        *(line(silence, RATE) for line in LINES.values()),
    ):
        assert np.isfinite(changed).all()
        assert np.abs(changed).max() < 1e-6
