"""Score more files than one machine wants, with Ray Data: FOLDER in, JSON lines out.

python examples/score_many.py FOLDER --model models/moonshine-tiny-scooter --output-dir runs/scores

It uses every core of this machine. Inside a Ray cluster it uses all of its cores, unchanged; FOLDER
and OUTPUT_DIR are then on storage that every machine sees, such as s3://bucket/clips. Files are
read, scored and written piece by piece, a machine that is lost costs only the pieces it had, and a
file that cannot be used has `error` in place of an answer.
"""

import argparse
from typing import Any

import ray

from speech_intent import AudioError, IntentClassifier
from speech_intent.audio import SUFFIXES

BATCH = 32  # files handed to a model at a time
NO_ANSWER = {
    "label": None,  # "unknown" where there is a guess and a reason
    "guess": None,
    "reason": None,
    "score": float("nan"),
    "seconds": float("nan"),
}


class Scorer:
    """One model on one core."""

    def __init__(self, model: str):
        self.classifier = IntentClassifier.from_pretrained(model, parallel=True)
        if self.classifier.engine == "torch":
            import torch

            torch.set_num_threads(1)

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """Score a batch of files (`path`, `bytes`); give a list for each column of the result."""
        files = zip(batch["path"], batch["bytes"], strict=True)
        rows = [self.score(path, content) for path, content in files]
        return {name: [row[name] for row in rows] for name in rows[0]}

    def score(self, path: str, content: bytes) -> dict[str, Any]:
        """Score one file."""
        try:
            prediction = self.classifier.predict({"bytes": content, "path": path})
        except AudioError as error:
            return {"file": path, **NO_ANSWER, "error": str(error)}
        answer = prediction.as_dict(file=path, model=self.classifier.name)
        columns = {name: answer.get(name) for name in NO_ANSWER}
        return {"file": path, **columns, "error": None}


def main() -> None:
    """Score a folder."""
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("folder", help="with audio files")
    p.add_argument("--model", required=True, metavar="HUB_ID_OR_DIR")
    p.add_argument("--output-dir", required=True, help="for JSON lines")
    args = p.parse_args()
    ray.init(log_to_driver=False)
    endings = sorted(suffix.removeprefix(".") for suffix in SUFFIXES)
    files = ray.data.read_binary_files(args.folder, include_paths=True, file_extensions=endings)
    # Ray starts as many models as there are free cores for.
    scored = files.map_batches(
        Scorer, fn_constructor_args=(args.model,), batch_size=BATCH, num_cpus=1
    )
    scored.write_json(args.output_dir)


if __name__ == "__main__":
    main()
