import pandas as pd
import pytest

from speech_intent import tables


def table(*rows: tuple[str, str, str]) -> pd.DataFrame:
    """Rows of (file name, intent, split)."""
    return pd.DataFrame(rows, columns=["file_name", "intent", "split"])


def test_a_sound_table_has_no_problems():
    rows = [(f"{i}.wav", intent, "") for i in range(2) for intent in ("on", "off")]
    unique = [(f"{intent}{name}", intent, split) for name, intent, split in rows]
    assert tables.table_problems(table(*unique)) == []


def test_names_intents_and_counts_are_looked_at():
    rows = [("a.wav", "on", ""), ("./a.wav", "on", ""), ("b.wav", "", ""), ("c.wav", "off", "")]
    assert tables.table_problems(table(*rows)) == [
        "a.wav: is listed 2 times",
        "b.wav: its intent is empty",
        "intent 'off' has one clip; record more",
    ]


def test_given_splits_are_looked_at():
    rows = [
        ("a.wav", "on", "train"),
        ("b.wav", "off", "train"),
        ("c.wav", "dim", "test"),
        ("d.wav", "red", "validation"),
        ("e.wav", "on", "tset"),
    ]
    assert tables.table_problems(table(*rows)) == [
        "e.wav: unknown split 'tset'; use train, validation or test",
        "intent 'dim' is in test but not in train",
        "intent 'red' is in validation but not in train",
    ]


def test_a_split_without_rows_and_a_single_intent():
    assert tables.table_problems(table(("a.wav", "on", "train"), ("b.wav", "on", "train"))) == [
        "the split column has no test rows",
        "there is one intent only (on); a classifier needs two",
    ]


def test_empty_intents_alone_are_not_called_one_intent():
    assert tables.table_problems(table(("a.wav", "", ""))) == ["a.wav: its intent is empty"]


def test_numbered_intents_get_their_names():
    named = tables.name_intents(pd.Series(["1", "0", "1"]), ("on", "off"))
    assert list(named) == ["off", "on", "off"]
    assert list(tables.name_intents(pd.Series(["1", "on"]), ("on", "off"))) == ["1", "on"]
    assert list(tables.name_intents(pd.Series(["1", "0"]), ())) == ["1", "0"]
    with pytest.raises(ValueError, match=r"\[2\] are unknown; they run from 0 to 1"):
        tables.name_intents(pd.Series(["2", "0"]), ("on", "off"))


@pytest.mark.parametrize(
    ("name", "usual"), [("Training", "train"), ("DEV", "validation"), ("test", "test"), ("x", "x")]
)
def test_splits_have_one_name(name, usual):
    assert tables.split_name(name) == usual
