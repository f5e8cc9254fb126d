import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from clip_tables import clips, with_corrections

from speech_intent import baseline, data, experiment, protocols, run_folder
from speech_intent.errors import DataError, OutputError, UserError
from speech_intent.protocols import Protocol
from speech_intent.recipes import resolve


@pytest.mark.parametrize("numbers", [{"n_folds": 1}, {"seeds": ()}, {"seeds": (0, 1, 0)}])
def test_numbers_that_cannot_be_are_refused(numbers):
    with pytest.raises(UserError, match="cannot be"):
        Protocol("kfold", **numbers)


# A protocol from end to end, with a stand-in for training: it answers every test clip "hear_low".


class Training:
    """In the place of `experiment.train_and_score`: what was trained, and results of it."""

    def __init__(self):
        self.runs = []
        self.resumed = []
        self.stop_at = None

    def __call__(self, recipe, splits, output_dir, resume=False):
        if len(self.runs) == self.stop_at:
            output_dir.mkdir(parents=True)
            raise KeyboardInterrupt
        self.runs.append((output_dir.name, recipe.numbers.seed, splits.note))
        if resume:
            self.resumed.append(output_dir.name)
        (output_dir / "model").mkdir(parents=True, exist_ok=True)
        (output_dir / "model" / "model.safetensors").write_bytes(b"weights")
        test = splits.tables["test"]
        names = test.features["label"].names
        answers = pd.DataFrame(
            {
                "file_name": test["file_name"],
                "intent": [names[label] for label in test["label"]],
                "predicted": "hear_low",
                "speaker": test["speaker"],
            }
        )
        answers.to_csv(output_dir / "predictions.csv", index=False)
        (output_dir / "metrics.json").write_text('{"train_seconds": 1.25}')


@pytest.fixture
def training(monkeypatch) -> Training:
    stub = Training()
    monkeypatch.setattr(experiment, "train_and_score", stub)
    return stub


@pytest.fixture
def uneven(tmp_path, write_folder, recipe):
    """6 clips of Ann, 2 of them low and 4 high; 4 of Ben, 3 of them low and 1 high."""
    speakers = {
        "hear_low": ["ann", "ann", "ben", "ben", "ben"],
        "hear_high": ["ann", "ann", "ann", "ann", "ben"],
    }
    folder = write_folder(
        tmp_path / "data",
        5,
        lambda intent, i: {"speaker": speakers[intent][i]},
        intents=tuple(speakers),
    )
    return recipe(data=folder, encoder="random")


def test_folds_with_other_clips_corrected_are_other_folds(uneven):
    plain = clips(8).assign(seconds=1.0)
    marked = with_corrections(plain, ("on", "", "new")).assign(seconds=1.0)
    lists = [
        protocols.made_of(Protocol("kfold"), uneven, table)["list of clips"]
        for table in (plain, plain.assign(corrected=""), marked, marked.assign(corrected=""))
    ]
    assert lists[0] == lists[1]
    assert len(set(lists)) == 3


LEAVE_OUT = Protocol("leave-one-speaker-out", seeds=(0, 1))


def test_the_figures_of_folds_and_seeds_are_worked_out_by_hand(training, uneven, tmp_path):
    out = tmp_path / "out"
    results = protocols.run_protocol(LEAVE_OUT, uneven, out)
    # Answering "hear_low" is right for 2 of Ann's 6 clips and 3 of Ben's 4.
    encoder = results["encoder"]
    assert encoder["runs"] == [
        {"seed": 0, "fold": "ann", "accuracy": pytest.approx(2 / 6), "n": 6},
        {"seed": 0, "fold": "ben", "accuracy": 3 / 4, "n": 4},
        {"seed": 1, "fold": "ann", "accuracy": pytest.approx(2 / 6), "n": 6},
        {"seed": 1, "fold": "ben", "accuracy": 3 / 4, "n": 4},
    ]
    # Pooled over the folds of the first seed: 5 of 10. The F1 of low is 2 × 5 / (5 + 10).
    assert (encoder["n"], encoder["correct"], encoder["accuracy"]) == (10, 5, 0.5)
    assert encoder["f1_macro"] == pytest.approx((10 / 15 + 0) / 2)
    assert encoder["bootstrap"] == "over 2 speakers, too few for a reliable interval"
    # Over folds and seeds: 1/3, 3/4, 1/3, 3/4; the sum of squares is divided by 4 - 1.
    assert encoder["mean"] == pytest.approx(13 / 24)
    assert encoder["sd"] == pytest.approx(np.sqrt(4 * (5 / 24) ** 2 / 3))
    # Leaving Ann out, Ben's 3 of 4 make low the majority; leaving Ben out, Ann's 4 of 6 make high.
    majority = results["majority class"]
    assert (majority["n"], majority["correct"]) == (10, 2 + 1)
    facts = ("protocol", "seeds", "data", "n", "speakers", "train_seconds")
    assert [results[name] for name in facts] == [
        "leave-one-speaker-out",
        [0, 1],
        "data",
        10,
        2,
        5.0,  # 1.25 a fold
    ]
    assert results["hyperparameters"]["epochs"] == 20
    assert results["last_split"].startswith("leave-one-speaker-out, ben; given; validation ")
    assert json.loads((out / "results.json").read_text(encoding="utf-8")) == results


def test_a_single_run_has_no_spread(training, uneven, tmp_path):
    results = protocols.run_protocol(Protocol("random"), uneven, tmp_path / "out")
    assert results["encoder"]["sd"] is None
    assert results["encoder"]["mean"] == results["encoder"]["accuracy"]


def test_folders_are_numbered_and_notes_name_the_fold(training, uneven, tmp_path):
    protocols.run_protocol(LEAVE_OUT, uneven, tmp_path / "out")
    assert [(folder, seed) for folder, seed, _ in training.runs] == [
        ("fold-01-seed-0", 0),
        ("fold-02-seed-0", 0),
        ("fold-01-seed-1", 1),
        ("fold-02-seed-1", 1),
    ]
    notes = [note for _, _, note in training.runs]
    assert notes[0].startswith("leave-one-speaker-out, ann; given; validation ")
    assert notes[1].startswith("leave-one-speaker-out, ben; given; validation ")
    seeds = ["seed 0 of train", "seed 0 of train", "seed 1 of train", "seed 1 of train"]
    assert [note[-len("seed 0 of train") :] for note in notes] == seeds


def test_weights_are_kept_only_if_that_is_asked_for(training, uneven, tmp_path):
    protocols.run_protocol(Protocol("random"), uneven, tmp_path / "out")
    assert not list(tmp_path.rglob("*.safetensors"))
    keep = Protocol("random", keep_weights=True)
    protocols.run_protocol(keep, uneven, tmp_path / "kept")
    weights = tmp_path / "kept" / "fold-01-seed-0" / "model" / "model.safetensors"
    assert list(tmp_path.rglob("*.safetensors")) == [weights]


def test_a_speakers_name_is_no_path(training, write_folder, recipe, tmp_path):
    names = ["../x", str(tmp_path / "elsewhere" / "x")]
    folder = write_folder(tmp_path / "data", 6, lambda _, i: {"speaker": names[i % 2]})
    for name in ("x-seed-0", "elsewhere/x-seed-0"):  # where those names would lead
        (tmp_path / name / "model").mkdir(parents=True)
        (tmp_path / name / "model" / "precious").write_text("kept")
    out = tmp_path / "out"
    before = {path for path in tmp_path.rglob("*") if path != out}
    protocol = Protocol("leave-one-speaker-out")
    results = protocols.run_protocol(protocol, recipe(data=folder), out)
    assert {path for path in tmp_path.rglob("*") if not path.is_relative_to(out)} == before
    assert {run["fold"] for run in results["encoder"]["runs"]} == set(names)
    assert {path.name for path in out.iterdir()} == {
        ".lock",
        "fold-01-seed-0",
        "fold-02-seed-0",
        "made_of.json",
        "results.json",
        "settings.toml",
    }
    assert resolve(out / "settings.toml") == recipe(data=folder)


# Run again


def test_finished_folds_are_kept_and_seeds_may_be_added(training, uneven, tmp_path):
    first = protocols.run_protocol(Protocol("random", seeds=(0,)), uneven, tmp_path)
    again = protocols.run_protocol(Protocol("random", seeds=(0,)), uneven, tmp_path)
    assert again == first
    more = protocols.run_protocol(Protocol("random", seeds=(0, 3)), uneven, tmp_path)
    assert [folder for folder, *_ in training.runs] == ["fold-01-seed-0", "fold-01-seed-3"]
    assert [run["seed"] for run in more["encoder"]["runs"]] == [0, 3]
    assert more["encoder"]["accuracy"] == first["encoder"]["accuracy"]  # pooled over the first


def test_a_fold_that_was_interrupted_is_resumed(training, uneven, tmp_path):
    training.stop_at = 1
    with pytest.raises(KeyboardInterrupt):
        protocols.run_protocol(LEAVE_OUT, uneven, tmp_path)
    training.stop_at = None
    protocols.run_protocol(LEAVE_OUT, uneven, tmp_path)
    assert training.resumed == ["fold-02-seed-0"]
    assert len(training.runs) == 4


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        ({"epochs": 3.0}, "epochs 20 (now 3.0)"),
        ({"learning_rate": 1e-4}, "learning_rate 0.005 (now 0.0001)"),
        ({"encoder": "small"}, "encoder random (now small)"),
        ({"test_share": 0.5}, "test_share 0.3 (now 0.5)"),
    ],
)
def test_folds_made_with_other_numbers_are_not_mixed_with_these(
    training, uneven, recipe, tmp_path, changed, difference
):
    protocols.run_protocol(Protocol("random"), uneven, tmp_path / "out")
    before = (tmp_path / "out" / "results.json").read_text()
    options = {"data": uneven.data, "encoder": "random"} | changed
    with pytest.raises(OutputError) as refusal:
        protocols.run_protocol(Protocol("random"), recipe(**options), tmp_path / "out")
    assert f"holds results of other {difference}" in str(refusal.value)
    assert str(refusal.value).endswith("; choose another folder, or delete it first")
    assert (tmp_path / "out" / "results.json").read_text() == before
    assert len(training.runs) == 1


def test_folds_of_another_protocol_or_of_other_clips_are_not_mixed(training, uneven, tmp_path):
    out = tmp_path / "out"
    protocols.run_protocol(Protocol("kfold", n_folds=2), uneven, out)
    with pytest.raises(OutputError, match=r"other folds 2 \(now 3\);"):
        protocols.run_protocol(Protocol("kfold", n_folds=3), uneven, out)
    with pytest.raises(OutputError, match=r"other folds .*, protocol kfold \(now random\);"):
        protocols.run_protocol(Protocol("random"), uneven, out)
    metadata = tmp_path / "data" / "metadata.csv"
    metadata.write_text(metadata.read_text().replace(",ben", ",eve"))
    with pytest.raises(OutputError, match="other list of clips"):
        protocols.run_protocol(Protocol("kfold", n_folds=2), uneven, out)


def test_a_folder_where_nothing_was_trained_yet_is_free(training, uneven, recipe, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(DataError, match="no intent has enough clips for 6 folds"):
        protocols.run_protocol(Protocol("kfold", n_folds=6), uneven, out)
    protocols.run_protocol(Protocol("random"), uneven, out)
    assert json.loads((out / "made_of.json").read_text())["protocol"] == "random"


def test_a_folder_that_cannot_be_written_to_is_told(training, uneven, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputError, match=r"cannot be written to \(File exists\)"):
        protocols.run_protocol(Protocol("random"), uneven, tmp_path / "out")


def test_two_protocols_do_not_write_into_one_folder(training, uneven, tmp_path):
    with run_folder.held(tmp_path / "out"), pytest.raises(OutputError, match="by another run"):
        protocols.run_protocol(Protocol("random"), uneven, tmp_path / "out")


def test_a_protocol_does_not_write_over_what_another_run_is_made_of(training, uneven, tmp_path):
    (tmp_path / "metrics.json").write_text("{}")
    (tmp_path / "made_of.json").write_text("{}")
    with pytest.raises(OutputError, match="holds a finished run"):
        protocols.run_protocol(Protocol("random"), uneven, tmp_path)
    assert (tmp_path / "made_of.json").read_text() == "{}"


# The baselines


@pytest.fixture
def reversed_features(tmp_path, write_folder, recipe, monkeypatch):
    """Clips whose one feature means one intent in train and the other in validation and test.

    A classifier that was fitted on train alone is always wrong; one that has seen test, or
    validation, which is larger, is always right. High is commoner in train, low elsewhere.
    """
    splits = {
        "hear_low": ["train"] * 3 + ["validation"] * 10 + ["test"] * 5,
        "hear_high": ["train"] * 4 + ["validation"] * 5 + ["test"] * 3 + ["left out"] * 6,
    }
    folder = write_folder(
        tmp_path / "data",
        18,
        lambda intent, i: {"split": splits[intent][i]},
        intents=tuple(splits),
        seconds=0.05,
    )
    table = pd.read_csv(folder / "metadata.csv")
    table = table[table["split"] != "left out"]
    table.to_csv(folder / "metadata.csv", index=False)
    in_train = (table["split"] == "train").to_numpy()
    is_low = (table["intent"] == "hear_low").to_numpy()
    feature = np.where(in_train == is_low, 1.0, -1.0)
    monkeypatch.setattr(baseline, "table_statistics", lambda clips: feature[:, None])
    return recipe(data=folder)


def test_the_baselines_learn_from_train_alone(training, reversed_features, tmp_path):
    results = protocols.run_protocol(Protocol("given"), reversed_features, tmp_path / "out")
    svm = results["MFCC + SVM"]
    assert (svm["n"], svm["correct"]) == (8, 0)
    majority = results["majority class"]
    assert (majority["n"], majority["correct"]) == (8, 3)
    assert results["encoder"]["correct"] == 5


# Printed


def scores(correct: int) -> dict:
    return {
        "n": 10,
        "correct": correct,
        "accuracy": correct / 10,
        "accuracy_interval": [0.1, 0.9],
        "f1_macro": 0.25,
        "f1_macro_interval": [0.2, 0.3],
        "bootstrap": "over clips",
        "mean": 0.45,
        "sd": None,
    }


RESULTS = {
    "protocol": "kfold",
    "seeds": [0, 1],
    "data_hash": "abc123",
    "last_split": "kfold, fold-4; given",
    "speakers": 0,
    "encoder": scores(7),
    "MFCC + SVM": scores(5),
    "majority class": scores(3),
}


def test_the_classifiers_stand_side_by_side():
    lines = protocols.table_of(RESULTS).splitlines()
    assert lines[0].split() == list(protocols.SHOWN)
    assert [line.split("  ")[0] for line in lines[1:4]] == [
        "encoder",
        "MFCC + SVM",
        "majority class",
    ]
    assert [line[14:].split()[:3] for line in lines[1:4]] == [
        ["10", "7", "0.7"],
        ["10", "5", "0.5"],
        ["10", "3", "0.3"],
    ]
    assert lines[4:] == [
        "Protocol kfold, seeds [0, 1], data list abc123",
        "Last split: kfold, fold-4; given",
        "Intervals: accuracy Wilson's, macro F1 bootstrap over clips",
        "Warning: speakers are not named; the same may be on both sides, and the figures flatter.",
    ]


@pytest.mark.parametrize("changed", [{"speakers": 4}, {"protocol": "given"}])
def test_where_speakers_are_known_or_kept_apart_nothing_is_warned_of(changed):
    assert "Warning" not in protocols.table_of(RESULTS | changed)


# With a real model


def test_folds_are_trained_scored_and_left_without_weights(tmp_path, write_folder, recipe):
    folder = write_folder(tmp_path / "data", 6, lambda _, i: {"speaker": f"speaker {i % 2}"})
    out = tmp_path / "out"
    protocol = Protocol("leave-one-speaker-out")
    results = protocols.run_protocol(protocol, recipe(data=folder, epochs=1), out)
    assert [run["n"] for run in results["encoder"]["runs"]] == [12, 12]
    assert results["MFCC + SVM"]["accuracy"] > results["majority class"]["accuracy"] == 0.25
    result = json.loads((out / "fold-02-seed-0" / "metrics.json").read_text(encoding="utf-8"))
    assert result["split"].startswith("test (leave-one-speaker-out, speaker 1; given; ")
    assert (result["speakers_train"], result["speakers_test"]) == (1, 1)
    assert not list(out.rglob("*.safetensors"))


def test_added_clips_are_trained_on_in_every_fold_and_not_counted(tmp_path, write_folder, recipe):
    folder = write_folder(tmp_path / "data", 6)
    robot = {"engine": "robot"}
    voices = write_folder(tmp_path / "voices", 2, lambda _, i: robot, seconds=0.5)
    given = recipe(data=folder, add=[voices], freeze="encoder")
    results = protocols.run_protocol(Protocol("kfold", 2), given, tmp_path / "out")
    assert (results["n"], results["n_added"]) == (24, 8)
    assert results["encoder"]["n"] == results["MFCC + SVM"]["n"] == 24
    assert results["synthetic"] == {"train": [8, 16], "validation": [0, 4], "scored": [0, 12]}
    assert "8 of 16 training clips are synthetic." in protocols.table_of(results)
    assert "adapted" not in results
    adapted = protocols._facts(replace(given, adapt=str(folder)), data.read_recordings(given).table)
    assert adapted["adapted"]["test_clips"] == adapted["adapted"]["clips"] == 24
    (voices / "clips" / "hear_low_1.wav").unlink()
    table = (
        (voices / "metadata.csv").read_text().replace("clips/hear_low_1.wav,hear_low,robot\n", "")
    )
    (voices / "metadata.csv").write_text(table)
    with pytest.raises(OutputError, match="list of clips"):
        protocols.run_protocol(Protocol("kfold", 2), given, tmp_path / "out")
