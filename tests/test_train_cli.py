import subprocess
import sys

import pytest

from speech_intent import tables, train


def refused(capsys, *arguments) -> str:
    assert train.main([str(argument) for argument in arguments]) == 1
    out, err = capsys.readouterr()
    assert "Results" not in out
    assert "Traceback" not in err
    assert err.startswith("error: ")
    return err


def test_a_run_says_how_the_data_were_split_and_where_the_results_are(tmp_path, tone_folder, encoders, capsys):
    small = ["--epochs", "1", "--batch-size", "16", "--freeze", "encoder", "--seed", "3", "--max-seconds", "0.3"]
    encoder = str(encoders["wav2vec2_group"])
    assert train.main(["--data", str(tone_folder), "--encoder", encoder, *small, "--output-dir", str(tmp_path)]) == 0
    out, _ = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].split() == ["clips", "minutes", "intents", "speakers", "speakers", "also", "in", "train"]
    assert lines[3].split()[:2] == ["test", "16"]
    assert lines[4] == "Split: given"
    assert lines[5].startswith("epoch 1 of 1: training loss ")
    assert lines[-2].startswith("Test: accuracy 0.")
    assert lines[-1] == f"Results: {tmp_path}"


def test_everything_wrong_with_the_data_is_listed_before_any_training(tmp_path, write_folder, capsys):
    folder = write_folder(tmp_path / "data", 3, seconds=0.05)
    (folder / "clips/hear_low_0.wav").write_text("not audio")
    (folder / "clips/hear_low_1.wav").unlink()
    err = refused(capsys, "--data", folder, "--output-dir", tmp_path / "out")
    lines = err.splitlines()
    assert lines[0] == f"error: {folder} cannot be used:"
    assert len(lines) == 3
    assert not (tmp_path / "out").exists()


def test_no_such_data(tmp_path, capsys):
    assert "there is no such folder" in refused(capsys, "--data", tmp_path / "gone", "--output-dir", tmp_path)


@pytest.mark.parametrize(("encoder", "problem"), [("/gone", "there is no such folder"), ("a/b", "cannot be reached")])
def test_an_encoder_that_cannot_be_had(tmp_path, tone_folder, capsys, encoder, problem):
    err = refused(capsys, "--data", tone_folder, "--encoder", encoder, "--output-dir", tmp_path / "out")
    assert problem in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out" / "model").exists()


@pytest.mark.parametrize(
    "arguments",
    [[], ["--output-dir", "x", "--freeze", "some"], ["--output-dir", "x", "--epochs", "many"], ["--out", "x", "--y"]],
)
def test_wrong_usage_is_status_2(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        train.main(arguments)
    assert stop.value.code == 2
    assert "usage: python -m speech_intent.train" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option",
    ["--batch-size", "--max-seconds", "--epochs", "--gradient-accumulation-steps", "--learning-rate", "--patience"],
)
def test_numbers_that_make_no_sense_are_wrong_usage(tmp_path, capsys, option):
    with pytest.raises(SystemExit) as stop:
        train.main(["--output-dir", str(tmp_path), option, "0"])
    assert stop.value.code == 2
    name = option.removeprefix("--").replace("-", "_")
    assert capsys.readouterr().err.endswith(f" error: {name} is 0; it must be above 0\n")


def test_bundled_means_the_folder_of_the_clone():
    assert tables.resolve("bundled") == tables.BUNDLED
    assert tables.BUNDLED.name == "dataset"


def test_the_module_runs_from_the_command_line(tmp_path):
    command = [sys.executable, "-m", "speech_intent.train", "--data", "/gone", "--output-dir", str(tmp_path)]
    process = subprocess.run(command, capture_output=True, text=True)
    assert (process.returncode, process.stdout) == (1, "")
    assert process.stderr == (
        "error: /gone cannot be used:\n  - there is no such folder; give one with metadata.csv, or 'bundled'\n"
    )
