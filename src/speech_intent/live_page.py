"""What the page of `app.py` shows while it listens: who speaks, and what was answered.

`live_page.js` records, sends what was recorded piece by piece, and shows what comes back.
"""

import base64
import secrets
import time
from collections import deque
from pathlib import Path
from typing import Any

from .errors import AudioError, ModelError
from .intake import Intake
from .listening import Listener, Pauses, Request, SpeechBegan
from .predict import IntentClassifier, Prediction
from .voice_activity import RATE

MOST_ROWS = 20  # answers that are shown
MOST_STREAMS = 100  # microphones at once
FORGET = 60.0  # seconds without a sound, not even silence: nobody is there any more
MARKUP = Path(__file__).with_suffix(".html")
SCRIPT = Path(__file__).with_suffix(".js")

LISTENING = "Listening"
SPEAKING = "You are speaking"
OVER = "Not listening"
TOO_MANY = "too many are listened to at once: stop another page, or try again in a minute"
GONE = f"this page was not heard for {FORGET:.0f} s, and is no longer listened to: start again"

View = dict[str, Any]  # values for JSON


class Stream:
    """One microphone, from the press that starts it to the one that stops it.

    Raises `AudioError` for a sampling rate, in Hz, that no recording has.
    """

    def __init__(self, classifier: IntentClassifier, sampling_rate: int):
        self.heard_at = time.monotonic()
        self._classifier = classifier
        self._intake = Intake(sampling_rate)
        self._listener = Listener(Pauses.like(classifier.margins))
        self._state = LISTENING
        self._intent = ""
        self._details = ""
        self._remark = ""
        self._rows: deque[list[str]] = deque(maxlen=MOST_ROWS)  # newest first

    def hear(self, pcm: bytes) -> None:
        """Take what was recorded since the last call: 16-bit PCM, mono."""
        self.heard_at = time.monotonic()
        for event in self._listener.hear(self._intake.pcm(pcm)):
            self._take(event)

    def finish(self) -> None:
        """Answer the request that is open."""
        for event in self._listener.hear(self._intake.finish()):
            self._take(event)
        for event in self._listener.finish():
            self._take(event)
        self._state = OVER

    def view(self) -> View:
        """Say what to show: all of it as plain text."""
        return {
            "state": self._state,
            "speaking": self._state == SPEAKING,
            "intent": self._intent,
            "details": self._details,
            "remark": self._remark,
            "rows": list(self._rows),
        }

    def _take(self, event: SpeechBegan | Request) -> None:
        if isinstance(event, SpeechBegan):
            self._state = SPEAKING
            return
        self._state = LISTENING
        start = time.perf_counter()
        try:
            prediction = self._classifier.predict((event.waveform, RATE))
        except (AudioError, ModelError) as error:
            self._remark = f"No answer to what was heard at {event.start:.1f} s: {error.reason}"
            return
        self._answer(event, prediction, time.perf_counter() - start)

    def _answer(self, request: Request, prediction: Prediction, seconds: float) -> None:
        """Show what a classifier has said of a request after some seconds."""
        if not prediction.accepted:
            self._remark = f"Heard at {request.start:.1f} s, but no request: {prediction.reason}"
            return
        length = request.end - request.start
        waited = request.heard_until - request.end + seconds
        self._intent = prediction.label
        self._details = (
            f"score {prediction.score:.2f}, {length:.2f} s long, "
            f"answered {waited:.2f} s after its end (the model took {1000 * seconds:.0f} ms)"
        )
        self._remark = ""
        row = [f"{request.start:.1f}", prediction.label, f"{prediction.score:.2f}"]
        self._rows.appendleft(row)


class Streams:
    """The microphones of all browsers, each under a name that only its browser knows."""

    def __init__(self, classifier: IntentClassifier):
        self._classifier = classifier
        self._streams: dict[str, Stream] = {}

    def begin(self, sampling_rate: int) -> View:
        """Listen to one more microphone: give its name besides what to show."""
        self._forget()
        if len(self._streams) >= MOST_STREAMS:
            return {"problem": TOO_MANY}
        try:
            stream = Stream(self._classifier, sampling_rate)
        except AudioError as error:
            return {"problem": f"{error.name}: {error.reason}"}
        name = secrets.token_urlsafe()
        self._streams[name] = stream
        return {"name": name, **stream.view()}

    def hear(self, name: str, pcm: str) -> View:
        """Take what a microphone recorded since the last call: 16-bit PCM, mono, as base64."""
        self._forget()
        stream = self._streams.get(name)
        if stream is None:
            return {"problem": GONE}
        stream.hear(base64.b64decode(pcm))
        return stream.view()

    def finish(self, name: str) -> View:
        """Listen no longer."""
        stream = self._streams.pop(name, None)
        if stream is None:
            return {"problem": GONE}
        stream.finish()
        return stream.view()

    def _forget(self) -> None:
        """Drop the microphones of pages that were closed."""
        oldest = time.monotonic() - FORGET
        for name, stream in list(self._streams.items()):
            if stream.heard_at < oldest:
                self._streams.pop(name, None)
