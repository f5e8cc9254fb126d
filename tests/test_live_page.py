"""What the page shows of a microphone, fed with a bundled clip between silences."""

import base64
import re

import numpy as np
import pytest
from conftest import RATE

from speech_intent import IntentClassifier, audio, live_page
from speech_intent.errors import AudioError, ModelError
from speech_intent.live_page import LISTENING, OVER, SPEAKING, Stream, Streams
from speech_intent.paths import BUNDLED, SHIPPED
from speech_intent.predict import Prediction
from speech_intent.rejection import FAR

MICROPHONE = 48_000  # Hz
CLIP = BUNDLED / "audio" / "test-0009.mp3"
BEFORE = 2.0  # seconds of silence


@pytest.fixture(scope="module")
def shipped() -> IntentClassifier:
    return IntentClassifier.from_pretrained(SHIPPED)


@pytest.fixture(scope="module")
def request_pcm() -> list[bytes]:
    """A request between silences, as a browser sends it: a tenth of a second at a time."""
    clip = audio.load(CLIP, MICROPHONE)
    spoken = np.pad(clip, (round(BEFORE * MICROPHONE), MICROPHONE))
    n = MICROPHONE // 10
    return [pcm(spoken[i : i + n]) for i in range(0, len(spoken), n)]


def pcm(waveform: np.ndarray) -> bytes:
    return np.round(32_767 * np.clip(waveform, -1, 1)).astype("<i2").tobytes()


class Says:
    """A classifier that says the same of everything, or raises it."""

    margins = None

    def __init__(self, said: Prediction | Exception):
        self.said = said

    def predict(self, source):
        if isinstance(self.said, Exception):
            raise self.said
        return self.said


def prediction(label: str = "battery", reason: str | None = None) -> Prediction:
    return Prediction(label, 0.4, ((label, 0.4), ("other", 0.3)), 1.0, reason=reason)


def test_a_request_is_answered_as_its_clip_is_and_while_it_is_spoken_the_page_says_so(
    shipped, request_pcm
):
    stream = Stream(shipped, MICROPHONE)
    views = [stream.view()]
    for piece in request_pcm:
        stream.hear(piece)
        views.append(stream.view())
    states = [view["state"] for view in views]
    began, ended = states.index(SPEAKING), len(states) - states[::-1].index(SPEAKING)
    assert states == [LISTENING] * began + [SPEAKING] * (ended - began) + [LISTENING] * (
        len(states) - ended
    )
    assert [view["speaking"] for view in views] == [state == SPEAKING for state in states]
    assert began / 10 == pytest.approx(BEFORE + 0.3, abs=0.3)
    assert [view["intent"] for view in views[:ended]] == [""] * ended
    label = shipped.predict(CLIP).label
    assert views[-1]["intent"] == label
    ((start, answered, score),) = views[-1]["rows"]
    assert float(start) == pytest.approx(BEFORE, abs=0.3)
    assert answered == label
    found = re.fullmatch(
        rf"score {score}, (\S+) s long, answered (\S+) s after its end "
        r"\(the model took (\d+) ms\)",
        views[-1]["details"],
    )
    length, waited, milliseconds = map(float, found.groups())
    assert 1.2 < length < len(audio.load(CLIP, RATE)) / RATE  # its margins are no speech
    assert waited == pytest.approx(0.5 + milliseconds / 1000, abs=0.05)


def test_stopping_answers_the_request_that_is_open(shipped, request_pcm):
    stream = Stream(shipped, MICROPHONE)
    for piece in request_pcm[:-12]:  # of the silence, too little
        stream.hear(piece)
    assert stream.view()["state"] == SPEAKING
    assert stream.view()["rows"] == []
    stream.finish()
    assert stream.view()["state"] == OVER
    assert stream.view()["intent"] == shipped.predict(CLIP).label


def hear_request(stream: Stream, pieces: list[bytes]) -> None:
    for piece in pieces:
        stream.hear(piece)


def test_what_is_no_request_is_told_of_and_is_no_answer(request_pcm):
    classifier = Says(prediction("battery"))
    stream = Stream(classifier, MICROPHONE)
    hear_request(stream, request_pcm)
    answered = stream.view()
    classifier.said = prediction("book_now", FAR)
    hear_request(stream, request_pcm)
    view = stream.view()
    assert re.fullmatch(rf"Heard at \d+\.\d s, but no request: {FAR}", view["remark"])
    assert view | {"remark": ""} == answered
    classifier.said = prediction("map")
    hear_request(stream, request_pcm)
    view = stream.view()
    assert view["remark"] == ""
    assert [intent for _, intent, _ in view["rows"]] == ["map", "battery"]


@pytest.mark.parametrize("kind", [AudioError, ModelError])
def test_an_error_is_told_of_and_listening_goes_on(kind, request_pcm):
    classifier = Says(kind("array", "is odd", "speak on"))
    stream = Stream(classifier, MICROPHONE)
    hear_request(stream, request_pcm)
    view = stream.view()
    assert view["state"] == LISTENING
    assert view["rows"] == []
    assert re.fullmatch(
        r"No answer to what was heard at \d\.\d s: is odd; speak on", view["remark"]
    )
    classifier.said = prediction("battery")
    hear_request(stream, request_pcm)
    assert stream.view()["intent"] == "battery"


def test_the_newest_answers_are_shown(request_pcm, monkeypatch):
    monkeypatch.setattr(live_page, "MOST_ROWS", 2)
    classifier = Says(prediction())
    stream = Stream(classifier, MICROPHONE)
    for label in ("one", "two", "three"):
        classifier.said = prediction(label)
        hear_request(stream, request_pcm)
    assert [intent for _, intent, _ in stream.view()["rows"]] == ["three", "two"]


# Several


def base64_of(piece: bytes) -> str:
    return base64.b64encode(piece).decode()


def test_each_microphone_has_answers_of_its_own_and_starting_again_begins_anew(request_pcm):
    streams = Streams(Says(prediction()))
    one, two = (streams.begin(MICROPHONE)["name"] for _ in range(2))
    assert one != two
    for piece in request_pcm:
        view = streams.hear(one, base64_of(piece))
        other = streams.hear(two, base64_of(bytes(len(piece))))
    assert (view["intent"], other["intent"]) == ("battery", "")
    assert streams.finish(one) == view | {"state": OVER}
    assert streams.hear(one, "") == {"problem": live_page.GONE}
    assert streams.finish(one) == {"problem": live_page.GONE}
    again = streams.begin(MICROPHONE)
    assert again["name"] not in (one, two)
    assert (again["state"], again["intent"], again["rows"]) == (LISTENING, "", [])
    assert streams.hear(two, "")["state"] == LISTENING


def test_a_page_that_was_closed_is_forgotten(monkeypatch):
    now = 100.0
    monkeypatch.setattr(live_page.time, "monotonic", lambda: now)
    streams = Streams(Says(prediction()))
    closed, open_ = (streams.begin(MICROPHONE)["name"] for _ in range(2))
    now += live_page.FORGET
    assert "problem" not in streams.hear(open_, "")
    now += 1
    assert "problem" not in streams.hear(open_, "")
    assert streams.hear(closed, "") == {"problem": live_page.GONE}


def test_more_than_a_hundred_are_not_listened_to(monkeypatch):
    monkeypatch.setattr(live_page, "MOST_STREAMS", 1)
    streams = Streams(Says(prediction()))
    name = streams.begin(MICROPHONE)["name"]
    assert streams.begin(MICROPHONE) == {"problem": live_page.TOO_MANY}
    streams.finish(name)
    assert "problem" not in streams.begin(MICROPHONE)


def test_a_sampling_rate_that_no_microphone_has_is_refused():
    problem = Streams(Says(prediction())).begin(10)["problem"]
    assert problem.startswith("the stream: has a sampling rate of 10 Hz; ")


def test_the_markup_has_nothing_that_gradio_takes_for_a_template():
    markup = live_page.MARKUP.read_text(encoding="utf-8")
    assert [sign for sign in ("${", "{{", "`", "\\") if sign in markup] == []
