"""Transcribing first: texts that are kept, folds, costs and the table. No recogniser is needed."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile
import text_classifier
import transcribe_costs
import transcribe_first
import transcribe_table
import transcripts
from conftest import RATE, TONES
from speed import Ran

from speech_intent import protocols
from speech_intent.errors import UserError
from speech_intent.protocols import Fold, Protocol
from speech_intent.recipes import resolve

WORDS = {"hear_high": "Eye!", "hear_low": "Oh.", "hear_middle": "A", "hear_upper": "He, he."}


def heard(waveform: np.ndarray) -> str:
    """Write a tone as a word, by its pitch."""
    peak = np.abs(np.fft.rfft(waveform)).argmax() * RATE / len(waveform)
    return WORDS[min(TONES, key=lambda intent: abs(TONES[intent] - peak))]


class Fake:
    """In the place of the recogniser; counts the clips that it hears."""

    name = "fake 1.0"

    def __init__(self, most: int | None = None):
        self.n = 0
        self.most = most

    def __call__(self, waveform: np.ndarray) -> str:
        if self.n == self.most:
            raise KeyboardInterrupt
        self.n += 1
        return heard(waveform)


# Transcripts


@pytest.fixture
def clips(tone) -> list:
    return [(tone(frequency, seed=i), RATE) for frequency in TONES.values() for i in range(2)]


def test_clips_are_transcribed_once_in_their_order(clips, tmp_path):
    fake = Fake()
    kept = tmp_path / "kept.json"
    texts = transcripts.transcribe_all([*clips, clips[0]], fake, kept)
    assert list(texts) == [word for word in WORDS.values() for _ in range(2)] + ["Eye!"]
    assert fake.n == 8  # of nine clips two are the same
    again = transcripts.transcribe_all(clips[::-1], fake, kept)
    assert list(again) == list(texts[:8][::-1])
    assert fake.n == 8


def test_transcribing_goes_on_where_it_was_stopped(clips, tmp_path, monkeypatch):
    monkeypatch.setattr(transcripts, "SAVE_EVERY", 2)
    kept = tmp_path / "kept.json"
    with pytest.raises(KeyboardInterrupt):
        transcripts.transcribe_all(clips, Fake(most=5), kept)
    fake = Fake()
    assert len(transcripts.transcribe_all(clips, fake, kept)) == 8
    assert fake.n == 8 - 4


def test_without_the_package_its_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "moonshine_voice", None)
    with pytest.raises(
        UserError, match=r"moonshine-voice: is not installed; pip install -e .*glibc"
    ):
        transcripts.Recogniser()


def test_a_clip_is_heard_whole_with_silence_around_it(monkeypatch):
    calls = []

    class Transcriber:
        def __init__(self, folder, architecture, options):
            calls.append((folder, architecture, options))

        def transcribe_without_streaming(self, samples, rate):
            calls.append((samples, rate))
            return SimpleNamespace(lines=[SimpleNamespace(text="one"), SimpleNamespace(text="two")])

    package = SimpleNamespace(
        ModelArch=SimpleNamespace(TINY="tiny"),
        Transcriber=Transcriber,
        get_model_path=lambda name: f"assets/{name}",
    )
    monkeypatch.setitem(sys.modules, "moonshine_voice", package)
    monkeypatch.setattr(transcripts, "version", lambda name: "0.1.0")
    recogniser = transcripts.Recogniser()
    assert recogniser.name == "moonshine-voice 0.1.0, tiny-en"
    assert recogniser(np.ones(3, np.float32)) == "one two"
    silence = [0.0] * 8000
    assert calls == [
        ("assets/tiny-en", "tiny", {"vad_threshold": 0}),
        ([*silence, 1.0, 1.0, 1.0, *silence], 16_000),
    ]


# The classifier of texts


def test_texts_are_told_apart_by_words_of_a_letter_and_by_parts_of_words():
    texts = ["C.", "c", "Light on", "Lights on!", "Off, light", "Off lights"] * 3
    intents = ["three", "three", "on", "on", "off", "off"] * 3
    classifier, strength = text_classifier.fit_text_classifier(texts, intents, seed=0)
    assert strength in text_classifier.STRENGTHS
    assert list(classifier.predict(["c!", "the lighting on", "off"])) == ["three", "on", "off"]


def test_nothing_heard_and_intents_with_few_clips_will_do():
    texts = ["yes", "yes", "", "", "no", "no"]
    intents = ["yes", "yes", "yes", "no", "no", "no"]
    classifier, _ = text_classifier.fit_text_classifier(texts, intents, seed=0)
    assert classifier.predict([""])[0] in ("yes", "no")


# Folds

LEAVE_OUT = Protocol("leave-one-speaker-out", seeds=(3, 4))


@pytest.fixture
def speakers(tmp_path, write_folder):
    """Two clips an intent of each of three people."""
    return write_folder(tmp_path / "data", 6, lambda _, i: {"speaker": ["ann", "ben", "cy"][i % 3]})


@pytest.fixture
def finished(tmp_path, speakers):
    """A run of a protocol on them: of every fold's eight clips the first is answered wrongly."""
    recipe = resolve(data=speakers, seed=3)
    table = transcribe_first.data.read_recordings(recipe).table
    run = tmp_path / "run"
    for number, fold in enumerate(protocols.folds(table, LEAVE_OUT.name, 5, recipe), start=1):
        folder = run / f"fold-{number:02d}-seed-3"
        folder.mkdir(parents=True)
        test = fold.table[fold.table["split"] == "test"]
        answers = test.assign(predicted=test["intent"].mask(np.arange(len(test)) == 0, "hear_low"))
        answers.to_csv(folder / "predictions.csv", index=False)
    made_of = protocols.made_of(LEAVE_OUT, recipe, table)
    (run / "made_of.json").write_text(json.dumps(made_of))
    (run / "results.json").write_text('{"seeds": [3, 4]}')
    return run


def test_folds_of_a_run_are_answered_from_texts_and_pooled(speakers, finished, tmp_path):
    asked = transcribe_first.of_folds(str(speakers), finished)
    assert (asked.recipe.numbers.seed, asked.protocol.name) == (3, "leave-one-speaker-out")
    result, fitted = transcribe_first.compare(asked, None, Fake(), tmp_path / "kept.json")
    assert (result["data"], result["speakers"], len(result["strengths"])) == ("data", 3, 3)
    assert result["n"] == 24
    assert result["ours"]["correct"] == 21
    assert result["transcribed"] | {"accuracy_interval": []} == {
        "correct": 24,
        "accuracy": 1.0,
        "accuracy_interval": [],
    }
    assert (result["only_ours"], result["only_transcribed"], result["p"]) == (0, 3, 0.25)
    assert result["examples"] == []
    assert fitted.predict(["Oh!"])[0] == "hear_low"


def test_texts_of_test_clips_are_not_learned_from():
    table = pd.DataFrame(
        {
            "file_name": [f"{i}.wav" for i in range(16)],
            "intent": ["yes", "no"] * 2 + ["no", "yes"] * 6,
            "split": ["train"] * 4 + ["validation"] * 6 + ["test"] * 6,
        }
    )
    texts = np.array(["aye", "nay"] * 8, dtype=object)
    ours = pd.DataFrame({"file_name": table["file_name"][10:], "predicted": "no"})
    fold = Fold("fold", table, "")
    answers, _, _ = transcribe_first.compare_fold(fold, texts, ours, seed=0)
    assert list(answers["transcribed"]) == ["yes", "no"] * 3  # as train says, against test
    assert list(answers["ours"]) == ["no"] * 6
    with pytest.raises(UserError, match="was scored on other clips"):
        transcribe_first.compare_fold(fold, texts, ours.assign(file_name="0.wav"), seed=0)


def test_a_run_of_other_clips_and_a_folder_without_one_are_refused(
    finished, speakers, tone_folder, tmp_path
):
    with pytest.raises(UserError, match="was not trained on the clips of"):
        transcribe_first.of_folds(str(tone_folder), finished)
    with pytest.raises(UserError, match="holds no finished run"):
        transcribe_first.of_folds(str(speakers), tmp_path)


def test_mistakes_are_drawn_by_their_seed():
    texts = [f"{i}" for i in range(40)]
    answers = pd.DataFrame({"text": texts, "intent": "a", "ours": "a", "transcribed": "b"})
    answers.loc[:19, "transcribed"] = "a"
    drawn = [transcribe_first.examples(answers, np.random.default_rng(s)) for s in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert len({each["text"] for each in drawn[0]}) == 10
    assert all(int(each["text"]) >= 20 and "ours" not in each for each in drawn[0])


# The whole program


@pytest.fixture
def call(monkeypatch, tmp_path):
    """Call the program with options, a fake recogniser and no timing. Give its status."""
    cost = {"ours": {"ms": 2.0, "megabytes": 90.0}, "transcribed": {"ms": 9.0, "megabytes": 200.0}}
    monkeypatch.setattr(transcribe_first, "Recogniser", Fake)
    monkeypatch.setattr(transcribe_first, "costs", lambda *_: cost)

    def run(*options: object) -> int:
        output = ["--output", str(tmp_path / "out" / "tones.json")]
        monkeypatch.setattr("sys.argv", ["transcribe_first.py", *map(str, options), *output])
        return transcribe_first.main()

    return run


def test_a_test_split_is_answered_by_a_model_and_from_texts(
    call, model_folder, tone_folder, tmp_path, capsys
):
    assert call("--data", tone_folder, "--model", model_folder) == 0
    text = (tmp_path / "out" / "tones.json").read_text()
    result = json.loads(text)
    assert str(tone_folder.parent) not in text
    assert result["protocol"] == "given"
    assert result["n"] == 16
    assert result["transcribed"]["correct"] == 16
    assert result["ours"]["correct"] >= 12
    assert (result["ours"]["ms"], result["transcribed"]["megabytes"]) == (2.0, 200.0)
    assert (result["recogniser"], result["timed"]) == ("fake 1.0", 40)
    assert result["timed_seconds"] == pytest.approx(0.4)
    assert len(json.loads((tmp_path / "out" / "tones.transcripts.json").read_text())) == 40
    assert "transcribed: accuracy 1.0000 = 16/16" in capsys.readouterr().out


def test_folds_are_read_from_a_run(call, model_folder, speakers, finished, tmp_path):
    options = ("--data", speakers, "--model", model_folder, "--predictions", finished)
    assert call(*options) == 0
    result = json.loads((tmp_path / "out" / "tones.json").read_text())
    assert (result["protocol"], result["ours"]["correct"]) == ("leave-one-speaker-out", 21)


def test_a_model_of_other_intents_is_refused(call, model_folder, tmp_path, write_folder, capsys):
    folder = write_folder(tmp_path / "others", 10)
    table = pd.read_csv(folder / "metadata.csv")
    table.assign(intent="other " + table["intent"]).to_csv(folder / "metadata.csv", index=False)
    assert call("--data", folder, "--model", model_folder) == 1
    assert "does not know the intents other hear_high" in capsys.readouterr().err


def test_what_is_missing_is_said_first(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "moonshine_voice", None)
    options = ["--model", str(tmp_path), "--output", str(tmp_path / "out" / "x.json")]
    monkeypatch.setattr("sys.argv", ["transcribe_first.py", *options])
    assert transcribe_first.main() == 1
    assert capsys.readouterr().err.startswith("error: moonshine-voice: is not installed")
    assert not (tmp_path / "out").exists()


# Costs


def test_both_sides_are_timed_in_turn_and_medians_kept(monkeypatch, tmp_path):
    order = []
    times = {"ours": [1, 5, 2], "transcribed": [30, 10, 20]}

    def run(program, side, model, clips):
        order.append((side, str(model)))
        waveform, rate = soundfile.read(f"{clips}/0001.wav", dtype="float32")
        assert (len(waveform), rate) == (7, RATE)
        ms = times[side].pop(0)
        return Ran(1.0, 999.0, json.dumps({"ms": ms, "megabytes": 10 * ms, "engine": side}))

    monkeypatch.setattr(transcribe_costs, "run", run)
    waveforms = [np.zeros(5, np.float32), np.ones(7, np.float32)]
    result = transcribe_costs.costs(tmp_path, "any classifier", waveforms)
    assert result == {
        "ours": {"ms": 2, "megabytes": 20, "engine": "ours"},
        "transcribed": {"ms": 20, "megabytes": 200, "engine": "transcribed"},
    }
    assert [side for side, _ in order] == ["ours", "transcribed"] * 3
    assert order[0][1] == str(tmp_path)


def test_the_first_answers_do_not_count_and_every_clip_does(monkeypatch):
    answered = []
    monkeypatch.setattr(transcribe_costs, "WARM_UP", 2)
    transcribe_costs.milliseconds(answered.append, [0, 1, 2])
    assert answered == [0, 1, 0, 1, 2]


def test_our_side_answers_from_the_waveform(model_folder, tone):
    answer, record = transcribe_costs.ours(model_folder)
    assert answer(tone(TONES["hear_low"])) in TONES
    assert record == {"engine": "torch", "precision": "float32"}


def test_the_other_side_answers_from_the_text(monkeypatch, tmp_path, tone):
    import joblib

    fitted, _ = text_classifier.fit_text_classifier(
        list(WORDS.values()) * 3, list(WORDS) * 3, seed=0
    )
    joblib.dump(fitted, tmp_path / "text.joblib")
    monkeypatch.setattr(transcribe_costs, "Recogniser", Fake)
    answer, _ = transcribe_costs.transcribed(tmp_path / "text.joblib")
    assert answer(tone(TONES["hear_low"])) == "hear_low"


# The table

RESULT = {
    "protocol": "given",
    "speakers": 3,
    "n": 10,
    "ours": {"accuracy": 0.9, "correct": 9, "accuracy_interval": [0.6, 0.98], "ms": 5.4}
    | {"megabytes": 140.2},
    "transcribed": {"accuracy": 0.8, "correct": 8, "accuracy_interval": [0.49, 0.94], "ms": 60.6}
    | {"megabytes": 220.0},
    "p": 0.0321,
    "examples": [
        {"text": "C.", "intent": "three", "transcribed": "zero"},
        *[{"text": f"{i}", "intent": "one", "transcribed": "two"} for i in range(9)],
    ],
}


def test_the_table_has_a_row_a_task_and_says_what_was_not_measured():
    lines = transcribe_table.lines({"bundled": RESULT, "digits": {}, "commands": {}})
    assert lines[2].endswith(
        "| 0.900 = 9/10 (0.600 to 0.980) | 0.800 = 8/10 (0.490 to 0.940) "
        "| 0.032 | 5 | 61 | 140 | 220 |"
    )
    assert "| not measured | | | | | | |" in lines[3]
    assert "| not measured | | | | | | |" in lines[4]
    assert lines[-1].endswith("“C.” (three); “0” (one); “1” (one); “2” (one)")
    assert len(lines[2:5]) == len(transcribe_table.NAMES)


def test_without_any_result_there_are_no_examples():
    assert len(transcribe_table.lines({task: {} for task in transcribe_table.NAMES})) == 5


@pytest.mark.parametrize(
    ("protocol", "n_speakers", "has_interval"),
    [("given", 3, True), ("kfold", 0, True), ("leave-one-speaker-out", 6, False)],
)
def test_folds_of_few_speakers_have_no_interval(protocol, n_speakers, has_interval):
    result = RESULT | {"protocol": protocol, "speakers": n_speakers, "p": 1e-9}
    cells = transcribe_table.cells(result)
    assert cells[0] == "0.900 = 9/10" + " (0.600 to 0.980)" * has_interval
    assert cells[2] == "< 0.001"
    assert transcribe_table.mistakes(result | {"examples": []}) == "none"
