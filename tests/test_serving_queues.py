import asyncio
import functools
import io
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import soundfile
from serving_tools import Gated, workers_of

from speech_intent.errors import ModelError
from speech_intent.serving import worker
from speech_intent.serving.answers import Answer, Clip
from speech_intent.serving.queues import Workers, n_cores, tone
from speech_intent.serving.settings import Settings
from speech_intent.serving.work import DECODED, OVERHEAD, Estimate

SIZE = Estimate(3.0, 0.0)


async def here() -> bool:
    return False


async def left() -> bool:
    return True


def test_an_answer_is_the_models():
    model = Gated()
    workers = workers_of(model, 1.0, 1)
    answer = asyncio.run(workers.answer(Clip("a", b""), SIZE, here))
    assert answer == Answer(200, {"file": "a"}, 2.5)
    assert model.names == ["warm-up", "warm-up", "a"]
    assert asyncio.run(workers.about()) == {"status": "ok"}


def test_the_model_is_warmed_up_with_three_seconds_of_a_tone():
    waveform, rate = soundfile.read(io.BytesIO(tone()))
    assert (waveform.shape, rate) == ((48_000,), 16_000)
    assert abs(waveform).max() == pytest.approx(0.1, abs=1e-3)


class Timed(Gated):
    """Takes 9 s for each worker's first clip, and 4 s for any other, for the 3 s that it has."""

    def answer(self, clip: Clip, limit: float = 0.0) -> Answer:
        self.names.append(clip.name)
        return Answer(200, {}, seconds=3.0, took=9.0 if len(self.names) <= 2 else 4.0)


def test_work_costs_its_time_shared_by_the_workers():
    workers = workers_of(Timed(), 1.0, 2)
    work = OVERHEAD + 3.0 * (1 + 16_000 / DECODED)
    assert workers.places.cost == pytest.approx(4.0 / 2 / work)
    assert workers.places.usual == pytest.approx(work)


def test_a_clip_without_an_answer_teaches_nothing():
    class Failing(Timed):
        def answer(self, clip: Clip, limit: float = 0.0) -> Answer:
            return Answer(422, {}, seconds=0.0, took=9.0)

    assert workers_of(Failing(), 1.0, 1).places.cost == 0.0


def test_a_worker_is_told_how_much_is_heard_at_most():
    limits = []

    class Noting(Gated):
        def answer(self, clip: Clip, limit: float = 0.0) -> Answer:
            limits.append(limit)
            return super().answer(clip, limit)

    workers = workers_of(Noting(), 1.0, 1)
    asyncio.run(workers.answer(Clip("a", b""), SIZE, here))
    assert limits[-1] == 3.0


def test_who_left_while_waiting_is_not_computed_for():
    model = Gated()

    async def run() -> list[Answer]:
        workers = workers_of(model, 1.0, 1)
        model.gate.clear()
        calls = [
            asyncio.create_task(workers.answer(Clip(name, b""), SIZE, gone))
            for name, gone in [("runs", here), ("ready", here), ("left", left), ("waits", here)]
        ]
        while "runs" not in model.names:
            await asyncio.sleep(0.01)
        model.gate.set()
        return await asyncio.gather(*calls)

    answers = asyncio.run(asyncio.wait_for(run(), 20))
    assert [answer.status for answer in answers] == [200, 200, 499, 200]
    assert model.names[2:] == ["runs", "ready", "waits"]


def test_two_clips_a_worker_are_taken_and_the_others_wait_for_their_turn():
    model = Gated()
    asked = []

    async def run() -> None:
        workers = workers_of(model, 1.0, 2)
        n_warm_up = len(model.names)
        model.gate.clear()

        async def answer(i: int) -> None:
            async def gone() -> bool:
                asked.append(i)
                return False

            await workers.answer(Clip(str(i), b""), SIZE, gone)

        calls = [asyncio.create_task(answer(i)) for i in range(6)]
        while len(model.names) < n_warm_up + 2:
            await asyncio.sleep(0.01)
        assert asked == [0, 1, 2, 3]  # two run, two are ready
        assert sorted(model.names[n_warm_up:]) == ["0", "1"]
        model.gate.set()
        await asyncio.gather(*calls)

    asyncio.run(asyncio.wait_for(run(), 20))
    assert asked == [0, 1, 2, 3, 4, 5]


def test_a_worker_answers_beside_the_event_loop():
    seen = []

    class Noting(Gated):
        def answer(self, clip: Clip, limit: float = 0.0) -> Answer:
            seen.append(threading.current_thread() is threading.main_thread())
            return super().answer(clip, limit)

    workers = workers_of(Noting(), 1.0, 1)
    asyncio.run(workers.answer(Clip("a", b""), SIZE, here))
    assert seen == [False, False, False]
    assert n_cores() >= 1


def _about() -> dict:
    return {"status": "ok"}


def _end(clip: Clip, limit: float) -> Answer:
    """End the process, as a crash does, at clips of this name."""
    if clip.name == "crash":
        os.kill(os.getpid(), signal.SIGKILL)
    return Answer(200, {"file": clip.name}, 1.0, 0.01)


def test_a_clip_that_ends_its_process_ends_no_other_and_the_server_goes_on():
    workers = Workers(worker.process, _about, _end, 1.0, 1)

    async def run() -> list[Answer]:
        names = ["a", "crash", "b"]
        return [await workers.answer(Clip(name, b""), SIZE, here) for name in names]

    try:
        answers = asyncio.run(run())
    finally:
        workers.close()
    assert [answer.status for answer in answers] == [200, 500, 200]
    assert answers[1].body["detail"].startswith("crash: ended its process, twice, while ")
    assert workers.n_lost == 2


def test_a_model_that_cannot_be_loaded_is_named(tmp_path):
    settings = Settings(model=str(tmp_path / "gone"))
    load = functools.partial(worker.load, settings)
    with pytest.raises(ModelError, match="gone: there is no such folder; check the path"):
        Workers(worker.process, load, worker.answer, 1.0, 1)


def test_a_process_answers_as_its_responder_does(model_folder, classifier, tone):
    from serving_tools import encoded

    settings = Settings(model=str(model_folder))
    workers = Workers.in_processes(settings)
    try:
        answer = asyncio.run(workers.answer(Clip("a", encoded(tone(500))), SIZE, here))
    finally:
        workers.close()
    assert answer.body["label"] == classifier.predict(encoded(tone(500))).label
    assert 0 < answer.took < 10
    assert workers.places.cost > 0
    assert len(workers._executors) == n_cores()


def test_workers_that_are_closed_are_gone():
    started = []

    def start() -> ThreadPoolExecutor:
        started.append(ThreadPoolExecutor(1))
        return started[-1]

    workers = Workers(start, _about, _end, 1.0, 2)
    workers.close()
    for executor in started:
        with pytest.raises(RuntimeError, match="shutdown"):
            executor.submit(_about)
