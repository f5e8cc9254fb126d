import json

import pytest
from datasets import Dataset

from speech_intent import remarks


def table(*engines: str, column="engine") -> Dataset:
    return Dataset.from_dict({column: list(engines), "label": [0] * len(engines)})


def test_a_value_in_the_column_engine_is_synthetic_speech():
    assert remarks.count_synthetic(table("robot", "", "flite")) == [2, 3]
    assert remarks.count_synthetic(table("robot", column="Engine")) == [1, 1]
    assert remarks.count_synthetic(table("robot", column="motor")) == [0, 1]
    assert remarks.count_synthetic(table()) == [0, 0]


def test_what_is_learned_from_and_what_is_scored_is_counted():
    tables = {"train": table("a", "a"), "validation": table("", "a"), "test": table("")}
    record = {"synthetic": remarks.learned(tables), "n": 1}
    assert record["synthetic"] == {"train": [2, 2], "validation": [1, 2]}
    scored = remarks.with_scored(record, tables["test"])
    assert scored == {"synthetic": record["synthetic"] | {"scored": [0, 1]}, "n": 1}
    assert "scored" not in record["synthetic"]
    assert remarks.with_scored({}, tables["test"]) == {"synthetic": {"scored": [0, 1]}}


def result(**counts) -> dict:
    return {"synthetic": counts}


def test_where_no_person_was_heard_it_is_said():
    assert remarks.remarks(result(train=[9, 9], scored=[4, 4])) == [
        "No person was heard in training: all 9 training clips are synthetic.",
        "All 4 test clips are synthetic: the figure is about synthetic voices, and says nothing "
        "about people.",
    ]
    words = "; no person was heard in training; about synthetic voices, not people"
    assert remarks.aside(result(train=[9, 9], scored=[4, 4])) == words


def test_where_some_clips_are_synthetic_it_is_said_how_many():
    assert remarks.remarks(result(train=[3, 9], scored=[1, 4])) == [
        "3 of 9 training clips are synthetic.",
        "1 of 4 test clips are synthetic: the figure is in part about synthetic voices.",
    ]
    assert remarks.aside(result(train=[3, 9], scored=[1, 4])) == "; 1 of 4 clips are synthetic"


@pytest.mark.parametrize("counts", [{}, {"train": [0, 9], "scored": [0, 4]}, {"train": [0, 0]}])
def test_of_people_nothing_is_said(counts):
    assert remarks.remarks(result(**counts)) == []
    assert remarks.aside(result(**counts)) == ""
    assert remarks.remarks({}) == []
    assert remarks.aside({}) == ""


def test_adaptation_is_told_with_the_test_clips_among_its_recordings():
    adapted = {"folder": "kitchen", "clips": 12, "test_clips": 0}
    assert remarks.remarks({"adapted": adapted}) == [
        "Adapted to 12 unlabelled recordings (kitchen)."
    ]
    assert remarks.remarks({"adapted": adapted | {"test_clips": 3}}) == [
        "Adapted to 12 unlabelled recordings (kitchen); 3 of the test clips are among them, whose "
        "labels were not used."
    ]


def test_a_model_says_whose_voices_it_learned_from(tmp_path):
    counts = {"train": [2, 2], "validation": [0, 1]}
    (tmp_path / "training.json").write_text(json.dumps({"synthetic": counts | {"more": 1}}))
    assert remarks.of_model(tmp_path) == {"synthetic": counts}


@pytest.mark.parametrize(
    "content",
    [
        "no JSON",
        "[]",
        '{"seed": 0}',
        '{"synthetic": {"train": [1, 2]}}',
        '{"synthetic": {"train": [3, 2], "validation": [0, 1]}}',
        '{"synthetic": {"train": ["a", 2], "validation": [0, 1]}}',
        '{"synthetic": {"train": [1], "validation": [0, 1]}}',
        '{"synthetic": {"train": 1, "validation": [0, 1]}}',
        '{"synthetic": {"train": [true, true], "validation": [0, 1]}}',
    ],
)
def test_of_a_model_that_does_not_say_or_says_what_cannot_be_nothing_is_known(tmp_path, content):
    assert remarks.of_model(tmp_path) == {}
    (tmp_path / "training.json").write_text(content)
    assert remarks.of_model(tmp_path) == {}
