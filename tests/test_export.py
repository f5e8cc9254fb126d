import shutil
import subprocess
import sys

import pytest

from speech_intent import export, onnx_export
from speech_intent.onnx_model import describe
from speech_intent.paths import ROOT


@pytest.fixture
def exported(monkeypatch):
    """Note what is asked for instead of exporting it."""
    asked = []
    record = {"precision": "float32", "difference": 0.0, "reduced": []}
    monkeypatch.setattr(onnx_export, "export", lambda *args: asked.append(args) or record)
    return asked


def test_the_arguments_reach_the_exporter_and_the_record_is_said(exported, tmp_path, capsys):
    assert export.main([str(tmp_path)]) == 0
    assert export.main([str(tmp_path), "--data", "bundled"]) == 0
    assert exported == [(tmp_path, None), (tmp_path, "bundled")]
    record = {"precision": "float32", "difference": 0.0, "reduced": []}
    assert capsys.readouterr().out == f"{describe(record)}\n" * 2


def test_a_model_is_exported_with_the_cost_on_data(model_folder, tone_folder, tmp_path, capsys):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    assert export.main([str(folder), "--data", str(tone_folder)]) == 0
    words = "the same label for 100.0 % of 8 validation clips, 0.00 points of accuracy lost."
    said = capsys.readouterr().out
    assert words in said
    assert said.endswith("It answers in float32.\n")
    assert (folder / "onnx/model.onnx").exists()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("someone/some-model", "there is no such folder; name one that holds the model"),
        (".", "has no config.json, preprocessor_config.json, model.safetensors; save model and"),
    ],
)
def test_what_is_no_model_is_an_error_of_one_line(tmp_path, monkeypatch, capsys, name, reason):
    monkeypatch.chdir(tmp_path)
    assert export.main([name]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: {name}: {reason}")
    assert err.count("\n") == 1


def test_a_mistake_of_ours_keeps_its_traceback(monkeypatch, tmp_path):
    def fail(folder, data):
        raise ValueError("a bug")

    monkeypatch.setattr(onnx_export, "export", fail)
    with pytest.raises(ValueError, match="a bug"):
        export.main([str(tmp_path)])


def test_help_is_quick_and_a_wrong_option_has_its_own_status():
    program = "import sys; from speech_intent import export; export.main(['--help'])"
    program = f"try:\n    {program}\nfinally:\n    import sys; print('loaded', *sys.modules)"
    process = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT
    )
    assert "usage: python -m speech_intent.export" in process.stdout
    loaded = process.stdout.splitlines()[-1].split()
    assert not {"torch", "numpy", "onnx", "openvino", "pandas"} & set(loaded)
    with pytest.raises(SystemExit) as exit:
        export.main(["--unknown"])
    assert exit.value.code == 2
