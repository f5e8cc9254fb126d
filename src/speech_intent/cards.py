"""Model cards for the Hub; they state nothing that nobody has said."""

import json
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from . import card_making, card_sections
from .model_config import ModelConfig, read_config
from .model_facts import NO_LANGUAGE, ModelFacts, data_config
from .model_files import TRANSFORMERS_JS, onnx_file
from .model_results import FIGURES
from .names import escape_markdown
from .recipes import PLAIN, RECIPES

MOONSHINE = "moonshine"  # the bundled encoder that somebody else trained, and its model type
MOONSHINE_HUB = "UsefulSensors/moonshine-tiny"
OUR_CLASSIFIER = "import speech_intent  # the package: transformers alone lacks this classifier\n"
OUR_SCORES = "import speech_intent  # the package: transformers alone gives other scores\n"
NO_DATA = "not recorded"
TASKS = {PLAIN.task: "Spoken intent classification"}  # what the Hub shows above figures
ANY_TASK = "Audio classification"


def model_card(folder: Path, name: str, facts: ModelFacts) -> str:
    """Write a model's card from what lies in its folder; `name` is what its snippet loads.

    Raises `ModelError` for a file that cannot be read.
    """
    config = read_config(folder)
    title = Path(name).name
    template = Path(__file__).with_name("model_card.md").read_text(encoding="utf-8")
    quoted = json.dumps(name, ensure_ascii=False)
    tags = [*_tags(facts), config.model_type]
    javascript = ""
    if config.model_type in TRANSFORMERS_JS and onnx_file(folder) is not None:
        tags.append("transformers.js")  # for the Hub, which then shows a snippet of its own
        javascript = card_sections.JAVASCRIPT.format(name=quoted)
    return template.format(
        metadata=_metadata(title, tags, facts),
        title=escape_markdown(title),
        labels=", ".join(escape_markdown(label) for label in config.id2label.values()),
        imports=_imports(config),
        name=quoted,
        javascript=javascript,
        figures=card_sections.figures(folder, facts),
        unknown=card_sections.unknown(config, facts),
        made=card_making.made(folder, facts),
        use=card_sections.use(config, facts),
    )


def _imports(config: ModelConfig) -> str:
    """Write the import without which transformers does not give a model's scores."""
    if config.model_type == MOONSHINE:
        return OUR_CLASSIFIER
    return OUR_SCORES if config.cut_to_clip else ""


def _metadata(title: str, tags: list[str], facts: ModelFacts) -> str:
    """Write what the Hub reads of a model's card, as YAML."""
    encoders = [each.name for each in facts.sources if each.role == "encoder"]
    bases = [MOONSHINE_HUB if name == MOONSHINE else name for name in encoders]
    on_hub = [each.name for each in facts.sources if each.place == "hub"]
    data = [name for name in on_hub if name not in encoders]
    metadata = ModelCardData(
        model_name=title,
        pipeline_tag="audio-classification",
        library_name="transformers",
        license=facts.terms.license,
        language=one_or_all(facts.terms.languages),
        tags=tags,
        base_model=next((name for name in bases if name in (*on_hub, MOONSHINE_HUB)), None),
        datasets=list(dict.fromkeys(data)) or None,
        eval_results=_eval_results(facts) or None,
    )
    return metadata.to_yaml()


def _tags(facts: ModelFacts) -> list[str]:
    """Say what a model hears, and what its labels are, as far as its language and recipe tell."""
    if facts.terms.languages == (NO_LANGUAGE,):
        return ["sound-classification"]
    recorded = facts.training.get("recipe") or {}
    is_another = "intent" in recorded  # the column: no recipe knows what is in it
    recipe = PLAIN if is_another else RECIPES.get(recorded.get("recipe", ""), PLAIN)
    return ["speech", recipe.task]


def one_or_all(names: tuple[str, ...]) -> str | list[str] | None:
    """Give names as a card has them: one alone, or a list, or none."""
    return names[0] if len(names) == 1 else list(names) or None


def _eval_results(facts: ModelFacts) -> list[EvalResult]:
    results: dict[str, Any] = facts.results
    if not results:
        return []
    data = results.get("data") or NO_DATA
    pretty = {each.name: each.terms.pretty_name for each in facts.sources if each.role == "data"}
    return [
        EvalResult(
            task_type="audio-classification",
            task_name=TASKS.get(_tags(facts)[-1], ANY_TASK),
            dataset_type=data,
            dataset_name=pretty.get(data) or data.rpartition("/")[2],
            dataset_config=data_config(results),
            dataset_split="test",
            metric_type=figure.split("_")[0],
            metric_name=figure.replace("_", " "),
            metric_value=results[figure],
        )
        for figure in FIGURES
    ]
