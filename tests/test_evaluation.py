import json
import logging
import shutil
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile
from datasets import ClassLabel, Dataset, Features, Value
from matplotlib.image import imread

from speech_intent import data, evaluation, plots, rejection
from speech_intent.audio import AudioWarning
from speech_intent.errors import DataError, ModelError, OutputError, UserError
from speech_intent.intervals import wilson_interval
from speech_intent.predict import Prediction

RATE = 16_000
LABELS = ["off", "on", "on_low"]
FEATURES = Features(
    {
        "audio": {"bytes": Value("binary"), "path": Value("string")},
        "file_name": Value("string"),
        "label": ClassLabel(names=LABELS),
        "speaker": Value("string"),
    }
)


class Stub:
    """A classifier that gives the answers it is told to give, (label, score) each."""

    name = "some/model"
    labels = LABELS
    max_seconds = 0.1
    extractor = SimpleNamespace(sampling_rate=RATE)

    def __init__(self, answers, threshold=None, warnings=()):
        self.answers = iter(answers)
        self.threshold = threshold
        self.says_unknown = threshold is not None
        self.warnings = warnings
        self.heard = []

    def predict(self, source) -> Prediction:
        self.heard.append(source)
        label, score = next(self.answers)
        others = [other for other in self.labels if other != label]
        scores = [(label, score), *((other, (1 - score) / len(others)) for other in others)]
        accepted = self.threshold is None or score >= self.threshold
        return Prediction(
            label,
            score,
            tuple(scores),
            seconds=0.20004,
            reason=None if accepted else rejection.LOW,
            warnings=self.warnings,
        )


@pytest.fixture
def table(tmp_path):
    """Make a split of `intents`: the i-th clip is 0.2 s at the level (i + 1) / 100."""

    def make(*intents) -> Dataset:
        names = [f"{i}.wav" for i in range(len(intents))]
        for i, name in enumerate(names):
            soundfile.write(tmp_path / name, np.full(3_200, (i + 1) / 100), RATE, "FLOAT")
        columns = {
            "audio": [{"bytes": None, "path": str(tmp_path / name)} for name in names],
            "file_name": names,
            "label": [LABELS.index(intent) for intent in intents],
            "speaker": ["ann", *[""] * (len(names) - 1)],
        }
        return Dataset.from_dict(columns, features=FEATURES)

    return make


def predictions(*rows) -> pd.DataFrame:
    """Answers to clips, (intent, predicted, score, accepted) each."""
    frame = pd.DataFrame(rows, columns=["intent", "predicted", "score", "accepted"])
    frame.insert(0, "file_name", [f"{i}.wav" for i in range(len(frame))])
    return frame.assign(speaker="", seconds=1.0)


# Answers


def test_answers_stand_beside_the_truth_in_the_order_of_the_clips(table):
    classifier = Stub([("on_low", 0.8), ("off", 0.6)], threshold=0.7)
    answers = evaluation.predict_table(classifier, table("on", "off"))
    assert answers.to_dict("records") == [
        {
            "file_name": "0.wav",
            "intent": "on",
            "predicted": "on_low",
            "score": 0.8,
            "accepted": True,
            "knownness": 0.0,
            "speaker": "ann",
            "seconds": 0.2,
            "p_off": pytest.approx(0.1),
            "p_on": pytest.approx(0.1),
            "p_on_low": 0.8,
        },
        {
            "file_name": "1.wav",
            "intent": "off",
            "predicted": "off",  # although it is withheld
            "score": 0.6,
            "accepted": False,
            "knownness": 0.0,
            "speaker": "",
            "seconds": 0.2,
            "p_off": 0.6,
            "p_on": pytest.approx(0.2),
            "p_on_low": pytest.approx(0.2),
        },
    ]


def test_a_change_hears_one_window_its_rate_and_the_number_of_the_clip(table):
    calls = []

    def change(waveform, rate, seed):
        calls.append((len(waveform), float(waveform[0]), rate, seed))
        return -waveform

    classifier = Stub([("on", 1.0)] * 2)
    evaluation.predict_table(classifier, table("on", "off"), change)
    assert calls == [
        (1_600, pytest.approx(0.01), RATE, 0),  # 0.1 s, the longest window
        (1_600, pytest.approx(0.02), RATE, 1),
    ]
    assert [(float(wave[0]), rate) for wave, rate in classifier.heard] == [
        (pytest.approx(-0.01), RATE),
        (pytest.approx(-0.02), RATE),
    ]


def test_what_is_odd_about_a_clip_is_said(table, caplog):
    warning = AudioWarning("0.wav", "is nearly silent")
    with caplog.at_level(logging.WARNING, "speech_intent"):
        evaluation.predict_table(Stub([("on", 1.0)], warnings=(warning,)), table("on"))
    assert caplog.messages == ["warning: 0.wav: is nearly silent"]


def test_examples_are_picked_at_even_distances(table):
    clips = table(*["on"] * 4, *["off"] * 5)
    classifier = Stub([("on", 0.9), ("on", 0.8), ("on_low", 0.7), ("off", 0.6), ("off", 0.5)])
    picked = evaluation.examples(classifier, clips, n=4)
    assert [(example.truth, example.answer, example.score) for example in picked] == [
        ("on", "on", 0.9),
        ("on", "on", 0.8),
        ("off", "on_low", 0.7),
        ("off", "off", 0.6),
    ]
    levels = [float(example.waveform[0]) for example in picked]
    assert levels == pytest.approx([0.01, 0.03, 0.05, 0.07])  # clips 0, 2, 4 and 6
    assert {len(example.waveform) for example in picked} == {1_600}  # a window


def test_few_clips_are_all_examples(table):
    picked = evaluation.examples(Stub([("on", 0.9)] * 2), table("on", "off"))
    assert [example.truth for example in picked] == ["on", "off"]


@pytest.mark.parametrize("intents", [("lights: on", "lights: off"), ("$5_or_$6", "a/b")])
def test_examples_with_odd_names_can_be_drawn(table, tmp_path, intents):
    clips = table("off", "on").cast_column("label", ClassLabel(names=[*intents, "100 %"]))
    classifier = Stub([(intents[1], 0.9), (intents[1], 0.5)])
    classifier.labels = [*intents, "100 %"]
    picked = evaluation.examples(classifier, clips)
    assert [(example.truth, example.answer) for example in picked] == [
        (intents[0], intents[1]),
        (intents[1], intents[1]),
    ]
    plots.save(plots.answers(picked), tmp_path / "answers.png")
    assert imread(tmp_path / "answers.png").std() > 0


# Results


ALWAYS = {"threshold": None, "says_unknown": False, "unknown_test": []}  # a model that answers
FIVE = predictions(
    ("on", "on", 0.95, True),
    ("on", "off", 0.85, True),
    ("off", "off", 0.85, True),
    ("off", "off", 0.55, False),
    ("on_low", "on", 0.35, False),
)


def test_results_are_worked_out_by_hand(tmp_path):
    record = {"model": "some/model", "split": "test (given)", "threshold": 0.6}
    record |= {"says_unknown": True, "unknown_test": []}
    result = evaluation.write_results(FIVE, LABELS, tmp_path, record)
    assert (result["n"], result["correct"], result["accuracy"]) == (5, 3, 0.6)
    assert result["confusion"] == [[2, 0, 0], [1, 1, 0], [0, 1, 0]]
    # Bins: 0.35 (wrong), 0.55 (right), 0.85 twice (one right), 0.95 (right).
    assert result["calibration_error"] == pytest.approx((0.35 + 0.45 + 2 * 0.35 + 0.05) / 5)
    assert result["coverage"] == 3 / 5
    assert result["coverage_interval"] == wilson_interval(3, 5)
    assert result["accuracy_answered"] == pytest.approx(2 / 3)
    assert result["accuracy_answered_interval"] == wilson_interval(2, 3)
    assert (result["model"], result["split"]) == ("some/model", "test (given)")
    assert json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8")) == result
    assert {path.name for path in tmp_path.iterdir()} == {
        "metrics.json",
        "predictions.csv",
        "confusion_matrix.png",
        "reliability.png",
        "by_duration.png",
        "report.html",
    }


def test_a_model_without_a_threshold_has_no_coverage(tmp_path):
    result = evaluation.write_results(FIVE, LABELS, tmp_path, dict(ALWAYS))
    assert not {"coverage", "accuracy_answered"} & set(result)


def test_speakers_and_conditions_get_pictures_of_their_own(tmp_path):
    answers = FIVE.assign(speaker=["ann", "ann", "ben", "ben", "ben"])
    columns = {"correct": 1, "n": 2, "accuracy": 0.5, "low": 0.1, "high": 0.9}
    by_condition = pd.DataFrame(columns, index=["clean", "room"])
    record = dict(ALWAYS)
    result = evaluation.write_results(answers, LABELS, tmp_path, record, by_condition)
    assert result["bootstrap"].startswith("over 2 speakers")
    names = {"by_condition.png", "by_duration.png", "by_speaker.png"}
    assert names == {path.name for path in tmp_path.glob("by_*")}
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 5


@pytest.mark.parametrize("names", [("01", "1"), ("NA", "null"), ("True", "False")])
def test_names_that_look_like_values_stay_names(tmp_path, names):
    first, second = names
    answers = predictions((first, second, 0.9, True), (second, second, 0.8, True))
    answers["speaker"] = names
    evaluation.write_results(answers, list(names), tmp_path, dict(ALWAYS))
    read = evaluation.read_predictions(tmp_path)
    assert list(zip(read["intent"], read["predicted"], read["speaker"], strict=True)) == [
        (first, second, first),
        (second, second, second),
    ]
    assert read["score"].tolist() == [0.9, 0.8]


def test_intents_that_the_model_does_not_know_are_refused(table, tmp_path):
    classifier = Stub([])
    classifier.labels = ["off", "other"]
    with pytest.raises(ModelError) as refusal:
        evaluation.evaluate_model(classifier, table("on_low", "on", "off"), tmp_path / "out", {})
    assert str(refusal.value) == (
        "some/model: does not know the intents on, on_low of the data; it knows off, other"
    )
    assert not (tmp_path / "out").exists()


def test_a_model_may_know_more_intents_than_the_data_have(table, tmp_path):
    classifier = Stub([("on", 0.9), ("on", 0.9)])
    classifier.labels = [*LABELS, "other"]
    result = evaluation.evaluate_model(classifier, table("on", "off"), tmp_path, {"seed": 3})
    assert (result["n"], result["correct"], result["seed"]) == (2, 1, 3)
    assert list(result["per_class"]) == [*LABELS, "other"]


def test_conditions_are_scored_beside_the_clean_clips(table, tmp_path, monkeypatch):
    changes = {"clean": lambda wave, rate, seed: wave, "mute": lambda wave, rate, seed: 0 * wave}
    monkeypatch.setattr(evaluation, "conditions", lambda voices: changes)
    clean = [("on", 0.9), ("off", 0.7)]
    classifier = Stub([*clean, *clean, ("off", 0.9), ("off", 0.9)], threshold=0.8)
    clips = table("on", "off")
    result = evaluation.evaluate_model(classifier, clips, tmp_path, {}, robustness=True)
    assert (result["accuracy"], result["threshold"], result["coverage"]) == (1.0, 0.8, 0.5)
    counts = pd.read_csv(tmp_path / "robustness.csv", index_col="condition")
    assert counts["correct"].to_dict() == {"clean": 2, "mute": 1}
    assert list(counts.columns) == ["correct", "n", "accuracy", "low", "high"]
    assert [np.ptp(source[0]) for source in classifier.heard[2:]] == [0] * 4
    assert [source[0].max() > 0 for source in classifier.heard[2:]] == [True, True, False, False]


def test_clips_of_the_table_are_the_voices_of_the_babble(table, monkeypatch):
    heard = []
    changes = {"clean": lambda wave, rate, seed: wave}
    monkeypatch.setattr(evaluation, "conditions", lambda voices: heard.extend(voices) or changes)
    monkeypatch.setattr(evaluation, "N_VOICES", 2)
    evaluation.accuracy_by_condition(Stub([("on", 0.9)] * 4), table("on", "off", "on", "off"))
    assert [len(voice) for voice in heard] == [1_600, 1_600]  # 0.1 s, one window
    assert [voice[0] for voice in heard] == pytest.approx([0.01, 0.03])


def test_ten_thousand_clips_are_written_up_in_seconds(tmp_path):
    n = 10_000
    rng = np.random.default_rng(0)
    labels = [f"intent_{i:02d}" for i in range(14)]
    scores = rng.dirichlet(np.full(14, 0.2), n)
    predicted = scores.argmax(axis=1)
    truth = np.where(rng.random(n) < 0.8, predicted, rng.integers(0, 14, n))
    columns = {
        "file_name": [f"{i}.wav" for i in range(n)],
        "intent": np.array(labels)[truth],
        "predicted": np.array(labels)[predicted],
        "score": scores.max(axis=1),
        "accepted": True,
        "speaker": [f"s{i % 60}" for i in range(n)],
        "seconds": rng.uniform(1, 6, n),
    }
    began = time.process_time()
    result = evaluation.write_results(pd.DataFrame(columns), labels, tmp_path, dict(ALWAYS))
    assert time.process_time() - began < 20
    assert (result["n"], result["bootstrap"]) == (n, "over 60 speakers")


def test_the_headline_is_one_line():
    result = {
        "accuracy": 44 / 48,
        "correct": 44,
        "n": 48,
        "accuracy_interval": [0.8045, 0.9671],
        "f1_macro": 0.9,
    }
    assert evaluation.headline(result) == (
        "accuracy 0.9167 = 44/48 (95 % interval 0.804 to 0.967), macro F1 0.9000"
    )


# Two models


@pytest.fixture
def scored(tmp_path):
    """Write the answers of a model to ten clips, as a string of right (+) and wrong (-) ones."""

    def write(name, marks):
        folder = tmp_path / name
        folder.mkdir()
        rows = [("on", "on" if mark == "+" else "off", 0.9, True) for mark in marks]
        predictions(*rows).to_csv(folder / "predictions.csv", index=False)
        return folder

    return write


def test_models_that_differ_are_compared_with_the_best(scored):
    folders = {
        "weak": scored("weak", "+---------"),
        "best": scored("best", "++++++++--"),
        "good": scored("good", "+++++---+-"),
    }
    table = evaluation.compare_models(folders)
    assert list(table.index) == ["best", "good", "weak"]
    assert list(table["correct"]) == [8, 6, 1]
    assert list(table["n"]) == [10] * 3
    assert table.loc["good", ["low", "high"]].tolist() == wilson_interval(6, 10)
    # Against good: 3 clips of best alone, 1 of good alone; p = 2 × (1 + 4) / 2⁴.
    assert table.loc["good", ["only_best", "only_this", "p"]].tolist() == [3, 1, 0.625]
    # Against weak: 7 clips of best alone, none of weak alone; p = 2 / 2⁷.
    assert table.loc["weak", ["only_best", "only_this"]].tolist() == [7, 0]
    assert table.loc["weak", "p"] == pytest.approx(2 / 2**7)
    assert table.loc["best", ["only_best", "only_this", "p"]].isna().all()


def test_equal_models_stand_in_the_order_of_their_names(scored):
    table = evaluation.compare_models({"b": scored("b", "++-"), "a": scored("a", "-++")})
    assert list(table.index) == ["a", "b"]
    assert table.loc["b", ["only_best", "only_this", "p"]].tolist() == [1, 1, 1.0]


def test_one_model_alone_is_compared_with_none(scored):
    table = evaluation.compare_models({"a": scored("a", "-++")})
    assert table.loc["a", ["only_best", "only_this", "p"]].isna().all()


def test_models_that_answered_other_clips_are_not_compared(scored):
    folders = {"first": scored("first", "+++"), "second": scored("second", "++++")}
    with pytest.raises(UserError) as refusal:
        evaluation.compare_models(folders)
    assert str(refusal.value) == (
        "second: was not scored on the same clips as first; give the data a split column"
    )


# Models and data


def test_a_model_is_scored_on_the_split_that_is_asked_for(
    model_folder, recipe, tone_folder, tmp_path
):
    out = tmp_path / "out"
    result = evaluation.score_model(str(model_folder), recipe(), "validation", out, seed=5)
    assert result["n"] == 8  # two of each tone; training clips are 0 to 3, test clips 6 to 9
    names = evaluation.read_predictions(out)["file_name"]
    assert {name[-5] for name in names} == {"4", "5"}
    facts = {name: result[name] for name in ("model", "data", "config", "split", "seed")}
    assert facts == {
        "model": str(model_folder),
        "data": str(tone_folder),
        "config": None,
        "split": "validation (given)",
        "seed": 5,
    }
    tables = data.load_data(recipe()).tables
    assert result["data_hash"] == data.facts(tables)["data_hash"]


def test_results_are_never_written_over(recipe, tmp_path):
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(OutputError) as refusal:
        evaluation.score_model("some/model", recipe(), "test", tmp_path)
    assert str(refusal.value) == (
        f"{tmp_path}: holds results; choose another folder, or delete it first"
    )
    assert (tmp_path / "metrics.json").read_text() == "{}"


def test_unsound_data_are_refused_before_a_model_is_loaded(recipe, tmp_path):
    with pytest.raises(DataError):
        evaluation.score_model("some/model", recipe(data=tmp_path / "gone"), "test", tmp_path)


def test_the_same_model_and_clips_give_the_figures_of_training(
    run_folder, model_folder, recipe, tmp_path
):
    model = shutil.copytree(model_folder, tmp_path / "model")
    before = {path.name: path.read_bytes() for path in model.iterdir()}
    result = evaluation.score_model(str(model), recipe(), "test", tmp_path / "out")
    assert {path.name: path.read_bytes() for path in model.iterdir()} == before
    trained = json.loads((run_folder / "metrics.json").read_text(encoding="utf-8"))
    shared = set(result) - {"model"}
    assert {name: trained[name] for name in shared} == {name: result[name] for name in shared}
    assert set(trained) - set(result) == {
        "encoder",
        "recipe",
        "sources",
        "versions",
        "note",
        "train_seconds",
        "epochs",
        "steps",
        "parameters",
        "pooled_digest",
        "best_validation",
        "hyperparameters",
    }
    answers = (tmp_path / "out" / "predictions.csv").read_bytes()
    assert answers == (run_folder / "predictions.csv").read_bytes()


def test_the_headline_says_where_the_voices_are_synthetic(tmp_path, table):
    clips = table("on", "off").add_column("engine", ["robot", "robot"])
    classifier = Stub([("on", 0.9), ("off", 0.9)])
    record = {"data": "bundled", "synthetic": {"train": [5, 5], "validation": [1, 1]}}
    result = evaluation.evaluate_model(classifier, clips, tmp_path, record)
    assert result["synthetic"] == {"train": [5, 5], "validation": [1, 1], "scored": [2, 2]}
    end = "; no person was heard in training; about synthetic voices, not people"
    assert evaluation.headline(result).endswith(end)
    del result["synthetic"]  # as of earlier versions
    assert evaluation.headline(result).endswith(f"macro F1 {result['f1_macro']:.4f}")
