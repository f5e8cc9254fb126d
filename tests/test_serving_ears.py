import asyncio
import contextlib
import os
import signal
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor

import numpy as np
import pytest
from serving_tools import RATE, ears_of

from speech_intent import audio
from speech_intent.intake import Intake
from speech_intent.listening import Listener, Pauses, Request, SpeechBegan
from speech_intent.paths import BUNDLED
from speech_intent.serving import ears as module
from speech_intent.serving.ears import STREAMS_A_CORE, Ears, Full


@pytest.fixture(scope="module")
def pcm() -> bytes:
    """A bundled clip with a second of silence before and after it."""
    speech = audio.load(BUNDLED / "audio" / "test-0001.mp3", RATE)
    silence = np.zeros(RATE, np.float32)
    waveform = np.concatenate([silence, speech, silence])
    return (waveform * 32_767).astype("<i2").tobytes()


@pytest.fixture
def ears():
    ears = ears_of(2)
    yield ears
    ears.close()


async def heard(stream, pcm: bytes, n_bytes: int = 3_201) -> list:
    """Give all events of a stream of PCM, sent in pieces."""
    events = []
    for start in range(0, len(pcm), n_bytes):
        events += await stream.hear(pcm[start : start + n_bytes])
    return events + await stream.finish()


def expected(pcm: bytes, *format: int) -> list:
    intake, listener = Intake(*format), Listener()
    events = [*listener.hear(intake.pcm(pcm)), *listener.hear(intake.finish())]
    return [*events, *listener.finish()]


def assert_same(found: list, wanted: list) -> None:
    assert [type(event) for event in found] == [type(event) for event in wanted]
    for event, other in zip(found, wanted, strict=True):
        assert event.start == other.start
        if isinstance(event, Request):
            assert (event.end, event.heard_until) == (other.end, other.heard_until)
            assert np.allclose(event.waveform, other.waveform, atol=1e-6)


@pytest.mark.parametrize("format", [(16_000, 1), (8_000, 1), (32_000, 2)])
def test_a_stream_is_heard_as_its_listener_hears_it(ears, pcm, format):
    with ears.stream("a", *format, Pauses()) as stream:
        found = asyncio.run(heard(stream, pcm))
    assert_same(found, expected(pcm, *format))


def test_streams_do_not_hear_each_other(ears, pcm):
    later = bytes(RATE) + pcm  # by half a second
    pcms = [pcm, later, bytes(len(pcm)), later]

    async def run() -> list[list]:
        with contextlib.ExitStack() as stack:
            streams = [stack.enter_context(ears.stream("a", RATE, 1, Pauses())) for _ in pcms]
            return await asyncio.gather(*map(heard, streams, pcms))

    found = asyncio.run(run())
    for events, of_stream in zip(found, pcms, strict=True):
        assert_same(events, expected(of_stream, RATE, 1))
    began = [events[0].start for events in found if events]
    assert [type(event) for event in found[0]] == [SpeechBegan, Request]
    assert began == [began[0], pytest.approx(began[0] + 0.5, abs=0.1), began[1]]


def test_a_process_starts_with_its_first_stream_and_hears_no_more_than_the_others():
    started = []

    def start() -> ThreadPoolExecutor:
        started.append(ThreadPoolExecutor(1))
        return started[-1]

    ears = Ears(start, 2)
    assert not started
    with ears.stream("a", RATE, 1, Pauses()) as first:
        assert len(started) == 1
        with (
            ears.stream("a", RATE, 1, Pauses()) as second,
            ears.stream("a", RATE, 1, Pauses()) as third,
        ):
            assert [stream._executor for stream in (first, second)] == started
            assert third._executor is first._executor
            with ears.stream("a", RATE, 1, Pauses()) as fourth:
                assert fourth._executor is second._executor
    assert ears.n_streams == 0
    ears.close()
    for executor in started:
        with pytest.raises(RuntimeError, match="shutdown"):
            executor.submit(int)


def test_nothing_is_kept_of_a_stream_that_has_ended(ears, pcm):
    before = set(module._heard)
    with ears.stream("a", RATE, 1, Pauses()) as stream:
        asyncio.run(stream.hear(pcm[:3_200]))
        assert len(module._heard) == len(before) + 1
    stream._executor.submit(int).result()  # after all that came before
    assert set(module._heard) == before
    assert not ears._n_of


def open_all(ears: Ears, stack: contextlib.ExitStack, address: str) -> int:
    """Open streams of an address until no more are let in; give how many were."""
    n = 0
    with contextlib.suppress(Full):
        while True:
            stack.enter_context(ears.stream(address, RATE, 1, Pauses()))
            n += 1
    return n


@pytest.mark.parametrize(
    ("n_ears", "of_each"),
    [(1, [30, 0, 0]), (2, [50, 10, 0]), (3, [50, 40, 0]), (4, [60, 60, 0])],
)
def test_streams_are_limited_in_all_and_of_one_address(monkeypatch, n_ears, of_each):
    monkeypatch.setattr(module, "begin", lambda *_: None)
    ears = ears_of(n_ears)
    for _ in range(2):  # places come back
        with contextlib.ExitStack() as stack:
            assert [open_all(ears, stack, name) for name in "abc"] == of_each
            assert ears.n_streams == sum(of_each) == STREAMS_A_CORE * n_ears
    ears.close()


def test_a_process_that_crashes_takes_its_streams_along_and_is_started_again(pcm):
    ears = Ears(n_ears=2)

    async def run() -> list:
        with (
            ears.stream("a", RATE, 1, Pauses()) as first,
            ears.stream("a", RATE, 1, Pauses()) as second,
        ):
            await first.hear(pcm[:3_200])
            loop = asyncio.get_running_loop()
            os.kill(await loop.run_in_executor(first._executor, os.getpid), signal.SIGKILL)
            with pytest.raises(BrokenExecutor):
                await heard(first, pcm)
            assert await heard(second, pcm)
        assert ears.n_streams == 0
        with ears.stream("a", RATE, 1, Pauses()) as third:
            return await heard(third, pcm)

    try:
        assert_same(asyncio.run(run()), expected(pcm, RATE, 1))
    finally:
        ears.close()
