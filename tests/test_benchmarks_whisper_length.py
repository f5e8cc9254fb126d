"""Medians and the table of benchmarks/whisper_length.py."""

import json

import pytest
import whisper_length
from blocks import read_block


def test_both_forms_take_turns_and_ratios_are_taken_turn_by_turn(monkeypatch):
    order = []
    times = [900.0, 900.0, 10.0, 1.0, 4.0, 2.0, 9.0, 9.0]
    monkeypatch.setattr(whisper_length, "milliseconds", lambda work, _: work() or times.pop(0))
    sides = [lambda: order.append("usual"), lambda: order.append("own")]
    found = whisper_length.in_turn("step", *sides)
    assert order == ["usual", "own"] * 4  # the first turn does not count
    assert found == {"usual_ms": 9.0, "own_ms": 2.0, "ratio": 0.5, "turns": 3}  # 0.1, 0.5 and 1


def test_the_median_of_calls_in_a_row_counts(monkeypatch):
    clock = iter([0.0, 9.0, 10.0, 12.0, 20.0, 21.0])  # 9, 2 and 1 s
    monkeypatch.setattr(whisper_length.time, "process_time", lambda: next(clock))
    assert whisper_length.milliseconds(lambda: None, 3) == 2_000


def test_the_clip_has_three_seconds_and_sounds_to_its_end():
    clip = whisper_length.make_clip()
    assert clip.shape == (48_000,)
    assert abs(clip[-1_000:]).max() > 0


@pytest.fixture(scope="module")
def result():
    return json.loads(whisper_length.RESULT.read_text())


def test_the_table_is_that_of_the_stored_figures(result):
    assert read_block(*whisper_length.BLOCK) == whisper_length.tables(result)


def test_a_short_clip_costs_at_most_a_fifth(result):
    """What was promised of the stored measurement."""
    assert {name: result[name]["ratio"] <= 0.2 for name in whisper_length.MEASURES} == {
        "torch": True,
        "onnx": True,
        "step": True,
    }


def test_two_precisions_are_both_named(result):
    precise = result | {"precision": ["float32", "bfloat16"]}
    assert "Precision, exported: float32 and bfloat16;" in whisper_length.tables(precise)
