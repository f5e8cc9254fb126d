"""Write `models/`: the small encoder, and the classifier that ships with its card.

    python pretraining/ship.py --encoder run/encoder            # once, after pretraining
    python pretraining/ship.py --classifier runs/models/model   # what `make models` does
    python pretraining/ship.py --decision                       # what stored weights do not answer
    python pretraining/ship.py                                  # the classifier's card alone

Weights are stored in half precision, and frozen once they are. The classifier is scored as it is
stored; its card says what its metrics.json says. The encoder's card stays as it is written by hand.
"""

import argparse
import json
import shutil
import tempfile
from pathlib import Path

from half_precision import save_half
from transformers import AutoModel, AutoModelForAudioClassification, PreTrainedModel

from speech_intent import (
    cards,
    data,
    evaluation,
    fit_rejection,
    frozen_head,
    negatives,
    onnx_export,
    rejection,
    stored_outputs,
)
from speech_intent.digests import sha256
from speech_intent.model import NewClassifier
from speech_intent.model_config import CONFIG
from speech_intent.model_facts import read_facts
from speech_intent.model_files import CLIPS, LICENSE, POOLED, REJECTION
from speech_intent.paths import BUNDLED_ENCODERS, ROOT, SHIPPED, SMALL
from speech_intent.predict import IntentClassifier
from speech_intent.recipes import resolve
from speech_intent.run_folder import write_json
from speech_intent.torch_model import TorchModel

CARD = "README.md"
RECORD = "training.json"
EXTRACTOR = "preprocessor_config.json"


def ship_encoder(source: Path, target: Path) -> None:
    """Put an encoder in the place of another, with its weights halved; the card stays."""
    encoder = AutoModel.from_pretrained(source, dtype="float32", trust_remote_code=False)
    replace_model(encoder, target, [source / EXTRACTOR])


def ship_classifier(source: Path, target: Path) -> None:
    """Put a classifier in the place of another, with its weights halved.

    Its weights derive from its encoder's, whose licence comes with them.
    """
    classifier = AutoModelForAudioClassification.from_pretrained(
        source, dtype="float32", trust_remote_code=False
    )
    encoder = json.loads((source / RECORD).read_text(encoding="utf-8"))["encoder"]
    license = BUNDLED_ENCODERS[encoder] / LICENSE
    copied = [source / name for name in (EXTRACTOR, RECORD, CLIPS, POOLED, REJECTION)]
    copied.append(license)
    replace_model(classifier, target, copied)


def replace_model(model: PreTrainedModel, target: Path, copied: list[Path]) -> None:
    """Write a model folder beside the one that it replaces, then take its place.

    `copied` are files that come along where they exist, as the card in `target` does.
    """
    part = target.with_name(target.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    save_half(model, part)
    for file in [*copied, target / CARD]:
        if file.exists():
            shutil.copy(file, part)
    shutil.rmtree(target, ignore_errors=True)
    part.rename(target)


def score_classifier(folder: Path) -> None:
    """Score stored weights on the bundled test split and keep metrics.json beside them."""
    trained = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    recipe = resolve("bundled", seed=trained["seed"])
    splits = data.load_data(recipe)
    record = {
        **trained,
        "data": recipe.data,
        "split": f"test ({splits.note})",
        "note": recipe.note,
    }
    classifier = IntentClassifier.from_pretrained(folder, engine="torch")
    others = negatives.of_split(recipe, splits.tables, splits.unknown, "test")
    with tempfile.TemporaryDirectory() as scratch:
        evaluation.evaluate_model(
            classifier, splits.tables["test"], Path(scratch), record, others=others
        )
        shutil.copy(Path(scratch) / "metrics.json", folder)


def keep_decision(folder: Path) -> None:
    """Settle what stored weights do not answer, and keep what their head gets of the clips.

    Record and config say that the files belong to them.
    """
    trained = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    recipe = resolve("bundled", seed=trained["seed"])
    splits = data.load_data(recipe)
    loaded = TorchModel.load(folder, str(folder))
    classifier = NewClassifier(loaded.network, loaded.extractor, pretrained=True)
    pooled = stored_outputs.collect(classifier, splits.tables, recipe.numbers, known=None)
    stored_outputs.write(pooled, folder / POOLED)
    others = negatives.of_split(recipe, splits.tables, splits.unknown, "train")
    heard = pooled.standardised(stored_outputs.heard(classifier, others, recipe.numbers))
    row = fit_rejection.fit_row(pooled, heard, trained["seed"])
    promise = fit_rejection.promise_of(trained["hyperparameters"])
    fitted = fit_rejection.fit(pooled, frozen_head.read_head(loaded.network), row, promise)
    rejection.write(fitted.rejection, folder / REJECTION)
    trained["unknown"] = {"clips": len(others), **fitted.record}
    trained[stored_outputs.DIGEST] = sha256(folder / POOLED)
    write_json(folder / RECORD, trained)
    config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    write_json(folder / CONFIG, {**config, "rejection_digest": sha256(folder / REJECTION)})


def classifier_card() -> str:
    """Write the card of the shipped classifier."""
    name = SHIPPED.relative_to(ROOT).as_posix()
    return cards.model_card(SHIPPED, name, read_facts(SHIPPED))


def main() -> None:
    """Ship what is named, then write the classifier's card."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--encoder", type=Path, help="folder of the small encoder, pretrained")
    parser.add_argument("--classifier", type=Path, help="model folder of a training run")
    parser.add_argument("--decision", action="store_true", help="write unknown.safetensors anew")
    args = parser.parse_args()
    if args.encoder:
        ship_encoder(args.encoder, SMALL)
    if args.classifier:
        ship_classifier(args.classifier, SHIPPED)
    if args.classifier or args.decision:
        keep_decision(SHIPPED)
        score_classifier(SHIPPED)
        onnx_export.export(SHIPPED, "bundled")
    (SHIPPED / CARD).write_text(classifier_card(), encoding="utf-8")


if __name__ == "__main__":
    main()
