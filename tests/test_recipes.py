"""Each recipe on data of its schema and a checkpoint of its architecture, over HTTP from a local Hub and back."""

import contextlib
import json
import os
import pickle
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from conftest import write_csv

from speech_intent import data, publish, recipes, train
from speech_intent.recipes import RECIPES, Hyperparameters
from speech_intent.tables import DataError, read_table

TESTS = Path(__file__).resolve().parent
SKIT_INTENTS = RECIPES["skit-s2i"].intents


class LocalHub:
    """A stand-in for the Hub in a process of its own, and its users, each in another."""

    def __init__(self, root: Path):
        self.root = root
        command = [sys.executable, TESTS / "local_hub.py", "--root", root / "hub"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.address = self.process.stdout.readline().strip()

    def run(self, *command, cache: str = "cache", **env) -> subprocess.CompletedProcess:
        """Run a Python program as a user of this Hub, with a cache of its own name."""
        ours = {"HF_ENDPOINT": self.address, "HF_TOKEN": "hf_local_test", "HF_HUB_DISABLE_XET": "1"}
        ours |= {
            "HF_HOME": str(self.root / cache),
            "HF_HUB_OFFLINE": "0",
            "PYTHONPATH": os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]),
        }
        environment = {key: value for key, value in (os.environ | ours | env).items() if value is not None}
        command = [sys.executable, *map(str, command)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=TESTS.parent, timeout=300)

    def client(self, *command, **options) -> str:
        process = self.run(TESTS / "hub_client.py", *command, **options)
        assert process.returncode == 0, process.stderr
        return process.stdout


@pytest.fixture(scope="session")
def hub(tmp_path_factory):
    hub = LocalHub(tmp_path_factory.mktemp("local-hub"))
    hub.client("make_datasets", hub.root / "data")
    hub.client("make_encoders", hub.root / "encoders")
    yield hub
    hub.process.terminate()
    hub.process.wait()


ROUND_TRIPS = ["scooter", "minds14", "minds14-tutorial", "minds14-whisper", "skit-s2i"]


@pytest.fixture(scope="session")
def round_trip(hub):
    """The outcome of a recipe from data to the published model and back, computed once."""
    outcomes = {}

    def of(name: str) -> dict:
        if name not in outcomes:
            outcomes[name] = json.loads(hub.client("round_trip", name, hub.root / "runs").splitlines()[-1])
        return outcomes[name]

    return of


@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_a_recipe_goes_from_its_data_to_the_hub_and_back(round_trip, name):
    outcome, recipe = round_trip(name), RECIPES[name]
    assert outcome["same"] and outcome["difference"] <= 1e-6 and outcome["pipeline"] <= 1e-4
    assert outcome["base_model"] == recipe.encoder and outcome["datasets"] == [recipe.data]
    assert outcome["card_accuracy"] == pytest.approx(outcome["results"]["accuracy"])
    assert len(outcome["card_metrics"]) == 10
    assert outcome["results"]["data"] == recipe.data and outcome["results"]["config"] == recipe.config
    expected = recipe.numbers | {"epochs": 1}
    assert {key: outcome["hyperparameters"][key] for key in expected} == expected
    assert {"model", "metrics.json", "predictions.csv", "validation.png", "training_curves.png"} <= set(
        outcome["files"]
    )


def test_splits_are_those_of_the_seeds(round_trip):
    assert round_trip("scooter")["results"]["split"].startswith("test (stratified by clip 30 %")
    assert round_trip("minds14")["results"]["split"].startswith("test (stratified by clip 20 %")
    split = "given; validation stratified by clip 10 %, seed 0 of train"  # Skit-S2I's speakers are on both sides
    split += "; WARNING: test shares 3 of 3 speakers with train"
    assert round_trip("skit-s2i")["results"]["split"] == f"test ({split})"
    assert round_trip("skit-s2i")["results"]["n"] == 42
    assert set(round_trip("skit-s2i")["results"]["per_class"]) == set(SKIT_INTENTS)


def test_a_published_model_answers_offline_from_the_cache(hub, round_trip):
    round_trip("scooter")
    clip = hub.root / "runs" / "scooter" / "clip.wav"
    command = ["inference.py", clip, "--model", "tester/scooter", "--json"]
    answers = [
        hub.run(*command, cache="fresh"),
        hub.run(*command, cache="fresh", HF_HUB_OFFLINE="1"),
        hub.run(*command, cache="fresh", HF_ENDPOINT="http://127.0.0.1:9"),
        hub.run("inference.py", clip, "--model", hub.root / "runs" / "scooter" / "model", "--json"),
    ]
    assert [answer.returncode for answer in answers] == [0] * 4, answers[0].stderr
    first, *others = ({row["label"]: row["score"] for row in json.loads(answer.stdout)["scores"]} for answer in answers)
    for other in others:
        assert other == pytest.approx(first, abs=1e-6)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--recipe", "scooter", "--intent-column", "labels"], "it has audio, label"),
        (["--recipe", "scooter", "--audio-column", "label"], "holds no audio; there are audio (Audio), label (Value)"),
        (["--recipe", "minds14", "--config", "xx-XX"], "it has no configuration 'xx-XX'; there are all, en-US"),
        (["--data", "tester/unlabelled"], "train/00002: its intent is empty"),
        (["--data", "tester/untested"], 'a split has no rows (Instruction "test" corresponds to no data!)'),
        (["--data", "nobody/nothing"], "it is no folder, and not on the Hub, or private; check the spelling"),
    ],
)
def test_what_is_wrong_with_a_hub_dataset_is_said(hub, tmp_path, options, words):
    process = hub.run("-m", "speech_intent.train", *options, "--output-dir", tmp_path / "out")
    assert process.returncode == 1 and "\nerror: " in "\n" + process.stderr and words in process.stderr
    assert "Traceback" not in process.stderr and not (tmp_path / "out").exists()


def test_a_dataset_out_of_reach_says_what_to_do(hub, tmp_path):
    command = ["-m", "speech_intent.train", "--recipe", "minds14", "--output-dir", tmp_path / "out"]
    process = hub.run(*command, cache="empty", HF_HUB_OFFLINE="1")
    assert process.returncode == 1 and "put its clips into a folder with a metadata.csv" in process.stderr
    assert "Traceback" not in process.stderr


@pytest.mark.parametrize(
    ("token", "words"),
    [(None, "there is no token; log in with `hf auth login`"), ("hf_wrong", "the Hub does not know this token")],
)
def test_publishing_without_the_right_token_is_refused(hub, model_folder, token, words):
    process = hub.run("-m", "speech_intent.publish", model_folder, "tester/refused", cache="none", HF_TOKEN=token)
    assert process.returncode == 1 and words in process.stderr and "hf_wrong" not in process.stderr
    assert "Traceback" not in process.stderr


def test_publishing_without_a_connection_is_refused(hub, model_folder):
    process = hub.run("-m", "speech_intent.publish", model_folder, "tester/far", HF_ENDPOINT="http://127.0.0.1:9")
    assert process.returncode == 1 and "the upload failed (" in process.stderr and "Traceback" not in process.stderr


def test_a_repository_without_weights_and_one_that_is_not_there(hub, model_folder, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "weightless")
    (folder / "model.safetensors").unlink()
    hub.client("put", "tester/weightless", folder)
    clip = sorted((TESTS.parent / "dataset" / "audio").iterdir())[0]
    for name, words in (("tester/weightless", "has no model.safetensors"), ("tester/none", "is not on the Hub, or is")):
        process = hub.run("inference.py", clip, "--model", name, cache="weightless")
        assert process.returncode == 1 and words in process.stderr and "Traceback" not in process.stderr


def test_publishing_without_figures_needs_to_be_asked_for(hub, model_folder, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    (folder / "metrics.json").unlink()
    process = hub.run("-m", "speech_intent.publish", folder, "tester/unscored")
    assert process.returncode == 1 and "--without-results" in process.stderr
    process = hub.run("-m", "speech_intent.publish", folder, "tester/unscored", "--without-results", "--private")
    assert process.returncode == 0, process.stderr


def test_a_published_data_folder_is_read_back(hub, tone_folder, tmp_path):
    process = hub.run("-m", "speech_intent.publish", tone_folder, "tester/tones", "--dataset")
    assert process.returncode == 0, process.stderr
    script = (
        "import sys, huggingface_hub as h; h.snapshot_download(sys.argv[1], repo_type='dataset', local_dir=sys.argv[2])"
    )
    assert hub.run("-c", script, "tester/tones", tmp_path).returncode == 0
    assert read_table(tmp_path).equals(read_table(tone_folder))


def test_the_csv_release_of_skit_s2i(tmp_path, write_folder):
    """Its columns and its numbered intents, with a semicolon as the separator for once."""
    source = write_folder(tmp_path / "skit", 6, lambda intent, i: {})
    clips = sorted((source / "clips").iterdir())
    (source / "metadata.csv").unlink()
    for split, part in (("train", slice(0, 4)), ("test", slice(4, 6))):
        rows = [
            {"id": i, "intent_class": k, "template": "x", "audio_path": f"clips/{path.name}", "speaker_id": 1}
            for k in range(4)
            for i, path in enumerate(clips[6 * k : 6 * k + 6][part])
        ]
        write_csv(source / f"{split}.csv", rows)
        text = (source / f"{split}.csv").read_text()
        (source / f"{split}.csv").write_text(text.replace(",", ";") if split == "test" else text)
    splits, _ = data.load_data(source, recipe=RECIPES["skit-s2i"])
    assert splits["train"].features["label"].names == sorted(SKIT_INTENTS[:4])
    assert len(splits["test"]) == 8 and set(splits["test"]["speaker"]) == {"1"}


def test_an_intent_number_without_a_name_is_refused(tmp_path, write_folder):
    folder = write_folder(tmp_path / "data", 2, lambda intent, i: {"intent": "14"})
    with pytest.raises(DataError, match="the intents \\[14\\] are unknown; they run from 0 to 13"):
        read_table(folder, RECIPES["skit-s2i"])


def test_every_recipe_has_numbers_that_can_be():
    for recipe in RECIPES.values():
        assert isinstance(recipes.hyperparameters(recipe), Hyperparameters)
    assert recipes.hyperparameters(RECIPES["scooter"], epochs=2, seed=None).epochs == 2


def test_options_win_over_the_recipe(capsys, monkeypatch, tmp_path):
    seen = {}
    monkeypatch.setattr(train, "run", lambda **options: seen.update(options) or {})
    command = [
        "--recipe",
        "minds14-whisper",
        "--learning-rate",
        "1e-3",
        "--config",
        "de-DE",
        "--output-dir",
        str(tmp_path),
    ]
    assert train.main(command) == 0
    assert seen["numbers"].learning_rate == 1e-3 and seen["numbers"].schedule == "cosine"
    assert seen["recipe"].config == "de-DE" and seen["encoder"] == "openai/whisper-base.en"


def test_several_encoders_are_compared_in_one_table(tone_folder, encoders, tmp_path, capsys):
    names = [str(encoders[name]) for name in ("wav2vec2_group", "whisper")]
    command = ["--data", str(tone_folder), "--encoder", *names, "--epochs", "1", "--output-dir", str(tmp_path / "out")]
    assert train.main(command) == 0
    assert (tmp_path / "out" / "comparison.csv").exists()
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[-2:]] == names


class Cutter(threading.Thread):
    """A way to the Hub that breaks off the first connection over which more than `limit` bytes are sent."""

    def __init__(self, address: str, limit: int):
        super().__init__(daemon=True)
        self.there, self.limit, self.cuts = int(address.rsplit(":", 1)[1]), limit, 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def run(self):
        while True:
            client, _ = self.listener.accept()
            server = socket.create_connection(("127.0.0.1", self.there))
            threading.Thread(target=self.forward, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self.forward, args=(server, client, False), daemon=True).start()

    def forward(self, source, target, counted):
        n_bytes = 0
        with contextlib.suppress(OSError):
            while data := source.recv(4096):
                n_bytes += len(data)
                if counted and self.cuts == 0 and n_bytes > self.limit:
                    self.cuts += 1
                    source.close()
                    break
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)


def test_an_upload_that_breaks_off_shows_nothing_and_can_be_repeated(hub, model_folder):
    before = {path.name: path.read_bytes() for path in model_folder.iterdir()}
    cutter = Cutter(hub.address, 30_000)
    cutter.start()
    command = ["-m", "speech_intent.publish", model_folder, "tester/broken-off"]
    script = "import json, huggingface_hub as h; print(json.dumps(h.HfApi().list_repo_files('tester/broken-off')))"
    listing = ["-c", script]
    first = hub.run(*command, HF_ENDPOINT=cutter.address)
    if first.returncode:  # else the client's own second try got through
        assert "run it again" in first.stderr and "Traceback" not in first.stderr
        assert "config.json" not in hub.run(*listing).stdout
    assert cutter.cuts == 1
    assert hub.run(*command).returncode == 0
    assert {"config.json", "model.safetensors", "README.md"} <= set(json.loads(hub.run(*listing).stdout))
    assert {path.name: path.read_bytes() for path in model_folder.iterdir()} == before


def test_pickled_weights_are_read_without_running_code(hub, model_folder, tmp_path):
    import safetensors.torch
    import torch

    folder = shutil.copytree(model_folder, tmp_path / "pickled")
    torch.save(safetensors.torch.load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    hub.client("put", "tester/pickled", folder)
    clip = sorted((TESTS.parent / "dataset" / "audio").iterdir())[0]
    process = hub.run("inference.py", clip, "--model", "tester/pickled", "--json", cache="pickles")
    assert process.returncode == 0, process.stderr
    assert process.stderr.count("warning: ") == 1 and "its weights are a pickle" in process.stderr
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": Path("/")}))
    process = hub.run("inference.py", clip, "--model", folder, "--json")
    assert process.returncode == 1 and "cannot be loaded" in process.stderr and "Traceback" not in process.stderr


def test_publishing_under_a_name_of_others_is_refused(model_folder, monkeypatch, capsys):
    import huggingface_hub
    from huggingface_hub.utils import HfHubHTTPError, httpx

    def forbidden(*args, **kwargs):
        request = httpx.Request("POST", "http://127.0.0.1")
        raise HfHubHTTPError("403 Forbidden", response=httpx.Response(403, request=request))

    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "hf_secret")
    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", forbidden)
    assert publish.main([str(model_folder), "somebody/else"]) == 1
    message = capsys.readouterr().err
    assert "no right to write there" in message and "hf_secret" not in message
