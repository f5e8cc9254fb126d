"""What a run was made of, kept beside its results and compared before anybody adds to them.

`made_of.json` names the encoder, its digest and every number; `clips.csv`, which goes into the
model's folder too, lists the clips of each split with a digest of their samples.
"""

import json
import platform
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from . import additions, hub_models, model_files, negatives, unlabelled
from .digests import sha256
from .errors import ModelError, OutputError
from .json_fields import Fields
from .model_config import CONFIG, WHISPER
from .model_files import CLIPS
from .paths import BUNDLED_ENCODERS
from .recipes import Recipe
from .run_folder import write_json

if TYPE_CHECKING:
    from datasets import DatasetDict

MADE_OF = "made_of.json"
COLUMNS = ["split", "file_name", "intent", "digest"]
PACKAGES = ("speech-intent", "torch", "transformers", "numpy", "scikit-learn")
CHANGES = {  # columns in which a clip may differ between two lists
    "split": "in another split",
    "intent": "of another intent",
    "digest": "with other samples",
}


def ingredients(recipe: Recipe) -> dict[str, Any]:
    """Name what decides a run's results, beside the clips: the encoder and every number.

    With them come the folders of added clips, and the recordings that the head is adapted to.
    Raises `ModelError` for an encoder that cannot be found, `DataError` for such recordings.
    """
    digests = None
    cuts = False
    if recipe.encoder != "random":
        folder = hub_models.model_folder(BUNDLED_ENCODERS.get(recipe.encoder, recipe.encoder))
        digests = [sha256(file) for file in model_files.weights_files(folder)]
        family = Fields.read(folder / CONFIG).values.get("model_type")
        cuts = recipe.cut_to_clip and family == WHISPER
    found = {"encoder": recipe.encoder, "encoder_digests": digests, **recipe.numbers.used()}
    if cuts:  # earlier runs took 30 s, and do not say so
        found["cut_to_clip"] = True
    if recipe.unknown != negatives.NONE:  # earlier runs name none
        found["unknown"] = negatives.facts(recipe)
    if recipe.add:
        found["added"] = [additions.last_part(name) for name in recipe.add]
    if recipe.adapt is not None:
        found["adapted"] = unlabelled.read(recipe.adapt).facts()
    return found


def versions() -> dict[str, str]:
    """Say for a record which versions of what decides the numbers made a model."""
    packages = {name: metadata.version(name) for name in PACKAGES}
    return {"python": platform.python_version(), **packages}


def clips_of(tables: "DatasetDict", unknown: "DatasetDict | None" = None) -> pd.DataFrame:
    """List the clips of train, validation and test: `COLUMNS`, all text.

    Those of no intent, `unknown` of `data.Splits`, stand behind the others.
    """
    lists = []
    for split, table in [*tables.items(), *(unknown or {}).items()]:
        names = table.features["label"].names
        columns = {
            "split": split,
            "file_name": list(table["file_name"]),
            "intent": [names[label] for label in table["label"]],
            "digest": list(table["digest"]),
        }
        lists.append(pd.DataFrame(columns))
    return pd.concat(lists, ignore_index=True)


def read_clips(folder: Path) -> pd.DataFrame | None:
    """Read the clips that a run or a model was made of; None where it does not say.

    Raises `ModelError` for a list that cannot be read.
    """
    path = folder / CLIPS
    if not path.is_file():
        return None
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False)[COLUMNS]
    except (OSError, ValueError, KeyError) as error:
        problem = "is no list of the clips that the model was trained on"
        raise ModelError(path, problem, "download or train the model again") from error


def claim(
    folder: Path,
    made_of: dict[str, Any],
    clips: pd.DataFrame | None = None,
    begun: bool = True,
) -> None:
    """Note what the results in a folder are made of, before the first of them is there.

    Raises `OutputError` naming what differs, if they were made of something else, or nobody knows
    of what. Where no result was `begun`, an earlier note does not count.
    """
    made_of = json.loads(json.dumps(made_of))  # as it will be read again
    if begun:
        changes = _changes(_read(folder), made_of)
        if clips is not None:
            changes += _changed_clips(read_clips(folder), clips)
        if changes:
            problem = f"holds results of other {', '.join(changes)}"
            raise OutputError(folder, problem, "choose another folder, or delete it first")
        return
    folder.mkdir(parents=True, exist_ok=True)
    if clips is not None:
        clips.to_csv(folder / CLIPS, index=False)
    write_json(folder / MADE_OF, made_of)


def _read(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / MADE_OF).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        problem = "holds results that do not say what they were made of"
        raise OutputError(folder, problem, "choose another folder, or delete it first") from error


def _changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    names = sorted(before.keys() | now.keys())
    digests = now.get("encoder_digests")
    if digests and digests == before.get("encoder_digests"):
        names.remove("encoder")  # it may lie elsewhere, or be named by another path
    return [
        f"{name} {before.get(name)} (now {now.get(name)})"
        for name in names
        if before.get(name) != now.get(name)
    ]


def _changed_clips(before: pd.DataFrame | None, now: pd.DataFrame) -> list[str]:
    """Say in how many clips two lists differ, and how; nothing if they are the same."""
    if before is None:
        return ["clips"]
    both = before.merge(now, on="file_name", how="outer", suffixes=("", "_now"), indicator=True)
    counts = {
        "more": int((both["_merge"] == "right_only").sum()),
        "fewer": int((both["_merge"] == "left_only").sum()),
    }
    common = both[both["_merge"] == "both"]
    for column, words in CHANGES.items():
        counts[words] = int((common[column] != common[f"{column}_now"]).sum())
    found = ", ".join(f"{n} {words}" for words, n in counts.items() if n)
    return [f"clips ({found})"] if found else []
