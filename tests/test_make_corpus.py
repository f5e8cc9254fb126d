"""The pretraining corpus: what may be in it, what is planned, what a shard holds."""

from collections import Counter

import make_corpus
import numpy as np
import pandas as pd
import pytest
import soundfile
from make_corpus import RATE, Clip, Text, Voice

from speech_intent.paths import BUNDLED


@pytest.mark.parametrize(
    ("written", "normalised", "key"),
    [
        ("What's my balance?", "what's my balance", "whats my balance"),
        ("What’s  MY balance", "what's my balance", "whats my balance"),
        ("re-order my_pizza, please!", "re order my pizza please", "re order my pizza please"),
        ("  5 o'clock ", "5 o'clock", "5 oclock"),
        ("¿Qué?", "qu", "qu"),
    ],
)
def test_texts_are_compared_without_case_and_punctuation(written, normalised, key):
    assert make_corpus.normalise(written) == normalised
    assert make_corpus.text_key(written) == key


def test_only_texts_that_are_trained_on_may_occur(tmp_path):
    table = {
        "text": ["turn it on", "Don't stop", "go on!"],
        "split": ["train", "validation", "test"],
    }
    pd.DataFrame(table).to_csv(tmp_path / "phrasings.csv")
    assert make_corpus.excluded_keys(tmp_path / "phrasings.csv") == {"dont stop", "go on"}
    assert make_corpus.excluded_keys(tmp_path / "none.csv") == set()
    assert make_corpus.excluded_keys(None) == set()


def test_three_of_ten_real_commands_are_left_out_by_their_names():
    # The last digits of their CRC-32 are 2, 5, 7 and 8.
    names = ["audio/alexa/0.flac", "audio/alexa/1.flac", "audio/alexa/2.flac", "2.wav"]
    assert [make_corpus.is_left_out(name) for name in names] == [False, False, True, True]
    many = [make_corpus.is_left_out(f"audio/word/{i}.flac") for i in range(2_000)]
    assert 0.27 <= np.mean(many) <= 0.33


def test_texts_are_kept_once_if_they_can_be_spoken(tmp_path):
    rows = [
        ("What's my balance?", "balance"),
        ("whats my balance", "balance"),  # the same
        ("set a timer for 5 minutes", "timer"),  # a digit
        ("hey", "greeting"),  # too short
        ("word " * 20, "long"),
        ("tell me a joke", "oos"),
        ("turn it off", "lights"),  # excluded
    ]
    path = tmp_path / "clinc150.csv"
    pd.DataFrame(rows, columns=["text", "intent"]).to_csv(path, index=False)
    assert make_corpus.load_texts([path, path], excluded={"turn it off"}) == [
        Text("What's my balance?", "what's my balance", "clinc150/balance"),
        Text("tell me a joke", "tell me a joke", ""),
    ]


def test_fragments_are_one_to_four_neighbouring_words_that_may_occur():
    texts = [Text("", "a bb cc dd ee ff", "x"), Text("", "gg hh", "y")]
    rng = np.random.default_rng(0)
    fragments = make_corpus.make_fragments(texts, 300, rng, excluded={"cc dd"})
    counts = Counter(fragment.text for fragment in fragments)
    assert sum(counts.values()) == 300
    assert {text.count(" ") + 1 for text in counts} == {1, 2, 3, 4}
    assert all(text in "a bb cc dd ee ff|gg hh" for text in counts)
    assert "cc dd" not in counts and "a" not in counts  # a letter is no speech
    assert {"a bb cc dd", "cc dd ee ff", "gg hh", "ff"} <= set(counts)
    assert {fragment.intent for fragment in fragments} == {""}


def test_no_voice_that_can_be_drawn_is_one_of_the_validation_or_test_split():
    names = {f"flite/{name}" for name in make_corpus.FLITE_VOICES}
    for accent in make_corpus.ACCENTS:
        names.add(f"espeak-ng/{accent}")
        names |= {f"espeak-ng/{accent}+{variant}" for variant in make_corpus.VARIANTS}
    voices = pd.read_csv(BUNDLED / "voices.csv")
    held_out = voices[voices["split"] != "train"]
    assert len(names) == 2 + 5 * (1 + 57)
    assert not names & set(held_out["engine"] + "/" + held_out["voice"])


def test_voices_are_drawn_in_their_shares():
    rng = np.random.default_rng(0)
    voices = [make_corpus.draw_voice(rng) for _ in range(3_000)]
    flite = [voice for voice in voices if voice.name.startswith("flite/")]
    others = [voice for voice in voices if voice.name.startswith("espeak-ng/")]
    american = [voice for voice in others if voice.name.startswith("espeak-ng/en-us")]
    assert len(flite) / len(voices) == pytest.approx(0.3, abs=0.03)
    assert len(american) / len(others) == pytest.approx(0.4, abs=0.03)
    speeds = [voice.speed for voice in flite]
    assert min(speeds) == pytest.approx(0.756, abs=0.01)  # exp(-0.28)
    assert max(speeds) == pytest.approx(1.323, abs=0.01)
    assert all(0.84 <= voice.speed <= 1.19 for voice in others)
    assert all(0.74 <= voice.tempo <= 1.29 and 0 <= voice.pitch < 1 for voice in voices)


def test_real_commands_are_planned_at_three_speeds_but_for_those_left_out(tmp_path):
    commands = tmp_path / "commands"
    words = tmp_path / "words"
    names = ["1.wav", "2.wav"]  # the second is left out
    for folder, column in ((commands, "intent"), (words, "text")):
        folder.mkdir()
        table = pd.DataFrame({"file_name": names, column: ["Hey-Pico", "Stop!"]})
        table.to_csv(folder / "metadata.csv")
    planned = [
        (clip.text.source, clip.text.text, clip.voice)
        for clip in make_corpus.plan_real([commands, words])
    ]
    speeds = [Voice("real", speed) for speed in (1.0, 0.87, 1.14)]
    assert planned == [
        *((str(commands / "1.wav"), "hey pico", voice) for voice in speeds),
        *((str(words / "1.wav"), "hey pico", voice) for voice in speeds),
        *((str(words / "2.wav"), "stop", voice) for voice in speeds),
    ]


def test_silence_is_cut_but_for_a_margin():
    samples = np.zeros(4 * RATE)
    samples[RATE : 2 * RATE] = 1
    samples[2 * RATE : 3 * RATE] = 0.009  # below 1 % of the peak
    trimmed = make_corpus.trim(samples, margin=0.1)
    assert len(trimmed) == RATE + 2 * 1600 - 1
    assert trimmed[1600] == 1 and not trimmed[:1600].any()
    assert make_corpus.trim(np.zeros(5)).tolist() == [0] * 5


def test_a_recording_played_faster_is_shorter_and_higher(tmp_path):
    time = np.arange(22_050) / 22_050
    stereo = np.stack([np.sin(2 * np.pi * 500 * time), np.zeros(len(time))], axis=1)
    soundfile.write(tmp_path / "clip.wav", stereo, 22_050)
    samples = make_corpus.read_real(tmp_path / "clip.wav", speed=1.25)
    assert len(samples) == pytest.approx(RATE / 1.25, abs=2)
    peak = np.argmax(np.abs(np.fft.rfft(samples))) * RATE / len(samples)
    assert peak == pytest.approx(625, abs=2)  # Hz
    assert np.abs(samples).max() == pytest.approx(0.5, abs=0.01)  # the mean of the channels


@pytest.fixture
def shard(tmp_path, monkeypatch):
    """A shard of four planned clips, of which one is too short and one too long."""
    lengths = {"one": 8_000, "short": 3_199, "long": 7 * RATE + 1, "two": 4_000}
    monkeypatch.setattr(
        make_corpus, "speak", lambda clip: np.full(lengths[clip.text.text], 0.25, np.float32)
    )
    plan = [
        Clip(Text(text, text, f"intent/{text}"), Voice("real" if text == "two" else "flite/rms", 1))
        for text in lengths
    ]
    make_corpus.write_shard((7, plan), tmp_path)
    return tmp_path / "shard_0007.csv"


def test_a_shard_holds_its_clips_end_to_end(shard):
    table = pd.read_csv(shard).to_dict("records")
    assert [list(row.values()) for row in table] == [
        [0, 8_000, "one", "intent/one", "flite/rms", "synthetic"],
        [8_000, 4_000, "two", "intent/two", "real", "real"],
    ]
    samples = np.load(shard.with_suffix(".npy"))
    assert samples.dtype == np.int16 and len(samples) == 12_000
    assert set(samples) == {30_000}  # the peak of every clip


def test_a_shard_that_is_there_is_not_made_again(shard, monkeypatch):
    monkeypatch.setattr(make_corpus, "speak", lambda clip: pytest.fail("spoken again"))
    make_corpus.write_shard((7, [Clip(Text("x", "x", ""), Voice("flite/rms", 1))]), shard.parent)
    assert not list(shard.parent.glob("*.part"))
