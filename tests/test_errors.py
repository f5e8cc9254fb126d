import copy
import pickle
from pathlib import Path

import pytest

from speech_intent.errors import (
    AudioError,
    DataError,
    HubUnreachable,
    ModelError,
    OutputError,
    UserError,
)

KINDS = [UserError, AudioError, ModelError, HubUnreachable, OutputError]


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_keeps_its_parts_and_says_them_in_one_line(kind):
    error = kind("two\nlines.wav", "is empty; quite", "record it again")
    assert error.name == "two\nlines.wav"
    assert error.problem == "is empty; quite"
    assert error.remedy == "record it again"
    assert error.reason == "is empty; quite; record it again"
    assert str(error) == r"two\nlines.wav: is empty; quite; record it again"


def test_a_path_is_named_as_text():
    error = OutputError(Path("runs") / "a", "holds a finished run", "choose another folder")
    assert error.name == str(Path("runs/a"))
    assert str(error) == f"{Path('runs/a')}: holds a finished run; choose another folder"


def test_a_dataset_is_told_everything_that_is_wrong_with_it():
    error = DataError("folder", (f"row {i} has no intent" for i in (2, 7)))
    assert error.name == "folder"
    assert error.problems == ("row 2 has no intent", "row 7 has no intent")
    assert str(error) == (
        "folder cannot be used:\n  - row 2 has no intent\n  - row 7 has no intent"
    )
    assert error.reason == "cannot be used; row 2 has no intent; row 7 has no intent"


def test_the_first_problems_are_printed_and_the_others_counted():
    error = DataError("folder", (f"problem {i}" for i in range(1_000_000)))
    lines = str(error).splitlines()
    assert len(error.problems) == 1_000_000
    assert lines[:2] == ["folder cannot be used:", "  - problem 0"]
    assert lines[20:] == ["  - problem 19", "  - and 999,980 more"]
    assert error.reason.endswith("; problem 19; and 999,980 more")
    assert str(DataError("folder", ["problem"] * 20)).count("\n") == 20


def test_a_problem_is_a_line_whatever_is_in_it():
    name = "x" * 10_000
    problems = [f"{name}: there is no such file", "two\nlines: \x1b[31mred", "caf\udce9"]
    _, long, broken, bytes_ = str(DataError("folder", problems)).splitlines()
    assert len(long) < 320
    assert long.endswith("xxx: there is no such file")
    assert broken == r"  - two\nlines: \x1b[31mred"
    assert bytes_ == r"  - caf\udce9"


@pytest.mark.parametrize("kind", [*KINDS, DataError])
def test_every_error_is_a_users_and_none_is_a_programs(kind):
    assert issubclass(kind, UserError)
    assert not issubclass(kind, (ValueError, OSError, RuntimeError))


def test_a_hub_that_does_not_answer_is_a_model_that_cannot_be_used():
    assert issubclass(HubUnreachable, ModelError)


@pytest.mark.parametrize(
    "error",
    [
        HubUnreachable("a/b", "cannot be reached", "connect"),
        DataError(Path("folder"), ["one", "two"]),
    ],
)
@pytest.mark.parametrize("copied", [lambda e: pickle.loads(pickle.dumps(e)), copy.copy])
def test_an_error_survives_the_way_between_processes(error, copied):
    other = copied(error)
    assert type(other) is type(error)
    assert vars(other) == vars(error)
    assert str(other) == str(error)


def test_what_others_have_said_is_printed_without_control_characters():
    error = UserError("model", "the Hub refuses this (400: \x1b[31mred\nline)", "see there")
    assert str(error) == r"model: the Hub refuses this (400: \x1b[31mred\nline); see there"
