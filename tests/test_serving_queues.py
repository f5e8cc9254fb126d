import asyncio
import io
import threading
from types import SimpleNamespace

import pytest
import soundfile
from serving_tools import Gated

from speech_intent.serving import queues
from speech_intent.serving.answers import Answer, Clip
from speech_intent.serving.queues import Threads, n_cores, tone


async def here() -> bool:
    return False


async def left() -> bool:
    return True


def test_an_answer_is_the_models():
    model = Gated()
    threads = Threads(model, 1.0, n_threads=1)
    answer = asyncio.run(threads.answer(Clip("a", b""), here))
    assert answer == Answer(200, {"file": "a"}, 2.5)
    assert model.names == ["warm-up", "warm-up", "a"]
    assert asyncio.run(threads.about()) == {"status": "ok"}


def test_the_model_is_warmed_up_with_three_seconds_of_a_tone():
    waveform, rate = soundfile.read(io.BytesIO(tone()))
    assert (waveform.shape, rate) == ((48_000,), 16_000)
    assert abs(waveform).max() == pytest.approx(0.1, abs=1e-3)


def test_a_clip_costs_its_time_shared_by_the_threads(monkeypatch):
    times = iter([100.0, 102.0, 110.0, 114.0])  # one warm-up takes 2 s, the other 4 s
    monkeypatch.setattr(queues, "time", SimpleNamespace(perf_counter=times.__next__))
    threads = Threads(Gated(), 1.0, n_threads=2)
    assert threads.places.cost == pytest.approx(1.05)  # 1 s, and 5 % of the way to 2 s


def test_who_left_while_waiting_is_not_computed_for():
    model = Gated()

    async def run() -> list[Answer]:
        threads = Threads(model, 1.0, n_threads=1)
        model.gate.clear()
        calls = [
            asyncio.create_task(threads.answer(Clip(name, b""), gone))
            for name, gone in [("runs", here), ("ready", here), ("left", left), ("waits", here)]
        ]
        while "runs" not in model.names:
            await asyncio.sleep(0.01)
        model.gate.set()
        return await asyncio.gather(*calls)

    answers = asyncio.run(asyncio.wait_for(run(), 20))
    assert [answer.status for answer in answers] == [200, 200, 499, 200]
    assert model.names[2:] == ["runs", "ready", "waits"]


def test_two_clips_a_thread_are_taken_and_the_others_wait_for_their_turn():
    model = Gated()
    asked = []

    async def run() -> None:
        threads = Threads(model, 1.0, n_threads=2)
        model.gate.clear()

        async def answer(i: int) -> None:
            async def gone() -> bool:
                asked.append(i)
                return False

            await threads.answer(Clip(str(i), b""), gone)

        calls = [asyncio.create_task(answer(i)) for i in range(6)]
        while len(model.names) < 2 + 2:
            await asyncio.sleep(0.01)
        assert asked == [0, 1, 2, 3]  # two run, two are ready
        assert sorted(model.names[2:]) == ["0", "1"]
        model.gate.set()
        await asyncio.gather(*calls)

    asyncio.run(asyncio.wait_for(run(), 20))
    assert asked == [0, 1, 2, 3, 4, 5]


def test_a_thread_answers_beside_the_event_loop():
    seen = []

    class Noting(Gated):
        def answer(self, clip: Clip) -> Answer:
            seen.append(threading.current_thread() is threading.main_thread())
            return super().answer(clip)

    threads = Threads(Noting(), 1.0)
    asyncio.run(threads.answer(Clip("a", b""), here))
    assert seen == [True, True, False]
    assert threads.n_threads == n_cores() >= 1
