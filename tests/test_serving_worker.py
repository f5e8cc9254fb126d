import os
import signal
import subprocess
import sys
import time

from conftest import TONES
from serving_tools import encoded

from speech_intent.serving import worker
from speech_intent.serving.answers import Clip
from speech_intent.serving.settings import Settings


def test_a_worker_loads_its_model_and_measures_its_answers(model_folder, tone):
    executor = worker.process()
    try:
        about = executor.submit(worker.load, Settings(model=str(model_folder))).result()
        clip = Clip("a.wav", encoded(tone(TONES["hear_low"])))
        answer = executor.submit(worker.answer, clip, 60.0).result()
    finally:
        executor.shutdown()
    assert about["model"] == str(model_folder)
    assert (answer.status, answer.body["label"]) == (200, "hear_low")
    assert 0 < answer.took < 10


def test_a_signal_to_all_processes_of_a_service_leaves_the_worker_to_its_server():
    executor = worker.process()
    try:
        pid = executor.submit(os.getpid).result()
        for name in (signal.SIGINT, signal.SIGTERM):
            os.kill(pid, name)
        assert executor.submit(os.getpid).result() == pid
    finally:
        executor.shutdown()


PROGRAM = """
import os
from speech_intent.serving import worker
if __name__ == "__main__":
    print(worker.process().submit(os.getpid).result(), flush=True)
    input()
"""


def test_a_worker_ends_with_a_server_that_is_killed(tmp_path):
    program = tmp_path / "server.py"
    program.write_text(PROGRAM, encoding="utf-8")
    server = subprocess.Popen(
        [sys.executable, program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    pid = int(server.stdout.readline())
    server.kill()
    server.communicate()
    end = time.monotonic() + 20
    while time.monotonic() < end and is_running(pid):
        time.sleep(0.05)
    assert not is_running(pid)


def is_running(pid: int) -> bool:
    """Whether a process is there and is more than an entry that nobody has read."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
