"""A dataset on the Hub becomes a table of clips. Their audio stays encoded until it is needed."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from . import hub_errors
from .columns import ENGINE, find_column, intent_names, speaker_names, transcript_names
from .errors import DataError, UserError
from .hub_names import repository
from .hub_reach import remote_files
from .names import first_line, likeness, stripped
from .recipes import Recipe
from .tables import (
    CORRECTED,
    ORIGINAL,
    Listing,
    Role,
    name_intents,
    split_name,
    table_problems,
)

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict

CONVERTED = "refs/convert/parquet"  # the Hub's Parquet copy of a dataset that is a script
OTHERWISE = (
    "or put its clips into a folder with a metadata.csv (README.md says how), and name it by --data"
)


def as_folder(repo: str) -> Path | None:
    """Fetch a dataset that is a folder with metadata.csv; None if it is not one.

    `publish --dataset` leaves such datasets. `repo` is its id, or its address in a browser.
    """
    from huggingface_hub import snapshot_download

    repo = repository(repo, "dataset")
    try:
        if "metadata.csv" in remote_files(repo, "dataset"):
            return Path(snapshot_download(repo, repo_type="dataset"))
    except UserError:
        raise
    except Exception as error:
        cause = hub_errors.explain(error)
        if not cause.is_refusal and not _is_cached(repo):  # else `read_hub` sees to it
            problem = f"{cause.problem}; {cause.remedy}; {OTHERWISE}"
            raise DataError(repo, [problem]) from error
    return None


def _is_cached(repo: str) -> bool:
    """Whether datasets keeps a copy, which it loads when the Hub gives no answer."""
    from datasets import config

    return (Path(config.HF_DATASETS_CACHE) / repo.replace("/", "___")).is_dir()


def read_hub(repo: str, recipe: Recipe, role: Role = "alone") -> Listing:
    """List the clips of a Hub dataset, its configuration and columns as the recipe says.

    `file_name` is SPLIT/NUMBER; for the rest see `Listing`. Raises `DataError` for a dataset that
    is not there or out of reach, and for columns that it lacks, naming those it has.
    """
    from datasets import Audio, concatenate_datasets

    parts = _download(repo, recipe)
    for name, part in parts.items():
        _check_columns(repo, name, part, recipe)
    try:
        tables = [_rows(name, part, recipe) for name, part in parts.items()]
    except ValueError as error:
        raise DataError(repo, [str(error)]) from error
    table = pd.concat(tables, ignore_index=True).fillna("")
    if len(parts) == 1:
        table["split"] = ""
    encoded = [
        part.cast_column(recipe.audio, Audio(decode=False)).select_columns(recipe.audio)
        for part in parts.values()
    ]
    clips = concatenate_datasets(encoded)
    if recipe.audio != "audio":
        clips = clips.rename_column(recipe.audio, "audio")
    problems = table_problems(table, role=role)
    empty = [clip is None for clip in clips["audio"]]
    problems += [f"{name}: has no audio" for name in table.loc[empty, "file_name"]]
    return Listing(table, clips, tuple(problems))


def _check_columns(repo: str, split: str, part: "Dataset", recipe: Recipe) -> None:
    from datasets import Audio

    missing = [repr(recipe.audio)] if recipe.audio not in part.features else []
    if find_column(part.features, intent_names(recipe)) is None:
        missing.append(repr(recipe.intent))
    if recipe.text is not None and _transcript(part, recipe) is None:
        missing.append(repr(recipe.text))
    if missing:
        columns = ", ".join(part.features)
        problem = f"{split} has no column {' or '.join(missing)}; it has {columns}"
        raise DataError(repo, [problem])
    if not isinstance(part.features[recipe.audio], Audio):
        kinds = ", ".join(
            f"{column} ({type(kind).__name__})" for column, kind in part.features.items()
        )
        problem = f"column {recipe.audio!r} of {split} holds no audio; there are {kinds}"
        raise DataError(repo, [problem])


def _rows(split: str, part: "Dataset", recipe: Recipe) -> pd.DataFrame:
    """List the clips of one split without their audio."""
    intent = find_column(part.features, intent_names(recipe))
    intents = name_intents(_texts(part, str(intent)), recipe.intents)
    table = pd.DataFrame({"file_name": [f"{split}/{i:05d}" for i in range(len(part))]})
    table = table.assign(intent=intents, speaker="", split=split_name(split))
    speaker = find_column(part.features, speaker_names(recipe))
    if speaker is not None:
        table["speaker"] = _texts(part, speaker)
    transcript = _transcript(part, recipe)
    if transcript is not None:
        table["text"] = _texts(part, transcript)
    engine = find_column(part.features, (ENGINE,))
    if engine is not None:
        table[ENGINE] = _texts(part, engine)
    for column in part.features:
        if likeness(column) in (CORRECTED, ORIGINAL) and column not in table:
            table[column] = _texts(part, column)
    return table


def _transcript(part: "Dataset", recipe: Recipe) -> str | None:
    """Find the column that says what is spoken."""
    from datasets import ClassLabel, Value

    taken = {
        find_column(part.features, names) for names in (intent_names(recipe), speaker_names(recipe))
    }
    columns = [
        column
        for column, kind in part.features.items()
        if isinstance(kind, Value | ClassLabel) and column not in taken
    ]
    return find_column(columns, transcript_names(recipe))


def _texts(part: "Dataset", column: str) -> pd.Series:
    """Read a column as text, classes by their names, "" where a clip has none."""
    from datasets import ClassLabel

    kind = part.features[column]
    values = pd.Series(part[column], dtype=object)
    if isinstance(kind, ClassLabel):
        values = values.map(lambda i: "" if i is None or i < 0 else kind.names[i])
    return values.map(lambda value: stripped(_text(value)))


def _text(value: object) -> str:
    return "" if value is None else str(value)


def _download(repo: str, recipe: Recipe) -> "DatasetDict":
    """Load a dataset, or else its Parquet copy. Raises `DataError` with a remedy."""
    from datasets import load_dataset
    from datasets.exceptions import DatasetNotFoundError

    repo = repository(repo, "dataset")
    try:
        return load_dataset(repo, recipe.config)
    except DatasetNotFoundError as error:
        raise DataError(repo, [_not_there(error)]) from error
    except Exception as error:  # a script, or what else datasets, huggingface_hub, httpx raise
        return _download_converted(repo, recipe, error)


def _download_converted(repo: str, recipe: Recipe, first_error: Exception) -> "DatasetDict":
    """Load the Hub's Parquet copy of a dataset that could not be loaded as it is."""
    from datasets import load_dataset

    try:
        files = _converted_files(repo, recipe.config)
        return load_dataset(repo, revision=CONVERTED, data_files=files)
    except DataError:
        raise
    except Exception:
        if isinstance(first_error, ValueError):  # it arrived, and datasets stumbled over it
            reason = first_line(first_error)
            problem = f"datasets cannot read it ({reason}); does a split have no rows?"
            raise DataError(repo, [problem]) from first_error
        cause = hub_errors.explain(first_error)
        problem = f"{cause.problem}; {cause.remedy}; {OTHERWISE}"
        raise DataError(repo, [problem]) from first_error


def _not_there(error: Exception) -> str:
    """Say why the Hub shows no such dataset, which may be the token."""
    cause = hub_errors.explain(error)
    if cause.is_refusal and cause != hub_errors.NOT_THERE:
        return f"{cause.problem}; {cause.remedy}"
    return f"it is no folder, and not on the Hub, or private; {hub_errors.LOG_IN}"


def _converted_files(repo: str, config: str | None) -> dict[str, list[str]]:
    """List the Parquet files (CONFIG/SPLIT/NUMBER.parquet) of a configuration by split."""
    from huggingface_hub import HfApi

    paths = HfApi().list_repo_files(repo, repo_type="dataset", revision=CONVERTED)
    files: dict[str, dict[str, list[str]]] = {}
    for path in sorted(paths):
        parts = path.split("/")
        if len(parts) == 3 and path.endswith(".parquet"):
            name, split, _ = parts
            splits = files.setdefault(name, {})
            splits.setdefault(split.removeprefix("partial-"), []).append(path)
    usual = "default" if "default" in files else next(iter(files), "default")
    wanted = config or usual
    if wanted not in files:
        known = ", ".join(files) or "none"
        raise DataError(repo, [f"it has no configuration {wanted!r}; there are {known}"])
    return files[wanted]
