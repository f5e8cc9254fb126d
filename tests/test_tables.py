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


def test_nothing_is_counted_where_rows_are_missing():
    rows = [("a.wav", "on", "train"), ("b.wav", "off", "test"), ("c.wav", "On", "tset")]
    assert tables.table_problems(table(*rows), is_whole=False) == [
        "c.wav: unknown split 'tset'; use train, validation or test",
        "the intents 'on' (1 of the clips) and 'On' (1 of the clips) look alike; "
        "write 'on' for all of them, or names that differ more",
    ]


def test_empty_intents_alone_are_not_called_one_intent():
    assert tables.table_problems(table(("a.wav", "", ""))) == ["a.wav: its intent is empty"]


def test_intents_that_look_alike_are_named_with_the_usual_spelling():
    intents = ["turn on"] * 3 + ["Turn On"] * 2 + ["turn_on"] * 2 + ["off"] * 2
    rows = [(f"{i}.wav", intent, "") for i, intent in enumerate(intents)]
    assert tables.table_problems(table(*rows)) == [
        "the intents 'turn on' (3 of the clips) and 'Turn On' (2 of the clips) and 'turn_on' "
        "(2 of the clips) look alike; write 'turn on' for all of them, or names that differ more"
    ]


def test_speakers_that_look_alike_are_told(caplog):
    speakers = ["ann", "ann", "Ann ", "ben", "", ""]
    tables.warn_of_speakers(pd.DataFrame({"speaker": speakers}))
    assert caplog.messages == [
        "warning: the speakers 'ann' (2 of the clips) and 'Ann ' (1 of the clips) look alike, "
        "and count as several"
    ]


def test_intents_in_two_unicode_forms_are_told_apart_in_the_message():
    intents = ["caf\xe9"] * 2 + ["cafe\u0301"] * 3 + ["off"] * 2
    rows = [(f"{i}.wav", intent, "") for i, intent in enumerate(intents)]
    assert tables.table_problems(table(*rows)) == [
        r"the intents 'cafe\u0301' (3 of the clips) and 'caf\xe9' (2 of the clips) look alike; "
        r"write 'cafe\u0301' for all of them, or names that differ more"
    ]


def test_a_million_clips_of_one_name_take_no_time():
    rows = pd.DataFrame({"file_name": [f"{i // 2}.wav" for i in range(100_000)]})
    rows = rows.assign(intent=["on", "off"] * 50_000, split="")
    problems = tables.table_problems(rows)
    assert problems[0] == "0.wav: is listed 2 times"
    assert len(problems) == 50_000


def test_rows_are_collected_with_their_lines():
    collected = tables.Collected()
    collected.add(2, {"a": "1"})
    collected.add(5, {"b": "2"})
    rows = collected.finished()
    assert rows.table.to_dict("index") == {2: {"a": "1", "b": ""}, 5: {"a": "", "b": "2"}}
    assert rows.problems == ()
    assert tables.Collected().finished().problems == ("has no rows",)


def test_numbered_intents_get_their_names():
    named = tables.name_intents(pd.Series(["1", "0", "1"]), ("on", "off"))
    assert list(named) == ["off", "on", "off"]
    assert list(tables.name_intents(pd.Series(["1", "on"]), ("on", "off"))) == ["1", "on"]
    assert list(tables.name_intents(pd.Series(["1", "0"]), ())) == ["1", "0"]
    with pytest.raises(ValueError, match=r"\[2\] are unknown; they run from 0 to 1"):
        tables.name_intents(pd.Series(["2", "0"]), ("on", "off"))


@pytest.mark.parametrize(
    ("name", "usual"),
    [
        ("Training", "train"),
        ("DEV", "validation"),
        ("test", "test"),
        ("x", "x"),
        (" Test\xa0", "test"),
        ("Devel", "validation"),
    ],
)
def test_splits_have_one_name(name, usual):
    assert tables.split_name(name) == usual


@pytest.mark.parametrize(
    ("column", "value", "is_corrected"),
    [
        ("corrected", "yes", True),
        ("Corrected", " YES\u200b", True),
        ("corrected", "", False),
        ("corrected", "no", False),
        ("corrected", "turn on the light, yes", False),  # somebody's transcript
        ("corrected_by", "yes", False),
    ],
)
def test_a_clip_is_corrected_where_a_column_says_yes(column, value, is_corrected):
    rows = table(("a.wav", "on", ""), ("b.wav", "off", "")).assign(**{column: ["", value]})
    assert tables.is_corrected(rows).tolist() == [False, is_corrected]


def test_any_column_may_say_that_a_clip_is_corrected_and_none_need():
    rows = table(("a.wav", "on", ""), ("b.wav", "off", ""))
    assert tables.is_corrected(rows).tolist() == [False, False]
    rows = rows.assign(Corrected=["yes", ""], corrected=["", "yes"])
    assert tables.is_corrected(rows).tolist() == [True, True]
    assert tables.is_corrected(rows.iloc[:0]).tolist() == []


def test_corrected_clips_that_are_given_to_be_held_out_are_named():
    splits = ("train", "train", "validation", "test", "test")
    rows = [(f"{i}.wav", ("on", "off")[i % 2], split) for i, split in enumerate(splits)]
    marked = table(*rows).assign(corrected=["yes", "", "yes", "yes", ""])
    assert tables.table_problems(marked) == [
        "2.wav: is a corrected clip and stands in validation; those only train",
        "3.wav: is a corrected clip and stands in test; those only train",
    ]
