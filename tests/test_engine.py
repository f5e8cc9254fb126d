import importlib.util
import json
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from conftest import RATE, TONES
from tiny import TINY

from speech_intent import IntentClassifier, ModelError, engine, export, features, hub, publish

ROOT = Path(__file__).resolve().parents[1]
LABELS = ["a", "b", "c", "d"]


@pytest.fixture
def copy(onnx_folder, tmp_path) -> Path:
    """A folder with an ONNX file, to be changed."""
    return shutil.copytree(onnx_folder, tmp_path / "model")


@pytest.fixture
def clips(tone):
    """Clips of unequal length, one of them of a single frame, one longer than a second."""
    return [tone(300 * (i + 1), seconds, seed=i) for i, seconds in enumerate((0.025, 0.3, 0.51, 1.37))]


def change_weights(folder: Path) -> None:
    """Move one number of a model's head, as another calibration of it would."""
    model = IntentClassifier.from_pretrained(folder, engine="torch").model
    with torch.no_grad():
        model.classifier.bias[0] += 0.5
    model.save_pretrained(folder)


def same(one, other, tolerance=1e-4) -> bool:
    return dict(one.scores) == pytest.approx(dict(other.scores), abs=tolerance) and one.seconds == other.seconds


# The answers are torch's


def test_every_family_gives_the_scores_of_torch(encoder, tmp_path, clips):
    from speech_intent import model

    classifier, extractor = model.build_model(encoder, LABELS)
    for weights in (classifier.projector.weight, classifier.classifier.weight):
        torch.nn.init.normal_(weights, std=0.2)  # so that scores differ visibly from clip to clip
    classifier.save_pretrained(tmp_path)
    extractor.save_pretrained(tmp_path)
    record = export.export(tmp_path)
    assert record["precision"] == "float32" and record["difference"] <= 1e-4
    theirs, ours = (IntentClassifier.from_pretrained(tmp_path, name) for name in ("torch", "onnx"))
    answers = [theirs.predict((clip, RATE)) for clip in clips]
    assert np.ptp([[dict(answer.scores)[label] for label in LABELS] for answer in answers], axis=0).max() > 1e-3
    assert all(same(ours.predict((clip, RATE)), answer) for clip, answer in zip(clips, answers, strict=True))
    inputs = features.model_inputs(clips, ours.extractor, ours.model.rule)  # in one batch, filled up
    np.testing.assert_allclose(ours.model(inputs), np.stack([theirs._logits([clip])[0] for clip in clips]), atol=1e-3)
    assert {len(value) for value in inputs.values()} == {4}


@pytest.mark.parametrize("kind", ["WavLM", "Hubert"])
def test_group_norm_of_other_families_does_not_see_the_padding(kind, tmp_path, clips):
    import transformers as t

    config = getattr(t, f"{kind}Config")(**TINY, id2label=dict(enumerate(LABELS)))
    getattr(t, f"{kind}ForSequenceClassification")(config).save_pretrained(tmp_path)
    t.Wav2Vec2FeatureExtractor().save_pretrained(tmp_path)
    assert export.export(tmp_path)["difference"] <= 1e-4


def test_an_answer_says_what_computed_it(onnx_folder, model_folder, tone):
    clip = (tone(TONES["hear_high"], seed=9), RATE)
    answers = {
        name: IntentClassifier.from_pretrained(onnx_folder, name).predict(clip) for name in ("auto", "onnx", "torch")
    }
    assert {name: (answer.engine, answer.precision) for name, answer in answers.items()} == {
        "auto": ("onnx", "float32"),
        "onnx": ("onnx", "float32"),
        "torch": ("torch", "float32"),
    }
    assert {answer.label for answer in answers.values()} == {"hear_high"}
    assert IntentClassifier.from_pretrained(model_folder).engine == "torch"  # which has no ONNX file


def test_long_clips_are_cut_as_with_torch(onnx_folder, tone, monkeypatch):
    clip = (np.concatenate([tone(f, 0.4) for f in TONES.values()]), RATE)
    answers = []
    for name in ("torch", "onnx"):
        classifier = IntentClassifier.from_pretrained(onnx_folder, name)
        monkeypatch.setattr(classifier, "max_seconds", 0.5)
        answers.append(classifier.predict(clip))
    assert same(*answers) and answers[0].seconds == 1.6


def test_threads_get_the_answers_of_one_after_another(onnx_folder, tone):
    clips = [(tone(f, 0.2 + 0.1 * i, seed=i), RATE) for i in range(5) for f in TONES.values()]
    one_by_one = IntentClassifier.from_pretrained(onnx_folder).predict_many(clips)
    classifier = IntentClassifier.from_pretrained(onnx_folder, parallel=True)
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(classifier.predict, clips))
    assert [answer.label for answer in together] == [answer.label for answer in one_by_one]
    assert all(same(*pair) for pair in zip(together, one_by_one, strict=True))


def test_neither_torch_nor_transformers_is_imported(onnx_folder, tone, tmp_path):
    soundfile.write(tmp_path / "clip.wav", tone(213), 8_000)
    program = "import runpy, sys\ntry:\n runpy.run_path('inference.py', run_name='__main__')\n"
    program += "finally:\n print('loaded', *sys.modules)"
    command = [sys.executable, "-c", program, str(tmp_path / "clip.wav"), "--json", "--model", str(onnx_folder)]
    process = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    answer, loaded = process.stdout.splitlines()
    assert json.loads(answer)["engine"] == "onnx" and "openvino" in loaded.split()
    heavy = {"torch", "transformers", "pandas", "datasets", "scipy", "sklearn", "matplotlib", "huggingface_hub", "onnx"}
    assert not heavy & set(loaded.split())


def test_onnx_runtime_reads_the_same_file(onnx_folder, clips):
    import onnxruntime

    classifier = IntentClassifier.from_pretrained(onnx_folder)
    inputs = features.model_inputs(clips, classifier.extractor, "mask")
    session = onnxruntime.InferenceSession(onnx_folder / "model.onnx")
    np.testing.assert_allclose(session.run(None, inputs)[0], classifier.model(inputs), atol=1e-3)


# Files


def test_a_folder_without_onnx_is_refused_where_it_was_asked_for(model_folder):
    with pytest.raises(ModelError, match=r"has no model\.onnx; run python -m speech_intent\.export on the folder"):
        IntentClassifier.from_pretrained(model_folder, "onnx")


def test_an_onnx_file_without_our_record_is_not_taken_for_ours(copy):
    (copy / "onnx.json").unlink()
    assert IntentClassifier.from_pretrained(copy).engine == "torch"


@pytest.mark.parametrize("name", ["auto", "onnx"])
def test_an_onnx_file_of_other_weights_is_refused(copy, name):
    change_weights(copy)
    with pytest.raises(ModelError, match=r"was made from other weights than those beside it; .*export again"):
        IntentClassifier.from_pretrained(copy, name)
    with pytest.raises(ModelError, match="other weights"):
        publish.model_files(copy, "someone/name", without_results=True)
    assert IntentClassifier.from_pretrained(copy, "torch").engine == "torch"
    export.export(copy)
    assert IntentClassifier.from_pretrained(copy, name).engine == "onnx"


def test_the_onnx_file_answers_without_the_weights(copy, tone):
    (copy / "model.safetensors").unlink()
    assert IntentClassifier.from_pretrained(copy).predict((tone(TONES["hear_low"], seed=5), RATE)).label == "hear_low"
    with pytest.raises(ModelError, match=r"has no model\.safetensors"):
        IntentClassifier.from_pretrained(copy, "torch")


@pytest.mark.parametrize("name", ["model.onnx", "onnx.json", "config.json", "preprocessor_config.json"])
@pytest.mark.parametrize("content", [b"", b"damaged" * 100])
def test_a_damaged_file_is_named(copy, name, content):
    (copy / name).write_bytes(content)
    with pytest.raises(ModelError, match=rf"{name}: (cannot be read|OpenVINO cannot use it).*; .*again$") as error:
        IntentClassifier.from_pretrained(copy)
    assert "\n" not in str(error.value)


def test_of_a_hub_repository_only_the_file_that_answers_is_fetched(monkeypatch, onnx_folder):
    fetched, files = [], {"config.json", "model.safetensors", "model.onnx"}
    monkeypatch.setattr(hub, "_remote_files", lambda model: files)
    monkeypatch.setattr(
        "huggingface_hub.snapshot_download", lambda model, allow_patterns: fetched.append(allow_patterns) or onnx_folder
    )
    for more, name in [((), "auto"), (("onnx.json",), "auto"), (("model-int8.onnx",), "onnx"), ((), "torch")]:
        files.update(more)
        hub.model_folder("someone/some-model", name)
    wanted = [patterns[1] for patterns in fetched]
    assert wanted == ["model*.safetensors", "model.onnx", "model-int8.onnx", "model*.safetensors"]


# The cache of compiled models


def test_a_compiled_model_is_kept_and_a_damaged_one_is_made_again(copy, tone, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    clip = (tone(787), RATE)
    first = IntentClassifier.from_pretrained(copy).predict(clip)
    (kept,) = (tmp_path / "cache" / "speech_intent").iterdir()
    kept.chmod(0o600)
    kept.write_bytes(kept.read_bytes()[:1_000])
    assert same(IntentClassifier.from_pretrained(copy).predict(clip), first)


def test_without_a_place_for_the_cache_it_answers_all_the_same(copy, tone, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert engine.cache_folder() == ""
    assert IntentClassifier.from_pretrained(copy).predict((tone(787), RATE)).engine == "onnx"


# Export, and its reduced precision


def test_what_torch_would_not_say_is_not_exported(model_folder, tmp_path, monkeypatch):
    folder, write = shutil.copytree(model_folder, tmp_path / "model"), export.write_onnx

    def wrong(model, file):
        with torch.no_grad():
            model.classifier.bias[0] += 100
        write(model, file)

    monkeypatch.setattr(export, "write_onnx", wrong)
    with pytest.raises(ModelError, match=r"differ from torch's by \d\.\de[+-]\d\d; .*engine torch"):
        export.export(folder)
    assert sorted(os.listdir(folder)) == sorted(os.listdir(model_folder))


@pytest.fixture
def large(monkeypatch):
    """Let the tiny model count as one that gains by a reduced precision."""
    monkeypatch.setattr(export, "LARGE", 0)


def test_a_small_model_answers_in_float32_but_the_cost_is_measured(onnx_folder):
    record = json.loads((onnx_folder / "onnx.json").read_text())
    assert record["precision"] == "float32"
    assert [row["precision"] for row in record["reduced"]] == engine.reduced_precisions()
    assert all(0 < row["difference"] < 0.2 for row in record["reduced"])
    assert not (onnx_folder / "model-int8.onnx").exists()


def test_a_large_model_answers_in_8_bits_where_that_costs_little(copy, large, tone, monkeypatch):
    exact, waveform = IntentClassifier.from_pretrained(copy), tone(TONES["hear_upper"], seed=3)
    clip = waveform, RATE
    monkeypatch.setattr(export, "REDUCED_TOLERANCE", 0.2)
    record = export.export(copy)
    assert record["precision"] == engine.reduced_precisions()[0]
    assert (copy / "model-int8.onnx").stat().st_size < (copy / "model.onnx").stat().st_size
    reduced = IntentClassifier.from_pretrained(copy)
    assert reduced.precision == reduced.predict(clip).precision == record["precision"]
    assert same(reduced.predict(clip), exact.predict(clip), 0.1)
    assert not np.array_equal(reduced._logits([waveform]), exact._logits([waveform]))
    monkeypatch.setattr(export, "REDUCED_TOLERANCE", 0.0)
    assert export.export(copy)["precision"] == "float32"
    assert not (copy / "model-int8.onnx").exists()
    assert IntentClassifier.from_pretrained(copy).precision == "float32"


def test_an_arithmetic_that_export_did_not_check_is_not_used(copy, large, monkeypatch):
    monkeypatch.setattr(export, "REDUCED_TOLERANCE", 1.0)
    export.export(copy)
    monkeypatch.setattr(engine, "_native", lambda: "f16")
    assert IntentClassifier.from_pretrained(copy).precision == "int8+float32"


def test_with_data_the_accuracy_decides(copy, large, tone_folder, monkeypatch, capsys):
    monkeypatch.setattr(export, "REDUCED_TOLERANCE", 0.0)
    assert export.main([str(copy), "--data", str(tone_folder)]) == 0
    record = json.loads((copy / "onnx.json").read_text())
    (row,) = record["reduced"]
    assert (row["n"], row["agreement"], row["accuracy_lost"]) == (8, 1.0, 0.0)
    assert record["precision"] == row["precision"]
    said = "the same label for 100.0 % of 8 validation clips, 0.00 points of accuracy lost"
    assert said in capsys.readouterr().out and said in publish.model_card(copy, "someone/name")
    monkeypatch.setattr(export, "ACCURACY_LOST", -0.01)
    assert export.export(copy, str(tone_folder))["precision"] == "float32"


def test_data_with_other_intents_is_refused(copy, write_folder, tmp_path, capsys):
    data = write_folder(tmp_path / "data", 6, intents=("hear_low", "hear_high"))
    text = (data / "metadata.csv").read_text().replace(",hear_low", ",hear_nothing")
    (data / "metadata.csv").write_text(text)
    assert export.main([str(copy), "--data", str(data)]) == 1
    assert "intents that the model does not know (hear_nothing)" in capsys.readouterr().err


def test_a_model_that_torch_cannot_write_is_an_error_of_one_line(copy, monkeypatch, capsys):
    def refuse(model, file):
        raise RuntimeError("many\nlines")

    monkeypatch.setattr(export, "write_onnx", refuse)
    assert export.main([str(copy)]) == 1
    assert (
        capsys.readouterr().err
        == f"error: {copy}: torch cannot write it as ONNX (RuntimeError); use the engine torch\n"
    )
    assert export.main(["someone/some-model"]) == 1
    assert capsys.readouterr().err.startswith("error: someone/some-model: there is no such folder; ")


def test_a_folder_that_is_no_model_is_an_error_of_one_line(tmp_path, capsys):
    assert export.main([str(tmp_path)]) == 1
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"error: {tmp_path}: has no config.json") and err.count("\n") == 1


def test_the_files_are_published(copy):
    files = publish.model_files(copy, "someone/name", without_results=True)
    assert {"model.onnx", "onnx.json", "model.safetensors"} <= set(files)
    assert "float32 scores within" in files["README.md"].decode()


def test_the_readme_holds_the_table_of_the_stored_figures():
    spec = importlib.util.spec_from_file_location("speed", ROOT / "benchmarks" / "speed.py")
    speed = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(speed)
    assert speed.table() in (ROOT / "README.md").read_text(encoding="utf-8")


def test_answering_looks_up_no_other_host(onnx_folder, tmp_path, tone):
    soundfile.write(tmp_path / "clip.wav", tone(TONES["hear_upper"]), RATE)
    program = "import runpy, sys, time\nsys.addaudithook(lambda event, args: event in HOSTS and print('asked', args))\n"
    program += "runpy.run_path(sys.argv[1])['main'](sys.argv[2:])\ntime.sleep(2)"
    program = "HOSTS = 'socket.getaddrinfo', 'socket.connect'\n" + program
    command = [sys.executable, "-c", program, str(ROOT / "inference.py"), str(tmp_path / "clip.wav")]
    home = os.environ | {"HOME": str(tmp_path)}  # OpenVINO's reporter keeps consent and identity there
    done = subprocess.run([*command, "--model", str(onnx_folder)], capture_output=True, text=True, env=home, cwd=ROOT)
    assert "hear_upper" in done.stdout and "asked" not in done.stdout, done.stdout + done.stderr
