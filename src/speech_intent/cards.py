"""Cards for what is published on the Hub; they state nothing that nobody has said."""

import json
import re
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

import pandas as pd
from huggingface_hub import DatasetCardData, EvalResult, ModelCardData

from .errors import UserError
from .hub_names import Kind, is_hub_id, repository
from .model_config import RECORD, ModelConfig, read_config, read_record
from .model_results import FACTS, FIGURES, read_results
from .names import escape_markdown, one_line
from .onnx_model import describe
from .remarks import remarks

MOONSHINE = "moonshine"  # the bundled encoder that somebody else trained, and its model type
MOONSHINE_HUB = "UsefulSensors/moonshine-tiny"
MOONSHINE_ORIGIN = (
    f"The encoder is that of {MOONSHINE_HUB} (MIT, English), by way of the package moonshine-voice "
    "0.1.0. What it was trained on is not published in full."
)
OUR_CLASSIFIER = "import speech_intent  # the package: transformers alone lacks this classifier\n"
OUR_SCORES = "import speech_intent  # the package: transformers alone gives other scores\n"
LOCALE = re.compile(r"([a-z]{2})(-[A-Z]{2})?")  # en, en-US


@dataclass(frozen=True)
class Terms:
    """What somebody has said of a model or of recordings; None where nobody has."""

    license: str | None = None  # as the Hub abbreviates it, such as apache-2.0
    language: str | None = None  # as the Hub abbreviates it, such as en, or "multilingual"

    def note(self) -> str:
        """Say what a card will leave out, and which option would fill it in; "" if nothing."""
        unsaid = []
        if self.license is None:
            unsaid.append("no licence (--license)")
        if self.language is None:
            unsaid.append("no language (--language)")
        return f"the card names {' and '.join(unsaid)}" if unsaid else ""


def model_terms(folder: Path, license: str | None, language: str | None) -> Terms:
    """Collect what is known of a model: what was given, else what its data's language was."""
    if language is None:
        language = data_language(read_results(folder))
    return Terms(license, language)


def data_language(results: dict[str, Any]) -> str | None:
    """Read the language of the training data off their configuration on the Hub.

    Takes the content of metrics.json; None where no configuration tells a language.
    """
    config = _config(results)
    if config is None:
        return None
    if config == "all":
        return "multilingual"
    locale = LOCALE.fullmatch(config)
    return None if locale is None else locale[1]


def _data(results: dict[str, Any]) -> str:
    return results.get("data") or "not recorded"


def _config(results: dict[str, Any]) -> str | None:
    """Give the configuration of data on the Hub; a folder has none, whatever its recipe says."""
    return results.get("config") if hub_id(_data(results), "dataset") else None


def model_card(
    folder: Path, name: str, license: str | None = None, language: str | None = None
) -> str:
    """Write a model's card from what lies in its folder; `name` is what its snippet loads.

    It names licence and language where they are given, or the data's configuration tells the
    language. Raises `ModelError` for a file that cannot be read.
    """
    config = read_config(folder)
    results = read_results(folder)
    terms = model_terms(folder, license, language)
    title = Path(name).name
    template = Path(__file__).with_name("model_card.md").read_text(encoding="utf-8")
    return template.format(
        metadata=_metadata(title, config.model_type, results, terms),
        title=escape_markdown(title),
        labels=", ".join(escape_markdown(label) for label in config.id2label.values()),
        imports=_imports(config),
        name=json.dumps(name, ensure_ascii=False),
        figures=_figures(folder, results),
        note=escape_markdown(results.get("note", "")),
    )


def _imports(config: ModelConfig) -> str:
    """Write the import without which transformers does not give a model's scores."""
    if config.model_type == MOONSHINE:
        return OUR_CLASSIFIER
    return OUR_SCORES if config.cut_to_clip else ""


def _metadata(title: str, model_type: str, results: dict[str, Any], terms: Terms) -> str:
    """Write what the Hub reads of a model's card, as YAML."""
    encoder = results.get("encoder") or ""
    if encoder == MOONSHINE:
        encoder = MOONSHINE_HUB
    sources = [_data(results), *(results.get("added") or [])]
    datasets = [name for name in (hub_id(data, "dataset") for data in sources) if name]
    metadata = ModelCardData(
        model_name=title,
        pipeline_tag="audio-classification",
        library_name="transformers",
        license=terms.license,
        language=terms.language,
        tags=["speech", "intent-classification", model_type],
        base_model=hub_id(encoder, "model"),
        datasets=datasets or None,
        eval_results=_eval_results(results) or None,
    )
    return metadata.to_yaml()


def _eval_results(results: dict[str, Any]) -> list[EvalResult]:
    if not results:
        return []
    data = _data(results)
    return [
        EvalResult(
            task_type="audio-classification",
            task_name="Spoken intent classification",
            dataset_type=public_name(data, "dataset"),
            dataset_name=last_part(data),
            dataset_config=_config(results),
            dataset_split="test",
            metric_type=figure.split("_")[0],
            metric_name=figure.replace("_", " "),
            metric_value=results[figure],
        )
        for figure in FIGURES
    ]


def hub_id(name: str, kind: Kind) -> str | None:
    """Give the NAMESPACE/NAME of what lies on the Hub; None for anything else."""
    if not is_hub_id(name):
        return None
    try:
        return repository(name, kind)
    except UserError:  # the address of another place
        return None


def public_name(name: str, kind: Kind) -> str:
    """Give what a card may say of data or an encoder: a Hub id, or the last part of a path."""
    return hub_id(name, kind) or last_part(name)


def last_part(path: str) -> str:
    """Give the last part of a path, of Windows or of any other system."""
    return one_line(PureWindowsPath(path).name)  # it knows both / and \


def _figures(folder: Path, results: dict[str, Any]) -> str:
    """Write as Markdown how good a model is, and what its ONNX form costs."""
    parts = ["None were recorded with this model."]
    if results:
        parts = [
            f"{results['correct']} of {results['n']} clips of the test split are answered rightly.",
            _figure_table(results),
            "With one label a clip, micro precision, recall and F1 equal the accuracy.",
            f"Training: {_training(results)}.",
            *map(escape_markdown, remarks(results)),
        ]
    if results.get("encoder") == MOONSHINE:
        parts.append(MOONSHINE_ORIGIN)
    if (folder / RECORD).exists():
        onnx = describe(read_record(folder))
        parts.append(f"As ONNX for the fast engine: {onnx}")
    return "\n\n".join(parts)


def _figure_table(results: dict[str, Any]) -> str:
    lines = ["| figure | value | 95 % interval |", "|---|---|---|"]
    for figure in FIGURES:
        low, high = results[f"{figure}_interval"]
        words = figure.replace("_", " ")
        lines.append(f"| {words} | {results[figure]:.4f} | {low:.3f} to {high:.3f} |")
    return "\n".join(lines)


def _training(results: dict[str, Any]) -> str:
    """List in one line what a model was trained on and with which numbers."""
    facts = dict(results.get("hyperparameters", {}))
    for name in FACTS:
        facts[name] = results.get(name)  # epochs and steps as they came to be
    facts["config"] = _config(results)
    if facts["data"] is not None:
        facts["data"] = public_name(facts["data"], "dataset")
    if facts["encoder"] is not None:
        facts["encoder"] = public_name(facts["encoder"], "model")
    added = results.get("added") or []
    facts["added"] = ", ".join(public_name(name, "dataset") for name in added) or None
    known = {name: value for name, value in facts.items() if value is not None}
    return "; ".join(f"{escape_markdown(name)}: {_value(value)}" for name, value in known.items())


def _value(value: object) -> str:
    return escape_markdown(value) if isinstance(value, str) else str(value)


def dataset_card(title: str, intents: pd.Series, terms: Terms) -> str:
    """Write a card for recordings from their title and the intent of every clip."""
    metadata = DatasetCardData(
        task_categories=["audio-classification"],
        tags=["intent-classification"],
        license=terms.license,
        language=terms.language,
    )
    counts = intents.value_counts()
    lines = [
        "---",
        metadata.to_yaml(),
        "---",
        "",
        f"# {escape_markdown(title)}",
        "",
        f"{len(intents)} recordings.",
        "",
        "| intent | clips |",
        "|---|---|",
    ]
    lines += [f"| {escape_markdown(intent)} | {n} |" for intent, n in counts.items()]
    return "\n".join(lines) + "\n"
