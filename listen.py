"""Answer somebody who simply talks: `python listen.py`, and Ctrl-C to end it.

With `--file` it takes a long recording instead, or raw PCM from standard input, as fast as it can,
and prints one JSON object a request.
"""

import argparse
import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, BinaryIO

from speech_intent.default_model import load_model
from speech_intent.errors import UserError
from speech_intent.names import printable

if TYPE_CHECKING:
    import numpy as np

    from speech_intent.listening import Event, Listener, Pauses
    from speech_intent.predict import IntentClassifier

STANDARD_INPUT = "-"
READ_BYTES = 8_192  # of standard input at most, at a time
SHORTEST_SILENCE = 0.3  # seconds
LONGEST_SILENCE = 0.8
QUIET = -60.0  # dB full scale, of an empty level meter
METER_LENGTH = 30  # characters, of 0 dB
CLEAR = "\r\x1b[K"  # the line on a terminal
INTERRUPTED = 130  # what a shell says of a program that Ctrl-C has ended


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument(
        "--model",
        metavar="HUB_ID_OR_DIR",
        help="(default: that of inference.py)",
    )
    p.add_argument(
        "--file",
        metavar="AUDIO",
        help="a recording in nearly any format, or - for 16-bit little-endian PCM on standard "
        "input",
    )
    p.add_argument(
        "--rate",
        type=int,
        default=16_000,
        help="sampling rate of standard input in Hz (default: %(default)s)",
    )
    p.add_argument(
        "--channels",
        type=int,
        default=1,
        help="of standard input, interleaved (default: %(default)s)",
    )
    p.add_argument("--device", help="microphone, by number or name; python -m sounddevice lists")
    p.add_argument(
        "--silence",
        type=silence,
        default=0.5,
        metavar="SECONDS",
        help="that ends a request, 0.3 to 0.8 (default: %(default)s)",
    )
    return p


def silence(text: str) -> float:
    """Read the seconds of silence that end a request."""
    seconds = float(text)
    if not SHORTEST_SILENCE <= seconds <= LONGEST_SILENCE:
        raise argparse.ArgumentTypeError(f"{seconds:g} is not within 0.3 to 0.8")
    return seconds


def main(argv: list[str] | None = None) -> int:
    """Listen until the audio ends, or Ctrl-C; return 1 for what cannot be used."""
    args = parser().parse_args(argv)
    try:
        from speech_intent.listening import Pauses

        classifier = load_model(args.model)
        pauses = Pauses.like(classifier.margins, args.silence)
        if args.file is None:
            return talk(classifier, pauses, args.device)
        answer_recording(classifier, pauses, args)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def answer_recording(
    classifier: "IntentClassifier", pauses: "Pauses", args: argparse.Namespace
) -> None:
    """Print a JSON object for each request in a recording that is answered."""
    from speech_intent import audio
    from speech_intent.listening import Listener, Request
    from speech_intent.voice_activity import RATE

    if args.file == STANDARD_INPUT:
        blocks = from_stream(sys.stdin.buffer, args.rate, args.channels)
    else:
        blocks = audio.blocks(args.file, RATE)
    for event in events(Listener(pauses), blocks):
        if not isinstance(event, Request):
            continue
        prediction = classifier.predict((event.waveform, RATE))
        if prediction.accepted:
            answer = prediction.as_dict(file=args.file, model=classifier.name)
            times = {"file": args.file, "start": event.start, "end": event.end}
            print(json.dumps(times | answer), flush=True)


def from_stream(stream: BinaryIO, rate: int, n_channels: int) -> "Iterator[np.ndarray]":
    """Yield 16-bit PCM as it comes: mono float32 at 16 kHz, (n_samples,)."""
    from speech_intent.intake import Intake

    intake = Intake(rate, n_channels)
    while data := stream.read1(READ_BYTES):
        yield intake.pcm(data)
    yield intake.finish()


def events(listener: "Listener", blocks: "Iterator[np.ndarray]") -> "Iterator[Event]":
    """Yield what happens in a recording, to its end."""
    for block in blocks:
        yield from listener.hear(block)
    yield from listener.finish()


def talk(classifier: "IntentClassifier", pauses: "Pauses", device: str | None) -> int:
    """Answer the microphone until Ctrl-C."""
    import numpy as np

    from speech_intent import microphone
    from speech_intent.listening import Listener
    from speech_intent.voice_activity import RATE

    # The first answer of a process takes longer than those that follow.
    classifier.predict((np.linspace(-1, 1, RATE, dtype=np.float32), RATE))
    number = int(device) if device and device.isdecimal() else device
    listener = Listener(pauses)
    with microphone.recording(number) as recorder, contextlib.suppress(KeyboardInterrupt):
        print(f"Listening to {printable(recorder.name)}; Ctrl-C ends it.", file=sys.stderr)
        for block in recorder.blocks():
            for event in listener.hear(block):
                show(classifier, event)
            if sys.stderr.isatty():
                print(f"{CLEAR}{meter(listener)}", end="", file=sys.stderr, flush=True)
    lost = f" {recorder.n_lost} blocks of audio were lost: the model is too slow."
    ending = f"Ended after {listener.seconds:.0f} s.{lost if recorder.n_lost else ''}"
    print(f"{CLEAR if sys.stderr.isatty() else ''}{ending}", file=sys.stderr)
    return 0


def show(classifier: "IntentClassifier", event: "Event") -> None:
    """Answer a request that is over; one line."""
    from speech_intent.listening import Request
    from speech_intent.voice_activity import RATE

    if not isinstance(event, Request):
        return
    began = time.perf_counter()
    prediction = classifier.predict((event.waveform, RATE))
    waited = event.heard_until - event.end + time.perf_counter() - began
    clear = CLEAR if sys.stderr.isatty() else ""
    print(clear, end="", file=sys.stderr, flush=True)
    seconds = f"{event.start:7.1f} s"
    if not prediction.accepted:
        print(f"{seconds}  no request ({prediction.reason})", file=sys.stderr)
        return
    label = printable(prediction.label)
    print(f"{seconds}  {label}  {prediction.score:.3f}  ({waited:.2f} s after it)", flush=True)


def meter(listener: "Listener") -> str:
    """Draw how loud it is, or say that somebody is heard."""
    share = 1 - max(QUIET, min(0.0, listener.level)) / QUIET
    bar = "#" * round(METER_LENGTH * share)
    heard = "  speech" if listener.hears_speech else ""
    return f"  {bar:<{METER_LENGTH}} {listener.level:4.0f} dB{heard}"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:  # who read our output, `head` say, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
