"""One connection of benchmarks/load_test.py, which starts as many as it is told by `locust -f`.

It sends clip after clip, checks each answer, and stays away as long as a 503 asks it to.
"""

import json
import os
import pickle
import random
import time
from pathlib import Path
from typing import Any

import gevent
from locust import FastHttpUser, constant, events, task

WORK = Path(os.environ["LOAD_TEST_FOLDER"])
# A pair for each clip: the body, and the score of each label.
REQUESTS = pickle.loads((WORK / "requests.pickle").read_bytes())
PATH = os.environ["LOAD_TEST_PATH"]
HEADERS = {"Content-Type": "multipart/form-data; boundary=clip"}
TOLERANCE = 1e-4  # of a score
PATIENCE = 600.0  # seconds; waiting is measured, not an error

answered: list[tuple[float, float, str]] = []  # when, after how many seconds, what kind
complete: list[float] = []  # when the last connection was there


class Connection(FastHttpUser):
    """Sends the next clip as soon as there is an answer."""

    wait_time = constant(0)
    connection_timeout = PATIENCE
    network_timeout = PATIENCE
    insecure = False

    @task
    def predict(self) -> None:
        """Send a clip and note what comes back."""
        body, expected = random.choice(REQUESTS)
        began = time.perf_counter()
        sent = self.client.post(PATH, data=body, headers=HEADERS, catch_response=True)
        with sent as response:
            ended = time.perf_counter()
            response.success()
            kind = kind_of(response, expected)
            pause = 0.0
            if response.status_code == 503:
                pause = float(response.headers.get("Retry-After", 0))
        answered.append((ended, ended - began, kind))
        gevent.sleep(pause * random.uniform(1.0, 1.5))


def kind_of(response: Any, expected: dict[str, float]) -> str:
    """Name what came back: the status, the error, or that the answer is another."""
    if not response.status_code:
        return type(response.error).__name__
    if response.status_code == 200 and not same(json.loads(response.content), expected):
        return "200, another answer"
    return str(response.status_code)


def same(answer: dict[str, Any] | list[dict[str, Any]], expected: dict[str, float]) -> bool:
    """Compare an answer with the predictor's own: the same labels with the same scores."""
    entries = answer["scores"] if isinstance(answer, dict) else answer
    scores = {entry["label"]: entry["score"] for entry in entries}
    if scores.keys() != expected.keys():
        return False
    return all(abs(scores[label] - expected[label]) <= TOLERANCE for label in scores)


@events.spawning_complete.add_listener
def note_the_start(**_: Any) -> None:
    """Measure from here on."""
    complete.append(time.perf_counter())


@events.quitting.add_listener
def write(**_: Any) -> None:
    """Leave behind what was measured."""
    record = {"began": complete[0], "answered": answered}
    (WORK / "answered.json").write_text(json.dumps(record), encoding="utf-8")
