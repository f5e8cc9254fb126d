"""What of a folder goes to the Hub, and what is said when it does not get there."""

import contextlib
import json
import shutil
import socket
import threading
from pathlib import Path

import httpx
import hub_client
import pandas as pd
import pytest
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HfHubHTTPError

from speech_intent import folders, hub_recordings, hub_upload, terms
from speech_intent.errors import DataError, ModelError, OutputError, UserError
from speech_intent.model_facts import read_facts
from speech_intent.terms import Terms

MIT = terms.given("mit", "en", None)


@pytest.fixture
def hub(monkeypatch) -> str:
    """This process may write to a Hub on this machine, whose address this is."""
    return hub_client.visit(monkeypatch)


# The files of a model


def test_a_model_comes_with_its_figures_and_a_card(model_folder):
    files = hub_upload.model_files(model_folder, "user/name", read_facts(model_folder, MIT))
    assert set(files) == {
        "clips.csv",
        "config.json",
        "metrics.json",
        "model.safetensors",
        "pooled.safetensors",
        "preprocessor_config.json",
        "training.json",
        "README.md",
    }
    card = files.pop("README.md").decode()
    assert 'model="user/name"' in card
    assert "\nlicense: mit\n" in card
    assert "\nlanguage: en\n" in card
    changed = {"metrics.json", "training.json"}  # in which the folders of the run stand
    others = files.keys() - changed
    assert {name: files[name] for name in others} == {name: model_folder / name for name in others}


def content(source: Path | bytes) -> bytes:
    return source if isinstance(source, bytes) else source.read_bytes()


def test_no_local_path_leaves_the_machine(onnx_folder, tmp_path, tone_folder, encoders):
    folder = shutil.copytree(onnx_folder, tmp_path / "model")
    for name, more in {
        "config.json": {"_name_or_path": "/home/ann/encoder"},
        "onnx.json": {"reduced": [REDUCED | {"data": r"C:\Users\ann\calls"}]},
        "training.json": {"added": [ADDED | {"data": "/home/ann/more"}]},
    }.items():
        record = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(record | more))
    files = hub_upload.model_files(folder, "user/name")
    texts = {name: content(source) for name, source in files.items() if name != "LICENSE"}
    places = [str(tone_folder.parent), str(encoders["wav2vec2_layer"].parent), "ann"]
    for name, text in texts.items():
        for place in places:
            assert place.encode() not in text.replace(b"channel", b""), name
    metrics = json.loads(texts["metrics.json"])
    assert (metrics["data"], metrics["encoder"]) == ("data", "wav2vec2_layer")
    assert [source["name"] for source in metrics["sources"]] == ["wav2vec2_layer", "data"]
    assert json.loads(texts["onnx.json"])["reduced"][0]["data"] == "calls"
    assert json.loads(texts["training.json"])["added"] == [ADDED | {"model": "old", "data": "more"}]
    before = json.loads((folder / "metrics.json").read_text())
    assert metrics["accuracy"] == before["accuracy"]
    assert metrics["confusion"] == before["confusion"]
    assert (folder / "metrics.json").read_bytes() != texts["metrics.json"]


ADDED = {"model": "/home/ann/old", "clips": {"on": 5}}
REDUCED = {
    "precision": "bfloat16",
    "difference": 0.004,
    "n": 2,
    "agreement": 1.0,
    "accuracy_lost": 0.0,
}


def test_what_export_wrote_is_published_too(onnx_folder):
    files = hub_upload.model_files(onnx_folder, "user/name", without_results=True)
    names = {"onnx/model.onnx", "onnx/model_quantized.onnx", "onnx.json", "model.safetensors"}
    assert names < set(files)
    assert hub_upload.left_out(onnx_folder, files) == []
    assert "float32 scores within" in files["README.md"].decode()


STRAY = ["notes.txt", "predictions.csv", ".env", "optimizer.bin", "token.json", "a.safetensors"]
STRAY += ["model.onnx", "onnx/other.onnx", "training_args.bin", "pytorch_model.bin"]


def test_what_else_lies_there_is_not_published_and_is_named(model_folder, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    (folder / "checkpoints").mkdir()
    (folder / "onnx").mkdir()
    for name in ("README.md", *STRAY):
        (folder / name).write_text("private")
    files = hub_upload.model_files(folder, "user/name")
    assert not set(STRAY) & set(files)
    assert b"private" not in files["README.md"]
    assert hub_upload.left_out(folder, files) == sorted(["checkpoints", *STRAY])


def test_the_encoders_licence_and_a_processors_file_come_along(model_folder, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    (folder / "LICENSE").write_text("MIT License")
    (folder / "processor_config.json").write_text('{"processor_class": "X"}')
    files = hub_upload.model_files(folder, "user/name")
    assert files["LICENSE"] == folder / "LICENSE"
    assert files["processor_config.json"] == folder / "processor_config.json"


def test_the_shards_of_a_large_model_are_published_with_their_index(model_folder, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "model-00001-of-00001.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00001.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    files = set(hub_upload.model_files(folder, "user/name"))
    assert {"model.safetensors.index.json", "model-00001-of-00001.safetensors"} < files


@pytest.mark.parametrize("name", ["LICENSE", "training.json", "model.safetensors", "config.json"])
def test_a_link_out_of_the_folder_is_not_followed(model_folder, tmp_path, name):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    secret = tmp_path / "secret"
    secret.write_bytes((folder / name).read_bytes() if (folder / name).exists() else b"private")
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(secret)
    with pytest.raises(ModelError) as error:
        hub_upload.model_files(folder, "user/name")
    assert error.value.name == str(folder / name)
    assert error.value.problem == "is a link to a file outside of the folder"


def test_a_link_inside_the_folder_is_followed(model_folder, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "blob")
    (folder / "model.safetensors").symlink_to("blob")
    files = hub_upload.model_files(folder, "user/name")
    assert files["model.safetensors"] == folder / "model.safetensors"


def test_no_folder_is_not_looked_for_on_the_hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match="there is no such folder; name one that holds the model"):
        hub_upload.model_files(Path("user/name"), "user/name")


@pytest.mark.parametrize("name", ["model.onnx", "model_quantized.onnx"])
def test_an_onnx_file_that_export_did_not_write_is_not_published(onnx_folder, tmp_path, name):
    folder = shutil.copytree(onnx_folder, tmp_path / "model")
    (folder / "onnx" / name).write_bytes(b"foreign")
    with pytest.raises(ModelError, match="is not the file that export wrote"):
        hub_upload.model_files(folder, "user/name", without_results=True)


def test_a_model_without_figures_is_published_on_demand_only(model_folder, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "model")
    (folder / "metrics.json").unlink()
    with pytest.raises(ModelError) as error:
        hub_upload.model_files(folder, "user/name")
    reason = "has no metrics.json; score it with evaluate, or add --without-results"
    assert error.value.reason == reason
    files = hub_upload.model_files(folder, "user/name", without_results=True)
    assert "None were recorded with this model." in files["README.md"].decode()


def test_what_cannot_be_loaded_is_not_published(model_folder, onnx_folder, tmp_path):
    folder = shutil.copytree(model_folder, tmp_path / "weightless")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ModelError, match=r"has no model\.safetensors"):
        hub_upload.model_files(folder, "user/name")
    folder = shutil.copytree(onnx_folder, tmp_path / "stale")
    with (folder / "model.safetensors").open("ab") as file:
        file.write(b"\0")
    with pytest.raises(ModelError, match=r"model\.onnx was made from other weights"):
        hub_upload.model_files(folder, "user/name")


# The files of recordings


@pytest.fixture
def recordings(write_folder, tmp_path) -> Path:
    """A folder with two clips an intent, and something that no table lists."""
    folder = write_folder(tmp_path / "my_calls", 2, seconds=0.05)
    (folder / "clips" / "unlisted.wav").write_bytes(b"private")
    return folder


def test_recordings_come_with_their_table_and_a_card(recordings):
    files = hub_recordings.dataset_files(recordings, MIT).files
    card = files.pop("README.md").decode()
    assert "# my\\_calls\n" in card
    assert "8 recordings, 0.00 hours." in card
    assert "\nlicense: mit\n" in card
    assert "\nlanguage: en\n" in card
    header, *rows = files.pop("metadata.csv").decode().splitlines()
    assert header == "file_name,intent,speaker,split"
    assert rows[0] == "clips/hear_high_0.wav,hear_high,,"
    assert files == {row.split(",")[0]: recordings / row.split(",")[0] for row in rows}
    assert "clips/unlisted.wav" not in files


def test_the_title_is_the_folders_name_wherever_one_stands(recordings, monkeypatch):
    monkeypatch.chdir(recordings)
    assert "# my\\_calls\n" in hub_recordings.dataset_files(Path(".")).files["README.md"].decode()


def test_a_card_of_their_own_is_published_as_it_is(recordings):
    (recordings / "README.md").write_text("# Ours\n")
    files = hub_recordings.dataset_files(recordings).files
    assert files["README.md"] == recordings / "README.md"
    with pytest.raises(UserError) as error:
        hub_recordings.dataset_files(recordings, MIT)
    assert error.value.name == str(recordings / "README.md")
    assert error.value.remedy == "write licence, language and pretty_name there"


def test_recordings_that_cannot_be_trained_on_are_not_published(recordings):
    (recordings / "clips" / "hear_low_0.wav").unlink()
    with pytest.raises(DataError, match="there is no such file"):
        hub_recordings.dataset_files(recordings)


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        (".env", b"TOKEN=hf_secret", "is a hidden file"),
        ("notes.txt", b"private", ""),
        ("clips/fake.wav", b"private", ""),
        ("clips/linked.wav", None, "is a link that leaves the folder"),
        ("elsewhere/clip.wav", None, "is a link that leaves the folder"),
    ],
)
def test_only_audio_inside_the_folder_is_published(recordings, tmp_path, name, content, problem):
    clip = tmp_path / "outside" / "clip.wav"
    clip.parent.mkdir()
    shutil.copy(recordings / "clips" / "hear_low_0.wav", clip)
    if content is not None:
        (recordings / name).write_bytes(content)
    elif name.startswith("elsewhere"):
        (recordings / "elsewhere").symlink_to(clip.parent)
    else:
        (recordings / name).symlink_to(clip)
    with (recordings / "metadata.csv").open("a") as table:
        table.write(f"{name},hear_low\n")
    with pytest.raises(DataError) as error:
        hub_recordings.dataset_files(recordings)
    (found,) = error.value.problems
    assert name in found
    assert problem in found


def test_a_card_from_elsewhere_is_not_published(recordings, tmp_path):
    (tmp_path / "secret").write_text("private")
    (recordings / "README.md").symlink_to(tmp_path / "secret")
    with pytest.raises(UserError, match="is a link to a file outside of the folder"):
        hub_recordings.dataset_files(recordings)


def test_what_is_said_beside_the_recordings_stands_in_their_card(recordings):
    beside = Terms("cc-by-nc-4.0", ("de",), "My *calls*", "They agreed.")
    found = hub_recordings.dataset_files(recordings, beside=beside)
    card = found.files["README.md"].decode()
    assert "\nlicense: cc-by-nc-4.0\n" in card
    assert "\npretty_name: My *calls*\n" in card
    assert "\n# My \\*calls\\*\n" in card
    assert "\nThey agreed.\n" in card
    assert found.unsaid == ""
    with pytest.raises(UserError, match=r"is under cc-by-nc-4\.0, which forbids commercial use"):
        hub_recordings.dataset_files(recordings, MIT, beside)


@pytest.mark.parametrize("front", ["license: apache-2.0", "language: en"])
def test_a_card_of_their_own_does_not_allow_what_is_forbidden_beside_it(recordings, front):
    (recordings / "README.md").write_text(f"---\n{front}\n---\n")
    with pytest.raises(UserError, match=r"README\.md: names .*, and dataset\.toml cc-by-nc-4\.0"):
        hub_recordings.dataset_files(recordings, beside=Terms("cc-by-nc-4.0"))


def test_of_other_columns_a_local_path_keeps_its_last_part_alone(recordings):
    table = pd.read_csv(recordings / "metadata.csv", dtype=str)
    table["text"] = "/ is a slash"
    table["origin"] = ["/home/ann/a.wav", r"C:\Users\ann\b.wav", "~/c.wav", "../d.wav"] * 2
    table["note"] = "and/or"
    table.to_csv(recordings / "metadata.csv", index=False)
    text = hub_recordings.dataset_files(recordings).files["metadata.csv"].decode()
    rows = [row.split(",") for row in text.splitlines()]
    origin, note, said = (rows[0].index(name) for name in ("origin", "note", "text"))
    assert [row[origin] for row in rows[1:5]] == ["a.wav", "b.wav", "c.wav", "d.wav"]
    assert {row[note] for row in rows[1:]} == {"and/or"}
    assert {row[said] for row in rows[1:]} == {"/ is a slash"}


# To look at


def test_what_would_be_uploaded_is_written(tmp_path):
    (tmp_path / "weights").write_bytes(b"w")
    files = {"README.md": b"# Mine\n", "clips/a.wav": tmp_path / "weights"}
    folder = tmp_path / "look" / "here"
    hub_upload.write(files, folder)
    written = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert written == {"README.md": b"# Mine\n", "a.wav": b"w"}
    with pytest.raises(OutputError, match="is not empty; choose another folder"):
        hub_upload.write(files, folder)


# On the way


def test_files_arrive_whole_in_one_commit(hub, tmp_path):
    (tmp_path / "weights").write_bytes(bytes(range(256)))
    files = {"README.md": b"# Mine\n", "model.safetensors": tmp_path / "weights"}
    address = hub_upload.upload("tester/upload", files, "model")
    assert address == f"{hub}/tester/upload"
    folder = Path(snapshot_download("tester/upload", local_dir=tmp_path / "back"))
    assert (folder / "README.md").read_bytes() == b"# Mine\n"
    assert (folder / "model.safetensors").read_bytes() == bytes(range(256))
    info = HfApi().model_info("tester/upload")
    assert not info.private
    titles = [commit.title for commit in HfApi().list_repo_commits("tester/upload")]
    assert titles == ["Publish with speech_intent", "initial commit"]


def test_a_repository_may_be_its_owners_alone(hub):
    hub_upload.upload("tester/private", {"README.md": b"# Mine\n"}, "model", private=True)
    assert HfApi().model_info("tester/private").private


def test_recordings_come_back_as_they_were(hub, tone_folder, tmp_path):
    files = hub_recordings.dataset_files(tone_folder).files
    address = hub_upload.upload("tester/tones", files, "dataset")
    assert address == f"{hub}/datasets/tester/tones"
    snapshot_download("tester/tones", repo_type="dataset", local_dir=tmp_path)
    table = folders.read_table(tmp_path)
    pd.testing.assert_frame_equal(table, folders.read_table(tone_folder))
    for name in table["file_name"]:
        assert (tmp_path / name).read_bytes() == (tone_folder / name).read_bytes()


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ("", "there is no token; log in with `hf auth login`, or set HF_TOKEN"),
        ("hf_wrong", "the Hub does not know this token; correct or unset HF_TOKEN"),
    ],
)
def test_without_the_right_token_nothing_is_written(hub, monkeypatch, token, reason):
    monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(UserError) as error:
        hub_upload.upload("tester/refused", {"README.md": b""}, "model")
    assert str(error.value) == f"tester/refused: {reason}"
    monkeypatch.setenv("HF_TOKEN", hub_client.TOKEN)
    assert not HfApi().repo_exists("tester/refused")


def test_without_a_connection_it_says_so(monkeypatch):
    hub_client.visit(monkeypatch, hub_client.NOBODY)
    words = r"^tester/far: the Hub cannot be reached \(.+\); run it again once the Hub answers$"
    with pytest.raises(UserError, match=words):
        hub_upload.upload("tester/far", {"README.md": b""}, "model")


def failing(error: Exception):
    def create_repo(*args, **kwargs):
        raise error

    return create_repo


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (
            TimeoutError(),
            "the Hub cannot be reached: it gives no answer in time; "
            "run it again once the Hub answers",
        ),
        (OSError("  \n\n"), "the upload failed (OSError); run it again"),
        (OSError("broken\npipe"), "the upload failed (broken); run it again"),
        (
            HfHubHTTPError(
                "Forbidden: hf_secret",
                response=httpx.Response(403, request=httpx.Request("POST", hub_client.NOBODY)),
            ),
            "this token has no right to write there; "
            "use a name of your own, or a token that writes",
        ),
    ],
    ids=["no words", "blanks", "lines", "403"],
)
def test_an_error_is_said_in_one_line(hub, monkeypatch, error, reason):
    monkeypatch.setattr(HfApi, "create_repo", failing(error))
    with pytest.raises(UserError) as raised:
        hub_upload.upload("user/name", {"README.md": b""}, "model")
    assert str(raised.value) == f"user/name: {reason}"
    assert raised.value.__cause__ is error


class Cutter(threading.Thread):
    """A way to the Hub that breaks off a connection over which more than `limit` bytes are sent.

    The first one alone.
    """

    def __init__(self, address: str, limit: int):
        super().__init__(daemon=True)
        self.port = int(address.rsplit(":", 1)[1])
        self.limit = limit
        self.n_cuts = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.listener.getsockname()[1]}"

    def run(self):
        while True:
            client, _ = self.listener.accept()
            server = socket.create_connection(("127.0.0.1", self.port))
            for arguments in ((client, server, True), (server, client, False)):
                threading.Thread(target=self.forward, args=arguments, daemon=True).start()

    def forward(self, source: socket.socket, target: socket.socket, is_upload: bool):
        n_bytes = 0
        with contextlib.suppress(OSError):
            while data := source.recv(4096):
                n_bytes += len(data)
                if is_upload and self.n_cuts == 0 and n_bytes > self.limit:
                    self.n_cuts += 1
                    source.close()
                    break
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_RDWR)


def test_an_upload_that_breaks_off_shows_nothing_and_can_be_repeated(
    hub, model_folder, monkeypatch
):
    before = {path.name: path.read_bytes() for path in model_folder.iterdir()}
    files = hub_upload.model_files(model_folder, "tester/broken-off")
    cutter = Cutter(hub, limit=30_000)
    cutter.start()
    hub_client.visit(monkeypatch, cutter.address)
    arrived = True
    try:
        hub_upload.upload("tester/broken-off", files, "model")  # its own second try may do
    except UserError as error:
        arrived = False
        assert error.remedy.startswith("run it again")
    assert cutter.n_cuts == 1
    hub_client.visit(monkeypatch)
    if not arrived:
        assert "config.json" not in HfApi().list_repo_files("tester/broken-off")
    hub_upload.upload("tester/broken-off", files, "model")
    assert set(files) <= set(HfApi().list_repo_files("tester/broken-off"))
    assert {path.name: path.read_bytes() for path in model_folder.iterdir()} == before


def test_the_metadata_are_such_as_the_hub_takes(hub, model_folder):
    """The Hub checks a card before it takes a commit."""
    files = hub_upload.model_files(model_folder, "tester/carded", read_facts(model_folder, MIT))
    hub_upload.upload("tester/carded", files, "model")
    data = HfApi().model_info("tester/carded").card_data
    assert (data.license, data.language) == ("mit", "en")
    accuracy = json.loads((model_folder / "metrics.json").read_text())["accuracy"]
    assert data.eval_results[0].metric_value == accuracy
