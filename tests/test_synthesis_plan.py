"""The plan of a folder: who says what, in which split."""

from collections import Counter

import pytest

from speech_intent.errors import UserError
from speech_intent.synthesis.patterns import parse
from speech_intent.synthesis.plan import plan
from speech_intent.synthesis.sentences import Sentence
from speech_intent.synthesis.voices import Voice, by_split

VOICES = [
    Voice(engine, f"v{i}", 1.0) for engine in ("espeak-ng", "piper", "hibari") for i in range(20)
]


def sentence(intent: str, text: str, split: str = "", line: int = 2) -> Sentence:
    return Sentence(intent, parse(text), split, line)


SENTENCES = [sentence("on", f"on {i}", line=i + 2) for i in range(7)] + [sentence("off", "off")]


def test_intents_share_the_clips_evenly():
    clips = plan(SENTENCES, 101, VOICES, seed=0)
    assert Counter(clip.intent for clip in clips) == {"off": 51, "on": 50}
    assert [clip.number for clip in clips] == list(range(101))


def test_by_default_an_intent_has_200_clips_or_one_a_sentence():
    many = [sentence("on", f"on {i}") for i in range(230)]
    clips = plan([*many, sentence("off", "off")], None, VOICES, seed=0)
    assert Counter(clip.intent for clip in clips) == {"on": 230, "off": 200}


def test_what_is_no_request_is_said_as_often_as_an_intent_by_the_same_voices():
    clips = plan([*SENTENCES, sentence("unknown", "on top")], 300, VOICES, seed=0)
    assert Counter(clip.intent for clip in clips) == {"off": 100, "on": 100, "unknown": 100}
    shared = {split: set().union(*own.values()) for split, own in by_split(VOICES).items()}
    for clip in clips:
        assert set(clip.voices) <= shared[clip.split]
    counts = Counter(clip.split for clip in clips if clip.intent == "unknown")
    assert counts == {"train": 80, "validation": 10, "test": 10}


def test_sentences_are_said_about_equally_often():
    clips = plan(SENTENCES, 140, VOICES, seed=0)
    counts = Counter(clip.line for clip in clips if clip.intent == "on" and clip.split == "train")
    assert len(counts) == 7
    assert max(counts.values()) - min(counts.values()) <= 1


def test_every_split_has_every_intent_and_voices_of_its_own():
    clips = plan(SENTENCES, 200, VOICES, seed=0)
    counts = Counter((clip.split, clip.intent) for clip in clips)
    assert counts["train", "on"] == 80
    assert counts["validation", "on"] == counts["test", "off"] == 10
    speakers = {split: set() for split in ("train", "validation", "test")}
    for clip in clips:
        speakers[clip.split] |= {voice.speaker for voice in clip.voices}
    assert not speakers["train"] & speakers["test"]
    assert not speakers["train"] & speakers["validation"]
    assert not speakers["validation"] & speakers["test"]


def test_splits_that_the_sentences_name_hold():
    given = [
        sentence("on", "on", "train"),
        sentence("on", "go", "test"),
        sentence("off", "off", "train"),
    ]
    clips = plan(given, 90, VOICES, seed=0)
    assert {(clip.text, clip.split) for clip in clips} == {
        ("on", "train"),
        ("go", "test"),
        ("off", "train"),
    }


def test_every_engine_has_its_share_and_the_others_stand_in():
    clips = plan(SENTENCES, 2_000, VOICES, seed=0)
    first = Counter(clip.voices[0].engine for clip in clips)
    assert 700 < first["espeak-ng"] < 900
    assert 500 < first["piper"] < 700
    assert all(len({voice.engine for voice in clip.voices}) == 3 for clip in clips)


def test_the_seed_decides():
    assert plan(SENTENCES, 50, VOICES, seed=1) == plan(SENTENCES, 50, VOICES, seed=1)
    assert plan(SENTENCES, 50, VOICES, seed=1) != plan(SENTENCES, 50, VOICES, seed=2)


def test_fewer_clips_than_three_an_intent_are_refused():
    with pytest.raises(UserError, match="give 6 or more"):
        plan(SENTENCES, 5, VOICES, seed=0)


def test_no_voice_is_in_two_splits_and_every_split_has_every_engine():
    shared = by_split(VOICES)
    everyone = [voice for split in shared.values() for own in split.values() for voice in own]
    assert len(everyone) == len(set(everyone)) == len(VOICES)
    assert all(set(split) == {"espeak-ng", "piper", "hibari"} for split in shared.values())
    assert len(shared["train"]["piper"]) == 16
