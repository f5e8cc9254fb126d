"""serve.py on Ray Serve, on two nodes simulated on this machine: `make test-cluster`."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx2
import psutil
import pytest
import soundfile
from conftest import TONES

from speech_intent.paths import ROOT

RATE = 16_000


@pytest.fixture(scope="module")
def cluster(model_folder):
    """Two nodes of one core each, with Serve's HTTP on one of them.

    Gives the environment for commands, and the URL.
    """
    scratch = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # paths of sockets must be short
    # jsonschema imports this if it is there: seconds, in each of Ray's dozen processes, of which
    # one must be up within 15 s.
    Path(scratch, "rfc3987_syntax.py").write_text("raise ImportError\n")
    paths = [scratch, str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]
    names = {
        "RAY_TMPDIR": scratch,
        "RAY_AUTH_MODE": "disabled",
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        "SPEECH_INTENT_MODEL": str(model_folder),
        "SPEECH_INTENT_MAX_MEGABYTES": "2",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in names.items():
            patch.setenv(name, value)
        import ray
        from ray import serve
        from ray.cluster_utils import Cluster

        nodes = Cluster()
        for _ in range(2):
            nodes.add_node(num_cpus=1, object_store_memory=100 * 1024**2, include_dashboard=False)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        ray.init(address=nodes.address, log_to_driver=False, configure_logging=False)
        serve.start(http_options={"port": port, "location": "HeadOnly"})
        yield os.environ | {"RAY_ADDRESS": nodes.address}, f"http://127.0.0.1:{port}"
        serve.shutdown()
        ray.shutdown()
        nodes.shutdown()
    shutil.rmtree(scratch, ignore_errors=True)


@pytest.fixture(scope="module")
def url(cluster):
    """`serve run serve:cluster`, with a model on each node."""
    environment, url = cluster
    program = str(Path(sys.executable).parent / "serve")
    command = [program, "run", "--non-blocking", "serve:cluster"]
    command += ["min_replicas=2", "max_replicas=2"]
    subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=180)
    return url


def replicas() -> list[psutil.Process]:
    """Find the processes of the model."""
    name = "ray::ServeReplica:default:Model"
    processes = psutil.Process().children(recursive=True)
    return [process for process in processes if " ".join(process.cmdline()).startswith(name)]


@pytest.fixture(scope="module")
def clips(tmp_path_factory, tone) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("clips")
    for intent, frequency in TONES.items():
        soundfile.write(folder / f"{intent}.wav", tone(frequency, 50.0, seed=70), RATE)
    return {intent: folder / f"{intent}.wav" for intent in TONES}


@pytest.fixture
def client(url):
    with httpx2.Client(base_url=url, timeout=60, trust_env=False) as client:
        yield client


def test_two_nodes_answer_through_one_endpoint(client, clips, classifier):
    models = replicas()
    assert len(models) == 2
    assert len({process.ppid() for process in models}) == 2  # each is a child of its node's raylet
    served = {process.pid: process.cpu_times().user for process in models}
    for intent, path in list(clips.items()) * 3:
        answer = client.post("/predict", files={"file": (path.name, path.read_bytes())}).json()
        prediction = classifier.predict(path)
        assert (answer["label"], answer["file"]) == (intent, path.name)
        assert answer["seconds"] == prediction.seconds
        scores = {row["label"]: row["score"] for row in answer["scores"]}
        assert scores == pytest.approx(dict(prediction.scores), abs=1e-5)
    assert all(process.cpu_times().user > served[process.pid] for process in models)


def test_errors_are_those_of_one_machine(client, clips):
    assert client.get("/health").json()["labels"] == sorted(TONES)
    assert client.post("/predict", content=b"").status_code == 422
    assert client.post("/predict", content=bytes(2_500_000)).status_code == 413
    assert client.post("/predict", files={"file": (None, "text")}).status_code == 400
    good = clips["hear_low"].read_bytes()
    files = [("files", ("a.wav", good)), ("files", ("b.wav", b"text"))]
    first, second = client.post("/predict/batch", files=files).json()
    assert first["label"] == "hear_low"
    assert second["detail"].startswith("b.wav: is text, not audio")


def lost_calls(client) -> float:
    """Read from /metrics how many calls died with their replica."""
    lines = client.get("/metrics").text.splitlines()
    [line] = [line for line in lines if line.startswith("speech_intent_lost_calls ")]
    return float(line.split()[1])


def test_a_killed_model_costs_no_request(client, clips):
    results = []
    stop = threading.Event()
    items = [(intent, path.read_bytes()) for intent, path in clips.items()]

    def load(i: int) -> None:
        intent, content = items[i % len(items)]
        while not stop.is_set():
            try:
                response = client.post("/predict", content=content)
            except httpx2.HTTPError as error:
                results.append((repr(error), None))
                continue
            results.append((response.status_code, response.json().get("label") == intent))

    threads = [threading.Thread(target=load, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    kills = 0
    lost = 0.0
    while lost == 0 and kills < 5:  # until one dies with a call that it had accepted
        n_before = len(results)
        while len(results) < n_before + 16 or len(replicas()) < 2:  # both are up and at work
            time.sleep(0.1)
        replicas()[0].kill()
        kills += 1
        time.sleep(1.0)
        lost = lost_calls(client)
    stop.set()
    for thread in threads:
        thread.join()
    assert set(results) == {(200, True)}
    assert lost >= 1


class Handle:
    """A deployment handle whose calls end as the list says."""

    def __init__(self, *ends):
        self.ends = list(ends)
        self.answer = self
        self.asked = []

    async def remote(self, clip, limit):
        self.asked.append((clip, limit))
        end = self.ends.pop(0)
        if isinstance(end, Exception):
            raise end
        return end


async def here() -> bool:
    return False


def test_a_lost_call_is_retried_once_and_a_full_queue_is_503():
    from ray.exceptions import ActorDiedError
    from ray.serve.exceptions import BackPressureError

    from speech_intent.serving.answers import Answer, Clip
    from speech_intent.serving.cluster import Replicas
    from speech_intent.serving.places import Busy
    from speech_intent.serving.work import Estimate

    clip = Clip("a", b"")
    good = Answer(200, {}, 1.0)
    lost = ActorDiedError()
    full = BackPressureError(5, 5)

    def run(*ends) -> tuple[Answer, int]:
        replicas = Replicas(Handle(*ends), max_wait=10.0)
        answer = asyncio.run(replicas.answer(clip, Estimate(2.5, 16_000), here))
        assert set(replicas.model.asked) == {(clip, 2.5)}
        return answer, replicas.n_lost

    assert run(good) == (good, 0)
    assert run(lost, good) == (good, 1)
    with pytest.raises(ActorDiedError):
        run(lost, lost, good)
    for ends in [(full,), (lost, full)]:
        with pytest.raises(Busy) as error:
            run(*ends)
        assert error.value.retry_after == 10


def test_ray_data_scores_a_folder(cluster, url, clips, tmp_path, model_folder, classifier):
    from ray import serve

    serve.delete("default")  # its models take the cores
    folder = tmp_path / "folder"
    scores = tmp_path / "scores"
    shutil.copytree(clips["hear_low"].parent, folder)
    (folder / "text.wav").write_text("not audio")
    command = [sys.executable, ROOT / "examples" / "score_many.py", folder]
    command += ["--model", model_folder, "--output-dir", scores]
    subprocess.run(command, env=cluster[0], check=True, timeout=180)
    lines = [line for file in scores.iterdir() for line in file.read_text().splitlines()]
    rows = {Path(row["file"]).stem: row for row in map(json.loads, lines)}
    assert len(lines) == len(rows) == 5
    assert "not audio" in rows.pop("text")["error"]
    columns = "file label guess reason score seconds error"
    for intent, row in rows.items():
        assert list(row) == columns.split()
        assert (row["label"], row["error"]) == (intent, None)
        assert (row["guess"], row["reason"]) == (None, None)
        assert row["score"] == pytest.approx(classifier.predict(clips[intent]).score, abs=1e-5)
