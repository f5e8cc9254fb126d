"""A trained classifier becomes a model folder: calibrated, adapted, and able to say "unknown"."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import (
    adaptation,
    fit_rejection,
    frozen_head,
    model,
    rejection,
    run_folder,
    stored_outputs,
    unlabelled,
)
from .digests import sha256
from .model import NewClassifier, Trained
from .model_files import CLIPS, LICENSE, POOLED, REJECTION
from .paths import BUNDLED_ENCODERS
from .recipes import Recipe
from .rejection import Rejection
from .sources import RANDOM
from .stored_outputs import Pooled

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict


@dataclass(frozen=True)
class Finished:
    """What is left to be saved of a trained classifier, beside its weights."""

    record: dict[str, Any]
    pooled: Pooled
    rejection: Rejection | None


def finish(
    recipe: Recipe,
    classifier: NewClassifier,
    tables: "DatasetDict",
    trained: Trained,
    others: "Dataset",
) -> Finished:
    """Calibrate a head, adapt it where that is asked for, and settle what it does not answer.

    `others` are training clips of no intent (`negatives.of_split`); with none, and no precision
    that is asked for, the model always answers.
    """
    network = classifier.model
    mapping = None
    record: dict[str, Any] = {}
    pooled = stored_outputs.collect(classifier, tables, recipe.numbers, trained.pooled)
    if recipe.adapt is not None:
        recordings = unlabelled.read(recipe.adapt)
        adapted = adaptation.adapt(classifier, tables, recordings, recipe.numbers, trained)
        trained, mapping = adapted.trained, adapted.mapping
        record["adapted"] = adapted.record
    model.calibrate(network, trained.logits, trained.label_ids)
    decides = None
    if len(others) or recipe.numbers.target_precision is not None:
        row = fit_rejection.NO_ROW
        if len(others) > 1:
            heard = stored_outputs.heard(classifier, others, recipe.numbers)
            row = fit_rejection.fit_row(pooled, pooled.standardised(heard), recipe.numbers.seed)
        promise = fit_rejection.promise_of(asdict(recipe.numbers))
        fitted = fit_rejection.fit(pooled, frozen_head.read_head(network), row, promise)
        decides = fitted.rejection
        record["unknown"] = {"clips": len(others), **fitted.record}
    if mapping is not None:
        adaptation.fold(network, mapping)
        decides = decides and fit_rejection.adapted(decides, mapping)
    return Finished(record, pooled, decides)


def save(
    classifier: NewClassifier, record: dict[str, Any], finished: Finished, output_dir: Path
) -> None:
    """Write `model/`, with its clips, what the head saw of them, and the encoder's licence.

    The record gets the digest of what the head saw, the config that of what decides.
    """
    stored_outputs.write(finished.pooled, output_dir / POOLED)
    record[stored_outputs.DIGEST] = sha256(output_dir / POOLED)
    made = [output_dir / POOLED]
    if finished.rejection is not None:
        made.append(output_dir / REJECTION)
        rejection.write(finished.rejection, made[-1])
        classifier.model.config.rejection_digest = sha256(made[-1])
    others = [output_dir / CLIPS, *made]
    others += licences(record["encoder"])
    folder = output_dir / "model"
    run_folder.save_model(classifier.model, classifier.extractor, record, folder, others)
    for file in made:
        file.unlink()


def licences(encoder: str) -> list[Path]:
    """Give the licence that has to go where a recipe's encoder goes, if it has one."""
    if encoder == RANDOM:
        return []
    path = Path(BUNDLED_ENCODERS.get(encoder, encoder)) / LICENSE
    return [path] if path.is_file() else []
