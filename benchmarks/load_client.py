"""One connection of benchmarks/load_test.py, which starts as many as it is told by `locust -f`.

It sends clip after clip, checks each answer, and stays away as long as a 503 asks it to.
"""

import json
import os
import pickle
import random
import time
from pathlib import Path

import gevent
from locust import FastHttpUser, constant, events, task

WORK = Path(os.environ["LOAD_TEST_FOLDER"])
REQUESTS = pickle.loads((WORK / "requests.pickle").read_bytes())  # (body, score of each label) of each clip
PATH = os.environ["LOAD_TEST_PATH"]
HEADERS = {"Content-Type": "multipart/form-data; boundary=clip"}
TOLERANCE = 1e-4  # of a score

answered: list[tuple[float, float, str]] = []  # when, after how many seconds, how
everyone: list[float] = []  # when the last connection was there


class Connection(FastHttpUser):
    """Sends the next clip as soon as there is an answer."""

    wait_time = constant(0)
    connection_timeout = network_timeout = 600.0  # seconds; waiting is measured, not an error
    insecure = False

    @task
    def predict(self) -> None:
        """Send a clip and note what comes back."""
        body, expected = random.choice(REQUESTS)
        began = time.perf_counter()
        with self.client.post(PATH, data=body, headers=HEADERS, catch_response=True) as response:
            ended = time.perf_counter()
            response.success()
            kind = str(response.status_code) if response.status_code else f"{type(response.error).__name__}"
            if response.status_code == 200 and not same(json.loads(response.content), expected):
                kind = "200, another answer"
            pause = float(response.headers.get("Retry-After", 0)) if response.status_code == 503 else 0.0
        answered.append((ended, ended - began, kind))
        gevent.sleep(pause * random.uniform(1.0, 1.5))


def same(answer: dict | list, expected: dict[str, float]) -> bool:
    """Compare an answer with the predictor's own: the same labels with the same scores."""
    scores = answer["scores"] if isinstance(answer, dict) else answer
    found = {entry["label"]: entry["score"] for entry in scores}
    return found.keys() == expected.keys() and all(abs(found[k] - expected[k]) <= TOLERANCE for k in found)


@events.spawning_complete.add_listener
def note_the_start(**_) -> None:
    """Measure from here on."""
    everyone.append(time.perf_counter())


@events.quitting.add_listener
def write(**_) -> None:
    """Leave behind what was measured."""
    (WORK / "answered.json").write_text(json.dumps({"began": everyone[0], "answered": answered}))
