"""The folder that a run writes to: what may not be written over, and what is written whole."""

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import OutputError

if TYPE_CHECKING:
    from transformers import FeatureExtractionMixin, PreTrainedModel

MADE_OF = "made_of.json"


def check_output(folder: Path, resume: bool) -> None:
    """Raise `OutputError` for a folder with a run that would be written over."""
    finished = (folder / "metrics.json").exists()
    trained = (folder / "model").exists()
    if finished or (trained and not resume):
        problem = "holds a finished run"
        raise OutputError(folder, problem, "choose another folder, or delete it first")
    if last_checkpoint(folder / "checkpoints") and not resume:
        problem = "holds an unfinished run"
        raise OutputError(folder, problem, "add --resume to go on, or choose another folder")


def claim(folder: Path, made_of: dict[str, Any]) -> None:
    """Note what the results in a folder are made of, before the first of them is there.

    Raises `OutputError` naming what differs, if they were begun with something else.
    """
    path = folder / MADE_OF
    made_of = json.loads(json.dumps(made_of))  # as it will be read again
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_json(path, made_of)
        return
    before = json.loads(path.read_text(encoding="utf-8"))
    differing = sorted(
        name for name in before.keys() | made_of.keys() if before.get(name) != made_of.get(name)
    )
    if differing:
        changes = (f"{name} {before.get(name)} (now {made_of.get(name)})" for name in differing)
        problem = f"holds results of other {', '.join(changes)}"
        raise OutputError(folder, problem, "choose another folder, or delete it first")


def last_checkpoint(folder: Path) -> Path | None:
    """Find the newest checkpoint that was written whole.

    The Trainer writes trainer_state.json last.
    """
    by_step = {}
    for path in folder.glob("checkpoint-*"):
        try:
            state = json.loads((path / "trainer_state.json").read_text(encoding="utf-8"))
            by_step[int(state["global_step"])] = path
        except (OSError, ValueError, KeyError, TypeError):
            continue  # the process was killed while it was writing this one
    return by_step[max(by_step)] if by_step else None


def save_model(
    model: "PreTrainedModel",
    extractor: "FeatureExtractionMixin",
    record: dict[str, Any],
    folder: Path,
) -> None:
    """Write model, feature extractor and record to a folder that appears when it is complete."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial)
    extractor.save_pretrained(partial)
    write_json(partial / "training.json", record)
    partial.rename(folder)


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file that is there in full or not at all."""
    partial = path.with_name(path.name + ".partial")
    text = json.dumps(content, indent=1, ensure_ascii=False)
    partial.write_text(text + "\n", encoding="utf-8")
    partial.replace(path)
