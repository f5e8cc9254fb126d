"""Route calls: clips in, a queue for each out.

python examples/route_calls.py dataset/audio/test-0009.mp3 --least 0.7

Whoever was not understood goes to a person: an answer that is unknown or has a score below
`--least`, an intent that has no route, a clip that cannot be used.
"""

import argparse
import sys
import tomllib
from pathlib import Path

from speech_intent import AudioError, IntentClassifier, UserError
from speech_intent.command_line import exit_status
from speech_intent.names import printable
from speech_intent.paths import SHIPPED

PERSON = "person"
ROUTES = Path(__file__).with_name("routes.toml")


def read_routes(path: str, intents: list[str]) -> dict[str, str]:
    """Read which queue each intent goes to. Raises `UserError` for what cannot be used."""
    remedy = 'give it a line for each intent, such as: battery = "service"'
    try:
        routes = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(path, f"cannot be read ({error.strerror})", remedy) from error
    except ValueError as error:  # neither TOML nor UTF-8
        raise UserError(path, f"is no TOML ({error})", remedy) from error
    for intent, queue in routes.items():
        if intent not in intents:
            problem = f"{intent} is no intent of the model"
            raise UserError(path, problem, f"it knows {', '.join(intents)}")
        if not isinstance(queue, str):
            raise UserError(path, f"the queue of {intent} is no text", remedy)
    return routes


def route(classifier: IntentClassifier, file: str, routes: dict[str, str], least: float) -> str:
    """Say in a line which queue a clip goes to, and why."""
    try:
        prediction = classifier.predict(file)
    except AudioError as error:
        return f"{file} -> {PERSON} ({error.reason})"
    intent = prediction.label if prediction.accepted else "unknown"
    understood = prediction.accepted and prediction.score >= least
    queue = routes.get(intent, PERSON) if understood else PERSON
    return f"{file} -> {queue} ({intent}, {prediction.score:.3f})"


def main(argv: list[str] | None = None) -> int:
    """Route every clip; return the exit status."""
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("files", nargs="+", metavar="FILE")
    p.add_argument("--routes", default=str(ROUTES), help="TOML (default: examples/routes.toml)")
    p.add_argument("--least", type=float, default=0.0, help="score (default: any will do)")
    p.add_argument("--model", default=str(SHIPPED), metavar="HUB_ID_OR_DIR")
    args = p.parse_args(argv)

    def work() -> None:
        classifier = IntentClassifier.from_pretrained(args.model)
        routes = read_routes(args.routes, classifier.labels)
        for file in args.files:
            print(printable(route(classifier, file, routes, args.least)), flush=True)

    return exit_status(work)


if __name__ == "__main__":
    sys.exit(main())
