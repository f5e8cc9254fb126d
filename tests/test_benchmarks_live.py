"""Streams whose requests are known, and how benchmarks/live.py and live_streams.py score them."""

import json
from types import SimpleNamespace

import live
import live_streams
import numpy as np
import pytest
from blocks import read_block
from conftest import RATE
from live import Heard, Spoken

from speech_intent.listening import Pauses


@pytest.fixture
def clips(tone) -> list[tuple[str, np.ndarray]]:
    return [("low", live.speech_of(tone(213, 0.5))), ("high", live.speech_of(tone(3171, 0.8)))]


def test_speech_is_cut_to_what_is_heard_and_all_as_loud(tone):
    clip = np.concatenate(
        [np.zeros(4_000, np.float32), tone(787, 0.5), np.zeros(8_000, np.float32)]
    )
    speech = live.speech_of(clip)
    assert abs(len(speech) - RATE // 2) <= 2 * live.FRAME
    assert np.sqrt(np.mean(speech**2)) == pytest.approx(live.LEVEL)


@pytest.mark.parametrize("kind", ["noise", "music"])
@pytest.mark.parametrize("ratio", live.RATIOS)
def test_clips_are_where_they_are_said_to_be_and_as_loud(clips, kind, ratio):
    stream, spoken = live.splice(clips, kind, ratio, [], seed=3)
    silent = [(name, 0 * clip) for name, clip in clips]
    alone, _ = live.splice(silent, kind, ratio, [], seed=3)
    assert [each.intent for each in spoken] == ["low", "high"]
    assert spoken[0].start == live.LEAD
    gap = spoken[1].start - spoken[0].end
    assert live.GAPS[0] <= gap <= live.GAPS[1]
    for (_, clip), each in zip(clips, spoken, strict=True):
        part = slice(round(each.start * RATE), round(each.end * RATE))
        np.testing.assert_allclose((stream - alone)[part], clip, atol=1e-6)
    power = np.mean(alone**2)
    assert 10 * np.log10(live.LEVEL**2 / power) == pytest.approx(ratio, abs=1.5)


def test_the_seed_decides(clips):
    first, again, other = (live.splice(clips, "noise", 5, [], seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first[:1000], other[:1000])


def test_answers_are_scored_by_what_was_said_while_they_were_heard(clips, monkeypatch):
    stream, spoken = live.splice(clips, "noise", 20, [], seed=0)
    low, high = spoken
    heard = [
        Heard(low.start, low.end, low.end + 0.6, 0.02, "low", True),
        Heard(high.start, high.start + 0.1, high.start + 0.7, 0.0, "mid", True),
        Heard(high.start + 0.2, high.end, high.end + 0.4, 0.01, "high", False),
        Heard(high.end + 1, high.end + 2, high.end + 3, 0.01, "high", True),
    ]
    monkeypatch.setattr(live, "listen", lambda *_: iter(heard))
    monkeypatch.setattr(live, "by_hand", lambda classifier, stream, each: each.intent == "low")
    found = live.score(None, stream, spoken, Pauses())
    counts = {key: found[key] for key in ("n", "found", "answered", "right", "by_hand")}
    assert counts == {"n": 2, "found": 2, "answered": 2, "right": 2, "by_hand": 1}
    assert (found["others"], found["others_answered"]) == (1, 1)
    assert found["delays"] == pytest.approx([0.12, -0.09])


def test_who_is_not_heard_is_not_found(clips, monkeypatch):
    stream, spoken = live.splice(clips, "noise", 20, [], seed=0)
    monkeypatch.setattr(live, "listen", lambda *_: iter([]))
    found = live.score(None, stream, spoken, Pauses())
    assert (found["found"], found["answered"], found["delays"]) == (0, 0, [])


def test_a_classifier_hears_a_stream_as_it_comes(clips, monkeypatch):
    answer = SimpleNamespace(label="on", accepted=True)
    request = live.Request(1.0, 2.0, 2.5, np.zeros(RATE, np.float32))

    class Listener:
        def __init__(self, pauses):
            self.blocks = 0

        def hear(self, block):
            assert len(block) <= live.CHUNK
            self.blocks += 1
            return [request] if self.blocks == 3 else []

    monkeypatch.setattr(live, "Listener", Listener)
    classifier = SimpleNamespace(predict=lambda source: answer)
    (heard,) = live.listen(classifier, np.zeros(5_000, np.float32), Pauses())
    assert (heard.start, heard.end, heard.heard_until) == (1.0, 2.0, 2.5)
    assert (heard.guess, heard.accepted) == ("on", True)


def test_an_answer_is_late_by_what_it_took_beyond_the_silence():
    spoken = [Spoken("low", 1.0, 2.0), Spoken("high", 5.0, 6.0)]
    answers = [
        {"event": "answer", "start": 1.1, "end": 1.9, "at": 2.55},
        {"event": "error", "start": 9.0, "end": 9.5, "at": 10.0},
    ]
    assert live_streams.delays(answers, spoken, silence=0.5) == pytest.approx([0.05])


def test_the_pages_say_what_was_measured():
    stored = json.loads(live.RESULT.read_text(encoding="utf-8"))
    assert read_block(*live.BLOCK) == live.tables(stored)
    streams = json.loads(live_streams.RESULT.read_text(encoding="utf-8"))
    assert read_block(*live_streams.BLOCK) == live_streams.tables(streams)
