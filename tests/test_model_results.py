"""Figures that cannot be are not published."""

import json
import math
import shutil

import pytest
from test_cards import results

from speech_intent import hub_upload, publish
from speech_intent.errors import ModelError
from speech_intent.model_results import FIGURES, read_results
from speech_intent.paths import SHIPPED


def write(folder, **changed):
    content = {key: value for key, value in results(**changed).items() if value is not ...}
    (folder / "metrics.json").write_text(json.dumps(content))
    return folder


def test_without_a_file_there_are_no_results(tmp_path):
    assert read_results(tmp_path) == {}


def test_what_evaluation_wrote_is_taken(tmp_path, model_folder):
    assert read_results(SHIPPED)["correct"] == 352
    assert 0 <= read_results(model_folder)["accuracy"] <= 1
    assert read_results(write(tmp_path)) == results()


def test_what_nobody_has_recorded_may_be_missing(tmp_path):
    names = ("data", "config", "split", "encoder", "seed", "epochs", "steps", "note")
    read_results(write(tmp_path, hyperparameters=..., **dict.fromkeys(names, ...)))


ADAPTED = {"folder": "kitchen", "clips": 12, "test_clips": 0}


def test_what_is_said_of_voices_and_adaptation_is_read(tmp_path):
    said = {"synthetic": {"train": [2, 2], "scored": [0, 4]}, "adapted": ADAPTED, "added": ["a"]}
    read = read_results(write(tmp_path, **said))
    assert {name: read[name] for name in said} == said
    read_results(write(tmp_path, synthetic=None, adapted=None, added=None))


BROKEN = {
    **{f"{name} missing": {name: ...} for name in ("n", "correct", "accuracy", FIGURES[-1])},
    **{f"accuracy {value!r}": {"accuracy": value} for value in (math.nan, "0.9", 1.5, None, [])},
    **{f"n {value!r}": {"n": value} for value in (0, -1, 2.5, "20", True, math.inf)},
    "more right than there are": {"correct": 21},
    **{
        f"interval {value!r}": {"f1_macro_interval": value}
        for value in (..., [], [0.5], [0.9, 0.5], [0.1, math.nan], "ab", 7, {"low": 0}, [0, "1"])
    },
    **{f"data {value!r}": {"data": value} for value in (7, ["a"], {}, "", "\ud800")},
    "encoder a number": {"encoder": 7},
    "config a list": {"config": ["en"]},
    "note an object": {"note": {}},
    "seed a list": {"seed": [0]},
    "epochs not a number": {"epochs": math.nan},
    **{f"hyperparameters {value!r}": {"hyperparameters": value} for value in (7, [], "a")},
    "a hyperparameter that is a list": {"hyperparameters": {"a": ["*x*"]}},
    **{f"added {value!r}": {"added": value} for value in ("a", {"a": 1}, [""], [7], 7)},
    **{
        f"synthetic {value!r}": {"synthetic": value}
        for value in ([1, 2], {"train": [2, 1]}, {"scored": [1]}, {"scored": ["1", 2]})
    },
    **{
        f"adapted {value!r}": {"adapted": ADAPTED | value}
        for value in ({"folder": ""}, {"clips": "12"}, {"test_clips": -1})
    },
    "adapted a list": {"adapted": [12]},
    "calibration without an interval": {"calibration_error": 0.1},
    "coverage above 1": {"coverage": 1.1, "coverage_interval": [0, 1]},
    "says_unknown a text": {"says_unknown": "yes"},
    **{
        f"unknown_test {value!r}": {"unknown_test": value}
        for value in ({}, [7], [{"kind": "noise", "n": 2, "accepted": 3}], [{"n": 2}])
    },
    **{f"unknown {value!r}": {"unknown": value} for value in (7, {"n": -1}, {"n": 2})},
    **{f"versions {value!r}": {"versions": value} for value in (7, {"torch": ["2"]})},
    **{
        f"recipe {value!r}": {"recipe": value}
        for value in ("a", {"add": [7]}, {"add": {}}, {"recipe": ["a"]}, {})
    },
}


@pytest.mark.parametrize("changed", BROKEN.values(), ids=BROKEN)
def test_a_figure_that_cannot_be_is_named(tmp_path, changed):
    with pytest.raises(ModelError) as error:
        read_results(write(tmp_path, **changed))
    assert error.value.name == str(tmp_path / "metrics.json")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"{" * 5_000, b"\xff", b"NaN"])
def test_broken_metrics_are_one_line_of_the_command(model_folder, tmp_path, capsys, content):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    (folder / "metrics.json").write_bytes(content)
    assert publish.main([str(folder), "user/name"]) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"error: {folder / 'metrics.json'}: ")
    assert err.count("\n") == 1
    with pytest.raises(ModelError):
        hub_upload.model_files(folder, "user/name", without_results=True)
