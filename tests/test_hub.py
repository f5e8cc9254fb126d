import http.server
import shutil
import socket
import threading
import time

import huggingface_hub.constants
import pytest

from speech_intent import hub
from speech_intent.hub import HubUnreachable, ModelError

ID = "someone/some-model"


@pytest.fixture
def online(monkeypatch):
    """Let huggingface_hub ask an address of this machine."""

    def at(port: int) -> None:
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{port}")

    return at


@pytest.fixture
def black_hole(online):
    """A server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        online(server.getsockname()[1])
        yield


@pytest.fixture
def answering(online):
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

        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        threading.Thread(target=servers[0].serve_forever, daemon=True).start()
        online(servers[0].server_port)

    yield start
    servers[0].shutdown()
    servers[0].server_close()


@pytest.fixture
def cached(model_folder, tmp_path, monkeypatch):
    """A cache of huggingface_hub that holds the tiny model as `ID`."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / f"models--{ID.replace('/', '--')}"
    shutil.copytree(model_folder, repository / "snapshots" / "0123")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0123")
    return repository / "snapshots" / "0123"


def refusal(name, kind=ModelError) -> str:
    with pytest.raises(ModelError) as error:
        hub.model_folder(name)
    assert type(error.value) is kind
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"{name}: ")
    return str(error.value).removeprefix(f"{name}: ")


def test_a_local_folder_is_used_as_it_is(model_folder):
    assert hub.model_folder(model_folder) == hub.model_folder(str(model_folder)) == model_folder


def test_without_network_a_hub_id_is_out_of_reach():
    reason = refusal(ID, HubUnreachable)
    assert reason.startswith("the Hub cannot be reached (")
    assert reason.endswith("connect, or name a local model")


def test_without_network_a_cached_model_answers(cached):
    assert hub.model_folder(ID) == cached


def test_without_network_a_half_downloaded_model_is_out_of_reach(cached):
    (cached / "model.safetensors").unlink()
    assert refusal(ID, HubUnreachable).startswith("the Hub cannot be reached (")


def test_a_hub_that_refuses_connections_is_out_of_reach(online):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    online(port)  # nobody listens there any more
    assert refusal(ID, HubUnreachable).startswith("the Hub cannot be reached (")


def test_a_hub_that_never_answers_is_given_up(black_hole, monkeypatch):
    assert hub.REACH_SECONDS < 9  # of the ten that a user waits
    monkeypatch.setattr(hub, "REACH_SECONDS", 0.5)
    began = time.monotonic()
    assert refusal(ID, HubUnreachable).startswith("the Hub cannot be reached (")
    assert time.monotonic() - began < 1.5


def test_a_name_server_that_never_answers_is_given_up(online, monkeypatch):
    never = threading.Event()
    online(1)
    monkeypatch.setattr(hub, "REACH_SECONDS", 0.2)
    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *args, **kwargs: never.wait(5))
    began = time.monotonic()
    assert "no answer within" in refusal(ID, HubUnreachable)
    never.set()
    assert time.monotonic() - began < 1.5


def test_a_hub_that_never_answers_lets_a_cached_model_answer(black_hole, cached, monkeypatch):
    monkeypatch.setattr(hub, "REACH_SECONDS", 0.5)
    assert hub.model_folder(ID) == cached


@pytest.mark.parametrize(
    ("status", "code", "kind", "words"),
    [
        (404, "RepoNotFound", ModelError, "is not on the Hub, or is private"),
        (401, "RepoNotFound", ModelError, "log in with `hf auth login`"),
        (403, "GatedRepo", ModelError, "its owner must grant access"),
        (500, "", HubUnreachable, "the Hub cannot be reached ("),
    ],
)
def test_what_the_hub_answers_is_said_in_one_line(answering, status, code, kind, words):
    answering(status, code)
    assert words in refusal(ID, kind)


@pytest.mark.parametrize("name", ["./gone", "/gone/too", "~/gone", "a/b/c"])
def test_a_path_is_not_taken_for_a_hub_id(name):
    assert refusal(name) == "there is no such folder; check the path"


@pytest.mark.parametrize("name", ["two words", "a" * 300, "é"])
def test_a_name_that_is_neither(name):
    assert refusal(name) == "is neither a folder nor a Hub id; check the spelling"
