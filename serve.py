"""Answer over HTTP: `python serve.py`, then `curl -F file=@clip.wav 127.0.0.1:8000/predict`.

A WebSocket at /listen answers a microphone that stays open (examples/listen_client.py).
One process, no configuration; `serve run serve:cluster` runs the same app on Ray Serve, on one
machine or many. What an operator may want otherwise is read from the environment:
SPEECH_INTENT_MODEL (folder or Hub id), _HOST, _PORT, _API_KEY (then wanted as
`Authorization: Bearer KEY`), _MAX_MEGABYTES (of a request), _MAX_SECONDS (of a clip) and
_MAX_WAIT (seconds; whoever would wait longer is turned away). Audio is neither kept nor logged.
"""

import argparse
import sys
from typing import TYPE_CHECKING

from speech_intent.command_line import exit_status

if TYPE_CHECKING:
    from ray.serve import Application


def main(argv: list[str] | None = None) -> int:
    """Serve until told to stop; return 1 if a package, a setting or the model cannot be used."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args(argv)
    try:
        from speech_intent.serving import process
    except ModuleNotFoundError as error:
        remedy = 'pip install -e ".[serve]"'
        print(f"error: {error.name} is not installed; {remedy}", file=sys.stderr)
        return 1
    return exit_status(process.run)


def cluster(arguments: dict[str, str]) -> "Application":
    """Build the app for Ray Serve: `serve run serve:cluster max_replicas=8`.

    `arguments` may hold `min_replicas` (default 1) and `max_replicas` (64) of the model; each
    takes a core.
    """
    from speech_intent.serving.cluster import application

    return application(arguments)


if __name__ == "__main__":
    sys.exit(main())
