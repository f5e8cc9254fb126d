"""The sections of a model's card, as Markdown, from what is known of the model."""

from pathlib import Path
from typing import Any

from .markdown import listed, table
from .model_config import ModelConfig, read_record
from .model_facts import NO_LANGUAGE, SEVERAL, ModelFacts
from .model_files import onnx_file
from .model_results import FIGURES
from .names import escape_markdown
from .onnx_model import describe
from .remarks import remarks

JAVASCRIPT = """The same in a browser, by
[Transformers.js](https://huggingface.co/docs/transformers.js):

```js
import {{ pipeline }} from "@huggingface/transformers";

const classifier = await pipeline("audio-classification", {name}, {{ dtype: "fp32" }});
console.log(await classifier("clip.wav"));
```

Without `dtype` it takes the smaller file in 8 bits, which gives other scores.

"""
NO_SINGLE_LANGUAGE = {
    SEVERAL: "It heard several languages",
    NO_LANGUAGE: "What it heard is no language",
}
SYNTHETIC = "Synthetic voices are in what is said above: of people it may understand less."


# Figures


def figures(folder: Path, facts: ModelFacts) -> str:
    """Say how good a model is, and what its ONNX form costs."""
    results = facts.results
    parts = ["None were recorded with this model."]
    if results:
        tested = {name: results.get(name) for name in ("data", "split", "n", "speakers_test")}
        parts = [
            f"{results['correct']} of {results['n']} clips of the test split are answered rightly.",
            _figure_table(results),
            "With one label a clip, micro precision, recall and F1 equal the accuracy.",
            f"Tested on: {listed(tested)}.",
            *map(escape_markdown, remarks(results)),
        ]
    if onnx_file(folder) is not None:
        parts.append(f"As ONNX for the fast engine: {describe(read_record(folder))}")
    return "\n\n".join(parts)


def _figure_table(results: dict[str, Any]) -> str:
    rows = []
    for figure in FIGURES:
        low, high = results[f"{figure}_interval"]
        words = figure.replace("_", " ")
        rows.append([words, f"{results[figure]:.4f}", f"{low:.3f} to {high:.3f}"])
    return table(["figure", "value", "95 % interval"], rows)


# Scores, and what it was not taught


def unknown(config: ModelConfig, facts: ModelFacts) -> str:
    """Say how far scores can be believed, and what is made of clips that are no request."""
    parts = [_calibration(facts.results)]
    if not says_unknown(config):
        parts.append("It always answers with one of its labels, whatever it hears.")
        return "\n\n".join(parts)
    parts.append(
        "The package's `IntentClassifier` calls `unknown` what is too unlike the taught requests; "
        "the pipeline above knows nothing of that, and always answers."
    )
    learned = facts.training.get("unknown")
    if learned:
        parts.append(_promise(learned))
    parts += _kinds(facts.results)
    return "\n\n".join(parts)


def says_unknown(config: ModelConfig) -> bool:
    """Whether the package's classifier calls clips unknown."""
    return config.rejection_digest is not None or config.rejection_threshold is not None


def _calibration(results: dict[str, Any]) -> str:
    error = results.get("calibration_error")
    if error is None:
        return "Whether its scores are probabilities was not measured."
    low, high = (100 * end for end in results["calibration_error_interval"])
    text = "On average a score of a test clip is "
    return f"{text}{100 * error:.1f} points off the share that is right ({low:.1f} to {high:.1f})."


def _promise(learned: dict[str, Any]) -> str:
    """Say what was promised of taught requests, and how validation kept it."""
    of = "the answers are right"
    if learned["promise"] == "accept":
        of = "the taught requests are answered"
    text = f"Learned from {learned['clips']} clips of no request, so that at least "
    text += f"{100 * learned['share']:g} % of {of}, with {100 * learned['confidence']:g} % "
    kept = "confidence" if learned["kept"] else "confidence, which validation could not promise"
    counts = f"{learned['answered']} of {learned['n']} validation clips are answered"
    return f"{text}{kept}: {counts}, {learned['answered_correct']} of them rightly."


def _kinds(results: dict[str, Any]) -> list[str]:
    """Say what of the test clips is answered: taught requests, and others by kind."""
    parts = []
    if results.get("coverage") is not None:
        text = f"Of the test clips {100 * results['coverage']:.1f} % are answered"
        correct = results.get("accuracy_answered")
        text += "" if correct is None else f", {100 * correct:.1f} % of those rightly"
        parts.append(f"{text}.")
    kinds = results.get("unknown_test")
    if not kinds:
        return [*parts, "What of other clips is answered by mistake was not measured."]
    rows = [
        [
            escape_markdown(row["kind"]),
            f"{row['accepted']} of {row['n']}",
            f"{row['low']:.3f} to {row['high']:.3f}",
            f"{row['auroc']:.3f}",
        ]
        for row in kinds
    ]
    names = ["no request", "answered by mistake", "95 % interval", "AUROC"]
    return [*parts, table(names, rows)]


# Use and limits


def use(config: ModelConfig, facts: ModelFacts) -> str:
    """Say what a model is meant for, and what nobody may expect of it."""
    parts = [
        "It is meant for short recordings with one of the labels above each, one speaker at most. "
        f"{_language(facts.terms.languages)}. "
        "It knows the kind of recordings that it was trained on.",
        escape_markdown(facts.results.get("note") or ""),
        SYNTHETIC if _is_synthetic(facts.results) else "",
        "Measure it on recordings of those that it will hear, before anything depends on it.",
    ]
    if not says_unknown(config):
        parts.insert(1, "Give it nothing else: it has an answer to everything.")
    return "\n\n".join(filter(None, parts))


def _language(languages: tuple[str, ...]) -> str:
    """Say in words which languages a card names, if any."""
    if not languages:
        return "Nobody has said its language"
    if len(languages) == 1 and languages[0] in NO_SINGLE_LANGUAGE:
        return NO_SINGLE_LANGUAGE[languages[0]]
    words = "Its language is" if len(languages) == 1 else "Its languages are"
    return f"{words} {', '.join(map(escape_markdown, languages))}"


def _is_synthetic(results: dict[str, Any]) -> bool:
    """Whether synthetic voices are among those that it learned from, or was tested on."""
    counts = results.get("synthetic") or {}
    return any(n_synthetic for n_synthetic, _ in counts.values())
