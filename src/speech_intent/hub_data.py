"""A dataset on the Hub becomes a table of clips. Their audio stays encoded, as it was published, until it is needed."""

import contextlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from .recipes import Recipe
from .tables import SPLIT_NAMES, DataError, name_intents, table_problems

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

CONVERTED = "refs/convert/parquet"  # the Hub's own Parquet copy of a dataset whose main branch is a script
OTHERWISE = "connect, or put its clips into a folder with a metadata.csv (README.md says how), and name it by --data"


def is_hub_id(data: str | Path) -> bool:
    """Whether this names a Hub dataset: NAMESPACE/NAME, and no such folder."""
    return isinstance(data, str) and bool(re.fullmatch(r"\w[\w.-]*/[\w.-]+", data)) and not os.path.isdir(data)


def as_folder(repo: str) -> Path | None:
    """Fetch a dataset that is a folder with metadata.csv, as `publish --dataset` leaves it; None if it is not one."""
    from huggingface_hub import HfApi, snapshot_download

    with contextlib.suppress(Exception):  # `read_hub` comes next, and says what is wrong
        if "metadata.csv" in HfApi().list_repo_files(repo, repo_type="dataset"):
            return Path(snapshot_download(repo, repo_type="dataset"))
    return None


def read_hub(repo: str, recipe: Recipe) -> "tuple[pd.DataFrame, Dataset]":
    """Read a Hub dataset, its configuration and columns as the recipe says.

    Gives a table with `file_name` (SPLIT/NUMBER), `intent`, `speaker` and `split` ("" where unknown) of every clip, and
    the same clips as a Dataset with the column `audio` ({"bytes", "path"}, not decoded). Raises `DataError` for a
    dataset that is not there or out of reach, columns that it lacks (naming those it has), and clips without intent.
    """
    from datasets import Audio, concatenate_datasets

    parts = _download(repo, recipe)
    for name, part in parts.items():
        if missing := [column for column in (recipe.audio, recipe.intent) if column not in part.features]:
            found = ", ".join(part.features)
            raise DataError(repo, [f"{name} has no column {' or '.join(map(repr, missing))}; it has {found}"])
        if not isinstance(part.features[recipe.audio], Audio):
            kinds = ", ".join(f"{column} ({type(kind).__name__})" for column, kind in part.features.items())
            raise DataError(repo, [f"column {recipe.audio!r} of {name} holds no audio; there are {kinds}"])
    try:
        table = pd.concat([_rows(name, part, recipe) for name, part in parts.items()], ignore_index=True)
    except ValueError as error:
        raise DataError(repo, [str(error)]) from error
    if len(parts) == 1:
        table["split"] = ""
    clips = [
        part.cast_column(recipe.audio, Audio(decode=False)).select_columns(recipe.audio) for part in parts.values()
    ]
    clips = concatenate_datasets(clips)
    empty = [name for name, clip in zip(table["file_name"], clips[recipe.audio], strict=True) if not clip]
    if problems := [*table_problems(table), *(f"{name}: has no audio" for name in empty)]:
        raise DataError(repo, problems)
    return table, clips if recipe.audio == "audio" else clips.rename_column(recipe.audio, "audio")


def _rows(split: str, part: "Dataset", recipe: Recipe) -> pd.DataFrame:
    """List the clips of one split without their audio."""
    from datasets import ClassLabel

    kind, values = part.features[recipe.intent], pd.Series(part[recipe.intent], dtype=object)
    if isinstance(kind, ClassLabel):
        values = values.map(lambda i: "" if i is None or i < 0 else kind.names[i])
    intent = name_intents(values.map(lambda value: "" if value is None else str(value).strip()), recipe.intents)
    speakers = part[recipe.speaker] if recipe.speaker in part.features else [""] * len(part)
    names = [f"{split}/{i:05d}" for i in range(len(part))]
    columns = {"file_name": names, "intent": intent, "speaker": [str(s) if s is not None else "" for s in speakers]}
    return pd.DataFrame(columns).assign(split=SPLIT_NAMES.get(split.lower(), split.lower()))


def _download(repo: str, recipe: Recipe) -> "DatasetDict":
    """Load a dataset, or else its Parquet copy; DataError with a remedy for what can go wrong."""
    from datasets import load_dataset
    from datasets.exceptions import DatasetNotFoundError

    try:
        return load_dataset(repo, recipe.config)
    except DatasetNotFoundError as error:
        remedy = "check the spelling, or log in with `hf auth login`"
        raise DataError(repo, [f"it is no folder, and not on the Hub, or private; {remedy}"]) from error
    except Exception as error:  # a script, or what else datasets, huggingface_hub and httpx raise
        try:
            return load_dataset(repo, revision=CONVERTED, data_files=_converted_files(repo, recipe.config))
        except DataError:
            raise
        except Exception:
            reason = str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__
            problem = f"it cannot be loaded from the Hub ({reason}); {OTHERWISE}"
            empty = "corresponds to no data" in reason
            raise DataError(repo, [f"a split has no rows ({reason})" if empty else problem]) from error


def _converted_files(repo: str, config: str | None) -> dict[str, list[str]]:
    """List the Parquet files (CONFIG/SPLIT/NUMBER.parquet) of a configuration by split."""
    from huggingface_hub import HfApi

    paths = HfApi().list_repo_files(repo, repo_type="dataset", revision=CONVERTED)
    files: dict[str, dict[str, list[str]]] = {}
    for path in sorted(path for path in paths if path.endswith(".parquet") and path.count("/") == 2):
        name, split, _ = path.split("/")
        files.setdefault(name, {}).setdefault(split.removeprefix("partial-"), []).append(path)
    wanted = config or ("default" if "default" in files else next(iter(files), "default"))
    if wanted not in files:
        raise DataError(repo, [f"it has no configuration {wanted!r}; there are {', '.join(files) or 'none'}"])
    return files[wanted]
