"""Columns by whatever names people give them."""

import pandas as pd
import pytest

from speech_intent import columns
from speech_intent.recipes import PLAIN, Recipe


def usual(names: str, recipe: Recipe = PLAIN) -> dict[str, str]:
    """Give the columns of a row whose cells are the names of their columns."""
    given = names.split(",")
    table = columns.usual_columns(pd.DataFrame([given], columns=given), recipe)
    return {column: table[column].item() for column in table}


NOTHING = {"speaker": "", "split": ""}


@pytest.mark.parametrize("name", ["file_name", "audio", "path", "filename", "file", "File Name"])
def test_file_names_under_any_usual_name(name):
    assert usual(f"intent,{name}") == {"file_name": name, "intent": "intent"} | NOTHING


def test_the_usual_name_is_taken_before_others():
    found = usual("path,file_name,label,intent")
    assert found == {
        "file_name": "file_name",
        "intent": "intent",
        "path": "path",
        "label": "label",
        **NOTHING,
    }


def test_one_of_several_possible_file_names_is_not_guessed():
    with pytest.raises(ValueError, match="has no column 'file_name'; it has path, audio, intent"):
        usual("path,audio,intent")


def test_a_label_is_an_intent_where_there_is_no_other():
    assert usual("file_name,label")["intent"] == "label"
    assert usual("file_name,Label")["intent"] == "Label"


def test_the_recipes_columns_are_taken_before_the_usual_ones():
    recipe = Recipe(file_name="clip", intent="class", speaker="who", text="said")
    found = usual("file_name,clip,intent,class,speaker,who,text,said,label", recipe)
    assert found == {
        "file_name": "clip",
        "intent": "class",
        "speaker": "who",
        "split": "",
        "text": "said",
        "label": "label",
    }
    assert usual("file_name,intent", Recipe(intent="class"))["intent"] == "intent"


def test_a_label_is_not_taken_for_an_intent_that_the_user_named():
    with pytest.raises(ValueError, match="has no column 'intent'; it has file_name, label"):
        usual("file_name,label", Recipe(intent="class"))


@pytest.mark.parametrize("name", columns.TRANSCRIPTS)
def test_the_transcript_is_called_text(name):
    assert usual(f"file_name,intent,{name},other") == {
        "file_name": "file_name",
        "intent": "intent",
        "other": "other",
        "text": name,
        **NOTHING,
    }


def test_the_likeliest_transcript_is_taken_and_others_are_kept():
    found = usual("file_name,intent,english_transcription,transcription")
    assert found["text"] == "transcription"
    assert found["english_transcription"] == "english_transcription"
    assert "transcription" not in found


def test_a_transcript_may_be_the_intent():
    found = usual("file_name,transcription", Recipe(intent="transcription"))
    assert found == {"file_name": "file_name", "intent": "transcription"} | NOTHING


def test_a_transcript_that_the_user_named_must_be_there():
    with pytest.raises(ValueError, match="has no column 'said'; it has file_name, intent, text"):
        usual("file_name,intent,text", Recipe(text="said"))


def test_splits_get_their_usual_names():
    table = pd.DataFrame({"file_name": ["a"], "intent": ["on"], "Split": [" Dev\u200b"]})
    assert columns.usual_columns(table, PLAIN)["split"].item() == "validation"


def test_a_header_is_known_by_the_recipes_names_too():
    known = columns.known_names(Recipe(file_name="clip", intent="class", text="said"))
    assert {"file_name", "label", "path", "split"} - {"label"} <= known
    assert {"clip", "class", "said"} <= known


def test_a_transcript_column_that_is_empty_hides_no_other():
    cells = {"file_name": ["a"], "intent": ["on"], "text": [""], "transcription": ["lights on"]}
    table = columns.usual_columns(pd.DataFrame(cells), PLAIN)
    assert table["text"].item() == "lights on"
    named = columns.usual_columns(pd.DataFrame(cells), Recipe(text="text"))
    assert named["text"].item() == ""
