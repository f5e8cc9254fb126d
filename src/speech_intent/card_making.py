"""How a model was made: the section of its card that a reader needs to make it again."""

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .json_fields import Fields
from .markdown import listed, table
from .model_config import CONFIG
from .model_facts import ModelFacts
from .names import escape_markdown
from .provenance import read_clips
from .recipes import RECIPES
from .sources import Source

MOONSHINE_ORIGIN = (
    "The encoder is that of UsefulSensors/moonshine-tiny (MIT, English), by way of the package "
    "moonshine-voice 0.1.0. What it was trained on is not published in full."
)
OPTIONS = {  # of `train`, by the field of a recipe
    "data": "--data",
    "config": "--config",
    "encoder": "--encoder",
    "audio": "--audio-column",
    "intent": "--intent-column",
    "speaker": "--speaker-column",
    "text": "--text-column",
    "add": "--add",
    "adapt": "--adapt",
    "unknown": "--unknown",
    "drop_copies": "--drop-copies",
}
ROLES = {
    "encoder": "encoder",
    "data": "data",
    "added": "added to training",
    "unknown": "clips of no request",
    "adapted": "adapted to",
    "earlier": "data of the encoder",
}
NOT_SAID = "not said"


def made(folder: Path, facts: ModelFacts) -> str:
    """Say what a reader needs to make a model again, and whose terms it is under."""
    training = facts.training
    parts = [_command(training)]
    done = ("encoder", "seed", "epochs", "steps", "inverse_regularisation", "parameters")
    lines = {
        "Training": {name: training.get(name) for name in done},
        "Hyperparameters": training.get("hyperparameters") or {},
        "Best on validation": training.get("best_validation") or {},
        "Clips": _clips(folder),
        "Versions": training.get("versions") or _saved_by(folder),
    }
    said = {title: listed(values) for title, values in lines.items()}
    said |= {"Searched": _searched(training)}
    said |= {"Clips of intents that were added since": "; ".join(_added(training))}
    parts.append("\n".join(f"- {title}: {text}" for title, text in said.items() if text))
    if facts.sources:
        names = ["made of", "name", "licence", "language"]
        parts.append(table(names, map(_source_row, facts.sources)))
    if any(each.name == "moonshine" for each in facts.sources):
        parts.append(MOONSHINE_ORIGIN)
    return "\n\n".join(filter(None, parts))


def _command(training: dict[str, Any]) -> str:
    """Write the command of `train` that makes a model again, with every number that counted."""
    recipe = training.get("recipe") or {}
    usual = RECIPES.get(recipe.get("recipe", ""))
    if usual is None:
        return "The command was not recorded."
    words = ["python", "-m", "speech_intent.train", "--recipe", recipe["recipe"]]
    for field, option in OPTIONS.items():
        if field in recipe:
            words += _option(option, recipe[field])
    usual_numbers = asdict(usual.numbers)
    for name, value in (training.get("hyperparameters") or {}).items():
        if value is not None and value != usual_numbers.get(name):
            words += _option(f"--{name.replace('_', '-')}", value)
    words += ["--output-dir", "OUT"]
    text = f"```bash\n{shlex.join(words)}\n```"
    others = {name: recipe[name] for name in recipe if name not in (*OPTIONS, "recipe")}
    return f"{text}\n\nand in the recipe {listed(others)}." if others else text


def _option(option: str, value: Any) -> list[str]:
    if value is True:
        return [option]
    if value is False:
        return [option.replace("--", "--no-", 1)]
    values = value if isinstance(value, list) else [value]
    return [option, *map(str, values)] if value is not None else []


def _added(training: dict[str, Any]) -> list[str]:
    """List what `add_intent` was given; `train` lists folders under the same name."""
    entries = [entry for entry in training.get("added") or [] if isinstance(entry, dict)]
    return [f"{listed(entry['clips'])} of {escape_markdown(entry['data'])}" for entry in entries]


def _searched(training: dict[str, Any]) -> str:
    """Say which numbers were chosen by trial, and by what; "" where none were."""
    found = training.get("search")
    if not found:
        return ""
    numbers = ", ".join(map(escape_markdown, found["numbers"]))
    text = f"{numbers}: the best of {found['trials']} trials"
    if found["diverged"]:
        text += f", of which {found['diverged']} diverged"
    metric = escape_markdown(found["metric"])
    return f"{text}, by {metric} on the validation clips; the test split was not looked at"


def _clips(folder: Path) -> dict[str, Any]:
    clips = read_clips(folder)
    return {} if clips is None else clips["split"].value_counts().to_dict()


def _saved_by(folder: Path) -> dict[str, Any]:
    version = Fields.read(folder / CONFIG).values.get("transformers_version")
    return {"transformers": version} if isinstance(version, str) else {}


def _source_row(source: Source) -> list[str]:
    languages = ", ".join(source.terms.languages)
    texts = [source.name, source.terms.license or NOT_SAID, languages or NOT_SAID]
    return [ROLES[source.role], *map(escape_markdown, texts)]
