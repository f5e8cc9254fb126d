import copy
from pathlib import Path

import pandas as pd
import pytest
import soundfile
from conftest import TONES

from speech_intent import corrections, data, page, recorder
from speech_intent.corrections import Correction
from speech_intent.errors import AudioError, OutputError, UserError
from speech_intent.names import escape_markdown
from speech_intent.page import Entry, Studio
from speech_intent.recipes import resolve
from speech_intent.recorder import Recordings

RATE = 48_000


@pytest.fixture
def studio(tmp_path) -> Studio:
    return Studio(Recordings(tmp_path / "recordings"), ["book_now", "battery"])


@pytest.fixture
def clip(tmp_path, tone) -> str:
    path = tmp_path / "audio.wav"
    soundfile.write(path, tone(TONES["hear_low"], 0.8, rate=RATE), RATE)
    return str(path)


def refusal(studio: Studio, correction: Correction) -> str:
    """Say in one line why a clip is not kept; nothing is then lost or added."""
    before = studio.recordings.rows()
    files = sorted(studio.recordings.folder.rglob("*"))
    with pytest.raises(UserError) as error:
        corrections.keep(studio, correction)
    assert studio.recordings.rows() == before
    assert sorted(studio.recordings.folder.rglob("*")) == files
    return str(error.value)


def test_the_clip_that_was_answered_is_kept_with_the_intent_that_was_meant(
    classifier, studio, clip
):
    answered = page.answer(classifier, clip).clip
    words = corrections.keep(studio, Correction("cancel", clip, answered))
    (row,) = studio.recordings.rows()
    kept = soundfile.read(studio.recordings.folder / row["file_name"], dtype="int16")
    assert (kept[0] == soundfile.read(clip, dtype="int16")[0]).all()
    assert (row["intent"], row["speaker"], row["text"]) == ("cancel", "", "")
    assert row["corrected"] == "yes"
    folder = studio.recordings.folder
    assert words == escape_markdown(
        f"Kept as {row['file_name']} in {folder}, as cancel; clips there now: 1, corrected: 1"
    )


def test_clips_are_counted_with_those_that_nobody_corrected(studio, clip):
    for _ in range(2):
        studio.keep(Entry("battery", "ann", "", clip))
    words = corrections.keep(studio, Correction("battery", clip, clip))
    assert words.endswith("; clips there now: 3, corrected: 1")


NO_ANSWER = "the clip: has no answer yet; record or choose a request first"
OTHER = "the answer: is of another clip than the one beside it; wait for the next answer"


@pytest.mark.parametrize(
    ("in_recorder", "answered", "reason"),
    [
        (False, False, NO_ANSWER),  # nothing was recorded, or all was cleared
        (True, False, NO_ANSWER),  # the clip is broken, or being answered
        (False, True, OTHER),  # cleared, and the answer is still seen
    ],
)
def test_a_clip_without_its_answer_is_not_kept(studio, clip, in_recorder, answered, reason):
    recorded = clip if in_recorder else None
    for nothing in ("", None):
        seen = clip if answered else nothing
        assert refusal(studio, Correction("battery", recorded, seen)) == reason


def test_a_clip_that_was_recorded_since_the_answer_is_not_kept(studio, clip, tmp_path):
    Path(tmp_path / "next.wav").write_bytes(Path(clip).read_bytes())
    assert refusal(studio, Correction("battery", str(tmp_path / "next.wav"), clip)) == OTHER


def test_a_clip_that_cannot_be_answered_has_no_answer_to_correct(classifier, tmp_path):
    (tmp_path / "text.wav").write_text("no audio")
    assert page.answer(classifier, str(tmp_path / "text.wav")).clip == ""
    assert page.answer(classifier, None).clip == ""


def test_a_clip_is_kept_once_however_often_the_button_is_pressed(studio, clip):
    corrections.keep(studio, Correction("battery", clip, clip))
    (row,) = studio.recordings.rows()
    said = refusal(studio, Correction("book_now", clip, clip))
    assert said.startswith(f"the clip: is kept already, as 'battery' ({row['file_name']}); edit")


@pytest.mark.parametrize("intent", [None, "", " \n\u200b"])
def test_a_clip_without_an_intent_is_not_kept(studio, clip, intent):
    said = refusal(studio, Correction(intent, clip, clip))
    assert said == f"{clip}: has no intent; give the intent first"


def test_an_intent_of_several_lines_becomes_one(studio, clip):
    corrections.keep(studio, Correction(" turn\r\n on\x00 ", clip, clip))
    assert [row["intent"] for row in studio.recordings.rows()] == ["turn on"]


@pytest.mark.parametrize(
    ("intent", "usual"),
    [
        ("Battery", "battery"),
        ("\uff42attery", "battery"),
        ("book now", "book_now"),
        ("Book-Now", "book_now"),
    ],
)
def test_an_intent_that_only_a_computer_tells_from_the_models_is_refused(
    studio, clip, intent, usual
):
    said = refusal(studio, Correction(intent, clip, clip))
    assert said.endswith(f"looks like {usual!r}; choose that one")


@pytest.mark.parametrize("intent", ["unknown", " Unknown", "UNKNOWN\n"])
def test_an_answered_clip_that_is_no_request_is_kept_as_unknown(classifier, studio, clip, intent):
    answered = page.answer(classifier, clip).clip
    assert ", as unknown; clips" in corrections.keep(studio, Correction(intent, clip, answered))
    (row,) = studio.recordings.rows()
    assert (row["intent"], row["speaker"], row["corrected"]) == ("unknown", "", "yes")
    assert corrections.intents(studio) == ["book_now", "battery", "unknown"]


def test_an_unknown_answer_is_corrected_like_others(classifier, studio, clip):
    strict = copy.copy(classifier)
    strict.threshold = 1.1
    answer = page.answer(strict, clip)
    assert answer.words.startswith("## Unknown: ")
    corrections.keep(studio, Correction("battery", clip, answer.clip))
    assert [row["intent"] for row in studio.recordings.rows()] == ["battery"]


def test_the_spelling_of_the_recordings_goes_before_the_models(studio, clip):
    studio.keep(Entry("Battery", "ann", "", clip))
    said = refusal(studio, Correction("battery", clip, clip))
    assert said == "the intent: 'battery' looks like 'Battery'; choose that one"
    corrections.keep(studio, Correction("Battery", clip, clip))


def test_an_intent_that_is_no_name_is_refused(studio, clip):
    said = refusal(studio, Correction("x" * 2_001, clip, clip))
    assert "has too long a intent, above 2,000 characters; shorten it" in said


def test_a_clip_that_was_deleted_meanwhile_is_said_to_be_gone(studio, clip):
    Path(clip).unlink()
    said = refusal(studio, Correction("battery", clip, clip))
    assert said == "the clip: is no longer there; record or choose it again"


def test_a_clip_that_broke_meanwhile_is_not_kept(studio, clip):
    Path(clip).write_bytes(b"no audio")
    with pytest.raises(AudioError):
        corrections.keep(studio, Correction("battery", clip, clip))
    assert studio.recordings.rows() == []


def test_a_full_disk_is_said(studio, clip, monkeypatch):
    def full(part, path):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(recorder.os, "replace", full)
    with pytest.raises(OutputError, match="No space left on device"):
        corrections.keep(studio, Correction("battery", clip, clip))
    assert studio.recordings.rows() == []


def test_the_models_intents_are_offered_first_and_unknown_last(studio, clip):
    for intent in ("Unknown", "new", "battery"):
        studio.keep(Entry(intent, "ann", "", clip))
    assert corrections.intents(studio) == ["book_now", "battery", "new", "unknown"]


def test_consent_names_the_folder_and_what_it_is_for():
    words = corrections.consent(Path("my*folder"))
    assert "Nothing is kept until you press **Correct it**" in words
    assert "go into my\\*folder on the machine that serves this page" in words
    assert words.endswith("They are there to train on, and never test a model.")


def test_corrected_clips_of_the_page_train_a_model_and_test_none(studio, tmp_path, tone):
    """More clips are corrected than not, and some of those are copies of others."""
    for i in range(6):
        for intent in ("book_now", "battery"):
            path = tmp_path / f"{intent}{i}.wav"
            soundfile.write(path, tone(TONES["hear_low"] + 10 * i, 0.3, i + 50 * len(intent)), RATE)
            studio.keep(Entry(intent, f"speaker {i % 3}", "", str(path)))
    for i in range(14):
        path = tmp_path / f"correction{i}.wav"
        if i < 2:
            path = tmp_path / f"battery{i}.wav"
        else:
            soundfile.write(path, tone(TONES["hear_high"] + i, 0.3, i), RATE)
        intent = ("cancel", "battery", "unknown")[i % 3]
        corrections.keep(studio, Correction(intent, str(path), str(path)))
    for seed in range(6):
        recipe = resolve(data=studio.recordings.folder, seed=seed, by_speaker=bool(seed % 2))
        splits = data.load_data(recipe)
        tables = splits.tables
        for split in ("validation", "test"):
            assert set(tables[split]["corrected"]) == {""}
            assert len(splits.unknown[split]) == 0
        marks = pd.Series(tables["train"]["corrected"])
        assert marks.eq("yes").sum() >= 8
        assert splits.unknown["train"]["corrected"] == ["yes"] * 4
