import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import soundfile
from conftest import TONES

from speech_intent import IntentClassifier, default_model
from speech_intent.errors import ModelError
from speech_intent.predict import Prediction

RATE = 16_000
ODD = Path(__file__).parent / "odd_audio"
PROGRAM = Path(__file__).resolve().parents[1] / "inference.py"


@pytest.fixture(scope="module")
def inference():
    """inference.py as a module."""
    spec = importlib.util.spec_from_file_location("inference", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def run(inference, model_folder, capsys, monkeypatch):
    """Run inference.py with the tiny model; return (exit status, stdout, stderr)."""
    loaded = IntentClassifier.from_pretrained(model_folder)
    monkeypatch.setattr(IntentClassifier, "from_pretrained", lambda name, engine, parallel: loaded)

    def call(*arguments) -> tuple[int, str, str]:
        status = inference.main([*map(str, arguments), "--model", str(model_folder)])
        return status, *capsys.readouterr()

    return call


HUB_MODEL = "MuhammadIqbalBazmi/wav2vec2-base-intent-classification-ori"


@pytest.fixture
def clip(tmp_path, tone) -> Path:
    soundfile.write(tmp_path / "clip.wav", tone(TONES["hear_low"], 0.75, seed=50), RATE)
    return tmp_path / "clip.wav"


def test_a_file_gets_a_small_table(run, clip, model_folder):
    status, out, err = run(clip)
    first, *rows = out.splitlines()
    assert (status, err) == (0, "")
    assert first == f"{clip}  (0.75 s, {model_folder})"
    assert len(rows) == 3
    assert rows[0].split()[0] == "hear_low"
    assert all(re.fullmatch(r"  hear_\w+ +[01]\.\d{3}  #*", row) for row in rows)


def test_json_is_one_object_a_line_with_every_intent(run, clip, model_folder):
    status, out, _ = run(clip, clip, "--json")
    answers = [json.loads(line) for line in out.splitlines()]
    assert (status, len(answers)) == (0, 2)
    for answer in answers:
        keys = "file label score scores seconds model engine precision"
        assert list(answer) == keys.split()
        assert (answer["file"], answer["model"]) == (str(clip), str(model_folder))
        assert answer["seconds"] == 0.75
        assert answer["scores"][0] == {"label": answer["label"], "score": answer["score"]}
        assert answer["label"] == "hear_low"
        assert {entry["label"] for entry in answer["scores"]} == set(TONES)
        scores = [entry["score"] for entry in answer["scores"]]
        assert scores == sorted(scores, reverse=True)


@pytest.mark.parametrize(("wanted", "given"), [(1, 1), (2, 2), (4, 4), (99, 4)])
def test_top_k_says_how_many_intents(run, clip, wanted, given):
    assert len(json.loads(run(clip, "--json", "--top-k", wanted)[1])["scores"]) == given
    assert len(run(clip, "--top-k", wanted)[1].splitlines()) == 1 + given


def test_a_folder_means_its_audio_files_sorted(run, clip):
    waveform = soundfile.read(clip)[0]
    for name in ("b.WAV", "a.flac", "c.ogg"):
        soundfile.write(clip.parent / name, waveform, RATE)
    for name in ("u_aac.m4a", "u_opus.webm", "u_amr.amr"):
        shutil.copy(ODD / name, clip.parent)
    (clip.parent / "notes.txt").write_text("no audio")
    (clip.parent / "._clip.wav").write_text("what a Mac keeps beside a file")
    (clip.parent / "folder.wav").mkdir()
    status, out, err = run(clip.parent, "--json")
    names = [Path(json.loads(line)["file"]).name for line in out.splitlines()]
    assert names[:4] == ["a.flac", "b.WAV", "c.ogg", "clip.wav"]
    assert names[4:] == ["u_aac.m4a", "u_amr.amr", "u_opus.webm"]
    assert (status, err) == (0, "")


NAMES = [b"two words.wav", b"two\nlines.wav", "früh ☀.wav".encode(), b"caf\xe9.wav", b"-x.wav"]


@pytest.mark.parametrize("name", NAMES)
def test_any_file_name_is_answered(run, clip, name):
    path = os.fsdecode(os.path.join(os.fsencode(clip.parent), name))
    clip.rename(path)
    status, out, err = run(path, "--json")
    assert (status, err) == (0, "")
    assert os.fsencode(json.loads(out)["file"]) == os.fsencode(path)
    status, out, err = run(path)
    assert (status, err, len(out.splitlines())) == (0, "", 4)


def test_a_bad_file_does_not_keep_the_others_from_their_answers(run, clip):
    (clip.parent / "text.wav").write_text("not audio")
    empty_folder = clip.parent / "empty folder"
    empty_folder.mkdir()
    files = [clip.parent / "gone\nfile.wav", clip, clip.parent / "text.wav", empty_folder, clip]
    status, out, err = run(*files, "--json")
    assert status == 1
    assert [json.loads(line)["file"] for line in out.splitlines()] == [str(clip)] * 2
    assert err.splitlines() == [
        f"error: {empty_folder}: has no audio files; "
        "name a folder with WAV, FLAC, OGG, MP3 or M4A files",
        f"error: {clip.parent}/gone\\nfile.wav: does not exist; check the path",
        f"error: {clip.parent}/text.wav: is text, not audio; name the recording itself",
    ]


@pytest.mark.parametrize("engine", ["torch", "onnx"])
def test_a_folder_is_answered_in_its_order_whatever_is_in_it(
    inference, tmp_path, tone, onnx_folder, engine, capsys
):
    names = [f"{i:02d}.wav" for i in range(24)]
    for i, name in enumerate(names):
        seconds = 3.0 if i == 0 else 0.2 + 0.02 * (i % 5)  # the first takes longest
        frequency = list(TONES.values())[i % 4]
        soundfile.write(tmp_path / name, tone(frequency, seconds, seed=i), RATE)
    for name in names[3:6]:
        (tmp_path / name).write_text("no audio")
    options = ["--json", "--engine", engine, "--model", str(onnx_folder)]
    assert inference.main([str(tmp_path), *options]) == 1
    out, err = capsys.readouterr()
    rows = [json.loads(line) for line in out.splitlines()]
    assert [Path(row["file"]).name for row in rows] == names[:3] + names[6:]
    assert {(row["engine"], row["precision"]) for row in rows} == {(engine, "float32")}
    errors = [line for line in err.splitlines() if "error" in line]
    assert [line.split(": is text")[0] for line in errors] == [
        f"error: {tmp_path / name}" for name in names[3:6]
    ]
    alone = inference.load_model(str(onnx_folder), engine)
    for row in rows:
        scores = {entry["label"]: entry["score"] for entry in row["scores"]}
        expected = dict(alone.predict(row["file"]).scores)
        assert scores == pytest.approx(expected, abs=1e-4)


def test_a_reader_who_has_enough_ends_the_work(tmp_path, tone, onnx_folder):
    for i in range(200):
        soundfile.write(tmp_path / f"{i:03d}.wav", tone(787, 4.0, seed=i), RATE)
    command = [sys.executable, PROGRAM, tmp_path, "--json", "--model", onnx_folder]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as process:
        first = json.loads(process.stdout.readline())
        process.stdout.close()
        err = process.stderr.read()
    assert first["file"].endswith("000.wav")
    assert process.returncode == 1
    assert "Traceback" not in err


def test_the_engine_that_was_asked_for_is_not_replaced(inference, clip, model_folder, capsys):
    assert inference.main([str(clip), "--engine", "onnx", "--model", str(model_folder)]) == 1
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"error: {model_folder}: has no onnx/model.onnx; ")


def test_a_folder_that_cannot_be_listed_is_refused(run, clip, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", refuse)
    status, out, err = run(clip.parent)
    assert (status, out) == (1, "")
    assert err.startswith(f"error: {clip.parent}: cannot be read (Permission denied); ")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["a.wav", "--top-k", "0"],
        ["a.wav", "--top-k", "x"],
        ["a.wav", "--loud"],
        ["a.wav", "--model"],
    ],
)
def test_wrong_usage_is_status_2(inference, capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        inference.main(arguments)
    assert stop.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "usage: " in err


def test_without_network_and_without_a_named_model_the_one_in_models_answers(
    inference, clip, model_folder, monkeypatch, capsys
):
    monkeypatch.setattr(default_model, "SHIPPED", model_folder)
    assert inference.main([str(clip), "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["model"] == str(model_folder)
    assert json.loads(out)["label"] == "hear_low"
    note = rf"note: {HUB_MODEL}: the Hub cannot be reached: .*, and there is no such folder; "
    assert re.fullmatch(rf"{note}answering with {model_folder}\n", err)


def test_the_published_model_is_the_default(inference, monkeypatch):
    asked = []

    def note(name, *options):
        asked.append(name)

    monkeypatch.setattr(IntentClassifier, "from_pretrained", note)
    inference.load_model(None)
    assert asked == [HUB_MODEL]


@pytest.mark.parametrize("name", ["someone/some-model", HUB_MODEL])
def test_a_named_model_is_never_replaced(inference, clip, model_folder, monkeypatch, capsys, name):
    monkeypatch.setattr(default_model, "SHIPPED", model_folder)
    assert inference.main([str(clip), "--model", name]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(rf"error: {name}: the Hub cannot be reached: .*\n", err)


def test_a_broken_published_model_is_not_replaced_either(inference, clip, monkeypatch, capsys):
    def refuse(name, engine, parallel):
        raise ModelError(name, "is not on the Hub", "check the spelling")

    monkeypatch.setattr(IntentClassifier, "from_pretrained", refuse)
    assert inference.main([str(clip)]) == 1
    expected = f"error: {HUB_MODEL}: is not on the Hub; check the spelling\n"
    assert capsys.readouterr().err == expected


@pytest.mark.parametrize("copies", [1, 3])
def test_scores_that_are_not_finite_are_one_line(
    inference, clip, model_folder, tmp_path, capsys, copies
):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    tensors = safetensors.torch.load_file(folder / "model.safetensors")
    tensors["classifier.bias"][0] = float("nan")
    safetensors.torch.save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    assert inference.main([str(clip)] * copies + ["--model", str(folder)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    reason = "gives scores that are not finite numbers; train, export or download it again"
    assert err.splitlines()[-1] == f"error: {folder}: {reason}"


def test_a_mistake_of_ours_keeps_its_traceback(inference, clip, monkeypatch):
    def stumble(name, engine, parallel):
        raise ValueError("a mistake of ours")

    monkeypatch.setattr(IntentClassifier, "from_pretrained", stumble)
    with pytest.raises(ValueError, match="a mistake of ours"):
        inference.main([str(clip)])


def test_stdout_has_the_answers_and_stderr_a_line_a_problem(clip, onnx_folder):
    gone = clip.parent / "gone.wav"
    silent = clip.parent / "silent.wav"
    cut = clip.parent / "cut.wav"
    soundfile.write(silent, np.zeros(RATE), RATE)
    cut.write_bytes(clip.read_bytes()[:8_044])
    files = [gone, silent, clip, cut]
    command = [sys.executable, PROGRAM, *files, "--json", "--model", onnx_folder]
    process = subprocess.run(command, capture_output=True, text=True, cwd="/")
    assert process.returncode == 1
    answered = [json.loads(line)["file"] for line in process.stdout.splitlines()]
    assert answered == [str(silent), str(clip), str(cut)]
    assert process.stderr.splitlines() == [
        f"error: {gone}: does not exist; check the path",
        f"warning: {silent}: is silent (peak 0.0e+00); its answer means nothing",
        f"warning: {cut}: is shorter than its header says; what is there was used",
    ]


def test_a_warning_stands_before_the_answer_of_a_single_file(run, clip):
    soundfile.write(clip, np.zeros(RATE), RATE)
    status, out, err = run(clip)
    assert (status, len(out.splitlines())) == (0, 4)
    assert err == f"warning: {clip}: is silent (peak 0.0e+00); its answer means nothing\n"


def test_below_the_threshold_the_answer_is_unknown(run, clip):
    sure = json.loads(run(clip, "--json", "--threshold", "0")[1])
    status, out, _ = run(clip, "--json", "--threshold", "1.01")
    unsure = json.loads(out)
    assert status == 0
    assert unsure == {
        "file": str(clip),
        "label": "unknown",
        "guess": "hear_low",
        "reason": "its score is too low",
        **{name: value for name, value in sure.items() if name not in ("file", "label")},
    }
    assert list(unsure)[:4] == ["file", "label", "guess", "reason"]
    heading = "\n  unknown (its score is too low); its guesses:\n"
    assert heading in run(clip, "--threshold", "1.01")[1]
    assert heading not in run(clip, "--threshold", "0")[1]


REASONS = ["far from everything taught", "between two intents", "no speech"]


@pytest.mark.parametrize("reason", REASONS)
def test_a_table_says_why_a_clip_is_unknown_and_keeps_the_guesses(inference, reason):
    ranked = (("on", 0.75), ("off", 0.25))
    prediction = Prediction("on", 0.75, ranked, 1.5, reason=reason)
    _, heading, *rows = inference.as_table("clip.wav", prediction, "m", 3).splitlines()
    assert heading == f"  unknown ({reason}); its guesses:"
    assert [row.split()[0] for row in rows] == ["on", "off"]


def test_help_says_that_a_threshold_decides_alone(inference):
    said = " ".join(inference.parser().format_help().split())
    assert "answer unknown below this score, which alone decides then (default: the model" in said


def test_a_table_has_a_line_an_intent_whatever_its_name(inference):
    ranked = (("a\nb", 0.75), ("longer", 0.25))
    prediction = Prediction("a\nb", 0.75, ranked, 1.5)
    assert inference.as_table("clip\n.wav", prediction, "m", 3).splitlines() == [
        "clip\\n.wav  (1.50 s, m)",
        f"  a\\nb     0.750  {'#' * 22}",
        f"  longer   0.250  {'#' * 8}",
    ]


def test_an_exported_model_answers_without_torch_and_transformers(onnx_folder, clip):
    program = "import runpy, sys\ndel sys.argv[0]\n"
    program += "try:\n runpy.run_path(sys.argv[0], run_name='__main__')\n"
    program += "finally:\n print('loaded', *sys.modules)"
    arguments = [PROGRAM, clip, "--json", "--model", onnx_folder]
    command = [sys.executable, "-c", program, *arguments]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    answer, loaded = process.stdout.splitlines()
    assert json.loads(answer)["engine"] == "onnx"
    assert "openvino" in loaded.split()
    heavy = {"torch", "transformers", "pandas", "datasets", "scipy", "sklearn", "matplotlib"}
    assert not (heavy | {"huggingface_hub", "onnx"}) & set(loaded.split())
