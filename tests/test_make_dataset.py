"""The script that made the bundled speech: what it plans, and what it does to a clip."""

import make_dataset
import numpy as np
import pytest
from make_dataset import HERE, SAMPLE_RATE, make_rng

PHRASINGS = make_dataset.read_csv(HERE / "phrasings.csv")
VOICES = make_dataset.read_csv(HERE / "voices.csv")


def tone(frequency: float, seconds: float = 1.0) -> np.ndarray:
    return np.sin(2 * np.pi * frequency * np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE)


@pytest.mark.parametrize(
    ("total", "weights", "counts"),
    [
        (
            10,
            {"a": 1, "b": 1, "c": 1},
            {"a": 4, "b": 3, "c": 3},
        ),  # 3.33 each: the first is given one
        (7, {"x": 0.6, "y": 0.4}, {"x": 4, "y": 3}),  # 4.2 and 2.8
        (5, {"x": 3.0, "y": 1.0, "z": 1.0}, {"x": 3, "y": 1, "z": 1}),
        (2, {"x": 0.9, "y": 0.1}, {"x": 2, "y": 0}),  # 1.8 and 0.2
    ],
)
def test_items_are_shared_out_by_largest_remainder(total, weights, counts):
    assert make_dataset.share_out(total, weights) == counts


def test_the_draws_of_a_clip_depend_on_its_keys_alone():
    first = make_rng("clip", "test", 1).random(3)
    make_rng("clip", "test", 0).random(100)
    assert make_rng("clip", "test", 1).random(3).tolist() == first.tolist()
    assert make_rng("clip", "test", 2).random(3).tolist() != first.tolist()


def test_the_stored_splits_of_the_phrasings_are_the_random_draw():
    assert make_dataset.draw_splits(PHRASINGS) == [row["split"] for row in PHRASINGS]


def test_a_request_with_a_wording_too_few_is_refused():
    with pytest.raises(ValueError, match="battery, charge left has 11 phrasings, expected 12"):
        make_dataset.draw_splits(PHRASINGS[1:])


@pytest.mark.parametrize("split", ["validation", "test"])
def test_the_stored_clips_are_those_that_are_planned(split):
    plan = make_dataset.plan_split(split, PHRASINGS, VOICES)
    stored = make_dataset.read_csv(HERE / "csv" / f"{split}.csv")
    columns = ("intent", "speaker", "engine", "text")
    assert [[row[c] for c in columns] for row in plan] == [
        [row[c] for c in columns] for row in stored
    ]


@pytest.fixture
def small_plan(monkeypatch):
    """Six test clips: two of `on`, four of `off`, half of them by each engine."""
    monkeypatch.setattr(make_dataset, "CLIPS_PER_SPLIT", {"test": 6})
    monkeypatch.setattr(make_dataset, "INTENT_WEIGHTS", {"on": 1.0, "off": 2.0})
    monkeypatch.setattr(make_dataset, "ENGINE_SHARES", {"test": {"flite": 0.5, "festival": 0.5}})
    phrasings = [
        {"intent": "on", "text": "turn it on", "split": "test"},
        {"intent": "off", "text": "turn it off", "split": "test"},
        {"intent": "off", "text": "switch it off", "split": "test"},
        {"intent": "off", "text": "kill it", "split": "train"},
    ]
    voices = [
        {"speaker": "ann", "engine": "flite", "voice": "slt", "split": "test"},
        {"speaker": "ben", "engine": "festival", "voice": "kal", "split": "test"},
        {"speaker": "cem", "engine": "festival", "voice": "ked", "split": "test"},
        {"speaker": "dan", "engine": "flite", "voice": "awb", "split": "train"},
    ]
    return make_dataset.plan_split("test", phrasings, voices)


def test_a_plan_keeps_the_shares_of_intents_and_engines_and_uses_texts_and_voices_evenly(
    small_plan,
):
    def count(column: str) -> dict[str, int]:
        values = [clip[column] for clip in small_plan]
        return {value: values.count(value) for value in sorted(set(values))}

    assert count("intent") == {"off": 4, "on": 2}
    assert count("engine") == {"festival": 3, "flite": 3}
    assert count("text") == {"switch it off": 2, "turn it off": 2, "turn it on": 2}
    assert count("speaker") in ({"ann": 3, "ben": 2, "cem": 1}, {"ann": 3, "ben": 1, "cem": 2})


def test_a_pair_of_text_and_voice_is_repeated_only_when_all_have_been_used(small_plan):
    by_festival = [
        (clip["text"], clip["speaker"]) for clip in small_plan if clip["engine"] == "festival"
    ]
    assert len(set(by_festival)) == len(by_festival)


def test_the_audible_span_begins_and_ends_with_the_frames_that_hold_sound():
    waveform = np.concatenate([np.zeros(1600), np.ones(1600), np.zeros(1600)])
    # Frames of 320 samples, every 160: the first that holds sound begins at 1440 and is half full
    # (3 dB weaker), the last begins at 3040.
    assert make_dataset.audible_span(waveform, 20) == slice(1440, 3360)
    assert make_dataset.audible_span(waveform, 2) == slice(1600, 3200)


def test_a_clip_that_is_too_short_is_spoken_again_more_slowly(monkeypatch):
    stretches = []

    def synthesise(engine, voice, text, stretch, pitch):
        stretches.append(stretch)
        return np.concatenate([np.zeros(800), 0.5 * tone(300, 1.0 * stretch), np.zeros(800)])

    monkeypatch.setattr(make_dataset, "synthesise", synthesise)
    clip = {"engine": "flite", "voice": "slt", "text": "go"}
    speech = make_dataset.speak_clip(clip, np.random.default_rng(0))
    assert stretches[0] < 1.25 <= stretches[-1] + 0.02
    assert np.allclose(np.diff(np.log(stretches)), np.log(1.06))
    assert np.abs(speech).max() == 1
    assert len(speech) / SAMPLE_RATE == pytest.approx(stretches[-1], abs=0.03)


def test_a_clip_that_stays_too_short_is_named(monkeypatch):
    monkeypatch.setattr(make_dataset, "synthesise", lambda *_: tone(300, 0.5))
    clip = {"engine": "flite", "voice": "slt", "text": "go"}
    with pytest.raises(RuntimeError, match=r"to 5\.0 s of speech: .*'go'"):
        make_dataset.speak_clip(clip, np.random.default_rng(0))


@pytest.mark.parametrize("text", ["Turn it on", 'on") (exit', "level 2", ""])
def test_only_lower_case_letters_reach_a_synthesiser(text):
    with pytest.raises(ValueError, match="lower-case letters"):
        make_dataset.synthesise("festival", "voice_kal_diphone", text, 1.0, 0.0)


@pytest.mark.parametrize(("slope", "ratio_db"), [(0, 0), (1, 10), (2, 20)])
def test_the_power_of_coloured_noise_falls_with_frequency(slope, ratio_db):
    noise = make_dataset.coloured_noise(10 * SAMPLE_RATE, slope, np.random.default_rng(0))
    power = np.abs(np.fft.rfft(noise)) ** 2
    frequency = np.fft.rfftfreq(len(noise), 1 / SAMPLE_RATE)
    low = power[(frequency > 190) & (frequency < 210)].mean()
    high = power[(frequency > 1900) & (frequency < 2100)].mean()  # ten times as high
    assert 10 * np.log10(low / high) == pytest.approx(ratio_db, abs=1)


def test_a_telephone_lets_through_what_lies_between_300_and_3400_hz():
    def loss_db(frequency: float) -> float:
        sound = tone(frequency) + 1e-3 * tone(1000)  # what is coded when nothing else comes through
        heard = make_dataset.telephone(sound)
        assert heard.shape == sound.shape
        spectrum = np.abs(np.fft.rfft(np.stack([sound, heard])))[:, round(frequency)]
        return 20 * np.log10(spectrum[0] / spectrum[1])

    assert loss_db(1000) == pytest.approx(0, abs=0.5)
    assert loss_db(3400) == pytest.approx(3, abs=0.5)  # the edge of the band
    assert loss_db(300) == pytest.approx(3, abs=0.5)
    assert loss_db(6000) > 30


def test_reverberation_starts_with_the_direct_sound_and_trails_off():
    click = np.zeros(SAMPLE_RATE)
    click[100] = 1
    wet = make_dataset.add_reverb(click, np.random.default_rng(0))
    assert wet.shape == click.shape
    assert np.allclose(wet[:100], 0) and wet[100] == pytest.approx(1)
    assert np.allclose(wet[101:180], 0)  # 5 ms until the first echo
    energy = [np.sum(wet[start : start + 2000] ** 2) for start in (181, 4181, 8181)]
    assert energy[0] > 10 * energy[1] > 100 * energy[2]


def test_a_processed_clip_has_a_level_between_18_and_1_db_below_full_scale():
    rng = np.random.default_rng(1)
    others = [rng.standard_normal(SAMPLE_RATE) for _ in range(6)]
    peaks = []
    for seed in range(30):  # with and without room, noise and telephone
        clip = make_dataset.process(tone(440, 1.5), others, np.random.default_rng(seed))
        assert clip.dtype == np.float32 and np.isfinite(clip).all()
        assert 1.7 <= len(clip) / SAMPLE_RATE <= 2.3  # 0.1 to 0.4 s of silence at each end
        peaks.append(20 * np.log10(np.abs(clip).max()))
    assert min(peaks) >= -18.01 and max(peaks) <= -0.99
    assert max(peaks) - min(peaks) > 8


def test_frames_that_the_encoder_spoiled_are_counted():
    waveform = np.random.default_rng(0).standard_normal(4 * 576 + 100).astype(np.float32)
    decoded = waveform.copy()
    assert make_dataset.lost_frames(waveform, decoded) == 0
    decoded[576 : 3 * 576] = 0
    assert make_dataset.lost_frames(waveform, decoded) == 2
    waveform[576 : 2 * 576] *= 0.01  # a loss in silence is none
    assert make_dataset.lost_frames(waveform, decoded) == 1
