"""Say what a speaker wants: `python inference.py clip.wav`. Audio in, intent out, no transcription in between."""

import argparse
import contextlib
import json
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

HUB_MODEL = "MuhammadIqbalBazmi/wav2vec2-base-intent-classification-ori"
LOCAL_MODEL = Path(__file__).resolve().parent / "models" / "wav2vec2-small-scooter"


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("audio", nargs="+", metavar="AUDIO", help="audio file (WAV, FLAC, OGG, MP3), or a folder of them")
    p.add_argument(
        "--model",
        metavar="HUB_ID_OR_DIR",
        help=f"(default: {HUB_MODEL}; where the Hub cannot be reached, models/{LOCAL_MODEL.name})",
    )
    p.add_argument("--top-k", type=positive, metavar="K", help="intents to show (default: 3; with --json all)")
    p.add_argument(
        "--threshold", type=float, metavar="T", help="answer unknown below this score (default: the model's)"
    )
    p.add_argument("--json", action="store_true", help="one JSON object a line")
    p.add_argument(
        "--engine",
        choices=["auto", "onnx", "torch"],
        default="auto",
        help="onnx: what `python -m speech_intent.export` wrote; torch: the reference (default: onnx if there)",
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
    sys.stdout.reconfigure(errors="backslashreplace")  # a file name may hold bytes that are not UTF-8
    from speech_intent.audio import AudioError

    files, failed = audio_files(args.audio)
    if not files:
        return 1
    try:
        classifier = load_model(args.model, args.engine, parallel=len(files) > 1)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if args.threshold is not None:
        classifier.threshold = args.threshold
    with contextlib.closing(answers(classifier, files)) as results:
        for file, prediction in results:
            if isinstance(prediction, AudioError):
                from tqdm import tqdm

                tqdm.write(f"error: {prediction}", file=sys.stderr)  # above the bar, if there is one
                failed = True
                continue
            print(
                as_json(file, prediction, classifier.name, args.top_k)
                if args.json
                else as_table(file, prediction, classifier.name, args.top_k or 3),
                flush=True,
            )
    return 1 if failed else 0


def answers(classifier, files: list[str]) -> Iterator[tuple]:
    """Yield (file, its prediction or AudioError) in the order of the files; many are answered at once, on all cores."""
    from speech_intent.audio import AudioError

    def answer(file: str):
        try:
            return classifier.predict(file)
        except AudioError as error:
            return error

    if len(files) == 1:
        yield files[0], answer(files[0])
        return
    from concurrent.futures import ThreadPoolExecutor

    from tqdm import tqdm

    pool = ThreadPoolExecutor(os.cpu_count() if classifier.engine == "onnx" else 1)
    off = True if sys.stdout.isatty() else None  # None: where stderr is no terminal
    try:
        yield from zip(files, tqdm(pool.map(answer, files), total=len(files), unit="clip", disable=off), strict=True)
    finally:
        pool.shutdown(cancel_futures=True)


def audio_files(names: list[str]) -> tuple[list[str], bool]:
    """Put the audio files of a folder, sorted, in its place; also say whether a folder had none."""
    from speech_intent.audio import SUFFIXES, AudioError

    files, failed = [], False
    for name in names:
        if not os.path.isdir(name):
            files.append(name)
            continue
        try:
            paths = sorted(path for path in Path(name).iterdir() if path.suffix.lower() in SUFFIXES)
            found, problem = [str(path) for path in paths if os.path.isfile(path)], "has no audio files"
        except OSError as error:
            found, problem = [], f"cannot be read ({error.strerror})"
        if not found:
            error = AudioError(name, problem, "name a folder with WAV, FLAC, OGG or MP3 files")
            print(f"error: {error}", file=sys.stderr)
            failed = True
        files.extend(found)
    return files, failed


def load_model(name: str | None, engine: str = "auto", parallel: bool = False):
    """Load the named model or, if none is named, the published one, or else the one in `models/`."""
    from speech_intent.hub import HubUnreachable
    from speech_intent.predict import IntentClassifier

    if name is not None:
        return IntentClassifier.from_pretrained(name, engine, parallel)
    try:
        return IntentClassifier.from_pretrained(HUB_MODEL, engine, parallel)
    except HubUnreachable as error:
        print(f"note: {error.args[0].split(';')[0]}; answering with {LOCAL_MODEL}", file=sys.stderr)
        return IntentClassifier.from_pretrained(LOCAL_MODEL, engine, parallel)


def as_json(file: str, prediction, model: str, top_k: int | None) -> str:
    """Format one answer as a JSON object on one line."""
    scores = [{"label": label, "score": score} for label, score in prediction.scores[:top_k]]
    answer = {"label": prediction.label} if prediction.accepted else {"label": "unknown", "guess": prediction.label}
    answer |= {"score": prediction.score, "scores": scores, "seconds": prediction.seconds, "model": model}
    answer |= {"engine": prediction.engine, "precision": prediction.precision}
    return json.dumps({"file": file} | answer)


def as_table(file: str, prediction, model: str, top_k: int) -> str:
    """Format one answer as a small table."""
    from speech_intent.audio import printable

    width = max(len(label) for label, _ in prediction.scores)
    rows = [
        f"  {label:<{width}}  {score:6.3f}  {'#' * round(30 * score)}" for label, score in prediction.scores[:top_k]
    ]
    unknown = "" if prediction.accepted else "  unknown; its guesses:\n"
    return f"{printable(file)}  ({prediction.seconds:.2f} s, {model})\n{unknown}" + "\n".join(rows)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except BrokenPipeError:  # who read our output, `head` say, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
