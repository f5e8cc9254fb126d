"""Say what a speaker wants: `python inference.py clip.wav`.

Audio in, intent out, no transcription in between.
"""

import argparse
import contextlib
import json
import logging
import os
import sys
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from speech_intent.default_model import HUB_MODEL, load_model
from speech_intent.errors import AudioError, UserError
from speech_intent.names import printable
from speech_intent.paths import SHIPPED

if TYPE_CHECKING:
    from speech_intent.predict import IntentClassifier, Prediction

TABLE_ROWS = 3
BAR_LENGTH = 30  # characters, of a score of 1


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument(
        "audio",
        nargs="+",
        metavar="AUDIO",
        help="audio file, in nearly any format, or a folder of them",
    )
    p.add_argument(
        "--model",
        metavar="HUB_ID_OR_DIR",
        help=f"(default: {HUB_MODEL}; where the Hub cannot be reached, models/{SHIPPED.name})",
    )
    p.add_argument(
        "--top-k",
        type=positive,
        metavar="K",
        help=f"intents to show (default: {TABLE_ROWS}; with --json all)",
    )
    p.add_argument(
        "--threshold",
        type=float,
        metavar="T",
        help="answer unknown below this score, which alone decides then (default: the model "
        "decides)",
    )
    p.add_argument("--json", action="store_true", help="one JSON object a line")
    p.add_argument(
        "--engine",
        choices=["auto", "onnx", "torch"],
        default="auto",
        help="onnx: what `python -m speech_intent.export` wrote; torch: the reference "
        "(default: onnx if there)",
    )
    return p


def positive(text: str) -> int:
    """Read a number that is at least 1."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def main(argv: list[str] | None = None) -> int:
    """Answer for every file; return 0, 1 if a file or the model failed, 2 for wrong usage."""
    args = parser().parse_args(argv)
    logging.basicConfig(format="%(message)s", level=logging.WARNING, stream=sys.stderr)
    sys.stdout.reconfigure(errors="backslashreplace")  # a file name may hold bytes, not UTF-8
    try:
        n_failed = answer_all(args)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 1 if n_failed else 0


def answer_all(args: argparse.Namespace) -> int:
    """Print the answer for every file; count the files and folders that have none."""
    listing = audio_files(args.audio)
    for problem in listing.problems:
        print(f"error: {problem}", file=sys.stderr)
    n_failed = len(listing.problems)
    if not listing.files:
        return n_failed
    classifier = load_model(args.model, args.engine, parallel=len(listing.files) > 1)
    if args.threshold is not None:
        classifier.threshold = args.threshold
    with contextlib.closing(answers(classifier, listing.files)) as results:
        for file, answer in zip(listing.files, results, strict=True):
            if isinstance(answer, AudioError):
                remark(f"error: {answer}")
                n_failed += 1
                continue
            for warning in answer.warnings:
                remark(f"warning: {warning}")
            if args.json:
                print(as_json(file, answer, classifier.name, args.top_k), flush=True)
            else:
                top_k = args.top_k or TABLE_ROWS
                print(as_table(file, answer, classifier.name, top_k), flush=True)
    return n_failed


def remark(line: str) -> None:
    """Print a line on stderr, above the progress bar if there is one."""
    from tqdm import tqdm

    tqdm.write(line, file=sys.stderr)


def answers(
    classifier: "IntentClassifier", files: list[str]
) -> "Generator[Prediction | AudioError, None, None]":
    """Yield a prediction for each file in turn, or what is wrong with the file.

    Many files are answered at once, on all cores.
    """

    def answer(file: str) -> "Prediction | AudioError":
        try:
            return classifier.predict(file)
        except AudioError as error:
            return error

    if len(files) == 1:
        yield answer(files[0])
        return
    from tqdm import tqdm

    pool = ThreadPoolExecutor(os.cpu_count() if classifier.engine == "onnx" else 1)
    off = True if sys.stdout.isatty() else None  # None: where stderr is no terminal
    try:
        yield from tqdm(pool.map(answer, files), total=len(files), unit="clip", disable=off)
    finally:
        pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class AudioFiles:
    """The audio files that a command line means, and what is wrong with the folders it names."""

    files: list[str]
    problems: list[AudioError]


def audio_files(names: list[str]) -> AudioFiles:
    """Put the audio files of a folder, sorted, in its place."""
    files = []
    problems = []
    for name in names:
        if not os.path.isdir(name):
            files.append(name)
            continue
        try:
            files.extend(files_in(name))
        except AudioError as error:
            problems.append(error)
    return AudioFiles(files, problems)


def files_in(folder: str) -> list[str]:
    """List a folder's audio files, sorted. Raises `AudioError` where there is none."""
    from speech_intent.audio import SUFFIXES
    from speech_intent.layouts import is_junk

    remedy = "name a folder with WAV, FLAC, OGG, MP3 or M4A files"
    try:
        paths = sorted(path for path in Path(folder).iterdir() if not is_junk(path.name))
    except OSError as error:
        raise AudioError(folder, f"cannot be read ({error.strerror})", remedy) from error
    files = [
        str(path) for path in paths if path.suffix.lower() in SUFFIXES and os.path.isfile(path)
    ]
    if not files:
        raise AudioError(folder, "has no audio files", remedy)
    return files


def as_json(file: str, prediction: "Prediction", model: str, top_k: int | None) -> str:
    """Format one answer as a JSON object on one line."""
    return json.dumps(prediction.as_dict(file=file, model=model, top_k=top_k))


def as_table(file: str, prediction: "Prediction", model: str, top_k: int) -> str:
    """Format one answer as a small table."""
    lines = [f"{printable(file)}  ({prediction.seconds:.2f} s, {printable(model)})"]
    if not prediction.accepted:
        lines.append(f"  unknown ({prediction.reason}); its guesses:")
    width = max(len(printable(label)) for label, _ in prediction.scores)
    for label, score in prediction.scores[:top_k]:
        bar = "#" * round(BAR_LENGTH * score)
        lines.append(f"  {printable(label):<{width}}  {score:6.3f}  {bar}")
    return "\n".join(lines)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:  # who read our output, `head` say, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
