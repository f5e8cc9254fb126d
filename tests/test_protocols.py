import json

import pandas as pd
import pytest

from speech_intent import protocols, train
from speech_intent.recipes import PLAIN


@pytest.fixture
def table():
    """24 clips of three intents by four speakers."""
    rows = [(f"{i}.wav", "abc"[i % 3], f"speaker {i // 6}", "", 1.0) for i in range(24)]
    return pd.DataFrame(rows, columns=["file_name", "intent", "speaker", "split", "seconds"])


def parts(table, protocol, n_folds=4):
    return {name: split for name, split, _ in protocols.folds(table, protocol, n_folds, 0, PLAIN)}


def test_k_folds_test_each_clip_once_with_every_intent(table):
    folds = parts(table, "kfold")
    tested = pd.concat([split[split["split"] == "test"] for split in folds.values()])
    assert sorted(tested["file_name"]) == sorted(table["file_name"]) and len(folds) == 4
    assert all(split.loc[split["split"] == "test", "intent"].nunique() == 3 for split in folds.values())


def test_leave_one_speaker_out_tests_each_speaker_alone(table):
    folds = parts(table, "leave-one-speaker-out")
    assert sorted(folds) == sorted(set(table["speaker"]))
    for name, split in folds.items():
        assert set(split.loc[split["split"] == "test", "speaker"]) == {name}
        assert set(split["split"]) == {"train", "validation", "test"}


def test_by_speaker_keeps_speakers_apart_and_random_does_not_look(table):
    by_speaker, random = (next(iter(parts(table, name).values())) for name in ("speaker", "random"))
    assert by_speaker.groupby("speaker")["split"].nunique().max() == 1
    assert random.groupby("speaker")["split"].nunique().max() > 1


def test_leaving_speakers_out_needs_their_names(table):
    with pytest.raises(ValueError, match="names two speakers or more"):
        parts(table.assign(speaker=""), "leave-one-speaker-out")


def test_every_fold_and_seed_is_trained_once_and_reported(tmp_path, write_folder, encoders, capsys):
    folder = write_folder(tmp_path / "data", 6, lambda _, i: {"speaker": f"speaker {i % 2}"})
    command = ["--data", str(folder), "--encoder", str(encoders["wav2vec2_layer"]), "--epochs", "1"]
    command += ["--protocol", "leave-one-speaker-out", "--seeds", "0,1", "--output-dir", str(tmp_path / "out")]
    assert train.main(command) == 0
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert [run["n"] for run in results["encoder"]["runs"]] == [12] * 4 and results["encoder"]["n"] == 24
    assert {"mean", "sd", "accuracy_interval"} <= set(results["MFCC + SVM"])
    assert {results[way]["bootstrap"] for way in ("encoder", "MFCC + SVM", "majority class")} == {
        "over 2 speakers, too few for a reliable interval"
    }
    fold = json.loads((tmp_path / "out" / "speaker 1-seed-0" / "metrics.json").read_text())
    assert fold["split"].startswith("test (leave-one-speaker-out, speaker 1; ")
    assert (fold["speakers_train"], fold["speakers_test"]) == (1, 1)
    assert results["majority class"]["accuracy"] == 0.25 and results["speakers"] == 2
    assert not list((tmp_path / "out").rglob("*.safetensors"))
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("metrics.json")}
    assert len(written) == 4 and train.main(command) == 0
    assert {path: path.stat().st_mtime_ns for path in written} == written
    assert "leave-one-speaker-out" in capsys.readouterr().out


def test_a_split_that_shares_speakers_or_hides_them_is_warned_of(table):
    shared = next(protocols.folds(table, "random", 5, 0, PLAIN))[2]
    assert "WARNING: test shares 3 of 3 speakers with train" in shared
    names = (
        "n",
        "correct",
        "accuracy",
        "accuracy_interval",
        "f1_macro",
        "f1_macro_interval",
        "bootstrap",
        "mean",
        "sd",
    )
    scores = dict.fromkeys(names, 0)
    results = dict.fromkeys(("encoder", "MFCC + SVM", "majority class"), scores)
    results |= {"protocol": "kfold", "seeds": [0], "data_hash": "0", "last_split": shared}
    assert "speakers are not named" in protocols.describe(results | {"speakers": 0})
    text = protocols.describe(results | {"speakers": 4})
    assert "test shares 3 of 3 speakers" in text and "not named" not in text
