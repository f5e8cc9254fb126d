"""The command line: what is printed, warned of and refused."""

import json
import subprocess
import sys

import pytest
import soundfile
from conftest import RATE, write_csv

from speech_intent import add_intent

HEAVY = ["torch", "numpy", "transformers", "datasets", "pandas", "sklearn", "matplotlib"]


@pytest.fixture
def new(tmp_path, tone):
    folder = tmp_path / "new"
    folder.mkdir()
    for i in range(4):
        soundfile.write(folder / f"{i}.wav", tone(5021, 0.4, i), RATE)
    rows = [{"file_name": f"{i}.wav", "intent": "hear_top"} for i in range(4)]
    write_csv(folder / "metadata.csv", rows)
    return folder


def test_an_intent_is_added_from_the_command_line(model_folder, new, tmp_path):
    out = tmp_path / "out"
    options = [model_folder, "--data", new, "--output-dir", out]
    command = [sys.executable, "-m", "speech_intent.add_intent", *map(str, options)]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    lines = process.stdout.splitlines()
    assert lines[0] == "The old intents, by the 8 validation clips kept in the model:"
    assert "New intent hear_top, learned from 4 clips." in lines
    assert lines[-1].startswith(f"Model: {out / 'model'}, in ")
    assert json.loads((out / "added.json").read_text())["model"] == str(model_folder)


def test_help_is_quick():
    program = (
        "import sys\nfrom speech_intent import add_intent\n"
        "try:\n    add_intent.main(['--help'])\n"
        f"finally:\n    print('heavy', [name for name in {HEAVY} if name in sys.modules])"
    )
    process = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert process.stdout.startswith("usage: python -m speech_intent.add_intent ")
    assert process.stdout.splitlines()[-1] == "heavy []"


@pytest.mark.parametrize(
    "arguments", [[], ["m", "--data", "d"], ["m", "--output-dir", "o"], ["--data", "d"]]
)
def test_wrong_usage_is_status_2(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        add_intent.main(arguments)
    assert stop.value.code == 2
    assert "usage: python -m speech_intent.add_intent" in capsys.readouterr().err


def test_what_a_user_can_put_right_is_one_line(capsys, tmp_path, new):
    arguments = [str(tmp_path / "gone"), "--data", str(new), "--output-dir", str(tmp_path / "o")]
    assert add_intent.main(arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ") and err.count("\n") == 1


def test_losses_are_warned_of_and_an_onnx_form_is_missed(monkeypatch, capsys, caplog):
    from speech_intent import extended_model

    half = {"correct": 1, "n": 2, "accuracy": 0.5, "accuracy_interval": [0.1, 0.9]}
    result = {
        "old": {"n": 20, "before": half, "after": half},
        "per_intent": {"ask": {"n": 20, "before": 20, "after": 15, "lost_to": {"stop": 5}}},
        "added": {"stop": {"is_new": True, **half, "held_out": "speakers", "answers": {"stop": 2}}},
        "seconds": 1.5,
        "had_onnx": True,
    }
    seen = []

    def add(model, recipe, output_dir):
        seen.append((model, recipe.data, recipe.intent, str(output_dir)))
        return result

    monkeypatch.setattr(extended_model, "add_intent", add)
    arguments = ["m", "--data", "d", "--intent-column", "class", "--output-dir", "o"]
    assert add_intent.main(arguments) == 0
    assert seen == [("m", "d", "class", "o")]
    out = capsys.readouterr().out
    assert "Right by heads that never heard the speaker: 1/2 = 0.500" in out
    assert "python -m speech_intent.export o/model" in out
    assert "ask lost answers: 20 of 20 validation clips were right before, 15 are now" in (
        caplog.text
    )
