import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import TONES

from speech_intent import page
from speech_intent.errors import AudioError, ModelError, OutputError, UserError
from speech_intent.names import escape_markdown
from speech_intent.page import Entry, Studio
from speech_intent.paths import BUNDLED, SHIPPED
from speech_intent.predict import Prediction
from speech_intent.recorder import Recordings

RATE = 48_000
MARKUP = {
    "*x*": r"\*x\*",
    "<img src=x>": r"\<img src=x\>",
    "# a": r"\# a",
    "`a` | [b](c)": r"\`a\` \| \[b\](c)",
    "$5_or_$6": r"\$5\_or\_\$6",
    "a\n\n# b": r"a \# b",
}


ODD = Path(__file__).parent / "odd_audio"


@pytest.fixture(scope="module")
def clip(tmp_path_factory, tone) -> str:
    path = tmp_path_factory.mktemp("clip") / "audio.wav"
    soundfile.write(path, tone(TONES["hear_low"], 0.8, rate=RATE), RATE)
    return str(path)


@pytest.fixture
def studio(tmp_path) -> Studio:
    studio = Studio(Recordings(tmp_path / "recordings"), ["book_now", "battery"])
    studio.phrasings = {"battery": ["one", "two", "three"]}
    return studio


# Try


def test_an_answer_has_words_scores_and_a_picture(classifier, clip):
    answer = page.answer(classifier, clip)
    prediction = classifier.predict(clip)
    heading, text = answer.words.split("\n")
    assert heading == r"## hear\_low"
    model = re.escape(escape_markdown(classifier.name))
    said = rf"score {prediction.score:.2f}, 0\.80 s of audio answered in \d+ ms by {model} "
    assert re.fullmatch(said + r"\(torch, float32\)", text)
    assert list(answer.scores.items()) == list(prediction.scores)
    assert answer.waveform.axes[0].get_xlim() == (0, 0.8)


@pytest.mark.parametrize("name", ["u_aac.m4a", "u_opus.webm", "u_amr.amr"])
def test_what_a_phone_or_a_browser_records_is_answered_and_kept(classifier, studio, name):
    path = str(ODD / name)
    answer = page.answer(classifier, path)
    assert "1.9" in answer.words and "⚠" not in answer.words
    assert answer.scores is not None
    kept = studio.keep(Entry("battery", "ann", "how much", path))
    info = soundfile.info(studio.recordings.folder / kept.file_name)
    assert info.format == "FLAC"
    assert info.duration == pytest.approx(1.957, abs=0.03)


def test_no_clip_empties_the_answer(classifier):
    assert page.answer(classifier, None) == page.Answer("", None, None)


def answered(label: str = "battery", accepted: bool = True, model: str = "a/b") -> dict:
    ranked = ((label, 0.4), ("other", 0.3))
    reason = None if accepted else "its score is too low"
    prediction = Prediction(label, 0.4, ranked, 1.0, "onnx", "int8", reason)
    return prediction.as_dict(file="clip.wav", model=model)


def test_a_rejected_request_is_called_unknown_and_its_guess_named():
    assert page.in_words(answered(accepted=False), 12.3) == (
        "## unknown\n"
        "rejected: closest is battery, below the model's threshold; score 0.40, "
        "1.00 s of audio answered in 12 ms by a/b (onnx, int8)"
    )
    assert page.in_words(answered(), 12.3).startswith("## battery\nscore 0.40, 1.00 s")


@pytest.mark.parametrize("name", MARKUP)
def test_names_of_intents_and_models_are_never_markup(name):
    escaped = MARKUP[name]
    assert page.in_words(answered(name), 1).startswith(f"## {escaped}\nscore")
    assert f"closest is {escaped}, below" in page.in_words(answered(name, accepted=False), 1)
    assert f" by {escaped} (onnx" in page.in_words(answered(model=name), 1)


def test_a_model_without_finite_scores_is_named(clip):
    class Broken:
        name = "mine"

        def predict(self, source):
            raise ModelError(self.name, "gives *no* numbers", "train it again")

    said = page.answer(Broken(), str(clip))
    assert said.scores is None
    assert said.words == r"**mine: gives \*no\* numbers; train it again**"


def test_a_model_of_this_repository_is_named_without_the_folders_above(clip):
    class Named:
        name = str(SHIPPED)

        def predict(self, source):
            return Prediction("a", 1.0, (("a", 1.0),), 0.8)

    words = page.answer(Named(), clip).words
    assert "by models/moonshine-tiny-scooter (torch" in words


@pytest.mark.parametrize("name", ["text.wav", "<b>*x*.wav"])
def test_a_clip_that_cannot_be_used_is_named_without_the_servers_folders(
    classifier, tmp_path, name
):
    path = tmp_path / name
    path.write_text("no audio")
    reason = "is text, not audio; name the recording itself"
    words = page.answer(classifier, str(path)).words
    assert words == f"**{escape_markdown(f'{name}: {reason}')}**"
    assert page.check(str(path)) == f"**{escape_markdown(f'the clip: {reason}')}**"


def test_what_is_doubtful_or_odd_about_a_clip_is_said_below_its_answer(classifier, tmp_path):
    soundfile.write(tmp_path / "silence.wav", np.zeros(RATE // 4), RATE)
    content = (tmp_path / "silence.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(content[: -RATE // 8])
    _, *remarks = page.answer(classifier, str(tmp_path / "cut.wav")).words.split("\n\n")
    assert [remark.replace("\\", "") for remark in remarks] == [
        "⚠ too short (0.19 s): was the end cut off?",
        "⚠ nearly silent: is the right microphone on?",
        "⚠ the clip is shorter than its header says; what is there was used",
        "⚠ the clip is silent (peak 0.0e+00); its answer means nothing",
    ]
    assert str(tmp_path) not in "".join(remarks)


def test_a_picture_shows_the_peak_of_every_stretch():
    peaks = np.zeros(8_000, np.float32)
    peaks[4_005] = 0.75
    figure = page.picture(peaks, seconds=160.0)
    (outline,) = figure.axes[0].collections[0].get_paths()
    assert outline.vertices[:, 1].max() == pytest.approx(0.75)
    assert outline.vertices[:, 1].min() == pytest.approx(-0.75)
    highest = outline.vertices[outline.vertices[:, 1].argmax(), 0]
    assert highest == pytest.approx(80.0, abs=0.5)


def test_examples_are_test_clips_of_the_models_own_intents():
    clips = page.examples(["battery", "unheard_of"])
    ((text, path),) = clips.items()
    rows = pd.read_csv(BUNDLED / "csv" / "test.csv")
    first = rows[rows["intent"] == "battery"].iloc[0]
    assert text == first["text"]
    assert Path(path) == BUNDLED / first["file_name"]


# Make data


def test_a_recording_is_checked(tmp_path):
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "good.wav", rng.normal(0, 0.1, 3 * RATE // 2), RATE)
    soundfile.write(tmp_path / "silent.wav", np.zeros(RATE // 4), RATE)
    assert page.check(None) == ""
    assert page.check(str(tmp_path / "good.wav")) == "1.5 s, sounds good"
    assert page.check(str(tmp_path / "silent.wav")).replace("\\", "") == (
        "⚠ too short (0.25 s): was the end cut off?\n\n⚠ nearly silent: is the right microphone on?"
    )


def test_phrasings_to_say_are_those_of_the_training_split():
    everything = pd.read_csv(BUNDLED / "phrasings.csv")
    train = everything.loc[everything["split"] == "train", ["intent", "text"]]
    phrasings = page.training_phrasings()
    said = {(intent, text) for intent, texts in phrasings.items() for text in texts}
    assert said == set(train.itertuples(index=False, name=None))


def test_the_phrasing_recorded_least_comes_next(studio, clip):
    assert studio.next_phrasing("battery") == "one"
    assert studio.next_phrasing("battery", "one") == "two"
    assert studio.next_phrasing("battery", "three") == "one"
    for text in ("two", "three"):
        studio.recordings.keep(clip, "battery", "ann", text)
    studio.recordings.keep(clip, "other", "ann", "one")
    assert studio.next_phrasing(" battery", "one") == "one"
    assert studio.next_phrasing("turn_on_light", "one") == "turn on light"
    assert studio.next_phrasing(None) == ""


def test_a_kept_clip_is_counted_and_the_next_phrasing_given(studio, clip):
    kept = studio.keep(Entry("battery", "ann", "one", clip))
    assert kept.file_name == studio.recordings.rows()[0]["file_name"]
    assert kept.next_text == "two"
    assert kept.counts.to_dict("records") == [{"intent": "battery", "all": 1, "ann": 1}]


def test_without_a_clip_there_is_nothing_to_keep(studio):
    with pytest.raises(UserError, match="record something first"):
        studio.keep(Entry("battery", "ann", "one", None))
    assert studio.recordings.rows() == []


def test_intents_recorded_stand_before_those_of_the_model(studio, clip):
    assert studio.intents() == ["book_now", "battery"]
    for intent in ("new", "battery"):
        studio.recordings.keep(clip, intent, "ann")
    assert studio.intents() == ["new", "battery", "book_now"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (AudioError("/tmp/x/a.wav", "is empty", "record it"), "the clip: is empty; record it"),
        (OutputError("my*folder", "is full", "make room"), "my*folder: is full; make room"),
    ],
)
def test_a_refusal_names_the_clip_without_its_path_and_anything_else_by_its_name(error, words):
    assert page.refusal(error, "/tmp/x/a.wav") == escape_markdown(words)


def test_a_tab_comes_back_as_it_was(studio, clip):
    entry = Entry("lights", "ann", "on", clip)
    assert studio.restore(studio.remember(entry)) == entry


@pytest.mark.parametrize("invented", ["/etc/passwd", ["a"], None, 5])
def test_a_clip_of_somebodys_invention_does_not_come_back(studio, invented):
    assert studio.restore({"clip": invented}) == Entry("book_now", None, "book now", None)


def test_a_clip_that_was_deleted_does_not_come_back(studio, tmp_path):
    path = tmp_path / "draft.wav"
    path.write_bytes(b"")
    state = studio.remember(Entry("a", "b", "c", str(path)))
    path.unlink()
    assert studio.restore(state).clip is None
