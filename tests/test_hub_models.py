"""From a model's name to a folder, with a Hub on this machine, and with Hubs that misbehave."""

import http.server
import json
import pickle
import shutil
import socket
import threading
import time
from pathlib import Path

import hub_client
import huggingface_hub.constants
import pytest
import safetensors.torch
import torch
import transformers

from speech_intent import IntentClassifier, hub_models, hub_reach, model, train
from speech_intent.errors import HubUnreachable, ModelError

ID = "someone/some-model"
CLIP = Path(__file__).resolve().parents[1] / "dataset" / "audio" / "test-0001.mp3"


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """This process asks a Hub on this machine, and has nothing in its cache."""
    hub_client.visit(monkeypatch)
    hub_client.use_cache(monkeypatch, tmp_path / "cache")


@pytest.fixture
def black_hole(monkeypatch):
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        hub_client.visit(monkeypatch, f"http://127.0.0.1:{server.getsockname()[1]}")
        yield


@pytest.fixture
def answering(monkeypatch):
    """A Hub that answers every request with one status and error code."""
    servers = []

    def start(status: int, code: str) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(status)
                self.send_header("X-Error-Code", code)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        hub_client.visit(monkeypatch, f"http://127.0.0.1:{server.server_port}")

    yield start
    servers[0].shutdown()
    servers[0].server_close()


@pytest.fixture
def cached(model_folder, tmp_path, monkeypatch) -> Path:
    """A cache of huggingface_hub that holds the tiny model as `ID`."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / f"models--{ID.replace('/', '--')}"
    shutil.copytree(model_folder, repository / "snapshots" / "0123")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123")
    return repository / "snapshots" / "0123"


def refusal(name: str, kind: type[ModelError] = ModelError) -> str:
    """Give the reason why a model is refused, by an error of this very kind."""
    with pytest.raises(ModelError) as error:
        hub_models.model_folder(name)
    assert type(error.value) is kind
    assert "\n" not in str(error.value)
    assert error.value.name == name
    return error.value.reason


# A Hub that works


def test_a_hub_id_is_downloaded_once_and_found_without_the_hub(hub, model_folder, monkeypatch):
    hub_client.upload("tester/tones", model_folder)
    folder = hub_models.model_folder("tester/tones")
    for name in ("config.json", "model.safetensors"):
        assert (folder / name).read_bytes() == (model_folder / name).read_bytes()
    hub_client.visit(monkeypatch, hub_client.NOBODY)
    assert hub_models.model_folder("tester/tones") == folder
    hub_client.set_offline(monkeypatch, True)
    assert hub_models.model_folder("tester/tones") == folder


def test_only_the_file_that_answers_is_downloaded(hub, onnx_folder, tmp_path, monkeypatch):
    hub_client.upload("tester/exported", onnx_folder)
    reduced = shutil.copytree(onnx_folder, tmp_path / "reduced")
    record = json.loads((reduced / "onnx.json").read_text())
    (reduced / "onnx.json").write_text(json.dumps(record | {"precision": "int8+float32"}))
    hub_client.upload("tester/reduced", reduced)
    unmarked = shutil.copytree(reduced, tmp_path / "unmarked")
    (unmarked / "onnx.json").unlink()
    hub_client.upload("tester/unmarked", unmarked)
    for name, engine, file in [
        ("exported", "auto", "onnx/model.onnx"),
        ("exported", "torch", "model.safetensors"),
        ("reduced", "onnx", "onnx/model_quantized.onnx"),
        ("reduced", "torch", "model.safetensors"),
        ("unmarked", "auto", "model.safetensors"),  # the ONNX file is not one of ours
    ]:
        hub_client.use_cache(monkeypatch, tmp_path / f"{name}-{engine}")
        folder = hub_models.model_folder(f"tester/{name}", engine)
        paths = [path for path in folder.rglob("*.*") if path.suffix != ".json"]
        heavy = {path.relative_to(folder).as_posix() for path in paths}
        assert heavy == {"clips.csv", file}
        assert IntentClassifier.from_pretrained(f"tester/{name}", engine).predict(CLIP).label


def test_a_record_that_cannot_be_read_is_named(hub, onnx_folder, tmp_path):
    folder = shutil.copytree(onnx_folder, tmp_path / "model")
    (folder / "onnx.json").write_text("[]")
    hub_client.upload("tester/unreadable", folder)
    with pytest.raises(ModelError) as error:
        hub_models.model_folder("tester/unreadable", "auto")
    assert error.value.name.endswith("onnx.json")
    assert error.value.problem == "holds no JSON object"


def test_other_files_come_on_demand_alone(hub, model_folder, tmp_path, monkeypatch):
    hub_client.upload("tester/kept", model_folder)
    hub_client.use_cache(monkeypatch, tmp_path)
    folder = hub_models.model_folder("tester/kept")
    assert not (folder / "pooled.safetensors").exists()
    wanted = ["pooled.safetensors", "LICENSE"]
    assert hub_models.model_folder("tester/kept", others=wanted) == folder
    assert (folder / "pooled.safetensors").is_file()
    assert not (folder / "LICENSE").exists()  # there is none


def test_a_pickle_is_warned_of_whatever_lies_beside_it(model_folder, tmp_path, caplog):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    hub_models.model_folder(folder)
    assert caplog.text == ""
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    hub_models.model_folder(folder)
    assert "its weights are a pickle" in caplog.text


def test_the_shards_of_a_large_model_come_with_their_index(hub, model_folder, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "sharded")
    shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    (folder / "model.safetensors").rename(folder / shards[0])
    (folder / shards[1]).write_bytes(b"")
    index = {"weight_map": {"a": shards[0], "b": shards[1]}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "other.bin").write_bytes(b"")
    hub_client.upload("tester/sharded", folder)
    names = {path.name for path in hub_models.model_folder("tester/sharded").iterdir()}
    assert set(shards) < names
    assert "other.bin" not in names


def test_a_repository_without_weights_and_one_that_is_not_there(hub, model_folder, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "weightless")
    (folder / "model.safetensors").unlink()
    hub_client.upload("tester/weightless", folder)
    reason = "has no model.safetensors; save model and feature extractor with save_pretrained"
    assert refusal("tester/weightless") == reason
    reason = "is not on the Hub, or is private, and there is no such folder; "
    assert refusal("tester/none") == reason + "check the spelling, or log in with `hf auth login`"


def test_pickled_weights_are_read_without_running_code(
    hub, model_folder, tmp_path, classifier, caplog
):
    folder = shutil.copytree(model_folder, tmp_path / "pickled")
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    torch.save(weights, folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    hub_client.upload("tester/pickled", folder)
    answer = IntentClassifier.from_pretrained("tester/pickled").predict(CLIP)
    assert dict(answer.scores) == pytest.approx(dict(classifier.predict(CLIP).scores), abs=1e-6)
    assert caplog.messages == [
        "warning: tester/pickled: its weights are a pickle; "
        "they are read by torch's weights-only loader"
    ]
    witness = tmp_path / "code was run"
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Opens(witness), protocol=2))
    with pytest.raises(ModelError, match="a pickle of more than numbers, and none of it was run"):
        IntentClassifier.from_pretrained(folder)
    assert not witness.exists()


class Opens:
    """What a pickle makes a file of, if it is trusted."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


# Moonshine's speech recognisers, as encoders

MOONSHINES = {  # what their config.json says of the architecture; base has more layers
    "moonshine-tiny": {"hidden_size": 288, "intermediate_size": 1152, "partial_rotary_factor": 0.9},
    "moonshine-base": {
        "hidden_size": 416,
        "intermediate_size": 1664,
        "partial_rotary_factor": 0.62,
        "encoder_num_hidden_layers": 2,
    },
}


def write_recogniser(folder: Path, sizes: dict) -> dict[str, torch.Tensor]:
    """Write a recogniser with random weights as those of the Hub are; give the weights."""
    torch.manual_seed(0)
    config = transformers.MoonshineConfig(
        **sizes, vocab_size=500, decoder_num_hidden_layers=1, pad_head_dim_to_multiple_of=8
    )
    network = transformers.MoonshineForConditionalGeneration(config)
    network.save_pretrained(folder)
    transformers.Wav2Vec2FeatureExtractor(do_normalize=False).save_pretrained(folder)
    written = json.loads((folder / "config.json").read_text())
    del written["rope_parameters"]  # of transformers 5; theirs are older
    older = {"rope_theta": 10_000.0, "rope_scaling": None} | sizes
    (folder / "config.json").write_text(json.dumps(written | older))
    return network.state_dict()


@pytest.mark.parametrize("name", MOONSHINES)
def test_the_encoder_of_a_recogniser_is_fine_tuned(hub, tone_folder, tmp_path, capfd, caplog, name):
    """Its decoder is passed over, and nobody is told of it."""
    expected = write_recogniser(tmp_path / "recogniser", MOONSHINES[name])
    assert any(key.startswith("model.decoder.") for key in expected)
    hub_client.upload(f"UsefulSensors/{name}", tmp_path / "recogniser")
    capfd.readouterr()
    options = ["--data", tone_folder, "--encoder", f"UsefulSensors/{name}", "--freeze", "encoder"]
    options += ["--unknown", "none"]
    assert train.main([*map(str, options), "--output-dir", str(tmp_path / "run")]) == 0
    assert caplog.messages == []
    said = "".join(capfd.readouterr()).lower()
    assert "decoder" not in said
    assert "missing" not in said
    assert "warn" not in said
    weights = safetensors.torch.load_file(tmp_path / "run" / "model" / "model.safetensors")
    new = {key for key in weights if key not in expected}
    assert new == {"classifier.weight", "classifier.bias"}
    for key in weights.keys() - new:
        torch.testing.assert_close(weights[key], expected[key], atol=0, rtol=0)


@pytest.mark.parametrize("name", MOONSHINES)
def test_the_encoder_of_a_recogniser_gives_its_hidden_states(tmp_path, name):
    write_recogniser(tmp_path, MOONSHINES[name])
    kind = transformers.AutoModelForAudioClassification
    _, report = kind.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["unexpected_keys"]
    recogniser = transformers.MoonshineForConditionalGeneration.from_pretrained(tmp_path)
    encoder = model.build_model(tmp_path, ["a", "b"]).model.eval()
    encoder.config.edge_samples = 0  # theirs puts no silence around a clip
    values = 0.1 * torch.randn(1, 16_000, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        theirs = recogniser.eval().model.encoder(values).last_hidden_state
        ours = encoder.model.encoder(*encoder.frames(values))
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=0)


# A local folder


def test_a_local_folder_is_used_as_it_is(model_folder):
    assert hub_models.model_folder(model_folder) == model_folder
    assert hub_models.model_folder(str(model_folder)) == model_folder


def test_what_a_folder_must_hold_depends_on_the_engine(model_folder, onnx_folder, tmp_path):
    with pytest.raises(ModelError) as error:
        hub_models.model_folder(model_folder, "onnx")
    remedy = "run python -m speech_intent.export on the folder"
    assert error.value.reason == f"has no onnx/model.onnx; {remedy}"
    folder = shutil.copytree(onnx_folder, tmp_path / "weightless")
    (folder / "model.safetensors").unlink()
    assert hub_models.model_folder(folder, "onnx") == folder
    assert hub_models.model_folder(folder, "auto") == folder
    with pytest.raises(ModelError, match=r"has no model\.safetensors; save model"):
        hub_models.model_folder(folder, "torch")


@pytest.mark.parametrize("name", ["./gone", "/gone/too", "~/gone", "a/b/c"])
def test_a_path_is_not_taken_for_a_hub_id(name):
    assert refusal(name) == "there is no such folder; check the path"


@pytest.mark.parametrize("name", ["two words", "a" * 300, "é"])
def test_a_name_that_is_neither(name):
    assert refusal(name) == "is neither a folder nor a Hub id; check the spelling"


# No Hub, or one that misbehaves


NO_ANSWER = "the Hub cannot be reached: it gives no answer in time, and there is no such folder; "
OFFLINE = (
    "the Hub cannot be reached: HF_HUB_OFFLINE forbids it, and there is no such folder; "
    "unset HF_HUB_OFFLINE, or name a local model or folder"
)


def test_without_network_a_hub_id_is_out_of_reach():
    assert refusal(ID, HubUnreachable) == OFFLINE


def test_without_network_a_cached_model_answers(cached):
    assert hub_models.model_folder(ID) == cached


def test_without_network_a_half_downloaded_model_is_out_of_reach(cached):
    (cached / "model.safetensors").unlink()
    assert refusal(ID, HubUnreachable) == OFFLINE


def test_a_hub_that_refuses_connections_is_out_of_reach(monkeypatch):
    hub_client.visit(monkeypatch, hub_client.NOBODY)
    assert refusal(ID, HubUnreachable).startswith("the Hub cannot be reached (")


def test_a_hub_that_never_answers_is_given_up(black_hole, monkeypatch):
    assert hub_reach.REACH_SECONDS < 9  # of the ten that a user waits
    monkeypatch.setattr(hub_reach, "REACH_SECONDS", 0.5)
    began = time.monotonic()
    assert refusal(ID, HubUnreachable).startswith(NO_ANSWER)
    assert time.monotonic() - began < 3


def test_a_name_server_that_never_answers_is_given_up(monkeypatch):
    never = threading.Event()
    hub_client.visit(monkeypatch, hub_client.NOBODY)
    monkeypatch.setattr(hub_reach, "REACH_SECONDS", 0.2)
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *_, **__: never.wait(10))
    began = time.monotonic()
    reason = refusal(ID, HubUnreachable)
    never.set()
    assert reason.startswith(NO_ANSWER)
    assert time.monotonic() - began < 3


def test_a_hub_that_never_answers_lets_a_cached_model_answer(black_hole, cached, monkeypatch):
    monkeypatch.setattr(hub_reach, "REACH_SECONDS", 0.5)
    assert hub_models.model_folder(ID) == cached


@pytest.mark.parametrize(
    ("status", "code", "kind", "problem"),
    [
        (404, "RepoNotFound", ModelError, "is not on the Hub, or is private"),
        (404, "", ModelError, "is not on the Hub, or is private"),
        (401, "RepoNotFound", ModelError, "is not on the Hub, or is private"),
        (403, "GatedRepo", ModelError, "its owner must grant access"),
        (403, "", ModelError, "this token has no right to read it"),
        (429, "", ModelError, "the Hub was asked too often (429)"),
        (418, "", ModelError, "the Hub refuses this (418: "),
        (500, "", HubUnreachable, "the Hub is failing (500)"),
        (503, "", HubUnreachable, "the Hub is failing (503)"),
        (504, "", HubUnreachable, "the Hub is failing (504)"),
    ],
)
def test_what_the_hub_answers_is_said_in_one_line(answering, status, code, kind, problem):
    answering(status, code)
    reason = refusal(ID, kind)
    assert reason.startswith(problem)
    assert "and there is no such folder; " in reason


@pytest.mark.parametrize(("status", "is_used"), [(429, True), (503, True), (404, False)])
def test_a_cached_model_answers_unless_the_hub_says_there_is_none(
    answering, cached, status, is_used
):
    answering(status, "")
    if is_used:
        assert hub_models.model_folder(ID) == cached
    else:
        assert refusal(ID).startswith("is not on the Hub")


def test_a_wrong_token_is_named(hub, model_folder, monkeypatch):
    hub_client.upload("tester/guarded", model_folder)
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    problem = "the Hub does not know this token, and there is no such folder"
    assert refusal("tester/guarded") == f"{problem}; correct or unset HF_TOKEN"


def test_a_cache_that_cannot_be_written_is_named(hub, model_folder, tmp_path, monkeypatch):
    hub_client.upload("tester/uncached", model_folder)
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "file" / "hub"))
    reason = refusal("tester/uncached")
    assert reason.startswith(f"{tmp_path / 'file'}")
    assert "cannot be written or read (" in reason
    assert reason.endswith("; put that right, or name another folder by HF_HOME")


# Addresses


def test_the_address_in_a_browser_names_a_model(hub, model_folder, monkeypatch):
    hub_client.upload("tester/linked", model_folder)
    folder = hub_models.model_folder("tester/linked")
    address = huggingface_hub.constants.ENDPOINT
    for name in (
        f"{address}/tester/linked",
        f"{address}/tester/linked/",
        f"{address}/tester/linked/tree/main",
        "https://huggingface.co/tester/linked",
        "hf://tester/linked",
    ):
        assert hub_models.model_folder(name) == folder
    name = f"{address}/datasets/tester/linked"
    assert refusal(name) == "is the address of a dataset; name a model: NAMESPACE/NAME"


def test_a_user_of_the_command_line_gets_the_same(hub, model_folder, tmp_path):
    """In a process of its own, which learns the Hub's address from the environment."""
    hub_client.upload("tester/asked", model_folder)
    command = ("inference.py", CLIP, "--json", "--model")
    remote = hub_client.run_as_user(*command, "tester/asked", HF_HOME=str(tmp_path))
    assert remote.returncode == 0, remote.stderr
    local = IntentClassifier.from_pretrained(model_folder).predict(CLIP)
    scores = {row["label"]: row["score"] for row in json.loads(remote.stdout)["scores"]}
    assert scores == pytest.approx(dict(local.scores), abs=1e-6)
