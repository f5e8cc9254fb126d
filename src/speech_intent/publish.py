"""Publish a trained model, or a folder of recordings, on the Hub: `python -m speech_intent.publish --help`."""

import argparse
import io
import json
import os
import sys
from pathlib import Path

from .engine import checked_file, describe, read_json
from .hub import RECORD, ModelError, model_folder
from .metrics import AVERAGES
from .tables import DataError, read_table

FIGURES = ["accuracy", *(f"{score}_{kind}" for score in ("f1", "precision", "recall") for kind in AVERAGES)]


def model_card(folder: Path, name: str) -> str:
    """Write a model card from the metrics.json in a model folder; `name` is what its snippet loads."""
    from huggingface_hub import EvalResult, ModelCardData

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    path = folder / "metrics.json"
    result = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    data, encoder = result.get("data", "not recorded"), result.get("encoder", "")
    config_name = result.get("config") or "en-US"
    about = {"dataset_type": data, "dataset_name": Path(data).name, "dataset_config": result.get("config")}
    task = {"task_type": "audio-classification", "task_name": "Spoken intent classification", "dataset_split": "test"}
    names = {key: {"metric_type": key.split("_")[0], "metric_name": key.replace("_", " ")} for key in FIGURES if result}
    results = [EvalResult(**task, **about, **name, metric_value=result[key]) for key, name in names.items()]
    meta = ModelCardData(
        model_name=Path(name).name,
        pipeline_tag="audio-classification",
        library_name="transformers",
        license="apache-2.0",
        language="multilingual" if config_name == "all" else config_name[:2],
        tags=["speech", "intent-classification", config["model_type"]],
        base_model=encoder if encoder.count("/") == 1 and not os.path.isdir(encoder) else None,
        datasets=[data] if result else None,
        eval_results=results or None,
    )
    parts = {"metadata": meta.to_yaml(), "title": Path(name).name, "name": name, "note": result.get("note", "")}
    parts["labels"] = ", ".join(f"`{label}`" for label in config["label2id"])
    parts["figures"] = _figures(result) if result else "None were recorded with this model."
    if (folder / RECORD).exists():
        parts["figures"] += f"\n\nAs ONNX for the fast engine: {describe(read_json(folder / RECORD))}"
    return Path(__file__).with_name("model_card.md").read_text(encoding="utf-8").format(**parts)


def _figures(result: dict) -> str:
    """Write the figures of metrics.json as Markdown, each with its 95 % interval."""
    row = "| {} | {:.4f} | {:.3f} to {:.3f} |"
    rows = (row.format(key.replace("_", " "), result[key], *result[f"{key}_interval"]) for key in FIGURES)
    facts = {name: result.get(name) for name in ("data", "config", "split", "n", "encoder", "seed", "epochs", "steps")}
    facts = result.get("hyperparameters", {}) | facts  # epochs and steps as they came to be
    return "\n".join(
        [
            f"{result['correct']} of {result['n']} clips of the test split are answered rightly.\n",
            "| figure | value | 95 % interval |\n|---|---|---|",
            *rows,
            "\nWith one label a clip, micro precision, recall and F1 equal the accuracy.\n",
            "Training: " + "; ".join(f"{name}: {value}" for name, value in facts.items() if value is not None) + ".",
        ]
    )


def dataset_card(folder: Path) -> str:
    """Take a data folder's own card, or write one from its table."""
    if (folder / "README.md").exists():
        return (folder / "README.md").read_text(encoding="utf-8")
    counts = read_table(folder)["intent"].value_counts()
    rows = "\n".join(f"| {intent} | {n} |" for intent, n in counts.items())
    head = "---\ntask_categories:\n- audio-classification\ntags:\n- intent-classification\n---\n"
    return f"{head}\n# {folder.name}\n\n{counts.sum()} recordings.\n\n| intent | clips |\n|---|---|\n{rows}\n"


def model_files(folder: Path, name: str, without_results: bool) -> dict[str, Path | bytes]:
    """List what is uploaded of a model folder, and its card, by name; ModelError if it is not fit to be shown."""
    model_folder(folder)
    checked_file(folder)
    if not (folder / "metrics.json").exists() and not without_results:
        raise ModelError(f"{folder}: has no metrics.json; score it with evaluate, or add --without-results")
    suffixes = (".json", ".safetensors", ".onnx", ".bin", ".data")
    files = {path.name: path for path in sorted(folder.iterdir()) if path.name.endswith(suffixes)}
    return files | {"README.md": model_card(folder, name).encode()}


def dataset_files(folder: Path) -> dict[str, Path | bytes]:
    """List a data folder's clips, its table as AudioFolder's metadata.csv, and its card."""
    table = read_table(folder)
    files = {name: folder / name for name in table["file_name"]}
    return files | {"metadata.csv": table.to_csv(index=False).encode(), "README.md": dataset_card(folder).encode()}


def upload(name: str, files: dict[str, Path | bytes], kind: str, private: bool) -> str:
    """Put files on the Hub in one commit, so that nobody sees a part of them; return the address, or `ModelError`."""
    from huggingface_hub import CommitOperationAdd, HfApi, get_token

    api = HfApi()
    if get_token() is None:
        raise ModelError(f"{name}: there is no token; log in with `hf auth login`, or set HF_TOKEN")
    operations = [
        CommitOperationAdd(path, io.BytesIO(source) if isinstance(source, bytes) else source)
        for path, source in files.items()
    ]
    try:
        address = api.create_repo(name, repo_type=kind, private=private, exist_ok=True)
        api.create_commit(name, operations, repo_type=kind, commit_message="Publish with speech_intent")
    except Exception as error:  # huggingface_hub and httpx raise many kinds
        status = getattr(getattr(error, "response", None), "status_code", None)
        remedies = {401: "the Hub does not know this token; log in again with `hf auth login`"}
        remedies |= {403: "this token has no right to write there; use a name of your own, or a token that writes"}
        reason = remedies.get(status) or f"the upload failed ({str(error).strip().splitlines()[0][:200]}); run it again"
        raise ModelError(f"{name}: {reason}") from error
    return str(address)


def main(argv: list[str] | None = None) -> int:
    """Publish as the arguments say; return the exit status."""
    p = argparse.ArgumentParser(prog="python -m speech_intent.publish", description=__doc__)
    p.add_argument("folder", type=Path, help="model folder, such as OUT/model, or with --dataset a data folder")
    p.add_argument("name", metavar="USER/NAME")
    p.add_argument("--private", action="store_true", help="for its owner only")
    p.add_argument("--without-results", action="store_true", help="publish a model that has no metrics.json")
    p.add_argument("--dataset", action="store_true", help="the folder holds recordings")
    args = p.parse_args(argv)
    try:
        files = (
            dataset_files(args.folder) if args.dataset else model_files(args.folder, args.name, args.without_results)
        )
        print(upload(args.name, files, "dataset" if args.dataset else "model", args.private))
    except (ModelError, DataError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
