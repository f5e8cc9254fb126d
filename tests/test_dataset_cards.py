"""Cards of recordings count what there is, and say of people what somebody has said."""

import re
from html import unescape

import mistune
import pandas as pd
import pytest
from test_cards import NAMES, rendered, split_card

from speech_intent import dataset_cards
from speech_intent.terms import NOTHING, Terms

SAID = Terms("mit", ("no",), "My *calls*", "All of them <signed>.")


def table(*rows: tuple[str, str, str], **columns: list[str]) -> pd.DataFrame:
    """Make a table of (intent, speaker, split)."""
    clips = pd.DataFrame(rows, columns=["intent", "speaker", "split"])
    return clips.assign(file_name=[f"{i}.wav" for i in range(len(rows))], **columns)


CLIPS = table(
    ("unknown", "ann", "train"),
    ("on", "ann", "train"),
    ("on", "ben", "test"),
    ("off", "", "test"),
)


def test_recordings_are_counted_by_intent_and_split():
    card = dataset_cards.dataset_card("my_calls", CLIPS, 5400.0, SAID)
    metadata, body = split_card(card)
    assert metadata == {
        "task_categories": ["audio-classification"],
        "tags": ["intent-classification"],
        "license": "mit",
        "language": "no",
        "pretty_name": "My *calls*",
    }
    text = rendered(body)
    assert text.startswith("My *calls*\n")
    assert "4 recordings, 1.50 hours. 2 speakers, and 1 clips without a name." in text
    assert (
        "| intent | train | test | all |\n|---|---|---|---|\n| off | 0 | 1 | 1 |\n"
        "| on | 1 | 1 | 2 |\n| unknown | 1 | 0 | 1 |\n"
    ) in body.replace("| --- | --- | --- | --- |", "|---|---|---|---|")
    assert "All of them <signed>." in text.replace("\\", "")
    assert "Their language is no." in text


def test_what_nobody_has_said_is_left_out_and_asked_for():
    clips = table(("on", "", ""), ("off", "", ""))
    metadata, body = split_card(dataset_cards.dataset_card("my_calls", clips, 36.0, NOTHING))
    assert set(metadata) == {"task_categories", "tags"}
    text = rendered(body)
    assert text.startswith("my_calls\n")
    assert "2 recordings, 0.01 hours. Who speaks is not named." in text
    assert "| intent | no split | all |" in body
    assert dataset_cards.NO_CONSENT in text
    assert "Nobody has said their language." in text
    assert dataset_cards.missing(clips, NOTHING) == (
        "the card names no licence (--license), no language (--language), "
        "no pretty name (--data-name), no consent; "
        "dataset.toml beside the recordings may name all of it"
    )
    assert dataset_cards.missing(clips, SAID) == ""


def test_of_synthetic_speech_nobody_is_asked_for_consent():
    rows = [("on", "a", ""), ("off", "b", "")]
    synthetic = table(*rows, engine=["piper", "piper"])
    metadata, body = split_card(dataset_cards.dataset_card("said", synthetic, 2.0, NOTHING))
    assert metadata["tags"] == ["intent-classification", "synthetic"]
    assert "2 synthetic speakers." in body
    assert dataset_cards.NOBODY in body
    assert "consent" not in dataset_cards.missing(synthetic, NOTHING)
    mixed = table(*rows, engine=["piper", ""])
    _, body = split_card(dataset_cards.dataset_card("said", mixed, 2.0, NOTHING))
    assert "1 of 2 clips are synthetic speech" in body
    assert dataset_cards.NO_CONSENT in body


@pytest.mark.parametrize("name", NAMES)
def test_an_intent_stays_in_its_row(name):
    clips = table((name, "", "train"), (name, "", "train"), ("zz", "", "train"))
    _, body = split_card(dataset_cards.dataset_card(name, clips, 1.0, Terms(pretty_name=name)))
    html = mistune.create_markdown(escape=False, plugins=["table", "math"])(body)
    cells = [unescape(re.sub("</?code>", "", cell)) for cell in re.findall("<td>(.*?)</td>", html)]
    rows = {tuple(cells[i : i + 3]) for i in range(0, len(cells), 3)}
    assert rows == {(name, "2", "2"), ("zz", "1", "1")}
