import argparse

import pytest

from speech_intent.command_line import add_data_options, data_options, exit_status
from speech_intent.errors import DataError, ModelError, UserError
from speech_intent.recipes import RECIPES


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    add_data_options(parser)
    return parser


# Options


def test_what_is_not_given_stays_open(parser):
    args = parser.parse_args([])
    assert args.recipe == "bundled"
    assert data_options(args) == dict.fromkeys(
        ["data", "config", "audio", "intent", "speaker", "text", "drop_copies"]
    )


def test_what_is_given_is_handed_on_under_the_recipes_names(parser):
    options = "--data folder --config en --audio-column clip --intent-column label"
    options += " --speaker-column who --text-column said --drop-copies"
    args = parser.parse_args(f"--recipe bundled {options}".split())
    assert data_options(args) == {
        "data": "folder",
        "config": "en",
        "audio": "clip",
        "intent": "label",
        "speaker": "who",
        "text": "said",
        "drop_copies": True,
    }


def test_help_names_every_recipe(parser):
    for name in RECIPES:
        assert parser.parse_args(["--recipe", name]).recipe == name
        assert name in parser.format_help()


def test_who_gives_settings_as_a_configuration_is_told_where_they_go(parser, capsys):
    with pytest.raises(SystemExit):
        parser.parse_args(["--config", "runs/mine/settings.toml"])
    words = "of a Hub dataset; settings are read by --recipe runs/mine/settings.toml\n"
    assert capsys.readouterr().err.endswith(words)


# Exit status


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (UserError("a", "is empty", "fill it"), "error: a: is empty; fill it\n"),
        (ModelError("a\nb", "is gone", "look"), "error: a\\nb: is gone; look\n"),
        (DataError("a", ["one", "two"]), "error: a cannot be used:\n  - one\n  - two\n"),
    ],
)
def test_what_a_user_can_put_right_is_told_on_stderr(error, message, capsys):
    def work() -> None:
        print("begun")
        raise error

    assert exit_status(work) == 1
    assert capsys.readouterr() == ("begun\n", message)


def test_work_that_is_done_is_status_0(capsys):
    done = []
    assert exit_status(lambda: done.append(1)) == 0
    assert done == [1]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("error", [ValueError("ours"), OSError("ours"), KeyError("ours")])
def test_a_mistake_of_ours_keeps_its_traceback(error):
    def work() -> None:
        raise error

    with pytest.raises(type(error), match="ours"):
        exit_status(work)


def test_an_endpoint_that_cannot_be_is_named_before_anything_is_done(monkeypatch, capsys):
    monkeypatch.setenv("HF_ENDPOINT", "foo")
    assert exit_status(lambda: pytest.fail("was done")) == 1
    assert capsys.readouterr().err.startswith("error: HF_ENDPOINT: is 'foo', which is no address")
