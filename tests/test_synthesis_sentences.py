"""Reading sentences: what stands in a file, and everything that is wrong with it at once."""

import pytest

from speech_intent.errors import DataError, UserError
from speech_intent.synthesis.sentences import read_sentences, unspeakable


def written(tmp_path, text: str):
    path = tmp_path / "sentences.csv"
    path.write_text(text, encoding="utf-8")
    return path


def problems(tmp_path, text: str) -> tuple[str, ...]:
    with pytest.raises(DataError) as caught:
        read_sentences(written(tmp_path, text))
    return caught.value.problems


def test_rows_become_sentences(tmp_path):
    read = read_sentences(
        written(tmp_path, "intent,text\non,turn it on\noff,'[turn|switch] off'\n")
    )
    assert [(sentence.intent, sentence.line, sentence.split) for sentence in read] == [
        ("on", 2, ""),
        ("off", 3, ""),
    ]


@pytest.mark.parametrize("header", ["text;intent", "Sentence;Intent", "utterance;label"])
def test_columns_have_the_names_that_people_give_them(tmp_path, header):
    read = read_sentences(written(tmp_path, f"{header}\nturn it on;on\n"))
    assert [sentence.intent for sentence in read] == ["on"]


def test_splits_are_taken(tmp_path):
    text = "intent,text,split\non,a,train\non,b,dev\noff,c,training\n"
    splits = [sentence.split for sentence in read_sentences(written(tmp_path, text))]
    assert splits == ["train", "validation", "train"]


def test_what_is_no_request_is_unknown_however_it_is_written(tmp_path):
    text = "intent,text\non,turn it on\noff,turn it off\nUnknown,turn it over\nunknown,what is on\n"
    intents = [sentence.intent for sentence in read_sentences(written(tmp_path, text))]
    assert intents == ["on", "off", "unknown", "unknown"]


def test_what_is_no_request_may_be_in_any_split(tmp_path):
    text = "intent,text,split\non,a,train\noff,b,train\nunknown,c,test\n"
    splits = [sentence.split for sentence in read_sentences(written(tmp_path, text))]
    assert splits == ["train", "train", "test"]


def test_everything_wrong_is_named_at_once(tmp_path):
    text = (
        "intent,text\n"
        ",turn it on\n"
        "on,\n"
        "on,включи свет\n"
        "on,?!\n"
        "on,[turn on\n"
        "on,[please|]\n"
        "On ,turn it on\n"
        "on,turn it on\n"
    )
    assert problems(tmp_path, text) == (
        "line 2: has no intent",
        "line 3: has no text",
        "line 4: no voice can speak 'в'; write it in Latin letters (включи свет)",
        "line 5: holds nothing that a voice could speak (?!)",
        "line 6: '[' at character 1 is never closed",
        "line 7: may stand for a sentence without words",
        "the intents 'On' and 'on' look alike; write them in one way",
    )


def test_splits_must_be_whole(tmp_path):
    assert problems(tmp_path, "intent,text,split\non,a,train\non,b,\noff,c,test\nup,d,now\n") == (
        "line 5: its split is 'now'; name train, validation or test",
        "line 3: has no split, where other lines name one",
        "the intent 'off' has no sentence in train",
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty"),
        ("intent,text\n", "has no rows"),
        ("intent,words\non,turn\n", "has no column 'text'; it has intent, words"),
        ("turn it on\nturn it off\n", "has one column only"),
    ],
)
def test_a_file_that_is_no_such_table_is_refused(tmp_path, text, problem):
    assert problem in "; ".join(problems(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(UserError, match="is not there"):
        read_sentences(tmp_path / "none.csv")


@pytest.mark.parametrize("text", ["naïve café", "route 66", "it's 5 o'clock, isn't it?", "日 "])
def test_what_an_english_voice_can_speak(text):
    assert (unspeakable(text) is None) == ("日" not in text)


def test_a_sentence_of_half_a_minute_is_refused():
    assert "longer than 400 characters" in unspeakable("word " * 81)
