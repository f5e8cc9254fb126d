"""A trained classifier, and clips of one more intent, become another model: no epochs, no audio.

The encoder stays as it is, bit for bit; the model that was there stays too.
"""

import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from . import (
    extended_head,
    features,
    fit_rejection,
    frozen_head,
    hub_models,
    json_fields,
    model_config,
    new_clips,
    provenance,
    rejection,
    remarks,
    run_folder,
    sources,
    stored_outputs,
)
from .added_rows import Rows
from .addition_report import report
from .batches import Collator
from .digests import sha256
from .errors import ModelError
from .extended_head import Given, Known, Learned
from .fit_rejection import Fitted
from .model_files import CLIPS, LICENSE, POOLED, REJECTION, weights_files
from .new_clips import NewClips
from .predict import MAX_SECONDS
from .recipes import Hyperparameters, Recipe
from .stored_outputs import Pooled
from .torch_model import TorchModel

if TYPE_CHECKING:
    from datasets import Dataset

RESULT = "added.json"
RECORD = "training.json"
NO_HEAD_LOG = pd.DataFrame()
ADAPTED = "train it without --adapt and add the intent to that, or train it again with all clips"


@dataclass(frozen=True)
class Trained:
    """A model that `train` or `add_intent` made, with all that an intent is added by."""

    name: str  # what its user calls it
    folder: Path
    model: TorchModel
    record: dict[str, Any]  # training.json
    pooled: Pooled
    clips: pd.DataFrame  # `provenance.COLUMNS`

    @property
    def labels(self) -> list[str]:
        """The intents that it knows, in the order of their ids."""
        return [self.model.config.id2label[i] for i in range(self.model.config.num_labels)]

    def known(self) -> Known:
        """Give its head, for standardised outputs, and the clips that it was made of."""
        weight, bias = frozen_head.read_head(self.model.network)
        pooled = self.pooled
        return Known(
            labels=self.labels,
            rows=Rows(weight * pooled.scale, bias + weight @ pooled.mean),
            train=(pooled.outputs["train"], pooled.labels["train"]),
            validation=(pooled.outputs["validation"], pooled.labels["validation"]),
        )


def add_intent(model: str, recipe: Recipe, output_dir: Path) -> dict[str, Any]:
    """Teach a model, a folder or Hub id, the intents of the recordings that a recipe names.

    `output_dir` gets `model/`, a complete model, and `added.json`, which is returned: what
    `addition_report.report` counts, with `model`, `data`, `temperature`, `threshold`, `seconds`.
    The model itself is only read. Raises `OutputError`, `DataError`, `ModelError`.
    """
    run_folder.check_output(output_dir, resume=False)
    began = time.perf_counter()
    trained = load_trained(model)
    clips = new_clips.read_new_clips(recipe, trained.labels, trained.clips)
    with run_folder.held(output_dir):
        given = {split: _given(trained, clips, split) for split in stored_outputs.SPLITS}
        learned = extended_head.learn(trained.known(), given["train"], given["validation"])
        old = trained.labels
        write_head(trained, learned)
        pooled = extended(trained, learned.labels, given)
        decides = refitted(trained, pooled)
        result = {
            "model": model,
            "data": recipe.data,
            **report(learned, old, given["train"]),
            "temperature": trained.model.network.config.calibration_temperature,
            "threshold": trained.model.config.rejection_threshold,
            "unknown": decides and decides.record,
            "had_onnx": (trained.folder / model_config.RECORD).is_file(),
            "seconds": round(time.perf_counter() - began, 1),
        }
        run_folder.write_json(output_dir / RESULT, result)
        _save(trained, clips, pooled, decides, result, recipe, output_dir)
    return result


def load_trained(model: str) -> Trained:
    """Load a model with what `train` left for this. Raises `ModelError`."""
    folder = hub_models.model_folder(model, others=(POOLED, LICENSE))
    loaded = TorchModel.load(folder, model)
    record: dict[str, Any] = {}
    if (folder / RECORD).is_file():
        record = json_fields.read_json(folder / RECORD)
    if "adapted" in record:
        # Its head maps what it gets; what is stored of its clips was not mapped.
        raise ModelError(model, "was adapted to recordings, and its head is another since", ADAPTED)
    weight, _ = frozen_head.read_head(loaded.network)
    digest = record.get(stored_outputs.DIGEST)
    pooled = stored_outputs.read(folder, model, digest, *weight.shape)
    clips = provenance.read_clips(folder)
    if clips is None:
        problem = f"has no {CLIPS}: what it was trained and tested on is not known"
        raise ModelError(model, problem, stored_outputs.DOWNLOAD_AGAIN)
    return Trained(model, folder, loaded, record, pooled, clips)


def _given(trained: Trained, clips: NewClips, split: str) -> Given:
    """Run the encoder over the new clips of a split."""
    table = clips.tables[split]
    outputs = np.empty((0, len(trained.pooled.mean)))
    if len(table):
        outputs = trained.pooled.standardised(_pooled(trained, table))
    if not np.isfinite(outputs).all():
        problem = "gives outputs that are not finite numbers for some of the clips"
        raise ModelError(trained.name, problem, stored_outputs.DOWNLOAD_AGAIN)
    return Given(outputs, clips.intents(split), list(table["speaker"]))


def _pooled(trained: Trained, table: "Dataset") -> np.ndarray:
    model = trained.model
    max_seconds = features.window_seconds(model.extractor, model.config.max_seconds or MAX_SECONDS)
    numbers = Hyperparameters(max_seconds=max_seconds)
    collator = Collator(model.extractor, model.network.config, numbers, training=False)
    return frozen_head.pooled_outputs(model.network, table, collator)


def write_head(trained: Trained, learned: Learned) -> None:
    """Give a loaded model its new head, labels and temperature."""
    network, pooled = trained.model.network, trained.pooled
    # Rounded as it will be stored, before the bias is made to fit.
    weight = (learned.rows.weight / pooled.scale).astype(np.float32)
    bias = learned.rows.bias - weight.astype(float) @ pooled.mean
    frozen_head.write_head(network, frozen_head.Head(weight, bias, np.nan, NO_HEAD_LOG))
    config = network.config
    config.id2label = dict(enumerate(learned.labels))
    config.label2id = {label: i for i, label in enumerate(learned.labels)}
    network.num_labels = len(learned.labels)
    before = getattr(config, "calibration_temperature", 1.0)
    config.calibration_temperature = before * learned.temperature


def refitted(trained: Trained, pooled: Pooled) -> Fitted | None:
    """Settle anew what a model with its new head does not answer; None if it always answers.

    What it has learned of clips of no intent stays. `pooled` is that of `extended`.
    """
    before = rejection.read(
        trained.folder, trained.model.config.rejection_digest, len(trained.labels)
    )
    if before is None:
        return None
    numbers = trained.record.get("hyperparameters")
    promise = fit_rejection.promise_of(numbers if isinstance(numbers, dict) else {})
    return fit_rejection.fit(
        pooled, frozen_head.read_head(trained.model.network), before.unknown, promise
    )


def _save(
    trained: Trained,
    clips: NewClips,
    pooled: Pooled,
    decides: Fitted | None,
    result: dict[str, Any],
    recipe: Recipe,
    output_dir: Path,
) -> None:
    """Write `model/`, which appears when it is complete."""
    with tempfile.TemporaryDirectory(prefix=".add-", dir=output_dir) as scratch_name:
        scratch = Path(scratch_name)
        stored_outputs.write(pooled, scratch / POOLED)
        if decides is not None:
            rejection.write(decides.rejection, scratch / REJECTION)
            trained.model.network.config.rejection_digest = sha256(scratch / REJECTION)
        together = pd.concat([trained.clips, clips.listing], ignore_index=True)
        together.to_csv(scratch / CLIPS, index=False)
        if (trained.folder / LICENSE).is_file():
            shutil.copy(trained.folder / LICENSE, scratch)
        record = _record(trained, clips, result, sha256(scratch / POOLED))
        record[sources.SOURCES] = sources.with_added(trained.record, recipe)
        others = sorted(scratch.iterdir())
        model = trained.model
        run_folder.save_model(model.network, model.extractor, record, output_dir / "model", others)


def extended(trained: Trained, labels: list[str], given: dict[str, Given]) -> Pooled:
    """Put the pooled outputs of new clips to those of a model, with the ids of its new labels."""
    pooled = trained.pooled
    ids = np.array([labels.index(label) for label in trained.labels])
    outputs, numbers = {}, {}
    for split, new in given.items():
        new_ids = np.array([labels.index(intent) for intent in new.intents], dtype=int)
        all_ids = np.concatenate([ids[pooled.labels[split]], new_ids])
        rows = stored_outputs.choose(all_ids, seed=0)
        outputs[split] = np.concatenate([pooled.outputs[split], new.outputs])[rows]
        numbers[split] = all_ids[rows]
    return Pooled(pooled.mean, pooled.scale, outputs, numbers)


def _record(
    trained: Trained, clips: NewClips, result: dict[str, Any], digest: str
) -> dict[str, Any]:
    """Say how the model was trained, and what was added to which weights since."""
    record = remarks.with_learned(trained.record, clips.tables)
    record.pop("best_validation", None)  # of the model before
    entry = {
        "model": trained.name,
        "weights": {file.name: sha256(file) for file in weights_files(trained.folder)},
        "data": result["data"],
        "clips": {intent: entry["n"] for intent, entry in result["added"].items()},
        "validation": result["old"],
    }
    earlier = record.get("added")
    return {
        **record,
        "parameters": trained.model.network.num_parameters(),
        stored_outputs.DIGEST: digest,
        "added": [*(earlier if isinstance(earlier, list) else []), entry],
    }
